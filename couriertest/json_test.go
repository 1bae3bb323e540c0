package couriertest

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"
)

// What a client sends comes back, whichever operation wrote it.
func TestProfilesKeepTheirJSON(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, profile string }{
		{"half surrogates as names", `{"\ud800":1,"\ud801":2}`},
		{"half surrogates in values", `{"a":"\ud83d","b":["x\ude00y"]}`},
		{"names that look alike",
			`{"\ud800":1,"\ud800\ud800":2,"\udc00\ud800":3,"\\ud800":4,"�":5,"ud800":6}`},
		{"what the fake uses as its mark",
			`{"\ufffe":1,"\ufffed800":2,"\ud800":3,"\ufffe\ud800":4}`},
		{"numbers", `{"a":9007199254740993,"b":1.10,"c":-0,"d":1E400,"e":0.00000000000001e-5}`},
		{"names that differ in case", `{"Email":"a","email":"b","EMAIL":"c"}`},
		{"text", `{"a":"\\ \" / <&> \n\u2028 é 😀"}`},
		{"null, empty and nested", `{"":{"":[{},[],null,"",false]},"a":null}`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			add := `{"op":"add","path":"/x","value":` + test.profile + `}`
			writes := []struct{ method, body string }{
				{"PUT", `{"profile":` + test.profile + `}`},
				{"PATCH", `{"patch":[` + add + `,{"op":"move","from":"/x","path":""}]}`},
				{"PATCH", `{"patch":[` + add + `,{"op":"copy","from":"/x","path":""}]}`},
			}
			for _, write := range writes {
				h := NewHandler()
				send(h, write.method, "/profiles/u", write.body)
				send(h, "POST", "/profiles/u", `{"profile":{"merged":1}}`)
				remove := `{"patch":[{"op":"remove","path":"/merged"}]}`
				wantResponse(t, send(h, "PATCH", "/profiles/u", remove), 204, "")

				want := `{"profile":` + test.profile + `,"preferences":null}`
				wantResponse(t, send(h, "GET", "/profiles/u", ""), 200, want)
			}
		})
	}
}

func TestNamesAreComparedByTheirCharacters(t *testing.T) {
	t.Parallel()
	tests := []struct{ before, merge, after string }{
		{`{"a":1}`, `{"\u0061":2}`, `{"a":2}`},
		{`{"\/":1}`, `{"/":2}`, `{"/":2}`},
		{`{"\uD83D\uDE00":1}`, `{"😀":2}`, `{"😀":2}`},
		{`{"\u005C\u0022\u000A":1}`, `{"\\\"\n":2}`, `{"\\\"\n":2}`},
		{`{"\uD800":1}`, `{"\ud800":2}`, `{"\ud800":2}`},
		{`{"\ud800":1,"\ud801":2}`, `{"\ud800":null}`, `{"\ud801":2}`},
		{`{"\ud800\u0041":1}`, `{"\ud800A":2}`, `{"\ud800A":2}`},
		{`{"\u0041\ud83d\ude00\ud83d":1}`, `{"A😀\ud83d":2}`, `{"A😀\ud83d":2}`},
		{`{"\ud800\ud83d\ude00":1}`, `{"\ud800😀":2}`, `{"\ud800😀":2}`},
		{`{"\\ud800":1}`, `{"\ud800":2}`, `{"\\ud800":1,"\ud800":2}`},
		{`{"\ufffd":1}`, `{"\ud800":2}`, `{"�":1,"\ud800":2}`},
		{`{"\ufffe":1}`, `{"` + mark + `":2}`, `{"\ufffe":2}`},
		{`{"\ud800":1}`, `{"` + mark + `d800":2}`, `{"\ud800":1,"\ufffed800":2}`},
	}
	for _, test := range tests {
		h := setUp(t, test.before)
		w := send(h, "POST", "/profiles/u", `{"profile":`+test.merge+`}`)
		wantResponse(t, w, 200, success)
		wantProfile(t, h, "u", test.after)
	}
}

func TestLastDuplicateWins(t *testing.T) {
	t.Parallel()
	h := NewHandler()
	body := `{"profile":{"x":1},"profile":{"a":{"b":1},"\u0061":{"c":2},"\ud800":1,"\uD800":2}}`
	wantResponse(t, send(h, "PUT", "/profiles/u", body), 200, success)
	wantProfile(t, h, "u", `{"a":{"c":2},"\ud800":2}`)
}

// The deepest profile that can be parsed is accepted. A deeper one is rejected whether
// it comes in one request or is the result of a patch.
func TestNesting(t *testing.T) {
	t.Parallel()
	nested := func(depth int) string {
		return strings.Repeat(`{"a":`, depth) + `1` + strings.Repeat(`}`, depth)
	}
	h := setUp(t, nested(9_999))
	wantError(t, send(h, "PUT", "/profiles/u", `{"profile":`+nested(10_000)+`}`), 400)

	deepest := strings.Repeat("/a", 9_998)
	ops := []string{
		fmt.Sprintf(`{"op":"add","path":"%s/b","value":%s}`, deepest, nested(1)),
		fmt.Sprintf(`{"op":"copy","from":"","path":"%s/b"}`, deepest),
	}
	for _, op := range ops {
		wantError(t, send(h, "PATCH", "/profiles/u", `{"patch":[`+op+`]}`), 400)
	}
	want := `{"profile":` + nested(9_999) + `,"preferences":null}`
	wantResponse(t, send(h, "GET", "/profiles/u", ""), 200, want)
}

// FuzzJSON checks that parse accepts what the JSON library accepts, and that what it
// returns is written and parsed again without a change.
func FuzzJSON(f *testing.F) {
	seeds := []string{
		`{"b":[1.10,"\ud800",null],"a":{"\ud801\/":true}}`, `"\u0061"`, `[]`, ` {"a":1} `,
		`{"a":1,"a":2}`, `{`, "\"\xff\"", `1 2`, `"\ufffe"`, `"` + mark + `d800"`,
	}
	for _, seed := range seeds {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		valid := utf8.Valid(text) && jsontext.Value(text).IsValid(
			jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true))
		value, err := parse(text)
		if (err == nil) != valid {
			t.Fatalf("%q: error %v, valid is %t", text, err, valid)
		}
		if err != nil {
			return
		}

		// Text without escapes and duplicates has only one spelling.
		written := format(value)
		escaped := strings.Contains(string(written)+string(text), `\`)
		if jsontext.Value(text).IsValid() && !escaped {
			wantJSON(t, string(written), string(text))
		}
		again, err := parse(written)
		if err != nil {
			t.Fatalf("%q became %q: %v", text, written, err)
		}
		if diff := cmp.Diff(value, again); diff != "" {
			t.Errorf("%q became %q (-first +again):\n%s", text, written, diff)
		}
	})
}
