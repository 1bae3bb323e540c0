package transport_test

import (
	"context"
	"fmt"
	"math"
	"math/big"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/courier-profiles/courier-go/internal/transport"
)

const forever = time.Duration(math.MaxInt64)

func TestJitter(t *testing.T) {
	t.Parallel()
	tests := []struct {
		n         int
		low, high time.Duration
		ceiling   time.Duration
	}{
		{1, 500 * time.Millisecond, 8 * time.Second, 1 * time.Second},
		{2, 500 * time.Millisecond, 8 * time.Second, 2 * time.Second},
		{3, 500 * time.Millisecond, 8 * time.Second, 4 * time.Second},
		{4, 500 * time.Millisecond, 8 * time.Second, 8 * time.Second},
		{5, 500 * time.Millisecond, 8 * time.Second, 8 * time.Second},
		{1, 3 * time.Second, 4 * time.Second, 4 * time.Second},
		{1, 4 * time.Second, 8 * time.Second, 8 * time.Second},
		{1 << 20, time.Second, time.Hour, time.Hour},
		{1, 5 * time.Second, 5 * time.Second, 5 * time.Second},
		{3, 0, 0, 0},
		{3, 0, time.Second, 0},
		{62, 1, forever, 1 << 62},
		{63, 1, forever, forever},
		{1 << 20, 1, forever, forever},
		{1, forever, forever, forever},
	}
	const draws = 4000
	for _, tt := range tests {
		quarters := [4]int{}
		for range draws {
			got := transport.Jitter(tt.n, tt.low, tt.high)
			if got < tt.low || got > tt.ceiling {
				t.Fatalf("Jitter(%d, %v, %v) = %v, want %v to %v", tt.n, tt.low, tt.high, got, tt.low, tt.ceiling)
			}
			if width := tt.ceiling - tt.low; width > 0 {
				quarters[min(3, int(4*(float64(got-tt.low)/float64(width))))]++
			}
		}
		// A thousand in each quarter, give or take nine standard deviations.
		if tt.ceiling > tt.low && (slices.Min(quarters[:]) < 750 || slices.Max(quarters[:]) > 1250) {
			t.Errorf("Jitter(%d, %v, %v) is not even: %v in the quarters from %v to %v", tt.n, tt.low, tt.high, quarters, tt.low, tt.ceiling)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	tests := []struct {
		value string
		want  time.Duration
	}{
		{"0", 0},
		{"7", 7 * time.Second},
		{" 7\t", 7 * time.Second},
		{"007", 7 * time.Second},
		{"1.5", 1500 * time.Millisecond},
		{"0.000000001", 1},
		{"86400", 24 * time.Hour},

		{now.Add(7 * time.Second).Format(http.TimeFormat), 7 * time.Second},
		{now.Add(7 * time.Second).Format("Monday, 02-Jan-06 15:04:05 GMT"), 7 * time.Second},
		{now.Add(7 * time.Second).Format(time.ANSIC), 7 * time.Second},
		{now.Format(http.TimeFormat), 0},
		{now.Add(-time.Hour).Format(http.TimeFormat), 0},
		{"Fri, 31 Dec 1999 23:59:59 GMT", 0},
		{"Fri, 31 Dec 9999 23:59:59 GMT", forever},

		// Beyond what a Duration holds.
		{"1000000000", 1000000000 * time.Second},
		{"9223372037", forever},
		{"18446744074", forever}, // 2⁶⁴ ns is 0 in an int64
		{"9223372036854775807", forever},
		{"99999999999999999999", forever},
		{strings.Repeat("9", 400), forever},

		{"", 0},
		{" ", 0},
		{"soon", 0},
		{"-1", 0},
		{"-9223372037", 0},
		{"+1", 0},
		{".", 0},
		{"1.2.3", 0},
		{"1,5", 0},
		{"1e3", 0},
		{"0x10", 0},
		{"1_000", 0},
		{"inf", 0},
		{"NaN", 0},
		{"5 seconds", 0},
		{"2026-03-01T12:00:07Z", 0},
	}
	for _, tt := range tests {
		if got := transport.RetryAfter(http.Header{"Retry-After": {tt.value}}, now); got != tt.want {
			t.Errorf("RetryAfter(%q) = %v, want %v", tt.value, got, tt.want)
		}
	}
	for _, header := range []http.Header{nil, {}, {"Retry-After": nil}} {
		if got := transport.RetryAfter(header, now); got != 0 {
			t.Errorf("RetryAfter without the header = %v", got)
		}
	}
}

// retryOnce returns the wait between a first response and a second one that is a 200. It
// is 0 if the first one is returned at once.
func retryOnce(t *testing.T, tr *transport.Transport, first step) time.Duration {
	t.Helper()
	f := script(first, respond(200))
	retrying := *tr
	retrying.Base = f
	r := newRequest(t, baseURL)
	attempts := observe(r)
	start := time.Now()
	resp := retrying.Do(t.Context(), r)
	wait := (*attempts)[0].Wait
	wantElapsed(t, start, wait)
	if want := f.requests(); resp.Attempts != want || (wait == 0) != (want == 1) {
		t.Errorf("%d requests, a wait of %v, %+v", want, wait, resp)
	}
	return wait
}

// TestRetryAfterWait is the wait that a call makes for a header, from shortest to
// longest.
func TestRetryAfterWait(t *testing.T) {
	t.Parallel()
	const lowest = 500 * time.Millisecond
	in := func(d time.Duration) string {
		return time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).Add(d).Format(http.TimeFormat)
	}
	const atOnce = 0
	for _, tt := range []struct {
		header    string
		low, high time.Duration
	}{
		{"1", time.Second, 1500 * time.Millisecond},
		{"7.25", 7250 * time.Millisecond, 7750 * time.Millisecond},
		{"60", 60 * time.Second, 60500 * time.Millisecond},
		{in(7 * time.Second), 7 * time.Second, 7500 * time.Millisecond},
		{"0.3", lowest, 800 * time.Millisecond},
		{"0.000000001", lowest, lowest + 1},

		// As without the header.
		{"", lowest, time.Second},
		{"0", lowest, time.Second},
		{"0.0", lowest, time.Second},
		{"-7", lowest, time.Second},
		{"-99999999999999999999", lowest, time.Second},
		{"soon", lowest, time.Second},
		{"1e1", lowest, time.Second},
		{"7s", lowest, time.Second},
		{in(0), lowest, time.Second},
		{in(-time.Hour), lowest, time.Second},

		{"60.001", atOnce, atOnce},
		{"86400", atOnce, atOnce},
		{in(61 * time.Second), atOnce, atOnce},
		{"9223372037", atOnce, atOnce},
		{"18446744074", atOnce, atOnce}, // 2⁶⁴ ns
		{strings.Repeat("9", 400), atOnce, atOnce},
	} {
		for _, status := range []int{408, 409, 429, 500, 502, 503, 504} {
			t.Run(fmt.Sprintf("%d %.40s", status, tt.header), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					low, high := tt.low, tt.high
					if status != 429 && status != 503 {
						low, high = lowest, time.Second
					}
					if wait := retryOnce(t, newTransport(nil), respond(status, "Retry-After", tt.header)); wait < low || wait > high {
						t.Errorf("the wait is %v, want %v to %v", wait, low, high)
					}
				})
			})
		}
	}
}

