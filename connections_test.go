package courier_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"runtime/pprof"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	courier "github.com/courier-profiles/courier-go"
)

// The tests of what goes on below a call: what breaks on a network, how many
// connections are opened, and what is left when all is done.

// connServer counts the connections and requests of a server. Its base URL has
// a path.
type connServer struct {
	*httptest.Server
	base     string
	conns    atomic.Int64
	requests atomic.Int64
}

// connServe starts a server; start is a method such as (*httptest.Server).Start.
func connServe(t testing.TB, start func(*httptest.Server), handle http.HandlerFunc) *connServer {
	t.Helper()
	s := new(connServer)
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.requests.Add(1)
		if r.URL.Path != "/base/v1/profiles/user-1" {
			t.Errorf("a request for %s", r.URL.Path)
		}
		_, _ = io.Copy(io.Discard, r.Body)
		handle(w, r)
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			s.conns.Add(1)
		}
	}
	start(s.Server)
	t.Cleanup(s.Close)
	s.base = s.URL + "/base/v1"
	return s
}

func connStartHTTP2(s *httptest.Server) {
	s.EnableHTTP2 = true
	s.StartTLS()
}

// opened returns how many connections have been opened, those included that
// net/http is still dialling, and those that the server has not accepted yet.
func (s *connServer) opened(t *testing.T) int64 {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); retryGoroutines("net/http.(*Transport).dialConn(") > 0; {
		if time.Now().After(deadline) {
			t.Fatal("net/http dials and dials")
		}
		time.Sleep(time.Millisecond)
	}
	// The server accepts one after the other, so that all are in before this.
	probe, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer probe.Close()
	_, _ = io.WriteString(probe, "no HTTP\r\n\r\n")
	_, _ = io.Copy(io.Discard, probe)
	return s.conns.Add(-1)
}

// connAnswer answers as Courier does.
func connAnswer(status int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, `{"status":"SUCCESS"}`)
	}
}

// connHijack sends text in place of an answer, and closes or resets the connection.
func connHijack(text string, reset bool) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			panic(err)
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, text)
		if reset {
			_ = conn.(*net.TCPConn).SetLinger(0)
		}
	}
}

// connHang sends the header, if there is to be one, and then nothing until the
// client has gone.
func connHang(status int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if status != 0 {
			w.WriteHeader(status)
			_, _ = io.WriteString(w, `{"status"`)
			_ = http.NewResponseController(w).Flush()
		}
		<-r.Context().Done()
	}
}

// connClient returns a client whose pool is transport, or the package's own if
// that is nil.
func connClient(t testing.TB, base string, transport http.RoundTripper, opts ...courier.Option) (*courier.Client, *retryAttempts) {
	t.Helper()
	opts = append([]courier.Option{courier.WithBaseURL(base)}, opts...)
	client, attempts := retryClient(t, transport, opts...)
	t.Cleanup(client.CloseIdleConnections)
	return client, attempts
}

// connRefused is a base URL where nobody listens.
func connRefused(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String() + "/base/v1"
}

// connRaw listens for connections, sends text on each and keeps it open.
func connRaw(t *testing.T, text string) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer conn.Close()
				_, _ = io.WriteString(conn, text)
				_, _ = io.Copy(io.Discard, conn)
			})
		}
	})
	t.Cleanup(func() { l.Close(); wg.Wait() })
	return l.Addr().String()
}

// connResolving is a pool whose name server answers with rcode: 2 is a failure
// of the server, 3 is "no such name".
func connResolving(rcode byte) *http.Transport {
	dial := func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		go func() {
			defer server.Close()
			r := bufio.NewReader(server)
			for {
				var length [2]byte
				if _, err := io.ReadFull(r, length[:]); err != nil {
					return
				}
				message := make([]byte, binary.BigEndian.Uint16(length[:]))
				if _, err := io.ReadFull(r, message); err != nil {
					return
				}
				message[2] |= 0x80
				message[3] = 0x80 | rcode
				if _, err := server.Write(append(length[:], message...)); err != nil {
					return
				}
			}
		}()
		return client, nil
	}
	resolver := &net.Resolver{PreferGo: true, Dial: dial}
	return &http.Transport{DialContext: (&net.Dialer{Resolver: resolver}).DialContext}
}

