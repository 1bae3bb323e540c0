package couriertest

import (
	"crypto/tls"
	"net"
	"net/http"
	"strconv"
)

// answer is what a request gets.
type answer struct {
	status int
	header http.Header
	body   []byte
	lost   bool // the connection is closed in place of the answer
	cutOff bool // the connection is closed after half of the body
}

// succeed is the answer of an operation that has nothing to tell.
func succeed(status int) answer {
	if status == http.StatusNoContent {
		return answer{status: status}
	}
	return answerJSON(status, map[string]string{"status": "SUCCESS"})
}

// refuse is Courier's answer of an error.
func refuse(status int, message string) answer {
	return answerJSON(status, map[string]string{"message": message, "type": errorType(status)})
}

func refusal(status int, message string) func() answer {
	return func() answer { return refuse(status, message) }
}

// errorType is the type that the API reference gives to errors of a status.
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

func answerJSON(status int, value any) answer {
	body, err := encode(value)
	if err != nil {
		return answer{status: http.StatusInternalServerError, body: []byte(`{"message":"couriertest: an answer that is no JSON","type":"api_error"}`)}
	}
	return answer{status: status, body: body}
}

func (a answer) write(w http.ResponseWriter, number int) {
	if a.lost {
		reset(w)
		return
	}
	header := w.Header()
	header.Set("X-Request-Id", "request-"+strconv.Itoa(number))
	if len(a.body) > 0 {
		header.Set("Content-Type", "application/json")
	}
	for name, values := range a.header {
		header[name] = values
	}
	body := a.body
	if a.cutOff {
		header.Set("Content-Length", strconv.Itoa(len(body)))
		body = body[:len(body)/2]
	}
	w.WriteHeader(a.status)
	// A client that has gone away is no concern of this side.
	_, _ = w.Write(body)
	if a.cutOff {
		_ = http.NewResponseController(w).Flush()
		// The one way to make net/http leave an answer unfinished.
		panic(http.ErrAbortHandler)
	}
}

// reset closes the connection without an answer.
func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		// HTTP/2 has no connection to give away; this resets the stream.
		panic(http.ErrAbortHandler)
	}
	if t, ok := conn.(*tls.Conn); ok {
		// Below TLS, which would say goodbye first.
		conn = t.NetConn()
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		// Closing then sends RST instead of FIN.
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}
