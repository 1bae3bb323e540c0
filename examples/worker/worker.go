package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	courier "github.com/courier-profiles/courier-go"
)

const (
	// pullWait is how long a pull waits for an update, and so how long a worker
	// that is to stop may wait for its pulls to end. A pull that was broken off
	// could be answered with an update that nobody receives.
	pullWait = time.Second

	// maxKeys is how many idempotency keys an update has. Each one of which the
	// answer was a 500 costs a request a delivery.
	maxKeys = 3

	// maxRetryAfter bounds what a Retry-After can hold up a partition for.
	maxRetryAfter = time.Hour
)

// worker merges what is in the stream at Courier. Any number of them work on one
// stream.
type worker struct {
	client *courier.Client // with no retries: the stream has them, for all workers to carry on
	js     jetstream.JetStream
	log    *slog.Logger
	settings

	merged, retried, dead atomic.Int64
}

// run works until the context ends, or until Courier does not accept the key.
// What is in flight then is finished, within ackWait.
func (w *worker) run(ctx context.Context) error {
	consumers, err := w.open(ctx)
	if ctx.Err() != nil {
		return nil // there is nothing to finish yet
	}
	if err != nil {
		return err
	}
	w.log.Info("working", "partitions", partitions)
	group, ctx := errgroup.WithContext(ctx)
	for p, consumer := range consumers {
		group.Go(func() error { return w.work(ctx, p, consumer) })
	}
	group.Go(func() error {
		<-ctx.Done()
		w.log.Info("stopping")
		return nil
	})
	err = group.Wait()
	// Until what the stream was told has reached it.
	err = errors.Join(err, w.js.Conn().FlushTimeout(w.ackWait/4))
	w.log.Info("stopped", "merged", w.merged.Load(), "failed", w.retried.Load(), "dead", w.dead.Load())
	return err
}

// open returns the consumer of each partition.
func (w *worker) open(ctx context.Context) ([]jetstream.Consumer, error) {
	stream, err := openStreams(ctx, w.js, w.replicas)
	if err != nil {
		return nil, err
	}
	consumers := make([]jetstream.Consumer, partitions)
	for p := range consumers {
		if consumers[p], err = openConsumer(ctx, stream, p, w.ackWait); err != nil {
			return nil, err
		}
	}
	return consumers, nil
}

// work settles the updates of a partition, one after the other. It pulls the
// next one only then, so that none ages in a buffer.
func (w *worker) work(ctx context.Context, partition int, consumer jetstream.Consumer) error {
	log := w.log.With("partition", partition)
	for ctx.Err() == nil {
		msg, err := consumer.Next(jetstream.FetchMaxWait(pullWait))
		switch {
		case errors.Is(err, nats.ErrTimeout):
		case errors.Is(err, nats.ErrConnectionClosed), errors.Is(err, jetstream.ErrConsumerDeleted):
			return err
		case err != nil:
			log.Warn("no updates to be had", "error", err)
			select {
			case <-time.After(pullWait):
			case <-ctx.Done():
			}
		case ctx.Err() != nil:
			// For another worker, at once.
			if err := msg.Nak(); err != nil {
				log.Warn("an update was not handed back: it comes again after -ack-wait", "error", err)
			}
		default:
			if err := w.settle(ctx, log, msg); err != nil {
				return err
			}
		}
	}
	return nil
}

// settle does what there is to do with an update, and tells the stream. An error
// is one that ends the worker.
func (w *worker) settle(ctx context.Context, log *slog.Logger, msg jetstream.Msg) error {
	// Not ended by a signal, because what is in flight is to be finished. Half of
	// ackWait is for Courier and a quarter for telling the stream, so that both are
	// over before it delivers again.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), w.ackWait*3/4)
	defer cancel()
	meta, err := msg.Metadata()
	if err != nil {
		return err
	}
	log = log.With("sequence", meta.Sequence.Stream, "delivery", meta.NumDelivered)

	err = w.merge(ctx, msg, meta)
	verdict := judge(err)
	if verdict == again && w.maxDeliveries > 0 && meta.NumDelivered >= w.maxDeliveries {
		verdict, err = never, fmt.Errorf("given up: %w", err)
	}
	var told error
	switch verdict {
	case done:
		// Confirmed by the stream. Where it is not, the update comes again, and
		// Courier replays its answer.
		if told = msg.DoubleAck(ctx); told == nil {
			w.merged.Add(1)
			log.Debug("merged")
		}
	case never:
		if told = storeDead(ctx, w.js, msg, meta, err); told == nil {
			w.dead.Add(1)
			log.Error("dead letter", "error", err)
			told = msg.TermWithReason("dead letter")
		}
	case stop:
		told = msg.Nak()
		err = fmt.Errorf("nothing can be merged with this API key: %w", err)
	case again:
		wait := w.wait(meta.NumDelivered, err)
		w.retried.Add(1)
		log.Warn("not merged", "again_in", wait, "error", err)
		told = msg.NakWithDelay(wait)
	}
	if told != nil {
		log.Warn("the stream was not told: the update comes again after -ack-wait", "error", told)
	}
	if verdict == stop {
		return err
	}
	return nil
}

