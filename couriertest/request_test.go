package couriertest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestRequests(t *testing.T) {
	t.Parallel()
	h := NewHandler()
	if got := h.Requests(); len(got) != 0 {
		t.Errorf("a new handler has requests: %v", got)
	}
	h.Fail(Fault{Status: 429})
	send(h, "POST", "/profiles/a%2Fb", `{"profile":{}}`)
	send(h, "POST", "/profiles/u", `{"profile":{}}`)
	send(h, "GET", "/profiles/u", "")
	send(h, "PUT", "/profiles/u", `{}`)
	send(h, "PATCH", "/profiles/u", `{"patch":[]}`)
	send(h, "DELETE", "/profiles/u", "")
	send(h, "GET", "/profiles/u/lists?cursor=x&cursor=y", "")
	send(h, "POST", "/profiles/u/lists", listBody("l"))
	send(h, "DELETE", "/profiles/u/lists", "", "Authorization", "")
	send(h, "PUT", "/profiles/u/lists", "")
	send(h, "GET", "/other/u", "")

	const profile, lists = "/profiles/u", "/profiles/u/lists"
	query := url.Values{"cursor": {"x", "y"}}
	want := []Request{
		{Operation: "merge profile", Method: "POST", Path: "/profiles/a%2Fb", UserID: "a/b",
			Status: 429},
		{Operation: "merge profile", Method: "POST", Path: profile, UserID: "u", Status: 200},
		{Operation: "get profile", Method: "GET", Path: profile, UserID: "u", Status: 200},
		{Operation: "replace profile", Method: "PUT", Path: profile, UserID: "u", Status: 400},
		{Operation: "patch profile", Method: "PATCH", Path: profile, UserID: "u", Status: 204},
		{Operation: "delete profile", Method: "DELETE", Path: profile, UserID: "u", Status: 204},
		{Operation: "list subscriptions", Method: "GET", Path: lists, UserID: "u", Query: query,
			Status: 400},
		{Operation: "subscribe", Method: "POST", Path: lists, UserID: "u", Status: 200},
		{Operation: "unsubscribe all", Method: "DELETE", Path: lists, UserID: "u", Status: 401},
		{Method: "PUT", Path: lists, UserID: "u", Status: 405},
		{Method: "GET", Path: "/other/u", Status: 404},
	}
	other := cmpopts.IgnoreFields(Request{}, "Header", "Body", "JSON")
	if diff := cmp.Diff(want, h.Requests(), cmpopts.EquateEmpty(), other); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}

func TestRequestBody(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, body string
		json       any
	}{
		{"object", `{"n": 1.10, "a":[null]}`,
			map[string]any{"n": json.Number("1.10"), "a": []any{nil}}},
		{"half a surrogate pair", `["\ud800"]`, []any{"\ufffd"}},
		{"null", `null`, nil},
		{"not JSON", `{"a":1} 2`, nil},
		{"not UTF-8", "\"\xff\"", nil},
		{"empty", ``, nil},
	}
	for _, test := range tests {
		h := NewHandler()
		send(h, "PUT", "/profiles/u", test.body)
		got := h.Requests()[0]
		if string(got.Body) != test.body {
			t.Errorf("%s: body %q, want %q", test.name, got.Body, test.body)
		}
		if diff := cmp.Diff(test.json, got.JSON); diff != "" {
			t.Errorf("%s: JSON (-want +got):\n%s", test.name, diff)
		}
	}
}

func TestRequestInProgress(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := NewHandler()
		h.Fail(Fault{Delay: time.Second})
		done := make(chan struct{})
		go func() {
			defer close(done)
			send(h, "DELETE", "/profiles/u", "")
		}()
		synctest.Wait()
		if got := h.Requests()[0].Status; got != 0 {
			t.Errorf("status %d of a request without a response, want 0", got)
		}
		<-done
		if got := h.Requests()[0].Status; got != 204 {
			t.Errorf("status %d after the response, want 204", got)
		}
	})
}

func TestRequestsAreCopies(t *testing.T) {
	t.Parallel()
	h := NewHandler()
	send(h, "POST", "/profiles/u?a=b", `{"profile":{}}`, "X-Mine", "1")
	got := h.Requests()[0]
	got.Body[0] = 'x'
	got.Header["X-Mine"][0] = "2"
	got.Query["a"][0] = "c"
	got.JSON.(map[string]any)["profile"] = 1

	want := Request{
		Operation: "merge profile",
		Method:    "POST",
		Path:      "/profiles/u",
		UserID:    "u",
		Query:     url.Values{"a": {"b"}},
		Header:    http.Header{"X-Mine": {"1"}, "Authorization": {"Bearer " + DefaultAPIKey}},
		Body:      []byte(`{"profile":{}}`),
		JSON:      map[string]any{"profile": map[string]any{}},
		Status:    200,
	}
	if diff := cmp.Diff(want, h.Requests()[0]); diff != "" {
		t.Errorf("request (-want +got):\n%s", diff)
	}
}

func TestMaxRequests(t *testing.T) {
	t.Parallel()
	tests := []struct {
		max  int
		want []string
	}{
		{0, []string{"/profiles/a 429", "/profiles/b 200", "/profiles/c 404"}},
		{2, []string{"/profiles/b 200", "/profiles/c 404"}},
		{-1, nil},
	}
	for _, test := range tests {
		h := NewHandler()
		h.MaxRequests = test.max
		h.Fail(Fault{Status: 429})
		send(h, "POST", "/profiles/a", `{"profile":{}}`)
		send(h, "POST", "/profiles/b", `{"profile":{}}`)
		send(h, "GET", "/profiles/c", "")
		var got []string
		for _, r := range h.Requests() {
			got = append(got, fmt.Sprint(r.Path, " ", r.Status))
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("MaxRequests %d: requests (-want +got):\n%s", test.max, diff)
		}
	}
}
