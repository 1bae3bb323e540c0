package courier_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	courier "github.com/courier-profiles/courier-go"
	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"
)

func TestFieldStates(t *testing.T) {
	t.Parallel()
	type state struct {
		Value       string
		OK          bool
		Or          string
		Null, Unset bool
		Mismatch    string
	}
	tests := []struct {
		name  string
		field courier.Field[string]
		want  state
	}{
		{"unset", courier.Field[string]{}, state{Or: "fallback", Unset: true}},
		{"null", courier.Null[string](), state{Or: "fallback", Null: true}},
		{"value", courier.Set("x"), state{Value: "x", OK: true, Or: "x"}},
		{"zero value", courier.Set(""), state{OK: true}},
		{"mismatch", readField[string](t, ` [1.0, "\ud800"] `),
			state{Or: "fallback", Mismatch: `[1.0, "\ud800"]`}},
		{"another mismatch", readField[string](t, `false`),
			state{Or: "fallback", Mismatch: `false`}},
	}
	for _, test := range tests {
		field := test.field
		value, ok := field.Get()
		got := state{
			value, ok, field.Or("fallback"), field.IsNull(), field.IsUnset(),
			string(field.Mismatch()),
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
		if isNil := field.Mismatch() == nil; isNil != (test.want.Mismatch == "") {
			t.Errorf("%s: got a nil Mismatch: %t", test.name, isNil)
		}
		for _, other := range tests {
			want := test.name == other.name
			if got := field.Equal(other.field); got != want {
				t.Errorf("%s equals %s: got %t, want %t", test.name, other.name, got, want)
			}
			if got := cmp.Equal(field, other.field); got != want {
				t.Errorf("cmp: %s equals %s: got %t, want %t", test.name, other.name, got, want)
			}
		}
	}
}

// readField reads a Field.
func readField[T any](t testing.TB, text string) courier.Field[T] {
	t.Helper()
	var f courier.Field[T]
	if err := json.Unmarshal([]byte(text), &f); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return f
}

func TestSetOrNullAndSetOrUnset(t *testing.T) {
	t.Parallel()
	text, empty := "x", ""
	tests := []struct {
		name      string
		got, want courier.Field[string]
	}{
		{"SetOrNull, a value", courier.SetOrNull(&text), courier.Set("x")},
		{"SetOrNull, the zero value", courier.SetOrNull(&empty), courier.Set("")},
		{"SetOrNull, nil", courier.SetOrNull[string](nil), courier.Null[string]()},
		{"SetOrUnset, a value", courier.SetOrUnset(&text), courier.Set("x")},
		{"SetOrUnset, the zero value", courier.SetOrUnset(&empty), courier.Set("")},
		{"SetOrUnset, nil", courier.SetOrUnset[string](nil), courier.Field[string]{}},
	}
	text = "changed" // a Field has the value, not the pointer
	for _, test := range tests {
		if !test.got.Equal(test.want) {
			t.Errorf("%s: got %v, want %v", test.name, test.got, test.want)
		}
	}
}

func TestFieldEqualIsDeep(t *testing.T) {
	t.Parallel()
	const document = `{"email":"a","address":{"country":"FR","x":1.0},"custom":{"n":1.0},
		"expo":{"tokens":[{"token":"a"}]},"webhook":{"headers":{"a":"b"}},"x":{"y":"\ud800"}`
	p := readProfile(t, document+"}")
	if diff := cmp.Diff(p, readProfile(t, document+"}")); diff != "" {
		t.Errorf("the same profile, read twice, differs:\n%s", diff)
	}
	for _, member := range []string{
		`"email":"b"`, `"email":null`, `"email":1`, `"address":{"country":"FR","x":1.00}`,
		`"custom":{"n":1}`, `"expo":{"tokens":["a"]}`, `"webhook":{"headers":{"a":"c"}}`,
		`"x":{"y":"\ud801"}`, `"z":null`,
	} {
		if cmp.Equal(p, readProfile(t, document+","+member+"}")) {
			t.Errorf("got a profile with %s equal to one without", member)
		}
	}
}

// TestFieldsDoNotCompile: == would compare addresses. Types that are not comparable do not
// compile with it.
func TestFieldsDoNotCompile(t *testing.T) {
	t.Parallel()
	for _, of := range []reflect.Type{
		reflect.TypeFor[courier.Field[string]](),
		reflect.TypeFor[courier.Field[bool]](),
		reflect.TypeFor[courier.Address](),
		reflect.TypeFor[courier.Profile](),
	} {
		if of.Comparable() {
			t.Errorf("%s is comparable with ==", of)
		}
	}
}

func TestFieldUpdate(t *testing.T) {
	t.Parallel()
	edit := func(text *string) { *text += "!" }
	for _, test := range []struct {
		name        string
		field, want courier.Field[string]
		ok          bool
	}{
		{"unset", courier.Field[string]{}, courier.Set("!"), true},
		{"null", courier.Null[string](), courier.Set("!"), true},
		{"value", courier.Set("a"), courier.Set("a!"), true},
		{"mismatch", readField[string](t, `1`), readField[string](t, `1`), false},
	} {
		got, before := test.field, test.field
		if ok := got.Update(edit); ok != test.ok {
			t.Errorf("%s: Update returns %t, want %t", test.name, ok, test.ok)
		}
		if !got.Equal(test.want) {
			t.Errorf("%s: got %v, want %v", test.name, got, test.want)
		}
		if !test.field.Equal(before) {
			t.Errorf("%s: a copy changed to %v", test.name, test.field)
		}
	}
}

// TestUpdateOfACopy: a copy of a profile keeps its values at every depth, but shares maps.
func TestUpdateOfACopy(t *testing.T) {
	t.Parallel()
	const document = `{"custom":{"plan":"free"},
		"webhook":{"authentication":{"mode":"basic","username":"u"},"url":"u"}}`
	before := readProfile(t, document)
	after := before
	after.Webhook.Update(func(w *courier.Webhook) {
		w.Authentication.Update(func(a *courier.WebhookAuthentication) {
			a.Mode = courier.Set("bearer")
			a.Username = courier.Null[string]()
		})
	})
	wantJSON(t, "the copy", document, profileJSON(t, before))
	wantJSON(t, "the updated profile", `{"custom":{"plan":"free"},
		"webhook":{"authentication":{"mode":"bearer","username":null},"url":"u"}}`,
		profileJSON(t, after))

	after.Custom.Update(func(custom *map[string]any) { (*custom)["plan"] = "pro" })
	if got := before.Custom.Or(nil)["plan"]; got != "pro" {
		t.Errorf("got %v in the copy's map, want the map to be shared", got)
	}
}

// TestDeepCopy: a copy of everything, unexported fields included, is the same profile. Of a
// state that is the address of a global, such a copy means something else.
func TestDeepCopy(t *testing.T) {
	t.Parallel()
	for _, document := range append(keptProfiles,
		`{"email":null,"email_verified":false,"name":"","custom":{"a":[1.0]},"locale":5}`,
	) {
		p := readProfile(t, document)
		twin := deepCopy(p)
		if !cmp.Equal(p, twin) {
			t.Errorf("%.200s: the copy is %v", document, twin)
		}
		wantJSON(t, "the copy", document, profileJSON(t, twin))
	}
	null, unset := courier.Null[string](), courier.Field[string]{}
	if twin := deepCopy(null); !twin.IsNull() {
		t.Errorf("got %v as a copy of null", twin)
	}
	if twin := deepCopy(unset); !twin.IsUnset() {
		t.Errorf("got %v as a copy of unset", twin)
	}
	custom := courier.Set(map[string]any{"a": 1})
	deepCopy(custom).Or(nil)["a"] = 2
	if !custom.Equal(courier.Set(map[string]any{"a": 1})) {
		t.Errorf("deepCopy shares a map: %v", custom)
	}
}

// deepCopy copies v as libraries for deep copies do: with unexported fields, and with
// everything behind pointers, interfaces, slices, and maps.
func deepCopy[T any](v T) T {
	detach(reflect.ValueOf(&v).Elem())
	return v
}

// detach replaces everything that v shares with the value it was copied from.
func detach(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			field := v.Field(i)
			detach(reflect.NewAt(field.Type(), field.Addr().UnsafePointer()).Elem())
		}
	case reflect.Pointer:
		if !v.IsNil() {
			twin := reflect.New(v.Type().Elem())
			twin.Elem().Set(v.Elem())
			detach(twin.Elem())
			v.Set(twin)
		}
	case reflect.Interface:
		if !v.IsNil() {
			v.Set(detached(v.Elem()))
		}
	case reflect.Slice:
		if !v.IsNil() {
			twin := reflect.MakeSlice(v.Type(), v.Len(), v.Len())
			for i := range v.Len() {
				twin.Index(i).Set(detached(v.Index(i)))
			}
			v.Set(twin)
		}
	case reflect.Map:
		if !v.IsNil() {
			twin := reflect.MakeMap(v.Type())
			for key, value := range v.Seq2() {
				twin.SetMapIndex(key, detached(value))
			}
			v.Set(twin)
		}
	}
}

