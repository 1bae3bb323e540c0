package courier_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/jarcoal/httpmock"

	courier "github.com/courier-profiles/courier-go"
	"github.com/courier-profiles/courier-go/couriertest"
)

const (
	apiKey    = "pk_test_operations"
	apiPrefix = "/base/v1"
)

// apiOperation is one of the eight operations of the API, called in one way.
type apiOperation struct {
	name     string // in errors, logs and attempts
	method   string
	suffix   string // of the path
	query    string
	body     string // exact; "" for none
	success  string // the documented body of status 200
	writes   bool   // is answered with a status, or with 204
	takesKey bool
	call     func(ctx context.Context, c *courier.Client, userID string, opts ...courier.RequestOption) (*courier.Result, error)
}

var apiOperations = []apiOperation{
	{
		name: "merge profile", method: "POST", writes: true, takesKey: true, success: success,
		body: `{"profile":{"email":"user@example.com","phone_number":null,"custom":{"plan":"pro"}}}`,
		call: func(ctx context.Context, c *courier.Client, userID string, opts ...courier.RequestOption) (*courier.Result, error) {
			return c.Profiles.Merge(ctx, userID, apiProfile(), opts...)
		},
	},
	{
		name: "get profile", method: "GET", success: `{"profile":{"email":"user@example.com"},"preferences":null}`,
		call: func(ctx context.Context, c *courier.Client, userID string, opts ...courier.RequestOption) (*courier.Result, error) {
			result, err := c.Profiles.Get(ctx, userID, opts...)
			if result == nil {
				return nil, err
			}
			return &courier.Result{Response: result.Response}, err
		},
	},
	{
		name: "replace profile", method: "PUT", writes: true, success: success,
		body: `{"profile":{"email":"user@example.com","phone_number":null,"custom":{"plan":"pro"}}}`,
		call: func(ctx context.Context, c *courier.Client, userID string, opts ...courier.RequestOption) (*courier.Result, error) {
			return c.Profiles.Replace(ctx, userID, apiProfile(), opts...)
		},
	},
	{
		name: "patch profile", method: "PATCH", writes: true, success: success,
		body: `{"patch":[{"op":"add","path":"/custom/plan","value":"pro"}]}`,
		call: func(ctx context.Context, c *courier.Client, userID string, opts ...courier.RequestOption) (*courier.Result, error) {
			return c.Profiles.Patch(ctx, userID, []courier.PatchOp{courier.PatchAdd("/custom/plan", "pro")}, opts...)
		},
	},
	{
		name: "delete profile", method: "DELETE", writes: true, success: success,
		call: func(ctx context.Context, c *courier.Client, userID string, opts ...courier.RequestOption) (*courier.Result, error) {
			return c.Profiles.Delete(ctx, userID, opts...)
		},
	},
	{
		name: "list subscriptions", method: "GET", suffix: "/lists", query: "cursor=a+%2F%26%3D%23", success: `{"paging":{"cursor":null,"more":false},"results":[]}`,
		call: func(ctx context.Context, c *courier.Client, userID string, opts ...courier.RequestOption) (*courier.Result, error) {
			page, err := c.Profiles.Lists.Page(ctx, userID, "a /&=#", opts...)
			if page == nil {
				return nil, err
			}
			return &courier.Result{Response: page.Response}, err
		},
	},
	{
		name: "subscribe", method: "POST", suffix: "/lists", writes: true, takesKey: true, success: success,
		body: `{"lists":[{"listId":"news"}]}`,
		call: func(ctx context.Context, c *courier.Client, userID string, opts ...courier.RequestOption) (*courier.Result, error) {
			return c.Profiles.Lists.Subscribe(ctx, userID, []courier.ListSubscription{{ListID: "news"}}, opts...)
		},
	},
	{
		name: "unsubscribe all", method: "DELETE", suffix: "/lists", writes: true, success: success,
		call: func(ctx context.Context, c *courier.Client, userID string, opts ...courier.RequestOption) (*courier.Result, error) {
			return c.Profiles.Lists.UnsubscribeAll(ctx, userID, opts...)
		},
	},
}

func apiProfile() courier.Profile {
	return courier.Profile{
		Email:       courier.Set("user@example.com"),
		PhoneNumber: courier.Null[string](),
		Custom:      courier.Set(map[string]any{"plan": "pro"}),
	}
}

// apiEach runs test for every operation.
func apiEach(t *testing.T, test func(t *testing.T, op apiOperation)) {
	t.Helper()
	for _, op := range apiOperations {
		t.Run(op.name, func(t *testing.T) { test(t, op) })
	}
}

// apiClient returns a client of the server that handler is, below apiPrefix.
// Retries do not wait.
func apiClient(t testing.TB, handler http.Handler, opts ...courier.Option) *courier.Client {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	client, err := courier.NewClient(apiKey, append([]courier.Option{
		courier.WithBaseURL(server.URL + apiPrefix),
		courier.WithRetryWait(0, 0),
	}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.CloseIdleConnections)
	return client
}

// apiMock returns a client whose answers come from respond, without a network.
func apiMock(t testing.TB, respond httpmock.Responder, opts ...courier.Option) *courier.Client {
	t.Helper()
	transport := httpmock.NewMockTransport()
	transport.RegisterNoResponder(respond)
	client, err := courier.NewClient(apiKey, append([]courier.Option{
		courier.WithBaseURL("https://courier.test" + apiPrefix),
		courier.WithHTTPClient(&http.Client{Transport: transport}),
		courier.WithRetryWait(0, 0),
	}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// apiFake returns the API in memory and a client of it, below apiPrefix.
func apiFake(t testing.TB, opts ...courier.Option) (*couriertest.Handler, *courier.Client) {
	t.Helper()
	handler := couriertest.NewHandler()
	handler.APIKey = apiKey
	return handler, apiClient(t, http.StripPrefix(apiPrefix, handler), opts...)
}

// apiAnswer answers every request of a server with the same.
func apiAnswer(status int, body string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	})
}

// apiRequest is what a request was, when its answer had to be chosen.
type apiRequest struct {
	Method, URI, Body string
	Length            int64
	Transfer          []string
	Header            http.Header
}

func apiRequestOf(t testing.TB, req *http.Request) apiRequest {
	t.Helper()
	seen := apiRequest{
		Method: req.Method, URI: req.URL.RequestURI(), Length: req.ContentLength,
		Transfer: req.TransferEncoding, Header: req.Header.Clone(),
	}
	if req.Body != nil {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			t.Error(err)
		}
		seen.Body = string(body)
	}
	return seen
}

var apiUserIDs = []struct{ id, segment string }{
	{"0460766e-8463-4905-ae98-b72c7aef41d6", "0460766e-8463-4905-ae98-b72c7aef41d6"},
	{"a/b#c%d", "a%2Fb%23c%25d"},
	{"lists", "lists"},
	{"x/lists", "x%2Flists"},
	{"../y", "..%2Fy"},
	{"a?cursor=b", "a%3Fcursor%3Db"},
	{"%2F", "%252F"},
	{"user+tag@example.com", "user%2Btag%40example.com"},
	{"a b", "a%20b"},
	{"ü✓", "%C3%BC%E2%9C%93"},
	{"\xff\n", "%FF%0A"},
	{"...", "..."},
	{";", "%3B"},
}

func TestOperationRequest(t *testing.T) {
	apiEach(t, func(t *testing.T, op apiOperation) {
		var seen []apiRequest
		client := apiClient(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			seen = append(seen, apiRequestOf(t, req))
			seen[len(seen)-1].URI = req.RequestURI
			_, _ = io.WriteString(w, op.success)
		}))
		for _, user := range apiUserIDs {
			seen = nil
			if _, err := op.call(t.Context(), client, user.id, courier.WithHeader("X-Trace", "1")); err != nil {
				t.Fatalf("%q: %v", user.id, err)
			}
			want := apiRequest{
				Method: op.method,
				URI:    apiPrefix + "/profiles/" + user.segment + op.suffix,
				Body:   op.body,
				Length: int64(len(op.body)),
				Header: http.Header{
					"Accept":          {"application/json"},
					"Accept-Encoding": {"gzip"},
					"Authorization":   {"Bearer " + apiKey},
					"X-Trace":         {"1"},
				},
			}
			if op.query != "" {
				want.URI += "?" + op.query
			}
			if op.body != "" {
				want.Header["Content-Type"] = []string{"application/json"}
				want.Header["Content-Length"] = []string{fmt.Sprint(len(op.body))}
			}
			if len(seen) != 1 {
				t.Fatalf("%q: %d requests", user.id, len(seen))
			}
			if agent := seen[0].Header["User-Agent"]; len(agent) != 1 || !strings.HasPrefix(agent[0], "courier-profiles-go/") {
				t.Errorf("%q: User-Agent is %q", user.id, agent)
			}
			delete(seen[0].Header, "User-Agent")
			if diff := cmp.Diff(want, seen[0]); diff != "" {
				t.Errorf("%q: request (-want +got):\n%s", user.id, diff)
			}
		}
	})
}

