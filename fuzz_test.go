package courier_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/textproto"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"

	"github.com/jarcoal/httpmock"

	courier "github.com/courier-profiles/courier-go"
)

// testedOperation is one of the eight operations of the API, called in one way.
type testedOperation struct {
	name    string // in errors
	method  string
	suffix  string // of the path
	body    string // of the request
	success string // a documented response
	writes  bool   // responds with a status, or with 204
	call    func(ctx context.Context, c *courier.Client, userID string, opts ...courier.RequestOption) (returned, error)
}

// returned is what a call returns: one of the three results, and its Response.
type returned struct {
	*courier.Response
	write *courier.Result
	get   *courier.GetResult
	page  *courier.SubscriptionPage
}

func written(result *courier.Result, err error) (returned, error) {
	if result == nil {
		return returned{}, err
	}
	return returned{Response: &result.Response, write: result}, err
}

const success = `{"status":"SUCCESS"}`

var operations = []testedOperation{
	{"merge profile", "POST", "", `{"profile":{"email":"a"}}`, success, true,
		func(ctx context.Context, c *courier.Client, userID string, opts ...courier.RequestOption) (returned, error) {
			return written(c.Profiles.Merge(ctx, userID, courier.Profile{Email: courier.Set("a")}, opts...))
		}},
	{"get profile", "GET", "", "", `{"profile":{"email":"a"},"preferences":null}`, false,
		func(ctx context.Context, c *courier.Client, userID string, opts ...courier.RequestOption) (returned, error) {
			result, err := c.Profiles.Get(ctx, userID, opts...)
			if result == nil {
				return returned{}, err
			}
			return returned{Response: &result.Response, get: result}, err
		}},
	{"replace profile", "PUT", "", `{"profile":{}}`, success, true,
		func(ctx context.Context, c *courier.Client, userID string, opts ...courier.RequestOption) (returned, error) {
			return written(c.Profiles.Replace(ctx, userID, courier.Profile{}, opts...))
		}},
	{"patch profile", "PATCH", "", `{"patch":[]}`, success, true,
		func(ctx context.Context, c *courier.Client, userID string, opts ...courier.RequestOption) (returned, error) {
			return written(c.Profiles.Patch(ctx, userID, nil, opts...))
		}},
	{"delete profile", "DELETE", "", "", success, true,
		func(ctx context.Context, c *courier.Client, userID string, opts ...courier.RequestOption) (returned, error) {
			return written(c.Profiles.Delete(ctx, userID, opts...))
		}},
	{"list subscriptions", "GET", "/lists", "", `{"paging":{"cursor":null,"more":false},"results":[{"id":"news"}]}`, false,
		func(ctx context.Context, c *courier.Client, userID string, opts ...courier.RequestOption) (returned, error) {
			page, err := c.Profiles.Lists.Page(ctx, userID, "", opts...)
			if page == nil {
				return returned{}, err
			}
			return returned{Response: &page.Response, page: page}, err
		}},
	{"subscribe", "POST", "/lists", `{"lists":[{"listId":"news"}]}`, success, true,
		func(ctx context.Context, c *courier.Client, userID string, opts ...courier.RequestOption) (returned, error) {
			return written(c.Profiles.Lists.Subscribe(ctx, userID, []courier.ListSubscription{{ListID: "news"}}, opts...))
		}},
	{"unsubscribe all", "DELETE", "/lists", "", success, true,
		func(ctx context.Context, c *courier.Client, userID string, opts ...courier.RequestOption) (returned, error) {
			return written(c.Profiles.Lists.UnsubscribeAll(ctx, userID, opts...))
		}},
}

// wireRequest is a request as a server reads it.
type wireRequest struct {
	method, uri string
	header      http.Header
	body        string
}

