package transport_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jarcoal/httpmock"

	"github.com/courier-profiles/courier-go/internal/transport"
)

// TestTimeout: a timeout ends the attempt, and not the call.
func TestTimeout(t *testing.T) {
	t.Parallel()
	const timeout = 2 * second
	for name, responder := range map[string]httpmock.Responder{
		"header": hang,
		"body":   hangInBody(200),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				config := newConfig(newFake(responder, respond(200)))
				config.Timeout = timeout
				r := newRequest(t, baseURL)
				attempts := observe(r)
				start := time.Now()
				last := transport.New(config).Do(t.Context(), r)
				wantElapsed(t, start, timeout)
				wantSuccess(t, last)
				wantAttempts(t, last, 2)
				if first := (*attempts)[0]; first.Err != context.DeadlineExceeded {
					t.Errorf("the first attempt has the error %v", first.Err)
				}
			})
		})
	}
}

func TestNoTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		config := newConfig(newFake(respond(200).Delay(24 * time.Hour)))
		config.Timeout = 0
		last := transport.New(config).Do(t.Context(), newRequest(t, baseURL))
		wantSuccess(t, last)
		wantAttempts(t, last, 1)
	})
}

// TestTimeoutOnNetwork: an attempt that times out before it has a connection was not sent,
// and is retried even if it must not be sent twice.
func TestTimeoutOnNetwork(t *testing.T) {
	t.Parallel()
	for _, protocol := range protocols {
		for phase, want := range map[string]int{"dial": 2, "header": 1, "body": 1} {
			t.Run(protocol+", "+phase, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					n := hangingServer(t, protocol, phase)
					r := newRequest(t, n.url)
					r.Policy = transport.NotIdempotent
					config := newConfig(n.pool)
					config.MaxRetries = 1
					last := transport.New(config).Do(t.Context(), r)
					wantAttempts(t, last, want)
					if !errors.Is(last.Err, context.DeadlineExceeded) {
						t.Errorf("got error %v, want the end of the attempt's time", last.Err)
					}
				})
			})
		}
	}
}

// TestBodyLimit is about how much of a body is kept.
func TestBodyLimit(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		status, length, kept int
		tooLong              bool
	}{
		{200, 0, 0, false},
		{200, 8 << 20, 8 << 20, false},
		{200, 8<<20 + 1, 8 << 20, true},
		{404, 1 << 20, 1 << 20, false},
		{404, 1<<20 + 1, 1 << 20, true},
		{302, 1<<20 + 1, 1 << 20, true},
	} {
		body := strings.NewReader(strings.Repeat("x", tt.length))
		f := newFake(respondWith(tt.status, body))
		last := newTransport(f).Do(t.Context(), newRequest(t, baseURL))
		if last.Status != tt.status {
			t.Errorf("got status %d, error %v, want %d", last.Status, last.Err, tt.status)
		}
		if len(last.Body) != tt.kept {
			t.Errorf("%d: kept %d of %d bytes, want %d",
				tt.status, len(last.Body), tt.length, tt.kept)
		}
		if last.TooLong != tt.tooLong {
			t.Errorf("%d: too long is %t for %d bytes", tt.status, last.TooLong, tt.length)
		}
	}
}

// TestBodyCutOff: without its body a success is none. The status of an error says enough.
func TestBodyCutOff(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]transport.Exchange{
		200: {Err: errCutOff, Number: 4},
		204: {Err: errCutOff, Number: 4},
		301: {Status: 301, Body: []byte(bodyStart), Number: 1},
		404: {Status: 404, Body: []byte(bodyStart), Number: 1},
		503: {Status: 503, Body: []byte(bodyStart), Number: 4},
	} {
		last := newTransport(newFake(cutOff(status))).Do(t.Context(), newRequest(t, baseURL))
		wantExchange(t, last, want)
	}
}

// TestErrorBodyTimesOut: what has arrived of it is kept.
func TestErrorBodyTimesOut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		last := newTransport(newFake(hangInBody(404))).Do(t.Context(), newRequest(t, baseURL))
		want := transport.Exchange{Status: 404, Body: []byte(bodyStart), Number: 1}
		wantExchange(t, last, want)
	})
}

// closeCounter is a body that counts how often it is closed.
type closeCounter struct {
	io.Reader
	closed int
}

func (c *closeCounter) Close() error {
	c.closed++
	return nil
}

// TestBodyIsClosed: whatever came of the response, its connection is free again.
func TestBodyIsClosed(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		status int
		body   io.Reader
		err    error // of the RoundTripper
	}{
		{"success", 200, strings.NewReader(success), nil},
		{"error", 404, strings.NewReader(success), nil},
		{"no content", 204, http.NoBody, nil},
		{"too long", 404, strings.NewReader(strings.Repeat("x", 2<<20)), nil},
		{"cut off", 200, cutBody(func([]byte) (int, error) { return 0, errBroken }), nil},
		{"switching protocols", 101, strings.NewReader(success), nil},
		{"response and error", 200, strings.NewReader(success), errBroken},
		{"panic", 200, cutBody(func([]byte) (int, error) { panic("a body panics") }), nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			body := &closeCounter{Reader: tt.body}
			config := newConfig(roundTripper(func(*http.Request) (*http.Response, error) {
				return &http.Response{StatusCode: tt.status, Body: body}, tt.err
			}))
			config.MaxRetries = 0
			func() {
				defer func() { _ = recover() }()
				transport.New(config).Do(t.Context(), newRequest(t, baseURL))
			}()
			if body.closed != 1 {
				t.Errorf("the body was closed %d times, want 1", body.closed)
			}
		})
	}
}

