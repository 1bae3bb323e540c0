package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	courier "github.com/courier-profiles/courier-go"
	"github.com/courier-profiles/courier-go/couriertest"
)

// world is a client whose telemetry stays in memory.
type world struct {
	fake     *couriertest.Server
	spans    *tracetest.InMemoryExporter
	tracers  *sdktrace.TracerProvider
	registry *prometheus.Registry
	observer *Observer
	client   *courier.Client
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{
		fake:     couriertest.NewServer(),
		spans:    tracetest.NewInMemoryExporter(),
		registry: prometheus.NewRegistry(),
	}
	t.Cleanup(w.fake.Close)
	w.tracers = sdktrace.NewTracerProvider(sdktrace.WithSyncer(w.spans))
	var err error
	if w.observer, err = NewObserver(w.fake.URL, w.tracers, w.registry); err != nil {
		t.Fatal(err)
	}
	w.client, err = w.fake.Client(
		courier.WithObserver(w.observer.Observe),
		courier.WithRetryWait(time.Millisecond, time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) merge(ctx context.Context, userID string, profile courier.Profile) error {
	ctx, end := w.observer.Start(ctx, MergeProfile)
	_, err := w.client.Profiles.Merge(ctx, userID, profile)
	end(err)
	return err
}

// metrics returns what Prometheus reads.
func (w *world) metrics(t *testing.T) string {
	t.Helper()
	recorder := httptest.NewRecorder()
	promhttp.HandlerFor(w.registry, promhttp.HandlerOpts{}).ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if recorder.Code != http.StatusOK {
		t.Fatalf("/metrics: status %d: %s", recorder.Code, recorder.Body)
	}
	return recorder.Body.String()
}

// measured are the attributes whose values no test can know.
var measured = map[attribute.Key]bool{
	"server.port": true, "courier.attempt.duration": true, "courier.attempt.wait": true,
}

func values(attrs []attribute.KeyValue) map[string]any {
	all := map[string]any{}
	for _, attr := range attrs {
		if !measured[attr.Key] {
			all[string(attr.Key)] = attr.Value.AsInterface()
		}
	}
	return all
}

func TestSpans(t *testing.T) {
	type attrs = map[string]any
	email := courier.Profile{Email: courier.Set("user@example.com")}
	for _, test := range []struct {
		name    string
		faults  []couriertest.Fault
		profile courier.Profile
		status  codes.Code
		span    attrs // on top of those of every span
		events  []attrs
	}{
		{
			name: "success", profile: email,
			span:   attrs{"http.response.status_code": int64(200)},
			events: []attrs{{"http.response.status_code": int64(200), "courier.connection.reused": false}},
		},
		{
			name: "503, then success", faults: []couriertest.Fault{{Status: 503}}, profile: email,
			span: attrs{"http.response.status_code": int64(200), "http.request.resend_count": int64(1)},
			events: []attrs{
				{"http.response.status_code": int64(503), "error.type": "server", "courier.connection.reused": false},
				{"http.response.status_code": int64(200), "http.request.resend_count": int64(1), "courier.connection.reused": true},
			},
		},
		{
			name: "refused", faults: []couriertest.Fault{{Status: 400}}, profile: email,
			status: codes.Error,
			span:   attrs{"http.response.status_code": int64(400), "error.type": "invalid_request"},
			events: []attrs{{"http.response.status_code": int64(400), "error.type": "invalid_request", "courier.connection.reused": false}},
		},
		{
			name: "429, then the connection breaks", faults: []couriertest.Fault{{Status: 429}, {Reset: true}, {Reset: true}, {Reset: true}}, profile: email,
			status: codes.Error,
			span:   attrs{"http.request.resend_count": int64(3), "error.type": "connection"},
			events: []attrs{
				{"http.response.status_code": int64(429), "error.type": "rate_limit", "courier.connection.reused": false},
				{"http.request.resend_count": int64(1), "error.type": "connection", "courier.connection.reused": true},
				{"http.request.resend_count": int64(2), "error.type": "connection", "courier.connection.reused": false},
				{"http.request.resend_count": int64(3), "error.type": "connection", "courier.connection.reused": false},
			},
		},
		{
			name: "not sent", profile: courier.Profile{Email: courier.Set("\xff")},
			status: codes.Error,
			span:   attrs{"error.type": "validation"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			w.fake.Fail(test.faults...)
			_ = w.merge(t.Context(), "user-1", test.profile)

			spans := w.spans.GetSpans()
			if len(spans) != 1 {
				t.Fatalf("%d spans, want 1", len(spans))
			}
			span := spans[0]
			if span.Name != "POST /profiles/{user_id}" || span.SpanKind != trace.SpanKindClient {
				t.Errorf("span %q of kind %v", span.Name, span.SpanKind)
			}
			if diff := cmp.Diff(sdktrace.Status{Code: test.status}, span.Status); diff != "" {
				t.Errorf("status of the span (-want +got):\n%s", diff)
			}
			want := attrs{
				"server.address": "127.0.0.1", "http.request.method": "POST",
				"url.template": "/profiles/{user_id}", "courier.operation": "merge profile",
			}
			for key, value := range test.span {
				want[key] = value
			}
			if diff := cmp.Diff(want, values(span.Attributes)); diff != "" {
				t.Errorf("attributes of the span (-want +got):\n%s", diff)
			}
			var events []attrs
			for _, event := range span.Events {
				if event.Name != "attempt" {
					t.Errorf("event %q", event.Name)
				}
				events = append(events, values(event.Attributes))
			}
			if diff := cmp.Diff(test.events, events); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
		})
	}
}

// A span that is not of Start's is the caller's: it gets the events, and keeps
// its attributes.
func TestCallersSpan(t *testing.T) {
	w := newWorld(t)
	ctx, span := w.tracers.Tracer("caller").Start(t.Context(), "sign up")
	if _, err := w.client.Profiles.Merge(ctx, "user-1", courier.Profile{}); err != nil {
		t.Fatal(err)
	}
	span.End()
	got := w.spans.GetSpans()[0]
	if len(got.Attributes) != 0 || len(got.Events) != 1 {
		t.Errorf("attributes %v and events %v, want none and one", got.Attributes, got.Events)
	}
}

func TestMetrics(t *testing.T) {
	w := newWorld(t)
	profile := courier.Profile{Email: courier.Set("user@example.com")}
	w.fake.Fail(couriertest.Fault{Status: 503}, couriertest.Fault{}, couriertest.Fault{Status: 400})
	for range 3 {
		_ = w.merge(t.Context(), "user-1", profile)
	}
	_ = w.merge(t.Context(), "", profile)

	want := `
# HELP courier_attempts_total Requests sent, by the status of the response and the kind of error.
# TYPE courier_attempts_total counter
courier_attempts_total{error="invalid_request",operation="merge profile",status="400"} 1
courier_attempts_total{error="none",operation="merge profile",status="200"} 2
courier_attempts_total{error="server",operation="merge profile",status="503"} 1
# HELP courier_calls_total Finished calls, by the status of the last response and the kind of error.
# TYPE courier_calls_total counter
courier_calls_total{error="invalid_request",operation="merge profile",status="400"} 1
courier_calls_total{error="none",operation="merge profile",status="200"} 2
courier_calls_total{error="validation",operation="merge profile",status="none"} 1
# HELP courier_retries_total Requests that were retries.
# TYPE courier_retries_total counter
courier_retries_total{operation="merge profile"} 1
# HELP courier_reused_connections_total Requests on a reused connection.
# TYPE courier_reused_connections_total counter
courier_reused_connections_total{operation="merge profile"} 3
`
	if err := testutil.GatherAndCompare(w.registry, strings.NewReader(want),
		"courier_attempts_total", "courier_calls_total", "courier_retries_total", "courier_reused_connections_total"); err != nil {
		t.Error(err)
	}
	text := w.metrics(t)
	for _, line := range []string{
		`courier_call_duration_seconds_count{operation="merge profile"} 4`,
		`courier_attempt_duration_seconds_count{operation="merge profile"} 4`,
		`courier_retry_wait_seconds_count{operation="merge profile"} 1`,
		`courier_retry_wait_seconds_sum{operation="merge profile"} 0.001`,
	} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("no line %s in\n%s", line, text)
		}
	}
	if problems, err := testutil.GatherAndLint(w.registry); err != nil || len(problems) > 0 {
		t.Error(problems, err)
	}
}

