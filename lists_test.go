package courier_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jarcoal/httpmock"

	courier "github.com/courier-profiles/courier-go"
)

// Preferences.

// number is a number that was read.
func number(text string) json.Number { return json.Number(text) }

func TestPreferencesRead(t *testing.T) {
	t.Parallel()
	preference := func(p courier.Preference) courier.Preferences {
		return courier.Preferences{Categories: map[string]courier.Preference{"c": p}}
	}
	for _, test := range []struct {
		text string
		want courier.Preferences
	}{
		{`{"categories":{"c":{"status":"OPTED_OUT","rules":[{"until":"2021-01-01T00:00:00Z","start":"s"},{"type":"snooze","until":"u","start":null}],"channel_preferences":[{"channel":"direct_message"},{"channel":"inbox"}]}}}`,
			preference(courier.Preference{
				Status: "OPTED_OUT", Rules: []courier.PreferenceRule{{Until: "2021-01-01T00:00:00Z", Start: "s"}, {Until: "u", Type: "snooze"}},
				ChannelPreferences: []courier.ChannelPreference{{Channel: "direct_message"}, {Channel: "inbox"}},
			})},
		{`{}`, courier.Preferences{}},
		{`{"categories":null,"notifications":null}`, courier.Preferences{}},
		{`{"categories":{},"notifications":{}}`, courier.Preferences{Categories: map[string]courier.Preference{}, Notifications: map[string]courier.Preference{}}},
		{`{"categories":{"c":{"status":null,"rules":null,"channel_preferences":null}}}`, preference(courier.Preference{})},
		{`{"categories":{"c":{"rules":[],"channel_preferences":[]}}}`, preference(courier.Preference{Rules: []courier.PreferenceRule{}, ChannelPreferences: []courier.ChannelPreference{}})},
		{`{"notifications":{"":{},"a/b":{},"\u00fc":{},"Extra":{}},"Categories":1}`, courier.Preferences{Notifications: map[string]courier.Preference{"": {}, "a/b": {}, "ü": {}, "Extra": {}}, Extra: object{"Categories": number("1")}}},
		{`{"categories":{"c":{"x":{"y":[null]},"rules":[{"x":9007199254740993}],"channel_preferences":[{"x":"<"}]}}}`,
			preference(courier.Preference{Rules: []courier.PreferenceRule{{Extra: object{"x": number("9007199254740993")}}}, ChannelPreferences: []courier.ChannelPreference{{Extra: object{"x": "<"}}}, Extra: object{"x": object{"y": []any{nil}}}})},
		// What does not fit goes to Extra, as little of it as possible.
		{`{"categories":[],"notifications":"all"}`, courier.Preferences{Extra: object{"categories": []any{}, "notifications": "all"}}},
		{`{"categories":{"a":{},"b":"x"}}`, courier.Preferences{Extra: object{"categories": object{"a": object{}, "b": "x"}}}},
		{`{"categories":{"c":{"status":5,"rules":{"until":"u"},"channel_preferences":["email"]}}}`, preference(courier.Preference{Extra: object{"status": number("5"), "rules": object{"until": "u"}, "channel_preferences": []any{"email"}}})},
		{`{"categories":{"c":{"rules":[{"until":5,"start":[],"type":{}}],"channel_preferences":[{"channel":true}]}}}`,
			preference(courier.Preference{Rules: []courier.PreferenceRule{{Extra: object{"until": number("5"), "start": []any{}, "type": object{}}}}, ChannelPreferences: []courier.ChannelPreference{{Extra: object{"channel": true}}}})},
		{`{"categories":{"c":{"rules":[{"until":"u"},5]}}}`, preference(courier.Preference{Extra: object{"rules": []any{object{"until": "u"}, number("5")}}})},
		{`{"categories":{"c":{"status":"\ud800","x":{"\ud800":1}}}}`, preference(courier.Preference{Extra: object{"status": json.RawMessage(`"\ud800"`), "x": json.RawMessage(`{"\ud800":1}`)}})},
		{`{"notifications":{"n\ud800":{},"n\ud801":{}}}`, courier.Preferences{Extra: object{"notifications": json.RawMessage(`{"n\ud800":{},"n\ud801":{}}`)}}},
		// Of duplicate keys, the last wins.
		{`{"categories":{"a":{}},"categories":{"c":{"status":"x"},"c":{"rules":[]}},"notifications":5,"notifications":{},"x":1,"x":2}`,
			courier.Preferences{Categories: map[string]courier.Preference{"c": {Rules: []courier.PreferenceRule{}}}, Notifications: map[string]courier.Preference{}, Extra: object{"x": number("2")}}},
		{`{"categories":{"a":{}},"categories":5}`, courier.Preferences{Extra: object{"categories": number("5")}}},
		{`{"categories":{"c":{"status":"x","status":null}},"notifications":{"n":{}},"notifications":null}`, preference(courier.Preference{})},
	} {
		got, err := respondingClient(t, httpmock.NewStringResponder(200, `{"profile":{},"preferences":`+test.text+`}`)).Profiles.Get(t.Context(), "user-1")
		if err != nil {
			t.Errorf("%s: %v", test.text, err)
			continue
		}
		if diff := cmp.Diff(&test.want, got.Preferences); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.text, diff)
		}
		for _, engine := range engines {
			held := struct{ P *courier.Preferences }{}
			direct := courier.Preferences{Extra: map[string]any{"before": 1}}
			if err := errors.Join(engine.unmarshal([]byte(test.text), &direct), engine.unmarshal([]byte(`{"P":`+test.text+`}`), &held)); err != nil {
				t.Errorf("%s, %s: %v", engine.name, test.text, err)
			} else if diff := cmp.Diff(&test.want, &direct) + cmp.Diff(&test.want, held.P); diff != "" {
				t.Errorf("%s, %s (-want +got):\n%s", engine.name, test.text, diff)
			}
		}
	}
	for _, engine := range engines {
		for _, text := range []string{`[]`, `"x"`, `5`, `{"categories":}`, "{\"x\":\"\xff\"}", "{\"categories\":{\"\xff\":{}}}"} {
			var p courier.Preferences
			if err := engine.unmarshal([]byte(text), &p); err == nil {
				t.Errorf("%s: %q is read as %v", engine.name, text, p)
			}
		}
	}
}

