package couriertest

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	jsonpatch "github.com/evanphx/json-patch/v5"
)

// patchText applies a patch, both as JSON.
func patchText(t *testing.T, doc, patch string) (string, error) {
	t.Helper()
	ops, err := parsePatch(mustParse(t, patch))
	if err != nil {
		return "", err
	}
	patched, err := applyPatch(mustParse(t, doc), ops)
	if err != nil {
		return "", err
	}
	return string(format(patched)), nil
}

// libraryPatchText does the same with evanphx/json-patch at its strictest.
func libraryPatchText(doc, patch string) (patched string, err error) {
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
	text, err := p.ApplyWithOptions([]byte(doc), options)
	return string(text), err
}

func TestPatch(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, doc, patch, want string // want: "" for an error
	}{
		// RFC 6902, appendix A, in its order.
		{"add a member", `{"foo":"bar"}`, `[{"op":"add","path":"/baz","value":"qux"}]`, `{"baz":"qux","foo":"bar"}`},
		{"add an element", `{"foo":["bar","baz"]}`, `[{"op":"add","path":"/foo/1","value":"qux"}]`, `{"foo":["bar","qux","baz"]}`},
		{"remove a member", `{"baz":"qux","foo":"bar"}`, `[{"op":"remove","path":"/baz"}]`, `{"foo":"bar"}`},
		{"remove an element", `{"foo":["bar","qux","baz"]}`, `[{"op":"remove","path":"/foo/1"}]`, `{"foo":["bar","baz"]}`},
		{"replace", `{"baz":"qux","foo":"bar"}`, `[{"op":"replace","path":"/baz","value":"boo"}]`, `{"baz":"boo","foo":"bar"}`},
		{"move a member", `{"foo":{"bar":"baz","waldo":"fred"},"qux":{"corge":"grault"}}`, `[{"op":"move","from":"/foo/waldo","path":"/qux/thud"}]`, `{"foo":{"bar":"baz"},"qux":{"corge":"grault","thud":"fred"}}`},
		{"move an element", `{"foo":["all","grass","cows","eat"]}`, `[{"op":"move","from":"/foo/1","path":"/foo/3"}]`, `{"foo":["all","cows","eat","grass"]}`},
		{"test", `{"baz":"qux","foo":["a",2,"c"]}`, `[{"op":"test","path":"/baz","value":"qux"},{"op":"test","path":"/foo/1","value":2}]`, `{"baz":"qux","foo":["a",2,"c"]}`},
		{"test fails", `{"baz":"qux"}`, `[{"op":"test","path":"/baz","value":"bar"}]`, ``},
		{"add an object", `{"foo":"bar"}`, `[{"op":"add","path":"/child","value":{"grandchild":{}}}]`, `{"foo":"bar","child":{"grandchild":{}}}`},
		{"unknown members are ignored", `{"foo":"bar"}`, `[{"op":"add","path":"/baz","value":"qux","xyz":123}]`, `{"foo":"bar","baz":"qux"}`},
		{"add to what is not there", `{"foo":"bar"}`, `[{"op":"add","path":"/baz/bat","value":"qux"}]`, ``},
		{"~ escapes", `{"/":9,"~1":10}`, `[{"op":"test","path":"/~01","value":10}]`, `{"/":9,"~1":10}`},
		{"string against number", `{"/":9,"~1":10}`, `[{"op":"test","path":"/~01","value":"10"}]`, ``},
		{"add an array", `{"foo":["bar"]}`, `[{"op":"add","path":"/foo/-","value":["abc","def"]}]`, `{"foo":["bar",["abc","def"]]}`},

		{"no operations", `{"a":1}`, `[]`, `{"a":1}`},
		{"copy", `{"a":{"b":[1]}}`, `[{"op":"copy","from":"/a","path":"/c"},{"op":"add","path":"/a/b/-","value":2}]`, `{"a":{"b":[1,2]},"c":{"b":[1]}}`},
		{"copy the document into itself", `{"a":1}`, `[{"op":"copy","from":"","path":"/b"}]`, `{"a":1,"b":{"a":1}}`},
		{"move to itself", `{"a":[1]}`, `[{"op":"move","from":"/a","path":"/a"}]`, `{"a":[1]}`},
		{"move to what begins alike", `{"a":1}`, `[{"op":"move","from":"/a","path":"/ab"}]`, `{"ab":1}`},
		{"add replaces a member", `{"a":1}`, `[{"op":"add","path":"/a","value":2}]`, `{"a":2}`},
		{"add at the end", `{"a":[1]}`, `[{"op":"add","path":"/a/1","value":2}]`, `{"a":[1,2]}`},
		{"add beyond the end", `{"a":[1]}`, `[{"op":"add","path":"/a/2","value":2}]`, ``},
		{"element in an element", `{"a":[[1],[2]]}`, `[{"op":"add","path":"/a/1/0","value":0},{"op":"remove","path":"/a/0/0"}]`, `{"a":[[],[0,2]]}`},
		{"replace an element", `{"a":[1,2,3]}`, `[{"op":"replace","path":"/a/1","value":{"x":null}}]`, `{"a":[1,{"x":null},3]}`},
		{"replace the last element", `{"a":[1,2]}`, `[{"op":"replace","path":"/a/1","value":3}]`, `{"a":[1,3]}`},
		{"replace what is not there", `{"a":1}`, `[{"op":"replace","path":"/b","value":2}]`, ``},
		{"remove what is not there", `{"a":1}`, `[{"op":"remove","path":"/b"}]`, ``},
		{"remove behind the end", `{"a":[1]}`, `[{"op":"remove","path":"/a/-"}]`, ``},
		{"replace behind the end", `{"a":[1]}`, `[{"op":"replace","path":"/a/-","value":1}]`, ``},
		{"remove below zero", `{"a":[1]}`, `[{"op":"remove","path":"/a/-1"}]`, ``},
		{"move from what is not there", `{}`, `[{"op":"move","from":"/a","path":"/b"}]`, ``},
		{"copy from what is not there", `{}`, `[{"op":"copy","from":"/a","path":"/b"}]`, ``},
		{"into a string", `{"a":"x"}`, `[{"op":"add","path":"/a/b","value":1}]`, ``},
		{"into null", `{"a":null}`, `[{"op":"add","path":"/a/b","value":1}]`, ``},
		{"member of an array", `{"a":[]}`, `[{"op":"add","path":"/a/b","value":1}]`, ``},
		{"index that overflows", `{"a":[1]}`, `[{"op":"remove","path":"/a/18446744073709551616"}]`, ``},
		{"the document", `{"a":1}`, `[{"op":"replace","path":"","value":{"b":2}},{"op":"test","path":"","value":{"b":2}}]`, `{"b":2}`},
		{"null values", `{"a":null}`, `[{"op":"copy","from":"/a","path":"/b"},{"op":"add","path":"/c","value":null},{"op":"test","path":"/a","value":null},{"op":"replace","path":"/a","value":1}]`, `{"a":1,"b":null,"c":null}`},
		{"values of every type", `{}`, `[{"op":"add","path":"/a","value":true},{"op":"add","path":"/b","value":"<&>"},{"op":"add","path":"/c","value":[null,{}]},{"op":"add","path":"/d","value":-0.10e+2}]`, `{"a":true,"b":"<&>","c":[null,{}],"d":-0.10e+2}`},
		{"digits stay", `{"n":9007199254740993}`, `[{"op":"move","from":"/n","path":"/m"},{"op":"copy","from":"/m","path":"/k"},{"op":"add","path":"/big","value":1E400}]`, `{"m":9007199254740993,"k":9007199254740993,"big":1E400}`},
		{"escapes", `{"a/b":1,"c~d":2,"e f":3,"~1":4}`, `[{"op":"remove","path":"/a~1b"},{"op":"remove","path":"/c~0d"},{"op":"remove","path":"/e f"}]`, `{"~1":4}`},
		{"case matters", `{"a":1}`, `[{"op":"test","path":"/A","value":1}]`, ``},
		{"half surrogates", `{"\ud800":1,"\ud801":{"\ud802/~":"\ud803"}}`, `[{"op":"test","path":"/\uD801/\uD802~1~0","value":"\uD803"},{"op":"remove","path":"/\ud800"},{"op":"add","path":"/\ud804","value":2}]`, `{"\ud801":{"\ud802/~":"\ud803"},"\ud804":2}`},
		{"half surrogates that differ", `{"a":"\ud800"}`, `[{"op":"test","path":"/a","value":"\ud801"}]`, ``},
		{"no member by another half surrogate", `{"\ud800":1}`, `[{"op":"remove","path":"/\ud801"}]`, ``},
		{"escapes in the pointer's JSON", `{"a/b":1,"\n\"\\":2}`, `[{"op":"remove","path":"\u002fa\u007e1b"},{"op":"test","path":"\/\u000a\"\\","value":2}]`, `{"\n\"\\":2}`},
		{"strings by their characters", `{"a":"\u00e9"}`, `[{"op":"test","path":"/a","value":"é"}]`, `{"a":"\u00e9"}`},
		{"objects in any order", `{"a":{"x":1,"y":[2]}}`, `[{"op":"test","path":"/a","value":{"y":[2],"x":1}}]`, `{"a":{"x":1,"y":[2]}}`},
		{"arrays in order", `{"a":[1,2]}`, `[{"op":"test","path":"/a","value":[2,1]}]`, ``},
		{"an object with more", `{"a":{"x":1}}`, `[{"op":"test","path":"/a","value":{"x":1,"y":2}}]`, ``},
		{"null against absent", `{"a":{"x":null}}`, `[{"op":"test","path":"/a","value":{}}]`, ``},

		{"no array", `{}`, `{"op":"add","path":"/a","value":1}`, ``},
		{"an element that is no object", `{}`, `["add"]`, ``},
		{"null element", `{}`, `[null]`, ``},
		{"no op", `{}`, `[{"path":"/a","value":1}]`, ``},
		{"unknown op", `{}`, `[{"op":"ADD","path":"/a","value":1}]`, ``},
		{"no path", `{}`, `[{"op":"add","value":1}]`, ``},
		{"null path", `{}`, `[{"op":"add","path":null,"value":1}]`, ``},
		{"pointer without a slash", `{}`, `[{"op":"add","path":"a","value":1}]`, ``},
		{"no value in add", `{}`, `[{"op":"add","path":"/a"}]`, ``},
		{"no value in replace", `{"a":1}`, `[{"op":"replace","path":"/a"}]`, ``},
		{"no from in move", `{"a":1}`, `[{"op":"move","path":"/a"}]`, ``},
		{"no from in copy", `{"a":1}`, `[{"op":"copy","path":"/a"}]`, ``},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got, err := patchText(t, test.doc, test.patch)
			if (err != nil) != (test.want == "") {
				t.Fatalf("error %v, want %q", err, test.want)
			}
			wantJSON(t, got, test.want)
		})
	}
}

