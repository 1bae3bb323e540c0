package main

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/courier-profiles/courier-go/cmd/internal/job"
)

// users returns a file of that many users.
func users(n int) string {
	var b strings.Builder
	b.WriteString("id,custom.row\n")
	for i := range n {
		fmt.Fprintf(&b, "u%d,%d\n", i, i)
	}
	return b.String()
}

// A wrong key ends the import, whatever the size of the file, and the same command
// resumes it.
func TestWrongKey(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 500} {
		f := newFakeCourier(t)
		folder := t.TempDir()
		writeFile(t, folder, "users.csv", users(n))
		p := f.program(t, folder, "-yes", "users.csv")
		p.Env = append(p.Env, "COURIER_API_KEY=other")
		p.exits(t, job.Failed)
		p.says(t, "the API key is not accepted", "check COURIER_API_KEY")
		if diff := cmp.Diff([]string{"users.csv"}, files(t, folder)); diff != "" {
			t.Errorf("files: -want +got\n%s", diff)
		}
		if max := 64; f.count() > max {
			t.Errorf("%d requests were sent, want at most %d", f.count(), max)
		}
		f.program(t, folder, "-yes", "users.csv").exits(t, job.Done)
	}
}

func TestCourierOutOfReach(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	writeFile(t, folder, "users.csv", users(5))
	p := newProgram(t, folder, "-yes", "users.csv")
	p.Env = append(p.Env, "COURIER_API_KEY=key", "COURIER_BASE_URL=http://127.0.0.1:1")
	p.exits(t, job.Failed)
	p.says(t, "no record could be merged", "To resume, run the same command again")
	if diff := cmp.Diff([]string{"users.csv"}, files(t, folder)); diff != "" {
		t.Errorf("files: -want +got\n%s", diff)
	}
}

// What fails for all users alike, such as a firewall that blocks everything, ends the
// import after 100 failures, and nothing is rejected.
func TestOutageEndsTheImport(t *testing.T) {
	t.Parallel()
	f := newFakeCourier(t)
	const all = 2000
	for i := range all {
		f.respond(fmt.Sprintf("u%d", i), foreign(403))
	}
	folder := t.TempDir()
	writeFile(t, folder, "users.csv", users(all))
	p := f.program(t, folder, "-yes", "users.csv")
	p.exits(t, job.Failed)
	p.says(t, "100 updates failed in a row", "To resume, run the same command again")
	if f.count() > 200 {
		t.Errorf("%d requests were sent, want about 100", f.count())
	}
	if diff := cmp.Diff([]string{"users.csv"}, files(t, folder)); diff != "" {
		t.Errorf("files: -want +got\n%s", diff)
	}
}

