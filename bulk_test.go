package courier_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	courier "github.com/courier-profiles/courier-go"
)

// bulkServer is a RoundTripper in place of Courier. It keeps what it was sent.
type bulkServer struct {
	respond func(bulkRequest) bulkResponse
	start   time.Time

	mu       sync.Mutex
	requests []bulkRequest
	tries    map[string]int // by user and body
	users    map[string]int // requests in flight, by user
	inFlight int
	most     int // the highest inFlight
	overlaps int // requests for a user that had one in flight
}

type bulkRequest struct {
	method, userID, body, key string
	try                       int           // of the same body, from 1
	at                        time.Duration // since the start
}

// bulkResponse is 200 if neither status nor err is set.
type bulkResponse struct {
	after      time.Duration
	status     int
	retryAfter string
	err        error
	deaf       bool   // responds even if the request's context has ended
	fail       func() // is called in place of a response
}

func bulkNewServer(respond func(bulkRequest) bulkResponse) *bulkServer {
	return &bulkServer{respond: respond, start: time.Now(), tries: map[string]int{}, users: map[string]int{}}
}

// bulkByUser responds by user. Users without a response get success after a minute.
func bulkByUser(responses map[string]bulkResponse) *bulkServer {
	return bulkNewServer(func(r bulkRequest) bulkResponse {
		if response, ok := responses[r.userID]; ok {
			return response
		}
		return bulkResponse{after: time.Minute}
	})
}

// bulkTakes responds to every request with success.
func bulkTakes(d time.Duration) *bulkServer {
	return bulkNewServer(func(bulkRequest) bulkResponse { return bulkResponse{after: d} })
}

func (s *bulkServer) RoundTrip(req *http.Request) (*http.Response, error) {
	r := bulkRequest{method: req.Method, userID: strings.TrimPrefix(req.URL.Path, "/base/v1/profiles/"), key: req.Header.Get("Idempotency-Key")}
	if req.Body != nil {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return nil, err
		}
		r.body = string(body)
	}
	defer s.begin(&r)()
	response := s.respond(r)
	if response.fail != nil {
		response.fail()
	}
	wait := time.NewTimer(response.after)
	defer wait.Stop()
	if response.deaf {
		<-wait.C
	} else {
		select {
		case <-wait.C:
		case <-req.Context().Done():
			return nil, context.Cause(req.Context()) // as net/http does
		}
	}
	if response.err != nil {
		return nil, response.err
	}
	header := http.Header{"Content-Type": {"application/json"}}
	status, body := http.StatusOK, `{"status":"SUCCESS"}`
	if response.status != 0 {
		status, body = response.status, `{"type":"some_error","message":"Some message"}`
	}
	if response.retryAfter != "" {
		header.Set("Retry-After", response.retryAfter)
	}
	return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(strings.NewReader(body)), Request: req}, nil
}

// begin keeps a request; the func it returns ends the request.
func (s *bulkServer) begin(r *bulkRequest) func() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tries[r.userID+r.body]++
	r.at, r.try = time.Since(s.start), s.tries[r.userID+r.body]
	s.requests = append(s.requests, *r)
	if s.users[r.userID]++; s.users[r.userID] > 1 {
		s.overlaps++
	}
	s.inFlight++
	s.most = max(s.most, s.inFlight)
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.users[r.userID]--
		s.inFlight--
	}
}

// sent returns the user ids of the requests, in order.
func (s *bulkServer) sent() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var users []string
	for _, r := range s.requests {
		users = append(users, r.userID)
	}
	return users
}

func bulkClient(t testing.TB, server http.RoundTripper, opts ...courier.Option) *courier.Client {
	t.Helper()
	return newTestClient(t, server, append([]courier.Option{courier.WithRetryWait(30*time.Second, 30*time.Second)}, opts...)...)
}

// bulkInput yields n updates, or updates without end if n is negative. The first ones
// are those of the users; all others have a user of their own.
type bulkInput struct {
	n      int
	users  []string
	pulled atomic.Int64
}

func (in *bulkInput) updates(yield func(string, courier.Profile) bool) {
	for i := 0; i != in.n; i++ {
		in.pulled.Add(1)
		userID := fmt.Sprint("user-", i)
		if i < len(in.users) {
			userID = in.users[i]
		}
		if !yield(userID, bulkProfile(i)) {
			return
		}
	}
}

func bulkProfile(i int) courier.Profile { return courier.Profile{Nickname: courier.Set(fmt.Sprint(i))} }

func bulkBody(i int) string { return fmt.Sprintf(`{"profile":{"nickname":"%d"}}`, i) }

