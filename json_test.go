package courier_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/big"
	"net/http"
	"net/netip"
	"net/url"
	"reflect"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"
	"unicode/utf8"

	courier "github.com/courier-profiles/courier-go"
	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"
)

// What the tests of JSON share: the two versions of encoding/json, and a comparison that sees
// every digit.

// jsonVersions are the two versions of encoding/json. On Go 1.27 they are the same code with
// different options; on Go 1.26 they have nothing in common.
var jsonVersions = []struct {
	name      string
	marshal   func(v any) ([]byte, error)
	unmarshal func(text []byte, v any) error
}{
	{"encoding/json", json.Marshal, json.Unmarshal},
	{
		"encoding/json/v2",
		func(v any) ([]byte, error) { return jsonv2.Marshal(v) },
		func(text []byte, v any) error { return jsonv2.Unmarshal(text, v) },
	},
}

// half marks an unpaired surrogate in what exactly returns. It is a noncharacter, which no
// test uses otherwise.
const half = "\U0010fffe"

var escapes = regexp.MustCompile(`\\(u[dD][89abAB]..\\u[dD][c-fC-F]..|u....|.)`)

// exactly returns what a JSON text says, with nothing lost: numbers as they are written, an
// unpaired surrogate as half and its digits, and the last of duplicate names. ok is false if
// the text is not JSON in UTF-8.
func exactly(text string) (value any, ok bool) {
	if !utf8.ValidString(text) || !json.Valid([]byte(text)) {
		return nil, false
	}
	text = escapes.ReplaceAllStringFunc(text, func(escape string) string {
		digits := strings.ToLower(strings.TrimPrefix(escape, `\u`))
		if len(escape) == 6 && digits >= "d800" && digits < "e000" {
			return half + digits
		}
		return escape
	})
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	return value, decoder.Decode(&value) == nil
}

func TestExactly(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]any{
		` { "a" : [ 1.0 , true,null ] , "b":{},"aA":"\ud83d\ude00é\/" } `: map[string]any{
			"a": []any{json.Number("1.0"), true, nil}, "b": map[string]any{}, "aA": "😀é/",
		},
		`{"a":{"b":1},"a":{"c":-0}}`: map[string]any{
			"a": map[string]any{"c": json.Number("-0")},
		},
		`{"\uD800":"\\ud800"}`:        map[string]any{half + "d800": `\ud800`},
		`"\ud800\ud800\udc00\udC01"`:  half + "d800\U00010000" + half + "dc01",
		`"\ufffd"`:                    "\ufffd",
		"\"\xff\"":                    nil,
		`{"a":1}x`:                    nil,
		strings.Repeat("[", 3) + "]]": nil,
	} {
		got, ok := exactly(text)
		if ok != (want != nil) {
			t.Errorf("%q: got ok %t", text, ok)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", text, diff)
		}
	}
}

// wantJSON fails unless two texts say exactly the same.
func wantJSON(t testing.TB, what, want, got string) {
	t.Helper()
	wanted, ok := exactly(want)
	if !ok {
		t.Fatalf("%.100s: the test wants %.300q, which is not JSON", what, want)
	}
	wantValue(t, what, wanted, got)
}

// wantValue fails unless got says exactly what want is, a value that exactly returned.
func wantValue(t testing.TB, what string, want any, got string) {
	t.Helper()
	value, ok := exactly(got)
	if !ok {
		t.Errorf("%.100s: got %.300q, which is not JSON", what, got)
		return
	}
	if reflect.DeepEqual(want, value) { // cmp.Diff is slow
		return
	}
	t.Errorf("%.100s: got %.300s (-want +got):\n%s", what, got, cmp.Diff(want, value))
}

// sentBody returns the body of the request that call sends, and what call returns.
func sentBody(t testing.TB, call func(*courier.Client) error) (body string, err error) {
	t.Helper()
	client := newClient(t, func(req *http.Request) (*http.Response, error) {
		text, err := io.ReadAll(req.Body)
		body = string(text)
		if err != nil {
			return nil, err
		}
		return respond(200, success)(req)
	})
	err = call(client)
	return body, err
}

type object = map[string]any

// place is somewhere that a caller's value becomes JSON.
type place struct {
	name  string
	field string // of the ValidationError, if the value is refused
	// around is the JSON around the value.
	around func(value any) any
	write  func(t testing.TB, value any) (string, error)
}

