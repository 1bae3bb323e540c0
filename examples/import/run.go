package main

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"strings"
	"time"

	"golang.org/x/time/rate"

	courier "github.com/courier-profiles/courier-go"
	"github.com/courier-profiles/courier-go/couriertest"
)

// importFile runs the import. An error means that it could not start.
func importFile(ctx context.Context, o options, stdin *os.File, stdout io.Writer, stderr *os.File) (code int, err error) {
	gate := &gate{limiter: rate.NewLimiter(rate.Inf, 1)}
	if o.rate > 0 {
		gate.limiter = rate.NewLimiter(rate.Limit(o.rate), 1)
	}
	client, destination, closeClient, err := newClient(o, gate.observe)
	if err != nil {
		return 0, err
	}
	defer closeClient()

	in, err := openInput(ctx, o.input, stdin, o.inputOptions)
	if err != nil {
		return 0, err
	}
	defer in.close()
	if err := o.setFiles(in.format); err != nil {
		return 0, err
	}
	for _, note := range in.notes() {
		fmt.Fprintln(stderr, note)
	}

	state := checkpoint{Version: checkpointVersion, Input: in.name, Destination: destination, Empty: "ignore", Rejects: o.rejects, Reading: o.reading()}
	if o.emptyNull {
		state.Empty = "null"
	}
	run := &importRun{options: o, in: in, gate: gate, client: client, stderr: stderr}
	if o.dryRun {
		run.ledger = newLedger(state, in.sum())
		run.ledger.reject = func(row original, reason string) error {
			_, err := fmt.Fprintf(stdout, "%s:%d: %s\n", in.name, row.line, reason)
			return err
		}
		return run.do(ctx), nil
	}
	file, err := openCheckpoint(o.checkpoint)
	if err != nil {
		return 0, err
	}
	defer file.close()
	if err := run.resume(ctx, file, state); err != nil {
		return 0, err
	}
	return run.do(ctx), nil
}

// newClient returns the client, and where it sends requests.
func newClient(o options, observe func(context.Context, courier.Attempt)) (client *courier.Client, destination string, closeClient func(), err error) {
	opts := []courier.Option{courier.WithObserver(observe), courier.WithUserAgent("courier-import/1")}
	nothing := func() {}
	switch {
	case o.dryRun:
		return nil, "nowhere", nothing, nil
	case o.fake:
		fake := couriertest.NewServer()
		fake.MaxRequests = -1
		client, err = fake.Client(opts...)
		return client, "fake", fake.Close, err
	case os.Getenv("COURIER_API_KEY") == "" && os.Getenv("COURIER_AUTH_TOKEN") == "":
		return nil, "", nil, errors.New(`There is no API key: set COURIER_API_KEY to the one of your Courier workspace.
Without one, -fake imports into an in-memory fake of the API:
	` + o.command(o.input) + ` -fake
and -dry-run checks all rows and sends nothing.`)
	}
	client, err = courier.NewClientFromEnv(opts...)
	return client, cmp.Or(os.Getenv("COURIER_BASE_URL"), courier.DefaultBaseURL), nothing, err
}

// importRun is one import.
type importRun struct {
	options
	in     *input
	gate   *gate
	client *courier.Client // nil in a dry run
	ledger *ledger
	stderr *os.File

	begin    []queued // rows that were read to find where to resume
	skipped  int
	suspects suspects // of a dry run
}

// queued is a row on its way into the ledger.
type queued struct {
	row
	entry *entry
}

// resume reads up to the checkpoint, if there is one, and opens the file of
// rejects.
func (r *importRun) resume(ctx context.Context, file *checkpointFile, fresh checkpoint) error {
	state, found, err := file.load()
	if r.fresh {
		found, err = false, nil
	}
	switch {
	case err != nil:
		return err
	case !found:
		state = fresh
	default:
		if err := sameRun(file.path, state, fresh); err != nil {
			return err
		}
	}
	if !state.RejectsBegun && !r.fresh {
		if info, err := os.Stat(r.rejects); err == nil && info.Size() > 0 {
			return fmt.Errorf("%s exists already, from an earlier import: import it or move it away, or use -fresh to overwrite it", r.rejects)
		}
	}
	sum, err := r.skip(ctx, file.path, state)
	if err != nil {
		return err
	}
	rejects, err := openRejects(r.rejects, r.in.header(), state.RejectsSize, state.RejectsSum)
	if err != nil {
		return err
	}
	l := newLedger(state, sum)
	l.file, l.rejects = file, rejects
	l.reject = func(row original, reason string) error { return rejects.add(r.in.reject(row, reason)) }
	r.ledger = l
	if found {
		fmt.Fprintf(r.stderr, "Resuming: %s rows were settled before. (Use -fresh to start over.)\n", thousands(r.skipped))
	}
	return nil
}

// sameRun refuses a checkpoint of another import.
func sameRun(path string, was, is checkpoint) error {
	for _, each := range []struct{ what, was, is string }{
		{"to " + was.Destination, was.Destination, is.Destination},
		{"with -empty=" + was.Empty, was.Empty, is.Empty},
		{"with " + was.Rejects + " for rejected rows", was.Rejects, is.Rejects},
		{readingFlags(was.Reading), readingFlags(was.Reading), readingFlags(is.Reading)},
	} {
		if each.was != each.is {
			return fmt.Errorf("%s belongs to an unfinished import of %s %s: finish that one first, name another file with -checkpoint, or use -fresh to start over", path, was.Input, each.what)
		}
	}
	return nil
}

