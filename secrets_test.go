package courier_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	courier "github.com/courier-profiles/courier-go"
)

// No error text, log line or rendering holds the API key, the user id, the URL
// or anything of the profile that was sent (DESIGN.md, "Errors"). These tests
// plant canaries in all of them, take every path, and search every rendering of
// everything that a user can get hold of. What a caller fills, a Profile,
// prints what is in it; so does the message that Courier itself wrote.

// canaries are what must not be seen, by where it was planted. No two have a
// part in common that is as long as leakLength.
var canaries = map[string]string{
	"API key":            "kQx7Zr9TbW2mHs4V",
	"user id":            "uYp3Nf8LdJ6cGa1E",
	"base URL":           "bRt5Xv0KwM7hSq9D",
	"typed string":       "sFg2Bn6ZjC4rPk8T",
	"typed object":       "oVd9Hy1QxW5tLm3A",
	"typed list":         "lJc4Ks7RzE0vNb6G",
	"custom key":         "cPw8Tm3YfU9gXd2H",
	"custom value":       "vLa6Qz5BhI1nRs7J",
	"custom nested key":  "nEk0Dg4CvO8yWt3F",
	"Extra key":          "eMx1Vj9SpA6bZu5K",
	"Extra value":        "xHr7Gf2NqY4wCl0B",
	"idempotency key":    "iTs3Lb8DmP5kJv9Q",
	"header of the call": "hWn5Ry0FcS7zEx4M",
}

const leakLength = 6

// leakPattern is one form in which a part of a canary can show up.
type leakPattern struct{ place, text string }

// leakPatterns has every part of every canary as text, hexadecimal, decimal
// bytes and Go's byte literals, and the whole of it in base64; by what each
// begins with, so that a text is searched for all of them in one pass.
var leakPatterns = sync.OnceValue(func() map[string][]leakPattern {
	patterns := map[string][]leakPattern{}
	for place, canary := range canaries {
		add := func(text string) {
			text = strings.ToLower(text)
			patterns[text[:leakLength]] = append(patterns[text[:leakLength]], leakPattern{place, text})
		}
		for i := range len(canary) - leakLength + 1 {
			part := canary[i : i+leakLength]
			add(part)
			for _, verb := range []string{"%x", "% x", "%d", "%#v", "%o"} {
				add(strings.Trim(strings.TrimPrefix(fmt.Sprintf(verb, []byte(part)), "[]byte"), "[]{}"))
			}
		}
		for offset := range 3 {
			encoded := base64.RawStdEncoding.EncodeToString([]byte(strings.Repeat("\x00", offset) + canary))
			add(encoded[4 : len(encoded)-4])
		}
	}
	return patterns
})

// leaks returns the places of the canaries that text holds a part of, each with
// what is around that part.
func leaks(text string) map[string]string {
	lower, patterns := strings.ToLower(text), leakPatterns()
	var found map[string]string
	for i := range len(lower) - leakLength + 1 {
		for _, pattern := range patterns[lower[i:i+leakLength]] {
			if _, known := found[pattern.place]; !known && strings.HasPrefix(lower[i:], pattern.text) {
				if found == nil {
					found = map[string]string{}
				}
				found[pattern.place] = lower[max(0, i-60):min(len(lower), i+80)]
			}
		}
	}
	return found
}

var secretVerbs = []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "% x", "%d", "%t", "%f", "%T", "%10.3v", "%!"}

// publicForms returns v in the ways in which code that logs has it at hand.
func publicForms(v any) map[string]any {
	forms := map[string]any{
		"itself":               v,
		"in a slice":           []any{v},
		"in a map":             map[string]any{"k": v},
		"in a struct":          struct{ V any }{v},
		"in a pointer's":       &struct{ V any }{v},
		"in a nested struct":   struct{ A struct{ V any } }{struct{ V any }{v}},
		"behind a *any":        &v,
		"in an array of array": [1][1]any{{v}},
	}
	if rv := reflect.ValueOf(v); rv.Kind() == reflect.Pointer && !rv.IsNil() {
		forms["dereferenced"] = rv.Elem().Interface()
		forms["dereferenced, in a struct"] = struct{ V any }{rv.Elem().Interface()}
	} else if rv.IsValid() {
		pointer := reflect.New(rv.Type())
		pointer.Elem().Set(rv)
		forms["pointer"] = pointer.Interface()
	}
	return forms
}

// privateForms returns v in unexported fields, where fmt calls no methods.
func privateForms(v any) map[string]any {
	forms := map[string]any{
		"unexported field":            struct{ v any }{v},
		"unexported field of pointer": &struct{ v any }{v},
		"unexported slice":            struct{ v []any }{[]any{v}},
	}
	if rv := reflect.ValueOf(v); rv.Kind() == reflect.Pointer && !rv.IsNil() {
		forms["unexported field, by value"] = struct{ v any }{rv.Elem().Interface()}
	}
	return forms
}

