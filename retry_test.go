package courier_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	courier "github.com/courier-profiles/courier-go"
)

// The tests of retries: which answers and errors are worth another attempt, and
// when. Here the transport is in memory, and time that of a synctest bubble;
// connections_test.go has the ones with a network.

const retryBaseURL = "https://courier.test/base/v1"

// retryTransport answers in memory, by the number of the request it is, and
// keeps what was sent.
type retryTransport struct {
	answer func(n int, req *http.Request) (*http.Response, error)

	mu     sync.Mutex
	sent   []retryRequest
	closed int // calls of CloseIdleConnections
}

type retryRequest struct {
	at   time.Time
	key  string // the idempotency key
	body string
	req  *http.Request
}

func (r *retryTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	r.sent = append(r.sent, retryRequest{time.Now(), req.Header.Get("Idempotency-Key"), string(body), req})
	n := len(r.sent)
	r.mu.Unlock()
	return r.answer(n, req)
}

func (r *retryTransport) CloseIdleConnections() { r.closed++ }

func (r *retryTransport) requests() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.sent)
}

// retryStep is an answer of a retryTransport.
type retryStep func(req *http.Request) (*http.Response, error)

// retryScript answers with one step after the other, and with the last one from
// then on.
func retryScript(steps ...retryStep) *retryTransport {
	return &retryTransport{answer: func(n int, req *http.Request) (*http.Response, error) {
		return steps[min(n, len(steps))-1](req)
	}}
}

// retryStatus answers with a status, and headers as "Name", "value" pairs.
func retryStatus(status int, header ...string) retryStep {
	return func(req *http.Request) (*http.Response, error) {
		resp := &http.Response{
			StatusCode: status,
			Header:     http.Header{"Content-Type": {"application/json"}},
			Body:       io.NopCloser(strings.NewReader(`{"status":"SUCCESS","type":"some_error","message":"Some message"}`)),
			Request:    req,
		}
		for i := 0; i < len(header); i += 2 {
			resp.Header.Set(header[i], header[i+1])
		}
		return resp, nil
	}
}

// retryError fails without an answer.
func retryError(err error) retryStep {
	return func(*http.Request) (*http.Response, error) { return nil, err }
}

// retryHang answers never, and ends with the context as net/http does.
func retryHang(req *http.Request) (*http.Response, error) {
	<-req.Context().Done()
	return nil, context.Cause(req.Context())
}

// retryHangInBody answers with a status, and never with the end of its body.
func retryHangInBody(status int) retryStep {
	return func(req *http.Request) (*http.Response, error) {
		resp, _ := retryStatus(status)(req)
		resp.Body = io.NopCloser(io.MultiReader(strings.NewReader(`{"status":`), retryReader(func([]byte) (int, error) {
			_, err := retryHang(req)
			return 0, err
		})))
		return resp, nil
	}
}

// retryBreakInBody answers with a status, and a body that breaks off.
func retryBreakInBody(status int) retryStep {
	return func(req *http.Request) (*http.Response, error) {
		resp, _ := retryStatus(status)(req)
		resp.Body = io.NopCloser(io.MultiReader(strings.NewReader(`{"status":`), retryReader(func([]byte) (int, error) {
			return 0, io.ErrUnexpectedEOF
		})))
		return resp, nil
	}
}

// retryTakes has an answer take its time.
func retryTakes(d time.Duration, step retryStep) retryStep {
	return func(req *http.Request) (*http.Response, error) {
		time.Sleep(d)
		return step(req)
	}
}

type retryReader func([]byte) (int, error)

func (r retryReader) Read(p []byte) (int, error) { return r(p) }

var errRetryBroken = errors.New("the connection broke")

// retryAttempts keeps what an observer is told.
type retryAttempts struct {
	mu  sync.Mutex
	all []courier.Attempt
}

func (a *retryAttempts) observe(_ context.Context, attempt courier.Attempt) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.all = append(a.all, attempt)
}

