package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"time"
)

// How far reading may be ahead of the first row that is not settled. This limits
// memory and the size of a checkpoint, and how long one slow user can hold up the
// others.
const (
	maxAhead      = 16384    // rows
	maxAheadBytes = 64 << 20 // of memory
)

const (
	saveEvery  = time.Second
	claimAhead = 256 // rows, at least
	// maxTroubles is how many rows in a row may fail for reasons other than the row
	// before the import stops because of an outage.
	maxTroubles = 50
)

// ledger holds the rows that were read and not yet written off, in input order. A
// row is written off when it and all rows before it are settled: it is counted
// and, if it was rejected, written to the file of rejects. So that file is in
// input order, however often an import was killed.
//
// In a checkpoint, the settled rows of a user always come before the unsettled
// ones: MergeAll sends a row only after the outcome of the user's previous row. If
// that outcome leaves its row unsettled, it is either a trouble, which is settled
// before any later row that gets a response, or nothing more is sent. So when a row
// is resent, all later rows of its user follow, and the profile ends up as if each
// row had been sent once.
type ledger struct {
	file    *checkpointFile // nil if nothing is kept
	rejects *rejects        // nil in the same case
	reject  func(o original, reason string) error
	stop    func(error) // ends the run

	mu    sync.Mutex
	room  sync.Cond
	state checkpoint
	sum   [sha256.Size]byte // of the rows written off

	rows    []*entry // read and not written off
	bytes   int      // of memory for these
	read    int      // rows, including those written off
	sent    int      // rows given to MergeAll
	pending map[int]*entry
	claimed int // rows below may have been sent by an earlier run

	troubles []*entry // failed for reasons other than the row
	reached  bool     // Courier merged or refused a row
	unsure   int      // rows below may have been sent, after a clean stop

	saved   time.Time
	savedAt int // of read
	failed  bool

	done, rejected int // for the progress
}

// entry is a row in the ledger.
type entry struct {
	original
	number  int // from 0
	sum     [sha256.Size]byte
	settled bool
	merged  bool
	known   bool   // by sending it, so that a checkpoint has to hold its outcome
	reason  string // if it is rejected
}

func newLedger(state checkpoint, sum [sha256.Size]byte) *ledger {
	l := &ledger{state: state, sum: sum, read: state.Rows, claimed: state.Claimed, pending: map[int]*entry{}}
	l.state.Claimed = 0 // so that add saves before the first row
	l.savedAt = l.read
	l.room.L = &l.mu
	return l
}

// add adds the next row as soon as there is room. It returns false if ctx ended
// before. A row that is not settled has to be given to MergeAll next.
func (l *ledger) add(ctx context.Context, e *entry) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for ctx.Err() == nil && len(l.rows) > 0 && (len(l.rows) >= maxAhead || l.bytes+e.size > maxAheadBytes) {
		if len(l.pending) == 0 {
			l.resolve() // because no outcome will
			continue
		}
		l.room.Wait()
	}
	if ctx.Err() != nil {
		return false
	}
	if l.read >= l.state.Claimed {
		l.save() // before more rows than claimed are sent
	}
	e.number = l.read
	l.read++
	l.rows = append(l.rows, e)
	l.bytes += e.size
	if e.settled {
		l.count(e)
		l.writeOff()
		return !l.failed
	}
	if e.number < l.claimed {
		l.state.Resent++
	}
	l.pending[l.sent] = e
	l.sent++
	return !l.failed
}

// outcome records the outcome that MergeAll has under that index.
func (l *ledger) outcome(index int, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.pending[index]
	delete(l.pending, index)
	switch kind := classify(err); kind {
	case merged, refused:
		l.reached = true
		l.resolve()
		e.merged, e.known = kind == merged, true
		l.settle(e, reasonOf(err))
	case invalid:
		l.settle(e, reasonOf(err))
	case trouble:
		l.unsure = max(l.unsure, e.number+1)
		if l.troubles = append(l.troubles, e); len(l.troubles) == maxTroubles {
			l.stop(outage(err))
		}
		e.reason = reasonOf(err)
	case denied:
		l.stop(err)
	case ended:
		if attempts(err) > 0 {
			l.unsure = max(l.unsure, e.number+1)
		}
	}
	l.room.Broadcast()
	if time.Since(l.saved) >= saveEvery {
		l.save()
		l.saved = time.Now()
	}
}

