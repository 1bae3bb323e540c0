package courier_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	courier "github.com/courier-profiles/courier-go"
	"github.com/jarcoal/httpmock"
)

// TestRunBuffer: updates are pulled only while there is room for them, and an outcome makes
// room when the loop asks for the next one.
func TestRunBuffer(t *testing.T) {
	t.Parallel()
	const concurrency = 64
	for _, test := range []struct {
		size     int // of a request, in bytes
		buffered int
	}{
		{100, 16 * concurrency},
		{1 << 20, 16}, // of 16 MiB
		{6<<20 + 1, 3},
	} {
		t.Run(fmt.Sprint(test.size), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				text := strings.Repeat("x", test.size-len(`{"profile":{"nickname":""}}`))
				profile, pulled := courier.Profile{Nickname: courier.Set(text)}, 0
				updates := func(yield func(string, courier.Profile) bool) {
					for yield(fmt.Sprint("user-", pulled), profile) {
						pulled++
					}
				}
				server := newBulkServer(respondAfter(time.Second, bulkSuccess))
				seq := server.client(t).MergeAll(t.Context(), updates,
					courier.WithConcurrency(concurrency))
				time.Sleep(time.Hour)
				if pulled != 0 {
					t.Errorf("%d updates were pulled before the loop, want none", pulled)
				}
				yielded := 0
				for range seq {
					time.Sleep(time.Hour)
					synctest.Wait()
					// The last one waits inside yield.
					if want := yielded + test.buffered; pulled+1 != want {
						t.Errorf("at outcome %d: %d updates were pulled, want %d",
							yielded, pulled+1, want)
					}
					yielded++
					if yielded == 3 {
						break
					}
				}
			})
		})
	}
}

// TestRunCongestion: each response takes a second, so requests that begin at the same time
// are those in flight.
func TestRunCongestion(t *testing.T) {
	t.Parallel()
	halved, steady := []int{16, 8, 9, 10, 11}, []int{16, 16, 16, 6}
	brokenOff := fail(io.ErrUnexpectedEOF)
	for _, test := range []struct {
		name        string
		first, then httpmock.Responder // to the first 16, and to the others
		want        []int
	}{
		{"429", rejectWith(429), bulkSuccess, halved},
		{"503", rejectWith(503), bulkSuccess, halved},
		{"timeout", hang, bulkSuccess, halved},
		{"no connection", noConnection, bulkSuccess, halved},
		{"429, then other errors", rejectWith(429), rejectWith(400), halved},
		{"429, then broken off", rejectWith(429), brokenOff, []int{16, 8, 8, 8, 8, 6}},
		{"500", rejectWith(500), bulkSuccess, steady},
		{"409", rejectWith(409), bulkSuccess, steady},
		{"broken off", brokenOff, bulkSuccess, steady},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				started := time.Now()
				server := newBulkServer(func(req *http.Request) (*http.Response, error) {
					respond := test.then
					if time.Since(started) == 0 {
						respond = test.first
					}
					return respondAfter(time.Second, respond)(req)
				})
				client := server.client(t,
					courier.WithMaxRetries(0), courier.WithTimeout(5*time.Second))
				in := &bulkInput{n: 54}
				collectOutcomes(t, in.n, client.MergeAll(t.Context(), in.updates))
				var inFlight []int
				times := server.sentAt()
				for _, at := range slices.Sorted(maps.Keys(times)) {
					inFlight = append(inFlight, times[at])
				}
				wantNoDiff(t, "in flight", test.want, inFlight)
			})
		})
	}
}

// TestRunCongestionHalvesWhatIsInFlight: where the input is slow, what is halved is the number
// in flight, and not the concurrency that it has not used.
func TestRunCongestionHalvesWhatIsInFlight(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newBulkServer(byUser(map[string]httpmock.Responder{
			"throttled": respondAfter(time.Second, rejectWith(429)),
		}))
		in := updatesOf("throttled", "a", "b", "c", "d")
		updates := func(yield func(string, courier.Profile) bool) {
			for userID, profile := range in.updates {
				if userID == "a" {
					time.Sleep(2 * time.Second)
				}
				if !yield(userID, profile) {
					return
				}
			}
		}
		client := server.client(t, courier.WithMaxRetries(0))
		collectOutcomes(t, in.n, client.MergeAll(t.Context(), updates))
		second := time.Second
		want := map[time.Duration]int{0: 1, 2 * second: 1, 22 * second: 2, 42 * second: 1}
		wantNoDiff(t, "requests sent at each time", want, server.sentAt())
	})
}

