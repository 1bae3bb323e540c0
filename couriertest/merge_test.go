package couriertest

import (
	"testing"

	jsonpatch "github.com/evanphx/json-patch/v5"
)

// mergeJSON returns target merged with patch, and checks that merge does not change target.
func mergeJSON(t *testing.T, target, patch string) string {
	t.Helper()
	parsedTarget, err := parse([]byte(target))
	if err != nil {
		t.Fatalf("%q: %v", target, err)
	}
	parsedPatch, err := parse([]byte(patch))
	if err != nil {
		t.Fatalf("%q: %v", patch, err)
	}
	merged := string(format(merge(parsedTarget, parsedPatch)))
	wantJSON(t, string(format(parsedTarget)), target)
	return merged
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

		// Not in the RFC: members that the patch does not name stay.
		{`{"custom":{"plan":"free","seats":3}}`, `{"custom":{"plan":"pro"}}`,
			`{"custom":{"plan":"pro","seats":3}}`},
		// A number keeps every digit.
		{`{"n":1}`, `{"n":9007199254740993.10}`, `{"n":9007199254740993.10}`},
		// Names may be empty, or differ only in case. A patch may be empty.
		{`{}`, `{"":{"":1}}`, `{"":{"":1}}`},
		{`{"a":1}`, `{"A":2}`, `{"a":1,"A":2}`},
		{`{"a":1}`, `{}`, `{"a":1}`},
		// In an array, null is a value.
		{`{}`, `{"a":[{"b":null}]}`, `{"a":[{"b":null}]}`},
		// Unpaired surrogates stay as they are, and are not mistaken for each other.
		{`{"\ud800":{"a":1}}`, `{"\ud800":{"\ud801":"\ud802"}}`,
			`{"\ud800":{"a":1,"\ud801":"\ud802"}}`},
	}
	for _, test := range tests {
		t.Run(test.target+" "+test.patch, func(t *testing.T) {
			t.Parallel()
			wantJSON(t, mergeJSON(t, test.target, test.patch), test.want)
		})
	}
}

// When this test fails, json-patch has caught up with the RFC, and merge.go can go.
func TestMergeDiffersFromLibrary(t *testing.T) {
	t.Parallel()
	const patch = `{"a":[{"b":null}]}` // which replaces all of {}, null included
	got, err := jsonpatch.MergePatch([]byte(`{}`), []byte(patch))
	if err != nil {
		t.Fatal(err)
	}
	if string(got) == patch {
		t.Errorf("json-patch merges to %s, want something else", got)
	}
}

// FuzzMergePatch compares merge with evanphx/json-patch. No document has a null inside an
// array, which the library gets wrong.
func FuzzMergePatch(f *testing.F) {
	f.Add([]byte{}, []byte{})
	f.Add([]byte("\x01\x02\x03\x04\x05\x06\x07\x08"), []byte("\x08\x07\x06\x05\x04\x03\x02\x01"))
	f.Add([]byte("\x12\x03\x35\x41\x55\x62\x73\x84"), []byte("\x13\x03\x30\x41\x50\x62\x70\x84"))
	f.Fuzz(func(t *testing.T, targetBytes, patchBytes []byte) {
		const depth = 4
		target := (&generator{bytes: targetBytes}).object(depth)
		patch := (&generator{bytes: patchBytes, nulls: true}).object(depth)
		want, err := jsonpatch.MergePatch([]byte(target), []byte(patch))
		if err != nil {
			t.Fatalf("%s and %s: %v", target, patch, err)
		}
		wantJSON(t, mergeJSON(t, target, patch), string(want))
	})
}

// BenchmarkMergeRequest measures a whole request that merges, not the merge alone.
func BenchmarkMergeRequest(b *testing.B) {
	h := NewHandler()
	h.MaxRequests = -1
	const body = `{"profile":{"email":"user@example.com","custom":{"plan":"pro"}}}`
	b.ReportAllocs()
	for b.Loop() {
		send(h, "POST", "/profiles/u", body)
	}
}
