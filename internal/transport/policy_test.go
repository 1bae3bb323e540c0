package transport_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/courier-profiles/courier-go/internal/transport"
)

// The retry table. A call that is retried has four attempts: newConfig allows three retries.

// TestStatusTable is the part of the retry table about responses.
func TestStatusTable(t *testing.T) {
	t.Parallel()
	retried := map[string][]int{
		"Idempotent":        {408, 409, 429, 500, 502, 503, 504},
		"IdempotentWithKey": {408, 409, 429, 502, 503, 504},
		"NotIdempotent":     {429, 503},
	}
	for name, policy := range policies {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for status := 100; status < 600; status++ {
				r := newRequest(t, baseURL)
				r.Policy = policy
				last := newTransport(newFake(respond(status))).Do(t.Context(), r)
				if last.Status != status {
					t.Errorf("%d became status %d, error %v", status, last.Status, last.Err)
				}
				wantRetried(t, fmt.Sprint(status), last, slices.Contains(retried[name], status))
			}
		})
	}
}

// TestShouldRetryIsIgnored: the status alone decides, whatever that header says.
func TestShouldRetryIsIgnored(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		status int
		header string
		want   bool
	}{
		{503, "false", true},
		{400, "true", false},
	} {
		f := newFake(respond(tt.status, "X-Should-Retry", tt.header))
		last := newTransport(f).Do(t.Context(), newRequest(t, baseURL))
		wantRetried(t, fmt.Sprint(tt.status, " ", tt.header), last, tt.want)
	}
}

// wantRetried fails unless the outcome was retried, or not, and says that it is worth it.
func wantRetried(t *testing.T, outcome string, last transport.Exchange, want bool) {
	t.Helper()
	if last.Retryable != want {
		t.Errorf("%s: retryable is %t, want %t", outcome, last.Retryable, want)
	}
	attempts := 1
	if want {
		attempts = 4
	}
	if last.Number != attempts {
		t.Errorf("%s: got %d attempts, want %d", outcome, last.Number, attempts)
	}
}

// What follows from a cause.
const (
	noConnection = "retried, because nothing was sent"
	mayBeSent    = "retried if the request may be sent twice"
	permanent    = "not retried"
)

// refusal begins the error for a proxy that refuses a CONNECT.
const refusal = "proxyconnect tcp: the proxy refused the connection: "

