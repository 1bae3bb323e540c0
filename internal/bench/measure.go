package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	mergeFew  = "merge of two fields"
	mergeMany = "merge of twenty fields"
	getMany   = "get of twenty fields with preferences"
	bulk      = "MergeAll"
)

const userID = "0460766e-8463-4905-ae98-b72c7aef41d6"

// scenario is what contenders do in turn.
type scenario struct {
	operation  string
	network    string
	inFlight   int
	contenders []contender
}

func (s scenario) String() string {
	if s.inFlight == 1 {
		return fmt.Sprintf("%s, %s, one at a time", s.operation, s.network)
	}
	return fmt.Sprintf("%s, %s, %d in flight", s.operation, s.network, s.inFlight)
}

// inChart reports whether a scenario is a row of the chart, for which all contenders are
// measured.
func (s scenario) inChart() bool {
	return s.operation == mergeFew && (s.network != inMemory || s.inFlight == 1)
}

func scenarios() []scenario {
	both := contenders()[:2]
	var all []scenario
	for _, operation := range []string{mergeFew, mergeMany} {
		for _, network := range []string{inMemory, http1, http2} {
			for _, inFlight := range []int{1, 64, 256} {
				s := scenario{operation, network, inFlight, both}
				if s.inChart() {
					s.contenders = contenders()
				}
				all = append(all, s)
			}
		}
	}
	return append(all,
		scenario{getMany, inMemory, 1, both},
		scenario{bulk, http1, 64, both})
}

// run calls the API while more returns true, and returns the number of calls.
func (s scenario) run(ctx context.Context, c client, more func() bool) (int, error) {
	switch s.operation {
	case bulk:
		return c.mergeAll(ctx, s.inFlight, more)
	case getMany:
		return repeat(s.inFlight, more, func() error {
			_, err := c.get(ctx, userID)
			return err
		})
	}
	fields := few
	if s.operation == mergeMany {
		fields = many
	}
	return repeat(s.inFlight, more, func() error {
		_, err := c.merge(ctx, userID, fields)
		return err
	})
}

// repeat makes calls in that many goroutines while more returns true.
func repeat(inFlight int, more func() bool, call func() error) (int, error) {
	counts, failures := make([]int, inFlight), make([]error, inFlight)
	var group sync.WaitGroup
	for i := range inFlight {
		group.Go(func() {
			n := 0
			for failures[i] == nil && more() {
				failures[i] = call()
				n++
			}
			counts[i] = n
		})
	}
	group.Wait()
	total := 0
	for _, n := range counts {
		total += n
	}
	return total, errors.Join(failures...)
}

// times returns a function that returns true n times.
func times(n int) func() bool {
	var started atomic.Int64
	return func() bool { return started.Add(1) <= int64(n) }
}

// lasting returns a function that returns true for d.
func lasting(d time.Duration) func() bool {
	var over atomic.Bool
	time.AfterFunc(d, func() { over.Store(true) })
	return func() bool { return !over.Load() }
}

// usage is what this process has used so far.
type usage struct {
	wall          time.Time
	cpu           time.Duration // user and system
	allocs, bytes uint64
}

func currentUsage() (usage, error) {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return usage{}, err
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	cpu := time.Duration(r.Utime.Nano() + r.Stime.Nano())
	return usage{time.Now(), cpu, m.Mallocs, m.TotalAlloc}, nil
}

// sample is what the calls of one contender took in one round.
type sample struct {
	cpu, allocs, bytes float64 // per call, cpu in nanoseconds
	throughput         float64 // calls per second
	connections        float64 // opened in total
}

func measure(
	ctx context.Context, s scenario, c contender, e endpoint, d time.Duration,
) (sample, error) {
	e.opened = new(atomic.Int64)
	opened, err := c.open(e)
	if err != nil {
		return sample{}, err
	}
	defer opened.close()
	// A call without retries may fail while hundreds of connections are opened at once.
	// If it fails later too, the run ends.
	_, _ = s.run(ctx, opened, times(200+2*s.inFlight))
	runtime.GC()
	before, err := currentUsage()
	if err != nil {
		return sample{}, err
	}
	calls, err := s.run(ctx, opened, lasting(d))
	if err != nil {
		return sample{}, err
	}
	after, err := currentUsage()
	if err != nil {
		return sample{}, err
	}
	n := float64(calls)
	return sample{
		cpu:         float64(after.cpu-before.cpu) / n,
		allocs:      float64(after.allocs-before.allocs) / n,
		bytes:       float64(after.bytes-before.bytes) / n,
		throughput:  n / after.wall.Sub(before.wall).Seconds(),
		connections: float64(e.opened.Load()),
	}, nil
}

// measureRounds adds a sample of each round to each row.
func measureRounds(
	ctx context.Context, endpoints map[string]endpoint, o options, rows []row, progress io.Writer,
) error {
	for round := range o.rounds {
		started := time.Now()
		for _, r := range rows {
			// In random order, because each one affects the next.
			for _, i := range rand.Perm(len(r.contenders)) {
				c := r.contenders[i]
				m, err := measure(ctx, r.scenario, c, endpoints[r.network], o.duration)
				if err != nil {
					return fmt.Errorf("%s, %s: %w", c.name, r.scenario, err)
				}
				r.samples[c.name] = append(r.samples[c.name], m)
			}
		}
		fmt.Fprintf(progress, "round %d of %d took %v\n",
			round+1, o.rounds, time.Since(started).Round(time.Second))
	}
	return nil
}
