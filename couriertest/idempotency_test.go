package couriertest

import (
	"fmt"
	"net/http/httptest"
	"strconv"
	"testing"
	"testing/synctest"
	"time"
)

// mergeWithKey sends a merge with an idempotency key.
func mergeWithKey(
	h *Handler, key, userID, profile string, headers ...string,
) *httptest.ResponseRecorder {
	headers = append([]string{"Idempotency-Key", key}, headers...)
	return send(h, "POST", "/profiles/"+userID, `{"profile":`+profile+`}`, headers...)
}

func TestKeyReplaysTheFirstResponse(t *testing.T) {
	t.Parallel()
	h := NewHandler()
	wantResponse(t, mergeWithKey(h, "k", "u", `{"a":1}`), 200, success)
	wantResponse(t, mergeWithKey(h, "k", "u", `{"a":2}`), 200, success)
	wantResponse(t, mergeWithKey(h, "k", "u", `not JSON`), 200, success)
	wantProfile(t, h, "u", `{"a":1}`)

	for i, key := range []string{"K", ""} { // another key, and none
		profile := fmt.Sprintf(`{"a":%d}`, i+3)
		wantResponse(t, mergeWithKey(h, key, "u", profile), 200, success)
		wantProfile(t, h, "u", profile)
	}
	wantError(t, mergeWithKey(h, "k", "u", `{}`, "Authorization", "Bearer other"), 401)
}

func TestKeyBelongsToItsEndpoint(t *testing.T) {
	t.Parallel()
	h := NewHandler()
	mergeWithKey(h, "k", "u", `{"a":1}`)
	mergeWithKey(h, "k", "v", `{"a":2}`)
	wantProfile(t, h, "v", `{"a":2}`)

	send(h, "POST", "/profiles/u/lists", listBody("news"), "Idempotency-Key", "k")
	send(h, "POST", "/profiles/u/lists", listBody("jobs"), "Idempotency-Key", "k")
	if got := h.Subscriptions("u"); len(got) != 1 {
		t.Errorf("subscriptions %v, want one", got)
	}

	// The same endpoint, escaped in another way.
	mergeWithKey(h, "k", "%75", `{"a":3}`)
	wantProfile(t, h, "u", `{"a":1}`)
}

func TestKeyAffectsOnlyPost(t *testing.T) {
	t.Parallel()
	h := NewHandler()
	headers := []string{"Idempotency-Key", "k", "x-idempotency-expiration", "nonsense"}
	const patch = `{"patch":[{"op":"add","path":"/b","value":1}]}`
	for i := range 2 {
		put := fmt.Sprintf(`{"profile":{"a":%d}}`, i)
		wantResponse(t, send(h, "PUT", "/profiles/u", put, headers...), 200, success)
		got := fmt.Sprintf(`{"profile":{"a":%d},"preferences":null}`, i)
		wantResponse(t, send(h, "GET", "/profiles/u", "", headers...), 200, got)
		wantResponse(t, send(h, "PATCH", "/profiles/u", patch, headers...), 204, "")
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
		{"scripted success", Fault{Status: 202}, true},
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
			key := []string{"Idempotency-Key", "k"}
			first, _ := sendMayAbort(h, "POST", "/profiles/u", `{"profile":{"a":1}}`, key...)
			second := mergeWithKey(h, "k", "u", `{"b":2}`)

			profile, _ := h.ProfileJSON("u")
			if saved := string(profile) != `{"b":2}`; saved != test.saved {
				t.Errorf("saved is %t, want %t; the profile is %s", saved, test.saved, profile)
			}
			if test.saved && second.Code != first.Code {
				t.Errorf("replayed %d, want %d", second.Code, first.Code)
			}
		})
	}
}

func TestRejectionsAreNotSaved(t *testing.T) {
	t.Parallel()
	tests := [][]string{
		{"/profiles/u", `{}`},
		{"/profiles/u", `{"profile":{}}`, "Authorization", "Bearer other"},
		{"/profiles/u", `{"profile":{}}`, "x-idempotency-expiration", "nonsense"},
		{"/nowhere", `{"profile":{}}`},
	}
	for _, test := range tests {
		h := NewHandler()
		headers := append([]string{"Idempotency-Key", "k"}, test[2:]...)
		w := send(h, "POST", test[0], test[1], headers...)
		if w.Code < 400 {
			t.Errorf("%v: status %d, want an error", test, w.Code)
		}
		wantResponse(t, mergeWithKey(h, "k", "u", `{"a":1}`), 200, success)
		wantProfile(t, h, "u", `{"a":1}`)
	}
}

