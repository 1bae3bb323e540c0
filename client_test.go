package courier_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jarcoal/httpmock"

	courier "github.com/courier-profiles/courier-go"
)

// The example of the API reference's page "Create a profile".
const (
	seedURL    = "https://api.courier.com/profiles/0460766e-8463-4905-ae98-b72c7aef41d6"
	seedUserID = "0460766e-8463-4905-ae98-b72c7aef41d6"
	seedBody   = `{"profile":{"email":"user@example.com","phone_number":"555-555-5555"}}`
)

const coreKey = "pk_test_0123456789"

// coreTransport is a RoundTripper without a network.
type coreTransport func(*http.Request) (*http.Response, error)

func (f coreTransport) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// coreAnswer is an answer as net/http would return it.
func coreAnswer(status int, body string, header ...string) *http.Response {
	resp := &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body))}
	for i := 0; i < len(header); i += 2 {
		resp.Header.Add(header[i], header[i+1])
	}
	return resp
}

// coreClient returns a client whose calls go to transport.
func coreClient(t testing.TB, transport coreTransport, opts ...courier.Option) *courier.Client {
	t.Helper()
	opts = append([]courier.Option{
		courier.WithHTTPClient(&http.Client{Transport: transport}),
		courier.WithRetryWait(0, 0),
	}, opts...)
	client, err := courier.NewClient(coreKey, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// coreServe returns a client of a real server, below the path /base/v1.
func coreServe(t testing.TB, handler http.HandlerFunc, opts ...courier.Option) *courier.Client {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	opts = append([]courier.Option{
		courier.WithBaseURL(server.URL + "/base/v1"),
		courier.WithMaxRetries(0),
	}, opts...)
	client, err := courier.NewClient(coreKey, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.CloseIdleConnections)
	return client
}

// coreRecorder keeps what arrived at a server.
type coreRecorder struct {
	mu   sync.Mutex
	seen []coreRequest
}

type coreRequest struct {
	Method, RequestURI, Host, Body string
	Header                         http.Header
}

func (r *coreRecorder) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	r.mu.Lock()
	r.seen = append(r.seen, coreRequest{req.Method, req.RequestURI, req.Host, string(body), req.Header})
	r.mu.Unlock()
	io.WriteString(w, success)
}

func (r *coreRecorder) all() []coreRequest {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.seen)
}

// one returns the one request that arrived.
func (r *coreRecorder) one(t *testing.T) coreRequest {
	t.Helper()
	seen := r.all()
	if len(seen) != 1 {
		t.Fatalf("%d requests arrived, want 1", len(seen))
	}
	return seen[0]
}

// wantValidation fails unless err is a ValidationError for field (any, if that
// is empty).
func wantValidation(t *testing.T, err error, field string) *courier.ValidationError {
	t.Helper()
	var refused *courier.ValidationError
	if !errors.As(err, &refused) {
		t.Fatalf("error is %T (%v), want a *ValidationError", err, err)
	}
	if refused.Field == "" || refused.Reason == "" || field != "" && refused.Field != field {
		t.Errorf("error is %+v, want one for %q with a reason", *refused, field)
	}
	if text := "courier: " + refused.Field + ": " + refused.Reason; err.Error() != text {
		t.Errorf("error reads %q, want %q", err, text)
	}
	return refused
}

func TestClientMergeSendsTheSeedExample(t *testing.T) {
	transport := httpmock.NewMockTransport()
	var body string
	var header http.Header
	transport.RegisterResponder(http.MethodPost, seedURL, func(req *http.Request) (*http.Response, error) {
		text, err := io.ReadAll(req.Body)
		body, header = string(text), req.Header.Clone()
		if req.ContentLength != int64(len(text)) || req.GetBody == nil {
			t.Errorf("ContentLength %d for %d bytes, GetBody is nil: %t", req.ContentLength, len(text), req.GetBody == nil)
		}
		return httpmock.NewStringResponse(http.StatusOK, success), err
	})
	client, err := courier.NewClient(coreKey, courier.WithHTTPClient(&http.Client{Transport: transport}))
	if err != nil {
		t.Fatal(err)
	}
	result, err := client.Profiles.Merge(t.Context(), seedUserID, twoFields())
	if err != nil {
		t.Fatal(err)
	}
	if result.Status != "SUCCESS" || result.StatusCode != http.StatusOK || result.Attempts != 1 {
		t.Errorf("result is %+v", *result)
	}
	if body != seedBody {
		t.Errorf("body is %s, want %s", body, seedBody)
	}
	for name, want := range map[string]string{
		"Accept":        "^application/json$",
		"Content-Type":  "^application/json$",
		"Authorization": "^Bearer " + coreKey + "$",
		"User-Agent":    `^courier-profiles-go/\d+\.\d+\.\d+$`,
	} {
		if got := header[name]; len(got) != 1 || !regexp.MustCompile(want).MatchString(got[0]) {
			t.Errorf("header %s is %q, want %s", name, got, want)
		}
		delete(header, name)
	}
	if len(header) > 0 {
		t.Errorf("headers that nobody asked for: %v", header)
	}
}

