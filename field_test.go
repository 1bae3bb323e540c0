package courier_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	courier "github.com/courier-profiles/courier-go"
)

func TestFieldStates(t *testing.T) {
	t.Parallel()
	type state struct {
		value       string
		ok          bool
		or          string
		null, unset bool
		mismatch    string
	}
	tests := []struct {
		name  string
		field courier.Field[string]
		want  state
		text  string
	}{
		{"unset", courier.Field[string]{}, state{or: "fallback", unset: true}, `null`},
		{"null", courier.Null[string](), state{or: "fallback", null: true}, `null`},
		{"value", courier.Set("x"), state{value: "x", ok: true, or: "x"}, `"x"`},
		{"zero value", courier.Set(""), state{ok: true}, `""`},
		{"mismatch", readField[string](t, ` [1.0, "\ud800"] `), state{or: "fallback", mismatch: `[1.0, "\ud800"]`}, `[1.0,"\ud800"]`},
		{"another mismatch", readField[string](t, `1`), state{or: "fallback", mismatch: `1`}, `1`},
	}
	for _, test := range tests {
		value, ok := test.field.Get()
		got := state{value, ok, test.field.Or("fallback"), test.field.IsNull(), test.field.IsUnset(), string(test.field.Mismatch())}
		if got != test.want || (test.field.Mismatch() != nil) != (test.want.mismatch != "") {
			t.Errorf("%s: got %+v, want %+v", test.name, got, test.want)
		}
		for _, engine := range engines {
			if text, err := engine.marshal(test.field); err != nil {
				t.Errorf("%s, %s: %v", test.name, engine.name, err)
			} else {
				sameJSON(t, test.name+", "+engine.name, test.text, string(text))
			}
		}
		for _, other := range tests {
			if same := test.name == other.name; test.field.Equal(other.field) != same || cmp.Equal(test.field, other.field) != same {
				t.Errorf("%s equals %s: %t", test.name, other.name, !same)
			}
		}
	}
}

func readField[T any](t testing.TB, text string) courier.Field[T] {
	t.Helper()
	var f courier.Field[T]
	if err := json.Unmarshal([]byte(text), &f); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return f
}

func TestFieldEqual(t *testing.T) {
	t.Parallel()
	custom := func(number string) courier.Field[map[string]any] {
		return courier.Set(map[string]any{"a": []any{json.Number(number)}})
	}
	if !custom("1").Equal(custom("1")) || custom("1").Equal(custom("1.0")) {
		t.Error("Equal is not deep")
	}
	if !readField[string](t, `[1]`).Equal(readField[string](t, ` [1] `)) {
		t.Error("the same mismatch, read twice, is not equal")
	}
	document := `{"email":"a","address":{"country":"FR","x":1.0},"custom":{"n":1.0},"expo":{"tokens":[{"token":"a"}]},"webhook":{"headers":{"a":"b"}},"x":{"y":"\ud800"}}`
	p := readProfile(t, document)
	if diff := cmp.Diff(p, readProfile(t, document)); diff != "" {
		t.Errorf("the same profile, read twice, differs: %s", diff)
	}
	for _, other := range []string{`"email":"b"`, `"email":null`, `"email":1`, `"address":{"country":"FR","x":1.00}`, `"custom":{"n":1}`, `"expo":{"tokens":["a"]}`, `"x":{"y":"\ud801"}`, `"z":null`} {
		if q := readProfile(t, strings.TrimSuffix(document, "}")+","+other+"}"); cmp.Equal(p, q) {
			t.Errorf("equal with %s", other)
		}
	}
}

func TestSetOrNullAndSetOrUnset(t *testing.T) {
	t.Parallel()
	text, empty := "x", ""
	tests := [][2]courier.Field[string]{
		{courier.SetOrNull(&text), courier.Set("x")}, {courier.SetOrNull(&empty), courier.Set("")}, {courier.SetOrNull[string](nil), courier.Null[string]()},
		{courier.SetOrUnset(&text), courier.Set("x")}, {courier.SetOrUnset(&empty), courier.Set("")}, {courier.SetOrUnset[string](nil), courier.Field[string]{}},
	}
	text = "changed" // a Field has the value, not the pointer
	for i, test := range tests {
		if !test[0].Equal(test[1]) {
			t.Errorf("%d: got %+v, want %+v", i, test[0], test[1])
		}
	}
}

