package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/text/encoding/charmap"
)

// profile returns a user's profile as JSON.
func (f *fakeCourier) profile(t *testing.T, userID string) string {
	t.Helper()
	profile, ok := f.Profile(userID)
	if !ok {
		return "none"
	}
	text, err := json.Marshal(profile)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestImportsTheSample(t *testing.T) {
	f := newFakeCourier(t)
	folder := t.TempDir()
	writeFile(t, folder, "users.csv", readFile(t, "users.csv"))
	p := f.program(t, folder, "users.csv")
	p.exits(t, exitDone)
	want := `{"name":"Ada Lovelace","given_name":"Ada","family_name":"Lovelace","preferred_username":"ada","profile":"https://example.com/ada",` +
		`"email":"ada.lovelace@example.com","email_verified":true,"gender":"female","birthdate":"1815-12-10","zoneinfo":"Europe/London","locale":"en-GB",` +
		`"phone_number":"+15555550101","phone_number_verified":false,"courier":{"channel":"email"},"first_name":"Ada","last_name":"Lovelace"}`
	if diff := cmp.Diff(want, f.profile(t, "user-1")); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if files, _ := filepath.Glob(filepath.Join(folder, "*")); len(files) != 1 {
		t.Errorf("the import left %v", files)
	}
}

// TestRejectsCanBeImported mends and imports the rejects of an import, and the
// rejects of that.
func TestRejectsCanBeImported(t *testing.T) {
	for _, test := range []struct{ name, users, rejected, mended, again, last string }{
		{
			name: "users.csv",
			users: byteOrderMark + "name;id;email_verified;own\r\n" +
				"Ada;u1;yes;\"a\r\nb\"\r\n" +
				"Bo;u2;maybe;\"x;\"\"y\"\"\"\r\n" +
				"Carl;;no;\r\n" +
				"Dora;u4\r\n" +
				"\"Eve\"x;u5;no;\r\n" +
				"F;refused;no;\r\n" +
				"Gil;u7;no;g",
			rejected: byteOrderMark + "name;id;email_verified;own;line;text;reason\n" +
				"Bo;u2;maybe;\"x;\"\"y\"\"\";4;;\"email_verified is \"\"maybe\"\": use true or false\"\n" +
				"Carl;;no;;5;;the row has no user id\n" +
				";;;;6;Dora;u4;the row has 2 cells, but there are 4 columns\n" +
				";;;;7;\"\"\"Eve\"\"x;u5;no;\";\"" + strings.ReplaceAll(string(strayQuote), `"`, `""`) + "\"\n" +
				"F;refused;no;;8;;400 invalid_request_error: no refused\n",
			mended: byteOrderMark + "name;id;email_verified;own;line;text;reason\n" +
				"Bo;u2;true;\"x;\"\"y\"\"\";4;;never mind\n" +
				"Carl;;no;;5;;the row has no user id\n" +
				";;;;6;\"Dora;u4;;\";mended in the text\n" +
				"Eve;u5;no;;7;;mended in the cells\n" +
				"F;u6;no;;8;;\n",
			again: byteOrderMark + "name;id;email_verified;own;line;text;reason\n" +
				"Carl;;no;;3;;the row has no user id\n",
			last: byteOrderMark + "name;id;email_verified;own;line;text;reason\n" +
				"Carl;u3;no;;3;;\n",
		},
		{
			name: "users.ndjson",
			users: `{"user_id":"u1","profile":{"name":"Ada","email_verified":true,"own":"a\r\nb"}}` + "\n" +
				`{"user_id":"u2","profil":{"own":1.10}}` + "\n" +
				`{"user_id":"u3","profile":` + "\n" +
				`{"user_id":"refused","profile":{"n":1e2}}` + "\n" +
				"{\"user_id\":\"u4\xff\"}\n",
			rejected: `{"user_id":"u2","profil":{"own":1.10},"line":2,"reason":"there is a member \"profil\": only user_id and profile are imported"}` + "\n" +
				`{"text":"{\"user_id\":\"u3\",\"profile\":","line":3,"reason":"the line is not a JSON object: it ends too early"}` + "\n" +
				`{"user_id":"refused","profile":{"n":1e2},"line":4,"reason":"400 invalid_request_error: no refused"}` + "\n" +
				`{"base64":"eyJ1c2VyX2lkIjoidTT/In0=","line":5,"reason":"` + notUTF8 + "\"}\n",
			mended: `{"user_id":"u2","profile":{"name":"Bo","email_verified":true,"own":"x;\"y\""},"line":2,"reason":"never mind"}` + "\n" +
				`{"text":"{\"user_id\":\"u3\",\"profile\":","line":3,"reason":"not mended"}` + "\n" +
				`{"user_id":"u5","profile":{"name":"Eve","email_verified":false}}` + "\n" +
				`{"text":"{\"user_id\":\"u4\",\"profile\":{\"name\":\"Dora\"}}"}` + "\n" +
				`{"user_id":"u6","profile":{"name":"F","email_verified":false}}` + "\n" +
				`{"user_id":"u7","profile":{"name":"Gil","email_verified":false,"own":"g"}}` + "\n",
			again: `{"text":"{\"user_id\":\"u3\",\"profile\":","line":2,"reason":"the line is not a JSON object: it ends too early"}` + "\n",
			last:  `{"user_id":"u3","profile":{"name":"Carl","email_verified":false}}` + "\n",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := newFakeCourier(t)
			f.answerWith(400, "refused")
			folder := t.TempDir()
			ext := filepath.Ext(test.name)
			writeFile(t, folder, test.name, test.users)
			first := f.program(t, folder, test.name)
			first.exits(t, exitRejected)
			if !strings.Contains(first.err.String(), "users.rejected"+ext) {
				t.Errorf("the file of rejects is not named:\n%s", &first.err)
			}
			rejected := strings.ReplaceAll(test.rejected, ";Dora;u4;", ";\"Dora;u4\";")
			if diff := cmp.Diff(rejected, readFile(t, folder, "users.rejected"+ext)); diff != "" {
				t.Fatalf("users.rejected%s: -want +got\n%s", ext, diff)
			}

			writeFile(t, folder, "users.rejected"+ext, test.mended)
			f.program(t, folder, "users.rejected"+ext).exits(t, exitRejected)
			if diff := cmp.Diff(test.again, readFile(t, folder, "users.rejected.rejected"+ext)); diff != "" {
				t.Fatalf("users.rejected.rejected%s: -want +got\n%s", ext, diff)
			}

			writeFile(t, folder, "users.rejected.rejected"+ext, test.last)
			f.program(t, folder, "users.rejected.rejected"+ext).exits(t, exitDone)
			for user, want := range map[string]string{
				"u1": `{"name":"Ada","email_verified":true,"own":"a\r\nb"}`,
				"u2": `{"name":"Bo","email_verified":true,"own":"x;\"y\""}`,
				"u3": `{"name":"Carl","email_verified":false}`,
				"u4": `{"name":"Dora"}`,
				"u5": `{"name":"Eve","email_verified":false}`,
				"u6": `{"name":"F","email_verified":false}`,
				"u7": `{"name":"Gil","email_verified":false,"own":"g"}`,
			} {
				if diff := cmp.Diff(want, f.profile(t, user)); diff != "" {
					t.Errorf("%s: -want +got\n%s", user, diff)
				}
			}
		})
	}
}

