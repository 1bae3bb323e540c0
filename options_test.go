package courier_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	courier "github.com/courier-profiles/courier-go"
	"github.com/google/go-cmp/cmp"
	"github.com/jarcoal/httpmock"
)

func TestWithBaseURL(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ baseURL, want string }{
		{courier.DefaultBaseURL, "https://api.courier.com"},
		{courier.EUBaseURL, "https://api.eu.courier.com"},
		{"HTTPS://api.courier.com/", "https://api.courier.com"},
		{"https://gateway.test:8443/courier", "https://gateway.test:8443/courier"},
		{"https://[2001:db8::1]:8443", "https://[2001:db8::1]:8443"},
		{"http://localhost:8080/v1", "http://localhost:8080/v1"},
		{"http://LocalHost", "http://LocalHost"},
		{"http://127.8.9.10:8080", "http://127.8.9.10:8080"},
		{"http://[::1]:8080", "http://[::1]:8080"},
	} {
		sent := record(respond(200, success))
		client := newClient(t, sent.respond, courier.WithBaseURL(test.baseURL))
		if _, err := merge(t.Context(), client); err != nil {
			t.Errorf("%s: %v", test.baseURL, err)
		}
		if got, want := sent.last(t).URL, test.want+"/profiles/user-1"; got != want {
			t.Errorf("%s: sent to %s, want %s", test.baseURL, got, want)
		}
	}
}

