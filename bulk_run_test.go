package courier_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	courier "github.com/courier-profiles/courier-go"
)

// The tests of how a run of MergeAll ends before its input does.

// bulkPlan answers by user: what the plan does not name succeeds after a minute.
func bulkPlan(plan map[string]retryStep) *bulkCourier {
	return &bulkCourier{answer: func(r bulkRequest) retryStep {
		if step, ok := plan[r.userID]; ok {
			return step
		}
		return retryTakes(time.Minute, retryStatus(200))
	}}
}

// bulkNothingLeft fails if a goroutine of a run is left, or sends anything.
func bulkNothingLeft(t *testing.T, server *bulkCourier) {
	t.Helper()
	synctest.Wait()
	if n := retryGoroutines(courierPackage + ".(*mergeRun)"); n != 0 {
		t.Errorf("%d goroutines are left", n)
	}
	if n := retryGoroutines(courierPackage + ".(*"); n != 0 {
		t.Errorf("%d goroutines of the package are left", n)
	}
	if server == nil {
		return
	}
	server.mu.Lock()
	before, inFlight := len(server.sent), server.inFlight
	server.mu.Unlock()
	time.Sleep(24 * time.Hour)
	if n := len(server.requests()); n != before || inFlight != 0 {
		t.Errorf("%d requests were in flight, and %d sent later", inFlight, n-before)
	}
}

// bulkTimes keeps when each user's outcome came.
type bulkTimes struct {
	start    time.Time
	outcomes []courier.MergeOutcome
	at       map[string]time.Duration
}

func bulkCollect(seq iter.Seq[courier.MergeOutcome]) *bulkTimes {
	times := &bulkTimes{start: time.Now(), at: map[string]time.Duration{}}
	for outcome := range seq {
		times.outcomes = append(times.outcomes, outcome)
		times.at[outcome.UserID] = time.Since(times.start)
	}
	return times
}

// bulkLeave are the ways out of a loop, each after the first outcome and
// whatever else happens at that time.
var bulkLeave = map[string]func(t *testing.T, seq iter.Seq[courier.MergeOutcome]){
	"break": func(_ *testing.T, seq iter.Seq[courier.MergeOutcome]) {
		for range seq {
			synctest.Wait()
			break
		}
	},
	"return": func(_ *testing.T, seq iter.Seq[courier.MergeOutcome]) {
		func() {
			for range seq {
				synctest.Wait()
				return
			}
		}()
	},
	"panic": func(t *testing.T, seq iter.Seq[courier.MergeOutcome]) {
		if end := bulkEnd(func() {
			for range seq {
				synctest.Wait()
				panic("the loop")
			}
		}); end != "the loop" {
			t.Errorf("the loop ended with %v", end)
		}
	},
	"Goexit": func(t *testing.T, seq iter.Seq[courier.MergeOutcome]) {
		if end := bulkEnd(func() {
			for range seq {
				synctest.Wait()
				runtime.Goexit()
			}
		}); end != bulkGoexit {
			t.Errorf("the loop ended with %v", end)
		}
	},
	"iter.Pull": func(t *testing.T, seq iter.Seq[courier.MergeOutcome]) {
		next, stop := iter.Pull(seq)
		if _, ok := next(); !ok {
			t.Error("there is no outcome")
		}
		synctest.Wait()
		stop()
	},
}

type bulkEnded string

const bulkGoexit bulkEnded = "runtime.Goexit"

// bulkEnd runs f on a goroutine of its own, and returns how that ended: the value
// of a panic, bulkGoexit, or nil.
func bulkEnd(f func()) any {
	done := make(chan any, 1)
	go func() {
		var end any = bulkGoexit
		defer func() {
			if p := recover(); p != nil {
				end = p
			}
			done <- end
		}()
		f()
		end = nil
	}()
	return <-done
}

