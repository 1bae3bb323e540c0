package courier_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"net/netip"
	"net/url"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
	"time"
	"unicode/utf8"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/jarcoal/httpmock"

	courier "github.com/courier-profiles/courier-go"
)

type object = map[string]any

// place is somewhere that a caller's value can be written.
type place struct {
	name  string
	field string // of the ValidationError, if the value is refused
	// want is the JSON of a value that is what exactly returns.
	want  func(key string, value any) any
	write func(key string, value any) (string, error)
}

// placesOfValues returns every way in which a caller's value becomes JSON: by each
// operation, and by each version of encoding/json.
func placesOfValues(t testing.TB) (places []place) {
	client, body := recordingClient(t)
	ctx := context.Background() // the places of a fuzz target outlive the context of its setup
	sent := func(name, field string, want func(key string, value any) any, send func(value object) error) {
		places = append(places, place{name, field, want, func(key string, value any) (string, error) {
			*body = ""
			err := send(object{key: value})
			return *body, err
		}})
	}
	sent("Merge, Extra", "profile", func(key string, value any) any { return object{"profile": object{key: value}} }, func(value object) error {
		return second(client.Profiles.Merge(ctx, "user-1", courier.Profile{Extra: value}))
	})
	sent("Replace, Custom", "profile.custom", func(key string, value any) any {
		return object{"profile": object{"custom": object{"a": []any{object{key: value}}}}}
	}, func(value object) error {
		return second(client.Profiles.Replace(ctx, "user-1", courier.Profile{Custom: courier.Set(object{"a": []any{value}})}))
	})
	sent("Merge, SlackIncomingWebhook.Extra", "profile.slack.incoming_webhook", func(key string, value any) any {
		return object{"profile": object{"slack": object{"incoming_webhook": object{key: value}}}}
	}, func(value object) error {
		hook := courier.Set(courier.SlackIncomingWebhook{Extra: value})
		return second(client.Profiles.Merge(ctx, "user-1", courier.Profile{Slack: courier.Set(courier.Slack{IncomingWebhook: hook})}))
	})
	sent("SetCustom, Merge", "custom", func(key string, value any) any { return object{"profile": object{"custom": object{key: value}}} }, func(value object) error {
		var p courier.Profile
		if err := p.SetCustom(value); err != nil {
			return err
		}
		return second(client.Profiles.Merge(ctx, "user-1", p))
	})
	sent("Patch", "patch[1]", func(key string, value any) any {
		return object{"patch": []any{object{"op": "remove", "path": "/a"}, object{"op": "add", "path": "/b", "value": object{key: value}}}}
	}, func(value object) error {
		return second(client.Profiles.Patch(ctx, "user-1", []courier.PatchOp{courier.PatchRemove("/a"), courier.PatchAdd("/b", value)}))
	})
	sent("Subscribe, Preferences.Extra", "lists[0].preferences", func(key string, value any) any {
		return object{"lists": []any{object{"listId": "news", "preferences": object{key: value}}}}
	}, func(value object) error {
		return second(client.Profiles.Lists.Subscribe(ctx, "user-1", []courier.ListSubscription{{ListID: "news", Preferences: &courier.Preferences{Extra: value}}}))
	})
	self := func(key string, value any) any { return object{key: value} }
	for name, test := range map[string]struct {
		field string
		want  func(key string, value any) any
		wrap  func(value object) any
	}{
		"Profile": {"", self, func(value object) any { return courier.Profile{Extra: value} }},
		"*Profile in a struct": {"address", func(key string, value any) any { return object{"P": object{"address": object{key: value}}} }, func(value object) any {
			return &struct{ P *courier.Profile }{&courier.Profile{Address: courier.Set(courier.Address{Extra: value})}}
		}},
		"Field": {"", self, func(value object) any { return courier.Set(value) }},
		"Field in a struct": {"", func(key string, value any) any { return object{"F": object{key: value}} }, func(value object) any {
			return &struct{ F courier.Field[any] }{courier.Set[any](value)}
		}},
		"Preferences": {"", self, func(value object) any { return &courier.Preferences{Extra: value} }},
		"PatchOps in a struct": {"", func(key string, value any) any {
			return object{"Ops": []any{object{"op": "test", "path": "/a", "value": object{key: value}}}}
		}, func(value object) any {
			return &struct{ Ops []courier.PatchOp }{[]courier.PatchOp{courier.PatchTest("/a", value)}}
		}},
	} {
		for _, engine := range engines {
			places = append(places, place{engine.name + ", " + name, test.field, test.want, func(key string, value any) (string, error) {
				text, err := engine.marshal(test.wrap(object{key: value}))
				if err != nil {
					return "", err // v2 returns what it has written so far
				}
				return string(text), nil
			}})
		}
	}
	return places
}

