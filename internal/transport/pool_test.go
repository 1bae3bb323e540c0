package transport_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/courier-profiles/courier-go/internal/transport"
)

// newPool returns a pool that is empty when the test ends.
func newPool(t testing.TB, n *network) *transport.Pool {
	pool := transport.NewPool(n.base)
	t.Cleanup(pool.CloseIdleConnections)
	return pool
}

// do sends a request and fails unless the response is a 200.
func do(t testing.TB, tr *transport.Transport, n *network) {
	t.Helper()
	if r := tr.Do(t.Context(), newRequest(t, n.url)); r.Status != http.StatusOK {
		t.Errorf("status %d, error %v, ended %v", r.Status, r.Err, r.Ended)
	}
}

// TestSilentConnection loses an HTTP/2 connection without a FIN. Its calls fail within
// 5 s and are retried on a new connection.
func TestSilentConnection(t *testing.T) {
	for _, tt := range []struct {
		name    string
		calls   int
		timeout time.Duration
		policy  transport.Policy
	}{
		{"one call, 5 s", 1, 5 * time.Second, transport.Idempotent},
		{"64 calls, 5 s", 64, 5 * time.Second, transport.Idempotent},
		{"64 calls, default timeout", 64, 30 * time.Second, transport.IdempotentWithKey},
		{"64 calls, no timeout", 64, 0, transport.Idempotent},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := serve(t, http2, ok)
				tr := newTransport(newPool(t, n))
				tr.Timeout = tt.timeout
				do(t, tr, n)
				n.silence()

				start := time.Now()
				var wg sync.WaitGroup
				for range tt.calls {
					wg.Go(func() {
						r := newRequest(t, n.url)
						r.Policy = tt.policy
						resp := tr.Do(t.Context(), r)
						if resp.Status != http.StatusOK || resp.Attempts != 2 {
							t.Errorf("status %d after %d attempts, error %v", resp.Status, resp.Attempts, resp.Err)
						}
					})
				}
				wg.Wait()
				if took := time.Since(start); took < 5500*time.Millisecond || took > 6*time.Second {
					t.Errorf("it took %v, want 5.5 s to 6 s", took)
				}
				if dials := n.dials.Load(); dials > 3 {
					t.Errorf("%d dials, want the first one and at most 2", dials)
				}
			})
		})
	}
}

// TestSilentConnectionShortDeadlines makes a call a second, whose deadlines are shorter
// than it takes to find the connection dead.
func TestSilentConnectionShortDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := serve(t, http2, ok)
		tr := newTransport(newPool(t, n))
		do(t, tr, n)
		n.silence()
		var wg sync.WaitGroup
		for second := range 40 {
			wg.Go(func() {
				time.Sleep(time.Duration(second) * time.Second)
				ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
				defer cancel()
				resp := tr.Do(ctx, newRequest(t, n.url))
				if second >= 5 && resp.Status != http.StatusOK {
					t.Errorf("the call after %d s failed: %v", second, resp.Err)
				}
				if second == 0 && !errors.Is(resp.Err, context.DeadlineExceeded) {
					t.Errorf("the first call has the error %v; was the connection silent?", resp.Err)
				}
			})
		}
		wg.Wait()
	})
}

