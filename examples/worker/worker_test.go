package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	courier "github.com/courier-profiles/courier-go"
	"github.com/courier-profiles/courier-go/couriertest"
)

func errorAs[E error](err error) (E, bool) {
	var e E
	return e, errors.As(err, &e)
}

// deadLetters returns the dead letters, oldest first, once they are n.
func deadLetters(t *testing.T, js jetstream.JetStream, n int) []*jetstream.RawStreamMsg {
	t.Helper()
	ctx := stuckContext(t)
	dead, err := js.Stream(ctx, deadName)
	if err != nil {
		t.Fatal(err)
	}
	if got := dead.CachedInfo().State.Msgs; got != uint64(n) {
		t.Fatalf("%d dead letters, want %d", got, n)
	}
	var letters []*jetstream.RawStreamMsg
	for seq := range n {
		letter, err := dead.GetMsg(ctx, uint64(seq)+1)
		if err != nil {
			t.Fatal(err)
		}
		letters = append(letters, letter)
	}
	return letters
}

// What will never be merged becomes a dead letter, and the next update of its
// user goes on.
func TestDeadLetters(t *testing.T) {
	t.Parallel()
	const user = "user-1"
	good := `{"user_id":"user-1","profile":{"email":"ada@example.com"}}`
	tests := []struct {
		name    string
		payload string
		fault   couriertest.Fault
		reason  string
	}{
		{"no JSON", `{"user_id":`, couriertest.Fault{}, errMalformed.Error()},
		{"nothing", ``, couriertest.Fault{}, errMalformed.Error()},
		{"not UTF-8", "{\"user_id\":\"\xff\",\"profile\":{}}", couriertest.Fault{}, errMalformed.Error()},
		{"no user", `{"profile":{}}`, couriertest.Fault{}, errMalformed.Error()},
		{"no profile", `{"user_id":"user-1"}`, couriertest.Fault{}, errMalformed.Error()},
		{"a profile that is no object", `{"user_id":"user-1","profile":"x"}`, couriertest.Fault{}, errMalformed.Error()},
		{"a user of another partition", `{"user_id":"user-2","profile":{}}`, couriertest.Fault{}, errPartition.Error()},
		{"400", good, couriertest.Fault{Status: 400}, "courier: merge profile: 400 invalid_request_error"},
		{"413", good, couriertest.Fault{Status: 413}, "courier: merge profile: 413 invalid_request_error"},
		{"404 from Courier", good, couriertest.Fault{Status: 404}, "courier: merge profile: 404 invalid_request_error"},
		{"as large as the stream takes", `{"user_id":"user-1"` + strings.Repeat(" ", 1<<20-headroom-200) + `}`, couriertest.Fault{}, errMalformed.Error()},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, js := newNATS(t)
			q := newStreams(t, js, quick.partitions)
			a := newAPI(t, nil)
			a.Fail(test.fault)
			msg := nats.NewMsg(q.current.of(user))
			msg.Data = []byte(test.payload)
			msg.Header.Set("Traceparent", "00-1-2-3")
			if _, err := js.PublishMsg(stuckContext(t), msg, jetstream.WithMsgID("bad")); err != nil {
				t.Fatal(err)
			}
			mustPublish(t, js, "good", user, plan("next"))

			w, log := newWorker(t, js, a, quick)
			empty(t, w, q)
			letter := deadLetters(t, js, 1)[0]
			reason := letter.Header.Get(deadReason)
			if !strings.HasPrefix(reason, test.reason) {
				t.Errorf("reason: %s, want %s", reason, test.reason)
			}
			id := letter.Header.Get(jetstream.MsgIDHeader)
			if !strings.HasPrefix(id, streamName+"/1/") {
				t.Errorf("id: %s", id)
			}
			want := nats.Header{
				"Traceparent": {"00-1-2-3"}, jetstream.MsgIDHeader: {id},
				deadReason: {reason}, deadFrom: {q.current.of(user)}, deadSequence: {"1"}, deadDeliveries: {"1"}, deadMsgID: {"bad"},
			}
			if diff := cmp.Diff(want, letter.Header); diff != "" {
				t.Errorf("headers (-want +got):\n%s", diff)
			}
			if string(letter.Data) != test.payload {
				t.Errorf("payload: %.100s", letter.Data)
			}
			if got := planOf(t, a, user); got != "next" {
				t.Errorf("the plan is %s, want next", got)
			}
			if strings.Contains(log.String(), user) || strings.Contains(log.String(), "ada@") {
				t.Errorf("the log holds personal data:\n%s", log)
			}
		})
	}
}

