package courier_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jarcoal/httpmock"

	courier "github.com/courier-profiles/courier-go"
	"github.com/courier-profiles/courier-go/couriertest"
)

// listsPages is a server that answers with the pages, by their cursors, and
// keeps the cursors that it was asked for.
type listsPages struct {
	pages map[string]string
	asked []string
}

func (p *listsPages) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	cursor := req.URL.Query().Get("cursor")
	p.asked = append(p.asked, cursor)
	page, ok := p.pages[cursor]
	if !ok || len(p.asked) > 100 { // a client that goes round has to come to an end
		w.WriteHeader(http.StatusBadRequest)
		page = `{"message":"unknown cursor","type":"invalid_request_error"}`
	}
	_, _ = io.WriteString(w, page)
}

// listsOf returns a page with the ids, and the members of its paging.
func listsOf(paging string, ids ...string) string {
	results := make([]string, len(ids))
	for i, id := range ids {
		results[i] = fmt.Sprintf(`{"id":%q}`, id)
	}
	return `{"paging":` + paging + `,"results":[` + strings.Join(results, ",") + `]}`
}

// listsAll returns what All yields: ids, and the error at the end.
func listsAll(t *testing.T, client *courier.Client, userID string) (ids []string, err error) {
	t.Helper()
	for list, yielded := range client.Profiles.Lists.All(t.Context(), userID) {
		if err != nil {
			t.Error("something came behind an error")
		}
		if err = yielded; err == nil {
			ids = append(ids, list.ID)
		} else if diff := cmp.Diff(courier.Subscription{}, list); diff != "" {
			t.Errorf("beside the error:\n%s", diff)
		}
	}
	return ids, err
}

func TestListsAll(t *testing.T) {
	for _, test := range []struct {
		name  string
		pages map[string]string
		asked []string
		want  []string
	}{
		{"one page", map[string]string{"": listsOf(`{"cursor":null,"more":false}`, "a", "b")}, []string{""}, []string{"a", "b"}},
		{"no subscriptions", map[string]string{"": listsOf(`{"cursor":null,"more":false}`)}, []string{""}, nil},
		{"three pages", map[string]string{
			"":  listsOf(`{"cursor":"1","more":true}`, "a", "b"),
			"1": listsOf(`{"more":true,"cursor":"2"}`, "c"),
			"2": listsOf(`{"cursor":null,"more":false}`, "d"),
		}, []string{"", "1", "2"}, []string{"a", "b", "c", "d"}},
		{"empty pages", map[string]string{
			"":  listsOf(`{"cursor":"1","more":true}`),
			"1": listsOf(`{"cursor":"2","more":true}`, "a"),
			"2": listsOf(`{"cursor":"3","more":true}`),
			"3": listsOf(`{"cursor":"4","more":false}`),
		}, []string{"", "1", "2", "3"}, []string{"a"}},
		{"a cursor, but no more", map[string]string{"": listsOf(`{"cursor":"1","more":false}`, "a")}, []string{""}, []string{"a"}},
		{"more is null", map[string]string{"": listsOf(`{"cursor":"1","more":null}`, "a")}, []string{""}, []string{"a"}},
		{"more is absent", map[string]string{"": listsOf(`{"cursor":"1"}`, "a")}, []string{""}, []string{"a"}},
		{"paging is null", map[string]string{"": listsOf(`null`, "a")}, []string{""}, []string{"a"}},
		{"paging is empty", map[string]string{"": listsOf(`{}`, "a")}, []string{""}, []string{"a"}},
		{"paging is absent", map[string]string{"": `{"results":[{"id":"a"}]}`}, []string{""}, []string{"a"}},
		{"unknown members", map[string]string{"": `{"x":{"more":true},"paging":{"x":[{}],"more":false},"results":[{"id":"a","x":1}]}`}, []string{""}, []string{"a"}},
		{"the same list twice", map[string]string{
			"":  listsOf(`{"cursor":"1","more":true}`, "a", "a"),
			"1": listsOf(`{"more":false}`, "a"),
		}, []string{"", "1"}, []string{"a", "a", "a"}},
		{"cursors that need escapes", map[string]string{
			"":                         listsOf(`{"cursor":"a b+c&d=e#f?g/h%2Fi","more":true}`, "a"),
			"a b+c&d=e#f?g/h%2Fi":      listsOf(`{"cursor":"ü✓;\u0000\n","more":true}`, "b"),
			"ü✓;\x00\n":                listsOf(`{"cursor":"=&cursor=x","more":true}`, "c"),
			"=&cursor=x":               listsOf(`{"cursor":"eyJhIjoiYiJ9==","more":true}`, "d"),
			"eyJhIjoiYiJ9==":           listsOf(`{"cursor":" ","more":true}`, "e"),
			" ":                        listsOf(`{"cursor":"`+strings.Repeat("x", 4000)+`","more":true}`, "f"),
			strings.Repeat("x", 4_000): listsOf(`{"more":false}`, "g"),
		}, []string{"", "a b+c&d=e#f?g/h%2Fi", "ü✓;\x00\n", "=&cursor=x", "eyJhIjoiYiJ9==", " ", strings.Repeat("x", 4000)}, []string{"a", "b", "c", "d", "e", "f", "g"}},
		{"duplicate keys, the last wins", map[string]string{
			"":  `{"results":[{"id":"x"}],"paging":{"cursor":"x","more":false},"paging":{"cursor":"y","cursor":"1","more":false,"more":true},"results":[{"id":"y","id":"a"}]}`,
			"1": `{"paging":{"cursor":"x","more":true},"paging":null,"results":[{"id":"b"}]}`,
		}, []string{"", "1"}, []string{"a", "b"}},
		{"duplicate keys, the last wins over what does not fit", map[string]string{
			"":  `{"results":5,"paging":[],"paging":{"cursor":[],"more":1,"cursor":"1","more":true},"results":[{"id":"a"}]}`,
			"1": `{"results":[5],"results":[{"id":"b"}]}`,
		}, []string{"", "1"}, []string{"a", "b"}},
		{"duplicate keys, the last is null", map[string]string{
			"": `{"paging":{"cursor":"x","more":true,"more":null},"results":[]}`,
		}, []string{""}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			server := &listsPages{pages: test.pages}
			client := apiClient(t, server)
			for range 2 { // an iterator may be used again
				server.asked = nil
				got, err := listsAll(t, client, "user-1")
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(test.want, got); diff != "" {
					t.Errorf("subscriptions (-want +got):\n%s", diff)
				}
				if diff := cmp.Diff(test.asked, server.asked); diff != "" {
					t.Errorf("cursors (-want +got):\n%s", diff)
				}
			}
		})
	}
}