// retryClient returns a client of transport, and what its observer is told.
func retryClient(t testing.TB, transport http.RoundTripper, opts ...courier.Option) (*courier.Client, *retryAttempts) {
	t.Helper()
	attempts := new(retryAttempts)
	client, err := courier.NewClient("key", append([]courier.Option{
		courier.WithBaseURL(retryBaseURL),
		courier.WithHTTPClient(&http.Client{Transport: transport}),
		courier.WithObserver(attempts.observe),
	}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	return client, attempts
}

func retryMerge(ctx context.Context, client *courier.Client, opts ...courier.RequestOption) (*courier.Result, error) {
	return client.Profiles.Merge(ctx, "user-1", twoFields(), opts...)
}

// retryMade returns how many attempts a result or an error says were made.
func retryMade(t testing.TB, result *courier.Result, err error) int {
	t.Helper()
	var (
		api        *courier.APIError
		connection *courier.ConnectionError
	)
	switch {
	case err == nil && result != nil:
		return result.Attempts
	case result != nil:
		t.Errorf("both a result and an error: %v", err)
	case errors.As(err, &api):
		return api.Attempts
	case errors.As(err, &connection):
		return connection.Attempts
	}
	t.Errorf("neither a result nor an error that counts attempts: %T %v", err, err)
	return -1
}

// wantRetries fails unless a call made n attempts, by all who count them.
func wantRetries(t testing.TB, n int, transport *retryTransport, attempts *retryAttempts, result *courier.Result, err error) {
	t.Helper()
	if got := transport.requests(); got != n {
		t.Errorf("%d requests were sent, want %d", got, n)
	}
	if got := retryMade(t, result, err); got != n {
		t.Errorf("the call says it made %d attempts, want %d", got, n)
	}
	if got := len(attempts.all); got != n {
		t.Errorf("the observer was called %d times, want %d", got, n)
	}
	for i, attempt := range attempts.all {
		if attempt.Number != i+1 {
			t.Errorf("the observer's call %d was for attempt %d", i+1, attempt.Number)
		}
		if last := i+1 == n; last && attempt.Wait != 0 {
			t.Errorf("the last attempt is said to be followed by a wait of %v", attempt.Wait)
		}
	}
}

// wantElapsed fails unless exactly d of the bubble's time has gone since start.
func wantElapsed(t testing.TB, start time.Time, d time.Duration) {
	t.Helper()
	if got := time.Since(start); got != d {
		t.Errorf("it took %v, want %v", got, d)
	}
}

var noRetryWait = courier.WithRetryWait(0, 0)

// retryOperations are the columns of the retry table.
var retryOperations = []struct {
	name    string
	call    func(context.Context, *courier.Client) (*courier.Result, error)
	retried []int // the statuses
}{
	{
		"merge", func(ctx context.Context, c *courier.Client) (*courier.Result, error) { return retryMerge(ctx, c) },
		[]int{408, 409, 429, 500, 502, 503, 504},
	},
	{
		"merge with a key", func(ctx context.Context, c *courier.Client) (*courier.Result, error) {
			return retryMerge(ctx, c, courier.WithIdempotencyKey("k"))
		},
		[]int{408, 409, 429, 502, 503, 504},
	},
	{
		"patch", func(ctx context.Context, c *courier.Client) (*courier.Result, error) {
			return c.Profiles.Patch(ctx, "user-1", []courier.PatchOp{courier.PatchRemove("/email")})
		},
		[]int{429, 503},
	},
}

func TestRetryStatus(t *testing.T) {
	for _, op := range retryOperations {
		t.Run(op.name, func(t *testing.T) {
			for status := 100; status <= 599; status++ {
				transport := retryScript(retryStatus(status))
				client, attempts := retryClient(t, transport, noRetryWait, courier.WithMaxRetries(2))
				result, err := op.call(t.Context(), client)

				if success := status/100 == 2; success != (err == nil) {
					t.Errorf("%d: error %v", status, err)
				}
				var api *courier.APIError
				if err != nil && (!errors.As(err, &api) || api.StatusCode != status) {
					t.Errorf("%d: %T %v, want an APIError with the status", status, err, err)
				}
				want := 1
				if slices.Contains(op.retried, status) {
					want = 3
				}
				wantRetries(t, want, transport, attempts, result, err)
				if t.Failed() {
					t.Fatalf("with status %d", status)
				}
			}
		})
	}
}

// TestRetryThenSuccess has a call recover from everything that is retried.
func TestRetryThenSuccess(t *testing.T) {
	failures := map[string]retryStep{
		"error":           retryError(errRetryBroken),
		"cut-off body":    retryBreakInBody(200),
		"cut-off 500":     retryBreakInBody(500),
		"attempt timeout": retryHang,
		"timeout in body": retryHangInBody(200),
		"timeout in 503":  retryHangInBody(503),
	}
	for _, status := range []int{408, 409, 429, 500, 502, 503, 504} {
		failures[fmt.Sprint(status)] = retryStatus(status)
	}
	for name, failure := range failures {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				transport := retryScript(failure, failure, retryStatus(200))
				client, attempts := retryClient(t, transport)
				result, err := retryMerge(t.Context(), client)
				if err != nil || result.Status != "SUCCESS" || result.StatusCode != 200 {
					t.Errorf("result %v, error %v", result, err)
				}
				wantRetries(t, 3, transport, attempts, result, err)
			})
		})
	}
}

// TestRetryCutOffError: the status of an error answer is an answer, whatever
// becomes of its body.
func TestRetryCutOffError(t *testing.T) {
	for _, tt := range []struct{ status, attempts int }{{400, 1}, {404, 1}, {301, 1}, {501, 1}, {429, 3}, {500, 3}} {
		for name, step := range map[string]retryStep{"breaks": retryBreakInBody(tt.status), "hangs": retryHangInBody(tt.status)} {
			t.Run(fmt.Sprintf("%d %s", tt.status, name), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					transport := retryScript(step)
					client, attempts := retryClient(t, transport, courier.WithMaxRetries(2))
					result, err := retryMerge(t.Context(), client)
					var api *courier.APIError
					if !errors.As(err, &api) || api.StatusCode != tt.status {
						t.Errorf("error %v, want status %d", err, tt.status)
					}
					wantRetries(t, tt.attempts, transport, attempts, result, err)
				})
			})
		}
	}
}

// TestRetryWaitBounds looks at every wait of many calls, with the time that
// really goes by.
func TestRetryWaitBounds(t *testing.T) {
	const calls = 300
	tests := []struct {
		name string
		opts []courier.Option
		low  time.Duration
		high []time.Duration // of wait 1, 2, …
	}{
		{
			"defaults", nil, 500 * time.Millisecond,
			[]time.Duration{time.Second, 2 * time.Second, 4 * time.Second},
		},
		{
			"more retries",
			[]courier.Option{courier.WithMaxRetries(6)}, 500 * time.Millisecond,
			[]time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 8 * time.Second, 8 * time.Second},
		},
		{
			"max below twice min",
			[]courier.Option{courier.WithRetryWait(10*time.Second, 15*time.Second)}, 10 * time.Second,
			[]time.Duration{15 * time.Second, 15 * time.Second, 15 * time.Second},
		},
		{
			"min is max",
			[]courier.Option{courier.WithRetryWait(3*time.Second, 3*time.Second)}, 3 * time.Second,
			[]time.Duration{3 * time.Second, 3 * time.Second, 3 * time.Second},
		},
		{"no wait", []courier.Option{noRetryWait}, 0, []time.Duration{0, 0, 0}},
	}
	steps := map[string]retryStep{"error": retryError(errRetryBroken), "500": retryStatus(500), "503": retryStatus(503)}
	for _, tt := range tests {
		for name, step := range steps {
			t.Run(tt.name+" "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					lowest, highest := slices.Clone(tt.high), make([]time.Duration, len(tt.high))
					for range calls {
						// A client for each, or the budget would end.
						transport := retryScript(step)
						client, attempts := retryClient(t, transport, tt.opts...)
						result, err := retryMerge(t.Context(), client)
						wantRetries(t, len(tt.high)+1, transport, attempts, result, err)
						if t.Failed() {
							t.FailNow()
						}
						for i, high := range tt.high {
							wait := attempts.all[i].Wait
							if wait < tt.low || wait > high {
								t.Fatalf("wait %d is %v, want %v to %v", i+1, wait, tt.low, high)
							}
							if slept := transport.sent[i+1].at.Sub(transport.sent[i].at); slept != wait {
								t.Fatalf("wait %d was announced as %v, and took %v", i+1, wait, slept)
							}
							lowest[i], highest[i] = min(lowest[i], wait), max(highest[i], wait)
						}
					}
					for i, high := range tt.high {
						// Missed by luck alone once in 10¹³.
						if tenth := (high - tt.low) / 10; lowest[i] > tt.low+tenth || highest[i] < high-tenth {
							t.Errorf("wait %d is between %v and %v in %d calls, want all of %v to %v",
								i+1, lowest[i], highest[i], calls, tt.low, high)
						}
					}
				})
			})
		}
	}
}