// TestMergeAllLeft: what is in flight comes to its end, and that is all.
func TestMergeAllLeft(t *testing.T) {
	for name, leave := range bulkLeave {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				in := &bulkInput{n: -1, userID: bulkUsers("first", "slow", "fails", "waits", "next")}
				server := bulkPlan(map[string]retryStep{
					"first": retryTakes(time.Second, retryStatus(200)),
					"slow":  retryTakes(10*time.Second, retryStatus(200)),
					"fails": retryTakes(5*time.Second, retryStatus(500)),
					"waits": retryTakes(time.Second/2, retryStatus(500)),
					"next":  retryTakes(2*time.Second, retryStatus(200)),
				})
				client, attempts := retryClient(t, server, courier.WithRetryWait(30*time.Second, 30*time.Second))
				start := time.Now()
				leave(t, client.Profiles.MergeAll(t.Context(), in.updates, courier.WithConcurrency(4)))
				wantElapsed(t, start, 10*time.Second)

				if n := len(server.requests()); n != 5 || server.broken != 0 {
					t.Errorf("%d requests were sent, %d of them broken off, want 5 and none", n, server.broken)
				}
				if n := in.pulled.Load(); n != 4*16 {
					t.Errorf("%d updates were pulled, want %d", n, 4*16)
				}
				waits := map[string]time.Duration{}
				for _, a := range attempts.all {
					waits[fmt.Sprint(a.StatusCode, " after ", a.Duration)] = a.Wait
				}
				want := map[string]time.Duration{
					"200 after 1s": 0, "200 after 10s": 0, "500 after 5s": 0, "500 after 500ms": 30 * time.Second, "200 after 2s": 0,
				}
				if diff := cmp.Diff(want, waits); diff != "" {
					t.Errorf("the waits after attempts (-want +got):\n%s", diff)
				}
				bulkNothingLeft(t, server)
			})
		})
	}
}

// TestMergeAllLeftInAWait: nobody waits for what has not been sent.
func TestMergeAllLeftInAWait(t *testing.T) {
	for name, tt := range map[string]struct {
		second retryStep
		late   time.Duration // of the second update
	}{
		"of a retry":     {retryStatus(500), 0},
		"of Retry-After": {retryStatus(503, "Retry-After", "30"), 0},
		"of the limiter": {retryStatus(200), time.Second / 2},
	} {
		for how, leave := range bulkLeave {
			t.Run(name+" "+how, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					server := bulkPlan(map[string]retryStep{"first": retryTakes(time.Second, retryStatus(200)), "second": tt.second})
					client, attempts := retryClient(t, server, courier.WithRetryWait(30*time.Second, 30*time.Second))
					updates := func(yield func(string, courier.Profile) bool) {
						if yield("first", courier.Profile{Nickname: courier.Set("0")}) {
							time.Sleep(tt.late)
							yield("second", courier.Profile{Nickname: courier.Set("1")})
						}
					}
					start := time.Now()
					leave(t, client.Profiles.MergeAll(t.Context(), updates, courier.WithRateLimiter(bulkOpenAt(start, nil))))
					wantElapsed(t, start, time.Second)
					if n := len(server.requests()); n != 2 && tt.late == 0 || n != 1 && tt.late > 0 || len(attempts.all) != n {
						t.Errorf("%d requests were sent, and the observer was told of %d", n, len(attempts.all))
					}
					bulkNothingLeft(t, server)
				})
			})
		}
	}
}

// bulkOpenAt lets all go that come at a time, and keeps others until their
// context ends; err is what it returns then.
func bulkOpenAt(at time.Time, err error) bulkLimiter {
	return func(ctx context.Context) error {
		if time.Now().Equal(at) {
			return nil
		}
		<-ctx.Done()
		return err
	}
}

// TestMergeAllWaitsForTheInput: the loop is not left before updates has returned,
// so that what that uses may be closed behind the loop.
func TestMergeAllWaitsForTheInput(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := bulkTakes(time.Second)
		client, _ := retryClient(t, server)
		returned, asked := false, 0
		updates := func(yield func(string, courier.Profile) bool) {
			defer func() {
				time.Sleep(time.Minute)
				returned = true
			}()
			for yield("ada", courier.Profile{Nickname: courier.Set("0")}) {
				asked++
				time.Sleep(time.Hour)
			}
		}
		start := time.Now()
		for range client.Profiles.MergeAll(t.Context(), updates) {
			break
		}
		if !returned || asked != 1 {
			t.Errorf("the input had returned: %t, and was asked to go on %d times", returned, asked)
		}
		wantElapsed(t, start, time.Hour+time.Minute)
		if n := len(server.requests()); n != 1 {
			t.Errorf("%d requests, want 1: what comes after the loop was left is not sent", n)
		}
		bulkNothingLeft(t, server)
	})
}

