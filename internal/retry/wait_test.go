package retry_test

import (
	"math"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/courier-profiles/courier-go/internal/retry"
)

const forever = time.Duration(math.MaxInt64)

func TestJitterBounds(t *testing.T) {
	tests := []struct {
		n         int
		low, high time.Duration
		ceiling   time.Duration
	}{
		{1, 500 * time.Millisecond, 8 * time.Second, 1 * time.Second},
		{2, 500 * time.Millisecond, 8 * time.Second, 2 * time.Second},
		{3, 500 * time.Millisecond, 8 * time.Second, 4 * time.Second},
		{4, 500 * time.Millisecond, 8 * time.Second, 8 * time.Second},
		{5, 500 * time.Millisecond, 8 * time.Second, 8 * time.Second},
		{1, 3 * time.Second, 4 * time.Second, 4 * time.Second},
		{1, 4 * time.Second, 8 * time.Second, 8 * time.Second},
		{1 << 20, time.Second, time.Hour, time.Hour},
		{1, 5 * time.Second, 5 * time.Second, 5 * time.Second},
		{3, 0, 0, 0},
		{3, 0, time.Second, 0},
		{62, 1, forever, 1 << 62},
		{63, 1, forever, forever},
		{1 << 20, 1, forever, forever},
		{1, forever, forever, forever},
	}
	const draws = 4000
	for _, tt := range tests {
		quarters := [4]int{}
		for range draws {
			got := retry.Jitter(tt.n, tt.low, tt.high)
			if got < tt.low || got > tt.ceiling {
				t.Fatalf("Jitter(%d, %v, %v) = %v, want %v to %v", tt.n, tt.low, tt.high, got, tt.low, tt.ceiling)
			}
			if width := tt.ceiling - tt.low; width > 0 {
				quarters[min(3, int(4*(float64(got-tt.low)/float64(width))))]++
			}
		}
		// A thousand in each, give or take nine standard deviations.
		if tt.ceiling > tt.low && (slices.Min(quarters[:]) < 750 || slices.Max(quarters[:]) > 1250) {
			t.Errorf("Jitter(%d, %v, %v) is not even: %v in the quarters from %v to %v", tt.n, tt.low, tt.high, quarters, tt.low, tt.ceiling)
		}
	}
}

func TestAfter(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	tests := []struct {
		value string
		want  time.Duration
		ok    bool
	}{
		{"0", 0, true},
		{"7", 7 * time.Second, true},
		{" 7\t", 7 * time.Second, true},
		{"007", 7 * time.Second, true},
		{"1.5", 1500 * time.Millisecond, true},
		{"0.000000001", 1, true},
		{"86400", 24 * time.Hour, true},

		{now.Add(7 * time.Second).Format(http.TimeFormat), 7 * time.Second, true},
		{now.Add(7 * time.Second).Format("Monday, 02-Jan-06 15:04:05 GMT"), 7 * time.Second, true},
		{now.Add(7 * time.Second).Format(time.ANSIC), 7 * time.Second, true},
		{now.Format(http.TimeFormat), 0, true},
		{now.Add(-time.Hour).Format(http.TimeFormat), 0, true},
		{"Fri, 31 Dec 1999 23:59:59 GMT", 0, true},
		{"Fri, 31 Dec 9999 23:59:59 GMT", forever, true},

		// Beyond what a Duration holds.
		{"1000000000", 1000000000 * time.Second, true},
		{"9223372037", forever, true},
		{"18446744074", forever, true}, // 2⁶⁴ ns is 0 in an int64
		{"9223372036854775807", forever, true},
		{"99999999999999999999", forever, true},
		{strings.Repeat("9", 400), forever, true},

		{"", 0, false},
		{" ", 0, false},
		{"soon", 0, false},
		{"-1", 0, false},
		{"-9223372037", 0, false},
		{"+1", 0, false},
		{".", 0, false},
		{"1.2.3", 0, false},
		{"1,5", 0, false},
		{"1e3", 0, false},
		{"0x10", 0, false},
		{"1_000", 0, false},
		{"inf", 0, false},
		{"NaN", 0, false},
		{"5 seconds", 0, false},
		{"2026-03-01T12:00:07Z", 0, false},
	}
	for _, tt := range tests {
		got, ok := retry.After(http.Header{"Retry-After": {tt.value}}, now)
		if got != tt.want || ok != tt.ok {
			t.Errorf("After(%q) = %v, %t, want %v, %t", tt.value, got, ok, tt.want, tt.ok)
		}
	}
	if got, ok := retry.After(http.Header{}, now); ok || got != 0 {
		t.Errorf("After without a header = %v, %t", got, ok)
	}
	if got, ok := retry.After(nil, now); ok || got != 0 {
		t.Errorf("After without any header = %v, %t", got, ok)
	}
}

func TestBudget(t *testing.T) {
	var b retry.Budget
	take := func() (n int) {
		for b.Take() {
			n++
		}
		return n
	}
	b.Give() // A full one does not get fuller.
	if n := take(); n != 500 {
		t.Errorf("a full budget has %d retries, want 500", n)
	}
	for range 3 {
		b.Give()
	}
	if n := take(); n != 3 {
		t.Errorf("after 3 were given back, it has %d retries", n)
	}
	for range 10_000 {
		b.Give()
	}
	if n := take(); n != 500 {
		t.Errorf("after 10,000 were given back, it has %d retries, want 500", n)
	}
}

func TestBudgetConcurrent(t *testing.T) {
	const workers, each = 32, 200
	var b retry.Budget
	var taken atomic.Int64
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for range each {
				if b.Take() {
					taken.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if n := taken.Load(); n != 500 {
		t.Errorf("%d workers took %d retries, want 500", workers, n)
	}

	// Everybody gives before taking: nobody goes empty-handed, and nothing is lost.
	for range workers {
		wg.Go(func() {
			for range each {
				b.Give()
				if !b.Take() {
					t.Error("nothing to take after Give")
				}
			}
		})
	}
	wg.Wait()
	if b.Take() {
		t.Error("one more retry than was given back")
	}
}
