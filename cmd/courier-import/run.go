package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	courier "github.com/courier-profiles/courier-go"
	"github.com/courier-profiles/courier-go/cmd/internal/job"
)

// importRun sends the records of an input that was checked.
type importRun struct {
	*options
	source     *source
	plan       *plan
	client     *job.Client
	checkpoint *checkpoint
	rejects    *rejects
	stderr     io.Writer

	window *window
	mu     sync.Mutex // guards sent
	sent   map[int]*entry
	read   atomic.Int64 // records

	failed  map[uint64]int // users with a failed record, and its line
	reached bool           // Courier has merged or refused a record
	lastErr error          // of a failed record
	atEnd   bool           // all records were read
	ended   error          // why the run has ended before all records had an outcome
}

// send sends the records. It returns whether some were rejected, or why the run has
// ended before all had an outcome.
func (r *importRun) send(ctx, drain context.Context) (rejected bool, err error) {
	records, err := r.source.open()
	if err != nil {
		return false, err
	}
	r.plan.reader = records
	r.rejects.header = records.header()
	r.sent, r.failed = map[int]*entry{}, map[uint64]int{}
	r.window = newWindow(func(rec record, reason string) error {
		return r.rejects.add(records.reject(rec, reason))
	})
	// Whatever ends the run ends the reading too.
	reading, stop := context.WithCancel(drain)
	defer stop()
	defer context.AfterFunc(reading, r.window.wake)()

	started := time.Now()
	bar := job.StartProgress(r.stderr, func() job.Status { return r.status(started) })
	defer context.AfterFunc(drain, func() {
		bar.Print("Stopping as soon as the requests in flight have finished. To stop at " +
			"once, interrupt again.")
	})()
	opts := []courier.BulkOption{courier.WithConcurrency(r.concurrency)}
	if r.rate > 0 {
		opts = append(opts, courier.WithRateLimiter(rate.NewLimiter(rate.Limit(r.rate), 1)))
	}
	updates := func(yield func(string, courier.Profile) bool) {
		r.readAll(reading, records, yield)
	}
	for outcome := range r.client.Profiles.MergeAll(ctx, updates, opts...) {
		if err := r.outcome(outcome); err != nil {
			r.end(fmt.Errorf("progress cannot be saved: %w", err))
			stop()
		}
	}
	bar.Stop()
	return r.finish(drain, time.Since(started))
}

// end keeps the first reason for which the run has ended.
func (r *importRun) end(err error) {
	if r.ended == nil {
		r.ended = err
	}
}

// finish publishes the rejects of a run in which every record has an outcome, and
// keeps the checkpoint of any other.
func (r *importRun) finish(drain context.Context, took time.Duration) (bool, error) {
	merged, rejected := r.window.counts()
	switch {
	case r.ended != nil:
	case !r.atEnd && drain.Err() != nil:
		r.ended = job.ErrInterrupted
	case !r.atEnd, len(r.failed) > 0 && !r.reached:
		r.ended = fmt.Errorf("no record could be merged: %s", job.ErrorText(r.lastErr))
	}
	if r.ended == nil {
		r.ended = r.rejects.finish()
	}
	if r.ended != nil {
		rejected = 0 // they are sent again
		r.rejects.discard()
	}
	var err error
	if r.ended == nil || r.fake { // which forgets what was merged
		err = r.checkpoint.remove()
	} else {
		err = r.checkpoint.close()
	}
	if r.ended == nil {
		r.ended = err
	}
	r.summarize(merged, rejected, took)
	return rejected > 0, r.ended
}

// readAll yields the records that are sent.
func (r *importRun) readAll(ctx context.Context, records reader,
	yield func(string, courier.Profile) bool,
) {
	held := heldBack{}
	for index, sent := 0, 0; ctx.Err() == nil; index++ {
		rec, err := records.next()
		if err != nil {
			if r.atEnd = err == io.EOF; !r.atEnd {
				r.end(fmt.Errorf("%s: %w", r.source.in.name, err))
			}
			return
		}
		r.read.Add(1)
		userID, profile, problem := held.admit(r.plan, &rec)
		if r.checkpoint.has(index) {
			continue
		}
		rec.values = nil // valid until the next record only
		e := &entry{record: rec, index: index}
		if problem != nil {
			e.known, e.reason = true, problem.String()
		}
		if !r.window.add(ctx, e) {
			return
		}
		if problem != nil {
			continue
		}
		r.mu.Lock()
		r.sent[sent] = e
		r.mu.Unlock()
		sent++
		if !yield(userID, profile) {
			return
		}
	}
}

// outcome records an outcome. An error means that progress cannot be saved.
func (r *importRun) outcome(o courier.Outcome) error {
	if o.Index < 0 { // the call itself was wrong
		r.end(o.Err)
		return nil
	}
	r.mu.Lock()
	e := r.sent[o.Index]
	delete(r.sent, o.Index)
	r.mu.Unlock()
	if o.Err == nil {
		r.reached = true
		return errors.Join(r.checkpoint.record(e.index), r.window.settle(e, ""))
	}
	var (
		response *courier.APIError
		invalid  *courier.ValidationError
	)
	reason := job.ErrorText(o.Err)
	user := hashID(o.UserID)
	line, hasFailed := r.failed[user]
	isResponse := errors.As(o.Err, &response)
	switch {
	case errors.Is(o.Err, context.Canceled):
		r.end(job.ErrInterrupted)
	case errors.As(o.Err, &invalid):
	case errors.Is(o.Err, courier.ErrNotSent) && hasFailed:
		reason = heldBy(line).String()
	case isDenied(o.Err), errors.Is(o.Err, courier.ErrNotSent):
		r.end(o.Err)
	case isResponse && !courier.Retryable(o.Err):
		r.reached = true
	}
	r.lastErr = o.Err
	if !hasFailed {
		r.failed[user] = e.line
	}
	return r.window.settle(e, reason)
}

// isDenied reports whether Courier itself, and not something in between, refuses the
// API key. Nothing else would be merged.
func isDenied(err error) bool {
	var response *courier.APIError
	if !errors.As(err, &response) || response.Type == "" {
		return false
	}
	return response.StatusCode == http.StatusUnauthorized ||
		response.StatusCode == http.StatusForbidden
}

func (r *importRun) status(started time.Time) job.Status {
	merged, rejected := r.window.counts()
	perSecond := float64(merged) / max(time.Since(started).Seconds(), 0.001)
	return job.Status{
		Done: r.source.in.pos.Load(), Total: r.source.in.size,
		Text: fmt.Sprintf("%s merged, %s/s, %s retries, %s rejected", job.Number(merged),
			job.Number(int64(perSecond)), job.Number(r.client.Retries()), job.Number(rejected)),
	}
}

func (r *importRun) summarize(merged, rejected int64, took time.Duration) {
	counts := []job.Count{
		{Name: "records", N: r.read.Load()},
		{Name: "merged", N: merged},
		{Name: "rejected", N: rejected, Note: "see " + r.options.rejects},
		{Name: "retries", N: r.client.Retries()},
	}
	if before := r.checkpoint.resumed; before > 0 {
		counts = append(counts, job.Count{Name: "merged before", N: before})
	}
	job.WriteCounts(r.stderr, counts...)
	job.WriteTime(r.stderr, took, merged, "records")
}
