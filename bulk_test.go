package courier_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	courier "github.com/courier-profiles/courier-go"
	"github.com/courier-profiles/courier-go/couriertest"
)

// The tests of MergeAll: order, what it holds, and how fast it goes.
// bulk_run_test.go has the ways a run ends.

// bulkCourier is Courier in memory, in the time of a bubble. It reads the number
// of an update from the profile that bulkInput gave it.
type bulkCourier struct {
	answer func(bulkRequest) retryStep

	mu       sync.Mutex
	sent     []bulkRequest
	tries    map[int]int    // by update
	users    map[string]int // requests in flight, by user
	inFlight int
	most     int // in flight
	overlaps int // requests for a user who had one in flight
	ended    map[int]time.Time
	broken   int // requests whose context ended before the answer
}

type bulkRequest struct {
	userID string
	update int
	try    int // from 1
	at     time.Time
}

func (c *bulkCourier) RoundTrip(req *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	r := bulkRequest{userID: strings.TrimPrefix(req.URL.Path, "/base/v1/profiles/"), at: time.Now()}
	if _, err := fmt.Sscanf(string(body), `{"profile":{"nickname":"%d"}}`, &r.update); err != nil {
		return nil, err
	}
	c.begin(&r)
	defer c.end(r, req)
	return c.answer(r)(req)
}

func (c *bulkCourier) begin(r *bulkRequest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.users == nil {
		c.tries, c.users, c.ended = map[int]int{}, map[string]int{}, map[int]time.Time{}
	}
	c.tries[r.update]++
	r.try = c.tries[r.update]
	c.sent = append(c.sent, *r)
	if c.users[r.userID]++; c.users[r.userID] > 1 {
		c.overlaps++
	}
	c.inFlight++
	c.most = max(c.most, c.inFlight)
}

func (c *bulkCourier) end(r bulkRequest, req *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.users[r.userID]--
	c.inFlight--
	c.ended[r.update] = time.Now()
	if req.Context().Err() != nil {
		c.broken++
	}
}

func (c *bulkCourier) requests() []bulkRequest {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.sent)
}

// bulkTakes answers every request with success after d.
func bulkTakes(d time.Duration) *bulkCourier {
	return &bulkCourier{answer: func(bulkRequest) retryStep { return retryTakes(d, retryStatus(200)) }}
}

// bulkInput yields n updates, or updates without end if n is negative.
type bulkInput struct {
	n      int
	userID func(update int) string // nil for a user of each update's own
	pulled atomic.Int64
}

func (in *bulkInput) user(update int) string {
	if in.userID == nil {
		return fmt.Sprint("user-", update)
	}
	return in.userID(update)
}

func (in *bulkInput) updates(yield func(string, courier.Profile) bool) {
	for i := 0; in.n < 0 || i < in.n; i++ {
		in.pulled.Add(1)
		if !yield(in.user(i), courier.Profile{Nickname: courier.Set(fmt.Sprint(i))}) {
			return
		}
	}
}

// bulkUsers are the users of the first updates; those of the others have one
// each of their own.
func bulkUsers(first ...string) func(int) string {
	return func(update int) string {
		if update < len(first) {
			return first[update]
		}
		return fmt.Sprint("user-", update)
	}
}

// bulkWant fails unless outcomes has exactly one for each of the first n updates
// of in. It returns them in the order of the input.
func bulkWant(t testing.TB, in *bulkInput, n int, outcomes []courier.MergeOutcome) []courier.MergeOutcome {
	t.Helper()
	if len(outcomes) != n {
		t.Fatalf("%d outcomes for %d updates", len(outcomes), n)
	}
	sorted := slices.SortedFunc(slices.Values(outcomes), func(a, b courier.MergeOutcome) int {
		return a.Index - b.Index
	})
	for i, outcome := range sorted {
		if outcome.Index != i || outcome.UserID != in.user(i) {
			t.Fatalf("in the place of update %d, of %s, is an outcome of update %d, of %s", i, in.user(i), outcome.Index, outcome.UserID)
		}
		if (outcome.Result == nil) == (outcome.Err == nil) {
			t.Errorf("update %d has the result %v and the error %v", i, outcome.Result, outcome.Err)
		}
	}
	return sorted
}

// bulkMerged fails unless all of the first n updates of in were merged.
func bulkMerged(t testing.TB, in *bulkInput, n int, outcomes []courier.MergeOutcome) {
	t.Helper()
	for _, outcome := range bulkWant(t, in, n, outcomes) {
		if outcome.Err != nil || outcome.Result.Status != "SUCCESS" || outcome.Result.StatusCode != 200 {
			t.Fatalf("update %d: result %v, error %v", outcome.Index, outcome.Result, outcome.Err)
		}
	}
}