// TestRunTooManyConnections: with more in flight than sockets (ulimit -n), the number halves
// until they suffice. Only what starts with the first burst can run out of retries.
func TestRunTooManyConnections(t *testing.T) {
	t.Parallel()
	const sockets, updates = 100, 5_000
	synctest.Test(t, func(t *testing.T) {
		var open atomic.Int64
		server := newBulkServer(func(req *http.Request) (*http.Response, error) {
			defer open.Add(-1)
			if open.Add(1) > sockets {
				return noConnection(req)
			}
			return respondAfter(time.Second, bulkSuccess)(req)
		})
		client := server.client(t, courier.WithRetryWait(time.Second/2, 8*time.Second))
		in := &bulkInput{n: updates}
		seq := client.MergeAll(t.Context(), in.updates, courier.WithConcurrency(500))
		outcomes, _ := collectOutcomes(t, updates, seq)
		if merged := countKinds(outcomes)["success"]; merged < updates*9/10 {
			t.Errorf("%d of %d updates were merged, want at least 90 %%", merged, updates)
		}
	})
}

// TestRunRetryAfter: all responses but those below take a second, and the number in flight
// is 4. Updates 0 and 1 are throttled after 0.5 s and 0.75 s.
func TestRunRetryAfter(t *testing.T) {
	t.Parallel()
	const none = 0
	second := func(n float64) time.Duration { return time.Duration(n * float64(time.Second)) }
	for _, test := range []struct {
		name          string
		first, second httpmock.Responder
		want          map[time.Duration]int // requests sent
	}{
		{
			name: "429", first: throttleWith(429, "5"), second: bulkSuccess,
			want: map[time.Duration]int{0: 4, second(5.5): 3},
		},
		{
			name: "503", first: throttleWith(503, "5"), second: bulkSuccess,
			want: map[time.Duration]int{0: 4, second(5.5): 3},
		},
		{
			name: "a longer one follows", first: throttleWith(429, "2"),
			second: throttleWith(429, "8"),
			// Retries at 2.5 s and 8.75 s, and others after the longer one.
			want: map[time.Duration]int{0: 4, second(2.5): 1, second(8.75): 3},
		},
		{
			name: "a shorter one follows", first: throttleWith(429, "8"),
			second: throttleWith(429, "2"),
			want:   map[time.Duration]int{0: 4, second(2.75): 1, second(8.5): 3},
		},
		{
			// Longer than WithMaxRetryAfter: not even retried, and others are started.
			name: "429 of two minutes", first: throttleWith(429, "120"), second: bulkSuccess,
			want: map[time.Duration]int{0: 4, second(1): 2},
		},
		{
			name: "400", first: throttleWith(400, "5"), second: bulkSuccess,
			want: map[time.Duration]int{0: 4, second(0.5): 1, second(0.75): 1},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				late := respondAfter(time.Second, bulkSuccess)
				users := map[string]httpmock.Responder{
					"user-0": respondAfter(second(0.5), test.first.Then(bulkSuccess)),
					"user-1": respondAfter(second(0.75), test.second.Then(bulkSuccess)),
				}
				for i := 2; i < 6; i++ {
					users[fmt.Sprint("user-", i)] = late
				}
				server := newBulkServer(byUser(users))
				client := server.client(t, courier.WithRetryWait(none, none))
				in := &bulkInput{n: 6}
				collectOutcomes(t, in.n, client.MergeAll(t.Context(), in.updates,
					courier.WithConcurrency(4)))
				wantNoDiff(t, "requests at each time", test.want, server.sentAt())
			})
		})
	}
}

// How a run ends before its input does.

// wantNothingLater fails if anything is in flight or is sent later.
func wantNothingLater(t testing.TB, server *bulkServer) {
	t.Helper()
	server.mu.Lock()
	inFlight := server.inFlight
	server.mu.Unlock()
	if inFlight != 0 {
		t.Errorf("%d requests are in flight after the loop", inFlight)
	}
	before := len(server.sentTo())
	time.Sleep(24 * time.Hour)
	if later := len(server.sentTo()) - before; later != 0 {
		t.Errorf("%d requests were sent after the loop", later)
	}
}

// TestRunFirewall: an error that a firewall returns for one update is the outcome of that
// update.
func TestRunFirewall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newBulkServer(func(req *http.Request) (*http.Response, error) {
			if userIDOf(req) == "user-1" {
				return firewall403(req)
			}
			return bulkSuccess(req)
		})
		in := &bulkInput{n: 10_000}
		outcomes, _ := collectOutcomes(t, in.n, server.client(t).MergeAll(t.Context(), in.updates))
		wantNoDiff(t, "outcomes",
			map[string]int{"success": 9_999, "permission": 1}, countKinds(outcomes))
	})
}

