package couriertest

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"

	jsonpatch "github.com/evanphx/json-patch/v5"
)

// patchTest is a patch of a profile. want is the profile afterwards, or "" for a patch
// that is rejected.
type patchTest struct{ name, profile, patch, want string }

func checkPatches(t *testing.T, tests []patchTest) {
	t.Helper()
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			h := setUp(t, test.profile)
			w := send(h, "PATCH", "/profiles/u", `{"patch":`+test.patch+`}`)
			if test.want == "" {
				wantError(t, w, http.StatusBadRequest)
				wantProfile(t, h, "u", test.profile)
				return
			}
			wantResponse(t, w, http.StatusNoContent, "")
			wantProfile(t, h, "u", test.want)
		})
	}
}

// RFC 6902, appendix A, in its order.
func TestPatchExamplesOfRFC6902(t *testing.T) {
	t.Parallel()
	checkPatches(t, []patchTest{
		{"A.1 adding an object member", `{"foo":"bar"}`,
			`[{"op":"add","path":"/baz","value":"qux"}]`,
			`{"baz":"qux","foo":"bar"}`},
		{"A.2 adding an array element", `{"foo":["bar","baz"]}`,
			`[{"op":"add","path":"/foo/1","value":"qux"}]`,
			`{"foo":["bar","qux","baz"]}`},
		{"A.3 removing an object member", `{"baz":"qux","foo":"bar"}`,
			`[{"op":"remove","path":"/baz"}]`,
			`{"foo":"bar"}`},
		{"A.4 removing an array element", `{"foo":["bar","qux","baz"]}`,
			`[{"op":"remove","path":"/foo/1"}]`,
			`{"foo":["bar","baz"]}`},
		{"A.5 replacing a value", `{"baz":"qux","foo":"bar"}`,
			`[{"op":"replace","path":"/baz","value":"boo"}]`,
			`{"baz":"boo","foo":"bar"}`},
		{"A.6 moving a value", `{"foo":{"bar":"baz","waldo":"fred"},"qux":{"corge":"grault"}}`,
			`[{"op":"move","from":"/foo/waldo","path":"/qux/thud"}]`,
			`{"foo":{"bar":"baz"},"qux":{"corge":"grault","thud":"fred"}}`},
		{"A.7 moving an array element", `{"foo":["all","grass","cows","eat"]}`,
			`[{"op":"move","from":"/foo/1","path":"/foo/3"}]`,
			`{"foo":["all","cows","eat","grass"]}`},
		{"A.8 testing a value: success", `{"baz":"qux","foo":["a",2,"c"]}`,
			`[{"op":"test","path":"/baz","value":"qux"},{"op":"test","path":"/foo/1","value":2}]`,
			`{"baz":"qux","foo":["a",2,"c"]}`},
		{"A.9 testing a value: error", `{"baz":"qux"}`,
			`[{"op":"test","path":"/baz","value":"bar"}]`, ``},
		{"A.10 adding a nested member object", `{"foo":"bar"}`,
			`[{"op":"add","path":"/child","value":{"grandchild":{}}}]`,
			`{"foo":"bar","child":{"grandchild":{}}}`},
		{"A.11 ignoring unrecognized elements", `{"foo":"bar"}`,
			`[{"op":"add","path":"/baz","value":"qux","xyz":123}]`,
			`{"foo":"bar","baz":"qux"}`},
		{"A.12 adding to a nonexistent target", `{"foo":"bar"}`,
			`[{"op":"add","path":"/baz/bat","value":"qux"}]`, ``},
		// A.13 has a member twice, of which the last one wins here.
		{"A.14 ~ escape ordering", `{"/":9,"~1":10}`,
			`[{"op":"test","path":"/~01","value":10}]`,
			`{"/":9,"~1":10}`},
		{"A.15 comparing strings and numbers", `{"/":9,"~1":10}`,
			`[{"op":"test","path":"/~01","value":"10"}]`, ``},
		{"A.16 adding an array value", `{"foo":["bar"]}`,
			`[{"op":"add","path":"/foo/-","value":["abc","def"]}]`,
			`{"foo":["bar",["abc","def"]]}`},
	})
}