// TestRetryAfterHeader has min and max such that a wait from 2 s to 4 s is a
// drawn one, one of exactly 2 s is the floor, and others are the header's.
func TestRetryAfterHeader(t *testing.T) {
	const drawn, atOnce = -1, -2
	in := func(d time.Duration, layout string) func(time.Time) string {
		return func(now time.Time) string { return now.Add(d).UTC().Format(layout) }
	}
	text := func(value string) func(time.Time) string { return func(time.Time) string { return value } }
	tests := []struct {
		name   string
		header func(now time.Time) string
		want   time.Duration
	}{
		{"seconds", text("7"), 7 * time.Second},
		{"spaces", text(" 7 "), 7 * time.Second},
		{"fraction", text("7.25"), 7250 * time.Millisecond},
		{"just the longest", text("60"), 60 * time.Second},
		{"below the floor", text("1"), 2 * time.Second},
		{"fraction below the floor", text("0.001"), 2 * time.Second},
		{"zero", text("0"), 2 * time.Second},
		{"IMF-fixdate", in(7*time.Second, http.TimeFormat), 7 * time.Second},
		{"RFC 850 date", in(7*time.Second, "Monday, 02-Jan-06 15:04:05 GMT"), 7 * time.Second},
		{"asctime date", in(7*time.Second, time.ANSIC), 7 * time.Second},
		{"date below the floor", in(time.Second, http.TimeFormat), 2 * time.Second},
		{"date now", in(0, http.TimeFormat), 2 * time.Second},
		{"past date", in(-time.Hour, http.TimeFormat), 2 * time.Second},
		{"long past date", text("Sun, 06 Nov 1994 08:49:37 GMT"), 2 * time.Second},

		{"empty", text(""), drawn},
		{"garbage", text("soon"), drawn},
		{"negative", text("-7"), drawn},
		{"hugely negative", text("-99999999999999999999"), drawn},
		{"exponent", text("1e1"), drawn},
		{"hexadecimal", text("0x7"), drawn},
		{"not a number", text("NaN"), drawn},
		{"infinite", text("Inf"), drawn},
		{"with unit", text("7s"), drawn},
		{"another kind of date", in(7*time.Second, time.RFC3339), drawn},

		{"too long", text("60.001"), atOnce},
		{"a day", text("86400"), atOnce},
		{"date too far", in(61*time.Second, http.TimeFormat), atOnce},
		{"date in year 9999", text("Fri, 31 Dec 9999 23:59:59 GMT"), atOnce},
		{"overflows nanoseconds", text("9223372037"), atOnce},
		{"zero in 64 bits of nanoseconds", text("18446744074"), atOnce},
		{"overflows seconds", text("99999999999999999999"), atOnce},
		{"overflows a float", text(strings.Repeat("9", 400)), atOnce},
	}
	for _, status := range []int{408, 409, 429, 500, 502, 503, 504} {
		honoured := status == 429 || status == 503
		for _, tt := range tests {
			t.Run(fmt.Sprintf("%d %s", status, tt.name), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					start := time.Now()
					transport := retryScript(retryStatus(status, "Retry-After", tt.header(start)), retryStatus(200))
					client, attempts := retryClient(t, transport, courier.WithRetryWait(2*time.Second, time.Minute))
					result, err := retryMerge(t.Context(), client)

					if honoured && tt.want == atOnce {
						wantElapsed(t, start, 0)
						wantRetries(t, 1, transport, attempts, result, err)
						var api *courier.APIError
						if !errors.As(err, &api) || api.StatusCode != status {
							t.Errorf("error %v, want the answer in hand", err)
						}
						var limited *courier.RateLimitError
						if errors.As(err, &limited) && limited.RetryAfter <= time.Minute {
							t.Errorf("RetryAfter is %v, want what the answer asked for", limited.RetryAfter)
						}
						return
					}
					wantRetries(t, 2, transport, attempts, result, err)
					wait := attempts.all[0].Wait
					wantElapsed(t, start, wait)
					if !honoured || tt.want == drawn {
						if wait < 2*time.Second || wait > 4*time.Second {
							t.Errorf("the wait is %v, want one from 2 s to 4 s", wait)
						}
					} else if wait != tt.want {
						t.Errorf("the wait is %v, want %v", wait, tt.want)
					}
				})
			})
		}
	}
}

// TestRetryAfterInError is about RateLimitError.RetryAfter: what the answer asked
// for, counted from the answer, however the call ends.
func TestRetryAfterInError(t *testing.T) {
	for _, tt := range []struct {
		name   string
		header func(now time.Time) string
		want   time.Duration
	}{
		{"seconds", func(time.Time) string { return "40" }, 40 * time.Second},
		{"fraction", func(time.Time) string { return "0.5" }, 500 * time.Millisecond},
		{"date", func(now time.Time) string { return now.Add(40 * time.Second).UTC().Format(http.TimeFormat) }, 40 * time.Second},
		{"past date", func(now time.Time) string { return now.Add(-time.Second).UTC().Format(http.TimeFormat) }, 0},
		{"garbage", func(time.Time) string { return "soon" }, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for end, opts := range map[string][]courier.Option{
				"no retries": {courier.WithMaxRetries(0)},
				"too long":   {courier.WithMaxRetryAfter(0)},
				"cancelled":  {courier.WithRetryWait(20*time.Second, 30*time.Second)},
			} {
				synctest.Test(t, func(t *testing.T) {
					ctx, cancel := context.WithCancel(t.Context())
					if end == "cancelled" {
						time.AfterFunc(10*time.Second, cancel)
					}
					defer cancel()
					transport := retryScript(retryStatus(429, "Retry-After", tt.header(time.Now())))
					client, attempts := retryClient(t, transport, opts...)
					_, err := retryMerge(ctx, client)
					for who, err := range map[string]error{"the caller": err, "the observer": attempts.all[0].Err} {
						var limited *courier.RateLimitError
						if !errors.As(err, &limited) {
							t.Errorf("%s: %s got %T %v", end, who, err, err)
						} else if limited.RetryAfter != tt.want {
							t.Errorf("%s: %s got the RetryAfter %v, want %v", end, who, limited.RetryAfter, tt.want)
						}
					}
				})
			}
		})
	}
}