// merge sends the update to Courier.
//
// It carries its id as idempotency key, for what no queue can rule out: that it
// is sent twice, because a worker was taken for dead or an acknowledgement was
// lost, and that one of the two arrives after a later update of the user.
// Courier acts on the first and replays its answer to the other.
//
// It saves a 500 too. So there is another key after each 500, and no other time:
// nothing that was sent with the key before is acted on any more. That many 500s
// to one update are an outage, in which it goes without a key at last.
func (w *worker) merge(ctx context.Context, msg jetstream.Msg, meta *jetstream.MsgMetadata) error {
	var u update
	if err := decode(msg.Data(), &u); err != nil {
		return err
	}
	if err := u.check(); err != nil {
		return err
	}
	if msg.Subject() != subject(u.UserID) {
		return errPartition
	}
	id := msg.Headers().Get(jetstream.MsgIDHeader)
	if !isPrintableASCII(id) {
		return errNoID
	}
	ctx, cancel := context.WithTimeout(ctx, w.ackWait/2)
	defer cancel()
	var err error
	// Before this delivery there were fewer 500s than deliveries.
	for n := range min(meta.NumDelivered, maxKeys+1) {
		var key []courier.RequestOption
		if n < maxKeys {
			key = append(key, courier.WithIdempotencyKey(fmt.Sprintf("profiles/%d/%s", n, id)))
		}
		_, err = w.client.Profiles.Merge(ctx, u.UserID, *u.Profile, key...)
		var failed *courier.ServerError
		if !errors.As(err, &failed) || failed.StatusCode != http.StatusInternalServerError {
			break
		}
	}
	return err
}

var (
	errNoID = errors.New("the message has no Nats-Msg-Id of printable ASCII characters without spaces")
	// In two partitions, the updates of a user would have no order.
	errPartition = errors.New("the message is not in the partition of its user: its publisher does not do what Publish does")
)

// verdict is what becomes of an update.
type verdict int

const (
	done  verdict = iota
	again         // the failure may pass
	never         // this update will never be merged
	stop          // no update will
)

// judge goes by the error of a merge.
func judge(err error) verdict {
	var (
		key        *courier.AuthenticationError
		permission *courier.PermissionError
		validation *courier.ValidationError
		invalid    *courier.InvalidRequestError
		tooLarge   *courier.PayloadTooLargeError
		notFound   *courier.NotFoundError
	)
	switch {
	case err == nil:
		return done
	case errors.As(err, &key), errors.As(err, &permission):
		return stop
	case errors.Is(err, errMalformed), errors.Is(err, errNoID), errors.Is(err, errPartition),
		errors.As(err, &validation), errors.As(err, &invalid), errors.As(err, &tooLarge):
		return never
	case errors.As(err, &notFound) && notFound.Type != "":
		// Without Courier's own type it is the answer of another server: with a
		// wrong base URL, the whole queue would become dead letters.
		return never
	}
	return again
}

// wait returns how long to wait before the next delivery: what Courier asks for
// with a 429, or from retryWait to retryWait × 2ⁿ, but not above maxRetryWait
// (full jitter above a floor).
func (w *worker) wait(delivery uint64, err error) time.Duration {
	high := w.retryWait
	for ; delivery > 0 && high < w.maxRetryWait; delivery-- {
		high *= 2
	}
	wait := w.retryWait + rand.N(min(high, w.maxRetryWait)-w.retryWait+1)
	var limited *courier.RateLimitError
	if errors.As(err, &limited) {
		wait = max(wait, min(limited.RetryAfter, maxRetryAfter))
	}
	return wait
}