func readingFlags(flags []string) string {
	if len(flags) == 0 {
		return "without -id, -column and -null"
	}
	words := make([]string, len(flags))
	for i, word := range flags {
		words[i] = quoteShell(word)
	}
	return "with " + strings.Join(words, " ")
}

// skip reads the rows that the checkpoint knows and checks that they are the same.
// It returns the sum of those that were written off.
func (r *importRun) skip(ctx context.Context, path string, state checkpoint) (sum [32]byte, err error) {
	settled := map[int]settledRow{}
	for _, row := range state.Settled {
		settled[row.Row] = row
	}
	sum = r.in.sum()
	last := sum
	for number := range state.Through {
		if ctx.Err() != nil {
			return sum, fmt.Errorf("%w.%s", errInterrupted, r.whatNext())
		}
		next, err := r.in.next()
		if err == io.EOF {
			return sum, changed(path, state, r.in.name)
		}
		if err != nil {
			return sum, r.unreadable(err)
		}
		last = next.sum
		if number < state.Rows {
			sum = next.sum
			r.skipped++
			continue
		}
		e := newEntry(next)
		if before, ok := settled[number]; ok {
			e.settled, e.known, e.merged, e.reason = true, true, before.Merged, before.Reason
			r.skipped++
		}
		if next.profile != nil {
			kept := *next.profile
			next.profile = &kept
		}
		r.begin = append(r.begin, queued{next, e})
	}
	if hex.EncodeToString(last[:]) != state.Sum && state.Sum != "" {
		return sum, changed(path, state, r.in.name)
	}
	return sum, nil
}

func changed(path string, state checkpoint, name string) error {
	return fmt.Errorf("the first %s rows of %s are not those of %s (an import of %s): restore the input, name another file with -checkpoint, or use -fresh to start over",
		thousands(state.Through), name, path, state.Input)
}

func (r *importRun) unreadable(err error) error {
	return fmt.Errorf("%s cannot be read beyond line %d: %w", r.in.name, r.in.position(), err)
}

func newEntry(row row) *entry {
	return &entry{original: row.original, sum: row.sum, settled: row.reason != "", reason: row.reason}
}

var errInterrupted = errors.New("interrupted")

// do sends the rows and returns the exit code. Everything that stops it calls halt:
// nothing more is read or sent, and requests in flight finish.
func (r *importRun) do(signals context.Context) (code int) {
	ctx, halt := context.WithCancelCause(context.Background())
	defer halt(nil)
	defer context.AfterFunc(signals, func() { halt(errInterrupted) })()
	sending, cancel := context.WithCancel(context.Background())
	defer cancel()
	r.gate.cancel = cancel
	r.ledger.stop = halt
	defer context.AfterFunc(ctx, func() {
		r.gate.close()
		r.ledger.wake()
	})()

	started := time.Now()
	bar := startProgress(r.stderr, r.in, r.ledger, r.gate)
	defer context.AfterFunc(signals, func() {
		bar.print("Stopping as soon as the requests in flight have finished. To stop at once, interrupt again.")
	})()
	updates := func(yield func(string, courier.Profile) bool) {
		for next, err := range r.rows() {
			if err != nil {
				halt(err)
				return
			}
			if !r.ledger.add(ctx, next.entry) {
				return
			}
			if next.entry.settled {
				continue
			}
			if r.dryRun {
				r.suspects.look(next.line, next.profile)
			}
			if !yield(next.userID, *next.profile) {
				return
			}
		}
	}
	outcomes := check(updates)
	if !r.dryRun {
		outcomes = r.client.Profiles.MergeAll(sending, updates, courier.WithConcurrency(r.concurrency), courier.WithRateLimiter(r.gate))
	}
	for outcome := range outcomes {
		r.ledger.outcome(outcome.Index, outcome.Err)
	}
	finished := r.ledger.close(ctx)
	bar.stop()
	r.summarize(time.Since(started))

	cause := context.Cause(ctx)
	switch {
	case finished && r.ledger.state.Rejected == 0:
		return exitDone
	case finished:
		r.advise()
		return exitRejected
	case errors.Is(cause, errInterrupted):
		fmt.Fprintln(r.stderr, "Interrupted."+r.whatNext())
		return exitInterrupted
	case errors.Is(cause, errBadFile): // the same command would fail again
		fmt.Fprintln(r.stderr, cause.Error()+".")
		return exitFailed
	default:
		fmt.Fprintln(r.stderr, stopped(cause)+r.whatNext())
		return exitFailed
	}
}

// check stands in for MergeAll in a dry run, which must not send anything. What
// the client refuses was rejected when it was read.
func check(updates iter.Seq2[string, courier.Profile]) iter.Seq[courier.Outcome] {
	return func(yield func(courier.Outcome) bool) {
		index := 0
		for userID := range updates {
			if !yield(courier.Outcome{Index: index, UserID: userID}) {
				return
			}
			index++
		}
	}
}

// rows yields the rows that were read already and then those of the input.
func (r *importRun) rows() func(yield func(queued, error) bool) {
	return func(yield func(queued, error) bool) {
		for _, next := range r.begin {
			if !yield(next, nil) {
				return
			}
		}
		r.begin = nil
		for {
			next, err := r.in.next()
			if err == io.EOF {
				return
			}
			if err != nil {
				yield(queued{}, r.unreadable(err))
				return
			}
			if !yield(queued{next, newEntry(next)}, nil) {
				return
			}
		}
	}
}
