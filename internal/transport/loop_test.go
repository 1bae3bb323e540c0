package transport_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/courier-profiles/courier-go/internal/transport"
)

// TestRetryStatus is the retry table of every status.
func TestRetryStatus(t *testing.T) {
	t.Parallel()
	retried := map[string][]int{
		"Idempotent":        {408, 409, 429, 500, 502, 503, 504},
		"IdempotentWithKey": {408, 409, 429, 502, 503, 504},
		"NotIdempotent":     {429, 503},
	}
	for _, p := range policies {
		for status := 100; status < 600; status++ {
			f := script(respond(status))
			tr := newTransport(f)
			tr.MinWait, tr.MaxWait = 0, 0
			r := newRequest(t, baseURL)
			r.Policy = p.policy
			resp := tr.Do(t.Context(), r)
			want := 1
			if slices.Contains(retried[p.name], status) {
				want = 4
			}
			if f.requests() != want || resp.Attempts != want || resp.Status != status || resp.Err != nil || resp.Ended != nil {
				t.Errorf("%s: %d was sent %d times, want %d: %+v", p.name, status, f.requests(), want, resp)
			}
			f.wantAllClosed(t)
		}
	}
}

func TestRetryThenSuccess(t *testing.T) {
	t.Parallel()
	failures := map[string]step{
		"503": respond(503), "409": respond(409), "error": fail(errBroken),
		"body cut off": respondWith(200, cutOff(io.ErrUnexpectedEOF)), "nothing": func(*http.Request) (*http.Response, error) { return nil, nil },
	}
	for _, name := range slices.Sorted(maps.Keys(failures)) {
		for failed := range 4 {
			t.Run(fmt.Sprint(failed, " times ", name), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					steps := append(slices.Repeat([]step{failures[name]}, failed), respond(200))
					f := script(steps...)
					r := newRequest(t, baseURL)
					attempts := observe(r)
					start := time.Now()
					resp := newTransport(f).Do(t.Context(), r)
					want := transport.Response{
						Status: 200, Header: http.Header{"Content-Type": {"application/json"}},
						Body: []byte(bodyText), Attempts: failed + 1,
					}
					if diff := cmp.Diff(want, resp); diff != "" {
						t.Errorf("-want +got:\n%s", diff)
					}
					f.wantAllClosed(t)
					var waited time.Duration
					for i, a := range *attempts {
						if last := i == failed; a.Attempts != i+1 || a.Retry == last || (a.Wait == 0) != last || !a.Started.Equal(f.at[i]) {
							t.Errorf("attempt %d: %+v", i+1, a)
						}
						if low, high := 500*time.Millisecond, time.Second<<i; a.Retry && (a.Wait < low || a.Wait > high) {
							t.Errorf("wait %d is %v, want %v to %v", i+1, a.Wait, low, high)
						}
						waited += a.Wait
					}
					if len(*attempts) != failed+1 {
						t.Errorf("After was called %d times, want %d", len(*attempts), failed+1)
					}
					wantElapsed(t, start, waited)
				})
			})
		}
	}
}

func TestMaxRetries(t *testing.T) {
	t.Parallel()
	for _, retries := range []int{0, 1, 2, 10} {
		for name, s := range map[string]step{"503": respond(503), "error": fail(errBroken)} {
			f := script(s)
			tr := newTransport(f)
			tr.MaxRetries, tr.MinWait, tr.MaxWait = retries, 0, 0
			r := newRequest(t, baseURL)
			attempts := observe(r)
			resp := tr.Do(t.Context(), r)
			if f.requests() != retries+1 || resp.Attempts != retries+1 || len(*attempts) != retries+1 {
				t.Errorf("%s, %d retries: %d requests, %+v", name, retries, f.requests(), resp)
			}
			if last := (*attempts)[retries]; last.Retry || last.Wait != 0 {
				t.Errorf("%s, %d retries: the last attempt is %+v", name, retries, last)
			}
		}
	}
}

