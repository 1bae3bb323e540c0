package courier_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jarcoal/httpmock"

	courier "github.com/courier-profiles/courier-go"
)

// Retries through the whole client, in the time of a bubble. The waits, the policies, and
// the network errors by themselves are tests of internal/transport.

var (
	errReset    = &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}
	errRefused  = &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	errNotFound = &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: "courier.test", IsNotFound: true}}
)

// TestRetryTable: each operation with an outcome of each kind. All attempts of a call send
// the same. internal/transport tests every status and network error.
func TestRetryTable(t *testing.T) {
	t.Parallel()
	const always, idempotent, notReplayed, never = "always", "idempotent", "not replayed", "never"
	for name, tt := range map[string]struct {
		step    httpmock.Responder
		retried string
	}{
		"connection refused":    {httpmock.NewErrorResponder(errRefused), always},
		"connection reset":      {httpmock.NewErrorResponder(errReset), idempotent},
		"response cut off":      {cutOff, idempotent},
		"attempt timed out":     {hang, idempotent},
		"timed out in the body": {hangInBody(200), idempotent},
		"host not found":        {httpmock.NewErrorResponder(errNotFound), never},
		"429":                   {respond(429), always},
		"503, cut off":          {hangInBody(503), always},
		"409":                   {respond(409), idempotent},
		"500":                   {respond(500), notReplayed},
		"200":                   {respond(200), never},
		"307":                   {respond(307, "Location", "/elsewhere"), never},
		"404, cut off":          {hangInBody(404), never},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				for _, op := range operations {
					for _, key := range []string{"", "order-1"} {
						if key != "" && !op.keyed {
							continue
						}
						want := 1
						if tt.retried == always || op.method != "PATCH" && (tt.retried == idempotent || tt.retried == notReplayed && key == "") {
							want = 3
						}
						var opts []courier.RequestOption
						if key != "" {
							opts = append(opts, courier.WithIdempotencyKey(key))
						}
						sent, seen := script(tt.step), new(observer)
						client := newTestClient(t, sent, seen.option(), courier.WithMaxRetries(2))
						got, err := op.call(t.Context(), client, "user-1", opts...)
						wantAttempts(t, want, sent, seen, got.Response, err)
						for _, request := range sent.sent {
							if request.Header.Get("Idempotency-Key") != key || !cmp.Equal(request, sent.sent[0]) {
								t.Errorf("sent %+v after %+v, want the key %q", request, sent.sent[0], key)
							}
						}
						if t.Failed() {
							t.Fatalf("%s with key %q: %v", op.name, key, err)
						}
					}
				}
			})
		})
	}
}

// logRecorder is a slog.Handler that keeps the records as maps.
type logRecorder struct {
	records []map[string]any
	ctx     context.Context // of the last one
}

func (*logRecorder) Enabled(context.Context, slog.Level) bool { return true }
func (l *logRecorder) WithAttrs([]slog.Attr) slog.Handler     { return l }
func (l *logRecorder) WithGroup(string) slog.Handler          { return l }
func (l *logRecorder) Handle(ctx context.Context, r slog.Record) error {
	record := map[string]any{"level": r.Level, "message": r.Message}
	r.Attrs(func(a slog.Attr) bool {
		record[a.Key] = a.Value.Any()
		return true
	})
	l.ctx, l.records = ctx, append(l.records, record)
	return nil
}