// Courier has no users of these names.
func TestImpossibleUser(t *testing.T) {
	t.Parallel()
	_, js := newNATS(t)
	q := newStreams(t, js, quick.partitions)
	mustPublish(t, js, "1", "..", plan("1"))
	a := newAPI(t, nil)
	w, _ := newWorker(t, js, a, quick)
	empty(t, w, q)
	if got := deadLetters(t, js, 1)[0].Header.Get(deadReason); !strings.HasPrefix(got, "courier: userID: ") {
		t.Errorf("reason: %s", got)
	}
}

// Whoever publishes without Publish has to give each message an id.
func TestNoID(t *testing.T) {
	t.Parallel()
	_, js := newNATS(t)
	q := newStreams(t, js, quick.partitions)
	for _, id := range []string{"", "ü", "a b"} {
		msg := nats.NewMsg(q.current.of("user-1"))
		msg.Data = []byte(`{"user_id":"user-1","profile":{}}`)
		if id != "" {
			msg.Header.Set(jetstream.MsgIDHeader, id)
		}
		if _, err := js.PublishMsg(stuckContext(t), msg); err != nil {
			t.Fatal(err)
		}
	}
	a := newAPI(t, nil)
	w, _ := newWorker(t, js, a, quick)
	empty(t, w, q)
	for _, letter := range deadLetters(t, js, 3) {
		if got := letter.Header.Get(deadReason); got != errNoID.Error() {
			t.Errorf("reason: %s", got)
		}
	}
}

// A worker that ends between storing a dead letter and settling the update
// leaves it to another, which stores the letter again.
func TestDeadLetterOnce(t *testing.T) {
	t.Parallel()
	_, js := newNATS(t)
	q := newStreams(t, js, quick.partitions)
	if _, err := js.Publish(t.Context(), q.current.of("user-1"), nil, jetstream.WithMsgID("bad")); err != nil {
		t.Fatal(err)
	}
	consumer, err := q.openConsumer(t.Context(), q.current, q.current.partition("user-1"), quick.ackWait)
	if err != nil {
		t.Fatal(err)
	}
	msg, err := consumer.Next()
	if err != nil {
		t.Fatal(err)
	}
	meta, err := msg.Metadata()
	if err != nil {
		t.Fatal(err)
	}
	if err := storeDead(t.Context(), js, msg, meta, errMalformed); err != nil {
		t.Fatal(err)
	}
	if err := msg.Nak(); err != nil {
		t.Fatal(err)
	}
	w, _ := newWorker(t, js, newAPI(t, nil), quick)
	empty(t, w, q)
	deadLetters(t, js, 1)
}

// As long as the failure may pass, the update is tried again, before the next
// one of its user.
func TestTriesAgain(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		fault couriertest.Fault
	}{
		{"429", couriertest.Fault{Status: 429}},
		{"503", couriertest.Fault{Status: 503}},
		{"409", couriertest.Fault{Status: 409}},
		{"a redirect", couriertest.Fault{Status: 302}},
		{"404 from another server", couriertest.Fault{Status: 404, Body: []byte("<html>not here</html>")}},
		{"reset", couriertest.Fault{Reset: true}},
		{"cut off", couriertest.Fault{CutOff: true}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, js := newNATS(t)
			q := newStreams(t, js, quick.partitions)
			a := newAPI(t, nil)
			a.Fail(test.fault, test.fault)
			mustPublish(t, js, "1", "user-1", plan("1"))
			mustPublish(t, js, "2", "user-1", plan("2"))
			w, _ := newWorker(t, js, a, quick)
			empty(t, w, q)

			var got []string
			for _, r := range a.Requests() {
				got = append(got, r.Header.Get("Idempotency-Key"))
			}
			want := []string{"profiles/0/1", "profiles/0/1", "profiles/0/1", "profiles/0/2"}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("requests (-want +got):\n%s", diff)
			}
			if got := planOf(t, a, "user-1"); got != "2" {
				t.Errorf("the plan is %s, want 2", got)
			}
			if w.merged.Load() != 2 || w.retried.Load() != 2 || w.dead.Load() != 0 {
				t.Errorf("%d merged, %d failed, %d dead; want 2, 2, 0", w.merged.Load(), w.retried.Load(), w.dead.Load())
			}
			deadLetters(t, js, 0)
		})
	}
}

