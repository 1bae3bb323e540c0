// Package browser tests the page of courier-fake in Chromium.
package browser

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/google/go-cmp/cmp"

	courier "github.com/courier-profiles/courier-go"
)

var write = flag.Bool("write", false, "write the pictures of docs/tools.md")

func ada() courier.Profile {
	return courier.Profile{
		Name: courier.Set("Ada Lovelace"), Email: courier.Set("ada@example.com"),
	}
}

// An empty page says how to send something.
func TestEmptyPage(t *testing.T) {
	t.Parallel()
	f := startFake(t)
	tab := openTab(t, f, "/")
	got := text(t, tab, "#requests")
	for _, want := range []string{
		"COURIER_BASE_URL=" + f.url, "COURIER_API_KEY=test-api-key", "curl " + f.url,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the page does not say %q:\n%s", want, got)
		}
	}
}

func TestMergeAppearsWithoutReload(t *testing.T) {
	t.Parallel()
	f := startFake(t)
	tab := openTab(t, f, "/")
	evaluate[bool](t, tab, "window.sameDocument = true")

	f.merge(t, "user-1", ada())
	if got, want := text(t, tab, "#request-1"), "merge profile"; got != want {
		t.Errorf("the operation is %q, want %q", got, want)
	}
	if !evaluate[bool](t, tab, "window.sameDocument === true") {
		t.Error("the page was loaded again")
	}
}

// A row says when a request came, what it was, and how it went.
func TestRow(t *testing.T) {
	t.Parallel()
	f := startFake(t)
	f.merge(t, "user-1", ada())
	cells := texts(t, openTab(t, f, "/"), "#requests td")
	want := []string{`^\d\d:\d\d:\d\d\.\d{3}$`, `^merge profile$`, `^user-1$`, `^200 OK$`,
		`^[\d.]+(µs|ms|s)$`, `^1$`}
	if len(cells) != len(want) {
		t.Fatalf("%d cells, want %d: %q", len(cells), len(want), cells)
	}
	for i, pattern := range want {
		if !regexp.MustCompile(pattern).MatchString(cells[i]) {
			t.Errorf("cell %d is %q, want %s", i+1, cells[i], pattern)
		}
	}
}

// One click on a request shows what it changed.
func TestWhatARequestChanged(t *testing.T) {
	t.Parallel()
	f := startFake(t)
	f.merge(t, "user-1", ada())
	f.merge(t, "user-1", courier.Profile{
		Email: courier.Set("countess@example.com"), Locale: courier.Set("en-GB"),
	})

	tab := openTab(t, f, "/")
	do(t, tab, click("#request-2"))
	removed := texts(t, tab, "del")
	if diff := cmp.Diff([]string{`−   "email": "ada@example.com",`}, removed); diff != "" {
		t.Errorf("marked in the profile before (-want +got):\n%s", diff)
	}
	added := texts(t, tab, "ins")
	want := []string{`+   "email": "countess@example.com",`, `+   "locale": "en-GB",`}
	if diff := cmp.Diff(want, added); diff != "" {
		t.Errorf("marked in the profile after (-want +got):\n%s", diff)
	}
}

// One click on a request shows both bodies, pretty-printed, and the headers without the key.
func TestWhatWasSentAndReceived(t *testing.T) {
	t.Parallel()
	f := startFake(t)
	f.merge(t, "user-1", courier.Profile{Locale: courier.Set("en-GB")})
	tab := openTab(t, f, "/")
	do(t, tab, click("#request-1"))
	const sent = "{\n  \"profile\": {\n    \"locale\": \"en-GB\"\n  }\n}"
	if got := text(t, tab, "#request-body"); got != sent {
		t.Errorf("the request body is %q, want %q", got, sent)
	}
	const received = "{\n  \"status\": \"SUCCESS\"\n}"
	if got := text(t, tab, "#response-body"); got != received {
		t.Errorf("the response body is %q, want %q", got, received)
	}
	const hidden = "Authorization: (hidden)"
	if got := text(t, tab, "#request-header"); !strings.Contains(got, hidden) {
		t.Errorf("the request header does not have %q:\n%s", hidden, got)
	}
	if got := text(t, tab, "#detail"); strings.Contains(got, "test-api-key") {
		t.Errorf("the page shows the API key of a request:\n%s", got)
	}
}