// The same iterator, ranged over twice, starts from the first page both times.
func TestListsAllTwice(t *testing.T) {
	server := &listsPages{pages: map[string]string{"": listsOf(`{"cursor":"1","more":true}`, "a"), "1": listsOf(`{}`, "b")}}
	all := apiClient(t, server).Profiles.Lists.All(t.Context(), "user-1")
	if len(server.asked) != 0 {
		t.Error("All itself has sent a request")
	}
	for range 2 {
		var ids []string
		for list, err := range all {
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, list.ID)
		}
		if !slices.Equal(ids, []string{"a", "b"}) {
			t.Errorf("got %v", ids)
		}
	}
	if !slices.Equal(server.asked, []string{"", "1", "", "1"}) {
		t.Errorf("asked for %q", server.asked)
	}
}

func TestListsAllCursorsThatLeadNowhere(t *testing.T) {
	more := func(cursor string, ids ...string) string {
		return listsOf(fmt.Sprintf(`{"cursor":%q,"more":true}`, cursor), ids...)
	}
	for _, test := range []struct {
		name     string
		pages    map[string]string
		want     []string
		requests int
	}{
		{"null", map[string]string{"": listsOf(`{"cursor":null,"more":true}`, "a")}, []string{"a"}, 1},
		{"absent", map[string]string{"": listsOf(`{"more":true}`, "a", "b")}, []string{"a", "b"}, 1},
		{"empty", map[string]string{"": more("", "a")}, []string{"a"}, 1},
		{"null on the second page", map[string]string{"": more("1", "a"), "1": listsOf(`{"cursor":null,"more":true}`, "b")}, []string{"a", "b"}, 2},
		{"null in place of an earlier duplicate", map[string]string{"": listsOf(`{"cursor":"1","cursor":null,"more":true}`, "a"), "1": listsOf(`{}`, "b")}, []string{"a"}, 1},
		{"its own", map[string]string{"": more("1", "a"), "1": more("1", "b")}, []string{"a", "b"}, 2},
		{"its own, empty pages", map[string]string{"": more("1"), "1": more("1")}, nil, 2},
		{"a cycle of two", map[string]string{"": more("1", "a"), "1": more("2", "b"), "2": more("1", "c")}, []string{"a", "b", "c"}, 3},
		{"a cycle of three", map[string]string{"": more("1", "a"), "1": more("2"), "2": more("3", "c"), "3": more("1", "d")}, []string{"a", "c", "d"}, 4},
	} {
		t.Run(test.name, func(t *testing.T) {
			server := &listsPages{pages: test.pages}
			got, err := listsAll(t, apiClient(t, server), "user-1")
			var unexpected *courier.UnexpectedResponseError
			if !errors.As(err, &unexpected) {
				t.Fatalf("error is %v, want an *UnexpectedResponseError", err)
			}
			if unexpected.Operation != "list subscriptions" || unexpected.StatusCode != 200 || unexpected.Err == nil || unexpected.Header == nil {
				t.Errorf("error has %q, %d, %v, %v", unexpected.Operation, unexpected.StatusCode, unexpected.Err, unexpected.Header)
			}
			if diff := cmp.Diff(test.want, got); diff != "" || len(server.asked) != test.requests {
				t.Errorf("%d requests, want %d; subscriptions (-want +got):\n%s", len(server.asked), test.requests, diff)
			}
		})
	}
}

