package transport_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/binary"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/courier-profiles/courier-go/internal/transport"
)

// Protocols of a server.
const (
	plainHTTP = "HTTP/1.1 without TLS"
	http1     = "HTTP/1.1"
	http2     = "HTTP/2"
)

var protocols = []string{plainHTTP, http1, http2}

// network is a network in memory, so that client and server run in a synctest bubble,
// where sockets would keep the time from passing.
type network struct {
	url  string
	pool *http.Transport // whose connections lead to the server

	// onDial, if set, is called with the number of each dial, from 1.
	onDial func(ctx context.Context, number int64) error
	serve  func(net.Conn) // the server's end of a connection
	dials  atomic.Int64

	mu    sync.Mutex
	conns []*clientConn
}

// newNetwork returns a network on which serve is called with each connection.
func newNetwork(t *testing.T, url string, serve func(net.Conn)) *network {
	n := &network{url: url, pool: transport.NewPool(), serve: serve}
	n.pool.Proxy = nil
	n.pool.DialContext = n.dial
	t.Cleanup(n.pool.CloseIdleConnections)
	return n
}

// newServer returns a network with an HTTP server.
func newServer(t *testing.T, protocol string, handler http.HandlerFunc) *network {
	t.Helper()
	listener := &memoryListener{conns: make(chan net.Conn), closed: make(chan struct{})}
	server := httptest.NewUnstartedServer(readBody(handler))
	server.Listener.Close()
	server.Listener = listener
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.EnableHTTP2 = protocol == http2
	if protocol == plainHTTP {
		server.Start()
	} else {
		server.StartTLS()
	}
	t.Cleanup(server.Close)
	n := newNetwork(t, server.URL+"/base", listener.add)
	n.pool.TLSClientConfig = trust(server)
	return n
}

// readBody reads a request to its end before it calls the handler: until then, net/http does
// not notice that an HTTP/1.1 client is gone.
func readBody(handler http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		handler(w, r)
	}
}

// trust returns the TLS configuration of a client that trusts the server.
func trust(server *httptest.Server) *tls.Config {
	config := server.Client().Transport.(*http.Transport).TLSClientConfig
	if config == nil {
		return nil
	}
	return &tls.Config{RootCAs: config.RootCAs}
}

func (n *network) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	number := n.dials.Add(1)
	if n.onDial != nil {
		err := n.onDial(ctx, number)
		if err != nil {
			return nil, err
		}
	}
	client, server := net.Pipe()
	conn := &clientConn{Conn: client}
	n.mu.Lock()
	n.conns = append(n.conns, conn)
	n.mu.Unlock()
	go n.serve(server)
	return conn, nil
}

// each calls f for the client's end of each connection so far.
func (n *network) each(f func(*clientConn)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, conn := range n.conns {
		f(conn)
	}
}

// silence loses what the client sends on the connections so far. Nobody sees them closed.
func (n *network) silence() { n.each(func(c *clientConn) { c.silent.Store(true) }) }

// clientConn is the client's end of a connection.
type clientConn struct {
	net.Conn
	silent atomic.Bool // what is written is lost
	broken atomic.Bool // nothing can be written
	closed atomic.Bool // by the client
}

func (c *clientConn) Write(b []byte) (int, error) {
	switch {
	case c.broken.Load():
		return 0, errBroken
	case c.silent.Load():
		return len(b), nil
	}
	return c.Conn.Write(b)
}

func (c *clientConn) Close() error {
	c.closed.Store(true)
	return c.Conn.Close()
}

// memoryListener is the net.Listener of a network.
type memoryListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (l *memoryListener) add(conn net.Conn) {
	select {
	case l.conns <- conn:
	case <-l.closed:
		conn.Close()
	}
}

func (l *memoryListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *memoryListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (*memoryListener) Addr() net.Addr {
	return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 443}
}

// succeed is a handler that responds at once.
func succeed(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, success) }

// waitForClient is a handler that ends when the client is gone, without the end of a body.
func waitForClient(_ http.ResponseWriter, r *http.Request) {
	<-r.Context().Done()
	panic(http.ErrAbortHandler)
}

// hangingServer returns a network on which every call hangs in a phase.
func hangingServer(t *testing.T, protocol, phase string) *network {
	n := newServer(t, protocol, func(w http.ResponseWriter, r *http.Request) {
		if phase == "body" {
			_, _ = io.WriteString(w, bodyStart)
			_ = http.NewResponseController(w).Flush()
		}
		waitForClient(w, r)
	})
	switch phase {
	case "dial":
		n.onDial = func(ctx context.Context, _ int64) error {
			<-ctx.Done()
			return ctx.Err()
		}
	case "TLS handshake":
		n.url = strings.Replace(n.url, "http:", "https:", 1)
		n.serve = hold
	}
	return n
}