func TestClientMergeOnTheWire(t *testing.T) {
	for _, version := range []string{"HTTP/1.1", "HTTP/2.0"} {
		t.Run(version, func(t *testing.T) {
			var recorder coreRecorder
			var proto string
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				proto = req.Proto
				if len(req.TransferEncoding) > 0 || req.ContentLength != int64(len(seedBody)) {
					t.Errorf("the body came with %v, Content-Length %d", req.TransferEncoding, req.ContentLength)
				}
				recorder.ServeHTTP(w, req)
			}))
			server.EnableHTTP2 = version == "HTTP/2.0"
			server.StartTLS()
			defer server.Close()
			client, err := courier.NewClient(coreKey, courier.WithBaseURL(server.URL+"/base/v1/"), courier.WithHTTPClient(server.Client()))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := client.Profiles.Merge(t.Context(), seedUserID, twoFields()); err != nil {
				t.Fatal(err)
			}
			got := recorder.one(t)
			want := coreRequest{
				Method: "POST", RequestURI: "/base/v1/profiles/" + seedUserID, Host: server.Listener.Addr().String(), Body: seedBody,
				Header: http.Header{
					"Accept":          {"application/json"},
					"Accept-Encoding": {"gzip"},
					"Authorization":   {"Bearer " + coreKey},
					"Content-Length":  {fmt.Sprint(len(seedBody))},
					"Content-Type":    {"application/json"},
					"User-Agent":      got.Header["User-Agent"],
				},
			}
			if diff := cmp.Diff(want, got); diff != "" || proto != version {
				t.Errorf("%s request (-want +got):\n%s", proto, diff)
			}
		})
	}
}