// bulkCollect returns the outcomes by index, and when they came. It fails unless there
// is exactly one for each of n updates.
func bulkCollect(t testing.TB, n int, seq iter.Seq[courier.Outcome]) ([]courier.Outcome, []time.Duration) {
	t.Helper()
	start := time.Now()
	outcomes, at, count := make([]courier.Outcome, n), make([]time.Duration, n), 0
	for outcome := range seq {
		count++
		if outcome.Index < 0 || outcome.Index >= n || outcomes[outcome.Index].UserID != "" {
			t.Fatalf("an outcome of update %d, with %d updates", outcome.Index, n)
		}
		if (outcome.Result == nil) == (outcome.Err == nil) {
			t.Errorf("update %d has the result %v and the error %v", outcome.Index, outcome.Result, outcome.Err)
		}
		outcomes[outcome.Index], at[outcome.Index] = outcome, time.Since(start)
	}
	if count != n {
		t.Fatalf("%d outcomes, want %d", count, n)
	}
	return outcomes, at
}

// bulkKind names what an error matches.
func bulkKind(err error) string {
	if err == nil {
		return "success"
	}
	var kinds []string
	add := func(ok bool, name string) {
		if ok {
			kinds = append(kinds, name)
		}
	}
	add(matches[*courier.AuthenticationError](err), "authentication")
	add(matches[*courier.PermissionError](err), "permission")
	add(matches[*courier.InvalidRequestError](err), "invalid request")
	add(matches[*courier.RateLimitError](err), "rate limit")
	add(matches[*courier.ServerError](err), "server")
	add(matches[*courier.ConnectionError](err), "connection")
	add(matches[*courier.ValidationError](err), "validation")
	add(errors.Is(err, courier.ErrNotSent), "not sent")
	add(errors.Is(err, context.Canceled), "canceled")
	add(errors.Is(err, context.DeadlineExceeded), "deadline")
	add(errors.Is(err, errBulk), "own")
	return strings.Join(kinds, ", ")
}

func bulkKinds(outcomes []courier.Outcome) []string {
	var kinds []string
	for _, outcome := range outcomes {
		kinds = append(kinds, bulkKind(outcome.Err))
	}
	return kinds
}

// bulkDiff fails the test if got is not want.
func bulkDiff(t testing.TB, what string, want, got any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

var errBulk = errors.New("the caller's own error")

// bulkLets lets n requests go and blocks others until their context ends.
func bulkLets(n int64, err error) limiterFunc {
	var calls atomic.Int64
	return func(ctx context.Context) error {
		if calls.Add(1) > n {
			<-ctx.Done()
			return err
		}
		return nil
	}
}

// TestBulkRequests: the three methods differ only in what they send.
func TestBulkRequests(t *testing.T) {
	t.Parallel()
	deleteAll := func(s *courier.ProfilesService, ctx context.Context, updates iter.Seq2[string, courier.Profile], opts ...courier.BulkOption) iter.Seq[courier.Outcome] {
		return s.DeleteAll(ctx, func(yield func(string) bool) {
			for userID := range updates {
				if !yield(userID) {
					return
				}
			}
		}, opts...)
	}
	for _, test := range []struct {
		name, method, body string
		all                func(*courier.ProfilesService, context.Context, iter.Seq2[string, courier.Profile], ...courier.BulkOption) iter.Seq[courier.Outcome]
	}{
		{"MergeAll", "POST", bulkBody(0), (*courier.ProfilesService).MergeAll},
		{"ReplaceAll", "PUT", bulkBody(0), (*courier.ProfilesService).ReplaceAll},
		{"DeleteAll", "DELETE", "", deleteAll},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			server := bulkTakes(0)
			in := &bulkInput{n: 1, users: []string{"a/b"}}
			outcomes, _ := bulkCollect(t, 1, test.all(bulkClient(t, server).Profiles, t.Context(), in.updates))
			if o := outcomes[0]; o.UserID != "a/b" || o.Err != nil || o.Result.Status != "SUCCESS" || o.Result.StatusCode != 200 || o.Result.Attempts != 1 {
				t.Errorf("outcome %+v", o)
			}
			r := server.requests[0]
			bulkDiff(t, "sent", []string{test.method, "a/b", test.body}, []string{r.method, r.userID, r.body})
			for range test.all(bulkClient(t, server).Profiles, t.Context(), (&bulkInput{n: -1}).updates) {
				break
			}
		})
	}
}

