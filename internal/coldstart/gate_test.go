package coldstart_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http/httptrace"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/courier-profiles/courier-go/internal/coldstart"
)

// tlsConn is a connection on which protocol has been negotiated.
type tlsConn struct {
	net.Conn
	protocol string
}

func (c tlsConn) ConnectionState() tls.ConnectionState {
	return tls.ConnectionState{NegotiatedProtocol: c.protocol}
}

// gotConn tells the attempt that it has a connection, as net/http does.
func gotConn(attempt context.Context, conn net.Conn, reused bool) {
	httptrace.ContextClientTrace(attempt).GotConn(httptrace.GotConnInfo{Conn: conn, Reused: reused})
}

func enter(t *testing.T, g *coldstart.Gate) (attempt context.Context, done func()) {
	t.Helper()
	attempt, done, err := g.Enter(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return attempt, done
}

// enterFirst enters a cold gate.
func enterFirst(t *testing.T, g *coldstart.Gate) (attempt context.Context, done func()) {
	t.Helper()
	attempt, done = enter(t, g)
	if done == nil {
		t.Fatal("the gate is warm, want a cold one")
	}
	return attempt, done
}

// enterWarm fails unless an attempt goes through the gate untouched.
func enterWarm(t *testing.T, g *coldstart.Gate) {
	t.Helper()
	if attempt, done := enter(t, g); done != nil || attempt != t.Context() {
		t.Error("the gate is cold, want a warm one")
	}
}

// followers are attempts that are held back.
type followers struct {
	in   atomic.Int64 // how many are through
	errs atomic.Int64
}

// follow has n more attempts enter, each in its own goroutine.
func (f *followers) follow(ctx context.Context, t *testing.T, g *coldstart.Gate, n int) {
	for range n {
		go func() {
			attempt, done, err := g.Enter(ctx)
			switch {
			case err != nil:
				f.errs.Add(1)
				if !errors.Is(err, ctx.Err()) || attempt != nil || done != nil {
					t.Errorf("Enter with a context that has ended: %v, attempt %v", err, attempt)
				}
			case done != nil:
				t.Error("a second attempt is first")
				done()
			default:
				f.in.Add(1)
			}
		}()
	}
	synctest.Wait()
	if f.in.Load() > 0 {
		t.Fatal("an attempt was not held back")
	}
}

// through fails unless n followers are through by now.
func (f *followers) through(t *testing.T, n int64) {
	t.Helper()
	synctest.Wait()
	if got := f.in.Load(); got != n {
		t.Fatalf("%d of the followers are through, want %d", got, n)
	}
}

func TestGateOpens(t *testing.T) {
	h2 := tlsConn{protocol: "h2"}
	tests := []struct {
		name string
		// What becomes of the first attempt, and how long it takes until the
		// others are through.
		first func(attempt context.Context, done func())
		after time.Duration
		warm  bool // from then on
		http2 bool
	}{
		{"HTTP/1.1", func(attempt context.Context, done func()) {
			gotConn(attempt, tlsConn{protocol: "http/1.1"}, false)
		}, 0, true, false},
		{"no ALPN", func(attempt context.Context, done func()) {
			gotConn(attempt, tlsConn{}, false)
		}, 0, true, false},
		{"no TLS", func(attempt context.Context, done func()) {
			gotConn(attempt, nil, false)
		}, 0, true, false},
		{"a connection of the pool", func(attempt context.Context, done func()) {
			gotConn(attempt, h2, true)
		}, 0, true, true},
		{"HTTP/2, slow answer", func(attempt context.Context, done func()) {
			gotConn(attempt, h2, false)
		}, 250 * time.Millisecond, true, true},
		{"HTTP/2, answer after 10 ms", func(attempt context.Context, done func()) {
			gotConn(attempt, h2, false)
			time.AfterFunc(10*time.Millisecond, done)
		}, 10 * time.Millisecond, true, true},
		{"HTTP/2, sent again on another connection", func(attempt context.Context, done func()) {
			gotConn(attempt, h2, false)
			time.Sleep(100 * time.Millisecond)
			gotConn(attempt, h2, false)
		}, 150 * time.Millisecond, true, true},
		{"HTTP/2, then HTTP/1.1", func(attempt context.Context, done func()) {
			gotConn(attempt, h2, false)
			gotConn(attempt, tlsConn{protocol: "http/1.1"}, false)
		}, 0, true, false},
		{"failed without a connection", func(attempt context.Context, done func()) {
			time.AfterFunc(3*time.Second, done)
		}, 3 * time.Second, false, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := new(coldstart.Gate)
				attempt, done := enterFirst(t, g)
				var f followers
				f.follow(t.Context(), t, g, 20)

				tt.first(attempt, done)
				if tt.after > 0 {
					time.Sleep(tt.after - 1)
					f.through(t, 0)
					time.Sleep(time.Nanosecond)
				}
				f.through(t, 20)

				if got := g.HTTP2(); got != tt.http2 {
					t.Errorf("the connections are HTTP/2: %t", got)
				}
				if tt.warm {
					enterWarm(t, g)
				} else {
					_, done := enterFirst(t, g)
					done()
				}
				done() // of the first attempt, whose answer comes late: changes nothing
				if tt.warm {
					enterWarm(t, g)
				}
			})
		})
	}
}

