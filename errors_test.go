package courier_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"
	"github.com/jarcoal/httpmock"

	courier "github.com/courier-profiles/courier-go"
)

// failingWith returns a responder that fails with err.
func failingWith(err error) httpmock.Responder {
	return func(*http.Request) (*http.Response, error) { return nil, err }
}

// errorTypes are the types that errors.As can be asked for.
var errorTypes = map[string]func(error) bool{
	"*courier.InvalidRequestError": matches[*courier.InvalidRequestError], "*courier.AuthenticationError": matches[*courier.AuthenticationError],
	"*courier.PermissionError": matches[*courier.PermissionError], "*courier.NotFoundError": matches[*courier.NotFoundError],
	"*courier.ConflictError": matches[*courier.ConflictError], "*courier.PayloadTooLargeError": matches[*courier.PayloadTooLargeError],
	"*courier.RateLimitError": matches[*courier.RateLimitError], "*courier.ServerError": matches[*courier.ServerError],
	"*courier.APIError": matches[*courier.APIError], "*courier.ConnectionError": matches[*courier.ConnectionError],
	"*courier.UnexpectedResponseError": matches[*courier.UnexpectedResponseError], "*courier.ValidationError": matches[*courier.ValidationError],
}

// wantTypes fails unless errors.As finds exactly these types.
func wantTypes(t *testing.T, err error, want ...string) {
	t.Helper()
	for name, is := range errorTypes {
		if wanted := slices.Contains(want, name); is(err) != wanted {
			t.Errorf("%v: errors.As finds a %s: %t, want %t", err, name, !wanted, wanted)
		}
	}
}

func TestErrorOfEveryStatus(t *testing.T) {
	t.Parallel()
	precise := map[int]string{
		400: "*courier.InvalidRequestError", 401: "*courier.AuthenticationError", 403: "*courier.PermissionError",
		404: "*courier.NotFoundError", 409: "*courier.ConflictError", 413: "*courier.PayloadTooLargeError",
		429: "*courier.RateLimitError",
	}
	status := 0
	client := respondingClient(t, func(*http.Request) (*http.Response, error) {
		response := httpmock.NewStringResponse(status, errorBody)
		response.Header.Set("X-Request-Id", "req-1")
		response.Header.Set("Location", "https://elsewhere.test/")
		return response, nil
	}, courier.WithMaxRetries(0))
	for status = 300; status <= 601; status++ {
		err := mergeError(t, client)
		want := precise[status]
		switch {
		case status/100 == 5:
			want = "*courier.ServerError"
		case want == "":
			want = "*courier.APIError"
		}
		if got := fmt.Sprintf("%T", err); got != want {
			t.Errorf("%d is a %s, want %s", status, got, want)
		}
		wantTypes(t, err, want, "*courier.APIError")
		var common *courier.APIError
		if !errors.As(fmt.Errorf("more: %w", err), &common) {
			continue
		}
		got := []any{common.Operation, common.StatusCode, common.Type, common.Message, common.RequestID, common.Attempts, string(common.Body), common.Header.Get("Location")}
		if diff := cmp.Diff([]any{"merge profile", status, "some_error", "Error Message", "req-1", 1, errorBody, "https://elsewhere.test/"}, got); diff != "" {
			t.Errorf("%d: the *APIError (-want +got):\n%s", status, diff)
		}
		if want := fmt.Sprintf("courier: merge profile: %d some_error: Error Message", status); err.Error() != want || common.Error() != want {
			t.Errorf("%d reads %q and %q, want %q", status, err, common, want)
		}
	}
}

const errorBody = `{"message":"Error Message","type":"some_error"}`

func zipped(text string) string {
	var b bytes.Buffer
	w, _ := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	_, _ = io.WriteString(w, text)
	_ = w.Close()
	return b.String()
}

