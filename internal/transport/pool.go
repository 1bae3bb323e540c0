package transport

import (
	"context"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync"
	"time"
)

// An HTTP/2 connection that is silent for pingAfter is sent a PING, which a server
// acknowledges no matter how slow its application is. Without a response within pingTimeout
// it is closed, and its requests are retried on a new one.
const (
	pingAfter   = 3 * time.Second
	pingTimeout = 2 * time.Second
)

// Pool is a connection pool. It closes HTTP/2 connections that are dead, and opens one
// for calls that start together.
type Pool struct {
	transport *http.Transport
	mu        sync.Mutex
	gates     map[string]*gate // by host
}

// NewPool returns a pool on a clone of base. A nil base means the defaults of this
// package.
func NewPool(base *http.Transport) *Pool {
	if base == nil {
		base = &http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			IdleConnTimeout:     90 * time.Second,
			TLSHandshakeTimeout: 10 * time.Second,
		}
	}
	t := base.Clone()
	if t.MaxIdleConnsPerHost == 0 {
		t.MaxIdleConns, t.MaxIdleConnsPerHost = 0, 1024
	}
	t.ForceAttemptHTTP2 = true // despite DialContext; Protocols and TLSNextProto still rule it out
	if t.HTTP2 == nil {
		t.HTTP2 = new(http.HTTP2Config)
	}
	// Since Go 1.27 Clone makes an empty HTTP2 where there was none.
	if t.HTTP2.SendPingTimeout == 0 {
		t.HTTP2.SendPingTimeout = pingAfter
	}
	if t.HTTP2.PingTimeout == 0 {
		t.HTTP2.PingTimeout = pingTimeout
	}
	t.DialContext = watch(dialer(t))
	t.OnProxyConnectResponse = refusal(t.OnProxyConnectResponse)
	return &Pool{transport: t, gates: map[string]*gate{}}
}

// CloseIdleConnections closes the connections that no request uses.
func (p *Pool) CloseIdleConnections() { p.transport.CloseIdleConnections() }

// RoundTrip sends a request.
func (p *Pool) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL == nil || req.URL.Scheme != "https" {
		return p.transport.RoundTrip(req)
	}
	g := p.gate(req.URL.Host)
	first, cold := g.enter(req.Context())
	if !cold {
		return p.transport.RoundTrip(req)
	}
	defer g.leave(first)
	return p.transport.RoundTrip(req.WithContext(httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) { g.connected(info.Conn) },
	})))
}

func (p *Pool) gate(host string) *gate {
	p.mu.Lock()
	defer p.mu.Unlock()
	g := p.gates[host]
	if g == nil {
		g = new(gate)
		p.gates[host] = g
	}
	return g
}

type dialFunc = func(ctx context.Context, network, address string) (net.Conn, error)

// dialer returns how t opens connections.
func dialer(t *http.Transport) dialFunc {
	if t.DialContext != nil {
		return t.DialContext
	}
	//lint:ignore SA1019 a base may still set it
	if dial := t.Dial; dial != nil {
		return func(_ context.Context, network, address string) (net.Conn, error) { return dial(network, address) }
	}
	return (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext
}

// watch wraps the connections of dial, so that a gate sees when one is closed.
func watch(dial dialFunc) dialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := dial(ctx, network, address)
		if c == nil || err != nil {
			return nil, err
		}
		return &watchedConn{Conn: c}, nil
	}
}

type connectFunc = func(ctx context.Context, proxy *url.URL, req *http.Request, resp *http.Response) error

// refusal returns an error for a proxy that refuses a CONNECT. Unlike net/http's own, it
// has the status and shows that the request was not sent.
func refusal(before connectFunc) connectFunc {
	return func(ctx context.Context, proxy *url.URL, req *http.Request, resp *http.Response) error {
		if before != nil {
			if err := before(ctx, proxy, req, resp); err != nil {
				return err
			}
		}
		if resp.StatusCode == http.StatusOK {
			return nil
		}
		return &net.OpError{Op: "proxyconnect", Net: "tcp", Err: &connectError{resp.Status, resp.StatusCode}}
	}
}

// connectError is a proxy's refusal of a CONNECT.
type connectError struct {
	text   string
	status int
}

func (e *connectError) Error() string { return "the proxy refused the connection: " + e.text }