// TestMergeAllOrder has users with many updates each, answers that take their
// time, and failures.
func TestMergeAllOrder(t *testing.T) {
	const updates, users = 800, 100
	answer := func(seed uint64, failures bool) func(bulkRequest) retryStep {
		return func(r bulkRequest) retryStep {
			// Not one source for all, which would be drawn from in any order.
			random := rand.New(rand.NewPCG(seed, uint64(r.update*10+r.try)))
			step := retryStatus(200)
			if failures && r.try < 3 {
				switch random.IntN(20) {
				case 0:
					step = retryStatus(503)
				case 1:
					step = retryStatus(429, "Retry-After", "1")
				case 2:
					step = retryError(errRetryBroken)
				case 3:
					step = retryBreakInBody(200)
				}
			}
			return retryTakes(time.Duration(1+random.IntN(50))*time.Millisecond, step)
		}
	}
	for _, concurrency := range []int{1, 2, 16, 64} {
		for seed := range uint64(2) {
			for _, failures := range []bool{false, true} {
				t.Run(fmt.Sprintf("concurrency %d, seed %d, failures %t", concurrency, seed, failures), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						random := rand.New(rand.NewPCG(seed, 0))
						of := make([]string, updates)
						want := map[string][]int{}
						for i := range of {
							of[i] = fmt.Sprint("user-", random.IntN(users))
							want[of[i]] = append(want[of[i]], i)
						}
						in := &bulkInput{n: updates, userID: bulkUsers(of...)}
						server := &bulkCourier{answer: answer(seed, failures)}
						client, _ := retryClient(t, server)

						var outcomes []courier.MergeOutcome
						for outcome := range client.Profiles.MergeAll(t.Context(), in.updates, courier.WithConcurrency(concurrency)) {
							outcomes = append(outcomes, outcome)
							server.mu.Lock()
							if late := time.Since(server.ended[outcome.Index]); late != 0 {
								t.Errorf("the outcome of update %d came %v after its answer", outcome.Index, late)
							}
							server.mu.Unlock()
						}
						bulkMerged(t, in, updates, outcomes)
						if server.overlaps > 0 {
							t.Errorf("%d requests were sent while one of the same user was in flight", server.overlaps)
						}
						if server.most != concurrency {
							t.Errorf("at most %d were in flight, want %d", server.most, concurrency)
						}
						got := map[string][]int{}
						for _, r := range server.sent {
							if got[r.userID] = append(got[r.userID], r.update); r.try > 1 {
								got[r.userID] = slices.Compact(got[r.userID]) // a retry is in its update's place, or stays
							}
						}
						if diff := cmp.Diff(want, got); diff != "" {
							t.Errorf("the order of each user's updates (-input +sent):\n%s", diff)
						}
						if failures == (len(server.sent) == updates) {
							t.Errorf("%d requests for %d updates", len(server.sent), updates)
						}
					})
				})
			}
		}
	}
}

// TestMergeAllDefaultConcurrency: 16 are in flight.
func TestMergeAllDefaultConcurrency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in, server := &bulkInput{n: 100}, bulkTakes(time.Second)
		client, _ := retryClient(t, server)
		bulkMerged(t, in, 100, slices.Collect(client.Profiles.MergeAll(t.Context(), in.updates)))
		if server.most != 16 {
			t.Errorf("%d were in flight, want 16", server.most)
		}
	})
}

