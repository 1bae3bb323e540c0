package courier_test

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	courier "github.com/courier-profiles/courier-go"
)

// whatToDo is in every text of an error about an option.
var whatToDo = regexp.MustCompile(`\b(use|take|set|remove|leave|swap|check|start)\b`)

// wantRefusedOption fails unless err says what to do and does not repeat what
// is marked as secret in the test's tables.
func wantRefusedOption(t *testing.T, err error, field string) {
	t.Helper()
	refused := wantValidation(t, err, field)
	if !whatToDo.MatchString(refused.Reason) {
		t.Errorf("error %q does not say what to do", err)
	}
	for _, format := range []string{"%v", "%+v", "%#v"} {
		if text := fmt.Sprintf(format, err); strings.Contains(text, "SECRET") {
			t.Errorf("error repeats the value: %s", text)
		}
	}
}

func TestOptionBaseURLConstants(t *testing.T) {
	if courier.DefaultBaseURL != "https://api.courier.com" || courier.EUBaseURL != "https://api.eu.courier.com" {
		t.Errorf("the base URLs are %s and %s", courier.DefaultBaseURL, courier.EUBaseURL)
	}
}

func TestOptionAPIKeyRefused(t *testing.T) {
	for _, key := range []string{
		"", " ", " SECRET", "SECRET ", "SEC SECRET", "SECRET\n", "SECRET\r\n", "\tSECRET", "SECRET\x00", "SECRET\x7f", "SECRETü", "SECRET\u00a0", "\ufeffSECRET",
		"SECRET\xff", "Bearer SECRET", "SECRET\r\nX-Evil: 1",
	} {
		t.Run(strconv.Quote(key), func(t *testing.T) {
			client, err := courier.NewClient(key)
			wantRefusedOption(t, err, "apiKey")
			if client != nil {
				t.Error("there is a client beside the error")
			}
		})
	}
}

func TestOptionBaseURLRefused(t *testing.T) {
	for _, baseURL := range []string{
		// no URL with a host
		"", " ", "SECRET", "api.courier.com", "/v1", "//api.courier.com", "ftp://api.courier.com", "file:///SECRET", "unix:///SECRET", "https:", "https://", "https:///v1",
		"https://:443", "https://:443/v1", "https:api.courier.com", "https:/api.courier.com", "://SECRET", "https://api.courier.com:SECRET", "https://SECRET host/",
		"https://host/\nSECRET", "https://host/%zzSECRET", "https://[::1/SECRET", " https://SECRET.test",
		// credentials
		"https://SECRET@api.courier.com", "https://user:SECRET@api.courier.com", "https://:SECRET@api.courier.com", "https://@api.courier.com", "https://user:SECRET@",
		"https://user:SECRET%zz@api.courier.com", "https://user:SECRET@[::1", "https://user:SECRET@host/%zz", "http://user:SECRET@localhost",
		// query or fragment
		"https://api.courier.com?key=SECRET", "https://api.courier.com/v1?SECRET", "https://api.courier.com?", "https://api.courier.com/v1/?", "https://api.courier.com#SECRET",
		"https://api.courier.com/#", "https://api.courier.com#", "https://api.courier.com?a=SECRET#SECRET",
		// http to a host that is not loopback
		"http://api.courier.com", "http://SECRET.test/v1", "HTTP://SECRET.test", "http://10.0.0.1", "http://192.168.0.1:8080", "http://0.0.0.0", "http://[::]", "http://[fe80::1]",
		"http://localhost.SECRET.test", "http://127.0.0.1.SECRET.test", "http://SECRET-localhost", "http://128.0.0.1", "http://127.0.0.1@SECRET.test",
	} {
		t.Run(baseURL, func(t *testing.T) {
			client, err := courier.NewClient(coreKey, courier.WithBaseURL(baseURL))
			wantRefusedOption(t, err, "WithBaseURL")
			if client != nil {
				t.Error("there is a client beside the error")
			}
		})
	}
}

