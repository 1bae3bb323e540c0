package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/courier-profiles/courier-go/cmd/internal/job"
)

const (
	streamName = "COURIER_PROFILES"
	deadName   = "COURIER_PROFILES_DEAD"

	subjectPrefix = "courier.profiles."
	deadSubject   = "courier.profiles-dead"

	defaultPartitions = 256
	maxPartitions     = 4096

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

// queue is the stream of updates. Each partition has a subject and a consumer.
type queue struct {
	js         jetstream.JetStream
	stream     jetstream.Stream
	partitions int
}

// openQueue returns the queue. It creates its stream and the one of dead letters if they
// do not exist; existing streams keep their settings.
func openQueue(ctx context.Context, js jetstream.JetStream, s settings) (*queue, error) {
	partitions := cmp.Or(s.partitions, defaultPartitions)
	maxSize := int32(js.Conn().MaxPayload()) - headroom
	// Not a work queue: there the server asks every consumer about every
	// acknowledgement, so that with 1,024 partitions it handles hardly more updates
	// than with 256. Workers delete what they have settled, and nothing else does.
	updates, err := openStream(ctx, js, jetstream.StreamConfig{
		Name:        streamName,
		Description: "Profile updates on their way to Courier",
		Subjects:    []string{subject(partitions, "*")},
		Discard:     jetstream.DiscardNew,
		Duplicates:  duplicateWindow,
		MaxMsgSize:  maxSize,
		Replicas:    s.replicas,
	})
	if err != nil {
		return nil, err
	}
	_, err = openStream(ctx, js, jetstream.StreamConfig{
		Name:        deadName,
		Description: "Profile updates that could not be merged",
		Subjects:    []string{deadSubject},
		Duplicates:  deadDuplicateWindow,
		Replicas:    s.replicas,
	})
	if err != nil {
		return nil, err
	}
	q, err := newQueue(js, updates)
	if err != nil {
		return nil, err
	}
	if s.partitions != 0 && s.partitions != q.partitions {
		return nil, fmt.Errorf("stream %s has %d partitions, and their number is fixed: leave "+
			"-partitions out, or see the command recreate", streamName, q.partitions)
	}
	if size := updates.CachedInfo().Config.MaxMsgSize; size < 1 || size > maxSize {
		return nil, fmt.Errorf("stream %s takes updates that are too large for a dead letter: "+
			"set its maximum message size to %d", streamName, maxSize)
	}
	return q, q.checkSubjects(ctx)
}

// checkSubjects refuses updates that no partition has: those that version 0.2 left behind
// when it changed the number of partitions.
func (q *queue) checkSubjects(ctx context.Context) error {
	info, err := q.stream.Info(ctx, jetstream.WithSubjectFilter(">"))
	if err != nil {
		return fmt.Errorf("stream %s: %w", streamName, err)
	}
	for name := range info.State.Subjects {
		if !strings.HasPrefix(name, subject(q.partitions, "")) {
			return fmt.Errorf("stream %s holds updates of its previous partitions: let the "+
				"workers of version 0.2 merge them first", streamName)
		}
	}
	return nil
}

func openStream(
	ctx context.Context, js jetstream.JetStream, config jetstream.StreamConfig,
) (jetstream.Stream, error) {
	stream, err := js.Stream(ctx, config.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		stream, err = js.CreateStream(ctx, config)
	}
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w", config.Name, err)
	}
	return stream, nil
}

// findQueue returns the queue, whose stream has to exist.
func findQueue(ctx context.Context, js jetstream.JetStream) (*queue, error) {
	stream, err := js.Stream(ctx, streamName)
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w", streamName, err)
	}
	return newQueue(js, stream)
}

func newQueue(js jetstream.JetStream, stream jetstream.Stream) (*queue, error) {
	partitions, err := readPartitions(stream.CachedInfo().Config)
	if err != nil {
		return nil, fmt.Errorf("stream %s %w: another program, or an earlier version, created "+
			"or changed it", streamName, err)
	}
	return &queue{js, stream, partitions}, nil
}

// readPartitions returns the number of partitions of a stream.
func readPartitions(c jetstream.StreamConfig) (int, error) {
	if c.Retention != jetstream.LimitsPolicy || c.MaxAge > 0 || c.MaxMsgs > 0 ||
		c.MaxBytes > 0 || c.MaxMsgsPerSubject > 0 {
		return 0, errors.New("may drop updates because of its retention or limits")
	}
	if c.DenyDelete || c.Sealed {
		return 0, errors.New("does not let workers delete what they have merged")
	}
	all := strings.Join(c.Subjects, " ")
	number, _ := strings.CutSuffix(strings.TrimPrefix(all, subjectPrefix), ".*")
	partitions, err := strconv.Atoi(number)
	if err != nil || checkPartitions(partitions) != nil || all != subject(partitions, "*") {
		return 0, fmt.Errorf("has the subjects %q, and not one such as %s", all, subject(256, "*"))
	}
	return partitions, nil
}