func TestPatchOperations(t *testing.T) {
	t.Parallel()
	checkPatches(t, []patchTest{
		{"none", `{"a":1}`, `[]`, `{"a":1}`},
		{"add replaces a member", `{"a":1}`,
			`[{"op":"add","path":"/a","value":2}]`, `{"a":2}`},
		{"add at the end", `{"a":[1]}`,
			`[{"op":"add","path":"/a/1","value":2}]`, `{"a":[1,2]}`},
		{"add beyond the end", `{"a":[1]}`,
			`[{"op":"add","path":"/a/2","value":2}]`, ``},
		{"add of every type", `{}`,
			`[{"op":"add","path":"/a","value":true},{"op":"add","path":"/b","value":"<&>"},` +
				`{"op":"add","path":"/c","value":[null,{}]},{"op":"add","path":"/d","value":null}]`,
			`{"a":true,"b":"<&>","c":[null,{}],"d":null}`},
		{"element in an element", `{"a":[[1],[2]]}`,
			`[{"op":"add","path":"/a/1/0","value":0},{"op":"remove","path":"/a/0/0"}]`,
			`{"a":[[],[0,2]]}`},
		{"replace an element", `{"a":[1,2,3]}`,
			`[{"op":"replace","path":"/a/1","value":{"x":null}}]`, `{"a":[1,{"x":null},3]}`},
		{"replace the last element", `{"a":[1,2]}`,
			`[{"op":"replace","path":"/a/1","value":3}]`, `{"a":[1,3]}`},
		{"replace a missing member", `{"a":1}`,
			`[{"op":"replace","path":"/b","value":2}]`, ``},
		{"replace the profile", `{"a":1}`,
			`[{"op":"replace","path":"","value":{"b":2}},` +
				`{"op":"test","path":"","value":{"b":2}}]`,
			`{"b":2}`},
		{"remove a missing member", `{"a":1}`, `[{"op":"remove","path":"/b"}]`, ``},
		{"remove a missing element", `{"a":[1]}`, `[{"op":"remove","path":"/a/1"}]`, ``},
		{"copy is deep", `{"a":{"b":[1]}}`,
			`[{"op":"copy","from":"/a","path":"/c"},{"op":"add","path":"/a/b/-","value":2}]`,
			`{"a":{"b":[1,2]},"c":{"b":[1]}}`},
		{"copy the profile into itself", `{"a":1}`,
			`[{"op":"copy","from":"","path":"/b"}]`, `{"a":1,"b":{"a":1}}`},
		{"copy null", `{"a":null}`,
			`[{"op":"copy","from":"/a","path":"/b"},{"op":"replace","path":"/a","value":1}]`,
			`{"a":1,"b":null}`},
		{"copy a missing member", `{}`, `[{"op":"copy","from":"/a","path":"/b"}]`, ``},
		{"move to itself", `{"a":[1]}`,
			`[{"op":"move","from":"/a","path":"/a"}]`, `{"a":[1]}`},
		{"move to a name that begins alike", `{"a":1}`,
			`[{"op":"move","from":"/a","path":"/ab"}]`, `{"ab":1}`},
		{"move a missing member", `{}`, `[{"op":"move","from":"/a","path":"/b"}]`, ``},
		{"every digit stays", `{"n":9007199254740993}`,
			`[{"op":"move","from":"/n","path":"/m"},{"op":"copy","from":"/m","path":"/k"},` +
				`{"op":"add","path":"/d","value":-0.10e+2}]`,
			`{"m":9007199254740993,"k":9007199254740993,"d":-0.10e+2}`},
		{"below a string", `{"a":"x"}`, `[{"op":"add","path":"/a/b","value":1}]`, ``},
		{"below null", `{"a":null}`, `[{"op":"remove","path":"/a/b"}]`, ``},
	})
}

func TestPatchAppliesAllOrNone(t *testing.T) {
	t.Parallel()
	ops := []string{
		`{"op":"add","path":"/b","value":2}`,
		`{"op":"add","path":"/a/0","value":2}`,
		`{"op":"add","path":"/a/0/x","value":2}`,
		`{"op":"replace","path":"/a/1","value":4}`,
		`{"op":"remove","path":"/a"}`,
		`{"op":"remove","path":"/a/0"}`,
		`{"op":"remove","path":"/a/0/x"}`,
		`{"op":"move","from":"/a/0","path":"/a/1"}`,
		`{"op":"copy","from":"/a","path":"/a/0/x"}`,
	}
	for _, op := range ops {
		checkPatches(t, []patchTest{
			{op, `{"a":[{"x":1},2,3]}`, `[` + op + `,{"op":"remove","path":"/none"}]`, ``},
		})
	}
}

