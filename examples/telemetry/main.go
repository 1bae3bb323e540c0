// Telemetry turns the calls of package courier into OpenTelemetry spans and Prometheus
// metrics. It runs against the in-memory fake of the API, and needs neither a collector
// nor Prometheus:
//
//	go run -C examples/telemetry .
//
// A service can copy observer.go and transport.go.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	courier "github.com/courier-profiles/courier-go"
	"github.com/courier-profiles/courier-go/couriertest"
)

func main() {
	if err := run(context.Background(), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer) error {
	fake := couriertest.NewServer()
	defer fake.Close()

	// A service uses an exporter to its collector here.
	spans := tracetest.NewInMemoryExporter()
	tracers := sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans))
	registry := prometheus.NewRegistry()
	observer, err := NewObserver(fake.URL, tracers, registry)
	if err != nil {
		return err
	}
	client, err := fake.Client(
		courier.WithHTTPClient(&http.Client{Transport: observer.Transport(courier.NewTransport(nil))}),
		courier.WithObserver(observer.Observe),
		courier.WithRetryWait(50*time.Millisecond, 100*time.Millisecond))
	if err != nil {
		return err
	}

	merge(ctx, observer, client)
	fake.Fail(couriertest.Fault{Status: http.StatusServiceUnavailable})
	merge(ctx, observer, client)
	fake.Fail(couriertest.Fault{Status: http.StatusBadRequest})
	merge(ctx, observer, client)

	show(out, spans.GetSpans())
	return errors.Join(
		scrape(out, promhttp.HandlerFor(registry, promhttp.HandlerOpts{})),
		tracers.Shutdown(ctx))
}

// merge reports its error through the telemetry alone.
func merge(ctx context.Context, observer *Observer, client *courier.Client) {
	ctx, end := observer.Start(ctx, MergeProfile)
	_, err := client.Profiles.Merge(ctx, "user-1", courier.Profile{Email: courier.Set("user@example.com")})
	end(err)
}

// show prints what an exporter would send.
func show(out io.Writer, spans tracetest.SpanStubs) {
	fmt.Fprintln(out, "Spans:")
	for _, span := range spans {
		fmt.Fprintf(out, "\n%s  %s", span.Name, round(span.EndTime.Sub(span.StartTime)))
		if span.Status.Code == codes.Error {
			fmt.Fprint(out, "  error")
		}
		fmt.Fprintln(out)
		for _, attr := range span.Attributes {
			fmt.Fprintf(out, "    %s = %s\n", attr.Key, attr.Value.String())
		}
		for _, event := range span.Events {
			fmt.Fprintf(out, "    %s at %s: %s\n", event.Name, round(event.Time.Sub(span.StartTime)), list(event.Attributes))
		}
	}
}

func round(d time.Duration) time.Duration { return d.Round(100 * time.Microsecond) }

func list(attrs []attribute.KeyValue) string {
	texts := make([]string, len(attrs))
	for i, attr := range attrs {
		texts[i] = fmt.Sprintf("%s=%s", attr.Key, attr.Value.String())
	}
	return strings.Join(texts, " ")
}

// scrape prints what Prometheus would read, without help texts and buckets.
func scrape(out io.Writer, metrics http.Handler) error {
	response := httptest.NewRecorder()
	metrics.ServeHTTP(response, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if response.Code != http.StatusOK {
		return fmt.Errorf("/metrics: status %d: %s", response.Code, response.Body)
	}
	fmt.Fprint(out, "\nGET /metrics:\n\n")
	for line := range strings.Lines(response.Body.String()) {
		if !strings.HasPrefix(line, "#") && !strings.Contains(line, "_bucket{") {
			fmt.Fprint(out, line)
		}
	}
	return nil
}