// TestFieldReads: reading replaces what the Field held, and refuses what is not JSON.
func TestFieldReads(t *testing.T) {
	t.Parallel()
	for _, engine := range engines {
		f := courier.Set("before")
		for _, step := range []struct {
			text string
			want courier.Field[string]
		}{
			{`"a"`, courier.Set("a")}, {` null `, courier.Null[string]()}, {`1`, readField[string](t, `1`)}, {` "b" `, courier.Set("b")}, {`"\ud800"`, readField[string](t, `"\ud800"`)}, {`""`, courier.Set("")}, {`"\ud83d\ude00\u0000"`, courier.Set("😀\x00")},
		} {
			if err := engine.unmarshal([]byte(step.text), &f); err != nil || !f.Equal(step.want) {
				t.Errorf("%s: %s is read as %+v: %v", engine.name, step.text, f, err)
			}
		}
		for _, text := range []string{``, `"c`, `"c" 1`, "\"\xff\"", "\"\xed\xa0\x80\"", `nul`} {
			if err := engine.unmarshal([]byte(text), &f); err == nil {
				t.Errorf("%s: %q is read as %+v", engine.name, text, f)
			}
			if err := f.UnmarshalJSON([]byte(text)); err == nil {
				t.Errorf("UnmarshalJSON: %q is read as %+v", text, f)
			}
			if err := engine.unmarshal([]byte(`{"F":[`+text+`]}`), &struct{ F courier.Field[any] }{}); err == nil && text != "" {
				t.Errorf("%s, Field[any] in a struct: %q was read", engine.name, text)
			}
		}
	}
}

// TestMismatch: JSON that does not fit stays in its field at every level, is written back
// unchanged, and is replaced by Set.
func TestMismatch(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		document string
		mismatch func(courier.Profile) (json.RawMessage, bool) // and whether Get has a value
		want     string
		set      func(*courier.Profile)
		after    string
	}{
		{`{"email_verified":"true"}`, func(p courier.Profile) (json.RawMessage, bool) {
			_, ok := p.EmailVerified.Get()
			return p.EmailVerified.Mismatch(), ok || p.EmailVerified.Or(false)
		}, `"true"`, func(p *courier.Profile) { p.EmailVerified = courier.Set(true) }, `{"email_verified":true}`},
		{`{"webhook":{"authentication":{"password":1.50,"mode":"basic"},"headers":{"a":1}}}`, func(p courier.Profile) (json.RawMessage, bool) {
			password := p.Webhook.Or(courier.Webhook{}).Authentication.Or(courier.WebhookAuthentication{}).Password
			_, ok := password.Get()
			return password.Mismatch(), ok
		}, `1.50`, func(p *courier.Profile) {
			change(&p.Webhook, func(w *courier.Webhook) {
				change(&w.Authentication, func(a *courier.WebhookAuthentication) { a.Password = courier.Null[string]() })
			})
		}, `{"webhook":{"authentication":{"password":null,"mode":"basic"},"headers":{"a":1}}}`},
		{`{"custom":[{"\ud800":1.0}]}`, func(p courier.Profile) (json.RawMessage, bool) {
			_, ok := p.Custom.Get()
			return p.Custom.Mismatch(), ok
		}, `[{"\ud800":1.0}]`, func(p *courier.Profile) { p.Custom = courier.Set(map[string]any{}) }, `{"custom":{}}`},
	} {
		p := readProfile(t, test.document)
		if got, ok := test.mismatch(p); string(got) != test.want || ok {
			t.Errorf("%s: mismatch %s, want %s; Get or Or has a value: %t", test.document, got, test.want, ok)
		}
		sameJSON(t, "unchanged", test.document, writeProfile(t, p))
		test.set(&p)
		if got, _ := test.mismatch(p); got != nil {
			t.Errorf("%s: after Set, the mismatch is %s", test.document, got)
		}
		sameJSON(t, "after Set", test.after, writeProfile(t, p))
	}
}