// userIDs are ids and the one segment that each is on the wire.
var userIDs = []struct{ id, segment string }{
	{seedUserID, seedUserID},
	{"a/b", "a%2Fb"},
	{"../lists/x", "..%2Flists%2Fx"},
	{"x/..", "x%2F.."},
	{"a?b", "a%3Fb"},
	{"a#b", "a%23b"},
	{"100%", "100%25"},
	{"%2F", "%252F"},
	{"%2e%2e", "%252e%252e"},
	{"%zz", "%25zz"},
	{"ü/✓", "%C3%BC%2F%E2%9C%93"},
	{"a\nb", "a%0Ab"},
	{"a\r\nX-Evil: 1", "a%0D%0AX-Evil%3A%201"},
	{"\x00", "%00"},
	{"\x7f", "%7F"},
	{"a b", "a%20b"},
	{" ", "%20"},
	{"+15555550100", "%2B15555550100"},
	{"user+tag@example.com", "user%2Btag%40example.com"},
	{"\xff\xfe", "%FF%FE"},
	{"a\xc3", "a%C3"},
	{"...", "..."},
	{"..;", "..%3B"},
	{". ", ".%20"},
	{`\..\`, "%5C..%5C"},
	{";&=:,$!*'()[]", "%3B%26%3D%3A%2C%24%21%2A%27%28%29%5B%5D"},
	{`"<>^{|}` + "`", "%22%3C%3E%5E%7B%7C%7D%60"},
	{"-._~", "-._~"},
	{"//", "%2F%2F"},
	{"https://example.com/", "https%3A%2F%2Fexample.com%2F"},
	{strings.Repeat("x", 100_000), strings.Repeat("x", 100_000)},
	{strings.Repeat("ü", 50_000), strings.Repeat("%C3%BC", 50_000)},
}

func TestClientUserIDIsOneSegment(t *testing.T) {
	var recorder coreRecorder
	server := httptest.NewServer(&recorder)
	defer server.Close()
	bases := []struct{ path, sent string }{
		{"", ""},
		{"/", ""},
		{"/base/v1", "/base/v1"},
		{"/base/v1/", "/base/v1"},
		{"/base/v1//", "/base/v1"},
		{"/a%2Fb", "/a%2Fb"},
		{"/a%2fb/", "/a%2fb"},
		{"/a%2F", "/a%2F"},
		{"/a%20b/%C3%BC", "/a%20b/%C3%BC"},
		{"/a b/ü/", "/a%20b/%C3%BC"},
		{"/100%25", "/100%25"},
		{"/a;b=c,d/(e)!*'@:$&+", "/a;b=c,d/(e)!*'@:$&+"},
	}
	for _, base := range bases {
		client, err := courier.NewClient(coreKey, courier.WithBaseURL(server.URL+base.path))
		if err != nil {
			t.Fatalf("base path %q: %v", base.path, err)
		}
		for _, user := range userIDs {
			before := len(recorder.all())
			if _, err := client.Profiles.Merge(t.Context(), user.id, twoFields()); err != nil {
				t.Errorf("base path %q, user id %.40q: %v", base.path, user.id, err)
				continue
			}
			seen := recorder.all()[before:]
			if want := base.sent + "/profiles/" + user.segment; len(seen) != 1 || seen[0].RequestURI != want || seen[0].Method != "POST" {
				t.Errorf("base path %q, user id %.40q: sent %.80v, want one to %.80s", base.path, user.id, seen, want)
			}
		}
		client.CloseIdleConnections()
	}
}

// The URL has to be right also for a transport that is not net/http's.
func TestClientUserIDInTheRequestURL(t *testing.T) {
	for _, base := range []string{"", "/base/v1", "/a%2Fb"} {
		for _, user := range userIDs {
			var got *url.URL
			client := coreClient(t, func(req *http.Request) (*http.Response, error) {
				got = req.URL
				return coreAnswer(200, success), nil
			}, courier.WithBaseURL("https://courier.test"+base))
			if _, err := client.Profiles.Merge(t.Context(), user.id, twoFields()); err != nil {
				t.Errorf("%.40q: %v", user.id, err)
				continue
			}
			if want := "https://courier.test" + base + "/profiles/" + user.segment; got.String() != want || !strings.HasSuffix(got.Path, "/profiles/"+user.id) {
				t.Errorf("%.40q: URL is %.80s with path %.80q, want %.80s", user.id, got, got.Path, want)
			}
		}
	}
}

func TestClientRefusesUserIDsThatMeanAnotherResource(t *testing.T) {
	for _, id := range []string{"", ".", ".."} {
		client := coreClient(t, func(*http.Request) (*http.Response, error) {
			t.Errorf("%q: a request was sent", id)
			return coreAnswer(200, success), nil
		})
		result, err := client.Profiles.Merge(t.Context(), id, twoFields())
		wantValidation(t, err, "userID")
		if result != nil {
			t.Errorf("%q: result is %v beside the error", id, result)
		}
	}
}

func TestClientResult(t *testing.T) {
	tests := []struct {
		name   string
		status int
		body   string
		want   string
	}{
		{"documented", 200, success, "SUCCESS"},
		{"indented", 200, " {\n\t\"status\" : \"SUCCESS\"\r\n}\n", "SUCCESS"},
		{"created", 201, success, "SUCCESS"},
		{"accepted", 202, success, "SUCCESS"},
		{"no content", 204, "", ""},
		{"empty", 200, "", ""},
		{"white space", 200, " \r\n\t", ""},
		{"no status", 200, `{}`, ""},
		{"null status", 200, `{"status":null}`, ""},
		{"empty status", 200, `{"status":""}`, ""},
		{"escaped", 200, `{"st\u0061tus":"\u0053UCC\u00c9SS"}`, "SUCCÉSS"},
		{"other case", 200, `{"Status":"no"}`, ""},
		{"unknown members", 200, `{"a":{"status":"no"},"b":[1,{"status":"no"},null],"status":"SUCCESS","c":1e400,"d":"\ud800"}`, "SUCCESS"},
		{"twice, the last wins", 200, `{"status":"no","status":"SUCCESS"}`, "SUCCESS"},
		{"twice, the last is null", 200, `{"status":"no","status":null}`, ""},
		{"as long as can be", 200, success + strings.Repeat(" ", 4<<20-len(success)), "SUCCESS"},
		{"299", 299, success, "SUCCESS"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			client := coreServe(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("X-Request-Id", "req-1")
				w.WriteHeader(test.status)
				io.WriteString(w, test.body)
			})
			result, err := client.Profiles.Merge(t.Context(), "user-1", twoFields())
			if err != nil {
				t.Fatal(err)
			}
			if result.Status != test.want || result.StatusCode != test.status || result.RequestID != "req-1" || result.Attempts != 1 ||
				result.Header.Get("X-Request-Id") != "req-1" {
				t.Errorf("result is %+v with headers %v, want status %q", *result, result.Header, test.want)
			}
		})
	}
}

func TestClientUnexpectedResponse(t *testing.T) {
	const limit = 8 << 20
	tests := []struct {
		name   string
		status int
		body   string
	}{
		{"HTML", 200, "<!doctype html><title>Sign in</title>"},
		{"text", 202, "OK"},
		{"array", 200, `[]`},
		{"array of one", 200, `[{"status":"SUCCESS"}]`},
		{"number", 200, `5`},
		{"string", 200, `"SUCCESS"`},
		{"null", 200, `null`},
		{"true", 200, `true`},
		{"status is a number", 200, `{"status":5}`},
		{"status is an object", 201, `{"status":{"status":"SUCCESS"}}`},
		{"status is false", 200, `{"status":false}`},
		{"status twice, the last a number", 200, `{"status":"SUCCESS","status":5}`},
		{"status is no text", 200, `{"status":"\ud800"}`},
		{"not UTF-8", 200, "{\"status\":\"\xff\"}"},
		{"trailing garbage", 200, success + "x"},
		{"two documents", 200, success + "\n" + success},
		{"trailing comma", 200, `{"status":"SUCCESS",}`},
		{"single quotes", 200, `{'status':'SUCCESS'}`},
		{"unfinished", 200, `{"status":"SUCC`},
		{"unfinished object", 200, `{"status":"SUCCESS"`},
		{"NUL", 200, "\x00"},
		{"nested too deep", 200, strings.Repeat(`{"a":`, 100_000)},
		{"one byte too long", 200, success + strings.Repeat(" ", limit-len(success)+1)},
		{"far too long", 200, success + strings.Repeat(" ", 3*limit)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			client := coreServe(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("X-Request-Id", "req-1")
				w.WriteHeader(test.status)
				io.WriteString(w, test.body)
			}, courier.WithMaxRetries(3))
			result, err := client.Profiles.Merge(t.Context(), "user-1", twoFields())
			var unexpected *courier.UnexpectedResponseError
			if !errors.As(err, &unexpected) || result != nil {
				t.Fatalf("result %v, error %T (%v), want an *UnexpectedResponseError", result, err, err)
			}
			if unexpected.Operation != "merge profile" || unexpected.StatusCode != test.status || unexpected.Header.Get("X-Request-Id") != "req-1" {
				t.Errorf("error has %q, %d, %v", unexpected.Operation, unexpected.StatusCode, unexpected.Header)
			}
			if want := test.body[:min(len(test.body), limit)]; string(unexpected.Body) != want {
				t.Errorf("body has %d bytes: %.100q, want %d", len(unexpected.Body), unexpected.Body, len(want))
			}
			if unexpected.Err == nil || !errors.Is(err, unexpected.Err) {
				t.Errorf("cause is %v", unexpected.Err)
			}
			if want := fmt.Sprintf("courier: merge profile: %d, but not the documented response", test.status); !strings.HasPrefix(err.Error(), want) || unexpected.Err == nil {
				t.Errorf("error reads %q, want %q", err, want)
			}
			var other *courier.APIError
			if errors.As(err, &other) {
				t.Error("a success by status is an *APIError")
			}
		})
	}
}