// TestSameRequest: every attempt sends the same, whatever a RoundTripper did to the
// request before.
func TestSameRequest(t *testing.T) {
	t.Parallel()
	f := script(respond(503))
	tr := newTransport(step(func(req *http.Request) (*http.Response, error) {
		req.URL.Path = "/gw" + req.URL.Path
		req.URL.RawQuery += "&gw"
		req.Header.Add("X-Gateway", "1")
		req.Header["Content-Type"][0] += "; edited"
		req.Host += ".gw"
		return f.RoundTrip(req)
	}))
	tr.MinWait, tr.MaxWait = 0, 0
	r := newRequest(t, baseURL)
	r.URL.RawQuery = "a=b"
	resp := tr.Do(t.Context(), r)
	if resp.Attempts != 4 {
		t.Fatalf("%d attempts, want 4", resp.Attempts)
	}
	for i, req := range f.sent {
		if got, want := req.URL.String(), "https://courier.test/gw/base/v1/profiles/user-1?a=b&gw"; got != want {
			t.Errorf("attempt %d went to %s, want %s", i+1, got, want)
		}
		want := http.Header{"Content-Type": {"application/json; edited"}, "X-Gateway": {"1"}}
		if diff := cmp.Diff(want, req.Header); diff != "" {
			t.Errorf("attempt %d, headers -want +got:\n%s", i+1, diff)
		}
		if req.Host != "courier.test.gw" || f.bodies[i] != `{"profile":{}}` || req.ContentLength != 14 || req.Method != http.MethodPost {
			t.Errorf("attempt %d: %s %s, %d bytes: %s", i+1, req.Method, req.Host, req.ContentLength, f.bodies[i])
		}
		body, err := req.GetBody()
		if text, _ := io.ReadAll(body); err != nil || string(text) != `{"profile":{}}` {
			t.Errorf("attempt %d: GetBody returns %s, %v", i+1, text, err)
		}
	}
	if diff := cmp.Diff(newRequest(t, baseURL).Header, r.Header); diff != "" || r.URL.Path != "/base/v1/profiles/user-1" {
		t.Errorf("the caller's request was changed: %s %s", r.URL, diff)
	}
}

// hiddenDeadline is a context that does not tell its deadline.
type hiddenDeadline struct{ context.Context }

func (hiddenDeadline) Deadline() (time.Time, bool) { return time.Time{}, false }

var errSibling = errors.New("a sibling of this call got a 404")

// ends are the ways in which a context ends after d.
var ends = []struct {
	name string
	with func(ctx context.Context, d time.Duration) context.Context
	err  error
}{
	{"canceled", func(ctx context.Context, d time.Duration) context.Context {
		ctx, cancel := context.WithCancel(ctx)
		time.AfterFunc(d, cancel)
		return ctx
	}, context.Canceled},
	{"canceled with a cause", func(ctx context.Context, d time.Duration) context.Context {
		ctx, cancel := context.WithCancelCause(ctx)
		time.AfterFunc(d, func() { cancel(errSibling) })
		return ctx
	}, context.Canceled},
	{"deadline with a cause", func(ctx context.Context, d time.Duration) context.Context {
		ctx, cancel := context.WithTimeoutCause(ctx, d, errSibling)
		context.AfterFunc(ctx, cancel)
		return hiddenDeadline{ctx}
	}, context.DeadlineExceeded},
}

// wantOnly fails unless what is left of a call that its context ended matches the
// context's error, and nothing of its cause.
func wantOnly(t *testing.T, resp transport.Response, want error) {
	t.Helper()
	if err := errors.Join(resp.Err, resp.Ended); !errors.Is(err, want) || errors.Is(err, errSibling) || strings.Contains(err.Error(), errSibling.Error()) {
		t.Errorf("error %v, ended %v; want %v only", resp.Err, resp.Ended, want)
	}
}

