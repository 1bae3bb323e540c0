package transport_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/courier-profiles/courier-go/internal/transport"
)

// slowDial makes every dial take half a second.
func slowDial(context.Context, int64) error {
	time.Sleep(500 * time.Millisecond)
	return nil
}

// hangingDial hangs, like a dial to a host that drops packets.
func hangingDial(ctx context.Context) error {
	select {
	case <-time.After(10 * time.Second):
		return &net.OpError{Op: "dial", Net: "tcp", Err: context.DeadlineExceeded}
	case <-ctx.Done():
		return ctx.Err()
	}
}

// TestGate has 64 calls start together while no connection is open.
func TestGate(t *testing.T) {
	wrapped := func(pool *transport.Pool) http.RoundTripper {
		return step(func(req *http.Request) (*http.Response, error) { return pool.RoundTrip(req) })
	}
	for _, tt := range []struct {
		name string
		set  func(n *network, pool *transport.Pool) []*transport.Transport
	}{
		{"one transport", func(_ *network, pool *transport.Pool) []*transport.Transport {
			return []*transport.Transport{newTransport(pool)}
		}},
		{"pool wrapped", func(_ *network, pool *transport.Pool) []*transport.Transport {
			return []*transport.Transport{newTransport(wrapped(pool))}
		}},
		{"pool shared", func(_ *network, pool *transport.Pool) []*transport.Transport {
			return []*transport.Transport{newTransport(pool), newTransport(wrapped(pool)), newTransport(pool), newTransport(pool)}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := serve(t, http2, func(w http.ResponseWriter, r *http.Request) {
					time.Sleep(10 * time.Second) // nobody waits for another's response
					ok(w, r)
				})
				n.onDial = slowDial
				pool := newPool(t, n)
				transports := tt.set(n, pool)
				for _, cool := range []struct {
					state string
					do    func()
				}{
					{"new", func() {}},
					{"emptied", pool.CloseIdleConnections},
					{"silent", n.silence},
				} {
					cool.do()
					synctest.Wait()
					start, before := time.Now(), n.dials.Load()
					burst(t, n, 64, transports...)
					want := 500*time.Millisecond + 10*time.Second
					if cool.state == "silent" {
						want += 6 * time.Second
					}
					if took := time.Since(start); took > want {
						t.Errorf("%s: it took %v, want at most %v", cool.state, took, want)
					}
					if dials := n.dials.Load() - before; dials < 1 || dials > 2 {
						t.Errorf("%s: %d dials, want 1 or 2", cool.state, dials)
					}
				}
				// An open connection holds nobody back.
				start, before := time.Now(), n.dials.Load()
				burst(t, n, 64, transports...)
				wantElapsed(t, start, 10*time.Second)
				if dials := n.dials.Load() - before; dials != 0 {
					t.Errorf("%d dials with an open connection, want none", dials)
				}
			})
		})
	}
}

// TestGateHTTP1: connections that cannot be shared are waited for once.
func TestGateHTTP1(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := serve(t, http1, func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(5 * time.Second)
			ok(w, r)
		})
		n.onDial = slowDial
		pool := newPool(t, n)
		tr := newTransport(pool)
		start := time.Now()
		burst(t, n, 16, tr)
		wantElapsed(t, start, 6*time.Second)
		if dials := n.dials.Load(); dials != 16 {
			t.Errorf("%d dials for 16 calls", dials)
		}
		pool.CloseIdleConnections()
		synctest.Wait()
		start = time.Now()
		burst(t, n, 16, tr)
		wantElapsed(t, start, 5500*time.Millisecond)
	})
}

// TestGateUnwatched: connections of the base's own DialTLSContext are waited for once,
// because the pool does not see them close.
func TestGateUnwatched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := serve(t, http2, ok)
		n.onDial = slowDial
		n.base.DialContext, n.base.DialTLSContext = nil, tlsDialer(n)
		pool := newPool(t, n)
		tr := newTransport(pool)
		burst(t, n, 64, tr)
		if dials := n.dials.Load(); dials > 2 {
			t.Errorf("%d dials, want at most 2", dials)
		}
		pool.CloseIdleConnections()
		synctest.Wait()
		n.onDial = func(ctx context.Context, number int64) error {
			if number == 3 {
				return hangingDial(ctx)
			}
			return nil
		}
		n.dials.Store(2)
		go tr.Do(t.Context(), newRequest(t, n.url))
		synctest.Wait()
		start := time.Now()
		do(t, tr, n)
		wantElapsed(t, start, 0)
		time.Sleep(20 * time.Second)
	})
}

