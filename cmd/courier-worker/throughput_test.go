package main

import (
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	courier "github.com/courier-profiles/courier-go"
	"github.com/courier-profiles/courier-go/couriertest"
)

var (
	benchPartitions = flag.Int("partitions", 256, "`number` of partitions of the benchmark")
	benchLatency    = flag.Duration("latency", 100*time.Millisecond,
		"`time` of each request of the benchmark")
)

// userOfEach returns a user of each partition.
func (q *queue) userOfEach() map[int]string {
	users := map[int]string{}
	for i := 0; len(users) < q.partitions; i++ {
		user := fmt.Sprint("user-", i)
		users[q.partition(user)] = user
	}
	return users
}

// All partitions are worked on at once, by as many requests.
func TestPartitionsOverlap(t *testing.T) {
	t.Parallel()
	_, js := newNATS(t)
	q := newQueueOf(t, js, 256)
	for _, user := range q.userOfEach() {
		mustPublish(t, js, user, user, plan("1"))
	}
	gate, f := newGate(t, 256)
	w, _ := newWorker(t, js, f, quick)
	stop := startWorker(t, w)
	await(t, "256 requests at the same time", gate)
	stop()
}

// BenchmarkThroughput measures how many updates a worker merges per second, and how much
// that is of the most possible, the partitions divided by the latency:
//
//	go test -run '^$' -bench Throughput -benchtime 20000x
func BenchmarkThroughput(b *testing.B) {
	nats, err := startNATS(b.TempDir(), server.RANDOM_PORT)
	if err != nil {
		b.Fatal(err)
	}
	defer stopNATS(nats)
	log := slog.New(slog.DiscardHandler)
	js, err := connect(nats.ClientURL(), log)
	if err != nil {
		b.Fatal(err)
	}
	defer js.Conn().Close()
	s := quick
	s.partitions = *benchPartitions
	q, err := openQueue(b.Context(), js, s)
	if err != nil {
		b.Fatal(err)
	}
	users, publisher := q.userOfEach(), &Publisher{q}
	for i := range b.N {
		user := users[i%q.partitions]
		_, err := publisher.Publish(b.Context(), fmt.Sprint("id-", i), user, plan("pro"))
		if err != nil {
			b.Fatal(err)
		}
	}
	handler := couriertest.NewHandler()
	handler.MaxRequests = -1
	fake := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(*benchLatency)
		handler.ServeHTTP(w, r)
	}))
	defer fake.Close()
	client, err := courier.NewClient(handler.APIKey, courier.WithBaseURL(fake.URL),
		courier.WithMaxRetries(0))
	if err != nil {
		b.Fatal(err)
	}
	defer client.CloseIdleConnections()

	w := &worker{client: client, js: js, settings: s, log: log}
	b.ResetTimer()
	began := time.Now()
	if err := w.runUntilEmpty(b.Context(), b.Context(), q.stream); err != nil {
		b.Fatal(err)
	}
	perSecond := float64(w.merged.Load()) / time.Since(began).Seconds()
	b.ReportMetric(perSecond, "updates/s")
	b.ReportMetric(perSecond*benchLatency.Seconds()/float64(q.partitions), "of-the-most")
}
