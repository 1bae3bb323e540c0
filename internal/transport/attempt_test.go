package transport_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jarcoal/httpmock"

	"github.com/courier-profiles/courier-go/internal/transport"
)

// TestTimeout: a timeout ends the attempt, and not the call.
func TestTimeout(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		step    step
		timeout time.Duration
		took    time.Duration
		err     error
	}{
		{"header", hang, 2 * time.Second, 2 * time.Second, context.DeadlineExceeded},
		{"body", respondWith(200, hanging), 2 * time.Second, 2 * time.Second, context.DeadlineExceeded},
		{"slow, no timeout", slow(time.Hour, respond(200)), 0, time.Hour, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := script(tt.step, respond(200))
				tr := newTransport(f)
				tr.Timeout, tr.MinWait, tr.MaxWait = tt.timeout, 0, 0
				r := newRequest(t, baseURL)
				attempts := observe(r)
				start := time.Now()
				resp := tr.Do(t.Context(), r)
				wantElapsed(t, start, tt.took)
				if resp.Status != 200 || resp.Ended != nil {
					t.Errorf("%+v", resp)
				}
				if first := (*attempts)[0]; !errors.Is(first.Err, tt.err) || first.Ended != nil {
					t.Errorf("the first attempt is %+v, want the error %v", first, tt.err)
				}
				f.wantAllClosed(t)
			})
		})
	}
	t.Run("body of an error", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			tr := newTransport(script(respondWith(404, hanging)))
			resp := tr.Do(t.Context(), newRequest(t, baseURL))
			if resp.Status != 404 || string(resp.Body) != `{"status"` || resp.Ended != nil || resp.Attempts != 1 {
				t.Errorf("%+v", resp)
			}
		})
	})
}

// TestBodyLimit is how much of a body is kept.
func TestBodyLimit(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		status, length, kept int
		tooLong              bool
	}{
		{200, 0, 0, false},
		{200, transport.MaxSuccess, transport.MaxSuccess, false},
		{200, transport.MaxSuccess + 1, transport.MaxSuccess, true},
		{404, transport.MaxError, transport.MaxError, false},
		{404, transport.MaxError + 1, transport.MaxError, true},
		{302, 9 << 20, transport.MaxError, true},
	} {
		f := script(respondWith(tt.status, func(*http.Request) io.Reader { return strings.NewReader(strings.Repeat("x", tt.length)) }))
		resp := newTransport(f).Do(t.Context(), newRequest(t, baseURL))
		if resp.Status != tt.status || len(resp.Body) != tt.kept || resp.TooLong != tt.tooLong || resp.Err != nil {
			t.Errorf("%d with %d bytes: status %d, %d bytes, too long: %t, error %v", tt.status, tt.length, resp.Status, len(resp.Body), resp.TooLong, resp.Err)
		}
		f.wantAllClosed(t)
	}
}

// TestBrokenBody: without its body a success is none, and an error is still one.
func TestBrokenBody(t *testing.T) {
	t.Parallel()
	for status, attempts := range map[int]int{200: 4, 204: 4, 301: 1, 404: 1, 503: 4} {
		f := script(respondWith(status, cutOff(io.ErrUnexpectedEOF)))
		tr := newTransport(f)
		tr.MinWait, tr.MaxWait = 0, 0
		resp := tr.Do(t.Context(), newRequest(t, baseURL))
		if success := status < 300; success != (resp.Err == io.ErrUnexpectedEOF) || success == (resp.Status == status) || success == (resp.Header != nil) {
			t.Errorf("%d: %+v", status, resp)
		}
		if resp.Attempts != attempts {
			t.Errorf("%d: %d attempts, want %d", status, resp.Attempts, attempts)
		}
		f.wantAllClosed(t)
	}
}

// TestOddRoundTrippers: what a caller's RoundTripper may return.
func TestOddRoundTrippers(t *testing.T) {
	t.Parallel()
	both := func(req *http.Request) (*http.Response, error) {
		resp, _ := respond(200)(req)
		return resp, errBroken
	}
	for _, tt := range []struct {
		name   string
		step   step
		status int
		err    string
	}{
		{"nothing", func(*http.Request) (*http.Response, error) { return nil, nil }, 0, "the http.RoundTripper returned neither a response nor an error"},
		{"both", both, 0, errBroken.Error()},
		{"no body", func(*http.Request) (*http.Response, error) { return &http.Response{StatusCode: 204}, nil }, 204, ""},
		{"no header", func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 429, Body: http.NoBody}, nil
		}, 429, ""},
		{"not found by httpmock", httpmock.NewMockTransport().RoundTrip, 0, "no responder found"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := script(tt.step)
			tr := newTransport(f)
			tr.MaxRetries = 0
			resp := tr.Do(t.Context(), newRequest(t, baseURL))
			if resp.Status != tt.status || (resp.Err == nil) != (tt.err == "") || resp.Err != nil && !strings.Contains(resp.Err.Error(), tt.err) {
				t.Errorf("%+v, want status %d, error %q", resp, tt.status, tt.err)
			}
			f.wantAllClosed(t)
		})
	}
}