// TestMergeAllRetryKeepsTheNextBack: a user's next update waits for the retries
// of the one before, and those of others do not.
func TestMergeAllRetryKeepsTheNextBack(t *testing.T) {
	failures := map[string]retryStep{
		"503 with Retry-After": retryStatus(503, "Retry-After", "5"),
		"500":                  retryStatus(500),
		"error":                retryError(errRetryBroken),
	}
	for name, failure := range failures {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				in := &bulkInput{n: 4, userID: bulkUsers("ada", "ada", "bob", "bob")}
				server := &bulkCourier{answer: func(r bulkRequest) retryStep {
					if r.update == 0 && r.try == 1 {
						return failure
					}
					return retryTakes(time.Second, retryStatus(200))
				}}
				client, _ := retryClient(t, server, courier.WithRetryWait(5*time.Second, 5*time.Second))
				start := time.Now()
				outcomes := slices.Collect(client.Profiles.MergeAll(t.Context(), in.updates))
				bulkMerged(t, in, 4, outcomes)
				for _, outcome := range outcomes {
					if want := map[bool]int{true: 2, false: 1}[outcome.Index == 0]; outcome.Result.Attempts != want {
						t.Errorf("update %d took %d attempts, want %d", outcome.Index, outcome.Result.Attempts, want)
					}
				}
				got := map[string]time.Duration{}
				for _, r := range server.sent {
					got[fmt.Sprintf("update %d, try %d", r.update, r.try)] = r.at.Sub(start)
				}
				want := map[string]time.Duration{
					"update 0, try 1": 0, "update 0, try 2": 5 * time.Second, "update 1, try 1": 6 * time.Second,
					"update 2, try 1": 0, "update 3, try 1": time.Second,
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("when what was sent (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// TestMergeAllFailureLetsTheNextGo: an update that fails for good keeps nobody
// back, and is no reason to leave the user's next one out.
func TestMergeAllFailureLetsTheNextGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := &bulkInput{n: 3, userID: bulkUsers("ada", "ada", "ada")}
		server := &bulkCourier{answer: func(r bulkRequest) retryStep {
			return retryTakes(time.Second, retryStatus([]int{400, 500, 200}[r.update]))
		}}
		client, _ := retryClient(t, server, courier.WithMaxRetries(1))
		outcomes := slices.Collect(client.Profiles.MergeAll(t.Context(), in.updates))
		bulkWant(t, in, 3, outcomes)
		if !has[*courier.InvalidRequestError](outcomes[0].Err) || !has[*courier.ServerError](outcomes[1].Err) || outcomes[2].Err != nil {
			t.Errorf("outcomes %v", outcomes)
		}
		var got []int
		for _, r := range server.sent {
			got = append(got, r.update)
		}
		if diff := cmp.Diff([]int{0, 1, 1, 2}, got); diff != "" {
			t.Errorf("sent (-want +got):\n%s", diff)
		}
	})
}

// TestMergeAllYieldsAtOnce: the input goes on only when the loop has seen the
// outcome of what it has yielded.
func TestMergeAllYieldsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, _ := retryClient(t, bulkTakes(time.Second))
		seen := make(chan int)
		updates := func(yield func(string, courier.Profile) bool) {
			for i := range 10 {
				if !yield("ada", courier.Profile{Nickname: courier.Set(fmt.Sprint(i))}) {
					return
				}
				if got := <-seen; got != i {
					t.Errorf("after update %d came the outcome of %d", i, got)
				}
			}
		}
		start, n := time.Now(), 0
		for outcome := range client.Profiles.MergeAll(t.Context(), updates) {
			n++
			seen <- outcome.Index
		}
		if n != 10 {
			t.Errorf("%d outcomes, want 10", n)
		}
		wantElapsed(t, start, 10*time.Second)
	})
}

// TestMergeAllIsLazy: nothing is pulled before the loop, and no more than the
// bound before the loop is done with an outcome.
func TestMergeAllIsLazy(t *testing.T) {
	for _, concurrency := range []int{1, 3, 16, 64} {
		t.Run(fmt.Sprint(concurrency), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				in, server := &bulkInput{n: -1}, bulkTakes(time.Second)
				client, _ := retryClient(t, server)
				merged := client.Profiles.MergeAll(t.Context(), in.updates, courier.WithConcurrency(concurrency))
				time.Sleep(time.Hour)
				if n, sent := in.pulled.Load(), len(server.requests()); n != 0 || sent != 0 {
					t.Errorf("before the loop %d updates were pulled and %d sent", n, sent)
				}
				done := 0
				for range merged {
					time.Sleep(time.Hour)
					if got, want := int(in.pulled.Load()), done+16*concurrency; got != want {
						t.Errorf("when the loop was done with %d outcomes, %d were pulled, want %d", done, got, want)
					}
					if done++; done == 5 {
						break
					}
				}
				if got, most := int(in.pulled.Load()), 5+16*concurrency; got > most {
					t.Errorf("%d were pulled, want at most %d", got, most)
				}
			})
		})
	}
}

// TestMergeAllHoldsBytes: of large profiles fewer are held.
func TestMergeAllHoldsBytes(t *testing.T) {
	const overhead = len(`{"profile":{"nickname":""}}`)
	for _, tt := range []struct {
		size, held int // of a body; when they are 16 MiB or more
	}{
		{1 << 20, 16},
		{1<<20 - 1, 17},
		{1<<20 + 1, 16},
		{5 << 20, 4},
		{17 << 20, 1},
		{1 << 10, 64 * 16},
	} {
		t.Run(fmt.Sprint(tt.size), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				profile := courier.Profile{Nickname: courier.Set(strings.Repeat("x", tt.size-overhead))}
				n, pulled := tt.held+2, 0
				updates := func(yield func(string, courier.Profile) bool) {
					for pulled < n {
						pulled++
						if !yield(fmt.Sprint("user-", pulled), profile) {
							return
						}
					}
				}
				client, _ := retryClient(t, coreTransport(func(req *http.Request) (*http.Response, error) {
					if req.ContentLength != int64(tt.size) {
						t.Errorf("a body of %d bytes, want %d", req.ContentLength, tt.size)
					}
					return retryTakes(time.Second, retryStatus(200))(req)
				}))
				outcomes := 0
				for outcome := range client.Profiles.MergeAll(t.Context(), updates, courier.WithConcurrency(64)) {
					if outcome.Err != nil {
						t.Fatal(outcome.Err)
					}
					synctest.Wait()
					if want := min(n, outcomes+tt.held); pulled != want {
						t.Fatalf("when the loop was done with %d outcomes, %d were pulled, want %d", outcomes, pulled, want)
					}
					outcomes++
				}
				if outcomes != n {
					t.Errorf("%d outcomes, want %d", outcomes, n)
				}
			})
		})
	}
}

