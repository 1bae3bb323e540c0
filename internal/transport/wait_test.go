package transport_test

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jarcoal/httpmock"

	"github.com/courier-profiles/courier-go/internal/transport"
)

const forever = time.Duration(math.MaxInt64)

// TestJitter: wait n is drawn evenly from low to ceiling = min(high, low × 2ⁿ).
func TestJitter(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		n                  int
		low, high, ceiling time.Duration
	}{
		{1, 500 * ms, 8 * second, 1 * second},
		{2, 500 * ms, 8 * second, 2 * second},
		{3, 500 * ms, 8 * second, 4 * second},
		{4, 500 * ms, 8 * second, 8 * second},
		{5, 500 * ms, 8 * second, 8 * second},
		{1, 3 * second, 4 * second, 4 * second},
		{1000, second, time.Hour, time.Hour},
		{1, 5 * second, 5 * second, 5 * second},
		{3, 0, second, 0},
		{62, 1, forever, 1 << 62},
		{63, 1, forever, forever},
		{1, forever, forever, forever},
	} {
		t.Run(fmt.Sprintf("%d, %v, %v", tt.n, tt.low, tt.high), func(t *testing.T) {
			const draws = 4000
			var quarters [4]int // draws in each quarter of the range
			for range draws {
				got := transport.Jitter(tt.n, tt.low, tt.high)
				if got < tt.low || got > tt.ceiling {
					t.Fatalf("got %v, want %v to %v", got, tt.low, tt.ceiling)
				}
				quarters[quarterOf(got, tt.low, tt.ceiling)]++
			}
			if tt.low == tt.ceiling {
				return // there is nothing to draw
			}
			// For 1,000 draws, 250 are nine standard deviations.
			for i, got := range quarters {
				if got < draws/4-250 || got > draws/4+250 {
					t.Errorf("got %d draws in quarter %d, want %d ± 250", got, i+1, draws/4)
				}
			}
		})
	}
}

// quarterOf returns which quarter of the range from low to high a wait is in, from 0.
func quarterOf(wait, low, high time.Duration) int {
	if low == high {
		return 0
	}
	share := float64(wait-low) / float64(high-low)
	return min(3, int(4*share)) // high is in the last one
}

