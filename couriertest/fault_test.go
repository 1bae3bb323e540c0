package couriertest

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestFaultWithStatus(t *testing.T) {
	t.Parallel()
	errorBody := func(message, errorType string) string {
		return `{"message":"` + message + `","type":"` + errorType + `"}`
	}
	tests := []struct {
		name   string
		fault  Fault
		status int
		body   string
	}{
		{"400", Fault{Status: 400}, 400, errorBody("Bad Request", "invalid_request_error")},
		{"401", Fault{Status: 401}, 401, errorBody("Unauthorized", "authentication_error")},
		{"403", Fault{Status: 403}, 403, errorBody("Forbidden", "authorization_error")},
		{"409", Fault{Status: 409}, 409, errorBody("Conflict", "invalid_request_error")},
		{"413", Fault{Status: 413}, 413,
			errorBody("Request Entity Too Large", "invalid_request_error")},
		{"429", Fault{Status: 429}, 429, errorBody("Too Many Requests", "rate_limit_error")},
		{"500", Fault{Status: 500}, 500, errorBody("Internal Server Error", "api_error")},
		{"503", Fault{Status: 503}, 503, errorBody("Service Unavailable", "api_error")},
		{"status without a name", Fault{Status: 599}, 599, errorBody("status 599", "api_error")},
		{"body of its own", Fault{Status: 502, Body: []byte("<html>")}, 502, "<html>"},
		{"empty body", Fault{Status: 504, Body: []byte{}}, 504, ""},
		{"success", Fault{Status: 200}, 200, success},
		{"success of another shape", Fault{Status: 200, Body: []byte(`[1]`)}, 200, `[1]`},
		{"success without a body", Fault{Status: 204}, 204, ""},
		{"redirect", Fault{Status: 307}, 307, ""},
		{"status too small", Fault{Status: 42}, 500,
			errorBody("couriertest: Fault.Status is 42, not 200 to 999", "api_error")},
		{"status too large", Fault{Status: 1000}, 500,
			errorBody("couriertest: Fault.Status is 1000, not 200 to 999", "api_error")},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := NewHandler()
			h.Fail(test.fault)
			w := send(h, "POST", "/profiles/u", `{"profile":{}}`)
			if w.Code != test.status {
				t.Errorf("status %d, want %d", w.Code, test.status)
			}
			if got := w.Body.String(); got != test.body {
				t.Errorf("body %s, want %s", got, test.body)
			}
			wantProfile(t, h, "u", "") // not carried out

			w = send(h, "POST", "/profiles/u", `{"profile":{}}`)
			wantResponse(t, w, 200, success)
		})
	}
}

func TestFaultHeader(t *testing.T) {
	t.Parallel()
	const date = "Wed, 21 Oct 2015 07:28:00 GMT"
	tests := []struct {
		name  string
		fault Fault
		want  http.Header // among others; nil for a header that is not sent
	}{
		{"no body", Fault{Status: 504, Body: []byte{}}, http.Header{"Content-Type": nil}},
		{"body", Fault{Status: 503}, http.Header{"Content-Type": {"application/json"}}},
		{"another type", Fault{Status: 502, Header: http.Header{"content-type": {"text/html"}}},
			http.Header{"Content-Type": {"text/html"}}},
		{"invalid Location", Fault{Status: 307, Header: http.Header{"Location": {"http://[::1"}}},
			http.Header{"Location": {"http://[::1"}}},
		{"without a status", Fault{Header: http.Header{"X-Extra": {"a", "b"}}},
			http.Header{"X-Extra": {"a", "b"}}},
		{"Retry-After in seconds", Fault{Status: 429, RetryAfter: "2"},
			http.Header{"Retry-After": {"2"}}},
		{"Retry-After as a date", Fault{Status: 503, RetryAfter: date},
			http.Header{"Retry-After": {date}}},
		{"Retry-After of a success", Fault{RetryAfter: "nonsense"},
			http.Header{"Retry-After": {"nonsense"}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := NewHandler()
			h.Fail(test.fault)
			w := send(h, "POST", "/profiles/u", `{"profile":{}}`)
			for name, want := range test.want {
				if diff := cmp.Diff(want, w.Header()[name]); diff != "" {
					t.Errorf("%s (-want +got):\n%s", name, diff)
				}
			}
			_, carriedOut := h.Profile("u")
			if want := test.fault.Status == 0; carriedOut != want {
				t.Errorf("carried out is %t, want %t", carriedOut, want)
			}
		})
	}
}

