package main

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"runtime/metrics"
	"sync/atomic"
	"time"
)

// heapPeak is the most heap in use during a bulk run.
type heapPeak struct {
	name    string
	updates int
	bytes   uint64
}

// heapPeaks measures MergeAll and the hand-written pool, once each.
func heapPeaks(
	ctx context.Context, endpoints map[string]endpoint, updates int, progress io.Writer,
) ([]heapPeak, error) {
	s := scenario{bulk, http1, 64, contenders()[:2]}
	var peaks []heapPeak
	for _, c := range s.contenders {
		fmt.Fprintf(progress, "heap of %d updates, %s\n", updates, c.name)
		e := endpoints[s.network]
		e.opened = new(atomic.Int64)
		opened, err := c.open(e)
		if err != nil {
			return nil, err
		}
		runtime.GC()
		stop := make(chan struct{})
		peak := make(chan uint64)
		go func() { peak <- watchHeap(stop) }()
		_, err = s.run(ctx, opened, times(updates))
		close(stop)
		peaks = append(peaks, heapPeak{c.name, updates, <-peak})
		opened.close()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.name, err)
		}
	}
	return peaks, nil
}

// watchHeap returns the most heap in use until stop is closed.
func watchHeap(stop <-chan struct{}) (peak uint64) {
	inUse := []metrics.Sample{
		{Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/memory/classes/heap/unused:bytes"},
	}
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		metrics.Read(inUse)
		peak = max(peak, inUse[0].Value.Uint64()+inUse[1].Value.Uint64())
		select {
		case <-tick.C:
		case <-stop:
			return peak
		}
	}
}
