package main

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	courier "github.com/courier-profiles/courier-go"
	"github.com/courier-profiles/courier-go/couriertest"
)

// network holds the first request with a given plan until it is opened, and then
// lets it through even if its sender is gone.
type network struct {
	held    chan struct{} // closed when the request is there
	open    chan struct{}
	arrived sync.WaitGroup
}

func newNetwork(t *testing.T, plan string) (*network, *api) {
	n := &network{held: make(chan struct{}), open: make(chan struct{})}
	n.arrived.Add(1)
	var once atomic.Bool
	return n, newAPI(t, func(next *couriertest.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if sentPlan(t, r) == plan && once.CompareAndSwap(false, true) {
				defer n.arrived.Done()
				r = late(r)
				close(n.held)
				<-n.open
			}
			next.ServeHTTP(w, r)
		})
	})
}

func await(t *testing.T, what string, ch <-chan struct{}) {
	t.Helper()
	select {
	case <-ch:
	case <-stuckContext(t).Done():
		t.Fatal("never: ", what)
	}
}

// outForDelivery returns how many updates nobody has settled yet.
func outForDelivery(t *testing.T, stream jetstream.Stream) int {
	t.Helper()
	n := 0
	consumers := stream.ListConsumers(stuckContext(t))
	for info := range consumers.Info() {
		n += info.NumAckPending
	}
	if err := consumers.Err(); err != nil {
		t.Fatal(err)
	}
	return n
}

// The update that is in flight when the signal comes is finished, and the next
// one of its partition is left to others.
func TestDrain(t *testing.T) {
	t.Parallel()
	nats, js := newNATS(t)
	q := newStreams(t, js, quick.partitions)
	network, a := newNetwork(t, "1")
	mustPublish(t, js, "1", "user-1", plan("1"))
	mustPublish(t, js, "2", "user-1", plan("2"))

	// Without a settled update, another worker would have to wait for an hour.
	p := startProcess(t, nats.ClientURL(), a, a.APIKey, "-ack-wait=1h")
	await(t, "a request", network.held)
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	p.out.await(t, "msg=stopping")
	close(network.open)
	if state := p.wait(t); state.ExitCode() != 0 {
		t.Errorf("%v:\n%s", state, p.out)
	}
	if got := planOf(t, a, "user-1"); got != "1" {
		t.Errorf("after the drain the plan is %s, want 1", got)
	}
	info, err := q.stream.Info(stuckContext(t))
	if err != nil {
		t.Fatal(err)
	}
	if n := outForDelivery(t, q.stream); n != 0 || info.State.Msgs != 1 {
		t.Errorf("after the drain %d updates are out for delivery and %d in the stream, want 0 and 1", n, info.State.Msgs)
	}

	s := quick
	s.ackWait = time.Hour
	w, _ := newWorker(t, js, a, s)
	empty(t, w, q)
	if got := planOf(t, a, "user-1"); got != "2" {
		t.Errorf("in the end the plan is %s, want 2", got)
	}
}

// A signal that comes before the worker is ready ends it as well as any other.
func TestStopsBeforeItBegins(t *testing.T) {
	t.Parallel()
	_, js := newNATS(t)
	w, log := newWorker(t, js, newAPI(t, nil), quick)
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := w.run(ctx); err != nil {
		t.Errorf("%v\n%s", err, log)
	}
}

func TestSecondSignalEndsAtOnce(t *testing.T) {
	t.Parallel()
	nats, js := newNATS(t)
	newStreams(t, js, quick.partitions)
	network, a := newNetwork(t, "1")
	mustPublish(t, js, "1", "user-1", plan("1"))

	p := startProcess(t, nats.ClientURL(), a, a.APIKey, "-ack-wait=1h")
	await(t, "a request", network.held)
	defer close(network.open)
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	p.out.await(t, "msg=stopping")
	state := p.end(t, syscall.SIGTERM)
	if status, ok := state.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGTERM {
		t.Errorf("the process ended by %v, want the signal", state)
	}
}

// A wrong key ends the worker, and costs no update anything.
func TestRefusedKey(t *testing.T) {
	t.Parallel()
	nats, js := newNATS(t)
	q := newStreams(t, js, quick.partitions)
	a := newAPI(t, nil)
	for _, user := range []string{"user-1", "user-2", "user-3"} {
		mustPublish(t, js, user, user, plan("1"))
	}

	p := startProcess(t, nats.ClientURL(), a, "wrong-key", "-ack-wait=1h")
	state := p.wait(t)
	if state.ExitCode() != 1 || !strings.Contains(p.out.String(), "nothing can be merged with this API key: courier: merge profile: 401") {
		t.Errorf("%v:\n%s", state, p.out)
	}
	if strings.Contains(p.out.String(), "wrong-key") || strings.Contains(p.out.String(), "user-") {
		t.Errorf("the output holds the key or a user id:\n%s", p.out)
	}

	// Handed back, so that a worker with the right key need not wait for an hour.
	s := quick
	s.ackWait = time.Hour
	w, _ := newWorker(t, js, a, s)
	empty(t, w, q)
	for _, user := range []string{"user-1", "user-2", "user-3"} {
		if got := planOf(t, a, user); got != "1" {
			t.Errorf("the plan of %s is %s, want 1", user, got)
		}
	}
}

