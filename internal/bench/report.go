package main

import (
	"fmt"
	"go/version"
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
	results  []result
	updates  int        // while the heap is measured
	heaps    [2]float64 // peaks in MB, by client
	binaries [2]float64 // MB, by client
}

// spread is the median of values and the ends of their middle half.
type spread struct{ median, low, high float64 }

// spreadOf takes the lower of two values in the middle.
func spreadOf(values []float64) spread {
	sorted := slices.Sorted(slices.Values(values))
	last := len(sorted) - 1
	return spread{median: sorted[last/2], low: sorted[last/4], high: sorted[last-last/4]}
}

func (r result) median(which int, of figure) float64 {
	var values []float64
	for _, figures := range r.rounds[which] {
		values = append(values, figures[of])
	}
	return spreadOf(values).median
}

// ratio compares this package with net/http by hand, each round with itself.
func (r result) ratio(of figure) spread {
	var values []float64
	for i, figures := range r.rounds[thisPackage] {
		values = append(values, figures[of]/r.rounds[byHand][i][of])
	}
	return spreadOf(values)
}

// section returns the section of RESULTS.md for this Go version.
func (r report) section() string {
	var b strings.Builder
	fmt.Fprintf(&b, "## Go %s\n\n%s on %s/%s, %d CPUs. Medians of %d rounds of %v. "+
		"The ratio is that of each round: its median, and its middle half in parentheses.\n",
		strings.TrimPrefix(version.Lang(runtime.Version()), "go"),
		runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), r.rounds, r.duration)
	for _, of := range []figure{cpu, throughput, allocs, connections} {
		r.table(&b, of)
	}
	if r.heaps[byHand] > 0 {
		fmt.Fprintf(&b, "\nHeap in use during %d updates with 64 in flight, at most: "+
			"%.1f MB by hand, %.1f MB with MergeAll.\n", r.updates, r.heaps[0], r.heaps[1])
		fmt.Fprintf(&b, "\nThe smallest program that merges a profile, stripped: "+
			"%.2f MB by hand, %.2f MB with courier-go.\n", r.binaries[0], r.binaries[1])
	}
	return b.String()
}

// table leaves out what is zero: no connections are opened in memory.
func (r report) table(b *strings.Builder, of figure) {
	fmt.Fprintf(b, "\n### %s\n\n| | %s | %s | ratio |\n| --- | --- | --- | --- |\n",
		of, names[byHand], names[thisPackage])
	for _, result := range r.results {
		hand, this := result.median(byHand, of), result.median(thisPackage, of)
		if hand > 0 {
			ratio := result.ratio(of)
			fmt.Fprintf(b, "| %s | %.3g | %.3g | ×%.2f (%.2f–%.2f) |\n",
				result, hand, this, ratio.median, ratio.low, ratio.high)
		}
	}
}

// write updates the section of this Go version, and the chart.
func (r report) write(results, chart string) {
	text, err := os.ReadFile(results)
	check("-write", err)
	text = []byte(withSection(string(text), r.section()))
	check("-write", os.WriteFile(results, text, 0o644))
	check("-write", os.WriteFile(chart, []byte(r.chart()), 0o644))
}

// withSection puts a section in place of the one with its heading, or at the end.
func withSection(text, section string) string {
	heading, _, _ := strings.Cut(section, "\n")
	before, old, _ := strings.Cut(text, "\n"+heading+"\n")
	_, after, found := strings.Cut(old, "\n## ")
	if found {
		after = "\n## " + after
	}
	return before + "\n" + section + after
}
