package transport_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A network in memory, so that servers run inside a synctest bubble and every timeout
// passes at once.

// network connects clients to one server.
type network struct {
	// onDial, if set, is called with the number of the dial, from 1.
	onDial func(ctx context.Context, n int64) error
	accept func(net.Conn) // takes the server's end of a connection

	base   *http.Transport // reaches the server; no pool yet
	url    string
	dials  atomic.Int64
	served atomic.Int64 // requests

	mu    sync.Mutex
	links []*link
}

// dial is a DialContext.
func (n *network) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	number := n.dials.Add(1)
	if n.onDial != nil {
		if err := n.onDial(ctx, number); err != nil {
			return nil, err
		}
	}
	l := newLink()
	n.mu.Lock()
	n.links = append(n.links, l)
	n.mu.Unlock()
	n.accept(l.server)
	return l.client, nil
}

// silence loses all that is sent on the connections so far, in both directions. Neither
// side sees them closed.
func (n *network) silence() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, l := range n.links {
		l.silent.Store(true)
	}
}

// openConns returns how many connections the client has not closed.
func (n *network) openConns() (open int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, l := range n.links {
		if !l.client.isClosed() {
			open++
		}
	}
	return open
}

// link is a connection. It buffers all that is written, as a net.Pipe does not;
// otherwise a bubble's time would stand still while a writer holds a mutex.
type link struct {
	client, server *end
	silent         atomic.Bool
}

func newLink() *link {
	l := new(link)
	l.client, l.server = &end{link: l}, &end{link: l}
	l.client.peer, l.server.peer = l.server, l.client
	l.client.news.L, l.server.news.L = &l.client.mu, &l.server.mu
	return l
}

// end is one end of a link, and what has been sent to it.
type end struct {
	link *link
	peer *end

	mu      sync.Mutex
	news    sync.Cond
	data    bytes.Buffer
	closed  bool
	eof     bool // the peer is closed
	expired bool // the read deadline has passed
	timer   *time.Timer
}

func (e *end) Read(b []byte) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for {
		switch {
		case e.closed:
			return 0, net.ErrClosed
		case e.expired:
			return 0, os.ErrDeadlineExceeded
		case e.data.Len() > 0:
			return e.data.Read(b)
		case e.eof:
			return 0, io.EOF
		}
		e.news.Wait()
	}
}

func (e *end) Write(b []byte) (int, error) {
	if e.isClosed() {
		return 0, net.ErrClosed
	}
	if !e.link.silent.Load() {
		e.peer.change(func() { e.peer.data.Write(b) })
	}
	return len(b), nil
}

func (e *end) Close() error {
	e.change(func() { e.closed = true })
	if !e.link.silent.Load() {
		e.peer.change(func() { e.peer.eof = true })
	}
	return nil
}

func (e *end) SetReadDeadline(t time.Time) error {
	e.change(func() {
		if e.timer != nil {
			e.timer.Stop()
		}
		e.expired = !t.IsZero() && !t.After(time.Now())
		if !t.IsZero() && !e.expired {
			e.timer = time.AfterFunc(time.Until(t), func() { e.change(func() { e.expired = true }) })
		}
	})
	return nil
}

func (e *end) change(do func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	do()
	e.news.Broadcast()
}

func (e *end) isClosed() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.closed
}

func (e *end) SetDeadline(t time.Time) error  { return e.SetReadDeadline(t) }
func (*end) SetWriteDeadline(time.Time) error { return nil }
func (*end) LocalAddr() net.Addr              { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 443} }
func (*end) RemoteAddr() net.Addr             { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 443} }

// listener is the net.Listener of a network.
type listener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (*listener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 443} }

func (l *listener) accept(c net.Conn) {
	select {
	case l.conns <- c:
	case <-l.closed:
		c.Close()
	}
}

// protocols of a server.
const (
	plain = iota // HTTP/1.1 without TLS
	http1        // HTTP/1.1
	http2
)

// serve starts an HTTP server on a network. Call it inside a bubble.
func serve(t testing.TB, protocol int, handle http.HandlerFunc) *network {
	t.Helper()
	l := &listener{conns: make(chan net.Conn), closed: make(chan struct{})}
	n := &network{accept: l.accept}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n.served.Add(1)
		_, _ = io.Copy(io.Discard, r.Body)
		handle(w, r)
	}))
	s.Listener.Close()
	s.Listener = l
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	if protocol == plain {
		s.Start()
	} else {
		s.EnableHTTP2 = protocol == http2
		s.StartTLS()
	}
	t.Cleanup(s.Close)
	n.base = s.Client().Transport.(*http.Transport).Clone()
	if n.base.TLSClientConfig != nil {
		n.base.TLSClientConfig.NextProtos = nil
	}
	n.base.DialContext = n.dial
	n.base.ForceAttemptHTTP2 = false // NewPool has to see to that
	n.url = s.URL + "/base/v1"
	return n
}

// serveRaw has handle serve every connection.
func serveRaw(handle func(net.Conn)) *network {
	n := &network{url: "http://courier.test/base/v1", base: new(http.Transport)}
	n.accept = func(c net.Conn) {
		go func() {
			defer c.Close()
			handle(c)
		}()
	}
	n.base.DialContext = n.dial
	return n
}

// ok is a handler that responds at once.
func ok(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, bodyText)
}

// until ends when the client is gone.
func until(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

// tlsDialer returns a DialTLSContext for n.
func tlsDialer(n *network) func(ctx context.Context, network, address string) (net.Conn, error) {
	config := n.base.TLSClientConfig.Clone()
	config.ServerName = "127.0.0.1"
	config.NextProtos = []string{"h2", "http/1.1"}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := n.dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return tls.Client(c, config), nil
	}
}