func TestOperationRefusesUserIDs(t *testing.T) {
	apiEach(t, func(t *testing.T, op apiOperation) {
		client := apiMock(t, func(*http.Request) (*http.Response, error) {
			t.Error("a request was sent")
			return httpmock.NewStringResponse(200, op.success), nil
		})
		for _, id := range []string{"", ".", ".."} {
			result, err := op.call(t.Context(), client, id)
			var refused *courier.ValidationError
			if !errors.As(err, &refused) || refused.Field != "userID" || refused.Reason == "" || result != nil {
				t.Errorf("%q: result %v, error %v", id, result, err)
			}
		}
		result, err := op.call(nil, client, "user-1")
		var refused *courier.ValidationError
		if !errors.As(err, &refused) || refused.Field != "ctx" || result != nil {
			t.Errorf("nil context: result %v, error %v", result, err)
		}
	})
}

func TestOperationDocumentedAnswers(t *testing.T) {
	apiEach(t, func(t *testing.T, op apiOperation) {
		type answer struct {
			name   string
			status int
			body   string
			want   string
		}
		want := ""
		if op.writes {
			want = "SUCCESS"
		}
		tests := []answer{
			{"200", 200, op.success, want},
			{"200 with a status twice", 200, `{"status":5,` + op.success[1:], want},
			{"200 with more members", 200, `{"a":[{"status":5}],` + op.success[1:], want},
			{"201", 201, op.success, want},
		}
		if op.writes {
			tests = append(tests,
				answer{"204", 204, "", ""},
				answer{"200 without a body", 200, "", ""},
				answer{"200 without a status", 200, "{}", ""},
				answer{"202 with null", 202, `{"status":null}`, ""},
			)
		}
		for _, test := range tests {
			t.Run(test.name, func(t *testing.T) {
				client := apiClient(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
					w.Header().Set("X-Request-Id", "req-1")
					apiAnswer(test.status, test.body).ServeHTTP(w, req)
				}))
				result, err := op.call(t.Context(), client, "user-1")
				if err != nil {
					t.Fatal(err)
				}
				if result.Status != test.want || result.StatusCode != test.status || result.Attempts != 1 || result.RequestID != "req-1" || result.Header.Get("X-Request-Id") != "req-1" {
					t.Errorf("result is %v with headers %v, want status %q", result, result.Header, test.want)
				}
			})
		}
	})
}

func TestOperationUnexpectedAnswers(t *testing.T) {
	const canary = "CANARY"
	apiEach(t, func(t *testing.T, op apiOperation) {
		bodies := []string{
			"<html>" + canary, canary, `"` + canary + `"`, "5", "null", "true", "[]", `[{"status":"SUCCESS"}]`, "{", `{"` + canary + `":`,
			op.success[:len(op.success)-1], op.success + "}", op.success + op.success, op.success + canary, "\x00", `{"a":"\xff"}` + canary, "{'a':1}",
		}
		if op.writes {
			bodies = append(bodies, `{"status":5}`, `{"status":{}}`, `{"status":["`+canary+`"]}`, `{"status":true}`)
		} else {
			bodies = append(bodies, "", " ", "{}", `{"status":"SUCCESS"}`)
		}
		for _, body := range bodies {
			client := apiMock(t, httpmock.NewStringResponder(200, body).HeaderSet(http.Header{"X-Request-Id": {"req-1"}}))
			result, err := op.call(t.Context(), client, "user-1")
			var unexpected *courier.UnexpectedResponseError
			if !errors.As(err, &unexpected) || result != nil {
				t.Errorf("%q: result %v, error %v, want an *UnexpectedResponseError", body, result, err)
				continue
			}
			if unexpected.Operation != op.name || unexpected.StatusCode != 200 || string(unexpected.Body) != body || unexpected.Err == nil || unexpected.Header.Get("X-Request-Id") != "req-1" {
				t.Errorf("%q: error has %q, %d, %q, %v, %v", body, unexpected.Operation, unexpected.StatusCode, unexpected.Body, unexpected.Err, unexpected.Header)
			}
			if !strings.HasPrefix(err.Error(), "courier: "+op.name+": 200") || strings.Contains(err.Error(), canary) {
				t.Errorf("%q: error reads %q", body, err)
			}
		}
		if !op.writes {
			client := apiMock(t, httpmock.NewStringResponder(204, ""))
			result, err := op.call(t.Context(), client, "user-1")
			var unexpected *courier.UnexpectedResponseError
			if !errors.As(err, &unexpected) || unexpected.StatusCode != 204 || result != nil {
				t.Errorf("204: result %v, error %v, want an *UnexpectedResponseError", result, err)
			}
		}
	})
}

