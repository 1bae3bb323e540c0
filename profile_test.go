package courier_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	courier "github.com/courier-profiles/courier-go"
)

// What is expected: an exact reading of JSON, made apart from the package.

// exactly returns what a valid document says, with nothing lost: numbers as
// their text, half of a surrogate pair as \xff and its four digits (which no
// UTF-8 text holds), of duplicate keys the last.
func exactly(text string) any {
	e := exact{text: text}
	return e.value()
}

type exact struct {
	text string
	pos  int
}

// next returns the byte that comes next after white space.
func (e *exact) next() byte {
	for strings.IndexByte(" \t\r\n", e.text[e.pos]) >= 0 {
		e.pos++
	}
	return e.text[e.pos]
}

func (e *exact) value() any {
	switch e.next() {
	case '{':
		members := map[string]any{}
		for e.pos++; e.next() != '}'; {
			if e.next() == ',' {
				e.pos++
				e.next()
			}
			key := e.string()
			e.next()
			e.pos++ // the colon
			members[key] = e.value()
		}
		e.pos++
		return members
	case '[':
		elements := []any{}
		for e.pos++; e.next() != ']'; {
			if e.next() == ',' {
				e.pos++
			}
			elements = append(elements, e.value())
		}
		e.pos++
		return elements
	case '"':
		return e.string()
	}
	start := e.pos
	for e.pos < len(e.text) && strings.IndexByte(" \t\r\n,]}", e.text[e.pos]) < 0 {
		e.pos++
	}
	switch word := e.text[start:e.pos]; word {
	case "null":
		return nil
	case "true", "false":
		return word == "true"
	default:
		return json.Number(word)
	}
}

func (e *exact) string() string {
	var units []uint16
	for e.pos++; e.text[e.pos] != '"'; {
		if e.text[e.pos] != '\\' {
			c, size := utf8.DecodeRuneInString(e.text[e.pos:])
			units = utf16.AppendRune(units, c)
			e.pos += size
			continue
		}
		c := e.text[e.pos+1]
		e.pos += 2
		if c == 'u' {
			unit, err := strconv.ParseUint(e.text[e.pos:e.pos+4], 16, 16)
			if err != nil {
				panic(err)
			}
			units = append(units, uint16(unit))
			e.pos += 4
			continue
		}
		if i := strings.IndexByte("bfnrt", c); i >= 0 {
			c = "\b\f\n\r\t"[i]
		}
		units = append(units, uint16(c))
	}
	e.pos++
	var b strings.Builder
	for i := 0; i < len(units); i++ {
		c := rune(units[i])
		if utf16.IsSurrogate(c) {
			if i+1 < len(units) && utf16.DecodeRune(c, rune(units[i+1])) != utf8.RuneError {
				c = utf16.DecodeRune(c, rune(units[i+1]))
				i++
			} else {
				fmt.Fprintf(&b, "\xff%04x", c)
				continue
			}
		}
		b.WriteRune(c)
	}
	return b.String()
}

// noText reports whether what exactly returned has half of a surrogate pair in it.
func noText(s string) bool { return strings.Contains(s, "\xff") }

func TestExactly(t *testing.T) {
	for text, want := range map[string]any{
		` { "a" : [ 1.0 , true,null ] , "b":{},"a\u0041\n":"\ud83d\ude00é\/" } `: map[string]any{"a": []any{json.Number("1.0"), true, nil}, "b": map[string]any{}, "aA\n": "😀é/"},
		`{"a":1,"a":"\ud800"}`: map[string]any{"a": "\xffd800"},
		`"\ud800\ud800\udc00"`: "\xffd800\U00010000",
		` [] `:                 []any{},
		`-0`:                   json.Number("-0"),
		`"\"\\\b"`:             "\"\\\b",
	} {
		if got := exactly(text); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %s", text, cmp.Diff(want, got))
		}
	}
}

// readProfile reads a document that has to be readable.
func readProfile(tb testing.TB, document string) courier.Profile {
	tb.Helper()
	var p courier.Profile
	if err := json.Unmarshal([]byte(document), &p); err != nil {
		tb.Fatalf("reading %.300q: %v", document, err)
	}
	return p
}

// writeProfile writes a profile that has to be writable, in both ways there are.
func writeProfile(tb testing.TB, p courier.Profile) string {
	tb.Helper()
	text, err := p.MarshalJSON()
	if err != nil {
		tb.Fatalf("writing: %v", err)
	}
	std, err := json.Marshal(p)
	if err != nil {
		tb.Fatalf("json.Marshal: %v", err)
	}
	if !json.Valid(text) || !reflect.DeepEqual(exactly(string(text)), exactly(string(std))) {
		tb.Fatalf("MarshalJSON and json.Marshal differ: %.300q, %.300q", text, std)
	}
	return string(text)
}

func diffOf(want, got any) string {
	if reflect.DeepEqual(want, got) {
		return ""
	}
	return "(-want +got)\n" + cmp.Diff(want, got)
}

// checkRoundTrip reads any text as a profile and writes it. It returns false
// if the text is no profile, and was refused.
func checkRoundTrip(tb testing.TB, document string) bool {
	tb.Helper()
	var p, untouched courier.Profile
	p.Email = courier.Set("before")
	untouched.Email = courier.Set("before")
	err := p.UnmarshalJSON([]byte(document))

	valid := json.Valid([]byte(document)) && utf8.ValidString(document)
	var want any
	isProfile := false
	if valid {
		want = exactly(document)
		if members, ok := want.(map[string]any); ok {
			isProfile = !slices.ContainsFunc(slices.Collect(maps.Keys(members)), noText)
		}
	}
	if !isProfile {
		if isNull := valid && want == nil; (err == nil) != isNull {
			tb.Fatalf("UnmarshalJSON of %.300q: error %v", document, err)
		}
		if !cmp.Equal(p, untouched) {
			tb.Fatalf("UnmarshalJSON of %.300q, which is no profile, changed the profile to %v", document, p)
		}
		return false
	}
	if err != nil {
		tb.Fatalf("UnmarshalJSON of %.300q: %v", document, err)
	}
	got := writeProfile(tb, p)
	if diff := diffOf(want, exactly(got)); diff != "" {
		tb.Fatalf("%.300q came back as %.300q: %s", document, got, diff)
	}
	if again := writeProfile(tb, readProfile(tb, got)); again != got {
		tb.Fatalf("%.300q came back as %.300q, and then as %.300q", document, got, again)
	}
	return true
}

// The keys.

// keyOf is a key, the field it has in Go, a value of it and that value's JSON.
type keyOf struct {
	key, field string
	value      any
	text       string
}

// objectKeys are the keys of one object, and where in a profile it is.
type objectKeys struct {
	path   string
	object any
	keys   []keyOf
}

