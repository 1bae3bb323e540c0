package jsonobject_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/courier-profiles/courier-go/internal/jsonobject"
)

// maxDepth is the limit of encoding/json, which Reader and Writer share.
const maxDepth = 10_000

var (
	errTrailing = errors.New("something behind the document")
	errNotText  = errors.New("a key that is no Go text")
)

// readDocument reads text as one document with Reader.Any.
func readDocument(text string) (any, error) {
	r := jsonobject.NewReader(text)
	value, ok := r.Any()
	switch atEnd := r.AtEnd(); {
	case r.Err() != nil:
		return nil, r.Err()
	case !atEnd:
		return nil, errTrailing
	case !ok:
		return nil, errNotText
	}
	return value, nil
}

// readStd reads text with encoding/json, which replaces lone surrogates.
func readStd(tb testing.TB, text string) any {
	tb.Helper()
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		tb.Fatalf("encoding/json on %.200q: %v", text, err)
	}
	if _, err := decoder.Token(); err != io.EOF {
		tb.Fatalf("encoding/json on %.200q: more than one document", text)
	}
	return value
}

// surrogates reports whether text may escape a half of a surrogate pair.
func surrogates(text string) bool {
	lower := strings.ToLower(text)
	for _, escape := range []string{`\ud8`, `\ud9`, `\uda`, `\udb`, `\udc`, `\udd`, `\ude`, `\udf`} {
		if strings.Contains(lower, escape) {
			return true
		}
	}
	return false
}

// checkDocument compares Reader with encoding/json on any text.
func checkDocument(tb testing.TB, text string) {
	tb.Helper()
	value, err := readDocument(text)
	valid := json.Valid([]byte(text)) && utf8.ValidString(text)
	if accepted := err == nil || err == errNotText; accepted != valid {
		tb.Fatalf("Reader on %.200q: %v; valid JSON in UTF-8: %t", text, err, valid)
	}
	if !surrogates(text) {
		if err == errNotText {
			tb.Fatalf("Reader on %.200q: %v, but it has no surrogates", text, err)
		}
		if valid {
			if std := readStd(tb, text); !reflect.DeepEqual(value, std) {
				tb.Fatalf("Reader on %.200q differs from encoding/json (-std +ours):\n%s", text, cmp.Diff(std, value))
			}
		}
	}
	if err != nil {
		return
	}
	// Written and read again, it is the same.
	var w jsonobject.Writer
	if w.Any(value); w.Err() != nil {
		tb.Fatalf("Writer on what Reader made of %.200q: %v", text, w.Err())
	}
	again, err := readDocument(string(w.Bytes()))
	if err != nil {
		tb.Fatalf("Reader on what Writer made of %.200q, %.200q: %v", text, w.Bytes(), err)
	}
	if !reflect.DeepEqual(value, again) {
		tb.Fatalf("%.200q, written and read again, differs (-first +again):\n%s", text, cmp.Diff(value, again))
	}
}

