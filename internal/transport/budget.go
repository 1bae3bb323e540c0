package transport

import "sync"

// reserve is how many retries a full budget holds.
const reserve = 500

// Budget keeps retries from multiplying the load of an outage. A retry takes one from
// it, a call that ends in a response that is not retryable gives one back, and there are
// no retries while it is empty. The zero Budget is full.
type Budget struct {
	mu    sync.Mutex
	spent int
}

// Take takes one retry. It returns false if there is none.
func (b *Budget) Take() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.spent >= reserve {
		return false
	}
	b.spent++
	return true
}

// Give gives one retry back. A full budget stays full.
func (b *Budget) Give() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.spent = max(0, b.spent-1)
}
