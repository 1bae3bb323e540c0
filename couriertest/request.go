package couriertest

import (
	"bytes"
	"net/http"
	"net/url"
	"slices"
)

// Request is a request as it came in. Changing one changes nothing else.
type Request struct {
	// Operation is the name of the operation: "merge profile", "get profile",
	// "replace profile", "patch profile", "delete profile", "list
	// subscriptions", "subscribe" or "unsubscribe all"; "" for a method or path
	// that the API does not have.
	Operation string

	Method string // GET, POST, …

	// Path is the path as it was sent, percent-encoded. UserID is the user id in
	// it, decoded; "" where the path has none.
	Path, UserID string

	// Query is the query, such as the cursor of "list subscriptions". Header is
	// the header, the API key included.
	Query  url.Values
	Header http.Header

	// Body is the body, to the byte. JSON is the value in it, numbers as
	// json.Number, and nil when the body is not JSON.
	Body []byte
	JSON any

	// Status is what was answered: 0 as long as there is no answer, and for a
	// connection that was closed without one.
	Status int
}

// Requests returns the requests that have come in, oldest first, those that
// were refused or met a Fault among them; the latest [Handler.MaxRequests], if
// that is set.
func (h *Handler) Requests() []Request {
	h.mu.Lock()
	requests := slices.Clone(h.requests)
	h.mu.Unlock()
	for i := range requests {
		r := &requests[i]
		r.Query = url.Values(http.Header(r.Query).Clone()) // a map of slices as well
		r.Header = r.Header.Clone()
		r.Body = bytes.Clone(r.Body)
		if value, err := decode(r.Body); err == nil {
			r.JSON = value
		}
	}
	return requests
}

// receive records a request. It returns the request's number, from 0, and the
// fault that it has to meet. One lock for both: the order of Requests is the
// order in which faults are met.
func (h *Handler) receive(r Request) (int, Fault) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.received++
	h.requests = append(h.requests, r)
	if most := max(h.MaxRequests, 0); h.MaxRequests != 0 && len(h.requests) > most {
		h.requests[0] = Request{} // the array behind the slice lives on for a while
		h.requests = h.requests[1:]
	}
	var fault Fault
	if len(h.faults) > 0 {
		fault, h.faults = h.faults[0], h.faults[1:]
	}
	return h.received - 1, fault
}

// answered records the status that a request got, if the request is still kept.
func (h *Handler) answered(number, status int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if i := number - (h.received - len(h.requests)); i >= 0 {
		h.requests[i].Status = status
	}
}