// TestSlowConnection shares a connection to a slow but healthy server between a patient
// call that cannot be retried and many with short deadlines.
func TestSlowConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := serve(t, http2, func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPatch {
				time.Sleep(8 * time.Second)
				ok(w, r)
				return
			}
			until(w, r)
		})
		tr := newTransport(newPool(t, n))
		var wg sync.WaitGroup
		wg.Go(func() {
			start := time.Now()
			r := newRequest(t, n.url)
			r.Method, r.Policy = http.MethodPatch, transport.NotIdempotent
			resp := tr.Do(t.Context(), r)
			if resp.Status != http.StatusOK || resp.Attempts != 1 {
				t.Errorf("the patient call: status %d after %d attempts, error %v", resp.Status, resp.Attempts, resp.Err)
			}
			wantElapsed(t, start, 8*time.Second)
		})
		synctest.Wait()
		for i := range 160 {
			wg.Go(func() {
				time.Sleep(time.Duration(i) * 50 * time.Millisecond)
				for _, deadline := range []time.Duration{5 * time.Millisecond, 1300 * time.Millisecond} {
					ctx, cancel := context.WithTimeout(t.Context(), deadline)
					resp := tr.Do(ctx, newRequest(t, n.url))
					cancel()
					if !errors.Is(resp.Err, context.DeadlineExceeded) {
						t.Errorf("a call with a deadline of %v: %+v", deadline, resp)
					}
				}
			})
		}
		wg.Wait()
		if dials := n.dials.Load(); dials != 1 {
			t.Errorf("%d dials, want 1", dials)
		}
	})
}

// TestPings: a base's own settings are kept, one by one.
func TestPings(t *testing.T) {
	for _, tt := range []struct {
		name   string
		config *http.HTTP2Config
		after  time.Duration
	}{
		{"unset", nil, 5 * time.Second},
		{"empty", &http.HTTP2Config{}, 5 * time.Second},
		{"another setting", &http.HTTP2Config{MaxReadFrameSize: 1 << 20}, 5 * time.Second},
		{"interval", &http.HTTP2Config{SendPingTimeout: 20 * time.Second}, 22 * time.Second},
		{"timeout", &http.HTTP2Config{PingTimeout: 7 * time.Second}, 10 * time.Second},
		{"both", &http.HTTP2Config{SendPingTimeout: time.Second, PingTimeout: time.Second}, 2 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := serve(t, http2, ok)
				n.base.HTTP2 = tt.config
				before := fmt.Sprintf("%+v", n.base.HTTP2)
				tr := newTransport(newPool(t, n))
				tr.MaxRetries = 0
				do(t, tr, n)
				n.silence()
				start := time.Now()
				resp := tr.Do(t.Context(), newRequest(t, n.url))
				if resp.Err == nil {
					t.Error("a silent connection responded")
				}
				wantElapsed(t, start, tt.after)
				if after := fmt.Sprintf("%+v", n.base.HTTP2); tt.config != nil && after != before {
					t.Errorf("the base's own HTTP2Config was changed to %s", after)
				}
			})
		})
	}
}

// TestProtocol: HTTP/2 where the server has it, unless the base rules it out.
func TestProtocol(t *testing.T) {
	only := func(set func(*http.Protocols)) *http.Protocols {
		p := new(http.Protocols)
		set(p)
		return p
	}
	for _, tt := range []struct {
		name   string
		server int
		change func(*http.Transport, *network)
		major  int
	}{
		{"HTTP/2", http2, func(*http.Transport, *network) {}, 2},
		{"HTTP/1.1 server", http1, func(*http.Transport, *network) {}, 1},
		{"no TLS", plain, func(*http.Transport, *network) {}, 1},
		{"TLSNextProto", http2, func(b *http.Transport, _ *network) {
			b.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
		}, 1},
		{"Protocols without HTTP/2", http2, func(b *http.Transport, _ *network) {
			b.Protocols = only(func(p *http.Protocols) { p.SetHTTP1(true) })
		}, 1},
		{"Protocols with HTTP/2", http2, func(b *http.Transport, _ *network) {
			b.Protocols = only(func(p *http.Protocols) { p.SetHTTP2(true) })
		}, 2},
		{"own DialTLSContext", http2, func(b *http.Transport, n *network) {
			b.DialContext, b.DialTLSContext = nil, tlsDialer(n)
		}, 2},
		{"own Dial", http2, func(b *http.Transport, n *network) {
			b.DialContext = nil
			//lint:ignore SA1019 a base may still have it
			b.Dial = func(network, address string) (net.Conn, error) {
				return n.dial(context.Background(), network, address)
			}
		}, 2},
		{"base in use already", http2, func(b *http.Transport, _ *network) { b.CloseIdleConnections(); b.Clone() }, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := serve(t, tt.server, func(w http.ResponseWriter, r *http.Request) {
					if r.ProtoMajor != tt.major {
						t.Errorf("the request is %s", r.Proto)
					}
					ok(w, r)
				})
				tt.change(n.base, n)
				tr := newTransport(newPool(t, n))
				do(t, tr, n)
				do(t, tr, n)
				if dials := n.dials.Load(); dials != 1 {
					t.Errorf("%d dials, want 1", dials)
				}
			})
		})
	}
}