// The caller's own types.

type (
	textKey        string
	byValue        struct{ A int }
	byPointer      struct{ A int }
	aByte          byte
	base           struct{ A, B int }
	pointedBase    struct{ C int }
	hidden         struct{ D int }
	callersProfile struct {
		Plan    string            `json:"plan"`
		Seats   int               `json:"seats,omitempty"`
		Nick    *string           `json:"nick,omitempty"`
		Tags    []string          `json:"tags,omitempty"`
		Sizes   [0]int            `json:"sizes,omitempty"`
		Inner   struct{}          `json:"inner,omitempty"`
		Since   time.Time         `json:"since,omitzero"`
		Limits  map[string]string `json:"limits,omitempty"`
		On      bool              `json:"on,omitempty"`
		Any     any               `json:"any,omitempty"`
		Ignored int               `json:"-"`
		NoTag   string
	}
)

func (k textKey) MarshalText() ([]byte, error)    { return []byte("text-" + string(k)), nil }
func (v byValue) MarshalJSON() ([]byte, error)    { return fmt.Appendf(nil, `{"v":%d.0}`, v.A), nil }
func (p *byPointer) MarshalJSON() ([]byte, error) { return fmt.Appendf(nil, `{"p":%d.0}`, p.A), nil }

// ownValues are values of the caller's that encoding/json writes, without a nil map or
// slice in them.
var ownValues = map[string]any{
	"nil": nil, "true": true, "string": "<a&b>\"\\\u2028\x00é\ufffd", "named string": textKey("a"), "int": -12, "large int": int64(9007199254740993),
	"uint64": uint64(math.MaxUint64), "float": []any{0.1, 1e20, 1e21, 1e-6, 1e-7, math.Copysign(0, -1), math.MaxFloat64, math.SmallestNonzeroFloat64},
	"float32": []float32{0.1, 16777216, 1e21, 3.4e38}, "Number": json.Number("1.50e+400"), "Number in a struct": struct{ N json.Number }{"1.0"},
	"Number quoted": struct {
		N json.Number `json:",string"`
	}{"1.0"},
	"RawMessage": json.RawMessage(`{"b" : [1.0, "\u0061"], "a":9007199254740993}`), "RawMessage nil": struct{ R json.RawMessage }{}, "pointer": ptr("text"),
	"nil pointer": (*callersProfile)(nil), "zero struct": callersProfile{},
	"full struct":   callersProfile{Plan: "<pro>", Seats: 1, Nick: ptr(""), Tags: []string{""}, Since: time.Unix(1, 5).UTC(), Limits: map[string]string{"a": "b"}, On: true, Any: 1.5, Ignored: 3},
	"empty not nil": callersProfile{Tags: []string{}, Limits: map[string]string{}, Any: 0}, "time": time.Date(2026, 1, 2, 3, 4, 5, 600, time.FixedZone("", 3600)),
	"duration": struct{ D time.Duration }{90 * time.Second},
	"quoted": struct {
		I int     `json:",string"`
		S string  `json:"s,string"`
		B bool    `json:",string"`
		F float64 `json:",string"`
		P *int    `json:",string"`
	}{1, `"é`, true, 0.5, nil},
	"byte array": [3]byte{1, 2, 3}, "bytes": []byte("\xff\x00abc"), "empty bytes": []byte{}, "named bytes": []aByte{1, 2},
	"array of byte arrays": [][2]byte{{1, 2}, {3, 4}},
	"embedded": struct {
		base
		*pointedBase
		B string
	}{base{1, 2}, &pointedBase{3}, "b"},
	"embedded time": struct{ time.Time }{time.Unix(0, 0).UTC()}, "MarshalJSON": []any{byValue{1}, &byValue{2}, &byPointer{3}},
	"MarshalJSON by pointer, of a value": byPointer{4}, "MarshalJSON by pointer, in a struct": struct{ P byPointer }{byPointer{5}},
	"MarshalJSON by pointer, addressable": &struct{ P byPointer }{byPointer{6}}, "MarshalText": []any{netip.MustParseAddr("::1"), big.NewInt(7), big.NewFloat(1.5)},
	"struct of a library": url.URL{Scheme: "https", Host: "example.com"}, "int keys": map[int]string{-1: "a", 20: "b", 3: "c"},
	"text keys": map[netip.Addr]int{netip.MustParseAddr("127.0.0.1"): 1}, "string keys with MarshalText": map[textKey]int{"k": 1},
	"map of any": map[string]any{"b": nil, "a": map[string]any{"": []any{}}}, "map of structs": map[string]callersProfile{"a": {Plan: "p"}},
	"embedded unexported pointer": struct {
		*hidden
		A int
	}{A: 1},
	"Field": struct {
		F courier.Field[string] `json:"f,omitzero"`
		G courier.Field[int]    `json:",omitzero"`
		H courier.Field[bool]
	}{F: courier.Set("<")},
	"Tokens": courier.TokenList("a", "b"), "Profile": []any{courier.Profile{Email: courier.Null[string]()}, &courier.Profile{}},
	"Preferences": courier.Preferences{Categories: map[string]courier.Preference{"c": {Status: "OPTED_IN"}}},
}