// setCourierEnv sets the three variables; "" is as good as not set.
func setCourierEnv(t *testing.T, apiKey, authToken, baseURL string) {
	t.Setenv("COURIER_API_KEY", apiKey)
	t.Setenv("COURIER_AUTH_TOKEN", authToken)
	t.Setenv("COURIER_BASE_URL", baseURL)
}

func TestClientFromEnv(t *testing.T) {
	option := func(baseURL string) []courier.Option { return []courier.Option{courier.WithBaseURL(baseURL)} }
	tests := []struct {
		name                       string
		apiKey, authToken, baseURL string
		opts                       []courier.Option
		wantKey, wantURL           string
	}{
		{"API key", "k1", "", "", nil, "k1", courier.DefaultBaseURL},
		{"auth token", "", "t1", "", nil, "t1", courier.DefaultBaseURL},
		{"API key goes first", "k1", "t1", "", nil, "k1", courier.DefaultBaseURL},
		{"base URL", "k1", "", "https://env.test/v1/", nil, "k1", "https://env.test/v1"},
		{"option goes first", "k1", "", "https://env.test", option("https://option.test/v2"), "k1", "https://option.test/v2"},
		{"option without variable", "k1", "", "", option(courier.EUBaseURL), "k1", courier.EUBaseURL},
		{"option in place of a bad variable", "k1", "", "nonsense", option("https://option.test"), "k1", "https://option.test"},
		{"option allows http", "k1", "", "http://env.test", []courier.Option{courier.WithInsecureHTTP()}, "k1", "http://env.test"},
		{"loopback", "k1", "", "http://127.0.0.1:1", nil, "k1", "http://127.0.0.1:1"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			setCourierEnv(t, test.apiKey, test.authToken, test.baseURL)
			var got []string
			transport := coreTransport(func(req *http.Request) (*http.Response, error) {
				got = append(got, req.URL.String(), req.Header.Get("Authorization"))
				return coreAnswer(200, success), nil
			})
			client, err := courier.NewClientFromEnv(append(test.opts, courier.WithHTTPClient(&http.Client{Transport: transport}))...)
			if err != nil {
				t.Fatal(err)
			}
			// The environment counts when the client is made, not later.
			setCourierEnv(t, "later", "later", "https://later.test")
			if _, err := client.Profiles.Merge(t.Context(), "user-1", twoFields()); err != nil {
				t.Fatal(err)
			}
			if want := []string{test.wantURL + "/profiles/user-1", "Bearer " + test.wantKey}; !slices.Equal(got, want) {
				t.Errorf("sent %q, want %q", got, want)
			}
		})
	}
}

