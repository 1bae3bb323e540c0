// Courier-sync makes Courier's profiles match a users table, and reads only the rows
// that changed since its last run.
//
//	go run -C cmd ./courier-sync
//
// shows it on a table in SQLite and an in-memory fake of Courier. With DATABASE_URL
// and COURIER_API_KEY it syncs that database; see README.md.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/courier-profiles/courier-go/cmd/internal/job"
)

func main() {
	ctx, drain, stop := job.Signals(context.Background())
	code := run(ctx, drain, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

func run(ctx, drain context.Context, args []string, stdout, stderr io.Writer) int {
	o, err := parseFlags(args, stdout)
	databaseURL := os.Getenv("DATABASE_URL")
	hasKey := os.Getenv("COURIER_API_KEY") != "" || os.Getenv("COURIER_AUTH_TOKEN") != ""
	rejected := false
	switch {
	case errors.Is(err, flag.ErrHelp):
		return job.Done
	case err != nil:
	case databaseURL == "" && !hasKey:
		err = demo(ctx, drain, o, stdout)
	case databaseURL == "":
		err = errors.New("DATABASE_URL is not set: set it to the database with the users " +
			"table, or unset COURIER_API_KEY and COURIER_AUTH_TOKEN for the demo")
	default:
		rejected, err = syncDatabase(ctx, drain, o, databaseURL, stderr)
	}
	switch {
	case err != nil:
		return job.Fail(stderr, err)
	case rejected:
		return job.Rejected
	}
	return job.Done
}

// syncDatabase is the nightly job. It reports whether rows were rejected.
func syncDatabase(
	ctx, drain context.Context, o options, databaseURL string, stderr io.Writer,
) (rejected bool, err error) {
	client, err := job.NewClient(false)
	if err != nil {
		return false, err
	}
	defer client.Close()
	s := &syncer{options: o, client: client, out: stderr}
	// Nothing is in flight yet, so the first signal is enough to stop.
	if err := s.open(drain, databaseURL); err != nil {
		if drain.Err() != nil {
			err = job.ErrInterrupted
		}
		return false, err
	}
	defer s.store.close()
	err = s.run(ctx, drain)
	s.writeCounts(stderr)
	if err != nil {
		err = fmt.Errorf("the sync stopped, and the next run resumes there: %w", err)
	}
	return s.rejected.Load() > 0, err
}

func (s *syncer) open(ctx context.Context, databaseURL string) error {
	d, err := databaseOf(databaseURL)
	if err == nil {
		s.store, err = openStore(ctx, d, &s.table)
	}
	return err
}

// options are the values of the flags.
type options struct {
	table       table
	overlap     time.Duration
	page        int
	concurrency int
	maxDeletes  int64
	args        []string // of the program
}

const usage = `Makes Courier's profiles match a users table.

	courier-sync [flags]

DATABASE_URL is the database: postgres://user:password@host/database, or
sqlite:path/to/users.db. COURIER_API_KEY is the API key, and COURIER_BASE_URL the
URL of the API if it is not the default. Without any of them, a demo runs on a
temporary SQLite file and an in-memory fake of Courier.

The exit code is 0 if all changed rows were synced, 1 if some were rejected (see the
table courier_sync_rejects), 2 if the sync could not start or continue, and 130 if
it was interrupted. In all cases, the next run resumes where this one stopped. (go
run exits with 1 instead of 2 or 130: use go build to get these codes.)

Flags:
`

func parseFlags(args []string, stdout io.Writer) (options, error) {
	o := options{table: users, args: args}
	flags := flag.NewFlagSet("courier-sync", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&o.table.name, "table", o.table.name, "`name` of the table or view")
	flags.DurationVar(&o.overlap, "overlap", 5*time.Minute,
		"`duration` before the last run in which changed rows are read again: longer than any\n"+
			"transaction that writes users, plus the difference between clocks")
	flags.Int64Var(&o.maxDeletes, "max-deletes", 1000,
		"`number` of profiles that a run may delete before it stops")
	flags.IntVar(&o.page, "page", 500,
		"`number` of rows to read at a time, and to repeat at most after a crash")
	flags.IntVar(&o.concurrency, "concurrency", 16, "`number` of requests at a time")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(stdout, usage)
		flags.SetOutput(stdout)
		flags.PrintDefaults()
		return o, err
	case err != nil:
		return o, fmt.Errorf("%w (see -help)", err)
	case flags.NArg() > 0:
		return o, fmt.Errorf("unexpected argument %q: use only flags (see -help)", flags.Arg(0))
	case o.table.name == "":
		return o, errors.New("-table is empty: name the table or view")
	case o.overlap < 0:
		return o, fmt.Errorf("-overlap is %v: use 0 or longer", o.overlap)
	case o.maxDeletes < 0:
		return o, fmt.Errorf("-max-deletes is %d: use 0 or more", o.maxDeletes)
	case o.page < 1 || o.page > 100_000:
		return o, fmt.Errorf("-page is %d: use 1 to 100000", o.page)
	case o.concurrency < 1 || o.concurrency > 65536:
		return o, fmt.Errorf("-concurrency is %d: use 1 to 65536", o.concurrency)
	}
	return o, nil
}
