package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	courier "github.com/courier-profiles/courier-go"
)

const (
	// A pull waits at the server, so that an idle worker costs next to nothing. A
	// pull that got lost, because a server failed, is noticed after two missed
	// heartbeats.
	pullExpiry    = 5 * time.Minute
	pullHeartbeat = 10 * time.Second

	// watchInterval is how often a worker looks for a change of the partitions.
	watchInterval = time.Second
)

// worker merges the updates in the stream into Courier. Any number of workers can
// share a stream.
type worker struct {
	client *courier.Client // without retries: the stream redelivers, to any worker
	js     jetstream.JetStream
	log    *slog.Logger
	settings

	merged, retried, dead atomic.Int64
}

// errChanged means that the stream has different partitions now, or lost consumers.
var errChanged = errors.New("the partitions of the stream were changed")

// run works until the context ends, or until Courier does not accept the key.
// What is in flight then is finished, within ackWait.
func (w *worker) run(ctx context.Context) error {
	o, err := w.open(ctx)
	if err == nil {
		err = w.runOn(ctx, o)
	}
	for errors.Is(err, errChanged) {
		w.log.Info("opening the partitions again, because they were changed or the server restarted")
		if o, err = w.reopen(ctx); err == nil {
			err = w.runOn(ctx, o)
		}
	}
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		err = nil // it was about to begin
	}
	// Wait until all acknowledgements have reached the server.
	err = errors.Join(err, w.js.Conn().FlushTimeout(w.ackWait/4))
	w.log.Info("stopped", "merged", w.merged.Load(), "failed", w.retried.Load(), "dead", w.dead.Load())
	return err
}

// opened is the queue with its open consumers.
type opened struct {
	*queue
	left                  map[int]bool // the previous partitions that hold updates
	ofCurrent, ofPrevious map[int]jetstream.Consumer
}

func (w *worker) open(ctx context.Context) (*opened, error) {
	q, err := openStreams(ctx, w.js, w.replicas, w.partitions)
	if err != nil {
		return nil, err
	}
	o := &opened{queue: q}
	if o.left, err = q.leftovers(ctx); err != nil {
		return nil, err
	}
	if o.ofCurrent, err = q.openConsumers(ctx, q.current, q.current.all(), w.ackWait); err != nil {
		return nil, err
	}
	o.ofPrevious, err = q.openConsumers(ctx, q.previous, slices.Collect(maps.Keys(o.left)), w.ackWait)
	return o, err
}

// reopen retries open until the stream is available.
func (w *worker) reopen(ctx context.Context) (*opened, error) {
	for {
		o, err := w.open(ctx)
		if err == nil {
			return o, nil
		}
		w.log.Warn("the stream is not ready", "error", err)
		select {
		case <-time.After(watchInterval):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// runOn works until the context ends, or until the partitions are changed.
func (w *worker) runOn(ctx context.Context, o *opened) error {
	w.log.Info("working", "partitions", o.current.partitions, "previous_partitions_left", len(o.left))
	if len(o.left) == 0 {
		o.tidy(ctx, w.log)
	}
	group, inner := errgroup.WithContext(ctx)
	h := newHandover(inner, o.previous, o.current)
	h.update(o.left)
	for p, consumer := range o.ofPrevious {
		group.Go(func() error { return w.work(h.of(p), o.queue, o.previous, p, consumer) })
	}
	for p, consumer := range o.ofCurrent {
		group.Go(func() error {
			<-h.of(p).Done()
			return w.work(inner, o.queue, o.current, p, consumer)
		})
	}
	group.Go(func() error { return w.watch(inner, o, h) })
	group.Go(func() error {
		<-inner.Done()
		if ctx.Err() != nil {
			w.log.Info("stopping")
		}
		return nil
	})
	return group.Wait()
}

// watch follows the previous partitions as they become empty. It returns errChanged
// when the partitions were changed, or consumers are missing.
func (w *worker) watch(ctx context.Context, o *opened, h *handover) error {
	ticker := time.NewTicker(watchInterval)
	defer ticker.Stop()
	left := o.left
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		now, ok, err := o.poll(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			w.log.Warn("cannot read the state of the stream", "error", err)
			continue
		case !ok, !contains(left, now):
			return errChanged
		}
		h.update(now)
		if len(now) == 0 && len(left) > 0 {
			w.log.Info("the previous partitions are empty", "partitions", o.previous.partitions)
			o.tidy(ctx, w.log)
		}
		left = now
	}
}

// work settles the updates of a partition, one after the other. It pulls the
// next one only then, so that none ages in a buffer.
func (w *worker) work(ctx context.Context, q *queue, l layout, partition int, consumer jetstream.Consumer) error {
	if ctx.Err() != nil {
		return nil
	}
	log := w.log.With("partition", partition)
	updates, err := consumer.Messages(
		jetstream.PullMaxMessages(1), jetstream.PullExpiry(pullExpiry), jetstream.PullHeartbeat(pullHeartbeat))
	if err != nil {
		return err
	}
	defer updates.Stop()
	// Drain, because an update that is on its way must not get lost.
	defer context.AfterFunc(ctx, updates.Drain)()
	for {
		msg, err := updates.Next()
		switch {
		case errors.Is(err, jetstream.ErrMsgIteratorClosed) && ctx.Err() != nil:
			return nil
		case errors.Is(err, jetstream.ErrConsumerDeleted):
			if l == q.current {
				return errChanged // open it again
			}
			return nil // by a worker that found the partition empty
		case errors.Is(err, jetstream.ErrNoHeartbeat):
			log.Warn("no heartbeat from the stream: pulling again")
		case err != nil:
			return fmt.Errorf("partition %d: %w", partition, err)
		case ctx.Err() != nil:
			// For another worker, at once.
			if err := msg.Nak(); err != nil {
				log.Warn("an update was not handed back: it is redelivered after -ack-wait", "error", err)
			}
		default:
			if err := w.settle(ctx, log, q, l, msg); err != nil {
				return err
			}
		}
	}
}