// profileKeys are the keys of the reference page, but for those of the channel
// objects.
var profileKeys = []objectKeys{
	{"", courier.Profile{}, []keyOf{
		{"sub", "Sub", courier.Set("s"), `"s"`},
		{"name", "Name", courier.Set("n"), `"n"`},
		{"given_name", "GivenName", courier.Set("g"), `"g"`},
		{"family_name", "FamilyName", courier.Set("f"), `"f"`},
		{"middle_name", "MiddleName", courier.Set("m"), `"m"`},
		{"nickname", "Nickname", courier.Set("nick"), `"nick"`},
		{"preferred_name", "PreferredName", courier.Set("pn"), `"pn"`},
		{"preferred_username", "PreferredUsername", courier.Set("pu"), `"pu"`},
		{"profile", "ProfileURL", courier.Set("https://example.com/?a&b"), `"https://example.com/?a&b"`},
		{"picture", "Picture", courier.Set("p"), `"p"`},
		{"website", "Website", courier.Set("w"), `"w"`},
		{"email", "Email", courier.Set("e@example.com"), `"e@example.com"`},
		{"email_verified", "EmailVerified", courier.Set(true), `true`},
		{"gender", "Gender", courier.Set("x"), `"x"`},
		{"birthdate", "Birthdate", courier.Set("0000-12-10"), `"0000-12-10"`},
		{"zoneinfo", "Zoneinfo", courier.Set("Europe/Paris"), `"Europe/Paris"`},
		{"locale", "Locale", courier.Set("fr-FR"), `"fr-FR"`},
		{"phone_number", "PhoneNumber", courier.Set("+15555550100"), `"+15555550100"`},
		{"phone_number_verified", "PhoneNumberVerified", courier.Set(false), `false`},
		{"updated_at", "UpdatedAt", courier.Set("2026-01-01"), `"2026-01-01"`},
		{"address", "Address", courier.Set(courier.Address{Country: courier.Set("FR")}), `{"country":"FR"}`},
		{"custom", "Custom", courier.Set(map[string]any{"a": json.Number("1.0"), "b": []any{nil, "x"}}), `{"a":1.0,"b":[null,"x"]}`},
		{"airship", "Airship", courier.Set(courier.Airship{DeviceTypes: courier.Set([]string{"ios"})}), `{"device_types":["ios"]}`},
		{"apn", "APN", courier.Set("apn"), `"apn"`},
		{"discord", "Discord", courier.Set(courier.Discord{UserID: courier.Set("u")}), `{"user_id":"u"}`},
		{"expo", "Expo", courier.Set(courier.Expo{Token: courier.Set("t")}), `{"token":"t"}`},
		{"facebookPSID", "FacebookPSID", courier.Set("fb"), `"fb"`},
		{"firebaseToken", "FirebaseToken", courier.Set(courier.Token("ft")), `"ft"`},
		{"intercom", "Intercom", courier.Set(courier.Intercom{From: courier.Set("f")}), `{"from":"f"}`},
		{"ms_teams", "MSTeams", courier.Set(courier.MSTeams{TeamID: courier.Set("t")}), `{"team_id":"t"}`},
		{"oneSignalPlayerID", "OneSignalPlayerID", courier.Set("os"), `"os"`},
		{"slack", "Slack", courier.Set(courier.Slack{Channel: courier.Set("c")}), `{"channel":"c"}`},
		{"target_arn", "TargetARN", courier.Set("arn"), `"arn"`},
		{"webhook", "Webhook", courier.Set(courier.Webhook{URL: courier.Set("u")}), `{"url":"u"}`},
	}},
	{"address", courier.Address{}, []keyOf{
		{"formatted", "Formatted", courier.Set("f\ng"), `"f\ng"`},
		{"street_address", "StreetAddress", courier.Set("s"), `"s"`},
		{"locality", "Locality", courier.Set("l"), `"l"`},
		{"region", "Region", courier.Set("r"), `"r"`},
		{"postal_code", "PostalCode", courier.Set("p"), `"p"`},
		{"country", "Country", courier.Set("c"), `"c"`},
	}},
}

func allKeys() []objectKeys { return slices.Concat(profileKeys, channelKeys) }

// at returns text as the member at that path of an object.
func at(path, text string) string {
	if path == "" {
		return text
	}
	for _, key := range slices.Backward(strings.Split(path, ".")) {
		text = fmt.Sprintf(`{%q:%s}`, key, text)
	}
	return text
}

// anObject is any object of the package behind a pointer.
type anObject interface {
	json.Marshaler
	json.Unmarshaler
}

func (o objectKeys) new() anObject {
	return reflect.New(reflect.TypeOf(o.object)).Interface().(anObject)
}

func fieldNamed(object anObject, name string) reflect.Value {
	return reflect.ValueOf(object).Elem().FieldByName(name)
}

func extraOf(object anObject) map[string]any {
	return fieldNamed(object, "Extra").Interface().(map[string]any)
}

// aField is what every Field can do, whatever it holds.
type aField interface {
	IsNull() bool
	IsZero() bool
	json.Marshaler
}

func TestEveryKeyHasItsField(t *testing.T) {
	for _, object := range allKeys() {
		for _, key := range object.keys {
			t.Run(strings.TrimPrefix(object.path+"."+key.key, "."), func(t *testing.T) {
				made := object.new()
				field := fieldNamed(made, key.field)
				if !field.IsValid() {
					t.Fatalf("%T has no field %s", object.object, key.field)
				}
				if got, want := field.Type(), reflect.TypeOf(key.value); got != want {
					t.Fatalf("%s is a %s, want a %s", key.field, got, want)
				}
				only := func(text string) string { return fmt.Sprintf(`{%q:%s}`, key.key, text) }
				writes := func(what, want string) {
					t.Helper()
					got, err := made.MarshalJSON()
					if err != nil || string(got) != want {
						t.Errorf("%s: written as %s (%v), want %s", what, got, err, want)
					}
				}
				reads := func(what, text string, null, there bool) {
					t.Helper()
					again := object.new()
					if err := json.Unmarshal([]byte(text), again); err != nil {
						t.Errorf("%s: %v", what, err)
					}
					field := fieldNamed(again, key.field).Interface().(aField)
					if field.IsNull() != null || field.IsZero() == there {
						t.Errorf("%s: null %t, not there %t", what, field.IsNull(), field.IsZero())
					}
					if there && !reflect.DeepEqual(again, made) {
						t.Errorf("%s: read as %+v, want %+v", what, again, made)
					}
					if !there && (extraOf(again)[key.key] == nil || len(extraOf(again)) != 1) {
						t.Errorf("%s: Extra is %v", what, extraOf(again))
					}
				}

				writes("not there", `{}`)
				field.Set(reflect.ValueOf(key.value))
				writes("a value", only(key.text))
				reads("a value", only(key.text), false, true)
				checkRoundTrip(t, at(object.path, only(key.text)))

				if err := field.Addr().Interface().(json.Unmarshaler).UnmarshalJSON([]byte("null")); err != nil {
					t.Error(err)
				}
				writes("null", only(`null`))
				reads("null", only(`null`), true, true)
				checkRoundTrip(t, at(object.path, only(`null`)))

				reads("a number", only(`12.50`), false, false)
				upper := strings.ToUpper(key.key)
				if again := object.new(); json.Unmarshal([]byte(fmt.Sprintf(`{%q:%s}`, upper, key.text)), again) != nil || len(extraOf(again)) != 1 {
					t.Errorf("%s is not in Extra", upper)
				}
			})
		}
	}
}

// TestEveryFieldHasItsKey walks all objects that can be reached from a
// Profile: each of their fields has to be in the tables above, once, and each
// object has to write all of its fields when they are all set.
func TestEveryFieldHasItsKey(t *testing.T) {
	known := map[reflect.Type]objectKeys{}
	for _, object := range allKeys() {
		known[reflect.TypeOf(object.object)] = object
	}
	seen := map[reflect.Type]bool{}
	var walk func(reflect.Type)
	walk = func(object reflect.Type) {
		if seen[object] {
			return
		}
		seen[object] = true
		keys, ok := known[object]
		if !ok {
			t.Errorf("no table of the keys of %s", object)
			return
		}
		fields := map[string]int{}
		for _, key := range keys.keys {
			fields[key.field]++
		}
		all := keys.new()
		want := map[string]any{}
		for i := range object.NumField() {
			field := object.Field(i)
			if field.Name == "Extra" {
				if field.Type != reflect.TypeFor[map[string]any]() {
					t.Errorf("%s.Extra is a %s", object, field.Type)
				}
				continue
			}
			get, ok := field.Type.MethodByName("Get")
			if !ok || !field.Type.Implements(reflect.TypeFor[aField]()) {
				t.Errorf("%s.%s is a %s, no Field", object, field.Name, field.Type)
				continue
			}
			if fields[field.Name] != 1 {
				t.Errorf("%s.%s is in the table %d times", object, field.Name, fields[field.Name])
			}
			if value := get.Type.Out(0); value.Kind() == reflect.Struct && value != reflect.TypeFor[courier.Tokens]() {
				walk(value)
			}
		}
		for _, key := range keys.keys {
			fieldNamed(all, key.field).Set(reflect.ValueOf(key.value))
			want[key.key] = exactly(key.text)
		}
		text, err := all.MarshalJSON()
		if err != nil {
			t.Errorf("%s: %v", object, err)
			return
		}
		if got := exactly(string(text)); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %s", object, cmp.Diff(any(want), got))
		}
		again := keys.new()
		if err := json.Unmarshal(text, again); err != nil || !reflect.DeepEqual(all, again) {
			t.Errorf("%s: read as %+v (%v), want %+v", object, again, err, all)
		}
	}
	walk(reflect.TypeFor[courier.Profile]())
	if len(seen) != len(known) {
		t.Errorf("%d objects in the tables, %d in a Profile", len(known), len(seen))
	}
}

// Lossless.