// sentPlaces are the places in requests. There, value is a member of an object.
var sentPlaces = []place{
	{
		name: "Merge, Extra", field: "profile",
		around: func(value any) any { return object{"profile": value} },
		write: func(t testing.TB, value any) (string, error) {
			return mergeBody(t, courier.Profile{Extra: value.(object)})
		},
	},
	{
		name: "Merge, Custom", field: "profile.custom",
		around: func(value any) any {
			return object{"profile": object{"custom": object{"a": []any{value}}}}
		},
		write: func(t testing.TB, value any) (string, error) {
			custom := object{"a": []any{value}}
			return mergeBody(t, courier.Profile{Custom: courier.Set(custom)})
		},
	},
	{
		name: "Merge, SlackIncomingWebhook.Extra", field: "profile.slack.incoming_webhook",
		around: func(value any) any {
			return object{"profile": object{"slack": object{"incoming_webhook": value}}}
		},
		write: func(t testing.TB, value any) (string, error) {
			webhook := courier.SlackIncomingWebhook{Extra: value.(object)}
			slack := courier.Slack{IncomingWebhook: courier.Set(webhook)}
			return mergeBody(t, courier.Profile{Slack: courier.Set(slack)})
		},
	},
	{
		name: "SetCustom, Merge", field: "custom",
		around: func(value any) any { return object{"profile": object{"custom": value}} },
		write: func(t testing.TB, value any) (string, error) {
			var p courier.Profile
			if err := p.SetCustom(value); err != nil {
				return "", err
			}
			return mergeBody(t, p)
		},
	},
	{
		name: "Patch", field: "patch[1]",
		around: func(value any) any {
			remove := object{"op": "remove", "path": "/a", "value": ""}
			add := object{"op": "add", "path": "/b", "value": value}
			return object{"patch": []any{remove, add}}
		},
		write: func(t testing.TB, value any) (string, error) {
			ops := []courier.PatchOp{courier.PatchRemove("/a"), courier.PatchAdd("/b", value)}
			return patchBody(t, ops)
		},
	},
	{
		name: "Subscribe, Preferences.Extra", field: "lists[0].preferences",
		around: func(value any) any {
			return object{"lists": []any{object{"listId": "news", "preferences": value}}}
		},
		write: func(t testing.TB, value any) (string, error) {
			preferences := &courier.Preferences{Extra: value.(object)}
			return subscribeBody(t, courier.ListSubscription{
				ListID: "news", Preferences: preferences,
			})
		},
	},
}

func mergeBody(t testing.TB, p courier.Profile) (string, error) {
	t.Helper()
	return sentBody(t, func(client *courier.Client) error {
		_, err := client.Profiles.Merge(t.Context(), "user-1", p)
		return err
	})
}

func patchBody(t testing.TB, ops []courier.PatchOp) (string, error) {
	t.Helper()
	return sentBody(t, func(client *courier.Client) error {
		_, err := client.Profiles.Patch(t.Context(), "user-1", ops)
		return err
	})
}

func subscribeBody(t testing.TB, lists ...courier.ListSubscription) (string, error) {
	t.Helper()
	return sentBody(t, func(client *courier.Client) error {
		_, err := client.Profiles.Lists.Subscribe(t.Context(), "user-1", lists)
		return err
	})
}

// marshalPlaces are the places in what each version of encoding/json writes.
func marshalPlaces() (places []place) {
	self := func(value any) any { return value }
	for _, p := range []struct {
		name, field string
		around      func(value any) any
		wrap        func(value object) any
	}{
		{"Profile", "", self, func(value object) any { return courier.Profile{Extra: value} }},
		{
			"*Profile in a struct", "address",
			func(value any) any { return object{"P": object{"address": value}} },
			func(value object) any {
				address := courier.Set(courier.Address{Extra: value})
				return &struct{ P *courier.Profile }{&courier.Profile{Address: address}}
			},
		},
		{"Field", "", self, func(value object) any { return courier.Set(value) }},
		{
			"Field in a struct", "",
			func(value any) any { return object{"F": value} },
			func(value object) any {
				return &struct{ F courier.Field[any] }{courier.Set[any](value)}
			},
		},
		{
			"Preferences", "", self,
			func(value object) any { return &courier.Preferences{Extra: value} },
		},
		{
			"Subscription", "", self,
			func(value object) any { return courier.Subscription{Extra: value} },
		},
		{
			"PatchOps in a struct", "",
			func(value any) any {
				return object{"Ops": []any{object{"op": "test", "path": "/a", "value": value}}}
			},
			func(value object) any {
				ops := []courier.PatchOp{courier.PatchTest("/a", value)}
				return &struct{ Ops []courier.PatchOp }{ops}
			},
		},
	} {
		for _, version := range jsonVersions {
			write := func(_ testing.TB, value any) (string, error) {
				text, err := version.marshal(p.wrap(value.(object)))
				if err != nil {
					return "", err // v2 returns what it has written so far
				}
				return string(text), nil
			}
			places = append(places, place{version.name + ", " + p.name, p.field, p.around, write})
		}
	}
	return places
}

var places = slices.Concat(sentPlaces, marshalPlaces())

// Writing.

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
	quoted struct {
		I int         `json:",string"`
		S string      `json:"s,string"`
		B bool        `json:",string"`
		F float64     `json:",string"`
		N json.Number `json:",string"`
		P *int        `json:",string"`
	}
)

func (k textKey) MarshalText() ([]byte, error) { return []byte("text-" + string(k)), nil }
func (v byValue) MarshalJSON() ([]byte, error) {
	return fmt.Appendf(nil, `{"v":%d.0}`, v.A), nil
}

func (p *byPointer) MarshalJSON() ([]byte, error) {
	return fmt.Appendf(nil, `{"p":%d.0}`, p.A), nil
}

