package courier_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/http/httptrace"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	courier "github.com/courier-profiles/courier-go"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/jarcoal/httpmock"
)

// bulkServer is an http.RoundTripper in place of Courier. It keeps what it was sent, and
// counts what is in flight.
type bulkServer struct {
	respond httpmock.Responder
	started time.Time

	mu       sync.Mutex
	sent     []sentUpdate
	users    map[string]int // requests in flight, by user
	inFlight int
	most     int // the highest inFlight
	overlaps int // requests of a user who had one in flight
}

// sentUpdate is a request that was sent for an update.
type sentUpdate struct {
	Method, UserID, Body, Key string

	at time.Duration // since the server started
}

func newBulkServer(respond httpmock.Responder) *bulkServer {
	return &bulkServer{respond: respond, started: time.Now(), users: map[string]int{}}
}

// client returns a client that sends to the server and waits 30 s between retries.
func (s *bulkServer) client(t testing.TB, opts ...courier.Option) *courier.ProfilesService {
	t.Helper()
	wait := courier.WithRetryWait(30*time.Second, 30*time.Second)
	return newClient(t, s.roundTrip, append([]courier.Option{wait}, opts...)...).Profiles
}

func (s *bulkServer) roundTrip(req *http.Request) (*http.Response, error) {
	var body []byte
	if req.Body != nil {
		var err error
		if body, err = io.ReadAll(req.Body); err != nil {
			return nil, err
		}
	}
	userID := userIDOf(req)
	s.mu.Lock()
	s.sent = append(s.sent, sentUpdate{
		Method: req.Method,
		UserID: userID,
		Body:   string(body),
		Key:    req.Header.Get("Idempotency-Key"),
		at:     time.Since(s.started),
	})
	s.users[userID]++
	if s.users[userID] > 1 {
		s.overlaps++
	}
	s.inFlight++
	s.most = max(s.most, s.inFlight)
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.users[userID]--
		s.inFlight--
	}()
	return s.respond(req)
}

func userIDOf(req *http.Request) string {
	return strings.TrimPrefix(req.URL.Path, "/base/profiles/")
}

// sentTo returns the users of the requests, sorted.
func (s *bulkServer) sentTo() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var users []string
	for _, request := range s.sent {
		users = append(users, request.UserID)
	}
	slices.Sort(users)
	return users
}

// sentAt returns how many requests were sent at each time.
func (s *bulkServer) sentAt() map[time.Duration]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	times := map[time.Duration]int{}
	for _, request := range s.sent {
		times[request.at]++
	}
	return times
}

// Responders, beside those of helpers_test.go.

var (
	bulkSuccess = respond(http.StatusOK, success)
	// firewall403 and gateway401 respond in Courier's place, without the "type" of its errors.
	firewall403 = httpmock.NewStringResponder(http.StatusForbidden, "<h1>Forbidden</h1>").
			HeaderSet(http.Header{"Content-Type": {"text/html"}})
	gateway401 = respond(http.StatusUnauthorized, `{"message":"Unauthorized"}`)
)

// rejectWith responds with an error of Courier.
func rejectWith(status int) httpmock.Responder {
	return respond(status, `{"type":"some_error","message":"Some message"}`)
}

// throttleWith responds with a status and a Retry-After.
func throttleWith(status int, retryAfter string) httpmock.Responder {
	return rejectWith(status).HeaderAdd(http.Header{"Retry-After": {retryAfter}})
}

// respondAfter responds late, unless the request's context ends.
func respondAfter(d time.Duration, respond httpmock.Responder) httpmock.Responder {
	return func(req *http.Request) (*http.Response, error) {
		select {
		case <-time.After(d):
			return respond(req)
		case <-req.Context().Done():
			return nil, context.Cause(req.Context()) // as net/http does
		}
	}
}