// nastyValues are values of every kind, most of which fit no field.
var nastyValues = []string{
	`null`, `true`, `false`, `"true"`, `""`, `"1 Main St"`, `"U1"`, `0`, `-0`, `-0.0`, `1.0`, `1E400`, `-1e-400`, `1e+05`, `9007199254740993`, `0.10000000000000000000000001`,
	`123456789012345678901234567890`, `[]`, `{}`, `[null]`, `[[]]`, `[{}]`, `[""]`, `["a","b"]`, `["a",1]`, `[{"token":"a"}]`, `["a",{"token":"b"}]`, `[{"token":"a","x":1}]`, `[{"token":1}]`,
	`{"":""}`, `{"":{"":[]}}`, `{"a":1,"A":2}`, `{"Extra":{"x":1},"extra":2}`, `{"unknown":{"deep":[{"er":1.50}]},"null":null,"empty":""}`,
	`"\ud800"`, `["\udc00"]`, `{"a":"\ud800"}`, `{"\ud800":1}`, `{"a":{"b\udc00":[1.0]},"a\u0000":""}`, `{"a":1,"a":2}`, `{"a":{"b":1},"a":{"c":2.0}}`, `"\u0000\u001f\"\\\/\u2028<>&` + "\u007f\ufffd" + `\ufffd\ud83d\ude00"`,
	` { "a" : [ 1 , 2 ] } `, `"2026-01-01T00:00:00.000Z"`,
	`{"country":1,"headers":null,"id":[],"url":{},"token":true,"tokens":"x","named_user":0,"mode":[],"email":null}`,
	`{"country":"x","headers":{"a":"b"},"id":"x","url":"x","token":"x","tokens":["x"],"named_user":"x","mode":"x","email":"x","more":1}`,
}

// nastyProfiles are documents that a profile has to keep.
var nastyProfiles = []string{
	`{}`,
	` { } `,
	`{"email_verified":"true"}`,
	`{"email_verified":1,"phone_number_verified":"false"}`,
	`{"address":"1 Main St"}`,
	`{"address":["1 Main St"],"custom":"x"}`,
	`{"slack":"U1","discord":1,"expo":"ExponentPushToken[x]","airship":[],"intercom":true,"ms_teams":"","webhook":"https://example.com"}`,
	`{"address":null,"slack":null,"custom":null,"firebaseToken":null,"expo":null,"email":null,"email_verified":null}`,
	`{"address":{"country":null},"slack":{"incoming_webhook":null},"webhook":{"headers":null,"authentication":null},"expo":{"tokens":null},"airship":{"device_types":null}}`,
	`{"firebaseToken":"a"}`, `{"firebaseToken":["a","b"]}`, `{"firebaseToken":[]}`, `{"firebaseToken":[{"token":"a"}]}`, `{"firebaseToken":["a",{"token":"b"}]}`, `{"firebaseToken":[{"token":"a","x":1}]}`, `{"firebaseToken":{"token":"a"}}`,
	`{"expo":{"tokens":"a"}}`, `{"expo":{"tokens":["a"]}}`, `{"expo":{"tokens":[{"token":"a"},{"token":"b"}]}}`, `{"expo":{"tokens":[{"token":"a"},"b"]}}`, `{"expo":{"tokens":[{"token":"a","added":1E2}]}}`, `{"expo":{"token":["a"],"tokens":[]}}`,
	`{"custom":{"n":1E400,"m":-0,"o":1.0,"p":9007199254740993,"q":0.1e-7,"r":1e+2,"s":100}}`,
	`{"n":1E400,"m":-0,"o":1.0,"p":9007199254740993,"phone_number":15555550100,"updated_at":1311280970,"address":{"postal_code":75001.0}}`,
	`{"email":"a","Email":"b","EMAIL":"c","eMail":null}`,
	`{"":1}`, `{"":{"":{"":""}}}`, `{"address":{"":1},"custom":{"":[]}}`,
	`{"unknown":1,"address":{"unknown":{"x":[1.0]}},"custom":{"unknown":null}}`,
	`{"airship":{"audience":{"named_user":"x","tag":"y"},"device_types":["ios"],"more":1}}`,
	`{"airship":{"audience":"all","device_types":"all"}}`,
	`{"airship":{"device_types":["ios",1]}}`,
	`{"intercom":{"from":{"type":"admin","id":"1"},"to":{"id":1,"type":"user"}}}`, `{"intercom":{"from":"f","to":"t"}}`,
	`{"slack":{"access_token":"x","email":"e","more":{},"incoming_webhook":{"url":"u","more":[{}]}}}`, `{"slack":{"incoming_webhook":"https://example.com"}}`,
	`{"webhook":{"url":"u","headers":{"a":"b","n":1}}}`, `{"webhook":{"headers":{"a":null}}}`, `{"webhook":{"headers":{"a":"\ud800"}}}`, `{"webhook":{"headers":{"\ud800":"a"}}}`, `{"webhook":{"headers":{}}}`, `{"webhook":{"headers":{"a":1,"a":"b"}}}`, `{"webhook":{"headers":[]}}`,
	`{"webhook":{"authentication":{"mode":"basic","username":"u","password":1,"scope":"s"},"profile":{"x":1}}}`,
	`{"ms_teams":{"tenant_id":"t","user_id":1,"more":null}}`, `{"discord":{"channel_id":5,"guild":"g"}}`,
	`{"Extra":{"x":1},"extra":null,"address":{"Extra":1}}`,
	`{"email":"\ud800"}`, `{"custom":{"a":"\ud800"}}`, `{"custom":{"\ud800":1,"b":[1.0]},"x":1}`, `{"address":{"\udc00":1,"country":"FR"}}`, `{"slack":{"incoming_webhook":{"\ud800":1},"email":"e"}}`, `{"x":[{"\ud800":"\udc00"}]}`, `{"firebaseToken":"\ud800"}`, `{"expo":{"tokens":["a","\ud800"]}}`,
	`{"email":"a\u0000b","name":"\"\\\/\b\f\n\r\t\u2028\u2029<script>&amp;"}`,
	"{\"name\":\"\ufffd\",\"n\\u0061me2\":\"\\ufffd\",\"x\":\"\\\\ufffd\"}",
	`{"n\u0061me":"escaped key"}`, `{"email":"a","\u0065mail":"b"}`,
	`{"email":"a","email":"b"}`, `{"email":"a","email":1}`, `{"email":1,"email":"b"}`, `{"email":1,"email":null}`, `{"email":null,"email":"a","email":2.0}`,
	`{"address":{"country":"FR","x":1},"address":{"region":"R"}}`, `{"address":{"country":"FR"},"address":"x"}`, `{"address":"x","address":{"country":"FR"}}`, `{"address":{"\ud800":1},"address":{}}`, `{"address":{},"address":{"\ud800":1}}`,
	`{"custom":{"a":1},"custom":{"b":2}}`, `{"custom":{"a":1},"custom":[]}`, `{"x":1,"x":2}`, `{"x":{"a":1},"x":{"b":1}}`,
	`{"__proto__":{"a":1},"constructor":1,"toString":null,"length":0}`,
	"\n\t{ \"email\" :\r\"a\" ,\"x\": [ ] }\n",
	strings.Replace(`{"deep":@}`, "@", strings.Repeat(`{"a":[`, 2000)+`1.0`+strings.Repeat(`]}`, 2000), 1),
	strings.Replace(`{"custom":@}`, "@", strings.Repeat(`{"a":`, 9999)+`1.0`+strings.Repeat(`}`, 9999), 1),
	strings.Replace(`{"webhook":{"authentication":@}}`, "@", strings.Repeat(`{"mode":`, 5000)+`"x"`+strings.Repeat(`}`, 5000), 1),
	// What is given up in the middle counts no longer for the depth.
	`{` + strings.Repeat(`"firebaseToken":[["a"]],"expo":{"tokens":[{"token":[1]}]},"airship":{"device_types":["a",1]},`, 11000) + `"x":[[]]}`,
	`{"email":` + strings.Repeat("[", 9999) + strings.Repeat("]", 9999) + `}`,
	`{"email":"` + strings.Repeat("a", 1<<16) + `","` + strings.Repeat("k", 1<<16) + `":1}`,
}

func TestProfileRoundTrip(t *testing.T) {
	for _, document := range nastyProfiles {
		if !checkRoundTrip(t, document) {
			t.Errorf("%.300q was refused", document)
		}
	}
}

// TestProfileRoundTripOfEveryValueEverywhere puts each nasty value into each
// known key, and beside it, and reads each object alone as well.
func TestProfileRoundTripOfEveryValueEverywhere(t *testing.T) {
	for _, object := range allKeys() {
		for _, value := range nastyValues {
			for _, key := range object.keys {
				text := fmt.Sprintf(`{"before":%[2]s,%[1]q:%[2]s,"Behind":%[2]s}`, key.key, value)
				if !checkRoundTrip(t, at(object.path, text)) {
					t.Errorf("%s was refused", at(object.path, text))
				}
				alone := object.new()
				if err := json.Unmarshal([]byte(text), alone); err != nil {
					t.Errorf("%T: %s: %v", alone, text, err)
					continue
				}
				got, err := json.Marshal(alone)
				if err != nil {
					t.Errorf("%T: %s: %v", alone, text, err)
				} else if diff := diffOf(exactly(text), exactly(string(got))); diff != "" {
					t.Errorf("%T: %s %s", alone, text, diff)
				}
			}
			if object.path != "" {
				checkRoundTrip(t, at(object.path, value))
			}
		}
	}
}

