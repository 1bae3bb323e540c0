package jsonobject_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/courier-profiles/courier-go/internal/jsonobject"
)

// canary is in every value that is refused, and in no error.
const canary = "CaNaRy"

// Values that encoding/json writes by methods of their own.
type (
	marshaler     string // its JSON is the string itself
	failing       string // its error has the string in it
	textMarshaler string
	pointerOnly   struct{ text string }
	plan          string
)

func (m marshaler) MarshalJSON() ([]byte, error)     { return []byte(m), nil }
func (f failing) MarshalJSON() ([]byte, error)       { return nil, errors.New(string(f)) }
func (m textMarshaler) MarshalText() ([]byte, error) { return []byte(m), nil }
func (p *pointerOnly) MarshalJSON() ([]byte, error)  { return json.Marshal(p.text) }

type inner struct {
	Text string            `json:"text,omitempty"`
	List []string          `json:"list,omitempty"`
	Map  map[string]string `json:"map,omitempty"`
	Raw  json.RawMessage   `json:"raw,omitempty"`
	Any  any               `json:"any,omitempty"`
	Next *inner            `json:"next,omitempty"`
}

func write(value any) (string, error) {
	var w jsonobject.Writer
	w.Any(value)
	return string(w.Bytes()), w.Err()
}

func TestWriterAny(t *testing.T) {
	text := "x"
	tests := []struct {
		name  string
		value any
		want  string
	}{
		{"nil", nil, `null`},
		{"true", true, `true`},
		{"false", false, `false`},
		{"empty string", "", `""`},
		{"what HTML escapes", "<a href='x'>&amp;</a>", `"<a href='x'>&amp;</a>"`},
		{"what JSON escapes", "\"\\/\b\f\n\r\t\x00\x1f\x7f", `"\"\\/\u0008\u000c\n\r\t\u0000\u001f` + "\x7f" + `"`},
		{"line separators", "\u2028\u2029", "\"\u2028\u2029\""},
		{"beyond ASCII", "é€😀\U0010FFFF", `"é€😀` + "\U0010FFFF" + `"`},
		{"U+FFFD that was there", "\ufffd", "\"\ufffd\""},
		{"U+FFFD that was there, in a struct", inner{Text: "\ufffd"}, "{\"text\":\"\ufffd\"}"},
		{"U+FFFD that was there, in lists and maps", []any{[]string{"\ufffd"}, map[string]string{"\ufffd": "\ufffd"}}, "[[\"\ufffd\"],{\"\ufffd\":\"\ufffd\"}]"},
		{"the six characters of its escape", `\ufffd`, `"\\ufffd"`},
		{"the six characters of its escape, in a []string", []string{`C:\ufffd`}, `["C:\\ufffd"]`},
		{"the six characters of its escape, in a struct", inner{Text: `\ufffd`}, `{"text":"\\ufffd"}`},
		{"the six characters of its escape, in a key", map[string]string{`\ufffd`: `\\ufffd`}, `{"\\ufffd":"\\\\ufffd"}`},
		{"U+FFFD escaped by whoever wrote the raw JSON", json.RawMessage(`"\ufffd"`), `"\ufffd"`},

		{"int", -5, `-5`},
		{"int64", int64(math.MinInt64), `-9223372036854775808`},
		{"uint64", uint64(math.MaxUint64), `18446744073709551615`},
		{"int8", int8(-8), `-8`},
		{"uintptr", uintptr(7), `7`},
		{"float32", float32(0.1), `0.1`},
		{"float64", 0.1, `0.1`},
		{"negative zero", math.Copysign(0, -1), `-0`},
		{"json.Number", json.Number("9007199254740993"), `9007199254740993`},
		{"json.Number with zeros", json.Number("-1.50E+0400"), `-1.50E+0400`},
		{"json.Number in a struct", inner{Any: json.Number("1E400")}, `{"any":1E400}`},
		{"big.Int", new(big.Int).Exp(big.NewInt(10), big.NewInt(30), nil), `1000000000000000000000000000000`},

		{"map", map[string]any{"b": 1, "a": []any{}, "": nil, "A": "x", "é": 2}, `{"":null,"A":"x","a":[],"b":1,"é":2}`},
		{"keys that need escapes", map[string]any{"\"\n<&>": 1, "\ufffd": 2}, "{\"\\\"\\n<&>\":1,\"\ufffd\":2}"},
		{"list", []any{1, "x", nil, []any{}, map[string]any{}}, `[1,"x",null,[],{}]`},
		{"nested", map[string]any{"a": []any{map[string]any{"b": []any{[]any{"{"}, "[", "}"}}}}, `{"a":[{"b":[["{"],"[","}"]}]}`},
		{"strings that end like an opening", []any{"[", "{", map[string]any{"{": "{", "[": "["}}, `["[","{",{"[":"[","{":"{"}]`},
		// In a merge, null would remove.
		{"nil map", map[string]any(nil), `{}`},
		{"nil list", []any(nil), `[]`},
		{"nil map and list inside", map[string]any{"l": []any(nil), "m": map[string]any(nil)}, `{"l":[],"m":{}}`},

		// As encoding/json has it.
		{"[]string", []string{"<", "b"}, `["<","b"]`},
		{"map[string]string", map[string]string{"b": "&", "a": ">"}, `{"a":">","b":"&"}`},
		{"map[int]bool", map[int]bool{2: true, 1: false}, `{"1":false,"2":true}`},
		{"[]byte", []byte("abc"), `"YWJj"`},
		{"named string", plan("<pro>"), `"<pro>"`},
		{"pointer", &text, `"x"`},
		{"nil pointer", (*string)(nil), `null`},
		{"nil pointer with a method", (*pointerOnly)(nil), `null`},
		{"pointer with a method", &pointerOnly{"x"}, `"x"`},
		{"struct", inner{Text: "<&>", List: []string{"a"}, Next: &inner{Any: 1.5}}, `{"text":"<&>","list":["a"],"next":{"any":1.5}}`},
		{"struct in a map in a list", []any{map[string]any{"s": struct{ A int }{1}}}, `[{"s":{"A":1}}]`},
		{"time", time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), `"2026-01-02T03:04:05Z"`},
		{"TextMarshaler", netip.MustParseAddr("192.0.2.1"), `"192.0.2.1"`},
		{"TextMarshaler with HTML", textMarshaler("<&>"), `"<&>"`},
		{"TextMarshaler as key", map[textMarshaler]int{"k": 1}, `{"k":1}`},
		{"MarshalJSON", marshaler(` { "a" : [ 1.0, "<" ] } `), `{"a":[1.0,"<"]}`},
		{"MarshalJSON with half a pair", marshaler(`"\ud800"`), `"\ud800"`},
		{"RawMessage", json.RawMessage(`{"b":1E2, "a":"\ud800<"}`), `{"b":1E2, "a":"\ud800<"}`},
		{"nil RawMessage", json.RawMessage(nil), `null`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := write(test.value)
			if err != nil {
				t.Fatalf("error %v, want %s", err, test.want)
			}
			if got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
			if _, err := readDocument(got); err != nil {
				t.Errorf("%s is no JSON: %v", got, err)
			}
		})
	}
}