// TestOwnTypes holds that the caller's types are written as encoding/json writes them,
// whichever engine is at work.
func TestOwnTypes(t *testing.T) {
	t.Parallel()
	for name, value := range ownValues {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text, err := json.Marshal(value)
			if err != nil {
				t.Fatal(err)
			}
			for _, place := range placesOfValues(t) {
				got, err := place.write("x", value)
				if err != nil {
					t.Errorf("%s: refused: %v", place.name, err)
				} else if diff := exactDiff(place.want("x", exactly(t, string(text))), exactly(t, got)); diff != "" {
					t.Errorf("%s: got %s, want %s %s", place.name, got, text, diff)
				}
			}
		})
	}
}

// TestNilMapsAndSlices: a nil map is {} and a nil slice [], at any depth. Only nil and nil
// pointers are null. HTML is not escaped.
func TestNilMapsAndSlices(t *testing.T) {
	t.Parallel()
	type lists struct {
		L []string
		M map[string]int
		B []byte
		P *[]int
		A any
	}
	for _, test := range []struct {
		value any
		want  string
	}{
		{map[string]any(nil), `{}`},
		{map[int]string(nil), `{}`},
		{[]any(nil), `[]`},
		{[]lists(nil), `[]`},
		{[]any{nil, []string(nil), map[string]bool(nil)}, `[null,[],{}]`},
		{map[string]any{"a": []any(nil), "b": nil}, `{"a":[],"b":null}`},
		{lists{}, `{"L":[],"M":{},"B":"","P":null,"A":null}`},
		{&lists{A: []int(nil)}, `{"L":[],"M":{},"B":"","P":null,"A":[]}`},
		{json.RawMessage(nil), `null`},
		{(*int)(nil), `null`},
		{courier.Set([]any(nil)), `[]`},
		{courier.Set(map[string]bool(nil)), `{}`},
		{courier.Field[[]any]{}, `null`},
	} {
		for _, place := range placesOfValues(t) {
			got, err := place.write("x", test.value)
			if err != nil {
				t.Errorf("%s, %#v: %v", place.name, test.value, err)
			} else if diff := exactDiff(place.want("x", exactly(t, test.want)), exactly(t, got)); diff != "" {
				t.Errorf("%s, %#v: got %s, want %s", place.name, test.value, got, test.want)
			}
		}
	}

	client, body := recordingClient(t)
	const html = "<a href='x'>&\u2028</a>"
	if _, err := client.Profiles.Merge(t.Context(), "user-1", courier.Profile{Name: courier.Set(html), Extra: map[string]any{html: html}}); err != nil {
		t.Fatal(err)
	}
	if want := `{"profile":{"name":"` + html + `","` + html + `":"` + html + `"}}`; *body != want {
		t.Errorf("sent %s, want %s", *body, want)
	}
}

type failing struct{}

func (failing) MarshalJSON() ([]byte, error) { return nil, errors.New("CANARY") }

type rawJSON string

func (r rawJSON) MarshalJSON() ([]byte, error) { return []byte(r), nil }

type rawText string

func (r rawText) MarshalText() ([]byte, error) { return []byte(r), nil }