// The rejects of an import are fixed and imported, and so are the rejects of that.
func TestRejectsCanBeImported(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, users, rejected, fixed, again string
		want                                profiles
	}{
		{
			name: "users.csv",
			users: byteOrderMark + "name;id;email_verified;custom.own\r\n" +
				"Ada;u1;yes;\"a\r\nb\"\r\n" +
				"Bo;u2;maybe;\"x;\"\"y\"\"\"\r\n" +
				"Carl;;no;\r\n" +
				"Dora;u4;;;x\r\n" +
				"\"Eve\"x;u5;no;\r\n" +
				"F;refused;no;\r\n" +
				"Gil;u7;no;g",
			rejected: byteOrderMark + "name;id;email_verified;custom.own;line;text;reason\n" +
				"Bo;u2;maybe;\"x;\"\"y\"\"\";4;;\"email_verified is \"\"maybe\"\": use true or false\"\n" +
				"Carl;;no;;5;;the record has no user ID\n" +
				";;;;6;\"Dora;u4;;;x\";the row has 5 cells, but there are 4 columns\n" +
				";;;;7;\"\"\"Eve\"\"x;u5;no;\";\"" +
				strings.ReplaceAll(string(strayQuote), `"`, `""`) + "\"\n" +
				"F;refused;no;;8;;400 invalid_request_error: no\n",
			fixed: byteOrderMark + "name;id;email_verified;custom.own;line;text;reason\n" +
				"Bo;u2;true;\"x;\"\"y\"\"\";4;;never mind\n" +
				"Carl;;no;;5;;the record has no user ID\n" +
				";;;;6;\"Dora;u4;;\";fixed in the text\n" +
				"Eve;u5;no;;7;;fixed in the cells\n" +
				"F;u6;no;;8;;\n",
			again: byteOrderMark + "name;id;email_verified;custom.own;line;text;reason\n" +
				"Carl;;no;;3;;the record has no user ID\n",
			want: profiles{
				"u1": `{"name":"Ada","email_verified":true,"custom":{"own":"a\r\nb"}}`,
				"u2": `{"name":"Bo","email_verified":true,"custom":{"own":"x;\"y\""}}`,
				"u4": `{"name":"Dora"}`, "u5": `{"name":"Eve","email_verified":false}`,
				"u6": `{"name":"F","email_verified":false}`,
				"u7": `{"name":"Gil","email_verified":false,"custom":{"own":"g"}}`,
			},
		},
		{
			name: "users.ndjson",
			users: `{"user_id":"u1","profile":{"name":"Ada","own":"a\r\nb"}}` + "\n" +
				`{"user_id":"u2","email_verified":"x","custom":{"own":1.10}}` + "\n" +
				`{"user_id":"u3","profile":` + "\n" +
				`{"user_id":"refused","profile":{"n":1e2}}` + "\n" +
				"{\"user_id\":\"u4\xff\"}\n",
			rejected: `{"user_id":"u2","email_verified":"x","custom":{"own":1.10},"line":2,` +
				`"reason":"email_verified is \"x\": use true or false"}` + "\n" +
				`{"text":"{\"user_id\":\"u3\",\"profile\":","line":3,` +
				`"reason":"the text is not a JSON object: it ends too early"}` + "\n" +
				`{"user_id":"refused","profile":{"n":1e2},"line":4,` +
				`"reason":"400 invalid_request_error: no"}` + "\n" +
				`{"base64":"eyJ1c2VyX2lkIjoidTT/In0=","line":5,"reason":"` +
				notUTF8.String() + "\"}\n",
			fixed: `{"user_id":"u2","email_verified":"t","custom":{"own":1.10},"line":2,` +
				`"reason":"never mind"}` + "\n" +
				`{"text":"{\"user_id\":\"u3\",\"profile\":","line":3,"reason":"not fixed"}` + "\n" +
				`{"user_id":"u5","profile":{"n":1e2}}` + "\n" +
				`{"text":"{\"user_id\":\"u4\",\"profile\":{\"name\":\"Dora\"}}"}` + "\n",
			again: `{"text":"{\"user_id\":\"u3\",\"profile\":","line":2,` +
				`"reason":"the text is not a JSON object: it ends too early"}` + "\n",
			want: profiles{
				"u1": `{"name":"Ada","own":"a\r\nb"}`, "u4": `{"name":"Dora"}`,
				"u2": `{"email_verified":true,"custom":{"own":1.10}}`, "u5": `{"n":1e2}`,
			},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := newFakeCourier(t)
			f.respond("refused", refusal(400))
			folder := t.TempDir()
			writeFile(t, folder, test.name, test.users)
			f.program(t, folder, "-yes", test.name).exits(t, job.Rejected)
			stem, ext, _ := strings.Cut(test.name, ".")
			name := stem + ".rejected." + ext
			if diff := cmp.Diff(test.rejected, readFile(t, folder, name)); diff != "" {
				t.Errorf("rejects: -want +got\n%s", diff)
			}
			writeFile(t, folder, name, test.fixed)
			f.program(t, folder, "-yes", name).exits(t, job.Rejected)
			again := stem + ".rejected.rejected." + ext
			if diff := cmp.Diff(test.again, readFile(t, folder, again)); diff != "" {
				t.Errorf("rejects of the rejects: -want +got\n%s", diff)
			}
			if diff := cmp.Diff(test.want, f.profiles(t)); diff != "" {
				t.Errorf("profiles: -want +got\n%s", diff)
			}
			info, err := os.Stat(folder + "/" + again)
			if err != nil {
				t.Fatal(err)
			}
			if mode := info.Mode().Perm(); mode != 0o600 {
				t.Errorf("the file of rejects has mode %o, want 600", mode)
			}
		})
	}
}