func TestWriterRefuses(t *testing.T) {
	bad := canary + "\xff"
	cyclicMap := map[string]any{}
	cyclicMap["a"] = []any{1, map[string]any{"b": cyclicMap}}
	cyclicList := []any{1, nil}
	cyclicList[1] = cyclicList
	cyclicStruct := &inner{Text: canary}
	cyclicStruct.Next = cyclicStruct
	cyclicThroughBoth := map[string]any{}
	cyclicThroughBoth["s"] = inner{Any: cyclicThroughBoth}
	type namedMap map[string]any
	cyclicNamed := namedMap{}
	cyclicNamed["a"] = cyclicNamed

	tests := []struct {
		name  string
		value any
	}{
		{"NaN", math.NaN()},
		{"+Inf", math.Inf(1)},
		{"-Inf", math.Inf(-1)},
		{"float32 NaN", float32(math.NaN())},
		{"NaN in a []float64", []float64{1, math.NaN()}},
		{"Inf in a struct", struct{ F float64 }{math.Inf(1)}},
		{"channel", make(chan string)},
		{"nil channel", (chan int)(nil)},
		{"func", func() {}},
		{"complex", complex(1, 2)},
		{"channel in a struct", struct{ C chan int }{}},
		{"func in a map", map[string]func(){"f": func() {}}},
		{"map with keys that are no text", map[float64]int{1.5: 1}},

		{"cyclic map", cyclicMap},
		{"cyclic list", cyclicList},
		{"cyclic struct", cyclicStruct},
		{"cyclic through a struct", cyclicThroughBoth},
		{"cyclic map of another type", cyclicNamed},

		{"string not UTF-8", bad},
		{"string with half a pair in UTF-8's manner", canary + "\xed\xa0\x80"},
		{"string cut in a character", canary + "é"[:1]},
		{"string in the old overlong form", canary + "\xc0\x80"},
		{"key not UTF-8", map[string]any{bad: 1}},
		{"empty key's value not UTF-8", map[string]any{"": bad}},
		{"[]any", []any{"x", bad}},
		{"[]string", []string{"x", bad}},
		{"map[string]string value", map[string]string{"x": bad}},
		{"map[string]string key", map[string]string{bad: "x"}},
		{"map[string]int key", map[string]int{bad: 1}},
		{"named string", plan(bad)},
		{"pointer to string", &bad},
		{"struct", inner{Text: bad}},
		{"pointer to struct", &inner{Text: bad}},
		{"struct, behind a backslash", inner{Text: canary + "\\\xff"}},
		{"struct, behind the six characters", inner{Text: canary + `\ufffd` + "\xff"}},
		{"list in a struct", inner{List: []string{bad}}},
		{"map key in a struct", inner{Map: map[string]string{bad: ""}}},
		{"raw JSON in a struct", inner{Raw: json.RawMessage(`"` + bad + `"`)}},
		{"any in a struct", inner{Any: map[string]any{"a": []any{bad}}}},
		{"struct in a struct", inner{Next: &inner{Next: &inner{Text: bad}}}},
		{"beside a U+FFFD that was there", inner{Text: "\ufffd", List: []string{`\ufffd`, bad}}},
		{"MarshalJSON", marshaler(`"` + bad + `"`)},
		{"MarshalJSON that calls encoding/json", &pointerOnly{bad}},
		{"MarshalText", textMarshaler(bad)},
		{"MarshalText of a key", map[textMarshaler]int{textMarshaler(bad): 1}},
		{"MarshalJSON in a []any in a struct", inner{Any: []any{marshaler(`{"` + bad + `":1}`)}}},
		{"RawMessage", json.RawMessage(`{"a":"` + bad + `"}`)},
		{"RawMessage with a key", json.RawMessage(`{"` + bad + `":1}`)},

		{"RawMessage that is no JSON", json.RawMessage(canary)},
		{"RawMessage that is empty", json.RawMessage{}},
		{"RawMessage with two values", json.RawMessage(`{}"` + canary + `"`)},
		{"RawMessage that closes its object", json.RawMessage(`1,"` + canary + `":2`)},
		{"RawMessage cut off", json.RawMessage(`{"` + canary + `":`)},
		{"RawMessage in a struct", inner{Raw: json.RawMessage(canary)}},
		{"MarshalJSON that is no JSON", marshaler(canary)},
		{"MarshalJSON that is empty", marshaler("")},
		{"MarshalJSON that fails", failing(canary)},
		{"MarshalJSON that fails in a struct", inner{Any: []any{failing(canary)}}},
	}
	for _, number := range []string{"", " ", "-", "+1", "01", "1.", ".5", "1e", "0x10", "NaN", "Infinity", "1 ", " 1", "1,2", "1}", "null", `"1"`, canary, "1" + canary, "--1", "1_000", "１", "1\xff"} {
		tests = append(tests, struct {
			name  string
			value any
		}{fmt.Sprintf("json.Number %q", number), json.Number(number)})
		if number != "" { // encoding/json writes 0
			tests = append(tests, struct {
				name  string
				value any
			}{fmt.Sprintf("json.Number %q in a struct", number), inner{Any: &[]json.Number{json.Number(number)}[0]}})
		}
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for _, wrapped := range []any{
				test.value,
				[]any{1, test.value, 2},
				map[string]any{"a": 1, "key": test.value, "z": func() {}},
				map[string]any{"a": []any{[]any{map[string]any{"b": test.value}}}},
				struct{ Any any }{test.value},
			} {
				if number, ok := test.value.(json.Number); ok && number == "" {
					if _, inStruct := wrapped.(struct{ Any any }); inStruct {
						continue
					}
				}
				text, err := write(wrapped)
				var refused *jsonobject.Error
				if !errors.As(err, &refused) {
					t.Fatalf("in a %T: error %v, want a *jsonobject.Error; written: %.200q", wrapped, err, text)
				}
				if refused.Reason == "" || strings.Contains(refused.Error(), canary) || !utf8.ValidString(refused.Error()) {
					t.Errorf("in a %T: error %q without a reason or with data", wrapped, refused)
				}
			}
		})
	}
}