// TestMergeAllTimeoutOfALeftLoop: attempts in flight are bounded when the loop
// has been left, too.
func TestMergeAllTimeoutOfALeftLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := &bulkInput{n: 2, userID: bulkUsers("first", "hangs")}
		server := bulkPlan(map[string]retryStep{"first": retryTakes(time.Second, retryStatus(200)), "hangs": retryHang})
		client, _ := retryClient(t, server, courier.WithTimeout(20*time.Second))
		start := time.Now()
		for range client.Profiles.MergeAll(t.Context(), in.updates) {
			break
		}
		wantElapsed(t, start, 20*time.Second)
		if n := len(server.requests()); n != 2 {
			t.Errorf("%d requests, want 2", n)
		}
		bulkNothingLeft(t, server)
	})
}

// TestMergeAllContextEnds: every update that was pulled has its outcome.
func TestMergeAllContextEnds(t *testing.T) {
	errOwn := errors.New("the caller's own cause")
	for name, tt := range map[string]struct {
		context func(*testing.T, context.Context) context.Context
		want    error
		pulled  int
	}{
		"cancelled": {func(t *testing.T, ctx context.Context) context.Context {
			ctx, cancel := context.WithCancel(ctx)
			time.AfterFunc(time.Second, cancel)
			return ctx
		}, context.Canceled, 81},
		"cancelled with a cause": {func(t *testing.T, ctx context.Context) context.Context {
			ctx, cancel := context.WithCancelCause(ctx)
			time.AfterFunc(time.Second, func() { cancel(errOwn) })
			return ctx
		}, context.Canceled, 81},
		"deadline": {func(t *testing.T, ctx context.Context) context.Context {
			ctx, cancel := context.WithTimeout(ctx, time.Second)
			t.Cleanup(cancel)
			return ctx
		}, context.DeadlineExceeded, 82}, // the 500 is not waited for
		"hidden deadline": {func(t *testing.T, ctx context.Context) context.Context {
			ctx, cancel := context.WithTimeout(ctx, time.Second)
			t.Cleanup(cancel)
			return retryHidden{ctx}
		}, context.DeadlineExceeded, 81},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const concurrency = 5
				users := []string{"done", "hangs", "deaf", "waits", "fails", "deaf", "hangs", "waits"}
				in := &bulkInput{n: -1, userID: bulkUsers(users...)}
				plan := map[string]retryStep{
					"done":  retryTakes(time.Second/2, retryStatus(200)),
					"deaf":  retryTakes(3*time.Second, retryStatus(200)), // whatever the context
					"waits": retryTakes(time.Second/2, retryStatus(500)),
					"fails": retryTakes(2*time.Second, retryStatus(500)),
				}
				server := &bulkCourier{answer: func(r bulkRequest) retryStep {
					if step, ok := plan[r.userID]; ok {
						return step
					}
					return retryHang
				}}
				client, _ := retryClient(t, server, courier.WithRetryWait(30*time.Second, 30*time.Second))
				ctx := tt.context(t, t.Context())
				times := bulkCollect(client.Profiles.MergeAll(ctx, in.updates, courier.WithConcurrency(concurrency)))
				wantElapsed(t, times.start, 3*time.Second)
				pulled := int(in.pulled.Load())
				if pulled != tt.pulled {
					t.Errorf("%d updates were pulled, want %d: one for each outcome before the end, and those that were held", pulled, tt.pulled)
				}
				outcomes := bulkWant(t, in, pulled, times.outcomes)

				want := func(i int, check func(error) bool, attempts int, ended error) {
					t.Helper()
					err := outcomes[i].Err
					if !check(err) || retryMade(t, nil, err) != attempts || ended != nil && !errors.Is(err, ended) {
						t.Errorf("update %d, of %s: %T %v, want %d attempts and %v", i, outcomes[i].UserID, err, err, attempts, ended)
					}
					if other := map[error]error{context.Canceled: context.DeadlineExceeded, context.DeadlineExceeded: context.Canceled}[tt.want]; errors.Is(err, other) {
						t.Errorf("update %d: %v is %v", i, err, other)
					}
					if attempts == 0 && errors.Is(err, errOwn) {
						t.Errorf("update %d: %v wraps the cause", i, err)
					}
				}
				sent := map[int]bool{}
				for _, r := range server.requests() {
					sent[r.update] = true
					if r.at.Sub(times.start) > time.Second/2 {
						t.Errorf("update %d was sent after %v", r.update, r.at.Sub(times.start))
					}
				}
				for i, outcome := range outcomes {
					switch {
					case !sent[i]:
						want(i, has[*courier.ConnectionError], 0, tt.want)
					case outcome.UserID == "done" || outcome.UserID == "deaf":
						if outcome.Err != nil {
							t.Errorf("update %d, of %s: %v", i, outcome.UserID, outcome.Err)
						}
					case outcome.UserID == "fails":
						want(i, has[*courier.ServerError], 1, tt.want)
					case outcome.UserID == "waits" && name == "deadline":
						want(i, has[*courier.ServerError], 1, nil) // the wait would have outlived it
					case outcome.UserID == "waits":
						want(i, has[*courier.ServerError], 1, tt.want)
					default:
						want(i, has[*courier.ConnectionError], 1, tt.want)
					}
				}
				if n := len(sent); n != tt.pulled-16*concurrency+concurrency {
					t.Errorf("%d updates were sent", n)
				}
				for user, at := range map[string]time.Duration{"done": time.Second / 2, "fails": 2 * time.Second, "user-40": time.Second} {
					if times.at[user] != at {
						t.Errorf("the outcome of %s came after %v, want %v", user, times.at[user], at)
					}
				}
				bulkNothingLeft(t, server)
			})
		})
	}
}

