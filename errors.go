package courier

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// ValidationError says that a call or an option was refused before anything
// was sent.
type ValidationError struct {
	Field  string // what is wrong: a parameter, an option, or a key of the profile such as "address.country"
	Reason string // why, and what to do
}

func (e *ValidationError) Error() string {
	if e.Field == "" {
		return "courier: " + e.Reason
	}
	return "courier: " + e.Field + ": " + e.Reason
}

// APIError is an answer that is no success. Every answer with another status
// than 2xx gives one, whatever its body is; [errors.As] finds it in the more
// precise errors of this package:
//
//	400 *InvalidRequestError   401 *AuthenticationError   403 *PermissionError
//	404 *NotFoundError         409 *ConflictError         413 *PayloadTooLargeError
//	429 *RateLimitError        5xx *ServerError           others *APIError itself
//
// When the context ended while the call waited for a retry, or for the rest of
// the body, errors.Is finds the context's error in it too.
//
// However it is printed or logged, an APIError shows what Error shows, and no
// header or body.
type APIError struct {
	Operation  string // "merge profile"
	StatusCode int
	Type       string // Courier's name for the kind of error, such as "invalid_request_error"; or empty
	// Message is what Courier says. If the body is not Courier's JSON, it is one
	// line of what the body begins with, without what was sent.
	Message   string
	RequestID string
	Attempts  int         // how many requests were sent
	Header    http.Header // of the answer
	Body      []byte      // of the answer, up to 1 MiB

	// ended is what kept the call from a retry, or from the rest of the body: the
	// context's error, or in MergeAll that of a rate limiter or of the run.
	ended error
}

// InvalidRequestError is status 400: something in the request is malformed or
// missing. Sending it again gives the same answer.
type InvalidRequestError struct{ APIError }

// AuthenticationError is status 401: the API key is missing, invalid or expired.
type AuthenticationError struct{ APIError }

// PermissionError is status 403: the API key is valid, but may not do this.
type PermissionError struct{ APIError }

// NotFoundError is status 404: there is no such profile.
type NotFoundError struct{ APIError }

// ConflictError is status 409: the profile was being changed by another request
// all the while that the retries took.
type ConflictError struct{ APIError }

// PayloadTooLargeError is status 413: the profile is too large for Courier.
type PayloadTooLargeError struct{ APIError }

// RateLimitError is status 429: too many requests.
type RateLimitError struct {
	APIError
	// RetryAfter is what Courier asked to wait, counted from its answer; 0 if it
	// did not say.
	RetryAfter time.Duration
}

// ServerError is any status 5xx: the failure is on Courier's side, or of
// something on the way there.
type ServerError struct{ APIError }

// Unwrap returns the *APIError.
func (e *InvalidRequestError) Unwrap() error { return &e.APIError }

// Unwrap returns the *APIError.
func (e *AuthenticationError) Unwrap() error { return &e.APIError }

// Unwrap returns the *APIError.
func (e *PermissionError) Unwrap() error { return &e.APIError }

// Unwrap returns the *APIError.
func (e *NotFoundError) Unwrap() error { return &e.APIError }

// Unwrap returns the *APIError.
func (e *ConflictError) Unwrap() error { return &e.APIError }

// Unwrap returns the *APIError.
func (e *PayloadTooLargeError) Unwrap() error { return &e.APIError }

// Unwrap returns the *APIError.
func (e *RateLimitError) Unwrap() error { return &e.APIError }

// Unwrap returns the *APIError.
func (e *ServerError) Unwrap() error { return &e.APIError }