func deepValue(depth int) any {
	var value any = []any{}
	for i := range depth - 1 {
		if i%2 == 0 {
			value = map[string]any{"a": value}
		} else {
			value = []any{value}
		}
	}
	return value
}

func TestWriterDepth(t *testing.T) {
	text, err := write(deepValue(maxDepth))
	if err != nil {
		t.Errorf("%d deep: %v", maxDepth, err)
	} else if _, err := readDocument(text); err != nil {
		t.Errorf("%d deep, read again: %v", maxDepth, err)
	}
	if _, err := write(deepValue(maxDepth + 1)); err == nil {
		t.Errorf("%d deep: no error", maxDepth+1)
	}
	// What was left counts no longer.
	wide := make([]any, 3*maxDepth)
	for i := range wide {
		wide[i] = map[string]any{"a": []any{}}
	}
	if _, err := write(wide); err != nil {
		t.Errorf("%d neighbours: %v", len(wide), err)
	}
}

// TestWriterFloats compares with encoding/json, bit by bit and byte by byte.
func TestWriterFloats(t *testing.T) {
	values := []float64{
		0, math.Copysign(0, -1), 1, -1, 0.1, 1.0 / 3, 100, 123456789, 1e20, 1e21, 1.5e21, 123456789012345678901234,
		1e-5, 1e-6, 1e-7, 1.5e-7, -1e-9, 1e-10, 1e-99, 1e-100, 1e99, 1e100, 1 << 53, 1<<53 + 2,
		math.MaxFloat64, -math.MaxFloat64, math.SmallestNonzeroFloat64, math.Pi, math.Nextafter(1e21, 0), math.Nextafter(1e-6, 0),
	}
	rnd := rand.New(rand.NewPCG(3, 4))
	for range 20_000 {
		if value := math.Float64frombits(rnd.Uint64()); !math.IsNaN(value) && !math.IsInf(value, 0) {
			values = append(values, value)
		}
		values = append(values, rnd.NormFloat64()*math.Pow10(rnd.IntN(40)-20))
	}
	differ := 0
	for _, value := range values {
		want, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := write(value); err != nil || got != string(want) {
			if differ++; differ <= 5 {
				t.Errorf("%v: got %s (%v), encoding/json writes %s", value, got, err, want)
			}
		}
	}
	if differ > 5 {
		t.Errorf("%d of %d floats differ from what encoding/json writes", differ, len(values))
	}
}