// noConnection fails as net/http does where a process may open no more sockets: after GetConn,
// without GotConn.
func noConnection(req *http.Request) (*http.Response, error) {
	httptrace.ContextClientTrace(req.Context()).GetConn(req.URL.Host)
	return nil, syscall.EMFILE
}

// byUser responds to the requests of each user. Other users get a success after 20 s.
func byUser(responders map[string]httpmock.Responder) httpmock.Responder {
	return func(req *http.Request) (*http.Response, error) {
		if respond, ok := responders[userIDOf(req)]; ok {
			return respond(req)
		}
		return respondAfter(20*time.Second, bulkSuccess)(req)
	}
}

// bulkLimiter is a func as a rate limiter.
type bulkLimiter func(context.Context) error

func (f bulkLimiter) Wait(ctx context.Context) error { return f(ctx) }

// bulkInput yields n updates, or updates without end if n is negative.
type bulkInput struct {
	n      int
	users  []string     // of the first updates; each later update has a user of its own
	pulled atomic.Int64 // updates so far
}

// updatesOf returns one update for each of the users.
func updatesOf(users ...string) *bulkInput { return &bulkInput{n: len(users), users: users} }

func (in *bulkInput) updates(yield func(string, courier.Profile) bool) {
	for i := 0; i != in.n; i++ {
		in.pulled.Add(1)
		userID := fmt.Sprint("user-", i)
		if i < len(in.users) {
			userID = in.users[i]
		}
		if !yield(userID, numbered(i)) {
			return
		}
	}
}

// numbered returns the profile of update i.
func numbered(i int) courier.Profile {
	return courier.Profile{Nickname: courier.Set(fmt.Sprint(i))}
}

func numberedBody(i int) string { return fmt.Sprintf(`{"profile":{"nickname":"%d"}}`, i) }

// collectOutcomes returns the outcomes by index, and how long after the start of the loop each
// came. It fails unless there is exactly one for each of n updates.
func collectOutcomes(
	t testing.TB, n int, seq iter.Seq[courier.Outcome],
) (outcomes []courier.Outcome, at []time.Duration) {
	t.Helper()
	started := time.Now()
	outcomes, at = make([]courier.Outcome, n), make([]time.Duration, n)
	seen, count := make([]bool, n), 0
	for outcome := range seq {
		i := outcome.Index
		if i < 0 || i >= n {
			t.Fatalf("got an outcome of update %d (%v), want 0 to %d", i, outcome.Err, n-1)
		}
		if seen[i] {
			t.Fatalf("got a second outcome of update %d, want one", i)
		}
		hasResult, hasErr := outcome.Result != nil, outcome.Err != nil
		if hasResult == hasErr {
			t.Errorf("update %d: got the result %v and the error %v, want one of them",
				i, outcome.Result, outcome.Err)
		}
		outcomes[i], at[i] = outcome, time.Since(started)
		seen[i] = true
		count++
	}
	if count != n {
		t.Fatalf("got %d outcomes, want %d", count, n)
	}
	return outcomes, at
}

// errCaller is the caller's own error.
var errCaller = errors.New("the caller's own error")

// kindOf names everything that an error matches.
func kindOf(err error) string {
	if err == nil {
		return "success"
	}
	var kinds []string
	for _, known := range []struct {
		matches bool
		name    string
	}{
		{isA[*courier.AuthenticationError](err), "authentication"},
		{isA[*courier.PermissionError](err), "permission"},
		{isA[*courier.InvalidRequestError](err), "invalid request"},
		{isA[*courier.NotFoundError](err), "not found"},
		{isA[*courier.ConflictError](err), "conflict"},
		{isA[*courier.RateLimitError](err), "rate limit"},
		{isA[*courier.ServerError](err), "server"},
		{isA[*courier.UnexpectedResponseError](err), "unexpected"},
		{isA[*courier.ConnectionError](err), "connection"},
		{isA[*courier.ValidationError](err), "validation"},
		{errors.Is(err, courier.ErrNotSent), "not sent"},
		{errors.Is(err, context.Canceled), "canceled"},
		{errors.Is(err, context.DeadlineExceeded), "deadline"},
		{errors.Is(err, errCaller), "own"},
	} {
		if known.matches {
			kinds = append(kinds, known.name)
		}
	}
	if kinds == nil {
		return err.Error()
	}
	return strings.Join(kinds, ", ")
}

