package courier_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
	"unicode"
	"unicode/utf8"

	courier "github.com/courier-profiles/courier-go"
)

// has reports whether errors.As finds a T in err.
func has[T error](err error) bool {
	var target T
	return errors.As(err, &target)
}

// preciseErrors is the table of DESIGN.md: what each status is.
var preciseErrors = []struct {
	status int
	name   string // of the type
	is     func(error) bool
}{
	{400, "*courier.InvalidRequestError", has[*courier.InvalidRequestError]},
	{401, "*courier.AuthenticationError", has[*courier.AuthenticationError]},
	{403, "*courier.PermissionError", has[*courier.PermissionError]},
	{404, "*courier.NotFoundError", has[*courier.NotFoundError]},
	{409, "*courier.ConflictError", has[*courier.ConflictError]},
	{413, "*courier.PayloadTooLargeError", has[*courier.PayloadTooLargeError]},
	{429, "*courier.RateLimitError", has[*courier.RateLimitError]},
	{500, "*courier.ServerError", has[*courier.ServerError]},
	{501, "*courier.ServerError", has[*courier.ServerError]},
	{502, "*courier.ServerError", has[*courier.ServerError]},
	{503, "*courier.ServerError", has[*courier.ServerError]},
	{504, "*courier.ServerError", has[*courier.ServerError]},
	{599, "*courier.ServerError", has[*courier.ServerError]},
	// All others.
	{300, "*courier.APIError", has[*courier.APIError]},
	{301, "*courier.APIError", has[*courier.APIError]},
	{302, "*courier.APIError", has[*courier.APIError]},
	{303, "*courier.APIError", has[*courier.APIError]},
	{304, "*courier.APIError", has[*courier.APIError]},
	{307, "*courier.APIError", has[*courier.APIError]},
	{308, "*courier.APIError", has[*courier.APIError]},
	{402, "*courier.APIError", has[*courier.APIError]},
	{405, "*courier.APIError", has[*courier.APIError]},
	{408, "*courier.APIError", has[*courier.APIError]},
	{418, "*courier.APIError", has[*courier.APIError]},
	{422, "*courier.APIError", has[*courier.APIError]},
	{499, "*courier.APIError", has[*courier.APIError]},
	{600, "*courier.APIError", has[*courier.APIError]},
	{999, "*courier.APIError", has[*courier.APIError]},
}

// wantAPIError returns the APIError in err, which has to be what the table says
// for status.
func wantAPIError(t *testing.T, err error, status int) *courier.APIError {
	t.Helper()
	var common *courier.APIError
	if !errors.As(err, &common) {
		t.Fatalf("status %d: error is %T (%v), with no *APIError in it", status, err, err)
	}
	for _, row := range preciseErrors {
		if got := row.is(err); row.status == status && (!got || fmt.Sprintf("%T", err) != row.name) {
			t.Errorf("status %d is a %T, want %s", status, err, row.name)
		} else if row.status < 500 && row.status != status && got && row.name != "*courier.APIError" {
			t.Errorf("status %d is a %s too", status, row.name)
		}
	}
	if (status/100 == 5) != has[*courier.ServerError](err) {
		t.Errorf("status %d is a *ServerError: %t", status, status/100 != 5)
	}
	if has[*courier.ConnectionError](err) || has[*courier.UnexpectedResponseError](err) {
		t.Errorf("status %d is another kind of error too", status)
	}
	if common.StatusCode != status || common.Operation != "merge profile" || common.Attempts != 1 {
		t.Errorf("status %d: error has %d, %q, %d attempts", status, common.StatusCode, common.Operation, common.Attempts)
	}
	if text := err.Error(); text != common.Error() || !strings.HasPrefix(text, fmt.Sprintf("courier: merge profile: %d", status)) {
		t.Errorf("status %d: error reads %q", status, text)
	}
	wantOneLine(t, err.Error())
	return common
}