// refusedValues are values that cannot be sent.
var refusedValues = map[string]any{
	"not UTF-8": "CANARY\xff", "half a pair in UTF-8": "CANARY\xed\xa0\x80", "slice": []string{"CANARY", "CANARY\xff"},
	"key": map[string]int{"CANARY\xff": 1}, "struct": struct{ CANARY []struct{ T any } }{[]struct{ T any }{{"\xff"}}},
	"in a Field": courier.Set("CANARY\xff"), "in Tokens": courier.TokenList("CANARY\xff"),
	"in a Profile": courier.Profile{Extra: map[string]any{"CANARY\xff": 1}}, "RawMessage not UTF-8": json.RawMessage("\"CANARY\xff\""),
	"RawMessage, key not UTF-8": json.RawMessage("{\"CANARY\xff\":1}"), "RawMessage not JSON": json.RawMessage(`{"CANARY":1}}`),
	"RawMessage breaking out": json.RawMessage(`1,"CANARY":2`), "RawMessage empty": json.RawMessage{}, "MarshalJSON not UTF-8": rawJSON("\"CANARY\xff\""),
	"MarshalJSON not JSON": rawJSON("CANARY"), "MarshalJSON fails": failing{}, "MarshalText not UTF-8": rawText("CANARY\xff"),
	"MarshalText key": map[rawText]int{"CANARY\xff": 1}, "Number": json.Number("CANARY"), "Number empty": json.Number(""),
	"Number with a space": json.Number("1 "), "Number of Go": json.Number("0x10"), "NaN": math.NaN(), "infinity": []any{float32(math.Inf(-1))},
	"complex": 1i, "channel": make(chan int), "func": []func(){func() {}}, "cycle": cycle(),
}

func cycle() any {
	list := []any{nil}
	list[0] = map[string]any{"CANARY": list}
	return list
}

// TestRefusedValues: what is not JSON is a *ValidationError before anything is sent, at
// any depth. Its Field ends at the last key of Courier's, and it has nothing of the value.
func TestRefusedValues(t *testing.T) {
	t.Parallel()
	for name, value := range refusedValues {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, place := range placesOfValues(t) {
				for _, value := range []any{value, []any{1, map[string]any{"CANARY": value}}} {
					text, err := place.write("CANARY", value)
					if err == nil || text != "" {
						t.Errorf("%s: error %v, written as %q", place.name, err, text)
						continue
					}
					wantInvalid(t, err, place.field, place.name)
				}
			}
		})
	}
}

