package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	courier "github.com/courier-profiles/courier-go"
	"github.com/courier-profiles/courier-go/couriertest"
)

// demonstrate publishes updates to a stream of its own and merges them.
func demonstrate(ctx context.Context, s settings, out io.Writer, log *slog.Logger) (err error) {
	fmt.Fprintln(out, "NATS_URL is not set: using an embedded nats-server.")
	dir, err := os.MkdirTemp("", "courier-worker")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	embedded, err := startNATS(dir, server.RANDOM_PORT)
	if err != nil {
		return err
	}
	defer stopNATS(embedded)
	js, err := connect(embedded.ClientURL(), log)
	if err != nil {
		return err
	}
	defer js.Conn().Close()

	if os.Getenv("COURIER_API_KEY") == "" && os.Getenv("COURIER_AUTH_TOKEN") == "" {
		fmt.Fprintln(out, "COURIER_API_KEY is not set: using an in-memory fake of the Profiles API, which fails the first two requests.")
		fake := couriertest.NewServer()
		defer fake.Close()
		fake.Fail(couriertest.Fault{Status: 503}, couriertest.Fault{Status: 429, RetryAfter: "1"})
		client, err := fake.Client(courier.WithMaxRetries(0))
		if err != nil {
			return err
		}
		return demonstrateWith(ctx, &worker{client: client, js: js, log: log, settings: s}, out)
	}
	fmt.Fprintln(out, "COURIER_API_KEY is set: creating three profiles at Courier, whose IDs begin with worker-demo.")
	client, err := courier.NewClientFromEnv(courier.WithMaxRetries(0))
	if err != nil {
		return err
	}
	defer client.CloseIdleConnections()
	return demonstrateWith(ctx, &worker{client: client, js: js, log: log, settings: s}, out)
}

func demonstrateWith(ctx context.Context, w *worker, out io.Writer) error {
	q, err := openStreams(ctx, w.js, 1, w.partitions)
	if err != nil {
		return err
	}
	users := []string{"worker-demo-ada", "worker-demo-grace", "worker-demo/alan@example.com"}
	if err := publishDemo(ctx, &Publisher{js: w.js, layout: q.current}, users, out); err != nil {
		return err
	}

	fmt.Fprintln(out, "\nWorking:")
	workCtx, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- w.run(workCtx) }()
	emptied := make(chan error, 1)
	go func() { emptied <- waitUntilEmpty(workCtx, q.stream) }()
	select {
	case err = <-ended: // early: a signal, or Courier does not accept the key
		stop()
		<-emptied
	case err = <-emptied:
		stop()
		err = errors.Join(err, <-ended)
	}
	if err != nil {
		return err
	}

	fmt.Fprintln(out, "\nThe profiles:")
	for _, user := range users {
		got, err := w.client.Profiles.Get(ctx, user)
		if err != nil {
			return err
		}
		fmt.Fprintln(out, " ", user, got.Profile)
	}
	dead, err := w.js.Stream(ctx, deadName)
	if err != nil {
		return err
	}
	letter, err := dead.GetLastMsgForSubject(ctx, deadSubject)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "The dead letter, in %s:\n  %s\n", deadName, letter.Header.Get(deadReason))
	_, err = fmt.Fprintf(out, "%d merged, %d dead, %d failures retried\n", w.merged.Load(), w.dead.Load(), w.retried.Load())
	return err
}

// publishDemo publishes three updates of each user, one of them twice, and a
// message that is not an update.
func publishDemo(ctx context.Context, p *Publisher, users []string, out io.Writer) error {
	fmt.Fprintln(out, "\nPublishing:")
	run := rand.Text() // an ID identifies its update forever
	for i, profile := range []courier.Profile{
		{Email: courier.Set("old@example.com"), PhoneNumber: courier.Set("555-555-5555")},
		{Email: courier.Set("new@example.com"), Custom: courier.Set(map[string]any{"plan": "trial"})},
		{PhoneNumber: courier.Null[string](), Custom: courier.Set(map[string]any{"plan": "pro"})},
	} {
		for j, user := range users {
			id := fmt.Sprintf("%s-%d-%d", run, j, i)
			if _, err := p.Publish(ctx, id, user, profile); err != nil {
				return err
			}
			fmt.Fprintf(out, "  to partition %3d: %s %s\n", p.layout.partition(user), user, profile)
			if i < 2 || j < 2 {
				continue
			}
			again, err := p.Publish(ctx, id, user, profile)
			if err != nil {
				return err
			}
			fmt.Fprintf(out, "  the same again: duplicate=%v\n", again.Duplicate)
		}
	}
	const malformed = `{"user_id": "worker-demo-ada", "profile": "no object"}`
	fmt.Fprintln(out, "  malformed, as another program might:", malformed)
	_, err := p.js.Publish(ctx, p.layout.of(users[0]), []byte(malformed), jetstream.WithMsgID(run+"-malformed"))
	return err
}

// waitUntilEmpty waits until all that was published is settled.
func waitUntilEmpty(ctx context.Context, stream jetstream.Stream) error {
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for {
		info, err := stream.Info(ctx)
		if err != nil || info.State.Msgs == 0 {
			return err
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
