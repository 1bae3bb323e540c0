package main

import (
	"net"
	"net/http"
	"strings"
)

// guard protects a server on this machine from web pages that its user visits: it
// refuses what they send, but not a GET, which may be a link to the page. A server that
// listens on the loopback interface also refuses requests for another host, which is how a
// page of that host would read responses (DNS rebinding). The host in addr, the value of
// -addr, is always served.
func guard(next http.Handler, addr string, listensOn net.Addr) http.Handler {
	onlyLoopback := isLoopback(hostname(listensOn.String()))
	sameOrigin := http.NewCrossOriginProtection().Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := hostname(r.Host)
		if onlyLoopback && !isLoopback(host) && (host == "" || host != hostname(addr)) {
			http.Error(w, "this server answers to localhost, 127.0.0.1 and [::1] only: "+
				"start it with -addr to use another name", http.StatusForbidden)
			return
		}
		sameOrigin.ServeHTTP(w, r)
	})
}

// hostname returns a host, with or without a port, in the one form in which it can be
// compared: without the port, the brackets of an IPv6 address and the dot of a full
// name, in lower case.
func hostname(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	} else if name, ok := strings.CutPrefix(host, "["); ok && strings.HasSuffix(name, "]") {
		host = strings.TrimSuffix(name, "]")
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

// isLoopback reports whether a host is this machine by definition, whatever a name
// server says.
func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