// TestSwitchingProtocols: the body of a 101 is the connection. Reading it would hang.
func TestSwitchingProtocols(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const response = "HTTP/1.1 101 Switching Protocols\r\n" +
			"Connection: Upgrade\r\nUpgrade: x\r\n\r\n"
		n := newNetwork(t, "http://courier.test/base", func(conn net.Conn) {
			respondRaw(conn, response)
			hold(conn)
		})
		start := time.Now()
		last := newTransport(n.pool).Do(t.Context(), newRequest(t, n.url))
		wantElapsed(t, start, 0)
		wantAttempts(t, last, 1)
		if last.Status != http.StatusSwitchingProtocols {
			t.Errorf("got status %d, error %v, want a 101", last.Status, last.Err)
		}
	})
}

// TestOddRoundTrippers is about what a caller's http.RoundTripper may return.
func TestOddRoundTrippers(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		resp *http.Response
		err  error
		want transport.Exchange
	}{
		{"no body", &http.Response{StatusCode: 204}, nil, transport.Exchange{Status: 204}},
		{"no header", &http.Response{StatusCode: 404}, nil, transport.Exchange{Status: 404}},
		{"response and error", &http.Response{StatusCode: 200}, errBroken,
			transport.Exchange{Err: errBroken}},
	} {
		base := roundTripper(func(*http.Request) (*http.Response, error) {
			return tt.resp, tt.err
		})
		config := newConfig(base)
		config.MaxRetries = 0
		tt.want.Number = 1
		wantExchange(t, transport.New(config).Do(t.Context(), newRequest(t, baseURL)), tt.want)
	}
}

// TestRoundTripperReturnsNothing: the error says whose mistake it is.
func TestRoundTripperReturnsNothing(t *testing.T) {
	t.Parallel()
	base := roundTripper(func(*http.Request) (*http.Response, error) { return nil, nil })
	last := newTransport(base).Do(t.Context(), newRequest(t, baseURL))
	wantRetried(t, "nothing", last, true)
	const want = "the http.RoundTripper returned neither a response nor an error"
	if last.Err == nil || last.Err.Error() != want {
		t.Errorf("got error %v, want %q", last.Err, want)
	}
}

// TestEmptyBody: a request without a body says so.
func TestEmptyBody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newServer(t, plainHTTP, func(w http.ResponseWriter, r *http.Request) {
			if r.ContentLength != 0 || len(r.TransferEncoding) > 0 {
				t.Errorf("got content length %d, transfer encoding %v",
					r.ContentLength, r.TransferEncoding)
			}
			succeed(w, r)
		})
		r := newRequest(t, n.url)
		r.Body = nil
		wantSuccess(t, newTransport(n.pool).Do(t.Context(), r))
	})
}

// TestReused tells a new connection from an open one, and leaves the caller's own trace
// alone.
func TestReused(t *testing.T) {
	t.Parallel()
	for _, protocol := range protocols {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				n := newServer(t, protocol, succeed)
				tr := newTransport(n.pool)
				var got, traced []bool
				ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
					GotConn: func(info httptrace.GotConnInfo) {
						traced = append(traced, info.Reused)
					},
				})
				for range 3 {
					got = append(got, tr.Do(ctx, newRequest(t, n.url)).Reused)
				}
				want := []bool{false, true, true}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("reused (-want +got):\n%s", diff)
				}
				if diff := cmp.Diff(want, traced); diff != "" {
					t.Errorf("reused, by the caller's trace (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// TestSentOnReusedConnection: an open connection breaks, which the client finds out when it
// has sent a request. It does not know whether the request arrived.
func TestSentOnReusedConnection(t *testing.T) {
	t.Parallel()
	for _, protocol := range protocols {
		for name, policy := range policies {
			t.Run(protocol+", "+name, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					var served atomic.Int64
					n := newServer(t, protocol, func(w http.ResponseWriter, r *http.Request) {
						if served.Add(1) == 2 {
							panic(http.ErrAbortHandler)
						}
						succeed(w, r)
					})
					tr := newTransport(n.pool)
					wantSuccess(t, tr.Do(t.Context(), newRequest(t, n.url)))
					r := newRequest(t, n.url)
					r.Policy = policy
					attempts := observe(r)
					tr.Do(t.Context(), r)
					first := (*attempts)[0]
					if first.Err == nil {
						t.Fatal("the first attempt has no error")
					}
					if !first.Reused {
						t.Error("the open connection is not reported as reused")
					}
					if first.NoConnection {
						t.Error("NoConnection is true, although there was one")
					}
					if want := policy != transport.NotIdempotent; first.Retry != want {
						t.Errorf("retried: %t, want %t", first.Retry, want)
					}
				})
			})
		}
	}
}