// TestConnectionFailure has calls fail on a real network.
func TestConnectionFailure(t *testing.T) {
	serve := func(start func(*httptest.Server), handle http.HandlerFunc) func(t *testing.T) (string, *http.Transport) {
		return func(t *testing.T) (string, *http.Transport) {
			s := connServe(t, start, handle)
			return s.base, s.Client().Transport.(*http.Transport)
		}
	}
	distrust := func(change func(*tls.Config)) func(t *testing.T) (string, *http.Transport) {
		return func(t *testing.T) (string, *http.Transport) {
			base, transport := serve((*httptest.Server).StartTLS, connAnswer(200))(t)
			change(transport.TLSClientConfig)
			return base, transport
		}
	}
	start := (*httptest.Server).Start
	const merge, none = 1, 0 // who retries, beside those who retry more
	const all = 2
	tests := []struct {
		name    string
		set     func(t *testing.T) (base string, transport *http.Transport)
		retried int
		text    string // in the error
	}{
		{"refused", func(t *testing.T) (string, *http.Transport) { return "http://" + connRefused(t), nil }, all, "connection refused"},
		{"refused, TLS", func(t *testing.T) (string, *http.Transport) { return "https://" + connRefused(t), nil }, all, "connection refused"},
		{"resolver out of order", func(t *testing.T) (string, *http.Transport) {
			return "https://courier-go.test/base/v1", connResolving(2)
		}, all, "server misbehaving"},
		{"host not found", func(t *testing.T) (string, *http.Transport) {
			return "https://courier-go.test/base/v1", connResolving(3)
		}, none, "no such host"},

		{"closed", serve(start, connHijack("", false)), merge, "EOF"},
		{"reset", serve(start, connHijack("", true)), merge, "connection reset by peer"},
		{"closed in the header", serve(start, connHijack("HTTP/1.1 200 OK\r\nDate: now\r\n", false)), merge, "EOF"},
		{"closed in the body", serve(start, connHijack("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{", false)), merge, "unexpected EOF"},
		{"closed in a chunk", serve(start, connHijack("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n99\r\n{", false)), merge, "unexpected EOF"},
		{"closed before the last chunk", serve(start, connHijack("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n", false)), merge, "unexpected EOF"},
		{"no answer in time", serve(start, connHang(0)), merge, "deadline exceeded"},
		{"no body in time", serve(start, connHang(200)), merge, "deadline exceeded"},
		{"no body in time, HTTP/2", serve(connStartHTTP2, connHang(200)), merge, "deadline exceeded"},
		{"stream reset, HTTP/2", serve(connStartHTTP2, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }), merge, ""},

		{"certificate of unknown authority", distrust(func(c *tls.Config) { c.RootCAs = x509.NewCertPool() }), none, "unknown authority"},
		{"certificate for another host", distrust(func(c *tls.Config) { c.ServerName = "other.test" }), none, "not other.test"},
		{"certificate expired", distrust(func(c *tls.Config) { c.Time = func() time.Time { return time.Unix(1<<33, 0) } }), none, "expired"},
		{"http behind https", func(t *testing.T) (string, *http.Transport) {
			base, _ := serve(start, connAnswer(200))(t)
			return strings.Replace(base, "http:", "https:", 1), nil
		}, none, "HTTP response to HTTPS client"},
		{"neither behind https", func(t *testing.T) (string, *http.Transport) {
			return "https://" + connRaw(t, "SSH-2.0-OpenSSH_9.9\r\n") + "/base/v1", nil
		}, none, "does not look like a TLS handshake"},
	}
	for _, tt := range tests {
		for _, op := range retryOperations {
			t.Run(tt.name+", "+op.name, func(t *testing.T) {
				base, transport := tt.set(t)
				opts := []courier.Option{noRetryWait, courier.WithMaxRetries(2)}
				if strings.HasPrefix(tt.name, "no ") {
					opts = append(opts, courier.WithTimeout(20*time.Millisecond))
				}
				var pool http.RoundTripper
				if transport != nil {
					pool = transport
				}
				client, attempts := connClient(t, base, pool, opts...)
				result, err := op.call(t.Context(), client)

				if !retryIs[*courier.ConnectionError](err) {
					t.Fatalf("%T %v, want a ConnectionError", err, err)
				}
				want := 1
				if tt.retried == all || tt.retried == merge && op.name != "patch" {
					want = 3
				}
				if made := retryMade(t, result, err); made != want || len(attempts.all) != want {
					t.Errorf("%d attempts, the observer was told of %d, want %d, for %v", made, len(attempts.all), want, err)
				}
				if !strings.Contains(err.Error(), tt.text) {
					t.Errorf("the error %q does not say %q", err, tt.text)
				}
				if strings.Contains(err.Error(), "/base") || strings.Contains(err.Error(), "user-1") {
					t.Errorf("the error %q tells the URL", err)
				}
			})
		}
	}
}

