package transport_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/courier-profiles/courier-go/internal/transport"
)

// TestConnectionFailure is the retry table of attempts without a complete response. Each
// row fails on a real network, through the pool.
func TestConnectionFailure(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		set  func(t *testing.T) (url string, base *http.Transport)
		text string // in the error
		// Whether it is retried with the policies Idempotent and IdempotentWithKey, and
		// with NotIdempotent.
		idempotent, notIdempotent bool
	}{
		// Nothing was sent.
		{"dial refused", dialRefused, "connection refused", true, true},
		{"dial timed out", dialTimeout, "i/o timeout", true, true},
		{"resolver out of order", resolver(2), "server misbehaving", true, true},
		{"proxy refused", proxy(refusedURL), "connection refused", true, true},

		// Something may have been sent.
		{"reset", reset, "connection reset by peer", true, false},
		{"closed without a response", rawServer(""), "EOF", true, false},
		{"cut off in the body", rawServer("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"), "unexpected EOF", true, false},
		{"no header in time", headerTimeout, "timeout awaiting response headers", true, false},
		{"no TLS handshake in time", handshakeTimeout, "TLS handshake timeout", true, false},
		{"stream reset", streamReset, "stream error", true, false},

		// A retry would fail in the same way.
		{"host not found", resolver(3), "no such host", false, false},
		{"proxy host not found", proxyNotFound, "no such host", false, false},
		{"proxy does not speak TLS", proxy(silentTLSProxy), "does not look like a TLS handshake", false, false},
		{"certificate of an unknown authority", certificate(func(c *tls.Config) { c.RootCAs = x509.NewCertPool() }), "unknown authority", false, false},
		{"certificate of another host", certificate(func(c *tls.Config) { c.ServerName = "other.test" }), "not other.test", false, false},
		{"certificate expired", certificate(func(c *tls.Config) { c.Time = func() time.Time { return time.Unix(1<<33, 0) } }), "expired", false, false},
		{"certificate rejected by the caller", certificate(func(c *tls.Config) {
			c.VerifyPeerCertificate = func([][]byte, [][]*x509.Certificate) error {
				return x509.HostnameError{Certificate: &x509.Certificate{}}
			}
		}), "certificate", false, false},
		{"no client certificate", clientCertificate(false, tls.VersionTLS13), "certificate required", false, false},
		{"client certificate not trusted", clientCertificate(true, tls.VersionTLS13), "certificate", false, false},
		{"client certificate not trusted, TLS 1.2", clientCertificate(true, tls.VersionTLS12), "certificate", false, false},
		{"HTTP behind https", rawTLS("HTTP/1.1 400 Bad Request\r\n\r\n"), "server gave HTTP response to HTTPS client", false, false},
		{"no TLS behind https", rawTLS("SSH-2.0-OpenSSH_9.9\r\n"), "does not look like a TLS handshake", false, false},
	} {
		for _, p := range policies {
			t.Run(tt.name+", "+p.name, func(t *testing.T) {
				t.Parallel()
				rawURL, base := tt.set(t)
				pool := transport.NewPool(base)
				defer pool.CloseIdleConnections()
				tr := newTransport(pool)
				tr.MinWait, tr.MaxWait = 0, 0
				r := newRequest(t, rawURL+"/base/v1")
				r.Policy = p.policy
				resp := tr.Do(t.Context(), r)
				want := 1
				if p.policy == transport.NotIdempotent && tt.notIdempotent || p.policy != transport.NotIdempotent && tt.idempotent {
					want = 4
				}
				if resp.Attempts != want || resp.Status != 0 || resp.Ended != nil {
					t.Errorf("%d attempts, want %d: %+v", resp.Attempts, want, resp)
				}
				if resp.Err == nil || !strings.Contains(resp.Err.Error(), tt.text) {
					t.Errorf("error %v, want one with %q", resp.Err, tt.text)
				}
			})
		}
	}
}

// TestErr has errors that are hard to get from a network.
func TestErr(t *testing.T) {
	t.Parallel()
	alert := func(text string) error { return &net.OpError{Op: "remote error", Err: errors.New("tls: " + text)} }
	for _, tt := range []struct {
		err  error
		want bool
	}{
		{alert("certificate required"), false},
		{alert("unknown certificate authority"), false},
		{alert("internal error"), true},
		{&net.OpError{Op: "remote error"}, true},
		{&tls.CertificateVerificationError{Err: x509.ConstraintViolationError{}}, false},
		{x509.UnknownAuthorityError{}, false},
		{x509.CertificateInvalidError{}, false},
		{x509.SystemRootsError{}, false},
		{&url.Error{Op: "Post", Err: http.ErrSchemeMismatch}, false}, // from an http.Client inside a RoundTripper
	} {
		if got := transport.Idempotent.Err(tt.err); got != tt.want {
			t.Errorf("%T %v: retried is %t", tt.err, tt.err, got)
		}
		if transport.NotIdempotent.Err(tt.err) {
			t.Errorf("%T %v: retried although it is not idempotent", tt.err, tt.err)
		}
	}
}

