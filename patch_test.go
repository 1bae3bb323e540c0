package courier_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jarcoal/httpmock"

	courier "github.com/courier-profiles/courier-go"
	"github.com/courier-profiles/courier-go/couriertest"
)

func TestPatchBody(t *testing.T) {
	type plan string
	text := "text"
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
		{"in their order", []courier.PatchOp{courier.PatchTest("/a", 1), courier.PatchRemove("/a"), courier.PatchAdd("/a", 2), courier.PatchRemove("/a")},
			`[{"op":"test","path":"/a","value":1},{"op":"remove","path":"/a"},{"op":"add","path":"/a","value":2},{"op":"remove","path":"/a"}]`},
		{"the whole profile", []courier.PatchOp{courier.PatchReplace("", map[string]any{}), courier.PatchCopy("", "/a"), courier.PatchMove("/a", ""), courier.PatchMove("", "")},
			`[{"op":"replace","path":"","value":{}},{"op":"copy","from":"","path":"/a"},{"op":"move","from":"/a","path":""},{"op":"move","from":"","path":""}]`},
		{"paths", []courier.PatchOp{courier.PatchRemove("/"), courier.PatchRemove("//"), courier.PatchRemove("/a//b/"), courier.PatchRemove("/~0~1~01"), courier.PatchRemove("/a/-"), courier.PatchRemove("/a/0"), courier.PatchRemove("/ü \"<\\\n")},
			`[{"op":"remove","path":"/"},{"op":"remove","path":"//"},{"op":"remove","path":"/a//b/"},{"op":"remove","path":"/~0~1~01"},{"op":"remove","path":"/a/-"},{"op":"remove","path":"/a/0"},{"op":"remove","path":"/ü \"<\\\n"}]`},
		{"move beside itself", []courier.PatchOp{courier.PatchMove("/a", "/ab"), courier.PatchMove("/a/b", "/a"), courier.PatchMove("/a", "/a"), courier.PatchCopy("/a", "/a/b")},
			`[{"op":"move","from":"/a","path":"/ab"},{"op":"move","from":"/a/b","path":"/a"},{"op":"move","from":"/a","path":"/a"},{"op":"copy","from":"/a","path":"/a/b"}]`},
	} {
		t.Run(test.name, func(t *testing.T) { patchWantBody(t, test.ops, test.want) })
	}

	for _, test := range []struct {
		name  string
		value any
		want  string
	}{
		{"true", true, `true`},
		{"int", 12, `12`},
		{"negative", -1, `-1`},
		{"large", int64(9007199254740993), `9007199254740993`},
		{"uint64", uint64(math.MaxUint64), `18446744073709551615`},
		{"small ints", []any{int8(-1), uint8(1), int16(2), uint32(3)}, `[-1,1,2,3]`},
		{"float", 0.1, `0.1`},
		{"float32", float32(0.1), `0.1`},
		{"json.Number", json.Number("1.50e+400"), `1.50e+400`},
		{"text", "<a&b>\"\\\n\u2028ü\x00", `"<a&b>\"\\\n` + "\u2028" + `ü\u0000"`},
		{"object", map[string]any{"b": nil, "a": map[string]any{"": []any{}}}, `{"a":{"":[]},"b":null}`},
		{"array", []any{nil, "", 0, false, []any{}, map[string]any{}}, `[null,"",0,false,[],{}]`},
		{"[]string", []string{"a", "<"}, `["a","<"]`},
		{"map[string]string", map[string]string{"b": "<", "a": ""}, `{"a":"","b":"<"}`},
		{"struct", struct {
			A string `json:"a"`
			B *int   `json:"b,omitempty"`
		}{A: "<"}, `{"a":"<"}`},
		{"pointer", &text, `"text"`},
		{"nil pointer", (*string)(nil), `null`},
		{"named text", plan("pro"), `"pro"`},
		{"json.RawMessage", json.RawMessage(`{"a" : [1.0, "\u0061"]}`), `{"a" : [1.0, "\u0061"]}`},
		{"time", time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), `"2026-01-02T03:04:05Z"`},
		{"address", courier.Address{Country: courier.Set("GB"), Locality: courier.Null[string](), Extra: map[string]any{"x": 1}}, `{"locality":null,"country":"GB","x":1}`},
		{"tokens", courier.TokenList("a", "b"), `["a","b"]`},
		{"field", courier.Set("a"), `"a"`},
		{"null field", courier.Null[string](), `null`},
		{"profile", apiProfile(), `{"email":"user@example.com","phone_number":null,"custom":{"plan":"pro"}}`},
		{"text like the sign of bad text", "\ufffd", `"` + "\ufffd" + `"`},
		{"the same in a struct", struct{ A string }{"\ufffd"}, `{"A":"` + "\ufffd" + `"}`},
		{"text like its escape", `\ufffd`, `"\\ufffd"`},
		{"the same in a struct, escaped", struct{ A string }{`\ufffd`}, `{"A":"\\ufffd"}`},
		{"the same as a key", map[string]int{`C:\ufffd`: 1}, `{"C:\\ufffd":1}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			patchWantBody(t, []courier.PatchOp{courier.PatchAdd("/a", test.value), courier.PatchReplace("/a", test.value), courier.PatchTest("/a", test.value)},
				`[{"op":"add","path":"/a","value":`+test.want+`},{"op":"replace","path":"/a","value":`+test.want+`},{"op":"test","path":"/a","value":`+test.want+`}]`)
		})
	}
}

// patchWantBody fails unless ops are sent as want.
func patchWantBody(t *testing.T, ops []courier.PatchOp, want string) {
	t.Helper()
	var seen []apiRequest
	client := apiMock(t, func(req *http.Request) (*http.Response, error) {
		seen = append(seen, apiRequestOf(t, req))
		return httpmock.NewStringResponse(204, ""), nil
	})
	if _, err := client.Profiles.Patch(t.Context(), "user-1", ops); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(`{"patch":`+want+`}`, seen[0].Body); diff != "" {
		t.Errorf("body (-want +got):\n%s", diff)
	}
}

func TestPointer(t *testing.T) {
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
		{[]string{"~"}, "/~0"},
		{[]string{"~/~", "//"}, "/~0~1~0/~1~1"},
		{[]string{"a", "0", "-"}, "/a/0/-"},
		{[]string{"c%d", "e^f", "g|h", `i\j`, `k"l`, " "}, `/c%d/e^f/g|h/i\j/k"l/ `}, // RFC 6901, section 5
		{[]string{"ü", "😀", "\x00", "\n"}, "/ü/😀/\x00/\n"},
	} {
		if got := courier.Pointer(test.tokens...); got != test.want {
			t.Errorf("%q: got %q, want %q", test.tokens, got, test.want)
		}
	}
}

// A pointer made of any keys leads to the member with these keys.
func TestPointerLeadsThere(t *testing.T) {
	keys := []string{"", "/", "~", "~0", "~1", "~01", "a/b", "m~n", "-", "0", "ü", "😀", " ", "\x00", "\n", `"`, `\`, "<", "%2F", "a.b", "\u2028", "\ufffd"}
	fake, client := apiFake(t)
	for _, outer := range keys {
		for _, inner := range keys {
			err := fake.SetProfile("user-1", courier.Profile{Custom: courier.Set(map[string]any{outer: map[string]any{inner: "before"}})})
			if err != nil {
				t.Fatal(err)
			}
			path := courier.Pointer("custom", outer, inner)
			if _, err := client.Profiles.Patch(t.Context(), "user-1", []courier.PatchOp{courier.PatchTest(path, "before"), courier.PatchReplace(path, "after")}); err != nil {
				t.Errorf("%q, %q: %v", outer, inner, err)
				continue
			}
			stored, _ := fake.Profile("user-1")
			if diff := cmp.Diff(map[string]any{outer: map[string]any{inner: "after"}}, stored.Custom.Or(nil)); diff != "" {
				t.Errorf("%q, %q (-want +got):\n%s", outer, inner, diff)
			}
		}
	}
}

