package courier_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

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
	var got sentRequest
	url, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = sentRequest{r.Method, "http://" + r.Host + r.RequestURI, string(body), r.Header}
		_, _ = io.WriteString(w, successBody)
	})
	client := newTestClient(t, nil, courier.WithBaseURL(url+"/"))
	for _, op := range operations {
		t.Run(op.name, func(t *testing.T) {
			if resp, err := op.call(t.Context(), client, "0460766e-8463-4905-ae98-b72c7aef41d6"); err != nil || resp.StatusCode != 200 || resp.Attempts != 1 {
				t.Fatalf("%+v, error %v", resp.Response, err)
			}
			want := sentRequest{
				Method: op.method,
				URL:    strings.TrimSuffix(url+"/profiles/0460766e-8463-4905-ae98-b72c7aef41d6"+op.suffix+"?"+op.query, "?"),
				Body:   op.body,
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
	{"0460766e-8463-4905-ae98-b72c7aef41d6", "0460766e-8463-4905-ae98-b72c7aef41d6"}, {"-._~", "-._~"}, {"a/b", "a%2Fb"},
	{"../lists/x", "..%2Flists%2Fx"}, {"x/..", "x%2F.."},
	{"//", "%2F%2F"},
	{"https://example.com/", "https%3A%2F%2Fexample.com%2F"},
	{"a?b", "a%3Fb"}, {"a#b", "a%23b"}, {"100%", "100%25"}, {"%2F", "%252F"}, {"%2e%2e", "%252e%252e"}, {"%zz", "%25zz"}, {"ü/✓", "%C3%BC%2F%E2%9C%93"},
	{"a\r\nX-Evil: 1", "a%0D%0AX-Evil%3A%201"}, {"\x00", "%00"}, {"\x7f", "%7F"}, {"a b", "a%20b"}, {" ", "%20"}, {"+15555550100", "%2B15555550100"},
	{"user+tag@example.com", "user%2Btag%40example.com"}, {"\xff\xfe", "%FF%FE"}, {"...", "..."}, {". ", ".%20"}, {"..;", "..%3B"}, {`\..\`, "%5C..%5C"},
	{";&=:,$!*'()[]", "%3B%26%3D%3A%2C%24%21%2A%27%28%29%5B%5D"}, {`"<>^{|}` + "`", "%22%3C%3E%5E%7B%7C%7D%60"},
	{strings.Repeat("ü", 5000), strings.Repeat("%C3%BC", 5000)},
}

// basePaths are paths of a base URL, and what is sent of them.
var basePaths = []struct{ path, sent string }{
	{"", ""}, {"/", ""}, {"/base/v1", "/base/v1"},
	{"/base/v1//", "/base/v1"},
	{"/a%2Fb", "/a%2Fb"}, {"/a%2fb/", "/a%2fb"}, {"/a%2F", "/a%2F"}, {"/a b/ü/", "/a%20b/%C3%BC"}, {"/100%25", "/100%25"},
	{"/a;b=c,d/(e)!*'@:$&+", "/a;b=c,d/(e)!*'@:$&+"},
}

// TestUserIDIsOneSegment: no ID reaches another resource, on the wire and in the URL that
// a RoundTripper sees, below any base URL.
func TestUserIDIsOneSegment(t *testing.T) {
	t.Parallel()
	for _, base := range basePaths {
		var wire *sentRequest
		var seen url.URL
		client := respondingClient(t, func(req *http.Request) (resp *http.Response, err error) {
			seen = *req.URL
			wire, err = onTheWire(req)
			return httpmock.NewStringResponse(http.StatusNoContent, ""), err
		}, courier.WithBaseURL("https://courier.test"+base.path))
		for _, user := range userIDs {
			for suffix, call := range map[string]func(context.Context, string, ...courier.RequestOption) (*courier.Result, error){
				"": client.Profiles.Delete, "/lists": client.Profiles.Lists.UnsubscribeAll,
			} {
				if _, err := call(t.Context(), user.id); err != nil {
					t.Errorf("base path %q, user ID %.40q: %v", base.path, user.id, err)
					continue
				}
				want := base.sent + "/profiles/" + user.segment + suffix
				if wire.URL != want || seen.String() != "https://courier.test"+want || !strings.HasSuffix(seen.Path, "/profiles/"+user.id+suffix) {
					t.Errorf("base path %q, user ID %.40q: sent to %.80q, want %.80q (URL %.80q, path %.80q)", base.path, user.id, wire.URL, want, seen.String(), seen.Path)
				}
			}
		}
	}
}

// FuzzUserID sends each operation for any user ID and cursor.
func FuzzUserID(f *testing.F) {
	for i, user := range userIDs {
		for op := range operations {
			f.Add(uint8(op), i%2 == 0, user.id, "")
		}
		f.Add(uint8(5), i%2 == 0, "user-1", user.id)
	}
	for _, id := range []string{"", ".", ".."} {
		f.Add(uint8(len(id)), true, id, "")
	}
	var seen *sentRequest
	clients := map[string]*courier.Client{}
	for _, base := range []string{"/base/v1", "/a%2Fb"} {
		clients[base] = wireClient(f, &seen, courier.WithBaseURL("https://courier.test"+base))
	}
	f.Fuzz(func(t *testing.T, n uint8, escaped bool, id, cursor string) {
		op, base, want := operations[int(n)%len(operations)], "/base/v1", url.Values{}
		if escaped {
			base = "/a%2Fb"
		}
		seen = nil
		var err error
		if op.name == "list subscriptions" {
			if cursor != "" {
				want.Set("cursor", cursor)
			}
			_, err = clients[base].Profiles.Lists.Page(t.Context(), id, cursor)
		} else {
			_, err = op.call(t.Context(), clients[base], id)
		}
		if id == "" || id == "." || id == ".." {
			if wantInvalid(t, err, "userID", op.name); seen != nil {
				t.Errorf("%s for %q was refused, and sent", op.name, id)
			}
			return
		}
		if err != nil || seen == nil {
			t.Fatalf("%s for %q: %v", op.name, id, err)
		}
		path, query, hasQuery := strings.Cut(seen.URL, "?")
		segment, begins := strings.CutPrefix(path, base+"/profiles/")
		segment, ends := strings.CutSuffix(segment, op.suffix)
		got, err := url.PathUnescape(segment)
		if !begins || !ends || err != nil || got != id || strings.ContainsAny(segment, `/\;#`) || segment == "." || segment == ".." {
			t.Errorf("%s for %q is sent to %q, which is for %q (%v)", op.name, id, seen.URL, got, err)
		}
		if values, err := url.ParseQuery(query); err != nil || !reflect.DeepEqual(values, want) || hasQuery != (len(want) > 0) || strings.Contains(query, "#") {
			t.Errorf("%s with cursor %q has the query %q (%v)", op.name, cursor, query, err)
		}
		if seen.Method != op.method || seen.Body != op.body || seen.Header.Get("Host") != "courier.test" {
			t.Errorf("%s for %q: sent %+v", op.name, id, *seen)
		}
	})
}

// TestCallRefused: what is wrong with a call is an error before anything is sent. A path
// segment of dots would mean another resource, however it is escaped.
func TestCallRefused(t *testing.T) {
	t.Parallel()
	sent := script(respond(200))
	client := newTestClient(t, sent)
	var none context.Context
	for _, op := range operations {
		for _, id := range []string{"", ".", ".."} {
			got, err := op.call(t.Context(), client, id)
			if wantAdvice(t, err, "userID"); got.Response != nil {
				t.Errorf("%s of %q: a response along with error %v", op.name, id, err)
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
			t.Errorf("%q: a client along with error %v", key, err)
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
			client, err := courier.NewClientFromEnv(append(tt.opts, courier.WithHTTPClient(&http.Client{Transport: sent}))...)
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
				t.Errorf("a client along with error %v", err)
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
}

// TestConcurrentUse has many goroutines share a client and a slice of options, and print
// the client, which reads its fields.
func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	url, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		id := strings.TrimPrefix(r.RequestURI, "/base/v1/profiles/")
		if want := `{"profile":{"email":"` + id + `@example.com"}}`; string(body) != want || r.Header.Get("X-Own") != id || r.Header.Get("X-Shared") != "1" {
			http.Error(w, "mixed up", http.StatusBadRequest)
			return
		}
		_, _ = fmt.Fprintf(w, `{"status":%q}`, id)
	})
	client := newTestClient(t, nil, courier.WithBaseURL(url))
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
					_ = fmt.Sprintf("%+v %#v", *client, client.Profiles)
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
	status := 200
	sent := script(func(req *http.Request) (*http.Response, error) {
		req.URL.Path = "/gateway" + req.URL.Path
		for _, values := range req.Header {
			values[0] = "edited"
		}
		status = 703 - status // 503 and 200 in turn
		return respond(status)(req)
	})
	client := newTestClient(t, sent, courier.WithRetryWait(0, 0))
	option := courier.WithHeader("X-Mine", "1")
	for range 2 {
		if _, err := merge(t.Context(), client, option); err != nil {
			t.Fatal(err)
		}
	}
	for _, request := range sent.sent {
		if diff := cmp.Diff(sent.sent[0], request); diff != "" || request.Header.Get("X-Mine") != "1" || len(sent.sent) != 4 {
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
		if api, ok := errors.AsType[*courier.APIError](err); !ok || api.StatusCode != 307 {
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

// What a user of the client sees of connections. The pool by itself is a test of
// internal/transport.

// TestHTTPMock replaces http.DefaultTransport, so it does not run in parallel.
func TestHTTPMock(t *testing.T) {
	mock := func(t *testing.T, httpClient *http.Client) {
		client := newTestClient(t, nil, courier.WithHTTPClient(httpClient), courier.WithMaxRetries(0))
		httpmock.RegisterResponder("POST", testBaseURL+"/profiles/user-1", respond(201))
		t.Cleanup(httpmock.Reset)
		if resp, err := merge(t.Context(), client); err != nil || resp.StatusCode != 201 {
			t.Errorf("%+v, error %v", resp, err)
		}
		if _, err := client.Profiles.Delete(t.Context(), "user-2"); !matches[*courier.ConnectionError](err) || !strings.Contains(err.Error(), "no responder found") {
			t.Errorf("without a responder: %v", err)
		}
	}
	t.Run("Activate", func(t *testing.T) {
		httpmock.Activate(t)
		mock(t, http.DefaultClient)
		mock(t, &http.Client{Timeout: time.Minute})
	})
	t.Run("ActivateNonDefault", func(t *testing.T) {
		own := new(http.Client)
		httpmock.ActivateNonDefault(own)
		t.Cleanup(func() { httpmock.DeactivateNonDefault(own) })
		mock(t, own)
	})
}

// TestProxyOfEnvironment runs itself in a process of its own, because net/http reads the
// variables once.
func TestProxyOfEnvironment(t *testing.T) {
	const child = "COURIER_TEST_PROXY_CHILD"
	if os.Getenv(child) == "" {
		t.Parallel()
		var mu sync.Mutex
		var seen []string
		proxy, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			seen = append(seen, r.RequestURI)
			_, _ = io.WriteString(w, successBody)
		})
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestProxyOfEnvironment$", "-test.v")
		cmd.Env = append(os.Environ(), child+"=1", "HTTP_PROXY="+proxy, "NO_PROXY=", "no_proxy=")
		if out, err := cmd.CombinedOutput(); err != nil || !bytes.Contains(out, []byte("--- PASS")) {
			t.Errorf("%v\n%s", err, out)
		}
		want := []string{"http://courier.test/1/profiles/user-1", "http://courier.test/2/profiles/user-1", "http://courier.test/3/profiles/user-1"}
		if !slices.Equal(seen, want) {
			t.Errorf("the proxy received requests for %q", seen)
		}
		return
	}
	for i, opts := range [][]courier.Option{
		nil,
		{courier.WithHTTPClient(&http.Client{Timeout: time.Minute})},
		{courier.WithHTTPClient(&http.Client{Transport: courier.NewTransport(nil)})},
	} {
		client := newTestClient(t, nil, append(opts, courier.WithBaseURL(fmt.Sprint("http://courier.test/", i+1)), courier.WithInsecureHTTP())...)
		if _, err := merge(t.Context(), client); err != nil {
			t.Error(err)
		}
	}
}

// TestConnections makes 64 calls at once, by the pool that a client has by default, and
// by one that the caller wraps, such as to trace requests.
func TestConnections(t *testing.T) {
	t.Parallel()
	handle := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, successBody) })
	http2 := httptest.NewUnstartedServer(handle)
	http2.EnableHTTP2 = true
	opened2 := countConnections(t, http2)
	http2.StartTLS()
	pool := courier.NewTransport(&http.Transport{TLSClientConfig: http2.Client().Transport.(*http.Transport).TLSClientConfig})
	t.Cleanup((&http.Client{Transport: pool}).CloseIdleConnections)
	url, opened1 := serve(t, handle)
	for _, test := range []struct {
		name, url string
		transport http.RoundTripper
		opened    *atomic.Int64
		most      int64
	}{
		{"HTTP/1.1", url, nil, opened1, 80},
		{"HTTP/2", http2.URL + "/base/v1", roundTripFunc(pool.RoundTrip), opened2, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			client := newTestClient(t, test.transport, courier.WithBaseURL(test.url))
			for range 10 {
				var wg sync.WaitGroup
				for range 64 {
					wg.Go(func() {
						if _, err := merge(t.Context(), client); err != nil {
							t.Error(err)
						}
					})
				}
				wg.Wait()
			}
			if n := test.opened.Load(); n > test.most {
				t.Errorf("64 calls in flight opened %d connections, want at most %d", n, test.most)
			}
		})
	}
}

func TestReused(t *testing.T) {
	t.Parallel()
	url, _ := serve(t, func(http.ResponseWriter, *http.Request) {})
	seen := new(observer)
	client := newTestClient(t, nil, courier.WithBaseURL(url), seen.option())
	for i := range 3 {
		if i == 2 {
			client.CloseIdleConnections()
		}
		if _, err := merge(t.Context(), client); err != nil || seen.attempts[i].Reused != (i == 1) {
			t.Errorf("call %d: %+v, error %v", i, seen.attempts, err)
		}
	}
}