func TestRetryMaxRetryAfter(t *testing.T) {
	for _, tt := range []struct {
		longest  time.Duration
		header   string
		attempts int
	}{
		{2 * time.Second, "2", 2},
		{2 * time.Second, "2.001", 1},
		{0, "1", 1},
		{0, "0", 2},
		{24 * time.Hour, "86400", 2},
	} {
		t.Run(fmt.Sprintf("%v of %v", tt.header, tt.longest), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				transport := retryScript(retryStatus(503, "Retry-After", tt.header), retryStatus(200))
				client, attempts := retryClient(t, transport, courier.WithMaxRetryAfter(tt.longest))
				result, err := retryMerge(t.Context(), client)
				wantRetries(t, tt.attempts, transport, attempts, result, err)
			})
		})
	}
}

// TestRetryDeadline: a wait that the context would not outlive is not begun.
func TestRetryDeadline(t *testing.T) {
	sixSeconds := courier.WithRetryWait(6*time.Second, 6*time.Second)
	tests := []struct {
		name     string
		step     retryStep
		deadline time.Duration
		attempts int
		elapsed  time.Duration
	}{
		{"drawn wait too long", retryStatus(500), 5 * time.Second, 1, 0},
		{"drawn wait as long", retryStatus(500), 6 * time.Second, 1, 0},
		{"drawn wait shorter", retryStatus(500), 7 * time.Second, 2, 6 * time.Second},
		{"Retry-After too long", retryStatus(429, "Retry-After", "30"), 29 * time.Second, 1, 0},
		{"Retry-After of 503 too long", retryStatus(503, "Retry-After", "30"), 29 * time.Second, 1, 0},
		{"Retry-After shorter", retryStatus(429, "Retry-After", "30"), 31 * time.Second, 2, 30 * time.Second},
		{"after an error", retryError(errRetryBroken), 5 * time.Second, 1, 0},
		{"after two errors", retryError(errRetryBroken), 8 * time.Second, 2, 6 * time.Second},
		{"after a slow answer", retryTakes(3*time.Second, retryStatus(500)), 8 * time.Second, 1, 3 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				ctx, cancel := context.WithTimeout(t.Context(), tt.deadline)
				defer cancel()
				transport := retryScript(tt.step)
				client, attempts := retryClient(t, transport, sixSeconds)
				result, err := retryMerge(ctx, client)
				wantElapsed(t, start, tt.elapsed)
				wantRetries(t, tt.attempts, transport, attempts, result, err)
				if errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("error %v: the context's, before it has ended", err)
				}
			})
		})
	}
}

// retryHidden is a context that does not tell its deadline.
type retryHidden struct{ context.Context }

func (retryHidden) Deadline() (time.Time, bool) { return time.Time{}, false }

// retryEnds are the ways in which a context ends after d, each with the error
// that errors.Is has to find.
var retryEnds = []struct {
	name  string
	after func(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc)
	err   error
}{
	{"cancelled", func(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
		ctx, cancel := context.WithCancel(ctx)
		if d == 0 {
			cancel()
		}
		time.AfterFunc(d, cancel)
		return ctx, cancel
	}, context.Canceled},
	{"cancelled with a cause", func(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
		ctx, cancel := context.WithCancelCause(ctx)
		if d == 0 {
			cancel(errors.New("shutting down"))
		}
		time.AfterFunc(d, func() { cancel(errors.New("shutting down")) })
		return ctx, func() { cancel(nil) }
	}, context.Canceled},
	{"deadline of which nobody knew", func(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
		ctx, cancel := context.WithTimeout(ctx, d)
		return retryHidden{ctx}, cancel
	}, context.DeadlineExceeded},
	{"deadline with a cause", func(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
		ctx, cancel := context.WithTimeoutCause(ctx, d, errors.New("too slow"))
		return retryHidden{ctx}, cancel
	}, context.DeadlineExceeded},
}

// TestRetryContextEndsInWait: the last answer, or the lack of one, is told
// together with the context's error.
func TestRetryContextEndsInWait(t *testing.T) {
	steps := []struct {
		name string
		step retryStep
		is   func(error) bool
	}{
		{"409", retryStatus(409), retryIs[*courier.ConflictError]},
		{"429", retryStatus(429, "Retry-After", "50"), retryIs[*courier.RateLimitError]},
		{"503", retryStatus(503), retryIs[*courier.ServerError]},
		{"408", retryStatus(408), retryIs[*courier.APIError]},
		{"cut-off 500", retryBreakInBody(500), retryIs[*courier.ServerError]},
		{"error", retryError(errRetryBroken), func(err error) bool {
			return retryIs[*courier.ConnectionError](err) && errors.Is(err, errRetryBroken)
		}},
		{"cut-off body", retryBreakInBody(200), func(err error) bool {
			return retryIs[*courier.ConnectionError](err) && errors.Is(err, io.ErrUnexpectedEOF)
		}},
	}
	for _, end := range retryEnds {
		for _, tt := range steps {
			t.Run(end.name+" after "+tt.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					start := time.Now()
					// In the second wait: the first takes 40 s, or 50 s.
					ctx, cancel := end.after(t.Context(), 55*time.Second)
					defer cancel()
					transport := retryScript(tt.step)
					client, attempts := retryClient(t, transport, courier.WithRetryWait(40*time.Second, 40*time.Second))
					result, err := retryMerge(ctx, client)
					wantElapsed(t, start, 55*time.Second)
					if !tt.is(err) {
						t.Errorf("%T %v is not what the last attempt came to", err, err)
					}
					if !errors.Is(err, end.err) {
						t.Errorf("%v hides that the context ended with %v", err, end.err)
					}
					if !strings.Contains(err.Error(), end.err.Error()) {
						t.Errorf("the text %q does not say that the context ended", err)
					}
					if got := retryMade(t, result, err); got != 2 {
						t.Errorf("%d attempts, want 2", got)
					}
					if transport.requests() != 2 || len(attempts.all) != 2 {
						t.Errorf("%d requests, %d reports, want 2", transport.requests(), len(attempts.all))
					}
					for _, attempt := range attempts.all {
						if errors.Is(attempt.Err, end.err) {
							t.Errorf("attempt %d reports the end of the context before it came", attempt.Number)
						}
					}
				})
			})
		}
	}
}