// onTheWire writes a request as net/http does, and reads it as a server would. Anything
// but a request line, a header, and a body is an error.
func onTheWire(req *http.Request) (*wireRequest, error) {
	var wire bytes.Buffer
	if err := req.Write(&wire); err != nil {
		return nil, err
	}
	reader := bufio.NewReader(&wire)
	text := textproto.NewReader(reader)
	line, err := text.ReadLine()
	if err != nil {
		return nil, err
	}
	parts := strings.Split(line, " ")
	if len(parts) != 3 || parts[2] != "HTTP/1.1" {
		return nil, fmt.Errorf("the request begins with %q", line)
	}
	header, err := text.ReadMIMEHeader()
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(reader)
	if want := header.Get("Content-Length"); err == nil && want != strconv.Itoa(len(body)) && (want != "" || len(body) > 0) {
		err = fmt.Errorf("%d bytes after the header, and Content-Length is %q", len(body), want)
	}
	return &wireRequest{parts[0], parts[1], http.Header(header), string(body)}, err
}

// wireClient returns a client that puts each of its requests into seen.
func wireClient(f *testing.F, seen **wireRequest, response func() string, opts ...courier.Option) *courier.Client {
	return respondingClient(f, func(req *http.Request) (resp *http.Response, err error) {
		*seen, err = onTheWire(req)
		return httpmock.NewStringResponse(http.StatusOK, response()), err
	}, append(opts, courier.WithMaxRetries(0))...)
}

func FuzzUserID(f *testing.F) {
	for i, id := range []string{
		"", ".", "..", "...", "user-1", "a/b", "../lists/x", "x/..", "a?b", "a#b", "100%", "%2F", "%2e%2e", "%zz", "ü/✓", "a\r\nX-Evil: 1", "\x00", "\x7f", " ", "+15555550100", "user+tag@example.com",
		"\xff\xfe", `\..\`, ";&=:,$!*'()[]", `"<>^{|}` + "`", "-._~", "//", "https://example.com/", strings.Repeat("ü", 500),
	} {
		for op := range operations {
			f.Add(uint8(op), i%2 == 0, id, "")
		}
		f.Add(uint8(5), i%2 == 0, "user-1", id)
	}
	var op testedOperation
	var seen *wireRequest
	clients := map[string]*courier.Client{}
	for _, base := range []string{"/base/v1", "/a%2Fb"} {
		clients[base] = wireClient(f, &seen, func() string { return op.success }, courier.WithBaseURL("https://courier.test"+base))
	}
	f.Fuzz(func(t *testing.T, n uint8, escaped bool, id, cursor string) {
		op = operations[int(n)%len(operations)]
		base := "/base/v1"
		if escaped {
			base = "/a%2Fb"
		}
		seen = nil
		var err error
		want := url.Values{}
		if op.name == "list subscriptions" {
			if cursor != "" {
				want.Set("cursor", cursor)
			}
			_, err = clients[base].Profiles.Lists.Page(t.Context(), id, cursor)
		} else {
			_, err = op.call(t.Context(), clients[base], id)
		}
		if id == "" || id == "." || id == ".." {
			if wantRefused(t, op.name, err, "userID"); seen != nil {
				t.Errorf("%s for %q was refused, and sent", op.name, id)
			}
			return
		}
		if err != nil || seen == nil {
			t.Fatalf("%s for %q: %v", op.name, id, err)
		}
		path, query, hasQuery := strings.Cut(seen.uri, "?")
		segment, begins := strings.CutPrefix(path, base+"/profiles/")
		segment, ends := strings.CutSuffix(segment, op.suffix)
		got, err := url.PathUnescape(segment)
		if !begins || !ends || err != nil || got != id || strings.ContainsAny(segment, `/\;#`) || segment == "." || segment == ".." {
			t.Errorf("%s for %q is sent to %q, which is for %q (%v)", op.name, id, seen.uri, got, err)
		}
		if values, err := url.ParseQuery(query); err != nil || !reflect.DeepEqual(values, want) || hasQuery != (len(want) > 0) || strings.Contains(query, "#") {
			t.Errorf("%s with cursor %q has the query %q (%v)", op.name, cursor, query, err)
		}
		if seen.method != op.method || seen.body != op.body || seen.header.Get("Host") != "courier.test" {
			t.Errorf("%s for %q: sent %+v", op.name, id, *seen)
		}
	})
}

