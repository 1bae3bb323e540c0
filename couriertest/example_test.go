package couriertest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	courier "github.com/courier-profiles/courier-go"
	"github.com/courier-profiles/courier-go/couriertest"
)

// A test prepares a profile, runs the code under test, and checks the result.
func Example() {
	server := couriertest.NewServer()
	defer server.Close()
	client, err := server.Client()
	if err != nil {
		fmt.Println(err)
		return
	}

	err = server.SetProfile("user-1", courier.Profile{
		Email: courier.Set("old@example.com"),
		Name:  courier.Set("Ada"),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = client.Profiles.Merge(context.Background(), "user-1", courier.Profile{Email: courier.Set("new@example.com")})
	if err != nil {
		fmt.Println(err)
		return
	}

	profile, ok := server.Profile("user-1")
	fmt.Println(ok, profile.Name.Or("?"), profile.Email.Or("?"))
	// Output: true Ada new@example.com
}

// The client retries after a 503 and after a lost connection.
func ExampleHandler_Fail() {
	server := couriertest.NewServer()
	defer server.Close()
	client, err := server.Client()
	if err != nil {
		fmt.Println(err)
		return
	}

	server.Fail(
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

// The client does not wait for an hour.
func ExampleHandler_Fail_retryAfter() {
	server := couriertest.NewServer()
	defer server.Close()
	client, err := server.Client(courier.WithMaxRetryAfter(time.Second))
	if err != nil {
		fmt.Println(err)
		return
	}

	server.Fail(couriertest.Fault{Status: http.StatusTooManyRequests, RetryAfter: "3600"})
	_, err = client.Profiles.Merge(context.Background(), "user-1", courier.Profile{})
	var limited *courier.RateLimitError
	if errors.As(err, &limited) {
		fmt.Println("retry after", limited.RetryAfter)
	}
	// Output: retry after 1h0m0s
}

// Requests shows what the code under test sent.
func ExampleHandler_Requests() {
	server := couriertest.NewServer()
	defer server.Close()
	client, err := server.Client()
	if err != nil {
		fmt.Println(err)
		return
	}

	_, err = client.Profiles.Merge(context.Background(), "a/b", courier.Profile{PhoneNumber: courier.Null[string]()})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, r := range server.Requests() {
		fmt.Println(r.Operation, r.UserID, r.Status)
		fmt.Println(r.JSON)
	}
	// Output:
	// merge profile a/b 200
	// map[profile:map[phone_number:<nil>]]
}

// Your own server, with the API below a prefix, can serve programs in any language.
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
	_, err = client.Profiles.Lists.Subscribe(context.Background(), "user-1", []courier.ListSubscription{{ListID: "news"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(handler.Subscriptions("user-1")[0].ID)
	// Output: news
}

// A profile as JSON can be compared with a golden file.
func ExampleHandler_Profile() {
	handler := couriertest.NewHandler()
	err := handler.SetProfile("user-1", courier.Profile{Custom: courier.Set(map[string]any{"plan": "pro"})})
	if err != nil {
		fmt.Println(err)
		return
	}
	profile, _ := handler.Profile("user-1")
	text, err := json.Marshal(profile)
	fmt.Println(string(text), err)
	// Output: {"custom":{"plan":"pro"}} <nil>
}

// Preferences are set by the test, because no operation of the API sets them.
func ExampleHandler_SetPreferences() {
	server := couriertest.NewServer()
	defer server.Close()
	client, err := server.Client()
	if err != nil {
		fmt.Println(err)
		return
	}

	err = errors.Join(
		server.SetProfile("user-1", courier.Profile{}),
		server.SetPreferences("user-1", &courier.Preferences{
			Categories: map[string]courier.Preference{"offers": {Status: "OPTED_OUT"}},
		}),
	)
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