func TestOptionBaseURLRefusedAlsoWithInsecureHTTP(t *testing.T) {
	for _, baseURL := range []string{"", "ftp://SECRET.test", "http://", "http://user:SECRET@host.test", "http://host.test?SECRET", "http://host.test#SECRET"} {
		_, err := courier.NewClient(coreKey, courier.WithInsecureHTTP(), courier.WithBaseURL(baseURL))
		wantRefusedOption(t, err, "WithBaseURL")
	}
}

func TestOptionBaseURLAccepted(t *testing.T) {
	insecure := []courier.Option{courier.WithInsecureHTTP()}
	for _, test := range []struct {
		baseURL string
		opts    []courier.Option
		want    string
	}{
		{courier.DefaultBaseURL, nil, courier.DefaultBaseURL},
		{courier.EUBaseURL, nil, courier.EUBaseURL},
		{"HTTPS://api.courier.com/", nil, "https://api.courier.com"},
		{"https://gateway.test:8443/courier", nil, "https://gateway.test:8443/courier"},
		{"https://[2001:db8::1]:8443", nil, "https://[2001:db8::1]:8443"},
		{"http://localhost", nil, "http://localhost"},
		{"http://localhost:8080/v1", nil, "http://localhost:8080/v1"},
		{"http://LocalHost:8080", nil, "http://LocalHost:8080"},
		{"http://127.0.0.1:8080", nil, "http://127.0.0.1:8080"},
		{"http://127.8.9.10", nil, "http://127.8.9.10"},
		{"http://[::1]:8080", nil, "http://[::1]:8080"},
		{"http://gateway.test", insecure, "http://gateway.test"},
		{"http://10.0.0.1:8080", insecure, "http://10.0.0.1:8080"},
		{"https://gateway.test", insecure, "https://gateway.test"},
	} {
		var got string
		client, err := courier.NewClient(coreKey, append(test.opts, courier.WithBaseURL(test.baseURL), courier.WithHTTPClient(&http.Client{
			Transport: coreTransport(func(req *http.Request) (*http.Response, error) {
				got = req.URL.String()
				return coreAnswer(200, success), nil
			})}))...)
		if err != nil {
			t.Errorf("%s: %v", test.baseURL, err)
			continue
		}
		if _, err := client.Profiles.Merge(t.Context(), "u", twoFields()); err != nil || got != test.want+"/profiles/u" {
			t.Errorf("%s: sent to %s, error %v", test.baseURL, got, err)
		}
	}
}

func TestOptionRefused(t *testing.T) {
	for _, test := range []struct {
		name, field string
		opt         courier.Option
	}{
		{"nil client", "WithHTTPClient", courier.WithHTTPClient(nil)},
		{"nil logger", "WithLogger", courier.WithLogger(nil)},
		{"nil observer", "WithObserver", courier.WithObserver(nil)},
		{"negative timeout", "WithTimeout", courier.WithTimeout(-1)},
		{"negative retries", "WithMaxRetries", courier.WithMaxRetries(-1)},
		{"negative longest Retry-After", "WithMaxRetryAfter", courier.WithMaxRetryAfter(-time.Second)},
		{"negative waits", "WithRetryWait", courier.WithRetryWait(-2, -1)},
		{"negative min", "WithRetryWait", courier.WithRetryWait(-1, time.Second)},
		{"min above max", "WithRetryWait", courier.WithRetryWait(2, 1)},
		{"min above no max", "WithRetryWait", courier.WithRetryWait(time.Second, 0)},
		{"empty product", "WithUserAgent", courier.WithUserAgent("")},
		{"product with a line end", "WithUserAgent", courier.WithUserAgent("a/1\r\nSECRET: 1")},
		{"product that is not ASCII", "WithUserAgent", courier.WithUserAgent("SECRETü")},
		{"product with a control character", "WithUserAgent", courier.WithUserAgent("SECRET\x00")},
		{"product with a space in front", "WithUserAgent", courier.WithUserAgent(" SECRET")},
		{"product of spaces", "WithUserAgent", courier.WithUserAgent("  ")},
	} {
		t.Run(test.name, func(t *testing.T) {
			client, err := courier.NewClient(coreKey, test.opt)
			wantRefusedOption(t, err, test.field)
			if client != nil {
				t.Error("there is a client beside the error")
			}
			// Whatever comes before or behind it.
			_, err = courier.NewClient(coreKey, courier.WithMaxRetries(1), test.opt, courier.WithMaxRetries(1))
			wantRefusedOption(t, err, test.field)
		})
	}
}

