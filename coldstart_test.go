//go:build go1.26

package courier_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	courier "github.com/courier-profiles/courier-go"
)

// The cold start in a bubble: a TLS server on pipes, whose connections take a
// second to dial. It needs Go 1.26: HTTP/2 servers before that share channels with
// what is outside of their bubble.

// coldListener hands out the server's ends of pipes.
type coldListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (l *coldListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *coldListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *coldListener) Addr() net.Addr { return coldAddr{} }

type coldAddr struct{}

func (coldAddr) Network() string { return "pipe" }
func (coldAddr) String() string  { return "127.0.0.1:443" }

// coldConn is an end of a pipe to which writing does not wait for the reader, as
// on a network. Otherwise a server being closed would wait, with a mutex locked,
// for a client to read, and the bubble's time stands still while others wait for
// the mutex.
type coldConn struct {
	net.Conn
	queue  chan []byte
	closed chan struct{}
	once   sync.Once
}

func newColdConn(pipe net.Conn) *coldConn {
	c := &coldConn{Conn: pipe, queue: make(chan []byte, 1024), closed: make(chan struct{})}
	go c.pump()
	return c
}

func (c *coldConn) pump() {
	for {
		select {
		case b := <-c.queue:
			if _, err := c.Conn.Write(b); err != nil {
				c.Close()
			}
		case <-c.closed:
			return
		}
	}
}

func (c *coldConn) Write(b []byte) (int, error) {
	select {
	case c.queue <- bytes.Clone(b):
		return len(b), nil
	case <-c.closed:
		return 0, net.ErrClosed
	}
}

func (c *coldConn) Close() error {
	c.once.Do(func() {
		close(c.closed)
		c.Conn.Close()
	})
	return nil
}

func (c *coldConn) SetWriteDeadline(time.Time) error { return nil }

// coldServer is a server in a bubble.
type coldServer struct {
	*connServer
	transport *http.Transport
	dials     atomic.Int64
	// dial, if it is not nil, is called with the number of the dial, and may
	// make it fail.
	dial func(ctx context.Context, n int64) error

	mu       sync.Mutex
	start    time.Time
	arrivals []time.Duration // of requests
}

const coldDial = time.Second

// coldServe starts a server whose answers take latency.
func coldServe(t *testing.T, start func(*httptest.Server), latency time.Duration) *coldServer {
	s := &coldServer{start: time.Now()}
	listener := &coldListener{conns: make(chan net.Conn), closed: make(chan struct{})}
	s.connServer = connServe(t, func(server *httptest.Server) {
		server.Listener.Close()
		server.Listener = listener
		start(server)
	}, func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.arrivals = append(s.arrivals, time.Since(s.start))
		s.mu.Unlock()
		time.Sleep(latency)
		connAnswer(200)(w, r)
	})
	s.transport = s.Client().Transport.(*http.Transport)
	s.transport.IdleConnTimeout = 90 * time.Second
	s.transport.MaxIdleConnsPerHost = 100
	s.transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
		n := s.dials.Add(1)
		select {
		case <-time.After(coldDial):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		if s.dial != nil {
			if err := s.dial(ctx, n); err != nil {
				return nil, err
			}
		}
		a, b := net.Pipe()
		ours, theirs := newColdConn(a), newColdConn(b)
		select {
		case listener.conns <- theirs:
			return ours, nil
		case <-listener.closed:
			ours.Close()
			theirs.Close()
			return nil, net.ErrClosed
		}
	}
	return s
}

// coldOutcome is how a call ended, and when.
type coldOutcome struct {
	err error
	at  time.Duration
}

// coldCall has n callers come at once, and returns how they fared.
func (s *coldServer) coldCall(ctx context.Context, client *courier.Client, n int) []coldOutcome {
	s.mu.Lock()
	s.start, s.arrivals = time.Now(), nil
	s.mu.Unlock()
	outcomes := make([]coldOutcome, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			_, err := retryMerge(ctx, client)
			outcomes[i] = coldOutcome{err, time.Since(s.start)}
		})
	}
	wg.Wait()
	return outcomes
}

// wantCold fails unless n requests arrived, the first at the one time and all
// others at the other, or earlier if that is allowed.
func (s *coldServer) wantCold(t *testing.T, n int, first, others time.Duration, earlier bool) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.arrivals) != n {
		t.Fatalf("%d requests arrived, want %d", len(s.arrivals), n)
	}
	for i, at := range s.arrivals {
		want := others
		if i == 0 {
			want = first
		}
		if at > want || at < want && (i == 0 || !earlier) {
			t.Fatalf("request %d arrived after %v, want %v; all: %v", i+1, at, want, s.arrivals)
		}
	}
}

