package couriertest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// observe returns what OnRequest is called with from now on.
func observe(h *Handler) func() []Exchange {
	var mu sync.Mutex
	var exchanges []Exchange
	h.OnRequest = func(e Exchange) {
		mu.Lock()
		defer mu.Unlock()
		exchanges = append(exchanges, e)
	}
	return func() []Exchange {
		mu.Lock()
		defer mu.Unlock()
		return exchanges
	}
}

func TestExchange(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := setUp(t, `{"a":1}`)
		exchanges := observe(h)
		start := time.Now()
		h.Fail(Fault{Delay: time.Second, RetryAfter: "2"})
		send(h, "POST", "/profiles/u?x=y", `{"profile":{"b":2}}`)

		want := []Exchange{{
			Request: h.Requests()[1],
			ResponseHeader: http.Header{
				"Content-Type": {"application/json"},
				"Retry-After":  {"2"},
				"X-Request-Id": {"request-2"},
			},
			ResponseBody: []byte(success),
			Start:        start,
			Duration:     time.Second,
			Before:       json.RawMessage(`{"a":1}`),
			After:        json.RawMessage(`{"a":1,"b":2}`),
		}}
		if diff := cmp.Diff(want, exchanges()); diff != "" {
			t.Errorf("exchanges (-want +got):\n%s", diff)
		}
	})
}

func TestExchangeOfEveryKind(t *testing.T) {
	t.Parallel()
	const merge, patch = `{"profile":{"b":2}}`, `{"patch":[{"op":"remove","path":"/z"}]}`
	tests := []struct {
		name, profile string
		fault         Fault
		method, path  string
		body          string
		status        int
		response      string
		after         string
	}{
		{"merge", `{"a":1}`, Fault{}, "POST", "/profiles/u", merge,
			200, success, `{"a":1,"b":2}`},
		{"merge creates", "", Fault{}, "POST", "/profiles/u", merge, 200, success, `{"b":2}`},
		{"replace", `{"a":1}`, Fault{}, "PUT", "/profiles/u", merge, 200, success, `{"b":2}`},
		{"delete", `{"a":1}`, Fault{}, "DELETE", "/profiles/u", "", 204, "", ""},
		{"get", `{"a":1}`, Fault{}, "GET", "/profiles/u", "",
			200, `{"profile":{"a":1},"preferences":null}`, `{"a":1}`},
		{"subscribe", `{"a":1}`, Fault{}, "POST", "/profiles/u/lists", listBody("news"),
			200, success, `{"a":1}`},
		{"malformed", `{"a":1}`, Fault{}, "POST", "/profiles/u", `{}`,
			400, `{"message":"profile must be an object","type":"invalid_request_error"}`,
			`{"a":1}`},
		{"patch fails", `{"a":1}`, Fault{}, "PATCH", "/profiles/u", patch, 400,
			`{"message":"patch[0]: remove: the target does not exist",` +
				`"type":"invalid_request_error"}`, `{"a":1}`},
		{"status of a fault", `{"a":1}`, Fault{Status: 204}, "POST", "/profiles/u", merge,
			204, "", `{"a":1}`},
		{"reset", `{"a":1}`, Fault{Reset: true}, "POST", "/profiles/u", merge,
			0, "", `{"a":1}`},
		{"cut off", `{"a":1}`, Fault{CutOff: true}, "POST", "/profiles/u", merge,
			200, success, `{"a":1,"b":2}`},
		{"cut off without a body", `{"a":1}`, Fault{CutOff: true}, "DELETE", "/profiles/u", "",
			0, "", ""},
		{"body of a fault without a status", `{"a":1}`, Fault{Body: []byte("ignored")},
			"POST", "/profiles/u", merge, 200, success, `{"a":1,"b":2}`},
		{"no user", `{"a":1}`, Fault{}, "GET", "/nowhere", "",
			404, `{"message":"no such resource","type":"invalid_request_error"}`, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := setUp(t, test.profile)
			exchanges := observe(h)
			h.Fail(test.fault)
			sendMayAbort(h, test.method, test.path, test.body)
			if len(exchanges()) != 1 {
				t.Fatalf("%d exchanges, want 1", len(exchanges()))
			}
			got := exchanges()[0]
			if got.Request.Status != test.status {
				t.Errorf("status %d, want %d", got.Request.Status, test.status)
			}
			if hasHeader := got.ResponseHeader != nil; hasHeader != (test.status != 0) {
				t.Errorf("response header %v", got.ResponseHeader)
			}
			wantJSON(t, string(got.ResponseBody), test.response)
			before := test.profile
			if got.Request.UserID == "" {
				before = ""
			}
			wantJSON(t, string(got.Before), before)
			wantJSON(t, string(got.After), test.after)
		})
	}
}

func TestExchangeOfAReplay(t *testing.T) {
	t.Parallel()
	h := NewHandler()
	mergeWithKey(h, "k", "u", `{"a":1}`)
	exchanges := observe(h)
	mergeWithKey(h, "k", "u", `{"a":2}`)
	got := exchanges()[0]
	wantJSON(t, string(got.ResponseBody), success)
	wantJSON(t, string(got.Before), `{"a":1}`)
	wantJSON(t, string(got.After), `{"a":1}`)
}