// TestStatusIsNeverLost: the status decides, over a real connection and whatever the body
// is. TestErrorText has more bodies.
func TestStatusIsNeverLost(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, body, encoding string
		cutOff               bool
		message              string
		length               int // of the Body
	}{
		{"Courier's", errorBody, "", false, "Error Message", len(errorBody)},
		{"Courier's, cut off", errorBody, "", true, "Error Message", len(errorBody)},
		{"Courier's, compressed", zipped(errorBody), "gzip", false, "Error Message", len(errorBody)},
		{"Courier's with a BOM", "\ufeff" + errorBody, "", false, "Error Message", len(errorBody) + 3},
		{"HTML, cut off", "<html>", "", true, "", 6},
		{"cut off at the first byte", "", "", true, "", 0},
		{"not UTF-8", "{\"message\":\"\xff\xfe\"}", "", false, "", 16},
		{"broken gzip", errorBody, "gzip", false, "", 0},
		{"50 MB, compressed", strings.Repeat(zipped(strings.Repeat("a", 1<<20)), 50), "gzip", false, "", 1 << 20},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			url, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
				status, _ := strconv.Atoi(r.Header.Get("X-Status"))
				w.Header().Set("Content-Encoding", test.encoding)
				if test.cutOff {
					w.Header().Set("Content-Length", "1000")
				}
				w.WriteHeader(status)
				_, _ = io.WriteString(w, test.body)
			})
			client := newTestClient(t, nil, courier.WithBaseURL(url), courier.WithMaxRetries(0))
			for _, status := range []int{302, 400, 404, 429, 502} {
				_, err := client.Profiles.Get(t.Context(), "user-4711", courier.WithHeader("X-Status", fmt.Sprint(status)))
				var got *courier.APIError
				if !errors.As(err, &got) || got.StatusCode != status || got.Message != test.message || len(got.Body) != test.length {
					t.Errorf("%d is %T %v, want the message %q and a body of %d bytes", status, err, err, test.message, test.length)
				}
			}
		})
	}
}

func TestErrorText(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		status      int
		contentType string
		body        string
		want        string
	}{
		{400, "application/json", `{"message":"Error Message","type":"invalid_request_error"}`, "400 invalid_request_error: Error Message"},
		// Amazon's gateway.
		{403, "application/json", `{"message":"Forbidden"}`, "403 Forbidden: Forbidden"},
		{403, "application/json", `{"Message":"User is not authorized to access this resource"}`, "403 Forbidden: User is not authorized to access this resource"},
		{403, "application/json", `{"Message":"the gateway's","message":"Courier's"}`, "403 Forbidden: Courier's"},
		{403, "application/json", `{"Message":"the gateway's","message":null,"type":null}`, "403 Forbidden: the gateway's"},
		{403, "application/json", `{"MESSAGE":"another key"}`, "403 Forbidden (application/json, 25 bytes)"},
		// Others.
		{502, "text/html", strings.Repeat("x", 1532), "502 Bad Gateway (text/html, 1532 bytes)"},
		{502, "Text/HTML; charset=utf-8", "<html>", "502 Bad Gateway (text/html, 6 bytes)"},
		{502, "", "<html>", "502 Bad Gateway (no content type, 6 bytes)"},
		{502, "text/html", "", "502 Bad Gateway (no body)"},
		{400, "application/json", `{"type":"invalid_request_error"}`, "400 invalid_request_error (application/json, 32 bytes)"},
		{400, "application/json", `{"message":5,"type":6}`, "400 Bad Request (application/json, 22 bytes)"},
		{400, "", `{"message":"no such user: user-1","type":"user-1"}`, "400 user-1: no such user: user-1"}, // which Courier wrote for the reader
		{599, "", "", "599 (no body)"},
		{999, "", `{"message":"Request denied"}`, "999: Request denied"},
		// One line, of a length that a log can take, and no harm to a terminal.
		{400, "", `{"message":" line one\r\n\tline\u0000two \u001b[31m\u202e\u2028end ","type":"a\nb"}`, "400 a b: line one line two [31m end"},
		{400, "", `{"message":"` + strings.Repeat("é", 900_000) + `","type":"` + strings.Repeat("t", 1000) + `"}`,
			"400 Bad Request (no content type, 1048576 bytes)"},
		{400, "", `{"message":"` + strings.Repeat("é", 501) + `","type":"` + strings.Repeat("t", 101) + `"}`,
			"400 " + strings.Repeat("t", 100) + "…: " + strings.Repeat("é", 500) + "…"},
	} {
		client := respondingClient(t, func(*http.Request) (*http.Response, error) {
			response := httpmock.NewStringResponse(test.status, test.body)
			if test.contentType != "" {
				response.Header.Set("Content-Type", test.contentType)
			}
			return response, nil
		}, courier.WithMaxRetries(0))
		if err := mergeError(t, client); err.Error() != "courier: merge profile: "+test.want {
			t.Errorf("%d, %.100s\n got %s\nwant courier: merge profile: %s", test.status, test.body, err, test.want)
		}
	}
}