// wantOneLine fails unless text is one short line that does a terminal no harm.
func wantOneLine(t *testing.T, text string) {
	t.Helper()
	for _, c := range text {
		if unicode.IsControl(c) || c == '\u2028' || c == '\u2029' || unicode.Is(unicode.Cf, c) {
			t.Errorf("%q holds %U", text, c)
		}
	}
	if n := utf8.RuneCountInString(text); n > 700 || !utf8.ValidString(text) {
		t.Errorf("text of %d characters, valid UTF-8: %t", n, utf8.ValidString(text))
	}
}

const courierError = `{"message":"Error Message","type":"invalid_request_error"}`

// errorBodies are the bodies that an error may come with, and how each is sent.
var errorBodies = []struct {
	name          string
	send          func(w http.ResponseWriter, status int)
	kind, message string // message is a pattern
	wantBody      func(body []byte) bool
	big           bool // one status of each sort is enough
}{
	{"Courier's", plainBody(courierError), "invalid_request_error", "^Error Message$", bodyIs(courierError), false},
	{"without type", plainBody(`{"message":"Forbidden"}`), "", "^Forbidden$", bodyIs(`{"message":"Forbidden"}`), false},
	{"with more", plainBody(`{"a":[1,{"message":"no"}],"message":"Error Message","type":"t"} `), "t", "^Error Message$", bodyIs(`{"a":[1,{"message":"no"}],"message":"Error Message","type":"t"} `), false},
	{"empty", plainBody(""), "", "^$", bodyIs(""), false},
	{"HTML", plainBody("<html>\r\n<head><title>Not today</title></head>\r\n</html>\r\n"), "", "^<html> <head><title>Not today</title></head> </html>$", nil, false},
	{"wrong types", plainBody(`{"message":5,"type":[]}`), "", `^\{"message":5,"type":\[\]\}$`, nil, false},
	{"null members", plainBody(`{"message":null,"type":null}`), "", `^\{"message":null,"type":null\}$`, nil, false},
	{"null", plainBody("null"), "", "^null$", nil, false},
	{"array", plainBody("[" + courierError + "]"), "", `^\[\{"message":"Error Message"`, nil, false},
	{"string", plainBody(`"Error Message"`), "", `^"Error Message"$`, nil, false},
	{"number", plainBody("5"), "", "^5$", nil, false},
	{"unfinished JSON", plainBody(`{"message":"Error Mess`), "", `^\{"message":"Error Mess$`, nil, false},
	{"nested too deep", plainBody(strings.Repeat("[", 500_000)), "", `^(\[{200})?…$`, nil, true},
	{"binary", plainBody("\x00\x01\x1b[31m red \x1b[0m\xff\xfe\u2028\u202e!\x7f"), "", "^[^\x00-\x1f\x7f]*red.*!$", nil, false},
	{"only control characters", plainBody("\x00\r\n\x1b\u2028\u200b"), "", "^$", nil, false},
	{"one long line", plainBody(strings.Repeat("é", 10_000)), "", "^(é{200})?…$", nil, false},
	{"cut off", cutOff(`<p>Sorry`), "", "^<p>Sorry$", bodyIs("<p>Sorry"), false},
	{"cut off before its first byte", cutOff(""), "", "^$", bodyIs(""), false},
	{"Courier's, cut off", cutOff(courierError), "invalid_request_error", "^Error Message$", bodyIs(courierError), false},
	{"gzip", gzipped(courierError), "invalid_request_error", "^Error Message$", bodyIs(courierError), false},
	{"broken gzip", brokenGzip, "", "^$", nil, false},
	{"gzip of 50 MB", gzipped(strings.Repeat("a", 50<<20)), "", "^(a{200})?…$", bodyHas(1 << 20), true},
	{"50 MB", huge("", "a"), "", "^(a{200})?…$", bodyHas(1 << 20), true},
	{"50 MB of Courier's", huge(`{"message":"Error Message","type":"t","pad":"`, "a"), "t", "^Error Message$", bodyHas(1 << 20), true},
	{"exactly 1 MiB", plainBody(strings.Repeat(" ", 1<<20-len(courierError)) + courierError), "invalid_request_error", "^Error Message$", bodyHas(1 << 20), true},
}

