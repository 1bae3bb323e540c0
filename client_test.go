package courier_test

import (
	"bufio"
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
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	courier "github.com/courier-profiles/courier-go"
	"github.com/google/go-cmp/cmp"
	"github.com/jarcoal/httpmock"
)

// TestOperations shows all that each operation sends to a server.
func TestOperations(t *testing.T) {
	t.Parallel()
	var got request
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		got = request{r.Method, r.RequestURI, string(body), r.Header}
		io.WriteString(w, `{"status":"SUCCESS","profile":{},"results":[]}`)
	}))
	t.Cleanup(server.Close)
	client := newClient(t, nil,
		courier.WithHTTPClient(&http.Client{Transport: courier.NewTransport()}),
		courier.WithBaseURL(server.URL+"/base/"))
	t.Cleanup(client.CloseIdleConnections)

	for _, op := range operations {
		t.Run(op.name, func(t *testing.T) {
			resp, err := op.call(t.Context(), client, "user-1")
			if err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode != 200 || resp.Attempts != 1 {
				t.Errorf("got status %d after %d attempts, want 200 after 1",
					resp.StatusCode, resp.Attempts)
			}
			want := request{
				Method: op.method,
				URL:    "/base/profiles/user-1" + op.suffix,
				Body:   op.body,
				Header: http.Header{
					"Accept":          {"application/json"},
					"Accept-Encoding": {"gzip"},
					"Authorization":   {"Bearer " + apiKey},
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
	{"//", "%2F%2F"},
	{"../lists/x", "..%2Flists%2Fx"},
	{"x/..", "x%2F.."},
	{"...", "..."},
	{". ", ".%20"},
	{"..;", "..%3B"},
	{`\..\`, "%5C..%5C"},
	{"a?b", "a%3Fb"},
	{"a#b", "a%23b"},
	{"100%", "100%25"},
	{"%2F", "%252F"},
	{"%2e%2e", "%252e%252e"},
	{"%zz", "%25zz"},
	{"a b", "a%20b"},
	{"+15555550100", "%2B15555550100"},
	{"user+tag@example.com", "user%2Btag%40example.com"},
	{"https://example.com/", "https%3A%2F%2Fexample.com%2F"},
	{"ü/✓", "%C3%BC%2F%E2%9C%93"},
	{"\xff\xfe", "%FF%FE"},
	{"a\r\nX-Evil: 1", "a%0D%0AX-Evil%3A%201"},
	{"\x00\x7f", "%00%7F"},
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

// TestUserIDIsOneSegment: no user ID reaches another resource, below any base URL.
func TestUserIDIsOneSegment(t *testing.T) {
	t.Parallel()
	for _, base := range basePaths {
		var target, path string
		client := newClient(t, func(req *http.Request) (_ *http.Response, err error) {
			target, err = wireTarget(req)
			path = req.URL.Path
			return httpmock.NewStringResponse(204, ""), err
		}, courier.WithBaseURL("https://courier.test"+base.path))
		for _, user := range userIDs {
			for _, op := range []operation{deleteProfile, unsubscribeAll} {
				if _, err := op.call(t.Context(), client, user.id); err != nil {
					t.Errorf("%s of %.40q: %v", op.name, user.id, err)
					continue
				}
				want := base.sent + "/profiles/" + user.segment + op.suffix
				if target != want {
					t.Errorf("%s of %.40q below %q: sent to %.80q, want %.80q",
						op.name, user.id, base.path, target, want)
				}
				// What a RoundTripper that reads the decoded path sees.
				if want := "/profiles/" + user.id + op.suffix; !strings.HasSuffix(path, want) {
					t.Errorf("%s of %.40q: the path is %.80q, want it to end in %.80q",
						op.name, user.id, path, want)
				}
			}
		}
	}
}

// wireTarget writes a request as net/http does, and returns its target as a server reads it.
func wireTarget(req *http.Request) (string, error) {
	var wire bytes.Buffer
	if err := req.Write(&wire); err != nil {
		return "", err
	}
	got, err := http.ReadRequest(bufio.NewReader(&wire))
	if err != nil {
		return "", err
	}
	return got.RequestURI, nil
}

// FuzzUserID: any user ID and cursor arrive as they are, and reach no other resource.
func FuzzUserID(f *testing.F) {
	for _, user := range userIDs {
		f.Add(user.id, "c==")
		f.Add("user-1", user.id)
	}
	for _, id := range []string{"", ".", ".."} {
		f.Add(id, id)
	}
	var target string
	client := newClient(f, func(req *http.Request) (_ *http.Response, err error) {
		target, err = wireTarget(req)
		return httpmock.NewStringResponse(200, `{"results":[]}`), err
	})
	f.Fuzz(func(t *testing.T, id, cursor string) {
		target = ""
		_, err := client.Profiles.Lists.Page(t.Context(), id, cursor)
		if id == "" || id == "." || id == ".." {
			wantInvalid(t, err, "userID")
			if target != "" {
				t.Errorf("%q was refused, and sent to %q", id, target)
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		path, query, _ := strings.Cut(target, "?")
		segments := strings.Split(path, "/")
		if len(segments) != 5 {
			t.Fatalf("%q is sent to %q, which has another number of segments", id, target)
		}
		segment := segments[3]
		want := []string{"", "base", "profiles", segment, "lists"}
		if !slices.Equal(segments, want) {
			t.Errorf("%q is sent to %q, want %q", id, segments, want)
		}
		if got, err := url.PathUnescape(segment); err != nil || got != id {
			t.Errorf("%q is sent as %q, which is %q (%v)", id, segment, got, err)
		}
		if strings.ContainsAny(segment, `\;#`) || segment == "." || segment == ".." {
			t.Errorf("%q is sent as %q, which a server may read as another path", id, segment)
		}
		if strings.Contains(query, "#") {
			t.Errorf("the cursor %q is sent with a fragment: %q", cursor, query)
		}
		values, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		wantValues := url.Values{}
		if cursor != "" {
			wantValues.Set("cursor", cursor)
		}
		if diff := cmp.Diff(wantValues, values); diff != "" {
			t.Errorf("the query for the cursor %q (-want +got):\n%s", cursor, diff)
		}
	})
}

// TestCallRefused: an error in the arguments of a call is found before anything is sent.
func TestCallRefused(t *testing.T) {
	t.Parallel()
	sent := record(respond(200, success))
	client := newClient(t, sent.respond)
	var noContext context.Context
	option := courier.WithHeader("X-A", "1")
	for _, op := range operations {
		for _, id := range []string{"", ".", ".."} {
			resp, err := op.call(t.Context(), client, id)
			wantInvalid(t, err, "userID")
			if resp != nil {
				t.Errorf("%s of %q: got %+v along with an error", op.name, id, resp)
			}
		}
		_, err := op.call(noContext, client, "user-1")
		wantInvalid(t, err, "ctx")
		_, err = op.call(t.Context(), client, "user-1", option, nil)
		wantInvalid(t, err, "opts")
	}
	if n := len(sent.requests()); n != 0 {
		t.Errorf("sent %d requests, want none", n)
	}
}

func TestAPIKeyRefused(t *testing.T) {
	t.Parallel()
	for _, key := range []string{
		"", " ", " SECRET", "SECRET ", "SEC SECRET", "Bearer SECRET", "SECRET\n", "\tSECRET",
		"SECRET\r\nX-Evil: 1", "SECRET\x00", "SECRET\x7f", "SECRETü", "SECRET\u00a0",
		"\ufeffSECRET", "SECRET\xff",
	} {
		client, err := courier.NewClient(key)
		wantInvalid(t, err, "apiKey")
		if client != nil {
			t.Errorf("NewClient(%q): got a client along with the error", key)
		}
		if err != nil && strings.Contains(err.Error(), "SECRET") {
			t.Errorf("NewClient(%q): the error repeats the key: %v", key, err)
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
	base := courier.WithBaseURL
	for _, test := range []struct {
		name                       string
		apiKey, authToken, baseURL string
		option                     courier.Option
		wantKey, wantURL           string
	}{
		{"API key", "k1", "", "", nil, "k1", courier.DefaultBaseURL},
		{"auth token", "", "t1", "", nil, "t1", courier.DefaultBaseURL},
		{"API key before token", "k1", "t1", "", nil, "k1", courier.DefaultBaseURL},
		{"base URL", "k1", "", "https://env.test/v1/", nil, "k1", "https://env.test/v1"},
		{"option before variable", "k1", "", "https://env.test",
			base("https://option.test"), "k1", "https://option.test"},
		{"option before an invalid variable", "k1", "", "nonsense",
			base(courier.EUBaseURL), "k1", courier.EUBaseURL},
		{"http allowed by an option", "k1", "", "http://env.test",
			courier.WithInsecureHTTP(), "k1", "http://env.test"},
		{"loopback", "k1", "", "http://127.0.0.1:1", nil, "k1", "http://127.0.0.1:1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			setEnv(t, test.apiKey, test.authToken, test.baseURL)
			sent := record(respond(200, success))
			opts := []courier.Option{
				courier.WithHTTPClient(&http.Client{Transport: roundTripper(sent.respond)}),
			}
			if test.option != nil {
				opts = append(opts, test.option)
			}
			client, err := courier.NewClientFromEnv(opts...)
			if err != nil {
				t.Fatal(err)
			}
			setEnv(t, "later", "later", "https://later.test") // read by the constructor only
			if _, err := merge(t.Context(), client); err != nil {
				t.Fatal(err)
			}
			got := sent.last(t)
			if want := test.wantURL + "/profiles/user-1"; got.URL != want {
				t.Errorf("sent to %s, want %s", got.URL, want)
			}
			authorization := got.Header.Get("Authorization")
			if want := "Bearer " + test.wantKey; authorization != want {
				t.Errorf("sent with %q, want %q", authorization, want)
			}
		})
	}
}

// TestNewClientFromEnvRefuses: the error names the variable to fix, and not its value.
func TestNewClientFromEnvRefuses(t *testing.T) {
	for _, test := range []struct {
		name                       string
		apiKey, authToken, baseURL string
		variable                   string
	}{
		{"nothing is set", "", "", "https://env.test", "COURIER_API_KEY"},
		{"line break in the key", "SECRET\n", "", "", "COURIER_API_KEY"},
		{"blank key, valid token", "  ", "good", "", "COURIER_API_KEY"},
		{"invalid token", "", "SECRET ü", "", "COURIER_AUTH_TOKEN"},
		{"invalid URL", "k1", "", "SECRET", "COURIER_BASE_URL"},
		{"credentials in the URL", "k1", "", "https://u:SECRET@env.test", "COURIER_BASE_URL"},
		{"http", "k1", "", "http://SECRET.test", "COURIER_BASE_URL"},
	} {
		t.Run(test.name, func(t *testing.T) {
			setEnv(t, test.apiKey, test.authToken, test.baseURL)
			client, err := courier.NewClientFromEnv()
			wantInvalid(t, err, test.variable)
			if client != nil {
				t.Errorf("got a client along with the error %v", err)
			}
			if err != nil && strings.Contains(err.Error(), "SECRET") {
				t.Errorf("the error repeats the value: %v", err)
			}
		})
	}
}

// TestNewClientFromEnvReadsNoHeaders, as Courier's own SDK does.
func TestNewClientFromEnvReadsNoHeaders(t *testing.T) {
	setEnv(t, "k1", "", "")
	t.Setenv("COURIER_CUSTOM_HEADERS", "X-Evil: 1")
	sent := record(respond(200, success))
	client, err := courier.NewClientFromEnv(
		courier.WithHTTPClient(&http.Client{Transport: roundTripper(sent.respond)}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := merge(t.Context(), client); err != nil {
		t.Fatal(err)
	}
	if got := sent.last(t).Header.Get("X-Evil"); got != "" {
		t.Errorf("sent the header %q of the environment, want none", got)
	}
}

func TestNewClientIgnoresTheEnvironment(t *testing.T) {
	setEnv(t, "env", "env", "https://env.test")
	sent := record(respond(200, success))
	if _, err := merge(t.Context(), newClient(t, sent.respond)); err != nil {
		t.Fatal(err)
	}
	got := sent.last(t)
	if want := baseURL + "/profiles/user-1"; got.URL != want {
		t.Errorf("sent to %s, want %s", got.URL, want)
	}
	if got, want := got.Header.Get("Authorization"), "Bearer "+apiKey; got != want {
		t.Errorf("sent with %q, want %q", got, want)
	}
}

// TestNewClientSendsNothing: it does not check the key with Courier, for instance.
func TestNewClientSendsNothing(t *testing.T) {
	t.Parallel()
	sent := record(respond(200, success))
	newClient(t, sent.respond)
	if n := len(sent.requests()); n != 0 {
		t.Errorf("NewClient sent %d requests, want none", n)
	}
}

// TestConcurrentUse shares a client and a slice of options, for the race detector. A print of
// the client reads all its fields.
func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	client := newClient(t, func(req *http.Request) (*http.Response, error) {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return nil, err
		}
		id := strings.TrimPrefix(req.URL.Path, "/base/profiles/")
		own := req.Header.Get("X-Own")
		want := fmt.Sprintf(`{"profile":{"email":"%s@example.com"}}`, id)
		if string(body) != want || own != id || req.Header.Get("X-Shared") != "1" {
			return nil, fmt.Errorf("mixed up: %s, %s, %v", id, body, req.Header)
		}
		return respond(200, success)(req)
	})
	shared := append(make([]courier.RequestOption, 0, 4), courier.WithHeader("X-Shared", "1"))
	var wg sync.WaitGroup
	for worker := range 16 {
		wg.Go(func() {
			for n := range 10 {
				id := fmt.Sprintf("user-%d-%d", worker, n)
				opts := append(slices.Clip(shared), courier.WithHeader("X-Own", id))
				profile := courier.Profile{Email: courier.Set(id + "@example.com")}
				if _, err := client.Profiles.Merge(t.Context(), id, profile, opts...); err != nil {
					t.Error(err)
				}
			}
			client.CloseIdleConnections()
			_ = fmt.Sprintf("%+v %#v", *client, client.Profiles)
		})
	}
	wg.Wait()
}

// TestNoGoroutineIsLeft: a bubble fails if a goroutine of it is left.
func TestNoGoroutineIsLeft(t *testing.T) {
	t.Parallel()
	for name, respond := range map[string]httpmock.Responder{
		"success":                respond(200, success),
		"retries":                respond(503, ""),
		"timeout":                hang,
		"timeout in a body":      hangInBody(200),
		"wait cut by a deadline": respond(503, "").HeaderSet(http.Header{"Retry-After": {"50"}}),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				client := newClient(t, respond, courier.WithTimeout(time.Minute))
				for _, op := range operations {
					ctx, cancel := context.WithCancel(t.Context())
					time.AfterFunc(70*time.Second, cancel)
					_, _ = op.call(ctx, client, "user-1")
					cancel()
				}
			})
		})
	}
}