// TestMergeAllSlowUser: a slow user stops the others when the updates that are
// held are all of that user, and not earlier; and not for longer.
func TestMergeAllSlowUser(t *testing.T) {
	const concurrency, held = 2, 2 * 16
	for _, tt := range []struct {
		name         string
		slow, others int
		first        time.Duration // when the first of the others is sent
		last         time.Duration // and the last
	}{
		{"has room", held - 1, 1000, 0, 999 * time.Second},
		// One comes in with each outcome of the slow user.
		{"fills the buffer", held, 10, time.Hour, time.Hour + 9*time.Second},
		{"fills it for long", held + 8, 10, 9 * time.Hour, 9*time.Hour + 9*time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				in := &bulkInput{n: tt.slow + tt.others, userID: func(update int) string {
					if update < tt.slow {
						return "slow"
					}
					return fmt.Sprint("user-", update)
				}}
				server := &bulkCourier{answer: func(r bulkRequest) retryStep {
					if r.userID == "slow" {
						return retryTakes(time.Hour, retryStatus(200))
					}
					return retryTakes(time.Second, retryStatus(200))
				}}
				client, _ := retryClient(t, server, courier.WithTimeout(0))
				start := time.Now()
				outcomes := slices.Collect(client.Profiles.MergeAll(t.Context(), in.updates, courier.WithConcurrency(concurrency)))
				bulkMerged(t, in, in.n, outcomes)
				wantElapsed(t, start, time.Duration(tt.slow)*time.Hour)
				var others []time.Duration
				for _, r := range server.sent {
					if r.userID != "slow" {
						others = append(others, r.at.Sub(start))
					}
				}
				if first, last := others[0], others[len(others)-1]; first != tt.first || last != tt.last {
					t.Errorf("the others were sent from %v to %v, want %v to %v", first, last, tt.first, tt.last)
				}
			})
		})
	}
}

// TestMergeAllSlowsDown: every answer takes a second, so that what is sent at a
// time is what is in flight.
func TestMergeAllSlowsDown(t *testing.T) {
	const concurrency, updates = 16, 16 + 9 + 10 + 11 + 12 + 13 + 14 + 15 + 16 + 16
	full := map[int]int{0: 16, 11: 16, 12: 16, 13: 16, 14: 16, 15: 16, 16: 16, 17: 16, 18: 16, 19: 16 - 12}
	half := map[int]int{0: 16, 11: 16, 12: 9, 13: 10, 14: 11, 15: 12, 16: 13, 17: 14, 18: 15, 19: 16, 20: 16}
	for name, tt := range map[string]struct {
		failure retryStep
		want    map[int]int // what is sent, by second
	}{
		"429":   {retryStatus(429), half},
		"503":   {retryStatus(503), half},
		"500":   {retryStatus(500), full},
		"409":   {retryStatus(409), full},
		"error": {retryError(errRetryBroken), full},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				in := &bulkInput{n: updates}
				server := &bulkCourier{answer: func(r bulkRequest) retryStep {
					if r.update < concurrency && r.try == 1 {
						return retryTakes(time.Second, tt.failure)
					}
					return retryTakes(time.Second, retryStatus(200))
				}}
				client, _ := retryClient(t, server, courier.WithRetryWait(10*time.Second, 10*time.Second))
				start := time.Now()
				bulkMerged(t, in, updates, slices.Collect(client.Profiles.MergeAll(t.Context(), in.updates)))
				got := map[int]int{}
				for _, r := range server.sent {
					got[int(r.at.Sub(start)/time.Second)]++
				}
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Errorf("in flight, by second (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// TestMergeAllFindsTheCapacity: Courier takes 8 at a time and refuses others,
// until it has recovered.
func TestMergeAllFindsTheCapacity(t *testing.T) {
	const concurrency, capacity, updates = 32, 8, 6000
	for _, status := range []int{429, 503} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				weak, strong := start.Add(30*time.Second), start.Add(60*time.Second)
				var mostWeak, mostLater int
				server := new(bulkCourier)
				server.answer = func(r bulkRequest) retryStep {
					server.mu.Lock()
					defer server.mu.Unlock()
					if r.at.After(weak) && r.at.Before(strong) {
						mostWeak = max(mostWeak, server.inFlight)
					} else if r.at.After(strong) {
						mostLater = max(mostLater, server.inFlight)
					}
					if server.inFlight > capacity && r.at.Before(strong) {
						return retryTakes(10*time.Millisecond, retryStatus(status))
					}
					return retryTakes(100*time.Millisecond, retryStatus(200))
				}
				in := &bulkInput{n: updates}
				client, _ := retryClient(t, server, courier.WithMaxRetries(10))
				bulkMerged(t, in, updates, slices.Collect(client.Profiles.MergeAll(t.Context(), in.updates, courier.WithConcurrency(concurrency))))
				if server.most != concurrency {
					t.Errorf("at most %d were in flight, want %d", server.most, concurrency)
				}
				if mostWeak > 2*capacity {
					t.Errorf("at a capacity of %d, %d were in flight", capacity, mostWeak)
				}
				if mostLater != concurrency {
					t.Errorf("later %d were in flight, want %d", mostLater, concurrency)
				}
				t.Logf("%d requests for %d updates, at most %d in flight at a capacity of %d", len(server.sent), updates, mostWeak, capacity)
			})
		})
	}
}

