package connlimit_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/courier-profiles/courier-go/internal/connlimit"
)

// network counts what is dialled. Connections are there at once, or fail.
type network struct {
	err   error
	dials atomic.Int64
}

func (n *network) dial(context.Context, string, string) (net.Conn, error) {
	n.dials.Add(1)
	if n.err != nil {
		return nil, n.err
	}
	conn, _ := net.Pipe()
	return conn, nil
}

// request is an attempt in flight, and what net/http does for it.
type request struct {
	*connlimit.Attempt
	ctx   context.Context
	limit *connlimit.Limit

	done chan struct{} // closed when the dial is over
	conn net.Conn
	err  error
}

// send enters an attempt and dials for it.
func send(t *testing.T, limit *connlimit.Limit) *request {
	r := &request{limit: limit}
	r.ctx, r.Attempt = limit.Enter(t.Context(), nil)
	r.dial()
	return r
}

func (r *request) dial() {
	httptrace.ContextClientTrace(r.ctx).GetConn("courier.test:80")
	r.done = make(chan struct{})
	go func() {
		defer close(r.done)
		r.conn, r.err = r.limit.DialContext(context.WithoutCancel(r.ctx), "tcp", "courier.test:80")
	}()
	synctest.Wait()
}

// gotConn gives the attempt a connection.
func (r *request) gotConn() {
	httptrace.ContextClientTrace(r.ctx).GotConn(httptrace.GotConnInfo{})
	synctest.Wait()
}

// over reports whether the dial is over.
func (r *request) over() bool {
	synctest.Wait()
	select {
	case <-r.done:
		return true
	default:
		return false
	}
}

func TestDial(t *testing.T) {
	type pool struct {
		limit *connlimit.Limit
		first *request // whose connection is open
		late  *request // that has come when the first was over
	}
	tests := []struct {
		name string
		// What happens while the late attempt waits for a connection.
		event func(t *testing.T, p pool)
		// Whether it has dialled then, and whether it gave up.
		dials, gaveUp bool
	}{
		{"nothing", func(*testing.T, pool) {}, false, false},
		{"a connection is closed", func(_ *testing.T, p pool) { p.first.conn.Close() }, true, false},
		{"another attempt", func(t *testing.T, p pool) { p.limit.Enter(t.Context(), nil) }, true, false},
		{"it gets another connection", func(_ *testing.T, p pool) { p.late.gotConn() }, false, true},
		{"it ends", func(_ *testing.T, p pool) { p.late.Leave() }, false, true},
		{"almost all of its patience", func(*testing.T, pool) { time.Sleep(250*time.Millisecond - 1) }, false, false},
		{"all of its patience", func(*testing.T, pool) { time.Sleep(250 * time.Millisecond) }, true, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var n network
				limit := &connlimit.Limit{Dial: n.dial}
				first := send(t, limit)
				if !first.over() || first.err != nil || n.dials.Load() != 1 {
					t.Fatalf("the first attempt has not dialled: %v", first.err)
				}
				first.gotConn()
				first.Leave()
				late := send(t, limit)
				defer time.Sleep(time.Second) // a dial that still waits does not wait for longer
				if late.over() {
					t.Fatal("another connection for one attempt")
				}

				tt.event(t, pool{limit, first, late})
				if over := late.over(); over != (tt.dials || tt.gaveUp) {
					t.Errorf("the dial is over: %t", over)
				}
				if got := n.dials.Load() > 1; got != tt.dials {
					t.Errorf("it has dialled: %t", got)
				}
				if late.over() && ((late.conn != nil) != tt.dials || (late.err != nil) != tt.gaveUp) {
					t.Errorf("connection %v, error %v", late.conn, late.err)
				}
			})
		})
	}
}

// TestDialAtOnce has as many connections as attempts, and one more for each of
// those that is closed, twice or not.
func TestDialAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n network
		limit := &connlimit.Limit{Dial: n.dial}
		requests := make([]*request, 64)
		for i := range requests {
			if requests[i] = send(t, limit); !requests[i].over() {
				t.Fatalf("dial %d waits", i+1)
			}
		}
		requests[0].conn.Close()
		requests[0].conn.Close()
		requests[0].dial() // net/http sends it again on another connection
		requests[1].dial()
		if !requests[0].over() || requests[1].over() {
			t.Errorf("dials are over: %t and %t, want one", requests[0].over(), requests[1].over())
		}
		requests[1].Leave()
	})
}

// TestDialFails has a dial that fails make way for another one.
func TestDialFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := network{err: errors.New("refused")}
		limit := &connlimit.Limit{Dial: n.dial}
		for range 3 {
			r := send(t, limit)
			if !r.over() || !errors.Is(r.err, n.err) || r.conn != nil {
				t.Errorf("connection %v, error %v, want %v", r.conn, r.err, n.err)
			}
			r.Leave()
		}
	})
}

