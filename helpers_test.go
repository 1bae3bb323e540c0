package courier_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"runtime"
	"runtime/metrics"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	courier "github.com/courier-profiles/courier-go"
	"github.com/jarcoal/httpmock"
)

const (
	// baseURL has a path, so that a test sees a path that is replaced rather than extended.
	baseURL = "https://courier.test/base"
	apiKey  = "test-api-key"
	success = `{"status":"SUCCESS"}`
)

// newClient returns a client that sends its requests to respond and retries without waiting.
// Options override this.
func newClient(
	t testing.TB, respond httpmock.Responder, opts ...courier.Option,
) *courier.Client {
	t.Helper()
	client, err := courier.NewClient(apiKey, append([]courier.Option{
		courier.WithBaseURL(baseURL),
		courier.WithHTTPClient(&http.Client{Transport: roundTripper(respond)}),
		courier.WithRetryWait(0, 0),
	}, opts...)...)
	if err != nil {
		t.Fatalf("NewClient: %v", err)
	}
	return client
}

// roundTripper is a func as an http.RoundTripper.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// Responders. Those of httpmock have Then, for another response to the next request.

// respond responds with a status and a body of JSON.
func respond(status int, body string) httpmock.Responder {
	header := http.Header{"Content-Type": {"application/json"}}
	return httpmock.NewStringResponder(status, body).HeaderSet(header)
}

// fail fails without a response.
func fail(err error) httpmock.Responder { return httpmock.NewErrorResponder(err) }

// hang fails when the context of the request ends, and with its cause, as net/http does.
func hang(req *http.Request) (*http.Response, error) {
	<-req.Context().Done()
	return nil, context.Cause(req.Context())
}

// hangInBody responds with a status and the first bytes of a body, whose rest ends like hang.
func hangInBody(status int) httpmock.Responder {
	return func(req *http.Request) (*http.Response, error) {
		rest, w := io.Pipe()
		context.AfterFunc(req.Context(), func() { w.CloseWithError(context.Cause(req.Context())) })
		resp := httpmock.NewStringResponse(status, "")
		resp.Body = io.NopCloser(io.MultiReader(strings.NewReader(`{"status"`), rest))
		return resp, nil
	}
}

// cutOff responds with a status and a body that breaks off.
func cutOff(status int, body string) httpmock.Responder {
	return func(*http.Request) (*http.Response, error) {
		resp := httpmock.NewStringResponse(status, "")
		rest := iotest.ErrReader(io.ErrUnexpectedEOF)
		resp.Body = io.NopCloser(io.MultiReader(strings.NewReader(body), rest))
		return resp, nil
	}
}

// request is a request as a recorder got it.
type request struct {
	Method, URL, Body string
	Header            http.Header
}

// recorder keeps the requests that it passes to a responder.
type recorder struct {
	next httpmock.Responder
	mu   sync.Mutex
	sent []request
}

func record(next httpmock.Responder) *recorder { return &recorder{next: next} }

// respond is the recorder's httpmock.Responder.
func (r *recorder) respond(req *http.Request) (*http.Response, error) {
	var body []byte
	if req.Body != nil {
		var err error
		if body, err = io.ReadAll(req.Body); err != nil {
			return nil, err
		}
		req.Body = io.NopCloser(bytes.NewReader(body)) // for the responder
	}
	r.mu.Lock()
	r.sent = append(r.sent, request{
		Method: req.Method,
		URL:    req.URL.String(),
		Body:   string(body),
		Header: req.Header.Clone(),
	})
	r.mu.Unlock()
	return r.next(req)
}

// requests returns the requests so far.
func (r *recorder) requests() []request {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.sent
}

// last returns the last request.
func (r *recorder) last(t testing.TB) request {
	t.Helper()
	sent := r.requests()
	if len(sent) == 0 {
		t.Fatal("nothing was sent")
	}
	return sent[len(sent)-1]
}

// observer keeps the attempts that the client reports.
type observer struct {
	mu       sync.Mutex
	attempts []courier.Attempt
}

func (o *observer) option() courier.Option {
	return courier.WithObserver(func(_ context.Context, attempt courier.Attempt) {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.attempts = append(o.attempts, attempt)
	})
}

// operation is a method of the client that sends a request.
type operation struct {
	name     string // in errors and logs
	method   string
	suffix   string // of the URL, after the user ID
	body     string // of the request
	success  string // a documented response
	takesKey bool   // accepts an idempotency key
	call     func(
		context.Context, *courier.Client, string, ...courier.RequestOption,
	) (*courier.Response, error)
}

// exampleProfile is the profile of the example in Courier's API reference.
func exampleProfile() courier.Profile {
	return courier.Profile{
		Email:       courier.Set("user@example.com"),
		PhoneNumber: courier.Set("555-555-5555"),
	}
}

const exampleBody = `{"profile":{"email":"user@example.com","phone_number":"555-555-5555"}}`

