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

	"github.com/google/go-cmp/cmp"
	"github.com/jarcoal/httpmock"

	"github.com/courier-profiles/courier-go/internal/transport"
)

// baseURL has a path, so that a test sees a path that is replaced rather than extended.
const baseURL = "https://courier.test/base"

const (
	ms     = time.Millisecond
	second = time.Second
)

const success = `{"status":"SUCCESS"}`

var (
	errBroken = errors.New("the connection broke")
	errCutOff = io.ErrUnexpectedEOF
)

// policies are the columns of the retry table.
var policies = map[string]transport.Policy{
	"Idempotent":        transport.Idempotent,
	"IdempotentWithKey": transport.IdempotentWithKey,
	"NotIdempotent":     transport.NotIdempotent,
}

// newConfig returns the limits of a client's defaults, and no wait before a retry unless a
// response asks for one.
func newConfig(base http.RoundTripper) transport.Config {
	return transport.Config{
		Base:          func() http.RoundTripper { return base },
		Timeout:       30 * second,
		MaxRetries:    3,
		MaxRetryAfter: time.Minute,
	}
}

func newTransport(base http.RoundTripper) *transport.Transport {
	return transport.New(newConfig(base))
}

// newRequest returns a request to a resource below base.
func newRequest(t *testing.T, base string) *transport.Request {
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

// roundTripper is a func as an http.RoundTripper.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// fake is an http.RoundTripper that responds with each of its responders in turn, and with
// the last one from then on.
type fake struct {
	responders []httpmock.Responder

	mu       sync.Mutex
	requests []sentRequest
}

type sentRequest struct {
	*http.Request
	body string
	at   time.Time
}

func newFake(responders ...httpmock.Responder) *fake { return &fake{responders: responders} }

func (f *fake) RoundTrip(req *http.Request) (*http.Response, error) {
	sent := sentRequest{Request: req, at: time.Now()}
	if req.Body != nil {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return nil, err
		}
		sent.body = string(body)
	}
	f.mu.Lock()
	f.requests = append(f.requests, sent)
	next := f.responders[0]
	if len(f.responders) > 1 {
		f.responders = f.responders[1:]
	}
	f.mu.Unlock()
	return next(req)
}

// play replaces the responders.
func (f *fake) play(responders ...httpmock.Responder) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.responders = responders
}

// sent returns how many requests were sent.
func (f *fake) sent() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.requests)
}

// respond responds with a status and headers, given as names and values.
func respond(status int, header ...string) httpmock.Responder {
	return func(req *http.Request) (*http.Response, error) {
		resp, err := respondWith(status, strings.NewReader(success))(req)
		for i := 0; i < len(header); i += 2 {
			resp.Header.Add(header[i], header[i+1])
		}
		return resp, err
	}
}

// respondWith responds with a status and a body, once.
func respondWith(status int, body io.Reader) httpmock.Responder {
	return func(req *http.Request) (*http.Response, error) {
		return &http.Response{
			StatusCode: status,
			Header:     http.Header{"Content-Type": {"application/json"}},
			Body:       io.NopCloser(body),
			Request:    req,
		}, nil
	}
}

func fail(err error) httpmock.Responder { return httpmock.NewErrorResponder(err) }

// hang ends with the context of the request. Like net/http it then returns the cause.
func hang(req *http.Request) (*http.Response, error) {
	<-req.Context().Done()
	return nil, context.Cause(req.Context())
}

// hangInBody responds with the beginning of a body, and hangs.
func hangInBody(status int) httpmock.Responder {
	return func(req *http.Request) (*http.Response, error) {
		return respondWith(status, cutBody(func([]byte) (int, error) {
			_, err := hang(req)
			return 0, err
		}))(req)
	}
}

// cutOff responds with a body that ends in errCutOff.
func cutOff(status int) httpmock.Responder {
	return func(req *http.Request) (*http.Response, error) {
		return respondWith(status, cutBody(func([]byte) (int, error) {
			return 0, errCutOff
		}))(req)
	}
}

const bodyStart = `{"status"`

// cutBody returns the beginning of a body that continues with rest.
func cutBody(rest reader) io.Reader {
	return io.MultiReader(strings.NewReader(bodyStart), rest)
}

// reader is a func as an io.Reader.
type reader func([]byte) (int, error)

func (r reader) Read(p []byte) (int, error) { return r(p) }

// observe keeps what After is called with.
func observe(r *transport.Request) *[]transport.Exchange {
	attempts := new([]transport.Exchange)
	r.After = func(x *transport.Exchange) { *attempts = append(*attempts, *x) }
	return attempts
}

// wantAttempts fails unless the call had that many attempts.
func wantAttempts(t *testing.T, last transport.Exchange, want int) {
	t.Helper()
	if last.Number != want {
		t.Errorf("got %d attempts, want %d", last.Number, want)
	}
}

// wantSuccess fails unless the call got a 200.
func wantSuccess(t *testing.T, last transport.Exchange) {
	t.Helper()
	if last.Status != http.StatusOK {
		t.Errorf("got status %d, error %v, want a 200", last.Status, last.Err)
	}
}

// wantExchange compares number, status, body, and errors of a call's last attempt.
func wantExchange(t *testing.T, got, want transport.Exchange) {
	t.Helper()
	got = transport.Exchange{
		Status: got.Status, Body: got.Body, Err: got.Err, Number: got.Number, Ended: got.Ended,
	}
	sameError := cmp.Comparer(func(a, b error) bool { return a == b })
	if diff := cmp.Diff(want, got, sameError); diff != "" {
		t.Errorf("the last attempt (-want +got):\n%s", diff)
	}
}

// wantElapsed fails unless exactly that time has passed, in a bubble.
func wantElapsed(t *testing.T, start time.Time, want time.Duration) {
	t.Helper()
	if got := time.Since(start); got != want {
		t.Errorf("it took %v, want %v", got, want)
	}
}
