package couriertest

import (
	"crypto/tls"
	"maps"
	"net"
	"net/http"
	"strconv"
)

// response is what a request gets.
type response struct {
	status int
	header http.Header
	body   []byte
	lost   bool    // the connection is closed instead
	cutOff bool    // the connection is closed after half of the body
	change *change // of the user's profile, nil if the endpoint did not look at it
}

// successResponse is the response of an operation that returns no data.
func successResponse(status int) response {
	if status == http.StatusNoContent {
		return response{status: status}
	}
	return jsonResponse(status, struct {
		Status string `json:"status"`
	}{"SUCCESS"})
}

func errorResponse(status int, message string) response {
	return jsonResponse(status, struct {
		Message string `json:"message"`
		Type    string `json:"type"`
	}{message, errorType(status)})
}

// errorType is the type that the API reference gives errors of a status.
func errorType(status int) string {
	switch {
	case status == http.StatusUnauthorized:
		return "authentication_error"
	case status == http.StatusForbidden:
		return "authorization_error"
	case status == http.StatusTooManyRequests:
		return "rate_limit_error"
	case status >= 500:
		return "api_error"
	default:
		return "invalid_request_error"
	}
}

func jsonResponse(status int, body any) response {
	return response{status: status, body: format(body)}
}

// headers returns the headers of the response to the numbered request.
func (r response) headers(number int) http.Header {
	header := http.Header{"X-Request-Id": {"request-" + strconv.Itoa(number)}}
	if len(r.body) > 0 {
		header.Set("Content-Type", "application/json")
	}
	maps.Copy(header, r.header)
	return header
}

func (r response) write(w http.ResponseWriter, number int) {
	if r.lost {
		reset(w)
		return
	}
	maps.Copy(w.Header(), r.headers(number))
	body := r.body
	if r.cutOff {
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		body = body[:len(body)/2]
	}
	w.WriteHeader(r.status)
	// Nothing can be done about a client that has gone away.
	_, _ = w.Write(body)
	if r.cutOff {
		_ = http.NewResponseController(w).Flush()
		// The only way to make net/http leave a response unfinished.
		panic(http.ErrAbortHandler)
	}
}

// reset closes the connection without a response.
func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		// An HTTP/2 connection cannot be hijacked; this resets the stream.
		panic(http.ErrAbortHandler)
	}
	if t, ok := conn.(*tls.Conn); ok {
		// Closing the TLS connection would send an alert first.
		conn = t.NetConn()
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		// Closing then sends RST instead of FIN.
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}
