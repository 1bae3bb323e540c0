package main

import (
	"context"
	"strconv"
	"sync"

	courier "github.com/courier-profiles/courier-go"
)

// userOf returns the ID of user i of a bulk run.
func userOf(i int) string { return "user-" + strconv.Itoa(i) }

// mergeAll merges two fields of different users with MergeAll.
func mergeAll(ctx context.Context, c *courier.Client, inFlight int, more func() bool) (int, error) {
	updates := func(yield func(string, courier.Profile) bool) {
		for i := 0; more(); i++ {
			if !yield(userOf(i), courierProfile(few)) {
				return
			}
		}
	}
	merged := 0
	outcomes := c.Profiles.MergeAll(ctx, updates, courier.WithConcurrency(inFlight))
	for outcome := range outcomes {
		if outcome.Err != nil {
			return merged, outcome.Err
		}
		merged++
	}
	return merged, nil
}

// mergePool does the same with what people write: a channel of users, a pool of
// goroutines, and a channel of outcomes. It neither keeps order nor retries.
func mergePool(
	ctx context.Context,
	merge func(ctx context.Context, userID string, fields int) (string, error),
	inFlight int,
	more func() bool,
) (int, error) {
	users, outcomes := make(chan string), make(chan error)
	var pool sync.WaitGroup
	for range inFlight {
		pool.Go(func() {
			for user := range users {
				_, err := merge(ctx, user, few)
				outcomes <- err
			}
		})
	}
	go func() {
		for i := 0; more(); i++ {
			users <- userOf(i)
		}
		close(users)
		pool.Wait()
		close(outcomes)
	}()
	merged := 0
	var failure error
	for err := range outcomes {
		if err != nil {
			failure = err
			continue
		}
		merged++
	}
	return merged, failure
}
