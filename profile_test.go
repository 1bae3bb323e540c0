package courier_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
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

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/google/go-cmp/cmp"
	"github.com/jarcoal/httpmock"

	courier "github.com/courier-profiles/courier-go"
)

// keyOf is a key of the API reference, the Go field for it, a value of that field, and the
// JSON of the value.
type keyOf struct {
	key, field string
	value      any
	text       string
}

// referenceKeys are the keys of Courier's Profiles API reference, by the path of the
// object that has them.
var referenceKeys = map[string][]keyOf{
	"": {
		{"sub", "Sub", courier.Set("s"), `"s"`}, {"name", "Name", courier.Set("n"), `"n"`},
		{"given_name", "GivenName", courier.Set("g"), `"g"`}, {"family_name", "FamilyName", courier.Set("f"), `"f"`},
		{"middle_name", "MiddleName", courier.Set("m"), `"m"`}, {"nickname", "Nickname", courier.Set("nick"), `"nick"`},
		{"preferred_name", "PreferredName", courier.Set("pn"), `"pn"`},
		{"preferred_username", "PreferredUsername", courier.Set("pu"), `"pu"`},
		{"profile", "ProfileURL", courier.Set("https://example.com/?a&b"), `"https://example.com/?a&b"`},
		{"picture", "Picture", courier.Set("p"), `"p"`}, {"website", "Website", courier.Set("w"), `"w"`},
		{"email", "Email", courier.Set("e@example.com"), `"e@example.com"`},
		{"email_verified", "EmailVerified", courier.Set(true), `true`}, {"gender", "Gender", courier.Set(""), `""`},
		{"birthdate", "Birthdate", courier.Set("0000-12-10"), `"0000-12-10"`},
		{"zoneinfo", "Zoneinfo", courier.Set("Europe/Paris"), `"Europe/Paris"`}, {"locale", "Locale", courier.Set("fr-FR"), `"fr-FR"`},
		{"phone_number", "PhoneNumber", courier.Set("+15555550100"), `"+15555550100"`},
		{"phone_number_verified", "PhoneNumberVerified", courier.Set(false), `false`},
		{"updated_at", "UpdatedAt", courier.Set("2026-01-01"), `"2026-01-01"`},
		{"address", "Address", courier.Set(courier.Address{Country: courier.Set("FR")}), `{"country":"FR"}`},
		{"custom", "Custom", courier.Set(map[string]any{"a": json.Number("1.0"), "b": []any{nil, "x"}}), `{"a":1.0,"b":[null,"x"]}`},
		{"airship", "Airship", courier.Set(courier.Airship{DeviceTypes: courier.Set([]string{"ios"})}), `{"device_types":["ios"]}`},
		{"apn", "APN", courier.Set(courier.APN{Token: courier.Set("t")}), `{"token":"t"}`},
		{"aws_sns", "AWSSNS", courier.Set(courier.AWSSNS{TargetARN: courier.Set("arn")}), `{"target_arn":"arn"}`},
		{"discord", "Discord", courier.Set(courier.Discord{UserID: courier.Set("u")}), `{"user_id":"u"}`},
		{"expo", "Expo", courier.Set(courier.Expo{Token: courier.Set("t"), Tokens: courier.Set(courier.TokenList("u"))}), `{"token":"t","tokens":["u"]}`},
		{"facebookPSID", "FacebookPSID", courier.Set("fb"), `"fb"`},
		{"firebaseToken", "FirebaseToken", courier.Set(courier.Token("ft")), `"ft"`},
		{"intercom", "Intercom", courier.Set(courier.Intercom{From: courier.Set("f")}), `{"from":"f"}`},
		{"magicbell", "MagicBell", courier.Set(courier.MagicBell{ExternalID: courier.Set("e")}), `{"external_id":"e"}`},
		{"ms_teams", "MSTeams", courier.Set(courier.MSTeams{TeamID: courier.Set("t")}), `{"team_id":"t"}`},
		{"oneSignalExternalUserId", "OneSignalExternalUserID", courier.Set("oe"), `"oe"`},
		{"oneSignalPlayerID", "OneSignalPlayerID", courier.Set("os"), `"os"`},
		{"pagerduty", "PagerDuty", courier.Set(courier.PagerDuty{RoutingKey: courier.Set("r")}), `{"routing_key":"r"}`},
		{"pusher", "Pusher", courier.Set(courier.Pusher{Channel: courier.Set("c")}), `{"channel":"c"}`},
		{"slack", "Slack", courier.Set(courier.Slack{Channel: courier.Set("c")}), `{"channel":"c"}`},
		{"viber", "Viber", courier.Set(courier.Viber{Receiver: courier.Set("r")}), `{"receiver":"r"}`},
		{"webhook", "Webhook", courier.Set(courier.Webhook{}), `{}`},
	},
	"address": {
		{"formatted", "Formatted", courier.Set("f\ng"), `"f\ng"`}, {"street_address", "StreetAddress", courier.Set("s"), `"s"`}, {"locality", "Locality", courier.Set("l"), `"l"`},
		{"region", "Region", courier.Set("r"), `"r"`}, {"postal_code", "PostalCode", courier.Set("p"), `"p"`}, {"country", "Country", courier.Set("c"), `"c"`},
	},
	"airship": {
		{"audience", "Audience", courier.Set(courier.AirshipAudience{NamedUser: courier.Set("n")}), `{"named_user":"n"}`},
		{"device_types", "DeviceTypes", courier.Set([]string{"ios", "android"}), `["ios","android"]`},
	},
	"airship.audience": {{"named_user", "NamedUser", courier.Set("n"), `"n"`}},
	"apn": {
		{"token", "Token", courier.Set("t"), `"t"`}, {"tokens", "Tokens", courier.Set(courier.Token("t")), `"t"`},
	},
	"aws_sns": {{"target_arn", "TargetARN", courier.Set("arn"), `"arn"`}},
	"discord": {
		{"channel_id", "ChannelID", courier.Set("c"), `"c"`}, {"user_id", "UserID", courier.Set("u"), `"u"`},
	},
	"expo": {
		{"token", "Token", courier.Set("t"), `"t"`}, {"tokens", "Tokens", courier.Set(courier.TokenList("a", "b")), `["a","b"]`},
	},
	"intercom": {
		{"from", "From", courier.Set("f"), `"f"`}, {"to", "To", courier.Set(courier.IntercomRecipient{ID: courier.Set("i")}), `{"id":"i"}`},
	},
	"intercom.to": {{"id", "ID", courier.Set("i"), `"i"`}},
	"magicbell":   {{"external_id", "ExternalID", courier.Set("e"), `"e"`}},
	"ms_teams": {
		{"tenant_id", "TenantID", courier.Set("1"), `"1"`}, {"service_url", "ServiceURL", courier.Set("2"), `"2"`}, {"user_id", "UserID", courier.Set("3"), `"3"`},
		{"email", "Email", courier.Set("4"), `"4"`}, {"channel_id", "ChannelID", courier.Set("5"), `"5"`}, {"conversation_id", "ConversationID", courier.Set("6"), `"6"`},
		{"channel_name", "ChannelName", courier.Set("7"), `"7"`}, {"team_id", "TeamID", courier.Set("8"), `"8"`},
	},
	"pagerduty": {{"routing_key", "RoutingKey", courier.Set("r"), `"r"`}},
	"pusher":    {{"channel", "Channel", courier.Set("c"), `"c"`}},
	"slack": {
		{"access_token", "AccessToken", courier.Set("1"), `"1"`}, {"channel", "Channel", courier.Set("2"), `"2"`}, {"email", "Email", courier.Set("3"), `"3"`},
		{"user_id", "UserID", courier.Set("4"), `"4"`}, {"incoming_webhook", "IncomingWebhook", courier.Set(courier.SlackIncomingWebhook{URL: courier.Set("u")}), `{"url":"u"}`},
	},
	"slack.incoming_webhook": {{"url", "URL", courier.Set("u"), `"u"`}},
	"viber":                  {{"receiver", "Receiver", courier.Set("r"), `"r"`}},
	"webhook": {
		{"url", "URL", courier.Set("u"), `"u"`}, {"method", "Method", courier.Set("POST"), `"POST"`},
		{"headers", "Headers", courier.Set(map[string]string{"X-A": "1", "x-a": "<2>"}), `{"X-A":"1","x-a":"<2>"}`},
		{"authentication", "Authentication", courier.Set(courier.WebhookAuthentication{Mode: courier.Set("none")}), `{"mode":"none"}`},
		{"profile", "Profile", courier.Set("expanded"), `"expanded"`},
	},
	"webhook.authentication": {
		{"mode", "Mode", courier.Set("basic"), `"basic"`}, {"username", "Username", courier.Set("u"), `"u"`}, {"password", "Password", courier.Set("p"), `"p"`},
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

// objectAt returns a pointer to the object at a path of keys in a profile, and a func that
// puts the object back where it was.
func objectAt(t testing.TB, p *courier.Profile, path string) (object reflect.Value, put func()) {
	t.Helper()
	if path == "" {
		return reflect.ValueOf(p), func() {}
	}
	outer, key := "", path
	if i := strings.LastIndexByte(path, '.'); i >= 0 {
		outer, key = path[:i], path[i+1:]
	}
	parent, putParent := objectAt(t, p, outer)
	i := slices.IndexFunc(referenceKeys[outer], func(k keyOf) bool { return k.key == key })
	if i < 0 {
		t.Fatalf("no key %s", path)
	}
	field := parent.Elem().FieldByName(referenceKeys[outer][i].field)
	object = reflect.New(field.Type().Method(methodNamed(field.Type(), "Or")).Type.In(1))
	object.Elem().Set(field.MethodByName("Get").Call(nil)[0])
	return object, func() {
		set, ok := setters[object.Type().Elem()]
		if !ok {
			t.Fatalf("no setter of %s", object.Type().Elem())
		}
		field.Set(reflect.ValueOf(set).Call([]reflect.Value{object.Elem()})[0])
		putParent()
	}
}

func methodNamed(t reflect.Type, name string) int {
	method, _ := t.MethodByName(name)
	return method.Index
}

// setters are Set for each object inside a profile.
var setters = map[reflect.Type]any{
	reflect.TypeFor[courier.Address]():               courier.Set[courier.Address],
	reflect.TypeFor[courier.Airship]():               courier.Set[courier.Airship],
	reflect.TypeFor[courier.AirshipAudience]():       courier.Set[courier.AirshipAudience],
	reflect.TypeFor[courier.APN]():                   courier.Set[courier.APN],
	reflect.TypeFor[courier.AWSSNS]():                courier.Set[courier.AWSSNS],
	reflect.TypeFor[courier.Discord]():               courier.Set[courier.Discord],
	reflect.TypeFor[courier.Expo]():                  courier.Set[courier.Expo],
	reflect.TypeFor[courier.Intercom]():              courier.Set[courier.Intercom],
	reflect.TypeFor[courier.IntercomRecipient]():     courier.Set[courier.IntercomRecipient],
	reflect.TypeFor[courier.MagicBell]():             courier.Set[courier.MagicBell],
	reflect.TypeFor[courier.MSTeams]():               courier.Set[courier.MSTeams],
	reflect.TypeFor[courier.PagerDuty]():             courier.Set[courier.PagerDuty],
	reflect.TypeFor[courier.Pusher]():                courier.Set[courier.Pusher],
	reflect.TypeFor[courier.Slack]():                 courier.Set[courier.Slack],
	reflect.TypeFor[courier.SlackIncomingWebhook]():  courier.Set[courier.SlackIncomingWebhook],
	reflect.TypeFor[courier.Viber]():                 courier.Set[courier.Viber],
	reflect.TypeFor[courier.Webhook]():               courier.Set[courier.Webhook],
	reflect.TypeFor[courier.WebhookAuthentication](): courier.Set[courier.WebhookAuthentication],
}

// anyField is what a Field can do, whatever its type is.
type anyField interface {
	IsNull() bool
	IsUnset() bool
	Mismatch() json.RawMessage
}

// TestEveryKeyHasItsField reads and writes each key of the reference unset, null, with a
// value, and with JSON that does not fit.
func TestEveryKeyHasItsField(t *testing.T) {
	t.Parallel()
	for path, keys := range referenceKeys {
		for _, key := range keys {
			t.Run(strings.TrimPrefix(path+"."+key.key, "."), func(t *testing.T) {
				t.Parallel()
				var made courier.Profile
				object, put := objectAt(t, &made, path)
				field := object.Elem().FieldByName(key.field)
				if !field.IsValid() || field.Type() != reflect.TypeOf(key.value) {
					t.Fatalf("%s has no field %s of type %T", object.Type(), key.field, key.value)
				}
				// check writes the profile, reads it, and looks at the field that was read.
				check := func(text string) anyField {
					t.Helper()
					put()
					document := nested(path, text)
					sameJSON(t, "written", document, writeProfile(t, made))
					again := readProfile(t, document)
					if !cmp.Equal(made, again) {
						t.Errorf("%s is read as %v, want %v", document, again, made)
					}
					read, _ := objectAt(t, &again, path)
					return read.Elem().FieldByName(key.field).Interface().(anyField)
				}
				member := func(text string) string { return fmt.Sprintf(`{%q:%s}`, key.key, text) }

				if f := check(`{}`); !f.IsUnset() || f.IsNull() || f.Mismatch() != nil {
					t.Errorf("unset is read as %+v", f)
				}
				field.Set(reflect.ValueOf(key.value))
				if f := check(member(key.text)); f.IsUnset() || f.IsNull() || f.Mismatch() != nil {
					t.Errorf("the value is read as %+v", f)
				}
				if err := json.Unmarshal([]byte("null"), field.Addr().Interface()); err != nil {
					t.Error(err)
				}
				if f := check(member(`null`)); f.IsUnset() || !f.IsNull() || f.Mismatch() != nil {
					t.Errorf("null is read as %+v", f)
				}
				if err := json.Unmarshal([]byte(" [12.50, {}]"), field.Addr().Interface()); err != nil {
					t.Error(err)
				}
				if f := check(member(`[12.50, {}]`)); f.IsUnset() || f.IsNull() || string(f.Mismatch()) != `[12.50, {}]` {
					t.Errorf("JSON that does not fit is read as %+v", f)
				}
				field.Set(reflect.ValueOf(key.value))
				check(member(key.text))

				// A key in another case is another key.
				field.SetZero()
				object.Elem().FieldByName("Extra").Set(reflect.ValueOf(map[string]any{strings.ToUpper(key.key): json.Number("1")}))
				check(fmt.Sprintf(`{%q:1}`, strings.ToUpper(key.key)))
			})
		}
	}
}

// TestEveryFieldHasItsKey walks the structs inside a Profile: each field has one tag with
// omitzero, each key is there once, and each field is in referenceKeys.
func TestEveryFieldHasItsKey(t *testing.T) {
	t.Parallel()
	visited := 0
	var walk func(path string, object reflect.Type)
	walk = func(path string, object reflect.Type) {
		visited++
		keys := map[string]string{}
		for _, key := range referenceKeys[path] {
			keys[key.key] = key.field
		}
		for i := range object.NumField() {
			field := object.Field(i)
			if field.Name == "Extra" {
				if field.Type != reflect.TypeFor[map[string]any]() || field.Tag.Get("json") != ",embed" {
					t.Errorf("%s.Extra is %s with the tag %q", object, field.Type, field.Tag)
				}
				continue
			}
			key, options, _ := strings.Cut(field.Tag.Get("json"), ",")
			if keys[key] != field.Name || options != "omitzero" {
				t.Errorf("%s.%s has the tag %q, and the reference has the field %q for its key", object, field.Name, field.Tag, keys[key])
			}
			delete(keys, key)
			if value := field.Type.Method(methodNamed(field.Type, "Or")).Type.In(1); value.Kind() == reflect.Struct && value != reflect.TypeFor[courier.Tokens]() {
				walk(strings.TrimPrefix(path+"."+key, "."), value)
			}
		}
		if len(keys) > 0 {
			t.Errorf("%s has no field for %v", object, keys)
		}
	}
	walk("", reflect.TypeFor[courier.Profile]())
	if visited != len(referenceKeys) {
		t.Errorf("%d objects in a profile, %d in the reference", visited, len(referenceKeys))
	}
}

// TestKeyInExtraAndField: a key in Extra that is also a set field, null or not, is refused.
// An unset field leaves the key to Extra.
func TestKeyInExtraAndField(t *testing.T) {
	t.Parallel()
	client, body := recordingClient(t)
	for path, keys := range referenceKeys {
		for _, key := range keys {
			var p courier.Profile
			object, put := objectAt(t, &p, path)
			field := object.Elem().FieldByName(key.field)
			for text, extra := range map[string]any{key.text: "CANARY", `null`: key.value, `[[]]`: nil} {
				object.Elem().FieldByName("Extra").Set(reflect.ValueOf(map[string]any{key.key: extra}))
				if err := json.Unmarshal([]byte(text), field.Addr().Interface()); err != nil {
					t.Fatal(err)
				}
				put()
				want := strings.TrimPrefix(path+"."+key.key, ".")
				_, err := client.Profiles.Replace(t.Context(), "user-1", p)
				if wantInvalid(t, err, "profile."+want); !strings.Contains(fmt.Sprint(err), "Extra") || *body != "" {
					t.Errorf("%s: error %v, sent %q", want, err, *body)
				}
				for _, engine := range engines {
					_, err := engine.marshal(&struct{ P *courier.Profile }{&p})
					wantInvalid(t, err, want, engine.name)
				}
				field.SetZero()
				put()
				writeProfile(t, p)
			}
		}
	}
}

// Lossless.

// nastyValues are values of every kind, most of which fit no field.
var nastyValues = []string{
	`null`, `true`, `"true"`, `""`, `"1 Main St"`, `0`, `-0`, `-0.0`, `1.0`, `1E400`, `-1e-400`, `1e+05`, `9007199254740993`, `0.10000000000000000000000001`, `123456789012345678901234567890`,
	`[]`, `{}`, `[null]`, `[[]]`, `[{}]`, `[""]`, `["a","b"]`, `["a",1]`, `["a",null]`, `[{"token":"a"}]`, `["a",{"token":"b"}]`, `[{"token":"a","x":1}]`, `[{"token":1}]`, `[{"Token":"a"}]`, `[{"token":null}]`, `[{"token":"a","token":"b"}]`,
	`{"":""}`, `{"":{"":[]}}`, `{"a":1,"A":2}`, `{"Extra":{"x":1},"extra":2}`, `{"unknown":{"deep":[{"er":1.50}]},"null":null,"empty":""}`,
	`"\ud800"`, `["\udc00"]`, `{"a":"\ud800"}`, `{"\ud800":1,"\ud801":2}`, `{"a":{"b\udc00":[1.0]},"a\u0000":""}`, `[{"token":"a","\ud800":1}]`, `[{"\ud800":"x"},{"x":{"\udfff":1.0}}]`,
	`{"a":1,"a":2}`, `{"a":{"b":1},"a":{"c":2.0}}`, `{"a":"b","a":"c"}`, `{"\u0061":1.0,"a":"\ud800"}`, `"\u0000\u001f\"\\\/\u2028<>&` + "\u007f\ufffd" + `\ufffd\ud83d\ude00"`, `"\\ufffd"`, ` { "a" : [ 1 , 2 ] } `,
	`{"country":1,"headers":null,"id":[],"url":{},"token":true,"tokens":"x","named_user":0,"mode":[],"email":null}`,
	`{"country":"x","headers":{"a":"b"},"id":"x","url":"x","token":"x","tokens":["x"],"named_user":"x","mode":"x","email":"x","more":1}`,
}

// nastyProfiles are documents that a profile has to keep.
var nastyProfiles = []string{
	`{}`, ` { } `, "\n\t{ \"email\" :\r\"a\" ,\"x\": [ ] }\n",
	`{"email_verified":"true","phone_number_verified":0,"address":"1 Main St","custom":"x"}`,
	`{"apn":"bare","target_arn":"arn:aws:sns:x","slack":"U1","discord":1,"expo":"ExponentPushToken[x]","airship":[],"intercom":true,"ms_teams":"","webhook":"https://example.com"}`,
	`{"address":null,"slack":null,"custom":null,"firebaseToken":null,"expo":{"tokens":null},"email":null,"airship":{"device_types":null},"webhook":{"headers":null,"authentication":null}}`,
	`{"firebaseToken":"a","expo":{"tokens":[{"token":"a"},{"token":"b"}],"token":"c"},"apn":{"tokens":["a"],"token":"b"}}`,
	`{"firebaseToken":["a",{"token":"b"}],"expo":{"tokens":[{"token":"a","added":1E2}]},"apn":{"tokens":{"token":"a"}}}`,
	`{"n":1E400,"m":-0,"o":1.0,"p":9007199254740993,"phone_number":15555550100,"updated_at":1311280970,"address":{"postal_code":75001.0},"custom":{"q":0.1e-7,"r":1e+2,"s":100}}`,
	`{"email":"a","Email":"b","EMAIL":"c","eMail":null}`,
	`{"":{"":{"":""}},"address":{"":1},"custom":{"":[]}}`,
	`{"airship":{"audience":{"named_user":"x","tag":"y"},"device_types":["ios",1],"more":1}}`,
	`{"intercom":{"from":{"type":"admin","id":"1"},"to":{"id":1,"type":"user"}}}`,
	`{"slack":{"access_token":"x","email":"e","more":{},"incoming_webhook":{"url":"u","more":[{}]}}}`,
	`{"webhook":{"headers":{"a":"b","n":1},"authentication":{"mode":"basic","username":"u","password":1,"scope":"s"},"profile":{"x":1}}}`, `{"webhook":{"headers":{"\ud800":"a"}}}`, `{"webhook":{"headers":{"a":"b","a":"c"}}}`,
	`{"Extra":{"x":1},"extra":null,"address":{"Extra":1},"profile":"https://example.com","status":"SUCCESS"}`,
	`{"email":"\ud800","custom":{"\ud800":1,"b":[1.0]},"address":{"\udc00":1,"country":"FR"},"slack":{"incoming_webhook":{"\ud800":1},"email":"e"},"x":[{"\ud800":"\udc00"}],"firebaseToken":"\ud800"}`,
	`{"email":"a\u0000b","name":"\"\\\/\b\f\n\r\t\u2028\u2029<script>&amp;","x":"\\ufffd"}`,
	"{\"name\":\"\ufffd\",\"n\\u0061me2\":\"\\ufffd\",\"x\":\"\\\\ufffd\"}",
	`{"email":"a","\u0065mail":"b"}`, `{"email":1,"email":null}`, `{"email":null,"email":"a","email":2.0}`, `{"x":{"a":1},"x":{"b":1}}`,
	`{"address":{"country":"FR","x":1},"address":{"region":"R"}}`, `{"address":"x","address":{"country":"FR"}}`, `{"address":{},"address":{"\ud800":1}}`, `{"custom":{"a":1},"custom":{"b":2}}`,
	`{"__proto__":{"a":1},"constructor":1,"toString":null,"length":0}`,
	`{"email":"` + strings.Repeat("a", 5000) + `","` + strings.Repeat("k", 5000) + `":1}`,
}

func readProfile(t testing.TB, document string) courier.Profile {
	t.Helper()
	var p courier.Profile
	if err := json.Unmarshal([]byte(document), &p); err != nil {
		t.Fatalf("%.300s: %v", document, err)
	}
	return p
}

// writeProfile writes a profile with each engine, which have to agree.
func writeProfile(t testing.TB, p courier.Profile) string {
	t.Helper()
	direct, err := p.MarshalJSON()
	if err != nil {
		t.Fatalf("MarshalJSON: %v", err)
	}
	for _, engine := range engines {
		text, err := engine.marshal(p)
		if err != nil {
			t.Fatalf("%s: %v", engine.name, err)
		}
		sameJSON(t, engine.name, string(direct), string(text))
	}
	return string(direct)
}

// callersUser has a profile in all the ways in which a caller's struct may have one.
type callersUser struct {
	Value   courier.Profile
	Pointer *courier.Profile               `json:"pointer,omitzero"`
	Field   courier.Field[courier.Profile] `json:",omitzero"`
	List    []courier.Profile
	Map     map[string]courier.Profile
	Any     any
}

// checkRoundTrip reads a text as a profile and writes it, with each engine. It returns
// false if the text is not a profile; then each refuses it.
func checkRoundTrip(t testing.TB, document string) bool {
	t.Helper()
	want, ok := asJSON(document)
	if members, isObject := want.(map[string]any); !isObject || hasHalfKey(members) {
		ok = ok && want == nil // null is an empty profile
	}
	for _, engine := range engines {
		p := courier.Profile{Email: courier.Set("before")}
		if err := engine.unmarshal([]byte(document), &p); (err == nil) != ok {
			t.Fatalf("%s: %.300q gives the error %v", engine.name, document, err)
		} else if !ok {
			continue
		}
		if want == nil {
			want = map[string]any{}
		}
		text := writeProfile(t, p)
		if diff := exactDiff(want, exactly(t, text)); diff != "" {
			t.Fatalf("%s: %.300s came back as %.300s %s", engine.name, document, text, diff)
		}
	}
	return ok
}

// checkInStruct is checkRoundTrip for a caller's struct, by value and by pointer.
func checkInStruct(t testing.TB, document string) {
	t.Helper()
	holder := fmt.Sprintf(`{"Value":%[1]s,"pointer":%[1]s,"Field":%[1]s,"List":[%[1]s],"Map":{"k":%[1]s},"Any":null}`, document)
	for _, reader := range engines {
		var user callersUser
		if err := reader.unmarshal([]byte(holder), &user); err != nil {
			t.Fatalf("%s, in a struct: %s: %v", reader.name, document, err)
		}
		for _, writer := range engines {
			for _, value := range []any{user, &user} {
				text, err := writer.marshal(value)
				if err != nil {
					t.Fatalf("%s, %T: %s: %v", writer.name, value, document, err)
				}
				sameJSON(t, writer.name+", in a struct", holder, string(text))
			}
		}
	}
}

func hasHalfKey(members map[string]any) bool {
	for key := range members {
		if strings.Contains(key, half) {
			return true
		}
	}
	return false
}

func TestProfileRoundTrip(t *testing.T) {
	t.Parallel()
	for _, document := range nastyProfiles {
		if !checkRoundTrip(t, document) {
			t.Errorf("%.300s was refused", document)
		}
		checkInStruct(t, document)
	}
	for path, keys := range referenceKeys {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			types := map[reflect.Type]keyOf{}
			for _, key := range keys {
				types[reflect.TypeOf(key.value)] = key
			}
			for _, value := range nastyValues {
				checkRoundTrip(t, nested(path+".x", value))
				for _, key := range types {
					checkRoundTrip(t, nested(path, fmt.Sprintf(`{"before":%[2]s,%[1]q:%[3]s,%[1]q:%[2]s,"Behind":%[2]s}`, key.key, value, key.text)))
					checkRoundTrip(t, nested(path, fmt.Sprintf(`{%[1]q:%[2]s,%[1]q:%[3]s}`, key.key, value, key.text)))
				}
			}
		})
	}
}

