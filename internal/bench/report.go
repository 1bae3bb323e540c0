package main

import (
	"bytes"
	"fmt"
	"io"
	"runtime"
	"strings"
)

// The tables have a column for each contender, and a row for each scenario.

func (r *results) writeTables(out io.Writer) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s on %s/%s, %d CPUs. Medians of %d rounds. × is the ratio to %q, the median of the rounds' ratios, with their middle half in parentheses.\n",
		runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), r.rounds, baselineName)
	if r.short {
		b.WriteString("\n**Measured with -short: the figures mean nothing.**\n")
	}
	b.WriteString("\n| contender | what it does for a call |\n| --- | --- |\n")
	for _, c := range contenders() {
		fmt.Fprintf(&b, "| %s | %s |\n", c.name, c.about)
	}
	for _, fields := range []int{few, many} {
		r.table(&b, fmt.Sprintf("CPU of a merge of %d fields (user and system, the client's process alone)", fields), fields, func(m measured, c string) string {
			return withRatio(micros(m.of(c, cpu).median), m, c, cpu)
		})
	}
	for _, fields := range []int{few, many} {
		r.table(&b, fmt.Sprintf("Merges of %d fields per second", fields), fields, func(m measured, c string) string {
			return withRatio(thousands(m.of(c, throughput).median), m, c, throughput)
		})
	}
	for _, fields := range []int{few, many} {
		r.table(&b, fmt.Sprintf("Allocations and bytes of a merge of %d fields", fields), fields, func(m measured, c string) string {
			return fmt.Sprintf("%.0f, %s", m.of(c, allocs).median, kilobytes(m.of(c, bytesOf).median))
		})
	}
	r.connectionTable(&b)
	r.memoryTable(&b)
	r.bulkTable(&b)
	r.programTable(&b)
	_, err := out.Write(b.Bytes())
	return err
}

func (r *results) table(b *bytes.Buffer, title string, fields int, cell func(measured, string) string) {
	fmt.Fprintf(b, "\n### %s\n\n|", title)
	for _, c := range contenders() {
		fmt.Fprintf(b, " | %s", c.name)
	}
	fmt.Fprintf(b, " |\n| ---%s |\n", strings.Repeat(" | ---", len(contenders())))
	for _, m := range r.scenarios {
		if m.fields != fields {
			continue
		}
		fmt.Fprintf(b, "| %s", m.scenario)
		for _, c := range contenders() {
			fmt.Fprintf(b, " | %s", cell(m, c.name))
		}
		b.WriteString(" |\n")
	}
}

// connectionTable shows merges of two fields: the number of fields does not affect
// connections.
func (r *results) connectionTable(b *bytes.Buffer) {
	networks := &results{config: r.config}
	for _, m := range r.scenarios {
		if m.network != inMemory {
			networks.scenarios = append(networks.scenarios, m)
		}
	}
	networks.table(b, "Connections opened, and calls that failed meanwhile, in all rounds", few, func(m measured, c string) string {
		cell := count(int(m.of(c, connections).median))
		failed := 0.0
		for _, s := range m.samples[c] {
			failed += s.failed
		}
		if failed > 0 {
			cell += fmt.Sprintf(", %.0f failed", failed)
		}
		return cell
	})
}

func (r *results) memoryTable(b *bytes.Buffer) {
	fmt.Fprintf(b, "\n### %s merges of two fields, 64 in flight, HTTP/1.1, each contender in its own process\n\n", count(r.merges(memoryMerges)))
	b.WriteString("| contender | peak memory, resident | peak heap in use | connections opened |\n| --- | --- | --- | --- |\n")
	for _, l := range r.memory {
		fmt.Fprintf(b, "| %s | %s | %s | %s |\n", l.Contender, megabytes(l.PeakRSS), megabytes(l.PeakHeap), count(l.Connections))
	}
}