// TestRunEndsByRefusal: after Courier refuses the API key, nothing more is pulled, sent, or
// retried. What is in flight finishes, and what was pulled has an outcome.
func TestRunEndsByRefusal(t *testing.T) {
	t.Parallel()
	for status, refusal := range map[int]string{401: "authentication", 403: "permission"} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				const concurrency = 5
				in := &bulkInput{n: -1, users: []string{
					"refused", "slow", "fails", "waits", "breaks", "slow", "refused", "waits",
				}}
				server := newBulkServer(byUser(map[string]httpmock.Responder{
					"refused": respondAfter(time.Second, rejectWith(status)),
					"slow":    respondAfter(5*time.Second, bulkSuccess),
					"fails":   respondAfter(3*time.Second, rejectWith(500)),
					"waits":   respondAfter(time.Second/2, rejectWith(500)), // for its retry
					"breaks":  respondAfter(4*time.Second, fail(io.ErrUnexpectedEOF)),
				}))
				seq := server.client(t).MergeAll(t.Context(), in.updates,
					courier.WithConcurrency(concurrency))
				outcomes, at := collectOutcomes(t, 16*concurrency, seq)

				want := slices.Repeat([]string{refusal + ", not sent"}, 16*concurrency)
				copy(want, []string{refusal, "success", "server", "server", "connection"})
				want[7] = "server, not sent" // the first failure of its user
				wantNoDiff(t, "outcomes", want, kindsOf(outcomes))

				wantAt := slices.Repeat([]time.Duration{time.Second}, 16*concurrency)
				copy(wantAt, []time.Duration{
					time.Second,
					5 * time.Second,
					33 * time.Second, // the wait for a retry runs out first
					30*time.Second + time.Second/2,
					34 * time.Second,
					5 * time.Second,                // after the one before
					time.Second,                    //
					30*time.Second + time.Second/2, // after the one before
				})
				wantNoDiff(t, "time of outcomes", wantAt, at)
				if len(server.sent) != concurrency {
					t.Errorf("%d requests were sent, want %d", len(server.sent), concurrency)
				}
				text := outcomes[79].Err.Error()
				wantText := fmt.Sprintf("courier: merge profile: nothing was sent: "+
					"the run ended: merge profile: %d some_error: Some message", status)
				if text != wantText {
					t.Errorf("got the error %q, want %q", text, wantText)
				}
				wantNothingLater(t, server)
			})
		})
	}
}

// TestRunEndsWhilePulling: what is pulled or waits for the limiter when the run ends has that
// as its outcome, even if it is invalid, or the context or the limiter's patience ends too.
func TestRunEndsWhilePulling(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
		defer cancel()
		updates := func(yield func(string, courier.Profile) bool) {
			for _, userID := range []string{"refused", "10 s", "ctx", "refuses"} {
				if !yield(userID, numbered(0)) {
					t.Errorf("the run ended with %s", userID)
					return
				}
				time.Sleep(time.Millisecond) // so that they come to the limiter in order
			}
			time.Sleep(time.Minute)
			if yield("late", courier.Profile{Nickname: courier.Set("\xff")}) {
				t.Error("the run goes on after a minute")
			}
		}
		var calls atomic.Int64
		wait := bulkLimiter(func(ctx context.Context) error {
			switch calls.Add(1) {
			case 2:
				time.Sleep(10 * time.Second)
			case 3:
				<-ctx.Done()
				return ctx.Err()
			case 4:
				time.Sleep(10 * time.Second)
				return errCaller
			}
			return nil
		})
		server := newBulkServer(respondAfter(time.Second, rejectWith(http.StatusUnauthorized)))
		outcomes, _ := collectOutcomes(t, 5, server.client(t).MergeAll(ctx, updates,
			courier.WithRateLimiter(wait)))
		notSent := "authentication, not sent"
		wantNoDiff(t, "outcomes",
			[]string{"authentication", notSent, notSent, notSent, notSent}, kindsOf(outcomes))
		wantNoDiff(t, "sent", []string{"refused"}, server.sentTo())
	})
}

// TestRunEndsByFailuresInRow: an outage, a wrong base URL, or a key that a gateway rejects
// fails for 100 updates, or twice the concurrency if that is more, and ends the run.
func TestRunEndsByFailuresInRow(t *testing.T) {
	t.Parallel()
	portal := httpmock.NewStringResponder(http.StatusOK, "<h1>Log in</h1>").
		HeaderSet(http.Header{"Content-Type": {"text/html"}})
	for _, test := range []struct {
		name        string
		respond     httpmock.Responder
		concurrency int
		inRow       int
		want        string
	}{
		{"Courier is down", fail(syscall.ECONNREFUSED), 16, 100, "connection"},
		{"gateway's 401", gateway401, 16, 100, "authentication"},
		{"firewall's 403", firewall403, 16, 100, "permission"},
		{"wrong base URL", httpmock.NewStringResponder(404, ""), 16, 100, "not found"},
		{"captive portal", portal, 16, 100, "unexpected"},
		{"500", rejectWith(500), 16, 100, "server"},
		{"409", rejectWith(409), 16, 100, "conflict"},
		{"429 of two minutes", throttleWith(429, "120"), 16, 100, "rate limit"},
		{"concurrency of 50", gateway401, 50, 100, "authentication"},
		{"concurrency of 60", gateway401, 60, 120, "authentication"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				server, in := newBulkServer(test.respond), &bulkInput{n: 30_000}
				seq := server.client(t).MergeAll(t.Context(), in.updates,
					courier.WithConcurrency(test.concurrency))
				yielded, failed := 0, 0
				for outcome := range seq {
					yielded++
					if !errors.Is(outcome.Err, courier.ErrNotSent) {
						failed++
						if got := kindOf(outcome.Err); got != test.want {
							t.Errorf("update %d: got %s, want %s", outcome.Index, got, test.want)
						}
						continue
					}
					if failed < test.inRow {
						t.Fatalf("the run ended after %d failures: %v", failed, outcome.Err)
					}
					wantNotSentBecause(t, outcome.Err, test.want)
				}
				// Attempts that are in flight finish.
				if most := test.inRow + test.concurrency - 1; failed > most {
					t.Errorf("%d updates failed, want at most %d", failed, most)
				}
				pulled := int(in.pulled.Load())
				if yielded != pulled {
					t.Errorf("%d outcomes of %d updates that were pulled", yielded, pulled)
				}
				if most := test.inRow + 16*test.concurrency; pulled > most {
					t.Errorf("%d updates were pulled, want at most %d", pulled, most)
				}
				wantNothingLater(t, server)
			})
		})
	}
}