// TestWriterStrings writes every character there is, and every pair of bytes.
func TestWriterStrings(t *testing.T) {
	check := func(text string) {
		t.Helper()
		var w jsonobject.Writer
		w.String(text)
		if refused := w.Err() != nil; refused == utf8.ValidString(text) {
			t.Errorf("%.20q: error %v", text, w.Err())
		}
		if w.Err() != nil {
			return
		}
		got, err := readDocument(string(w.Bytes()))
		if err != nil || got != text {
			t.Errorf("%.20q: written as %.50q, read as %.20q: %v", text, w.Bytes(), got, err)
		}
		if std := readStd(t, string(w.Bytes())); std != text {
			t.Errorf("%.20q: written as %.50q, encoding/json reads %.20q", text, w.Bytes(), std)
		}
	}
	var b strings.Builder
	for c := rune(0); c <= utf8.MaxRune; c++ {
		if 0xd800 <= c && c < 0xe000 {
			continue
		}
		b.WriteRune(c)
		if c < 0x500 || b.Len() > 4000 || c == utf8.MaxRune {
			check(b.String())
			b.Reset()
		}
	}
	for first := range 256 {
		for second := range 256 {
			check(string([]byte{byte(first), byte(second)}))
		}
	}
	for _, text := range []string{"\xed\xa0\x80", "\xed\xbf\xbf", "\xf4\x90\x80\x80", "\xf0\x80\x80\x80", "a\x00\xff", strings.Repeat("a", 5000) + "\x80", "\x80" + strings.Repeat("a", 5000)} {
		check(text)
	}
}