// TestCauseTable is the part of the retry table about attempts without a response. Each
// cause is produced on a socket.
func TestCauseTable(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		cause  func(t *testing.T, pool *http.Transport) (url string)
		text   string // in the error
		follow string
	}{
		{"dial refused", dialRefused, "connection refused", noConnection},
		{"dial timed out", dialTimedOut, "i/o timeout", noConnection},
		{"name server fails", nameServer(serverFailure), "server misbehaving", noConnection},
		{"TLS handshake cut", tlsHandshakeCut, "EOF", noConnection},
		{"TLS handshake timed out", tlsHandshakeTimedOut, "handshake timeout", noConnection},
		{"proxy refuses the dial", proxied(dialRefused), "connection refused", noConnection},
		{"SOCKS5 proxy refuses", socksRefused, "connection refused", noConnection},
		{"proxy closes after CONNECT", proxy(""), "EOF", noConnection},
		{"proxy closes the tunnel", proxy("200 OK"), "EOF", noConnection},
		{"CONNECT 502", proxy("502 Bad Gateway"), refusal + "502 Bad Gateway", noConnection},

		{"reset", reset, "connection reset by peer", mayBeSent},
		{"reset, HTTP/2", resetHTTP2, "", mayBeSent}, // or EOF, if a write found it first
		{"stream reset", resetStream, "stream error", mayBeSent},
		{"closed without a response", raw(""), "EOF", mayBeSent},
		{"cut off in the header", raw(okay + "Date: now\r\n"), "EOF", mayBeSent},
		{"cut off in the body", raw(okay + "Content-Length: 9\r\n\r\n{"), "EOF", mayBeSent},
		{"cut off in a chunk", raw(chunked + "99\r\n{"), "EOF", mayBeSent},
		{"last chunk missing", raw(chunked + "2\r\n{}\r\n"), "EOF", mayBeSent},
		{"malformed chunk", raw(chunked + "xyz\r\n"), "chunk length", mayBeSent},
		{"malformed gzip", raw(gzip + success), "gzip: invalid header", mayBeSent},
		{"not HTTP", raw("SSH-2.0-OpenSSH_9.9\r\n"), "malformed HTTP", mayBeSent},
		{"no header in time", headerTimedOut, "awaiting response headers", mayBeSent},

		{"host not found", nameServer(nameError), "no such host", permanent},
		{"proxy not found", proxyNotFound, "no such host", permanent},
		{"CONNECT 403", proxy("403 Forbidden"), refusal + "403 Forbidden", permanent},
		{"CONNECT 407", proxy("407 Log in"), refusal + "407 Log in", permanent},
		{"HTTP behind https", rawTLS("HTTP/1.1 400 Bad\r\n\r\n"), "HTTPS client", permanent},
		{"SSH behind https", rawTLS("SSH-2.0-OpenSSH_9.9\r\n"), "TLS handshake", permanent},
		{"SSH in a proxy's place", proxied(rawTLS("SSH-2.0-OpenSSH_9.9\r\n")), "TLS", permanent},
		{"unknown authority", certificate(unknownAuthority), "unknown authority", permanent},
		{"wrong host", certificate(wrongHost), "not other.test", permanent},
		{"expired", certificate(expired), "expired", permanent},
		{"rejected by the caller", certificate(rejectedByCaller), "certificate", permanent},
		{"alert: certificate required", alert(certificateRequired), "required", permanent},
		{"alert: unknown authority", alert(untrustedClient), "unknown certificate", permanent},
		{"alert: protocol version", alert(protocolVersion), "protocol version", permanent},
		{"alert: no application protocol", alert(noProtocol), "application protocol", permanent},
	} {
		for name, policy := range policies {
			t.Run(tt.name+", "+name, func(t *testing.T) {
				t.Parallel()
				pool := transport.NewPool()
				pool.Proxy = nil
				defer pool.CloseIdleConnections() // or the server waits for the client
				r := newRequest(t, tt.cause(t, pool)+"/base")
				r.Policy = policy
				last := newTransport(pool).Do(t.Context(), r)
				notSent := tt.follow == noConnection
				wantRetried(t, tt.name, last, notSent ||
					tt.follow == mayBeSent && policy != transport.NotIdempotent)
				if last.Err == nil || !strings.Contains(last.Err.Error(), tt.text) {
					t.Errorf("got error %v, want one with %q", last.Err, tt.text)
				}
				if last.Status != 0 {
					t.Errorf("got status %d besides the error", last.Status)
				}
				if tt.follow != permanent && last.NoConnection != notSent {
					t.Errorf("NoConnection is %t, want %t", last.NoConnection, notSent)
				}
			})
		}
	}
}

func dialRefused(t *testing.T, _ *http.Transport) string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener.Close()
	return "http://" + listener.Addr().String()
}

func dialTimedOut(t *testing.T, pool *http.Transport) string {
	pool.DialContext = (&net.Dialer{Deadline: time.Now().Add(-second)}).DialContext
	return dialRefused(t, pool)
}

// proxied sends an https request through the proxy at the URL of server.
func proxied(
	server func(*testing.T, *http.Transport) string,
) func(*testing.T, *http.Transport) string {
	return func(t *testing.T, pool *http.Transport) string {
		proxyURL, err := url.Parse(server(t, pool))
		if err != nil {
			t.Fatal(err)
		}
		pool.Proxy = http.ProxyURL(proxyURL)
		return "https://courier.test"
	}
}

// proxy responds to CONNECT with a status, if any, and closes the connection.
func proxy(status string) func(*testing.T, *http.Transport) string {
	if status == "" {
		return proxied(raw(""))
	}
	return proxied(raw("HTTP/1.1 " + status + "\r\n\r\n"))
}

func socksRefused(t *testing.T, pool *http.Transport) string {
	return proxied(func(t *testing.T, _ *http.Transport) string {
		return "socks5://" + listen(t, func(conn net.Conn) {
			var greeting [3]byte
			_, err := io.ReadFull(conn, greeting[:])
			if err != nil {
				return
			}
			_, _ = conn.Write([]byte{5, 0})                         // no authentication
			_, _ = conn.Write([]byte{5, 5, 0, 1, 0, 0, 0, 0, 0, 0}) // connection refused
			hold(conn)
		})
	})(t, pool)
}