func kindsOf(outcomes []courier.Outcome) []string {
	var kinds []string
	for _, outcome := range outcomes {
		kinds = append(kinds, kindOf(outcome.Err))
	}
	return kinds
}

// countKinds returns how many outcomes there are of each kind.
func countKinds(outcomes []courier.Outcome) map[string]int {
	counts := map[string]int{}
	for _, kind := range kindsOf(outcomes) {
		counts[kind]++
	}
	return counts
}

// wantNoDiff fails unless got is want.
func wantNoDiff(t testing.TB, what string, want, got any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// bulkMethod is MergeAll, ReplaceAll, or DeleteAll.
type bulkMethod func(
	*courier.ProfilesService, context.Context, iter.Seq2[string, courier.Profile],
	...courier.BulkOption,
) iter.Seq[courier.Outcome]

var bulkMethods = map[string]bulkMethod{
	"MergeAll":   (*courier.ProfilesService).MergeAll,
	"ReplaceAll": (*courier.ProfilesService).ReplaceAll,
	"DeleteAll":  deleteAll,
}

// deleteAll is DeleteAll as a bulkMethod.
func deleteAll(
	s *courier.ProfilesService, ctx context.Context, updates iter.Seq2[string, courier.Profile],
	opts ...courier.BulkOption,
) iter.Seq[courier.Outcome] {
	if updates == nil {
		return s.DeleteAll(ctx, nil, opts...)
	}
	return s.DeleteAll(ctx, func(yield func(string) bool) {
		for userID := range updates {
			if !yield(userID) {
				return
			}
		}
	}, opts...)
}

func TestBulkRequests(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		want sentUpdate
	}{
		{"MergeAll", sentUpdate{Method: "POST", UserID: "a/b", Body: numberedBody(0)}},
		{"ReplaceAll", sentUpdate{Method: "PUT", UserID: "a/b", Body: numberedBody(0)}},
		{"DeleteAll", sentUpdate{Method: "DELETE", UserID: "a/b"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			server := newBulkServer(bulkSuccess)
			method := bulkMethods[test.name]
			seq := method(server.client(t), t.Context(), updatesOf("a/b").updates)
			outcomes, _ := collectOutcomes(t, 1, seq)
			want := []courier.Outcome{{
				UserID: "a/b",
				Result: &courier.Result{
					Status:   "SUCCESS",
					Response: courier.Response{StatusCode: 200, Attempts: 1},
				},
			}}
			anyHeader := cmpopts.IgnoreFields(courier.Response{}, "Header")
			if diff := cmp.Diff(want, outcomes, anyHeader); diff != "" {
				t.Errorf("outcomes (-want +got):\n%s", diff)
			}
			anyTime := cmpopts.IgnoreFields(sentUpdate{}, "at")
			if diff := cmp.Diff([]sentUpdate{test.want}, server.sent, anyTime); diff != "" {
				t.Errorf("sent (-want +got):\n%s", diff)
			}
		})
	}
}

// TestBulkBreak: all three stop pulling updates when the loop over the outcomes ends. They
// would not return otherwise, as the input has no end.
func TestBulkBreak(t *testing.T) {
	t.Parallel()
	for name, method := range bulkMethods {
		in := &bulkInput{n: -1}
		seq := method(newBulkServer(bulkSuccess).client(t), t.Context(), in.updates)
		for outcome := range seq {
			if outcome.Err != nil {
				t.Errorf("%s: got %v, want a success", name, outcome.Err)
			}
			break
		}
	}
}

