package transport

import (
	"math"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"
)

// wait returns how long to wait after an attempt.
func (t *Transport) wait(x *Exchange) time.Duration {
	if x.RetryAfter == 0 {
		return Jitter(x.Number, t.MinWait, t.MaxWait)
	}
	// Spread, so that clients that were rejected together do not retry together.
	high := x.RetryAfter + min(t.MinWait, math.MaxInt64-x.RetryAfter)
	return between(max(x.RetryAfter, t.MinWait), high)
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

// RetryAfter returns the wait that a response asks for: that of its Retry-After-Ms
// (milliseconds), or else the longest of its Retry-After headers (RFC 9110, section
// 10.2.3). It returns 0 if there is none, or if none can be parsed.
func RetryAfter(header http.Header, now time.Time) time.Duration {
	if wait := decimal(header.Get("Retry-After-Ms"), "ms"); wait > 0 {
		return wait
	}
	// A wrong clock here must not turn the server's 2 s into 10 minutes.
	if date, err := http.ParseTime(header.Get("Date")); err == nil {
		now = date
	}
	var longest time.Duration
	for _, value := range header.Values("Retry-After") {
		longest = max(longest, parseRetryAfter(strings.TrimSpace(value), now))
	}
	return longest
}

// parseRetryAfter parses one value: an HTTP date, seconds, which may have a fraction, or a
// list of whole seconds, as proxies join several headers.
func parseRetryAfter(value string, now time.Time) time.Duration {
	if date, err := http.ParseTime(value); err == nil {
		return date.Sub(now)
	}
	if !strings.ContainsAny(value, " \t") { // 1,5 is a decimal comma, and unreadable
		return decimal(value, "s")
	}
	var longest time.Duration
	for element := range strings.SplitSeq(value, ",") {
		element = strings.TrimSpace(element)
		if !isDigits(element) {
			return 0
		}
		longest = max(longest, decimal(element, "s"))
	}
	return longest
}

// decimal parses a number such as "1.5", of a unit of time.ParseDuration. It returns 0 for
// anything else.
func decimal(text, unit string) time.Duration {
	whole, fraction, _ := strings.Cut(text, ".")
	if !isDigits(whole + fraction) {
		return 0
	}
	wait, err := time.ParseDuration(text + unit)
	if err != nil {
		return math.MaxInt64 // it overflows
	}
	return wait
}

func isDigits(text string) bool { return text != "" && strings.Trim(text, "0123456789") == "" }
