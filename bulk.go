package courier

import (
	"context"
	"fmt"
	"iter"
	"reflect"
)

const (
	defaultConcurrency = 16
	maxConcurrency     = 1 << 16 // there are no more ports to connect from
)

// BulkOption configures one call of [ProfilesService.MergeAll],
// [ProfilesService.ReplaceAll] or [ProfilesService.DeleteAll].
type BulkOption func(*bulkConfig) error

type bulkConfig struct {
	concurrency int
	limiter     interface{ Wait(context.Context) error }
	keys        func(index int, userID string) string
}

// WithConcurrency sets how many updates may be in flight, from 1 to 65536. The
// default is 16.
func WithConcurrency(n int) BulkOption {
	return func(c *bulkConfig) error {
		if n < 1 || n > maxConcurrency {
			reason := fmt.Sprint("the number is out of range: use 1 to ", maxConcurrency)
			return invalid("WithConcurrency", reason)
		}
		c.concurrency = n
		return nil
	}
}

// WithRateLimiter waits for limiter before every request, retries included. A
// *rate.Limiter of golang.org/x/time/rate fits, and so does anything that shares a
// limit between machines. It must be safe for concurrent use, and Wait must respect
// its context. If Wait fails, that update is not sent or not retried, and its outcome
// wraps the error. The default is no limit.
func WithRateLimiter(limiter interface{ Wait(context.Context) error }) BulkOption {
	return func(c *bulkConfig) error {
		if isNil(limiter) {
			return invalid("WithRateLimiter",
				"the limiter is nil: leave the option out for no limit")
		}
		c.limiter = limiter
		return nil
	}
}

// WithIdempotencyKeys sends each update of MergeAll with the idempotency key that key
// returns for it; "" means no key. Every retry of the update sends the same key. As
// with [WithIdempotencyKey], a 500 is not retried when a key is set.
//
// The calls of key are sequential: MergeAll calls it once for each valid update, right
// after it has pulled the update and on the same goroutine.
func WithIdempotencyKeys(key func(index int, userID string) string) BulkOption {
	return func(c *bulkConfig) error {
		if key == nil {
			return invalid("WithIdempotencyKeys",
				"the function is nil: leave the option out for no keys")
		}
		c.keys = key
		return nil
	}
}

// isNil also finds a nil pointer inside the interface, such as a limiter that was never made.
func isNil(v any) bool {
	value := reflect.ValueOf(v)
	switch value.Kind() {
	case reflect.Invalid:
		return true
	case reflect.Pointer, reflect.Func, reflect.Map, reflect.Chan, reflect.Slice:
		return value.IsNil()
	}
	return false
}

// Outcome is the outcome of one update.
type Outcome struct {
	Index  int     // position of the update in the input, from 0; -1 if the run did not start
	UserID string  // user ID of the update
	Result *Result // nil if Err is set
	Err    error   // as from the call for one user; matches [ErrNotSent] if nothing was sent
}

