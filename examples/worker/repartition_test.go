package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"
)

func mustRepartition(t *testing.T, js jetstream.JetStream, partitions int) *queue {
	t.Helper()
	if err := repartition(stuckContext(t), js, partitions, io.Discard); err != nil {
		t.Fatal(err)
	}
	return mustFind(t, js)
}

func mustFind(t *testing.T, js jetstream.JetStream) *queue {
	t.Helper()
	q, err := findQueue(stuckContext(t), js)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// startWorker runs the worker until the test calls stop, or ends.
func startWorker(t *testing.T, w *worker) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(stuckContext(t))
	ended := make(chan error, 1)
	go func() { ended <- w.run(ctx) }()
	stop = func() {
		cancel()
		if err, ok := <-ended; ok && err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(func() {
		cancel()
		close(ended)
	})
	return stop
}

func consumerNames(t *testing.T, q *queue) []string {
	t.Helper()
	names := q.stream.ConsumerNames(stuckContext(t))
	var all []string
	for name := range names.Name() {
		all = append(all, name)
	}
	if err := names.Err(); err != nil {
		t.Fatal(err)
	}
	slices.Sort(all)
	return all
}

// eventually waits for something that a worker does soon.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ctx := stuckContext(t)
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for !ok() {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			t.Fatal("never: ", what)
		}
	}
}

// The partitions of a stream are what it was created with.
func TestPartitionsAreASetting(t *testing.T) {
	t.Parallel()
	_, js := newNATS(t)
	q := newStreams(t, js, 8)
	if got := q.stream.CachedInfo().Config.Metadata[partitionsKey]; got != "8" {
		t.Errorf("the metadata says %q, want 8", got)
	}
	for i := range 50 {
		mustPublish(t, js, fmt.Sprint(i), fmt.Sprint("user-", i), plan("1"))
	}
	w, _ := newWorker(t, js, newAPI(t, nil), quick) // with another number in its flags
	empty(t, w, q)
	if n := w.merged.Load(); n != 50 {
		t.Errorf("%d updates are merged, want 50", n)
	}
	if n := len(consumerNames(t, q)); n != 8 {
		t.Errorf("%d consumers, want 8", n)
	}
}

// A stream of version 0.1 has 64 partitions, is worked on as it is, and can be
// given another number.
func TestOldStream(t *testing.T) {
	t.Parallel()
	_, js := newNATS(t)
	newOldStream(t, js)
	a := newAPI(t, nil)
	w, _ := newWorker(t, js, a, quick)
	empty(t, w, mustFind(t, js))
	if got := planOf(t, a, "user-1"); got != "old" {
		t.Errorf("the plan is %s, want that of the old publisher", got)
	}
	mustPublish(t, js, "1", "user-1", plan("1"))
	empty(t, w, mustFind(t, js))
	if got := planOf(t, a, "user-1"); got != "1" {
		t.Errorf("the plan is %s, want 1", got)
	}

	mustPublish(t, js, "2", "user-1", plan("2"))
	q := mustRepartition(t, js, 8)
	mustPublish(t, js, "3", "user-1", plan("3"))
	if _, err := js.Publish(stuckContext(t), "courier.profiles.52", nil, jetstream.WithMsgID("late")); !errors.Is(err, jetstream.ErrNoStreamResponse) {
		t.Errorf("a publisher of version 0.1 gets %v, want no response", err)
	}
	stop := startWorker(t, w)
	eventually(t, "the consumers of 8 partitions", func() bool { return len(consumerNames(t, q)) == 8 })
	stop()
	if got := planOf(t, a, "user-1"); got != "3" {
		t.Errorf("the plan is %s, want 3", got)
	}
	want := []string{"partition-8-0", "partition-8-1", "partition-8-2", "partition-8-3", "partition-8-4", "partition-8-5", "partition-8-6", "partition-8-7"}
	if diff := cmp.Diff(want, consumerNames(t, q)); diff != "" {
		t.Errorf("consumers (-want +got):\n%s", diff)
	}
}

// While an update waits in a partition of the previous layout, later updates of
// its user wait too, and those of users of other partitions do not.
func TestHandoverKeepsOrder(t *testing.T) {
	t.Parallel()
	_, js := newNATS(t)
	q := newStreams(t, js, 2)
	users := map[int]string{} // of each partition
	for i := 0; len(users) < 2; i++ {
		user := fmt.Sprint("user-", i)
		users[q.current.partition(user)] = user
	}
	network, a := newNetwork(t, "held")
	publisher, err := NewPublisher(stuckContext(t), js)
	if err != nil {
		t.Fatal(err)
	}
	publish := func(id, user, name string) {
		t.Helper()
		if _, err := publisher.Publish(stuckContext(t), id, user, plan(name)); err != nil {
			t.Fatal(err)
		}
	}
	publish("1", users[0], "held")
	w, _ := newWorker(t, js, a, quick)
	stop := startWorker(t, w)
	await(t, "a request", network.held)

	mustRepartition(t, js, 4)
	publish("2", users[0], "later") // the publisher does not know yet
	publish("3", users[1], "other")
	// The worker may not finish its update, so another one has to take over.
	second, log := newWorker(t, js, a, quick)
	stopSecond := startWorker(t, second)
	eventually(t, "the update of the other user", func() bool { return planOf(t, a, users[1]) == "other" })
	if got := planOf(t, a, users[0]); got != "no profile" {
		t.Errorf("before the update in flight, the plan is %s", got)
	}
	close(network.open)
	eventually(t, "the later update", func() bool { return planOf(t, a, users[0]) == "later" })
	log.await(t, "previous partitions are empty")
	stop()
	stopSecond()
	if n := w.dead.Load() + second.dead.Load(); n != 0 {
		t.Errorf("%d dead letters", n)
	}
}