// TestRetryAfterSpread: 200 callers that are turned away together do not return together.
func TestRetryAfterSpread(t *testing.T) {
	t.Parallel()
	for header, low := range map[string]time.Duration{"1": time.Second, "30": 30 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			f := &fake{steps: append(slices.Repeat([]step{respond(429, "Retry-After", header)}, 200), respond(200))}
			tr := newTransport(f)
			start := time.Now()
			var wg sync.WaitGroup
			for range 200 {
				wg.Go(func() { tr.Do(t.Context(), newRequest(t, baseURL)) })
			}
			wg.Wait()
			var tenths [5]int
			for _, at := range f.at[200:] {
				after := at.Sub(start) - low
				if after < 0 || after > 500*time.Millisecond {
					t.Fatalf("a retry came %v after the floor", after)
				}
				tenths[min(4, after/(100*time.Millisecond))]++
			}
			// 40 in each, give or take five standard deviations.
			if slices.Min(tenths[:]) < 12 || slices.Max(tenths[:]) > 68 {
				t.Errorf("the retries are not spread evenly: %v in each tenth of a second", tenths)
			}
		})
	}
}

// TestRetryAfterLimits: what configurations at the edge make of the header.
func TestRetryAfterLimits(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name         string
		header       string
		set          func(*transport.Transport)
		low, highest time.Duration
	}{
		{"no longer wait allowed", "1", func(tr *transport.Transport) { tr.MaxRetryAfter = 0 }, 0, 0},
		{"just allowed", "2", func(tr *transport.Transport) { tr.MaxRetryAfter = 2 * time.Second }, 2 * time.Second, 2500 * time.Millisecond},
		{"a day allowed", "86400", func(tr *transport.Transport) { tr.MaxRetryAfter = 24 * time.Hour }, 24 * time.Hour, 24*time.Hour + 500*time.Millisecond},
		{"no spread", "2", func(tr *transport.Transport) { tr.MinWait, tr.MaxWait = 0, 0 }, 2 * time.Second, 2 * time.Second},
		{"floor above it", "2", func(tr *transport.Transport) { tr.MinWait, tr.MaxWait = 5*time.Second, 9*time.Second }, 5 * time.Second, 7 * time.Second},
		{"endless", strings.Repeat("9", 400), func(tr *transport.Transport) { tr.MaxRetryAfter = forever }, forever, forever},
		{"endless floor", "2", func(tr *transport.Transport) { tr.MinWait, tr.MaxWait = forever, forever }, forever, forever},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tr := newTransport(script(respond(503, "Retry-After", tt.header)))
			tt.set(tr)
			ctx, cancel := context.WithCancel(t.Context())
			r := newRequest(t, baseURL)
			var wait time.Duration
			r.After = func(a transport.Attempt) { wait = a.Wait; cancel() }
			resp := tr.Do(ctx, r)
			if wait < tt.low || wait > tt.highest || resp.Status != 503 {
				t.Errorf("the wait is %v, want %v to %v; %+v", wait, tt.low, tt.highest, resp)
			}
		})
	}
}

