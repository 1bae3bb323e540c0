package courier_test

import (
	"context"
	"fmt"
	"io"
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

// The tests of how a bulk run ends before its input does.

// bulkNothingLater fails if anything is in flight, or is sent later.
func bulkNothingLater(t testing.TB, server *bulkServer) {
	t.Helper()
	server.mu.Lock()
	before, inFlight := len(server.requests), server.inFlight
	server.mu.Unlock()
	time.Sleep(24 * time.Hour)
	if n := len(server.sent()) - before; n != 0 || inFlight != 0 {
		t.Errorf("%d requests were in flight, and %d were sent later", inFlight, n)
	}
}

// TestBulkLeft: attempts in flight finish, for at most the timeout, and nothing else is
// sent, retried or waited for.
func TestBulkLeft(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		in := &bulkInput{n: -1, users: []string{"first", "slow", "fails", "waits", "hangs"}}
		server := bulkByUser(map[string]bulkResponse{
			"first": {after: time.Second},
			"slow":  {after: 10 * time.Second},
			"fails": {after: 5 * time.Second, status: 500},
			"waits": {after: time.Second / 2, status: 503, retryAfter: "30"},
			"hangs": {after: time.Hour},
		})
		var mu sync.Mutex
		attempts := map[time.Duration]string{}
		client := bulkClient(t, server, courier.WithTimeout(20*time.Second), courier.WithObserver(func(_ context.Context, a courier.Attempt) {
			mu.Lock()
			defer mu.Unlock()
			attempts[a.Duration] = fmt.Sprintf("%d, %s, wait: %t", a.StatusCode, bulkKind(a.Err), a.Wait > 0)
		}))
		// The limiter keeps the update that takes the place of the first one.
		for range client.Profiles.MergeAll(t.Context(), in.updates, courier.WithConcurrency(5), courier.WithRateLimiter(bulkLets(5, nil))) {
			synctest.Wait()
			break
		}
		if elapsed := time.Since(server.start); elapsed != 20*time.Second {
			t.Errorf("the loop was left after %v, want 20s", elapsed)
		}
		bulkDiff(t, "attempts", map[time.Duration]string{
			time.Second / 2:  "503, server, wait: true",
			time.Second:      "200, success, wait: false",
			5 * time.Second:  "500, server, wait: false",
			10 * time.Second: "200, success, wait: false",
			20 * time.Second: "0, connection, deadline, wait: false",
		}, attempts)
		bulkDiff(t, "sent to", []string{"fails", "first", "hangs", "slow", "waits"}, slices.Sorted(slices.Values(server.sent())))
		if n := in.pulled.Load(); n != 5*16 {
			t.Errorf("%d updates were pulled, want %d", n, 5*16)
		}
		bulkNothingLater(t, server)
	})
}

// TestBulkContextEnds: every update that was pulled has an outcome, and an error of the
// context, not its cause.
func TestBulkContextEnds(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, want string
		context    func(context.Context) (context.Context, context.CancelFunc)
		waits      string // the outcome of what was waiting for a retry
	}{
		{"canceled", "canceled", func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			time.AfterFunc(time.Second, cancel)
			return ctx, cancel
		}, "server, canceled"},
		{"canceled with a cause", "canceled", func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancelCause(ctx)
			time.AfterFunc(time.Second, func() { cancel(errBulk) })
			return ctx, func() { cancel(nil) }
		}, "server, canceled"},
		{"deadline", "deadline", func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeoutCause(ctx, time.Second, errBulk)
		}, "server"}, // the wait would have outlived the deadline
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				const concurrency = 5
				ctx, cancel := test.context(t.Context())
				defer cancel()
				in := &bulkInput{n: -1, users: []string{"done", "hangs", "deaf", "waits", "fails", "deaf", "hangs"}}
				server := bulkByUser(map[string]bulkResponse{
					"done":  {after: time.Second / 2},
					"deaf":  {after: 3 * time.Second, deaf: true},
					"waits": {after: time.Second / 2, status: 500},
					"fails": {after: 2 * time.Second, status: 500, deaf: true},
				})
				seq := bulkClient(t, server).Profiles.MergeAll(ctx, in.updates, courier.WithConcurrency(concurrency))
				outcomes, notSent := map[int]string{}, "not sent, "+test.want
				for outcome := range seq {
					kind, at := bulkKind(outcome.Err), time.Since(server.start)
					outcomes[outcome.Index] = kind
					if kind == notSent && outcome.UserID != "deaf" && at != time.Second {
						t.Errorf("update %d has its outcome after %v, want 1s", outcome.Index, at)
					}
				}
				if elapsed := time.Since(server.start); elapsed != 3*time.Second {
					t.Errorf("the loop ended after %v, want 3s", elapsed)
				}
				want := map[int]string{0: "success", 1: "connection, " + test.want, 2: "success", 3: test.waits, 4: "server, " + test.want, 5: notSent, 6: notSent}
				sent := server.sent()
				for i := len(want); i < int(in.pulled.Load()); i++ {
					want[i] = notSent
					if slices.Contains(sent, fmt.Sprint("user-", i)) {
						want[i] = "connection, " + test.want
					}
				}
				bulkDiff(t, "outcomes", want, outcomes)
				// One was pulled for each outcome before the end.
				if n := len(want); n < concurrency*16+1 || n > concurrency*16+2 {
					t.Errorf("%d updates were pulled", n)
				}
				bulkNothingLater(t, server)
			})
		})
	}
}