// TestHTTPClientIsNotChanged: the options and the http.Client stay the caller's.
func TestHTTPClientIsNotChanged(t *testing.T) {
	t.Parallel()
	mine := &http.Client{Transport: roundTripper(respond(200, success)), Timeout: time.Minute}
	before := *mine
	opts := append(make([]courier.Option, 0, 4), courier.WithHTTPClient(mine))
	client, err := courier.NewClient(apiKey, opts...)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := merge(t.Context(), client); err != nil {
		t.Fatal(err)
	}
	if fmt.Sprintf("%+v", *mine) != fmt.Sprintf("%+v", before) {
		t.Errorf("the http.Client was %+v and is %+v", before, *mine)
	}
	if opts[:2][1] != nil {
		t.Error("NewClient wrote to the caller's slice of options")
	}
}

// TestRoundTripperEditsInPlace: what a RoundTripper does to a request stays in that request,
// in retries and in later calls.
func TestRoundTripperEditsInPlace(t *testing.T) {
	t.Parallel()
	sent := record(respond(503, "").Then(respond(200, success)))
	client := newClient(t, func(req *http.Request) (*http.Response, error) {
		defer func() {
			req.URL.Path = "/elsewhere"
			for _, values := range req.Header {
				values[0] = "edited"
			}
		}()
		return sent.respond(req)
	})
	option := courier.WithHeader("X-Mine", "1")
	for range 2 {
		if _, err := merge(t.Context(), client, option); err != nil {
			t.Fatal(err)
		}
	}
	requests := sent.requests()
	if len(requests) != 3 {
		t.Fatalf("sent %d requests, want 3", len(requests))
	}
	for _, later := range requests[1:] {
		if diff := cmp.Diff(requests[0], later); diff != "" {
			t.Errorf("a later request differs (-first +later):\n%s", diff)
		}
	}
}