func TestRateLimitErrorRetryAfter(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]time.Duration{
		"": 0, "7": 7 * time.Second, "1.5": 1500 * time.Millisecond, "86400": 24 * time.Hour, "soon": 0,
	} {
		client := respondingClient(t, httpmock.NewStringResponder(429, "").HeaderSet(http.Header{"Retry-After": {header}}), courier.WithMaxRetryAfter(0), courier.WithMaxRetries(0))
		var limited *courier.RateLimitError
		if err := mergeError(t, client); !errors.As(err, &limited) || limited.RetryAfter != want {
			t.Errorf("Retry-After %q: %v with %+v, want %v", header, err, limited, want)
		}
	}
}

// The text of a cause is printed, whoever made it, and the cause is found by errors.Is.
func TestConnectionErrorText(t *testing.T) {
	t.Parallel()
	refused := &net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 443}, Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	for _, test := range []struct {
		cause error
		want  string
	}{
		{refused, "dial tcp 192.0.2.1:443: connect: connection refused"},
		{&tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}, "tls: failed to verify certificate: x509: certificate signed by unknown authority"},
		{errors.New("oauth2: cannot fetch token: 401 Unauthorized\nResponse: {\"error\":\"invalid_client\"}"), `oauth2: cannot fetch token: 401 Unauthorized Response: {"error":"invalid_client"}`},
		{errors.New("line one\r\n\x00\x1b[31mline\u202etwo"), "line one [31mline two"},
		{errors.New(strings.Repeat("é", 501)), strings.Repeat("é", 500) + "…"},
		{errors.New(strings.Repeat("é", 499) + "\xff"), strings.Repeat("é", 499) + "\uFFFD"},
	} {
		err := mergeError(t, respondingClient(t, failingWith(test.cause), courier.WithMaxRetries(0)))
		wantTypes(t, err, "*courier.ConnectionError")
		if failed, ok := errors.AsType[*courier.ConnectionError](err); !ok || failed.Operation != "merge profile" || failed.Attempts != 1 || !errors.Is(err, test.cause) {
			t.Errorf("error is %#v, want a *ConnectionError that wraps %v", err, test.cause)
		}
		if want := "courier: merge profile: no response after 1 attempt: " + test.want; err.Error() != want {
			t.Errorf("\n got %s\nwant %s", err, want)
		}
	}
	for want, client := range map[string]*courier.Client{
		"courier: merge profile: no response after 4 attempts: EOF": respondingClient(t, failingWith(io.EOF)),
		"courier: merge profile: no response after 2 attempts: dial tcp 127.0.0.1:1: connect: connection refused": newTestClient(t, nil,
			courier.WithBaseURL("http://127.0.0.1:1/base"), courier.WithMaxRetries(1), courier.WithRetryWait(0, 0)),
	} {
		if err := mergeError(t, client); err.Error() != want {
			t.Errorf("\n got %s\nwant %s", err, want)
		}
	}
}