// TestProfileRoundTripOfDuplicates reads each known key two and three times
// over, with values that fit, that do not, and null.
func TestProfileRoundTripOfDuplicates(t *testing.T) {
	for _, object := range allKeys() {
		for _, key := range object.keys {
			values := []string{key.text, `null`, `1.0`, `"\ud800"`, `{"\ud800":1}`, `{"a":1}`, `[1]`}
			var tries [][]string
			for _, first := range values {
				for _, second := range values {
					tries = append(tries, []string{first, second})
					for _, third := range values[:3] {
						tries = append(tries, []string{first, second, third})
					}
				}
			}
			for _, try := range tries {
				var members []string
				for _, value := range try {
					members = append(members, fmt.Sprintf(`%q:%s`, key.key, value), `"x":`+value)
				}
				text := "{" + strings.Join(members, ",") + "}"
				checkRoundTrip(t, at(object.path, text))
				if last := try[len(try)-1]; last == key.text || last == `null` {
					alone, want := object.new(), object.new()
					if err := errors.Join(json.Unmarshal([]byte(text), alone), json.Unmarshal([]byte(fmt.Sprintf(`{%q:%s}`, key.key, last)), want)); err != nil {
						t.Error(err)
					} else if !reflect.DeepEqual(fieldNamed(alone, key.field).Interface(), fieldNamed(want, key.field).Interface()) {
						t.Errorf("%s: the field is not what the last of them is", text)
					} else if _, kept := extraOf(alone)[key.key]; kept {
						t.Errorf("%s: in Extra as well as in the field", text)
					}
				}
			}
		}
	}
}

// change edits the value of a field, or an empty one if there is none.
func change[T any](f *courier.Field[T], edit func(*T)) {
	value, _ := f.Get()
	edit(&value)
	*f = courier.Set(value)
}

// changes change one field each.
var changes = []struct {
	path  string
	value any // as exactly has it
	apply func(*courier.Profile)
}{
	{"email", "new", func(p *courier.Profile) { p.Email = courier.Set("new") }},
	{"email", nil, func(p *courier.Profile) { p.Email = courier.Null[string]() }},
	{"email_verified", false, func(p *courier.Profile) { p.EmailVerified = courier.Set(false) }},
	{"sub", "", func(p *courier.Profile) { p.Sub = courier.Set("") }},
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
		change(&p.Address, func(a *courier.Address) { delete(a.Extra, "country"); a.Country = courier.Set("new") })
	}},
	{"expo.tokens", []any{"new"}, func(p *courier.Profile) {
		change(&p.Expo, func(e *courier.Expo) {
			delete(e.Extra, "tokens")
			e.Tokens = courier.Set(courier.TokenList("new"))
		})
	}},
	{"slack.channel", nil, func(p *courier.Profile) {
		change(&p.Slack, func(s *courier.Slack) { delete(s.Extra, "channel"); s.Channel = courier.Null[string]() })
	}},
	{"webhook.headers", map[string]any{"new": "x"}, func(p *courier.Profile) {
		change(&p.Webhook, func(w *courier.Webhook) {
			delete(w.Extra, "headers")
			w.Headers = courier.Set(map[string]string{"new": "x"})
		})
	}},
}

// checkChanges reads a document and changes one field of it, each in turn.
func checkChanges(tb testing.TB, document string) {
	tb.Helper()
	for _, change := range changes {
		p := readProfile(tb, document)
		want := exactly(document).(map[string]any)
		key, member, nested := strings.Cut(change.path, ".")
		_, misfit := p.Extra[key]
		delete(p.Extra, key) // as the doc of Profile says
		change.apply(&p)
		if !nested {
			want[key] = change.value
		} else if object, ok := want[key].(map[string]any); ok && !misfit {
			object[member] = change.value
		} else {
			want[key] = map[string]any{member: change.value}
		}
		if diff := diffOf(any(want), exactly(writeProfile(tb, p))); diff != "" {
			tb.Fatalf("%.300q after a change of %s: %s", document, change.path, diff)
		}
	}
}

func TestProfileChangeOfOneField(t *testing.T) {
	for _, document := range nastyProfiles {
		if len(document) < 5000 {
			checkChanges(t, document)
		}
	}
	// Every field of the profile, in a document that has them all.
	var members []string
	for _, key := range profileKeys[0].keys {
		members = append(members, fmt.Sprintf("%q:%s", key.key, key.text))
	}
	document := "{" + strings.Join(members, ",") + `,"unknown":{"n":1.0}}`
	for _, key := range profileKeys[0].keys {
		for _, text := range []string{`null`, key.text} {
			p := readProfile(t, document)
			if err := fieldNamed(&p, key.field).Addr().Interface().(json.Unmarshaler).UnmarshalJSON([]byte(text)); err != nil {
				t.Error(err)
			}
			want := exactly(document).(map[string]any)
			want[key.key] = exactly(text)
			if diff := diffOf(any(want), exactly(writeProfile(t, p))); diff != "" {
				t.Errorf("after %s = %s: %s", key.field, text, diff)
			}
		}
		p := readProfile(t, document)
		fieldNamed(&p, key.field).SetZero()
		want := exactly(document).(map[string]any)
		delete(want, key.key)
		if diff := diffOf(any(want), exactly(writeProfile(t, p))); diff != "" {
			t.Errorf("without %s: %s", key.field, diff)
		}
	}
}

// randomProfiles makes documents of known and unknown keys, with values that
// fit and values that do not.
type randomProfiles struct {
	*rand.Rand
	keys map[string][]keyOf // by path
}

func newRandomProfiles(seed uint64) randomProfiles {
	keys := map[string][]keyOf{}
	for _, object := range allKeys() {
		keys[object.path] = object.keys
	}
	return randomProfiles{rand.New(rand.NewPCG(seed, 0)), keys}
}

func (r randomProfiles) pick(texts ...string) string { return texts[r.IntN(len(texts))] }

func (r randomProfiles) space() string { return r.pick("", "", "", "", " ", "\n", "\t\r ") }

// object returns the text of an object that is at that path of a profile.
func (r randomProfiles) object(path string, known []keyOf, depth int) string {
	var members []string
	for range r.IntN(7) {
		key, value := "", ""
		if known != nil && r.IntN(4) > 0 {
			picked := known[r.IntN(len(known))]
			key = strconv.Quote(picked.key)
			inner := strings.TrimPrefix(path+"."+picked.key, ".")
			switch keys, isObject := r.keys[inner]; {
			case isObject && r.IntN(3) > 0:
				value = r.object(inner, keys, depth-1)
			case r.IntN(2) == 0:
				value = picked.text
			default:
				value = r.value(depth - 1)
			}
		} else {
			key, value = r.string(path != ""), r.value(depth-1)
		}
		members = append(members, r.space()+key+r.space()+":"+r.space()+value+r.space())
	}
	return "{" + strings.Join(members, ",") + "}"
}

func (r randomProfiles) value(depth int) string {
	kind := r.IntN(9)
	switch {
	case kind == 0:
		return nastyValues[r.IntN(len(nastyValues))]
	case kind <= 2:
		return r.string(true)
	case kind == 3:
		return r.pick("null", "true", "false")
	case kind <= 5 || depth <= 0:
		return r.pick("", "-") + r.pick("0", "1", "10", strconv.FormatUint(r.Uint64(), 10)) + r.pick("", ".0", ".50", "."+strconv.FormatUint(r.Uint64(), 10)) + r.pick("", "e1", "E+05", "e-400", "E400")
	case kind == 6:
		var elements []string
		for range r.IntN(5) {
			elements = append(elements, r.space()+r.value(depth-1)+r.space())
		}
		return "[" + strings.Join(elements, ",") + "]"
	default:
		return r.object("unknown", nil, depth)
	}
}

func (r randomProfiles) string(halves bool) string {
	var b strings.Builder
	b.WriteByte('"')
	for range r.IntN(5) {
		c := rune(r.IntN(0x10000))
		switch r.IntN(7) {
		case 0, 1, 2:
			b.WriteString(r.pick("a", "B", "<", "&", " ", "token", "email", "{", "]"))
		case 3:
			b.WriteString(r.pick(`\n`, `\"`, `\\`, `\/`, `\u0000`, `\u2028`, `\ud83d\ude00`, `\\ufffd`, `\ufffd`))
		case 4:
			b.WriteString(r.pick("é", "😀", "\ufffd", "\u2029", "\U0010ffff"))
		default:
			if !halves && utf16.IsSurrogate(c) {
				c = 'x'
			}
			if r.IntN(4) == 0 && halves {
				c = 0xd800 + c%0x800
			}
			fmt.Fprintf(&b, r.pick(`\u%04x`, `\u%04X`), c)
		}
	}
	b.WriteByte('"')
	return b.String()
}

