package transport_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
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
					t.Error("the lost connection is open, want it closed")
				}
			})
		})
	}
}

// TestSilentConnectionShortDeadlines: a lost connection is given up after 5 s, although every
// call on it ends sooner.
func TestSilentConnectionShortDeadlines(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newServer(t, http2, succeed)
		tr := newTransport(n.pool)
		wantSuccess(t, tr.Do(t.Context(), newRequest(t, n.url)))
		n.silence()
		start := time.Now()
		time.Sleep(500 * ms)
		everySecond := time.Tick(second)
		call := func() transport.Exchange {
			ctx, cancel := context.WithTimeout(t.Context(), 400*ms)
			defer cancel()
			return tr.Do(ctx, newRequest(t, n.url))
		}
		for range 5 { // after 0.5 s to 4.5 s
			last := call()
			if !errors.Is(last.Err, context.DeadlineExceeded) {
				t.Errorf("the call %v after the loss: got status %d, error %v, want its deadline",
					time.Since(start), last.Status, last.Err)
			}
			<-everySecond
		}
		for range 5 { // after 5.5 s to 9.5 s
			wantSuccess(t, call())
			<-everySecond
		}
		wantDials(t, n, 2)
	})
}

// TestSlowServer: a server that is slow but alive keeps its connection. A patient call, which
// could not be retried, shares it with impatient ones.
func TestSlowServer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newServer(t, http2, func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodPatch {
				waitForClient(w, r) // an impatient one, and does not return
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
					t.Errorf("an impatient call: got status %d, error %v, want its deadline",
						last.Status, last.Err)
				}
			})
		}
		wg.Wait()
		wantDials(t, n, 1)
	})
}

// TestProtocol: calls use HTTP/2 where the server speaks it. Two in a row share a connection.
func TestProtocol(t *testing.T) {
	t.Parallel()
	for protocol, major := range map[string]int{plainHTTP: 1, http1: 1, http2: 2} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				n := newServer(t, protocol, func(w http.ResponseWriter, r *http.Request) {
					if r.ProtoMajor != major {
						t.Errorf("the request has %s, want HTTP/%d", r.Proto, major)
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

// TestIdleConnections: a burst of HTTP/1.1 calls uses the connections of the burst before.
// The pool keeps up to 1,024 per host.
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

// TestFailedCallKeepsConnections: a call that fails leaves its connection open for the next
// call. By itself, go-retryablehttp would close it.
func TestFailedCallKeepsConnections(t *testing.T) {
	t.Parallel()
	const never = time.Hour
	refuse := func(context.Context) error { return errBroken }
	for name, tt := range map[string]struct {
		status      int
		cancelAfter time.Duration
		before      func(context.Context) error
		want        outcome
	}{
		"redirect":             {301, never, nil, outcome{301, nil}},
		"not retried":          {404, never, nil, outcome{404, nil}},
		"retried in vain":      {503, never, nil, outcome{503, nil}},
		"canceled in the wait": {503, second, nil, outcome{503, context.Canceled}},
		"refused by Before":    {200, never, refuse, outcome{0, errBroken}},
	} {
		for _, protocol := range protocols {
			t.Run(name+", "+protocol, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					var status atomic.Int64
					n := newServer(t, protocol, func(w http.ResponseWriter, _ *http.Request) {
						w.Header().Set("Retry-After", "5")
						w.WriteHeader(int(status.Load()))
						_, _ = io.WriteString(w, strings.Repeat("x", 100<<10))
					})
					tr := newTransport(n.pool)

					status.Store(http.StatusOK)
					wantSuccess(t, tr.Do(t.Context(), newRequest(t, n.url)))

					status.Store(int64(tt.status))
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					time.AfterFunc(tt.cancelAfter, cancel)
					r := newRequest(t, n.url)
					r.Before = tt.before
					last := tr.Do(ctx, r)
					if got := (outcome{last.Status, last.Ended}); got != tt.want {
						t.Errorf("the call: got %+v, want %+v", got, tt.want)
					}

					status.Store(http.StatusOK)
					wantSuccess(t, tr.Do(t.Context(), newRequest(t, n.url)))
					wantDials(t, n, 1)
				})
			})
		}
	}
}

// outcome is the status of a call's last attempt, and what prevented the next one.
type outcome struct {
	status int
	ended  error
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
			t.Errorf("NoConnection is false, want true; error %v", last.Err)
		}
	})
}

// TestProxyFromEnvironment is the only test of this package that may use the environment's
// proxy: net/http reads it once.
func TestProxyFromEnvironment(t *testing.T) {
	t.Setenv("HTTPS_PROXY", "http://proxy.test:3128")
	t.Setenv("NO_PROXY", "")
	req := httptest.NewRequest(http.MethodGet, "https://courier.test/", nil)
	proxy, err := transport.NewPool().Proxy(req)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprint(proxy), "http://proxy.test:3128"; got != want {
		t.Errorf("got proxy %s, want %s", got, want)
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
				wantDials(t, n, 1)
				tr.CloseIdleConnections()
				synctest.Wait()
				n.each(func(c *clientConn) {
					if !c.closed.Load() {
						t.Error("the connection is open, want it closed")
					}
				})
			})
		})
	}
}

// TestRoundTripperWithoutCloseIdleConnections: the transport has nothing to call, and does
// not panic.
func TestRoundTripperWithoutCloseIdleConnections(t *testing.T) {
	t.Parallel()
	newTransport(newFake(respond(200))).CloseIdleConnections()
}
