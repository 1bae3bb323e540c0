package main

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	courier "github.com/courier-profiles/courier-go"
	"github.com/courier-profiles/courier-go/couriertest"
)

// What will never be merged becomes a dead letter, and the next update of its user
// continues.
func TestDeadLetters(t *testing.T) {
	t.Parallel()
	const user = "user-1"
	const good = `{"user_id":"user-1","profile":{"email":"ada@example.com"}}`
	large := `{"user_id":"user-1"` + strings.Repeat(" ", 1<<20-headroom-200) + `}`
	status := func(code int) couriertest.Fault { return couriertest.Fault{Status: code} }
	for _, test := range []struct {
		name    string
		payload string
		fault   couriertest.Fault
		reason  string
	}{
		{"no JSON", `{"user_id":`, status(0), errMalformed.Error()},
		{"nothing", ``, status(0), errMalformed.Error()},
		{"not UTF-8", "{\"user_id\":\"\xff\",\"profile\":{}}", status(0), errMalformed.Error()},
		{"no user", `{"profile":{}}`, status(0), errMalformed.Error()},
		{"two users", `{"user_id":"user-2","user_id":"user-1","profile":{}}`, status(0),
			errTwice.Error()},
		{"no profile", `{"user_id":"user-1"}`, status(0), errMalformed.Error()},
		{"a text for a profile", `{"user_id":"user-1","profile":"x"}`, status(0),
			errMalformed.Error()},
		{"a user of another partition", `{"user_id":"user-2","profile":{}}`, status(0),
			errPartition.Error()},
		{"400", good, status(400), "courier: merge profile: 400 invalid_request_error"},
		{"413", good, status(413), "courier: merge profile: 413 invalid_request_error"},
		{"404 from Courier", good, status(404),
			"courier: merge profile: 404 invalid_request_error"},
		{"as large as the stream takes", large, status(0), errMalformed.Error()},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, js := newNATS(t)
			q := newQueueOf(t, js, 16)
			f := newFake(t, nil)
			f.Fail(test.fault)
			msg := nats.NewMsg(q.subjectOf(user))
			msg.Data = []byte(test.payload)
			msg.Header.Set("Traceparent", "00-1-2-3")
			_, err := js.PublishMsg(stuckContext(t), msg, jetstream.WithMsgID("bad"))
			if err != nil {
				t.Fatal(err)
			}
			mustPublish(t, js, "good", user, plan("next"))

			w, log := newWorker(t, js, f, quick)
			runUntilEmpty(t, w, q)
			letter := deadLetters(t, js, 1)[0]
			reason, id := letter.Header.Get(deadReason), letter.Header.Get(jetstream.MsgIDHeader)
			if !strings.HasPrefix(reason, test.reason) {
				t.Errorf("reason: %s, want %s", reason, test.reason)
			}
			want := nats.Header{
				"Traceparent":         {"00-1-2-3"},
				jetstream.MsgIDHeader: {id},
				deadReason:            {reason},
				deadFrom:              {q.subjectOf(user)},
				deadSequence:          {"1"},
				deadDeliveries:        {"1"},
				deadMsgID:             {"bad"},
			}
			if diff := cmp.Diff(want, letter.Header); diff != "" {
				t.Errorf("headers (-want +got):\n%s", diff)
			}
			if string(letter.Data) != test.payload {
				t.Errorf("payload: %.100s", letter.Data)
			}
			checkPlan(t, f, user, "next")
			checkOmits(t, log.String(), user, "ada@")
		})
	}
}

// Courier has no users of these names.
func TestImpossibleUser(t *testing.T) {
	t.Parallel()
	_, js := newNATS(t)
	q := newQueueOf(t, js, 16)
	mustPublish(t, js, "1", "..", plan("1"))
	w, _ := newWorker(t, js, newFake(t, nil), quick)
	runUntilEmpty(t, w, q)
	reason := deadLetters(t, js, 1)[0].Header.Get(deadReason)
	if !strings.HasPrefix(reason, "courier: userID: ") {
		t.Errorf("reason: %s", reason)
	}
}