var validDocuments = []string{
	`null`, `true`, `false`, `""`, `"a"`, `[]`, `{}`, `0`, `-0`,
	" \t\r\n null \t\r\n ", "[ ]", "{ }", "[\n1\r,\t2 ]", "{ \"a\" : 1 , \"b\" : 2 }",

	// Numbers.
	`1`, `-1`, `10`, `1.0`, `1.10`, `-0.0`, `0e0`, `-0e-0`, `1e1`, `1E1`, `1e+1`, `1E-01`, `1e00`, `1E400`, `-1E400`, `1e-400`,
	`9007199254740993`, `-9007199254740993`, `18446744073709551616`, `0.1000000000000000055511151231257827`,
	strings.Repeat("9", 1000), `0.` + strings.Repeat("0", 1000) + `1`, `1e` + strings.Repeat("9", 1000),

	// Strings.
	`"\"\\\/\b\f\n\r\t"`, `"/"`, `"\u0000"`, `"\u00e9\u00E9é"`, "\"\x7f\"", "\"\u2028\u2029\"", "\"\ufeff\"", "\"\ufffd\"", `"\ufffd"`,
	`"\\u0041"`, `"\\\\"`, `"\\\""`, `"<>&"`, `"\u003c"`, "\"\U0001F600\"", `"\ud83d\ude00"`, `"\uD83D\uDE00"`, `"a\ud83d\ude00b"`,
	"\"\u0080\u07ff\u0800\uffff\U00010000\U0010ffff\"", `"` + strings.Repeat("a", 5000) + `"`, `"` + strings.Repeat(`\n`, 5000) + `"`,

	// Arrays and objects.
	`[1]`, `[1,2]`, `[[]]`, `[[],[]]`, `[{},{}]`, `[null,true,false,"",0,[],{}]`,
	`{"a":1}`, `{"a":{}}`, `{"a":[]}`, `{"a":{"a":{"a":[{"a":1}]}}}`, `{"":1}`, `{"":{"":""}}`, `{" ":1}`,
	`{"a":1,"A":2}`, `{"\u0061":1}`, `{"\"":1}`, `{"\\":1}`, `{"é":1,"\u00e9":2}`, `{"null":null}`,
	`{"a":1,"a":2}`, `{"a":{"b":1},"a":{"c":2}}`, `{"a":1,"a":null}`, `{"a":[1],"b":0,"a":"x"}`, `{"a":1,"\u0061":2}`,
	`{"__proto__":1,"constructor":{}}`,
}

var invalidDocuments = []string{
	``, ` `, "\n", "\x00", "\ufeffnull", "\ufeff{}", "null\x00", "\u00a0null", "\vnull", "\fnull", "null\v", "[1\u00a0]",
	`nul`, `nulll`, `Null`, `NULL`, `none`, `nil`, `tru`, `truee`, `True`, `fals`, `falsey`, `t`, `f`, `n`, `undefined`, `NaN`, `nan`, `Infinity`, `-Infinity`,
	`truefalse`, `null null`, `1 2`, `{} {}`, `[] []`, `""""`, `[]]`, `{}}`, `null,`, `,`, `:`, `]`, `}`, `/**/null`, `// x`, `null//`, `#`,

	// Numbers.
	`-`, `+`, `+1`, `--1`, `-+1`, `.`, `.1`, `-.1`, `1.`, `-1.`, `1..1`, `1.1.1`, `01`, `-01`, `00`, `-00`, `0x1`, `0x`, `1_000`, `1,000`, `1e`, `1e+`, `1e-`, `1E`, `e1`, `1e1.1`, `1e1e1`, `1e++1`, `1e 1`, `1 e1`, `- 1`, `1.e1`, `0.e1`, `1a`, `1-`, `1-1`, `١`, `１`, `[1 2]`, `[01]`, `[1.]`, `[-]`,

	// Strings.
	`"`, `"a`, `a"`, `'a'`, `"a'`, `"\"`, `"\`, `"\x"`, `"\x41"`, `"\u"`, `"\u1"`, `"\u12"`, `"\u123"`, `"\u123`, `"\u 123"`, `"\u12 4"`, `"\u12g4"`, `"\u+123"`, `"\u-123"`, `"\U0041"`, `"\U00000041"`, `"\0"`, `"\a"`, `"\v"`, `"\'"`, `"\N"`, "\"\\\n\"", `"\ud83d\u"`, `"\ud83d\ude0"`, `"\ud83d\`, `"\ud83d\"`,
	"\"\n\"", "\"\r\"", "\"\t\"", "\"\x00\"", "\"\x1f\"", "\"a\nb\"", "\"\\n\n\"", "[\"\t\"]", "{\"\t\":1}",

	// Invalid UTF-8; encoding/json takes these.
	"\"\xff\"", "\"\x80\"", "\"\xc0\x80\"", "\"\xc3\"", "\"a\xffb\"", "\"\xed\xa0\x80\"", "\"\xf4\x90\x80\x80\"", "\"\xe2\x82\"", "\"\xf8\x88\x80\x80\x80\"",
	"\"\\n\xff\"", "\"\xff\\n\"", "\"\\ud800\xff\"", "\"\xff\\ud800\"", "[\"\xff\"]", "{\"\xff\":1}", "{\"a\":\"\xff\"}", "{\"\\n\xff\":1}", "{\"\\ud800\xff\":1}", "{\"a\":[{\"b\":{\"\xff\":1}}]}", "\xff", "[\xff]", "{\xff}", "1\xff",

	// Arrays and objects.
	`[`, `]`, `[1`, `[1,`, `[1,]`, `[,]`, `[,1]`, `[1,,2]`, `[1;2]`, `[1:2]`, `["a":1]`, `[}`, `[[]`, `[[],]`, `[1}`, `[ , ]`, `[1,2,]`, `[[1,],2]`, `[{},]`, `[]1`, `[]a`, `[1]]`,
	`{`, `}`, `{"a"`, `{"a":`, `{"a":1`, `{"a":1,`, `{"a":1,}`, `{,}`, `{,"a":1}`, `{"a":1,,"b":2}`, `{"a":1 "b":2}`, `{"a" 1}`, `{"a"::1}`, `{"a":}`, `{"a":,}`, `{"a"}`, `{"a","b"}`, `{a:1}`, `{'a':1}`, `{1:1}`, `{null:1}`, `{true:1}`, `{[]:1}`, `{{}:1}`, `{:1}`, `{"a":1]`, `{"a":1}}`, `{"a":{}`, `{"a":{"b":1,}}`, `{"a":1;"b":2}`, `{"a"=1}`, `{"a":1,"b"}`, `{"a":1,"b":}`, `{"a":1,2}`, `{"a" "b":1}`, `{"a:1}`, `{"a":b}`,
}