// TestBulkOrder has users with many updates each, responses that take their time, and
// failures that are retried.
func TestBulkOrder(t *testing.T) {
	t.Parallel()
	const updates, users, concurrency = 500, 70, 32
	synctest.Test(t, func(t *testing.T) {
		random := rand.New(rand.NewPCG(1, 0))
		in, want := &bulkInput{n: updates}, map[string][]string{}
		for i := range updates {
			userID := fmt.Sprint("user-", random.IntN(users))
			in.users = append(in.users, userID)
			want[userID] = append(want[userID], bulkBody(i))
		}
		server := bulkNewServer(func(r bulkRequest) bulkResponse {
			// A source of its own, because requests come in any order.
			random := rand.New(rand.NewPCG(uint64(len(r.body)*r.try), uint64(r.at)))
			response := bulkResponse{after: time.Duration(1+random.IntN(50)) * time.Millisecond}
			if failures := []bulkResponse{{status: 503}, {status: 429, retryAfter: "1"}, {err: io.ErrUnexpectedEOF}}; r.try < 3 && random.IntN(20) < 4 {
				response = failures[random.IntN(len(failures))]
			}
			return response
		})
		client := bulkClient(t, server, courier.WithRetryWait(time.Millisecond, time.Second))
		outcomes, _ := bulkCollect(t, updates, client.Profiles.MergeAll(t.Context(), in.updates, courier.WithConcurrency(concurrency)))
		for i, outcome := range outcomes {
			if outcome.Err != nil || outcome.UserID != in.users[i] {
				t.Fatalf("update %d: %+v", i, outcome)
			}
		}
		got := map[string][]string{}
		for _, r := range server.requests {
			got[r.userID] = slices.Compact(append(got[r.userID], r.body)) // a retry is in its update's place
		}
		bulkDiff(t, "each user's updates", want, got)
		if server.overlaps > 0 || server.most != concurrency || len(server.requests) < updates+20 {
			t.Errorf("%d requests, %d while one of the same user was in flight; at most %d in flight, want %d", len(server.requests), server.overlaps, server.most, concurrency)
		}
	})
}

// TestBulkNextWaitsForRetries: a user's next update waits until the one before has an
// outcome, also if that is a failure. Those of others do not.
func TestBulkNextWaitsForRetries(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		in := &bulkInput{n: 5, users: []string{"ada", "ada", "ada", "bob", "bob"}}
		server := bulkNewServer(func(r bulkRequest) bulkResponse {
			response := bulkResponse{after: time.Second}
			switch {
			case r.body == bulkBody(0) && r.try == 1:
				response.status = 500
			case r.body == bulkBody(1):
				response.status = 400
			}
			return response
		})
		client := bulkClient(t, server, courier.WithRetryWait(5*time.Second, 5*time.Second))
		outcomes, at := bulkCollect(t, 5, client.Profiles.MergeAll(t.Context(), in.updates))
		bulkDiff(t, "outcomes", []string{"success", "invalid request", "success", "success", "success"}, bulkKinds(outcomes))
		bulkDiff(t, "outcomes came after", []time.Duration{7 * time.Second, 8 * time.Second, 9 * time.Second, time.Second, 2 * time.Second}, at)
		if n := outcomes[0].Result.Attempts; n != 2 {
			t.Errorf("%d attempts, want 2", n)
		}
	})
}

// TestBulkBuffers: updates are pulled only when there is room for them.
func TestBulkBuffers(t *testing.T) {
	t.Parallel()
	for size, held := range map[int]int{100: 64 * 16, 1 << 20: 16} { // of a body, and how many are pulled
		synctest.Test(t, func(t *testing.T) {
			profile := courier.Profile{Nickname: courier.Set(strings.Repeat("x", size-len(`{"profile":{"nickname":""}}`)))}
			var pulled atomic.Int64
			updates := func(yield func(string, courier.Profile) bool) {
				for yield(fmt.Sprint("user-", pulled.Add(1)), profile) {
				}
			}
			merged := bulkClient(t, bulkTakes(time.Second)).Profiles.MergeAll(t.Context(), updates, courier.WithConcurrency(64))
			time.Sleep(time.Hour)
			if n := pulled.Load(); n != 0 {
				t.Errorf("%d updates were pulled before the loop", n)
			}
			n := 0
			for range merged {
				time.Sleep(time.Hour)
				if got, want := int(pulled.Load()), n+held; got != want {
					t.Errorf("%d updates of %d bytes were pulled while the loop was at outcome %d, want %d", got, size, n, want)
				}
				if n++; n == 3 {
					break
				}
			}
		})
	}
}

