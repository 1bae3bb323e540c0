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

	// URL is where the API is, such as http://127.0.0.1:40001.
	URL string

	server *httptest.Server
	stop   context.CancelFunc
}

// NewServer starts a server without any user. The caller has to Close it. Like
// httptest.NewServer it panics when there is no port to listen on.
func NewServer() *Server {
	ctx, stop := context.WithCancel(context.Background())
	handler := NewHandler()
	server := httptest.NewUnstartedServer(handler)
	server.Config.BaseContext = func(net.Listener) context.Context { return ctx }
	server.Start()
	return &Server{Handler: handler, URL: server.URL, server: server, stop: stop}
}

// Client returns a client of this server, with its key and URL. The options
// come after these two, and may change them.
func (s *Server) Client(opts ...courier.Option) (*courier.Client, error) {
	all := append([]courier.Option{courier.WithBaseURL(s.URL)}, opts...)
	return courier.NewClient(s.APIKey, all...)
}

// Close stops the server. Requests that are still in it, delayed by a [Fault] or
// half sent, end without an answer. What the server holds can be read on.
func (s *Server) Close() {
	s.stop()
	// httptest.Server.Close alone would wait for a client that never sends the
	// rest of its body. Closing the listener twice is harmless.
	_ = s.server.Listener.Close()
	s.server.CloseClientConnections()
	s.server.Close()
}