// TestUnchangedRejectsAreRejectedAgain imports a file of rejects as it is.
func TestUnchangedRejectsAreRejectedAgain(t *testing.T) {
	f := newFakeCourier(t)
	folder := t.TempDir()
	writeFile(t, folder, "users.csv", "id,email_verified\nu1,maybe\n,yes\nu3\nu4,yes,no\nu5,\"yes\nu\xff,yes\n")
	f.program(t, folder, "users.csv").exits(t, exitRejected)
	f.program(t, folder, "users.rejected.csv").exits(t, exitRejected)
	columns := func(name string) (all []string) {
		for line := range strings.Lines(readFile(t, folder, name)) {
			all = append(all, line[:strings.LastIndex(line, ",")]) // without the reason
		}
		return all
	}
	first, second := columns("users.rejected.csv"), columns("users.rejected.rejected.csv")
	for i := range first[1:] {
		// The line is that of the input.
		first[i+1] = strings.Replace(first[i+1], fmt.Sprintf(",%d,", i+2), ",N,", 1)
		second[i+1] = strings.Replace(second[i+1], fmt.Sprintf(",%d,", i+2), ",N,", 1)
	}
	if diff := cmp.Diff(first, second); diff != "" || len(first) != 7 {
		t.Errorf("-first +second\n%s", diff)
	}
	if f.count() != 0 {
		t.Errorf("%d requests", f.count())
	}
}

