package main

import (
	"context"
	"fmt"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const inMemory = "in memory"

// scenario is what all contenders do in turn.
type scenario struct {
	network  string // inMemory, http1 or http2
	inFlight int
	fields   int
}

func (s scenario) String() string {
	if s.inFlight == 1 {
		return s.network + ", one at a time"
	}
	return fmt.Sprintf("%s, %d in flight", s.network, s.inFlight)
}

func scenarios() []scenario {
	var all []scenario
	for _, fields := range []int{few, many} {
		for _, network := range []string{inMemory, http1, http2} {
			for _, inFlight := range []int{1, 64, 256} {
				all = append(all, scenario{network, inFlight, fields})
			}
		}
	}
	return all
}

// calls is how many calls are measured in a row: about a tenth of a second's worth.
func (s scenario) calls(short bool) int {
	switch {
	case short:
		return s.inFlight
	case s.network == inMemory:
		return 10_000
	case s.inFlight == 1:
		return 2000
	}
	return 4000
}

// sample is what a series of calls took.
type sample struct {
	wall, cpu     float64 // nanoseconds per call; cpu is that of this process alone
	allocs, bytes float64 // per call
	connections   float64 // in total, including those before the measurement
	failed        float64 // calls before the measurement, while connections were opened
}

// measure runs a contender through a scenario once.
func measure(ctx context.Context, c contender, s scenario, srv *server, short bool) (sample, error) {
	if s.network == inMemory {
		cl, err := c.open("http://127.0.0.1", memory{})
		if err != nil {
			return sample{}, err
		}
		return drive(ctx, cl, s, s.calls(short))
	}
	at, err := srv.listen(s.network)
	if err != nil {
		return sample{}, err
	}
	cl, err := c.open(at.URL, nil)
	if err != nil {
		return sample{}, err
	}
	m, err := drive(ctx, cl, s, s.calls(short))
	if err != nil {
		return sample{}, err
	}
	cl.close()
	all, err := srv.close()
	m.connections = float64(all.Connections)
	return m, err
}

// drive measures n calls of a client, after warm-up calls that open its
// connections. Warm-up calls without a retry may fail, because a server that is
// asked for hundreds of TLS connections at once closes some of them. Measured calls
// may not fail.
func drive(ctx context.Context, cl *client, s scenario, n int) (sample, error) {
	call := func(int) error { return cl.merge(ctx, "0460766e-8463-4905-ae98-b72c7aef41d6", s.fields) }
	var failed atomic.Int64
	_ = inFlight(s.inFlight, 2*s.inFlight, func(i int) error {
		if call(i) != nil {
			failed.Add(1)
		}
		return nil
	})
	runtime.GC()
	before, err := usageNow()
	if err != nil {
		return sample{}, err
	}
	if err := inFlight(s.inFlight, n, call); err != nil {
		return sample{}, err
	}
	after, err := usageNow()
	if err != nil {
		return sample{}, err
	}
	per := func(before, after int64) float64 { return float64(after-before) / float64(n) }
	return sample{
		wall:   per(before.wall, after.wall),
		cpu:    per(before.cpu, after.cpu),
		allocs: per(before.allocs, after.allocs),
		bytes:  per(before.bytes, after.bytes),
		failed: float64(failed.Load()),
	}, nil
}

// inFlight makes n calls on that many workers, and returns the first error.
func inFlight(workers, n int, call func(i int) error) error {
	var (
		next  atomic.Int64
		group sync.WaitGroup
		first error
		once  sync.Once
	)
	work := func() {
		for i := int(next.Add(1)); i <= n; i = int(next.Add(1)) {
			if err := call(i); err != nil {
				once.Do(func() { first = err })
				next.Store(int64(n))
				return
			}
		}
	}
	if workers == 1 {
		work()
		return first
	}
	for range workers {
		group.Go(work)
	}
	group.Wait()
	return first
}

// usage is what this process has used so far.
type usage struct{ wall, cpu, allocs, bytes int64 }

func usageNow() (usage, error) {
	cpu, err := cpuTime()
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	return usage{
		wall:   time.Now().UnixNano(),
		cpu:    cpu,
		allocs: int64(memory.Mallocs),
		bytes:  int64(memory.TotalAlloc),
	}, err
}

// cpuTime returns the CPU time of this process, user and system, in nanoseconds.
func cpuTime() (int64, error) {
	var r syscall.Rusage
	err := syscall.Getrusage(syscall.RUSAGE_SELF, &r)
	return r.Utime.Nano() + r.Stime.Nano(), err
}

// distinctUser returns the id of user i.
func distinctUser(i int) string { return "user-" + strconv.Itoa(i) }
