package chaos

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	courier "github.com/courier-profiles/courier-go"
	"github.com/courier-profiles/courier-go/couriertest"
)

var (
	merges = flag.Int("merges", 2000, "number of updates for each protocol")
	seed   = flag.Uint64("seed", 1, "seed of the faults and of the routes of connections")
)

// Server and network fail at random while MergeAll merges updates that build on each other.
// What failed is merged again, in the order of the input, until nothing has failed. Then
// every profile is as if nothing had.
func TestMerges(t *testing.T) {
	t.Parallel()
	for _, http2 := range []bool{false, true} {
		t.Run(protocol(http2), func(t *testing.T) {
			t.Parallel()
			testMerges(t, http2)
		})
	}
}

func testMerges(t *testing.T, http2 bool) {
	t.Logf("seed %d", *seed)
	random := &draws{random: rand.New(rand.NewPCG(*seed, 0))}
	api := couriertest.NewHandler()
	api.MaxRequests = -1
	server := newServer(t, failing(api, random), http2)
	seen := &attempts{failures: map[string]int{}}
	client := newClient(t, server, newRoutes(t, server, http2, random),
		courier.WithMaxRetryAfter(attemptTimeout),
		courier.WithObserver(seen.observe))

	updates := newUpdates(*merges)
	pending, runs, started := updates, 0, time.Now()
	for len(pending) > 0 {
		runs++
		failed := merge(t, client, pending, seen)
		if len(failed) == len(pending) {
			t.Fatalf("run %d merged nothing of %d updates", runs, len(pending))
		}
		pending = failed
	}
	t.Logf("%d updates merged in %d runs and %v; %d attempts, of which failed: %s",
		len(updates), runs, time.Since(started).Round(time.Millisecond),
		seen.observed, seen.failureCounts())

	if seen.reported != seen.observed {
		t.Errorf("results and errors report %d attempts, want %d, which the observer saw",
			seen.reported, seen.observed)
	}
	for userID, want := range wantProfiles(updates) {
		profile, _ := api.Profile(userID)
		if diff := cmp.Diff(want, profile.String()); diff != "" {
			t.Errorf("profile of %s (-want +got):\n%s", userID, diff)
		}
	}
}

// merge merges updates and returns those that were not merged, in order.
func merge(
	t *testing.T, client *courier.Client, updates []update, seen *attempts,
) []update {
	t.Helper()
	merged := make([]bool, len(updates))
	hasOutcome := make([]bool, len(updates))
	// A key for each update keeps an attempt that arrives late from undoing a later one.
	key := func(index int, _ string) string { return updates[index].key() }
	for outcome := range client.Profiles.MergeAll(t.Context(), profilesOf(updates),
		courier.WithConcurrency(32), courier.WithIdempotencyKeys(key)) {
		if outcome.Index < 0 {
			t.Fatalf("got an outcome for no update, want one for each: %v", outcome.Err)
		}
		if hasOutcome[outcome.Index] {
			t.Fatalf("got another outcome for update %d, want one", outcome.Index)
		}
		hasOutcome[outcome.Index] = true
		merged[outcome.Index] = outcome.Err == nil
		seen.report(outcome)
		if outcome.Err != nil && !courier.Retryable(outcome.Err) {
			t.Fatalf("Retryable(%v) is false, want true, as every fault passes", outcome.Err)
		}
	}
	var pending []update
	for i, update := range updates {
		if !merged[i] {
			pending = append(pending, update)
		}
	}
	return pending
}

// update is the number-th update of a user.
type update struct{ user, number int }

func (u update) userID() string { return fmt.Sprint("user-", u.user) }
func (u update) key() string    { return fmt.Sprint(u.user, "/", u.number) }

// profile changes the number, a text of up to 1,500 bytes, and one member of five.
func (u update) profile() courier.Profile {
	return courier.Profile{Custom: courier.Set(map[string]any{
		"number":                         u.number,
		"text":                           strings.Repeat("x", u.number*397%1500),
		fmt.Sprint("member", u.number%5): u.number,
	})}
}

// newUpdates returns the first updates of all users, then the second ones, and so on.
func newUpdates(count int) []update {
	users := max(1, min(64, count/20))
	updates := make([]update, count)
	for i := range updates {
		updates[i] = update{user: i % users, number: i / users}
	}
	return updates
}

func profilesOf(updates []update) iter.Seq2[string, courier.Profile] {
	return func(yield func(string, courier.Profile) bool) {
		for _, update := range updates {
			if !yield(update.userID(), update.profile()) {
				return
			}
		}
	}
}