// A fault that is set on the page meets the next request. A retry is shown with it.
func TestFault(t *testing.T) {
	t.Parallel()
	f := startFake(t)
	tab := openTab(t, f, "/ui/faults?user=user-1")
	do(t, tab,
		set("#status", "429"),
		set("#retry-after", "0"),
		click("#set"))
	got := texts(t, tab, "#queues li")
	want := []string{"1 request: 429 Too Many Requests, Retry-After: 0"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("faults that are set (-want +got):\n%s", diff)
	}

	f.merge(t, "user-2", ada())
	f.merge(t, "user-1", ada())
	waitFor(t, tab, `document.querySelectorAll('#queues li').length === 0`)
	do(t, tab, click("#nav-requests"))
	statuses := texts(t, tab, "tbody.retried .succeeded, tbody.retried .failed")
	if diff := cmp.Diff([]string{"200 OK", "429 Too Many Requests"}, statuses); diff != "" {
		t.Errorf("attempts of the call of user-1, latest first (-want +got):\n%s", diff)
	}
}

// Faults of the connection that are set on the page meet a client as well.
func TestFaultsOfTheConnection(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		response, delay string
		attempts        int
	}{
		{response: "reset", attempts: 2},
		{response: "cutoff", attempts: 2},
		{response: "normal", delay: "100", attempts: 1},
	} {
		t.Run(test.response, func(t *testing.T) {
			t.Parallel()
			f := startFake(t)
			tab := openTab(t, f, "/ui/faults")
			do(t, tab, set("#response", test.response), set("#delay", test.delay),
				click("#set"), visible("#queues li"))
			start := time.Now()
			result, err := f.client.Profiles.Merge(t.Context(), "user-1", ada())
			if err != nil {
				t.Fatal(err)
			}
			if result.Attempts != test.attempts {
				t.Errorf("%d attempts, want %d", result.Attempts, test.attempts)
			}
			if took := time.Since(start); test.delay != "" && took < 100*time.Millisecond {
				t.Errorf("the merge took %v, want at least 100ms", took)
			}
		})
	}
}

func TestRemoveFaults(t *testing.T) {
	t.Parallel()
	f := startFake(t)
	tab := openTab(t, f, "/ui/faults")
	do(t, tab,
		set("#count", "3"),
		set("#response", "reset"),
		click("#set"))
	if got, want := text(t, tab, "#queues li"), "3 requests: connection reset"; got != want {
		t.Errorf("set: %q, want %q", got, want)
	}
	do(t, tab, click("#queues button"),
		chromedp.WaitNotPresent(chromedp.CSS("#queues li")))
	f.merge(t, "user-1", ada())
	tab = openTab(t, f, "/")
	if got, want := text(t, tab, "#count"), "Newest first: 1"; got != want {
		t.Errorf("requests: %q, want %q", got, want)
	}
}

// A fault that makes no sense is refused, and the form keeps what was typed.
func TestFaultRefused(t *testing.T) {
	t.Parallel()
	f := startFake(t)
	tab := openTab(t, f, "/ui/faults")
	do(t, tab,
		set("#user", "user-1"),
		set("#response", "normal"),
		click("#set"))
	if got, want := text(t, tab, "#error"), "changes nothing"; !strings.Contains(got, want) {
		t.Errorf("the error is %q, want %q", got, want)
	}
	if got := evaluate[string](t, tab, "document.getElementById('user').value"); got != "user-1" {
		t.Errorf("the user is %q after the error, want user-1", got)
	}
}

// Markup in user IDs and profiles is text.
func TestMarkupIsText(t *testing.T) {
	t.Parallel()
	f := startFake(t)
	const userID = `<img src="x" onerror="alert(1)">`
	const name = `</pre><script>document.title = 'changed'</script>`
	f.merge(t, userID, courier.Profile{Name: courier.Set(name)})
	tab := openTab(t, f, "/ui/faults?user="+url.QueryEscape(userID))
	do(t, tab, click("#set"))
	if got := text(t, tab, "#queues h3"); !strings.Contains(got, userID) {
		t.Errorf("the faults are those of %s, want %s", got, userID)
	}

	for _, path := range []string{"/?request=1", "/ui/profiles", "/ui/faults"} {
		tab := openTab(t, f, path)
		do(t, tab, visible("h1"))
		if path == "/ui/profiles" {
			do(t, tab, click("#profiles a"), visible("#profile"))
			if got := text(t, tab, "#detail-title"); got != userID {
				t.Errorf("the user is %s, want %s", got, userID)
			}
			if got := text(t, tab, "#profile"); !strings.Contains(got, "</script>") {
				t.Errorf("the profile does not show its markup: %s", got)
			}
		}
		if n := evaluate[int](t, tab, "document.querySelectorAll('img, main script').length"); n > 0 {
			t.Errorf("%s has %d elements from the data", path, n)
		}
		if title := evaluate[string](t, tab, "document.title"); title == "changed" {
			t.Errorf("%s ran a script from the data", path)
		}
	}
}