func TestDefaultBaseURL(t *testing.T) {
	t.Parallel()
	sent := record(respond(200, success))
	client, err := courier.NewClient(apiKey,
		courier.WithHTTPClient(&http.Client{Transport: roundTripper(sent.respond)}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := merge(t.Context(), client); err != nil {
		t.Fatal(err)
	}
	if got, want := sent.last(t).URL, "https://api.courier.com/profiles/user-1"; got != want {
		t.Errorf("sent to %s, want %s", got, want)
	}
}

// TestWithBaseURLRefused: the error does not repeat the URL, which may have credentials.
func TestWithBaseURLRefused(t *testing.T) {
	t.Parallel()
	for _, baseURL := range []string{
		// No absolute http or https URL.
		"", " ", "SECRET", "api.courier.com", "/v1", "//api.courier.com", "ftp://api.courier.com",
		"file:///SECRET", "https:", "https://", "https:///v1", "https://:443",
		"https:api.courier.com", "https:/api.courier.com", "://SECRET", "https://host:SECRET",
		"https://SECRET host/", "https://host/\nSECRET", "https://host/%zzSECRET",
		"https://[::1/SECRET", " https://SECRET.test",
		// Credentials.
		"https://SECRET@host.test", "https://user:SECRET@host.test", "https://:SECRET@host.test",
		"https://@host.test", "https://user:SECRET%zz@host.test", "https://user:SECRET@[::1",
		"https://user:SECRET@host/%zz", "http://user:SECRET@localhost",
		// A query or a fragment.
		"https://host.test?key=SECRET", "https://host.test?", "https://host.test/v1/?",
		"https://host.test#SECRET", "https://host.test/#", "https://host.test#",
		// http to a host that is not loopback.
		"http://api.courier.com", "http://SECRET.test/v1", "HTTP://SECRET.test", "http://10.0.0.1",
		"http://192.168.0.1:8080", "http://0.0.0.0", "http://[::]", "http://128.0.0.1",
		"http://localhost.SECRET.test", "http://127.0.0.1.SECRET.test", "http://SECRET-localhost",
		"http://127.0.0.1@SECRET.test",
	} {
		client, err := courier.NewClient(apiKey, courier.WithBaseURL(baseURL))
		wantInvalid(t, err, "WithBaseURL")
		if client != nil {
			t.Errorf("%q: got a client along with the error", baseURL)
		}
		if err != nil && strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%q: the error repeats the URL: %v", baseURL, err)
		}
	}
}

// TestWithInsecureHTTP allows http, and nothing else that a base URL must not be.
func TestWithInsecureHTTP(t *testing.T) {
	t.Parallel()
	insecure := courier.WithInsecureHTTP()
	_, err := courier.NewClient(apiKey, insecure, courier.WithBaseURL("http://gateway.test"))
	if err != nil {
		t.Error(err)
	}
	for _, baseURL := range []string{
		"", "ftp://a.test", "http://", "http://user:x@a.test", "http://a.test?x", "http://a.test#x",
	} {
		_, err := courier.NewClient(apiKey, insecure, courier.WithBaseURL(baseURL))
		wantInvalid(t, err, "WithBaseURL")
	}
}

// TestOptionRefused: an invalid option is refused, even if a later one replaces it.
func TestOptionRefused(t *testing.T) {
	t.Parallel()
	valid := []courier.Option{
		courier.WithHTTPClient(http.DefaultClient),
		courier.WithLogger(slog.New(slog.DiscardHandler)),
		new(observer).option(),
		courier.WithTimeout(1),
		courier.WithMaxRetries(1),
		courier.WithMaxRetryAfter(1),
		courier.WithRetryWait(1, 2),
		courier.WithUserAgent("a/1"),
	}
	for _, test := range []struct {
		field  string
		option courier.Option
	}{
		{"WithHTTPClient", courier.WithHTTPClient(nil)},
		{"WithLogger", courier.WithLogger(nil)},
		{"WithObserver", courier.WithObserver(nil)},
		{"WithTimeout", courier.WithTimeout(-1)},
		{"WithMaxRetries", courier.WithMaxRetries(-1)},
		{"WithMaxRetryAfter", courier.WithMaxRetryAfter(-1)},
		{"WithRetryWait", courier.WithRetryWait(-2, -1)},
		{"WithRetryWait", courier.WithRetryWait(-1, 1)},
		{"WithRetryWait", courier.WithRetryWait(2, 1)},
		{"WithUserAgent", courier.WithUserAgent("")},
		{"WithUserAgent", courier.WithUserAgent(" ")},
		{"WithUserAgent", courier.WithUserAgent(" a/1")},
		{"WithUserAgent", courier.WithUserAgent("a/1\r\nX-Evil: 1")},
		{"WithUserAgent", courier.WithUserAgent("ü/1")},
		{"opts", nil},
	} {
		client, err := courier.NewClient(apiKey, append([]courier.Option{test.option}, valid...)...)
		wantInvalid(t, err, test.field)
		if client != nil {
			t.Errorf("%s: got a client along with the error %v", test.field, err)
		}
	}
}

// TestOptionLimits: the smallest and the largest values work.
func TestOptionLimits(t *testing.T) {
	t.Parallel()
	const forever = time.Duration(1<<63 - 1)
	const maxInt = int(^uint(0) >> 1)
	for name, opts := range map[string][]courier.Option{
		"smallest": {
			courier.WithTimeout(0), courier.WithMaxRetries(1),
			courier.WithRetryWait(0, 0), courier.WithMaxRetryAfter(0),
		},
		"largest": {
			courier.WithTimeout(forever), courier.WithMaxRetries(maxInt),
			courier.WithRetryWait(0, forever), courier.WithMaxRetryAfter(forever),
		},
	} {
		client := newClient(t, respond(503, "").Then(respond(200, success)), opts...)
		if _, err := merge(t.Context(), client); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestOptionOrder: options in any order; of one that is given twice, the last wins.
func TestOptionOrder(t *testing.T) {
	t.Parallel()
	sent := record(respond(503, ""))
	opts := []courier.Option{
		courier.WithBaseURL("http://gateway.test/v1"),
		courier.WithInsecureHTTP(),
		courier.WithHTTPClient(&http.Client{Transport: roundTripper(sent.respond)}),
		courier.WithRetryWait(0, 0),
		courier.WithMaxRetries(1),
		courier.WithUserAgent("signup/1.4"),
	}
	others := []courier.Option{
		courier.WithBaseURL("https://other.test"),
		courier.WithMaxRetries(7),
		courier.WithUserAgent("other/1"),
	}
	reversed := slices.Clone(opts)
	slices.Reverse(reversed)
	for _, opts := range [][]courier.Option{opts, reversed, append(others, opts...)} {
		before := len(sent.requests())
		client, err := courier.NewClient(apiKey, opts...)
		if err != nil {
			t.Fatal(err)
		}
		_ = mergeError(t, client)
		if n := len(sent.requests()) - before; n != 2 {
			t.Errorf("sent %d requests, want 2", n)
		}
		got := sent.last(t)
		if want := "http://gateway.test/v1/profiles/user-1"; got.URL != want {
			t.Errorf("sent to %s, want %s", got.URL, want)
		}
		if agent := got.Header.Get("User-Agent"); !strings.HasPrefix(agent, "signup/1.4 ") {
			t.Errorf("sent by %s, want signup/1.4", agent)
		}
	}
}

func TestWithUserAgent(t *testing.T) {
	t.Parallel()
	const own = "courier-profiles-go/" + courier.Version
	mine := courier.WithHeader("user-agent", "mine")
	for _, test := range []struct {
		product string
		opts    []courier.RequestOption
		want    string
	}{
		{"signup/1.4", nil, "signup/1.4 " + own},
		{"signup/1.4 (linux; x)", nil, "signup/1.4 (linux; x) " + own},
		{"signup/1.4", []courier.RequestOption{mine}, "mine"},
	} {
		sent := record(respond(200, success))
		client := newClient(t, sent.respond, courier.WithUserAgent(test.product))
		if _, err := merge(t.Context(), client, test.opts...); err != nil {
			t.Fatal(err)
		}
		got := sent.last(t).Header["User-Agent"]
		if want := []string{test.want}; !slices.Equal(got, want) {
			t.Errorf("%s: sent by %q, want %q", test.product, got, want)
		}
	}
}

// TestWithTimeout: the timeout is that of each attempt, its body included, and the http.Client's
// is an upper bound.
func TestWithTimeout(t *testing.T) {
	t.Parallel()
	const second = time.Second
	for _, test := range []struct {
		name       string
		httpClient time.Duration
		opts       []courier.Option
		want       time.Duration // of an attempt
	}{
		{"default", 0, nil, 30 * second},
		{"own", 0, []courier.Option{courier.WithTimeout(5 * second)}, 5 * second},
		{"http.Client shorter", 2 * second, []courier.Option{courier.WithTimeout(5 * second)},
			2 * second},
		{"http.Client longer", 2 * time.Hour, []courier.Option{courier.WithTimeout(time.Hour)},
			time.Hour},
		{"http.Client longer than the default", time.Hour, nil, 30 * second},
		{"http.Client alone", 3 * second, []courier.Option{courier.WithTimeout(0)}, 3 * second},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				responses := httpmock.Responder(hang).Then(hangInBody(200))
				mine := &http.Client{Transport: roundTripper(responses), Timeout: test.httpClient}
				seen := new(observer)
				opts := append(test.opts, seen.option(),
					courier.WithHTTPClient(mine), courier.WithMaxRetries(1))
				err := mergeError(t, newClient(t, nil, opts...))
				if !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("%v does not match context.DeadlineExceeded", err)
				}
				if len(seen.attempts) != 2 {
					t.Fatalf("observed %d attempts, want 2", len(seen.attempts))
				}
				for _, attempt := range seen.attempts {
					if attempt.Duration != test.want {
						t.Errorf("an attempt took %v, want %v", attempt.Duration, test.want)
					}
				}
			})
		})
	}
}

