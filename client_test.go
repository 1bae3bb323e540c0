package courier_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jarcoal/httpmock"

	courier "github.com/courier-profiles/courier-go"
)

// TestOperationsOnTheWire shows all that arrives at a server.
func TestOperationsOnTheWire(t *testing.T) {
	t.Parallel()
	if !regexp.MustCompile(`^\d+\.\d+\.\d+$`).MatchString(courier.Version) {
		t.Errorf("Version is %q", courier.Version)
	}
	type received struct {
		Method, RequestURI, Host, Body string
		Header                         http.Header
	}
	var got received
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = received{r.Method, r.RequestURI, r.Host, string(body), r.Header}
		w.Header().Set("X-Request-Id", "req-1")
		w.Header().Set("X-Amzn-Requestid", "of the gateway")
		_, _ = io.WriteString(w, successBody)
	}))
	t.Cleanup(server.Close)
	client, err := courier.NewClient(testAPIKey, courier.WithBaseURL(server.URL+"/base/v1/"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.CloseIdleConnections)
	for _, op := range apiOperations {
		t.Run(op.name, func(t *testing.T) {
			resp, err := op.call(t.Context(), client, "0460766e-8463-4905-ae98-b72c7aef41d6")
			if err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode != http.StatusOK || resp.RequestID != "req-1" || resp.Attempts != 1 || resp.Header.Get("X-Request-Id") != "req-1" {
				t.Errorf("the response is %+v", resp)
			}
			want := received{
				Method:     op.method,
				RequestURI: "/base/v1/profiles/0460766e-8463-4905-ae98-b72c7aef41d6" + op.suffix,
				Host:       server.Listener.Addr().String(),
				Body:       op.body,
				Header: http.Header{
					"Accept":          {"application/json"},
					"Accept-Encoding": {"gzip"},
					"Authorization":   {"Bearer " + testAPIKey},
					"User-Agent":      {"courier-profiles-go/" + courier.Version},
				},
			}
			if op.body != "" {
				want.Header["Content-Type"] = []string{"application/json"}
				want.Header["Content-Length"] = []string{fmt.Sprint(len(op.body))}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("the request (-want +got):\n%s", diff)
			}
		})
	}
}

