package browser

import (
	"bufio"
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	courier "github.com/courier-profiles/courier-go"
)

// binary is the program under test, and browser the context of a running Chromium.
var (
	binary  string
	browser context.Context
)

func TestMain(m *testing.M) {
	code, err := runTests(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(code)
}

func runTests(m *testing.M) (int, error) {
	folder, err := os.MkdirTemp("", "courier-fake-")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(folder)
	binary = filepath.Join(folder, "courier-fake")
	build := exec.Command("go", "build", "-C", "../../cmd", "-o", binary, "./courier-fake")
	if out, err := build.CombinedOutput(); err != nil {
		return 1, fmt.Errorf("%s: %w\n%s", build, err, out)
	}

	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.DisableGPU)
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // Chromium has none for root
	}
	allocator, cancelAllocator := chromedp.NewExecAllocator(context.Background(), options...)
	defer cancelAllocator()
	var cancel context.CancelFunc
	browser, cancel = chromedp.NewContext(allocator)
	defer cancel()
	if err := chromedp.Do(browser); err != nil {
		return 1, fmt.Errorf("these tests need Chromium: %w", err)
	}
	return m.Run(), nil
}

// fake is a running courier-fake.
type fake struct {
	url    string
	client *courier.Client
}

// startFake starts courier-fake on a free port and ends it with the test.
func startFake(t *testing.T) fake {
	t.Helper()
	f, _ := startFakeAt(t, "127.0.0.1:0")
	return f
}

// startFakeAt starts courier-fake at an address. stop ends it before the test.
func startFakeAt(t *testing.T, addr string) (f fake, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	command := exec.CommandContext(ctx, binary, "-addr", addr)
	command.Cancel = func() error { return command.Process.Signal(os.Interrupt) }
	command.Stderr = t.Output()
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	stop = sync.OnceFunc(func() {
		cancel()
		_ = command.Wait()
	})
	t.Cleanup(stop)

	lines := bufio.NewScanner(out)
	variables := make(map[string]string)
	for len(variables) < 2 && lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), "=")
		variables[name] = value
	}
	f = fake{url: variables["COURIER_BASE_URL"]}
	f.client, err = courier.NewClient(variables["COURIER_API_KEY"],
		courier.WithBaseURL(f.url), courier.WithRetryWait(time.Millisecond, time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	return f, stop
}

// merge sends a profile, with retries.
func (f fake) merge(t *testing.T, userID string, profile courier.Profile) {
	t.Helper()
	if _, err := f.client.Profiles.Merge(t.Context(), userID, profile); err != nil {
		t.Fatal(err)
	}
}

// openTab opens a page of the fake in a new tab. The test fails if any page in it has an
// error in its script, or loads something from another host.
func openTab(t *testing.T, f fake, path string) context.Context {
	t.Helper()
	tab, cancel := chromedp.NewContext(browser)
	t.Cleanup(cancel)
	tab, cancelTimeout := context.WithTimeout(tab, time.Minute)
	t.Cleanup(cancelTimeout)

	var mu sync.Mutex
	var problems []string
	err := chromedp.Listen(tab, func(event any) {
		problem := ""
		switch e := event.(type) {
		case *runtime.EventExceptionThrown:
			problem = "script error: " + e.ExceptionDetails.Text
		case *network.EventRequestWillBeSent:
			if host(e.Request.URL) != host(f.url) && !strings.HasPrefix(e.Request.URL, "data:") {
				problem = "it loads " + e.Request.URL
			}
		}
		if problem != "" {
			mu.Lock()
			defer mu.Unlock()
			problems = append(problems, problem)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		mu.Lock()
		defer mu.Unlock()
		for _, problem := range problems {
			t.Error(problem)
		}
	})
	call(t, tab, network.Enable, network.EnableParams{})
	do(t, tab, chromedp.Navigate(f.url+path))
	return tab
}

func host(address string) string {
	parsed, err := url.Parse(address)
	if err != nil {
		return address
	}
	return parsed.Host
}

// do runs actions in a tab.
func do(t *testing.T, tab context.Context, actions ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	for _, action := range actions {
		get(t, tab, action)
	}
}

// get runs an action in a tab and returns its value. The page may load, or replace a
// part, after the action has found an element and before it does something to it: then
// it runs again.
func get[T any](t *testing.T, tab context.Context, action chromedp.Action[T]) T {
	t.Helper()
	for {
		value, err := chromedp.Run(tab, action)
		if err == nil {
			return value
		}
		if !strings.Contains(err.Error(), "node with given id") {
			t.Fatal(err)
		}
	}
}

// call sends a command of the protocol to a tab.
func call[P, R any](t *testing.T, tab context.Context, command cdp.Command[P, R], params P) {
	t.Helper()
	if _, err := chromedp.Call(tab, command, params); err != nil {
		t.Fatal(err)
	}
}

// click waits for the first element that a selector finds, and clicks it.
func click(selector chromedp.CSS) chromedp.Action[chromedp.Void] {
	return chromedp.Click(selector)
}

// set waits for a field, and sets its value.
func set(selector chromedp.CSS, value string) chromedp.Action[chromedp.Void] {
	return chromedp.SetValue(selector, value)
}

// visible waits until the first element that a selector finds is visible.
func visible(selector chromedp.CSS) chromedp.Action[chromedp.Void] {
	return chromedp.WaitVisible(selector)
}

// text waits for an element and returns its text.
func text(t *testing.T, tab context.Context, selector chromedp.CSS) string {
	t.Helper()
	return strings.TrimSpace(get(t, tab, chromedp.Text(selector)))
}

// texts returns the texts of all elements, of which there is at least one.
func texts(t *testing.T, tab context.Context, selector chromedp.CSS) []string {
	t.Helper()
	do(t, tab, visible(selector))
	const script = `[...document.querySelectorAll(%q)].map(e => e.textContent.trim())`
	return evaluate[[]string](t, tab, fmt.Sprintf(script, selector))
}

func evaluate[T any](t *testing.T, tab context.Context, script string) T {
	t.Helper()
	return get(t, tab, chromedp.Evaluate[T](script))
}

// waitFor waits until a JavaScript expression is true, also on the next page.
func waitFor(t *testing.T, tab context.Context, expression string) {
	t.Helper()
	for {
		ok, err := chromedp.Run(tab, chromedp.Evaluate[bool](expression))
		if err == nil && ok {
			return
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-tab.Done():
			t.Fatalf("it never became true: %s (last error: %v)", expression, err)
		}
	}
}