func wantDials(t *testing.T, n *network, want int64) {
	t.Helper()
	if got := n.dials.Load(); got != want {
		t.Errorf("dialed %d times, want %d", got, want)
	}
}

// listen calls serve with each connection to the address that it returns, one after the
// other, and closes it.
func listen(t *testing.T, serve func(net.Conn)) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var accepting sync.WaitGroup
	accepting.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			serve(conn)
			conn.Close()
		}
	})
	t.Cleanup(func() {
		listener.Close()
		accepting.Wait()
	})
	return listener.Addr().String()
}

// hold keeps a connection open until the client closes it.
func hold(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }

// respondRaw reads a request and writes text.
func respondRaw(conn net.Conn, text string) {
	req, err := http.ReadRequest(bufio.NewReader(conn))
	if err != nil {
		return
	}
	_, _ = io.Copy(io.Discard, req.Body)
	_, _ = io.WriteString(conn, text)
}

// newTLSConfigs returns those of a server and of a client that trusts it.
func newTLSConfigs(t *testing.T) (server, client *tls.Config) {
	t.Helper()
	s := httptest.NewTLSServer(nil)
	s.Close()
	return &tls.Config{Certificates: s.TLS.Certificates}, trust(s)
}

// Frames and error codes of HTTP/2 (RFC 9113, sections 6 and 7).
const (
	frameHeaders   = 1
	frameRSTStream = 3
	frameSettings  = 4
	frameGoAway    = 7

	flagAck                    = 1
	flagEndStreamAndEndHeaders = 5

	noError       = "\x00\x00\x00\x00"
	internalError = "\x00\x00\x00\x02"
	refusedStream = "\x00\x00\x00\x07"

	status200 = "\x88" // a header block with :status 200
)

// listenHTTP2 returns the URL of an HTTP/2 server that calls respond with the stream of each
// request. If respond returns false, it closes the connection. The client trusts the server.
func listenHTTP2(
	t *testing.T, client *http.Transport, respond func(conn net.Conn, stream uint32) bool,
) (url string) {
	t.Helper()
	var config *tls.Config
	config, client.TLSClientConfig = newTLSConfigs(t)
	config.NextProtos = []string{"h2"}
	return "https://" + listen(t, func(conn net.Conn) {
		serveHTTP2(tls.Server(conn, config), respond)
	})
}

func serveHTTP2(conn net.Conn, respond func(conn net.Conn, stream uint32) bool) {
	_, err := io.CopyN(io.Discard, conn, int64(len("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")))
	if err != nil {
		return
	}
	writeFrame(conn, frameSettings, 0, 0, "")
	for {
		var header [9]byte
		_, err := io.ReadFull(conn, header[:])
		if err != nil {
			return
		}
		length := int64(header[0])<<16 | int64(header[1])<<8 | int64(header[2])
		_, err = io.CopyN(io.Discard, conn, length)
		if err != nil {
			return
		}
		kind, flags, stream := header[3], header[4], binary.BigEndian.Uint32(header[5:])
		switch {
		case kind == frameSettings && flags != flagAck:
			writeFrame(conn, frameSettings, flagAck, 0, "")
		case kind == frameHeaders && !respond(conn, stream):
			return
		}
	}
}

func writeFrame(conn net.Conn, kind, flags byte, stream uint32, payload string) {
	frame := []byte{0, 0, byte(len(payload)), kind, flags}
	frame = binary.BigEndian.AppendUint32(frame, stream)
	_, _ = conn.Write(append(frame, payload...))
}

// Response codes of a name server.
const (
	serverFailure = 2
	nameError     = 3
)

// nameServer has the pool ask a name server that responds with a code to everything.
func nameServer(code byte) func(*testing.T, *http.Transport) string {
	return func(_ *testing.T, pool *http.Transport) string {
		resolver := &net.Resolver{
			PreferGo: true,
			Dial: func(context.Context, string, string) (net.Conn, error) {
				client, server := net.Pipe()
				go respondToQueries(server, code)
				return client, nil
			},
		}
		pool.DialContext = (&net.Dialer{Resolver: resolver}).DialContext
		return "https://courier-go.test"
	}
}

// respondToQueries sends each query back as a response without an answer.
func respondToQueries(conn net.Conn, code byte) {
	defer conn.Close()
	for {
		var length [2]byte
		_, err := io.ReadFull(conn, length[:])
		if err != nil {
			return
		}
		message := make([]byte, binary.BigEndian.Uint16(length[:]))
		_, err = io.ReadFull(conn, message)
		if err != nil {
			return
		}
		message[2] |= 0x80 // a response
		message[3] = code
		_, err = conn.Write(append(length[:], message...))
		if err != nil {
			return
		}
	}
}