// TestRejectsOfAnEncoding imports them with the same flags.
func TestRejectsOfAnEncoding(t *testing.T) {
	for name, text := range map[string]string{"users.csv": plainCSV, "users.ndjson": plainNDJSON} {
		f := newFakeCourier(t)
		folder := t.TempDir()
		writeFile(t, folder, name, encoded(t, charmap.Windows1252, text))
		f.answerWith(400, "u1")
		f.program(t, folder, "-encoding=windows-1252", name).exits(t, exitRejected)
		f.answerWith(0, "u1")
		f.program(t, folder, "-encoding=windows-1252", strings.Replace(name, ".", ".rejected.", 1)).exits(t, exitDone)
		if got := f.profile(t, "u1"); got != `{"name":"Ángel","email_verified":true}` {
			t.Errorf("%s: the profile is %s", name, got)
		}
	}
}

func TestStandardInputAndFiles(t *testing.T) {
	f := newFakeCourier(t)
	folder := t.TempDir()
	p := f.program(t, folder, "-", "-concurrency=2", "-rate", "1000")
	p.Stdin = strings.NewReader("id,email_verified\nu1,yes\nu2,x\n")
	p.exits(t, exitRejected)
	if !exists(folder, "stdin.rejected.csv") {
		t.Error("there is no stdin.rejected.csv")
	}

	writeFile(t, folder, "users.csv", "id,email_verified\nu3,yes\nu4,x\n")
	p = f.program(t, folder, "-rejects", "bad.csv", "users.csv", "-checkpoint=state.json")
	p.exits(t, exitRejected)
	if want := "\t" + os.Args[0] + " bad.csv -checkpoint=state.json\n"; !strings.Contains(p.err.String(), want) {
		t.Errorf("it says\n%s, want %q", &p.err, want)
	}
	if !exists(folder, "bad.csv") || exists(folder, "users.rejected.csv") || exists(folder, "state.json") {
		t.Error("the files are not where they were asked for")
	}
	if got := f.profile(t, "u1") + f.profile(t, "u3"); got != `{"email_verified":true}{"email_verified":true}` {
		t.Errorf("profiles %s", got)
	}
}

func TestDryRun(t *testing.T) {
	folder := t.TempDir()
	writeFile(t, folder, "users.csv", "id,email_verified\nu1,yes\nu2,x\n..,no\nu1,no\n")
	p := newProgram(t, folder, "-dry-run", "users.csv")
	p.exits(t, exitRejected)
	want := "users.csv:3: email_verified is \"x\": use true or false\n" +
		"users.csv:4: userID: the user ids . and .. cannot be sent: in a path they mean another resource\n"
	if diff := cmp.Diff(want, p.out.String()); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	writeFile(t, folder, "good.csv", "id,email_verified\nu1,yes\n")
	newProgram(t, folder, "good.csv", "--dry-run").exits(t, exitDone)
	if files, _ := filepath.Glob(filepath.Join(folder, "*")); len(files) != 2 {
		t.Errorf("the dry run left %v", files)
	}
}

func TestFake(t *testing.T) {
	folder := t.TempDir()
	writeFile(t, folder, "users.csv", plainCSV)
	p := newProgram(t, folder, "-fake", "users.csv")
	p.exits(t, exitDone)
	if !strings.Contains(p.err.String(), "merged             2") {
		t.Errorf("it says\n%s", &p.err)
	}
}

