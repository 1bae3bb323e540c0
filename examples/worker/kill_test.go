package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"

	courier "github.com/courier-profiles/courier-go"
	"github.com/courier-profiles/courier-go/couriertest"
)

var (
	killUpdates = flag.Int("updates", 2000, "`number` of updates in TestKill")
	killSeed    = flag.Uint64("seed", 0, "seed of TestKill; 0 for a random one")
)

// TestKill has three worker processes merge updates of 500 users while they are
// killed at random, the number of partitions changes, Courier fails in every way
// it can, and requests arrive late or twice. In full:
//
//	go test -run TestKill -updates 20000 -v
func TestKill(t *testing.T) {
	const users, workers, invalidEach = 500, 3, 500
	seed := *killSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("-seed %d -updates %d", seed, *killUpdates)
	random := rand.New(rand.NewPCG(seed, 0))
	begin := time.Now()

	nats, js := newNATS(t)
	q := newStreams(t, js, 32)
	changes := []int{48, 256} // partitions
	all := make([]*history, users)
	for i := range all {
		all[i] = newHistory(fmt.Sprintf("user/%d@example.com", i))
	}
	for range *killUpdates {
		all[random.IntN(users)].add(random)
	}
	kills := max(*killUpdates/300, 3)
	front := &crowd{users: make(map[string]int), random: rand.New(rand.NewPCG(seed, 1)), killed: make(chan struct{}, kills)}
	for i := range kills {
		front.kills = append(front.kills, (i*(*killUpdates)+random.IntN(*killUpdates))/kills+1)
	}
	a := newAPI(t, func(next *couriertest.Handler) http.Handler {
		next.MaxRequests = -1
		front.next = next
		return front
	})
	a.Fail(faults(random, *killUpdates)...)

	invalid := 0
	published := make(chan error, 1)
	go func() {
		published <- publishAll(untilDeadline(t), &Publisher{js: js, layout: q.current}, all, invalidEach, &invalid)
	}()

	start := func() *process {
		return startProcess(t, nats.ClientURL(), a, a.APIKey, "-v", "-ack-wait=2s", "-retry-wait=5ms", "-max-retry-wait=50ms")
	}
	var running [workers]*process
	for i := range running {
		running[i] = start()
	}
	var logs strings.Builder // of all workers
	for kill := range kills {
		if len(changes) > 0 && kill >= kills/3 {
			err := repartition(untilDeadline(t), js, changes[0], io.Discard)
			switch {
			case err == nil:
				changes = changes[1:]
			case !strings.Contains(err.Error(), "is not finished"):
				t.Fatal(err)
			}
		}
		select {
		case <-front.killed:
		case <-untilDeadline(t).Done():
			t.Fatal("the updates do not get on")
		}
		i := random.IntN(workers)
		running[i].end(t, os.Kill)
		logs.WriteString(running[i].out.String())
		running[i] = start()
	}
	if err := <-published; err != nil {
		t.Fatal(err)
	}
	if err := waitUntilEmpty(untilDeadline(t), q.stream); err != nil {
		t.Fatal(err)
	}
	for _, p := range running {
		p.out.await(t, "msg=working") // the last one may have begun just now
		if state := p.end(t, syscall.SIGTERM); state.ExitCode() != 0 {
			t.Errorf("%v:\n%s", state, p.out)
		}
		logs.WriteString(p.out.String())
	}

	if len(changes) == 2 {
		t.Error("the partitions never changed")
	}
	front.mu.Lock()
	defer front.mu.Unlock()
	for _, mistake := range front.mistakes {
		t.Error(mistake)
	}
	for _, h := range all {
		if got := front.users[h.user]; got != h.updates {
			t.Errorf("%d updates of a user are merged, want %d", got, h.updates)
		}
		if diff := cmp.Diff(h.state, stateOf(t, a, h.user)); diff != "" {
			t.Errorf("profile (-want +got):\n%s", diff)
		}
	}
	for _, letter := range deadLetters(t, js, invalid) {
		if got := letter.Header.Get(deadReason); got != errMalformed.Error() {
			t.Errorf("a dead letter by %s", got)
		}
	}
	for _, secret := range []string{"user/", "example.com", "DATA RACE", a.APIKey} {
		if strings.Contains(logs.String(), secret) {
			t.Errorf("the logs hold %q", secret)
		}
	}
	t.Logf("%d updates of %d users in %.1f s: %d kills; %d requests, %d of them late copies; %d failures logged; %d dead letters; %d changes of the partitions",
		*killUpdates, users, time.Since(begin).Seconds(), kills, front.requests, front.copies,
		strings.Count(logs.String(), `msg="not merged"`), invalid, 2-len(changes))
}