// refusingJar fails the test when it is used.
type refusingJar struct{ t *testing.T }

func (j refusingJar) SetCookies(*url.URL, []*http.Cookie) { j.t.Error("the Jar was set") }

func (j refusingJar) Cookies(*url.URL) []*http.Cookie {
	j.t.Error("the Jar was read")
	return nil
}

func TestJarAndCheckRedirectAreNotUsed(t *testing.T) {
	t.Parallel()
	sent := record(respond(307, "").HeaderSet(http.Header{
		"Location": {"/elsewhere"}, "Set-Cookie": {"a=b"},
	}))
	client := newClient(t, nil, courier.WithHTTPClient(&http.Client{
		Transport: roundTripper(sent.respond),
		Jar:       refusingJar{t},
		CheckRedirect: func(*http.Request, []*http.Request) error {
			t.Error("CheckRedirect was called")
			return nil
		},
	}))
	for range 2 {
		err := wantError[*courier.APIError](t, mergeError(t, client))
		if err.StatusCode != 307 {
			t.Errorf("got the status %d, want 307", err.StatusCode)
		}
	}
	if n := len(sent.requests()); n != 2 {
		t.Errorf("sent %d requests in 2 calls, want 2", n)
	}
}

// closer is a RoundTripper that counts calls of CloseIdleConnections.
type closer struct {
	http.RoundTripper
	closed int
}

