package couriertest

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	courier "github.com/courier-profiles/courier-go"
)

// Server is a [Handler] that listens on a port of 127.0.0.1.
type Server struct {
	*Handler

	// URL is the base URL of the API, such as http://127.0.0.1:40001.
	URL string

	t      testing.TB
	server *httptest.Server
	stop   context.CancelFunc
}

// NewServer starts a server without any data, and closes it when the test ends. If the
// server cannot listen, the test fails at once.
func NewServer(t testing.TB) *Server {
	t.Helper()
	// httptest.NewServer would panic if it cannot listen.
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("couriertest: start the server: %v", err)
	}
	ctx, stop := context.WithCancel(context.Background())
	handler := NewHandler()
	server := &httptest.Server{
		Listener: listener,
		Config: &http.Server{
			Handler:     handler,
			BaseContext: func(net.Listener) context.Context { return ctx },
		},
	}
	server.Start()
	s := &Server{Handler: handler, URL: server.URL, t: t, server: server, stop: stop}
	t.Cleanup(s.Close)
	return s
}

// Client returns a client of this server, with its URL and its API key. The client does
// not wait between retries, unless a response has a Retry-After header. The options
// come after these settings and may override them. An invalid option fails the test at
// once, so call Client in the goroutine that runs the test.
func (s *Server) Client(opts ...courier.Option) *courier.Client {
	s.t.Helper()
	all := []courier.Option{courier.WithBaseURL(s.URL), courier.WithRetryWait(0, 0)}
	client, err := courier.NewClient(s.APIKey, append(all, opts...)...)
	if err != nil {
		s.t.Fatalf("couriertest: create the client: %v", err)
	}
	return client
}

// Close stops the server before the test ends. Requests in progress end without a
// response, and the data stays readable. Further calls do nothing.
func (s *Server) Close() {
	s.stop()
	// httptest.Server.Close alone would wait for a client that never sends the rest
	// of its body. Closing the listener twice is harmless.
	_ = s.server.Listener.Close()
	s.server.CloseClientConnections()
	s.server.Close()
}
