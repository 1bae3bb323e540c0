// Bench compares package courier with hand-written net/http code, and draws the chart of
// docs/performance.md.
//
//	go run -C internal/bench .          prints the tables
//	go run -C internal/bench . -write   also updates RESULTS.md and bench.svg
//
// The server is another process, so the CPU times are those of the client alone. It needs
// a Unix system, and the go command.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"time"
)

type options struct {
	rounds   int
	duration time.Duration
	updates  int
	run      string
	write    bool
}

func main() {
	if err := start(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func start() error {
	if len(os.Args) == 2 && os.Args[1] == serverArgument {
		return serve(os.Stdin, os.Stdout)
	}
	var o options
	flag.IntVar(&o.rounds, "rounds", 9, "`number` of rounds")
	flag.DurationVar(&o.duration, "duration", 500*time.Millisecond,
		"`time` of each contender in each row and round")
	flag.IntVar(&o.updates, "updates", 1_000_000,
		"`number` of updates while the heap is measured")
	flag.StringVar(&o.run, "run", "",
		"measure only the rows whose name matches `regexp`, and neither heap nor binary sizes")
	flag.BoolVar(&o.write, "write", false, "update RESULTS.md and bench.svg")
	flag.Parse()
	if flag.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q: use only flags", flag.Arg(0))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	return bench(ctx, o, os.Stdout, os.Stderr)
}

// bench measures everything and prints the tables to out.
func bench(ctx context.Context, o options, out, progress io.Writer) (err error) {
	only, err := regexp.Compile(o.run)
	if err != nil {
		return fmt.Errorf("-run: %w", err)
	}
	if o.rounds < 1 || o.duration <= 0 || o.updates < 1 {
		return errors.New("-rounds, -duration and -updates must be positive")
	}
	if o.write && o.run != "" {
		return errors.New("-write needs all rows: remove -run")
	}
	server, err := startServer()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.stop()) }()

	r := report{rounds: o.rounds, duration: o.duration}
	if o.run == "" {
		r.sizes, err = binarySizes(ctx, progress)
		if err != nil {
			return err
		}
		// The heap is measured first, while the process has no other garbage.
		r.heaps, err = heapPeaks(ctx, server.endpoints, o.updates, progress)
		if err != nil {
			return err
		}
	}
	for _, s := range scenarios() {
		if only.MatchString(s.String()) {
			r.rows = append(r.rows, newRow(s))
		}
	}
	if err := measureRounds(ctx, server.endpoints, o, r.rows, progress); err != nil {
		return err
	}
	if _, err := io.WriteString(out, r.tables()); err != nil {
		return err
	}
	if !o.write {
		return nil
	}
	return errors.Join(writeResults("RESULTS.md", r.tables()), writeChart("bench.svg", r))
}
