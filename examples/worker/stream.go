package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"
)

const (
	streamName = "COURIER_PROFILES"
	deadName   = "COURIER_PROFILES_DEAD"

	subjectPrefix = "courier.profiles."
	deadSubject   = "courier.profiles-dead"

	// duplicateWindow is how long the stream remembers the IDs of updates, which
	// takes memory for each. Later repetitions meet Courier's idempotency keys.
	duplicateWindow = 2 * time.Minute
	// There are few dead letters, and one is stored twice only if a worker ended
	// between storing it and settling the update, and no other took over for so long.
	deadDuplicateWindow = 24 * time.Hour

	// headroom is what the headers of a dead letter may add to an update.
	headroom = 16 << 10

	// openAtOnce bounds how many consumers a worker opens at the same time.
	openAtOnce = 16
)

// openStreams returns the stream of updates. It creates that stream and the one
// of dead letters if they do not exist; existing streams keep their settings.
func openStreams(ctx context.Context, js jetstream.JetStream, replicas, partitions int) (*queue, error) {
	// Not a work queue: there the server asks every consumer about every
	// acknowledgement, so that with 1,024 partitions it handles hardly more updates
	// than with 256. Workers delete what they have settled, and nothing else does.
	updates, err := openStream(ctx, js, jetstream.StreamConfig{
		Name:        streamName,
		Description: "Profile updates on their way to Courier",
		Subjects:    []string{newLayout(partitions).subject},
		Discard:     jetstream.DiscardNew,
		Duplicates:  duplicateWindow,
		MaxMsgSize:  int32(js.Conn().MaxPayload()) - headroom,
		Replicas:    replicas,
		Metadata:    map[string]string{partitionsKey: strconv.Itoa(partitions)},
	})
	if err != nil {
		return nil, err
	}
	_, err = openStream(ctx, js, jetstream.StreamConfig{
		Name:        deadName,
		Description: "Profile updates that could not be merged, kept until somebody has looked at them",
		Subjects:    []string{deadSubject},
		Duplicates:  deadDuplicateWindow,
		Replicas:    replicas,
	})
	if err != nil {
		return nil, err
	}
	return newQueue(js, updates)
}

func openStream(ctx context.Context, js jetstream.JetStream, config jetstream.StreamConfig) (jetstream.Stream, error) {
	stream, err := js.Stream(ctx, config.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		stream, err = js.CreateStream(ctx, config)
	}
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w", config.Name, err)
	}
	return stream, nil
}

// queue is the stream of updates with its layouts.
type queue struct {
	js                jetstream.JetStream
	stream            jetstream.Stream
	workQueue         bool // as version 0.1 created it
	current, previous layout
}

func newQueue(js jetstream.JetStream, stream jetstream.Stream) (*queue, error) {
	current, previous, err := readLayouts(stream.CachedInfo().Config)
	if err != nil {
		return nil, err
	}
	workQueue := stream.CachedInfo().Config.Retention == jetstream.WorkQueuePolicy
	return &queue{js, stream, workQueue, current, previous}, nil
}

// remove takes an update that is merged or a dead letter out of the stream, which
// confirms it and then delivers the next one of the partition.
func (q *queue) remove(ctx context.Context, msg jetstream.Msg, sequence uint64) error {
	if q.workQueue {
		return msg.DoubleAck(ctx)
	}
	err := q.stream.DeleteMsg(ctx, sequence)
	if errors.Is(err, jetstream.ErrMsgDeleteUnsuccessful) {
		// Another worker may have removed it, after another delivery.
		err = q.checkRemoved(ctx, sequence)
	}
	if err != nil {
		return err
	}
	return msg.Ack()
}

func (q *queue) checkRemoved(ctx context.Context, sequence uint64) error {
	// Not q.stream: its GetMsg has a data race with its Info.
	stream, err := q.js.Stream(ctx, streamName)
	if err != nil {
		return err
	}
	_, err = stream.GetMsg(ctx, sequence)
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return nil
	case err == nil:
		return fmt.Errorf("%w: it is still there", jetstream.ErrMsgDeleteUnsuccessful)
	}
	return err
}

// findQueue returns the stream of updates, which has to exist.
func findQueue(ctx context.Context, js jetstream.JetStream) (*queue, error) {
	stream, err := js.Stream(ctx, streamName)
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w", streamName, err)
	}
	return newQueue(js, stream)
}

// openConsumer returns the consumer of a partition, which all workers share.
//
// Each partition has at most one update delivered and not settled, which is
// redelivered after a failure or the death of a worker. So the updates of a user
// stay in order without leases or handovers.
func (q *queue) openConsumer(ctx context.Context, l layout, partition int, ackWait time.Duration) (jetstream.Consumer, error) {
	config := jetstream.ConsumerConfig{
		Durable:       l.consumer(partition),
		FilterSubject: l.at(partition),
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       ackWait,
		MaxAckPending: 1,
		MaxDeliver:    -1, // JetStream would drop the update; the worker makes it a dead letter
		// A file per partition would be written ten times a second. A server without
		// replicas forgets the consumer when it restarts; the workers create it again.
		MemoryStorage: l.subject != oldSubject,
	}
	consumer, err := q.stream.Consumer(ctx, config.Durable)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		consumer, err = q.stream.CreateConsumer(ctx, config)
	}
	// Never changed here: another AckWait would endanger the workers that run.
	if errors.Is(err, jetstream.ErrConsumerExists) || err == nil && !fits(consumer.CachedInfo().Config, config) {
		return nil, fmt.Errorf("consumer %s exists with another -ack-wait or other settings: use the same, or stop all workers and delete it", config.Durable)
	}
	if err != nil {
		return nil, fmt.Errorf("consumer %s: %w", config.Durable, err)
	}
	return consumer, nil
}

// fits reports whether a consumer has the settings that order depends on.
func fits(got, want jetstream.ConsumerConfig) bool {
	return got.FilterSubject == want.FilterSubject && got.AckPolicy == want.AckPolicy && got.AckWait == want.AckWait &&
		got.MaxAckPending == want.MaxAckPending && got.MaxDeliver == want.MaxDeliver
}

// openConsumers returns the consumer of every partition in a layout.
func (q *queue) openConsumers(ctx context.Context, l layout, partitions []int, ackWait time.Duration) (map[int]jetstream.Consumer, error) {
	consumers := make([]jetstream.Consumer, len(partitions))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(openAtOnce)
	for i, p := range partitions {
		group.Go(func() (err error) {
			consumers[i], err = q.openConsumer(ctx, l, p, ackWait)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	opened := make(map[int]jetstream.Consumer, len(partitions))
	for i, p := range partitions {
		opened[p] = consumers[i]
	}
	return opened, nil
}
