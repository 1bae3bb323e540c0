package transport_test

import (
	"bytes"
	"context"
	"errors"
	"log"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/jarcoal/httpmock"

	"github.com/courier-profiles/courier-go/internal/transport"
)

// TestAttempts is about what After is called with, which is also what Do returns of the
// last attempt.
func TestAttempts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFake(
			respond(503, "Retry-After", "5").Delay(3*second),
			fail(errBroken).Delay(2*second),
			cutOff(200).Delay(second),
			respond(200).Delay(4*second),
		)
		r := newRequest(t, baseURL)
		got := observe(r)
		start := time.Now()
		last := newTransport(f).Do(t.Context(), r)
		want := []transport.Exchange{
			{
				Number: 1, Status: 503, RetryAfter: 5 * second, Started: start,
				Duration: 3 * second, Retryable: true, Retry: true, Wait: 5 * second,
			},
			{
				Number: 2, Err: errBroken, Started: start.Add(8 * second),
				Duration: 2 * second, Retryable: true, Retry: true,
			},
			{
				Number: 3, Err: errCutOff, Started: start.Add(10 * second),
				Duration: second, Retryable: true, Retry: true,
			},
			{Number: 4, Status: 200, Started: start.Add(11 * second), Duration: 4 * second},
		}
		options := cmp.Options{
			cmpopts.IgnoreFields(transport.Exchange{}, "Header", "Body"),
			cmpopts.EquateErrors(),
		}
		if diff := cmp.Diff(want, *got, options); diff != "" {
			t.Errorf("After (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(want[3], last, options); diff != "" {
			t.Errorf("Do (-want +got):\n%s", diff)
		}
		if got := string(last.Body); got != success {
			t.Errorf("got body %s, want %s", got, success)
		}
		if got := last.Header.Get("Content-Type"); got != "application/json" {
			t.Errorf("got Content-Type %q", got)
		}
	})
}

func TestMaxRetries(t *testing.T) {
	t.Parallel()
	for _, retries := range []int{0, 1, 10} {
		for _, responder := range []httpmock.Responder{respond(503), fail(errBroken)} {
			f := newFake(responder)
			config := newConfig(f)
			config.MaxRetries = retries
			last := transport.New(config).Do(t.Context(), newRequest(t, baseURL))
			wantAttempts(t, last, retries+1)
			if got := f.sent(); got != retries+1 {
				t.Errorf("sent %d requests, want %d", got, retries+1)
			}
			if last.Retry {
				t.Error("the last attempt says that there is another one")
			}
		}
	}
}

// TestSameRequest: all attempts send the same, and the caller's request stays as it is,
// even if a RoundTripper edits what it sends in place.
func TestSameRequest(t *testing.T) {
	t.Parallel()
	f := newFake(respond(503))
	tr := newTransport(roundTripper(func(req *http.Request) (*http.Response, error) {
		req.URL.Path = "/gateway" + req.URL.Path
		req.URL.RawQuery += "&gateway"
		req.Header.Add("X-Gateway", "1")
		req.Header["Content-Type"][0] += "; edited"
		req.Host += ".gateway"
		return f.RoundTrip(req)
	}))
	r := newRequest(t, baseURL)
	r.URL.RawQuery = "a=b"
	wantAttempts(t, tr.Do(t.Context(), r), 4)
	type sent struct {
		method, host, url, body string
		length                  int64
		header                  http.Header
	}
	want := sent{
		method: http.MethodPost,
		host:   "courier.test.gateway",
		url:    "https://courier.test/gateway/base/profiles/user-1?a=b&gateway",
		body:   `{"profile":{}}`,
		length: 14,
		header: http.Header{
			"Content-Type": {"application/json; edited"},
			"X-Gateway":    {"1"},
		},
	}
	for i, req := range f.requests {
		got := sent{
			method: req.Method, host: req.Host, url: req.URL.String(), body: req.body,
			length: req.ContentLength, header: req.Header,
		}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(sent{})); diff != "" {
			t.Errorf("attempt %d (-want +got):\n%s", i+1, diff)
		}
	}
	unchanged := newRequest(t, baseURL)
	unchanged.URL.RawQuery = "a=b"
	if diff := cmp.Diff(unchanged, r); diff != "" {
		t.Errorf("the caller's request (-want +got):\n%s", diff)
	}
}

