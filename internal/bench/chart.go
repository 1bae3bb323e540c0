package main

import (
	"fmt"
	"runtime"
	"strings"
)

// The colors can be seen on white and on black. Sizes are in pixels.
const (
	gray   = "#747c85"
	orange = "#d9480f"
	blue   = "#228be6"
	left   = 180 // where ratio 0 is
	unit   = 260 // of a ratio; there is room for 2
	top    = 90
	height = 44 // of a row
)

// chart draws the ratios of CPU and throughput of the merges of two fields. A bar is the
// median, and the line on it the middle half of the rounds.
func (r report) chart() string {
	const title = "A merge of two fields with courier-go, compared with net/http by hand"
	var b strings.Builder
	add := func(format string, values ...any) { fmt.Fprintf(&b, format+"\n", values...) }
	x := func(ratio float64) float64 { return left + unit*min(ratio, 2) }
	bar := func(y int, color string, ratio spread) {
		add(`<rect x="%d" y="%d" width="%.1f" height="12" fill="%s" fill-opacity="0.5"/>`,
			left, y, x(ratio.median)-left, color)
		add(`<path d="M%.1f %dH%.1f" stroke="%s" stroke-width="3"/>`,
			x(ratio.low), y+6, x(ratio.high), color)
		add(`<text x="%.1f" y="%d">×%.2f</text>`, x(ratio.high)+6, y+10, ratio.median)
	}

	add(`<text x="16" y="26" font-size="16">%s</text>`, title)
	add(`<text x="16" y="52" fill="%s">CPU per call (less is better)</text>`, orange)
	add(`<text x="%d" y="52" fill="%s">calls per second (more is better)</text>`, left+60, blue)
	y := top
	for _, result := range r.results {
		if result.operation == mergeTwo {
			add(`<text x="16" y="%d">%s, %d in flight</text>`, y+26, result.network, result.inFlight)
			bar(y+8, orange, result.ratio(cpu))
			bar(y+24, blue, result.ratio(throughput))
			y += height
		}
	}
	for _, tick := range []float64{0, 0.5, 1, 1.5, 2} {
		add(`<text x="%.1f" y="%d" text-anchor="middle">%v</text>`, x(tick), top-10, tick)
		add(`<path d="M%.1f %dV%d" stroke="%s"/>`, x(tick), top, y, gray)
	}
	add(`<text x="16" y="%d" font-size="11">%s, %d rounds. Bars: medians; lines: the middle `+
		`half of the rounds.</text>`, y+24, runtime.Version(), r.rounds)
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" `+
		`viewBox="0 0 %[1]d %[2]d" role="img" aria-label="%[3]s" font-family="sans-serif" `+
		`font-size="12" fill="%[4]s">`+"\n%[5]s</svg>\n",
		left+2*unit+60, y+40, title, gray, b.String())
}
