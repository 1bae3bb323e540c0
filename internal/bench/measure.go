package main

import (
	"context"
	"crypto/tls"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"

	courier "github.com/courier-profiles/courier-go"
)

// figure is the title of a table.
type figure string

const (
	cpu         figure = "CPU per call, of the client's process, in µs"
	throughput  figure = "Thousands of calls per second"
	allocs      figure = "Allocations per call"
	connections figure = "Connections opened"
)

// result has the figures of a row, by client and round.
type result struct {
	row
	rounds [2][]map[figure]float64
}

func (r *report) measureRounds(urls map[string]string) {
	for round := range r.rounds {
		log.Printf("round %d of %d", round+1, r.rounds)
		for i := range r.results {
			result := &r.results[i]
			// In random order, because each one affects the next.
			for _, which := range rand.Perm(len(names)) {
				figures := measure(which, result.row, urls[result.network], r.duration)
				result.rounds[which] = append(result.rounds[which], figures)
			}
		}
	}
}

func measure(which int, r row, url string, duration time.Duration) map[figure]float64 {
	pool, opened := newPool(which)
	defer pool.CloseIdleConnections()
	c := newClient(which, url, pool)
	if r.network == inMemory {
		c = newClient(which, url, memory{})
	}
	runFor := func(d time.Duration) (calls float64) {
		var started atomic.Int64
		end := time.Now().Add(d)
		r.run(c, r.inFlight, func() bool {
			if started.Load() > 0 && time.Now().After(end) {
				return false // but one call at least, or the figures would be divided by 0
			}
			started.Add(1)
			return true
		})
		return float64(started.Load())
	}
	runFor(duration / 2) // opens the connections
	runtime.GC()
	mallocsBefore, cpuBefore, start := memStats().Mallocs, cpuTime(), time.Now()
	calls := runFor(duration)
	return map[figure]float64{
		throughput:  calls / time.Since(start).Seconds() / 1e3,
		cpu:         float64((cpuTime() - cpuBefore).Microseconds()) / calls,
		allocs:      float64(memStats().Mallocs-mallocsBefore) / calls,
		connections: float64(opened.Load()),
	}
}

// newPool returns a pool, and the number of connections that it opens.
func newPool(which int) (*http.Transport, *atomic.Int64) {
	pool, opened := courier.NewTransport(), new(atomic.Int64)
	if which == byHand {
		pool = http.DefaultTransport.(*http.Transport).Clone()
		pool.MaxIdleConns = 0           // no limit
		pool.MaxIdleConnsPerHost = 1024 // as this package's
	}
	pool.TLSClientConfig = &tls.Config{InsecureSkipVerify: true} // httptest's own
	dial := pool.DialContext
	pool.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		opened.Add(1)
		return dial(ctx, network, address)
	}
	return pool, opened
}

// cpuTime returns what this process has used so far, user and system.
func cpuTime() time.Duration {
	var usage syscall.Rusage
	check("getrusage", syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func memStats() (m runtime.MemStats) {
	runtime.ReadMemStats(&m)
	return m
}

// heapPeak returns the most heap in use, in MB, while updates are merged.
func heapPeak(which int, url string, updates int) float64 {
	log.Printf("heap of %d updates, %s", updates, names[which])
	pool, _ := newPool(which)
	defer pool.CloseIdleConnections()
	runtime.GC()
	pulled, peak := 0, uint64(0)
	newClient(which, url, pool).mergeAll(64, func() bool {
		if pulled%100 == 0 {
			peak = max(peak, memStats().HeapInuse)
		}
		pulled++
		return pulled <= updates
	})
	return float64(peak) / 1e6
}

// binarySize returns the size, in MB, of the program below minimal.
func binarySize(which int) float64 {
	dir, err := os.MkdirTemp("", "courier-bench-")
	check("build", err)
	defer os.RemoveAll(dir)
	binary := filepath.Join(dir, "program")
	source := "./minimal/" + [2]string{"byhand", "courier"}[which]
	build := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", binary, source)
	build.Stderr = os.Stderr
	check("build "+source, build.Run())
	info, err := os.Stat(binary)
	check("build "+source, err)
	return float64(info.Size()) / 1e6
}
