package couriertest

import (
	"bytes"
	"net/http"
	"net/url"
	"slices"
	"unicode/utf8"
)

// Request is a received request. It is a copy: changing it changes nothing else.
type Request struct {
	// Operation is the name of the operation: "merge profile", "get profile",
	// "replace profile", "patch profile", "delete profile", "list subscriptions",
	// "subscribe" or "unsubscribe all". It is empty for a method or path that the
	// API does not have.
	Operation string

	Method string // GET, POST, …

	// Path is the path as it was sent, percent-encoded. UserID is the user ID in
	// it, decoded, or empty.
	Path, UserID string

	// Query is the query, such as the cursor of "list subscriptions". Header is the
	// header, including the API key.
	Query  url.Values
	Header http.Header

	// Body is the exact body. JSON is its value as encoding/json reads it, with
	// numbers as json.Number, or nil if the body is not valid JSON. An unpaired
	// surrogate is U+FFFD in JSON; only Body has the original.
	Body []byte
	JSON any

	// Status is the status of the response. It is 0 until there is one, and stays
	// 0 if the connection was closed instead.
	Status int
}

// Requests returns the received requests, oldest first, including those that were
// rejected or met a [Fault]. [Handler.MaxRequests] limits how many are kept.
func (h *Handler) Requests() []Request {
	h.mu.Lock()
	requests := slices.Clone(h.requests)
	h.mu.Unlock()
	for i, r := range requests {
		requests[i] = r.copy()
	}
	return requests
}

// copy returns a request that shares nothing with r, and fills in JSON.
func (r Request) copy() Request {
	r.Query = url.Values(http.Header(r.Query).Clone()) // also a map of slices
	r.Header = r.Header.Clone()
	r.Body = bytes.Clone(r.Body)
	r.JSON = nil
	if utf8.Valid(r.Body) {
		r.JSON, _ = decode(r.Body) // nil if it is no JSON
	}
	return r
}

// receive records a request and returns its number, from 1, and the fault that it
// takes. One lock covers both, so that faults are taken in the order of Requests.
func (h *Handler) receive(r Request) (int, Fault) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.received++
	h.requests = append(h.requests, r)
	if most := max(h.MaxRequests, 0); h.MaxRequests != 0 && len(h.requests) > most {
		h.requests[0] = Request{} // the array behind the slice still refers to it
		h.requests = h.requests[1:]
	}
	return h.received, h.takeFault(r.UserID)
}

// setStatus records the status of the response, if the request is still kept.
func (h *Handler) setStatus(number, status int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	first := h.received - len(h.requests) + 1 // the number of the oldest request kept
	if number >= first {
		h.requests[number-first].Status = status
	}
}
