package courier_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"

	courier "github.com/courier-profiles/courier-go"
	"github.com/jarcoal/httpmock"
)

const secretKey = "pk_live_4Xq7Zr9TbW2m"

// secretProfile has CANARY in each place that a profile has for text.
func secretProfile() courier.Profile {
	return courier.Profile{
		Email:         courier.Set("fieldCANARY@example.com"),
		Address:       courier.Set(courier.Address{Country: courier.Set("objectCANARY")}),
		FirebaseToken: courier.Set(courier.TokenList("tokenCANARY")),
		Custom:        courier.Set(map[string]any{"keyCANARY": []any{"valueCANARY"}}),
		Extra:         map[string]any{"extraCANARY": "extraCANARY"},
	}
}

func secretOptions() []courier.RequestOption {
	return []courier.RequestOption{
		courier.WithIdempotencyKey("idempotencyCANARY"),
		courier.WithHeader("X-Tenant", "headerCANARY"),
	}
}

// secretClient returns a client with secretKey that does not retry.
func secretClient(
	t *testing.T, respond httpmock.Responder, opts ...courier.Option,
) *courier.Client {
	t.Helper()
	client, err := courier.NewClient(secretKey, append([]courier.Option{
		courier.WithBaseURL(baseURL),
		courier.WithHTTPClient(&http.Client{Transport: roundTripper(respond)}),
		courier.WithMaxRetries(0),
	}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// mergeSecrets merges secretProfile, and returns the error.
func mergeSecrets(t *testing.T, client *courier.Client, userID string) error {
	t.Helper()
	_, err := client.Profiles.Merge(t.Context(), userID, secretProfile(), secretOptions()...)
	if err == nil {
		t.Fatalf("merge of %q: got no error", userID)
	}
	return err
}

// secretIDs are user IDs that differ in a path, in quotes, or in both.
var secretIDs = []string{
	"user-4711", "ann lee+tag@example.com", "../lists/a b", "a/b?c=d&e#f;g", "ünïcödé ✓",
	"%41bc%", "line\r\nend", `quo"te\d`, "張三李四", "\xff\xfe\x00!",
}

// TestRedaction: each form in which a cause can repeat a secret is replaced, and nothing else.
func TestRedaction(t *testing.T) {
	t.Parallel()
	for name, form := range map[string]func(req *http.Request, userID string) string{
		"URL":             func(req *http.Request, _ string) string { return req.URL.String() },
		"request target":  func(req *http.Request, _ string) string { return req.URL.RequestURI() },
		"escaped path":    func(req *http.Request, _ string) string { return req.URL.EscapedPath() },
		"decoded path":    func(req *http.Request, _ string) string { return req.URL.Path },
		"user ID":         func(_ *http.Request, userID string) string { return userID },
		"user ID, quoted": func(_ *http.Request, userID string) string { return insideQuotes(userID) },
		"user ID, escaped": func(_ *http.Request, userID string) string {
			return strings.ReplaceAll(url.QueryEscape(userID), "+", "%20")
		},
		"API key": func(req *http.Request, _ string) string {
			return strings.TrimPrefix(req.Header.Get("Authorization"), "Bearer ")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, userID := range secretIDs {
				for _, text := range []string{
					"@",
					`Post "@": the proxy gave up`,
					"(@) was refused; @: status 407",
					`{"detail":"@","status":"SUCCESS"}`,
					"pk_live_ is no key, /profiles/ no path; @, and courier.test is a host",
				} {
					client := secretClient(t, func(req *http.Request) (*http.Response, error) {
						return nil, errors.New(strings.ReplaceAll(text, "@", form(req, userID)))
					})
					err := mergeSecrets(t, client, userID)
					want := "courier: merge profile: no response after 1 attempt: " +
						strings.ReplaceAll(text, "@", "[redacted]")
					if err.Error() != want {
						t.Errorf("%q\n got %s\nwant %s", userID, err, want)
					}
				}
			}
		})
	}
}

// insideQuotes is what %q writes, without the quotes.
func insideQuotes(text string) string {
	quoted := fmt.Sprintf("%q", text)
	return quoted[1 : len(quoted)-1]
}

// TestRedactionOfQuery: the URL of a page has a query.
func TestRedactionOfQuery(t *testing.T) {
	t.Parallel()
	client := secretClient(t, func(req *http.Request) (*http.Response, error) {
		return nil, fmt.Errorf("%s (%s), %s, and %s: bad gateway",
			req.URL, req.URL.RequestURI(), req.URL.EscapedPath(), req.URL.Path)
	})
	for _, userID := range secretIDs {
		_, err := client.Profiles.Lists.Page(t.Context(), userID, "c/ü?==")
		want := "courier: list subscriptions: no response after 1 attempt: " +
			"[redacted] ([redacted]), [redacted], and [redacted]: bad gateway"
		if err == nil || err.Error() != want {
			t.Errorf("%q\n got %v\nwant %s", userID, err, want)
		}
	}
}

// TestRedactionIsNeverInsideAWord: a key or an ID can be part of any word.
func TestRedactionIsNeverInsideAWord(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, key, userID, text, want string }{
		{"ID in a word", secretKey, "nect",
			"connect: connection refused", "connect: connection refused"},
		{"ID beside a word", secretKey, "nect",
			"connect nect, nect! disconnected", "connect [redacted], [redacted]! disconnected"},
		{"ID beside a digit", secretKey, "user-1", "user-10 and user-1", "user-10 and [redacted]"},
		{"ID beside a letter of another script", secretKey, "user",
			"éuser üser userß user", "éuser üser userß [redacted]"},
		{"ID beside an underscore", secretKey, "user", "user_", "[redacted]_"},
		{"key in a word", "k", "user-4711", "lookup k: k8s", "lookup [redacted]: k8s"},
		{"ID twice", secretKey, "user-1", "user-1user-1", "user-1user-1"},
		{"ID that overlaps itself", secretKey, "ab-ab", "zab-ab-ab", "zab-[redacted]"},
		{"ID after an escape of a URL", secretKey, "user-4711",
			"?to=profiles%2Fuser-4711", "?to=profiles%2F[redacted]"},
		{"ID after an escape of Go", secretKey, "user-4711", `"a\nuser-4711"`, `"a\n[redacted]"`},
		{"cause that says malformed", secretKey, "user-4711",
			"oauth2: malformed token response", "oauth2: malformed token response"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			client, err := courier.NewClient(test.key, courier.WithMaxRetries(0),
				courier.WithHTTPClient(&http.Client{Transport: roundTripper(fail(errors.New(test.text)))}))
			if err != nil {
				t.Fatal(err)
			}
			err = mergeSecrets(t, client, test.userID)
			want := "courier: merge profile: no response after 1 attempt: " + test.want
			if err.Error() != want {
				t.Errorf("\n got %s\nwant %s", err, want)
			}
		})
	}
}