func TestErrNotSent(t *testing.T) {
	t.Parallel()
	unavailable := httpmock.NewStringResponder(503, errorBody)
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	late, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	sent := 0
	client := respondingClient(t, func(req *http.Request) (*http.Response, error) {
		sent++
		return unavailable(req)
	}, courier.WithMaxRetries(0))
	merge := func(ctx context.Context, userID string) error {
		_, err := client.Profiles.Merge(ctx, userID, courier.Profile{})
		return err
	}
	limit := errors.New("courier: the quota of today is used up")
	limited := func() (err error) {
		updates := func(yield func(string, courier.Profile) bool) { yield("user-1", courier.Profile{}) }
		for outcome := range client.Profiles.MergeAll(t.Context(), updates, courier.WithRateLimiter(limiterFunc(func(context.Context) error { return limit }))) {
			err = outcome.Err
		}
		return err
	}
	for _, test := range []struct {
		err   error
		cause error
		types []string
		want  string
	}{
		{merge(canceled, "user-1"), context.Canceled, nil, "courier: merge profile: nothing was sent: context canceled"},
		{merge(late, "user-1"), context.DeadlineExceeded, nil, "courier: merge profile: nothing was sent: context deadline exceeded"},
		{limited(), limit, nil, "courier: merge profile: nothing was sent: the quota of today is used up"},
		{merge(t.Context(), ""), courier.ErrNotSent, []string{"*courier.ValidationError"}, "courier: userID: the user ID is empty: pass the ID of a user"},
	} {
		if !errors.Is(test.err, courier.ErrNotSent) || !errors.Is(test.err, test.cause) || test.err.Error() != test.want {
			t.Errorf("error is %v, want %q that matches ErrNotSent and %v", test.err, test.want, test.cause)
		}
		wantTypes(t, test.err, test.types...)
	}
	if sent != 0 {
		t.Errorf("%d requests were sent", sent)
	}
	_, refused := courier.NewClient("")
	if !errors.Is(refused, courier.ErrNotSent) {
		t.Errorf("the error of NewClient is %v, want ErrNotSent", refused)
	}
	for _, err := range []error{merge(t.Context(), "user-1"), mergeError(t, respondingClient(t, failingWith(io.EOF))), mergeError(t, respondingClient(t, httpmock.NewStringResponder(200, "x")))} {
		if errors.Is(err, courier.ErrNotSent) {
			t.Errorf("%v matches ErrNotSent, but was sent", err)
		}
	}
}

func TestUnexpectedResponseError(t *testing.T) {
	t.Parallel()
	long := `{"status":"SUCCESS"}` + strings.Repeat(" ", 8<<20)
	for _, test := range []struct {
		body string
		want string
	}{
		{"<html>no</html>", "200, but not the documented response (text/html, 15 bytes)"},
		{`{"status":"CANARY`, "200, but not the documented response (text/html, 17 bytes)"},
		{`{"status":"CANARY"}{}`, "200, but not the documented response (text/html, 21 bytes)"},
		{"{\"status\":\"\xff\"}", "200, but not the documented response (text/html, 14 bytes)"},
		{`["CANARY"]`, "200, but not the documented response (text/html, 10 bytes)"},
		{`null`, "200, but not the documented response: not an object (text/html, 4 bytes)"},
		{`{"status":["CANARY"]}`, "200, but not the documented response: status has another type (text/html, 21 bytes)"},
		{long, "200, but not the documented response: longer than 8 MiB (text/html, 8388608 bytes)"},
	} {
		client := respondingClient(t, httpmock.NewStringResponder(200, test.body).HeaderSet(http.Header{"Content-Type": {"text/html"}, "X-Request-Id": {"req-1"}}))
		err := mergeError(t, client)
		if err.Error() != "courier: merge profile: "+test.want {
			t.Errorf("%.40q\n got %s\nwant courier: merge profile: %s", test.body, err, test.want)
		}
		wantTypes(t, err, "*courier.UnexpectedResponseError")
		var got *courier.UnexpectedResponseError
		if !errors.As(err, &got) || got.Operation != "merge profile" || got.StatusCode != 200 || got.Header.Get("X-Request-Id") != "req-1" ||
			!strings.HasPrefix(test.body, string(got.Body)) || got.Err == nil || !errors.Is(err, got.Err) {
			t.Errorf("%.40q: the error is %.300s", test.body, fmt.Sprintf("%#v", err))
		}
	}
}

