package courier

import (
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
// limiter refused.
var ErrNotSent = errors.New("courier: nothing was sent")

// notSentError is ErrNotSent with its cause.
type notSentError struct {
	operation string
	cause     error
	text      string // of cause, redacted
}

func (e *notSentError) Error() string {
	return "courier: " + e.operation + ": nothing was sent: " + oneLine(strings.TrimPrefix(e.text, "courier: "), maxMessage)
}

func (e *notSentError) Unwrap() []error { return []error{ErrNotSent, e.cause} }

func (e *notSentError) LogValue() slog.Value {
	return slog.GroupValue(slog.String("operation", e.operation), slog.String("error", e.Error()))
}

// ValidationError means that a call or an option was refused before anything was sent.
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

// refusal returns the ValidationError for a body that cannot be written as JSON. The first
// depth tokens of the JSON Pointer in err lead to body.
func refusal(body any, err error, depth int) *ValidationError {
	var pointer jsontext.Pointer
	reason := "cannot be written as JSON"
	if semantic, ok := errors.AsType[*json.SemanticError](err); ok {
		pointer = semantic.JSONPointer
		reason += unsupported(semantic.GoType)
	}
	if syntactic, ok := errors.AsType[*jsontext.SyntacticError](err); ok && len(syntactic.JSONPointer) > len(pointer) {
		pointer = syntactic.JSONPointer
	}
	refused, nested := errors.AsType[*ValidationError](err)
	switch {
	case nested:
		reason = refused.Reason
	case errors.Is(err, jsontext.ErrDuplicateName):
		reason = "appears twice: a key that is set as a field must not be in Extra"
	case strings.Contains(err.Error(), errNotUTF8.Error()):
		reason = "contains text that is not valid UTF-8"
	}
	path := slices.Collect(pointer.Tokens())
	return invalid(knownPath(reflect.TypeOf(body), path[min(depth, len(path)):]), reason)
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

// knownPath returns the part of a JSON Pointer that consists of Courier's own keys.
// What follows is the caller's, and may be a secret.
func knownPath(t reflect.Type, pointer []string) string {
	path := ""
	for _, token := range pointer {
		for t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		if field, ok := reflect.Zero(t).Interface().(interface{ valueType() reflect.Type }); ok {
			t = field.valueType()
		}
		if t.Kind() == reflect.Slice {
			path, t = path+"["+token+"]", t.Elem()
			continue
		}
		if t.Kind() != reflect.Struct || t.PkgPath() != reflect.TypeFor[Profile]().PkgPath() {
			break
		}
		fields := reflect.VisibleFields(t)
		i := slices.IndexFunc(fields, func(f reflect.StructField) bool {
			key, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			return key == token && key != "" // Extra has no key
		})
		if i < 0 {
			break
		}
		path, t = path+"."+token, fields[i].Type
	}
	return strings.TrimPrefix(path, ".")
}

// APIError is a response with a status other than 2xx, whatever its body. [errors.As]
// finds it in each of the more precise errors of this package:
//
//	400 *InvalidRequestError   401 *AuthenticationError   403 *PermissionError
//	404 *NotFoundError         409 *ConflictError         413 *PayloadTooLargeError
//	429 *RateLimitError        5xx *ServerError           any other status *APIError
//
// If the context ended while the call waited for a retry, [errors.Is] finds the context's
// error in it as well.
type APIError struct {
	Operation  string // such as "merge profile"
	StatusCode int
	Type       string // Courier's name for the kind of error, such as "invalid_request_error"; may be empty
	Message    string // Courier's description of the error; may be empty
	RequestID  string
	Attempts   int         // how many requests were sent
	Header     http.Header // of the response
	Body       []byte      // of the response, up to 1 MiB

	ended     error  // what prevented a retry: the context's error, or that of a bulk run
	endedText string // of ended, redacted
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

// newAPIError returns the most precise error for a response.
func newAPIError(operation string, r *transport.Response, endedText string) error {
	e := APIError{
		Operation:  operation,
		StatusCode: r.Status,
		RequestID:  requestID(r.Header),
		Attempts:   r.Attempts,
		Header:     r.Header,
		Body:       r.Body,
		ended:      r.Ended,
		endedText:  endedText,
	}
	var body struct {
		Type           Field[string] `json:"type"`
		Message        Field[string] `json:"message"`
		GatewayMessage Field[string] `json:"Message"` // from Amazon's API gateway
	}
	if decode(trimBOM(r.Body), &body) == nil { // any other body is described by Error
		e.Type = body.Type.Or("")
		e.Message = body.Message.Or(body.GatewayMessage.Or(""))
	}
	switch {
	case r.Status == http.StatusBadRequest:
		return &InvalidRequestError{e}
	case r.Status == http.StatusUnauthorized:
		return &AuthenticationError{e}
	case r.Status == http.StatusForbidden:
		return &PermissionError{e}
	case r.Status == http.StatusNotFound:
		return &NotFoundError{e}
	case r.Status == http.StatusConflict:
		return &ConflictError{e}
	case r.Status == http.StatusRequestEntityTooLarge:
		return &PayloadTooLargeError{e}
	case r.Status == http.StatusTooManyRequests:
		return &RateLimitError{e, r.RetryAfter}
	case r.Status/100 == 5:
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
	if e.ended != nil {
		text += " (" + strings.TrimPrefix(oneLine(e.endedText, maxMessage), "courier: ") + ")"
	}
	return text
}

// Unwrap returns what ended the call while it waited for a retry, or nil.
func (e APIError) Unwrap() error { return e.ended }

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
	return slog.GroupValue(append(e.APIError.LogValue().Group(), slog.Duration("retry_after", e.RetryAfter))...)
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

	text string // of Err, redacted
}

func (e ConnectionError) Error() string {
	attempts := "1 attempt"
	if e.Attempts != 1 {
		attempts = strconv.Itoa(e.Attempts) + " attempts"
	}
	text := e.text
	if text == "" && e.Err != nil {
		text = e.Err.Error() // of an error that a caller made
	}
	return "courier: " + e.Operation + ": no response after " + attempts + ": " + oneLine(text, maxMessage)
}

// Unwrap returns the cause.
func (e ConnectionError) Unwrap() error { return e.Err }

// LogValue returns operation, attempts, and error text.
func (e ConnectionError) LogValue() slog.Value {
	return slog.GroupValue(slog.String("operation", e.Operation), slog.Int("attempts", e.Attempts), slog.String("error", e.Error()))
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
	if shape, ok := errors.AsType[shapeError](e.Err); ok { // the text of any other error can repeat the body
		text += ": " + string(shape)
	}
	return text + " (" + bodyKind(e.Header, e.Body) + ")"
}

// Unwrap returns what is wrong with the response.
func (e UnexpectedResponseError) Unwrap() error { return e.Err }

// LogValue returns operation, status, and error text.
func (e UnexpectedResponseError) LogValue() slog.Value {
	return slog.GroupValue(slog.String("operation", e.Operation), slog.Int("status", e.StatusCode), slog.String("error", e.Error()))
}
