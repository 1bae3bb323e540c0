package main

import (
	"net/http"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// Transport wraps the client's connection pool: it starts a span for each request on the
// wire, below the span of its call, and propagates the trace context (W3C traceparent).
// A ready-made wrapper such as otelhttp would put the URL, and so the user ID, into the
// span.
//
//	transport := observer.Transport(courier.NewTransport(nil))
//	client, err := courier.NewClient(key, courier.WithHTTPClient(&http.Client{Transport: transport}))
func (o *Observer) Transport(base http.RoundTripper) http.RoundTripper {
	return &transport{base: base, observer: o}
}

type transport struct {
	base     http.RoundTripper
	observer *Observer
}

// RoundTrip ends the span when the response's header has arrived.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, span := t.observer.tracer.Start(req.Context(), req.Method,
		trace.WithSpanKind(trace.SpanKindClient),
		trace.WithAttributes(t.observer.server...),
		trace.WithAttributes(semconv.HTTPRequestMethodKey.String(req.Method)))
	defer span.End()
	req = req.Clone(ctx) // a RoundTripper must not change the request it is given
	propagation.TraceContext{}.Inject(ctx, propagation.HeaderCarrier(req.Header))
	resp, err := t.base.RoundTrip(req)
	if err != nil {
		span.SetStatus(codes.Error, "")
		return nil, err
	}
	span.SetAttributes(
		semconv.HTTPResponseStatusCode(resp.StatusCode),
		attribute.String("network.protocol.version", protocolVersion(resp)))
	return resp, nil
}

// CloseIdleConnections lets Client.CloseIdleConnections reach the pool.
func (t *transport) CloseIdleConnections() {
	(&http.Client{Transport: t.base}).CloseIdleConnections()
}

func protocolVersion(resp *http.Response) string {
	if resp.ProtoMajor == 2 {
		return "2"
	}
	return "1.1"
}