// Courier's own SDKs send a value with every operation, RFC 6902 does not ask for it.
func TestPatchValueIsOptional(t *testing.T) {
	t.Parallel()
	for _, value := range []string{``, `,"value":""`, `,"value":null`, `,"value":{"a":[1]}`} {
		checkPatches(t, []patchTest{
			{"remove" + value, `{"a":1,"b":2}`,
				`[{"op":"remove","path":"/a"` + value + `}]`, `{"b":2}`},
			{"move" + value, `{"a":1}`,
				`[{"op":"move","from":"/a","path":"/b"` + value + `}]`, `{"b":1}`},
			{"copy" + value, `{"a":1}`,
				`[{"op":"copy","from":"/a","path":"/b"` + value + `}]`, `{"a":1,"b":1}`},
		})
	}
}

func TestPatchPointers(t *testing.T) {
	t.Parallel()
	checkPatches(t, []patchTest{
		{"escapes", `{"a/b":1,"c~d":2,"e f":3,"~1":4}`,
			`[{"op":"remove","path":"/a~1b"},{"op":"remove","path":"/c~0d"},` +
				`{"op":"remove","path":"/e f"}]`,
			`{"~1":4}`},
		{"escapes of JSON", `{"a/b":1,"\n\"\\":2}`,
			`[{"op":"remove","path":"\u002fa\u007e1b"},` +
				`{"op":"test","path":"\/\u000a\"\\","value":2}]`,
			`{"\n\"\\":2}`},
		{"half surrogates", `{"\ud800":1,"\ud801":{"\ud802/~":"\ud803"}}`,
			`[{"op":"test","path":"/\uD801/\uD802~1~0","value":"\uD803"},` +
				`{"op":"remove","path":"/\ud800"},{"op":"add","path":"/\ud804","value":2}]`,
			`{"\ud801":{"\ud802/~":"\ud803"},"\ud804":2}`},
		{"another half surrogate", `{"\ud800":1}`, `[{"op":"remove","path":"/\ud801"}]`, ``},
		{"another case", `{"a":1}`, `[{"op":"remove","path":"/A"}]`, ``},
		{"- of an element", `{"a":[1]}`, `[{"op":"remove","path":"/a/-"}]`, ``},
		{"a name in an array", `{"a":[]}`, `[{"op":"add","path":"/a/b","value":1}]`, ``},
		{"index below zero", `{"a":[1]}`, `[{"op":"remove","path":"/a/-1"}]`, ``},
		{"index that overflows", `{"a":[1]}`,
			`[{"op":"remove","path":"/a/18446744073709551616"}]`, ``},
	})
}

// RFC 6902, section 4.6: strings by their characters, numbers by their value, arrays in
// order, objects in any order.
func TestPatchComparesValues(t *testing.T) {
	t.Parallel()
	tests := []struct {
		a, b  string
		equal bool
	}{
		{`"\u00e9"`, `"é"`, true},
		{`"\ud800"`, `"\uD800"`, true},
		{`"\ud800"`, `"\ud801"`, false},
		{`{"x":1,"y":[2]}`, `{"y":[2],"x":1}`, true},
		{`{"x":1}`, `{"x":1,"y":2}`, false},
		{`{"x":null}`, `{}`, false},
		{`[1,2]`, `[2,1]`, false},
		{`[1]`, `[1,2]`, false},
		{`[1]`, `{"0":1}`, false},
		{`{}`, `[]`, false},
		{`null`, `null`, true},
		{`null`, `false`, false},
		{`true`, `true`, true},
		{`true`, `"true"`, false},
		{`1`, `"1"`, false},
		{`0`, `-0.0e5`, true},
		{`10`, `1e1`, true},
		{`0.001`, `1E-3`, true},
		{`1200`, `0.12e4`, true},
		{`1e1000000000`, `10e999999999`, true},
		{`1e99999999999999999999`, `1e99999999999999999998`, false},
		{`9007199254740993`, `9007199254740992`, false},
		{`1`, `-1`, false},
		{`1`, `10`, false},
		{`0.1`, `1`, false},
	}
	for _, test := range tests {
		h := setUp(t, `{"v":`+test.a+`}`)
		patch := `{"patch":[{"op":"test","path":"/v","value":` + test.b + `}]}`
		w := send(h, "PATCH", "/profiles/u", patch)
		if equal := w.Code == http.StatusNoContent; equal != test.equal {
			t.Errorf("%s and %s: equal is %t, want %t", test.a, test.b, equal, test.equal)
		}
	}
}