func TestOptionAtTheEdge(t *testing.T) {
	const forever = time.Duration(1<<63 - 1)
	for name, opts := range map[string][]courier.Option{
		"all zero": {courier.WithTimeout(0), courier.WithMaxRetries(0), courier.WithRetryWait(0, 0), courier.WithMaxRetryAfter(0)},
		"all huge": {courier.WithTimeout(forever), courier.WithMaxRetries(int(^uint(0) >> 1)), courier.WithRetryWait(0, forever), courier.WithMaxRetryAfter(forever)},
	} {
		client := coreClient(t, func(*http.Request) (*http.Response, error) { return coreAnswer(200, success), nil }, opts...)
		if _, err := client.Profiles.Merge(t.Context(), "u", twoFields()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// permutations calls f with every order of list.
func permutations[T any](list []T, f func([]T)) {
	var walk func(n int)
	walk = func(n int) {
		if n == len(list) {
			f(slices.Clone(list))
			return
		}
		for i := n; i < len(list); i++ {
			list[n], list[i] = list[i], list[n]
			walk(n + 1)
			list[n], list[i] = list[i], list[n]
		}
	}
	walk(0)
}

func TestOptionOrderDoesNotMatter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var url, agent string
		transport := coreTransport(func(req *http.Request) (*http.Response, error) {
			url, agent = req.URL.String(), req.Header.Get("User-Agent")
			<-req.Context().Done()
			return nil, req.Context().Err()
		})
		permutations([]courier.Option{
			courier.WithBaseURL("http://gateway.test/v1"),
			courier.WithInsecureHTTP(),
			courier.WithHTTPClient(&http.Client{Transport: transport, Timeout: 2 * time.Second}),
			courier.WithTimeout(5 * time.Second),
			courier.WithMaxRetries(0),
			courier.WithUserAgent("signup/1.4"),
		}, func(opts []courier.Option) {
			client, err := courier.NewClient(coreKey, opts...)
			if err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			_, err = client.Profiles.Merge(t.Context(), "u", twoFields())
			var failed *courier.ConnectionError
			if !errors.As(err, &failed) || failed.Attempts != 1 || time.Since(start) != 2*time.Second ||
				url != "http://gateway.test/v1/profiles/u" || !strings.HasPrefix(agent, "signup/1.4 courier-profiles-go/") {
				t.Fatalf("%v after %v, sent to %s by %s", err, time.Since(start), url, agent)
			}
		})
	})
}

func TestOptionTimeouts(t *testing.T) {
	second := time.Second
	for _, test := range []struct {
		name string
		http time.Duration // of the http.Client
		opts []courier.Option
		want time.Duration
	}{
		{"default", 0, nil, 30 * second},
		{"own", 0, []courier.Option{courier.WithTimeout(7 * second)}, 7 * second},
		{"the last counts", 0, []courier.Option{courier.WithTimeout(7 * second), courier.WithTimeout(3 * second)}, 3 * second},
		{"http.Client below the default", 2 * second, nil, 2 * second},
		{"http.Client above the default", 90 * second, nil, 30 * second},
		{"http.Client below own", 2 * second, []courier.Option{courier.WithTimeout(7 * second)}, 2 * second},
		{"http.Client above own", 9 * second, []courier.Option{courier.WithTimeout(7 * second)}, 7 * second},
		{"http.Client without own", 9 * second, []courier.Option{courier.WithTimeout(0)}, 9 * second},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				hang := coreTransport(func(req *http.Request) (*http.Response, error) {
					<-req.Context().Done()
					return nil, req.Context().Err()
				})
				opts := append([]courier.Option{
					courier.WithHTTPClient(&http.Client{Transport: hang, Timeout: test.http}),
					courier.WithMaxRetries(0),
				}, test.opts...)
				client, err := courier.NewClient(coreKey, opts...)
				if err != nil {
					t.Fatal(err)
				}
				start := time.Now()
				_, err = client.Profiles.Merge(t.Context(), "u", twoFields())
				if took := time.Since(start); took != test.want || err == nil {
					t.Errorf("%v after %v, want %v", err, took, test.want)
				}
			})
		})
	}
}

