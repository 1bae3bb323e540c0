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
	"net/http/httptest"
	"net/http/httptrace"
	"os"
	"reflect"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
	"unicode"

	courier "github.com/courier-profiles/courier-go"
	"github.com/google/go-cmp/cmp"
	"github.com/jarcoal/httpmock"
)

const errorBody = `{"message":"Error Message","type":"some_error"}`

// errorTypes has each error type of the package, and what looks for it.
var errorTypes = map[string]func(error) (as, asType bool){
	"*courier.APIError":                findType[*courier.APIError],
	"*courier.InvalidRequestError":     findType[*courier.InvalidRequestError],
	"*courier.AuthenticationError":     findType[*courier.AuthenticationError],
	"*courier.PermissionError":         findType[*courier.PermissionError],
	"*courier.NotFoundError":           findType[*courier.NotFoundError],
	"*courier.ConflictError":           findType[*courier.ConflictError],
	"*courier.PayloadTooLargeError":    findType[*courier.PayloadTooLargeError],
	"*courier.RateLimitError":          findType[*courier.RateLimitError],
	"*courier.ServerError":             findType[*courier.ServerError],
	"*courier.ConnectionError":         findType[*courier.ConnectionError],
	"*courier.UnexpectedResponseError": findType[*courier.UnexpectedResponseError],
	"*courier.ValidationError":         findType[*courier.ValidationError],
}

// findType reports whether errors.As finds an E in err, and whether errors.AsType does.
func findType[E error](err error) (as, asType bool) {
	var found E
	_, asType = errors.AsType[E](err)
	return errors.As(err, &found), asType
}

// wantTypes fails unless errors.As and errors.AsType find these types in err, and no other.
func wantTypes(t *testing.T, err error, want ...string) {
	t.Helper()
	wanted := map[string]bool{}
	for _, name := range want {
		wanted[name] = true
	}
	foundByAs, foundByAsType := map[string]bool{}, map[string]bool{}
	for name, find := range errorTypes {
		as, asType := find(err)
		if as {
			foundByAs[name] = true
		}
		if asType {
			foundByAsType[name] = true
		}
	}
	if diff := cmp.Diff(wanted, foundByAs); diff != "" {
		t.Errorf("the types that errors.As finds in %v (-want +got):\n%s", err, diff)
	}
	if diff := cmp.Diff(wanted, foundByAsType); diff != "" {
		t.Errorf("the types that errors.AsType finds in %v (-want +got):\n%s", err, diff)
	}
}

// TestErrorOfEachStatus: each status has its precise type, in which errors.As finds *APIError too,
// and all of them have the same fields and the same text.
func TestErrorOfEachStatus(t *testing.T) {
	t.Parallel()
	precise := map[int]string{
		400: "*courier.InvalidRequestError",
		401: "*courier.AuthenticationError",
		403: "*courier.PermissionError",
		404: "*courier.NotFoundError",
		409: "*courier.ConflictError",
		413: "*courier.PayloadTooLargeError",
		429: "*courier.RateLimitError",
	}
	for status := 300; status <= 601; status++ {
		wantType, ok := precise[status]
		switch {
		case status >= 500 && status <= 599:
			wantType = "*courier.ServerError"
		case !ok:
			wantType = "*courier.APIError"
		}
		header := http.Header{"X-Request-Id": {"req-1"}, "Location": {"/elsewhere"}}
		responder := httpmock.NewStringResponder(status, errorBody).HeaderSet(header)
		err := mergeError(t, newClient(t, responder, courier.WithMaxRetries(0)))
		if gotType := fmt.Sprintf("%T", err); gotType != wantType {
			t.Errorf("%d is a %s, want a %s", status, gotType, wantType)
		}
		wantTypes(t, fmt.Errorf("wrapped: %w", err), wantType, "*courier.APIError")
		got := *wantError[*courier.APIError](t, err)
		wantFields := courier.APIError{
			Operation:  "merge profile",
			StatusCode: status,
			Type:       "some_error",
			Message:    "Error Message",
			RequestID:  "req-1",
			Attempts:   1,
			Header:     header,
			Body:       []byte(errorBody),
		}
		if diff := cmp.Diff(exported(wantFields), exported(got)); diff != "" {
			t.Errorf("the APIError of a %d (-want +got):\n%s", status, diff)
		}
		wantText := fmt.Sprintf("courier: merge profile: %d some_error: Error Message", status)
		if err.Error() != wantText {
			t.Errorf("got the text %q, want %q", err, wantText)
		}
	}
}

// exported returns the exported fields of a struct.
func exported(v any) map[string]any {
	fields := map[string]any{}
	value := reflect.ValueOf(v)
	for _, field := range reflect.VisibleFields(value.Type()) {
		if field.IsExported() {
			fields[field.Name] = value.FieldByIndex(field.Index).Interface()
		}
	}
	return fields
}

