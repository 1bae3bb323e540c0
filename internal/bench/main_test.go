package main

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// srv is the server's process, trusted by this one.
var srv *server

// TestMain is also the entry point of the processes that bench starts.
func TestMain(m *testing.M) {
	if played, err := play(context.Background(), os.Args); played {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	code, err := runTests(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func runTests(m *testing.M) (code int, err error) {
	folder, err := os.MkdirTemp("", "courier-bench-")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	if srv, err = startServer(); err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, srv.stop()) }()
	if err := trust(srv, folder); err != nil {
		return 0, err
	}
	return m.Run(), nil
}

// All contenders send the same request, except for the form of the user agent.
func TestContendersSendTheSame(t *testing.T) {
	const calls = 5
	for network, proto := range map[string]string{http1: "HTTP/1.1", http2: "HTTP/2.0"} {
		for _, fields := range []int{few, many} {
			want := request{
				Method: "POST", Path: "/profiles/user-1", Proto: proto, Body: bodyText(fields),
				Header: map[string][]string{
					"Accept":          {"application/json"},
					"Accept-Encoding": {"gzip"},
					"Authorization":   {"Bearer " + apiKey},
					"Content-Length":  {fmt.Sprint(len(bodyText(fields)))},
					"Content-Type":    {"application/json"},
					"User-Agent":      {agent},
				},
			}
			for _, c := range contenders() {
				t.Run(fmt.Sprint(c.name, ", ", network, ", ", fields), func(t *testing.T) {
					at, err := srv.listen(network + withLog)
					if err != nil {
						t.Fatal(err)
					}
					cl, err := c.open(at.URL, nil)
					if err != nil {
						t.Fatal(err)
					}
					for range calls {
						if err := cl.merge(t.Context(), "user-1", fields); err != nil {
							t.Error(err)
						}
					}
					cl.close()
					got, err := srv.close()
					if err != nil {
						t.Fatal(err)
					}
					if diff := cmp.Diff(slices.Repeat([]request{want}, calls), got.Log); diff != "" {
						t.Errorf("requests (-want +got):\n%s", diff)
					}
					if got.Connections != 1 || got.Requests != calls {
						t.Errorf("%d connections and %d requests, want 1 and %d", got.Connections, got.Requests, calls)
					}
				})
			}
		}
	}
}

// In memory, each contender sends its whole request, and accepts the response.
func TestContendersInMemory(t *testing.T) {
	for _, c := range contenders() {
		for _, fields := range []int{few, many} {
			var transport recorder
			cl, err := c.open("http://127.0.0.1", &transport)
			if err != nil {
				t.Fatal(err)
			}
			if err := cl.merge(t.Context(), "user-1", fields); err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
			if diff := cmp.Diff([]string{bodyText(fields)}, transport.bodies); diff != "" {
				t.Errorf("%s: bodies (-want +got):\n%s", c.name, diff)
			}
			// What the table says about deadlines.
			if want := !strings.Contains(c.about, "without a deadline") && !strings.Contains(c.about, "no deadline"); transport.deadline != want {
				t.Errorf("%s: a deadline: %v, want %v", c.name, transport.deadline, want)
			}
		}
	}
}

// recorder is the transport in memory, and records requests.
type recorder struct {
	bodies   []string
	deadline bool
}

func (r *recorder) RoundTrip(req *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	r.bodies = append(r.bodies, string(body))
	_, r.deadline = req.Context().Deadline()
	req.Body = io.NopCloser(bytes.NewReader(body))
	return memory{}.RoundTrip(req)
}

func TestInFlight(t *testing.T) {
	failed := errors.New("failed")
	for _, workers := range []int{1, 3} {
		seen := make([]int, 101)
		each := make(chan int, 100)
		if err := inFlight(workers, 100, func(i int) error { each <- i; return nil }); err != nil {
			t.Error(err)
		}
		close(each)
		for i := range each {
			seen[i]++
		}
		if want := append([]int{0}, slices.Repeat([]int{1}, 100)...); !slices.Equal(seen, want) {
			t.Errorf("%d workers: calls %v, want each number from 1 to 100 once", workers, seen)
		}
		err := inFlight(workers, 100, func(i int) error {
			if i == 7 {
				return failed
			}
			return nil
		})
		if !errors.Is(err, failed) {
			t.Errorf("%d workers: error %v, want that of call 7", workers, err)
		}
	}
}

func TestSpread(t *testing.T) {
	for _, test := range []struct {
		values []float64
		want   spread
	}{
		{[]float64{2}, spread{2, 2, 2}},
		{[]float64{4, 2}, spread{3, 2.5, 3.5}},
		{[]float64{5, 1, 3, 2, 4}, spread{3, 2, 4}},
	} {
		if got := spreadOf(test.values); got != test.want {
			t.Errorf("spread of %v is %v, want %v", test.values, got, test.want)
		}
	}
}

func TestRatiosAreOfOneRoundEach(t *testing.T) {
	m := measured{samples: map[string][]sample{
		baselineName: {{cpu: 10}, {cpu: 100}, {cpu: 1000}},
		sdkName:      {{cpu: 20}, {cpu: 100}, {cpu: 500}},
	}}
	if got, want := m.ratio(sdkName, cpu), (spread{1, 0.75, 1.5}); got != want {
		t.Errorf("ratio %v, want %v", got, want)
	}
}

func TestCount(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 1_002_003: "1,002,003"} {
		if got := count(n); got != want {
			t.Errorf("count(%d) is %q, want %q", n, got, want)
		}
	}
}