func TestOperationErrors(t *testing.T) {
	const userID, body = "user/0815", `{"message":"no good","type":"some_error"}`
	types := map[int]string{
		400: "*courier.InvalidRequestError", 401: "*courier.AuthenticationError", 403: "*courier.PermissionError", 404: "*courier.NotFoundError",
		409: "*courier.ConflictError", 413: "*courier.PayloadTooLargeError", 429: "*courier.RateLimitError",
		500: "*courier.ServerError", 501: "*courier.ServerError", 502: "*courier.ServerError", 503: "*courier.ServerError", 504: "*courier.ServerError", 599: "*courier.ServerError",
		301: "*courier.APIError", 302: "*courier.APIError", 304: "*courier.APIError", 307: "*courier.APIError", 308: "*courier.APIError",
		402: "*courier.APIError", 405: "*courier.APIError", 408: "*courier.APIError", 410: "*courier.APIError", 412: "*courier.APIError", 422: "*courier.APIError",
		600: "*courier.APIError", 999: "*courier.APIError",
	}
	apiEach(t, func(t *testing.T, op apiOperation) {
		for status, want := range types {
			requests := 0
			client := apiMock(t, func(req *http.Request) (*http.Response, error) {
				requests++
				resp := httpmock.NewStringResponse(status, body)
				resp.Header.Set("X-Request-Id", "req-1")
				resp.Header.Set("Location", "https://elsewhere.test/")
				return resp, nil
			}, courier.WithMaxRetries(0))
			result, err := op.call(t.Context(), client, userID)
			if got := fmt.Sprintf("%T", err); got != want || result != nil || requests != 1 {
				t.Errorf("%d: result %v, %d requests, error %s (%v), want %s", status, result, requests, got, err, want)
			}
			var answer *courier.APIError
			if !errors.As(err, &answer) {
				t.Errorf("%d: no *APIError in %v", status, err)
				continue
			}
			if answer.Operation != op.name || answer.StatusCode != status || answer.Message != "no good" || answer.Type != "some_error" ||
				answer.RequestID != "req-1" || answer.Attempts != 1 || string(answer.Body) != body || answer.Header.Get("X-Request-Id") != "req-1" {
				t.Errorf("%d: the *APIError has %q, %d, %q, %q, %q, %d, %q", status, answer.Operation, answer.StatusCode, answer.Message, answer.Type, answer.RequestID, answer.Attempts, answer.Body)
			}
			if text := fmt.Sprintf("courier: %s: %d some_error: no good", op.name, status); err.Error() != text {
				t.Errorf("%d: error reads %q, want %q", status, err, text)
			}
		}
	})
}

// What a gateway repeats of the request is in no error.
func TestOperationErrorsHideTheRequest(t *testing.T) {
	const userID = "user/4711?x"
	apiEach(t, func(t *testing.T, op apiOperation) {
		var sent apiRequest
		client := apiMock(t, func(req *http.Request) (*http.Response, error) {
			sent = apiRequestOf(t, req)
			return httpmock.NewStringResponse(400, fmt.Sprintf("<h1>Bad request</h1> %s %s from %s with %s and %s", sent.Method, req.URL, userID, sent.Header.Get("Authorization"), sent.Body)), nil
		})
		_, err := op.call(t.Context(), client, userID)
		if err == nil {
			t.Fatal("no error")
		}
		for _, text := range []string{err.Error(), fmt.Sprintf("%+v", err), fmt.Sprintf("%#v", err)} {
			for _, secret := range []string{apiKey, "4711", apiPrefix, op.query, op.body, "cursor", "user@example.com"} {
				if secret != "" && strings.Contains(text, secret) {
					t.Errorf("error %q holds %q", text, secret)
				}
			}
			if !strings.Contains(text, "Bad request") {
				t.Errorf("error %q says nothing of the body", text)
			}
		}
	})
}

func TestOperationRetriedStatuses(t *testing.T) {
	// DESIGN.md, Retries.
	idempotent := map[int]bool{408: true, 409: true, 429: true, 500: true, 502: true, 503: true, 504: true}
	keyed := map[int]bool{408: true, 409: true, 429: true, 502: true, 503: true, 504: true}
	notIdempotent := map[int]bool{429: true, 503: true}
	statuses := []int{200, 301, 302, 307, 308, 400, 401, 402, 403, 404, 405, 406, 408, 409, 410, 411, 412, 413, 415, 421, 422, 423, 424, 425, 426, 428, 429, 431, 451,
		500, 501, 502, 503, 504, 505, 507, 508, 511, 520, 522, 524, 529, 599}

	apiEach(t, func(t *testing.T, op apiOperation) {
		for _, withKey := range []bool{false, true} {
			retried, opts := idempotent, []courier.RequestOption{courier.WithHeader("X-Trace", "1")}
			switch {
			case withKey && !op.takesKey:
				continue
			case withKey:
				retried = keyed
				opts = append(opts, courier.WithIdempotencyKey("key-1"))
			case op.method == "PATCH":
				retried = notIdempotent
			}
			for _, status := range statuses {
				var seen []apiRequest
				client := apiMock(t, func(req *http.Request) (*http.Response, error) {
					seen = append(seen, apiRequestOf(t, req))
					if len(seen) == 1 {
						return httpmock.NewStringResponse(status, op.success), nil
					}
					return httpmock.NewStringResponse(200, op.success), nil
				})
				result, err := op.call(t.Context(), client, "a/b", opts...)
				if !retried[status] {
					if len(seen) != 1 || (err == nil) != (status == 200) {
						t.Errorf("key %t, %d: %d requests, error %v; want 1 request", withKey, status, len(seen), err)
					}
					continue
				}
				if err != nil || len(seen) != 2 || result.Attempts != 2 {
					t.Errorf("key %t, %d: %d requests, result %v, error %v; want 2 requests and a success", withKey, status, len(seen), result, err)
					continue
				}
				if diff := cmp.Diff(seen[0], seen[1]); diff != "" {
					t.Errorf("key %t, %d: the retry differs (-first +second):\n%s", withKey, status, diff)
				}
				if seen[0].Body != op.body || withKey && seen[0].Header.Get("Idempotency-Key") != "key-1" {
					t.Errorf("key %t, %d: sent %+v", withKey, status, seen[0])
				}
			}
		}
	})
}

// The last answer of a call that gave up, and how often it was sent.
func TestOperationGivesUp(t *testing.T) {
	apiEach(t, func(t *testing.T, op apiOperation) {
		requests := 0
		var attempts []courier.Attempt
		var log bytes.Buffer
		client := apiMock(t, func(*http.Request) (*http.Response, error) {
			requests++
			return httpmock.NewStringResponse(503, fmt.Sprintf(`{"message":"number %d"}`, requests)), nil
		}, courier.WithMaxRetries(2), courier.WithObserver(func(_ context.Context, a courier.Attempt) { attempts = append(attempts, a) }),
			courier.WithLogger(slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))))
		_, err := op.call(t.Context(), client, "user-4711")
		var server *courier.ServerError
		if !errors.As(err, &server) || server.Attempts != 3 || server.Message != "number 3" || requests != 3 {
			t.Errorf("%d requests, error %v, want the third answer", requests, err)
		}
		for i, attempt := range attempts {
			if attempt.Operation != op.name || attempt.Number != i+1 || attempt.StatusCode != 503 {
				t.Errorf("attempt %d is %+v", i+1, attempt)
			}
		}
		if text := log.String(); len(attempts) != 3 || strings.Count(text, "\n") != 3 || strings.Count(text, op.name) < 3 || strings.Contains(text, "4711") {
			t.Errorf("%d attempts observed, log:\n%s", len(attempts), text)
		}
	})
}

