package courier_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/jarcoal/httpmock"

	courier "github.com/courier-profiles/courier-go"
	"github.com/courier-profiles/courier-go/couriertest"
)

// The examples talk to couriertest, the Profiles API in memory. For Courier
// itself, leave the server and WithBaseURL out.
func Example() {
	ctx := context.Background()
	server := couriertest.NewServer()
	defer server.Close()

	client, err := courier.NewClient(server.APIKey, courier.WithBaseURL(server.URL))
	if err != nil {
		log.Fatal(err)
	}
	_, err = client.Profiles.Merge(ctx, "user-1", courier.Profile{
		Email:       courier.Set("user@example.com"),
		PhoneNumber: courier.Set("555-555-5555"),
	})
	if err != nil {
		log.Fatal(err)
	}
	user, err := client.Profiles.Get(ctx, "user-1")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(user.Profile.Email.Or("no address"))
	// Output: user@example.com
}

func ExampleNewClient() {
	client, err := courier.NewClient(os.Getenv("COURIER_API_KEY"),
		courier.WithBaseURL(courier.EUBaseURL),
		courier.WithTimeout(10*time.Second),
		courier.WithUserAgent("signup/1.4"),
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.CloseIdleConnections()
}

func ExampleProfilesService_Merge() {
	ctx := context.Background()
	server := couriertest.NewServer()
	defer server.Close()
	client, err := server.Client()
	if err != nil {
		log.Fatal(err)
	}

	profiles := []courier.Profile{
		{ // creates the profile
			Email:       courier.Set("user@example.com"),
			PhoneNumber: courier.Set("555-555-5555"),
			Custom:      courier.Set(map[string]any{"plan": "free", "seats": 1}),
		},
		{ // leaves the address as it is, removes the number, changes one member of custom
			PhoneNumber: courier.Null[string](),
			Custom:      courier.Set(map[string]any{"plan": "pro"}),
		},
	}
	for _, profile := range profiles {
		result, err := client.Profiles.Merge(ctx, "user-1", profile)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(result.Status)
	}

	stored, _ := server.Profile("user-1")
	fmt.Println(stored)
	// Output:
	// SUCCESS
	// SUCCESS
	// {"email":"user@example.com","custom":{"plan":"pro","seats":1}}
}

func ExampleProfilesService_Get() {
	ctx := context.Background()
	server := couriertest.NewServer()
	defer server.Close()
	client, err := server.Client()
	if err != nil {
		log.Fatal(err)
	}
	err = server.SetProfile("user-1", courier.Profile{
		Email: courier.Set("user@example.com"),
		Extra: map[string]any{"my_own_key": 1},
	})
	if err != nil {
		log.Fatal(err)
	}

	user, err := client.Profiles.Get(ctx, "user-1")
	if err != nil {
		log.Fatal(err)
	}
	if email, ok := user.Profile.Email.Get(); ok {
		fmt.Println(email)
	}
	fmt.Println(user.Profile.Extra["my_own_key"])

	_, err = client.Profiles.Get(ctx, "user-2")
	var missing *courier.NotFoundError
	fmt.Println("no such user:", errors.As(err, &missing))
	// Output:
	// user@example.com
	// 1
	// no such user: true
}

// Change one field of a profile and keep all others, also those that this
// package does not know. (Merge does it in one call, and loses nothing that
// somebody else writes in between.)
func ExampleProfilesService_Replace() {
	ctx := context.Background()
	server := couriertest.NewServer()
	defer server.Close()
	client, err := server.Client()
	if err != nil {
		log.Fatal(err)
	}
	err = server.SetProfile("user-1", courier.Profile{
		Email: courier.Set("old@example.com"),
		Extra: map[string]any{"my_own_key": 1},
	})
	if err != nil {
		log.Fatal(err)
	}

	user, err := client.Profiles.Get(ctx, "user-1")
	if err != nil {
		log.Fatal(err)
	}
	user.Profile.Email = courier.Set("new@example.com")
	if _, err := client.Profiles.Replace(ctx, "user-1", user.Profile); err != nil {
		log.Fatal(err)
	}

	stored, _ := server.Profile("user-1")
	fmt.Println(stored)
	// Output: {"email":"new@example.com","my_own_key":1}
}

func ExampleProfilesService_Patch() {
	ctx := context.Background()
	server := couriertest.NewServer()
	defer server.Close()
	client, err := server.Client()
	if err != nil {
		log.Fatal(err)
	}
	err = server.SetProfile("user-1", courier.Profile{
		PhoneNumber: courier.Set("555-555-5555"),
		Custom:      courier.Set(map[string]any{"plan": "free", "tags": []string{"new"}}),
	})
	if err != nil {
		log.Fatal(err)
	}

	_, err = client.Profiles.Patch(ctx, "user-1", []courier.PatchOp{
		courier.PatchTest("/custom/plan", "free"), // or else nothing of it is done
		courier.PatchReplace("/custom/plan", "pro"),
		courier.PatchAdd("/custom/tags/-", "paying"), // at the end of the array
		courier.PatchRemove("/phone_number"),
	})
	if err != nil {
		log.Fatal(err)
	}

	stored, _ := server.Profile("user-1")
	fmt.Println(stored)
	// Output: {"custom":{"plan":"pro","tags":["new","paying"]}}
}

func ExampleProfilesService_Delete() {
	ctx := context.Background()
	server := couriertest.NewServer()
	defer server.Close()
	client, err := server.Client()
	if err != nil {
		log.Fatal(err)
	}
	if err := server.SetProfile("user-1", courier.Profile{}); err != nil {
		log.Fatal(err)
	}

	if _, err := client.Profiles.Delete(ctx, "user-1"); err != nil {
		log.Fatal(err)
	}

	_, ok := server.Profile("user-1")
	fmt.Println(ok)
	// Output: false
}

func ExampleListsService_Subscribe() {
	ctx := context.Background()
	server := couriertest.NewServer()
	defer server.Close()
	client, err := server.Client()
	if err != nil {
		log.Fatal(err)
	}

	_, err = client.Profiles.Lists.Subscribe(ctx, "user-1", []courier.ListSubscription{
		{ListID: "news"},
		{ListID: "offers", Preferences: &courier.Preferences{
			Notifications: map[string]courier.Preference{
				"weekly": {Status: "OPTED_IN", ChannelPreferences: []courier.ChannelPreference{{Channel: "email"}}},
			},
		}},
	})
	if err != nil {
		log.Fatal(err)
	}

	for _, list := range server.Subscriptions("user-1") {
		fmt.Println(list.ID)
	}
	// Output:
	// news
	// offers
}

func ExampleListsService_All() {
	ctx := context.Background()
	server := couriertest.NewServer() // has three lists on a page
	defer server.Close()
	client, err := server.Client()
	if err != nil {
		log.Fatal(err)
	}
	_, err = client.Profiles.Lists.Subscribe(ctx, "user-1", []courier.ListSubscription{
		{ListID: "news"}, {ListID: "offers"}, {ListID: "incidents"}, {ListID: "releases"},
	})
	if err != nil {
		log.Fatal(err)
	}

	for list, err := range client.Profiles.Lists.All(ctx, "user-1") {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(list.ID)
	}
	// Output:
	// news
	// offers
	// incidents
	// releases
}

// All does this in one loop. Page is for a caller who shows one page at a time.
func ExampleListsService_Page() {
	ctx := context.Background()
	server := couriertest.NewServer() // has three lists on a page
	defer server.Close()
	client, err := server.Client()
	if err != nil {
		log.Fatal(err)
	}
	_, err = client.Profiles.Lists.Subscribe(ctx, "user-1", []courier.ListSubscription{
		{ListID: "news"}, {ListID: "offers"}, {ListID: "incidents"}, {ListID: "releases"},
	})
	if err != nil {
		log.Fatal(err)
	}

	first, err := client.Profiles.Lists.Page(ctx, "user-1", "")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(first.Subscriptions), "more:", first.More)
	second, err := client.Profiles.Lists.Page(ctx, "user-1", first.Cursor)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(second.Subscriptions), "more:", second.More)
	// Output:
	// 3 more: true
	// 1 more: false
}

