// Telemetry turns the calls of package courier into OpenTelemetry spans and metrics. It
// runs against the in-memory fake of the API, and needs no collector:
//
//	go run -C examples/telemetry .
//
// A service can copy observer.go.
package main

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"time"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	courier "github.com/courier-profiles/courier-go"
	"github.com/courier-profiles/courier-go/couriertest"
)

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	fake := couriertest.NewHandler()
	server := httptest.NewServer(fake)
	defer server.Close()

	// A service uses exporters to its collector here.
	spans := tracetest.NewInMemoryExporter()
	tracers := sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans))
	metrics := sdkmetric.NewManualReader()
	meters := sdkmetric.NewMeterProvider(sdkmetric.WithReader(metrics))

	observer, err := NewObserver(server.URL, tracers, meters)
	if err != nil {
		return err
	}
	client, err := courier.NewClient(fake.APIKey,
		courier.WithBaseURL(server.URL),
		courier.WithObserver(observer.Observe),
		courier.WithRetryWait(50*time.Millisecond, 100*time.Millisecond))
	if err != nil {
		return err
	}

	// The span of the service's own work, which has the attempts as children.
	ctx, signUp := tracers.Tracer("example").Start(ctx, "sign up")
	fake.Fail(couriertest.Fault{Status: 503})
	profile := courier.Profile{Email: courier.Set("user@example.com")}
	_, err = client.Profiles.Merge(ctx, "user-1", profile)
	signUp.End()
	if err != nil {
		return err
	}

	printSpans(spans.GetSpans())
	err = printMetrics(ctx, metrics)
	return errors.Join(err, tracers.Shutdown(ctx), meters.Shutdown(ctx))
}

// printSpans prints what an exporter would send. A span that ends later comes later.
func printSpans(spans tracetest.SpanStubs) {
	fmt.Println("Spans:")
	for _, span := range spans {
		duration := span.EndTime.Sub(span.StartTime).Round(100 * time.Microsecond)
		fmt.Printf("  %s  %v  %s\n", span.Name, duration, span.Status.Code)
		for _, attr := range span.Attributes {
			fmt.Printf("      %s = %s\n", attr.Key, attr.Value.String())
		}
	}
}

func printMetrics(ctx context.Context, reader *sdkmetric.ManualReader) error {
	var collected metricdata.ResourceMetrics
	if err := reader.Collect(ctx, &collected); err != nil {
		return err
	}
	for _, scope := range collected.ScopeMetrics {
		for _, metric := range scope.Metrics {
			fmt.Printf("Metric %s:\n", metric.Name)
			histogram, _ := metric.Data.(metricdata.Histogram[float64])
			for _, point := range histogram.DataPoints {
				fmt.Printf("  %d of %.4f s\n", point.Count, point.Sum)
				for _, attr := range point.Attributes.ToSlice() {
					fmt.Printf("      %s = %s\n", attr.Key, attr.Value.String())
				}
			}
		}
	}
	return nil
}