// TestDialForWhatIsSentAgain: an attempt that had a connection and lost it waits
// for another one like any other.
func TestDialForWhatIsSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n network
		limit := &connlimit.Limit{Dial: n.dial}
		r := send(t, limit)
		r.gotConn()
		r.dial()
		if r.over() {
			t.Fatalf("the dial is over: %v", r.err)
		}
		time.Sleep(time.Second)
		if !r.over() || r.err != nil {
			t.Errorf("error %v", r.err)
		}
		r.Leave()
	})
}

// TestDialHangs has a dial get no reply, as from a node that is gone.
func TestDialHangs(t *testing.T) {
	hanging := func(t *testing.T, err error) (limit *connlimit.Limit, first *request, reply func()) {
		var n network
		replied := make(chan struct{})
		limit = &connlimit.Limit{Dial: func(ctx context.Context, protocol, address string) (net.Conn, error) {
			conn, _ := n.dial(ctx, protocol, address)
			if n.dials.Load() > 1 {
				return conn, nil
			}
			<-replied
			if err != nil {
				return nil, err
			}
			return conn, nil
		}}
		first = send(t, limit)
		if first.over() {
			t.Fatal("the dial does not hang")
		}
		return limit, first, sync.OnceFunc(func() { close(replied) })
	}
	t.Run("its attempt timed out", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			limit, first, reply := hanging(t, nil)
			defer reply()
			first.Leave()
			second := send(t, limit)
			defer second.Leave()
			if !second.over() || second.err != nil {
				t.Fatalf("another attempt waits for it, or failed: %v", second.err)
			}
			reply()
			if !first.over() || first.err != nil {
				t.Fatal(first.err)
			}
			first.conn.Close()
			if second.dial(); second.over() {
				t.Error("the connection that came late has been counted down twice")
			}
		})
	})
	t.Run("its attempt got another connection", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			limit, first, reply := hanging(t, nil)
			defer reply()
			first.gotConn()
			first.Leave()
			second := send(t, limit)
			defer second.Leave()
			if second.over() {
				t.Error("another attempt does not wait for it")
			}
		})
	})
	t.Run("its attempt got another connection, and it fails", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			limit, first, reply := hanging(t, errors.New("no route to host"))
			defer reply()
			first.gotConn()
			first.Leave()
			second := send(t, limit)
			defer second.Leave()
			if reply(); !second.over() || second.err != nil {
				t.Errorf("another attempt waits for it, or failed: %v", second.err)
			}
		})
	})
}

func TestDialForNoAttempt(t *testing.T) {
	var n network
	limit := &connlimit.Limit{Dial: n.dial}
	if conn, err := limit.DialContext(t.Context(), "tcp", "courier.test:80"); conn == nil || err != nil {
		t.Errorf("connection %v, error %v", conn, err)
	}
}

func TestDialShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n network
		limit := &connlimit.Limit{Dial: n.dial, Shared: func() bool { return true }}
		for range 5 {
			r := send(t, limit)
			if !r.over() || r.err != nil {
				t.Fatalf("a dial waits, or failed: %v", r.err)
			}
			r.gotConn()
			r.Leave()
		}
	})
}

func TestGotConn(t *testing.T) {
	var limit connlimit.Limit
	var got []bool
	ctx, attempt := limit.Enter(t.Context(), func(info httptrace.GotConnInfo) { got = append(got, info.Reused) })
	defer attempt.Leave()
	httptrace.ContextClientTrace(ctx).GotConn(httptrace.GotConnInfo{Reused: true})
	if len(got) != 1 || !got[0] {
		t.Errorf("told of %v, want [true]", got)
	}
}

// listener is where a server accepts the connections sent to it.
type listener chan net.Conn

func (l listener) Accept() (net.Conn, error) {
	conn, ok := <-l
	if !ok {
		return nil, net.ErrClosed
	}
	return conn, nil
}

func (l listener) Close() error   { close(l); return nil }
func (l listener) Addr() net.Addr { return &net.TCPAddr{} }

// roundTrip sends a request through the pool, and reads the answer.
func roundTrip(ctx context.Context, pool *http.Transport, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	resp, err := pool.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

// inParallel has callers make calls, one after the other each.
func inParallel(callers, calls int, call func()) {
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for range calls {
				call()
			}
		})
	}
	wg.Wait()
}

