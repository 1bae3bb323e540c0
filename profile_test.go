package courier_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"reflect"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unsafe"

	courier "github.com/courier-profiles/courier-go"
	"github.com/google/go-cmp/cmp"
	"github.com/jarcoal/httpmock"
)

// referenceKey is a key of the API reference, the Go field for it, a value of that field, and
// the JSON of the value.
type referenceKey struct {
	key   string
	field string
	value any
	text  string
}

// referenceKeys are the keys of the Profiles API reference, by the path of their object.
var referenceKeys = map[string][]referenceKey{
	"": {
		{"sub", "Sub", courier.Set("s"), `"s"`},
		{"name", "Name", courier.Set("n"), `"n"`},
		{"given_name", "GivenName", courier.Set("g"), `"g"`},
		{"family_name", "FamilyName", courier.Set("f"), `"f"`},
		{"middle_name", "MiddleName", courier.Set("m"), `"m"`},
		{"nickname", "Nickname", courier.Set("nick"), `"nick"`},
		{"preferred_name", "PreferredName", courier.Set("pn"), `"pn"`},
		{"preferred_username", "PreferredUsername", courier.Set("pu"), `"pu"`},
		{"profile", "ProfileURL", courier.Set("https://x/?a&b"), `"https://x/?a&b"`},
		{"picture", "Picture", courier.Set("p"), `"p"`},
		{"website", "Website", courier.Set("w"), `"w"`},
		{"email", "Email", courier.Set("e@example.com"), `"e@example.com"`},
		{"email_verified", "EmailVerified", courier.Set(true), `true`},
		{"gender", "Gender", courier.Set(""), `""`},
		{"birthdate", "Birthdate", courier.Set("0000-12-10"), `"0000-12-10"`},
		{"zoneinfo", "Zoneinfo", courier.Set("Europe/Paris"), `"Europe/Paris"`},
		{"locale", "Locale", courier.Set("fr-FR"), `"fr-FR"`},
		{"phone_number", "PhoneNumber", courier.Set("+15555550100"), `"+15555550100"`},
		{"phone_number_verified", "PhoneNumberVerified", courier.Set(false), `false`},
		{"updated_at", "UpdatedAt", courier.Set("2026-01-01"), `"2026-01-01"`},
		{
			"address", "Address",
			courier.Set(courier.Address{Country: courier.Set("FR")}), `{"country":"FR"}`,
		},
		{
			"custom", "Custom",
			courier.Set(map[string]any{"a": json.Number("1.0"), "b": []any{nil, "x"}}),
			`{"a":1.0,"b":[null,"x"]}`,
		},
		{
			"airship", "Airship",
			courier.Set(courier.Airship{DeviceTypes: courier.Set([]string{"ios"})}),
			`{"device_types":["ios"]}`,
		},
		{"apn", "APN", courier.Set(courier.APN{Token: courier.Set("t")}), `{"token":"t"}`},
		{
			"aws_sns", "AWSSNS",
			courier.Set(courier.AWSSNS{TargetARN: courier.Set("arn")}), `{"target_arn":"arn"}`,
		},
		{
			"chat_api", "ChatAPI",
			courier.Set(courier.ChatAPI{ChatID: courier.Set("c")}), `{"chat_id":"c"}`,
		},
		{
			"courier", "Courier",
			courier.Set(courier.CourierChannel{Channel: courier.Set("c")}), `{"channel":"c"}`,
		},
		{
			"discord", "Discord",
			courier.Set(courier.Discord{UserID: courier.Set("u")}), `{"user_id":"u"}`,
		},
		{
			"expo", "Expo", courier.Set(courier.Expo{
				Token: courier.Set("t"), Tokens: courier.Set(courier.TokenList("u")),
			}), `{"token":"t","tokens":["u"]}`,
		},
		{"facebookPSID", "FacebookPSID", courier.Set("fb"), `"fb"`},
		{"firebaseToken", "FirebaseToken", courier.Set(courier.Token("ft")), `"ft"`},
		{
			"intercom", "Intercom",
			courier.Set(courier.Intercom{From: courier.Set("f")}), `{"from":"f"}`,
		},
		{
			"magicbell", "MagicBell",
			courier.Set(courier.MagicBell{ExternalID: courier.Set("e")}), `{"external_id":"e"}`,
		},
		{
			"ms_teams", "MSTeams",
			courier.Set(courier.MSTeams{TeamID: courier.Set("t")}), `{"team_id":"t"}`,
		},
		{"oneSignalExternalUserId", "OneSignalExternalUserID", courier.Set("oe"), `"oe"`},
		{"oneSignalPlayerID", "OneSignalPlayerID", courier.Set("os"), `"os"`},
		{
			"pagerduty", "PagerDuty",
			courier.Set(courier.PagerDuty{RoutingKey: courier.Set("r")}), `{"routing_key":"r"}`,
		},
		{
			"pusher", "Pusher",
			courier.Set(courier.Pusher{Channel: courier.Set("c")}), `{"channel":"c"}`,
		},
		{
			"pusherBeams", "PusherBeams",
			courier.Set(courier.PusherBeams{Mode: courier.Set("m")}), `{"mode":"m"}`,
		},
		{
			"slack", "Slack",
			courier.Set(courier.Slack{Channel: courier.Set("c")}), `{"channel":"c"}`,
		},
		{
			"splunk_on_call", "SplunkOnCall", courier.Set(courier.SplunkOnCall{
				Target: courier.Set(courier.SplunkOnCallTarget{Slug: courier.Set("s")}),
			}), `{"target":{"slug":"s"}}`,
		},
		{
			"streamChat", "StreamChat",
			courier.Set(courier.StreamChat{MessageID: courier.Set("m")}), `{"messageId":"m"}`,
		},
		{
			"viber", "Viber",
			courier.Set(courier.Viber{Receiver: courier.Set("r")}), `{"receiver":"r"}`,
		},
		{"webhook", "Webhook", courier.Set(courier.Webhook{}), `{}`},
	},
	"address": {
		{"formatted", "Formatted", courier.Set("f\ng"), `"f\ng"`},
		{"street_address", "StreetAddress", courier.Set("s"), `"s"`},
		{"locality", "Locality", courier.Set("l"), `"l"`},
		{"region", "Region", courier.Set("r"), `"r"`},
		{"postal_code", "PostalCode", courier.Set("p"), `"p"`},
		{"country", "Country", courier.Set("c"), `"c"`},
	},
	"airship": {
		{
			"audience", "Audience",
			courier.Set(courier.AirshipAudience{NamedUser: courier.Set("n")}),
			`{"named_user":"n"}`,
		},
		{
			"device_types", "DeviceTypes",
			courier.Set([]string{"ios", "android"}), `["ios","android"]`,
		},
	},
	"airship.audience": {{"named_user", "NamedUser", courier.Set("n"), `"n"`}},
	"apn": {
		{"token", "Token", courier.Set("t"), `"t"`},
		{"tokens", "Tokens", courier.Set(courier.Token("t")), `"t"`},
	},
	"aws_sns": {{"target_arn", "TargetARN", courier.Set("arn"), `"arn"`}},
	"chat_api": {
		{"phone_number", "PhoneNumber", courier.Set("p"), `"p"`},
		{"chat_id", "ChatID", courier.Set("c"), `"c"`},
	},
	"courier": {{"channel", "Channel", courier.Set("c"), `"c"`}},
	"discord": {
		{"channel_id", "ChannelID", courier.Set("c"), `"c"`},
		{"user_id", "UserID", courier.Set("u"), `"u"`},
	},
	"expo": {
		{"token", "Token", courier.Set("t"), `"t"`},
		{"tokens", "Tokens", courier.Set(courier.TokenList("a", "b")), `["a","b"]`},
	},
	"intercom": {
		{"from", "From", courier.Set("f"), `"f"`},
		{
			"to", "To",
			courier.Set(courier.IntercomRecipient{ID: courier.Set("i")}), `{"id":"i"}`,
		},
	},
	"intercom.to": {{"id", "ID", courier.Set("i"), `"i"`}},
	"magicbell":   {{"external_id", "ExternalID", courier.Set("e"), `"e"`}},
	"ms_teams": {
		{"tenant_id", "TenantID", courier.Set("1"), `"1"`},
		{"service_url", "ServiceURL", courier.Set("2"), `"2"`},
		{"user_id", "UserID", courier.Set("3"), `"3"`},
		{"email", "Email", courier.Set("4"), `"4"`},
		{"channel_id", "ChannelID", courier.Set("5"), `"5"`},
		{"conversation_id", "ConversationID", courier.Set("6"), `"6"`},
		{"channel_name", "ChannelName", courier.Set("7"), `"7"`},
		{"team_id", "TeamID", courier.Set("8"), `"8"`},
	},
	"pagerduty": {
		{"routing_key", "RoutingKey", courier.Set("r"), `"r"`},
		{"event_action", "EventAction", courier.Set("e"), `"e"`},
		{"severity", "Severity", courier.Set("s"), `"s"`},
		{"source", "Source", courier.Set("o"), `"o"`},
	},
	"pusher": {{"channel", "Channel", courier.Set("c"), `"c"`}},
	"pusherBeams": {
		{"interests", "Interests", courier.Set([]string{"a", "b"}), `["a","b"]`},
		{"userIds", "UserIDs", courier.Set([]string{}), `[]`},
		{"mode", "Mode", courier.Set("m"), `"m"`},
	},
	"slack": {
		{"access_token", "AccessToken", courier.Set("1"), `"1"`},
		{"channel", "Channel", courier.Set("2"), `"2"`},
		{"email", "Email", courier.Set("3"), `"3"`},
		{"user_id", "UserID", courier.Set("4"), `"4"`},
		{
			"incoming_webhook", "IncomingWebhook",
			courier.Set(courier.SlackIncomingWebhook{URL: courier.Set("u")}), `{"url":"u"}`,
		},
	},
	"slack.incoming_webhook": {{"url", "URL", courier.Set("u"), `"u"`}},
	"splunk_on_call": {
		{
			"target", "Target",
			courier.Set(courier.SplunkOnCallTarget{Type: courier.Set("t")}), `{"type":"t"}`,
		},
	},
	"splunk_on_call.target": {
		{"type", "Type", courier.Set("t"), `"t"`},
		{"slug", "Slug", courier.Set("s"), `"s"`},
	},
	"streamChat": {
		{"channelType", "ChannelType", courier.Set("t"), `"t"`},
		{"channelId", "ChannelID", courier.Set("c"), `"c"`},
		{"messageId", "MessageID", courier.Set("m"), `"m"`},
	},
	"viber": {{"receiver", "Receiver", courier.Set("r"), `"r"`}},
	"webhook": {
		{"url", "URL", courier.Set("u"), `"u"`},
		{"method", "Method", courier.Set("POST"), `"POST"`},
		{
			"headers", "Headers",
			courier.Set(map[string]string{"X-A": "1", "x-a": "<2>"}), `{"X-A":"1","x-a":"<2>"}`,
		},
		{
			"authentication", "Authentication",
			courier.Set(courier.WebhookAuthentication{Mode: courier.Set("none")}),
			`{"mode":"none"}`,
		},
		{"profile", "Profile", courier.Set("expanded"), `"expanded"`},
	},
	"webhook.authentication": {
		{"mode", "Mode", courier.Set("basic"), `"basic"`},
		{"username", "Username", courier.Set("u"), `"u"`},
		{"password", "Password", courier.Set("p"), `"p"`},
		{"token", "Token", courier.Set("t"), `"t"`},
	},
}