func TestClientFromEnvRefuses(t *testing.T) {
	tests := []struct {
		name                       string
		apiKey, authToken, baseURL string
		names                      []string // what the error has to name
	}{
		{"nothing", "", "", "", []string{"COURIER_API_KEY", "COURIER_AUTH_TOKEN"}},
		{"only a base URL", "", "", "https://env.test", []string{"COURIER_API_KEY", "COURIER_AUTH_TOKEN"}},
		{"line end in the key", "SECRETKEY\n", "", "", nil},
		{"spaces for a key, no fallback to the token", "  ", "good", "", nil},
		{"bad token", "", "SECRETKEY ü", "", nil},
		{"no URL", "k1", "", "SECRETURL", nil},
		{"credentials", "k1", "", "https://u:SECRETURL@env.test", nil},
		{"http", "k1", "", "http://SECRETURL.test", nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			setCourierEnv(t, test.apiKey, test.authToken, test.baseURL)
			client, err := courier.NewClientFromEnv()
			wantValidation(t, err, "")
			if client != nil {
				t.Error("there is a client beside the error")
			}
			for _, name := range test.names {
				if !strings.Contains(err.Error(), name) {
					t.Errorf("error %q does not name %s", err, name)
				}
			}
			if strings.Contains(err.Error(), "SECRET") {
				t.Errorf("error %q repeats the value", err)
			}
		})
	}
}

// Who sets a variable has to read its name in the error, not that of an option
// which they never called.
func TestClientFromEnvErrorNamesTheVariable(t *testing.T) {
	for name, env := range map[string][3]string{
		"COURIER_API_KEY":    {"bad key", "", ""},
		"COURIER_AUTH_TOKEN": {"", "bad key", ""},
		"COURIER_BASE_URL":   {"k1", "", "nonsense"},
	} {
		t.Run(name, func(t *testing.T) {
			setCourierEnv(t, env[0], env[1], env[2])
			if _, err := courier.NewClientFromEnv(); err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("error %v does not name %s", err, name)
			}
		})
	}
}

// NewClient looks at no environment.
func TestClientNewIgnoresTheEnvironment(t *testing.T) {
	setCourierEnv(t, "env", "env", "https://env.test")
	t.Setenv("HTTPS_PROXY", "http://proxy.invalid:1")
	client := coreClient(t, func(req *http.Request) (*http.Response, error) {
		if req.URL.String() != seedURL || req.Header.Get("Authorization") != "Bearer "+coreKey {
			t.Errorf("sent to %s with %q", req.URL, req.Header.Get("Authorization"))
		}
		return coreAnswer(200, success), nil
	})
	if _, err := client.Profiles.Merge(t.Context(), seedUserID, twoFields()); err != nil {
		t.Fatal(err)
	}
	if _, err := courier.NewClient(""); err == nil {
		t.Error("an empty key is taken from the environment")
	}
}