// TestMergeAllBudget: an outage is not multiplied, however many updates meet it.
func TestMergeAllBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in, server := &bulkInput{n: 3000}, retryScript(retryStatus(503))
		client, _ := retryClient(t, server, noRetryWait)
		for _, outcome := range bulkWant(t, in, 3000, slices.Collect(client.Profiles.MergeAll(t.Context(), in.updates))) {
			if !has[*courier.ServerError](outcome.Err) {
				t.Fatalf("update %d: %v", outcome.Index, outcome.Err)
			}
		}
		if n := server.requests(); n != 3500 {
			t.Errorf("%d requests for 3000 updates, want 3500", n)
		}
	})
}

// TestMergeAllSerialisesAtOnce: the input may use its maps again.
func TestMergeAllSerialisesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 200
		updates := func(yield func(string, courier.Profile) bool) {
			list := []any{0}
			custom := map[string]any{"list": list}
			extra := map[string]any{}
			for i := range n {
				custom["n"], list[0], extra["extra"] = i, i, i
				if !yield(fmt.Sprint("user-", i%7), courier.Profile{Custom: courier.Set(custom), Extra: extra}) {
					return
				}
				clear(custom)
				custom["list"] = list
			}
		}
		transport := retryScript(retryTakes(time.Second, retryStatus(200)))
		client, _ := retryClient(t, transport)
		for outcome := range client.Profiles.MergeAll(t.Context(), updates) {
			if outcome.Err != nil {
				t.Fatal(outcome.Err)
			}
		}
		got := map[string]bool{}
		for _, r := range transport.sent {
			got[r.body] = true
		}
		for i := range n {
			if want := fmt.Sprintf(`{"profile":{"custom":{"list":[%d],"n":%d},"extra":%d}}`, i, i, i); !got[want] {
				t.Errorf("nobody sent %s", want)
			}
		}
	})
}

// TestMergeAllInvalidUpdates: what cannot be sent is an outcome in its place,
// and the rest goes on.
func TestMergeAllInvalidUpdates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		good := courier.Profile{Nickname: courier.Set("0")}
		input := []struct {
			userID  string
			profile courier.Profile
			field   string // of the ValidationError
		}{
			{"ada", good, ""},
			{"", good, "userID"},
			{"ada", courier.Profile{Nickname: courier.Set("\xff")}, "profile.nickname"},
			{".", good, "userID"},
			{"ada", good, ""},
			{"..", good, "userID"},
			{"", good, "userID"},
			{"bob", courier.Profile{Extra: map[string]any{"f": func() {}}}, "profile"},
			{"bob", courier.Profile{Nickname: courier.Set("0"), Extra: map[string]any{"nickname": 1}}, "profile.nickname"},
			{"bob", good, ""},
		}
		updates := func(yield func(string, courier.Profile) bool) {
			for _, u := range input {
				if !yield(u.userID, u.profile) {
					return
				}
			}
		}
		server := bulkTakes(time.Second)
		client, _ := retryClient(t, server)
		in := &bulkInput{userID: func(i int) string { return input[i].userID }}
		for i, outcome := range bulkWant(t, in, len(input), slices.Collect(client.Profiles.MergeAll(t.Context(), updates))) {
			switch field := input[i].field; {
			case field != "":
				wantValidation(t, outcome.Err, field)
			case outcome.Err != nil:
				t.Errorf("update %d: %v", i, outcome.Err)
			}
		}
		if n := len(server.sent); n != 3 || server.overlaps > 0 {
			t.Errorf("%d requests, %d of them two at a time, want 3", n, server.overlaps)
		}
	})
}

// bulkLimiter is a rate limiter.
type bulkLimiter func(context.Context) error

func (f bulkLimiter) Wait(ctx context.Context) error { return f(ctx) }

