package keyed

import (
	"testing"
	"time"
)

func TestLimit(t *testing.T) {
	t.Parallel()
	start := time.Unix(1_000, 0)
	at := func(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }
	succeeded := func(n int) func(*limit) {
		return func(l *limit) {
			for range n {
				l.succeeded()
			}
		}
	}
	congested := func(began, now, inFlight int) func(*limit) {
		return func(l *limit) { l.congested(at(began), at(now), inFlight) }
	}
	for _, test := range []struct {
		name   string
		events []func(*limit)
		want   int
	}{
		{"starts at the maximum", nil, 16},
		{"never exceeds the maximum", []func(*limit){succeeded(1000)}, 16},
		{"halves", []func(*limit){congested(0, 1, 16)}, 8},
		{"halves the number in flight if that is lower", []func(*limit){congested(0, 1, 6)}, 3},
		{"halves the limit if more are in flight", []func(*limit){congested(0, 1, 16), congested(2, 3, 15)}, 4},
		{"halves once for attempts that overlap", []func(*limit){congested(0, 2, 16), congested(1, 2, 16), congested(2, 2, 16)}, 8},
		{"halves again for an attempt that began later", []func(*limit){congested(0, 1, 16), congested(2, 3, 8)}, 4},
		{"never falls below one", []func(*limit){congested(0, 1, 2), congested(2, 3, 1), congested(4, 5, 1)}, 1},
		{"stays before a full round", []func(*limit){congested(0, 1, 16), succeeded(7)}, 8},
		{"rises by one after a full round", []func(*limit){congested(0, 1, 16), succeeded(8)}, 9},
		{"the next round is longer", []func(*limit){congested(0, 1, 16), succeeded(8 + 8)}, 9},
		{"rises by one after the next round", []func(*limit){congested(0, 1, 16), succeeded(8 + 9)}, 10},
		{"a cut starts a new round", []func(*limit){congested(0, 1, 16), succeeded(7), congested(2, 3, 8), succeeded(1)}, 4},
		{"recovers to the maximum", []func(*limit){congested(0, 1, 16), succeeded(8 + 9 + 10 + 11 + 12 + 13 + 14 + 15)}, 16},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			l := newLimit(16)
			for _, event := range test.events {
				event(&l)
			}
			if l.now != test.want {
				t.Errorf("limit %d, want %d", l.now, test.want)
			}
		})
	}
}