func ExampleListsService_UnsubscribeAll() {
	ctx := context.Background()
	server := couriertest.NewServer()
	defer server.Close()
	client, err := server.Client()
	if err != nil {
		log.Fatal(err)
	}
	lists := []courier.ListSubscription{{ListID: "news"}, {ListID: "offers"}}
	if _, err := client.Profiles.Lists.Subscribe(ctx, "user-1", lists); err != nil {
		log.Fatal(err)
	}

	if _, err := client.Profiles.Lists.UnsubscribeAll(ctx, "user-1"); err != nil {
		log.Fatal(err)
	}

	fmt.Println(len(server.Subscriptions("user-1")))
	// Output: 0
}

// The three states of a field, and what a merge makes of each.
func ExampleField() {
	profile := courier.Profile{
		Name:  courier.Set(""),        // writes the empty string
		Email: courier.Null[string](), // removes the member
		// PhoneNumber, which is unset, stays as it is.
	}
	fmt.Println(profile)

	for _, field := range []courier.Field[string]{profile.Name, profile.Email, profile.PhoneNumber} {
		value, ok := field.Get()
		fmt.Printf("%q %t null=%t unset=%t or=%q\n", value, ok, field.IsNull(), field.IsUnset(), field.Or("fallback"))
	}
	// Output:
	// {"name":"","email":null}
	// "" true null=false unset=false or=""
	// "" false null=true unset=false or="fallback"
	// "" false null=false unset=true or="fallback"
}