func TestOperationRetriesWithoutAnAnswer(t *testing.T) {
	faults := []struct {
		name  string
		fault couriertest.Fault
	}{
		{"reset", couriertest.Fault{Reset: true}},
		{"cut off in a success", couriertest.Fault{Status: 200, Body: []byte(`{"status":"SUCCESS","padding":"` + strings.Repeat("x", 1000) + `"}`), CutOff: true}},
		{"carried out, answer lost", couriertest.Fault{CutOff: true}},
	}
	apiEach(t, func(t *testing.T, op apiOperation) {
		for i, test := range append(faults, faults...) {
			// On a connection that was used before, net/http itself sends a GET
			// again after a reset, and must not do so with a PATCH.
			reused := i >= len(faults)
			t.Run(fmt.Sprintf("%s, connection reused %t", test.name, reused), func(t *testing.T) {
				fake, client := apiFake(t)
				for _, list := range []string{"a", "b"} {
					if _, err := client.Profiles.Lists.Subscribe(t.Context(), "user-1", []courier.ListSubscription{{ListID: list}}); err != nil {
						t.Fatal(err)
					}
				}
				if err := fake.SetProfile("user-1", apiProfile()); err != nil {
					t.Fatal(err)
				}
				if !reused {
					client.CloseIdleConnections()
				}
				before := len(fake.Requests())
				fake.Fail(test.fault)
				call := op.call
				if op.name == "list subscriptions" {
					// The fake knows no such cursor as the table's.
					call = func(ctx context.Context, c *courier.Client, userID string, opts ...courier.RequestOption) (*courier.Result, error) {
						page, err := c.Profiles.Lists.Page(ctx, userID, "", opts...)
						if err != nil {
							return nil, err
						}
						return &courier.Result{Response: page.Response}, nil
					}
				}
				result, err := call(t.Context(), client, "user-1")
				requests := len(fake.Requests()) - before
				if op.method == "PATCH" {
					var failed *courier.ConnectionError
					if !errors.As(err, &failed) || failed.Attempts != 1 || failed.Operation != op.name || requests != 1 {
						t.Errorf("%d requests, error %v, want a *ConnectionError after 1", requests, err)
					}
					return
				}
				if err != nil || requests != 2 || result.Attempts != 2 && !(reused && op.method == "GET" && result.Attempts == 1) {
					t.Errorf("%d requests, result %v, error %v, want a success with the second", requests, result, err)
				}
			})
		}
	})
}

// An error answer whose body is cut off is still that answer, for Patch too.
func TestOperationStatusOfACutOffError(t *testing.T) {
	apiEach(t, func(t *testing.T, op apiOperation) {
		fake, client := apiFake(t)
		fake.Fail(couriertest.Fault{Status: 403, CutOff: true})
		_, err := op.call(t.Context(), client, "user-1")
		var refused *courier.PermissionError
		if !errors.As(err, &refused) || refused.Operation != op.name || len(fake.Requests()) != 1 {
			t.Errorf("%d requests, error %v, want a *PermissionError after 1", len(fake.Requests()), err)
		}
	})
}

// A connection that could not be made cannot have carried a patch.
func TestOperationRetriesWithoutAConnection(t *testing.T) {
	apiEach(t, func(t *testing.T, op apiOperation) {
		server := httptest.NewServer(apiAnswer(200, op.success))
		t.Cleanup(server.Close)
		dials := 0
		pool := &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			if dials++; dials < 3 {
				// Nobody listens on port 0.
				address = "127.0.0.1:0"
			}
			return new(net.Dialer).DialContext(ctx, network, address)
		}}
		client, err := courier.NewClient(apiKey, courier.WithBaseURL(server.URL+apiPrefix), courier.WithRetryWait(0, 0), courier.WithHTTPClient(&http.Client{Transport: pool}))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(client.CloseIdleConnections)
		result, err := op.call(t.Context(), client, "user-1")
		if err != nil || result.Attempts != 3 {
			t.Errorf("result %v, error %v, want a success with the third attempt", result, err)
		}
	})
}

func TestOperationContextDone(t *testing.T) {
	apiEach(t, func(t *testing.T, op apiOperation) {
		client := apiMock(t, func(*http.Request) (*http.Response, error) {
			t.Error("a request was sent")
			return httpmock.NewStringResponse(200, op.success), nil
		})
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		result, err := op.call(ctx, client, "user-1")
		var failed *courier.ConnectionError
		if !errors.Is(err, context.Canceled) || !errors.As(err, &failed) || failed.Attempts != 0 || failed.Operation != op.name || result != nil {
			t.Errorf("result %v, error %v, want a *ConnectionError without an attempt", result, err)
		}
	})
}

func TestOperationIdempotency(t *testing.T) {
	expires := time.Now().Add(48 * time.Hour)
	options := map[string][]courier.RequestOption{
		"WithIdempotencyKey":        {courier.WithIdempotencyKey("key-1")},
		"WithIdempotencyExpiration": {courier.WithIdempotencyExpiration(expires), courier.WithIdempotencyKey("key-1")},
	}
	apiEach(t, func(t *testing.T, op apiOperation) {
		for option, opts := range options {
			var seen []apiRequest
			client := apiMock(t, func(req *http.Request) (*http.Response, error) {
				seen = append(seen, apiRequestOf(t, req))
				return httpmock.NewStringResponse(200, op.success), nil
			})
			result, err := op.call(t.Context(), client, "user-1", opts...)
			if !op.takesKey {
				var refused *courier.ValidationError
				if !errors.As(err, &refused) || refused.Field != option || refused.Reason == "" || result != nil || len(seen) != 0 {
					t.Errorf("%s: %d requests, result %v, error %v, want a *ValidationError", option, len(seen), result, err)
				}
				continue
			}
			if err != nil || len(seen) != 1 {
				t.Errorf("%s: %d requests, error %v", option, len(seen), err)
				continue
			}
			want := []string(nil)
			if option == "WithIdempotencyExpiration" {
				want = []string{fmt.Sprint(expires.UnixMilli())}
			}
			if got := seen[0].Header; !slices.Equal(got["Idempotency-Key"], []string{"key-1"}) || !slices.Equal(got["X-Idempotency-Expiration"], want) {
				t.Errorf("%s: headers %v", option, got)
			}
		}
		// No way round, and no request without one of the checks.
		for _, opts := range [][]courier.RequestOption{
			{courier.WithHeader("Idempotency-Key", "k")}, {courier.WithHeader("x-idempotency-expiration", "1")}, {courier.WithHeader("X-Idempotency-Key", "k")},
			{courier.WithIdempotencyKey("")}, {courier.WithIdempotencyKey("a\nb")}, {courier.WithIdempotencyExpiration(time.Unix(0, 0))}, {nil},
			{courier.WithHeader("Content-Type", "text/plain")}, {courier.WithHeader("authorization", "x")},
		} {
			client := apiMock(t, func(*http.Request) (*http.Response, error) {
				t.Error("a request was sent")
				return httpmock.NewStringResponse(200, op.success), nil
			})
			result, err := op.call(t.Context(), client, "user-1", opts...)
			var refused *courier.ValidationError
			if !errors.As(err, &refused) || result != nil {
				t.Errorf("result %v, error %v, want a *ValidationError", result, err)
			}
		}
	})
}

