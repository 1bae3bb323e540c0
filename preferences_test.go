package courier_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	courier "github.com/courier-profiles/courier-go"
	"github.com/google/go-cmp/cmp"
)

// ofCategory returns preferences of one category, "c".
func ofCategory(p courier.Preference) courier.Preferences {
	return courier.Preferences{Categories: map[string]courier.Preference{"c": p}}
}

// ofRule returns preferences of one category with one rule.
func ofRule(r courier.PreferenceRule) courier.Preferences {
	return ofCategory(courier.Preference{Rules: []courier.PreferenceRule{r}})
}

// readPreferences are preferences as Courier may send them. What does not fit goes to Extra,
// as little of it as possible, and null is unset.
var readPreferences = []struct {
	text string
	want courier.Preferences
}{
	{`{}`, courier.Preferences{}},
	{`{"categories":null,"notifications":null}`, courier.Preferences{}},
	{`{"categories":{},"notifications":{}}`, courier.Preferences{
		Categories:    map[string]courier.Preference{},
		Notifications: map[string]courier.Preference{},
	}},
	{`{"notifications":{"":{},"a/b":{},"\u00fc":{},"Extra":{}},"Categories":1}`,
		courier.Preferences{
			Notifications: map[string]courier.Preference{"": {}, "a/b": {}, "ü": {}, "Extra": {}},
			Extra:         object{"Categories": json.Number("1")},
		}},
	{`{"categories":{"c":{"status":"OPTED_OUT","rules":[{"until":"2021-01-01T00:00:00Z",
		"start":"s"},{"type":"snooze","until":"u","start":null}],
		"channel_preferences":[{"channel":"direct_message"},{"channel":"inbox"}]}}}`,
		ofCategory(courier.Preference{
			Status: "OPTED_OUT",
			Rules: []courier.PreferenceRule{
				{Until: "2021-01-01T00:00:00Z", Start: "s"}, {Until: "u", Type: "snooze"},
			},
			ChannelPreferences: []courier.ChannelPreference{
				{Channel: "direct_message"}, {Channel: "inbox"},
			},
		})},
	{`{"categories":{"c":{"status":null,"rules":null,"channel_preferences":null}}}`,
		ofCategory(courier.Preference{})},
	{`{"categories":{"c":{"rules":[],"channel_preferences":[]}}}`,
		ofCategory(courier.Preference{
			Rules: []courier.PreferenceRule{}, ChannelPreferences: []courier.ChannelPreference{},
		})},
	{`{"categories":{"c":{"x":{"y":[null]},"channel_preferences":[{"x":"<"}]}}}`,
		ofCategory(courier.Preference{
			ChannelPreferences: []courier.ChannelPreference{{Extra: object{"x": "<"}}},
			Extra:              object{"x": object{"y": []any{nil}}},
		})},
	{`{"categories":{"c":{"rules":[{"x":9007199254740993}]}}}`,
		ofRule(courier.PreferenceRule{Extra: object{"x": json.Number("9007199254740993")}})},

	// What does not fit.
	{`{"categories":[],"notifications":"all"}`,
		courier.Preferences{Extra: object{"categories": []any{}, "notifications": "all"}}},
	{`{"categories":{"a":{},"b":"x"}}`,
		courier.Preferences{Extra: object{"categories": object{"a": object{}, "b": "x"}}}},
	{`{"categories":{"a":null}}`,
		courier.Preferences{Extra: object{"categories": object{"a": nil}}}},
	{`{"categories":{"c":{"status":5,"rules":{"until":"u"},"channel_preferences":["email"]}}}`,
		ofCategory(courier.Preference{Extra: object{
			"status": json.Number("5"), "rules": object{"until": "u"},
			"channel_preferences": []any{"email"},
		}})},
	{`{"categories":{"c":{"rules":[{"until":5,"start":[],"type":{}}]}}}`,
		ofRule(courier.PreferenceRule{Extra: object{
			"until": json.Number("5"), "start": []any{}, "type": object{},
		}})},
	{`{"categories":{"c":{"channel_preferences":[{"channel":true}]}}}`,
		ofCategory(courier.Preference{ChannelPreferences: []courier.ChannelPreference{
			{Extra: object{"channel": true}},
		}})},
	{`{"categories":{"c":{"rules":[{"until":"u"},5]}}}`,
		ofCategory(courier.Preference{Extra: object{
			"rules": []any{object{"until": "u"}, json.Number("5")},
		}})},

	// Unpaired surrogates.
	{`{"categories":{"c":{"status":"\ud800","x":{"\ud800":1}}}}`,
		ofCategory(courier.Preference{Extra: object{
			"status": json.RawMessage(`"\ud800"`), "x": json.RawMessage(`{"\ud800":1}`),
		}})},
	{`{"notifications":{"n\ud800":{},"n\ud801":{}}}`,
		courier.Preferences{Extra: object{
			"notifications": json.RawMessage(`{"n\ud800":{},"n\ud801":{}}`),
		}}},

	// Of duplicate keys, the last wins.
	{`{"categories":{"a":{}},"categories":{"c":{"status":"x"},"c":{"rules":[]}},"x":1,"x":2}`,
		courier.Preferences{
			Categories: map[string]courier.Preference{"c": {Rules: []courier.PreferenceRule{}}},
			Extra:      object{"x": json.Number("2")},
		}},
	{`{"notifications":5,"notifications":{}}`,
		courier.Preferences{Notifications: map[string]courier.Preference{}}},
	{`{"categories":{"a":{}},"categories":5}`,
		courier.Preferences{Extra: object{"categories": json.Number("5")}}},
	{`{"categories":{"c":{"status":"x","status":null}},"notifications":{},"notifications":null}`,
		ofCategory(courier.Preference{})},
	{`{"categories":{"c":{"rules":[{"until":"u"}],"rules":[{"start":"s"}]}}}`,
		ofRule(courier.PreferenceRule{Start: "s"})},
}

