package transport

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
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

// allows reports whether an attempt is worth a retry.
func (p Policy) allows(x *Exchange) bool {
	if x.Err == nil {
		return p.allowsStatus(x.Status)
	}
	return !permanent(x.Err) && (p != NotIdempotent || x.NoConnection)
}

// allowsStatus reports whether a response with that status is worth a retry.
func (p Policy) allowsStatus(status int) bool {
	switch status {
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return true
	case http.StatusRequestTimeout, http.StatusConflict,
		http.StatusBadGateway, http.StatusGatewayTimeout:
		return p != NotIdempotent
	case http.StatusInternalServerError:
		return p == Idempotent
	}
	return false
}

// permanent reports whether a retry would fail in the same way: the host does not
// exist, a certificate is not trusted, the server does not speak TLS, or the proxy
// does not let us through.
func permanent(err error) bool {
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		return dns.IsNotFound
	}
	if connect, ok := errors.AsType[*connectError](err); ok {
		return connect.status == http.StatusProxyAuthRequired ||
			connect.status == http.StatusForbidden
	}
	// That of a proxy is inside another OpError.
	op, ok := errors.AsType[*net.OpError](err)
	for ok && op.Op != "remote error" {
		op, ok = errors.AsType[*net.OpError](op.Err)
	}
	if ok {
		return permanentAlert(op.Err)
	}
	return errors.Is(err, http.ErrSchemeMismatch) ||
		is[tls.RecordHeaderError](err) ||
		is[*tls.CertificateVerificationError](err) ||
		// A caller's own check of a certificate returns these unwrapped.
		is[x509.UnknownAuthorityError](err) ||
		is[x509.HostnameError](err) ||
		is[x509.CertificateInvalidError](err) ||
		is[x509.SystemRootsError](err)
}

// permanentAlert reports whether a server that sent this TLS alert (RFC 8446, section
// 6.2) will send it again. crypto/tls does not export the type of alerts, so their texts
// are compared.
func permanentAlert(alert error) bool {
	if alert == nil {
		return false
	}
	for _, permanent := range []tls.AlertError{
		42, 43, 44, 45, 46, // bad, unsupported, revoked, expired, unknown certificate
		48,            // unknown certificate authority
		49,            // access denied
		70,            // protocol version
		71,            // insufficient security
		112,           // unrecognized name
		111, 113, 114, // certificate unobtainable, its status, its hash
		116, // certificate required
		120, // no application protocol
	} {
		if alert.Error() == permanent.Error() {
			return true
		}
	}
	return false
}

func is[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}