// TestBulkContextEndedBefore: one outcome tells the loop.
func TestBulkContextEndedBefore(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	in, server := &bulkInput{n: -1}, bulkTakes(0)
	outcomes, _ := bulkCollect(t, 1, bulkClient(t, server).Profiles.MergeAll(ctx, in.updates))
	bulkDiff(t, "outcomes", []string{"not sent, canceled"}, bulkKinds(outcomes))
	if n, sent := in.pulled.Load(), len(server.requests); n != 1 || sent != 0 {
		t.Errorf("%d updates were pulled and %d sent, want 1 and 0", n, sent)
	}
}

// TestBulkKeyRefused: nothing more is pulled, sent or retried, and everything that was
// pulled has an outcome with the refusal in it.
func TestBulkKeyRefused(t *testing.T) {
	t.Parallel()
	for status, refusal := range map[int]string{401: "authentication", 403: "permission"} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				in := &bulkInput{n: -1, users: []string{"refused", "slow", "fails", "waits", "breaks", "throttled", "refused", "slow", "refused too"}}
				server := bulkByUser(map[string]bulkResponse{
					"refused":   {after: time.Second, status: status},
					"slow":      {after: 5 * time.Second},
					"fails":     {after: 3 * time.Second, status: 500},
					"waits":     {after: time.Second / 2, status: 500},
					"breaks":    {after: 4 * time.Second, err: io.ErrUnexpectedEOF},
					"throttled": {after: time.Second / 4, status: 429, retryAfter: "30"},
				})
				const concurrency = 6
				seq := bulkClient(t, server).Profiles.MergeAll(t.Context(), in.updates, courier.WithConcurrency(concurrency))
				outcomes, at := bulkCollect(t, 16*concurrency, seq)
				want, wantAt := []string{refusal, "success", refusal + ", server", refusal + ", server", refusal + ", connection", refusal + ", rate limit"},
					[]time.Duration{1, 5, 3, 1, 4, 1, 1, 5}
				for len(want) < 16*concurrency {
					want = append(want, refusal+", not sent")
				}
				for i := range wantAt {
					wantAt[i] *= time.Second
				}
				for len(wantAt) < 16*concurrency {
					wantAt = append(wantAt, time.Second)
				}
				bulkDiff(t, "outcomes", want, bulkKinds(outcomes))
				bulkDiff(t, "outcomes came after", wantAt, at)
				if n := len(server.requests); n != concurrency {
					t.Errorf("%d requests, want %d", n, concurrency)
				}
				if text := outcomes[95].Err.Error(); !strings.Contains(text, fmt.Sprint(status, " some_error: Some message")) || strings.Contains(text, "user-95") {
					t.Errorf("the error of what was not sent reads %q", text)
				}
				bulkNothingLater(t, server)
			})
		})
	}
}

func TestBulkKeyRefusedOnManyRows(t *testing.T) {
	t.Parallel()
	for _, concurrency := range []int{1, 16} {
		t.Run(fmt.Sprint("concurrency ", concurrency), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				in, server := &bulkInput{n: 100_000}, bulkNewServer(func(bulkRequest) bulkResponse { return bulkResponse{after: time.Second, status: 401} })
				bulkCollect(t, 16*concurrency, bulkClient(t, server).Profiles.MergeAll(t.Context(), in.updates, courier.WithConcurrency(concurrency)))
				if n, sent := int(in.pulled.Load()), len(server.requests); n != 16*concurrency || sent != concurrency {
					t.Errorf("%d updates were pulled and %d sent, want %d and %d", n, sent, 16*concurrency, concurrency)
				}
			})
		})
	}
}