func (r *results) bulkTable(b *bytes.Buffer) {
	var throughputs, cpus []float64
	rows := map[string][]longRun{}
	for _, round := range r.bulk {
		throughputs = append(throughputs, float64(round.handPool.Wall)/float64(round.mergeAll.Wall))
		cpus = append(cpus, float64(round.mergeAll.CPU)/float64(round.handPool.CPU))
		rows[mergeAllName] = append(rows[mergeAllName], round.mergeAll)
		rows[handPoolName] = append(rows[handPoolName], round.handPool)
	}
	fmt.Fprintf(b, "\n### MergeAll and a hand-written pool of 64 goroutines on %q, HTTP/1.1, two fields\n\n", baselineName)
	b.WriteString("| | updates | per second | CPU per update | peak heap in use | peak memory, resident | connections opened |\n| --- | --- | --- | --- | --- | --- | --- |\n")
	for _, name := range []string{mergeAllName, handPoolName} {
		runs := rows[name]
		middle := func(figure func(longRun) float64) float64 {
			var values []float64
			for _, run := range runs {
				values = append(values, figure(run))
			}
			return spreadOf(values).median
		}
		perSecond := thousands(middle(longRun.perSecond))
		perUpdate := micros(middle(longRun.cpuPerMerge))
		if name == mergeAllName {
			perSecond += ratioText(spreadOf(throughputs))
			perUpdate += ratioText(spreadOf(cpus))
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s | %s | %s |\n", name, count(runs[0].Merges), perSecond, perUpdate,
			megabytes(int64(middle(func(l longRun) float64 { return float64(l.PeakHeap) }))),
			megabytes(int64(middle(func(l longRun) float64 { return float64(l.PeakRSS) }))),
			count(int(middle(func(l longRun) float64 { return float64(l.Connections) }))))
	}
	for _, l := range r.longBulk {
		fmt.Fprintf(b, "| %s | %s | | | %s | %s | %s |\n", l.Contender, count(l.Merges),
			megabytes(l.PeakHeap), megabytes(l.PeakRSS), count(l.Connections))
	}
	b.WriteString("\nThe runs of ten thousand and of a million updates were made once each, so they have no ratio.\n")
}

func (l longRun) perSecond() float64   { return float64(l.Merges) / l.Wall.Seconds() }
func (l longRun) cpuPerMerge() float64 { return float64(l.CPU) / float64(l.Merges) }

func (r *results) programTable(b *bytes.Buffer) {
	b.WriteString("\n### The smallest program that merges a profile\n\n")
	b.WriteString("| with | binary | with -ldflags \"-s -w\" | modules | packages of these | packages in total |\n| --- | --- | --- | --- | --- | --- |\n")
	bare := r.programs[0]
	above := func(size, bare int64) string {
		if size == bare {
			return megabytes(size)
		}
		return fmt.Sprintf("%s (+%s)", megabytes(size), megabytes(size-bare))
	}
	for _, p := range r.programs {
		fmt.Fprintf(b, "| %s | %s | %s | %d | %d | %d |\n", p.name, above(p.size, bare.size), above(p.stripped, bare.stripped), p.modules, p.foreign, p.packages)
	}
}

func withRatio(figure string, m measured, contender string, of func(sample) float64) string {
	if contender == baselineName {
		return figure
	}
	return figure + ratioText(m.ratio(contender, of))
}

func ratioText(s spread) string {
	return fmt.Sprintf(" ×%.2f (%.2f–%.2f)", s.median, s.low, s.high)
}

func micros(ns float64) string { return fmt.Sprintf("%.1f µs", ns/1e3) }

func thousands(n float64) string { return count(int(n+50) / 100 * 100) }

func kilobytes(bytes float64) string { return fmt.Sprintf("%.1f kB", bytes/1e3) }

func megabytes(bytes int64) string {
	if bytes == 0 {
		return "–"
	}
	return fmt.Sprintf("%.2f MB", float64(bytes)/1e6)
}

// count writes a number with commas.
func count(n int) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return count(n/1000) + fmt.Sprintf(",%03d", n%1000)
}