// A page of another origin can neither clear the fake nor send it a merge.
func TestOtherOrigin(t *testing.T) {
	t.Parallel()
	f := startFake(t)
	f.merge(t, "user-1", ada())
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		const form = `<form method="post" action="%s"><button>Win</button></form>`
		fmt.Fprintf(w, form, f.url+r.URL.Path)
	}))
	defer other.Close()

	tab, cancel := chromedp.NewContext(browser)
	defer cancel()
	tab, cancelTimeout := context.WithTimeout(tab, time.Minute)
	defer cancelTimeout()
	for _, path := range []string{"/ui/clear", "/profiles/user-1"} {
		do(t, tab, chromedp.Navigate(other.URL+path))
		response, err := chromedp.RunResponse(tab, click("button"))
		if err != nil {
			t.Fatal(err)
		}
		if response.Status != http.StatusForbidden {
			t.Errorf("%s: the status is %d, want 403", path, response.Status)
		}
	}
	if got, want := text(t, openTab(t, f, "/"), "#count"), "Newest first: 1"; got != want {
		t.Errorf("the list says %q, want %q", got, want)
	}
	if _, err := f.client.Profiles.Get(t.Context(), "user-1"); err != nil {
		t.Errorf("the profile is gone: %v", err)
	}
}

// All tabs show the same.
func TestSecondTab(t *testing.T) {
	t.Parallel()
	f := startFake(t)
	first, second := openTab(t, f, "/"), openTab(t, f, "/ui/faults")
	do(t, second, click("#set"))
	waitFor(t, first, `document.getElementById('nav-faults').textContent.includes('1 set')`)
	f.merge(t, "user-1", ada())
	for _, tab := range []context.Context{first, second} {
		waitFor(t, tab, `!document.getElementById('nav-faults').textContent.includes('set')`)
	}
	// The fault is gone before the retry comes, so the tab may not show both at once.
	waitFor(t, first, `document.querySelectorAll('#requests tbody tr').length === 2`)
}

// An open page says that the fake has ended, and shows the next one without a reload.
func TestRestart(t *testing.T) {
	t.Parallel()
	f, stop := startFakeAt(t, "127.0.0.1:0")
	f.merge(t, "user-1", ada())
	tab := openTab(t, f, "/")
	const state = `document.getElementById('connection').textContent`
	waitFor(t, tab, state+` === 'Live'`)
	stop()
	waitFor(t, tab, state+`.startsWith('Not connected')`)

	f, _ = startFakeAt(t, host(f.url))
	waitFor(t, tab, state+` === 'Live'`)
	waitFor(t, tab, `document.getElementById('requests').textContent.includes('No requests yet')`)
}

// A click takes its time. A request that comes meanwhile must not replace what is clicked.
func TestClickWhileRequestsCome(t *testing.T) {
	t.Parallel()
	f := startFake(t)
	f.merge(t, "user-1", ada())
	tab, other := openTab(t, f, "/"), openTab(t, f, "/")
	const script = `(() => {
		const box = document.getElementById('request-1').getBoundingClientRect();
		return [box.x + box.width / 2, box.y + box.height / 2];
	})()`
	do(t, tab, visible("#request-1"))
	at := evaluate[[]float64](t, tab, script)
	const press, release = input.DispatchMouseEventTypeMousePressed,
		input.DispatchMouseEventTypeMouseReleased
	oneClick := []chromedp.MouseOption{chromedp.ButtonLeft, chromedp.ClickCount(1)}
	do(t, tab, chromedp.MouseEvent(press, at[0], at[1], oneClick...))
	f.merge(t, "user-2", ada())
	do(t, other, visible("#request-2"))
	do(t, tab, chromedp.MouseEvent(release, at[0], at[1], oneClick...))
	waitFor(t, tab, `document.getElementById('detail-title').textContent.startsWith('Request 1:')`)
	do(t, tab, visible("#request-2"))
}

