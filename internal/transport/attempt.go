package transport

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"time"
)

// How much of a body is read, in bytes.
const (
	MaxSuccess = 8 << 20
	MaxError   = 1 << 20
)

var errNoResponse = errors.New("the http.RoundTripper returned neither a response nor an error")

// attempt sends the request once and reads the whole response. Only ctx itself, and not
// the timeout of the attempt, ends the call.
func (t *Transport) attempt(ctx context.Context, r *Request) Attempt {
	a := Attempt{Started: time.Now()}
	attemptCtx := ctx
	if t.Timeout > 0 {
		var cancel context.CancelFunc
		attemptCtx, cancel = context.WithTimeout(ctx, t.Timeout)
		defer cancel()
	}
	if !r.Reused {
		a.Response = t.send(ctx, newRequest(attemptCtx, r))
		return a
	}
	var reused atomic.Bool // a RoundTripper may get a connection after it returned
	attemptCtx = httptrace.WithClientTrace(attemptCtx, &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) { reused.Store(info.Reused) },
	})
	a.Response = t.send(ctx, newRequest(attemptCtx, r))
	a.Reused = reused.Load()
	return a
}

// newRequest returns a request that shares nothing with those of other attempts,
// because a RoundTripper may edit it in place.
func newRequest(ctx context.Context, r *Request) *http.Request {
	u := *r.URL
	req := (&http.Request{
		Method: r.Method, URL: &u, Host: u.Host, Header: r.Header.Clone(),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}).WithContext(ctx)
	if len(r.Body) > 0 {
		body := r.Body
		req.ContentLength = int64(len(body))
		// net/http knows this type, and writes it together with the headers.
		req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
		req.Body, _ = req.GetBody()
	}
	return req
}

// send returns the response, or why there is no complete one.
func (t *Transport) send(ctx context.Context, req *http.Request) Response {
	base := t.Base
	if base == nil {
		base = http.DefaultTransport
	}
	resp, err := base.RoundTrip(req)
	if resp != nil && resp.Body != nil {
		defer resp.Body.Close()
	}
	if resp == nil && err == nil {
		err = errNoResponse
	}
	if err != nil {
		return Response{Err: failure(ctx, err)}
	}
	success, limit := resp.StatusCode/100 == 2, MaxError
	if success {
		limit = MaxSuccess
	}
	body, err := read(resp, limit)
	if err != nil && success {
		return Response{Err: failure(ctx, err)}
	}
	r := Response{Status: resp.StatusCode, Header: resp.Header, Body: body[:min(len(body), limit)], TooLong: len(body) > limit}
	if err != nil { // the status says enough
		r.Ended = ctx.Err()
	}
	if r.Status == http.StatusTooManyRequests || r.Status == http.StatusServiceUnavailable {
		r.RetryAfter = RetryAfter(r.Header, time.Now())
	}
	return r
}

// read returns the body, or its first limit+1 bytes.
func read(resp *http.Response, limit int) ([]byte, error) {
	// The body of a 101 is the connection itself, which may never end.
	if resp.Body == nil || resp.StatusCode == http.StatusSwitchingProtocols {
		return nil, nil
	}
	return io.ReadAll(io.LimitReader(resp.Body, int64(limit)+1))
}

// failure returns why an attempt failed: the context's error rather than its cause,
// which net/http returns, and for an HTTP server behind an https URL the error that
// http.Client returns.
func failure(ctx context.Context, err error) error {
	if ended := ctx.Err(); ended != nil {
		return ended
	}
	if record, ok := errors.AsType[tls.RecordHeaderError](err); ok && string(record.RecordHeader[:]) == "HTTP/" {
		return http.ErrSchemeMismatch
	}
	return err
}
