package jsonobject_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/courier-profiles/courier-go/internal/jsonobject"
)

// text is a member that is a string; it has to be cleared before it is read.
type text struct {
	Set   bool
	Value string
}

func (m *text) IsZero() bool                   { return !m.Set }
func (m *text) WriteJSON(w *jsonobject.Writer) { w.String(m.Value) }
func (m *text) Clear()                         { *m = text{} }
func (m *text) ReadJSON(r *jsonobject.Reader) bool {
	if m.Set {
		panic("read without having been cleared")
	}
	m.Set = true
	if r.BeginArray() {
		return r.NextElement() && false // gives up in the middle
	}
	var ok bool
	m.Value, ok = r.String()
	return ok
}

// part is a member that is an object with one text in it.
type part struct {
	Set   bool
	Text  text
	Extra map[string]any
}

func (m *part) visit(v jsonobject.Visitor) {
	v.Extra(&m.Extra)
	v.Field("text", &m.Text)
}

func (m *part) IsZero() bool                       { return !m.Set }
func (m *part) WriteJSON(w *jsonobject.Writer)     { w.Object(m.visit) }
func (m *part) Clear()                             { *m = part{} }
func (m *part) ReadJSON(r *jsonobject.Reader) bool { m.Set = true; return r.Object(m.visit) }

type whole struct {
	First, Second, Third text
	Part                 part
	Extra                map[string]any
}

func (m *whole) visit(v jsonobject.Visitor) {
	v.Extra(&m.Extra)
	v.Field("second", &m.Second)
	v.Field("first", &m.First)
	v.Field("part", &m.Part)
	v.Field("third", &m.Third)
}

func set(value string) text { return text{Set: true, Value: value} }

func TestObjectRead(t *testing.T) {
	number := func(n string) json.Number { return json.Number(n) }
	tests := []struct {
		text string
		want whole
	}{
		{`{}`, whole{}},
		{` { "first" : "1" , "third" : "" } `, whole{First: set("1"), Third: set("")}},
		{`{"third":"3","second":"2","first":"1"}`, whole{First: set("1"), Second: set("2"), Third: set("3")}},
		{`{"second":"2","first":"1","third":"3"}`, whole{First: set("1"), Second: set("2"), Third: set("3")}},
		{`{"f\u0069rst":"1"}`, whole{First: set("1")}},
		{`{"First":"1","FIRST":2,"first ":3,"":4}`, whole{Extra: map[string]any{"First": "1", "FIRST": number("2"), "first ": number("3"), "": number("4")}}},
		{`{"unknown":{"first":"1"},"first":"1"}`, whole{First: set("1"), Extra: map[string]any{"unknown": map[string]any{"first": "1"}}}},

		// What does not fit.
		{`{"first":1,"second":null,"third":["x"]}`, whole{Extra: map[string]any{"first": number("1"), "second": nil, "third": []any{"x"}}}},
		{`{"first":"\ud800","second":"2"}`, whole{Second: set("2"), Extra: map[string]any{"first": json.RawMessage(`"\ud800"`)}}},
		{`{"part":"x"}`, whole{Extra: map[string]any{"part": "x"}}},
		{`{"part":[{"text":"x"}]}`, whole{Extra: map[string]any{"part": []any{map[string]any{"text": "x"}}}}},
		{`{"part":{}}`, whole{Part: part{Set: true}}},
		{`{"part":{"text":"x","more":1}}`, whole{Part: part{Set: true, Text: set("x"), Extra: map[string]any{"more": number("1")}}}},
		{`{"part":{"text":1}}`, whole{Part: part{Set: true, Extra: map[string]any{"text": number("1")}}}},

		// Duplicates: the last wins, whichever of them fit.
		{`{"first":"1","first":"2"}`, whole{First: set("2")}},
		{`{"first":"1","first":2}`, whole{Extra: map[string]any{"first": number("2")}}},
		{`{"first":1,"first":"2"}`, whole{First: set("2"), Extra: map[string]any{}}},
		{`{"first":1,"first":2}`, whole{Extra: map[string]any{"first": number("2")}}},
		{`{"first":1,"first":"2","first":3}`, whole{Extra: map[string]any{"first": number("3")}}},
		{`{"first":"1","first":2,"first":"3"}`, whole{First: set("3"), Extra: map[string]any{}}},
		{`{"part":{"text":"1","more":1},"part":{}}`, whole{Part: part{Set: true}}},
		{`{"part":{"more":1},"part":{"text":"x"}}`, whole{Part: part{Set: true, Text: set("x")}}},
		{`{"part":{"more":1},"part":0}`, whole{Extra: map[string]any{"part": number("0")}}},
		{`{"a":{"b":1},"a":{"c":2}}`, whole{Extra: map[string]any{"a": map[string]any{"c": number("2")}}}},

		// A key that is no Go text keeps its object raw, as the member of the
		// nearest object that can hold it.
		{`{"part":{"\ud800":1, "text":"x"},"first":"1"}`, whole{First: set("1"), Extra: map[string]any{"part": json.RawMessage(`{"\ud800":1, "text":"x"}`)}}},
		{`{"part":{"more":{"\ud800":1},"text":"x"}}`, whole{Part: part{Set: true, Text: set("x"), Extra: map[string]any{"more": json.RawMessage(`{"\ud800":1}`)}}}},
		{`{"more":[1,{"a":{"\udc00":1.0}}] }`, whole{Extra: map[string]any{"more": json.RawMessage(`[1,{"a":{"\udc00":1.0}}]`)}}},
		{`{"part":{"\ud800":1},"part":{"text":"x"}}`, whole{Part: part{Set: true, Text: set("x")}, Extra: map[string]any{}}},
	}
	for _, test := range tests {
		r := jsonobject.NewReader(test.text)
		var got whole
		if !r.Object(got.visit) || !r.AtEnd() {
			t.Errorf("%s: not read: %v", test.text, r.Err())
			continue
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.text, diff)
		}
	}
}

