package main

import (
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func TestNDJSONRows(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		line string
		want result
	}{
		{`{"user_id":"u","profile":{"custom":{"n":9007199254740993,"f":1.10,"list":[1,null]},"email":null,"own":{"a":1e400}}}`,
			result{UserID: "u", Profile: `{"email":null,"custom":{"f":1.10,"list":[1,null],"n":9007199254740993},"own":{"a":1e400}}`}},
		{` { "profile" : { } , "id" : "u" } `, result{UserID: "u", Profile: `{}`}},
		{`{"user_id":"u","profile":{"email_verified":"true"}}`, result{UserID: "u", Profile: `{"email_verified":"true"}`}},
		{`{"user_id":"u","profile":{},"line":7,"reason":"never mind"}`, result{UserID: "u", Profile: `{}`}},
		{`{"text":"{\"user_id\":\"u\",\"profile\":{}}","line":7,"reason":"never mind"}`, result{UserID: "u", Profile: `{}`}},
		{`{"user_id":"u"}`, result{Reason: "there is no profile"}},
		{`{"profile":{}}`, result{Reason: noID}},
		{`{"user_id":" ","profile":{}}`, result{Reason: noID}},
		{`{"user_id":42,"profile":{}}`, result{UserID: "42", Profile: `{}`}},
		{`{"id":9007199254740993,"profile":{}}`, result{UserID: "9007199254740993", Profile: `{}`}},
		{`{"id":-7,"profile":{}}`, result{UserID: "-7", Profile: `{}`}},
		{`{"userId":"u","profile":{}}`, result{UserID: "u", Profile: `{}`}},
		{`{"User ID":"u","profile":{}}`, result{UserID: "u", Profile: `{}`}},
		{`{"user_id":1.0,"profile":{}}`, result{Reason: "user_id has to be a string or an integer"}},
		{`{"user_id":1e3,"profile":{}}`, result{Reason: "user_id has to be a string or an integer"}},
		{`{"user_id":null,"profile":{}}`, result{Reason: "user_id has to be a string or an integer"}},
		{`{"user_id":"u","id":"v","profile":{}}`, result{Reason: "the user ID appears twice"}},
		{`{"user_id":"u","profile":{},"profile":{}}`, result{Reason: "profile appears twice"}},
		{`{"user_id":"u","profile":[]}`, result{Reason: "profile has to be an object"}},
		{`{"user_id":"u","profile":null}`, result{Reason: "profile has to be an object"}},
		{`{"user_id":"u","profil":{}}`, result{Reason: `unknown member "profil": only user_id and profile are imported`}},
		{`{"user_id":"\ud800","profile":{}}`, result{Reason: checkID("\uFFFD")}},
		{"{\"user_id\":\"u\",\"profile\":{\"name\":\"\xff\"}}", result{Reason: notUTF8}},
		{`["u"]`, result{Reason: "the line is not a JSON object: it does not begin with {"}},
		{`{"user_id":"u","profile":{}`, result{Reason: "the line is not a JSON object: it ends too early"}},
		{`{"user_id":"u","profile":{}} {}`, result{Reason: "the line is not a JSON object: there is more after its closing }"}},
		{`id,name`, result{Reason: "the line is not a JSON object: it does not begin with {"}},
	} {
		got, _, err := readText(t, "users.ndjson", "{}\n"+test.line+"\n"+plainNDJSON, inputOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != 4 || got[3].Line != 4 || got[3].UserID != "u2" {
			t.Fatalf("%s: rows %+v", test.line, got)
		}
		test.want.Line = 2
		if diff := cmp.Diff(test.want, got[1]); diff != "" {
			t.Errorf("%s: -want +got\n%s", test.line, diff)
		}
	}
}

func TestNDJSONWithAnotherIDKey(t *testing.T) {
	t.Parallel()
	const text = `{"Customer ID":7,"profile":{}}` + "\n" + `{"Customer ID":"u","id":"8","profile":{}}` + "\n" + `{"id":"u","profile":{}}` + "\n"
	got, in, err := readText(t, "users.ndjson", text, inputOptions{id: "Customer ID"})
	if err != nil {
		t.Fatal(err)
	}
	want := []result{
		{Line: 1, UserID: "7", Profile: `{}`},
		{Line: 2, Reason: `unknown member "id": only Customer ID and profile are imported`},
		{Line: 3, Reason: `unknown member "id": only Customer ID and profile are imported`},
	}
	if diff := cmp.Diff(want, got); diff != "" || in.format != "ndjson" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestNDJSONInAnotherFormIsRefused(t *testing.T) {
	t.Parallel()
	const (
		flat = `{"id":"u","email":"a@example.com"}` + "\n"
		good = `{"id":"u","profile":{}}` + "\n"
		form = `Each line has to be {"user_id": "…", "profile": {…}}`
	)
	for _, test := range []struct {
		name, text string
		options    inputOptions
		want       string
		rows       int // if it is imported
	}{
		{name: "one line", text: flat, want: `line 1: unknown member "email": only user_id and profile are imported. ` + form +
			"; to convert the file: jq -c '{user_id: .id, profile: del(.id)}'"},
		{name: "99 lines", text: strings.Repeat(flat, 99), want: form},
		{name: "100 lines and a good one", text: strings.Repeat(flat, 100) + good, want: form},
		{name: "99 lines and a good one", text: strings.Repeat(flat, 99) + good, rows: 100},
		{name: "a good one and others", text: good + strings.Repeat(flat, 200), rows: 201},
		{name: "blank lines do not count", text: strings.Repeat(flat+"\n\r\n", 99) + good, rows: 100},
		{name: "no profile", text: `{"user_id":"u"}` + "\n", want: "there is no profile"},
		{name: "no ID", text: `{"profile":{}}` + "\n", want: noID},
		{name: "pretty-printed", text: "{\n  \"user_id\": \"u\",\n  \"profile\": {}\n}\n", want: "line 1: it is not a JSON object: it ends too early. " + form},
		{name: "one object around all", text: `{"users":[{"id":"u","profile":{}}]}`, want: form},
		{name: "-id", text: flat, options: inputOptions{id: "email"}, want: `Each line has to be {"email": "…", "profile": {…}}; to convert the file: jq -c '{email: .email, profile: del(.email)}'`},
		{name: "a bad ID is not a form", text: `{"id":" ","profile":{}}` + "\n", rows: 1},
		{name: "bad text is not a form", text: "{\"id\":\"\xff\",\"profile\":{}}\n", rows: 1},
		{name: "a file of rejects is imported", text: `{"id":"u","line":1,"reason":"x"}` + "\n" + `{"text":"x","line":2,"reason":"y"}` + "\n", rows: 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			for _, name := range []string{"users.ndjson", "users.csv", "users"} {
				got, _, err := readText(t, name, test.text, test.options)
				switch {
				case test.want == "" && (err != nil || len(got) != test.rows):
					t.Errorf("%s: %d rows, error %v", name, len(got), err)
				case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n")):
					t.Errorf("%s: error %v, want one about %q", name, err, test.want)
				}
			}
		})
	}
}

func TestLongLines(t *testing.T) {
	t.Parallel()
	long := `{"user_id":"u","profile":{"name":"` + strings.Repeat("x", 200) + `"}}`
	for _, text := range []string{long + "\n" + plainNDJSON, plainNDJSON + long, plainNDJSON + long + "\n"} {
		got, err := readAll(&ndjsonSource{scanner: newScanner(iotest.OneByteReader(strings.NewReader(text)), 128)})
		if err != nil {
			t.Fatal(err)
		}
		var users, reasons []string
		for _, r := range got {
			if r.Reason == "" {
				users = append(users, r.UserID)
			} else {
				reasons = append(reasons, r.Reason)
			}
		}
		if diff := cmp.Diff([]string{"u1", "u2"}, users); diff != "" {
			t.Errorf("-want +got\n%s", diff)
		}
		if diff := cmp.Diff([]string{tooLong}, reasons); diff != "" {
			t.Errorf("-want +got\n%s", diff)
		}
	}
}

// FuzzNDJSON reads any text: each line that is not blank is delivered or rejected,
// and what is rejected is rejected again, for the same reason and with the same
// text, when the file of rejects is imported.
func FuzzNDJSON(f *testing.F) {
	f.Add(plainNDJSON)
	f.Add("{\"user_id\":\"u\"}\r\n\n[1]\n{\"text\":\"{\\\"text\\\":\\\"x\\\"}\"}\n\xff\n{\"base64\":\"/w==\",\"line\":1}")
	f.Add(`{"id":"u","profile":{"\ud800":1},"\ud800":2}`)
	f.Fuzz(func(t *testing.T, text string) {
		const bound = 4096
		s := &ndjsonSource{scanner: newScanner(strings.NewReader(text), bound)}
		var lines []string
		for line := range strings.SplitSeq(strings.TrimRight(text, "\x1a"), "\n") {
			if !isBlank(line) {
				lines = append(lines, line)
			}
		}
		for i := 0; ; i++ {
			r, err := s.next()
			if err == io.EOF {
				if i != len(lines) {
					t.Errorf("%d rows of %d lines", i, len(lines))
				}
				return
			}
			if err != nil || i >= len(lines) {
				t.Fatalf("row %+v, error %v", r, err)
			}
			if r.reason == "" {
				if r.userID == "" || !utf8.ValidString(r.userID) {
					t.Errorf("user id %q", r.userID)
				}
				if written, err := r.profile.MarshalJSON(); err != nil || !utf8.Valid(written) {
					t.Errorf("profile %q, error %v", written, err)
				}
				continue
			}
			rejected := s.reject(r.original, r.reason)
			if !utf8.ValidString(rejected) || strings.Count(rejected, "\n") != 1 {
				t.Errorf("the rejected line is %q", rejected)
			}
			again, err := (&ndjsonSource{scanner: newScanner(strings.NewReader(rejected), maxRow)}).next()
			if err != nil || again.reason != r.reason && r.reason != tooLong || again.reason == "" {
				t.Errorf("%q is rejected as %q, and when imported again as %q, error %v", rejected, r.reason, again.reason, err)
			}
			if r.reason == tooLong {
				continue
			}
			if once, twice := rejected, s.reject(original{line: r.line, text: again.text}, again.reason); once != twice {
				t.Errorf("%q is rejected as %q", once, twice)
			}
		}
	})
}