// TestNilBase: it is http.DefaultTransport at the time of the call.
func TestNilBase(t *testing.T) {
	tr := newTransport(nil)
	httpmock.Activate(t)
	httpmock.RegisterResponder(http.MethodPost, baseURL+"/profiles/user-1", httpmock.NewStringResponder(200, bodyText))
	if resp := tr.Do(t.Context(), newRequest(t, baseURL)); resp.Status != 200 || string(resp.Body) != bodyText {
		t.Errorf("%+v", resp)
	}
	if n := httpmock.GetTotalCallCount(); n != 1 {
		t.Errorf("httpmock saw %d calls", n)
	}
}

// rawResponse reads a request and sends text.
func rawResponse(text string) func(net.Conn) {
	return func(c net.Conn) {
		if req, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
			_, _ = io.Copy(io.Discard, req.Body)
			_, _ = io.WriteString(c, text)
		}
	}
}

// TestRedirect: it is a response like any other, wherever it points to.
func TestRedirect(t *testing.T) {
	t.Parallel()
	for _, status := range []int{301, 302, 303, 307, 308} {
		for _, location := range []string{"", "/elsewhere", "https://courier.test/", "//", "http://[::1", "%zz", ":", "mailto:a@b.test"} {
			for _, p := range policies {
				synctest.Test(t, func(t *testing.T) {
					n := serve(t, plain, func(w http.ResponseWriter, _ *http.Request) {
						w.Header().Set("Location", location)
						w.WriteHeader(status)
						_, _ = io.WriteString(w, bodyText)
					})
					r := newRequest(t, n.url)
					r.Policy = p.policy
					resp := newTransport(newPool(t, n)).Do(t.Context(), r)
					if resp.Status != status || resp.Header.Get("Location") != location || string(resp.Body) != bodyText || resp.Attempts != 1 || n.served.Load() != 1 {
						t.Errorf("%d to %q: %d requests, %+v", status, location, n.served.Load(), resp)
					}
				})
			}
		}
	}
}

// TestSwitchingProtocols: the connection of a 101 is not read, or the call would hang.
func TestSwitchingProtocols(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := serveRaw(func(c net.Conn) {
			rawResponse("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")(c)
			_, _ = io.Copy(io.Discard, c)
		})
		start := time.Now()
		resp := newTransport(newPool(t, n)).Do(t.Context(), newRequest(t, n.url))
		wantElapsed(t, start, 0)
		if resp.Status != 101 || resp.Attempts != 1 {
			t.Errorf("%+v", resp)
		}
		synctest.Wait()
		if open := n.openConns(); open != 0 {
			t.Errorf("%d connections are open", open)
		}
	})
}

// TestBrokenResponse: the cause of what net/http cannot read is in the error's text.
func TestBrokenResponse(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, text, want string
	}{
		{"no response", "", "EOF"},
		{"header cut off", "HTTP/1.1 200 OK\r\nDate: now\r\n", "unexpected EOF"},
		{"body cut off", "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{", "unexpected EOF"},
		{"chunk cut off", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n99\r\n{", "unexpected EOF"},
		{"last chunk missing", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n", "unexpected EOF"},
		{"bad chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n{}\r\n", "invalid byte in chunk length"},
		{"broken gzip", "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 20\r\n\r\n{\"status\":\"SUCCESS\"}", "gzip: invalid header"},
		{"oversized header", "HTTP/1.1 200 OK\r\nX-Large: " + strings.Repeat("x", 64<<10) + "\r\n\r\n", "server response headers exceeded"},
		{"not HTTP", "SSH-2.0-OpenSSH_9.9\r\n", "malformed HTTP response"},
	} {
		for _, p := range policies {
			t.Run(tt.name+", "+p.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					n := serveRaw(rawResponse(tt.text))
					n.base.MaxResponseHeaderBytes = 4 << 10
					r := newRequest(t, n.url)
					r.Policy = p.policy
					resp := newTransport(newPool(t, n)).Do(t.Context(), r)
					if resp.Err == nil || !strings.Contains(resp.Err.Error(), tt.want) {
						t.Errorf("error %v, want one with %q", resp.Err, tt.want)
					}
					want := 4
					if p.policy == transport.NotIdempotent {
						want = 1
					}
					if resp.Attempts != want || resp.Status != 0 {
						t.Errorf("status %d after %d attempts, want %d", resp.Status, resp.Attempts, want)
					}
				})
			})
		}
	}
}