// change edits the value of a Field, or an empty value if it has none.
func change[T any](f *courier.Field[T], edit func(*T)) {
	value, _ := f.Get()
	edit(&value)
	*f = courier.Set(value)
}

// changes change one field each.
var changes = []struct {
	path  string
	value any // what exactly returns for it
	apply func(*courier.Profile)
}{
	{"email", "new", func(p *courier.Profile) { p.Email = courier.Set("new") }},
	{"email", nil, func(p *courier.Profile) { p.Email = courier.Null[string]() }},
	{"email_verified", false, func(p *courier.Profile) { p.EmailVerified = courier.SetOrNull(ptr(false)) }},
	{"webhook", nil, func(p *courier.Profile) { p.Webhook = courier.Null[courier.Webhook]() }},
	{"custom", map[string]any{}, func(p *courier.Profile) { p.Custom = courier.Set(map[string]any(nil)) }},
	{"firebaseToken", "new", func(p *courier.Profile) { p.FirebaseToken = courier.Set(courier.Token("new")) }},
	{"unknown", json.Number("7"), func(p *courier.Profile) {
		if p.Extra == nil {
			p.Extra = map[string]any{}
		}
		p.Extra["unknown"] = 7
	}},
	{"address.country", "new", func(p *courier.Profile) {
		change(&p.Address, func(a *courier.Address) { a.Country = courier.Set("new") })
	}},
	{"expo.tokens", []any{"new"}, func(p *courier.Profile) {
		change(&p.Expo, func(e *courier.Expo) { e.Tokens = courier.Set(courier.TokenList("new")) })
	}},
	{"slack.channel", nil, func(p *courier.Profile) {
		change(&p.Slack, func(s *courier.Slack) { s.Channel = courier.Null[string]() })
	}},
	{"webhook.headers", map[string]any{"new": "x"}, func(p *courier.Profile) {
		change(&p.Webhook, func(w *courier.Webhook) { w.Headers = courier.Set(map[string]string{"new": "x"}) })
	}},
}

