package couriertest

import (
	"fmt"
	"strings"
	"testing"

	jsonpatch "github.com/evanphx/json-patch/v5"
)

// mergeText merges JSON texts.
func mergeText(t *testing.T, target, patch string) string {
	t.Helper()
	return string(format(merge(mustParse(t, target), mustParse(t, patch))))
}

func mustParse(t *testing.T, text string) any {
	t.Helper()
	value, err := parse([]byte(text))
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return value
}

func TestMerge(t *testing.T) {
	t.Parallel()
	tests := []struct{ target, patch, want string }{
		// RFC 7396, appendix A.
		{`{"a":"b"}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"b"}`, `{"b":"c"}`, `{"a":"b","b":"c"}`},
		{`{"a":"b"}`, `{"a":null}`, `{}`},
		{`{"a":"b","b":"c"}`, `{"a":null}`, `{"b":"c"}`},
		{`{"a":["b"]}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"c"}`, `{"a":["b"]}`, `{"a":["b"]}`},
		{`{"a":{"b":"c"}}`, `{"a":{"b":"d","c":null}}`, `{"a":{"b":"d"}}`},
		{`{"a":[{"b":"c"}]}`, `{"a":[1]}`, `{"a":[1]}`},
		{`["a","b"]`, `["c","d"]`, `["c","d"]`},
		{`{"a":"b"}`, `["c"]`, `["c"]`},
		{`{"a":"foo"}`, `null`, `null`},
		{`{"a":"foo"}`, `"bar"`, `"bar"`},
		{`{"e":null}`, `{"a":1}`, `{"e":null,"a":1}`},
		{`[1,2]`, `{"a":"b","c":null}`, `{"a":"b"}`},
		{`{}`, `{"a":{"bb":{"ccc":null}}}`, `{"a":{"bb":{}}}`},
		// Beyond the RFC's examples.
		{`{"custom":{"plan":"free","seats":3}}`, `{"custom":{"plan":"pro"}}`, `{"custom":{"plan":"pro","seats":3}}`},
		{`{"n":1}`, `{"n":9007199254740993.10}`, `{"n":9007199254740993.10}`},
		{`{}`, `{"":{"":1}}`, `{"":{"":1}}`},
		{`{"a":1}`, `{"A":2}`, `{"a":1,"A":2}`},
		{`{"a":1}`, `{}`, `{"a":1}`},
		{`{}`, `{"a":[{"b":null}]}`, `{"a":[{"b":null}]}`},
		{`{"\ud800":{"a":1}}`, `{"\ud800":{"\ud801":"\ud802"}}`, `{"\ud800":{"a":1,"\ud801":"\ud802"}}`},
	}
	for _, test := range tests {
		t.Run(test.target+" "+test.patch, func(t *testing.T) {
			t.Parallel()
			wantJSON(t, mergeText(t, test.target, test.patch), test.want)
		})
	}
}

// When this test fails, the library has caught up with the RFC, and merge.go can go if
// the library keeps half surrogates as well.
func TestMergeDiffersFromLibrary(t *testing.T) {
	t.Parallel()
	got, err := jsonpatch.MergePatch([]byte(`{}`), []byte(`{"a":[{"b":null}]}`))
	if err != nil || string(got) == `{"a":[{"b":null}]}` {
		t.Errorf("json-patch merges to %s, %v, which is right", got, err)
	}
}

// FuzzMergePatch holds merge against evanphx/json-patch on documents without what the
// library gets wrong: nulls inside arrays, and what it escapes.
func FuzzMergePatch(f *testing.F) {
	f.Add([]byte{}, []byte{})
	f.Add([]byte("\x01\x02\x03\x04\x05\x06\x07\x08"), []byte("\x08\x07\x06\x05\x04\x03\x02\x01"))
	f.Add([]byte("\x12\x03\x35\x41\x55\x62\x73\x84\x91\x05"), []byte("\x13\x03\x30\x41\x50\x62\x70\x84\x91"))
	f.Fuzz(func(t *testing.T, targetBytes, patchBytes []byte) {
		target := (&generator{bytes: targetBytes}).object(4)
		patch := (&generator{bytes: patchBytes, nulls: true}).object(4)
		want, err := jsonpatch.MergePatch([]byte(target), []byte(patch))
		if err != nil {
			t.Fatalf("%s and %s: %v", target, patch, err)
		}
		wantJSON(t, mergeText(t, target, patch), string(want))
	})
}

// generator makes JSON of a fuzzer's bytes. When they have run out it makes the
// shortest values.
type generator struct {
	bytes []byte
	nulls bool // whether members of objects may be null
}

// next returns a number below n.
func (g *generator) next(n int) int {
	if len(g.bytes) == 0 {
		return 0
	}
	b := g.bytes[0]
	g.bytes = g.bytes[1:]
	return int(b) % n
}

func (g *generator) object(depth int) string {
	var members []string
	names := []string{"a", "b", "0", "x/y", "m~n", "é"}
	for len(names) > 0 && g.next(4) > 0 {
		i := g.next(len(names))
		value := "null"
		if !g.nulls || g.next(4) > 0 {
			value = g.value(depth - 1)
		}
		members = append(members, fmt.Sprintf(`%q:%s`, names[i], value))
		names = append(names[:i], names[i+1:]...)
	}
	return "{" + strings.Join(members, ",") + "}"
}

// value makes any value but null. Objects in arrays have no nulls either.
func (g *generator) value(depth int) string {
	switch kind := g.next(6); {
	case kind == 4 && depth > 0:
		return g.object(depth)
	case kind == 5 && depth > 0:
		var elements []string
		inner := generator{bytes: g.bytes}
		for inner.next(4) > 0 {
			elements = append(elements, inner.value(depth-1))
		}
		g.bytes = inner.bytes
		return "[" + strings.Join(elements, ",") + "]"
	default:
		return []string{"0", "1", "true", `"text é"`}[kind%4]
	}
}

func BenchmarkMerge(b *testing.B) {
	h := NewHandler()
	h.MaxRequests = -1
	const body = `{"profile":{"email":"user@example.com","custom":{"plan":"pro"}}}`
	b.ReportAllocs()
	for b.Loop() {
		send(h, "POST", "/profiles/u", body)
	}
}
