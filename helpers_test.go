package courier_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/jarcoal/httpmock"

	courier "github.com/courier-profiles/courier-go"
)

// What the tests of calls share: a client without a network, a scripted transport, and
// the table of all operations.

const (
	testBaseURL = "https://courier.test/base/v1"
	testAPIKey  = "pk_test_0123456789"
	// successBody is a success of every operation.
	successBody = `{"status":"SUCCESS","profile":{},"results":[]}`
)

// newTestClient returns a client that sends its requests through transport.
func newTestClient(t testing.TB, transport http.RoundTripper, opts ...courier.Option) *courier.Client {
	t.Helper()
	client, err := courier.NewClient(testAPIKey, append([]courier.Option{
		courier.WithBaseURL(testBaseURL),
		courier.WithHTTPClient(&http.Client{Transport: transport}),
	}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.CloseIdleConnections)
	return client
}

// exampleProfile is the profile of the example in Courier's API reference.
func exampleProfile() courier.Profile {
	return courier.Profile{Email: courier.Set("user@example.com"), PhoneNumber: courier.Set("555-555-5555")}
}

const exampleBody = `{"profile":{"email":"user@example.com","phone_number":"555-555-5555"}}`

// operation is one method of the client.
type operation struct {
	name   string
	method string
	suffix string // of the request's path and query, after the user ID
	body   string
	keyed  bool // accepts an idempotency key
	call   func(context.Context, *courier.Client, string, ...courier.RequestOption) (*courier.Response, error)
}

// apiOperations are all methods of the client that send a request.
var apiOperations = []operation{
	{"merge profile", "POST", "", exampleBody, true, func(ctx context.Context, c *courier.Client, id string, opts ...courier.RequestOption) (*courier.Response, error) {
		return responseOf(c.Profiles.Merge(ctx, id, exampleProfile(), opts...))
	}},
	{"get profile", "GET", "", "", false, get},
	{"replace profile", "PUT", "", exampleBody, false, func(ctx context.Context, c *courier.Client, id string, opts ...courier.RequestOption) (*courier.Response, error) {
		return responseOf(c.Profiles.Replace(ctx, id, exampleProfile(), opts...))
	}},
	{"patch profile", "PATCH", "", `{"patch":[{"op":"remove","path":"/email"}]}`, false, func(ctx context.Context, c *courier.Client, id string, opts ...courier.RequestOption) (*courier.Response, error) {
		return responseOf(c.Profiles.Patch(ctx, id, []courier.PatchOp{courier.PatchRemove("/email")}, opts...))
	}},
	{"delete profile", "DELETE", "", "", false, func(ctx context.Context, c *courier.Client, id string, opts ...courier.RequestOption) (*courier.Response, error) {
		return responseOf(c.Profiles.Delete(ctx, id, opts...))
	}},
	{"list subscriptions", "GET", "/lists?cursor=a%2F%26b%3D%3D", "", false, page},
	{"subscribe", "POST", "/lists", `{"lists":[{"listId":"news"}]}`, true, func(ctx context.Context, c *courier.Client, id string, opts ...courier.RequestOption) (*courier.Response, error) {
		return responseOf(c.Profiles.Lists.Subscribe(ctx, id, []courier.ListSubscription{{ListID: "news"}}, opts...))
	}},
	{"unsubscribe all", "DELETE", "/lists", "", false, func(ctx context.Context, c *courier.Client, id string, opts ...courier.RequestOption) (*courier.Response, error) {
		return responseOf(c.Profiles.Lists.UnsubscribeAll(ctx, id, opts...))
	}},
}

// merge merges the example profile.
func merge(ctx context.Context, c *courier.Client, opts ...courier.RequestOption) (*courier.Response, error) {
	return responseOf(c.Profiles.Merge(ctx, "user-1", exampleProfile(), opts...))
}

func get(ctx context.Context, c *courier.Client, id string, opts ...courier.RequestOption) (*courier.Response, error) {
	result, err := c.Profiles.Get(ctx, id, opts...)
	if result == nil {
		return nil, err
	}
	return &result.Response, err
}

func page(ctx context.Context, c *courier.Client, id string, opts ...courier.RequestOption) (*courier.Response, error) {
	result, err := c.Profiles.Lists.Page(ctx, id, "a/&b==", opts...)
	if result == nil {
		return nil, err
	}
	return &result.Response, err
}

func responseOf(result *courier.Result, err error) (*courier.Response, error) {
	if result == nil {
		return nil, err
	}
	return &result.Response, err
}

// sentRequest is what a scripted transport received.
type sentRequest struct {
	Method, URL, Body string
	Header            http.Header
}

// scripted is a transport that plays its steps one after the other, and the last one
// from then on.
type scripted struct {
	steps []httpmock.Responder

	mu   sync.Mutex
	sent []sentRequest
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

// observer keeps the attempts that it is told of.
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
	var target T
	return errors.As(err, &target)
}

// wantElapsed fails unless exactly d has gone by since start, in a bubble.
func wantElapsed(t testing.TB, start time.Time, d time.Duration) {
	t.Helper()
	if got := time.Since(start); got != d {
		t.Errorf("it took %v, want %v", got, d)
	}
}

// wantInvalid fails unless err is a ValidationError of field that does not repeat what
// the tables mark as SECRET.
func wantInvalid(t testing.TB, err error, field string) {
	t.Helper()
	var invalid *courier.ValidationError
	if !errors.As(err, &invalid) {
		t.Errorf("error is %T (%v), want a *ValidationError", err, err)
		return
	}
	if invalid.Field != field {
		t.Errorf("error is for %q, want %q: %v", invalid.Field, field, err)
	}
	if !errors.Is(err, courier.ErrNotSent) {
		t.Errorf("error %v does not match ErrNotSent", err)
	}
	if text := err.Error(); strings.Contains(text, "SECRET") || strings.ContainsAny(text, "\r\n\x00") {
		t.Errorf("error repeats the value: %q", text)
	}
}

var advice = regexp.MustCompile(`\b(must|use|set|remove|leave|swap|check|copy|add)\b`)

// wantAdvice is wantInvalid for an error that has to say what to do.
func wantAdvice(t testing.TB, err error, field string) {
	t.Helper()
	if wantInvalid(t, err, field); err != nil && !advice.MatchString(err.Error()) {
		t.Errorf("error %q does not say what to do", err)
	}
}