// typed returns the precise error for the status.
func (e *APIError) typed(retryAfter time.Duration) error {
	switch status := e.StatusCode; {
	case status == http.StatusBadRequest:
		return &InvalidRequestError{*e}
	case status == http.StatusUnauthorized:
		return &AuthenticationError{*e}
	case status == http.StatusForbidden:
		return &PermissionError{*e}
	case status == http.StatusNotFound:
		return &NotFoundError{*e}
	case status == http.StatusConflict:
		return &ConflictError{*e}
	case status == http.StatusRequestEntityTooLarge:
		return &PayloadTooLargeError{*e}
	case status == http.StatusTooManyRequests:
		return &RateLimitError{*e, retryAfter}
	case 500 <= status && status <= 599:
		return &ServerError{*e}
	}
	return e
}

// How much of what came is printed, in characters.
const (
	maxMessage = 500
	maxType    = 100
	maxSample  = 200

	maxSearched = 64 << 10 // of a request, for what a sample shares with it, in bytes
)

func (e *APIError) Error() string {
	if e == nil {
		return "courier: error without an answer"
	}
	text := "courier: " + e.Operation + ": " + strconv.Itoa(e.StatusCode)
	detail := oneLine(e.Message, maxMessage)
	switch {
	case e.Type != "":
		text += " " + oneLine(e.Type, maxType)
	case http.StatusText(e.StatusCode) != "":
		text += " " + http.StatusText(e.StatusCode)
	}
	if detail != "" {
		text += ": " + detail
	}
	if e.ended != nil {
		text += " (" + describe(e.ended) + ")"
	}
	return text
}

// Unwrap returns what ended the call while it waited for a retry, or for the
// rest of the body, such as the error of the context; or nil.
func (e *APIError) Unwrap() error { return e.ended }

// readBody takes type and message from the answer's body, or else a sample of
// the body without what the request held.
func (e *APIError) readBody(sent func() string) {
	var members map[string]any
	_ = decode(e.Body, &members)
	if kind, _ := members["type"].(string); isIdentifier(kind) {
		e.Type = kind
	}
	if e.Message, _ = members["message"].(string); e.Message == "" && len(e.Body) > 0 {
		e.Message = sample(string(e.Body[:min(len(e.Body), 4*maxSample)]), sent())
	}
}

// isIdentifier tells a type of Courier's from the URL that a problem document
// has in its place (RFC 9457).
func isIdentifier(text string) bool {
	return len(text) <= maxType && strings.Trim(text, "abcdefghijklmnopqrstuvwxyz_") == ""
}

// ConnectionError says that no answer came: the connection failed or broke, an
// attempt took too long, or the context ended. Whether Courier acted on the
// request is not known, unless Attempts is 0.
//
// [errors.Is] finds [context.Canceled] and [context.DeadlineExceeded] in it; the
// latter also when the last attempt took longer than [WithTimeout].
// The text shows causes of the packages net, crypto/tls, crypto/x509, context
// and this one, and of others only the type, because a transport may have put
// the URL into them.
type ConnectionError struct {
	Operation string // "merge profile"
	Attempts  int    // how many requests were sent
	Err       error  // the cause, of the last attempt
}

func (e *ConnectionError) Error() string {
	return fmt.Sprintf("courier: %s: no answer in %d attempt(s): %s", e.Operation, e.Attempts, describe(e.Err))
}

// Unwrap returns the cause.
func (e *ConnectionError) Unwrap() error { return e.Err }

// UnexpectedResponseError is an answer that is a success by its status, but has
// not the documented shape. Courier, or something on the way that answered in
// its place, may or may not have acted on the request.
type UnexpectedResponseError struct {
	Operation  string // "merge profile"
	StatusCode int
	Header     http.Header // of the answer
	Body       []byte      // of the answer, up to 8 MiB
	Err        error       // what is wrong with it
}

func (e *UnexpectedResponseError) Error() string {
	text := fmt.Sprintf("courier: %s: %d, but not the documented response", e.Operation, e.StatusCode)
	var shape shapeError
	if errors.As(e.Err, &shape) { // any other text could show what the response holds
		return text + ": " + string(shape)
	}
	return text + " (" + bodyKind(e.Header, e.Body) + ")"
}