// TestBulkKeyRefusedWhilePulling: the update that is being pulled has the refusal as its
// outcome, even if it is invalid, and so has what waits for the limiter.
func TestBulkKeyRefusedWhilePulling(t *testing.T) {
	t.Parallel()
	for _, limiterErr := range []error{nil, errBulk} {
		t.Run(fmt.Sprint("limiter error ", limiterErr), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				updates := func(yield func(string, courier.Profile) bool) {
					if yield("refused", bulkProfile(0)) {
						time.Sleep(time.Millisecond) // so that this one is the second for the limiter
						if yield("waits", bulkProfile(1)) {
							time.Sleep(time.Minute)
							yield("late", courier.Profile{Nickname: courier.Set("\xff")})
						}
					}
				}
				server := bulkByUser(map[string]bulkResponse{"refused": {after: time.Second, status: 401}})
				keys := func(index int, _ string) string {
					if index == 2 {
						t.Error("a key is asked for although nothing is sent")
					}
					return ""
				}
				outcomes, at := bulkCollect(t, 3, bulkClient(t, server).Profiles.MergeAll(t.Context(), updates,
					courier.WithRateLimiter(bulkLets(1, limiterErr)), courier.WithIdempotencyKeys(keys)))
				bulkDiff(t, "outcomes", []string{"authentication", "authentication, not sent", "authentication, not sent"}, bulkKinds(outcomes))
				bulkDiff(t, "outcomes came after", []time.Duration{time.Second, time.Second, time.Minute + time.Millisecond}, at)
			})
		})
	}
}

type bulkMarshaler func()

func (m bulkMarshaler) MarshalJSON() ([]byte, error) { m(); return []byte("1"), nil }

// TestBulkCallerCodeFails: a panic in the caller's code, or the end of its goroutine,
// reaches the loop, after the outcomes of updates in flight.
func TestBulkCallerCodeFails(t *testing.T) {
	t.Parallel()
	type scenario struct {
		input    func() // is called before update 1 is yielded
		profile  courier.Profile
		response bulkResponse // of update 1
		opts     []courier.Option
		bulkOpts []courier.BulkOption
	}
	for how, fail := range map[string]func(){"panic": func() { panic(errBulk) }, "Goexit": runtime.Goexit} {
		var calls atomic.Int64
		for where, test := range map[string]scenario{
			"input":     {input: fail},
			"profile":   {profile: courier.Profile{Extra: map[string]any{"x": bulkMarshaler(fail)}}},
			"key":       {bulkOpts: []courier.BulkOption{courier.WithIdempotencyKeys(func(i int, _ string) string { bulkAt(i, 1, fail); return "" })}},
			"limiter":   {bulkOpts: []courier.BulkOption{courier.WithRateLimiter(bulkLimiter(func(context.Context) error { bulkAt(int(calls.Add(1)), 2, fail); return nil }))}},
			"transport": {response: bulkResponse{fail: fail}},
			"observer": {response: bulkResponse{status: 400}, opts: []courier.Option{courier.WithObserver(func(_ context.Context, a courier.Attempt) {
				bulkAt(a.StatusCode, 400, fail)
			})}},
		} {
			t.Run(where+", "+how, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					returned := false
					updates := func(yield func(string, courier.Profile) bool) {
						defer func() { returned = true }()
						if !yield("slow", bulkProfile(0)) {
							return
						}
						time.Sleep(time.Millisecond) // so that update 1 is the second for the limiter
						if test.input != nil {
							test.input()
						}
						for ok := yield("bad", test.profile); ok; {
							ok = yield("slow", bulkProfile(2))
						}
					}
					server := bulkByUser(map[string]bulkResponse{"slow": {after: 2 * time.Second}, "bad": test.response})
					client := bulkClient(t, server, test.opts...)
					var outcomes []string
					ended := make(chan any, 1)
					go func() {
						var end any = "Goexit"
						defer func() {
							if p := recover(); p != nil {
								end = p
							}
							ended <- end
						}()
						for outcome := range client.Profiles.MergeAll(t.Context(), updates, test.bulkOpts...) {
							outcomes = append(outcomes, fmt.Sprint(outcome.Index, " ", bulkKind(outcome.Err)))
						}
						end = "return"
					}()
					if end, want := <-ended, map[string]any{"panic": errBulk, "Goexit": "Goexit"}[how]; end != want {
						t.Errorf("the loop ended with %v, want %v", end, want)
					}
					bulkDiff(t, "outcomes", []string{"0 success"}, outcomes)
					if elapsed := time.Since(server.start); !returned || elapsed != 2*time.Second {
						t.Errorf("the loop ended after %v; the input had returned: %t", elapsed, returned)
					}
					bulkNothingLater(t, server)
				})
			})
		}
	}
}

func bulkAt(got, want int, f func()) {
	if got == want {
		f()
	}
}
