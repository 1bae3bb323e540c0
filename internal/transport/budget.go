package transport

import "sync"

// reserve is how many retries a full budget holds.
const reserve = 500

// Budget is a retry budget: it keeps retries from multiplying the load of an outage. A
// retry withdraws one, a call that ends in a response that is not retryable deposits
// one, and there are no retries while it is empty. The zero Budget is full.
type Budget struct {
	mu        sync.Mutex
	withdrawn int
}

// Withdraw takes one retry. It returns false if there is none.
func (b *Budget) Withdraw() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.withdrawn >= reserve {
		return false
	}
	b.withdrawn++
	return true
}

// Deposit returns one retry. A full budget stays full.
func (b *Budget) Deposit() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.withdrawn = max(0, b.withdrawn-1)
}