func TestListsAllIsLazy(t *testing.T) {
	fake, client := apiFake(t) // with 3 on a page
	for i := range 7 {
		if _, err := client.Profiles.Lists.Subscribe(t.Context(), "a/b", []courier.ListSubscription{{ListID: fmt.Sprint(i)}}); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct{ take, requests int }{{1, 1}, {2, 1}, {3, 1}, {4, 2}, {6, 2}, {7, 3}, {8, 3}} {
		before, taken := len(fake.Requests()), 0
		for list, err := range client.Profiles.Lists.All(t.Context(), "a/b") {
			if err != nil {
				t.Fatal(err)
			}
			if list.ID != fmt.Sprint(taken) {
				t.Errorf("subscription %d is %s", taken, list.ID)
			}
			if requests := len(fake.Requests()) - before; requests != 1+taken/3 {
				t.Errorf("%d requests before subscription %d", requests, taken)
			}
			if taken++; taken == test.take {
				break
			}
		}
		if requests := len(fake.Requests()) - before; requests != test.requests {
			t.Errorf("%d requests for the first %d, want %d", requests, test.take, test.requests)
		}
	}
}

func TestListsAllErrorInTheMiddle(t *testing.T) {
	pages := map[string]string{"": listsOf(`{"cursor":"gone","more":true}`, "a", "b")}
	got, err := listsAll(t, apiClient(t, &listsPages{pages: pages}), "user-1")
	var refused *courier.InvalidRequestError
	if !errors.As(err, &refused) || !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("got %v, error %v, want two and an *InvalidRequestError", got, err)
	}

	pages["gone"] = `{"results":null}`
	server := &listsPages{pages: pages}
	got, err = listsAll(t, apiClient(t, server), "user-1")
	var unexpected *courier.UnexpectedResponseError
	if !errors.As(err, &unexpected) || !slices.Equal(got, []string{"a", "b"}) || len(server.asked) != 2 {
		t.Errorf("got %v, %d requests, error %v, want two and an *UnexpectedResponseError", got, len(server.asked), err)
	}

	// A page that can be had again is had again.
	fake, client := apiFake(t)
	lists := []courier.ListSubscription{{ListID: "a"}, {ListID: "b"}, {ListID: "c"}, {ListID: "d"}}
	if _, err := client.Profiles.Lists.Subscribe(t.Context(), "user-1", lists); err != nil {
		t.Fatal(err)
	}
	fake.Fail(couriertest.Fault{}, couriertest.Fault{Status: 503}, couriertest.Fault{CutOff: true})
	got, err = listsAll(t, client, "user-1")
	if err != nil || !slices.Equal(got, []string{"a", "b", "c", "d"}) || len(fake.Requests()) != 1+2+2 {
		t.Errorf("got %v, error %v, %d requests", got, err, len(fake.Requests()))
	}
}

func TestListsAllRefused(t *testing.T) {
	client := apiMock(t, func(*http.Request) (*http.Response, error) {
		t.Error("a request was sent")
		return httpmock.NewStringResponse(200, `{"results":[]}`), nil
	})
	for _, test := range []struct {
		field, userID string
		ctx           context.Context
		opts          []courier.RequestOption
	}{
		{"userID", "", t.Context(), nil},
		{"userID", "..", t.Context(), nil},
		{"ctx", "user-1", nil, nil},
		{"opts", "user-1", t.Context(), []courier.RequestOption{nil}},
		{"WithIdempotencyKey", "user-1", t.Context(), []courier.RequestOption{courier.WithIdempotencyKey("k")}},
	} {
		yields := 0
		for list, err := range client.Profiles.Lists.All(test.ctx, test.userID, test.opts...) {
			yields++
			var refused *courier.ValidationError
			if !errors.As(err, &refused) || refused.Field != test.field || list.ID != "" {
				t.Errorf("%s: %v, error %v", test.field, list, err)
			}
		}
		if yields != 1 {
			t.Errorf("%s: yielded %d times", test.field, yields)
		}
	}
}

func TestListsAllContextEndsBetweenPages(t *testing.T) {
	server := &listsPages{pages: map[string]string{"": listsOf(`{"cursor":"1","more":true}`, "a", "b"), "1": listsOf(`{}`, "c")}}
	client := apiClient(t, server)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var ids []string
	var last error
	for list, err := range client.Profiles.Lists.All(ctx, "user-1") {
		cancel()
		if last = err; err == nil {
			ids = append(ids, list.ID)
		}
	}
	var failed *courier.ConnectionError
	if !errors.Is(last, context.Canceled) || !errors.As(last, &failed) || failed.Operation != "list subscriptions" || failed.Attempts != 0 {
		t.Errorf("error is %v, want a *ConnectionError of the context", last)
	}
	if !slices.Equal(ids, []string{"a", "b"}) || len(server.asked) != 1 {
		t.Errorf("got %v with %d requests, want the rest of the page that was there", ids, len(server.asked))
	}
}

