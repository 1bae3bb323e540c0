package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	courier "github.com/courier-profiles/courier-go"
	"github.com/courier-profiles/courier-go/cmd/internal/job"
)

// saveTimeout bounds the write of the watermark, which no signal must stop.
const saveTimeout = 30 * time.Second

var errSave = errors.New("save the watermark")

// syncer syncs the table once.
type syncer struct {
	options
	store  *store
	client *job.Client
	out    io.Writer // for progress

	progress *job.Progress
	started  time.Time

	total, read, merged, deleted, erased, rejected atomic.Int64 // rows

	deletions map[string]bool // users whose deletion was sent or is about to be
}

// run syncs all rows that changed since the last run. The error says why it stopped
// early; it wraps job.ErrInterrupted when drain ended.
func (s *syncer) run(ctx, drain context.Context) error {
	s.started, s.deletions = time.Now(), map[string]bool{}
	s.progress = job.StartProgress(s.out, s.status)
	defer s.progress.Stop()
	defer context.AfterFunc(drain, func() {
		s.progress.Print("Stopping after the requests in flight. " +
			"To stop at once, interrupt again.")
	})()
	if len(s.store.missing) > 0 {
		s.progress.Print(fmt.Sprintf("%s does not have %s: what needs that is switched off.",
			s.table.name, strings.Join(s.store.missing, ", ")))
	}
	mark, err := s.store.watermark(ctx)
	if err == nil && !mark.Until.IsZero() {
		// An earlier run did not finish: its range comes first, from where it stopped,
		// so that no more than a page is repeated.
		err = s.syncRange(ctx, drain, &mark)
	}
	if err == nil {
		err = s.begin(ctx, &mark)
	}
	if err == nil {
		err = s.syncRange(ctx, drain, &mark)
	}
	if err != nil && drain.Err() != nil && !errors.Is(err, errSave) {
		return job.ErrInterrupted
	}
	return err
}

func (s *syncer) status() job.Status {
	total, done := s.total.Load(), s.merged.Load()+s.deleted.Load()+s.erased.Load()+
		s.rejected.Load()
	perSecond := int64(float64(done) / time.Since(s.started).Seconds())
	return job.Status{Done: done, Total: total, Text: fmt.Sprintf("%s of %s, %s/s, %s rejected",
		job.Number(done), job.Plural(total, "row", "rows"), job.Number(perSecond),
		job.Number(s.rejected.Load()))}
}

func (s *syncer) writeCounts(out io.Writer) {
	job.WriteCounts(out,
		job.Count{Name: "rows read", N: s.read.Load()},
		job.Count{Name: "merged", N: s.merged.Load()},
		job.Count{Name: "deleted", N: s.deleted.Load()},
		job.Count{Name: "erased", N: s.erased.Load()},
		job.Count{Name: "rejected", N: s.rejected.Load(), Note: "see the table courier_sync_rejects"},
		job.Count{Name: "retries", N: s.client.Retries()},
	)
	job.WriteTime(out, time.Since(s.started), s.read.Load(), "rows")
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
	if !mark.UpdatedAt.IsZero() {
		mark.UpdatedAt = mark.UpdatedAt.Add(-s.overlap)
	}
	if mark.UpdatedAt.After(now) {
		return fmt.Errorf("the last run was at %s, which is after now, and rows that changed since "+
			"would be missed: set the clock right or, if it was wrong only then, sync all rows "+
			"again with DELETE FROM courier_sync",
			mark.UpdatedAt.Add(s.overlap).Format(time.RFC3339))
	}
	mark.Until = now
	later, err := s.store.count(ctx, "t."+quote(s.table.updatedAt)+" > $1", s.store.timeValue(now))
	if err != nil {
		return err
	}
	if later > 0 {
		s.progress.Print(job.Plural(later, "row has", "rows have") + " a " +
			s.table.updatedAt + " in the future, and must wait until then.")
	}
	withoutID, err := s.store.count(ctx, "t."+quote(s.table.id)+" IS NULL")
	if withoutID > 0 {
		s.progress.Print(job.Plural(withoutID, "row is", "rows are") + " rejected for having no " +
			s.table.id + ".")
		s.rejected.Add(withoutID)
	}
	return err
}