func plainBody(body string) func(http.ResponseWriter, int) {
	return func(w http.ResponseWriter, status int) {
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
}

func cutOff(body string) func(http.ResponseWriter, int) {
	return func(w http.ResponseWriter, status int) {
		w.Header().Set("Content-Length", "1000")
		w.WriteHeader(status)
		io.WriteString(w, body)
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
}

func gzipped(body string) func(http.ResponseWriter, int) {
	var packed bytes.Buffer
	packer, _ := gzip.NewWriterLevel(&packed, gzip.BestSpeed)
	io.WriteString(packer, body)
	packer.Close()
	return func(w http.ResponseWriter, status int) {
		w.Header().Set("Content-Encoding", "gzip")
		w.WriteHeader(status)
		w.Write(packed.Bytes())
	}
}

func brokenGzip(w http.ResponseWriter, status int) {
	w.Header().Set("Content-Encoding", "gzip")
	w.WriteHeader(status)
	io.WriteString(w, courierError)
}

func huge(start, fill string) func(http.ResponseWriter, int) {
	chunk := []byte(strings.Repeat(fill, 1<<20))
	return func(w http.ResponseWriter, status int) {
		w.WriteHeader(status)
		io.WriteString(w, start)
		for range 50 {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	}
}

func bodyIs(want string) func([]byte) bool {
	return func(body []byte) bool { return string(body) == want }
}
func bodyHas(length int) func([]byte) bool {
	return func(body []byte) bool { return len(body) == length }
}

func TestErrorForEveryStatusAndBody(t *testing.T) {
	for _, body := range errorBodies {
		t.Run(body.name, func(t *testing.T) {
			var status int
			client := coreServe(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("X-Request-Id", "req-1")
				body.send(w, status)
			})
			for _, row := range preciseErrors {
				status = row.status
				switch {
				case status == http.StatusNotModified && body.name != "empty": // it has no body
					continue
				case body.big && status != 400 && status != 413 && status != 418 && status != 502:
					continue
				}
				result, err := client.Profiles.Merge(t.Context(), "user-1", twoFields())
				if err == nil || result != nil {
					t.Errorf("status %d is a success: %v", status, result)
					continue
				}
				answer := wantAPIError(t, err, status)
				if answer.Type != body.kind || !regexp.MustCompile(body.message).MatchString(answer.Message) {
					t.Errorf("status %d: type %q, message %q, want %q and %s", status, answer.Type, answer.Message, body.kind, body.message)
				}
				if body.wantBody != nil && !body.wantBody(answer.Body) {
					t.Errorf("status %d: body has %d bytes: %.60q", status, len(answer.Body), answer.Body)
				}
				if answer.RequestID != "req-1" || answer.Header.Get("X-Request-Id") != "req-1" {
					t.Errorf("status %d: request id %q, header %v", status, answer.RequestID, answer.Header)
				}
			}
		})
	}
}

func TestErrorText(t *testing.T) {
	for _, test := range []struct {
		status int
		body   string
		want   string
	}{
		{400, courierError, "courier: merge profile: 400 invalid_request_error: Error Message"},
		{401, `{"type":"authentication_error","message":"Unauthorized"}`, "courier: merge profile: 401 authentication_error: Unauthorized"},
		{400, "", "courier: merge profile: 400 Bad Request"},
		{400, "{}", "courier: merge profile: 400 Bad Request: {}"},
		{403, `{"message":"Forbidden"}`, "courier: merge profile: 403 Forbidden: Forbidden"},
		{429, `{"message":"Slow down","type":"rate_limit_error"}`, "courier: merge profile: 429 rate_limit_error: Slow down"},
		{502, "<html>\r\n<body>\r\n<h1>502  Bad\tGateway</h1>", "courier: merge profile: 502 Bad Gateway: <html> <body> <h1>502 Bad Gateway</h1>"},
		{599, "", "courier: merge profile: 599"},
		{999, "Request denied", "courier: merge profile: 999: Request denied"},
		{400, `{"message":"line one\nline\u0000 two\u001b[0m","type":"a\nb"}`, "courier: merge profile: 400 Bad Request: line one line two [0m"},
		{400, `{"type":"invalid_request_error"}`, `courier: merge profile: 400 invalid_request_error: {"type":"invalid_request_error"}`},
		{400, `{"message":"` + strings.Repeat("m", 600) + `","type":"` + strings.Repeat("t", 600) + `"}`,
			"courier: merge profile: 400 Bad Request: " + strings.Repeat("m", 500) + "…"},
	} {
		client := coreServe(t, func(w http.ResponseWriter, _ *http.Request) { plainBody(test.body)(w, test.status) })
		_, err := client.Profiles.Merge(t.Context(), "user-1", twoFields())
		if err == nil || err.Error() != test.want {
			t.Errorf("%d %.60s\n got %v\nwant %s", test.status, test.body, err, test.want)
		}
		// However it is printed.
		for _, verb := range []string{"%v", "%+v", "%s"} {
			if got := fmt.Sprintf(verb, err); got != test.want {
				t.Errorf("%s prints %s", verb, got)
			}
		}
	}
}

// What an answer says goes into a log line too, and has to be one short line
// there as well.
func TestErrorInALogIsBounded(t *testing.T) {
	body := `{"message":"` + strings.Repeat("m", 900_000) + `","type":"` + strings.Repeat("t", 50_000) + `"}`
	var out bytes.Buffer
	client := coreServe(t, func(w http.ResponseWriter, _ *http.Request) { plainBody(body)(w, 400) },
		courier.WithLogger(slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))))
	_, err := client.Profiles.Merge(t.Context(), "user-1", twoFields())
	answer := wantAPIError(t, err, 400)
	if out.Len() > 4000 {
		t.Errorf("the log line has %d bytes", out.Len())
	}
	if text, _ := json.Marshal(answer); len(text) > 4000 {
		t.Errorf("the JSON has %d bytes", len(text))
	}
}

