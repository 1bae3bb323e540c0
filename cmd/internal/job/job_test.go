package job_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	courier "github.com/courier-profiles/courier-go"
	"github.com/courier-profiles/courier-go/cmd/internal/job"
)

// It sends signals to this process, so no other test may run at the same time.
func TestSignals(t *testing.T) {
	ctx, drain, stop := job.Signals(t.Context())
	defer stop()
	interrupt := func() {
		if err := syscall.Kill(os.Getpid(), syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
	}
	interrupt()
	<-drain.Done()
	if ctx.Err() != nil {
		t.Error("the first signal ended ctx, want drain only")
	}
	interrupt()
	<-ctx.Done()
}

func TestSignalsEndWithParent(t *testing.T) {
	parent, cancel := context.WithCancel(t.Context())
	ctx, drain, stop := job.Signals(parent)
	cancel()
	<-ctx.Done()
	<-drain.Done()
	stop()
}

func TestFail(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		err  error
		want int
	}{
		{errors.New("no such file"), job.Failed},
		{fmt.Errorf("after 3 rows: %w", job.ErrInterrupted), job.Interrupted},
		{context.Canceled, job.Interrupted},
	} {
		var out bytes.Buffer
		if got := job.Fail(&out, test.err); got != test.want {
			t.Errorf("%v: exit code %d, want %d", test.err, got, test.want)
		}
		if got, want := out.String(), test.err.Error()+"\n"; got != want {
			t.Errorf("it prints %q, want %q", got, want)
		}
	}
}

func TestErrorText(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		err  error
		want string
	}{
		{nil, ""},
		{errors.New("courier: merge profile: 400 Bad Request"), "400 Bad Request"},
		{errors.New("courier: the API key is empty"), "the API key is empty"},
		{errors.New("the run ended: courier: merge profile: 503 Service Unavailable"),
			"the run ended: 503 Service Unavailable"},
		{errors.New("open users.csv: no such file"), "open users.csv: no such file"},
	} {
		if got := job.ErrorText(test.err); got != test.want {
			t.Errorf("%v: %q, want %q", test.err, got, test.want)
		}
	}
}

func TestFakeClient(t *testing.T) {
	t.Parallel()
	client, err := job.NewClient(true)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	profile := courier.Profile{Email: courier.Set("ada@example.com")}
	if _, err := client.Profiles.Merge(t.Context(), "user-1", profile); err != nil {
		t.Fatal(err)
	}
	if _, ok := client.Fake.Profile("user-1"); !ok {
		t.Error("the fake has no profile of user-1")
	}
	if want := "an in-memory fake"; client.Destination != want {
		t.Errorf("destination %q, want %q", client.Destination, want)
	}
}

func TestClientFromEnvironment(t *testing.T) {
	t.Setenv("COURIER_API_KEY", "")
	t.Setenv("COURIER_AUTH_TOKEN", "")
	t.Setenv("COURIER_BASE_URL", "")
	if _, err := job.NewClient(false); !errors.Is(err, job.ErrNoKey) {
		t.Errorf("without a key: error %v, want %v", err, job.ErrNoKey)
	}
	t.Setenv("COURIER_API_KEY", "key")
	for _, url := range []string{"", "https://courier.example.com"} {
		t.Setenv("COURIER_BASE_URL", url)
		client, err := job.NewClient(false)
		if err != nil {
			t.Fatal(err)
		}
		client.Close()
		want := url
		if url == "" {
			want = courier.DefaultBaseURL
		}
		if client.Destination != want {
			t.Errorf("destination %q, want %q", client.Destination, want)
		}
	}
}

func TestCounts(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	job.WriteCounts(&out,
		job.Count{Name: "merged", N: 12345},
		job.Count{Name: "rejected", N: 1, Note: "see rejects.csv"},
		job.Count{Name: "retries", N: 0, Note: "never shown"},
	)
	job.WriteTime(&out, 2*time.Second, 10, "rows")
	job.WriteTime(&out, 2*time.Second, 0, "rows") // without work there is no rate
	want := "" +
		"        merged        12,345\n" +
		"      rejected             1  see rejects.csv\n" +
		"       retries             0\n" +
		"          time            2s  5 rows/s\n" +
		"          time            2s\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestPlural(t *testing.T) {
	t.Parallel()
	got := []string{job.Plural(1, "row", "rows"), job.Plural(1234, "row", "rows")}
	if diff := cmp.Diff([]string{"1 row", "1,234 rows"}, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestCommand(t *testing.T) {
	t.Parallel()
	got := job.Command("courier-import", "-id", "Customer's ID", "users.csv", "")
	want := job.Quote(os.Args[0]) + ` -id 'Customer'\''s ID' users.csv ''`
	if got != want {
		t.Errorf("command %s, want %s", got, want)
	}
}

// A path is one word, and no flag.
func TestShellPath(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{
		"users.csv": "users.csv", "Ann's users.csv": `'Ann'\''s users.csv'`,
		"-users.csv": "./-users.csv",
	} {
		if got := job.ShellPath(path); got != want {
			t.Errorf("ShellPath(%q) is %s, want %s", path, got, want)
		}
	}
}

// With go run -C, the shell is in another folder than the program.
func TestOpenNamesTheShellsFolder(t *testing.T) {
	shell := t.TempDir()
	t.Chdir(t.TempDir())
	t.Setenv("OLDPWD", shell)
	if err := os.WriteFile(filepath.Join(shell, "users.csv"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := job.Open("users.csv")
	if err == nil {
		t.Fatal("a file of another folder was opened")
	}
	if want := filepath.Join(shell, "users.csv"); !strings.Contains(err.Error(), want) {
		t.Errorf("error %q, want one that names %s", err, want)
	}
	if _, err := job.Open("other.csv"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v, want %v", err, os.ErrNotExist)
	}
}
