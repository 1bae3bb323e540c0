package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	courier "github.com/courier-profiles/courier-go"
)

func TestServesUntilTheContextEnds(t *testing.T) {
	const delay = 50 * time.Millisecond
	drain, stop := context.WithCancel(t.Context())
	defer stop()
	out, in := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		args := []string{"-addr", "127.0.0.1:0", "-key", "key", "-fail", "429,503",
			"-delay", delay.String()}
		err := run(t.Context(), drain, args, in)
		in.CloseWithError(err)
		ended <- err
	}()

	lines := bufio.NewScanner(out)
	for range 2 {
		if !lines.Scan() {
			t.Fatal("it did not print its two variables")
		}
		name, value, _ := strings.Cut(lines.Text(), "=")
		t.Setenv(name, value)
	}
	if !lines.Scan() {
		t.Fatal("it did not print a third line")
	}
	page := os.Getenv("COURIER_BASE_URL") + "/"
	if got := lines.Text(); !strings.HasPrefix(got, "#") || !strings.HasSuffix(got, page) {
		t.Errorf("the third line is %q, want a comment that ends with %s", got, page)
	}
	events, err := http.Get(page + "ui/events") // an open page must not keep it from ending
	if err != nil {
		t.Fatal(err)
	}
	defer events.Body.Close()
	client, err := courier.NewClientFromEnv(courier.WithMaxRetries(0))
	if err != nil {
		t.Fatal(err)
	}

	profile := courier.Profile{Email: courier.Set("ada@example.com")}
	var got []int
	for range 3 {
		begin := time.Now()
		result, err := client.Profiles.Merge(t.Context(), "user-1", profile)
		if took := time.Since(begin); took < delay {
			t.Errorf("a merge took %v, want at least %v", took, delay)
		}
		var refused *courier.APIError
		switch {
		case errors.As(err, &refused):
			got = append(got, refused.StatusCode)
		case err != nil:
			t.Fatal(err)
		default:
			got = append(got, result.StatusCode)
		}
	}
	if diff := cmp.Diff([]int{429, 503, 200}, got); diff != "" {
		t.Errorf("statuses of the first three merges (-want +got):\n%s", diff)
	}

	stop()
	if err := <-ended; err != nil {
		t.Errorf("run: %v", err)
	}
}

// A second signal does not wait for requests in flight.
func TestSecondSignal(t *testing.T) {
	t.Parallel()
	ctx, cut := context.WithCancel(t.Context())
	drain, stop := context.WithCancel(ctx)
	out, in := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := run(ctx, drain, []string{"-addr", "127.0.0.1:0"}, in)
		in.CloseWithError(err)
		ended <- err
	}()
	output := bufio.NewReader(out)
	line, err := output.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = output.WriteTo(io.Discard) }()
	addr := strings.TrimPrefix(strings.TrimSpace(line), "COURIER_BASE_URL=http://")
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, err = io.WriteString(conn, "POST /profiles/user-1 HTTP/1.1\r\nHost: localhost\r\n"+
		"Content-Length: 2\r\nExpect: 100-continue\r\n\r\n")
	if err != nil {
		t.Fatal(err)
	}
	// It asks for the body, which never comes: the request is in flight.
	line, err = bufio.NewReader(conn).ReadString('\n')
	if err != nil || !strings.Contains(line, "100 Continue") {
		t.Fatalf("the response is %q (%v), want 100 Continue", line, err)
	}

	stop()
	cut()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("run: %v, want context.Canceled", err)
	}
}

// The address that it prints is one that programs on this machine can use.
func TestBaseURL(t *testing.T) {
	t.Parallel()
	for ip, want := range map[string]string{
		"127.0.0.1": "http://127.0.0.1:8080",
		"::1":       "http://[::1]:8080",
		"192.0.2.1": "http://192.0.2.1:8080",
		"0.0.0.0":   "http://localhost:8080",
		"::":        "http://localhost:8080",
	} {
		got := baseURL(&net.TCPAddr{IP: net.ParseIP(ip), Port: 8080})
		if got != want {
			t.Errorf("%s: %s, want %s", ip, got, want)
		}
	}
}

func newRequest(ctx context.Context) *http.Request {
	return httptest.NewRequestWithContext(ctx, http.MethodGet, "/", nil)
}

// Every request takes the delay, and requests do not wait for each other.
func TestDelay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const delay = 100 * time.Millisecond
		handler := delayed(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusTeapot)
		}), delay)
		for range 2 {
			begin := time.Now()
			var all sync.WaitGroup
			for range 3 {
				all.Go(func() {
					response := httptest.NewRecorder()
					handler.ServeHTTP(response, newRequest(t.Context()))
					if response.Code != http.StatusTeapot {
						t.Errorf("status %d, want that of the handler", response.Code)
					}
				})
			}
			all.Wait()
			if took := time.Since(begin); took != delay {
				t.Errorf("three requests at once took %v, want %v", took, delay)
			}
		}
	})
}

// A request whose sender has gone away is not served.
func TestDelayOfAbandonedRequest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		handler := delayed(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			t.Error("the request is served")
		}), time.Hour)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begin := time.Now()
		handler.ServeHTTP(httptest.NewRecorder(), newRequest(ctx))
		if took := time.Since(begin); took != time.Second {
			t.Errorf("it took %v, want 1s", took)
		}
	})
}

func TestRefuses(t *testing.T) {
	t.Parallel()
	drain, stop := context.WithCancel(t.Context())
	stop() // ends what should not have started
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"-key", ""}, "-key is empty"},
		{[]string{"-addr", "127.0.0.1"}, "missing port"},
		{[]string{"-delay", "-1s"}, "-delay is negative"},
		{[]string{"-fail=503", "8080"}, `unexpected argument "8080"`},
	} {
		err := run(t.Context(), drain, test.args, io.Discard)
		if err == nil {
			t.Errorf("run(%q) started", test.args)
		} else if !strings.Contains(err.Error(), test.want) {
			t.Errorf("run(%q): the error is %q, want %q", test.args, err, test.want)
		}
	}
}