// TestMergeAllRateLimiter: a request a second, whatever it is for.
func TestMergeAllRateLimiter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const updates = 50
		start := time.Now()
		var mu sync.Mutex
		next := start
		waits := 0
		limiter := bulkLimiter(func(ctx context.Context) error {
			mu.Lock()
			waits++
			next = next.Add(time.Second)
			wait := time.Until(next)
			mu.Unlock()
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(wait):
				return nil
			}
		})
		in := &bulkInput{n: updates}
		server := &bulkCourier{answer: func(r bulkRequest) retryStep {
			if r.try <= r.update%3 {
				return retryStatus(503)
			}
			return retryStatus(200)
		}}
		client, attempts := retryClient(t, server, noRetryWait, courier.WithTimeout(time.Millisecond))
		bulkMerged(t, in, updates, slices.Collect(client.Profiles.MergeAll(t.Context(), in.updates, courier.WithRateLimiter(limiter))))
		if len(server.sent) != 99 || waits != len(server.sent) {
			t.Errorf("%d requests and %d waits, want 99", len(server.sent), waits)
		}
		for i, r := range server.sent {
			if at := r.at.Sub(start); at != time.Duration(i+1)*time.Second {
				t.Fatalf("request %d was sent after %v", i+1, at)
			}
		}
		for _, attempt := range attempts.all {
			if attempt.Duration != 0 {
				t.Errorf("an attempt is said to have taken %v: it does not begin before the limiter lets it go", attempt.Duration)
			}
		}
	})
}

// TestMergeAllRateLimiterFails: that update is not sent, or not sent again, and
// the others are.
func TestMergeAllRateLimiterFails(t *testing.T) {
	const secret = "https://limits.test/?key=secret"
	for name, tt := range map[string]struct {
		failAt int // the call of Wait
		answer retryStep
		check  func(error) bool
		tries  int
		text   string
	}{
		"at the first attempt": {
			1, retryStatus(200), has[*courier.ConnectionError], 0,
			"courier: merge profile: no answer in 0 attempt(s): *fmt.wrapError",
		},
		"at a retry": {
			2, retryStatus(503), has[*courier.ServerError], 1,
			"courier: merge profile: 503 some_error: Some message (*fmt.wrapError)",
		},
		"at a retry of an error": {
			2, retryError(io.ErrUnexpectedEOF), has[*courier.ConnectionError], 1,
			"courier: merge profile: no answer in 1 attempt(s): unexpected EOF; *fmt.wrapError",
		},
		"at the second retry": {
			3, retryStatus(429), has[*courier.RateLimitError], 2,
			"courier: merge profile: 429 some_error: Some message (*fmt.wrapError)",
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				broken := errors.New("the limiter is broken")
				calls := 0
				limiter := bulkLimiter(func(context.Context) error {
					if calls++; calls == tt.failAt {
						return fmt.Errorf("%s: %w", secret, broken)
					}
					return nil
				})
				in := &bulkInput{n: 3, userID: func(int) string { return "ada" }}
				server := &bulkCourier{answer: func(r bulkRequest) retryStep {
					if r.update == 0 {
						return tt.answer
					}
					return retryStatus(200)
				}}
				client, attempts := retryClient(t, server, noRetryWait)
				outcomes := slices.Collect(client.Profiles.MergeAll(t.Context(), in.updates, courier.WithRateLimiter(limiter)))
				bulkWant(t, in, 3, outcomes)
				err := outcomes[0].Err
				if err == nil {
					t.Fatal("the first update was merged")
				}
				if !tt.check(err) || !errors.Is(err, broken) || retryMade(t, nil, err) != tt.tries {
					t.Errorf("error %T, is the limiter's: %t, %d attempts; want %d", err, errors.Is(err, broken), retryMade(t, nil, err), tt.tries)
				}
				if err.Error() != tt.text {
					t.Errorf("error reads %q, want %q", err, tt.text)
				}
				if outcomes[1].Err != nil || outcomes[2].Err != nil {
					t.Errorf("the others ended with %v and %v", outcomes[1].Err, outcomes[2].Err)
				}
				if n := len(server.sent); n != tt.tries+2 || len(attempts.all) != n {
					t.Errorf("%d requests, the observer was told of %d, want %d", n, len(attempts.all), tt.tries+2)
				}
			})
		})
	}
}

