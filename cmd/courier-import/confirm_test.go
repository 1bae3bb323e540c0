//go:build !windows

package main

import (
	"bufio"
	"io"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/creack/pty"
	"github.com/google/go-cmp/cmp"

	"github.com/courier-profiles/courier-go/cmd/internal/job"
)

// onTerminal runs the importer on a terminal, types text when it asks, and returns
// its exit code and what the terminal shows. stdin is the terminal if it is nil.
func (f *fakeCourier) onTerminal(t *testing.T, stdin io.Reader, text string, args ...string) (
	int, string,
) {
	t.Helper()
	folder := t.TempDir()
	writeFile(t, folder, "users.csv", plainCSV)
	master, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer master.Close()
	p := f.program(t, folder, args...)
	p.Stdin, p.Stdout, p.Stderr = stdin, tty, tty
	p.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 1}
	if stdin == nil {
		p.Stdin = tty
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	tty.Close()
	var shown strings.Builder
	r := bufio.NewReader(master)
	for {
		c, _, err := r.ReadRune()
		if err != nil {
			break // the program has ended
		}
		shown.WriteRune(c)
		if strings.HasSuffix(shown.String(), "[y/N] ") {
			if _, err := master.WriteString(text); err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = p.Wait() // the exit code says more
	return p.ProcessState.ExitCode(), shown.String()
}

func TestConfirmation(t *testing.T) {
	t.Parallel()
	ann := profiles{"u1": `{"name":"Ann"}`}
	for _, test := range []struct {
		name  string
		stdin io.Reader
		typed string
		args  []string
		exit  int
		want  profiles
	}{
		{"yes", nil, "y\n", []string{"users.csv"}, job.Done, ann},
		{"no", nil, "n\n", []string{"users.csv"}, job.Failed, profiles{}},
		{"only the Enter key", nil, "\n", []string{"users.csv"}, job.Failed, profiles{}},
		{"Ctrl-C", nil, "\x03", []string{"users.csv"}, job.Interrupted, profiles{}},
		{"standard input is the data", strings.NewReader(plainCSV), "yes\n", []string{"-"},
			job.Done, ann},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := newFakeCourier(t)
			code, shown := f.onTerminal(t, test.stdin, test.typed, test.args...)
			if code != test.exit {
				t.Errorf("exit code %d, want %d\n%s", code, test.exit, shown)
			}
			if want := "Send 1 record to " + f.url + "? [y/N] "; !strings.Contains(shown, want) {
				t.Errorf("the terminal shows\n%s, want %q", shown, want)
			}
			if diff := cmp.Diff(test.want, f.profiles(t)); diff != "" {
				t.Errorf("profiles: -want +got\n%s", diff)
			}
		})
	}
}

// Where nobody can be asked, nothing is sent without -yes.
func TestNobodyToAsk(t *testing.T) {
	t.Parallel()
	for _, input := range []string{"users.csv", "-"} {
		f := newFakeCourier(t)
		folder := t.TempDir()
		writeFile(t, folder, "users.csv", plainCSV)
		p := f.program(t, folder, input)
		p.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // without a terminal
		p.Stdin = strings.NewReader(plainCSV)
		p.exits(t, job.Failed)
		p.says(t, "name name 1 Ann", "add -yes")
		if n := f.count(); n > 0 {
			t.Errorf("%s: %d requests were sent", input, n)
		}
		if diff := cmp.Diff([]string{"users.csv"}, files(t, folder)); diff != "" {
			t.Errorf("%s: files: -want +got\n%s", input, diff)
		}
	}
}

func TestDryRun(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	writeFile(t, folder, "users.csv", "id,email_verified\nu1,yes\nu2,x\n..,no\n")
	p := newProgram(t, folder, "-dry-run", "users.csv")
	p.exits(t, job.Rejected)
	p.says(t, "Will be sent: 1 record of 1 user.", "Will be rejected: 2 records",
		"email_verified is not true or false: line 3", "in a URL they mean another resource: line 4")
	if diff := cmp.Diff([]string{"users.csv"}, files(t, folder)); diff != "" {
		t.Errorf("files: -want +got\n%s", diff)
	}
	writeFile(t, folder, "users.csv", plainCSV)
	p = newProgram(t, folder, "users.csv", "-fake", "--dry-run")
	p.exits(t, job.Done)
	if strings.Contains(p.output(), "merged") {
		t.Errorf("it merges records:\n%s", p.output())
	}
}

