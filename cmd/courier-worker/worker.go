package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	courier "github.com/courier-profiles/courier-go"
	"github.com/courier-profiles/courier-go/cmd/internal/job"
)

const (
	// A pull waits at the server, so that an idle worker costs next to nothing. A
	// pull that got lost, because a server failed, is noticed after two missed
	// heartbeats.
	pullExpiry    = 5 * time.Minute
	pullHeartbeat = 10 * time.Second

	// watchInterval is how often a worker looks whether its consumers exist.
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

// errGone means that the stream was recreated, or the server forgot its consumers.
var errGone = errors.New("the stream or its consumers are gone")

// run works until drain ends, and then finishes what is in flight, within ackWait and
// unless ctx ends. It also ends if Courier does not accept the key.
func (w *worker) run(ctx, drain context.Context) error {
	q, err := openQueue(drain, w.js, w.settings)
	var consumers []jetstream.Consumer
	if err == nil {
		consumers, err = q.openConsumers(drain, w.ackWait)
	}
	if err == nil {
		err = w.runOn(ctx, drain, q, consumers)
	}
	for errors.Is(err, errGone) {
		w.log.Warn("waiting for the stream, because it was recreated or the server restarted")
		if q, consumers, err = w.reopen(drain); err == nil {
			err = w.runOn(ctx, drain, q, consumers)
		}
	}
	if drain.Err() != nil && errors.Is(err, drain.Err()) {
		err = nil // it was about to begin
	}
	if ctx.Err() != nil {
		err = job.ErrInterrupted
	}
	// Wait until all acknowledgements have reached the server.
	err = errors.Join(err, w.js.Conn().FlushTimeout(w.ackWait/4))
	w.log.Info("stopped",
		"merged", w.merged.Load(), "failed", w.retried.Load(), "dead", w.dead.Load())
	return err
}

// reopen waits for the stream. It does not create one, because that is recreate's task.
func (w *worker) reopen(ctx context.Context) (*queue, []jetstream.Consumer, error) {
	ticker := time.NewTicker(watchInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
		q, err := findQueue(ctx, w.js)
		if err == nil {
			consumers, openErr := q.openConsumers(ctx, w.ackWait)
			if openErr == nil {
				return q, consumers, nil
			}
			err = openErr
		}
		w.log.Warn("the stream is not ready", "error", err)
	}
}

// runOn works until drain ends, or until the consumers are gone.
func (w *worker) runOn(
	ctx, drain context.Context, q *queue, consumers []jetstream.Consumer,
) error {
	w.log.Info("working", "partitions", q.partitions)
	group, inner := errgroup.WithContext(drain)
	for p, consumer := range consumers {
		group.Go(func() error { return w.work(ctx, inner, q, p, consumer) })
	}
	group.Go(func() error { return w.watch(inner, q) })
	group.Go(func() error {
		<-inner.Done()
		if drain.Err() != nil {
			w.log.Info("stopping")
		}
		return nil
	})
	return group.Wait()
}

// watch returns errGone when consumers are missing.
func (w *worker) watch(ctx context.Context, q *queue) error {
	ticker := time.NewTicker(watchInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		info, err := q.stream.Info(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			w.log.Warn("cannot read the state of the stream", "error", err)
		case info.State.Consumers < q.partitions:
			return errGone
		}
	}
}

// work settles the updates of a partition, one after the other, until drain ends. It
// pulls the next one only then, so that none ages in a buffer.
func (w *worker) work(
	ctx, drain context.Context, q *queue, partition int, consumer jetstream.Consumer,
) error {
	if drain.Err() != nil {
		return nil
	}
	log := w.log.With("partition", partition)
	updates, err := consumer.Messages(jetstream.PullMaxMessages(1),
		jetstream.PullExpiry(pullExpiry), jetstream.PullHeartbeat(pullHeartbeat))
	if err != nil {
		return err
	}
	defer updates.Stop()
	// Drain, because an update that is on its way must not get lost.
	defer context.AfterFunc(drain, updates.Drain)()
	for {
		msg, err := updates.Next()
		switch {
		case errors.Is(err, jetstream.ErrMsgIteratorClosed) && drain.Err() != nil:
			return nil
		case errors.Is(err, jetstream.ErrConsumerDeleted):
			return errGone
		case errors.Is(err, jetstream.ErrNoHeartbeat):
			log.Warn("no heartbeat from the stream: pulling again")
		case err != nil:
			return fmt.Errorf("partition %d: %w", partition, err)
		case drain.Err() != nil:
			// For another worker, at once.
			if err := msg.Nak(); err != nil {
				log.Warn("an update was not handed back: it is redelivered after -ack-wait",
					"error", err)
			}
		default:
			if err := w.settle(ctx, log, q, msg); err != nil {
				return err
			}
		}
	}
}