func TestGateKeepsTraceOfCaller(t *testing.T) {
	g := new(coldstart.Gate)
	called := false
	attempt, done, err := g.Enter(httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { called = true },
	}))
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	gotConn(attempt, nil, false)
	if !called {
		t.Error("the caller's own trace has not been called")
	}
}

func TestGateContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := new(coldstart.Gate)
		_, done := enterFirst(t, g)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		var patient, hasty followers
		patient.follow(t.Context(), t, g, 3)
		hasty.follow(ctx, t, g, 3)

		time.Sleep(5*time.Second - 1)
		synctest.Wait()
		if n := hasty.errs.Load(); n != 0 {
			t.Errorf("%d followers have gone before their time", n)
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		if n := hasty.errs.Load(); n != 3 {
			t.Errorf("%d followers have gone when their time ended, want 3", n)
		}
		patient.through(t, 0)
		done()
		patient.through(t, 3)
	})
}

// TestGateLateFirst has a first attempt end when another one is first already:
// it must not let go what waits for that other one.
func TestGateLateFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := new(coldstart.Gate)
		attempt, oldDone := enterFirst(t, g)
		gotConn(attempt, tlsConn{protocol: "h2"}, false)
		time.Sleep(time.Second)
		enterWarm(t, g)

		g.Chill()
		_, newDone := enterFirst(t, g)
		var f followers
		f.follow(t.Context(), t, g, 5)
		oldDone()
		f.through(t, 0)
		newDone()
		f.through(t, 5)
	})
}

func TestGateChill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := new(coldstart.Gate)
		g.Chill()
		for range 3 {
			attempt, done := enterFirst(t, g)
			gotConn(attempt, tlsConn{protocol: "h2"}, false)
			done()
			enterWarm(t, g)
			g.Chill()
		}
	})
}

func TestGateIdle(t *testing.T) {
	const idle = 90 * time.Second
	tests := []struct {
		name  string
		idle  time.Duration
		pause time.Duration
		cold  bool
	}{
		{"just not idle", idle, idle - 1, false},
		{"idle", idle, idle, true},
		{"long idle", idle, 1000 * time.Hour, true},
		{"kept for ever", 0, 1000 * time.Hour, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := &coldstart.Gate{Idle: tt.idle}
				attempt, done := enterFirst(t, g)
				gotConn(attempt, tlsConn{protocol: "h2"}, false)
				done()
				for range 3 { // every call begins the time anew
					time.Sleep(idle - 1)
					enterWarm(t, g)
				}
				time.Sleep(tt.pause)
				if !tt.cold {
					enterWarm(t, g)
					return
				}
				_, done = enterFirst(t, g)
				var f followers
				f.follow(t.Context(), t, g, 5)
				done()
				f.through(t, 5)
			})
		})
	}
}

// TestGateCallersAtOnce sends callers through a gate that is cold, has been
// emptied, or has been idle: one of them is first, whatever the scheduler does,
// and nobody goes before it.
func TestGateCallersAtOnce(t *testing.T) {
	const rounds, callers, idle = 5000, 32, time.Minute
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(16)) // for more ways to interleave
	tests := []struct {
		name string
		cool func(*coldstart.Gate)
	}{
		{"emptied", (*coldstart.Gate).Chill},
		{"idle", func(*coldstart.Gate) { time.Sleep(idle) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := &coldstart.Gate{Idle: idle}
				early := 0
				for range rounds {
					var opened atomic.Bool
					var firsts, tooEarly atomic.Int64
					var wg sync.WaitGroup
					start := make(chan struct{})
					for range callers {
						wg.Go(func() {
							<-start
							attempt, done, err := g.Enter(t.Context())
							switch {
							case err != nil:
								t.Error(err)
							case done != nil:
								firsts.Add(1)
								time.Sleep(time.Second) // the dial
								opened.Store(true)
								gotConn(attempt, tlsConn{protocol: "h2"}, false)
								done()
							case !opened.Load():
								tooEarly.Add(1)
							}
						})
					}
					synctest.Wait()
					close(start)
					wg.Wait()
					if n := firsts.Load(); n != 1 {
						t.Fatalf("%d attempts were first, want 1", n)
					}
					early += int(tooEarly.Load())
					tt.cool(g)
				}
				if early > 0 {
					t.Errorf("%d of %d attempts went before the first had a connection", early, rounds*callers)
				}
			})
		})
	}
}
