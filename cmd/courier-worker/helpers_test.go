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
const asProgram = "COURIER_WORKER_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	goleak.VerifyTestMain(m)
}

// quick is for tests in which updates are retried.
var quick = settings{
	ackWait: 30 * time.Second, retryWait: time.Millisecond, maxRetryWait: 10 * time.Millisecond,
	maxDeliveries: 100, replicas: 1,
}

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
	return nats, newJetStream(t, nats)
}

func newJetStream(t *testing.T, nats *server.Server) jetstream.JetStream {
	t.Helper()
	js, err := connect(nats.ClientURL(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(js.Conn().Close)
	return js
}

// newQueueOf opens the queue, and creates its stream with that number of partitions.
func newQueueOf(t *testing.T, js jetstream.JetStream, partitions int) *queue {
	t.Helper()
	s := quick
	s.partitions = partitions
	q, err := openQueue(stuckContext(t), js, s)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// newFake starts a fake of Courier with something in front of it.
func newFake(t *testing.T, wrap func(http.Handler) http.Handler) *fake {
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
	return &fake{handler, server.URL}
}

type fake struct {
	*couriertest.Handler
	url string
}

func newWorker(
	t *testing.T, js jetstream.JetStream, f *fake, s settings,
) (*worker, *output) {
	t.Helper()
	client, err := courier.NewClient(f.APIKey,
		courier.WithBaseURL(f.url), courier.WithMaxRetries(0))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.CloseIdleConnections)
	log := newOutput()
	handler := slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})
	return &worker{client: client, js: js, settings: s, log: slog.New(handler)}, log
}

// runUntilEmpty runs the worker until the stream is empty.
func runUntilEmpty(t *testing.T, w *worker, q *queue) {
	t.Helper()
	ctx := stuckContext(t)
	if err := w.runUntilEmpty(ctx, ctx, q.stream); err != nil {
		t.Error(err)
	}
}

// startWorker runs the worker until the test calls stop.
func startWorker(t *testing.T, w *worker) (stop func()) {
	t.Helper()
	ctx := stuckContext(t)
	drain, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- w.run(ctx, drain) }()
	return func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

func mustPublish(
	t *testing.T, js jetstream.JetStream, id, user string, profile courier.Profile,
) *jetstream.PubAck {
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

func planOf(t *testing.T, f *fake, user string) string {
	t.Helper()
	profile, ok := f.Profile(user)
	if !ok {
		return "no profile"
	}
	var custom struct{ Plan string }
	if err := profile.DecodeCustom(&custom); err != nil {
		t.Fatal(err)
	}
	return custom.Plan
}

func checkPlan(t *testing.T, f *fake, user, want string) {
	t.Helper()
	if got := planOf(t, f, user); got != want {
		t.Errorf("the plan of %s is %s, want %s", user, got, want)
	}
}

func checkError(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("error: %v, want %q", err, want)
	}
}

// checkOmits checks that a text, such as a log, has no secrets and no personal data.
func checkOmits(t *testing.T, text string, unwanted ...string) {
	t.Helper()
	for _, secret := range unwanted {
		if strings.Contains(text, secret) {
			t.Errorf("it holds %q:\n%s", secret, text)
		}
	}
}

// stored returns how many updates are in the stream.
func (q *queue) stored(t *testing.T) uint64 {
	t.Helper()
	info, err := q.stream.Info(stuckContext(t))
	if err != nil {
		t.Fatal(err)
	}
	return info.State.Msgs
}

// deadLetters returns the dead letters, oldest first, of which there must be n.
func deadLetters(t *testing.T, js jetstream.JetStream, n int) []*jetstream.RawStreamMsg {
	t.Helper()
	ctx := stuckContext(t)
	dead, err := js.Stream(ctx, deadName)
	if err != nil {
		t.Fatal(err)
	}
	if got := dead.CachedInfo().State.Msgs; got != uint64(n) {
		t.Fatalf("%d dead letters, want %d", got, n)
	}
	var letters []*jetstream.RawStreamMsg
	for i := range n {
		letter, err := dead.GetMsg(ctx, uint64(i)+1)
		if err != nil {
			t.Fatal(err)
		}
		letters = append(letters, letter)
	}
	return letters
}

// sentPlan returns the plan in a request, whose body can be read again.
func sentPlan(t *testing.T, r *http.Request) string {
	var sent struct {
		Profile struct{ Custom struct{ Plan string } }
	}
	if err := json.NewDecoder(late(r).Body).Decode(&sent); err != nil {
		t.Error(err)
	}
	return sent.Profile.Custom.Plan
}

// late returns a copy of a request whose sender may be gone by the time it is served.
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

// startProcess has no environment but what the program needs.
func startProcess(t *testing.T, natsURL string, f *fake, key string, args ...string) *process {
	t.Helper()
	p := &process{Cmd: exec.Command(os.Args[0], args...), out: newOutput()}
	p.Env = []string{asProgram + "=1", "TMPDIR=" + os.TempDir(),
		"GORACE=" + os.Getenv("GORACE"), "NATS_URL=" + natsURL,
		"COURIER_BASE_URL=" + f.url, "COURIER_API_KEY=" + key}
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

func (p *process) signal(t *testing.T, signal os.Signal) {
	t.Helper()
	if err := p.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
}

// mustExit waits for the end of the process, which must have that exit code; -1 is the end
// by a signal.
func (p *process) mustExit(t *testing.T, want int) {
	t.Helper()
	timer := time.AfterFunc(stuck, func() { _ = p.Process.Kill() })
	defer timer.Stop()
	err := p.Wait()
	if _, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
		t.Fatal(err)
	}
	if got := p.ProcessState.ExitCode(); got != want {
		t.Errorf("exit code %d, want %d:\n%s", got, want, p.out)
	}
}

// program runs the program in this process, with the environment that the test has set.
func program(t *testing.T, in string, args ...string) (out string, err error) {
	t.Helper()
	var stdout strings.Builder
	err = run(t.Context(), t.Context(), args, strings.NewReader(in), &stdout, newOutput())
	return stdout.String(), err
}

// setEnvironment sets all that the program reads.
func setEnvironment(t *testing.T, natsURL, apiKey string) {
	t.Helper()
	for name, value := range map[string]string{
		"NATS_URL": natsURL, "NATS_CREDS": "",
		"COURIER_API_KEY": apiKey, "COURIER_AUTH_TOKEN": "", "COURIER_BASE_URL": "",
	} {
		t.Setenv(name, value)
	}
}