// TestRedactionOfShortIDs: an ID of fewer than four characters is replaced only as a part of
// the URL.
func TestRedactionOfShortIDs(t *testing.T) {
	t.Parallel()
	for _, userID := range []string{"a", "jo", "Zoë", "張三李"} {
		client := secretClient(t, func(req *http.Request) (*http.Response, error) {
			return nil, fmt.Errorf("%s: no such user: %s at %s", req.URL, userID, req.URL.Path)
		})
		err := mergeSecrets(t, client, userID)
		want := "courier: merge profile: no response after 1 attempt: " +
			"[redacted]: no such user: " + userID + " at [redacted]"
		if err.Error() != want {
			t.Errorf("\n got %s\nwant %s", err, want)
		}
	}
}

// TestRedactionOfLimiters: a limiter's error is a cause like any other, whether nothing was sent
// yet or a retry was due.
func TestRedactionOfLimiters(t *testing.T) {
	t.Parallel()
	retries := courier.WithMaxRetries(1)
	client := secretClient(t, respond(503, ""), retries, courier.WithRetryWait(0, 0))
	updates := func(yield func(string, courier.Profile) bool) {
		yield("user-4711", secretProfile())
	}
	for granted, want := range []string{
		"courier: merge profile: nothing was sent: quota of [redacted] with [redacted]",
		"courier: merge profile: 503 Service Unavailable (no body) " +
			"(quota of [redacted] with [redacted])",
	} {
		limit := courier.WithRateLimiter(limiter(func(context.Context) error {
			granted--
			if granted >= 0 {
				return nil
			}
			return errors.New("quota of user-4711 with " + secretKey)
		}))
		for outcome := range client.Profiles.MergeAll(t.Context(), updates, limit) {
			if outcome.Err == nil || outcome.Err.Error() != want {
				t.Errorf("\n got %v\nwant %s", outcome.Err, want)
			}
		}
	}
}