func retryIs[T error](err error) bool {
	var target T
	return errors.As(err, &target)
}

// TestRetryContextEndsWithTheWait has both happen at the same moment. Either may
// win; neither may be told twice or get lost.
func TestRetryContextEndsWithTheWait(t *testing.T) {
	seen := map[int]int{} // how often a call made so many attempts
	for range 200 {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			transport := retryScript(retryStatus(503), retryHang)
			attempts := new(retryAttempts)
			client, _ := retryClient(t, transport, courier.WithObserver(func(ctx context.Context, a courier.Attempt) {
				attempts.observe(ctx, a)
				time.AfterFunc(a.Wait, cancel)
			}))
			result, err := retryMerge(ctx, client)
			if !errors.Is(err, context.Canceled) {
				t.Errorf("error %v hides that the context ended", err)
			}
			n := retryMade(t, result, err)
			if transport.requests() != n || len(attempts.all) != n {
				t.Errorf("the call says %d attempts, the observer was told of %d, %d were sent", n, len(attempts.all), transport.requests())
			}
			if server := retryIs[*courier.ServerError](err); server != (n == 1) {
				t.Errorf("%T after %d attempts", err, n)
			}
			seen[n]++
		})
	}
	t.Logf("attempts made: %v", seen)
}

// TestRetryCancelInObserver cancels between the decision for another attempt and
// the wait, also when there is no time to wait.
func TestRetryCancelInObserver(t *testing.T) {
	for _, wait := range []time.Duration{0, time.Second} {
		for range 100 {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				ctx, cancel := context.WithCancel(t.Context())
				transport := retryScript(retryStatus(503))
				reports := 0
				client, _ := retryClient(t, transport, courier.WithRetryWait(wait, wait),
					courier.WithObserver(func(context.Context, courier.Attempt) { reports++; cancel() }))
				result, err := retryMerge(ctx, client)
				wantElapsed(t, start, 0)
				if !errors.Is(err, context.Canceled) || !retryIs[*courier.ServerError](err) {
					t.Errorf("%T %v, want a ServerError that says the context ended", err, err)
				}
				if n := retryMade(t, result, err); n != 1 || reports != 1 || transport.requests() != 1 {
					t.Errorf("%d attempts, %d reports, %d requests, want 1 of each", n, reports, transport.requests())
				}
			})
		}
	}
}

func TestRetryContextDone(t *testing.T) {
	for _, end := range retryEnds {
		t.Run(end.name, func(t *testing.T) {
			ctx, cancel := end.after(t.Context(), 0)
			defer cancel()
			<-ctx.Done()
			transport := retryScript(retryStatus(200))
			client, attempts := retryClient(t, transport)
			result, err := retryMerge(ctx, client)
			if !retryIs[*courier.ConnectionError](err) || !errors.Is(err, end.err) {
				t.Errorf("%T %v, want a ConnectionError that wraps %v", err, err, end.err)
			}
			wantRetries(t, 0, transport, attempts, result, err)
		})
	}
}

func TestRetryContextEndsInFlight(t *testing.T) {
	steps := map[string]retryStep{"no answer": retryHang, "in the body": retryHangInBody(200)}
	for _, end := range retryEnds {
		for name, step := range steps {
			t.Run(end.name+", "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					start := time.Now()
					ctx, cancel := end.after(t.Context(), 7*time.Second)
					defer cancel()
					transport := retryScript(step)
					client, attempts := retryClient(t, transport)
					result, err := retryMerge(ctx, client)
					wantElapsed(t, start, 7*time.Second)
					if !retryIs[*courier.ConnectionError](err) || !errors.Is(err, end.err) || !errors.Is(err, context.Cause(ctx)) {
						t.Errorf("%T %v, want a ConnectionError that wraps %v and %v", err, err, end.err, context.Cause(ctx))
					}
					wantRetries(t, 1, transport, attempts, result, err)
					if got := attempts.all[0].Err; got == nil || got.Error() != err.Error() {
						t.Errorf("the observer was told %v, the caller %v", got, err)
					}
				})
			})
		}
		// An answer is in hand, though its body is not whole.
		for status, is := range map[int]func(error) bool{503: retryIs[*courier.ServerError], 404: retryIs[*courier.NotFoundError]} {
			t.Run(fmt.Sprintf("%s, in the body of %d", end.name, status), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					ctx, cancel := end.after(t.Context(), 7*time.Second)
					defer cancel()
					transport := retryScript(retryHangInBody(status))
					client, attempts := retryClient(t, transport)
					result, err := retryMerge(ctx, client)
					if !is(err) || !errors.Is(err, end.err) {
						t.Errorf("%T %v, want the error of %d, wrapping %v", err, err, status, end.err)
					}
					wantRetries(t, 1, transport, attempts, result, err)
				})
			})
		}
	}
}