// nested returns text as the value at a path of keys.
func nested(path, text string) string {
	for _, key := range slices.Backward(strings.Split(path, ".")) {
		if key != "" {
			text = fmt.Sprintf(`{%q:%s}`, key, text)
		}
	}
	return text
}

// editObject calls edit with the object at a path of keys in p, and writes it back.
func editObject(t testing.TB, p *courier.Profile, path string, edit func(reflect.Value)) {
	t.Helper()
	if path == "" {
		edit(reflect.ValueOf(p).Elem())
		return
	}
	outer, name := "", path
	if i := strings.LastIndexByte(path, '.'); i >= 0 {
		outer, name = path[:i], path[i+1:]
	}
	keys := referenceKeys[outer]
	i := slices.IndexFunc(keys, func(k referenceKey) bool { return k.key == name })
	if i < 0 {
		t.Fatalf("the reference has no key %s", path)
	}
	editObject(t, p, outer, func(object reflect.Value) {
		update := object.FieldByName(keys[i].field).Addr().MethodByName("Update")
		callback := func(args []reflect.Value) []reflect.Value {
			edit(args[0].Elem())
			return nil
		}
		update.Call([]reflect.Value{reflect.MakeFunc(update.Type().In(0), callback)})
	})
}

// anyField is what a Field can do, whatever its type.
type anyField interface {
	IsNull() bool
	IsUnset() bool
	Mismatch() json.RawMessage
}

