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

// usersByPartition returns one user of each partition.
func (q *queue) usersByPartition() map[int]string {
	users := map[int]string{}
	for i := 0; len(users) < q.partitions; i++ {
		user := fmt.Sprint("user-", i)
		users[q.partition(user)] = user
	}
	return users
}

// A worker sends requests for all partitions at the same time.
func TestPartitionsOverlap(t *testing.T) {
	t.Parallel()
	_, js := newNATS(t)
	const partitions = 256
	q := newQueueOf(t, js, partitions)
	for _, user := range q.usersByPartition() {
		mustPublish(t, js, user, user, plan("1"))
	}
	opened, f := newGate(t, partitions)
	w, _ := newWorker(t, js, f, quick)
	stop := startWorker(t, w)
	await(t, "a request for each partition at the same time", opened)
	stop()
}

// BenchmarkThroughput measures how many updates a worker merges per second. The metric
// of-the-most is the share of what is possible at most, one update of each partition at a time:
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
	users, publisher := q.usersByPartition(), &Publisher{q}
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
	atMost := float64(q.partitions) / benchLatency.Seconds()
	b.ReportMetric(perSecond, "updates/s")
	b.ReportMetric(perSecond/atMost, "of-the-most")
}
