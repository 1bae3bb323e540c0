package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"time"

	courier "github.com/courier-profiles/courier-go"
)

var (
	errInterrupted = errors.New("the sync was interrupted")
	errSave        = errors.New("save the watermark")
)

const (
	// grace is how long requests in flight may take after an interrupt.
	grace = 10 * time.Second
	// saveTimeout bounds the write of the watermark, which an interrupt must not stop.
	saveTimeout = 30 * time.Second
)

// syncer syncs the table once.
type syncer struct {
	options
	store  *store
	client *courier.Client
	out    io.Writer // for progress

	counts   counts
	progress *progress
	sending  context.Context // of requests, which may outlive an interrupt
}

// run syncs all rows that changed since the last run. The error says why it stopped
// early; it wraps errInterrupted when ctx ended.
func (s *syncer) run(ctx context.Context) (err error) {
	sending, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	s.sending = sending
	s.progress = startProgress(s.out, &s.counts)
	defer s.progress.stop()
	defer context.AfterFunc(ctx, func() {
		s.progress.print("Stopping after the requests in flight. To stop at once, interrupt again.")
		select {
		case <-time.After(grace):
			cancel()
		case <-sending.Done():
		}
	})()

	mark, err := s.store.watermark(ctx)
	if err == nil && !mark.Until.IsZero() {
		// An earlier run did not finish: its range comes first, from where it stopped,
		// so that no more than a page is repeated.
		err = s.syncRange(ctx, &mark)
	}
	if err == nil {
		err = s.begin(ctx, &mark)
	}
	if err == nil {
		err = s.syncRange(ctx, &mark)
	}
	if err != nil && ctx.Err() != nil && !isDenied(err) && !errors.Is(err, errSave) {
		return errInterrupted
	}
	return err
}

// begin sets the range of a new run.
//
// It ends now. Without an end, rows that change during a long run would move the
// watermark so far ahead that the overlap no longer reaches a row that commits late.
func (s *syncer) begin(ctx context.Context, mark *watermark) error {
	now, err := s.store.now(ctx, s.store.conn)
	if err != nil {
		return fmt.Errorf("read the clock of the database: %w", err)
	}
	mark.Until = now
	if !mark.UpdatedAt.IsZero() {
		mark.UpdatedAt = mark.UpdatedAt.Add(-s.overlap)
	}
	later, err := s.store.countLater(ctx, now)
	if err != nil {
		return err
	}
	if later > 0 {
		s.progress.print(fmt.Sprintf("Rows with an updated_at in the future: %s. They are synced once that time has passed.", thousands(later)))
	}
	withoutID, err := s.store.rejectWithoutID(ctx)
	s.counts.rejected.Add(withoutID)
	return err
}

// syncRange syncs the rows from the watermark to its Until, page by page, and moves
// the watermark past each page.
func (s *syncer) syncRange(ctx context.Context, mark *watermark) error {
	n, err := s.store.count(ctx, mark.position, mark.Until)
	if err != nil {
		return fmt.Errorf("count the changed rows: %w", err)
	}
	s.counts.total.Add(n)
	for {
		rows, err := s.store.page(ctx, mark.position, mark.Until, s.page)
		if err != nil {
			return fmt.Errorf("read a page of %s: %w", table, err)
		}
		if len(rows) > 0 {
			s.counts.read.Add(int64(len(rows)))
			if err := s.syncPage(ctx, mark, rows); err != nil {
				return err
			}
		}
		if len(rows) < s.page {
			// All is settled up to here. The next run subtracts the overlap from this time.
			*mark = watermark{position: position{UpdatedAt: mark.Until}}
			return s.save(ctx, *mark, nil, nil)
		}
	}
}

// syncPage sends the rows and moves the watermark to the first one that is not settled.
func (s *syncer) syncPage(ctx context.Context, mark *watermark, rows []user) error {
	var (
		rejected []rejection
		fixed    []string
		stop     error
	)
	for i, err := range s.send(ctx, rows) {
		row := &rows[i]
		switch {
		case err == nil:
			if row.WasRejected {
				fixed = append(fixed, row.ID)
			}
		case isRejected(err):
			rejected = append(rejected, rejection{row.ID, row.UpdatedAt, reasonOf(err)})
		case stop == nil, severity(err) > severity(stop):
			// The time is enough to find the row, and no personal data.
			stop = fmt.Errorf("at the row with the updated_at %s: %w", row.UpdatedAt.Format(time.RFC3339Nano), err)
		}
		if stop == nil {
			mark.position = position{UpdatedAt: row.UpdatedAt, ID: sql.Null[string]{V: row.ID, Valid: true}}
		}
	}
	s.counts.rejected.Add(int64(len(rejected)))
	if err := s.save(ctx, *mark, rejected, fixed); err != nil {
		return err
	}
	return stop
}

func (s *syncer) save(ctx context.Context, mark watermark, rejected []rejection, fixed []string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveTimeout)
	defer cancel()
	if err := s.store.save(ctx, mark, rejected, fixed); err != nil {
		return fmt.Errorf("%w: %w", errSave, err)
	}
	return nil
}