// Courier replays a 500 to its key, so each is followed by another key, and
// those that are used up by no key.
func TestKeysAfter500(t *testing.T) {
	t.Parallel()
	_, js := newNATS(t)
	q := newStreams(t, js, quick.partitions)
	a := newAPI(t, nil)
	mustPublish(t, js, "1", "user-1", plan("1"))
	fault, pass := couriertest.Fault{Status: 500}, couriertest.Fault{}
	a.Fail(
		fault,
		pass, fault, // the first is a replay
		pass, pass, fault,
		pass, pass, pass, fault,
	)
	w, _ := newWorker(t, js, a, quick)
	empty(t, w, q)

	var got []string
	for _, r := range a.Requests() {
		got = append(got, r.Header.Get("Idempotency-Key"))
	}
	key := []string{"profiles/0/1", "profiles/1/1", "profiles/2/1", ""}
	want := []string{
		key[0],
		key[0], key[1],
		key[0], key[1], key[2],
		key[0], key[1], key[2], key[3],
		key[0], key[1], key[2], key[3],
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("keys (-want +got):\n%s", diff)
	}
	if got := planOf(t, a, "user-1"); got != "1" {
		t.Errorf("the plan is %s, want 1", got)
	}
}

func TestGivesUp(t *testing.T) {
	t.Parallel()
	_, js := newNATS(t)
	q := newStreams(t, js, quick.partitions)
	a := newAPI(t, nil)
	fault := couriertest.Fault{Status: 503}
	a.Fail(fault, fault, fault)
	mustPublish(t, js, "1", "user-1", plan("1"))
	mustPublish(t, js, "2", "user-1", plan("2"))
	s := quick
	s.maxDeliveries = 3
	w, _ := newWorker(t, js, a, s)
	empty(t, w, q)
	header := deadLetters(t, js, 1)[0].Header
	if got := header.Get(deadReason); !strings.HasPrefix(got, "given up: courier: merge profile: 503") {
		t.Errorf("reason: %s", got)
	}
	if got := header.Get(deadDeliveries); got != "3" {
		t.Errorf("%s deliveries, want 3", got)
	}
	if got := planOf(t, a, "user-1"); got != "2" {
		t.Errorf("the plan is %s, want 2", got)
	}
}

func TestDuplicates(t *testing.T) {
	t.Parallel()
	_, js := newNATS(t)
	q := newStreams(t, js, quick.partitions)
	a := newAPI(t, nil)
	if mustPublish(t, js, "1", "user-1", plan("1")).Duplicate {
		t.Error("the first is a duplicate")
	}
	if !mustPublish(t, js, "1", "user-1", plan("1")).Duplicate {
		t.Error("its repetition is none")
	}
	mustPublish(t, js, "2", "user-1", plan("2"))
	w, _ := newWorker(t, js, a, quick)
	empty(t, w, q)
	if n := len(a.Requests()); n != 2 {
		t.Errorf("%d requests, want 2", n)
	}

	// When the stream has forgotten the id, Courier has not.
	if err := js.DeleteStream(t.Context(), streamName); err != nil {
		t.Fatal(err)
	}
	q = newStreams(t, js, quick.partitions)
	if mustPublish(t, js, "1", "user-1", plan("1")).Duplicate {
		t.Error("the stream has not forgotten the id")
	}
	w, _ = newWorker(t, js, a, quick)
	empty(t, w, q)
	if got := planOf(t, a, "user-1"); got != "2" {
		t.Errorf("the plan is %s, want 2", got)
	}
}

