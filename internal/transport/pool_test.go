package transport_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/courier-profiles/courier-go/internal/transport"
)

// TestSilentConnection loses an HTTP/2 connection, which neither side sees closed. What
// waits on it fails after 5 s, and is retried on a new connection. The lost one is closed.
func TestSilentConnection(t *testing.T) {
	t.Parallel()
	for name, calls := range map[string]int{"one call": 1, "64 calls": 64} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				n := newServer(t, http2, succeed)
				tr := newTransport(n.pool)
				wantSuccess(t, tr.Do(t.Context(), newRequest(t, n.url)))
				n.silence()
				lost := n.conns[0]
				start := time.Now()
				var wg sync.WaitGroup
				for range calls {
					wg.Go(func() {
						last := tr.Do(t.Context(), newRequest(t, n.url))
						wantSuccess(t, last)
						wantAttempts(t, last, 2)
					})
				}
				wg.Wait()
				wantElapsed(t, start, 5*second)
				if !lost.closed.Load() {
					t.Error("the lost connection is still open")
				}
			})
		})
	}
}

// TestSilentConnectionShortDeadlines: a call a second on a lost connection, with deadlines
// shorter than it takes to find out, does not keep it open.
func TestSilentConnectionShortDeadlines(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newServer(t, http2, succeed)
		tr := newTransport(n.pool)
		wantSuccess(t, tr.Do(t.Context(), newRequest(t, n.url)))
		n.silence()
		start := time.Now()
		for number := range 10 {
			time.Sleep(time.Until(start.Add(time.Duration(number)*second + 500*ms)))
			ctx, cancel := context.WithTimeout(t.Context(), 400*ms)
			last := tr.Do(ctx, newRequest(t, n.url))
			cancel()
			if succeeded := last.Status == http.StatusOK; succeeded != (number >= 5) {
				t.Errorf("the call after %d.5 s: got status %d, error %v, want a success after 5 s",
					number, last.Status, last.Err)
			}
		}
		wantDials(t, n, 2)
	})
}

// TestSlowServer shares a connection between a patient call, which could not be retried,
// and impatient ones: a server that is slow but alive keeps its connection.
func TestSlowServer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newServer(t, http2, func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodPatch {
				waitForClient(w, r)
			}
			time.Sleep(20 * second)
			succeed(w, r)
		})
		tr := newTransport(n.pool)
		var wg sync.WaitGroup
		wg.Go(func() {
			r := newRequest(t, n.url)
			r.Method, r.Policy = http.MethodPatch, transport.NotIdempotent
			last := tr.Do(t.Context(), r)
			wantSuccess(t, last)
			wantAttempts(t, last, 1)
		})
		synctest.Wait()
		for i := range 50 {
			wg.Go(func() {
				time.Sleep(time.Duration(i) * 300 * ms)
				ctx, cancel := context.WithTimeout(t.Context(), second)
				defer cancel()
				last := tr.Do(ctx, newRequest(t, n.url))
				if !errors.Is(last.Err, context.DeadlineExceeded) {
					t.Errorf("an impatient call ended with %v", last.Err)
				}
			})
		}
		wg.Wait()
		wantDials(t, n, 1)
	})
}

// TestProtocol: HTTP/2 where the server speaks it. Two calls in a row share a connection.
func TestProtocol(t *testing.T) {
	t.Parallel()
	for protocol, major := range map[string]int{plainHTTP: 1, http1: 1, http2: 2} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				n := newServer(t, protocol, func(w http.ResponseWriter, r *http.Request) {
					if r.ProtoMajor != major {
						t.Errorf("the request is %s, want HTTP/%d", r.Proto, major)
					}
					succeed(w, r)
				})
				tr := newTransport(n.pool)
				for range 2 {
					wantSuccess(t, tr.Do(t.Context(), newRequest(t, n.url)))
				}
				wantDials(t, n, 1)
			})
		})
	}
}

// TestIdleConnections: a burst of HTTP/1.1 calls finds the connections of the one before, of
// which the pool keeps up to 1,024 per host.
func TestIdleConnections(t *testing.T) {
	t.Parallel()
	const calls = 1024
	synctest.Test(t, func(t *testing.T) {
		n := newServer(t, plainHTTP, func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(second)
			succeed(w, r)
		})
		tr := newTransport(n.pool)
		for range 3 {
			var wg sync.WaitGroup
			for range calls {
				wg.Go(func() { wantSuccess(t, tr.Do(t.Context(), newRequest(t, n.url))) })
			}
			wg.Wait()
			wantDials(t, n, calls)
		}
	})
}