func TestObjectReadRefuses(t *testing.T) {
	for _, text := range []string{
		``, `null`, `[]`, `"x"`, `1`, `true`, `{`, `{"first"`, `{"first":`, `{"first":"1"`, `{"first":"1",`, `{"first":"1",}`, `{"part":{"text":"x"}`, `{"part":{"text":"x",}}`,
		`{"first":"1" "second":"2"}`, `{"first":1.}`, `{"part":{"text":tru}}`, "{\"first\":\"\xff\"}", "{\"\xff\":1}", "{\"part\":{\"\xff\":1}}", `{"x":[1,]}`,
		`{"\ud800":1}`, `{"first":"1","\udc00":{},"second":"2"}`, `{"a\ud800\ud800":1}`,
	} {
		r := jsonobject.NewReader(text)
		if r.Object(new(whole).visit) {
			t.Errorf("%q was read", text)
		}
		valid := json.Valid([]byte(text)) && !strings.Contains(text, "\xff")
		if (r.Err() == nil) != (valid || text == "") {
			t.Errorf("%q: error %v", text, r.Err())
		}
	}
	// A key that is no text does not end the reading: what is behind it counts.
	r := jsonobject.NewReader(`{"\ud800":1,"first":"1"},`)
	if r.Object(new(whole).visit) || r.Err() != nil || r.AtEnd() {
		t.Errorf("error %v", r.Err())
	}
}