// TestConnectionRedirect: a redirect is an answer, wherever it points to.
func TestConnectionRedirect(t *testing.T) {
	for _, status := range []int{301, 302, 303, 307, 308} {
		for _, location := range []string{"", "/elsewhere", "elsewhere", "SERVER/elsewhere", "https://courier.test/", "//", "http://[::1", "%zz", ":", "mailto:a@b.test"} {
			for _, op := range retryOperations {
				t.Run(fmt.Sprint(status, " to ", location, ", ", op.name), func(t *testing.T) {
					var s *connServer
					s = connServe(t, (*httptest.Server).Start, func(w http.ResponseWriter, _ *http.Request) {
						if location != "" {
							w.Header()["Location"] = []string{strings.Replace(location, "SERVER", s.URL, 1)}
						}
						w.WriteHeader(status)
						_, _ = io.WriteString(w, `{"type":"moved","message":"Moved"}`)
					})
					client, attempts := connClient(t, s.base, nil)
					result, err := op.call(t.Context(), client)
					api, ok := err.(*courier.APIError)
					if !ok || result != nil {
						t.Fatalf("%T %v, want an *APIError", err, err)
					}
					if api.StatusCode != status || api.Attempts != 1 || api.Message != "Moved" {
						t.Errorf("error %v after %d attempts", api, api.Attempts)
					}
					if got := api.Header.Get("Location"); got != strings.Replace(location, "SERVER", s.URL, 1) {
						t.Errorf("the error's Location is %q", got)
					}
					if n := s.requests.Load(); n != 1 || len(attempts.all) != 1 {
						t.Errorf("%d requests, the observer was told of %d, want 1", n, len(attempts.all))
					}
				})
			}
		}
	}
}

// connInFlight makes calls, parallel of them at a time.
func connInFlight(t *testing.T, client *courier.Client, calls, parallel int, wantErr bool) {
	t.Helper()
	var wg sync.WaitGroup
	for range parallel {
		wg.Go(func() {
			for range calls / parallel {
				if _, err := retryMerge(t.Context(), client); (err != nil) != wantErr {
					t.Errorf("error %v", err)
				}
			}
		})
	}
	wg.Wait()
}

// connMeeting has the first n requests wait for each other.
func connMeeting(n int, handle http.HandlerFunc) http.HandlerFunc {
	var met sync.WaitGroup
	met.Add(n)
	var arrived atomic.Int64
	return func(w http.ResponseWriter, r *http.Request) {
		if arrived.Add(1) <= int64(n) {
			met.Done()
			met.Wait()
		}
		handle(w, r)
	}
}

// TestConnectionsInFlight counts the connections of the default pool.
func TestConnectionsInFlight(t *testing.T) {
	const calls, parallel = 12_800, 64
	var status atomic.Int64
	status.Store(200)
	s := connServe(t, (*httptest.Server).Start, connMeeting(parallel, func(w http.ResponseWriter, r *http.Request) {
		connAnswer(int(status.Load()))(w, r)
	}))
	client, err := courier.NewClient("key", courier.WithBaseURL(s.base), courier.WithMaxRetries(0))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.CloseIdleConnections)

	connInFlight(t, client, calls, parallel, false)
	opened := s.opened(t)
	if opened > parallel+16 { // as in TestConnectionsColdHTTP1
		t.Errorf("%d calls, %d in flight, opened %d connections", calls, parallel, opened)
	}
	for _, failure := range []int64{400, 500, 503, 302} {
		status.Store(failure)
		// In a row: under load net/http gives up some connections whose write it
		// has not seen finished, but never all of those that are idle here.
		connInFlight(t, client, calls/8, 1, true)
		now := s.opened(t)
		if now != opened {
			t.Errorf("%d calls that failed with %d opened %d connections, want none", calls/8, failure, now-opened)
		}
		opened = now
	}
	if got, want := s.requests.Load(), int64(calls+4*calls/8); got != want {
		t.Errorf("%d requests for %d calls", got, want)
	}
}