// TestBulkInvalidUserIDs: an update with an invalid user ID holds no other update back, not
// even one with the same ID.
func TestBulkInvalidUserIDs(t *testing.T) {
	t.Parallel()
	in := updatesOf("", "ada", "", "..", "")
	server := newBulkServer(bulkSuccess)
	outcomes, _ := collectOutcomes(t, 5, server.client(t).MergeAll(t.Context(), in.updates))
	for _, i := range []int{0, 2, 3, 4} {
		err := outcomes[i].Err
		if _, ok := err.(*courier.ValidationError); !ok {
			t.Errorf("update %d: got %T (%v), want a *ValidationError", i, err, err)
		}
		if courier.Retryable(err) {
			t.Errorf("update %d: Retryable(%v) is true, want false", i, err)
		}
	}
	if outcomes[1].Err != nil {
		t.Errorf("the update of ada: got %v, want a success", outcomes[1].Err)
	}
}

func TestBulkWithoutUpdates(t *testing.T) {
	t.Parallel()
	for name, method := range bulkMethods {
		server := newBulkServer(bulkSuccess)
		outcomes := slices.Collect(method(server.client(t), t.Context(), updatesOf().updates))
		if len(outcomes) > 0 {
			t.Errorf("%s of nothing: got %v, want no outcome", name, outcomes)
		}
	}
}

// TestBulkInvalidArguments: what cannot start is one outcome, and nothing is pulled.
func TestBulkInvalidArguments(t *testing.T) {
	t.Parallel()
	merge := (*courier.ProfilesService).MergeAll
	key := courier.WithIdempotencyKeys(func(int, string) string { return "key" })
	var nilPointer *struct{ bulkLimiter } // a type that has Wait
	for _, test := range []struct {
		name   string
		method bulkMethod
		opt    courier.BulkOption
		field  string
	}{
		{"concurrency 0", merge, courier.WithConcurrency(0), "WithConcurrency"},
		{"concurrency -1", merge, courier.WithConcurrency(-1), "WithConcurrency"},
		{"concurrency 65537", merge, courier.WithConcurrency(65537), "WithConcurrency"},
		{"nil limiter", merge, courier.WithRateLimiter(nil), "WithRateLimiter"},
		{"nil pointer", merge, courier.WithRateLimiter(nilPointer), "WithRateLimiter"},
		{"nil func", merge, courier.WithRateLimiter(bulkLimiter(nil)), "WithRateLimiter"},
		{"nil key func", merge, courier.WithIdempotencyKeys(nil), "WithIdempotencyKeys"},
		{"keys of ReplaceAll", (*courier.ProfilesService).ReplaceAll, key, "WithIdempotencyKeys"},
		{"keys of DeleteAll", deleteAll, key, "WithIdempotencyKeys"},
		{"nil option", merge, nil, "opts"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			server, in := newBulkServer(bulkSuccess), &bulkInput{n: 20}
			valid := courier.WithConcurrency(1) // does not repair test.opt
			seq := test.method(server.client(t), t.Context(), in.updates, test.opt, valid)
			wantNotStarted(t, seq, test.field)
			if pulled := in.pulled.Load(); pulled != 0 {
				t.Errorf("%d updates were pulled, want none", pulled)
			}
		})
	}
	t.Run("nil context", func(t *testing.T) {
		t.Parallel()
		in := &bulkInput{n: 20}
		wantNotStarted(t, merge(newBulkServer(bulkSuccess).client(t), nil, in.updates), "ctx")
		if pulled := in.pulled.Load(); pulled != 0 {
			t.Errorf("%d updates were pulled, want none", pulled)
		}
	})
	t.Run("nil iterator", func(t *testing.T) {
		t.Parallel()
		client := newBulkServer(bulkSuccess).client(t)
		wantNotStarted(t, merge(client, t.Context(), nil), "updates")
		wantNotStarted(t, deleteAll(client, t.Context(), nil), "updates")
	})
}

