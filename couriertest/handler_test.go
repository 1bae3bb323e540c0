package couriertest

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	courier "github.com/courier-profiles/courier-go"
)

func TestAcceptedKeys(t *testing.T) {
	t.Parallel()
	for _, authorization := range []string{"Bearer mine", "bearer mine"} {
		t.Run(authorization, func(t *testing.T) {
			t.Parallel()
			h := setUp(t, `{"a":1}`)
			h.APIKey = "mine"
			w := send(h, "DELETE", "/profiles/u", "", "Authorization", authorization)
			wantResponse(t, w, 204, "")
			wantProfile(t, h, "u", "")
		})
	}
}

func TestRefusedKeys(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, key, authorization string }{
		{"no header", "mine", ""},
		{"the default key", "mine", "Bearer " + DefaultAPIKey},
		{"scheme alone", "mine", "Bearer "},
		{"key alone", "mine", "mine"},
		{"other scheme", "mine", "Basic mine"},
		{"Handler without a key", "", "Bearer "},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			h := setUp(t, `{"a":1}`)
			h.APIKey = test.key
			w := send(h, "DELETE", "/profiles/u", "", "Authorization", test.authorization)
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
		t.Run(r.method+" "+r.path, func(t *testing.T) {
			t.Parallel()
			wantError(t, send(NewHandler(), r.method, r.path, r.body, "Authorization", ""), 401)
		})
	}
}

func TestHandlerWithoutNewHandler(t *testing.T) {
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
	routes := []struct {
		name, prefix string
		mount        func(*Handler) http.Handler
	}{
		{"by itself", "", func(h *Handler) http.Handler { return h }},
		{"below a prefix", "/a/prefix", func(h *Handler) http.Handler {
			return http.StripPrefix("/a/prefix", h)
		}},
		{"in a ServeMux", "/mux", func(h *Handler) http.Handler {
			mux := http.NewServeMux()
			mux.Handle("/mux/", http.StripPrefix("/mux", h))
			return mux
		}},
	}
	for _, route := range routes {
		for _, userID := range userIDs {
			t.Run(fmt.Sprintf("%s/%.20q", route.name, userID), func(t *testing.T) {
				t.Parallel()
				h := NewHandler()
				server := httptest.NewServer(route.mount(h))
				defer server.Close()
				path := route.prefix + "/profiles/" + url.PathEscape(userID)

				put := request(t, server, "PUT", path, `{"profile":{"a":1}}`)
				wantStatus(t, server, put, 200)
				wantProfile(t, h, userID, `{"a":1}`)

				subscribe := request(t, server, "POST", path+"/lists", listBody("news"))
				wantStatus(t, server, subscribe, 200)
				var lists []string
				for _, subscription := range h.Subscriptions(userID) {
					lists = append(lists, subscription.ID)
				}
				if diff := cmp.Diff([]string{"news"}, lists); diff != "" {
					t.Errorf("lists (-want +got):\n%s", diff)
				}
				// No other profile was written.
				if diff := cmp.Diff([]string{userID}, h.UserIDs()); diff != "" {
					t.Errorf("users with a profile (-want +got):\n%s", diff)
				}
			})
		}
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
	// The 413 has the body of an error.
	wantError(t, send(h, "PUT", "/profiles/u", strings.Repeat(" ", limit+1)), 413)
}

// The ID of a request is its number, whatever becomes of the request.
func TestRequestIDs(t *testing.T) {
	t.Parallel()
	h := NewHandler()
	h.MaxRequests = 1 // which does not limit the numbers
	h.Fail(Fault{Status: 500}, Fault{}, Fault{Header: http.Header{"x-request-id": nil}})
	requestID := func(path, authorization string) string {
		w := send(h, "GET", path, "", "Authorization", authorization)
		return w.Header().Get("X-Request-Id")
	}
	const authorized = "Bearer " + DefaultAPIKey
	got := []string{
		requestID("/profiles/u", authorized), // met the 500
		requestID("/profiles/u", authorized), // 404
		requestID("/profiles/u", authorized), // met the fault that removes the header
	}
	h.Clear()
	got = append(got, requestID("/nowhere", "")) // 401
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
	r := httptest.NewRequest("PUT", "/profiles/u", iotest.ErrReader(io.ErrUnexpectedEOF))
	r.Header.Set("Authorization", "Bearer "+DefaultAPIKey)
	w := httptest.NewRecorder()
	NewHandler().ServeHTTP(w, r)
	wantError(t, w, 400)
}

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
		wantFields := []any{DefaultAPIKey, 7, 8}
		fields := []any{h.APIKey, h.PageSize, h.MaxRequests}
		if diff := cmp.Diff(wantFields, fields); diff != "" {
			t.Errorf("APIKey, PageSize, MaxRequests (-want +got):\n%s", diff)
		}
		if h.OnRequest == nil {
			t.Error("OnRequest is nil, want the func that was set")
		}

		// The key is new, so that its merge is carried out. So is the list.
		time.Sleep(time.Hour)
		mergeWithKey(h, "k", "u", `{"b":1}`)
		wantProfile(t, h, "u", `{"b":1}`)
		send(h, "POST", "/profiles/u/lists", listBody("news"))
		if got := h.Subscriptions("u")[0].Created; !got.Equal(time.Now()) {
			t.Errorf("the list was created at %v, want now, %v", got, time.Now())
		}
	})
}

// A request that Clear interrupts leaves no idempotency key: a later one is carried out.
func TestClearDuringARequest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := NewHandler()
		h.Fail(Fault{Delay: time.Second, Status: 500}) // which is saved for the key
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
	const users, rounds, requestsPerRound = 8, 8, 6
	h := NewHandler()
	h.OnRequest = func(Exchange) { h.Profile("shared") }
	var wg sync.WaitGroup
	for user := range users {
		wg.Go(func() {
			userID := fmt.Sprintf("u%d", user)
			own := "/profiles/" + userID
			for round := range rounds {
				member := fmt.Sprintf(`{"profile":{"custom":{"u%d_%d":1}}}`, user, round)
				key, list := fmt.Sprint(round%3), fmt.Sprint(round%5) // both are used again

				send(h, "POST", "/profiles/shared", member)
				send(h, "GET", "/profiles/shared", "")
				mergeWithKey(h, key, userID, `{"a":1}`)
				send(h, "PATCH", own, `{"patch":[{"op":"add","path":"/b","value":[1]}]}`)
				send(h, "POST", own+"/lists", listBody(list))
				send(h, "GET", own+"/lists", "")

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
	if got, want := len(profile.Custom.Or(nil)), users*rounds; got != want {
		t.Errorf("the shared profile has %d members of custom, want %d", got, want)
	}
	if got, want := len(h.Requests()), users*rounds*requestsPerRound; got != want {
		t.Errorf("got %d requests, want %d", got, want)
	}
}
