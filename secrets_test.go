package courier_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"

	"github.com/jarcoal/httpmock"

	courier "github.com/courier-profiles/courier-go"
)

const secretKey = "pk_live_4Xq7Zr9TbW2m"

// secretIDs are user IDs that can be spelled in several ways.
var secretIDs = []string{
	"user-4711", "ann lee+tag@example.com", "../lists/a b", "a/b?c=d&e#f;g", "ünïcödé ✓", "100%", "%41bc%", "line\r\nend", "quo\"te\\d", "張三李四", "zoë \"x\" y", "\xff\xfe\x00!", "jo", "Zoë", "a/b",
}

// profileSecrets are in the profile that is sent, in each place that it has.
var profileSecrets = []string{"fieldCANARY", "objectCANARY", "listCANARY", "keyCANARY", "valueCANARY", "extraCANARY", "idempotencyCANARY", "headerCANARY"}

func secretProfile() courier.Profile {
	return courier.Profile{
		Email:         courier.Set("fieldCANARY@example.com"),
		Address:       courier.Set(courier.Address{Country: courier.Set("objectCANARY")}),
		FirebaseToken: courier.Set(courier.TokenList("listCANARY")),
		Custom:        courier.Set(map[string]any{"keyCANARY": []any{"valueCANARY"}}),
		Extra:         map[string]any{"extraCANARY": "extraCANARY"},
	}
}

var secretOptions = []courier.RequestOption{courier.WithIdempotencyKey("idempotencyCANARY"), courier.WithHeader("X-Tenant", "headerCANARY")}

// wantHidden fails if what people see of v shows one of the secrets, or the key.
func wantHidden(t *testing.T, name string, v any, secrets ...string) {
	t.Helper()
	forms := map[string]string{"%q": fmt.Sprintf("%q", v)}
	forms["a slog text handler"], forms["a slog JSON handler"] = logged(v)
	for _, form := range []any{v, struct{ V any }{v}, []any{v}, map[string]any{"v": v}, slog.GroupValue(slog.Any("v", v))} {
		forms[fmt.Sprintf("%%v of a %T", form)] = fmt.Sprintf("%v", form)
		forms[fmt.Sprintf("%%+v of a %T", form)] = fmt.Sprintf("%+v", form)
	}
	if err, ok := v.(error); ok {
		wrapped := fmt.Errorf("more: %w", errors.Join(io.EOF, err))
		forms["%+v, wrapped"] = fmt.Sprintf("%+v", wrapped)
		forms["a slog text handler, wrapped"], forms["a slog JSON handler, wrapped"] = logged(wrapped)
	}
	for form, text := range forms {
		for _, secret := range append(secrets, secretKey) {
			if strings.Contains(text, secret) {
				t.Errorf("%s by %s shows %q: %.300s", name, form, secret, text)
				break
			}
		}
	}
}

// wantNoKey fails if v holds the key where %#v or a dumper that walks structs finds it.
func wantNoKey(t *testing.T, name string, v any) {
	t.Helper()
	if text := fmt.Sprintf("%#v", v); strings.Contains(text, secretKey) {
		t.Errorf("%s by %%#v shows the key: %s", name, text)
	}
	if path := find(reflect.ValueOf(v), secretKey, map[uintptr]bool{}); path != "" {
		t.Errorf("%s has the key at %s", name, path)
	}
}

// find returns where a dumper that walks v, unexported fields and pointers included, meets
// text; "" for nowhere.
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
		if v.Type().Elem().Kind() == reflect.Uint8 && strings.Contains(fmt.Sprintf("%s", v), text) {
			return "."
		}
		for i := range v.Len() {
			parts[fmt.Sprintf("[%d]", i)] = v.Index(i)
		}
	case reflect.Map:
		for i := v.MapRange(); i.Next(); {
			parts[fmt.Sprintf("[key %d]", len(parts))], parts[fmt.Sprintf("[%d]", len(parts))] = i.Key(), i.Value()
		}
	}
	for step, part := range parts {
		if path := find(part, text, seen); path != "" {
			return step + path
		}
	}
	return ""
}

// spelling is one way in which a cause spells what must not be shown. It returns "" where
// it has none for the ID.
type spelling func(req *http.Request, userID string) string