// Whoever publishes without Publish has to give each message an ID.
func TestNoID(t *testing.T) {
	t.Parallel()
	_, js := newNATS(t)
	q := newQueueOf(t, js, 16)
	for _, id := range []string{"", "ü", "a b"} {
		msg := nats.NewMsg(q.subjectOf("user-1"))
		msg.Data = []byte(`{"user_id":"user-1","profile":{}}`)
		if id != "" {
			msg.Header.Set(jetstream.MsgIDHeader, id)
		}
		if _, err := js.PublishMsg(stuckContext(t), msg); err != nil {
			t.Fatal(err)
		}
	}
	w, _ := newWorker(t, js, newFake(t, nil), quick)
	runUntilEmpty(t, w, q)
	for _, letter := range deadLetters(t, js, 3) {
		if got := letter.Header.Get(deadReason); got != errNoID.Error() {
			t.Errorf("reason: %s, want %s", got, errNoID)
		}
	}
}

// nextOf takes the next update of a user out for delivery.
func nextOf(t *testing.T, q *queue, user string) (jetstream.Msg, *jetstream.MsgMetadata) {
	t.Helper()
	consumer, err := q.openConsumer(stuckContext(t), q.partition(user), quick.ackWait)
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
	return msg, meta
}

// A worker that ends between storing a dead letter and settling the update leaves it to
// another, which stores the letter again.
func TestDeadLetterOnce(t *testing.T) {
	t.Parallel()
	_, js := newNATS(t)
	q := newQueueOf(t, js, 16)
	_, err := js.Publish(t.Context(), q.subjectOf("user-1"), nil, jetstream.WithMsgID("bad"))
	if err != nil {
		t.Fatal(err)
	}
	msg, meta := nextOf(t, q, "user-1")
	if err := storeDead(t.Context(), js, msg, meta, errMalformed); err != nil {
		t.Fatal(err)
	}
	if err := msg.Nak(); err != nil {
		t.Fatal(err)
	}
	w, _ := newWorker(t, js, newFake(t, nil), quick)
	runUntilEmpty(t, w, q)
	deadLetters(t, js, 1)
}

// As long as the failure may pass, the update is retried, before the next one of its user.
func TestRetries(t *testing.T) {
	t.Parallel()
	html := []byte("<html>not here</html>")
	for name, fault := range map[string]couriertest.Fault{
		"429":                      {Status: 429},
		"503":                      {Status: 503},
		"409":                      {Status: 409},
		"a redirect":               {Status: 302},
		"404 from another server":  {Status: 404, Body: html},
		"403 from a firewall":      {Status: 403, Body: html},
		"the connection was reset": {Reset: true},
		"the response was cut off": {CutOff: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, js := newNATS(t)
			q := newQueueOf(t, js, 16)
			f := newFake(t, nil)
			f.Fail(fault, fault)
			mustPublish(t, js, "1", "user-1", plan("1"))
			mustPublish(t, js, "2", "user-1", plan("2"))
			w, _ := newWorker(t, js, f, quick)
			runUntilEmpty(t, w, q)

			var got []string
			for _, r := range f.Requests() {
				got = append(got, r.Header.Get("Idempotency-Key"))
			}
			want := []string{"profiles/0/1", "profiles/0/1", "profiles/0/1", "profiles/0/2"}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("keys of the requests (-want +got):\n%s", diff)
			}
			checkPlan(t, f, "user-1", "2")
			deadLetters(t, js, 0)
		})
	}
}