func TestReaderAcceptsWhatTheStandardAccepts(t *testing.T) {
	for _, text := range validDocuments {
		if !json.Valid([]byte(text)) {
			t.Errorf("the table is wrong: %.200q is not valid", text)
		}
		if _, err := readDocument(text); err != nil {
			t.Errorf("%.200q: %v", text, err)
		}
		checkDocument(t, text)
	}
	for _, text := range invalidDocuments {
		if json.Valid([]byte(text)) && utf8.ValidString(text) {
			t.Errorf("the table is wrong: %.200q is valid", text)
		}
		if value, err := readDocument(text); err == nil || err == errNotText {
			t.Errorf("%.200q was read as %v (%v)", text, value, err)
		}
		checkDocument(t, text)
	}
}

// TestReaderOnEveryShortDocument compares Reader with encoding/json on every
// text of a few tokens.
func TestReaderOnEveryShortDocument(t *testing.T) {
	tests := []struct {
		name           string
		before, behind string
		tokens         []string
		upTo           int
	}{
		{"structure", "", "", []string{"{", "}", "[", "]", ",", ":", `"a"`, "1", " "}, 5},
		{"object", `{"a":`, "}", []string{"{", "}", "[", "]", ",", ":", `"b"`, "null"}, 5},
		{"number", "", "", []string{"-", "+", ".", "e", "E", "0", "1"}, 6},
		{"number in array", "[", "]", []string{"-", "+", ".", "e", "0", "7", ","}, 5},
		{"string", `"`, `"`, []string{`\`, `"`, "u", "n", "0", "\n", "é", "\xc3", "\xa9"}, 5},
		{"escape", `"\u`, `"`, []string{"0", "9", "a", "F", "g", `\`, `"`}, 6},
		{"surrogates", `"`, `"`, []string{`\ud800`, `\udbff`, `\uDC00`, `\udfff`, `\u0041`, `\n`, "a", `\`, "u"}, 4},
		{"key with surrogates", `{"`, `":1}`, []string{`\ud800`, `\uDBFF`, `\udc00`, `\ud7ff`, `\ue000`, "a", `\`}, 4},
		{"literal", "", "", []string{"n", "u", "l", "t", "rue", "false", " "}, 5},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var grow func(text string, left int)
			grow = func(text string, left int) {
				checkDocument(t, test.before+text+test.behind)
				if left == 0 {
					return
				}
				for _, token := range test.tokens {
					grow(text+token, left-1)
				}
			}
			grow("", test.upTo)
		})
	}
}

// TestReaderOnEveryByte puts each byte in each kind of place.
func TestReaderOnEveryByte(t *testing.T) {
	for c := range 256 {
		b := string([]byte{byte(c)})
		for _, text := range []string{
			b, b + "1", "1" + b, "[" + b + "]", "[1" + b + "2]", "[1," + b + "2]", "{" + b + "}", `{"a"` + b + ":1}", `{"a":` + b + "1}", `{"a":1` + b + "}",
			`"` + b + `"`, `"\` + b + `"`, `"\u` + b + `041"`, `"\u004` + b + `"`, `"\n` + b + `"`, `{"` + b + `":1}`, "-" + b, "1" + b + "1", "1." + b, "1e" + b + "1", "nul" + b, "null" + b,
		} {
			checkDocument(t, text)
		}
	}
}

// TestReaderOnCutAndChangedDocuments cuts every document at every place, and
// changes, drops and doubles every byte.
func TestReaderOnCutAndChangedDocuments(t *testing.T) {
	for _, text := range append([]string{
		`{"a":[1,-2.5e+3,true,false,null,"x\u00e9\n\ud83d\ude00é"],"b":{"c":{}, "d":[[]]} , "e":"" }`,
	}, validDocuments...) {
		if len(text) > 200 {
			continue
		}
		for i := range len(text) {
			checkDocument(t, text[:i])
			checkDocument(t, text[i:])
			checkDocument(t, text[:i]+text[i+1:])
			checkDocument(t, text[:i]+text[i:i+1]+text[i:])
			for _, c := range "\x00 \"\\,:[]{}-.e0u\u00e9" {
				checkDocument(t, text[:i]+string(c)+text[i+1:])
			}
		}
	}
}

func TestReaderValues(t *testing.T) {
	tests := []struct {
		text string
		want any
	}{
		{`null`, nil},
		{` true `, true},
		{`false`, false},
		{`""`, ""},
		{`"a\u0000\"\\\/\b\f\n\r\té\u00e9\ud83d\ude00"`, "a\x00\"\\/\b\f\n\r\téé😀"},
		{`"\uD834\uDd1E"`, "\U0001D11E"},
		{`"\ud800\udc00\udbff\udfff"`, "\U00010000\U0010FFFF"},
		{`"\ud7ff\ue000\ufffd"`, "\ud7ff\ue000\ufffd"},
		{`"\\ud800"`, `\ud800`},
		{`0`, json.Number("0")},
		{`-0`, json.Number("-0")},
		{`-0.0`, json.Number("-0.0")},
		{`1.0`, json.Number("1.0")},
		{`1.50`, json.Number("1.50")},
		{`1E400`, json.Number("1E400")},
		{`1e+05`, json.Number("1e+05")},
		{`1e-05`, json.Number("1e-05")},
		{`9007199254740993`, json.Number("9007199254740993")},
		{`123456789012345678901234567890.123456789012345678901234567890`, json.Number("123456789012345678901234567890.123456789012345678901234567890")},
		{`[]`, []any{}},
		{`{}`, map[string]any{}},
		{`[null,[],{}]`, []any{nil, []any{}, map[string]any{}}},
		{`{"a":{"b":[1,"x"]},"A":null,"":""}`, map[string]any{"a": map[string]any{"b": []any{json.Number("1"), "x"}}, "A": nil, "": ""}},

		// Of duplicate keys the last wins, whatever the first was.
		{`{"a":1,"a":2}`, map[string]any{"a": json.Number("2")}},
		{`{"a":{"b":1},"a":{"c":2}}`, map[string]any{"a": map[string]any{"c": json.Number("2")}}},
		{`{"a":"x","a":null}`, map[string]any{"a": nil}},
		{`{"a":null,"b":1,"\u0061":"x"}`, map[string]any{"a": "x", "b": json.Number("1")}},

		// Half of a surrogate pair is no Go text.
		{`"\ud800"`, json.RawMessage(`"\ud800"`)},
		{`"\udc00"`, json.RawMessage(`"\udc00"`)},
		{`"\uDFFF"`, json.RawMessage(`"\uDFFF"`)},
		{`"\ud800\ud800"`, json.RawMessage(`"\ud800\ud800"`)},
		{`"\ud800\ud800\udc00"`, json.RawMessage(`"\ud800\ud800\udc00"`)},
		{`"\udc00\ud800"`, json.RawMessage(`"\udc00\ud800"`)},
		{`"\ud800\u0041"`, json.RawMessage(`"\ud800\u0041"`)},
		{`"\ud800A"`, json.RawMessage(`"\ud800A"`)},
		{`"\ud800\n"`, json.RawMessage(`"\ud800\n"`)},
		{`"\ud800\\udc00"`, json.RawMessage(`"\ud800\\udc00"`)},
		{`"a\ud83d\ude00\ud83d"`, json.RawMessage(`"a\ud83d\ude00\ud83d"`)},
		{`"é\ud83d"`, json.RawMessage(`"é\ud83d"`)},
		{` [ "\ud800" , 1 ] `, []any{json.RawMessage(`"\ud800"`), json.Number("1")}},
		{`{"a": "\ud800" ,"b":"x"}`, map[string]any{"a": json.RawMessage(`"\ud800"`), "b": "x"}},
	}
	for _, test := range tests {
		got, err := readDocument(test.text)
		if err != nil {
			t.Errorf("%s: %v", test.text, err)
		} else if !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s (-want +got):\n%s", test.text, cmp.Diff(test.want, got))
		}
	}
}

func TestReaderMemberKeepsWhatHasAKeyThatIsNoText(t *testing.T) {
	tests := []struct {
		text string
		want any
	}{
		{`{"\ud800":1}`, json.RawMessage(`{"\ud800":1}`)},
		{`{"a\udc00": [ 1 , 2 ] , "b":1}`, json.RawMessage(`{"a\udc00": [ 1 , 2 ] , "b":1}`)},
		{` {"a":[{"b":{"\ud800":{}}}],"c":1.0} `, json.RawMessage(`{"a":[{"b":{"\ud800":{}}}],"c":1.0}`)},
		{`[{"\ud800":1},2]`, json.RawMessage(`[{"\ud800":1},2]`)},
		{"\n\"\\ud800\" ", json.RawMessage(`"\ud800"`)},
		{`{"a":"\ud800"}`, map[string]any{"a": json.RawMessage(`"\ud800"`)}},
		{`{"\ud83d\ude00":1}`, map[string]any{"😀": json.Number("1")}},
		{` "x" `, "x"},
		{` null `, nil},
	}
	for _, test := range tests {
		r := jsonobject.NewReader(test.text)
		got := r.Member()
		if !r.AtEnd() || r.Err() != nil {
			t.Errorf("%q: not at the end: %v", test.text, r.Err())
		}
		if !reflect.DeepEqual(got, test.want) {
			t.Errorf("%q (-want +got):\n%s", test.text, cmp.Diff(test.want, got))
		}
	}
}

// TestReaderLeavesWhatIsSomethingElse calls each typed read on each kind of
// value: one that does not fit must leave the value to be read.
func TestReaderLeavesWhatIsSomethingElse(t *testing.T) {
	reads := map[string]func(*jsonobject.Reader) bool{
		"null":   (*jsonobject.Reader).Null,
		"bool":   func(r *jsonobject.Reader) bool { _, ok := r.Bool(); return ok },
		"string": func(r *jsonobject.Reader) bool { _, ok := r.String(); return ok },
		"object": (*jsonobject.Reader).BeginObject,
		"array":  (*jsonobject.Reader).BeginArray,
	}
	kinds := map[string]string{"null": "null", "true": "bool", "false": "bool", `"true"`: "string", "{}": "object", "[]": "array", "-1": "number"}
	for text, kind := range kinds {
		for name, read := range reads {
			r := jsonobject.NewReader(" " + text + " ")
			if ok := read(&r); ok != (name == kind) {
				t.Errorf("reading a %s from %s: %t", name, text, ok)
			} else if !ok {
				if _, ok := r.Any(); !ok || !r.AtEnd() {
					t.Errorf("%s is no longer there after reading a %s: %v", text, name, r.Err())
				}
			}
		}
	}
}

func nested(open, inner, end string, depth int) string {
	return strings.Repeat(open, depth) + inner + strings.Repeat(end, depth)
}

func TestReaderDepth(t *testing.T) {
	for _, test := range []struct{ name, open, inner, end string }{
		{"arrays", "[", "", "]"},
		{"arrays around a number", "[", "1", "]"},
		{"objects", `{"a":`, "1", "}"},
		{"arrays with white space", " [ ", "", " ] "},
		{"arrays with neighbours", `[1,`, "2", `,{}]`},
	} {
		t.Run(test.name, func(t *testing.T) {
			if _, err := readDocument(nested(test.open, test.inner, test.end, maxDepth-1)); err != nil {
				t.Errorf("%d deep: %v", maxDepth-1, err)
			}
			over := nested(test.open, test.inner, test.end, maxDepth+1)
			if _, err := readDocument(over); err == nil {
				t.Errorf("%d deep: no error", maxDepth+1)
			}
			if _, err := readDocument(nested(test.open, test.inner, test.end, 500_000)); err == nil {
				t.Error("500,000 deep: no error")
			}
			if _, err := readDocument(strings.Repeat(test.open, 500_000)); err == nil {
				t.Error("500,000 deep and cut off: no error")
			}
		})
	}
	checkDocument(t, nested("[", "", "]", maxDepth))
	checkDocument(t, nested("[", "", "]", maxDepth+1))
	checkDocument(t, nested(`{"a":`, "null", "}", maxDepth))
	checkDocument(t, nested(`{"a":`, "null", "}", maxDepth+1))
	// What was left counts no longer.
	checkDocument(t, "["+strings.Repeat("[],{},", 3*maxDepth)+"[]]")
	checkDocument(t, "["+strings.Repeat(`[{"a":[]}],`, 3*maxDepth)+"[]]")
}

// TestReaderAfterAnError calls everything on a Reader that has failed: nothing
// may be read from it, or panic.
func TestReaderAfterAnError(t *testing.T) {
	for _, text := range invalidDocuments {
		calls := map[string]func(*jsonobject.Reader) bool{
			"Null":        (*jsonobject.Reader).Null,
			"Bool":        func(r *jsonobject.Reader) bool { _, ok := r.Bool(); return ok },
			"String":      func(r *jsonobject.Reader) bool { _, ok := r.String(); return ok },
			"BeginObject": (*jsonobject.Reader).BeginObject,
			"NextMember":  func(r *jsonobject.Reader) bool { _, _, more := r.NextMember(); return more },
			"BeginArray":  (*jsonobject.Reader).BeginArray,
			"NextElement": (*jsonobject.Reader).NextElement,
			"Any":         func(r *jsonobject.Reader) bool { _, ok := r.Any(); return ok },
			"Member":      func(r *jsonobject.Reader) bool { r.Member(); return false },
			"AtEnd":       (*jsonobject.Reader).AtEnd,
		}
		for name, call := range calls {
			r := jsonobject.NewReader(text)
			if r.Any(); r.Err() == nil {
				break // a document with something behind it
			}
			before := r.Err().Error()
			func() {
				defer func() {
					if p := recover(); p != nil {
						t.Errorf("%s after the error in %q panics: %v", name, text, p)
					}
				}()
				if call(&r) {
					t.Errorf("%s after the error in %q: true", name, text)
				}
			}()
			if after := r.Err().Error(); after != before {
				t.Errorf("%s after the error in %q changed it from %q to %q", name, text, before, after)
			}
		}
	}
}

func TestReaderErrorsHoldNoData(t *testing.T) {
	const canary = "CaNaRy"
	for _, text := range []string{
		canary, `"` + canary, `{"` + canary, `{"` + canary + `"`, `{"` + canary + `" 1}`, `{` + canary + `:1}`, `{"a":` + canary + `}`, `{"a":"` + canary + `" "b":1}`,
		`["` + canary + "\n\"]", `["` + canary + "\xff\"]", `["` + canary + `\q"]`, `["\u` + canary + `"]`, `{"` + canary + "\xff\":1}", `["` + canary + `",]`,
		`"` + canary + `" x`, nested("[", `"`+canary+`"`, "]", maxDepth+1),
	} {
		_, err := readDocument(text)
		if err == nil {
			t.Errorf("%.100q: no error", text)
		} else if strings.Contains(err.Error(), canary) {
			t.Errorf("%.100q: the error holds data: %v", text, err)
		}
	}
}

// flat returns an object of about size bytes with members of every kind.
func flat(size int) string {
	var b strings.Builder
	b.Grow(size + 200)
	b.WriteString(`{"first":0`)
	for i := 0; b.Len() < size; i++ {
		fmt.Fprintf(&b, `,"key_%d":["value %d","with \"escapes\" \u00e9",-1.5e3,true,null,{"a":"b"}]`, i, i)
	}
	b.WriteString("}")
	return b.String()
}

// deep returns an object of about size bytes that is nested depth deep.
func deep(size, depth int) string {
	padding := strings.Repeat("x", max(size/depth-len(`{"p":"","n":}`), 0))
	return nested(`{"p":"`+padding+`","n":`, "null", "}", depth)
}

// allocated returns how many bytes and objects f allocates.
func allocated(f func()) (size, count float64) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	var before, after runtime.MemStats
	f()
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return float64(after.TotalAlloc - before.TotalAlloc), float64(after.Mallocs - before.Mallocs)
}

// TestMemoryIsLinear holds what can be held without a clock: twice the document
// is twice the memory, and depth costs nothing that flat documents do not cost.
// A document that was copied once per level would need gigabytes.
func TestMemoryIsLinear(t *testing.T) {
	read := func(text string) func() {
		return func() {
			if _, err := readDocument(text); err != nil {
				t.Error(err)
			}
		}
	}
	write := func(text string) func() {
		value, err := readDocument(text)
		if err != nil {
			t.Fatal(err)
		}
		return func() {
			var w jsonobject.Writer
			if w.Any(value); w.Err() != nil {
				t.Error(w.Err())
			}
		}
	}
	member := func(text string) func() {
		// A key that is no text at the bottom: kept raw, once.
		text = strings.Replace(text, "null}", `{"\ud800":1}}`, 1)
		return func() {
			r := jsonobject.NewReader(text)
			if r.Member(); !r.AtEnd() {
				t.Error(r.Err())
			}
		}
	}
	deepDocument := func(size int) string { return deep(size, size/200) }
	const size = 1 << 18
	for _, test := range []struct {
		name     string
		run      func(string) func()
		document func(int) string
	}{
		{"read flat", read, flat},
		{"read deep", read, deepDocument},
		{"write flat", write, flat},
		{"write deep", write, deepDocument},
		{"member deep", member, deepDocument},
	} {
		t.Run(test.name, func(t *testing.T) {
			size1, count1 := allocated(test.run(test.document(size)))
			size4, count4 := allocated(test.run(test.document(4 * size)))
			// A buffer or a map that doubles can be twice as large as is needed.
			if size4 > 10*size1 {
				t.Errorf("4 times the document allocates %.0f bytes, %.1f times %.0f", size4, size4/size1, size1)
			}
			if count4 > 5*count1+100 {
				t.Errorf("4 times the document allocates %.0f times, %.1f times %.0f", count4, count4/count1, count1)
			}
			if limit := 30.0 * 4 * size; size4 > limit {
				t.Errorf("a document of %d bytes allocates %.0f", 4*size, size4)
			}
		})
	}
	t.Run("nothing to unescape", func(t *testing.T) {
		text := `"` + strings.Repeat("é", 1<<20) + `"`
		if allocs := testing.AllocsPerRun(5, func() {
			r := jsonobject.NewReader(text)
			if _, ok := r.String(); !ok {
				t.Error(r.Err())
			}
		}); allocs != 0 {
			t.Errorf("a string without escapes: %v allocations, want 0", allocs)
		}
	})
}

// TestReaderOnRandomDocuments compares Reader with encoding/json on documents
// that are valid, and on the same with some bytes changed.
func TestReaderOnRandomDocuments(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	var value func(depth int) any
	value = func(depth int) any {
		kinds := 8
		if depth == 0 {
			kinds = 6
		}
		switch rnd.IntN(kinds) {
		case 0:
			return nil
		case 1:
			return rnd.IntN(2) == 0
		case 2:
			return rnd.NormFloat64() * 1e10
		case 3:
			return rnd.Int64()
		case 4, 5:
			return string([]rune{rune(rnd.IntN(0x80)), rune(rnd.IntN(0xd800)), rune(rnd.IntN(0x110000))})
		case 6:
			list := make([]any, rnd.IntN(5))
			for i := range list {
				list[i] = value(depth - 1)
			}
			return list
		default:
			members := map[string]any{}
			for range rnd.IntN(5) {
				members[fmt.Sprint(rnd.IntN(100))] = value(depth - 1)
			}
			return members
		}
	}
	for i := range 3000 {
		text, err := json.Marshal(value(5))
		if err != nil {
			t.Fatal(err)
		}
		if i%3 == 1 {
			var indented bytes.Buffer
			if err := json.Indent(&indented, text, "\t", " "); err != nil {
				t.Fatal(err)
			}
			text = indented.Bytes()
		}
		checkDocument(t, string(text))
		for range 5 {
			changed := bytes.Clone(text)
			changed[rnd.IntN(len(changed))] = byte(rnd.IntN(256))
			checkDocument(t, string(changed))
		}
	}
}

func FuzzReader(f *testing.F) {
	for _, text := range append(append([]string{`"\ud800"`, `{"\ud800":1}`, `[{"\udc00\ud800":"\ud800"}]`}, validDocuments...), invalidDocuments...) {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		checkDocument(t, text)
		r := jsonobject.NewReader(text)
		r.Member()
		if _, err := readDocument(text); err == errNotText && (r.Err() != nil || !r.AtEnd()) {
			t.Fatalf("Member on %q: %v", text, r.Err())
		}
	})
}

func BenchmarkRead(b *testing.B) {
	for _, bench := range []struct{ name, text string }{
		{"flat/0.5MiB", flat(1 << 19)},
		{"flat/1MiB", flat(1 << 20)},
		{"flat/2MiB", flat(1 << 21)},
		{"nested5000/0.5MiB", deep(1<<19, 5000)},
		{"nested5000/1MiB", deep(1<<20, 5000)},
		{"nested5000/2MiB", deep(1<<21, 5000)},
	} {
		b.Run(bench.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(bench.text)))
			for b.Loop() {
				if _, err := readDocument(bench.text); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
