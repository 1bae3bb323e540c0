package courier

import (
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/courier-profiles/courier-go/internal/jsonobject"
)

// Response is what came with an answer. Printed or logged, it shows no header.
type Response struct {
	StatusCode int
	Header     http.Header
	// RequestID is what Courier calls the request, for a question to its
	// support: the header X-Request-Id or, from Amazon's API gateway,
	// X-Amzn-Requestid; or empty.
	RequestID string
	// Attempts is how many requests this package sent for the call. net/http may
	// send one of them again by itself, if it met a stale connection.
	Attempts int
}

func (r *Response) response() *Response { return r }

func newResponse(status int, header http.Header, attempts int) Response {
	id := header.Get("X-Request-Id")
	if id == "" {
		id = header.Get("X-Amzn-Requestid")
	}
	return Response{StatusCode: status, Header: header, RequestID: id, Attempts: attempts}
}

// Format prints what LogValue returns, whatever the verb.
func (r Response) Format(f fmt.State, verb rune) {
	formatText(f, verb, fmt.Sprint("courier.Response", r.details()))
}

// LogValue returns status, request id and attempts.
func (r Response) LogValue() slog.Value { return logValue(r.details()) }

// MarshalJSON writes what LogValue returns.
func (r Response) MarshalJSON() ([]byte, error) { return marshalDetails(r.details()) }

func (r *Response) details() []detail {
	return []detail{
		{"status", r.StatusCode},
		{"request_id", oneLine(r.RequestID, maxType)},
		{"attempts", r.Attempts},
	}
}

// Result is the answer to a write. Printed or logged, it shows no header.
type Result struct {
	// Status is what Courier says: "SUCCESS", or empty if it said nothing, as
	// with status 204.
	Status string
	Response
}

func (r *Result) readJSON(rd *jsonobject.Reader) bool {
	if rd.AtEnd() {
		return true
	}
	if !rd.BeginObject() {
		return false
	}
	fits := true
	for {
		key, _, more := rd.NextMember()
		if !more {
			return fits && rd.Err() == nil
		}
		if key == "status" {
			fits = rd.Fits((*text)(&r.Status).ReadJSON)
		} else {
			rd.Any()
		}
	}
}

// Format prints what LogValue returns, whatever the verb.
func (r Result) Format(f fmt.State, verb rune) {
	formatText(f, verb, fmt.Sprint("courier.Result", r.details()))
}

// LogValue returns what Courier says, if it is a word, and what the Response
// does.
func (r Result) LogValue() slog.Value { return logValue(r.details()) }

// MarshalJSON writes what LogValue returns.
func (r Result) MarshalJSON() ([]byte, error) { return marshalDetails(r.details()) }

func (r *Result) details() []detail {
	status := r.Status
	if !isIdentifier(strings.ToLower(status)) {
		status = "…"
	}
	return append(r.Response.details(), detail{"result", status})
}

// Attempt is one request of a call, for [WithObserver]. It holds no key, user
// id, URL, or anything from a profile.
type Attempt struct {
	Operation  string        // "merge profile"
	Number     int           // 1 for the first of the call
	StatusCode int           // 0 if no whole answer came
	Duration   time.Duration // from waiting for a connection to the last byte of the answer
	Wait       time.Duration // before the next attempt; 0 if there is none
	Reused     bool          // whether the connection was in the pool already ([net/http/httptrace.GotConnInfo])
	Err        error         // what the call would return if this was its last attempt; nil for a success by status
}
