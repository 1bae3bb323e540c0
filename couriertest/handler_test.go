package couriertest

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAuthorization(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, authorization string
		status              int
	}{
		{"right", "Bearer test-api-key", 200},
		{"scheme in lower case", "bearer test-api-key", 200},
		{"none", "", 401},
		{"wrong key", "Bearer other", 401},
		{"no key", "Bearer ", 401},
		{"key alone", "test-api-key", 401},
		{"other scheme", "Basic test-api-key", 401},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := NewHandler()
			w := send(h, "POST", "/profiles/u", `{"profile":{}}`, "Authorization", test.authorization)
			if test.status == 200 {
				wantResponse(t, w, 200, `{"status":"SUCCESS"}`)
				return
			}
			wantError(t, w, 401, "authentication_error")
			wantProfile(t, h, "u", "")
		})
	}

	t.Run("comes first", func(t *testing.T) {
		for _, request := range [][3]string{{"GET", "/nowhere"}, {"TRACE", "/profiles/u"}, {"POST", "/profiles/u", "not JSON"}} {
			w := send(NewHandler(), request[0], request[1], request[2], "Authorization", "")
			wantError(t, w, 401, "authentication_error")
		}
	})
	t.Run("another key set", func(t *testing.T) {
		h := NewHandler()
		h.APIKey = "mine"
		wantError(t, send(h, "DELETE", "/profiles/u", ""), 401, "authentication_error")
		wantResponse(t, send(h, "DELETE", "/profiles/u", "", "Authorization", "Bearer mine"), 204, "")
	})
	t.Run("no key set", func(t *testing.T) {
		wantError(t, send(&Handler{}, "DELETE", "/profiles/u", "", "Authorization", "Bearer "), 401, "authentication_error")
	})
}

func TestZeroHandlerWorks(t *testing.T) {
	t.Parallel()
	h := &Handler{APIKey: DefaultAPIKey}
	wantResponse(t, send(h, "POST", "/profiles/u", `{"profile":{"a":1}}`, "Idempotency-Key", "k"), 200, `{"status":"SUCCESS"}`)
	wantResponse(t, send(h, "POST", "/profiles/u/lists", `{"lists":[{"listId":"l"}]}`), 200, `{"status":"SUCCESS"}`)
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
			wantError(t, w, test.status, "invalid_request_error")
			if got := w.Header().Get("Allow"); got != test.allow {
				t.Errorf("Allow %q, want %q", got, test.allow)
			}
		})
	}
}

var awkwardIDs = []string{
	"a/b", "../lists/x", "a?b", "a#b", "100%", "%2F", "ü/✓", "line\nbreak", "a b", "a+b", "a&b=c", "a;b,c:d@e",
	"lists", "profiles", "...", "/", " ", "\x00", "\xff", strings.Repeat("long", 500),
}

func TestUserIDsOfAnyCharacters(t *testing.T) {
	t.Parallel()
	routes := map[string]func(http.Handler) (http.Handler, string){
		"as it is":       func(h http.Handler) (http.Handler, string) { return h, "" },
		"below a prefix": func(h http.Handler) (http.Handler, string) { return http.StripPrefix("/a/fake", h), "/a/fake" },
		"in a ServeMux": func(h http.Handler) (http.Handler, string) {
			mux := http.NewServeMux()
			mux.Handle("/fake/", http.StripPrefix("/fake", h))
			return mux, "/fake"
		},
	}
	for name, route := range routes {
		t.Run(name, func(t *testing.T) {
			h := NewHandler()
			routed, prefix := route(h)
			server := httptest.NewServer(routed)
			defer server.Close()
			for i, id := range awkwardIDs {
				path := prefix + "/profiles/" + url.PathEscape(id)
				body := fmt.Sprintf(`{"profile":{"i":%d}}`, i)
				r, err := http.NewRequest("POST", server.URL+path, strings.NewReader(body))
				if err != nil {
					t.Fatal(err)
				}
				r.Header.Set("Authorization", "Bearer "+DefaultAPIKey)
				response, err := server.Client().Do(r)
				if err != nil {
					t.Fatal(err)
				}
				_ = response.Body.Close()
				if response.StatusCode != 200 {
					t.Errorf("%q: status %d", id, response.StatusCode)
				}
				wantProfile(t, h, id, fmt.Sprintf(`{"i":%d}`, i))
				if got := h.Requests()[i].UserID; got != id {
					t.Errorf("user id %q, want %q", got, id)
				}
				wantResponse(t, send(routed, "POST", path+"/lists", `{"lists":[{"listId":"l"}]}`), 200, `{"status":"SUCCESS"}`)
				if got := h.Subscriptions(id); len(got) != 1 {
					t.Errorf("%q: subscriptions %v", id, got)
				}
				// Drop the last request, so that Requests()[i] belongs to the i-th ID.
				h.requests = h.requests[:i+1]
			}
		})
	}
}