func TestCouldNotRun(t *testing.T) {
	f := newFakeCourier(t)
	folder := t.TempDir()
	writeFile(t, folder, "users.csv", plainCSV)
	writeFile(t, folder, "no-id.csv", "name\nAda\n")
	writeFile(t, folder, "cut.csv.gz", zipped(t, plainCSV)[:40])
	writeFile(t, folder, "broken.checkpoint.json", "{")
	writeFile(t, folder, "broken.csv", plainCSV)
	for _, test := range []struct {
		args []string
		want string
	}{
		{nil, "name one file of users"},
		{[]string{"users.csv", "no-id.csv"}, "name one file of users"},
		{[]string{"-no-such-flag", "users.csv"}, "no-such-flag"},
		{[]string{"-empty=maybe", "users.csv"}, "use ignore or null"},
		{[]string{"-concurrency=0", "users.csv"}, "use 1 to 65536"},
		{[]string{"-rate=-1", "users.csv"}, "-rate is -1"},
		{[]string{"-dry-run", "-fake", "users.csv"}, "leave one of them out"},
		{[]string{"there-is-none.csv"}, "no such file"},
		{[]string{"."}, "is a folder"},
		{[]string{"no-id.csv"}, "none of them is id or user_id"},
		{[]string{"cut.csv.gz"}, "cut.csv.gz"},
		{[]string{"-encoding=klingon", "users.csv"}, "klingon"},
		{[]string{"-rejects=users.csv", "users.csv"}, "cannot be two of"},
		{[]string{"-rejects=x", "-checkpoint=./x", "users.csv"}, "cannot be two of"},
		{[]string{"-checkpoint=no-such-folder/x.json", "users.csv"}, "name other files with -checkpoint and -rejects"},
		{[]string{"broken.csv"}, "is no checkpoint"},
	} {
		p := f.program(t, folder, test.args...)
		p.exits(t, exitFailed)
		if !strings.Contains(p.err.String(), test.want) {
			t.Errorf("%q says\n%s, want something about %q", test.args, &p.err, test.want)
		}
	}
	p := newProgram(t, folder, "users.csv")
	p.exits(t, exitFailed)
	if !strings.Contains(p.err.String(), "COURIER_API_KEY") || !strings.Contains(p.err.String(), "users.csv -fake") {
		t.Errorf("without a key it says\n%s", &p.err)
	}
	if f.count() != 0 {
		t.Errorf("%d requests", f.count())
	}
	for _, help := range []string{"-help", "-h", "--help"} {
		p := newProgram(t, folder, help)
		p.exits(t, exitDone)
		if !strings.Contains(p.out.String(), "-dry-run") {
			t.Errorf("%s says\n%s", help, &p.out)
		}
	}
}

func TestWrongKey(t *testing.T) {
	for _, test := range []struct {
		status int
		want   string
	}{
		{401, "does not accept the API key"},
		{403, "may not change profiles"},
	} {
		f := newFakeCourier(t)
		folder := t.TempDir()
		text := "id,name\n"
		var users []string
		for i := range 1000 {
			users = append(users, fmt.Sprint("u", i))
			text += users[i] + ",Ada\n"
		}
		f.answerWith(test.status, users...)
		writeFile(t, folder, "users.csv", text)
		p := f.program(t, folder, "users.csv")
		p.exits(t, exitFailed)
		if !strings.Contains(p.err.String(), test.want) || !strings.Contains(p.err.String(), "same command again:\n\t"+os.Args[0]+" users.csv\n") {
			t.Errorf("status %d: it says\n%s", test.status, &p.err)
		}
		if exists(folder, "users.rejected.csv") {
			t.Errorf("status %d: rows were rejected", test.status)
		}
		if f.count() > 16 {
			t.Errorf("status %d: %d requests", test.status, f.count())
		}
		f.answerWith(0, users...)
		f.program(t, folder, "users.csv").exits(t, exitDone)
		if got := f.profile(t, "u999"); got != `{"name":"Ada"}` {
			t.Errorf("status %d: after that, the profile is %s", test.status, got)
		}
	}
}

func TestCourierOutOfReach(t *testing.T) {
	server := httptest.NewServer(nil)
	url := server.URL
	server.Close()
	folder := t.TempDir()
	writeFile(t, folder, "users.csv", plainCSV)
	p := newProgram(t, folder, "users.csv")
	p.Env = append(p.Env, "COURIER_API_KEY=k", "COURIER_BASE_URL="+url)
	p.exits(t, exitFailed)
	if !strings.Contains(p.err.String(), "Courier cannot be reached: no answer") || exists(folder, "users.rejected.csv") {
		t.Errorf("it says\n%s", &p.err)
	}
	f := newFakeCourier(t)
	p = f.program(t, folder, "users.csv")
	p.exits(t, exitFailed) // at another URL
	if !strings.Contains(p.err.String(), "to "+url) {
		t.Errorf("at another URL it says\n%s", &p.err)
	}
	f.program(t, folder, "users.csv", "-fresh").exits(t, exitDone)
}

