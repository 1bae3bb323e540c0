// Merge sends the request from Courier's page "Create a profile".
//
// With COURIER_API_KEY (or COURIER_AUTH_TOKEN) set, it merges into a profile at Courier.
// Otherwise it runs against the in-memory fake of the API.
//
//	go run ./examples/merge -user 0460766e-8463-4905-ae98-b72c7aef41d6 -email user@example.com
package main

import (
	"context"
	"flag"
	"fmt"
	"net/http/httptest"
	"os"
	"os/signal"

	courier "github.com/courier-profiles/courier-go"
	"github.com/courier-profiles/courier-go/couriertest"
)

func main() {
	userID := flag.String("user", "0460766e-8463-4905-ae98-b72c7aef41d6", "user `ID`")
	email := flag.String("email", "user@example.com", "email `address` to set")
	phone := flag.String("phone", "555-555-5555", "phone `number` to set")
	remove := flag.Bool("remove-phone", false, "remove the phone number instead of setting it")
	flag.Parse()

	profile := courier.Profile{
		Email:       courier.Set(*email),
		PhoneNumber: courier.Set(*phone),
	}
	if *remove {
		profile.PhoneNumber = courier.Null[string]()
	}
	if err := run(*userID, profile); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(userID string, profile courier.Profile) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if os.Getenv("COURIER_API_KEY") == "" && os.Getenv("COURIER_AUTH_TOKEN") == "" {
		return runInMemory(ctx, userID, profile)
	}
	client, err := courier.NewClientFromEnv()
	if err != nil {
		return err
	}
	return merge(ctx, client, userID, profile)
}

// runInMemory starts with a profile, so that the output shows what the merge changes.
func runInMemory(ctx context.Context, userID string, profile courier.Profile) error {
	fmt.Println("COURIER_API_KEY is not set: using the in-memory fake of the API.")
	fake := couriertest.NewHandler()
	server := httptest.NewServer(fake)
	defer server.Close()
	client, err := courier.NewClient(fake.APIKey, courier.WithBaseURL(server.URL))
	if err != nil {
		return err
	}
	err = fake.SetProfile(userID, courier.Profile{
		Name:  courier.Set("Ada Lovelace"),
		Email: courier.Set("old@example.com"),
	})
	if err != nil {
		return err
	}
	before, _ := fake.Profile(userID)
	fmt.Println("before:", before)
	if err := merge(ctx, client, userID, profile); err != nil {
		return err
	}
	after, _ := fake.Profile(userID)
	fmt.Println("after: ", after)
	return nil
}

func merge(
	ctx context.Context, client *courier.Client, userID string, profile courier.Profile,
) error {
	fmt.Println("merge: ", profile)
	result, err := client.Profiles.Merge(ctx, userID, profile)
	if err != nil {
		return err
	}
	fmt.Println("status:", result.Status)
	return nil
}
