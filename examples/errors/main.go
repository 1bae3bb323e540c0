// Errors shows what the errors of package courier look like, and what a service does with
// them. It runs against the in-memory fake of the API.
//
//	go run ./examples/errors
package main

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"

	courier "github.com/courier-profiles/courier-go"
	"github.com/courier-profiles/courier-go/couriertest"
)

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// handle returns what a service does after a call. [courier.Retryable] answers most of
// it; a precise type is for the few errors that need something else.
func handle(err error) string {
	if err == nil {
		return "done"
	}
	if limit, ok := errors.AsType[*courier.RateLimitError](err); ok && limit.RetryAfter > 0 {
		return fmt.Sprintf("retry in %v, from a queue", limit.RetryAfter)
	}
	if courier.Retryable(err) {
		return "retry later, from a queue"
	}
	if _, ok := errors.AsType[*courier.AuthenticationError](err); ok {
		return "stop and alert someone: no call succeeds with this API key"
	}
	return "do not retry: log the error, and fix what it says"
}

func run(ctx context.Context) error {
	fake := couriertest.NewHandler()
	server := httptest.NewServer(fake)
	defer server.Close()
	// Without retries each call shows the error of one fault.
	client, err := courier.NewClient(fake.APIKey,
		courier.WithBaseURL(server.URL), courier.WithMaxRetries(0))
	if err != nil {
		return err
	}
	merge := func(ctx context.Context, userID string) {
		profile := courier.Profile{Email: courier.Set("user@example.com")}
		_, err := client.Profiles.Merge(ctx, userID, profile)
		show(err)
	}

	for _, fault := range []couriertest.Fault{
		{Status: 400}, {Status: 401}, {Status: 403}, {Status: 404}, {Status: 409}, {Status: 413},
		{Status: 429, RetryAfter: "120"}, {Status: 503}, {Status: 302},
		{Status: 200, Body: []byte("<html>Log in to the hotel's network</html>")},
		{Reset: true},
	} {
		fake.Fail(fault)
		merge(ctx, "user-1")
	}

	merge(ctx, "") // a user ID is missing

	ended, cancel := context.WithCancel(ctx)
	cancel()
	merge(ended, "user-1")
	return nil
}

// show prints the type of an error, its text, and what to do. Type, status, and request ID
// of every HTTP error are in the APIError that it wraps.
func show(err error) {
	fmt.Printf("%T\n\t%v\n", err, err)
	if response, ok := errors.AsType[*courier.APIError](err); ok {
		fmt.Printf("\tstatus %d, type %q\n", response.StatusCode, response.Type)
	}
	if errors.Is(err, courier.ErrNotSent) {
		fmt.Printf("\tnothing was sent\n")
	}
	fmt.Printf("\t→ %s\n", handle(err))
}
