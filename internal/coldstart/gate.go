// Package coldstart keeps a cold HTTP/2 client from dialling once for every
// call: while the first call gets its connection, the others wait for it, for
// one HTTP/2 connection is enough for all of them.
package coldstart

import (
	"context"
	"crypto/tls"
	"net/http/httptrace"
	"sync"
	"sync/atomic"
	"time"
)

// settle is how long after the HTTP/2 connection the others go even if no
// answer has come: until the server's SETTINGS arrive, net/http assumes that
// it takes 100 streams, and would dial for more.
const settle = 250 * time.Millisecond

// Gate lets the first attempt of a cold client through and holds the others
// back until it has a connection. The zero Gate is cold.
type Gate struct {
	// Idle is how long the pool keeps an unused connection; 0 is for ever.
	Idle time.Duration

	// lastUsed is a Unix time in nanoseconds, or 0 while the client is cold. One
	// value, because nobody may see one half of a change.
	lastUsed atomic.Int64
	http2    atomic.Bool // what the last first attempt got

	mu      sync.Mutex
	opening chan struct{} // closed when the others may go; nil while nobody is first
}

// Enter waits until an attempt may be sent. The attempt has to be sent with the
// context returned, and done, unless it is nil, has to be called when it has
// ended. The error is that of ctx.
func (g *Gate) Enter(ctx context.Context) (attempt context.Context, done func(), err error) {
	now := time.Now().UnixNano()
	if g.isWarm(now) {
		return ctx, nil, nil
	}

	g.mu.Lock()
	opening := g.opening
	if opening == nil {
		defer g.mu.Unlock()
		if g.isWarm(now) {
			return ctx, nil, nil
		}
		g.lastUsed.Store(0)
		g.opening = make(chan struct{})
		f := &first{gate: g, opening: g.opening}
		return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: f.gotConn}), f.done, nil
	}
	g.mu.Unlock()

	select {
	case <-opening:
	case <-ctx.Done():
	}
	// Both may have come at once, as when all attempts run out of time together,
	// and one that has ended would dial.
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	if deadline, ok := ctx.Deadline(); ok && !time.Now().Before(deadline) {
		return nil, nil, context.DeadlineExceeded
	}
	return ctx, nil, nil
}

// HTTP2 reports whether the first connection after the last cold start was an
// HTTP/2 one. It is false until there was one.
func (g *Gate) HTTP2() bool { return g.http2.Load() }

// isWarm reports whether there is a connection, and if so notes its use.
func (g *Gate) isWarm(now int64) bool {
	last := g.lastUsed.Load()
	if last == 0 || g.Idle > 0 && now-last >= int64(g.Idle) {
		return false
	}
	// If this fails, somebody else has used the connection or closed it.
	g.lastUsed.CompareAndSwap(last, now)
	return true
}

// Chill makes the next attempt a first one: the pool has been emptied.
func (g *Gate) Chill() { g.lastUsed.Store(0) }

// open lets the attempts go that wait for opening to be closed.
func (g *Gate) open(opening chan struct{}, warm bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.opening == opening {
		g.opening = nil
		if warm {
			g.lastUsed.Store(time.Now().UnixNano())
		}
		close(opening)
	}
}

// first is the attempt that the others wait for.
type first struct {
	gate    *Gate
	opening chan struct{}
	settled *time.Timer // runs from the moment the HTTP/2 connection is there
}

// gotConn is called by net/http on the goroutine of the attempt.
func (f *first) gotConn(info httptrace.GotConnInfo) {
	conn, isTLS := info.Conn.(interface{ ConnectionState() tls.ConnectionState })
	http2 := isTLS && conn.ConnectionState().NegotiatedProtocol == "h2"
	f.gate.http2.Store(http2)
	if info.Reused || !http2 {
		f.gate.open(f.opening, true)
		return
	}
	if f.settled == nil {
		f.settled = time.AfterFunc(settle, func() { f.gate.open(f.opening, true) })
	}
}

// done lets the others go, whatever came of the attempt. One that got no
// connection leaves the client cold.
func (f *first) done() {
	if f.settled != nil {
		f.settled.Stop()
	}
	f.gate.open(f.opening, f.settled != nil)
}