// wantNotSentBecause fails unless an update was not sent because of a kind of failure. That
// a *ConnectionError is the reason is only in the text.
func wantNotSentBecause(t *testing.T, err error, failure string) {
	t.Helper()
	want := failure + ", not sent"
	if failure == "connection" {
		want = "not sent"
	}
	if got := kindOf(err); got != want {
		t.Errorf("got %s, want %s: %v", got, want, err)
	}
	if !strings.Contains(err.Error(), " updates failed in a row, ") {
		t.Errorf("the error does not say why the run ended: %v", err)
	}
}

// TestRunFailuresInRow: 99 updates fail, then comes the one of the table, and then 60 fail.
func TestRunFailuresInRow(t *testing.T) {
	t.Parallel()
	const beginsRow, counts, doesNotCount = 99 + 1 + 60, 100, 100
	for _, test := range []struct {
		name    string
		userID  string
		respond httpmock.Responder
		sent    int // requests
		failed  int // outcomes of updates that were sent
	}{
		{"success", "x", bulkSuccess, beginsRow, 159},
		{"Courier's 400", "x", rejectWith(400), beginsRow, 160},
		{"Courier's 404", "x", rejectWith(404), beginsRow, 160},
		{"Courier's 413", "x", rejectWith(413), beginsRow, 160},
		{"400 without a type", "x", respond(400, "{}"), counts, 100},
		{"404 without a type", "x", respond(404, "{}"), counts, 100},
		{"gateway's 401", "x", gateway401, counts, 100},
		{"firewall's 403", "x", firewall403, counts, 100},
		{"Courier's 408", "x", rejectWith(408), counts, 100},
		{"Courier's 409", "x", rejectWith(409), counts, 100},
		{"Courier's 429", "x", rejectWith(429), counts, 100},
		{"Courier's 500", "x", rejectWith(500), counts, 100},
		{"3xx", "x", respond(302, ""), counts, 100},
		{"unexpected response", "x", respond(200, "[]"), counts, 100},
		{"connection", "x", fail(io.ErrUnexpectedEOF), counts, 100},
		{"invalid user ID", "..", nil, doesNotCount, 100},
		{"limiter", "limited", nil, doesNotCount, 100},
		{"earlier failure of the user", "user-0", nil, doesNotCount, 100},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				server := newBulkServer(func(req *http.Request) (*http.Response, error) {
					if userIDOf(req) == "x" {
						return test.respond(req)
					}
					return rejectWith(500)(req)
				})
				client := server.client(t, courier.WithMaxRetries(0))
				in := &bulkInput{n: 160}
				for i := range 99 {
					in.users = append(in.users, fmt.Sprint("user-", i))
				}
				in.users = append(in.users, test.userID)
				var asked atomic.Int64
				limit := bulkLimiter(func(context.Context) error {
					if asked.Add(1) == 100 && test.userID == "limited" {
						return errCaller
					}
					return nil
				})
				failed := 0
				seq := client.MergeAll(t.Context(), in.updates,
					courier.WithConcurrency(1), courier.WithRateLimiter(limit))
				for outcome := range seq {
					if outcome.Err != nil && !errors.Is(outcome.Err, courier.ErrNotSent) {
						failed++
					}
				}
				if len(server.sent) != test.sent {
					t.Errorf("%d updates were sent, want %d", len(server.sent), test.sent)
				}
				if failed != test.failed {
					t.Errorf("%d of them failed, want %d", failed, test.failed)
				}
			})
		})
	}
}

