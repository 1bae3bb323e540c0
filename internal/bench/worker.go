package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"runtime/metrics"
	"strconv"
	"strings"
	"sync"
	"time"

	courier "github.com/courier-profiles/courier-go"
)

// Peak memory is measured per process, so each long run has its own.

// job is a long run over loopback HTTP/1.1: merges of two fields, each of a
// different user.
type job struct {
	Contender string // or mergeAllName or handPoolName
	URL       string
	Merges    int
	InFlight  int
}

const (
	mergeAllName = "MergeAll"
	handPoolName = "hand-written pool"
)

// jobDone is what a job took.
type jobDone struct {
	Wall, CPU time.Duration
	PeakHeap  int64 // bytes of heap in use
	PeakRSS   int64 // bytes resident; 0 if unknown
}

// work is the process of one job.
func work(ctx context.Context, in io.Reader, out io.Writer) error {
	var j job
	if err := json.NewDecoder(in).Decode(&j); err != nil {
		return err
	}
	before, err := cpuTime()
	if err != nil {
		return err
	}
	var done jobDone
	stop := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() { done.PeakHeap = peakHeap(stop) })
	started := time.Now()
	err = j.run(ctx)
	done.Wall = time.Since(started)
	after, cpuErr := cpuTime()
	done.CPU = time.Duration(after - before)
	close(stop)
	watching.Wait()
	if err := errors.Join(err, cpuErr); err != nil {
		return err
	}
	done.PeakRSS = peakRSS()
	return json.NewEncoder(out).Encode(done)
}

func (j job) run(ctx context.Context) error {
	switch j.Contender {
	case mergeAllName:
		return j.mergeAll(ctx)
	case handPoolName:
		return j.handPool(ctx)
	}
	for _, c := range contenders() {
		if c.name != j.Contender {
			continue
		}
		cl, err := c.open(j.URL, nil)
		if err != nil {
			return err
		}
		defer cl.close()
		return inFlight(j.InFlight, j.Merges, func(i int) error { return cl.merge(ctx, distinctUser(i), few) })
	}
	return fmt.Errorf("no such contender: %q", j.Contender)
}

func (j job) mergeAll(ctx context.Context) error {
	c, err := courier.NewClient(apiKey, courier.WithBaseURL(j.URL))
	if err != nil {
		return err
	}
	defer c.CloseIdleConnections()
	merged := 0
	for outcome := range c.Profiles.MergeAll(ctx, j.updates(), courier.WithConcurrency(j.InFlight)) {
		if outcome.Err != nil {
			return outcome.Err
		}
		merged++
	}
	return j.check(merged)
}

func (j job) updates() iter.Seq2[string, courier.Profile] {
	return func(yield func(string, courier.Profile) bool) {
		for i := range j.Merges {
			if !yield(distinctUser(i), courierProfile(few)) {
				return
			}
		}
	}
}

// handPool is what people write: a channel of users, goroutines that share the
// tuned client, and a channel of outcomes. It keeps no order.
func (j job) handPool(ctx context.Context) error {
	cl, err := openTuned(deadline)(j.URL, nil)
	if err != nil {
		return err
	}
	defer cl.close()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	users, outcomes := make(chan string), make(chan error)
	var pool sync.WaitGroup
	for range j.InFlight {
		pool.Go(func() {
			for user := range users {
				outcomes <- cl.merge(ctx, user, few)
			}
		})
	}
	go func() {
		defer close(outcomes)
		defer pool.Wait()
		defer close(users)
		for i := range j.Merges {
			select {
			case users <- distinctUser(i):
			case <-ctx.Done():
				return
			}
		}
	}()
	var first error
	merged := 0
	for err := range outcomes {
		if err != nil && first == nil {
			first = err
			stop()
		}
		merged++
	}
	if first != nil {
		return first
	}
	return j.check(merged)
}

func (j job) check(merged int) error {
	if merged != j.Merges {
		return fmt.Errorf("%d outcomes of %d merges", merged, j.Merges)
	}
	return nil
}

// start runs the job in its own process, with its own server.
func (j job) start(srv *server) (done jobDone, all served, err error) {
	at, err := srv.listen(http1)
	if err != nil {
		return done, all, err
	}
	j.URL = at.URL
	order, err := json.Marshal(j)
	if err != nil {
		return done, all, err
	}
	process, err := self(workerRole)
	if err != nil {
		return done, all, err
	}
	process.Stdin = strings.NewReader(string(order))
	process.Stderr = os.Stderr
	out, err := process.Output()
	if err != nil {
		return done, all, fmt.Errorf("%s: %w", j.Contender, err)
	}
	if err := json.Unmarshal(out, &done); err != nil {
		return done, all, err
	}
	all, err = srv.close()
	if err == nil && all.Requests != j.Merges {
		err = fmt.Errorf("%s: the server received %d of %d merges", j.Contender, all.Requests, j.Merges)
	}
	return done, all, err
}

// peakHeap samples the heap until stop is closed.
func peakHeap(stop <-chan struct{}) int64 {
	samples := []metrics.Sample{
		{Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/memory/classes/heap/unused:bytes"},
	}
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	var peak uint64
	for {
		metrics.Read(samples)
		peak = max(peak, samples[0].Value.Uint64()+samples[1].Value.Uint64())
		select {
		case <-tick.C:
		case <-stop:
			return int64(peak)
		}
	}
}

// peakRSS returns the peak resident memory of this process on Linux, or else 0.
// Getrusage would include the peak of the parent process.
func peakRSS() int64 {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kB, _ := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")), 10, 64)
			return kB << 10
		}
	}
	return 0
}
