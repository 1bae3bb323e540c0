package chaos

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"iter"
	"math/rand/v2"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	courier "github.com/courier-profiles/courier-go"
)

var (
	merges = flag.Int("merges", 2000, "number of merges in all rows together")
	seed   = flag.Uint64("seed", 1, "seed of the server's faults and of the routes of connections")
)

// row is one line of the table: a fault, and calls of one kind that meet it.
type row struct {
	fault
	http2 bool
	by    string // byMerge, byKey or byMergeAll

	users   []*user
	updates int // of each user
	server  *server
	network *network
	client  *client

	mu        sync.Mutex
	calls     int
	good      int
	early     int // calls that failed with attempts left
	sum       int // of the attempts that results and errors report
	errors    map[string]int
	durations []time.Duration
	failed    map[*user]map[int]bool // updates whose call failed, and was not repeated
}

const (
	byMerge    = "Merge"
	byKey      = "Merge with a key"
	byMergeAll = "MergeAll"
)

func rows(inFlight int) []*row {
	var rows []*row
	for _, http2 := range []bool{false, true} {
		for _, f := range faults(http2, inFlight) {
			for _, by := range []string{byMerge, byKey, byMergeAll} {
				if by == byKey && !f.keyed {
					continue
				}
				rows = append(rows, &row{fault: f, http2: http2, by: by})
			}
		}
	}
	return rows
}

// TestFaults runs merges through every fault.
func TestFaults(t *testing.T) {
	users := 8
	if *merges > 20_000 {
		users = 64
	}
	rows := rows(users)
	updates := (*merges + len(rows)*users - 1) / (len(rows) * users)
	for i, r := range rows {
		t.Run(fmt.Sprintf("%s/%s/%s", r.name, r.protocol(), r.by), func(t *testing.T) {
			leaks := goleak.IgnoreCurrent()
			r.updates = updates
			for n := range users {
				r.users = append(r.users, newUser(n))
			}
			r.run(t, *seed+uint64(i)<<32)
			r.check(t)
			checkGoroutines(t, leaks)
			if open := r.network.openNow(); open > 0 {
				t.Errorf("the client left %d connections open", open)
			}
		})
	}
	fmt.Printf("seed %d, %d users of %d updates in each row\n\n", *seed, users, updates)
	if err := write(os.Stdout, rows); err != nil {
		t.Error(err)
	}
}