// A timeout reaches to the last byte of the answer.
func TestOptionTimeoutCoversTheBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := coreClient(t, func(req *http.Request) (*http.Response, error) {
			resp := coreAnswer(200, "")
			resp.Body = io.NopCloser(coreHangingReader{req})
			return resp, nil
		}, courier.WithTimeout(time.Second), courier.WithMaxRetries(2))
		start := time.Now()
		_, err := client.Profiles.Merge(t.Context(), "u", twoFields())
		var failed *courier.ConnectionError
		if !errors.As(err, &failed) || failed.Attempts != 3 || time.Since(start) != 3*time.Second {
			t.Errorf("%v after %v, want 3 attempts in 3 s", err, time.Since(start))
		}
	})
}

type coreHangingReader struct{ req *http.Request }

func (r coreHangingReader) Read([]byte) (int, error) {
	<-r.req.Context().Done()
	return 0, r.req.Context().Err()
}

func TestOptionUserAgent(t *testing.T) {
	const own = "courier-profiles-go/"
	for _, test := range []struct {
		name string
		opts []courier.Option
		call []courier.RequestOption
		want string
	}{
		{"default", nil, nil, "^" + own + `\d+\.\d+\.\d+$`},
		{"product", []courier.Option{courier.WithUserAgent("signup/1.4")}, nil, "^signup/1.4 " + own},
		{"with a comment", []courier.Option{courier.WithUserAgent("signup/1.4 (linux; x)")}, nil, `^signup/1.4 \(linux; x\) ` + own},
		{"the last counts", []courier.Option{courier.WithUserAgent("a/1"), courier.WithUserAgent("b/2")}, nil, "^b/2 " + own},
		{"of one call", []courier.Option{courier.WithUserAgent("a/1")}, []courier.RequestOption{courier.WithHeader("user-agent", "mine")}, "^mine$"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var recorder coreRecorder
			client := coreServe(t, recorder.ServeHTTP, test.opts...)
			if _, err := client.Profiles.Merge(t.Context(), "u", twoFields(), test.call...); err != nil {
				t.Fatal(err)
			}
			if got := recorder.one(t).Header["User-Agent"]; len(got) != 1 || !regexp.MustCompile(test.want).MatchString(got[0]) {
				t.Errorf("User-Agent is %q, want %s", got, test.want)
			}
		})
	}
}

func TestOptionHeader(t *testing.T) {
	for _, test := range []struct{ name, key, value, wantKey string }{
		{"new", "X-Tenant", "7", "X-Tenant"},
		{"case", "x-tENANT", "7", "X-Tenant"},
		{"spaces inside", "X-Tenant", "a  b", "X-Tenant"},
		{"empty value", "X-Tenant", "", "X-Tenant"},
		{"every printable character", "X-Tenant", `!"#$%&'()*+,-./:;<=>?@[\]^_{|}~` + "`", "X-Tenant"},
		{"in place of ours", "accept", "application/vnd.courier+json", "Accept"},
		{"every character of a name", "X!#$%&'*+-.^_`|~9z", "1", "X!#$%&'*+-.^_`|~9z"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var recorder coreRecorder
			client := coreServe(t, recorder.ServeHTTP)
			if _, err := client.Profiles.Merge(t.Context(), "u", twoFields(), courier.WithHeader(test.key, "before"), courier.WithHeader(test.key, test.value)); err != nil {
				t.Fatal(err)
			}
			if got := recorder.one(t).Header[http.CanonicalHeaderKey(test.wantKey)]; !slices.Equal(got, []string{test.value}) {
				t.Errorf("%s is %q, want %q", test.wantKey, got, test.value)
			}
		})
	}
}

