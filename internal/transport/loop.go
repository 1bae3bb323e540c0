// Package transport sends HTTP requests and retries them. go-retryablehttp runs the
// loop. This package defines what one attempt is, which outcomes are worth a retry,
// how long to wait for it, and the connection pool below.
package transport

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/hashicorp/go-retryablehttp"
)

// Config says how to send requests.
type Config struct {
	// Base returns what sends one request. It is called for each attempt. Nil, as the
	// func or as its result, means http.DefaultTransport.
	Base          func() http.RoundTripper
	Timeout       time.Duration // of one attempt, its response body included; 0 means none
	MaxRetries    int           // after the first attempt
	MinWait       time.Duration // before a retry; see Jitter
	MaxWait       time.Duration
	MaxRetryAfter time.Duration // a response that asks for a longer wait is not retried
}

// Transport sends requests. It is safe for concurrent use.
type Transport struct {
	Config
	budget  *Budget
	retrier *retryablehttp.Client
}

// New returns a transport with a full retry budget.
func New(config Config) *Transport {
	t := &Transport{Config: config, budget: new(Budget)}
	t.retrier = &retryablehttp.Client{
		HTTPClient:   &http.Client{Transport: attempts{t}},
		RetryMax:     config.MaxRetries,
		CheckRetry:   t.checkRetry,
		Backoff:      t.backoff,
		ErrorHandler: retryablehttp.PassthroughErrorHandler,
	}
	return t
}

// CloseIdleConnections closes the connections that no request uses.
func (t *Transport) CloseIdleConnections() {
	(&http.Client{Transport: t.roundTripper()}).CloseIdleConnections()
}

// Request is what to send, and how to retry it.
type Request struct {
	Method string
	URL    *url.URL
	Header http.Header
	Body   []byte // nil means none
	Policy Policy

	// Before, if set, is called before each attempt. It may wait. The attempt is not
	// made if it returns an error.
	Before func(context.Context) error
	// After, if set, is called after each attempt.
	After func(*Exchange)
}

// Exchange is one attempt: what came back, and what follows from it. It has either a
// Status or an Err, or neither if nothing was sent.
type Exchange struct {
	Status     int // 0 if there was no complete response
	Header     http.Header
	Body       []byte        // at most MaxSuccess or MaxError bytes
	TooLong    bool          // the body was longer than that
	RetryAfter time.Duration // the wait that a 429 or 503 asked for; 0 for none
	Err        error         // why there was no complete response

	Number       int // 1 for the first attempt of the call, 0 if nothing was sent
	Started      time.Time
	Duration     time.Duration // until the last byte of the response
	Reused       bool          // whether an open connection was used
	NoConnection bool          // no connection was obtained, so nothing was sent

	Retryable bool          // the policy would retry it, limits and budget aside
	Retry     bool          // a next attempt was granted
	Wait      time.Duration // before the next attempt; 0 if there is none
	Ended     error         // what prevented the next attempt: the context, or Before
}

// Do sends the request, and retries it until the outcome is final. It returns the last
// attempt; if nothing was sent, its Number is 0, and Ended says why.
func (t *Transport) Do(ctx context.Context, r *Request) Exchange {
	s := &state{request: r}
	defer func() {
		if s.last.Retry { // granted, but not made
			t.budget.Deposit()
		}
	}()
	// For go-retryablehttp and http.Client alone: each attempt makes its own.
	req := &http.Request{Method: r.Method, URL: r.URL, Header: http.Header{}}
	req = req.WithContext(context.WithValue(ctx, stateKey{}, s))
	_, err := t.retrier.Do(&retryablehttp.Request{Request: req})
	if err != nil && s.last.Ended == nil {
		s.last.Ended = ctx.Err() // in a wait
	}
	return s.last
}

// state is what a call has come to. It travels in the context of the request that
// go-retryablehttp sees.
type state struct {
	request  *Request
	last     Exchange
	response http.Response // of the last attempt, as go-retryablehttp sees it
}

type stateKey struct{}

func stateOf(ctx context.Context) *state { return ctx.Value(stateKey{}).(*state) }

// attempts is what go-retryablehttp sends through. It has no CloseIdleConnections,
// because go-retryablehttp would empty the pool after each failed call.
type attempts struct{ transport *Transport }

// RoundTrip makes one attempt. What came back stays in the state, so that http.Client
// follows no redirect and has nothing to close. An error means that nothing was sent.
func (a attempts) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx := req.Context()
	s := stateOf(ctx)
	if err := ready(ctx, s.request); err != nil {
		s.last.Ended = err
		return nil, err
	}
	number := s.last.Number + 1
	s.last.Retry = false // made, even if it panics
	s.last = a.transport.attempt(ctx, s.request)
	s.last.Number = number
	s.response = http.Response{StatusCode: http.StatusOK, Body: http.NoBody, Request: req}
	return &s.response, nil
}

// ready waits until the next attempt may be made, or returns why there is none.
func ready(ctx context.Context, r *Request) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if r.Before == nil {
		return nil
	}
	err := r.Before(ctx)
	if ctxErr := ctx.Err(); ctxErr != nil {
		return ctxErr
	}
	return err
}

// checkRetry decides whether there is another attempt, and after which wait: backoff is
// not told all that this depends on.
func (t *Transport) checkRetry(ctx context.Context, _ *http.Response, notSent error) (bool, error) {
	if notSent != nil {
		return false, nil
	}
	s := stateOf(ctx)
	t.decide(ctx, s.request.Policy, &s.last)
	if s.request.After != nil {
		s.request.After(&s.last)
	}
	return s.last.Retry, nil
}

func (t *Transport) backoff(_, _ time.Duration, _ int, resp *http.Response) time.Duration {
	return stateOf(resp.Request.Context()).last.Wait
}

// decide sets Retryable, and Retry and Wait or Ended.
func (t *Transport) decide(ctx context.Context, policy Policy, x *Exchange) {
	x.Retryable = policy.allows(x)
	// A failure that is final only under this policy does not show that the server
	// is healthy.
	if x.Err == nil && !Idempotent.allowsStatus(x.Status) {
		t.budget.Deposit()
		return
	}
	if !x.Retryable || x.Number > t.MaxRetries {
		return
	}
	x.Ended = ctx.Err()
	if x.Ended != nil || x.RetryAfter > t.MaxRetryAfter {
		return
	}
	wait := t.wait(x)
	deadline, limited := ctx.Deadline()
	if limited && time.Until(deadline) <= wait {
		return
	}
	if t.budget.Withdraw() {
		x.Retry, x.Wait = true, wait
	}
}