// TestMergeAllContextEndsUnseen: where all that was pulled is merged when ctx
// ends, no outcome says that there was more to pull.
func TestMergeAllContextEndsUnseen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const held = 16
		in, server := &bulkInput{n: -1}, bulkTakes(time.Second)
		client, _ := retryClient(t, server)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var outcomes []courier.MergeOutcome
		for outcome := range client.Profiles.MergeAll(ctx, in.updates, courier.WithConcurrency(1)) {
			if len(outcomes) == 0 {
				time.Sleep(time.Minute)
				cancel()
			}
			outcomes = append(outcomes, outcome)
		}
		bulkMerged(t, in, held, outcomes)
		bulkNothingLeft(t, server)
	})
}

// TestMergeAllContextDone: with a context that has ended there is one outcome, so
// that the loop is told.
func TestMergeAllContextDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		in, server := &bulkInput{n: -1}, bulkTakes(time.Second)
		client, _ := retryClient(t, server)
		outcomes := slices.Collect(client.Profiles.MergeAll(ctx, in.updates))
		if n := in.pulled.Load(); n != 1 {
			t.Errorf("%d updates were pulled, want 1", n)
		}
		bulkWant(t, in, 1, outcomes)
		err := outcomes[0].Err
		if !has[*courier.ConnectionError](err) || retryMade(t, nil, err) != 0 || !errors.Is(err, context.Canceled) {
			t.Errorf("%T %v", err, err)
		}
		bulkNothingLeft(t, server)
		if n := len(server.requests()); n != 0 {
			t.Errorf("%d requests", n)
		}
	})
}

// TestMergeAllContextEndsInTheBody: a loop that is busy for long gets an outcome
// for all that is held, and no more is pulled meanwhile or later.
func TestMergeAllContextEndsInTheBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		in, server := &bulkInput{n: -1, userID: func(int) string { return "ada" }}, bulkTakes(time.Second)
		client, _ := retryClient(t, server)
		var outcomes []courier.MergeOutcome
		for outcome := range client.Profiles.MergeAll(ctx, in.updates, courier.WithConcurrency(2)) {
			if outcomes = append(outcomes, outcome); len(outcomes) == 1 {
				synctest.Wait() // the second is in flight
				cancel()
				time.Sleep(time.Hour)
			}
		}
		if n := in.pulled.Load(); n != 2*16 {
			t.Errorf("%d updates were pulled, want %d", n, 2*16)
		}
		for i, outcome := range bulkWant(t, in, 2*16, outcomes) {
			// The first was done, and the second in flight: Courier answers it.
			if ended := errors.Is(outcome.Err, context.Canceled); ended != (i > 1) {
				t.Errorf("update %d: %v", i, outcome.Err)
			}
		}
		bulkNothingLeft(t, server)
	})
}

