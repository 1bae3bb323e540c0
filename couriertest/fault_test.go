package couriertest

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// sendMayAbort is send for requests that may be left without a whole response, and
// reports whether that happened.
func sendMayAbort(h http.Handler, method, target, body string, headers ...string) (w *httptest.ResponseRecorder, aborted bool) {
	recorded := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		defer func() {
			w = rw.(*httptest.ResponseRecorder)
			if p := recover(); p != nil {
				aborted = p == http.ErrAbortHandler
			}
		}()
		h.ServeHTTP(rw, r)
	})
	send(recorded, method, target, body, headers...)
	return w, aborted
}

func TestScriptedResponses(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		fault  Fault
		status int
		body   string
		header http.Header // among others
	}{
		{"Courier's 400", Fault{Status: 400}, 400, `{"message":"Bad Request","type":"invalid_request_error"}`, http.Header{"Content-Type": {"application/json"}}},
		{"Courier's 401", Fault{Status: 401}, 401, `{"message":"Unauthorized","type":"authentication_error"}`, nil},
		{"Courier's 403", Fault{Status: 403}, 403, `{"message":"Forbidden","type":"authorization_error"}`, nil},
		{"Courier's 409", Fault{Status: 409}, 409, `{"message":"Conflict","type":"invalid_request_error"}`, nil},
		{"Courier's 413", Fault{Status: 413}, 413, `{"message":"Request Entity Too Large","type":"invalid_request_error"}`, nil},
		{"Courier's 429", Fault{Status: 429, RetryAfter: "2"}, 429, `{"message":"Too Many Requests","type":"rate_limit_error"}`, http.Header{"Retry-After": {"2"}}},
		{"Courier's 500", Fault{Status: 500}, 500, `{"message":"Internal Server Error","type":"api_error"}`, nil},
		{"Courier's 503", Fault{Status: 503, RetryAfter: "Wed, 21 Oct 2015 07:28:00 GMT"}, 503, `{"message":"Service Unavailable","type":"api_error"}`, http.Header{"Retry-After": {"Wed, 21 Oct 2015 07:28:00 GMT"}}},
		{"status without a name", Fault{Status: 599}, 599, `{"message":"status 599","type":"api_error"}`, nil},
		{"a gateway's", Fault{Status: 502, Body: []byte("<html>"), Header: http.Header{"content-type": {"text/html"}}}, 502, "<html>", http.Header{"Content-Type": {"text/html"}}},
		{"no body", Fault{Status: 504, Body: []byte{}}, 504, "", http.Header{"Content-Type": nil}},
		{"success", Fault{Status: 200}, 200, success, nil},
		{"success of another shape", Fault{Status: 200, Body: []byte(`[1]`)}, 200, `[1]`, nil},
		{"success without a body", Fault{Status: 204}, 204, "", nil},
		{"redirect", Fault{Status: 307, Header: http.Header{"Location": {"http://[::1"}}}, 307, "", http.Header{"Location": {"http://[::1"}}},
		{"header alone", Fault{Header: http.Header{"X-Extra": {"a", "b"}}}, 200, success, http.Header{"X-Extra": {"a", "b"}}},
		{"Retry-After alone", Fault{RetryAfter: "nonsense"}, 200, success, http.Header{"Retry-After": {"nonsense"}}},
		{"status too small", Fault{Status: 42}, 500, `{"message":"couriertest: Fault.Status is 42, not 200 to 999","type":"api_error"}`, nil},
		{"status too large", Fault{Status: 1000}, 500, `{"message":"couriertest: Fault.Status is 1000, not 200 to 999","type":"api_error"}`, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := NewHandler()
			h.Fail(test.fault)
			w := send(h, "POST", "/profiles/u", `{"profile":{}}`)
			if w.Code != test.status || w.Body.String() != test.body {
				t.Errorf("response %d %s, want %d %s", w.Code, w.Body, test.status, test.body)
			}
			for name, want := range test.header {
				if diff := cmp.Diff(want, w.Header()[name]); diff != "" {
					t.Errorf("%s: %s", name, diff)
				}
			}
			if _, ok := h.Profile("u"); ok != (test.fault.Status == 0) {
				t.Errorf("carried out: %t", ok)
			}
			wantResponse(t, send(h, "POST", "/profiles/u", `{"profile":{}}`), 200, success)
		})
	}
}