// eachError calls test with an error of each type, as a call returns it.
func eachError(t *testing.T, test func(t *testing.T, err error)) {
	t.Helper()
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	_, notSent := respondingClient(t, nil).Profiles.Merge(canceled, "user-4711", courier.Profile{})
	_, refused := respondingClient(t, nil).Profiles.Merge(t.Context(), "", courier.Profile{})
	all := []error{notSent, refused, mergeError(t, respondingClient(t, failingWith(io.EOF))), mergeError(t, respondingClient(t, httpmock.NewStringResponder(200, "null")))}
	for _, status := range []int{302, 400, 401, 403, 404, 409, 413, 429, 503} {
		all = append(all, mergeError(t, respondingClient(t, httpmock.NewStringResponder(status, errorBody).HeaderSet(http.Header{"X-Request-Id": {"req-1"}}), courier.WithMaxRetries(0))))
	}
	for _, err := range all {
		t.Run(fmt.Sprintf("%T", err), func(t *testing.T) { test(t, err) })
	}
}

// logged returns what the two handlers of log/slog make of v, without the time.
func logged(v any) (text, json string) {
	var a, b strings.Builder
	options := &slog.HandlerOptions{ReplaceAttr: func(groups []string, attr slog.Attr) slog.Attr {
		if len(groups) == 0 && attr.Key != "v" {
			return slog.Attr{}
		}
		return attr
	}}
	slog.New(slog.NewTextHandler(&a, options)).Info("", "v", v)
	slog.New(slog.NewJSONHandler(&b, options)).Info("", "v", v)
	return strings.TrimSpace(a.String()), strings.TrimSpace(b.String())
}

func TestErrorsInSlog(t *testing.T) {
	t.Parallel()
	const attempts = "courier: merge profile: no response after 4 attempts: EOF"
	const notSent = "courier: merge profile: nothing was sent: context canceled"
	const unexpected = "courier: merge profile: 200, but not the documented response: not an object (no content type, 4 bytes)"
	want := map[string][2]string{
		"*courier.ConnectionError": {
			`v.operation="merge profile" v.attempts=4 v.error="` + attempts + `"`,
			`{"v":{"operation":"merge profile","attempts":4,"error":"` + attempts + `"}}`,
		},
		"*courier.UnexpectedResponseError": {
			`v.operation="merge profile" v.status=200 v.error="` + unexpected + `"`,
			`{"v":{"operation":"merge profile","status":200,"error":"` + unexpected + `"}}`,
		},
		"*courier.ValidationError": {`v.field=userID v.reason="the user ID is empty: pass the ID of a user"`, `{"v":{"field":"userID","reason":"the user ID is empty: pass the ID of a user"}}`},
		"*courier.notSentError": {
			`v.operation="merge profile" v.error="` + notSent + `"`,
			`{"v":{"operation":"merge profile","error":"` + notSent + `"}}`,
		},
	}
	eachError(t, func(t *testing.T, err error) {
		wanted, ok := want[fmt.Sprintf("%T", err)]
		if status := new(courier.APIError); !ok && errors.As(err, &status) {
			wanted = [2]string{
				fmt.Sprintf(`v.operation="merge profile" v.status=%d v.type=some_error v.message="Error Message" v.request_id=req-1 v.attempts=1`, status.StatusCode),
				fmt.Sprintf(`{"v":{"operation":"merge profile","status":%d,"type":"some_error","message":"Error Message","request_id":"req-1","attempts":1}}`, status.StatusCode),
			}
		}
		if limited := new(courier.RateLimitError); errors.As(err, &limited) {
			wanted[0] += fmt.Sprintf(" v.retry_after=%v", limited.RetryAfter)
			wanted[1] = strings.TrimSuffix(wanted[1], "}}") + fmt.Sprintf(`,"retry_after":%d}}`, limited.RetryAfter)
		}
		text, json := logged(err)
		if diff := cmp.Diff(wanted, [2]string{text, json}); diff != "" {
			t.Errorf("the log (-want +got):\n%s", diff)
		}
	})
	// What a server wrote is bounded, and on one line.
	body := `{"message":"` + strings.Repeat("m\\n", 300_000) + `","type":"` + strings.Repeat("t", 50_000) + `"}`
	client := respondingClient(t, httpmock.NewStringResponder(400, body).HeaderSet(http.Header{"X-Request-Id": {strings.Repeat("r", 50_000)}}))
	if text, json := logged(mergeError(t, client)); len(text) > 1000 || len(json) > 1000 || strings.Contains(text+json, `\n`) {
		t.Errorf("the log lines have %d and %d bytes: %.200s", len(text), len(json), text)
	}
}