// TestRefusedPaths: the Field of a *ValidationError is the path of JSON keys up to the
// last that is Courier's own.
func TestRefusedPaths(t *testing.T) {
	t.Parallel()
	const bad = "CANARY\xff"
	client, body := recordingClient(t)
	profiles, lists := client.Profiles, client.Profiles.Lists
	merge := func(p courier.Profile) func() error {
		return func() error { _, err := profiles.Merge(t.Context(), "user-1", p); return err }
	}
	subscribe := func(l ...courier.ListSubscription) func() error {
		return func() error { _, err := lists.Subscribe(t.Context(), "user-1", l); return err }
	}
	patch := func(ops ...courier.PatchOp) func() error {
		return func() error { _, err := profiles.Patch(t.Context(), "user-1", ops); return err }
	}
	custom := func(v any) func() error { return func() error { return new(courier.Profile).SetCustom(v) } }
	preference := courier.Preference{Status: "x"}
	for _, test := range []struct {
		field string
		send  func() error
	}{
		{"profile", merge(courier.Profile{Extra: map[string]any{"": bad}})},
		{"profile.email", merge(courier.Profile{Email: courier.Set(bad)})},
		{"profile.address", merge(courier.Profile{Address: courier.Set(courier.Address{Extra: map[string]any{bad: 1}})})},
		{"profile.custom", merge(courier.Profile{Custom: courier.Set(map[string]any{"email": map[string]any{"country": bad}})})},
		{"profile", merge(courier.Profile{Extra: map[string]any{bad: 1}})},
		{"profile", merge(courier.Profile{Extra: map[string]any{"x": map[string]any{"email": bad}}})},
		{"profile", merge(courier.Profile{Extra: map[string]any{"x": courier.Address{Country: courier.Set(bad)}}})},
		{"profile.airship.device_types[1]", merge(courier.Profile{Airship: courier.Set(courier.Airship{DeviceTypes: courier.Set([]string{"ios", bad})})})},
		{"profile.airship.audience.named_user", merge(courier.Profile{Airship: courier.Set(courier.Airship{Audience: courier.Set(courier.AirshipAudience{NamedUser: courier.Set(bad)})})})},
		{"profile.firebaseToken", merge(courier.Profile{FirebaseToken: courier.Set(courier.TokenList("a", bad))})},
		{"profile.webhook.headers", merge(courier.Profile{Webhook: courier.Set(courier.Webhook{Headers: courier.Set(map[string]string{bad: "a"})})})},
		{"profile.webhook.headers", merge(courier.Profile{Webhook: courier.Set(courier.Webhook{Headers: courier.Set(map[string]string{"url": bad})})})},
		{"profile.webhook.authentication.password", merge(courier.Profile{Webhook: courier.Set(courier.Webhook{Authentication: courier.Set(courier.WebhookAuthentication{Password: courier.Set(bad)})})})},
		{"custom", custom(map[string]any{"email": bad})},
		{"custom", custom(nil)},
		{"patch[0]", patch(courier.PatchOp{})},
		{"patch[1]", patch(courier.PatchRemove("/a"), courier.PatchAdd("/email", bad))},
		{"patch[0]", patch(courier.PatchReplace("", courier.Profile{Email: courier.Set(bad)}))},
		{"patch[0]", patch(courier.PatchTest("/x", math.NaN()))},
		{"patch[2]", patch(courier.PatchRemove("/a"), courier.PatchRemove("/a"), courier.PatchRemove("/"+bad))},
		{"patch[0]", patch(courier.PatchMove("/"+bad, "/a"))},
		{"lists", subscribe()},
		{"lists[1].listId", subscribe(courier.ListSubscription{ListID: "a"}, courier.ListSubscription{})},
		{"lists[1].listId", subscribe(courier.ListSubscription{ListID: "a"}, courier.ListSubscription{ListID: bad})},
		{"lists[0].preferences", subscribe(courier.ListSubscription{ListID: "a", Preferences: &courier.Preferences{Extra: map[string]any{"x": bad}}})},
		{"lists[0].preferences.categories", subscribe(courier.ListSubscription{ListID: "a", Preferences: &courier.Preferences{Categories: map[string]courier.Preference{bad: preference}}})},
		{"lists[0].preferences.notifications", subscribe(courier.ListSubscription{ListID: "a", Preferences: &courier.Preferences{Notifications: map[string]courier.Preference{"CANARY": {Status: bad}}}})},
		{"lists[0].preferences.categories", subscribe(courier.ListSubscription{ListID: "a", Preferences: &courier.Preferences{
			Categories: map[string]courier.Preference{"CANARY": preference}, Extra: map[string]any{"categories": "CANARY"},
		}})},
	} {
		*body = ""
		err := test.send()
		if *body != "" {
			t.Errorf("%s: sent %q", test.field, *body)
		}
		wantInvalid(t, err, test.field)
	}
}

// fuzzedValues make a value of the caller's from any text and number.
var fuzzedValues = []func(text string, number float64) any{
	func(text string, _ float64) any { return text },
	func(text string, _ float64) any { return &text },
	func(text string, _ float64) any { return textKey(text) },
	func(text string, _ float64) any { return []byte(text) },
	func(_ string, number float64) any { return number },
	func(_ string, number float64) any { return float32(number) },
	func(_ string, number float64) any { return int64(number) },
	func(text string, _ float64) any { return []string{text, "\ufffd"} },
	func(text string, _ float64) any { return map[string]string{text: text} },
	func(text string, number float64) any {
		return map[string]any{text: []any{text, nil, true, number}, text + "n": map[string]any{}}
	},
	func(text string, number float64) any {
		return struct {
			T string  `json:"t,omitempty"`
			I int64   `json:",string"`
			F float64 `json:",string,omitempty"`
			P *string
		}{text, int64(number), number, &text}
	},
	func(text string, _ float64) any { return courier.Set(text) },
	func(text string, _ float64) any { return json.RawMessage(text) },
	func(text string, _ float64) any { return json.Number(text) },
}

