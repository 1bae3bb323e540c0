package chaos

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// write writes the table, in Markdown that is readable as plain text.
func write(w io.Writer, rows []*row) error {
	tabs := tabwriter.NewWriter(w, 0, 0, 1, ' ', 0)
	line := func(cells ...any) {
		text := make([]string, len(cells))
		for i, cell := range cells {
			text[i] = fmt.Sprint(cell)
		}
		fmt.Fprintf(tabs, "| %s\t|\n", strings.Join(text, "\t| "))
	}
	line("fault", "protocol", "by", "calls", "attempts", "attempts that failed", "errors", "p50", "p99", "conns", "late")
	line("---", "---", "---", "---:", "---:", "---", "---", "---:", "---:", "---:", "---:")
	calls, attempts, late := 0, 0, 0
	errors := make(map[string]int)
	for _, r := range rows {
		if r.calls == 0 {
			continue // left out by -run
		}
		line(r.name, r.protocol(), r.by, r.calls, r.client.attempts, counts(r.client.failed), counts(r.errors),
			percentile(r.durations, 50), percentile(r.durations, 99), r.network.peak, r.server.late())
		calls += r.calls
		attempts += r.client.attempts
		late += r.server.late()
		for name, n := range r.errors {
			errors[name] += n
		}
	}
	line("all", "", "", calls, attempts, "", counts(errors), "", "", "", late)
	return tabs.Flush()
}

// counts writes the names with the highest counts first.
func counts(counts map[string]int) string {
	names := slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		if counts[a] != counts[b] {
			return counts[b] - counts[a]
		}
		return strings.Compare(a, b)
	})
	text := make([]string, len(names))
	for i, name := range names {
		text[i] = fmt.Sprint(counts[name], " ", name)
	}
	return strings.Join(text, ", ")
}

func percentile(durations []time.Duration, percent int) string {
	sorted := slices.Sorted(slices.Values(durations))
	return fmt.Sprintf("%.1f ms", sorted[(len(sorted)-1)*percent/100].Seconds()*1000)
}
