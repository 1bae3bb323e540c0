package transport_test

import (
	"sync"
	"sync/atomic"
	"testing"

	"github.com/courier-profiles/courier-go/internal/transport"
)

func TestBudget(t *testing.T) {
	t.Parallel()
	var b transport.Budget
	b.Give() // a full one stays full
	for given, want := range map[int]int{0: 500, 1: 1, 3: 3, 10_000: 500} {
		drain(&b)
		if given == 0 {
			for range 500 {
				b.Give()
			}
		}
		for range given {
			b.Give()
		}
		if n := drain(&b); n != want {
			t.Errorf("after %d were given to it, the budget has %d retries, want %d", given, n, want)
		}
	}
}

func TestBudgetConcurrent(t *testing.T) {
	t.Parallel()
	const workers, each = 32, 200
	var b transport.Budget
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
	// All give before they take, so nobody leaves without one and nothing is lost.
	for range workers {
		wg.Go(func() {
			for range each {
				b.Give()
				if !b.Take() {
					t.Error("the budget is empty after Give")
				}
			}
		})
	}
	wg.Wait()
	if b.Take() {
		t.Error("the budget has one retry more than was given back")
	}
}
