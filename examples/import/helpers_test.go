package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/courier-profiles/courier-go/couriertest"
)

var (
	killRows = flag.Int("rows", 2000, "`number` of rows of the kill test")
	killSeed = flag.Uint64("seed", 0, "`seed` of the kill test; 0 draws one")
)

// asImporter makes the test binary run as the program, so that tests can kill it
// and -race checks it.
const asImporter = "COURIER_IMPORT_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asImporter) != "" {
		main()
	}
	os.Exit(m.Run())
}

// fakeCourier is couriertest with what these tests need in addition.
type fakeCourier struct {
	*couriertest.Handler
	url string

	mu       sync.Mutex
	requests int
	merges   map[string]int // requests by user
	before   func(n int)    // called for the n-th request, counted from 1
	statuses map[string]int // of responses, by user, in place of the normal ones
}

func newFakeCourier(t *testing.T) *fakeCourier {
	t.Helper()
	f := &fakeCourier{Handler: couriertest.NewHandler(), merges: map[string]int{}, statuses: map[string]int{}}
	f.MaxRequests = -1
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	f.url = server.URL
	return f
}

func (f *fakeCourier) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	user := strings.TrimPrefix(r.URL.Path, "/profiles/")
	f.mu.Lock()
	f.requests++
	f.merges[user]++
	n, before, status := f.requests, f.before, f.statuses[user]
	f.mu.Unlock()
	if before != nil {
		before(n)
	}
	if status != 0 {
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"type":"invalid_request_error","message":"no %s"}`, user)
		return
	}
	f.Handler.ServeHTTP(w, r)
}

// respondWith sets the status of responses for users; 0 restores the normal ones.
func (f *fakeCourier) respondWith(status int, users ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, user := range users {
		f.statuses[user] = status
	}
}

// restart counts from 0 again, and calls before from then on.
func (f *fakeCourier) restart(before func(n int)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.requests, f.before = 0, before
}

func (f *fakeCourier) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.requests
}

// program is the importer in its own process.
type program struct {
	*exec.Cmd
	started  chan struct{}
	out, err bytes.Buffer
}

func (f *fakeCourier) program(t *testing.T, folder string, args ...string) *program {
	t.Helper()
	p := newProgram(t, folder, args...)
	p.Env = append(p.Env, "COURIER_API_KEY="+f.APIKey, "COURIER_BASE_URL="+f.url)
	return p
}

// newProgram has no API key.
func newProgram(t *testing.T, folder string, args ...string) *program {
	t.Helper()
	p := &program{Cmd: exec.Command(os.Args[0], args...), started: make(chan struct{})}
	p.Dir = folder
	p.Env = []string{asImporter + "=1", "PATH=" + os.Getenv("PATH")}
	p.Stdout, p.Stderr = &p.out, &p.err
	return p
}

// exit runs the program and returns its exit code; -1 if a signal killed it.
func (p *program) exit(t *testing.T) int {
	t.Helper()
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	close(p.started)
	var failed *exec.ExitError
	if err := p.Wait(); err != nil && !errors.As(err, &failed) {
		t.Fatal(err)
	}
	return p.ProcessState.ExitCode()
}

// signal may be called from a request of the program.
func (p *program) signal(signal os.Signal) {
	<-p.started
	_ = p.Process.Signal(signal)
}

// exits runs the program and fails the test if it exits with another code.
func (p *program) exits(t *testing.T, want int) {
	t.Helper()
	if got := p.exit(t); got != want {
		t.Fatalf("%q exits with %d, want %d\n%s%s", p.Args[1:], got, want, &p.out, &p.err)
	}
}

func writeFile(t *testing.T, folder, name, text string) string {
	t.Helper()
	path := filepath.Join(folder, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func readFile(t *testing.T, path ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func exists(path ...string) bool {
	_, err := os.Stat(filepath.Join(path...))
	return err == nil
}

// result is a row as tests compare it.
type result struct {
	Line    int
	UserID  string
	Profile string
	Reason  string
}

// readAll reads a source to its end.
func readAll(s source) ([]result, error) {
	var all []result
	for {
		r, err := s.next()
		if err == io.EOF {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		o := result{Line: r.line, Reason: r.reason}
		if r.reason == "" {
			o.UserID = r.userID
			text, err := json.Marshal(r.profile)
			if err != nil {
				return all, err
			}
			o.Profile = string(text)
		}
		all = append(all, o)
	}
}

// readText reads a file with that name and text.
func readText(t *testing.T, name, text string, options inputOptions) ([]result, *input, error) {
	t.Helper()
	in, err := openInput(t.Context(), writeFile(t, t.TempDir(), name, text), nil, options)
	if err != nil {
		return nil, nil, err
	}
	t.Cleanup(in.close)
	all, err := readAll(in)
	return all, in, err
}

// sortedMembers returns results with the members of each profile in alphabetical
// order.
func sortedMembers(t *testing.T, results []result) []result {
	t.Helper()
	for i, r := range results {
		if r.Profile == "" {
			continue
		}
		var profile any
		if err := json.Unmarshal([]byte(r.Profile), &profile); err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(profile)
		if err != nil {
			t.Fatal(err)
		}
		results[i].Profile = string(text)
	}
	return results
}