// TestMergeAllKeyRefused: what comes after a 401 or 403 says so, without Courier.
func TestMergeAllKeyRefused(t *testing.T) {
	authentication := func(err error) any { return bulkFind[*courier.AuthenticationError](err) }
	permission := func(err error) any { return bulkFind[*courier.PermissionError](err) }
	for _, tt := range []struct {
		status int
		find   func(error) any // what is to be in every error
		waits  int             // the status of what waits for a retry
		check  func(error) bool
	}{
		{401, authentication, 500, has[*courier.ServerError]},
		{401, authentication, 429, has[*courier.RateLimitError]},
		{403, permission, 500, has[*courier.ServerError]},
		{403, permission, 429, has[*courier.RateLimitError]},
	} {
		t.Run(fmt.Sprintf("%d while a %d waits", tt.status, tt.waits), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const updates = 200
				users := []string{"refused", "slow", "fails", "waits", "breaks", "refused", "slow", "refused too"}
				in := &bulkInput{n: updates, userID: bulkUsers(users...)}
				server := bulkPlan(map[string]retryStep{
					"refused": retryTakes(time.Second, retryStatus(tt.status)),
					"slow":    retryTakes(5*time.Second, retryStatus(200)),
					"fails":   retryTakes(3*time.Second, retryStatus(500)),
					"waits":   retryTakes(time.Second/2, retryStatus(tt.waits, "Retry-After", "30")),
					"breaks":  retryTakes(4*time.Second, retryError(errRetryBroken)),
				})
				client, attempts := retryClient(t, server, courier.WithRetryWait(30*time.Second, 30*time.Second))
				times := bulkCollect(client.Profiles.MergeAll(t.Context(), in.updates, courier.WithConcurrency(5)))
				outcomes := bulkWant(t, in, updates, times.outcomes)
				wantElapsed(t, times.start, 5*time.Second)
				if n := len(server.requests()); n != 5 || server.broken > 0 {
					t.Errorf("%d requests were sent, %d of them broken off, want 5 and none", n, server.broken)
				}
				refusal := tt.find(outcomes[0].Err)
				if refusal == nil || outcomes[0].Err != refusal {
					t.Fatalf("the first outcome is %T %v", outcomes[0].Err, outcomes[0].Err)
				}
				if outcomes[1].Err != nil {
					t.Errorf("what was in flight and succeeded has the error %v", outcomes[1].Err)
				}
				for i, want := range []struct {
					check    func(error) bool
					attempts int
					at       time.Duration
				}{
					2: {has[*courier.ServerError], 1, 3 * time.Second},
					3: {tt.check, 1, time.Second},
					4: {has[*courier.ConnectionError], 1, 4 * time.Second},
				} {
					if want.check == nil {
						continue
					}
					outcome := outcomes[i]
					if !want.check(outcome.Err) || retryMade(t, nil, outcome.Err) != want.attempts || times.at[outcome.UserID] != want.at {
						t.Errorf("%s after %v: %T %v", outcome.UserID, times.at[outcome.UserID], outcome.Err, outcome.Err)
					}
				}
				if !errors.Is(outcomes[4].Err, errRetryBroken) {
					t.Errorf("the cause of %v is lost", outcomes[4].Err)
				}
				for i, outcome := range outcomes[2:] {
					if tt.find(outcome.Err) != refusal {
						t.Errorf("update %d: %v does not wrap the refusal", i+2, outcome.Err)
					}
					if errors.Is(outcome.Err, context.Canceled) {
						t.Errorf("update %d: %v says that the context was cancelled, which it was not", i+2, outcome.Err)
					}
					if outcome.Err == nil {
						t.Fatalf("update %d was merged", i+2)
					}
					text := outcome.Err.Error()
					if !strings.Contains(text, fmt.Sprint("courier: merge profile: ", tt.status, " some_error: Some message")) {
						t.Errorf("update %d: %q does not say why", i+2, text)
					}
					if strings.Contains(text, outcome.UserID) || strings.Contains(text, "courier.test") || strings.Contains(text, "\n") {
						t.Errorf("update %d: %q has more in it than it should", i+2, text)
					}
				}
				for i, outcome := range outcomes[5:] {
					var connection *courier.ConnectionError
					if !errors.As(outcome.Err, &connection) || connection.Attempts != 0 {
						t.Errorf("update %d: %T %v, want one that was not sent", i+5, outcome.Err, outcome.Err)
					}
					if at := times.at[outcome.UserID]; tt.waits == 500 && outcome.UserID != "slow" && at != time.Second {
						t.Errorf("the outcome of %s came after %v", outcome.UserID, at)
					}
				}
				if len(attempts.all) != 5 {
					t.Errorf("the observer was told of %d attempts, want 5", len(attempts.all))
				}
				bulkNothingLeft(t, server)
			})
		})
	}
}

func bulkFind[T error](err error) any {
	var found T
	if errors.As(err, &found) {
		return error(found)
	}
	return nil
}