// patchFailing is a value whose JSON cannot be written.
type patchFailing struct{}

func (patchFailing) MarshalJSON() ([]byte, error) { return nil, errors.New("CANARY") }

func TestPatchRefused(t *testing.T) {
	const canary = "CANARY"
	client := apiMock(t, func(*http.Request) (*http.Response, error) {
		t.Error("a request was sent")
		return httpmock.NewStringResponse(204, ""), nil
	})
	cyclic := map[string]any{}
	cyclic["a"] = []any{cyclic}
	tests := []struct {
		name string
		op   courier.PatchOp
	}{
		{"zero", courier.PatchOp{}},
		{"move into itself", courier.PatchMove("/"+canary, "/"+canary+"/b")},
		{"move of everything", courier.PatchMove("", "/"+canary)},
		{"move of an empty key into itself", courier.PatchMove("/", "//")},
		{"channel", courier.PatchAdd("/a", make(chan int))},
		{"func", courier.PatchReplace("/a", func() {})},
		{"func inside", courier.PatchTest("/a", map[string]any{canary: []any{func() {}}})},
		{"NaN", courier.PatchAdd("/a", math.NaN())},
		{"infinity", courier.PatchAdd("/a", []any{math.Inf(-1)})},
		{"complex", courier.PatchAdd("/a", 1i)},
		{"cycle", courier.PatchAdd("/a", cyclic)},
		{"value not UTF-8", courier.PatchAdd("/a", canary+"\xff")},
		{"key of a value not UTF-8", courier.PatchAdd("/a", map[string]any{canary + "\xff": 1})},
		{"in a struct not UTF-8", courier.PatchAdd("/a", struct{ A string }{canary + "\xff"})},
		{"json.Number", courier.PatchAdd("/a", json.Number(canary))},
		{"empty json.Number", courier.PatchAdd("/a", json.Number(""))},
		{"json.RawMessage", courier.PatchAdd("/a", json.RawMessage(`1,"`+canary+`":2`))},
		{"MarshalJSON that fails", courier.PatchAdd("/a", patchFailing{})},
		{"profile with a key twice", courier.PatchAdd("", courier.Profile{Name: courier.Set(canary), Extra: map[string]any{"name": canary}})},
	}
	for _, pointer := range []string{
		"a", canary, "a/" + canary, " /a", "#/a", "~0", "~1/a", ".", "$.a", // no slash at the beginning
		"/~", "/~2", "/" + canary + "~", "/~/a", "/a~/b", "/~~", "/~~0", "/~ 0", "/~a", "/~0~", "/~1~~1", // a ~ of its own
		"/\xff" + canary, "/\xed\xa0\x80", // not UTF-8
	} {
		for name, op := range map[string]courier.PatchOp{
			"add": courier.PatchAdd(pointer, 1), "remove": courier.PatchRemove(pointer), "replace": courier.PatchReplace(pointer, nil), "test": courier.PatchTest(pointer, ""),
			"move to": courier.PatchMove("/x", pointer), "move from": courier.PatchMove(pointer, "/x"), "copy to": courier.PatchCopy("/x", pointer), "copy from": courier.PatchCopy(pointer, "/x"),
		} {
			tests = append(tests, struct {
				name string
				op   courier.PatchOp
			}{fmt.Sprintf("%s %q", name, pointer), op})
		}
	}
	good := courier.PatchAdd("/email", "a@example.com")
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for i, ops := range [][]courier.PatchOp{{test.op}, {good, test.op}, {good, good, test.op, good, {}}} {
				result, err := client.Profiles.Patch(t.Context(), "user-1", ops)
				var refused *courier.ValidationError
				if !errors.As(err, &refused) || result != nil {
					t.Fatalf("result %v, error %v, want a *ValidationError", result, err)
				}
				field := fmt.Sprintf("ops[%d]", i)
				if refused.Field != field && !strings.HasPrefix(refused.Field, field+".") || refused.Reason == "" {
					t.Errorf("error is for %q (%s), want one for %s", refused.Field, refused.Reason, field)
				}
				if strings.Contains(err.Error(), canary) {
					t.Errorf("error %q shows data", err)
				}
			}
		})
	}
}

