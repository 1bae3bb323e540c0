package couriertest

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
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
	h.FailUser("", faults...)
}

// FailUser scripts the next requests of one user, for code that sends requests of
// several users at once. A request takes one fault: the next one of its user, or else
// the next one of Fail. An empty user ID is the same as Fail.
func (h *Handler) FailUser(userID string, faults ...Fault) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.faults == nil {
		h.faults = make(map[string][]Fault)
	}
	h.faults[userID] = append(h.faults[userID], copyFaults(faults)...)
}

// Faults returns the faults that no request has taken yet, in order: those of FailUser
// by user ID, and those of Fail under the empty ID.
func (h *Handler) Faults() map[string][]Fault {
	h.mu.Lock()
	defer h.mu.Unlock()
	faults := make(map[string][]Fault)
	for userID, queue := range h.faults {
		if len(queue) > 0 {
			faults[userID] = copyFaults(queue)
		}
	}
	return faults
}

// ClearFaults removes the faults of these users that no request has taken yet. An empty
// ID stands for the faults of Fail. Without user IDs it removes all faults.
func (h *Handler) ClearFaults(userIDs ...string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(userIDs) == 0 {
		h.faults = nil
	}
	for _, userID := range userIDs {
		delete(h.faults, userID)
	}
}

// takeFault removes the fault that a request takes. The caller holds the lock.
func (h *Handler) takeFault(userID string) Fault {
	for _, id := range []string{userID, ""} {
		if queue := h.faults[id]; len(queue) > 0 {
			h.faults[id] = queue[1:]
			return queue[0]
		}
	}
	return Fault{}
}

func copyFaults(faults []Fault) []Fault {
	faults = slices.Clone(faults)
	for i, fault := range faults {
		faults[i].Body = bytes.Clone(fault.Body)
		faults[i].Header = fault.Header.Clone()
	}
	return faults
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
		message := fmt.Sprintf("couriertest: Fault.Status is %d, not 200 to 999", f.Status)
		r = errorResponse(http.StatusInternalServerError, message)
	case f.Body != nil:
		r = response{status: f.Status, body: f.Body}
	case f.Status >= 400:
		message := cmp.Or(http.StatusText(f.Status), fmt.Sprint("status ", f.Status))
		r = errorResponse(f.Status, message)
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