// syncRange syncs the rows from the watermark to its Until, page by page, and moves
// the watermark past each page.
func (s *syncer) syncRange(ctx, drain context.Context, mark *watermark) error {
	condition, args := s.store.between(mark.position, mark.Until)
	n, err := s.store.count(ctx, condition, args...)
	if err != nil {
		return err
	}
	s.total.Add(n)
	for {
		rows, err := s.store.page(ctx, mark.position, mark.Until, s.page)
		if err != nil {
			return fmt.Errorf("read a page of %s: %w", s.table.name, err)
		}
		if len(rows) > 0 {
			s.read.Add(int64(len(rows)))
			if err := s.syncPage(ctx, drain, mark, rows); err != nil {
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
func (s *syncer) syncPage(
	ctx, drain context.Context, mark *watermark, rows []row,
) error {
	rows, tooMany := s.limitDeletions(ctx, mark, rows)
	outcomes := s.send(ctx, drain, rows)
	foreignToo := s.isCourierThere(ctx, outcomes)
	var rejected []rejection
	var fixed []string
	var stop error
	for i, err := range outcomes {
		r, verdict := &rows[i], judge(err)
		switch {
		case verdict == done && r.rejected:
			fixed = append(fixed, r.id)
		case verdict == refused, verdict == foreign && foreignToo:
			rejected = append(rejected, rejection{r.id, r.updatedAt, job.ErrorText(err)})
		case verdict != done && (stop == nil || errors.Is(stop, courier.ErrNotSent)):
			// The time is enough to find the row, and no personal data.
			stop = fmt.Errorf("at the row with the %s %s: %w", s.table.updatedAt,
				r.updatedAt.Format(time.RFC3339Nano), err)
		}
		if stop == nil {
			mark.position = r.position()
		}
	}
	s.rejected.Add(int64(len(rejected)))
	if err := s.save(ctx, *mark, rejected, fixed); err != nil {
		return err
	}
	return cmp.Or(stop, tooMany)
}

// limitDeletions returns the rows before the first deletion above -max-deletes, and why
// the others are left out.
func (s *syncer) limitDeletions(
	ctx context.Context, mark *watermark, rows []row,
) ([]row, error) {
	before := mark.position
	for i := range rows {
		r := &rows[i]
		if r.isDeletion() && !s.deletions[r.id] {
			if int64(len(s.deletions)) == s.maxDeletes {
				return rows[:i], s.tooManyDeletions(ctx, before, mark.Until)
			}
			s.deletions[r.id] = true
		}
		before = r.position()
	}
	return rows, nil
}

// tooManyDeletions returns the error of a run that stops at a position. The run that resumes
// there also reads the overlap, and so may delete again what this one deleted.
func (s *syncer) tooManyDeletions(ctx context.Context, at position, until time.Time) error {
	left, err := s.store.countDeletions(ctx, at, until)
	if err != nil {
		return err
	}
	if overlap := until.Add(-s.overlap); overlap.Before(at.UpdatedAt) {
		at = position{UpdatedAt: overlap}
	}
	next, err := s.store.countDeletions(ctx, at, until)
	if err != nil {
		return err
	}
	again := ""
	if next > left {
		again = " (the next one repeats " + job.Number(next-left) + " in its overlap)"
	}
	args := append(slices.Clip(s.args), "-max-deletes", fmt.Sprint(next))
	return fmt.Errorf("%s left to delete, and -max-deletes allows %s in a run%s: check that "+
		"these users are to have no profile, and then run\n\n\t%s",
		job.Plural(left, "profile is", "profiles are"), job.Number(s.maxDeletes), again,
		job.Command("courier-sync", args...))
}

func (s *syncer) save(
	ctx context.Context, mark watermark, rejected []rejection, fixed []string,
) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveTimeout)
	defer cancel()
	if err := s.store.save(ctx, mark, rejected, fixed); err != nil {
		return fmt.Errorf("%w: %w", errSave, err)
	}
	return nil
}
