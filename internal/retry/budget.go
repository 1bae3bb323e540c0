package retry

import "sync/atomic"

// reserve is how many retries a client may make that no good answer has paid
// for.
const reserve = 500

// Budget keeps an outage from being multiplied: a retry takes one, a call that
// ends well gives one back, and there is nothing to take when all of the
// reserve is gone. The zero Budget is full.
type Budget struct{ spent atomic.Int64 }

// Take takes one retry; it is false if none is left.
func (b *Budget) Take() bool {
	for {
		spent := b.spent.Load()
		if spent >= reserve {
			return false
		}
		if b.spent.CompareAndSwap(spent, spent+1) {
			return true
		}
	}
}

// Give gives one retry back, up to the reserve.
func (b *Budget) Give() {
	for {
		spent := b.spent.Load()
		if spent == 0 || b.spent.CompareAndSwap(spent, spent-1) {
			return
		}
	}
}