// TestRunInputEnds: the graceful stop is an input that ends. What was pulled is sent.
func TestRunInputEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var stop atomic.Bool
		in := &bulkInput{n: -1}
		updates := func(yield func(string, courier.Profile) bool) {
			in.updates(func(userID string, profile courier.Profile) bool {
				return yield(userID, profile) && !stop.Load()
			})
		}
		server := newBulkServer(respondAfter(time.Second, bulkSuccess))
		merged := 0
		for outcome := range server.client(t).MergeAll(t.Context(), updates) {
			if outcome.Err != nil {
				t.Errorf("update %d: %v", outcome.Index, outcome.Err)
			}
			merged++
			if merged == 3 {
				stop.Store(true)
			}
		}
		pulled := int(in.pulled.Load())
		if pulled < 16*16 {
			t.Errorf("%d updates were pulled, want a full buffer", pulled)
		}
		if merged != pulled {
			t.Errorf("%d updates were merged, want all %d that were pulled", merged, pulled)
		}
	})
}

// TestRunContextEnds: attempts in flight are cut off, every update that was pulled has an
// outcome, and errors have the context's error, never its cause.
func TestRunContextEnds(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, want string
		context    func(context.Context) (context.Context, context.CancelFunc)
		waits      string // the outcome of what was waiting for a retry
	}{
		{
			name: "canceled with a cause", want: "canceled", waits: "server, canceled",
			context: func(ctx context.Context) (context.Context, context.CancelFunc) {
				ctx, cancel := context.WithCancelCause(ctx)
				time.AfterFunc(time.Second, func() { cancel(errCaller) })
				return ctx, func() { cancel(nil) }
			},
		},
		{
			// A wait that would outlive the deadline is not begun.
			name: "deadline", want: "deadline", waits: "server",
			context: func(ctx context.Context) (context.Context, context.CancelFunc) {
				return context.WithTimeoutCause(ctx, time.Second, errCaller)
			},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := test.context(t.Context())
				defer cancel()
				in := &bulkInput{n: -1, users: []string{
					"done", "hangs", "deaf", "waits", "deaf", "..",
				}}
				deaf := func(req *http.Request) (*http.Response, error) {
					time.Sleep(3 * time.Second)
					return bulkSuccess(req)
				}
				server := newBulkServer(byUser(map[string]httpmock.Responder{
					"done":  respondAfter(time.Second/2, bulkSuccess),
					"hangs": hang,
					"deaf":  deaf,
					"waits": respondAfter(time.Second/2, rejectWith(500)),
				}))
				seq := server.client(t).MergeAll(ctx, in.updates, courier.WithConcurrency(4))
				got, notSent := map[int]string{}, "not sent, "+test.want
				for outcome := range seq {
					got[outcome.Index] = kindOf(outcome.Err)
					if got[outcome.Index] != notSent || outcome.UserID == "deaf" {
						continue
					}
					if at := time.Since(server.started); at != time.Second {
						t.Errorf("update %d has its outcome after %v, want 1s", outcome.Index, at)
					}
				}
				want := map[int]string{
					0: "success", 1: "connection, " + test.want, 2: "success", 3: test.waits,
					4: notSent, 5: "validation, not sent",
				}
				sent := server.sentTo()
				for i := len(want); i < int(in.pulled.Load()); i++ {
					want[i] = notSent
					if slices.Contains(sent, fmt.Sprint("user-", i)) {
						want[i] = "connection, " + test.want
					}
				}
				wantNoDiff(t, "outcomes", want, got)
				if elapsed := time.Since(server.started); elapsed != 3*time.Second {
					t.Errorf("the loop ended after %v, want 3s", elapsed)
				}
				wantNothingLater(t, server)
			})
		})
	}
}

// TestRunContextEndedBefore: nothing is sent, and the context is the reason even for an
// update that is invalid too.
func TestRunContextEndedBefore(t *testing.T) {
	t.Parallel()
	for _, userID := range []string{"ada", ".."} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			server, in := newBulkServer(bulkSuccess), &bulkInput{n: -1, users: []string{userID}}
			outcomes := slices.Collect(server.client(t).MergeAll(ctx, in.updates))
			wantNoDiff(t, "outcomes of "+userID, []string{"not sent, canceled"}, kindsOf(outcomes))
			wantNothingLater(t, server)
		})
	}
}

// TestRunContextEndsFirst: what waits has its outcome as soon as the context ends, even if
// the transport does not notice. A refusal that comes later is not the reason.
func TestRunContextEndsFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		updates := func(yield func(string, courier.Profile) bool) {
			if yield("refused", numbered(0)) && yield("waits", numbered(1)) {
				time.Sleep(3 * time.Second)
				yield("late", numbered(2))
			}
		}
		server := newBulkServer(func(req *http.Request) (*http.Response, error) {
			time.Sleep(2 * time.Second)
			return rejectWith(http.StatusUnauthorized)(req)
		})
		outcomes, at := collectOutcomes(t, 3, server.client(t).MergeAll(ctx, updates,
			courier.WithConcurrency(1)))
		wantNoDiff(t, "outcomes", []string{
			"authentication", "not sent, deadline", "not sent, deadline",
		}, kindsOf(outcomes))
		wantNoDiff(t, "time of outcomes", []time.Duration{
			2 * time.Second, time.Second, 3 * time.Second,
		}, at)
	})
}