// MergeAll merges many profiles concurrently and yields one outcome for each update as
// soon as it is known:
//
//	for outcome := range client.Profiles.MergeAll(ctx, updates) {
//		if outcome.Err != nil {
//			log.Printf("update %d: %v", outcome.Index, outcome.Err)
//		}
//	}
//
// Updates of different users overlap, so outcomes come in any order. Updates of one user
// are sent in input order, never two at a time, and only if all earlier ones of the run
// succeeded. Otherwise the outcome wraps the first failure and [ErrNotSent]. So to resume,
// send again, in input order, everything that was not merged: old data never overwrites
// new. [Retryable] tells which failures can succeed later.
//
// [WithConcurrency] sets how many updates are in flight. A 429, a 503, and an attempt that
// timed out or got no connection halve that number, and each full round of other responses
// raises it by one. After a 429 or 503 with a Retry-After of up to [WithMaxRetryAfter], no
// other update is started until then.
//
// MergeAll pulls updates on a goroutine of its own and buffers at most 16 times the
// concurrency, and no more than 16 MiB of requests plus the last one pulled. A profile
// is serialized before the next one is pulled, so updates may reuse its maps. The error of
// each user whose update failed is kept until the loop ends.
//
// There are two ways to stop:
//
//   - End updates: what was pulled is still sent and yielded.
//   - Cancel ctx, or leave the loop: attempts in flight are canceled, and nothing more is
//     pulled or sent. If ctx ended, every update that was pulled has an outcome, and what
//     was cut off or not sent wraps ctx.Err. Check it after the loop, because the rest of
//     the input has no outcomes.
//
// The run ends by itself, because a million errors help nobody, and the input can be
// resumed:
//
//   - after an [*AuthenticationError] or [*PermissionError] of Courier, which has a Type
//   - after 100 outcomes in a row, or twice the concurrency if that is more, that failed
//     through no fault of the update. A success starts the count again, and so does a 4xx
//     with a Type, except 401, 403, 408, 409, and 429. A [*ValidationError] and what was
//     never sent do not count.
//
// Then nothing more is pulled, and attempts in flight finish and are not retried. The
// outcome of an update that was pulled but not sent wraps the error that ended the run,
// and ErrNotSent.
//
// If updates panics, what was pulled is sent and yielded, and then the loop panics with the
// same value. If a rate limiter, an observer, or a transport panics, nothing more is sent,
// the other outcomes are yielded, and then the loop panics. An invalid option, a nil ctx,
// and nil updates are one outcome with Index -1.
//
// An attempt that timed out can still reach Courier, even after a later update of the same
// user, and undo it. If the attempt was retried, [WithIdempotencyKeys] keeps it from taking
// effect again.
//
// No goroutine is left behind. The loop waits until updates yields or returns, so updates
// should respect ctx if it can block for long. The returned iterator may be used more than
// once; each loop is a new run that pulls from updates again.
func (s *ProfilesService) MergeAll(
	ctx context.Context, updates iter.Seq2[string, Profile], opts ...BulkOption,
) iter.Seq[Outcome] {
	return s.all(ctx, &mergeProfile, updates, opts)
}

// ReplaceAll works like [ProfilesService.MergeAll], but replaces the profiles.
func (s *ProfilesService) ReplaceAll(
	ctx context.Context, updates iter.Seq2[string, Profile], opts ...BulkOption,
) iter.Seq[Outcome] {
	return s.all(ctx, &replaceProfile, updates, opts)
}

// DeleteAll works like [ProfilesService.MergeAll], but deletes the profiles.
func (s *ProfilesService) DeleteAll(
	ctx context.Context, userIDs iter.Seq[string], opts ...BulkOption,
) iter.Seq[Outcome] {
	var updates iter.Seq2[string, Profile]
	if userIDs != nil {
		updates = func(yield func(string, Profile) bool) {
			for userID := range userIDs {
				if !yield(userID, Profile{}) {
					return
				}
			}
		}
	}
	return s.all(ctx, &deleteProfile, updates, opts)
}

func (s *ProfilesService) all(
	ctx context.Context, op *operation, updates iter.Seq2[string, Profile], opts []BulkOption,
) iter.Seq[Outcome] {
	return func(yield func(Outcome) bool) {
		config := bulkConfig{concurrency: defaultConcurrency}
		err := config.apply(ctx, op, updates, opts)
		if err != nil {
			yield(Outcome{Index: -1, Err: err})
			return
		}
		newBulkRun(ctx, s.client, op, config).loop(updates, yield)
	}
}

func (c *bulkConfig) apply(
	ctx context.Context, op *operation, updates iter.Seq2[string, Profile], opts []BulkOption,
) error {
	if ctx == nil {
		return invalid("ctx", nilContext)
	}
	if updates == nil {
		return invalid("updates", "the iterator is nil: pass one that yields nothing")
	}
	for _, opt := range opts {
		if opt == nil {
			return invalid("opts", nilOption)
		}
		if err := opt(c); err != nil {
			return err
		}
	}
	if c.keys != nil && !op.takesKey {
		return invalid("WithIdempotencyKeys", "only MergeAll takes idempotency keys")
	}
	return nil
}
