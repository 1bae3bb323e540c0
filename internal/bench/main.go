// Bench measures package courier beside what people write in its place: net/http
// by hand, go-retryablehttp, and resty.
//
//	go run -C internal/bench . >results.md
//
// It prints tables in Markdown, and draws bench.svg. Each round has all
// contenders do the same, one after the other, in an order that is drawn anew each
// time; ratios are of one round each, and of them the median is shown.
// All send the same bytes to the same server, a process of its own on this
// machine, with connection pools of the same size.
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

// The processes that bench starts are bench itself, with one of these as its
// only argument.
const (
	serverRole = "serve"
	workerRole = "work"
)

// self is a process of this program in another role.
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

// config is what the flags say.
type config struct {
	rounds int
	short  bool
	out    string
}

func parse(args []string) (config, error) {
	var c config
	flags := flag.NewFlagSet("bench", flag.ExitOnError)
	flags.IntVar(&c.rounds, "rounds", 9, "how many `rounds`")
	flags.BoolVar(&c.short, "short", false, "few calls, to see that all works: the figures mean nothing")
	flags.StringVar(&c.out, "out", "bench.svg", "`file` for the chart")
	_ = flags.Parse(args) // exits on an error
	if c.rounds < 1 {
		return c, errors.New("-rounds has to be 1 or more")
	}
	if flags.NArg() > 0 {
		return c, fmt.Errorf("no arguments, only flags: what is %q?", flags.Arg(0))
	}
	return c, nil
}

// run measures, prints the tables to out and tells on progress how far it is.
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

// trust has this process take the server's certificate for that of an authority,
// as http.DefaultClient cannot be told otherwise. It has to come before the first
// connection with TLS.
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