// zipped returns text compressed with gzip.
func zipped(text string) string {
	var b bytes.Buffer
	w, _ := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	_, _ = io.WriteString(w, text)
	_ = w.Close()
	return b.String()
}

// TestStatusIsNeverLost: the error has the status of the response, whatever its body is. The
// connection is a real one.
func TestStatusIsNeverLost(t *testing.T) {
	t.Parallel()
	megabytes := strings.Repeat(zipped(strings.Repeat("a", 1<<20)), 50)
	for _, test := range []struct {
		name        string
		body        string
		encoding    string
		cutOff      bool // ends before its Content-Length
		wantMessage string
		wantLength  int // of the error's Body
	}{
		{
			name: "Courier's", body: errorBody,
			wantMessage: "Error Message", wantLength: len(errorBody),
		},
		{
			name: "Courier's, cut off", body: errorBody, cutOff: true,
			wantMessage: "Error Message", wantLength: len(errorBody),
		},
		{
			name: "Courier's, compressed", body: zipped(errorBody), encoding: "gzip",
			wantMessage: "Error Message", wantLength: len(errorBody),
		},
		{name: "empty"},
		{name: "HTML", body: "<html>", wantLength: 6},
		{name: "HTML, cut off", body: "<html>", cutOff: true, wantLength: 6},
		{name: "cut off at the first byte", cutOff: true},
		{name: "not gzip", body: errorBody, encoding: "gzip"},
		{name: "50 MB", body: megabytes, encoding: "gzip", wantLength: 1 << 20},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			handle := func(w http.ResponseWriter, r *http.Request) {
				status, err := strconv.Atoi(r.Header.Get("X-Status"))
				if err != nil {
					t.Error(err)
				}
				w.Header().Set("Content-Encoding", test.encoding)
				if test.cutOff {
					w.Header().Set("Content-Length", "1000")
				}
				w.WriteHeader(status)
				io.WriteString(w, test.body)
			}
			server := httptest.NewServer(http.HandlerFunc(handle))
			t.Cleanup(server.Close)
			client, err := courier.NewClient(apiKey,
				courier.WithBaseURL(server.URL), courier.WithMaxRetries(0))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(client.CloseIdleConnections)
			for _, status := range []int{302, 400, 404, 429, 502} {
				err := mergeError(t, client, courier.WithHeader("X-Status", fmt.Sprint(status)))
				got := wantError[*courier.APIError](t, err)
				if got.StatusCode != status {
					t.Errorf("got the status %d, want %d", got.StatusCode, status)
				}
				if got.Message != test.wantMessage {
					t.Errorf("got the message %q, want %q", got.Message, test.wantMessage)
				}
				if len(got.Body) != test.wantLength {
					t.Errorf("got a body of %d bytes, want %d", len(got.Body), test.wantLength)
				}
			}
		})
	}
}

// TestAPIErrorText: the text of the error is one line. It has the message of Courier or of a
// gateway; of any other body it has only the content type and the length.
func TestAPIErrorText(t *testing.T) {
	t.Parallel()
	const asJSON = "application/json"
	for _, test := range []struct {
		name        string
		status      int
		contentType string
		body        string
		want        string
	}{
		{"Courier", 400, asJSON, `{"message":"No email","type":"invalid_request_error"}`,
			"400 invalid_request_error: No email"},
		{"Courier, user ID in the message", 400, asJSON, `{"message":"no such user: user-1"}`,
			"400 Bad Request: no such user: user-1"},
		{"BOM", 400, asJSON, "\ufeff" + errorBody, "400 some_error: Error Message"},
		{"not UTF-8", 400, asJSON, "{\"message\":\"caf\xe9\",\"type\":\"some_\xff\"}",
			"400 some_\uFFFD: caf\uFFFD"},
		{"gateway, message", 403, asJSON, `{"message":"Forbidden"}`, "403 Forbidden: Forbidden"},
		{"gateway, Message", 403, asJSON, `{"Message":"not authorized"}`,
			"403 Forbidden: not authorized"},
		{"message wins over Message", 403, asJSON, `{"Message":"gateway","message":"Courier"}`,
			"403 Forbidden: Courier"},
		{"null", 403, asJSON, `{"Message":"gateway","message":null,"type":null}`,
			"403 Forbidden: gateway"},
		{"another key", 403, asJSON, `{"MESSAGE":"x"}`,
			"403 Forbidden (application/json, 15 bytes)"},
		{"other types", 400, asJSON, `{"message":5,"type":6}`,
			"400 Bad Request (application/json, 22 bytes)"},
		{"type alone", 400, asJSON, `{"type":"some_error"}`,
			"400 some_error (application/json, 21 bytes)"},
		{"HTML", 502, "Text/HTML; charset=utf-8", strings.Repeat("x", 1532),
			"502 Bad Gateway (text/html, 1532 bytes)"},
		{"no content type", 502, "", "<html>", "502 Bad Gateway (no content type, 6 bytes)"},
		{"no body", 502, "text/html", "", "502 Bad Gateway (no body)"},
		{"unknown status", 599, "", "", "599 (no body)"},
		{"unknown status with message", 999, "", `{"message":"denied"}`, "999: denied"},
		{"control characters", 400, "",
			`{"message":" one\r\n\ttwo\u0000 \u001b[31m\u202e\u2028end ","type":"a\nb"}`,
			"400 a b: one two [31m end"},
		{"longer than the limits", 400, "",
			`{"message":"` + strings.Repeat("é", 501) +
				`","type":"` + strings.Repeat("t", 101) + `"}`,
			"400 " + strings.Repeat("t", 100) + "…: " + strings.Repeat("é", 500) + "…"},
		{"exactly as long as the limits", 400, "",
			`{"message":"` + strings.Repeat("é", 500) +
				`","type":"` + strings.Repeat("t", 100) + `"}`,
			"400 " + strings.Repeat("t", 100) + ": " + strings.Repeat("é", 500)},
		{"cut off at 1 MiB", 400, asJSON, `{"message":"` + strings.Repeat("m", 1<<20) + `"}`,
			"400 Bad Request (application/json, 1048576 bytes)"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			header := http.Header{}
			if test.contentType != "" {
				header.Set("Content-Type", test.contentType)
			}
			responder := httpmock.NewStringResponder(test.status, test.body).HeaderSet(header)
			err := mergeError(t, newClient(t, responder, courier.WithMaxRetries(0)))
			if want := "courier: merge profile: " + test.want; err.Error() != want {
				t.Errorf("\n got %s\nwant %s", err, want)
			}
		})
	}
}