// TestMergeAllKeyRefusedThenCancelled: a run that has ended can still be
// cancelled, and left.
func TestMergeAllKeyRefusedThenCancelled(t *testing.T) {
	for _, how := range []string{"cancel", "break"} {
		t.Run(how, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				in, server := &bulkInput{n: -1}, &bulkCourier{answer: func(bulkRequest) retryStep { return retryStatus(401) }}
				client, _ := retryClient(t, server)
				n := 0
				for outcome := range client.Profiles.MergeAll(ctx, in.updates, courier.WithConcurrency(1)) {
					if !has[*courier.AuthenticationError](outcome.Err) {
						t.Errorf("update %d: %v", outcome.Index, outcome.Err)
					}
					if n++; n == 1000 && how == "break" {
						break
					} else if n == 1000 {
						cancel()
					}
				}
				if n < 1000 || n > 1016 || len(server.requests()) != 1 {
					t.Errorf("%d outcomes of %d requests", n, len(server.requests()))
				}
				bulkNothingLeft(t, server)
			})
		})
	}
}

// TestMergeAllKeyRefusedThenInvalid: the outcome of what makes no sense is the
// refusal, too.
func TestMergeAllKeyRefusedThenInvalid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &bulkCourier{answer: func(bulkRequest) retryStep { return retryStatus(401) }}
		client, _ := retryClient(t, server)
		updates := func(yield func(string, courier.Profile) bool) {
			if yield("ada", courier.Profile{Nickname: courier.Set("0")}) {
				time.Sleep(time.Second)
				yield("bob", courier.Profile{Nickname: courier.Set("\xff")})
			}
		}
		for outcome := range client.Profiles.MergeAll(t.Context(), updates) {
			if !has[*courier.AuthenticationError](outcome.Err) {
				t.Errorf("update %d: %T %v", outcome.Index, outcome.Err, outcome.Err)
			}
		}
		bulkNothingLeft(t, server)
	})
}

// TestMergeAllKeyRefusedInALimiterWait: what waits for the limiter is not sent,
// and the error is not the limiter's.
func TestMergeAllKeyRefusedInALimiterWait(t *testing.T) {
	for name, errOwn := range map[string]error{"its error": errors.New("the limiter's own"), "no error": nil} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := bulkPlan(map[string]retryStep{
					"refused": retryTakes(time.Second, retryStatus(401)),
					"retries": retryTakes(time.Millisecond, retryStatus(500)),
				})
				client, _ := retryClient(t, server, noRetryWait)
				in := &bulkInput{n: 3, userID: bulkUsers("refused", "retries", "late")}
				updates := func(yield func(string, courier.Profile) bool) {
					for userID, profile := range in.updates {
						if userID == "late" {
							time.Sleep(time.Millisecond)
						}
						if !yield(userID, profile) {
							return
						}
					}
				}
				limiter := bulkOpenAt(time.Now(), errOwn)
				times := bulkCollect(client.Profiles.MergeAll(t.Context(), updates, courier.WithRateLimiter(limiter)))
				wantElapsed(t, times.start, time.Second)
				for i, outcome := range bulkWant(t, in, 3, times.outcomes) {
					err := outcome.Err
					check := []func(error) bool{has[*courier.AuthenticationError], has[*courier.ServerError], has[*courier.ConnectionError]}[i]
					if !check(err) || !has[*courier.AuthenticationError](err) || errOwn != nil && errors.Is(err, errOwn) || errors.Is(err, context.Canceled) {
						t.Errorf("update %d: %T %v", i, err, err)
					}
				}
				// errors.As would find those of the refusal.
				if e, ok := times.outcomes[slices.IndexFunc(times.outcomes, func(o courier.MergeOutcome) bool { return o.UserID == "late" })].Err.(*courier.ConnectionError); !ok || e.Attempts != 0 {
					t.Errorf("what was not sent has the error %v", e)
				}
				if n := len(server.sent); n != 2 {
					t.Errorf("%d requests, want 2", n)
				}
				bulkNothingLeft(t, server)
			})
		})
	}
}

// bulkMarshaler panics when it is serialised.
type bulkMarshaler struct{}

func (bulkMarshaler) MarshalJSON() ([]byte, error) { panic(errBulkPanic) }

var errBulkPanic = errors.New("a panic of the caller's code")

