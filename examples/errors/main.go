// Errors shows each kind of error of package courier and what to do with it.
// It runs against the Profiles API in memory.
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

// handle is what a service does with the error of a call.
func handle(err error) string {
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
		other      *courier.APIError // all of the above hold one, so it comes behind them
		unexpected *courier.UnexpectedResponseError
		connection *courier.ConnectionError
	)
	switch {
	case err == nil:
		return "done"
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return "out of time: the user has gone, or try again from a queue"
	case errors.As(err, &validation):
		return "our mistake, nothing was sent: mend " + validation.Field
	case errors.As(err, &refused):
		return "Courier refuses the profile: do not send it again: " + refused.Message
	case errors.As(err, &key):
		return "the API key is wrong: wake somebody up"
	case errors.As(err, &forbidden):
		return "the API key may not do this: use another"
	case errors.As(err, &notFound):
		return "there is no such profile"
	case errors.As(err, &conflict):
		return "somebody else keeps changing this profile: try again later"
	case errors.As(err, &tooLarge):
		return "the profile is too large: store less in it"
	case errors.As(err, &rateLimit):
		return fmt.Sprint("too fast: try again in ", rateLimit.RetryAfter)
	case errors.As(err, &server):
		return fmt.Sprint("Courier is in trouble after ", server.Attempts, " attempts: try again later")
	case errors.As(err, &other):
		return fmt.Sprint("a status that the API does not document: ", other.StatusCode)
	case errors.As(err, &unexpected):
		return "something that is not Courier answers: look at the proxy"
	case errors.As(err, &connection):
		return "no answer: try again later"
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
		show(err)
	}

	_, err = client.Profiles.Merge(ctx, "", profile)
	show(err)

	ended, cancel := context.WithCancel(ctx)
	cancel()
	_, err = client.Profiles.Merge(ended, "user-1", profile)
	show(err)
	return nil
}

func show(err error) { fmt.Printf("%v\n\t→ %s\n", err, handle(err)) }