// An update that another worker has removed meanwhile, after another delivery,
// is as good as removed.
func TestRemovesOnce(t *testing.T) {
	t.Parallel()
	_, js := newNATS(t)
	q := newStreams(t, js, 1)
	mustPublish(t, js, "1", "user-1", plan("1"))
	consumer, err := q.openConsumer(t.Context(), q.current, 0, quick.ackWait)
	if err != nil {
		t.Fatal(err)
	}
	msg, err := consumer.Next()
	if err != nil {
		t.Fatal(err)
	}
	if err := q.stream.DeleteMsg(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if err := q.remove(t.Context(), msg, 1); err != nil {
		t.Error(err)
	}
	if err := js.DeleteStream(t.Context(), streamName); err != nil {
		t.Fatal(err)
	}
	if err := q.remove(t.Context(), msg, 1); err == nil {
		t.Error("an update is removed from a stream that does not exist")
	}
}

// stopsWith ends a worker at the very moment at which an update arrives.
type stopsWith struct {
	jetstream.Consumer
	stop context.CancelFunc
}

func (c stopsWith) Messages(opts ...jetstream.PullMessagesOpt) (jetstream.MessagesContext, error) {
	updates, err := c.Consumer.Messages(opts...)
	return stopsAtNext{updates, c.stop}, err
}

type stopsAtNext struct {
	jetstream.MessagesContext
	stop context.CancelFunc
}

func (m stopsAtNext) Next(opts ...jetstream.NextOpt) (jetstream.Msg, error) {
	msg, err := m.MessagesContext.Next(opts...)
	m.stop()
	return msg, err
}

func TestHandsBackWhatItDidNotBegin(t *testing.T) {
	t.Parallel()
	_, js := newNATS(t)
	q := newStreams(t, js, quick.partitions)
	a := newAPI(t, nil)
	mustPublish(t, js, "1", "user-1", plan("1"))
	s := quick
	s.ackWait = time.Hour // which the next worker would have to wait for
	p := q.current.partition("user-1")
	consumer, err := q.openConsumer(t.Context(), q.current, p, s.ackWait)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(stuckContext(t))
	defer stop()
	w, _ := newWorker(t, js, a, s)
	if err := w.work(ctx, q, q.current, p, stopsWith{consumer, stop}); err != nil {
		t.Fatal(err)
	}
	if n := len(a.Requests()); n != 0 {
		t.Errorf("%d requests, want 0", n)
	}
	empty(t, w, q)
	if got := planOf(t, a, "user-1"); got != "1" {
		t.Errorf("the plan is %s, want 1", got)
	}
}

// A worker lives through a restart of the NATS server, and goes on.
func TestServerRestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	nats, err := startNATS(dir, server.RANDOM_PORT)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stopNATS(nats) })
	a := newAPI(t, nil)
	p := startProcess(t, nats.ClientURL(), a, a.APIKey, "-ack-wait=2s")
	p.out.await(t, "msg=working")

	port := nats.Addr().(*net.TCPAddr).Port
	stopNATS(nats)
	p.out.await(t, "connection lost")
	if nats, err = startNATS(dir, port); err != nil {
		t.Fatal(err)
	}
	js, err := connect(nats.ClientURL(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer js.Conn().Close()
	q := newStreams(t, js, quick.partitions)
	mustPublish(t, js, "1", "user-1", plan("1"))
	if err := waitUntilEmpty(stuckContext(t), q.stream); err != nil {
		t.Fatal(err)
	}
	if got := planOf(t, a, "user-1"); got != "1" {
		t.Errorf("the plan is %s, want 1", got)
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		config jetstream.StreamConfig
		want   string
	}{
		{"too many partitions", jetstream.StreamConfig{Metadata: map[string]string{partitionsKey: "4097"}}, "not a number of partitions"},
		{"no number", jetstream.StreamConfig{Metadata: map[string]string{partitionsKey: "many"}}, "not a number of partitions"},
		{"another retention", jetstream.StreamConfig{Retention: jetstream.InterestPolicy}, "may drop updates"},
		{"an age limit", jetstream.StreamConfig{MaxAge: time.Hour}, "may drop updates"},
		{"a size limit", jetstream.StreamConfig{MaxBytes: 1 << 20}, "may drop updates"},
		{"another subject", jetstream.StreamConfig{Subjects: []string{"updates.*"}}, "does not have the form"},
		{"more subjects", jetstream.StreamConfig{Subjects: []string{"courier.profiles.64.*", "courier.profiles.16.*"}}, "not one"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, js := newNATS(t)
			test.config.Name = streamName
			if test.config.Subjects == nil {
				test.config.Subjects = []string{oldSubject}
			}
			if _, err := js.CreateStream(t.Context(), test.config); err != nil {
				t.Fatal(err)
			}
			if _, err := openStreams(t.Context(), js, 1, 64); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error: %v, want %q", err, test.want)
			}
		})
	}
	t.Run("another -ack-wait", func(t *testing.T) {
		t.Parallel()
		_, js := newNATS(t)
		q := newStreams(t, js, 1)
		for range 2 {
			if _, err := q.openConsumer(t.Context(), q.current, 0, time.Minute); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := q.openConsumer(t.Context(), q.current, 0, time.Hour); err == nil || !strings.Contains(err.Error(), "-ack-wait") {
			t.Errorf("error: %v", err)
		}
	})
}

