package couriertest

import (
	"fmt"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"
)

func TestKeyReplaysTheFirstResponse(t *testing.T) {
	t.Parallel()
	const key = "Idempotency-Key"
	h := NewHandler()
	wantResponse(t, send(h, "POST", "/profiles/u", `{"profile":{"a":1}}`, key, "k"), 200, success)
	wantResponse(t, send(h, "POST", "/profiles/u", `{"profile":{"a":2}}`, key, "k"), 200, success)
	wantProfile(t, h, "u", `{"a":1}`)

	// Whatever the key comes with.
	wantResponse(t, send(h, "POST", "/profiles/v", `not JSON`, key, "k"), 200, success)
	wantProfile(t, h, "v", "")
	wantResponse(t, send(h, "POST", "/profiles/u/lists", `{"lists":[{"listId":"l"}]}`, key, "k"), 200, success)
	if got := h.Subscriptions("u"); len(got) != 0 {
		t.Errorf("a replay subscribed to %v", got)
	}

	// Another key, an empty one, none.
	for i, headers := range [][]string{{key, "K"}, {key, ""}, nil} {
		wantResponse(t, send(h, "POST", "/profiles/u", fmt.Sprintf(`{"profile":{"a":%d}}`, i+10), headers...), 200, success)
		wantProfile(t, h, "u", fmt.Sprintf(`{"a":%d}`, i+10))
	}
	wantError(t, send(h, "POST", "/profiles/u", `{"profile":{}}`, key, "k", "Authorization", "Bearer other"), 401, "authentication_error")
}

func TestKeyAffectsOnlyPost(t *testing.T) {
	t.Parallel()
	h := setUp(t, `{"a":1}`)
	headers := []string{"Idempotency-Key", "k", "x-idempotency-expiration", "nonsense"}
	for i := range 2 {
		wantResponse(t, send(h, "PUT", "/profiles/u", fmt.Sprintf(`{"profile":{"a":%d}}`, i), headers...), 200, success)
		wantResponse(t, send(h, "GET", "/profiles/u", "", headers...), 200, fmt.Sprintf(`{"profile":{"a":%d},"preferences":null}`, i))
		wantResponse(t, send(h, "PATCH", "/profiles/u", `{"patch":[{"op":"add","path":"/b","value":1}]}`, headers...), 204, "")
		wantProfile(t, h, "u", fmt.Sprintf(`{"a":%d,"b":1}`, i))
		wantResponse(t, send(h, "DELETE", "/profiles/u", "", headers...), 204, "")
		wantProfile(t, h, "u", "")
	}
}

func TestWhichResponsesAreSaved(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		fault Fault
		saved bool
	}{
		{"success", Fault{}, true},
		{"success whose response is lost", Fault{CutOff: true}, true},
		{"scripted success", Fault{Status: 202, Body: []byte(`{"status":"SUCCESS"}`)}, true},
		{"500", Fault{Status: 500}, true},
		{"500 that is cut off", Fault{Status: 500, CutOff: true}, true},
		{"500 of a gateway", Fault{Status: 500, Body: []byte("<html>")}, true},
		{"400", Fault{Status: 400}, false},
		{"409", Fault{Status: 409}, false},
		{"429", Fault{Status: 429, RetryAfter: "1"}, false},
		{"502", Fault{Status: 502}, false},
		{"503", Fault{Status: 503}, false},
		{"504", Fault{Status: 504}, false},
		{"redirect", Fault{Status: 307}, false},
		{"connection reset", Fault{Reset: true}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := NewHandler()
			h.Fail(test.fault)
			first, _ := sendMayAbort(h, "POST", "/profiles/u", `{"profile":{"a":1}}`, "Idempotency-Key", "k")
			second := send(h, "POST", "/profiles/u", `{"profile":{"b":2}}`, "Idempotency-Key", "k")
			profile := stored(h, "u")
			if saved := profile != `{"b":2}`; saved != test.saved {
				t.Errorf("saved: %t, want %t; the second request got %d, and the profile is %s", saved, test.saved, second.Code, profile)
			}
			if test.saved && first.Code != second.Code {
				t.Errorf("replayed %d as %d", first.Code, second.Code)
			}
		})
	}
}

func TestRejectionsAreNotSaved(t *testing.T) {
	t.Parallel()
	for _, rejected := range [][]string{
		{"/profiles/u", `{}`},
		{"/profiles/u", `{"profile":{}}`, "Authorization", "Bearer other"},
		{"/profiles/u", `{"profile":{}}`, "x-idempotency-expiration", "nonsense"},
		{"/nowhere", `{"profile":{}}`},
	} {
		h := NewHandler()
		if w := send(h, "POST", rejected[0], rejected[1], append(rejected[2:], "Idempotency-Key", "k")...); w.Code < 400 {
			t.Errorf("%v got %d", rejected, w.Code)
		}
		wantResponse(t, send(h, "POST", "/profiles/u", `{"profile":{"a":1}}`, "Idempotency-Key", "k"), 200, success)
		wantProfile(t, h, "u", `{"a":1}`)
	}
}