// checkGoroutines finds goroutines that still run when all is closed. Toxiproxy may
// leave its own behind for a connection that it cut.
func checkGoroutines(t *testing.T, others goleak.Option) {
	t.Helper()
	err := goleak.Find(others,
		goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2.(*ToxicLink).read"),
		goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2.(*ToxicLink).write"),
		goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2/toxics.(*ToxicStub).Run"))
	if err != nil {
		t.Error(err)
	}
}

func (r *row) protocol() string {
	if r.http2 {
		return "HTTP/2"
	}
	return "HTTP/1.1"
}

// run makes all calls, and then closes everything.
func (r *row) run(t *testing.T, seed uint64) {
	r.errors = make(map[string]int)
	r.failed = make(map[*user]map[int]bool)
	for _, u := range r.users {
		r.failed[u] = make(map[int]bool)
	}
	r.server = newServer(r.http2, r.serverOK, r.users, rand.New(rand.NewPCG(seed, 1)))
	defer r.server.Close()
	defer r.server.CloseClientConnections()
	r.network = newNetwork(t, r.fault, r.server.Listener.Addr().String(), rand.New(rand.NewPCG(seed, 2)), 2*len(r.users))
	defer r.network.stop()
	r.client = newClient(t, r.network, r.server, r.users, r.by == byMergeAll)
	defer r.client.CloseIdleConnections()

	ctx, cancel := context.WithTimeout(t.Context(), r.longest())
	defer cancel()
	if r.by == byMergeAll {
		r.mergeAll(ctx, t)
	} else {
		r.merge(ctx, t)
	}
	if ctx.Err() != nil {
		t.Errorf("the calls did not end within %v", r.longest())
	}
}

// merge sends each user's updates on a goroutine of its own, each one until it
// succeeds.
func (r *row) merge(ctx context.Context, t *testing.T) {
	var wg sync.WaitGroup
	for _, u := range r.users {
		wg.Go(func() {
			for n := 1; n <= r.updates; n++ {
				r.mergeUntilGood(ctx, t, u, n)
			}
		})
	}
	wg.Wait()
}

func (r *row) mergeUntilGood(ctx context.Context, t *testing.T, u *user, n int) {
	for key := 1; ctx.Err() == nil; {
		var opts []courier.RequestOption
		if r.by == byKey {
			opts = append(opts, courier.WithIdempotencyKey(fmt.Sprintf("%s, update %d, key %d", u.id, n, key)))
		}
		call, over := u.watch(ctx, n)
		start := time.Now()
		result, err := r.client.Profiles.Merge(call, u.id, update(n), opts...)
		over()
		r.returned(t, result, err, time.Since(start))
		if err == nil {
			return
		}
		if is500(err) {
			key++ // Courier would replay it.
		}
	}
}

func is500(err error) bool {
	var response *courier.ServerError
	return errors.As(err, &response) && response.StatusCode == http.StatusInternalServerError
}

// longest is how long the row may take, to detect a call that hangs. While all attempts
// time out, MergeAll has no more than one update in flight.
func (r *row) longest() time.Duration {
	return 2*time.Minute + time.Duration(r.updates*len(r.users))*attemptTimeout
}

// mergeAll sends all users' updates in turn.
func (r *row) mergeAll(ctx context.Context, t *testing.T) {
	seen := make([]bool, r.updates*len(r.users))
	for outcome := range r.client.Profiles.MergeAll(ctx, inTurn(r.users, r.updates), courier.WithConcurrency(len(r.users))) {
		if outcome.Index < 0 || outcome.Index >= len(seen) || seen[outcome.Index] {
			t.Fatalf("an outcome too many, or twice: %d of %d", outcome.Index, len(seen))
		}
		seen[outcome.Index] = true
		u, n := r.users[outcome.Index%len(r.users)], outcome.Index/len(r.users)+1
		if outcome.UserID != u.id {
			t.Errorf("outcome %d is of %s, want %s", outcome.Index, outcome.UserID, u.id)
		}
		r.returned(t, outcome.Result, outcome.Err, time.Since(u.start(n)))
		if outcome.Err != nil {
			r.failed[u][n] = true
		}
	}
	for i, ok := range seen {
		if !ok {
			t.Errorf("update %d has no outcome", i)
		}
	}
}

// inTurn returns the first updates of all users, then the second ones, and so on.
func inTurn(users []*user, updates int) iter.Seq2[string, courier.Profile] {
	return func(yield func(string, courier.Profile) bool) {
		for n := 1; n <= updates; n++ {
			for _, u := range users {
				if !yield(u.id, update(n)) {
					return
				}
			}
		}
	}
}

// returned counts a call that has returned.
func (r *row) returned(t *testing.T, result *courier.Result, err error, after time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls++
	r.durations = append(r.durations, after)
	attempts := attemptsOf(result, err)
	r.sum += attempts
	if attempts < 1 || attempts > maxAttempts {
		t.Errorf("a call took %d attempts: %v", attempts, err)
	}
	if err == nil {
		r.good++
		return
	}
	name, documented := kind(err)
	if !documented {
		t.Errorf("a call failed with %T: %v", err, err)
	}
	r.errors[name]++
	if attempts < maxAttempts && (r.by != byKey || !is500(err)) {
		r.early++
	}
}

// check compares the outcomes of the calls with what the package promises.
func (r *row) check(t *testing.T) {
	t.Helper()
	failed := 0
	for _, updates := range r.failed {
		failed += len(updates)
	}
	if want := r.updates * len(r.users); r.good+failed != want {
		t.Errorf("%d updates succeeded and %d failed, of %d", r.good, failed, want)
	}
	if r.sum != r.client.attempts {
		t.Errorf("the observer saw %d attempts, results and errors report %d", r.client.attempts, r.sum)
	}
	if most := r.calls + reserve + r.good; r.client.attempts > most {
		t.Errorf("%d attempts are more than the retry budget allows: %d", r.client.attempts, most)
	}
	// A call has a connection, or is dialing one. When an HTTP/2 connection ends,
	// net/http dials for every waiting call, and keeps dialing when the first
	// connection is open; by then that one may have ended as well.
	most := 2 * len(r.users)
	if r.http2 {
		most = 8 * len(r.users)
	}
	if r.network.peak > most {
		t.Errorf("%d connections at once for %d calls in flight", r.network.peak, len(r.users))
	}
	if retries := r.client.attempts - r.calls; r.early > 0 && retries < reserve {
		t.Errorf("%d calls failed with attempts left, though %d retries in all are within the budget", r.early, retries)
	}
	for _, u := range r.users {
		for _, wrong := range u.wrong {
			t.Errorf("%s: %s", u.id, wrong)
		}
		r.checkEnd(t, u)
	}
	// An update may overtake another only if the client gave up on an attempt, and
	// never if there is a key.
	most = r.client.withoutResponse
	if r.by == byKey {
		most = 0
	}
	if late := r.server.late(); late > most {
		t.Errorf("%d updates were carried out after a later one of the same user, with %d attempts without a response", late, r.client.withoutResponse)
	}
}

// checkEnd checks that each member of a profile is from the last update that
// changed it, or from one that failed after that and may have been carried out. If
// updates were carried out late, any of them may have won.
func (r *row) checkEnd(t *testing.T, u *user) {
	t.Helper()
	stored := r.server.custom(u.id)
	late := r.server.seen[u.id].late > 0
	// last reports whether update n may have been the last one to change a member:
	// all later ones, in steps of step, failed.
	last := func(n, step int) bool {
		if late {
			return n <= r.updates
		}
		for n += step; n <= r.updates; n += step {
			if !r.failed[u][n] {
				return false
			}
		}
		return true
	}
	seq := number(stored["seq"])
	want := update(seq).Custom.Or(nil)
	want["seq"] = stored["seq"]
	if !last(seq, 1) {
		t.Errorf("%s: the profile is that of update %d of %d", u.id, seq, r.updates)
	}
	for first := 1; first <= min(members, r.updates); first++ {
		name := member(first)
		n := number(stored[name])
		if n != 0 && member(n) != name || !last(cmp.Or(n, first-members), members) {
			t.Errorf("%s: %s is from update %d of %d", u.id, name, n, r.updates)
		}
		if n != 0 {
			want[name] = stored[name]
		} else {
			delete(want, name)
		}
	}
	if diff := gocmp.Diff(want, stored); diff != "" {
		t.Errorf("%s: -want +got\n%s", u.id, diff)
	}
}