func TestProfileRoundTripOfRandomDocuments(t *testing.T) {
	const documents = 2000
	random := newRandomProfiles(5)
	misfits := 0
	for i := range documents {
		document := random.object("", random.keys[""], 6)
		if !checkRoundTrip(t, document) {
			t.Fatalf("%q was refused", document)
		}
		if i%10 == 0 {
			checkChanges(t, document)
		}
		p := readProfile(t, document)
		for _, key := range random.keys[""] {
			if _, ok := p.Extra[key.key]; ok {
				misfits++
				break
			}
		}
	}
	if misfits < documents/5 || misfits > documents*9/10 {
		t.Errorf("%d of %d documents have a member that does not fit: the test no longer tests both", misfits, documents)
	}
}

func FuzzProfileRoundTrip(f *testing.F) {
	for _, document := range nastyProfiles {
		if len(document) < 1000 {
			f.Add(document)
		}
	}
	for _, document := range []string{``, `null`, ` null `, `[]`, `"x"`, `1`, `{"\ud800":1}`, "{\"a\":\"\xff\"}", `{"a":1}x`, `{"a":1,}`} {
		f.Add(document)
	}
	random := newRandomProfiles(6)
	for range 50 {
		f.Add(random.object("", random.keys[""], 4))
	}
	f.Fuzz(func(t *testing.T, document string) {
		if checkRoundTrip(t, document) {
			checkChanges(t, document)
		}
		for _, object := range channelKeys {
			if alone := object.new(); alone.UnmarshalJSON([]byte(document)) == nil {
				got, err := alone.MarshalJSON()
				if err != nil {
					t.Fatalf("%T of %q: %v", alone, document, err)
				}
				want := exactly(document)
				if want == nil {
					want = map[string]any{} // null changes nothing
				}
				if diff := diffOf(want, exactly(string(got))); diff != "" {
					t.Fatalf("%T of %q: %s", alone, document, diff)
				}
			}
		}
	})
}

func TestProfileUnmarshalRefuses(t *testing.T) {
	const canary = "CaNaRy"
	for _, document := range []string{
		``, ` `, `{`, `}`, `[]`, `"` + canary + `"`, `1`, `true`, `nul`, `{} {}`, `{}x`, `{"a":1,}`, `{"a":"` + canary + `"`, `{"email":"` + canary + `}`, `{"email":"` + canary + `",}`, `{"` + canary + `":}`, `{"` + canary + `"}`,
		`{'email':"` + canary + `"}`, `{"email":` + canary + `}`, "{\"email\":\"" + canary + "\xff\"}", "{\"" + canary + "\xff\":1}", "{\"address\":{\"" + canary + "\xff\":1}}", "{\"address\":{\"country\":\"" + canary + "\xff\"}}", "{\"custom\":{\"a\":[\"" + canary + "\xff\"]}}",
		"{\"firebaseToken\":[\"" + canary + "\xff\"]}", "{\"webhook\":{\"headers\":{\"" + canary + "\xff\":\"\"}}}", "{\"email\":\"" + canary + "\n\"}", `{"address":{"country":"` + canary + `",}}`, `{"expo":{"tokens":["` + canary + `",]}}`, `{"expo":{"tokens":[{"token":"` + canary + `"},]}}`,
		`{"` + canary + `\ud800":1}`, `{"email":` + strings.Repeat("[", 10000) + strings.Repeat("]", 10000) + `}`, strings.Repeat(`{"address":`, 20000),
		"\ufeff{}", "{\x00}", `{"email":"` + canary + `\x"}`, `{"n":01}`, `{"n":1.}`, `{"n":+1}`, `{"n":NaN}`,
	} {
		if checkRoundTrip(t, document) {
			t.Errorf("%.100q was read", document)
		}
		var p courier.Profile
		for _, err := range []error{p.UnmarshalJSON([]byte(document)), json.Unmarshal([]byte(document), &p)} {
			if err == nil {
				t.Errorf("%.100q: no error", document)
			} else if text := err.Error(); strings.Contains(text, canary) || !strings.HasPrefix(text, "courier: ") && !strings.Contains(text, "JSON") && !strings.Contains(text, "invalid character") && !strings.Contains(text, "depth") {
				t.Errorf("%.100q: error %q", document, text)
			}
		}
	}
}

func TestUnmarshalNull(t *testing.T) {
	// As encoding/json wants it of an Unmarshaler.
	for _, object := range allKeys() {
		made := object.new()
		key := object.keys[0]
		fieldNamed(made, key.field).Set(reflect.ValueOf(key.value))
		for _, text := range []string{"null", " null\n"} {
			if err := made.UnmarshalJSON([]byte(text)); err != nil || !reflect.DeepEqual(fieldNamed(made, key.field).Interface(), key.value) {
				t.Errorf("%T: null is read as %+v: %v", made, made, err)
			}
		}
		if err := json.Unmarshal([]byte("{}"), made); err != nil || !reflect.ValueOf(made).Elem().IsZero() {
			t.Errorf("%T: what was there before {} is there still: %+v (%v)", made, made, err)
		}
	}
	holder := struct {
		Value   courier.Profile
		Pointer *courier.Profile
	}{courier.Profile{Email: courier.Set("x")}, &courier.Profile{}}
	if err := json.Unmarshal([]byte(`{"Value":null,"Pointer":null}`), &holder); err != nil || holder.Pointer != nil || holder.Value.Email.IsZero() {
		t.Errorf("%+v: %v", holder, err)
	}
	if text, err := json.Marshal(holder); err != nil || string(text) != `{"Value":{"email":"x"},"Pointer":null}` {
		t.Errorf("%s: %v", text, err)
	}
	tokens := courier.Token("x")
	if err := json.Unmarshal([]byte("null"), &tokens); err != nil || !slices.Equal(tokens.All(), []string{"x"}) {
		t.Errorf("Tokens: %q, %v", tokens.All(), err)
	}
}

// Writing.

func TestProfileWritesZeroValues(t *testing.T) {
	tests := []struct {
		profile courier.Profile
		want    string
	}{
		{courier.Profile{}, `{}`},
		{courier.Profile{Email: courier.Field[string]{}, Extra: map[string]any{}}, `{}`},
		{courier.Profile{Email: courier.Set("")}, `{"email":""}`},
		{courier.Profile{EmailVerified: courier.Set(false)}, `{"email_verified":false}`},
		{courier.Profile{Custom: courier.Set(map[string]any(nil))}, `{"custom":{}}`},
		{courier.Profile{Custom: courier.Set(map[string]any{})}, `{"custom":{}}`},
		{courier.Profile{Custom: courier.Set(map[string]any{"a": nil, "m": map[string]any(nil), "l": []any(nil)})}, `{"custom":{"a":null,"l":[],"m":{}}}`},
		{courier.Profile{Address: courier.Set(courier.Address{})}, `{"address":{}}`},
		{courier.Profile{Airship: courier.Set(courier.Airship{DeviceTypes: courier.Set([]string(nil))})}, `{"airship":{"device_types":[]}}`},
		{courier.Profile{Airship: courier.Set(courier.Airship{DeviceTypes: courier.Set([]string{})})}, `{"airship":{"device_types":[]}}`},
		{courier.Profile{Webhook: courier.Set(courier.Webhook{Headers: courier.Set(map[string]string(nil))})}, `{"webhook":{"headers":{}}}`},
		{courier.Profile{FirebaseToken: courier.Set(courier.Tokens{})}, `{"firebaseToken":[]}`},
		{courier.Profile{Email: courier.Null[string](), Custom: courier.Null[map[string]any](), FirebaseToken: courier.Null[courier.Tokens]()}, `{"email":null,"custom":null,"firebaseToken":null}`},
		{courier.Profile{Extra: map[string]any{"a": nil, "b": "", "c": false, "d": 0, "e": []any(nil), "f": map[string]any(nil)}}, `{"a":null,"b":"","c":false,"d":0,"e":[],"f":{}}`},
		{courier.Profile{Name: courier.Set("<b>&\u2028")}, "{\"name\":\"<b>&\u2028\"}"},
		{courier.Profile{Extra: map[string]any{"Address": courier.Address{Country: courier.Set("FR")}, "set": courier.Set(5), "null": courier.Null[string]()}}, `{"Address":{"country":"FR"},"null":null,"set":5}`},
		{courier.Profile{Extra: map[string]any{"email": "in Extra alone"}}, `{"email":"in Extra alone"}`},
	}
	for _, test := range tests {
		if got := test.profile.String(); got != test.want {
			t.Errorf("got %s, want %s", got, test.want)
		}
		if diff := diffOf(exactly(test.want), exactly(writeProfile(t, test.profile))); diff != "" {
			t.Errorf("%s: %s", test.want, diff)
		}
	}
}