// TestSubscribeWithWhatWasRead: preferences that Page or Get returned are sent as they
// were, but for a null member, which is unset.
func TestSubscribeWithWhatWasRead(t *testing.T) {
	t.Parallel()
	for _, preferences := range []string{
		`{}`,
		`{"categories":{"c":{"status":"OPTED_IN","rules":[{"until":"u","start":"s","n":1.0}],"channel_preferences":[{"channel":"email"}],"y":{"z":[9007199254740993]}}},"x":1e400}`,
		`{"categories":{},"notifications":{"":{}}}`,
		`{"categories":{"a":5,"b":{}},"notifications":"all"}`,
		`{"categories":[],"notifications":{"n":{"status":5,"rules":{},"channel_preferences":["email"]}}}`,
		`{"notifications":{"n":{"rules":[{"until":1591814489093}],"status":"\ud800"}}}`,
		`{"notifications":{"n":{"x":"\ud800\ufffd","y":"\\ufffd","z":"<&>\u2028"},"\\ufffd":{}}}`,
		`{"notifications":{"n":{"x":{"\ud800":1,"\ud801":2}}}}`,
		`{"notifications":{"\ud800":{"status":"a"},"\ud801":{"status":"b"}}}`,
		`{"categories":{"c":{"\ud800":1,"\ud801":2,"status":"a"}}}`,
		`{"categories":{"c":{"rules":[{"\ud800":1,"\ud801":2}]}}}`,
		`{"":{"":0},"x":1,"x":{"a":1},"x":{"b":2}}`,
	} {
		var p courier.Preferences
		if err := json.Unmarshal([]byte(preferences), &p); err != nil {
			t.Errorf("%s: %v", preferences, err)
			continue
		}
		client, body := recordingClient(t)
		if _, err := client.Profiles.Lists.Subscribe(t.Context(), "user-1", []courier.ListSubscription{{ListID: "a", Preferences: &p}}); err != nil {
			t.Errorf("%s: %v", preferences, err)
			continue
		}
		sameJSON(t, "Subscribe", `{"lists":[{"listId":"a","preferences":`+preferences+`}]}`, *body)
		for _, engine := range engines {
			for _, value := range []any{p, &p} {
				text, err := engine.marshal(value)
				if err != nil {
					t.Errorf("%s, %s: %v", engine.name, preferences, err)
					continue
				}
				sameJSON(t, engine.name, preferences, string(text))
			}
		}
	}
}

