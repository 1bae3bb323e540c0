package aimd

import (
	"testing"
	"time"
)

func TestLimit(t *testing.T) {
	start := time.Unix(1_000, 0)
	at := func(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }
	good := func(n int) func(*Limit) {
		return func(l *Limit) {
			for range n {
				l.Good()
			}
		}
	}
	congested := func(started, now, inFlight int) func(*Limit) {
		return func(l *Limit) { l.Congested(at(started), at(now), inFlight) }
	}
	for _, test := range []struct {
		name   string
		events []func(*Limit)
		want   int
	}{
		{"starts at the most", nil, 16},
		{"never rises above the most", []func(*Limit){good(1000)}, 16},
		{"halves", []func(*Limit){congested(0, 1, 16)}, 8},
		{"halves what is in flight, if that is less", []func(*Limit){congested(0, 1, 6)}, 3},
		{"halves once for what was on its way together", []func(*Limit){congested(0, 2, 16), congested(1, 2, 16), congested(2, 2, 16)}, 8},
		{"halves again for what began later", []func(*Limit){congested(0, 1, 16), congested(2, 3, 8)}, 4},
		{"never falls below one", []func(*Limit){congested(0, 1, 2), congested(2, 3, 1), congested(4, 5, 1)}, 1},
		{"not yet a round of good answers", []func(*Limit){congested(0, 1, 16), good(7)}, 8},
		{"rises by one a round", []func(*Limit){congested(0, 1, 16), good(8)}, 9},
		{"and by one in the next", []func(*Limit){congested(0, 1, 16), good(8 + 9)}, 10},
		{"a fall begins a new round", []func(*Limit){congested(0, 1, 16), good(7), congested(2, 3, 8), good(1)}, 4},
		{"recovers to the most", []func(*Limit){congested(0, 1, 16), good(8 + 9 + 10 + 11 + 12 + 13 + 14 + 15)}, 16},
	} {
		t.Run(test.name, func(t *testing.T) {
			limit := New(16)
			for _, event := range test.events {
				event(&limit)
			}
			if got := limit.Now(); got != test.want {
				t.Errorf("limit %d, want %d", got, test.want)
			}
		})
	}
}