func (c *closer) CloseIdleConnections() { c.closed++ }

// TestCloseIdleConnections: idle connections are closed when the caller asks, and never by a
// call, whatever comes back.
func TestCloseIdleConnections(t *testing.T) {
	t.Parallel()
	responses := respond(503, "").Then(respond(302, "")).Then(fail(io.EOF))
	transport := &closer{RoundTripper: roundTripper(responses)}
	client := newClient(t, nil, courier.WithMaxRetries(0),
		courier.WithHTTPClient(&http.Client{Transport: transport}))
	for range 3 {
		_ = mergeError(t, client)
	}
	if transport.closed != 0 {
		t.Errorf("calls closed idle connections %d times, want never", transport.closed)
	}
	client.CloseIdleConnections()
	if transport.closed != 1 {
		t.Errorf("CloseIdleConnections was passed on %d times, want once", transport.closed)
	}
	newClient(t, respond(200, success)).CloseIdleConnections() // has no such method
}

// mockAnswers fails unless a client without retries gets its responses from httpmock, also the
// error for what it was not told of.
func mockAnswers(t *testing.T, client *courier.Client) {
	t.Helper()
	httpmock.RegisterResponder("POST", baseURL+"/profiles/user-1", respond(201, success))
	resp, err := merge(t.Context(), client)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != 201 {
		t.Errorf("got the status %d, want the mock's 201", resp.StatusCode)
	}
	_, err = client.Profiles.Delete(t.Context(), "user-2")
	failed := wantError[*courier.ConnectionError](t, err)
	if !errors.Is(failed, httpmock.NoResponderFound) {
		t.Errorf("got %v, want an error that matches httpmock.NoResponderFound", failed)
	}
	if !strings.Contains(failed.Error(), "no responder found") {
		t.Errorf("got %v, want httpmock's text in it", failed)
	}
}

