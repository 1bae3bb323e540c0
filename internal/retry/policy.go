// Package retry decides whether an attempt is worth another one, and when. The
// table it implements is in the package page of courier, under Retries.
package retry

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"strings"
)

// Policy says how an operation may be retried.
type Policy int

const (
	// Idempotent operations may be sent any number of times.
	Idempotent Policy = iota
	// IdempotentWithKey is for an operation that is sent with an idempotency
	// key. Courier replays the first answer for a key, a 500 too, so that it
	// makes no sense to ask again after one.
	IdempotentWithKey
	// NotIdempotent operations are sent again only when Courier cannot have
	// acted on them.
	NotIdempotent
)

// Status reports whether an answer with that status is worth another attempt.
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

// Err reports whether an attempt that got no answer, or only a part of one, is
// worth another attempt. The end of the caller's context is not its business.
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

// permanent reports whether the next attempt would fail the same way: no such
// host, no trust between the two sides, no TLS on the other side.
func permanent(err error) bool {
	var (
		dns          *net.DNSError
		verification *tls.CertificateVerificationError
		authority    x509.UnknownAuthorityError
		hostname     x509.HostnameError
		invalid      x509.CertificateInvalidError
		roots        x509.SystemRootsError
		record       tls.RecordHeaderError
		op           *net.OpError
	)
	if errors.As(err, &dns) {
		return dns.IsNotFound
	}
	// The other side refuses our certificate, or the lack of one. The alert has a
	// type that crypto/tls keeps to itself.
	if errors.As(err, &op) && op.Op == "remote error" && op.Err != nil && strings.Contains(op.Err.Error(), "certificate") {
		return true
	}
	return errors.As(err, &verification) || errors.As(err, &authority) || errors.As(err, &hostname) ||
		errors.As(err, &invalid) || errors.As(err, &roots) || errors.As(err, &record) ||
		errors.Is(err, http.ErrSchemeMismatch)
}