func TestPreferencesRead(t *testing.T) {
	t.Parallel()
	for _, test := range readPreferences {
		client := newClient(t, respond(200, `{"profile":{},"preferences":`+test.text+`}`))
		result, err := client.Profiles.Get(t.Context(), "user-1")
		if err != nil {
			t.Errorf("%s: %v", test.text, err)
			continue
		}
		if diff := cmp.Diff(&test.want, result.Preferences); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.text, diff)
		}
		for _, version := range jsonVersions {
			direct := courier.Preferences{Extra: object{"before": 1}}
			if err := version.unmarshal([]byte(test.text), &direct); err != nil {
				t.Errorf("%s: %s: %v", version.name, test.text, err)
			}
			if diff := cmp.Diff(test.want, direct); diff != "" {
				t.Errorf("%s: %s (-want +got):\n%s", version.name, test.text, diff)
			}
		}
	}
}

// TestPreferencesNull: whether a null is kept does not depend on the members beside it.
func TestPreferencesNull(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		`{"unknown":null,"notifications":null}`,
		`{"unknown":null,"notifications":null,"categories":1}`,
	} {
		var preferences courier.Preferences
		if err := json.Unmarshal([]byte(text), &preferences); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		value, kept := preferences.Extra["unknown"]
		if !kept || value != nil {
			t.Errorf("%s: got %v, %t for an unknown member that is null", text, value, kept)
		}
		if _, kept := preferences.Extra["notifications"]; kept {
			t.Errorf("%s: a field that is null is in Extra", text)
		}
	}
}

// TestPreferencesJSON: each version of encoding/json reads and writes each type of preferences,
// and Subscription, as the client does: members with a field and without, a member that does
// not fit, and exact numbers.
func TestPreferencesJSON(t *testing.T) {
	t.Parallel()
	keepsJSON[courier.Preferences](t,
		`{"categories":{"c":{"status":"OPTED_IN","x":1.0}},"notifications":[5],"y":{"z":null}}`)
	keepsJSON[courier.Preference](t,
		`{"status":5,"rules":[{"until":"u","x":1.0}],"channel_preferences":[{"channel":[]}]}`)
	keepsJSON[courier.PreferenceRule](t,
		`{"until":"u","start":"s","type":1.50,"x":9007199254740993}`)
	keepsJSON[courier.ChannelPreference](t, `{"channel":"email","x":"\ud800"}`)
	keepsJSON[courier.Subscription](t,
		`{"id":"a","name":5,"created":"2020-06-10T18:41:29.093Z","updated":"yesterday",
		"preferences":{"categories":{"c":{}}},"x":1.0}`)
	for _, text := range []string{
		`{}`,
		`{"categories":{},"notifications":{"":{}}}`,
		`{"categories":{"a":5,"b":{}},"notifications":"all"}`,
		`{"categories":[],"notifications":{"n":{"status":5,"rules":{},"channel_preferences":[1]}}}`,
		`{"notifications":{"n":{"rules":[{"until":1591814489093}],"status":"\ud800"}}}`,
		`{"notifications":{"n":{"x":"\ud800\ufffd","y":"\\ufffd","z":"<&>\u2028"},"\\ufffd":{}}}`,
		`{"notifications":{"n":{"x":{"\ud800":1,"\ud801":2}}}}`,
		`{"notifications":{"\ud800":{"status":"a"},"\ud801":{"status":"b"}}}`,
		`{"categories":{"c":{"\ud800":1,"\ud801":2,"status":"a"}}}`,
		`{"categories":{"c":{"rules":[{"\ud800":1,"\ud801":2}]}}}`,
		`{"":{"":0},"x":1,"x":{"a":1},"x":{"b":2}}`,
	} {
		keepsJSON[courier.Preferences](t, text)
	}
}

