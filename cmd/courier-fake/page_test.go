package main

import (
	"bufio"
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	courier "github.com/courier-profiles/courier-go"
	"github.com/courier-profiles/courier-go/couriertest"
)

// The page itself is tested in a browser, in internal/browser. These are its parts that
// a browser does not show.

type testPage struct {
	fake    *couriertest.Handler
	handler http.Handler
	closing chan struct{}
}

func newTestPage() testPage {
	requests := &journal{}
	fake := couriertest.NewHandler()
	fake.OnRequest = requests.add
	closing := make(chan struct{})
	return testPage{fake, newPage(fake, requests, closing).handler(), closing}
}

func (p testPage) get(path string) *httptest.ResponseRecorder {
	response := httptest.NewRecorder()
	p.handler.ServeHTTP(response, httptest.NewRequest(http.MethodGet, path, nil))
	return response
}

// No page may run a script that it contains, or load anything from another host.
func TestContentSecurityPolicy(t *testing.T) {
	t.Parallel()
	p := newTestPage()
	for _, path := range []string{"/", "/ui/profiles", "/ui/faults", "/ui/page.js"} {
		response := p.get(path)
		if response.Code != http.StatusOK {
			t.Errorf("%s: the status is %d, want 200", path, response.Code)
		}
		policy := response.Header().Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none';", "script-src 'self';"} {
			if !strings.Contains(policy, want) {
				t.Errorf("%s: the policy %q has no %s", path, policy, want)
			}
		}
		if strings.Contains(policy, "unsafe") {
			t.Errorf("%s: the policy allows inline code: %q", path, policy)
		}
	}
}

// The paths that are not of the page are of the API, also those that it does not know:
// a service with a wrong base URL sees what it sends.
func TestIsPage(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]bool{
		"/": true, "/ui/events": true, "/profiles/user-1": false, "/v1/profiles/user-1": false,
		"/ui": false, "//": false, "": false,
		// Chromium's developer tools ask for this one. It must not take a fault.
		"/.well-known/appspecific/com.chrome.devtools.json": true, "/favicon.ico": true,
	} {
		if got := isPage(path); got != want {
			t.Errorf("%q: %t, want %t", path, got, want)
		}
	}
}

// A request to a path that the API does not know is shown with its method and path.
func TestUnknownPathIsShown(t *testing.T) {
	t.Parallel()
	p := newTestPage()
	p.fake.ServeHTTP(httptest.NewRecorder(),
		httptest.NewRequest(http.MethodPost, "/v1/profiles/user-1", nil))
	if body := p.get("/").Body.String(); !strings.Contains(body, "POST /v1/profiles/user-1") {
		t.Errorf("the page does not show the request:\n%s", body)
	}
}

// A request that is not kept any more is not an error.
func TestRequestThatIsNotKept(t *testing.T) {
	t.Parallel()
	body := newTestPage().get("/?request=7").Body.String()
	if !strings.Contains(body, "This request is not kept any more") {
		t.Errorf("the page does not say so:\n%s", body)
	}
}

// Preferences exist without a profile. Such a user is found by the whole ID.
func TestUserWithoutProfile(t *testing.T) {
	t.Parallel()
	p := newTestPage()
	if err := p.fake.SetProfile("user-10", courier.Profile{}); err != nil {
		t.Fatal(err)
	}
	preferences := &courier.Preferences{Notifications: map[string]courier.Preference{"news": {}}}
	if err := p.fake.SetPreferences("user-1", preferences); err != nil {
		t.Fatal(err)
	}
	body := p.get("/ui/profiles?user=user-1").Body.String()
	for _, want := range []string{"This user has no profile", "&#34;news&#34;"} {
		if !strings.Contains(body, want) {
			t.Errorf("the page does not have %q:\n%s", want, body)
		}
	}
	for query, want := range map[string][]string{
		"user-1": {"user-1", "user-10"}, "user": {"user-10"}, "user-10": {"user-10"},
	} {
		if diff := cmp.Diff(want, p.search(query)); diff != "" {
			t.Errorf("users found with %q (-want +got):\n%s", query, diff)
		}
	}
}

// search returns the IDs of the users that the page lists.
func (p testPage) search(query string) []string {
	body := p.get("/ui/profiles?q=" + url.QueryEscape(query)).Body.String()
	var userIDs []string
	for _, link := range regexp.MustCompile(`id="user-(.*?)"`).FindAllStringSubmatch(body, -1) {
		userIDs = append(userIDs, link[1])
	}
	return userIDs
}

