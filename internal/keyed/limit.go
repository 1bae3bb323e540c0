package keyed

import "time"

// limit is how many tasks may be in flight: additive increase and multiplicative
// decrease, as in TCP's congestion control (RFC 5681, section 3.1). It is not safe
// for concurrent use.
type limit struct {
	max  int
	now  int       // from 1 to max
	good int       // good responses since now last changed
	cut  time.Time // when now was last halved
}

func newLimit(n int) limit { return limit{max: n, now: n} }

// succeeded raises the limit by one after a full round of good responses.
func (l *limit) succeeded() {
	if l.now == l.max {
		return
	}
	if l.good++; l.good >= l.now {
		l.now, l.good = l.now+1, 0
	}
}

// congested halves the number in flight. What began before the last cut says
// nothing about the limit since then, so it does not count.
func (l *limit) congested(began, now time.Time, inFlight int) {
	if !began.After(l.cut) {
		return
	}
	l.now, l.good, l.cut = max(1, min(l.now, inFlight)/2), 0, now
}