// untilDeadline ends before the test binary does, so that a test can say what is wrong.
func untilDeadline(t *testing.T) context.Context {
	deadline, ok := t.Deadline()
	if !ok {
		return t.Context()
	}
	ctx, cancel := context.WithDeadline(t.Context(), deadline.Add(-10*time.Second))
	t.Cleanup(cancel)
	return ctx
}

// history is what is published for a user, and its outcome.
type history struct {
	user    string
	updates int
	lines   []string
	state   map[string]any
}

func newHistory(user string) *history { return &history{user: user, state: map[string]any{}} }

// add adds an update that sets, removes and nests members, so that every change
// of order shows.
func (h *history) add(random *rand.Rand) {
	h.updates++
	value := func() any {
		switch random.IntN(4) {
		case 0:
			return nil
		case 1:
			return map[string]any{fmt.Sprint("deep", random.IntN(3)): json.Number(fmt.Sprint(h.updates)), fmt.Sprint("deep", random.IntN(3)): nil}
		default:
			return fmt.Sprint("by update ", h.updates)
		}
	}
	custom := map[string]any{"update": json.Number(fmt.Sprint(h.updates))}
	for range 3 {
		custom[fmt.Sprint("key", random.IntN(12))] = value()
	}
	patch := map[string]any{"custom": custom, fmt.Sprint("extra", random.IntN(4)): value()}
	patch[[]string{"email", "name", "phone_number"}[random.IntN(3)]] = value()
	text, err := json.Marshal(patch)
	if err != nil {
		panic(err)
	}
	h.lines = append(h.lines, string(text))
	merge(h.state, patch)
}

// merge is RFC 7396, for an object.
func merge(target, patch map[string]any) {
	for name, value := range patch {
		members, object := value.(map[string]any)
		switch {
		case value == nil:
			delete(target, name)
		case object:
			inner, ok := target[name].(map[string]any)
			if !ok {
				inner = map[string]any{}
			}
			inner = maps.Clone(inner)
			merge(inner, members)
			target[name] = inner
		default:
			target[name] = value
		}
	}
}

func stateOf(t *testing.T, a *api, user string) map[string]any {
	t.Helper()
	state := map[string]any{}
	profile, ok := a.Profile(user)
	if !ok {
		return state
	}
	decoder := json.NewDecoder(strings.NewReader(profile.String()))
	decoder.UseNumber()
	if err := decoder.Decode(&state); err != nil {
		t.Error(err)
	}
	return state
}

