package courier

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"runtime"
	"sync"
	"time"

	"github.com/courier-profiles/courier-go/internal/aimd"
)

const (
	defaultConcurrency = 16
	maxConcurrency     = 1 << 16 // there are no more ports to connect from

	// How much MergeAll holds: updates for each one in flight, so that a slow user
	// does not soon stop the others, and bytes of their bodies.
	heldPerCall  = 16
	maxHeldBytes = 16 << 20
)

// MergeAllOption configures one [ProfilesService.MergeAll].
type MergeAllOption func(*mergeAllConfig) error

type mergeAllConfig struct {
	concurrency int
	limiter     interface{ Wait(context.Context) error }
}

// WithConcurrency sets how many updates are in flight at the most, from 1 to
// 65536. The default is 16.
func WithConcurrency(n int) MergeAllOption {
	return func(c *mergeAllConfig) error {
		if n < 1 || n > maxConcurrency {
			return invalid("WithConcurrency", fmt.Sprint("the number is out of range: use 1 to ", maxConcurrency))
		}
		c.concurrency = n
		return nil
	}
}

// WithRateLimiter has limiter waited for before every request, retries too. A
// *rate.Limiter of golang.org/x/time/rate is one; so is anything that shares a
// limit between machines. It has to be safe for concurrent use, and Wait has to
// heed its context. Where Wait fails, that update is not sent (again), and its
// outcome wraps the error; a *rate.Limiter fails at once where its wait would
// outlive the deadline of ctx. The default is no limit.
func WithRateLimiter(limiter interface{ Wait(context.Context) error }) MergeAllOption {
	return func(c *mergeAllConfig) error {
		if limiter == nil {
			return invalid("WithRateLimiter", "the limiter is nil: leave the option out for no limit")
		}
		c.limiter = limiter
		return nil
	}
}

// MergeOutcome is what came of one update.
type MergeOutcome struct {
	Index  int     // of the update in the input, from 0
	UserID string  // of the update
	Result *Result // nil if there is an error
	Err    error   // as of [ProfilesService.Merge]
}

// MergeAll merges many profiles, some of them at a time ([WithConcurrency]), and
// yields one outcome for each update as soon as it is known:
//
//	for outcome := range client.Profiles.MergeAll(ctx, updates) {
//		if outcome.Err != nil {
//			log.Printf("update %d: %v", outcome.Index, outcome.Err)
//		}
//	}
//
// The updates of one user are sent in the order of the input, each after the
// outcome of the one before it is known; those of different users overlap, so
// that outcomes come in any order. (An attempt that ran into [WithTimeout] may
// still arrive at Courier behind a later update. MergeAll has no idempotency keys
// against that; see Retries in the package page.)
//
// Updates are pulled on a goroutine of MergeAll's, when there is room: it holds
// no more than 16 times the concurrency of them, or 16 MiB of their requests and
// the last one pulled, from the moment they are pulled until the loop is done
// with their outcome. As long as there is room, and a place in flight, a slow
// user stops nobody else. A profile is serialised before the next is asked for,
// so that updates may use its maps again.
//
// A 429 or 503 halves the number of updates in flight, once for those on their
// way together, and each round of other answers raises it by one. Retries are
// those of Merge, and are not held back.
//
// The run ends early in one of these ways. In all of them what is being sent is
// answered or fails first, and no goroutine is left behind:
//
//   - ctx ends: nothing is pulled but the update that is being pulled; each that
//     was pulled has its outcome, a [*ConnectionError] with the context's error in
//     it and no Attempts if it was not sent. Those that were not pulled have none,
//     so look at ctx.Err after the loop.
//   - An [*AuthenticationError] or [*PermissionError]: nothing more is sent, and
//     nothing retried. Updates are pulled on, and the outcome of each is an error
//     with that error in it.
//   - The loop is left, by break, return or a panic: nothing more is pulled, sent
//     or retried. Attempts in flight come to their end, for at most [WithTimeout],
//     before the loop is left; their outcomes are lost. To see all of them, cancel
//     ctx and let the loop go on.
//   - updates panics, or ends its goroutine: the outcomes of what was pulled
//     are yielded, then the loop panics with the same value, or ends its goroutine.
//   - An observer, limiter or transport of yours panics: nothing more is sent or
//     retried, and the loop panics with the same value. Updates that wait to be
//     sent have no outcome then.
//
// MergeAll waits for updates to return or yield, so let it heed ctx where it may
// block for long. A nil ctx or option, or one that makes no sense, is the
// [*ValidationError] of every outcome, and nothing is sent; nil updates are one
// with Index -1.
func (s *ProfilesService) MergeAll(ctx context.Context, updates iter.Seq2[string, Profile], opts ...MergeAllOption) iter.Seq[MergeOutcome] {
	return func(yield func(MergeOutcome) bool) {
		config, err := newMergeAllConfig(ctx, updates, opts)
		if err != nil {
			refuseAll(err, updates, yield)
			return
		}
		r := newMergeRun(ctx, s.core(), config)
		go r.pull(updates)
		defer r.rethrow()
		defer r.stop()
		for outcome, ok := r.next(); ok && yield(outcome); outcome, ok = r.next() {
		}
	}
}

