package chaos

import (
	"fmt"
	"time"
)

// Attempts and waits are a fiftieth of the default: an attempt has 0.6 s instead of
// 30 s, and the first wait is 10 to 20 ms instead of 0.5 to 1 s. Pings and their
// timeout are 0.3 s.

// fault is a way for the network to fail.
type fault struct {
	name string

	// routes are the routes to the server. Each gets its share of the connections;
	// the rest have no toxic.
	routes []route

	// Alternately, for some attempts each: all is well, and then all connections,
	// including open ones, have the toxic, or the network is down.
	toxicInTurn string
	downInTurn  bool

	breaks   bool          // attempts end without a response
	slows    time.Duration // the least time that a call takes
	serverOK bool          // the server does not fail as well
	keyed    bool          // also run with merges that have a key
}

// route is a route through a proxy.
type route struct {
	share  float64
	toxics []string
}

// toxic is a toxic as toxiproxy's API takes it.
func toxic(kind, stream, attributes string) string {
	return fmt.Sprintf(`{"type":%q,"stream":%q,"attributes":{%s}}`, kind, stream, attributes)
}

// bothWays is a toxic on what is sent and another on what is received.
func bothWays(kind, attributes string) []string {
	return []string{toxic(kind, "upstream", attributes), toxic(kind, "downstream", attributes)}
}

// faults returns all faults, for a number of calls in flight.
func faults(http2 bool, inFlight int) []fault {
	// Bytes until a connection is cut: enough for about five responses or requests.
	// Over HTTP/2 the calls share one connection, and its handshake comes first.
	responses, requests := 700, 6000
	rate, piece := 10, 128 // kB/s, bytes
	if http2 {
		responses, requests = 3200+100*inFlight, 8000+1000*inFlight
		rate, piece = rate*inFlight, max(piece, 16*inFlight)
	}
	latency := bothWays("latency", `"latency":20,"jitter":15`)
	late := []string{toxic("latency", "upstream", `"latency":400,"jitter":400`)}
	bandwidth := bothWays("bandwidth", fmt.Sprintf(`"rate":%d`, rate))
	slices := bothWays("slicer", fmt.Sprintf(`"average_size":%d,"size_variation":%d,"delay":200`, piece, piece/2))
	slowClose := bothWays("slow_close", `"delay":100`)
	reset := []string{toxic("reset_peer", "downstream", `"timeout":5`)}
	silent := []string{toxic("timeout", "downstream", `"timeout":0`)}
	cutResponse := []string{toxic("limit_data", "downstream", fmt.Sprintf(`"bytes":%d`, responses))}
	cutRequest := []string{toxic("limit_data", "upstream", fmt.Sprintf(`"bytes":%d`, requests))}

	var all []string
	for _, toxics := range [][]string{bothWays("latency", `"latency":5,"jitter":5`), slices, slowClose} {
		all = append(all, toxics...)
	}
	return []fault{
		{name: "none", serverOK: true},
		{name: "server only"},
		{name: "latency 20 ± 15 ms", routes: []route{{1, latency}}, slows: 10 * time.Millisecond},
		{name: "latency 0.4 ± 0.4 s on some", routes: []route{{0.3, late}}, keyed: true},
		{name: "bandwidth 10 kB/s per call", routes: []route{{1, bandwidth}}, slows: 10 * time.Millisecond},
		{name: "sliced packets", routes: []route{{1, slices}}, slows: time.Millisecond},
		{name: "slow close", routes: []route{{1, slowClose}}},
		{name: "reset", routes: []route{{0.3, reset}}, breaks: true},
		{name: "silent from the start", routes: []route{{0.2, silent}}, breaks: true},
		{name: "goes silent in use", toxicInTurn: silent[0], breaks: true, keyed: true},
		{name: "cut in the response", routes: []route{{1, cutResponse}}, breaks: true},
		{name: "cut in the request", routes: []route{{1, cutRequest}}, breaks: true},
		{name: "down, then up", downInTurn: true, breaks: true},
		{name: "all mixed", downInTurn: true, breaks: true, keyed: true, routes: []route{
			{0.5, all}, {0.1, late}, {0.05, bandwidth}, {0.05, reset}, {0.05, silent}, {0.05, cutResponse}, {0.05, cutRequest},
		}},
	}
}