// TestObjectReadAgain reads members that do not fit many times over: the
// Reader has to be where it was, at the depth where it was.
func TestObjectReadAgain(t *testing.T) {
	text := `{` + strings.Repeat(`"first":[[]],"part":{"\ud800":[{}]},`, 3*maxDepth) + `"third":"x"}`
	r := jsonobject.NewReader(text)
	var got whole
	if !r.Object(got.visit) || !r.AtEnd() {
		t.Fatalf("not read: %v", r.Err())
	}
	want := whole{Third: set("x"), Extra: map[string]any{"first": []any{[]any{}}, "part": json.RawMessage(`{"\ud800":[{}]}`)}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for depth, fits := range map[int]bool{maxDepth - 2: true, maxDepth - 1: true, maxDepth: false} {
		r := jsonobject.NewReader(`{"first":` + nested("[", "", "]", depth) + `}`)
		if r.Object(new(whole).visit) != fits {
			t.Errorf("a member %d deep: %v", depth, r.Err())
		}
	}
}

func TestObjectWrite(t *testing.T) {
	tests := []struct {
		name  string
		value whole
		want  string
	}{
		{"nothing", whole{}, `{}`},
		{"in the order of the fields", whole{First: set("1"), Second: set("2"), Third: set("3")}, `{"second":"2","first":"1","third":"3"}`},
		{"not the first", whole{Third: set("")}, `{"third":""}`},
		{"only others, sorted", whole{Extra: map[string]any{"b": nil, "a": 1, "": "x"}}, `{"":"x","a":1,"b":null}`},
		{"both", whole{First: set("{"), Extra: map[string]any{"a": 1}}, `{"first":"{","a":1}`},
		{"empty Extra", whole{Extra: map[string]any{}}, `{}`},
		{"known key in Extra alone", whole{Extra: map[string]any{"first": 1}}, `{"first":1}`},
		{"object", whole{First: set("1"), Part: part{Set: true}, Third: set("3")}, `{"first":"1","part":{},"third":"3"}`},
		{"object with both", whole{Part: part{Set: true, Text: set("x"), Extra: map[string]any{"first": 1}}}, `{"part":{"text":"x","first":1}}`},
	}
	for _, test := range tests {
		var w jsonobject.Writer
		w.Object(test.value.visit)
		if got := string(w.Bytes()); got != test.want || w.Err() != nil {
			t.Errorf("%s: got %s (%v), want %s", test.name, got, w.Err(), test.want)
		}
	}
}

func TestObjectWriteRefuses(t *testing.T) {
	tests := []struct {
		name  string
		value whole
		field string
	}{
		{"twice", whole{First: set(canary), Extra: map[string]any{"first": canary}}, "first"},
		{"twice, null", whole{First: set(canary), Extra: map[string]any{"first": nil}}, "first"},
		{"twice, inside", whole{Part: part{Set: true, Text: set(canary), Extra: map[string]any{"text": canary}}}, "part.text"},
		{"twice, an object", whole{Part: part{Set: true}, Extra: map[string]any{"part": nil}}, "part"},
		{"text", whole{Third: set(canary + "\xff")}, "third"},
		{"text inside", whole{Part: part{Set: true, Text: set(canary + "\xff")}}, "part.text"},
		{"Extra", whole{First: set("1"), Extra: map[string]any{"a": canary + "\xff"}}, "Extra"},
		{"key of Extra", whole{Extra: map[string]any{canary + "\xff": 1}}, "Extra"},
		{"Extra inside", whole{Part: part{Set: true, Extra: map[string]any{"a": []any{canary + "\xff"}}}}, "part.Extra"},
		{"the first of several", whole{First: set(canary + "\xff"), Second: set(canary + "\xff"), Extra: map[string]any{"first": 1}}, "second"},
	}
	for _, test := range tests {
		var w jsonobject.Writer
		w.Object(test.value.visit)
		var refused *jsonobject.Error
		if !errors.As(w.Err(), &refused) {
			t.Errorf("%s: error %v", test.name, w.Err())
			continue
		}
		if refused.Field != test.field {
			t.Errorf("%s: field %q, want %q", test.name, refused.Field, test.field)
		}
		if strings.Contains(refused.Error(), canary) {
			t.Errorf("%s: %q holds data", test.name, refused)
		}
		if twice := strings.HasPrefix(test.name, "twice"); twice != strings.Contains(refused.Reason, "delete it from one of the two") {
			t.Errorf("%s: reason %q", test.name, refused.Reason)
		}
	}
}

// TestObjectDeepAndWritten holds that what can be read can be written.
func TestObjectDeepAndWritten(t *testing.T) {
	for _, text := range []string{
		`{"a":` + nested("[", "", "]", maxDepth-1) + `}`,
		`{"part":{"a":` + nested(`{"a":`, "1", "}", maxDepth-2) + `}}`,
		`{"first":` + nested("[", `{}`, "]", maxDepth-2) + `}`,
	} {
		r := jsonobject.NewReader(text)
		var value, again whole
		if !r.Object(value.visit) {
			t.Fatalf("%.50s: not read: %v", text, r.Err())
		}
		var w jsonobject.Writer
		if w.Object(value.visit); w.Err() != nil {
			t.Fatalf("%.50s: not written: %v", text, w.Err())
		}
		r = jsonobject.NewReader(string(w.Bytes()))
		if !r.Object(again.visit) || !reflect.DeepEqual(value, again) {
			t.Errorf("%.50s: differs after writing and reading (%v)", text, r.Err())
		}
	}
}

// TestObjectAnyOrder reads the members in every order, with others and with
// duplicates among them.
func TestObjectAnyOrder(t *testing.T) {
	want := whole{
		First: set("1"), Second: set("2"), Third: set("3"), Part: part{Set: true, Text: set("x"), Extra: map[string]any{"first": "y"}},
		Extra: map[string]any{"a": "b"},
	}
	members := []string{`"first":"1"`, `"second":"2"`, `"third":"3"`, `"a":"b"`, `"part":{"first":"y","text":"x"}`}
	var permute func(n int)
	permute = func(n int) {
		if n == 0 {
			for _, text := range []string{
				`{` + strings.Join(members, ",") + `}`,
				`{"third":0,"first":"0","part":{"text":"0"},"a":0,` + strings.Join(members, ",") + `}`,
			} {
				r := jsonobject.NewReader(text)
				var got whole
				if !r.Object(got.visit) || !r.AtEnd() {
					t.Fatalf("%s: not read: %v", text, r.Err())
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Fatalf("%s (-want +got):\n%s", text, diff)
				}
			}
		}
		for i := range n {
			members[i], members[n-1] = members[n-1], members[i]
			permute(n - 1)
			members[i], members[n-1] = members[n-1], members[i]
		}
	}
	permute(len(members))
}
