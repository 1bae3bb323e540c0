package courier_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/jarcoal/httpmock"

	courier "github.com/courier-profiles/courier-go"
)

// TestResponses gives each operation the documented response, variations of it, and others.
func TestResponses(t *testing.T) {
	t.Parallel()
	for _, op := range operations {
		t.Run(op.name, func(t *testing.T) {
			t.Parallel()
			const bom = "\uFEFF"
			accepted := map[string]string{op.success: "SUCCESS", " \n" + op.success + "\r\n": "SUCCESS", bom + op.success: "SUCCESS", bom + " \n" + op.success: "SUCCESS", `{"x":[{"status":5}],"\ud800":1,` + op.success[1:]: "SUCCESS"}
			refused := []string{"<html>CANARY", "CANARY", `"CANARY"`, "5", "null", "true", "[]", `[` + op.success + `]`, "{", `{"CANARY":`, op.success[:len(op.success)-1], op.success + "}", op.success + op.success, "\x00", "{\"CANARY\":\"\xff\"}", "{'a':1}", bom + bom + op.success, op.success + bom, " " + bom + op.success}
			if op.writes() {
				for _, body := range []string{"", " \r\n", bom, "{}", `{"status":null}`, `{"Status":"x"}`} {
					accepted[body] = ""
				}
				accepted[`{"status":5,"status":"SUCCESS"}`] = "SUCCESS" // of duplicate keys, the last wins
				accepted[`{"status":"x","status":null}`] = ""
				refused = append(refused, `{"status":5}`, `{"status":{}}`, `{"status":["CANARY"]}`, `{"status":"SUCCESS","status":true}`)
			} else {
				refused = append(refused, "", " ", bom, "{}", success)
			}
			for body, status := range accepted {
				for _, code := range []int{200, 202, 204} {
					got, err := op.call(t.Context(), respondingClient(t, httpmock.NewStringResponder(code, body).HeaderSet(http.Header{"X-Request-Id": {"req-1"}})), "user-1")
					if err != nil {
						t.Errorf("%q: %v", body, err)
					} else if got.StatusCode != code || got.RequestID != "req-1" || got.Attempts != 1 || got.write != nil && got.write.Status != status {
						t.Errorf("%q: got %+v with the status %q, want %q", body, got.Response, got.write.Status, status)
					}
				}
			}
			for _, body := range refused {
				got, err := op.call(t.Context(), respondingClient(t, httpmock.NewStringResponder(200, body).HeaderSet(http.Header{"X-Request-Id": {"req-1"}})), "user-1")
				wantUnexpected(t, op.name, body, err)
				if got.Response != nil {
					t.Errorf("%q: %+v along with the error", body, got)
				}
			}
		})
	}
}

// wantUnexpected fails unless err is an *UnexpectedResponseError that has the body, and
// does not print it.
func wantUnexpected(t *testing.T, operation, body string, err error) {
	t.Helper()
	var unexpected *courier.UnexpectedResponseError
	if !errors.As(err, &unexpected) {
		t.Errorf("%.100q: error %v, want an *UnexpectedResponseError", body, err)
	} else if unexpected.Operation != operation || unexpected.StatusCode != 200 || string(unexpected.Body) != body || unexpected.Err == nil || unexpected.Header == nil {
		t.Errorf("%.100q: the error has %q, %d, %.100q, %v", body, unexpected.Operation, unexpected.StatusCode, unexpected.Body, unexpected.Err)
	} else if text := err.Error(); strings.Contains(text, "CANARY") || len(text) > 500 {
		t.Errorf("%.100q: the error reads %.500q", body, text)
	}
}

// TestResponse: results and errors have the response, with the request ID from either of
// two headers, and how often the call was sent.
func TestResponse(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		header http.Header
		want   string
	}{
		{http.Header{"X-More": {"more"}}, ""},
		{http.Header{"X-Request-Id": {"courier"}}, "courier"},
		{http.Header{"X-Amzn-Requestid": {"amazon"}}, "amazon"},
		{http.Header{"X-Amzn-Requestid": {"amazon"}, "X-Request-Id": {"courier"}}, "courier"},
	} {
		for _, status := range []int{299, 404} {
			last := httpmock.NewStringResponder(status, successBody).HeaderSet(test.header)
			client := newTestClient(t, script(respond(503), respond(503), last), courier.WithRetryWait(0, 0))
			got, err := client.Profiles.Get(t.Context(), "user-1")
			want := courier.Response{StatusCode: status, Header: test.header, RequestID: test.want, Attempts: 3}
			var missing *courier.NotFoundError
			if errors.As(err, &missing) {
				got = &courier.GetResult{Response: courier.Response{StatusCode: missing.StatusCode, Header: missing.Header, RequestID: missing.RequestID, Attempts: missing.Attempts}}
			}
			if got == nil || (missing != nil) != (status == 404) {
				t.Errorf("result %v, error %v", got, err)
			} else if diff := cmp.Diff(want, got.Response); diff != "" {
				t.Errorf("%d (-want +got):\n%s", status, diff)
			}
		}
	}
}