func checkPartitions(n int) error {
	if n < 1 || n > maxPartitions {
		return fmt.Errorf("-partitions must be from 1 to %d", maxPartitions)
	}
	return nil
}

// subject returns the subject of a partition. It has the number of partitions, so that the
// stream itself refuses updates from a publisher that uses another one.
func subject(partitions int, partition string) string {
	return subjectPrefix + strconv.Itoa(partitions) + "." + partition
}

// partition hashes the user ID with FNV-1a, because all publishers, in any language, have
// to agree on it.
func (q *queue) partition(userID string) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(userID)) // never fails
	return int(h.Sum32() % uint32(q.partitions))
}

// subjectOf returns the subject of the updates of a user. User IDs are not in subjects,
// because they may hold any characters.
func (q *queue) subjectOf(userID string) string {
	return subject(q.partitions, strconv.Itoa(q.partition(userID)))
}

func (q *queue) consumerName(partition int) string {
	return fmt.Sprintf("partition-%d-%d", q.partitions, partition)
}

// openConsumers returns the consumers of all partitions.
func (q *queue) openConsumers(
	ctx context.Context, ackWait time.Duration,
) ([]jetstream.Consumer, error) {
	consumers := make([]jetstream.Consumer, q.partitions)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(openAtOnce)
	for p := range consumers {
		group.Go(func() (err error) {
			consumers[p], err = q.openConsumer(ctx, p, ackWait)
			return err
		})
	}
	return consumers, group.Wait()
}

// openConsumer returns the consumer of a partition, which all workers share.
//
// Each partition has at most one update delivered and not settled, which is redelivered
// after a failure or the death of a worker. So the updates of a user stay in order without
// leases.
func (q *queue) openConsumer(
	ctx context.Context, partition int, ackWait time.Duration,
) (jetstream.Consumer, error) {
	config := jetstream.ConsumerConfig{
		Durable:       q.consumerName(partition),
		FilterSubject: subject(q.partitions, strconv.Itoa(partition)),
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       ackWait,
		MaxAckPending: 1,
		MaxDeliver:    -1, // JetStream would drop the update; the worker makes it a dead letter
		// A file per partition would be written ten times a second. A server without
		// replicas forgets the consumer when it restarts; the workers create it again.
		MemoryStorage: true,
	}
	consumer, err := q.stream.Consumer(ctx, config.Durable)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		consumer, err = q.stream.CreateConsumer(ctx, config)
	}
	// Never changed here: another AckWait would endanger the workers that run.
	if errors.Is(err, jetstream.ErrConsumerExists) ||
		err == nil && !fits(consumer.CachedInfo().Config, config) {
		return nil, fmt.Errorf("consumer %s exists with another -ack-wait or other settings: "+
			"use the same, or stop all workers and delete it", config.Durable)
	}
	if err != nil {
		return nil, fmt.Errorf("consumer %s: %w", config.Durable, err)
	}
	return consumer, nil
}

// fits reports whether a consumer has the settings that order depends on.
func fits(got, want jetstream.ConsumerConfig) bool {
	return got.FilterSubject == want.FilterSubject && got.AckPolicy == want.AckPolicy &&
		got.AckWait == want.AckWait && got.MaxAckPending == want.MaxAckPending &&
		got.MaxDeliver == want.MaxDeliver
}

// remove takes an update that is merged or a dead letter out of the stream, which
// confirms it and then delivers the next one of the partition.
func (q *queue) remove(ctx context.Context, msg jetstream.Msg, sequence uint64) error {
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

// recreate replaces the stream by one with another number of partitions. It must be empty,
// and nobody may publish meanwhile. Workers that run go on with the new stream.
func recreate(ctx context.Context, js jetstream.JetStream, s settings, out io.Writer) error {
	q, err := findQueue(ctx, js)
	if err != nil {
		return err
	}
	if err := checkEmpty(q.stream); err != nil {
		return err
	}
	// Between counting and deleting, an update would be lost. So the stream takes none now.
	config := q.stream.CachedInfo().Config
	config.MaxMsgSize = 1
	stream, err := js.UpdateStream(ctx, config)
	if err != nil {
		return fmt.Errorf("stream %s: %w", streamName, err)
	}
	if err := checkEmpty(stream); err != nil {
		_, updateErr := js.UpdateStream(ctx, q.stream.CachedInfo().Config)
		return errors.Join(err, updateErr)
	}
	if err := js.DeleteStream(ctx, streamName); err != nil {
		// The limit stays, because the server may still delete the stream.
		return fmt.Errorf("stream %s takes no updates until recreate succeeds: %w", streamName, err)
	}
	created, err := openQueue(ctx, js, s)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "%s has %d partitions now, and had %d.\n",
		streamName, created.partitions, q.partitions)
	return err
}

func checkEmpty(stream jetstream.Stream) error {
	if n := stream.CachedInfo().State.Msgs; n > 0 {
		return fmt.Errorf("stream %s holds %s: stop the publishers, let the workers merge what "+
			"is left, and try again", streamName, job.Plural(int64(n), "update", "updates"))
	}
	return nil
}