// TestFieldOfAnyType: Set takes any type, and a Field reads what it writes.
func TestFieldOfAnyType(t *testing.T) {
	t.Parallel()
	type point struct{ X, Y int }
	checkFieldOf(t, 5, `5`)
	checkFieldOf(t, 1.5, `1.5`)
	checkFieldOf(t, json.Number("1.0"), `1.0`)
	checkFieldOf(t, textKey("pro"), `"text-pro"`, "written differently than read")
	checkFieldOf(t, point{1, 2}, `{"X":1,"Y":2}`)
	checkFieldOf(t, []int{1, 2}, `[1,2]`)
	checkFieldOf(t, []any{"a", nil, json.Number("1.0")}, `["a",null,1.0]`)
	checkFieldOf[any](t, json.Number("9007199254740993"), `9007199254740993`)
	checkFieldOf[any](t, map[string]any{"n": json.Number("1E400"), "h": json.RawMessage(`"\ud800"`)}, `{"n":1E400,"h":"\ud800"}`)
	checkFieldOf(t, map[string]json.Number{"n": "1.50"}, `{"n":1.50}`)
	checkFieldOf(t, []map[string]any{{"n": json.Number("9007199254740993")}}, `[{"n":9007199254740993}]`)
	checkFieldOf(t, struct{ Any any }{json.Number("1.0")}, `{"Any":1.0}`)
	checkFieldOf(t, json.RawMessage(`{"b":1.0,"a":"\ud800"}`), `{"b":1.0,"a":"\ud800"}`)
	checkFieldOf(t, []byte("abc"), `"YWJj"`)
	checkFieldOf(t, [3]byte{1, 2, 3}, `[1,2,3]`)
	checkFieldOf(t, 90*time.Second, `90000000000`)
	checkFieldOf(t, struct {
		N int `json:"n,string"`
	}{7}, `{"n":"7"}`)
	checkFieldOf(t, map[int]string{1: "a"}, `{"1":"a"}`)
	checkFieldOf(t, time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC), `"2026-01-02T03:04:05.000000006Z"`)
	checkFieldOf(t, courier.TokenList("a"), `["a"]`)
	checkFieldOf(t, courier.Profile{Email: courier.Set("e"), Extra: map[string]any{"n": json.Number("1.0")}}, `{"email":"e","n":1.0}`)
	checkFieldOf(t, courier.Preferences{Extra: map[string]any{"n": json.Number("1.0")}}, `{"n":1.0}`)
	checkFieldOf(t, courier.Address{Country: courier.Set("FR"), Extra: map[string]any{"n": json.Number("1.0")}}, `{"country":"FR","n":1.0}`)
}

// checkFieldOf writes a Field and reads it, alone and in a struct, with each engine. With
// a reason, it is only written.
func checkFieldOf[T any](t *testing.T, value T, want string, onlyWritten ...string) {
	t.Helper()
	type holder struct {
		F courier.Field[T]  `json:"f,omitzero"`
		P *courier.Field[T] `json:"p,omitempty"`
		U courier.Field[T]  `json:"u,omitzero"`
	}
	field := courier.Set(value)
	for _, writer := range engines {
		for _, reader := range engines {
			text, err := writer.marshal(field)
			if err != nil {
				t.Errorf("%s, %T: %v", writer.name, field, err)
				continue
			}
			sameJSON(t, fmt.Sprintf("%s, %T", writer.name, field), want, string(text))
			inStruct, err := writer.marshal(&holder{F: field, P: &field})
			if err != nil {
				t.Errorf("%s, %T in a struct: %v", writer.name, field, err)
				continue
			}
			sameJSON(t, fmt.Sprintf("%s, %T in a struct", writer.name, field), `{"f":`+want+`,"p":`+want+`}`, string(inStruct))
			if len(onlyWritten) > 0 {
				continue
			}
			var got courier.Field[T]
			var held holder
			if err := errors.Join(reader.unmarshal(text, &got), reader.unmarshal(inStruct, &held)); err != nil {
				t.Errorf("%s, %T: reading %s: %v", reader.name, field, text, err)
			} else if !got.Equal(field) || !held.F.Equal(field) || held.P == nil || !held.P.Equal(field) || !held.U.IsUnset() {
				t.Errorf("%s, %T: %s is read as %+v, %+v", reader.name, field, text, got, held)
			}
			if err := reader.unmarshal([]byte("null"), &got); err != nil || !got.IsNull() {
				t.Errorf("%s, %T: null is read as %+v: %v", reader.name, field, got, err)
			}
		}
	}
}