// TestWithoutTimeout: only the context ends the attempt.
func TestWithoutTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 1000*time.Hour)
		defer cancel()
		_, err := merge(ctx, newClient(t, hang, courier.WithTimeout(0)))
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v does not match context.DeadlineExceeded", err)
		}
		if got, want := time.Since(start), 1000*time.Hour; got != want {
			t.Errorf("the call took %v, want %v", got, want)
		}
	})
}

// TestTimeoutOfHTTPClientIsReadOnce: by NewClient.
func TestTimeoutOfHTTPClientIsReadOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		mine := &http.Client{Transport: roundTripper(hang), Timeout: 5 * time.Second}
		client := newClient(t, nil, courier.WithHTTPClient(mine), courier.WithMaxRetries(0))
		mine.Timeout = time.Second
		start := time.Now()
		_ = mergeError(t, client)
		if got, want := time.Since(start), 5*time.Second; got != want {
			t.Errorf("the attempt took %v, want %v", got, want)
		}
	})
}

func TestWithMaxRetries(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		opts []courier.Option
		want int // attempts
	}{
		{nil, 4},
		{[]courier.Option{courier.WithMaxRetries(0)}, 1},
		{[]courier.Option{courier.WithMaxRetries(1)}, 2},
		{[]courier.Option{courier.WithMaxRetries(10)}, 11},
	} {
		sent := record(respond(503, ""))
		err := mergeError(t, newClient(t, sent.respond, test.opts...))
		if n := len(sent.requests()); n != test.want {
			t.Errorf("sent %d requests, want %d", n, test.want)
		}
		if n := wantError[*courier.ServerError](t, err).Attempts; n != test.want {
			t.Errorf("the error has %d attempts, want %d", n, test.want)
		}
	}
}