func TestLargestBody(t *testing.T) {
	t.Parallel()
	h := NewHandler()
	server := httptest.NewServer(h)
	defer server.Close()
	for _, test := range []struct {
		size, status int
	}{{6_000_000, 200}, {6 << 20, 200}, {6<<20 + 1, 413}, {12 << 20, 413}} {
		t.Run(fmt.Sprint(test.size), func(t *testing.T) {
			frame := `{"profile":{"x":""}}`
			body := strings.Replace(frame, `""`, `"`+strings.Repeat("x", test.size-len(frame))+`"`, 1)
			r, err := http.NewRequest("PUT", server.URL+"/profiles/u", strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Authorization", "Bearer "+DefaultAPIKey)
			response, err := server.Client().Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = response.Body.Close() }()
			if response.StatusCode != test.status {
				t.Errorf("status %d, want %d", response.StatusCode, test.status)
			}
		})
	}
	wantError(t, send(h, "PUT", "/profiles/u", strings.Repeat(" ", 6<<20+1)), 413, "invalid_request_error")
}

func TestEveryResponseHasItsOwnRequestID(t *testing.T) {
	t.Parallel()
	h := NewHandler()
	h.Fail(Fault{Status: 500}, Fault{}, Fault{}, Fault{Header: http.Header{"x-request-id": nil}})
	var got []string
	for range 4 {
		got = append(got, send(h, "GET", "/profiles/u", "").Header().Get("X-Request-Id"))
	}
	got = append(got, send(h, "GET", "/nowhere", "", "Authorization", "").Header().Get("X-Request-Id"))
	if diff := cmp.Diff([]string{"request-1", "request-2", "request-3", "", "request-5"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestRequestWithoutAServer(t *testing.T) {
	t.Parallel()
	r, err := http.NewRequest("GET", "http://api.example/profiles/u", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+DefaultAPIKey)
	w := httptest.NewRecorder()
	NewHandler().ServeHTTP(w, r)
	wantError(t, w, 404, "invalid_request_error")
}

func TestBodyCutOff(t *testing.T) {
	t.Parallel()
	h := NewHandler()
	r := httptest.NewRequest("PUT", "/profiles/u", brokenReader{})
	r.Header.Set("Authorization", "Bearer "+DefaultAPIKey)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	wantError(t, w, 400, "invalid_request_error")
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, http.ErrBodyReadAfterClose }

func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	const users, rounds = 8, 8
	h := NewHandler()
	h.PageSize = 2
	var wg sync.WaitGroup
	for user := range users {
		wg.Go(func() {
			own := fmt.Sprintf("/profiles/u%d", user)
			for i := range rounds {
				send(h, "POST", "/profiles/shared", fmt.Sprintf(`{"profile":{"custom":{"u%d_%d":1}}}`, user, i))
				send(h, "POST", own, `{"profile":{"a":1}}`, "Idempotency-Key", fmt.Sprint(i%3))
				send(h, "PATCH", own, `{"patch":[{"op":"add","path":"/b","value":[1]}]}`)
				send(h, "POST", own+"/lists", fmt.Sprintf(`{"lists":[{"listId":"l%d"}]}`, i%5))
				send(h, "GET", own+"/lists", "")
				send(h, "GET", "/profiles/shared", "")
				h.Fail(Fault{})
				h.Profile("shared")
				h.Subscriptions("shared")
				h.Requests()
			}
		})
	}
	wg.Wait()
	profile, ok := h.Profile("shared")
	if custom, _ := profile.Custom.Get(); !ok || len(custom) != users*rounds {
		t.Errorf("%d of %d concurrent merges are stored", len(custom), users*rounds)
	}
	if got := len(h.Requests()); got != 6*users*rounds {
		t.Errorf("%d requests, want %d", got, 6*users*rounds)
	}
}