// Subscriptions.

func TestPageReads(t *testing.T) {
	t.Parallel()
	created := time.Date(2020, 6, 10, 18, 41, 29, 93_000_000, time.UTC)
	for _, test := range []struct {
		text string
		want courier.Subscription
	}{
		{`{"id":"l1","name":"List 1","created":"2020-06-10T18:41:29.093Z","updated":"2020-06-10T18:41:30Z","preferences":{"notifications":{"n":{"status":"OPTED_IN"}}}}`,
			courier.Subscription{ID: "l1", Name: "List 1", Created: created, Updated: created.Truncate(time.Second).Add(time.Second), Preferences: &courier.Preferences{Notifications: map[string]courier.Preference{"n": {Status: "OPTED_IN"}}}}},
		{`{}`, courier.Subscription{}},
		{`{"id":null,"name":null,"created":null,"updated":null,"preferences":null}`, courier.Subscription{}},
		{`{"preferences":{}}`, courier.Subscription{Preferences: &courier.Preferences{}}},
		{`{"id":"l1","x":{"y":[1.0,null]},"ID":"other","":0}`, courier.Subscription{ID: "l1", Extra: object{"x": object{"y": []any{number("1.0"), nil}}, "ID": "other", "": number("0")}}},
		{`{"id":5,"name":{"a":"b"},"preferences":"all"}`, courier.Subscription{Extra: object{"id": number("5"), "name": object{"a": "b"}, "preferences": "all"}}},
		{`{"id":"\ud800"}`, courier.Subscription{Extra: object{"id": json.RawMessage(`"\ud800"`)}}},
		{`{"created":"2020-06-10T20:41:29.093+02:00","updated":"2020-06-10T18:41:29.093-00:00"}`, courier.Subscription{Created: created, Updated: created}},
		{`{"created":"2020-06-10T18:41:29.093000001Z"}`, courier.Subscription{Created: created.Add(1)}},
		// A time that cannot be read is the zero time, and like all that does not fit in Extra.
		{`{"created":"yesterday","updated":""}`, courier.Subscription{Extra: object{"created": "yesterday", "updated": ""}}},
		{`{"created":"2020-06-10","updated":1591814489093}`, courier.Subscription{Extra: object{"created": "2020-06-10", "updated": number("1591814489093")}}},
		{`{"created":"2020-02-30T00:00:00Z","updated":["2020-06-10T18:41:29.093Z"]}`, courier.Subscription{Extra: object{"created": "2020-02-30T00:00:00Z", "updated": []any{"2020-06-10T18:41:29.093Z"}}}},
		{`{"id":"x","id":"l1","created":1,"created":"2020-06-10T18:41:29.093Z","name":"n","name":5,"preferences":{},"preferences":null}`, courier.Subscription{ID: "l1", Created: created, Extra: object{"name": number("5")}}},
	} {
		page, err := respondingClient(t, httpmock.NewStringResponder(200, `{"results":[`+test.text+`,{"id":"next"}]}`)).Profiles.Lists.Page(t.Context(), "user-1", "")
		if err != nil {
			t.Errorf("%s: %v", test.text, err)
			continue
		}
		sameTime := cmp.Comparer(func(a, b time.Time) bool { return a.Equal(b) })
		if diff := cmp.Diff([]courier.Subscription{test.want, {ID: "next"}}, page.Subscriptions, sameTime); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.text, diff)
		}
	}
}