func TestErrorRequestID(t *testing.T) {
	for _, test := range []struct {
		name   string
		header []string
		want   string
	}{
		{"none", nil, ""},
		{"Courier's", []string{"x-request-id", "a"}, "a"},
		{"Amazon's", []string{"X-Amzn-RequestId", "b"}, "b"},
		{"both", []string{"X-Amzn-RequestId", "b", "X-Request-Id", "a"}, "a"},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, status := range []int{200, 400, 503, 302} {
				client := coreServe(t, func(w http.ResponseWriter, _ *http.Request) {
					for i := 0; i < len(test.header); i += 2 {
						w.Header().Set(test.header[i], test.header[i+1])
					}
					w.WriteHeader(status)
				})
				result, err := client.Profiles.Merge(t.Context(), "user-1", twoFields())
				var got string
				if status == 200 {
					got = result.RequestID
				} else {
					got = wantAPIError(t, err, status).RequestID
				}
				if got != test.want {
					t.Errorf("status %d: request id is %q, want %q", status, got, test.want)
				}
			}
		})
	}
}

func TestErrorRetryAfter(t *testing.T) {
	for header, want := range map[string]time.Duration{
		"": 0, "7": 7 * time.Second, "0": 0, "1.5": 1500 * time.Millisecond, "soon": 0, "-5": 0, "Thu, 01 Jan 1970 00:00:00 GMT": 0, "86400": 24 * time.Hour,
		"99999999999999999999": 1<<63 - 1,
	} {
		client := coreServe(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", header)
			w.WriteHeader(429)
		}, courier.WithMaxRetries(3), courier.WithMaxRetryAfter(0), courier.WithRetryWait(0, 0))
		_, err := client.Profiles.Merge(t.Context(), "user-1", twoFields())
		var limited *courier.RateLimitError
		if !errors.As(err, &limited) || limited.RetryAfter != want {
			t.Errorf("Retry-After %q: %v, %+v, want %v", header, err, limited, want)
		}
	}
}