// TestRunLeft: when the loop is left, attempts in flight are cut off, and nothing more is
// sent or retried. Only the input is waited for.
func TestRunLeft(t *testing.T) {
	t.Parallel()
	for name, leave := range map[string]func(){
		"break":  func() {},
		"panic":  func() { panic(errCaller) },
		"Goexit": runtime.Goexit, // as t.FailNow does
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				started := time.Now()
				var cutOffAt atomic.Int64
				server := newBulkServer(byUser(map[string]httpmock.Responder{
					"first":     respondAfter(time.Second, bulkSuccess),
					"throttled": respondAfter(time.Second/2, throttleWith(429, "30")),
					"hangs": func(req *http.Request) (*http.Response, error) {
						resp, err := hang(req)
						cutOffAt.Store(int64(time.Since(started)))
						return resp, err
					},
				}))
				in := &bulkInput{n: -1, users: []string{"first", "throttled", "hangs", "hangs"}}
				updates := func(yield func(string, courier.Profile) bool) {
					in.updates(yield)
					time.Sleep(time.Minute)
				}
				seq := server.client(t).MergeAll(t.Context(), updates, courier.WithConcurrency(3))
				panicked := make(chan any)
				go func() {
					defer func() { panicked <- recover() }()
					for range seq {
						leave()
						break
					}
				}()
				var want any
				if name == "panic" {
					want = errCaller
				}
				if got := <-panicked; got != want {
					t.Errorf("the loop panicked with %v, want %v", got, want)
				}
				if elapsed := time.Since(server.started); elapsed != time.Minute+time.Second {
					t.Errorf("the loop ended after %v, want 1m1s", elapsed)
				}
				if cutOff := time.Duration(cutOffAt.Load()); cutOff != time.Second {
					t.Errorf("the attempt in flight was cut off after %v, want 1s", cutOff)
				}
				wantNoDiff(t, "sent", []string{"first", "hangs", "throttled"}, server.sentTo())
				if pulled := in.pulled.Load(); pulled != 3*16 {
					t.Errorf("%d updates were pulled, want %d", pulled, 3*16)
				}
				wantNothingLater(t, server)
			})
		})
	}
}

// callsBack is a value that calls back when it is serialized.
type callsBack func()

func (f callsBack) MarshalJSON() ([]byte, error) {
	f()
	return []byte("1"), nil
}

// TestRunCallerCodePanics: a panic of the caller's code ends the run. Outcomes of other
// updates are yielded, and then the loop panics with the same value. What ends its goroutine
// (runtime.Goexit, by t.FailNow) ends the run too.
func TestRunCallerCodePanics(t *testing.T) {
	t.Parallel()
	// A panic while pulling is the end of the input; any other ends the run.
	pulling := []string{"0 success", "1 success"}
	sending := []string{"0 success", "1 not sent", "3 not sent"}
	for _, place := range []struct {
		name string
		want []string
	}{
		{"input", pulling},
		{"MarshalJSON", pulling},
		{"key", pulling},
		{"limiter", sending},
		{"transport", sending},
		{"observer", sending},
	} {
		for way, fails := range map[string]func(){
			"panic":  func() { panic(errCaller) },
			"Goexit": runtime.Goexit,
		} {
			t.Run(place.name+" "+way, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					failIf := func(name string, condition bool) {
						if place.name == name && condition {
							fails()
						}
					}
					bad := courier.Profile{Extra: map[string]any{
						"x": callsBack(func() { failIf("MarshalJSON", true) }),
					}}
					returned := false
					updates := func(yield func(string, courier.Profile) bool) {
						defer func() { returned = true }()
						for i, userID := range []string{"slow", "slow", "bad", "slow"} {
							profile := numbered(i)
							if userID == "bad" {
								profile = bad
							}
							failIf("input", i == 2)
							if !yield(userID, profile) {
								return
							}
							time.Sleep(time.Millisecond) // the update is sent by now
						}
					}
					server := newBulkServer(byUser(map[string]httpmock.Responder{
						"slow": respondAfter(2*time.Second, bulkSuccess),
						"bad": func(req *http.Request) (*http.Response, error) {
							failIf("transport", true)
							return rejectWith(400)(req)
						},
					}))
					client := server.client(t, courier.WithObserver(
						func(_ context.Context, attempt courier.Attempt) {
							failIf("observer", attempt.StatusCode == 400)
						}))
					var asked atomic.Int64
					limit := bulkLimiter(func(context.Context) error {
						failIf("limiter", asked.Add(1) == 2)
						return nil
					})
					keys := func(index int, _ string) string {
						failIf("key", index == 2)
						return ""
					}
					seq := client.MergeAll(t.Context(), updates,
						courier.WithRateLimiter(limit), courier.WithIdempotencyKeys(keys))

					var outcomes []string
					var panicked any
					func() {
						defer func() { panicked = recover() }()
						for outcome := range seq {
							text := fmt.Sprint(outcome.Index, " ", kindOf(outcome.Err))
							outcomes = append(outcomes, text)
						}
					}()
					var want any
					if way == "panic" {
						want = errCaller
					}
					if panicked != want {
						t.Errorf("the loop panicked with %v, want %v", panicked, want)
					}
					slices.Sort(outcomes)
					wantNoDiff(t, "outcomes", place.want, outcomes)
					if !returned {
						t.Error("the input has not returned")
					}
					wantNothingLater(t, server)
				})
			})
		}
	}
}