// A worker that is frozen with a request under way, for longer than -ack-wait,
// cannot put an old update over a newer one when it wakes up.
func TestFrozenWorker(t *testing.T) {
	t.Parallel()
	nats, js := newNATS(t)
	q := newStreams(t, js, quick.partitions)
	network, a := newNetwork(t, "1")
	mustPublish(t, js, "1", "user-1", plan("1"))
	mustPublish(t, js, "2", "user-1", plan("2"))

	frozen := startProcess(t, nats.ClientURL(), a, a.APIKey, "-ack-wait=2s")
	await(t, "a request", network.held)
	if err := frozen.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	s := quick
	s.ackWait = 2 * time.Second
	w, _ := newWorker(t, js, a, s)
	empty(t, w, q)
	if got := planOf(t, a, "user-1"); got != "2" {
		t.Fatalf("before the late request the plan is %s, want 2", got)
	}

	close(network.open)
	network.arrived.Wait()
	if err := frozen.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if got := planOf(t, a, "user-1"); got != "2" {
		t.Errorf("after the late request the plan is %s, want 2", got)
	}

	// It works again.
	mustPublish(t, js, "3", "user-1", plan("3"))
	if err := waitUntilEmpty(stuckContext(t), q.stream); err != nil {
		t.Fatal(err)
	}
	if got := planOf(t, a, "user-1"); got != "3" {
		t.Errorf("in the end the plan is %s, want 3", got)
	}
	if state := frozen.end(t, syscall.SIGTERM); state.ExitCode() != 0 {
		t.Errorf("%v:\n%s", state, frozen.out)
	}
}

func TestPublishCommand(t *testing.T) {
	nats, js := newNATS(t)
	t.Setenv("NATS_URL", nats.ClientURL())
	t.Setenv("NATS_CREDS", "")
	tests := []struct{ name, in, out, err string }{
		{"updates, one of them twice",
			`{"id":"1","user_id":"user-1","profile":{"custom":{"plan":"a","n":9007199254740993}}}` + "\n\n" +
				`{"id":"2","user_id":"ü/?","profile":{"email":null}}` + "\r\n" +
				`{"id":"1","user_id":"user-1","profile":{}}`,
			"2 published, 1 already there\n", ""},
		{"nothing", "", "0 published, 0 already there\n", ""},
		{"no JSON", `{"id":"3","user_id":"user-1","profile":{}}` + "\nno JSON\n" + `{"id":"4","user_id":"user-1","profile":{}}`,
			"1 published, 0 already there\n", "line 2: not an update of the form"},
		{"no id", `{"user_id":"user-1","profile":{}}`, "0 published, 0 already there\n", "line 1: the ID of the update"},
		{"a number as user", `{"id":"5","user_id":1,"profile":{}}`, "0 published, 0 already there\n", "line 1: not an update of the form"},
		{"no user", `{"id":"5","profile":{}}`, "0 published, 0 already there\n", "line 1: not an update of the form"},
		{"no profile", `{"id":"5","user_id":"user-1"}`, "0 published, 0 already there\n", "line 1: not an update of the form"},
		{"null profile", `{"id":"5","user_id":"user-1","profile":null}`, "0 published, 0 already there\n", "line 1: not an update of the form"},
		{"not UTF-8", `{"id":"5","user_id":"` + "\xff" + `","profile":{}}`, "0 published, 0 already there\n", "line 1: not an update of the form"},
		{"too long", `{"id":"5","user_id":"` + strings.Repeat("x", 1<<20-headroom) + `","profile":{}}`, "0 published, 0 already there\n", "line 1: "},
		{"far too long", `{"id":"5","user_id":"` + strings.Repeat("x", 2<<20) + `","profile":{}}`, "0 published, 0 already there\n", "line 1: "},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var out strings.Builder
			err := run(t.Context(), []string{"publish"}, strings.NewReader(test.in), &out, &out)
			if out.String() != test.out {
				t.Errorf("out: %s", out.String())
			}
			switch {
			case test.err == "" && err != nil, test.err != "" && err == nil:
				t.Errorf("error: %v, want %q", err, test.err)
			case err != nil && !strings.HasPrefix(err.Error(), test.err):
				t.Errorf("error: %v, want %q", err, test.err)
			}
		})
	}

	// What was published arrives as it was.
	a := newAPI(t, nil)
	w, _ := newWorker(t, js, a, quick)
	empty(t, w, newStreams(t, js, quick.partitions))
	profile, _ := a.Profile("user-1")
	if got, want := profile.String(), `{"custom":{"n":9007199254740993,"plan":"a"}}`; got != want {
		t.Errorf("user-1 is %s, want %s", got, want)
	}
	if _, ok := a.Profile("ü/?"); !ok {
		t.Error("the other user has no profile")
	}
}

