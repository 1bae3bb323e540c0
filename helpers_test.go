package courier_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"
	"unicode/utf8"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/google/go-cmp/cmp"
	"github.com/jarcoal/httpmock"

	courier "github.com/courier-profiles/courier-go"
)

// What the tests share: clients with and without a network, a scripted transport, the
// table of all operations, and the comparison of JSON.

const (
	testBaseURL = "https://courier.test/base/v1"
	testAPIKey  = "pk_test_0123456789"
	success     = `{"status":"SUCCESS"}`
	// successBody is a success of every operation.
	successBody = `{"status":"SUCCESS","profile":{},"results":[]}`
)

// newTestClient returns a client that sends its requests through transport, or through
// the pool that a client has by default if transport is nil.
func newTestClient(t testing.TB, transport http.RoundTripper, opts ...courier.Option) *courier.Client {
	t.Helper()
	defaults := []courier.Option{courier.WithBaseURL(testBaseURL)}
	if transport != nil {
		defaults = append(defaults, courier.WithHTTPClient(&http.Client{Transport: transport}))
	}
	client, err := courier.NewClient(testAPIKey, append(defaults, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.CloseIdleConnections)
	return client
}

// respondingClient returns a client whose responses come from respond. It does not wait
// between retries.
func respondingClient(t testing.TB, respond httpmock.Responder, opts ...courier.Option) *courier.Client {
	t.Helper()
	return newTestClient(t, roundTripFunc(respond), append([]courier.Option{courier.WithRetryWait(0, 0)}, opts...)...)
}

type roundTripFunc httpmock.Responder

func (f roundTripFunc) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// recordingClient returns a client and what holds the body of its last request.
func recordingClient(t testing.TB) (*courier.Client, *string) {
	body := new(string)
	return respondingClient(t, func(req *http.Request) (*http.Response, error) {
		text, err := io.ReadAll(req.Body)
		*body = string(text)
		return httpmock.NewStringResponse(http.StatusNoContent, ""), err
	}), body
}

// serve starts a server, and counts the connections to it. The URL has a path.
func serve(t testing.TB, handle http.HandlerFunc) (url string, opened *atomic.Int64) {
	server := httptest.NewUnstartedServer(handle)
	opened = countConnections(t, server)
	server.Start()
	return server.URL + "/base/v1", opened
}

func countConnections(t testing.TB, server *httptest.Server) *atomic.Int64 {
	opened := new(atomic.Int64)
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			opened.Add(1)
		}
	}
	t.Cleanup(server.Close)
	return opened
}

// exampleProfile is the profile of the example in Courier's API reference.
func exampleProfile() courier.Profile {
	return courier.Profile{Email: courier.Set("user@example.com"), PhoneNumber: courier.Set("555-555-5555")}
}

const exampleBody = `{"profile":{"email":"user@example.com","phone_number":"555-555-5555"}}`

// operation is one method of the client.
type operation struct {
	name    string // in errors
	method  string
	suffix  string // of the path, after the user ID
	query   string
	body    string // of the request
	success string // a documented response
	keyed   bool   // accepts an idempotency key
	call    func(context.Context, *courier.Client, string, ...courier.RequestOption) (returned, error)
}

func (op operation) writes() bool { return op.method != http.MethodGet }

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

