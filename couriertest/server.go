package couriertest

import (
	"context"
	"net"
	"net/http/httptest"

	courier "github.com/courier-profiles/courier-go"
)

// Server is a [Handler] that listens on a port of 127.0.0.1.
type Server struct {
	*Handler

	// URL is the base URL of the API, such as http://127.0.0.1:40001.
	URL string

	server *httptest.Server
	stop   context.CancelFunc
}

// NewServer starts a server without any data. The caller must call Close. Like
// httptest.NewServer it panics if it cannot listen.
func NewServer() *Server {
	ctx, stop := context.WithCancel(context.Background())
	handler := NewHandler()
	server := httptest.NewUnstartedServer(handler)
	server.Config.BaseContext = func(net.Listener) context.Context { return ctx }
	server.Start()
	return &Server{Handler: handler, URL: server.URL, server: server, stop: stop}
}

// Client returns a client of this server, with its URL and API key and without waits
// between retries. The options are applied after these and may override them.
func (s *Server) Client(opts ...courier.Option) (*courier.Client, error) {
	all := append([]courier.Option{courier.WithBaseURL(s.URL), courier.WithRetryWait(0, 0)}, opts...)
	return courier.NewClient(s.APIKey, all...)
}

// Close stops the server. Requests in progress end without a response. The data stays
// readable.
func (s *Server) Close() {
	s.stop()
	// httptest.Server.Close alone would wait for a client that never sends the rest
	// of its body. Closing the listener twice is harmless.
	_ = s.server.Listener.Close()
	s.server.CloseClientConnections()
	s.server.Close()
}
