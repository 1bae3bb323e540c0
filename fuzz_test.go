package courier_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"

	courier "github.com/courier-profiles/courier-go"
	"github.com/courier-profiles/courier-go/couriertest"
)

// These targets take the whole way of a call, from the method to the bytes of
// the request and from the answer to the result, with a transport in place of
// the network. What only reads and writes a profile is FuzzProfileRoundTrip.

// wireRequest is a request as a server reads it.
type wireRequest struct {
	method, uri string
	header      http.Header
	body        string
}

// onTheWire writes a request as net/http does and reads it as a server would.
// What is neither line, header nor body is an error.
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
	if err != nil {
		return nil, err
	}
	if want := header.Get("Content-Length"); want != strconv.Itoa(len(body)) && (want != "" || len(body) > 0) {
		return nil, fmt.Errorf("%d bytes behind the header, and Content-Length is %q", len(body), want)
	}
	return &wireRequest{parts[0], parts[1], http.Header(header), string(body)}, nil
}

func FuzzUserID(f *testing.F) {
	for i, user := range userIDs {
		if len(user.id) < 1000 {
			for op := range apiOperations {
				f.Add(uint8(op), i%2 == 0, user.id, "")
			}
			f.Add(uint8(5), i%2 == 0, "user-1", user.id)
		}
	}
	for _, id := range []string{"", ".", ".."} {
		for op := range apiOperations {
			f.Add(uint8(op), false, id, id)
		}
	}
	var op apiOperation
	var seen *wireRequest
	sent := 0
	transport := func(req *http.Request) (resp *http.Response, err error) {
		sent++
		seen, err = onTheWire(req)
		return coreAnswer(http.StatusOK, op.success), err
	}
	clients := map[string]*courier.Client{}
	for _, base := range []string{"/base/v1", "/a%2Fb"} {
		clients[base] = coreClient(f, transport, courier.WithBaseURL("https://courier.test"+base), courier.WithMaxRetries(0))
	}
	f.Fuzz(func(t *testing.T, n uint8, escaped bool, id, cursor string) {
		op = apiOperations[int(n)%len(apiOperations)]
		base := "/base/v1"
		if escaped {
			base = "/a%2Fb"
		}
		sent = 0
		var err error
		if op.query != "" {
			_, err = clients[base].Profiles.Lists.Page(t.Context(), id, cursor)
		} else {
			_, err = op.call(t.Context(), clients[base], id)
		}
		if id == "" || id == "." || id == ".." {
			if wantValidation(t, err, "userID"); sent > 0 {
				t.Errorf("%s for %q was refused, and sent", op.name, id)
			}
			return
		}
		if err != nil || sent != 1 {
			t.Fatalf("%s for %q: %v, sent %d times", op.name, id, err, sent)
		}
		path, query, hasQuery := strings.Cut(seen.uri, "?")
		segment, begins := strings.CutPrefix(path, base+"/profiles/")
		segment, ends := strings.CutSuffix(segment, op.suffix)
		got, err := url.PathUnescape(segment)
		if !begins || !ends || err != nil || got != id || strings.ContainsAny(segment, `/\;#`) || segment == "." || segment == ".." {
			t.Errorf("%s for %q is sent to %q, which is for %q (%v)", op.name, id, seen.uri, got, err)
		}
		want := url.Values{}
		if op.query != "" && cursor != "" {
			want.Set("cursor", cursor)
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
	for _, value := range []string{"", "a", " a", "a ", "a\r\nX-Evil: 1", "a\nb", "a\x00", "\x7f", "é", "a\tb", "a,b", `"a"`, "no-cache", "\xff"} {
		f.Add("X-Tenant", value, false)
		f.Add("", value, true)
	}
	for _, name := range []string{"", "a b", "a:", "a\r\nb", "é", "Authorization", "authorization", "HOST", "content-length", "Content-Type", "Idempotency-Key", "x-idempotency-expiration",
		"Transfer-Encoding", "te", "Connection", "Proxy-Authorization", "User-Agent", "Accept", "accept-encoding", "Cookie", "Expect", "Pragma", ":path", "a_b", "X-\x00"} {
		f.Add(name, "value", false)
		f.Add(name, "", false)
	}
	var seen *wireRequest
	client := coreClient(f, func(req *http.Request) (resp *http.Response, err error) {
		seen, err = onTheWire(req)
		return coreAnswer(http.StatusOK, success), err
	}, courier.WithMaxRetries(0))
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
			if refused := wantValidation(t, err, ""); seen != nil {
				t.Errorf("%s: %q was refused (%v), and sent", name, value, refused)
			}
			if len(name) < 500 { // the error repeats a good name
				wantOneLine(t, err.Error())
			}
			return
		}
		want := maps.Clone(plain.header)
		if name = http.CanonicalHeaderKey(name); name == "User-Agent" && value == "" {
			delete(want, name) // which is how net/http is told to send none
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

type fuzzText string

type fuzzMarshaler string

func (m fuzzMarshaler) MarshalJSON() ([]byte, error) { return []byte(m), nil }

var numberPattern = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?$`)

// asJSON is text that is JSON, as exactly has it; ok is false if it is none.
func asJSON(text string) (value any, ok bool) {
	if !json.Valid([]byte(text)) || !utf8.ValidString(text) {
		return nil, false
	}
	return exactly(text), true
}

// fuzzValues make values of any text and number, and say what each is in JSON,
// as exactly has it; ok is false for one that cannot be sent.
var fuzzValues = []func(text string, number float64) (value, want any, ok bool){
	func(text string, _ float64) (value, want any, ok bool) { return text, text, utf8.ValidString(text) },
	func(text string, _ float64) (value, want any, ok bool) {
		return json.Number(text), json.Number(text), numberPattern.MatchString(text)
	},
	func(text string, _ float64) (value, want any, ok bool) {
		want, ok = asJSON(text)
		return json.RawMessage(text), want, ok
	},
	func(text string, _ float64) (value, want any, ok bool) {
		// This escape is refused, because encoding/json writes it for a byte that is
		// not UTF-8.
		text = strings.ReplaceAll(text, `\ufffd`, "?")
		want, ok = asJSON(text)
		return fuzzMarshaler(text), want, ok
	},
	func(_ string, number float64) (value, want any, ok bool) {
		text, err := json.Marshal(number)
		return number, json.Number(text), err == nil
	},
	func(_ string, number float64) (value, want any, ok bool) {
		text, err := json.Marshal(float32(number))
		return float32(number), json.Number(text), err == nil
	},
	func(_ string, number float64) (value, want any, ok bool) {
		return int64(number), json.Number(strconv.FormatInt(int64(number), 10)), true
	},
	func(text string, _ float64) (value, want any, ok bool) {
		return []string{text, "\ufffd"}, []any{text, "\ufffd"}, utf8.ValidString(text)
	},
	func(text string, _ float64) (value, want any, ok bool) {
		return []any{text, nil, true, []any(nil)}, []any{text, nil, true, []any{}}, utf8.ValidString(text)
	},
	func(text string, _ float64) (value, want any, ok bool) {
		return map[string]string{text: text}, map[string]any{text: text}, utf8.ValidString(text)
	},
	func(text string, _ float64) (value, want any, ok bool) {
		return map[string]any{text: text, text + "n": map[string]any(nil)}, map[string]any{text: text, text + "n": map[string]any{}}, utf8.ValidString(text)
	},
	func(text string, _ float64) (value, want any, ok bool) {
		return struct{ T fuzzText }{fuzzText(text)}, map[string]any{"T": text}, utf8.ValidString(text)
	},
	func(text string, _ float64) (value, want any, ok bool) {
		return &text, text, utf8.ValidString(text)
	},
	func(text string, _ float64) (value, want any, ok bool) {
		return courier.Set(text), text, utf8.ValidString(text)
	},
	func(text string, _ float64) (value, want any, ok bool) {
		return []byte(text), base64.StdEncoding.EncodeToString([]byte(text)), true
	},
}

// fuzzPlaces are the places where a value of the caller's can be, and the body
// that each gives.
var fuzzPlaces = []struct {
	send func(ctx context.Context, s *courier.ProfilesService, key string, value any) (*courier.Result, error)
	want func(key string, value any) any
}{
	{
		func(ctx context.Context, s *courier.ProfilesService, key string, value any) (*courier.Result, error) {
			return s.Merge(ctx, "user-1", courier.Profile{Extra: map[string]any{key: value}})
		},
		func(key string, value any) any { return map[string]any{"profile": map[string]any{key: value}} },
	},
	{
		func(ctx context.Context, s *courier.ProfilesService, key string, value any) (*courier.Result, error) {
			return s.Replace(ctx, "user-1", courier.Profile{Custom: courier.Set(map[string]any{key: value})})
		},
		func(key string, value any) any {
			return map[string]any{"profile": map[string]any{"custom": map[string]any{key: value}}}
		},
	},
	{
		func(ctx context.Context, s *courier.ProfilesService, key string, value any) (*courier.Result, error) {
			return s.Merge(ctx, "user-1", courier.Profile{
				Name:    courier.Set(key),
				Address: courier.Set(courier.Address{Extra: map[string]any{"x": []any{value, map[string]any{key: value}}}}),
				Webhook: courier.Set(courier.Webhook{Headers: courier.Set(map[string]string{key: key})}),
			})
		},
		func(key string, value any) any {
			return map[string]any{"profile": map[string]any{
				"name":    key,
				"address": map[string]any{"x": []any{value, map[string]any{key: value}}},
				"webhook": map[string]any{"headers": map[string]any{key: key}},
			}}
		},
	},
	{
		func(ctx context.Context, s *courier.ProfilesService, key string, value any) (*courier.Result, error) {
			return s.Patch(ctx, "user-1", []courier.PatchOp{courier.PatchAdd(courier.Pointer(key), value), courier.PatchRemove(courier.Pointer("a", key))})
		},
		func(key string, value any) any {
			token := strings.ReplaceAll(strings.ReplaceAll(key, "~", "~0"), "/", "~1")
			return map[string]any{"patch": []any{
				map[string]any{"op": "add", "path": "/" + token, "value": value},
				map[string]any{"op": "remove", "path": "/a/" + token},
			}}
		},
	},
	{
		func(ctx context.Context, s *courier.ProfilesService, key string, value any) (*courier.Result, error) {
			return s.Lists.Subscribe(ctx, "user-1", []courier.ListSubscription{{
				ListID: "l" + key, Preferences: &courier.Preferences{Extra: map[string]any{key: value}},
			}})
		},
		func(key string, value any) any {
			return map[string]any{"lists": []any{map[string]any{"listId": "l" + key, "preferences": map[string]any{key: value}}}}
		},
	},
}

func FuzzRequestBody(f *testing.F) {
	texts := []string{
		"", "a", "\xff", "a\xc3", "\xed\xa0\x80", "\ufffd", `\ufffd`, `"\ufffd"`, `"\\ufffd"`, "\x00\n\u2028<&>\"\\/", "😀", "null", "{}", "[1", `{"a":1.0,"a":"\ud800"}`, ` [1, 2] `, "1e400", "-0", "01", "1.",
		"9007199254740993", "NaN", "0x10", `"},"email":"x`, `{"a":1}}`, "\"\xff\"", "\"\n\"", "email", "custom", "categories", "a/b~c", "\x7f\u0085",
	}
	for i, text := range texts {
		for kind := range fuzzValues {
			f.Add(uint8(i), uint8(kind), "key", text, 0.1)
		}
		for place := range fuzzPlaces {
			f.Add(uint8(place), uint8(0), text, "text", 0.1)
		}
	}
	for _, number := range []float64{0, -1 / 1e-300 / 1e300, 1e-7, 1e20, 1e21, 123456789.125, 5e-324, 1.7976931348623157e308, 9007199254740993, 1e39} {
		for kind := 4; kind < 7; kind++ {
			f.Add(uint8(0), uint8(kind), "key", "", number)
			f.Add(uint8(0), uint8(kind), "key", "", number/(number-number)) // NaN or an infinity
		}
	}
	body := ""
	client := coreClient(f, func(req *http.Request) (*http.Response, error) {
		text, err := io.ReadAll(req.Body)
		body = string(text)
		return coreAnswer(http.StatusOK, success), err
	}, courier.WithMaxRetries(0))
	f.Fuzz(func(t *testing.T, n, kind uint8, key, text string, number float64) {
		place := fuzzPlaces[int(n)%len(fuzzPlaces)]
		value, want, ok := fuzzValues[int(kind)%len(fuzzValues)](text, number)
		ok = ok && utf8.ValidString(key)
		body = ""
		_, err := place.send(t.Context(), client.Profiles, key, value)
		if err != nil {
			if refused := wantValidation(t, err, ""); body != "" || ok {
				t.Errorf("%q: %#v is refused, %v, and sent as %q", key, value, refused, body)
			}
			wantOneLine(t, err.Error())
			for _, secret := range []string{key, text} {
				if len(secret) > 20 && strings.Contains(err.Error(), secret) {
					t.Errorf("%q is in the error %q", secret, err)
				}
			}
			return
		}
		got, valid := asJSON(body)
		if !ok || !valid {
			t.Fatalf("%q: %#v is sent as %q", key, value, body)
		}
		if diff := diffOf(place.want(key, want), got); diff != "" {
			t.Errorf("%q: %#v is sent as %q %s", key, value, body, diff)
		}
	})
}

// FuzzMergePatch merges any profile into any other, with the client and with
// couriertest, and compares with the algorithm of RFC 7396, section 2.
func FuzzMergePatch(f *testing.F) {
	for _, pair := range [][2]string{
		// RFC 7396, appendix A, where both are objects.
		{`{"a":"b"}`, `{"a":"c"}`}, {`{"a":"b"}`, `{"b":"c"}`}, {`{"a":"b"}`, `{"a":null}`}, {`{"a":"b","b":"c"}`, `{"a":null}`}, {`{"a":["b"]}`, `{"a":"c"}`}, {`{"a":"c"}`, `{"a":["b"]}`},
		{`{"a":{"b":"c"}}`, `{"a":{"b":"d","c":null}}`}, {`{"a":[{"b":"c"}]}`, `{"a":[1]}`}, {`{"e":null}`, `{"a":1}`}, {`{}`, `{"a":{"bb":{"ccc":null}}}`},
		{`{"email":"a","custom":{"n":1,"o":{"p":1}}}`, `{"email":null,"custom":{"n":9007199254740993.10,"o":{"p":null,"q":[null,{"r":null}]}}}`},
		{`{"address":"1 Main St"}`, `{"address":{"country":"FR","region":null}}`}, {`{"address":{"country":"FR"}}`, `{"address":"1 Main St"}`},
		{`{"firebaseToken":["a"]}`, `{"firebaseToken":"b","slack":{"email":null},"email_verified":"true"}`}, {`{"":{"":1}}`, `{"":{"":null,"a":1e400}}`}, {`{"a":1,"a":{"b":2}}`, `{"a":{"b":null},"a":{"c":-0}}`},
	} {
		f.Add(pair[0], pair[1])
	}
	random := newRandomProfiles(7)
	for range 30 {
		f.Add(random.object("", random.keys[""], 3), random.object("", random.keys[""], 3))
	}
	handler := couriertest.NewHandler()
	handler.APIKey, handler.MaxRequests = coreKey, -1
	client := coreClient(f, func(req *http.Request) (*http.Response, error) {
		recorder := httptest.NewRecorder()
		handler.ServeHTTP(recorder, req)
		return recorder.Result(), nil
	}, courier.WithMaxRetries(0))
	f.Fuzz(func(t *testing.T, target, patch string) {
		var before, change courier.Profile
		if strings.Contains(strings.ToLower(target+patch), `\ud`) || before.UnmarshalJSON([]byte(target)) != nil || change.UnmarshalJSON([]byte(patch)) != nil {
			return // no profile, or half of a surrogate pair, which couriertest cannot keep
		}
		if _, err := client.Profiles.Replace(t.Context(), "user-1", before); err != nil {
			t.Fatalf("replacing by %q: %v", target, err)
		}
		if _, err := client.Profiles.Merge(t.Context(), "user-1", change); err != nil {
			t.Fatalf("merging %q: %v", patch, err)
		}
		after, err := client.Profiles.Get(t.Context(), "user-1")
		if err != nil {
			t.Fatal(err)
		}
		want := mergePatch(exactly(writeProfile(t, before)), exactly(writeProfile(t, change)))
		if diff := diffOf(want, exactly(writeProfile(t, after.Profile))); diff != "" {
			t.Errorf("%q merged into %q: %s", patch, target, diff)
		}
	})
}

// mergePatch is MergePatch of RFC 7396, section 2, on what exactly returns.
func mergePatch(target, patch any) any {
	members, ok := patch.(map[string]any)
	if !ok {
		return patch
	}
	result := map[string]any{}
	if object, ok := target.(map[string]any); ok {
		result = maps.Clone(object)
	}
	for name, value := range members {
		if value == nil {
			delete(result, name)
		} else {
			result[name] = mergePatch(result[name], value)
		}
	}
	return result
}

// echoForms are ways in which a gateway repeats what it was sent.
var echoForms = []func(string) string{
	strings.Clone, url.QueryEscape, url.PathEscape, html.EscapeString, strconv.Quote, strconv.QuoteToASCII, strings.ToUpper, strings.ToLower,
	func(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) },
	func(text string) string { return hex.EncodeToString([]byte(text)) },
}

// fuzzName is a part of the user id that looks like a word.
const fuzzName = "wilhelmina"

var fuzzUserID = secretUserID() + "." + fuzzName

// fuzzCall calls an operation with a secret wherever there can be one.
func fuzzCall(ctx context.Context, c *courier.Client, operation string) (result any, err error) {
	id, profile := fuzzUserID, secretProfile()
	switch operation {
	case "merge profile":
		return c.Profiles.Merge(ctx, id, profile, secretCallOptions()...)
	case "get profile":
		return c.Profiles.Get(ctx, id)
	case "replace profile":
		return c.Profiles.Replace(ctx, id, profile)
	case "patch profile":
		return c.Profiles.Patch(ctx, id, []courier.PatchOp{courier.PatchAdd("/"+canaries["Extra key"], canaries["Extra value"])})
	case "delete profile":
		return c.Profiles.Delete(ctx, id)
	case "list subscriptions":
		return c.Profiles.Lists.Page(ctx, id, canaries["custom value"])
	case "subscribe":
		return c.Profiles.Lists.Subscribe(ctx, id, []courier.ListSubscription{{ListID: canaries["typed list"]}}, secretCallOptions()...)
	case "unsubscribe all":
		return c.Profiles.Lists.UnsubscribeAll(ctx, id)
	}
	return nil, fmt.Errorf("no operation %q", operation)
}

func isObject(value any) bool { _, ok := value.(map[string]any); return ok }

// isTextOrNull is true for what is not there, too.
func isTextOrNull(value any) bool {
	text, ok := value.(string)
	return value == nil || ok && !noText(text)
}

// hasTextKeys reports whether value is an object without a key that is no text.
func hasTextKeys(value any) bool {
	object, ok := value.(map[string]any)
	return ok && !slices.ContainsFunc(slices.Collect(maps.Keys(object)), noText)
}

// isDocumented reports whether body is an answer to the operation as the API
// reference has it, with what that leaves open.
func isDocumented(op apiOperation, body string) bool {
	if op.writes && strings.Trim(body, " \t\r\n") == "" {
		return true
	}
	value, _ := asJSON(body)
	answer, ok := value.(map[string]any)
	switch {
	case !ok:
		return false
	case op.writes:
		return isTextOrNull(answer["status"])
	case op.query == "":
		return hasTextKeys(answer["profile"]) && (answer["preferences"] == nil || hasTextKeys(answer["preferences"]))
	}
	results, ok := answer["results"].([]any)
	paging, _ := answer["paging"].(map[string]any)
	_, isBool := paging["more"].(bool)
	return ok && !slices.ContainsFunc(results, func(result any) bool { return !hasTextKeys(result) }) &&
		(answer["paging"] == nil || isObject(answer["paging"])) && isTextOrNull(paging["cursor"]) && (isBool || paging["more"] == nil)
}

// saysMessage reports whether body begins as an object with a message.
func saysMessage(body string) bool {
	decoder := json.NewDecoder(strings.NewReader(body))
	decoder.UseNumber()
	if open, _ := decoder.Token(); open != json.Delim('{') {
		return false
	}
	for decoder.More() {
		key, err := decoder.Token()
		var value any
		if err != nil || decoder.Decode(&value) != nil {
			return false
		}
		if text, _ := value.(string); key == "message" && text != "" {
			return true
		}
	}
	return false
}

// errorTypeOf returns the name of the type that an error for a status has.
func errorTypeOf(status int) string {
	for _, row := range preciseErrors {
		if row.status == status {
			return row.name
		}
	}
	if status/100 == 5 {
		return "*courier.ServerError"
	}
	return "*courier.APIError"
}

// FuzzResponse answers every operation with any status, header and body. In the
// body, $key, $id, $url, $name and $body stand for what was sent.
func FuzzResponse(f *testing.F) {
	bodies := []string{
		"", " \r\n", "null", "[]", "5", `"x"`, "{}", success, `{"status":null}`, `{"status":5}`, `{"status":"a","status":"b"}`, `{"status":"\ud800"}`, success + "x", success + success, `{"status":"SUCCESS"`, "\xef\xbb\xbf" + success,
		courierError, "[" + courierError + "]", `{"message":"a\u0000\u2028\u202eb\ufffd","type":"a b"}`, `{"message":5,"type":[]}`, `{"message":"Error Mess`, `{"message":"x","message":5}`, `{"message":"","type":"https://example.com"}`, "{\"message\":\"\xff\"}",
		"<html>\r\n<title>Not today</title>\r\n</html>", "\x00\x1b[31m red \xff\xfe\u2028\u202e!\x7f", strings.Repeat("é", 300), strings.Repeat("a ", 300), strings.Repeat("[", 10_001), strings.Repeat("\u0301", 900),
		"Unknown user $id.", "No route for $url", "Bad token: $key", "Cannot read $body", "<p>$body", "user$namex", strings.Repeat("x", 190) + " $key", strings.Repeat("x ", 99) + "$id", "$key$id", "$\x00key",
		`{"error":"$body","detail":"$url"}`, `{"type":"$url","title":"No"}`, `{"message":["$url"],"type":{}}`, `{"message":"$url`, `{"message":"no $id","type":"not_found"}`, `{"type":"$name"}`,
		`{"profile":{}}`, `{"profile":null}`, `{"profile":5,"profile":{}}`, `{"profile":{"email":"a","n":1.0,"email_verified":"true"},"preferences":{"categories":{"a":{"status":"OPTED_IN","rules":[{"until":"x"}]}},"notifications":null,"x":1}}`,
		`{"profile":{"\ud800":1}}`, `{"profile":{"custom":{"\ud800":1e400}},"preferences":5}`, `{"preferences":{"\ud800":1},"profile":{}}`,
		`{"paging":{"cursor":"c","more":true},"results":[{"id":"news","name":"News","created":"2020-06-10T18:41:29.093Z","updated":"x","preferences":null}]}`,
		`{"results":[]}`, `{"results":null}`, `{"results":[null]}`, `{"results":[{}],"paging":null}`, `{"results":[],"paging":{"cursor":5}}`, `{"results":[],"paging":{"more":"true"}}`, `{"results":[{"id":5}],"paging":{"more":null,"x":[]}}`, `{"results":[{"\ud800":1}]}`, `{"results":[],"paging":[]}`,
	}
	for _, profile := range nastyProfiles {
		if len(profile) < 1000 {
			bodies = append(bodies, `{"profile":`+profile+`}`)
		}
	}
	statuses := []uint16{200, 204, 299, 599, 400, 401, 403, 404, 409, 413, 429, 418, 500, 503, 100, 101, 199, 301, 304, 600, 999, 0}
	for i, body := range bodies {
		f.Add(uint8(i), statuses[i%len(statuses)], uint8(i), i%5 == 0, "", body)
		f.Add(uint8(0), uint16(200), uint8(0), false, "7", body)
		f.Add(uint8(1), uint16(200), uint8(0), i%3 == 0, "", body)
		f.Add(uint8(5), uint16(202), uint8(0), false, "", body)
		for form := range echoForms {
			if strings.Contains(body, "$") {
				f.Add(uint8(0), uint16(400), uint8(form), false, "-1\r\n", body)
			}
		}
	}
	var answer func(*http.Request) *http.Response
	replaced := ""
	replacing := coreClient(f, func(req *http.Request) (*http.Response, error) {
		text, err := io.ReadAll(req.Body)
		replaced = string(text)
		return coreAnswer(http.StatusNoContent, ""), err
	})
	// replace sends a profile and returns the request's body.
	replace := func(t *testing.T, profile courier.Profile) string {
		if _, err := replacing.Profiles.Replace(t.Context(), "user-1", profile); err != nil {
			t.Fatalf("a profile that was read cannot be sent: %v", err)
		}
		return replaced
	}
	client, err := courier.NewClient(canaries["API key"],
		courier.WithBaseURL("https://courier.test/"+canaries["base URL"]),
		courier.WithHTTPClient(&http.Client{Transport: coreTransport(func(req *http.Request) (*http.Response, error) { return answer(req), nil })}),
		courier.WithMaxRetries(0))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, n uint8, code uint16, form uint8, cut bool, header, body string) {
		op, status := apiOperations[int(n)%len(apiOperations)], int(code)%1000
		if len(body) > 64<<10 {
			return // once a body is echoed, 1 MiB is all that is kept
		}
		attempts := 0
		answer = func(req *http.Request) *http.Response {
			attempts++
			if strings.Contains(body, "$") {
				var sent []byte
				if req.Body != nil {
					sent, _ = io.ReadAll(req.Body)
				}
				as := echoForms[int(form)%len(echoForms)]
				body = strings.NewReplacer("$key", as(req.Header.Get("Authorization")), "$id", as(fuzzUserID), "$url", as(req.URL.String()), "$name", as(fuzzName), "$body", as(string(sent))).Replace(body)
			}
			var reader io.Reader = strings.NewReader(body)
			if cut {
				reader = io.MultiReader(reader, iotest.ErrReader(io.ErrUnexpectedEOF))
			}
			return &http.Response{StatusCode: status, Body: io.NopCloser(reader), Header: http.Header{"X-Request-Id": {header}, "Retry-After": {header}}}
		}
		result, err := fuzzCall(t.Context(), client, op.name)
		if attempts != 1 {
			t.Fatalf("%d attempts", attempts)
		}
		if success := status/100 == 2; success && !cut {
			checkSuccess(t, replace, op, status, body, result, err)
		} else if !reflect.ValueOf(result).IsNil() {
			t.Errorf("%s, status %d: %v beside the error", op.name, status, result)
		} else if success {
			var broken *courier.ConnectionError
			if !errors.As(err, &broken) || broken.Operation != op.name || broken.Attempts != 1 || !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("%s, status %d, cut off: %T, %v", op.name, status, err, err)
			}
		} else {
			checkFailure(t, op, status, body, err)
		}
		if err == nil || t.Failed() {
			return
		}
		text := err.Error()
		wantOneLine(t, text)
		if !strings.HasPrefix(text, "courier: "+op.name+": ") {
			t.Errorf("the error reads %q", text)
		}
		for _, verb := range []string{"%v", "%+v", "%#v"} {
			if got := fmt.Sprintf(verb, err); got != fmt.Sprintf(verb, text) {
				t.Errorf("the error reads %q, and by %s %s", text, verb, got)
			}
		}
		record, marshalErr := json.Marshal(err)
		if marshalErr != nil {
			t.Errorf("%q in JSON: %v", text, marshalErr)
		}
		var answered *courier.APIError
		if errors.As(err, &answered) && (saysMessage(body) || strings.Contains(answered.Type, fuzzName)) {
			return // what an answer of Courier's form says is shown
		}
		for _, text := range []string{text, string(record), err.(slog.LogValuer).LogValue().String()} {
			if found := leaks(text); found != nil || strings.Contains(strings.ToLower(text), fuzzName) {
				t.Errorf("%s, status %d, body %q: %q shows what was sent: %q", op.name, status, body, text, found)
			}
		}
	})
}

