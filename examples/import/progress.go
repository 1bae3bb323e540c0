package main

import (
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
)

// How often progress is shown: as a bar on a terminal, as lines elsewhere.
const (
	barEvery  = 200 * time.Millisecond
	lineEvery = 5 * time.Second
)

const barWidth = 10 // in characters

// progress shows the progress of an import, on its own goroutine.
type progress struct {
	out    *os.File
	in     *input
	ledger *ledger
	gate   *gate

	started time.Time
	before  int64 // bytes read before that

	mu  sync.Mutex // guards out
	bar *progressbar.ProgressBar

	end   chan struct{}
	ended chan struct{}
}

func startProgress(out *os.File, in *input, l *ledger, g *gate) *progress {
	p := &progress{out: out, in: in, ledger: l, gate: g, started: time.Now(), before: in.read.Load(),
		end: make(chan struct{}), ended: make(chan struct{})}
	every := lineEvery
	if term.IsTerminal(int(out.Fd())) {
		every = barEvery
		total := in.size
		if total == 0 {
			total = -1 // unknown
		}
		p.bar = progressbar.NewOptions64(total,
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
	read := p.in.read.Load()
	text := p.text(p.ledger.progress(), read, time.Since(p.started))
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bar == nil {
		percent := ""
		if p.in.size > 0 {
			percent = fmt.Sprintf("%d%%, ", 100*read/p.in.size)
		}
		fmt.Fprintf(p.out, "%s: %s%s\n", p.in.name, percent, text)
		return
	}
	// A line that wraps cannot be cleared.
	if width, _, err := term.GetSize(int(p.out.Fd())); err == nil {
		text = text[:min(len(text), max(width-barWidth-len("  100% || "), 0))]
	}
	p.bar.Describe(text)
	// Not to the end: that would finish the bar while requests are in flight.
	_ = p.bar.Set64(min(read, max(p.in.size-1, 0)))
}

// text returns a line such as
//
//	451,234 rows, 5,210/s, 1m46s left, 3 retries, 2 rejected
func (p *progress) text(now counts, read int64, took time.Duration) string {
	text := fmt.Sprintf("%s rows, %s/s", thousands(now.done), thousands(int(float64(now.done)/max(took.Seconds(), 0.001))))
	if p.in.size > 0 && read > p.before {
		left := float64(took) * float64(p.in.size-read) / float64(read-p.before)
		text += fmt.Sprintf(", %v left", time.Duration(left).Round(time.Second))
	}
	return text + fmt.Sprintf(", %s retries, %s rejected", thousands(p.gate.retried()), thousands(now.rejected))
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
	if p.bar != nil {
		_ = p.bar.Clear()
	}
}

func thousands(n int) string {
	return message.NewPrinter(language.English).Sprintf("%d", n)
}