// keepsJSON fails unless a T comes back from each version of encoding/json as it was, alone and
// inside the caller's struct.
func keepsJSON[T any](t testing.TB, text string) {
	t.Helper()
	type holder struct {
		V    T
		List []T
		Map  map[string]T
	}
	inStruct := fmt.Sprintf(`{"V":%[1]s,"List":[%[1]s],"Map":{"k":%[1]s}}`, text)
	for _, reader := range jsonVersions {
		var value T
		if err := reader.unmarshal([]byte(text), &value); err != nil {
			t.Errorf("%s, %T: %s: %v", reader.name, value, text, err)
		}
		var held holder
		if err := reader.unmarshal([]byte(inStruct), &held); err != nil {
			t.Errorf("%s, %T: %s: %v", reader.name, held, text, err)
		}
		for _, writer := range jsonVersions {
			wantWritten(t, writer.name, writer.marshal, value, text)
			wantWritten(t, writer.name, writer.marshal, &value, text)
			wantWritten(t, writer.name, writer.marshal, held, inStruct)
			wantWritten(t, writer.name, writer.marshal, &held, inStruct)
		}
	}
}

// TestPreferencesAreSentAsRead: what Get returned can be sent with Subscribe.
func TestPreferencesAreSentAsRead(t *testing.T) {
	t.Parallel()
	const text = `{"categories":{"c":{"status":"OPTED_IN","rules":[{"until":"u","n":1.0}],
		"channel_preferences":[{"channel":"email"}],"y":{"z":[9007199254740993]}}},"x":1e400}`
	client := newClient(t, respond(200, `{"profile":{},"preferences":`+text+`}`))
	result, err := client.Profiles.Get(t.Context(), "user-1")
	if err != nil {
		t.Fatal(err)
	}
	body, err := subscribeBody(t, courier.ListSubscription{
		ListID: "a", Preferences: result.Preferences,
	})
	if err != nil {
		t.Fatal(err)
	}
	wantJSON(t, "Subscribe", `{"lists":[{"listId":"a","preferences":`+text+`}]}`, body)
}

// TestPreferencesRefuse: what is not an object is an error, and what was held is gone.
func TestPreferencesRefuse(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		`null`, `[]`, `"x"`, `5`, `{"categories":}`, `{"\ud800":1}`,
		"{\"x\":\"\xff\"}", "{\"\xff\":{}}",
	} {
		for _, version := range jsonVersions {
			var p courier.Preferences
			if err := version.unmarshal([]byte(text), &p); err == nil {
				t.Errorf("%s: %q is read as %v", version.name, text, p)
			}
			var s courier.Subscription
			if err := version.unmarshal([]byte(text), &s); err == nil {
				t.Errorf("%s: %q is read as %v", version.name, text, s)
			}
		}
	}
}

// TestReadingReplacesPreferences: nothing of what was held is left.
func TestReadingReplacesPreferences(t *testing.T) {
	t.Parallel()
	readReplaces(t, courier.Preferences{
		Categories: map[string]courier.Preference{"c": {}}, Extra: object{"x": 1},
	})
	readReplaces(t, courier.Preference{Status: "OPTED_IN", Extra: object{"x": 1}})
	readReplaces(t, courier.PreferenceRule{Until: "u", Extra: object{"x": 1}})
	readReplaces(t, courier.ChannelPreference{Channel: "email", Extra: object{"x": 1}})
	readReplaces(t, courier.Subscription{ID: "a", Created: time.Now(), Extra: object{"x": 1}})
}