// userIDs are IDs and the path segment that each is on the wire.
var userIDs = []struct{ id, segment string }{
	{"0460766e-8463-4905-ae98-b72c7aef41d6", "0460766e-8463-4905-ae98-b72c7aef41d6"},
	{"-._~", "-._~"},
	{"a/b", "a%2Fb"},
	{"../lists/x", "..%2Flists%2Fx"},
	{"x/..", "x%2F.."},
	{"//", "%2F%2F"},
	{"https://example.com/", "https%3A%2F%2Fexample.com%2F"},
	{"a?b", "a%3Fb"},
	{"a#b", "a%23b"},
	{"100%", "100%25"},
	{"%2F", "%252F"},
	{"%2e%2e", "%252e%252e"},
	{"%zz", "%25zz"},
	{"ü/✓", "%C3%BC%2F%E2%9C%93"},
	{"a\r\nX-Evil: 1", "a%0D%0AX-Evil%3A%201"},
	{"\x00", "%00"},
	{"\x7f", "%7F"},
	{"a b", "a%20b"},
	{" ", "%20"},
	{"+15555550100", "%2B15555550100"},
	{"user+tag@example.com", "user%2Btag%40example.com"},
	{"\xff\xfe", "%FF%FE"},
	{"...", "..."},
	{". ", ".%20"},
	{"..;", "..%3B"},
	{`\..\`, "%5C..%5C"},
	{";&=:,$!*'()[]", "%3B%26%3D%3A%2C%24%21%2A%27%28%29%5B%5D"},
	{`"<>^{|}` + "`", "%22%3C%3E%5E%7B%7C%7D%60"},
	{strings.Repeat("ü", 5000), strings.Repeat("%C3%BC", 5000)},
}

// basePaths are paths of a base URL, and what is sent of them.
var basePaths = []struct{ path, sent string }{
	{"", ""},
	{"/", ""},
	{"/base/v1", "/base/v1"},
	{"/base/v1//", "/base/v1"},
	{"/a%2Fb", "/a%2Fb"},
	{"/a%2fb/", "/a%2fb"},
	{"/a%2F", "/a%2F"},
	{"/a b/ü/", "/a%20b/%C3%BC"},
	{"/100%25", "/100%25"},
	{"/a;b=c,d/(e)!*'@:$&+", "/a;b=c,d/(e)!*'@:$&+"},
}

// TestUserIDIsOneSegment: no ID reaches another resource, on the wire and in the URL that
// a RoundTripper sees, below any base URL.
func TestUserIDIsOneSegment(t *testing.T) {
	t.Parallel()
	var received string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		received = r.RequestURI
		_, _ = io.WriteString(w, successBody)
	}))
	t.Cleanup(server.Close)
	var seen url.URL
	transport := courier.NewTransport(nil)
	spy := httpmock.Responder(func(req *http.Request) (*http.Response, error) {
		seen = *req.URL
		return transport.RoundTrip(req)
	})
	for _, base := range basePaths {
		client := newTestClient(t, script(spy), courier.WithBaseURL(server.URL+base.path))
		for _, user := range userIDs {
			for suffix, call := range map[string]func(context.Context, string, ...courier.RequestOption) (*courier.Result, error){
				"": client.Profiles.Delete, "/lists": client.Profiles.Lists.UnsubscribeAll,
			} {
				if _, err := call(t.Context(), user.id); err != nil {
					t.Errorf("base path %q, user ID %.40q: %v", base.path, user.id, err)
					continue
				}
				want := base.sent + "/profiles/" + user.segment + suffix
				if received != want || seen.String() != server.URL+want {
					t.Errorf("base path %q, user ID %.40q: sent to %.80q, want %.80q (URL %.80q)", base.path, user.id, received, want, seen.String())
				}
				if !strings.HasSuffix(seen.Path, "/profiles/"+user.id+suffix) {
					t.Errorf("base path %q, user ID %.40q: the path is %.80q", base.path, user.id, seen.Path)
				}
			}
		}
	}
}

// TestCallRefused: what is wrong with a call is an error before anything is sent. A path
// segment of dots would mean another resource, however it is escaped.
func TestCallRefused(t *testing.T) {
	t.Parallel()
	sent := script(respond(200))
	client := newTestClient(t, sent)
	var none context.Context
	for _, op := range apiOperations {
		for _, id := range []string{"", ".", ".."} {
			resp, err := op.call(t.Context(), client, id)
			if wantInvalid(t, err, "userID"); resp != nil {
				t.Errorf("%s of %q: a response beside error %v", op.name, id, err)
			}
		}
		_, err := op.call(none, client, "user-1")
		wantAdvice(t, err, "ctx")
		_, err = op.call(t.Context(), client, "user-1", courier.WithHeader("X-A", "1"), nil)
		wantAdvice(t, err, "opts")
	}
	for _, err := range client.Profiles.Lists.All(t.Context(), "..") {
		wantInvalid(t, err, "userID")
	}
	if n := sent.requests(); n != 0 {
		t.Errorf("%d requests were sent", n)
	}
}

func TestAPIKeyRefused(t *testing.T) {
	t.Parallel()
	for _, key := range []string{
		"", " ", " SECRET", "SECRET ", "SEC SECRET", "Bearer SECRET", "SECRET\n", "\tSECRET", "SECRET\r\nX-Evil: 1",
		"SECRET\x00", "SECRET\x7f", "SECRETü", "SECRET\u00a0", "\ufeffSECRET", "SECRET\xff",
	} {
		client, err := courier.NewClient(key)
		if wantAdvice(t, err, "apiKey"); client != nil {
			t.Errorf("%q: a client beside error %v", key, err)
		}
	}
}

// setEnv sets the variables of NewClientFromEnv.
func setEnv(t *testing.T, apiKey, authToken, baseURL string) {
	t.Setenv("COURIER_API_KEY", apiKey)
	t.Setenv("COURIER_AUTH_TOKEN", authToken)
	t.Setenv("COURIER_BASE_URL", baseURL)
}

func TestNewClientFromEnv(t *testing.T) {
	baseURL := courier.WithBaseURL
	for _, tt := range []struct {
		name                       string
		apiKey, authToken, baseURL string
		opts                       []courier.Option
		wantKey, wantURL           string
	}{
		{"API key", "k1", "", "", nil, "k1", courier.DefaultBaseURL},
		{"auth token", "", "t1", "", nil, "t1", courier.DefaultBaseURL},
		{"API key before token", "k1", "t1", "", nil, "k1", courier.DefaultBaseURL},
		{"base URL", "k1", "", "https://env.test/v1/", nil, "k1", "https://env.test/v1"},
		{"option before variable", "k1", "", "https://env.test", []courier.Option{baseURL("https://option.test/v2")}, "k1", "https://option.test/v2"},
		{"option before an invalid variable", "k1", "", "nonsense", []courier.Option{baseURL(courier.EUBaseURL)}, "k1", courier.EUBaseURL},
		{"http allowed by an option", "k1", "", "http://env.test", []courier.Option{courier.WithInsecureHTTP()}, "k1", "http://env.test"},
		{"loopback", "k1", "", "http://127.0.0.1:1", nil, "k1", "http://127.0.0.1:1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			setEnv(t, tt.apiKey, tt.authToken, tt.baseURL)
			sent := script(respond(200))
			opts := append(make([]courier.Option, 0, 8), tt.opts...)
			client, err := courier.NewClientFromEnv(append(opts, courier.WithHTTPClient(&http.Client{Transport: sent}))...)
			if err != nil {
				t.Fatal(err)
			}
			setEnv(t, "later", "later", "https://later.test") // read by the constructor only
			if _, err := merge(t.Context(), client); err != nil {
				t.Fatal(err)
			}
			if got := sent.last(t); got.URL != tt.wantURL+"/profiles/user-1" || got.Header.Get("Authorization") != "Bearer "+tt.wantKey {
				t.Errorf("sent to %s with %q", got.URL, got.Header.Get("Authorization"))
			}
			for i, opt := range opts[:cap(opts)][len(tt.opts)+1:] {
				if opt != nil {
					t.Errorf("the caller's slice has something new after its end, at %d", i)
				}
			}
		})
	}
}

// TestNewClientFromEnvRefuses: the error names the variable to fix.
func TestNewClientFromEnvRefuses(t *testing.T) {
	for _, tt := range []struct {
		name                       string
		apiKey, authToken, baseURL string
		field                      string
	}{
		{"nothing", "", "", "https://env.test", "COURIER_API_KEY"},
		{"line break in the key", "SECRET\n", "", "", "COURIER_API_KEY"},
		{"blank key, valid token", "  ", "good", "", "COURIER_API_KEY"},
		{"invalid token", "", "SECRET ü", "", "COURIER_AUTH_TOKEN"},
		{"invalid URL", "k1", "", "SECRET", "COURIER_BASE_URL"},
		{"credentials", "k1", "", "https://u:SECRET@env.test", "COURIER_BASE_URL"},
		{"http", "k1", "", "http://SECRET.test", "COURIER_BASE_URL"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			setEnv(t, tt.apiKey, tt.authToken, tt.baseURL)
			client, err := courier.NewClientFromEnv()
			if wantAdvice(t, err, tt.field); client != nil {
				t.Errorf("a client beside error %v", err)
			}
			if tt.name == "nothing" && !strings.Contains(err.Error(), "COURIER_AUTH_TOKEN") {
				t.Errorf("the error %q does not name the other variable", err)
			}
		})
	}
}

func TestNewClientIgnoresTheEnvironment(t *testing.T) {
	setEnv(t, "env", "env", "https://env.test")
	sent := script(respond(200))
	_, err := merge(t.Context(), newTestClient(t, sent))
	if got := sent.last(t); err != nil || got.URL != testBaseURL+"/profiles/user-1" || got.Header.Get("Authorization") != "Bearer "+testAPIKey {
		t.Errorf("sent to %s with %q, error %v", got.URL, got.Header.Get("Authorization"), err)
	}
	_, err = courier.NewClient("")
	wantInvalid(t, err, "apiKey")
}

// TestConcurrentUse has many goroutines share a client and a slice of options.
func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		id := strings.TrimPrefix(r.RequestURI, "/base/v1/profiles/")
		if want := `{"profile":{"email":"` + id + `@example.com"}}`; string(body) != want || r.Header.Get("X-Own") != id || r.Header.Get("X-Shared") != "1" {
			http.Error(w, "mixed up", http.StatusBadRequest)
			return
		}
		_, _ = fmt.Fprintf(w, `{"status":%q}`, id)
	}))
	t.Cleanup(server.Close)
	client, err := courier.NewClient(testAPIKey, courier.WithBaseURL(server.URL+"/base/v1"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.CloseIdleConnections)
	shared := append(make([]courier.RequestOption, 0, 4), courier.WithHeader("X-Shared", "1"))
	var wg sync.WaitGroup
	for worker := range 16 {
		wg.Go(func() {
			for n := range 10 {
				id := fmt.Sprintf("user-%d-%d", worker, n)
				opts := append(slices.Clip(shared), courier.WithHeader("X-Own", id))
				result, err := client.Profiles.Merge(t.Context(), id, courier.Profile{Email: courier.Set(id + "@example.com")}, opts...)
				if err != nil || result.Status != id {
					t.Errorf("%s: %v, error %v", id, result, err)
				}
				if n == 5 {
					client.CloseIdleConnections()
				}
			}
		})
	}
	wg.Wait()
}

// TestCallersValuesStay: neither side sees what the other changes later.
func TestCallersValuesStay(t *testing.T) {
	t.Parallel()
	sent := script(respond(200))
	mine := &http.Client{Transport: sent}
	opts := append(make([]courier.Option, 0, 4), courier.WithHTTPClient(mine), courier.WithUserAgent("a/1"))
	client, err := courier.NewClient(testAPIKey, opts...)
	if err != nil {
		t.Fatal(err)
	}
	if opts[:3][2] != nil || mine.Transport != sent || mine.Timeout != 0 || mine.Jar != nil || mine.CheckRedirect != nil {
		t.Errorf("the caller's http.Client is now %+v, and the options are %v", *mine, opts[:4])
	}
	mine.Transport, opts[0] = script(respond(500)), nil
	if _, err := merge(t.Context(), client); err != nil {
		t.Error(err)
	}
}

// TestTransportEditsInPlace: what a RoundTripper does to a request stays in that request,
// in retries and in later calls.
func TestTransportEditsInPlace(t *testing.T) {
	t.Parallel()
	edit := func(then httpmock.Responder) httpmock.Responder {
		return func(req *http.Request) (*http.Response, error) {
			req.URL.Path = "/gateway" + req.URL.Path
			for _, values := range req.Header {
				values[0] = "edited"
			}
			req.Header.Add("X-Added", "1")
			return then(req)
		}
	}
	sent := script(edit(respond(503)), edit(respond(200)), edit(respond(503)), edit(respond(200)))
	client := newTestClient(t, sent, courier.WithRetryWait(0, 0))
	option := courier.WithHeader("X-Mine", "1")
	for range 2 {
		if _, err := merge(t.Context(), client, option); err != nil {
			t.Fatal(err)
		}
	}
	if len(sent.sent) != 4 || sent.sent[0].Header.Get("X-Mine") != "1" {
		t.Fatalf("sent %+v", sent.sent)
	}
	for _, request := range sent.sent[1:] {
		if diff := cmp.Diff(sent.sent[0], request); diff != "" {
			t.Errorf("a later request differs (-first +later):\n%s", diff)
		}
	}
}

// failingJar fails the test when it is used.
type failingJar struct{ t *testing.T }

func (j failingJar) SetCookies(*url.URL, []*http.Cookie) { j.t.Error("the jar was given a cookie") }
func (j failingJar) Cookies(*url.URL) []*http.Cookie     { j.t.Error("the jar was asked"); return nil }

func TestJarAndCheckRedirectAreNotUsed(t *testing.T) {
	t.Parallel()
	sent := script(respond(307, "Location", "/elsewhere", "Set-Cookie", "a=b"))
	client := newTestClient(t, sent, courier.WithHTTPClient(&http.Client{
		Transport:     sent,
		Jar:           failingJar{t},
		CheckRedirect: func(*http.Request, []*http.Request) error { t.Error("CheckRedirect was asked"); return nil },
	}))
	for range 2 {
		_, err := merge(t.Context(), client)
		var api *courier.APIError
		if !errors.As(err, &api) || api.StatusCode != 307 {
			t.Errorf("error is %v, want the redirect", err)
		}
	}
	if n := sent.requests(); n != 2 {
		t.Errorf("%d requests for 2 calls", n)
	}
}

// closing is a transport that counts calls of CloseIdleConnections.
type closing struct {
	*scripted
	closed int
}

func (c *closing) CloseIdleConnections() { c.closed++ }

// TestCloseIdleConnections: the transport is told when the caller asks, and never by a
// call.
func TestCloseIdleConnections(t *testing.T) {
	t.Parallel()
	transport := &closing{scripted: script(respond(503), respond(302), respond(200))}
	client := newTestClient(t, transport, courier.WithMaxRetries(0))
	for range 3 {
		_, _ = merge(t.Context(), client)
	}
	if transport.closed != 0 {
		t.Errorf("calls closed the idle connections %d times", transport.closed)
	}
	client.CloseIdleConnections()
	if transport.closed != 1 {
		t.Errorf("CloseIdleConnections was passed on %d times, want 1", transport.closed)
	}
	newTestClient(t, script(respond(200))).CloseIdleConnections() // there is no such method
}

// TestPrintedClient prints a client in use, for the race detector.
func TestPrintedClient(t *testing.T) {
	t.Parallel()
	client := newTestClient(t, script(respond(503)), courier.WithRetryWait(0, 0))
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for range 50 {
				_, _ = merge(t.Context(), client)
			}
		})
	}
	var log strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
		for _, value := range []any{client, *client, client.Profiles, *client.Profiles, *client.Profiles.Lists, struct{ c any }{client}, []any{*client}} {
			_, _ = fmt.Fprintf(&log, verb+"\n", value)
		}
	}
	slog.New(slog.NewJSONHandler(&log, nil)).Info("client", "pointer", client, "value", *client)
	wg.Wait()
	for _, secret := range []string{testAPIKey, fmt.Sprintf("%x", testAPIKey), "Bearer"} {
		if strings.Contains(log.String(), secret) {
			t.Errorf("a printed client shows %q:\n%s", secret, log.String())
		}
	}
}