func TestGetResponses(t *testing.T) {
	t.Parallel()
	email := courier.Profile{Email: courier.Set("a")}
	for body, want := range map[string]courier.GetResult{
		`{"profile":{"email":"a"},"preferences":{"notifications":{"n":{"status":"OPTED_OUT"}}}}`: {Profile: email, Preferences: &courier.Preferences{Notifications: map[string]courier.Preference{"n": {Status: "OPTED_OUT"}}}},
		`{"preferences":null,"profile":{"email":"a"}}`:                                           {Profile: email},
		`{"profile":{"email":"a"}}`:                                                              {Profile: email},
		`{"profile":null}`:                                                                       {},
		`{"profile":null,"preferences":{}}`:                                                      {Preferences: &courier.Preferences{}},
		`{"profile":{},"preferences":{"categories":null,"notifications":null}}`:                  {Preferences: &courier.Preferences{}},
		`{"a":{"profile":1},"profile":{"email":"a"},"z":[1e400,"\ud800",{"\ud800":1}]}`:          {Profile: email},
		`{"Profile":null,"profile":{},"PREFERENCES":"x"}`:                                        {},
		`{"pr\u006ffile":{"\u0065mail":"a"}}`:                                                    {Profile: email},
		`{"profile":{"profile":"https://example.com"}}`:                                          {Profile: courier.Profile{ProfileURL: courier.Set("https://example.com")}},
		// Of duplicate keys, the last wins.
		`{"profile":{"email":"x","name":"y"},"preferences":{},"profile":{"email":"a"},"preferences":null}`: {Profile: email},
		`{"profile":5,"profile":{"email":"a"}}`:                      {Profile: email},
		`{"profile":{"email":"a"},"profile":null}`:                   {},
		`{"profile":{},"preferences":"x","preferences":{}}`:          {Preferences: &courier.Preferences{}},
		`{"profile":{},"preferences":{"x":1},"preferences":{"y":2}}`: {Preferences: &courier.Preferences{Extra: map[string]any{"y": json.Number("2")}}},
	} {
		got, err := respondingClient(t, httpmock.NewStringResponder(200, body)).Profiles.Get(t.Context(), "user-1")
		if err != nil {
			t.Errorf("%s: %v", body, err)
			continue
		}
		got.Response = courier.Response{}
		if diff := cmp.Diff(&want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", body, diff)
		}
	}
	for _, body := range []string{
		`{}`, `{"profiles":{}}`, `{"Profile":{}}`, `{"preferences":{}}`, `{"profile":[]}`, `{"profile":[{"email":"CANARY"}]}`, `{"profile":"CANARY"}`, `{"profile":5}`, `{"profile":false}`, `{"profile":{},"profile":"CANARY"}`, `{"profile":{"CANARY\ud800":1}}`,
		`{"profile":{},"preferences":"CANARY"}`, `{"profile":{},"preferences":[]}`, `{"profile":{},"preferences":1}`,
		`{"profile":{}`, `{"profile":{"email":"CANARY`, `{"profile":{"email":}}`, `{"profile":{"CANARY" 1}}`, `{"profile":{}} CANARY`, `{"profile":{},}`, `{"profile":{"CANARY":01}}`, `{"profile":{"s":"\x"}}`, `[{"profile":{}}]`,
	} {
		got, err := respondingClient(t, httpmock.NewStringResponder(200, body)).Profiles.Get(t.Context(), "user-1")
		if wantUnexpected(t, "get profile", body, err); got != nil {
			t.Errorf("%s: %v along with the error", body, got)
		}
	}
}

