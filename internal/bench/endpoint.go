package main

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	courier "github.com/courier-profiles/courier-go"
)

const (
	inMemory = "in memory"
	http1    = "HTTP/1.1"
	http2    = "TLS, HTTP/2"
)

// endpoint is the API that a client calls, and how to connect to it.
type endpoint struct {
	url       string
	tls       *tls.Config
	transport http.RoundTripper // in place of a connection pool
	opened    *atomic.Int64     // connections
}

// pool returns the connection pool of hand-written code. Its limits and timeouts are those
// of package courier.
func (e endpoint) pool() http.RoundTripper {
	if e.transport != nil {
		return e.transport
	}
	return e.configure(newPool())
}

// courierPool returns the connection pool of package courier.
func (e endpoint) courierPool() http.RoundTripper {
	if e.transport != nil {
		return e.transport
	}
	return e.configure(courier.NewTransport())
}

func newPool() *http.Transport {
	return &http.Transport{
		DialContext:         (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
		ForceAttemptHTTP2:   true,
		MaxIdleConnsPerHost: 1024,
		IdleConnTimeout:     90 * time.Second,
		TLSHandshakeTimeout: 10 * time.Second,
	}
}

// configure makes t trust the server, and counts the connections it opens.
func (e endpoint) configure(t *http.Transport) *http.Transport {
	t.TLSClientConfig = e.tls.Clone()
	dial := t.DialContext
	t.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		connection, err := dial(ctx, network, address)
		if err == nil {
			e.opened.Add(1)
		}
		return connection, err
	}
	return t
}

// memory reads each request and responds without a network.
type memory struct{}

func (memory) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		defer req.Body.Close()
		if _, err := io.Copy(io.Discard, req.Body); err != nil {
			return nil, err
		}
	}
	return &http.Response{
		StatusCode: http.StatusOK,
		Header:     http.Header{"Content-Type": {"application/json"}},
		Body:       io.NopCloser(strings.NewReader(responseTo(req.Method))),
		Request:    req,
	}, nil
}
