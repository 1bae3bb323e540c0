package courier_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	courier "github.com/courier-profiles/courier-go"
)

func TestPatchBody(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		ops  []courier.PatchOp
		want string
	}{
		{"nil", nil, `[]`},
		{"empty", []courier.PatchOp{}, `[]`},
		{"add", []courier.PatchOp{courier.PatchAdd("/email", "a@example.com")}, `[{"op":"add","path":"/email","value":"a@example.com"}]`},
		{"remove has no value", []courier.PatchOp{courier.PatchRemove("/email")}, `[{"op":"remove","path":"/email"}]`},
		{"replace", []courier.PatchOp{courier.PatchReplace("/email", "")}, `[{"op":"replace","path":"/email","value":""}]`},
		{"move has from and no value", []courier.PatchOp{courier.PatchMove("/a", "/b")}, `[{"op":"move","from":"/a","path":"/b"}]`},
		{"copy has from and no value", []courier.PatchOp{courier.PatchCopy("/a", "/b")}, `[{"op":"copy","from":"/a","path":"/b"}]`},
		{"test", []courier.PatchOp{courier.PatchTest("/a", false)}, `[{"op":"test","path":"/a","value":false}]`},
		{"null is a value", []courier.PatchOp{courier.PatchAdd("/a", nil), courier.PatchReplace("/a", nil), courier.PatchTest("/a", nil)},
			`[{"op":"add","path":"/a","value":null},{"op":"replace","path":"/a","value":null},{"op":"test","path":"/a","value":null}]`},
		{"order", []courier.PatchOp{courier.PatchTest("/a", 1), courier.PatchRemove("/a"), courier.PatchAdd("/a", 2), courier.PatchRemove("/a")},
			`[{"op":"test","path":"/a","value":1},{"op":"remove","path":"/a"},{"op":"add","path":"/a","value":2},{"op":"remove","path":"/a"}]`},
		{"the whole profile", []courier.PatchOp{courier.PatchReplace("", map[string]any{}), courier.PatchCopy("", "/a"), courier.PatchMove("/a", ""), courier.PatchMove("", "")},
			`[{"op":"replace","path":"","value":{}},{"op":"copy","from":"","path":"/a"},{"op":"move","from":"/a","path":""},{"op":"move","from":"","path":""}]`},
		{"paths", []courier.PatchOp{courier.PatchRemove("/"), courier.PatchRemove("//"), courier.PatchRemove("/a//b/"), courier.PatchRemove("/~0~1~01"), courier.PatchRemove("/a/-"), courier.PatchRemove("/a/0"), courier.PatchRemove("/ü \"<\\\n")},
			`[{"op":"remove","path":"/"},{"op":"remove","path":"//"},{"op":"remove","path":"/a//b/"},{"op":"remove","path":"/~0~1~01"},{"op":"remove","path":"/a/-"},{"op":"remove","path":"/a/0"},{"op":"remove","path":"/ü \"<\\\n"}]`},
		{"moves that are not into themselves", []courier.PatchOp{courier.PatchMove("/a", "/ab"), courier.PatchMove("/a/b", "/a"), courier.PatchMove("/a", "/a"), courier.PatchCopy("/a", "/a/b")},
			`[{"op":"move","from":"/a","path":"/ab"},{"op":"move","from":"/a/b","path":"/a"},{"op":"move","from":"/a","path":"/a"},{"op":"copy","from":"/a","path":"/a/b"}]`},
		{"objects of this package", []courier.PatchOp{
			courier.PatchReplace("/address", courier.Address{Country: courier.Set("<GB>"), Locality: courier.Null[string](), Extra: map[string]any{"x": 1}}), courier.PatchAdd("/expo/tokens", courier.TokenList("a")),
			courier.PatchAdd("/a", courier.Set("a")), courier.PatchAdd("/a", courier.Null[string]()), courier.PatchAdd("", courier.Profile{Email: courier.Set("e")}),
		}, `[{"op":"replace","path":"/address","value":{"locality":null,"country":"<GB>","x":1}},{"op":"add","path":"/expo/tokens","value":["a"]},{"op":"add","path":"/a","value":"a"},{"op":"add","path":"/a","value":null},{"op":"add","path":"","value":{"email":"e"}}]`},
		{"RawMessage", []courier.PatchOp{courier.PatchAdd("/a", json.RawMessage(`{"a":[1.0,"\ud800"],"a":2}`))}, `[{"op":"add","path":"/a","value":{"a":[1.0,"\ud800"],"a":2}}]`},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			client, body := recordingClient(t)
			for range 2 { // ops can be sent again
				if _, err := client.Profiles.Patch(t.Context(), "user-1", test.ops); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(`{"patch":`+test.want+`}`, *body); diff != "" {
					t.Errorf("body (-want +got):\n%s", diff)
				}
			}
			for _, engine := range engines {
				for _, ops := range []any{test.ops, struct{ Ops []courier.PatchOp }{test.ops}} {
					text, err := engine.marshal(ops)
					if err != nil {
						t.Fatalf("%s: %v", engine.name, err)
					}
					got := strings.TrimSuffix(strings.TrimPrefix(string(text), `{"Ops":`), "}")
					if strings.HasPrefix(string(text), "[") {
						got = string(text)
					}
					if test.ops != nil { // a nil slice is the caller's
						sameJSON(t, engine.name, test.want, got)
					}
				}
			}
		})
	}
}

