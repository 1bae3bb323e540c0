package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	courier "github.com/courier-profiles/courier-go"
)

// Observer turns each attempt of a client into an OpenTelemetry span and a measurement of
// http.client.request.duration. Neither contains an API key, a user ID, a URL, or the text
// of an error, because Courier's messages can repeat what was sent.
type Observer struct {
	server   []attribute.KeyValue
	tracer   trace.Tracer
	duration metric.Float64Histogram
}

// NewObserver returns an Observer for a client with the given base URL.
func NewObserver(
	baseURL string, tracers trace.TracerProvider, meters metric.MeterProvider,
) (*Observer, error) {
	const name = "github.com/courier-profiles/courier-go"
	server, err := serverAttributes(baseURL)
	if err != nil {
		return nil, err
	}
	duration, err := meters.Meter(name).Float64Histogram("http.client.request.duration",
		metric.WithUnit("s"),
		metric.WithDescription("Duration of HTTP client requests."),
		metric.WithExplicitBucketBoundaries(
			.005, .01, .025, .05, .075, .1, .25, .5, .75, 1, 2.5, 5, 7.5, 10, 30))
	if err != nil {
		return nil, err
	}
	return &Observer{server: server, tracer: tracers.Tracer(name), duration: duration}, nil
}

// Observe is for [courier.WithObserver]. The span is a child of the one in the context of
// the call, and the spans of a call's attempts are siblings. They also appear for each
// update of MergeAll.
func (o *Observer) Observe(ctx context.Context, a courier.Attempt) {
	attrs := append(requestAttributes(a), o.server...)
	o.duration.Record(ctx, a.Duration.Seconds(), metric.WithAttributes(attrs...))

	ended := time.Now()
	_, span := o.tracer.Start(ctx, spanName(a),
		trace.WithSpanKind(trace.SpanKindClient),
		trace.WithTimestamp(ended.Add(-a.Duration)),
		trace.WithAttributes(attrs...),
		trace.WithAttributes(attribute.Bool("courier.connection.reused", a.Reused)))
	if a.Number > 1 {
		span.SetAttributes(semconv.HTTPRequestResendCount(a.Number - 1))
	}
	if a.Wait > 0 {
		span.SetAttributes(attribute.Float64("courier.retry.wait", a.Wait.Seconds()))
	}
	if a.Err != nil {
		span.SetStatus(codes.Error, "")
	}
	span.End(trace.WithTimestamp(ended))
}

// request is the method and the path of an operation.
type request struct{ method, template string }

var requests = map[string]request{
	"merge profile":      {http.MethodPost, "/profiles/{user_id}"},
	"get profile":        {http.MethodGet, "/profiles/{user_id}"},
	"replace profile":    {http.MethodPut, "/profiles/{user_id}"},
	"patch profile":      {http.MethodPatch, "/profiles/{user_id}"},
	"delete profile":     {http.MethodDelete, "/profiles/{user_id}"},
	"list subscriptions": {http.MethodGet, "/profiles/{user_id}/lists"},
	"subscribe":          {http.MethodPost, "/profiles/{user_id}/lists"},
	"unsubscribe all":    {http.MethodDelete, "/profiles/{user_id}/lists"},
}

func spanName(a courier.Attempt) string {
	r := requests[a.Operation]
	return r.method + " " + r.template
}

// requestAttributes returns the attributes that span and measurement have in common.
func requestAttributes(a courier.Attempt) []attribute.KeyValue {
	r := requests[a.Operation]
	attrs := []attribute.KeyValue{
		attribute.String("courier.operation", a.Operation),
		semconv.HTTPRequestMethodKey.String(r.method),
		semconv.URLTemplate(r.template),
	}
	if a.StatusCode != 0 {
		attrs = append(attrs, semconv.HTTPResponseStatusCode(a.StatusCode))
	}
	switch {
	case a.StatusCode >= 400:
		attrs = append(attrs, semconv.ErrorTypeKey.String(strconv.Itoa(a.StatusCode)))
	case a.Err != nil:
		attrs = append(attrs, semconv.ErrorTypeKey.String(fmt.Sprintf("%T", a.Err)))
	}
	return attrs
}

// serverAttributes returns the name and the port of the server, without the rest of the
// URL.
func serverAttributes(baseURL string) ([]attribute.KeyValue, error) {
	u, err := url.Parse(baseURL)
	if err != nil || u.Hostname() == "" {
		return nil, fmt.Errorf("invalid base URL: use that of the client, such as %s",
			courier.DefaultBaseURL)
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	attrs := []attribute.KeyValue{semconv.ServerAddress(u.Hostname())}
	if number, err := strconv.Atoi(port); err == nil {
		attrs = append(attrs, semconv.ServerPort(number))
	}
	return attrs, nil
}