func TestRetryTimeout(t *testing.T) {
	tests := []struct {
		name        string
		httpTimeout time.Duration
		opts        []courier.Option
		attempt     time.Duration // how long each may take
	}{
		{"default", 0, nil, 30 * time.Second},
		{"WithTimeout", 0, []courier.Option{courier.WithTimeout(2 * time.Second)}, 2 * time.Second},
		{"http.Client is shorter", 2 * time.Second, []courier.Option{courier.WithTimeout(5 * time.Second)}, 2 * time.Second},
		{"WithTimeout is shorter", 5 * time.Second, []courier.Option{courier.WithTimeout(2 * time.Second)}, 2 * time.Second},
		{"http.Client is shorter than the default", 3 * time.Second, nil, 3 * time.Second},
		{"default is shorter than http.Client", time.Hour, nil, 30 * time.Second},
		{"http.Client alone", 3 * time.Second, []courier.Option{courier.WithTimeout(0)}, 3 * time.Second},
		{"longer than the default", 0, []courier.Option{courier.WithTimeout(time.Hour)}, time.Hour},
	}
	for _, tt := range tests {
		for name, step := range map[string]retryStep{"no answer": retryHang, "body": retryHangInBody(200)} {
			t.Run(tt.name+", "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					start := time.Now()
					transport := retryScript(step)
					httpClient := &http.Client{Transport: transport, Timeout: tt.httpTimeout}
					client, attempts := retryClient(t, transport, append([]courier.Option{
						courier.WithHTTPClient(httpClient),
						courier.WithRetryWait(time.Second, time.Second),
						courier.WithMaxRetries(2),
					}, tt.opts...)...)
					result, err := retryMerge(t.Context(), client)
					wantElapsed(t, start, 3*tt.attempt+2*time.Second)
					wantRetries(t, 3, transport, attempts, result, err)
					if !retryIs[*courier.ConnectionError](err) || !errors.Is(err, context.DeadlineExceeded) {
						t.Errorf("%T %v, want a ConnectionError that says the time was up", err, err)
					}
					for _, attempt := range attempts.all {
						if attempt.Duration != tt.attempt {
							t.Errorf("attempt %d took %v, want %v", attempt.Number, attempt.Duration, tt.attempt)
						}
					}
					if httpClient.Timeout != tt.httpTimeout || httpClient.Transport != transport {
						t.Error("the caller's http.Client has been changed")
					}
				})
			})
		}
	}
}

func TestRetryNoTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 1000*time.Hour)
		defer cancel()
		transport := retryScript(retryHang)
		client, attempts := retryClient(t, transport, courier.WithTimeout(0))
		result, err := retryMerge(ctx, client)
		wantElapsed(t, start, 1000*time.Hour)
		wantRetries(t, 1, transport, attempts, result, err)
	})
}

func TestRetryMaxRetries(t *testing.T) {
	for _, retries := range []int{0, 1, 2, 3, 10} {
		for name, step := range map[string]retryStep{
			"503": retryStatus(503), "429": retryStatus(429, "Retry-After", "1"), "error": retryError(errRetryBroken), "timeout": retryHang,
		} {
			t.Run(fmt.Sprint(retries, " ", name), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					transport := retryScript(step)
					client, attempts := retryClient(t, transport, courier.WithMaxRetries(retries))
					result, err := retryMerge(t.Context(), client)
					wantRetries(t, retries+1, transport, attempts, result, err)
				})
			})
		}
	}
}

// TestRetryObserver looks at every field of what the observer is told.
func TestRetryObserver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type contextKey struct{}
		ctx := context.WithValue(t.Context(), contextKey{}, "the call's")
		transport := retryScript(
			retryTakes(3*time.Second, retryStatus(503, "Retry-After", "5")),
			retryTakes(2*time.Second, retryError(errRetryBroken)),
			retryTakes(1*time.Second, retryStatus(409)),
			retryTakes(4*time.Second, retryStatus(202)),
		)
		attempts := new(retryAttempts)
		client, _ := retryClient(t, transport, courier.WithRetryWait(time.Second, time.Second),
			courier.WithObserver(func(ctx context.Context, a courier.Attempt) {
				if ctx.Value(contextKey{}) != "the call's" {
					t.Error("the observer got another context than the call's")
				}
				if got := transport.requests(); got != a.Number {
					t.Errorf("attempt %d reported after %d requests", a.Number, got)
				}
				attempts.observe(ctx, a)
			}))
		result, err := retryMerge(ctx, client)
		wantRetries(t, 4, transport, attempts, result, err)
		if t.Failed() {
			return
		}
		want := []struct {
			courier.Attempt
			is func(error) bool
		}{
			{courier.Attempt{StatusCode: 503, Duration: 3 * time.Second, Wait: 5 * time.Second}, retryIs[*courier.ServerError]},
			{courier.Attempt{StatusCode: 0, Duration: 2 * time.Second, Wait: time.Second}, retryIs[*courier.ConnectionError]},
			{courier.Attempt{StatusCode: 409, Duration: 1 * time.Second, Wait: time.Second}, retryIs[*courier.ConflictError]},
			{courier.Attempt{StatusCode: 202, Duration: 4 * time.Second}, func(err error) bool { return err == nil }},
		}
		for i, got := range attempts.all {
			want := want[i]
			if got.Operation != "merge profile" || got.StatusCode != want.StatusCode || got.Duration != want.Duration || got.Wait != want.Wait {
				t.Errorf("attempt %d is reported as %+v, want %+v", i+1, got, want.Attempt)
			}
			if !want.is(got.Err) {
				t.Errorf("the error of attempt %d is %T %v", i+1, got.Err, got.Err)
			}
			if got.Err != nil && retryMade(t, nil, got.Err) != i+1 {
				t.Errorf("the error of attempt %d says it was attempt %d", i+1, retryMade(t, nil, got.Err))
			}
		}
	})
}

// TestRetryObserverLastError: the last attempt is reported with the error that
// the call returns, and with no wait, whyever it is the last.
func TestRetryObserverLastError(t *testing.T) {
	tests := []struct {
		name string
		step retryStep
		opts []courier.Option
	}{
		{"not retryable", retryStatus(400), nil},
		{"redirect", retryStatus(307, "Location", "https://elsewhere.test/"), nil},
		{"retries used up", retryStatus(503), []courier.Option{courier.WithMaxRetries(1)}},
		{"no retries", retryStatus(503), []courier.Option{courier.WithMaxRetries(0)}},
		{"Retry-After too long", retryStatus(429, "Retry-After", "86400"), nil},
		{"deadline too near", retryStatus(503), []courier.Option{courier.WithRetryWait(time.Hour, time.Hour)}},
		{"deadline too near after an error", retryError(errRetryBroken), []courier.Option{courier.WithRetryWait(time.Hour, time.Hour)}},
		{"context ended", retryHang, []courier.Option{courier.WithTimeout(0)}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				transport := retryScript(tt.step)
				client, attempts := retryClient(t, transport, tt.opts...)
				result, err := retryMerge(ctx, client)
				wantRetries(t, transport.requests(), transport, attempts, result, err)
				last := attempts.all[len(attempts.all)-1]
				if last.Err == nil || fmt.Sprintf("%T %v", last.Err, last.Err) != fmt.Sprintf("%T %v", err, err) {
					t.Errorf("the observer was told %T %v, the caller %T %v", last.Err, last.Err, err, err)
				}
			})
		})
	}
}

