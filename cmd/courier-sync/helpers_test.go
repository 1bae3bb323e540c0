package main

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	courier "github.com/courier-profiles/courier-go"
	"github.com/courier-profiles/courier-go/cmd/internal/job"
	"github.com/courier-profiles/courier-go/couriertest"
)

// asProgram has the test binary run as the program, so that tests can signal it.
const asProgram = "COURIER_SYNC_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	code := m.Run()
	if shared.server != nil {
		shared.server.stop()
	}
	os.Exit(code)
}

// past is a time of change that the overlap does not reach: once it has synced a row with
// this time, a run does not read the row again.
var past = time.Date(2026, 1, 2, 3, 4, 5, 678901000, time.UTC)

// small has the options for a table with few rows.
var small = options{
	table: users, overlap: time.Minute, page: 10, concurrency: 4, maxDeletes: 1000,
}

// testDatabase has an empty users table.
type testDatabase struct {
	*sql.DB
	database
	url string
}

// eachDatabase runs a test on SQLite and on PostgreSQL.
func eachDatabase(t *testing.T, test func(*testing.T, *testDatabase)) {
	t.Helper()
	t.Run("SQLite", func(t *testing.T) {
		t.Parallel()
		test(t, newTestSQLite(t))
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		t.Parallel()
		test(t, newTestPostgres(t))
	})
}

func newTestSQLite(t *testing.T) *testDatabase {
	t.Helper()
	path := filepath.Join(t.TempDir(), "users.db")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	db := openTest(t, "sqlite:"+path, sqliteSchema)
	db.exec(t, "PRAGMA synchronous = off") // the tests' own writes need not survive a power cut
	return db
}

