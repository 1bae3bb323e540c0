package courier_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	courier "github.com/courier-profiles/courier-go"
	"github.com/google/go-cmp/cmp"
)

// TestPatchBody: Patch sends the operations as they were given, in their order. Both versions of
// encoding/json write them in the same way.
func TestPatchBody(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		ops  []courier.PatchOp
		want string
	}{
		{"nil", nil, `[]`},
		{"empty", []courier.PatchOp{}, `[]`},
		{
			"add", []courier.PatchOp{courier.PatchAdd("/email", "a@example.com")},
			`[{"op":"add","path":"/email","value":"a@example.com"}]`,
		},
		{
			"replace", []courier.PatchOp{courier.PatchReplace("/email", "")},
			`[{"op":"replace","path":"/email","value":""}]`,
		},
		{
			"test", []courier.PatchOp{courier.PatchTest("/a", false)},
			`[{"op":"test","path":"/a","value":false}]`,
		},
		{
			"remove has a value, which Courier requires",
			[]courier.PatchOp{courier.PatchRemove("/email")},
			`[{"op":"remove","path":"/email","value":""}]`,
		},
		{
			"move has from and a value", []courier.PatchOp{courier.PatchMove("/a", "/b")},
			`[{"op":"move","from":"/a","path":"/b","value":""}]`,
		},
		{
			"copy has from and a value", []courier.PatchOp{courier.PatchCopy("/a", "/b")},
			`[{"op":"copy","from":"/a","path":"/b","value":""}]`,
		},
		{
			"null is a value", []courier.PatchOp{
				courier.PatchAdd("/a", nil), courier.PatchReplace("/a", nil),
				courier.PatchTest("/a", nil), courier.PatchAdd("/a", courier.Null[string]()),
			},
			`[{"op":"add","path":"/a","value":null},{"op":"replace","path":"/a","value":null},` +
				`{"op":"test","path":"/a","value":null},{"op":"add","path":"/a","value":null}]`,
		},
		{
			"order", []courier.PatchOp{
				courier.PatchTest("/a", 1), courier.PatchRemove("/a"), courier.PatchAdd("/a", 2),
			},
			`[{"op":"test","path":"/a","value":1},{"op":"remove","path":"/a","value":""},` +
				`{"op":"add","path":"/a","value":2}]`,
		},
		{
			"the whole profile", []courier.PatchOp{
				courier.PatchReplace("", object{}), courier.PatchCopy("", "/a"),
				courier.PatchMove("/a", ""),
			},
			`[{"op":"replace","path":"","value":{}},` +
				`{"op":"copy","from":"","path":"/a","value":""},` +
				`{"op":"move","from":"/a","path":"","value":""}]`,
		},
		{
			"moves and copies that look like one of a value into itself", []courier.PatchOp{
				courier.PatchMove("/a", "/ab"), courier.PatchMove("/a/b", "/a"),
				courier.PatchMove("/a", "/a"), courier.PatchMove("", ""),
				courier.PatchCopy("/a", "/a/b"),
			},
			`[{"op":"move","from":"/a","path":"/ab","value":""},` +
				`{"op":"move","from":"/a/b","path":"/a","value":""},` +
				`{"op":"move","from":"/a","path":"/a","value":""},` +
				`{"op":"move","from":"","path":"","value":""},` +
				`{"op":"copy","from":"/a","path":"/a/b","value":""}]`,
		},
		{
			"objects of this package", []courier.PatchOp{
				courier.PatchReplace("/address", courier.Address{
					Country: courier.Set("<GB>"), Locality: courier.Null[string](),
					Extra: object{"x": 1},
				}),
				courier.PatchAdd("/expo/tokens", courier.TokenList("a")),
				courier.PatchAdd("/a", courier.Set("a")),
				courier.PatchAdd("", courier.Profile{Email: courier.Set("e")}),
			},
			`[{"op":"replace","path":"/address",` +
				`"value":{"locality":null,"country":"<GB>","x":1}},` +
				`{"op":"add","path":"/expo/tokens","value":["a"]},` +
				`{"op":"add","path":"/a","value":"a"},` +
				`{"op":"add","path":"","value":{"email":"e"}}]`,
		},
		{
			"RawMessage", []courier.PatchOp{
				courier.PatchAdd("/a", json.RawMessage(`{"a":[1.0,"\ud800"],"a":2}`)),
			},
			`[{"op":"add","path":"/a","value":{"a":[1.0,"\ud800"],"a":2}}]`,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			for range 2 { // sending them does not change them
				body, err := patchBody(t, test.ops)
				if err != nil {
					t.Fatal(err)
				}
				if want := `{"patch":` + test.want + `}`; body != want {
					t.Errorf("sent %s, want %s", body, want)
				}
			}
			ops := test.ops
			if ops == nil {
				ops = []courier.PatchOp{} // encoding/json writes a nil slice as null
			}
			for _, version := range jsonVersions {
				text, err := version.marshal(struct{ Ops []courier.PatchOp }{ops})
				if err != nil {
					t.Errorf("%s: %v", version.name, err)
					continue
				}
				wantJSON(t, version.name, `{"Ops":`+test.want+`}`, string(text))
			}
		})
	}
}

