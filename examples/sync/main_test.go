package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestDemo runs the program as the README says, with no environment.
func TestDemo(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	p := newProgram([]string{"TMPDIR=" + folder})
	if code := p.exits(t); code != exitDone {
		t.Fatalf("exit code %d\n%s", code, &p.err)
	}
	want, err := os.ReadFile(filepath.Join("testdata", "demo.txt"))
	if err != nil {
		t.Fatal(err)
	}
	times := regexp.MustCompile(`(?m)^      time .*$`)
	got := times.ReplaceAllString(p.out.String(), "      time        12ms")
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if p.err.Len() > 0 {
		t.Errorf("on standard error:\n%s", &p.err)
	}
	if left, _ := filepath.Glob(filepath.Join(folder, "courier-sync-*")); len(left) > 0 {
		t.Errorf("the demo left %v", left)
	}
}

func TestExitCodes(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, db *database) {
		f := newFakeCourier(t)
		db.addMany(t, 12, past)
		job := func(want int, text string) {
			t.Helper()
			p := newJob(db, f, "-page=5")
			if got := p.exits(t); got != want {
				t.Errorf("exit code %d, want %d", got, want)
			}
			if !strings.Contains(p.err.String(), text) {
				t.Errorf("the output does not say %q:\n%s", text, &p.err)
			}
			for _, secret := range []string{f.APIKey, "Name of", "u03"} {
				if strings.Contains(p.err.String(), secret) {
					t.Errorf("the output contains %q:\n%s", secret, &p.err)
				}
			}
		}
		f.respond("u03", 401)
		job(exitFailed, "check COURIER_API_KEY")
		f.respond("u03", 418)
		job(exitFailed, "the next run resumes there")
		f.respond("u03", 400)
		job(exitRejected, "see the table courier_sync_rejects")
		job(exitDone, "rows read           0")
		db.exec(t, "DROP TABLE users")
		job(exitFailed, "users")
	})
}

// TestSettings has environments and flags that are wrong.
func TestSettings(t *testing.T) {
	t.Parallel()
	const key, url = "COURIER_API_KEY=secret-key", "DATABASE_URL=postgres://user:secret-word@127.0.0.1:1/users"
	for _, test := range []struct {
		name string
		env  []string
		args []string
		want string
	}{
		{"no key", []string{url}, nil, "COURIER_API_KEY is not set"},
		{"no database", []string{key}, nil, "DATABASE_URL is not set"},
		{"no database, another name of the key", []string{"COURIER_AUTH_TOKEN=secret-key"}, nil, "DATABASE_URL is not set"},
		{"no server", []string{key, url}, nil, "connect to the database"},
		{"another database", []string{key, "DATABASE_URL=mysql://user:secret-word@127.0.0.1/users"}, nil, "use postgres://"},
		{"not a URL", []string{key, "DATABASE_URL=postgres://user:secret-word@127.0.0.1:x/users"}, nil, "database"},
		{"no file", []string{key, "DATABASE_URL=sqlite:" + filepath.Join(t.TempDir(), "none.db")}, nil, "database"},
		{"a wrong key", []string{"COURIER_API_KEY=secret key", url}, nil, "COURIER_API_KEY"},
		{"an unknown flag", nil, []string{"-fast"}, "see -help"},
		{"an argument", nil, []string{"users"}, "use only flags"},
		{"-overlap", nil, []string{"-overlap=-1s"}, "-overlap is -1s"},
		{"-page", nil, []string{"-page=0"}, "-page is 0"},
		{"-concurrency", nil, []string{"-concurrency=0"}, "-concurrency is 0"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p := newProgram(test.env, test.args...)
			if code := p.exits(t); code != exitFailed || p.out.Len() > 0 {
				t.Errorf("exit code %d\n%s", code, &p.out)
			}
			if text := p.err.String(); !strings.Contains(text, test.want) || strings.Contains(text, "secret") {
				t.Errorf("it says %q, want %q", text, test.want)
			}
		})
	}
}

// TestHelp checks that the README has all flags, with their defaults.
func TestHelp(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if code := run(t.Context(), []string{"-help"}, &out, &out); code != exitDone {
		t.Errorf("exit code %d", code)
	}
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	flags := regexp.MustCompile(`(?s)\n  (-\w+) .*?\(default (\w+)\)`).FindAllStringSubmatch(out.String(), -1)
	if len(flags) != 3 {
		t.Fatalf("%d flags with a default in\n%s", len(flags), &out)
	}
	for _, flag := range flags {
		line := "| `" + flag[1] + "` | " + strings.TrimSuffix(flag[2], "0s") + " |"
		if !strings.Contains(string(readme), line) {
			t.Errorf("README.md has no line %s", line)
		}
	}
}
