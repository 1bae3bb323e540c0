package job

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// How often progress is shown: as a bar on a terminal, as lines elsewhere.
const (
	barEvery  = 200 * time.Millisecond
	lineEvery = 5 * time.Second
)

const barWidth = 10 // in characters

// Status is how far a run is.
type Status struct {
	Done, Total int64  // in any unit, such as bytes; Total is 0 if it is not known
	Text        string // such as "451,234 rows, 5,210/s, 2 rejected"
}

// Progress shows the status of a run while it lasts: a bar on a terminal, a line
// every few seconds elsewhere.
type Progress struct {
	out    io.Writer
	status func() Status

	mu  sync.Mutex // guards what is printed
	bar *progressbar.ProgressBar

	end, ended chan struct{}
}

// StartProgress shows on out what status returns. It calls status on a goroutine of
// its own, which ends with Stop.
func StartProgress(out io.Writer, status func() Status) *Progress {
	p := &Progress{
		out: out, status: status,
		end: make(chan struct{}), ended: make(chan struct{}),
	}
	every := lineEvery
	if IsTerminal(out) {
		every = barEvery
		p.bar = progressbar.NewOptions64(-1,
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

func (p *Progress) run(every time.Duration) {
	defer close(p.ended)
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			p.show(p.status())
		case <-p.end:
			return
		}
	}
}

func (p *Progress) show(s Status) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bar == nil {
		if s.Total > 0 {
			s.Text = fmt.Sprintf("%d%%, %s", 100*min(s.Done, s.Total)/s.Total, s.Text)
		}
		fmt.Fprintln(p.out, s.Text)
		return
	}
	// A line that wraps cannot be cleared.
	room := Width(p.out) - barWidth - len("  100% || ")
	p.bar.Describe(s.Text[:min(len(s.Text), max(room, 0))])
	if s.Total > 0 {
		p.bar.ChangeMax64(s.Total + 1) // a full bar would end while requests are in flight
	}
	_ = p.bar.Set64(min(s.Done, max(s.Total, 0)))
}

// Print prints a line without mixing it with the progress.
func (p *Progress) Print(line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
	fmt.Fprintln(p.out, line)
}

// Stop removes the bar and shows nothing more.
func (p *Progress) Stop() {
	close(p.end)
	<-p.ended
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
}

func (p *Progress) clear() {
	if p.bar != nil {
		_ = p.bar.Clear()
	}
}

// IsTerminal reports whether out, such as os.Stderr, is a terminal.
func IsTerminal(out any) bool {
	file, ok := out.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// Width returns how many columns the terminal has that out is, or 80.
func Width(out any) int {
	if file, ok := out.(*os.File); ok {
		if width, _, err := term.GetSize(int(file.Fd())); err == nil && width > 0 {
			return width
		}
	}
	return 80
}
