//go:build interop

package interop

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	courier "github.com/courier-profiles/courier-go"
	"github.com/courier-profiles/courier-go/couriertest"
)

// pair has the two clients of one fake.
type pair struct {
	server *couriertest.Server
	client *courier.Client
	node   *node
}

func newPair(t *testing.T) *pair {
	t.Helper()
	server := couriertest.NewServer(t)
	return &pair{server: server, client: server.Client(), node: startNode(t, server)}
}

// node is a process of client.mjs.
type node struct {
	in  *json.Encoder
	out *bufio.Scanner
}

// nodeOutcome is the outcome of a call of the Node client.
type nodeOutcome struct {
	Result json.RawMessage
	Error  *nodeError
}

// nodeError is what the Node client threw.
type nodeError struct {
	Class         string
	Status        int
	Type, Message string
}

func startNode(t *testing.T, server *couriertest.Server) *node {
	t.Helper()
	if _, err := os.Stat("node_modules"); err != nil {
		t.Fatal("the Node client is not installed: npm ci --prefix internal/interop")
	}
	process := exec.CommandContext(t.Context(), "node", "client.mjs")
	process.Env = append(os.Environ(),
		"COURIER_BASE_URL="+server.URL, "COURIER_API_KEY="+server.APIKey)
	process.Stderr = t.Output()
	in, err := process.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := process.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_ = process.Wait() // the test's context has killed it
	})
	return &node{in: json.NewEncoder(in), out: bufio.NewScanner(out)}
}

// call calls a method of the Node client, such as "profiles.create". An argument is JSON,
// unless it is the user ID.
func (n *node) call(t *testing.T, method, userID string, args ...string) nodeOutcome {
	t.Helper()
	line := []any{method, userID}
	for _, arg := range args {
		line = append(line, json.RawMessage(arg))
	}
	if err := n.in.Encode(line); err != nil {
		t.Fatal(err)
	}
	if !n.out.Scan() {
		t.Fatalf("node ended in %s: %v", method, n.out.Err())
	}
	var outcome nodeOutcome
	if err := json.Unmarshal(n.out.Bytes(), &outcome); err != nil {
		t.Fatal(err)
	}
	return outcome
}

// write calls a method that writes, whose response must be one that Courier documents.
func (n *node) write(t *testing.T, method, userID string, args ...string) {
	t.Helper()
	result := string(n.read(t, method, userID, args...))
	if result != `{"status":"SUCCESS"}` && result != "null" {
		t.Errorf("the response to %s is %s, want a success", method, result)
	}
}

// read calls a method and returns its result.
func (n *node) read(t *testing.T, method, userID string, args ...string) json.RawMessage {
	t.Helper()
	outcome := n.call(t, method, userID, args...)
	if outcome.Error != nil {
		t.Fatalf("%s: the Node client threw %+v", method, *outcome.Error)
	}
	return outcome.Result
}

// wantProfile checks that both clients read this profile.
func (p *pair) wantProfile(t *testing.T, userID, want string) {
	t.Helper()
	got, err := p.client.Profiles.Get(t.Context(), userID)
	if err != nil {
		t.Fatal(err)
	}
	byGo, err := json.Marshal(got.Profile)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(decode(t, want), decode(t, string(byGo))); diff != "" {
		t.Errorf("the profile read by Go (-want +got):\n%s", diff)
	}
	byNode := p.node.read(t, "profiles.retrieve", userID)
	want = `{"profile": ` + want + `, "preferences": null}`
	if diff := cmp.Diff(decode(t, want), decode(t, string(byNode))); diff != "" {
		t.Errorf("the response read by Node (-want +got):\n%s", diff)
	}
}

// wantLists checks that both clients read subscriptions to these lists, over several pages.
func (p *pair) wantLists(t *testing.T, userID string, want []string) {
	t.Helper()
	var byGo, byNode []string
	for subscription, err := range p.client.Profiles.Lists.All(t.Context(), userID) {
		if err != nil {
			t.Fatal(err)
		}
		byGo = append(byGo, subscription.ID)
	}
	if diff := cmp.Diff(want, byGo); diff != "" {
		t.Errorf("the lists read by Go (-want +got):\n%s", diff)
	}

	var page struct {
		Results []struct{ ID string }
		Paging  struct {
			Cursor string
			More   bool
		}
	}
	for query, more := "{}", true; more; more = page.Paging.More {
		result := p.node.read(t, "profiles.lists.retrieve", userID, query)
		page.Results = nil
		if err := json.Unmarshal(result, &page); err != nil {
			t.Fatal(err)
		}
		for _, list := range page.Results {
			byNode = append(byNode, list.ID)
		}
		query = `{"cursor": "` + page.Paging.Cursor + `"}`
	}
	if diff := cmp.Diff(want, byNode); diff != "" {
		t.Errorf("the lists read by Node (-want +got):\n%s", diff)
	}
}

// decode reads JSON with exact numbers.
func decode(t *testing.T, text string) (value any) {
	t.Helper()
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	if err := decoder.Decode(&value); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return value
}
