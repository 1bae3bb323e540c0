package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
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
	killRows = flag.Int("rows", 1000, "`number` of rows of the kill test")
	killSeed = flag.Uint64("seed", 0, "`seed` of the kill test; 0 draws one")
)

// asProgram makes the test binary run as the program, so that tests can kill it and
// -race checks it.
const asProgram = "COURIER_IMPORT_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	os.Exit(m.Run())
}

// fakeCourier is couriertest with what these tests need in addition.
type fakeCourier struct {
	*couriertest.Handler
	url string

	mu        sync.Mutex
	requests  int
	users     map[string]bool                      // that were asked for
	before    func(n int)                          // called for the n-th request, counted from 1
	responses map[string]func(http.ResponseWriter) // by user, in place of the normal ones
}

func newFakeCourier(t *testing.T) *fakeCourier {
	t.Helper()
	f := &fakeCourier{
		Handler: couriertest.NewHandler(), users: map[string]bool{},
		responses: map[string]func(http.ResponseWriter){},
	}
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
	f.users[user] = true
	n, before, response := f.requests, f.before, f.responses[user]
	f.mu.Unlock()
	if before != nil {
		before(n)
	}
	if response != nil {
		response(w)
		return
	}
	f.Handler.ServeHTTP(w, r)
}

// respond sets the response for a user; nil restores the normal one.
func (f *fakeCourier) respond(user string, response func(http.ResponseWriter)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.responses[user] = response
}

// refusal is a response of Courier with that status.
func refusal(status int) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		w.WriteHeader(status)
		fmt.Fprint(w, `{"type":"invalid_request_error","message":"no"}`)
	}
}

// foreign is a response of something between the program and Courier.
func foreign(status int) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(status)
		fmt.Fprint(w, "<html>blocked</html>")
	}
}

// onRequest counts requests from 0 again, and calls before for each from then on.
func (f *fakeCourier) onRequest(before func(n int)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.requests, f.before = 0, before
}

func (f *fakeCourier) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.requests
}

// profiles returns the profiles of all users that were asked for, as JSON.
func (f *fakeCourier) profiles(t *testing.T) map[string]string {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	all := map[string]string{}
	for user := range f.users {
		profile, ok := f.Profile(user)
		if !ok {
			continue
		}
		text, err := json.Marshal(profile)
		if err != nil {
			t.Fatal(err)
		}
		all[user] = string(text)
	}
	return all
}

// program is the importer in its own process.
type program struct {
	*exec.Cmd
	started  chan struct{}
	out, err bytes.Buffer
}

// program returns the importer, with f as Courier.
func (f *fakeCourier) program(t *testing.T, folder string, args ...string) *program {
	t.Helper()
	p := newProgram(t, folder, args...)
	p.Env = append(p.Env, "COURIER_API_KEY="+f.APIKey, "COURIER_BASE_URL="+f.url)
	return p
}

// newProgram returns the importer without an API key.
func newProgram(t *testing.T, folder string, args ...string) *program {
	t.Helper()
	p := &program{Cmd: exec.Command(os.Args[0], args...), started: make(chan struct{})}
	p.Dir = folder
	p.Env = []string{asProgram + "=1", "PATH=" + os.Getenv("PATH"), "TMPDIR=" + t.TempDir(),
		"GORACE=" + os.Getenv("GORACE")}
	p.Stdout, p.Stderr = &p.out, &p.err
	return p
}

// exitCode runs the program and returns its exit code; -1 if a signal killed it.
func (p *program) exitCode(t *testing.T) int {
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

// exits runs the program and fails the test if it exits with another code.
func (p *program) exits(t *testing.T, want int) {
	t.Helper()
	if got := p.exitCode(t); got != want {
		t.Fatalf("%q exits with %d, want %d\n%s", p.Args[1:], got, want, p.output())
	}
}

// says fails the test unless the program has printed all of these texts.
func (p *program) says(t *testing.T, texts ...string) {
	t.Helper()
	// Lines may be broken anywhere, commands excepted.
	said := strings.Join(strings.Fields(p.output()), " ")
	for _, text := range texts {
		if !strings.Contains(said, strings.Join(strings.Fields(text), " ")) {
			t.Errorf("%q does not say %q, but\n%s", p.Args[1:], text, p.output())
		}
	}
}

func (p *program) output() string { return p.out.String() + p.err.String() }

// hint returns the last command that the program has printed.
func (p *program) hint(t *testing.T) string {
	t.Helper()
	hint := ""
	for line := range strings.Lines(p.output()) {
		if command, ok := strings.CutPrefix(line, "\t"); ok {
			hint = strings.TrimSuffix(command, "\n")
		}
	}
	if hint == "" {
		t.Fatalf("%q prints no command:\n%s", p.Args[1:], p.output())
	}
	return hint
}

// suggestion returns the flags of the command that a dry run of a file prints, or ""
// if it prints none.
func suggestion(t *testing.T, text string, flags ...string) string {
	t.Helper()
	folder := t.TempDir()
	writeFile(t, folder, "users.csv", text)
	p := newProgram(t, folder, append(flags, "-dry-run", "users.csv")...)
	p.exitCode(t)
	if !strings.Contains(p.output(), "\n\t") {
		return ""
	}
	_, suggested, _ := strings.Cut(p.hint(t), " ")
	return strings.TrimSuffix(suggested, " -dry-run users.csv")
}

// signal may be called from a request of the program.
func (p *program) signal(signal os.Signal) {
	<-p.started
	_ = p.Process.Signal(signal)
}

func writeFile(t *testing.T, folder, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func readFile(t *testing.T, path ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// files returns the names of the files in a folder.
func files(t *testing.T, folder string) []string {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}
