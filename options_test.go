package courier_test

import (
	"errors"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	courier "github.com/courier-profiles/courier-go"
)

func TestBaseURLRefused(t *testing.T) {
	t.Parallel()
	for _, baseURL := range []string{
		// not an absolute http or https URL
		"", " ", "SECRET", "api.courier.com", "/v1", "//api.courier.com", "ftp://api.courier.com", "file:///SECRET", "https:", "https://", "https:///v1",
		"https://:443", "https:api.courier.com", "https:/api.courier.com", "://SECRET", "https://api.courier.com:SECRET", "https://SECRET host/",
		"https://host/\nSECRET", "https://host/%zzSECRET", "https://[::1/SECRET", " https://SECRET.test",
		// credentials
		"https://SECRET@api.courier.com", "https://user:SECRET@api.courier.com", "https://:SECRET@api.courier.com", "https://@api.courier.com",
		"https://user:SECRET%zz@api.courier.com", "https://user:SECRET@[::1", "https://user:SECRET@host/%zz", "http://user:SECRET@localhost",
		// query or fragment
		"https://api.courier.com?key=SECRET", "https://api.courier.com?", "https://api.courier.com/v1/?",
		"https://api.courier.com#SECRET", "https://api.courier.com/#", "https://api.courier.com#", "https://api.courier.com?a=SECRET#SECRET",
		// http to a host that is not loopback
		"http://api.courier.com", "http://SECRET.test/v1", "HTTP://SECRET.test", "http://10.0.0.1", "http://192.168.0.1:8080", "http://0.0.0.0", "http://[::]",
		"http://localhost.SECRET.test", "http://127.0.0.1.SECRET.test", "http://SECRET-localhost", "http://128.0.0.1", "http://127.0.0.1@SECRET.test",
	} {
		client, err := courier.NewClient(testAPIKey, courier.WithBaseURL(baseURL))
		if wantAdvice(t, err, "WithBaseURL"); client != nil {
			t.Errorf("%q: a client along with error %v", baseURL, err)
		}
	}
	for _, baseURL := range []string{"", "ftp://SECRET.test", "http://", "http://user:SECRET@host.test", "http://host.test?SECRET", "http://host.test#SECRET"} {
		_, err := courier.NewClient(testAPIKey, courier.WithInsecureHTTP(), courier.WithBaseURL(baseURL))
		wantInvalid(t, err, "WithBaseURL")
	}
}

func TestBaseURLAccepted(t *testing.T) {
	t.Parallel()
	if courier.DefaultBaseURL != "https://api.courier.com" || courier.EUBaseURL != "https://api.eu.courier.com" {
		t.Errorf("the constants are %s and %s", courier.DefaultBaseURL, courier.EUBaseURL)
	}
	for _, tt := range []struct {
		baseURL, want string
		opts          []courier.Option
	}{
		{courier.DefaultBaseURL, courier.DefaultBaseURL, nil},
		{courier.EUBaseURL, courier.EUBaseURL, nil},
		{"HTTPS://api.courier.com/", "https://api.courier.com", nil},
		{"https://gateway.test:8443/courier", "https://gateway.test:8443/courier", nil},
		{"https://[2001:db8::1]:8443", "https://[2001:db8::1]:8443", nil},
		{"http://localhost:8080/v1", "http://localhost:8080/v1", nil},
		{"http://LocalHost", "http://LocalHost", nil},
		{"http://127.8.9.10:8080", "http://127.8.9.10:8080", nil},
		{"http://[::1]:8080", "http://[::1]:8080", nil},
		{"http://gateway.test", "http://gateway.test", []courier.Option{courier.WithInsecureHTTP()}},
		{"https://last.test", "https://last.test", []courier.Option{courier.WithBaseURL("ftp://first.test")}},
	} {
		sent := script(respond(200))
		client := newTestClient(t, sent, append(tt.opts, courier.WithBaseURL(tt.baseURL))...)
		if _, err := merge(t.Context(), client); err != nil || sent.last(t).URL != tt.want+"/profiles/user-1" {
			t.Errorf("%s: sent to %s, error %v", tt.baseURL, sent.last(t).URL, err)
		}
	}
}