// FuzzRequestBody writes a caller's value in all places where there can be one: each gives
// the JSON that encoding/json gives, or all refuse it.
func FuzzRequestBody(f *testing.F) {
	texts := []string{
		"", "a", "\xff", "a\xc3", "\xed\xa0\x80", "\ufffd", `\ufffd`, `"\ufffd"`, "\x00\n\u2028<&>\"\\/", "😀", "null", "{}", "[1", `{"a":1.0,"a":"\ud800"}`, ` [1, 2] `, "1e400", "-0", "01", "1.", "9007199254740993", "NaN", "0x10",
		`"},"email":"x`, `{"a":1}}`, "\"\xff\"", "\"\n\"", "email", "custom", "categories", "a/b~c", "\x7f\u0085", `{"\ud800":1}`,
	}
	for _, text := range texts {
		for kind := range fuzzedValues {
			f.Add(uint8(kind), "key", text, 0.1)
		}
		f.Add(uint8(0), text, "text", 0.1)
	}
	for _, number := range []float64{0, -1 / 1e-300 / 1e300, 1e-7, 1e20, 1e21, 123456789.125, 5e-324, 1.7976931348623157e308, 9007199254740993, 1e39} {
		for _, kind := range []uint8{4, 5, 6, 9, 10} {
			f.Add(kind, "key", "", number)
			f.Add(kind, "key", "", number/(number-number)) // NaN or an infinity
		}
	}
	places := placesOfValues(f)
	f.Fuzz(func(t *testing.T, kind uint8, key, text string, number float64) {
		value := fuzzedValues[int(kind)%len(fuzzedValues)](text, number)
		want, ok := asSent(value)
		ok = ok && utf8.ValidString(key)
		if strings.Contains(text+key, half) {
			return
		}
		for _, place := range places {
			got, err := place.write(key, value)
			if err != nil {
				var refused *courier.ValidationError
				if ok || got != "" || !errors.As(err, &refused) {
					t.Errorf("%s, %q: %#v gives the error %v, written as %q", place.name, key, value, err, got)
				} else if len(text) > 20 && strings.Contains(refused.Error(), text) || len(key) > 20 && strings.Contains(refused.Error(), key) {
					t.Errorf("%s, %q: the error has data in it: %q", place.name, key, refused)
				}
				continue
			}
			body, valid := asJSON(got)
			if !ok || !valid {
				t.Errorf("%s, %q: %#v is written as %q", place.name, key, value, got)
			} else if diff := exactDiff(place.want(key, want), body); diff != "" {
				t.Errorf("%s, %q: %#v is written as %q %s", place.name, key, value, got, diff)
			}
		}
	})
}

// asSent is what exactly returns for the JSON of a value by encoding/json. ok is false for
// what encoding/json refuses, and for text that it would change because it is not UTF-8.
func asSent(value any) (want any, ok bool) {
	if number, isNumber := value.(json.Number); isNumber && number == "" {
		return nil, false // which it writes as 0
	}
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if raw, isRaw := value.(json.RawMessage); isRaw && !utf8.Valid(raw) || encoder.Encode(value) != nil {
		return nil, false
	}
	if written := fmt.Sprintf("%v", flat(value)); !utf8.ValidString(written) {
		return nil, false
	}
	return asJSON(text.String())
}

// flat is value without its pointers, for fmt to print all of it. Bytes are not text.
func flat(value any) any {
	switch value := value.(type) {
	case *string:
		return *value
	case []byte:
		return nil
	case courier.Field[string]:
		return value.Or("")
	}
	return value
}

// Reading.

// TestReadRefuses: what is not JSON in UTF-8, or not an object, is an error of each engine
// and of the client, without anything of the profile in it.
func TestReadRefuses(t *testing.T) {
	t.Parallel()
	for _, document := range []string{
		``, ` `, `{`, `}`, `[]`, `"CANARY"`, `1`, `true`, `nul`, `{} {}`, `{}x`, `{"a":1,}`, `{"a":"CANARY"`, `{"email":"CANARY}`, `{"email":"CANARY",}`, `{"CANARY":}`, `{"CANARY"}`, `{"CANARY":{"CANARY":x}}`,
		`{'email':"CANARY"}`, `{"email":CANARY}`, `{"address":{"country":"CANARY",}}`, `{"expo":{"tokens":["CANARY",]}}`, "{\"email\":\"CANARY\n\"}", "{\x00}", `{"email":"CANARY\x"}`, `{"n":01}`, `{"n":1.}`, `{"n":+1}`, `{"n":NaN}`,
		"{\"email\":\"CANARY\xff\"}", "{\"CANARY\xff\":1}", "{\"address\":{\"CANARY\xff\":1}}", "{\"address\":{\"country\":\"\xed\xa0\x80CANARY\"}}", "{\"custom\":{\"a\":[{\"CANARY\":\"\xc3\"}]}}",
		"{\"firebaseToken\":[\"CANARY\xff\"]}", "{\"webhook\":{\"headers\":{\"CANARY\xff\":\"\"}}}", `{"CANARY\ud800":1}`,
		`{"CANARY":` + strings.Repeat(`[`, 100_000) + strings.Repeat(`]`, 100_000) + `}`, strings.Repeat(`{"address":`, 100_000), strings.Repeat(`[`, 100_000),
	} {
		for _, engine := range engines {
			var p courier.Profile
			var holder struct{ P *courier.Profile }
			if err := engine.unmarshal([]byte(document), &p); err == nil {
				t.Errorf("%s: %.100q was read as %.200v", engine.name, document, p)
			}
			if err := engine.unmarshal([]byte(`{"P":`+document+`}`), &holder); err == nil {
				t.Errorf("%s, in a struct: %.100q was read as %.200v", engine.name, document, holder.P)
			}
		}
		client := respondingClient(t, httpmock.NewStringResponder(200, `{"profile":`+document+`}`))
		_, err := client.Profiles.Get(t.Context(), "user-1")
		if !matches[*courier.UnexpectedResponseError](err) || strings.Contains(err.Error(), "CANARY") || len(err.Error()) > 500 {
			t.Errorf("Get: %.100q gives the error %.500v, want an *UnexpectedResponseError", document, err)
		}
	}
}