func TestPageResponses(t *testing.T) {
	t.Parallel()
	one := []courier.Subscription{{ID: "a"}}
	for body, want := range map[string]courier.SubscriptionPage{
		`{"paging":{"cursor":"c==","more":true},"results":[{"id":"a"}]}`: {Subscriptions: one, Cursor: "c==", More: true},
		`{"results":[{"id":"a"}],"paging":{"cursor":null,"more":null}}`:  {Subscriptions: one},
		`{"results":[{"id":"a"}],"paging":{"x":[{}]}}`:                   {Subscriptions: one},
		`{"results":[{"id":"a"}],"paging":null}`:                         {Subscriptions: one},
		`{"results":[{"id":"a"}],"x":{"more":true}}`:                     {Subscriptions: one},
		`{"results":[]}`:   {Subscriptions: []courier.Subscription{}},
		`{"results":null}`: {},
		`{"results":null,"paging":{"more":true,"cursor":"c"}}`: {Cursor: "c", More: true},
		// Of duplicate keys, the last wins.
		`{"results":5,"results":[{"id":"x","id":"a"}]}`:                                                                 {Subscriptions: one},
		`{"results":[{"id":"a"}],"paging":{"cursor":"x","more":true},"paging":null}`:                                    {Subscriptions: one},
		`{"results":[{"id":"a"}],"paging":{"cursor":"x","more":true},"paging":{}}`:                                      {Subscriptions: one},
		`{"results":[{"id":"a"}],"paging":{"cursor":"x","more":true,"more":null,"cursor":null}}`:                        {Subscriptions: one},
		`{"results":[{"id":"a"}],"paging":[],"paging":{"cursor":[],"more":1,"cursor":"c","more":true}}`:                 {Subscriptions: one, Cursor: "c", More: true},
		`{"results":[{"id":"x"},{"id":"y"}],"paging":{"more":true,"cursor":"c"},"results":[{"id":"a"}],"Results":[{}]}`: {Subscriptions: one, Cursor: "c", More: true},
	} {
		page, err := respondingClient(t, httpmock.NewStringResponder(200, body)).Profiles.Lists.Page(t.Context(), "user-1", "")
		if err != nil {
			t.Errorf("%s: %v", body, err)
			continue
		}
		page.Response = courier.Response{}
		if diff := cmp.Diff(&want, page); diff != "" {
			t.Errorf("%s (-want +got):\n%s", body, diff)
		}
	}
	for _, body := range []string{
		`{}`, `{"paging":{"more":false}}`, `{"Results":[]}`, `{"results":{}}`, `{"results":"CANARY"}`, `{"results":[1]}`, `{"results":[null]}`, `{"results":[[]]}`, `{"results":[{"id":"CANARY"},"b"]}`, `{"results":[],"results":"CANARY"}`,
		`{"results":[],"paging":[]}`, `{"results":[],"paging":"CANARY"}`, `{"results":[],"paging":{"more":"true"}}`, `{"results":[],"paging":{"more":1}}`, `{"results":[],"paging":{"cursor":5}}`, `{"results":[],"paging":{"cursor":"\ud800","more":true}}`,
		`{"results":[{"id":"CANARY"}`, `{"results":[{},]}`, `{"results":[{"x":` + strings.Repeat("[", 20_000) + `]}`,
	} {
		client := respondingClient(t, httpmock.NewStringResponder(200, body))
		page, err := client.Profiles.Lists.Page(t.Context(), "user-1", "")
		if wantUnexpected(t, "list subscriptions", body, err); page != nil {
			t.Errorf("%.100q: %v along with the error", body, page)
		}
		ids, err := allIDs(t, client)
		if wantUnexpected(t, "list subscriptions", body, err); ids != nil {
			t.Errorf("%.100q: All yields %v", body, ids)
		}
	}
}