// ownValues are values of the caller's that are written as encoding/json writes them.
var ownValues = map[string]any{
	"nil":          nil,
	"true":         true,
	"string":       "<a&b>\"\\\u2028\x00é\ufffd",
	"named string": textKey("a"),
	"pointer":      new("text"),
	"nil pointer":  (*callersProfile)(nil),

	"int":       -12,
	"large int": int64(9007199254740993),
	"uint64":    uint64(math.MaxUint64),
	"float": []any{
		0.1, 1e20, 1e21, 1e-6, 1e-7, math.Copysign(0, -1),
		math.MaxFloat64, math.SmallestNonzeroFloat64,
	},
	"float32":            []float32{0.1, 16777216, 1e21, 3.4e38},
	"Number":             json.Number("1.50e+400"),
	"Number, empty":      []any{json.Number(""), struct{ N json.Number }{}},
	"Number in a struct": struct{ N json.Number }{"1.0"},
	"Number as a key":    map[json.Number]int{"1.0": 1, "text": 2, "": 3},

	"RawMessage":     json.RawMessage(`{"b" : [1.0, "\u0061"], "a":9007199254740993}`),
	"RawMessage nil": struct{ R json.RawMessage }{},

	"zero struct": callersProfile{Tags: []string{}, Limits: map[string]string{}},
	"full struct": callersProfile{
		Plan: "<pro>", Seats: 1, Nick: new(""), Tags: []string{""}, Since: time.Unix(1, 5).UTC(),
		Limits: map[string]string{"a": "b"}, On: true, Any: 1.5, Ignored: 3,
	},
	"quoted":       quoted{1, `"é`, true, 0.5, "1.0", nil},
	"quoted zeros": quoted{},
	"struct of a library": url.URL{
		Scheme: "https", Host: "example.com",
	},
	"embedded": struct {
		base
		*pointedBase
		B string
	}{base{1, 2}, &pointedBase{3}, "b"},
	"embedded time": struct{ time.Time }{time.Unix(0, 0).UTC()},
	"embedded unexported pointer": struct {
		*hidden
		A int
	}{A: 1},

	"time":     time.Date(2026, 1, 2, 3, 4, 5, 600, time.FixedZone("", 3600)),
	"duration": struct{ D time.Duration }{90 * time.Second},

	"byte array":           [3]byte{1, 2, 3},
	"array of byte arrays": [][2]byte{{1, 2}, {3, 4}},
	"bytes":                []byte("\xff\x00abc"),
	"empty bytes":          []byte{},
	"named bytes":          []aByte{1, 2},

	"MarshalJSON":                         []any{byValue{1}, &byValue{2}, &byPointer{3}},
	"MarshalJSON by pointer, of a value":  byPointer{4},
	"MarshalJSON by pointer, in a struct": struct{ P byPointer }{byPointer{5}},
	"MarshalJSON by pointer, addressable": &struct{ P byPointer }{byPointer{6}},
	"MarshalText":                         []any{netip.MustParseAddr("::1"), big.NewInt(7)},

	"int keys":                     map[int]string{-1: "a", 20: "b", 3: "c"},
	"text keys":                    map[netip.Addr]int{netip.MustParseAddr("127.0.0.1"): 1},
	"string keys with MarshalText": map[textKey]int{"k": 1},
	"map of any":                   map[string]any{"b": nil, "a": map[string]any{"": []any{}}},
	"map of structs":               map[string]base{"a": {1, 2}},

	"Field": struct {
		F courier.Field[string] `json:"f,omitzero"`
		G courier.Field[int]    `json:",omitzero"`
		H courier.Field[bool]
	}{F: courier.Set("<"), H: courier.Null[bool]()},
	"Tokens":      courier.TokenList("a", "b"),
	"Profile":     []any{courier.Profile{Email: courier.Null[string]()}, &courier.Profile{}},
	"Preferences": courier.Preferences{Categories: map[string]courier.Preference{"c": {}}},
	"PatchOp":     courier.PatchRemove("/a"),
}

// TestOwnTypes: the caller's types are written as encoding/json writes them, in each place.
func TestOwnTypes(t *testing.T) {
	t.Parallel()
	for name, value := range ownValues {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text, err := json.Marshal(value)
			if err != nil {
				t.Fatal(err)
			}
			wantInPlaces(t, value, string(text))
		})
	}
}

// wantInPlaces writes value in each place, and fails unless its JSON is want there.
func wantInPlaces(t *testing.T, value any, want string) {
	t.Helper()
	wanted, ok := exactly(want)
	if !ok {
		t.Fatalf("the test wants %q, which is not JSON", want)
	}
	for _, place := range places {
		got, err := place.write(t, object{"x": value})
		if err != nil {
			t.Errorf("%s, %T: %v", place.name, value, err)
			continue
		}
		wantValue(t, place.name, place.around(object{"x": wanted}), got)
	}
}

// TestReadValuesAreWrittenAnywhere: what a profile, preferences, or tokens kept when they were
// read can be written in each place, not only in its own.
func TestReadValuesAreWrittenAnywhere(t *testing.T) {
	t.Parallel()
	const profile = `{"email":"\ud800","address":{"a":1,"a":2},"custom":{"\udc00":1.0},
		"firebaseToken":[{"token":"a"}],"x":{"b":1,"b":2},"y":"\ud800"}`
	p := readProfile(t, profile)
	wantInPlaces(t, p, profile)
	wantInPlaces(t, &p, profile)
	wantInPlaces(t, object{"p": p}, `{"p":`+profile+`}`)
	wantInPlaces(t, map[string]courier.Profile{"p": p}, `{"p":`+profile+`}`)
	wantInPlaces(t, p.Email, `"\ud800"`)
	wantInPlaces(t, p.Address.Or(courier.Address{}), `{"a":2}`)

	const preferences = `{"categories":{"c":{"status":"\ud800","x":{"\ud800":1,"a":1,"a":2}}}}`
	var q courier.Preferences
	if err := json.Unmarshal([]byte(preferences), &q); err != nil {
		t.Fatal(err)
	}
	wantInPlaces(t, q, preferences)
	wantInPlaces(t, courier.Subscription{Preferences: &q}, `{"preferences":`+preferences+`}`)
	wantInPlaces(t, []courier.PatchOp{courier.PatchAdd("", p)},
		`[{"op":"add","path":"","value":`+profile+`}]`)
}

type appendsText struct{ A int }

func (appendsText) AppendText(b []byte) ([]byte, error) { return append(b, "text"...), nil }