// responseDate is the Date of a response, ten minutes after the clock of the client.
const responseDate = "Sun, 01 Mar 2026 12:10:00 GMT"

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		name   string
		header []string // name, value, name, value
		want   time.Duration
	}{
		{"absent", nil, 0},
		{"seconds", []string{"Retry-After", "7"}, 7 * second},
		{"leading zeros", []string{"Retry-After", "007"}, 7 * second},
		{"white space", []string{"Retry-After", " 7\t"}, 7 * second},
		{"fraction", []string{"Retry-After", "1.5"}, 1500 * ms},
		{"only a fraction", []string{"Retry-After", ".5"}, 500 * ms},
		{"smallest", []string{"Retry-After", "0.000000001"}, 1},
		{"a day", []string{"Retry-After", "86400"}, 24 * time.Hour},

		{"date", []string{"Retry-After", "Sun, 01 Mar 2026 12:00:07 GMT"}, 7 * second},
		{"RFC 850", []string{"Retry-After", "Sunday, 01-Mar-26 12:00:07 GMT"}, 7 * second},
		{"asctime", []string{"Retry-After", "Sun Mar  1 12:00:07 2026"}, 7 * second},
		{"past", []string{"Retry-After", "Sun, 01 Mar 2026 11:00:00 GMT"}, 0},
		{"now", []string{"Retry-After", "Sun, 01 Mar 2026 12:00:00 GMT"}, 0},
		{"end of time", []string{"Retry-After", "Fri, 31 Dec 9999 23:59:59 GMT"}, forever},

		{"date after Date", []string{
			"Retry-After", "Sun, 01 Mar 2026 12:10:02 GMT", "Date", responseDate,
		}, 2 * second},
		{"date before Date", []string{
			"Retry-After", "Sun, 01 Mar 2026 12:00:07 GMT", "Date", responseDate,
		}, 0},
		{"date, and an unreadable Date", []string{
			"Retry-After", "Sun, 01 Mar 2026 12:00:07 GMT", "Date", "today",
		}, 7 * second},
		{"seconds and a Date", []string{"Retry-After", "7", "Date", responseDate}, 7 * second},

		{"two headers", []string{"Retry-After", "7", "Retry-After", "9"}, 9 * second},
		{"longest first", []string{"Retry-After", "9", "Retry-After", "7"}, 9 * second},
		{"seconds and date", []string{
			"Retry-After", "7", "Retry-After", "Sun, 01 Mar 2026 12:00:09 GMT",
		}, 9 * second},
		{"one unreadable", []string{"Retry-After", "soon", "Retry-After", "7"}, 7 * second},

		// A list has whole seconds only, as a comma may also be a decimal one.
		{"list", []string{"Retry-After", "7, 9, 8"}, 9 * second},
		{"list with other white space", []string{"Retry-After", "7 ,9,\t8"}, 9 * second},
		{"list with a fraction", []string{"Retry-After", "7, 9.5"}, 0},
		{"list with a word", []string{"Retry-After", "7, soon"}, 0},
		{"decimal comma", []string{"Retry-After", "1,5"}, 0},

		{"milliseconds", []string{"Retry-After-Ms", "250"}, 250 * ms},
		{"fraction of a millisecond", []string{"Retry-After-Ms", "0.5"}, 500 * time.Microsecond},
		{"milliseconds win", []string{"Retry-After-Ms", "250", "Retry-After", "7"}, 250 * ms},
		{"unreadable milliseconds", []string{
			"Retry-After-Ms", "soon", "Retry-After", "7",
		}, 7 * second},
		{"zero milliseconds", []string{"Retry-After-Ms", "0", "Retry-After", "7"}, 7 * second},

		// Beyond what a Duration holds. 2⁶⁴ ns would be 0 in an int64.
		{"292 years", []string{"Retry-After", "9223372036"}, 9223372036 * second},
		{"293 years", []string{"Retry-After", "9300000000"}, forever},
		{"2⁶⁴ ns", []string{"Retry-After", "18446744074"}, forever},
		{"2⁶⁴ ns in ms", []string{"Retry-After-Ms", "18446744073710"}, forever},
		{"huge", []string{"Retry-After", strings.Repeat("9", 400)}, forever},
		{"huge in a list", []string{"Retry-After", "7, " + strings.Repeat("9", 400)}, forever},
	} {
		header := http.Header{}
		for i := 0; i < len(tt.header); i += 2 {
			header.Add(tt.header[i], tt.header[i+1])
		}
		if got := transport.RetryAfter(header, now); got != tt.want {
			t.Errorf("%s: %q is %v, want %v", tt.name, tt.header, got, tt.want)
		}
	}
}

// TestUnreadableRetryAfter: whatever cannot be parsed is as if absent.
func TestUnreadableRetryAfter(t *testing.T) {
	t.Parallel()
	for _, value := range []string{
		"", " ", "soon", "0", "0.0", "-1", "-9223372037", "+1", ".", "1.2.3", "1e3", "0x10",
		"1_000", "inf", "NaN", "7s", "7 seconds", "7;8", "7,", ", 7", "٣", "\x00" + "7",
		"2026-03-01T12:00:07Z", "Sun, 31 Feb 2027 12:00:00 GMT",
	} {
		for _, name := range []string{"Retry-After", "Retry-After-Ms"} {
			header := http.Header{name: {value}}
			if got := transport.RetryAfter(header, time.Now()); got != 0 {
				t.Errorf("%s: %q is %v, want 0", name, value, got)
			}
		}
	}
}