// TestWithRetryWait: the waits lie within the bounds, and are what the observer is told.
func TestWithRetryWait(t *testing.T) {
	t.Parallel()
	const second = time.Second
	for _, test := range []struct {
		name     string
		min, max time.Duration // 0 for the default
		low      time.Duration
		high     []time.Duration // of wait 1, 2, …
	}{
		{"default", 0, 0, second / 2, []time.Duration{second, 2 * second, 4 * second, 8 * second}},
		{"own", 10 * second, 15 * second, 10 * second, []time.Duration{15 * second, 15 * second}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				seen := new(observer)
				opts := []courier.Option{
					courier.WithHTTPClient(&http.Client{Transport: roundTripper(respond(503, ""))}),
					courier.WithMaxRetries(len(test.high)),
					seen.option(),
				}
				if test.max > 0 {
					opts = append(opts, courier.WithRetryWait(test.min, test.max))
				}
				client, err := courier.NewClient(apiKey, opts...)
				if err != nil {
					t.Fatal(err)
				}
				for range 20 {
					start := time.Now()
					seen.attempts = nil
					_ = mergeError(t, client)
					var total time.Duration
					for i, high := range test.high {
						wait := seen.attempts[i].Wait
						if wait < test.low || wait > high {
							t.Errorf("wait %d is %v, want %v to %v", i+1, wait, test.low, high)
						}
						total += wait
					}
					if got := time.Since(start); got != total {
						t.Errorf("the call took %v, want %v", got, total)
					}
				}
			})
		})
	}
}

// TestWithMaxRetryAfter: a Retry-After is waited for up to a limit; a longer one is the error.
func TestWithMaxRetryAfter(t *testing.T) {
	t.Parallel()
	const minute = time.Minute
	for _, test := range []struct {
		name   string
		header string
		opts   []courier.Option
		want   time.Duration // the wait; 0 for an error at once
	}{
		{"default, at the limit", "60", nil, minute},
		{"default, longer", "60.1", nil, 0},
		{"own, at the limit", "86400", []courier.Option{courier.WithMaxRetryAfter(24 * time.Hour)},
			24 * time.Hour},
		{"none", "1", []courier.Option{courier.WithMaxRetryAfter(0)}, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				later := respond(429, "").HeaderSet(http.Header{"Retry-After": {test.header}})
				client := newClient(t, later.Then(respond(200, success)), test.opts...)
				_, err := merge(t.Context(), client)
				if got := time.Since(start); got != test.want {
					t.Errorf("the call took %v, want %v", got, test.want)
				}
				if isA[*courier.RateLimitError](err) != (test.want == 0) {
					t.Errorf("got the error %v, want one only without a retry", err)
				}
			})
		})
	}
}

// TestRetryBudget: an outage costs a client 500 retries. Clients have budgets of their own, even
// if they share a pool.
func TestRetryBudget(t *testing.T) {
	t.Parallel()
	sent := record(respond(503, ""))
	shared := &http.Client{Transport: roundTripper(sent.respond)}
	for range 2 {
		before := len(sent.requests())
		client := newClient(t, nil, courier.WithHTTPClient(shared))
		for range 200 {
			_ = mergeError(t, client)
		}
		if n := len(sent.requests()) - before; n != 700 {
			t.Errorf("200 calls in an outage sent %d requests, want 700", n)
		}
	}
}

type contextKey struct{}

// TestWithObserver: what is reported of each attempt, with the context of the call.
func TestWithObserver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const second = time.Second
		unavailable := respond(503, "").HeaderSet(http.Header{"Retry-After": {"5"}})
		responses := unavailable.Delay(3 * second).
			Then(fail(errRefused).Delay(2 * second)).
			Then(respond(409, "").Delay(second)).
			Then(respond(202, success).Delay(4 * second))
		var got []courier.Attempt
		observe := func(ctx context.Context, attempt courier.Attempt) {
			if value := ctx.Value(contextKey{}); value != "the caller's" {
				t.Errorf("attempt %d: the context has %v, want the caller's", attempt.Number, value)
			}
			got = append(got, attempt)
		}
		client := newClient(t, responses, courier.WithObserver(observe))
		ctx := context.WithValue(t.Context(), contextKey{}, "the caller's")
		if _, err := merge(ctx, client); err != nil {
			t.Fatal(err)
		}
		const op = "merge profile"
		want := []courier.Attempt{
			{Operation: op, Number: 1, StatusCode: 503, Duration: 3 * second, Wait: 5 * second,
				Err: &courier.ServerError{}},
			{Operation: op, Number: 2, Duration: 2 * second, Err: &courier.ConnectionError{}},
			{Operation: op, Number: 3, StatusCode: 409, Duration: second,
				Err: &courier.ConflictError{}},
			{Operation: op, Number: 4, StatusCode: 202, Duration: 4 * second},
		}
		sameType := cmp.Comparer(func(a, b error) bool {
			return fmt.Sprintf("%T", a) == fmt.Sprintf("%T", b)
		})
		if diff := cmp.Diff(want, got, sameType); diff != "" {
			t.Errorf("the attempts (-want +got):\n%s", diff)
		}
	})
}