// wantProfiles returns the profiles after all updates.
func wantProfiles(updates []update) map[string]string {
	custom := map[string]map[string]any{}
	for _, update := range updates {
		id := update.userID()
		if custom[id] == nil {
			custom[id] = map[string]any{}
		}
		maps.Copy(custom[id], update.profile().Custom.Or(nil))
	}
	profiles := map[string]string{}
	for id, members := range custom {
		profiles[id] = courier.Profile{Custom: courier.Set(members)}.String()
	}
	return profiles
}

// draws are random numbers for many goroutines.
type draws struct {
	mu     sync.Mutex
	random *rand.Rand
}

// oneOf draws one of count events, which happen with this probability each. It returns the
// number of the event, or count if none of them happens.
func (d *draws) oneOf(count int, probability float64) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return min(int(d.random.Float64()/probability), count)
}

// failing is api, but a quarter of the requests fail. None of them gets a 500, which would be
// the response to every retry with the same idempotency key.
func failing(api http.Handler, random *draws) http.Handler {
	faults := []func(http.ResponseWriter){
		func(w http.ResponseWriter) { w.WriteHeader(http.StatusTooManyRequests) },
		func(w http.ResponseWriter) { w.WriteHeader(http.StatusBadGateway) },
		func(w http.ResponseWriter) {
			w.Header().Set("Retry-After", "0.01")
			w.WriteHeader(http.StatusServiceUnavailable)
		},
		func(http.ResponseWriter) { panic(http.ErrAbortHandler) },
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fault := random.oneOf(len(faults), 0.05)
		if fault < len(faults) {
			faults[fault](w)
			return
		}
		isLost := random.oneOf(1, 0.05) == 0
		if isLost { // the request is carried out, but without a response
			api.ServeHTTP(httptest.NewRecorder(), r)
			panic(http.ErrAbortHandler)
		}
		api.ServeHTTP(w, r)
	})
}

// newRoutes returns a func that returns the address to connect to. Three quarters of the
// connections go through a proxy with a fault, the others to the server itself.
func newRoutes(
	t *testing.T, server *httptest.Server, http2 bool, random *draws,
) (route func() string) {
	t.Helper()
	maxBytes := 20_000 // of a connection, which is then cut
	if http2 {
		maxBytes = 200_000 // as one connection carries all calls
	}
	limit := fmt.Sprintf(`"bytes":%d`, maxBytes)
	var proxies []string
	for _, toxics := range [][]string{
		toxic("limit_data", up, limit),
		toxic("limit_data", down, limit),
		toxic("reset_peer", down, `"timeout":20`),
		bothWays("latency", `"latency":5,"jitter":5`),
		bothWays("slicer", `"average_size":1000,"size_variation":500,"delay":10`),
	} {
		proxies = append(proxies, newProxy(t, server, toxics).Listen)
	}
	return func() string {
		i := random.oneOf(len(proxies), 0.15)
		if i == len(proxies) {
			return server.Listener.Addr().String()
		}
		return proxies[i]
	}
}

// attempts counts the attempts of all calls in two ways, which must agree.
type attempts struct {
	mu       sync.Mutex
	observed int            // by the observer
	failures map[string]int // of the observed, by status or type of the error
	reported int            // by results and errors
}

// observe is the client's observer.
func (a *attempts) observe(_ context.Context, attempt courier.Attempt) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.observed++
	switch {
	case attempt.StatusCode >= 400:
		a.failures[fmt.Sprint(attempt.StatusCode)]++
	case attempt.Err != nil:
		a.failures[strings.TrimPrefix(typeName(attempt.Err), "*courier.")]++
	}
}

// report adds the attempts that an outcome reports.
func (a *attempts) report(outcome courier.Outcome) {
	response, isResponse := errors.AsType[*courier.APIError](outcome.Err)
	lost, isLost := errors.AsType[*courier.ConnectionError](outcome.Err)
	switch {
	case outcome.Err == nil:
		a.reported += outcome.Result.Attempts
	case errors.Is(outcome.Err, courier.ErrNotSent):
		// It had no attempts. Its cause may be another call's error, which has some.
	case isResponse:
		a.reported += response.Attempts
	case isLost:
		a.reported += lost.Attempts
	}
}

// failureCounts returns the failures as text, such as "3 429, 2 ConnectionError".
func (a *attempts) failureCounts() string {
	var counts []string
	for _, name := range slices.Sorted(maps.Keys(a.failures)) {
		counts = append(counts, fmt.Sprint(a.failures[name], " ", name))
	}
	return strings.Join(counts, ", ")
}
