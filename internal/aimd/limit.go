// Package aimd decides how much may be in flight: additive increase,
// multiplicative decrease, as TCP does it (RFC 5681, section 3.1).
package aimd

import "time"

// Limit is how many calls may be in flight. It falls to half of what is in
// flight when the other side says that it is too much, and rises by one for
// each full round of good answers. It is not for concurrent use.
type Limit struct {
	most int
	now  int
	good int       // answers since the last change
	cut  time.Time // the last fall
}

// New returns a Limit that starts at most and never exceeds it.
func New(most int) Limit { return Limit{most: most, now: most} }

// Now returns the limit, which is never below 1.
func (l *Limit) Now() int { return l.now }

// Good takes note of an answer to an attempt that was not too much.
func (l *Limit) Good() {
	if l.now == l.most {
		return
	}
	if l.good++; l.good >= l.now {
		l.now, l.good = l.now+1, 0
	}
}

// Congested takes note of an answer, to an attempt that began at started, that
// says that it is too much. Attempts that were on their way when the limit fell
// say nothing new, and do not make it fall again.
func (l *Limit) Congested(started, now time.Time, inFlight int) {
	if !started.After(l.cut) {
		return
	}
	l.now, l.good, l.cut = max(1, min(l.now, inFlight)/2), 0, now
}
