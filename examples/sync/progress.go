package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	courier "github.com/courier-profiles/courier-go"
	"github.com/dustin/go-humanize"
	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// How often progress is shown: as a bar on a terminal, as lines elsewhere.
const (
	barEvery  = 200 * time.Millisecond
	lineEvery = 5 * time.Second
)

const barWidth = 10 // characters

// counts are what a run has done so far.
type counts struct {
	total, read                       atomic.Int64 // rows
	merged, deleted, erased, rejected atomic.Int64 // rows
	retries                           atomic.Int64 // requests
}

// observe counts retries, for [courier.WithObserver].
func (c *counts) observe(_ context.Context, attempt courier.Attempt) {
	if attempt.Number > 1 {
		c.retries.Add(1)
	}
}

func (c *counts) settled() int64 {
	return c.merged.Load() + c.deleted.Load() + c.erased.Load() + c.rejected.Load()
}

// summary returns what the run did, one count per line.
func (c *counts) summary(took time.Duration) string {
	var b strings.Builder
	for _, line := range []struct {
		what string
		n    int64
		note string
	}{
		{"rows read", c.read.Load(), ""},
		{"merged", c.merged.Load(), ""},
		{"deleted", c.deleted.Load(), ""},
		{"erased", c.erased.Load(), ""},
		{"rejected", c.rejected.Load(), "see the table courier_sync_rejects"},
		{"retries", c.retries.Load(), ""},
	} {
		if line.n == 0 {
			line.note = ""
		}
		fmt.Fprintln(&b, strings.TrimRight(fmt.Sprintf("%10s  %10s  %s", line.what, thousands(line.n), line.note), " "))
	}
	fmt.Fprintf(&b, "%10s  %10s\n", "time", took.Round(time.Millisecond))
	return b.String()
}

// progress shows the counts of a run in progress.
type progress struct {
	out     io.Writer
	counts  *counts
	started time.Time

	mu  sync.Mutex // of what is printed
	bar *progressbar.ProgressBar

	end, ended chan struct{}
}

func startProgress(out io.Writer, c *counts) *progress {
	p := &progress{out: out, counts: c, started: time.Now(), end: make(chan struct{}), ended: make(chan struct{})}
	every := lineEvery
	if file, ok := out.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		every = barEvery
		p.bar = progressbar.NewOptions64(1,
			progressbar.OptionSetWriter(out),
			progressbar.OptionSetWidth(barWidth),
			progressbar.OptionSetPredictTime(false),
			progressbar.OptionSetElapsedTime(false),
			progressbar.OptionClearOnFinish(),
		)
	}
	go p.run(every)
	return p
}

func (p *progress) run(every time.Duration) {
	defer close(p.ended)
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			p.show()
		case <-p.end:
			return
		}
	}
}

func (p *progress) show() {
	total, settled := p.counts.total.Load(), p.counts.settled()
	text := p.text(total, settled, time.Since(p.started))
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bar == nil {
		fmt.Fprintln(p.out, text)
		return
	}
	// A line that wraps could not be cleared.
	if width, _, err := term.GetSize(int(p.out.(*os.File).Fd())); err == nil {
		text = text[:min(len(text), max(width-barWidth-len("  100% || "), 0))]
	}
	p.bar.Describe(text)
	p.bar.ChangeMax64(total + 1) // a full bar would finish before the last page is saved
	_ = p.bar.Set64(min(settled, total))
}

// text describes the progress, such as "sync: 45%, 451,234 of 1,000,000 rows, 5,210/s, 3 retries, 2 rejected".
func (p *progress) text(total, settled int64, took time.Duration) string {
	return fmt.Sprintf("sync: %d%%, %s of %s rows, %s/s, %s retries, %s rejected",
		100*min(settled, total)/max(total, 1), thousands(settled), thousands(total),
		thousands(int64(float64(settled)/max(took.Seconds(), 0.001))),
		thousands(p.counts.retries.Load()), thousands(p.counts.rejected.Load()))
}

// print prints a line without mixing it with the progress.
func (p *progress) print(line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bar != nil {
		_ = p.bar.Clear()
	}
	fmt.Fprintln(p.out, line)
}

func (p *progress) stop() {
	close(p.end)
	<-p.ended
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bar != nil {
		_ = p.bar.Clear()
	}
}

func thousands(n int64) string { return humanize.Comma(n) }
