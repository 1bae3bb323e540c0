package main

import (
	"net"
	"net/http"
)

// guard protects a server on this machine from web pages that its user visits: it
// refuses what they send, and with onlyLoopback also requests for another host, which
// is how a page of that host would read responses (DNS rebinding).
func guard(next http.Handler, onlyLoopback bool) http.Handler {
	sameOrigin := http.NewCrossOriginProtection().Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if onlyLoopback && !isLoopback(r.Host) {
			http.Error(w, "this server answers to localhost, 127.0.0.1 and [::1] only: "+
				"start it with -addr to use another name", http.StatusForbidden)
			return
		}
		sameOrigin.ServeHTTP(w, r)
	})
}

// isLoopback reports whether a host, with or without a port, is this machine by
// definition, whatever a name server says.
func isLoopback(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	if host == "localhost" {
		return true
	}
	if len(host) > 2 && host[0] == '[' {
		host = host[1 : len(host)-1]
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