// TestRateLimitError: RetryAfter is what the header says, or 0 if it says nothing.
func TestRateLimitError(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]time.Duration{
		"":      0,
		"7":     7 * time.Second,
		"1.5":   1500 * time.Millisecond,
		"86400": 24 * time.Hour, // longer than the client would wait
		"soon":  0,
	} {
		responder := respond(429, "").HeaderSet(http.Header{"Retry-After": {header}})
		err := mergeError(t, newClient(t, responder, courier.WithMaxRetries(0)))
		got := wantError[*courier.RateLimitError](t, err).RetryAfter
		if got != want {
			t.Errorf("Retry-After %q: got %v, want %v", header, got, want)
		}
	}
}

// TestConnectionError: the text of any cause is printed on one line, and errors.Is finds the cause.
func TestConnectionError(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		cause error
		want  string
	}{
		{errRefused, "dial tcp 192.0.2.1:443: connect: connection refused"},
		{&tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}},
			"tls: failed to verify certificate: x509: certificate signed by unknown authority"},
		{errors.New("oauth2: cannot fetch token: 401\nResponse: {\"error\":\"invalid_client\"}"),
			`oauth2: cannot fetch token: 401 Response: {"error":"invalid_client"}`},
		{errors.New("one\r\n\x00\x1b[31m two\u202e"), "one [31m two"},
		{errors.New(strings.Repeat("é", 501)), strings.Repeat("é", 500) + "…"},
		{errors.New("caf\xe9"), "caf\uFFFD"},
	} {
		err := mergeError(t, newClient(t, fail(test.cause), courier.WithMaxRetries(0)))
		wantTypes(t, err, "*courier.ConnectionError")
		failed := wantError[*courier.ConnectionError](t, err)
		if failed.Operation != "merge profile" {
			t.Errorf("got the operation %q, want merge profile", failed.Operation)
		}
		if failed.Attempts != 1 {
			t.Errorf("got %d attempts, want 1", failed.Attempts)
		}
		if !errors.Is(err, test.cause) {
			t.Errorf("got %v, which does not match its cause %v", err, test.cause)
		}
		want := "courier: merge profile: no response after 1 attempt: " + test.want
		if err.Error() != want {
			t.Errorf("\n got %s\nwant %s", err, want)
		}
	}
}

// TestConnectionErrorCountsAttempts: the error and its text have the number of attempts. Nothing
// listens at this address, so the cause is one that net/http returns.
func TestConnectionErrorCountsAttempts(t *testing.T) {
	t.Parallel()
	client, err := courier.NewClient(apiKey, courier.WithBaseURL("http://127.0.0.1:1"),
		courier.WithMaxRetries(1), courier.WithRetryWait(0, 0))
	if err != nil {
		t.Fatal(err)
	}
	failed := wantError[*courier.ConnectionError](t, mergeError(t, client))
	if failed.Attempts != 2 {
		t.Errorf("got %d attempts, want 2", failed.Attempts)
	}
	want := "courier: merge profile: no response after 2 attempts: " +
		"dial tcp 127.0.0.1:1: connect: connection refused"
	if failed.Error() != want {
		t.Errorf("\n got %s\nwant %s", failed, want)
	}
}