func TestOneFailureIsRejected(t *testing.T) {
	f := newFakeCourier(t)
	f.answerWith(500, "u2")
	folder := t.TempDir()
	writeFile(t, folder, "users.csv", "id,name\nu1,Ada\nu2,Bo\nu3,Carl\n")
	p := f.program(t, folder, "users.csv")
	p.exits(t, exitRejected)
	want := "id,name,line,text,reason\nu2,Bo,3,,500 invalid_request_error: no u2\n"
	if diff := cmp.Diff(want, readFile(t, folder, "users.rejected.csv")); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if !strings.Contains(p.err.String(), "retries             3") {
		t.Errorf("it says\n%s", &p.err)
	}
}

func TestRejectsAreNotOverwritten(t *testing.T) {
	f := newFakeCourier(t)
	folder := t.TempDir()
	writeFile(t, folder, "users.csv", "id,email_verified\nu1,yes\nu2,x\n")
	f.program(t, folder, "users.csv").exits(t, exitRejected)
	writeFile(t, folder, "users.rejected.csv", "mended, not imported")
	p := f.program(t, folder, "users.csv")
	p.exits(t, exitFailed)
	if got := readFile(t, folder, "users.rejected.csv"); got != "mended, not imported" || !strings.Contains(p.err.String(), "-fresh") {
		t.Errorf("%q is in the file of rejects, and it says\n%s", got, &p.err)
	}
	f.program(t, folder, "users.csv", "-fresh").exits(t, exitRejected)
	if got := readFile(t, folder, "users.rejected.csv"); !strings.HasPrefix(got, "id,") {
		t.Errorf("%q is in the file of rejects", got)
	}
}

// TestRejectsOfAnotherImportAreKept has two imports with one file of rejects: the
// other one writes it while this one is interrupted, and had no rejects so far.
func TestRejectsOfAnotherImportAreKept(t *testing.T) {
	for _, ext := range []string{".csv", ".ndjson"} {
		f := newFakeCourier(t)
		f.answerWith(400, "u2")
		folder := t.TempDir()
		text := map[string][2]string{".csv": {plainCSV, "id\nu2\n"}, ".ndjson": {plainNDJSON, `{"user_id":"u2"}`}}[ext]
		writeFile(t, folder, "one"+ext, text[0])
		writeFile(t, folder, "other"+ext, text[1])
		p := f.interrupt(t, folder, syscall.SIGINT, 1, "one"+ext, "-rejects=all"+ext, "-rate=1")
		if code := p.ProcessState.ExitCode(); code != exitInterrupted {
			t.Fatalf("exit code %d\n%s", code, &p.err)
		}
		f.program(t, folder, "other"+ext, "-rejects=all"+ext).exits(t, exitRejected)
		rejected := readFile(t, folder, "all"+ext)
		p = f.program(t, folder, "one"+ext, "-rejects=all"+ext)
		p.exits(t, exitFailed)
		if !strings.Contains(p.err.String(), "all"+ext+" is there already") {
			t.Errorf("it says\n%s", &p.err)
		}
		if diff := cmp.Diff(rejected, readFile(t, folder, "all"+ext)); diff != "" {
			t.Errorf("-want +got\n%s", diff)
		}
		if err := os.Rename(filepath.Join(folder, "all"+ext), filepath.Join(folder, "imported"+ext)); err != nil {
			t.Fatal(err)
		}
		f.program(t, folder, "one"+ext, "-rejects=all"+ext).exits(t, exitRejected)
		if got := readFile(t, folder, "all"+ext); !strings.Contains(got, "400 invalid_request_error: no u2") {
			t.Errorf("%q is in the file of rejects", got)
		}
	}
}

// interrupt interrupts an import of rows when the fake has seen that many
// requests, and returns the program.
func (f *fakeCourier) interrupt(t *testing.T, folder string, signal syscall.Signal, requests int, args ...string) *program {
	t.Helper()
	p := f.program(t, folder, args...)
	f.restart(func(n int) {
		if n == requests {
			p.signal(signal)
		}
	})
	p.exit(t)
	f.restart(nil)
	return p
}