// TestKeyInExtraAndField sets each field and puts its key into Extra, at every
// place in a profile.
func TestKeyInExtraAndField(t *testing.T) {
	const canary = "CaNaRy"
	for _, object := range allKeys() {
		for _, key := range object.keys {
			for _, null := range []bool{false, true} {
				for _, extra := range []any{canary, nil, key.value} {
					made := object.new()
					field := fieldNamed(made, key.field)
					if field.Set(reflect.ValueOf(key.value)); null {
						field.SetZero()
						if err := field.Addr().Interface().(json.Unmarshaler).UnmarshalJSON([]byte("null")); err != nil {
							t.Fatal(err)
						}
					}
					fieldNamed(made, "Extra").Set(reflect.ValueOf(map[string]any{key.key: extra}))
					checkRefused(t, made, key.key, canary, "delete it from one of the two")
					checkRefused(t, inProfile(t, object.path, made), strings.TrimPrefix(object.path+"."+key.key, "."), canary, "delete it from one of the two")

					// Deleted from one of the two, it is none.
					field.SetZero()
					if _, err := made.MarshalJSON(); err != nil {
						t.Errorf("%T with %s in Extra alone: %v", made, key.key, err)
					}
				}
			}
		}
	}
}

// inProfile returns a profile that has the object at that path.
func inProfile(t *testing.T, path string, object anObject) anObject {
	t.Helper()
	if path == "" {
		return object
	}
	outer, name := "", path
	if i := strings.LastIndexByte(path, '.'); i >= 0 {
		outer, name = path[:i], path[i+1:]
	}
	for _, candidate := range allKeys() {
		for _, key := range candidate.keys {
			if candidate.path != outer || key.key != name {
				continue
			}
			holder := candidate.new()
			set := reflect.ValueOf(setters[reflect.TypeOf(object).Elem()]).Call([]reflect.Value{reflect.ValueOf(object).Elem()})[0]
			fieldNamed(holder, key.field).Set(set)
			return inProfile(t, outer, holder)
		}
	}
	t.Fatalf("no object at %s", path)
	return nil
}

// setters are Set for each type that is inside a profile.
var setters = map[reflect.Type]any{
	reflect.TypeFor[courier.Address]():               courier.Set[courier.Address],
	reflect.TypeFor[courier.Airship]():               courier.Set[courier.Airship],
	reflect.TypeFor[courier.AirshipAudience]():       courier.Set[courier.AirshipAudience],
	reflect.TypeFor[courier.Discord]():               courier.Set[courier.Discord],
	reflect.TypeFor[courier.Expo]():                  courier.Set[courier.Expo],
	reflect.TypeFor[courier.Intercom]():              courier.Set[courier.Intercom],
	reflect.TypeFor[courier.IntercomRecipient]():     courier.Set[courier.IntercomRecipient],
	reflect.TypeFor[courier.MSTeams]():               courier.Set[courier.MSTeams],
	reflect.TypeFor[courier.Slack]():                 courier.Set[courier.Slack],
	reflect.TypeFor[courier.SlackIncomingWebhook]():  courier.Set[courier.SlackIncomingWebhook],
	reflect.TypeFor[courier.Webhook]():               courier.Set[courier.Webhook],
	reflect.TypeFor[courier.WebhookAuthentication](): courier.Set[courier.WebhookAuthentication],
}

// checkRefused writes what cannot be written: the error has to be a
// *ValidationError with that field, in each way of writing, and to hold no data.
func checkRefused(t *testing.T, value json.Marshaler, field, canary, reason string) {
	t.Helper()
	direct, err := value.MarshalJSON()
	if err == nil {
		t.Errorf("%T with %s: written as %q", value, field, direct)
		return
	}
	_, wrapped := json.Marshal(map[string]any{"list": []any{value}})
	for _, err := range []error{err, wrapped} {
		var refused *courier.ValidationError
		if !errors.As(err, &refused) {
			t.Errorf("%T with %s: error %T (%v), want a *ValidationError in it", value, field, err, err)
			continue
		}
		if refused.Field != field || !strings.Contains(refused.Reason, reason) {
			t.Errorf("%T with %s: field %q, reason %q", value, field, refused.Field, refused.Reason)
		}
		if text := err.Error() + fmt.Sprintf("%v %+v %#v %q", refused, refused, refused, err); strings.Contains(text, canary) || !utf8.ValidString(text) {
			t.Errorf("%T with %s: the error holds data: %q", value, field, text)
		}
	}
	if printer, ok := value.(fmt.Stringer); ok && strings.Contains(printer.String(), canary) {
		t.Errorf("String of a profile that cannot be written holds data: %q", printer)
	}
}

// TestTextThatIsNotUTF8 puts it into every place that takes text.
func TestTextThatIsNotUTF8(t *testing.T) {
	const canary, reason = "CaNaRy", "UTF-8"
	for _, bad := range []string{canary + "\xff", "\xc3" + canary, canary + "\xed\xa0\x80", canary + "é"[:1]} {
		for _, object := range allKeys() {
			put := func(place, field string, value any) {
				made := object.new()
				fieldNamed(made, field).Set(reflect.ValueOf(value))
				checkRefused(t, made, place, canary, reason)
				checkRefused(t, inProfile(t, object.path, made), strings.TrimPrefix(object.path+"."+place, "."), canary, reason)
			}
			for _, key := range object.keys {
				switch key.value.(type) {
				case courier.Field[string]:
					put(key.key, key.field, courier.Set(bad))
				case courier.Field[courier.Tokens]:
					put(key.key, key.field, courier.Set(courier.Token(bad)))
					put(key.key, key.field, courier.Set(courier.TokenList("a", bad)))
					// An array of objects with a text that is not UTF-8 cannot be read, and so
					// not be made.
				case courier.Field[[]string]:
					put(key.key, key.field, courier.Set([]string{"a", bad}))
				case courier.Field[map[string]string]:
					put(key.key, key.field, courier.Set(map[string]string{"a": bad}))
					put(key.key, key.field, courier.Set(map[string]string{bad: "a"}))
				case courier.Field[map[string]any]:
					put(key.key, key.field, courier.Set(map[string]any{"a": bad}))
					put(key.key, key.field, courier.Set(map[string]any{bad: "a"}))
					put(key.key, key.field, courier.Set(map[string]any{"a": []any{map[string]any{"b": map[string]any{bad: 1}}}}))
					put(key.key, key.field, courier.Set(map[string]any{"a": []string{bad}}))
					put(key.key, key.field, courier.Set(map[string]any{"a": struct{ S string }{bad}}))
				}
			}
			for _, value := range []any{
				bad, &bad, []any{bad}, []string{bad}, map[string]any{bad: 1}, map[string]string{"a": bad}, map[string]string{bad: "a"}, json.RawMessage(`"` + bad + `"`),
				struct{ S []struct{ T any } }{[]struct{ T any }{{bad}}}, map[string]any{"a": []any{map[string]any{"b": []any{bad}}}},
			} {
				put("Extra", "Extra", map[string]any{"a": 1, "x": value})
			}
			put("Extra", "Extra", map[string]any{bad: 1})
		}
	}
}

func TestValuesThatCannotBeWritten(t *testing.T) {
	const canary = "CaNaRy"
	cyclic := map[string]any{}
	cyclic["a"] = []any{cyclic}
	for name, value := range map[string]any{
		"NaN": math.NaN(), "Inf": math.Inf(1), "channel": make(chan int), "func": func() {}, "cyclic": cyclic, "json.Number": json.Number(canary), "RawMessage": json.RawMessage(canary),
		"MarshalJSON": failingMarshaler{}, "a profile inside": courier.Profile{Email: courier.Set("\xff")}, "a field inside": courier.Set("\xff"),
	} {
		t.Run(name, func(t *testing.T) {
			for _, value := range []any{value, []any{value}, map[string]any{"b": value}, map[string]any{canary: []any{value}}} {
				checkRefused(t, courier.Profile{Extra: map[string]any{canary: value}}, "Extra", canary, "")
				checkRefused(t, courier.Profile{Custom: courier.Set(map[string]any{canary: value})}, "custom", canary, "")
				checkRefused(t, courier.Profile{Address: courier.Set(courier.Address{Extra: map[string]any{canary: value}})}, "address.Extra", canary, "")
			}
		})
	}
}

