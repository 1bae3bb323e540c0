package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	courier "github.com/courier-profiles/courier-go"
)

const (
	// maxKeys is how many idempotency keys an update has. Each key whose response
	// was a 500 costs a request per delivery.
	maxKeys = 3

	// maxRetryAfter bounds how long a Retry-After can hold up a partition.
	maxRetryAfter = time.Hour
)

// settle processes an update and reports the outcome to the stream. An error ends the
// worker.
func (w *worker) settle(
	ctx context.Context, log *slog.Logger, q *queue, msg jetstream.Msg,
) error {
	// Half of ackWait is for Courier and a quarter for the stream, so that both are over
	// before the stream delivers the update again.
	ctx, cancel := context.WithTimeout(ctx, w.ackWait*3/4)
	defer cancel()
	meta, err := msg.Metadata()
	if err != nil {
		return err
	}
	log = log.With("sequence", meta.Sequence.Stream, "delivery", meta.NumDelivered)

	err = w.merge(ctx, q, msg, meta)
	verdict := judge(err)
	if verdict == again && w.maxDeliveries > 0 && meta.NumDelivered >= w.maxDeliveries {
		verdict, err = never, fmt.Errorf("given up: %w", err)
	}
	var reported error
	switch verdict {
	case done:
		// The stream confirms it. If it does not, the update is delivered again and
		// Courier replays its response.
		if reported = q.remove(ctx, msg, meta.Sequence.Stream); reported == nil {
			w.merged.Add(1)
			log.Debug("merged")
		}
	case never:
		if reported = storeDead(ctx, w.js, msg, meta, err); reported == nil {
			w.dead.Add(1)
			log.Error("dead letter", "error", err)
			reported = q.remove(ctx, msg, meta.Sequence.Stream)
		}
	case stop:
		reported = msg.Nak()
		err = fmt.Errorf("nothing can be merged with this API key: %w", err)
	case again:
		wait := w.wait(meta.NumDelivered, err)
		w.retried.Add(1)
		log.Warn("not merged", "retry_in", wait, "error", err)
		reported = msg.NakWithDelay(wait)
	}
	if reported != nil {
		log.Warn("the outcome did not reach the stream: the update is delivered again after "+
			"-ack-wait", "error", reported)
	}
	if verdict == stop {
		return err
	}
	return nil
}

// merge sends the update to Courier.
//
// Its ID is the idempotency key, for what no queue can rule out: that an update is sent
// twice, because a worker was presumed dead or an acknowledgement was lost, and that one
// of the two arrives after a later update of the user. Courier acts on the first and
// replays its response to the other.
//
// It replays a 500 too. So after each 500, and only then, the next key is used: Courier no
// longer acts on requests with the previous one. After maxKeys of them, it must be an
// outage, and the update is sent without a key.
func (w *worker) merge(
	ctx context.Context, q *queue, msg jetstream.Msg, meta *jetstream.MsgMetadata,
) error {
	var u update
	if err := decode(msg.Data(), &u); err != nil {
		return withoutText(err)
	}
	if err := u.check(); err != nil {
		return err
	}
	if msg.Subject() != q.subjectOf(u.UserID) {
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
		failed, ok := errors.AsType[*courier.ServerError](err)
		if !ok || failed.StatusCode != http.StatusInternalServerError {
			break
		}
	}
	return err
}

// What is wrong with a message that no publisher of this program has published.
var (
	errMalformed = errors.New(`not an update of the form {"user_id": "…", "profile": {…}}`)
	errTwice     = fmt.Errorf("%w: a name appears twice", errMalformed)
	errNoID      = errors.New("the message has no Nats-Msg-Id of printable ASCII characters " +
		"without spaces")
	// In two partitions, the updates of a user would have no order.
	errPartition = errors.New("the message is not in the partition of its user: its publisher " +
		"does not partition as Publish does")
)

// verdict is what happens to an update.
type verdict int

const (
	done  verdict = iota
	again         // the failure may pass
	never         // this update will never be merged
	stop          // no update will be merged
)

// judge returns the verdict for the error of a merge. What is not from Courier itself, such
// as the 404 of a wrong base URL, must not make dead letters of the whole queue at once.
func judge(err error) verdict {
	var invalid *courier.ValidationError
	var response *courier.APIError
	switch {
	case err == nil:
		return done
	case errors.Is(err, errMalformed), errors.Is(err, errNoID), errors.Is(err, errPartition),
		errors.As(err, &invalid):
		return never
	case courier.Retryable(err), !errors.As(err, &response), response.Type == "",
		response.StatusCode/100 != 4:
		return again
	case response.StatusCode == http.StatusUnauthorized,
		response.StatusCode == http.StatusForbidden:
		return stop
	}
	return never
}

// wait returns how long to wait before the next delivery: exponential backoff with jitter,
// from retryWait to the smaller of retryWait × 2ⁿ and maxRetryWait, or what Courier asks
// for with a 429 if that is longer.
func (w *worker) wait(delivery uint64, err error) time.Duration {
	high := w.retryWait
	for ; delivery > 0 && high < w.maxRetryWait; delivery-- {
		high *= 2
	}
	wait := w.retryWait + rand.N(min(high, w.maxRetryWait)-w.retryWait+1)
	if limited, ok := errors.AsType[*courier.RateLimitError](err); ok {
		wait = max(wait, min(limited.RetryAfter, maxRetryAfter))
	}
	return wait
}
