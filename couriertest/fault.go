package couriertest

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"net/http"
	"time"
)

// Fault describes how one request fails. The zero Fault lets the request pass, which
// is useful in a script: Fail(Fault{}, Fault{Status: 503}) fails the second request.
//
// With a Status or with Reset, the request changes nothing. Otherwise it is carried
// out, and the fault changes only its response.
type Fault struct {
	// Status is the status of the response, 200 to 999. 0 leaves the normal
	// response; any other number gets a 500 that says so.
	Status int

	// Body is the body that goes with Status. nil stands for Courier's own body for
	// that status: {"message": …, "type": …} for an error, {"status": "SUCCESS"} for
	// a success, none for a 204 or a redirect. An empty, non-nil Body sends no body.
	// Body is ignored without a Status.
	Body []byte

	// Header is added to the response and replaces headers of the same name. The
	// Content-Type is application/json unless Header sets another.
	Header http.Header

	// RetryAfter is sent as the Retry-After header: seconds, an HTTP date (RFC 9110,
	// section 10.2.3), or anything else that a client has to survive.
	RetryAfter string

	// Delay is how long to wait before the response. The wait ends early, without a
	// response, when the client goes away or the Server closes.
	Delay time.Duration

	// Reset closes the connection without a response: a TCP reset, or over HTTP/2 a
	// reset stream. The request changes nothing. net/http itself resends a GET that
	// was reset on a reused connection.
	Reset bool

	// CutOff announces the whole body and closes the connection after half of it.
	// Without a Status the request is carried out and only its response is lost. A
	// response without a body is lost entirely, as with Reset.
	CutOff bool
}

// Fail scripts the next requests: each takes one fault, in order, whatever it asks
// for. Faults of further calls queue up behind. A retry is a request like any other
// and takes the next fault.
func (h *Handler) Fail(faults ...Fault) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, fault := range faults {
		fault.Body = bytes.Clone(fault.Body)
		fault.Header = fault.Header.Clone()
		h.faults = append(h.faults, fault)
	}
}

// apply returns the response to a request that takes the fault. normal carries the
// request out.
func (f Fault) apply(ctx context.Context, normal func() response) response {
	if f.Delay > 0 {
		timer := time.NewTimer(f.Delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return response{lost: true}
		}
	}
	if f.Reset {
		return response{lost: true}
	}

	var r response
	switch {
	case f.Status == 0:
		r = normal()
	case f.Status < 200 || f.Status > 999:
		r = errorResponse(http.StatusInternalServerError, fmt.Sprintf("couriertest: Fault.Status is %d, not 200 to 999", f.Status))
	case f.Body != nil:
		r = response{status: f.Status, body: f.Body}
	case f.Status >= 400:
		r = errorResponse(f.Status, cmp.Or(http.StatusText(f.Status), fmt.Sprint("status ", f.Status)))
	case f.Status >= 300:
		r = response{status: f.Status}
	default:
		r = successResponse(f.Status)
	}
	if r.header == nil {
		r.header = http.Header{}
	}
	for name, values := range f.Header {
		r.header[http.CanonicalHeaderKey(name)] = values
	}
	if f.RetryAfter != "" {
		r.header.Set("Retry-After", f.RetryAfter)
	}
	r.cutOff = f.CutOff
	r.lost = f.CutOff && len(r.body) == 0
	return r
}
