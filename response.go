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

func newResponse(x *transport.Exchange) Response {
	return Response{
		StatusCode: x.Status,
		Header:     x.Header,
		RequestID:  requestID(x.Header),
		Attempts:   x.Number,
	}
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

// read accepts what Courier documents: no body, or an object with the status SUCCESS or
// without a status. An error object, or the empty page of a captive portal, is not
// Courier's success, even with a 200.
func (r *Result) read(x *transport.Exchange, text []byte) error {
	if string(text) == `{"status":"SUCCESS"}` { // as Courier writes it
		r.Status = "SUCCESS"
		return nil
	}
	if len(bytes.Trim(text, " \t\r\n")) == 0 {
		if x.Status != http.StatusNoContent && !mayBeJSON(x.Header) {
			return errNotJSON
		}
		return nil
	}
	var body *struct {
		Status  Field[string] `json:"status"`
		Message Field[any]    `json:"message"`
		Type    Field[any]    `json:"type"`
		Error   Field[any]    `json:"error"`
		// Amazon's API gateway spells it so.
		GatewayMessage Field[any] `json:"Message"`
	}
	if err := decode(text, &body); err != nil {
		return err
	}
	if body == nil {
		return shapeError("not an object")
	}
	if err := optional(&r.Status, body.Status, "status"); err != nil {
		return err
	}
	switch {
	case r.Status == "SUCCESS":
		return nil
	case !isAbsent(body.Status):
		return shapeError("status is not SUCCESS")
	case !isAbsent(body.Message), !isAbsent(body.GatewayMessage),
		!isAbsent(body.Type), !isAbsent(body.Error):
		return shapeError("an error object")
	}
	return nil
}

func isAbsent[T any](member Field[T]) bool { return member.IsUnset() || member.IsNull() }

// mayBeJSON reports whether the Content-Type is JSON, empty, or absent.
func mayBeJSON(header http.Header) bool {
	value := header.Get("Content-Type")
	kind, _, _ := mime.ParseMediaType(value)
	return value == "" || strings.HasSuffix(kind, "/json") || strings.HasSuffix(kind, "+json")
}

// shapeError says what is wrong with a response, without quoting it.
type shapeError string

func (e shapeError) Error() string { return string(e) }

const (
	errTooLong = shapeError("longer than 8 MiB")
	errNotJSON = shapeError("an empty body that is not JSON")
	errCursor  = shapeError("there are more pages, but no new cursor")
)

// optional sets value to what was read; unset and null are its zero value.
func optional[T any](value *T, read Field[T], key string) error {
	if read.Mismatch() != nil {
		return shapeError(key + " has another type")
	}
	*value, _ = read.Get()
	return nil
}

// required is like optional, but fails on an unset Field: a missing profile must not
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
	Duration   time.Duration // from waiting for a connection to the last byte of the response
	Wait       time.Duration // before the next attempt; 0 if there is none
	Reused     bool          // whether an open connection was used
	Err        error         // what the call would return if it ended here; nil for a success
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
		slog.Bool("reused", a.Reused),
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
	words := strings.FieldsFunc(text, func(c rune) bool {
		return unicode.IsSpace(c) || !unicode.IsPrint(c)
	})
	line := []rune(strings.Join(words, " "))
	if len(line) > limit {
		return string(line[:limit]) + "…"
	}
	return string(line)
}