// A file of rejects that was not imported yet is not overwritten.
func TestRejectsAreKept(t *testing.T) {
	t.Parallel()
	f := newFakeCourier(t)
	folder := t.TempDir()
	writeFile(t, folder, "users.csv", plainCSV)
	writeFile(t, folder, "users.rejected.csv", "id,name,line,text,reason\n")
	p := f.program(t, folder, "-yes", "users.csv")
	p.exits(t, job.Failed)
	p.says(t, "users.rejected.csv exists already")
	if p.out.Len() > 0 {
		t.Errorf("it makes a plan first:\n%s", &p.out)
	}
	newProgram(t, folder, "-dry-run", "users.csv").exits(t, job.Done)
	f.program(t, folder, "-yes", "-fresh", "users.csv").exits(t, job.Done)
	if diff := cmp.Diff([]string{"users.csv"}, files(t, folder)); diff != "" {
		t.Errorf("files: -want +got\n%s", diff)
	}
}

// A run with -fake overwrites the files of the one before, and never those of a real
// import.
func TestFilesOfFakeRuns(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	writeFile(t, folder, "users.csv", "id,email_verified\nu1,x\nu2,yes\n")
	writeFile(t, folder, "users.rejected.csv", "of a real import")
	writeFile(t, folder, "users.checkpoint", "of a real import")
	for range 2 {
		p := newProgram(t, folder, "-fake", "users.csv")
		p.exits(t, job.Rejected)
		p.says(t, "see users.fake.rejected.csv")
	}
	for _, name := range []string{"users.rejected.csv", "users.checkpoint"} {
		if got := readFile(t, folder, name); got != "of a real import" {
			t.Errorf("%s was overwritten:\n%s", name, got)
		}
	}
	rejected := readFile(t, folder, "users.fake.rejected.csv")
	if !strings.Contains(rejected, "u1,x,2,,") {
		t.Errorf("the file of rejects has no record of u1:\n%s", rejected)
	}
	writeFile(t, folder, "users.csv", plainCSV)
	newProgram(t, folder, "-fake", "users.csv").exits(t, job.Done)
	want := []string{"users.checkpoint", "users.csv", "users.rejected.csv"}
	if diff := cmp.Diff(want, files(t, folder)); diff != "" {
		t.Errorf("files: -want +got\n%s", diff)
	}
	// Files that are named are as those of a real import.
	p := newProgram(t, folder, "-fake", "-rejects=users.rejected.csv", "users.csv")
	p.exits(t, job.Failed)
	p.says(t, "users.rejected.csv exists already")
}

// What a run with -fake has merged is gone with it, so that it cannot be resumed.
func TestInterruptOfAFakeRun(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	writeFile(t, folder, "users.csv", users(1000))
	p := newProgram(t, folder, "-fake", "-rate=50", "users.csv")
	go func() {
		<-p.started
		for { // until records were merged
			text, _ := os.ReadFile(folder + "/users.fake.checkpoint")
			if strings.Count(string(text), "\n") > 1 || t.Context().Err() != nil {
				break
			}
			time.Sleep(time.Millisecond)
		}
		p.signal(syscall.SIGINT)
	}()
	p.exits(t, job.Interrupted)
	p.says(t, "To start over, run the same command again")
	if diff := cmp.Diff([]string{"users.csv"}, files(t, folder)); diff != "" {
		t.Errorf("files: -want +got\n%s", diff)
	}
}

// A file of rejects in which nothing was fixed is not imported into another one.
func TestRejectsThatWereNotFixed(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, text string }{
		{"users.rejected.csv", "id,email_verified,line,text,reason\nu1,x,2,,no\n"},
		{"users.rejected.ndjson",
			`{"id":"u1","email_verified":"x","line":2,"reason":"no"}` + "\n"},
		{"text.ndjson", `{"text":"{\"id\":","line":2,"reason":"no"}` + "\n" +
			`{"id":"u1","email_verified":"x","line":3,"reason":"no"}` + "\n"},
	} {
		for _, flag := range []string{"-fake", "-dry-run"} {
			folder := t.TempDir()
			writeFile(t, folder, test.name, test.text)
			p := newProgram(t, folder, flag, test.name)
			p.exits(t, job.Rejected)
			p.says(t, "UTF-8, a file of rejects,", "fix the records in it first")
			if diff := cmp.Diff([]string{test.name}, files(t, folder)); diff != "" {
				t.Errorf("files: -want +got\n%s", diff)
			}
		}
	}
}

