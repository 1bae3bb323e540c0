package courier_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"unicode/utf8"

	courier "github.com/courier-profiles/courier-go"
	"github.com/google/go-cmp/cmp"
	"github.com/jarcoal/httpmock"
)

// TestRetries: which policy of internal/transport, where the rules are tested, each operation
// has. All attempts of a call send the same.
func TestRetries(t *testing.T) {
	t.Parallel()
	const retried, withoutKey, notPatch, never = "retried", "without a key", "not a patch", "never"
	for _, test := range []struct {
		name    string
		respond httpmock.Responder
		want    string
	}{
		{"429", respond(429, ""), retried},
		{"503", respond(503, ""), retried},
		{"no connection", refuse, retried},
		{"500", respond(500, ""), withoutKey},
		{"409", respond(409, ""), notPatch},
		{"cut off", cutOff(200, success[:5]), notPatch},
		{"timed out", hang, notPatch},
		{"400", respond(400, ""), never},
		{"host not found", fail(errNoSuchHost), never},
		{"another shape", respond(200, "[]"), never},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			for _, op := range operations {
				keys := []string{""}
				if op.takesKey {
					keys = append(keys, "order-1")
				}
				for _, key := range keys {
					attempts := 1
					patch := op.name == "patch profile"
					if test.want == retried ||
						test.want == notPatch && !patch ||
						test.want == withoutKey && !patch && key == "" {
						attempts = 3
					}
					synctest.Test(t, func(t *testing.T) {
						wantSent(t, op, test.respond, key, attempts)
					})
				}
			}
		})
	}
}

// wantSent fails unless a call with that idempotency key, if there is one, sends the same
// request so many times.
func wantSent(
	t *testing.T, op operation, respond httpmock.Responder, key string, attempts int,
) {
	t.Helper()
	sent := record(respond)
	client := newClient(t, sent.respond, courier.WithMaxRetries(2))
	var opts []courier.RequestOption
	if key != "" {
		opts = append(opts, courier.WithIdempotencyKey(key))
	}
	if resp, err := op.call(t.Context(), client, "user-1", opts...); err == nil {
		t.Errorf("%s: got %+v, want an error", op.name, resp)
	}
	requests := sent.requests()
	if len(requests) != attempts {
		t.Errorf("%s with the key %q: %d attempts, want %d", op.name, key, len(requests), attempts)
	}
	for _, got := range requests {
		if diff := cmp.Diff(requests[0], got); diff != "" {
			t.Errorf("%s: an attempt differs (-first +later):\n%s", op.name, diff)
		}
	}
	if got := sent.last(t).Header.Get("Idempotency-Key"); got != key {
		t.Errorf("%s: sent the key %q, want %q", op.name, got, key)
	}
}

// TestDeleteAfterLostResponse: after a retry, a 404 means that the profile is deleted.
func TestDeleteAfterLostResponse(t *testing.T) {
	t.Parallel()
	client := newClient(t, fail(io.EOF).Then(respond(404, "")))
	_, err := client.Profiles.Delete(t.Context(), "user-1")
	missing := wantError[*courier.NotFoundError](t, err)
	if missing.Attempts != 2 {
		t.Errorf("got %d attempts, want 2", missing.Attempts)
	}

	client = newClient(t, respond(404, ""))
	_, err = client.Profiles.Delete(t.Context(), "user-1")
	missing = wantError[*courier.NotFoundError](t, err)
	if missing.Attempts != 1 {
		t.Errorf("without a retry: got %d attempts, want 1", missing.Attempts)
	}
}

// TestBodyRefused: what cannot be sent is found before anything is sent.
func TestBodyRefused(t *testing.T) {
	t.Parallel()
	sent := record(respond(200, success))
	profiles := newClient(t, sent.respond).Profiles
	profile := courier.Profile{Email: courier.Set("not UTF-8: \xff")}
	_, err := profiles.Merge(t.Context(), "user-1", profile)
	wantInvalid(t, err, "profile.email")
	_, err = profiles.Replace(t.Context(), "user-1", profile)
	wantInvalid(t, err, "profile.email")
	_, err = profiles.Patch(t.Context(), "user-1", []courier.PatchOp{{}})
	wantInvalid(t, err, "patch[0]")
	if n := len(sent.requests()); n != 0 {
		t.Errorf("sent %d requests, want none", n)
	}
}