// Options go with the request for every page.
func TestListsAllOptions(t *testing.T) {
	var traces []string
	server := &listsPages{pages: map[string]string{"": listsOf(`{"cursor":"1","more":true}`, "a"), "1": listsOf(`{}`, "b")}}
	client := apiClient(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		traces = append(traces, req.Header.Get("X-Trace"))
		server.ServeHTTP(w, req)
	}))
	for _, err := range client.Profiles.Lists.All(t.Context(), "user-1", courier.WithHeader("X-Trace", "t")) {
		if err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(traces, []string{"t", "t"}) {
		t.Errorf("headers were %q", traces)
	}
}

func TestListsPageQuery(t *testing.T) {
	for cursor, want := range map[string]string{
		"":         "",
		"abc":      "?cursor=abc",
		"a b":      "?cursor=a+b",
		"a+b":      "?cursor=a%2Bb",
		"a&more=1": "?cursor=a%26more%3D1",
		"#/?%":     "?cursor=%23%2F%3F%25",
		"ü":        "?cursor=%C3%BC",
		"\xff\r\n": "?cursor=%FF%0D%0A",
		"=":        "?cursor=%3D",
		" ":        "?cursor=+",
	} {
		uri := ""
		client := apiClient(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			uri = req.RequestURI
			if got := req.URL.Query().Get("cursor"); got != cursor {
				t.Errorf("%q: the server sees %q", cursor, got)
			}
			_, _ = io.WriteString(w, listsOf(`{"cursor":"next","more":true}`, "a"))
		}))
		page, err := client.Profiles.Lists.Page(t.Context(), "a/b", cursor)
		if err != nil {
			t.Fatalf("%q: %v", cursor, err)
		}
		if want := apiPrefix + "/profiles/a%2Fb/lists" + want; uri != want {
			t.Errorf("%q: sent to %s, want %s", cursor, uri, want)
		}
		if page.Cursor != "next" || !page.More || len(page.Subscriptions) != 1 || page.StatusCode != 200 || page.Attempts != 1 {
			t.Errorf("%q: page is %v", cursor, page)
		}
	}
}

func TestListsPageByPage(t *testing.T) {
	fake, client := apiFake(t)
	fake.PageSize = 2
	lists := []courier.ListSubscription{{ListID: "a"}, {ListID: "ü"}, {ListID: "c/d"}}
	if _, err := client.Profiles.Lists.Subscribe(t.Context(), "user-1", lists); err != nil {
		t.Fatal(err)
	}
	first, err := client.Profiles.Lists.Page(t.Context(), "user-1", "")
	if err != nil || !first.More || first.Cursor == "" || len(first.Subscriptions) != 2 {
		t.Fatalf("first page %v, error %v", first, err)
	}
	second, err := client.Profiles.Lists.Page(t.Context(), "user-1", first.Cursor)
	if err != nil || second.More || second.Cursor != "" || len(second.Subscriptions) != 1 || second.Subscriptions[0].ID != "c/d" {
		t.Fatalf("second page %v, error %v", second, err)
	}
	third, err := client.Profiles.Lists.Page(t.Context(), "user-1", "no cursor")
	var refused *courier.InvalidRequestError
	if !errors.As(err, &refused) || third != nil {
		t.Errorf("page %v, error %v, want an *InvalidRequestError", third, err)
	}
	empty, err := client.Profiles.Lists.Page(t.Context(), "user-2", "")
	if err != nil || empty.More || empty.Cursor != "" || len(empty.Subscriptions) != 0 {
		t.Errorf("page of a user without lists %v, error %v", empty, err)
	}
}