// A redirect is an answer, wherever it points.
func TestErrorRedirects(t *testing.T) {
	for _, location := range []string{"", "/elsewhere", "https://example.com/", "http://[::1:%zz", ":", "%zz", "\\\\", "//"} {
		for _, status := range []int{300, 301, 302, 303, 304, 307, 308} {
			var requests int
			client := coreServe(t, func(w http.ResponseWriter, _ *http.Request) {
				requests++
				if location != "" {
					w.Header().Set("Location", location)
				}
				w.WriteHeader(status)
			}, courier.WithMaxRetries(3))
			_, err := client.Profiles.Merge(t.Context(), "user-1", twoFields())
			if answer := wantAPIError(t, err, status); answer.Header.Get("Location") != location || requests != 1 {
				t.Errorf("%d to %q: %d requests, header %v", status, location, requests, answer.Header)
			}
		}
	}
}

// rawServer answers every connection's first request with text, and closes the
// connection only at the end of the test if it is to stay.
func rawServer(t *testing.T, text string, stay bool) (baseURL string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { close(done); listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				if req, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
					io.Copy(io.Discard, req.Body)
				}
				io.WriteString(conn, text)
				if stay {
					<-done
				}
			}()
		}
	}()
	return "http://" + listener.Addr().String() + "/base/v1"
}

// tlsServer is a server whose certificate nobody trusts.
func tlsServer(t *testing.T) *httptest.Server {
	t.Helper()
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	server.StartTLS()
	t.Cleanup(server.Close)
	return server
}

// Nobody asked for another protocol. net/http hands out the connection itself
// as the body of a 101, which no timeout ends.
func TestErrorSwitchingProtocols(t *testing.T) {
	const status = "HTTP/1.1 101 Switching Protocols\r\n"
	for name, stay := range map[string]bool{"closed": false, "open": true} {
		for _, header := range []string{"", "Upgrade: x\r\nConnection: Upgrade\r\n"} {
			t.Run(fmt.Sprintf("%s, upgrade %t", name, header != ""), func(t *testing.T) {
				client, err := courier.NewClient(coreKey, courier.WithBaseURL(rawServer(t, status+header+"\r\nhello", stay)),
					courier.WithMaxRetries(0), courier.WithTimeout(time.Second))
				if err != nil {
					t.Fatal(err)
				}
				failed := make(chan error, 1)
				go func() {
					_, err := client.Profiles.Merge(t.Context(), "user-1", twoFields())
					failed <- err
				}()
				select {
				case err := <-failed:
					wantAPIError(t, err, 101)
				case <-time.After(10 * time.Second):
					t.Error("a call with a timeout of 1 s hangs after 10 s")
				}
			})
		}
	}
}