// TestRunGoexitAlone: the loop ends although no other goroutine of the run is left to settle
// what waits to be sent.
func TestRunGoexitAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newBulkServer(func(*http.Request) (*http.Response, error) {
			time.Sleep(time.Second) // the others are pulled by now
			runtime.Goexit()
			return nil, nil
		})
		in := updatesOf("exits", "waits", "waits too")
		var outcomes []string
		for outcome := range server.client(t).MergeAll(
			t.Context(), in.updates, courier.WithConcurrency(1),
		) {
			outcomes = append(outcomes, fmt.Sprint(outcome.Index, " ", kindOf(outcome.Err)))
		}
		wantNoDiff(t, "outcomes", []string{"1 not sent", "2 not sent"}, outcomes)
	})
}

// TestRunInvariants checks what holds for every run on many small random ones.
func TestRunInvariants(t *testing.T) {
	t.Parallel()
	runs := uint64(500)
	if testing.Short() {
		runs = 100
	}
	for seed := range runs {
		synctest.Test(t, func(t *testing.T) {
			run := newRandomRun(t, seed)
			run.loop()
			run.checkRequests()
			run.checkOutcomes()
			if t.Failed() {
				t.Fatalf("with the seed %d", seed)
			}
		})
	}
}

// randomRun is a run over updates of few users, with random responses, delays, and one of
// the ways to stop.
type randomRun struct {
	t           *testing.T
	seed        uint64
	users       []string // of the updates
	concurrency int
	stop        string // one of the ways to stop
	server      *bulkServer
	statuses    []int // of the last response to each update
	pulled      atomic.Int64
	outcomes    map[int]courier.Outcome
	panicked    any
}

var waysToStop = []string{
	"", "", "input ends", "leave", "cancel", "refuse", "panic", "input panics",
}

func newRandomRun(t *testing.T, seed uint64) *randomRun {
	random := rand.New(rand.NewPCG(seed, 0))
	run := &randomRun{
		t:           t,
		seed:        seed,
		concurrency: 1 + random.IntN(6),
		stop:        waysToStop[random.IntN(len(waysToStop))],
		outcomes:    map[int]courier.Outcome{},
	}
	users := 1 + random.IntN(20)
	for range random.IntN(250) {
		run.users = append(run.users, fmt.Sprint("user-", random.IntN(users)))
	}
	run.statuses = make([]int, len(run.users))
	run.server = newBulkServer(run.respond)
	return run
}

// random returns a source for what depends on an update, in whatever order they come.
func (run *randomRun) random(index int, more uint64) *rand.Rand {
	return rand.New(rand.NewPCG(run.seed, more<<32|uint64(index)))
}

// chosen reports whether it is at this update that the run is stopped in a given way.
func (run *randomRun) chosen(index int, stop string) bool {
	return run.stop == stop && index == len(run.users)*2/3
}

func (run *randomRun) updates(yield func(string, courier.Profile) bool) {
	for i, userID := range run.users {
		random := run.random(i, 0)
		if random.IntN(4) == 0 {
			time.Sleep(time.Duration(random.IntN(2000)) * time.Millisecond)
		}
		if run.chosen(i, "input panics") {
			panic(errCaller)
		}
		if run.chosen(i, "input ends") {
			return
		}
		profile := numbered(i)
		if random.IntN(30) == 0 {
			profile.Extra = map[string]any{"nickname": "twice"}
		}
		run.pulled.Add(1)
		if !yield(userID, profile) {
			return
		}
	}
}

func (run *randomRun) respond(req *http.Request) (*http.Response, error) {
	index, attempt := run.lastSent(req)
	random := run.random(index, attempt)
	if run.chosen(index, "panic") {
		panic(errCaller)
	}
	status := 200
	if run.chosen(index, "refuse") {
		status = 401
	} else if random.IntN(4) == 0 {
		status = []int{400, 409, 429, 500, 503, 0}[random.IntN(6)]
	}
	var respond httpmock.Responder
	switch {
	case status == 0:
		respond = fail(io.ErrUnexpectedEOF)
	case status == 200:
		respond = bulkSuccess
	case random.IntN(2) == 0:
		respond = throttleWith(status, fmt.Sprint(random.IntN(90)))
	default:
		respond = rejectWith(status)
	}
	resp, err := respondAfter(time.Duration(random.IntN(500))*time.Millisecond, respond)(req)
	if err == nil {
		run.server.mu.Lock()
		defer run.server.mu.Unlock()
		run.statuses[index] = status
	}
	return resp, err
}

