package transport_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jarcoal/httpmock"

	"github.com/courier-profiles/courier-go/internal/transport"
)

// A context that ends is reported by its error, and never by its cause: a call that was
// canceled because another one got a 404 must not match that.

var errCause = errors.New("another call got a 404")

// contextEnds are the ways in which a context ends after a time.
var contextEnds = map[string]struct {
	with func(ctx context.Context, after time.Duration) context.Context
	err  error
}{
	"canceled": {func(ctx context.Context, after time.Duration) context.Context {
		ctx, cancel := context.WithCancelCause(ctx)
		time.AfterFunc(after, func() { cancel(errCause) })
		return ctx
	}, context.Canceled},

	"deadline": {func(ctx context.Context, after time.Duration) context.Context {
		ctx, cancel := context.WithTimeoutCause(ctx, after, errCause)
		context.AfterFunc(ctx, cancel)
		return hiddenDeadline{ctx}
	}, context.DeadlineExceeded},
}

// hiddenDeadline is a context that does not tell its deadline, so that a wait is begun
// although it is longer.
type hiddenDeadline struct{ context.Context }

func (hiddenDeadline) Deadline() (time.Time, bool) { return time.Time{}, false }

// wantNoCause fails if the cause of the context is in an error of the attempt.
func wantNoCause(t *testing.T, last transport.Exchange) {
	t.Helper()
	err := errors.Join(last.Err, last.Ended)
	if errors.Is(err, errCause) || strings.Contains(err.Error(), errCause.Error()) {
		t.Errorf("got the cause of the context in %v", err)
	}
}

// TestContextEnds ends the context after 10 s, in each phase of a call. What came back until
// then is kept.
func TestContextEnds(t *testing.T) {
	t.Parallel()
	for endName, end := range contextEnds {
		waitForEnd := func(ctx context.Context) error {
			<-ctx.Done()
			return context.Cause(ctx)
		}
		type script = []httpmock.Responder
		start := []byte(bodyStart)
		for name, tt := range map[string]struct {
			script script
			before func(context.Context) error
			want   transport.Exchange
		}{
			"in Before": {
				script{respond(200)}, waitForEnd,
				transport.Exchange{},
			},
			"in Before, which returns nil": {
				script{respond(200)},
				func(ctx context.Context) error {
					<-ctx.Done()
					return nil
				},
				transport.Exchange{},
			},
			"waiting for the header": {
				script{hang}, nil,
				transport.Exchange{Number: 1, Err: end.err},
			},
			"in the body of a 200": {
				script{hangInBody(200)}, nil,
				transport.Exchange{Number: 1, Err: end.err},
			},
			"in the body of a 404": {
				script{hangInBody(404)}, nil,
				transport.Exchange{Number: 1, Status: 404, Body: start},
			},
			"in the body of a 503": {
				script{hangInBody(503)}, nil,
				transport.Exchange{Number: 1, Status: 503, Body: start},
			},
			"in a wait, after a response": {
				script{respond(429, "Retry-After", "50")}, nil,
				transport.Exchange{Number: 1, Status: 429, Body: []byte(success)},
			},
			"in a wait, after an error": {
				script{fail(errBroken).Delay(9 * second)}, nil,
				transport.Exchange{Number: 1, Err: errBroken},
			},
			"in the second attempt": {
				script{fail(errBroken), hang}, nil,
				transport.Exchange{Number: 2, Err: end.err},
			},
		} {
			t.Run(endName+", "+name, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					f := newFake(tt.script...)
					config := newConfig(f)
					config.MinWait, config.MaxWait = 2*second, 2*second
					r := newRequest(t, baseURL)
					r.Before = tt.before
					attempts := observe(r)
					start := time.Now()
					last := transport.New(config).Do(end.with(t.Context(), 10*second), r)
					wantElapsed(t, start, 10*second)
					tt.want.Ended = end.err
					wantExchange(t, last, tt.want)
					wantNoCause(t, last)
					if got := f.sent(); got != tt.want.Number {
						t.Errorf("sent %d requests, want %d", got, tt.want.Number)
					}
					if got := len(*attempts); got != tt.want.Number {
						t.Errorf("After was called %d times, want %d", got, tt.want.Number)
					}
				})
			})
		}
	}
}

// TestContextEndsOnNetwork: net/http returns the cause of a context, in each phase of an
// attempt.
func TestContextEndsOnNetwork(t *testing.T) {
	t.Parallel()
	for endName, end := range contextEnds {
		for _, protocol := range protocols {
			for _, phase := range []string{"dial", "TLS handshake", "header", "body"} {
				t.Run(endName+", "+protocol+", "+phase, func(t *testing.T) {
					t.Parallel()
					synctest.Test(t, func(t *testing.T) {
						n := hangingServer(t, protocol, phase)
						start := time.Now()
						ctx := end.with(t.Context(), 5*second)
						last := newTransport(n.pool).Do(ctx, newRequest(t, n.url))
						wantElapsed(t, start, 5*second)
						want := transport.Exchange{Number: 1, Err: end.err, Ended: end.err}
						wantExchange(t, last, want)
						wantNoCause(t, last)
					})
				})
			}
		}
	}
}

