package transport

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"runtime"
	"time"
)

// An HTTP/2 connection that is silent for pingAfter is sent a PING, which a server
// acknowledges no matter how slow its application is. Without a response within pingTimeout
// it is closed, and its requests are retried on a new one.
const (
	pingAfter   = 3 * time.Second
	pingTimeout = 2 * time.Second
)

// NewPool returns a connection pool.
func NewPool() *http.Transport {
	pool := &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		OnProxyConnectResponse: proxyResponse,
		TLSHandshakeTimeout:    10 * time.Second,
		MaxIdleConnsPerHost:    1024,
		IdleConnTimeout:        90 * time.Second,
		ForceAttemptHTTP2:      true, // despite DialContext
		HTTP2: &http.HTTP2Config{
			SendPingTimeout: pingAfter,
			PingTimeout:     pingTimeout,
		},
	}
	if runtime.GOOS != "js" { // where net/http uses fetch unless there is a DialContext
		pool.DialContext = (&net.Dialer{
			Timeout:   10 * time.Second,
			KeepAlive: 30 * time.Second,
		}).DialContext
	}
	return pool
}

// proxyResponse returns an error for a proxy that refuses a CONNECT. Unlike net/http's
// own, it has the status.
func proxyResponse(_ context.Context, _ *url.URL, _ *http.Request, resp *http.Response) error {
	if resp.StatusCode == http.StatusOK {
		return nil
	}
	return &net.OpError{
		Op:  "proxyconnect",
		Net: "tcp",
		Err: &connectError{resp.Status, resp.StatusCode},
	}
}

// connectError is a proxy's refusal of a CONNECT.
type connectError struct {
	text   string
	status int
}

func (e *connectError) Error() string { return "the proxy refused the connection: " + e.text }