// With go run -C, the shell is in another folder than the program.
func TestFileOfTheShellsFolder(t *testing.T) {
	t.Parallel()
	shell := t.TempDir()
	writeFile(t, shell, "users.csv", plainCSV)
	p := newProgram(t, t.TempDir(), "-fake", "users.csv")
	p.Env = append(p.Env, "OLDPWD="+shell)
	p.exits(t, job.Failed)
	p.says(t, "there is "+shell+"/users.csv")
}

func TestCouldNotStart(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	writeFile(t, folder, "users.csv", plainCSV)
	writeFile(t, folder, "users.json", `{"id":"u1"}`)
	writeFile(t, folder, "update.json", `{"id":"u1","profile":{"name":"Ann"}}`)
	writeFile(t, folder, "two.csv", "id,user_id\n1,2\n")
	writeFile(t, folder, "same.csv", "id,Email,E-mail\n1,a@example.com,b@example.com\n")
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"users.csv"}, "set COURIER_API_KEY"},
		{[]string{}, "name one file of users"},
		{[]string{"-fake", "."}, "is a folder"},
		{[]string{"-fake", "none.csv"}, "no such file"},
		{[]string{"-fake", "users.csv", "-id", "Key"},
			`no column is called "Key", as -id says: the columns are "id", "name"`},
		{[]string{"-fake", "users.csv", "-column", "x=email"},
			`no column is called "x", as -column says: the columns are "id", "name"`},
		{[]string{"-fake", "users.csv", "-column", "name=", "-column", "name=nickname"},
			"-column name=nickname has no effect"},
		{[]string{"-fake", "update.json", "-column", "profile.name="},
			"-column profile.name= has no effect"},
		{[]string{"-fake", "same.csv", "-id", "EMAIL"}, `no column is called "EMAIL"`},
		{[]string{"-fake", "users.json", "-id", "Key"},
			`no column is called "Key", as -id says: the columns are "id"`},
		{[]string{"-fake", "users.csv", "-null", "Name=x"},
			`write -null x, which counts x as empty in every column`},
		{[]string{"-fake", "users.csv", "-column", "x"}, "use the name of a column, ="},
		{[]string{"-fake", "users.csv", "-rest=own"}, "use -rest or -rest=custom"},
		{[]string{"-fake", "users.csv", "-empty=x"}, "use ignore or null"},
		{[]string{"-fake", "users.csv", "-concurrency=0"}, "use 1 to 65536"},
		{[]string{"-fake", "users.csv", "-rejects=users.csv"}, "must be three files"},
		{[]string{"-fake", "two.csv"}, `"id" and "user_id" are both the user ID`},
		{[]string{"-fake", "same.csv"}, "are both the member email: leave one out"},
	} {
		p := newProgram(t, folder, test.args...)
		p.exits(t, job.Failed)
		p.says(t, test.want)
	}
}

func TestHelp(t *testing.T) {
	t.Parallel()
	p := newProgram(t, t.TempDir(), "-help")
	p.exits(t, job.Done)
	p.says(t, "-dry-run", "-rest=custom", "Exit codes")
	_, names, _ := strings.Cut(p.output(), "in any spelling, such as ")
	names, _, _ = strings.Cut(names, ";")
	for _, name := range strings.Fields(strings.NewReplacer(",", " ", ".*", "").Replace(names)) {
		_, isKnown := known().byPath[name]
		isProse := slices.Contains([]string{"and", "of", "its", "import",
			"template"}, name)
		if !isKnown && !isProse {
			t.Errorf("it says that Courier knows %q", name)
		}
	}
	if p.err.Len() > 0 {
		t.Errorf("it prints errors:\n%s", &p.err)
	}
}

// Nothing of the key is printed, whatever fails.
func TestKeyIsNotPrinted(t *testing.T) {
	t.Parallel()
	const key = "pk_secret\x7f"
	folder := t.TempDir()
	writeFile(t, folder, "users.csv", plainCSV)
	p := newProgram(t, folder, "-yes", "users.csv")
	p.Env = append(p.Env, "COURIER_API_KEY="+key)
	p.exits(t, job.Failed)
	if strings.Contains(p.output(), "pk_secret") {
		t.Errorf("the key is printed:\n%s", p.output())
	}
}