// TestBulkSerializesAtOnce: the input may reuse its maps.
func TestBulkSerializesAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const n = 100
		updates := func(yield func(string, courier.Profile) bool) {
			list, custom := []any{0}, map[string]any{}
			for i := range n {
				list[0], custom["list"] = i, list
				if !yield(fmt.Sprint("user-", i%7), courier.Profile{Custom: courier.Set(custom)}) {
					return
				}
				clear(custom)
			}
		}
		server := bulkTakes(time.Second)
		bulkCollect(t, n, bulkClient(t, server).Profiles.MergeAll(t.Context(), updates))
		want, got := map[string]int{}, map[string]int{}
		for i := range n {
			want[fmt.Sprintf(`{"profile":{"custom":{"list":[%d]}}}`, i)] = 1
			got[server.requests[i].body]++
		}
		bulkDiff(t, "sent", want, got)
	})
}

// TestBulkInvalidUpdates: an invalid profile is an outcome at once, an invalid user id
// in its turn, and the others go on.
func TestBulkInvalidUpdates(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		updates := func(yield func(string, courier.Profile) bool) {
			_ = yield("ada", bulkProfile(0)) &&
				yield("ada", courier.Profile{Nickname: courier.Set("\xff")}) &&
				yield("..", bulkProfile(2)) &&
				yield("ada", bulkProfile(3)) &&
				yield("ada", courier.Profile{Nickname: courier.Set("x"), Extra: map[string]any{"nickname": 1}}) &&
				yield("bob", bulkProfile(5))
		}
		server := bulkTakes(time.Second)
		outcomes, at := bulkCollect(t, 6, bulkClient(t, server).Profiles.MergeAll(t.Context(), updates))
		refused := "validation, not sent"
		bulkDiff(t, "outcomes", []string{"success", refused, refused, "success", refused, "success"}, bulkKinds(outcomes))
		bulkDiff(t, "outcomes came after", []time.Duration{time.Second, 0, 0, 2 * time.Second, 0, time.Second}, at)
		bulkDiff(t, "sent to", []string{"ada", "ada", "bob"}, slices.Sorted(slices.Values(server.sent())))
	})
}

// TestBulkCongestion: all responses take a second, so the requests that begin at the
// same time are those in flight.
func TestBulkCongestion(t *testing.T) {
	t.Parallel()
	halves, steady := []int{16, 8, 9, 10, 11}, []int{16, 16, 16, 6}
	breaks := bulkResponse{err: io.ErrUnexpectedEOF}
	for _, test := range []struct {
		name        string
		first, then bulkResponse // of the first 16, and of the others
		want        []int
	}{
		{"429", bulkResponse{status: 429}, bulkResponse{}, halves},
		{"503", bulkResponse{status: 503}, bulkResponse{}, halves},
		{"timeout", bulkResponse{after: time.Hour}, bulkResponse{}, halves},
		{"500", bulkResponse{status: 500}, bulkResponse{}, steady},
		{"409", bulkResponse{status: 409}, bulkResponse{}, steady},
		{"connection error", breaks, bulkResponse{}, steady},
		{"429, then 400", bulkResponse{status: 429}, bulkResponse{status: 400}, halves},
		{"429, then connection errors", bulkResponse{status: 429}, breaks, []int{16, 8, 8, 8, 8, 6}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				server := bulkNewServer(func(r bulkRequest) bulkResponse {
					response := test.then
					if r.at == 0 {
						response = test.first
					}
					response.after += time.Second
					return response
				})
				opts := []courier.Option{courier.WithTimeout(5 * time.Second), courier.WithMaxRetries(0)}
				if test.name == "503" { // an observer does not prevent it
					opts = append(opts, new(observer).option())
				}
				client := bulkClient(t, server, opts...)
				bulkCollect(t, 54, client.Profiles.MergeAll(t.Context(), (&bulkInput{n: 54}).updates))
				inFlight := map[time.Duration]int{}
				for _, r := range server.requests {
					inFlight[r.at]++
				}
				var got []int
				for _, r := range server.requests {
					if n, ok := inFlight[r.at]; ok {
						got = append(got, n)
						delete(inFlight, r.at)
					}
				}
				bulkDiff(t, "in flight", test.want, got)
			})
		})
	}
}