// TestGet: profile may be null, which is an empty one, and preferences may be absent.
func TestGet(t *testing.T) {
	t.Parallel()
	email := courier.Profile{Email: courier.Set("a@example.com")}
	for body, want := range map[string]courier.GetResult{
		`{"profile":{"email":"a@example.com"}}`:                        {Profile: email},
		`{"preferences":null,"profile":{"email":"a@example.com"}}`:     {Profile: email},
		`{"x":{"profile":1},"profile":{"email":"a@example.com"}}`:      {Profile: email},
		`{"profile":5,"profile":{"email":"a@example.com"}}`:            {Profile: email},
		`{"profile":{"name":"x"},"profile":{"email":"a@example.com"}}`: {Profile: email},
		"\ufeff" + `{"profile":{"email":"a@example.com"}}`:             {Profile: email},
		`{"profile":null}`:                  {},
		`{"profile":{}}`:                    {},
		`{"profile":{},"PREFERENCES":"x"}`:  {},
		`{"profile":{},"profile":null}`:     {},
		`{"profile":null,"preferences":{}}`: {Preferences: &courier.Preferences{}},
		`{"profile":{"profile":"https://example.com"}}`: {
			Profile: courier.Profile{ProfileURL: courier.Set("https://example.com")},
		},
		`{"profile":{},"preferences":{"notifications":{"n":{"status":"OPTED_OUT"}}}}`: {
			Preferences: &courier.Preferences{
				Notifications: map[string]courier.Preference{"n": {Status: "OPTED_OUT"}},
			},
		},
	} {
		got, err := newClient(t, respond(200, body)).Profiles.Get(t.Context(), "user-1")
		if err != nil {
			t.Errorf("%s: %v", body, err)
			continue
		}
		got.Response = courier.Response{}
		if diff := cmp.Diff(&want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", body, diff)
		}
	}
}

// TestGetRefuses: a response without a profile must not look like an empty profile, or get,
// change, replace would wipe it.
func TestGetRefuses(t *testing.T) {
	t.Parallel()
	for _, body := range []string{
		``, ` `, "\ufeff", `null`, `5`, `[]`, `[{"profile":{}}]`, `<html>`,
		`{}`, `{"status":"SUCCESS"}`, `{"Profile":{}}`, `{"profiles":{}}`, `{"preferences":{}}`,
		`{"message":"Forbidden"}`,
		`{"profile":5}`, `{"profile":false}`, `{"profile":"x"}`, `{"profile":[]}`,
		`{"profile":{},"profile":"x"}`, `{"profile":{"\ud800":1}}`,
		`{"profile":{},"preferences":5}`, `{"profile":{},"preferences":"x"}`,
		`{"profile":{},"preferences":[]}`,
		`{"profile":{}`, `{"profile":{"email":"a`, `{"profile":{"email":}}`, `{"profile":{},}`,
		`{"profile":{"n":01}}`, `{"profile":{"s":"\x"}}`, `{"profile":{}} x`,
	} {
		got, err := newClient(t, respond(200, body)).Profiles.Get(t.Context(), "user-1")
		wantUnexpected(t, err, "get profile", body)
		if got != nil {
			t.Errorf("%s: got %+v along with the error", body, got)
		}
	}
}