// TestObserverAndLogger looks at everything that they are told of the attempts, but for
// Reused.
func TestObserverAndLogger(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		type contextKey struct{}
		sent := script(
			slow(3*time.Second, respond(503, "Retry-After", "5")),
			slow(2*time.Second, httpmock.NewErrorResponder(errReset)),
			slow(time.Second, respond(409)),
			slow(4*time.Second, respond(202)),
		)
		var got []courier.Attempt
		log := new(logRecorder)
		client := newTestClient(t, sent, courier.WithRetryWait(0, 0), courier.WithLogger(slog.New(log)),
			courier.WithObserver(func(ctx context.Context, a courier.Attempt) {
				if ctx.Value(contextKey{}) != "the caller's" || sent.requests() != a.Number {
					t.Errorf("attempt %d reported after %d requests, with the context %v", a.Number, sent.requests(), ctx)
				}
				got = append(got, a)
			}))
		if _, err := merge(context.WithValue(t.Context(), contextKey{}, "the caller's"), client); err != nil {
			t.Fatal(err)
		}
		second := time.Second
		want := []courier.Attempt{
			{Operation: "merge profile", Number: 1, StatusCode: 503, Duration: 3 * second, Wait: 5 * second, Err: new(courier.ServerError)},
			{Operation: "merge profile", Number: 2, Duration: 2 * second, Err: new(courier.ConnectionError)},
			{Operation: "merge profile", Number: 3, StatusCode: 409, Duration: second, Err: new(courier.ConflictError)},
			{Operation: "merge profile", Number: 4, StatusCode: 202, Duration: 4 * second},
		}
		sameType := cmp.Comparer(func(a, b error) bool { return fmt.Sprintf("%T", a) == fmt.Sprintf("%T", b) })
		if diff := cmp.Diff(want, got, sameType); diff != "" {
			t.Fatalf("attempts (-want +got):\n%s", diff)
		}
		var records []map[string]any
		for i, a := range got {
			record := map[string]any{
				"level": slog.LevelWarn, "message": "courier: attempt", "operation": a.Operation, "attempt": int64(a.Number),
				"status": int64(a.StatusCode), "duration": a.Duration, "retry": true, "wait": a.Wait, "error": a.Err,
			}
			if a.Err == nil {
				record["level"], record["retry"] = slog.LevelDebug, false
				delete(record, "error")
			} else if attemptsOf(t, nil, a.Err) != i+1 {
				t.Errorf("the error of attempt %d is %v", i+1, a.Err)
			}
			records = append(records, record)
		}
		if diff := cmp.Diff(records, log.records, cmp.Comparer(func(a, b error) bool { return a == b })); diff != "" || log.ctx.Value(contextKey{}) == nil {
			t.Errorf("records, the last one with the context %v (-want +got):\n%s", log.ctx, diff)
		}
	})
}

// TestLastAttempt: whatever ends a call, the observer gets the error that the call
// returns, and of no wait. A wait that would outlive the context is not begun.
func TestLastAttempt(t *testing.T) {
	t.Parallel()
	const second, minute = time.Second, time.Minute
	wait := func(d time.Duration) []courier.Option { return []courier.Option{courier.WithRetryWait(d, d)} }
	for name, tt := range map[string]struct {
		step     httpmock.Responder
		opts     []courier.Option
		attempts int
		elapsed  time.Duration
	}{
		"not retryable":          {respond(400), nil, 1, 0},
		"retries used up":        {respond(503), append(wait(second), courier.WithMaxRetries(1)), 2, second},
		"Retry-After too long":   {respond(429, "Retry-After", "86400"), nil, 1, 0},
		"deadline just too near": {respond(503), wait(minute), 1, 0},
		"deadline after a retry": {respond(503), wait(minute - 1), 2, minute - 1},
		"context ended":          {hang, []courier.Option{courier.WithTimeout(0)}, 1, minute},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				start := time.Now()
				sent, seen := script(tt.step), new(observer)
				resp, err := merge(ctx, newTestClient(t, sent, append(tt.opts, seen.option())...))
				wantAttempts(t, tt.attempts, sent, seen, resp, err)
				wantElapsed(t, start, tt.elapsed)
				if errors.Is(err, context.DeadlineExceeded) != (ctx.Err() != nil) {
					t.Errorf("%v, and the context's error is %v", err, ctx.Err())
				}
				last := seen.attempts[len(seen.attempts)-1]
				if fmt.Sprintf("%T %v", last.Err, last.Err) != fmt.Sprintf("%T %v", err, err) || last.Wait != 0 {
					t.Errorf("the observer was told %T %v and a wait of %v, the caller %T %v", last.Err, last.Err, last.Wait, err, err)
				}
			})
		})
	}
}

func TestLogLevels(t *testing.T) {
	t.Parallel()
	const retried, failed, fine = "WARN true", "WARN false", "DEBUG false"
	for _, op := range operations {
		missing := failed
		if op.name == "get profile" || op.name == "delete profile" {
			missing = fine
		}
		for _, tt := range []struct {
			want  string
			steps []httpmock.Responder
		}{
			{failed, []httpmock.Responder{respond(403)}},
			{failed, []httpmock.Responder{respond(429, "Retry-After", "86400")}},
			{missing, []httpmock.Responder{respond(404)}},
			{retried + ", " + missing, []httpmock.Responder{respond(503), respond(404)}},
			{retried + ", " + fine, []httpmock.Responder{respond(503), respond(200)}},
		} {
			log := new(logRecorder)
			client := newTestClient(t, script(tt.steps...), courier.WithRetryWait(0, 0), courier.WithLogger(slog.New(log)))
			_, err := op.call(t.Context(), client, "user-1")
			var got []string
			for _, record := range log.records {
				got = append(got, fmt.Sprint(record["level"], " ", record["retry"]))
			}
			if got := strings.Join(got, ", "); got != tt.want {
				t.Errorf("%s that ends with %v: logged %q, want %q", op.name, err, got, tt.want)
			}
		}
	}
}

