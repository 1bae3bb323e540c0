package courier

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/courier-profiles/courier-go/internal/transport"
)

const (
	bufferFactor     = 16       // updates buffered for each one in flight
	maxBufferedBytes = 16 << 20 // of requests
	maxFailuresInRow = 100      // or twice the concurrency, if that is more
)

// bulkRun is one loop over MergeAll, ReplaceAll, or DeleteAll. One goroutine pulls the
// input, one for each update in flight sends it, and the caller's own yields outcomes.
type bulkRun struct {
	bulkConfig
	client *Client
	op     *operation
	ctx    context.Context // ends with the caller's, and when the loop is left
	cancel context.CancelFunc

	mu       sync.Mutex
	mayPull  sync.Cond // the pulling goroutine waits until the buffer is not full
	mayYield sync.Cond // the caller's waits for an outcome, or for the end of a goroutine

	pulling  bool
	inFlight int
	window   window
	pausedTo time.Time   // no update is started before
	resume   *time.Timer // starts updates then

	buffered int                // updates, from being pulled until the loop is done with them
	bytes    int                // of their requests
	last     map[string]*update // the last update of each user that is not settled
	ready    []*update          // may be sent
	outcomes []*update          // are to be yielded

	failureOf     map[string]error // of each user: the first, or one that wraps it
	failuresInRow int              // through no fault of the update
	endReason     error            // why the run ended by itself
	panicked      any              // in the caller's code, on another goroutine
}

// update is one update of a run, on its way to an outcome.
type update struct {
	Outcome
	body []byte
	opts []RequestOption
	next *update // of the same user; it becomes ready when this one is settled
}

func newBulkRun(
	ctx context.Context, client *Client, op *operation, config bulkConfig,
) *bulkRun {
	r := &bulkRun{
		bulkConfig: config,
		client:     client,
		op:         op,
		window:     newWindow(config.concurrency),
		last:       map[string]*update{},
		failureOf:  map[string]error{},
	}
	r.ctx, r.cancel = context.WithCancel(ctx)
	r.mayPull.L, r.mayYield.L = &r.mu, &r.mu
	return r
}

// loop yields the outcomes of updates. When it returns, no goroutine of the run is left.
func (r *bulkRun) loop(updates iter.Seq2[string, Profile], yield func(Outcome) bool) {
	defer r.rethrow()
	defer r.leave()
	defer context.AfterFunc(r.ctx, r.wake)()
	r.pulling = true
	go r.pull(updates)
	for u := r.nextOutcome(); u != nil && yield(u.Outcome); u = r.nextOutcome() {
		r.release(u)
	}
}

// pull turns the input into updates.
func (r *bulkRun) pull(updates iter.Seq2[string, Profile]) {
	defer func() {
		p := recover()
		r.mu.Lock()
		defer r.mu.Unlock()
		r.keepPanic(p)
		r.pulling = false
		r.mayYield.Signal()
	}()
	index := 0
	for userID, profile := range updates {
		u := &update{Outcome: Outcome{Index: index, UserID: userID}}
		index++
		r.prepare(u, &profile)
		if !r.add(u) {
			return
		}
	}
}

// prepare checks an update and serializes its request, outside the lock.
func (r *bulkRun) prepare(u *update, profile *Profile) {
	u.Err = checkUserID(u.UserID)
	if u.Err == nil && r.op != &deleteProfile {
		u.body, u.Err = encode(&profileBody{(*profileObject)(profile)})
	}
	if u.Err != nil || r.keys == nil {
		return
	}
	if key := r.keys(u.Index, u.UserID); key != "" {
		withKey := WithIdempotencyKey(key)
		u.opts = []RequestOption{withKey}
		u.Err = withKey(new(requestConfig))
	}
}

// add buffers an update and waits until another one fits. It reports whether
// another one is wanted.
func (r *bulkRun) add(u *update) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.buffered++
	r.bytes += len(u.body)
	r.queue(u)
	r.start()
	for r.isRunning() && r.isFull() {
		r.mayPull.Wait()
	}
	return r.isRunning()
}

