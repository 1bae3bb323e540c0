package couriertest

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	courier "github.com/courier-profiles/courier-go"
)

func TestAuthorization(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, key, authorization string
		status                   int
	}{
		{"right", "mine", "Bearer mine", 204},
		{"scheme in lower case", "mine", "bearer mine", 204},
		{"none", "mine", "", 401},
		{"the default key", "mine", "Bearer " + DefaultAPIKey, 401},
		{"no key", "mine", "Bearer ", 401},
		{"key alone", "mine", "mine", 401},
		{"other scheme", "mine", "Basic mine", 401},
		{"no key set", "", "Bearer ", 401},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := setUp(t, `{"a":1}`)
			h.APIKey = test.key
			w := send(h, "DELETE", "/profiles/u", "", "Authorization", test.authorization)
			if test.status == 204 {
				wantResponse(t, w, 204, "")
				wantProfile(t, h, "u", "")
				return
			}
			wantError(t, w, 401)
			wantProfile(t, h, "u", `{"a":1}`)
		})
	}
}

func TestAuthorizationComesFirst(t *testing.T) {
	t.Parallel()
	requests := []struct{ method, path, body string }{
		{"GET", "/nowhere", ""},
		{"TRACE", "/profiles/u", ""},
		{"POST", "/profiles/u", "not JSON"},
	}
	for _, r := range requests {
		wantError(t, send(NewHandler(), r.method, r.path, r.body, "Authorization", ""), 401)
	}
}

func TestZeroHandlerWorks(t *testing.T) {
	t.Parallel()
	h := &Handler{APIKey: DefaultAPIKey}
	wantResponse(t, mergeWithKey(h, "k", "u", `{"a":1}`), 200, success)
	wantResponse(t, send(h, "POST", "/profiles/u/lists", listBody("l")), 200, success)
	wantProfile(t, h, "u", `{"a":1}`)
}

func TestRouting(t *testing.T) {
	t.Parallel()
	tests := []struct {
		method, path string
		status       int
		allow        string
	}{
		{"GET", "/", 404, ""},
		{"GET", "/profiles", 404, ""},
		{"GET", "/profiles/", 404, ""},
		{"GET", "//profiles/u", 404, ""},
		{"GET", "/profiles//u", 404, ""},
		{"GET", "/profiles/u/", 404, ""},
		{"POST", "/profiles/u/lists/", 404, ""},
		{"GET", "/profiles/u/lists/l", 404, ""},
		{"GET", "/profiles/u/other", 404, ""},
		{"GET", "/Profiles/u", 404, ""},
		{"GET", "/v1/profiles/u", 404, ""},
		{"PUT", "/profiles/.", 404, ""},
		{"PUT", "/profiles/..", 404, ""},
		{"PUT", "/profiles/%2E%2e", 404, ""},
		{"DELETE", "/profiles/x/../u", 404, ""},
		{"HEAD", "/profiles/u", 405, "GET, POST, PUT, PATCH, DELETE"},
		{"OPTIONS", "/profiles/u", 405, "GET, POST, PUT, PATCH, DELETE"},
		{"get", "/profiles/u", 405, "GET, POST, PUT, PATCH, DELETE"},
		{"PUT", "/profiles/u/lists", 405, "GET, POST, DELETE"},
		{"PATCH", "/profiles/u/lists", 405, "GET, POST, DELETE"},
	}
	for _, test := range tests {
		t.Run(test.method+" "+test.path, func(t *testing.T) {
			w := send(NewHandler(), test.method, test.path, "")
			wantError(t, w, test.status)
			if got := w.Header().Get("Allow"); got != test.allow {
				t.Errorf("Allow %q, want %q", got, test.allow)
			}
		})
	}
}

func TestUserIDsOfAnyCharacters(t *testing.T) {
	t.Parallel()
	userIDs := []string{
		"a/b", "../lists/x", "a?b", "a#b", "100%", "%2F", "ü/✓", "line\nbreak", "a b", "a+b",
		"a&b=c", "a;b,c:d@e", "lists", "profiles", "...", "/", " ", "\x00", "\xff",
		strings.Repeat("long", 500),
	}
	h := NewHandler()
	mux := http.NewServeMux()
	mux.Handle("/mux/", http.StripPrefix("/mux", h))
	routes := []struct {
		name, prefix string
		handler      http.Handler
	}{
		{"by itself", "", h},
		{"below a prefix", "/a/prefix", http.StripPrefix("/a/prefix", h)},
		{"in a ServeMux", "/mux", mux},
	}
	for _, route := range routes {
		t.Run(route.name, func(t *testing.T) {
			server := httptest.NewServer(route.handler)
			defer server.Close()
			for i, userID := range userIDs {
				path := route.prefix + "/profiles/" + url.PathEscape(userID)
				body := fmt.Sprintf(`{"profile":{"%s":%d}}`, route.name, i)
				wantStatus(t, server, request(t, server, "PUT", path, body), 200)
				wantProfile(t, h, userID, fmt.Sprintf(`{"%s":%d}`, route.name, i))

				subscribe := request(t, server, "POST", path+"/lists", listBody(route.name))
				wantStatus(t, server, subscribe, 200)
				subscriptions := h.Subscriptions(userID)
				if got := subscriptions[len(subscriptions)-1].ID; got != route.name {
					t.Errorf("%q: last subscription %q, want %q", userID, got, route.name)
				}
			}
		})
	}
}