// The beginnings of responses.
const (
	okay    = "HTTP/1.1 200 OK\r\n"
	chunked = okay + "Transfer-Encoding: chunked\r\n\r\n"
	gzip    = okay + "Connection: close\r\nContent-Encoding: gzip\r\n\r\n"
)

// raw reads a request, writes text, and ends the connection.
func raw(text string) func(*testing.T, *http.Transport) string {
	return func(t *testing.T, _ *http.Transport) string {
		return "http://" + listen(t, func(conn net.Conn) {
			respondRaw(conn, text)
			endOfStream(conn)
		})
	}
}

// endOfStream ends what the server sends. Closing the connection would reset it instead, if
// the client sends more.
func endOfStream(conn net.Conn) {
	_ = conn.(*net.TCPConn).CloseWrite()
	hold(conn)
}

// rawTLS writes text to a client that expects TLS.
func rawTLS(text string) func(*testing.T, *http.Transport) string {
	return func(t *testing.T, _ *http.Transport) string {
		return "https://" + listen(t, func(conn net.Conn) {
			_, _ = io.WriteString(conn, text)
			hold(conn)
		})
	}
}

// resetOnClose makes closing a connection reset it.
func resetOnClose(conn net.Conn) { _ = conn.(*net.TCPConn).SetLinger(0) }

func reset(t *testing.T, _ *http.Transport) string {
	return "http://" + listen(t, func(conn net.Conn) {
		resetOnClose(conn)
		respondRaw(conn, "")
	})
}

func resetHTTP2(t *testing.T, pool *http.Transport) string {
	return listenHTTP2(t, pool, func(conn net.Conn, _ uint32) bool {
		resetOnClose(conn.(*tls.Conn).NetConn())
		return false
	})
}

func resetStream(t *testing.T, pool *http.Transport) string {
	return listenHTTP2(t, pool, func(conn net.Conn, stream uint32) bool {
		writeFrame(conn, frameRSTStream, 0, stream, internalError)
		return true
	})
}

func headerTimedOut(t *testing.T, pool *http.Transport) string {
	pool.ResponseHeaderTimeout = time.Millisecond
	return "http://" + listen(t, hold)
}

func tlsHandshakeCut(t *testing.T, _ *http.Transport) string {
	return "https://" + listen(t, func(conn net.Conn) {
		var header [5]byte // of the client's first record
		_, _ = io.ReadFull(conn, header[:])
		endOfStream(conn)
	})
}

func tlsHandshakeTimedOut(t *testing.T, pool *http.Transport) string {
	pool.TLSHandshakeTimeout = time.Millisecond
	return "https://" + listen(t, hold)
}

func proxyNotFound(t *testing.T, pool *http.Transport) string {
	nameServer(nameError)(t, pool)
	return proxied(func(*testing.T, *http.Transport) string {
		return "http://proxy.test:3128"
	})(t, pool)
}

// certificate has a client look at a good certificate in a way that finds fault with it.
func certificate(distrust func(*tls.Config)) func(*testing.T, *http.Transport) string {
	return func(t *testing.T, pool *http.Transport) string {
		rawURL := listenHTTP2(t, pool, nil)
		distrust(pool.TLSClientConfig)
		return rawURL
	}
}

func unknownAuthority(c *tls.Config) { c.RootCAs = x509.NewCertPool() }
func wrongHost(c *tls.Config)        { c.ServerName = "other.test" }
func expired(c *tls.Config)          { c.Time = func() time.Time { return time.Unix(1<<33, 0) } }

func rejectedByCaller(c *tls.Config) {
	c.VerifyConnection = func(tls.ConnectionState) error {
		return x509.HostnameError{Certificate: &x509.Certificate{}}
	}
}

// alert has a server of crypto/tls refuse the client with an alert.
func alert(refuse func(client, server *tls.Config)) func(*testing.T, *http.Transport) string {
	return func(t *testing.T, pool *http.Transport) string {
		var server *tls.Config
		server, pool.TLSClientConfig = newTLSConfigs(t)
		refuse(pool.TLSClientConfig, server)
		return "https://" + listen(t, func(conn net.Conn) {
			_ = tls.Server(conn, server).Handshake()
			hold(conn) // so that no reset overtakes the alert
		})
	}
}