// TestConnectionIsReused makes calls one by one on one connection.
func TestConnectionIsReused(t *testing.T) {
	every := []int{400, 404, 413, 429, 500, 503, 301, 304, 200, 204, 400}
	bodies := []struct {
		name, body string
		statuses   []int
	}{
		{"empty", "", every},
		{"JSON", `{"type":"some_error","message":"Some message"}`, every},
		{"HTML", "<html>" + strings.Repeat("<p>Sorry</p>", 10_000), every},
		{"not even text", "\x00\xff", every},
		{"all that is read", strings.Repeat("x", 1<<20), []int{400, 503, 301, 200}},
	}
	for _, tt := range bodies {
		for name, start := range map[string]func(*httptest.Server){
			"HTTP/1.1": (*httptest.Server).Start, "HTTP/1.1 TLS": (*httptest.Server).StartTLS, "HTTP/2": connStartHTTP2,
		} {
			t.Run(tt.name+" "+name, func(t *testing.T) {
				var status atomic.Int64
				s := connServe(t, start, func(w http.ResponseWriter, _ *http.Request) {
					w.WriteHeader(int(status.Load()))
					_, _ = io.WriteString(w, tt.body)
				})
				client, attempts := connClient(t, s.base, s.Client().Transport, noRetryWait, courier.WithMaxRetries(2))
				for _, code := range tt.statuses {
					status.Store(int64(code))
					_, err := retryMerge(t.Context(), client)
					if retryIs[*courier.ConnectionError](err) {
						t.Errorf("%d: %v", code, err)
					}
				}
				if n := s.conns.Load(); n != 1 {
					t.Errorf("%d requests one after the other came on %d connections, want 1", s.requests.Load(), n)
				}
				if n := int(s.requests.Load()); n != len(attempts.all) || n < len(tt.statuses) {
					t.Errorf("%d requests arrived, the observer was told of %d", n, len(attempts.all))
				}
			})
		}
	}
}

// TestConnectionKey: with an idempotency key on the request, as without, every
// attempt at a server that hangs up is counted, and carries the same.
func TestConnectionKey(t *testing.T) {
	var mu sync.Mutex
	var keys, bodies []string
	s := connServe(t, (*httptest.Server).Start, nil)
	s.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		keys, bodies = append(keys, r.Header.Get("Idempotency-Key")), append(bodies, string(body))
		mu.Unlock()
		connHijack("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{", false)(w, r)
	})
	client, attempts := connClient(t, s.base, nil, noRetryWait)
	result, err := retryMerge(t.Context(), client, courier.WithIdempotencyKey("the-key"))
	if made := retryMade(t, result, err); made != 4 || len(attempts.all) != 4 {
		t.Errorf("%d attempts, the observer was told of %d, want 4", made, len(attempts.all))
	}
	const body = `{"profile":{"email":"user@example.com","phone_number":"555-555-5555"}}`
	if !slices.Equal(keys, slices.Repeat([]string{"the-key"}, 4)) || !slices.Equal(bodies, slices.Repeat([]string{body}, 4)) {
		t.Errorf("the attempts had the keys %q and the bodies %q", keys, bodies)
	}
}