func newMergeAllConfig(ctx context.Context, updates iter.Seq2[string, Profile], opts []MergeAllOption) (mergeAllConfig, error) {
	config := mergeAllConfig{concurrency: defaultConcurrency}
	if updates == nil {
		return config, invalid("updates", "the iterator is nil")
	}
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
	return config, nil
}

func refuseAll(err error, updates iter.Seq2[string, Profile], yield func(MergeOutcome) bool) {
	if updates == nil {
		yield(MergeOutcome{Index: -1, Err: err})
		return
	}
	i := 0
	for userID := range updates {
		if !yield(MergeOutcome{Index: i, UserID: userID, Err: err}) {
			return
		}
		i++
	}
}

// mergeRun is one loop over MergeAll. Three kinds of goroutines share it: pull
// takes updates in, work sends them, and the caller's own takes outcomes out.
type mergeRun struct {
	mergeAllConfig
	core *core

	ctx   context.Context         // of the attempts: the caller's
	waits context.Context         // of all that lies between attempts: ends with ctx or with the run
	end   context.CancelCauseFunc // of waits

	mu   sync.Mutex
	room sync.Cond // pull waits for it
	news sync.Cond // the caller waits for it: an outcome, or the end of a goroutine

	pulling  bool
	stopped  bool // nothing more is pulled or sent
	inFlight int  // updates, and goroutines that work
	limit    aimd.Limit

	pulled int                     // updates, so far
	held   int                     // of these, without those that the loop is done with
	bytes  int                     // of the bodies of those held
	given  *mergeUpdate            // what the loop is at
	ready  mergeQueue              // updates that may be sent
	done   mergeQueue              // updates with their outcome
	last   map[string]*mergeUpdate // by user id, of those that are not done

	failed func() // panics as the caller's code did
}

// mergeUpdate is one update, and what came of it.
type mergeUpdate struct {
	MergeOutcome
	body  []byte
	next  *mergeUpdate // in its queue
	after *mergeUpdate // the same user's next update, which has to wait for this one
}

type mergeQueue struct{ first, last *mergeUpdate }

func (q *mergeQueue) push(u *mergeUpdate) {
	if q.first == nil {
		q.first = u
	} else {
		q.last.next = u
	}
	q.last = u
}

func (q *mergeQueue) pop() *mergeUpdate {
	u := q.first
	q.first, u.next = u.next, nil
	return u
}

func newMergeRun(ctx context.Context, c *core, config mergeAllConfig) *mergeRun {
	r := &mergeRun{
		mergeAllConfig: config,
		core:           c,
		ctx:            ctx,
		pulling:        true,
		limit:          aimd.New(config.concurrency),
		last:           make(map[string]*mergeUpdate),
	}
	r.waits, r.end = context.WithCancelCause(ctx)
	r.room.L, r.news.L = &r.mu, &r.mu
	return r
}

// runEnded is the cause of the end of waits, if that is not the end of ctx.
type runEnded struct{ error }

// endOf returns why ctx has ended: the error of the caller's context, or what
// ended the run of MergeAll that it belongs to. It is nil if ctx has not ended.
func endOf(ctx context.Context) error {
	err := ctx.Err()
	if err == nil {
		return nil
	}
	var run runEnded
	if errors.As(context.Cause(ctx), &run) {
		return run.error
	}
	return err
}

// pull takes the updates in.
func (r *mergeRun) pull(updates iter.Seq2[string, Profile]) {
	returned := false
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if !returned {
			r.fail(recover())
		}
		r.pulling = false
		r.news.Signal()
	}()
	for userID, profile := range updates {
		if !r.take(userID, profile) {
			break
		}
	}
	returned = true
}

