package transport_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/courier-profiles/courier-go/internal/transport"
)

// The fakes of these tests: an http.RoundTripper with a script.

const baseURL = "https://courier.test/base/v1"

var errBroken = errors.New("the connection broke")

// policies are the columns of the retry table.
var policies = []struct {
	name   string
	policy transport.Policy
}{
	{"Idempotent", transport.Idempotent},
	{"IdempotentWithKey", transport.IdempotentWithKey},
	{"NotIdempotent", transport.NotIdempotent},
}

// newTransport returns a Transport with the client's defaults.
func newTransport(base http.RoundTripper) *transport.Transport {
	return &transport.Transport{
		Base:          base,
		Timeout:       30 * time.Second,
		MaxRetries:    3,
		MinWait:       500 * time.Millisecond,
		MaxWait:       8 * time.Second,
		MaxRetryAfter: time.Minute,
		Budget:        new(transport.Budget),
	}
}

// newRequest returns a POST to base, which may be a server's URL.
func newRequest(t testing.TB, base string) *transport.Request {
	t.Helper()
	u, err := url.Parse(base + "/profiles/user-1")
	if err != nil {
		t.Fatal(err)
	}
	return &transport.Request{
		Method: http.MethodPost,
		URL:    u,
		Header: http.Header{"Content-Type": {"application/json"}},
		Body:   []byte(`{"profile":{}}`),
	}
}

// step is one exchange of a script.
type step func(*http.Request) (*http.Response, error)

func (f step) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// fake plays its steps one after the other, and the last one from then on.
type fake struct {
	steps []step

	mu     sync.Mutex
	sent   []*http.Request
	bodies []string
	at     []time.Time
	open   int // response bodies that are not closed
}

func script(steps ...step) *fake { return &fake{steps: steps} }

func (f *fake) RoundTrip(req *http.Request) (*http.Response, error) {
	var body []byte
	if req.Body != nil {
		body, _ = io.ReadAll(req.Body)
	}
	f.mu.Lock()
	f.sent = append(f.sent, req)
	f.bodies = append(f.bodies, string(body))
	f.at = append(f.at, time.Now())
	next := f.steps[min(len(f.sent), len(f.steps))-1]
	f.mu.Unlock()
	resp, err := next(req)
	if resp != nil && resp.Body != nil {
		f.count(1)
		resp.Body = &countedBody{ReadCloser: resp.Body, closed: func() { f.count(-1) }}
	}
	return resp, err
}

func (f *fake) count(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.open += n
}

func (f *fake) requests() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.sent)
}

// wantAllClosed fails unless every response body was closed.
func (f *fake) wantAllClosed(t testing.TB) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.open != 0 {
		t.Errorf("%d response bodies were left open", f.open)
	}
}

type countedBody struct {
	io.ReadCloser
	once   sync.Once
	closed func()
}

func (b *countedBody) Close() error {
	b.once.Do(b.closed)
	return b.ReadCloser.Close()
}

const bodyText = `{"status":"SUCCESS"}`

// respond responds with a status, and with headers given as name, value pairs.
func respond(status int, header ...string) step {
	return func(req *http.Request) (*http.Response, error) {
		resp := &http.Response{
			StatusCode: status,
			Header:     http.Header{"Content-Type": {"application/json"}},
			Body:       io.NopCloser(strings.NewReader(bodyText)),
			Request:    req,
		}
		for i := 0; i < len(header); i += 2 {
			resp.Header.Set(header[i], header[i+1])
		}
		return resp, nil
	}
}

// fail returns err.
func fail(err error) step {
	return func(*http.Request) (*http.Response, error) { return nil, err }
}

// hang ends with the request's context, as net/http does.
func hang(req *http.Request) (*http.Response, error) {
	<-req.Context().Done()
	return nil, context.Cause(req.Context())
}

// slow takes d before the step.
func slow(d time.Duration, s step) step {
	return func(req *http.Request) (*http.Response, error) {
		time.Sleep(d)
		return s(req)
	}
}

// respondWith responds with a status and a body.
func respondWith(status int, body func(req *http.Request) io.Reader) step {
	return func(req *http.Request) (*http.Response, error) {
		resp, _ := respond(status)(req)
		resp.Body = io.NopCloser(body(req))
		return resp, nil
	}
}

type reader func([]byte) (int, error)

func (r reader) Read(p []byte) (int, error) { return r(p) }

// cutOff is a body that ends in err.
func cutOff(err error) func(*http.Request) io.Reader {
	return func(*http.Request) io.Reader {
		return io.MultiReader(strings.NewReader(`{"status"`), reader(func([]byte) (int, error) { return 0, err }))
	}
}

// hanging is a body that ends with the request's context.
func hanging(req *http.Request) io.Reader {
	return io.MultiReader(strings.NewReader(`{"status"`), reader(func([]byte) (int, error) {
		_, err := hang(req)
		return 0, err
	}))
}

// observe returns what After is told.
func observe(r *transport.Request) *[]transport.Attempt {
	attempts := new([]transport.Attempt)
	r.After = func(a transport.Attempt) { *attempts = append(*attempts, a) }
	return attempts
}

// drain takes all that is left of a budget.
func drain(b *transport.Budget) (n int) {
	for b.Take() {
		n++
	}
	return n
}

// wantElapsed fails unless exactly d has gone by since start, in a bubble.
func wantElapsed(t testing.TB, start time.Time, d time.Duration) {
	t.Helper()
	if got := time.Since(start); got != d {
		t.Errorf("it took %v, want %v", got, d)
	}
}
