package couriertest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	courier "github.com/courier-profiles/courier-go"
)

func TestServer(t *testing.T) {
	t.Parallel()
	server := NewServer(t)
	client := server.Client()
	if !strings.HasPrefix(server.URL, "http://127.0.0.1:") {
		t.Errorf("URL %q, want one of 127.0.0.1", server.URL)
	}
	want := courier.Profile{Email: courier.Set("a@example.com")}
	_, err := client.Profiles.Merge(t.Context(), "a/b", want)
	if err != nil {
		t.Fatal(err)
	}
	got, _ := server.Profile("a/b")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("profile (-want +got):\n%s", diff)
	}
}

func TestServersShareNothing(t *testing.T) {
	t.Parallel()
	a, b := NewServer(t), NewServer(t)
	if err := a.SetProfile("u", courier.Profile{}); err != nil {
		t.Fatal(err)
	}
	if _, ok := b.Profile("u"); ok {
		t.Error("the profile of one server is in the other")
	}
}

func TestServerClosesWithItsTest(t *testing.T) {
	t.Parallel()
	var server *Server
	t.Run("test", func(t *testing.T) { server = NewServer(t) })
	_, err := net.Dial("tcp", strings.TrimPrefix(server.URL, "http://"))
	if err == nil {
		t.Error("the server still listens")
	}
	server.Close() // a second time
}

func TestClientOptions(t *testing.T) {
	t.Parallel()
	server := NewServer(t)
	server.APIKey = "mine"
	client := server.Client(courier.WithUserAgent("app/1"))
	_, err := client.Profiles.Merge(t.Context(), "u", courier.Profile{})
	if err != nil {
		t.Fatal(err)
	}
	header := server.Requests()[0].Header
	if got := header.Get("User-Agent"); !strings.HasPrefix(got, "app/1 ") {
		t.Errorf("User-Agent %q, want it to begin with app/1", got)
	}
	if got := header.Get("Authorization"); got != "Bearer mine" {
		t.Errorf("Authorization %q, want Bearer mine", got)
	}
}

func TestInvalidOptionFailsTheTest(t *testing.T) {
	t.Parallel()
	failing := &recordingT{TB: t}
	server := NewServer(failing)
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		server.Client(courier.WithMaxRetries(-1))
		t.Error("Client returned")
	}()
	<-finished
	if failing.fatal == "" {
		t.Error("an invalid option did not fail the test")
	}
}

// recordingT is a test that another test watches.
type recordingT struct {
	testing.TB
	fatal string // what Fatalf was called with
}

func (r *recordingT) Fatalf(format string, args ...any) {
	r.fatal = fmt.Sprintf(format, args...)
	runtime.Goexit() // as testing.T does
}

func TestWaitsBetweenRetries(t *testing.T) {
	t.Parallel()
	const ms = time.Millisecond
	tests := []struct {
		name   string
		option courier.Option
		fault  Fault
		want   []time.Duration
	}{
		{"none", courier.WithMaxRetries(3), Fault{Status: 503}, []time.Duration{0, 0, 0}},
		{"as an option says", courier.WithRetryWait(ms, ms), Fault{Status: 503},
			[]time.Duration{ms, ms, 0}},
		{"as a fault says", courier.WithMaxRetries(3), Fault{Status: 503, RetryAfter: "1"},
			[]time.Duration{time.Second, 0, 0}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var waits []time.Duration
			observer := courier.WithObserver(func(_ context.Context, a courier.Attempt) {
				waits = append(waits, a.Wait)
			})
			server := NewServer(t)
			client := server.Client(test.option, observer)
			server.Fail(test.fault, Fault{Reset: true})
			_, err := client.Profiles.Merge(t.Context(), "u", courier.Profile{})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, waits); diff != "" {
				t.Errorf("waits (-want +got):\n%s", diff)
			}
		})
	}
}