// renderings calls see with every text that fmt, encoding/json and log/slog
// make of the forms.
func renderings(forms map[string]any, see func(how, text string)) {
	for form, v := range forms {
		for _, verb := range secretVerbs {
			see(form+" "+verb, fmt.Sprintf(verb, v))
		}
		see(form+" Sprint", fmt.Sprint(v))
		text, err := json.Marshal(v)
		see(form+" JSON", fmt.Sprint(string(text), err))
		var out bytes.Buffer
		options := &slog.HandlerOptions{Level: slog.LevelDebug}
		for _, handler := range []slog.Handler{slog.NewTextHandler(&out, options), slog.NewJSONHandler(&out, options)} {
			logger := slog.New(handler)
			logger.Info("m", slog.Any("v", v), slog.Group("g", slog.Any("v", v)))
			logger.With("v", v).Info("m")
		}
		see(form+" slog", out.String())
		if value, ok := v.(slog.LogValuer); ok {
			see(form+" LogValue", fmt.Sprint(value.LogValue().Resolve()))
		}
	}
}

// secretWatch collects what a user gets hold of and searches it.
type secretWatch struct {
	t       *testing.T
	seen    map[string]bool // texts
	failed  int
	allowed []string     // places that may be seen
	logs    bytes.Buffer // everything that was logged
	attrs   []any        // the values in the records
	tries   []courier.Attempt
}

func newSecretWatch(t *testing.T) *secretWatch { return &secretWatch{t: t, seen: map[string]bool{}} }

// options has everything logged and observed.
func (w *secretWatch) options() []courier.Option {
	options := &slog.HandlerOptions{Level: slog.LevelDebug, AddSource: true}
	return []courier.Option{
		courier.WithLogger(slog.New(secretHandler{w, []slog.Handler{slog.NewTextHandler(&w.logs, options), slog.NewJSONHandler(&w.logs, options)}})),
		courier.WithObserver(func(_ context.Context, a courier.Attempt) { w.tries = append(w.tries, a) }),
	}
}

// secretHandler writes each record through all handlers and keeps its values.
type secretHandler struct {
	watch *secretWatch
	to    []slog.Handler
}

func (h secretHandler) Enabled(context.Context, slog.Level) bool { return true }
func (h secretHandler) WithAttrs([]slog.Attr) slog.Handler       { return h }
func (h secretHandler) WithGroup(string) slog.Handler            { return h }
func (h secretHandler) Handle(ctx context.Context, record slog.Record) error {
	record.Attrs(func(attr slog.Attr) bool {
		if kind := attr.Value.Kind(); kind == slog.KindAny || kind == slog.KindLogValuer {
			h.watch.attrs = append(h.watch.attrs, attr.Value.Any())
		}
		return true
	})
	for _, handler := range h.to {
		if err := handler.Handle(ctx, record.Clone()); err != nil {
			return err
		}
	}
	return nil
}

// text searches one text.
func (w *secretWatch) text(how, text string) {
	w.t.Helper()
	if w.seen[text] {
		return
	}
	w.seen[text] = true
	const most = 100_000
	if len(text) > most {
		w.fail("%s has %d bytes: %.100s", how, len(text), text)
		text = text[:most]
	}
	for place, around := range leaks(text) {
		if !slices.Contains(w.allowed, place) {
			w.fail("%s shows the %s: …%s…", how, place, around)
		}
	}
}

// fail fails the test, and says so at most five times.
func (w *secretWatch) fail(format string, args ...any) {
	w.t.Helper()
	if w.failed++; w.failed <= 5 {
		w.t.Errorf(format, args...)
	} else {
		w.t.Fail()
	}
}

// value searches all renderings of v, and if it is an error those of the errors
// of our types that it wraps.
func (w *secretWatch) value(name string, v any) {
	w.t.Helper()
	see := func(how, text string) { w.text(name+" "+how, text) }
	renderings(publicForms(v), see)
	err, _ := v.(error)
	if err == nil {
		return
	}
	see("text", fmt.Sprint(err.Error(), fmt.Errorf("more: %w", err)))
	for err := errors.Unwrap(err); err != nil; err = errors.Unwrap(err) {
		if typ := reflect.TypeOf(err); typ.Kind() == reflect.Pointer && typ.Elem().PkgPath() == reflect.TypeFor[courier.Client]().PkgPath() {
			see(fmt.Sprintf("wraps %T, text", err), err.Error())
			renderings(map[string]any{"wraps": err, "wraps, dereferenced": reflect.ValueOf(err).Elem().Interface()}, see)
		}
	}
}

// finish searches what was logged and observed.
func (w *secretWatch) finish() {
	w.t.Helper()
	w.text("log", w.logs.String())
	for _, attempt := range w.tries {
		w.value("attempt", attempt)
		if attempt.Err != nil {
			w.text("attempt's error", attempt.Err.Error())
		}
	}
	for _, v := range w.attrs {
		renderings(map[string]any{"itself": v}, func(how, text string) { w.text("log attribute "+how, text) })
	}
}