// wantRefusedCall fails unless a merge with opts is a ValidationError for field
// before anything is sent.
func wantRefusedCall(t *testing.T, field string, opts ...courier.RequestOption) {
	t.Helper()
	client := coreClient(t, func(req *http.Request) (*http.Response, error) {
		t.Errorf("a request was sent, with %v", req.Header)
		return coreAnswer(200, success), nil
	})
	result, err := client.Profiles.Merge(t.Context(), "u", twoFields(), opts...)
	wantValidation(t, err, field)
	if result != nil {
		t.Error("there is a result beside the error")
	}
	if strings.Contains(err.Error(), "SECRET") || strings.ContainsAny(err.Error(), "\r\n\x00") {
		t.Errorf("error %q repeats the value", err)
	}
}

func TestOptionHeaderRefused(t *testing.T) {
	for _, name := range []string{
		"Authorization", "Host", "Content-Type", "Content-Length", "Content-Encoding", "Content-Foo", "Idempotency-Key", "X-Idempotency-Expiration", "Accept-Encoding",
	} {
		for _, key := range []string{name, strings.ToLower(name), strings.ToUpper(name), "a" + name[1:]} {
			if key[0] == 'a' && name[0] != 'A' {
				continue
			}
			t.Run("refused "+key, func(t *testing.T) { wantRefusedCall(t, "WithHeader", courier.WithHeader(key, "SECRET")) })
		}
	}
	for _, key := range []string{
		"", " ", "X A", " X-A", "X-A ", "X-A:", "X:A", ":path", "X-A\r\nX-Evil", "X-A\n", "X\x00", "Ü", "X\xff", "X\tA", "X(A)", "X/A", "X@A", `X"A`, "X=A", "X{A}", "X\x7f",
	} {
		t.Run("name "+strconv.Quote(key), func(t *testing.T) { wantRefusedCall(t, "WithHeader", courier.WithHeader(key, "SECRET")) })
	}
	for _, value := range []string{
		"SECRET\r\nX-Evil: 1", "SECRET\nX-Evil: 1", "SECRET\rX-Evil: 1", "\r\n", "SECRET\n", "SECRET\x00", "SECRET\x7f", "SECRETü", "SECRET\xff", " SECRET", "SECRET ", "SEC\tSECRET", " ",
		"SECRET\u2028X-Evil: 1", "SECRET\u560a",
	} {
		t.Run("value "+strconv.Quote(value), func(t *testing.T) { wantRefusedCall(t, "WithHeader", courier.WithHeader("X-A", value)) })
	}
}

func TestOptionIdempotency(t *testing.T) {
	at := time.Now().Add(48*time.Hour + 123456789*time.Nanosecond)
	inParis := at.In(time.FixedZone("Paris", 3600))
	millis := strconv.FormatInt(at.UnixMilli(), 10)
	long := strings.Repeat("k", 1000)
	key, expires := courier.WithIdempotencyKey, courier.WithIdempotencyExpiration
	for _, test := range []struct {
		name             string
		opts             []courier.RequestOption
		wantKey, wantEnd []string
	}{
		{"neither", nil, nil, nil},
		{"key", []courier.RequestOption{key("order-1")}, []string{"order-1"}, nil},
		{"long key", []courier.RequestOption{key(long)}, []string{long}, nil},
		{"key with spaces and signs", []courier.RequestOption{key(`a b,"c";d=é`[:9])}, []string{`a b,"c";d=é`[:9]}, nil},
		{"key, then expiration", []courier.RequestOption{key("order-1"), expires(at)}, []string{"order-1"}, []string{millis}},
		{"expiration, then key", []courier.RequestOption{expires(at), key("order-1")}, []string{"order-1"}, []string{millis}},
		{"another time zone", []courier.RequestOption{expires(inParis), key("order-1")}, []string{"order-1"}, []string{millis}},
		{"the last counts", []courier.RequestOption{expires(at.Add(time.Hour)), key("a"), key("b"), expires(at)}, []string{"b"}, []string{millis}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var recorder coreRecorder
			client := coreServe(t, recorder.ServeHTTP)
			if _, err := client.Profiles.Merge(t.Context(), "u", twoFields(), test.opts...); err != nil {
				t.Fatal(err)
			}
			header := recorder.one(t).Header
			if !slices.Equal(header["Idempotency-Key"], test.wantKey) || !slices.Equal(header["X-Idempotency-Expiration"], test.wantEnd) {
				t.Errorf("sent %q and %q, want %q and %q", header["Idempotency-Key"], header["X-Idempotency-Expiration"], test.wantKey, test.wantEnd)
			}
		})
	}
}

