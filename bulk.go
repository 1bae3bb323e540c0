package courier

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"sync/atomic"

	"github.com/courier-profiles/courier-go/internal/keyed"
	"github.com/courier-profiles/courier-go/internal/transport"
)

const (
	defaultConcurrency = 16
	maxConcurrency     = 1 << 16 // there are no more ports to connect from
	maxHeldBytes       = 16 << 20
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
			return invalid("WithConcurrency", fmt.Sprint("the number is out of range: use 1 to ", maxConcurrency))
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
		if limiter == nil {
			return invalid("WithRateLimiter", "the limiter is nil: leave the option out for no limit")
		}
		c.limiter = limiter
		return nil
	}
}

// WithIdempotencyKeys sends each update of MergeAll with the idempotency key that key
// returns for it; "" means no key. Every retry of the update sends the same key. As
// with [WithIdempotencyKey], a 500 is not retried when a key is set.
//
// The calls of key are sequential: MergeAll calls it once for each update, right after
// it has pulled the update and on the same goroutine.
func WithIdempotencyKeys(key func(index int, userID string) string) BulkOption {
	return func(c *bulkConfig) error {
		if key == nil {
			return invalid("WithIdempotencyKeys", "the function is nil: leave the option out for no keys")
		}
		c.keys = key
		return nil
	}
}