// wantNotStarted fails unless there is one outcome, of no update, for an invalid field.
func wantNotStarted(t *testing.T, seq iter.Seq[courier.Outcome], field string) {
	t.Helper()
	outcomes := slices.Collect(seq)
	if len(outcomes) != 1 {
		t.Fatalf("got %d outcomes, want 1", len(outcomes))
	}
	if outcomes[0].Index != -1 {
		t.Errorf("got the index %d, want -1", outcomes[0].Index)
	}
	wantInvalid(t, outcomes[0].Err, field)
}

func TestBulkConcurrency(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		opts []courier.BulkOption
		want int // in flight, with 100 updates
	}{
		{"default", nil, 16},
		{"lowest", []courier.BulkOption{courier.WithConcurrency(1)}, 1},
		{"highest", []courier.BulkOption{courier.WithConcurrency(65536)}, 100},
		{
			name: "last one wins",
			opts: []courier.BulkOption{courier.WithConcurrency(5), courier.WithConcurrency(7)},
			want: 7,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				server := newBulkServer(respondAfter(time.Second, bulkSuccess))
				in := &bulkInput{n: 100}
				seq := server.client(t).MergeAll(t.Context(), in.updates, test.opts...)
				collectOutcomes(t, in.n, seq)
				if server.most != test.want {
					t.Errorf("%d updates were in flight, want %d", server.most, test.want)
				}
			})
		})
	}
}

// TestBulkOrder: updates of one user are sent in input order, each as soon as the one before
// it has its outcome. Updates of other users overlap with them.
func TestBulkOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		in := updatesOf("ada", "ada", "ada", "bob", "bob")
		ada := rejectWith(http.StatusInternalServerError).Then(bulkSuccess)
		server := newBulkServer(byUser(map[string]httpmock.Responder{
			"ada": respondAfter(time.Second, ada),
			"bob": respondAfter(time.Second, bulkSuccess),
		}))
		outcomes, at := collectOutcomes(t, 5, server.client(t).MergeAll(t.Context(), in.updates))
		wantNoDiff(t, "outcomes", slices.Repeat([]string{"success"}, 5), kindsOf(outcomes))
		wantNoDiff(t, "time of outcomes", []time.Duration{
			32 * time.Second, 33 * time.Second, 34 * time.Second, // ada's, with a retry
			time.Second, 2 * time.Second, // bob's
		}, at)
		var sent []string
		for _, request := range server.sent {
			if request.UserID == "ada" {
				sent = append(sent, request.Body)
			}
		}
		wantNoDiff(t, "sent to ada", []string{
			numberedBody(0), numberedBody(0), numberedBody(1), numberedBody(2),
		}, sent)
	})
}