func TestErrorInterimAnswersAreNone(t *testing.T) {
	base := rawServer(t, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", false)
	client, err := courier.NewClient(coreKey, courier.WithBaseURL(base), courier.WithMaxRetries(0))
	if err != nil {
		t.Fatal(err)
	}
	_, err = client.Profiles.Merge(t.Context(), "user-1", twoFields())
	wantAPIError(t, err, 404)
}

// The status of an answer whose body never ends is not lost.
func TestErrorStatusOfAnAnswerThatStalls(t *testing.T) {
	for _, status := range []int{302, 400, 404, 429, 500} {
		synctest.Test(t, func(t *testing.T) {
			client := coreClient(t, stallingTransport(status), courier.WithMaxRetries(0), courier.WithTimeout(time.Second))
			_, err := client.Profiles.Merge(t.Context(), "user-1", twoFields())
			if answer := wantAPIError(t, err, status); answer.Message != "Error Message" {
				t.Errorf("message is %q", answer.Message)
			}
		})
	}
}

// stallingTransport answers with a body that never comes to its end.
func stallingTransport(status int) coreTransport {
	return func(req *http.Request) (*http.Response, error) {
		resp := coreAnswer(status, "")
		resp.Body = io.NopCloser(io.MultiReader(strings.NewReader(courierError), coreHangingReader{req}))
		return resp, nil
	}
}

func TestErrorNoAnswer(t *testing.T) {
	closed := httptest.NewServer(nil)
	closed.Close()
	secure := tlsServer(t)
	for _, test := range []struct {
		name, base, want string
		is               error
	}{
		{"refused", closed.URL, "connection refused", syscall.ECONNREFUSED},
		{"unknown authority", secure.URL, "certificate signed by unknown authority", nil},
		{"not HTTP", rawServer(t, "SSH-2.0-OpenSSH_9.6\r\n", false), "", nil},
		{"closed at once", rawServer(t, "", false), "EOF", io.EOF},
		{"success cut off", rawServer(t, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"+success, false), "unexpected EOF", io.ErrUnexpectedEOF},
		{"too slow", rawServer(t, "", true), "deadline exceeded", context.DeadlineExceeded},
		{"http to a server of https", strings.Replace(secure.URL, "https:", "http:", 1), "", nil},
		{"https to a server of http", strings.Replace(rawServer(t, "HTTP/1.1 400 X\r\n\r\n", true), "http:", "https:", 1), "server gave HTTP response to HTTPS client", http.ErrSchemeMismatch},
	} {
		t.Run(test.name, func(t *testing.T) {
			timeout := time.Minute
			if test.name == "too slow" {
				timeout = 100 * time.Millisecond
			}
			client, err := courier.NewClient(coreKey, courier.WithBaseURL(test.base), courier.WithMaxRetries(0), courier.WithTimeout(timeout))
			if err != nil {
				t.Fatal(err)
			}
			_, err = client.Profiles.Merge(t.Context(), "user-1", twoFields())
			if test.name == "http to a server of https" {
				wantAPIError(t, err, 400)
				return
			}
			var failed *courier.ConnectionError
			if !errors.As(err, &failed) || failed.Operation != "merge profile" || failed.Attempts != 1 || failed.Err == nil || has[*courier.APIError](err) {
				t.Fatalf("error is %T (%v), want a *ConnectionError", err, err)
			}
			const prefix = "courier: merge profile: no answer in 1 attempt(s): "
			if text := err.Error(); !strings.HasPrefix(text, prefix) || !strings.Contains(text, test.want) {
				t.Errorf("error reads %q, want %q in it", text, test.want)
			}
			if test.is != nil && !errors.Is(err, test.is) {
				t.Errorf("error does not wrap %v", test.is)
			}
			wantOneLine(t, err.Error())
		})
	}
}

// Causes of net, tls, x509 and context are shown, of all others the type.
func TestErrorShowsHarmlessCauses(t *testing.T) {
	const secret = "https://secret.test/users/secret"
	refused := &net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 443}, Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	for _, test := range []struct {
		name string
		err  error
		want string
	}{
		{"refused", refused, "dial tcp 192.0.2.1:443: connect: connection refused"},
		{"reset", &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}, "read tcp: connection reset by peer"},
		{"host not found", &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: "api.test", IsNotFound: true}}, "dial tcp: lookup api.test: no such host"},
		{"DNS alone", &net.DNSError{Err: "server misbehaving", Name: "api.test"}, "lookup api.test: server misbehaving"},
		{"closed", net.ErrClosed, "use of closed network connection"},
		{"certificate", &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}, "tls: failed to verify certificate: x509: certificate signed by unknown authority"},
		{"host name", x509.HostnameError{Certificate: &x509.Certificate{DNSNames: []string{"a.test"}}, Host: "b.test"}, "x509: certificate is valid for a.test, not b.test"},
		{"alert", &net.OpError{Op: "remote error", Err: tls.AlertError(40)}, "remote error: tls: handshake failure"},
		{"record", tls.RecordHeaderError{Msg: "first record does not look like a TLS handshake"}, "tls: first record does not look like a TLS handshake"},
		{"timeout", context.DeadlineExceeded, "context deadline exceeded"},
		{"canceled", context.Canceled, "context canceled"},
		{"EOF", io.EOF, "EOF"},
		{"in a url.Error", &url.Error{Op: "Post", URL: secret, Err: refused}, "dial tcp 192.0.2.1:443: connect: connection refused"},
		{"wrapped", fmt.Errorf("posting to %s: %w", secret, context.DeadlineExceeded), "context deadline exceeded"},
		{"wrapped twice", &url.Error{Op: "Post", URL: secret, Err: fmt.Errorf("%s: %w", secret, io.ErrUnexpectedEOF)}, "unexpected EOF"},
		{"joined", errors.Join(errors.New(secret), refused), "*errors.errorString; dial tcp 192.0.2.1:443: connect: connection refused"},
		{"other", errors.New(secret), "*errors.errorString"},
		{"other in a url.Error", &url.Error{Op: "Post", URL: secret, Err: errors.New(secret)}, "*url.Error"},
		{"other in a net.OpError", &net.OpError{Op: "dial", Net: "tcp", Err: errors.New(secret)}, "*net.OpError"},
		{"other wrapped", fmt.Errorf("%s: %w", secret, errors.New(secret)), "*fmt.wrapError"},
		{"caller's own", coreTransportError(secret), "courier_test.coreTransportError"},
	} {
		t.Run(test.name, func(t *testing.T) {
			client := coreClient(t, func(*http.Request) (*http.Response, error) { return nil, test.err }, courier.WithMaxRetries(0))
			_, err := client.Profiles.Merge(t.Context(), "user-1", twoFields())
			var failed *courier.ConnectionError
			if !errors.As(err, &failed) || failed.Err != test.err {
				t.Fatalf("error is %T (%v), with the cause %v", err, err, failed)
			}
			if want := "courier: merge profile: no answer in 1 attempt(s): " + test.want; err.Error() != want {
				t.Errorf("\n got %s\nwant %s", err, want)
			}
		})
	}
}

