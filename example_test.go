package courier_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"time"

	"github.com/jarcoal/httpmock"

	courier "github.com/courier-profiles/courier-go"
	"github.com/courier-profiles/courier-go/couriertest"
)

// newServer starts an in-memory fake of the API and returns a client of it. Programs
// that talk to Courier call courier.NewClient instead, as in the first example.
func newServer(opts ...courier.Option) (*couriertest.Server, *courier.Client) {
	server := couriertest.NewServer()
	client, err := server.Client(opts...)
	if err != nil {
		log.Fatal(err)
	}
	return server, client
}

func Example() {
	ctx := context.Background()
	server := couriertest.NewServer() // leave this and WithBaseURL out to talk to Courier
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
	client, err := courier.NewClient("your-api-key",
		courier.WithBaseURL(courier.EUBaseURL),
		courier.WithTimeout(10*time.Second),
		courier.WithUserAgent("signup/1.4"),
	)
	if err != nil {
		log.Fatal(err)
	}
	defer client.CloseIdleConnections()

	_, err = courier.NewClient("your-api-key\n")
	fmt.Println(err)
	// Output: courier: apiKey: the API key contains spaces, line breaks, or other characters that no key has: check how it was copied or read
}

// countingTransport stands for the RoundTripper of a tracing library.
type countingTransport struct {
	next  http.RoundTripper
	calls int
}

func (t *countingTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	t.calls++
	return t.next.RoundTrip(req)
}