func FuzzRequestHeader(f *testing.F) {
	for _, value := range []string{"", "a", " a", "a ", "a\r\nX-Evil: 1", "a\nb", "a\x00", "\x7f", "é", "a\tb", "a,b", `"a"`, "\xff"} {
		f.Add("X-Tenant", value, false)
		f.Add("", value, true)
	}
	for _, name := range []string{
		"", "a b", "a:", "a\r\nb", "é", "Authorization", "authorization", "HOST", "content-length", "Content-Type", "Idempotency-Key", "x-idempotency-expiration", "Transfer-Encoding", "te", "Connection", "Proxy-Authorization",
		"User-Agent", "Accept", "accept-encoding", "Cookie", "Expect", "Pragma", ":path", "a_b", "X-\x00",
	} {
		f.Add(name, "value", false)
		f.Add(name, "", false)
	}
	var seen *wireRequest
	client := wireClient(f, &seen, func() string { return success })
	if _, err := client.Profiles.Merge(f.Context(), "user-1", courier.Profile{}); err != nil {
		f.Fatal(err)
	}
	plain := *seen
	f.Fuzz(func(t *testing.T, name, value string, key bool) {
		option := courier.WithHeader(name, value)
		if key {
			name, option = "Idempotency-Key", courier.WithIdempotencyKey(value)
		}
		seen = nil
		if _, err := client.Profiles.Merge(t.Context(), "user-1", courier.Profile{}, option); err != nil {
			var refused *courier.ValidationError
			if !errors.As(err, &refused) || refused.Field == "" || refused.Reason == "" || seen != nil || strings.ContainsAny(err.Error(), "\r\n\x00") {
				t.Errorf("%s: %q gives the error %q, sent %v", name, value, err, seen)
			}
			return
		}
		want := maps.Clone(plain.header)
		if name = http.CanonicalHeaderKey(name); name == "User-Agent" && value == "" {
			delete(want, name) // how net/http is told to send none
		} else {
			want[name] = []string{value}
		}
		if !reflect.DeepEqual(seen.header, want) || seen.uri != plain.uri || seen.body != plain.body {
			t.Errorf("%s: %q is sent as %+v", name, value, *seen)
		}
		for _, ours := range []string{"Host", "Authorization", "Content-Length", "Content-Type"} {
			if !slices.Equal(seen.header[ours], plain.header[ours]) {
				t.Errorf("%s: %q changes %s to %q", name, value, ours, seen.header[ours])
			}
		}
	})
}

func FuzzProfileRoundTrip(f *testing.F) {
	for _, document := range nastyProfiles {
		if len(document) < 1000 {
			f.Add(document)
		}
	}
	for _, value := range nastyValues {
		f.Add(`{"email":` + value + `,"address":{"country":` + value + `},"expo":{"tokens":` + value + `},"webhook":{"headers":` + value + `},"x":` + value + `}`)
	}
	for _, document := range []string{``, `null`, ` null `, `[]`, `"x"`, `1`, `{"\ud800":1}`, "{\"a\":\"\xff\"}", `{"a":1}x`, `{"a":1,}`, "\ufeff{}"} {
		f.Add(document)
	}
	random := randomProfiles{rand.New(rand.NewPCG(6, 0))}
	for range 50 {
		f.Add(random.object("", 4))
	}
	f.Fuzz(func(t *testing.T, document string) {
		if checkRoundTrip(t, document) && strings.TrimSpace(document) != "null" {
			checkInStruct(t, document)
			checkChanges(t, document)
		}
	})
}

// fuzzedValues make a value of the caller's from any text and number.
var fuzzedValues = []func(text string, number float64) any{
	func(text string, _ float64) any { return text },
	func(text string, _ float64) any { return &text },
	func(text string, _ float64) any { return textKey(text) },
	func(text string, _ float64) any { return []byte(text) },
	func(_ string, number float64) any { return number },
	func(_ string, number float64) any { return float32(number) },
	func(_ string, number float64) any { return int64(number) },
	func(text string, _ float64) any { return []string{text, "\ufffd"} },
	func(text string, _ float64) any { return map[string]string{text: text} },
	func(text string, number float64) any {
		return map[string]any{text: []any{text, nil, true, number}, text + "n": map[string]any{}}
	},
	func(text string, number float64) any {
		return struct {
			T string  `json:"t,omitempty"`
			I int64   `json:",string"`
			F float64 `json:",string,omitempty"`
			P *string
		}{text, int64(number), number, &text}
	},
	func(text string, _ float64) any { return courier.Set(text) },
	func(text string, _ float64) any { return json.RawMessage(text) },
	func(text string, _ float64) any { return json.Number(text) },
}

