package retry

import (
	"math/rand/v2"
	"net/http"
	"strings"
	"time"
)

// Jitter returns the n-th wait (1, 2, …): full jitter above a floor, drawn
// evenly from low to min(high, low × 2ⁿ).
func Jitter(n int, low, high time.Duration) time.Duration {
	ceiling := low
	for range n {
		if ceiling >= high-ceiling {
			ceiling = high
			break
		}
		ceiling *= 2
	}
	return low + rand.N(ceiling-low+1)
}

// After returns the wait that a Retry-After header asks for (RFC 9110, section
// 10.2.3): seconds, also with a fraction, or any HTTP date. ok is false without
// one that can be read. A date that has passed is no wait.
func After(header http.Header, now time.Time) (wait time.Duration, ok bool) {
	text := strings.TrimSpace(header.Get("Retry-After"))
	if text == "" {
		return 0, false
	}
	if date, err := http.ParseTime(text); err == nil {
		return max(0, date.Sub(now)), true
	}
	if strings.Trim(text, "0123456789.") != "" || strings.Count(text, ".") > 1 || text == "." {
		return 0, false
	}
	wait, err := time.ParseDuration(text + "s")
	if err != nil {
		return 1<<63 - 1, true // it does not fit
	}
	return wait, true
}