// TestPatchPaths: each JSON Pointer is sent as it is.
func TestPatchPaths(t *testing.T) {
	t.Parallel()
	type paths struct{ Path, From string }
	for _, pointer := range []string{
		"", "/", "//", "/a//b/", "/~0~1~01", "/a/-", "/a/0", "/ü \"<\\\n",
	} {
		for _, test := range []struct {
			op   courier.PatchOp
			want paths
		}{
			{courier.PatchRemove(pointer), paths{Path: pointer}},
			{courier.PatchCopy(pointer, "/x"), paths{From: pointer, Path: "/x"}},
			{courier.PatchCopy("/x", pointer), paths{From: "/x", Path: pointer}},
		} {
			body, err := patchBody(t, []courier.PatchOp{test.op})
			if err != nil {
				t.Fatalf("%q: %v", pointer, err)
			}
			var sent struct{ Patch []paths }
			if err := json.Unmarshal([]byte(body), &sent); err != nil {
				t.Fatalf("%q: sent %s: %v", pointer, body, err)
			}
			if diff := cmp.Diff([]paths{test.want}, sent.Patch); diff != "" {
				t.Errorf("%q: sent %s (-want +got):\n%s", pointer, body, diff)
			}
		}
	}
}

// TestJSONPointer: each token is escaped by itself, by the rules of RFC 6901.
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
		{[]string{"c%d", "e^f", "g|h", `i\j`, `k"l`, " "}, `/c%d/e^f/g|h/i\j/k"l/ `},
		{[]string{"ü", "😀", "\x00", "\n"}, "/ü/😀/\x00/\n"},
	} {
		if got := courier.JSONPointer(test.tokens...); got != test.want {
			t.Errorf("JSONPointer of %q: got %q, want %q", test.tokens, got, test.want)
		}
	}
}

const (
	reasonEmptyOp = "is empty: create it with PatchAdd, PatchRemove, PatchReplace, PatchMove, " +
		"PatchCopy, or PatchTest"
	reasonPointer = "has a path that is not a JSON Pointer: build it with JSONPointer"
	reasonItself  = "moves a value into itself"
)

// TestPatchRefuses: an operation that cannot be sent, or that RFC 6902 does not allow, is refused.
// What is marked as CANARY must not be in the error.
func TestPatchRefuses(t *testing.T) {
	t.Parallel()
	badProfile := courier.Profile{Name: courier.Set("CANARY"), Extra: object{"name": "CANARY"}}
	for _, test := range []struct {
		op     courier.PatchOp
		reason string
	}{
		{courier.PatchOp{}, reasonEmptyOp},
		{courier.PatchMove("/CANARY", "/CANARY/b"), reasonItself},
		{courier.PatchMove("", "/CANARY"), reasonItself},
		{courier.PatchMove("/", "//"), reasonItself},
		{courier.PatchAdd("/CANARY", make(chan int)), reasonJSON + ": a value of type chan int"},
		{courier.PatchTest("/a", struct{ A string }{"CANARY\xff"}), reasonUTF8},
		{courier.PatchRemove("/CANARY\xff"), reasonUTF8},
		{courier.PatchMove("/CANARY\xed\xa0\x80", "/a"), reasonUTF8},
		{
			courier.PatchAdd("", badProfile),
			"a key appears twice: one that is set as a field must not be in Extra",
		},
	} {
		wantOpRefused(t, test.op, test.reason)
	}
}

// TestPatchRefusesPointers: what is not a JSON Pointer is refused in every place for one.
func TestPatchRefusesPointers(t *testing.T) {
	t.Parallel()
	noSlashFirst := []string{"a", "CANARY", "a/CANARY", " /a", "#/a", "~0", "~1/a", ".", "$.a"}
	badEscape := []string{
		"/~", "/~2", "/CANARY~", "/~/a", "/a~/b", "/~~", "/~~0", "/~ 0", "/~a", "/~0~", "/~1~~1",
	}
	for _, pointer := range slices.Concat(noSlashFirst, badEscape) {
		for _, op := range []courier.PatchOp{
			courier.PatchAdd(pointer, 1), courier.PatchRemove(pointer),
			courier.PatchReplace(pointer, nil), courier.PatchTest(pointer, ""),
			courier.PatchMove("/x", pointer), courier.PatchMove(pointer, "/x"),
			courier.PatchCopy("/x", pointer), courier.PatchCopy(pointer, "/x"),
		} {
			wantOpRefused(t, op, reasonPointer)
		}
	}
}

// wantOpRefused fails unless op is refused, with reason. Patch returns a *ValidationError with the
// index of the first operation that is refused, and sends nothing. Both versions of encoding/json
// return a *ValidationError too.
func wantOpRefused(t *testing.T, op courier.PatchOp, reason string) {
	t.Helper()
	good := courier.PatchAdd("/email", "a@example.com")
	empty := courier.PatchOp{} // refused too
	for _, test := range []struct {
		ops   []courier.PatchOp
		index int // of op
	}{
		{[]courier.PatchOp{op}, 0},
		{[]courier.PatchOp{good, op}, 1},
		{[]courier.PatchOp{good, good, op, good, empty}, 2},
	} {
		body, err := patchBody(t, test.ops)
		if body != "" {
			t.Errorf("%s: sent %s, want nothing sent", reason, body)
		}
		wantRefused(t, err, "Patch", fmt.Sprintf("patch[%d]", test.index), reason)
	}
	for _, version := range jsonVersions {
		for _, value := range []any{op, &op, []courier.PatchOp{op}} {
			_, err := version.marshal(value)
			wantRefused(t, err, version.name, "", reason)
		}
	}
}