// rawServer returns the URL of a server that reads a request with a body of JSON, and writes
// what reply makes of it, which need not be HTTP.
func rawServer(t *testing.T, reply func(request string) string) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return // closed
			}
			req, err := http.ReadRequest(bufio.NewReader(conn))
			if err != nil {
				t.Error(err)
				return
			}
			body, err := io.ReadAll(req.Body)
			if err != nil {
				t.Error(err)
				return
			}
			text := req.RequestURI + " " + req.Header.Get("Authorization") + " " + string(body)
			io.WriteString(conn, reply(text))
			conn.Close()
		}
	}()
	return "http://" + listener.Addr().String()
}

// TestEchoInMalformedResponse: what net/http cannot read it quotes in its error, and that can be
// the request.
func TestEchoInMalformedResponse(t *testing.T) {
	t.Parallel()
	const ok = "HTTP/1.1 200 OK\r\n"
	for name, format := range map[string]string{
		"whole response":       "%s\r\n\r\n",
		"protocol version":     "HTTP/%s 200 OK\r\n\r\n",
		"status code":          "HTTP/1.1 %s\r\n\r\n",
		"header line":          ok + "%s\r\n\r\n",
		"first header line":    ok + " %s\r\n\r\n",
		"Content-Length":       ok + "Content-Length: %s\r\n\r\n",
		"Content-Length twice": ok + "Content-Length: 1\r\nContent-Length: %s\r\n\r\n",
		"transfer encoding":    ok + "Transfer-Encoding: %s\r\n\r\n",
		"transfer encodings": ok + "Transfer-Encoding: chunked\r\n" +
			"Transfer-Encoding: %s\r\n\r\n",
		"trailer name": ok + "Transfer-Encoding: chunked\r\n" +
			"Trailer: Content-Length, %s\r\n\r\n",
		"chunk length": ok + "Transfer-Encoding: chunked\r\n\r\n%s\r\n",
		"trailer":      ok + "Transfer-Encoding: chunked\r\n\r\n0\r\n%s\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := rawServer(t, func(request string) string { return fmt.Sprintf(format, request) })
			log := new(strings.Builder)
			client := secretClient(t, nil, logTo(log), courier.WithBaseURL(url),
				courier.WithHTTPClient(&http.Client{Transport: courier.NewTransport()}))
			t.Cleanup(client.CloseIdleConnections)
			err := mergeSecrets(t, client, "user-4711")
			wantTypes(t, err, "*courier.ConnectionError")
			wantHidden(t, err, "user-4711", "CANARY", "/profiles/")
			wantHidden(t, log, "user-4711", "CANARY", "/profiles/")
		})
	}
}