var (
	errRefused = &net.OpError{
		Op: "dial", Net: "tcp",
		Addr: &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 443},
		Err:  os.NewSyscallError("connect", syscall.ECONNREFUSED),
	}
	errNoSuchHost = &net.OpError{
		Op: "dial", Net: "tcp",
		Err: &net.DNSError{Err: "no such host", Name: "courier.test", IsNotFound: true},
	}
)

// refuse fails before there is a connection. As net/http does then, it calls the GetConn of an
// httptrace, and never GotConn.
func refuse(req *http.Request) (*http.Response, error) {
	httptrace.ContextClientTrace(req.Context()).GetConn("courier.test:443")
	return nil, errRefused
}

// TestErrNotSent: the error of a call that was never sent matches ErrNotSent, and the error that
// prevented it.
func TestErrNotSent(t *testing.T) {
	t.Parallel()
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	late, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	errLimit := errors.New("courier: the quota of today is used up")
	sent := record(respond(200, success))
	client := newClient(t, sent.respond)
	_, errCanceled := merge(canceled, client)
	_, errLate := merge(late, client)
	_, errInvalid := client.Profiles.Delete(t.Context(), "")
	_, errOption := courier.NewClient("")

	for _, test := range []struct {
		err     error
		matches []error
		types   []string
		want    string
	}{
		{
			errCanceled, []error{courier.ErrNotSent, context.Canceled}, nil,
			"courier: merge profile: nothing was sent: context canceled",
		},
		{
			errLate, []error{courier.ErrNotSent, context.DeadlineExceeded}, nil,
			"courier: merge profile: nothing was sent: context deadline exceeded",
		},
		{
			refusedByLimiter(t, client, errLimit), []error{courier.ErrNotSent, errLimit}, nil,
			"courier: merge profile: nothing was sent: the quota of today is used up",
		},
		{
			errInvalid, []error{courier.ErrNotSent}, []string{"*courier.ValidationError"},
			"courier: userID: the user ID is empty: pass the ID of a user",
		},
		{
			errOption, []error{courier.ErrNotSent}, []string{"*courier.ValidationError"},
			"courier: apiKey: the API key is empty: copy it from the settings of your " +
				"Courier workspace",
		},
	} {
		for _, target := range test.matches {
			if !errors.Is(test.err, target) {
				t.Errorf("got %v, which does not match %v", test.err, target)
			}
		}
		if test.err.Error() != test.want {
			t.Errorf("\n got %s\nwant %s", test.err, test.want)
		}
		wantTypes(t, test.err, test.types...)
	}
	if n := len(sent.requests()); n != 0 {
		t.Errorf("sent %d requests, want none", n)
	}
}

// limiter is a func as a rate limiter.
type limiter func(context.Context) error

func (l limiter) Wait(ctx context.Context) error { return l(ctx) }

// refusedByLimiter returns the error of a merge that a rate limiter refuses with err.
func refusedByLimiter(t *testing.T, client *courier.Client, err error) error {
	t.Helper()
	updates := func(yield func(string, courier.Profile) bool) {
		yield("user-1", courier.Profile{})
	}
	limit := courier.WithRateLimiter(limiter(func(context.Context) error { return err }))
	for outcome := range client.Profiles.MergeAll(t.Context(), updates, limit) {
		return outcome.Err
	}
	t.Fatal("got no outcome, want one")
	return nil
}

// TestErrNotSentFindsTheTypesOfItsCause: a limiter may return the error of another call of this
// package, whose types errors.As finds. The exception is *ConnectionError: it would say that
// Courier may have acted on this request, which was never sent.
func TestErrNotSentFindsTheTypesOfItsCause(t *testing.T) {
	t.Parallel()
	client := newClient(t, respond(200, success))
	notFound := &courier.NotFoundError{APIError: courier.APIError{StatusCode: 404}}
	wantTypes(t, refusedByLimiter(t, client, notFound),
		"*courier.NotFoundError", "*courier.APIError")

	lost := &courier.ConnectionError{Err: io.EOF}
	wantTypes(t, refusedByLimiter(t, client, lost)) // none
}

func TestSentIsNotErrNotSent(t *testing.T) {
	t.Parallel()
	for name, responder := range map[string]httpmock.Responder{
		"an error status":  respond(400, errorBody),
		"no response":      fail(io.EOF),
		"an invalid shape": respond(200, "[]"),
	} {
		err := mergeError(t, newClient(t, responder))
		if errors.Is(err, courier.ErrNotSent) {
			t.Errorf("%s: got %v, which matches ErrNotSent, but it was sent", name, err)
		}
	}
}

