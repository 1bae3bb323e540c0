// Package job is what the programs in cmd have in common: exit codes, signals,
// progress, the client, and how results and errors are printed.
//
//	func main() {
//		ctx, drain, stop := job.Signals(context.Background())
//		code := run(ctx, drain, os.Args[1:])
//		stop()
//		os.Exit(code)
//	}
package job

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

// Exit codes of all programs.
const (
	Done        = 0   // everything was done
	Rejected    = 1   // everything was done, but some records were rejected
	Failed      = 2   // the program could not start or continue
	Interrupted = 130 // a signal stopped it
)

// ErrInterrupted is the error of a run that a signal stopped. Fail turns it into
// the exit code Interrupted.
var ErrInterrupted = errors.New("interrupted")

// Signals returns two contexts that end with SIGINT and SIGTERM: drain with the
// first one, ctx with the second. A program reads nothing more once drain has
// ended, and finishes what is in flight; ctx cuts that off too. A third signal
// ends the process.
//
// Both contexts end with parent. The caller must call stop when the run is over.
func Signals(parent context.Context) (ctx, drain context.Context, stop func()) {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	ctx, cancel := context.WithCancel(parent)
	drain, cancelDrain := context.WithCancel(ctx)
	over := make(chan struct{})
	go func() {
		defer close(over)
		defer signal.Stop(signals)
		for _, end := range []context.CancelFunc{cancelDrain, cancel} {
			select {
			case <-signals:
				end()
			case <-ctx.Done():
				return
			}
		}
	}()
	return ctx, drain, func() {
		cancel()
		<-over
	}
}

// Fail prints err and returns the exit code for it: Interrupted for
// ErrInterrupted and a canceled context, or else Failed.
func Fail(stderr io.Writer, err error) int {
	fmt.Fprintln(stderr, ErrorText(err))
	if errors.Is(err, ErrInterrupted) || errors.Is(err, context.Canceled) {
		return Interrupted
	}
	return Failed
}

// ErrorText returns the text of err without what package courier puts before its
// errors, "courier: merge profile: ", which says nothing to the user of a program.
// It is empty for nil.
func ErrorText(err error) string {
	if err == nil {
		return ""
	}
	text := err.Error()
	for _, operation := range []string{"merge", "get", "replace", "patch", "delete"} {
		text = strings.ReplaceAll(text, "courier: "+operation+" profile: ", "")
	}
	return strings.TrimPrefix(text, "courier: ")
}