// TestContextEnds: in every phase of a call the error has what the last attempt came to
// and the error of the context, and never the context's cause, which may be the error of
// another call.
func TestContextEnds(t *testing.T) {
	t.Parallel()
	cause := &courier.NotFoundError{APIError: courier.APIError{StatusCode: 404, Message: "of another call"}}
	for _, tt := range []struct {
		name     string
		after    time.Duration
		step     httpmock.Responder
		attempts int
		is       func(error) bool
	}{
		{"before", 0, respond(200), 0, func(err error) bool {
			return errors.Is(err, courier.ErrNotSent) && !matches[*courier.ConnectionError](err)
		}},
		{"in flight", 7 * time.Second, hang, 1, matches[*courier.ConnectionError]},
		{"in the body of a 503", 7 * time.Second, hangInBody(503), 1, matches[*courier.ServerError]},
		{"in the wait after a 503", 7 * time.Second, respond(503), 1, matches[*courier.ServerError]},
		{"in the second wait after a 409", 37 * time.Second, respond(409), 2, matches[*courier.ConflictError]},
		{"in the wait after no response", 7 * time.Second, httpmock.NewErrorResponder(errReset), 1, func(err error) bool {
			return matches[*courier.ConnectionError](err) && errors.Is(err, syscall.ECONNRESET) && strings.HasSuffix(err.Error(), "connection reset by peer; context canceled")
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				ctx, cancel := context.WithCancelCause(t.Context())
				time.AfterFunc(tt.after, func() { cancel(cause) })
				if tt.after == 0 {
					<-ctx.Done()
				}
				sent, seen := script(tt.step), new(observer)
				client := newTestClient(t, sent, seen.option(), courier.WithRetryWait(30*time.Second, 30*time.Second), courier.WithTimeout(15*time.Second))
				resp, err := merge(ctx, client)
				wantElapsed(t, start, tt.after)
				if resp != nil || !tt.is(err) {
					t.Errorf("%v, %T %v is not what the last attempt came to", resp, err, err)
				}
				if !errors.Is(err, context.Canceled) || strings.Count(err.Error(), context.Canceled.Error()) != 1 {
					t.Errorf("%v does not say that the context was canceled", err)
				}
				if matches[*courier.NotFoundError](err) || errors.Is(err, cause) || strings.Contains(err.Error(), "another call") {
					t.Errorf("%v has the cause of the context", err)
				}
				if n := sent.requests(); n != tt.attempts || len(seen.attempts) != n || n > 0 && attemptsOf(t, nil, err) != n {
					t.Errorf("%d requests, %d reported, want %d: %v", n, len(seen.attempts), tt.attempts, err)
				}
			})
		})
	}
}

// TestWithTimeout: the timeout is that of each attempt, up to the last byte, and the
// http.Client's is its upper bound.
func TestWithTimeout(t *testing.T) {
	t.Parallel()
	const second = time.Second
	with := courier.WithTimeout
	for _, tt := range []struct {
		name       string
		httpClient time.Duration
		opts       []courier.Option
		want       time.Duration // of an attempt
	}{
		{"default", 0, nil, 30 * second},
		{"own, http.Client longer", 2 * time.Hour, []courier.Option{with(time.Hour)}, time.Hour},
		{"the last counts", 0, []courier.Option{with(7 * second), with(3 * second)}, 3 * second},
		{"http.Client shorter", 2 * second, []courier.Option{with(5 * second)}, 2 * second},
		{"http.Client alone", 3 * second, []courier.Option{with(0)}, 3 * second},
		{"none", 0, []courier.Option{with(0)}, 1000 * time.Hour},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				ctx, cancel := context.WithTimeout(t.Context(), 1000*time.Hour)
				defer cancel()
				sent, seen := script(hang, hangInBody(200)), new(observer)
				opts := append([]courier.Option{
					courier.WithHTTPClient(&http.Client{Transport: sent, Timeout: tt.httpClient}),
					courier.WithRetryWait(second, second), courier.WithMaxRetries(1), seen.option(),
				}, tt.opts...)
				resp, err := merge(ctx, newTestClient(t, nil, opts...))
				want, elapsed := 2, 2*tt.want+second
				if tt.name == "none" {
					want, elapsed = 1, tt.want
				}
				wantElapsed(t, start, elapsed)
				wantAttempts(t, want, sent, seen, resp, err)
				if !matches[*courier.ConnectionError](err) || !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("%T %v, want a ConnectionError that matches DeadlineExceeded", err, err)
				}
				for _, a := range seen.attempts {
					if a.Duration != tt.want {
						t.Errorf("attempt %d took %v, want %v", a.Number, a.Duration, tt.want)
					}
				}
			})
		})
	}
}