func TestRefusals(t *testing.T) {
	tests := []struct {
		name, natsURL string
		args          []string
		want          string
	}{
		{"an unknown command", "", []string{"consume"}, "no such command"},
		{"too many commands", "", []string{"publish", "publish"}, "no such command"},
		{"repartition without a number", "", []string{"repartition"}, "give the number of partitions"},
		{"repartition with two numbers", "", []string{"repartition", "1", "2"}, "give the number of partitions"},
		{"repartition without a true number", "", []string{"repartition", "many"}, "not a number of partitions"},
		{"repartition to nothing", "", []string{"repartition", "0"}, "from 1 to 4096"},
		{"repartition to too many", "", []string{"repartition", "4097"}, "from 1 to 4096"},
		{"repartition without NATS", "", []string{"repartition", "64"}, "set NATS_URL"},
		{"no partitions", "", []string{"-partitions=0"}, "from 1 to 4096"},
		{"too many partitions", "", []string{"-partitions=4097"}, "from 1 to 4096"},
		{"publish without NATS", "", []string{"publish"}, "set NATS_URL"},
		{"a short -ack-wait", "", []string{"-ack-wait=1ms"}, "-ack-wait is too short"},
		{"no -retry-wait", "", []string{"-retry-wait=0"}, "-retry-wait must be"},
		{"a long -retry-wait", "", []string{"-retry-wait=1h"}, "-retry-wait must be"},
		{"an invalid URL", "nats://user:secret@%zz", nil, "NATS_URL is not a URL"},
		{"nobody there", "nats://user:secret@127.0.0.1:1", nil, "connecting to NATS: nats: no servers available"},
		{"no key", "here", nil, "COURIER_API_KEY"},
	}
	nats, _ := newNATS(t)
	t.Run("missing credentials", func(t *testing.T) {
		t.Setenv("NATS_URL", nats.ClientURL())
		t.Setenv("NATS_CREDS", filepath.Join(t.TempDir(), "none.creds"))
		err := run(t.Context(), nil, strings.NewReader(""), io.Discard, io.Discard)
		if !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("error: %v", err)
		}
	})
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if test.natsURL == "here" {
				test.natsURL = nats.ClientURL()
			}
			t.Setenv("NATS_URL", test.natsURL)
			t.Setenv("NATS_CREDS", "")
			t.Setenv("COURIER_API_KEY", "")
			t.Setenv("COURIER_AUTH_TOKEN", "")
			var out strings.Builder
			err := run(t.Context(), test.args, strings.NewReader(""), &out, &out)
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "secret") {
				t.Errorf("error: %v, want %q", err, test.want)
			}
		})
	}
}

func TestDemonstration(t *testing.T) {
	for _, name := range []string{"NATS_URL", "COURIER_API_KEY", "COURIER_AUTH_TOKEN", "COURIER_BASE_URL"} {
		t.Setenv(name, "")
	}
	check := func(t *testing.T) {
		var out strings.Builder
		log := newOutput()
		if err := run(t.Context(), nil, strings.NewReader(""), &out, log); err != nil {
			t.Fatalf("%v\n%s", err, log)
		}
		for _, want := range []string{
			"duplicate=true",
			`worker-demo-ada {"email":"new@example.com","custom":{"plan":"pro"}}`,
			errMalformed.Error(),
			"9 merged, 1 dead",
		} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("no %q in\n%s", want, out.String())
			}
		}
		if strings.Contains(log.String(), "worker-demo") || strings.Contains(log.String(), "example.com") {
			t.Errorf("the log holds personal data:\n%s", log)
		}
	}
	t.Run("in memory", check)
	t.Run("at Courier", func(t *testing.T) {
		a := newAPI(t, nil)
		t.Setenv("COURIER_API_KEY", a.APIKey)
		t.Setenv("COURIER_BASE_URL", a.url)
		check(t)
		check(t) // Courier knows the first run's keys
	})
	t.Run("a wrong key", func(t *testing.T) {
		t.Setenv("COURIER_API_KEY", "wrong-key")
		t.Setenv("COURIER_BASE_URL", newAPI(t, nil).url)
		var out strings.Builder
		err := run(t.Context(), nil, strings.NewReader(""), &out, &out)
		if _, ok := errorAs[*courier.AuthenticationError](err); !ok {
			t.Errorf("error: %v", err)
		}
	})
}
