package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/courier-profiles/courier-go/cmd/internal/job"
)

const (
	lineA = `{"user_id":"user-1","profile":{"custom":{"plan":"a","n":9007199254740993}}}` + "\n"
	lineB = `{"user_id":"ü/?","profile":{"email":null,"name":"\ud83d"}}` + "\r\n"
	lineC = `{"user_id":"user-1","profile":{"custom":{"plan":"c"}}}`
)

// setUpPublish sets the environment of the command publish: a NATS server and a TMPDIR of the
// test's own. So these tests cannot be parallel.
func setUpPublish(t *testing.T) (jetstream.JetStream, *queue) {
	t.Helper()
	nats, js := newNATS(t)
	setEnvironment(t, nats.ClientURL(), "")
	t.Setenv("TMPDIR", t.TempDir())
	return js, newQueueOf(t, js, 16)
}

// mustPublishFile runs the command publish, which must succeed and print want.
func mustPublishFile(t *testing.T, file, want string) {
	t.Helper()
	out, err := program(t, file, "publish")
	if err != nil {
		t.Fatal(err)
	}
	if out != want {
		t.Errorf("publish prints %q, want %q", out, want)
	}
}

// The lines of a file are merged in their order. A byte order mark, an empty line, either
// end of line, and half of an emoji in a profile are no problem.
func TestPublishFile(t *testing.T) {
	js, q := setUpPublish(t)
	const file = "\ufeff" + lineA + "\n" + lineB + lineC
	mustPublishFile(t, file, "3 published, 0 already there\n")
	f := newFake(t, nil)
	w, _ := newWorker(t, js, f, quick)
	runUntilEmpty(t, w, q)
	profile, _ := f.Profile("user-1")
	const want = `{"custom":{"n":9007199254740993,"plan":"c"}}`
	if got := profile.String(); got != want {
		t.Errorf("the profile of user-1 is %s, want %s", got, want)
	}
	if _, ok := f.Profile("ü/?"); !ok {
		t.Error("ü/? has no profile, want one")
	}
}

func TestPublishEmptyFile(t *testing.T) {
	setUpPublish(t)
	mustPublishFile(t, "", "0 published, 0 already there\n")
}

