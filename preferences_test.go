package courier_test

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"

	courier "github.com/courier-profiles/courier-go"
)

func TestPreferencesRead(t *testing.T) {
	number := func(text string) json.Number { return json.Number(text) }
	for _, test := range []struct {
		name, text string
		want       courier.Preferences
	}{
		{"documented", `{"categories":{"c1":{"status":"OPTED_OUT","rules":[{"until":"2021-01-01T00:00:00Z","start":"2020-01-01T00:00:00Z"},{"type":"snooze","until":"u","start":null}],` +
			`"channel_preferences":[{"channel":"direct_message"},{"channel":"inbox"}]}},"notifications":{"n1":{"status":"REQUIRED"},"n2":{"status":"OPTED_IN"}}}`,
			courier.Preferences{
				Categories: map[string]courier.Preference{"c1": {
					Status:             "OPTED_OUT",
					Rules:              []courier.PreferenceRule{{Until: "2021-01-01T00:00:00Z", Start: "2020-01-01T00:00:00Z"}, {Until: "u", Type: "snooze"}},
					ChannelPreferences: []courier.ChannelPreference{{Channel: "direct_message"}, {Channel: "inbox"}},
				}},
				Notifications: map[string]courier.Preference{"n1": {Status: "REQUIRED"}, "n2": {Status: "OPTED_IN"}},
			}},
		{"both null", `{"categories":null,"notifications":null}`, courier.Preferences{}},
		{"empty", `{}`, courier.Preferences{}},
		{"empty maps", `{"categories":{},"notifications":{}}`, courier.Preferences{Categories: map[string]courier.Preference{}, Notifications: map[string]courier.Preference{}}},
		{"nulls in a detail", `{"categories":{"c":{"status":null,"rules":null,"channel_preferences":null}}}`, courier.Preferences{Categories: map[string]courier.Preference{"c": {}}}},
		{"empty lists", `{"categories":{"c":{"rules":[],"channel_preferences":[]}}}`, courier.Preferences{Categories: map[string]courier.Preference{
			"c": {Rules: []courier.PreferenceRule{}, ChannelPreferences: []courier.ChannelPreference{}},
		}}},
		{"keys of any kind", `{"notifications":{"":{},"a/b":{},"\u00fc":{},"Extra":{}}}`, courier.Preferences{Notifications: map[string]courier.Preference{"": {}, "a/b": {}, "ü": {}, "Extra": {}}}},
		{"unknown members everywhere", `{"x":1.0,"categories":{"c":{"x":{"y":[null]},"rules":[{"x":9007199254740993}],"channel_preferences":[{"x":"<"}]}}}`, courier.Preferences{
			Categories: map[string]courier.Preference{"c": {
				Rules:              []courier.PreferenceRule{{Extra: map[string]any{"x": number("9007199254740993")}}},
				ChannelPreferences: []courier.ChannelPreference{{Extra: map[string]any{"x": "<"}}},
				Extra:              map[string]any{"x": map[string]any{"y": []any{nil}}},
			}},
			Extra: map[string]any{"x": number("1.0")},
		}},
		{"maps that do not fit", `{"categories":[],"notifications":"all"}`, courier.Preferences{Extra: map[string]any{"categories": []any{}, "notifications": "all"}}},
		{"a detail that does not fit", `{"categories":{"a":{},"b":"x"},"notifications":{"n":null}}`, courier.Preferences{Extra: map[string]any{
			"categories": map[string]any{"a": map[string]any{}, "b": "x"}, "notifications": map[string]any{"n": nil},
		}}},
		{"parts that do not fit", `{"categories":{"c":{"status":5,"rules":{"until":"u"},"channel_preferences":["email"]},"d":{"rules":[{"until":5,"start":[],"type":{}}],"channel_preferences":[{"channel":true}]}}}`,
			courier.Preferences{Categories: map[string]courier.Preference{
				"c": {Extra: map[string]any{"status": number("5"), "rules": map[string]any{"until": "u"}, "channel_preferences": []any{"email"}}},
				"d": {
					Rules:              []courier.PreferenceRule{{Extra: map[string]any{"until": number("5"), "start": []any{}, "type": map[string]any{}}}},
					ChannelPreferences: []courier.ChannelPreference{{Extra: map[string]any{"channel": true}}},
				},
			}}},
		{"half of a list fits", `{"categories":{"c":{"rules":[{"until":"u"},5]}}}`, courier.Preferences{Categories: map[string]courier.Preference{
			"c": {Extra: map[string]any{"rules": []any{map[string]any{"until": "u"}, number("5")}}},
		}}},
		{"half surrogates", `{"categories":{"c":{"status":"\ud800"}},"notifications":{"n\ud800":{}}}`, courier.Preferences{
			Categories: map[string]courier.Preference{"c": {Extra: map[string]any{"status": json.RawMessage(`"\ud800"`)}}},
			Extra:      map[string]any{"notifications": json.RawMessage(`{"n\ud800":{}}`)},
		}},
		{"duplicates, the last wins", `{"categories":{"a":{}},"categories":{"c":{"status":"x"},"c":{"rules":[]}},"notifications":5,"notifications":{},"x":1,"x":2}`, courier.Preferences{
			Categories: map[string]courier.Preference{"c": {Rules: []courier.PreferenceRule{}}}, Notifications: map[string]courier.Preference{}, Extra: map[string]any{"x": number("2")},
		}},
		{"duplicates, the last does not fit", `{"categories":{"a":{}},"categories":5,"notifications":{"n":{"status":"x","status":[]}}}`, courier.Preferences{
			Notifications: map[string]courier.Preference{"n": {Extra: map[string]any{"status": []any{}}}}, Extra: map[string]any{"categories": number("5")},
		}},
		{"duplicates, the last is null", `{"categories":{"a":{}},"categories":null,"notifications":{"n":{"status":"x","status":null}}}`, courier.Preferences{Notifications: map[string]courier.Preference{"n": {}}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := apiClient(t, apiAnswer(200, `{"profile":{},"preferences":`+test.text+`}`)).Profiles.Get(t.Context(), "user-1")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(&test.want, got.Preferences); diff != "" {
				t.Errorf("preferences (-want +got):\n%s", diff)
			}
			var direct courier.Preferences
			if err := json.Unmarshal([]byte(test.text), &direct); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, direct); diff != "" {
				t.Errorf("json.Unmarshal (-want +got):\n%s", diff)
			}
		})
	}
}

