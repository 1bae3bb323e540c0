package courier_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	courier "github.com/courier-profiles/courier-go"
	"github.com/google/go-cmp/cmp"
	"github.com/jarcoal/httpmock"
)

func TestPage(t *testing.T) {
	t.Parallel()
	one := []courier.Subscription{{ID: "a"}}
	for body, want := range map[string]courier.SubscriptionPage{
		`{"paging":{"cursor":"c==","more":true},"results":[{"id":"a"}]}`: {
			Subscriptions: one, Cursor: "c==", More: true,
		},
		`{"results":[{"id":"a"}],"paging":{"cursor":null,"more":null}}`: {Subscriptions: one},
		`{"results":[{"id":"a"}],"paging":{"x":[{}]}}`:                  {Subscriptions: one},
		`{"results":[{"id":"a"}],"paging":null}`:                        {Subscriptions: one},
		`{"results":[{"id":"a"}],"x":{"more":true}}`:                    {Subscriptions: one},
		`{"results":5,"results":[{"id":"a"}],"Results":5}`:              {Subscriptions: one},
		`{"results":[]}`:   {Subscriptions: []courier.Subscription{}},
		`{"results":null}`: {},
		`{"results":null,"paging":{"more":true,"cursor":"c"}}`: {Cursor: "c", More: true},
	} {
		page, err := newClient(t, respond(200, body)).Profiles.Lists.Page(t.Context(), "user-1", "")
		if err != nil {
			t.Errorf("%s: %v", body, err)
			continue
		}
		if !cmp.Equal(page, page) {
			t.Errorf("%s: the page is not equal to itself", body)
		}
		got := exported(*page)
		for _, key := range []string{"Response", "StatusCode", "Header", "RequestID", "Attempts"} {
			delete(got, key)
		}
		wanted := map[string]any{
			"Subscriptions": want.Subscriptions, "Cursor": want.Cursor, "More": want.More,
		}
		if diff := cmp.Diff(wanted, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", body, diff)
		}
	}
}

// TestPageRefuses: where results is missing altogether, the page must not look empty.
func TestPageRefuses(t *testing.T) {
	t.Parallel()
	for _, body := range []string{
		``, `null`, `{}`, `{"paging":{"more":false}}`, `{"Results":[]}`, success,
		`{"results":{}}`, `{"results":"x"}`, `{"results":[1]}`, `{"results":[null]}`,
		`{"results":[[]]}`, `{"results":[{"id":"a"},"b"]}`, `{"results":[],"results":"x"}`,
		`{"results":[],"paging":[]}`, `{"results":[],"paging":"x"}`,
		`{"results":[],"paging":{"more":"true"}}`, `{"results":[],"paging":{"more":1}}`,
		`{"results":[],"paging":{"cursor":5}}`,
		`{"results":[],"paging":{"cursor":"\ud800","more":true}}`,
		`{"results":[{"id":"a"}`, `{"results":[{},]}`,
		`{"results":[{"x":` + strings.Repeat("[", 20_000) + `]}`,
	} {
		client := newClient(t, respond(200, body))
		page, err := client.Profiles.Lists.Page(t.Context(), "user-1", "")
		wantUnexpected(t, err, "list subscriptions", body)
		if page != nil {
			t.Errorf("%.100s: got %+v along with the error", body, page)
		}
		_, err = readAll(t, client)
		wantUnexpected(t, err, "list subscriptions", body)
	}
}

// readAll returns the IDs that All yields, and its error, after which it must yield nothing.
func readAll(t *testing.T, client *courier.Client) (ids []string, err error) {
	t.Helper()
	for list, yielded := range client.Profiles.Lists.All(t.Context(), "user-1") {
		if err != nil {
			t.Errorf("All yields %v, %v after the error %v", list, yielded, err)
		}
		err = yielded
		if err == nil {
			ids = append(ids, list.ID)
		}
	}
	return ids, err
}