// TestMergeAllPanics: a panic of the caller's code, on whichever goroutine, is
// one of the loop, after the outcomes of what was in flight.
func TestMergeAllPanics(t *testing.T) {
	good := func(yield func(string, courier.Profile) bool) bool {
		return yield("slow", courier.Profile{Nickname: courier.Set("0")})
	}
	after := func(what func()) iter.Seq2[string, courier.Profile] {
		return func(yield func(string, courier.Profile) bool) {
			if good(yield) && yield("slow", courier.Profile{Nickname: courier.Set("1")}) {
				what()
			}
		}
	}
	panics := func() { panic(errBulkPanic) }
	type testCase struct {
		updates  iter.Seq2[string, courier.Profile]
		answer   retryStep // of the user "bad"
		observer func(context.Context, courier.Attempt)
		limiter  bulkLimiter
		want     any
		outcomes int
		elapsed  time.Duration
	}
	bad := func(yield func(string, courier.Profile) bool) {
		if good(yield) {
			time.Sleep(time.Millisecond) // so that this is the second for the limiter
			yield("bad", courier.Profile{Nickname: courier.Set("1")})
		}
	}
	observer := func(_ context.Context, a courier.Attempt) {
		if a.StatusCode == 400 {
			panics()
		}
	}
	fail := func(name string) testCase {
		calls := 0
		var mu sync.Mutex
		limiter := bulkLimiter(func(context.Context) error {
			mu.Lock()
			defer mu.Unlock()
			if calls++; calls == 2 {
				if name == "panic" {
					panics()
				}
				runtime.Goexit()
			}
			return nil
		})
		want := map[string]any{"panic": errBulkPanic, "Goexit": bulkGoexit}[name]
		return testCase{updates: bad, answer: retryStatus(200), limiter: limiter, want: want, outcomes: 1, elapsed: 2 * time.Second}
	}
	for name, tt := range map[string]testCase{
		"the input":                 {updates: after(panics), want: errBulkPanic, outcomes: 2, elapsed: 4 * time.Second},
		"the input at once":         {updates: func(func(string, courier.Profile) bool) { panics() }, want: errBulkPanic},
		"the input, Goexit":         {updates: after(runtime.Goexit), want: bulkGoexit, outcomes: 2, elapsed: 4 * time.Second},
		"the input at once, Goexit": {updates: func(func(string, courier.Profile) bool) { runtime.Goexit() }, want: bulkGoexit},
		"MarshalJSON": {updates: func(yield func(string, courier.Profile) bool) {
			_ = good(yield) && yield("bad", courier.Profile{Extra: map[string]any{"x": bulkMarshaler{}}}) && good(yield)
		}, want: errBulkPanic, outcomes: 1, elapsed: 2 * time.Second},
		"the transport": {
			updates: bad, answer: func(*http.Request) (*http.Response, error) { time.Sleep(time.Second); panics(); return nil, nil },
			want: errBulkPanic, outcomes: 1, elapsed: 2 * time.Second,
		},
		"the transport, Goexit": {
			updates: bad, answer: func(*http.Request) (*http.Response, error) { runtime.Goexit(); return nil, nil },
			want: bulkGoexit, outcomes: 1, elapsed: 2 * time.Second,
		},
		"the observer": {
			updates: bad, answer: retryTakes(time.Second, retryStatus(400)), observer: observer,
			want: errBulkPanic, outcomes: 1, elapsed: 2 * time.Second,
		},
		"the transport, of a long input": {
			updates: func(yield func(string, courier.Profile) bool) {
				ok := good(yield) && yield("bad", courier.Profile{Nickname: courier.Set("1")})
				for i := 0; ok && i < 100; i++ {
					ok = good(yield)
				}
			},
			answer: func(*http.Request) (*http.Response, error) { time.Sleep(time.Second); panics(); return nil, nil },
			want:   errBulkPanic, outcomes: 1, elapsed: 2 * time.Second, // nothing more is sent
		},
		"the limiter":         fail("panic"),
		"the limiter, Goexit": fail("Goexit"),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := bulkPlan(map[string]retryStep{"slow": retryTakes(2*time.Second, retryStatus(200)), "bad": tt.answer})
				opts := []courier.Option{}
				if tt.observer != nil {
					opts = append(opts, courier.WithObserver(tt.observer))
				}
				var mergeOpts []courier.MergeAllOption
				if tt.limiter != nil {
					mergeOpts = append(mergeOpts, courier.WithRateLimiter(tt.limiter))
				}
				client, _ := retryClient(t, server, opts...)
				outcomes := 0
				start := time.Now()
				end := bulkEnd(func() {
					for outcome := range client.Profiles.MergeAll(t.Context(), tt.updates, mergeOpts...) {
						if outcomes++; outcome.Err != nil || outcome.UserID != "slow" {
							t.Errorf("outcome %v", outcome)
						}
					}
				})
				if end != tt.want {
					t.Errorf("the loop ended with %v, want %v", end, tt.want)
				}
				if outcomes != tt.outcomes {
					t.Errorf("%d outcomes, want %d", outcomes, tt.outcomes)
				}
				wantElapsed(t, start, tt.elapsed)
				bulkNothingLeft(t, server)
			})
		})
	}
}