// TestEchoInHTTP2: what net/http quotes of a frame.
func TestEchoInHTTP2(t *testing.T) {
	t.Parallel()
	for name, reply := range map[string]func(body string) []byte{
		"GOAWAY": func(body string) []byte {
			internalError := []byte{0, 0, 0, 1, 0, 0, 0, 2} // after the last stream
			return http2Frame(7, 0, 0, append(internalError, body...))
		},
		"name of a header": func(body string) []byte {
			name := body[:min(len(body), 100)]
			block := append([]byte{0x88, 0, byte(len(name))}, name...) // :status 200, a literal
			return http2Frame(1, 5, 1, append(block, 1, 'v'))
		},
		"name of a pseudo-header": func(body string) []byte {
			name := ":" + body[:min(len(body), 100)]
			block := append([]byte{0x88, 0, byte(len(name))}, name...)
			return http2Frame(1, 5, 1, append(block, 1, 'v'))
		},
		"status": func(body string) []byte {
			value := body[:min(len(body), 100)]
			block := append([]byte{8, byte(len(value))}, value...)
			return http2Frame(1, 5, 1, block)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewUnstartedServer(nil)
			server.TLS = &tls.Config{NextProtos: []string{"h2"}}
			server.Config.TLSNextProto = map[string]func(*http.Server, *tls.Conn, http.Handler){
				"h2": func(_ *http.Server, conn *tls.Conn, _ http.Handler) {
					echoHTTP2(conn, reply)
				},
			}
			server.StartTLS()
			t.Cleanup(server.Close)
			pool := courier.NewTransport()
			pool.TLSClientConfig = server.Client().Transport.(*http.Transport).TLSClientConfig
			t.Cleanup(pool.CloseIdleConnections)
			client := secretClient(t, nil, courier.WithBaseURL(server.URL),
				courier.WithHTTPClient(&http.Client{Transport: pool}))
			err := mergeSecrets(t, client, "user-4711")
			wantTypes(t, err, "*courier.ConnectionError")
			wantHidden(t, err, "user-4711", "CANARY", "/profiles/")
		})
	}
}

// echoHTTP2 reads a request, writes what reply makes of its body, and closes the connection.
func echoHTTP2(conn *tls.Conn, reply func(body string) []byte) {
	defer conn.Close()
	conn.Write(http2Frame(4, 0, 0, nil)) // settings
	reader := bufio.NewReader(conn)
	reader.Discard(len("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))
	for {
		header := make([]byte, 9)
		if _, err := io.ReadFull(reader, header); err != nil {
			return
		}
		payload := make([]byte, int(header[0])<<16|int(header[1])<<8|int(header[2]))
		if _, err := io.ReadFull(reader, payload); err != nil {
			return
		}
		if header[3] == 0 && len(payload) > 0 { // data
			conn.Write(reply(string(payload)))
			conn.CloseWrite()
			io.Copy(io.Discard, reader) // until the client closes it too
			return
		}
	}
}

// http2Frame returns a frame (RFC 9113, section 4.1).
func http2Frame(kind, flags, stream byte, payload []byte) []byte {
	length := len(payload)
	header := []byte{byte(length >> 16), byte(length >> 8), byte(length), kind, flags}
	return slices.Concat(header, []byte{0, 0, 0, stream}, payload)
}

// TestMalformedResponseText: the fixed text says what to look at.
func TestMalformedResponseText(t *testing.T) {
	t.Parallel()
	url := rawServer(t, func(request string) string { return request + "\r\n\r\n" })
	client := secretClient(t, nil, courier.WithBaseURL(url),
		courier.WithHTTPClient(&http.Client{Transport: courier.NewTransport()}))
	t.Cleanup(client.CloseIdleConnections)
	err := mergeSecrets(t, client, "user-4711")
	want := "courier: merge profile: no response after 1 attempt: the response is malformed"
	if err.Error() != want {
		t.Errorf("\n got %s\nwant %s", err, want)
	}
}

// TestEchoInResponse: nor is the request printed where a response that can be read has it in
// its status line, header, or body.
func TestEchoInResponse(t *testing.T) {
	t.Parallel()
	for name, format := range map[string]string{
		"status text":           "HTTP/1.1 400 %s\r\n\r\n",
		"status text of a 2xx":  "HTTP/1.1 200 %s\r\nContent-Type: text/plain\r\n\r\n",
		"header":                "HTTP/1.1 400 Bad Request\r\nX-Echo: %s\r\n\r\n",
		"Location":              "HTTP/1.1 302 Found\r\nLocation: %s\r\n\r\n",
		"Content-Type":          "HTTP/1.1 400 Bad Request\r\nContent-Type: %s\r\n\r\nx",
		"Retry-After":           "HTTP/1.1 429 Too Many\r\nRetry-After: %s\r\n\r\n",
		"body":                  "HTTP/1.1 500 Error\r\n\r\n%s",
		"body of a 2xx":         "HTTP/1.1 200 OK\r\n\r\n%s",
		"unfinished JSON":       "HTTP/1.1 200 OK\r\n\r\n{\"status\":\"%s",
		"JSON of another shape": "HTTP/1.1 200 OK\r\n\r\n[%q]",
		"JSON with a status":    "HTTP/1.1 200 OK\r\n\r\n{\"status\":%q}",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := rawServer(t, func(request string) string { return fmt.Sprintf(format, request) })
			log := new(strings.Builder)
			client := secretClient(t, nil, logTo(log), courier.WithBaseURL(url),
				courier.WithHTTPClient(&http.Client{Transport: courier.NewTransport()}))
			t.Cleanup(client.CloseIdleConnections)
			err := mergeSecrets(t, client, "user-4711")
			wantHidden(t, err, "user-4711", "CANARY", "/profiles/")
			wantHidden(t, log, "user-4711", "CANARY", "/profiles/")
		})
	}
}

