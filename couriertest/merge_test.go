package couriertest

import (
	"testing"

	jsonpatch "github.com/evanphx/json-patch/v5"
)

func TestMerge(t *testing.T) {
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
		// Of this API.
		{`{"custom":{"plan":"free","seats":3}}`, `{"custom":{"plan":"pro"}}`, `{"custom":{"plan":"pro","seats":3}}`},
		{`{"n":1}`, `{"n":9007199254740993.10}`, `{"n":9007199254740993.10}`},
		{`{}`, `{"":{"":1}}`, `{"":{"":1}}`},
		{`{"a":1}`, `{"A":2}`, `{"a":1,"A":2}`},
		{`{"a":1}`, `{}`, `{"a":1}`},
		{`{}`, `{"a":[{"b":null}]}`, `{"a":[{"b":null}]}`},
	}
	for _, test := range tests {
		t.Run(test.target+" "+test.patch, func(t *testing.T) {
			got := merge(mustDecode(t, test.target), mustDecode(t, test.patch))
			wantJSON(t, mustEncode(t, got), test.want)
		})
	}
}

// When this test fails, the library has caught up with the RFC and merge.go can
// go.
func TestMergeIsNotTheLibrarys(t *testing.T) {
	got, err := jsonpatch.MergePatch([]byte(`{}`), []byte(`{"a":[{"b":null}]}`))
	if err != nil || string(got) == `{"a":[{"b":null}]}` {
		t.Errorf("json-patch merges to %s, %v, which is right", got, err)
	}
}

func TestEncodeKeepsHTML(t *testing.T) {
	const text = `{"<&>":"<b>&amp;</b>"}`
	if got := mustEncode(t, mustDecode(t, text)); got != text {
		t.Errorf("got %s, want %s", got, text)
	}
}
