package main

import (
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestGuard(t *testing.T) {
	t.Parallel()
	const loopback, network = "127.0.0.1", "192.0.2.1"
	for _, test := range []struct {
		name         string
		listensOn    string
		method, host string
		header       http.Header
		want         int
	}{
		{"localhost", loopback, "GET", "localhost:8080", nil, 200},
		{"localhost in another form", "::1", "GET", "LOCALHOST.:8080", nil, 200},
		{"an IPv4 address", loopback, "GET", "127.0.0.1:8080", nil, 200},
		{"an IPv6 address", loopback, "GET", "[::1]:8080", nil, 200},
		{"no port", loopback, "GET", "[::1]", nil, 200},
		{"the host of -addr", loopback, "GET", "Fake.Internal:8080", nil, 200},
		{"a name that leads here", loopback, "GET", "attacker.example:8080", nil, 403},
		{
			"a name that begins like an address", loopback,
			"GET", "127.0.0.1.attacker.example", nil, 403,
		},
		{"half of an IPv6 address", loopback, "GET", "[127.0.0.1x", nil, 403},
		{"a subdomain", loopback, "GET", "localhost.attacker.example", nil, 403},
		{"another address", loopback, "GET", "192.0.2.1:8080", nil, 403},
		{"no host", loopback, "GET", "", nil, 403},
		{"a network interface", network, "GET", "another.internal:8080", nil, 200},
		{"all interfaces", "::", "GET", "another.internal:8080", nil, 200},
		{"a program", loopback, "POST", "localhost:8080", nil, 200},
		{
			"the page itself", loopback, "POST", "localhost:8080",
			http.Header{"Origin": {"http://localhost:8080"}}, 200,
		},
		{
			"a page of another port", loopback, "POST", "localhost:8080",
			http.Header{"Origin": {"http://localhost:9090"}}, 403,
		},
		{
			"a page of another site", network, "DELETE", "another.internal:8080",
			http.Header{"Sec-Fetch-Site": {"cross-site"}}, 403,
		},
		{
			"a link on a page of another site", loopback, "GET", "localhost:8080",
			http.Header{"Sec-Fetch-Site": {"cross-site"}}, 200,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			request := httptest.NewRequest(test.method, "/", nil)
			request.Host = test.host
			for name, values := range test.header {
				request.Header[name] = values
			}
			response := httptest.NewRecorder()
			ok := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
			listensOn := &net.TCPAddr{IP: net.ParseIP(test.listensOn), Port: 8080}
			guard(ok, "fake.internal:8080", listensOn).ServeHTTP(response, request)
			if response.Code != test.want {
				t.Errorf("the status is %d, want %d", response.Code, test.want)
			}
		})
	}
}

// Without a host in -addr, a request without one is not for it.
func TestGuardWithoutAHostInAddr(t *testing.T) {
	t.Parallel()
	request := httptest.NewRequest(http.MethodGet, "/", nil)
	request.Host = ""
	response := httptest.NewRecorder()
	listensOn := &net.TCPAddr{IP: net.ParseIP("::1"), Port: 8080}
	guard(http.NotFoundHandler(), ":8080", listensOn).ServeHTTP(response, request)
	if response.Code != http.StatusForbidden {
		t.Errorf("the status is %d, want 403", response.Code)
	}
}
