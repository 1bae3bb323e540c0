package couriertest

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

func TestProfilesKeepTheirJSON(t *testing.T) {
	t.Parallel()
	for name, profile := range map[string]string{
		"half surrogates as names":  `{"\ud800":1,"\ud801":2}`,
		"half surrogates in values": `{"a":"\ud83d","b":["x\uDE00y"]}`,
		"names that look alike":     `{"\ud800":1,"\ud800\ud800":2,"\udc00\ud800":3,"\ud800a":4,"\\ud800":5,"�":6}`,
		"numbers":                   `{"a":9007199254740993,"b":1.10,"c":-0,"d":1E400,"e":0.000000000000000000000000000001e-5}`,
		"case":                      `{"Email":"a","email":"b","EMAIL":"c"}`,
		"escapes in values":         `{"a":"\u0041\/\n\u2028<&>"}`,
		"null, empty and nested":    `{"":{"":[{},[],null,"",false]},"a":null}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, write := range []struct{ method, body string }{
				{"PUT", `{"profile":` + profile + `}`},
				{"PATCH", `{"patch":[{"op":"add","path":"/x","value":` + profile + `},{"op":"move","from":"/x","path":""}]}`},
				{"PATCH", `{"patch":[{"op":"add","path":"/x","value":` + profile + `},{"op":"copy","from":"/x","path":""}]}`},
			} {
				h := NewHandler()
				if w := send(h, write.method, "/profiles/u", write.body); w.Code/100 != 2 {
					t.Fatalf("%s: status %d: %s", write.method, w.Code, w.Body)
				}
				// A merge of something else parses and writes all of it again.
				wantResponse(t, send(h, "POST", "/profiles/u", `{"profile":{"merged":1}}`), 200, success)
				wantResponse(t, send(h, "PATCH", "/profiles/u", `{"patch":[{"op":"remove","path":"/merged"}]}`), 204, "")
				wantResponse(t, send(h, "GET", "/profiles/u", ""), 200, `{"profile":`+profile+`,"preferences":null}`)
			}
		})
	}
}

func TestNamesAreComparedByTheirCharacters(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ before, merge, after string }{
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
	} {
		h := setUp(t, test.before)
		wantResponse(t, send(h, "POST", "/profiles/u", `{"profile":`+test.merge+`}`), 200, success)
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
	deepest := strings.Repeat("/a", 9_998)
	wantError(t, send(h, "PUT", "/profiles/u", `{"profile":`+nested(10_000)+`}`), 400, "invalid_request_error")
	for _, op := range []string{
		fmt.Sprintf(`{"op":"add","path":"%s/b","value":%s}`, deepest, nested(1)),
		fmt.Sprintf(`{"op":"copy","from":"","path":"%s/b"}`, deepest),
	} {
		wantError(t, send(h, "PATCH", "/profiles/u", `{"patch":[`+op+`]}`), 400, "invalid_request_error")
	}
	wantResponse(t, send(h, "GET", "/profiles/u", ""), 200, `{"profile":`+nested(9_999)+`,"preferences":null}`)
	wantResponse(t, send(h, "POST", "/profiles/u", `{"profile":{"a":null}}`), 200, success)
	wantProfile(t, h, "u", `{}`)
}

// FuzzJSON holds what is kept against the JSON library: the same value, to the
// spelling of each leaf, and the same again when it is parsed again.
func FuzzJSON(f *testing.F) {
	for _, seed := range []string{
		`{"b":[1.10,"\ud800",null],"a":{"\ud801\/":true}}`, `"\u0061"`, `[]`, ` {"a":1} `, `{"a":1,"a":2}`, `{`, "\"\xff\"", `1 2`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		// Without escapes, a name has only one spelling, and the library can tell
		// duplicates.
		escaped := strings.Contains(string(text), `\`)
		strict := jsontext.Value(text).IsValid()
		valid := utf8.Valid(text) && jsontext.Value(text).IsValid(jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true))

		value, err := parse(text)
		if (err == nil) != valid {
			t.Fatalf("%q: error %v, valid is %t", text, err, valid)
		}
		if err != nil {
			return
		}
		got := string(format(value))
		if strict && !escaped {
			wantJSON(t, got, string(text))
		}
		again, err := parse([]byte(got))
		if err != nil || string(format(again)) != got {
			t.Errorf("%q became %q and then %q, %v", text, got, format(again), err)
		}
	})
}