// TestFieldOfAnyTypeKeeps: JSON that does not fit the caller's type is kept as well, and
// never replaced by something near it.
func TestFieldOfAnyTypeKeeps(t *testing.T) {
	t.Parallel()
	keeps[any](t, `{"\ud800":1.0,"\ud801":2}`, `[{"\udc00":1}]`, `{"a":"\ud800"}`, `"\ud800"`, `{"a":{"b":1},"a":{"c":1}}`)
	keeps[string](t, `1`, `"\ud800"`, `[]`, `{}`, `false`)
	keeps[bool](t, `"true"`, `1`, `[]`)
	keeps[int](t, `1.0`, `1.5`, `9223372036854775808`, `"1"`, `1e2`)
	keeps[float64](t, `1e400`, `"1"`)
	keeps[time.Time](t, `"yesterday"`, `1591814489093`, `""`, `"2026-01-02"`, `"2020-02-30T00:00:00Z"`, `["2026-01-02T03:04:05Z"]`, `"\ud800"`)
	keeps[[]time.Time](t, `["2026-01-02T03:04:05Z","yesterday"]`)
	keeps[struct{ At time.Time }](t, `{"At":"yesterday"}`)
	keeps[json.Number](t, `"1"`, `true`)
	keeps[[]string](t, `["a",null]`, `["a","\ud800"]`, `["a",1]`, `"a"`)
	keeps[map[string]string](t, `{"a":null}`, `{"\ud800":"a","\ud801":"b"}`, `{"a":"\ud800"}`, `{"a":1}`)
	keeps[map[string]any](t, `{"a":{"\ud800":1,"\ud801":2}}`, `{"\ud800":1}`, `[]`)
	keeps[[]map[string]any](t, `[{"\ud800":1,"\ud801":2}]`, `[{"a":{"\ud800":1}}]`)
	keeps[map[string]map[string]int](t, `{"a":{"\ud800":1,"\ud801":2}}`)
	keeps[struct{ M map[string]int }](t, `{"M":{"\ud800":1,"\ud801":2}}`)
	keeps[courier.Tokens](t, `["a",null]`, `[{"token":"a","x":1}]`)
	keeps[courier.Profile](t, `{"\ud800":1}`, `[]`)
	keeps[[]courier.Profile](t, `[{"email":1,"x":1.0}]`, `[{"\ud800":1}]`)
}

func keeps[T any](t *testing.T, texts ...string) {
	t.Helper()
	for _, text := range texts {
		for _, engine := range engines {
			var f courier.Field[T]
			if err := engine.unmarshal([]byte(text), &f); err != nil {
				t.Errorf("%s, %T: %s: %v", engine.name, f, text, err)
			} else if got, err := engine.marshal(f); err != nil {
				t.Errorf("%s, %T: %s: %v", engine.name, f, text, err)
			} else {
				sameJSON(t, fmt.Sprintf("%s, %T", engine.name, f), text, string(got))
			}
		}
	}
}

// TestAddressAlone: an Address or channel object by itself is read and written by v2, and
// from Go 1.27 on by v1 as well. It is a plain struct there: numbers in Extra are float64,
// and v1 has its own rules for the case of keys and for invalid text.
func TestAddressAlone(t *testing.T) {
	t.Parallel()
	for _, engine := range engines {
		if engine.name == "encoding/json" && strings.HasPrefix(runtime.Version(), "go1.26") {
			continue
		}
		for _, text := range []string{
			`{}`, `{"country":"FR","region":null,"x":null}`, `{"country":[1],"x":"<"}`, `{"x":{"n":1.5}}`,
		} {
			var address courier.Address
			if err := engine.unmarshal([]byte(text), &address); err != nil {
				t.Errorf("%s: %s: %v", engine.name, text, err)
				continue
			}
			for _, value := range []any{address, &address} {
				got, err := engine.marshal(value)
				if err != nil {
					t.Errorf("%s: %s: %v", engine.name, text, err)
					continue
				}
				sameJSON(t, engine.name, text, string(got))
			}
		}
		if engine.name == "encoding/json" {
			continue
		}
		for _, bad := range []courier.Address{{Country: courier.Set("\xff")}, {Extra: map[string]any{"a": "\xff"}}, {Country: courier.Set("a"), Extra: map[string]any{"country": "b"}}} {
			if text, err := engine.marshal(bad); err == nil {
				t.Errorf("%s: %+v is written as %q", engine.name, bad, text)
			}
		}
	}
}
