package courier

import (
	"testing"
	"time"
)

// TestWindowHalves: the number in flight halves, and is never below 1.
func TestWindowHalves(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		max, inFlight, want int
	}{
		{max: 16, inFlight: 16, want: 8},
		{max: 16, inFlight: 5, want: 2}, // half of what is in flight, where that is less
		{max: 3, inFlight: 7, want: 1},  // some still wait for a retry
		{max: 1, inFlight: 1, want: 1},
		{max: 16, inFlight: 0, want: 1},
	} {
		w := newWindow(test.max)
		now := time.Now()
		w.congested(now, now.Add(time.Second), test.inFlight)
		if w.size != test.want {
			t.Errorf("with %d of %d in flight: got %d, want %d",
				test.inFlight, test.max, w.size, test.want)
		}
	}
}

// TestWindowHalvesOnce: attempts that were in flight when it halved do not halve it again.
func TestWindowHalvesOnce(t *testing.T) {
	t.Parallel()
	start := time.Now()
	at := func(second int) time.Time { return start.Add(time.Duration(second) * time.Second) }
	w := newWindow(16)
	for _, attempt := range []struct {
		started, ended, want int
	}{
		{started: 0, ended: 5, want: 8},
		{started: 0, ended: 6, want: 8},
		{started: 5, ended: 7, want: 8},
		{started: 6, ended: 8, want: 4},
		{started: 7, ended: 9, want: 4},
		{started: 9, ended: 10, want: 2},
	} {
		w.congested(at(attempt.started), at(attempt.ended), 16)
		if w.size != attempt.want {
			t.Errorf("after an attempt from second %d to %d: got %d, want %d",
				attempt.started, attempt.ended, w.size, attempt.want)
		}
	}
}

// TestWindowGrows: a full round of good responses adds one, up to the maximum.
func TestWindowGrows(t *testing.T) {
	t.Parallel()
	start := time.Now()
	w := newWindow(5)
	w.congested(start, start.Add(time.Second), 5)
	for _, want := range []int{2, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 5, 5, 5} {
		w.succeeded()
		if w.size != want {
			t.Fatalf("got %d, want %d", w.size, want)
		}
	}
}

// TestWindowRoundBeginsAnew: responses from before it halved are no part of a round.
func TestWindowRoundBeginsAnew(t *testing.T) {
	t.Parallel()
	start := time.Now()
	w := newWindow(8)
	w.congested(start, start.Add(time.Second), 8)
	for range 3 { // one less than a round
		w.succeeded()
	}
	w.congested(start.Add(2*time.Second), start.Add(3*time.Second), 4)
	w.succeeded()
	if w.size != 2 {
		t.Errorf("after half a round: got %d, want 2", w.size)
	}
	w.succeeded()
	if w.size != 3 {
		t.Errorf("after a round: got %d, want 3", w.size)
	}
}