func TestWriterLists(t *testing.T) {
	var w jsonobject.Writer
	jsonobject.List(&w, []string{"a", "<", ""}, w.String)
	if got, want := string(w.Bytes()), `["a","<",""]`; got != want || w.Err() != nil {
		t.Errorf("got %s (%v), want %s", got, w.Err(), want)
	}
	w.Reset()
	jsonobject.List(&w, nil, w.String)
	if got := string(w.Bytes()); got != `[]` || w.Err() != nil {
		t.Errorf("a nil list: got %s (%v)", got, w.Err())
	}
	w.Reset()
	calls := 0
	jsonobject.List(&w, []string{canary + "\xff", "b", "c"}, func(text string) { calls++; w.String(text) })
	if w.Err() == nil || calls != 1 {
		t.Errorf("%d elements written after %v", calls, w.Err())
	}
	if w.Reset(); w.Err() != nil || len(w.Bytes()) != 0 {
		t.Errorf("after Reset: %q, %v", w.Bytes(), w.Err())
	}
}

// TestWriterReset uses one Writer after each kind of failure, as a pool does.
func TestWriterReset(t *testing.T) {
	var w jsonobject.Writer
	for _, value := range []any{"\xff", math.NaN(), deepValue(maxDepth + 1), []any{[]any{func() {}}}, map[string]any{"\xff": 1}} {
		if w.Any(value); w.Err() == nil {
			t.Errorf("%.20T: no error", value)
		}
		w.Reset()
		w.Any(deepValue(maxDepth))
		if w.Err() != nil {
			t.Errorf("after Reset: %v", w.Err())
		}
		w.Reset()
		w.Any(map[string]any{"a": []any{1}})
		if got := string(w.Bytes()); got != `{"a":[1]}` || w.Err() != nil {
			t.Errorf("after Reset: %s, %v", got, w.Err())
		}
		w.Reset()
	}
}

func TestWriterKeepsTheFirstError(t *testing.T) {
	var w jsonobject.Writer
	w.Fail("first")
	w.Fail("second")
	w.Any(math.NaN())
	var refused *jsonobject.Error
	if !errors.As(w.Err(), &refused) || refused.Reason != "first" {
		t.Errorf("got %v, want the first error", w.Err())
	}
}

func BenchmarkWrite(b *testing.B) {
	for _, bench := range []struct{ name, text string }{
		{"flat/0.5MiB", flat(1 << 19)},
		{"flat/1MiB", flat(1 << 20)},
		{"flat/2MiB", flat(1 << 21)},
		{"nested5000/1MiB", deep(1<<20, 5000)},
	} {
		value, err := readDocument(bench.text)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(bench.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(bench.text)))
			var w jsonobject.Writer
			for b.Loop() {
				w.Reset()
				if w.Any(value); w.Err() != nil {
					b.Fatal(w.Err())
				}
			}
		})
	}
}