// TestOptionRefused: an invalid option is refused, even if a later one overrides it.
func TestOptionRefused(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		field   string
		opt     courier.Option
		instead courier.Option
	}{
		{"WithHTTPClient", courier.WithHTTPClient(nil), courier.WithHTTPClient(http.DefaultClient)},
		{"WithLogger", courier.WithLogger(nil), nil},
		{"WithObserver", courier.WithObserver(nil), new(observer).option()},
		{"WithTimeout", courier.WithTimeout(-1), courier.WithTimeout(1)},
		{"WithMaxRetries", courier.WithMaxRetries(-1), courier.WithMaxRetries(1)},
		{"WithMaxRetryAfter", courier.WithMaxRetryAfter(-time.Second), courier.WithMaxRetryAfter(1)},
		{"WithRetryWait", courier.WithRetryWait(-2, -1), courier.WithRetryWait(1, 2)},
		{"WithRetryWait", courier.WithRetryWait(-1, time.Second), nil},
		{"WithRetryWait", courier.WithRetryWait(2, 1), nil},
		{"WithRetryWait", courier.WithRetryWait(time.Second, 0), nil},
		{"WithUserAgent", courier.WithUserAgent(""), courier.WithUserAgent("a/1")},
		{"WithUserAgent", courier.WithUserAgent("a/1\r\nSECRET: 1"), nil},
		{"WithUserAgent", courier.WithUserAgent("SECRETü"), nil},
		{"WithUserAgent", courier.WithUserAgent("SECRET\x00"), nil},
		{"WithUserAgent", courier.WithUserAgent(" SECRET"), nil},
		{"WithUserAgent", courier.WithUserAgent("  "), nil},
		{"opts", nil, courier.WithMaxRetries(1)},
	} {
		opts := []courier.Option{courier.WithMaxRetries(1), tt.opt}
		if tt.instead != nil {
			opts = append(opts, tt.instead)
		}
		client, err := courier.NewClient(testAPIKey, opts...)
		if wantAdvice(t, err, tt.field); client != nil {
			t.Errorf("%s: a client along with error %v", tt.field, err)
		}
	}
}

// TestOptionLimits: the smallest and largest values work.
func TestOptionLimits(t *testing.T) {
	t.Parallel()
	const forever = time.Duration(1<<63 - 1)
	synctest.Test(t, func(t *testing.T) {
		for _, opts := range [][]courier.Option{
			{courier.WithTimeout(0), courier.WithMaxRetries(1), courier.WithRetryWait(0, 0), courier.WithMaxRetryAfter(0)},
			{courier.WithTimeout(forever), courier.WithMaxRetries(int(^uint(0) >> 1)), courier.WithRetryWait(0, forever), courier.WithMaxRetryAfter(forever)},
		} {
			start := time.Now()
			if _, err := merge(t.Context(), newTestClient(t, script(respond(503), respond(200)), opts...)); err != nil {
				t.Error(err)
			}
			wantElapsed(t, start, 0)
		}
	})
}

// bothWays are the options in this order, and in the other.
func bothWays[T any](opts ...T) [][]T {
	other := slices.Clone(opts)
	slices.Reverse(other)
	return [][]T{opts, other}
}

func TestOptionOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sent := script(hang)
		for _, opts := range bothWays(
			courier.WithBaseURL("http://gateway.test/v1"),
			courier.WithInsecureHTTP(),
			courier.WithHTTPClient(&http.Client{Transport: sent, Timeout: 2 * time.Second}),
			courier.WithTimeout(5*time.Second),
			courier.WithMaxRetries(0),
			courier.WithUserAgent("signup/1.4"),
		) {
			start := time.Now()
			_, err := merge(t.Context(), newTestClient(t, nil, opts...))
			wantElapsed(t, start, 2*time.Second)
			got := sent.last(t)
			if attemptsOf(t, nil, err) != 1 || got.URL != "http://gateway.test/v1/profiles/user-1" || !strings.HasPrefix(got.Header.Get("User-Agent"), "signup/1.4 ") {
				t.Fatalf("%v, sent to %s by %s", err, got.URL, got.Header.Get("User-Agent"))
			}
		}
	})
}