// TestHTTPMockActivate replaces http.DefaultTransport, so it does not run in parallel.
func TestHTTPMockActivate(t *testing.T) {
	client := newClient(t, nil, courier.WithMaxRetries(0), courier.WithHTTPClient(&http.Client{}))
	httpmock.Activate(t)
	t.Cleanup(httpmock.Reset)
	mockAnswers(t, client)
}

func TestHTTPMockActivateNonDefault(t *testing.T) {
	for name, transport := range map[string]http.RoundTripper{
		"no Transport":   nil,
		"with Transport": courier.NewTransport(),
	} {
		t.Run(name, func(t *testing.T) {
			mine := &http.Client{Transport: transport}
			client := newClient(t, nil, courier.WithMaxRetries(0), courier.WithHTTPClient(mine))
			httpmock.ActivateNonDefault(mine) // after NewClient
			t.Cleanup(func() {
				httpmock.DeactivateNonDefault(mine)
				httpmock.Reset()
			})
			mockAnswers(t, client)
		})
	}
}

const proxyTest = "COURIER_TEST_PROXY"

// TestProxyOfEnvironment calls TestThroughProxy in a process of its own, because net/http reads
// the environment once.
func TestProxyOfEnvironment(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var targets []string
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		targets = append(targets, r.RequestURI)
		io.WriteString(w, success)
	}))
	t.Cleanup(proxy.Close)
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestThroughProxy$")
	cmd.Env = append(os.Environ(),
		proxyTest+"=1", "HTTP_PROXY="+proxy.URL, "NO_PROXY=", "no_proxy=")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	want := []string{
		"http://courier.test/default/profiles/user-1",
		"http://courier.test/nil-transport/profiles/user-1",
		"http://courier.test/own-pool/profiles/user-1",
	}
	if diff := cmp.Diff(want, targets); diff != "" {
		t.Errorf("the requests to the proxy (-want +got):\n%s", diff)
	}
}