// TestRetryAfterOfResponse: the outcome tells what the response asked for, however the
// call ends.
func TestRetryAfterOfResponse(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		status int
		header string
		want   time.Duration
	}{
		{429, "40", 40 * time.Second}, {503, "0.5", 500 * time.Millisecond}, {429, "86400", 24 * time.Hour}, {429, "soon", 0}, {500, "40", 0}, {404, "40", 0},
	} {
		tr := newTransport(script(respond(tt.status, "Retry-After", tt.header)))
		tr.MaxRetries = 0
		if resp := tr.Do(t.Context(), newRequest(t, baseURL)); resp.RetryAfter != tt.want || resp.Status != tt.status {
			t.Errorf("%d with Retry-After: %s became %+v", tt.status, tt.header, resp)
		}
	}
}

// The grammar of RFC 9110, sections 5.6.7 and 10.2.3, with fractions of seconds.
var (
	secondsPattern = regexp.MustCompile(`^([0-9]+\.?[0-9]*|\.[0-9]+)$`)
	datePatterns   = []*regexp.Regexp{
		regexp.MustCompile(`^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), (?P<day>[0-9]{2}) (?P<month>Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) (?P<year>[0-9]{4}) (?P<clock>[0-9]{2}:[0-9]{2}:[0-9]{2}) GMT$`),
		regexp.MustCompile(`^(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day, (?P<day>[0-9]{2})-(?P<month>Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)-(?P<year>[0-9]{2}) (?P<clock>[0-9]{2}:[0-9]{2}:[0-9]{2}) GMT$`),
		regexp.MustCompile(`^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) (?P<month>Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) (?P<day>[0-9 ][0-9]) (?P<clock>[0-9]{2}:[0-9]{2}:[0-9]{2}) (?P<year>[0-9]{4})$`),
	}
	// likeDate is what RFC 9110 asks recipients to be tolerant of: other zones, other
	// case, fractions.
	likeDate = regexp.MustCompile(`(?i)^(mon|tue|wed|thu|fri|sat|sun)[a-z]*,? +[0-9a-z][0-9a-z: .,+-]*$`)
)

// dateOf reads a date exactly as the RFC writes it. ok is false for a day or a time of
// day that does not exist, too.
func dateOf(text string) (date time.Time, ok bool) {
	for _, pattern := range datePatterns {
		match := pattern.FindStringSubmatch(text)
		if match == nil {
			continue
		}
		part := func(name string) string { return match[pattern.SubexpIndex(name)] }
		number := func(text string) int {
			n, _ := strconv.Atoi(strings.TrimSpace(text))
			return n
		}
		year, day := number(part("year")), number(part("day"))
		if len(part("year")) == 2 {
			// as package time reads it
			if year += 1900; year < 1969 {
				year += 100
			}
		}
		months := []string{"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"}
		month := time.Month(slices.Index(months, part("month")) + 1)
		clock := strings.Split(part("clock"), ":")
		hour, minute, second := number(clock[0]), number(clock[1]), number(clock[2])
		date = time.Date(year, month, day, hour, minute, second, 0, time.UTC)
		return date, date.Day() == day && date.Month() == month && hour < 24 && minute < 60 && second < 60
	}
	return time.Time{}, false
}