// TestContextEnds ends the context after 10 s, in every phase of a call.
func TestContextEnds(t *testing.T) {
	t.Parallel()
	phases := []struct {
		name     string
		steps    []step
		before   func(context.Context) error
		attempts int
		status   int
		err      bool // whether Err is the context's, too
	}{
		{"waiting for the header", []step{hang}, nil, 1, 0, true},
		{"reading a 200", []step{respondWith(200, hanging)}, nil, 1, 0, true},
		{"reading a 404", []step{respondWith(404, hanging)}, nil, 1, 404, false},
		{"reading a 503", []step{respondWith(503, hanging)}, nil, 1, 503, false},
		{"in the wait after a 429", []step{respond(429, "Retry-After", "50")}, nil, 1, 429, false},
		{"in the wait after an error", []step{slow(9800*time.Millisecond, fail(errBroken))}, nil, 1, 0, false},
		{"in the second attempt", []step{respond(503), hang}, nil, 2, 0, true},
		{"in Before", []step{respond(200)}, func(ctx context.Context) error {
			<-ctx.Done()
			return context.Cause(ctx)
		}, 0, 0, false},
		{"in Before, which does not tell", []step{respond(200)}, func(ctx context.Context) error {
			<-ctx.Done()
			return nil
		}, 0, 0, false},
	}
	for _, end := range ends {
		for _, tt := range phases {
			t.Run(end.name+" "+tt.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					start := time.Now()
					f := script(tt.steps...)
					tr := newTransport(f)
					r := newRequest(t, baseURL)
					r.Before = tt.before
					attempts := observe(r)
					resp := tr.Do(end.with(t.Context(), 10*time.Second), r)
					wantElapsed(t, start, 10*time.Second)
					wantOnly(t, resp, end.err)
					if resp.Status != tt.status || resp.Attempts != tt.attempts || f.requests() != tt.attempts || len(*attempts) != tt.attempts {
						t.Errorf("status %d after %d attempts, %d requests, %d calls of After", resp.Status, resp.Attempts, f.requests(), len(*attempts))
					}
					if resp.Ended != end.err {
						t.Errorf("Ended is %v, want %v", resp.Ended, end.err)
					}
					if (resp.Err == end.err) != tt.err {
						t.Errorf("Err is %v", resp.Err)
					}
					if strings.HasSuffix(tt.name, "after an error") && resp.Err != errBroken {
						t.Errorf("Err is %v, want the reason of the retry", resp.Err)
					}
					for i, a := range *attempts {
						if a.Retry && (a.Err != nil && a.Err != errBroken || a.Ended != nil) {
							t.Errorf("attempt %d already reports the end of the context: %+v", i+1, a)
						}
					}
					f.wantAllClosed(t)
					if n := drain(tr.Budget); n != 500-max(0, tt.attempts-1)+notRetryable(tt.status, tt.attempts) {
						t.Errorf("%d retries are left in the budget", n)
					}
				})
			})
		}
	}
}

// notRetryable is what a call with that status gives back to a budget that it took from.
func notRetryable(status, attempts int) int {
	if status == 404 && attempts > 1 {
		return 1
	}
	return 0
}

// TestContextHasEnded: nothing is sent.
func TestContextHasEnded(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errSibling)
	for _, before := range []func(context.Context) error{nil, func(context.Context) error { return errBroken }} {
		f := script(respond(200))
		tr := newTransport(f)
		r := newRequest(t, baseURL)
		r.Before = before
		attempts := observe(r)
		want := transport.Response{Ended: context.Canceled}
		if resp := tr.Do(ctx, r); resp.Ended != want.Ended || resp.Attempts != 0 || resp.Err != nil || resp.Status != 0 {
			t.Errorf("%+v, want %+v", resp, want)
		}
		if f.requests() != 0 || len(*attempts) != 0 {
			t.Errorf("%d requests were sent, %d reported", f.requests(), len(*attempts))
		}
	}
}

// TestContextEndsWithTheWait has both end at the same instant.
func TestContextEndsWithTheWait(t *testing.T) {
	t.Parallel()
	for range 100 {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(t.Context())
			f := script(respond(503))
			tr := newTransport(f)
			tr.MinWait, tr.MaxWait = time.Second, time.Second
			r := newRequest(t, baseURL)
			attempts := observe(r)
			time.AfterFunc(time.Second, func() { cancel(errSibling) })
			resp := tr.Do(ctx, r)
			wantOnly(t, resp, context.Canceled)
			if n := f.requests(); resp.Status != 503 || resp.Attempts != n || len(*attempts) != n || n > 2 {
				t.Errorf("%d requests, %d reports, %+v", n, len(*attempts), resp)
			}
			if left := drain(tr.Budget); left != 501-f.requests() {
				t.Errorf("%d retries are left in the budget after %d requests", left, f.requests())
			}
		})
	}
}