// TestBulkRateLimiter: the limiter is asked before every attempt. If it fails, that update
// is not sent or not retried; the others are.
func TestBulkRateLimiter(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		failAt int64 // call of Wait
		first  bulkResponse
		want   string
	}{
		{"before the first attempt", 1, bulkResponse{}, "not sent, own"},
		{"before a retry", 2, bulkResponse{status: 503}, "server, own"},
		{"before a retry of an error", 2, bulkResponse{err: io.ErrUnexpectedEOF}, "connection, own"},
		{"before the second retry", 3, bulkResponse{status: 429}, "rate limit, own"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var calls atomic.Int64
				limiter := limiterFunc(func(context.Context) error {
					if calls.Add(1) == test.failAt {
						return fmt.Errorf("limiter: %w", errBulk)
					}
					return nil
				})
				server := bulkNewServer(func(r bulkRequest) bulkResponse {
					if r.body == bulkBody(0) {
						return test.first
					}
					return bulkResponse{}
				})
				in := &bulkInput{n: 2, users: []string{"ada", "ada"}}
				outcomes, _ := bulkCollect(t, 2, bulkClient(t, server).Profiles.MergeAll(t.Context(), in.updates, courier.WithRateLimiter(limiter)))
				bulkDiff(t, "outcomes", []string{test.want, "success"}, bulkKinds(outcomes))
				if n := int64(len(server.requests)); n != test.failAt {
					t.Errorf("%d requests, want %d", n, test.failAt)
				}
			})
		})
	}
}

// TestBulkIdempotencyKeys: the input and the function for keys share a variable, which
// the race detector allows only because they run on the same goroutine.
func TestBulkIdempotencyKeys(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var row string
		updates := func(yield func(string, courier.Profile) bool) {
			for i, name := range []string{"event-1", "", "line\nbreak", "event-2"} {
				if row = name; !yield(fmt.Sprint("user-", i), bulkProfile(i)) {
					return
				}
			}
		}
		var asked []string
		keys := func(index int, userID string) string {
			asked = append(asked, fmt.Sprint(index, " ", userID))
			return row
		}
		server := bulkNewServer(func(r bulkRequest) bulkResponse {
			switch {
			case r.userID == "user-0" && r.try < 3:
				return bulkResponse{status: 503}
			case r.userID == "user-3":
				return bulkResponse{status: 500} // which Courier would replay
			}
			return bulkResponse{}
		})
		outcomes, _ := bulkCollect(t, 4, bulkClient(t, server).Profiles.MergeAll(t.Context(), updates, courier.WithIdempotencyKeys(keys)))
		bulkDiff(t, "outcomes", []string{"success", "success", "validation, not sent", "server"}, bulkKinds(outcomes))
		bulkDiff(t, "asked for", []string{"0 user-0", "1 user-1", "2 user-2", "3 user-3"}, asked)
		got := map[string][]string{}
		for _, r := range server.requests {
			got[r.userID] = append(got[r.userID], r.key)
		}
		bulkDiff(t, "keys", map[string][]string{"user-0": {"event-1", "event-1", "event-1"}, "user-1": {""}, "user-3": {"event-2"}}, got)
	})
}

// TestBulkRefused: an invalid option is the outcome of every update, and a nil iterator one
// outcome.
func TestBulkRefused(t *testing.T) {
	t.Parallel()
	keys := courier.WithIdempotencyKeys(func(int, string) string { return "key" })
	merge, replace := (*courier.ProfilesService).MergeAll, (*courier.ProfilesService).ReplaceAll
	for _, test := range []struct {
		name  string
		all   func(*courier.ProfilesService, context.Context, iter.Seq2[string, courier.Profile], ...courier.BulkOption) iter.Seq[courier.Outcome]
		ctx   context.Context
		opts  []courier.BulkOption
		field string // "": it is accepted
	}{
		{"concurrency 1", merge, t.Context(), []courier.BulkOption{courier.WithConcurrency(1)}, ""},
		{"concurrency 65536", merge, t.Context(), []courier.BulkOption{courier.WithConcurrency(2), courier.WithConcurrency(1 << 16)}, ""},
		{"concurrency 0", merge, t.Context(), []courier.BulkOption{courier.WithConcurrency(0), courier.WithConcurrency(1)}, "WithConcurrency"},
		{"concurrency 65537", merge, t.Context(), []courier.BulkOption{courier.WithConcurrency(1<<16 + 1)}, "WithConcurrency"},
		{"nil limiter", merge, t.Context(), []courier.BulkOption{courier.WithRateLimiter(nil)}, "WithRateLimiter"},
		{"nil keys", merge, t.Context(), []courier.BulkOption{courier.WithIdempotencyKeys(nil)}, "WithIdempotencyKeys"},
		{"keys for ReplaceAll", replace, t.Context(), []courier.BulkOption{keys}, "WithIdempotencyKeys"},
		{"nil option", merge, t.Context(), []courier.BulkOption{courier.WithConcurrency(4), nil}, "opts"},
		{"nil context", merge, nil, nil, "ctx"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			in, server := &bulkInput{n: 20}, bulkTakes(0)
			seq := test.all(bulkClient(t, server).Profiles, test.ctx, in.updates, test.opts...)
			outcomes, _ := bulkCollect(t, 20, seq)
			sent := 20
			if test.field != "" {
				sent = 0
			}
			for i, outcome := range outcomes {
				refusal, ok := errors.AsType[*courier.ValidationError](outcome.Err)
				if ok != (test.field != "") || ok && refusal.Field != test.field || outcome.UserID != fmt.Sprint("user-", i) {
					t.Errorf("update %d: %+v", i, outcome)
				}
			}
			if n := len(server.requests); n != sent {
				t.Errorf("%d requests, want %d", n, sent)
			}
		})
	}
	in := &bulkInput{n: 20}
	for range bulkClient(t, bulkTakes(0)).Profiles.MergeAll(t.Context(), in.updates, nil) {
		break
	}
	if n := in.pulled.Load(); n != 1 {
		t.Errorf("%d updates were pulled, want 1", n)
	}
	s := bulkClient(t, bulkTakes(0)).Profiles
	for name, seq := range map[string]iter.Seq[courier.Outcome]{"MergeAll": s.MergeAll(t.Context(), nil), "DeleteAll": s.DeleteAll(t.Context(), nil)} {
		outcomes := slices.Collect(seq)
		if len(outcomes) != 1 || outcomes[0].Index != -1 || bulkKind(outcomes[0].Err) != "validation, not sent" {
			t.Errorf("%s of nil: outcomes %+v", name, outcomes)
		}
	}
}