// TestFailedCallKeepsConnections: go-retryablehttp by itself empties the pool after a call
// that fails.
func TestFailedCallKeepsConnections(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		status      int
		cancelAfter time.Duration
		before      func(context.Context) error
	}{
		"redirect":             {301, time.Hour, nil},
		"not retried":          {404, time.Hour, nil},
		"retried in vain":      {503, time.Hour, nil},
		"canceled in the wait": {503, second, nil},
		"refused by Before":    {200, time.Hour, func(context.Context) error { return errBroken }},
	} {
		for _, protocol := range protocols {
			t.Run(name+", "+protocol, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					status := http.StatusOK
					n := newServer(t, protocol, func(w http.ResponseWriter, _ *http.Request) {
						w.Header().Set("Retry-After", "5")
						w.WriteHeader(status)
						_, _ = io.WriteString(w, strings.Repeat("x", 100<<10))
					})
					tr := newTransport(n.pool)
					wantSuccess(t, tr.Do(t.Context(), newRequest(t, n.url)))
					status = tt.status
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					time.AfterFunc(tt.cancelAfter, cancel)
					r := newRequest(t, n.url)
					r.Before = tt.before
					tr.Do(ctx, r)
					status = http.StatusOK
					wantSuccess(t, tr.Do(t.Context(), newRequest(t, n.url)))
					wantDials(t, n, 1)
				})
			})
		}
	}
}

// TestIdleTimeout: an idle connection is closed after 90 s.
func TestIdleTimeout(t *testing.T) {
	t.Parallel()
	for _, protocol := range protocols {
		for idle, dials := range map[time.Duration]int64{89 * second: 1, 91 * second: 2} {
			t.Run(protocol+", "+idle.String(), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					n := newServer(t, protocol, succeed)
					tr := newTransport(n.pool)
					wantSuccess(t, tr.Do(t.Context(), newRequest(t, n.url)))
					time.Sleep(idle)
					wantSuccess(t, tr.Do(t.Context(), newRequest(t, n.url)))
					wantDials(t, n, dials)
				})
			})
		}
	}
}

// TestHandshakeTimeout: an attempt without a timeout does not wait for a handshake forever.
func TestHandshakeTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t, "https://courier.test/base", hold)
		config := newConfig(n.pool)
		config.Timeout, config.MaxRetries = 0, 0
		start := time.Now()
		last := transport.New(config).Do(t.Context(), newRequest(t, n.url))
		wantElapsed(t, start, 10*second)
		if !last.NoConnection {
			t.Errorf("NoConnection is false, error %v", last.Err)
		}
	})
}

// TestProxyFromEnvironment: net/http reads the environment once, so no other test of this
// package may use it.
func TestProxyFromEnvironment(t *testing.T) {
	t.Setenv("HTTPS_PROXY", "http://proxy.test:3128")
	t.Setenv("NO_PROXY", "")
	req := httptest.NewRequest(http.MethodGet, "https://courier.test/", nil)
	got, err := transport.NewPool().Proxy(req)
	if err != nil {
		t.Fatal(err)
	}
	if got == nil || got.Host != "proxy.test:3128" {
		t.Errorf("got proxy %v, want that of the environment", got)
	}
}

func TestCloseIdleConnections(t *testing.T) {
	t.Parallel()
	for _, protocol := range protocols {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				n := newServer(t, protocol, succeed)
				tr := newTransport(n.pool)
				wantSuccess(t, tr.Do(t.Context(), newRequest(t, n.url)))
				synctest.Wait()
				tr.CloseIdleConnections()
				synctest.Wait()
				n.each(func(c *clientConn) {
					if !c.closed.Load() {
						t.Error("a connection is still open")
					}
				})
			})
		})
	}
}

// TestRoundTripperWithoutCloseIdleConnections: there is nothing to close.
func TestRoundTripperWithoutCloseIdleConnections(t *testing.T) {
	t.Parallel()
	newTransport(newFake(respond(200))).CloseIdleConnections()
}
