package courier_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"time"

	courier "github.com/courier-profiles/courier-go"
	"github.com/courier-profiles/courier-go/couriertest"
	"github.com/jarcoal/httpmock"
)

// startFake starts an in-memory fake of the API, and returns it with a client of it. A program
// calls courier.NewClient alone, as the first example does; a test has couriertest.NewServer.
func startFake(opts ...courier.Option) (*couriertest.Handler, *courier.Client, func()) {
	fake := couriertest.NewHandler()
	server := httptest.NewServer(fake)
	client, err := courier.NewClient(fake.APIKey,
		append([]courier.Option{courier.WithBaseURL(server.URL)}, opts...)...)
	if err != nil {
		log.Fatal(err)
	}
	return fake, client, server.Close
}

func Example() {
	ctx := context.Background()
	fake := couriertest.NewHandler() // leave the fake and WithBaseURL out to talk to Courier
	server := httptest.NewServer(fake)
	defer server.Close()

	client, err := courier.NewClient(fake.APIKey, courier.WithBaseURL(server.URL))
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

	_, err = courier.NewClient("")
	fmt.Println(err)
	// Output:
	// courier: apiKey: the API key is empty: copy it from the settings of your Courier workspace
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

// Change the connection pool, wrap it, and share it between clients, such as one per API key.
func ExampleNewTransport() {
	pool := courier.NewTransport()
	pool.MaxConnsPerHost = 100
	counting := &countingTransport{next: pool}
	shared := courier.WithHTTPClient(&http.Client{Transport: counting})

	fake, first, stop := startFake(shared)
	defer stop()
	_, second, stop := startFake(shared)
	defer stop()
	for _, client := range []*courier.Client{first, second} {
		_, err := client.Profiles.Merge(context.Background(), "user-1", courier.Profile{})
		if err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println(counting.calls, "requests,", len(fake.Requests()), "of them of the first client")
	// Output: 2 requests, 1 of them of the first client
}

func ExampleProfilesService_Merge() {
	ctx := context.Background()
	fake, client, stop := startFake()
	defer stop()

	// The first merge creates the profile.
	_, err := client.Profiles.Merge(ctx, "user-1", courier.Profile{
		Email:       courier.Set("user@example.com"),
		PhoneNumber: courier.Set("555-555-5555"),
		Custom:      courier.Set(map[string]any{"plan": "free", "seats": 1}),
	})
	if err != nil {
		log.Fatal(err)
	}
	// The second one leaves the email address, removes the phone number, and changes one
	// key of custom.
	result, err := client.Profiles.Merge(ctx, "user-1", courier.Profile{
		PhoneNumber: courier.Null[string](),
		Custom:      courier.Set(map[string]any{"plan": "pro"}),
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(result.Status)

	stored, _ := fake.Profile("user-1")
	fmt.Println(stored)
	// Output:
	// SUCCESS
	// {"email":"user@example.com","custom":{"plan":"pro","seats":1}}
}

func ExampleProfilesService_Get() {
	ctx := context.Background()
	fake, client, stop := startFake()
	defer stop()
	err := fake.SetProfile("user-1", courier.Profile{
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

// Change one field of a profile and keep all others, including keys that this package does
// not know. Merge does the same in one call, and keeps what others write in between.
func ExampleProfilesService_Replace() {
	ctx := context.Background()
	fake, client, stop := startFake()
	defer stop()
	err := fake.SetProfile("user-1", courier.Profile{
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

	stored, _ := fake.Profile("user-1")
	fmt.Println(stored)
	// Output: {"email":"new@example.com","my_own_key":1}
}

// PatchTest makes Courier reject the whole patch if the profile has changed in the meantime.
func ExampleProfilesService_Patch() {
	fake, client, stop := startFake()
	defer stop()
	err := fake.SetProfile("user-1", courier.Profile{
		PhoneNumber: courier.Set("555-555-5555"),
		Custom:      courier.Set(map[string]any{"plan": "free", "tags": []string{"new"}}),
	})
	if err != nil {
		log.Fatal(err)
	}

	upgrade := []courier.PatchOp{
		courier.PatchTest("/custom/plan", "free"),
		courier.PatchReplace(courier.JSONPointer("custom", "plan"), "pro"),
		courier.PatchAdd("/custom/tags/-", "paying"), // appends to the array
		courier.PatchRemove("/phone_number"),
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

	stored, _ := fake.Profile("user-1")
	fmt.Println(stored)
	// Output:
	// upgraded
	// not on the free plan
	// {"custom":{"plan":"pro","tags":["new","paying"]}}
}

// Erase a user: Delete removes the profile, and UnsubscribeAll the list subscriptions. Neither
// removes the user's preferences. Device tokens, tenants, and topic preferences belong to other
// APIs of Courier and have to be erased there.
func ExampleProfilesService_Delete() {
	ctx := context.Background()
	fake, client, stop := startFake()
	defer stop()
	if err := fake.SetProfile("user-1", courier.Profile{}); err != nil {
		log.Fatal(err)
	}
	lists := []courier.ListSubscription{{ListID: "news"}}
	if _, err := client.Profiles.Lists.Subscribe(ctx, "user-1", lists); err != nil {
		log.Fatal(err)
	}

	if _, err := client.Profiles.Delete(ctx, "user-1"); err != nil {
		log.Fatal(err)
	}
	fmt.Println("still subscribed to", len(fake.Subscriptions("user-1")), "list")
	if _, err := client.Profiles.Lists.UnsubscribeAll(ctx, "user-1"); err != nil {
		log.Fatal(err)
	}

	_, found := fake.Profile("user-1")
	fmt.Println("profile:", found, "lists:", len(fake.Subscriptions("user-1")))
	// Output:
	// still subscribed to 1 list
	// profile: false lists: 0
}

// Subscribe a user to lists, one of them with preferences, and read them back. All reads page
// by page; use Page to show one page at a time.
func ExampleListsService() {
	ctx := context.Background()
	_, client, stop := startFake()
	defer stop()
	byEmail := courier.Preference{
		Status:             "OPTED_IN",
		ChannelPreferences: []courier.ChannelPreference{{Channel: "email"}},
	}
	_, err := client.Profiles.Lists.Subscribe(ctx, "user-1", []courier.ListSubscription{
		{ListID: "incidents"},
		{ListID: "news", Preferences: &courier.Preferences{
			Notifications: map[string]courier.Preference{"weekly": byEmail},
		}},
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
	// incidents
	// news
}

// A field has three states.
func ExampleField() {
	profile := courier.Profile{
		Name:  courier.Set(""),        // Merge writes the empty string
		Email: courier.Null[string](), // Merge removes the key
		// PhoneNumber is unset: Merge leaves it as it is.
	}
	fmt.Println(profile)

	for _, field := range []courier.Field[string]{
		profile.Name, profile.Email, profile.PhoneNumber,
	} {
		value, ok := field.Get()
		fmt.Printf("%q %t, null %t, unset %t, or %q\n",
			value, ok, field.IsNull(), field.IsUnset(), field.Or("fallback"))
	}
	// Output:
	// {"name":"","email":null}
	// "" true, null false, unset false, or ""
	// "" false, null true, unset false, or "fallback"
	// "" false, null false, unset true, or "fallback"
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

// Change one field of an address that was read.
func ExampleField_Update() {
	profile := courier.Profile{Address: courier.Set(courier.Address{
		Locality: courier.Set("London"), Country: courier.Set("GB"),
	})}
	profile.Address.Update(func(address *courier.Address) {
		address.Locality = courier.Set("Leeds")
	})
	fmt.Println(profile)
	// Output: {"address":{"locality":"Leeds","country":"GB"}}
}

// JSON that does not fit its field stays in the field until Set replaces it.
func ExampleField_Mismatch() {
	fake, client, stop := startFake()
	defer stop()
	err := fake.SetProfile("user-1", courier.Profile{
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
	_, client, stop := startFake()
	defer stop()

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
	fake, client, stop := startFake(courier.WithMaxRetries(0))
	defer stop()
	fake.Fail(
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
			invalid  *courier.ValidationError
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
		case errors.As(err, &invalid):
			fmt.Println("not sent, because of", invalid.Field)
		}
	}
	// Output:
	// retry in 30s
	// failed with status 401
	// no response
	// no profile
	// not sent, because of userID
}

// Put a failed update back into a queue only if the same call may succeed later.
func ExampleRetryable() {
	fake, client, stop := startFake(courier.WithMaxRetries(0))
	defer stop()
	fake.Fail(couriertest.Fault{Status: 503}, couriertest.Fault{Status: 400})

	for range 2 {
		_, err := client.Profiles.Merge(context.Background(), "user-1", courier.Profile{})
		if courier.Retryable(err) {
			fmt.Println("retry later:", err)
		} else if err != nil {
			fmt.Println("drop:", err)
		}
	}
	// Output:
	// retry later: courier: merge profile: 503 api_error: Service Unavailable
	// drop: courier: merge profile: 400 invalid_request_error: Bad Request
}

// A call that was never sent can safely be repeated, even one that is not idempotent.
func ExampleErrNotSent() {
	_, client, stop := startFake()
	defer stop()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()

	ops := []courier.PatchOp{courier.PatchRemove("/email")}
	_, err := client.Profiles.Patch(ctx, "user-1", ops)
	fmt.Println(err)
	fmt.Println(errors.Is(err, courier.ErrNotSent), errors.Is(err, context.Canceled))
	// Output:
	// courier: patch profile: nothing was sent: context canceled
	// true true
}

// Count attempts, with the labels of a metric.
func ExampleWithObserver() {
	fake, client, stop := startFake(
		courier.WithRetryWait(time.Millisecond, 10*time.Millisecond),
		courier.WithObserver(func(_ context.Context, a courier.Attempt) {
			fmt.Println(a.Operation, a.Number, a.StatusCode, "retry:", a.Wait > 0)
		}),
	)
	defer stop()
	fake.Fail(couriertest.Fault{Status: 503})

	_, err := client.Profiles.Merge(context.Background(), "user-1", courier.Profile{})
	if err != nil {
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
			case "level", "attempt", "message", "retry":
				return a
			}
			return slog.Attr{} // to keep this example short
		},
	}))
	fake, client, stop := startFake(courier.WithLogger(logger), courier.WithRetryWait(0, 0))
	defer stop()
	fake.Fail(couriertest.Fault{Status: 503})

	if _, err := client.Profiles.Delete(context.Background(), "user-1"); err != nil {
		fmt.Println(err)
	}
	// Output:
	// level=WARN attempt=1 error.message="Service Unavailable" retry=true
	// level=DEBUG attempt=2 retry=false
}

// The second call gets the saved response of the first one, and changes nothing.
func ExampleWithIdempotencyKey() {
	fake, client, stop := startFake()
	defer stop()

	key := courier.WithIdempotencyKey("signup-4711")
	for _, plan := range []string{"free", "pro"} {
		profile := courier.Profile{Custom: courier.Set(map[string]any{"plan": plan})}
		_, err := client.Profiles.Merge(context.Background(), "user-1", profile, key)
		if err != nil {
			log.Fatal(err)
		}
	}

	stored, _ := fake.Profile("user-1")
	fmt.Println(stored)
	// Output: {"custom":{"plan":"free"}}
}

// Test with canned responses and without a network, here by httpmock. For tests that read back
// what they wrote, see package couriertest.
func ExampleWithHTTPClient() {
	transport := httpmock.NewMockTransport()
	transport.RegisterResponder("GET", "https://api.courier.com/profiles/user-1",
		httpmock.NewStringResponder(200, `{"profile":{"email":"user@example.com"}}`))

	client, err := courier.NewClient("test-key",
		courier.WithHTTPClient(&http.Client{Transport: transport}))
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

// MergeAll yields one outcome per update, and sends an update only if the earlier ones of its
// user succeeded. To resume, send everything that was not merged again, in input order.
func ExampleProfilesService_MergeAll() {
	fake, client, stop := startFake(courier.WithMaxRetries(0))
	defer stop()
	fake.Fail(couriertest.Fault{Status: 503})

	emails := []string{"old@example.com", "new@example.com"} // of user-1, in order
	for range 2 {
		updates := func(yield func(string, courier.Profile) bool) {
			for _, email := range emails {
				if !yield("user-1", courier.Profile{Email: courier.Set(email)}) {
					return
				}
			}
		}
		merged := make([]bool, len(emails))
		for outcome := range client.Profiles.MergeAll(context.Background(), updates) {
			merged[outcome.Index] = outcome.Err == nil
		}
		var rest []string
		for i, email := range emails {
			if !merged[i] {
				rest = append(rest, email)
			}
		}
		fmt.Println("not merged:", rest)
		emails = rest
	}

	stored, _ := fake.Profile("user-1")
	fmt.Println(stored)
	// Output:
	// not merged: [old@example.com new@example.com]
	// not merged: []
	// {"email":"new@example.com"}
}

// Replace many profiles, then delete them.
func ExampleProfilesService_ReplaceAll() {
	ctx := context.Background()
	fake, client, stop := startFake()
	defer stop()
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
	stored, _ := fake.Profile("user-2")
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