// TestCallWaitsForTheObserver, after each attempt.
func TestCallWaitsForTheObserver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		slow := courier.WithObserver(func(context.Context, courier.Attempt) {
			time.Sleep(time.Second)
		})
		client := newClient(t, respond(503, "").Then(respond(200, success)), slow)
		start := time.Now()
		if _, err := merge(t.Context(), client); err != nil {
			t.Fatal(err)
		}
		if got, want := time.Since(start), 2*time.Second; got != want {
			t.Errorf("two attempts took %v, want %v", got, want)
		}
	})
}

// logHandler keeps records as text, and the contexts that came with them.
type logHandler struct {
	records  []string
	contexts []context.Context
}

func (*logHandler) Enabled(context.Context, slog.Level) bool { return true }
func (h *logHandler) WithAttrs([]slog.Attr) slog.Handler     { return h }
func (h *logHandler) WithGroup(string) slog.Handler          { return h }

func (h *logHandler) Handle(ctx context.Context, record slog.Record) error {
	text := record.Level.String() + " " + record.Message
	record.Attrs(func(attr slog.Attr) bool {
		text += fmt.Sprintf(" %s=%v", attr.Key, attr.Value)
		return true
	})
	h.records = append(h.records, text)
	h.contexts = append(h.contexts, ctx)
	return nil
}

// TestWithLogger: what is logged of each attempt, with the context of the call.
func TestWithLogger(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := new(logHandler)
		unavailable := respond(503, errorBody).HeaderSet(http.Header{"Retry-After": {"5"}})
		responses := unavailable.Delay(3 * time.Second).Then(respond(200, success))
		client := newClient(t, responses, courier.WithLogger(slog.New(log)))
		ctx := context.WithValue(t.Context(), contextKey{}, "the caller's")
		if _, err := merge(ctx, client); err != nil {
			t.Fatal(err)
		}
		want := []string{
			"WARN courier: attempt operation=merge profile attempt=1 status=503 duration=3s " +
				"wait=5s reused=false error=courier: merge profile: 503 some_error: Error Message retry=true",
			"DEBUG courier: attempt operation=merge profile attempt=2 status=200 duration=0s " +
				"wait=0s reused=false retry=false",
		}
		if diff := cmp.Diff(want, log.records); diff != "" {
			t.Errorf("the log (-want +got):\n%s", diff)
		}
		for _, ctx := range log.contexts {
			if ctx.Value(contextKey{}) != "the caller's" {
				t.Errorf("logged with the context %v, want the caller's", ctx)
			}
		}
	})
}

// TestNothingIsLoggedByDefault replaces the default loggers, so it does not run in parallel.
func TestNothingIsLoggedByDefault(t *testing.T) {
	var output bytes.Buffer
	before, writer, flags := slog.Default(), log.Writer(), log.Flags()
	defer func() {
		slog.SetDefault(before)
		log.SetOutput(writer)
		log.SetFlags(flags)
	}()
	debug := &slog.HandlerOptions{Level: slog.LevelDebug}
	slog.SetDefault(slog.New(slog.NewTextHandler(&output, debug))) // and that of package log
	for _, respond := range []httpmock.Responder{
		respond(200, success), respond(503, ""), respond(400, ""), fail(errRefused),
	} {
		_, _ = merge(t.Context(), newClient(t, respond))
	}
	if output.Len() > 0 {
		t.Errorf("logged:\n%s", &output)
	}
}