func newTestPostgres(t *testing.T) *testDatabase {
	t.Helper()
	shared.start.Do(func() { shared.server, shared.err = newServer() })
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	databaseURL, err := shared.server.newSchema(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return openTest(t, databaseURL, readmeSQL(t, 0))
}

// readmeSQL returns a block of SQL in README.md, counted from 0.
func readmeSQL(t *testing.T, block int) string {
	t.Helper()
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```sql\n(.*?)```").FindAllSubmatch(text, -1)
	if len(blocks) <= block {
		t.Fatalf("README.md has %d blocks of SQL, want at least %d", len(blocks), block+1)
	}
	return string(blocks[block][1])
}

// openTest opens a database and creates its users table with the SQL of create.
func openTest(t *testing.T, databaseURL, create string) *testDatabase {
	t.Helper()
	d, err := databaseOf(databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	db := &testDatabase{database: d, url: databaseURL}
	if db.DB, err = d.open(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	db.exec(t, create)
	return db
}

// schemaName returns the name of the PostgreSQL schema that only this test uses.
func (db *testDatabase) schemaName() string { return db.url[strings.LastIndex(db.url, "=")+1:] }

func (db *testDatabase) isSQLite() bool { return strings.HasPrefix(db.url, "sqlite:") }

// exec executes a statement. It passes a time in args as the column updated_at has it.
func (db *testDatabase) exec(t *testing.T, query string, args ...any) {
	t.Helper()
	for i, arg := range args {
		if at, ok := arg.(time.Time); ok {
			args[i] = db.timeValue(at)
		}
	}
	if _, err := db.Exec(query, args...); err != nil {
		t.Error(err) // not Fatal, because handlers of requests call this too
	}
}

// create replaces the users table with one that has other columns.
func (db *testDatabase) create(t *testing.T, columns string) {
	t.Helper()
	db.exec(t, "DROP TABLE users")
	db.exec(t, "CREATE TABLE users ("+columns+")")
}

// add adds a user, or changes the user's time and name.
func (db *testDatabase) add(t *testing.T, id string, at time.Time, name string) {
	t.Helper()
	db.exec(t, `INSERT INTO users (id, updated_at, name) VALUES ($1, $2, $3)
		ON CONFLICT (id) DO UPDATE SET updated_at = $2, name = $3`, id, at, name)
}

// addMany adds n users, u00, u01, and so on. Their times are a second apart.
func (db *testDatabase) addMany(t *testing.T, n int, from time.Time) {
	t.Helper()
	for i := range n {
		id := fmt.Sprintf("u%02d", i)
		db.add(t, id, from.Add(time.Duration(i)*time.Second), "Name of "+id)
	}
}

// watermark returns the watermark that the last run stored.
func (db *testDatabase) watermark(t *testing.T) watermark {
	t.Helper()
	s, err := openStore(t.Context(), db.database, &users)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	w, err := s.watermark(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// rejects returns the table of rejected rows: the reason by user.
func (db *testDatabase) rejects(t *testing.T) map[string]string {
	t.Helper()
	rows, err := db.Query("SELECT user_id, reason FROM courier_sync_rejects")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	reasons := map[string]string{}
	for rows.Next() {
		var id, reason string
		if err := rows.Scan(&id, &reason); err != nil {
			t.Fatal(err)
		}
		reasons[id] = reason
	}
	return reasons
}

// fakeCourier is couriertest with what these tests need in addition: faults by user, and a
// hook for requests. The API is below /base.
type fakeCourier struct {
	*couriertest.Handler
	url string

	mu       sync.Mutex
	requests int                                // since the last onRequest
	faults   map[string]fault                   // by user
	before   func(request int, r *http.Request) // called before each request, counted from 1
}

// fault is a response in place of the normal one. Status 0 resets the connection.
type fault struct {
	status  int
	foreign bool // not from Courier
}

func newFakeCourier(t *testing.T) *fakeCourier {
	t.Helper()
	f := &fakeCourier{Handler: couriertest.NewHandler(), faults: map[string]fault{}}
	server := httptest.NewServer(http.StripPrefix("/base", f))
	t.Cleanup(server.Close)
	f.url = server.URL + "/base"
	return f
}

func (f *fakeCourier) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	segment, _, _ := strings.Cut(strings.TrimPrefix(r.URL.EscapedPath(), "/profiles/"), "/")
	userID, _ := url.PathUnescape(segment)
	f.mu.Lock()
	f.requests++
	request, before := f.requests, f.before
	instead, found := f.faults[userID]
	f.mu.Unlock()
	if before != nil {
		before(request, r)
	}
	switch {
	case !found:
		f.Handler.ServeHTTP(w, r)
	case instead.status == 0:
		panic(http.ErrAbortHandler)
	case instead.foreign:
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(instead.status)
		fmt.Fprint(w, "<html>not you</html>")
	default:
		w.WriteHeader(instead.status)
		fmt.Fprint(w, `{"type":"test_error","message":"scripted"}`)
	}
}

// respond sets the response to all requests for a user.
func (f *fakeCourier) respond(userID string, instead fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults[userID] = instead
}

// respondNormally undoes respond for all users.
func (f *fakeCourier) respondNormally() {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.faults)
}

// onRequest counts requests from 0 again, and calls before for each from then on.
func (f *fakeCourier) onRequest(before func(request int, r *http.Request)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.requests, f.before = 0, before
}

// count returns how many requests arrived since the last onRequest.
func (f *fakeCourier) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.requests
}

// name returns the name in a user's profile, or "no profile".
func (f *fakeCourier) name(userID string) string {
	profile, ok := f.Profile(userID)
	if !ok {
		return "no profile"
	}
	return profile.Name.Or("no name")
}

// checkName checks the name in a user's profile.
func (f *fakeCourier) checkName(t *testing.T, userID, want string) {
	t.Helper()
	if got := f.name(userID); got != want {
		t.Errorf("the name of %s is %q, want %q", userID, got, want)
	}
}

// checkNames checks the profiles of u00, u01, …
func (f *fakeCourier) checkNames(t *testing.T, n int) {
	t.Helper()
	for i := range n {
		id := fmt.Sprintf("u%02d", i)
		f.checkName(t, id, "Name of "+id)
	}
}

// profiles returns the profiles of all users that had a request, as JSON.
func (f *fakeCourier) profiles(t *testing.T) map[string]string {
	t.Helper()
	profiles := map[string]string{}
	for _, request := range f.Requests() {
		profile, ok := f.Profile(request.UserID)
		if !ok {
			continue
		}
		text, err := json.Marshal(profile)
		if err != nil {
			t.Fatal(err)
		}
		profiles[request.UserID] = string(text)
	}
	return profiles
}

// operations returns how many requests of an operation arrived for each user.
func (f *fakeCourier) operations(operation string) map[string]int {
	counts := map[string]int{}
	for _, request := range f.Requests() {
		if request.Operation == operation {
			counts[request.UserID]++
		}
	}
	return counts
}

// client returns a client that retries once, without waiting.
func (f *fakeCourier) client(t *testing.T) *job.Client {
	t.Helper()
	client, err := courier.NewClient(f.APIKey, courier.WithBaseURL(f.url),
		courier.WithRetryWait(0, 0), courier.WithMaxRetries(1))
	if err != nil {
		t.Fatal(err)
	}
	return &job.Client{Client: client}
}

// syncOnce runs the sync in this process.
func syncOnce(t *testing.T, db *testDatabase, f *fakeCourier, o options) (*syncer, error) {
	t.Helper()
	s := &syncer{options: o, client: f.client(t), out: t.Output()}
	if err := s.open(t.Context(), db.url); err != nil {
		return s, err
	}
	defer s.store.close()
	ctx, drain := t.Context(), t.Context()
	return s, s.run(ctx, drain)
}

// mustSync runs the sync, which must succeed.
func mustSync(t *testing.T, db *testDatabase, f *fakeCourier, o options) *syncer {
	t.Helper()
	s, err := syncOnce(t, db, f, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// mustStop runs the sync, which must stop with an error, and returns its text.
func mustStop(t *testing.T, db *testDatabase, f *fakeCourier, o options) (*syncer, string) {
	t.Helper()
	s, err := syncOnce(t, db, f, o)
	if err == nil {
		t.Fatal("the sync ended without an error, want one")
	}
	return s, err.Error()
}

// checkCount checks how many rows a run counted for something, such as merges.
func checkCount(t *testing.T, what string, got interface{ Load() int64 }, want int64) {
	t.Helper()
	if n := got.Load(); n != want {
		t.Errorf("%s: %d rows, want %d", what, n, want)
	}
}

// checkRejects checks the table of rejected rows. It has exactly the users of want, each
// with a reason that begins like that in want.
func checkRejects(t *testing.T, db *testDatabase, want map[string]string) {
	t.Helper()
	got := db.rejects(t)
	for id, beginning := range want {
		reason, rejected := got[id]
		if !rejected {
			t.Errorf("%q was not rejected, want the reason %q", id, beginning)
			continue
		}
		if !strings.HasPrefix(reason, beginning) {
			t.Errorf("%q was rejected for %q, want %q", id, reason, beginning)
		}
	}
	for id, reason := range got {
		if _, wanted := want[id]; !wanted {
			t.Errorf("%q was rejected for %q, want no rejection", id, reason)
		}
	}
}

func checkContains(t *testing.T, text, want string) {
	t.Helper()
	if !strings.Contains(text, want) {
		t.Errorf("got a text without %q:\n%s", want, text)
	}
}

// checkOmits checks that a text, such as a log, has no secrets and no personal data.
func checkOmits(t *testing.T, text string, secrets ...string) {
	t.Helper()
	for _, secret := range secrets {
		if strings.Contains(text, secret) {
			t.Errorf("got a text with %q, want it left out:\n%s", secret, text)
		}
	}
}

// program is the sync in a process of its own.
type program struct {
	*exec.Cmd
	started  chan struct{}
	out, err bytes.Buffer // standard output, standard error
}

// newProgram returns the program. Its environment is env and what any process needs.
func newProgram(env []string, args ...string) *program {
	p := &program{Cmd: exec.Command(os.Args[0], args...), started: make(chan struct{})}
	p.Env = append([]string{asProgram + "=1", "TMPDIR=" + os.TempDir(),
		"GORACE=" + os.Getenv("GORACE")}, env...)
	p.Stdout, p.Stderr = &p.out, &p.err
	return p
}

// newJob returns the program, with db as its database and f as Courier.
func newJob(db *testDatabase, f *fakeCourier, args ...string) *program {
	return newProgram([]string{"DATABASE_URL=" + db.url, "COURIER_API_KEY=" + f.APIKey,
		"COURIER_BASE_URL=" + f.url}, args...)
}

func (p *program) start(t *testing.T) {
	t.Helper()
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	close(p.started)
}

// signal sends a signal as soon as the program has started.
func (p *program) signal(s os.Signal) error {
	<-p.started
	return p.Process.Signal(s)
}

// exitCode runs the program and returns its exit code; -1 if a signal killed it.
func (p *program) exitCode(t *testing.T) int {
	t.Helper()
	p.start(t)
	_ = p.Wait()
	return p.ProcessState.ExitCode()
}

// mustExit runs the program, which must exit with the code want.
func (p *program) mustExit(t *testing.T, want int) {
	t.Helper()
	if got := p.exitCode(t); got != want {
		t.Fatalf("exit code %d, want %d\n%s", got, want, &p.err)
	}
}

// after returns a context that is canceled when that request arrives, counted from 1.
func (f *fakeCourier) after(t *testing.T, request int) context.Context {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	f.onRequest(func(n int, _ *http.Request) {
		if n == request {
			cancel()
		}
	})
	return ctx
}
