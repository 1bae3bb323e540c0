package courier

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/courier-profiles/courier-go/internal/transport"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// ErrNotSent matches the error of a call that sent nothing: [errors.Is] finds it in every
// [*ValidationError], and in the error of a call whose context had ended or whose rate
// limiter failed.
var ErrNotSent = errors.New("courier: nothing was sent")

// Retryable reports whether the same call may succeed later: whether the client itself
// would retry what err stands for, if it had attempts left (the package page has the
// rules, under Retries). It is true for a call that was never sent, unless it is a
// [*ValidationError]. It is false for nil, and for every error that no call of this package
// returned.
func Retryable(err error) bool {
	var known interface{ retryable() bool }
	return errors.As(err, &known) && known.retryable()
}

// notSentError is ErrNotSent with its cause.
type notSentError struct {
	operation string
	cause     error
	text      string // of cause, redacted
}

func (e *notSentError) Error() string {
	text := strings.TrimPrefix(e.text, "courier: ")
	return "courier: " + e.operation + ": nothing was sent: " + oneLine(text, maxMessage)
}

// Is makes the error match ErrNotSent and the cause.
func (e *notSentError) Is(target error) bool {
	return target == ErrNotSent || errors.Is(e.cause, target)
}

// As finds the types of the cause. There is no Unwrap, because a *ConnectionError means
// that Courier may have acted on a request, even where it is the cause that another call
// was not sent.
func (e *notSentError) As(target any) bool {
	if _, ok := target.(**ConnectionError); ok {
		return false
	}
	return errors.As(e.cause, target)
}

func (e *notSentError) retryable() bool { return true }

func (e *notSentError) LogValue() slog.Value {
	return slog.GroupValue(
		slog.String("operation", e.operation),
		slog.String("error", e.Error()),
	)
}

// interruptedError is the error of a call that ended while it waited for a retry: that of
// its last attempt, and what interrupted the wait.
type interruptedError struct {
	attempt error
	cause   error
	text    string // of cause, redacted
}

func (e *interruptedError) Error() string {
	text := strings.TrimPrefix(e.text, "courier: ")
	return e.attempt.Error() + " (" + oneLine(text, maxMessage) + ")"
}

func (e *interruptedError) Unwrap() []error { return []error{e.attempt, e.cause} }

func (e *interruptedError) LogValue() slog.Value {
	attrs := slog.AnyValue(e.attempt).Resolve().Group()
	return slog.GroupValue(append(attrs, slog.String("ended", oneLine(e.text, maxMessage)))...)
}

// ValidationError means that a call or an option is invalid; nothing was sent.
// It matches [ErrNotSent].
type ValidationError struct {
	// Field is what is invalid: a parameter, an option, or the path of a key in the
	// request, such as "profile.address.country". It never contains keys of your own.
	Field string
	// Reason is why, and what to do.
	Reason string
}

func (e *ValidationError) Error() string {
	if e.Field == "" {
		return "courier: " + e.Reason
	}
	return "courier: " + e.Field + ": " + e.Reason
}

// Is reports whether target is [ErrNotSent].
func (e *ValidationError) Is(target error) bool { return target == ErrNotSent }

// LogValue returns field and reason.
func (e *ValidationError) LogValue() slog.Value {
	return slog.GroupValue(slog.String("field", e.Field), slog.String("reason", e.Reason))
}

// encodingError returns the ValidationError for a body that cannot be written as JSON. The
// first depth tokens of the JSON Pointer in err lead to body.
func encodingError(body any, err error, depth int) *ValidationError {
	var pointer jsontext.Pointer
	var from reflect.Type // the type whose method failed, if it was one
	if semantic, ok := errors.AsType[*json.SemanticError](err); ok {
		pointer = semantic.JSONPointer
		from = semantic.GoType
	}
	syntactic, ok := errors.AsType[*jsontext.SyntacticError](err)
	if ok && pointer.Contains(syntactic.JSONPointer) {
		pointer = syntactic.JSONPointer
	}
	tokens := slices.Collect(pointer.Tokens())
	path := courierPath(body, tokens[min(depth, len(tokens)):])
	reason := "cannot be written as JSON" + unsupported(from)
	nested, isNested := errors.AsType[*ValidationError](err)
	switch {
	case isNested:
		reason = nested.Reason
	case errors.Is(err, jsontext.ErrDuplicateName) && from != nil && !isOurs(from):
		reason = "a key appears twice in what a MarshalJSON method wrote: write it once"
	case errors.Is(err, jsontext.ErrDuplicateName):
		reason = "a key appears twice: one that is set as a field must not be in Extra"
	case errors.Is(err, errNotUTF8), errors.Is(err, errInvalidText()):
		reason = "contains text that is not valid UTF-8"
	}
	return invalid(path, reason)
}

// errInvalidText returns the error of package jsontext for text that is not UTF-8, which
// has no exported name.
func errInvalidText() error {
	_, err := jsontext.AppendQuote(nil, "\xff")
	syntactic, _ := errors.AsType[*jsontext.SyntacticError](err)
	return syntactic.Err
}