// logTo logs all attempts to log, in both of slog's formats.
func logTo(log *strings.Builder) courier.Option {
	options := &slog.HandlerOptions{Level: slog.LevelDebug}
	return courier.WithLogger(slog.New(slog.NewMultiHandler(
		slog.NewTextHandler(log, options), slog.NewJSONHandler(log, options))))
}

// wantHidden fails if what people see of v shows a secret, or the API key.
func wantHidden(t *testing.T, v any, secrets ...string) {
	t.Helper()
	shown := map[string]string{
		"%v":  fmt.Sprintf("%v", v),
		"%+v": fmt.Sprintf("%+v", v),
		"%s":  fmt.Sprintf("%s", v),
		"%q":  fmt.Sprintf("%q", v),
		// Inside others, which fmt prints by reflection.
		"%+v of a struct": fmt.Sprintf("%+v", struct{ V any }{v}),
		"%+v of a list":   fmt.Sprintf("%+v", []any{v}),
		"slog":            logged(v),
	}
	if err, ok := v.(error); ok {
		wrapped := fmt.Errorf("wrapped: %w", errors.Join(io.EOF, err))
		shown["%+v, wrapped"] = fmt.Sprintf("%+v", wrapped)
		shown["slog, wrapped"] = logged(wrapped)
	}
	for form, text := range shown {
		for _, secret := range append(secrets, secretKey) {
			if strings.Contains(text, secret) {
				t.Errorf("%s of a %T shows %q: %.300s", form, v, secret, text)
			}
		}
	}
}

// structError is an error that fmt would print by reflection if it were not for Error.
type structError struct {
	URL    string
	Header http.Header
}

func (e *structError) Error() string { return "failed: " + e.URL + " " + fmt.Sprint(e.Header) }

// TestNothingSecretIsPrinted: of a RoundTripper that repeats what it can, neither the error, nor
// the observer's attempt, nor the log shows it.
func TestNothingSecretIsPrinted(t *testing.T) {
	t.Parallel()
	for name, failure := range map[string]func(req *http.Request) error{
		"text": func(req *http.Request) error {
			return fmt.Errorf("%s %s: %s", req.Method, req.URL, req.Header.Get("Authorization"))
		},
		"wrapped": func(req *http.Request) error { return fmt.Errorf("%s: %w", req.URL, io.EOF) },
		"*url.Error": func(req *http.Request) error {
			return &url.Error{Op: "Post", URL: req.URL.String(), Err: io.EOF}
		},
		"struct": func(req *http.Request) error {
			header := http.Header{"Authorization": req.Header["Authorization"]}
			return &structError{req.URL.String(), header}
		},
		"httpmock": func(req *http.Request) error {
			_, err := httpmock.NewMockTransport().RoundTrip(req)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			log, seen := new(strings.Builder), new(observer)
			client := secretClient(t, func(req *http.Request) (*http.Response, error) {
				return nil, failure(req)
			}, logTo(log), seen.option())
			for _, userID := range secretIDs {
				secrets := []string{userID, url.PathEscape(userID), "CANARY", "/profiles/"}
				wantHidden(t, mergeSecrets(t, client, userID), secrets...)
				wantHidden(t, seen.attempts[len(seen.attempts)-1], secrets...)
				wantHidden(t, log, secrets...)
			}
		})
	}
}