func TestListsPageSubscriptions(t *testing.T) {
	created := time.Date(2020, 6, 10, 18, 41, 29, 93_000_000, time.UTC)
	numbers := func(text string) json.Number { return json.Number(text) }
	for _, test := range []struct {
		name, body string
		want       courier.Subscription
	}{
		{"documented", `{"id":"l1","name":"List 1","created":"2020-06-10T18:41:29.093Z","updated":"2020-06-10T18:41:30Z","preferences":{"categories":null,"notifications":{"n1":{"status":"OPTED_IN","rules":[{"until":"2020-07-01","start":null}],"channel_preferences":[{"channel":"email"}]}}}}`,
			courier.Subscription{ID: "l1", Name: "List 1", Created: created, Updated: created.Truncate(time.Second).Add(time.Second), Preferences: &courier.Preferences{
				Notifications: map[string]courier.Preference{"n1": {
					Status: "OPTED_IN", Rules: []courier.PreferenceRule{{Until: "2020-07-01"}}, ChannelPreferences: []courier.ChannelPreference{{Channel: "email"}},
				}},
			}}},
		{"nothing", `{}`, courier.Subscription{}},
		{"nulls", `{"id":null,"name":null,"created":null,"updated":null,"preferences":null}`, courier.Subscription{}},
		{"no preferences in preferences", `{"id":"l1","preferences":{}}`, courier.Subscription{ID: "l1", Preferences: &courier.Preferences{}}},
		{"unknown members", `{"id":"l1","x":{"y":[1.0,null]},"ID":"other","":0}`, courier.Subscription{ID: "l1", Extra: map[string]any{
			"x": map[string]any{"y": []any{numbers("1.0"), nil}}, "ID": "other", "": numbers("0"),
		}}},
		{"other types", `{"id":5,"name":{"a":"b"},"created":1591814489093,"updated":["2020-06-10T18:41:29.093Z"],"preferences":"all"}`, courier.Subscription{Extra: map[string]any{
			"id": numbers("5"), "name": map[string]any{"a": "b"}, "created": numbers("1591814489093"), "updated": []any{"2020-06-10T18:41:29.093Z"}, "preferences": "all",
		}}},
		{"half surrogates", `{"id":"\ud800","created":"\udc00"}`, courier.Subscription{Extra: map[string]any{"id": json.RawMessage(`"\ud800"`), "created": json.RawMessage(`"\udc00"`)}}},
		{"offset", `{"created":"2020-06-10T20:41:29.093+02:00","updated":"2020-06-10T18:41:29.093-00:00"}`, courier.Subscription{Created: created, Updated: created}},
		{"nanoseconds", `{"created":"2020-06-10T18:41:29.093000001Z"}`, courier.Subscription{Created: created.Add(1)}},
		{"dates that are none", `{"created":"yesterday","updated":""}`, courier.Subscription{Extra: map[string]any{"created": "yesterday", "updated": ""}}},
		{"dates of other forms", `{"created":"2020-06-10","updated":"2020-06-10 18:41:29"}`, courier.Subscription{Extra: map[string]any{"created": "2020-06-10", "updated": "2020-06-10 18:41:29"}}},
		{"dates out of range", `{"created":"2020-02-30T00:00:00Z","updated":"2020-01-01T25:00:00Z"}`, courier.Subscription{Extra: map[string]any{"created": "2020-02-30T00:00:00Z", "updated": "2020-01-01T25:00:00Z"}}},
		{"duplicates, the last wins", `{"id":"x","id":"l1","created":"yesterday","created":"2020-06-10T18:41:29.093Z","name":"n","name":5,"preferences":{},"preferences":null}`,
			courier.Subscription{ID: "l1", Created: created, Extra: map[string]any{"name": numbers("5")}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			page, err := apiClient(t, apiAnswer(200, `{"results":[`+test.body+`,{"id":"next"}],"paging":{"more":false}}`)).Profiles.Lists.Page(t.Context(), "user-1", "")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]courier.Subscription{test.want, {ID: "next"}}, page.Subscriptions); diff != "" {
				t.Errorf("subscriptions (-want +got):\n%s", diff)
			}
		})
	}
}

// What was read is written as it was, but for nulls and the form of a time.
func TestListsSubscriptionJSON(t *testing.T) {
	for _, text := range []string{
		`{}`,
		`{"id":"l1","name":"n","created":"2020-06-10T18:41:29.093Z","updated":"2020-06-10T18:41:29.000Z","preferences":{"categories":{"c":{"status":"OPTED_IN","x":1.0}},"y":[{}]},"z":{"n":1e400}}`,
		`{"preferences":{}}`,
		`{"created":"yesterday","id":5,"preferences":"all"}`,
		`{"id":"\ud800"}`,
	} {
		var subscription courier.Subscription
		if err := json.Unmarshal([]byte(text), &subscription); err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		got, err := json.Marshal(subscription)
		if err != nil || apiExact(t, string(got)) != apiExact(t, text) {
			t.Errorf("%s was written as %s, error %v", text, got, err)
		}
	}
	before := courier.Subscription{ID: "before"}
	for _, text := range []string{`[]`, `"x"`, `5`, `{"id":}`} {
		if err := json.Unmarshal([]byte(text), &before); err == nil || before.ID != "before" {
			t.Errorf("%s: error %v, left %v", text, err, before)
		}
	}
}

func TestListsPageWrongShapes(t *testing.T) {
	for _, body := range []string{
		`{}`, `[]`, `{"paging":{"more":false}}`, `{"results":null}`, `{"results":{}}`, `{"results":"x"}`, `{"results":[1]}`, `{"results":[null]}`, `{"results":[[]]}`, `{"results":[{"id":"a"},"b"]}`,
		`{"Results":[]}`, `{"results":[],"paging":[]}`, `{"results":[],"paging":"x"}`, `{"results":[],"paging":true}`,
		`{"results":[],"paging":{"more":"true"}}`, `{"results":[],"paging":{"more":1}}`, `{"results":[],"paging":{"cursor":5}}`, `{"results":[],"paging":{"cursor":{}}}`, `{"results":[],"paging":{"cursor":"\ud800","more":true}}`,
		`{"results":[{"id":"a"}`, `{"results":[{"id":"a"}]`, `{"results":[]}]`, `{"results":[],"paging":{"more":false}`, `{"results":[,]}`, `{"results":[{},]}`,
		`{"results":[{"x":` + strings.Repeat("[", 20_000) + `]}`,
	} {
		client := apiClient(t, apiAnswer(200, body))
		page, err := client.Profiles.Lists.Page(t.Context(), "user-1", "")
		var unexpected *courier.UnexpectedResponseError
		if !errors.As(err, &unexpected) || page != nil {
			t.Errorf("%.60q: page %v, error %v, want an *UnexpectedResponseError", body, page, err)
			continue
		}
		if unexpected.Operation != "list subscriptions" || string(unexpected.Body) != body || unexpected.Err == nil {
			t.Errorf("%.60q: error has %q, %.60q, %v", body, unexpected.Operation, unexpected.Body, unexpected.Err)
		}
		if ids, err := listsAll(t, client, "user-1"); !errors.As(err, &unexpected) || ids != nil {
			t.Errorf("%.60q: All gives %v, error %v", body, ids, err)
		}
	}
}

