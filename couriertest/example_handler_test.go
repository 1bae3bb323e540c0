package couriertest_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	courier "github.com/courier-profiles/courier-go"
	"github.com/courier-profiles/courier-go/couriertest"
)

// The test of the package example runs here, because godoc shows the whole file of an
// example only if that file has no tests.
func TestPackageExample(t *testing.T) {
	t.Parallel()
	testChangeEmail(t)
}

// serve starts a server and returns a client of it. Examples need it because they have no
// *testing.T. Your tests call couriertest.NewServer(t) and its method Client instead.
func serve(handler http.Handler, opts ...courier.Option) (*courier.Client, *httptest.Server) {
	server := httptest.NewServer(handler)
	all := []courier.Option{courier.WithBaseURL(server.URL), courier.WithRetryWait(0, 0)}
	client, err := courier.NewClient(couriertest.DefaultAPIKey, append(all, opts...)...)
	if err != nil {
		log.Fatal(err)
	}
	return client, server
}

// The client retries after a 503 and after a lost connection.
func ExampleHandler_Fail() {
	handler := couriertest.NewHandler()
	client, server := serve(handler)
	defer server.Close()

	handler.Fail(
		couriertest.Fault{Status: http.StatusServiceUnavailable},
		couriertest.Fault{Reset: true},
	)
	result, err := client.Profiles.Merge(context.Background(), "user-1", courier.Profile{})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(result.Status, result.Attempts)
	// Output: SUCCESS 3
}

// The client returns the error at once if Retry-After is longer than it may wait.
func ExampleHandler_Fail_retryAfter() {
	handler := couriertest.NewHandler()
	client, server := serve(handler, courier.WithMaxRetryAfter(time.Second))
	defer server.Close()

	handler.Fail(couriertest.Fault{Status: http.StatusTooManyRequests, RetryAfter: "3600"})
	_, err := client.Profiles.Merge(context.Background(), "user-1", courier.Profile{})
	var limited *courier.RateLimitError
	if errors.As(err, &limited) {
		fmt.Println("retry after", limited.RetryAfter)
	}
	// Output: retry after 1h0m0s
}

// FailUser fails the request for one of many users, in whatever order they arrive.
func ExampleHandler_FailUser() {
	handler := couriertest.NewHandler()
	client, server := serve(handler)
	defer server.Close()

	handler.FailUser("user-2", couriertest.Fault{Status: http.StatusBadRequest})
	profiles := map[string]courier.Profile{"user-1": {}, "user-2": {}, "user-3": {}}
	for outcome := range client.Profiles.MergeAll(context.Background(), maps.All(profiles)) {
		if outcome.Err != nil {
			fmt.Println("failed:", outcome.UserID)
		}
	}
	fmt.Println(handler.UserIDs())
	// Output:
	// failed: user-2
	// [user-1 user-3]
}

// OnRequest shows what each request changed.
func ExampleHandler_onRequest() {
	handler := couriertest.NewHandler()
	handler.OnRequest = func(e couriertest.Exchange) {
		fmt.Println(e.Request.Operation, e.Request.Status)
		fmt.Printf("%s\n%s\n", e.Before, e.After)
	}
	client, server := serve(handler)
	defer server.Close()

	err := handler.SetProfile("user-1", courier.Profile{Email: courier.Set("a@example.com")})
	if err != nil {
		fmt.Println(err)
		return
	}
	name := courier.Profile{Name: courier.Set("Ada")}
	_, err = client.Profiles.Merge(context.Background(), "user-1", name)
	if err != nil {
		fmt.Println(err)
		return
	}
	// Output:
	// merge profile 200
	// {"email":"a@example.com"}
	// {"email":"a@example.com","name":"Ada"}
}

// Requests shows what the code under test sent.
func ExampleHandler_Requests() {
	handler := couriertest.NewHandler()
	client, server := serve(handler)
	defer server.Close()

	profile := courier.Profile{PhoneNumber: courier.Null[string]()}
	_, err := client.Profiles.Merge(context.Background(), "a/b", profile)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, r := range handler.Requests() {
		fmt.Println(r.Operation, r.UserID, r.Status)
		fmt.Println(r.JSON)
	}
	// Output:
	// merge profile a/b 200
	// map[profile:map[phone_number:<nil>]]
}

// A server of your own can have the API below a prefix, here /courier. Programs in any
// language can be tested with it.
func ExampleNewHandler() {
	handler := couriertest.NewHandler()
	handler.APIKey = "my-key"
	handler.PageSize = 50
	mux := http.NewServeMux()
	mux.Handle("/courier/", http.StripPrefix("/courier", handler))
	server := httptest.NewServer(mux)
	defer server.Close()

	client, err := courier.NewClient("my-key", courier.WithBaseURL(server.URL+"/courier"))
	if err != nil {
		fmt.Println(err)
		return
	}
	lists := []courier.ListSubscription{{ListID: "news"}}
	_, err = client.Profiles.Lists.Subscribe(context.Background(), "user-1", lists)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(handler.Subscriptions("user-1")[0].ID)
	// Output: news
}

// A profile as JSON can be compared with a golden file.
func ExampleHandler_ProfileJSON() {
	handler := couriertest.NewHandler()
	custom := courier.Set(map[string]any{"plan": "pro"})
	err := handler.SetProfile("user-1", courier.Profile{Custom: custom})
	if err != nil {
		fmt.Println(err)
		return
	}
	profile, ok := handler.ProfileJSON("user-1")
	fmt.Println(string(profile), ok)
	// Output: {"custom":{"plan":"pro"}} true
}

// Preferences are set by the test, because no operation of the API sets them.
func ExampleHandler_SetPreferences() {
	handler := couriertest.NewHandler()
	client, server := serve(handler)
	defer server.Close()

	err := handler.SetProfile("user-1", courier.Profile{})
	if err != nil {
		fmt.Println(err)
		return
	}
	err = handler.SetPreferences("user-1", &courier.Preferences{
		Categories: map[string]courier.Preference{"offers": {Status: "OPTED_OUT"}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	result, err := client.Profiles.Get(context.Background(), "user-1")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(result.Preferences.Categories["offers"].Status)
	// Output: OPTED_OUT
}