type coreTransportError string

func (e coreTransportError) Error() string { return string(e) }

func TestErrorOfTheContext(t *testing.T) {
	hang := func(req *http.Request) (*http.Response, error) {
		<-req.Context().Done()
		return nil, errors.New("the transport's own words")
	}
	unavailable := func(*http.Request) (*http.Response, error) { return coreAnswer(503, courierError), nil }
	for _, test := range []struct {
		name      string
		transport coreTransport
		cancel    time.Duration // 0: before the call; negative: a deadline
		want      string        // the type
		attempts  int
		took      time.Duration
	}{
		{"canceled before", unavailable, 0, "*courier.ConnectionError", 0, 0},
		{"canceled in an attempt", hang, time.Second, "*courier.ConnectionError", 1, time.Second},
		{"deadline in an attempt", hang, -time.Second, "*courier.ConnectionError", 1, time.Second},
		{"canceled in a wait", unavailable, 5 * time.Second, "*courier.ServerError", 1, 5 * time.Second},
		{"canceled in the body of a success", stallingTransport(200), time.Second, "*courier.ConnectionError", 1, time.Second},
		{"deadline in the body of a success", stallingTransport(200), -time.Second, "*courier.ConnectionError", 1, time.Second},
		{"canceled in the body of an error to be retried", stallingTransport(503), time.Second, "*courier.ServerError", 1, time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client := coreClient(t, test.transport, courier.WithRetryWait(10*time.Second, 20*time.Second))
				ctx, cancel := context.WithCancel(t.Context())
				want := context.Canceled
				switch {
				case test.cancel == 0:
					cancel()
				case test.cancel > 0:
					time.AfterFunc(test.cancel, cancel)
				default:
					ctx, cancel = context.WithTimeout(t.Context(), -test.cancel)
					want = context.DeadlineExceeded
				}
				defer cancel()
				start := time.Now()
				_, err := client.Profiles.Merge(ctx, "user-1", twoFields())
				if got := fmt.Sprintf("%T", err); got != test.want || !errors.Is(err, want) {
					t.Errorf("error is %s (%v), want a %s that wraps %v", got, err, test.want, want)
				}
				if took := time.Since(start); took != test.took {
					t.Errorf("took %v, want %v", took, test.took)
				}
				var failed *courier.ConnectionError
				var answer *courier.APIError
				if errors.As(err, &failed) && failed.Attempts != test.attempts || errors.As(err, &answer) && (answer.Attempts != test.attempts || answer.StatusCode != 503) {
					t.Errorf("error is %+v", err)
				}
				if !strings.Contains(err.Error(), want.Error()) {
					t.Errorf("error %q does not say %q", err, want)
				}
			})
		})
	}
}

