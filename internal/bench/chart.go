package main

import (
	"bytes"
	_ "embed"
	"fmt"
	"math"
	"os"
	"text/template"
)

// The chart has a row for each scenario with two fields, but only one in memory, and
// two panels of ratios to the baseline: CPU and throughput. Each contender is a dot, on a line over the
// middle half of the rounds. Its colors are readable on white and on black, because
// a page may show it on either.

//go:embed chart.svg.tmpl
var chartText string

var chartTemplate = template.Must(template.New("chart").Parse(chartText))

// Sizes, in pixels.
const (
	labelWidth  = 184
	panelWidth  = 312
	panelGap    = 48
	rightMargin = 44 // for the figure next to a dot at the right end
	headHeight  = 118
	rowHeight   = 56
	laneHeight  = 9
	footHeight  = 44
	legendLeft  = 21
	legendStep  = 168
)

// colors has the colors of the contenders, in their order; the baseline is the
// line at 1.
var colors = []string{"#d9480f", "", "#868e96", "#1c7ed6", "#2b8a3e", "#9c36b5"}

type chart struct {
	Title, Foot   string
	Width, Height int
	Legend        []legend
	Rows          []chartRow
	Panels        []panel
}

type legend struct {
	X, Y        int
	Name, Color string
}

type chartRow struct {
	Y, LabelY int
	Label     string
	Lined     bool // a line above it
}

type panel struct {
	Title                      string
	Left, Middle, Right        int
	TitleY, Top, Bottom, TickY int
	One                        float64
	Ticks                      []tick
	Dots                       []dot
}

type tick struct {
	X    float64
	Text string
}

type dot struct {
	X, Low, High, Y float64
	Color           string
	Text            string // next to the dot; only for the SDK
	Radius          float64
}

// writeChart draws the chart into a file.
func (r *results) writeChart(path string) error {
	var b bytes.Buffer
	if err := chartTemplate.Execute(&b, r.chart()); err != nil {
		return err
	}
	return os.WriteFile(path, b.Bytes(), 0o644)
}

func (r *results) chart() chart {
	var rows []measured
	for _, m := range r.scenarios {
		if m.fields == few && (m.network != inMemory || m.inFlight == 1) {
			rows = append(rows, m)
		}
	}
	bottom := headHeight + rowHeight*len(rows)
	c := chart{
		Title:  "A merge of two fields, compared with hand-written net/http (tuned)",
		Foot:   fmt.Sprintf("Medians of %d rounds; lines: the middle half of the rounds. Logarithmic scales.", r.rounds),
		Width:  labelWidth + 2*panelWidth + panelGap + rightMargin,
		Height: bottom + footHeight,
	}
	lane := map[string]int{}
	for i, one := range contenders() {
		if one.name == baselineName {
			continue
		}
		lane[one.name] = len(lane)
		c.Legend = append(c.Legend, legend{legendLeft + legendStep*len(c.Legend), 56, one.name, colors[i]})
	}
	for i, m := range rows {
		y := headHeight + rowHeight*i
		c.Rows = append(c.Rows, chartRow{y, y + rowHeight/2 + 4, m.String(), i == 0 || m.network != rows[i-1].network})
	}
	for i, p := range []struct {
		title  string
		figure func(sample) float64
	}{
		{"CPU per call (less is better)", cpu},
		{"calls per second (more is better)", throughput},
	} {
		left := labelWidth + i*(panelWidth+panelGap)
		c.Panels = append(c.Panels, r.panel(p.title, left, bottom, rows, lane, p.figure))
	}
	return c
}

func (r *results) panel(title string, left, bottom int, rows []measured, lane map[string]int, figure func(sample) float64) panel {
	low, high := 1.0, 1.0
	for _, m := range rows {
		for name := range lane {
			s := m.ratio(name, figure)
			low, high = min(low, s.low), max(high, s.high)
		}
	}
	low, high = low/1.08, high*1.08
	x := func(ratio float64) float64 {
		share := (math.Log(ratio) - math.Log(low)) / (math.Log(high) - math.Log(low))
		return math.Round(10*(float64(left)+share*panelWidth)) / 10
	}
	p := panel{
		Title: title, Left: left, Middle: left + panelWidth/2, Right: left + panelWidth,
		TitleY: headHeight - 28, Top: headHeight, Bottom: bottom, TickY: headHeight - 8,
		One: x(1),
	}
	for _, ratio := range []float64{0.1, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 5, 10, 20} {
		if low <= ratio && ratio <= high {
			p.Ticks = append(p.Ticks, tick{x(ratio), fmt.Sprintf("%g", ratio)})
		}
	}
	for i, m := range rows {
		for at, one := range contenders() {
			place, ok := lane[one.name]
			if !ok {
				continue
			}
			s := m.ratio(one.name, figure)
			d := dot{
				X: x(s.median), Low: x(s.low), High: x(s.high), Color: colors[at], Radius: 3.5,
				Y: float64(headHeight+rowHeight*i) + float64(rowHeight-laneHeight*(len(lane)-1))/2 + float64(laneHeight*place),
			}
			if one.name == sdkName {
				d.Radius, d.Text = 5, fmt.Sprintf("%.2f", s.median)
			}
			p.Dots = append(p.Dots, d)
		}
	}
	return p
}
