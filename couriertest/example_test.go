package couriertest_test

import (
	"context"
	"testing"

	courier "github.com/courier-profiles/courier-go"
	"github.com/courier-profiles/courier-go/couriertest"
)

// changeEmail is the code under test.
func changeEmail(ctx context.Context, client *courier.Client, userID, email string) error {
	_, err := client.Profiles.Merge(ctx, userID, courier.Profile{Email: courier.Set(email)})
	return err
}

// testChangeEmail is its test. In your own code its name begins with Test.
func testChangeEmail(t *testing.T) {
	server := couriertest.NewServer(t)
	client := server.Client()
	err := server.SetProfile("user-1", courier.Profile{
		Email: courier.Set("old@example.com"),
		Name:  courier.Set("Ada"),
	})
	if err != nil {
		t.Fatal(err)
	}

	err = changeEmail(t.Context(), client, "user-1", "new@example.com")
	if err != nil {
		t.Fatal(err)
	}

	profile, ok := server.Profile("user-1")
	if !ok {
		t.Fatal("user-1 has no profile")
	}
	if got := profile.Email.Or(""); got != "new@example.com" {
		t.Errorf("email %q, want new@example.com", got)
	}
	if got := profile.Name.Or(""); got != "Ada" {
		t.Errorf("name %q, want Ada", got)
	}
}

// A test prepares a profile, calls the code under test, and checks the result.
func Example() {
	var t *testing.T // go test provides it
	testChangeEmail(t)
}