// TestConnectionReused: the observer is told whether an attempt was on a
// connection that had been used.
func TestConnectionReused(t *testing.T) {
	for name, start := range map[string]func(*httptest.Server){
		"HTTP/1.1": (*httptest.Server).Start, "HTTP/1.1 TLS": (*httptest.Server).StartTLS, "HTTP/2": connStartHTTP2,
	} {
		t.Run(name, func(t *testing.T) {
			statuses := []int{200, 200, 200, 503, 503, 200}
			s := connServe(t, start, nil)
			s.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				connAnswer(statuses[s.requests.Add(1)-1])(w, r)
			})
			client, attempts := connClient(t, s.base, s.Client().Transport, noRetryWait)
			for i := range 4 {
				if i == 2 {
					client.CloseIdleConnections()
				}
				if _, err := retryMerge(t.Context(), client); err != nil {
					t.Fatal(err)
				}
			}
			wantReused(t, attempts, false, true, false, true, true, true)
		})
	}
	t.Run("closed by the server", func(t *testing.T) {
		s := connServe(t, (*httptest.Server).Start, nil)
		s.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			n := s.requests.Add(1)
			if n == 2 || n == 4 {
				w.Header().Set("Connection", "close")
			}
			connAnswer(map[bool]int{true: 503, false: 200}[n == 4])(w, r)
		})
		client, attempts := connClient(t, s.base, nil, noRetryWait)
		for range 4 {
			if _, err := retryMerge(t.Context(), client); err != nil {
				t.Fatal(err)
			}
		}
		// The fourth closes the connection, and is retried on a new one.
		wantReused(t, attempts, false, true, false, true, false)
	})
	t.Run("no connection", func(t *testing.T) {
		s := connServe(t, (*httptest.Server).Start, connAnswer(200))
		client, attempts := connClient(t, s.base, nil, noRetryWait, courier.WithMaxRetries(1))
		_, _ = retryMerge(t.Context(), client)
		_, _ = retryMerge(t.Context(), client)
		s.Close()
		client.CloseIdleConnections()
		if _, err := retryMerge(t.Context(), client); err == nil {
			t.Error("a server that is closed has answered")
		}
		wantReused(t, attempts, false, true, false, false)
	})
	t.Run("no connection for the retry", func(t *testing.T) {
		s := connServe(t, (*httptest.Server).Start, nil)
		s.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if s.requests.Add(1) == 2 {
				w.Header().Set("Connection", "close")
				w.WriteHeader(503)
			}
		})
		dials := 0
		transport := &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			if dials++; dials > 1 {
				return nil, errRetryBroken
			}
			return new(net.Dialer).DialContext(ctx, network, address)
		}}
		client, attempts := connClient(t, s.base, transport, noRetryWait, courier.WithMaxRetries(1))
		if _, err := retryMerge(t.Context(), client); err != nil {
			t.Fatal(err)
		}
		if _, err := retryMerge(t.Context(), client); !errors.Is(err, errRetryBroken) {
			t.Errorf("error %v", err)
		}
		wantReused(t, attempts, false, true, false)
	})
	t.Run("the caller's trace", func(t *testing.T) {
		s := connServe(t, (*httptest.Server).Start, connAnswer(200))
		var got []bool
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
			GotConn: func(info httptrace.GotConnInfo) { got = append(got, info.Reused) },
		})
		client, attempts := connClient(t, s.base, nil)
		for range 2 {
			if _, err := retryMerge(ctx, client); err != nil {
				t.Fatal(err)
			}
		}
		updates := func(yield func(string, courier.Profile) bool) { yield("user-1", twoFields()) }
		for outcome := range client.Profiles.MergeAll(ctx, updates) {
			if outcome.Err != nil {
				t.Error(outcome.Err)
			}
		}
		wantReused(t, attempts, false, true, true)
		if want := []bool{false, true, true}; !slices.Equal(got, want) {
			t.Errorf("the caller's trace was told %v, want %v", got, want)
		}
	})
	t.Run("a transport that tells nothing", func(t *testing.T) {
		client, attempts := retryClient(t, retryScript(retryStatus(200)))
		for range 2 {
			if _, err := retryMerge(t.Context(), client); err != nil {
				t.Fatal(err)
			}
		}
		wantReused(t, attempts, false, false)
	})
}

func wantReused(t *testing.T, attempts *retryAttempts, want ...bool) {
	t.Helper()
	var got []bool
	for _, a := range attempts.all {
		got = append(got, a.Reused)
	}
	if !slices.Equal(got, want) {
		t.Errorf("the connections of the attempts had been used: %v, want %v", got, want)
	}
}