func TestFaultsInOrder(t *testing.T) {
	t.Parallel()
	h := NewHandler()
	body := []byte("first")
	header := http.Header{"X-H": {"first"}}
	h.Fail(Fault{Status: 500, Body: body, Header: header}, Fault{})
	h.Fail(Fault{Status: 429})
	copy(body, "other")
	header.Set("X-H", "other")
	h.Fail()

	w := send(h, "GET", "/nowhere", "", "Authorization", "")
	if w.Code != 500 || w.Body.String() != "first" || w.Header().Get("X-H") != "first" {
		t.Errorf("response %d %s %v", w.Code, w.Body, w.Header())
	}
	w = send(h, "PATCH", "/profiles/u/lists", "")
	wantError(t, w, 405, "invalid_request_error")
	if w.Header().Get("Allow") == "" {
		t.Error("a fault that changes nothing removed the Allow header")
	}
	wantError(t, send(h, "GET", "/profiles/u", ""), 429, "rate_limit_error")
	wantError(t, send(h, "GET", "/profiles/u", ""), 404, "invalid_request_error")
}

func TestDelay(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		fault  Fault
		status int
	}{
		{"then the normal response", Fault{Delay: time.Minute}, 204},
		{"then a scripted one", Fault{Delay: time.Minute, Status: 503}, 503},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := NewHandler()
				h.Fail(test.fault)
				start := time.Now()
				if w := send(h, "DELETE", "/profiles/u", ""); w.Code != test.status {
					t.Errorf("status %d, want %d", w.Code, test.status)
				}
				if took := time.Since(start); took != time.Minute {
					t.Errorf("took %v", took)
				}
			})
		})
	}
	t.Run("ends with the request", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			h := setUp(t, `{"a":1}`)
			h.Fail(Fault{Delay: time.Hour})
			start := time.Now()
			bounded := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				ctx, cancel := context.WithTimeout(r.Context(), time.Second)
				defer cancel()
				h.ServeHTTP(w, r.WithContext(ctx))
			})
			if _, aborted := sendMayAbort(bounded, "DELETE", "/profiles/u", ""); !aborted {
				t.Error("the request got a response")
			}
			if took := time.Since(start); took != time.Second {
				t.Errorf("took %v", took)
			}
			wantProfile(t, h, "u", `{"a":1}`)
		})
	})
}

func TestConnectionFaults(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		http2   bool
		fault   Fault
		method  string
		status  int   // 0: no response
		err     error // of the call, or of reading the body
		carried bool
	}{
		{"reset", false, Fault{Reset: true}, "PUT", 0, syscall.ECONNRESET, false},
		{"reset over HTTP/2", true, Fault{Reset: true}, "PUT", 0, nil, false},
		{"reset in place of a status", false, Fault{Status: 500, Reset: true}, "PUT", 0, syscall.ECONNRESET, false},
		{"cut off", false, Fault{CutOff: true}, "PUT", 200, io.ErrUnexpectedEOF, true},
		{"cut off over HTTP/2", true, Fault{CutOff: true}, "PUT", 200, nil, true},
		{"cut off in a scripted response", false, Fault{Status: 503, CutOff: true}, "PUT", 503, io.ErrUnexpectedEOF, false},
		{"cut off without a body", false, Fault{CutOff: true}, "DELETE", 0, syscall.ECONNRESET, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := setUp(t, `{"a":1}`)
			server := httptest.NewUnstartedServer(h)
			server.EnableHTTP2 = test.http2
			if test.http2 {
				server.StartTLS()
			} else {
				server.Start()
			}
			defer server.Close()
			h.Fail(test.fault)

			r, err := http.NewRequest(test.method, server.URL+"/profiles/u", strings.NewReader(`{"profile":{"a":2}}`))
			if err != nil {
				t.Fatal(err)
			}
			r.GetBody = nil // or net/http resends the request itself
			r.Header.Set("Authorization", "Bearer "+DefaultAPIKey)
			status := 0
			response, err := server.Client().Do(r)
			if err == nil {
				status = response.StatusCode
				var body []byte
				body, err = io.ReadAll(response.Body)
				_ = response.Body.Close()
				if len(body) == 0 {
					t.Error("received nothing of the body")
				}
			}
			if err == nil || test.err != nil && !errors.Is(err, test.err) {
				t.Errorf("error %v, want %v", err, test.err)
			}
			if status != test.status {
				t.Errorf("status %d, want %d", status, test.status)
			}
			if profile := stored(h, "u"); (profile != `{"a":1}`) != test.carried {
				t.Errorf("the profile is %s, want carried out %t", profile, test.carried)
			}
			requests := h.Requests()
			if got := requests[len(requests)-1].Status; got != test.status {
				t.Errorf("recorded status %d, want %d", got, test.status)
			}
			w := send(h, "GET", "/nowhere", "")
			wantError(t, w, 404, "invalid_request_error")
		})
	}
}

func TestResetOverTLS(t *testing.T) {
	t.Parallel()
	h := NewHandler()
	server := httptest.NewTLSServer(h)
	defer server.Close()
	h.Fail(Fault{Reset: true})
	response, err := server.Client().Get(server.URL + "/profiles/u")
	if err == nil {
		_ = response.Body.Close()
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("error %v, want a reset", err)
	}
}