// A change that is not finished is finished first.
func TestRepartitionRefuses(t *testing.T) {
	t.Parallel()
	_, js := newNATS(t)
	err := repartition(stuckContext(t), js, 4, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "create it with worker -partitions 4") {
		t.Errorf("without a stream: %v", err)
	}
	newStreams(t, js, 2)
	mustPublish(t, js, "1", "user-1", plan("1"))
	mustRepartition(t, js, 4)
	if err = repartition(stuckContext(t), js, 8, io.Discard); err == nil || !strings.Contains(err.Error(), "the change from 2 to 4 partitions is not finished: 1 partitions") {
		t.Errorf("before the change is finished: %v", err)
	}
	var out strings.Builder
	if err := repartition(stuckContext(t), js, 4, &out); err != nil || out.String() != "COURIER_PROFILES has 4 partitions already\n" {
		t.Errorf("to the same number: %v, %s", err, out.String())
	}

	a := newAPI(t, nil)
	w, _ := newWorker(t, js, a, quick)
	empty(t, w, mustFind(t, js))
	q := mustRepartition(t, js, 8)
	if q.current != newLayout(8) || q.previous != newLayout(4) {
		t.Errorf("the layouts are %v and %v", q.current, q.previous)
	}
	mustPublish(t, js, "2", "user-1", plan("2"))
	empty(t, w, q)
	if got := planOf(t, a, "user-1"); got != "2" {
		t.Errorf("the plan is %s, want 2", got)
	}
}

// What a worker leaves in the stream when it is killed while it looks for
// leftovers, the next one removes.
func TestLeftoversRemovesItsMark(t *testing.T) {
	t.Parallel()
	_, js := newNATS(t)
	newStreams(t, js, 2)
	mustPublish(t, js, "1", "user-1", plan("1"))
	q := mustRepartition(t, js, 4)
	if _, err := js.Publish(stuckContext(t), q.current.fence(), nil); err != nil {
		t.Fatal(err)
	}
	left, err := q.leftovers(stuckContext(t))
	if err != nil {
		t.Fatal(err)
	}
	want := map[int]bool{q.previous.partition("user-1"): true}
	if diff := cmp.Diff(want, left); diff != "" {
		t.Errorf("leftovers (-want +got):\n%s", diff)
	}
	info, err := q.stream.Info(stuckContext(t))
	if err != nil {
		t.Fatal(err)
	}
	if info.State.Msgs != 1 {
		t.Errorf("%d messages in the stream, want 1", info.State.Msgs)
	}
}

// A consumer that is gone, because the server forgot it or somebody deleted it,
// is created again.
func TestDeletedConsumer(t *testing.T) {
	t.Parallel()
	_, js := newNATS(t)
	q := newStreams(t, js, 2)
	a := newAPI(t, nil)
	w, log := newWorker(t, js, a, quick)
	stop := startWorker(t, w)
	log.await(t, "msg=working")
	if err := q.stream.DeleteConsumer(stuckContext(t), q.current.consumer(q.current.partition("user-1"))); err != nil {
		t.Fatal(err)
	}
	mustPublish(t, js, "1", "user-1", plan("1"))
	eventually(t, "the update", func() bool { return planOf(t, a, "user-1") == "1" })
	stop()
}

// A worker that starts may have read the partitions just before they were changed.
func TestLeftoversOfAnOldLayout(t *testing.T) {
	t.Parallel()
	_, js := newNATS(t)
	newStreams(t, js, 4)
	old := mustRepartition(t, js, 8)
	mustRepartition(t, js, 16)
	if _, err := old.leftovers(stuckContext(t)); !errors.Is(err, errChanged) {
		t.Errorf("error %v, want %v", err, errChanged)
	}
}

func TestHandover(t *testing.T) {
	t.Parallel()
	tests := []struct {
		previous, current int
		left              []int
		waiting           []int // partitions of the current layout that wait
	}{
		{0, 4, nil, nil},
		{2, 4, nil, nil},
		{2, 4, []int{1}, []int{1, 3}},
		{4, 2, []int{3}, []int{1}},
		{4, 6, []int{3}, []int{1, 3, 5}},
		{3, 4, []int{2}, []int{0, 1, 2, 3}},
		{64, 256, []int{63}, []int{63, 127, 191, 255}},
	}
	for _, test := range tests {
		h := newHandover(t.Context(), layout{"old.*", test.previous}, newLayout(test.current))
		left := map[int]bool{}
		for _, p := range test.left {
			left[p] = true
		}
		h.update(left)
		var waiting []int
		for p := range test.current {
			if h.of(p).Err() == nil {
				waiting = append(waiting, p)
			}
		}
		if diff := cmp.Diff(test.waiting, waiting); diff != "" {
			t.Errorf("from %d to %d with %v left: waiting (-want +got):\n%s", test.previous, test.current, test.left, diff)
		}
		for _, p := range test.left {
			if h.of(p).Err() != nil {
				t.Errorf("from %d to %d: nobody works on partition %d", test.previous, test.current, p)
			}
		}
		// Each user's two partitions are in the same group.
		for hash := range max(test.previous, 1) * test.current {
			if test.previous > 0 && h.of(hash%test.previous) != h.of(hash%test.current) {
				t.Fatalf("from %d to %d: hash %d is in two groups", test.previous, test.current, hash)
			}
		}
		h.update(nil)
		for p := range test.current {
			if h.of(p).Err() == nil {
				t.Errorf("from %d to %d: partition %d waits for nothing", test.previous, test.current, p)
			}
		}
	}
}
