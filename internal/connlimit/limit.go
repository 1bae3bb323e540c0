// Package connlimit keeps an HTTP/1.1 pool from opening more connections than
// there are attempts in flight, as long as those it dials for come. net/http dials
// for an attempt that finds no idle connection, and goes on dialling when that
// attempt is given another one, which has become free first. The connection that
// it dials for then is one too many, and the next attempt, which comes before it
// is there, dials again.
package connlimit

import (
	"context"
	"errors"
	"net"
	"net/http/httptrace"
	"sync"
	"time"
)

// patience is how long a dial waits at the most for one of the connections that
// are counted: what RFC 8305, section 5, recommends between two attempts to
// connect.
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
	// HTTP/2. Then no dial waits, because it means that those at hand are of no
	// use. nil is never.
	Shared func() bool

	mu       sync.Mutex
	attempts int           // in flight
	conns    int           // open, or being dialled for an attempt that has not ended without it
	changed  chan struct{} // closed when the dials that wait have to look again; nil if none does
}

// Attempt is one in flight.
type Attempt struct {
	limit   *Limit
	waiting bool  // for a connection
	dialled *conn // for the attempt, or nil; it may have got another one
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

// Leave says that the attempt has ended. If it never got a connection, the one
// that was dialled for it may never come, and is not counted any longer.
func (a *Attempt) Leave() {
	a.limit.mu.Lock()
	waited, dialled := a.waiting, a.dialled
	a.waiting = false
	a.limit.attempts--
	a.limit.wake()
	a.limit.mu.Unlock()
	if waited && dialled != nil {
		dialled.uncount()
	}
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

// DialContext opens a connection for the attempt that ctx comes from, when there
// may be another one.
func (l *Limit) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	a, ok := ctx.Value(attemptKey{}).(*Attempt)
	if !ok {
		return l.Dial(ctx, network, address)
	}
	c := &conn{uncount: sync.OnceFunc(func() { l.count(&l.conns, -1) })}
	if !l.admit(a, c) {
		return nil, errNotNeeded
	}
	var err error
	if c.Conn, err = l.Dial(ctx, network, address); err != nil {
		c.uncount()
		return nil, err
	}
	return c, nil
}

// admit waits until there may be another connection, and counts c as that. It is
// false if the attempt does not wait for one any more.
func (l *Limit) admit(a *Attempt, c *conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
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
	if a.waiting {
		a.dialled = c
		l.conns++
	}
	return a.waiting
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

// conn is a connection, or what is to be one. It is counted until it is closed, or
// until its attempt ends without any.
type conn struct {
	net.Conn
	uncount func()
}

func (c *conn) Close() error {
	defer c.uncount()
	return c.Conn.Close()
}