func TestClientNilArguments(t *testing.T) {
	var none context.Context
	client := coreClient(t, func(*http.Request) (*http.Response, error) {
		t.Error("a request was sent")
		return coreAnswer(200, success), nil
	})
	_, err := client.Profiles.Merge(none, "user-1", twoFields())
	wantValidation(t, err, "ctx")
	_, err = client.Profiles.Merge(t.Context(), "user-1", twoFields(), courier.WithHeader("X-A", "1"), nil)
	wantValidation(t, err, "opts")
	made, err := courier.NewClient(coreKey, courier.WithMaxRetries(1), nil)
	wantValidation(t, err, "opts")
	if made != nil {
		t.Error("there is a client beside the error")
	}
	setCourierEnv(t, coreKey, "", "")
	_, err = courier.NewClientFromEnv(nil)
	wantValidation(t, err, "opts")
}

// A call that was refused leaves nothing behind for the next one.
func TestClientAfterARefusedCall(t *testing.T) {
	var recorder coreRecorder
	client := coreServe(t, recorder.ServeHTTP)
	bad := courier.Profile{Custom: courier.Set(map[string]any{"a": []any{map[string]any{"b": "left behind\xff"}}})}
	for range 3 {
		_, err := client.Profiles.Merge(t.Context(), "user-1", bad)
		wantValidation(t, err, "")
		_, err = client.Profiles.Merge(t.Context(), "user-1", twoFields(), courier.WithIdempotencyKey("left-behind"), courier.WithHeader("Host", "x"))
		wantValidation(t, err, "WithHeader")
	}
	if _, err := client.Profiles.Merge(t.Context(), "user-1", twoFields()); err != nil {
		t.Fatal(err)
	}
	if got := recorder.one(t); got.Body != seedBody || got.Header["Idempotency-Key"] != nil {
		t.Errorf("sent %s with %v", got.Body, got.Header)
	}
}

func TestClientConcurrency(t *testing.T) {
	client := coreServe(t, func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		id := strings.TrimPrefix(req.RequestURI, "/base/v1/profiles/")
		if want := `{"profile":{"email":"` + id + `@example.com"}}`; string(body) != want || req.Header.Get("X-Own") != id || req.Header.Get("X-Shared") != "1" {
			http.Error(w, "mixed up", http.StatusBadRequest)
			return
		}
		fmt.Fprintf(w, `{"status":%q}`, id)
	})
	// With room behind it, for an append that would write there.
	shared := make([]courier.RequestOption, 1, 4)
	shared[0] = courier.WithHeader("X-Shared", "1")
	var wg sync.WaitGroup
	for worker := range 16 {
		wg.Go(func() {
			for n := range 20 {
				id := fmt.Sprintf("user-%d-%d", worker, n)
				opts := append(slices.Clip(shared), courier.WithHeader("X-Own", id))
				result, err := client.Profiles.Merge(t.Context(), id, courier.Profile{Email: courier.Set(id + "@example.com")}, opts...)
				if err != nil || result.Status != id {
					t.Errorf("%s: %v, %v", id, result, err)
				}
			}
		})
	}
	for range 4 {
		wg.Go(func() {
			if _, err := client.Profiles.Merge(t.Context(), "user-0-0", courier.Profile{}, shared...); err == nil {
				t.Error("the server took a call without its own header")
			}
			client.CloseIdleConnections()
		})
	}
	wg.Wait()
	for i, opt := range shared[:cap(shared)][1:] {
		if opt != nil {
			t.Errorf("the caller's slice has something new behind its end, at %d", i+1)
		}
	}
}

