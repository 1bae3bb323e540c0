package transport

import "sync/atomic"

// reserve is how many retries a full budget holds.
const reserve = 500

// Budget keeps retries from multiplying the load of an outage. A retry takes one from
// it, a call that ends in a response that is not retryable gives one back, and there are
// no retries while it is empty. The zero Budget is full.
type Budget struct{ spent atomic.Int64 }

// Take takes one retry. It returns false if there is none.
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

// Give gives one retry back. A full budget stays full.
func (b *Budget) Give() {
	for {
		spent := b.spent.Load()
		if spent == 0 || b.spent.CompareAndSwap(spent, spent-1) {
			return
		}
	}
}