// TestContextEnds: the error matches the error of the last attempt, and context.Canceled. It never
// matches the cause of the context, which may be the error of another call.
func TestContextEnds(t *testing.T) {
	t.Parallel()
	cause := &courier.NotFoundError{APIError: courier.APIError{Message: "of another call"}}
	const connection, api = "*courier.ConnectionError", "*courier.APIError"
	for _, test := range []struct {
		name    string
		respond httpmock.Responder
		types   []string
		want    string
	}{
		{"in flight", hang, []string{connection},
			"courier: merge profile: no response after 1 attempt: context canceled"},
		{"in the body of a success", hangInBody(200), []string{connection},
			"courier: merge profile: no response after 1 attempt: context canceled"},
		{"in the body of a 503", hangInBody(503), []string{"*courier.ServerError", api},
			"courier: merge profile: 503 Service Unavailable (no content type, 9 bytes) " +
				"(context canceled)"},
		{"in the wait after a 409", respond(409, errorBody),
			[]string{"*courier.ConflictError", api},
			"courier: merge profile: 409 some_error: Error Message (context canceled)"},
		{"in the wait after no response", fail(io.EOF), []string{connection},
			"courier: merge profile: no response after 1 attempt: EOF (context canceled)"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancelCause(t.Context())
				time.AfterFunc(7*time.Second, func() { cancel(cause) })
				seen := new(observer)
				client := newClient(t, test.respond, seen.option(),
					courier.WithRetryWait(30*time.Second, 30*time.Second))
				_, err := merge(ctx, client)
				wantTypes(t, err, test.types...)
				if err.Error() != test.want {
					t.Errorf("\n got %s\nwant %s", err, test.want)
				}
				if !errors.Is(err, context.Canceled) {
					t.Errorf("got %v, which does not match context.Canceled", err)
				}
				if errors.Is(err, cause) {
					t.Errorf("got %v, which matches the cause of the context", err)
				}
				if len(seen.attempts) != 1 {
					t.Fatalf("observed %d attempts, want 1", len(seen.attempts))
				}
				observed := seen.attempts[0].Err
				if !errors.Is(err, observed) {
					t.Errorf("got %v, which does not match the observer's error %v", err, observed)
				}
				if !courier.Retryable(err) {
					t.Errorf("Retryable(%v) is false, want true", err)
				}
			})
		})
	}
}

// TestObserverGetsTheCallersError: the error of the last attempt is the very value that the call
// returns, unless a context ended the call.
func TestObserverGetsTheCallersError(t *testing.T) {
	t.Parallel()
	for name, responder := range map[string]httpmock.Responder{
		"an error status":  respond(400, errorBody),
		"retries used up":  respond(503, ""),
		"no response":      fail(io.EOF),
		"an invalid shape": respond(200, "[]"),
		"long Retry-After": respond(429, "").HeaderSet(http.Header{"Retry-After": {"86400"}}),
	} {
		seen := new(observer)
		err := mergeError(t, newClient(t, responder, seen.option()))
		last := seen.attempts[len(seen.attempts)-1]
		if last.Err != err {
			t.Errorf("%s: the observer got %p (%v), the caller %p (%v)",
				name, last.Err, last.Err, err, err)
		}
		if last.Wait != 0 {
			t.Errorf("%s: the last attempt has a wait of %v, want none", name, last.Wait)
		}
	}
}

// TestTimeoutMatchesDeadlineExceeded: a timeout of the client matches context.DeadlineExceeded,
// although the caller's context has no deadline.
func TestTimeoutMatchesDeadlineExceeded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		err := mergeError(t, newClient(t, hang))
		wantTypes(t, err, "*courier.ConnectionError")
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, which does not match context.DeadlineExceeded", err)
		}
	})
}

// TestDialTimeoutMatchesDeadlineExceeded: nor has the context a deadline where net/http gives up
// dialing.
func TestDialTimeoutMatchesDeadlineExceeded(t *testing.T) {
	t.Parallel()
	pool := courier.NewTransport()
	timedOut := net.Dialer{Deadline: time.Now().Add(-time.Second)}
	pool.DialContext = timedOut.DialContext
	client := newClient(t, nil, courier.WithHTTPClient(&http.Client{Transport: pool}),
		courier.WithBaseURL("http://127.0.0.1:1"), courier.WithMaxRetries(0))
	err := mergeError(t, client)
	wantTypes(t, err, "*courier.ConnectionError")
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v does not match context.DeadlineExceeded", err)
	}
}

