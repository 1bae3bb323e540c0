package courier

import "time"

// window is how many updates may be in flight: additive increase, multiplicative decrease,
// as in TCP's congestion control (RFC 5681, section 3.1). It is not safe for concurrent
// use.
type window struct {
	max      int
	size     int       // from 1 to max
	good     int       // good responses since size last changed
	halvedAt time.Time // the last time
}

func newWindow(n int) window { return window{max: n, size: n} }

// succeeded raises the size by one after a full round of good responses.
func (w *window) succeeded() {
	if w.size == w.max {
		return
	}
	w.good++
	if w.good >= w.size {
		w.size++
		w.good = 0
	}
}

// congested halves the number in flight. An attempt that was started before that was last
// done says nothing about the size since then, so it does not count.
func (w *window) congested(started, now time.Time, inFlight int) {
	if !started.After(w.halvedAt) {
		return
	}
	w.size = max(1, min(w.size, inFlight)/2)
	w.good = 0
	w.halvedAt = now
}
