package courier

import (
	"bytes"
	"cmp"
	"log/slog"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/courier-profiles/courier-go/internal/transport"
)

// Response is what every successful call returns in addition to its result.
type Response struct {
	StatusCode int
	Header     http.Header
	// RequestID identifies the request for Courier's support: the header X-Request-Id
	// or, from Amazon's API gateway, X-Amzn-Requestid; empty for none.
	RequestID string
	// Attempts is how many requests this package sent for the call. net/http itself
	// may have resent one of them after a stale connection.
	Attempts int
}

func (r *Response) response() *Response { return r }

func newResponse(r *transport.Response) Response {
	return Response{StatusCode: r.Status, Header: r.Header, RequestID: requestID(r.Header), Attempts: r.Attempts}
}

func requestID(header http.Header) string {
	return cmp.Or(header.Get("X-Request-Id"), header.Get("X-Amzn-Requestid"))
}

// Result is the response to a write.
type Result struct {
	// Status is "SUCCESS", or empty if the response had no body or no status.
	Status string
	Response
}

func (r *Result) read(text []byte) error {
	if len(bytes.Trim(text, " \t\r\n")) == 0 {
		return nil
	}
	var body *struct {
		Status Field[string] `json:"status"`
	}
	if err := decode(text, &body); err != nil {
		return err
	}
	if body == nil {
		return shapeError("not an object")
	}
	return optional(&r.Status, body.Status, "status")
}

// shapeError says what is wrong with a response, without quoting it.
type shapeError string

func (e shapeError) Error() string { return string(e) }

const (
	errTooLong = shapeError("longer than 8 MiB")
	errCursor  = shapeError("there are more pages, but no new cursor")
)

// optional sets value to what was read; unset and null are its zero value.
func optional[T any](value *T, read Field[T], key string) error {
	if read.Mismatch() != nil {
		return shapeError(key + " has another type")
	}
	*value = read.value
	return nil
}

// required is like optional, but refuses an unset Field: a missing profile must not
// look like an empty one.
func required[T any](value *T, read Field[T], key string) error {
	if read.IsUnset() {
		return shapeError("no " + key)
	}
	return optional(value, read, key)
}

// Attempt is one request of a call, for [WithObserver]. It has no API key, user ID, URL,
// or anything from a profile.
type Attempt struct {
	Operation  string        // such as "merge profile"
	Number     int           // 1 for the first attempt of the call
	StatusCode int           // 0 if there was no complete response
	Duration   time.Duration // until the last byte of the response, including the wait for a connection
	Wait       time.Duration // before the next attempt; 0 if there is none
	Reused     bool          // whether an open connection was used
	Err        error         // what the call would return if it ended here; nil for a 2xx
}

// LogValue returns all fields, with the error's own LogValue.
func (a Attempt) LogValue() slog.Value { return slog.GroupValue(a.attrs()...) }

func (a *Attempt) attrs() []slog.Attr {
	attrs := []slog.Attr{
		slog.String("operation", a.Operation),
		slog.Int("attempt", a.Number),
		slog.Int("status", a.StatusCode),
		slog.Duration("duration", a.Duration),
		slog.Duration("wait", a.Wait),
	}
	if a.Err != nil {
		attrs = append(attrs, slog.Any("error", a.Err))
	}
	return attrs
}

// bodyKind describes a body that is not Courier's JSON: "text/html, 1532 bytes".
func bodyKind(header http.Header, body []byte) string {
	if len(body) == 0 {
		return "no body"
	}
	kind, _, err := mime.ParseMediaType(header.Get("Content-Type"))
	if err != nil {
		kind = "no content type"
	}
	return oneLine(kind, maxType) + ", " + strconv.Itoa(len(body)) + " bytes"
}

// oneLine returns text as one line of printable characters, cut to limit characters.
func oneLine(text string, limit int) string {
	text = text[:min(len(text), 64*limit)] // a body can hold a megabyte of it
	words := strings.FieldsFunc(text, func(c rune) bool { return unicode.IsSpace(c) || !unicode.IsPrint(c) })
	line := []rune(strings.Join(words, " "))
	if len(line) > limit {
		return string(line[:limit]) + "…"
	}
	return string(line)
}