// unsupported says why a value of type t cannot be encoded.
func unsupported(t reflect.Type) string {
	switch {
	case t == nil:
		return ""
	case t.Kind() == reflect.Float64 || t.Kind() == reflect.Float32:
		return ": JSON has no NaN and no infinity"
	case t == reflect.TypeFor[jsontext.Value]():
		return ": a json.RawMessage is not valid JSON"
	}
	return ": a value of type " + t.String()
}

// courierPath returns the part of a JSON Pointer into body that consists of Courier's own
// keys. The rest are the caller's, and may be secrets.
func courierPath(body any, pointer []string) string {
	path := ""
	value := reflect.ValueOf(body)
	for _, token := range pointer {
		value = contentOf(value)
		key := "." + token
		if value.Kind() == reflect.Slice {
			key = "[" + token + "]"
		}
		value = memberOf(value, token)
		if !value.IsValid() {
			break
		}
		path += key
	}
	return strings.TrimPrefix(path, ".")
}

// contentOf returns what is behind pointers, interfaces, and Fields.
func contentOf(value reflect.Value) reflect.Value {
	for {
		switch {
		case value.Kind() == reflect.Pointer, value.Kind() == reflect.Interface:
			value = value.Elem()
		case isStruct(value) && value.FieldByName("content").IsValid():
			value = value.FieldByName("content")
		default:
			return value
		}
	}
}

// memberOf returns an element of a slice, or the field of a struct of this package that has
// the key. The zero Value means that there is none.
func memberOf(value reflect.Value, token string) reflect.Value {
	if value.Kind() == reflect.Slice {
		index, err := strconv.Atoi(token)
		if err == nil && index < value.Len() {
			return value.Index(index)
		}
	}
	if isStruct(value) {
		for _, field := range reflect.VisibleFields(value.Type()) {
			key, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			if key == token && key != "" { // Extra has no key
				return value.FieldByIndex(field.Index)
			}
		}
	}
	return reflect.Value{}
}

// isStruct reports whether value is a struct of this package.
func isStruct(value reflect.Value) bool {
	return value.Kind() == reflect.Struct && isOurs(value.Type())
}

func isOurs(t reflect.Type) bool { return t.PkgPath() == reflect.TypeFor[Profile]().PkgPath() }

// APIError is a response with a status other than 2xx, whatever its body. [errors.As]
// finds it in each of the more precise errors of this package:
//
//	400 *InvalidRequestError   401 *AuthenticationError   403 *PermissionError
//	404 *NotFoundError         409 *ConflictError         413 *PayloadTooLargeError
//	429 *RateLimitError        5xx *ServerError           any other status *APIError
//
// If the context ended while the call waited for a retry, [errors.Is] finds the context's
// error in the error of the call as well.
type APIError struct {
	Operation  string // such as "merge profile"
	StatusCode int
	Type       string      // Courier's kind of error, such as "invalid_request_error"; may be empty
	Message    string      // Courier's description of the error; may be empty
	RequestID  string      // see Response.RequestID; empty for none
	Attempts   int         // how many requests were sent
	Header     http.Header // of the response
	Body       []byte      // of the response, up to 1 MiB

	retry bool // see Retryable
}

// InvalidRequestError is status 400: the request is malformed or incomplete. A retry
// would get the same response.
type InvalidRequestError struct{ APIError }

// AuthenticationError is status 401: the API key is missing, invalid, or expired.
type AuthenticationError struct{ APIError }

// PermissionError is status 403: the API key is valid, but not permitted to do this.
type PermissionError struct{ APIError }

// NotFoundError is status 404: the user has no profile.
type NotFoundError struct{ APIError }

// ConflictError is status 409: concurrent writes to the same profile. Patch is not retried
// after it; the other operations are.
type ConflictError struct{ APIError }

// PayloadTooLargeError is status 413: the request is larger than Courier accepts, 6 MB.
type PayloadTooLargeError struct{ APIError }

// RateLimitError is status 429: too many requests.
type RateLimitError struct {
	APIError
	// RetryAfter is how long Courier asked to wait, counted from its response; 0 if it
	// did not say.
	RetryAfter time.Duration
}

// ServerError is any status 5xx: Courier, or a gateway in front of it, failed.
type ServerError struct{ APIError }

// As makes [errors.As] find the *APIError in the more precise errors, which embed it.
func (e *APIError) As(target any) bool {
	common, ok := target.(**APIError)
	if ok {
		*common = e
	}
	return ok
}

func (e *APIError) retryable() bool { return e.retry }