// TestEveryKeyHasItsField reads and writes each key of the reference in each state.
func TestEveryKeyHasItsField(t *testing.T) {
	t.Parallel()
	for path, keys := range referenceKeys {
		for _, key := range keys {
			t.Run(strings.TrimPrefix(path+"."+key.key, "."), func(t *testing.T) {
				t.Parallel()
				member := func(text string) string { return fmt.Sprintf(`{%q:%s}`, key.key, text) }
				for _, state := range []struct {
					name, document  string
					unset, null     bool
					value, mismatch string
				}{
					{name: "unset", document: `{}`, unset: true},
					{name: "null", document: member(`null`), null: true, value: `null`},
					{name: "value", document: member(key.text), value: key.text},
					{
						name: "mismatch", document: member(`[12.50, {}]`),
						value: `[12.50, {}]`, mismatch: `[12.50, {}]`,
					},
				} {
					document := nested(path, state.document)
					read := readProfile(t, document)
					wantJSON(t, state.name, document, profileJSON(t, read))
					var made courier.Profile
					editObject(t, &made, path, func(object reflect.Value) {
						setField(t, object, key, state.value)
					})
					if diff := cmp.Diff(made, read); diff != "" {
						t.Errorf("%s: %s is read as (-want +got):\n%s", state.name, document, diff)
					}
					editObject(t, &read, path, func(object reflect.Value) {
						f := object.FieldByName(key.field).Interface().(anyField)
						if f.IsUnset() != state.unset {
							t.Errorf("%s: IsUnset is %t", state.name, f.IsUnset())
						}
						if f.IsNull() != state.null {
							t.Errorf("%s: IsNull is %t", state.name, f.IsNull())
						}
						if got := string(f.Mismatch()); got != state.mismatch {
							t.Errorf("%s: Mismatch is %s", state.name, got)
						}
					})
				}
				// A key in another case is another key.
				upper := nested(path, fmt.Sprintf(`{%q:1}`, strings.ToUpper(key.key)))
				p := readProfile(t, upper)
				wantJSON(t, "upper case", upper, profileJSON(t, p))
				editObject(t, &p, path, func(object reflect.Value) {
					if f := object.FieldByName(key.field).Interface().(anyField); !f.IsUnset() {
						t.Errorf("%s sets %s", upper, key.field)
					}
				})
			})
		}
	}
}

// setField sets the field of key in object: to the value of the reference where text is that
// value's, to what reading text gives elsewhere. "" leaves it unset.
func setField(t testing.TB, object reflect.Value, key referenceKey, text string) {
	t.Helper()
	field := object.FieldByName(key.field)
	if !field.IsValid() || field.Type() != reflect.TypeOf(key.value) {
		t.Fatalf("%s has no field %s of type %T", object.Type(), key.field, key.value)
	}
	switch text {
	case "":
	case key.text:
		field.Set(reflect.ValueOf(key.value))
	default:
		if err := json.Unmarshal([]byte(text), field.Addr().Interface()); err != nil {
			t.Fatal(err)
		}
	}
}

// TestEveryFieldHasItsKey: each field of the structs in a Profile has a tag with omitzero, and
// is in the reference.
func TestEveryFieldHasItsKey(t *testing.T) {
	t.Parallel()
	visited := 0
	var visit func(path string, object reflect.Type)
	visit = func(path string, object reflect.Type) {
		visited++
		want := map[string]string{"Extra": ",embed"}
		for _, key := range referenceKeys[path] {
			want[key.field] = key.key + ",omitzero"
		}
		got := map[string]string{}
		for field := range object.Fields() {
			got[field.Name] = field.Tag.Get("json")
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("tags of %s (-want +got):\n%s", object, diff)
		}
		extra, _ := object.FieldByName("Extra")
		if extra.Type != reflect.TypeFor[map[string]any]() {
			t.Errorf("%s.Extra is a %s", object, extra.Type)
		}
		for _, key := range referenceKeys[path] {
			get, _ := reflect.TypeOf(key.value).MethodByName("Get")
			inner := get.Type.Out(0)
			isTokens := inner == reflect.TypeFor[courier.Tokens]()
			if inner.Kind() == reflect.Struct && !isTokens {
				visit(strings.TrimPrefix(path+"."+key.key, "."), inner)
			}
		}
	}
	visit("", reflect.TypeFor[courier.Profile]())
	if visited != len(referenceKeys) {
		t.Errorf("a Profile has %d objects, the reference %d", visited, len(referenceKeys))
	}
}

// TestKeyInExtraAndField: a key in Extra that is also a set field, null or not, is refused. An
// unset field leaves the key to Extra.
func TestKeyInExtraAndField(t *testing.T) {
	t.Parallel()
	const reason = "a key appears twice: one that is set as a field must not be in Extra"
	for path, keys := range referenceKeys {
		for _, key := range keys {
			full := strings.TrimPrefix(path+"."+key.key, ".")
			for _, text := range []string{key.text, `null`, `[[]]`} {
				var p courier.Profile
				editObject(t, &p, path, func(object reflect.Value) {
					setField(t, object, key, text)
					extra := map[string]any{key.key: "CANARY"}
					object.FieldByName("Extra").Set(reflect.ValueOf(extra))
				})
				body, err := mergeBody(t, p)
				if body != "" {
					t.Errorf("%s: sent %s", full, body)
				}
				wantRefused(t, err, full, "profile."+full, reason)
				for _, version := range jsonVersions {
					_, err := version.marshal(&struct{ P *courier.Profile }{&p})
					wantRefused(t, err, version.name, full, reason)
				}
			}
			var p courier.Profile
			editObject(t, &p, path, func(object reflect.Value) {
				extra := map[string]any{key.key: "x"}
				object.FieldByName("Extra").Set(reflect.ValueOf(extra))
			})
			want := nested(full, `"x"`)
			wantJSON(t, full, want, profileJSON(t, p))
		}
	}
}

// Lossless.

// keptValues are values of every kind, most of which fit no field.
var keptValues = []string{
	`null`, `true`, `"true"`, `""`, `"1 Main St"`,
	`0`, `-0`, `-0.0`, `1.0`, `1E400`, `-1e-400`, `1e+05`, `9007199254740993`,
	`0.10000000000000000000000001`, `123456789012345678901234567890`,
	`[]`, `{}`, `[null]`, `[[]]`, `[{}]`, `[""]`, `["a","b"]`, `["a",1]`, `["a",null]`,
	`[{"token":"a"}]`, `["a",{"token":"b"}]`, `[{"token":"a","x":1}]`, `[{"token":null}]`,
	`{"":""}`, `{"":{"":[]}}`, `{"a":1,"A":2}`, `{"Extra":{"x":1},"extra":2}`,
	`{"unknown":{"deep":[{"er":1.50}]},"null":null,"empty":""}`,
	`"\ud800"`, `["\udc00"]`, `{"a":"\ud800"}`, `{"\ud800":1,"\ud801":2}`,
	`{"a":{"b\udc00":[1.0]},"a\u0000":""}`, `[{"\ud800":"x"},{"x":{"\udfff":1.0}}]`,
	`{"a":1,"a":2}`, `{"a":{"b":1},"a":{"c":2.0}}`, `{"a":"b","a":"c"}`,
	`{"\u0061":1.0,"a":"\ud800"}`, `{"\u0061":1.0,"a":2}`, `"\\ufffd"`,
	`"\u0000\u001f\"\\\/\u2028<>&` + "\u007f\ufffd" + `\ufffd\ud83d\ude00"`,
	` { "a" : [ 1 , 2 ] } `,
	`{"country":1,"headers":null,"id":[],"url":{},"token":true,"tokens":"x","mode":[]}`,
	`{"country":"x","headers":{"a":"b"},"id":"x","url":"x","token":"x","tokens":["x"],"more":1}`,
}

