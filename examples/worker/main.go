// Worker merges profile updates from NATS JetStream at Courier, on as many
// machines as are started, the updates of each user in their order.
//
//	go run -C examples/worker .
//
// shows all of it with an embedded nats-server, and with the Profiles API in
// memory unless COURIER_API_KEY is set. With NATS_URL, and NATS_CREDS for a file
// of credentials, it joins a cluster and works until SIGINT or SIGTERM:
//
//	cd examples/worker && go build
//	NATS_URL=nats://… COURIER_API_KEY=… ./worker -replicas 3
//
// Then it stops pulling, finishes what is in flight, hands back what it did not
// begin, and exits with 0, all within -ack-wait. A second signal ends it at once.
// A key that Courier does not accept ends it with 1. Whatever ends it, no update
// is lost.
//
// A server to try that with is in the module, and so is a way to publish from a
// file, one {"id": "1", "user_id": "user-1", "profile": {…}} a line. A program
// does what [Publish] does.
//
//	go run github.com/nats-io/nats-server/v2 -js
//	NATS_URL=nats://127.0.0.1:4222 ./worker publish < updates.ndjson
//
// # Order
//
// The updates of a user are merged in the order in which they were published,
// whatever fails or ends on the way. Each waits until Courier has answered the
// one before. An old request that arrives late, from a worker that was frozen
// say, changes nothing: Courier knows its idempotency key, for 24 hours at least.
// (Where Courier has answered one update with 500 three times, it goes without a
// key from then on, and so without that protection.)
//
// Users share 64 partitions, and of each partition one update is in flight. So
// 64 are in flight on all workers together, and the throughput is 64 by the time
// that Courier and the stream take for one.
//
// # Failures
//
// While Courier fails on an update, those behind it in its partition wait. An
// update that Courier refuses, or fails on -max-deliveries times, goes to the
// stream COURIER_PROFILES_DEAD with the reason in its headers, and the later
// updates of its user go on. Publish it again with a new id, if it is still
// wanted then.
//
// Logs hold no user id, no profile and no key, but what Courier itself says when
// it refuses an update. Both streams hold personal data.
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
	"os/signal"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	courier "github.com/courier-profiles/courier-go"
)

func main() {
	signaled, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithCancel(context.Background())
	context.AfterFunc(signaled, func() {
		stop() // another one ends the program at once
		cancel()
	})
	if err := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// settings is what the flags set.
type settings struct {
	ackWait       time.Duration
	retryWait     time.Duration
	maxRetryWait  time.Duration
	maxDeliveries uint64
	replicas      int
}

func (s *settings) check() error {
	switch {
	case s.ackWait < 2*pullWait:
		return fmt.Errorf("-ack-wait is too short: use %v or more", 2*pullWait)
	case s.retryWait <= 0 || s.maxRetryWait < s.retryWait:
		return errors.New("-retry-wait has to be more than 0, and no more than -max-retry-wait")
	}
	return nil
}

func run(ctx context.Context, args []string, in io.Reader, out, logs io.Writer) error {
	var s settings
	flags := flag.NewFlagSet("worker", flag.ExitOnError)
	flags.Usage = func() {
		fmt.Fprint(flags.Output(), "worker [flags]          works on the stream at NATS_URL; without that, shows how\n"+
			"worker [flags] publish  puts updates from standard input into the stream\n\n")
		flags.PrintDefaults()
	}
	flags.DurationVar(&s.ackWait, "ack-wait", 30*time.Second, "`time` after which an update of a worker that ended goes to another; a request has half of it, 30s at the most")
	flags.DurationVar(&s.retryWait, "retry-wait", 500*time.Millisecond, "shortest `time` before an update is tried again")
	flags.DurationVar(&s.maxRetryWait, "max-retry-wait", time.Minute, "longest `time` before an update is tried again")
	flags.Uint64Var(&s.maxDeliveries, "max-deliveries", 100, "`times` after which an update is given up, 48 minutes on average; 0 for never")
	flags.IntVar(&s.replicas, "replicas", 1, "replicas of the streams, where they are not there yet; 3 for a cluster")
	verbose := flags.Bool("v", false, "log every update")
	_ = flags.Parse(args) // exits on an error
	if err := s.check(); err != nil {
		return err
	}
	publishing := flags.Arg(0) == "publish"
	if flags.NArg() > 1 || flags.NArg() == 1 && !publishing {
		return fmt.Errorf("no such command: %q", flags.Args())
	}

	natsURL := os.Getenv("NATS_URL")
	options := &slog.HandlerOptions{}
	if *verbose || natsURL == "" {
		options.Level = slog.LevelDebug
	}
	log := slog.New(slog.NewTextHandler(logs, options))
	if natsURL == "" && !publishing {
		return demonstrate(ctx, s, out, log)
	}
	if natsURL == "" {
		return errors.New("set NATS_URL to where the stream is, such as nats://127.0.0.1:4222")
	}
	js, err := connect(natsURL, log)
	if err != nil {
		return err
	}
	defer js.Conn().Close()
	if publishing {
		return publish(ctx, js, s, in, out)
	}
	// Never in memory here: that would empty the stream into nowhere.
	client, err := courier.NewClientFromEnv(courier.WithMaxRetries(0))
	if err != nil {
		return err
	}
	defer client.CloseIdleConnections()
	w := &worker{client: client, js: js, log: log, settings: s}
	return w.run(ctx)
}

func publish(ctx context.Context, js jetstream.JetStream, s settings, in io.Reader, out io.Writer) error {
	if _, err := openStreams(ctx, js, s.replicas); err != nil {
		return err
	}
	published, duplicates, err := publishLines(ctx, js, in)
	fmt.Fprintf(out, "%d published, %d already there\n", published, duplicates)
	return err
}

// connect fails if no server can be reached. A connection that is lost later is
// made again, however long that takes.
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
		nats.ReconnectHandler(func(*nats.Conn) { log.Info("NATS: connected again") }),
	}
	if file := os.Getenv("NATS_CREDS"); file != "" {
		options = append(options, nats.UserCredentials(file))
	}
	conn, err := nats.Connect(natsURL, options...)
	var parse *url.Error
	if errors.As(err, &parse) {
		err = errors.New("NATS_URL is no URL") // which may hold a password
	}
	if err != nil {
		return nil, fmt.Errorf("connecting to NATS: %w", err)
	}
	// Workers start, and have 64 consumers each, just when a cluster is busy.
	js, err := jetstream.New(conn, jetstream.WithDefaultTimeout(30*time.Second))
	if err != nil {
		conn.Close()
	}
	return js, err
}