var (
	mergeProfile = operation{
		name: "merge profile", method: "POST",
		body: exampleBody, success: success, takesKey: true,
		call: func(
			ctx context.Context, c *courier.Client, userID string, opts ...courier.RequestOption,
		) (*courier.Response, error) {
			return written(c.Profiles.Merge(ctx, userID, exampleProfile(), opts...))
		},
	}
	getProfile = operation{
		name: "get profile", method: "GET",
		success: `{"profile":{"email":"user@example.com"},"preferences":null}`,
		call: func(
			ctx context.Context, c *courier.Client, userID string, opts ...courier.RequestOption,
		) (*courier.Response, error) {
			result, err := c.Profiles.Get(ctx, userID, opts...)
			if result == nil {
				return nil, err
			}
			return &result.Response, err
		},
	}
	replaceProfile = operation{
		name: "replace profile", method: "PUT",
		body: exampleBody, success: success,
		call: func(
			ctx context.Context, c *courier.Client, userID string, opts ...courier.RequestOption,
		) (*courier.Response, error) {
			return written(c.Profiles.Replace(ctx, userID, exampleProfile(), opts...))
		},
	}
	patchProfile = operation{
		name: "patch profile", method: "PATCH",
		body: `{"patch":[{"op":"add","path":"/name","value":"Ada"}]}`, success: success,
		call: func(
			ctx context.Context, c *courier.Client, userID string, opts ...courier.RequestOption,
		) (*courier.Response, error) {
			ops := []courier.PatchOp{courier.PatchAdd("/name", "Ada")}
			return written(c.Profiles.Patch(ctx, userID, ops, opts...))
		},
	}
	deleteProfile = operation{
		name: "delete profile", method: "DELETE", success: success,
		call: func(
			ctx context.Context, c *courier.Client, userID string, opts ...courier.RequestOption,
		) (*courier.Response, error) {
			return written(c.Profiles.Delete(ctx, userID, opts...))
		},
	}
	listSubscriptions = operation{
		name: "list subscriptions", method: "GET", suffix: "/lists?cursor=a%2F%26b%3D%3D",
		success: `{"paging":{"cursor":null,"more":false},"results":[{"id":"news"}]}`,
		call: func(
			ctx context.Context, c *courier.Client, userID string, opts ...courier.RequestOption,
		) (*courier.Response, error) {
			page, err := c.Profiles.Lists.Page(ctx, userID, "a/&b==", opts...)
			if page == nil {
				return nil, err
			}
			return &page.Response, err
		},
	}
	subscribe = operation{
		name: "subscribe", method: "POST", suffix: "/lists",
		body: `{"lists":[{"listId":"news"}]}`, success: success, takesKey: true,
		call: func(
			ctx context.Context, c *courier.Client, userID string, opts ...courier.RequestOption,
		) (*courier.Response, error) {
			lists := []courier.ListSubscription{{ListID: "news"}}
			return written(c.Profiles.Lists.Subscribe(ctx, userID, lists, opts...))
		},
	}
	unsubscribeAll = operation{
		name: "unsubscribe all", method: "DELETE", suffix: "/lists", success: success,
		call: func(
			ctx context.Context, c *courier.Client, userID string, opts ...courier.RequestOption,
		) (*courier.Response, error) {
			return written(c.Profiles.Lists.UnsubscribeAll(ctx, userID, opts...))
		},
	}

	operations = []operation{
		mergeProfile, getProfile, replaceProfile, patchProfile, deleteProfile,
		listSubscriptions, subscribe, unsubscribeAll,
	}
)

func written(result *courier.Result, err error) (*courier.Response, error) {
	if result == nil {
		return nil, err
	}
	return &result.Response, err
}

// merge merges the example profile.
func merge(
	ctx context.Context, client *courier.Client, opts ...courier.RequestOption,
) (*courier.Response, error) {
	return mergeProfile.call(ctx, client, "user-1", opts...)
}

// mergeError returns the error of a merge.
func mergeError(t testing.TB, client *courier.Client, opts ...courier.RequestOption) error {
	t.Helper()
	resp, err := merge(t.Context(), client, opts...)
	if err == nil {
		t.Fatalf("merge: got %+v, want an error", resp)
	}
	if resp != nil {
		t.Errorf("merge: got %+v along with the error %v", resp, err)
	}
	return err
}

// wantError returns the E in err, and ends the test if there is none.
func wantError[E error](t testing.TB, err error) E {
	t.Helper()
	found, ok := errors.AsType[E](err)
	if !ok {
		t.Fatalf("got the error %T (%v), want a %T", err, err, found)
	}
	return found
}

// isA reports whether errors.AsType finds an E in err.
func isA[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

// wantInvalid fails unless err is a ValidationError of field.
func wantInvalid(t testing.TB, err error, field string) {
	t.Helper()
	invalid, ok := errors.AsType[*courier.ValidationError](err)
	if !ok {
		t.Errorf("got the error %T (%v), want a *ValidationError of %s", err, err, field)
		return
	}
	if invalid.Field != field {
		t.Errorf("got a ValidationError of %q, want of %q: %v", invalid.Field, field, err)
	}
	if !errors.Is(err, courier.ErrNotSent) {
		t.Errorf("%v does not match ErrNotSent", err)
	}
}

// liveHeap returns how many bytes were in use at a garbage collection made now. What is
// allocated since, by other goroutines, does not count.
func liveHeap() int64 {
	runtime.GC()
	runtime.GC() // empties pools
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(live)
	return int64(live[0].Value.Uint64())
}