func TestOptionIdempotencyRefused(t *testing.T) {
	for _, key := range []string{"", " ", " SECRET", "SECRET ", "SECRET\n", "SECRET\r\nX-Evil: 1", "SECRET\x00", "SECRETü", "SECRET\xff", "SECRET\t1", "SECRET\x7f"} {
		t.Run("key "+strconv.Quote(key), func(t *testing.T) { wantRefusedCall(t, "WithIdempotencyKey", courier.WithIdempotencyKey(key)) })
	}
	const option = "WithIdempotencyExpiration"
	key := courier.WithIdempotencyKey("order-1")
	for name, opts := range map[string][]courier.RequestOption{
		"zero time":        {key, courier.WithIdempotencyExpiration(time.Time{})},
		"past":             {key, courier.WithIdempotencyExpiration(time.Now().Add(-time.Second))},
		"past, key behind": {courier.WithIdempotencyExpiration(time.Now().Add(-time.Hour)), key},
		"without a key":    {courier.WithIdempotencyExpiration(time.Now().Add(48 * time.Hour))},
	} {
		t.Run(name, func(t *testing.T) { wantRefusedCall(t, option, opts...) })
	}
}

func TestOptionRequestOrderDoesNotMatter(t *testing.T) {
	var got http.Header
	client := coreClient(t, func(req *http.Request) (*http.Response, error) {
		got = req.Header
		return coreAnswer(200, success), nil
	}, courier.WithUserAgent("a/1"))
	var want http.Header
	permutations([]courier.RequestOption{
		courier.WithIdempotencyKey("order-1"),
		courier.WithIdempotencyExpiration(time.Now().Add(48 * time.Hour)),
		courier.WithHeader("X-A", "1"),
		courier.WithHeader("X-B", "2"),
		courier.WithHeader("Accept", "application/vnd.courier+json"),
	}, func(opts []courier.RequestOption) {
		if _, err := client.Profiles.Merge(t.Context(), "u", twoFields(), opts...); err != nil {
			t.Fatal(err)
		}
		if want == nil {
			want = got.Clone()
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("headers depend on the order (-want +got):\n%s", diff)
		}
	})
	if len(want) != 8 {
		t.Errorf("headers are %v", want)
	}
	// And none of it is there for the next call.
	if _, err := client.Profiles.Merge(t.Context(), "u", twoFields()); err != nil {
		t.Fatal(err)
	}
	if len(got) != 4 || got.Get("Accept") != "application/json" {
		t.Errorf("headers of the call before are still there: %v", got)
	}
}

// One option value may serve many clients and calls.
func TestOptionValuesAreReusable(t *testing.T) {
	opts := []courier.RequestOption{courier.WithHeader("X-A", "1"), courier.WithIdempotencyKey("order-1")}
	logger := courier.WithLogger(slog.New(slog.DiscardHandler))
	for range 2 {
		var got http.Header
		client := coreClient(t, func(req *http.Request) (*http.Response, error) {
			got = req.Header.Clone()
			req.Header["X-A"][0] = "changed by a transport"
			return coreAnswer(200, success), nil
		}, logger)
		for range 2 {
			if _, err := client.Profiles.Merge(t.Context(), "u", twoFields(), opts...); err != nil {
				t.Fatal(err)
			}
			if got.Get("X-A") != "1" || got.Get("Idempotency-Key") != "order-1" {
				t.Errorf("headers are %v", got)
			}
		}
	}
}