func TestLargestBody(t *testing.T) {
	t.Parallel()
	const limit = 6 << 20 // 6 MiB, 6,291,456 bytes
	tests := []struct{ size, status int }{
		{6_000_000, 200},
		{limit, 200},
		{limit + 1, 413},
		{2 * limit, 413},
	}
	h := NewHandler()
	server := httptest.NewServer(h)
	defer server.Close()
	for _, test := range tests {
		const start, end = `{"profile":{"x":"`, `"}}`
		body := start + strings.Repeat("x", test.size-len(start+end)) + end
		wantStatus(t, server, request(t, server, "PUT", "/profiles/u", body), test.status)
	}
	wantError(t, send(h, "PUT", "/profiles/u", strings.Repeat(" ", limit+1)), 413)
}

func TestEveryResponseHasItsOwnRequestID(t *testing.T) {
	t.Parallel()
	h := NewHandler()
	h.MaxRequests = 1
	h.Fail(Fault{Status: 500}, Fault{}, Fault{Header: http.Header{"x-request-id": nil}})
	var got []string
	for range 3 {
		w := send(h, "GET", "/profiles/u", "")
		got = append(got, w.Header().Get("X-Request-Id"))
	}
	h.Clear()
	w := send(h, "GET", "/nowhere", "", "Authorization", "")
	got = append(got, w.Header().Get("X-Request-Id"))
	want := []string{"request-1", "request-2", "", "request-4"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("request IDs (-want +got):\n%s", diff)
	}
}

func TestRequestWithoutABody(t *testing.T) {
	t.Parallel()
	r, err := http.NewRequest("GET", "http://api.example/profiles/u", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+DefaultAPIKey)
	w := httptest.NewRecorder()
	NewHandler().ServeHTTP(w, r)
	wantError(t, w, 404)
}

func TestBodyCutOff(t *testing.T) {
	t.Parallel()
	r := httptest.NewRequest("PUT", "/profiles/u", brokenReader{})
	r.Header.Set("Authorization", "Bearer "+DefaultAPIKey)
	w := httptest.NewRecorder()
	NewHandler().ServeHTTP(w, r)
	wantError(t, w, 400)
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, http.ErrBodyReadAfterClose }

func TestClear(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := NewHandler()
		h.PageSize, h.MaxRequests, h.OnRequest = 7, 8, func(Exchange) {}
		mergeWithKey(h, "k", "u", `{"a":1}`)
		send(h, "POST", "/profiles/u/lists", listBody("news"))
		if err := h.SetPreferences("u", &courier.Preferences{}); err != nil {
			t.Fatal(err)
		}
		h.Fail(Fault{Status: 500})
		h.Clear()

		if got := h.Requests(); len(got) > 0 {
			t.Errorf("requests %v, want none", got)
		}
		if got := h.Faults(); len(got) > 0 {
			t.Errorf("faults %v, want none", got)
		}
		if got := h.Preferences("u"); got != nil {
			t.Errorf("preferences %v, want none", got)
		}
		if got := h.Subscriptions("u"); len(got) > 0 {
			t.Errorf("subscriptions %v, want none", got)
		}
		wantProfile(t, h, "u", "")
		if h.APIKey != DefaultAPIKey || h.PageSize != 7 || h.MaxRequests != 8 {
			t.Errorf("the fields are %q, %d and %d, want %q, 7 and 8",
				h.APIKey, h.PageSize, h.MaxRequests, DefaultAPIKey)
		}
		if h.OnRequest == nil {
			t.Error("OnRequest is gone")
		}

		time.Sleep(time.Hour)
		mergeWithKey(h, "k", "u", `{"b":1}`) // no replay
		wantProfile(t, h, "u", `{"b":1}`)
		send(h, "POST", "/profiles/u/lists", listBody("news"))
		if got := h.Subscriptions("u")[0].Created; !got.Equal(time.Now()) {
			t.Errorf("the list was created %v, want now, %v", got, time.Now())
		}
	})
}

// A request in progress leaves no idempotency key, and does not disturb later requests.
func TestClearDuringARequest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := NewHandler()
		h.Fail(Fault{Delay: time.Second, Status: 500})
		done := make(chan struct{})
		go func() {
			defer close(done)
			mergeWithKey(h, "k", "u", `{"a":1}`)
		}()
		synctest.Wait()
		h.Clear()
		<-done
		if got := h.Requests(); len(got) > 0 {
			t.Errorf("requests %v, want none", got)
		}
		wantResponse(t, mergeWithKey(h, "k", "u", `{"a":2}`), 200, success)
		wantProfile(t, h, "u", `{"a":2}`)
	})
}

func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	const users, rounds = 8, 8
	h := NewHandler()
	h.OnRequest = func(Exchange) { h.Profile("shared") }
	var wg sync.WaitGroup
	for user := range users {
		wg.Go(func() {
			userID := fmt.Sprintf("u%d", user)
			own := "/profiles/" + userID
			for i := range rounds {
				shared := fmt.Sprintf(`{"profile":{"custom":{"u%d_%d":1}}}`, user, i)
				send(h, "POST", "/profiles/shared", shared)
				mergeWithKey(h, fmt.Sprint(i%3), userID, `{"a":1}`)
				send(h, "PATCH", own, `{"patch":[{"op":"add","path":"/b","value":[1]}]}`)
				send(h, "POST", own+"/lists", listBody(fmt.Sprint(i%5)))
				send(h, "GET", own+"/lists", "")
				send(h, "GET", "/profiles/shared", "")
				h.FailUser(userID, Fault{})
				h.Faults()
				h.UserIDs()
				h.Subscriptions("shared")
				h.Requests()
			}
		})
	}
	wg.Wait()
	profile, _ := h.Profile("shared")
	if got := len(profile.Custom.Or(nil)); got != users*rounds {
		t.Errorf("%d concurrent merges are stored, want %d", got, users*rounds)
	}
	if got := len(h.Requests()); got != 6*users*rounds {
		t.Errorf("%d requests, want %d", got, 6*users*rounds)
	}
}