func TestUserAgent(t *testing.T) {
	t.Parallel()
	const own = "courier-profiles-go/" + courier.Version
	for _, tt := range []struct {
		opts []courier.Option
		call []courier.RequestOption
		want string
	}{
		{nil, nil, own},
		{[]courier.Option{courier.WithUserAgent("signup/1.4")}, nil, "signup/1.4 " + own},
		{[]courier.Option{courier.WithUserAgent("signup/1.4 (linux; x)")}, nil, "signup/1.4 (linux; x) " + own},
		{[]courier.Option{courier.WithUserAgent("a/1"), courier.WithUserAgent("b/2")}, nil, "b/2 " + own},
		{[]courier.Option{courier.WithUserAgent("a/1")}, []courier.RequestOption{courier.WithHeader("user-agent", "mine")}, "mine"},
	} {
		sent := script(respond(200))
		_, err := merge(t.Context(), newTestClient(t, sent, tt.opts...), tt.call...)
		if got := sent.last(t).Header["User-Agent"]; err != nil || !slices.Equal(got, []string{tt.want}) {
			t.Errorf("User-Agent is %q, want %q; error %v", got, tt.want, err)
		}
	}
}

func TestWithHeader(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ key, value, canonical string }{
		{"X-Tenant", "7", "X-Tenant"},
		{"x-tENANT", "a  b", "X-Tenant"},
		{"X-Tenant", "", "X-Tenant"},
		{"X-Tenant", `!"#$%&'()*+,-./:;<=>?@[\]^_{|}~` + "`", "X-Tenant"},
		{"accept", "application/vnd.courier+json", "Accept"},
		{"X!#$%&'*+-.^_`|~9z", "1", "X!#$%&'*+-.^_`|~9z"},
	} {
		for _, op := range operations {
			sent := script(respond(200))
			_, err := op.call(t.Context(), newTestClient(t, sent), "user-1", courier.WithHeader(tt.key, "before"), courier.WithHeader(tt.key, tt.value))
			if err != nil {
				t.Errorf("%s, %s: %v", op.name, tt.key, err)
			} else if got := sent.last(t).Header[tt.canonical]; !slices.Equal(got, []string{tt.value}) {
				t.Errorf("%s: %s is %q, want %q", op.name, tt.canonical, got, tt.value)
			} else if got := sent.last(t).Header.Get("Content-Type"); op.body != "" && got != "application/json" {
				t.Errorf("%s: Content-Type is %q along with %s", op.name, got, tt.key)
			}
		}
	}
}

// wantRefusedCall makes a merge that has to be refused because of an option.
func wantRefusedCall(t *testing.T, field string, opts ...courier.RequestOption) {
	t.Helper()
	sent := script(respond(200))
	resp, err := merge(t.Context(), newTestClient(t, sent), opts...)
	if resp != nil || sent.requests() != 0 {
		t.Errorf("response %v, %d requests along with error %v", resp, sent.requests(), err)
	}
	wantAdvice(t, err, field)
}

