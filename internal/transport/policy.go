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
	op, ok := errors.AsType[*net.OpError](err)
	return ok && (op.Op == "dial" || op.Op == "proxyconnect")
}

// permanent reports whether a retry would fail in the same way: the host does not
// exist, a certificate is not trusted, the server does not speak TLS, or the proxy
// does not let us through.
func permanent(err error) bool {
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		return dns.IsNotFound
	}
	if connect, ok := errors.AsType[*connectError](err); ok {
		return connect.status == http.StatusProxyAuthRequired || connect.status == http.StatusForbidden
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "remote error" {
		// The server rejects our certificate, or that we have none. crypto/tls does not
		// export the type of that alert.
		return op.Err != nil && strings.Contains(op.Err.Error(), "certificate")
	}
	return is[*tls.CertificateVerificationError](err) || is[tls.RecordHeaderError](err) || errors.Is(err, http.ErrSchemeMismatch) ||
		// A caller's own check of a certificate returns these unwrapped.
		is[x509.UnknownAuthorityError](err) || is[x509.HostnameError](err) || is[x509.CertificateInvalidError](err) || is[x509.SystemRootsError](err)
}

func is[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}
