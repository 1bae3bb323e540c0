package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/courier-profiles/courier-go/cmd/internal/job"
)

const (
	lineA = `{"user_id":"user-1","profile":{"custom":{"plan":"a","n":9007199254740993}}}` + "\n"
	lineB = `{"user_id":"ü/?","profile":{"email":null}}` + "\r\n"
	lineC = `{"user_id":"user-1","profile":{"custom":{"plan":"c"}}}`
)

// publisherTest has a NATS server and TMPDIR of its own.
func publisherTest(t *testing.T) (jetstream.JetStream, *queue) {
	t.Helper()
	nats, js := newNATS(t)
	setEnvironment(t, nats.ClientURL(), "")
	t.Setenv("TMPDIR", t.TempDir())
	return js, newQueueOf(t, js, 16)
}

func mustPublishFile(t *testing.T, in, want string) {
	t.Helper()
	out, err := program(t, in, "publish")
	if err != nil {
		t.Fatal(err)
	}
	if out != want {
		t.Errorf("it prints %q, want %q", out, want)
	}
}

func TestPublishFile(t *testing.T) {
	js, q := publisherTest(t)
	mustPublishFile(t, "\ufeff"+lineA+"\n"+lineB+lineC, "3 published, 0 already there\n")
	mustPublishFile(t, "", "0 published, 0 already there\n")
	f := newFake(t, nil)
	w, _ := newWorker(t, js, f, quick)
	empty(t, w, q)
	profile, _ := f.Profile("user-1")
	if got, want := profile.String(), `{"custom":{"n":9007199254740993,"plan":"c"}}`; got != want {
		t.Errorf("user-1 is %s, want %s", got, want)
	}
	if _, ok := f.Profile("ü/?"); !ok {
		t.Error("the other user has no profile")
	}
	if left, _ := filepath.Glob(filepath.Join(os.TempDir(), "*")); len(left) > 0 {
		t.Errorf("it left %v", left)
	}
}

// The same file again changes nothing, neither at the stream nor, when that has forgotten
// the file, at Courier.
func TestPublishFileAgain(t *testing.T) {
	js, q := publisherTest(t)
	f := newFake(t, nil)
	w, _ := newWorker(t, js, f, quick)
	file := lineA + lineB
	mustPublishFile(t, file, "2 published, 0 already there\n")
	mustPublishFile(t, file, "0 published, 2 already there\n")
	mustPublish(t, js, "newer", "user-1", plan("newer"))
	empty(t, w, q)
	if err := js.DeleteStream(t.Context(), streamName); err != nil {
		t.Fatal(err)
	}
	q = newQueueOf(t, js, 16)
	mustPublishFile(t, file, "2 published, 0 already there\n")
	empty(t, w, q)
	checkPlan(t, f, "user-1", "newer")
}

// A file is published again after a crash in its middle.
func TestPublishFileAfterCrash(t *testing.T) {
	js, q := publisherTest(t)
	drain, cancel := context.WithCancel(t.Context())
	cancel()
	var out strings.Builder
	in := strings.NewReader(lineA + lineB)
	err := publish(t.Context(), drain, js, quick, in, &out, newOutput())
	if !errors.Is(err, job.ErrInterrupted) {
		t.Errorf("error %v, want %v", err, job.ErrInterrupted)
	}
	checkError(t, err, "publish the same file again")
	mustPublishFile(t, lineA+lineB, "2 published, 0 already there\n")
	if n := q.stored(t); n != 2 {
		t.Errorf("%d updates are in the stream, want 2", n)
	}
}

// Lines of another file are other updates, also where they are the same.
func TestPublishAnotherFile(t *testing.T) {
	js, q := publisherTest(t)
	mustPublishFile(t, lineA+lineC, "2 published, 0 already there\n")
	mustPublishFile(t, lineA, "1 published, 0 already there\n")
	f := newFake(t, nil)
	w, _ := newWorker(t, js, f, quick)
	empty(t, w, q)
	checkPlan(t, f, "user-1", "a")
	if n := w.merged.Load(); n != 3 {
		t.Errorf("%d updates are merged, want 3", n)
	}
}

// An ID that is given names one update forever.
func TestPublishFileWithIDs(t *testing.T) {
	_, q := publisherTest(t)
	file := `{"id":"signup-1","user_id":"user-1","profile":{}}` + "\n" +
		`{"id":"signup-1","user_id":"user-1","profile":{"email":null}}` + "\n"
	mustPublishFile(t, file, "1 published, 1 already there\n")
	mustPublishFile(t, file+lineA, "1 published, 2 already there\n")
	mustPublishFile(t, `{"id":"1001","user_id":"u","profile":{}}`, "1 published, 0 already there\n")
	if n := q.stored(t); n != 3 {
		t.Errorf("%d updates are in the stream, want 3", n)
	}
}

// A file that is refused is refused as a whole.
func TestPublishFileRefuses(t *testing.T) {
	_, q := publisherTest(t)
	long := `{"user_id":"` + strings.Repeat("x", 2<<20) + `","profile":{}}`
	const counting = "as those of another file may too"
	withID := func(ids ...string) string {
		text := ""
		for _, id := range ids {
			text += `{"id":` + id + `,"user_id":"u","profile":{}}` + "\n"
		}
		return text
	}
	for _, test := range []struct{ name, in, want string }{
		{"no JSON", "no JSON\n", "line 2: not an update of the form"},
		{"two on a line", `{"user_id":"u","profile":{}} {}`, "line 2: not an update of the form"},
		{"a misspelt key", `{"user_id":"u","profil":{}}`, `line 2: there is no key "profil": use`},
		{"a number as ID", withID("7"), `line 2: "id" is a number, and must be a string`},
		{"a number as user", `{"user_id":1,"profile":{}}`, `line 2: "user_id" is a number`},
		{"an ID with a space", withID(`"a b"`), `line 2: "id" must be printable`},
		{"no user", `{"profile":{}}`, "line 2: not an update of the form"},
		{"no profile", `{"user_id":"u"}`, "line 2: not an update of the form"},
		{"null profile", `{"user_id":"u","profile":null}`, "line 2: not an update of the form"},
		{"a text as profile", `{"user_id":"u","profile":"x"}`, "line 2: not an update of the form"},
		{"not UTF-8", `{"user_id":"` + "\xff" + `","profile":{}}`, "line 2: the text is not UTF-8"},
		{"too long", long, "line 2: "},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := program(t, lineA+test.in, "publish")
			checkError(t, err, test.want)
			checkError(t, err, "nothing was published")
		})
	}
	for name, file := range map[string]string{
		"from 1":     withID(`"1"`, `"2"`, `"3"`, `"10"`),
		"from 0":     withID(`"0"`, `"1"`),
		"one line":   withID(`"1"`),
		"with zeros": withID(`"001"`, `"002"`),
	} {
		t.Run("IDs that count "+name, func(t *testing.T) {
			_, err := program(t, file, "publish")
			checkError(t, err, counting)
			checkError(t, err, `leave "id" out`)
		})
	}
	if n := q.stored(t); n != 0 {
		t.Errorf("%d updates are in the stream, want 0", n)
	}
}
