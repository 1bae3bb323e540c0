package chaos

import (
	"fmt"
	"time"

	"github.com/courier-profiles/courier-go/couriertest"
)

const (
	up   = "upstream"
	down = "downstream"

	attemptTimeout = 3 * time.Second
)

// fault is what happens to the first request of a call. Later requests meet no fault.
type fault struct {
	name   string
	server couriertest.Fault // what the server does to the first request
	toxics []string          // what a proxy does to the first connection

	refused   bool // the first connection is refused
	handshake bool // the toxics hit the TLS handshake, not the request

	err     string        // type of the first attempt's error, or "" for a success
	retried retried       // which calls are retried
	slows   time.Duration // how long the first attempt takes at least
}

// retried says which calls the client retries.
type retried struct{ idempotent, withKey, patch bool }

var (
	byAll        = retried{idempotent: true, withKey: true, patch: true}
	byIdempotent = retried{idempotent: true, withKey: true}
	// byIdempotentWithoutKey is for a 500, which Courier would replay for the key.
	byIdempotentWithoutKey = retried{idempotent: true}
)

// faults returns the retry table of the package page, with a row for each fault.
func faults() []fault {
	const (
		conflict   = "*courier.ConflictError"
		connection = "*courier.ConnectionError"
		rateLimit  = "*courier.RateLimitError"
		server     = "*courier.ServerError"
		other      = "*courier.APIError"
		unexpected = "*courier.UnexpectedResponseError"
		late       = 2 * attemptTimeout
	)
	status := func(code int) couriertest.Fault { return couriertest.Fault{Status: code} }
	captive := couriertest.Fault{Status: 200, Body: []byte("<html>Log in</html>")}
	return []fault{
		{name: "400", server: status(400), err: "*courier.InvalidRequestError"},
		{name: "401", server: status(401), err: "*courier.AuthenticationError"},
		{name: "403", server: status(403), err: "*courier.PermissionError"},
		{name: "404", server: status(404), err: "*courier.NotFoundError"},
		{name: "408", server: status(408), err: other, retried: byIdempotent},
		{name: "409", server: status(409), err: conflict, retried: byIdempotent},
		{name: "413", server: status(413), err: "*courier.PayloadTooLargeError"},
		{name: "429", server: status(429), err: rateLimit, retried: byAll},
		{name: "500", server: status(500), err: server, retried: byIdempotentWithoutKey},
		{name: "501", server: status(501), err: server},
		{name: "502", server: status(502), err: server, retried: byIdempotent},
		{name: "503", server: status(503), err: server, retried: byAll},
		{name: "504", server: status(504), err: server, retried: byIdempotent},
		{name: "redirect", server: status(302), err: other},
		{name: "captive portal", server: captive, err: unexpected},

		{name: "reset", server: couriertest.Fault{Reset: true}, err: connection,
			retried: byIdempotent},
		{name: "too late", server: couriertest.Fault{Delay: late}, err: connection,
			retried: byIdempotent},
		{name: "success cut off", server: couriertest.Fault{CutOff: true}, err: connection,
			retried: byIdempotent},
		{name: "error cut off", server: couriertest.Fault{Status: 400, CutOff: true},
			err: "*courier.InvalidRequestError"},

		{name: "refused", refused: true, err: connection, retried: byAll},
		{name: "handshake cut off", toxics: toxic("limit_data", down, `"bytes":100`),
			handshake: true, err: connection, retried: byAll},
		{name: "request cut off", toxics: toxic("limit_data", up, `"bytes":10`),
			err: connection, retried: byIdempotent},
		{name: "response cut off", toxics: toxic("limit_data", down, `"bytes":10`),
			err: connection, retried: byIdempotent},
		{name: "connection reset", toxics: toxic("reset_peer", down, `"timeout":0`),
			err: connection, retried: byIdempotent},
		{name: "silent", toxics: toxic("timeout", down, `"timeout":0`),
			err: connection, retried: byIdempotent},

		// What slows the first attempt down, but lets it succeed.
		{name: "latency", toxics: bothWays("latency", `"latency":20,"jitter":15`),
			slows: 10 * time.Millisecond},
		{name: "bandwidth", toxics: bothWays("bandwidth", `"rate":5`),
			slows: 5 * time.Millisecond},
		{name: "slices", toxics: bothWays("slicer",
			`"average_size":64,"size_variation":32,"delay":200`)},
		{name: "slow close", toxics: bothWays("slow_close", `"delay":100`)},
	}
}

// toxic returns one toxic, in the JSON of toxiproxy's API.
func toxic(kind, stream, attributes string) []string {
	return []string{fmt.Sprintf(
		`{"type":%q,"stream":%q,"attributes":{%s}}`, kind, stream, attributes)}
}

// bothWays returns a toxic for what is sent and one for what is received.
func bothWays(kind, attributes string) []string {
	return append(toxic(kind, up, attributes), toxic(kind, down, attributes)...)
}
