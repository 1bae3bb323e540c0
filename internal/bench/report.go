package main

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

// report is everything that was measured.
type report struct {
	rounds   int
	duration time.Duration
	rows     []row
	heaps    []heapPeak
	sizes    []binarySize
}

// row is what a scenario took.
type row struct {
	scenario
	samples map[string][]sample // by contender, one of each round
}

func newRow(s scenario) row { return row{s, map[string][]sample{}} }

type figure func(sample) float64

func cpu(s sample) float64         { return s.cpu }
func throughput(s sample) float64  { return s.throughput }
func allocs(s sample) float64      { return s.allocs }
func bytesOf(s sample) float64     { return s.bytes }
func connections(s sample) float64 { return s.connections }

func (r row) median(contender string, of figure) float64 {
	var values []float64
	for _, s := range r.samples[contender] {
		values = append(values, of(s))
	}
	return spreadOf(values).median
}

// ratio compares a contender with hand-written code, each round with itself.
func (r row) ratio(contender string, of figure) spread {
	var values []float64
	for round, s := range r.samples[contender] {
		values = append(values, of(s)/of(r.samples[byHand][round]))
	}
	return spreadOf(values)
}

// spread is the median of values and the ends of their middle half.
type spread struct{ median, low, high float64 }

func spreadOf(values []float64) spread {
	sorted := slices.Sorted(slices.Values(values))
	return spread{quantile(sorted, 0.5), quantile(sorted, 0.25), quantile(sorted, 0.75)}
}

// quantile interpolates between the two nearest values.
func quantile(sorted []float64, q float64) float64 {
	at := q * float64(len(sorted)-1)
	i := int(at)
	if i+1 == len(sorted) {
		return sorted[i]
	}
	return sorted[i] + (at-float64(i))*(sorted[i+1]-sorted[i])
}

// tables returns the section of RESULTS.md for this Go version.
func (r report) tables() string {
	var b strings.Builder
	fmt.Fprintf(&b, "## %s\n\n%s. Medians of %d rounds of %v.\n\n"+
		"× is the ratio to %s, with the middle half of the rounds in parentheses.\n"+
		"In the row of MergeAll, hand-written code is a pool of 64 goroutines.\n",
		goMinor(), machine(), r.rounds, r.duration, byHand)
	all := func(scenario) bool { return true }
	overNetwork := func(s scenario) bool { return s.network != inMemory }
	r.table(&b, "CPU per call, of the client's process", all, func(r row, c string) string {
		return fmt.Sprintf("%.1f µs", r.median(c, cpu)/1e3) + r.ratioText(c, cpu)
	})
	r.table(&b, "Calls per second", all, func(r row, c string) string {
		return grouped(r.median(c, throughput)) + r.ratioText(c, throughput)
	})
	r.table(&b, "Allocations and bytes per call", all, func(r row, c string) string {
		return fmt.Sprintf("%.0f, %.1f kB", r.median(c, allocs), r.median(c, bytesOf)/1e3)
	})
	r.table(&b, "Connections opened", overNetwork, func(r row, c string) string {
		return fmt.Sprintf("%.0f", r.median(c, connections))
	})
	if r.heaps != nil {
		b.WriteString("\n### Peak of the heap in use, two fields, 64 in flight\n\n" +
			"| | updates | heap |\n| --- | --- | --- |\n")
	}
	for _, h := range r.heaps {
		name := h.name
		if name == thisOne {
			name = "MergeAll"
		}
		fmt.Fprintf(&b, "| %s | %s | %.1f MB |\n",
			name, grouped(float64(h.updates)), float64(h.bytes)/1e6)
	}
	if r.sizes != nil {
		b.WriteString("\n### The smallest program that merges a profile, " +
			"built with `-ldflags \"-s -w\"`\n\n| with | size |\n| --- | --- |\n")
	}
	for _, s := range r.sizes {
		fmt.Fprintf(&b, "| %s | %.2f MB |\n", s.name, float64(s.bytes)/1e6)
	}
	return b.String()
}

// table has a column for each contender, and a row for each scenario.
func (r report) table(
	b *strings.Builder, title string, with func(scenario) bool, cell func(row, string) string,
) {
	fmt.Fprintf(b, "\n### %s\n\n| ", title)
	for _, c := range contenders() {
		fmt.Fprintf(b, "| %s ", c.name)
	}
	b.WriteString("|\n| ---" + strings.Repeat(" | ---", len(contenders())) + " |\n")
	for _, row := range r.rows {
		if !with(row.scenario) {
			continue
		}
		fmt.Fprintf(b, "| %s ", row)
		for _, c := range contenders() {
			text := ""
			if row.samples[c.name] != nil {
				text = cell(row, c.name) + " "
			}
			fmt.Fprintf(b, "| %s", text)
		}
		b.WriteString("|\n")
	}
}

func (r row) ratioText(contender string, of figure) string {
	if contender == byHand {
		return ""
	}
	s := r.ratio(contender, of)
	return fmt.Sprintf(" ×%.2f (%.2f–%.2f)", s.median, s.low, s.high)
}

// grouped writes a number with commas.
func grouped(f float64) string {
	text := fmt.Sprintf("%.0f", f)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// machine describes what the figures were measured on.
func machine() string {
	return fmt.Sprintf("%s on %s/%s, %d CPUs",
		runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU())
}

// goMinor returns a version such as "Go 1.26".
func goMinor() string {
	parts := strings.SplitN(strings.TrimPrefix(runtime.Version(), "go"), ".", 3)
	return "Go " + strings.Join(parts[:min(2, len(parts))], ".")
}

const resultsHead = "# Results\n\n" +
	"`go run -C internal/bench . -write` updates the section of its Go version and the chart.\n"

// writeResults puts a section into the file, in place of the one with the same heading.
func writeResults(path, section string) error {
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.WriteFile(path, []byte(withSection(string(text), section)), 0o644)
}

func withSection(text, section string) string {
	const mark = "## "
	sections := map[string]string{}
	_, old, _ := strings.Cut(text, "\n"+mark)
	for _, s := range append(strings.Split(old, "\n"+mark), strings.TrimPrefix(section, mark)) {
		heading, _, _ := strings.Cut(s, "\n")
		if heading != "" {
			sections[heading] = "\n" + mark + strings.TrimSuffix(s, "\n") + "\n"
		}
	}
	text = resultsHead
	for _, heading := range slices.Sorted(maps.Keys(sections)) {
		text += sections[heading]
	}
	return text
}