// queue puts an update behind the earlier ones of its user.
func (r *bulkRun) queue(u *update) {
	if checkUserID(u.UserID) != nil { // nobody's, so it holds nothing back
		if reason := r.reasonNotToSend(u); reason != nil {
			u.Err = reason
		}
		r.outcomes = append(r.outcomes, u)
		r.mayYield.Signal()
		return
	}
	previous := r.last[u.UserID]
	r.last[u.UserID] = u
	if previous != nil {
		previous.next = u
	} else if !r.makeReady(u) {
		r.settle(u)
	}
}

func (r *bulkRun) isFull() bool {
	return r.buffered >= bufferFactor*r.concurrency || r.bytes >= maxBufferedBytes
}

func (r *bulkRun) isRunning() bool { return r.endReason == nil && r.ctx.Err() == nil }

// makeReady lets an update be sent. It returns false, with the reason in Err, if it must
// not be.
func (r *bulkRun) makeReady(u *update) bool {
	if reason := r.reasonNotToSend(u); reason != nil {
		u.Err = reason // rather than that it is invalid
	}
	if u.Err == nil {
		r.ready = append(r.ready, u)
	}
	return u.Err == nil
}

// start sends the updates that may be in flight.
func (r *bulkRun) start() {
	for u := r.take(); u != nil; u = r.take() {
		go r.work(u)
	}
}

// take returns an update that is in flight from then on, or nil. It settles what is not
// sent because the run is over.
func (r *bulkRun) take() *update {
	for len(r.ready) > 0 {
		mayStart := r.inFlight < r.window.size && !time.Now().Before(r.pausedTo)
		if r.isRunning() && !mayStart {
			return nil
		}
		u := r.ready[0]
		r.ready[0] = nil // so that it can be collected
		r.ready = r.ready[1:]
		u.Err = r.reasonNotToSend(u)
		if u.Err == nil {
			r.inFlight++
			return u
		}
		r.settle(u)
	}
	return nil
}

// work sends updates as long as there are any, so that a goroutine grows its stack once.
func (r *bulkRun) work(u *update) {
	defer r.wake() // where a call ended the goroutine, others go on
	for u != nil {
		r.send(u)
		u = r.next()
	}
}

// next returns the next update of a goroutine, and lets others send what more there is.
func (r *bulkRun) next() *update {
	r.mu.Lock()
	defer r.mu.Unlock()
	u := r.take()
	r.start()
	return u
}

// reasonNotToSend returns the error of an update that must not be sent, or nil.
func (r *bulkRun) reasonNotToSend(u *update) error {
	first := r.failureOf[u.UserID]
	if notSent, ok := first.(*notSentError); ok {
		return notSent // which wraps the first failure
	}
	if first != nil {
		return r.notSent("an earlier update of the user failed: ", first)
	}
	if r.endReason != nil {
		return r.notSent("the run ended: ", r.endReason)
	}
	if err := r.ctx.Err(); err != nil {
		return r.notSent("", err)
	}
	return nil
}

func (r *bulkRun) notSent(why string, cause error) error {
	text := why + strings.ReplaceAll(cause.Error(), "courier: ", "")
	return &notSentError{operation: r.op.name, cause: cause, text: text}
}

// send sends one update and settles it.
func (r *bulkRun) send(u *update) {
	defer func() {
		p := recover()
		r.mu.Lock()
		defer r.mu.Unlock()
		r.inFlight--
		if u.Err == errNoReturn {
			r.keepPanic(p)
			r.end(errNoReturn)
		}
		if errors.Is(u.Err, ErrNotSent) {
			if reason := r.reasonNotToSend(u); reason != nil {
				u.Err = reason // it ended while the update waited for the limiter
			}
		}
		r.settle(u)
	}()
	result := new(Result)
	c := &call{
		op: r.op, userID: u.UserID, body: u.body,
		before: r.beforeAttempt, after: r.afterAttempt,
	}
	u.Err = errNoReturn // if do panics, or ends the goroutine
	u.Err = r.client.do(r.ctx, c, result, u.opts)
	if u.Err == nil {
		u.Result = result
	}
}

// settle records the outcome of an update, and of later ones of the user that must not be
// sent because of it.
func (r *bulkRun) settle(u *update) {
	defer r.mayYield.Signal()
	for {
		if u.Err != nil {
			r.failureOf[u.UserID] = u.Err
		}
		if u.Err != errNoReturn { // for which the loop panics instead
			r.outcomes = append(r.outcomes, u)
			r.countFailure(u.Err)
		}
		if u.next == nil {
			delete(r.last, u.UserID)
			return
		}
		u = u.next
		if r.makeReady(u) {
			return
		}
	}
}