// take takes one update in, and waits until there is room for another. It
// reports whether there is to be another.
func (r *mergeRun) take(userID string, profile Profile) bool {
	u := &mergeUpdate{MergeOutcome: MergeOutcome{UserID: userID}}
	if ended := endOf(r.waits); ended != nil {
		u.Err = &ConnectionError{Operation: mergeProfile.name, Err: ended}
	} else {
		u.body, u.Err = encode(&profileBody{plainProfile(profile)})
	}

	r.mu.Lock()
	defer r.mu.Unlock()
	u.Index = r.pulled
	r.pulled++
	r.held++
	r.bytes += len(u.body)
	if u.Err != nil {
		r.done.push(u)
		r.news.Signal()
	} else {
		if before := r.last[userID]; before != nil {
			before.after = u
		} else {
			r.ready.push(u)
		}
		r.last[userID] = u
		r.start()
	}
	for !r.stopped && (r.held >= heldPerCall*r.concurrency || r.bytes >= maxHeldBytes) {
		r.room.Wait()
	}
	return !r.stopped && r.ctx.Err() == nil
}

// start has work send what may be sent.
func (r *mergeRun) start() {
	for u := r.pick(); u != nil; u = r.pick() {
		go r.work(u)
	}
}

// pick returns an update to send, which is in flight from then on, or nil.
func (r *mergeRun) pick() *mergeUpdate {
	most := r.limit.Now()
	if r.waits.Err() != nil {
		most = r.concurrency // nothing is sent any more
	}
	if r.stopped || r.ready.first == nil || r.inFlight >= most {
		return nil
	}
	r.inFlight++
	return r.ready.pop()
}

// work sends an update, and then others for as long as there are some.
func (r *mergeRun) work(u *mergeUpdate) {
	defer func() {
		if u == nil {
			return
		}
		p := recover()
		r.end(runEnded{errRunPanicked})
		r.mu.Lock()
		defer r.mu.Unlock()
		r.fail(p)
		r.stopped = true
		r.inFlight--
		r.room.Signal()
		r.news.Signal()
	}()
	for u != nil {
		result := new(Result)
		k := call{op: &mergeProfile, userID: u.UserID, body: u.body, result: result, run: r}
		if u.Err = r.core.do(r.waits, &k, nil); u.Err == nil {
			u.Result = result
		}
		u = r.settle(u)
	}
}

// settle takes note of the outcome of an update, and returns the next one for
// the goroutine that sent it, or nil.
func (r *mergeRun) settle(u *mergeUpdate) *mergeUpdate {
	var (
		unauthenticated *AuthenticationError
		forbidden       *PermissionError
	)
	if errors.As(u.Err, &unauthenticated) || errors.As(u.Err, &forbidden) {
		r.end(runEnded{u.Err}) // the first one counts
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.inFlight--
	if u.after != nil {
		r.ready.push(u.after)
		u.after = nil
	} else {
		delete(r.last, u.UserID)
	}
	r.done.push(u)
	r.news.Signal()
	next := r.pick()
	r.start()
	return next
}

// pace is called before each attempt, and returns why there must not be one.
func (r *mergeRun) pace(ctx context.Context) error {
	if r.limiter != nil {
		if err := r.limiter.Wait(ctx); err != nil && ctx.Err() == nil {
			return err
		}
	}
	if err := endOf(ctx); err != nil {
		return err
	}
	return r.ctx.Err() // ctx may end a moment later
}

// answered takes note of the status that an attempt got, or 0.
func (r *mergeRun) answered(status int, started time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch status {
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		r.limit.Congested(started, time.Now(), r.inFlight)
	case 0:
	default:
		r.limit.Good()
	}
}

// next returns the next outcome, and false after the last one. The loop is done
// with the one before.
func (r *mergeRun) next() (MergeOutcome, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.given != nil {
		r.held--
		r.bytes -= len(r.given.body)
		r.given = nil
		r.room.Signal()
	}
	for r.done.first == nil {
		if !r.pulling && r.inFlight == 0 {
			return MergeOutcome{}, false
		}
		r.news.Wait()
	}
	r.given = r.done.pop()
	return r.given.MergeOutcome, true
}

var (
	errLoopLeft    = errors.New("the loop was left")
	errRunPanicked = errors.New("another update ended in a panic")
)

// stop waits for all goroutines to end.
func (r *mergeRun) stop() {
	r.end(runEnded{errLoopLeft})
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stopped = true
	r.room.Signal()
	for r.pulling || r.inFlight > 0 {
		r.news.Wait()
	}
}

// fail keeps what ended a goroutine in the caller's code, a panic with p or
// runtime.Goexit, for the goroutine of the loop.
func (r *mergeRun) fail(p any) {
	switch {
	case r.failed != nil:
	case p != nil:
		r.failed = func() { panic(p) }
	default:
		r.failed = runtime.Goexit
	}
}

// rethrow ends the goroutine of the loop as the caller's code ended one of
// the run.
func (r *mergeRun) rethrow() {
	if r.failed != nil {
		r.failed()
	}
}