// pages responds to each cursor with its page.
func pages(pages map[string]string) httpmock.Responder {
	return func(req *http.Request) (*http.Response, error) {
		page, ok := pages[req.URL.Query().Get("cursor")]
		if !ok {
			return respond(400, errorBody)(req)
		}
		return respond(200, page)(req)
	}
}

// page returns a page of lists, and the cursor of the next one.
func page(cursor string, more bool, ids ...string) string {
	results := make([]string, len(ids))
	for i, id := range ids {
		results[i] = fmt.Sprintf(`{"id":%q}`, id)
	}
	return fmt.Sprintf(`{"paging":{"cursor":%q,"more":%t},"results":[%s]}`,
		cursor, more, strings.Join(results, ","))
}

func TestAll(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 4000)
	for _, test := range []struct {
		name     string
		pages    map[string]string
		want     []string
		requests int
	}{
		{"one page", map[string]string{"": page("", false, "a", "b")}, []string{"a", "b"}, 1},
		{"no subscriptions", map[string]string{"": `{"results":null}`}, nil, 1},
		{"three pages, one of them empty", map[string]string{
			"":  page("1", true, "a", "b"),
			"1": page("2", true),
			"2": page("", false, "a", "d"),
		}, []string{"a", "b", "a", "d"}, 3},
		{"a cursor, but no more", map[string]string{"": page("1", false, "a")}, []string{"a"}, 1},
		{"cursors that need escaping", map[string]string{
			"":                    page("a b+c&d=e#f?g/h%2Fi", true, "a"),
			"a b+c&d=e#f?g/h%2Fi": page("ü✓;\n", true, "b"),
			"ü✓;\n":               page("=&cursor=x", true),
			"=&cursor=x":          page("eyJhIjoiYiJ9==", true),
			"eyJhIjoiYiJ9==":      page(long, true),
			long:                  page("", false, "c"),
		}, []string{"a", "b", "c"}, 6},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			sent := record(pages(test.pages))
			all := newClient(t, sent.respond).Profiles.Lists.All(t.Context(), "user-1")
			if n := len(sent.requests()); n != 0 {
				t.Errorf("sent %d requests before the loop, want none", n)
			}
			for range 2 { // an iterator can be used again
				var got []string
				for list, err := range all {
					if err != nil {
						t.Fatal(err)
					}
					got = append(got, list.ID)
				}
				if !slices.Equal(got, test.want) {
					t.Errorf("got %q, want %q", got, test.want)
				}
			}
			if n := len(sent.requests()); n != 2*test.requests {
				t.Errorf("sent %d requests in two loops, want %d", n, 2*test.requests)
			}
		})
	}
}

// TestAllReadsPagesWhenNeeded: a loop that ends early reads no page ahead.
func TestAllReadsPagesWhenNeeded(t *testing.T) {
	t.Parallel()
	sent := record(pages(map[string]string{"": page("1", true, "a", "b"), "1": page("", false)}))
	for range newClient(t, sent.respond).Profiles.Lists.All(t.Context(), "user-1") {
		break
	}
	if n := len(sent.requests()); n != 1 {
		t.Errorf("sent %d requests for the first subscription, want 1", n)
	}
}