// What evanphx/json-patch does differently from RFC 6902. When all of these cases fail
// because the library does the same, patch.go can go if the library keeps half
// surrogates as well.
func TestPatchDiffersFromLibrary(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, doc, patch, want string // want: "" for an error
	}{
		{"test of null in an array", `{"a":[null]}`, `[{"op":"test","path":"/a","value":[null]}]`, `{"a":[null]}`},
		{"test of null against absent", `{}`, `[{"op":"test","path":"/a","value":null}]`, ``},
		{"test without a value", `{}`, `[{"op":"test","path":"/a"}]`, ``},
		{"test of a null just added", `{}`, `[{"op":"add","path":"/a","value":null},{"op":"test","path":"/a","value":null}]`, `{"a":null}`},
		{"test of numbers with a point", `{"a":1}`, `[{"op":"test","path":"/a","value":1.0}]`, `{"a":1}`},
		{"test of numbers with an exponent", `{"a":100}`, `[{"op":"test","path":"/a","value":1E+2}]`, `{"a":100}`},
		{"leading zero", `{"a":[1,2]}`, `[{"op":"remove","path":"/a/01"}]`, ``},
		{"plus sign", `{"a":[1,2]}`, `[{"op":"remove","path":"/a/+1"}]`, ``},
		{"minus sign", `{"a":[1,2]}`, `[{"op":"remove","path":"/a/-0"}]`, ``},
		{"pointer without a slash", `{"a":1}`, `[{"op":"replace","path":"b/a","value":2}]`, ``},
		{"bad escape", `{"~2":1}`, `[{"op":"replace","path":"/~2","value":2}]`, ``},
		{"escape cut short", `{"a~":1}`, `[{"op":"remove","path":"/a~"}]`, ``},
		{"test of the empty name", `{"":1}`, `[{"op":"test","path":"/","value":1}]`, `{"":1}`},
		{"replace of no empty name", `{"a":1}`, `[{"op":"replace","path":"/","value":1}]`, ``},
		{"copy of the empty name", `{"":1}`, `[{"op":"copy","from":"/","path":"/b"}]`, `{"":1,"b":1}`},
		{"below the empty name", `{"":{"a":1}}`, `[{"op":"replace","path":"//a","value":2}]`, `{"":{"a":2}}`},
		{"further below the empty name", `{"x":{"":{"a":1}}}`, `[{"op":"replace","path":"/x//a","value":2}]`, `{"x":{"":{"a":2}}}`},
		{"move to the document", `{"a":{"x":1}}`, `[{"op":"move","from":"/a","path":""}]`, `{"x":1}`},
		{"copy to the document", `{"a":{"x":1}}`, `[{"op":"copy","from":"/a","path":""}]`, `{"x":1}`},
		{"move into itself", `{"a":[{"x":1},{}]}`, `[{"op":"move","from":"/a/0","path":"/a/0/b"}]`, ``},
		{"null for a patch", `{}`, `null`, ``},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got, err := patchText(t, test.doc, test.patch)
			if (err != nil) != (test.want == "") {
				t.Fatalf("error %v, want %q", err, test.want)
			}
			wantJSON(t, got, test.want)

			got, err = libraryPatchText(test.doc, test.patch)
			if err == nil && got == test.want || err != nil && test.want == "" {
				t.Errorf("json-patch does the same: %s, %v", got, err)
			}
		})
	}
}

