package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	courier "github.com/courier-profiles/courier-go"
	"github.com/courier-profiles/courier-go/couriertest"
)

// asProgram in the environment makes the test binary the program, for tests of
// processes; it has the race detector if the tests have.
const asProgram = "COURIER_WORKER_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	goleak.VerifyTestMain(m)
}

// quick is for tests in which updates are retried.
var quick = settings{ackWait: 30 * time.Second, retryWait: time.Millisecond, maxRetryWait: 10 * time.Millisecond, maxDeliveries: 100, replicas: 1, partitions: 16}

// stuck is as long as a test that fails may take.
const stuck = 2 * time.Minute

func stuckContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), stuck)
	t.Cleanup(cancel)
	return ctx
}

func newNATS(t *testing.T) (*server.Server, jetstream.JetStream) {
	t.Helper()
	nats, err := startNATS(t.TempDir(), server.RANDOM_PORT)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stopNATS(nats) })
	js, err := connect(nats.ClientURL(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(js.Conn().Close)
	return nats, js
}

func newStreams(t *testing.T, js jetstream.JetStream, partitions int) *queue {
	t.Helper()
	q, err := openStreams(stuckContext(t), js, 1, partitions)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// newOldStream creates the stream as version 0.1 did, and adds what a publisher
// and a worker of 0.1 left there.
func newOldStream(t *testing.T, js jetstream.JetStream) {
	t.Helper()
	ctx := stuckContext(t)
	stream, err := js.CreateStream(ctx, jetstream.StreamConfig{
		Name:       streamName,
		Subjects:   []string{"courier.profiles.*"},
		Retention:  jetstream.WorkQueuePolicy,
		Duplicates: 2 * time.Minute,
	})
	if err != nil {
		t.Fatal(err)
	}
	// user-1 is in partition 52 of 64.
	_, err = stream.CreateConsumer(ctx, jetstream.ConsumerConfig{
		Durable:       "partition-52",
		FilterSubject: "courier.profiles.52",
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       quick.ackWait,
		MaxAckPending: 1,
		MaxDeliver:    -1,
	})
	if err != nil {
		t.Fatal(err)
	}
	payload := []byte(`{"user_id":"user-1","profile":{"custom":{"plan":"old"}}}`)
	if _, err := js.Publish(ctx, "courier.profiles.52", payload, jetstream.WithMsgID("old")); err != nil {
		t.Fatal(err)
	}
}

// api is the Profiles API with something in front of it.
type api struct {
	*couriertest.Handler
	url string
}

func newAPI(t *testing.T, wrap func(*couriertest.Handler) http.Handler) *api {
	t.Helper()
	handler := couriertest.NewHandler()
	var front http.Handler = handler
	if wrap != nil {
		front = wrap(handler)
	}
	server := httptest.NewServer(front)
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	return &api{Handler: handler, url: server.URL}
}

func (a *api) client(t *testing.T) *courier.Client {
	t.Helper()
	client, err := courier.NewClient(a.APIKey, courier.WithBaseURL(a.url), courier.WithMaxRetries(0))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.CloseIdleConnections)
	return client
}

func newWorker(t *testing.T, js jetstream.JetStream, a *api, s settings) (*worker, *output) {
	t.Helper()
	log := newOutput()
	return &worker{
		client: a.client(t), js: js, settings: s,
		log: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}, log
}

// empty runs the worker until the stream is empty.
func empty(t *testing.T, w *worker, q *queue) {
	t.Helper()
	ctx, stop := context.WithCancel(stuckContext(t))
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- w.run(ctx) }()
	if err := waitUntilEmpty(ctx, q.stream); err != nil {
		t.Error(err)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func mustPublish(t *testing.T, js jetstream.JetStream, id, user string, profile courier.Profile) *jetstream.PubAck {
	t.Helper()
	p, err := NewPublisher(stuckContext(t), js)
	if err != nil {
		t.Fatal(err)
	}
	ack, err := p.Publish(stuckContext(t), id, user, profile)
	if err != nil {
		t.Fatal(err)
	}
	return ack
}

// plan is a profile of which only the last one that was merged shows.
func plan(name string) courier.Profile {
	return courier.Profile{Custom: courier.Set(map[string]any{"plan": name})}
}

func planOf(t *testing.T, a *api, user string) string {
	t.Helper()
	profile, ok := a.Profile(user)
	if !ok {
		return "no profile"
	}
	var custom struct{ Plan string }
	if err := profile.DecodeCustom(&custom); err != nil {
		t.Fatal(err)
	}
	return custom.Plan
}

// sentPlan returns the plan in a request, whose body can be read again.
func sentPlan(t *testing.T, r *http.Request) string {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Error(err)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	var sent struct {
		Profile struct{ Custom struct{ Plan string } }
	}
	if err := json.Unmarshal(body, &sent); err != nil {
		t.Error(err)
	}
	return sent.Profile.Custom.Plan
}

// late returns a copy of a request whose sender may be gone by the time it is
// served.
func late(r *http.Request) *http.Request {
	body, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(body))
	copied := r.Clone(context.Background())
	copied.Body = io.NopCloser(bytes.NewReader(body))
	return copied
}

// output is what a worker prints.
type output struct {
	mu      sync.Mutex
	text    bytes.Buffer
	changed chan struct{} // closed at the next change
}

func newOutput() *output { return &output{changed: make(chan struct{})} }

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	close(o.changed)
	o.changed = make(chan struct{})
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// await waits until the output holds text.
func (o *output) await(t *testing.T, text string) {
	t.Helper()
	timeout := time.After(stuck)
	for {
		o.mu.Lock()
		found, changed := strings.Contains(o.text.String(), text), o.changed
		o.mu.Unlock()
		if found {
			return
		}
		select {
		case <-changed:
		case <-timeout:
			t.Fatalf("no %q in the output:\n%s", text, o)
		}
	}
}

// process is a worker of its own.
type process struct {
	*exec.Cmd
	out *output // both of its streams
}

func startProcess(t *testing.T, natsURL string, a *api, key string, args ...string) *process {
	t.Helper()
	p := &process{Cmd: exec.Command(os.Args[0], args...), out: newOutput()}
	p.Env = append(environ(), asProgram+"=1", "NATS_URL="+natsURL, "COURIER_BASE_URL="+a.url, "COURIER_API_KEY="+key)
	p.Stdout, p.Stderr = p.out, p.out
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if p.ProcessState == nil {
			_ = p.Process.Kill()
			_ = p.Wait()
		}
	})
	return p
}

// environ is the environment without what the program reads.
func environ() []string {
	var kept []string
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "NATS_") && !strings.HasPrefix(variable, "COURIER_") {
			kept = append(kept, variable)
		}
	}
	return kept
}

// end sends a signal and returns how the process ended.
func (p *process) end(t *testing.T, signal os.Signal) *os.ProcessState {
	t.Helper()
	if err := p.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
	return p.wait(t)
}

func (p *process) wait(t *testing.T) *os.ProcessState {
	t.Helper()
	timer := time.AfterFunc(stuck, func() { _ = p.Process.Kill() })
	defer timer.Stop()
	err := p.Wait()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return p.ProcessState
}