// TestCompleteResponseWins: a final response that is complete is not spoiled by a
// context that ends at the same time.
func TestCompleteResponseWins(t *testing.T) {
	t.Parallel()
	for _, status := range []int{200, 404} {
		ctx, cancel := context.WithCancelCause(t.Context())
		resp := newTransport(step(func(req *http.Request) (*http.Response, error) {
			cancel(errSibling)
			return respond(status)(req)
		})).Do(ctx, newRequest(t, baseURL))
		if resp.Status != status || resp.Err != nil || resp.Ended != nil || string(resp.Body) != bodyText {
			t.Errorf("%d became %+v", status, resp)
		}
	}
}

// TestCancelInAfter: an observer that cancels stops the retries.
func TestCancelInAfter(t *testing.T) {
	t.Parallel()
	for range 20 {
		ctx, cancel := context.WithCancel(t.Context())
		f := script(respond(503))
		tr := newTransport(f)
		tr.MinWait, tr.MaxWait = 0, 0
		r := newRequest(t, baseURL)
		r.After = func(transport.Attempt) { cancel() }
		if resp := tr.Do(ctx, r); f.requests() != 1 || resp.Status != 503 || resp.Ended != context.Canceled {
			t.Errorf("%d requests, %+v", f.requests(), resp)
		}
		if n := drain(tr.Budget); n != 500 {
			t.Errorf("%d retries are left in the budget", n)
		}
	}
}

// TestDeadline: a wait that the context would not outlive is not begun.
func TestDeadline(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		step     step
		deadline time.Duration
		attempts int
		elapsed  time.Duration
	}{
		{"wait too long", respond(500), 5 * time.Second, 1, 0},
		{"wait as long", respond(500), 6 * time.Second, 1, 0},
		{"wait shorter", respond(500), 7 * time.Second, 2, 6 * time.Second},
		{"Retry-After too long", respond(429, "Retry-After", "30"), 29 * time.Second, 1, 0},
		{"Retry-After shorter", respond(503, "Retry-After", "30"), 37 * time.Second, 2, -1},
		{"after an error", fail(errBroken), 5 * time.Second, 1, 0},
		{"after two errors", fail(errBroken), 8 * time.Second, 2, 6 * time.Second},
		{"after a slow response", slow(3*time.Second, respond(500)), 8 * time.Second, 1, 3 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), tt.deadline)
				defer cancel()
				tr := newTransport(script(tt.step))
				tr.MinWait, tr.MaxWait = 6*time.Second, 6*time.Second
				start := time.Now()
				resp := tr.Do(ctx, newRequest(t, baseURL))
				if tt.elapsed >= 0 {
					wantElapsed(t, start, tt.elapsed)
				}
				if resp.Attempts != tt.attempts || resp.Ended != nil || errors.Is(resp.Err, context.DeadlineExceeded) || resp.Err == nil && resp.Status == 0 {
					t.Errorf("%+v, want the outcome of attempt %d", resp, tt.attempts)
				}
				if n := drain(tr.Budget); n != 501-tt.attempts {
					t.Errorf("%d retries are left in the budget", n)
				}
			})
		})
	}
}