// TestGateFirstDialHangs: the others wait for one second and then dial themselves.
func TestGateFirstDialHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := serve(t, http2, ok)
		n.onDial = func(ctx context.Context, number int64) error {
			if number == 1 {
				return hangingDial(ctx)
			}
			return nil
		}
		tr := newTransport(newPool(t, n))
		start := time.Now()
		var wg sync.WaitGroup
		wg.Go(func() { do(t, tr, n) })
		synctest.Wait()
		for range 2 {
			wg.Go(func() {
				do(t, tr, n)
				wantElapsed(t, start, time.Second)
			})
		}
		wg.Go(func() { // releases those that came later, too
			time.Sleep(500 * time.Millisecond)
			do(t, tr, n)
			wantElapsed(t, start, time.Second)
		})
		wg.Wait()
		start = time.Now()
		do(t, tr, n)
		wantElapsed(t, start, 0)
		time.Sleep(20 * time.Second) // for the dial that hangs
	})
}

// TestGateFirstDialFails: the next call takes its place, and the wait is still one second
// at most.
func TestGateFirstDialFails(t *testing.T) {
	refused := &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}
	for _, tt := range []struct {
		name    string
		failing int64 // dials
		after   time.Duration
		calls   int
		took    time.Duration
		dials   int64
	}{
		{"at once", 1, 0, 64, 0, 2},
		{"after a moment", 2, 300 * time.Millisecond, 64, 600 * time.Millisecond, 4},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := serve(t, http2, ok)
				n.onDial = func(_ context.Context, number int64) error {
					if number > tt.failing {
						return nil
					}
					time.Sleep(tt.after)
					return refused
				}
				tr := newTransport(newPool(t, n))
				tr.MaxRetries = 0
				start := time.Now()
				failed := make([]error, tt.calls)
				var wg sync.WaitGroup
				for i := range tt.calls {
					wg.Go(func() {
						failed[i] = tr.Do(t.Context(), newRequest(t, n.url)).Err
						if took := time.Since(start); took > tt.took {
							t.Errorf("a call took %v, want at most %v", took, tt.took)
						}
					})
				}
				wg.Wait()
				var failures int64
				for _, err := range failed {
					if err != nil {
						failures++
					}
				}
				if failures != tt.failing {
					t.Errorf("%d calls failed, want %d", failures, tt.failing)
				}
				if dials := n.dials.Load(); dials > tt.dials {
					t.Errorf("%d dials, want at most %d", dials, tt.dials)
				}
			})
		})
	}
	t.Run("slowly", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			n := serve(t, http2, ok)
			n.onDial = func(ctx context.Context, _ int64) error {
				time.Sleep(700 * time.Millisecond)
				return refused
			}
			tr := newTransport(newPool(t, n))
			tr.MaxRetries = 0
			start := time.Now()
			var wg sync.WaitGroup
			for range 64 {
				wg.Go(func() {
					if resp := tr.Do(t.Context(), newRequest(t, n.url)); !errors.Is(resp.Err, refused) {
						t.Errorf("%+v", resp)
					}
				})
			}
			wg.Wait()
			// Two dials one after the other, or a wait of 1 s and a dial.
			wantElapsed(t, start, 1700*time.Millisecond)
		})
	})
}

// TestGateContext: a call waits for the first connection in its own time.
func TestGateContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := serve(t, http2, ok)
		n.onDial = func(ctx context.Context, _ int64) error { return hangingDial(ctx) }
		tr := newTransport(newPool(t, n))
		tr.MaxRetries = 0
		go tr.Do(t.Context(), newRequest(t, n.url))
		synctest.Wait()
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		if resp := tr.Do(ctx, newRequest(t, n.url)); resp.Err != context.DeadlineExceeded || resp.Attempts != 1 {
			t.Errorf("%+v", resp)
		}
		wantElapsed(t, start, 300*time.Millisecond)
		tr.Timeout = 200 * time.Millisecond
		if resp := tr.Do(t.Context(), newRequest(t, n.url)); !errors.Is(resp.Err, context.DeadlineExceeded) {
			t.Errorf("%+v", resp)
		}
		wantElapsed(t, start, 500*time.Millisecond)
		time.Sleep(20 * time.Second)
	})
}

// TestGateHosts: a host whose dial hangs does not hold back calls to another.
func TestGateHosts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := serve(t, http2, ok)
		n.base.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			if address == "example.com:443" {
				return nil, hangingDial(ctx)
			}
			return n.dial(ctx, network, address)
		}
		tr := newTransport(newPool(t, n))
		go tr.Do(t.Context(), newRequest(t, "https://example.com/base/v1"))
		synctest.Wait()
		start := time.Now()
		do(t, tr, n)
		wantElapsed(t, start, 0)
		time.Sleep(60 * time.Second)
	})
}

// TestGatePlainHTTP: without TLS there is no HTTP/2 and nothing to wait for.
func TestGatePlainHTTP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := serve(t, plain, ok)
		n.onDial = slowDial
		start := time.Now()
		burst(t, n, 64, newTransport(newPool(t, n)))
		wantElapsed(t, start, 500*time.Millisecond)
		if dials := n.dials.Load(); dials != 64 {
			t.Errorf("%d dials for 64 calls", dials)
		}
	})
}
