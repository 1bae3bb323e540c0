package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	courier "github.com/courier-profiles/courier-go"
	"github.com/courier-profiles/courier-go/couriertest"
)

const (
	attemptTimeout = 600 * time.Millisecond
	maxAttempts    = 4   // of a call, by default
	reserve        = 500 // retries that the budget allows without a success
)

// user is a user as the client sees it.
type user struct {
	id string

	mu      sync.Mutex
	seq     int             // of the last attempt
	attempt context.Context // of the last attempt
	started map[int]time.Time
	wrong   []string // what an attempt must not have done
}

func newUser(n int) *user {
	return &user{id: fmt.Sprint("user-", n), started: make(map[int]time.Time)}
}

// start returns when the first attempt of update n started.
func (u *user) start(n int) time.Time {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.started[n]
}

// watch returns a context for one call of update n, and a function to call when it
// has returned: nothing may be sent after that.
func (u *user) watch(ctx context.Context, n int) (call context.Context, returned func()) {
	over := false
	trace := &httptrace.ClientTrace{GetConn: func(string) {
		u.mu.Lock()
		defer u.mu.Unlock()
		if over {
			u.wrong = append(u.wrong, fmt.Sprintf("an attempt of update %d starts after the call has returned", n))
		}
	}}
	return httptrace.WithClientTrace(ctx, trace), func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		over = true
	}
}

// client is a client, with a record of its attempts.
type client struct {
	*courier.Client
	users map[string]*user

	mu              sync.Mutex
	attempts        int
	withoutResponse int
	failed          map[string]int
}

// newClient returns a client. If watched, each of its requests is checked before it is
// sent.
func newClient(t *testing.T, n *network, s *server, users []*user, watched bool) *client {
	t.Helper()
	c := &client{users: make(map[string]*user), failed: make(map[string]int)}
	for _, u := range users {
		c.users[u.id] = u
	}
	// The client's own pool, with shorter timeouts.
	base := &http.Transport{
		DialContext:         n.dial,
		IdleConnTimeout:     3 * attemptTimeout,
		TLSHandshakeTimeout: attemptTimeout / 2,
		HTTP2:               &http.HTTP2Config{SendPingTimeout: attemptTimeout / 2, PingTimeout: attemptTimeout / 2},
		TLSClientConfig:     s.tlsConfig(),
	}
	transport := courier.NewTransport(base)
	if watched {
		transport = watcher{transport, c}
	}
	observe := func(_ context.Context, a courier.Attempt) {
		c.ends(a)
		if err := n.attempted(); err != nil {
			t.Error(err)
		}
	}
	var err error
	c.Client, err = courier.NewClient(couriertest.DefaultAPIKey,
		courier.WithBaseURL(s.URL),
		courier.WithHTTPClient(&http.Client{Transport: transport}),
		courier.WithTimeout(attemptTimeout),
		courier.WithRetryWait(10*time.Millisecond, 160*time.Millisecond),
		courier.WithMaxRetryAfter(2*attemptTimeout),
		courier.WithObserver(observe))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// watcher checks every attempt before it is sent.
type watcher struct {
	http.RoundTripper
	client *client
}

func (w watcher) CloseIdleConnections() {
	(&http.Client{Transport: w.RoundTripper}).CloseIdleConnections()
}

func (w watcher) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := w.client.starts(req); err != nil {
		return nil, err
	}
	return w.RoundTripper.RoundTrip(req)
}

// starts records the start of an attempt. The context of an attempt ends with it,
// which shows whether the previous one is over.
func (c *client) starts(req *http.Request) error {
	body, err := req.GetBody()
	if err != nil {
		return err
	}
	var sent struct {
		Profile struct{ Custom struct{ Seq int } }
	}
	if err := json.NewDecoder(body).Decode(&sent); err != nil {
		return err
	}
	seq := sent.Profile.Custom.Seq
	u := c.users[strings.TrimPrefix(req.URL.Path, "/profiles/")]
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.attempt != nil && u.attempt.Err() == nil {
		u.wrong = append(u.wrong, fmt.Sprintf("an attempt of update %d starts while one of %d is in flight", seq, u.seq))
	}
	if seq < u.seq {
		u.wrong = append(u.wrong, fmt.Sprintf("an attempt of update %d starts after one of %d", seq, u.seq))
	}
	u.attempt, u.seq = req.Context(), seq
	if _, again := u.started[seq]; !again {
		u.started[seq] = time.Now()
	}
	return nil
}

// ends counts an attempt that has ended.
func (c *client) ends(a courier.Attempt) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.attempts++
	if a.StatusCode == 0 {
		c.withoutResponse++
	}
	if a.Err != nil {
		c.failed[cause(a.Err)]++
	}
}

// cause returns a short name for why an attempt failed.
func cause(err error) string {
	var response *courier.APIError
	switch {
	case errors.As(err, &response):
		return fmt.Sprint(response.StatusCode)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return "timeout"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "refused"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "reset"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "EOF"
	}
	var lost *courier.ConnectionError
	if !errors.As(err, &lost) {
		return fmt.Sprintf("%T", err)
	}
	// These have no type or value to look for.
	for _, known := range []struct{ text, word string }{
		{"malformed", "garbled"},
		{"stream error", "stream reset"},
		{"force closed", "connection lost"},
		{"could not be established", "connection lost"},
		{"client connection lost", "ping unanswered"},
		{"TLS handshake timeout", "timeout"},
		{"server closed idle connection", "EOF"},
		{"server sent GOAWAY", "GOAWAY"},
	} {
		if strings.Contains(lost.Err.Error(), known.text) {
			return known.word
		}
	}
	return fmt.Sprintf("%T %v", lost.Err, lost.Err)
}

// kind returns the name of the error's type, and false if the faults here cannot
// cause it.
func kind(err error) (string, bool) {
	name := strings.TrimPrefix(fmt.Sprintf("%T", err), "*courier.")
	var (
		lost     *courier.ConnectionError
		limited  *courier.RateLimitError
		failed   *courier.ServerError
		conflict *courier.ConflictError
	)
	return name, errors.As(err, &lost) || errors.As(err, &limited) || errors.As(err, &failed) || errors.As(err, &conflict)
}

// attemptsOf returns how many attempts a call took.
func attemptsOf(result *courier.Result, err error) int {
	var (
		response *courier.APIError
		lost     *courier.ConnectionError
	)
	switch {
	case err == nil:
		return result.Attempts
	case errors.As(err, &response):
		return response.Attempts
	case errors.As(err, &lost):
		return lost.Attempts
	}
	return 0
}
