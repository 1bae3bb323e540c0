// Errors shows each kind of error of package courier and what to do about it. It runs
// against the in-memory fake of the API.
package main

import (
	"context"
	"errors"
	"fmt"
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

// handle says what a service does with the error of a call.
func handle(ctx context.Context, err error) string {
	var (
		validation *courier.ValidationError
		refused    *courier.InvalidRequestError
		key        *courier.AuthenticationError
		forbidden  *courier.PermissionError
		notFound   *courier.NotFoundError
		conflict   *courier.ConflictError
		tooLarge   *courier.PayloadTooLargeError
		rateLimit  *courier.RateLimitError
		server     *courier.ServerError
		other      *courier.APIError // wrapped by all of the above, so it comes after them
		unexpected *courier.UnexpectedResponseError
		connection *courier.ConnectionError
	)
	switch {
	case err == nil:
		return "done"
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
		return "the context ended: retry later, from a queue"
	case errors.As(err, &validation):
		return "a bug in our code, nothing was sent: fix " + validation.Field
	case errors.As(err, &refused):
		return "Courier rejected the profile: do not retry: " + refused.Message
	case errors.As(err, &key):
		return "the API key is invalid: alert someone"
	case errors.As(err, &forbidden):
		return "the API key lacks the permission: use another"
	case errors.As(err, &notFound):
		return "the user has no profile"
	case errors.As(err, &conflict):
		return "concurrent writes to this profile: retry later"
	case errors.As(err, &tooLarge):
		return "the profile is too large: store less in it"
	case errors.As(err, &rateLimit):
		return fmt.Sprint("too many requests: retry in ", rateLimit.RetryAfter)
	case errors.As(err, &server):
		return fmt.Sprintf("Courier failed (attempts: %d): retry later", server.Attempts)
	case errors.As(err, &other):
		return fmt.Sprint("an undocumented status: ", other.StatusCode)
	case errors.As(err, &unexpected):
		return "not Courier's response: check for a proxy or a captive portal"
	case errors.As(err, &connection):
		return "no response: retry later"
	}
	return "not from this package"
}

func run(ctx context.Context) error {
	fake := couriertest.NewServer()
	defer fake.Close()
	client, err := fake.Client(courier.WithMaxRetries(0))
	if err != nil {
		return err
	}
	profile := courier.Profile{Email: courier.Set("user@example.com")}

	for _, fault := range []couriertest.Fault{
		{Status: 400}, {Status: 401}, {Status: 403}, {Status: 404}, {Status: 409}, {Status: 413},
		{Status: 429, RetryAfter: "120"}, {Status: 503}, {Status: 302},
		{Status: 200, Body: []byte("<html>Log in to the hotel's network</html>")},
		{Reset: true},
	} {
		fake.Fail(fault)
		_, err := client.Profiles.Merge(ctx, "user-1", profile)
		show(ctx, err)
	}

	_, err = client.Profiles.Merge(ctx, "", profile)
	show(ctx, err)

	ended, cancel := context.WithCancel(ctx)
	cancel()
	_, err = client.Profiles.Merge(ended, "user-1", profile)
	show(ended, err)
	return nil
}

func show(ctx context.Context, err error) { fmt.Printf("%v\n\t→ %s\n", err, handle(ctx, err)) }