// TestBulkRunsTwice: what MergeAll returns can be looped over more than once, and at
// the same time; each loop is a run of its own.
func TestBulkRunsTwice(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const updates, concurrency = 40, 4
		server := bulkTakes(time.Second)
		seq := bulkClient(t, server).Profiles.MergeAll(t.Context(), (&bulkInput{n: updates}).updates, courier.WithConcurrency(concurrency))
		bulkCollect(t, updates, seq)
		var loops sync.WaitGroup
		for range 3 {
			loops.Go(func() { bulkCollect(t, updates, seq) })
		}
		loops.Wait()
		if server.most != 3*concurrency || len(server.requests) != 4*updates {
			t.Errorf("%d requests, %d in flight", len(server.requests), server.most)
		}
	})
}

// How a run ends before its input does.

// bulkNothingLater fails if anything is in flight, or is sent later.
func bulkNothingLater(t testing.TB, server *bulkServer) {
	t.Helper()
	server.mu.Lock()
	before, inFlight := len(server.requests), server.inFlight
	server.mu.Unlock()
	time.Sleep(24 * time.Hour)
	if n := len(server.sent()) - before; n != 0 || inFlight != 0 {
		t.Errorf("%d requests were in flight, and %d were sent later", inFlight, n)
	}
}

// TestBulkLeft: attempts in flight finish, for at most the timeout, and nothing else is
// sent, retried or waited for.
func TestBulkLeft(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		in := &bulkInput{n: -1, users: []string{"first", "slow", "fails", "waits", "hangs"}}
		server := bulkByUser(map[string]bulkResponse{
			"first": {after: time.Second},
			"slow":  {after: 10 * time.Second},
			"fails": {after: 5 * time.Second, status: 500},
			"waits": {after: time.Second / 2, status: 503, retryAfter: "30"},
			"hangs": {after: time.Hour},
		})
		var mu sync.Mutex
		attempts := map[time.Duration]string{}
		client := bulkClient(t, server, courier.WithTimeout(20*time.Second), courier.WithObserver(func(_ context.Context, a courier.Attempt) {
			mu.Lock()
			defer mu.Unlock()
			attempts[a.Duration] = fmt.Sprintf("%d, %s, wait: %t", a.StatusCode, bulkKind(a.Err), a.Wait > 0)
		}))
		// The limiter keeps the update that takes the place of the first one.
		for range client.Profiles.MergeAll(t.Context(), in.updates, courier.WithConcurrency(5), courier.WithRateLimiter(bulkLets(5, nil))) {
			synctest.Wait()
			break
		}
		if elapsed := time.Since(server.start); elapsed != 20*time.Second {
			t.Errorf("the loop was left after %v, want 20s", elapsed)
		}
		bulkDiff(t, "attempts", map[time.Duration]string{
			time.Second / 2:  "503, server, wait: true",
			time.Second:      "200, success, wait: false",
			5 * time.Second:  "500, server, wait: false",
			10 * time.Second: "200, success, wait: false",
			20 * time.Second: "0, connection, deadline, wait: false",
		}, attempts)
		bulkDiff(t, "sent to", []string{"fails", "first", "hangs", "slow", "waits"}, slices.Sorted(slices.Values(server.sent())))
		if n := in.pulled.Load(); n != 5*16 {
			t.Errorf("%d updates were pulled, want %d", n, 5*16)
		}
		bulkNothingLater(t, server)
	})
}