// A list that is paused stays as it is, and what it lists can be looked at.
func TestPause(t *testing.T) {
	t.Parallel()
	f := startFake(t)
	f.merge(t, "user-1", ada())
	tab, other := openTab(t, f, "/"), openTab(t, f, "/")
	waitFor(t, tab, `document.getElementById('connection').textContent === 'Live'`)
	do(t, tab, click("#pause"))
	f.merge(t, "user-2", ada())
	do(t, other, visible("#request-2"))
	do(t, tab, click("#request-1"), visible("ins"))
	if got, want := text(t, tab, "#requests [aria-current]"), "merge profile"; got != want {
		t.Errorf("the list marks %q, want %q", got, want)
	}
	if got, want := text(t, tab, "#count"), "Newest first: 1"; got != want {
		t.Errorf("while it is paused, the list says %q, want %q", got, want)
	}
	if got, want := text(t, tab, "#connection"), "Paused"; got != want {
		t.Errorf("the state is %q, want %q", got, want)
	}
	do(t, tab, click("#pause"), visible("#request-2"))
}

// Any user ID leads from a request to the user's profile, and to the user's faults.
func TestLinksOfUserIDs(t *testing.T) {
	t.Parallel()
	f := startFake(t)
	userIDs := []string{
		`a&b=c#d?/../x"<>`, "%2F", " two words ", "+", "Zoë", strings.Repeat("x", 3000),
	}
	tab := openTab(t, f, "/")
	for i, userID := range userIDs {
		f.merge(t, userID, ada())
		request := fmt.Sprint(f.url, "/?request=", 3*i+1)
		do(t, tab, chromedp.Navigate(request), click("#detail-user"))
		if got := text(t, tab, "#profile"); !strings.Contains(got, "ada@example.com") {
			t.Errorf("the profile of %.20q is %q", userID, got)
		}
		do(t, tab, chromedp.Navigate(request), click("#detail-fault"))
		waitFor(t, tab, `document.readyState === 'complete' && !!document.getElementById('set')`)
		do(t, tab, click("#set"), visible("#queues li"))
		f.merge(t, userID, ada()) // meets the fault, and is retried
		do(t, tab, chromedp.WaitNotPresent(chromedp.CSS("#queues li")))
	}
}

// A profile is found by its ID or its text, and shown with its subscriptions.
func TestProfiles(t *testing.T) {
	t.Parallel()
	f := startFake(t)
	f.merge(t, "user-1", ada())
	f.merge(t, "user-2", courier.Profile{Email: courier.Set("grace@example.com")})
	lists := []courier.ListSubscription{{ListID: "news"}}
	if _, err := f.client.Profiles.Lists.Subscribe(t.Context(), "user-2", lists); err != nil {
		t.Fatal(err)
	}

	tab := openTab(t, f, "/ui/profiles")
	do(t, tab, chromedp.SendKeys(chromedp.CSS("#q"), "Grace@"+kb.Enter))
	waitFor(t, tab, `document.querySelectorAll('#profiles a').length === 1`)
	do(t, tab, click("#profiles a"))
	waitFor(t, tab, `document.getElementById('detail-title').textContent === 'user-2'`)
	got := text(t, tab, "#detail")
	for _, want := range []string{"grace@example.com", "news, list created"} {
		if !strings.Contains(got, want) {
			t.Errorf("the page of user-2 does not have %q:\n%s", want, got)
		}
	}
}

// The list works with the keyboard, and focus goes to what it opens.
func TestKeyboard(t *testing.T) {
	t.Parallel()
	f := startFake(t)
	f.merge(t, "user-1", ada())
	tab := openTab(t, f, "/")
	do(t, tab, visible("#request-1"),
		chromedp.KeyEvent(kb.Tab), chromedp.KeyEvent(kb.Enter), // skips to the content
		chromedp.KeyEvent(kb.Tab))
	const focused = "document.activeElement.id"
	if got, want := evaluate[string](t, tab, focused), "request-1"; got != want {
		t.Errorf("the first stop in the content is %q, want %q", got, want)
	}
	do(t, tab, chromedp.KeyEvent(kb.Enter))
	waitFor(t, tab, `document.activeElement.textContent === 'Request 1: merge profile'`)
	f.merge(t, "user-2", ada())
	do(t, tab, visible("#request-2"))
	if got, want := evaluate[string](t, tab, focused), "detail-title"; got != want {
		t.Errorf("the focus is on %q after an update, want %q", got, want)
	}
}

