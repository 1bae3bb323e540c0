package chaos

import (
	"context"
	"flag"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	courier "github.com/courier-profiles/courier-go"
	"github.com/courier-profiles/courier-go/couriertest"
)

// No test may leave a goroutine behind. Toxiproxy leaves some of its own for a connection
// that it cut.
func TestMain(m *testing.M) {
	// Most tests wait for a timeout and need no processor.
	if err := flag.Set("test.parallel", "32"); err != nil {
		log.Fatal(err)
	}
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2.(*ToxicLink).read"),
		goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2.(*ToxicLink).write"),
		goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2/toxics.(*ToxicStub).Run"))
}

// newServer serves handler over HTTP/1.1, or over HTTP/2 with TLS.
func newServer(t *testing.T, handler http.Handler, http2 bool) *httptest.Server {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.EnableHTTP2 = http2
	if http2 {
		server.StartTLS()
	} else {
		server.Start()
	}
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	return server
}

// newProxy returns a proxy to the server, with toxics.
func newProxy(t *testing.T, server *httptest.Server, toxics []string) *toxiproxy.Proxy {
	t.Helper()
	service := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	proxy := toxiproxy.NewProxy(service, "", "127.0.0.1:0", server.Listener.Addr().String())
	addToxics(t, proxy, toxics)
	if err := proxy.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(proxy.Stop)
	return proxy
}

func addToxics(t *testing.T, proxy *toxiproxy.Proxy, toxics []string) {
	t.Helper()
	for _, text := range toxics {
		if _, err := proxy.Toxics.AddToxicJson(strings.NewReader(text)); err != nil {
			t.Fatal(err)
		}
	}
}

// newClient returns a client that connects to the addresses that route returns.
func newClient(
	t *testing.T, server *httptest.Server, route func() string, opts ...courier.Option,
) *courier.Client {
	t.Helper()
	pool := courier.NewTransport()
	pool.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, route())
	}
	pool.TLSClientConfig = server.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	// A silent connection must end before its attempt does, as it does by default.
	pool.HTTP2 = &http.HTTP2Config{
		SendPingTimeout: attemptTimeout / 3,
		PingTimeout:     attemptTimeout / 3,
	}
	opts = append([]courier.Option{
		courier.WithBaseURL(server.URL),
		courier.WithHTTPClient(&http.Client{Transport: pool}),
		courier.WithTimeout(attemptTimeout),
		courier.WithRetryWait(0, 10*time.Millisecond),
	}, opts...)
	client, err := courier.NewClient(couriertest.DefaultAPIKey, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.CloseIdleConnections)
	return client
}
