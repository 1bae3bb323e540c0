// Courier-worker merges profile updates from NATS JetStream into Courier, on any number
// of machines, each user's updates in order.
//
//	go run -C cmd ./courier-worker
//
// shows it with an embedded nats-server and an in-memory fake of Courier. With NATS_URL
// and COURIER_API_KEY it works on the stream there; see README.md.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	courier "github.com/courier-profiles/courier-go"
	"github.com/courier-profiles/courier-go/cmd/internal/job"
)

func main() {
	ctx, drain, stop := job.Signals(context.Background())
	err := run(ctx, drain, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	if err != nil {
		os.Exit(job.Fail(os.Stderr, err))
	}
}

// minAckWait leaves a request, its report to the stream, and scheduling in between
// enough time.
const minAckWait = 2 * time.Second

// settings is what the flags set.
type settings struct {
	ackWait       time.Duration
	retryWait     time.Duration
	maxRetryWait  time.Duration
	maxDeliveries uint64
	replicas      int
	partitions    int // 0: as the stream has, or the default
	verbose       bool
	command       string
}

const usage = `Merges profile updates from a NATS JetStream stream into Courier.

	courier-worker [flags]            merges the updates of the stream
	courier-worker [flags] publish    publishes updates from standard input, one
	                                  {"user_id": "…", "profile": {…}} per line
	courier-worker [flags] recreate   replaces the empty stream with a new one, which
	                                  has the number of -partitions

NATS_URL is the server of the stream, and NATS_CREDS a file with credentials for it.
COURIER_API_KEY is the API key, and COURIER_BASE_URL the URL of the API if it is not
the default. Without any of them, a demo runs on an embedded nats-server and an
in-memory fake of Courier.

The exit code is 0 after SIGTERM or Ctrl-C, which finish what is in flight, and 2 if
the program could not start or continue. It is 130 after a second signal, which cuts
requests off, or if publish was interrupted. (go run exits with 1 instead of 2 or
130: use go build to get these codes.)

Flags:
`

func parseFlags(args []string, out io.Writer) (settings, error) {
	var s settings
	flags := flag.NewFlagSet("courier-worker", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.IntVar(&s.partitions, "partitions", 0, "`number` of partitions of the stream when it "+
		"is created, 1 to 4096 (default 256):\nthe updates in flight on all workers together")
	flags.IntVar(&s.replicas, "replicas", 1,
		"`number` of replicas of the streams when they are created; 3 for a cluster")
	flags.DurationVar(&s.ackWait, "ack-wait", 30*time.Second, "`time` after which an update of a "+
		"dead worker goes to another; use the same on\nall workers. A request may take half "+
		"of it, at most 30s")
	flags.DurationVar(&s.retryWait, "retry-wait", 500*time.Millisecond,
		"shortest `time` before an update is retried")
	flags.DurationVar(&s.maxRetryWait, "max-retry-wait", time.Minute,
		"longest `time` before an update is retried")
	flags.Uint64Var(&s.maxDeliveries, "max-deliveries", 100, "`number` of attempts after which "+
		"an update becomes a dead letter, on average\nafter 48 minutes; 0 for never")
	flags.BoolVar(&s.verbose, "v", false, "log every update")
	err := flags.Parse(args)
	s.command = flags.Arg(0)
	if err == nil && s.command != "" { // flags may follow it
		err = flags.Parse(flags.Args()[1:])
	}
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(out, usage)
		flags.SetOutput(out)
		flags.PrintDefaults()
	case err != nil:
		err = fmt.Errorf("%w (see -help)", err)
	case s.command != "" && s.command != "publish" && s.command != "recreate":
		err = fmt.Errorf("there is no command %q (see -help)", s.command)
	case flags.NArg() > 0:
		err = fmt.Errorf("unexpected argument %q (see -help)", flags.Arg(0))
	case s.ackWait < minAckWait:
		err = fmt.Errorf("-ack-wait is too short: use %v or more", minAckWait)
	case s.retryWait <= 0 || s.maxRetryWait < s.retryWait:
		err = errors.New("-retry-wait must be more than 0, and no more than -max-retry-wait")
	case s.partitions != 0:
		err = checkPartitions(s.partitions)
	}
	return s, err
}

func run(
	ctx, drain context.Context, args []string, in io.Reader, out, logs io.Writer,
) error {
	s, err := parseFlags(args, out)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	natsURL := os.Getenv("NATS_URL")
	hasKey := os.Getenv("COURIER_API_KEY") != "" || os.Getenv("COURIER_AUTH_TOKEN") != ""
	isDemo := natsURL == "" && !hasKey && s.command == ""
	if natsURL == "" && !isDemo {
		return errors.New("NATS_URL is not set: set it to the server of the stream, " +
			"such as nats://127.0.0.1:4222")
	}
	options := &slog.HandlerOptions{}
	if s.verbose || isDemo {
		options.Level = slog.LevelDebug
	}
	log := slog.New(slog.NewTextHandler(logs, options))
	if isDemo {
		return demo(ctx, drain, s, out, log)
	}
	js, err := connect(natsURL, log)
	if err != nil {
		return err
	}
	defer js.Conn().Close()
	switch s.command {
	case "publish":
		return publish(ctx, drain, js, s, in, out, logs)
	case "recreate":
		return recreate(ctx, js, s, out)
	}
	// Never the in-memory fake here: that would lose the updates in the stream.
	client, err := job.NewClient(false, courier.WithMaxRetries(0))
	if err != nil {
		return err
	}
	defer client.Close()
	w := &worker{client: client.Client, js: js, log: log, settings: s}
	return w.run(ctx, drain)
}

// connect fails if no server can be reached. It reconnects when the connection
// is lost later, however long that takes.
func connect(natsURL string, log *slog.Logger) (jetstream.JetStream, error) {
	options := []nats.Option{
		nats.Name("courier-worker"),
		nats.MaxReconnects(-1),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			log.Warn("NATS", "error", err)
		}),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				log.Warn("NATS: connection lost", "error", err)
			}
		}),
		nats.ReconnectHandler(func(*nats.Conn) { log.Info("NATS: reconnected") }),
	}
	if file := os.Getenv("NATS_CREDS"); file != "" {
		options = append(options, nats.UserCredentials(file))
	}
	conn, err := nats.Connect(natsURL, options...)
	if _, ok := errors.AsType[*url.Error](err); ok {
		err = errors.New("NATS_URL is not a URL") // which may hold a password
	}
	if err != nil {
		return nil, fmt.Errorf("connect to NATS: %w", err)
	}
	// Workers start, and open all consumers, just when a cluster is busy.
	js, err := jetstream.New(conn, jetstream.WithDefaultTimeout(30*time.Second))
	if err != nil {
		conn.Close()
	}
	return js, err
}