// countFailure ends the run where sending more is of no use.
func (r *bulkRun) countFailure(err error) {
	var apiError *APIError
	switch {
	case err == nil:
		r.failuresInRow = 0
		return
	case errors.Is(err, ErrNotSent):
		return
	case errors.As(err, &apiError) && apiError.Type != "" && apiError.StatusCode/100 == 4:
		switch apiError.StatusCode {
		case http.StatusUnauthorized, http.StatusForbidden:
			r.end(err)
		case http.StatusRequestTimeout, http.StatusConflict, http.StatusTooManyRequests:
		default: // the update is at fault
			r.failuresInRow = 0
			return
		}
	}
	r.failuresInRow++
	if r.failuresInRow == max(maxFailuresInRow, 2*r.concurrency) {
		r.end(fmt.Errorf("%d updates failed in a row, the last one with: %w", r.failuresInRow, err))
	}
}

// end ends the run: nothing more is pulled, sent, or retried. The first reason counts,
// and the context is one.
func (r *bulkRun) end(reason error) {
	if r.isRunning() {
		r.endReason = reason
	}
	r.mayPull.Signal()
}

// beforeAttempt waits for the limiter. It keeps updates in flight from being retried once
// the run has ended.
func (r *bulkRun) beforeAttempt(ctx context.Context) error {
	if r.limiter != nil {
		if err := r.limiter.Wait(ctx); err != nil {
			return err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.endReason != nil {
		return errRunEnded
	}
	return nil
}

// afterAttempt adapts the number of updates in flight to what came back.
func (r *bulkRun) afterAttempt(x *transport.Exchange) {
	r.mu.Lock()
	defer r.mu.Unlock()
	overloaded := x.Status == http.StatusTooManyRequests ||
		x.Status == http.StatusServiceUnavailable
	switch {
	case overloaded, x.NoConnection, errors.Is(x.Err, context.DeadlineExceeded):
		r.window.congested(x.Started, time.Now(), r.inFlight)
	case x.Err == nil:
		r.window.succeeded()
	}
	if x.RetryAfter > 0 && x.RetryAfter <= r.client.transport.MaxRetryAfter {
		r.pause(time.Now().Add(x.RetryAfter))
	}
}

// pause starts no update until then.
func (r *bulkRun) pause(until time.Time) {
	if !until.After(r.pausedTo) {
		return
	}
	r.pausedTo = until
	if r.resume != nil {
		r.resume.Stop()
	}
	r.resume = time.AfterFunc(time.Until(until), r.wake)
}

// wake starts what may be sent now, or settles what is not sent once the run is over.
func (r *bulkRun) wake() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.start()
	r.mayPull.Signal()
}

// nextOutcome returns the next update to yield, or nil after the last one.
func (r *bulkRun) nextOutcome() *update {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.outcomes) == 0 {
		if !r.pulling && r.inFlight == 0 && len(r.ready) == 0 {
			return nil
		}
		r.mayYield.Wait()
	}
	u := r.outcomes[0]
	r.outcomes[0] = nil
	r.outcomes = r.outcomes[1:]
	return u
}

// release takes an update that the caller is done with out of the buffer.
func (r *bulkRun) release(u *update) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.buffered--
	r.bytes -= len(u.body)
	r.mayPull.Signal()
}

// leave cancels what is in flight and waits for the goroutines of the run.
func (r *bulkRun) leave() {
	r.cancel()
	r.wake()
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.pulling || r.inFlight > 0 {
		r.mayYield.Wait()
	}
	if r.resume != nil {
		r.resume.Stop()
	}
}

// keepPanic keeps the first panic, if any, for rethrow.
func (r *bulkRun) keepPanic(p any) {
	if r.panicked == nil {
		r.panicked = p
	}
}

// rethrow panics as the caller's code did on a goroutine of the run.
func (r *bulkRun) rethrow() {
	if r.panicked != nil {
		panic(r.panicked)
	}
}

var (
	errRunEnded = errors.New("the run ended")
	errNoReturn = errors.New("the call for another update did not return")
)
