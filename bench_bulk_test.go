package courier_test

import (
	"bufio"
	"context"
	"fmt"
	"iter"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	courier "github.com/courier-profiles/courier-go"
	"github.com/courier-profiles/courier-go/couriertest"
)

// BenchmarkMergeAll and BenchmarkHandPool are throughput over loopback HTTP/1.1
// with 64 in flight, against couriertest in a process of its own. Compare
// medians of many short rounds in turn; for a million updates use
// -benchtime 1000000x.

const bulkInFlight = 64

func BenchmarkMergeAll(b *testing.B) {
	client, err := courier.NewClient(couriertest.DefaultAPIKey, courier.WithBaseURL(bulkServer(b)))
	if err != nil {
		b.Fatal(err)
	}
	defer client.CloseIdleConnections()
	measure := bulkHeap(b)
	for outcome := range client.Profiles.MergeAll(b.Context(), bulkUpdates(b.N), courier.WithConcurrency(bulkInFlight)) {
		if outcome.Err != nil {
			b.Error(outcome.Err)
		}
	}
	measure()
}

// BenchmarkHandPool is what a careful programmer writes in its place, without
// order, retries and backpressure.
func BenchmarkHandPool(b *testing.B) {
	base := bulkServer(b)
	client := &http.Client{
		Transport: &http.Transport{MaxIdleConnsPerHost: bulkInFlight},
		Timeout:   30 * time.Second,
	}
	defer client.CloseIdleConnections()
	type update struct {
		userID  string
		profile handProfile
	}
	measure := bulkHeap(b)
	updates := make(chan update)
	var pool sync.WaitGroup
	for range bulkInFlight {
		pool.Go(func() {
			for u := range updates {
				if _, err := mergeByHand(b.Context(), client, base, couriertest.DefaultAPIKey, u.userID, u.profile); err != nil {
					b.Error(err)
				}
			}
		})
	}
	for i := range b.N {
		updates <- update{bulkUserID(i), handTwoFields()}
	}
	close(updates)
	pool.Wait()
	measure()
}

func bulkUserID(i int) string { return fmt.Sprint("user-", i%100_000) }

func bulkUpdates(n int) iter.Seq2[string, courier.Profile] {
	return func(yield func(string, courier.Profile) bool) {
		for i := range n {
			if !yield(bulkUserID(i), twoFields()) {
				return
			}
		}
	}
}

// bulkHeap starts the clock; the function it returns stops it and reports the
// most heap that was in use.
func bulkHeap(b *testing.B) func() {
	b.ReportAllocs()
	runtime.GC()
	var most uint64
	stop, stopped := context.WithCancel(b.Context())
	var sampler sync.WaitGroup
	sampler.Go(func() {
		for stop.Err() == nil {
			var stats runtime.MemStats
			runtime.ReadMemStats(&stats)
			most = max(most, stats.HeapInuse)
			time.Sleep(20 * time.Millisecond)
		}
	})
	b.ResetTimer()
	return func() {
		b.StopTimer()
		stopped()
		sampler.Wait()
		b.ReportMetric(float64(most)/(1<<20), "MiB-heap")
	}
}

// bulkServer starts this test binary as the server, so that the heap measured
// is the client's.
func bulkServer(b *testing.B) (url string) {
	server := exec.Command(os.Args[0])
	server.Env = append(os.Environ(), bulkServerEnv+"=1")
	server.Stderr = os.Stderr
	in, err := server.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := server.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := server.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = in.Close()
		_ = server.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	return strings.TrimSpace(line)
}

const bulkServerEnv = "COURIER_TEST_BULK_SERVER"

// TestMain is the server of bulkServer where that says so, until its input ends.
func TestMain(m *testing.M) {
	if os.Getenv(bulkServerEnv) == "" {
		os.Exit(m.Run())
	}
	server := couriertest.NewServer()
	server.MaxRequests = -1
	fmt.Println(server.URL)
	_, _ = bufio.NewReader(os.Stdin).ReadByte()
	server.Close()
}