// All operations on the fake, as a user has them: by what they do.
func TestOperationSemantics(t *testing.T) {
	for _, userID := range []string{"user-1", "a/b#c%d", "lists", "ü ✓?", "x/lists"} {
		t.Run(userID, func(t *testing.T) {
			ctx := t.Context()
			fake, client := apiFake(t)
			profiles := client.Profiles
			want := func(want string) {
				t.Helper()
				got, err := profiles.Get(ctx, userID)
				if err != nil {
					t.Fatal(err)
				}
				if text := got.Profile.String(); text != want {
					t.Errorf("profile is %s, want %s", text, want)
				}
				if stored, ok := fake.Profile(userID); !ok || stored.String() != want {
					t.Errorf("the server has %s, want %s", stored, want)
				}
			}
			must := func(_ *courier.Result, err error) {
				t.Helper()
				if err != nil {
					t.Fatal(err)
				}
			}
			var missing *courier.NotFoundError
			if got, err := profiles.Get(ctx, userID); !errors.As(err, &missing) || got != nil {
				t.Errorf("before: %v, error %v, want a *NotFoundError", got, err)
			}
			must(profiles.Merge(ctx, userID, courier.Profile{Email: courier.Set("a@example.com"), Custom: courier.Set(map[string]any{"a": 1, "b": map[string]any{"c": 2}})}))
			want(`{"email":"a@example.com","custom":{"a":1,"b":{"c":2}}}`)
			must(profiles.Merge(ctx, userID, courier.Profile{Email: courier.Null[string](), Name: courier.Set(""), Custom: courier.Set(map[string]any{"b": map[string]any{"d": 3}})}))
			want(`{"name":"","custom":{"a":1,"b":{"c":2,"d":3}}}`)
			must(profiles.Merge(ctx, userID, courier.Profile{}))
			want(`{"name":"","custom":{"a":1,"b":{"c":2,"d":3}}}`)
			must(profiles.Patch(ctx, userID, []courier.PatchOp{courier.PatchMove("/custom/b/c", "/custom/e"), courier.PatchRemove("/name")}))
			want(`{"custom":{"a":1,"b":{"d":3},"e":2}}`)
			must(profiles.Replace(ctx, userID, courier.Profile{Email: courier.Set("b@example.com")}))
			want(`{"email":"b@example.com"}`)
			must(profiles.Lists.Subscribe(ctx, userID, []courier.ListSubscription{{ListID: "news"}}))
			must(profiles.Replace(ctx, userID, courier.Profile{}))
			want(`{}`)
			must(profiles.Delete(ctx, userID))
			if got, err := profiles.Get(ctx, userID); !errors.As(err, &missing) || got != nil {
				t.Errorf("after: %v, error %v, want a *NotFoundError", got, err)
			}
			if got := fake.Subscriptions(userID); len(got) != 1 || got[0].ID != "news" {
				t.Errorf("subscriptions after Delete: %v", got)
			}
			must(profiles.Lists.UnsubscribeAll(ctx, userID))
			if got := fake.Subscriptions(userID); len(got) != 0 {
				t.Errorf("subscriptions after UnsubscribeAll: %v", got)
			}
			for _, request := range fake.Requests() {
				if request.UserID != userID {
					t.Errorf("a request went to user %q", request.UserID)
				}
			}
		})
	}
}