// JSON that does not fit its field stays in the field, until Set replaces it.
func ExampleProfile() {
	server := couriertest.NewServer()
	defer server.Close()
	client, err := server.Client()
	if err != nil {
		log.Fatal(err)
	}
	err = server.SetProfile("user-1", courier.Profile{
		Extra: map[string]any{"email_verified": "true", "my_own_key": []int{1, 2}},
	})
	if err != nil {
		log.Fatal(err)
	}

	user, err := client.Profiles.Get(context.Background(), "user-1")
	if err != nil {
		log.Fatal(err)
	}
	_, ok := user.Profile.EmailVerified.Get()
	fmt.Printf("%t %s\n", ok, user.Profile.EmailVerified.Mismatch())

	user.Profile.EmailVerified = courier.Set(true)
	fmt.Println(user.Profile)
	// Output:
	// false "true"
	// {"email_verified":true,"my_own_key":[1,2]}
}

func ExampleProfile_DecodeCustom() {
	server := couriertest.NewServer()
	defer server.Close()
	client, err := server.Client()
	if err != nil {
		log.Fatal(err)
	}
	err = server.SetProfile("user-1", courier.Profile{
		Custom: courier.Set(map[string]any{"plan": "pro", "account_id": 9007199254740993}),
	})
	if err != nil {
		log.Fatal(err)
	}

	user, err := client.Profiles.Get(context.Background(), "user-1")
	if err != nil {
		log.Fatal(err)
	}
	var custom struct {
		Plan      string `json:"plan"`
		AccountID int64  `json:"account_id"`
	}
	if err := user.Profile.DecodeCustom(&custom); err != nil {
		log.Fatal(err)
	}
	fmt.Println(custom.Plan, custom.AccountID)
	// Output: pro 9007199254740993
}

func ExampleJSONPointer() {
	fmt.Println(courier.JSONPointer("custom", "plan"))
	fmt.Println(courier.JSONPointer("custom", "a/b", "~"))
	// Output:
	// /custom/plan
	// /custom/a~1b/~0
}

// Tell errors apart by their types.
func ExampleAPIError() {
	ctx := context.Background()
	server := couriertest.NewServer()
	defer server.Close()
	client, err := server.Client(courier.WithMaxRetries(0))
	if err != nil {
		log.Fatal(err)
	}
	server.Fail(
		couriertest.Fault{Status: 429, RetryAfter: "30"},
		couriertest.Fault{Status: 401},
		couriertest.Fault{Status: 200, CutOff: true},
	)

	for _, userID := range []string{"user-1", "user-1", "user-1", "user-1", ""} {
		_, err := client.Profiles.Get(ctx, userID)
		var (
			limited *courier.RateLimitError
			missing *courier.NotFoundError
			answer  *courier.APIError
			failed  *courier.ConnectionError
			refused *courier.ValidationError
		)
		switch {
		case errors.As(err, &limited):
			fmt.Println("again in", limited.RetryAfter)
		case errors.As(err, &missing):
			fmt.Println("no such user")
		case errors.As(err, &answer): // of any status
			fmt.Println("refused with status", answer.StatusCode)
		case errors.As(err, &failed):
			fmt.Println("no answer")
		case errors.As(err, &refused):
			fmt.Println("not sent, because of", refused.Field)
		}
	}
	// Output:
	// again in 30s
	// refused with status 401
	// no answer
	// no such user
	// not sent, because of userID
}

