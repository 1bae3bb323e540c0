package main

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
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

	courier "github.com/courier-profiles/courier-go"
)

// TestMain is also the server's process.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == serverArgument {
		main()
		return
	}
	os.Exit(m.Run())
}

// request is a request as the server received it.
type request struct {
	Method, Path, Body string
	Header             http.Header
}

// recorder is a server that keeps all requests.
type recorder struct {
	*httptest.Server
	mu       sync.Mutex
	requests []request
}

func newRecorder(t *testing.T) *recorder {
	r := new(recorder)
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			t.Error(err)
		}
		r.mu.Lock()
		r.requests = append(r.requests,
			request{req.Method, req.URL.EscapedPath(), string(body), req.Header})
		r.mu.Unlock()
		respond(w, req)
	}))
	t.Cleanup(r.Close)
	return r
}

// open opens a client of the recorder, which is closed after the test.
func (r *recorder) open(t *testing.T, c contender) client {
	t.Helper()
	opened, err := c.open(endpoint{url: r.URL, opened: new(atomic.Int64)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(opened.close)
	return opened
}

func wantRequest(method, path, body string) request {
	header := http.Header{
		"Accept":          {"application/json"},
		"Accept-Encoding": {"gzip"},
		"Authorization":   {"Bearer " + apiKey},
		"User-Agent":      {agent},
	}
	if body != "" {
		header.Set("Content-Type", "application/json")
		header.Set("Content-Length", fmt.Sprint(len(body)))
	}
	return request{method, path, body, header}
}

const (
	fewBody  = `{"profile":{"email":"user@example.com","phone_number":"555-555-5555"}}`
	manyBody = `{"profile":` + manyText + `}`
)

func TestContendersMergeTheSame(t *testing.T) {
	t.Parallel()
	for _, c := range contenders() {
		for fields, body := range map[int]string{few: fewBody, many: manyBody} {
			t.Run(fmt.Sprintf("%s, %d fields", c.name, fields), func(t *testing.T) {
				t.Parallel()
				server := newRecorder(t)
				status, err := server.open(t, c).merge(t.Context(), "a b", fields)
				if err != nil {
					t.Fatal(err)
				}
				if status != "SUCCESS" {
					t.Errorf("status %q, want SUCCESS", status)
				}
				want := []request{wantRequest("POST", "/profiles/a%20b", body)}
				if diff := cmp.Diff(want, server.requests); diff != "" {
					t.Errorf("requests (-want +got):\n%s", diff)
				}
			})
		}
	}
}

func TestContendersGetTheSame(t *testing.T) {
	t.Parallel()
	// Both read a null start like an absent one.
	sent := strings.Replace(responseTo("GET"), `,"start":null`, "", 1)
	want := decoded(t, sent)
	for _, c := range contenders()[:2] {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			server := newRecorder(t)
			response, err := server.open(t, c).get(t.Context(), "a b")
			if err != nil {
				t.Fatal(err)
			}
			if result, ok := response.(*courier.GetResult); ok {
				response = map[string]any{
					"profile":     result.Profile,
					"preferences": result.Preferences,
				}
			}
			text, err := json.Marshal(response)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, decoded(t, string(text))); diff != "" {
				t.Errorf("response (-want +got):\n%s", diff)
			}
			requests := []request{wantRequest("GET", "/profiles/a%20b", "")}
			if diff := cmp.Diff(requests, server.requests); diff != "" {
				t.Errorf("requests (-want +got):\n%s", diff)
			}
		})
	}
}

func decoded(t *testing.T, text string) (value any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &value); err != nil {
		t.Fatal(err)
	}
	return value
}

func TestBulkContendersMergeTheSame(t *testing.T) {
	t.Parallel()
	const updates = 20
	var want []request
	for i := range updates {
		want = append(want, wantRequest("POST", "/profiles/"+userOf(i), fewBody))
	}
	byPath := func(a, b request) int { return strings.Compare(a.Path, b.Path) }
	slices.SortFunc(want, byPath)
	for _, c := range contenders()[:2] {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			server := newRecorder(t)
			merged, err := server.open(t, c).mergeAll(t.Context(), 3, times(updates))
			if err != nil {
				t.Fatal(err)
			}
			if merged != updates {
				t.Errorf("merged %d, want %d", merged, updates)
			}
			slices.SortFunc(server.requests, byPath)
			if diff := cmp.Diff(want, server.requests); diff != "" {
				t.Errorf("requests (-want +got):\n%s", diff)
			}
		})
	}
}

func TestFailuresEndARun(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
	}))
	t.Cleanup(server.Close)
	for _, s := range scenarios() {
		if s.inFlight != 1 && s.operation != bulk {
			continue
		}
		for _, c := range s.contenders {
			opened, err := c.open(endpoint{url: server.URL, opened: new(atomic.Int64)})
			if err != nil {
				t.Fatal(err)
			}
			_, err = s.run(t.Context(), opened, times(3))
			if err == nil {
				t.Errorf("%s, %s: no error of a response with status 400", s, c.name)
			}
			opened.close()
		}
	}
}

