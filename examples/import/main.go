// Import merges a file of users into Courier.
//
//	go run -C examples/import . -fake users.csv
//
// It reads CSV, such as Courier's own template, and NDJSON; see -help. Rows that
// it cannot import go to users.rejected.csv, where they can be fixed. When it is
// stopped, by Ctrl-C or in any other way, the same command resumes.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
)

// Exit codes.
const (
	exitDone        = 0   // all rows were merged
	exitRejected    = 1   // all rows were merged or rejected
	exitFailed      = 2   // the import could not start or continue
	exitInterrupted = 130 // by a signal
)

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(200) // the live heap is so small that collecting it costs a tenth of the time
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second signal ends the program at once.
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

func run(ctx context.Context, args []string, stdin *os.File, stdout io.Writer, stderr *os.File) int {
	o, err := parseFlags(args, stdout)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitDone
	case err == nil:
		var code int
		if code, err = importFile(ctx, o, stdin, stdout, stderr); err == nil {
			return code
		}
	}
	fmt.Fprintln(stderr, err)
	if errors.Is(err, errInterrupted) {
		return exitInterrupted
	}
	return exitFailed
}