func TestJSONPointer(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		tokens []string
		want   string
	}{
		{nil, ""},
		{[]string{}, ""},
		{[]string{""}, "/"},
		{[]string{"", ""}, "//"},
		{[]string{"email"}, "/email"},
		{[]string{"custom", "a/b"}, "/custom/a~1b"},
		{[]string{"m~n"}, "/m~0n"},
		{[]string{"~1"}, "/~01"},
		{[]string{"~0"}, "/~00"},
		{[]string{"~01"}, "/~001"},
		{[]string{"/"}, "/~1"},
		{[]string{"~/~", "//"}, "/~0~1~0/~1~1"},
		{[]string{"a", "0", "-"}, "/a/0/-"},
		{[]string{"c%d", "e^f", "g|h", `i\j`, `k"l`, " "}, `/c%d/e^f/g|h/i\j/k"l/ `}, // RFC 6901, section 5
		{[]string{"ü", "😀", "\x00", "\n"}, "/ü/😀/\x00/\n"},
	} {
		if got := courier.JSONPointer(test.tokens...); got != test.want {
			t.Errorf("%q: got %q, want %q", test.tokens, got, test.want)
		}
	}
}

// TestPatchRefused: an operation that RFC 6902 does not allow is a *ValidationError with
// its index, before anything is sent, and so it is for each version of encoding/json.
func TestPatchRefused(t *testing.T) {
	t.Parallel()
	ops := map[string]courier.PatchOp{
		"zero":                         {},
		"move into itself":             courier.PatchMove("/CANARY", "/CANARY/b"),
		"move of everything":           courier.PatchMove("", "/CANARY"),
		"move of an empty key":         courier.PatchMove("/", "//"),
		"value":                        courier.PatchAdd("/CANARY", make(chan int)),
		"profile with a key twice":     courier.PatchAdd("", courier.Profile{Name: courier.Set("CANARY"), Extra: map[string]any{"name": "CANARY"}}),
		"unset value that is bad text": courier.PatchTest("/a", struct{ A string }{"CANARY\xff"}),
	}
	for _, pointer := range []string{
		"a", "CANARY", "a/CANARY", " /a", "#/a", "~0", "~1/a", ".", "$.a", // no slash at the start
		"/~", "/~2", "/CANARY~", "/~/a", "/a~/b", "/~~", "/~~0", "/~ 0", "/~a", "/~0~", "/~1~~1", // a ~ that escapes nothing
		"/\xffCANARY", "/\xed\xa0\x80", // not UTF-8
	} {
		for name, op := range map[string]courier.PatchOp{
			"add": courier.PatchAdd(pointer, 1), "remove": courier.PatchRemove(pointer), "replace": courier.PatchReplace(pointer, nil), "test": courier.PatchTest(pointer, ""),
			"move to": courier.PatchMove("/x", pointer), "move from": courier.PatchMove(pointer, "/x"), "copy to": courier.PatchCopy("/x", pointer), "copy from": courier.PatchCopy(pointer, "/x"),
		} {
			ops[fmt.Sprintf("%s %q", name, pointer)] = op
		}
	}
	good := courier.PatchAdd("/email", "a@example.com")
	client, body := recordingClient(t)
	for name, op := range ops {
		for i, list := range [][]courier.PatchOp{{op}, {good, op}, {good, good, op, good, {}}} {
			result, err := client.Profiles.Patch(t.Context(), "user-1", list)
			if wantRefused(t, name, err, fmt.Sprintf("patch[%d]", i)); result != nil || *body != "" {
				t.Errorf("%s: result %v, sent %q", name, result, *body)
			}
		}
		for _, engine := range engines {
			for _, value := range []any{op, &op, []courier.PatchOp{op}} {
				_, err := engine.marshal(value)
				if wantRefused(t, engine.name+", "+name, err, ""); err != nil && errors.Unwrap(err) == nil && !strings.Contains(err.Error(), "courier: ") {
					t.Errorf("%s, %s: error %v", engine.name, name, err)
				}
			}
		}
	}
}

// TestPatchReasons: the error of a common mistake says how to fix it.
func TestPatchReasons(t *testing.T) {
	t.Parallel()
	client, _ := recordingClient(t)
	for reason, op := range map[string]courier.PatchOp{
		"PatchAdd":             {},
		"JSONPointer":          courier.PatchRemove("email"),
		"into itself":          courier.PatchMove("/a", "/a/b"),
		"UTF-8":                courier.PatchRemove("/\xff"),
		"a value of type chan": courier.PatchAdd("/a", make(chan int)),
	} {
		_, err := client.Profiles.Patch(t.Context(), "user-1", []courier.PatchOp{op})
		if err == nil || !strings.Contains(err.Error(), reason) {
			t.Errorf("error %v, want %q in it", err, reason)
		}
	}
}