func secretProfile() courier.Profile {
	return courier.Profile{
		Email: courier.Set(canaries["typed string"] + "@example.com"),
		Address: courier.Set(courier.Address{
			Country: courier.Set(canaries["typed object"]),
			Extra:   map[string]any{canaries["Extra key"] + "2": 1},
		}),
		FirebaseToken: courier.Set(courier.TokenList("t", canaries["typed list"])),
		Slack:         courier.Set(courier.Slack{AccessToken: courier.Set(canaries["typed object"] + "2")}),
		Custom: courier.Set(map[string]any{
			canaries["custom key"]: canaries["custom value"],
			"nested":               []any{map[string]any{canaries["custom nested key"]: json.Number("1")}},
		}),
		Extra: map[string]any{canaries["Extra key"]: canaries["Extra value"]},
	}
}

func secretUserID() string { return canaries["user id"] + "/ü" }

func secretCallOptions() []courier.RequestOption {
	return []courier.RequestOption{
		courier.WithIdempotencyKey(canaries["idempotency key"]),
		courier.WithHeader("X-Tenant", canaries["header of the call"]),
	}
}

// secretClient returns a client that sends canaries to transport.
func secretClient(t *testing.T, w *secretWatch, transport http.RoundTripper, opts ...courier.Option) *courier.Client {
	t.Helper()
	opts = append([]courier.Option{
		courier.WithBaseURL("https://courier.test/" + canaries["base URL"]),
		courier.WithHTTPClient(&http.Client{Transport: transport}),
		courier.WithRetryWait(0, 0),
		courier.WithMaxRetries(1),
	}, append(w.options(), opts...)...)
	client, err := courier.NewClient(canaries["API key"], opts...)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// secretMerge sends the canaries and searches what comes back.
func secretMerge(t *testing.T, w *secretWatch, client *courier.Client) (*courier.Result, error) {
	t.Helper()
	result, err := client.Profiles.Merge(t.Context(), secretUserID(), secretProfile(), secretCallOptions()...)
	w.outcome(result, err)
	return result, err
}

func (w *secretWatch) outcome(result *courier.Result, err error) {
	w.t.Helper()
	if result != nil {
		w.value("result", result)
		w.value("result's response", result.Response)
	}
	if err != nil {
		w.value("error", err)
	}
	w.finish()
}

// echo is what a server saw.
type echo struct {
	request, line, header, body string
}

func newEcho(req *http.Request) echo {
	body, _ := io.ReadAll(req.Body)
	var header strings.Builder
	req.Header.Write(&header)
	e := echo{line: req.Method + " " + req.URL.RequestURI() + " HTTP/1.1", header: header.String(), body: string(body)}
	e.request = e.line + "\r\n" + e.header + "\r\n" + e.body
	return e
}

// echoBodies are what gateways, proxies and frameworks make of a request that
// they did not like. The sample of an error is cut after 200 characters, so
// that each part of the request comes first somewhere.
var echoBodies = map[string]func(e echo, req *http.Request) string{
	"all":                func(e echo, _ *http.Request) string { return e.request },
	"all in HTML":        func(e echo, _ *http.Request) string { return "<pre>" + e.request + "</pre>" },
	"all in HTML, safe":  func(e echo, _ *http.Request) string { return "<pre>" + html.EscapeString(e.request) + "</pre>" },
	"line":               func(e echo, _ *http.Request) string { return "<h1>Not here: " + e.line + "</h1>" },
	"line, cut":          func(e echo, _ *http.Request) string { return strings.Repeat("x", 165) + " " + e.line },
	"path, decoded":      func(_ echo, req *http.Request) string { return "No route for " + req.URL.Path },
	"path, quoted":       func(_ echo, req *http.Request) string { return fmt.Sprintf("No route for %+q", req.URL.Path) },
	"user id":            func(echo, *http.Request) string { return "Unknown user " + secretUserID() + "." },
	"user id, encoded":   func(echo, *http.Request) string { return "Unknown user " + url.PathEscape(secretUserID()) + "." },
	"user id, query":     func(echo, *http.Request) string { return "See /search?q=" + url.QueryEscape(secretUserID()) },
	"URL":                func(_ echo, req *http.Request) string { return "<a href=" + req.URL.String() + ">here</a>" },
	"headers":            func(e echo, _ *http.Request) string { return e.header },
	"authorization":      func(_ echo, req *http.Request) string { return "Bad token: " + req.Header.Get("Authorization") },
	"API key":            func(echo, *http.Request) string { return "Bad token: " + canaries["API key"] },
	"idempotency key":    func(echo, *http.Request) string { return "Used before: " + canaries["idempotency key"] },
	"header of the call": func(_ echo, req *http.Request) string { return "X-Tenant: " + req.Header.Get("X-Tenant") },
	"body":               func(e echo, _ *http.Request) string { return "Cannot read " + e.body },
	"body in HTML, safe": func(e echo, _ *http.Request) string { return "<p>" + html.EscapeString(e.body) },
	"body, quoted":       func(e echo, _ *http.Request) string { return fmt.Sprintf("cannot read %q", e.body) },
	"body, end":          func(e echo, _ *http.Request) string { return e.body[len(e.body)-150:] },
	"body, middle":       func(e echo, _ *http.Request) string { return e.body[len(e.body)/2-50:] },
	"typed string":       func(echo, *http.Request) string { return "Bad value: " + canaries["typed string"] },
	"custom key":         func(echo, *http.Request) string { return "Bad key: " + canaries["custom key"] },
	"custom value":       func(echo, *http.Request) string { return "Bad value: " + canaries["custom value"] },
	"Extra key":          func(echo, *http.Request) string { return "Bad key: " + canaries["Extra key"] },
	"spread out":         func(e echo, _ *http.Request) string { return strings.ReplaceAll(e.body, ",", ",\r\n\t ") },
	"upper case":         func(e echo, _ *http.Request) string { return strings.ToUpper(e.line) },
	"base64":             func(e echo, _ *http.Request) string { return base64.StdEncoding.EncodeToString([]byte(e.body)) },
	"problem+json": func(_ echo, req *http.Request) string {
		text, _ := json.Marshal(map[string]any{"title": "No", "detail": "no " + req.URL.Path, "instance": req.URL.String()})
		return string(text)
	},
	"type that is a URL": func(_ echo, req *http.Request) string {
		text, _ := json.Marshal(map[string]any{"type": req.URL.String(), "title": "No"})
		return string(text)
	},
	"JSON in JSON": func(e echo, _ *http.Request) string {
		text, _ := json.Marshal(map[string]any{"error": map[string]any{"message": "no"}, "request": e.request, "body": e.body})
		return string(text)
	},
	"unfinished JSON": func(e echo, _ *http.Request) string { return `{"message":"` + e.line },
	"wrong type":      func(e echo, _ *http.Request) string { return `{"message":["` + e.line + `"],"type":{}}` },
}

// echoHeader is the header of an answer that repeats what it can.
func echoHeader(req *http.Request, e echo) http.Header {
	header := http.Header{
		"Location":         {req.URL.String() + "/"},
		"Www-Authenticate": {"Bearer realm=" + req.URL.Path + ", token=" + canaries["API key"]},
		"Set-Cookie":       {"last=" + url.QueryEscape(req.URL.String())},
		"X-Echo-Body":      {e.body},
		"X-Request-Id":     {"req-1"},
	}
	for key, values := range req.Header {
		header["X-Echo-"+key] = values
	}
	return header
}

func echoTransport(status int, body func(echo, *http.Request) string) coreTransport {
	return func(req *http.Request) (*http.Response, error) {
		e := newEcho(req)
		return &http.Response{StatusCode: status, Header: echoHeader(req, e), Body: io.NopCloser(strings.NewReader(body(e, req))), Request: req}, nil
	}
}

func TestSecretsInErrorsThatEchoTheRequest(t *testing.T) {
	for name, body := range echoBodies {
		t.Run(name, func(t *testing.T) {
			w := newSecretWatch(t)
			_, err := secretMerge(t, w, secretClient(t, w, echoTransport(400, body)))
			if !has[*courier.InvalidRequestError](err) || len(w.tries) != 1 {
				t.Errorf("error is %T, %d attempts seen", err, len(w.tries))
			}
		})
	}
}

func TestSecretsInEveryKindOfError(t *testing.T) {
	for _, status := range []int{302, 401, 403, 404, 409, 413, 418, 429, 500, 503} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			w := newSecretWatch(t)
			_, err := secretMerge(t, w, secretClient(t, w, echoTransport(status, echoBodies["body"])))
			var answer *courier.APIError
			if !errors.As(err, &answer) || answer.StatusCode != status || len(w.tries) == 0 {
				t.Errorf("error is %T, %d attempts seen", err, len(w.tries))
			}
		})
	}
}