// TestLogLevels: every attempt without a 2xx is a warning, but for the final 404 of Get and
// Delete.
func TestLogLevels(t *testing.T) {
	t.Parallel()
	const debug, warn, retried = "DEBUG retry=false", "WARN retry=false", "WARN retry=true"
	unavailable := respond(503, "")
	for _, op := range operations {
		missing := warn
		if op.name == "get profile" || op.name == "delete profile" {
			missing = debug
		}
		for _, test := range []struct {
			name    string
			respond httpmock.Responder
			want    []string
		}{
			{"success", respond(200, op.success), []string{debug}},
			{"another shape", respond(200, "[]"), []string{debug}},
			{"403", respond(403, ""), []string{warn}},
			{"no response", fail(errNoSuchHost), []string{warn}},
			{"404", respond(404, ""), []string{missing}},
			{"404 after a retry", unavailable.Then(respond(404, "")), []string{retried, missing}},
			{"long Retry-After", respond(429, "").HeaderSet(http.Header{"Retry-After": {"86400"}}),
				[]string{warn}},
		} {
			log := new(logHandler)
			client := newClient(t, test.respond, courier.WithLogger(slog.New(log)))
			_, _ = op.call(t.Context(), client, "user-1")
			var got []string
			for _, record := range log.records {
				words := strings.Fields(record)
				got = append(got, words[0]+" "+words[len(words)-1])
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("%s, %s: logged %q, want %q", op.name, test.name, got, test.want)
			}
		}
	}
}

func TestWithHeader(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ key, value, name string }{
		{"X-Tenant", "7", "X-Tenant"},
		{"x-tENANT", "a  b", "X-Tenant"},
		{"X-Tenant", "", "X-Tenant"},
		{"X-Tenant", `!"#$%&'()*+,-./:;<=>?@[\]^_{|}~` + "`", "X-Tenant"},
		{"accept", "application/vnd.courier+json", "Accept"},
		{"X!#$%&'*+-.^_`|~9z", "1", "X!#$%&'*+-.^_`|~9z"},
	} {
		for _, op := range operations {
			sent := record(respond(200, op.success))
			_, err := op.call(t.Context(), newClient(t, sent.respond), "user-1",
				courier.WithHeader(test.key, "before"), courier.WithHeader(test.key, test.value))
			if err != nil {
				t.Errorf("%s, %s: %v", op.name, test.key, err)
				continue
			}
			got := sent.last(t).Header[test.name]
			if want := []string{test.value}; !slices.Equal(got, want) {
				t.Errorf("%s: %s is %q, want %q", op.name, test.name, got, want)
			}
		}
	}
}

// wantCallRefused fails unless a merge with these options is refused because of field.
func wantCallRefused(t *testing.T, field string, opts ...courier.RequestOption) {
	t.Helper()
	sent := record(respond(200, success))
	resp, err := merge(t.Context(), newClient(t, sent.respond), opts...)
	wantInvalid(t, err, field)
	if resp != nil {
		t.Errorf("%s: got %+v along with the error", field, resp)
	}
	if n := len(sent.requests()); n != 0 {
		t.Errorf("%s: sent %d requests, want none", field, n)
	}
	if err == nil {
		return
	}
	if text := err.Error(); strings.Contains(text, "SECRET") || strings.ContainsAny(text, "\r\n") {
		t.Errorf("the error repeats the value: %q", text)
	}
}

func TestWithHeaderRefused(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		// Of the client.
		"Authorization", "Host", "Accept-Encoding", "Content-Type", "Content-Length",
		"Content-Encoding", "Content-Foo", "Idempotency-Key", "X-Idempotency-Expiration",
		// Of the connection.
		"Connection", "Keep-Alive", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
		"Proxy-Authorization", "Proxy-Connection",
		// No header names.
		"", " ", "X A", " X-A", "X-A ", "X-A:", ":path", "X-A\r\nX-Evil", "X-A\n", "X\x00", "Ü",
		"X\xff", "X\tA", "X(A)", "X/A", "X@A", `X"A`, "X=A", "X{A}", "X\x7f",
	} {
		for _, key := range []string{name, strings.ToLower(name), strings.ToUpper(name)} {
			wantCallRefused(t, "WithHeader", courier.WithHeader(key, "SECRET"))
		}
	}
	for _, value := range []string{
		"SECRET\r\nX-Evil: 1", "SECRET\nX-Evil: 1", "SECRET\r", "\r\n", "SECRET\x00", "SECRET\x7f",
		"SECRETü", "SECRET\xff", " SECRET", "SECRET ", "SEC\tSECRET", " ", "SECRET\u2028X-Evil: 1",
	} {
		wantCallRefused(t, "WithHeader", courier.WithHeader("X-A", value))
	}
}