func TestMalformedPatches(t *testing.T) {
	t.Parallel()
	checkPatches(t, []patchTest{
		{"null", `{}`, `null`, ``},
		{"an object", `{}`, `{"op":"add","path":"/a","value":1}`, ``},
		{"an element that is no object", `{}`, `["add"]`, ``},
		{"a null element", `{}`, `[null]`, ``},
		{"no op", `{}`, `[{"path":"/a","value":1}]`, ``},
		{"unknown op", `{}`, `[{"op":"ADD","path":"/a","value":1}]`, ``},
		{"no path", `{}`, `[{"op":"add","value":1}]`, ``},
		{"null path", `{}`, `[{"op":"add","path":null,"value":1}]`, ``},
		{"path without a slash", `{}`, `[{"op":"add","path":"a","value":1}]`, ``},
		{"no value in add", `{}`, `[{"op":"add","path":"/a"}]`, ``},
		{"no value in replace", `{"a":1}`, `[{"op":"replace","path":"/a"}]`, ``},
		{"no from in move", `{"a":1}`, `[{"op":"move","path":"/a"}]`, ``},
		{"no from in copy", `{"a":1}`, `[{"op":"copy","path":"/a"}]`, ``},
		{"a profile that is an array", `{}`, `[{"op":"replace","path":"","value":[]}]`, ``},
		{"a profile that is null", `{}`, `[{"op":"replace","path":"","value":null}]`, ``},
		{"no profile", `{}`, `[{"op":"remove","path":""}]`, ``},
	})
}

// applyLibrary applies a patch with evanphx/json-patch at its strictest.
func applyLibrary(profile, patch string) (patched string, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	p, err := jsonpatch.DecodePatch([]byte(patch))
	if err != nil {
		return "", err
	}
	options := jsonpatch.NewApplyOptions()
	options.SupportNegativeIndices = false
	options.EscapeHTML = false
	text, err := p.ApplyWithOptions([]byte(profile), options)
	return string(text), err
}

