// Bench compares package courier with what people write instead: hand-written
// net/http code, go-retryablehttp, and resty.
//
//	go run -C internal/bench . >results.md
//
// It prints tables in Markdown, and draws bench.svg. In each round, all contenders
// do the same work, one after the other, in random order. Each ratio is taken
// within one round, and the tables show the median. All send the same bytes to the
// same server, a separate process on this machine, with connection pools of the
// same size.
//
// It needs a Unix system, and the go command.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
)

// Bench starts itself as the other processes, with one of these as the only
// argument.
const (
	serverRole = "serve"
	workerRole = "work"
)

// self returns a process of this program in another role.
func self(role string) (*exec.Cmd, error) {
	path, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return exec.Command(path, role), nil
}

// play plays a role, if the arguments ask for one.
func play(ctx context.Context, args []string) (played bool, err error) {
	if len(args) != 2 {
		return false, nil
	}
	switch args[1] {
	case serverRole:
		return true, serve(os.Stdin, os.Stdout)
	case workerRole:
		return true, work(ctx, os.Stdin, os.Stdout)
	}
	return false, nil
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	played, err := play(ctx, os.Args)
	if !played {
		err = run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// config holds the flags.
type config struct {
	rounds int
	short  bool
	out    string
}

func parse(args []string) (config, error) {
	var c config
	flags := flag.NewFlagSet("bench", flag.ExitOnError)
	flags.IntVar(&c.rounds, "rounds", 9, "number of `rounds`")
	flags.BoolVar(&c.short, "short", false, "make few calls, as a smoke test: the figures mean nothing")
	flags.StringVar(&c.out, "out", "bench.svg", "`file` for the chart")
	_ = flags.Parse(args) // exits on an error
	if c.rounds < 1 {
		return c, errors.New("-rounds must be 1 or more")
	}
	if flags.NArg() > 0 {
		return c, fmt.Errorf("unexpected argument %q: use only flags", flags.Arg(0))
	}
	return c, nil
}

// run measures, prints the tables to out, and reports progress.
func run(ctx context.Context, args []string, out, progress io.Writer) (err error) {
	c, err := parse(args)
	if err != nil {
		return err
	}
	srv, err := startServer()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, srv.stop()) }()
	folder, err := os.MkdirTemp("", "courier-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	if err := trust(srv, folder); err != nil {
		return err
	}
	results, err := c.measure(ctx, srv, progress)
	if err != nil {
		return err
	}
	if err := results.writeTables(out); err != nil {
		return err
	}
	return results.writeChart(c.out)
}

// trust makes this process trust the server's certificate as a root, because
// http.DefaultClient cannot be configured. Call it before the first TLS connection.
func trust(srv *server, folder string) error {
	at, err := srv.listen(http2)
	if err != nil {
		return err
	}
	if _, err := srv.close(); err != nil {
		return err
	}
	file := filepath.Join(folder, "certificate.pem")
	return errors.Join(
		os.WriteFile(file, []byte(at.Certificate), 0o600),
		os.Setenv("SSL_CERT_FILE", file),
		os.Setenv("SSL_CERT_DIR", folder))
}