// bodyKind says what came in place of Courier's JSON: "text/html, 1532 bytes".
func bodyKind(header http.Header, body []byte) string {
	if len(body) == 0 {
		return "no body"
	}
	kind, _, err := mime.ParseMediaType(header.Get("Content-Type"))
	if err != nil {
		kind = "no content type"
	}
	return kind + ", " + strconv.Itoa(len(body)) + " bytes"
}

// Unwrap returns what is wrong with the answer.
func (e *UnexpectedResponseError) Unwrap() error { return e.Err }

const errTooLong = shapeError("longer than 8 MiB")

// oneLine returns text as one line of printable characters with single spaces,
// cut to limit characters.
func oneLine(text string, limit int) string {
	var b strings.Builder
	n, space := 0, false
	for _, c := range strings.ToValidUTF8(text, "\uFFFD") {
		if unicode.IsSpace(c) || !unicode.IsPrint(c) {
			space = n > 0
			continue
		}
		if n >= limit {
			return b.String() + "…"
		}
		if space {
			b.WriteByte(' ')
			n++
		}
		b.WriteRune(c)
		n++
		space = false
	}
	return b.String()
}

// sample returns what an answer begins with in one line. Gateways like to repeat
// the URL, the headers or the body in an error page, in whatever encoding, so
// only words that look like prose and are nowhere in what was sent are kept; an
// ellipsis stands for the others.
func sample(text, sent string) string {
	if len(sent) > maxSearched {
		return "…" // the search would take longer than the call
	}
	text, sent = oneLine(text, maxSample), strings.ToLower(sent)
	var b strings.Builder
	hidden := false
	for text != "" {
		end := strings.IndexFunc(text, isWordRune)
		if end < 0 {
			end = len(text)
		}
		between := text[:end]
		text = text[end:]
		if end = strings.IndexFunc(text, func(c rune) bool { return !isWordRune(c) }); end < 0 {
			end = len(text)
		}
		word := text[:end]
		text = text[end:]
		hide := len(word) > 1 && (!isProse(word) || shares(strings.ToLower(word), sent))
		if !hidden || !hide {
			b.WriteString(between)
		}
		switch {
		case !hide:
			b.WriteString(word)
		case !hidden:
			b.WriteString("…")
		}
		hidden = hide
	}
	return strings.ReplaceAll(b.String(), "……", "…") // oneLine may have put one behind a hidden word
}

// shares reports whether word is in what was sent, or has a word of that in it.
func shares(word, sent string) bool {
	const shortest = 3 // in bytes; shorter ones are in other words by chance
	if strings.Contains(sent, word) {
		return true
	}
	for part := range strings.FieldsFuncSeq(sent, func(c rune) bool { return !isWordRune(c) }) {
		if len(part) >= shortest && strings.Contains(word, part) {
			return true
		}
	}
	return false
}

func isWordRune(c rune) bool { return unicode.IsLetter(c) || unicode.IsDigit(c) }

// isProse reports whether word is written as words and statuses are, which
// those of base64 and the like are not.
func isProse(word string) bool {
	const longest, longestWithDigits = 20, 3 // 404, h1
	if strings.ContainsFunc(word, unicode.IsDigit) {
		return len(word) <= longestWithDigits
	}
	_, first := utf8.DecodeRuneInString(word)
	rest := word[first:]
	return len(word) <= longest && (rest == strings.ToLower(rest) || word == strings.ToUpper(word))
}

// describe returns the text of the outermost error from which on all causes are
// of packages that put no URL into their errors, and otherwise err's type.
func describe(err error) string {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var texts []string
		for _, err := range joined.Unwrap() {
			texts = append(texts, describe(err))
		}
		return strings.Join(texts, "; ")
	}
	for e := err; e != nil; e = errors.Unwrap(e) {
		if isHarmless(e) {
			return oneLine(e.Error(), maxMessage)
		}
	}
	return fmt.Sprintf("%T", err)
}