// TestAttemptContext: the end of the call's own context leaves an attempt alone and ends
// what lies between attempts, with its cause.
func TestAttemptContext(t *testing.T) {
	t.Parallel()
	stop := errors.New("the run has stopped")
	start := func(t *testing.T) (parent, ctx context.Context, cancel context.CancelCauseFunc) {
		parent, cancel = context.WithCancelCause(t.Context())
		ctx, end := context.WithCancelCause(parent)
		time.AfterFunc(10*time.Second, func() { end(stop) })
		return parent, ctx, cancel
	}
	for _, tt := range []struct {
		name   string
		steps  []step
		before func(context.Context) error
		cancel time.Duration // of the parent
		want   transport.Response
		ended  time.Duration
	}{
		{"in an attempt that succeeds", []step{slow(20*time.Second, respond(200))}, nil, 0, transport.Response{Status: 200, Attempts: 1}, 20 * time.Second},
		{"in an attempt that could be retried", []step{slow(20*time.Second, respond(503))}, nil, 0, transport.Response{Status: 503, Attempts: 1, Ended: stop}, 20 * time.Second},
		{"in an attempt that fails", []step{slow(20*time.Second, fail(errBroken))}, nil, 0, transport.Response{Err: errBroken, Attempts: 1, Ended: stop}, 20 * time.Second},
		{"in an attempt that times out", []step{hang}, nil, 0, transport.Response{Err: context.DeadlineExceeded, Attempts: 1, Ended: stop}, 30 * time.Second},
		{"in a wait", []step{respond(429, "Retry-After", "50")}, nil, 0, transport.Response{Status: 429, Attempts: 1, Ended: stop, RetryAfter: 50 * time.Second}, 10 * time.Second},
		{"in Before", []step{respond(200)}, func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }, 0, transport.Response{Ended: stop}, 10 * time.Second},
		{"after the parent, in an attempt", []step{hang}, nil, 5 * time.Second, transport.Response{Err: context.Canceled, Attempts: 1, Ended: context.Canceled}, 5 * time.Second},
		{"after the parent, in a wait", []step{respond(429, "Retry-After", "50")}, nil, 5 * time.Second, transport.Response{Status: 429, Attempts: 1, Ended: context.Canceled, RetryAfter: 50 * time.Second}, 5 * time.Second},
		{"before the parent", []step{hang}, nil, 15 * time.Second, transport.Response{Err: context.Canceled, Attempts: 1, Ended: context.Canceled}, 15 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				parent, ctx, cancel := start(t)
				if tt.cancel > 0 {
					time.AfterFunc(tt.cancel, func() { cancel(errSibling) })
				}
				r := newRequest(t, baseURL)
				r.AttemptContext, r.Before = parent, tt.before
				began := time.Now()
				resp := newTransport(script(tt.steps...)).Do(ctx, r)
				wantElapsed(t, began, tt.ended)
				resp.Header, resp.Body = nil, nil
				if diff := cmp.Diff(tt.want, resp, cmp.Comparer(func(a, b error) bool { return a == b })); diff != "" {
					t.Errorf("-want +got:\n%s", diff)
				}
				if r.AttemptContext != parent {
					t.Error("the request was changed")
				}
			})
		})
	}
}

func TestBefore(t *testing.T) {
	t.Parallel()
	limited := errors.New("the limiter refuses")
	for allowed := range 3 {
		synctest.Test(t, func(t *testing.T) {
			f := script(respond(503))
			tr := newTransport(f)
			tr.MinWait, tr.MaxWait = 0, 0
			drainTo(tr.Budget, 10)
			r := newRequest(t, baseURL)
			calls := 0
			r.Before = func(ctx context.Context) error {
				time.Sleep(time.Minute) // counts against no attempt
				if calls++; calls > allowed {
					return limited
				}
				return nil
			}
			attempts := observe(r)
			resp := tr.Do(t.Context(), r)
			if resp.Attempts != allowed || f.requests() != allowed || len(*attempts) != allowed || resp.Ended != limited || resp.Err != nil {
				t.Errorf("%d requests, want %d; %+v", f.requests(), allowed, resp)
			}
			if (resp.Status == 503) != (allowed > 0) {
				t.Errorf("status %d after %d attempts", resp.Status, allowed)
			}
			if n := drain(tr.Budget); n != 10-max(0, allowed-1) {
				t.Errorf("%d retries are left in the budget", n)
			}
		})
	}
}

// drainTo takes from a budget until n are left.
func drainTo(b *transport.Budget, n int) {
	drain(b)
	for range n {
		b.Give()
	}
}