// TestIdleConnections counts the dials of a second burst of calls over HTTP/1.1.
func TestIdleConnections(t *testing.T) {
	const calls = 120
	for _, tt := range []struct {
		name   string
		change func(*http.Transport)
		dials  int64
	}{
		{"default", func(*http.Transport) {}, 0},
		{"as http.DefaultTransport", func(b *http.Transport) { b.MaxIdleConns = 100 }, 0},
		{"own limit", func(b *http.Transport) { b.MaxIdleConnsPerHost = 10 }, calls - 10},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := serve(t, plain, func(w http.ResponseWriter, r *http.Request) {
					time.Sleep(time.Second)
					ok(w, r)
				})
				tt.change(n.base)
				tr := newTransport(newPool(t, n))
				var first int64
				for range 2 {
					first = n.dials.Load()
					burst(t, n, calls, tr)
				}
				if dials := n.dials.Load() - first; dials != tt.dials {
					t.Errorf("the second burst of %d calls dialed %d times, want %d", calls, dials, tt.dials)
				}
			})
		})
	}
}

// burst makes calls at once, spread over the transports.
func burst(t *testing.T, n *network, calls int, transports ...*transport.Transport) {
	t.Helper()
	var wg sync.WaitGroup
	for i := range calls {
		wg.Go(func() { do(t, transports[i%len(transports)], n) })
	}
	wg.Wait()
}

// TestPoolKeepsConnections: a failed call leaves the idle connections alone.
// go-retryablehttp would close them.
func TestPoolKeepsConnections(t *testing.T) {
	for _, status := range []int{200, 204, 301, 404, 503} {
		for name, protocol := range map[string]int{"plain": plain, "HTTP/1.1": http1, "HTTP/2": http2} {
			t.Run(name+" "+http.StatusText(status), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					n := serve(t, protocol, func(w http.ResponseWriter, _ *http.Request) {
						w.WriteHeader(status)
						if status != http.StatusNoContent {
							_, _ = io.WriteString(w, strings.Repeat("x", 100<<10))
						}
					})
					tr := newTransport(newPool(t, n))
					for range 3 {
						if resp := tr.Do(t.Context(), newRequest(t, n.url)); resp.Status != status {
							t.Errorf("%+v", resp)
						}
					}
					if dials := n.dials.Load(); dials != 1 {
						t.Errorf("%d dials, want 1", dials)
					}
				})
			})
		}
	}
}

func TestCloseIdleConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := serve(t, http2, ok)
		pool := newPool(t, n)
		tr := newTransport(pool)
		for range 3 {
			do(t, tr, n)
			(&http.Client{Transport: pool}).CloseIdleConnections()
			synctest.Wait()
			if open := n.openConns(); open != 0 {
				t.Errorf("%d connections are open", open)
			}
		}
		if dials := n.dials.Load(); dials != 3 {
			t.Errorf("%d dials, want 3", dials)
		}
	})
}