func TestInterrupt(t *testing.T) {
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		f := newFakeCourier(t)
		f.answerWith(400, "u7")
		f.answerWith(413, "u990")
		folder := t.TempDir()
		text := "id,name,custom.seq\n"
		for i := range 1000 {
			text += fmt.Sprintf("u%d,Ada,%d\n", i, i)
		}
		text += "u1,Bo\n"
		writeFile(t, folder, "users.csv", text)
		p := f.interrupt(t, folder, signal, 300, "-fresh=true", "users.csv", "-rate", "4000")
		if code := p.ProcessState.ExitCode(); code != exitInterrupted {
			t.Fatalf("exit code %d\n%s", code, &p.err)
		}
		if want := "same command again:\n\t" + os.Args[0] + " users.csv -rate 4000\n"; !strings.Contains(p.err.String(), want) {
			t.Errorf("it says\n%s, want %q", &p.err, want)
		}
		p = f.program(t, folder, "users.csv", "-rate", "4000")
		p.exits(t, exitRejected)
		if !strings.Contains(p.err.String(), "settled before") || strings.Contains(p.err.String(), "  sent again") {
			t.Errorf("it says\n%s", &p.err)
		}
		for user, n := range f.merges {
			if n != 1 {
				t.Errorf("%s was sent %d times", user, n)
			}
		}
		if len(f.merges) != 1000 {
			t.Errorf("%d users were sent", len(f.merges))
		}
		want := "id,name,custom.seq,line,text,reason\n" +
			"u7,Ada,7,9,,400 invalid_request_error: no u7\n" +
			"u990,Ada,990,992,,413 invalid_request_error: no u990\n" +
			",,,1002,\"u1,Bo\",\"the row has 2 cells, but there are 3 columns\"\n"
		if diff := cmp.Diff(want, readFile(t, folder, "users.rejected.csv")); diff != "" {
			t.Errorf("-want +got\n%s", diff)
		}
		if exists(folder, "users.checkpoint.json") {
			t.Error("the checkpoint is still there")
		}
	}
}

// TestInterruptOfASilentPipe interrupts an import that waits for its input.
func TestInterruptOfASilentPipe(t *testing.T) {
	f := newFakeCourier(t)
	folder := t.TempDir()
	p := f.program(t, folder, "-")
	in, err := p.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	f.restart(func(int) { p.signal(os.Interrupt) })
	if _, err := io.WriteString(in, "id,name\nu1,Ada\n"); err != nil { // the pipe has room for it
		t.Fatal(err)
	}
	if code := p.exit(t); code != exitInterrupted || !exists(folder, "stdin.checkpoint.json") {
		t.Errorf("exit code %d\n%s", code, &p.err)
	}

	// Before the first line.
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = w.Close() }()
	ctx, interrupt := context.WithCancel(t.Context())
	go interrupt()
	if code := run(ctx, []string{"-dry-run", "-"}, r, io.Discard, os.Stderr); code != exitInterrupted {
		t.Errorf("before the first line: exit code %d", code)
	}
}