// Outcome is the outcome of one update.
type Outcome struct {
	Index  int     // position of the update in the input, from 0
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
// Updates of the same user are sent in input order, each after the outcome of the
// previous one. Updates of different users overlap, so outcomes come in any order.
// [WithConcurrency] sets how many are in flight. A 429, a 503 or an attempt that timed
// out halves that number, and each full round of other responses raises it by one.
//
// An attempt that timed out can still reach Courier after a later update of the same
// user. If it was retried, [WithIdempotencyKeys] keeps it from taking effect.
//
// MergeAll pulls updates on a goroutine of its own and buffers at most 16 times the
// concurrency, and no more than 16 MiB of requests plus the last one pulled. A profile
// is serialized before the next one is pulled, so updates may reuse its maps.
//
// An invalid update is an outcome with a [*ValidationError], and the others
// continue. A nil ctx or an invalid option is the *ValidationError of every outcome,
// and a nil updates is one outcome with Index -1.
//
// The run ends early in these cases. Unless ctx ends, attempts in flight finish first,
// each within [WithTimeout]. No goroutine is left behind:
//
//   - ctx ends: attempts in flight are canceled, and nothing more is pulled, sent or
//     retried. Every update that was pulled has an outcome. If it was not sent, its
//     error wraps ctx.Err and [ErrNotSent]; if its attempt was canceled, ctx.Err. Check
//     ctx.Err after the loop, because the rest of the input has no outcomes.
//   - An [*AuthenticationError] or [*PermissionError]: nothing more is pulled, sent or
//     retried. Every update that was pulled has an outcome. If it was not sent, its
//     error wraps this one and ErrNotSent.
//   - The loop is left by break, return or a panic: nothing more is pulled, sent or
//     retried, and the outcomes of attempts in flight are lost. To stop with an outcome
//     for every update that was pulled, cancel ctx and let the loop finish.
//   - updates panics: what was pulled is sent and its outcomes are yielded, then the
//     loop panics with the same value.
//   - A rate limiter, observer or transport panics: nothing more is pulled, sent or
//     retried. The outcomes of the other updates in flight are yielded, then the loop
//     panics with the same value.
//
// The loop waits until updates yields or returns, so it should respect ctx if it can
// block for long. The returned iterator may be used more than once; each loop is a new
// run that pulls from updates again.
func (s *ProfilesService) MergeAll(ctx context.Context, updates iter.Seq2[string, Profile], opts ...BulkOption) iter.Seq[Outcome] {
	return s.all(ctx, &mergeProfile, updates, opts)
}

// ReplaceAll works like [ProfilesService.MergeAll], but replaces the profiles.
func (s *ProfilesService) ReplaceAll(ctx context.Context, updates iter.Seq2[string, Profile], opts ...BulkOption) iter.Seq[Outcome] {
	return s.all(ctx, &replaceProfile, updates, opts)
}

// DeleteAll works like [ProfilesService.MergeAll], but deletes the profiles.
func (s *ProfilesService) DeleteAll(ctx context.Context, userIDs iter.Seq[string], opts ...BulkOption) iter.Seq[Outcome] {
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

func (s *ProfilesService) all(ctx context.Context, op *operation, updates iter.Seq2[string, Profile], opts []BulkOption) iter.Seq[Outcome] {
	return func(yield func(Outcome) bool) {
		if updates == nil {
			yield(Outcome{Index: -1, Err: invalid("updates", "the iterator is nil")})
			return
		}
		config, err := newBulkConfig(ctx, op, opts)
		if err != nil {
			refuseAll(err, updates, yield)
			return
		}
		r := &bulkRun{bulkConfig: config, client: s.client, op: op, ctx: ctx}
		r.after = r.adapt
		r.tasks = keyed.New(ctx, config.concurrency, maxHeldBytes, r.send)
		r.tasks.Loop(r.prepare(updates), func(u *update) bool { return yield(u.Outcome) })
	}
}

func newBulkConfig(ctx context.Context, op *operation, opts []BulkOption) (bulkConfig, error) {
	config := bulkConfig{concurrency: defaultConcurrency}
	if ctx == nil {
		return config, invalid("ctx", nilContext)
	}
	for _, opt := range opts {
		if opt == nil {
			return config, invalid("opts", nilOption)
		}
		if err := opt(&config); err != nil {
			return config, err
		}
	}
	if config.keys != nil && !op.takesKey {
		return config, invalid("WithIdempotencyKeys", "only MergeAll takes idempotency keys")
	}
	return config, nil
}

// refuseAll yields err for every update.
func refuseAll(err error, updates iter.Seq2[string, Profile], yield func(Outcome) bool) {
	index := 0
	for userID := range updates {
		if !yield(Outcome{Index: index, UserID: userID, Err: err}) {
			return
		}
		index++
	}
}

// update is one update of a run, on its way to an outcome.
type update struct {
	Outcome
	body []byte
	key  string
}

// bulkRun is one loop over MergeAll, ReplaceAll or DeleteAll.
type bulkRun struct {
	bulkConfig
	client *Client
	op     *operation
	ctx    context.Context // the caller's
	tasks  *keyed.Run[update]
	after  func(transport.Attempt)

	refused atomic.Pointer[error] // the first 401 or 403
}

// prepare turns each update into a task.
func (r *bulkRun) prepare(updates iter.Seq2[string, Profile]) iter.Seq[*keyed.Task[update]] {
	return func(yield func(*keyed.Task[update]) bool) {
		index := 0
		for userID, profile := range updates {
			t := &keyed.Task[update]{Key: userID}
			u := &t.Value
			u.Index, u.UserID = index, userID
			index++
			// After the end of the run, send reports why nothing is sent.
			if r.tasks.Context().Err() == nil {
				r.encode(u, &profile)
			}
			t.Size, t.Done = len(u.body), u.Err != nil
			if !yield(t) {
				return
			}
		}
	}
}

func (r *bulkRun) encode(u *update, profile *Profile) {
	if r.op != &deleteProfile {
		u.body, u.Err = encode(&profileBody{(*plainProfile)(profile)})
	}
	if u.Err == nil && r.keys != nil {
		u.key = r.keys(u.Index, u.UserID)
	}
}

// send sends one update, unless the run has ended.
func (r *bulkRun) send(u *update) {
	// This stays the reason even if the caller's context ends later.
	if refused := r.refused.Load(); refused != nil {
		u.Err = &notSentError{operation: r.op.name, cause: *refused, text: (*refused).Error()}
		return
	}
	result := new(Result)
	c := call{
		op: r.op, userID: u.UserID, body: u.body,
		attemptContext: r.ctx, // leaving the loop does not end it
		after:          r.after,
	}
	if r.limiter != nil {
		c.before = r.limiter.Wait
	}
	var opts []RequestOption
	if u.key != "" {
		opts = append(opts, WithIdempotencyKey(u.key))
	}
	if u.Err = r.client.do(r.tasks.Context(), &c, result, opts); u.Err == nil {
		u.Result = result
	}
	// A type switch, because these errors may be wrapped as the cause of others.
	switch u.Err.(type) {
	case *AuthenticationError, *PermissionError:
		r.refused.CompareAndSwap(nil, &u.Err)
		r.tasks.Stop(u.Err)
	}
}

// adapt adjusts the number of updates in flight to the outcome of an attempt.
func (r *bulkRun) adapt(a transport.Attempt) {
	switch {
	case a.Status == http.StatusTooManyRequests, a.Status == http.StatusServiceUnavailable,
		errors.Is(a.Err, context.DeadlineExceeded):
		r.tasks.Congested(a.Started)
	case a.Err == nil:
		r.tasks.Succeeded()
	}
}