func readReplaces[T any](t *testing.T, held T) {
	t.Helper()
	for _, version := range jsonVersions {
		got := held
		if err := version.unmarshal([]byte(`{}`), &got); err != nil {
			t.Errorf("%s, %T: %v", version.name, held, err)
		}
		if diff := cmp.Diff(*new(T), got); diff != "" {
			t.Errorf("%s, %T (-want +got):\n%s", version.name, held, diff)
		}
	}
}

func TestSubscriptionRead(t *testing.T) {
	t.Parallel()
	created := time.Date(2020, 6, 10, 18, 41, 29, 93_000_000, time.UTC)
	for text, want := range map[string]courier.Subscription{
		`{}`: {},
		`{"id":"a","name":"A","created":"2020-06-10T18:41:29.093Z","updated":null,
			"preferences":null}`: {ID: "a", Name: "A", Created: created},
		`{"preferences":{},"Id":"b"}`: {
			Preferences: &courier.Preferences{}, Extra: object{"Id": "b"},
		},
		// A time that cannot be read is the zero time, and stays in Extra.
		`{"created":"yesterday","updated":1591814489093}`: {Extra: object{
			"created": "yesterday", "updated": json.Number("1591814489093"),
		}},
		`{"id":5,"name":[],"preferences":"all"}`: {Extra: object{
			"id": json.Number("5"), "name": []any{}, "preferences": "all",
		}},
		`{"id":"a","created":"x","created":"2020-06-10T18:41:29.093Z","id":null}`: {
			Created: created,
		},
		`{"preferences":{"categories":{"a":{}}},"preferences":{"x":1}}`: {
			Preferences: &courier.Preferences{Extra: object{"x": json.Number("1")}},
		},
	} {
		for _, version := range jsonVersions {
			got := courier.Subscription{ID: "before", Extra: object{"x": 1}}
			if err := version.unmarshal([]byte(text), &got); err != nil {
				t.Errorf("%s: %s: %v", version.name, text, err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s: %s (-want +got):\n%s", version.name, text, diff)
			}
		}
		client := newClient(t, respond(200, `{"results":[`+text+`]}`))
		page, err := client.Profiles.Lists.Page(t.Context(), "user-1", "")
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if diff := cmp.Diff([]courier.Subscription{want}, page.Subscriptions); diff != "" {
			t.Errorf("Page, %s (-want +got):\n%s", text, diff)
		}
	}
}

// FuzzPreferences reads any object as preferences and as a subscription, and writes it. A member
// that is null or "" is the same as none, and a time may be written in another form.
func FuzzPreferences(f *testing.F) {
	for _, test := range readPreferences {
		f.Add(test.text)
		f.Add(`{"id":"a","created":5,"preferences":` + test.text + `}`)
	}
	for _, value := range keptValues {
		f.Add(fmt.Sprintf(`{"categories":%[1]s,"notifications":{"a":%[1]s},"status":%[1]s,
			"rules":[%[1]s],"until":%[1]s,"x":%[1]s,"name":%[1]s,"preferences":%[1]s}`, value))
	}
	f.Fuzz(func(t *testing.T, document string) {
		value, _ := exactly(document)
		members, isObject := value.(object)
		ok := isObject && !hasUnpairedKey(members)
		if strings.Contains(document, half) {
			return
		}
		for _, version := range jsonVersions {
			var p courier.Preferences
			if err := version.unmarshal([]byte(document), &p); (err == nil) != ok {
				t.Errorf("%s, Preferences: %q gives the error %v", version.name, document, err)
			}
			var s courier.Subscription
			if err := version.unmarshal([]byte(document), &s); (err == nil) != ok {
				t.Errorf("%s, Subscription: %q gives the error %v", version.name, document, err)
			}
		}
		if !ok || strings.Contains(document, "null") || strings.Contains(document, `""`) {
			return
		}
		keepsJSON[courier.Preferences](t, document)
		keepsJSON[courier.Preference](t, document)
		keepsJSON[courier.PreferenceRule](t, document)
		keepsJSON[courier.ChannelPreference](t, document)
		if members["created"] == nil && members["updated"] == nil {
			keepsJSON[courier.Subscription](t, document)
		}
	})
}
