package main

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	courier "github.com/courier-profiles/courier-go"
)

// Operation is what the spans and metrics of one method have in common.
type Operation struct {
	Name     string // as in courier.Attempt
	Method   string
	Template string // of the path
}

// The operations of package courier.
var (
	MergeProfile      = Operation{"merge profile", http.MethodPost, "/profiles/{user_id}"}
	GetProfile        = Operation{"get profile", http.MethodGet, "/profiles/{user_id}"}
	ReplaceProfile    = Operation{"replace profile", http.MethodPut, "/profiles/{user_id}"}
	PatchProfile      = Operation{"patch profile", http.MethodPatch, "/profiles/{user_id}"}
	DeleteProfile     = Operation{"delete profile", http.MethodDelete, "/profiles/{user_id}"}
	ListSubscriptions = Operation{"list subscriptions", http.MethodGet, "/profiles/{user_id}/lists"}
	Subscribe         = Operation{"subscribe", http.MethodPost, "/profiles/{user_id}/lists"}
	UnsubscribeAll    = Operation{"unsubscribe all", http.MethodDelete, "/profiles/{user_id}/lists"}
)

// Observer turns the calls of a client into OpenTelemetry spans and Prometheus metrics.
// Neither contains an API key, a user ID, a URL, or the text of an error, because Courier's
// messages can repeat what was sent.
type Observer struct {
	tracer trace.Tracer
	server []attribute.KeyValue

	calls           *prometheus.CounterVec
	attempts        *prometheus.CounterVec
	retries         *prometheus.CounterVec
	reused          *prometheus.CounterVec
	callDuration    *prometheus.HistogramVec
	attemptDuration *prometheus.HistogramVec
	wait            *prometheus.HistogramVec
}

// NewObserver returns an Observer for the calls to the API at baseURL, and
// registers its metrics.
func NewObserver(baseURL string, tracers trace.TracerProvider, metrics prometheus.Registerer) (*Observer, error) {
	server, err := serverOf(baseURL)
	if err != nil {
		return nil, err
	}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, append(labels, "operation"))
	}
	histogram := func(name, help string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: name, Help: help,
			Buckets: []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
		}, []string{"operation"})
	}
	o := &Observer{
		tracer: tracers.Tracer("github.com/courier-profiles/courier-go"),
		server: server,

		calls:           counter("courier_calls_total", "Finished calls, by the status of the last response and the kind of error.", "status", "error"),
		attempts:        counter("courier_attempts_total", "Requests sent, by the status of the response and the kind of error.", "status", "error"),
		retries:         counter("courier_retries_total", "Requests that were retries."),
		reused:          counter("courier_reused_connections_total", "Requests on a reused connection."),
		callDuration:    histogram("courier_call_duration_seconds", "Duration of calls, including retries and waits."),
		attemptDuration: histogram("courier_attempt_duration_seconds", "Duration of requests, from waiting for a connection to the last byte of the response."),
		wait:            histogram("courier_retry_wait_seconds", "Waits before retries."),
	}
	for _, metric := range []prometheus.Collector{
		o.calls, o.attempts, o.retries, o.reused, o.callDuration, o.attemptDuration, o.wait,
	} {
		if err := metrics.Register(metric); err != nil {
			return nil, err
		}
	}
	return o, nil
}

var errBaseURL = errors.New("invalid base URL: use that of the client, such as " + courier.DefaultBaseURL)

// serverOf returns what the semantic conventions call the server: its name and
// port, without the rest of the URL.
func serverOf(baseURL string) ([]attribute.KeyValue, error) {
	u, err := url.Parse(baseURL)
	if err != nil || u.Hostname() == "" {
		return nil, errBaseURL
	}
	port := 443
	if u.Scheme == "http" {
		port = 80
	}
	if u.Port() != "" {
		if port, err = strconv.Atoi(u.Port()); err != nil {
			return nil, errBaseURL
		}
	}
	return []attribute.KeyValue{semconv.ServerAddress(u.Hostname()), semconv.ServerPort(port)}, nil
}

// callState is what a span of Start knows about its call.
type callState struct {
	mu   sync.Mutex
	last courier.Attempt // the zero Attempt before the first one
}

type callStateKey struct{}