// long is a spelling of a user ID, which is redacted by itself only from four characters on.
func long(spell func(userID string) string) spelling {
	return func(_ *http.Request, userID string) string {
		if len([]rune(userID)) < 4 {
			return ""
		}
		return spell(userID)
	}
}

// pathOf is a user ID in a path that a RoundTripper has edited: without its RawPath,
// net/url escapes other characters.
func pathOf(userID string) string { return (&url.URL{Path: "/profiles/" + userID}).EscapedPath() }

var spellings = map[string]spelling{
	"URL":                           func(req *http.Request, _ string) string { return req.URL.String() },
	"request target":                func(req *http.Request, _ string) string { return req.URL.RequestURI() },
	"path, decoded":                 func(req *http.Request, _ string) string { return req.URL.Path },
	"path without its base":         func(req *http.Request, _ string) string { return strings.TrimPrefix(req.URL.EscapedPath(), "/base/v1") },
	"decoded path without its base": func(_ *http.Request, userID string) string { return "/profiles/" + userID },
	"path of url.PathEscape":        func(_ *http.Request, userID string) string { return "/profiles/" + url.PathEscape(userID) },
	"path of net/url":               func(_ *http.Request, userID string) string { return pathOf(userID) },
	"Authorization": func(req *http.Request, _ string) string {
		return strings.TrimPrefix(req.Header.Get("Authorization"), "Bearer ")
	},
	"user ID":                        long(func(userID string) string { return userID }),
	"user ID, escaped":               long(func(userID string) string { return strings.ReplaceAll(url.QueryEscape(userID), "+", "%20") }),
	"user ID, escaped as in a query": long(url.QueryEscape),
	"user ID of url.PathEscape":      long(url.PathEscape),
	"user ID, escaped by net/url":    long(func(userID string) string { return strings.TrimPrefix(pathOf(userID), "/profiles/") }),
	"user ID, quoted by %q":          long(func(userID string) string { return strings.Trim(fmt.Sprintf("%q", userID), `"`) }),
	"user ID, quoted by %+q":         long(func(userID string) string { return strings.Trim(fmt.Sprintf("%+q", userID), `"`) }),
}

// In the text of a cause, every spelling of a secret is replaced, and nothing else.
func TestRedactionIsExact(t *testing.T) {
	t.Parallel()
	texts := []string{
		`@`, `Post "@": proxy gave up`, `token (@) refused; @ again, status 407`, `x@y@`,
		`https://gateway.test@: no route`, `/gw@?a=b`, `{"detail":"@","status":"SUCCESS"}`, `pk_live_ is not a key, /profiles/ not a path @ and courier.test a host`,
	}
	for name, spell := range spellings {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, userID := range secretIDs {
				for _, text := range texts {
					spelled := ""
					client := secretClient(t, func(req *http.Request) (*http.Response, error) {
						spelled = spell(req, userID)
						return nil, errors.New(strings.ReplaceAll(text, "@", spelled))
					})
					_, err := client.Profiles.Merge(t.Context(), userID, secretProfile(), secretOptions...)
					if spelled == "" {
						continue
					}
					want := "courier: merge profile: no response after 1 attempt: " + strings.ReplaceAll(text, "@", "[redacted]")
					if err.Error() != want {
						t.Errorf("%q as %q\n got %s\nwant %s", userID, spelled, err, want)
						break
					}
				}
			}
		})
	}
}

// The URL of a page has a query.
func TestRedactionOfQueries(t *testing.T) {
	t.Parallel()
	client := secretClient(t, func(req *http.Request) (*http.Response, error) {
		return nil, fmt.Errorf("%s (%s), %s and %s: bad gateway", req.URL, req.URL.RequestURI(), req.URL.EscapedPath(), strings.TrimPrefix(req.URL.Path, "/base/v1"))
	})
	for _, userID := range secretIDs {
		_, err := client.Profiles.Lists.Page(t.Context(), userID, "c/ü?==")
		if want := "courier: list subscriptions: no response after 1 attempt: [redacted] ([redacted]), [redacted] and [redacted]: bad gateway"; err == nil || err.Error() != want {
			t.Errorf("%q\n got %v\nwant %s", userID, err, want)
		}
	}
}

