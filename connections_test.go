package courier_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jarcoal/httpmock"

	courier "github.com/courier-profiles/courier-go"
)

// What a user of the client sees of connections, on a real network, or in a bubble on one
// in memory. The pool by itself is a test of internal/transport.

// TestHTTPMock replaces http.DefaultTransport, so it does not run in parallel.
func TestHTTPMock(t *testing.T) {
	mock := func(t *testing.T, httpClient *http.Client) {
		client := newTestClient(t, nil, courier.WithHTTPClient(httpClient), courier.WithMaxRetries(0))
		httpmock.RegisterResponder("POST", testBaseURL+"/profiles/user-1", respond(201))
		t.Cleanup(httpmock.Reset)
		if resp, err := merge(t.Context(), client); err != nil || resp.StatusCode != 201 {
			t.Errorf("%+v, error %v", resp, err)
		}
		if _, err := client.Profiles.Delete(t.Context(), "user-2"); !matches[*courier.ConnectionError](err) || !strings.Contains(err.Error(), "no responder found") {
			t.Errorf("without a responder: %v", err)
		}
	}
	t.Run("Activate", func(t *testing.T) {
		httpmock.Activate(t)
		mock(t, http.DefaultClient)
		mock(t, &http.Client{Timeout: time.Minute})
	})
	t.Run("ActivateNonDefault", func(t *testing.T) {
		own := new(http.Client)
		httpmock.ActivateNonDefault(own)
		t.Cleanup(func() { httpmock.DeactivateNonDefault(own) })
		mock(t, own)
	})
}

// TestProxyOfEnvironment runs itself in a process of its own, because net/http reads the
// variables once.
func TestProxyOfEnvironment(t *testing.T) {
	const child = "COURIER_TEST_PROXY_CHILD"
	if os.Getenv(child) == "" {
		t.Parallel()
		var mu sync.Mutex
		var seen []string
		proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			seen = append(seen, r.RequestURI)
			_, _ = io.WriteString(w, successBody)
		}))
		t.Cleanup(proxy.Close)
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestProxyOfEnvironment$", "-test.v")
		cmd.Env = append(os.Environ(), child+"=1", "HTTP_PROXY="+proxy.URL, "NO_PROXY=", "no_proxy=")
		if out, err := cmd.CombinedOutput(); err != nil || !bytes.Contains(out, []byte("--- PASS")) {
			t.Errorf("%v\n%s", err, out)
		}
		want := []string{"http://courier.test/1/profiles/user-1", "http://courier.test/2/profiles/user-1", "http://courier.test/3/profiles/user-1"}
		if !slices.Equal(seen, want) {
			t.Errorf("the proxy received requests for %q", seen)
		}
		return
	}
	for i, opts := range [][]courier.Option{
		nil,
		{courier.WithHTTPClient(&http.Client{Timeout: time.Minute})},
		{courier.WithHTTPClient(&http.Client{Transport: courier.NewTransport(nil)})},
	} {
		client, err := courier.NewClient(testAPIKey, append(opts, courier.WithBaseURL(fmt.Sprint("http://courier.test/", i+1)), courier.WithInsecureHTTP())...)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := merge(t.Context(), client); err != nil {
			t.Error(err)
		}
	}
}

// countingServer counts the connections of a server.
func countingServer(t *testing.T, handle http.HandlerFunc) (server *httptest.Server, opened *atomic.Int64) {
	opened = new(atomic.Int64)
	server = httptest.NewUnstartedServer(handle)
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			opened.Add(1)
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	return server, opened
}