// A retry comes after -retry-wait. After half of -ack-wait, a request that hangs is one that
// failed: the update is retried before the stream would deliver it to another worker.
func TestTimeOfRetry(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name        string
		fault       couriertest.Fault
		least, most time.Duration
	}{
		{"503", couriertest.Fault{Status: 503}, 200 * time.Millisecond, stuck},
		{"hangs", couriertest.Fault{Delay: time.Hour}, 2 * time.Second, 3 * time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, js := newNATS(t)
			q := newQueueOf(t, js, 16)
			begins := make(chan time.Time, 10)
			f := newFake(t, func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					begins <- time.Now()
					next.ServeHTTP(w, r)
				})
			})
			f.Fail(test.fault)
			mustPublish(t, js, "1", "user-1", plan("1"))
			s := quick
			s.ackWait = 4 * time.Second
			s.retryWait, s.maxRetryWait = 200*time.Millisecond, 200*time.Millisecond
			w, _ := newWorker(t, js, f, s)
			runUntilEmpty(t, w, q)
			if n := len(begins); n != 2 {
				t.Fatalf("%d requests, want 2", n)
			}
			first := <-begins
			wait := (<-begins).Sub(first)
			if wait < test.least || wait > test.most {
				t.Errorf("the retry comes after %v, want %v to %v", wait, test.least, test.most)
			}
		})
	}
}

