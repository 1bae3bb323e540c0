package main

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	streamName = "COURIER_PROFILES"
	deadName   = "COURIER_PROFILES_DEAD"

	subjectPrefix = "courier.profiles."
	deadSubject   = "courier.profiles-dead"

	// partitions is how many updates are in flight at the most, on all workers
	// together. To change it, stop the publishers, let the workers empty the
	// stream, and delete it: an update that waits in another partition than the
	// next one of its user would be overtaken.
	partitions    = 64
	partitionsKey = "courier-partitions" // in the metadata of the stream

	// duplicateWindow is how long the stream knows the ids of updates. It takes
	// memory for each of them. The worker's idempotency keys go on from there.
	duplicateWindow = 2 * time.Minute
	// Dead letters are few, and one may be stored again only when a worker ended
	// between storing it and settling the update, and no other came for so long.
	deadDuplicateWindow = 24 * time.Hour

	// headroom is what the headers of a dead letter may add to an update.
	headroom = 16 << 10
)

// partition returns where the updates of a user are. All publishers have to
// agree on it, so it is a hash that no release of Go changes. User ids are not
// in subjects, because they hold any characters.
func partition(userID string) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(userID)) // never fails
	return int(h.Sum32() % partitions)
}

func subject(userID string) string { return subjectPrefix + strconv.Itoa(partition(userID)) }

// openStreams returns the stream of updates, and makes it and the one of dead
// letters if they are not there. Streams that are there keep their settings.
func openStreams(ctx context.Context, js jetstream.JetStream, replicas int) (jetstream.Stream, error) {
	// A work queue holds what is still to be done and nothing else: no limit can
	// drop an update that waits, and it refuses a second consumer of a partition.
	updates, err := openStream(ctx, js, jetstream.StreamConfig{
		Name:        streamName,
		Description: "Profile updates on their way to Courier",
		Subjects:    []string{subjectPrefix + "*"},
		Retention:   jetstream.WorkQueuePolicy,
		Duplicates:  duplicateWindow,
		MaxMsgSize:  int32(js.Conn().MaxPayload()) - headroom,
		Replicas:    replicas,
		Metadata:    map[string]string{partitionsKey: strconv.Itoa(partitions)},
	})
	if err != nil {
		return nil, err
	}
	config := updates.CachedInfo().Config
	if config.Retention != jetstream.WorkQueuePolicy || config.Metadata[partitionsKey] != strconv.Itoa(partitions) {
		return nil, fmt.Errorf("stream %s is not a work queue of %d partitions (metadata %s): let the workers that made it empty it, and delete it",
			streamName, partitions, partitionsKey)
	}
	_, err = openStream(ctx, js, jetstream.StreamConfig{
		Name:        deadName,
		Description: "Profile updates that could not be merged, until somebody has looked at them",
		Subjects:    []string{deadSubject},
		Duplicates:  deadDuplicateWindow,
		Replicas:    replicas,
	})
	return updates, err
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

// openConsumer returns the consumer of a partition, which all workers share.
//
// Of each partition, one update at a time is out for delivery, until it is
// settled: that one, and no later one, is what comes again after a worker's
// death or a failure. So the updates of a user are in order, however many
// workers there are and whichever of them end, and each of them works on
// whatever is next, without leases or a hand-over.
func openConsumer(ctx context.Context, stream jetstream.Stream, partition int, ackWait time.Duration) (jetstream.Consumer, error) {
	config := jetstream.ConsumerConfig{
		Durable:       "partition-" + strconv.Itoa(partition),
		FilterSubject: subjectPrefix + strconv.Itoa(partition),
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       ackWait,
		MaxAckPending: 1,
		MaxDeliver:    -1, // JetStream would drop the update; the worker makes it a dead letter
	}
	// Not CreateOrUpdate: another AckWait is a danger to the workers that run.
	consumer, err := stream.CreateConsumer(ctx, config)
	if errors.Is(err, jetstream.ErrConsumerExists) {
		return nil, fmt.Errorf("consumer %s exists with another -ack-wait or other settings: use the same, or stop all workers and delete it", config.Durable)
	}
	if err != nil {
		return nil, fmt.Errorf("consumer %s: %w", config.Durable, err)
	}
	return consumer, nil
}
