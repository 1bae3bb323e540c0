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

// attempt sends the request once and reads the whole response.
func (t *Transport) attempt(ctx context.Context, r *Request) Exchange {
	started := time.Now()
	attemptCtx := ctx
	if t.Timeout > 0 {
		var cancel context.CancelFunc
		attemptCtx, cancel = context.WithTimeout(ctx, t.Timeout)
		defer cancel()
	}
	var conn connTrace
	attemptCtx = httptrace.WithClientTrace(attemptCtx, conn.hooks())
	x := t.exchange(ctx, newHTTPRequest(attemptCtx, r))
	x.Started, x.Duration = started, time.Since(started)
	x.Reused = conn.reused.Load()
	x.NoConnection = x.Err != nil && conn.asked.Load() && !conn.got.Load()
	return x
}

// connTrace is what httptrace reports about the connection of an attempt. Its values are
// atomic because a RoundTripper may still get a connection after it has returned.
type connTrace struct {
	asked, got, reused atomic.Bool
}

func (c *connTrace) hooks() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		GetConn: func(string) { c.asked.Store(true) },
		GotConn: func(info httptrace.GotConnInfo) {
			c.got.Store(true)
			c.reused.Store(info.Reused)
		},
	}
}

// newHTTPRequest returns a request that shares nothing with those of other attempts,
// because a RoundTripper may edit it in place.
func newHTTPRequest(ctx context.Context, r *Request) *http.Request {
	u := *r.URL
	req := (&http.Request{
		Method: r.Method, URL: &u, Host: u.Host, Header: r.Header.Clone(),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}).WithContext(ctx)
	if len(r.Body) > 0 {
		body := r.Body
		req.ContentLength = int64(len(body))
		// net/http knows this type, and writes it together with the headers.
		req.GetBody = func() (io.ReadCloser, error) {
			return io.NopCloser(bytes.NewReader(body)), nil
		}
		req.Body, _ = req.GetBody()
	}
	return req
}

// exchange returns the response, or why there is no complete one. Only ctx, and not the
// timeout of the attempt in req, ends the call.
func (t *Transport) exchange(ctx context.Context, req *http.Request) Exchange {
	resp, err := t.roundTripper().RoundTrip(req)
	if resp != nil && resp.Body != nil {
		defer resp.Body.Close()
	}
	if resp == nil && err == nil {
		err = errNoResponse
	}
	if err != nil {
		return Exchange{Err: reason(ctx, err)}
	}
	success, limit := resp.StatusCode/100 == 2, MaxError
	if success {
		limit = MaxSuccess
	}
	body, err := readBody(resp, limit)
	if err != nil && success {
		return Exchange{Err: reason(ctx, err)}
	}
	x := Exchange{
		Status:  resp.StatusCode,
		Header:  resp.Header,
		Body:    body[:min(len(body), limit)],
		TooLong: len(body) > limit,
	}
	if err != nil { // of an error, whose status says enough
		x.Ended = ctx.Err()
	}
	if x.Status == http.StatusTooManyRequests || x.Status == http.StatusServiceUnavailable {
		x.RetryAfter = RetryAfter(x.Header, time.Now())
	}
	return x
}

func (t *Transport) roundTripper() http.RoundTripper {
	if t.Base != nil {
		if base := t.Base(); base != nil {
			return base
		}
	}
	return http.DefaultTransport
}

// readBody returns the body, or its first limit+1 bytes.
func readBody(resp *http.Response, limit int) ([]byte, error) {
	// The body of a 101 is the connection itself, which may never end.
	if resp.Body == nil || resp.StatusCode == http.StatusSwitchingProtocols {
		return nil, nil
	}
	return io.ReadAll(io.LimitReader(resp.Body, int64(limit)+1))
}

// reason returns why an attempt failed: the context's error rather than its cause,
// which net/http returns, and for an HTTP server behind an https URL the error that
// http.Client returns.
func reason(ctx context.Context, err error) error {
	if ctxErr := ctx.Err(); ctxErr != nil {
		return ctxErr
	}
	record, ok := errors.AsType[tls.RecordHeaderError](err)
	if ok && string(record.RecordHeader[:]) == "HTTP/" {
		return http.ErrSchemeMismatch
	}
	return err
}