// Many clients from one slice of options and one http.Client.
func TestClientLeavesTheCallersThingsAlone(t *testing.T) {
	setCourierEnv(t, coreKey, "", "https://env.test/v1")
	transport := coreTransport(func(req *http.Request) (*http.Response, error) { return coreAnswer(200, success), nil })
	mine := &http.Client{Transport: transport, Timeout: time.Minute}
	opts := make([]courier.Option, 0, 8)
	opts = append(opts, courier.WithHTTPClient(mine), courier.WithTimeout(time.Second), courier.WithUserAgent("a/1"))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for _, makeClient := range []func() (*courier.Client, error){
				func() (*courier.Client, error) { return courier.NewClient(coreKey, opts...) },
				func() (*courier.Client, error) { return courier.NewClientFromEnv(opts...) },
			} {
				client, err := makeClient()
				if err != nil {
					t.Error(err)
					continue
				}
				if _, err := client.Profiles.Merge(t.Context(), "user-1", twoFields()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if mine.Transport == nil || mine.Timeout != time.Minute || mine.Jar != nil || mine.CheckRedirect != nil {
		t.Errorf("the caller's http.Client is now %+v", *mine)
	}
	for _, opt := range opts[:cap(opts)][3:] {
		if opt != nil {
			t.Error("the caller's slice has something new behind its end")
		}
	}

	// What the caller changes afterwards changes no client.
	client, err := courier.NewClient(coreKey, opts...)
	if err != nil {
		t.Fatal(err)
	}
	mine.Transport = coreTransport(func(*http.Request) (*http.Response, error) { return nil, errors.New("changed") })
	opts[0] = nil
	if _, err := client.Profiles.Merge(t.Context(), "user-1", twoFields()); err != nil {
		t.Error(err)
	}
}

// coreJar fails the test when it is used.
type coreJar struct{ t *testing.T }

func (j coreJar) SetCookies(*url.URL, []*http.Cookie) { j.t.Error("the jar was given a cookie") }
func (j coreJar) Cookies(*url.URL) []*http.Cookie     { j.t.Error("the jar was asked"); return nil }

func TestClientUsesNeitherJarNorCheckRedirect(t *testing.T) {
	var requests int
	client := coreServe(t, func(w http.ResponseWriter, req *http.Request) {
		requests++
		http.SetCookie(w, &http.Cookie{Name: "a", Value: "b"})
		http.Redirect(w, req, "/elsewhere", http.StatusTemporaryRedirect)
	}, courier.WithHTTPClient(&http.Client{
		Jar:           coreJar{t},
		CheckRedirect: func(*http.Request, []*http.Request) error { t.Error("CheckRedirect was asked"); return nil },
	}))
	for range 2 {
		_, err := client.Profiles.Merge(t.Context(), "user-1", twoFields())
		var answer *courier.APIError
		if !errors.As(err, &answer) || answer.StatusCode != http.StatusTemporaryRedirect {
			t.Errorf("error is %v, want the redirect", err)
		}
	}
	if requests != 2 {
		t.Errorf("%d requests for 2 calls", requests)
	}
}

// A request must not depend on what the transport did to the one before.
func TestClientTransportThatKeepsToItsOwnCopy(t *testing.T) {
	var requests []coreRequest
	client := coreClient(t, func(req *http.Request) (*http.Response, error) {
		req = req.Clone(req.Context())
		body, err := io.ReadAll(req.Body)
		requests = append(requests, coreRequest{Method: req.Method, RequestURI: req.URL.RequestURI(), Body: string(body), Header: req.Header.Clone()})
		req.Header.Set("Accept", "changed")
		req.Header["Authorization"][0] = "changed"
		req.URL.Path = "/changed"
		if len(requests) < 3 {
			return coreAnswer(503, ""), err
		}
		return coreAnswer(200, success), err
	})
	if _, err := client.Profiles.Merge(t.Context(), "a/b", twoFields()); err != nil {
		t.Fatal(err)
	}
	if len(requests) != 3 {
		t.Fatalf("%d requests, want 3", len(requests))
	}
	for _, request := range requests[1:] {
		if diff := cmp.Diff(requests[0], request); diff != "" {
			t.Errorf("a retry differs (-first +retry):\n%s", diff)
		}
	}
}

// coreBody counts how often it is closed, and may end in an error.
type coreBody struct {
	io.Reader
	closed int
}

func (b *coreBody) Close() error { b.closed++; return errors.New("close fails") }

func TestClientOddTransports(t *testing.T) {
	const secret = "https://secret.test/path"
	broken := func(text string) io.Reader {
		return io.MultiReader(strings.NewReader(text), coreErrorReader{io.ErrUnexpectedEOF})
	}
	tests := []struct {
		name string
		resp func() *http.Response
		err  error
		want string // what Merge returns: a type, or "" for a success
	}{
		{"neither answer nor error", func() *http.Response { return nil }, nil, "*courier.ConnectionError"},
		{"error", nil, errors.New("no way to " + secret), "*courier.ConnectionError"},
		{"url.Error", nil, &url.Error{Op: "Post", URL: secret, Err: errors.New("no way to " + secret)}, "*courier.ConnectionError"},
		{"url.Error of EOF", nil, &url.Error{Op: "Post", URL: secret, Err: io.EOF}, "*courier.ConnectionError"},
		{"answer and error", func() *http.Response { return coreAnswer(200, success) }, io.EOF, "*courier.ConnectionError"},
		{"nil body", func() *http.Response { return &http.Response{StatusCode: 200} }, nil, ""},
		{"nil body of an error", func() *http.Response { return &http.Response{StatusCode: 404} }, nil, "*courier.NotFoundError"},
		{"no status", func() *http.Response { return &http.Response{Body: http.NoBody} }, nil, "*courier.APIError"},
		{"negative status", func() *http.Response { return &http.Response{StatusCode: -1} }, nil, "*courier.APIError"},
		{"nil header", func() *http.Response {
			return &http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader(success))}
		}, nil, ""},
		{"broken success", func() *http.Response {
			return &http.Response{StatusCode: 200, Body: io.NopCloser(broken(success))}
		}, nil, "*courier.ConnectionError"},
		{"broken error", func() *http.Response {
			return &http.Response{StatusCode: 400, Body: io.NopCloser(broken("half"))}
		}, nil, "*courier.InvalidRequestError"},
		{"redirect to nowhere", func() *http.Response { return coreAnswer(302, "", "Location", "http://[::1:%zz") }, nil, "*courier.APIError"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			client := coreClient(t, func(req *http.Request) (*http.Response, error) {
				if test.resp == nil {
					return nil, test.err
				}
				return test.resp(), test.err
			}, courier.WithMaxRetries(1))
			result, err := client.Profiles.Merge(t.Context(), "user-1", twoFields())
			if test.want == "" {
				if err != nil || result == nil {
					t.Fatalf("error is %v", err)
				}
				return
			}
			if got := fmt.Sprintf("%T", err); got != test.want || result != nil {
				t.Errorf("result %v, error %s (%v), want %s", result, got, err, test.want)
			}
			if strings.Contains(err.Error(), "secret") {
				t.Errorf("error %q holds the URL", err)
			}
			if test.err != nil && !errors.Is(err, test.err) {
				t.Errorf("error %v does not wrap what the transport returned", err)
			}
			if failed, ok := err.(*courier.ConnectionError); ok && (failed.Attempts != 2 || failed.Err == nil || failed.Operation != "merge profile") {
				t.Errorf("error has %+v, attempts %d", failed, failed.Attempts)
			}
		})
	}
}