// A value is as personal when it is short, has characters that are written in
// several ways, or has the user id in it.
func TestSecretsOfAwkwardShape(t *testing.T) {
	phone := func(value string) courier.Profile { return courier.Profile{PhoneNumber: courier.Set(value)} }
	for _, test := range []struct {
		name, userID, key string
		profile           courier.Profile
		body              string
		hidden            []string
	}{
		{"user id of two letters", "jo", "k1", phone("1"), "Unknown user jo!", []string{"jo"}},
		{"user id of three letters", "bob", "k1", phone("1"), "Unknown user bob!", []string{"bob"}},
		{"short value", "user-1", "k1", phone("4711"), "Blocked value 4711", []string{"4711"}},
		{"short name", "user-1", "k1", courier.Profile{GivenName: courier.Set("Zoë")}, "Hello Zoë", []string{"Zoë"}},
		{"short number", "user-1", "k1", courier.Profile{Custom: courier.Set(map[string]any{"pin": 90210})}, "Blocked value 90210", []string{"90210"}},
		{"short key", "user-1", "abc12", phone("1"), "Bad token abc12", []string{"abc12"}},
		{"user id inside a value", "123", "k1", phone("5551234567"), "Blocked value 5551234567", []string{"555", "4567"}},
		{"user id inside the key", "dev", "ab_dev_cd", phone("1"), "Bad token ab_dev_cd", []string{"ab_", "_cd"}},
		{"user id in other case", "Alice.Doe", "k1", phone("1"), "Unknown user alice.doe", []string{"alice", "doe"}},
		{"HTML entities", "user-1", "k1", courier.Profile{Name: courier.Set("Ann & Bo's")}, "Hello Ann &amp; Bo&#39;s", []string{"Ann", "Bo"}},
		{"JSON escapes", "user-1", "k1", courier.Profile{Name: courier.Set("Zoë Müller")}, `Hello Zo\u00eb M\u00fcller`, []string{"Zo", "ller"}},
		{"control characters", "user-1", "k1", courier.Profile{Name: courier.Set("Ann\tBo\nCy")}, "Hello Ann\tBo\nCy", []string{"Ann", "Bo", "Cy"}},
		{"user id with a line end", "Ann\nBo", "k1", phone("1"), "Unknown user Ann\nBo", []string{"Ann", "Bo"}},
		{"form encoding", "a b@c.de", "k1", phone("1"), "q=a+b%40c.de", []string{"c.de"}},
		{"cut in two by the end of the sample", "user-1", "abcdefgh", phone("1"), strings.Repeat("x", 190) + " abcdefgh", []string{"abcde"}},
		{"user id with a line end, quoted", "Ann\nbob", "k1", phone("1"), `Unknown user "Ann\nbob"`, []string{"Ann", "bob"}},
		{"user id with letters around it", "bob", "k1", phone("1"), "Unknown: userbobx", []string{"bob"}},
		{"no spaces between words", "张三", "k1", phone("1"), "用户张三不在", []string{"张三"}},
		{"lower case escapes", "ü✓ü✓", "k1", phone("1"), "Unknown user %c3%bc%e2%9c%93%c3%bc%e2%9c%93", []string{"%c3%bc", "%e2%9c"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			client, err := courier.NewClient(test.key, courier.WithMaxRetries(0), courier.WithHTTPClient(&http.Client{
				Transport: coreTransport(func(*http.Request) (*http.Response, error) { return coreAnswer(400, test.body), nil }),
			}))
			if err != nil {
				t.Fatal(err)
			}
			_, err = client.Profiles.Merge(t.Context(), test.userID, test.profile)
			if err == nil {
				t.Fatal("no error")
			}
			for _, hidden := range test.hidden {
				if strings.Contains(err.Error(), hidden) {
					t.Errorf("error %q shows %q", err, hidden)
				}
			}
		})
	}
}