// TestCallersOptions: options that the caller sets for encoding/json do not reach into a
// profile, but for the layout.
func TestCallersOptions(t *testing.T) {
	t.Parallel()
	const document = `{"int":7,"email":"<","EMAIL":"E","custom":{"n":1.0,"a":{"\ud800":[]}},"airship":{"device_types":[]},"x":{"y":9007199254740993,"y":2}}`
	var p courier.Profile
	decoder := json.NewDecoder(strings.NewReader(document))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&p); err != nil {
		t.Fatal(err)
	}
	p.Extra["int"] = 7
	for name, option := range map[string]jsonv2.Options{
		"RejectUnknownMembers":      jsonv2.RejectUnknownMembers(true),
		"MatchCaseInsensitiveNames": jsonv2.MatchCaseInsensitiveNames(true),
		"strict names":              jsontext.AllowDuplicateNames(false),
		"WithUnmarshalers":          jsonv2.WithUnmarshalers(jsonv2.UnmarshalFunc(func([]byte, *string) error { return errors.New("not for this") })),
	} {
		var again courier.Profile
		if err := jsonv2.Unmarshal([]byte(document), &again, option); err != nil || p.String() != again.String() {
			t.Errorf("%s: read as %v: %v", name, again, err)
		}
	}
	writers := map[string]func() ([]byte, error){
		"MarshalIndent": func() ([]byte, error) { return json.MarshalIndent(p, "", "\t") },
	}
	for name, option := range map[string]jsonv2.Options{
		"FormatNil":      jsonv2.JoinOptions(jsonv2.FormatNilSliceAsNull(true), jsonv2.FormatNilMapAsNull(true)),
		"WithIndent":     jsontext.WithIndent("  "),
		"EscapeForHTML":  jsontext.EscapeForHTML(true),
		"WithMarshalers": jsonv2.WithMarshalers(jsonv2.MarshalFunc(func(string) ([]byte, error) { return nil, errors.New("not for this") })),
	} {
		writers[name] = func() ([]byte, error) { return jsonv2.Marshal(p, option) }
	}
	for name, write := range writers {
		text, err := write()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		sameJSON(t, name, document, string(text))
	}
}

// TestReadFromAStream: what was read stays as it is while the decoder reads on.
func TestReadFromAStream(t *testing.T) {
	t.Parallel()
	var documents []string
	for i := range 200 {
		documents = append(documents, fmt.Sprintf(`{"email":[%d],"x":"\ud800%d"}`, i, i))
	}
	var got []courier.Profile
	stream := iotest.OneByteReader(strings.NewReader("[" + strings.Join(documents, ",") + "]"))
	if err := jsonv2.UnmarshalRead(stream, &got, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)); err != nil {
		t.Fatal(err)
	}
	for i, document := range documents {
		sameJSON(t, "profile", document, writeProfile(t, got[i]))
	}
}

// TestDeepNesting: a text of any depth is read or refused, and what was read is written.
func TestDeepNesting(t *testing.T) {
	t.Parallel()
	for _, depth := range []int{2_000, 10_000} {
		for name, nest := range map[string][3]string{
			"arrays": {"[", "1.0", "]"}, "objects": {`{"a":`, "1.0", "}"}, "half a pair": {`{"\ud800":`, `"\udc00"`, "}"}, "email": {`{"email":`, "null", "}"},
		} {
			text := strings.Repeat(nest[0], depth) + nest[1] + strings.Repeat(nest[2], depth)
			document := `{"webhook":{"authentication":` + text + `}}`
			for _, engine := range engines {
				var p courier.Profile
				if err := engine.unmarshal([]byte(document), &p); (err != nil) != (depth >= 10_000) {
					t.Errorf("%s, %d %s: error %.200v", engine.name, depth, name, err)
				} else if err != nil {
					continue
				}
				if written, err := p.MarshalJSON(); err != nil {
					t.Errorf("%d %s: %.200v", depth, name, err)
				} else {
					sameJSON(t, name, document, string(written))
				}
			}
		}
	}
}