// checkChanges gets a profile, changes one field, and replaces the profile: nothing else
// may change. An object that did not fit its field is replaced as a whole.
func checkChanges(t testing.TB, document string) {
	t.Helper()
	replaced := ""
	client := respondingClient(t, func(req *http.Request) (*http.Response, error) {
		if req.Method == http.MethodGet {
			return httpmock.NewStringResponse(200, `{"profile":`+document+`}`), nil
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
		want := exactly(t, document).(map[string]any)
		key, member, nested := strings.Cut(change.path, ".")
		object, isObject := want[key].(map[string]any)
		switch {
		case !nested:
			want[key] = change.value
		case isObject && !hasHalfKey(object):
			object[member] = change.value
		default:
			want[key] = map[string]any{member: change.value}
		}
		change.apply(&got.Profile)
		if _, err := client.Profiles.Replace(t.Context(), "user-1", got.Profile); err != nil {
			t.Fatalf("%.300s after a change of %s: %v", document, change.path, err)
		}
		if diff := exactDiff(map[string]any{"profile": want}, exactly(t, replaced)); diff != "" {
			t.Fatalf("%.300s after a change of %s: replaced by %.300s %s", document, change.path, replaced, diff)
		}
	}
}

func TestGetChangeReplaceChangesNothingElse(t *testing.T) {
	t.Parallel()
	for _, document := range nastyProfiles {
		checkChanges(t, document)
	}
}

// randomProfiles makes documents of known and unknown keys with values that fit and do not.
type randomProfiles struct{ *rand.Rand }

func (r randomProfiles) object(path string, depth int) string {
	var members []string
	for range r.IntN(7) {
		key, value := `"`+[]string{"a", "A", "", `\u00e9`, "email", "token", `\ud83d\ude00`, "<", "Extra"}[r.IntN(9)]+`"`, r.value(depth-1)
		if keys := referenceKeys[path]; len(keys) > 0 && r.IntN(4) > 0 {
			known := keys[r.IntN(len(keys))]
			key = strconv.Quote(known.key)
			inner := strings.TrimPrefix(path+"."+known.key, ".")
			if _, isObject := referenceKeys[inner]; isObject && r.IntN(3) > 0 {
				value = r.object(inner, depth-1)
			} else if r.IntN(2) == 0 {
				value = known.text
			}
		}
		members = append(members, key+" :\n"+value)
	}
	return "{" + strings.Join(members, " ,\t") + "}"
}

func (r randomProfiles) value(depth int) string {
	if n := r.IntN(6); depth > 0 && n == 0 {
		return r.object("unknown", depth-1)
	} else if depth > 0 && n == 1 {
		return "[" + r.value(depth-1) + ", " + r.value(depth-1) + "]"
	}
	return nastyValues[r.IntN(len(nastyValues))]
}

// FuzzProfileRoundTrip reads any text, changes it, and writes it.
func FuzzProfileRoundTrip(f *testing.F) {
	for _, value := range nastyValues {
		f.Add(`{"email":` + value + `,"address":{"country":` + value + `},"expo":{"tokens":` + value + `},"webhook":{"headers":` + value + `},"x":` + value + `}`)
	}
	for _, document := range []string{``, `null`, ` null `, `[]`, `"x"`, `1`, `{"\ud800":1}`, "{\"a\":\"\xff\"}", `{"a":1}x`, `{"a":1,}`, "\ufeff{}"} {
		f.Add(document)
	}
	random := randomProfiles{rand.New(rand.NewPCG(6, 0))}
	for range 20 {
		f.Add(random.object("", 4))
	}
	f.Fuzz(func(t *testing.T, document string) {
		if checkRoundTrip(t, document) && strings.TrimSpace(document) != "null" {
			checkInStruct(t, document)
			checkChanges(t, document)
		}
	})
}

// TestProfileReplacesWhatItHeld: reading replaces all of a profile, null makes it empty.
func TestProfileReplacesWhatItHeld(t *testing.T) {
	t.Parallel()
	for _, engine := range engines {
		for text, want := range map[string]courier.Profile{`null`: {}, `{}`: {}, `{"name":"n"}`: {Name: courier.Set("n")}, `{"y":[]}`: {Extra: map[string]any{"y": []any{}}}} {
			p := courier.Profile{Email: courier.Set("x"), Address: courier.Set(courier.Address{}), Extra: map[string]any{"x": 1}}
			if err := engine.unmarshal([]byte(text), &p); err != nil || !cmp.Equal(p, want) {
				t.Errorf("%s: %s is read as %v: %v", engine.name, text, p, err)
			}
		}
	}
}

// TestKeptStringsAreCopies: what is kept of a response does not hold on to its body.
func TestKeptStringsAreCopies(t *testing.T) {
	const responses, size = 40, 100_000
	i := 0
	client := respondingClient(t, func(*http.Request) (*http.Response, error) {
		i++
		member := fmt.Sprintf(`,"x%d":{"k":"%s"}`, i, strings.Repeat("x", 1000))
		return httpmock.NewStringResponse(200, fmt.Sprintf(`{"profile":{"email":"user-%d@example.com","phone_number":15555550100,"n":1.50,"pad":"%s"%s}}`, i, strings.Repeat("x", size), member)), nil
	})
	var emails []string
	var numbers []any
	var mismatches []json.RawMessage
	heap := func() uint64 {
		var stats runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&stats)
		return stats.HeapAlloc
	}
	var before uint64
	for range responses + 1 {
		got, err := client.Profiles.Get(t.Context(), "user-1")
		if err != nil {
			t.Fatal(err)
		}
		if before == 0 { // the first call fills pools
			got, before = nil, heap()
			continue
		}
		emails = append(emails, got.Profile.Email.Or(""))
		numbers = append(numbers, got.Profile.Extra["n"])
		mismatches = append(mismatches, got.Profile.PhoneNumber.Mismatch())
	}
	if grown := int64(heap()) - int64(before); grown > 1<<20 {
		t.Errorf("%d values of profiles of %d bytes hold %d bytes", responses, size, grown)
	}
	if emails[0] != "user-2@example.com" || numbers[39] != json.Number("1.50") || string(mismatches[20]) != "15555550100" {
		t.Errorf("kept %q, %v, %s", emails[0], numbers[39], mismatches[20])
	}
	runtime.KeepAlive(emails)
}

// TestGetSharesNothing: a result is the caller's own, and is no part of the next one.
func TestGetSharesNothing(t *testing.T) {
	t.Parallel()
	client := respondingClient(t, httpmock.NewStringResponder(200, `{"profile":{"custom":{"a":1},"x":{"y":1},"email":[1]},"preferences":{"categories":{"c":{"status":"OPTED_IN"}}}}`))
	first, err := client.Profiles.Get(t.Context(), "user-1")
	if err != nil {
		t.Fatal(err)
	}
	first.Profile.Custom.Or(nil)["a"] = "changed"
	first.Profile.Extra["x"].(map[string]any)["y"] = "changed"
	first.Profile.Email.Mismatch()[1] = '2'
	first.Preferences.Categories["c"] = courier.Preference{}
	second, err := client.Profiles.Get(t.Context(), "user-1")
	if err != nil {
		t.Fatal(err)
	}
	if got := second.Profile.String(); got != `{"email":[1],"custom":{"a":1},"x":{"y":1}}` || second.Preferences.Categories["c"].Status != "OPTED_IN" {
		t.Errorf("the second result is %s, %v", got, second.Preferences)
	}
	if got := string(first.Profile.Email.Mismatch()); got != "[1]" {
		t.Errorf("the mismatch was changed to %s", got)
	}
}

func TestProfileString(t *testing.T) {
	t.Parallel()
	const r = `"[redacted]"`
	for _, test := range []struct{ document, want string }{
		{`{}`, `{}`},
		{`{"email":"<a@example.com>","phone_number":null,"n":1.0}`, `{"email":"<a@example.com>","phone_number":null,"n":1.0}`},
		{`{"slack":{"access_token":"SECRET","channel":"c","incoming_webhook":{"url":"SECRET","x":1}}}`, `{"slack":{"access_token":` + r + `,"channel":"c","incoming_webhook":{"url":` + r + `,"x":1}}}`},
		{`{"webhook":{"url":"SECRET","method":"POST","headers":{"SECRET":"SECRET"},"authentication":{"mode":"basic","username":"SECRET","password":"SECRET","token":"SECRET"}}}`,
			`{"webhook":{"url":` + r + `,"method":"POST","headers":` + r + `,"authentication":{"mode":"basic","username":` + r + `,"password":` + r + `,"token":` + r + `}}}`},
		{`{"apn":{"token":"SECRET","tokens":["SECRET","SECRET"]},"expo":{"token":"SECRET","tokens":[{"token":"SECRET"}]},"firebaseToken":["SECRET"],"pagerduty":{"routing_key":"SECRET"}}`,
			`{"apn":{"token":` + r + `,"tokens":` + r + `},"expo":{"token":` + r + `,"tokens":` + r + `},"firebaseToken":` + r + `,"pagerduty":{"routing_key":` + r + `}}`},
		// What does not fit may be a secret as well.
		{`{"apn":"SECRET","firebaseToken":["a",{"token":"SECRET"}],"expo":["SECRET"],"slack":"SECRET","webhook":"SECRET","pagerduty":"SECRET"}`, `{"apn":` + r + `,"expo":` + r + `,"firebaseToken":` + r + `,"pagerduty":` + r + `,"slack":` + r + `,"webhook":` + r + `}`},
		{`{"slack":{"access_token":["SECRET"],"incoming_webhook":"SECRET"},"webhook":{"headers":[],"authentication":"SECRET"}}`, `{"slack":{"access_token":` + r + `,"incoming_webhook":` + r + `},"webhook":{"headers":` + r + `,"authentication":` + r + `}}`},
		{`{"slack":{"access_token":null,"incoming_webhook":null},"webhook":null,"firebaseToken":null}`, `{"slack":{"access_token":null,"incoming_webhook":null},"webhook":null,"firebaseToken":null}`},
	} {
		p := readProfile(t, test.document)
		before := readProfile(t, test.document)
		for _, got := range []string{p.String(), fmt.Sprint(p), fmt.Sprintf("%v %+v", &p, p)[:len(p.String())]} {
			sameJSON(t, test.document, test.want, got)
		}
		if !cmp.Equal(p, before) {
			t.Errorf("String changed the profile to %s", writeProfile(t, p))
		}
	}
	extra := courier.Profile{Extra: map[string]any{"firebaseToken": "SECRET", "slack": map[string]any{"access_token": "SECRET"}, "webhook": courier.Webhook{URL: courier.Set("SECRET")}}}
	if got := extra.String(); strings.Contains(got, "SECRET") || !strings.Contains(got, "firebaseToken") {
		t.Errorf("secrets in Extra print as %s", got)
	}
	bad := courier.Profile{Email: courier.Set("SECRET\xff"), Name: courier.Set("SECRET")}
	if got := bad.String(); strings.Contains(got, "SECRET") || !strings.Contains(got, "email") {
		t.Errorf("a profile that cannot be written prints as %q", got)
	}
}

type plan struct {
	Plan  string
	Seats int64
	Rate  json.Number
	Any   any
	Since time.Time
	Sub   *plan
}

type anyError struct{}

func (*anyError) UnmarshalJSON(text []byte) error { return fmt.Errorf("cannot read %s", text) }

func TestDecodeCustom(t *testing.T) {
	t.Parallel()
	before := plan{Plan: "before"}
	for _, test := range []struct {
		document string
		want     plan
	}{
		{`{}`, before}, {`{"custom":null}`, before}, {`{"custom":{}}`, before},
		{`{"custom":{"plan":"<pro>","SEATS":9007199254740993,"rate":1.50,"any":[1.0],"since":"2026-01-02T03:04:05Z","sub":{"seats":1}}}`,
			plan{"<pro>", 9007199254740993, "1.50", []any{json.Number("1.0")}, time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), &plan{Seats: 1}}},
		{`{"custom":{"plan":"x","unknown":[1],"\ud800":1},"Custom":{"plan":"y"}}`, plan{Plan: "x"}},
		{`{"custom":{"plan":"x","plan":"y"}}`, plan{Plan: "y"}},
	} {
		got := before
		if err := readProfile(t, test.document).DecodeCustom(&got); err != nil {
			t.Errorf("%s: %v", test.document, err)
		} else if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.document, diff)
		}
	}
	var list []int
	if err := readProfile(t, `{"custom":[1,2]}`).DecodeCustom(&list); err != nil || !slices.Equal(list, []int{1, 2}) {
		t.Errorf("a list is read as %v: %v", list, err)
	}
	// An error has the type that does not fit, and no key or value of the custom object.
	const document = `{"CANARY":{"n":"CANARY"},"CANARY2":"CANARY"}`
	for _, test := range []struct {
		custom string
		v      any
		want   string
	}{
		{document, new(map[string]int), "type int"}, {document, new(map[string]struct{ N int }), "type int"}, {document, new([]int), "type []int"}, {document, new(string), "type string"},
		{document, new(map[int]any), ""}, {document, new(map[string]json.Number), ""}, {document, new(map[string]time.Time), ""}, {document, new(map[string]netip.Addr), ""},
		{document, nil, ""}, {document, plan{}, ""}, {document, (*plan)(nil), ""},
		{`{"seats":4711.5}`, new(plan), "type int64"}, {`{"seats":47114711471147114711}`, new(plan), "type int64"}, {`{"rate":"CANARY"}`, new(plan), ""}, {`{"sub":{"seats":["CANARY"]}}`, new(plan), "type int64"},
		{`{"N":"CANARY"}`, &struct {
			N int `json:",string"`
		}{}, ""},
		{`["!CANARY"]`, new([][]byte), ""}, {`["CANARY"]`, new([]anyError), ""}, {`"CANARY"`, new(plan), "type courier_test.plan"},
	} {
		err := readProfile(t, `{"custom":`+test.custom+`}`).DecodeCustom(test.v)
		if text := fmt.Sprintf("%v %+v", err, err); err == nil || strings.Contains(text, "CANARY") || strings.Contains(text, "4711") || !strings.HasPrefix(text, "courier: custom") || !strings.Contains(text, test.want) {
			t.Errorf("%s into %T: the error is %q, want %q in it", test.custom, test.v, text, test.want)
		}
	}
	if err := (courier.Profile{Custom: courier.Set(map[string]any{"a": func() {}})}).DecodeCustom(new(any)); !matches[*courier.ValidationError](err) {
		t.Errorf("error %v, want a *ValidationError", err)
	}
}

