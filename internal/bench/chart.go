package main

import (
	"fmt"
	"math"
	"os"
	"strings"
)

// Sizes are in pixels.
const (
	labelWidth  = 190
	panelWidth  = 310
	panelGap    = 50
	rightMargin = 50 // for the figure beside a dot
	chartWidth  = labelWidth + 2*panelWidth + panelGap + rightMargin
	headHeight  = 118
	rowHeight   = 44
	laneHeight  = 11
	footHeight  = 44
)

// gray and the colors of the contenders can be seen on white and on black.
const gray = "#747c85"

func colorOf(contender string) string {
	switch contender {
	case thisOne:
		return "#d9480f"
	case retryable:
		return "#2b8a3e"
	}
	return "#9c36b5"
}

// svg is a drawing.
type svg struct{ strings.Builder }

func (s *svg) line(x1, y1, x2, y2 float64, color string, width float64) {
	fmt.Fprintf(s, `<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="%s" stroke-width="%g"/>`,
		x1, y1, x2, y2, color, width)
	s.WriteString("\n")
}

func (s *svg) dot(x, y float64, color string) {
	fmt.Fprintf(s, `<circle cx="%.1f" cy="%.1f" r="4" fill="%s"/>`+"\n", x, y, color)
}

func (s *svg) text(x, y float64, attributes, text string) {
	fmt.Fprintf(s, `<text x="%.1f" y="%.1f" %s>%s</text>`+"\n", x, y, attributes, text)
}

func writeChart(path string, r report) error {
	return os.WriteFile(path, []byte(r.chart()), 0o644)
}

// chart draws the ratios to hand-written code as two panels, CPU and throughput. In each
// row, a contender is a dot on a line over the middle half of the rounds.
func (r report) chart() string {
	var rows []row
	for _, row := range r.rows {
		if row.inChart() {
			rows = append(rows, row)
		}
	}
	height := float64(headHeight + rowHeight*len(rows) + footHeight)
	const title = "A merge of two fields, compared with net/http by hand"

	s := new(svg)
	fmt.Fprintf(s, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%.0f" `+
		`viewBox="0 0 %d %.0f" role="img" aria-labelledby="title" `+
		`font-family="sans-serif" font-size="12" fill="%s">`+"\n",
		chartWidth, height, chartWidth, height, gray)
	fmt.Fprintf(s, `<title id="title">%s</title>`+"\n", title)
	s.text(16, 26, `font-size="16" font-weight="600"`, title)
	for i, c := range contenders()[1:] {
		x := float64(21 + 168*i)
		s.dot(x, 56, colorOf(c.name))
		s.text(x+10, 60, "", c.name)
	}
	for i, row := range rows {
		y := float64(headHeight + rowHeight*i)
		if i == 0 || row.network != rows[i-1].network {
			s.line(16, y, chartWidth, y, gray, 1)
		}
		s.text(16, y+rowHeight/2+4, "", strings.TrimPrefix(row.String(), row.operation+", "))
	}
	s.panel(rows, labelWidth, "CPU per call (less is better)", cpu)
	s.panel(rows, labelWidth+panelWidth+panelGap, "calls per second (more is better)", throughput)
	s.text(16, height-16, `font-size="11"`, fmt.Sprintf("%s, %d rounds. Dots: medians; "+
		"lines: the middle half of the rounds. Logarithmic scales.", machine(), r.rounds))
	s.WriteString("</svg>\n")
	return s.String()
}

// panel draws the ratios of a figure, to the right of left.
func (s *svg) panel(rows []row, left float64, title string, of figure) {
	low, high := 1.0, 1.0
	for _, row := range rows {
		for _, c := range row.contenders {
			ratio := row.ratio(c.name, of)
			low, high = min(low, ratio.low), max(high, ratio.high)
		}
	}
	low, high = low/1.08, high*1.08
	x := func(ratio float64) float64 {
		return left + panelWidth*math.Log(ratio/low)/math.Log(high/low)
	}
	s.text(left+panelWidth/2, headHeight-28, `text-anchor="middle" font-weight="600"`, title)
	bottom := float64(headHeight + rowHeight*len(rows))
	for _, tick := range []float64{0.1, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 5, 10, 20} {
		if tick < low || tick > high {
			continue
		}
		width := 0.5
		if tick == 1 {
			width = 2
		}
		s.text(x(tick), headHeight-8, `text-anchor="middle" font-size="11"`, fmt.Sprint(tick))
		s.line(x(tick), headHeight, x(tick), bottom, gray, width)
	}
	for i, row := range rows {
		others := row.contenders[1:]
		y := float64(headHeight + rowHeight*i + (rowHeight-laneHeight*(len(others)-1))/2)
		for _, c := range others {
			ratio, color := row.ratio(c.name, of), colorOf(c.name)
			s.line(x(ratio.low), y, x(ratio.high), y, color, 2)
			s.dot(x(ratio.median), y, color)
			if c.name == thisOne {
				s.text(x(ratio.high)+9, y+4, `font-weight="600" fill="`+color+`"`,
					fmt.Sprintf("%.2f", ratio.median))
			}
			y += laneHeight
		}
	}
}