// TestSharedTransport has 300 clients with keys of their own share a pool.
func TestSharedTransport(t *testing.T) {
	t.Parallel()
	var lastKey string
	server, opened := countingServer(t, func(w http.ResponseWriter, r *http.Request) {
		lastKey = r.Header.Get("Authorization")
		_, _ = io.WriteString(w, successBody)
	})
	shared := &http.Client{Transport: courier.NewTransport(nil)}
	t.Cleanup(shared.CloseIdleConnections)
	for i := range 300 {
		client, err := courier.NewClient(fmt.Sprint(testAPIKey, i), courier.WithHTTPClient(shared), courier.WithBaseURL(server.URL+"/base"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := merge(t.Context(), client); err != nil || lastKey != fmt.Sprint("Bearer ", testAPIKey, i) {
			t.Errorf("client %d sent %q, error %v", i, lastKey, err)
		}
	}
	if n := opened.Load(); n > 10 {
		t.Errorf("300 calls one after the other opened %d connections", n)
	}
}

// TestConnections is about HTTP/1.1. TestSilentConnection counts those of HTTP/2.
func TestConnections(t *testing.T) {
	t.Parallel()
	server, opened := countingServer(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, successBody) })
	client, err := courier.NewClient(testAPIKey, courier.WithBaseURL(server.URL+"/base"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.CloseIdleConnections)
	for range 20 {
		inFlight(t, client, 64)
	}
	if n := opened.Load(); n > 80 {
		t.Errorf("64 calls in flight opened %d connections, want at most 80", n)
	}
}

// inFlight makes so many calls at once.
func inFlight(t *testing.T, client *courier.Client, calls int) {
	t.Helper()
	var wg sync.WaitGroup
	for range calls {
		wg.Go(func() {
			if _, err := merge(t.Context(), client); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func TestReused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		statuses := make(chan int, 3)
		n := newMemoryNetwork(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(<-statuses) })
		seen := new(observer)
		client := newTestClient(t, courier.NewTransport(n.base), courier.WithBaseURL(n.url), seen.option())
		for i, call := range [][]int{{200}, {200}, {204}, {503, 503, 200}} {
			if i == 2 {
				synctest.Wait() // until the connection is idle
				client.CloseIdleConnections()
			}
			for _, status := range call {
				statuses <- status
			}
			if _, err := merge(t.Context(), client); err != nil {
				t.Fatal(err)
			}
		}
		var got []bool
		for _, a := range seen.attempts {
			got = append(got, a.Reused)
		}
		if want := []bool{false, true, false, true, true, true}; !slices.Equal(got, want) {
			t.Errorf("the attempts reused a connection: %v, want %v", got, want)
		}
	})
}

// TestSilentConnection loses an HTTP/2 connection without a FIN, also for a caller who
// wraps the pool, such as to trace requests.
func TestSilentConnection(t *testing.T) {
	t.Parallel()
	for _, wrapped := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			n := newMemoryNetwork(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, successBody) })
			pool := courier.NewTransport(n.base)
			t.Cleanup((&http.Client{Transport: pool}).CloseIdleConnections)
			transport := pool
			if wrapped {
				transport = roundTripFunc(func(req *http.Request) (*http.Response, error) { return pool.RoundTrip(req) })
			}
			client := newTestClient(t, transport, courier.WithBaseURL(n.url), courier.WithTimeout(5*time.Second))
			inFlight(t, client, 64)
			if dials := n.dials.Load(); dials > 2 {
				t.Errorf("wrapped %t: 64 calls opened %d connections, want at most 2", wrapped, dials)
			}
			n.silence()
			start := time.Now()
			resp, err := merge(t.Context(), client)
			if err != nil || resp.Attempts != 2 {
				t.Errorf("wrapped %t: %+v, error %v", wrapped, resp, err)
			}
			if took := time.Since(start); took < 5500*time.Millisecond || took > 6*time.Second {
				t.Errorf("wrapped %t: the call took %v, want 5.5 s to 6 s", wrapped, took)
			}
		})
	}
}

type roundTripFunc func(*http.Request) (*http.Response, error)

func (f roundTripFunc) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// memoryNetwork leads to an HTTP/2 server, inside a bubble.
type memoryNetwork struct {
	base   *http.Transport // reaches the server; no pool yet
	url    string
	dials  atomic.Int64
	silent atomic.Pointer[atomic.Bool] // of new connections
}

func newMemoryNetwork(t *testing.T, handle http.HandlerFunc) *memoryNetwork {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 2 {
			t.Errorf("the request is %s", r.Proto)
		}
		handle(w, r)
	}))
	server.Listener.Close()
	conns := make(chan net.Conn)
	server.Listener = memoryListener{conns: conns, close: sync.OnceFunc(func() { close(conns) })}
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	n := &memoryNetwork{url: server.URL + "/base/v1"}
	n.silent.Store(new(atomic.Bool))
	n.base = &http.Transport{
		TLSClientConfig: server.Client().Transport.(*http.Transport).TLSClientConfig.Clone(),
		DialContext: func(context.Context, string, string) (net.Conn, error) {
			n.dials.Add(1)
			near, far := memoryPipe(n.silent.Load())
			conns <- far
			return near, nil
		},
	}
	return n
}

// silence loses all that is sent on the connections so far, in both directions.
func (n *memoryNetwork) silence() { n.silent.Swap(new(atomic.Bool)).Store(true) }

type memoryListener struct {
	conns chan net.Conn
	close func()
}

func (l memoryListener) Accept() (net.Conn, error) {
	if conn, ok := <-l.conns; ok {
		return conn, nil
	}
	return nil, net.ErrClosed
}

func (l memoryListener) Close() error { l.close(); return nil }
func (memoryListener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 443} }

// memoryConn is one end of a connection. It buffers what is written, unlike a net.Pipe,
// because a bubble's time stands still while a writer that waits holds a mutex.
type memoryConn struct {
	net.Conn // for the other methods
	peer     *memoryConn
	silent   *atomic.Bool

	mu     sync.Mutex
	news   sync.Cond
	data   bytes.Buffer
	closed bool
}

func memoryPipe(silent *atomic.Bool) (near, far *memoryConn) {
	near, far = &memoryConn{silent: silent}, &memoryConn{silent: silent}
	near.Conn, far.Conn = net.Pipe()
	near.peer, far.peer = far, near
	near.news.L, far.news.L = &near.mu, &far.mu
	return near, far
}

func (c *memoryConn) Read(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for !c.closed && c.data.Len() == 0 {
		c.news.Wait()
	}
	return c.data.Read(b)
}

func (c *memoryConn) Write(b []byte) (int, error) {
	if !c.silent.Load() {
		c.peer.change(func() { c.peer.data.Write(b) })
	}
	return len(b), nil
}

func (c *memoryConn) Close() error {
	c.change(func() { c.closed = true })
	if !c.silent.Load() {
		c.peer.change(func() { c.peer.closed = true })
	}
	return nil
}

func (c *memoryConn) change(do func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	do()
	c.news.Broadcast()
}