// TestConnectionsColdHTTP2 counts the connections of callers that come all at once.
func TestConnectionsColdHTTP2(t *testing.T) {
	const callers, rounds = 64, 5
	answers := map[string]http.HandlerFunc{
		"at once": connAnswer(200),
		// Nobody is answered until all have arrived: none may wait for the
		// answer of another, or the test hangs.
		"when all are there": nil,
		"503":                connAnswer(503),
	}
	for name, answer := range answers {
		t.Run(name, func(t *testing.T) {
			var handle atomic.Value
			s := connServe(t, connStartHTTP2, func(w http.ResponseWriter, r *http.Request) {
				handle.Load().(http.HandlerFunc)(w, r)
			})
			client, _ := connClient(t, s.base, s.Client().Transport, courier.WithMaxRetries(0))
			for round := range rounds {
				if answer == nil {
					handle.Store(connMeeting(callers, connAnswer(200)))
				} else {
					handle.Store(answer)
				}
				before := s.conns.Load()
				connInFlight(t, client, callers, callers, name == "503")
				if n := s.conns.Load() - before; n > 4 || n == 0 && round == 0 {
					t.Errorf("round %d: %d callers opened %d connections, want 1 to 4", round, callers, n)
				}
				client.CloseIdleConnections()
			}
		})
	}
}

// TestConnectionsColdHTTP1: calls that begin while connections are being opened for
// others do not open more of them than there are calls.
func TestConnectionsColdHTTP1(t *testing.T) {
	const calls, callers = 12_800, 256
	s := connServe(t, (*httptest.Server).Start, connAnswer(200))
	client, err := courier.NewClient("key", courier.WithBaseURL(s.base), courier.WithMaxRetries(0))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.CloseIdleConnections)
	connInFlight(t, client, calls, callers, false)
	// Without a limit there are more than 300. Those above 256 are for connections
	// that net/http gives up under load, where it has not seen their write finished.
	if opened := s.opened(t); opened > callers+16 {
		t.Errorf("%d callers opened %d connections", callers, opened)
	}
}

// TestConnectionsDefaultPoolSpeaksHTTP2 has no server to trust, so it looks at
// what the pool offers.
func TestConnectionsDefaultPoolSpeaksHTTP2(t *testing.T) {
	offered := make(chan []string, 1)
	s := connServe(t, func(s *httptest.Server) {
		s.TLS = &tls.Config{GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			offered <- hello.SupportedProtos
			return nil, nil
		}}
		s.StartTLS()
	}, connAnswer(200))
	client, _ := connClient(t, s.base, nil)
	if _, err := retryMerge(t.Context(), client); err == nil {
		t.Error("a server nobody trusts was trusted")
	}
	if protocols := <-offered; !slices.Contains(protocols, "h2") {
		t.Errorf("the default pool offers %q, want h2 among them", protocols)
	}
}

type coldRoundTripper func(*http.Request) (*http.Response, error)

func (f coldRoundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// TestColdStartNotOurs: where a connection cannot be waited for, nobody is held
// back.
func TestColdStartNotOurs(t *testing.T) {
	const callers = 64
	never := func(req *http.Request) (*http.Response, error) {
		<-req.Context().Done()
		return nil, req.Context().Err()
	}
	var there atomic.Int64
	counted := func(req *http.Request) (*http.Response, error) {
		there.Add(1)
		return never(req)
	}
	plain := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		there.Add(1)
		<-ctx.Done()
		return nil, ctx.Err()
	}}
	tests := []struct {
		name, base string
		transport  http.RoundTripper
	}{
		{"another transport", "https://courier.test/base/v1", coldRoundTripper(counted)},
		{"http", "http://127.0.0.1/base/v1", plain},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				there.Store(0)
				client, _ := connClient(t, tt.base, tt.transport, courier.WithMaxRetries(0))
				var wg sync.WaitGroup
				for range callers {
					wg.Go(func() { _, _ = retryMerge(t.Context(), client) })
				}
				synctest.Wait()
				if n := there.Load(); n != callers {
					t.Errorf("%d of %d callers have reached the transport", n, callers)
				}
				wg.Wait()
			})
		})
	}
}