// Count attempts, with the labels of a metric.
func ExampleWithObserver() {
	server := couriertest.NewServer()
	defer server.Close()
	server.Fail(couriertest.Fault{Status: 503})

	client, err := server.Client(
		courier.WithRetryWait(time.Millisecond, 10*time.Millisecond),
		courier.WithObserver(func(_ context.Context, a courier.Attempt) {
			fmt.Println(a.Operation, a.Number, a.StatusCode, "retry:", a.Wait > 0)
		}),
	)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := client.Profiles.Merge(context.Background(), "user-1", courier.Profile{}); err != nil {
		log.Fatal(err)
	}
	// Output:
	// merge profile 1 503 retry: true
	// merge profile 2 200 retry: false
}

func ExampleWithLogger() {
	server := couriertest.NewServer()
	defer server.Close()
	server.Fail(couriertest.Fault{Status: 503})

	logger := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{
		Level: slog.LevelDebug, // Info shows only what is retried
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			switch a.Key {
			case "time", "duration", "wait": // to have the same output every time
				return slog.Attr{}
			}
			return a
		},
	}))
	client, err := server.Client(
		courier.WithRetryWait(time.Millisecond, 10*time.Millisecond),
		courier.WithLogger(logger),
	)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := client.Profiles.Delete(context.Background(), "user-1"); err != nil {
		log.Fatal(err)
	}
	// Output:
	// level=WARN msg="courier: attempt" operation="delete profile" attempt=1 status=503 retry=true error.operation="delete profile" error.status=503 error.type=api_error error.message="Service Unavailable" error.request_id=request-1 error.attempts=1
	// level=DEBUG msg="courier: attempt" operation="delete profile" attempt=2 status=204 retry=false
}

// One outcome for each update, as soon as it is known: the updates of a user in
// the order of the input, those of others in any.
func ExampleProfilesService_MergeAll() {
	server := couriertest.NewServer()
	defer server.Close()
	client, err := server.Client()
	if err != nil {
		log.Fatal(err)
	}

	updates := func(yield func(string, courier.Profile) bool) {
		_ = yield("user-1", courier.Profile{Email: courier.Set("old@example.com")}) &&
			yield("", courier.Profile{Email: courier.Set("nobody@example.com")}) &&
			yield("user-1", courier.Profile{Email: courier.Set("new@example.com")})
	}
	merged := 0
	for outcome := range client.Profiles.MergeAll(context.Background(), updates, courier.WithConcurrency(64)) {
		if outcome.Err != nil {
			fmt.Printf("update %d: %v\n", outcome.Index, outcome.Err)
			continue
		}
		merged++
	}

	stored, _ := server.Profile("user-1")
	fmt.Println(merged, "merged:", stored)
	// Output:
	// update 1: courier: userID: the user id is empty
	// 2 merged: {"email":"new@example.com"}
}

// The second call is answered, but not done.
func ExampleWithIdempotencyKey() {
	ctx := context.Background()
	server := couriertest.NewServer()
	defer server.Close()
	client, err := server.Client()
	if err != nil {
		log.Fatal(err)
	}

	for _, plan := range []string{"free", "pro"} {
		profile := courier.Profile{Custom: courier.Set(map[string]any{"plan": plan})}
		result, err := client.Profiles.Merge(ctx, "user-1", profile, courier.WithIdempotencyKey("signup-4711"))
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(result.Status)
	}

	stored, _ := server.Profile("user-1")
	fmt.Println(stored)
	// Output:
	// SUCCESS
	// SUCCESS
	// {"custom":{"plan":"free"}}
}

// Test with canned answers, and without a network: here by httpmock. For tests
// that read what they have written, see package couriertest.
func ExampleWithHTTPClient() {
	transport := httpmock.NewMockTransport()
	transport.RegisterResponder("GET", "https://api.courier.com/profiles/user-1",
		httpmock.NewStringResponder(200, `{"profile":{"email":"user@example.com"}}`))

	client, err := courier.NewClient("test-key", courier.WithHTTPClient(&http.Client{Transport: transport}))
	if err != nil {
		log.Fatal(err)
	}
	user, err := client.Profiles.Get(context.Background(), "user-1")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(user.Profile.Email.Or(""))
	// Output: user@example.com
}