// retryOutage makes so many calls in a row, or in parallel, that all fail, and
// returns how many requests that were.
func retryOutage(t *testing.T, client *courier.Client, transport *retryTransport, calls, parallel int) int {
	t.Helper()
	before := transport.requests()
	var wg sync.WaitGroup
	for range parallel {
		wg.Go(func() {
			for range calls / parallel {
				if _, err := retryMerge(t.Context(), client); err == nil {
					t.Error("a call was successful")
				}
			}
		})
	}
	wg.Wait()
	return transport.requests() - before
}

// retrySwitch answers with the step that is stored in it.
func retrySwitch(step *atomic.Value) *retryTransport {
	return &retryTransport{answer: func(_ int, req *http.Request) (*http.Response, error) {
		return step.Load().(retryStep)(req)
	}}
}

func TestRetryBudget(t *testing.T) {
	good := map[string]retryStep{"200": retryStatus(200), "204": retryStatus(204), "301": retryStatus(301), "400": retryStatus(400), "404": retryStatus(404), "501": retryStatus(501)}
	bad := map[string]retryStep{"503": retryStatus(503), "error": retryError(errRetryBroken), "cut-off body": retryBreakInBody(200)}
	for _, parallel := range []int{1, 50} {
		t.Run(fmt.Sprint(parallel, " in parallel"), func(t *testing.T) {
			var step atomic.Value
			step.Store(bad["503"])
			transport := retrySwitch(&step)
			client, attempts := retryClient(t, transport, noRetryWait)
			const calls = 10_000
			if n := retryOutage(t, client, transport, calls, parallel); n != calls+500 {
				t.Errorf("%d calls made %d attempts, want %d", calls, n, calls+500)
			}
			if n := len(attempts.all); n != calls+500 {
				t.Errorf("the observer was told of %d attempts, want %d", n, calls+500)
			}
			// An empty budget gives no retry, whatever the failure.
			for name, failure := range bad {
				step.Store(failure)
				if n := retryOutage(t, client, transport, 10, 1); n != 10 {
					t.Errorf("%s: 10 calls with an empty budget made %d attempts", name, n)
				}
			}
			// A good answer gives back one retry, and no more.
			for name, answer := range good {
				step.Store(answer)
				if _, err := retryMerge(t.Context(), client); (err == nil) != (name[0] == '2') {
					t.Errorf("%s: error %v", name, err)
				}
				step.Store(bad["503"])
				if n := retryOutage(t, client, transport, 1, 1); n != 2 {
					t.Errorf("the first call after a %s made %d attempts, want 2", name, n)
				}
				if n := retryOutage(t, client, transport, 5, 1); n != 5 {
					t.Errorf("5 calls after that made %d attempts, want 5", n)
				}
			}
		})
	}
}

// TestRetryBudgetEmptyWait: no retry, so no wait before one.
func TestRetryBudgetEmptyWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		transport := retryScript(retryStatus(503))
		client, attempts := retryClient(t, transport)
		retryOutage(t, client, transport, 500, 1)
		transport.sent, attempts.all = nil, nil
		start := time.Now()
		result, err := retryMerge(t.Context(), client)
		wantElapsed(t, start, 0)
		wantRetries(t, 1, transport, attempts, result, err)
	})
}

// TestRetryBudgetOnlyForRetries: what sends no retry takes none.
func TestRetryBudgetOnlyForRetries(t *testing.T) {
	tests := []struct {
		name string
		step retryStep
		opts []courier.Option
		end  time.Duration // of the context
	}{
		{"Retry-After too long", retryStatus(429, "Retry-After", "86400"), nil, time.Hour},
		{"deadline too near", retryStatus(503, "Retry-After", "30"), nil, 20 * time.Second},
		{"context ends in flight", retryHang, nil, time.Second},
		{"context ends in the wait", retryStatus(503, "Retry-After", "30"), nil, -20 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var step atomic.Value
				step.Store(tt.step)
				transport := retrySwitch(&step)
				client, _ := retryClient(t, transport, tt.opts...)
				for range 600 {
					ctx, cancel := context.WithTimeout(t.Context(), max(tt.end, -tt.end))
					if tt.end < 0 {
						ctx = retryHidden{ctx}
					}
					_, _ = retryMerge(ctx, client)
					cancel()
				}
				if n := transport.requests(); n != 600 {
					t.Fatalf("600 calls made %d attempts, want no retry", n)
				}
				step.Store(retryStatus(503))
				if n := retryOutage(t, client, transport, 1, 1); n != 4 {
					t.Errorf("after 600 calls without a retry, one makes %d attempts, want 4", n)
				}
			})
		})
	}
}

// TestRetryBudgetIsPerClient: one client's outage is not another's.
func TestRetryBudgetIsPerClient(t *testing.T) {
	transport := retryScript(retryStatus(503))
	one, _ := retryClient(t, transport, noRetryWait)
	other, _ := retryClient(t, transport, noRetryWait)
	retryOutage(t, one, transport, 1000, 1)
	if n := retryOutage(t, other, transport, 1, 1); n != 4 {
		t.Errorf("a new client's first call made %d attempts, want 4", n)
	}
}