// TestBulkFirstFailure: after a failure, no later update of that user is sent. Each of them
// wraps the first failure, and can be sent again.
func TestBulkFirstFailure(t *testing.T) {
	t.Parallel()
	pass := bulkLimiter(func(context.Context) error { return nil })
	var asked atomic.Int64
	refuseFirst := bulkLimiter(func(context.Context) error {
		if asked.Add(1) == 1 {
			return errCaller
		}
		return nil
	})
	allSent := []string{"ada", "bob", "bob"}
	for _, test := range []struct {
		name    string
		respond httpmock.Responder // to ada's updates
		limiter bulkLimiter
		first   string // outcome of ada's first update
		later   string // outcome of her later updates
		sent    []string
	}{
		{
			name: "400", respond: rejectWith(400), limiter: pass,
			first: "invalid request", later: "invalid request, not sent", sent: allSent,
		},
		{
			name: "5xx", respond: rejectWith(500), limiter: pass,
			first: "server", later: "server, not sent", sent: allSent,
		},
		{
			// A *ConnectionError would mean that the later update may have been sent.
			name: "connection", respond: fail(errCaller), limiter: pass,
			first: "connection, own", later: "not sent, own", sent: allSent,
		},
		{
			name: "unexpected response", respond: respond(200, "[]"), limiter: pass,
			first: "unexpected", later: "unexpected, not sent", sent: allSent,
		},
		{
			name: "limiter", respond: bulkSuccess, limiter: refuseFirst,
			first: "not sent, own", later: "not sent, own", sent: []string{"bob", "bob"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				server := newBulkServer(byUser(map[string]httpmock.Responder{
					"ada": test.respond,
				}))
				client := server.client(t, courier.WithMaxRetries(0))
				in := updatesOf("ada", "ada", "bob", "ada", "bob")
				outcomes, _ := collectOutcomes(t, 5, client.MergeAll(t.Context(), in.updates,
					courier.WithConcurrency(1), courier.WithRateLimiter(test.limiter)))
				wantNoDiff(t, "outcomes", []string{
					test.first, test.later, "success", test.later, "success",
				}, kindsOf(outcomes))
				first := outcomes[0].Err
				for _, i := range []int{1, 3} {
					err := outcomes[i].Err
					if !errors.Is(err, first) {
						t.Errorf("update %d: got %v, want an error that wraps %v", i, err, first)
					}
					if !courier.Retryable(err) {
						t.Errorf("update %d: Retryable(%v) is false, want true", i, err)
					}
				}
				// The text does not grow with each update.
				got, want := outcomes[3].Err.Error(), outcomes[1].Err.Error()
				if got != want {
					t.Errorf("update 3 says %q, want %q, as update 1 does", got, want)
				}
				wantNoDiff(t, "sent", test.sent, server.sentTo())
			})
		})
	}
}

// TestBulkInvalidUpdates: an update that cannot be sent has its outcome at once, even while a
// Retry-After pauses the run. The others continue.
func TestBulkInvalidUpdates(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		notText := courier.Profile{Nickname: courier.Set("\xff")}
		twice := courier.Profile{
			Nickname: courier.Set("a"),
			Extra:    map[string]any{"nickname": "b"},
		}
		updates := func(yield func(string, courier.Profile) bool) {
			for i, update := range []struct {
				userID  string
				profile courier.Profile
			}{
				{"throttled", numbered(0)},
				{"..", numbered(1)},
				{"bob", notText},
				{"eve", twice},
				{"key", numbered(4)},
				{"valid", numbered(5)},
			} {
				if i == 1 {
					time.Sleep(2 * time.Second) // until the run is paused
				}
				if !yield(update.userID, update.profile) {
					return
				}
			}
		}
		var asked []string
		keys := func(_ int, userID string) string {
			asked = append(asked, userID)
			if userID == "key" {
				return "line\nbreak"
			}
			return ""
		}
		throttled := throttleWith(http.StatusTooManyRequests, "10").Then(bulkSuccess)
		server := newBulkServer(byUser(map[string]httpmock.Responder{
			"throttled": respondAfter(time.Second, throttled),
			"valid":     bulkSuccess,
		}))
		client := server.client(t, courier.WithRetryWait(0, 0))
		outcomes, at := collectOutcomes(t, 6, client.MergeAll(t.Context(), updates,
			courier.WithConcurrency(1), courier.WithIdempotencyKeys(keys)))
		invalid := "validation, not sent"
		wantNoDiff(t, "outcomes",
			[]string{"success", invalid, invalid, invalid, invalid, "success"}, kindsOf(outcomes))
		wantInvalid(t, outcomes[1].Err, "userID")
		wantInvalid(t, outcomes[2].Err, "profile.nickname")
		wantInvalid(t, outcomes[3].Err, "profile.nickname")
		wantInvalid(t, outcomes[4].Err, "WithIdempotencyKey")
		wantNoDiff(t, "time of outcomes of invalid updates",
			slices.Repeat([]time.Duration{2 * time.Second}, 4), at[1:5])
		wantNoDiff(t, "sent", []string{"throttled", "throttled", "valid"}, server.sentTo())
		wantNoDiff(t, "asked for keys", []string{"throttled", "key", "valid"}, asked)
	})
}