// Courier replays a 500 to its key, so each is followed by another key, and those that are
// used up by no key.
func TestKeysAfter500(t *testing.T) {
	t.Parallel()
	_, js := newNATS(t)
	q := newQueueOf(t, js, 16)
	f := newFake(t, nil)
	mustPublish(t, js, "1", "user-1", plan("1"))
	fault, pass := couriertest.Fault{Status: 500}, couriertest.Fault{}
	f.Fail(
		fault,
		pass, fault, // the first is a replay
		pass, pass, fault,
		pass, pass, pass, fault,
	)
	w, _ := newWorker(t, js, f, quick)
	runUntilEmpty(t, w, q)

	var got []string
	for _, r := range f.Requests() {
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
	checkPlan(t, f, "user-1", "1")
}

func TestGivesUp(t *testing.T) {
	t.Parallel()
	_, js := newNATS(t)
	q := newQueueOf(t, js, 16)
	f := newFake(t, nil)
	f.Fail(slices.Repeat([]couriertest.Fault{{Status: 503}}, 10)...)
	mustPublish(t, js, "1", "user-1", plan("1"))
	mustPublish(t, js, "2", "user-1", plan("2"))
	s := quick
	s.maxDeliveries = 10
	w, _ := newWorker(t, js, f, s)
	runUntilEmpty(t, w, q)
	header := deadLetters(t, js, 1)[0].Header
	if got := header.Get(deadReason); !strings.HasPrefix(got, "given up: courier: merge ") {
		t.Errorf("reason: %s", got)
	}
	if got := header.Get(deadDeliveries); got != "10" {
		t.Errorf("%s deliveries, want 10", got)
	}
	checkPlan(t, f, "user-1", "2")
}

// A repeated update changes nothing, not even when the stream has forgotten its ID.
func TestDuplicates(t *testing.T) {
	t.Parallel()
	_, js := newNATS(t)
	q := newQueueOf(t, js, 16)
	f := newFake(t, nil)
	w, _ := newWorker(t, js, f, quick)
	for i, isDuplicate := range []bool{false, true} {
		if got := mustPublish(t, js, "1", "user-1", plan("1")).Duplicate; got != isDuplicate {
			t.Errorf("publishing %d: duplicate=%t, want %t", i, got, isDuplicate)
		}
	}
	mustPublish(t, js, "2", "user-1", plan("2"))
	runUntilEmpty(t, w, q)
	if n := len(f.Requests()); n != 2 {
		t.Errorf("%d requests, want 2", n)
	}

	if err := js.DeleteStream(t.Context(), streamName); err != nil {
		t.Fatal(err)
	}
	q = newQueueOf(t, js, 16)
	mustPublish(t, js, "1", "user-1", plan("1"))
	runUntilEmpty(t, w, q)
	if n := len(f.Requests()); n != 3 {
		t.Errorf("%d requests, want 3", n)
	}
	checkPlan(t, f, "user-1", "2")
}

// An update that another worker has removed meanwhile, after another delivery, is as good
// as removed.
func TestRemovesOnce(t *testing.T) {
	t.Parallel()
	_, js := newNATS(t)
	q := newQueueOf(t, js, 1)
	mustPublish(t, js, "1", "user-1", plan("1"))
	msg, _ := nextOf(t, q, "user-1")
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

// An update that the stream does not delete is not acknowledged.
func TestRemoveRefused(t *testing.T) {
	t.Parallel()
	_, js := newNATS(t)
	q := newQueueOf(t, js, 1)
	mustPublish(t, js, "1", "user-1", plan("1"))
	msg, _ := nextOf(t, q, "user-1")
	config := q.stream.CachedInfo().Config
	config.DenyDelete = true
	if _, err := js.UpdateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	checkError(t, q.remove(t.Context(), msg, 1), "it is still there")
}

func TestJudge(t *testing.T) {
	t.Parallel()
	ofCourier := func(status int) courier.APIError {
		return courier.APIError{StatusCode: status, Type: "invalid_request_error"}
	}
	for _, test := range []struct {
		err  error
		want verdict
	}{
		{nil, done},
		{errMalformed, never},
		{&courier.ValidationError{}, never},
		{&courier.InvalidRequestError{APIError: ofCourier(400)}, never},
		{&courier.PayloadTooLargeError{APIError: ofCourier(413)}, never},
		{&courier.NotFoundError{APIError: ofCourier(404)}, never},
		{&courier.NotFoundError{APIError: courier.APIError{StatusCode: 404}}, again},
		{&courier.AuthenticationError{APIError: ofCourier(401)}, stop},
		{&courier.PermissionError{APIError: ofCourier(403)}, stop},
		{&courier.PermissionError{APIError: courier.APIError{StatusCode: 403}}, again},
		{&courier.ServerError{APIError: ofCourier(500)}, again},
		{&courier.APIError{StatusCode: http.StatusFound}, again},
		{&courier.UnexpectedResponseError{}, again},
		{&courier.ConnectionError{Err: context.DeadlineExceeded}, again},
	} {
		if got := judge(test.err); got != test.want {
			t.Errorf("judge(%T %v) is %d, want %d", test.err, test.err, got, test.want)
		}
	}
}

func TestWait(t *testing.T) {
	t.Parallel()
	w := &worker{settings: settings{retryWait: time.Second, maxRetryWait: time.Minute}}
	steady := &worker{settings: settings{retryWait: time.Second, maxRetryWait: time.Second}}
	asked := func(d time.Duration) error { return &courier.RateLimitError{RetryAfter: d} }
	for _, test := range []struct {
		name      string
		worker    *worker
		delivery  uint64
		err       error
		low, high time.Duration
	}{
		{"first", w, 1, nil, time.Second, 2 * time.Second},
		{"third", w, 3, nil, time.Second, 8 * time.Second},
		{"thousandth", w, 1000, nil, time.Second, time.Minute},
		{"Retry-After", w, 1, asked(5 * time.Second), 5 * time.Second, 5 * time.Second},
		{"a short Retry-After", w, 1, asked(1), time.Second, 2 * time.Second},
		{"a long Retry-After", w, 1, asked(10 * time.Minute), 10 * time.Minute, 10 * time.Minute},
		{"a day's Retry-After", w, 1, asked(24 * time.Hour), maxRetryAfter, maxRetryAfter},
		{"equal bounds", steady, 5, nil, time.Second, time.Second},
	} {
		least, most := time.Duration(1<<62), time.Duration(0)
		for range 1000 {
			wait := test.worker.wait(test.delivery, test.err)
			least, most = min(least, wait), max(most, wait)
		}
		if least < test.low || most > test.high {
			t.Errorf("%s: waits from %v to %v, want %v to %v",
				test.name, least, most, test.low, test.high)
		}
		if most-least < (test.high-test.low)/2 {
			t.Errorf("%s: waits from %v to %v, with hardly any jitter", test.name, least, most)
		}
	}
}
