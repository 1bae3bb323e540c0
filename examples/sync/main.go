// Sync makes Courier's profiles match a users table, and reads only the rows that
// changed since its last run.
//
//	go run -C examples/sync .
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
	"os/signal"
	"syscall"
	"time"

	courier "github.com/courier-profiles/courier-go"
)

// Exit codes, the same as the importer's.
const (
	exitDone        = 0   // all changed rows were synced
	exitRejected    = 1   // all changed rows were synced or rejected
	exitFailed      = 2   // the sync could not start or continue; the next run resumes it
	exitInterrupted = 130 // by a signal; the next run resumes it
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second signal ends the program at once.
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o, err := parseFlags(args, stdout)
	databaseURL := os.Getenv("DATABASE_URL")
	hasKey := os.Getenv("COURIER_API_KEY") != "" || os.Getenv("COURIER_AUTH_TOKEN") != ""
	rejected := false
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitDone
	case err != nil:
	case databaseURL == "" && !hasKey:
		err = demo(ctx, o, stdout)
	case databaseURL == "":
		err = errors.New("DATABASE_URL is not set: set it to the database with the users table, or unset COURIER_API_KEY and COURIER_AUTH_TOKEN to run the demo")
	case !hasKey:
		err = errors.New("COURIER_API_KEY is not set: set it to the API key of your Courier workspace, or unset DATABASE_URL to run the demo")
	default:
		rejected, err = syncDatabase(ctx, o, databaseURL, stderr)
	}
	switch {
	case err == nil && rejected:
		return exitRejected
	case err == nil:
		return exitDone
	}
	fmt.Fprintln(stderr, err)
	if errors.Is(err, errInterrupted) || errors.Is(err, context.Canceled) {
		return exitInterrupted
	}
	return exitFailed
}

// syncDatabase is the nightly job. It reports whether rows were rejected.
func syncDatabase(ctx context.Context, o options, databaseURL string, stderr io.Writer) (rejected bool, err error) {
	started := time.Now()
	s := &syncer{options: o, out: stderr}
	if s.client, err = courier.NewClientFromEnv(courier.WithObserver(s.counts.observe)); err != nil {
		return false, err
	}
	if s.store, err = openStore(ctx, databaseURL); err != nil {
		return false, err
	}
	defer s.store.close()
	err = s.run(ctx)
	fmt.Fprint(stderr, s.counts.summary(time.Since(started)))
	switch {
	case errors.Is(err, errInterrupted):
		err = fmt.Errorf("%w; the next run resumes there", err)
	case isDenied(err):
		err = fmt.Errorf("the sync stopped, and the next run resumes there; check COURIER_API_KEY: %w", err)
	case err != nil:
		err = fmt.Errorf("the sync stopped, and the next run resumes there: %w", err)
	}
	return s.counts.rejected.Load() > 0, err
}

// options are the values of the flags.
type options struct {
	overlap     time.Duration
	page        int
	concurrency int
}

const usage = `Makes Courier's profiles match a users table.

	sync [flags]

DATABASE_URL is the database: postgres://user:password@host/database, or
sqlite:path/to/users.db. COURIER_API_KEY is the API key, and COURIER_BASE_URL the
URL of the API if it is not the default. Without any of them, a demo runs on a
temporary database and an in-memory fake of Courier.

The exit code is 0 if all changed rows were synced, 1 if some were rejected (see the
table courier_sync_rejects), 2 if the sync could not start or continue, and 130 if
it was interrupted. In all cases, the next run resumes where this one stopped. (go
run exits with 1 instead of 2 or 130: use go build to get these codes.)

Flags:
`

func parseFlags(args []string, stdout io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("sync", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.DurationVar(&o.overlap, "overlap", 5*time.Minute, "`duration`: also read rows that changed up to this long before the last run: longer than any transaction that writes users, plus the difference between clocks")
	flags.IntVar(&o.page, "page", 500, "`number` of rows to read at a time, and to repeat at most after a crash")
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
		return o, fmt.Errorf("there is an argument %q: use only flags (see -help)", flags.Arg(0))
	case o.overlap < 0:
		return o, fmt.Errorf("-overlap is %v: use 0 or longer", o.overlap)
	case o.page < 1 || o.page > 100_000:
		return o, fmt.Errorf("-page is %d: use 1 to 100000", o.page)
	case o.concurrency < 1 || o.concurrency > 65536:
		return o, fmt.Errorf("-concurrency is %d: use 1 to 65536", o.concurrency)
	}
	return o, nil
}