func TestFaultsAreTakenInOrder(t *testing.T) {
	t.Parallel()
	h := NewHandler()
	h.Fail(Fault{Status: 500}, Fault{})
	h.Fail(Fault{Status: 429})
	h.Fail()
	requests := []struct {
		method, path, key string
		status            int
	}{
		{"GET", "/nowhere", "", 500}, // whatever the request asks for
		{"PATCH", "/profiles/u/lists", DefaultAPIKey, 405},
		{"GET", "/profiles/u", DefaultAPIKey, 429},
		{"GET", "/profiles/u", DefaultAPIKey, 404},
	}
	for _, r := range requests {
		w := send(h, r.method, r.path, "", "Authorization", "Bearer "+r.key)
		if w.Code != r.status {
			t.Errorf("%s %s: status %d, want %d", r.method, r.path, w.Code, r.status)
		}
	}
}

func TestFailUser(t *testing.T) {
	t.Parallel()
	h := NewHandler()
	h.Fail(Fault{Status: 500})
	h.FailUser("a/b", Fault{Status: 403}, Fault{Status: 429})
	h.FailUser("other", Fault{Status: 409})
	h.FailUser("a/b", Fault{Status: 503})
	h.FailUser("", Fault{Status: 502}) // is Fail
	requests := []struct {
		path   string
		status int
	}{
		{"/profiles/a%2Fb", 403}, // the user's own come first
		{"/profiles/u", 500},
		{"/profiles/u", 502},
		{"/profiles/u", 404},
		{"/profiles/a%2fb/lists", 429},
		{"/profiles/a%2Fb", 503},
		{"/profiles/a%2Fb", 404},
		{"/profiles/other", 409},
	}
	for i, r := range requests {
		if w := send(h, "GET", r.path, ""); w.Code != r.status {
			t.Errorf("request %d, %s: status %d, want %d", i+1, r.path, w.Code, r.status)
		}
	}
}

func TestFaultsThatAreSet(t *testing.T) {
	t.Parallel()
	h := NewHandler()
	header := http.Header{"X-Extra": {"a"}}
	h.Fail(Fault{Status: 500}, Fault{Status: 503, Body: []byte("body"), Header: header})
	h.FailUser("u", Fault{Reset: true})
	h.FailUser("v", Fault{RetryAfter: "1"})
	send(h, "GET", "/profiles/u", "")
	send(h, "GET", "/profiles/w", "")

	header.Set("X-Extra", "changed by the caller")
	h.Faults()[""][0].Header.Set("X-Extra", "changed in the result")
	want := map[string][]Fault{
		"":  {{Status: 503, Body: []byte("body"), Header: http.Header{"X-Extra": {"a"}}}},
		"v": {{RetryAfter: "1"}},
	}
	if diff := cmp.Diff(want, h.Faults()); diff != "" {
		t.Errorf("faults (-want +got):\n%s", diff)
	}

	h.ClearFaults()
	if got := h.Faults(); len(got) > 0 {
		t.Errorf("faults after ClearFaults: %v", got)
	}
	for _, userID := range []string{"v", "w"} {
		wantError(t, send(h, "GET", "/profiles/"+userID, ""), 404)
	}
}

func TestClearFaultsOfUsers(t *testing.T) {
	t.Parallel()
	fault := []Fault{{Status: 503}}
	for _, test := range []struct {
		userIDs []string
		want    map[string][]Fault
	}{
		{[]string{"u"}, map[string][]Fault{"": fault, "v": fault}},
		{[]string{""}, map[string][]Fault{"u": fault, "v": fault}},
		{[]string{"u", "v"}, map[string][]Fault{"": fault}},
		{[]string{"another"}, map[string][]Fault{"": fault, "u": fault, "v": fault}},
	} {
		h := NewHandler()
		for _, userID := range []string{"", "u", "v"} {
			h.FailUser(userID, fault...)
		}
		h.ClearFaults(test.userIDs...)
		if diff := cmp.Diff(test.want, h.Faults()); diff != "" {
			t.Errorf("faults after ClearFaults(%q) (-want +got):\n%s", test.userIDs, diff)
		}
	}
}

