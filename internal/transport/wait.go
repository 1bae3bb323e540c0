package transport

import (
	"math"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"
)

// wait returns how long to wait after the response.
func (t *Transport) wait(last *Response) time.Duration {
	if last.RetryAfter == 0 {
		return Jitter(last.Attempts, t.MinWait, t.MaxWait)
	}
	// Spread, so that clients that were rejected together do not retry together.
	high := last.RetryAfter + min(t.MinWait, math.MaxInt64-last.RetryAfter)
	return between(max(last.RetryAfter, t.MinWait), high)
}

// Jitter returns the n-th wait (1, 2, …): full jitter above a floor, drawn evenly from
// low to min(high, low × 2ⁿ). It needs 0 ≤ low ≤ high.
func Jitter(n int, low, high time.Duration) time.Duration {
	ceiling := low
	for range n {
		ceiling += min(ceiling, high-ceiling)
	}
	return between(low, ceiling)
}

func between(low, high time.Duration) time.Duration { return low + rand.N(high-low+1) }

// RetryAfter returns the wait that a Retry-After header asks for (RFC 9110, section
// 10.2.3): seconds, which may have a fraction, or an HTTP date. It returns 0 if there is
// none, or if it cannot be parsed.
func RetryAfter(header http.Header, now time.Time) time.Duration {
	text := strings.TrimSpace(header.Get("Retry-After"))
	if date, err := http.ParseTime(text); err == nil {
		return max(0, date.Sub(now))
	}
	if strings.Trim(text, "0123456789.") != "" || strings.Trim(text, ".") == "" || strings.Count(text, ".") > 1 {
		return 0
	}
	wait, err := time.ParseDuration(text + "s")
	if err != nil {
		return math.MaxInt64 // it overflows
	}
	return wait
}
