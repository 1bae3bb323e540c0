package main

import (
	"encoding/json"
	"encoding/xml"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestMain is also the server's process.
func TestMain(m *testing.M) {
	if slices.Contains(os.Args, serveArgument) {
		serve()
		return
	}
	os.Exit(m.Run())
}

// request is a request as the server received it.
type request struct {
	Method, Path, Body string
	Header             http.Header
}

// requestsOf returns what a client sends, by path.
func requestsOf(t *testing.T, which int, send func(client)) []request {
	t.Helper()
	var mu sync.Mutex
	var requests []request
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			t.Error(err)
		}
		mu.Lock()
		requests = append(requests,
			request{req.Method, req.URL.EscapedPath(), string(body), req.Header})
		mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, responseTo(req))
	}))
	defer server.Close()
	pool, _ := newPool(which)
	defer pool.CloseIdleConnections()
	send(newClient(which, server.URL, pool))
	slices.SortFunc(requests, func(a, b request) int { return strings.Compare(a.Path, b.Path) })
	return requests
}

func TestClientsSendTheSame(t *testing.T) {
	t.Parallel()
	for _, row := range allRows() {
		if row.inFlight != 1 && row.operation != "MergeAll" {
			continue
		}
		t.Run(row.String(), func(t *testing.T) {
			t.Parallel()
			three := func(c client) {
				var calls atomic.Int64
				row.run(c, row.inFlight, func() bool { return calls.Add(1) <= 3 })
			}
			want := requestsOf(t, byHand, three)
			if len(want) != 3 {
				t.Errorf("%d requests, want 3", len(want))
			}
			got := requestsOf(t, thisPackage, three)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("requests (-by hand +courier-go):\n%s", diff)
			}
		})
	}
}

func TestHandResponseHasAllFields(t *testing.T) {
	t.Parallel()
	decoder := json.NewDecoder(strings.NewReader(getJSON))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(new(handResponse)); err != nil {
		t.Error(err)
	}
}

func TestRatioIsOfEachRound(t *testing.T) {
	t.Parallel()
	var r result
	for _, round := range [][2]float64{{10, 20}, {100, 100}, {1000, 500}, {10, 90}, {10, 0}} {
		for which, value := range round {
			r.rounds[which] = append(r.rounds[which], map[figure]float64{cpu: value})
		}
	}
	got, want := r.ratio(cpu), spread{median: 1, low: 0.5, high: 2}
	if got != want {
		t.Errorf("ratio %v, want %v", got, want)
	}
}

func TestResultsKeepOtherSections(t *testing.T) {
	t.Parallel()
	text := withSection("# Results\n", "## Go 1.27\n\nfirst\n")
	text = withSection(text, "## Go 1.26\n\nother\n")
	text = withSection(text, "## Go 1.27\n\nsecond\n")
	want := "# Results\n\n## Go 1.27\n\nsecond\n\n## Go 1.26\n\nother\n"
	if diff := cmp.Diff(want, text); diff != "" {
		t.Errorf("results (-want +got):\n%s", diff)
	}
}

// A run of all rows, with a server in another process.
func TestShortRun(t *testing.T) {
	r := report{rounds: 1, duration: 5 * time.Millisecond, updates: 100}
	urls, server := startServer()
	defer server.Close()
	for _, row := range allRows() {
		r.results = append(r.results, result{row: row})
	}
	r.measureRounds(urls)
	for which := range names {
		r.heaps[which] = heapPeak(which, urls[http1], r.updates)
	}
	for _, result := range r.results {
		if result.median(thisPackage, throughput) <= 0 {
			t.Errorf("%s: no throughput", result)
		}
		opened := result.median(thisPackage, connections) > 0
		if opened != (result.network != inMemory) {
			t.Errorf("%s: connections opened: %t", result, opened)
		}
	}
	for _, output := range []string{r.section(), r.chart()} {
		for _, wrong := range []string{"NaN", "Inf", "%!"} {
			if strings.Contains(output, wrong) {
				t.Errorf("%q in the output:\n%s", wrong, output)
			}
		}
	}
	if err := xml.Unmarshal([]byte(r.chart()), new(struct{})); err != nil {
		t.Errorf("chart: %v", err)
	}
}