// Rejects that are imported unchanged, with the command that the program prints, are
// rejected again.
func TestRejectsAreRejectedAgain(t *testing.T) {
	t.Parallel()
	for _, test := range []importCase{
		{
			name: "text that was broken in the encoding of the input",
			text: "id,name\nu1,Ann\nu2,B\x81\n", flags: []string{"-encoding=shift_jis"},
		},
		{
			name: "the same in JSON, with a later record of the user", file: "users.ndjson",
			text: `{"id":"u1","name":"Ann"}` + "\n{\"id\":\"u2\",\"name\":\"B\x81\"}\n" +
				`{"id":"u2","name":"Bo"}`,
			flags: []string{"-encoding=shift_jis"},
		},
		{
			name: "a quote in the text of a row, with a later record of the user",
			text: "custom.size,id,name\n,u1,Ann\n6\" x,u2,Old,extra\n7,u2,New\n",
		},
		{
			name: "the only one, with a list of other objects", file: "users.ndjson",
			text: `{"id":"u1","name":"Ann"}` + "\n" + `{"orders":[{"id":"o1","name":"Shoe"}]}`,
		},
		{
			name: "all without the name of the user ID, but with one like it",
			file: "users.ndjson",
			text: `{"id":"u1","name":"Ann"}` + "\n" + `{"userId":"u2","name":"Bo"}`,
		},
		{
			name: "all without a name that -column maps", file: "users.ndjson",
			text:  `{"id":"u1","name":"Ann","plan":""}` + "\n" + `{"id":"u2","email_verified":"x"}`,
			flags: []string{"-column=plan=custom.plan"},
		},
	} {
		test.exit, test.hint, test.hintExit = job.Rejected, true, job.Rejected
		test.profiles = profiles{"u1": `{"name":"Ann"}`}
		t.Run(test.name, test.run)
	}
}

// U+FFFD that was in the input is no reason to reject a record whose reason was fixed.
func TestFixedRejectsKeepTheirText(t *testing.T) {
	t.Parallel()
	for _, test := range []importCase{
		{
			name: "CSV",
			text: "id,name,line,text,reason\nu1,B\ufffd,2,,the user ID has white space\n",
		},
		{
			name: "JSON", file: "users.ndjson",
			text: "{\"id\":\"u1\",\"name\":\"B\ufffd\"," +
				`"line":2,"reason":"the user ID has white space"}`,
		},
	} {
		test.profiles = profiles{"u1": "{\"name\":\"B\ufffd\"}"}
		t.Run(test.name, test.run)
	}
}

// What Courier refuses again is not said to be merged either.
func TestRejectsThatAreRefusedAgain(t *testing.T) {
	t.Parallel()
	f := newFakeCourier(t)
	f.respond("u1", refusal(400))
	folder := t.TempDir()
	writeFile(t, folder, "users.rejected.csv", "id,name,line,text,reason\nu1,Ann,2,,no\n")
	p := f.program(t, folder, "-yes", "users.rejected.csv")
	p.exits(t, job.Rejected)
	p.says(t, "Nothing of users.rejected.csv could be merged", "fix the reason")
}

// interrupt runs the importer and sends it a signal at the n-th request.
func (f *fakeCourier) interrupt(t *testing.T, p *program, signal os.Signal, at int) {
	t.Helper()
	f.onRequest(func(n int) {
		if n == at {
			p.signal(signal)
		}
	})
	p.exits(t, job.Interrupted)
	f.onRequest(nil)
}