func TestColdStart(t *testing.T) {
	const many, few, settle = 64, 16, 250 * time.Millisecond
	tests := []struct {
		name    string
		callers int
		start   func(*httptest.Server)
		latency time.Duration
		others  time.Duration // when the requests after the first arrive
		earlier bool          // or before that, on the first connection
		dials   int64
	}{
		{"HTTP/2, quick answer", many, connStartHTTP2, 100 * time.Millisecond, coldDial + 100*time.Millisecond, false, 1},
		{"HTTP/2, slow answer", many, connStartHTTP2, 10 * time.Second, coldDial + settle, false, 1},
		// Nobody waits for the answer, only for the first connection.
		{"HTTP/1.1, quick answer", few, (*httptest.Server).StartTLS, 100 * time.Millisecond, 2 * coldDial, true, few},
		{"HTTP/1.1, slow answer", few, (*httptest.Server).StartTLS, 10 * time.Second, 2 * coldDial, false, few},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := coldServe(t, tt.start, tt.latency)
				client, attempts := connClient(t, s.base, s.transport)
				cool := map[string]func(){
					"new":     func() {},
					"emptied": client.CloseIdleConnections,
					"idle":    func() { time.Sleep(s.transport.IdleConnTimeout) },
				}
				for _, state := range []string{"new", "emptied", "idle", "emptied"} {
					synctest.Wait()
					cool[state]()
					synctest.Wait()
					before := s.dials.Load()
					for _, outcome := range s.coldCall(t.Context(), client, tt.callers) {
						if outcome.err != nil || outcome.at > tt.others+tt.latency {
							t.Errorf("%s: a call took %v, error %v", state, outcome.at, outcome.err)
						}
					}
					s.wantCold(t, tt.callers, coldDial, tt.others, tt.earlier)
					if n := s.dials.Load() - before; n != tt.dials {
						t.Errorf("%s: %d dials, want %d", state, n, tt.dials)
					}
				}
				// A warm client holds nobody back.
				before := s.dials.Load()
				for _, outcome := range s.coldCall(t.Context(), client, tt.callers) {
					if outcome.err != nil || outcome.at != tt.latency {
						t.Errorf("warm: a call took %v, error %v, want %v", outcome.at, outcome.err, tt.latency)
					}
				}
				if n := s.dials.Load() - before; n != 0 {
					t.Errorf("warm: %d dials, want none", n)
				}
				for _, attempt := range attempts.all {
					if attempt.Number != 1 || attempt.Err != nil {
						t.Errorf("attempt %+v", attempt)
					}
				}
			})
		})
	}
}

// TestColdStartFirstFails: the others go, each for itself, and the next one to
// come is first again.
func TestColdStartFirstFails(t *testing.T) {
	for name, dial := range map[string]func(context.Context, int64) error{
		"dial fails": func(_ context.Context, n int64) error {
			if n == 1 {
				return &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("out of luck")}
			}
			return nil
		},
		"dial hangs until the first gives up": func(ctx context.Context, n int64) error {
			if n == 1 {
				<-ctx.Done()
			}
			return ctx.Err()
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := coldServe(t, connStartHTTP2, 0)
				s.dial = dial
				client, _ := connClient(t, s.base, s.transport, courier.WithMaxRetries(0))
				ctx, giveUp := context.WithTimeout(t.Context(), 5*time.Second)
				defer giveUp()
				firstDone := make(chan error, 1)
				go func() {
					_, err := retryMerge(ctx, client)
					firstDone <- err
				}()
				synctest.Wait()
				outcomes := s.coldCall(t.Context(), client, 63)
				if err := <-firstDone; !retryIs[*courier.ConnectionError](err) {
					t.Errorf("the first call: %T %v, want a ConnectionError", err, err)
				}
				for _, outcome := range outcomes {
					if outcome.err != nil || outcome.at > 5*time.Second+coldDial {
						t.Errorf("a call behind it took %v, error %v", outcome.at, outcome.err)
					}
				}
			})
		})
	}
}

// TestColdStartWaitersTimeOut: a caller that waits for the first connection
// does so in its own time.
func TestColdStartWaitersTimeOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := coldServe(t, connStartHTTP2, 0)
		s.dial = func(ctx context.Context, _ int64) error { <-ctx.Done(); return ctx.Err() }
		client, attempts := connClient(t, s.base, s.transport, courier.WithTimeout(20*time.Second), courier.WithMaxRetries(0))
		short, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		stopped, stop := context.WithCancelCause(t.Context())
		time.AfterFunc(4*time.Second, func() { stop(errors.New("shutting down")) })

		var wg sync.WaitGroup
		wg.Go(func() {
			for _, outcome := range s.coldCall(t.Context(), client, 10) {
				if outcome.at != 20*time.Second || !errors.Is(outcome.err, context.DeadlineExceeded) {
					t.Errorf("a call took %v, error %v, want the 20 s of an attempt", outcome.at, outcome.err)
				}
			}
		})
		synctest.Wait()
		for _, tt := range []struct {
			ctx context.Context
			at  time.Duration
			err error
		}{{short, 3 * time.Second, context.DeadlineExceeded}, {stopped, 4 * time.Second, context.Canceled}} {
			wg.Go(func() {
				start := time.Now()
				result, err := retryMerge(tt.ctx, client)
				wantElapsed(t, start, tt.at)
				if !retryIs[*courier.ConnectionError](err) || !errors.Is(err, tt.err) {
					t.Errorf("%T %v, want a ConnectionError that wraps %v", err, err, tt.err)
				}
				if n := retryMade(t, result, err); n != 1 {
					t.Errorf("%d attempts, want 1", n)
				}
			})
		}
		wg.Wait()
		if n := s.requests.Load(); n != 0 {
			t.Errorf("%d requests arrived, want none", n)
		}
		if n := len(attempts.all); n != 12 {
			t.Errorf("the observer was told of %d attempts, want 12", n)
		}
	})
}

// TestColdStartRetries: a caller whose attempt ended while it waited tries again.
func TestColdStartRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := coldServe(t, connStartHTTP2, 0)
		s.dial = func(ctx context.Context, n int64) error {
			if n == 1 {
				<-ctx.Done()
			}
			return ctx.Err()
		}
		client, _ := connClient(t, s.base, s.transport, courier.WithTimeout(5*time.Second), courier.WithRetryWait(time.Second, time.Second))
		for _, outcome := range s.coldCall(t.Context(), client, 64) {
			if outcome.err != nil {
				t.Errorf("error %v after %v", outcome.err, outcome.at)
			}
		}
		if n := s.dials.Load(); n > 4 {
			t.Errorf("%d dials, want at most 4", n)
		}
	})
}