// TestMergeAllRefused: what makes no sense is the outcome of every update.
func TestMergeAllRefused(t *testing.T) {
	for name, tt := range map[string]struct {
		ctx   context.Context
		opts  []courier.MergeAllOption
		field string
	}{
		"concurrency 0":        {t.Context(), []courier.MergeAllOption{courier.WithConcurrency(0)}, "WithConcurrency"},
		"concurrency -1":       {t.Context(), []courier.MergeAllOption{courier.WithConcurrency(-1)}, "WithConcurrency"},
		"concurrency too high": {t.Context(), []courier.MergeAllOption{courier.WithConcurrency(1<<16 + 1)}, "WithConcurrency"},
		"the last one counts not": {
			t.Context(), []courier.MergeAllOption{courier.WithConcurrency(0), courier.WithConcurrency(1)}, "WithConcurrency",
		},
		"nil limiter": {t.Context(), []courier.MergeAllOption{courier.WithRateLimiter(nil)}, "WithRateLimiter"},
		"nil option":  {t.Context(), []courier.MergeAllOption{courier.WithConcurrency(4), nil}, "opts"},
		"nil context": {nil, nil, "ctx"},
	} {
		t.Run(name, func(t *testing.T) {
			in, transport := &bulkInput{n: 40}, retryScript(retryStatus(200))
			client, _ := retryClient(t, transport)
			merged := client.Profiles.MergeAll(tt.ctx, in.updates, tt.opts...)
			for i, outcome := range slices.Collect(merged) {
				wantValidation(t, outcome.Err, tt.field)
				if outcome.Index != i || outcome.UserID != in.user(i) || outcome.Result != nil {
					t.Errorf("outcome %d is %+v", i, outcome)
				}
			}
			if n := in.pulled.Load(); n != 40 {
				t.Errorf("%d updates were pulled, want 40", n)
			}
			for range merged {
				break
			}
			if n := in.pulled.Load(); n != 41 {
				t.Errorf("a loop that was left at once pulled %d updates, want 1", n-40)
			}
			if n := transport.requests(); n != 0 {
				t.Errorf("%d requests were sent", n)
			}
		})
	}
	t.Run("nil updates", func(t *testing.T) {
		client, _ := retryClient(t, retryScript(retryStatus(200)))
		outcomes := slices.Collect(client.Profiles.MergeAll(t.Context(), nil))
		if len(outcomes) != 1 || outcomes[0].Index != -1 || outcomes[0].UserID != "" || outcomes[0].Result != nil {
			t.Fatalf("outcomes %+v", outcomes)
		}
		wantValidation(t, outcomes[0].Err, "updates")
		for range client.Profiles.MergeAll(t.Context(), nil) {
			break
		}
	})
}

func TestMergeAllAccepts(t *testing.T) {
	for _, concurrency := range []int{1, 1 << 16} {
		in := &bulkInput{n: 3}
		client, _ := retryClient(t, retryScript(retryStatus(200)))
		bulkMerged(t, in, 3, slices.Collect(client.Profiles.MergeAll(t.Context(), in.updates,
			courier.WithConcurrency(2), courier.WithConcurrency(concurrency))))
	}
	none := &bulkInput{}
	client, _ := retryClient(t, retryScript(retryStatus(200)))
	bulkWant(t, none, 0, slices.Collect(client.Profiles.MergeAll(t.Context(), none.updates)))
}

// TestMergeAllAgain: what MergeAll returns is a loop for any number of runs, also
// at the same time.
func TestMergeAllAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const updates, concurrency = 100, 4
		in, server := &bulkInput{n: updates}, bulkTakes(time.Second)
		client, _ := retryClient(t, server)
		merged := client.Profiles.MergeAll(t.Context(), in.updates, courier.WithConcurrency(concurrency))
		start := time.Now()
		for range 2 {
			bulkMerged(t, in, updates, slices.Collect(merged))
		}
		wantElapsed(t, start, 2*updates/concurrency*time.Second)
		if server.most != concurrency {
			t.Errorf("%d were in flight, want %d", server.most, concurrency)
		}

		start = time.Now()
		outcomes := make([][]courier.MergeOutcome, 3)
		var loops sync.WaitGroup
		for i := range outcomes {
			loops.Go(func() { outcomes[i] = slices.Collect(merged) })
		}
		loops.Wait()
		for _, each := range outcomes {
			bulkMerged(t, in, updates, each)
		}
		wantElapsed(t, start, updates/concurrency*time.Second)
		if server.most != 3*concurrency {
			t.Errorf("%d were in flight in three runs, want %d", server.most, 3*concurrency)
		}
	})
}

// bulkServe starts a couriertest.Handler that counts its connections.
func bulkServe(t *testing.T, start func(*httptest.Server)) (*httptest.Server, *couriertest.Handler, *atomic.Int64) {
	t.Helper()
	handler, conns := couriertest.NewHandler(), new(atomic.Int64)
	s := httptest.NewUnstartedServer(handler)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			conns.Add(1)
		}
	}
	start(s)
	t.Cleanup(s.Close)
	return s, handler, conns
}

// bulkHistory yields updates whose order shows in the profile that is left.
func bulkHistory(n, users int) iter.Seq2[string, courier.Profile] {
	return func(yield func(string, courier.Profile) bool) {
		random := rand.New(rand.NewPCG(1, 1))
		custom := map[string]any{}
		for i := range n {
			clear(custom)
			custom["last"] = i
			custom[fmt.Sprint("key-", random.IntN(10))] = i
			custom[fmt.Sprint("key-", random.IntN(10))] = nil
			profile := courier.Profile{Custom: courier.Set(custom), Email: courier.Set(fmt.Sprintf("%d@example.com", i))}
			if random.IntN(3) == 0 {
				profile.Email = courier.Null[string]()
			}
			if !yield(fmt.Sprint("user-", random.IntN(users)), profile) {
				return
			}
		}
	}
}

// bulkProfiles returns what a handler has of each user.
func bulkProfiles(t *testing.T, handler *couriertest.Handler, users int) map[string]string {
	t.Helper()
	profiles := map[string]string{}
	for i := range users {
		userID := fmt.Sprint("user-", i)
		profile, ok := handler.Profile(userID)
		text, err := json.Marshal(profile)
		if !ok || err != nil {
			t.Errorf("%s: %v, %v", userID, ok, err)
		}
		profiles[userID] = string(text)
	}
	return profiles
}