func TestWithHeaderRefused(t *testing.T) {
	t.Parallel()
	reserved := []string{
		"Authorization", "Host", "Accept-Encoding", "Content-Type", "Content-Length", "Content-Encoding", "Content-Foo", "Idempotency-Key", "X-Idempotency-Expiration",
		"Connection", "Keep-Alive", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Proxy-Authorization", "Proxy-Connection",
	}
	names := []string{"", " ", "X A", " X-A", "X-A ", "X-A:", ":path", "X-A\r\nX-Evil", "X-A\n", "X\x00", "Ü", "X\xff", "X\tA", "X(A)", "X/A", "X@A", `X"A`, "X=A", "X{A}", "X\x7f"}
	for _, name := range slices.Concat(reserved, names) {
		for _, key := range []string{name, strings.ToLower(name), strings.ToUpper(name)} {
			wantRefusedCall(t, "WithHeader", courier.WithHeader(key, "SECRET"))
		}
	}
	for _, value := range []string{
		"SECRET\r\nX-Evil: 1", "SECRET\nX-Evil: 1", "SECRET\r", "\r\n", "SECRET\x00", "SECRET\x7f", "SECRETü", "SECRET\xff", " SECRET", "SECRET ", "SEC\tSECRET", " ",
		"SECRET\u2028X-Evil: 1", "SECRET\u560a",
	} {
		wantRefusedCall(t, "WithHeader", courier.WithHeader("X-A", value))
	}
}

func TestIdempotencyOptions(t *testing.T) {
	t.Parallel()
	at := time.Now().Add(48*time.Hour + 123456789*time.Nanosecond)
	millis := strconv.FormatInt(at.UnixMilli(), 10)
	long := strings.Repeat("k", 1000)
	key, expiration := courier.WithIdempotencyKey, courier.WithIdempotencyExpiration
	for _, tt := range []struct {
		name                string
		opts                []courier.RequestOption
		wantKey, wantExpiry []string
	}{
		{"neither", nil, nil, nil},
		{"key", []courier.RequestOption{key(`order 1,"c";d=~`)}, []string{`order 1,"c";d=~`}, nil},
		{"long key", []courier.RequestOption{key(long)}, []string{long}, nil},
		{"key, then expiration", []courier.RequestOption{key("k"), expiration(at)}, []string{"k"}, []string{millis}},
		{"expiration, then key", []courier.RequestOption{expiration(at), key("k")}, []string{"k"}, []string{millis}},
		{"another time zone", []courier.RequestOption{key("k"), expiration(at.In(time.FixedZone("Paris", 3600)))}, []string{"k"}, []string{millis}},
		{"the last counts", []courier.RequestOption{expiration(at.Add(time.Hour)), key("a"), key("b"), expiration(at)}, []string{"b"}, []string{millis}},
	} {
		for _, op := range operations {
			if !op.keyed {
				continue
			}
			sent := script(respond(200))
			if _, err := op.call(t.Context(), newTestClient(t, sent), "user-1", tt.opts...); err != nil {
				t.Errorf("%s, %s: %v", op.name, tt.name, err)
				continue
			}
			header := sent.last(t).Header
			if diff := cmp.Diff([][]string{tt.wantKey, tt.wantExpiry}, [][]string{header["Idempotency-Key"], header["X-Idempotency-Expiration"]}); diff != "" {
				t.Errorf("%s, %s (-want +got):\n%s", op.name, tt.name, diff)
			}
		}
	}
}

func TestIdempotencyOptionsRefused(t *testing.T) {
	t.Parallel()
	for _, key := range []string{"", " ", " SECRET", "SECRET ", "SECRET\n", "SECRET\r\nX-Evil: 1", "SECRET\x00", "SECRETü", "SECRET\xff", "SECRET\t1", "SECRET\x7f"} {
		wantRefusedCall(t, "WithIdempotencyKey", courier.WithIdempotencyKey(key))
	}
	key, expiration := courier.WithIdempotencyKey("order-1"), courier.WithIdempotencyExpiration
	sent := script(respond(200))
	client := newTestClient(t, sent)
	for _, op := range operations {
		if op.keyed {
			continue
		}
		_, err := op.call(t.Context(), client, "user-1", key)
		wantAdvice(t, err, "WithIdempotencyKey")
		_, err = op.call(t.Context(), client, "user-1", expiration(time.Now().Add(48*time.Hour)), key)
		wantAdvice(t, err, "WithIdempotencyExpiration")
	}
	if n := sent.requests(); n != 0 {
		t.Errorf("%d requests were sent", n)
	}
	for _, opts := range [][]courier.RequestOption{
		{key, expiration(time.Time{})},
		{key, expiration(time.Now().Add(-time.Second))},
		{expiration(time.Now().Add(-time.Hour)), key},
		{expiration(time.Now().Add(48 * time.Hour))}, // without a key
	} {
		wantRefusedCall(t, "WithIdempotencyExpiration", opts...)
	}
}