func TestReplayHasStatusAndBody(t *testing.T) {
	t.Parallel()
	h := NewHandler()
	const body = `{"message":"down","type":"api_error"}`
	header := map[string][]string{"X-First": {"yes"}}
	h.Fail(Fault{Status: 500, Body: []byte(body), Header: header})
	for i, wantHeader := range []string{"yes", "", ""} {
		w := mergeWithKey(h, "k", "u", `{}`)
		wantResponse(t, w, 500, body)
		if got := w.Header().Get("X-First"); got != wantHeader {
			t.Errorf("response %d: X-First is %q, want %q", i+1, got, wantHeader)
		}
	}
}

func TestFaultPrecedesReplay(t *testing.T) {
	t.Parallel()
	h := NewHandler()
	h.Fail(Fault{}, Fault{Status: 503})
	for i, want := range []int{200, 503, 200} {
		w := mergeWithKey(h, "k", "u", `{}`)
		if w.Code != want {
			t.Errorf("response %d: status %d, want %d", i+1, w.Code, want)
		}
	}
}

func TestKeyInUse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := NewHandler()
		h.Fail(Fault{Delay: time.Second})
		done := make(chan *httptest.ResponseRecorder)
		go func() { done <- mergeWithKey(h, "k", "u", `{"a":1}`) }()
		synctest.Wait()

		wantError(t, mergeWithKey(h, "k", "u", `{"a":2}`), 409)
		wantResponse(t, mergeWithKey(h, "other", "u", `{"b":1}`), 200, success)
		wantResponse(t, <-done, 200, success)
		wantResponse(t, mergeWithKey(h, "k", "u", `{"a":3}`), 200, success)
		wantProfile(t, h, "u", `{"a":1,"b":1}`)
	})
}

const day = 24 * time.Hour

func TestKeyExpires(t *testing.T) {
	t.Parallel()
	const iso = "2006-01-02T15:04:05.000Z07:00"
	east := time.FixedZone("", 2*60*60)
	now := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC) // when synctest starts
	year := now.AddDate(1, 0, 0)
	tests := []struct {
		name   string
		header string // x-idempotency-expiration
		life   time.Duration
	}{
		{"default", "", 25 * time.Hour},
		{"seconds", strconv.FormatInt(now.Add(day).Unix(), 10), day},
		{"seconds, a minute", strconv.FormatInt(now.Add(time.Minute).Unix(), 10), time.Minute},
		{"seconds, a year", strconv.FormatInt(year.Unix(), 10), year.Sub(now)},
		{"milliseconds", strconv.FormatInt(now.Add(day).UnixMilli(), 10), day},
		{"milliseconds, a year", strconv.FormatInt(year.UnixMilli(), 10), year.Sub(now)},
		{"ISO 8601", now.Add(2 * day).Format(iso), 2 * day},
		{"ISO 8601 in another zone", now.Add(day).In(east).Format(iso), day},
		{"RFC 3339, a year", year.Format(time.RFC3339), year.Sub(now)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := NewHandler()
				w := mergeWithKey(h, "k", "u", `{"n":1}`, "x-idempotency-expiration", test.header)
				wantResponse(t, w, 200, success)

				time.Sleep(test.life - time.Millisecond)
				mergeWithKey(h, "k", "u", `{"n":2}`)
				wantProfile(t, h, "u", `{"n":1}`)
				time.Sleep(time.Millisecond)
				mergeWithKey(h, "k", "u", `{"n":3}`)
				wantProfile(t, h, "u", `{"n":3}`)
			})
		})
	}
}

func TestInvalidExpirations(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		beyondAYear := now.AddDate(1, 0, 0).Add(time.Second)
		headers := []string{
			"tomorrow",
			"1.5",
			"-1",
			"99999999999",  // seconds, in the year 5138
			"100000000000", // milliseconds, in the year 1973
			strconv.FormatInt(now.Unix(), 10),
			strconv.FormatInt(now.Add(-day).UnixMilli(), 10),
			now.Add(-time.Second).Format(time.RFC3339),
			strconv.FormatInt(beyondAYear.Unix(), 10),
			strconv.FormatInt(beyondAYear.UnixMilli(), 10),
			beyondAYear.Format(time.RFC3339),
		}
		for _, header := range headers {
			h := NewHandler()
			w := mergeWithKey(h, "k", "u", `{}`, "x-idempotency-expiration", header)
			if w.Code != 400 {
				t.Errorf("%s: status %d, want 400", header, w.Code)
			}
			wantProfile(t, h, "u", "")
		}
	})
}