// A short user ID may be part of any word: by itself it stays.
func TestRedactionLeavesShortIDs(t *testing.T) {
	t.Parallel()
	for _, userID := range []string{"a", "jo", "the", "Zoë", "張三"} {
		text := "a jolly Zoë and the 張三, " + userID + ", are not found at /lists/" + userID
		client := secretClient(t, failingWith(errors.New(text)))
		_, err := client.Profiles.Merge(t.Context(), userID, secretProfile())
		if want := "courier: merge profile: no response after 1 attempt: " + text; err == nil || err.Error() != want {
			t.Errorf("%q\n got %v\nwant %s", userID, err, want)
		}
	}
}

// secretClient returns a client with the secret key, which does not retry.
func secretClient(t testing.TB, respond httpmock.Responder, opts ...courier.Option) *courier.Client {
	t.Helper()
	client, err := courier.NewClient(secretKey, append([]courier.Option{
		courier.WithBaseURL(testBaseURL), courier.WithHTTPClient(&http.Client{Transport: roundTripFunc(respond)}), courier.WithMaxRetries(0),
	}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// echo responds with all that the request had, in the header and in the body.
func echo(status int, format string) httpmock.Responder {
	return func(req *http.Request) (*http.Response, error) {
		body, _ := io.ReadAll(req.Body)
		var header strings.Builder
		_ = req.Header.Write(&header)
		text := req.Method + " " + req.URL.String() + "\r\n" + header.String() + "\r\n" + string(body)
		response := httpmock.NewStringResponse(status, fmt.Sprintf(format, text))
		response.Header.Set("X-Echo", strings.ReplaceAll(strings.ReplaceAll(text, secretKey, ""), "\r\n", " "))
		response.Header.Set("Location", req.URL.String())
		return response, nil
	}
}

type structError struct {
	URL    string
	Header http.Header
}

func (e *structError) Error() string { return "failed: " + e.URL + " " + fmt.Sprint(e.Header) }

// secretOutcomes are the responses and failures that repeat what they can.
func secretOutcomes() map[string]httpmock.Responder {
	repeat := func(wrap func(req *http.Request) error) httpmock.Responder {
		return func(req *http.Request) (*http.Response, error) { return nil, wrap(req) }
	}
	request := func(req *http.Request) string {
		return req.URL.String() + " " + req.Header.Get("Authorization") + " " + req.URL.Path
	}
	outcomes := map[string]httpmock.Responder{
		"not the documented response": echo(200, "%s"), "unfinished JSON": echo(200, `{"status":"%s`), "wrong type": echo(200, `{"status":[%q]}`),
		"text":              repeat(func(req *http.Request) error { return errors.New(request(req)) }),
		"wrapped":           repeat(func(req *http.Request) error { return fmt.Errorf("%s: %w", request(req), io.EOF) }),
		"*url.Error":        repeat(func(req *http.Request) error { return &url.Error{Op: "Post", URL: req.URL.String(), Err: io.EOF} }),
		"pointer to struct": repeat(func(req *http.Request) error { return &structError{req.URL.String(), http.Header{"X": {request(req)}}} }),
		"httpmock":          httpmock.NewMockTransport().RoundTrip,
	}
	for _, status := range []int{302, 400, 401, 429, 500} {
		outcomes[fmt.Sprint(status)] = echo(status, "<pre>%s</pre>")
	}
	return outcomes
}

// Whatever comes back, nothing that people print shows what was sent: neither the error,
// nor the attempt of an observer, nor the log, nor the client.
func TestNothingSecretIsPrinted(t *testing.T) {
	t.Parallel()
	for name, respond := range secretOutcomes() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, userID := range secretIDs {
				var log strings.Builder
				var attempts []courier.Attempt
				options := &slog.HandlerOptions{Level: slog.LevelDebug}
				client := secretClient(t, respond, courier.WithMaxRetries(1), courier.WithRetryWait(0, 0),
					courier.WithObserver(func(_ context.Context, a courier.Attempt) { attempts = append(attempts, a) }),
					courier.WithLogger(slog.New(slog.NewMultiHandler(slog.NewTextHandler(&log, options), slog.NewJSONHandler(&log, options)))))
				result, err := client.Profiles.Merge(t.Context(), userID, secretProfile(), secretOptions...)
				if err == nil || len(attempts) == 0 || log.Len() == 0 {
					t.Fatalf("result %v, error %v, %d attempts, logged %s", result, err, len(attempts), log.String())
				}
				secrets := append([]string{"courier.test", "/base/v1", "/profiles/", "Bearer " + secretKey}, profileSecrets...)
				if len([]rune(userID)) >= 4 {
					secrets = append(secrets, userID, url.PathEscape(userID), url.QueryEscape(userID))
				}
				wantHidden(t, "the error", err, secrets...)
				wantHidden(t, "an attempt", attempts[0], secrets...)
				wantHidden(t, "the log", log.String(), secrets...)
			}
		})
	}
}