// TestWrittenOtherwise: these values are written, but not as encoding/json writes them on Go
// 1.26. The comment of Profile lists them.
func TestWrittenOtherwise(t *testing.T) {
	t.Parallel()
	type lists struct {
		L []string
		M map[string]int
		B []byte
		P *[]int
		A any
	}
	for _, test := range []struct {
		name  string
		value any
		want  string
	}{
		{"only AppendText", appendsText{1}, `"text"`},
		{"embed", struct {
			A int
			M map[string]int `json:",embed"`
		}{1, map[string]int{"b": 2}}, `{"A":1,"b":2}`},
		{"nil map", map[string]any(nil), `{}`},
		{"nil slice", []any(nil), `[]`},
		{"nil []byte", []byte(nil), `""`},
		{"nil map of another type", map[int]string(nil), `{}`},
		{"nil slice of another type", []lists(nil), `[]`},
		{"nil in a slice", []any{nil, []string(nil), map[string]bool(nil)}, `[null,[],{}]`},
		{"nil in a struct", lists{}, `{"L":[],"M":{},"B":"","P":null,"A":null}`},
		{"nil in a pointer", &lists{A: []int(nil)}, `{"L":[],"M":{},"B":"","P":null,"A":[]}`},
		{"nil in a Field", courier.Set([]any(nil)), `[]`},
		{"nil map in a Field", courier.Set(map[string]bool(nil)), `{}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			wantInPlaces(t, test.value, test.want)
		})
	}
}

// TestOnlyNilIsNull: nil and nil pointers are null, and so is a nil RawMessage.
func TestOnlyNilIsNull(t *testing.T) {
	t.Parallel()
	for _, value := range []any{nil, (*int)(nil), (*[]int)(nil), json.RawMessage(nil)} {
		wantInPlaces(t, value, `null`)
	}
}

// TestHTMLIsNotEscaped: texts are sent as they are, and keys in order.
func TestHTMLIsNotEscaped(t *testing.T) {
	t.Parallel()
	const html = "<a href='x'>&\u2028</a>"
	body, err := mergeBody(t, courier.Profile{
		Name: courier.Set(html), Extra: object{"b": html, "a": []string{html}},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := `{"profile":{"name":"` + html + `","a":["` + html + `"],"b":"` + html + `"}}`
	if body != want {
		t.Errorf("sent %s, want %s", body, want)
	}
}

type (
	failing   struct{}
	malformed struct {
		//lint:ignore SA5008 json/v2 refuses the tag, which a test shows
		A int `json:"'a"`
	}
	rawJSON string
	rawText string
)

func (failing) MarshalJSON() ([]byte, error)   { return nil, errors.New("CANARY") }
func (r rawJSON) MarshalJSON() ([]byte, error) { return []byte(r), nil }
func (r rawText) MarshalText() ([]byte, error) { return []byte(r), nil }

func cycle() any {
	list := []any{nil}
	list[0] = object{"CANARY": list}
	return list
}

const (
	reasonJSON = "cannot be written as JSON"
	reasonUTF8 = "contains text that is not valid UTF-8"
	reasonNaN  = "cannot be written as JSON: JSON has no NaN and no infinity"
)

// refusedValues are values that cannot be sent, with the reason of the ValidationError.
var refusedValues = map[string]struct {
	value  any
	reason string
}{
	"not UTF-8":            {"CANARY\xff", reasonUTF8},
	"a surrogate in UTF-8": {"CANARY\xed\xa0\x80", reasonUTF8},
	"in a slice":           {[]string{"CANARY", "CANARY\xff"}, reasonUTF8},
	"key":                  {map[string]int{"CANARY\xff": 1}, reasonUTF8},
	"in a struct": {
		struct{ CANARY []struct{ T any } }{[]struct{ T any }{{"\xff"}}}, reasonUTF8,
	},
	"in a Field":                {courier.Set("CANARY\xff"), reasonUTF8},
	"in Tokens":                 {courier.TokenList("CANARY\xff"), reasonUTF8},
	"in a Profile":              {courier.Profile{Extra: object{"CANARY\xff": 1}}, reasonUTF8},
	"RawMessage, not UTF-8":     {json.RawMessage("\"CANARY\xff\""), reasonUTF8},
	"RawMessage, key not UTF-8": {json.RawMessage("{\"CANARY\xff\":1}"), reasonUTF8},
	"MarshalJSON, not UTF-8":    {rawJSON("\"CANARY\xff\""), reasonUTF8},
	"MarshalText, not UTF-8":    {rawText("CANARY\xff"), reasonUTF8},
	"MarshalText, key":          {map[rawText]int{"CANARY\xff": 1}, reasonUTF8},

	"RawMessage, not JSON":     {json.RawMessage(`{"CANARY":1}}`), ""},
	"RawMessage, breaking out": {json.RawMessage(`1,"CANARY":2`), ""},
	"RawMessage, empty":        {json.RawMessage{}, ""},
	"MarshalJSON, not JSON":    {rawJSON("CANARY"), ""},
	"MarshalJSON, fails":       {failing{}, ""},
	"MarshalJSON, a key twice": {
		rawJSON(`{"CANARY":1,"CANARY":2}`),
		"a key appears twice in what a MarshalJSON method wrote: write it once",
	},

	"Number":                         {json.Number("CANARY"), ""},
	"Number with a space":            {json.Number("1 "), ""},
	"Number of Go":                   {json.Number("0x10"), ""},
	"Number, quoted":                 {quoted{N: "1CANARY"}, ""},
	"NaN":                            {math.NaN(), reasonNaN},
	"infinity":                       {[]any{float32(math.Inf(-1))}, reasonNaN},
	"complex":                        {1i, reasonJSON + ": a value of type complex128"},
	"channel":                        {make(chan int), reasonJSON + ": a value of type chan int"},
	"func":                           {[]func(){nil}, reasonJSON + ": a value of type func()"},
	"cycle":                          {cycle(), ""},
	"struct with a malformed tag":    {malformed{}, ""},
	"struct without exported fields": {struct{ unexported int }{}, ""},
}

// TestRefusedValues: what is not JSON is a *ValidationError before anything is sent, at any
// depth. Its Field ends at the last key of Courier's, and it has nothing of the value.
func TestRefusedValues(t *testing.T) {
	t.Parallel()
	for name, test := range refusedValues {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, place := range places {
				for _, value := range []any{
					test.value, []any{1, object{"CANARY": test.value}},
				} {
					text, err := place.write(t, object{"CANARY": value})
					if text != "" {
						t.Errorf("%s: written as %q", place.name, text)
					}
					wantRefused(t, err, place.name, place.field, test.reason)
				}
			}
		})
	}
}

// wantRefused fails unless err is a ValidationError of field with reason, or with any reason
// if that is empty, and repeats nothing of what the tables mark as CANARY.
func wantRefused(t testing.TB, err error, what, field, reason string) {
	t.Helper()
	invalid, ok := errors.AsType[*courier.ValidationError](err)
	if !ok {
		t.Errorf("%s: got the error %T (%v), want a *ValidationError", what, err, err)
		return
	}
	if invalid.Field != field {
		t.Errorf("%s: got a ValidationError of %q, want of %q", what, invalid.Field, field)
	}
	if invalid.Reason == "" || reason != "" && invalid.Reason != reason {
		t.Errorf("%s: got the reason %q, want %q", what, invalid.Reason, reason)
	}
	if strings.Contains(invalid.Error(), "CANARY") || !utf8.ValidString(invalid.Error()) {
		t.Errorf("%s: the error repeats the value: %q", what, invalid)
	}
}

// TestRefusedPaths: the Field of a *ValidationError is the path of JSON keys up to the last
// that is Courier's own.
func TestRefusedPaths(t *testing.T) {
	t.Parallel()
	const bad = "CANARY\xff"
	badField := courier.Set(bad)
	for _, test := range []struct {
		field   string
		profile courier.Profile
	}{
		{"profile", courier.Profile{Extra: object{"": bad}}},
		{"profile", courier.Profile{Extra: object{bad: 1}}},
		{"profile", courier.Profile{Extra: object{"x": object{"email": bad}}}},
		{"profile", courier.Profile{Extra: object{"x": courier.Address{Country: badField}}}},
		{"profile.email", courier.Profile{Email: badField}},
		{"profile.address.country", courier.Profile{
			Address: courier.Set(courier.Address{Country: badField}),
		}},
		{"profile.address", courier.Profile{
			Address: courier.Set(courier.Address{Extra: object{bad: 1}}),
		}},
		{"profile.custom", courier.Profile{
			Custom: courier.Set(object{"email": object{"country": bad}}),
		}},
		{"profile.airship.device_types[1]", courier.Profile{Airship: courier.Set(courier.Airship{
			DeviceTypes: courier.Set([]string{"ios", bad}),
		})}},
		{"profile.airship.audience.named_user", courier.Profile{
			Airship: courier.Set(courier.Airship{
				Audience: courier.Set(courier.AirshipAudience{NamedUser: badField}),
			}),
		}},
		{"profile.firebaseToken", courier.Profile{
			FirebaseToken: courier.Set(courier.TokenList("a", bad)),
		}},
		{"profile.webhook.headers", courier.Profile{Webhook: courier.Set(courier.Webhook{
			Headers: courier.Set(map[string]string{bad: "a"}),
		})}},
		{"profile.webhook.headers", courier.Profile{Webhook: courier.Set(courier.Webhook{
			Headers: courier.Set(map[string]string{"url": bad}),
		})}},
		{"profile.webhook.authentication.password", courier.Profile{
			Webhook: courier.Set(courier.Webhook{
				Authentication: courier.Set(courier.WebhookAuthentication{Password: badField}),
			}),
		}},
	} {
		_, err := mergeBody(t, test.profile)
		wantRefused(t, err, "Merge", test.field, reasonUTF8)
		// By itself, a profile has no "profile" around it, and inside the caller's struct the
		// caller's keys are left out.
		field := strings.TrimPrefix(strings.TrimPrefix(test.field, "profile"), ".")
		for _, version := range jsonVersions {
			_, err := version.marshal(test.profile)
			wantRefused(t, err, version.name, field, reasonUTF8)
			_, err = version.marshal(map[string]any{"CANARY": []any{&test.profile}})
			wantRefused(t, err, version.name+", in a map", field, reasonUTF8)
		}
	}
}

// marshalsItself has a MarshalJSON whose error has a JSON Pointer into its own text.
type marshalsItself struct{ value any }

func (m marshalsItself) MarshalJSON() ([]byte, error) {
	return jsonv2.Marshal(object{"profile": object{"custom": object{"CANARY": m.value}}})
}

// TestRefusedPathIsNotOfAnotherText: the path leads into the request, whatever is in the error.
func TestRefusedPathIsNotOfAnotherText(t *testing.T) {
	t.Parallel()
	for value, reason := range map[any]string{
		"\xff":            reasonUTF8,
		make(chan int):    "",
		courier.PatchOp{}: reasonEmptyOp,
	} {
		_, err := mergeBody(t, courier.Profile{Extra: object{"x": marshalsItself{value}}})
		wantRefused(t, err, "Merge", "profile", reason)
	}
}

func TestRefusedPathsOfPatchAndSubscribe(t *testing.T) {
	t.Parallel()
	const bad = "CANARY\xff"
	first := courier.PatchRemove("/a")
	for _, test := range []struct {
		field string
		ops   []courier.PatchOp
	}{
		{"patch[0]", []courier.PatchOp{courier.PatchTest("/x", bad)}},
		{"patch[1]", []courier.PatchOp{first, courier.PatchAdd("/email", bad)}},
		{"patch[2]", []courier.PatchOp{first, first, courier.PatchRemove("/" + bad)}},
		{"patch[0]", []courier.PatchOp{courier.PatchMove("/"+bad, "/a")}},
		{"patch[0]", []courier.PatchOp{
			courier.PatchReplace("", courier.Profile{Email: courier.Set(bad)}),
		}},
	} {
		_, err := patchBody(t, test.ops)
		wantRefused(t, err, "Patch", test.field, reasonUTF8)
	}
	good := courier.ListSubscription{ListID: "a"}
	for _, test := range []struct {
		field string
		list  courier.ListSubscription
	}{
		{"lists[1].listId", courier.ListSubscription{ListID: bad}},
		{"lists[1].preferences", courier.ListSubscription{
			ListID: "b", Preferences: &courier.Preferences{Extra: object{"x": bad}},
		}},
		{"lists[1].preferences.categories", courier.ListSubscription{
			ListID: "b", Preferences: &courier.Preferences{
				Categories: map[string]courier.Preference{bad: {}},
			},
		}},
		{"lists[1].preferences.notifications", courier.ListSubscription{
			ListID: "b", Preferences: &courier.Preferences{
				Notifications: map[string]courier.Preference{"CANARY": {Status: bad}},
			},
		}},
	} {
		_, err := subscribeBody(t, good, test.list)
		wantRefused(t, err, "Subscribe", test.field, reasonUTF8)
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
		return object{text: []any{text, nil, true, number}, text + "n": object{}}
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
	func(text string, _ float64) any { return quoted{N: json.Number(text)} },
	func(text string, _ float64) any { return map[json.Number]int{json.Number(text): 1} },
}

// FuzzWrittenValue writes a caller's value in each place: it has the JSON that encoding/json
// gives it, or each place refuses it.
func FuzzWrittenValue(f *testing.F) {
	texts := []string{
		"", "a", "\xff", "a\xc3", "\xed\xa0\x80", "\ufffd", `\ufffd`, `"\ufffd"`,
		"\x00\n\u2028<&>\"\\/", "😀", "null", "{}", "[1", `{"a":1.0,"a":"\ud800"}`, ` [1, 2] `,
		"1e400", "-0", "01", "1.", "1a", "9007199254740993", "NaN", "0x10", `"},"email":"x`,
		`{"a":1}}`, "\"\xff\"", "\"\n\"", "email", "custom", "categories", "a/b~c",
		"\x7f\u0085", `{"\ud800":1}`,
	}
	numbers := []float64{
		0, math.Copysign(0, -1), 1e-7, 1e20, 1e21, 123456789.125, 5e-324, math.MaxFloat64,
		9007199254740993, 1e39, math.NaN(), math.Inf(1),
	}
	for kind := range fuzzedValues {
		for _, text := range texts {
			f.Add(uint8(kind), "key", text, 0.1)
			f.Add(uint8(kind), text, "1", 0.1)
		}
		for _, number := range numbers {
			f.Add(uint8(kind), "key", "", number)
		}
	}
	f.Fuzz(func(t *testing.T, kind uint8, key, text string, number float64) {
		if strings.Contains(text+key, half) {
			return
		}
		value := fuzzedValues[int(kind)%len(fuzzedValues)](text, number)
		want, ok := asEncodingJSON(value)
		if strings.Contains(key, "\xff") || !utf8.ValidString(key) {
			ok = false
		}
		for _, place := range places {
			got, err := place.write(t, object{key: value})
			if !ok {
				if got != "" {
					t.Errorf("%s, %q: %#v is written as %q", place.name, key, value, got)
				}
				invalid := wantError[*courier.ValidationError](t, err)
				if len(text) > 20 && strings.Contains(invalid.Error(), text) {
					t.Errorf("%s: the error repeats the value: %q", place.name, invalid)
				}
				continue
			}
			if err != nil {
				t.Errorf("%s, %q: %#v is refused: %v", place.name, key, value, err)
				continue
			}
			wantValue(t, place.name, place.around(object{key: want}), got)
		}
	})
}

// asEncodingJSON is what exactly returns for the JSON of a value by encoding/json. ok is
// false for what encoding/json refuses, and for text that it would change because it is not
// UTF-8.
func asEncodingJSON(value any) (want any, ok bool) {
	var text string
	switch value := value.(type) {
	case []byte: // is written as Base64
	case *string:
		text = *value
	case courier.Field[string]:
		text = value.Or("")
	case json.RawMessage:
		text = string(value)
	default:
		text = fmt.Sprint(value)
	}
	written, err := json.Marshal(value)
	if err != nil || !utf8.ValidString(text) {
		return nil, false
	}
	return exactly(string(written))
}

// Reading.

// TestReadRefuses: what is not JSON in UTF-8, or not an object, is an error of each version
// of encoding/json and of the client, without anything of the profile in it.
func TestReadRefuses(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat(`[`, 100_000)
	for _, document := range []string{
		``, ` `, `{`, `}`, `[]`, `"CANARY"`, `1`, `true`, `nul`, `{} {}`, `{}x`, `{"a":1,}`,
		`{"a":"CANARY"`, `{"email":"CANARY}`, `{"email":"CANARY",}`, `{"CANARY":}`, `{"CANARY"}`,
		`{"CANARY":{"CANARY":x}}`, `{'email':"CANARY"}`, `{"email":CANARY}`,
		`{"address":{"country":"CANARY",}}`, `{"expo":{"tokens":["CANARY",]}}`,
		"{\"email\":\"CANARY\n\"}", "{\x00}", `{"email":"CANARY\x"}`, `{"n":01}`, `{"n":1.}`,
		`{"n":+1}`, `{"n":NaN}`, "{\"email\":\"CANARY\xff\"}", "{\"CANARY\xff\":1}",
		"{\"address\":{\"CANARY\xff\":1}}", "{\"address\":{\"country\":\"\xed\xa0\x80CANARY\"}}",
		"{\"custom\":{\"a\":[{\"CANARY\":\"\xc3\"}]}}", "{\"firebaseToken\":[\"CANARY\xff\"]}",
		"{\"webhook\":{\"headers\":{\"CANARY\xff\":\"\"}}}", `{"CANARY\ud800":1}`, deep,
		`{"CANARY":` + deep + strings.Repeat(`]`, 100_000) + `}`,
		strings.Repeat(`{"address":`, 100_000),
	} {
		for _, version := range jsonVersions {
			var p courier.Profile
			if err := version.unmarshal([]byte(document), &p); err == nil {
				t.Errorf("%s: %.100q is read as %.200v", version.name, document, p)
			}
			var holder struct{ P *courier.Profile }
			if err := version.unmarshal([]byte(`{"P":`+document+`}`), &holder); err == nil {
				t.Errorf("%s, in a struct: %.100q is read", version.name, document)
			}
		}
		client := newClient(t, respond(200, `{"profile":`+document+`}`))
		_, err := client.Profiles.Get(t.Context(), "user-1")
		text := wantError[*courier.UnexpectedResponseError](t, err).Error()
		if strings.Contains(text, "CANARY") || len(text) > 500 {
			t.Errorf("Get: %.100q gives the error %.600q", document, text)
		}
	}
}

// TestCallersOptions: options that the caller sets for encoding/json do not reach into a
// profile, but for the layout.
func TestCallersOptions(t *testing.T) {
	t.Parallel()
	const document = `{"int":7,"email":"<","EMAIL":"E","custom":{"n":1.0},
		"airship":{"device_types":[]},"x":{"\ud800":[]},"y":{"n":9007199254740993,"n":2}}`
	refuseText := errors.New("not for this text")
	unmarshalers := jsonv2.UnmarshalFunc(func([]byte, *string) error { return refuseText })
	for name, option := range map[string]jsonv2.Options{
		"RejectUnknownMembers":      jsonv2.RejectUnknownMembers(true),
		"MatchCaseInsensitiveNames": jsonv2.MatchCaseInsensitiveNames(true),
		"AllowDuplicateNames":       jsontext.AllowDuplicateNames(true),
		"AllowInvalidUTF8":          jsontext.AllowInvalidUTF8(true),
		"WithUnmarshalers":          jsonv2.WithUnmarshalers(unmarshalers),
	} {
		var p courier.Profile
		if err := jsonv2.Unmarshal([]byte(document), &p, option); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		wantJSON(t, name, document, profileJSON(t, p))
	}
	decoder := json.NewDecoder(strings.NewReader(document))
	decoder.DisallowUnknownFields()
	var p courier.Profile
	if err := decoder.Decode(&p); err != nil {
		t.Errorf("DisallowUnknownFields: %v", err)
	}
	wantJSON(t, "DisallowUnknownFields", document, profileJSON(t, p))

	p.Custom.Or(nil)["nil"] = []string(nil)
	p.Extra["nil"] = map[string]int(nil)
	p.Extra["zero"] = base{}
	p.Extra["number"] = json.Number("9007199254740993")
	want := profileJSON(t, p)
	marshalers := jsonv2.MarshalFunc(func(string) ([]byte, error) { return nil, refuseText })
	for name, option := range map[string]jsonv2.Options{
		"FormatNilSliceAsNull":  jsonv2.FormatNilSliceAsNull(true),
		"FormatNilMapAsNull":    jsonv2.FormatNilMapAsNull(true),
		"WithIndent":            jsontext.WithIndent("  "),
		"EscapeForHTML":         jsontext.EscapeForHTML(true),
		"CanonicalizeRawInts":   jsontext.CanonicalizeRawInts(true),
		"CanonicalizeRawFloats": jsontext.CanonicalizeRawFloats(true),
		"OmitZeroStructFields":  jsonv2.OmitZeroStructFields(true),
		"WithMarshalers":        jsonv2.WithMarshalers(marshalers),
	} {
		text, err := jsonv2.Marshal(p, option)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		wantJSON(t, name, want, string(text))
	}
	indented, err := json.MarshalIndent(p, "", "\t")
	if err != nil {
		t.Fatal(err)
	}
	wantJSON(t, "MarshalIndent", want, string(indented))
}

// TestReadFromAStream: what was read stays as it is while the decoder reads on, also where it
// hands out its buffer.
func TestReadFromAStream(t *testing.T) {
	t.Parallel()
	var documents []string
	for i := range 200 {
		documents = append(documents,
			fmt.Sprintf(`{"email":[%[1]d],"x":"\ud800%[1]d","y":{"\ud800":%[1]d}}`, i))
	}
	text := "[" + strings.Join(documents, ",") + "]"
	for _, lenient := range []bool{false, true} {
		var got []courier.Profile
		err := jsonv2.UnmarshalRead(iotest.OneByteReader(strings.NewReader(text)), &got,
			jsontext.AllowDuplicateNames(lenient), jsontext.AllowInvalidUTF8(lenient))
		if err != nil {
			t.Fatal(err)
		}
		for i, document := range documents {
			wantJSON(t, "profile", document, profileJSON(t, got[i]))
		}
	}
}

// TestDeepNesting: a text of any depth is read or refused, and what was read is written.
func TestDeepNesting(t *testing.T) {
	t.Parallel()
	for _, nest := range []struct{ name, open, inner, end string }{
		{"arrays", "[", "1.0", "]"},
		{"objects", `{"a":`, "1.0", "}"},
		{"unpaired surrogates", `{"\ud800":`, `"\udc00"`, "}"},
		{"email", `{"email":`, "null", "}"},
	} {
		nested := func(depth int) string {
			text := strings.Repeat(nest.open, depth) + nest.inner + strings.Repeat(nest.end, depth)
			return `{"webhook":{"authentication":` + text + `},"custom":{"x":` + text + `}}`
		}
		for _, version := range jsonVersions {
			var p courier.Profile
			if err := version.unmarshal([]byte(nested(2_000)), &p); err != nil {
				t.Errorf("%s, 2,000 %s: %.200v", version.name, nest.name, err)
			}
			wantJSON(t, nest.name, nested(2_000), profileJSON(t, p))
			if err := version.unmarshal([]byte(nested(10_000)), &p); err == nil {
				t.Errorf("%s: 10,000 %s are read", version.name, nest.name)
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
			open := `{"p":"` + strings.Repeat("x", 180) + `",` + key + `:`
			return strings.Repeat(open, depth) + "null" + strings.Repeat("}", depth)
		}
	}
	many := func(item string) func(size int) string {
		return func(size int) string { return strings.Repeat(item, size/len(item)) }
	}
	numbered := func(format string) func(size int) string {
		return func(size int) string {
			var b strings.Builder
			for i := 0; b.Len() < size; i++ {
				fmt.Fprintf(&b, format, i)
			}
			return b.String()
		}
	}
	profile := func(text []byte) error {
		var p courier.Profile
		if err := p.UnmarshalJSON(text); err != nil {
			return err
		}
		_, err := p.MarshalJSON()
		return err
	}
	preferences := func(text []byte) error {
		var p courier.Preferences
		if err := p.UnmarshalJSON(text); err != nil {
			return err
		}
		_, err := p.MarshalJSON()
		return err
	}
	for _, test := range []struct {
		name   string
		format string
		text   func(size int) string
		run    func(text []byte) error
	}{
		{"custom", `{"custom":%s}`, deep(`"n"`), profile},
		{"surrogates in each key", `{"custom":%s}`, deep(`"\ud800"`), profile},
		{"a surrogate at the end", `{"custom":{"a":%s,"\ud800":1}}`, deep(`"n"`), profile},
		{"mismatch", `{"email":%s}`, deep(`"n"`), profile},
		{"mismatch below", `{"webhook":{"authentication":{"mode":%s}}}`, deep(`"n"`), profile},
		{"objects", `{"webhook":{"authentication":%s}}`, deep(`"mode"`), profile},
		{"members", `{"custom":{%s"b":1}}`, many(`"a":{},`), profile},
		{"token objects", `{"expo":{"tokens":[%s1]}}`, many(`{"token":"a"},`), profile},
		{"one key", `{%s"x":1}`, many(`"address":{"\ud800":[]},`), profile},
		{"many keys", `{%s"x":1}`, numbered(`"%d":{"a":1},`), profile},
		{
			"categories", `{"categories":{%s"x":{}}}`,
			numbered(`"%d":{"status":"a","rules":[{"x":1}]},`), preferences,
		},
		{"members of preferences", `{%s"x":{}}`, numbered(`"%d":{"a":1},`), preferences},
		{
			"mismatch in a rule", `{"notifications":{"a":{"rules":[{"until":%s}]}}}`,
			deep(`"n"`), preferences,
		},
		{
			"mismatch in a preference", `{"categories":{"a":{"status":%s}}}`,
			deep(`"n"`), preferences,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			const small, large = 1 << 13, 1 << 16
			text := func(size int) []byte { return fmt.Appendf(nil, test.format, test.text(size)) }
			before := allocated(t, test.run, text(small))
			after := allocated(t, test.run, text(large))
			if limit := 3 * before * large / small; after > limit {
				t.Errorf("%d bytes take %d bytes of memory, but %d bytes take %d",
					small, before, large, after)
			}
			if limit := uint64(200 * large); after > limit {
				t.Errorf("%d bytes take %d bytes of memory, want at most %d", large, after, limit)
			}
		})
	}
}

// allocated returns how many bytes run allocates, at the least of several times: a garbage
// collection in between empties the pools of package json.
func allocated(t *testing.T, run func(text []byte) error, text []byte) uint64 {
	t.Helper()
	least := uint64(math.MaxUint64)
	for range 4 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if err := run(text); err != nil {
			t.Fatal(err)
		}
		runtime.ReadMemStats(&after)
		least = min(least, after.TotalAlloc-before.TotalAlloc)
	}
	return least
}
