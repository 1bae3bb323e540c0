package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/courier-profiles/courier-go/cmd/internal/job"
)

var (
	errNotSure  = errors.New("nothing was sent: to send this where nobody can be asked, add -yes")
	errDeclined = errors.New("nothing was sent")
)

// confirm asks on the terminal whether to send. Where standard input is the data,
// it asks on the terminal that the program runs in.
func confirm(ctx context.Context, question string, o *options, stdin *os.File,
	out io.Writer,
) error {
	in := stdin
	if o.input == "-" {
		tty, err := os.OpenFile(terminal, os.O_RDWR, 0)
		if err != nil {
			return errNotSure
		}
		defer tty.Close()
		in, out = tty, tty
	}
	if !job.IsTerminal(in) {
		return errNotSure
	}
	fmt.Fprint(out, question+" [y/N] ")
	answer := make(chan string, 1)
	go func() { // it ends with an answer, or with the process
		line, _ := bufio.NewReader(in).ReadString('\n')
		answer <- strings.ToLower(strings.TrimSpace(line))
	}()
	select {
	case text := <-answer:
		if text == "y" || text == "yes" {
			return nil
		}
		return errDeclined
	case <-ctx.Done():
		fmt.Fprintln(out)
		return job.ErrInterrupted
	}
}