// A profile is found by any text that the page shows of it, in any case.
func TestSearch(t *testing.T) {
	t.Parallel()
	p := newTestPage()
	profile := courier.Profile{Name: courier.Set("Zoë Ångström"), Locale: courier.Set("<b>")}
	if err := p.fake.SetProfile("User-1", profile); err != nil {
		t.Fatal(err)
	}
	for query, want := range map[string][]string{
		"": {"User-1"}, "uSER-1": {"User-1"}, "ÅNGST": {"User-1"}, "<B>": {"User-1"},
		`"name": "zoë`: {"User-1"}, "ada": nil,
	} {
		if diff := cmp.Diff(want, p.search(query)); diff != "" {
			t.Errorf("users found with %q (-want +got):\n%s", query, diff)
		}
	}
}

// The command that an empty page shows is one that a shell understands, whatever the
// host and the key are.
func TestCommand(t *testing.T) {
	t.Parallel()
	p := newTestPage()
	p.fake.APIKey = "it's $HOME"
	request := httptest.NewRequest(http.MethodGet, "/", nil)
	request.Host = "[::1]:8080"
	response := httptest.NewRecorder()
	p.handler.ServeHTTP(response, request)
	_, after, _ := strings.Cut(response.Body.String(), `aria-label="Command">`)
	command, _, _ := strings.Cut(after, "</pre>")

	script := "curl() { printf '%s\\n' \"$@\"; }\n" + html.UnescapeString(command)
	got, err := exec.CommandContext(t.Context(), "sh", "-c", script).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, got)
	}
	want := "http://[::1]:8080/profiles/user-1\n-H\nAuthorization: Bearer it's $HOME\n" +
		"-d\n{\"profile\": {\"email\": \"ada@example.com\"}}\n"
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("arguments of curl (-want +got):\n%s", diff)
	}
}

// A form without its fields is refused and sets nothing.
func TestEmptyForm(t *testing.T) {
	t.Parallel()
	p := newTestPage()
	request := httptest.NewRequest(http.MethodPost, "/ui/faults", strings.NewReader(""))
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	response := httptest.NewRecorder()
	p.handler.ServeHTTP(response, request)
	if response.Code != http.StatusUnprocessableEntity {
		t.Errorf("the status is %d, want 422", response.Code)
	}
	if set := p.fake.Faults(); len(set) > 0 {
		t.Errorf("it set %v", set)
	}
}

// The faults of one user are removed without those of others.
func TestRemoveFaults(t *testing.T) {
	t.Parallel()
	p := newTestPage()
	p.fake.Fail(couriertest.Fault{Status: 500})
	p.fake.FailUser("user-1", couriertest.Fault{Status: 503})
	form := url.Values{"user": {""}}
	request := httptest.NewRequest(http.MethodPost, "/ui/faults/remove",
		strings.NewReader(form.Encode()))
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	p.handler.ServeHTTP(httptest.NewRecorder(), request)
	set := p.fake.Faults()
	if len(set[""]) != 0 {
		t.Errorf("the faults for all users are still %v", set[""])
	}
	if len(set["user-1"]) != 1 {
		t.Errorf("user-1 has %d faults, want 1", len(set["user-1"]))
	}
}

// The stream has an event at once and after each change, and ends with the server.
func TestEvents(t *testing.T) {
	t.Parallel()
	p := newTestPage()
	server := httptest.NewServer(p.handler)
	defer server.Close()
	response, err := http.Get(server.URL + "/ui/events")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if got := response.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Errorf("the type is %q, want text/event-stream", got)
	}
	lines := bufio.NewScanner(response.Body)
	lines.Scan() // how soon to connect again
	for i := range 2 {
		if !lines.Scan() {
			t.Fatalf("there is no event %d: %v", i+1, lines.Err())
		}
		if got := lines.Text(); got != "data: changed" {
			t.Errorf("event %d is %q, want data: changed", i+1, got)
		}
		lines.Scan() // the empty line after it
		p.fake.ServeHTTP(httptest.NewRecorder(),
			httptest.NewRequest(http.MethodGet, "/profiles/user-1", nil))
	}
	close(p.closing)
	for lines.Scan() { // another event may be on its way
	}
	if err := lines.Err(); err != nil {
		t.Errorf("the stream ends with %v, want its end", err)
	}
}