// Of a partition, JetStream lets out one update at a time.
func TestOneAtATime(t *testing.T) {
	t.Parallel()
	_, js := newNATS(t)
	q := newStreams(t, js, quick.partitions)
	mustPublish(t, js, "1", "user-1", plan("1"))
	mustPublish(t, js, "2", "user-1", plan("2"))
	consumer, err := q.openConsumer(t.Context(), q.current, q.current.partition("user-1"), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	next := func(opt jetstream.FetchOpt) string {
		msg, err := consumer.Next(opt)
		if errors.Is(err, nats.ErrTimeout) {
			return ""
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := msg.Nak(); err != nil {
			t.Fatal(err)
		}
		return msg.Headers().Get(jetstream.MsgIDHeader)
	}
	var got []string
	for range 3 {
		got = append(got, next(jetstream.FetchMaxWait(stuck)))
	}
	if diff := cmp.Diff([]string{"1", "1", "1"}, got); diff != "" {
		t.Errorf("deliveries (-want +got):\n%s", diff)
	}
}

func TestJudge(t *testing.T) {
	tests := []struct {
		err  error
		want verdict
	}{
		{nil, done},
		{&courier.AuthenticationError{}, stop},
		{&courier.PermissionError{}, stop},
		{&courier.ValidationError{}, never},
		{&courier.InvalidRequestError{}, never},
		{&courier.PayloadTooLargeError{}, never},
		{&courier.NotFoundError{APIError: courier.APIError{Type: "invalid_request_error"}}, never},
		{&courier.NotFoundError{}, again},
		{&courier.ConflictError{}, again},
		{&courier.RateLimitError{}, again},
		{&courier.ServerError{}, again},
		{&courier.APIError{StatusCode: http.StatusFound}, again},
		{&courier.UnexpectedResponseError{}, again},
		{&courier.ConnectionError{Err: context.DeadlineExceeded}, again},
	}
	for _, test := range tests {
		if got := judge(test.err); got != test.want {
			t.Errorf("judge(%T) is %d, want %d", test.err, got, test.want)
		}
	}
}

func TestWait(t *testing.T) {
	w := &worker{settings: settings{retryWait: time.Second, maxRetryWait: time.Minute}}
	limited := func(d time.Duration) error { return &courier.RateLimitError{RetryAfter: d} }
	tests := []struct {
		name      string
		delivery  uint64
		err       error
		low, high time.Duration
	}{
		{"first", 1, nil, time.Second, 2 * time.Second},
		{"third", 3, nil, time.Second, 8 * time.Second},
		{"thousandth", 1000, nil, time.Second, time.Minute},
		{"Retry-After", 1, limited(5 * time.Second), 5 * time.Second, 5 * time.Second},
		{"a short Retry-After", 1, limited(time.Millisecond), time.Second, 2 * time.Second},
		{"a Retry-After above the longest wait", 1, limited(10 * time.Minute), 10 * time.Minute, 10 * time.Minute},
		{"a day's Retry-After", 1, limited(24 * time.Hour), maxRetryAfter, maxRetryAfter},
	}
	for _, test := range tests {
		least, most := time.Duration(1<<62), time.Duration(0)
		for range 1000 {
			wait := w.wait(test.delivery, test.err)
			least, most = min(least, wait), max(most, wait)
		}
		if least < test.low || most > test.high {
			t.Errorf("%s: waits from %v to %v, want %v to %v", test.name, least, most, test.low, test.high)
		}
		if test.low < test.high && most-least < (test.high-test.low)/2 {
			t.Errorf("%s: waits from %v to %v, with hardly any jitter", test.name, least, most)
		}
	}
	steady := &worker{settings: settings{retryWait: time.Second, maxRetryWait: time.Second}}
	if got := steady.wait(5, nil); got != time.Second {
		t.Errorf("with equal bounds the wait is %v", got)
	}
}
