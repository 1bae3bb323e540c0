package transport

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// maxHold is how long a call waits for the connection that another one opens.
const maxHold = time.Second

// gate makes calls to one host that start together share an HTTP/2 connection:
// while the first call opens it, the others wait.
type gate struct {
	mu      sync.Mutex
	http2   *watchedConn  // the last HTTP/2 connection seen
	off     bool          // the connections cannot be shared or watched
	opening chan struct{} // closed when the first call has a connection or fails; nil without one
}

// enter returns at once, with cold false, if there is a connection to share.
// Otherwise the call is the first one, which must pass that channel to leave, or it
// has stopped waiting for the first one.
func (g *gate) enter(ctx context.Context) (first chan struct{}, cold bool) {
	var timeout <-chan time.Time
	for {
		first, opening := g.tryEnter()
		if opening == nil {
			return first, first != nil
		}
		if timeout == nil {
			timeout = time.After(maxHold)
		}
		select {
		case <-opening: // if that failed, this call may be the next first one
		case <-timeout:
			return nil, true
		case <-ctx.Done(): // net/http notices that, too
			return nil, true
		}
	}
}

// tryEnter returns what to wait for, or nil.
func (g *gate) tryEnter() (first, opening chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.off || g.http2 != nil && !g.http2.closed.Load() {
		return nil, nil
	}
	if g.opening != nil {
		return nil, g.opening
	}
	g.opening = make(chan struct{})
	return g.opening, nil
}

// leave ends the first call's turn.
func (g *gate) leave(first chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if first != nil && g.opening == first {
		g.open()
	}
}

// connected records the connection that a cold call got, and releases the others.
func (g *gate) connected(c net.Conn) {
	var http2 *watchedConn
	if c, ok := c.(*tls.Conn); ok && c.ConnectionState().NegotiatedProtocol == "h2" {
		http2, _ = c.NetConn().(*watchedConn)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.http2, g.off = http2, http2 == nil
	g.open()
}

func (g *gate) open() {
	if g.opening != nil {
		close(g.opening)
		g.opening = nil
	}
}

// watchedConn knows whether it is closed.
type watchedConn struct {
	net.Conn
	closed atomic.Bool
}

func (c *watchedConn) Close() error {
	c.closed.Store(true)
	return c.Conn.Close()
}