// TestUnexpectedResponseError: a 200 whose body does not have the documented shape is an error.
// Its text describes the body, and never repeats it.
func TestUnexpectedResponseError(t *testing.T) {
	t.Parallel()
	const shape = "courier: merge profile: 200, but not the documented response"
	for _, test := range []struct {
		name, body, want string
	}{
		{"HTML", "<html>CANARY</html>", shape + " (text/html, 19 bytes)"},
		{"unfinished", `{"status":"CANARY`, shape + " (text/html, 17 bytes)"},
		{"two values", `{"status":"CANARY"}{}`, shape + " (text/html, 21 bytes)"},
		{"not UTF-8", "{\"status\":\"\xff\"}", shape + " (text/html, 14 bytes)"},
		{"list", `["CANARY"]`, shape + " (text/html, 10 bytes)"},
		{"null", `null`, shape + ": not an object (text/html, 4 bytes)"},
		{"another type", `{"status":["CANARY"]}`,
			shape + ": status has another type (text/html, 21 bytes)"},
		{"another status", `{"status":"CANARY"}`,
			shape + ": status is not SUCCESS (text/html, 19 bytes)"},
		{"error object", `{"message":"CANARY"}`,
			shape + ": an error object (text/html, 20 bytes)"},
		{"empty", "", shape + ": an empty body that is not JSON (no body)"},
		{"long", success + strings.Repeat(" ", 8<<20),
			shape + ": longer than 8 MiB (text/html, 8388608 bytes)"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			header := http.Header{"Content-Type": {"text/html"}, "X-Request-Id": {"req-1"}}
			responder := httpmock.NewStringResponder(200, test.body).HeaderSet(header)
			err := mergeError(t, newClient(t, responder))
			wantTypes(t, err, "*courier.UnexpectedResponseError")
			if err.Error() != test.want {
				t.Errorf("\n got %s\nwant %s", err, test.want)
			}
			got := wantError[*courier.UnexpectedResponseError](t, err)
			if got.Operation != "merge profile" {
				t.Errorf("got the operation %q, want merge profile", got.Operation)
			}
			if got.StatusCode != 200 {
				t.Errorf("got the status %d, want 200", got.StatusCode)
			}
			if diff := cmp.Diff(header, got.Header); diff != "" {
				t.Errorf("the header (-want +got):\n%s", diff)
			}
			wantBody := test.body[:min(len(test.body), 8<<20)]
			if string(got.Body) != wantBody {
				t.Errorf("got a body of %d bytes, %.40q; want %d bytes, %.40q",
					len(got.Body), got.Body, len(wantBody), wantBody)
			}
			if got.Err == nil {
				t.Fatal("got no Err, want one")
			}
			if !errors.Is(err, got.Err) {
				t.Errorf("got %v, which does not match its Err %v", err, got.Err)
			}
			if got.Err.Error() == "" {
				t.Error("got an Err without a text, want one with a text")
			}
		})
	}
}

// TestRetryable: an error is retryable if the client itself would retry the operation after it, as
// long as no limit of retries is reached.
func TestRetryable(t *testing.T) {
	t.Parallel()
	withKey := []courier.RequestOption{courier.WithIdempotencyKey("order-1")}
	for _, test := range []struct {
		name    string
		respond httpmock.Responder
		op      operation
		opts    []courier.RequestOption
		want    bool
	}{
		{"merge, 429", respond(429, ""), mergeProfile, nil, true},
		{"merge, 503", respond(503, ""), mergeProfile, nil, true},
		{"merge, 500", respond(500, ""), mergeProfile, nil, true},
		{"merge, 500 with a key", respond(500, ""), mergeProfile, withKey, false},
		{"merge, 503 with a key", respond(503, ""), mergeProfile, withKey, true},
		{"merge, 409", respond(409, ""), mergeProfile, nil, true},
		{"merge, 400", respond(400, ""), mergeProfile, nil, false},
		{"merge, 401", respond(401, ""), mergeProfile, nil, false},
		{"get, 404", respond(404, ""), getProfile, nil, false},
		{"merge, 302", respond(302, ""), mergeProfile, nil, false},
		{"merge, an invalid shape", respond(200, "[]"), mergeProfile, nil, false},
		{"merge, Retry-After beyond the limit",
			respond(429, "").HeaderSet(http.Header{"Retry-After": {"86400"}}),
			mergeProfile, nil, true},
		{"merge, timed out", hang, mergeProfile, nil, true},
		{"merge, cut off", cutOff(200, `{"stat`), mergeProfile, nil, true},
		{"merge, no connection", refuse, mergeProfile, nil, true},
		{"merge, host not found", fail(errNoSuchHost), mergeProfile, nil, false},
		{"patch, 429", respond(429, ""), patchProfile, nil, true},
		{"patch, 503", respond(503, ""), patchProfile, nil, true},
		{"patch, 500", respond(500, ""), patchProfile, nil, false},
		{"patch, 409", respond(409, ""), patchProfile, nil, false},
		{"patch, timed out", hang, patchProfile, nil, false},
		{"patch, cut off", cutOff(200, `{"stat`), patchProfile, nil, false},
		{"patch, no connection", refuse, patchProfile, nil, true},
		{"patch, host not found", fail(errNoSuchHost), patchProfile, nil, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				client := newClient(t, test.respond, courier.WithMaxRetries(0))
				_, err := test.op.call(t.Context(), client, "user-1", test.opts...)
				if err == nil {
					t.Fatal("got no error, want one")
				}
				wrapped := fmt.Errorf("wrapped: %w", err)
				joined := errors.Join(io.EOF, err)
				for _, e := range []error{err, wrapped, joined} {
					if got := courier.Retryable(e); got != test.want {
						t.Errorf("Retryable(%v) is %t, want %t", e, got, test.want)
					}
				}
			})
		})
	}
}