// Start starts the span of one call, which must use the returned context. end takes the
// error of the call:
//
//	ctx, end := observer.Start(ctx, MergeProfile)
//	_, err := client.Profiles.Merge(ctx, userID, profile)
//	end(err)
func (o *Observer) Start(ctx context.Context, op Operation) (_ context.Context, end func(error)) {
	started := time.Now()
	ctx, span := o.tracer.Start(ctx, op.Method+" "+op.Template,
		trace.WithSpanKind(trace.SpanKindClient),
		trace.WithTimestamp(started),
		trace.WithAttributes(o.server...),
		trace.WithAttributes(
			semconv.HTTPRequestMethodKey.String(op.Method),
			semconv.URLTemplate(op.Template),
			attribute.String("courier.operation", op.Name),
		))
	state := new(callState)
	return context.WithValue(ctx, callStateKey{}, state), func(err error) {
		state.mu.Lock()
		last := state.last
		state.mu.Unlock()
		span.SetAttributes(responseOf(last.StatusCode, last.Number, err)...)
		if err != nil {
			span.SetStatus(codes.Error, "")
		}
		span.End()
		o.calls.WithLabelValues(statusOf(last.StatusCode), errorClass(err), op.Name).Inc()
		o.callDuration.WithLabelValues(op.Name).Observe(time.Since(started).Seconds())
	}
}

// Observe is for courier.WithObserver. It counts the attempt, and adds it as an event to
// the span of its call, or else to the span in the caller's context. A span around MergeAll
// gets the events of its attempts up to the limit of its tracer, 128 by default; the metrics
// count every attempt.
func (o *Observer) Observe(ctx context.Context, a courier.Attempt) {
	if state, ok := ctx.Value(callStateKey{}).(*callState); ok {
		state.mu.Lock()
		state.last = a
		state.mu.Unlock()
	}
	if span := trace.SpanFromContext(ctx); span.IsRecording() {
		span.AddEvent("attempt", trace.WithAttributes(append(
			responseOf(a.StatusCode, a.Number, a.Err),
			attribute.Float64("courier.attempt.duration", a.Duration.Seconds()),
			attribute.Float64("courier.attempt.wait", a.Wait.Seconds()),
			attribute.Bool("courier.connection.reused", a.Reused),
		)...))
	}
	o.attempts.WithLabelValues(statusOf(a.StatusCode), errorClass(a.Err), a.Operation).Inc()
	o.attemptDuration.WithLabelValues(a.Operation).Observe(a.Duration.Seconds())
	if a.Number > 1 {
		o.retries.WithLabelValues(a.Operation).Inc()
	}
	if a.Wait > 0 {
		o.wait.WithLabelValues(a.Operation).Observe(a.Wait.Seconds())
	}
	if a.Reused {
		o.reused.WithLabelValues(a.Operation).Inc()
	}
}

// responseOf returns the attributes of a response. number is that of the attempt, or 0 if
// nothing was sent.
func responseOf(status, number int, err error) []attribute.KeyValue {
	var attrs []attribute.KeyValue
	if status != 0 {
		attrs = append(attrs, semconv.HTTPResponseStatusCode(status))
	}
	if number > 1 {
		attrs = append(attrs, semconv.HTTPRequestResendCount(number-1))
	}
	if err != nil {
		attrs = append(attrs, semconv.ErrorTypeKey.String(errorClass(err)))
	}
	return attrs
}

func statusOf(code int) string {
	if code == 0 {
		return "none"
	}
	return strconv.Itoa(code)
}

// errorClass returns a short name for the kind of err, one of a fixed set.
func errorClass(err error) string {
	var (
		validation *courier.ValidationError
		refused    *courier.InvalidRequestError
		key        *courier.AuthenticationError
		forbidden  *courier.PermissionError
		notFound   *courier.NotFoundError
		conflict   *courier.ConflictError
		tooLarge   *courier.PayloadTooLargeError
		rateLimit  *courier.RateLimitError
		server     *courier.ServerError
		other      *courier.APIError // wrapped by all of the above except the first
		unexpected *courier.UnexpectedResponseError
		connection *courier.ConnectionError
	)
	switch {
	case err == nil:
		return "none"
	case errors.As(err, &validation):
		return "validation"
	case errors.As(err, &refused):
		return "invalid_request"
	case errors.As(err, &key):
		return "authentication"
	case errors.As(err, &forbidden):
		return "permission"
	case errors.As(err, &notFound):
		return "not_found"
	case errors.As(err, &conflict):
		return "conflict"
	case errors.As(err, &tooLarge):
		return "payload_too_large"
	case errors.As(err, &rateLimit):
		return "rate_limit"
	case errors.As(err, &server):
		return "server"
	case errors.As(err, &other):
		return "api"
	case errors.As(err, &unexpected):
		return "unexpected_response"
	case errors.Is(err, context.Canceled):
		return "canceled"
	case errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	case errors.As(err, &connection):
		return "connection"
	}
	return "_OTHER"
}
