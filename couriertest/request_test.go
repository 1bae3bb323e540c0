package couriertest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"testing"

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
	send(h, "POST", "/profiles/a%2Fb", `{"profile":{"n":1.10}}`, "X-Mine", "1")
	send(h, "POST", "/profiles/u", `{"profile":{}}`)
	send(h, "GET", "/profiles/u", "")
	send(h, "PUT", "/profiles/u", `not JSON`)
	send(h, "PATCH", "/profiles/u", `{"patch":[]}`)
	send(h, "DELETE", "/profiles/u", "")
	send(h, "GET", "/profiles/u/lists?cursor=x&cursor=y", "")
	send(h, "POST", "/profiles/u/lists", `{"lists":[{"listId":"l"}]}`)
	send(h, "DELETE", "/profiles/u/lists", "", "Authorization", "")
	send(h, "PUT", "/profiles/u/lists", "")
	send(h, "GET", "/other/u", "")

	want := []Request{
		{Operation: "merge profile", Method: "POST", Path: "/profiles/a%2Fb", UserID: "a/b", Status: 429,
			Body: []byte(`{"profile":{"n":1.10}}`), JSON: map[string]any{"profile": map[string]any{"n": json.Number("1.10")}}},
		{Operation: "merge profile", Method: "POST", Path: "/profiles/u", UserID: "u", Status: 200,
			Body: []byte(`{"profile":{}}`), JSON: map[string]any{"profile": map[string]any{}}},
		{Operation: "get profile", Method: "GET", Path: "/profiles/u", UserID: "u", Status: 200},
		{Operation: "replace profile", Method: "PUT", Path: "/profiles/u", UserID: "u", Status: 400, Body: []byte(`not JSON`)},
		{Operation: "patch profile", Method: "PATCH", Path: "/profiles/u", UserID: "u", Status: 204,
			Body: []byte(`{"patch":[]}`), JSON: map[string]any{"patch": []any{}}},
		{Operation: "delete profile", Method: "DELETE", Path: "/profiles/u", UserID: "u", Status: 204},
		{Operation: "list subscriptions", Method: "GET", Path: "/profiles/u/lists", UserID: "u", Status: 400,
			Query: url.Values{"cursor": {"x", "y"}}},
		{Operation: "subscribe", Method: "POST", Path: "/profiles/u/lists", UserID: "u", Status: 200,
			Body: []byte(`{"lists":[{"listId":"l"}]}`), JSON: map[string]any{"lists": []any{map[string]any{"listId": "l"}}}},
		{Operation: "unsubscribe all", Method: "DELETE", Path: "/profiles/u/lists", UserID: "u", Status: 401},
		{Method: "PUT", Path: "/profiles/u/lists", UserID: "u", Status: 405},
		{Method: "GET", Path: "/other/u", Status: 404},
	}
	got := h.Requests()
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty(), cmpopts.IgnoreFields(Request{}, "Header")); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	wantHeader := http.Header{"X-Mine": {"1"}, "Authorization": {"Bearer " + DefaultAPIKey}}
	if diff := cmp.Diff(wantHeader, got[0].Header); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
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
		Operation: "merge profile", Method: "POST", Path: "/profiles/u", UserID: "u", Status: 200,
		Query: url.Values{"a": {"b"}}, Header: http.Header{"X-Mine": {"1"}, "Authorization": {"Bearer " + DefaultAPIKey}},
		Body: []byte(`{"profile":{}}`), JSON: map[string]any{"profile": map[string]any{}},
	}
	if diff := cmp.Diff(want, h.Requests()[0]); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestMaxRequests(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		max  int
		want []string
	}{
		{0, []string{"/profiles/a 429", "/profiles/b 200", "/profiles/c 404"}},
		{2, []string{"/profiles/b 200", "/profiles/c 404"}},
		{-1, nil},
	} {
		h := NewHandler()
		h.MaxRequests = test.max
		h.Fail(Fault{Status: 429})
		send(h, "POST", "/profiles/a", `{"profile":{}}`)
		send(h, "POST", "/profiles/b", `{"profile":{}}`)
		w := send(h, "GET", "/profiles/c", "")
		var got []string
		for _, r := range h.Requests() {
			got = append(got, fmt.Sprint(r.Path, " ", r.Status))
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("MaxRequests %d: -want +got\n%s", test.max, diff)
		}
		if got, want := w.Header().Get("X-Request-Id"), "request-3"; got != want {
			t.Errorf("MaxRequests %d: the third request is %q, want %q", test.max, got, want)
		}
	}
}
