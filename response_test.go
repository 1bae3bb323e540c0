package courier_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	courier "github.com/courier-profiles/courier-go"
	"github.com/google/go-cmp/cmp"
	"github.com/jarcoal/httpmock"
)

// writes are the operations whose response is a Result.
var writes = []operation{
	mergeProfile, replaceProfile, patchProfile, deleteProfile, subscribe, unsubscribeAll,
}

// TestWriteAccepts: what Courier documents for a write.
func TestWriteAccepts(t *testing.T) {
	t.Parallel()
	const json, bom = "application/json", "\ufeff"
	for _, test := range []struct {
		name        string
		status      int
		contentType string
		body        string
		wantStatus  string
	}{
		{"SUCCESS", 200, json, success, "SUCCESS"},
		{"202", 202, json, success, "SUCCESS"},
		{"204 without a body", 204, "", "", ""},
		{"204 of a gateway", 204, "text/html", "", ""},
		{"204 with a body", 204, json, success, "SUCCESS"},
		{"no body, JSON", 200, json, "", ""},
		{"no body, JSON with a charset", 200, "application/json; charset=utf-8", "", ""},
		{"no body, another JSON", 200, "application/vnd.courier+json", "", ""},
		{"no body, no content type", 200, "", "", ""},
		{"white space", 200, json, " \r\n", ""},
		{"BOM alone", 200, json, bom, ""},
		{"BOM", 200, json, bom + success, "SUCCESS"},
		{"BOM and white space", 200, json, bom + " \n" + success + "\n", "SUCCESS"},
		{"SUCCESS as text/html", 200, "text/html", success, "SUCCESS"},
		{"empty object", 200, json, "{}", ""},
		{"status null", 200, json, `{"status":null}`, ""},
		{"other members", 200, json, `{"x":[{"status":5}],"Status":"x","\ud800":1}`, ""},
		{"SUCCESS with a message", 200, json, `{"status":"SUCCESS","message":"queued"}`, "SUCCESS"},
		{"null members of an error", 200, json, `{"message":null,"type":null,"error":null}`, ""},
		{"status twice", 200, json, `{"status":5,"status":"SUCCESS"}`, "SUCCESS"},
		{"status twice, null last", 200, json, `{"status":"ERROR","status":null}`, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			respond := httpmock.NewStringResponder(test.status, test.body).
				HeaderSet(http.Header{"Content-Type": {test.contentType}})
			if test.contentType == "" {
				respond = httpmock.NewStringResponder(test.status, test.body)
			}
			client := newClient(t, respond)
			for _, op := range writes {
				if _, err := op.call(t.Context(), client, "user-1"); err != nil {
					t.Errorf("%s: %v", op.name, err)
				}
			}
			result, err := client.Profiles.Merge(t.Context(), "user-1", courier.Profile{})
			if err != nil {
				t.Fatal(err)
			}
			if result.Status != test.wantStatus {
				t.Errorf("got the status %q, want %q", result.Status, test.wantStatus)
			}
		})
	}
}

// TestWriteRefuses: what looks like a success by its status alone.
func TestWriteRefuses(t *testing.T) {
	t.Parallel()
	const json, bom = "application/json", "\ufeff"
	for _, test := range []struct{ name, contentType, body string }{
		{"status ERROR", json, `{"status":"ERROR"}`},
		{"status success", json, `{"status":"success"}`},
		{"status empty", json, `{"status":""}`},
		{"status of another type", json, `{"status":5}`},
		{"status cut inside an emoji", json, `{"status":"\ud800"}`},
		{"status twice", json, `{"status":"SUCCESS","status":"ERROR"}`},
		{"error object of Courier", json, `{"message":"Forbidden","type":"authorization_error"}`},
		{"message alone", json, `{"message":"Forbidden"}`},
		{"type alone", json, `{"type":"api_error"}`},
		{"error alone", json, `{"error":"blocked"}`},
		{"error of Amazon's gateway", json, `{"Message":"Forbidden"}`},
		{"error of another type", json, `{"error":{"code":7}}`},
		{"status null and an error", json, `{"status":null,"error":"blocked"}`},
		{"no body, HTML", "text/html", ""},
		{"no body, plain text", "text/plain; charset=utf-8", ""},
		{"no body, unreadable type", "/", ""},
		{"white space, HTML", "text/html", "\n"},
		{"HTML", "text/html", "<html>"},
		{"HTML as JSON", json, "<html>"},
		{"null", json, "null"},
		{"number", json, "5"},
		{"string", json, `"SUCCESS"`},
		{"list", json, "[" + success + "]"},
		{"unfinished", json, success[:len(success)-1]},
		{"two objects", json, success + success},
		{"text behind", json, success + bom},
		{"two BOMs", json, bom + bom + success},
		{"BOM behind white space", json, " " + bom + success},
		{"not UTF-8", json, "{\"x\":\"\xff\"}"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			client := newClient(t, httpmock.NewStringResponder(200, test.body).
				HeaderSet(http.Header{"Content-Type": {test.contentType}}))
			for _, op := range writes {
				resp, err := op.call(t.Context(), client, "user-1")
				wantUnexpected(t, err, op.name, test.body)
				if resp != nil {
					t.Errorf("%s: got %+v along with the error", op.name, resp)
				}
			}
		})
	}
}

