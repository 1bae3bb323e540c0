package retry_test

import (
	"math"
	"math/big"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/courier-profiles/courier-go/internal/retry"
)

// The grammar of RFC 9110, sections 5.6.7 and 10.2.3, with fractions of seconds.
var (
	secondsPattern = regexp.MustCompile(`^([0-9]+\.?[0-9]*|\.[0-9]+)$`)
	datePatterns   = []*regexp.Regexp{
		regexp.MustCompile(`^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), (?P<day>[0-9]{2}) (?P<month>Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) (?P<year>[0-9]{4}) (?P<clock>[0-9]{2}:[0-9]{2}:[0-9]{2}) GMT$`),
		regexp.MustCompile(`^(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day, (?P<day>[0-9]{2})-(?P<month>Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)-(?P<year>[0-9]{2}) (?P<clock>[0-9]{2}:[0-9]{2}:[0-9]{2}) GMT$`),
		regexp.MustCompile(`^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) (?P<month>Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) (?P<day>[0-9 ][0-9]) (?P<clock>[0-9]{2}:[0-9]{2}:[0-9]{2}) (?P<year>[0-9]{4})$`),
	}
	// likeDate is what RFC 9110 has recipients be generous with: other zones,
	// other case, fractions.
	likeDate = regexp.MustCompile(`(?i)^(mon|tue|wed|thu|fri|sat|sun)[a-z]*,? +[0-9a-z][0-9a-z: .,+-]*$`)
)

// dateOf reads what is exactly a date of the RFC. ok is false for a day or time
// of day that does not exist, too.
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
			// As package time has it.
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

func FuzzAfter(f *testing.F) {
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
		wait, ok := retry.After(http.Header{"Retry-After": {value}}, now)
		if wait < 0 || !ok && wait != 0 {
			t.Fatalf("After(%q) = %v, %t", value, wait, ok)
		}
		text := strings.TrimSpace(value)
		if secondsPattern.MatchString(text) {
			want, exact := new(big.Rat).SetString(strings.TrimSuffix(text, "."))
			if !ok || !exact {
				t.Fatalf("After(%q) = %v, %t", value, wait, ok)
			}
			want.Mul(want, big.NewRat(int64(time.Second), 1))
			if limit := new(big.Rat).SetInt64(math.MaxInt64); want.Cmp(limit) > 0 {
				want = limit
			}
			// One in 2⁵⁰ is what a float64 may be off by, and a nanosecond is cut off.
			off := new(big.Rat).Sub(want, new(big.Rat).SetInt64(int64(wait)))
			allowed := new(big.Rat).Add(big.NewRat(1, 1), new(big.Rat).Mul(want, big.NewRat(1, 1<<50)))
			if off.Abs(off).Cmp(allowed) > 0 {
				t.Errorf("After(%q) = %v, want %s ns", value, wait, want.FloatString(3))
			}
			return
		}
		if date, isDate := dateOf(text); isDate {
			if want := max(0, date.Sub(now)); !ok || wait != want {
				t.Errorf("After(%q) = %v, %t, want %v", value, wait, ok, want)
			}
		} else if ok && !likeDate.MatchString(text) {
			t.Errorf("After(%q) = %v, and that is neither seconds nor a date", value, wait)
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
		// WithRetryWait lets no other bounds in.
		low, high = low&math.MaxInt64, high&math.MaxInt64
		low, high = min(low, high), max(low, high)
		ceiling := new(big.Int).Lsh(big.NewInt(low), uint(n))
		if !ceiling.IsInt64() || ceiling.Int64() > high {
			ceiling.SetInt64(high)
		}
		for range 4 {
			if got := int64(retry.Jitter(int(n), time.Duration(low), time.Duration(high))); got < low || got > ceiling.Int64() {
				t.Errorf("Jitter(%d, %d, %d) = %d, want %d to %d", n, low, high, got, low, ceiling)
			}
		}
	})
}