// detached returns a copy of v that shares nothing with it.
func detached(v reflect.Value) reflect.Value {
	twin := reflect.New(v.Type()).Elem()
	twin.Set(v)
	detach(twin)
	return twin
}

// TestUnsetFieldHasNoJSON: written as null, it would delete what it promises to leave.
func TestUnsetFieldHasNoJSON(t *testing.T) {
	t.Parallel()
	type withoutOmitzero struct {
		Name courier.Field[string] `json:"name"`
	}
	type withOmitempty struct {
		Name courier.Field[string] `json:"name,omitempty"`
	}
	type withOmitzero struct {
		Name courier.Field[string] `json:"name,omitzero"`
	}
	unset := courier.SetOrUnset[string](nil)
	for _, value := range []any{
		unset, &unset, []any{unset}, map[string]any{"name": unset},
		map[string]courier.Field[string]{"name": unset}, courier.Set(unset),
		withoutOmitzero{}, withOmitempty{}, &withOmitempty{},
	} {
		for _, p := range []courier.Profile{
			{Extra: map[string]any{"x": value}},
			{Custom: courier.Set(map[string]any{"x": value})},
			{Address: courier.Set(courier.Address{Extra: map[string]any{"x": value}})},
		} {
			body, err := sentBody(t, func(client *courier.Client) error {
				_, err := client.Profiles.Merge(t.Context(), "user-1", p)
				return err
			})
			if body != "" {
				t.Errorf("%T: sent %s", value, body)
			}
			wantUnset(t, err)
		}
		for _, version := range jsonVersions {
			_, err := version.marshal(value)
			wantUnset(t, err)
		}
		wantUnset(t, new(courier.Profile).SetCustom(map[string]any{"x": value}))
	}
	for _, version := range jsonVersions {
		text, err := version.marshal(withOmitzero{})
		if err != nil {
			t.Errorf("%s, with omitzero: %v", version.name, err)
		}
		wantJSON(t, version.name, `{}`, string(text))
	}
}