// TestInterruptBeforeItGoesOn interrupts a resume while it looks for where to go
// on, which takes long in a long file.
func TestInterruptBeforeItGoesOn(t *testing.T) {
	in, err := openInput(t.Context(), writeFile(t, t.TempDir(), "users.csv", plainCSV), nil, inputOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer in.close()
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()
	r := &importRun{in: in}
	_, err = r.skip(ctx, "users.checkpoint.json", checkpoint{Through: 2})
	if !errors.Is(err, errInterrupted) || !strings.Contains(err.Error(), "same command again") || in.position() != 2 {
		t.Errorf("line %d, error %v", in.position(), err)
	}
}

// TestResumeIsRefused changes, after an interrupt, what must not change.
func TestResumeIsRefused(t *testing.T) {
	f := newFakeCourier(t)
	folder := t.TempDir()
	text := "id,email_verified\n"
	for i := range 1000 {
		text += fmt.Sprintf("u%d,%s\n", i, []string{"yes", "no", "x"}[i%3])
	}
	input := writeFile(t, folder, "users.csv", text)
	if p := f.interrupt(t, folder, syscall.SIGINT, 300, "users.csv"); p.ProcessState.ExitCode() != exitInterrupted {
		t.Fatalf("%s", &p.err)
	}
	rejected := readFile(t, folder, "users.rejected.csv")
	state := readFile(t, folder, "users.checkpoint.json")
	for _, test := range []struct {
		name   string
		change func()
		args   []string
		want   string
	}{
		{"another row", func() { writeFile(t, folder, "users.csv", strings.Replace(text, "u1,", "v1,", 1)) }, nil, "are not those"},
		{"other columns", func() { writeFile(t, folder, "users.csv", strings.Replace(text, "email", "phone_number", 1)) }, nil, "are not those"},
		{"fewer rows", func() { writeFile(t, folder, "users.csv", text[:100]) }, nil, "are not those"},
		{"other rejects", func() { writeFile(t, folder, "users.rejected.csv", strings.Replace(rejected, "u2,x", "u2,y", 1)) }, nil, "is not as it was left"},
		{"fewer rejects", func() { writeFile(t, folder, "users.rejected.csv", rejected[:50]) }, nil, "is not as it was left"},
		{"no rejects", func() { _ = os.Remove(filepath.Join(folder, "users.rejected.csv")) }, nil, "is gone"},
		{"-empty", func() {}, []string{"-empty=null"}, "with -empty=ignore"},
		{"-rejects", func() {}, []string{"-rejects=x.csv"}, "with users.rejected.csv for rejected rows"},
		{"-fake", func() {}, []string{"-fake"}, "to " + f.url},
		{"an older version", func() { writeFile(t, folder, "users.checkpoint.json", `{"version":0}`) }, nil, "is no checkpoint of this version"},
	} {
		test.change()
		p := f.program(t, folder, append(test.args, "users.csv")...)
		p.exits(t, exitFailed)
		if !strings.Contains(p.err.String(), test.want) {
			t.Errorf("%s: it says\n%s, want something about %q", test.name, &p.err, test.want)
		}
		writeFile(t, folder, "users.csv", text)
		writeFile(t, folder, "users.rejected.csv", rejected)
		writeFile(t, folder, "users.checkpoint.json", state)
	}
	if f.count() != 0 {
		t.Errorf("%d requests", f.count())
	}

	// More rows behind the ones that are known, and more rejects, are no change.
	more, err := os.OpenFile(input, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = more.WriteString("last,yes\n")
	_ = more.Close()
	writeFile(t, folder, "users.rejected.csv", rejected+strings.Repeat("made after the checkpoint\n", 10000))
	f.program(t, folder, "users.csv").exits(t, exitRejected)
	if got := strings.Count(readFile(t, folder, "users.rejected.csv"), "\n"); got != 1+333 {
		t.Errorf("the file of rejects has %d lines", got)
	}
	if got := f.profile(t, "last"); got != `{"email_verified":true}` {
		t.Errorf("the last profile is %s", got)
	}
}

func TestTwoImportsAtOnce(t *testing.T) {
	f := newFakeCourier(t)
	folder := t.TempDir()
	writeFile(t, folder, "users.csv", plainCSV)
	held, err := openCheckpoint(filepath.Join(folder, "users.checkpoint.json"))
	if err != nil {
		t.Fatal(err)
	}
	p := f.program(t, folder, "users.csv")
	p.exits(t, exitFailed)
	if !strings.Contains(p.err.String(), "another import is at work") || f.count() != 0 {
		t.Errorf("it says\n%s", &p.err)
	}
	held.close()
	f.program(t, folder, "users.csv").exits(t, exitDone)
}

// TestNothingOfTheKeyIsPrinted looks at all that an import writes.
func TestNothingOfTheKeyIsPrinted(t *testing.T) {
	f := newFakeCourier(t)
	f.APIKey = "secret-key"
	folder := t.TempDir()
	writeFile(t, folder, "users.csv", plainCSV+"u3,Carl,x\n")
	p := f.interrupt(t, folder, syscall.SIGINT, 1, "users.csv", "-rate=1")
	all := p.out.String() + p.err.String()
	for _, name := range []string{"users.checkpoint.json", "users.rejected.csv"} {
		if exists(folder, name) {
			all += readFile(t, folder, name)
		}
	}
	if strings.Contains(all, "secret") {
		t.Errorf("the key is in\n%s", all)
	}
	if p.ProcessState.ExitCode() != exitInterrupted {
		t.Errorf("it says\n%s", all)
	}
}