func TestListsPagePrintsNoHeader(t *testing.T) {
	client := apiClient(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Request-Id", "req-4711")
		w.Header().Set("Set-Cookie", "HEADER-SECRET")
		_, _ = io.WriteString(w, `{"results":[{"id":"list-1","preferences":{"categories":{"cat-1":{"status":"OPTED_IN"}}},"x":1.50}],"paging":{"cursor":"cursor-1","more":true}}`)
	}))
	page, err := client.Profiles.Lists.Page(t.Context(), "user-0815", "")
	if err != nil {
		t.Fatal(err)
	}
	var logged bytes.Buffer
	slog.New(slog.NewJSONHandler(&logged, nil)).Info("got", "page", page)
	slog.New(slog.NewTextHandler(&logged, nil)).Info("got", "page", *page)
	encoded, err := json.Marshal(page)
	if err != nil {
		t.Error(err)
	}
	logs := strings.Split(strings.TrimSpace(logged.String()), "\n")
	for _, text := range append(logs, string(encoded), fmt.Sprint(page), fmt.Sprintf("%+v", *page), fmt.Sprintf("%#v", page), fmt.Sprintf("%s", *page)) {
		for _, want := range []string{"list-1", "cursor-1", "true", "req-4711", "1.50"} {
			if !strings.Contains(text, want) {
				t.Errorf("%s does not show %s", text, want)
			}
		}
		if strings.Contains(text, "HEADER-SECRET") || strings.Contains(text, apiKey) || strings.Contains(text, "user-0815") {
			t.Errorf("%s shows a secret", text)
		}
	}
}

// What callers ask for, or fill, prints what is in it: not where it is.
func TestListsValuesPrintWhatIsInThem(t *testing.T) {
	preferences := &courier.Preferences{
		Categories: map[string]courier.Preference{"cat-1": {Status: "OPTED_IN", Rules: []courier.PreferenceRule{{Until: "until-1"}}}},
		Extra:      map[string]any{"x": json.Number("1.50")},
	}
	for _, value := range []any{
		courier.Subscription{ID: "list-1", Preferences: preferences},
		&courier.Subscription{ID: "list-1", Preferences: preferences},
		[]courier.Subscription{{ID: "list-1", Preferences: preferences}},
		courier.ListSubscription{ListID: "list-1", Preferences: preferences},
		&courier.ListSubscription{ListID: "list-1", Preferences: preferences},
		[]courier.ListSubscription{{ListID: "list-1", Preferences: preferences}},
	} {
		var logged bytes.Buffer
		slog.New(slog.NewTextHandler(&logged, nil)).Info("got", "list", value)
		slog.New(slog.NewJSONHandler(&logged, nil)).Info("got", "list", value)
		logs := strings.Split(strings.TrimSpace(logged.String()), "\n")
		for _, text := range append(logs, fmt.Sprintf("%v", value), fmt.Sprintf("%+v", value), fmt.Sprintf("%s", value)) {
			missing := slices.IndexFunc([]string{"list-1", "cat-1", "OPTED_IN", "until-1", "1.50"}, func(want string) bool { return !strings.Contains(text, want) })
			if missing >= 0 || strings.Contains(text, "0xc0") {
				t.Errorf("%T prints as %s", value, text)
				break
			}
		}
	}
}