// The focus stays on a text that is replaced.
func TestFocusOnATextThatChanges(t *testing.T) {
	t.Parallel()
	f := startFake(t)
	f.merge(t, "user-1", ada())
	tab := openTab(t, f, "/ui/profiles?user=user-1")
	do(t, tab, chromedp.Focus(chromedp.CSS("#profile")))
	f.merge(t, "user-1", courier.Profile{Locale: courier.Set("en-GB")})
	waitFor(t, tab, `document.getElementById('profile').textContent.includes('en-GB')`)
	if got := evaluate[string](t, tab, "document.activeElement.id"); got != "profile" {
		t.Errorf("the focus is on %q, want profile", got)
	}
}

// A screen reader says of everything that takes the focus what it is.
func TestNamesAndRoles(t *testing.T) {
	t.Parallel()
	f := startFake(t)
	tab := openTab(t, f, "/")
	for _, path := range pages(t, f) {
		do(t, tab, chromedp.Navigate(f.url+path), visible("h1"))
		params := accessibility.GetFullAXTreeParams{}
		tree, err := chromedp.Call(tab, accessibility.GetFullAXTree, params)
		if err != nil {
			t.Fatal(err)
		}
		for _, node := range tree.Nodes {
			if !isFocusable(node) {
				continue
			}
			role, name := "", ""
			if node.Role != nil {
				role = string(node.Role.Value)
			}
			if node.Name != nil {
				name = string(node.Name.Value)
			}
			if role == `"generic"` || name == "" || name == `""` {
				t.Errorf("%s: an element has the role %s and the name %s", path, role, name)
			}
		}
	}
}

func isFocusable(node *accessibility.Node) bool {
	return slices.ContainsFunc(node.Properties, func(p *accessibility.Property) bool {
		return p.Name == accessibility.PropertyNameFocusable && string(p.Value.Value) == "true"
	})
}

// Ten thousand requests show a list that is bounded, and says so.
func TestManyRequests(t *testing.T) {
	t.Parallel()
	f := startFake(t)
	tab := openTab(t, f, "/")
	updates := func(yield func(string, courier.Profile) bool) {
		for i := range 10_000 {
			if !yield(fmt.Sprint("user-", i), ada()) {
				return
			}
		}
	}
	for outcome := range f.client.Profiles.MergeAll(t.Context(), updates) {
		if outcome.Err != nil {
			t.Fatal(outcome.Err)
		}
	}
	waitFor(t, tab, `document.getElementById('count')?.textContent.includes('of 10,000')`)
	got, want := text(t, tab, "#count"), "Newest first: the latest 500 of 10,000"
	if got != want {
		t.Errorf("the page says %q, want %q", got, want)
	}
	if n := evaluate[int](t, tab, "document.querySelectorAll('tbody tr').length"); n != 500 {
		t.Errorf("the page lists %d requests, want 500", n)
	}
}

func TestClear(t *testing.T) {
	t.Parallel()
	f := startFake(t)
	f.merge(t, "user-1", ada())
	tab := openTab(t, f, "/")
	dialogs := chromedp.Events(tab, page.JavascriptDialogOpening)
	accepted := make(chan error, 1)
	go func() {
		defer close(accepted) // without a dialog, the test fails below
		for _, err := range dialogs {
			if err == nil {
				accept := page.HandleJavaScriptDialogParams{Accept: true}
				_, err = chromedp.Call(tab, page.HandleJavaScriptDialog, accept)
			}
			accepted <- err
			return
		}
	}()
	do(t, tab, click("#clear"))
	if err := <-accepted; err != nil {
		t.Fatal(err)
	}
	waitFor(t, tab, `!!document.querySelector('#requests pre')`)
	_, err := f.client.Profiles.Get(t.Context(), "user-1")
	var notFound *courier.NotFoundError
	if !errors.As(err, &notFound) {
		t.Errorf("the error of Get is %v, want *NotFoundError", err)
	}
}