// TestThroughProxy is the process that TestProxyOfEnvironment starts. By itself it has nothing
// to do.
func TestThroughProxy(t *testing.T) {
	if os.Getenv(proxyTest) == "" {
		return
	}
	for _, test := range []struct {
		path string
		opts []courier.Option
	}{
		{"/default", nil},
		{"/nil-transport", []courier.Option{courier.WithHTTPClient(&http.Client{})}},
		{"/own-pool", []courier.Option{
			courier.WithHTTPClient(&http.Client{Transport: courier.NewTransport()}),
		}},
	} {
		client, err := courier.NewClient(apiKey, append(test.opts,
			courier.WithInsecureHTTP(), courier.WithBaseURL("http://courier.test"+test.path))...)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := merge(t.Context(), client); err != nil {
			t.Error(err)
		}
	}
}

// TestConnectionsAreReused: by the default pool, and by one of NewTransport that is wrapped.
func TestConnectionsAreReused(t *testing.T) {
	t.Parallel()
	pool := courier.NewTransport()
	t.Cleanup(pool.CloseIdleConnections)
	for name, opts := range map[string][]courier.Option{
		"default": nil,
		"wrapped": {courier.WithHTTPClient(&http.Client{Transport: roundTripper(pool.RoundTrip)})},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(http.HandlerFunc(
				func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, success) }))
			t.Cleanup(server.Close)
			seen := new(observer)
			opts := append(opts, courier.WithBaseURL(server.URL), seen.option())
			client, err := courier.NewClient(apiKey, opts...)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(client.CloseIdleConnections)
			for range 3 {
				if _, err := merge(t.Context(), client); err != nil {
					t.Fatal(err)
				}
			}
			var got []bool
			for _, attempt := range seen.attempts {
				got = append(got, attempt.Reused)
			}
			if want := []bool{false, true, true}; !slices.Equal(got, want) {
				t.Errorf("Reused is %v, want %v", got, want)
			}
		})
	}
}

// TestEachClientHasItsOwnPool: another client does not find the connection that one left idle.
func TestEachClientHasItsOwnPool(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(
		func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, success) }))
	t.Cleanup(server.Close)
	for range 2 {
		seen := new(observer)
		client, err := courier.NewClient(apiKey, courier.WithBaseURL(server.URL), seen.option())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(client.CloseIdleConnections)
		if _, err := merge(t.Context(), client); err != nil {
			t.Fatal(err)
		}
		if seen.attempts[0].Reused {
			t.Error("the first call of a client reused a connection, want one of its own")
		}
	}
}