// operations are all methods of the client that send a request.
var operations = []operation{
	{"merge profile", "POST", "", "", exampleBody, success, true, func(ctx context.Context, c *courier.Client, id string, opts ...courier.RequestOption) (returned, error) {
		return written(c.Profiles.Merge(ctx, id, exampleProfile(), opts...))
	}},
	{"get profile", "GET", "", "", "", `{"profile":{"email":"a"},"preferences":null}`, false, func(ctx context.Context, c *courier.Client, id string, opts ...courier.RequestOption) (returned, error) {
		result, err := c.Profiles.Get(ctx, id, opts...)
		if result == nil {
			return returned{}, err
		}
		return returned{Response: &result.Response, get: result}, err
	}},
	{"replace profile", "PUT", "", "", exampleBody, success, false, func(ctx context.Context, c *courier.Client, id string, opts ...courier.RequestOption) (returned, error) {
		return written(c.Profiles.Replace(ctx, id, exampleProfile(), opts...))
	}},
	{"patch profile", "PATCH", "", "", `{"patch":[{"op":"remove","path":"/email"}]}`, success, false, func(ctx context.Context, c *courier.Client, id string, opts ...courier.RequestOption) (returned, error) {
		return written(c.Profiles.Patch(ctx, id, []courier.PatchOp{courier.PatchRemove("/email")}, opts...))
	}},
	{"delete profile", "DELETE", "", "", "", success, false, func(ctx context.Context, c *courier.Client, id string, opts ...courier.RequestOption) (returned, error) {
		return written(c.Profiles.Delete(ctx, id, opts...))
	}},
	{"list subscriptions", "GET", "/lists", "cursor=a%2F%26b%3D%3D", "", `{"paging":{"cursor":null,"more":false},"results":[{"id":"news"}]}`, false, func(ctx context.Context, c *courier.Client, id string, opts ...courier.RequestOption) (returned, error) {
		page, err := c.Profiles.Lists.Page(ctx, id, "a/&b==", opts...)
		if page == nil {
			return returned{}, err
		}
		return returned{Response: &page.Response, page: page}, err
	}},
	{"subscribe", "POST", "/lists", "", `{"lists":[{"listId":"news"}]}`, success, true, func(ctx context.Context, c *courier.Client, id string, opts ...courier.RequestOption) (returned, error) {
		return written(c.Profiles.Lists.Subscribe(ctx, id, []courier.ListSubscription{{ListID: "news"}}, opts...))
	}},
	{"unsubscribe all", "DELETE", "/lists", "", "", success, false, func(ctx context.Context, c *courier.Client, id string, opts ...courier.RequestOption) (returned, error) {
		return written(c.Profiles.Lists.UnsubscribeAll(ctx, id, opts...))
	}},
}

// merge merges the example profile.
func merge(ctx context.Context, c *courier.Client, opts ...courier.RequestOption) (*courier.Response, error) {
	got, err := written(c.Profiles.Merge(ctx, "user-1", exampleProfile(), opts...))
	return got.Response, err
}

// mergeError returns the error of a merge.
func mergeError(t testing.TB, client *courier.Client) error {
	t.Helper()
	resp, err := merge(t.Context(), client)
	if err == nil || resp != nil {
		t.Fatalf("response %v, error %v, want only an error", resp, err)
	}
	return err
}

// sentRequest is a request that was received.
type sentRequest struct {
	Method, URL, Body string
	Header            http.Header
}

// onTheWire writes a request as net/http does, and reads it as a server would.
func onTheWire(req *http.Request) (*sentRequest, error) {
	var wire bytes.Buffer
	if err := req.Write(&wire); err != nil {
		return nil, err
	}
	reader := bufio.NewReader(&wire)
	got, err := http.ReadRequest(reader)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(got.Body)
	if reader.Buffered() > 0 {
		err = errors.New("there is something behind the request")
	}
	got.Header.Set("Host", got.Host)
	return &sentRequest{got.Method, got.RequestURI, string(body), got.Header}, err
}

// wireClient returns a client that puts each of its requests into seen.
func wireClient(t testing.TB, seen **sentRequest, opts ...courier.Option) *courier.Client {
	return respondingClient(t, func(req *http.Request) (resp *http.Response, err error) {
		*seen, err = onTheWire(req)
		return httpmock.NewStringResponse(http.StatusOK, successBody), err
	}, append(opts, courier.WithMaxRetries(0))...)
}

// scripted is a transport that plays its steps one after the other, and the last one
// from then on.
type scripted struct {
	steps []httpmock.Responder
	mu    sync.Mutex
	sent  []sentRequest
}

func script(steps ...httpmock.Responder) *scripted { return &scripted{steps: steps} }

func (s *scripted) RoundTrip(req *http.Request) (*http.Response, error) {
	var body []byte
	if req.Body != nil {
		var err error
		if body, err = io.ReadAll(req.Body); err != nil {
			return nil, err
		}
	}
	s.mu.Lock()
	s.sent = append(s.sent, sentRequest{req.Method, req.URL.String(), string(body), req.Header.Clone()})
	step := s.steps[min(len(s.sent), len(s.steps))-1]
	s.mu.Unlock()
	return step(req)
}