// pages are all kinds of pages, with data that is wide.
func pages(t *testing.T, f fake) []string {
	t.Helper()
	long := strings.Repeat("long", 30)
	f.merge(t, long, courier.Profile{Name: courier.Set(long), Email: courier.Set("a@b.example")})
	f.merge(t, long, courier.Profile{Email: courier.Set(long + "@example.com")})
	return []string{"/", "/?request=2", "/ui/profiles", "/ui/profiles?user=" + long, "/ui/faults"}
}

// No page is wider than a narrow window.
func TestNarrowWindow(t *testing.T) {
	t.Parallel()
	f := startFake(t)
	tab := openTab(t, f, "/")
	do(t, tab, chromedp.EmulateViewport(400, 800))
	for _, path := range pages(t, f) {
		do(t, tab, chromedp.Navigate(f.url+path), visible("h1"))
		if got := evaluate[int](t, tab, "document.documentElement.scrollWidth"); got > 400 {
			t.Errorf("%s is %d pixels wide, want at most 400", path, got)
		}
	}
}

// setColorScheme makes a tab light or dark.
func setColorScheme(t *testing.T, tab context.Context, scheme string) {
	t.Helper()
	call(t, tab, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
	})
}

// contrast returns the texts whose contrast is below 4.5, which WCAG 2.2 asks for at
// level AA (success criterion 1.4.3).
const contrast = `(() => {
	const parse = (color) => color.match(/[\d.]+/g).map(Number);
	const luminance = (rgb) => {
		const [r, g, b] = rgb.slice(0, 3).map((v) => {
			v /= 255;
			return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
		});
		return 0.2126 * r + 0.7152 * g + 0.0722 * b;
	};
	const background = (element) => {
		for (; element; element = element.parentElement) {
			const color = parse(getComputedStyle(element).backgroundColor);
			if (color.length === 3 || color[3] > 0) return color;
		}
		return [255, 255, 255];
	};
	const low = [];
	for (const element of document.querySelectorAll('body *')) {
		const own = [...element.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
		if (!own) continue;
		const a = luminance(parse(getComputedStyle(element).color));
		const b = luminance(background(element));
		const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
		if (ratio < 4.5) low.push(ratio.toFixed(2) + ': ' + element.textContent.slice(0, 40));
	}
	return low;
})()`

func TestContrast(t *testing.T) {
	t.Parallel()
	f := startFake(t)
	tab := openTab(t, f, "/")
	for _, path := range pages(t, f) {
		for _, scheme := range []string{"light", "dark"} {
			setColorScheme(t, tab, scheme)
			do(t, tab, chromedp.Navigate(f.url+path), visible("h1"))
			for _, low := range evaluate[[]string](t, tab, contrast) {
				t.Errorf("%s, %s: contrast %s", path, scheme, low)
			}
		}
	}
}

// The page follows the color scheme of the system. With -write, this test writes the
// pictures of docs/tools.md.
func TestColorSchemes(t *testing.T) {
	t.Parallel()
	f := startFake(t)
	f.merge(t, "user-1", ada())
	if _, err := f.client.Profiles.Get(t.Context(), "user-1"); err != nil {
		t.Fatal(err)
	}
	faults := openTab(t, f, "/ui/faults")
	do(t, faults, click("#set"),
		visible("#queues li"))
	f.merge(t, "user-1", courier.Profile{
		Email: courier.Set("countess@example.com"), Locale: courier.Set("en-GB"),
	})

	backgrounds := map[string]string{}
	for _, scheme := range []string{"light", "dark"} {
		tab := openTab(t, f, "/?request=4")
		setColorScheme(t, tab, scheme)
		do(t, tab, chromedp.EmulateViewport(1200, 700), visible("ins"))
		waitFor(t, tab, `document.getElementById('connection').textContent === 'Live'`)
		picture := get(t, tab, chromedp.CaptureScreenshot())
		const background = "getComputedStyle(document.body).backgroundColor"
		backgrounds[scheme] = evaluate[string](t, tab, background)
		if *write {
			name := "../../docs/courier-fake-" + scheme + ".png"
			if err := os.WriteFile(name, picture, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	if backgrounds["light"] == backgrounds["dark"] {
		t.Errorf("both color schemes have the background %s", backgrounds["light"])
	}
}
