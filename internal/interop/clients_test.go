//go:build interop

package interop

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	courier "github.com/courier-profiles/courier-go"
)

const (
	key     = "pk_interop"
	success = `{"status": "SUCCESS"}`
)

// fakeserver is the binary of examples/fakeserver.
var fakeserver string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "interop")
	if err != nil {
		log.Fatal(err)
	}
	fakeserver = filepath.Join(dir, "fakeserver")
	out, err := exec.Command("go", "build", "-o", fakeserver, "../../examples/fakeserver").CombinedOutput()
	if err != nil {
		log.Fatalf("go build: %v\n%s", err, out)
	}
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// clients are the two clients of a server.
type clients struct {
	client *courier.Client
	node   *node
}

// start starts examples/fakeserver, with its address, its key, and flags, and a
// Node process. Both end with the test.
func start(t *testing.T, flags ...string) *clients {
	t.Helper()
	server := command(t, fakeserver, append([]string{"-addr", "127.0.0.1:0", "-key", key}, flags...)...)
	lines := run(t, server)
	t.Cleanup(func() {
		_ = server.Process.Signal(syscall.SIGTERM)
		if err := server.Wait(); err != nil {
			t.Errorf("fakeserver: %v", err)
		}
	})
	for range 2 {
		// Where the server is, and its key: both clients read these names.
		name, value, _ := strings.Cut(readLine(t, lines), "=")
		t.Setenv(name, value)
	}

	client, err := courier.NewClientFromEnv()
	if err != nil {
		t.Fatal(err)
	}
	return &clients{client: client, node: startNode(t)}
}

// node is a process of client.mjs.
type node struct {
	in  *json.Encoder
	out *bufio.Reader
}

// request is what the Node client gave to fetch.
type request struct {
	Method, Path string
	Headers      map[string]string
	Body         string
}

// nodeError is what the Node client threw.
type nodeError struct {
	Class   string
	Status  int
	Message string
	Body    struct{ Type, Message string }
}

// outcome is the outcome of a call of the Node client.
type outcome struct {
	Result json.RawMessage
	Error  *nodeError
	Sent   []request
}

func startNode(t *testing.T) *node {
	t.Helper()
	if _, err := os.Stat("node_modules"); err != nil {
		t.Fatal("the Node client is not installed: npm ci --prefix internal/interop")
	}
	process := command(t, "node", "client.mjs")
	in, err := process.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out := run(t, process)
	t.Cleanup(func() {
		_ = in.Close()
		if err := process.Wait(); err != nil {
			t.Errorf("node: %v", err)
		}
	})
	return &node{in: json.NewEncoder(in), out: out}
}

// call calls a method of the Node client, such as "profiles.create".
func (n *node) call(t *testing.T, operation string, args ...any) outcome {
	t.Helper()
	if err := n.in.Encode(append([]any{operation}, args...)); err != nil {
		t.Fatal(err)
	}
	var a outcome
	if err := json.Unmarshal([]byte(readLine(t, n.out)), &a); err != nil {
		t.Fatal(err)
	}
	for _, sent := range a.Sent {
		for _, name := range []string{"x-stainless-arch", "x-stainless-os", "x-stainless-runtime-version"} {
			delete(sent.Headers, name) // they depend on the machine
		}
	}
	return a
}

// result is what the call returned.
func (a outcome) result(t *testing.T) any {
	t.Helper()
	if a.Error != nil {
		t.Fatalf("the Node client threw %+v", *a.Error)
	}
	return decode(t, string(a.Result))
}

// wantProfile checks that both clients read this profile.
func (c *clients) wantProfile(t *testing.T, id, want string) {
	t.Helper()
	got, err := c.client.Profiles.Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(decode(t, want), document(t, got.Profile)); diff != "" {
		t.Errorf("profile read by Go (-want +got):\n%s", diff)
	}
	want = `{"profile": ` + want + `, "preferences": null}`
	if diff := cmp.Diff(decode(t, want), c.node.call(t, "profiles.retrieve", id).result(t)); diff != "" {
		t.Errorf("response read by Node (-want +got):\n%s", diff)
	}
}

