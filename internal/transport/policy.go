package transport

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"strings"
)

// Policy says when an operation may be retried.
type Policy int

const (
	// Idempotent operations may be sent any number of times.
	Idempotent Policy = iota
	// IdempotentWithKey operations carry an idempotency key. Courier replays the
	// first response to a key, even a 500, so a 500 is not retried.
	IdempotentWithKey
	// NotIdempotent operations are retried only if Courier cannot have acted on the
	// request.
	NotIdempotent
)

// allows reports whether the outcome is worth a retry.
func (p Policy) allows(r *Response) bool {
	if r.Err != nil {
		return p.Err(r.Err)
	}
	return p.Status(r.Status)
}

// Status reports whether a response with that status is worth a retry.
func (p Policy) Status(status int) bool {
	switch status {
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return true
	case http.StatusRequestTimeout, http.StatusConflict, http.StatusBadGateway, http.StatusGatewayTimeout:
		return p != NotIdempotent
	case http.StatusInternalServerError:
		return p == Idempotent
	}
	return false
}

// Err reports whether an attempt without a complete response is worth a retry. It does
// not know whether the caller's context has ended.
func (p Policy) Err(err error) bool {
	if permanent(err) {
		return false
	}
	if p != NotIdempotent {
		return true
	}
	var op *net.OpError
	return errors.As(err, &op) && (op.Op == "dial" || op.Op == "proxyconnect")
}

// permanent reports whether a retry would fail in the same way: the host does not
// exist, a certificate is not trusted, the server does not speak TLS, or the proxy
// does not let us through.
func permanent(err error) bool {
	var (
		dns          *net.DNSError
		connect      *connectError
		op           *net.OpError
		verification *tls.CertificateVerificationError
		record       tls.RecordHeaderError
		// A caller's own check of a certificate returns these unwrapped.
		authority x509.UnknownAuthorityError
		hostname  x509.HostnameError
		invalid   x509.CertificateInvalidError
		roots     x509.SystemRootsError
	)
	switch {
	case errors.As(err, &dns):
		return dns.IsNotFound
	case errors.As(err, &connect):
		return connect.status == http.StatusProxyAuthRequired || connect.status == http.StatusForbidden
	case errors.As(err, &op) && op.Op == "remote error":
		// The server rejects our certificate, or that we have none. crypto/tls does not
		// export the type of that alert.
		return op.Err != nil && strings.Contains(op.Err.Error(), "certificate")
	}
	return errors.As(err, &verification) || errors.As(err, &record) || errors.Is(err, http.ErrSchemeMismatch) ||
		errors.As(err, &authority) || errors.As(err, &hostname) || errors.As(err, &invalid) || errors.As(err, &roots)
}