// Every part is written as it was read, by encoding/json too.
func TestPreferencesRoundTrip(t *testing.T) {
	for _, test := range []struct {
		into  any
		texts []string
	}{
		{new(courier.Preferences), []string{`{}`, `{"categories":{}}`, `{"categories":{"c":{"status":"a","rules":[{}],"x":1.0}},"notifications":{},"y":null}`, `{"categories":5}`, `{"categories":{"a":null}}`, `{"Categories":{}}`}},
		{new(courier.Preference), []string{`{}`, `{"status":"a","rules":[],"channel_preferences":[{"channel":"c"}],"x":[1e400]}`, `{"status":5,"rules":"x"}`, `{"x":"<&>"}`}},
		{new(courier.PreferenceRule), []string{`{}`, `{"until":"u","start":"s","type":"snooze","x":0.10}`, `{"until":5}`}},
		{new(courier.ChannelPreference), []string{`{}`, `{"channel":"email","x":{}}`, `{"channel":["email"]}`}},
	} {
		for _, text := range test.texts {
			if err := json.Unmarshal([]byte(text), test.into); err != nil {
				t.Errorf("%T, %s: %v", test.into, text, err)
				continue
			}
			for _, value := range []any{test.into, reflect.ValueOf(test.into).Elem().Interface()} {
				got, err := json.Marshal(value)
				if err != nil || apiExact(t, string(got)) != apiExact(t, text) {
					t.Errorf("%T, %s: written as %s, error %v", value, text, got, err)
				}
			}
		}
		before := reflect.ValueOf(test.into).Elem().Interface()
		for _, text := range []string{`[]`, `"x"`, `5`, `true`, `null`} {
			err := json.Unmarshal([]byte(text), test.into)
			if (err == nil) != (text == "null") {
				t.Errorf("%T, %s: error %v", test.into, text, err)
			}
			if diff := cmp.Diff(before, reflect.ValueOf(test.into).Elem().Interface()); diff != "" {
				t.Errorf("%T, %s changed (-before +after):\n%s", test.into, text, diff)
			}
		}
	}
}
