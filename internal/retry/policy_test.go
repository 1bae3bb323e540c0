package retry_test

import (
	"bufio"
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

	"github.com/courier-profiles/courier-go/internal/retry"
)

// policies are the columns of the tables here.
var policies = map[string]retry.Policy{
	"Idempotent":        retry.Idempotent,
	"IdempotentWithKey": retry.IdempotentWithKey,
	"NotIdempotent":     retry.NotIdempotent,
}

func TestStatus(t *testing.T) {
	want := map[string]map[int]bool{
		"Idempotent":        {408: true, 409: true, 429: true, 500: true, 502: true, 503: true, 504: true},
		"IdempotentWithKey": {408: true, 409: true, 429: true, 502: true, 503: true, 504: true},
		"NotIdempotent":     {429: true, 503: true},
	}
	for name, policy := range policies {
		for status := -1; status <= 1000; status++ {
			if got := policy.Status(status); got != want[name][status] {
				t.Errorf("%s.Status(%d) = %t", name, status, got)
			}
		}
	}
}

// TestErr decides about errors that come out of net/http, as the pipeline gets
// them: each case makes a request that fails.
func TestErr(t *testing.T) {
	tests := []struct {
		name    string
		request func(t *testing.T) error
		is      func(error) bool // what it has to be for the case to mean something
		// Whether it is worth another attempt, for operations that may be
		// repeated, with a key or without, and for those that may not.
		repeatable, patch bool
	}{
		// Nothing can have been sent.
		{"dial refused", dialRefused, isOp("dial"), true, true},
		{"dial timeout", dialTimeout, isOp("dial"), true, true},
		{"resolver out of order", resolver(2), isDNSError, true, true},
		{"proxy refused", proxy(refusedURL), isOp("proxyconnect"), true, true},
		{"proxy speaks no TLS", proxy(silentTLSProxy), isOp("proxyconnect"), false, false},

		// Something may have been sent.
		{"reset", reset, isOp("read"), true, false},
		{"closed without an answer", answer(""), isEOF, true, false},
		{"cut off in the header", answer("HTTP/1.1 200 OK\r\nDate: now\r\n"), isEOF, true, false},
		{"cut off in the body", answer("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"), isEOF, true, false},
		{"cut off in a chunk", answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n{"), isEOF, true, false},
		{"attempt timeout", attemptTimeout, isTimeout, true, false},
		{"header timeout", headerTimeout, isTimeout, true, false},
		{"TLS handshake timeout", handshakeTimeout, isTimeout, true, false},

		// It would fail the same way again.
		{"host not found", resolver(3), isDNSError, false, false},
		{"proxy host not found", proxyNotFound, isDNSError, false, false},
		{"certificate of unknown authority", certificate(func(c *tls.Config) { c.RootCAs = x509.NewCertPool() }), isTLSError, false, false},
		{"certificate for another host", certificate(func(c *tls.Config) { c.ServerName = "other.test" }), isTLSError, false, false},
		{"certificate expired", certificate(func(c *tls.Config) { c.Time = func() time.Time { return time.Unix(1<<33, 0) } }), isTLSError, false, false},
		{"no certificate of ours", ourCertificate(false, tls.VersionTLS13), isOp("remote error"), false, false},
		{"our certificate not trusted", ourCertificate(true, tls.VersionTLS13), isOp("remote error"), false, false},
		{"our certificate not trusted, TLS 1.2", ourCertificate(true, tls.VersionTLS12), isOp("remote error"), false, false},
		{"http behind https", plainHTTP, isRecordHeader, false, false},
		{"no TLS behind https", notTLS, isRecordHeader, false, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.request(t)
			if err == nil || !tt.is(err) {
				t.Fatalf("the request failed with another error than meant: %T %v", err, err)
			}
			for name, policy := range policies {
				want := tt.repeatable
				if policy == retry.NotIdempotent {
					want = tt.patch
				}
				if got := policy.Err(err); got != want {
					t.Errorf("%s.Err(%v) = %t", name, err, got)
				}
			}
		})
	}
}

// send sends a POST through transport and reads the answer.
func send(t *testing.T, transport *http.Transport, url string) error {
	t.Helper()
	defer transport.CloseIdleConnections()
	ctx := t.Context()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/base/v1/profiles/u", strings.NewReader(`{"profile":{}}`))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.ReadAll(resp.Body)
	return err
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

// hold keeps a connection open, and silent, until the other side closes it.
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

func dialRefused(t *testing.T) error { return send(t, &http.Transport{}, refusedURL(t)) }

func dialTimeout(t *testing.T) error {
	dialer := &net.Dialer{Deadline: time.Now().Add(-time.Second)}
	return send(t, &http.Transport{DialContext: dialer.DialContext}, refusedURL(t))
}

// resolving is a transport whose name server answers every question with rcode:
// 2 is a failure of the server, 3 is "no such name".
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

func resolver(rcode byte) func(t *testing.T) error {
	return func(t *testing.T) error { return send(t, resolving(rcode), "http://courier-go.test") }
}

func proxyNotFound(t *testing.T) error {
	transport := resolving(3)
	transport.Proxy = http.ProxyURL(&url.URL{Scheme: "http", Host: "proxy.courier-go.test:3128"})
	return send(t, transport, "https://courier-go.test")
}

// proxy sends an https request through a proxy.
func proxy(start func(t *testing.T) (rawURL string)) func(t *testing.T) error {
	return func(t *testing.T) error {
		u, err := url.Parse(start(t))
		if err != nil {
			t.Fatal(err)
		}
		return send(t, &http.Transport{Proxy: http.ProxyURL(u)}, "https://courier-go.test")
	}
}

// silentTLSProxy is the https URL of something that speaks no TLS.
func silentTLSProxy(t *testing.T) string {
	return "https://" + listen(t, func(conn net.Conn) { _, _ = io.WriteString(conn, "SSH-2.0-OpenSSH_9.9\r\n"); hold(conn) })
}

// answer reads a request, sends text and closes the connection.
func answer(text string) func(t *testing.T) error {
	return func(t *testing.T) error {
		return send(t, &http.Transport{}, "http://"+listen(t, func(conn net.Conn) {
			readRequest(conn)
			_, _ = io.WriteString(conn, text)
		}))
	}
}

func reset(t *testing.T) error {
	return send(t, &http.Transport{}, "http://"+listen(t, func(conn net.Conn) {
		readRequest(conn)
		_ = conn.(*net.TCPConn).SetLinger(0)
	}))
}

// readRequest reads a request to its last byte, so that closing the connection
// does not reset it.
func readRequest(conn net.Conn) {
	req, err := http.ReadRequest(bufio.NewReader(conn))
	if err == nil {
		_, _ = io.Copy(io.Discard, req.Body)
	}
}

// attemptTimeout is what is left of an attempt whose context ends in flight.
func attemptTimeout(t *testing.T) error {
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+listen(t, hold), strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := transport.RoundTrip(req)
	if err == nil {
		resp.Body.Close()
	}
	return err
}

func headerTimeout(t *testing.T) error {
	return send(t, &http.Transport{ResponseHeaderTimeout: time.Millisecond}, "http://"+listen(t, hold))
}

func handshakeTimeout(t *testing.T) error {
	return send(t, &http.Transport{TLSHandshakeTimeout: time.Millisecond}, "https://"+listen(t, hold))
}

// tlsServer is a TLS server that keeps its opinion of our handshakes to itself.
func tlsServer(t *testing.T) *httptest.Server {
	srv := httptest.NewUnstartedServer(http.NotFoundHandler())
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.StartTLS()
	t.Cleanup(srv.Close)
	return srv
}

// certificate has the client look at a good certificate in a way that finds
// fault with it.
func certificate(distrust func(*tls.Config)) func(t *testing.T) error {
	return func(t *testing.T) error {
		srv := tlsServer(t)
		transport := srv.Client().Transport.(*http.Transport)
		distrust(transport.TLSClientConfig)
		return send(t, transport, srv.URL)
	}
}

// ourCertificate has the server ask for a certificate that it trusts, which
// the client has not.
func ourCertificate(some bool, version uint16) func(t *testing.T) error {
	return func(t *testing.T) error {
		srv := tlsServer(t)
		config := &tls.Config{
			Certificates: srv.TLS.Certificates,
			ClientAuth:   tls.RequireAndVerifyClientCert,
			ClientCAs:    x509.NewCertPool(),
			MaxVersion:   version,
		}
		transport := srv.Client().Transport.(*http.Transport)
		if some {
			transport.TLSClientConfig.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
				return &srv.TLS.Certificates[0], nil
			}
		}
		return send(t, transport, "https://"+listen(t, func(conn net.Conn) {
			_ = tls.Server(conn, config).Handshake()
			hold(conn) // so that no reset overtakes the alert
		}))
	}
}

func plainHTTP(t *testing.T) error {
	return send(t, &http.Transport{}, "https://"+listen(t, func(conn net.Conn) {
		_, _ = io.WriteString(conn, "HTTP/1.1 400 Bad Request\r\n\r\n")
		hold(conn)
	}))
}

func notTLS(t *testing.T) error {
	return send(t, &http.Transport{}, silentTLSProxy(t))
}

func isOp(name string) func(error) bool {
	return func(err error) bool {
		var op *net.OpError
		return errors.As(err, &op) && op.Op == name
	}
}

func isDNSError(err error) bool {
	var dns *net.DNSError
	return errors.As(err, &dns)
}

func isEOF(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

func isTLSError(err error) bool {
	var verification *tls.CertificateVerificationError
	return errors.As(err, &verification)
}

func isRecordHeader(err error) bool {
	var record tls.RecordHeaderError
	return errors.As(err, &record)
}