// TestRetryMixed has many callers meet a bit of everything, and all who count
// agree.
func TestRetryMixed(t *testing.T) {
	const callers, calls = 32, 100
	steps := []retryStep{
		retryStatus(200), retryStatus(200), retryStatus(200), retryStatus(204), retryStatus(400), retryStatus(404),
		retryStatus(302, "Location", "/elsewhere"), retryStatus(429, "Retry-After", "0"), retryStatus(500), retryStatus(503),
		retryStatus(429, "Retry-After", "3600"), retryError(errRetryBroken), retryBreakInBody(200), retryBreakInBody(500),
	}
	transport := &retryTransport{answer: func(_ int, req *http.Request) (*http.Response, error) {
		return steps[rand.N(len(steps))](req)
	}}
	client, attempts := retryClient(t, transport, noRetryWait)
	var made, good atomic.Int64
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for range calls {
				ctx, cancel := context.WithCancel(t.Context())
				if rand.N(10) == 0 {
					go cancel()
				}
				result, err := retryMerge(ctx, client)
				cancel()
				made.Add(int64(retryMade(t, result, err)))
				if err == nil {
					good.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if int64(len(attempts.all)) != made.Load() || int64(transport.requests()) != made.Load() {
		t.Errorf("the calls say %d attempts, the observer was told of %d, %d were sent", made.Load(), len(attempts.all), transport.requests())
	}
	if good.Load() == 0 {
		t.Error("no call was successful")
	}
	for _, sent := range transport.sent {
		if sent.body != transport.sent[0].body {
			t.Fatalf("a request with the body %s, want %s", sent.body, transport.sent[0].body)
		}
	}
}

// TestRetrySendsTheSame: attempts differ in nothing.
func TestRetrySendsTheSame(t *testing.T) {
	const body = `{"profile":{"email":"user@example.com","phone_number":"555-555-5555"}}`
	synctest.Test(t, func(t *testing.T) {
		transport := retryScript(retryStatus(503), retryError(errRetryBroken), retryBreakInBody(200), retryHang, retryStatus(200))
		client, attempts := retryClient(t, transport, courier.WithMaxRetries(10))
		result, err := retryMerge(t.Context(), client, courier.WithIdempotencyKey("the-key"), courier.WithHeader("X-Mine", "mine"))
		wantRetries(t, 5, transport, attempts, result, err)
		for i, sent := range transport.sent {
			if sent.body != body || sent.req.ContentLength != int64(len(body)) {
				t.Errorf("the body of attempt %d is %s, length %d", i+1, sent.body, sent.req.ContentLength)
			}
			if sent.key != "the-key" || sent.req.Header.Get("X-Mine") != "mine" {
				t.Errorf("the headers of attempt %d are %v", i+1, sent.req.Header)
			}
			if sent.req.Method != "POST" || sent.req.URL.String() != retryBaseURL+"/profiles/user-1" {
				t.Errorf("attempt %d is %s %s", i+1, sent.req.Method, sent.req.URL)
			}
			// net/http sends again what it finds on a stale connection.
			again, err := sent.req.GetBody()
			if err != nil {
				t.Fatal(err)
			}
			if text, err := io.ReadAll(again); err != nil || string(text) != body {
				t.Errorf("GetBody of attempt %d returns %s, %v", i+1, text, err)
			}
		}
	})
}

// TestRetryBodyOutlivesTheCall: a transport may go on reading a body after it
// has answered, when the next attempt and the next call are under way.
func TestRetryBodyOutlivesTheCall(t *testing.T) {
	var mu sync.Mutex
	var bodies []io.ReadCloser
	transport := coldRoundTripper(func(req *http.Request) (*http.Response, error) {
		mu.Lock()
		defer mu.Unlock()
		first := make([]byte, 5)
		if _, err := io.ReadFull(req.Body, first); err != nil {
			return nil, err
		}
		bodies = append(bodies, req.Body)
		return retryStatus(503)(req)
	})
	client, _ := retryClient(t, transport, noRetryWait, courier.WithMaxRetries(1))
	users := []string{"ada@example.com", "bob@example.com", "eve@example.com"}
	for _, user := range users {
		_, _ = client.Profiles.Merge(t.Context(), "user", courier.Profile{Email: courier.Set(user)})
	}
	for i, body := range bodies {
		rest, err := io.ReadAll(body)
		if want := `file":{"email":"` + users[i/2] + `"}}`; err != nil || string(rest) != want {
			t.Errorf("the rest of body %d is %s, %v, want %s", i+1, rest, err, want)
		}
	}
}

// TestRetryLeavesThePoolAlone: a call that fails says nothing of the connections
// of the others.
func TestRetryLeavesThePoolAlone(t *testing.T) {
	for name, step := range map[string]retryStep{
		"400": retryStatus(400), "503": retryStatus(503), "error": retryError(errRetryBroken),
		"redirect": retryStatus(301, "Location", "%zz"), "429": retryStatus(429, "Retry-After", "86400"),
		"in flight": retryHang, "in the wait": retryStatus(503, "Retry-After", "60"),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 25*time.Second)
				defer cancel()
				transport := retryScript(step)
				client, _ := retryClient(t, transport)
				if _, err := retryMerge(retryHidden{ctx}, client); err == nil {
					t.Error("the call was successful")
				}
				if transport.closed != 0 {
					t.Errorf("the call emptied the pool %d times", transport.closed)
				}
				client.CloseIdleConnections()
				if transport.closed != 1 {
					t.Errorf("CloseIdleConnections emptied the pool %d times, want 1", transport.closed)
				}
			})
		})
	}
}

// TestRetryIsQuiet: nothing is logged that nobody has asked for.
func TestRetryIsQuiet(t *testing.T) {
	var logged bytes.Buffer
	defer log.SetOutput(log.Writer())
	log.SetOutput(&logged)
	client, _ := retryClient(t, retryScript(retryStatus(503), retryError(errRetryBroken), retryStatus(400)), noRetryWait)
	if _, err := retryMerge(t.Context(), client); err == nil {
		t.Error("the call was successful")
	}
	if logged.Len() > 0 {
		t.Errorf("the standard logger got %s", &logged)
	}
}

// TestRetryStartsNoGoroutine: with a transport that starts none, a call is one
// goroutine, the caller's, from beginning to end.
func TestRetryStartsNoGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		most := 0
		count := func() { most = max(most, retryGoroutines(courierPackage+".(*")) }
		step := retryStep(func(req *http.Request) (*http.Response, error) {
			count()
			return retryStatus(503)(req)
		})
		client, _ := retryClient(t, retryScript(step), courier.WithObserver(func(context.Context, courier.Attempt) { count() }))
		if _, err := retryMerge(t.Context(), client); err == nil {
			t.Error("the call was successful")
		}
		if most != 1 {
			t.Errorf("%d goroutines were at work in a call, want 1", most)
		}
		synctest.Wait()
		if n := retryGoroutines(courierPackage + ".(*"); n != 0 {
			t.Errorf("%d goroutines are left of it", n)
		}
	})
}

// courierPackage is how stacks name the package.
var courierPackage = reflect.TypeFor[courier.Client]().PkgPath()

// retryGoroutines returns how many goroutines have text in their stack.
func retryGoroutines(text string) (n int) {
	stacks := make([]byte, 4<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	for stack := range bytes.SplitSeq(stacks, []byte("\n\n")) {
		if bytes.Contains(stack, []byte(text)) {
			n++
		}
	}
	return n
}
