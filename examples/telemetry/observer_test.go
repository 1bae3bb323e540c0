package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	courier "github.com/courier-profiles/courier-go"
	"github.com/courier-profiles/courier-go/couriertest"
)

const userID = "user-4711"

func TestSpansAndMetrics(t *testing.T) {
	t.Parallel()
	tm := newTelemetry(t)
	tm.server.Fail(couriertest.Fault{Status: http.StatusServiceUnavailable})
	ctx, call := tm.tracers.Tracer("test").Start(t.Context(), "call")
	_, err := tm.client.Profiles.Merge(ctx, userID, courier.Profile{})
	if err != nil {
		t.Fatal(err)
	}

	var got []string
	for _, span := range tm.spans.GetSpans() {
		if span.Parent.SpanID() != call.SpanContext().SpanID() {
			t.Errorf("the parent of span %q is not the span of the call", span.Name)
		}
		got = append(got, span.Name+": "+describe(span.Status, span.Attributes))
	}
	want := []string{
		"POST /profiles/{user_id}: Error 503 error 503 resent 0",
		"POST /profiles/{user_id}: Unset 200 error  resent 1",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("spans (-want +got):\n%s", diff)
	}

	var collected metricdata.ResourceMetrics
	if err := tm.metrics.Collect(t.Context(), &collected); err != nil {
		t.Fatal(err)
	}
	histogram := collected.ScopeMetrics[0].Metrics[0].Data.(metricdata.Histogram[float64])
	counts := map[int64]uint64{}
	for _, point := range histogram.DataPoints {
		status, _ := point.Attributes.Value("http.response.status_code")
		counts[status.AsInt64()] = point.Count
	}
	if diff := cmp.Diff(map[int64]uint64{503: 1, 200: 1}, counts); diff != "" {
		t.Errorf("measurements by status (-want +got):\n%s", diff)
	}
}

// Every operation has a method and a template, and no span has the user ID.
func TestOperations(t *testing.T) {
	t.Parallel()
	tm := newTelemetry(t)
	p := tm.client.Profiles
	ctx := t.Context()
	_, err := p.Merge(ctx, userID, courier.Profile{})
	check(t, err)
	_, err = p.Get(ctx, userID)
	check(t, err)
	_, err = p.Replace(ctx, userID, courier.Profile{})
	check(t, err)
	_, err = p.Patch(ctx, userID, nil)
	check(t, err)
	_, err = p.Lists.Subscribe(ctx, userID, []courier.ListSubscription{{ListID: "news"}})
	check(t, err)
	_, err = p.Lists.Page(ctx, userID, "")
	check(t, err)
	_, err = p.Lists.UnsubscribeAll(ctx, userID)
	check(t, err)
	_, err = p.Delete(ctx, userID)
	check(t, err)

	for i, request := range tm.server.Requests() {
		span := tm.spans.GetSpans()[i]
		path := strings.Replace(request.Path, userID, "{user_id}", 1)
		if want := request.Method + " " + path; span.Name != want {
			t.Errorf("the span of %q is %q, want %q", request.Operation, span.Name, want)
		}
		if text := fmt.Sprintf("%+v", span); strings.Contains(text, userID) {
			t.Errorf("the span of %q has the user ID: %s", request.Operation, text)
		}
	}
}

// A connection failure has the type of its error, and not its text.
func TestConnectionFailure(t *testing.T) {
	t.Parallel()
	tm := newTelemetry(t, courier.WithMaxRetries(0))
	tm.server.Fail(couriertest.Fault{Reset: true})
	_, err := tm.client.Profiles.Merge(t.Context(), userID, courier.Profile{})
	if err == nil {
		t.Fatal("no error")
	}
	span := tm.spans.GetSpans()[0]
	want := "Error 0 error *courier.ConnectionError resent 0"
	if got := describe(span.Status, span.Attributes); got != want {
		t.Errorf("the span is %q, want %q", got, want)
	}
}

func TestInvalidBaseURL(t *testing.T) {
	t.Parallel()
	tracers, meters := sdktrace.NewTracerProvider(), sdkmetric.NewMeterProvider()
	_, err := NewObserver("api.courier.com", tracers, meters)
	if err == nil {
		t.Error("a base URL without a scheme was accepted")
	}
}