// TestIdempotencyOptions: the key, and the expiration as RFC 3339 in UTC.
func TestIdempotencyOptions(t *testing.T) {
	t.Parallel()
	at := time.Now().Add(48*time.Hour + 123456789)
	text := []string{at.UTC().Format("2006-01-02T15:04:05Z")}
	far := time.Date(2999, 12, 31, 23, 59, 59, 0, time.UTC)
	long := strings.Repeat("k", 1000)
	key, expiration := courier.WithIdempotencyKey, courier.WithIdempotencyExpiration
	for _, test := range []struct {
		name                    string
		opts                    []courier.RequestOption
		wantKey, wantExpiration []string
	}{
		{"none", nil, nil, nil},
		{"key", []courier.RequestOption{key(`order 1,"c";d=~`)}, []string{`order 1,"c";d=~`}, nil},
		{"long key", []courier.RequestOption{key(long)}, []string{long}, nil},
		{"key, then expiration", []courier.RequestOption{key("k"), expiration(at)},
			[]string{"k"}, text},
		{"expiration, then key", []courier.RequestOption{expiration(at), key("k")},
			[]string{"k"}, text},
		{"another time zone", []courier.RequestOption{
			key("k"), expiration(at.In(time.FixedZone("Paris", 3600))),
		}, []string{"k"}, text},
		{"the last wins", []courier.RequestOption{
			expiration(at.Add(time.Hour)), key("a"), key("b"), expiration(at),
		}, []string{"b"}, text},
		{"more than a year ahead", []courier.RequestOption{key("k"), expiration(far)},
			[]string{"k"}, []string{"2999-12-31T23:59:59Z"}},
	} {
		for _, op := range []operation{mergeProfile, subscribe} {
			sent := record(respond(200, success))
			_, err := op.call(t.Context(), newClient(t, sent.respond), "user-1", test.opts...)
			if err != nil {
				t.Errorf("%s, %s: %v", op.name, test.name, err)
				continue
			}
			header := sent.last(t).Header
			if got := header["Idempotency-Key"]; !slices.Equal(got, test.wantKey) {
				t.Errorf("%s, %s: the key is %q, want %q", op.name, test.name, got, test.wantKey)
			}
			got := header["X-Idempotency-Expiration"]
			if !slices.Equal(got, test.wantExpiration) {
				t.Errorf("%s, %s: the expiration is %q, want %q",
					op.name, test.name, got, test.wantExpiration)
			}
		}
	}
}

func TestIdempotencyOptionsRefused(t *testing.T) {
	t.Parallel()
	for _, key := range []string{
		"", " ", " SECRET", "SECRET ", "SECRET\n", "SECRET\r\nX-Evil: 1", "SECRET\x00", "SECRETü",
		"SECRET\xff", "SECRET\t1", "SECRET\x7f",
	} {
		wantCallRefused(t, "WithIdempotencyKey", courier.WithIdempotencyKey(key))
	}
	key, expiration := courier.WithIdempotencyKey("order-1"), courier.WithIdempotencyExpiration
	for _, opts := range [][]courier.RequestOption{
		{key, expiration(time.Time{})},
		{key, expiration(time.Now().Add(-time.Second))},
		{expiration(time.Now().Add(-time.Hour)), key},
		{expiration(time.Now().Add(time.Hour))}, // without a key
	} {
		wantCallRefused(t, "WithIdempotencyExpiration", opts...)
	}
}

// TestIdempotencyOptionsOfOtherOperations: they go with Merge and Subscribe.
func TestIdempotencyOptionsOfOtherOperations(t *testing.T) {
	t.Parallel()
	sent := record(respond(200, success))
	client := newClient(t, sent.respond)
	key := courier.WithIdempotencyKey("order-1")
	expiration := courier.WithIdempotencyExpiration(time.Now().Add(time.Hour))
	for _, op := range operations {
		if op.takesKey {
			continue
		}
		_, err := op.call(t.Context(), client, "user-1", key)
		wantInvalid(t, err, "WithIdempotencyKey")
		_, err = op.call(t.Context(), client, "user-1", expiration)
		wantInvalid(t, err, "WithIdempotencyExpiration")
	}
	if n := len(sent.requests()); n != 0 {
		t.Errorf("sent %d requests, want none", n)
	}
}