// allIDs returns the ids that All yields, and the error at its end.
func allIDs(t *testing.T, client *courier.Client) (ids []string, err error) {
	t.Helper()
	for list, yielded := range client.Profiles.Lists.All(t.Context(), "user-1") {
		if err != nil {
			t.Error("All yields something after an error")
		}
		if err = yielded; err == nil {
			ids = append(ids, list.ID)
		} else if diff := cmp.Diff(courier.Subscription{}, list); diff != "" {
			t.Errorf("along with the error:\n%s", diff)
		}
	}
	return ids, err
}

// pagesClient returns a client of a server that responds to each cursor with its page, and
// the cursors that were asked for.
func pagesClient(t *testing.T, pages map[string]string) (*courier.Client, *[]string) {
	asked := new([]string)
	return respondingClient(t, func(req *http.Request) (*http.Response, error) {
		cursor := req.URL.Query().Get("cursor")
		page, ok := pages[cursor]
		if *asked = append(*asked, cursor); !ok || len(*asked) > 100 { // a client that goes round has to stop
			return httpmock.NewStringResponse(400, `{"message":"unknown cursor","type":"invalid_request_error"}`), nil
		}
		return httpmock.NewStringResponse(200, page), nil
	}), asked
}

func pageOf(cursor string, more bool, ids ...string) string {
	results := make([]string, len(ids))
	for i, id := range ids {
		results[i] = fmt.Sprintf(`{"id":%q}`, id)
	}
	text, _ := json.Marshal(cursor)
	return fmt.Sprintf(`{"paging":{"cursor":%s,"more":%t},"results":[%s]}`, text, more, strings.Join(results, ","))
}

func TestAll(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 4000)
	for _, test := range []struct {
		name  string
		pages map[string]string
		asked []string
		want  []string
	}{
		{"one page", map[string]string{"": pageOf("", false, "a", "b")}, []string{""}, []string{"a", "b"}},
		{"no subscriptions", map[string]string{"": `{"results":null}`}, []string{""}, nil},
		{"three pages", map[string]string{"": pageOf("1", true, "a", "b"), "1": pageOf("2", true), "2": pageOf("", false, "a", "d")}, []string{"", "1", "2"}, []string{"a", "b", "a", "d"}},
		{"a cursor, but no more", map[string]string{"": pageOf("1", false, "a")}, []string{""}, []string{"a"}},
		{"cursors that need escaping", map[string]string{"": pageOf("a b+c&d=e#f?g/h%2Fi", true, "a"), "a b+c&d=e#f?g/h%2Fi": pageOf("ü✓;\x00\n", true, "b"), "ü✓;\x00\n": pageOf("=&cursor=x", true), "=&cursor=x": pageOf("eyJhIjoiYiJ9==", true), "eyJhIjoiYiJ9==": pageOf(long, true), long: pageOf("", false, "c")},
			[]string{"", "a b+c&d=e#f?g/h%2Fi", "ü✓;\x00\n", "=&cursor=x", "eyJhIjoiYiJ9==", long}, []string{"a", "b", "c"}},
	} {
		client, asked := pagesClient(t, test.pages)
		all := client.Profiles.Lists.All(t.Context(), "user-1")
		if len(*asked) != 0 {
			t.Errorf("%s: All itself sends a request", test.name)
		}
		for range 2 { // the iterator can be used again
			*asked = nil
			var ids []string
			for list, err := range all {
				if err != nil {
					t.Fatalf("%s: %v", test.name, err)
				}
				ids = append(ids, list.ID)
			}
			if !slices.Equal(ids, test.want) || !slices.Equal(*asked, test.asked) {
				t.Errorf("%s: got %q with %q, want %q with %q", test.name, ids, *asked, test.want, test.asked)
			}
		}
	}

	client, asked := pagesClient(t, map[string]string{"": pageOf("1", true, "a", "b"), "1": pageOf("", false, "c")})
	for range client.Profiles.Lists.All(t.Context(), "user-1") {
		break
	}
	if len(*asked) != 1 {
		t.Errorf("%d requests for the first subscription", len(*asked))
	}
}

