// Worker merges profile updates from NATS JetStream into Courier, on any number of
// machines, each user's updates in order.
//
//	go run -C examples/worker .
//
// runs a demo with an embedded nats-server and, unless COURIER_API_KEY is set, an
// in-memory fake of the Profiles API. With NATS_URL, and NATS_CREDS for a file of
// credentials, it joins a cluster and works until SIGINT or SIGTERM:
//
//	cd examples/worker && go build
//	NATS_URL=nats://… COURIER_API_KEY=… ./worker -replicas 3
//
// On such a signal it stops pulling, finishes what is in flight, hands back what it did not
// start, and exits with 0, all within -ack-wait. A second signal ends it at once. A
// key that Courier does not accept ends it with 1. However it ends, no update is
// lost.
//
// The module includes a server to try that, and a command that publishes a file
// with one {"id": "1", "user_id": "user-1", "profile": {…}} per line. Programs use
// [Publisher].
//
//	go run github.com/nats-io/nats-server/v2 -js
//	NATS_URL=nats://127.0.0.1:4222 ./worker publish < updates.ndjson
//
// # Order
//
// The updates of a user are merged in the order in which they were published,
// whatever fails. Each waits for Courier's response to the previous one. An old
// request that arrives late, from a frozen worker for example, changes nothing:
// Courier remembers its idempotency key for at least 24 hours. (After three
// responses with status 500 to one update, it is sent without a key and so without
// that protection.)
//
// # Partitions
//
// Users share the partitions of the stream, and each partition has one update in
// flight. So the number of partitions divided by the time that Courier and the
// stream take for one update is the most that all workers together can merge: with
// 256 partitions and 100 ms it is 2,560 updates per second. The flag -partitions
// sets the number when the stream is created. Later,
//
//	NATS_URL=… ./worker repartition 1024
//
// changes it while publishers and workers run, and each user's order is kept.
//
// # Failures
//
// While Courier fails on an update, those behind it in its partition wait. An
// update that Courier refuses, or fails on -max-deliveries times, goes to the
// stream COURIER_PROFILES_DEAD with the reason in its headers, and the later
// updates of its user continue. If it is still wanted, publish it again with a new
// ID.
//
// Logs hold no user ID, no profile and no key, except for what Courier itself says
// when it refuses an update. Both streams hold personal data.
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
	"strconv"
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
	partitions    int
}

func (s *settings) check() error {
	switch {
	case s.ackWait < minAckWait:
		return fmt.Errorf("-ack-wait is too short: use %v or more", minAckWait)
	case s.retryWait <= 0 || s.maxRetryWait < s.retryWait:
		return errors.New("-retry-wait must be more than 0, and no more than -max-retry-wait")
	}
	return checkPartitions(s.partitions)
}

func run(ctx context.Context, args []string, in io.Reader, out, logs io.Writer) error {
	var s settings
	flags := flag.NewFlagSet("worker", flag.ExitOnError)
	flags.Usage = func() {
		fmt.Fprint(flags.Output(), "worker [flags]                merges the updates of the stream at NATS_URL; without it, runs a demo\n"+
			"worker [flags] publish        publishes updates from standard input\n"+
			"worker [flags] repartition N  gives the stream N partitions, while workers and publishers run\n\n")
		flags.PrintDefaults()
	}
	flags.DurationVar(&s.ackWait, "ack-wait", 30*time.Second, "`time` after which an update of a worker that ended goes to another; a request has half of it, at most 30s")
	flags.DurationVar(&s.retryWait, "retry-wait", 500*time.Millisecond, "shortest `time` before an update is retried")
	flags.DurationVar(&s.maxRetryWait, "max-retry-wait", time.Minute, "longest `time` before an update is retried")
	flags.Uint64Var(&s.maxDeliveries, "max-deliveries", 100, "`times` after which an update becomes a dead letter, after 48 minutes on average; 0 for never")
	flags.IntVar(&s.replicas, "replicas", 1, "replicas of the streams when they are created; 3 for a cluster")
	flags.IntVar(&s.partitions, "partitions", defaultPartitions, "partitions of the stream when it is created, 1 to 4096: the updates in flight on all workers together")
	verbose := flags.Bool("v", false, "log every update")
	_ = flags.Parse(args) // exits on an error
	if err := s.check(); err != nil {
		return err
	}
	command, newPartitions := flags.Arg(0), 0
	switch {
	case command == "repartition" && flags.NArg() == 2:
		var err error
		if newPartitions, err = strconv.Atoi(flags.Arg(1)); err != nil {
			return fmt.Errorf("repartition: %q is not a number of partitions", flags.Arg(1))
		}
		if err := checkPartitions(newPartitions); err != nil {
			return err
		}
	case command == "repartition":
		return errors.New("repartition: give the number of partitions, as in worker repartition 1024")
	case flags.NArg() > 1 || command != "" && command != "publish":
		return fmt.Errorf("no such command: %q", flags.Args())
	}

	natsURL := os.Getenv("NATS_URL")
	options := &slog.HandlerOptions{}
	if *verbose || natsURL == "" {
		options.Level = slog.LevelDebug
	}
	log := slog.New(slog.NewTextHandler(logs, options))
	if natsURL == "" && command == "" {
		return demonstrate(ctx, s, out, log)
	}
	if natsURL == "" {
		return errors.New("set NATS_URL to the address of the stream, such as nats://127.0.0.1:4222")
	}
	js, err := connect(natsURL, log)
	if err != nil {
		return err
	}
	defer js.Conn().Close()
	switch command {
	case "publish":
		return publish(ctx, js, s, in, out)
	case "repartition":
		return repartition(ctx, js, newPartitions, out)
	}
	// Never the in-memory fake here: that would lose the updates in the stream.
	client, err := courier.NewClientFromEnv(courier.WithMaxRetries(0))
	if err != nil {
		return err
	}
	defer client.CloseIdleConnections()
	w := &worker{client: client, js: js, log: log, settings: s}
	return w.run(ctx)
}

func publish(ctx context.Context, js jetstream.JetStream, s settings, in io.Reader, out io.Writer) error {
	q, err := openStreams(ctx, js, s.replicas, s.partitions)
	if err != nil {
		return err
	}
	published, duplicates, err := publishLines(ctx, &Publisher{js: js, layout: q.current}, in)
	fmt.Fprintf(out, "%d published, %d already there\n", published, duplicates)
	return err
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
	var parse *url.Error
	if errors.As(err, &parse) {
		err = errors.New("NATS_URL is not a URL") // which may hold a password
	}
	if err != nil {
		return nil, fmt.Errorf("connecting to NATS: %w", err)
	}
	// Workers start, and open all consumers, just when a cluster is busy.
	js, err := jetstream.New(conn, jetstream.WithDefaultTimeout(30*time.Second))
	if err != nil {
		conn.Close()
	}
	return js, err
}