func TestPatchComparesNumbersByValue(t *testing.T) {
	t.Parallel()
	tests := []struct {
		a, b string
		want bool
	}{
		{"0", "-0.0e5", true},
		{"10", "1e1", true},
		{"0.001", "1E-3", true},
		{"1200", "0.12e4", true},
		{"1e1000000000", "10e999999999", true},
		{"1e99999999999999999999", "1e99999999999999999998", false},
		{"9007199254740993", "9007199254740992", false},
		{"1", "-1", false},
		{"1", "10", false},
		{"0.1", "1", false},
	}
	for _, test := range tests {
		if got := equal(mustParse(t, test.a), mustParse(t, test.b)); got != test.want {
			t.Errorf("%s = %s is %t, want %t", test.a, test.b, got, test.want)
		}
	}
}

// comparePatch makes a document and a patch of a fuzzer's bytes and checks that both
// implementations do the same. It makes nothing that TestPatchDiffersFromLibrary
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
	doc := g.object(4)

	got, err := patchText(t, doc, patch)
	want, wantErr := libraryPatchText(doc, patch)
	if (err != nil) != (wantErr != nil) {
		t.Fatalf("%s\n%s\nerror %v, json-patch %v", doc, patch, err, wantErr)
	}
	wantJSON(t, got, want)
	if t.Failed() {
		t.Fatalf("%s\n%s", doc, patch)
	}
	return err == nil
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