// wantUnset fails unless err says that an unset Field cannot be written, and what to do.
func wantUnset(t *testing.T, err error) {
	t.Helper()
	const want = "an unset Field has no JSON: leave the key out, or use Null to remove it"
	if got := wantError[*courier.ValidationError](t, err).Reason; got != want {
		t.Errorf("got the reason %q, want %q", got, want)
	}
}

func TestFieldString(t *testing.T) {
	t.Parallel()
	type point struct{ X, Y int }
	for _, test := range []struct {
		field fmt.Stringer
		want  string
	}{
		{courier.Field[string]{}, "unset"},
		{courier.Null[string](), "null"},
		{courier.Set("a b"), "a b"},
		{courier.Set(""), ""},
		{courier.Set(false), "false"},
		{courier.Set([]string{"ios", "android"}), "[ios android]"},
		{courier.Set(point{1, 2}), "{1 2}"},
		{courier.Set(90 * time.Second), "1m30s"},
		{courier.Set[any](nil), "<nil>"},
		{courier.Set(courier.Discord{UserID: courier.Set("u")}), "{unset u map[]}"},
		{courier.Set(courier.Profile{Email: courier.Set("e")}), `{"email":"e"}`},
		{readField[string](t, `{"a": 1.0}`), `{"a": 1.0}`},
		{readField[bool](t, `"true"`), `"true"`},
	} {
		for _, verb := range []string{"%v", "%+v", "%s"} {
			if got := fmt.Sprintf(verb, test.field); got != test.want {
				t.Errorf("%s of a %T: got %q, want %q", verb, test.field, got, test.want)
			}
		}
	}
}

// TestFieldReads: reading replaces what the Field held, and refuses what is not JSON.
func TestFieldReads(t *testing.T) {
	t.Parallel()
	for _, version := range jsonVersions {
		f := courier.Set("before")
		for _, step := range []struct {
			text string
			want courier.Field[string]
		}{
			{`"a"`, courier.Set("a")},
			{` null `, courier.Null[string]()},
			{`1`, readField[string](t, `1`)},
			{` "b" `, courier.Set("b")},
			{`"\ud800"`, readField[string](t, `"\ud800"`)},
			{`""`, courier.Set("")},
			{`"\ud83d\ude00\u0000"`, courier.Set("😀\x00")},
		} {
			if err := version.unmarshal([]byte(step.text), &f); err != nil {
				t.Errorf("%s: %s: %v", version.name, step.text, err)
			}
			if !f.Equal(step.want) {
				t.Errorf("%s: %s is read as %v", version.name, step.text, f)
			}
		}
	}
}