// listen has serve called with every connection to the address that it returns.
func listen(t *testing.T, serve func(net.Conn)) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			serve(conn)
			conn.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return l.Addr().String()
}

// hold keeps a connection open, and silent, until the client closes it.
func hold(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }

// refusedURL is an address where nobody listens.
func refusedURL(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return "http://" + l.Addr().String()
}

func dialRefused(t *testing.T) (string, *http.Transport) { return refusedURL(t), nil }

func dialTimeout(t *testing.T) (string, *http.Transport) {
	dialer := &net.Dialer{Deadline: time.Now().Add(-time.Second)}
	return refusedURL(t), &http.Transport{DialContext: dialer.DialContext}
}

// resolving is a transport whose name server responds with rcode: 2 is a failure of the
// server, 3 is "no such name".
func resolving(rcode byte) *http.Transport {
	resolver := &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		go func() {
			defer server.Close()
			var length [2]byte
			for {
				if _, err := io.ReadFull(server, length[:]); err != nil {
					return
				}
				message := make([]byte, binary.BigEndian.Uint16(length[:]))
				if _, err := io.ReadFull(server, message); err != nil {
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
	}}
	return &http.Transport{DialContext: (&net.Dialer{Resolver: resolver}).DialContext}
}

func resolver(rcode byte) func(t *testing.T) (string, *http.Transport) {
	return func(*testing.T) (string, *http.Transport) { return "https://courier-go.test", resolving(rcode) }
}

func proxyNotFound(*testing.T) (string, *http.Transport) {
	base := resolving(3)
	base.Proxy = http.ProxyURL(&url.URL{Scheme: "http", Host: "proxy.courier-go.test:3128"})
	return "https://courier-go.test", base
}

// proxy sends an https request through the proxy at the URL that start returns.
func proxy(start func(t *testing.T) (rawURL string)) func(t *testing.T) (string, *http.Transport) {
	return func(t *testing.T) (string, *http.Transport) {
		u, err := url.Parse(start(t))
		if err != nil {
			t.Fatal(err)
		}
		return "https://courier-go.test", &http.Transport{Proxy: http.ProxyURL(u)}
	}
}

// silentTLSProxy is the https URL of something that does not speak TLS.
func silentTLSProxy(t *testing.T) string {
	rawURL, _ := rawTLS("SSH-2.0-OpenSSH_9.9\r\n")(t)
	return rawURL
}

// rawServer reads a request, sends text and closes the connection.
func rawServer(text string) func(t *testing.T) (string, *http.Transport) {
	return func(t *testing.T) (string, *http.Transport) {
		return "http://" + listen(t, rawResponse(text)), nil
	}
}

// rawTLS sends text to a client that expects TLS.
func rawTLS(text string) func(t *testing.T) (string, *http.Transport) {
	return func(t *testing.T) (string, *http.Transport) {
		return "https://" + listen(t, func(conn net.Conn) { _, _ = io.WriteString(conn, text); hold(conn) }), nil
	}
}

func reset(t *testing.T) (string, *http.Transport) {
	return "http://" + listen(t, func(conn net.Conn) {
		rawResponse("")(conn)
		_ = conn.(*net.TCPConn).SetLinger(0)
	}), nil
}

func headerTimeout(t *testing.T) (string, *http.Transport) {
	return "http://" + listen(t, hold), &http.Transport{ResponseHeaderTimeout: time.Millisecond}
}

func handshakeTimeout(t *testing.T) (string, *http.Transport) {
	return "https://" + listen(t, hold), &http.Transport{TLSHandshakeTimeout: time.Millisecond}
}

// tlsServer is an HTTP/2 server.
func tlsServer(t *testing.T, handle http.HandlerFunc) *httptest.Server {
	s := httptest.NewUnstartedServer(handle)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

func streamReset(t *testing.T) (string, *http.Transport) {
	s := tlsServer(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	return s.URL, s.Client().Transport.(*http.Transport)
}

// certificate has the client look at a good certificate in a way that finds fault with
// it.
func certificate(distrust func(*tls.Config)) func(t *testing.T) (string, *http.Transport) {
	return func(t *testing.T) (string, *http.Transport) {
		s := tlsServer(t, ok)
		base := s.Client().Transport.(*http.Transport).Clone()
		distrust(base.TLSClientConfig)
		return s.URL, base
	}
}

// clientCertificate has the server ask for a certificate that it trusts, which the
// client does not have.
func clientCertificate(some bool, version uint16) func(t *testing.T) (string, *http.Transport) {
	return func(t *testing.T) (string, *http.Transport) {
		s := tlsServer(t, ok)
		config := &tls.Config{
			Certificates: s.TLS.Certificates,
			ClientAuth:   tls.RequireAndVerifyClientCert,
			ClientCAs:    x509.NewCertPool(),
			MaxVersion:   version,
		}
		base := s.Client().Transport.(*http.Transport).Clone()
		if some {
			base.TLSClientConfig.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
				return &s.TLS.Certificates[0], nil
			}
		}
		return "https://" + listen(t, func(conn net.Conn) {
			_ = tls.Server(conn, config).Handshake()
			hold(conn) // so that no reset overtakes the alert
		}), base
	}
}