// An error answer about a value that cannot be reached is Courier's to give.
func TestPatchThatDoesNotApply(t *testing.T) {
	fake, client := apiFake(t)
	for name, ops := range map[string][]courier.PatchOp{
		"test of another value":     {courier.PatchTest("/email", "b")},
		"test of a missing member":  {courier.PatchTest("/missing", nil)},
		"remove of nothing":         {courier.PatchRemove("/missing")},
		"replace of nothing":        {courier.PatchReplace("/missing", 1)},
		"move of nothing":           {courier.PatchMove("/missing", "/a")},
		"add below nothing":         {courier.PatchAdd("/missing/a", 1)},
		"behind the end":            {courier.PatchAdd("/list/3", 1)},
		"all or none":               {courier.PatchAdd("/email", "changed"), courier.PatchRemove("/missing")},
		"no object any more":        {courier.PatchReplace("", 5)},
		"nothing any more":          {courier.PatchRemove("")},
		"a dash where nothing is":   {courier.PatchRemove("/list/-")},
		"an index with zeros ahead": {courier.PatchReplace("/list/01", 1)},
	} {
		t.Run(name, func(t *testing.T) {
			const before = `{"email":"a","list":[1,2]}`
			profile := courier.Profile{Email: courier.Set("a"), Extra: map[string]any{"list": []any{1, 2}}}
			if err := fake.SetProfile("user-1", profile); err != nil {
				t.Fatal(err)
			}
			_, err := client.Profiles.Patch(t.Context(), "user-1", ops)
			var refused *courier.InvalidRequestError
			if !errors.As(err, &refused) || refused.Operation != "patch profile" || refused.Message == "" {
				t.Errorf("error is %v, want an *InvalidRequestError", err)
			}
			if stored, _ := fake.Profile("user-1"); stored.String() != before {
				t.Errorf("the profile is now %s", stored)
			}
		})
	}
}