// TestAllRefusesARepeatedCursor, which would be an endless loop. The error has the response as
// it came.
func TestAllRefusesARepeatedCursor(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		pages map[string]string
		want  []string
		body  string // of the last page
	}{
		{"none", map[string]string{"": `{"results":[{"id":"a"}],"paging":{"more":true}}`},
			[]string{"a"}, `{"results":[{"id":"a"}],"paging":{"more":true}}`},
		{"null", map[string]string{"": `{"results":[],"paging":{"cursor":null,"more":true}}`},
			nil, `{"results":[],"paging":{"cursor":null,"more":true}}`},
		{"its own", map[string]string{"": page("1", true, "a"), "1": page("1", true, "b")},
			[]string{"a", "b"}, page("1", true, "b")},
		{"a cycle", map[string]string{
			"":  page("1", true, "a"),
			"1": page("2", true),
			"2": "\ufeff" + page("1", true, "c"),
		}, []string{"a", "c"}, "\ufeff" + page("1", true, "c")},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			sent := record(pages(test.pages))
			got, err := readAll(t, newClient(t, sent.respond))
			if !slices.Equal(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
			wantUnexpected(t, err, "list subscriptions", test.body)
			want := fmt.Sprintf("courier: list subscriptions: 200, but not the documented response: "+
				"there are more pages, but no new cursor (application/json, %d bytes)", len(test.body))
			if err.Error() != want {
				t.Errorf("\n got %s\nwant %s", err, want)
			}
			if n := len(sent.requests()); n != len(test.pages) {
				t.Errorf("sent %d requests, want %d", n, len(test.pages))
			}
		})
	}
}

func TestAllEndsWithAnError(t *testing.T) {
	t.Parallel()
	got, err := readAll(t, newClient(t, pages(map[string]string{"": page("gone", true, "a")})))
	if want := []string{"a"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	wantTypes(t, err, "*courier.InvalidRequestError", "*courier.APIError")

	client := newClient(t, respond(200, success))
	for _, err := range client.Profiles.Lists.All(t.Context(), "..") {
		wantInvalid(t, err, "userID")
	}
}

// TestAllSendsTheOptions with each page.
func TestAllSendsTheOptions(t *testing.T) {
	t.Parallel()
	sent := record(pages(map[string]string{"": page("1", true), "1": page("", false)}))
	lists := newClient(t, sent.respond).Profiles.Lists
	for _, err := range lists.All(t.Context(), "user-1", courier.WithHeader("X-Tenant", "7")) {
		t.Error(err)
	}
	for _, request := range sent.requests() {
		if got := request.Header.Get("X-Tenant"); got != "7" {
			t.Errorf("%s was sent with the header %q, want 7", request.URL, got)
		}
	}
}

func TestSubscribe(t *testing.T) {
	t.Parallel()
	sent := record(respond(200, success))
	lists := []courier.ListSubscription{
		{ListID: "b"},
		{ListID: "<a&b>/\"\u2028ü\n", Preferences: &courier.Preferences{}},
		{ListID: "b", Preferences: &courier.Preferences{
			Notifications: map[string]courier.Preference{"n": {Status: "OPTED_IN"}},
		}},
	}
	_, err := newClient(t, sent.respond).Profiles.Lists.Subscribe(t.Context(), "user-1", lists)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"lists":[{"listId":"b"},` +
		`{"listId":"<a&b>/\"` + "\u2028" + `ü\n","preferences":{}},` +
		`{"listId":"b","preferences":{"notifications":{"n":{"status":"OPTED_IN"}}}}]}`
	if diff := cmp.Diff(want, sent.last(t).Body); diff != "" {
		t.Errorf("the body (-want +got):\n%s", diff)
	}
}

func TestSubscribeRefused(t *testing.T) {
	t.Parallel()
	sent := record(respond(200, success))
	client := newClient(t, sent.respond)
	for field, lists := range map[string][]courier.ListSubscription{
		"lists":           {},
		"lists[1].listId": {{ListID: "a"}, {}},
		"lists[0].listId": {{ListID: "CANARY\xff"}},
	} {
		result, err := client.Profiles.Lists.Subscribe(t.Context(), "user-1", lists)
		wantInvalid(t, err, field)
		if result != nil {
			t.Errorf("%s: got %+v along with the error", field, result)
		}
		if err != nil && strings.Contains(err.Error(), "CANARY") {
			t.Errorf("%s: the error repeats the ID: %v", field, err)
		}
	}
	_, err := client.Profiles.Lists.Subscribe(t.Context(), "user-1", nil)
	wantInvalid(t, err, "lists")
	if n := len(sent.requests()); n != 0 {
		t.Errorf("sent %d requests, want none", n)
	}
}
