package main

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/courier-profiles/courier-go/couriertest"
)

// exchangeAt returns a merge that arrived n seconds after a fixed time, and took one.
func exchangeAt(n int, status int) couriertest.Exchange {
	begin := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	return couriertest.Exchange{
		Request: couriertest.Request{
			Method: "POST", Path: "/profiles/user-1", Body: []byte(`{"profile": {}}`),
			Status: status, Header: http.Header{},
		},
		Start: begin.Add(time.Duration(n) * time.Second), Duration: time.Second,
	}
}

// Requests are attempts of one call if a client would send the second as a retry of the
// first, or if they have the same idempotency key.
func TestAttempts(t *testing.T) {
	t.Parallel()
	withKey := func(e couriertest.Exchange, key string) couriertest.Exchange {
		e.Request.Header = http.Header{"Idempotency-Key": {key}}
		return e
	}
	for _, test := range []struct {
		name          string
		first, second couriertest.Exchange
		want          bool
	}{
		{"after a 503", exchangeAt(0, 503), exchangeAt(2, 200), true},
		{"after a 429", exchangeAt(0, 429), exchangeAt(2, 200), true},
		{"after a 408", exchangeAt(0, 408), exchangeAt(2, 200), true},
		{"after a 409", exchangeAt(0, 409), exchangeAt(2, 200), true},
		{"after no response", exchangeAt(0, 0), exchangeAt(2, 200), true},
		{"after a success", exchangeAt(0, 200), exchangeAt(2, 200), false},
		{"after a 400", exchangeAt(0, 400), exchangeAt(2, 200), false},
		{"at the same time", exchangeAt(0, 503), exchangeAt(0, 200), false},
		{"a minute later", exchangeAt(0, 503), exchangeAt(61, 200), false},
		{
			"the same key", withKey(exchangeAt(0, 200), "key"),
			withKey(exchangeAt(100, 200), "key"), true,
		},
		{
			"another key", withKey(exchangeAt(0, 503), "key"),
			withKey(exchangeAt(2, 200), "key-2"), false,
		},
		{"only the second has a key", exchangeAt(0, 503), withKey(exchangeAt(2, 200), "key"), false},
		{"another body", exchangeAt(0, 503), func() couriertest.Exchange {
			e := exchangeAt(2, 200)
			e.Request.Body = []byte(`{"profile": {"name": "Ada"}}`)
			return e
		}(), false},
		{"another user", exchangeAt(0, 503), func() couriertest.Exchange {
			e := exchangeAt(2, 200)
			e.Request.Path = "/profiles/user-2"
			return e
		}(), false},
		{"another method", exchangeAt(0, 503), func() couriertest.Exchange {
			e := exchangeAt(2, 200)
			e.Request.Method = "PUT"
			return e
		}(), false},
		{"another page", exchangeAt(0, 503), func() couriertest.Exchange {
			e := exchangeAt(2, 200)
			e.Request.Query = url.Values{"cursor": {"next"}}
			return e
		}(), false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var j journal
			j.add(test.first)
			j.add(test.second)
			calls, _, _ := j.snapshot()
			if got := len(calls) == 1; got != test.want {
				t.Errorf("one call: %t, want %t", got, test.want)
			}
		})
	}
}

// numbers returns the numbers of the requests of each call.
func numbers(calls []call) [][]int {
	var all [][]int
	for _, c := range calls {
		var attempts []int
		for _, e := range c {
			attempts = append(attempts, e.Number)
		}
		all = append(all, attempts)
	}
	return all
}

// The call with the newest request comes first, with all of its attempts.
func TestCallsAreInTheOrderOfTheirLatestRequests(t *testing.T) {
	t.Parallel()
	var j journal
	other := exchangeAt(1, 200)
	other.Request.Path = "/profiles/user-2"
	j.add(exchangeAt(0, 503))
	before, _, _ := j.snapshot()
	j.add(other)
	j.add(exchangeAt(2, 200))

	after, _, _ := j.snapshot()
	if diff := cmp.Diff([][]int{{1, 3}, {2}}, numbers(after)); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([][]int{{1}}, numbers(before)); diff != "" {
		t.Errorf("a snapshot changed later (-want +got):\n%s", diff)
	}
}