// resolve rejects the rows in trouble if Courier could be reached for others.
func (l *ledger) resolve() {
	if len(l.troubles) == 0 {
		return
	}
	if !l.reached {
		l.stop(errors.New("Courier cannot be reached: " + l.troubles[0].reason))
		return
	}
	for _, e := range l.troubles {
		e.known = true
		l.settle(e, e.reason)
	}
	l.troubles = nil
}

func (l *ledger) settle(e *entry, reason string) {
	e.settled, e.reason = true, reason
	l.count(e)
	l.writeOff()
}

func (l *ledger) count(e *entry) {
	l.done++
	if !e.merged {
		l.rejected++
	}
}

// writeOff writes off the settled rows at the beginning.
func (l *ledger) writeOff() {
	for len(l.rows) > 0 && l.rows[0].settled && !l.failed {
		e := l.rows[0]
		if e.merged {
			l.state.Merged++
		} else {
			if l.rejects != nil && l.rejects.file == nil {
				l.beginRejects()
			}
			if l.failed {
				return
			}
			if err := l.reject(e.original, e.reason); err != nil {
				l.fail(err)
				return
			}
			l.state.Rejected++
		}
		l.state.Rows++
		l.sum = e.sum
		l.bytes -= e.size
		l.rows[0] = nil
		l.rows = l.rows[1:]
		l.room.Broadcast()
	}
}

func (l *ledger) beginRejects() {
	if err := l.rejects.create(); err != nil {
		l.fail(err)
		return
	}
	l.state.RejectsBegun = true
	l.save()
}

// fail ends the run, because progress can no longer be saved. The last checkpoint
// stays valid.
func (l *ledger) fail(err error) {
	l.failed = true
	l.stop(fmt.Errorf("progress cannot be saved: %w", err))
}

// save writes the checkpoint.
func (l *ledger) save() {
	l.state.Claimed = l.read + max(claimAhead, 2*(l.read-l.savedAt))
	l.savedAt = l.read
	l.write(max(0, min(l.claimed, l.state.Claimed)-l.read))
}

// write writes the checkpoint. It counts that many more rows as resent, because
// they may be sent before the next checkpoint.
func (l *ledger) write(resent int) {
	if l.file == nil || l.failed {
		return
	}
	if err := l.rejects.sync(); err != nil {
		l.fail(err)
		return
	}
	c := l.state
	c.Claimed = max(c.Claimed, l.claimed)
	c.Resent += resent
	c.RejectsSize, c.RejectsSum = l.rejects.size, l.rejects.sum()
	c.Through, c.Settled = c.Rows, nil
	sum := l.sum
	for _, e := range l.rows {
		if e.settled && e.known {
			c.Settled = append(c.Settled, settledRow{Row: e.number, Merged: e.merged, Reason: e.reason})
			c.Through, sum = e.number+1, e.sum
		}
	}
	c.Sum = hex.EncodeToString(sum[:])
	// What an earlier run settled stays settled, even before it is read again.
	for _, row := range l.state.Settled {
		if row.Row >= l.read {
			c.Settled = append(c.Settled, row)
			c.Through, c.Sum = l.state.Through, l.state.Sum
		}
	}
	if err := l.file.save(c); err != nil {
		l.fail(err)
	}
}

// close settles what can be settled and saves the rest for the next run. It
// reports whether all rows are settled.
func (l *ledger) close(ctx context.Context) (finished bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if ctx.Err() == nil {
		l.resolve()
	}
	finished = ctx.Err() == nil && !l.failed
	if l.file == nil {
		return finished
	}
	var err error
	if finished {
		if err = l.rejects.close(); err == nil {
			err = l.file.remove()
		}
	} else {
		l.state.Claimed = l.unsure
		if l.write(0); l.read == 0 && l.claimed == 0 && l.state.Settled == nil {
			err = l.file.remove()
		}
		err = errors.Join(err, l.rejects.close())
	}
	if err != nil {
		l.fail(err)
	}
	return finished && err == nil
}

// wake makes add check whether the run has ended.
func (l *ledger) wake() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.room.Broadcast()
}

// counts is the progress for display.
type counts struct{ done, rejected int }

func (l *ledger) progress() counts {
	l.mu.Lock()
	defer l.mu.Unlock()
	return counts{l.done, l.rejected}
}