// checkSuccess checks what a call returns for a status 2xx.
func checkSuccess(t *testing.T, replace func(*testing.T, courier.Profile) string, op apiOperation, status int, body string, result any, err error) {
	t.Helper()
	documented := isDocumented(op, body)
	if err != nil {
		var unexpected *courier.UnexpectedResponseError
		if !errors.As(err, &unexpected) || unexpected.Operation != op.name || unexpected.StatusCode != status || string(unexpected.Body) != body || unexpected.Err == nil {
			t.Fatalf("%s, status %d, body %q: %T, %v", op.name, status, body, err, err)
		}
		if !reflect.ValueOf(result).IsNil() {
			t.Errorf("%s: %v beside the error", op.name, result)
		}
		if documented {
			t.Errorf("%s, status %d: %q is refused: %v", op.name, status, body, err)
		}
		return
	}
	if !documented {
		t.Fatalf("%s, status %d: %q is a success: %v", op.name, status, body, result)
	}
	object, _ := asJSON(body)
	members, _ := object.(map[string]any) // nil without a body
	switch result := result.(type) {
	case *courier.Result:
		if want, _ := members["status"].(string); result.Status != want || result.StatusCode != status || result.Attempts != 1 {
			t.Errorf("%s, status %d: %q is %v", op.name, status, body, result)
		}
	case *courier.GetResult:
		if (result.Preferences == nil) != (members["preferences"] == nil) || result.StatusCode != status {
			t.Errorf("status %d: %q is %v", status, body, result)
		}
		// Nothing of a profile that was read may be lost.
		sent := replace(t, result.Profile)
		if diff := diffOf(any(map[string]any{"profile": members["profile"]}), exactly(sent)); diff != "" {
			t.Errorf("%q is sent back as %q: %s", body, sent, diff)
		}
	case *courier.SubscriptionPage:
		paging, _ := members["paging"].(map[string]any)
		cursor, _ := paging["cursor"].(string)
		results := members["results"].([]any)
		if result.Cursor != cursor || result.More != (paging["more"] == true) || len(result.Subscriptions) != len(results) || result.StatusCode != status {
			t.Errorf("status %d: %q is %v", status, body, result)
		}
		for i, subscription := range result.Subscriptions {
			if id, ok := results[i].(map[string]any)["id"].(string); ok && !noText(id) && subscription.ID != id {
				t.Errorf("subscription %d of %q has the id %q", i, body, subscription.ID)
			}
		}
	default:
		t.Fatalf("%s returns a %T", op.name, result)
	}
}