func TestFieldRefusesWhatIsNotJSON(t *testing.T) {
	t.Parallel()
	type holder struct{ F courier.Field[any] }
	for _, text := range []string{
		``, `"c`, `"c" 1`, "\"\xff\"", "\"\xed\xa0\x80\"", `nul`, `[1,]`, `{"a":1,}`,
	} {
		var f courier.Field[any]
		for _, version := range jsonVersions {
			if err := version.unmarshal([]byte(text), &f); err == nil {
				t.Errorf("%s: %q is read as %v", version.name, text, f)
			}
			var h holder
			if err := version.unmarshal([]byte(`{"F":`+text+`}`), &h); err == nil {
				t.Errorf("%s: in a struct, %q is read as %v", version.name, text, h)
			}
		}
		if err := f.UnmarshalJSON([]byte(text)); err == nil {
			t.Errorf("UnmarshalJSON: %q is read as %v", text, f)
		}
	}
}

// TestFieldRefusesTextThatIsNotUTF8: also where the caller's options would let it pass.
func TestFieldRefusesTextThatIsNotUTF8(t *testing.T) {
	t.Parallel()
	f := courier.Set("CANARY\xff")
	for _, value := range []any{f, &f, struct{ F courier.Field[string] }{f}} {
		for _, version := range jsonVersions {
			_, err := version.marshal(value)
			wantRefused(t, err, version.name, "", reasonUTF8)
		}
		_, err := jsonv2.Marshal(value, jsontext.AllowInvalidUTF8(true))
		wantRefused(t, err, "AllowInvalidUTF8", "", reasonUTF8)
	}
}

// TestMismatch: JSON that does not fit stays in its field at every level, is written back
// unchanged, and is replaced by Set.
func TestMismatch(t *testing.T) {
	t.Parallel()
	password := func(p courier.Profile) courier.Field[string] {
		webhook, _ := p.Webhook.Get()
		authentication, _ := webhook.Authentication.Get()
		return authentication.Password
	}
	for _, test := range []struct {
		document string
		mismatch func(courier.Profile) json.RawMessage
		want     string
		set      func(*courier.Profile)
		after    string
	}{
		{
			document: `{"email_verified":"true"}`,
			mismatch: func(p courier.Profile) json.RawMessage { return p.EmailVerified.Mismatch() },
			want:     `"true"`,
			set:      func(p *courier.Profile) { p.EmailVerified = courier.Set(true) },
			after:    `{"email_verified":true}`,
		},
		{
			document: `{"custom":[{"\ud800":1.0}]}`,
			mismatch: func(p courier.Profile) json.RawMessage { return p.Custom.Mismatch() },
			want:     `[{"\ud800":1.0}]`,
			set:      func(p *courier.Profile) { p.Custom = courier.Set(map[string]any{}) },
			after:    `{"custom":{}}`,
		},
		{
			document: `{"webhook":{"authentication":{"password":1.50,"mode":"basic"}}}`,
			mismatch: func(p courier.Profile) json.RawMessage { return password(p).Mismatch() },
			want:     `1.50`,
			set: func(p *courier.Profile) {
				p.Webhook.Update(func(w *courier.Webhook) {
					w.Authentication.Update(func(a *courier.WebhookAuthentication) {
						a.Password = courier.Set("new")
					})
				})
			},
			after: `{"webhook":{"authentication":{"password":"new","mode":"basic"}}}`,
		},
	} {
		p := readProfile(t, test.document)
		if got := string(test.mismatch(p)); got != test.want {
			t.Errorf("%s: got the mismatch %s, want %s", test.document, got, test.want)
		}
		wantJSON(t, "unchanged", test.document, profileJSON(t, p))
		test.set(&p)
		if got := test.mismatch(p); got != nil {
			t.Errorf("%s: after Set, got the mismatch %s", test.document, got)
		}
		wantJSON(t, "after Set", test.after, profileJSON(t, p))
	}
}

// TestMismatchIsACopy: a caller who edits it does not edit the Field.
func TestMismatchIsACopy(t *testing.T) {
	t.Parallel()
	f := readField[string](t, `[1]`)
	f.Mismatch()[1] = '2'
	if got := string(f.Mismatch()); got != `[1]` {
		t.Errorf("the mismatch changed to %s", got)
	}
}