// All operations at once, for the race detector.
func TestOperationsAtOnce(t *testing.T) {
	fake, client := apiFake(t, courier.WithMaxRetries(20))
	for i := range 8 {
		fake.Fail(couriertest.Fault{Status: 503}, couriertest.Fault{}, couriertest.Fault{Status: 429, RetryAfter: "0"}, couriertest.Fault{})
		if err := fake.SetProfile(fmt.Sprint("user-", i), apiProfile()); err != nil {
			t.Fatal(err)
		}
	}
	shared := twentyFields()
	var wg sync.WaitGroup
	for i := range 8 {
		userID := fmt.Sprint("user-", i)
		wg.Go(func() {
			for range 5 {
				var errs []error
				_, err := client.Profiles.Merge(t.Context(), userID, shared)
				errs = append(errs, err)
				got, err := client.Profiles.Get(t.Context(), userID)
				if errs = append(errs, err); err == nil && got.Profile.Email.Or("") != "user@example.com" {
					errs = append(errs, errors.New("another profile"))
				}
				_, err = client.Profiles.Replace(t.Context(), userID, shared)
				errs = append(errs, err)
				_, err = client.Profiles.Patch(t.Context(), userID, []courier.PatchOp{courier.PatchAdd("/x", userID), courier.PatchTest("/x", userID)})
				errs = append(errs, err)
				_, err = client.Profiles.Lists.Subscribe(t.Context(), userID, []courier.ListSubscription{{ListID: userID}, {ListID: "a"}})
				errs = append(errs, err)
				var lists []string
				for list, err := range client.Profiles.Lists.All(t.Context(), userID) {
					errs = append(errs, err)
					lists = append(lists, list.ID)
				}
				if !slices.Equal(lists, []string{userID, "a"}) {
					errs = append(errs, fmt.Errorf("lists %v", lists))
				}
				_, err = client.Profiles.Lists.UnsubscribeAll(t.Context(), userID)
				errs = append(errs, err)
				_, err = client.Profiles.Delete(t.Context(), userID)
				if err := errors.Join(append(errs, err)...); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

func TestGetAnswers(t *testing.T) {
	preferences := &courier.Preferences{Notifications: map[string]courier.Preference{"n1": {Status: "OPTED_OUT"}}}
	for _, test := range []struct {
		name, body string
		profile    courier.Profile
		want       *courier.Preferences
	}{
		{"preferences", `{"profile":{"email":"a"},"preferences":{"notifications":{"n1":{"status":"OPTED_OUT"}}}}`, courier.Profile{Email: courier.Set("a")}, preferences},
		{"preferences first", `{"preferences":{"notifications":{"n1":{"status":"OPTED_OUT"}}},"profile":{"email":"a"}}`, courier.Profile{Email: courier.Set("a")}, preferences},
		{"preferences null", `{"profile":{"email":"a"},"preferences":null}`, courier.Profile{Email: courier.Set("a")}, nil},
		{"preferences absent", `{"profile":{"email":"a"}}`, courier.Profile{Email: courier.Set("a")}, nil},
		{"preferences empty", `{"profile":{},"preferences":{}}`, courier.Profile{}, &courier.Preferences{}},
		{"preferences with both null", `{"profile":{},"preferences":{"categories":null,"notifications":null}}`, courier.Profile{}, &courier.Preferences{}},
		{"empty profile", `{"profile":{}}`, courier.Profile{}, nil},
		{"unknown members around", `{"a":{"profile":null,"preferences":1},"profile":{"email":"a"},"z":[1e400,"\ud800",{"\ud800":1}]}`, courier.Profile{Email: courier.Set("a")}, nil},
		{"other case is another key", `{"Profile":null,"profile":{},"PREFERENCES":"x"}`, courier.Profile{}, nil},
		{"escaped key", `{"pr\u006ffile":{"\u0065mail":"a"}}`, courier.Profile{Email: courier.Set("a")}, nil},
		{"white space", " \n{ \"profile\" :\t{\r\n} }\n ", courier.Profile{}, nil},
		{"duplicate keys, the last wins", `{"profile":{"email":"x","name":"y"},"preferences":{},"profile":{"email":"a"},"preferences":null}`, courier.Profile{Email: courier.Set("a")}, nil},
		{"duplicate keys, the last wins over what does not fit", `{"profile":5,"preferences":"x","profile":{"email":"a"},"preferences":{}}`, courier.Profile{Email: courier.Set("a")}, &courier.Preferences{}},
		{"profile inside is the claim", `{"profile":{"profile":"https://example.com"}}`, courier.Profile{ProfileURL: courier.Set("https://example.com")}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			client := apiClient(t, apiAnswer(200, test.body))
			got, err := client.Profiles.Get(t.Context(), "user-1")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.profile, got.Profile); diff != "" {
				t.Errorf("profile (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.want, got.Preferences); diff != "" {
				t.Errorf("preferences (-want +got):\n%s", diff)
			}
			if got.StatusCode != 200 || got.Attempts != 1 || got.Header.Get("Content-Length") == "" {
				t.Errorf("response is %v", got.Response)
			}
		})
	}
}

func TestGetWrongShapes(t *testing.T) {
	const canary = "CANARY"
	for _, body := range []string{
		`{}`, `{"profiles":{}}`, `{"Profile":{}}`, `{"preferences":{}}`, `{"preferences":null}`,
		`{"profile":[]}`, `{"profile":[{"email":"` + canary + `"}]}`, `{"profile":"` + canary + `"}`, `{"profile":5}`, `{"profile":true}`, `{"profile":false}`,
		`{"profile":{},"preferences":"` + canary + `"}`, `{"profile":{},"preferences":[]}`, `{"profile":{},"preferences":1}`, `{"profile":{},"preferences":true}`,
		`{"profile":{},"profile":"` + canary + `"}`,
		`{"profile":{}`, `{"profile":{"email":"` + canary, `{"profile":{"email":}}`, `{"profile":{"` + canary + `" 1}}`, `{"profile":{}}{}`, `{"profile":{}} ` + canary, `{"profile":{},}`, `{"profile":{,}}`,
		`{"profile":{"n":01}}`, `{"profile":{"n":+1}}`, `{"profile":{"n":NaN}}`, `{"profile":{"s":"` + "\n" + `"}}`, `{"profile":{"s":"` + "\xff" + `"}}`, `{"profile":{"s":"\x"}}`, `{"profile":{"s":"\u12"}}`,
		`[{"profile":{}}]`, `"{\"profile\":{}}"`, `null`, ``,
		`{"profile":` + strings.Repeat(`{"a":`, 20_000) + `1` + strings.Repeat(`}`, 20_000) + `}`,
		`{"profile":{"a":` + strings.Repeat(`[`, 1_000_000),
	} {
		client := apiClient(t, apiAnswer(200, body))
		got, err := client.Profiles.Get(t.Context(), "user-1")
		var unexpected *courier.UnexpectedResponseError
		if !errors.As(err, &unexpected) || got != nil {
			t.Errorf("%.60q: result %v, error %.200v, want an *UnexpectedResponseError", body, got, err)
			continue
		}
		if unexpected.StatusCode != 200 || string(unexpected.Body) != body || unexpected.Err == nil || strings.Contains(err.Error(), canary) || len(err.Error()) > 200 {
			t.Errorf("%.60q: error reads %.300q", body, err)
		}
	}
}

// nasty profiles are such as no typed struct would keep.
var apiNastyProfiles = map[string]string{
	"empty":                   `{}`,
	"example":                 `{"email":"user@example.com","phone_number":"555-555-5555"}`,
	"null against absent":     `{"email":null,"name":"","custom":{},"address":null,"a":null,"airship":{},"expo":{"tokens":[]},"locale":null}`,
	"strings for booleans":    `{"email_verified":"true","phone_number_verified":0}`,
	"other types":             `{"email":{"a":1},"name":["x"],"given_name":1,"family_name":true,"address":"1 Main St","slack":"U1","custom":"text","expo":[],"webhook":5,"updated_at":1700000000}`,
	"nulls for objects":       `{"address":null,"slack":null,"custom":null,"airship":null,"firebaseToken":null,"expo":{"tokens":null,"token":null}}`,
	"inside objects":          `{"address":{"country":5,"x":{"y":[null]}},"slack":{"incoming_webhook":"url","channel":null,"Channel":"c"},"airship":{"audience":{"named_user":1,"tag":"t"},"device_types":["ios",1]}}`,
	"tokens as text":          `{"firebaseToken":"t","expo":{"tokens":"t"}}`,
	"tokens as one":           `{"firebaseToken":["t"],"expo":{"tokens":["t"],"token":"t"}}`,
	"tokens as objects":       `{"firebaseToken":[{"token":"t"}],"expo":{"tokens":[{"token":"a"},{"token":"b"}]}}`,
	"tokens mixed":            `{"firebaseToken":["t",{"token":"u"}],"expo":{"tokens":[{"token":"a","x":1},"b",null]}}`,
	"tokens of nothing":       `{"firebaseToken":[],"expo":{"tokens":[[]]}}`,
	"tokens of null":          `{"firebaseToken":[null],"expo":{"tokens":[{"token":null}]}}`,
	"numbers":                 `{"a":9007199254740993,"b":0.1000000000000000055511151231257827,"c":1e400,"d":-0,"e":-0.0,"f":1E+2,"g":1.0,"h":123456789012345678901234567890,"i":0e0,"custom":{"n":[1.10,1e-400]}}`,
	"keys of other case":      `{"Email":"A","EMAIL":"B","email":"c","Custom":{"a":1},"custom":{"A":1,"a":2},"extra":1,"Extra":2}`,
	"odd keys":                `{"":"empty","a.b":1,"a/b":2,"~0":3," ":4,"\u0000":5,"\"":6,"\\":7,"ü":8,"\u2028":9,"<b>&":10,"😀":11,"__proto__":12,"-":13}`,
	"empty key everywhere":    `{"":{"":{"":null}},"address":{"":""},"custom":{"":[]},"slack":{"":1}}`,
	"odd text":                `{"name":"<script>&amp;\u2028\u2029\u0000\u001f\u007f\ud83d\ude00\/\ufffd\"\\","a":"\ufeff","b":"\ufffe","custom":{"c":"\\ufffd \ufffd"}}`,
	"half surrogates":         `{"name":"\ud800","custom":{"a":["\udc00x"]},"z":"\ud83d","address":{"country":"\udfff"}}`,
	"arrays":                  `{"a":[],"b":[[],[[]]],"c":[null,false,0,"",{},[]],"custom":{"d":[{"e":[{}]}]}}`,
	"falsy":                   `{"email_verified":false,"a":false,"b":0,"c":"","phone_number_verified":null}`,
	"webhook":                 `{"webhook":{"url":"u","method":"POST","headers":{"A":"b","C":""},"authentication":{"mode":"basic","username":"u","password":null},"profile":"limited","x":1}}`,
	"webhook headers numbers": `{"webhook":{"headers":{"A":1,"B":"b"}}}`,
	"webhook headers null":    `{"webhook":{"headers":{"A":null}}}`,
	"ms_teams":                `{"ms_teams":{"tenant_id":"t","service_url":"s","channel_name":"c","team_id":5,"x":{"y":1.00}}}`,
	"deep":                    `{"custom":` + strings.Repeat(`{"a":[`, 2000) + `1.50` + strings.Repeat(`]}`, 2000) + `}`,
	"as deep as can be":       `{"a":` + strings.Repeat(`[`, 9998) + strings.Repeat(`]`, 9998) + `}`,
	"long text":               `{"name":"` + strings.Repeat(`\u00e9`, 50_000) + `","x":"` + strings.Repeat("é", 50_000) + `"}`,
	"members as our structs":  `{"profile":{"email":"x"},"preferences":{"a":1},"status":"SUCCESS","Profile":null}`,
}

// apiPair is a server with one profile that GET shows as it is and PUT replaces,
// byte by byte.
type apiPair struct{ profile string }

func (p *apiPair) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if req.Method == http.MethodGet {
		_, _ = io.WriteString(w, `{"profile":`+p.profile+`,"preferences":null}`)
		return
	}
	body, _ := io.ReadAll(req.Body)
	text, opens := strings.CutPrefix(string(body), `{"profile":`)
	text, closes := strings.CutSuffix(text, "}")
	if !opens || !closes || req.Method != http.MethodPut {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	p.profile = text
	w.WriteHeader(http.StatusNoContent)
}

func TestGetThenReplaceLosesNothing(t *testing.T) {
	for name, profile := range apiNastyProfiles {
		t.Run(name, func(t *testing.T) {
			pair := &apiPair{profile: profile}
			client := apiClient(t, pair)
			for range 2 {
				got, err := client.Profiles.Get(t.Context(), "user-1")
				if err != nil {
					t.Fatal(err)
				}
				if _, err := client.Profiles.Replace(t.Context(), "user-1", got.Profile); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(apiExact(t, profile), apiExact(t, pair.profile)); diff != "" {
					t.Fatalf("what was lost or added (-before +after):\n%s", diff)
				}
			}
		})
	}
}

// Random documents of known and unknown keys with values that fit and do not.
func TestGetThenReplaceOfRandomProfiles(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 14))
	pair := new(apiPair)
	client := apiMock(t, func(req *http.Request) (*http.Response, error) {
		recorder := httptest.NewRecorder()
		pair.ServeHTTP(recorder, req)
		return recorder.Result(), nil
	})
	for range 1000 {
		profile := apiRandomObject(random, 0)
		pair.profile = profile
		got, err := client.Profiles.Get(t.Context(), "user-1")
		if err != nil {
			t.Fatalf("%s: %v", profile, err)
		}
		if _, err := client.Profiles.Replace(t.Context(), "user-1", got.Profile); err != nil {
			t.Fatalf("%s: %v", profile, err)
		}
		if diff := cmp.Diff(apiExact(t, profile), apiExact(t, pair.profile)); diff != "" {
			t.Fatalf("%s: what was lost or added (-before +after):\n%s", profile, diff)
		}
	}
}

var apiRandomKeys = []string{
	"email", "Email", "name", "email_verified", "phone_number_verified", "address", "country", "street_address", "custom", "airship", "audience", "named_user", "device_types",
	"expo", "token", "tokens", "firebaseToken", "slack", "incoming_webhook", "url", "access_token", "ms_teams", "webhook", "headers", "authentication", "mode", "profile", "discord",
	"channel_id", "intercom", "to", "id", "", "a", "A", "ü", `\ud83d\ude00`, "updated_at", "apn", "oneSignalPlayerID",
}

var apiRandomLeaves = []string{
	"null", "true", "false", "0", "-0", "1.0", "1e5", "1E+05", "9007199254740993", "0.10", `""`, `"text"`, `"\u0000"`, `"é\/"`, `"\ud800"`, `"\ufffd"`, `"true"`, "[]", "{}",
	`["a","b"]`, `[{"token":"t"}]`, `[{"token":"t"},"u"]`, `{"token":"t"}`,
}

func apiRandomObject(random *rand.Rand, depth int) string {
	var b strings.Builder
	b.WriteByte('{')
	keys := random.Perm(len(apiRandomKeys))[:random.IntN(8)]
	for i, key := range keys {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(`"` + apiRandomKeys[key] + `" : ` + apiRandomValue(random, depth+1))
	}
	b.WriteByte('}')
	return b.String()
}

func apiRandomValue(random *rand.Rand, depth int) string {
	switch n := random.IntN(6); {
	case n < 2 && depth < 5:
		return apiRandomObject(random, depth)
	case n == 2 && depth < 5:
		elements := make([]string, random.IntN(4))
		for i := range elements {
			elements[i] = apiRandomValue(random, depth+1)
		}
		return "[" + strings.Join(elements, " ,") + "]"
	}
	return apiRandomLeaves[random.IntN(len(apiRandomLeaves))]
}

// apiExact returns a JSON value in one form, in which nothing that could get
// lost is gone: numbers as they are written, the escapes of half a surrogate
// pair, keys sorted.
func apiExact(t testing.TB, text string) string {
	t.Helper()
	if !json.Valid([]byte(text)) || !utf8.ValidString(text) {
		t.Fatalf("%.200q is no JSON", text)
	}
	// A half pair becomes U+FFFD in encoding/json, so that its escape is escaped.
	for _, half := range []string{`\ud800`, `\udc00`, `\udfff`, `\ud83d"`} {
		text = strings.ReplaceAll(text, half, `\\HALF`+half[1:])
	}
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		t.Fatal(err)
	}
	exact, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(exact)
}

func TestGetChangeReplaceChangesOnlyThat(t *testing.T) {
	before := `{"email":"old@example.com","email_verified":"true","Email":"E","address":{"country":"GB","x":[1.0]},"custom":{"n":9007199254740993,"nested":{"a":null}},"slack":"U1","expo":{"tokens":[{"token":"t"}],"y":1e5},"unknown":{"k":[]}}`
	for _, test := range []struct {
		name   string
		change func(*courier.Profile)
		old    string
		new    string
	}{
		{"a value", func(p *courier.Profile) { p.Email = courier.Set("new@example.com") }, `"email":"old@example.com"`, `"email":"new@example.com"`},
		{"null", func(p *courier.Profile) { p.Email = courier.Null[string]() }, `"email":"old@example.com"`, `"email":null`},
		{"away", func(p *courier.Profile) { p.Email = courier.Field[string]{} }, `"email":"old@example.com",`, ``},
		{"in an object", func(p *courier.Profile) {
			address, _ := p.Address.Get()
			address.Country = courier.Set("FR")
			p.Address = courier.Set(address)
		}, `"country":"GB"`, `"country":"FR"`},
		{"in custom", func(p *courier.Profile) { p.Custom.Or(nil)["plan"] = "pro" }, `"nested"`, `"plan":"pro","nested"`},
		{"one that did not fit", func(p *courier.Profile) {
			delete(p.Extra, "email_verified")
			p.EmailVerified = courier.Set(true)
		}, `"email_verified":"true"`, `"email_verified":true`},
		{"tokens", func(p *courier.Profile) {
			expo, _ := p.Expo.Get()
			expo.Tokens = courier.Set(courier.TokenList("u"))
			p.Expo = courier.Set(expo)
		}, `[{"token":"t"}]`, `["u"]`},
	} {
		t.Run(test.name, func(t *testing.T) {
			pair := &apiPair{profile: before}
			client := apiClient(t, pair)
			got, err := client.Profiles.Get(t.Context(), "user-1")
			if err != nil {
				t.Fatal(err)
			}
			test.change(&got.Profile)
			if _, err := client.Profiles.Replace(t.Context(), "user-1", got.Profile); err != nil {
				t.Fatal(err)
			}
			want := strings.Replace(before, test.old, test.new, 1)
			if diff := cmp.Diff(apiExact(t, want), apiExact(t, pair.profile)); diff != "" || want == before {
				t.Errorf("replaced with (-want +got):\n%s", diff)
			}
		})
	}
}

// What one call read is not what the next one writes into.
func TestGetResultsShareNothing(t *testing.T) {
	client := apiClient(t, apiAnswer(200, `{"profile":{"name":"first","custom":{"a":1},"x":{"y":1}},"preferences":{"categories":{"c":{"status":"OPTED_IN"}}}}`))
	first, err := client.Profiles.Get(t.Context(), "user-1")
	if err != nil {
		t.Fatal(err)
	}
	first.Profile.Custom.Or(nil)["a"] = "changed"
	first.Profile.Extra["x"].(map[string]any)["y"] = "changed"
	first.Preferences.Categories["c"] = courier.Preference{}
	first.Header.Set("Date", "changed")
	second, err := client.Profiles.Get(t.Context(), "user-1")
	if err != nil {
		t.Fatal(err)
	}
	if got := second.Profile.String(); got != `{"name":"first","custom":{"a":1},"x":{"y":1}}` || second.Preferences.Categories["c"].Status != "OPTED_IN" || second.Header.Get("Date") == "changed" {
		t.Errorf("the second result is %v", second)
	}
}

type apiCustom struct {
	Plan   string     `json:"plan"`
	Seats  int64      `json:"seats"`
	Ratio  float64    `json:"ratio"`
	Any    any        `json:"any"`
	Beta   *bool      `json:"beta"`
	Tags   []string   `json:"tags"`
	Nested *apiCustom `json:"nested"`
}

func TestGetDecodeCustom(t *testing.T) {
	yes := true
	untouched := apiCustom{Plan: "before", Seats: 7}
	for _, test := range []struct {
		name, profile string
		want          apiCustom
	}{
		{"values", `{"custom":{"plan":"pro","seats":12,"ratio":0.1,"beta":true,"tags":["a","ü"],"nested":{"plan":"<&>"}}}`,
			apiCustom{Plan: "pro", Seats: 12, Ratio: 0.1, Beta: &yes, Tags: []string{"a", "ü"}, Nested: &apiCustom{Plan: "<&>"}}},
		{"numbers exact", `{"custom":{"seats":9007199254740993,"nested":{"seats":-9223372036854775808,"nested":{"seats":9223372036854775807}}}}`,
			apiCustom{Plan: "before", Seats: 9007199254740993, Nested: &apiCustom{Seats: -9223372036854775808, Nested: &apiCustom{Seats: 9223372036854775807}}}},
		{"member null", `{"custom":{"plan":null,"beta":null}}`, untouched},
		{"unknown members", `{"custom":{"x":[1],"":2}}`, untouched},
		{"empty", `{"custom":{}}`, untouched},
		{"null", `{"custom":null}`, untouched},
		{"absent", `{"Custom":{"plan":"pro"}}`, untouched},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := apiClient(t, apiAnswer(200, `{"profile":`+test.profile+`}`)).Profiles.Get(t.Context(), "user-1")
			if err != nil {
				t.Fatal(err)
			}
			custom := untouched
			if err := got.Profile.DecodeCustom(&custom); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, custom); diff != "" {
				t.Errorf("custom (-want +got):\n%s", diff)
			}
		})
	}
	for profile, want := range map[string]map[string]int{
		`{}`: nil, `{"custom":null}`: nil, `{"custom":{}}`: {}, `{"custom":{"a":1}}`: {"a": 1},
	} {
		got, err := apiClient(t, apiAnswer(200, `{"profile":`+profile+`}`)).Profiles.Get(t.Context(), "user-1")
		if err != nil {
			t.Fatal(err)
		}
		var custom map[string]int
		if err := got.Profile.DecodeCustom(&custom); err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff(want, custom); diff != "" {
			t.Errorf("%s: custom (-want +got):\n%s", profile, diff)
		}
	}
}

