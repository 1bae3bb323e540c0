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

// A test prepares a profile, runs what it tests, and looks at what came of it.
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

// A 503 and a lost connection, each of which the client gets over by itself.
func ExampleHandler_Fail() {
	server := couriertest.NewServer()
	defer server.Close()
	client, err := server.Client(courier.WithRetryWait(0, 0))
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

// An answer that is not worth waiting for.
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
		fmt.Println("try again in", limited.RetryAfter)
	}
	// Output: try again in 1h0m0s
}

// What was sent, parsed.
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

// The API below a prefix of a server of the caller's own, as a program in any
// language sees it.
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

// A profile as JSON, to compare with a golden file.
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
