package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	courier "github.com/courier-profiles/courier-go"
	"github.com/courier-profiles/courier-go/cmd/internal/job"
	"github.com/courier-profiles/courier-go/couriertest"
)

var demoUsers = []string{"ada", "grace", "alan/turing@example.com"}

// demo publishes updates to a stream of its own and merges them.
func demo(
	ctx, drain context.Context, s settings, out io.Writer, log *slog.Logger,
) (err error) {
	fmt.Fprintln(out, "This demo uses an embedded nats-server, and an in-memory fake of Courier, "+
		"which fails the first two requests.")
	dir, err := os.MkdirTemp("", "courier-worker-")
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
	client, err := job.NewClient(true, courier.WithMaxRetries(0))
	if err != nil {
		return err
	}
	defer client.Close()
	client.Fake.Fail(couriertest.Fault{Status: 503},
		couriertest.Fault{Status: 429, RetryAfter: "1"})

	q, err := openQueue(ctx, js, s)
	if err != nil {
		return err
	}
	if err := publishDemo(ctx, &Publisher{q}, out); err != nil {
		return err
	}
	fmt.Fprintln(out, "\nWorking:")
	w := &worker{client: client.Client, js: js, log: log, settings: s}
	err = w.runUntilEmpty(ctx, drain, q.stream)
	if drain.Err() != nil && ctx.Err() == nil {
		return nil // ended by a signal, like any other worker
	}
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "\nThe profiles:")
	for _, user := range demoUsers {
		profile, _ := client.Fake.Profile(user)
		fmt.Fprintln(out, " ", user, profile)
	}
	dead, err := js.Stream(ctx, deadName)
	if err != nil {
		return err
	}
	letter, err := dead.GetLastMsgForSubject(ctx, deadSubject)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "The dead letter, in %s:\n  %s\n", deadName, letter.Header.Get(deadReason))
	job.WriteCounts(out,
		job.Count{Name: "merged", N: w.merged.Load()},
		job.Count{Name: "dead letters", N: w.dead.Load()},
		job.Count{Name: "retried", N: w.retried.Load()},
	)
	return nil
}

// publishDemo publishes three updates of each user, the last one twice, and a message that
// is not an update.
func publishDemo(ctx context.Context, p *Publisher, out io.Writer) error {
	fmt.Fprintln(out, "\nPublishing:")
	send := func(id, user string, profile courier.Profile) error {
		ack, err := p.Publish(ctx, id, user, profile)
		if err != nil {
			return err
		}
		note := ""
		if ack.Duplicate {
			note = " (published again, but the stream already has it)"
		}
		_, err = fmt.Fprintf(out, "  to partition %3d: %s %s%s\n",
			p.queue.partition(user), user, profile, note)
		return err
	}
	updates := []courier.Profile{
		{Email: courier.Set("old@example.com"), PhoneNumber: courier.Set("555-555-5555")},
		{Email: courier.Set("new@example.com"), Custom: courier.Set(map[string]any{"plan": "trial"})},
		{PhoneNumber: courier.Null[string](), Custom: courier.Set(map[string]any{"plan": "pro"})},
	}
	for i, profile := range append(updates, updates[2]) {
		for _, user := range demoUsers {
			if err := send(fmt.Sprintf("%s-%d", user, min(i, 2)), user, profile); err != nil {
				return err
			}
		}
	}
	const malformed = `{"user_id": "ada", "profile": "no object"}`
	fmt.Fprintln(out, "  malformed, as another program might:", malformed)
	_, err := p.queue.js.Publish(ctx, p.queue.subjectOf("ada"), []byte(malformed),
		jetstream.WithMsgID("malformed"))
	return err
}

// runUntilEmpty works until all that was published is settled.
func (w *worker) runUntilEmpty(ctx, drain context.Context, stream jetstream.Stream) error {
	drain, stop := context.WithCancel(drain)
	defer stop()
	emptied := make(chan error, 1)
	go func() {
		defer stop()
		emptied <- waitUntilEmpty(drain, stream)
	}()
	err := w.run(ctx, drain)
	stop() // if it ended by itself
	return errors.Join(err, <-emptied)
}

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