// TestConnectionGoroutines: when calls have returned and the pool is empty, no
// goroutine is left of them. Goroutines inherit the label of their maker.
func TestConnectionGoroutines(t *testing.T) {
	http1, tls1 := (*httptest.Server).Start, (*httptest.Server).StartTLS
	tests := []struct {
		name   string
		start  func(*httptest.Server)
		handle http.HandlerFunc
		ctx    time.Duration // the call's time, if it has one
	}{
		{"success", http1, connAnswer(200), 0},
		{"success, TLS", tls1, connAnswer(200), 0},
		{"success, HTTP/2", connStartHTTP2, connAnswer(200), 0},
		{"400", http1, connAnswer(400), 0},
		{"503", http1, connAnswer(503), 0},
		{"503, HTTP/2", connStartHTTP2, connAnswer(503), 0},
		{"more than is read", http1, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(500)
			_, _ = w.Write(make([]byte, 3<<20))
		}, 0},
		{"more than is read, HTTP/2", connStartHTTP2, func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write(make([]byte, 6<<20))
		}, 0},
		{"reset", http1, connHijack("", true), 0},
		{"cut off", http1, connHijack("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{", false), 0},
		{"attempt timeout", http1, connHang(0), 0},
		{"attempt timeout, HTTP/2", connStartHTTP2, connHang(0), 0},
		{"attempt timeout in the body", http1, connHang(200), 0},
		{"attempt timeout in the body, HTTP/2", connStartHTTP2, connHang(200), 0},
		{"context ends", http1, connHang(0), 5 * time.Millisecond},
		{"context ends, HTTP/2", connStartHTTP2, connHang(0), 5 * time.Millisecond},
		{"context ends in the dial", connStartHTTP2, connAnswer(200), time.Microsecond},
		{"switching protocols", http1, connHijack("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n", false), 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := connServe(t, tt.start, tt.handle)
			opts := []courier.Option{noRetryWait, courier.WithMaxRetries(1)}
			if strings.HasPrefix(tt.name, "attempt timeout") {
				opts = append(opts, courier.WithTimeout(20*time.Millisecond))
			}
			client, _ := connClient(t, s.base, s.Client().Transport, opts...)
			var wg sync.WaitGroup
			pprof.Do(t.Context(), pprof.Labels("courier test", t.Name()), func(ctx context.Context) {
				for range 8 {
					wg.Go(func() {
						if tt.ctx > 0 {
							ctx, cancel := context.WithTimeout(ctx, tt.ctx)
							defer cancel()
							_, _ = retryMerge(ctx, client)
							return
						}
						_, _ = retryMerge(ctx, client)
					})
				}
			})
			wg.Wait()

			// Goroutines of net/http may take a moment to notice.
			deadline := time.Now().Add(10 * time.Second)
			for {
				client.CloseIdleConnections()
				left := connLabelled(t.Name())
				if left == "" {
					return
				}
				if time.Now().After(deadline) {
					t.Fatalf("left of the calls:\n%s", left)
				}
				time.Sleep(time.Millisecond)
			}
		})
	}
}

// connLabelled returns the stacks of all goroutines that have label.
func connLabelled(label string) string {
	var profile bytes.Buffer
	_ = pprof.Lookup("goroutine").WriteTo(&profile, 1)
	var labelled []string
	for stack := range strings.SplitSeq(profile.String(), "\n\n") {
		if strings.Contains(stack, fmt.Sprintf("%q", label)) {
			labelled = append(labelled, stack)
		}
	}
	return strings.Join(labelled, "\n\n")
}

// A transport that hedges may get a connection when the call is over.
func TestConnectionReusedIsNoRace(t *testing.T) {
	s := connServe(t, (*httptest.Server).Start, connAnswer(200))
	late := make(chan bool)
	client, _ := connClient(t, s.base, coreTransport(func(req *http.Request) (*http.Response, error) {
		trace := httptrace.ContextClientTrace(req.Context())
		go func() {
			trace.GotConn(httptrace.GotConnInfo{Reused: true})
			close(late)
		}()
		return s.Client().Transport.RoundTrip(req)
	}))
	if _, err := retryMerge(t.Context(), client); err != nil {
		t.Fatal(err)
	}
	<-late
}