// newAPIError returns the most precise error for a response.
func newAPIError(operation string, x *transport.Exchange) error {
	e := APIError{
		Operation:  operation,
		StatusCode: x.Status,
		RequestID:  requestID(x.Header),
		Attempts:   x.Number,
		Header:     x.Header,
		Body:       x.Body,
		retry:      x.Retryable,
	}
	var body struct {
		Type           Field[string] `json:"type"`
		Message        Field[string] `json:"message"`
		GatewayMessage Field[string] `json:"Message"` // from Amazon's API gateway
	}
	text := bytes.ToValidUTF8(trimBOM(x.Body), []byte("\uFFFD"))
	if decode(text, &body) == nil { // any other body is described by Error
		e.Type = body.Type.Or("")
		e.Message = body.Message.Or(body.GatewayMessage.Or(""))
	}
	switch {
	case x.Status == http.StatusBadRequest:
		return &InvalidRequestError{e}
	case x.Status == http.StatusUnauthorized:
		return &AuthenticationError{e}
	case x.Status == http.StatusForbidden:
		return &PermissionError{e}
	case x.Status == http.StatusNotFound:
		return &NotFoundError{e}
	case x.Status == http.StatusConflict:
		return &ConflictError{e}
	case x.Status == http.StatusRequestEntityTooLarge:
		return &PayloadTooLargeError{e}
	case x.Status == http.StatusTooManyRequests:
		return &RateLimitError{e, x.RetryAfter}
	case x.Status/100 == 5:
		return &ServerError{e}
	}
	return &e
}

// How much of a text is printed, in characters.
const (
	maxMessage = 500
	maxType    = 100
)

func (e APIError) Error() string {
	text := "courier: " + e.Operation + ": " + strconv.Itoa(e.StatusCode)
	if kind := oneLine(e.Type, maxType); kind != "" {
		text += " " + kind
	} else if standard := http.StatusText(e.StatusCode); standard != "" {
		text += " " + standard
	}
	if message := oneLine(e.Message, maxMessage); message != "" {
		text += ": " + message
	} else {
		text += " (" + bodyKind(e.Header, e.Body) + ")"
	}
	return text
}

// LogValue returns operation, status, type, message, request ID, and attempts.
func (e APIError) LogValue() slog.Value {
	return slog.GroupValue(
		slog.String("operation", e.Operation),
		slog.Int("status", e.StatusCode),
		slog.String("type", oneLine(e.Type, maxType)),
		slog.String("message", oneLine(e.Message, maxMessage)),
		slog.String("request_id", oneLine(e.RequestID, maxType)),
		slog.Int("attempts", e.Attempts),
	)
}

// LogValue returns what that of APIError does, and the time to wait.
func (e RateLimitError) LogValue() slog.Value {
	attrs := e.APIError.LogValue().Group()
	return slog.GroupValue(append(attrs, slog.Duration("retry_after", e.RetryAfter))...)
}

// ConnectionError means that no complete response arrived: the connection failed, an
// attempt timed out, or the context ended. Whether Courier acted on the request is
// unknown.
//
// [errors.Is] finds [context.Canceled] and [context.DeadlineExceeded] in it; the latter
// also if the last attempt took longer than [WithTimeout].
type ConnectionError struct {
	Operation string // such as "merge profile"
	Attempts  int    // how many requests were sent
	Err       error  // the cause, from the last attempt

	text  string // of Err, redacted
	retry bool   // see Retryable
}

func (e *ConnectionError) retryable() bool { return e.retry }

func (e ConnectionError) Error() string {
	attempts := "1 attempt"
	if e.Attempts != 1 {
		attempts = strconv.Itoa(e.Attempts) + " attempts"
	}
	text := e.text
	if text == "" && e.Err != nil {
		text = e.Err.Error() // of an error that a caller made
	}
	return "courier: " + e.Operation + ": no response after " + attempts + ": " +
		oneLine(text, maxMessage)
}

// Unwrap returns the cause.
func (e ConnectionError) Unwrap() error { return e.Err }

// LogValue returns operation, attempts, and error text.
func (e ConnectionError) LogValue() slog.Value {
	return slog.GroupValue(
		slog.String("operation", e.Operation),
		slog.Int("attempts", e.Attempts),
		slog.String("error", e.Error()),
	)
}

// UnexpectedResponseError is a 2xx response that does not have the documented shape.
// Courier, or a proxy that responded in its place, may or may not have acted on the
// request.
type UnexpectedResponseError struct {
	Operation  string // such as "merge profile"
	StatusCode int
	Header     http.Header // of the response
	Body       []byte      // of the response, up to 8 MiB
	Err        error       // what is wrong with it
}

func (e UnexpectedResponseError) Error() string {
	text := fmt.Sprintf("courier: %s: %d, but not the documented response", e.Operation, e.StatusCode)
	// The text of any other error can repeat the body.
	if shape, ok := errors.AsType[shapeError](e.Err); ok {
		text += ": " + string(shape)
	}
	return text + " (" + bodyKind(e.Header, e.Body) + ")"
}

// Unwrap returns what is wrong with the response.
func (e UnexpectedResponseError) Unwrap() error { return e.Err }

// LogValue returns operation, status, and error text.
func (e UnexpectedResponseError) LogValue() slog.Value {
	return slog.GroupValue(
		slog.String("operation", e.Operation),
		slog.Int("status", e.StatusCode),
		slog.String("error", e.Error()),
	)
}