// TestMergeAllOnTheWire: what is left is what a loop over Merge leaves.
func TestMergeAllOnTheWire(t *testing.T) {
	const updates, users, parallel = 1500, 200, 64
	reference := couriertest.NewHandler()
	one, err := courier.NewClient(reference.APIKey, courier.WithHTTPClient(&http.Client{
		Transport: coreTransport(func(req *http.Request) (*http.Response, error) {
			recorder := httptest.NewRecorder()
			reference.ServeHTTP(recorder, req)
			return recorder.Result(), nil
		}),
	}))
	if err != nil {
		t.Fatal(err)
	}
	for userID, profile := range bulkHistory(updates, users) {
		if _, err := one.Profiles.Merge(t.Context(), userID, profile); err != nil {
			t.Fatal(err)
		}
	}
	want := bulkProfiles(t, reference, users)

	random := rand.New(rand.NewPCG(2, 2))
	var faults []couriertest.Fault
	for range updates {
		var fault couriertest.Fault
		switch random.IntN(40) {
		case 0:
			fault = couriertest.Fault{Status: 503}
		case 1:
			fault = couriertest.Fault{Status: 429, RetryAfter: "0"}
		case 2:
			fault = couriertest.Fault{Status: 500}
		case 3:
			fault = couriertest.Fault{Delay: time.Duration(random.IntN(20)) * time.Millisecond}
		case 4:
			// These two cost a connection each.
			if random.IntN(4) == 0 {
				fault = couriertest.Fault{Reset: true}
			}
		case 5:
			if random.IntN(4) == 0 {
				fault = couriertest.Fault{CutOff: true}
			}
		}
		faults = append(faults, fault)
	}
	failing := 0
	for _, fault := range faults {
		if fault.Status != 0 || fault.Reset || fault.CutOff {
			failing++
		}
	}

	for _, protocol := range []struct {
		name  string
		start func(*httptest.Server)
		most  int64 // connections
	}{
		{"HTTP/1.1", (*httptest.Server).Start, 160},
		{"HTTP/2", connStartHTTP2, 4},
	} {
		for name, script := range map[string][]couriertest.Fault{"without faults": nil, "with faults": faults} {
			t.Run(protocol.name+" "+name, func(t *testing.T) {
				server, handler, conns := bulkServe(t, protocol.start)
				handler.Fail(script...)
				opts := []courier.Option{courier.WithBaseURL(server.URL), noRetryWait, courier.WithMaxRetries(10)}
				if protocol.name == "HTTP/2" {
					opts = append(opts, courier.WithHTTPClient(server.Client()))
				}
				client, err := courier.NewClient(handler.APIKey, opts...)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(client.CloseIdleConnections)
				seen := make([]bool, updates)
				for outcome := range client.Profiles.MergeAll(t.Context(), bulkHistory(updates, users), courier.WithConcurrency(parallel)) {
					if outcome.Err != nil || seen[outcome.Index] {
						t.Fatalf("update %d, seen before: %t: %v", outcome.Index, seen[outcome.Index], outcome.Err)
					}
					seen[outcome.Index] = true
				}
				if slices.Contains(seen, false) {
					t.Error("some updates have no outcome")
				}
				if diff := cmp.Diff(want, bulkProfiles(t, handler, users)); diff != "" {
					t.Errorf("the profiles that are left (-one by one +MergeAll):\n%s", diff)
				}
				if n := conns.Load(); n > protocol.most || n == 0 {
					t.Errorf("%d connections were opened, want at most %d", n, protocol.most)
				}
				requests := updates
				if script != nil {
					requests += failing
				}
				if n := len(handler.Requests()); n != requests {
					t.Errorf("%d requests for %d updates, want %d", n, updates, requests)
				}
				t.Logf("%d requests on %d connections", len(handler.Requests()), conns.Load())
			})
		}
	}
}

// TestMergeAllOutcomeIsPrinted: an outcome shows its user, and of its result and
// error what these show.
func TestMergeAllOutcomeIsPrinted(t *testing.T) {
	client := coreClient(t, func(*http.Request) (*http.Response, error) {
		return coreAnswer(400, `{"type":"invalid_request_error","message":"Some message"}`, "Set-Cookie", "secret"), nil
	})
	for outcome := range client.Profiles.MergeAll(t.Context(), func(yield func(string, courier.Profile) bool) { yield("ada", twoFields()) }) {
		for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
			text := fmt.Sprintf(format, outcome)
			if !strings.Contains(text, "ada") || !strings.Contains(text, "400 invalid_request_error: Some message") {
				t.Errorf("%s prints %s", format, text)
			}
			for _, secret := range []string{coreKey, "secret", "user@example.com"} {
				if strings.Contains(text, secret) {
					t.Errorf("%s prints %q", format, secret)
				}
			}
		}
	}
}