type failingMarshaler struct{}

func (failingMarshaler) MarshalJSON() ([]byte, error) { return nil, errors.New("CaNaRy") }

// TestErrorTextsOfSingleValues holds that an error reads well when there is no
// key to name: a Field or Tokens written alone.
func TestErrorTextsOfSingleValues(t *testing.T) {
	_, err := courier.Set("\xff").MarshalJSON()
	_, err2 := courier.Token("\xff").MarshalJSON()
	_, err3 := courier.Set(map[string]any{"a": math.NaN()}).MarshalJSON()
	err4 := courier.Profile{Custom: courier.Set(map[string]any{"a": math.NaN()})}.DecodeCustom(new(any))
	for _, err := range []error{err, err2, err3, err4} {
		var refused *courier.ValidationError
		if !errors.As(err, &refused) {
			t.Errorf("error %v, want a *ValidationError", err)
		} else if strings.Contains(err.Error(), ": :") {
			t.Errorf("%q has an empty place where the field should be", err)
		}
	}
	var f courier.Field[bool]
	if err := json.Unmarshal([]byte(`"x"`), &f); err == nil || strings.Contains(err.Error(), "codec") {
		t.Errorf("%v: no user knows what a codec is", err)
	}
}

// Fields.

func TestField(t *testing.T) {
	type state struct {
		value      string
		ok         bool
		or         string
		null, zero bool
	}
	tests := []struct {
		name  string
		field courier.Field[string]
		want  state
		text  string
	}{
		{"not there", courier.Field[string]{}, state{"", false, "fallback", false, true}, `null`},
		{"null", courier.Null[string](), state{"", false, "fallback", true, false}, `null`},
		{"value", courier.Set("x"), state{"x", true, "x", false, false}, `"x"`},
		{"empty", courier.Set(""), state{"", true, "", false, false}, `""`},
	}
	for _, test := range tests {
		value, ok := test.field.Get()
		if got := (state{value, ok, test.field.Or("fallback"), test.field.IsNull(), test.field.IsZero()}); got != test.want {
			t.Errorf("%s: got %+v, want %+v", test.name, got, test.want)
		}
		if text, err := json.Marshal(test.field); err != nil || string(text) != test.text {
			t.Errorf("%s: written as %s: %v", test.name, text, err)
		}
		for _, other := range tests {
			if same := test.name == other.name; test.field.Equal(other.field) != same || cmp.Equal(test.field, other.field) != same || (test.field == other.field) != same {
				t.Errorf("%s equals %s: %t", test.name, other.name, !same)
			}
		}
	}
	if value, ok := courier.Set(false).Get(); value || !ok || courier.Set(false).Or(true) || courier.Set(false).IsZero() {
		t.Error("false is no value")
	}
	if f := courier.Set(map[string]any{"a": []any{json.Number("1")}}); !f.Equal(courier.Set(map[string]any{"a": []any{json.Number("1")}})) || f.Equal(courier.Set(map[string]any{"a": []any{json.Number("1.0")}})) {
		t.Error("Equal is not deep")
	}

	var f courier.Field[string]
	for _, step := range []struct {
		text string
		want courier.Field[string]
		ok   bool
	}{
		{`"a"`, courier.Set("a"), true},
		{`1`, courier.Set("a"), false},
		{` null `, courier.Null[string](), true},
		{` "b" `, courier.Set("b"), true},
		{`"\ud800"`, courier.Set("b"), false},
		{`"c`, courier.Set("b"), false},
		{`"c" 1`, courier.Set("b"), false},
		{"\"\xff\"", courier.Set("b"), false},
		{``, courier.Set("b"), false},
		{`""`, courier.Set(""), true},
	} {
		if err := f.UnmarshalJSON([]byte(step.text)); (err == nil) != step.ok || f != step.want {
			t.Errorf("%s is read as %v: %v", step.text, f, err)
		}
	}
}

// TestFieldInAUsersStruct uses fields in a struct that is not of this package,
// with the tag that Field documents.
func TestFieldInAUsersStruct(t *testing.T) {
	type settings struct {
		Name    courier.Field[string]            `json:"name,omitzero"`
		Admin   courier.Field[bool]              `json:"admin,omitzero"`
		Tags    courier.Field[[]string]          `json:"tags,omitzero"`
		Labels  courier.Field[map[string]string] `json:"labels,omitzero"`
		More    courier.Field[map[string]any]    `json:"more,omitzero"`
		Any     courier.Field[any]               `json:"any,omitzero"`
		Address courier.Field[courier.Address]   `json:"address,omitzero"`
		Profile *courier.Profile                 `json:"profile,omitempty"`
	}
	tests := []struct {
		value settings
		text  string
	}{
		{settings{}, `{}`},
		{settings{Name: courier.Null[string](), Admin: courier.Set(false)}, `{"name":null,"admin":false}`},
		{settings{Name: courier.Set(""), Tags: courier.Set([]string{}), Labels: courier.Set(map[string]string{})}, `{"name":"","tags":[],"labels":{}}`},
		{settings{Tags: courier.Set([]string{"a"}), Labels: courier.Set(map[string]string{"b": "c"}), More: courier.Set(map[string]any{"n": json.Number("1.0")})}, `{"tags":["a"],"labels":{"b":"c"},"more":{"n":1.0}}`},
		{settings{Any: courier.Set[any]([]any{"x", nil})}, `{"any":["x",null]}`},
		{settings{Address: courier.Set(courier.Address{Country: courier.Set("FR"), Extra: map[string]any{"x": "y"}}), Profile: &courier.Profile{Email: courier.Set("e")}}, `{"address":{"country":"FR","x":"y"},"profile":{"email":"e"}}`},
	}
	for _, test := range tests {
		text, err := json.Marshal(test.value)
		if err != nil || string(text) != test.text {
			t.Errorf("written as %s (%v), want %s", text, err, test.text)
		}
		var got settings
		if err := json.Unmarshal([]byte(test.text), &got); err != nil {
			t.Errorf("%s: %v", test.text, err)
		} else if diff := cmp.Diff(test.value, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.text, diff)
		}
	}
}

// TestFieldOfAnyType: Set takes any type, and a Field reads what it writes.
func TestFieldOfAnyType(t *testing.T) {
	type plan string
	type point struct{ X, Y int }
	checkFieldOf(t, 5, `5`)
	checkFieldOf(t, int64(9007199254740993), `9007199254740993`)
	checkFieldOf(t, 1.5, `1.5`)
	checkFieldOf(t, json.Number("1.0"), `1.0`)
	checkFieldOf(t, plan("pro"), `"pro"`)
	checkFieldOf(t, point{1, 2}, `{"X":1,"Y":2}`)
	checkFieldOf(t, []int{1, 2}, `[1,2]`)
	checkFieldOf(t, []any{"a", nil, json.Number("1.0")}, `["a",null,1.0]`)
	checkFieldOf[any](t, json.Number("9007199254740993"), `9007199254740993`)
	checkFieldOf[any](t, map[string]any{"n": json.Number("1E400")}, `{"n":1E400}`)
	checkFieldOf[any](t, "x", `"x"`)
	checkFieldOf[any](t, json.RawMessage(`"\ud800"`), `"\ud800"`)
	checkFieldOf(t, map[string]json.Number{"n": "1.50"}, `{"n":1.50}`)
	checkFieldOf(t, []map[string]any{{"n": json.Number("9007199254740993")}}, `[{"n":9007199254740993}]`)
	checkFieldOf(t, struct{ Any any }{json.Number("1.0")}, `{"Any":1.0}`)
	checkFieldOf(t, json.RawMessage(`{"b":1.0,"a":"\ud800"}`), `{"b":1.0,"a":"\ud800"}`)
	checkFieldOf(t, []byte("abc"), `"YWJj"`)
	checkFieldOf(t, map[string]int{"a": 1}, `{"a":1}`)
	checkFieldOf(t, time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), `"2026-01-02T03:04:05Z"`)
	checkFieldOf(t, courier.TokenList("a"), `["a"]`)
	checkFieldOf(t, courier.Profile{Email: courier.Set("e")}, `{"email":"e"}`)

	// What is no Go text is refused or kept, never replaced.
	for _, text := range []string{`{"\ud800":1.0}`, `[{"\udc00":1}]`, `{"a":"\ud800"}`} {
		var field courier.Field[any]
		if err := field.UnmarshalJSON([]byte(text)); err != nil {
			continue
		}
		if got, err := field.MarshalJSON(); err != nil || !reflect.DeepEqual(exactly(string(got)), exactly(text)) {
			t.Errorf("a Field[any] reads %s and writes %s: %v", text, got, err)
		}
	}

	// "A nil map is written as {}, a nil slice as []", says Set.
	for text, field := range map[string]json.Marshaler{
		`[] `: courier.Set([]int(nil)), `[]`: courier.Set([]any(nil)), `[]  `: courier.Set([]map[string]any(nil)), `{}`: courier.Set(map[string]int(nil)), `{} `: courier.Set(map[string]bool(nil)),
	} {
		if got, err := field.MarshalJSON(); err != nil || string(got) != strings.TrimSpace(text) {
			t.Errorf("a nil %T is written as %s (%v), want %s", field, got, err, text)
		}
	}
}