func FuzzRetryAfter(f *testing.F) {
	for _, value := range []string{
		"", "0", "7", "007", "1.5", ".5", "5.", ".", "1.2.3", "-1", "+1", "1e3", "0x10", "1_000", "1,5", "inf", "NaN", " 7\t", "7, 8", "7 s", "\x007", "٣", "86400", "1000000000", "0.0000000001",
		"9223372036", "9223372036.854775", "9223372036.8547758", "9223372036.854775807", "9223372036.854775808", "9223372037", "18446744073.709551616", "18446744074", "9223372036854775807", "99999999999999999999",
		strings.Repeat("9", 400), "0." + strings.Repeat("0", 400) + "1", strings.Repeat("0", 400) + "1",
		"Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994", "Sun Nov 06 08:49:37 1994", "Sunday, 06-Nov-69 08:49:37 GMT", "Sunday, 06-Nov-68 08:49:37 GMT",
		"Fri, 31 Dec 9999 23:59:59 GMT", "Sat, 01 Jan 0000 00:00:00 GMT", "Sun, 31 Feb 2027 08:49:37 GMT", "Sun, 28 Feb 2027 24:00:00 GMT", "Sun, 28 Feb 2027 23:59:60 GMT", "sun, 06 nov 2094 08:49:37 GMT",
		"Sun, 06 Nov 2094 08:49:37.5 GMT", "Sun, 06 Nov 2094 08:49:37 PST", "Sunday, 06-Nov-94 08:49:37 PST", "Sun, 6 Nov 2094 08:49:37 GMT", "2094-11-06T08:49:37Z",
	} {
		f.Add(value)
	}
	now := time.Date(2026, 11, 24, 12, 0, 0, 500_000_000, time.UTC)
	f.Fuzz(func(t *testing.T, value string) {
		wait := transport.RetryAfter(http.Header{"Retry-After": {value}}, now)
		if wait < 0 {
			t.Fatalf("RetryAfter(%q) = %v", value, wait)
		}
		text := strings.TrimSpace(value)
		if secondsPattern.MatchString(text) {
			want, exact := new(big.Rat).SetString(strings.TrimSuffix(text, "."))
			if !exact {
				t.Fatalf("%q cannot be read", value)
			}
			want.Mul(want, big.NewRat(int64(time.Second), 1))
			if limit := new(big.Rat).SetInt64(math.MaxInt64); want.Cmp(limit) > 0 {
				want = limit
			}
			// A float64 may be off by one in 2⁵⁰, and a fraction of a nanosecond is cut off.
			off := new(big.Rat).Sub(want, new(big.Rat).SetInt64(int64(wait)))
			allowed := new(big.Rat).Add(big.NewRat(1, 1), new(big.Rat).Mul(want, big.NewRat(1, 1<<50)))
			if off.Abs(off).Cmp(allowed) > 0 {
				t.Errorf("RetryAfter(%q) = %v, want %s ns", value, wait, want.FloatString(3))
			}
			return
		}
		if date, isDate := dateOf(text); isDate {
			if want := max(0, date.Sub(now)); wait != want {
				t.Errorf("RetryAfter(%q) = %v, want %v", value, wait, want)
			}
		} else if wait != 0 && !likeDate.MatchString(text) {
			t.Errorf("RetryAfter(%q) = %v, which is neither seconds nor a date", value, wait)
		}
	})
}

func FuzzJitter(f *testing.F) {
	for _, bounds := range [][2]int64{{0, 0}, {0, 1}, {1, 1}, {1, math.MaxInt64}, {math.MaxInt64, math.MaxInt64}, {math.MaxInt64/2 + 1, math.MaxInt64}, {5e8, 8e9}, {3, 4}} {
		for _, n := range []uint16{0, 1, 2, 4, 62, 63, 64, math.MaxUint16} {
			f.Add(n, bounds[0], bounds[1])
		}
	}
	f.Fuzz(func(t *testing.T, n uint16, low, high int64) {
		// No other bounds are allowed.
		low, high = low&math.MaxInt64, high&math.MaxInt64
		low, high = min(low, high), max(low, high)
		ceiling := new(big.Int).Lsh(big.NewInt(low), uint(n))
		if !ceiling.IsInt64() || ceiling.Int64() > high {
			ceiling.SetInt64(high)
		}
		for range 4 {
			if got := int64(transport.Jitter(int(n), time.Duration(low), time.Duration(high))); got < low || got > ceiling.Int64() {
				t.Errorf("Jitter(%d, %d, %d) = %d, want %d to %d", n, low, high, got, low, ceiling)
			}
		}
	})
}

// TestRetryAfterTooLong: if the context has ended, the response says so, even if its
// Retry-After alone forbids a retry.
func TestRetryAfterTooLong(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	tr := newTransport(step(func(req *http.Request) (*http.Response, error) {
		cancel()
		return respond(503, "Retry-After", "3600")(req)
	}))
	if resp := tr.Do(ctx, newRequest(t, baseURL)); resp.Status != 503 || resp.Ended != context.Canceled {
		t.Errorf("status %d, ended by %v", resp.Status, resp.Ended)
	}
}
