package main

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"

	courier "github.com/courier-profiles/courier-go"
	"golang.org/x/sync/errgroup"
)

// maxFailures is how many rows of a page may fail before the rest is not sent.
const maxFailures = 20

var errNotSent = errors.New("it was not sent, because the sync is stopping")

// send makes Courier match the rows of a page, and returns one error per row. A page
// has each user once, so that no order is needed within it.
func (s *syncer) send(ctx context.Context, rows []user) []error {
	results := make([]error, len(rows))
	profiles := make([]courier.Profile, len(rows))
	var merges, deletes []int
	for i := range rows {
		results[i] = errNotSent
		if rows[i].Deleted || rows[i].Erased {
			deletes = append(deletes, i)
			continue
		}
		var err error
		if profiles[i], err = rows[i].profile(); err != nil {
			results[i] = &invalidRow{err}
			continue
		}
		merges = append(merges, i)
	}

	var failures atomic.Int64
	mayStart := func(context.Context) error {
		if ctx.Err() != nil || failures.Load() >= maxFailures {
			return errNotSent
		}
		return nil
	}
	settle := func(i int, err error, count *atomic.Int64) {
		results[i] = err
		switch {
		case err == nil:
			count.Add(1)
		case isDenied(err):
			failures.Store(maxFailures)
		case !isRejected(err):
			failures.Add(1)
		}
	}
	options := []courier.BulkOption{courier.WithConcurrency(s.concurrency), courier.WithRateLimiter(waitFunc(mayStart))}

	// No idempotency keys: merging a whole row twice changes nothing, while a 500 would
	// be replayed to every later request with its key, for a day.
	for outcome := range s.client.Profiles.MergeAll(s.sending, func(yield func(string, courier.Profile) bool) {
		for _, i := range merges {
			if mayStart(ctx) != nil || !yield(rows[i].ID, profiles[i]) {
				return
			}
		}
	}, options...) {
		settle(merges[outcome.Index], outcome.Err, &s.counts.merged)
	}

	var erasures []int
	for outcome := range s.client.Profiles.DeleteAll(s.sending, func(yield func(string) bool) {
		for _, i := range deletes {
			if mayStart(ctx) != nil || !yield(rows[i].ID) {
				return
			}
		}
	}, options...) {
		i, err := deletes[outcome.Index], unlessNotFound(outcome.Err)
		if err == nil && rows[i].Erased {
			erasures = append(erasures, i) // settled by the next step
			continue
		}
		settle(i, err, &s.counts.deleted)
	}

	var group errgroup.Group
	group.SetLimit(s.concurrency)
	for _, i := range erasures {
		group.Go(func() error {
			if mayStart(ctx) == nil {
				_, err := s.client.Profiles.Lists.UnsubscribeAll(s.sending, rows[i].ID)
				settle(i, unlessNotFound(err), &s.counts.erased)
			}
			return nil
		})
	}
	_ = group.Wait()
	return results
}

// waitFunc is a rate limiter that only decides whether a request may be sent.
type waitFunc func(context.Context) error

func (f waitFunc) Wait(ctx context.Context) error { return f(ctx) }

// invalidRow is a row that cannot be a profile.
type invalidRow struct{ error }

// isRejected reports whether the row has to be fixed before it can be synced.
func isRejected(err error) bool {
	var (
		row      *invalidRow
		invalid  *courier.ValidationError
		refused  *courier.InvalidRequestError
		tooLarge *courier.PayloadTooLargeError
	)
	return errors.As(err, &row) || errors.As(err, &invalid) || errors.As(err, &refused) || errors.As(err, &tooLarge)
}

// isDenied reports whether the API key is at fault.
func isDenied(err error) bool {
	var (
		key       *courier.AuthenticationError
		forbidden *courier.PermissionError
	)
	return errors.As(err, &key) || errors.As(err, &forbidden)
}

// severity orders the errors that stop a sync by how much they explain.
func severity(err error) int {
	switch {
	case isDenied(err):
		return 2
	case !errors.Is(err, errNotSent):
		return 1
	}
	return 0
}

// unlessNotFound returns nil for a 404: what is to be deleted does not exist.
func unlessNotFound(err error) error {
	var notFound *courier.NotFoundError
	if errors.As(err, &notFound) {
		return nil
	}
	return err
}

// reasonOf returns the text of an error without its prefixes.
func reasonOf(err error) string {
	text := strings.TrimPrefix(err.Error(), "courier: ")
	for _, operation := range []string{"merge profile: ", "delete profile: ", "unsubscribe all: "} {
		text = strings.TrimPrefix(text, operation)
	}
	return text
}