func checkFieldOf[T any](t *testing.T, value T, want string) {
	t.Helper()
	field := courier.Set(value)
	text, err := json.Marshal(field)
	if err != nil || string(text) != want {
		t.Errorf("%T: written as %s (%v), want %s", field, text, err, want)
	}
	var got courier.Field[T]
	if err := json.Unmarshal(text, &got); err != nil {
		t.Errorf("%T: reading %s: %v", field, text, err)
	} else if !got.Equal(field) {
		t.Errorf("%T: %s is read as %+v", field, text, got)
	}
	if err := json.Unmarshal([]byte("null"), &got); err != nil || !got.IsNull() {
		t.Errorf("%T: null is read as %+v: %v", field, got, err)
	}
}

// TestProfileCompares uses go-cmp, without an option, as users' tests do.
func TestProfileCompares(t *testing.T) {
	document := `{"email":"a","address":{"country":"FR","x":1.0},"custom":{"n":1.0},"expo":{"tokens":[{"token":"a"}]},"webhook":{"headers":{"a":"b"}},"x":{"y":"\ud800"}}`
	p := readProfile(t, document)
	if diff := cmp.Diff(p, readProfile(t, document)); diff != "" {
		t.Errorf("the same, read twice, differs: %s", diff)
	}
	for _, other := range []string{
		`"email":"b"`, `"email":null`, `"email":1`, `"address":{"country":"FR","x":1.00}`, `"address":null`, `"custom":{"n":1}`, `"expo":{"tokens":["a"]}`, `"webhook":{"headers":{"a":"B"}}`, `"x":{"y":"\ud801"}`, `"z":null`,
	} {
		q := readProfile(t, strings.TrimSuffix(document, "}")+","+other+"}")
		if cmp.Equal(p, q) || cmp.Diff(p, q) == "" {
			t.Errorf("equal with %s", other)
		}
	}
	if cmp.Equal(courier.Profile{}, courier.Profile{Email: courier.Null[string]()}) {
		t.Error("null equals not there")
	}
}

func TestProfileString(t *testing.T) {
	p := courier.Profile{Email: courier.Set("<a@example.com>"), PhoneNumber: courier.Null[string](), Extra: map[string]any{"n": json.Number("1.0")}}
	const want = `{"email":"<a@example.com>","phone_number":null,"n":1.0}`
	for _, got := range []string{p.String(), fmt.Sprint(p), fmt.Sprintf("%v", &p), fmt.Sprintf("%+v", p)} {
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	const canary = "CaNaRy"
	if got := (courier.Profile{Email: courier.Set(canary + "\xff"), Name: courier.Set(canary)}).String(); strings.Contains(got, canary) || !strings.Contains(got, "email") {
		t.Errorf("a profile that cannot be written prints as %q", got)
	}
}

func TestDecodeCustom(t *testing.T) {
	type custom struct {
		Plan  string
		Seats int64
		Rate  json.Number
		Since time.Time
	}
	before := custom{Plan: "before"}
	tests := []struct {
		document string
		want     custom
		ok       bool
	}{
		{`{}`, before, true},
		{`{"custom":null}`, before, true},
		{`{"custom":{}}`, before, true},
		{`{"custom":{"plan":"<pro>","seats":9007199254740993,"rate":1.50,"since":"2026-01-02T03:04:05Z"}}`, custom{"<pro>", 9007199254740993, "1.50", time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}, true},
		{`{"custom":{"plan":"x","unknown":[1]},"Custom":{"plan":"y"}}`, custom{Plan: "x"}, true},
		{`{"custom":{"plan":1}}`, before, false},
		{`{"custom":{"seats":1.5}}`, before, false},
		{`{"custom":"CaNaRy"}`, before, false},
		{`{"custom":{"plan":"x","\ud800":1}}`, custom{Plan: "x"}, true},
	}
	for _, test := range tests {
		got := before
		err := readProfile(t, test.document).DecodeCustom(&got)
		if (err == nil) != test.ok || got != test.want {
			t.Errorf("%s: %+v, %v", test.document, got, err)
		}
		if err != nil && (strings.Contains(err.Error(), "CaNaRy") || strings.Contains(err.Error(), "1.5")) {
			t.Errorf("%s: error %q holds data", test.document, err)
		}
	}
	var list []int
	if err := readProfile(t, `{"custom":[1,2]}`).DecodeCustom(&list); err != nil || !slices.Equal(list, []int{1, 2}) {
		t.Errorf("a list: %v, %v", list, err)
	}
	// What v is decides what goes wrong; no error holds a key or a value.
	for _, v := range []any{new(map[string]int), new(map[string]struct{ N int }), new(map[int]any), new([]int), new(string), new(map[string]time.Time), new(map[string]json.Number), new(map[string]netip.Addr)} {
		err := readProfile(t, `{"custom":{"CaNaRy":{"n":"CaNaRy"},"CaNaRy2":"CaNaRy"}}`).DecodeCustom(v)
		if err == nil || strings.Contains(err.Error(), "CaNaRy") {
			t.Errorf("into %T: error %v", v, err)
		}
	}
	for _, v := range []any{nil, custom{}, (*custom)(nil)} {
		if err := readProfile(t, `{"custom":{"plan":"x"}}`).DecodeCustom(v); err == nil {
			t.Errorf("into %T: no error", v)
		}
	}
}

// TestProfileMemoryIsLinear holds that neither size nor depth of what has no
// field, or does not fit its field, costs more than once.
func TestProfileMemoryIsLinear(t *testing.T) {
	deep := func(size int) string {
		depth := size / 200
		return strings.Repeat(`{"p":"`+strings.Repeat("x", 180)+`","n":`, depth) + "null" + strings.Repeat("}", depth)
	}
	for name, document := range map[string]func(int) string{
		"unknown":             func(size int) string { return `{"x":` + deep(size) + `}` },
		"custom":              func(size int) string { return `{"custom":` + deep(size) + `}` },
		"custom with no text": func(size int) string { return `{"custom":{"a":` + deep(size) + `,"\ud800":1}}` },
		"does not fit":        func(size int) string { return `{"email":` + deep(size) + `}` },
		"tokens":              func(size int) string { return `{"firebaseToken":[` + strings.Repeat(`"token",`, size/8) + `1]}` },
		"tokens in objects": func(size int) string {
			return `{"expo":{"tokens":[` + strings.Repeat(`{"token":"a"},`, size/14) + `1]}}`
		},
		"in three objects": func(size int) string { return `{"webhook":{"authentication":{"mode":` + deep(size) + `}}}` },
		"three with no text": func(size int) string {
			return `{"webhook":{"authentication":{"a":` + deep(size) + `,"\ud800":1},"\ud800":1}}`
		},
		"one key, many times": func(size int) string { return `{` + strings.Repeat(`"address":{"\ud800":[]},`, size/24) + `"x":1}` },
		"many fields of tiny": func(size int) string { return `{` + strings.Repeat(`"email":"x","webhook":{},`, size/25) + `"x":1}` },
		"headers, one too many": func(size int) string {
			return `{"webhook":{"headers":{` + strings.Repeat(`"a":"b",`, size/8) + `"c":1}}}`
		},
	} {
		t.Run(name, func(t *testing.T) {
			bytes := func(size int) float64 {
				text := []byte(document(size))
				var before, after runtime.MemStats
				for range 2 { // the first time warms up
					runtime.ReadMemStats(&before)
					var p courier.Profile
					if err := p.UnmarshalJSON(text); err != nil {
						t.Fatal(err)
					}
					if _, err := p.MarshalJSON(); err != nil {
						t.Fatal(err)
					}
					runtime.ReadMemStats(&after)
				}
				return float64(after.TotalAlloc - before.TotalAlloc)
			}
			const size = 1 << 17
			small, large := bytes(size), bytes(4*size)
			if large > 10*small || large > 100*4*size {
				t.Errorf("4 times the document allocates %.0f bytes, %.1f times %.0f", large, large/small, small)
			}
		})
	}
}