// TestRequestOptionsOfOneCall: their order does not matter, and the next call has none.
func TestRequestOptionsOfOneCall(t *testing.T) {
	t.Parallel()
	sent := script(respond(200))
	client := newTestClient(t, sent)
	for _, opts := range bothWays(
		courier.WithIdempotencyKey("order-1"),
		courier.WithIdempotencyExpiration(time.Now().Add(48*time.Hour)),
		courier.WithHeader("X-A", "1"),
		courier.WithHeader("Accept", "application/vnd.courier+json"),
	) {
		if _, err := merge(t.Context(), client, opts...); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(sent.sent[0], sent.sent[1]); diff != "" || len(sent.sent[0].Header) != 7 {
		t.Errorf("the headers are %v (-first order +other):\n%s", sent.sent[0].Header, diff)
	}
	if _, err := merge(t.Context(), client); err != nil {
		t.Fatal(err)
	}
	if got := sent.last(t).Header; len(got) != 4 || got.Get("Accept") != "application/json" {
		t.Errorf("the next call has the headers %v", got)
	}
}

// FuzzRequestHeader sends any header, or any idempotency key, or nothing.
func FuzzRequestHeader(f *testing.F) {
	for _, value := range []string{"", "a", " a", "a ", "a\r\nX-Evil: 1", "a\nb", "a\x00", "\x7f", "é", "a\tb", "a,b", `"a"`, "\xff"} {
		f.Add("X-Tenant", value, false)
		f.Add("", value, true)
	}
	for _, name := range []string{
		"", "a b", "a:", "a\r\nb", "é", "Authorization", "authorization", "HOST", "content-length", "Content-Type", "Idempotency-Key", "x-idempotency-expiration", "Transfer-Encoding", "te", "Connection", "Proxy-Authorization",
		"User-Agent", "Accept", "accept-encoding", "Cookie", "Expect", "Pragma", ":path", "a_b", "X-\x00",
	} {
		f.Add(name, "value", false)
		f.Add(name, "", false)
	}
	var seen *sentRequest
	client := wireClient(f, &seen)
	if _, err := client.Profiles.Merge(f.Context(), "user-1", courier.Profile{}); err != nil {
		f.Fatal(err)
	}
	plain := *seen
	f.Fuzz(func(t *testing.T, name, value string, key bool) {
		option := courier.WithHeader(name, value)
		if key {
			name, option = "Idempotency-Key", courier.WithIdempotencyKey(value)
		}
		seen = nil
		if _, err := client.Profiles.Merge(t.Context(), "user-1", courier.Profile{}, option); err != nil {
			var refused *courier.ValidationError
			if !errors.As(err, &refused) || refused.Field == "" || refused.Reason == "" || seen != nil || strings.ContainsAny(err.Error(), "\r\n\x00") {
				t.Errorf("%s: %q gives the error %q, sent %v", name, value, err, seen)
			}
			return
		}
		want := maps.Clone(plain.Header)
		if name = http.CanonicalHeaderKey(name); name == "User-Agent" && value == "" {
			delete(want, name) // how net/http is told to send none
		} else {
			want[name] = []string{value}
		}
		if !reflect.DeepEqual(seen.Header, want) || seen.URL != plain.URL || seen.Body != plain.Body {
			t.Errorf("%s: %q is sent as %+v", name, value, *seen)
		}
		for _, ours := range []string{"Host", "Authorization", "Content-Length", "Content-Type"} {
			if !slices.Equal(seen.Header[ours], plain.Header[ours]) {
				t.Errorf("%s: %q changes %s to %q", name, value, ours, seen.Header[ours])
			}
		}
	})
}