// TestRetryableInFlight: a call that was canceled in flight is retryable if it is idempotent.
func TestRetryableInFlight(t *testing.T) {
	t.Parallel()
	for _, op := range operations {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(time.Second, cancel)
			_, err := op.call(ctx, newClient(t, hang), "user-1")
			want := op.name != "patch profile" // the only one that is not idempotent
			if got := courier.Retryable(err); got != want {
				t.Errorf("%s: Retryable(%v) is %t, want %t", op.name, err, got, want)
			}
		})
	}
}

func TestRetryableNeverSent(t *testing.T) {
	t.Parallel()
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	client := newClient(t, respond(200, success))
	for _, op := range operations {
		_, err := op.call(canceled, client, "user-1")
		if !courier.Retryable(err) {
			t.Errorf("%s: Retryable(%v) is false, want true", op.name, err)
		}
	}
}

// TestNotRetryable: neither an invalid argument nor an error that is not from a call is retryable.
func TestNotRetryable(t *testing.T) {
	t.Parallel()
	client := newClient(t, respond(200, success))
	_, invalid := client.Profiles.Delete(t.Context(), "")
	for _, err := range []error{
		nil, invalid, fmt.Errorf("wrapped: %w", invalid),
		io.EOF, context.Canceled, context.DeadlineExceeded,
		// Of the caller's own making.
		&courier.RateLimitError{APIError: courier.APIError{StatusCode: 429}},
		&courier.ServerError{APIError: courier.APIError{StatusCode: 503}},
		&courier.ConnectionError{Attempts: 4, Err: errRefused},
		&courier.UnexpectedResponseError{StatusCode: 200},
	} {
		if courier.Retryable(err) {
			t.Errorf("Retryable(%v) is true, want false", err)
		}
	}
}

// logged returns what slog's text handler makes of v.
func logged(v any) string {
	var text strings.Builder
	handler := slog.NewTextHandler(&text, &slog.HandlerOptions{
		ReplaceAttr: func(groups []string, attr slog.Attr) slog.Attr {
			if len(groups) == 0 && attr.Key != "v" { // time, level, and message
				return slog.Attr{}
			}
			return attr
		},
	})
	slog.New(handler).Info("", "v", v)
	return strings.TrimSpace(text.String())
}

func TestErrorsInSlog(t *testing.T) {
	t.Parallel()
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	client := newClient(t, respond(200, success))
	_, errNotSent := merge(canceled, client)
	_, errInvalid := client.Profiles.Delete(t.Context(), "")
	for _, test := range []struct {
		err  error
		want string
	}{
		{
			errNotSent,
			`v.operation="merge profile" ` +
				`v.error="courier: merge profile: nothing was sent: context canceled"`,
		},
		{
			errInvalid,
			`v.field=userID v.reason="the user ID is empty: pass the ID of a user"`,
		},
		{
			mergeError(t, newClient(t, fail(io.EOF))),
			`v.operation="merge profile" v.attempts=4 ` +
				`v.error="courier: merge profile: no response after 4 attempts: EOF"`,
		},
		{
			mergeError(t, newClient(t, respond(200, "null"))),
			`v.operation="merge profile" v.status=200 ` +
				`v.error="courier: merge profile: 200, but not the documented response: ` +
				`not an object (application/json, 4 bytes)"`,
		},
	} {
		if diff := cmp.Diff(test.want, logged(test.err)); diff != "" {
			t.Errorf("a %T in the log (-want +got):\n%s", test.err, diff)
		}
	}
}

func TestErrorsOfStatusInSlog(t *testing.T) {
	t.Parallel()
	for _, status := range []int{302, 400, 401, 403, 404, 409, 413, 429, 503} {
		header := http.Header{"X-Request-Id": {"req-1"}}
		responder := httpmock.NewStringResponder(status, errorBody).HeaderSet(header)
		err := mergeError(t, newClient(t, responder, courier.WithMaxRetries(0)))
		want := fmt.Sprintf(`v.operation="merge profile" v.status=%d v.type=some_error `+
			`v.message="Error Message" v.request_id=req-1 v.attempts=1`, status)
		if status == 429 {
			want += " v.retry_after=0s"
		}
		if diff := cmp.Diff(want, logged(err)); diff != "" {
			t.Errorf("a %T in the log (-want +got):\n%s", err, diff)
		}
	}
}