func TestGetDecodeCustomErrors(t *testing.T) {
	const canary = "4711CANARY"
	quoted := new(struct {
		Seats int `json:"seats,string"`
	})
	for _, test := range []struct {
		name, custom string
		into         any
	}{
		{"text for a number", `{"seats":"` + canary + `"}`, new(apiCustom)},
		{"number for text", `{"plan":4711}`, new(apiCustom)},
		{"fraction for an integer", `{"seats":4711.5}`, new(apiCustom)},
		{"number too large", `{"seats":47114711471147114711}`, new(apiCustom)},
		{"number too large for a float64", `{"ratio":4711e400}`, new(apiCustom)},
		{"inside", `{"nested":{"tags":["a",{"` + canary + `":"` + canary + `"}]}}`, new(apiCustom)},
		{"text", `"` + canary + `"`, new(apiCustom)},
		{"number", `4711`, new(apiCustom)},
		{"array", `["` + canary + `"]`, new(apiCustom)},
		{"true", `true`, new(apiCustom)},
		{"map of numbers", `{"` + canary + `":"` + canary + `"}`, new(map[string]int)},
		{"keys that are no numbers", `{"` + canary + `":1}`, new(map[int]int)},
		{"time", `{"at":"` + canary + `"}`, new(struct {
			At time.Time `json:"at"`
		})},
		{"IP address", `{"at":"` + canary + `"}`, new(struct {
			At net.IP `json:"at"`
		})},
		{"bytes", `{"at":"!` + canary + `"}`, new(struct {
			At []byte `json:"at"`
		})},
		{"quoted number", `{"seats":"` + canary + `"}`, quoted},
		{"quoted number without quotes", `{"seats":"{\"` + canary + `\":1}"}`, quoted},
		{"no pointer", `{"plan":"` + canary + `"}`, apiCustom{}},
		{"nil", `{"plan":"` + canary + `"}`, nil},
		{"nil pointer", `{"plan":"` + canary + `"}`, (*apiCustom)(nil)},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := apiClient(t, apiAnswer(200, `{"profile":{"custom":`+test.custom+`}}`)).Profiles.Get(t.Context(), "user-1")
			if err != nil {
				t.Fatal(err)
			}
			err = got.Profile.DecodeCustom(test.into)
			if err == nil {
				t.Fatalf("no error, read %+v", test.into)
			}
			if text := fmt.Sprintf("%v %+v", err, err); strings.Contains(text, "4711") || strings.Contains(text, "CANARY") {
				t.Errorf("error %q shows data", text)
			}
		})
	}
}

