package couriertest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	courier "github.com/courier-profiles/courier-go"
)

func TestServer(t *testing.T) {
	t.Parallel()
	server := NewServer()
	defer server.Close()
	if !strings.HasPrefix(server.URL, "http://127.0.0.1:") {
		t.Errorf("URL %q", server.URL)
	}
	client, err := server.Client()
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	want := courier.Profile{Email: courier.Set("a@example.com")}
	for _, id := range []string{"a/b", "../lists/x", "a?b", "a#b", "100%", "ü/✓", "line\nbreak"} {
		if _, err := client.Profiles.Merge(ctx, id, want); err != nil {
			t.Fatalf("%q: %v", id, err)
		}
		got, ok := server.Profile(id)
		if diff := cmp.Diff(want, got); !ok || diff != "" {
			t.Errorf("%q: %s", id, diff)
		}
		result, err := client.Profiles.Get(ctx, id)
		if err != nil {
			t.Fatalf("%q: %v", id, err)
		}
		if diff := cmp.Diff(want, result.Profile); diff != "" {
			t.Errorf("%q: %s", id, diff)
		}
	}
}

func TestServersShareNothing(t *testing.T) {
	t.Parallel()
	a, b := NewServer(), NewServer()
	defer a.Close()
	defer b.Close()
	if err := a.SetProfile("u", courier.Profile{}); err != nil {
		t.Fatal(err)
	}
	if _, ok := b.Profile("u"); ok || a.URL == b.URL {
		t.Error("two servers share data")
	}
}

func TestClientOptions(t *testing.T) {
	t.Parallel()
	server := NewServer()
	defer server.Close()
	server.APIKey = "mine"
	opts := make([]courier.Option, 1, 4)
	opts[0] = courier.WithUserAgent("app/1")
	spare := opts[:4]
	client, err := server.Client(opts...)
	if err != nil {
		t.Fatal(err)
	}
	if spare[1] != nil {
		t.Error("wrote to the caller's slice")
	}
	if _, err := client.Profiles.Merge(t.Context(), "u", courier.Profile{}); err != nil {
		t.Fatal(err)
	}
	header := server.Requests()[0].Header
	if got := header.Get("User-Agent"); !strings.HasPrefix(got, "app/1 ") {
		t.Errorf("User-Agent %q", got)
	}
	if got := header.Get("Authorization"); got != "Bearer mine" {
		t.Errorf("Authorization %q", got)
	}
	if _, err := server.Client(courier.WithMaxRetries(-1)); err == nil {
		t.Error("an invalid option is accepted")
	}
}

func TestClientDoesNotWaitBetweenRetries(t *testing.T) {
	t.Parallel()
	server := NewServer()
	defer server.Close()
	var waits []time.Duration
	observe := courier.WithObserver(func(_ context.Context, a courier.Attempt) { waits = append(waits, a.Wait) })
	merge := func(opts ...courier.Option) {
		t.Helper()
		waits = nil
		client, err := server.Client(append(opts, observe)...)
		if err != nil {
			t.Fatal(err)
		}
		server.Fail(Fault{Status: 503}, Fault{Reset: true})
		if _, err := client.Profiles.Merge(t.Context(), "u", courier.Profile{}); err != nil {
			t.Fatal(err)
		}
	}
	merge()
	if diff := cmp.Diff([]time.Duration{0, 0, 0}, waits); diff != "" {
		t.Errorf("waits (-want +got):\n%s", diff)
	}
	merge(courier.WithRetryWait(time.Millisecond, time.Millisecond))
	if diff := cmp.Diff([]time.Duration{time.Millisecond, time.Millisecond, 0}, waits); diff != "" {
		t.Errorf("waits with an option (-want +got):\n%s", diff)
	}
}

func TestErrorsReachTheClient(t *testing.T) {
	t.Parallel()
	server := NewServer()
	defer server.Close()
	client, err := server.Client(courier.WithMaxRetries(1))
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	server.Fail(Fault{Status: 503}, Fault{Status: 429, RetryAfter: "0"})
	if _, err := client.Profiles.Merge(ctx, "u", courier.Profile{}); !isA[*courier.RateLimitError](err) {
		t.Errorf("error %v, want a RateLimitError", err)
	}
	if _, err := client.Profiles.Get(ctx, "u"); !isA[*courier.NotFoundError](err) {
		t.Errorf("error %v, want a NotFoundError", err)
	}
	server.Fail(Fault{Reset: true}, Fault{CutOff: true})
	if _, err := client.Profiles.Merge(ctx, "u", courier.Profile{}); !isA[*courier.ConnectionError](err) {
		t.Errorf("error %v, want a ConnectionError", err)
	}
	large := courier.Profile{Name: courier.Set(strings.Repeat("x", 7_000_000))}
	if _, err := client.Profiles.Replace(ctx, "u", large); !isA[*courier.PayloadTooLargeError](err) {
		t.Errorf("error %v, want a PayloadTooLargeError", err)
	}
}

func isA[E error](err error) bool {
	var target E
	return errors.As(err, &target)
}

func TestClientReadsAllPages(t *testing.T) {
	t.Parallel()
	server := NewServer()
	defer server.Close()
	client, err := server.Client()
	if err != nil {
		t.Fatal(err)
	}
	var lists []courier.ListSubscription
	for i := range 10 {
		lists = append(lists, courier.ListSubscription{ListID: fmt.Sprint("list-", i)})
	}
	if _, err := client.Profiles.Lists.Subscribe(t.Context(), "u", lists); err != nil {
		t.Fatal(err)
	}
	var got []courier.Subscription
	for subscription, err := range client.Profiles.Lists.All(t.Context(), "u") {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, subscription)
	}
	if diff := cmp.Diff(server.Subscriptions("u"), got); diff != "" || len(got) != 10 {
		t.Errorf("subscriptions (-stored +read):\n%s", diff)
	}
}

func TestCloseEndsRequests(t *testing.T) {
	t.Parallel()
	server := NewServer()
	server.Fail(Fault{Delay: time.Hour})
	delayed := make(chan error, 1)
	go func() {
		response, err := http.Get(server.URL + "/profiles/u")
		if err == nil {
			_ = response.Body.Close()
		}
		delayed <- err
	}()
	halfSent, err := net.Dial("tcp", strings.TrimPrefix(server.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = halfSent.Close() }()
	// The response to Expect says that the handler is waiting for the body.
	if _, err := io.WriteString(halfSent, "PUT /profiles/v HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(halfSent, make([]byte, len("HTTP/1.1 100 Continue\r\n\r\n"))); err != nil {
		t.Fatal(err)
	}
	for len(server.Requests()) == 0 {
		time.Sleep(time.Millisecond)
	}

	start := time.Now()
	server.Close()
	if took := time.Since(start); took > 4*time.Second {
		t.Errorf("Close took %v", took)
	}
	if err := <-delayed; err == nil {
		t.Error("the delayed request got a response")
	}
	if len(server.Requests()) == 0 {
		t.Error("Close removed the requests")
	}
	server.Close()
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
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, "DELETE", server.URL+"/profiles/u", nil)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for len(h.Requests()) == 0 {
			time.Sleep(time.Millisecond)
		}
		cancel()
	}()
	response, err := server.Client().Do(r)
	if err == nil {
		_ = response.Body.Close()
	}
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
	<-finished
}