// FuzzResponse: whatever comes back, a call does not panic, does not lose the status, and prints
// errors on one line.
func FuzzResponse(f *testing.F) {
	statuses := []uint16{200, 204, 301, 304, 400, 401, 404, 409, 429, 500, 503, 599, 999, 0}
	bodies := []string{
		"", " \r\n", "null", "[]", "5", `"x"`, "{}", "\ufeff" + success, success + "x", "<html>",
		`{"status":null}`, `{"status":5}`, `{"status":"\ud800"}`, `{"status":"SUCCESS"`,
		errorBody, `{"Message":"Forbidden"}`, `{"message":5,"type":[]}`, `{"message":"Err`,
		"{\"message\":\"\xff\"}", "\x00\x1b[31m\xff\u2028\u202e!\x7f", strings.Repeat("[", 10_001),
		`{"profile":{}}`, `{"profile":null}`, `{"profile":5}`, `{"profile":{"\ud800":1}}`,
		`{"profile":{"custom":{"\ud800":1e400},"email_verified":"true","n":1.0}}`,
		`{"profile":{},"preferences":{"categories":{"a":{"rules":[{"until":5}]}},"x":1}}`,
		`{"profile":{},"preferences":5}`, `{"results":null}`, `{"results":[5]}`,
		`{"paging":{"cursor":"c","more":true},"results":[{"id":"news","created":"x"}]}`,
		`{"results":[],"paging":{"cursor":5}}`, `{"results":[],"paging":{"more":"true"}}`,
	}
	for i, body := range bodies {
		for op := range operations {
			f.Add(uint8(op), uint16(200), false, body)
		}
		f.Add(uint8(i), statuses[i%len(statuses)], i%5 == 0, body)
	}
	var response http.Response
	client := newClient(f, func(*http.Request) (*http.Response, error) {
		return &response, nil
	}, courier.WithMaxRetries(0))
	f.Fuzz(func(t *testing.T, n uint8, status uint16, cut bool, body string) {
		op, code := operations[int(n)%len(operations)], int(status)%1000
		if code/100 == 1 {
			return // never the last response of a request
		}
		var reader io.Reader = strings.NewReader(body)
		if cut {
			reader = io.MultiReader(reader, iotest.ErrReader(io.ErrUnexpectedEOF))
		}
		response = http.Response{
			StatusCode: code, Body: io.NopCloser(reader), Header: http.Header{},
		}
		resp, err := op.call(t.Context(), client, "user-1")
		switch {
		case code/100 != 2:
			if got := wantError[*courier.APIError](t, err); got.StatusCode != code {
				t.Errorf("%d: got the status %d", code, got.StatusCode)
			}
		case cut:
			wantError[*courier.ConnectionError](t, err)
		case err != nil:
			got := wantError[*courier.UnexpectedResponseError](t, err)
			if string(got.Body) != body {
				t.Errorf("got the body %q, want %q", got.Body, body)
			}
		case resp.StatusCode != code:
			t.Errorf("got the status %d, want %d", resp.StatusCode, code)
		}
		if err == nil {
			return
		}
		text := err.Error()
		if resp != nil {
			t.Errorf("got %+v along with %v", resp, err)
		}
		if !strings.HasPrefix(text, "courier: "+op.name+": ") {
			t.Errorf("the error does not begin with the operation: %q", text)
		}
		if !utf8.ValidString(text) || strings.ContainsAny(text, "\r\n\x00\x1b\u2028") {
			t.Errorf("the error is not one printable line: %q", text)
		}
	})
}

// TestResponseWins: if the context ends just as a complete, final response arrives.
func TestResponseWins(t *testing.T) {
	t.Parallel()
	for _, op := range operations {
		ctx, cancel := context.WithCancel(t.Context())
		client := newClient(t, func(req *http.Request) (*http.Response, error) {
			cancel()
			return respond(200, op.success)(req)
		})
		if _, err := op.call(ctx, client, "user-1"); err != nil {
			t.Errorf("%s: %v, want the response", op.name, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	_, err := merge(ctx, newClient(t, func(req *http.Request) (*http.Response, error) {
		cancel()
		return respond(400, errorBody)(req)
	}))
	wantTypes(t, err, "*courier.InvalidRequestError", "*courier.APIError")
	if errors.Is(err, context.Canceled) {
		t.Errorf("%v matches context.Canceled, want the response alone", err)
	}
}