// keptProfiles are documents that a profile has to keep.
var keptProfiles = []string{
	`{}`,
	"\n\t{ \"email\" :\r\"a\" ,\"x\": [ ] }\n",
	`{"email_verified":"true","phone_number_verified":0,"address":"1 Main St","custom":"x"}`,
	`{"apn":"bare","target_arn":"arn:aws:sns:x","slack":"U1","discord":1,"expo":"x"}`,
	`{"airship":[],"intercom":true,"ms_teams":"","webhook":"https://example.com"}`,
	`{"address":null,"slack":null,"custom":null,"firebaseToken":null,"expo":{"tokens":null}}`,
	`{"airship":{"device_types":null},"webhook":{"headers":null,"authentication":null}}`,
	`{"firebaseToken":"a","expo":{"tokens":[{"token":"a"},{"token":"b"}],"token":"c"}}`,
	`{"firebaseToken":["a",{"token":"b"}],"apn":{"tokens":{"token":"a"},"token":1}}`,
	`{"n":1E400,"m":-0,"o":1.0,"p":9007199254740993,"phone_number":15555550100}`,
	`{"address":{"postal_code":75001.0},"custom":{"q":0.1e-7,"r":1e+2,"s":100}}`,
	`{"email":"a","Email":"b","EMAIL":"c","eMail":null}`,
	`{"":{"":{"":""}},"address":{"":1},"custom":{"":[]}}`,
	`{"airship":{"audience":{"named_user":"x","tag":"y"},"device_types":["ios",1],"more":1}}`,
	`{"intercom":{"from":{"type":"admin","id":"1"},"to":{"id":1,"type":"user"}}}`,
	`{"slack":{"access_token":"x","more":{},"incoming_webhook":{"url":"u","more":[{}]}}}`,
	`{"webhook":{"headers":{"a":"b","n":1},"authentication":{"password":1,"scope":"s"}}}`,
	`{"webhook":{"headers":{"\ud800":"a"}}}`,
	`{"webhook":{"headers":{"a":"b","a":"c"}}}`,
	`{"Extra":{"x":1},"extra":null,"address":{"Extra":1},"profile":"u","status":"SUCCESS"}`,
	`{"email":"\ud800","custom":{"\ud800":1,"b":[1.0]},"address":{"\udc00":1,"country":"FR"}}`,
	`{"slack":{"incoming_webhook":{"\ud800":1},"email":"e"},"x":[{"\ud800":"\udc00"}]}`,
	`{"email":"a\u0000b","name":"\"\\\/\b\f\n\r\t\u2028<script>&amp;","x":"\\ufffd"}`,
	"{\"name\":\"\ufffd\",\"n\\u0061me2\":\"\\ufffd\",\"x\":\"\\\\ufffd\"}",
	`{"email":"a","\u0065mail":"b"}`,
	`{"email":1,"email":null}`,
	`{"email":null,"email":"a","email":2.0}`,
	`{"x":{"a":1},"x":{"b":1}}`,
	`{"address":{"country":"FR","x":1},"address":{"region":"R"}}`,
	`{"address":"x","address":{"country":"FR"}}`,
	`{"address":{},"address":{"\ud800":1}}`,
	`{"custom":{"a":1},"custom":{"b":2}}`,
	`{"__proto__":{"a":1},"constructor":1,"toString":null,"length":0}`,
	`{"email":"` + strings.Repeat("a", 5000) + `","` + strings.Repeat("k", 5000) + `":1}`,
}

// readProfile reads a profile.
func readProfile(t testing.TB, document string) courier.Profile {
	t.Helper()
	var p courier.Profile
	if err := p.UnmarshalJSON([]byte(document)); err != nil {
		t.Fatalf("%.300s: %v", document, err)
	}
	return p
}

// profileJSON writes a profile.
func profileJSON(t testing.TB, p courier.Profile) string {
	t.Helper()
	text, err := p.MarshalJSON()
	if err != nil {
		t.Fatalf("MarshalJSON: %v", err)
	}
	return string(text)
}

// callersUser has a profile in each way in which a caller's struct may have one.
type callersUser struct {
	Value   courier.Profile
	Pointer *courier.Profile               `json:"pointer,omitzero"`
	Field   courier.Field[courier.Profile] `json:",omitzero"`
	List    []courier.Profile
	Map     map[string]courier.Profile
	Any     any
}

// wantRoundTrip fails unless a profile comes back from each version of encoding/json as it was.
func wantRoundTrip(t testing.TB, document string) {
	t.Helper()
	for _, reader := range jsonVersions {
		p := courier.Profile{Email: courier.Set("before"), Extra: object{"x": 1}}
		if err := reader.unmarshal([]byte(document), &p); err != nil {
			t.Fatalf("%s: %.300s: %v", reader.name, document, err)
		}
		for _, writer := range jsonVersions {
			wantWritten(t, writer.name, writer.marshal, p, document)
			wantWritten(t, writer.name, writer.marshal, &p, document)
		}
	}
}

// wantRoundTripInStruct is wantRoundTrip for a profile inside the caller's struct.
func wantRoundTripInStruct(t testing.TB, document string) {
	t.Helper()
	inStruct := fmt.Sprintf(`{"Value":%[1]s,"pointer":%[1]s,"Field":%[1]s,"List":[%[1]s],
		"Map":{"k":%[1]s},"Any":null}`, document)
	for _, reader := range jsonVersions {
		var user callersUser
		if err := reader.unmarshal([]byte(inStruct), &user); err != nil {
			t.Fatalf("%s: %.300s: %v", reader.name, document, err)
		}
		for _, writer := range jsonVersions {
			wantWritten(t, writer.name, writer.marshal, user, inStruct)
			wantWritten(t, writer.name, writer.marshal, &user, inStruct)
		}
	}
}