// Requests of one user that overlap: each exchange has the change of its own request.
func TestExchangesOfOverlappingRequests(t *testing.T) {
	t.Parallel()
	h := NewHandler()
	exchanges := observe(h)
	const count = 20
	var wg sync.WaitGroup
	for i := range count {
		wg.Go(func() {
			send(h, "POST", "/profiles/u", fmt.Sprintf(`{"profile":{"m%d":%d}}`, i, i))
		})
	}
	wg.Wait()

	// In the order in which they were carried out, one profile leads to the next.
	next := make(map[string]Exchange)
	for _, e := range exchanges() {
		next[string(e.Before)] = e
	}
	profile := ""
	for range count {
		e, ok := next[profile]
		if !ok {
			t.Fatalf("no exchange begins with the profile %q", profile)
		}
		var body struct{ Profile map[string]any }
		if err := json.Unmarshal(e.Request.Body, &body); err != nil {
			t.Fatal(err)
		}
		before, after := members(t, e.Before), members(t, e.After)
		for name := range body.Profile {
			before[name] = after[name]
		}
		if diff := cmp.Diff(before, after, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s changed more than it asks for:\n%s", e.Request.Body, diff)
		}
		profile = string(e.After)
	}
	wantProfile(t, h, "u", profile)
}

func members(t *testing.T, profile json.RawMessage) map[string]any {
	t.Helper()
	object := map[string]any{}
	if profile == nil {
		return object
	}
	if err := json.Unmarshal(profile, &object); err != nil {
		t.Fatal(err)
	}
	return object
}

// The hook may use the Handler, and sees the state behind its request.
func TestOnRequestUsesTheHandler(t *testing.T) {
	t.Parallel()
	h := NewHandler()
	h.OnRequest = func(e Exchange) {
		if e.Request.Status == 200 {
			wantProfile(t, h, "u", string(e.After))
			h.Fail(Fault{Status: 503})
		}
	}
	wantResponse(t, send(h, "POST", "/profiles/u", `{"profile":{"a":1}}`), 200, success)
	w := send(h, "GET", "/profiles/u", "")
	if w.Code != 503 {
		t.Errorf("status %d, want 503", w.Code)
	}
}

// The hook is called before the response is sent, and a slow one delays it.
func TestOnRequestComesBeforeTheResponse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := setUp(t, `{"a":1}`)
		w := &timedRecorder{ResponseRecorder: httptest.NewRecorder()}
		h.OnRequest = func(Exchange) { time.Sleep(time.Second) }
		start := time.Now()
		r := httptest.NewRequest("GET", "/profiles/u", nil)
		r.Header.Set("Authorization", "Bearer "+DefaultAPIKey)
		h.ServeHTTP(w, r)
		if took := w.written.Sub(start); took != time.Second {
			t.Errorf("the response was sent after %v, want 1s", took)
		}
	})
}

// timedRecorder knows when the response was sent.
type timedRecorder struct {
	*httptest.ResponseRecorder
	written time.Time
}

func (r *timedRecorder) WriteHeader(status int) {
	r.written = time.Now()
	r.ResponseRecorder.WriteHeader(status)
}

// Calls of the hook for concurrent requests overlap: each of these two waits for the other.
func TestOnRequestOverlaps(t *testing.T) {
	t.Parallel()
	h := NewHandler()
	met := make(chan struct{})
	h.OnRequest = func(Exchange) {
		select {
		case met <- struct{}{}:
		case <-met:
		case <-time.After(10 * time.Second): // only if the test fails
			t.Error("the hook is not called for another request meanwhile")
		}
	}
	var requests sync.WaitGroup
	for range 2 {
		requests.Go(func() { send(h, "GET", "/profiles/u", "") })
	}
	requests.Wait()
}

// The time of an exchange begins before its body is read.
func TestExchangeDurationIncludesTheBody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := NewHandler()
		exchanges := observe(h)
		start := time.Now()
		r := httptest.NewRequest("PUT", "/profiles/u", slowReader{})
		r.Header.Set("Authorization", "Bearer "+DefaultAPIKey)
		h.ServeHTTP(httptest.NewRecorder(), r)
		got := exchanges()[0]
		if !got.Start.Equal(start) {
			t.Errorf("the exchange started %v after the request", got.Start.Sub(start))
		}
		if got.Duration != time.Second {
			t.Errorf("the exchange took %v, want 1s", got.Duration)
		}
	})
}

// slowReader is a body that takes a second.
type slowReader struct{}

func (slowReader) Read([]byte) (int, error) {
	time.Sleep(time.Second)
	return 0, io.EOF
}

func TestExchangeIsACopy(t *testing.T) {
	t.Parallel()
	h := NewHandler()
	h.OnRequest = func(e Exchange) {
		e.Request.Body[0] = 'x'
		e.Request.Header.Set("X-Mine", "2")
		e.ResponseHeader["X-Fault"][0] = "2"
		e.ResponseBody[0] = 'x'
		e.After[0] = 'x'
	}
	h.Fail(Fault{Header: http.Header{"X-Fault": {"1"}}})
	w := send(h, "POST", "/profiles/u", `{"profile":{"a":1}}`, "X-Mine", "1")
	wantResponse(t, w, 200, success)
	wantProfile(t, h, "u", `{"a":1}`)
	if got := w.Header().Get("X-Fault"); got != "1" {
		t.Errorf("X-Fault %q, want 1", got)
	}
	r := h.Requests()[0]
	if got := string(r.Body); got != `{"profile":{"a":1}}` {
		t.Errorf("body of the request %s", got)
	}
	if got := r.Header.Get("X-Mine"); got != "1" {
		t.Errorf("X-Mine %q, want 1", got)
	}
}
