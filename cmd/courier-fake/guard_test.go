package main

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestGuard(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name         string
		onlyLoopback bool
		method, host string
		header       http.Header
		want         int
	}{
		{"localhost", true, "GET", "localhost:8080", nil, 200},
		{"an IPv4 address", true, "GET", "127.0.0.1:8080", nil, 200},
		{"an IPv6 address", true, "GET", "[::1]:8080", nil, 200},
		{"no port", true, "GET", "[::1]", nil, 200},
		{"a name that leads here", true, "GET", "attacker.example:8080", nil, 403},
		{"a name that begins like an address", true, "GET", "127.0.0.1.attacker.example", nil, 403},
		{"a subdomain", true, "GET", "localhost.attacker.example", nil, 403},
		{"another address", true, "GET", "192.0.2.1:8080", nil, 403},
		{"no host", true, "GET", "", nil, 403},
		{"a network interface", false, "GET", "fake.internal:8080", nil, 200},
		{"a program", true, "POST", "localhost:8080", nil, 200},
		{
			"the page itself", true, "POST", "localhost:8080",
			http.Header{"Origin": {"http://localhost:8080"}}, 200,
		},
		{
			"a page of another port", true, "POST", "localhost:8080",
			http.Header{"Origin": {"http://localhost:9090"}}, 403,
		},
		{
			"a page of another site", false, "DELETE", "fake.internal:8080",
			http.Header{"Sec-Fetch-Site": {"cross-site"}}, 403,
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
			guard(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}),
				test.onlyLoopback).ServeHTTP(response, request)
			if response.Code != test.want {
				t.Errorf("the status is %d, want %d", response.Code, test.want)
			}
		})
	}
}