// FuzzRequestBody writes a caller's value in all places where there can be one: each gives
// the JSON that encoding/json gives, or all refuse it.
func FuzzRequestBody(f *testing.F) {
	texts := []string{
		"", "a", "\xff", "a\xc3", "\xed\xa0\x80", "\ufffd", `\ufffd`, `"\ufffd"`, "\x00\n\u2028<&>\"\\/", "😀", "null", "{}", "[1", `{"a":1.0,"a":"\ud800"}`, ` [1, 2] `, "1e400", "-0", "01", "1.", "9007199254740993", "NaN", "0x10",
		`"},"email":"x`, `{"a":1}}`, "\"\xff\"", "\"\n\"", "email", "custom", "categories", "a/b~c", "\x7f\u0085", `{"\ud800":1}`,
	}
	for _, text := range texts {
		for kind := range fuzzedValues {
			f.Add(uint8(kind), "key", text, 0.1)
		}
		f.Add(uint8(0), text, "text", 0.1)
	}
	for _, number := range []float64{0, -1 / 1e-300 / 1e300, 1e-7, 1e20, 1e21, 123456789.125, 5e-324, 1.7976931348623157e308, 9007199254740993, 1e39} {
		for _, kind := range []uint8{4, 5, 6, 9, 10} {
			f.Add(kind, "key", "", number)
			f.Add(kind, "key", "", number/(number-number)) // NaN or an infinity
		}
	}
	places := placesOfValues(f)
	f.Fuzz(func(t *testing.T, kind uint8, key, text string, number float64) {
		value := fuzzedValues[int(kind)%len(fuzzedValues)](text, number)
		want, ok := asSent(value)
		ok = ok && utf8.ValidString(key)
		if strings.Contains(text+key, half) {
			return
		}
		for _, place := range places {
			got, err := place.write(key, value)
			if err != nil {
				var refused *courier.ValidationError
				if ok || got != "" || !errors.As(err, &refused) {
					t.Errorf("%s, %q: %#v gives the error %v, written as %q", place.name, key, value, err, got)
				} else if len(text) > 20 && strings.Contains(refused.Error(), text) || len(key) > 20 && strings.Contains(refused.Error(), key) {
					t.Errorf("%s, %q: the error has data in it: %q", place.name, key, refused)
				}
				continue
			}
			body, valid := asJSON(got)
			if !ok || !valid {
				t.Errorf("%s, %q: %#v is written as %q", place.name, key, value, got)
			} else if diff := exactDiff(place.want(key, want), body); diff != "" {
				t.Errorf("%s, %q: %#v is written as %q %s", place.name, key, value, got, diff)
			}
		}
	})
}

// asSent is what exactly returns for the JSON of a value by encoding/json. ok is false for
// what encoding/json refuses, and for text that it would change because it is not UTF-8.
func asSent(value any) (want any, ok bool) {
	if number, isNumber := value.(json.Number); isNumber && number == "" {
		return nil, false // which it writes as 0
	}
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if raw, isRaw := value.(json.RawMessage); isRaw && !utf8.Valid(raw) || encoder.Encode(value) != nil {
		return nil, false
	}
	if written := fmt.Sprintf("%v", flat(value)); !utf8.ValidString(written) {
		return nil, false
	}
	return asJSON(text.String())
}

// flat is value without its pointers, for fmt to print all of it. Bytes are not text.
func flat(value any) any {
	switch value := value.(type) {
	case *string:
		return *value
	case []byte:
		return nil
	case courier.Field[string]:
		return value.Or("")
	}
	return value
}

// FuzzResponse gives each operation a response with any status and body. The call never
// panics, its status is not lost, and a profile that was read is written back as it was.
func FuzzResponse(f *testing.F) {
	bodies := []string{
		"", " \r\n", "null", "[]", "5", `"x"`, "{}", success, `{"status":null}`, `{"status":5}`, `{"status":"a","status":"b"}`, `{"status":"\ud800"}`, success + "x", success + success, `{"status":"SUCCESS"`, "\ufeff" + success,
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
				t.Errorf("%v beside the error %q", got, text)
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
			if !op.writes || got.write.Status != "" {
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
