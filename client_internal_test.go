package courier

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
)

// TestPoolKnowsTheProtocol looks inside, because the default pool trusts no server
// of a test: where connections are shared, no dial waits for one.
func TestPoolKnowsTheProtocol(t *testing.T) {
	for name, http2 := range map[string]bool{"HTTP/1.1": false, "HTTP/2": true} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				_, _ = io.WriteString(w, `{"status":"SUCCESS"}`)
			}))
			server.EnableHTTP2 = http2
			server.StartTLS()
			defer server.Close()
			client, err := NewClient("key", WithBaseURL(server.URL+"/base/v1"))
			if err != nil {
				t.Fatal(err)
			}
			defer client.CloseIdleConnections()
			roots := x509.NewCertPool()
			roots.AddCert(server.Certificate())
			core := client.core()
			core.transport.(*http.Transport).TLSClientConfig = &tls.Config{RootCAs: roots}

			if _, err := client.Profiles.Delete(t.Context(), "user-1"); err != nil {
				t.Fatal(err)
			}
			if core.limit.Shared == nil || core.limit.Shared() != http2 {
				t.Error("the pool does not know whether its connections are shared")
			}
		})
	}
}