// A limiter is a cause like any other, whether nothing was sent yet or a retry was due.
func TestRedactionOfLimiters(t *testing.T) {
	t.Parallel()
	client := secretClient(t, httpmock.NewStringResponder(503, ""), courier.WithMaxRetries(1), courier.WithRetryWait(0, 0))
	updates := func(yield func(string, courier.Profile) bool) { yield("user-4711", secretProfile()) }
	for granted, want := range []string{
		"courier: merge profile: nothing was sent: quota of [redacted] with [redacted]",
		"courier: merge profile: 503 Service Unavailable (no body) (quota of [redacted] with [redacted])",
	} {
		limit := limiterFunc(func(context.Context) error {
			if granted--; granted >= 0 {
				return nil
			}
			return errors.New("quota of user-4711 with " + secretKey)
		})
		for outcome := range client.Profiles.MergeAll(t.Context(), updates, courier.WithRateLimiter(limit)) {
			if outcome.Err == nil || outcome.Err.Error() != want {
				t.Errorf("\n got %v\nwant %s", outcome.Err, want)
				continue
			}
			wantHidden(t, "the error", outcome.Err, "user-4711")
		}
	}
}

// Where the server did not repeat it, the key is in nothing that a caller holds: errors,
// attempts, results, options, and the client.
func TestNothingHoldsTheKey(t *testing.T) {
	t.Parallel()
	client := secretClient(t, httpmock.NewStringResponder(200, `{"status":"SUCCESS"}`))
	pooled, err := courier.NewClient(secretKey)
	if err != nil {
		t.Fatal(err)
	}
	result, err := client.Profiles.Merge(t.Context(), "user-4711", secretProfile(), secretOptions...)
	if err != nil {
		t.Fatal(err)
	}
	request := &http.Request{Header: http.Header{"Authorization": {"Bearer " + secretKey}}}
	if find(reflect.ValueOf([]any{request, request}), secretKey, map[uintptr]bool{}) == "" {
		t.Error("find does not find the key of a request")
	}
	held := map[string]any{
		"the client": client, "the client as a value": *client, "a client with a pool": pooled,
		"the service": client.Profiles, "lists": *client.Profiles.Lists, "the result": result, "the response": result.Response,
		"an option": courier.WithBaseURL("https://fieldCANARY.test"), "request options": secretOptions, "a header": secretOptions[1],
		"a bulk option": courier.WithIdempotencyKeys(func(int, string) string { return "idempotencyCANARY" }),
	}
	for name, respond := range map[string]httpmock.Responder{
		"an *APIError": httpmock.NewStringResponder(418, "x"), "a *ServerError": httpmock.NewStringResponder(500, "x"),
		"an *UnexpectedResponseError": httpmock.NewStringResponder(200, "x"), "a *ConnectionError": failingWith(io.EOF),
	} {
		var attempt courier.Attempt
		failing := secretClient(t, respond, courier.WithObserver(func(_ context.Context, a courier.Attempt) { attempt = a }))
		_, err := failing.Profiles.Merge(t.Context(), "user-4711", secretProfile(), secretOptions...)
		held[name], held["the attempt of "+name] = err, attempt
	}
	for name, v := range held {
		wantHidden(t, name, v, append(profileSecrets, "user-4711")...)
		wantNoKey(t, name, v)
	}
}
