package main

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/codes"

	courier "github.com/courier-profiles/courier-go"
	"github.com/courier-profiles/courier-go/couriertest"
)

// A request has a span below that of its call, and sends that span's context along.
func TestTransport(t *testing.T) {
	w := newWorld(t)
	client, err := w.fake.Client(
		courier.WithHTTPClient(&http.Client{Transport: w.observer.Transport(courier.NewTransport(nil))}),
		courier.WithObserver(w.observer.Observe))
	if err != nil {
		t.Fatal(err)
	}
	defer client.CloseIdleConnections()
	w.fake.Fail(couriertest.Fault{Status: http.StatusServiceUnavailable})
	ctx, end := w.observer.Start(t.Context(), MergeProfile)
	_, err = client.Profiles.Merge(ctx, "user-4711", courier.Profile{})
	if end(err); err != nil {
		t.Fatal(err)
	}

	spans := w.spans.GetSpans()
	if len(spans) != 3 {
		t.Fatalf("%d spans, want two requests and a call", len(spans))
	}
	call := spans[2]
	for i, request := range w.fake.Requests() {
		span := spans[i]
		if span.Parent.SpanID() != call.SpanContext.SpanID() {
			t.Errorf("request %d: the parent of its span is not the call", i)
		}
		want := "00-" + span.SpanContext.TraceID().String() + "-" + span.SpanContext.SpanID().String() + "-01"
		if got := request.Header.Get("Traceparent"); got != want {
			t.Errorf("request %d: traceparent %q, want %q", i, got, want)
		}
		for _, attr := range span.Attributes {
			if strings.Contains(attr.Value.String(), "user-4711") {
				t.Errorf("request %d: attribute %s has the user ID", i, attr.Key)
			}
		}
	}
}

func TestTransportError(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.fake.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp, err := w.observer.Transport(courier.NewTransport(nil)).RoundTrip(req); err == nil {
		resp.Body.Close()
		t.Fatal("no error")
	}
	if spans := w.spans.GetSpans(); len(spans) != 1 || spans[0].Status.Code != codes.Error {
		t.Errorf("spans %v, want one with an error", spans)
	}
}