// TestInterruptedErrorInSlog: the log has the error of the attempt, and what ended the wait after
// it.
func TestInterruptedErrorInSlog(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		wait := courier.WithRetryWait(time.Minute, time.Minute)
		_, err := merge(ctx, newClient(t, respond(503, errorBody), wait))
		want := `v.operation="merge profile" v.status=503 v.type=some_error ` +
			`v.message="Error Message" v.request_id="" v.attempts=1 v.ended="context canceled"`
		if diff := cmp.Diff(want, logged(err)); diff != "" {
			t.Errorf("the log (-want +got):\n%s", diff)
		}
	})
}

// TestLogIsBounded: what a server wrote cannot flood or break a log.
func TestLogIsBounded(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 50_000)
	body := `{"message":"` + strings.Repeat(`m\n`, 300_000) + `","type":"` + long + `"}`
	header := http.Header{"X-Request-Id": {long}}
	err := mergeError(t, newClient(t, respond(400, body).HeaderSet(header)))
	text := logged(err)
	if len(text) > 1000 {
		t.Errorf("the log line has %d bytes, want at most 1000", len(text))
	}
	if strings.Contains(text, `\n`) { // which is how slog writes a line break
		t.Errorf("got a log line with a line break, want none: %.200s", text)
	}
}

// TestErrorValues: a value prints like a pointer to it, in a log too. Callers copy errors, and
// create them in their own tests.
func TestErrorValues(t *testing.T) {
	t.Parallel()
	api := courier.APIError{Operation: "get profile", StatusCode: 404, Message: "no such user"}
	for _, test := range []struct {
		pointer, value any
		want           string
	}{
		{&api, api, "courier: get profile: 404 Not Found: no such user"},
		{&courier.NotFoundError{APIError: api}, courier.NotFoundError{APIError: api},
			"courier: get profile: 404 Not Found: no such user"},
		{&courier.ConnectionError{Operation: "get profile", Attempts: 2, Err: io.EOF},
			courier.ConnectionError{Operation: "get profile", Attempts: 2, Err: io.EOF},
			"courier: get profile: no response after 2 attempts: EOF"},
		{&courier.UnexpectedResponseError{Operation: "get profile", StatusCode: 200, Err: io.EOF},
			courier.UnexpectedResponseError{Operation: "get profile", StatusCode: 200, Err: io.EOF},
			"courier: get profile: 200, but not the documented response (no body)"},
	} {
		for _, v := range []any{test.pointer, test.value} {
			for _, verb := range []string{"%v", "%+v", "%s"} {
				if got := fmt.Sprintf(verb, v); got != test.want {
					t.Errorf("%s of a %T is %q, want %q", verb, v, got, test.want)
				}
			}
			if text := logged(v); !strings.HasPrefix(text, `v.operation="get profile"`) {
				t.Errorf("a %T in the log is %s, want its fields", v, text)
			}
		}
	}
}

// TestEmptyErrors: the zero value of each error type has a text, and can be logged and matched.
func TestEmptyErrors(t *testing.T) {
	t.Parallel()
	for _, err := range []error{
		&courier.APIError{}, &courier.InvalidRequestError{}, &courier.AuthenticationError{},
		&courier.PermissionError{}, &courier.NotFoundError{}, &courier.ConflictError{},
		&courier.PayloadTooLargeError{}, &courier.RateLimitError{}, &courier.ServerError{},
		&courier.ConnectionError{}, &courier.UnexpectedResponseError{}, &courier.ValidationError{},
	} {
		text := err.Error()
		if text == "" {
			t.Errorf("an empty %T has no text, want one", err)
		}
		notPrintable := func(c rune) bool { return !unicode.IsPrint(c) }
		if strings.ContainsFunc(text, notPrintable) {
			t.Errorf("an empty %T is %q, want only printable characters", err, text)
		}
		// slog writes a panic of LogValue into the log.
		if line := logged(err); strings.Contains(strings.ToLower(line), "panic") {
			t.Errorf("an empty %T in the log is %s, want no panic", err, line)
		}
		if errors.Is(err, io.EOF) {
			t.Errorf("an empty %T matches io.EOF, want no match", err)
		}
	}
}

// TestAPIErrorIsNotACopy: the *APIError that errors.As finds points into the precise error.
func TestAPIErrorIsNotACopy(t *testing.T) {
	t.Parallel()
	precise := &courier.NotFoundError{APIError: courier.APIError{StatusCode: 404}}
	found := wantError[*courier.APIError](t, fmt.Errorf("wrapped: %w", precise))
	if found != &precise.APIError {
		t.Errorf("got the *APIError %p, want %p", found, &precise.APIError)
	}
}