// wantWritten fails unless marshal writes value as want.
func wantWritten(
	t testing.TB, name string, marshal func(any) ([]byte, error), value any, want string,
) {
	t.Helper()
	text, err := marshal(value)
	if err != nil {
		t.Errorf("%s, %T: %v", name, value, err)
		return
	}
	wantJSON(t, fmt.Sprintf("%s, %T", name, value), want, string(text))
}

func TestProfileRoundTrip(t *testing.T) {
	t.Parallel()
	for _, document := range keptProfiles {
		wantRoundTrip(t, document)
		wantRoundTripInStruct(t, document)
	}
	for path, keys := range referenceKeys {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			ofType := map[reflect.Type]referenceKey{} // one key of each type is enough
			for _, key := range keys {
				ofType[reflect.TypeOf(key.value)] = key
			}
			for _, value := range keptValues {
				wantRoundTrip(t, nested(path+".x", value))
				for _, key := range ofType {
					wantRoundTrip(t, nested(path, fmt.Sprintf(
						`{"before":%[2]s,%[1]q:%[3]s,%[1]q:%[2]s,"Behind":%[2]s}`,
						key.key, value, key.text)))
					wantRoundTrip(t, nested(path, fmt.Sprintf(
						`{%[1]q:%[2]s,%[1]q:%[3]s}`, key.key, value, key.text)))
				}
			}
		})
	}
}

// changes change one field each.
var changes = []struct {
	path  string
	value any // what exactly returns for it
	apply func(*courier.Profile)
}{
	{"email", "new", func(p *courier.Profile) { p.Email = courier.Set("new") }},
	{"email", nil, func(p *courier.Profile) { p.Email = courier.Null[string]() }},
	{"webhook", nil, func(p *courier.Profile) { p.Webhook = courier.Null[courier.Webhook]() }},
	{"custom", object{}, func(p *courier.Profile) { p.Custom = courier.Set[object](nil) }},
	{"unknown", json.Number("7"), func(p *courier.Profile) {
		if p.Extra == nil {
			p.Extra = object{}
		}
		p.Extra["unknown"] = 7
	}},
	{"address.country", "new", func(p *courier.Profile) {
		replaceIn(&p.Address, func(a *courier.Address) { a.Country = courier.Set("new") })
	}},
	{"expo.tokens", []any{"new"}, func(p *courier.Profile) {
		tokens := courier.Set(courier.TokenList("new"))
		replaceIn(&p.Expo, func(e *courier.Expo) { e.Tokens = tokens })
	}},
	{"slack.channel", nil, func(p *courier.Profile) {
		replaceIn(&p.Slack, func(s *courier.Slack) { s.Channel = courier.Null[string]() })
	}},
	{"webhook.headers", object{"new": "x"}, func(p *courier.Profile) {
		headers := courier.Set(map[string]string{"new": "x"})
		replaceIn(&p.Webhook, func(w *courier.Webhook) { w.Headers = headers })
	}},
}

// replaceIn edits the object in a Field, and replaces one that does not fit.
func replaceIn[T any](f *courier.Field[T], edit func(*T)) {
	if !f.Update(edit) {
		*f = courier.Field[T]{}
		f.Update(edit)
	}
}

// wantOnlyChange gets a profile, changes one field, and replaces the profile, once for each
// change. It fails if anything else changes.
func wantOnlyChange(t testing.TB, document string) {
	t.Helper()
	replaced := ""
	client := newClient(t, func(req *http.Request) (*http.Response, error) {
		if req.Method == http.MethodGet {
			return respond(200, `{"profile":`+document+`}`)(req)
		}
		text, err := io.ReadAll(req.Body)
		replaced = string(text)
		return httpmock.NewStringResponse(204, ""), err
	})
	for _, change := range changes {
		got, err := client.Profiles.Get(t.Context(), "user-1")
		if err != nil {
			t.Fatalf("%.300s: %v", document, err)
		}
		change.apply(&got.Profile)
		if _, err := client.Profiles.Replace(t.Context(), "user-1", got.Profile); err != nil {
			t.Fatalf("%.300s after a change of %s: %v", document, change.path, err)
		}
		want, _ := exactly(document)
		profile := want.(object)
		key, member, isNested := strings.Cut(change.path, ".")
		inner, isObject := profile[key].(object)
		switch {
		case !isNested:
			profile[key] = change.value
		case isObject && !hasUnpairedKey(inner):
			inner[member] = change.value
		default: // a mismatch
			profile[key] = object{member: change.value}
		}
		wantValue(t, "after a change of "+change.path, object{"profile": want}, replaced)
	}
}

// hasUnpairedKey reports whether a key has an unpaired surrogate.
func hasUnpairedKey(members object) bool {
	for key := range members {
		if strings.Contains(key, half) {
			return true
		}
	}
	return false
}

// TestGetChangeReplace: nothing changes but the field that was changed.
func TestGetChangeReplace(t *testing.T) {
	t.Parallel()
	for _, document := range keptProfiles {
		wantOnlyChange(t, document)
	}
}

// randomDocuments makes profiles of known and unknown keys, with values that fit and do not.
type randomDocuments struct{ *rand.Rand }

func (r randomDocuments) object(path string, depth int) string {
	unknown := []string{"a", "A", "", `\u00e9`, "email", `\ud83d\ude00`, "<", "Extra"}
	var members []string
	for range r.IntN(7) {
		key := `"` + unknown[r.IntN(len(unknown))] + `"`
		value := r.value(depth - 1)
		if keys := referenceKeys[path]; len(keys) > 0 && r.IntN(4) > 0 {
			known := keys[r.IntN(len(keys))]
			inner := strings.TrimPrefix(path+"."+known.key, ".")
			key = strconv.Quote(known.key)
			if referenceKeys[inner] != nil && r.IntN(3) > 0 {
				value = r.object(inner, depth-1)
			} else if r.IntN(2) == 0 {
				value = known.text
			}
		}
		members = append(members, key+" :\n"+value)
	}
	return "{" + strings.Join(members, " ,\t") + "}"
}

func (r randomDocuments) value(depth int) string {
	if depth > 0 {
		switch r.IntN(6) {
		case 0:
			return r.object("unknown", depth-1)
		case 1:
			return "[" + r.value(depth-1) + ", " + r.value(depth-1) + "]"
		}
	}
	return keptValues[r.IntN(len(keptValues))]
}

