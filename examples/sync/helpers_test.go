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
	"github.com/courier-profiles/courier-go/couriertest"
)

// asProgram has the test binary run as the program, so that tests can signal it and,
// with -race, find its races.
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

// database is one with an empty users table.
type database struct {
	*sql.DB
	*dialect
	url    string
	schema string
}

// eachDatabase runs a test on SQLite and on PostgreSQL.
func eachDatabase(t *testing.T, test func(*testing.T, *database)) {
	t.Helper()
	t.Run("SQLite", func(t *testing.T) {
		t.Parallel()
		test(t, newSQLite(t))
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		t.Parallel()
		test(t, newPostgres(t))
	})
}

func newSQLite(t *testing.T) *database {
	t.Helper()
	path := filepath.Join(t.TempDir(), "users.db")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return openDatabase(t, "sqlite:"+path, sqliteSchema)
}

func newPostgres(t *testing.T) *database {
	t.Helper()
	shared.start.Do(func() { shared.server, shared.err = newServer() })
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	databaseURL, err := shared.server.newSchema(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return openDatabase(t, databaseURL, readmeSchema(t))
}

// readmeSchema returns the SQL of README.md.
func readmeSchema(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?s)```sql\n(.*?)```").FindSubmatch(text)
	if block == nil {
		t.Fatal("README.md has no SQL")
	}
	return string(block[1])
}

func openDatabase(t *testing.T, databaseURL, schema string) *database {
	t.Helper()
	d, err := dialectOf(databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	db := &database{dialect: d, url: databaseURL, schema: schema}
	dsn := d.dsn
	if d.driver == "sqlite" {
		dsn += "&_pragma=synchronous(off)" // the tests' own writes need not survive a power cut
	}
	if db.DB, err = sql.Open(d.driver, dsn); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	db.exec(t, schema)
	return db
}

// exec executes a statement, with times as the database has them.
func (db *database) exec(t *testing.T, query string, args ...any) {
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

// add adds a user with that name, or gives the user another name.
func (db *database) add(t *testing.T, id string, at time.Time, name string) {
	t.Helper()
	db.exec(t, "INSERT INTO users (id, updated_at, name) VALUES ($1, $2, $3) ON CONFLICT (id) DO UPDATE SET updated_at = $2, name = $3", id, at, name)
}

// addMany adds users named u00, u01, … a second apart.
func (db *database) addMany(t *testing.T, n int, from time.Time) {
	t.Helper()
	for i := range n {
		id := fmt.Sprintf("u%02d", i)
		db.add(t, id, from.Add(time.Duration(i)*time.Second), "Name of "+id)
	}
}

// watermark returns what a run left in the database.
func (db *database) watermark(t *testing.T) (w watermark) {
	t.Helper()
	conn := db.conn(t)
	defer conn.Close()
	w, err := (&store{dialect: db.dialect, conn: conn}).watermark(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func (db *database) conn(t *testing.T) *sql.Conn {
	t.Helper()
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// rejects returns the reasons in the table of rejected rows by user.
func (db *database) rejects(t *testing.T) map[string]string {
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

// fakeCourier is couriertest with failures for single users.
type fakeCourier struct {
	*couriertest.Handler
	url string

	mu       sync.Mutex
	requests int
	statuses map[string]int                     // responses by user, in place of the normal one; 0 resets the connection
	before   func(request int, r *http.Request) // called before each request is served
}

func newFakeCourier(t *testing.T) *fakeCourier {
	t.Helper()
	f := &fakeCourier{Handler: couriertest.NewHandler(), statuses: map[string]int{}}
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	f.url = server.URL + "/base"
	return f
}

func (f *fakeCourier) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	segment, _, _ := strings.Cut(strings.TrimPrefix(r.URL.EscapedPath(), "/base/profiles/"), "/")
	userID, _ := url.PathUnescape(segment)
	f.mu.Lock()
	f.requests++
	request, before := f.requests, f.before
	status, replaced := f.statuses[userID]
	f.mu.Unlock()
	if before != nil {
		before(request, r)
	}
	switch {
	case replaced && status == 0:
		panic(http.ErrAbortHandler)
	case replaced:
		w.WriteHeader(status)
		fmt.Fprint(w, `{"type":"test_error","message":"scripted"}`)
	default:
		http.StripPrefix("/base", f.Handler).ServeHTTP(w, r)
	}
}

func (f *fakeCourier) respond(userID string, status int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.statuses[userID] = status
}

func (f *fakeCourier) respondNormally() {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.statuses)
}

func (f *fakeCourier) onRequest(before func(request int, r *http.Request)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.requests, f.before = 0, before
}

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

// past is long before any overlap.
var past = time.Date(2026, 1, 2, 3, 4, 5, 678901000, time.UTC)

// syncOnce runs the sync in this process, with the retries of a patient client but
// without their waits.
func syncOnce(t *testing.T, db *database, f *fakeCourier, o options) (*syncer, error) {
	t.Helper()
	return syncContext(t.Context(), t, db, f, o)
}

func syncContext(ctx context.Context, t *testing.T, db *database, f *fakeCourier, o options) (*syncer, error) {
	t.Helper()
	s := &syncer{options: o, out: t.Output()}
	var err error
	s.client, err = courier.NewClient(f.APIKey, courier.WithBaseURL(f.url), courier.WithRetryWait(0, 0), courier.WithMaxRetries(1), courier.WithObserver(s.counts.observe))
	if err != nil {
		t.Fatal(err)
	}
	if s.store, err = openStore(ctx, db.url); err != nil {
		return s, err
	}
	defer s.store.close()
	return s, s.run(ctx)
}

// small is for tests with a few rows.
var small = options{overlap: time.Minute, page: 10, concurrency: 4}

// program is the sync in a process of its own.
type program struct {
	*exec.Cmd
	started  chan struct{}
	out, err bytes.Buffer
}

// newProgram has no environment but env.
func newProgram(env []string, args ...string) *program {
	p := &program{Cmd: exec.Command(os.Args[0], args...), started: make(chan struct{})}
	p.Env = append(env, asProgram+"=1", "TMPDIR="+os.TempDir())
	p.Stdout, p.Stderr = &p.out, &p.err
	return p
}

func newJob(db *database, f *fakeCourier, args ...string) *program {
	return newProgram([]string{"DATABASE_URL=" + db.url, "COURIER_API_KEY=" + f.APIKey, "COURIER_BASE_URL=" + f.url}, args...)
}

func (p *program) start(t *testing.T) {
	t.Helper()
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	close(p.started)
}

// signal sends a signal, also from another goroutine than start's.
func (p *program) signal(s os.Signal) error {
	<-p.started
	return p.Process.Signal(s)
}

// exits runs the program and returns its exit code, -1 if it was killed.
func (p *program) exits(t *testing.T) int {
	t.Helper()
	p.start(t)
	_ = p.Wait()
	return p.ProcessState.ExitCode()
}