// TestMergeAllPanicOfALeftLoop: a panic is not lost because the loop was left.
func TestMergeAllPanicOfALeftLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := bulkTakes(time.Second)
		client, _ := retryClient(t, server)
		end := bulkEnd(func() {
			for range client.Profiles.MergeAll(t.Context(), func(yield func(string, courier.Profile) bool) {
				defer func() { panic(errBulkPanic) }()
				for yield("ada", courier.Profile{Nickname: courier.Set("0")}) {
				}
			}) {
				break
			}
		})
		if end != errBulkPanic {
			t.Errorf("the loop ended with %v", end)
		}
		bulkNothingLeft(t, server)
	})
}

// TestMergeAllInputGoesOn: an input that goes on after it was told to end is
// found out, as in any loop.
func TestMergeAllInputGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := bulkTakes(time.Second)
		client, _ := retryClient(t, server)
		end := bulkEnd(func() {
			for range client.Profiles.MergeAll(t.Context(), func(yield func(string, courier.Profile) bool) {
				for {
					yield("ada", courier.Profile{Nickname: courier.Set("0")})
				}
			}) {
				break
			}
		})
		if _, ok := end.(runtime.Error); !ok {
			t.Errorf("the loop ended with %v, want a runtime.Error", end)
		}
		bulkNothingLeft(t, server)
	})
}

// TestMergeAllPanicsWhenRefused: the input of a run that is refused is the
// caller's own code, too.
func TestMergeAllPanicsWhenRefused(t *testing.T) {
	client, _ := retryClient(t, retryScript(retryStatus(200)))
	if end := bulkEnd(func() {
		for range client.Profiles.MergeAll(t.Context(), func(func(string, courier.Profile) bool) { panic(errBulkPanic) }, nil) {
		}
	}); end != errBulkPanic {
		t.Errorf("the loop ended with %v", end)
	}
}

func TestMergeAllPanicEndsWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := &bulkInput{n: 2, userID: bulkUsers("bad", "waits")}
		server := bulkPlan(map[string]retryStep{
			"bad":   retryTakes(time.Second, func(*http.Request) (*http.Response, error) { panic(errBulkPanic) }),
			"waits": retryTakes(time.Second/2, retryStatus(503, "Retry-After", "30")),
		})
		client, _ := retryClient(t, server)
		start := time.Now()
		end := bulkEnd(func() {
			for range client.Profiles.MergeAll(t.Context(), in.updates) {
			}
		})
		if end != errBulkPanic {
			t.Errorf("the loop ended with %v", end)
		}
		wantElapsed(t, start, time.Second)
		if n := len(server.requests()); n != 2 {
			t.Errorf("%d requests, want 2", n)
		}
	})
}

// What keeps a call from its retry is named where an observer sees it.
func TestMergeAllLeftIsNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := &bulkInput{n: 2, userID: bulkUsers("first", "fails")}
		server := bulkPlan(map[string]retryStep{
			"first": retryTakes(time.Second, retryStatus(200)),
			"fails": retryTakes(5*time.Second, retryStatus(503)),
		})
		client, attempts := retryClient(t, server)
		for range client.Profiles.MergeAll(t.Context(), in.updates) {
			break
		}
		if text := attempts.all[1].Err.Error(); !strings.Contains(text, "the loop was left") {
			t.Errorf("the observer is told %q", text)
		}
	})
}

// A limit that was cut holds nothing back that is not going to be sent.
func TestMergeAllRefusedHasOutcomesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := &bulkInput{n: 8, userID: bulkUsers("refused", "slow", "waits", "slow2")}
		server := bulkPlan(map[string]retryStep{
			"refused": retryTakes(time.Second, retryStatus(401)),
			"slow":    retryTakes(20*time.Second, retryStatus(200)),
			"slow2":   retryTakes(20*time.Second, retryStatus(200)),
			"waits":   retryTakes(time.Second/2, retryStatus(429, "Retry-After", "30")),
		})
		client, _ := retryClient(t, server)
		times := bulkCollect(client.Profiles.MergeAll(t.Context(), in.updates, courier.WithConcurrency(4)))
		if at := times.at["user-7"]; at != time.Second {
			t.Errorf("what is not sent has its outcome after %v, want 1s", at)
		}
	})
}