func TestSetCustom(t *testing.T) {
	t.Parallel()
	want := plan{"<pro>", 9007199254740993, "1.50", nil, time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), &plan{Rate: "2.0"}}
	p := courier.Profile{Custom: courier.Set(map[string]any{"old": 1})}
	if err := p.SetCustom(&want); err != nil {
		t.Fatal(err)
	}
	var got plan
	if err := p.DecodeCustom(&got); err != nil {
		t.Error(err)
	} else if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("decoded (-want +got):\n%s", diff)
	}
	text, err := jsonv2.Marshal(p)
	if err != nil {
		t.Error(err)
	}
	sameJSON(t, "set", `{"custom":{"Plan":"<pro>","Seats":9007199254740993,"Rate":1.50,"Any":null,"Since":"2026-01-02T03:04:05Z","Sub":{"Plan":"","Seats":0,"Rate":2.0,"Any":null,"Since":"0001-01-01T00:00:00Z","Sub":null}}}`, string(text))
	for _, v := range []any{map[string]int(nil), struct{}{}, json.RawMessage(`{}`)} {
		if err := p.SetCustom(v); err != nil || len(p.Custom.Or(map[string]any{"old": 1})) != 0 {
			t.Errorf("%T is set as %v: %v", v, p.Custom, err)
		}
	}
	for _, v := range []any{nil, "x", 5, []int{1}, (*plan)(nil), json.RawMessage(`[]`)} {
		var refused *courier.ValidationError
		if err := p.SetCustom(v); !errors.As(err, &refused) || refused.Field != "custom" || !strings.Contains(refused.Reason, "object") || len(p.Custom.Or(nil)) != 0 || p.Custom.IsNull() {
			t.Errorf("%T: error %v, custom is %v", v, err, p.Custom)
		}
	}
}