// publishAll publishes the updates of the users in turn, and something invalid
// now and then.
func publishAll(ctx context.Context, p *Publisher, all []*history, invalidEach int, invalid *int) error {
	n := 0
	for round, more := 0, true; more; round++ {
		more = false
		for i, h := range all {
			if round >= len(h.lines) {
				continue
			}
			more = true
			var profile courier.Profile
			if err := json.Unmarshal([]byte(h.lines[round]), &profile); err != nil {
				return err
			}
			if _, err := p.Publish(ctx, fmt.Sprintf("%d-%d", i, round), h.user, profile); err != nil {
				return err
			}
			if n++; n%invalidEach == 0 {
				*invalid++
				if _, err := p.js.Publish(ctx, p.current().of(h.user), []byte(h.lines[round]), jetstream.WithMsgID(fmt.Sprint("invalid-", n))); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// faults is a script in which one request of eight fails.
func faults(random *rand.Rand, n int) []couriertest.Fault {
	kinds := []couriertest.Fault{
		{Status: 429}, {Status: 429, RetryAfter: "0.1"}, {Status: 500}, {Status: 502}, {Status: 503}, {Status: 409},
		{Status: 503, Body: []byte("<html>try later</html>")},
		{Reset: true}, {CutOff: true}, {Status: 503, CutOff: true},
		{Delay: 20 * time.Millisecond},
	}
	script := make([]couriertest.Fault, n)
	for i := range script {
		if random.IntN(8) == 0 {
			script[i] = kinds[random.IntN(len(kinds))]
		}
	}
	// Longer than any client waits.
	script[n/3], script[n/2] = couriertest.Fault{Delay: time.Hour}, couriertest.Fault{Delay: time.Hour}
	return script
}

// crowd is in front of the API. It watches the order of each user's updates,
// reports when to kill a worker, and lets copies of some requests arrive
// again, long after them.
type crowd struct {
	next http.Handler

	mu       sync.Mutex
	random   *rand.Rand
	users    map[string]int // the last update of each that was merged
	mistakes []string
	requests int
	copies   int
	kills    []int         // at how many requests
	killed   chan struct{} // a value for each
	waiting  []*http.Request
}

func (c *crowd) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if again := c.receive(r); again != nil {
		c.serveLate(again)
	}
	c.serve(w, r)
}

// receive counts a request, and returns the copy of another one that arrives
// now, or nil.
func (c *crowd) receive(r *http.Request) *http.Request {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.requests++
	if len(c.kills) > 0 && c.requests >= c.kills[0] {
		c.kills = c.kills[1:]
		c.killed <- struct{}{}
	}
	// What has no key arrives once.
	if r.Header.Get("Idempotency-Key") != "" && c.random.IntN(20) == 0 {
		c.waiting = append(c.waiting, late(r))
	}
	if len(c.waiting) == 0 || c.random.IntN(20) != 0 {
		return nil
	}
	i := c.random.IntN(len(c.waiting))
	again := c.waiting[i]
	c.waiting = append(c.waiting[:i:i], c.waiting[i+1:]...)
	c.requests++
	c.copies++
	return again
}

func (c *crowd) serveLate(r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), time.Second)
	defer cancel()
	defer func() {
		if p := recover(); p != nil && p != http.ErrAbortHandler {
			panic(p)
		}
	}()
	c.serve(httptest.NewRecorder(), r.WithContext(ctx))
}

func (c *crowd) serve(w http.ResponseWriter, r *http.Request) {
	user, update := whose(r)
	recorder := &statusRecorder{ResponseWriter: w}
	defer func() {
		if recorder.status == http.StatusOK {
			c.merged(user, update)
		}
	}()
	c.next.ServeHTTP(recorder, r)
}

// merged records an update whose response was a success.
func (c *crowd) merged(user string, update int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch last := c.users[user]; {
	case update == last+1:
		c.users[user] = update
	case update > last:
		c.mistakes = append(c.mistakes, fmt.Sprintf("update %d of a user is merged after update %d", update, last))
	}
}

// whose returns the user and the number of an update; 0 if its sender was killed
// before all of it was sent.
func whose(r *http.Request) (user string, update int) {
	copied := late(r)
	var sent struct {
		Profile struct{ Custom struct{ Update int } }
	}
	_ = json.NewDecoder(copied.Body).Decode(&sent)
	return strings.TrimPrefix(r.URL.Path, "/profiles/"), sent.Profile.Custom.Update
}

// statusRecorder remembers the status of a response.
type statusRecorder struct {
	http.ResponseWriter
	status int
}

func (s *statusRecorder) WriteHeader(status int) {
	s.status = status
	s.ResponseWriter.WriteHeader(status)
}

func (s *statusRecorder) Unwrap() http.ResponseWriter { return s.ResponseWriter }