// TestNothingHoldsTheKey: where a server did not repeat it, the API key is in nothing that a
// caller holds, also for a printer that walks all fields.
func TestNothingHoldsTheKey(t *testing.T) {
	t.Parallel()
	client := secretClient(t, respond(200, success))
	pooled, err := courier.NewClient(secretKey)
	if err != nil {
		t.Fatal(err)
	}
	profile, options := secretProfile(), secretOptions()
	result, err := client.Profiles.Merge(t.Context(), "user-4711", profile, options...)
	if err != nil {
		t.Fatal(err)
	}
	held := []any{
		client, *client, pooled, *pooled, client.Profiles, *client.Profiles.Lists, result, options,
		courier.WithBaseURL("https://CANARY.test"),
	}
	for _, respond := range []httpmock.Responder{
		respond(418, "x"), respond(500, "x"), respond(200, "x"), fail(io.EOF),
	} {
		seen := new(observer)
		failing := secretClient(t, respond, seen.option())
		held = append(held, mergeSecrets(t, failing, "user-4711"), seen.attempts[0])
	}
	for _, v := range held {
		wantHidden(t, v, "user-4711", "CANARY")
		if text := fmt.Sprintf("%#v", v); strings.Contains(text, secretKey) {
			t.Errorf("%%#v of a %T shows the key: %s", v, text)
		}
		if path := find(reflect.ValueOf(v), secretKey, map[uintptr]bool{}); path != "" {
			t.Errorf("a %T has the key at %s", v, path)
		}
	}
}

// find returns where a printer that follows all fields and pointers of v meets text; "" for
// nowhere.
func find(v reflect.Value, text string, seen map[uintptr]bool) string {
	parts := map[string]reflect.Value{}
	switch v.Kind() {
	case reflect.String:
		if strings.Contains(v.String(), text) {
			return "."
		}
	case reflect.Pointer:
		if !v.IsNil() && !seen[v.Pointer()] {
			seen[v.Pointer()] = true
			parts["*"] = v.Elem()
		}
	case reflect.Interface:
		parts[""] = v.Elem()
	case reflect.Struct:
		for i := range v.NumField() {
			parts["."+v.Type().Field(i).Name] = v.Field(i)
		}
	case reflect.Slice, reflect.Array:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			if strings.Contains(fmt.Sprintf("%s", v), text) {
				return "."
			}
			break
		}
		for i := range v.Len() {
			parts[fmt.Sprintf("[%d]", i)] = v.Index(i)
		}
	case reflect.Map:
		for i := v.MapRange(); i.Next(); {
			parts[fmt.Sprintf("[key %v]", i.Key())] = i.Key()
			parts[fmt.Sprintf("[%v]", i.Key())] = i.Value()
		}
	}
	for step, part := range parts {
		if path := find(part, text, seen); path != "" {
			return step + path
		}
	}
	return ""
}

func TestFind(t *testing.T) {
	t.Parallel()
	header := http.Header{"Authorization": {"Bearer " + secretKey}}
	v := reflect.ValueOf([]any{0, &http.Request{Header: header}})
	got := find(v, secretKey, map[uintptr]bool{})
	if want := "[1]*.Header[Authorization][0]."; got != want {
		t.Errorf("find: got %q, want %q", got, want)
	}
}