// The calls of a MergeAll share a context, and so a span.
func TestMergeAll(t *testing.T) {
	const updates = 300
	w := newWorld(t)
	ctx, span := w.tracers.Tracer("caller").Start(t.Context(), "sync users")
	for outcome := range w.client.Profiles.MergeAll(ctx, func(yield func(string, courier.Profile) bool) {
		for i := range updates {
			if !yield(fmt.Sprint("user-", i), courier.Profile{Email: courier.Set("user@example.com")}) {
				return
			}
		}
	}) {
		if outcome.Err != nil {
			t.Error(outcome.Err)
		}
	}
	span.End()
	attempts := w.observer.attempts.WithLabelValues("200", "none", "merge profile")
	if got := testutil.ToFloat64(attempts); got != updates {
		t.Errorf("%v attempts counted, want %d", got, updates)
	}
	got := w.spans.GetSpans()[0]
	if len(got.Events)+got.DroppedEvents != updates {
		t.Errorf("%d events and %d dropped, want %d together", len(got.Events), got.DroppedEvents, updates)
	}
}

// The operations are those that the client sends, under the names it gives them.
func TestOperations(t *testing.T) {
	ctx := t.Context()
	for _, test := range []struct {
		op   Operation
		call func(*courier.ProfilesService) error
	}{
		{MergeProfile, func(s *courier.ProfilesService) error {
			_, err := s.Merge(ctx, "user-1", courier.Profile{})
			return err
		}},
		{GetProfile, func(s *courier.ProfilesService) error { _, err := s.Get(ctx, "user-1"); return err }},
		{ReplaceProfile, func(s *courier.ProfilesService) error {
			_, err := s.Replace(ctx, "user-1", courier.Profile{})
			return err
		}},
		{PatchProfile, func(s *courier.ProfilesService) error { _, err := s.Patch(ctx, "user-1", nil); return err }},
		{DeleteProfile, func(s *courier.ProfilesService) error { _, err := s.Delete(ctx, "user-1"); return err }},
		{ListSubscriptions, func(s *courier.ProfilesService) error {
			_, err := s.Lists.Page(ctx, "user-1", "")
			return err
		}},
		{Subscribe, func(s *courier.ProfilesService) error {
			_, err := s.Lists.Subscribe(ctx, "user-1", []courier.ListSubscription{{ListID: "news"}})
			return err
		}},
		{UnsubscribeAll, func(s *courier.ProfilesService) error {
			_, err := s.Lists.UnsubscribeAll(ctx, "user-1")
			return err
		}},
	} {
		t.Run(test.op.Name, func(t *testing.T) {
			fake := couriertest.NewServer()
			defer fake.Close()
			if err := fake.SetProfile("user-1", courier.Profile{}); err != nil {
				t.Fatal(err)
			}
			var observed []string
			client, err := fake.Client(courier.WithObserver(func(_ context.Context, a courier.Attempt) {
				observed = append(observed, a.Operation)
			}))
			if err != nil {
				t.Fatal(err)
			}
			if err := test.call(client.Profiles); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]string{test.op.Name}, observed); diff != "" {
				t.Errorf("operations observed (-want +got):\n%s", diff)
			}
			request := fake.Requests()[0]
			got := Operation{request.Operation, request.Method, strings.Replace(request.Path, "user-1", "{user_id}", 1)}
			if diff := cmp.Diff(test.op, got); diff != "" {
				t.Errorf("operation at the server (-want +got):\n%s", diff)
			}
		})
	}
}