// TestBulkReusedProfile: an update is serialized before the next one is pulled, even if it is
// sent later.
func TestBulkReusedProfile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const n, users = 100, 7 // so that updates wait for others of the same user
		custom := map[string]any{}
		updates := func(yield func(string, courier.Profile) bool) {
			for i := range n {
				custom["i"] = i
				profile := courier.Profile{Custom: courier.Set(custom)}
				if !yield(fmt.Sprint("user-", i%users), profile) {
					return
				}
			}
		}
		server := newBulkServer(respondAfter(time.Second, bulkSuccess))
		collectOutcomes(t, n, server.client(t).MergeAll(t.Context(), updates))
		var want, got []string
		for i := range n {
			want = append(want, fmt.Sprintf(`{"profile":{"custom":{"i":%d}}}`, i))
		}
		for _, request := range server.sent {
			got = append(got, request.Body)
		}
		slices.Sort(want)
		slices.Sort(got)
		wantNoDiff(t, "sent", want, got)
	})
}

// TestBulkRateLimiter: the limiter is asked before every attempt. If it refuses, that attempt
// is not made, and its update ends. Updates of other users are sent.
func TestBulkRateLimiter(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name     string
		refuseAt int64              // the call of Wait to refuse, from 1
		ada      httpmock.Responder // to ada's update
		want     string             // outcome of ada's update
	}{
		{"before the first attempt", 1, bulkSuccess, "not sent, own"},
		{"before a retry", 2, rejectWith(503), "server, own"},
		{"before a retry of an error", 2, fail(io.ErrUnexpectedEOF), "connection, own"},
		{"before the second retry", 3, rejectWith(429), "rate limit, own"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var calls atomic.Int64
				refuse := bulkLimiter(func(context.Context) error {
					if calls.Add(1) == test.refuseAt {
						return fmt.Errorf("limiter: %w", errCaller)
					}
					return nil
				})
				server := newBulkServer(byUser(map[string]httpmock.Responder{
					"ada": test.ada,
					"bob": bulkSuccess,
				}))
				outcomes, _ := collectOutcomes(t, 2, server.client(t).MergeAll(
					t.Context(), updatesOf("ada", "bob").updates,
					courier.WithConcurrency(1), courier.WithRateLimiter(refuse)))
				wantNoDiff(t, "outcomes", []string{test.want, "success"}, kindsOf(outcomes))
				// The last call is for bob, the one before it is refused.
				if got, want := calls.Load(), test.refuseAt+1; got != want {
					t.Errorf("the limiter was asked %d times, want %d", got, want)
				}
				if got, want := int64(len(server.sent)), test.refuseAt; got != want {
					t.Errorf("%d requests were sent, want %d", got, want)
				}
			})
		})
	}
}

// TestBulkRateLimiterTypes: any type that has Wait is a limiter.
func TestBulkRateLimiterTypes(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	wait := bulkLimiter(func(context.Context) error {
		asked.Add(1)
		return nil
	})
	for _, limiter := range []interface{ Wait(context.Context) error }{
		wait, &wait, struct{ bulkLimiter }{wait},
	} {
		asked.Store(0)
		seq := newBulkServer(bulkSuccess).client(t).MergeAll(t.Context(), updatesOf("ada").updates,
			courier.WithRateLimiter(limiter))
		collectOutcomes(t, 1, seq)
		if asked.Load() != 1 {
			t.Errorf("a %T was asked %d times, want once", limiter, asked.Load())
		}
	}
}