func TestDecodeCustomOfAProfileThatWasMade(t *testing.T) {
	profile := courier.Profile{Custom: courier.Set(map[string]any{
		"plan": "pro", "seats": int64(9007199254740993), "ratio": json.Number("0.5"), "tags": []string{"a"}, "nested": map[string]int{"seats": 1},
	})}
	var got apiCustom
	if err := profile.DecodeCustom(&got); err != nil {
		t.Fatal(err)
	}
	want := apiCustom{Plan: "pro", Seats: 9007199254740993, Ratio: 0.5, Tags: []string{"a"}, Nested: &apiCustom{Seats: 1}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("custom (-want +got):\n%s", diff)
	}
	profile.Custom = courier.Set(map[string]any{"plan": func() {}})
	var refused *courier.ValidationError
	if err := profile.DecodeCustom(&got); !errors.As(err, &refused) {
		t.Errorf("error is %v, want a *ValidationError", err)
	}
}

func TestWritesRefuseProfilesBeforeTheyAreSent(t *testing.T) {
	client := apiMock(t, func(*http.Request) (*http.Response, error) {
		t.Error("a request was sent")
		return httpmock.NewStringResponse(200, success), nil
	})
	for field, profile := range map[string]courier.Profile{
		"profile.email":           {Email: courier.Set("\xff")},
		"profile.address.country": {Address: courier.Set(courier.Address{Country: courier.Set("x"), Extra: map[string]any{"country": "y"}})},
		"profile.name":            {Name: courier.Set("x"), Extra: map[string]any{"name": "y"}},
		"profile":                 {Extra: map[string]any{"a": func() {}}},
		"profile.custom":          {Custom: courier.Set(map[string]any{"a": map[string]any{"\xff": 1}})},
	} {
		for name, call := range map[string]func(context.Context, string, courier.Profile, ...courier.RequestOption) (*courier.Result, error){
			"Merge": client.Profiles.Merge, "Replace": client.Profiles.Replace,
		} {
			result, err := call(t.Context(), "user-1", profile)
			var refused *courier.ValidationError
			if !errors.As(err, &refused) || refused.Field != field || result != nil {
				t.Errorf("%s, %s: result %v, error %v", name, field, result, err)
			}
		}
	}
}