func TestPatchApplied(t *testing.T) {
	for _, test := range []struct {
		name, before string // "" for none
		ops          []courier.PatchOp
		want         string
	}{
		{"add", `{"name":"n"}`, []courier.PatchOp{courier.PatchAdd("/email", "a")}, `{"name":"n","email":"a"}`},
		{"add over a value", `{"name":"n"}`, []courier.PatchOp{courier.PatchAdd("/name", nil)}, `{"name":null}`},
		{"add creates a profile", ``, []courier.PatchOp{courier.PatchAdd("/email", "a")}, `{"email":"a"}`},
		{"nothing creates a profile", ``, nil, `{}`},
		{"nothing changes nothing", `{"x":1.50,"name":null}`, []courier.PatchOp{}, `{"name":null,"x":1.50}`},
		{"remove", `{"name":"n","email":null}`, []courier.PatchOp{courier.PatchRemove("/name"), courier.PatchRemove("/email")}, `{}`},
		{"replace by null keeps the key", `{"name":"n"}`, []courier.PatchOp{courier.PatchReplace("/name", nil)}, `{"name":null}`},
		{"move", `{"custom":{"a":{"b":[1]}}}`, []courier.PatchOp{courier.PatchMove("/custom/a/b", "/custom/c")}, `{"custom":{"a":{},"c":[1]}}`},
		{"copy", `{"custom":{"a":{"b":[1]}}}`, []courier.PatchOp{courier.PatchCopy("/custom/a", "/custom/c"), courier.PatchAdd("/custom/c/b/-", 2)}, `{"custom":{"a":{"b":[1]},"c":{"b":[1,2]}}}`},
		{"arrays", `{"custom":{"l":[1,2,3]}}`, []courier.PatchOp{courier.PatchAdd("/custom/l/0", 0), courier.PatchAdd("/custom/l/-", 4), courier.PatchRemove("/custom/l/2"), courier.PatchAdd("/custom/l/4", nil)}, `{"custom":{"l":[0,1,3,4,null]}}`},
		{"test of a number", `{"custom":{"n":9007199254740993,"m":1.0}}`, []courier.PatchOp{courier.PatchTest("/custom/n", int64(9007199254740993)), courier.PatchTest("/custom/m", 1), courier.PatchAdd("/ok", true)}, `{"custom":{"m":1.0,"n":9007199254740993},"ok":true}`},
		{"test of an object", `{"custom":{"a":{"x":[null,""],"y":{}}}}`, []courier.PatchOp{courier.PatchTest("/custom", map[string]any{"a": map[string]any{"y": map[string]any{}, "x": []any{nil, ""}}}), courier.PatchRemove("/custom")}, `{}`},
		{"the whole", `{"name":"n"}`, []courier.PatchOp{courier.PatchReplace("", courier.Profile{Email: courier.Set("a")})}, `{"email":"a"}`},
		{"an address", `{"address":"1 Main St"}`, []courier.PatchOp{courier.PatchReplace("/address", courier.Address{Formatted: courier.Set("1 Main St")})}, `{"address":{"formatted":"1 Main St"}}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			fake, client := apiFake(t)
			if test.before != "" {
				var profile courier.Profile
				if err := json.Unmarshal([]byte(test.before), &profile); err != nil {
					t.Fatal(err)
				}
				if err := fake.SetProfile("user-1", profile); err != nil {
					t.Fatal(err)
				}
			}
			result, err := client.Profiles.Patch(t.Context(), "user-1", test.ops)
			if err != nil || result.StatusCode != 204 || result.Status != "" {
				t.Fatalf("result %v, error %v", result, err)
			}
			got, err := client.Profiles.Get(t.Context(), "user-1")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(apiExact(t, test.want), apiExact(t, got.Profile.String())); diff != "" {
				t.Errorf("profile (-want +got):\n%s", diff)
			}
		})
	}
}

// Errors of a transport, as net/http gives them, and whether a patch is sent
// again: only where the request cannot have left.
func TestPatchRetriedErrors(t *testing.T) {
	op := func(op string, err error) error { return &net.OpError{Op: op, Net: "tcp", Err: err} }
	refused := os.NewSyscallError("connect", syscall.ECONNREFUSED)
	for _, test := range []struct {
		name    string
		err     error
		retried bool
	}{
		{"dial refused", op("dial", refused), true},
		{"dial timeout", op("dial", os.ErrDeadlineExceeded), true},
		{"dial unreachable", op("dial", os.NewSyscallError("connect", syscall.ENETUNREACH)), true},
		{"dial, wrapped", fmt.Errorf("my transport: %w", op("dial", refused)), true},
		{"proxy refused", op("proxyconnect", op("dial", refused)), true},
		{"proxy said no", op("proxyconnect", errors.New("Bad Gateway")), true},
		{"lookup failed for now", op("dial", &net.DNSError{Err: "server misbehaving", IsTemporary: true}), true},
		{"no such host", op("dial", &net.DNSError{Err: "no such host", IsNotFound: true}), false},
		{"write", op("write", syscall.EPIPE), false},
		{"read", op("read", syscall.ECONNRESET), false},
		{"EOF", io.EOF, false},
		{"unexpected EOF", io.ErrUnexpectedEOF, false},
		{"timeout of the attempt", context.DeadlineExceeded, false},
		{"a refusal without an OpError", refused, false},
		{"unknown", errors.New("unknown"), false},
		{"closed", net.ErrClosed, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			requests := 0
			client := apiMock(t, func(*http.Request) (*http.Response, error) {
				if requests++; requests == 1 {
					return nil, test.err
				}
				return httpmock.NewStringResponse(204, ""), nil
			})
			_, err := client.Profiles.Patch(t.Context(), "user-1", []courier.PatchOp{courier.PatchAdd("/a", 1)})
			if test.retried {
				if err != nil || requests != 2 {
					t.Errorf("%d requests, error %v, want a retry", requests, err)
				}
				return
			}
			var failed *courier.ConnectionError
			if !errors.As(err, &failed) || !errors.Is(err, test.err) || failed.Attempts != 1 || requests != 1 {
				t.Errorf("%d requests, error %v, want a *ConnectionError and no retry", requests, err)
			}
		})
	}
}

// A patch that was carried out, and whose answer was lost, is not done twice.
func TestPatchIsDoneOnce(t *testing.T) {
	for name, fault := range map[string]couriertest.Fault{
		"answer lost": {CutOff: true}, // of a 204
		"500":         {Status: 500},
		"502":         {Status: 502},
		"504":         {Status: 504},
		"408":         {Status: 408},
		"409":         {Status: 409},
		"500 with Retry-After": {
			Status: 500, RetryAfter: "0",
		},
		"200 that is cut off": {Status: 200, CutOff: true},
		"reset":               {Reset: true},
	} {
		t.Run(name, func(t *testing.T) {
			fake, client := apiFake(t)
			if err := fake.SetProfile("user-1", courier.Profile{Custom: courier.Set(map[string]any{"l": []any{}})}); err != nil {
				t.Fatal(err)
			}
			fake.Fail(fault)
			if _, err := client.Profiles.Patch(t.Context(), "user-1", []courier.PatchOp{courier.PatchAdd("/custom/l/-", 1)}); err == nil {
				t.Error("no error")
			}
			stored, _ := fake.Profile("user-1")
			if got := len(stored.Custom.Or(nil)["l"].([]any)); got > 1 || len(fake.Requests()) != 1 {
				t.Errorf("%d requests, applied %d times", len(fake.Requests()), got)
			}
		})
	}
	for name, faults := range map[string][]couriertest.Fault{
		"503":                  {{Status: 503}},
		"429":                  {{Status: 429}},
		"429 with Retry-After": {{Status: 429, RetryAfter: "0"}, {Status: 503, RetryAfter: "0"}, {Status: 503}},
	} {
		t.Run(name, func(t *testing.T) {
			fake, client := apiFake(t)
			fake.Fail(faults...)
			result, err := client.Profiles.Patch(t.Context(), "user-1", []courier.PatchOp{courier.PatchAdd("/a", 1)})
			if err != nil || result.Attempts != len(faults)+1 || len(fake.Requests()) != len(faults)+1 {
				t.Errorf("%d requests, result %v, error %v", len(fake.Requests()), result, err)
			}
			if stored, _ := fake.Profile("user-1"); stored.String() != `{"a":1}` {
				t.Errorf("the profile is %s", stored)
			}
		})
	}
}

// A 503 behind an attempt whose answer was lost is not retried into the past:
// the lost attempt ends the call.
func TestPatchStopsAtTheFirstLostAnswer(t *testing.T) {
	fake, client := apiFake(t)
	fake.Fail(couriertest.Fault{Status: 503}, couriertest.Fault{Reset: true}, couriertest.Fault{Status: 503})
	_, err := client.Profiles.Patch(t.Context(), "user-1", []courier.PatchOp{courier.PatchAdd("/a", 1)})
	var failed *courier.ConnectionError
	if !errors.As(err, &failed) || failed.Attempts != 2 || len(fake.Requests()) != 2 {
		t.Errorf("%d requests, error %v, want a *ConnectionError after 2", len(fake.Requests()), err)
	}
}

// An attempt that takes too long may have been carried out.
func TestPatchTimeoutIsNotRetried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var requests atomic.Int32 // httpmock does not wait for who hangs
		client := apiMock(t, func(req *http.Request) (*http.Response, error) {
			requests.Add(1)
			<-req.Context().Done()
			return nil, req.Context().Err()
		}, courier.WithTimeout(time.Minute))
		_, err := client.Profiles.Patch(t.Context(), "user-1", nil)
		var failed *courier.ConnectionError
		if !errors.As(err, &failed) || !errors.Is(err, context.DeadlineExceeded) || failed.Attempts != 1 || requests.Load() != 1 {
			t.Errorf("%d requests, error %v, want a *ConnectionError after 1", requests.Load(), err)
		}
	})
}

// The same ops may be sent again.
func TestPatchOpsAreReusable(t *testing.T) {
	ops := []courier.PatchOp{courier.PatchAdd("/a", map[string]any{"b": 1}), courier.PatchMove("/a", "/c")}
	for range 3 {
		patchWantBody(t, ops, `[{"op":"add","path":"/a","value":{"b":1}},{"op":"move","from":"/a","path":"/c"}]`)
	}
}