// FuzzProfileRoundTrip reads any text, changes it, and writes it.
func FuzzProfileRoundTrip(f *testing.F) {
	for _, value := range keptValues {
		f.Add(fmt.Sprintf(`{"email":%[1]s,"address":{"country":%[1]s},"custom":%[1]s,"x":%[1]s,
			"expo":{"tokens":%[1]s},"webhook":{"headers":%[1]s}}`, value))
	}
	for _, document := range []string{
		``, `null`, ` null `, `[]`, `"x"`, `1`, `{"\ud800":1}`, "{\"a\":\"\xff\"}", `{"a":1}x`,
		`{"a":1,}`, "\ufeff{}",
	} {
		f.Add(document)
	}
	random := randomDocuments{rand.New(rand.NewPCG(6, 0))}
	for range 20 {
		f.Add(random.object("", 4))
	}
	f.Fuzz(func(t *testing.T, document string) {
		if strings.Contains(document, half) || strings.TrimSpace(document) == "null" {
			return // null is an empty profile
		}
		value, _ := exactly(document)
		members, isObject := value.(object)
		if isObject && !hasUnpairedKey(members) {
			wantRoundTrip(t, document)
			wantRoundTripInStruct(t, document)
			wantOnlyChange(t, document)
			return
		}
		for _, version := range jsonVersions {
			var p courier.Profile
			if err := version.unmarshal([]byte(document), &p); err == nil {
				t.Errorf("%s: %.300q is read as %v", version.name, document, p)
			}
		}
	})
}

// TestReadingReplacesAProfile: null makes it empty.
func TestReadingReplacesAProfile(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]courier.Profile{
		`null`:       {},
		`{}`:         {},
		`{"name":1}`: {Name: readField[string](t, `1`)},
		`{"y":[]}`:   {Extra: object{"y": []any{}}},
	} {
		for _, version := range jsonVersions {
			p := courier.Profile{
				Email: courier.Set("x"), Address: courier.Set(courier.Address{}),
				Extra: object{"x": 1},
			}
			if err := version.unmarshal([]byte(text), &p); err != nil {
				t.Errorf("%s: %s: %v", version.name, text, err)
			}
			if diff := cmp.Diff(want, p); diff != "" {
				t.Errorf("%s: %s (-want +got):\n%s", version.name, text, diff)
			}
		}
	}
}

// TestFailedReadLeavesNoProfile: half of a profile could be written back.
func TestFailedReadLeavesNoProfile(t *testing.T) {
	t.Parallel()
	for _, version := range jsonVersions {
		p := courier.Profile{Email: courier.Set("before")}
		err := version.unmarshal([]byte(`{"name":"a","\ud800":1}`), &p)
		if err == nil {
			t.Errorf("%s: no error", version.name)
		}
		if !cmp.Equal(p, courier.Profile{}) {
			t.Errorf("%s: after the error, got %v", version.name, p)
		}
	}
}

// TestAddressAlone: by itself, an Address or channel object is read and written by v2, and
// from Go 1.27 on by v1 as well. It is a plain struct there.
func TestAddressAlone(t *testing.T) {
	t.Parallel()
	for _, version := range jsonVersions {
		if version.name == "encoding/json" && strings.HasPrefix(runtime.Version(), "go1.26") {
			continue // Extra is a member there
		}
		for _, text := range []string{
			`{}`, `{"country":"FR","region":null,"x":null}`, `{"country":[1],"x":"<"}`,
			`{"x":{"n":1.5}}`,
		} {
			var address courier.Address
			if err := version.unmarshal([]byte(text), &address); err != nil {
				t.Errorf("%s: %s: %v", version.name, text, err)
			}
			for _, value := range []any{address, &address} {
				got, err := version.marshal(value)
				if err != nil {
					t.Errorf("%s: %s: %v", version.name, text, err)
					continue
				}
				wantJSON(t, version.name, text, string(got))
			}
		}
	}
}

// TestProfileSize: a run keeps many profiles in memory.
func TestProfileSize(t *testing.T) {
	t.Parallel()
	const words = 800 / 8 // on a machine of 64 bits
	if got := unsafe.Sizeof(courier.Profile{}) / unsafe.Sizeof(uintptr(0)); got > words {
		t.Errorf("a Profile takes %d words, want at most %d", got, words)
	}
}

// TestKeptStringsAreCopies: what is kept of a response does not hold on to its body.
func TestKeptStringsAreCopies(t *testing.T) {
	const responses, size = 40, 100_000
	i := 0
	client := newClient(t, func(req *http.Request) (*http.Response, error) {
		i++
		return respond(200, fmt.Sprintf(`{"profile":{"email":"user-%d@example.com",
			"phone_number":15555550100,"n":1.50,"pad":"%s","x%[1]d":{"k":"%[3]s"}}}`,
			i, strings.Repeat("x", size), strings.Repeat("x", 1000)))(req)
	})
	var kept []any
	get := func() {
		got, err := client.Profiles.Get(t.Context(), "user-1")
		if err != nil {
			t.Fatal(err)
		}
		p := got.Profile
		kept = append(kept, p.Email, p.PhoneNumber, p.Extra["n"], p.Extra["x"+strconv.Itoa(i)])
	}
	get() // fills pools
	before := liveHeap()
	for range responses {
		get()
	}
	if grown := liveHeap() - before; grown > 1<<20 {
		t.Errorf("%d values of profiles of %d bytes hold %d bytes", len(kept), size, grown)
	}
	if got := fmt.Sprint(kept[:3]); got != "[user-1@example.com 15555550100 1.50]" {
		t.Errorf("got %s", got)
	}
}

// TestGetSharesNothing: a result is the caller's own, and is no part of the next one.
func TestGetSharesNothing(t *testing.T) {
	t.Parallel()
	client := newClient(t, respond(200, `{"profile":{"custom":{"a":1},"x":{"y":1}},
		"preferences":{"categories":{"c":{"status":"OPTED_IN"}}}}`))
	first, err := client.Profiles.Get(t.Context(), "user-1")
	if err != nil {
		t.Fatal(err)
	}
	first.Profile.Custom.Or(nil)["a"] = "changed"
	first.Profile.Extra["x"].(object)["y"] = "changed"
	first.Preferences.Categories["c"] = courier.Preference{}
	second, err := client.Profiles.Get(t.Context(), "user-1")
	if err != nil {
		t.Fatal(err)
	}
	wantJSON(t, "the second result", `{"custom":{"a":1},"x":{"y":1}}`,
		profileJSON(t, second.Profile))
	if got := second.Preferences.Categories["c"].Status; got != "OPTED_IN" {
		t.Errorf("the second result has the status %q", got)
	}
}

// Printing.