// Callers copy errors, and make them in their own tests.
func TestErrorValues(t *testing.T) {
	t.Parallel()
	common := courier.APIError{Operation: "get profile", StatusCode: 404, Message: "no such user", Attempts: 1}
	failed := courier.ConnectionError{Operation: "get profile", Attempts: 2, Err: io.EOF}
	unexpected := courier.UnexpectedResponseError{Operation: "get profile", StatusCode: 200, Err: io.EOF}
	const text = "courier: get profile: 404 Not Found: no such user"
	const failedText, unexpectedText = "courier: get profile: no response after 2 attempts: EOF", "courier: get profile: 200, but not the documented response (no body)"
	for value, want := range map[any]string{
		&common: text, &courier.NotFoundError{APIError: common}: text, &failed: failedText, &unexpected: unexpectedText,
	} {
		for _, value := range []any{value, reflect.ValueOf(value).Elem().Interface()} {
			if got := fmt.Sprintf("%v %+v %s", value, value, value); got != want+" "+want+" "+want {
				t.Errorf("a %T is %q, want %q", value, got, want)
			}
			log, json := logged(value)
			if !strings.HasPrefix(log, `v.operation="get profile"`) || !strings.HasPrefix(json, `{"v":{"operation":"get profile"`) {
				t.Errorf("a %T in slog is %s, %s", value, log, json)
			}
		}
	}
	for _, err := range []error{
		&courier.InvalidRequestError{}, &courier.AuthenticationError{}, &courier.PermissionError{}, &courier.NotFoundError{}, &courier.ConflictError{},
		&courier.PayloadTooLargeError{}, &courier.RateLimitError{}, &courier.ServerError{}, &courier.APIError{}, &courier.ConnectionError{},
		&courier.UnexpectedResponseError{}, &courier.ValidationError{},
	} {
		if text := err.Error(); strings.ContainsFunc(text, func(c rune) bool { return !unicode.IsPrint(c) }) || text == "" {
			t.Errorf("%q is not one printable line", text)
		}
		text, json := logged(err)
		if errors.Is(err, io.EOF) || strings.Contains(strings.ToLower(text+json), "panic") {
			t.Errorf("an empty %T is %s, %s", err, text, json)
		}
	}
	// The precise error and the common one are the same error.
	precise, found := &courier.NotFoundError{APIError: common}, new(courier.APIError)
	if !errors.As(fmt.Errorf("more: %w", precise), &found) || found != &precise.APIError {
		t.Errorf("errors.As finds %p, want %p", found, &precise.APIError)
	}
}