// TestContextEndsOnNetwork ends the context after 500 ms, in every phase of an attempt
// through net/http, which reports the cause of a context.
func TestContextEndsOnNetwork(t *testing.T) {
	t.Parallel()
	phases := []struct {
		name string
		run  func(t *testing.T, protocol int) *network
	}{
		{"dial", func(t *testing.T, protocol int) *network {
			n := serve(t, protocol, ok)
			n.onDial = func(ctx context.Context, _ int64) error { return hangingDial(ctx) }
			return n
		}},
		{"TLS handshake", func(*testing.T, int) *network {
			n := serveRaw(func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
			n.url = strings.Replace(n.url, "http:", "https:", 1)
			return n
		}},
		{"waiting for the header", func(t *testing.T, protocol int) *network { return serve(t, protocol, until) }},
		{"reading the body", func(t *testing.T, protocol int) *network {
			return serve(t, protocol, func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.WriteString(w, `{"status"`)
				_ = http.NewResponseController(w).Flush()
				until(w, r)
			})
		}},
	}
	for _, end := range ends {
		for _, phase := range phases {
			for name, protocol := range map[string]int{"plain": plain, "HTTP/1.1": http1, "HTTP/2": http2} {
				t.Run(fmt.Sprint(end.name, ", ", phase.name, ", ", name), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						n := phase.run(t, protocol)
						tr := newTransport(newPool(t, n))
						start := time.Now()
						resp := tr.Do(end.with(t.Context(), 500*time.Millisecond), newRequest(t, n.url))
						wantElapsed(t, start, 500*time.Millisecond)
						wantOnly(t, resp, end.err)
						if resp.Err != end.err || resp.Attempts != 1 {
							t.Errorf("%+v", resp)
						}
						time.Sleep(20 * time.Second) // for the dial that hangs
					})
				})
			}
		}
	}
}

func TestReused(t *testing.T) {
	t.Parallel()
	for name, protocol := range map[string]int{"plain": plain, "HTTP/1.1": http1, "HTTP/2": http2} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := serve(t, protocol, ok)
				tr := newTransport(newPool(t, n))
				own := 0
				ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { own++ }})
				for i, want := range []bool{false, true, true, false} {
					r := newRequest(t, n.url)
					r.Reused = i < 3
					attempts := observe(r)
					tr.Do(ctx, r)
					if got := (*attempts)[0].Reused; got != want {
						t.Errorf("call %d: reused is %t", i+1, got)
					}
				}
				if own != 4 {
					t.Errorf("the caller's own trace was called %d times, want 4", own)
				}
			})
		})
	}
	// A RoundTripper that hedges may get a connection when the call is over.
	late := make(chan struct{})
	r := newRequest(t, baseURL)
	r.Reused = true
	newTransport(step(func(req *http.Request) (*http.Response, error) {
		trace := httptrace.ContextClientTrace(req.Context())
		go func() {
			trace.GotConn(httptrace.GotConnInfo{Reused: true})
			close(late)
		}()
		return respond(200)(req)
	})).Do(t.Context(), r)
	<-late
}

// TestEmptyBody: a request without a body says so.
func TestEmptyBody(t *testing.T) {
	t.Parallel()
	for _, body := range [][]byte{nil, {}} {
		synctest.Test(t, func(t *testing.T) {
			n := serve(t, plain, func(w http.ResponseWriter, r *http.Request) {
				if r.ContentLength != 0 || len(r.TransferEncoding) > 0 {
					t.Errorf("content length %d, transfer encoding %v", r.ContentLength, r.TransferEncoding)
				}
				ok(w, r)
			})
			r := newRequest(t, n.url)
			r.Body = body
			if resp := newTransport(newPool(t, n)).Do(t.Context(), r); resp.Status != 200 {
				t.Errorf("%+v", resp)
			}
		})
	}
}