func TestReplayOfA500KeepsItsBody(t *testing.T) {
	t.Parallel()
	h := NewHandler()
	h.Fail(Fault{Status: 500, Body: []byte(`{"message":"down","type":"api_error"}`), Header: map[string][]string{"X-First": {"yes"}}})
	for i := range 3 {
		w := send(h, "POST", "/profiles/u", `{"profile":{}}`, "Idempotency-Key", "k")
		wantResponse(t, w, 500, `{"message":"down","type":"api_error"}`)
		if got := w.Header().Get("X-First"); (got == "yes") != (i == 0) {
			t.Errorf("response %d has X-First %q", i, got)
		}
	}
	wantProfile(t, h, "u", "")
}

func TestFaultPrecedesReplay(t *testing.T) {
	t.Parallel()
	h := NewHandler()
	h.Fail(Fault{}, Fault{Status: 503})
	for _, want := range []int{200, 503, 200} {
		if w := send(h, "POST", "/profiles/u", `{"profile":{}}`, "Idempotency-Key", "k"); w.Code != want {
			t.Errorf("status %d, want %d", w.Code, want)
		}
	}
}

func TestKeyInUse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := NewHandler()
		h.Fail(Fault{Delay: time.Second})
		done := make(chan *httptest.ResponseRecorder)
		go func() { done <- send(h, "POST", "/profiles/u", `{"profile":{"a":1}}`, "Idempotency-Key", "k") }()
		synctest.Wait()

		wantError(t, send(h, "POST", "/profiles/u", `{"profile":{"a":2}}`, "Idempotency-Key", "k"), 409, "invalid_request_error")
		wantResponse(t, send(h, "POST", "/profiles/u", `{"profile":{"b":1}}`, "Idempotency-Key", "other"), 200, success)
		wantResponse(t, <-done, 200, success)
		wantResponse(t, send(h, "POST", "/profiles/u", `{"profile":{"a":3}}`, "Idempotency-Key", "k"), 200, success)
		wantProfile(t, h, "u", `{"a":1,"b":1}`)
	})
}

func TestKeyExpires(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	year := func(now time.Time) time.Time { return now.AddDate(1, 0, 0) }
	after := func(d time.Duration) func(time.Time) time.Time {
		return func(now time.Time) time.Time { return now.Add(d) }
	}
	ms := func(at time.Time) string { return fmt.Sprint(at.UnixMilli()) }
	iso := func(at time.Time) string { return at.Format("2006-01-02T15:04:05.000Z07:00") }
	tests := []struct {
		name    string
		expires func(now time.Time) time.Time
		format  func(time.Time) string // nil: no header
		valid   bool
	}{
		{"default", after(day), nil, true},
		{"ms, a day", after(day), ms, true},
		{"ms, a year", year, ms, true},
		{"ms, a day when it was sent", after(day - time.Second), ms, true},
		{"ms, too soon", after(day - time.Hour), ms, false},
		{"ms, too late", after(367 * day), ms, false},
		{"ISO, a day", after(day), iso, true},
		{"ISO, two days", after(2 * day), iso, true},
		{"ISO in another zone", func(now time.Time) time.Time { return now.Add(2 * day).In(time.FixedZone("", 7200)) }, iso, true},
		{"ISO, a year", year, iso, true},
		{"ISO, too soon", after(time.Hour), iso, false},
		{"ISO, too late", after(367 * day), iso, false},
		{"past", after(-day), iso, false},
		{"seconds", after(2 * day), func(at time.Time) string { return fmt.Sprint(at.Unix()) }, false},
		{"nonsense", after(2 * day), func(time.Time) string { return "tomorrow" }, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := NewHandler()
				expires := test.expires(time.Now())
				headers := []string{"Idempotency-Key", "k"}
				if test.format != nil {
					headers = append(headers, "x-idempotency-expiration", test.format(expires))
				}
				w := send(h, "POST", "/profiles/u", `{"profile":{"n":1}}`, headers...)
				if !test.valid {
					wantError(t, w, 400, "invalid_request_error")
					wantProfile(t, h, "u", "")
					return
				}
				wantResponse(t, w, 200, success)

				time.Sleep(time.Until(expires) - time.Millisecond)
				send(h, "POST", "/profiles/u", `{"profile":{"n":2}}`, "Idempotency-Key", "k")
				wantProfile(t, h, "u", `{"n":1}`)
				time.Sleep(time.Millisecond)
				send(h, "POST", "/profiles/u", `{"profile":{"n":3}}`, "Idempotency-Key", "k")
				wantProfile(t, h, "u", `{"n":3}`)
			})
		})
	}
}
