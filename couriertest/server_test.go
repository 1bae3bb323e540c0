package couriertest

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	courier "github.com/courier-profiles/courier-go"
)

func TestServer(t *testing.T) {
	server := NewServer()
	defer server.Close()
	if !strings.HasPrefix(server.URL, "http://127.0.0.1:") {
		t.Errorf("URL %q", server.URL)
	}
	client, err := server.Client()
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
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

func TestServersAreApart(t *testing.T) {
	a, b := NewServer(), NewServer()
	defer a.Close()
	defer b.Close()
	if err := a.SetProfile("u", courier.Profile{}); err != nil {
		t.Fatal(err)
	}
	if _, ok := b.Profile("u"); ok || a.URL == b.URL {
		t.Error("two servers share what they hold")
	}
}

func TestClientTakesTheKeyAndOptions(t *testing.T) {
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
		t.Error("the caller's slice was written to")
	}
	if _, err := client.Profiles.Merge(context.Background(), "u", courier.Profile{}); err != nil {
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
		t.Error("a bad option is no error")
	}
}

func TestErrorsReachTheClient(t *testing.T) {
	server := NewServer()
	defer server.Close()
	client, err := server.Client(courier.WithRetryWait(0, 0), courier.WithMaxRetries(1))
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	server.Fail(Fault{Status: 503}, Fault{Status: 429, RetryAfter: "0"})
	var limited *courier.RateLimitError
	if _, err := client.Profiles.Merge(ctx, "u", courier.Profile{}); !errors.As(err, &limited) {
		t.Errorf("error %v, want a RateLimitError", err)
	}
	var notFound *courier.NotFoundError
	if _, err := client.Profiles.Get(ctx, "u"); !errors.As(err, &notFound) {
		t.Errorf("error %v, want a NotFoundError", err)
	}
	server.Fail(Fault{Reset: true}, Fault{CutOff: true})
	var lost *courier.ConnectionError
	if _, err := client.Profiles.Merge(ctx, "u", courier.Profile{}); !errors.As(err, &lost) {
		t.Errorf("error %v, want a ConnectionError", err)
	}
}

func TestCloseEndsWhatIsInTheServer(t *testing.T) {
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
	// The server reads this header only; the answer to Expect says that it has,
	// so that both requests are in it when it closes.
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
		t.Error("the delayed request got an answer")
	}
	if len(server.Requests()) == 0 {
		t.Error("the requests are gone after Close")
	}
	server.Close()
}

func TestClientThatGoesAwayEndsADelay(t *testing.T) {
	server := NewServer()
	defer server.Close()
	server.Fail(Fault{Delay: time.Hour})
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	client, err := server.Client()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Profiles.Delete(ctx, "u"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v, want the deadline's", err)
	}
}