// wantUnexpected fails unless err is an UnexpectedResponseError of a 200 with that body.
func wantUnexpected(t *testing.T, err error, operation, body string) {
	t.Helper()
	got, ok := errors.AsType[*courier.UnexpectedResponseError](err)
	if !ok {
		t.Errorf("%s of %.100q: got %v, want an *UnexpectedResponseError", operation, body, err)
		return
	}
	if got.Operation != operation {
		t.Errorf("got the operation %q, want %q", got.Operation, operation)
	}
	if got.StatusCode != 200 {
		t.Errorf("%s: got the status %d, want 200", operation, got.StatusCode)
	}
	if string(got.Body) != body {
		t.Errorf("%s: got the body %.100q, want %.100q", operation, got.Body, body)
	}
	if len(got.Header) == 0 {
		t.Errorf("%s: got no header", operation)
	}
}

// TestResponse: a result has the response, with the request ID from either of two headers, and
// how often the call was sent. So has an error.
func TestResponse(t *testing.T) {
	t.Parallel()
	unavailable := respond(503, "")
	for _, test := range []struct {
		header http.Header
		wantID string
	}{
		{http.Header{"X-More": {"more"}}, ""},
		{http.Header{"X-Request-Id": {"courier"}}, "courier"},
		{http.Header{"X-Amzn-Requestid": {"amazon"}}, "amazon"},
		{http.Header{"X-Amzn-Requestid": {"amazon"}, "X-Request-Id": {"courier"}}, "courier"},
	} {
		for _, op := range operations {
			last := httpmock.NewStringResponder(299, op.success).HeaderSet(test.header)
			client := newClient(t, unavailable.Then(unavailable).Then(last))
			got, err := op.call(t.Context(), client, "user-1")
			if err != nil {
				t.Errorf("%s: %v", op.name, err)
			}
			want := &courier.Response{
				StatusCode: 299, Header: test.header, RequestID: test.wantID, Attempts: 3,
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", op.name, diff)
			}
		}
		last := httpmock.NewStringResponder(404, "").HeaderSet(test.header)
		err := mergeError(t, newClient(t, unavailable.Then(unavailable).Then(last)))
		missing := wantError[*courier.NotFoundError](t, err)
		if missing.RequestID != test.wantID {
			t.Errorf("the error has the request ID %q, want %q", missing.RequestID, test.wantID)
		}
		if missing.Attempts != 3 {
			t.Errorf("the error has %d attempts, want 3", missing.Attempts)
		}
	}
}

// TestRoundTripperWithoutResponse: a RoundTripper that breaks its contract.
func TestRoundTripperWithoutResponse(t *testing.T) {
	t.Parallel()
	client := newClient(t, func(*http.Request) (*http.Response, error) { return nil, nil })
	err := mergeError(t, client)
	wantTypes(t, err, "*courier.ConnectionError")
	if !strings.Contains(err.Error(), "RoundTripper") {
		t.Errorf("got %v, want the RoundTripper to be named", err)
	}
}

func TestAttemptLogValue(t *testing.T) {
	t.Parallel()
	err := &courier.ConnectionError{Operation: "get profile", Attempts: 2, Err: io.EOF}
	for _, test := range []struct {
		attempt courier.Attempt
		want    string
	}{
		{courier.Attempt{
			Operation: "get profile", Number: 2, Err: err,
			Duration: 3 * time.Second, Wait: time.Second,
		}, `v.operation="get profile" v.attempt=2 v.status=0 v.duration=3s v.wait=1s ` +
			`v.reused=false v.error.operation="get profile" v.error.attempts=2 ` +
			`v.error.error="courier: get profile: no response after 2 attempts: EOF"`},
		{courier.Attempt{
			Operation: "get profile", Number: 1, StatusCode: 200, Duration: time.Second,
			Reused: true,
		}, `v.operation="get profile" v.attempt=1 v.status=200 v.duration=1s v.wait=0s ` +
			`v.reused=true`},
	} {
		if diff := cmp.Diff(test.want, logged(test.attempt)); diff != "" {
			t.Errorf("the log (-want +got):\n%s", diff)
		}
	}
}

// TestGetResultLogValue: no header, and the tokens of the profile are redacted.
func TestGetResultLogValue(t *testing.T) {
	t.Parallel()
	body := `{"profile":{"email":"a@example.com","firebaseToken":"CANARY"},"preferences":null}`
	header := http.Header{"X-Request-Id": {"req-1"}, "X-Secret": {"CANARY"}}
	client := newClient(t, httpmock.NewStringResponder(200, body).HeaderSet(header))
	result, err := client.Profiles.Get(t.Context(), "user-1")
	if err != nil {
		t.Fatal(err)
	}
	text := logged(result)
	for _, want := range []string{
		"a@example.com", "v.status=200", "v.request_id=req-1", "v.attempts=1",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the log has no %s: %s", want, text)
		}
	}
	if strings.Contains(text, "CANARY") {
		t.Errorf("the log shows a token or the header: %s", text)
	}
}