// printedProfiles are profiles with what is printed of them: everything but credentials and
// device tokens.
var printedProfiles = []struct{ document, want string }{
	{`{}`, `{}`},
	{
		`{"email":"<a@example.com>","phone_number":null,"n":1.0,"x":"\ud800"}`,
		`{"email":"<a@example.com>","phone_number":null,"n":1.0,"x":"\ud800"}`,
	},
	{
		`{"slack":{"access_token":"SECRET","channel":"c","incoming_webhook":{"url":"SECRET"}}}`,
		`{"slack":{"access_token":"[redacted]","channel":"c",
			"incoming_webhook":{"url":"[redacted]"}}}`,
	},
	{
		`{"webhook":{"url":"SECRET","method":"POST","headers":{"SECRET":"SECRET"},
			"authentication":{"mode":"basic","username":"SECRET","password":"SECRET",
			"token":"SECRET"}}}`,
		`{"webhook":{"url":"[redacted]","method":"POST","headers":"[redacted]",
			"authentication":{"mode":"basic","username":"[redacted]","password":"[redacted]",
			"token":"[redacted]"}}}`,
	},
	{
		`{"apn":{"token":"SECRET","tokens":["SECRET"]},"firebaseToken":["SECRET"],
			"expo":{"token":"SECRET","tokens":[{"token":"SECRET"}]},
			"pagerduty":{"routing_key":"SECRET","source":"s"}}`,
		`{"apn":{"token":"[redacted]","tokens":"[redacted]"},"firebaseToken":"[redacted]",
			"expo":{"token":"[redacted]","tokens":"[redacted]"},
			"pagerduty":{"routing_key":"[redacted]","source":"s"}}`,
	},
	{ // what does not fit may be a secret as well
		`{"apn":"SECRET","firebaseToken":["a",{"token":"SECRET"}],"expo":["SECRET"],
			"slack":"SECRET","webhook":"SECRET","pagerduty":"SECRET"}`,
		`{"apn":"[redacted]","firebaseToken":"[redacted]","expo":"[redacted]",
			"slack":"[redacted]","webhook":"[redacted]","pagerduty":"[redacted]"}`,
	},
	{
		`{"slack":{"access_token":["SECRET"],"incoming_webhook":"SECRET"},
			"webhook":{"headers":[],"authentication":"SECRET"}}`,
		`{"slack":{"access_token":"[redacted]","incoming_webhook":"[redacted]"},
			"webhook":{"headers":"[redacted]","authentication":"[redacted]"}}`,
	},
	{
		`{"slack":{"access_token":null,"incoming_webhook":null},"webhook":null,
			"firebaseToken":null,"expo":{"tokens":null}}`,
		`{"slack":{"access_token":null,"incoming_webhook":null},"webhook":null,
			"firebaseToken":null,"expo":{"tokens":null}}`,
	},
}

func TestProfilePrintsWithoutSecrets(t *testing.T) {
	t.Parallel()
	for _, test := range printedProfiles {
		p := readProfile(t, test.document)
		for _, got := range []string{
			p.String(), fmt.Sprintf("%v", p), fmt.Sprintf("%+v", &p), fmt.Sprintf("%10s", p),
			courier.Set(p).String(),
		} {
			wantJSON(t, "String", test.want, got)
		}
		result := fmt.Sprintf("%+v", &courier.GetResult{Profile: p})
		if strings.Contains(result, "SECRET") {
			t.Errorf("a GetResult prints as %s", result)
		}
		wantJSON(t, "the profile after String", test.document, profileJSON(t, p))
	}
}

// TestSecretsInExtraArePrintedWithoutThem: a key of Courier's in Extra is that member.
func TestSecretsInExtraArePrintedWithoutThem(t *testing.T) {
	t.Parallel()
	p := courier.Profile{
		Extra: object{
			"firebaseToken": "SECRET", "pagerduty": object{"routing_key": "SECRET"},
			"webhook": courier.Webhook{URL: courier.Set("SECRET")},
		},
		Slack: courier.Set(courier.Slack{Extra: object{"access_token": "SECRET"}}),
	}
	wantJSON(t, "String", `{"firebaseToken":"[redacted]","webhook":{"url":"[redacted]"},
		"pagerduty":{"routing_key":"[redacted]"},"slack":{"access_token":"[redacted]"}}`,
		p.String())
}

// TestInvalidProfilePrints: a profile that has no JSON prints as the error, which has nothing
// of it.
func TestInvalidProfilePrints(t *testing.T) {
	t.Parallel()
	p := courier.Profile{Email: courier.Set("SECRET\xff"), Name: courier.Set("SECRET")}
	const want = "courier: email: contains text that is not valid UTF-8"
	if got := p.String(); got != want {
		t.Errorf("String: got %q, want %q", got, want)
	}
	if got := p.LogValue().String(); got != want {
		t.Errorf("LogValue: got %q, want %q", got, want)
	}
}

// TestProfileInSlog: as an attribute, a Profile and a *GetResult have no secrets in them,
// whichever handler writes them.
func TestProfileInSlog(t *testing.T) {
	t.Parallel()
	for _, test := range printedProfiles {
		client := newClient(t, respond(200, `{"profile":`+test.document+`,
			"preferences":{"categories":{"c":{"status":"OPTED_IN"}}}}`))
		result, err := client.Profiles.Get(t.Context(), "user-1")
		if err != nil {
			t.Fatal(err)
		}
		var text, lines bytes.Buffer
		for _, handler := range []slog.Handler{
			slog.NewTextHandler(&text, nil), slog.NewJSONHandler(&lines, nil),
		} {
			logger := slog.New(handler)
			logger.Info("got", "result", result)
			logger.Info("got", "profile", result.Profile)
			logger.Info("got", "pointer", &result.Profile)
		}
		if got := text.String() + lines.String(); strings.Contains(got, "SECRET") {
			t.Errorf("logged %s", got)
		}
		decoder := json.NewDecoder(&lines)
		for _, key := range []string{"result", "profile", "pointer"} {
			var line map[string]json.RawMessage
			if err := decoder.Decode(&line); err != nil {
				t.Fatal(err)
			}
			got := line[key]
			if key == "result" {
				var group map[string]json.RawMessage
				if err := json.Unmarshal(got, &group); err != nil {
					t.Fatal(err)
				}
				wantJSON(t, "preferences", `{"categories":{"c":{"status":"OPTED_IN"}}}`,
					string(group["preferences"]))
				wantJSON(t, "status", `200`, string(group["status"]))
				got = group["profile"]
			}
			wantJSON(t, key, test.want, string(got))
		}
	}
}

// Custom.

type plan struct {
	Plan  string
	Seats int64
	Rate  json.Number
	Any   any
	Since time.Time
	Sub   *plan
}

