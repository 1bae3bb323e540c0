package main

import (
	"context"
	"errors"
	"log/slog"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"
)

// handover keeps each user's order while the number of partitions changes. It
// starts a partition of the current layout once all partitions of the previous
// layout that may hold updates of the same users are empty.
//
// Those are the ones with the same remainder modulo the greatest common divisor of
// the two numbers, because both are remainders of one hash. Between 64 and 256
// partitions, each old one is waited for by four.
type handover struct {
	groups  int
	waiting []context.Context // of each group; done when its previous partitions are empty
	done    []context.CancelFunc
}

// newHandover returns a handover whose groups also end with the context.
func newHandover(ctx context.Context, previous, current layout) *handover {
	h := &handover{groups: gcd(previous.partitions, current.partitions)}
	for range h.groups {
		waiting, done := context.WithCancel(ctx)
		h.waiting, h.done = append(h.waiting, waiting), append(h.done, done)
	}
	return h
}

// update ends the groups whose previous partitions hold no updates; left has those
// that do.
func (h *handover) update(left map[int]bool) {
	busy := make([]bool, h.groups)
	for p := range left {
		busy[p%h.groups] = true
	}
	for group, done := range h.done {
		if !busy[group] {
			done()
		}
	}
}

// of returns a context that ends when the previous partitions that share users with
// this one are empty. The partition may be in either layout.
func (h *handover) of(partition int) context.Context { return h.waiting[partition%h.groups] }

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// poll returns which previous partitions hold updates, and whether the layouts
// are still the same and have their consumers.
func (o *opened) poll(ctx context.Context) (left map[int]bool, ok bool, err error) {
	filter := o.previous.subject
	if filter == "" {
		filter = o.current.fence() // which is empty
	}
	info, err := o.stream.Info(ctx, jetstream.WithSubjectFilter(filter))
	if err != nil {
		return nil, false, err
	}
	current, previous, err := readLayouts(info.Config)
	if err != nil {
		return nil, false, err
	}
	left = previous.partitionsOf(info.State.Subjects)
	complete := info.State.Consumers >= len(o.ofCurrent)+len(left)
	return left, complete && current == o.current && previous == o.previous, nil
}

// contains reports whether all partitions of the second set are in the first.
func contains(set, others map[int]bool) bool {
	for p := range others {
		if !set[p] {
			return false
		}
	}
	return true
}

// tidy deletes the consumers of the previous layout, whose partitions are empty.
// Several workers may do so at once.
func (q *queue) tidy(ctx context.Context, log *slog.Logger) {
	if q.previous.partitions == 0 {
		return
	}
	info, err := q.stream.Info(ctx)
	if err == nil && info.State.Consumers > q.current.partitions {
		err = q.deleteConsumers(ctx, q.previous)
	}
	if err != nil && ctx.Err() == nil {
		log.Warn("consumers of the previous partitions are left", "error", err)
	}
}

func (q *queue) deleteConsumers(ctx context.Context, l layout) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(openAtOnce)
	for _, p := range l.all() {
		group.Go(func() error {
			err := q.stream.DeleteConsumer(ctx, l.consumer(p))
			if errors.Is(err, jetstream.ErrConsumerNotFound) {
				return nil
			}
			return err
		})
	}
	return group.Wait()
}