// Over HTTP/2 net/http sometimes loses this alert, which comes after the handshake.
func certificateRequired(_, server *tls.Config) { server.ClientAuth = tls.RequireAnyClientCert }

func untrustedClient(client, server *tls.Config) {
	server.ClientAuth = tls.RequireAndVerifyClientCert
	server.ClientCAs = x509.NewCertPool()
	server.MaxVersion = tls.VersionTLS12
	client.GetClientCertificate = func(
		*tls.CertificateRequestInfo,
	) (*tls.Certificate, error) {
		return &server.Certificates[0], nil
	}
}

func protocolVersion(client, server *tls.Config) {
	client.MaxVersion, server.MinVersion = tls.VersionTLS12, tls.VersionTLS13
}

func noProtocol(_, server *tls.Config) { server.NextProtos = []string{"other"} }

// TestTLSAlerts has the alerts that crypto/tls may get from a server.
func TestTLSAlerts(t *testing.T) {
	t.Parallel()
	for alert, want := range map[tls.AlertError]bool{
		20:  true,  // bad record MAC
		40:  true,  // handshake failure
		42:  false, // bad certificate
		43:  false, // unsupported certificate
		44:  false, // certificate revoked
		45:  false, // certificate expired
		46:  false, // certificate unknown
		48:  false, // unknown certificate authority
		49:  false, // access denied
		50:  true,  // decode error
		70:  false, // protocol version
		71:  false, // insufficient security
		80:  true,  // internal error
		90:  true,  // user canceled
		111: false, // certificate unobtainable
		112: false, // unrecognized name
		113: false, // bad certificate status response
		114: false, // bad certificate hash value
		116: false, // certificate required
		120: false, // no application protocol
	} {
		fromServer := &net.OpError{Op: "remote error", Err: alert}
		fromProxy := &net.OpError{Op: "proxyconnect", Err: fromServer}
		for _, err := range []error{fromServer, fromProxy} {
			last := newTransport(newFake(fail(err))).Do(t.Context(), newRequest(t, baseURL))
			wantRetried(t, err.Error(), last, want)
		}
	}
}

// TestPermanentErrors has errors that a RoundTripper can return and this pool does not.
func TestPermanentErrors(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		err  error
		want bool // whether it is retried
	}{
		{&url.Error{Op: "Post", Err: http.ErrSchemeMismatch}, false}, // of an inner http.Client
		{&tls.CertificateVerificationError{Err: x509.ConstraintViolationError{}}, false},
		{x509.UnknownAuthorityError{}, false},
		{x509.CertificateInvalidError{}, false},
		{x509.SystemRootsError{}, false},
		{&net.OpError{Op: "remote error"}, true},
		{errors.New("certificate required"), true}, // the text alone is not an alert
	} {
		last := newTransport(newFake(fail(tt.err))).Do(t.Context(), newRequest(t, baseURL))
		wantRetried(t, fmt.Sprintf("%T %v", tt.err, tt.err), last, tt.want)
	}
}

// TestRedirect: a redirect is a response like any other, wherever it points to.
func TestRedirect(t *testing.T) {
	t.Parallel()
	locations := []string{"", "/elsewhere", "https://courier.test/", "http://[::1", "%zz", ":"}
	for _, status := range []int{301, 302, 303, 307, 308} {
		for _, location := range locations {
			synctest.Test(t, func(t *testing.T) {
				n := newServer(t, plainHTTP, func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Path != "/base/profiles/user-1" {
						t.Errorf("a redirect to %q was followed to %s", location, r.URL)
					}
					w.Header().Set("Location", location)
					w.WriteHeader(status)
				})
				last := newTransport(n.pool).Do(t.Context(), newRequest(t, n.url))
				if last.Status != status {
					t.Errorf("got status %d, want %d", last.Status, status)
				}
				if got := last.Header.Get("Location"); got != location {
					t.Errorf("got Location %q, want %q", got, location)
				}
				wantAttempts(t, last, 1)
			})
		}
	}
}