func TestJournalIsBounded(t *testing.T) {
	t.Parallel()
	var j journal
	for i := range maxRequests + 10 {
		j.add(exchangeAt(i, 200))
	}
	calls, total, kept := j.snapshot()
	if total != maxRequests+10 {
		t.Errorf("%d requests in all, want %d", total, maxRequests+10)
	}
	if kept != maxRequests || len(calls) != maxRequests {
		t.Errorf("%d requests in %d calls are kept, want %d", kept, len(calls), maxRequests)
	}
	if got := calls[0].latest().Number; got != maxRequests+10 {
		t.Errorf("the first is request %d, want the latest", got)
	}
}

// Large requests are fewer, wherever they are large.
func TestJournalIsBoundedInBytes(t *testing.T) {
	t.Parallel()
	const size = maxBytes / 2
	for name, enlarge := range map[string]func(*couriertest.Exchange){
		"path": func(e *couriertest.Exchange) { e.Request.Path = strings.Repeat("x", size) },
		"query": func(e *couriertest.Exchange) {
			e.Request.Query = url.Values{"q": {strings.Repeat("x", size)}}
		},
		"header": func(e *couriertest.Exchange) {
			e.Request.Header.Set("Name", strings.Repeat("x", size))
		},
		"empty values": func(e *couriertest.Exchange) {
			e.Request.Query = url.Values{"q": make([]string, size/16)}
		},
		"body":          func(e *couriertest.Exchange) { e.Request.Body = make([]byte, size) },
		"response body": func(e *couriertest.Exchange) { e.ResponseBody = make([]byte, size) },
		"profile":       func(e *couriertest.Exchange) { e.After = make([]byte, size) },
	} {
		var j journal
		for i := range 4 {
			large := exchangeAt(i, 200)
			enlarge(&large)
			j.add(large)
		}
		if _, total, kept := j.snapshot(); kept != 1 || total != 4 {
			t.Errorf("%s: %d of %d requests are kept, want 1 of 4", name, kept, total)
		}
	}
}

// What is only another form of the body is not kept: it would take many times as much.
func TestJournalKeepsNoParsedBody(t *testing.T) {
	t.Parallel()
	var j journal
	exchange := exchangeAt(0, 200)
	exchange.Request.JSON = map[string]any{"profile": map[string]any{}}
	j.add(exchange)
	calls, _, _ := j.snapshot()
	if got := calls[0].latest().Request.JSON; got != nil {
		t.Errorf("it keeps %v", got)
	}
}

// A call with many attempts loses its oldest ones, and the others keep their numbers.
func TestJournalForgetsAttempts(t *testing.T) {
	t.Parallel()
	var j journal
	for i := range maxRequests + 10 {
		j.add(exchangeAt(2*i, 503))
	}
	calls, _, kept := j.snapshot()
	if len(calls) != 1 || len(calls[0]) != maxRequests || kept != maxRequests {
		t.Fatalf("%d requests in %d calls are kept, want %d in 1", kept, len(calls), maxRequests)
	}
	oldest := calls[0][0]
	if oldest.Number != 11 {
		t.Errorf("the oldest attempt is request %d, want 11", oldest.Number)
	}
	if oldest.Attempt != 11 {
		t.Errorf("it is attempt %d, want 11", oldest.Attempt)
	}
}

// A watcher that does not read finds one event for all changes.
func TestWatch(t *testing.T) {
	t.Parallel()
	var j journal
	changed, stop := j.watch()
	j.add(exchangeAt(0, 200))
	j.notify()
	j.clear()
	if len(changed) != 1 {
		t.Errorf("%d events are waiting, want 1", len(changed))
	}
	<-changed
	stop()
	j.notify()
	if len(changed) != 0 {
		t.Error("an event came after stop")
	}
}

// After a clear, requests are counted from 0, but their numbers go on: a link to a
// request never leads to another one.
func TestClearJournal(t *testing.T) {
	t.Parallel()
	var j journal
	j.add(exchangeAt(0, 503))
	j.clear()
	if calls, total, kept := j.snapshot(); len(calls) != 0 || kept != 0 || total != 0 {
		t.Errorf("there are %d calls, %d of %d requests; want none", len(calls), kept, total)
	}
	j.add(exchangeAt(2, 200))
	calls, total, kept := j.snapshot()
	if diff := cmp.Diff([][]int{{2}}, numbers(calls)); diff != "" {
		t.Errorf("numbers of the requests since (-want +got):\n%s", diff)
	}
	if total != 1 || kept != 1 {
		t.Errorf("there are %d of %d requests, want 1 of 1", kept, total)
	}
}
