package main

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
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
	t.Parallel()
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

// TestRejectsCanBeImported fixes and imports the rejects of an import, and the
// rejects of that.
func TestRejectsCanBeImported(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, users, rejected, fixed, again, last string }{
		{
			name: "users.csv",
			users: byteOrderMark + "name;id;email_verified;own\r\n" +
				"Ada;u1;yes;\"a\r\nb\"\r\n" +
				"Bo;u2;maybe;\"x;\"\"y\"\"\"\r\n" +
				"Carl;;no;\r\n" +
				"Dora;u4;;;x\r\n" +
				"\"Eve\"x;u5;no;\r\n" +
				"F;refused;no;\r\n" +
				"Gil;u7;no;g",
			rejected: byteOrderMark + "name;id;email_verified;own;line;text;reason\n" +
				"Bo;u2;maybe;\"x;\"\"y\"\"\";4;;\"email_verified is \"\"maybe\"\": use true or false\"\n" +
				"Carl;;no;;5;;the row has no user ID\n" +
				";;;;6;\"Dora;u4;;;x\";the row has 5 cells, but there are 4 columns\n" +
				";;;;7;\"\"\"Eve\"\"x;u5;no;\";\"" + strings.ReplaceAll(string(strayQuote), `"`, `""`) + "\"\n" +
				"F;refused;no;;8;;400 invalid_request_error: no refused\n",
			fixed: byteOrderMark + "name;id;email_verified;own;line;text;reason\n" +
				"Bo;u2;true;\"x;\"\"y\"\"\";4;;never mind\n" +
				"Carl;;no;;5;;the row has no user ID\n" +
				";;;;6;\"Dora;u4;;\";fixed in the text\n" +
				"Eve;u5;no;;7;;fixed in the cells\n" +
				"F;u6;no;;8;;\n",
			again: byteOrderMark + "name;id;email_verified;own;line;text;reason\n" +
				"Carl;;no;;3;;the row has no user ID\n",
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
			rejected: `{"user_id":"u2","profil":{"own":1.10},"line":2,"reason":"unknown member \"profil\": only user_id and profile are imported"}` + "\n" +
				`{"text":"{\"user_id\":\"u3\",\"profile\":","line":3,"reason":"the line is not a JSON object: it ends too early"}` + "\n" +
				`{"user_id":"refused","profile":{"n":1e2},"line":4,"reason":"400 invalid_request_error: no refused"}` + "\n" +
				`{"base64":"eyJ1c2VyX2lkIjoidTT/In0=","line":5,"reason":"` + notUTF8 + "\"}\n",
			fixed: `{"user_id":"u2","profile":{"name":"Bo","email_verified":true,"own":"x;\"y\""},"line":2,"reason":"never mind"}` + "\n" +
				`{"text":"{\"user_id\":\"u3\",\"profile\":","line":3,"reason":"not fixed"}` + "\n" +
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
			f.respondWith(400, "refused")
			folder := t.TempDir()
			ext := filepath.Ext(test.name)
			writeFile(t, folder, test.name, test.users)
			first := f.program(t, folder, test.name)
			first.exits(t, exitRejected)
			if !strings.Contains(first.err.String(), "users.rejected"+ext) {
				t.Errorf("the file of rejects is not named:\n%s", &first.err)
			}
			if diff := cmp.Diff(test.rejected, readFile(t, folder, "users.rejected"+ext)); diff != "" {
				t.Fatalf("users.rejected%s: -want +got\n%s", ext, diff)
			}

			writeFile(t, folder, "users.rejected"+ext, test.fixed)
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

// TestUnchangedRejectsAreRejectedAgain imports a file of rejects without changes.
func TestUnchangedRejectsAreRejectedAgain(t *testing.T) {
	t.Parallel()
	f := newFakeCourier(t)
	folder := t.TempDir()
	writeFile(t, folder, "users.csv", "id,email_verified\nu1,maybe\n,yes\nu3\",a\nu4,yes,no\nu5,\"yes\nu\xff,yes\n 1,yes\n1E+12,yes\nid,email_verified\nu6")
	f.program(t, folder, "users.csv").exits(t, exitRejected)
	f.program(t, folder, "users.rejected.csv").exits(t, exitRejected)
	columns := func(name string) (all [][]string) {
		records, err := csv.NewReader(strings.NewReader(readFile(t, folder, name))).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		for _, record := range records {
			all = append(all, []string{record[0], record[1], record[3]}) // without the line in the input and the reason
		}
		return all
	}
	first, second := columns("users.rejected.csv"), columns("users.rejected.rejected.csv")
	if diff := cmp.Diff(first, second); diff != "" || len(first) != 11 {
		t.Errorf("-first +second\n%s", diff)
	}
	if f.count() != 0 {
		t.Errorf("%d requests", f.count())
	}
}

// TestRejectsOfAnEncoding imports them with the same flags.
func TestRejectsOfAnEncoding(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{"users.csv": plainCSV, "users.ndjson": plainNDJSON} {
		f := newFakeCourier(t)
		folder := t.TempDir()
		writeFile(t, folder, name, encoded(t, charmap.Windows1252, text))
		f.respondWith(400, "u1")
		f.program(t, folder, "-encoding=windows-1252", name).exits(t, exitRejected)
		f.respondWith(0, "u1")
		f.program(t, folder, "-encoding=windows-1252", strings.Replace(name, ".", ".rejected.", 1)).exits(t, exitDone)
		if got := f.profile(t, "u1"); got != `{"name":"Ángel","email_verified":true}` {
			t.Errorf("%s: the profile is %s", name, got)
		}
	}
}

func TestStandardInputAndFiles(t *testing.T) {
	t.Parallel()
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
	t.Parallel()
	folder := t.TempDir()
	writeFile(t, folder, "users.csv", "id,email_verified\nu1,yes\nu2,x\n..,no\nu1,no\n")
	p := newProgram(t, folder, "-dry-run", "users.csv")
	p.exits(t, exitRejected)
	want := "users.csv:3: email_verified is \"x\": use true or false\n" +
		"users.csv:4: the user IDs . and .. cannot be sent: in a URL they mean another resource\n"
	if diff := cmp.Diff(want, p.out.String()); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	writeFile(t, folder, "good.csv", "id,email_verified\nu1,yes\n")
	newProgram(t, folder, "good.csv", "--dry-run").exits(t, exitDone)
	if files, _ := filepath.Glob(filepath.Join(folder, "*")); len(files) != 2 {
		t.Errorf("the dry run left %v", files)
	}
}

func TestDryRunCountsSuspects(t *testing.T) {
	t.Parallel()
	const rows = "id,phone_number,birthdate,email\n" +
		"u1,+15555550101,1815-12-10,ada@example.com\n" +
		"u2,15555550101,12/10/1815,Ada <ada@example.com>\n" +
		"u3,+15555550101.0,1815,ada@a@example.com\n" +
		"u4,1.55556E+10,0000-12-10,example.com\n" +
		"u5,+1.55556E+10,1815-13-10,\n" +
		"1E+12,1,1,1\n" // is rejected
	const want = "       suspect             4  phone numbers without a +, or with .0 or an exponent, the first in line 3\n" +
		"       suspect             2  birthdates that are not YYYY-MM-DD, the first in line 3\n" +
		"       suspect             3  email addresses without exactly one @, or with < or >, the first in line 3\n"
	folder := t.TempDir()
	writeFile(t, folder, "users.csv", rows)
	p := newProgram(t, folder, "-dry-run", "users.csv")
	p.exits(t, exitRejected)
	if !strings.HasSuffix(p.err.String(), want) {
		t.Errorf("it says\n%s, want at the end\n%s", &p.err, want)
	}

	// A number that NDJSON holds as one is no text with a +.
	writeFile(t, folder, "users.ndjson", `{"id":"u","profile":{"phone_number":15555550101,"email":"ada@example.com"}}`)
	p = newProgram(t, folder, "-dry-run", "users.ndjson")
	p.exits(t, exitDone)
	if !strings.HasSuffix(p.err.String(), "             1  phone numbers without a +, or with .0 or an exponent, the first in line 1\n") {
		t.Errorf("it says\n%s", &p.err)
	}

	writeFile(t, folder, "good.csv", plainCSV)
	p = newProgram(t, folder, "-dry-run", "good.csv")
	p.exits(t, exitDone)
	if strings.Contains(p.err.String(), "suspect") {
		t.Errorf("it says\n%s", &p.err)
	}
}

// TestReadingFlags imports a file with other column names, resumes it, and imports
// its rejects, all with the same flags.
func TestReadingFlags(t *testing.T) {
	t.Parallel()
	f := newFakeCourier(t)
	f.respondWith(400, "u7")
	folder := t.TempDir()
	text := "sep=|\nCustomer ID|Tier|email_verified|id\n"
	for i := range 1000 {
		text += fmt.Sprintf("u%d|pro|NULL\n", i)
	}
	text += "u1|NULL|maybe|7\n"
	writeFile(t, folder, "users.csv", text)
	flags := []string{"-id", "Customer ID", "-column", "Tier=custom.plan", "-column=id=custom.row", "-null", "NULL", "users.csv"}
	if p := f.interrupt(t, folder, syscall.SIGINT, 300, flags...); p.ProcessState.ExitCode() != exitInterrupted {
		t.Fatalf("%s", &p.err)
	}

	for _, test := range []struct {
		name, want string
		args       []string
	}{
		{"without them", "with -column=Tier=custom.plan -column=id=custom.row '-id=Customer ID' -null=NULL", []string{"users.csv"}},
		{"another -id", "belongs to an unfinished import", []string{"-id=id", "users.csv"}},
		{"another target", "belongs to an unfinished import", append([]string{"-column=email_verified=custom.x"}, flags...)},
		{"another -null", "belongs to an unfinished import", append([]string{"-null=x"}, flags...)},
	} {
		p := f.program(t, folder, test.args...)
		p.exits(t, exitFailed)
		if !strings.Contains(p.err.String(), test.want) {
			t.Errorf("%s: it says\n%s, want something about %q", test.name, &p.err, test.want)
		}
	}

	// Their order has no meaning.
	p := f.program(t, folder, "-null=NULL", "-column", "id=custom.row", "users.csv", "-column=Tier=custom.plan", "-id=Customer ID")
	p.exits(t, exitRejected)
	if !strings.Contains(p.err.String(), "Resuming: ") {
		t.Errorf("it says\n%s", &p.err)
	}
	if want := "\t" + os.Args[0] + " -null=NULL -column id=custom.row users.rejected.csv -column=Tier=custom.plan '-id=Customer ID'\n"; !strings.HasSuffix(p.err.String(), want) {
		t.Errorf("it says\n%s, want at the end %q", &p.err, want)
	}
	const rejected = "sep=|\nCustomer ID|Tier|email_verified|id|line|text|reason\n" +
		"u7|pro|NULL||10||400 invalid_request_error: no u7\n" +
		"u1|NULL|%s|7|1003||%s\n"
	if diff := cmp.Diff(fmt.Sprintf(rejected, "maybe", `"email_verified is ""maybe"": use true or false"`), readFile(t, folder, "users.rejected.csv")); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}

	f.respondWith(0, "u7")
	writeFile(t, folder, "users.rejected.csv", fmt.Sprintf(rejected, "no", "fixed"))
	flags[len(flags)-1] = "users.rejected.csv"
	f.program(t, folder, flags...).exits(t, exitDone)
	for user, want := range map[string]string{
		"u0": `{"custom":{"plan":"pro"}}`,
		"u1": `{"email_verified":false,"custom":{"plan":"pro","row":"7"}}`,
		"u7": `{"custom":{"plan":"pro"}}`,
	} {
		if diff := cmp.Diff(want, f.profile(t, user)); diff != "" {
			t.Errorf("%s: -want +got\n%s", user, diff)
		}
	}
}

// TestCutOffFile resumes when the file was got again.
func TestCutOffFile(t *testing.T) {
	t.Parallel()
	f := newFakeCourier(t)
	folder := t.TempDir()
	random := rand.New(rand.NewPCG(1, 1))
	text := "id,custom.x\n"
	for i := range 20000 { // more than is read at once
		text += fmt.Sprintf("u%d,%d\n", i, random.Uint64())
	}
	all := zipped(t, text)
	writeFile(t, folder, "users.csv.gz", all[:len(all)-100])
	p := f.program(t, folder, "users.csv.gz", "-concurrency=64")
	p.exits(t, exitFailed)
	if got := p.err.String(); !strings.Contains(got, "users.csv.gz cannot be read beyond line") || !strings.HasSuffix(got, ": the gzip file is cut off: get it again.\n") {
		t.Errorf("it says\n%s", got)
	}
	if f.count() == 0 || exists(folder, "users.rejected.csv") {
		t.Errorf("%d requests", f.count())
	}
	writeFile(t, folder, "users.csv.gz", all)
	f.program(t, folder, "users.csv.gz", "-concurrency=64").exits(t, exitDone)
	if len(f.merges) != 20000 {
		t.Errorf("%d users were sent", len(f.merges))
	}
}

// TestRefusedFiles shows that nothing is sent of a file that is refused.
func TestRefusedFiles(t *testing.T) {
	t.Parallel()
	f := newFakeCourier(t)
	folder := t.TempDir()
	for name, file := range map[string]struct{ text, want string }{
		"book.csv":     {zipOf(t, "[Content_Types].xml"), "save it as CSV"},
		"archive.csv":  {zipOf(t, "users.csv"), "unzip it"},
		"array.ndjson": {`[{"user_id":"u","profile":{}}]`, "jq -c '.[]' array.ndjson > array.ndjson"},
		"array.json":   {`[{"user_id":"u","profile":{}}]`, "jq -c '.[]' array.json > array.ndjson"},
		"flat.ndjson":  {`{"user_id":"u","email":"a@example.com"}`, `{"user_id": "…", "profile": {…}}`},
		"no-id.csv":    {"name,Customer ID\nAda,u\n", "-id 'Customer ID'"},
		"object.csv":   {"id,Webhook\nu,x\n", "webhook.url"},
		"header.csv":   {zipped(t, plainCSV)[:12], "get it again"},
	} {
		writeFile(t, folder, name, file.text)
		p := f.program(t, folder, name)
		p.exits(t, exitFailed)
		if !strings.Contains(p.err.String(), file.want) || strings.Count(p.err.String(), "\n") != 1 {
			t.Errorf("%s: it says\n%s, want something about %q", name, &p.err, file.want)
		}
	}
	if f.count() != 0 {
		t.Errorf("%d requests", f.count())
	}
	if files, _ := filepath.Glob(filepath.Join(folder, "*.*.*")); len(files) != 0 {
		t.Errorf("%v are left", files)
	}
}

func TestFake(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	writeFile(t, folder, "users.csv", plainCSV)
	p := newProgram(t, folder, "-fake", "users.csv")
	p.exits(t, exitDone)
	if !strings.Contains(p.err.String(), "merged             2") {
		t.Errorf("it says\n%s", &p.err)
	}
}

func TestCouldNotRun(t *testing.T) {
	t.Parallel()
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
		{[]string{"-column=email", "users.csv"}, "use the name of a column, = and a member"},
		{[]string{"-column=x=email", "users.csv"}, `no column is named "x"`},
		{[]string{"-id=x", "users.csv"}, `no column is named "x"`},
		{[]string{"-concurrency=0", "users.csv"}, "use 1 to 65536"},
		{[]string{"-rate=-1", "users.csv"}, "-rate is -1"},
		{[]string{"-dry-run", "-fake", "users.csv"}, "leave one of them out"},
		{[]string{"there-is-none.csv"}, "no such file"},
		{[]string{"."}, "is a folder"},
		{[]string{"no-id.csv"}, "no column is named id or user_id"},
		{[]string{"cut.csv.gz"}, "cut.csv.gz"},
		{[]string{"-encoding=klingon", "users.csv"}, "klingon"},
		{[]string{"-rejects=users.csv", "users.csv"}, "cannot be two of"},
		{[]string{"-rejects=x", "-checkpoint=./x", "users.csv"}, "cannot be two of"},
		{[]string{"-checkpoint=no-such-folder/x.json", "users.csv"}, "name other files with -checkpoint and -rejects"},
		{[]string{"broken.csv"}, "is not a checkpoint"},
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
	t.Parallel()
	for _, test := range []struct {
		status int
		want   string
	}{
		{401, "does not accept the API key"},
		{403, "has no permission to change profiles"},
	} {
		f := newFakeCourier(t)
		folder := t.TempDir()
		text := "id,name\n"
		var users []string
		for i := range 1000 {
			users = append(users, fmt.Sprint("u", i))
			text += users[i] + ",Ada\n"
		}
		f.respondWith(test.status, users...)
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
		f.respondWith(0, users...)
		f.program(t, folder, "users.csv").exits(t, exitDone)
		if got := f.profile(t, "u999"); got != `{"name":"Ada"}` {
			t.Errorf("status %d: after that, the profile is %s", test.status, got)
		}
	}
}

func TestCourierOutOfReach(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(nil)
	url := server.URL
	server.Close()
	folder := t.TempDir()
	writeFile(t, folder, "users.csv", plainCSV)
	p := newProgram(t, folder, "users.csv")
	p.Env = append(p.Env, "COURIER_API_KEY=k", "COURIER_BASE_URL="+url)
	p.exits(t, exitFailed)
	if !strings.Contains(p.err.String(), "Courier cannot be reached: ") || exists(folder, "users.rejected.csv") {
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
	t.Parallel()
	f := newFakeCourier(t)
	f.respondWith(500, "u2")
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
	t.Parallel()
	f := newFakeCourier(t)
	folder := t.TempDir()
	writeFile(t, folder, "users.csv", "id,email_verified\nu1,yes\nu2,x\n")
	f.program(t, folder, "users.csv").exits(t, exitRejected)
	writeFile(t, folder, "users.rejected.csv", "fixed, not imported")
	p := f.program(t, folder, "users.csv")
	p.exits(t, exitFailed)
	if got := readFile(t, folder, "users.rejected.csv"); got != "fixed, not imported" || !strings.Contains(p.err.String(), "-fresh") {
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
	t.Parallel()
	for _, ext := range []string{".csv", ".ndjson"} {
		f := newFakeCourier(t)
		f.respondWith(400, "u2")
		folder := t.TempDir()
		text := map[string][2]string{".csv": {plainCSV, "id\nu2\n"}, ".ndjson": {plainNDJSON, `{"user_id":" ","profile":{}}`}}[ext]
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
		if !strings.Contains(p.err.String(), "all"+ext+" exists already") {
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
	t.Parallel()
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		f := newFakeCourier(t)
		f.respondWith(400, "u7")
		f.respondWith(413, "u990")
		folder := t.TempDir()
		text := "id,name,custom.seq\n"
		for i := range 1000 {
			text += fmt.Sprintf("u%d,Ada,%d\n", i, i)
		}
		text += "u1,Bo,,x\n"
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
		if !strings.Contains(p.err.String(), "settled before") || strings.Contains(p.err.String(), "  resent") {
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
			",,,1002,\"u1,Bo,,x\",\"the row has 4 cells, but there are 3 columns\"\n"
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
	t.Parallel()
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
	t.Parallel()
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
	t.Parallel()
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
		{"other rejects", func() { writeFile(t, folder, "users.rejected.csv", strings.Replace(rejected, "u2,x", "u2,y", 1)) }, nil, "was changed"},
		{"fewer rejects", func() { writeFile(t, folder, "users.rejected.csv", rejected[:50]) }, nil, "was changed"},
		{"no rejects", func() { _ = os.Remove(filepath.Join(folder, "users.rejected.csv")) }, nil, "is gone"},
		{"-empty", func() {}, []string{"-empty=null"}, "with -empty=ignore"},
		{"-rejects", func() {}, []string{"-rejects=x.csv"}, "with users.rejected.csv for rejected rows"},
		{"-fake", func() {}, []string{"-fake"}, "to " + f.url},
		{"an older version", func() { writeFile(t, folder, "users.checkpoint.json", `{"version":0}`) }, nil, "is not a checkpoint of this version"},
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

	// More rows after the known ones and more rejects are no change.
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
	t.Parallel()
	f := newFakeCourier(t)
	folder := t.TempDir()
	writeFile(t, folder, "users.csv", plainCSV)
	held, err := openCheckpoint(filepath.Join(folder, "users.checkpoint.json"))
	if err != nil {
		t.Fatal(err)
	}
	p := f.program(t, folder, "users.csv")
	p.exits(t, exitFailed)
	if !strings.Contains(p.err.String(), "another import is using") || f.count() != 0 {
		t.Errorf("it says\n%s", &p.err)
	}
	held.close()
	f.program(t, folder, "users.csv").exits(t, exitDone)
}

// TestNothingOfTheKeyIsPrinted looks at all that an import writes.
func TestNothingOfTheKeyIsPrinted(t *testing.T) {
	t.Parallel()
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