// FuzzRetryAfter: no header of a server leads to a negative wait, or to a panic.
func FuzzRetryAfter(f *testing.F) {
	for _, value := range []string{"", "7", "1.5", "7, 9", "1,5", "-1", responseDate} {
		f.Add(value)
	}
	f.Fuzz(func(t *testing.T, value string) {
		for _, name := range []string{"Retry-After", "Retry-After-Ms"} {
			header := http.Header{name: {value}, "Date": {value}}
			if got := transport.RetryAfter(header, time.Now()); got < 0 {
				t.Errorf("%s: %q is %v, want 0 or more", name, value, got)
			}
		}
	})
}

// newWaitingConfig is newConfig with the waits of a client's defaults.
func newWaitingConfig(base http.RoundTripper) transport.Config {
	config := newConfig(base)
	config.MinWait, config.MaxWait = 500*ms, 8*second
	return config
}

// TestWait: the longest possible wait doubles with each retry. After is told the exact wait.
func TestWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFake(respond(500), fail(errBroken), cutOff(200), respond(200))
		r := newRequest(t, baseURL)
		attempts := observe(r)
		wantSuccess(t, transport.New(newWaitingConfig(f)).Do(t.Context(), r))
		for i, high := range []time.Duration{second, 2 * second, 4 * second} {
			wait := (*attempts)[i].Wait
			if wait < 500*ms || wait > high {
				t.Errorf("wait %d is %v, want %v to %v", i+1, wait, 500*ms, high)
			}
			if got := f.requests[i+1].at.Sub(f.requests[i].at); got != wait {
				t.Errorf("wait %d took %v, want %v", i+1, got, wait)
			}
		}
	})
}

// TestRetryAfterWait: a 429 or 503 is retried after the wait that it asks for, plus at most
// 500 ms. Other responses are retried as if they did not ask.
func TestRetryAfterWait(t *testing.T) {
	t.Parallel()
	in := func(d time.Duration) string {
		bubbleStart := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
		return bubbleStart.Add(d).Format(http.TimeFormat)
	}
	for _, tt := range []struct {
		value     string
		low, high time.Duration // after a 429 or 503
	}{
		{"1", second, 1500 * ms},
		{"7.25", 7250 * ms, 7750 * ms},
		{"60", 60 * second, 60500 * ms},
		{in(7 * second), 7 * second, 7500 * ms},

		// Never below the usual floor.
		{"0.3", 500 * ms, 800 * ms},
		{"0.000000001", 500 * ms, 500*ms + 1},

		// As without it.
		{"", 500 * ms, second},
		{"0", 500 * ms, second},
		{"-7", 500 * ms, second},
		{"soon", 500 * ms, second},
		{in(-time.Hour), 500 * ms, second},
	} {
		for _, status := range []int{429, 503} {
			wantRetryWait(t, status, tt.value, tt.low, tt.high)
		}
		for _, status := range []int{408, 409, 500, 502, 504} {
			wantRetryWait(t, status, tt.value, 500*ms, second)
		}
	}
}

// wantRetryWait fails unless a response is retried once, after a wait of low to high.
func wantRetryWait(
	t *testing.T, status int, retryAfter string, low, high time.Duration,
) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f := newFake(respond(status, "Retry-After", retryAfter), respond(200))
		start := time.Now()
		tr := transport.New(newWaitingConfig(f))
		wantAttempts(t, tr.Do(t.Context(), newRequest(t, baseURL)), 2)
		if got := time.Since(start); got < low || got > high {
			t.Errorf("%d with Retry-After %q: waited %v, want %v to %v",
				status, retryAfter, got, low, high)
		}
	})
}

// TestMaxRetryAfter: a response that asks for a longer wait is returned at once.
func TestMaxRetryAfter(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		value    string
		limit    time.Duration
		attempts int // 4, with all retries, or 1
	}{
		{"60", time.Minute, 4},
		{"60.001", time.Minute, 1},
		{"86400", time.Minute, 1},
		{"18446744074", time.Minute, 1}, // 2⁶⁴ ns
		{"1", 0, 1},
		{"86400", 24 * time.Hour, 4},
	} {
		synctest.Test(t, func(t *testing.T) {
			config := newWaitingConfig(newFake(respond(429, "Retry-After", tt.value)))
			config.MaxRetryAfter = tt.limit
			start := time.Now()
			last := transport.New(config).Do(t.Context(), newRequest(t, baseURL))
			if last.Number != tt.attempts {
				t.Errorf("%s s with a limit of %v: got %d attempts, want %d",
					tt.value, tt.limit, last.Number, tt.attempts)
			}
			if !last.Retryable {
				t.Errorf("%s s with a limit of %v: Retryable is false, want true",
					tt.value, tt.limit)
			}
			if tt.attempts == 1 {
				wantElapsed(t, start, 0)
			}
		})
	}
}