// TestStaleConnection: if an open HTTP/1.1 connection does not take the request, net/http
// itself sends it on a new one, within the attempt.
func TestStaleConnection(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{plainHTTP, http1} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				n := newServer(t, protocol, succeed)
				tr := newTransport(n.pool)
				wantSuccess(t, tr.Do(t.Context(), newRequest(t, n.url)))
				n.each(func(c *clientConn) { c.broken.Store(true) })
				r := newRequest(t, n.url)
				r.Policy = transport.NotIdempotent
				last := tr.Do(t.Context(), r)
				wantSuccess(t, last)
				wantAttempts(t, last, 1)
				wantDials(t, n, 2)
				if last.Reused {
					t.Error("the connection that responded was new, and is reported as reused")
				}
			})
		})
	}
}

// TestResentByNetHTTP: once an attempt had a connection, NoConnection is false, even if
// net/http itself resends the request and then gets none.
func TestResentByNetHTTP(t *testing.T) {
	t.Parallel()
	t.Run("HTTP/1.1", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			n := newServer(t, plainHTTP, succeed)
			n.onDial = func(_ context.Context, number int64) error {
				if number > 1 {
					return errBroken
				}
				return nil
			}
			tr := newTransport(n.pool)
			wantSuccess(t, tr.Do(t.Context(), newRequest(t, n.url)))
			n.each(func(c *clientConn) { c.broken.Store(true) })
			r := newRequest(t, n.url)
			r.Policy = transport.NotIdempotent
			wantNotSentAgain(t, tr.Do(t.Context(), r))
			wantDials(t, n, 2)
		})
	})
	t.Run("HTTP/2", func(t *testing.T) {
		t.Parallel()
		pool := transport.NewPool()
		pool.Proxy = nil
		defer pool.CloseIdleConnections()
		var dials atomic.Int64
		dial := pool.DialContext
		pool.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			if dials.Add(1) > 1 {
				return nil, errBroken
			}
			return dial(ctx, network, addr)
		}
		r := newRequest(t, listenHTTP2(t, pool, func(conn net.Conn, _ uint32) bool {
			const lastStream = "\x00\x00\x00\x00"
			writeFrame(conn, frameGoAway, 0, 0, lastStream+noError)
			return true
		}))
		r.Policy = transport.NotIdempotent
		wantNotSentAgain(t, newTransport(pool).Do(t.Context(), r))
		if got := dials.Load(); got != 2 {
			t.Errorf("dialed %d times, want 2", got)
		}
	})
}

// wantNotSentAgain fails unless the call failed with errBroken, and may have been sent.
func wantNotSentAgain(t *testing.T, last transport.Exchange) {
	t.Helper()
	wantAttempts(t, last, 1)
	if !errors.Is(last.Err, errBroken) {
		t.Errorf("got status %d, error %v, want %v", last.Status, last.Err, errBroken)
	}
	if last.NoConnection {
		t.Error("NoConnection is true, although there was one")
	}
}

// TestRefusedStream: an HTTP/2 server refuses a stream, and net/http itself sends the
// request again, within the attempt.
func TestRefusedStream(t *testing.T) {
	t.Parallel()
	pool := transport.NewPool()
	pool.Proxy = nil
	defer pool.CloseIdleConnections()
	r := newRequest(t, listenHTTP2(t, pool, func(conn net.Conn, stream uint32) bool {
		if stream == 1 {
			writeFrame(conn, frameRSTStream, 0, stream, refusedStream)
		} else {
			writeFrame(conn, frameHeaders, flagEndStreamAndEndHeaders, stream, status200)
		}
		return true
	}))
	r.Policy = transport.NotIdempotent
	last := newTransport(pool).Do(t.Context(), r)
	wantSuccess(t, last)
	wantAttempts(t, last, 1)
}

// TestLateConnection: a RoundTripper may get a connection after it has returned, as one that
// hedges does. The race detector watches this.
func TestLateConnection(t *testing.T) {
	t.Parallel()
	late := make(chan struct{})
	base := roundTripper(func(req *http.Request) (*http.Response, error) {
		trace := httptrace.ContextClientTrace(req.Context())
		go func() {
			trace.GotConn(httptrace.GotConnInfo{Reused: true})
			close(late)
		}()
		return respond(200)(req)
	})
	wantSuccess(t, newTransport(base).Do(t.Context(), newRequest(t, baseURL)))
	<-late
}

// TestNoTrace: of a RoundTripper that does not trace, nobody knows whether it got a
// connection.
func TestNoTrace(t *testing.T) {
	t.Parallel()
	r := newRequest(t, baseURL)
	r.Policy = transport.NotIdempotent
	wantNotSentAgain(t, newTransport(newFake(fail(errBroken))).Do(t.Context(), r))
}
