package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	courier "github.com/courier-profiles/courier-go"
)

var errNotSent = fmt.Errorf("the sync is stopping: %w", courier.ErrNotSent)

// sending is a page of rows on its way to Courier. No more is sent after a signal or the
// first failure that is no fault of its row; what is in flight then is finished.
type sending struct {
	*syncer
	rows     []row
	outcomes []error // of each row
	drain    context.Context
	failed   atomic.Bool
}

// send makes Courier match the rows of a page, and returns one outcome per row. A page
// has each user once, so that no order is needed within it.
func (s *syncer) send(ctx, drain context.Context, rows []row) []error {
	p := &sending{syncer: s, rows: rows, outcomes: make([]error, len(rows)), drain: drain}
	var merges, deletions []int
	for i, r := range rows {
		p.outcomes[i] = errNotSent
		switch {
		case r.err != nil:
			p.outcomes[i] = r.err
		case r.isDeletion():
			deletions = append(deletions, i)
		default:
			merges = append(merges, i)
		}
	}
	p.merge(ctx, merges)
	p.delete(ctx, deletions)
	return p.outcomes
}

func (p *sending) isStopping() bool { return p.failed.Load() || p.drain.Err() != nil }

// merge sends no idempotency keys: merging a whole row twice changes nothing, while a 500
// would be replayed to every later request with its key, for a day.
func (p *sending) merge(ctx context.Context, indexes []int) {
	// MergeAll reads further ahead than it sends. It must not, because it sends what it has
	// read: where Courier hangs, the end would take hours.
	slots := make(chan struct{}, p.concurrency)
	updates := func(yield func(string, courier.Profile) bool) {
		for _, i := range indexes {
			slots <- struct{}{}
			if p.isStopping() || !yield(p.rows[i].id, p.rows[i].profile) {
				return
			}
		}
	}
	concurrency, limiter := courier.WithConcurrency(p.concurrency), courier.WithRateLimiter(p)
	for outcome := range p.client.Profiles.MergeAll(ctx, updates, concurrency, limiter) {
		p.settle(indexes[outcome.Index], outcome.Err, &p.merged)
		<-slots
	}
}

// Wait is a rate limiter that, after a signal, refuses the rows and retries that MergeAll
// holds back because Courier was full.
func (p *sending) Wait(context.Context) error { return p.drain.Err() }

func (p *sending) delete(ctx context.Context, indexes []int) {
	var group errgroup.Group
	group.SetLimit(p.concurrency)
	for _, i := range indexes {
		group.Go(func() error {
			if p.isStopping() {
				return nil
			}
			_, err := p.client.Profiles.Delete(ctx, p.rows[i].id)
			err, count := unlessNotFound(err), &p.deleted
			if err == nil && p.rows[i].erased {
				_, err = p.client.Profiles.Lists.UnsubscribeAll(ctx, p.rows[i].id)
				err, count = unlessNotFound(err), &p.erased
			}
			p.settle(i, err, count)
			return nil
		})
	}
	_ = group.Wait()
}

func (p *sending) settle(i int, err error, count *atomic.Int64) {
	p.outcomes[i] = err
	switch judge(err) {
	case done:
		count.Add(1)
	case failed:
		p.failed.Store(true)
	}
}

// probeID is the user whose profile is read to see whether Courier responds. Nobody needs to
// have this ID, and a firewall that refuses the ID of a row lets it through.
const probeID = "courier-sync"

// isCourierThere reports whether foreign responses to a page reject their rows: not if Courier
// does not respond, as behind a captive portal or with a wrong base URL, and not if the page
// is repeated in any case.
func (s *syncer) isCourierThere(ctx context.Context, outcomes []error) bool {
	has := func(v verdict) bool {
		return slices.ContainsFunc(outcomes, func(err error) bool { return judge(err) == v })
	}
	if has(failed) || !has(foreign) {
		return !has(failed)
	}
	_, err := s.client.Profiles.Get(ctx, probeID)
	return unlessNotFound(err) == nil
}

// verdict is what follows from the outcome of a row.
type verdict int

const (
	done    verdict = iota
	refused         // the row has to be fixed before it can be synced
	foreign         // refused, but not by Courier
	failed          // the row is not at fault, and the next run sends it again
)

func judge(err error) verdict {
	var (
		invalid    *courier.ValidationError
		unexpected *courier.UnexpectedResponseError
		apiError   *courier.APIError
	)
	switch {
	case err == nil:
		return done
	case errors.As(err, &invalid):
		return refused
	case errors.Is(err, courier.ErrNotSent): // whatever ended the run before
		return failed
	case errors.As(err, &unexpected):
		return foreign
	case courier.Retryable(err), !errors.As(err, &apiError):
		return failed
	case apiError.Type == "":
		return foreign
	case apiError.StatusCode == http.StatusUnauthorized,
		apiError.StatusCode == http.StatusForbidden,
		apiError.StatusCode/100 == 5:
		return failed
	}
	return refused
}

// unlessNotFound returns nil for a 404 of Courier: what is to be deleted does not exist.
func unlessNotFound(err error) error {
	notFound, ok := errors.AsType[*courier.NotFoundError](err)
	if ok && notFound.Type != "" {
		return nil
	}
	return err
}