// TestBulkContextEnds: every update that was pulled has an outcome, and an error of the
// context, not its cause.
func TestBulkContextEnds(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, want string
		context    func(context.Context) (context.Context, context.CancelFunc)
		waits      string // the outcome of what was waiting for a retry
	}{
		{"canceled with a cause", "canceled", func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancelCause(ctx)
			time.AfterFunc(time.Second, func() { cancel(errBulk) })
			return ctx, func() { cancel(nil) }
		}, "server, canceled"},
		{"deadline", "deadline", func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeoutCause(ctx, time.Second, errBulk)
		}, "server"}, // the wait would have outlived the deadline
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				const concurrency = 5
				ctx, cancel := test.context(t.Context())
				defer cancel()
				in := &bulkInput{n: -1, users: []string{"done", "hangs", "deaf", "waits", "fails", "deaf", "hangs"}}
				server := bulkByUser(map[string]bulkResponse{
					"done":  {after: time.Second / 2},
					"deaf":  {after: 3 * time.Second, deaf: true},
					"waits": {after: time.Second / 2, status: 500},
					"fails": {after: 2 * time.Second, status: 500, deaf: true},
				})
				seq := bulkClient(t, server).Profiles.MergeAll(ctx, in.updates, courier.WithConcurrency(concurrency))
				outcomes, notSent := map[int]string{}, "not sent, "+test.want
				for outcome := range seq {
					kind, at := bulkKind(outcome.Err), time.Since(server.start)
					outcomes[outcome.Index] = kind
					if kind == notSent && outcome.UserID != "deaf" && at != time.Second {
						t.Errorf("update %d has its outcome after %v, want 1s", outcome.Index, at)
					}
				}
				if elapsed := time.Since(server.start); elapsed != 3*time.Second {
					t.Errorf("the loop ended after %v, want 3s", elapsed)
				}
				want := map[int]string{0: "success", 1: "connection, " + test.want, 2: "success", 3: test.waits, 4: "server, " + test.want, 5: notSent, 6: notSent}
				sent := server.sent()
				for i := len(want); i < int(in.pulled.Load()); i++ {
					want[i] = notSent
					if slices.Contains(sent, fmt.Sprint("user-", i)) {
						want[i] = "connection, " + test.want
					}
				}
				bulkDiff(t, "outcomes", want, outcomes)
				// One was pulled for each outcome before the end.
				if n := len(want); n < concurrency*16+1 || n > concurrency*16+2 {
					t.Errorf("%d updates were pulled", n)
				}
				bulkNothingLater(t, server)
			})
		})
	}
}

// TestBulkKeyRefused: nothing more is pulled, sent or retried, and everything that was
// pulled has an outcome with the refusal in it.
func TestBulkKeyRefused(t *testing.T) {
	t.Parallel()
	for status, refusal := range map[int]string{401: "authentication", 403: "permission"} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				in := &bulkInput{n: -1, users: []string{"refused", "slow", "fails", "waits", "breaks", "throttled", "refused", "slow", "refused too"}}
				server := bulkByUser(map[string]bulkResponse{
					"refused":   {after: time.Second, status: status},
					"slow":      {after: 5 * time.Second},
					"fails":     {after: 3 * time.Second, status: 500},
					"waits":     {after: time.Second / 2, status: 500},
					"breaks":    {after: 4 * time.Second, err: io.ErrUnexpectedEOF},
					"throttled": {after: time.Second / 4, status: 429, retryAfter: "30"},
				})
				const concurrency = 6
				seq := bulkClient(t, server).Profiles.MergeAll(t.Context(), in.updates, courier.WithConcurrency(concurrency))
				outcomes, at := bulkCollect(t, 16*concurrency, seq)
				want := slices.Repeat([]string{refusal + ", not sent"}, 16*concurrency)
				wantAt := slices.Repeat([]time.Duration{time.Second}, 16*concurrency)
				copy(want, []string{refusal, "success", refusal + ", server", refusal + ", server", refusal + ", connection", refusal + ", rate limit"})
				wantAt[1], wantAt[2], wantAt[4], wantAt[7] = 5*time.Second, 3*time.Second, 4*time.Second, 5*time.Second
				bulkDiff(t, "outcomes", want, bulkKinds(outcomes))
				bulkDiff(t, "outcomes came after", wantAt, at)
				if n := len(server.requests); n != concurrency {
					t.Errorf("%d requests, want %d", n, concurrency)
				}
				if text := outcomes[95].Err.Error(); !strings.Contains(text, fmt.Sprint(status, " some_error: Some message")) || strings.Contains(text, "user-95") {
					t.Errorf("the error of what was not sent reads %q", text)
				}
				bulkNothingLater(t, server)
			})
		})
	}
}

