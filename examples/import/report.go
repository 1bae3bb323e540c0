package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	courier "github.com/courier-profiles/courier-go"
)

// stopped says why the import has stopped.
func stopped(err error) string {
	var (
		key       *courier.AuthenticationError
		forbidden *courier.PermissionError
	)
	switch {
	case errors.As(err, &key):
		return "Courier does not accept the API key (" + reasonOf(err) + "): check COURIER_API_KEY."
	case errors.As(err, &forbidden):
		return "The API key has no permission to change profiles (" + reasonOf(err) + "): set another one in COURIER_API_KEY."
	}
	return err.Error() + "."
}

// whatNext says what to type after an import that is not finished.
func (r *importRun) whatNext() string {
	switch {
	case r.dryRun:
		return ""
	case r.input == "-":
		return "\nTo resume, run the same command again with the same input:\n\t" + r.command("-")
	}
	return "\nTo resume, run the same command again:\n\t" + r.command(r.input)
}

// advise says what to do about rejected rows.
func (r *importRun) advise() {
	if r.dryRun {
		return
	}
	fmt.Fprintf(r.stderr, "Fix the rejected rows in %s, which gives the reason for each, and import them:\n\t%s\n", r.options.rejects, r.command(r.options.rejects))
}

// summarize prints the result of the import.
func (r *importRun) summarize(took time.Duration) {
	state, now := r.ledger.state, r.ledger.progress()
	success := "merged"
	if r.dryRun {
		success = "good"
	}
	lines := []struct {
		what string
		n    int
		note string
		show bool
	}{
		{"rows read", r.ledger.read, "", true},
		{success, state.Merged, "", true},
		{"rejected", state.Rejected, "see " + r.options.rejects, true},
		{"settled before", r.skipped, "and not resent", r.skipped > 0},
		{"resent", state.Resent, "at most, because an earlier run ended before their response", state.Resent > 0},
		{"retries", r.gate.retried(), "", !r.dryRun},
	}
	for _, line := range lines {
		if !line.show {
			continue
		}
		if line.n == 0 || r.dryRun {
			line.note = ""
		}
		fmt.Fprintln(r.stderr, strings.TrimRight(fmt.Sprintf("%14s  %12s  %s", line.what, thousands(line.n), line.note), " "))
	}
	fmt.Fprintf(r.stderr, "%14s  %12s  %s rows/s\n", "time", took.Round(time.Millisecond), thousands(int(float64(now.done)/took.Seconds())))
	if r.dryRun {
		for _, line := range r.suspects.lines() {
			fmt.Fprintln(r.stderr, line)
		}
	}
}