// requests returns how many requests were sent.
func (s *scripted) requests() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.sent)
}

// last returns the last request that was sent.
func (s *scripted) last(t testing.TB) sentRequest {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.sent) == 0 {
		t.Fatal("nothing was sent")
	}
	return s.sent[len(s.sent)-1]
}

// respond responds with a status, and with headers given as name, value pairs.
func respond(status int, header ...string) httpmock.Responder {
	h := http.Header{"Content-Type": {"application/json"}}
	for i := 0; i < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	return httpmock.NewStringResponder(status, successBody).HeaderSet(h)
}

// hang ends with the context of the request, as net/http does.
func hang(req *http.Request) (*http.Response, error) {
	<-req.Context().Done()
	return nil, context.Cause(req.Context())
}

// slow takes d before the step.
func slow(d time.Duration, step httpmock.Responder) httpmock.Responder {
	return func(req *http.Request) (*http.Response, error) {
		time.Sleep(d)
		return step(req)
	}
}

// hangInBody responds with a status and half a body, which ends with the context.
func hangInBody(status int) httpmock.Responder {
	return func(req *http.Request) (*http.Response, error) {
		resp := httpmock.NewStringResponse(status, "")
		hanging, w := io.Pipe()
		context.AfterFunc(req.Context(), func() { w.CloseWithError(context.Cause(req.Context())) })
		resp.Body = io.NopCloser(io.MultiReader(strings.NewReader(`{"status"`), hanging))
		return resp, nil
	}
}

// cutOff responds with half a body.
func cutOff(*http.Request) (*http.Response, error) {
	resp := httpmock.NewStringResponse(200, "")
	resp.Body = io.NopCloser(io.MultiReader(strings.NewReader(`{"status"`), iotest.ErrReader(io.ErrUnexpectedEOF)))
	return resp, nil
}

// observer records every attempt.
type observer struct {
	mu       sync.Mutex
	attempts []courier.Attempt
}

func (o *observer) option() courier.Option {
	return courier.WithObserver(func(_ context.Context, a courier.Attempt) {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.attempts = append(o.attempts, a)
	})
}

// wantAttempts fails unless a call made n attempts, according to all who count them.
func wantAttempts(t testing.TB, n int, sent *scripted, seen *observer, resp *courier.Response, err error) {
	t.Helper()
	if got := sent.requests(); got != n {
		t.Errorf("%d requests were sent, want %d", got, n)
	}
	if got := attemptsOf(t, resp, err); got != n {
		t.Errorf("the call counts %d attempts, want %d", got, n)
	}
	if got := len(seen.attempts); got != n {
		t.Errorf("the observer was told of %d attempts, want %d", got, n)
	}
}

// attemptsOf returns the number of attempts that a response or an error has.
func attemptsOf(t testing.TB, resp *courier.Response, err error) int {
	t.Helper()
	var api *courier.APIError
	var connection *courier.ConnectionError
	switch {
	case resp != nil && err == nil:
		return resp.Attempts
	case resp == nil && errors.As(err, &api):
		return api.Attempts
	case resp == nil && errors.As(err, &connection):
		return connection.Attempts
	}
	t.Errorf("response %v, error %T (%v), want one that counts attempts", resp, err, err)
	return -1
}

// matches reports whether errors.As finds a T in err.
func matches[T error](err error) bool {
	_, ok := errors.AsType[T](err)
	return ok
}

// wantElapsed fails unless exactly d has gone by since start, in a bubble.
func wantElapsed(t testing.TB, start time.Time, d time.Duration) {
	t.Helper()
	if got := time.Since(start); got != d {
		t.Errorf("it took %v, want %v", got, d)
	}
}

