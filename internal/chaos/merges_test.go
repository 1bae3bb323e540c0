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
	draws := &draws{random: rand.New(rand.NewPCG(*seed, 0))}
	api := couriertest.NewHandler()
	api.MaxRequests = -1
	server := newServer(t, failing(api, draws), http2)
	record := &record{failures: map[string]int{}}
	client := newClient(t, server, newRoutes(t, server, http2, draws),
		courier.WithMaxRetryAfter(attemptTimeout),
		courier.WithObserver(record.observe))

	updates := newUpdates(*merges)
	pending, runs, started := updates, 0, time.Now()
	for len(pending) > 0 {
		runs++
		failed := merge(t, client, pending, record)
		if len(failed) == len(pending) {
			t.Fatalf("run %d merged nothing of %d updates", runs, len(pending))
		}
		pending = failed
	}
	t.Logf("%d updates merged in %d runs and %v; %d attempts, of which failed: %s",
		len(updates), runs, time.Since(started).Round(time.Millisecond),
		record.attempts, record.failed())

	if record.attempts != record.reported {
		t.Errorf("results and errors report %d attempts, the observer saw %d",
			record.reported, record.attempts)
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
	t *testing.T, client *courier.Client, updates []update, record *record,
) []update {
	t.Helper()
	merged := make([]bool, len(updates))
	seen := make([]bool, len(updates))
	// A key for each update keeps an attempt that arrives late from undoing a later one.
	key := func(index int, _ string) string { return updates[index].key() }
	for outcome := range client.Profiles.MergeAll(t.Context(), profilesOf(updates),
		courier.WithConcurrency(32), courier.WithIdempotencyKeys(key)) {
		if outcome.Index < 0 || seen[outcome.Index] {
			t.Fatalf("an outcome for update %d, which has one or does not exist", outcome.Index)
		}
		seen[outcome.Index] = true
		merged[outcome.Index] = outcome.Err == nil
		record.outcome(outcome)
		if outcome.Err != nil && !courier.Retryable(outcome.Err) {
			t.Fatalf("every fault passes, but this is not retryable: %v", outcome.Err)
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

// next returns the number of what happens, each with the same share, or count for nothing.
func (d *draws) next(count int, share float64) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return min(int(d.random.Float64()/share), count)
}

// failing fails a quarter of the requests, and does not fail the others. There is no 500:
// with an idempotency key it would be the response for good.
func failing(api http.Handler, draws *draws) http.Handler {
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
		if i := draws.next(len(faults), 0.05); i < len(faults) {
			faults[i](w)
			return
		}
		if draws.next(1, 0.05) == 0 { // carried out, but the response is lost
			api.ServeHTTP(httptest.NewRecorder(), r)
			panic(http.ErrAbortHandler)
		}
		api.ServeHTTP(w, r)
	})
}

// newRoutes returns a func that returns the address to connect to: for most connections
// that of a proxy with a fault.
func newRoutes(
	t *testing.T, server *httptest.Server, http2 bool, draws *draws,
) (route func() string) {
	t.Helper()
	bytes := 20_000 // until a connection is cut
	if http2 {
		bytes = 200_000 // it carries all calls
	}
	limit := fmt.Sprintf(`"bytes":%d`, bytes)
	var routes []string
	for _, toxics := range [][]string{
		toxic("limit_data", up, limit),
		toxic("limit_data", down, limit),
		toxic("reset_peer", down, `"timeout":20`),
		bothWays("latency", `"latency":5,"jitter":5`),
		bothWays("slicer", `"average_size":1000,"size_variation":500,"delay":10`),
	} {
		routes = append(routes, newProxy(t, server, toxics).Listen)
	}
	routes = append(routes, server.Listener.Addr().String())
	return func() string { return routes[draws.next(len(routes)-1, 0.15)] }
}

// record counts attempts.
type record struct {
	mu       sync.Mutex
	attempts int            // that the observer saw
	failures map[string]int // of these, by status or type of the error
	reported int            // attempts, by results and errors
}

func (r *record) observe(_ context.Context, a courier.Attempt) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.attempts++
	switch {
	case a.StatusCode >= 400:
		r.failures[fmt.Sprint(a.StatusCode)]++
	case a.Err != nil:
		r.failures[strings.TrimPrefix(typeName(a.Err), "*courier.")]++
	}
}

func (r *record) outcome(outcome courier.Outcome) {
	response, isResponse := errors.AsType[*courier.APIError](outcome.Err)
	lost, isLost := errors.AsType[*courier.ConnectionError](outcome.Err)
	switch {
	case outcome.Err == nil:
		r.reported += outcome.Result.Attempts
	case errors.Is(outcome.Err, courier.ErrNotSent):
	case isResponse:
		r.reported += response.Attempts
	case isLost:
		r.reported += lost.Attempts
	}
}

func (r *record) failed() string {
	var text []string
	for _, name := range slices.Sorted(maps.Keys(r.failures)) {
		text = append(text, fmt.Sprint(r.failures[name], " ", name))
	}
	return strings.Join(text, ", ")
}