func TestAllErrors(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name       string
		pages      map[string]string
		want       []string
		requests   int
		unexpected bool
	}{
		{"no cursor", map[string]string{"": `{"results":[{"id":"a"}],"paging":{"more":true}}`}, []string{"a"}, 1, true},
		{"null", map[string]string{"": `{"results":[{"id":"a"}],"paging":{"cursor":null,"more":true}}`}, []string{"a"}, 1, true},
		{"its own", map[string]string{"": pageOf("1", true, "a"), "1": pageOf("1", true, "b")}, []string{"a", "b"}, 2, true},
		{"a cycle", map[string]string{"": pageOf("1", true, "a"), "1": pageOf("2", true), "2": pageOf("1", true, "c")}, []string{"a", "c"}, 3, true},
		{"a page of another shape", map[string]string{"": pageOf("1", true, "a"), "1": `{"results":5}`}, []string{"a"}, 2, true},
		{"400", map[string]string{"": pageOf("gone", true, "a", "b")}, []string{"a", "b"}, 2, false},
	} {
		client, asked := pagesClient(t, test.pages)
		ids, err := allIDs(t, client)
		var unexpected *courier.UnexpectedResponseError
		var invalid *courier.InvalidRequestError
		if errors.As(err, &unexpected) != test.unexpected || errors.As(err, &invalid) == test.unexpected || !slices.Equal(ids, test.want) || len(*asked) != test.requests {
			t.Errorf("%s: got %q with %d requests, error %v", test.name, ids, len(*asked), err)
		}
	}
}

func TestSubscribeBody(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		lists []courier.ListSubscription
		want  string
	}{
		{[]courier.ListSubscription{{ListID: "b"}, {ListID: "a"}, {ListID: "b"}}, `[{"listId":"b"},{"listId":"a"},{"listId":"b"}]`},
		{[]courier.ListSubscription{{ListID: "<a&b>/\"\\\u2028ü\n"}}, `[{"listId":"<a&b>/\"\\` + "\u2028" + `ü\n"}]`},
		{[]courier.ListSubscription{{ListID: "a", Preferences: &courier.Preferences{}}}, `[{"listId":"a","preferences":{}}]`},
		{[]courier.ListSubscription{{ListID: "a", Preferences: &courier.Preferences{
			Categories: map[string]courier.Preference{
				"c2": {Status: "OPTED_OUT", Rules: []courier.PreferenceRule{{Until: "u", Start: "s", Type: "snooze", Extra: map[string]any{"x": 1}}, {}}},
				"c1": {ChannelPreferences: []courier.ChannelPreference{{Channel: "email"}, {Extra: map[string]any{"y": nil}}}, Extra: map[string]any{"z": json.Number("1.0")}},
			},
			Notifications: map[string]courier.Preference{"": {}, "<n>": {Status: "<&>", Rules: []courier.PreferenceRule{}}},
			Extra:         map[string]any{"e": []int{1}},
		}}}, `[{"listId":"a","preferences":{"categories":{"c1":{"channel_preferences":[{"channel":"email"},{"y":null}],"z":1.0},` +
			`"c2":{"status":"OPTED_OUT","rules":[{"until":"u","start":"s","type":"snooze","x":1},{}]}},"notifications":{"":{},"<n>":{"status":"<&>","rules":[]}},"e":[1]}}]`},
	} {
		client, body := recordingClient(t)
		if _, err := client.Profiles.Lists.Subscribe(t.Context(), "user-1", test.lists); err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff(`{"lists":`+test.want+`}`, *body); diff != "" {
			t.Errorf("body (-want +got):\n%s", diff)
		}
	}
}