// TestWaitLimits: the smallest and largest settings work, and no sum of them overflows.
func TestWaitLimits(t *testing.T) {
	t.Parallel()
	endless := strings.Repeat("9", 400)
	for _, tt := range []struct {
		name             string
		value            string
		minWait, maxWait time.Duration
		low, high        time.Duration
	}{
		{"no wait", "", 0, 0, 0, 0},
		{"no spread", "2", 0, 0, 2 * second, 2 * second},
		{"floor above Retry-After", "2", 5 * second, 9 * second, 5 * second, 7 * second},
		{"endless Retry-After", endless, 500 * ms, 8 * second, forever, forever},
		{"endless floor", "2", forever, forever, forever, forever},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			config := newConfig(newFake(respond(503, "Retry-After", tt.value)))
			config.MinWait, config.MaxWait = tt.minWait, tt.maxWait
			config.MaxRetryAfter = forever
			ctx, cancel := context.WithCancel(t.Context())
			r := newRequest(t, baseURL)
			var wait time.Duration
			r.After = func(x *transport.Exchange) {
				wait = x.Wait
				cancel()
			}
			transport.New(config).Do(ctx, r)
			if wait < tt.low || wait > tt.high {
				t.Errorf("the wait is %v, want %v to %v", wait, tt.low, tt.high)
			}
		})
	}
}

// TestRetryAfterSpread: callers that are rejected together do not return together.
func TestRetryAfterSpread(t *testing.T) {
	t.Parallel()
	const callers = 400
	synctest.Test(t, func(t *testing.T) {
		rejected := slices.Repeat([]httpmock.Responder{respond(429, "Retry-After", "30")}, callers)
		f := newFake(append(rejected, respond(200))...)
		tr := transport.New(newWaitingConfig(f))
		start := time.Now()
		var wg sync.WaitGroup
		for range callers {
			wg.Go(func() { tr.Do(t.Context(), newRequest(t, baseURL)) })
		}
		wg.Wait()
		var quarters [4]int // retries in each quarter of the 500 ms
		for _, retry := range f.requests[callers:] {
			late := retry.at.Sub(start.Add(30 * second))
			if late < 0 || late > 500*ms {
				t.Fatalf("a retry came %v after the time asked for, want 0 to 500 ms", late)
			}
			quarters[quarterOf(late, 0, 500*ms)]++
		}
		// For 100 retries, 50 are more than five standard deviations.
		for i, got := range quarters {
			if got < callers/4-50 {
				t.Errorf("got %d retries in quarter %d, want %d or more",
					got, i+1, callers/4-50)
			}
		}
	})
}

// TestRetryAfterOfResponse: the outcome says which wait a 429 or 503 asked for, although it
// is not retried.
func TestRetryAfterOfResponse(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		status int
		value  string
		want   time.Duration
	}{
		{429, "40", 40 * second},
		{503, "0.5", 500 * ms},
		{429, "86400", 24 * time.Hour},
		{429, "soon", 0},
		{500, "40", 0},
		{404, "40", 0},
	} {
		config := newConfig(newFake(respond(tt.status, "Retry-After", tt.value)))
		config.MaxRetries = 0
		last := transport.New(config).Do(t.Context(), newRequest(t, baseURL))
		if last.RetryAfter != tt.want {
			t.Errorf("%d with Retry-After %s: RetryAfter is %v, want %v",
				tt.status, tt.value, last.RetryAfter, tt.want)
		}
	}
}