func TestNothingPersonal(t *testing.T) {
	const (
		userID = "walrus-7f3a"
		email  = "narwhal@example.org"
		phone  = "555-0199"
	)
	w := newWorld(t)
	w.fake.Fail(
		couriertest.Fault{},
		couriertest.Fault{Status: 503}, couriertest.Fault{Reset: true}, couriertest.Fault{},
		couriertest.Fault{Status: 400, Body: fmt.Appendf(nil,
			`{"type":"invalid_request_error","message":"%s of %s at %s is no address"}`, email, userID, w.fake.URL)},
		couriertest.Fault{Status: 502, Body: []byte("cannot reach " + w.fake.URL + "/profiles/" + userID)},
		couriertest.Fault{Status: 302, Header: http.Header{"Location": {w.fake.URL + "/" + userID}}},
		couriertest.Fault{CutOff: true},
		couriertest.Fault{Status: 200, Body: []byte(userID)},
	)
	profile := courier.Profile{Email: courier.Set(email), PhoneNumber: courier.Set(phone)}
	for range 8 {
		_ = w.merge(t.Context(), userID, profile)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	_ = w.merge(gone, userID, profile)
	w.fake.Close()
	_ = w.merge(t.Context(), userID, profile)

	spans := w.spans.GetSpans()
	if len(spans) != 10 {
		t.Errorf("%d spans, want 10", len(spans))
	}
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	for _, span := range spans {
		// JSON has the values of attributes, %+v all that JSON may leave out.
		fmt.Fprintf(&text, "%+v\n", span)
		if err := encoder.Encode([]any{span.Attributes, span.Events}); err != nil {
			t.Fatal(err)
		}
	}
	host := strings.TrimPrefix(w.fake.URL, "http://")
	for where, text := range map[string]string{"the spans": text.String(), "the metrics": w.metrics(t)} {
		if !strings.Contains(text, "merge profile") {
			t.Errorf("%s do not tell of any merge:\n%s", where, text)
		}
		for _, secret := range []string{userID, "walrus", email, "narwhal", phone, w.fake.APIKey, "Bearer", w.fake.URL, host, "http://"} {
			if strings.Contains(text, secret) {
				t.Errorf("%q is in %s:\n%s", secret, where, text)
			}
		}
	}
}

func TestErrorClass(t *testing.T) {
	for _, test := range []struct {
		want string
		err  error
	}{
		{"none", nil},
		{"validation", &courier.ValidationError{}},
		{"invalid_request", &courier.InvalidRequestError{}},
		{"authentication", &courier.AuthenticationError{}},
		{"permission", &courier.PermissionError{}},
		{"not_found", &courier.NotFoundError{}},
		{"conflict", &courier.ConflictError{}},
		{"payload_too_large", &courier.PayloadTooLargeError{}},
		{"rate_limit", &courier.RateLimitError{}},
		{"server", &courier.ServerError{}},
		{"api", &courier.APIError{StatusCode: 418}},
		{"unexpected_response", &courier.UnexpectedResponseError{}},
		{"canceled", &courier.ConnectionError{Err: context.Canceled}},
		{"timeout", &courier.ConnectionError{Err: context.DeadlineExceeded}},
		{"connection", &courier.ConnectionError{Err: io.ErrUnexpectedEOF}},
		{"authentication", &courier.ConnectionError{Err: &courier.AuthenticationError{}}}, // MergeAll, after a 401
		{"_OTHER", errors.New("user-1 is not in the database")},
	} {
		if got := errorClass(test.err); got != test.want {
			t.Errorf("class of %T (%v) is %s, want %s", test.err, test.err, got, test.want)
		}
	}
}

func TestNewObserver(t *testing.T) {
	tracers := sdktrace.NewTracerProvider()
	for _, test := range []struct {
		baseURL string
		address string
		port    int64
	}{
		{courier.DefaultBaseURL, "api.courier.com", 443},
		{"http://localhost", "localhost", 80},
		{"https://[::1]:8443/v1", "::1", 8443},
	} {
		o, err := NewObserver(test.baseURL, tracers, prometheus.NewRegistry())
		if err != nil {
			t.Errorf("%s: %v", test.baseURL, err)
			continue
		}
		if o.server[0].Value.AsString() != test.address || o.server[1].Value.AsInt64() != test.port {
			t.Errorf("%s: server %v", test.baseURL, o.server)
		}
	}
	for _, baseURL := range []string{"", "api.courier.com", "://", "http://h:99999999999999999999"} {
		if _, err := NewObserver(baseURL, tracers, prometheus.NewRegistry()); err == nil {
			t.Errorf("base URL %q is not refused", baseURL)
		}
	}
	registry := prometheus.NewRegistry()
	for _, wantErr := range []bool{false, true} {
		if _, err := NewObserver(courier.DefaultBaseURL, tracers, registry); (err != nil) != wantErr {
			t.Errorf("error %v, want one: %v", err, wantErr)
		}
	}
}
