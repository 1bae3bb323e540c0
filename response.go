package courier

import (
	"bytes"
	"net/http"
	"time"
)

// Response is what came with an answer.
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

// Result is the answer to a write.
type Result struct {
	// Status is what Courier says: "SUCCESS", or empty if it said nothing, as
	// with status 204.
	Status string
	Response
}

func (r *Result) read(text []byte) error {
	if len(bytes.TrimSpace(text)) == 0 {
		return nil
	}
	var body Field[struct {
		Status Field[string] `json:"status"`
	}]
	if err := decode(text, &body); err != nil {
		return err
	}
	if body.state != stateValue {
		return shapeError("not an object")
	}
	return optional(&r.Status, body.value.Status, "status")
}

// shapeError says what a response lacks, in words that hold nothing of it.
type shapeError string

func (e shapeError) Error() string { return string(e) }

// optional sets value to what was read; unset and null are its zero value.
func optional[T any](value *T, read Field[T], key string) error {
	if read.Mismatch() != nil {
		return shapeError(key + " has another type")
	}
	*value = read.value
	return nil
}

// required is optional for what must not be unset: a profile that is missing must not
// look like an empty one.
func required[T any](value *T, read Field[T], key string) error {
	if read.IsUnset() {
		return shapeError("no " + key)
	}
	return optional(value, read, key)
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