// wantInvalid fails unless err is a ValidationError of field that repeats nothing of what
// the tables mark as SECRET or CANARY.
func wantInvalid(t testing.TB, err error, field string, where ...any) {
	t.Helper()
	invalid, ok := errors.AsType[*courier.ValidationError](err)
	if !ok {
		t.Errorf("%v error is %T (%v), want a *ValidationError", where, err, err)
		return
	}
	if invalid.Field != field || invalid.Reason == "" || strings.Contains(invalid.Reason, ": :") {
		t.Errorf("%v error is for %q, want %q: %v", where, invalid.Field, field, invalid)
	}
	if !errors.Is(err, courier.ErrNotSent) {
		t.Errorf("%v error %v does not match ErrNotSent", where, err)
	}
	if text := fmt.Sprintf("%v %+v", invalid, invalid); strings.Contains(text, "SECRET") || strings.Contains(text, "CANARY") || strings.ContainsAny(text, "\r\n\x00") || !utf8.ValidString(text) {
		t.Errorf("%v error repeats the value: %q", where, text)
	}
}

var advice = regexp.MustCompile(`\b(must|use|set|remove|leave|swap|check|copy|add|pass)\b`)

// wantAdvice is wantInvalid for an error that has to say what to do.
func wantAdvice(t testing.TB, err error, field string) {
	t.Helper()
	if wantInvalid(t, err, field); err != nil && !advice.MatchString(err.Error()) {
		t.Errorf("error %q does not say what to do", err)
	}
}

type limiterFunc func(context.Context) error

func (f limiterFunc) Wait(ctx context.Context) error { return f(ctx) }

// engines are the two versions of encoding/json. On Go 1.27 they are the same code with
// different options, on Go 1.26 they have nothing in common.
var engines = []struct {
	name      string
	marshal   func(v any) ([]byte, error)
	unmarshal func(text []byte, v any) error
}{
	{"encoding/json", json.Marshal, json.Unmarshal},
	{"encoding/json/v2", func(v any) ([]byte, error) { return jsonv2.Marshal(v) }, func(text []byte, v any) error { return jsonv2.Unmarshal(text, v) }},
}

// half marks half of a surrogate pair in what exactly returns. It is a noncharacter,
// which no test uses otherwise.
const half = "\U0010fffe"

var escapes = regexp.MustCompile(`\\(u[dD][89abAB]..\\u[dD][c-fC-F]..|u....|.)`)

// exactly returns what a JSON text says with nothing lost: numbers as they are written,
// half of a surrogate pair as half and its digits, and the last of duplicate names.
func exactly(t testing.TB, text string) any {
	t.Helper()
	value, ok := asJSON(text)
	if !ok {
		t.Fatalf("%.300q is not JSON in UTF-8", text)
	}
	return value
}

// asJSON is exactly for a text that may not be JSON.
func asJSON(text string) (value any, ok bool) {
	if !utf8.ValidString(text) || !json.Valid([]byte(text)) {
		return nil, false
	}
	text = escapes.ReplaceAllStringFunc(text, func(escape string) string {
		if digits := strings.ToLower(escape[min(2, len(escape)):]); len(escape) == 6 && digits >= "d800" && digits < "e000" {
			return half + digits
		}
		return escape
	})
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	return value, decoder.Decode(&value) == nil
}

func TestExactly(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]any{
		` { "a" : [ 1.0 , true,null ] , "b":{},"aA":"\ud83d\ude00é\/" } `: map[string]any{"a": []any{json.Number("1.0"), true, nil}, "b": map[string]any{}, "aA": "😀é/"},
		`{"a":{"b":1},"a":{"c":-0}}`:                                      map[string]any{"a": map[string]any{"c": json.Number("-0")}},
		`{"\uD800":"\\ud800"}`:                                            map[string]any{half + "d800": `\ud800`},
		`"\ud800\ud800\udc00\udC01"`:                                      half + "d800\U00010000" + half + "dc01",
		`"\ufffd"`:                                                        "\ufffd",
	} {
		if diff := cmp.Diff(want, exactly(t, text)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", text, diff)
		}
	}
}

// sameJSON fails unless two texts say exactly the same.
func sameJSON(t testing.TB, what, want, got string) {
	t.Helper()
	if diff := exactDiff(exactly(t, want), exactly(t, got)); diff != "" {
		t.Errorf("%.300s: got %.300s, want %.300s %s", what, got, want, diff)
	}
}

// exactDiff is cmp.Diff with its cost only where there is a difference.
func exactDiff(want, got any) string {
	if reflect.DeepEqual(want, got) {
		return ""
	}
	return "(-want +got):\n" + cmp.Diff(want, got)
}

func ptr[T any](value T) *T { return &value }
