package main

import (
	"context"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/courier-profiles/courier-go/cmd/internal/job"
)

// network holds the first request with a given plan until it is opened, and then lets it
// through even if its sender is gone.
type network struct {
	held    chan struct{} // closed when the request is there
	open    chan struct{}
	arrived sync.WaitGroup
}

func newNetwork(t *testing.T, plan string) (*network, *fake) {
	n := &network{held: make(chan struct{}), open: make(chan struct{})}
	n.arrived.Add(1)
	var once atomic.Bool
	return n, newFake(t, func(next http.Handler) http.Handler {
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

// newGate lets requests through once n of them are there, and then closes the channel.
func newGate(t *testing.T, n int64) (<-chan struct{}, *fake) {
	t.Helper()
	opened := make(chan struct{})
	var waiting atomic.Int64
	return opened, newFake(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if waiting.Add(1) == n {
				close(opened)
			}
			select {
			case <-opened:
			case <-t.Context().Done():
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

// The update that is in flight when the signal comes is finished, and the next one of its
// partition is left to others.
func TestDrain(t *testing.T) {
	t.Parallel()
	nats, js := newNATS(t)
	q := newQueueOf(t, js, 16)
	network, f := newNetwork(t, "1")
	mustPublish(t, js, "1", "user-1", plan("1"))
	mustPublish(t, js, "2", "user-1", plan("2"))

	// Without a settled update, another worker would have to wait for an hour.
	p := startProcess(t, nats.ClientURL(), f, f.APIKey, "-ack-wait=1h")
	await(t, "a request", network.held)
	p.signal(t, syscall.SIGTERM)
	p.out.await(t, "msg=stopping")
	close(network.open)
	p.mustExit(t, job.Done)
	checkPlan(t, f, "user-1", "1")
	if n := q.stored(t); n != 1 {
		t.Errorf("%d updates are in the stream, want 1", n)
	}

	s := quick
	s.ackWait = time.Hour
	w, _ := newWorker(t, js, f, s)
	runUntilEmpty(t, w, q)
	checkPlan(t, f, "user-1", "2")
}

// A signal that comes before the worker is ready ends it as well as any other.
func TestStopsBeforeItBegins(t *testing.T) {
	t.Parallel()
	_, js := newNATS(t)
	w, log := newWorker(t, js, newFake(t, nil), quick)
	drain, stop := context.WithCancel(t.Context())
	stop()
	if err := w.run(t.Context(), drain); err != nil {
		t.Errorf("%v\n%s", err, log)
	}
}

// A second signal cuts the request off. The update is retried later, by any worker.
func TestSecondSignalEndsAtOnce(t *testing.T) {
	t.Parallel()
	nats, js := newNATS(t)
	q := newQueueOf(t, js, 16)
	network, f := newNetwork(t, "1")
	defer close(network.open)
	mustPublish(t, js, "1", "user-1", plan("1"))

	p := startProcess(t, nats.ClientURL(), f, f.APIKey, "-ack-wait=1h")
	await(t, "a request", network.held)
	p.signal(t, syscall.SIGTERM)
	p.out.await(t, "msg=stopping")
	p.signal(t, syscall.SIGTERM)
	p.mustExit(t, job.Interrupted)

	s := quick
	s.ackWait = time.Hour
	w, _ := newWorker(t, js, newFake(t, nil), s)
	runUntilEmpty(t, w, q)
	if n := w.merged.Load(); n != 1 {
		t.Errorf("%d updates are merged in the end, want 1", n)
	}
}

// A wrong key ends the worker, and costs no update anything.
func TestRefusedKey(t *testing.T) {
	t.Parallel()
	nats, js := newNATS(t)
	q := newQueueOf(t, js, 16)
	f := newFake(t, nil)
	users := []string{"user-1", "user-2", "user-3"}
	for _, user := range users {
		mustPublish(t, js, user, user, plan("1"))
	}

	p := startProcess(t, nats.ClientURL(), f, "wrong-key", "-ack-wait=1h")
	p.mustExit(t, job.Failed)
	const want = "nothing can be merged with this API key: 401 authentication_error"
	if !strings.Contains(p.out.String(), want) {
		t.Errorf("it does not say %q:\n%s", want, p.out)
	}
	checkOmits(t, p.out.String(), "wrong-key", "user-")

	// Handed back, so that a worker with the right key need not wait for an hour.
	s := quick
	s.ackWait = time.Hour
	w, _ := newWorker(t, js, f, s)
	runUntilEmpty(t, w, q)
	for _, user := range users {
		checkPlan(t, f, user, "1")
	}
}

// A worker that is frozen with a request under way, for longer than -ack-wait, cannot put
// an old update over a newer one when it wakes up.
func TestFrozenWorker(t *testing.T) {
	t.Parallel()
	nats, js := newNATS(t)
	q := newQueueOf(t, js, 16)
	network, f := newNetwork(t, "1")
	mustPublish(t, js, "1", "user-1", plan("1"))
	mustPublish(t, js, "2", "user-1", plan("2"))

	frozen := startProcess(t, nats.ClientURL(), f, f.APIKey, "-ack-wait=2s")
	await(t, "a request", network.held)
	frozen.signal(t, syscall.SIGSTOP)
	s := quick
	s.ackWait = 2 * time.Second
	w, _ := newWorker(t, js, f, s)
	runUntilEmpty(t, w, q)
	checkPlan(t, f, "user-1", "2")

	close(network.open)
	network.arrived.Wait()
	frozen.signal(t, syscall.SIGCONT)
	checkPlan(t, f, "user-1", "2")

	// It works again.
	mustPublish(t, js, "3", "user-1", plan("3"))
	if err := waitUntilEmpty(stuckContext(t), q.stream); err != nil {
		t.Fatal(err)
	}
	checkPlan(t, f, "user-1", "3")
	frozen.signal(t, syscall.SIGTERM)
	frozen.mustExit(t, job.Done)
}

// A killed worker's update goes to another one after -ack-wait.
func TestKilledWorker(t *testing.T) {
	t.Parallel()
	nats, js := newNATS(t)
	q := newQueueOf(t, js, 16)
	network, f := newNetwork(t, "1")
	defer close(network.open)
	mustPublish(t, js, "1", "user-1", plan("1"))
	p := startProcess(t, nats.ClientURL(), f, f.APIKey, "-ack-wait=2s")
	await(t, "a request", network.held)
	p.signal(t, os.Kill)
	p.mustExit(t, -1)
	other := newFake(t, nil)
	s := quick
	s.ackWait = 2 * time.Second
	w, _ := newWorker(t, js, other, s)
	runUntilEmpty(t, w, q)
	checkPlan(t, other, "user-1", "1")
}

// stopsWith ends a worker at the very moment at which an update arrives.
type stopsWith struct {
	jetstream.Consumer
	stop context.CancelFunc
}

func (c stopsWith) Messages(
	opts ...jetstream.PullMessagesOpt,
) (jetstream.MessagesContext, error) {
	updates, err := c.Consumer.Messages(opts...)
	return stopsAtNext{updates, c.stop}, err
}

type stopsAtNext struct {
	jetstream.MessagesContext
	stop context.CancelFunc
}

func (m stopsAtNext) Next(opts ...jetstream.NextOpt) (jetstream.Msg, error) {
	msg, err := m.MessagesContext.Next(opts...)
	m.stop()
	return msg, err
}

func TestHandsBackWhatItDidNotBegin(t *testing.T) {
	t.Parallel()
	_, js := newNATS(t)
	q := newQueueOf(t, js, 16)
	f := newFake(t, nil)
	mustPublish(t, js, "1", "user-1", plan("1"))
	s := quick
	s.ackWait = time.Hour // which the next worker would have to wait for
	p := q.partition("user-1")
	consumer, err := q.openConsumer(t.Context(), p, s.ackWait)
	if err != nil {
		t.Fatal(err)
	}
	ctx := stuckContext(t)
	drain, stop := context.WithCancel(ctx)
	defer stop()
	w, _ := newWorker(t, js, f, s)
	if err := w.work(ctx, drain, q, p, stopsWith{consumer, stop}); err != nil {
		t.Fatal(err)
	}
	if n := len(f.Requests()); n != 0 {
		t.Errorf("%d requests, want 0", n)
	}
	runUntilEmpty(t, w, q)
	checkPlan(t, f, "user-1", "1")
}

// silent is a consumer of a server that fails, and so sends no heartbeat for a while.
type silent struct{ jetstream.Consumer }

func (c silent) Messages(
	opts ...jetstream.PullMessagesOpt,
) (jetstream.MessagesContext, error) {
	updates, err := c.Consumer.Messages(opts...)
	return &silentAtFirst{MessagesContext: updates}, err
}

type silentAtFirst struct {
	jetstream.MessagesContext
	was bool
}

func (m *silentAtFirst) Next(opts ...jetstream.NextOpt) (jetstream.Msg, error) {
	if !m.was {
		m.was = true
		return nil, jetstream.ErrNoHeartbeat
	}
	return m.MessagesContext.Next(opts...)
}

func TestNoHeartbeat(t *testing.T) {
	t.Parallel()
	_, js := newNATS(t)
	q := newQueueOf(t, js, 1)
	f := newFake(t, nil)
	mustPublish(t, js, "1", "user-1", plan("1"))
	consumer, err := q.openConsumer(t.Context(), 0, quick.ackWait)
	if err != nil {
		t.Fatal(err)
	}
	w, log := newWorker(t, js, f, quick)
	drain, stop := context.WithCancel(stuckContext(t))
	ended := make(chan error, 1)
	go func() { ended <- w.work(t.Context(), drain, q, 0, silent{consumer}) }()
	log.await(t, "msg=merged")
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// A worker survives a restart of the NATS server, which forgets the consumers.
func TestServerRestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	nats, err := startNATS(dir, server.RANDOM_PORT)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stopNATS(nats) })
	f := newFake(t, nil)
	p := startProcess(t, nats.ClientURL(), f, f.APIKey, "-ack-wait=2s", "-partitions=16")
	p.out.await(t, "msg=working")

	port := nats.Addr().(*net.TCPAddr).Port
	stopNATS(nats)
	p.out.await(t, "connection lost")
	if nats, err = startNATS(dir, port); err != nil {
		t.Fatal(err)
	}
	js := newJetStream(t, nats)
	q := newQueueOf(t, js, 16)
	mustPublish(t, js, "1", "user-1", plan("1"))
	if err := waitUntilEmpty(stuckContext(t), q.stream); err != nil {
		t.Fatal(err)
	}
	checkPlan(t, f, "user-1", "1")
}

// A consumer that somebody deleted is created again.
func TestDeletedConsumer(t *testing.T) {
	t.Parallel()
	_, js := newNATS(t)
	q := newQueueOf(t, js, 2)
	f := newFake(t, nil)
	w, log := newWorker(t, js, f, quick)
	stop := startWorker(t, w)
	log.await(t, "msg=working")
	consumer := q.consumerName(q.partition("user-1"))
	if err := q.stream.DeleteConsumer(stuckContext(t), consumer); err != nil {
		t.Fatal(err)
	}
	mustPublish(t, js, "1", "user-1", plan("1"))
	if err := waitUntilEmpty(stuckContext(t), q.stream); err != nil {
		t.Fatal(err)
	}
	stop()
	checkPlan(t, f, "user-1", "1")
}