// TestTokens: tokens keep the form in which they were created or read. What has none of
// the forms is a mismatch.
func TestTokens(t *testing.T) {
	t.Parallel()
	for text, all := range map[string][]string{
		`"a"`: {"a"}, `""`: {""}, `"\u0061\n"`: {"a\n"}, `[]`: {}, `["a"]`: {"a"}, `["a","b","a",""]`: {"a", "b", "a", ""}, ` [ {"token" : "a"} , {"token":""} ] `: {"a", ""},
		`1`: nil, `{}`: nil, `{"token":"a"}`: nil, `"\ud800"`: nil, `["a","\ud800"]`: nil, `[null]`: nil, `["a",null]`: nil, `["a",1]`: nil, `["a",["b"]]`: nil, `["a",{"token":"b"}]`: nil, `[{"token":"a"},"b"]`: nil, `[{"token":"a"},null]`: nil,
		`[{}]`: nil, `[{"token":null}]`: nil, `[{"token":1}]`: nil, `[{"token":"\udc00"}]`: nil, `[{"token":"a","\ud800":1}]`: nil, `[{"Token":"a"}]`: nil, `[{"token":"a","device":"ios"}]`: nil,
	} {
		for _, engine := range engines {
			var tokens courier.Tokens
			if err := engine.unmarshal([]byte(text), &tokens); (err == nil) != (all != nil) {
				t.Errorf("%s: %s gives the error %v", engine.name, text, err)
			} else if err == nil && !slices.Equal(tokens.All(), all) {
				t.Errorf("%s: %s is read as %q", engine.name, text, tokens.All())
			}
			for _, writer := range engines {
				if all == nil {
					continue
				}
				for value, want := range map[any]string{&tokens: text, &struct{ T courier.Tokens }{tokens}: `{"T":` + text + `}`, &struct{ F courier.Field[courier.Tokens] }{courier.Set(tokens)}: `{"F":` + text + `}`} {
					got, err := writer.marshal(value)
					if err != nil {
						t.Fatalf("%s: %T: %v", writer.name, value, err)
					}
					sameJSON(t, writer.name, want, string(got))
					if got, err = writer.marshal(reflect.ValueOf(value).Elem().Interface()); err != nil {
						t.Fatalf("%s: %T: %v", writer.name, value, err)
					}
					sameJSON(t, writer.name, want, string(got))
				}
			}
		}
		p := readProfile(t, `{"firebaseToken":`+text+`,"expo":{"tokens":`+text+`},"apn":{"tokens":`+text+`}}`)
		for place, field := range map[string]courier.Field[courier.Tokens]{"firebaseToken": p.FirebaseToken, "expo": p.Expo.Or(courier.Expo{}).Tokens, "apn": p.APN.Or(courier.APN{}).Tokens} {
			if tokens, ok := field.Get(); ok != (all != nil) || !slices.Equal(tokens.All(), all) || (field.Mismatch() == nil) != ok {
				t.Errorf("%s, %s: read as %q, %t", place, text, tokens.All(), ok)
			}
		}
	}
	list := []string{"<", "&"}
	for want, tokens := range map[string]courier.Tokens{`[] `: {}, `"a"`: courier.Token("a"), `""`: courier.Token(""), `[]`: courier.TokenList(), `["<","&"]`: courier.TokenList(list...)} {
		list[0] = "changed"
		if len(tokens.All()) > 0 {
			tokens.All()[0] = "changed"
		}
		if text, err := tokens.MarshalJSON(); err != nil || string(text) != strings.TrimSpace(want) {
			t.Errorf("%q is written as %s (%v), want %s", tokens.All(), text, err, want)
		}
	}
}