// TestPoolRefusesWhatNetHTTPRefuses: the pool adds no panic of its own.
func TestPoolRefusesWhatNetHTTPRefuses(t *testing.T) {
	pool := transport.NewPool(nil)
	for name, req := range map[string]*http.Request{
		"no URL":    {Header: http.Header{}},
		"no host":   {Header: http.Header{}, URL: &url.URL{Scheme: "https"}},
		"no scheme": {Header: http.Header{}, URL: &url.URL{Host: "courier.test"}},
		"no header": {URL: &url.URL{Scheme: "https", Host: "courier.test"}},
	} {
		if _, err := pool.RoundTrip(req); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	n := &network{base: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return nil, nil }}}
	tr := newTransport(newPool(t, n))
	tr.MaxRetries = 0
	resp := tr.Do(t.Context(), newRequest(t, "http://courier.test/base/v1"))
	if resp.Err == nil || !strings.Contains(resp.Err.Error(), "hook returned (nil, nil)") {
		t.Errorf("a dial that returns nothing: %v", resp.Err)
	}
}

// behindProxy has a proxy respond to CONNECT with response, and connects to n if that is
// "200 OK".
func behindProxy(n *network, response string) *network {
	proxy := &network{url: "https://127.0.0.1/base/v1", base: n.base}
	proxy.accept = func(c net.Conn) {
		go func() {
			if _, err := http.ReadRequest(bufio.NewReader(c)); err != nil {
				c.Close()
				return
			}
			_, _ = io.WriteString(c, "HTTP/1.1 "+response+"\r\n\r\n")
			if response == "200 OK" {
				n.accept(c)
				return
			}
			c.Close()
		}()
	}
	proxy.base.DialContext = proxy.dial
	proxy.base.Proxy = http.ProxyURL(&url.URL{Scheme: "http", Host: "proxy.test:3128"})
	return proxy
}

func TestProxyConnect(t *testing.T) {
	for _, tt := range []struct {
		response string
		attempts int
	}{
		{"407 Proxy Authentication Required", 1},
		{"403 Forbidden", 1},
		{"404 Not Found", 4},
		{"502 Bad Gateway", 4},
		{"503 Service Unavailable", 4},
	} {
		for _, p := range policies {
			t.Run(tt.response+", "+p.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					proxy := behindProxy(serve(t, http2, ok), tt.response)
					r := newRequest(t, proxy.url)
					r.Policy = p.policy
					resp := newTransport(newPool(t, proxy)).Do(t.Context(), r)
					if resp.Attempts != tt.attempts {
						t.Errorf("%d attempts, want %d", resp.Attempts, tt.attempts)
					}
					if want := "proxyconnect tcp: the proxy refused the connection: " + tt.response; resp.Err == nil || resp.Err.Error() != want {
						t.Errorf("error %v, want %q", resp.Err, want)
					}
				})
			})
		}
	}
	t.Run("200 OK", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			proxy := behindProxy(serve(t, http2, ok), "200 OK")
			tr := newTransport(newPool(t, proxy))
			burst(t, proxy, 64, tr)
			if dials := proxy.dials.Load(); dials > 2 {
				t.Errorf("%d dials, want at most 2", dials)
			}
		})
	})
	t.Run("the base's own hook", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			for _, own := range []error{nil, errBroken} {
				called := 0
				proxy := behindProxy(serve(t, http2, ok), "407 Proxy Authentication Required")
				proxy.base.OnProxyConnectResponse = func(_ context.Context, u *url.URL, _ *http.Request, resp *http.Response) error {
					if u.Host != "proxy.test:3128" || resp.StatusCode != http.StatusProxyAuthRequired {
						t.Errorf("it is told %v of %s", resp.Status, u)
					}
					called++
					return own
				}
				tr := newTransport(newPool(t, proxy))
				tr.MaxRetries = 0
				resp := tr.Do(t.Context(), newRequest(t, proxy.url))
				if called != 1 || own != nil && !errors.Is(resp.Err, own) || own == nil && !strings.Contains(resp.Err.Error(), "407") {
					t.Errorf("called %d times, the error is %v", called, resp.Err)
				}
			}
		})
	})
}
