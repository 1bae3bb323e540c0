package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/courier-profiles/courier-go/cmd/internal/job"
)

// TestDemo runs the program as the README says, with no environment.
func TestDemo(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	// Without GOCOVERDIR, a binary that measures coverage writes a warning.
	p := newProgram([]string{"TMPDIR=" + folder, "GOCOVERDIR=" + t.TempDir()})
	p.mustExit(t, job.Done)
	want, err := os.ReadFile(filepath.Join("testdata", "demo.txt"))
	if err != nil {
		t.Fatal(err)
	}
	const timeInDemo = "          time          12ms"
	timeLine := regexp.MustCompile(`(?m)^ +time .*$`)
	got := timeLine.ReplaceAllString(p.out.String(), timeInDemo)
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("standard output (-want +got):\n%s", diff)
	}
	if p.err.Len() > 0 {
		t.Errorf("got on standard error, want nothing:\n%s", &p.err)
	}
	left, err := filepath.Glob(filepath.Join(folder, "courier-sync-*"))
	if err != nil {
		t.Fatal(err)
	}
	if len(left) > 0 {
		t.Errorf("the demo left %v, want no files", left)
	}
}

func TestStatus(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &syncer{started: time.Now()}
		time.Sleep(2 * time.Second)
		s.total.Store(2000)
		s.merged.Store(1198)
		s.deleted.Store(1)
		s.rejected.Store(1)
		want := job.Status{Done: 1200, Total: 2000, Text: "1,200 of 2,000 rows, 600/s, 1 rejected"}
		if diff := cmp.Diff(want, s.status()); diff != "" {
			t.Errorf("status (-want +got):\n%s", diff)
		}
	})
}

// TestExitCodes checks the exit code of each end of a run, and what it says. It never says
// the API key, or the ID or name of a user.
func TestExitCodes(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, db *testDatabase) {
		f := newFakeCourier(t)
		db.addMany(t, 12, past)
		checkExit := func(code int, says string) {
			t.Helper()
			p := newJob(db, f, "-page=5")
			p.mustExit(t, code)
			checkContains(t, p.err.String(), says)
			checkOmits(t, p.err.String(), f.APIKey, "Name of", "u03")
		}
		f.respond("u03", fault{status: 401})
		checkExit(job.Failed, "the sync stopped, and the next run resumes there: at the row with")
		f.respond("u03", fault{status: 400})
		checkExit(job.Rejected, "see the table courier_sync_rejects")
		checkExit(job.Done, "rows read             0\n")
		db.exec(t, "DROP TABLE users")
		checkExit(job.Failed, "users")
	})
}

// TestSettings has environments and flags with which the sync cannot start. It says what to
// change, and no secret.
func TestSettings(t *testing.T) {
	t.Parallel()
	const (
		key = "COURIER_API_KEY=secret-key"
		url = "DATABASE_URL=postgres://user:secret-word@127.0.0.1:1/users"
	)
	noFile := "DATABASE_URL=sqlite:" + filepath.Join(t.TempDir(), "none.db")
	for _, test := range []struct {
		name string
		env  []string
		args []string
		want string
	}{
		{"no key", []string{url}, nil, "set COURIER_API_KEY"},
		{"no database", []string{key}, nil, "DATABASE_URL is not set"},
		{"no database, with the key in COURIER_AUTH_TOKEN",
			[]string{"COURIER_AUTH_TOKEN=secret-key"}, nil, "DATABASE_URL is not set"},
		{"no server", []string{key, url}, nil, "connect to the database"},
		{"another database", []string{key, "DATABASE_URL=mysql://user:secret-word@127.0.0.1/users"},
			nil, "use postgres://"},
		{"not a port", []string{key, "DATABASE_URL=postgres://user:secret-word@127.0.0.1:x/users"},
			nil, "DATABASE_URL cannot be read"},
		{"no file", []string{key, noFile}, nil, "none.db"},
		{"a key with a space", []string{"COURIER_API_KEY=secret key", url}, nil, "COURIER_API_KEY"},
		{"an unknown flag", nil, []string{"-fast"}, "see -help"},
		{"an argument", nil, []string{"users"}, "use only flags"},
		{"an empty -table", nil, []string{"-table="}, "-table is empty"},
		{"a negative -overlap", nil, []string{"-overlap=-1s"}, "-overlap is -1s"},
		{"a negative -max-deletes", nil, []string{"-max-deletes=-1"}, "-max-deletes is -1"},
		{"a -page of 0", nil, []string{"-page=0"}, "-page is 0"},
		{"a -concurrency of 0", nil, []string{"-concurrency=0"}, "-concurrency is 0"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p := newProgram(test.env, test.args...)
			p.mustExit(t, job.Failed)
			checkContains(t, p.err.String(), test.want)
			checkOmits(t, p.err.String(), "secret")
		})
	}
}

// TestHelp checks that the README has all flags, with their defaults.
func TestHelp(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if code := run(t.Context(), t.Context(), []string{"-help"}, &out, &out); code != job.Done {
		t.Errorf("exit code %d, want %d", code, job.Done)
	}
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	pattern := regexp.MustCompile(`(?s)\n  (-[\w-]+) .*?\(default "?(\w+)"?\)`)
	flags := pattern.FindAllStringSubmatch(out.String(), -1)
	if len(flags) != 5 {
		t.Fatalf("got %d flags with a default, want 5:\n%s", len(flags), &out)
	}
	for _, flag := range flags {
		name, value := flag[1], flag[2]
		if value == "5m0s" {
			value = "5m" // as people write it
		}
		checkContains(t, string(readme), "| `"+name+"` | "+value+" |")
	}
}