// The sample has to stay useful where the answer repeats nothing.
func TestSecretsLeaveTheSampleReadable(t *testing.T) {
	for body, want := range map[string]string{
		"<html><head><title>503 Service Temporarily Unavailable</title></head></html>": "<title>503 Service Temporarily Unavailable</title>",
		"upstream connect error or disconnect/reset before headers":                    "upstream connect error or disconnect/reset before headers",
		`{"error":{"code":"throttled"}}`:                                               `{"error":{"code":"throttled"}}`,
		"no healthy upstream":                                                          "no healthy upstream",
	} {
		client := coreClient(t, func(*http.Request) (*http.Response, error) { return coreAnswer(404, body), nil })
		if _, err := client.Profiles.Merge(t.Context(), "user-1", twoFields()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v has lost %q", err, want)
		}
	}
}

func TestSecretsInUnexpectedResponses(t *testing.T) {
	bodies := map[string]func(echo, *http.Request) string{
		"status is a number": func(e echo, _ *http.Request) string { return `{"status":5,"request":` + e.body + `}` },
		"key of an echo":     func(e echo, _ *http.Request) string { return e.body + e.body },
		"far too long":       func(e echo, _ *http.Request) string { return e.request + strings.Repeat(" ", 5<<20) },
	}
	for _, name := range []string{"all", "all in HTML", "line", "headers", "body, quoted", "unfinished JSON"} {
		bodies[name] = echoBodies[name]
	}
	for name, body := range bodies {
		t.Run(name, func(t *testing.T) {
			w := newSecretWatch(t)
			_, err := secretMerge(t, w, secretClient(t, w, echoTransport(200, body)))
			if !has[*courier.UnexpectedResponseError](err) {
				t.Errorf("error is %T (%v)", err, err)
			}
		})
	}
}

