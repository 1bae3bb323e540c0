package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"strconv"

	"github.com/nats-io/nats.go/jetstream"
)

// repartition changes the number of partitions of the stream, while publishers and
// workers run, in one atomic update of the stream.
//
// From then on the stream accepts updates in the new partitions only; see
// [Publisher]. Workers merge what is left in the old ones first; see handover.
func repartition(ctx context.Context, js jetstream.JetStream, partitions int, out io.Writer) error {
	if err := checkPartitions(partitions); err != nil {
		return err
	}
	q, err := findQueue(ctx, js)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return fmt.Errorf("%w: create it with worker -partitions %d", err, partitions)
	}
	if err != nil {
		return err
	}
	if q.current.partitions == partitions {
		_, err := fmt.Fprintf(out, "%s has %d partitions already\n", streamName, partitions)
		return err
	}
	left, err := q.leftovers(ctx)
	if err != nil {
		return err
	}
	if len(left) > 0 {
		return fmt.Errorf("the change from %d to %d partitions is not finished: %d partitions still hold updates; let the workers merge those, then run this command again",
			q.previous.partitions, q.current.partitions, len(left))
	}

	config := q.stream.CachedInfo().Config
	next := newLayout(partitions)
	config.Subjects = []string{next.subject}
	config.Metadata = maps.Clone(config.Metadata)
	if config.Metadata == nil {
		config.Metadata = map[string]string{}
	}
	config.Metadata[partitionsKey] = strconv.Itoa(partitions)
	config.Metadata[previousSubjectKey] = q.current.subject
	config.Metadata[previousPartitionsKey] = strconv.Itoa(q.current.partitions)
	updated, err := js.UpdateStream(ctx, config)
	if err != nil {
		return fmt.Errorf("stream %s: %w", streamName, err)
	}
	_, err = fmt.Fprintf(out, "%s has %d partitions now, %d before. The workers first merge the %d updates that are in it.\n",
		streamName, partitions, q.current.partitions, updated.CachedInfo().State.Msgs)
	return err
}

// leftovers returns the partitions of the previous layout that still hold updates.
// No update is ever added to them.
func (q *queue) leftovers(ctx context.Context) (map[int]bool, error) {
	if q.previous.partitions == 0 {
		return nil, nil
	}
	// An update that the stream received just before the change may still be on
	// its way into storage. What the stream receives later is stored later, so
	// after this message there is no such update.
	_, err := q.js.Publish(ctx, q.current.fence(), nil)
	if errors.Is(err, jetstream.ErrNoStreamResponse) { // the partitions were changed after q was read
		err = errChanged
	}
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w", streamName, err)
	}
	if err := q.stream.Purge(ctx, jetstream.WithPurgeSubject(q.current.fence())); err != nil {
		return nil, fmt.Errorf("stream %s: %w", streamName, err)
	}
	info, err := q.stream.Info(ctx, jetstream.WithSubjectFilter(q.previous.subject))
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w", streamName, err)
	}
	return q.previous.partitionsOf(info.State.Subjects), nil
}