// TestFieldOfAnyType: Set takes any type, and a Field reads what it writes.
func TestFieldOfAnyType(t *testing.T) {
	t.Parallel()
	type point struct{ X, Y int }
	type quoted struct {
		N int `json:"n,string"`
	}
	extra := map[string]any{"n": json.Number("1.0")}
	fieldReadsWhatItWrites(t, 5, `5`)
	fieldReadsWhatItWrites(t, 1.5, `1.5`)
	fieldReadsWhatItWrites(t, json.Number("1.0"), `1.0`)
	fieldReadsWhatItWrites(t, point{1, 2}, `{"X":1,"Y":2}`)
	fieldReadsWhatItWrites(t, []int{1, 2}, `[1,2]`)
	fieldReadsWhatItWrites(t, []any{"a", nil, json.Number("1.0")}, `["a",null,1.0]`)
	fieldReadsWhatItWrites[any](t, json.Number("9007199254740993"), `9007199254740993`)
	fieldReadsWhatItWrites[any](t, map[string]any{
		"n": json.Number("1E400"), "h": json.RawMessage(`"\ud800"`),
	}, `{"n":1E400,"h":"\ud800"}`)
	fieldReadsWhatItWrites(t, map[string]json.Number{"n": "1.50"}, `{"n":1.50}`)
	fieldReadsWhatItWrites(t, []map[string]any{extra}, `[{"n":1.0}]`)
	fieldReadsWhatItWrites(t, struct{ Any any }{json.Number("1.0")}, `{"Any":1.0}`)
	fieldReadsWhatItWrites(t, json.RawMessage(`{"b":1.0,"a":"\ud800"}`), `{"b":1.0,"a":"\ud800"}`)
	fieldReadsWhatItWrites(t, []byte("abc"), `"YWJj"`)
	fieldReadsWhatItWrites(t, [3]byte{1, 2, 3}, `[1,2,3]`)
	fieldReadsWhatItWrites(t, 90*time.Second, `90000000000`)
	fieldReadsWhatItWrites(t, quoted{7}, `{"n":"7"}`)
	fieldReadsWhatItWrites(t, map[int]string{1: "a"}, `{"1":"a"}`)
	fieldReadsWhatItWrites(t, time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC),
		`"2026-01-02T03:04:05.000000006Z"`)
	fieldReadsWhatItWrites(t, courier.TokenList("a"), `["a"]`)
	fieldReadsWhatItWrites(t, courier.Profile{Email: courier.Set("e"), Extra: extra},
		`{"email":"e","n":1.0}`)
	fieldReadsWhatItWrites(t, courier.Preferences{Extra: extra}, `{"n":1.0}`)
	fieldReadsWhatItWrites(t, courier.Address{Country: courier.Set("FR"), Extra: extra},
		`{"country":"FR","n":1.0}`)
}

// fieldReadsWhatItWrites writes a Field and reads it, alone and inside the caller's struct,
// with each version of encoding/json.
func fieldReadsWhatItWrites[T any](t *testing.T, value T, want string) {
	t.Helper()
	type holder struct {
		F courier.Field[T]  `json:"f,omitzero"`
		P *courier.Field[T] `json:"p,omitempty"`
		U courier.Field[T]  `json:"u,omitzero"`
	}
	field := courier.Set(value)
	for _, writer := range jsonVersions {
		alone, err := writer.marshal(field)
		if err != nil {
			t.Errorf("%s, %T: %v", writer.name, field, err)
			continue
		}
		wantJSON(t, fmt.Sprintf("%s, %T", writer.name, field), want, string(alone))
		inStruct, err := writer.marshal(&holder{F: field, P: &field})
		if err != nil {
			t.Errorf("%s, %T in a struct: %v", writer.name, field, err)
			continue
		}
		wantJSON(t, fmt.Sprintf("%s, %T in a struct", writer.name, field),
			`{"f":`+want+`,"p":`+want+`}`, string(inStruct))
		for _, reader := range jsonVersions {
			var got courier.Field[T]
			if err := reader.unmarshal(alone, &got); err != nil {
				t.Errorf("%s, %T: %v", reader.name, field, err)
			}
			if !got.Equal(field) {
				t.Errorf("%s, %T: %s is read as %v", reader.name, field, alone, got)
			}
			var held holder
			if err := reader.unmarshal(inStruct, &held); err != nil {
				t.Errorf("%s, %T in a struct: %v", reader.name, field, err)
			}
			if wanted := (holder{F: field, P: &field}); !cmp.Equal(held, wanted) {
				t.Errorf("%s: %s is read as %v", reader.name, inStruct, held)
			}
		}
	}
}