func TestSubscribeBody(t *testing.T) {
	for _, test := range []struct {
		name  string
		lists []courier.ListSubscription
		want  string
	}{
		{"one", []courier.ListSubscription{{ListID: "a"}}, `[{"listId":"a"}]`},
		{"several, twice the same", []courier.ListSubscription{{ListID: "b"}, {ListID: "a"}, {ListID: "b"}}, `[{"listId":"b"},{"listId":"a"},{"listId":"b"}]`},
		{"text as it is", []courier.ListSubscription{{ListID: "<a&b>/\"\\\u2028ü\n"}}, `[{"listId":"<a&b>/\"\\` + "\u2028" + `ü\n"}]`},
		{"empty preferences", []courier.ListSubscription{{ListID: "a", Preferences: &courier.Preferences{}}, {ListID: "b"}}, `[{"listId":"a","preferences":{}},{"listId":"b"}]`},
		{"preferences", []courier.ListSubscription{{ListID: "a", Preferences: &courier.Preferences{
			Categories: map[string]courier.Preference{
				"c2": {Status: "OPTED_OUT", Rules: []courier.PreferenceRule{{Until: "u", Start: "s", Type: "snooze", Extra: map[string]any{"x": 1}}, {}}},
				"c1": {ChannelPreferences: []courier.ChannelPreference{{Channel: "email"}, {Extra: map[string]any{"y": nil}}}, Extra: map[string]any{"z": json.Number("1.0")}},
			},
			Notifications: map[string]courier.Preference{"": {}, "<n>": {Status: "<&>"}},
			Extra:         map[string]any{"e": []int{1}},
		}}}, `[{"listId":"a","preferences":{"categories":{"c1":{"channel_preferences":[{"channel":"email"},{"y":null}],"z":1.0},` +
			`"c2":{"status":"OPTED_OUT","rules":[{"until":"u","start":"s","type":"snooze","x":1},{}]}},"notifications":{"":{},"<n>":{"status":"<&>"}},"e":[1]}}]`},
		{"empty maps and lists", []courier.ListSubscription{{ListID: "a", Preferences: &courier.Preferences{
			Categories: map[string]courier.Preference{}, Notifications: map[string]courier.Preference{"n": {Rules: []courier.PreferenceRule{}, ChannelPreferences: []courier.ChannelPreference{}}},
		}}}, `[{"listId":"a","preferences":{"categories":{},"notifications":{"n":{"rules":[],"channel_preferences":[]}}}}]`},
	} {
		t.Run(test.name, func(t *testing.T) {
			var seen []apiRequest
			client := apiMock(t, func(req *http.Request) (*http.Response, error) {
				seen = append(seen, apiRequestOf(t, req))
				return httpmock.NewStringResponse(204, ""), nil
			})
			result, err := client.Profiles.Lists.Subscribe(t.Context(), "user-1", test.lists)
			if err != nil || result.StatusCode != 204 {
				t.Fatalf("result %v, error %v", result, err)
			}
			if diff := cmp.Diff(`{"lists":`+test.want+`}`, seen[0].Body); diff != "" {
				t.Errorf("body (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSubscribeRefused(t *testing.T) {
	const canary = "CANARY"
	client := apiMock(t, func(*http.Request) (*http.Response, error) {
		t.Error("a request was sent")
		return httpmock.NewStringResponse(200, success), nil
	})
	for _, test := range []struct {
		name  string
		field string // what it has to begin with
		lists []courier.ListSubscription
	}{
		{"nil", "lists", nil},
		{"empty", "lists", []courier.ListSubscription{}},
		{"empty id", "lists", []courier.ListSubscription{{}}},
		{"empty id behind others", "lists", []courier.ListSubscription{{ListID: "a"}, {ListID: "b"}, {}}},
		{"empty id with preferences", "lists", []courier.ListSubscription{{Preferences: &courier.Preferences{}}}},
		{"id not UTF-8", "lists", []courier.ListSubscription{{ListID: canary + "\xff"}}},
		{"key in Extra and field", "lists", []courier.ListSubscription{{ListID: "a", Preferences: &courier.Preferences{
			Categories: map[string]courier.Preference{}, Extra: map[string]any{"categories": canary},
		}}}},
		{"key in Extra and field of a detail", "lists", []courier.ListSubscription{{ListID: "a", Preferences: &courier.Preferences{
			Categories: map[string]courier.Preference{canary: {Status: "x", Extra: map[string]any{"status": canary}}},
		}}}},
		{"key not UTF-8", "lists", []courier.ListSubscription{{ListID: "a", Preferences: &courier.Preferences{Notifications: map[string]courier.Preference{canary + "\xff": {}}}}}},
		{"status not UTF-8", "lists", []courier.ListSubscription{{ListID: "a", Preferences: &courier.Preferences{Notifications: map[string]courier.Preference{"n": {Status: canary + "\xff"}}}}}},
		{"rule not UTF-8", "lists", []courier.ListSubscription{{ListID: "a", Preferences: &courier.Preferences{Notifications: map[string]courier.Preference{"n": {Rules: []courier.PreferenceRule{{Until: canary + "\xff"}}}}}}}},
		{"value that is no JSON", "lists", []courier.ListSubscription{{ListID: "a", Preferences: &courier.Preferences{Extra: map[string]any{"a": func() {}}}}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			result, err := client.Profiles.Lists.Subscribe(t.Context(), "user-1", test.lists)
			var refused *courier.ValidationError
			if !errors.As(err, &refused) || result != nil {
				t.Fatalf("result %v, error %v, want a *ValidationError", result, err)
			}
			if !strings.HasPrefix(refused.Field, test.field) || refused.Reason == "" || strings.Contains(err.Error(), canary) {
				t.Errorf("error reads %q", err)
			}
		})
	}
}

// An error inside a preference says which of its members is wrong, as it does
// for a member of a profile.
func TestSubscribeRefusalNamesTheMember(t *testing.T) {
	client := apiMock(t, httpmock.NewStringResponder(200, success))
	for _, test := range []struct {
		field, reason string
		preference    courier.Preference
	}{
		{"status", "Extra", courier.Preference{Status: "x", Extra: map[string]any{"status": "y"}}},
		{"status", "UTF-8", courier.Preference{Status: "\xff"}},
		{"until", "UTF-8", courier.Preference{Rules: []courier.PreferenceRule{{Until: "\xff"}}}},
	} {
		_, err := client.Profiles.Lists.Subscribe(t.Context(), "user-1", []courier.ListSubscription{{
			ListID: "a", Preferences: &courier.Preferences{Categories: map[string]courier.Preference{"c": test.preference}},
		}})
		var refused *courier.ValidationError
		if !errors.As(err, &refused) || !strings.HasSuffix(refused.Field, test.field) || !strings.Contains(refused.Reason, test.reason) {
			t.Errorf("error is %v, want one for …%s with %s", err, test.field, test.reason)
		}
	}
}

// What Page gave is what Subscribe sends.
func TestSubscribeWithWhatWasRead(t *testing.T) {
	for _, preferences := range []string{
		`{}`,
		`{"categories":{"c":{"status":"OPTED_IN","rules":[{"until":"u","start":"s","n":1.0}],"channel_preferences":[{"channel":"email","x":null}],"y":{"z":[9007199254740993]}}},"x":1e400}`,
		`{"categories":{},"notifications":{"":{}}}`,
		`{"categories":{"a":null,"b":{}},"notifications":"all"}`,
		`{"categories":[],"notifications":{"n":{"status":5,"rules":{},"channel_preferences":["email"]}}}`,
		`{"notifications":{"n":{"rules":[{"until":1591814489093}],"channel_preferences":[{"channel":null}],"status":"\ud800"}}}`,
		`{"notifications":{"n":{"x":"\ud800\ufffd"}}}`,
		`{"notifications":{"n":{"x":"\ufffd"}}}`,
		`{"notifications":{"n":{"x":"\\ufffd"}}}`,
		`{"notifications":{"\\ufffd":{}}}`,
		`{"notifications":{"n":{"x":"<&>\u2028"}}}`,
		`{"Categories":null,"":{"":0}}`,
	} {
		var body string
		client := apiMock(t, func(req *http.Request) (*http.Response, error) {
			if req.Method == http.MethodGet {
				return httpmock.NewStringResponse(200, `{"results":[{"id":"a","preferences":`+preferences+`}]}`), nil
			}
			body = apiRequestOf(t, req).Body
			return httpmock.NewStringResponse(204, ""), nil
		})
		page, err := client.Profiles.Lists.Page(t.Context(), "user-1", "")
		if err != nil {
			t.Errorf("%s: %v", preferences, err)
			continue
		}
		read := page.Subscriptions[0]
		if _, err := client.Profiles.Lists.Subscribe(t.Context(), "user-1", []courier.ListSubscription{{ListID: read.ID, Preferences: read.Preferences}}); err != nil {
			t.Errorf("%s: %v", preferences, err)
			continue
		}
		// A null is like a member that is not there.
		want := strings.ReplaceAll(preferences, `{"channel":null}`, `{}`)
		if diff := cmp.Diff(apiExact(t, `{"lists":[{"listId":"a","preferences":`+want+`}]}`), apiExact(t, body)); diff != "" {
			t.Errorf("%s: body (-want +got):\n%s", preferences, diff)
		}
	}
}

func TestSubscribeOnTheFake(t *testing.T) {
	fake, client := apiFake(t)
	lists := []courier.ListSubscription{
		{ListID: "a/b", Preferences: &courier.Preferences{Notifications: map[string]courier.Preference{"n": {Status: "OPTED_OUT"}}}},
		{ListID: "ü"},
	}
	result, err := client.Profiles.Lists.Subscribe(t.Context(), "a/b", lists, courier.WithIdempotencyKey("key-1"))
	if err != nil || result.Status != "SUCCESS" {
		t.Fatalf("result %v, error %v", result, err)
	}
	var got []courier.Subscription
	for list, err := range client.Profiles.Lists.All(t.Context(), "a/b") {
		if err != nil {
			t.Fatal(err)
		}
		if list.Created.IsZero() || list.Updated.IsZero() || list.Name == "" || list.Extra != nil {
			t.Errorf("subscription %+v", list)
		}
		list.Name, list.Created, list.Updated = "", time.Time{}, time.Time{}
		got = append(got, list)
	}
	want := []courier.Subscription{{ID: "a/b", Preferences: lists[0].Preferences}, {ID: "ü"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("subscriptions (-want +got):\n%s", diff)
	}
	if _, err := client.Profiles.Lists.UnsubscribeAll(t.Context(), "a/b"); err != nil {
		t.Fatal(err)
	}
	if left := fake.Subscriptions("a/b"); len(left) != 0 {
		t.Errorf("left are %v", left)
	}
}