// The connection pool of this package keeps its properties when it is wrapped, here to
// count requests. One pool can serve many clients, for example one per API key.
func ExampleNewTransport() {
	pool := &countingTransport{next: courier.NewTransport(nil)}
	shared := courier.WithHTTPClient(&http.Client{Transport: pool})
	server, first := newServer(shared)
	defer server.Close()
	second, err := server.Client(shared)
	if err != nil {
		log.Fatal(err)
	}

	for _, client := range []*courier.Client{first, second} {
		if _, err := client.Profiles.Merge(context.Background(), "user-1", courier.Profile{}); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println(pool.calls, "requests")
	// Output: 2 requests
}

func ExampleProfilesService_Merge() {
	ctx := context.Background()
	server, client := newServer()
	defer server.Close()

	// The first merge creates the profile.
	_, err := client.Profiles.Merge(ctx, "user-1", courier.Profile{
		Email:       courier.Set("user@example.com"),
		PhoneNumber: courier.Set("555-555-5555"),
		Custom:      courier.Set(map[string]any{"plan": "free", "seats": 1}),
	})
	if err != nil {
		log.Fatal(err)
	}
	// The second one leaves the address, removes the phone number, and changes one key
	// of custom.
	result, err := client.Profiles.Merge(ctx, "user-1", courier.Profile{
		PhoneNumber: courier.Null[string](),
		Custom:      courier.Set(map[string]any{"plan": "pro"}),
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(result.Status)

	stored, _ := server.Profile("user-1")
	fmt.Println(stored)
	// Output:
	// SUCCESS
	// {"email":"user@example.com","custom":{"plan":"pro","seats":1}}
}

func ExampleProfilesService_Get() {
	ctx := context.Background()
	server, client := newServer()
	defer server.Close()
	err := server.SetProfile("user-1", courier.Profile{
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
	fmt.Println("no profile:", errors.As(err, &missing))
	// Output:
	// user@example.com
	// 1
	// no profile: true
}

// Change one field of a profile and keep all others, including keys that this package
// does not know. Merge does the same in one call, and keeps what others write between
// the Get and the Replace.
func ExampleProfilesService_Replace() {
	ctx := context.Background()
	server, client := newServer()
	defer server.Close()
	err := server.SetProfile("user-1", courier.Profile{
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
	server, client := newServer()
	defer server.Close()
	err := server.SetProfile("user-1", courier.Profile{
		PhoneNumber: courier.Set("555-555-5555"),
		Custom:      courier.Set(map[string]any{"plan": "free", "tags": []string{"new"}}),
	})
	if err != nil {
		log.Fatal(err)
	}

	_, err = client.Profiles.Patch(context.Background(), "user-1", []courier.PatchOp{
		courier.PatchReplace("/custom/plan", "pro"),
		courier.PatchAdd("/custom/tags/-", "paying"), // appends to the array
		courier.PatchRemove("/phone_number"),
	})
	if err != nil {
		log.Fatal(err)
	}

	stored, _ := server.Profile("user-1")
	fmt.Println(stored)
	// Output: {"custom":{"plan":"pro","tags":["new","paying"]}}
}

// A conditional change: PatchTest makes Courier reject the whole patch if the profile
// has changed in the meantime.
func ExamplePatchTest() {
	server, client := newServer()
	defer server.Close()
	err := server.SetProfile("user-1", courier.Profile{
		Custom: courier.Set(map[string]any{"plan": "free"}),
	})
	if err != nil {
		log.Fatal(err)
	}

	upgrade := []courier.PatchOp{
		courier.PatchTest("/custom/plan", "free"),
		courier.PatchReplace("/custom/plan", "pro"),
	}
	for range 2 {
		_, err := client.Profiles.Patch(context.Background(), "user-1", upgrade)
		var rejected *courier.InvalidRequestError
		switch {
		case err == nil:
			fmt.Println("upgraded")
		case errors.As(err, &rejected):
			fmt.Println("not on the free plan")
		default:
			log.Fatal(err)
		}
	}
	// Output:
	// upgraded
	// not on the free plan
}

// Erase a user: Delete removes the profile, and UnsubscribeAll the list subscriptions.
// Neither removes the user's preferences. Device tokens, tenants, and topic preferences
// belong to other APIs of Courier and have to be erased there.
func ExampleProfilesService_Delete() {
	ctx := context.Background()
	server, client := newServer()
	defer server.Close()
	_, err := client.Profiles.Merge(ctx, "user-1", courier.Profile{Email: courier.Set("user@example.com")})
	if err != nil {
		log.Fatal(err)
	}
	_, err = client.Profiles.Lists.Subscribe(ctx, "user-1", []courier.ListSubscription{{ListID: "news"}})
	if err != nil {
		log.Fatal(err)
	}

	if _, err := client.Profiles.Delete(ctx, "user-1"); err != nil {
		log.Fatal(err)
	}
	fmt.Println("still subscribed to", len(server.Subscriptions("user-1")), "list")
	if _, err := client.Profiles.Lists.UnsubscribeAll(ctx, "user-1"); err != nil {
		log.Fatal(err)
	}

	_, found := server.Profile("user-1")
	fmt.Println("profile:", found, "lists:", len(server.Subscriptions("user-1")))
	// Output:
	// still subscribed to 1 list
	// profile: false lists: 0
}

// Subscribe a user to lists, one of them with preferences, and read them back. All reads
// page by page; use Page to show one page at a time.
func ExampleListsService() {
	ctx := context.Background()
	server, client := newServer()
	defer server.Close()
	weekly := &courier.Preferences{Notifications: map[string]courier.Preference{
		"weekly": {Status: "OPTED_IN", ChannelPreferences: []courier.ChannelPreference{{Channel: "email"}}},
	}}
	_, err := client.Profiles.Lists.Subscribe(ctx, "user-1", []courier.ListSubscription{
		{ListID: "news"}, {ListID: "offers", Preferences: weekly}, {ListID: "incidents"}, {ListID: "releases"},
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

// A field has three states.
func ExampleField() {
	profile := courier.Profile{
		Name:  courier.Set(""),        // Merge writes the empty string
		Email: courier.Null[string](), // Merge removes the key
		// PhoneNumber is unset: Merge leaves it as it is.
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

// Write a nullable column of a database: nil removes the key.
func ExampleSetOrNull() {
	var phone *string // NULL
	name := "Ada"
	fmt.Println(courier.Profile{
		Name:        courier.SetOrNull(&name),
		PhoneNumber: courier.SetOrNull(phone),
		Locale:      courier.SetOrUnset(phone), // nil leaves the key as it is
	})
	// Output: {"name":"Ada","phone_number":null}
}

// JSON that does not fit its field stays in the field until Set replaces it.
func ExampleField_Mismatch() {
	server, client := newServer()
	defer server.Close()
	err := server.SetProfile("user-1", courier.Profile{
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

// Keep custom in your own struct.
func ExampleProfile_SetCustom() {
	type custom struct {
		Plan      string `json:"plan"`
		AccountID int64  `json:"account_id"`
	}
	ctx := context.Background()
	server, client := newServer()
	defer server.Close()

	var profile courier.Profile
	if err := profile.SetCustom(custom{Plan: "pro", AccountID: 9007199254740993}); err != nil {
		log.Fatal(err)
	}
	if _, err := client.Profiles.Merge(ctx, "user-1", profile); err != nil {
		log.Fatal(err)
	}

	user, err := client.Profiles.Get(ctx, "user-1")
	if err != nil {
		log.Fatal(err)
	}
	var stored custom
	if err := user.Profile.DecodeCustom(&stored); err != nil {
		log.Fatal(err)
	}
	fmt.Println(stored.Plan, stored.AccountID)
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
	server, client := newServer(courier.WithMaxRetries(0))
	defer server.Close()
	server.Fail(
		couriertest.Fault{Status: 429, RetryAfter: "30"},
		couriertest.Fault{Status: 401},
		couriertest.Fault{Status: 200, CutOff: true},
	)

	for _, userID := range []string{"user-1", "user-1", "user-1", "user-1", ""} {
		_, err := client.Profiles.Get(context.Background(), userID)
		var (
			limited  *courier.RateLimitError
			missing  *courier.NotFoundError
			response *courier.APIError
			failed   *courier.ConnectionError
			refused  *courier.ValidationError
		)
		switch {
		case errors.As(err, &limited):
			fmt.Println("retry in", limited.RetryAfter)
		case errors.As(err, &missing):
			fmt.Println("no profile")
		case errors.As(err, &response): // any other status
			fmt.Println("failed with status", response.StatusCode)
		case errors.As(err, &failed):
			fmt.Println("no response")
		case errors.As(err, &refused):
			fmt.Println("not sent, because of", refused.Field)
		}
	}
	// Output:
	// retry in 30s
	// failed with status 401
	// no response
	// no profile
	// not sent, because of userID
}

// A call that was never sent can safely be repeated, even one that is not idempotent.
func ExampleErrNotSent() {
	server, client := newServer()
	defer server.Close()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()

	_, err := client.Profiles.Patch(ctx, "user-1", []courier.PatchOp{courier.PatchRemove("/email")})
	fmt.Println(err)
	fmt.Println(errors.Is(err, courier.ErrNotSent), errors.Is(err, context.Canceled))
	// Output:
	// courier: patch profile: nothing was sent: context canceled
	// true true
}

// Count attempts, with the labels of a metric.
func ExampleWithObserver() {
	server, client := newServer(
		courier.WithRetryWait(time.Millisecond, 10*time.Millisecond),
		courier.WithObserver(func(_ context.Context, a courier.Attempt) {
			fmt.Println(a.Operation, a.Number, a.StatusCode, "retry:", a.Wait > 0)
		}),
	)
	defer server.Close()
	server.Fail(couriertest.Fault{Status: 503})

	if _, err := client.Profiles.Merge(context.Background(), "user-1", courier.Profile{}); err != nil {
		log.Fatal(err)
	}
	// Output:
	// merge profile 1 503 retry: true
	// merge profile 2 200 retry: false
}

func ExampleWithLogger() {
	logger := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{
		Level: slog.LevelDebug, // Info leaves out the attempts that got a 2xx
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			switch a.Key {
			case "time", "duration", "wait": // they differ from run to run
				return slog.Attr{}
			}
			return a
		},
	}))
	server, client := newServer(courier.WithLogger(logger))
	defer server.Close()
	server.Fail(couriertest.Fault{Status: 503})

	if _, err := client.Profiles.Delete(context.Background(), "user-1"); err != nil {
		log.Fatal(err)
	}
	// Output:
	// level=WARN msg="courier: attempt" operation="delete profile" attempt=1 status=503 error.operation="delete profile" error.status=503 error.type=api_error error.message="Service Unavailable" error.request_id=request-1 error.attempts=1 retry=true
	// level=DEBUG msg="courier: attempt" operation="delete profile" attempt=2 status=204 retry=false
}

// MergeAll yields one outcome per update. Updates of the same user keep their order.
func ExampleProfilesService_MergeAll() {
	server, client := newServer()
	defer server.Close()

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
	// update 1: courier: userID: the user ID is empty: pass the ID of a user
	// 2 merged: {"email":"new@example.com"}
}

// Replace many profiles, then delete them.
func ExampleProfilesService_ReplaceAll() {
	ctx := context.Background()
	server, client := newServer()
	defer server.Close()
	userIDs := []string{"user-1", "user-2", "user-3"}

	profiles := func(yield func(string, courier.Profile) bool) {
		for _, userID := range userIDs {
			if !yield(userID, courier.Profile{Nickname: courier.Set(userID)}) {
				return
			}
		}
	}
	for outcome := range client.Profiles.ReplaceAll(ctx, profiles) {
		if outcome.Err != nil {
			log.Fatal(outcome.Err)
		}
	}
	stored, _ := server.Profile("user-2")
	fmt.Println(stored)

	deleted := 0
	for outcome := range client.Profiles.DeleteAll(ctx, slices.Values(userIDs)) {
		if outcome.Err != nil {
			log.Fatal(outcome.Err)
		}
		deleted++
	}
	fmt.Println(deleted, "deleted")
	// Output:
	// {"nickname":"user-2"}
	// 3 deleted
}

// The second call gets the saved response of the first one, and changes nothing.
func ExampleWithIdempotencyKey() {
	server, client := newServer()
	defer server.Close()

	for _, plan := range []string{"free", "pro"} {
		profile := courier.Profile{Custom: courier.Set(map[string]any{"plan": plan})}
		_, err := client.Profiles.Merge(context.Background(), "user-1", profile, courier.WithIdempotencyKey("signup-4711"))
		if err != nil {
			log.Fatal(err)
		}
	}

	stored, _ := server.Profile("user-1")
	fmt.Println(stored)
	// Output: {"custom":{"plan":"free"}}
}

// Test with canned responses and without a network, here by httpmock. For tests that
// read back what they wrote, see package couriertest.
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