// checkFailure checks the error for any other status.
func checkFailure(t *testing.T, op apiOperation, status int, body string, err error) {
	t.Helper()
	var answer *courier.APIError
	if !errors.As(err, &answer) || fmt.Sprintf("%T", err) != errorTypeOf(status) {
		t.Fatalf("%s, status %d: %T, %v", op.name, status, err, err)
	}
	if status == http.StatusSwitchingProtocols {
		body = "" // which is not read
	}
	if answer.StatusCode != status || answer.Operation != op.name || answer.Attempts != 1 || string(answer.Body) != body {
		t.Errorf("%s, status %d, body %q: %d, %q, %d attempts, body %q", op.name, status, body, answer.StatusCode, answer.Operation, answer.Attempts, answer.Body)
	}
	var limited *courier.RateLimitError
	if errors.As(err, &limited) && limited.RetryAfter < 0 {
		t.Errorf("RetryAfter is %v", limited.RetryAfter)
	}
	object, _ := asJSON(body)
	members, _ := object.(map[string]any)
	if want, _ := members["message"].(string); want != "" && !noText(want) && answer.Message != want {
		t.Errorf("the message of %q is %q", body, answer.Message)
	}
	if kind, _ := members["type"].(string); answer.Type != "" && members != nil && answer.Type != kind {
		t.Errorf("the type of %q is %q", body, answer.Type)
	}
}