// TestRequestOptionsOfOneCall: the next call has none of them.
func TestRequestOptionsOfOneCall(t *testing.T) {
	t.Parallel()
	sent := record(respond(200, success))
	client := newClient(t, sent.respond)
	if _, err := merge(t.Context(), client); err != nil {
		t.Fatal(err)
	}
	_, err := merge(t.Context(), client, courier.WithIdempotencyKey("order-1"),
		courier.WithHeader("X-A", "1"), courier.WithHeader("Accept", "text/plain"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := merge(t.Context(), client); err != nil {
		t.Fatal(err)
	}
	requests := sent.requests()
	if diff := cmp.Diff(requests[0], requests[2]); diff != "" {
		t.Errorf("the call after one with options (-without +after):\n%s", diff)
	}
}

// TestOptionsOnZeroValues: testify's FunctionalOptions compares options by what they do to the
// zero value of their parameter.
func TestOptionsOnZeroValues(t *testing.T) {
	t.Parallel()
	at := time.Now().Add(time.Hour)
	for _, test := range []struct{ one, same, other any }{
		{courier.WithHeader("X-A", "1"), courier.WithHeader("x-a", "1"),
			courier.WithHeader("X-A", "2")},
		{courier.WithIdempotencyKey("a"), courier.WithIdempotencyKey("a"),
			courier.WithIdempotencyKey("b")},
		{courier.WithIdempotencyExpiration(at), courier.WithIdempotencyExpiration(at),
			courier.WithIdempotencyExpiration(at.Add(time.Minute))},
		{courier.WithBaseURL("a"), courier.WithBaseURL("a"), courier.WithBaseURL("b")},
		{courier.WithUserAgent("a"), courier.WithUserAgent("a"), courier.WithUserAgent("b")},
		{courier.WithTimeout(1), courier.WithTimeout(1), courier.WithTimeout(2)},
		{courier.WithMaxRetries(1), courier.WithMaxRetries(1), courier.WithMaxRetries(2)},
		{courier.WithRetryWait(1, 2), courier.WithRetryWait(1, 2), courier.WithRetryWait(1, 3)},
		{courier.WithMaxRetryAfter(1), courier.WithMaxRetryAfter(1), courier.WithMaxRetryAfter(2)},
	} {
		one, same, other := applied(t, test.one), applied(t, test.same), applied(t, test.other)
		if !reflect.DeepEqual(one, same) {
			t.Errorf("an option gives %+v and %+v, want the same twice", one, same)
		}
		if reflect.DeepEqual(one, other) {
			t.Errorf("different options give the same %+v", one)
		}
	}
}

// applied returns the zero value that an option takes, after it was applied.
func applied(t *testing.T, option any) any {
	t.Helper()
	f := reflect.ValueOf(option)
	config := reflect.New(f.Type().In(0).Elem())
	if err, ok := f.Call([]reflect.Value{config})[0].Interface().(error); ok {
		t.Errorf("an option on a zero value: %v", err)
	}
	return config.Interface()
}

// FuzzWithHeader: any header arrives as it is, and changes nothing else, or is refused.
func FuzzWithHeader(f *testing.F) {
	for _, value := range []string{
		"", "a", " a", "a ", "a\r\nX-Evil: 1", "a\nb", "a\x00", "\x7f", "é", "a\tb", "a,b", "\xff",
	} {
		f.Add("X-Tenant", value)
	}
	for _, name := range []string{
		"", "a b", "a:", "a\r\nb", "é", "Authorization", "HOST", "content-length", "Te", "Cookie",
		"Idempotency-Key", "Connection", "User-Agent", "Accept", "Expect", ":path", "X-\x00",
	} {
		f.Add(name, "value")
	}
	responds := func(req *http.Request) (*http.Response, error) {
		if _, err := wireTarget(req); err != nil {
			return nil, err
		}
		return respond(200, success)(req)
	}
	withoutOption := record(responds)
	if _, err := merge(f.Context(), newClient(f, withoutOption.respond)); err != nil {
		f.Fatal(err)
	}
	plain := withoutOption.last(f)
	f.Fuzz(func(t *testing.T, name, value string) {
		sent := record(responds)
		client := newClient(t, sent.respond)
		_, err := merge(t.Context(), client, courier.WithHeader(name, value))
		if err != nil {
			wantInvalid(t, err, "WithHeader")
			if strings.ContainsAny(err.Error(), "\r\n\x00") {
				t.Errorf("the error is not one line: %q", err)
			}
			if n := len(sent.requests()); n != 0 {
				t.Errorf("%q: %q was refused, and sent", name, value)
			}
			return
		}
		want := plain
		want.Header = plain.Header.Clone()
		want.Header.Set(name, value)
		if diff := cmp.Diff(want, sent.last(t)); diff != "" {
			t.Errorf("%q: %q (-want +got):\n%s", name, value, diff)
		}
		for _, name := range []string{"Authorization", "Host", "Content-Type"} {
			got, want := sent.last(t).Header.Get(name), plain.Header.Get(name)
			if got != want {
				t.Errorf("%s was changed to %q, want %q", name, got, want)
			}
		}
	})
}