func TestSecretsInConnectionErrors(t *testing.T) {
	ours := &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	for name, fail := range map[string]func(url, dump string) error{
		"text":             func(_, dump string) error { return errors.New(dump) },
		"url.Error":        func(u, dump string) error { return &url.Error{Op: "Post", URL: u, Err: errors.New(dump)} },
		"url.Error of EOF": func(u, _ string) error { return &url.Error{Op: "Post", URL: u, Err: io.EOF} },
		"url.Error of net": func(u, _ string) error { return &url.Error{Op: "Post", URL: u, Err: ours} },
		"wrapped EOF":      func(_, dump string) error { return fmt.Errorf("%s: %w", dump, io.EOF) },
		"wrapped twice":    func(_, dump string) error { return fmt.Errorf("%s: %w and %w", dump, errors.New(dump), ours) },
		"joined":           func(_, dump string) error { return errors.Join(errors.New(dump), ours, context.DeadlineExceeded) },
		"joined in a url.Error": func(u, dump string) error {
			return &url.Error{Op: "Post", URL: u, Err: errors.Join(errors.New(dump), ours)}
		},
		"net.OpError of text": func(_, dump string) error { return &net.OpError{Op: "dial", Net: "tcp", Err: errors.New(dump)} },
		"net.OpError of join": func(_, dump string) error {
			return &net.OpError{Op: "dial", Net: "tcp", Err: errors.Join(errors.New(dump))}
		},
		"a string":              func(_, dump string) error { return coreTransportError(dump) },
		"a struct":              func(u, dump string) error { return secretStructError{u, dump, http.Header{"Authorization": {dump}}} },
		"a pointer to a struct": func(u, dump string) error { return &secretStructError{u, dump, http.Header{"Authorization": {dump}}} },
		"a context.Canceled":    func(_, dump string) error { return fmt.Errorf("%s: %w", dump, context.Canceled) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newSecretWatch(t)
			_, err := secretMerge(t, w, secretClient(t, w, coreTransport(func(req *http.Request) (*http.Response, error) {
				return nil, fail(req.URL.String(), newEcho(req).request)
			})))
			if !has[*courier.ConnectionError](err) {
				t.Errorf("error is %T (%v)", err, err)
			}
		})
	}
}

type secretStructError struct {
	URL    string
	text   string
	Header http.Header
}

func (e secretStructError) Error() string { return e.text }