func TestDelay(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		fault  Fault
		status int
	}{
		{"then the normal response", Fault{Delay: time.Minute}, 204},
		{"then that of the fault", Fault{Delay: time.Minute, Status: 503}, 503},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := NewHandler()
				h.Fail(test.fault)
				start := time.Now()
				w := send(h, "DELETE", "/profiles/u", "")
				if w.Code != test.status {
					t.Errorf("status %d, want %d", w.Code, test.status)
				}
				if took := time.Since(start); took != time.Minute {
					t.Errorf("the response took %v, want 1m", took)
				}
			})
		})
	}
}

func TestDelayEndsWithTheRequest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := setUp(t, `{"a":1}`)
		h.Fail(Fault{Delay: time.Hour})
		start := time.Now()
		bounded := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			ctx, cancel := context.WithTimeout(r.Context(), time.Second)
			defer cancel()
			h.ServeHTTP(w, r.WithContext(ctx))
		})
		_, aborted := sendMayAbort(bounded, "DELETE", "/profiles/u", "")
		if !aborted {
			t.Error("the request got a response")
		}
		if took := time.Since(start); took != time.Second {
			t.Errorf("the request took %v, want 1s", took)
		}
		wantProfile(t, h, "u", `{"a":1}`)
	})
}

func TestConnectionFaults(t *testing.T) {
	t.Parallel()
	const before, after = `{"a":1}`, `{"a":2}`
	tests := []struct {
		name    string
		http2   bool
		fault   Fault
		method  string
		status  int    // 0: no response
		body    string // of which half arrives
		err     error  // of the call, or of reading the body; nil for any
		profile string
	}{
		{"reset", false, Fault{Reset: true}, "PUT", 0, "", syscall.ECONNRESET, before},
		{"reset over HTTP/2", true, Fault{Reset: true}, "PUT", 0, "", nil, before},
		{"reset and a status", false, Fault{Status: 500, Reset: true},
			"PUT", 0, "", syscall.ECONNRESET, before},
		{"cut off", false, Fault{CutOff: true}, "PUT", 200, success, io.ErrUnexpectedEOF, after},
		{"cut off over HTTP/2", true, Fault{CutOff: true}, "PUT", 200, success, nil, after},
		{"cut off and a status", false, Fault{Status: 503, Body: []byte("1234567"), CutOff: true},
			"PUT", 503, "1234567", io.ErrUnexpectedEOF, before},
		{"cut off without a body", false, Fault{CutOff: true},
			"DELETE", 0, "", syscall.ECONNRESET, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := setUp(t, before)
			server := httptest.NewUnstartedServer(h)
			server.EnableHTTP2 = test.http2
			if test.http2 {
				server.StartTLS()
			} else {
				server.Start()
			}
			defer server.Close()
			h.Fail(test.fault)

			r := request(t, server, test.method, "/profiles/u", `{"profile":`+after+`}`)
			r.GetBody = nil // or net/http resends the request itself
			status, body, err := readResponse(server.Client().Do(r))
			if err == nil {
				t.Error("the whole response came")
			}
			if test.err != nil && !errors.Is(err, test.err) {
				t.Errorf("error %v, want %v", err, test.err)
			}
			if status != test.status {
				t.Errorf("status %d, want %d", status, test.status)
			}
			if got, want := string(body), test.body[:len(test.body)/2]; got != want {
				t.Errorf("got the body %q, want half of it, %q", got, want)
			}
			wantProfile(t, h, "u", test.profile)
			requests := h.Requests()
			if got := requests[len(requests)-1].Status; got != test.status {
				t.Errorf("recorded status %d, want %d", got, test.status)
			}
		})
	}
}

// readResponse returns what came of a response, and the error that ended it.
func readResponse(response *http.Response, err error) (status int, body []byte, _ error) {
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = response.Body.Close() }()
	body, err = io.ReadAll(response.Body)
	return response.StatusCode, body, err
}

func TestResetOverTLS(t *testing.T) {
	t.Parallel()
	h := NewHandler()
	server := httptest.NewTLSServer(h)
	defer server.Close()
	h.Fail(Fault{Reset: true})
	_, _, err := readResponse(server.Client().Get(server.URL + "/profiles/u"))
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("error %v, want a reset", err)
	}
}