// What evanphx/json-patch does differently from RFC 6902. When all of these cases fail
// because the library does the same, patch.go can go.
func TestPatchDiffersFromLibrary(t *testing.T) {
	t.Parallel()
	tests := []patchTest{
		{"test of null in an array", `{"a":[null]}`,
			`[{"op":"test","path":"/a","value":[null]}]`, `{"a":[null]}`},
		{"test of null against absent", `{}`,
			`[{"op":"test","path":"/a","value":null}]`, ``},
		{"test without a value", `{}`, `[{"op":"test","path":"/a"}]`, ``},
		{"test of a null just added", `{}`,
			`[{"op":"add","path":"/a","value":null},{"op":"test","path":"/a","value":null}]`,
			`{"a":null}`},
		{"test of numbers with a point", `{"a":1}`,
			`[{"op":"test","path":"/a","value":1.0}]`, `{"a":1}`},
		{"test of numbers with an exponent", `{"a":100}`,
			`[{"op":"test","path":"/a","value":1E+2}]`, `{"a":100}`},
		{"leading zero", `{"a":[1,2]}`, `[{"op":"remove","path":"/a/01"}]`, ``},
		{"plus sign", `{"a":[1,2]}`, `[{"op":"remove","path":"/a/+1"}]`, ``},
		{"minus sign", `{"a":[1,2]}`, `[{"op":"remove","path":"/a/-0"}]`, ``},
		{"pointer without a slash", `{"a":1}`,
			`[{"op":"replace","path":"b/a","value":2}]`, ``},
		{"bad escape", `{"~2":1}`, `[{"op":"replace","path":"/~2","value":2}]`, ``},
		{"escape cut short", `{"a~":1}`, `[{"op":"remove","path":"/a~"}]`, ``},
		{"test of the empty name", `{"":1}`,
			`[{"op":"test","path":"/","value":1}]`, `{"":1}`},
		{"replace of no empty name", `{"a":1}`,
			`[{"op":"replace","path":"/","value":1}]`, ``},
		{"copy of the empty name", `{"":1}`,
			`[{"op":"copy","from":"/","path":"/b"}]`, `{"":1,"b":1}`},
		{"below the empty name", `{"":{"a":1}}`,
			`[{"op":"replace","path":"//a","value":2}]`, `{"":{"a":2}}`},
		{"further below the empty name", `{"x":{"":{"a":1}}}`,
			`[{"op":"replace","path":"/x//a","value":2}]`, `{"x":{"":{"a":2}}}`},
		{"move to the profile", `{"a":{"x":1}}`,
			`[{"op":"move","from":"/a","path":""}]`, `{"x":1}`},
		{"copy to the profile", `{"a":{"x":1}}`,
			`[{"op":"copy","from":"/a","path":""}]`, `{"x":1}`},
		{"move into itself", `{"a":[{"x":1},{}]}`,
			`[{"op":"move","from":"/a/0","path":"/a/0/b"}]`, ``},
	}
	checkPatches(t, tests)
	for _, test := range tests {
		got, err := applyLibrary(test.profile, test.patch)
		switch {
		case err != nil && test.want == "":
			t.Errorf("%s: json-patch returns an error, too: %v", test.name, err)
		case err == nil && got == test.want:
			t.Errorf("%s: json-patch returns the same: %s", test.name, got)
		}
	}
}

// comparePatch makes a profile and a patch of a fuzzer's bytes and checks that the fake
// and evanphx/json-patch do the same. It makes nothing that TestPatchDiffersFromLibrary
// lists: nulls, empty names, numbers with two spellings. It reports whether the patch
// could be applied.
func comparePatch(t *testing.T, bytes []byte) bool {
	t.Helper()
	g := &generator{bytes: bytes}
	pointer := func() string {
		tokens := []string{"/a", "/b", "/a", "/b", "/0", "/1", "/-", "/x~1y", "/m~0n"}
		path := tokens[g.next(len(tokens))]
		for g.next(3) == 2 {
			path += tokens[g.next(len(tokens))]
		}
		return path
	}
	ops := make([]string, 1+g.next(3))
	for i := range ops {
		op := []string{"add", "remove", "replace", "move", "copy", "test"}[g.next(6)]
		path, from := pointer(), pointer()
		if strings.HasPrefix(path, from) {
			from = path // a move into itself is an error only here
		}
		ops[i] = fmt.Sprintf(`{"op":%q,"path":%q,"from":%q,"value":%s}`, op, path, from, g.value(2))
	}
	patch := "[" + strings.Join(ops, ",") + "]"
	profile := g.object(4)

	h := setUp(t, profile)
	w := send(h, "PATCH", "/profiles/u", `{"patch":`+patch+`}`)
	applied := w.Code == http.StatusNoContent
	want, err := applyLibrary(profile, patch)
	if applied != (err == nil) {
		t.Fatalf("%s\n%s\nresponse %d %s, json-patch %v", profile, patch, w.Code, w.Body, err)
	}
	if applied {
		wantProfile(t, h, "u", want)
	}
	if t.Failed() {
		t.Fatalf("%s\n%s", profile, patch)
	}
	return applied
}

func TestPatchAgreesWithLibrary(t *testing.T) {
	t.Parallel()
	random := rand.NewChaCha8([32]byte{})
	applied := 0
	for range 1_500 {
		bytes := make([]byte, 100)
		_, _ = random.Read(bytes) // never fails
		if comparePatch(t, bytes) {
			applied++
		}
	}
	if applied < 150 {
		t.Errorf("only %d patches could be applied: too few to say anything", applied)
	}
}

func FuzzPatch(f *testing.F) {
	f.Add([]byte("\x01\x00\x00\x01\x01\x00\x01\x00\x05\x02\x03\x01\x02"))
	f.Fuzz(func(t *testing.T, bytes []byte) { comparePatch(t, bytes) })
}