// TestBulkIdempotencyKeys: every attempt of an update has the key that the caller's func
// returned for it. The func runs in the goroutine of the input: as they share a variable, the
// race detector would report two goroutines.
func TestBulkIdempotencyKeys(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var row string
		updates := func(yield func(string, courier.Profile) bool) {
			for i, key := range []string{"event-1", "", "event-2"} {
				row = key
				if !yield(fmt.Sprint("user-", i), numbered(i)) {
					return
				}
			}
		}
		var asked []string
		keys := func(index int, userID string) string {
			asked = append(asked, fmt.Sprint(index, " ", userID))
			return row
		}
		server := newBulkServer(byUser(map[string]httpmock.Responder{
			"user-0": rejectWith(503).Then(rejectWith(503)).Then(bulkSuccess),
			"user-1": bulkSuccess,
			"user-2": rejectWith(500), // which Courier would replay
		}))
		outcomes, _ := collectOutcomes(t, 3, server.client(t).MergeAll(t.Context(), updates,
			courier.WithIdempotencyKeys(keys)))
		wantNoDiff(t, "outcomes", []string{"success", "success", "server"}, kindsOf(outcomes))
		wantNoDiff(t, "asked for", []string{"0 user-0", "1 user-1", "2 user-2"}, asked)
		got := map[string][]string{}
		for _, request := range server.sent {
			got[request.UserID] = append(got[request.UserID], request.Key)
		}
		wantNoDiff(t, "keys", map[string][]string{
			"user-0": {"event-1", "event-1", "event-1"},
			"user-1": {""},
			"user-2": {"event-2"},
		}, got)
	})
}

// TestBulkIteratorTwice: each loop over the iterator is a run of its own, even while others
// are running.
func TestBulkIteratorTwice(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server, in := newBulkServer(respondAfter(time.Second, bulkSuccess)), &bulkInput{n: 40}
		seq := server.client(t).MergeAll(t.Context(), in.updates, courier.WithConcurrency(4))
		collectOutcomes(t, 40, seq)
		var loops sync.WaitGroup
		var runs [3][]courier.Outcome
		for i := range runs {
			loops.Go(func() { runs[i] = slices.Collect(seq) })
		}
		loops.Wait()
		for _, run := range runs {
			collectOutcomes(t, 40, slices.Values(run))
		}
		if server.most != 3*4 {
			t.Errorf("%d updates were in flight, want 4 in each of 3 runs", server.most)
		}
		if len(server.sent) != 4*40 {
			t.Errorf("%d requests were sent, want 40 in each of 4 runs", len(server.sent))
		}
	})
}

// TestBulkHeap: a run keeps nothing of users whose updates succeeded.
func TestBulkHeap(t *testing.T) { // not parallel, as other tests use the heap too
	n := 50_000
	if testing.Short() {
		n = 10_000
	}
	if growth := heapGrowth(t, n); growth > 1<<20 {
		t.Errorf("the heap grew by %d bytes over %d updates, want at most 1 MiB", growth, n)
	}
}

// BenchmarkMergeAllHeap shows the same for any number of updates: -benchtime=1000000x.
func BenchmarkMergeAllHeap(b *testing.B) {
	b.ReportMetric(float64(heapGrowth(b, b.N))/1024, "heap-KiB")
}

// heapGrowth merges n profiles of as many users, and returns how much larger the heap is
// near the end than it was near the start.
func heapGrowth(t testing.TB, n int) (bytes int64) {
	client := newClient(t, func(*http.Request) (*http.Response, error) {
		return httpmock.NewStringResponse(http.StatusNoContent, ""), nil
	})
	in := &bulkInput{n: n}
	var yielded int
	var nearStart, nearEnd int64
	for outcome := range client.Profiles.MergeAll(t.Context(), in.updates) {
		if outcome.Err != nil {
			t.Fatalf("update %d: got %v, want a success", outcome.Index, outcome.Err)
		}
		yielded++
		switch yielded {
		case n / 10:
			nearStart = liveHeap()
		case n - n/10:
			nearEnd = liveHeap()
		}
	}
	return nearEnd - nearStart
}