// Patch.

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
				if text, err := engine.marshal(struct{ Ops []courier.PatchOp }{test.ops}); err != nil {
					t.Errorf("%s: %v", engine.name, err)
				} else if test.ops != nil { // a nil slice is the caller's
					sameJSON(t, engine.name, `{"Ops":`+test.want+`}`, string(text))
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
		{nil, ""}, {[]string{}, ""}, {[]string{""}, "/"},
		{[]string{"", ""}, "//"},
		{[]string{"email"}, "/email"}, {[]string{"custom", "a/b"}, "/custom/a~1b"}, {[]string{"m~n"}, "/m~0n"}, {[]string{"~1"}, "/~01"},
		{[]string{"~0"}, "/~00"}, {[]string{"~01"}, "/~001"}, {[]string{"/"}, "/~1"},
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
			if wantInvalid(t, err, fmt.Sprintf("patch[%d]", i), name); result != nil || *body != "" {
				t.Errorf("%s: result %v, sent %q", name, result, *body)
			}
		}
		for _, engine := range engines {
			for _, value := range []any{op, &op, []courier.PatchOp{op}} {
				_, err := engine.marshal(value)
				if wantInvalid(t, err, "", engine.name, name); err != nil && errors.Unwrap(err) == nil && !strings.Contains(err.Error(), "courier: ") {
					t.Errorf("%s, %s: error %v", engine.name, name, err)
				}
			}
		}
	}
}

// TestPatchReasons: the error of a common mistake says how to fix it.
func TestPatchReasons(t *testing.T) {
	t.Parallel()
	for reason, op := range map[string]courier.PatchOp{
		"PatchAdd": {}, "JSONPointer": courier.PatchRemove("email"), "into itself": courier.PatchMove("/a", "/a/b"), "UTF-8": courier.PatchRemove("/\xff"), "a value of type chan": courier.PatchAdd("/a", make(chan int)),
	} {
		if _, err := op.MarshalJSON(); err == nil || !strings.Contains(err.Error(), reason) {
			t.Errorf("error %v, want %q in it", err, reason)
		}
	}
}