// TestBulkKeyRefusedWhilePulling: the update that is being pulled has the refusal as its
// outcome, even if it is invalid or ctx ends by then, and so has what waits for the limiter.
func TestBulkKeyRefusedWhilePulling(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		updates := func(yield func(string, courier.Profile) bool) {
			if yield("refused", bulkProfile(0)) {
				time.Sleep(time.Millisecond) // so that this one is the second for the limiter
				if yield("waits", bulkProfile(1)) {
					time.Sleep(time.Minute)
					yield("late", courier.Profile{Nickname: courier.Set("\xff")})
				}
			}
		}
		server := bulkByUser(map[string]bulkResponse{"refused": {after: time.Second, status: 401}})
		keys := func(index int, _ string) string {
			bulkAt(index, 2, func() { t.Error("a key is asked for although nothing is sent") })
			return ""
		}
		outcomes, at := bulkCollect(t, 3, bulkClient(t, server).Profiles.MergeAll(ctx, updates,
			courier.WithRateLimiter(bulkLets(1, errBulk)), courier.WithIdempotencyKeys(keys)))
		bulkDiff(t, "outcomes", []string{"authentication", "authentication, not sent", "authentication, not sent"}, bulkKinds(outcomes))
		bulkDiff(t, "outcomes came after", []time.Duration{time.Second, time.Second, time.Minute + time.Millisecond}, at)
	})
}

type bulkMarshaler func()

func (m bulkMarshaler) MarshalJSON() ([]byte, error) { m(); return []byte("1"), nil }

// TestBulkCallerCodeFails: a panic in the caller's code reaches the loop, after the
// outcomes of updates in flight.
func TestBulkCallerCodeFails(t *testing.T) {
	t.Parallel()
	fail := func() { panic(errBulk) }
	var calls atomic.Int64
	for where, test := range map[string]struct {
		input    func() // is called before update 1 is yielded
		profile  courier.Profile
		response bulkResponse // of update 1
		opts     []courier.Option
		bulkOpts []courier.BulkOption
	}{
		"input":     {input: fail},
		"profile":   {profile: courier.Profile{Extra: map[string]any{"x": bulkMarshaler(fail)}}},
		"key":       {bulkOpts: []courier.BulkOption{courier.WithIdempotencyKeys(func(i int, _ string) string { bulkAt(i, 1, fail); return "" })}},
		"limiter":   {bulkOpts: []courier.BulkOption{courier.WithRateLimiter(limiterFunc(func(context.Context) error { bulkAt(int(calls.Add(1)), 2, fail); return nil }))}},
		"transport": {response: bulkResponse{fail: fail}},
		"observer": {response: bulkResponse{status: 400}, opts: []courier.Option{courier.WithObserver(func(_ context.Context, a courier.Attempt) {
			bulkAt(a.StatusCode, 400, fail)
		})}},
	} {
		t.Run(where, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				returned := false
				updates := func(yield func(string, courier.Profile) bool) {
					defer func() { returned = true }()
					if !yield("slow", bulkProfile(0)) {
						return
					}
					time.Sleep(time.Millisecond) // so that update 1 is the second for the limiter
					if test.input != nil {
						test.input()
					}
					for ok := yield("bad", test.profile); ok; {
						ok = yield("slow", bulkProfile(2))
					}
				}
				server := bulkByUser(map[string]bulkResponse{"slow": {after: 2 * time.Second}, "bad": test.response})
				var outcomes []string
				func() {
					defer func() {
						if got := recover(); got != errBulk {
							t.Errorf("the loop panics with %v, want %v", got, errBulk)
						}
					}()
					for outcome := range bulkClient(t, server, test.opts...).Profiles.MergeAll(t.Context(), updates, test.bulkOpts...) {
						outcomes = append(outcomes, fmt.Sprint(outcome.Index, " ", bulkKind(outcome.Err)))
					}
				}()
				bulkDiff(t, "outcomes", []string{"0 success"}, outcomes)
				if elapsed := time.Since(server.start); !returned || elapsed != 2*time.Second {
					t.Errorf("the loop ended after %v; the input had returned: %t", elapsed, returned)
				}
				bulkNothingLater(t, server)
			})
		})
	}
}

func bulkAt(got, want int, f func()) {
	if got == want {
		f()
	}
}