func TestWithMaxRetries(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for retries, opts := range map[int][]courier.Option{
			3: nil, 0: {courier.WithMaxRetries(0)}, 1: {courier.WithMaxRetries(7), courier.WithMaxRetries(1)}, 10: {courier.WithMaxRetries(10)},
		} {
			sent, seen := script(respond(503), httpmock.NewErrorResponder(errReset), hang), new(observer)
			resp, err := merge(t.Context(), newTestClient(t, sent, append(opts, seen.option())...))
			wantAttempts(t, retries+1, sent, seen, resp, err)
		}
	})
}

// TestWithRetryWait compares the waits that the observer gets with their bounds,
// and with the time that goes by.
func TestWithRetryWait(t *testing.T) {
	t.Parallel()
	const second = time.Second
	for _, tt := range []struct {
		name string
		opts []courier.Option
		low  time.Duration
		high []time.Duration // of wait 1, 2, …
	}{
		{"default", []courier.Option{courier.WithMaxRetries(6)}, second / 2, []time.Duration{second, 2 * second, 4 * second, 8 * second, 8 * second, 8 * second}},
		{"own", []courier.Option{courier.WithRetryWait(10*second, 15*second)}, 10 * second, []time.Duration{15 * second, 15 * second, 15 * second}},
		{"none", []courier.Option{courier.WithRetryWait(0, second)}, 0, []time.Duration{0, 0, 0}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				for range 20 {
					start := time.Now()
					sent, seen := script(respond(500), httpmock.NewErrorResponder(errReset), respond(503)), new(observer)
					resp, err := merge(t.Context(), newTestClient(t, sent, append(tt.opts, seen.option())...))
					if wantAttempts(t, len(tt.high)+1, sent, seen, resp, err); t.Failed() {
						t.FailNow()
					}
					var total time.Duration
					for i, high := range tt.high {
						wait := seen.attempts[i].Wait
						if total += wait; wait < tt.low || wait > high {
							t.Errorf("wait %d is %v, want %v to %v", i+1, wait, tt.low, high)
						}
					}
					wantElapsed(t, start, total)
				}
			})
		})
	}
}

// TestRetryAfter: the wait that a 429 or 503 asks for is a lower bound, up to
// WithMaxRetryAfter.
func TestRetryAfter(t *testing.T) {
	t.Parallel()
	const second = time.Second
	longest := courier.WithMaxRetryAfter
	for _, tt := range []struct {
		status    int
		header    string // a duration from now is sent as a date
		opts      []courier.Option
		low, high time.Duration // of the wait; 0 if the response is returned at once
		asked     time.Duration
	}{
		{429, "7", nil, 7 * second, 7500 * time.Millisecond, 7 * second},
		{429, "7s", nil, 7 * second, 7500 * time.Millisecond, 7 * second},
		{500, "7", nil, second / 2, second, 0},
		{503, "soon", nil, second / 2, second, 0},
		{429, "60", nil, 60 * second, 61 * second, 60 * second},
		{429, "60.5", nil, 0, 0, 60500 * time.Millisecond},
		{503, "86400", nil, 0, 0, 0},
		{429, "86400", []courier.Option{longest(24 * time.Hour)}, 24 * time.Hour, 24*time.Hour + second, 24 * time.Hour},
		{429, "1", []courier.Option{longest(0)}, 0, 0, second},
	} {
		t.Run(fmt.Sprint(tt.status, " ", tt.header), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				start, header := time.Now(), tt.header
				if in, err := time.ParseDuration(header); err == nil && in > 0 {
					header = start.Add(in).UTC().Format(http.TimeFormat)
				}
				sent, seen := script(respond(tt.status, "Retry-After", header), respond(200)), new(observer)
				resp, err := merge(t.Context(), newTestClient(t, sent, append(tt.opts, seen.option())...))
				want := 2
				if tt.high == 0 {
					want = 1
				}
				wantAttempts(t, want, sent, seen, resp, err)
				first := seen.attempts[0]
				if first.Wait < tt.low || first.Wait > tt.high {
					t.Errorf("the wait is %v, want %v to %v", first.Wait, tt.low, tt.high)
				}
				wantElapsed(t, start, first.Wait)
				var limited *courier.RateLimitError
				if errors.As(first.Err, &limited) != (tt.status == 429) || limited != nil && limited.RetryAfter != tt.asked {
					t.Errorf("the error is %v with %+v, want RetryAfter %v", first.Err, limited, tt.asked)
				}
			})
		})
	}
}

// TestRetryBudget: an outage costs a client 500 retries.
func TestRetryBudget(t *testing.T) {
	t.Parallel()
	for range 2 { // clients have budgets of their own
		sent := script(respond(503))
		client := newTestClient(t, sent, courier.WithRetryWait(0, 0))
		for range 200 {
			_, _ = merge(t.Context(), client)
		}
		if n := sent.requests(); n != 700 {
			t.Errorf("200 calls in an outage made %d attempts, want 700", n)
		}
	}
}