// The same over a network, where net/http writes the errors.
func TestSecretsOnBrokenConnections(t *testing.T) {
	closed := httptest.NewServer(nil)
	closed.Close()
	secure := tlsServer(t)
	for name, base := range map[string]string{
		"refused":           closed.URL,
		"unknown authority": secure.URL,
		"host not found":    "https://host.invalid",
		"not HTTP":          rawServer(t, "SSH-2.0-OpenSSH_9.6\r\n", false),
		"bad header":        rawServer(t, "HTTP/1.1 200 OK\r\nbad header "+canaries["user id"]+"\r\n\r\n", false),
		"closed":            rawServer(t, "", false),
		"cut off":           rawServer(t, "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n"+canaries["user id"], false),
		"too slow":          rawServer(t, "", true),
		"bad chunk":         rawServer(t, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"+canaries["user id"]+"\r\n", false),
		"bad status":        rawServer(t, "HTTP/1.1 "+canaries["user id"]+" OK\r\n\r\n", false),
	} {
		t.Run(name, func(t *testing.T) {
			w := newSecretWatch(t)
			client := secretClient(t, w, nil, courier.WithBaseURL(strings.TrimSuffix(base, "/base/v1")+"/"+canaries["base URL"]), courier.WithTimeout(200*time.Millisecond))
			if _, err := secretMerge(t, w, client); !has[*courier.ConnectionError](err) {
				t.Errorf("error is %T (%v)", err, err)
			}
		})
	}
}

// secretMarshaler puts canaries into its error.
type secretMarshaler struct{}

func (secretMarshaler) MarshalJSON() ([]byte, error) {
	return nil, errors.New("cannot write " + canaries["custom value"])
}

func TestSecretsInValidationErrors(t *testing.T) {
	bad := func(place string) string { return canaries[place] + "\xff" }
	custom := func(key string, value any) courier.Profile {
		return courier.Profile{Custom: courier.Set(map[string]any{canaries["custom nested key"]: map[string]any{key: value}})}
	}
	for name, profile := range map[string]courier.Profile{
		"typed string":       {Email: courier.Set(bad("typed string"))},
		"typed object":       {Address: courier.Set(courier.Address{Country: courier.Set(bad("typed object"))})},
		"typed list":         {FirebaseToken: courier.Set(courier.TokenList(canaries["typed list"], bad("typed list")))},
		"webhook header":     {Webhook: courier.Set(courier.Webhook{Headers: courier.Set(map[string]string{bad("custom key"): bad("custom value")})})},
		"custom key":         custom(bad("custom key"), 1),
		"custom value":       custom(canaries["custom key"], bad("custom value")),
		"custom channel":     custom(canaries["custom key"], make(chan int)),
		"custom map":         custom(canaries["custom key"], map[string]string{canaries["custom key"]: bad("custom value")}),
		"custom struct":      custom(canaries["custom key"], struct{ A string }{bad("custom value")}),
		"custom marshaler":   custom(canaries["custom key"], secretMarshaler{}),
		"custom number":      custom(canaries["custom key"], json.Number(canaries["custom value"])),
		"custom raw":         custom(canaries["custom key"], json.RawMessage(canaries["custom value"])),
		"custom raw pointer": custom(canaries["custom key"], &json.RawMessage{'x'}),
		"Extra key":          {Extra: map[string]any{bad("Extra key"): 1}},
		"Extra value":        {Extra: map[string]any{canaries["Extra key"]: bad("Extra value")}},
		"Extra and typed":    {Email: courier.Set(canaries["typed string"]), Extra: map[string]any{"email": canaries["Extra value"]}},
		"nested Extra":       {Address: courier.Set(courier.Address{Extra: map[string]any{bad("Extra key"): bad("Extra value")}})},
	} {
		t.Run("profile, "+name, func(t *testing.T) {
			w := newSecretWatch(t)
			client := secretClient(t, w, coreTransport(func(*http.Request) (*http.Response, error) {
				t.Error("a request was sent")
				return coreAnswer(200, success), nil
			}))
			result, err := client.Profiles.Merge(t.Context(), secretUserID(), profile, secretCallOptions()...)
			wantValidation(t, err, "")
			w.outcome(result, err)
			_, err = json.Marshal(profile)
			w.text("json.Marshal", fmt.Sprint(err))
		})
	}
	for name, opt := range map[string]courier.RequestOption{
		"header value":        courier.WithHeader("X-Tenant", canaries["header of the call"]+"\r\n"),
		"refused header":      courier.WithHeader("Authorization", "Bearer "+canaries["API key"]),
		"bad idempotency key": courier.WithIdempotencyKey(canaries["idempotency key"] + "\n"),
		"nil":                 nil,
	} {
		t.Run("option, "+name, func(t *testing.T) {
			w := newSecretWatch(t)
			client := secretClient(t, w, coreTransport(nil))
			result, err := client.Profiles.Merge(t.Context(), secretUserID(), secretProfile(), append(secretCallOptions(), opt)...)
			wantValidation(t, err, "")
			w.outcome(result, err)
		})
	}
	for name, make := range map[string]func() error{
		"key":         func() error { _, err := courier.NewClient(canaries["API key"] + "\n"); return err },
		"credentials": func() error { return newClientError("https://u:" + canaries["API key"] + "@courier.test") },
		"bad URL":     func() error { return newClientError("https://u:" + canaries["API key"] + "@courier.test/%zz") },
		"query":       func() error { return newClientError("https://courier.test?" + canaries["API key"]) },
		"http":        func() error { return newClientError("http://courier.test/" + canaries["base URL"]) },
	} {
		t.Run("client, "+name, func(t *testing.T) {
			w := newSecretWatch(t)
			err := make()
			wantValidation(t, err, "")
			w.outcome(nil, err)
		})
	}
}

func newClientError(baseURL string) error {
	_, err := courier.NewClient(canaries["API key"], courier.WithBaseURL(baseURL))
	return err
}

func TestSecretsInContextErrors(t *testing.T) {
	hang := coreTransport(func(req *http.Request) (*http.Response, error) {
		<-req.Context().Done()
		return nil, &url.Error{Op: "Post", URL: req.URL.String(), Err: req.Context().Err()}
	})
	for name, transport := range map[string]http.RoundTripper{
		"in an attempt": hang,
		"in a wait":     echoTransport(503, echoBodies["all"]),
	} {
		for _, timeout := range []time.Duration{0, time.Second, 90 * time.Second} {
			t.Run(fmt.Sprintf("%s, %v", name, timeout), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newSecretWatch(t)
					client := secretClient(t, w, transport, courier.WithRetryWait(10*time.Second, 10*time.Second), courier.WithMaxRetries(50), courier.WithTimeout(time.Minute))
					ctx, cancel := context.WithCancelCause(t.Context())
					defer time.AfterFunc(timeout, func() { cancel(errors.New("cause")) }).Stop()
					synctest.Wait()
					result, err := client.Profiles.Merge(ctx, secretUserID(), secretProfile(), secretCallOptions()...)
					if !errors.Is(err, context.Canceled) {
						t.Errorf("error is %v", err)
					}
					w.outcome(result, err)
				})
			})
		}
	}
}

func TestSecretsInRetries(t *testing.T) {
	for name, transport := range map[string]coreTransport{
		"503": echoTransport(503, echoBodies["all in HTML"]),
		"429": echoTransport(429, echoBodies["headers"]),
		"connection": func(req *http.Request) (*http.Response, error) {
			return nil, &url.Error{Op: "Post", URL: req.URL.String(), Err: errors.New(newEcho(req).request)}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newSecretWatch(t)
			var n int
			client := secretClient(t, w, coreTransport(func(req *http.Request) (*http.Response, error) {
				if n++; n <= 3 {
					return transport(req)
				}
				return coreAnswer(200, success), nil
			}), courier.WithMaxRetries(5))
			if _, err := secretMerge(t, w, client); err != nil || len(w.tries) != 4 || !strings.Contains(w.logs.String(), "level=WARN") {
				t.Errorf("error %v after %d attempts, logged %s", err, len(w.tries), w.logs.String())
			}
		})
	}
}