// TestFieldOfAnyTypeKeeps: JSON that does not fit the caller's type is kept as well, and
// never replaced by something near it.
func TestFieldOfAnyTypeKeeps(t *testing.T) {
	t.Parallel()
	fieldKeeps[any](t, `{"\ud800":1.0,"\ud801":2}`, `[{"\udc00":1}]`, `{"a":"\ud800"}`,
		`"\ud800"`, `{"a":{"b":1},"a":{"c":1}}`)
	fieldKeeps[string](t, `1`, `"\ud800"`, `[]`, `{}`, `false`)
	fieldKeeps[bool](t, `"true"`, `1`, `[]`)
	fieldKeeps[int](t, `1.0`, `1.5`, `9223372036854775808`, `"1"`, `1e2`)
	fieldKeeps[float64](t, `1e400`, `"1"`)
	fieldKeeps[time.Time](t, `"yesterday"`, `1591814489093`, `""`, `"2026-01-02"`,
		`"2020-02-30T00:00:00Z"`, `["2026-01-02T03:04:05Z"]`, `"\ud800"`)
	fieldKeeps[[]time.Time](t, `["2026-01-02T03:04:05Z","yesterday"]`)
	fieldKeeps[struct{ At time.Time }](t, `{"At":"yesterday"}`)
	fieldKeeps[json.Number](t, `"1"`, `true`)
	fieldKeeps[[]string](t, `["a",null]`, `["a","\ud800"]`, `["a",1]`, `"a"`)
	fieldKeeps[map[string]string](t, `{"a":null}`, `{"\ud800":"a","\ud801":"b"}`,
		`{"a":"\ud800"}`, `{"a":1}`)
	fieldKeeps[map[string]any](t, `{"a":{"\ud800":1,"\ud801":2}}`, `{"\ud800":1}`, `[]`)
	fieldKeeps[[]map[string]any](t, `[{"\ud800":1,"\ud801":2}]`, `[{"a":{"\ud800":1}}]`)
	fieldKeeps[map[string]map[string]int](t, `{"a":{"\ud800":1,"\ud801":2}}`)
	fieldKeeps[struct{ M map[string]int }](t, `{"M":{"\ud800":1,"\ud801":2}}`)
	fieldKeeps[courier.Tokens](t, `["a",null]`, `[{"token":"a","x":1}]`)
	fieldKeeps[courier.Profile](t, `{"\ud800":1}`, `[]`)
	fieldKeeps[[]courier.Profile](t, `[{"email":1,"x":1.0}]`, `[{"\ud800":1}]`)
}

func fieldKeeps[T any](t *testing.T, texts ...string) {
	t.Helper()
	for _, text := range texts {
		for _, version := range jsonVersions {
			var f courier.Field[T]
			if err := version.unmarshal([]byte(text), &f); err != nil {
				t.Errorf("%s, %T: %s: %v", version.name, f, text, err)
			}
			got, err := version.marshal(f)
			if err != nil {
				t.Errorf("%s, %T: %s: %v", version.name, f, text, err)
				continue
			}
			wantJSON(t, fmt.Sprintf("%s, %T", version.name, f), text, string(got))
		}
	}
}

// FuzzField reads any JSON as Fields of the types that a profile has, and of the caller's.
func FuzzField(f *testing.F) {
	for _, value := range keptValues {
		f.Add(value)
		f.Add(`[` + value + `]`)
		f.Add(`{"a":` + value + `}`)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if _, ok := exactly(text); !ok || strings.Contains(text, half) {
			return
		}
		fieldKeeps[any](t, text)
		fieldKeeps[string](t, text)
		fieldKeeps[bool](t, text)
		fieldKeeps[json.Number](t, text)
		fieldKeeps[json.RawMessage](t, text)
		fieldKeeps[[]string](t, text)
		fieldKeeps[[]any](t, text)
		fieldKeeps[map[string]string](t, text)
		fieldKeeps[map[string]any](t, text)
		fieldKeeps[map[string]json.Number](t, text)
		fieldKeeps[courier.Tokens](t, text)
		fieldKeeps[courier.Address](t, text)
		fieldKeeps[courier.Webhook](t, text)
		fieldKeeps[courier.Profile](t, text)
	})
}
