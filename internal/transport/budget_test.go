package transport_test

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jarcoal/httpmock"

	"github.com/courier-profiles/courier-go/internal/transport"
)

// reserve is how many retries a full budget holds.
const reserve = 500

func TestBudget(t *testing.T) {
	t.Parallel()
	for deposits, want := range map[int]int{0: 0, 1: 1, 7: 7, reserve: reserve, 10_000: reserve} {
		var budget transport.Budget
		if got := withdrawAll(&budget); got != reserve {
			t.Errorf("a new budget holds %d retries, want %d", got, reserve)
		}
		for range deposits {
			budget.Deposit()
		}
		if got := withdrawAll(&budget); got != want {
			t.Errorf("after %d deposits it holds %d retries, want %d", deposits, got, want)
		}
	}
}

func withdrawAll(budget *transport.Budget) (retries int) {
	for budget.Withdraw() {
		retries++
	}
	return retries
}

// TestBudgetOfCall is about what a call withdraws and deposits.
func TestBudgetOfCall(t *testing.T) {
	t.Parallel()
	tooLong := respond(429, "Retry-After", "86400")
	type script = []httpmock.Responder
	for _, tt := range []struct {
		name   string
		policy transport.Policy
		script script
		change int
	}{
		{"200", transport.Idempotent, script{respond(200)}, +1},
		{"301", transport.Idempotent, script{respond(301)}, +1},
		{"404", transport.Idempotent, script{respond(404)}, +1},
		{"404, cut off", transport.Idempotent, script{cutOff(404)}, +1},
		{"501", transport.Idempotent, script{respond(501)}, +1},
		{"200 after 1", transport.Idempotent, script{respond(503), respond(200)}, 0},
		{"200 after 2", transport.Idempotent, script{respond(503), cutOff(200), respond(200)}, -1},
		{"404 after 2", transport.Idempotent, script{respond(503), respond(503), respond(404)}, -1},
		{"503", transport.Idempotent, script{respond(503)}, -3},
		{"error", transport.Idempotent, script{fail(errBroken)}, -3},
		{"200, cut off", transport.Idempotent, script{cutOff(200)}, -3},
		{"Retry-After too long", transport.Idempotent, script{tooLong}, 0},

		// The policy alone forbids the retry, which does not show that the server is healthy.
		{"error of Patch", transport.NotIdempotent, script{fail(errBroken)}, 0},
		{"500 of Patch", transport.NotIdempotent, script{respond(500)}, 0},
		{"500 with a key", transport.IdempotentWithKey, script{respond(500)}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := newFake(tt.script...)
			tr, left := newUsedTransport(t, f)
			r := newRequest(t, baseURL)
			r.Policy = tt.policy
			tr.Do(t.Context(), r)
			wantRetriesLeft(t, tr, f, left+tt.change)
		})
	}
}

// newUsedTransport returns a transport that has withdrawn some retries, and how many are
// left, so that a deposit can be seen. The script of f begins with the next call.
func newUsedTransport(t *testing.T, f *fake) (tr *transport.Transport, left int) {
	t.Helper()
	script := f.responders
	f.play(respond(503))
	tr = newTransport(f)
	wantAttempts(t, tr.Do(t.Context(), newRequest(t, baseURL)), 4)
	f.play(script...)
	return tr, reserve - 3
}

// wantRetriesLeft makes calls in an outage until they are not retried.
func wantRetriesLeft(t *testing.T, tr *transport.Transport, f *fake, want int) {
	t.Helper()
	f.play(respond(503))
	got, retries := 0, 3
	for retries == 3 {
		retries = tr.Do(t.Context(), newRequest(t, baseURL)).Number - 1
		got += retries
	}
	if got != want {
		t.Errorf("%d retries are left in the budget, want %d", got, want)
	}
}

// TestUnusedRetry: a retry that was granted and not made is deposited again, whatever
// prevented it.
func TestUnusedRetry(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		change func(r *transport.Request, cancel func())
	}{
		{"context ends in the wait", func(_ *transport.Request, cancel func()) {
			time.AfterFunc(second, cancel)
		}},
		{"context ends in After", func(r *transport.Request, cancel func()) {
			r.After = func(*transport.Exchange) { cancel() }
		}},
		{"After panics", func(r *transport.Request, _ func()) {
			r.After = func(*transport.Exchange) { panic("boom") }
		}},
		{"Before refuses", func(r *transport.Request, _ func()) {
			calls := 0
			r.Before = func(context.Context) error {
				calls++
				if calls > 1 {
					return errBroken
				}
				return nil
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := newFake(respond(503, "Retry-After", "2"))
				tr, left := newUsedTransport(t, f)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				r := newRequest(t, baseURL)
				tt.change(r, cancel)
				func() {
					defer func() { _ = recover() }()
					tr.Do(ctx, r)
				}()
				wantRetriesLeft(t, tr, f, left)
			})
		})
	}
}

// TestPanickingRetry: a retry that panics was made.
func TestPanickingRetry(t *testing.T) {
	t.Parallel()
	f := newFake(respond(503), func(*http.Request) (*http.Response, error) { panic("boom") })
	tr, left := newUsedTransport(t, f)
	func() {
		defer func() { _ = recover() }()
		tr.Do(t.Context(), newRequest(t, baseURL))
	}()
	wantRetriesLeft(t, tr, f, left-1)
}

// TestOutage: an outage costs the reserve and no more, however many calls are in flight.
func TestOutage(t *testing.T) {
	t.Parallel()
	const calls = 2000
	for _, concurrency := range []int{1, 50} {
		f := newFake(respond(503))
		tr := newTransport(f)
		var wg sync.WaitGroup
		for range concurrency {
			wg.Go(func() {
				for range calls / concurrency {
					tr.Do(t.Context(), newRequest(t, baseURL))
				}
			})
		}
		wg.Wait()
		if got, want := f.sent(), calls+reserve; got != want {
			t.Errorf("%d at a time: sent %d requests, want %d", concurrency, got, want)
		}
	}
}

// TestEmptyBudget: there is no retry, and no wait for one.
func TestEmptyBudget(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFake(respond(503))
		tr := newTransport(f)
		wantRetriesLeft(t, tr, f, reserve)
		f.play(respond(503, "Retry-After", "5"))
		start := time.Now()
		last := tr.Do(t.Context(), newRequest(t, baseURL))
		wantElapsed(t, start, 0)
		wantAttempts(t, last, 1)
		if last.Retry {
			t.Error("the attempt says that there is another one")
		}
		if last.Wait != 0 {
			t.Errorf("the attempt says that it waits %v", last.Wait)
		}
		if !last.Retryable {
			t.Error("an empty budget made the outcome not retryable")
		}
	})
}
