package main

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/courier-profiles/courier-go/cmd/internal/job"
)

func TestRefusals(t *testing.T) {
	nats, _ := newNATS(t)
	for _, test := range []struct {
		name, natsURL, key string
		args               []string
		want               string
	}{
		{"an unknown command", "", "", []string{"consume"}, "there is no command"},
		{"two commands", "", "", []string{"publish", "publish"}, `unexpected argument "publish"`},
		{"a file as an argument", "", "", []string{"publish", "-v", "updates.ndjson"},
			`unexpected argument "updates.ndjson"`},
		{"an unknown flag of a command", "", "", []string{"publish", "-fast"}, "see -help"},
		{"an unknown flag", "", "", []string{"-fast"}, "see -help"},
		{"negative partitions", "", "", []string{"-partitions=-1"}, "from 1 to 4096"},
		{"too many partitions", "", "", []string{"-partitions=4097"}, "from 1 to 4096"},
		{"a short -ack-wait", "", "", []string{"-ack-wait=1ms"}, "-ack-wait is too short"},
		{"no -retry-wait", "", "", []string{"-retry-wait=0"}, "-retry-wait must be"},
		{"a long -retry-wait", "", "", []string{"-retry-wait=1h"}, "-retry-wait must be"},
		{"publish without NATS", "", "", []string{"publish"}, "NATS_URL is not set"},
		{"recreate without NATS", "", "", []string{"recreate"}, "NATS_URL is not set"},
		{"a key without NATS", "", "secret", nil, "NATS_URL is not set"},
		{"an invalid URL", "nats://user:secret@%zz", "", nil, "NATS_URL is not a URL"},
		{"nobody there", "nats://user:secret@127.0.0.1:1", "", nil,
			"connect to NATS: nats: no servers available"},
		{"no key", nats.ClientURL(), "", nil, "COURIER_API_KEY"},
	} {
		t.Run(test.name, func(t *testing.T) {
			setEnvironment(t, test.natsURL, test.key)
			_, err := program(t, "", test.args...)
			checkError(t, err, test.want)
			checkOmits(t, err.Error(), "secret")
		})
	}
}

func TestMissingCredentials(t *testing.T) {
	nats, _ := newNATS(t)
	setEnvironment(t, nats.ClientURL(), "key")
	t.Setenv("NATS_CREDS", filepath.Join(t.TempDir(), "none.creds"))
	if _, err := program(t, ""); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v, want %v", err, fs.ErrNotExist)
	}
}

// TestDemo runs the program with no environment.
func TestDemo(t *testing.T) {
	t.Parallel()
	p := startProcess(t, "", &fake{}, "")
	p.mustExit(t, job.Done)
	for _, want := range []string{
		"published again",
		`ada {"email":"new@example.com","custom":{"plan":"pro"}}`,
		errMalformed.Error(),
		"merged             9\n",
		"dead letters             1\n",
	} {
		if !strings.Contains(p.out.String(), want) {
			t.Errorf("no %q in\n%s", want, p.out)
		}
	}
	for line := range strings.Lines(p.out.String()) {
		if strings.HasPrefix(line, "time=") { // of the log
			checkOmits(t, line, "ada", "turing", "example.com")
		}
	}
}

func TestDemoInterrupted(t *testing.T) {
	t.Parallel()
	p := startProcess(t, "", &fake{}, "")
	p.out.await(t, "retry_in=1") // what the fake fails with a Retry-After
	p.signal(t, syscall.SIGTERM)
	p.mustExit(t, job.Done)
}

// TestHelp checks that the README has all flags, with their defaults.
func TestHelp(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := run(t.Context(), t.Context(), []string{"-help"}, nil, &out, &out); err != nil {
		t.Fatal(err)
	}
	var again bytes.Buffer
	args := []string{"publish", "-help"}
	if err := run(t.Context(), t.Context(), args, nil, &again, &again); err != nil {
		t.Fatal(err)
	}
	if again.String() != out.String() {
		t.Errorf("publish -help prints:\n%s\nwant what -help prints", &again)
	}
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	pattern := regexp.MustCompile("(?m)^\\| `(-[\\w-]+)` \\| (\\w*) *\\|")
	rows := pattern.FindAllStringSubmatch(string(readme), -1)
	if got := strings.Count(out.String(), "\n  -"); got != len(rows) {
		t.Errorf("the program has %d flags, and README.md %d", got, len(rows))
	}
	for _, row := range rows {
		_, help, found := strings.Cut(out.String(), "\n  "+row[1])
		if !found {
			t.Errorf("the program has no flag %s", row[1])
		}
		help, _, _ = strings.Cut(help, "\n  -")
		if row[2] != "" && !strings.Contains(help, "(default "+row[2]) {
			t.Errorf("the default of %s is not %s:\n%s", row[1], row[2], help)
		}
	}
}
