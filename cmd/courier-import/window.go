package main

import (
	"context"
	"sync"
)

// How far reading may be ahead of the first record whose outcome is not known. This
// limits memory.
const (
	maxAhead      = 16384    // records
	maxAheadBytes = 64 << 20 // of memory
)

// window holds the records that were read and whose outcomes are not known, and the
// ones after them, so that the file of rejects has the order of the input: the
// records of a user must not change places.
type window struct {
	reject func(r record, reason string) error

	mu      sync.Mutex
	room    sync.Cond
	entries []*entry
	bytes   int
	err     error // of reject

	merged, rejected int64
}

// entry is a record in the window.
type entry struct {
	record
	index  int  // of the record in the input
	known  bool // the outcome is
	reason string
}

func newWindow(reject func(r record, reason string) error) *window {
	w := &window{reject: reject}
	w.room.L = &w.mu
	return w
}

// add adds the next record as soon as there is room. It returns false if ctx ended
// before, or if rejects cannot be written.
func (w *window) add(ctx context.Context, e *entry) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	isFull := func() bool {
		return len(w.entries) >= maxAhead || w.bytes+e.size > maxAheadBytes
	}
	for ctx.Err() == nil && len(w.entries) > 0 && isFull() && w.err == nil {
		w.room.Wait()
	}
	if ctx.Err() != nil || w.err != nil {
		return false
	}
	w.entries = append(w.entries, e)
	w.bytes += e.size
	if e.known {
		w.rejected++
		w.drain()
	}
	return w.err == nil
}

// settle records an outcome: merged if reason is empty, or else rejected.
func (w *window) settle(e *entry, reason string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	e.known, e.reason = true, reason
	if reason == "" {
		w.merged++
	} else {
		w.rejected++
	}
	w.drain()
	return w.err
}

// drain removes the entries at the beginning whose outcomes are known.
func (w *window) drain() {
	for len(w.entries) > 0 && w.entries[0].known && w.err == nil {
		e := w.entries[0]
		if e.reason != "" {
			w.err = w.reject(e.record, e.reason)
		}
		w.bytes -= e.size
		w.entries[0] = nil
		w.entries = w.entries[1:]
	}
	w.room.Broadcast()
}

// wake makes add look at its context.
func (w *window) wake() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.room.Broadcast()
}

func (w *window) counts() (merged, rejected int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.merged, w.rejected
}