// Users make errors of these types in their own tests.
func TestErrorZeroValues(t *testing.T) {
	for _, err := range []error{
		&courier.APIError{},
		&courier.InvalidRequestError{}, &courier.AuthenticationError{}, &courier.PermissionError{}, &courier.NotFoundError{}, &courier.ConflictError{},
		&courier.PayloadTooLargeError{}, &courier.RateLimitError{}, &courier.ServerError{},
		&courier.RateLimitError{RetryAfter: time.Second},
		&courier.ValidationError{}, &courier.ConnectionError{}, &courier.UnexpectedResponseError{},
	} {
		for name, use := range map[string]func() string{
			"Error":       func() string { return err.Error() },
			"%v":          func() string { return fmt.Sprintf("%v", err) },
			"%+v":         func() string { return fmt.Sprintf("%+v", err) },
			"%#v":         func() string { return fmt.Sprintf("%#v", err) },
			"%s":          func() string { return fmt.Sprintf("%s", err) },
			"wrapped":     func() string { return fmt.Errorf("more: %w", err).Error() },
			"Is":          func() string { return fmt.Sprint(errors.Is(err, io.EOF), errors.Is(fmt.Errorf("%w", err), err)) },
			"As APIError": func() string { return fmt.Sprint(has[*courier.APIError](err)) },
			"As another":  func() string { return fmt.Sprint(has[*net.OpError](err)) },
			"JSON":        func() string { text, err := json.Marshal(err); return fmt.Sprint(string(text), err) },
			"slog": func() string {
				var out bytes.Buffer
				slog.New(slog.NewJSONHandler(&out, nil)).Info("m", "err", err)
				slog.New(slog.NewTextHandler(&out, nil)).Info("m", "err", err)
				return out.String()
			},
		} {
			t.Run(fmt.Sprintf("%T/%s", err, name), func(t *testing.T) {
				defer func() {
					if p := recover(); p != nil {
						t.Errorf("panic: %v", p)
					}
				}()
				if text := strings.ToLower(use()); strings.Contains(text, "panic") {
					t.Errorf("%.100s", text)
				}
			})
		}
	}
}

// An errors.As that finds the common error has to find one that can be read.
func TestErrorZeroValuesHoldAnAPIError(t *testing.T) {
	defer func() {
		if p := recover(); p != nil {
			t.Errorf("panic: %v", p)
		}
	}()
	var answer *courier.APIError
	if errors.As(error(&courier.NotFoundError{}), &answer) && answer.StatusCode != 0 {
		t.Errorf("errors.As finds %v", answer)
	}
}

func TestErrorAsFindsTheSameAPIError(t *testing.T) {
	client := coreServe(t, func(w http.ResponseWriter, _ *http.Request) { plainBody(courierError)(w, 404) })
	_, err := client.Profiles.Merge(t.Context(), "user-1", twoFields())
	err = fmt.Errorf("welcoming the user: %w", err)
	var precise *courier.NotFoundError
	var common *courier.APIError
	if !errors.As(err, &precise) || !errors.As(err, &common) || !errors.Is(err, precise) || !errors.Is(err, common) {
		t.Fatalf("errors.As finds %p and %p", precise, common)
	}
	precise.Message = "changed"
	if common.Message != "changed" {
		t.Error("errors.As finds two different errors")
	}
	precise.Message = "Error Message"
	if precise.StatusCode != 404 || precise.Type != "invalid_request_error" || precise.Message != "Error Message" {
		t.Errorf("error is %+v", precise)
	}
}
