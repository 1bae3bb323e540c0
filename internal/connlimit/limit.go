// Package connlimit keeps an HTTP/1.1 pool from opening more connections than
// there are attempts in flight. net/http dials for an attempt that finds no idle
// connection, and goes on dialling when that attempt is given another one, which
// has become free first. The connection that it dials for then is one too many,
// and the next attempt, which comes before it is there, dials again.
package connlimit

import (
	"context"
	"errors"
	"net"
	"net/http/httptrace"
	"sync"
	"time"
)

// patience is how long a dial waits at the most, in case the connection that its
// attempt could have never comes: what RFC 8305, section 5, recommends between
// two attempts to connect.
const patience = 250 * time.Millisecond

// errNotNeeded is why a dial is given up. No attempt gets to see it: it has
// another connection by then, or is over.
var errNotNeeded = errors.New("the connection is not needed any more")

// Limit has a pool wait for the connections that it has, or is dialling for,
// before it dials for more.
type Limit struct {
	// Dial opens a connection.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Shared reports whether a connection serves many attempts at once, as over
	// HTTP/2. Then no dial waits. nil is never.
	Shared func() bool

	mu       sync.Mutex
	attempts int           // in flight
	conns    int           // open, or being dialled
	changed  chan struct{} // closed when the dials that wait have to look again; nil if none does
}

// Attempt is one in flight.
type Attempt struct {
	limit   *Limit
	waiting bool // for a connection
	gotConn func(httptrace.GotConnInfo)
	trace   httptrace.ClientTrace
}

type attemptKey struct{}

// Enter counts an attempt, which has to be sent with the context returned, and to
// leave when it has ended. gotConn, unless it is nil, is called as
// [httptrace.ClientTrace] has it.
func (l *Limit) Enter(ctx context.Context, gotConn func(httptrace.GotConnInfo)) (context.Context, *Attempt) {
	a := &Attempt{limit: l, gotConn: gotConn}
	a.trace.GetConn, a.trace.GotConn = a.wants, a.has
	l.count(&l.attempts, 1)
	// net/http detaches a dial from the context of its request, but for the values.
	return httptrace.WithClientTrace(context.WithValue(ctx, attemptKey{}, a), &a.trace), a
}

// Leave says that the attempt has ended.
func (a *Attempt) Leave() {
	a.limit.mu.Lock()
	defer a.limit.mu.Unlock()
	a.waiting = false
	a.limit.attempts--
	a.limit.wake()
}

// wants is called by net/http when the attempt needs a connection: once, and again
// if it has to be sent on another one.
func (a *Attempt) wants(string) {
	a.limit.mu.Lock()
	defer a.limit.mu.Unlock()
	a.waiting = true
}

func (a *Attempt) has(info httptrace.GotConnInfo) {
	a.limit.mu.Lock()
	a.waiting = false
	a.limit.wake()
	a.limit.mu.Unlock()
	if a.gotConn != nil {
		a.gotConn(info)
	}
}

// DialContext opens a connection for an attempt, when there may be another one.
func (l *Limit) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	if !l.admit(ctx) {
		return nil, errNotNeeded
	}
	c, err := l.Dial(ctx, network, address)
	if err != nil {
		l.count(&l.conns, -1)
		return nil, err
	}
	return &conn{Conn: c, closed: sync.OnceFunc(func() { l.count(&l.conns, -1) })}, nil
}

// admit waits until there may be another connection, and counts it. It is false
// if the attempt that it is for does not wait for one any more.
func (l *Limit) admit(ctx context.Context) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if a, ok := ctx.Value(attemptKey{}).(*Attempt); ok {
		late := time.After(patience)
		for patient := true; patient && a.waiting && l.isFull(); {
			if l.changed == nil {
				l.changed = make(chan struct{})
			}
			changed := l.changed
			l.mu.Unlock()
			select {
			case <-changed:
			case <-late:
				patient = false
			}
			l.mu.Lock()
		}
		if !a.waiting {
			return false
		}
	}
	l.conns++
	return true
}

func (l *Limit) isFull() bool {
	return l.conns >= l.attempts && (l.Shared == nil || !l.Shared())
}

// count adds to one of the numbers.
func (l *Limit) count(n *int, add int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	*n += add
	l.wake()
}

// wake has the dials that wait look again.
func (l *Limit) wake() {
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
}

// conn is a connection that is counted until it is closed.
type conn struct {
	net.Conn
	closed func()
}

func (c *conn) Close() error {
	defer c.closed()
	return c.Conn.Close()
}
