package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
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
	"github.com/courier-profiles/courier-go/cmd/internal/job"
	"github.com/courier-profiles/courier-go/couriertest"
)

var (
	killUpdates = flag.Int("updates", 2000, "`number` of updates in TestKill")
	killSeed    = flag.Uint64("seed", 0, "seed of TestKill; 0 for a random one")
)

const killUsers, killWorkers, invalidEach = 500, 3, 500

// TestKill has three worker processes merge updates of 500 users while they are killed at
// random, Courier fails in every way it can, and requests arrive late or twice. In full:
//
//	go test -run TestKill -updates 20000 -v
func TestKill(t *testing.T) {
	seed := *killSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("-seed %d -updates %d", seed, *killUpdates)
	random := rand.New(rand.NewPCG(seed, 0))
	begin := time.Now()

	nats, js := newNATS(t)
	q := newQueueOf(t, js, 64)
	all := make([]*history, killUsers)
	for i := range all {
		all[i] = newHistory(fmt.Sprintf("user/%d@example.com", i))
	}
	for range *killUpdates {
		all[random.IntN(killUsers)].add(random)
	}
	kills := max(*killUpdates/300, 3)
	front := newCrowd(rand.New(rand.NewPCG(seed, 1)))
	for i := range kills {
		at := (i**killUpdates+random.IntN(*killUpdates))/kills + 1
		front.kills = append(front.kills, at)
	}
	f := newFake(t, func(next http.Handler) http.Handler {
		front.next = next
		return front
	})
	f.MaxRequests = -1
	f.Fail(faults(random, *killUpdates)...)

	ctx := untilDeadline(t)
	published := make(chan error, 1)
	go func() { published <- publishAll(ctx, &Publisher{q}, all) }()
	start := func() *process {
		return startProcess(t, nats.ClientURL(), f, f.APIKey,
			"-v", "-ack-wait=2s", "-retry-wait=5ms", "-max-retry-wait=50ms")
	}
	var running [killWorkers]*process
	for i := range running {
		running[i] = start()
	}
	var logs strings.Builder // of all workers
	for range kills {
		select {
		case <-front.killed:
		case <-ctx.Done():
			t.Fatal("the updates do not get on")
		}
		i := random.IntN(killWorkers)
		running[i].signal(t, os.Kill)
		running[i].mustExit(t, -1)
		logs.WriteString(running[i].out.String())
		running[i] = start()
	}
	if err := <-published; err != nil {
		t.Fatal(err)
	}
	if err := waitUntilEmpty(ctx, q.stream); err != nil {
		t.Fatal(err)
	}
	for _, p := range running {
		p.out.await(t, "msg=working") // the last one may have begun just now
		p.signal(t, syscall.SIGTERM)
		p.mustExit(t, job.Done)
		logs.WriteString(p.out.String())
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
		if diff := cmp.Diff(h.state, stateOf(t, f, h.user)); diff != "" {
			t.Errorf("profile (-want +got):\n%s", diff)
		}
	}
	invalid := *killUpdates / invalidEach
	for _, letter := range deadLetters(t, js, invalid) {
		if got := letter.Header.Get(deadReason); got != errMalformed.Error() {
			t.Errorf("a dead letter by %s", got)
		}
	}
	for _, secret := range []string{"user/", "example.com", "DATA RACE", f.APIKey} {
		if strings.Contains(logs.String(), secret) {
			t.Errorf("the logs hold %q", secret)
		}
	}
	t.Logf("%d updates of %d users in %.1f s: %d kills; %d requests, %d of them late copies; "+
		"%d failures logged; %d dead letters", *killUpdates, killUsers,
		time.Since(begin).Seconds(), kills, front.requests, front.copies,
		strings.Count(logs.String(), `msg="not merged"`), invalid)
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

// add adds an update that sets, removes and nests members, so that every change of order
// shows.
func (h *history) add(random *rand.Rand) {
	h.updates++
	number := json.Number(fmt.Sprint(h.updates))
	value := func() any {
		switch random.IntN(4) {
		case 0:
			return nil
		case 1:
			return map[string]any{
				fmt.Sprint("deep", random.IntN(3)): number,
				fmt.Sprint("deep", random.IntN(3)): nil,
			}
		default:
			return fmt.Sprint("by update ", h.updates)
		}
	}
	custom := map[string]any{"update": number}
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

func stateOf(t *testing.T, f *fake, user string) map[string]any {
	t.Helper()
	state := map[string]any{}
	profile, ok := f.Profile(user)
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

// publishAll publishes the updates of the users in turn, and something invalid now and
// then.
func publishAll(ctx context.Context, p *Publisher, all []*history) error {
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
			id := fmt.Sprintf("%d-%d", i, round)
			if _, err := p.Publish(ctx, id, h.user, profile); err != nil {
				return err
			}
			if n++; n%invalidEach != 0 {
				continue
			}
			_, err := p.queue.js.Publish(ctx, p.queue.subjectOf(h.user), []byte(h.lines[round]),
				jetstream.WithMsgID(fmt.Sprint("invalid-", n)))
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// faults is a script in which one request of eight fails.
func faults(random *rand.Rand, n int) []couriertest.Fault {
	kinds := []couriertest.Fault{
		{Status: 429}, {Status: 429, RetryAfter: "0.1"},
		{Status: 500}, {Status: 502}, {Status: 503}, {Status: 409},
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

// crowd is in front of the fake. It watches the order of each user's updates, reports when
// to kill a worker, and lets copies of some requests arrive again, long after them.
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

func newCrowd(random *rand.Rand) *crowd {
	return &crowd{random: random, users: map[string]int{}, killed: make(chan struct{}, 1000)}
}

func (c *crowd) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if again := c.receive(r); again != nil {
		c.serveLate(again)
	}
	c.serve(w, r)
}

// receive counts a request, and returns the copy of another one that arrives now, or nil.
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
		c.mistakes = append(c.mistakes,
			fmt.Sprintf("update %d of a user is merged after update %d", update, last))
	}
}

// whose returns the user and the number of an update; 0 if its sender was killed before
// all of it was sent.
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
