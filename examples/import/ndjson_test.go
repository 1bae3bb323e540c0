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
	for _, test := range []struct {
		line string
		want outcome
	}{
		{`{"user_id":"u","profile":{"custom":{"n":9007199254740993,"f":1.10,"list":[1,null]},"email":null,"own":{"a":1e400}}}`,
			outcome{UserID: "u", Profile: `{"email":null,"custom":{"f":1.10,"list":[1,null],"n":9007199254740993},"own":{"a":1e400}}`}},
		{` { "profile" : { } , "id" : "u" } `, outcome{UserID: "u", Profile: `{}`}},
		{`{"user_id":"u","profile":{"email_verified":"true"}}`, outcome{UserID: "u", Profile: `{"email_verified":"true"}`}},
		{`{"user_id":"u","profile":{},"line":7,"reason":"never mind"}`, outcome{UserID: "u", Profile: `{}`}},
		{`{"text":"{\"user_id\":\"u\",\"profile\":{}}","line":7,"reason":"never mind"}`, outcome{UserID: "u", Profile: `{}`}},
		{`{"user_id":"u"}`, outcome{Reason: "there is no profile"}},
		{`{"profile":{}}`, outcome{Reason: noID}},
		{`{"user_id":" ","profile":{}}`, outcome{Reason: noID}},
		{`{"user_id":42,"profile":{}}`, outcome{Reason: "user_id has to be a string"}},
		{`{"user_id":"u","id":"v","profile":{}}`, outcome{Reason: "the user id is there twice"}},
		{`{"user_id":"u","profile":{},"profile":{}}`, outcome{Reason: "profile is there twice"}},
		{`{"user_id":"u","profile":[]}`, outcome{Reason: "profile has to be an object"}},
		{`{"user_id":"u","profile":null}`, outcome{Reason: "profile has to be an object"}},
		{`{"user_id":"u","profil":{}}`, outcome{Reason: `there is a member "profil": only user_id and profile are imported`}},
		{`{"user_id":"\ud800","profile":{}}`, outcome{Reason: checkID("\uFFFD")}},
		{"{\"user_id\":\"u\",\"profile\":{\"name\":\"\xff\"}}", outcome{Reason: notUTF8}},
		{`["u"]`, outcome{Reason: "the line is not a JSON object: it does not begin with {"}},
		{`{"user_id":"u","profile":{}`, outcome{Reason: "the line is not a JSON object: it ends too early"}},
		{`{"user_id":"u","profile":{}} {}`, outcome{Reason: "the line is not a JSON object: something comes behind its closing }"}},
		{`id,name`, outcome{Reason: "the line is not a JSON object: invalid character 'i' looking for beginning of value"}},
	} {
		got, _, err := readText(t, "users.ndjson", test.line+"\n"+plainNDJSON, inputOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != 3 || got[2].Line != 3 || got[2].UserID != "u2" {
			t.Fatalf("%s: rows %+v", test.line, got)
		}
		test.want.Line = 1
		if diff := cmp.Diff(test.want, got[0]); diff != "" {
			t.Errorf("%s: -want +got\n%s", test.line, diff)
		}
	}
}

func TestLongLines(t *testing.T) {
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

// FuzzNDJSON reads any text: each line that is not blank is delivered or
// rejected, and what is rejected is rejected again for the same reason, with the
// same text, when the file of rejects is imported.
func FuzzNDJSON(f *testing.F) {
	f.Add(plainNDJSON)
	f.Add("{\"user_id\":\"u\"}\r\n\n[1]\n{\"text\":\"{\\\"text\\\":\\\"x\\\"}\"}\n\xff\n{\"base64\":\"/w==\",\"line\":1}")
	f.Add(`{"id":"u","profile":{"\ud800":1},"\ud800":2}`)
	f.Fuzz(func(t *testing.T, text string) {
		const bound = 4096
		s := &ndjsonSource{scanner: newScanner(strings.NewReader(text), bound)}
		var lines []string
		for line := range strings.SplitSeq(text, "\n") {
			if line = strings.TrimSuffix(line, "\r"); !isBlank(line) {
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
