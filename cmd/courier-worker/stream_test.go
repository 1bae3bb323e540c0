package main

import (
	"context"
	"errors"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Publishers of other releases, and in other languages, have to agree.
func TestSubjects(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		partitions        int
		user              string
		subject, consumer string
	}{
		{256, "user-1", "courier.profiles.256.116", "partition-256-116"},
		{4096, "user-1", "courier.profiles.4096.2420", "partition-4096-2420"},
		{64, "ü/?*>. ", "courier.profiles.64.30", "partition-64-30"},
		{1, "user-1", "courier.profiles.1.0", "partition-1-0"},
	} {
		q := &queue{partitions: test.partitions}
		if got := q.subjectOf(test.user); got != test.subject {
			t.Errorf("the subject of %q is %s, want %s", test.user, got, test.subject)
		}
		if got := q.consumerName(q.partition(test.user)); got != test.consumer {
			t.Errorf("the consumer of %q is %s, want %s", test.user, got, test.consumer)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	ours := []string{"courier.profiles.64.*"}
	for _, test := range []struct {
		name   string
		config jetstream.StreamConfig
		want   string
	}{
		{"a work queue, as in version 0.1",
			jetstream.StreamConfig{Subjects: ours, Retention: jetstream.WorkQueuePolicy},
			"may drop updates"},
		{"an age limit", jetstream.StreamConfig{Subjects: ours, MaxAge: time.Hour},
			"may drop updates"},
		{"a size limit", jetstream.StreamConfig{Subjects: ours, MaxBytes: 1 << 20},
			"may drop updates"},
		{"a limit of updates", jetstream.StreamConfig{Subjects: ours, MaxMsgs: 1000},
			"may drop updates"},
		{"a limit of updates per partition",
			jetstream.StreamConfig{Subjects: ours, MaxMsgsPerSubject: 1000}, "may drop updates"},
		{"no deletions", jetstream.StreamConfig{Subjects: ours, DenyDelete: true},
			"does not let workers delete"},
		{"no limit of a message's size", jetstream.StreamConfig{Subjects: ours},
			"set its maximum message size to 1032192"},
		{"a message as large as the server's limit",
			jetstream.StreamConfig{Subjects: ours, MaxMsgSize: 1 << 20}, "1032192"},
		{"another subject", jetstream.StreamConfig{Subjects: []string{"updates.*"}},
			"and not one such as courier.profiles.256.*"},
		{"a number with a zero before it",
			jetstream.StreamConfig{Subjects: []string{"courier.profiles.064.*"}}, "not one"},
		{"no number", jetstream.StreamConfig{Subjects: []string{"courier.profiles.*"}}, "not one"},
		{"too many partitions", jetstream.StreamConfig{Subjects: []string{"courier.profiles.4097.*"}},
			"not one"},
		{"more subjects", jetstream.StreamConfig{Subjects: append(ours, "courier.profiles.16.*")},
			"not one"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, js := newNATS(t)
			test.config.Name = streamName
			if _, err := js.CreateStream(t.Context(), test.config); err != nil {
				t.Fatal(err)
			}
			_, err := openQueue(t.Context(), js, quick)
			checkError(t, err, test.want)
		})
	}
}

// Version 0.2 could change the number of partitions while updates were in the stream.
func TestOpenRefusesUpdatesOfPreviousPartitions(t *testing.T) {
	t.Parallel()
	_, js := newNATS(t)
	q := newQueueOf(t, js, 16)
	mustPublish(t, js, "1", "user-1", plan("1"))
	config := q.stream.CachedInfo().Config
	config.Subjects = []string{subject(64, "*")}
	if _, err := js.UpdateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	_, err := openQueue(t.Context(), js, quick)
	checkError(t, err, "let the workers of version 0.2 merge them first")
}

func TestOpenRefusesAnotherAckWait(t *testing.T) {
	t.Parallel()
	_, js := newNATS(t)
	q := newQueueOf(t, js, 1)
	for range 2 {
		if _, err := q.openConsumer(t.Context(), 0, time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	_, err := q.openConsumer(t.Context(), 0, time.Hour)
	checkError(t, err, "-ack-wait")
}

// With more than one update of a partition out at a time, they would have no order.
func TestOpenRefusesAnotherConsumer(t *testing.T) {
	t.Parallel()
	for _, config := range []jetstream.ConsumerConfig{
		{AckPolicy: jetstream.AckExplicitPolicy, MaxAckPending: 2},
		{AckPolicy: jetstream.AckAllPolicy, MaxAckPending: 1},
	} {
		_, js := newNATS(t)
		q := newQueueOf(t, js, 1)
		config.Durable, config.FilterSubject = q.consumerName(0), subject(1, "0")
		config.AckWait, config.MaxDeliver = quick.ackWait, -1
		if _, err := q.stream.CreateConsumer(t.Context(), config); err != nil {
			t.Fatal(err)
		}
		_, err := q.openConsumer(t.Context(), 0, quick.ackWait)
		checkError(t, err, "other settings")
	}
}

// The number of partitions is fixed when the stream is created.
func TestPartitionsAreFixed(t *testing.T) {
	t.Parallel()
	_, js := newNATS(t)
	newQueueOf(t, js, 8)
	q, err := openQueue(t.Context(), js, quick) // without -partitions
	if err != nil {
		t.Fatal(err)
	}
	if q.partitions != 8 {
		t.Errorf("%d partitions, want the 8 of the stream", q.partitions)
	}
	other := quick
	other.partitions = 16
	_, err = openQueue(t.Context(), js, other)
	checkError(t, err, "has 8 partitions, and their number is fixed")
}

// TestRecreate follows the README: how the number of partitions is changed.
func TestRecreate(t *testing.T) {
	nats, js := newNATS(t)
	setEnvironment(t, nats.ClientURL(), "")
	_, err := program(t, "", "-partitions=4", "recreate")
	checkError(t, err, "stream not found")
	newQueueOf(t, js, 2)
	f := newFake(t, nil)
	users := []string{"user-1", "user-2", "user-3", "user-4", "user-5"}
	for _, user := range users {
		mustPublish(t, js, "1-"+user, user, plan("1"))
	}
	publisher, err := NewPublisher(t.Context(), js)
	if err != nil {
		t.Fatal(err)
	}

	// 1. The publishers are stopped. 2. The command refuses until the stream is empty.
	_, err = program(t, "", "-partitions=4", "recreate")
	checkError(t, err, "holds 5 updates: stop the publishers")
	w, log := newWorker(t, js, f, quick)
	stop := startWorker(t, w)
	q, err := findQueue(t.Context(), js)
	if err != nil {
		t.Fatal(err)
	}
	if err := waitUntilEmpty(stuckContext(t), q.stream); err != nil {
		t.Fatal(err)
	}
	out, err := program(t, "", "-partitions=4", "recreate")
	if err != nil {
		t.Fatal(err)
	}
	if want := "COURIER_PROFILES has 4 partitions now, and had 2.\n"; out != want {
		t.Errorf("it prints %q, want %q", out, want)
	}

	// A publisher that was not stopped cannot put an update into a wrong partition.
	_, err = publisher.Publish(t.Context(), "late", "user-1", plan("late"))
	checkError(t, err, "there is no stream with 2 partitions any more")

	// 3. The publishers are started. The worker goes on by itself.
	for _, user := range users {
		mustPublish(t, js, "2-"+user, user, plan("2"))
	}
	if err := waitUntilEmpty(stuckContext(t), q.stream); err != nil {
		t.Fatal(err)
	}
	log.await(t, "msg=working partitions=4")
	stop()
	for _, user := range users {
		checkPlan(t, f, user, "2")
	}
	deadLetters(t, js, 0)
}

// publishesLate publishes at the last moment before the stream is changed or deleted.
type publishesLate struct {
	jetstream.JetStream
	beforeUpdate, beforeDelete func()
}

func (p publishesLate) UpdateStream(
	ctx context.Context, config jetstream.StreamConfig,
) (jetstream.Stream, error) {
	p.beforeUpdate()
	return p.JetStream.UpdateStream(ctx, config)
}

func (p publishesLate) DeleteStream(ctx context.Context, name string) error {
	p.beforeDelete()
	return p.JetStream.DeleteStream(ctx, name)
}

// A publisher that was not stopped gets an error for an update that would be lost. If the
// stream has taken the update, it is not recreated, and takes more.
func TestRecreateLosesNothing(t *testing.T) {
	t.Parallel()
	_, js := newNATS(t)
	q := newQueueOf(t, js, 2)
	s := quick
	s.partitions = 4
	publisher := &Publisher{q}
	late := publishesLate{js, sync.OnceFunc(func() {
		mustPublish(t, js, "1", "user-1", plan("1"))
	}), func() {}}
	checkError(t, recreate(t.Context(), late, s, io.Discard), "holds 1 update: stop")
	mustPublish(t, js, "2", "user-1", plan("2"))
	f := newFake(t, nil)
	w, _ := newWorker(t, js, f, quick)
	runUntilEmpty(t, w, q)
	checkPlan(t, f, "user-1", "2")

	late.beforeUpdate = func() {}
	late.beforeDelete = func() {
		if _, err := publisher.Publish(t.Context(), "3", "user-1", plan("3")); err == nil {
			t.Error("an update that is lost is published without an error")
		}
	}
	if err := recreate(t.Context(), late, s, io.Discard); err != nil {
		t.Error(err)
	}
}

// denies does not let the stream be deleted.
type denies struct{ jetstream.JetStream }

func (denies) DeleteStream(context.Context, string) error { return context.DeadlineExceeded }

// A recreate that failed after the stream took no more updates says so. Repeating it is all
// that it takes.
func TestRecreateThatFails(t *testing.T) {
	t.Parallel()
	_, js := newNATS(t)
	newQueueOf(t, js, 2)
	s := quick
	s.partitions = 4
	checkError(t, recreate(t.Context(), denies{js}, s, io.Discard), "takes no updates until")
	if err := recreate(t.Context(), js, s, io.Discard); err != nil {
		t.Error(err)
	}
	mustPublish(t, js, "1", "user-1", plan("1"))
}

// Of a partition, JetStream lets out one update at a time.
func TestOneAtATime(t *testing.T) {
	t.Parallel()
	_, js := newNATS(t)
	q := newQueueOf(t, js, 16)
	mustPublish(t, js, "1", "user-1", plan("1"))
	mustPublish(t, js, "2", "user-1", plan("2"))
	consumer, err := q.openConsumer(t.Context(), q.partition("user-1"), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for range 3 {
		msg, err := consumer.Next(jetstream.FetchMaxWait(stuck))
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, msg.Headers().Get(jetstream.MsgIDHeader))
		_, err = consumer.Next(jetstream.FetchMaxWait(50 * time.Millisecond))
		if !errors.Is(err, nats.ErrTimeout) {
			t.Errorf("while an update is out, the next one: error %v, want %v", err, nats.ErrTimeout)
		}
		if err := msg.Nak(); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]string{"1", "1", "1"}, got); diff != "" {
		t.Errorf("deliveries (-want +got):\n%s", diff)
	}
}