// An interrupted import finishes what is in flight, and the same command sends
// everything else, once.
func TestInterruptAndResume(t *testing.T) {
	t.Parallel()
	const all = 2000
	for _, signal := range []os.Signal{syscall.SIGINT, syscall.SIGTERM} {
		f := newFakeCourier(t)
		f.respond("u3", refusal(400))
		folder := t.TempDir()
		writeFile(t, folder, "users.csv", users(all))
		args := []string{"-yes", "-rate=2000", "users.csv"}
		p := f.program(t, folder, args...)
		f.interrupt(t, p, signal, 100)
		p.says(t, "Stopping as soon as the requests in flight have finished",
			"To resume, run the same command again")
		sent := len(f.profiles(t)) + 1
		if sent < 100 || sent == all {
			t.Errorf("%d users were sent before the signal", sent)
		}
		if diff := cmp.Diff([]string{"users.checkpoint", "users.csv"}, files(t, folder)); diff != "" {
			t.Errorf("files: -want +got\n%s", diff)
		}

		p = f.program(t, folder, args...)
		p.exits(t, job.Rejected)
		p.says(t, fmt.Sprintf("Resuming: %s records were merged before",
			job.Number(int64(sent-1))))
		// The refused record is sent a second time, and no other one.
		if want := all - sent + 1; f.count() != want {
			t.Errorf("%d requests of the second run, want %d", f.count(), want)
		}
		if n := len(f.profiles(t)); n != all-1 {
			t.Errorf("%d users were merged, want %d", n, all-1)
		}
		want := []string{"users.csv", "users.rejected.csv"}
		if diff := cmp.Diff(want, files(t, folder)); diff != "" {
			t.Errorf("files: -want +got\n%s", diff)
		}
	}
}

// The second signal cuts off what is in flight.
func TestSecondSignal(t *testing.T) {
	t.Parallel()
	f := newFakeCourier(t)
	blocked := make(chan struct{})
	defer close(blocked)
	folder := t.TempDir()
	writeFile(t, folder, "users.csv", users(1))
	p := f.program(t, folder, "-yes", "users.csv")
	f.respond("u0", func(http.ResponseWriter) {
		p.signal(syscall.SIGINT)
		p.signal(syscall.SIGTERM)
		<-blocked
	})
	p.exits(t, job.Interrupted)
}

// A pipe from which nothing comes does not keep the importer from ending.
func TestInterruptOfASilentPipe(t *testing.T) {
	t.Parallel()
	p := newProgram(t, t.TempDir(), "-fake", "-")
	stdin, err := p.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	go func() {
		// It reads until the pipe is full and somebody waits for the rest of it.
		_, _ = stdin.Write([]byte(users(20_000)))
		p.signal(syscall.SIGINT)
	}()
	p.exits(t, job.Interrupted)
}

func TestResumeIsRefused(t *testing.T) {
	t.Parallel()
	f := newFakeCourier(t)
	folder := t.TempDir()
	writeFile(t, folder, "users.csv", users(1000))
	p := f.program(t, folder, "-yes", "-rate=1000", "-id=id", "users.csv")
	f.interrupt(t, p, syscall.SIGINT, 50)
	checkpoint := readFile(t, folder, "users.checkpoint")
	other := newFakeCourier(t)
	for _, test := range []struct {
		name string
		p    *program
		want string
	}{
		{"other flags", f.program(t, folder, "-yes", "-null=x", "-id=id", "users.csv"),
			"with -id=id"},
		{"another file of rejects", f.program(t, folder, "-yes", "-rejects=x.csv", "users.csv"),
			"with users.rejected.csv for rejected records"},
		{"another destination", other.program(t, folder, "-yes", "-id=id", "users.csv"),
			"to " + f.url},
	} {
		test.p.exits(t, job.Failed)
		test.p.says(t, "users.checkpoint belongs to an unfinished import of users.csv", test.want)
	}
	writeFile(t, folder, "users.csv", users(1001))
	p = f.program(t, folder, "-yes", "-id=id", "users.csv")
	p.exits(t, job.Failed)
	p.says(t, "when that file was another")
	if diff := cmp.Diff(checkpoint, readFile(t, folder, "users.checkpoint")); diff != "" {
		t.Errorf("the checkpoint has changed: -want +got\n%s", diff)
	}
	f.program(t, folder, "-yes", "-id=id", "-fresh", "users.csv").exits(t, job.Done)
}

func TestTwoImportsAtOnce(t *testing.T) {
	t.Parallel()
	f := newFakeCourier(t)
	folder := t.TempDir()
	writeFile(t, folder, "users.csv", users(1))
	second := f.program(t, folder, "-yes", "users.csv")
	f.onRequest(func(n int) {
		if n == 1 {
			second.exits(t, job.Failed)
			second.says(t, "another import is using users.checkpoint")
		}
	})
	f.program(t, folder, "-yes", "users.csv").exits(t, job.Done)
}
