package couriertest

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"net/http"
	"time"
)

// Fault is what happens to one request instead of, or on top of, the answer
// that it would have got. The zero Fault changes nothing, which lets a request
// pass in a script: Fail(Fault{}, Fault{Status: 503}) fails the second.
//
// A fault with a Status, or with Reset, is the whole answer: the request changes
// nothing. Any other fault is put on top of the normal answer.
type Fault struct {
	// Status is the status to answer with, 200 to 999. 0 leaves the normal
	// answer; any other number is answered with a 500 that says so.
	Status int

	// Body is the body to go with Status. nil is Courier's own body for that
	// status: {"message": …, "type": …} for an error, {"status": "SUCCESS"} for a
	// success, none for a 204 or a redirect. An empty Body that is not nil is no
	// body. Without a Status it is not used.
	Body []byte

	// Header is added to the answer, over what it would have held. The answer's
	// Content-Type is application/json unless Header says something else.
	Header http.Header

	// RetryAfter is the Retry-After header as it is sent: seconds or an HTTP
	// date (RFC 9110, section 10.2.3), or whatever a client has to survive.
	RetryAfter string

	// Delay is how long to wait before the answer. It ends early, without an
	// answer, when the client goes away or the Server closes.
	Delay time.Duration

	// Reset closes the connection without an answer (a TCP reset; over HTTP/2 a
	// reset stream). The request is lost: it changes nothing. On a connection that
	// was used before, net/http sends a GET again by itself.
	Reset bool

	// CutOff announces the whole body and closes the connection after half of
	// it. Without a Status the request is carried out, so that its answer alone
	// is lost. An answer without a body is lost altogether, as by Reset.
	CutOff bool
}

// Fail scripts what happens to the requests to come: one fault for each, in the
// order of the faults and of the requests, whatever they ask for. Faults of
// further calls queue up behind. A retry is a request like any other and takes
// the next fault.
func (h *Handler) Fail(faults ...Fault) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, fault := range faults {
		fault.Body = bytes.Clone(fault.Body)
		fault.Header = fault.Header.Clone()
		h.faults = append(h.faults, fault)
	}
}

// apply returns the answer to a request that meets the fault; normal gives the
// answer that it would have got.
func (f Fault) apply(ctx context.Context, normal func() answer) answer {
	if f.Delay > 0 {
		timer := time.NewTimer(f.Delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return answer{lost: true}
		}
	}
	if f.Reset {
		return answer{lost: true}
	}

	var a answer
	switch {
	case f.Status == 0:
		a = normal()
	case f.Status < 200 || f.Status > 999:
		a = refuse(http.StatusInternalServerError, fmt.Sprintf("couriertest: Fault.Status is %d, not 200 to 999", f.Status))
	case f.Body != nil:
		a = answer{status: f.Status, body: f.Body}
	case f.Status >= 400:
		a = refuse(f.Status, cmp.Or(http.StatusText(f.Status), fmt.Sprint("status ", f.Status)))
	case f.Status >= 300:
		a = answer{status: f.Status}
	default:
		a = succeed(f.Status)
	}
	if a.header == nil {
		a.header = http.Header{}
	}
	for name, values := range f.Header {
		a.header[http.CanonicalHeaderKey(name)] = values
	}
	if f.RetryAfter != "" {
		a.header.Set("Retry-After", f.RetryAfter)
	}
	a.cutOff = f.CutOff
	a.lost = f.CutOff && len(a.body) == 0
	return a
}