// TestContextHasEnded: nothing is sent, and Before is not called.
func TestContextHasEnded(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errCause)
	f := newFake(respond(200))
	r := newRequest(t, baseURL)
	r.Before = func(context.Context) error {
		t.Error("Before was called")
		return nil
	}
	attempts := observe(r)
	last := newTransport(f).Do(ctx, r)
	wantExchange(t, last, transport.Exchange{Ended: context.Canceled})
	if got := f.sent(); got != 0 {
		t.Errorf("sent %d requests", got)
	}
	if got := len(*attempts); got != 0 {
		t.Errorf("After was called %d times", got)
	}
}

// TestContextEndsWithWait: the context and the wait end at the same instant. Whichever is
// noticed first, the call ends with what came back.
func TestContextEndsWithWait(t *testing.T) {
	t.Parallel()
	for range 100 {
		synctest.Test(t, func(t *testing.T) {
			f := newFake(respond(503))
			config := newConfig(f)
			config.MinWait, config.MaxWait = second, second
			ctx := contextEnds["canceled"].with(t.Context(), second)
			last := transport.New(config).Do(ctx, newRequest(t, baseURL))
			wantNoCause(t, last)
			want := transport.Exchange{
				Number: f.sent(), Status: 503, Body: []byte(success), Ended: context.Canceled,
			}
			wantExchange(t, last, want)
		})
	}
}

// TestContextEndsWithResponse: a complete response counts if it is final, even if the
// context ends before it is returned. If it is not, the context is why there is no retry.
func TestContextEndsWithResponse(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		responder httpmock.Responder
		ended     error
	}{
		{respond(200), nil},
		{respond(404), nil},
		{respond(503), context.Canceled},
		{respond(503, "Retry-After", "3600"), context.Canceled},
	} {
		ctx, cancel := context.WithCancelCause(t.Context())
		base := roundTripper(func(req *http.Request) (*http.Response, error) {
			cancel(errCause)
			return tt.responder(req)
		})
		last := newTransport(base).Do(ctx, newRequest(t, baseURL))
		wantAttempts(t, last, 1)
		if last.Err != nil {
			t.Errorf("%d: got error %v", last.Status, last.Err)
		}
		if got := string(last.Body); got != success {
			t.Errorf("%d: got body %q, want %q", last.Status, got, success)
		}
		if last.Ended != tt.ended {
			t.Errorf("%d: ended by %v, want %v", last.Status, last.Ended, tt.ended)
		}
	}
}

// TestCancelInAfter: an observer that cancels the context prevents the retry.
func TestCancelInAfter(t *testing.T) {
	t.Parallel()
	for range 20 { // without a wait, the loop might not notice
		ctx, cancel := context.WithCancel(t.Context())
		r := newRequest(t, baseURL)
		r.After = func(*transport.Exchange) { cancel() }
		last := newTransport(newFake(respond(503))).Do(ctx, r)
		wantAttempts(t, last, 1)
		if last.Ended != context.Canceled {
			t.Errorf("ended by %v, want %v", last.Ended, context.Canceled)
		}
	}
}

// TestDeadline: a wait that the deadline would end is not begun. The call ends with what
// came back, and not because of the deadline, which has not passed.
func TestDeadline(t *testing.T) {
	t.Parallel()
	const wait = 6 * second
	for name, tt := range map[string]struct {
		responder httpmock.Responder
		deadline  time.Duration
		attempts  int
		elapsed   time.Duration
	}{
		"shorter than the wait":       {respond(500), wait - 1, 1, 0},
		"as long as the wait":         {respond(500), wait, 1, 0},
		"longer than the wait":        {respond(500), wait + 1, 2, wait},
		"shorter, after an error":     {fail(errBroken), wait - 1, 1, 0},
		"longer, after an error":      {fail(errBroken), wait + 1, 2, wait},
		"shorter than Retry-After":    {respond(429, "Retry-After", "30"), 29 * second, 1, 0},
		"what is left is too short":   {respond(500).Delay(second), wait + 1, 1, second},
		"what is left is long enough": {respond(500).Delay(second), wait + 3*second, 2, 8 * second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), tt.deadline)
				defer cancel()
				config := newConfig(newFake(tt.responder))
				config.MinWait, config.MaxWait = wait, wait
				start := time.Now()
				last := transport.New(config).Do(ctx, newRequest(t, baseURL))
				wantElapsed(t, start, tt.elapsed)
				wantAttempts(t, last, tt.attempts)
				err := errors.Join(last.Err, last.Ended)
				if errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("got the end of the context in %v", err)
				}
			})
		})
	}
}