// FuzzResponse gives each operation a response with any status and body. The call never
// panics, its status is not lost, and a profile that was read is written back as it was.
func FuzzResponse(f *testing.F) {
	bodies := []string{
		"", " \r\n", "\v", "null", "[]", "5", `"x"`, "{}", success, `{"status":null}`, `{"status":5}`, `{"status":"a","status":"b"}`, `{"status":"\ud800"}`, success + "x", success + success, `{"status":"SUCCESS"`, "\ufeff" + success,
		`{"message":"Error Message","type":"invalid_request_error"}`, `{"Message":"Forbidden"}`, `{"message":5,"type":[]}`, `{"message":"Error Mess`, "{\"message\":\"\xff\"}", "<html>\r\n<title>Not today</title>\r\n</html>", "\x00\x1b[31m red \xff\xfe\u2028\u202e!\x7f", strings.Repeat("[", 10_001),
		`{"profile":{}}`, `{"profile":null}`, `{"profile":5}`, `{"profile":5,"profile":{}}`, `{"preferences":{},"profile":{"email":"a","n":1.0,"email_verified":"true"},"x":{"\ud800":1}}`, `{"profile":{"\ud800":1}}`, `{"profile":{"custom":{"\ud800":1e400}}}`,
		`{"profile":{},"preferences":{"categories":{"a":{"status":"OPTED_IN","rules":[{"until":"x"}],"channel_preferences":[{"channel":"email"}]}},"notifications":null,"x":1}}`, `{"profile":{},"preferences":{"notifications":{"\ud800":{}}}}`, `{"profile":{},"preferences":5}`,
		`{"paging":{"cursor":"c","more":true},"results":[{"id":"news","name":"News","created":"2020-06-10T18:41:29.093Z","updated":"x","preferences":null}]}`,
		`{"results":[]}`, `{"results":null}`, `{"results":[null]}`, `{"results":[5]}`, `{"results":[{}],"paging":null}`, `{"results":[],"paging":{"cursor":5}}`, `{"results":[],"paging":{"more":"true"}}`, `{"results":[{"id":5,"preferences":{"\ud800":1}}],"paging":{"more":null,"x":[]}}`,
	}
	for _, profile := range nastyProfiles {
		if len(profile) < 1000 {
			bodies = append(bodies, `{"profile":`+profile+`}`)
		}
	}
	statuses := []uint16{200, 204, 299, 599, 400, 401, 403, 404, 409, 413, 429, 418, 500, 503, 301, 304, 600, 999, 0}
	for i, body := range bodies {
		f.Add(uint8(i), statuses[i%len(statuses)], i%5 == 0, body)
		for op := range operations {
			f.Add(uint8(op), uint16(200), i%7 == 0, body)
		}
	}
	var respond func() *http.Response
	client := respondingClient(f, func(*http.Request) (*http.Response, error) { return respond(), nil }, courier.WithMaxRetries(0))
	recorder, replaced := recordingClient(f)
	f.Fuzz(func(t *testing.T, n uint8, code uint16, cut bool, body string) {
		op, status := operations[int(n)%len(operations)], int(code)%1000
		if status/100 == 1 || strings.Contains(body, half) {
			return // an informational response is not the last one
		}
		respond = func() *http.Response {
			var reader io.Reader = strings.NewReader(body)
			if cut {
				reader = io.MultiReader(reader, iotest.ErrReader(io.ErrUnexpectedEOF))
			}
			return &http.Response{StatusCode: status, Body: io.NopCloser(reader), Header: http.Header{}}
		}
		got, err := op.call(t.Context(), client, "user-1")
		if err != nil {
			if text := err.Error(); got.Response != nil || !utf8.ValidString(text) || strings.ContainsAny(text, "\r\n\x00\x1b\u2028") || !strings.HasPrefix(text, "courier: "+op.name+": ") {
				t.Errorf("%v along with the error %q", got, text)
			}
		}
		var failed *courier.APIError
		var broken *courier.ConnectionError
		var unexpected *courier.UnexpectedResponseError
		switch {
		case status/100 != 2:
			if !errors.As(err, &failed) || failed.StatusCode != status || failed.Operation != op.name || string(failed.Body) != body {
				t.Errorf("status %d, %q gives %T %v", status, body, err, err)
			}
			return
		case cut:
			if !errors.As(err, &broken) || !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("status %d, %q, cut off, gives %T %v", status, body, err, err)
			}
			return
		case err != nil:
			if !errors.As(err, &unexpected) || unexpected.StatusCode != status || unexpected.Operation != op.name || string(unexpected.Body) != body || unexpected.Err == nil {
				t.Errorf("status %d, %q gives %T %v", status, body, err, err)
			}
			return
		case got.Response == nil || got.StatusCode != status || got.Attempts != 1:
			t.Errorf("status %d, %q gives %+v", status, body, got)
			return
		}
		object, isJSON := asJSON(strings.TrimPrefix(body, "\ufeff"))
		members, isObject := object.(map[string]any)
		switch {
		case strings.Trim(strings.TrimPrefix(body, "\ufeff"), " \t\r\n") == "":
			if !op.writes() || got.write.Status != "" {
				t.Errorf("%s: no body gives %+v", op.name, got)
			}
		case !isJSON || !isObject:
			t.Errorf("%s: %q is a success: %+v", op.name, body, got)
		case got.write != nil:
			if text, _ := members["status"].(string); got.write.Status != text || members["status"] != nil && text == "" && members["status"] != "" {
				t.Errorf("%s: %q has the status %q", op.name, body, got.write.Status)
			}
		case got.get != nil:
			want, isProfile := members["profile"].(map[string]any)
			if _, there := members["profile"]; !isProfile && (!there || members["profile"] != nil) || (got.get.Preferences == nil) != (members["preferences"] == nil) {
				t.Fatalf("%q is read as %+v", body, got.get)
			} else if !isProfile {
				want = map[string]any{}
			}
			if _, err := recorder.Profiles.Replace(t.Context(), "user-1", got.get.Profile); err != nil {
				t.Fatalf("%q was read and cannot be sent: %v", body, err)
			}
			if diff := exactDiff(map[string]any{"profile": want}, exactly(t, *replaced)); diff != "" {
				t.Errorf("%q is sent back as %q %s", body, *replaced, diff)
			}
			subscribeBack(t, recorder, got.get.Preferences)
		case got.page != nil:
			paging, _ := members["paging"].(map[string]any)
			cursor, _ := paging["cursor"].(string)
			results, _ := members["results"].([]any)
			if got.page.Cursor != cursor || got.page.More != (paging["more"] == true) || len(got.page.Subscriptions) != len(results) {
				t.Errorf("%q is read as %+v", body, got.page)
			}
			for _, subscription := range got.page.Subscriptions {
				subscribeBack(t, recorder, subscription.Preferences)
			}
		}
	})
}

// subscribeBack fails if preferences that were read cannot be sent.
func subscribeBack(t *testing.T, client *courier.Client, preferences *courier.Preferences) {
	t.Helper()
	if _, err := client.Profiles.Lists.Subscribe(t.Context(), "user-1", []courier.ListSubscription{{ListID: "a", Preferences: preferences}}); err != nil {
		t.Errorf("preferences that were read cannot be sent: %v", err)
	}
}