// TestBudgetOfCall is what a call takes from the budget and gives back to it.
func TestBudgetOfCall(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		policy transport.Policy
		steps  []step
		change int
	}{
		{"200", transport.Idempotent, []step{respond(200)}, +1},
		{"301", transport.Idempotent, []step{respond(301)}, +1},
		{"404", transport.Idempotent, []step{respond(404)}, +1},
		{"501", transport.Idempotent, []step{respond(501)}, +1},
		{"404 cut off", transport.Idempotent, []step{respondWith(404, cutOff(io.ErrUnexpectedEOF))}, +1},
		{"200 after one retry", transport.Idempotent, []step{respond(503), respond(200)}, 0},
		{"200 after two retries", transport.Idempotent, []step{respond(503), fail(errBroken), respond(200)}, -1},
		{"503", transport.Idempotent, []step{respond(503)}, -3},
		{"error", transport.Idempotent, []step{fail(errBroken)}, -3},
		{"200 cut off", transport.Idempotent, []step{respondWith(200, cutOff(io.ErrUnexpectedEOF))}, -3},
		{"error that is not retried", transport.NotIdempotent, []step{fail(errBroken)}, 0},
		{"500 that is not retried", transport.NotIdempotent, []step{respond(500)}, 0},
		{"500 with a key", transport.IdempotentWithKey, []step{respond(500)}, 0},
		{"Retry-After too long", transport.Idempotent, []step{respond(429, "Retry-After", "86400")}, 0},
		{"Retry-After too long after a retry", transport.Idempotent, []step{respond(503), respond(429, "Retry-After", "86400")}, -1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tr := newTransport(script(tt.steps...))
			tr.MinWait, tr.MaxWait = 0, 0
			drainTo(tr.Budget, 10)
			r := newRequest(t, baseURL)
			r.Policy = tt.policy
			tr.Do(t.Context(), r)
			if n := drain(tr.Budget); n != 10+tt.change {
				t.Errorf("it changes the budget by %d, want %d", n-10, tt.change)
			}
		})
	}
}

// TestBudgetInOutage: an outage costs the reserve and no more.
func TestBudgetInOutage(t *testing.T) {
	t.Parallel()
	for _, parallel := range []int{1, 50} {
		f := script(respond(503))
		tr := newTransport(f)
		tr.MinWait, tr.MaxWait = 0, 0
		var wg sync.WaitGroup
		for range parallel {
			wg.Go(func() {
				for range 2000 / parallel {
					tr.Do(t.Context(), newRequest(t, baseURL))
				}
			})
		}
		wg.Wait()
		if n := f.requests(); n != 2500 {
			t.Errorf("2,000 calls in an outage, %d at a time, sent %d requests, want 2,500", parallel, n)
		}
	}
}

// TestEmptyBudget: no retry, and no wait for one.
func TestEmptyBudget(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tr := newTransport(script(respond(503)))
		drain(tr.Budget)
		r := newRequest(t, baseURL)
		attempts := observe(r)
		start := time.Now()
		resp := tr.Do(t.Context(), r)
		wantElapsed(t, start, 0)
		if resp.Attempts != 1 || resp.Status != 503 || (*attempts)[0].Retry || (*attempts)[0].Wait != 0 {
			t.Errorf("%+v, reported as %+v", resp, (*attempts)[0])
		}
	})
}

// TestPanic: a panic of the caller's code reaches the caller, and the budget is right.
func TestPanic(t *testing.T) {
	t.Parallel()
	boom := func(*http.Request) (*http.Response, error) { panic("boom") }
	for _, tt := range []struct {
		name  string
		steps []step
		set   func(*transport.Request)
		left  int
	}{
		{"RoundTrip", []step{boom}, func(*transport.Request) {}, 10},
		{"RoundTrip of a retry", []step{respond(503), boom}, func(*transport.Request) {}, 9},
		{"body", []step{respondWith(200, func(*http.Request) io.Reader { return reader(func([]byte) (int, error) { panic("boom") }) })}, func(*transport.Request) {}, 10},
		{"Before", []step{respond(200)}, func(r *transport.Request) { r.Before = func(context.Context) error { panic("boom") } }, 10},
		{"After", []step{respond(503)}, func(r *transport.Request) { r.After = func(transport.Attempt) { panic("boom") } }, 10},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := script(tt.steps...)
			tr := newTransport(f)
			tr.MinWait, tr.MaxWait = 0, 0
			drainTo(tr.Budget, 10)
			r := newRequest(t, baseURL)
			tt.set(r)
			func() {
				defer func() {
					if p := recover(); p != "boom" {
						t.Errorf("recovered %v", p)
					}
				}()
				tr.Do(t.Context(), r)
			}()
			f.wantAllClosed(t)
			if n := drain(tr.Budget); n != tt.left {
				t.Errorf("%d retries are left in the budget, want %d", n, tt.left)
			}
		})
	}
}