// Responses of the fake are what the client maps to its errors.
func TestErrorsReachTheClient(t *testing.T) {
	t.Parallel()
	server := NewServer(t)
	client := server.Client(courier.WithMaxRetries(0))
	profiles, ctx := client.Profiles, t.Context()

	_, err := profiles.Get(ctx, "u")
	wantErrorType[*courier.NotFoundError](t, err)

	server.Fail(Fault{Status: 429, RetryAfter: "0"})
	_, err = profiles.Merge(ctx, "u", courier.Profile{})
	wantErrorType[*courier.RateLimitError](t, err)

	server.Fail(Fault{CutOff: true})
	_, err = profiles.Merge(ctx, "u", courier.Profile{})
	wantErrorType[*courier.ConnectionError](t, err)

	large := courier.Profile{Name: courier.Set(strings.Repeat("x", 7_000_000))}
	_, err = profiles.Replace(ctx, "u", large)
	wantErrorType[*courier.PayloadTooLargeError](t, err)
}

func wantErrorType[E error](t *testing.T, err error) {
	t.Helper()
	var target E
	if !errors.As(err, &target) {
		t.Errorf("error %v, want a %T", err, target)
	}
}

func TestClientReadsAllPages(t *testing.T) {
	t.Parallel()
	server := NewServer(t)
	client := server.Client()
	var lists []courier.ListSubscription
	for i := range 10 {
		lists = append(lists, courier.ListSubscription{ListID: fmt.Sprint("list-", i)})
	}
	_, err := client.Profiles.Lists.Subscribe(t.Context(), "u", lists)
	if err != nil {
		t.Fatal(err)
	}
	var got []courier.Subscription
	for subscription, err := range client.Profiles.Lists.All(t.Context(), "u") {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, subscription)
	}
	if len(got) != len(lists) {
		t.Errorf("read %d subscriptions, want %d", len(got), len(lists))
	}
	if diff := cmp.Diff(server.Subscriptions("u"), got); diff != "" {
		t.Errorf("subscriptions (-stored +read):\n%s", diff)
	}
}

func TestCloseEndsADelay(t *testing.T) {
	t.Parallel()
	server := NewServer(t)
	server.Fail(Fault{Delay: time.Hour})
	done := make(chan error)
	go func() {
		_, _, err := readResponse(http.Get(server.URL + "/profiles/u"))
		done <- err
	}()
	waitForRequest(server.Handler)
	server.Close()
	if err := <-done; err == nil {
		t.Error("the delayed request got a response")
	}
	if got := len(server.Requests()); got != 1 {
		t.Errorf("%d requests after Close, want 1", got)
	}
}

// Close does not wait for a client that never sends the rest of its body.
func TestCloseEndsAHalfSentRequest(t *testing.T) {
	t.Parallel()
	server := NewServer(t)
	conn, err := net.Dial("tcp", strings.TrimPrefix(server.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	// The response to Expect says that the handler is waiting for the body.
	_, err = io.WriteString(conn, "PUT /profiles/v HTTP/1.1\r\n"+
		"Host: x\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n")
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.ReadFull(conn, make([]byte, len("HTTP/1.1 100 Continue\r\n\r\n")))
	if err != nil {
		t.Fatal(err)
	}
	server.Close() // would take for ever
}

func TestClientThatGoesAwayEndsADelay(t *testing.T) {
	t.Parallel()
	h := NewHandler()
	h.Fail(Fault{Delay: time.Hour})
	finished := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(finished)
		h.ServeHTTP(w, r)
	}))
	defer server.Close()
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		waitForRequest(h)
		cancel()
	}()
	r := request(t, server, "DELETE", "/profiles/u", "").WithContext(ctx)
	_, _, err := readResponse(server.Client().Do(r))
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
	<-finished
}

// waitForRequest returns when a handler has received its first request.
func waitForRequest(h *Handler) {
	for len(h.Requests()) == 0 {
		time.Sleep(time.Millisecond)
	}
}