// TestPool counts the connections of a net/http pool. They come one after the
// other, so that calls are over, and others there, before the last one has come.
func TestPool(t *testing.T) {
	const callers, calls = 64, 50
	for _, tt := range []struct {
		name    string
		limited bool
	}{{"limited", true}, {"as net/http does it", false}} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				listener := make(listener)
				server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					time.Sleep(300 * time.Microsecond)
				})}
				go func() { _ = server.Serve(listener) }()
				defer server.Close()

				var dials atomic.Int64
				limit := &connlimit.Limit{Dial: func(context.Context, string, string) (net.Conn, error) {
					time.Sleep(time.Duration(min(dials.Add(1), callers)) * time.Millisecond)
					conn, other := net.Pipe()
					listener <- other
					return conn, nil
				}}
				pool := &http.Transport{DialContext: limit.DialContext, MaxIdleConnsPerHost: 1024}
				defer pool.CloseIdleConnections()
				inParallel(callers, calls, func() {
					ctx := t.Context()
					if tt.limited {
						counted, attempt := limit.Enter(ctx, nil)
						defer attempt.Leave()
						ctx = counted
					}
					if err := roundTrip(ctx, pool, "http://courier.test/base/v1"); err != nil {
						t.Error(err)
					}
				})
				time.Sleep(time.Second) // what is still dialled
				if got := dials.Load(); (got <= callers) != tt.limited {
					t.Errorf("%d callers have made %d connections", callers, got)
				}
			})
		})
	}
}

// TestPoolFaults has a pool meet what breaks connections, and then counts none: an
// attempt on its own dials at once.
func TestPoolFaults(t *testing.T) {
	hijack := func(w http.ResponseWriter, text string) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			panic(err)
		}
		_, _ = io.WriteString(conn, text)
		conn.Close()
	}
	noTLS := func(conn net.Conn) {
		_, _ = io.WriteString(conn, "HTTP/1.1 400 Bad Request\r\n\r\n")
		conn.Close()
	}
	hang := func(conn net.Conn) {
		_, _ = io.Copy(io.Discard, conn)
		conn.Close()
	}
	var turn atomic.Int64
	tests := []struct {
		name, url string
		handle    http.HandlerFunc
		serve     func(net.Conn) // in place of handle
		dial      func() error
	}{
		{name: "closed without an answer", handle: func(w http.ResponseWriter, _ *http.Request) { hijack(w, "") }},
		{name: "cut off in the body", handle: func(w http.ResponseWriter, _ *http.Request) {
			hijack(w, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{")
		}},
		{name: "not kept alive", handle: func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Connection", "close") }},
		{name: "no answer in time", handle: func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }},
		{name: "dial fails now and then", dial: func() error {
			if turn.Add(1)%2 == 0 {
				return errors.New("refused")
			}
			return nil
		}},
		{name: "dial too slow now and then", dial: func() error {
			if turn.Add(1)%2 == 0 {
				time.Sleep(3 * time.Second)
			}
			return nil
		}},
		{name: "no TLS", url: "https://courier.test/base/v1", serve: noTLS},
		{name: "no TLS handshake", url: "https://courier.test/base/v1", serve: hang},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const callers, calls = 8, 20
				listener := make(listener)
				handle, url := tt.handle, tt.url
				if handle == nil {
					handle = func(http.ResponseWriter, *http.Request) {}
				}
				if url == "" {
					url = "http://courier.test/base/v1"
				}
				server := &http.Server{Handler: handle}
				go func() { _ = server.Serve(listener) }()
				defer server.Close()
				limit := &connlimit.Limit{Dial: func(context.Context, string, string) (net.Conn, error) {
					if tt.dial != nil {
						if err := tt.dial(); err != nil {
							return nil, err
						}
					}
					conn, other := net.Pipe()
					if tt.serve != nil {
						go tt.serve(other)
					} else {
						listener <- other
					}
					return conn, nil
				}}
				pool := &http.Transport{DialContext: limit.DialContext, TLSHandshakeTimeout: 2 * time.Second}
				inParallel(callers, calls, func() {
					ctx, cancel := context.WithTimeout(t.Context(), time.Second)
					defer cancel()
					ctx, attempt := limit.Enter(ctx, nil)
					defer attempt.Leave()
					if err := roundTrip(ctx, pool, url); err != nil && strings.Contains(err.Error(), "not needed") {
						t.Error("the error of a dial that was given up has reached an attempt")
					}
				})
				time.Sleep(10 * time.Second) // what is still dialled, or in its handshake
				pool.CloseIdleConnections()
				synctest.Wait()

				var n network
				limit.Dial = n.dial
				last := send(t, limit)
				defer last.Leave()
				if !last.over() || last.err != nil {
					t.Errorf("the dial waits for connections that are closed, or failed: %v", last.err)
				}
			})
		})
	}
}