// A job reports everything it was asked for, and each of its merges has arrived.
func TestJobs(t *testing.T) {
	for _, name := range []string{mergeAllName, handPoolName, sdkName} {
		run, err := runJob(job{Contender: name, Merges: 500, InFlight: 4}, srv)
		if err != nil {
			t.Error(err)
			continue
		}
		if run.Requests != 500 || run.Connections < 1 || run.Wall <= 0 || run.CPU <= 0 || run.PeakHeap <= 0 {
			t.Errorf("%s: %+v", name, run)
		}
	}
	err := work(t.Context(), strings.NewReader(`{"Contender":"nobody"}`), io.Discard)
	if err == nil || !strings.Contains(err.Error(), "nobody") {
		t.Errorf("error %v, want one that names the unknown contender", err)
	}
	refused, _ := json.Marshal(job{Contender: handPoolName, URL: "http://127.0.0.1:1", Merges: 50, InFlight: 4})
	if err := work(t.Context(), bytes.NewReader(refused), io.Discard); err == nil {
		t.Error("a pool whose merges fail has no error")
	}
}

func TestFlags(t *testing.T) {
	for _, args := range [][]string{{"-rounds", "0"}, {"everything"}} {
		if err := run(t.Context(), args, io.Discard, io.Discard); err == nil {
			t.Errorf("arguments %q are not refused", args)
		}
	}
}

// TestShort is a whole run, with few calls.
func TestShort(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bench.svg")
	var out, progress bytes.Buffer
	if err := run(t.Context(), []string{"-short", "-rounds", "1", "-out", path}, &out, &progress); err != nil {
		t.Fatalf("%v\n%s", err, &progress)
	}
	checkTables(t, out.String())
	checkChart(t, path)
}

func checkTables(t *testing.T, text string) {
	t.Helper()
	rows, columns := map[string]int{}, 0
	for line := range strings.Lines(text) {
		line, ok := strings.CutPrefix(strings.TrimSpace(line), "|")
		switch {
		case !ok:
			columns = 0
			continue
		case columns == 0:
			columns = strings.Count(line, "|")
		case strings.Count(line, "|") != columns:
			t.Errorf("a row has a different number of columns than its header: %s", line)
		}
		first, _, _ := strings.Cut(line, "|")
		rows[strings.TrimSpace(first)]++
	}
	for _, s := range scenarios() {
		want := 7 // CPU, throughput and allocations, of two sizes, and connections
		if s.network == inMemory {
			want = 6
		}
		if got := rows[s.String()]; got != want {
			t.Errorf("%d rows for %s, want %d", got, s, want)
		}
	}
	for _, c := range contenders() {
		if rows[c.name] < 2 { // what it does, and its memory
			t.Errorf("%d rows for %s", rows[c.name], c.name)
		}
	}
	for _, name := range []string{mergeAllName, handPoolName} {
		if rows[name] != 3 {
			t.Errorf("%d rows for %s, want 3", rows[name], name)
		}
	}
	for _, p := range programs() {
		if rows[p.name] < 1 {
			t.Errorf("no row for the smallest program with %s", p.name)
		}
	}
	for _, nonsense := range []string{"NaN", "Inf", "%!"} {
		if strings.Contains(text, nonsense) {
			t.Errorf("%s is in the tables:\n%s", nonsense, text)
		}
	}
}

// checkChart reads the chart as XML, and checks that everything is inside it.
func checkChart(t *testing.T, path string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var svg struct {
		Width   float64    `xml:"width,attr"`
		Height  float64    `xml:"height,attr"`
		Circles []position `xml:"circle"`
		Lines   []position `xml:"line"`
		Texts   []position `xml:"text"`
	}
	if err := xml.Unmarshal(text, &svg); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	const others, rows, panels = 5, 7, 2
	if want := others + others*rows*panels; len(svg.Circles) != want {
		t.Errorf("%d dots, want %d", len(svg.Circles), want)
	}
	var labels []string
	for _, p := range slices.Concat(svg.Circles, svg.Lines, svg.Texts) {
		labels = append(labels, p.Text)
		for _, x := range []float64{p.X, p.CX, p.X1, p.X2} {
			if x < 0 || x > svg.Width {
				t.Errorf("at %v of %v: %+v", x, svg.Width, p)
			}
		}
		for _, y := range []float64{p.Y, p.CY, p.Y1, p.Y2} {
			if y < 0 || y > svg.Height {
				t.Errorf("at %v of %v from above: %+v", y, svg.Height, p)
			}
		}
	}
	for _, s := range scenarios() {
		if s.network != inMemory && !slices.Contains(labels, s.String()) {
			t.Errorf("no label for %s", s)
		}
	}
}

// position is that of an element of the chart.
type position struct {
	Text string  `xml:",chardata"`
	X    float64 `xml:"x,attr"`
	Y    float64 `xml:"y,attr"`
	CX   float64 `xml:"cx,attr"`
	CY   float64 `xml:"cy,attr"`
	X1   float64 `xml:"x1,attr"`
	X2   float64 `xml:"x2,attr"`
	Y1   float64 `xml:"y1,attr"`
	Y2   float64 `xml:"y2,attr"`
}