// wantNoProfile checks that both clients find no profile.
func (c *clients) wantNoProfile(t *testing.T, id string) {
	t.Helper()
	thrown := c.node.call(t, "profiles.retrieve", id).Error
	wantError(t, thrown, "NotFoundError", 404, "invalid_request_error")
	_, err := c.client.Profiles.Get(t.Context(), id)
	wantSameError[*courier.NotFoundError](t, thrown, err)
}

// wantSubscriptions checks that both clients read these subscriptions, whatever
// their times.
func (c *clients) wantSubscriptions(t *testing.T, id string, want []courier.Subscription) {
	t.Helper()
	var read []courier.Subscription
	for subscription, err := range c.client.Profiles.Lists.All(t.Context(), id) {
		if err != nil {
			t.Fatal(err)
		}
		if subscription.Created.IsZero() || subscription.Updated.IsZero() {
			t.Errorf("subscription to %s has no time", subscription.ID)
		}
		read = append(read, subscription)
	}
	times := cmpopts.IgnoreFields(courier.Subscription{}, "Created", "Updated")
	if diff := cmp.Diff(want, read, times); diff != "" {
		t.Errorf("subscriptions read by Go (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(read, c.node.subscriptions(t, id)); diff != "" {
		t.Errorf("subscriptions (-read by Go +read by Node):\n%s", diff)
	}
}

// subscriptions reads all pages; the Node client has no method that does.
func (n *node) subscriptions(t *testing.T, id string) (all []courier.Subscription) {
	t.Helper()
	query := map[string]string{}
	for pages := 1; ; pages++ {
		a := n.call(t, "profiles.lists.retrieve", id, query)
		a.result(t)
		var page struct {
			Results []courier.Subscription
			Paging  struct {
				Cursor string
				More   bool
			}
		}
		if err := json.Unmarshal(a.Result, &page); err != nil {
			t.Fatal(err)
		}
		all = append(all, page.Results...)
		if !page.Paging.More {
			if len(all) > 0 && pages < 2 {
				t.Errorf("%d subscriptions in one page, which tests no paging", len(all))
			}
			return all
		}
		query["cursor"] = page.Paging.Cursor
	}
}

// wantError checks an error of the Node client, whose message must be from the
// response.
func wantError(t *testing.T, got *nodeError, class string, status int, errorType string) {
	t.Helper()
	if got == nil {
		t.Fatalf("no error, want %s", class)
	}
	want := &nodeError{Class: class, Status: status, Message: fmt.Sprint(status, " ", got.Body.Message)}
	want.Body.Type, want.Body.Message = errorType, got.Body.Message
	if diff := cmp.Diff(want, got); diff != "" || got.Body.Message == "" {
		t.Errorf("error of the Node client (-want +got):\n%s", diff)
	}
}

// wantSameError checks that this module's client returns an E for the same
// response.
func wantSameError[E error](t *testing.T, thrown *nodeError, err error) {
	t.Helper()
	var precise E
	var got *courier.APIError
	if !errors.As(err, &precise) || !errors.As(err, &got) {
		t.Fatalf("error is %v, want a %T", err, precise)
	}
	diff := cmp.Diff(
		[]any{thrown.Status, thrown.Body.Type, thrown.Body.Message},
		[]any{got.StatusCode, got.Type, got.Message})
	if diff != "" {
		t.Errorf("error (-Node +Go):\n%s", diff)
	}
}

// command is a process that is killed when a test takes too long.
func command(t *testing.T, name string, args ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stderr = t.Output()
	return cmd
}

// run starts the process and returns its output.
func run(t *testing.T, cmd *exec.Cmd) *bufio.Reader {
	t.Helper()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return bufio.NewReader(out)
}

func readLine(t *testing.T, r *bufio.Reader) string {
	t.Helper()
	line, err := r.ReadString('\n')
	if err != nil {
		t.Fatalf("after %q: %v", line, err)
	}
	return strings.TrimSuffix(line, "\n")
}

// object is JSON to call the Node client with.
func object(text string) json.RawMessage { return json.RawMessage(text) }

// decode reads JSON, numbers as they are written.
func decode(t *testing.T, text string) (value any) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&value); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return value
}

// document is the JSON of value.
func document(t *testing.T, value any) any {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return decode(t, string(text))
}