func isHarmless(err error) bool {
	for ; err != nil; err = errors.Unwrap(err) {
		switch err {
		case context.Canceled, io.EOF, io.ErrUnexpectedEOF, http.ErrSchemeMismatch, errNoResponse, errLoopLeft, errRunPanicked:
			return true
		}
		t := reflect.TypeOf(err)
		if t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		switch t.PkgPath() {
		case "net", "crypto/tls", "crypto/x509", "context", "syscall", "os", "internal/poll",
			reflect.TypeFor[APIError]().PkgPath():
		default:
			return false
		}
	}
	return true
}

// The rest is how errors look in fmt, encoding/json and log/slog: never more
// than in Error.

// Format prints what Error returns, whatever the verb.
func (e APIError) Format(f fmt.State, verb rune) { formatText(f, verb, e.Error()) }

// LogValue returns operation, status, type, message, request id and attempts.
func (e APIError) LogValue() slog.Value { return logValue(e.details()) }

// MarshalJSON writes what LogValue returns.
func (e APIError) MarshalJSON() ([]byte, error) { return marshalDetails(e.details()) }

func (e *APIError) details() []detail {
	return []detail{
		{"operation", e.Operation},
		{"status", e.StatusCode},
		{"type", oneLine(e.Type, maxType)},
		{"message", oneLine(e.Message, maxMessage)},
		{"request_id", oneLine(e.RequestID, maxType)},
		{"attempts", e.Attempts},
	}
}

// LogValue returns what that of APIError does, and the time to wait.
func (e RateLimitError) LogValue() slog.Value { return logValue(e.details()) }

// MarshalJSON writes what LogValue returns, the time in nanoseconds.
func (e RateLimitError) MarshalJSON() ([]byte, error) { return marshalDetails(e.details()) }

func (e *RateLimitError) details() []detail {
	return append(e.APIError.details(), detail{"retry_after", e.RetryAfter})
}

// Format prints what Error returns, whatever the verb.
func (e ConnectionError) Format(f fmt.State, verb rune) { formatText(f, verb, e.Error()) }

// LogValue returns operation, attempts and cause.
func (e ConnectionError) LogValue() slog.Value { return logValue(e.details()) }

// MarshalJSON writes what LogValue returns.
func (e ConnectionError) MarshalJSON() ([]byte, error) { return marshalDetails(e.details()) }

func (e *ConnectionError) details() []detail {
	return []detail{
		{"operation", e.Operation},
		{"attempts", e.Attempts},
		{"cause", describe(e.Err)},
	}
}

// Format prints what Error returns, whatever the verb.
func (e UnexpectedResponseError) Format(f fmt.State, verb rune) { formatText(f, verb, e.Error()) }

// LogValue returns operation, status and what is wrong.
func (e UnexpectedResponseError) LogValue() slog.Value { return logValue(e.details()) }

// MarshalJSON writes what LogValue returns.
func (e UnexpectedResponseError) MarshalJSON() ([]byte, error) { return marshalDetails(e.details()) }

func (e *UnexpectedResponseError) details() []detail {
	return []detail{
		{"operation", e.Operation},
		{"status", e.StatusCode},
		{"error", e.Error()},
	}
}

func formatText(f fmt.State, verb rune, text string) {
	fmt.Fprintf(f, fmt.FormatString(f, verb), text)
}

// detail is one thing of an error or answer that may be shown. It is no slog.Attr,
// which a program without a logger would have linked for nothing.
type detail struct {
	key   string
	value any
}

func (d detail) String() string { return fmt.Sprint(d.key, "=", d.value) }

func logValue(details []detail) slog.Value {
	attrs := make([]slog.Attr, len(details))
	for i, d := range details {
		attrs[i] = slog.Any(d.key, d.value)
	}
	return slog.GroupValue(attrs...)
}

func marshalDetails(details []detail) ([]byte, error) {
	members := map[string]any{}
	for _, d := range details {
		members[d.key] = d.value
	}
	return json.Marshal(members)
}