type coreErrorReader struct{ err error }

func (r coreErrorReader) Read([]byte) (int, error) { return 0, r.err }

func TestClientClosesEveryBodyOnce(t *testing.T) {
	for _, test := range []struct {
		name   string
		status int
		size   int
	}{
		{"success", 200, 10},
		{"success too long", 200, 5 << 20},
		{"error", 400, 10},
		{"error too long", 400, 5 << 20},
		{"retried", 503, 10},
	} {
		t.Run(test.name, func(t *testing.T) {
			var bodies []*coreBody
			client := coreClient(t, func(*http.Request) (*http.Response, error) {
				body := &coreBody{Reader: strings.NewReader(strings.Repeat(" ", test.size))}
				bodies = append(bodies, body)
				return &http.Response{StatusCode: test.status, Body: body}, nil
			})
			_, _ = client.Profiles.Merge(t.Context(), "user-1", twoFields())
			for i, body := range bodies {
				if body.closed != 1 {
					t.Errorf("body %d of %d was closed %d times", i+1, len(bodies), body.closed)
				}
			}
		})
	}
}

func TestClientNilTransportIsAPoolOfOurs(t *testing.T) {
	for _, given := range []*http.Client{{}, {Timeout: time.Minute}} {
		var recorder coreRecorder
		client := coreServe(t, recorder.ServeHTTP, courier.WithHTTPClient(given))
		if _, err := client.Profiles.Merge(t.Context(), "user-1", twoFields()); err != nil {
			t.Fatal(err)
		}
		if recorder.one(t); given.Transport != nil {
			t.Error("the caller's http.Client got a transport")
		}
	}
}

// A client may be printed while others use it. The race detector says whether
// fmt looks at what the calls change.
func TestClientIsPrintedWhileInUse(t *testing.T) {
	client := coreClient(t, func(*http.Request) (*http.Response, error) { return coreAnswer(503, ""), nil })
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for range 50 {
				_, _ = client.Profiles.Merge(t.Context(), "user-1", twoFields())
			}
		})
	}
	for range 50 {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%d"} {
			_ = fmt.Sprintf(verb, client) + fmt.Sprintf(verb, client.Profiles) + fmt.Sprintf(verb, struct{ C any }{client})
		}
	}
	wg.Wait()
}