// TestBefore: it is called before each attempt and may wait, which is no part of the
// attempt. Its error ends the call.
func TestBefore(t *testing.T) {
	t.Parallel()
	errLimited := errors.New("the limiter refuses")
	for allowed, want := range []transport.Exchange{
		{Ended: errLimited},
		{Ended: errLimited, Number: 1, Status: 503, Body: []byte(success)},
		{Ended: errLimited, Number: 2, Status: 503, Body: []byte(success)},
	} {
		synctest.Test(t, func(t *testing.T) {
			f := newFake(respond(503))
			r := newRequest(t, baseURL)
			calls := 0
			r.Before = func(context.Context) error {
				time.Sleep(time.Hour)
				calls++
				if calls > allowed {
					return errLimited
				}
				return nil
			}
			attempts := observe(r)
			wantExchange(t, newTransport(f).Do(t.Context(), r), want)
			if got := f.sent(); got != allowed {
				t.Errorf("sent %d requests, want %d", got, allowed)
			}
			if got := len(*attempts); got != allowed {
				t.Errorf("After was called %d times, want %d", got, allowed)
			}
			for _, attempt := range *attempts {
				if attempt.Duration != 0 {
					t.Errorf("an attempt took %v, want 0", attempt.Duration)
				}
			}
		})
	}
}

// TestPanic: a panic of the caller's code reaches the caller.
func TestPanic(t *testing.T) {
	t.Parallel()
	boom := func(*http.Request) (*http.Response, error) { panic("boom") }
	body := cutBody(func([]byte) (int, error) { panic("boom") })
	for name, tt := range map[string]struct {
		responders []httpmock.Responder
		before     func(context.Context) error
		after      func(*transport.Exchange)
	}{
		"RoundTrip": {[]httpmock.Responder{boom}, nil, nil},
		"retry":     {[]httpmock.Responder{respond(503), boom}, nil, nil},
		"body":      {[]httpmock.Responder{respondWith(200, body)}, nil, nil},
		"Before": {
			[]httpmock.Responder{respond(200)}, func(context.Context) error { panic("boom") }, nil,
		},
		"After": {
			[]httpmock.Responder{respond(200)}, nil, func(*transport.Exchange) { panic("boom") },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			defer func() {
				if got := recover(); got != "boom" {
					t.Errorf("recovered %v, want boom", got)
				}
			}()
			r := newRequest(t, baseURL)
			r.Before, r.After = tt.before, tt.after
			newTransport(newFake(tt.responders...)).Do(t.Context(), r)
		})
	}
}

// TestBase: it is looked up for each attempt.
func TestBase(t *testing.T) {
	t.Parallel()
	first, second := newFake(respond(503)), newFake(respond(200))
	bases := []http.RoundTripper{first, second}
	config := newConfig(nil)
	config.Base = func() http.RoundTripper {
		base := bases[0]
		bases = bases[1:]
		return base
	}
	wantSuccess(t, transport.New(config).Do(t.Context(), newRequest(t, baseURL)))
	if len(bases) != 0 {
		t.Errorf("%d of two bases were not used", len(bases))
	}
}

// TestDefaultTransport: it stands in where there is no base. This test replaces it, so it
// runs alone.
func TestDefaultTransport(t *testing.T) {
	withoutFunc, withoutResult := newConfig(nil), newConfig(nil)
	withoutFunc.Base = nil
	for name, config := range map[string]transport.Config{
		"no func": withoutFunc, "no result": withoutResult,
	} {
		t.Run(name, func(t *testing.T) {
			tr := transport.New(config)
			httpmock.Activate(t)
			httpmock.RegisterResponder(http.MethodPost, baseURL+"/profiles/user-1", respond(200))
			wantSuccess(t, tr.Do(t.Context(), newRequest(t, baseURL)))
		})
	}
}

// TestNothingIsLogged: go-retryablehttp by itself logs each request with its URL. This test
// replaces the default logger, so it runs alone.
func TestNothingIsLogged(t *testing.T) {
	var output bytes.Buffer
	defer log.SetOutput(log.Writer())
	log.SetOutput(&output)
	for _, responder := range []httpmock.Responder{respond(200), respond(503), fail(errBroken)} {
		newTransport(newFake(responder)).Do(t.Context(), newRequest(t, baseURL))
	}
	if output.Len() > 0 {
		t.Errorf("logged:\n%s", &output)
	}
}

// TestConcurrentCalls shares a Transport, and a request, between many calls that meet a bit
// of everything. The race detector watches this.
func TestConcurrentCalls(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		responders := []httpmock.Responder{
			respond(200), respond(404), respond(302, "Location", "/elsewhere"), respond(503),
			respond(429, "Retry-After", "5"), respond(429, "Retry-After", "3600"),
			fail(errBroken), cutOff(200), hang,
		}
		var sent, attempts atomic.Int64
		tr := newTransport(roundTripper(func(req *http.Request) (*http.Response, error) {
			return responders[sent.Add(1)%int64(len(responders))](req)
		}))
		r := newRequest(t, baseURL)
		var wg sync.WaitGroup
		for range 64 {
			wg.Go(func() {
				for range 10 {
					attempts.Add(int64(tr.Do(t.Context(), r).Number))
				}
			})
		}
		wg.Wait()
		if got, want := attempts.Load(), sent.Load(); got != want {
			t.Errorf("the calls had %d attempts, and %d requests were sent", got, want)
		}
	})
}