func TestDecodeCustom(t *testing.T) {
	t.Parallel()
	before := plan{Plan: "before"}
	for document, want := range map[string]plan{
		`{}`:              before,
		`{"custom":null}`: before,
		`{"custom":{}}`:   before,
		`{"custom":{"plan":"<pro>","SEATS":9007199254740993,"rate":1.50,"any":[1.0],
			"since":"2026-01-02T03:04:05Z","sub":{"seats":1}}}`: {
			Plan: "<pro>", Seats: 9007199254740993, Rate: "1.50",
			Any:   []any{json.Number("1.0")},
			Since: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Sub: &plan{Seats: 1},
		},
		`{"custom":{"plan":"x","unknown":[1]},"Custom":{"plan":"y"}}`: {Plan: "x"},
		`{"custom":{"plan":"x","\ud800":1}}`:                          {Plan: "x"},
		`{"custom":{"plan":"x","plan":"y"}}`:                          {Plan: "y"},
	} {
		got := before
		if err := readProfile(t, document).DecodeCustom(&got); err != nil {
			t.Errorf("%s: %v", document, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", document, diff)
		}
	}
	var list []int
	if err := readProfile(t, `{"custom":[1,2]}`).DecodeCustom(&list); err != nil {
		t.Errorf("a list: %v", err)
	}
	if !slices.Equal(list, []int{1, 2}) {
		t.Errorf("a list is read as %v", list)
	}
}

// TestDecodeCustomOfNull: encoding/json would set a map to nil.
func TestDecodeCustomOfNull(t *testing.T) {
	t.Parallel()
	for _, document := range []string{`{}`, `{"custom":null}`} {
		got := map[string]int{"before": 1}
		if err := readProfile(t, document).DecodeCustom(&got); err != nil {
			t.Errorf("%s: %v", document, err)
		}
		if got["before"] != 1 {
			t.Errorf("%s: got %v, want it unchanged", document, got)
		}
	}
}

type unreadable struct{}

func (*unreadable) UnmarshalJSON(text []byte) error { return fmt.Errorf("cannot read %s", text) }

// TestDecodeCustomErrors: an error has the type that does not fit, and no key or value.
func TestDecodeCustomErrors(t *testing.T) {
	t.Parallel()
	const needsPointer = "DecodeCustom needs a pointer that is not nil, not "
	const objects = `{"CANARY":{"n":"CANARY"},"CANARY2":"CANARY"}`
	type quotedInt struct {
		N int `json:",string"`
	}
	for _, test := range []struct {
		custom string
		v      any
		want   string
	}{
		{objects, new(map[string]int), "custom: a value does not fit type int"},
		{objects, new([]int), "custom: a value does not fit type []int"},
		{objects, new(string), "custom: a value does not fit type string"},
		{objects, new(map[string]json.Number), ""},
		{objects, new(map[string]time.Time), ""},
		{objects, new(map[string]netip.Addr), ""},
		{objects, new(map[int]any), ""},
		{`{"seats":4711.5}`, new(plan), "custom: a value does not fit type int64"},
		{`{"seats":47114711471147114711}`, new(plan), "custom: a value does not fit type int64"},
		{`{"sub":{"seats":["CANARY"]}}`, new(plan), "custom: a value does not fit type int64"},
		{`{"rate":"CANARY"}`, new(plan), ""},
		{`{"N":"CANARY"}`, new(quotedInt), ""},
		{`["!CANARY"]`, new([][]byte), ""},
		{`["CANARY"]`, new([]unreadable), "custom does not fit type *[]courier_test.unreadable"},
		{`{}`, nil, needsPointer + "<nil>"},
		{`{}`, plan{}, needsPointer + "courier_test.plan"},
		{`{}`, (*plan)(nil), needsPointer + "*courier_test.plan"},
	} {
		err := readProfile(t, `{"custom":`+test.custom+`}`).DecodeCustom(test.v)
		if err == nil {
			t.Errorf("%s into %T: no error", test.custom, test.v)
			continue
		}
		got := err.Error()
		if test.want != "" && got != "courier: "+test.want {
			t.Errorf("%s into %T: got %q, want %q", test.custom, test.v, got, test.want)
		}
		if strings.Contains(got, "CANARY") || strings.Contains(got, "4711") {
			t.Errorf("%s into %T: the error repeats the value: %q", test.custom, test.v, got)
		}
	}
	p := courier.Profile{Custom: courier.Set(object{"a": func() {}})}
	wantRefused(t, p.DecodeCustom(new(any)), "DecodeCustom", "",
		reasonJSON+": a value of type func()")
}

func TestSetCustom(t *testing.T) {
	t.Parallel()
	want := plan{
		Plan: "<pro>", Seats: 9007199254740993, Rate: "1.50",
		Since: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Sub: &plan{Rate: "2.0"},
	}
	p := courier.Profile{Custom: courier.Set(object{"old": 1})}
	if err := p.SetCustom(&want); err != nil {
		t.Fatal(err)
	}
	wantJSON(t, "set", `{"custom":{"Plan":"<pro>","Seats":9007199254740993,"Rate":1.50,
		"Any":null,"Since":"2026-01-02T03:04:05Z","Sub":{"Plan":"","Seats":0,"Rate":2.0,
		"Any":null,"Since":"0001-01-01T00:00:00Z","Sub":null}}}`, profileJSON(t, p))
	var got plan
	if err := p.DecodeCustom(&got); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("decoded (-want +got):\n%s", diff)
	}
	for _, test := range []struct {
		v    any
		want string
	}{
		{map[string]int(nil), `{}`},
		{struct{}{}, `{}`},
		{json.RawMessage(`{"a":1.0}`), `{"a":1.0}`},
		{json.RawMessage(`{"a":{"\ud800":1.0}}`), `{"a":{"\ud800":1.0}}`},
	} {
		if err := p.SetCustom(test.v); err != nil {
			t.Errorf("%T: %v", test.v, err)
		}
		wantJSON(t, fmt.Sprintf("%T", test.v), `{"custom":`+test.want+`}`, profileJSON(t, p))
	}
}

// TestSetCustomRefuses: what is not an object stays out, and Custom stays as it is.
func TestSetCustomRefuses(t *testing.T) {
	t.Parallel()
	for _, v := range []any{nil, "x", 5, []int{1}, (*plan)(nil), json.RawMessage(`[]`)} {
		p := readProfile(t, `{"custom":{"old":1}}`)
		reason := fmt.Sprintf("type %T is not an object in JSON: use a struct or a map", v)
		wantRefused(t, p.SetCustom(v), "SetCustom", "custom", reason)
		wantJSON(t, "custom", `{"custom":{"old":1}}`, profileJSON(t, p))
	}
}