// closer counts the calls of CloseIdleConnections.
type closer struct {
	*fake
	calls int
}

func (c *closer) CloseIdleConnections() { c.calls++ }

// TestQuiet: what go-retryablehttp does by itself on every failure must not happen.
func TestQuiet(t *testing.T) {
	var output bytes.Buffer
	defer log.SetOutput(log.Writer())
	log.SetOutput(&output)
	synctest.Test(t, func(t *testing.T) {
		for name, s := range map[string]step{
			"error": fail(errBroken), "503": respond(503), "404": respond(404), "canceled": respond(429, "Retry-After", "40"),
			"both": func(req *http.Request) (*http.Response, error) {
				resp, _ := respond(200)(req)
				return resp, errBroken
			},
		} {
			c := &closer{fake: script(s)}
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(20*time.Second, cancel)
			newTransport(c).Do(ctx, newRequest(t, baseURL))
			cancel()
			if c.calls != 0 {
				t.Errorf("%s: the connections were closed %d times", name, c.calls)
			}
			c.wantAllClosed(t)
		}
	})
	if output.Len() > 0 {
		t.Errorf("it was logged:\n%s", &output)
	}
}

// TestNoGoroutine: a call that waits for its retry has no goroutine of its own.
func TestNoGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before := goroutinesInBubbles()
		go newTransport(script(respond(503))).Do(t.Context(), newRequest(t, baseURL))
		synctest.Wait()
		if n := goroutinesInBubbles() - before; n != 1 {
			t.Errorf("a call runs on %d goroutines", n)
		}
	})
}

// goroutinesInBubbles counts this test's goroutines, as long as no other test runs.
func goroutinesInBubbles() int {
	stacks := make([]byte, 1<<20)
	return bytes.Count(stacks[:runtime.Stack(stacks, true)], []byte("synctest bubble"))
}

// TestShared has many calls share a Transport and meet a bit of everything.
func TestShared(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		steps := []step{
			respond(200), respond(204), respond(404), respond(302, "Location", "/elsewhere"), respond(429, "Retry-After", "0"), respond(500),
			respond(503), respond(429, "Retry-After", "3600"), fail(errBroken), respondWith(200, cutOff(io.ErrUnexpectedEOF)), hang,
		}
		f := script(respond(200))
		var mu sync.Mutex
		n := 0
		tr := newTransport(step(func(req *http.Request) (*http.Response, error) {
			mu.Lock()
			n++
			s := steps[n%len(steps)]
			mu.Unlock()
			if _, err := f.RoundTrip(req); err != nil {
				return nil, err
			}
			return s(req)
		}))
		shared := newRequest(t, baseURL)
		var wg sync.WaitGroup
		attempts := make([]int, 64)
		for i := range attempts {
			wg.Go(func() {
				for range 20 {
					r := *shared
					reported := observe(&r)
					resp := tr.Do(t.Context(), &r)
					if len(*reported) != resp.Attempts || (resp.Err == nil) == (resp.Status == 0) {
						t.Errorf("%d attempts were reported: %+v", len(*reported), resp)
					}
					attempts[i] += resp.Attempts
				}
			})
		}
		wg.Wait()
		sum := 0
		for _, a := range attempts {
			sum += a
		}
		if sum != f.requests() {
			t.Errorf("%d attempts were reported, %d requests sent", sum, f.requests())
		}
	})
}