// lastSent returns the index of the update that was last sent to a request's user, and how
// often it was sent.
func (run *randomRun) lastSent(req *http.Request) (index int, attempt uint64) {
	run.server.mu.Lock()
	defer run.server.mu.Unlock()
	var body string
	for _, sent := range run.server.sent {
		if sent.UserID != userIDOf(req) {
			continue
		}
		if sent.Body != body {
			body, attempt = sent.Body, 0
		}
		attempt++
	}
	return run.indexOf(body), attempt
}

func (run *randomRun) indexOf(body string) int {
	var index int
	_, err := fmt.Sscanf(body, `{"profile":{"nickname":"%d"}}`, &index)
	if err != nil {
		run.t.Errorf("body %q: %v", body, err)
	}
	return index
}

// loop runs, and returns when no goroutine of the run is left.
func (run *randomRun) loop() {
	ctx, cancel := context.WithCancel(run.t.Context())
	defer cancel()
	defer func() { run.panicked = recover() }()
	random := run.random(0, 1<<16)
	limit := bulkLimiter(func(ctx context.Context) error {
		time.Sleep(time.Millisecond)
		return ctx.Err()
	})
	client := run.server.client(run.t, courier.WithRetryWait(time.Millisecond, time.Second))
	seq := client.MergeAll(ctx, run.updates,
		courier.WithConcurrency(run.concurrency), courier.WithRateLimiter(limit))
	for outcome := range seq {
		index := outcome.Index
		if _, ok := run.outcomes[index]; ok {
			run.t.Errorf("update %d has a second outcome", index)
		}
		run.outcomes[index] = outcome
		// Those without an outcome, and the one for which add waits.
		held := int(run.pulled.Load()) - len(run.outcomes) + 1
		if held > 16*run.concurrency {
			run.t.Errorf("%d updates are held, want at most %d", held, 16*run.concurrency)
		}
		if random.IntN(20) == 0 {
			time.Sleep(10 * time.Second)
		}
		if run.chosen(index, "cancel") {
			cancel()
		}
		if run.chosen(index, "leave") {
			break
		}
	}
}

// checkRequests checks how many requests were in flight, and that an update is sent only
// after all earlier ones of its user succeeded.
func (run *randomRun) checkRequests() {
	t, server := run.t, run.server
	wantNothingLater(t, server)
	if server.overlaps > 0 {
		t.Errorf("%d requests overlapped with one of the same user", server.overlaps)
	}
	if server.most > run.concurrency {
		t.Errorf("%d requests were in flight, want at most %d", server.most, run.concurrency)
	}
	last := map[string]int{} // update of each user
	for _, sent := range server.sent {
		index := run.indexOf(sent.Body)
		previous, ok := last[sent.UserID]
		if ok && index < previous {
			t.Errorf("update %d was sent after %d, of the same user", index, previous)
		}
		last[sent.UserID] = index
		for i := range index {
			if run.users[i] == sent.UserID && run.statuses[i] != 200 {
				t.Errorf("update %d was sent, but %d of the same user got %d, want 200",
					index, i, run.statuses[i])
			}
		}
	}
}

// checkOutcomes checks that each update that was pulled has its outcome, and that this is
// what came back.
func (run *randomRun) checkOutcomes() {
	t := run.t
	if want := run.stop == "panic" || run.stop == "input panics"; run.panicked != nil && !want {
		t.Errorf("the loop panicked with %v", run.panicked)
	}
	var sent []int
	for _, request := range run.server.sent {
		sent = append(sent, run.indexOf(request.Body))
	}
	for i := range int(run.pulled.Load()) {
		outcome, ok := run.outcomes[i]
		lost := run.stop == "leave" || run.chosen(i, "panic") && run.panicked != nil
		if !ok {
			if !lost {
				t.Errorf("update %d has no outcome", i)
			}
			continue
		}
		if outcome.UserID != run.users[i] {
			t.Errorf("update %d has the user %s, want %s", i, outcome.UserID, run.users[i])
		}
		if (outcome.Result == nil) == (outcome.Err == nil) {
			t.Errorf("update %d: got %v and %v, want one", i, outcome.Result, outcome.Err)
		}
		if succeeded := run.statuses[i] == 200; succeeded != (outcome.Err == nil) {
			t.Errorf("update %d: got %v for the status %d", i, outcome.Err, run.statuses[i])
		}
		notSent := errors.Is(outcome.Err, courier.ErrNotSent)
		if notSent == slices.Contains(sent, i) {
			t.Errorf("update %d: got %v, sent: %t", i, outcome.Err, !notSent)
		}
		if notSent && isA[*courier.ConnectionError](outcome.Err) {
			t.Errorf("update %d: got a *ConnectionError, but was not sent", i)
		}
	}
}