// Courier's own message is the one exception: it is for the reader.
func TestSecretsMayBeInCouriersMessage(t *testing.T) {
	w := newSecretWatch(t)
	w.allowed = []string{"user id"}
	client := secretClient(t, w, coreTransport(func(req *http.Request) (*http.Response, error) {
		return coreAnswer(400, `{"message":"no such user: `+canaries["user id"]+`","type":"invalid_request_error"}`), nil
	}))
	if _, err := secretMerge(t, w, client); !strings.HasSuffix(err.Error(), "400 invalid_request_error: no such user: "+canaries["user id"]) {
		t.Errorf("error reads %v", err)
	}
}

// secretThings returns what a user has in hand beside answers and errors, with
// pools and connections in use.
func secretThings(t *testing.T, base string) map[string]any {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		io.Copy(io.Discard, req.Body)
		io.WriteString(w, success)
	}))
	t.Cleanup(server.Close)
	options := []courier.Option{
		courier.WithBaseURL(server.URL + base), courier.WithTimeout(time.Minute), courier.WithMaxRetries(1), courier.WithRetryWait(0, 0),
		courier.WithUserAgent("a/1"), courier.WithInsecureHTTP(), courier.WithMaxRetryAfter(0),
		courier.WithLogger(slog.New(slog.DiscardHandler)), courier.WithObserver(func(context.Context, courier.Attempt) {}),
	}
	client, err := courier.NewClient(canaries["API key"], options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.CloseIdleConnections)
	own, err := courier.NewClient(canaries["API key"], append(options, courier.WithHTTPClient(&http.Client{Transport: memoryTransport{success}}))...)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []*courier.Client{client, own} {
		for range 3 {
			if _, err := c.Profiles.Merge(t.Context(), secretUserID(), secretProfile(), secretCallOptions()...); err != nil {
				t.Fatal(err)
			}
		}
	}
	things := map[string]any{
		"client": client, "client with a transport": own, "service": client.Profiles, "options": options,
		"request options": append(secretCallOptions(), courier.WithIdempotencyExpiration(time.Now().Add(48*time.Hour))),
	}
	for i, opt := range options {
		things[fmt.Sprint("option ", i)] = opt
	}
	for i, opt := range secretCallOptions() {
		things[fmt.Sprint("request option ", i)] = opt
	}
	return things
}

func TestSecretsInClientServiceAndOptions(t *testing.T) {
	w := newSecretWatch(t)
	for name, thing := range secretThings(t, "") {
		w.value(name, thing)
		renderings(privateForms(thing), func(how, text string) { w.text(name+" "+how, text) })
	}
}

// The base URL is no secret of its own, but it is a URL.
func TestSecretsClientShowsNoURL(t *testing.T) {
	w := newSecretWatch(t)
	for name, thing := range secretThings(t, "/"+canaries["base URL"]) {
		w.value(name, thing)
	}
}

// In an unexported field of a user's struct fmt calls no method of ours and
// prints what it finds. What holds no answer of the server's is safe there.
func TestSecretsInUnexportedFields(t *testing.T) {
	for name, transport := range map[string]coreTransport{
		"success":          func(req *http.Request) (*http.Response, error) { return coreAnswer(200, success), nil },
		"error":            func(req *http.Request) (*http.Response, error) { return coreAnswer(400, courierError), nil },
		"connection error": func(*http.Request) (*http.Response, error) { return nil, io.EOF },
	} {
		t.Run(name, func(t *testing.T) { secretPrivate(t, transport) })
	}
}

func secretPrivate(t *testing.T, transport coreTransport) {
	w := newSecretWatch(t)
	client := secretClient(t, w, transport)
	result, err := client.Profiles.Merge(t.Context(), secretUserID(), secretProfile(), secretCallOptions()...)
	things := map[string]any{"attempt": w.tries[0]}
	if err != nil {
		things["error"] = err
		var answer *courier.APIError
		if errors.As(err, &answer) {
			things["APIError"] = answer
		}
	} else {
		things["result"] = result
	}
	for name, thing := range things {
		renderings(privateForms(thing), func(how, text string) { w.text(name+" in "+how, text) })
	}
}

// The search has to find what it is looking for.
func TestSecretsSearchFindsThem(t *testing.T) {
	key := canaries["API key"]
	for _, text := range []string{
		key, "x" + key[3:9] + "y", strings.ToUpper(key), fmt.Sprintf("%x", key), fmt.Sprintf("% X", key), fmt.Sprint([]byte(key)), fmt.Sprintf("%#v", []byte("a"+key)),
		base64.StdEncoding.EncodeToString([]byte("a" + key)), base64.StdEncoding.EncodeToString([]byte("ab" + key + "c")), fmt.Sprintf("%+v", http.Header{"A": {key}}),
	} {
		if got := leaks(text); len(got) != 1 || got["API key"] == "" {
			t.Errorf("in %s it finds %v", text, got)
		}
	}
	if got := leaks(key[:5] + "." + key[6:11]); got != nil {
		t.Errorf("it finds %v where there is nothing", got)
	}
	var found int
	renderings(publicForms(struct{ Key string }{key}), func(_, text string) {
		if leaks(text) != nil {
			found++
		}
	})
	if found < 50 {
		t.Errorf("it finds a struct's field in %d renderings", found)
	}
}
