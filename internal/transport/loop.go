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

// Transport sends requests. It is safe for concurrent use and, apart from Budget,
// immutable.
type Transport struct {
	Base          http.RoundTripper // nil means http.DefaultTransport
	Timeout       time.Duration     // of one attempt, its response body included; 0 means none
	MaxRetries    int
	MinWait       time.Duration
	MaxWait       time.Duration
	MaxRetryAfter time.Duration // a response that asks for a longer wait is not retried
	Budget        *Budget       // a pointer, so that printing a Transport does not read it
}

// Request is what to send, and how to retry it.
type Request struct {
	Method string
	URL    *url.URL
	Header http.Header
	Body   []byte // nil means none
	Policy Policy

	// AttemptContext is the context of the attempts. Nil means the context of the
	// call. If set, it must be a parent of that context. A call whose own context
	// ends first finishes its attempt and then returns the cause.
	AttemptContext context.Context
	// Before, if set, is called before each attempt. It may wait. The attempt is not
	// made if it returns an error.
	Before func(context.Context) error
	// After, if set, is called after each attempt.
	After func(Attempt)
	// Reused asks for Attempt.Reused.
	Reused bool
}

// Response is the outcome of an attempt and, for the last one, of the call. It has
// either a Status or an Err, or neither if nothing was sent.
type Response struct {
	Status     int // 0 if there was no complete response
	Header     http.Header
	Body       []byte        // at most MaxSuccess or MaxError bytes
	TooLong    bool          // the body was longer than that
	RetryAfter time.Duration // the wait that a 429 or 503 asked for; 0 for none
	Err        error         // why there was no complete response
	Ended      error         // what prevented another attempt: the end of the context, or Before
	Attempts   int           // how many requests were sent
}

// Attempt is the outcome of one attempt, and what follows it.
type Attempt struct {
	Response
	Started time.Time
	Wait    time.Duration // before the next attempt; 0 if there is none
	Retry   bool          // whether there is a next attempt
	Reused  bool          // whether an open connection was reused
}

// Do sends the request, and retries it until the outcome is final. It returns the
// outcome of the last attempt.
func (t *Transport) Do(ctx context.Context, r *Request) Response {
	// One variable, so that it takes one heap allocation.
	var loop struct {
		retryablehttp.Client
		http http.Client
		made http.Response // of an attempt, as go-retryablehttp sees it
		last Attempt
	}
	last := &loop.last
	defer func() {
		if last.Retry { // granted, but not made
			t.Budget.Give()
		}
	}()
	loop.made = http.Response{StatusCode: http.StatusOK, Body: http.NoBody}
	loop.http.Transport = roundTripper(func() (*http.Response, error) {
		if err := r.ready(ctx); err != nil {
			last.Ended = err
			return nil, err
		}
		number := last.Attempts + 1
		last.Retry = false
		*last = t.attempt(r.attemptContext(ctx), r)
		last.Attempts = number
		return &loop.made, nil
	})
	loop.HTTPClient = &loop.http
	loop.RetryMax = t.MaxRetries
	loop.CheckRetry = func(_ context.Context, _ *http.Response, notSent error) (bool, error) {
		if notSent != nil {
			return false, nil
		}
		last.Wait, last.Retry = t.next(ctx, r, &last.Response)
		loop.RetryWaitMin = last.Wait
		if r.After != nil {
			r.After(*last)
		}
		return last.Retry, nil
	}
	loop.Backoff = func(wait, _ time.Duration, _ int, _ *http.Response) time.Duration { return wait }
	loop.ErrorHandler = retryablehttp.PassthroughErrorHandler

	// For go-retryablehttp and http.Client alone: each attempt makes its own.
	request := (&http.Request{Method: r.Method, URL: r.URL, Header: http.Header{}}).WithContext(ctx)
	if _, err := loop.Do(&retryablehttp.Request{Request: request}); err != nil && last.Ended == nil {
		last.Ended = r.ended(ctx) // in a wait
	}
	return last.Response
}

// roundTripper makes an attempt each time go-retryablehttp asks for one. The outcome
// stays outside, so that http.Client follows no redirect and has nothing to drain; an
// error means that nothing was sent. It has no CloseIdleConnections, because
// go-retryablehttp would empty the pool after a failed call.
type roundTripper func() (*http.Response, error)

func (f roundTripper) RoundTrip(*http.Request) (*http.Response, error) { return f() }

// next decides whether there is another attempt, and after which wait. It runs in
// CheckRetry, because go-retryablehttp's Backoff knows neither the outcome of a failed
// attempt nor the context's deadline.
func (t *Transport) next(ctx context.Context, r *Request, last *Response) (wait time.Duration, retry bool) {
	// A failure that is final only under this policy does not show that the server
	// is healthy.
	if last.Err == nil && !Idempotent.Status(last.Status) {
		t.Budget.Give()
		return 0, false
	}
	if last.Attempts > t.MaxRetries || !r.Policy.allows(last) {
		return 0, false
	}
	if last.Ended = r.ended(ctx); last.Ended != nil || last.RetryAfter > t.MaxRetryAfter {
		return 0, false
	}
	wait = t.wait(last)
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= wait {
		return 0, false
	}
	if !t.Budget.Take() {
		return 0, false
	}
	return wait, true
}

func (r *Request) attemptContext(ctx context.Context) context.Context {
	if r.AttemptContext != nil {
		return r.AttemptContext
	}
	return ctx
}

// ready waits until the next attempt may be made, or returns why there is none.
func (r *Request) ready(ctx context.Context) error {
	if err := r.ended(ctx); err != nil || r.Before == nil {
		return err
	}
	if err := r.Before(ctx); err != nil && ctx.Err() == nil {
		return err
	}
	return r.ended(ctx)
}

// ended returns why the call is over, or nil. It never returns the cause of the
// caller's context, which may be the error of another call.
func (r *Request) ended(ctx context.Context) error {
	if r.AttemptContext == nil {
		return ctx.Err()
	}
	cause := context.Cause(ctx)
	// Checked last: once the caller's context has ended, cause may be its cause.
	if err := r.AttemptContext.Err(); err != nil {
		return err
	}
	return cause
}