func TestPublishFileLeavesNoFile(t *testing.T) {
	setUpPublish(t)
	mustPublishFile(t, lineA, "1 published, 0 already there\n")
	left, err := os.ReadDir(os.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if len(left) > 0 {
		t.Errorf("TMPDIR has %v, want no files", left)
	}
}

// The same file again adds nothing to the stream.
func TestPublishFileAgain(t *testing.T) {
	_, q := setUpPublish(t)
	mustPublishFile(t, lineA+lineB, "2 published, 0 already there\n")
	mustPublishFile(t, lineA+lineB, "0 published, 2 already there\n")
	if n := q.stored(t); n != 2 {
		t.Errorf("%d updates are in the stream, want 2", n)
	}
}

// A stream that has forgotten a file takes it again. Courier, which has not, does not let it
// undo a newer update.
func TestPublishForgottenFileAgain(t *testing.T) {
	js, q := setUpPublish(t)
	f := newFake(t, nil)
	w, _ := newWorker(t, js, f, quick)
	mustPublishFile(t, lineA+lineB, "2 published, 0 already there\n")
	mustPublish(t, js, "newer", "user-1", plan("newer"))
	runUntilEmpty(t, w, q)

	if err := js.DeleteStream(t.Context(), streamName); err != nil {
		t.Fatal(err)
	}
	q = newQueueOf(t, js, 16)
	mustPublishFile(t, lineA+lineB, "2 published, 0 already there\n")
	runUntilEmpty(t, w, q)
	checkPlan(t, f, "user-1", "newer")
}

// stopsAtPublish interrupts a publish when it stores the first update.
type stopsAtPublish struct {
	jetstream.JetStream
	stop context.CancelFunc
}

func (s stopsAtPublish) PublishMsg(
	ctx context.Context, msg *nats.Msg, opts ...jetstream.PublishOpt,
) (*jetstream.PubAck, error) {
	s.stop()
	return s.JetStream.PublishMsg(ctx, msg, opts...)
}

// An interrupted publish says how to resume. Resuming it publishes what is missing.
func TestPublishFileInterrupted(t *testing.T) {
	js, q := setUpPublish(t)
	drain, interrupt := context.WithCancel(t.Context())
	in := strings.NewReader(lineA + lineB)
	stops := stopsAtPublish{js, interrupt}
	err := publish(t.Context(), drain, stops, quick, in, io.Discard, newOutput())
	if !errors.Is(err, job.ErrInterrupted) {
		t.Errorf("got the error %v, which does not match %v", err, job.ErrInterrupted)
	}
	checkError(t, err, "publish the same file again")
	mustPublishFile(t, lineA+lineB, "1 published, 1 already there\n")
	if n := q.stored(t); n != 2 {
		t.Errorf("%d updates are in the stream, want 2", n)
	}
}

// A signal ends a publish while its input has not ended. No file is left of what was read,
// not even by a program that is killed.
func TestPublishFileInterruptedWhileReading(t *testing.T) {
	js, q := setUpPublish(t)
	drain, interrupt := context.WithCancel(t.Context())
	in, from := io.Pipe()
	defer from.Close()
	ended := make(chan error, 1)
	go func() { ended <- publish(t.Context(), drain, js, quick, in, io.Discard, newOutput()) }()
	if _, err := io.WriteString(from, lineA); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(os.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if len(left) > 0 {
		t.Errorf("while it reads, TMPDIR has %v, want no files", left)
	}
	interrupt()
	select {
	case err = <-ended:
	case <-stuckContext(t).Done():
		t.Fatal("it goes on reading")
	}
	if !errors.Is(err, job.ErrInterrupted) {
		t.Errorf("got the error %v, which does not match %v", err, job.ErrInterrupted)
	}
	checkError(t, err, "nothing was published")
	if n := q.stored(t); n != 0 {
		t.Errorf("%d updates are in the stream, want 0", n)
	}
}

// A line of another file is another update, even if the two lines are equal.
func TestPublishAnotherFile(t *testing.T) {
	js, q := setUpPublish(t)
	mustPublishFile(t, lineA+lineC, "2 published, 0 already there\n")
	mustPublishFile(t, lineA, "1 published, 0 already there\n")
	f := newFake(t, nil)
	w, _ := newWorker(t, js, f, quick)
	runUntilEmpty(t, w, q)
	checkPlan(t, f, "user-1", "a")
	if n := w.merged.Load(); n != 3 {
		t.Errorf("%d updates are merged, want 3", n)
	}
}

// The ID in a line names one update, whatever else the line has and in whatever file it is.
func TestPublishFileWithIDs(t *testing.T) {
	_, q := setUpPublish(t)
	const file = `{"id":"signup-1","user_id":"user-1","profile":{}}` + "\n" +
		`{"id":"signup-1","user_id":"user-1","profile":{"email":null}}` + "\n"
	mustPublishFile(t, file, "1 published, 1 already there\n")
	mustPublishFile(t, file+lineA, "1 published, 2 already there\n") // only lineA is new
	if n := q.stored(t); n != 2 {
		t.Errorf("%d updates are in the stream, want 2", n)
	}
}

// withIDs returns a file with a line for each ID, which is given as JSON.
func withIDs(ids ...string) string {
	var file strings.Builder
	for _, id := range ids {
		fmt.Fprintf(&file, `{"id":%s,"user_id":"u","profile":{}}`+"\n", id)
	}
	return file.String()
}

// A file that is refused is refused as a whole.
func TestPublishFileRefuses(t *testing.T) {
	_, q := setUpPublish(t)
	const malformed = "line 2: not an update of the form"
	const twice = malformed + ` {"user_id": "…", "profile": {…}}: a name appears twice`
	withEmail := func(size int) string {
		return `{"user_id":"u","profile":{"email":"` + strings.Repeat("x", size) + `"}}`
	}
	for _, test := range []struct{ name, line, want string }{
		{"not JSON", "no JSON\n", malformed},
		{"two on a line", `{"user_id":"u","profile":{}} {}`, malformed},
		{"the end of a list", `{"user_id":"u","profile":{}}]`, malformed},
		{"two users", `{"user_id":"u","user_id":"v","profile":{}}`, twice},
		{"a name twice in the profile", `{"user_id":"u","profile":{"custom":{"a":1,"a":2}}}`, twice},
		{"half of an emoji in the user", `{"user_id":"u\ud83d","profile":{}}`, malformed},
		{"no user", `{"profile":{}}`, malformed},
		{"no profile", `{"user_id":"u"}`, malformed},
		{"null as profile", `{"user_id":"u","profile":null}`, malformed},
		{"a string as profile", `{"user_id":"u","profile":"x"}`, malformed},
		{
			"a misspelled key", `{"user_id":"u","profil":{}}`,
			`line 2: there is no key "profil": use`,
		},
		{"a number as ID", withIDs("7"), `line 2: "id" must be a string`},
		{"a number as user", `{"user_id":1,"profile":{}}`, `line 2: "user_id" must be a string`},
		{"an ID with a space", withIDs(`"a b"`), "line 2: the ID of the update must be"},
		{
			"not UTF-8", `{"user_id":"` + "\xff" + `","profile":{}}`,
			"line 2: the text is not UTF-8",
		},
		{"too long", withEmail(2 << 20), "line 2: it is longer than the 1048576 bytes of a NATS message"},
		{"too long for the stream", withEmail(1<<20 - headroom), "and the stream takes at most 1032192"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := program(t, lineA+test.line, "publish")
			checkError(t, err, test.want)
			checkError(t, err, "nothing was published")
		})
	}
	if n := q.stored(t); n != 0 {
		t.Errorf("%d updates are in the stream, want 0", n)
	}
}

// A stream that exists may have a limit of its own.
func TestPublishFileRefusesWhatTheStreamDoes(t *testing.T) {
	js, q := setUpPublish(t)
	config := q.stream.CachedInfo().Config
	config.MaxMsgSize = int32(len(lineB)) + 150 // for the subject and the ID
	if _, err := js.UpdateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	mustPublishFile(t, lineB, "1 published, 0 already there\n")
	long := `{"user_id":"u","profile":{"email":"` + strings.Repeat("x", 300) + `"}}`
	_, err := program(t, lineA+long, "publish")
	checkError(t, err, "nothing was published")
}

// IDs that count the lines of their file are refused: another file may have the same ones.
func TestPublishFileRefusesLineNumbers(t *testing.T) {
	_, q := setUpPublish(t)
	for _, test := range []struct{ name, file string }{
		{"from 1", withIDs(`"1"`, `"2"`, `"3"`, `"10"`)},
		{"from 0", withIDs(`"0"`, `"1"`)},
		{"one line", withIDs(`"1"`)},
		{"with zeros", withIDs(`"001"`, `"002"`)},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := program(t, test.file, "publish")
			checkError(t, err, "if those of another file do too")
			checkError(t, err, `leave "id" out`)
		})
	}
	if n := q.stored(t); n != 0 {
		t.Errorf("%d updates are in the stream, want 0", n)
	}
}

// IDs that are numbers, but do not begin at 0 or 1, are not line numbers.
func TestPublishFileWithNumbers(t *testing.T) {
	_, q := setUpPublish(t)
	mustPublishFile(t, withIDs(`"1001"`), "1 published, 0 already there\n")
	if n := q.stored(t); n != 1 {
		t.Errorf("%d updates are in the stream, want 1", n)
	}
}