func TestRepeat(t *testing.T) {
	t.Parallel()
	for _, inFlight := range []int{1, 3} {
		var made atomic.Int64
		n, err := repeat(inFlight, times(100), func() error {
			made.Add(1)
			return nil
		})
		if err != nil {
			t.Errorf("%d in flight: %v", inFlight, err)
		}
		if n != 100 {
			t.Errorf("%d in flight: returned %d calls, want 100", inFlight, n)
		}
		if made.Load() != 100 {
			t.Errorf("%d in flight: made %d calls, want 100", inFlight, made.Load())
		}
	}
	failure := errors.New("failure")
	_, err := repeat(3, times(100), func() error { return failure })
	if !errors.Is(err, failure) {
		t.Errorf("error %v, want that of the calls", err)
	}
}

func TestSpread(t *testing.T) {
	t.Parallel()
	tests := []struct {
		values []float64
		want   spread
	}{
		{[]float64{2}, spread{2, 2, 2}},
		{[]float64{4, 2}, spread{3, 2.5, 3.5}},
		{[]float64{5, 1, 3, 2, 4}, spread{3, 2, 4}},
	}
	for _, test := range tests {
		got := spreadOf(test.values)
		if got != test.want {
			t.Errorf("spread of %v is %v, want %v", test.values, got, test.want)
		}
	}
}

func TestRatioIsOfEachRound(t *testing.T) {
	t.Parallel()
	r := row{samples: map[string][]sample{
		byHand:  {{cpu: 10}, {cpu: 100}, {cpu: 1000}},
		thisOne: {{cpu: 20}, {cpu: 100}, {cpu: 500}},
	}}
	got, want := r.ratio(thisOne, cpu), spread{1, 0.75, 1.5}
	if got != want {
		t.Errorf("ratio %v, want %v", got, want)
	}
}

func TestGrouped(t *testing.T) {
	t.Parallel()
	tests := map[float64]string{0: "0", 999.4: "999", 1000: "1,000", 1_002_003: "1,002,003"}
	for f, want := range tests {
		got := grouped(f)
		if got != want {
			t.Errorf("%v is written %q, want %q", f, got, want)
		}
	}
}

func TestResultsKeepOtherSections(t *testing.T) {
	t.Parallel()
	text := withSection("", "## Go 1.27\n\nfirst\n")
	text = withSection(text, "## Go 1.26\n\nother\n")
	text = withSection(text, "## Go 1.27\n\nsecond\n")
	want := resultsHead + "\n## Go 1.26\n\nother\n\n## Go 1.27\n\nsecond\n"
	if diff := cmp.Diff(want, text); diff != "" {
		t.Errorf("results (-want +got):\n%s", diff)
	}
}

// A short run of the rows that need few connections, with a server in another process.
func TestMeasure(t *testing.T) {
	server, err := startServer()
	if err != nil {
		t.Fatal(err)
	}
	r := report{rounds: 1, duration: 5 * time.Millisecond}
	for _, s := range scenarios() {
		if s.inFlight == 1 || s.operation == bulk {
			r.rows = append(r.rows, newRow(s))
		}
	}
	o := options{rounds: r.rounds, duration: r.duration}
	err = measureRounds(t.Context(), server.endpoints, o, r.rows, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	r.heaps, err = heapPeaks(t.Context(), server.endpoints, 100, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	err = server.stop()
	if err != nil {
		t.Error(err)
	}
	for _, row := range r.rows {
		for _, c := range row.contenders {
			checkSample(t, row.scenario, c.name, row.samples[c.name])
		}
	}
	for _, h := range r.heaps {
		if h.bytes == 0 {
			t.Errorf("%s: a heap of 0 bytes", h.name)
		}
	}
	err = xml.Unmarshal([]byte(r.chart()), new(struct{}))
	if err != nil {
		t.Errorf("chart: %v", err)
	}
	for _, output := range []string{r.tables(), r.chart()} {
		for _, wrong := range []string{"NaN", "Inf", "%!"} {
			if strings.Contains(output, wrong) {
				t.Errorf("%q in the output:\n%s", wrong, output)
			}
		}
	}
}

func checkSample(t *testing.T, s scenario, contender string, samples []sample) {
	t.Helper()
	if len(samples) != 1 {
		t.Fatalf("%s, %s: %d samples, want 1", s, contender, len(samples))
	}
	if samples[0].throughput <= 0 {
		t.Errorf("%s, %s: throughput %v", s, contender, samples[0].throughput)
	}
	want := 1.0
	if s.network == inMemory {
		want = 0
	}
	if s.inFlight == 1 && samples[0].connections != want {
		t.Errorf("%s, %s: %v connections, want %v", s, contender, samples[0].connections, want)
	}
}
