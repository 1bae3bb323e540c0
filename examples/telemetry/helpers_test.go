package main

import (
	"fmt"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	courier "github.com/courier-profiles/courier-go"
	"github.com/courier-profiles/courier-go/couriertest"
)

// telemetry is a client whose spans and metrics stay in memory.
type telemetry struct {
	server  *couriertest.Server
	client  *courier.Client
	tracers *sdktrace.TracerProvider
	spans   *tracetest.InMemoryExporter
	metrics *sdkmetric.ManualReader
}

func newTelemetry(t *testing.T, opts ...courier.Option) *telemetry {
	t.Helper()
	spans := tracetest.NewInMemoryExporter()
	tm := &telemetry{
		server:  couriertest.NewServer(t),
		tracers: sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans)),
		spans:   spans,
		metrics: sdkmetric.NewManualReader(),
	}
	meters := sdkmetric.NewMeterProvider(sdkmetric.WithReader(tm.metrics))
	observer, err := NewObserver(tm.server.URL, tm.tracers, meters)
	if err != nil {
		t.Fatal(err)
	}
	tm.client = tm.server.Client(append(opts, courier.WithObserver(observer.Observe))...)
	return tm
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// describe returns status, status code, error type, and resend count of a span.
func describe(status sdktrace.Status, attrs []attribute.KeyValue) string {
	set := attribute.NewSet(attrs...)
	value := func(key attribute.Key) attribute.Value {
		value, _ := set.Value(key)
		return value
	}
	return fmt.Sprintf("%s %d error %s resent %d",
		status.Code,
		value("http.response.status_code").AsInt64(),
		value("error.type").AsString(),
		value("http.request.resend_count").AsInt64())
}