// TestReadingIsLinear: the memory that a text takes, and with it the time, grows with its
// size and not with its square, however it nests. Memory is counted, as a clock is noisy.
func TestReadingIsLinear(t *testing.T) {
	deep := func(key string) func(size int) string {
		return func(size int) string {
			depth := size / 200
			return strings.Repeat(`{"p":"`+strings.Repeat("x", 180)+`",`+key+`:`, depth) + "null" + strings.Repeat("}", depth)
		}
	}
	many := func(format, item, end string) func(size int) string {
		return func(size int) string { return fmt.Sprintf(format, strings.Repeat(item, size/len(item))+end) }
	}
	in := func(format string, text func(int) string) func(int) string {
		return func(size int) string { return fmt.Sprintf(format, text(size)) }
	}
	for name, document := range map[string]func(size int) string{
		"custom":                    in(`{"custom":%s}`, deep(`"n"`)),
		"half a pair as every key":  in(`{"custom":%s}`, deep(`"\ud800"`)),
		"half a pair at the end":    in(`{"custom":{"a":%s,"\ud800":1}}`, deep(`"n"`)),
		"does not fit":              in(`{"email":%s}`, deep(`"n"`)),
		"does not fit, three below": in(`{"webhook":{"authentication":{"mode":%s}}}`, deep(`"n"`)),
		"objects in objects":        in(`{"webhook":{"authentication":%s}}`, deep(`"mode"`)),
		"members":                   many(`{"custom":{%s}}`, `"a":{},`, `"b":1`),
		"token objects":             many(`{"expo":{"tokens":[%s]}}`, `{"token":"a"},`, `1`),
		"one key, many times":       many(`{%s}`, `"address":{"\ud800":[]},`, `"x":1`),
		"names that differ":         in(`{%s"x":1}`, func(size int) string { return manyNames(size, `"%d":{"a":1},`) }),
	} {
		t.Run(name, func(t *testing.T) {
			wantLinear(t, document, func(text []byte) error {
				var p courier.Profile
				return errors.Join(p.UnmarshalJSON(text), second(p.MarshalJSON()))
			})
		})
	}
	for name, document := range map[string]func(size int) string{
		"categories":     in(`{"categories":{%s"x":{}}}`, func(size int) string { return manyNames(size, `"%d":{"status":"a","rules":[{"x":1}]},`) }),
		"members":        in(`{%s"x":{}}`, func(size int) string { return manyNames(size, `"%d":{"a":1},`) }),
		"does not fit":   in(`{"notifications":{"a":{"rules":[{"until":%s}]}}}`, deep(`"n"`)),
		"status is deep": in(`{"categories":{"a":{"status":%s}}}`, deep(`"n"`)),
	} {
		t.Run("preferences, "+name, func(t *testing.T) {
			wantLinear(t, document, func(text []byte) error {
				var p courier.Preferences
				return errors.Join(p.UnmarshalJSON(text), second(p.MarshalJSON()))
			})
		})
	}
}

func manyNames(size int, format string) string {
	var b strings.Builder
	for i := 0; b.Len() < size; i++ {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

func second[T any](_ T, err error) error { return err }

// wantLinear counts what run allocates for a text and for one eight times as large.
func wantLinear(t *testing.T, document func(size int) string, run func(text []byte) error) {
	t.Helper()
	const size = 1 << 13
	var allocated uint64
	for _, factor := range []uint64{1, 1, 8} { // the first time fills pools
		text := []byte(document(size * int(factor)))
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if err := run(text); err != nil {
			t.Fatal(err)
		}
		runtime.ReadMemStats(&after)
		last := allocated
		if allocated = after.TotalAlloc - before.TotalAlloc; factor > 1 && (allocated > 3*factor*last || allocated > 200*factor*size) {
			t.Errorf("%d bytes of text take %d bytes of memory, %d take %d", size, last, len(text), allocated)
		}
	}
}
