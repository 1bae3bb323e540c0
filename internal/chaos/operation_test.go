package chaos

import (
	"context"
	"iter"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	courier "github.com/courier-profiles/courier-go"
	"github.com/courier-profiles/courier-go/couriertest"
)

const userID = "user-1"

type profiles = courier.ProfilesService

// operation is one call, for the user as newHandler has it.
type operation struct {
	name  string
	call  func(context.Context, *profiles) error
	after string // what state returns once the call has succeeded

	// patch and withKey say how the client retries the call.
	patch, withKey bool
}

const before = `{"name":"Ada"} lists: news`

func operations() []operation {
	const (
		merged   = `{"name":"Ada","email":"ada@example.com"} lists: news`
		replaced = `{"email":"ada@example.com"} lists: news`
		patched  = `{"name":"Bo"} lists: news`
		deleted  = `none lists: news`
	)
	profile := courier.Profile{Email: courier.Set("ada@example.com")}
	one := func(yield func(string, courier.Profile) bool) { yield(userID, profile) }
	id := func(yield func(string) bool) { yield(userID) }
	return []operation{
		{
			name: "Merge", after: merged,
			call: func(ctx context.Context, p *profiles) error {
				_, err := p.Merge(ctx, userID, profile)
				return err
			},
		},
		{
			name: "Merge with a key", after: merged, withKey: true,
			call: func(ctx context.Context, p *profiles) error {
				_, err := p.Merge(ctx, userID, profile, courier.WithIdempotencyKey("k"))
				return err
			},
		},
		{
			name: "Get", after: before,
			call: func(ctx context.Context, p *profiles) error {
				_, err := p.Get(ctx, userID)
				return err
			},
		},
		{
			name: "Replace", after: replaced,
			call: func(ctx context.Context, p *profiles) error {
				_, err := p.Replace(ctx, userID, profile)
				return err
			},
		},
		{
			name: "Patch", after: patched, patch: true,
			call: func(ctx context.Context, p *profiles) error {
				ops := []courier.PatchOp{courier.PatchReplace("/name", "Bo")}
				_, err := p.Patch(ctx, userID, ops)
				return err
			},
		},
		{
			name: "Delete", after: deleted,
			call: func(ctx context.Context, p *profiles) error {
				_, err := p.Delete(ctx, userID)
				return err
			},
		},
		{
			name: "Lists.Page", after: before,
			call: func(ctx context.Context, p *profiles) error {
				_, err := p.Lists.Page(ctx, userID, "")
				return err
			},
		},
		{
			name: "Lists.Subscribe", after: before + ",offers",
			call: func(ctx context.Context, p *profiles) error {
				lists := []courier.ListSubscription{{ListID: "offers"}}
				_, err := p.Lists.Subscribe(ctx, userID, lists)
				return err
			},
		},
		{
			name: "Lists.UnsubscribeAll", after: `{"name":"Ada"} lists: `,
			call: func(ctx context.Context, p *profiles) error {
				_, err := p.Lists.UnsubscribeAll(ctx, userID)
				return err
			},
		},
		{
			name: "MergeAll", after: merged,
			call: func(ctx context.Context, p *profiles) error {
				return only(p.MergeAll(ctx, one))
			},
		},
		{
			name: "ReplaceAll", after: replaced,
			call: func(ctx context.Context, p *profiles) error {
				return only(p.ReplaceAll(ctx, one))
			},
		},
		{
			name: "DeleteAll", after: deleted,
			call: func(ctx context.Context, p *profiles) error {
				return only(p.DeleteAll(ctx, id))
			},
		},
	}
}

// only returns the error of a bulk run of one update.
func only(outcomes iter.Seq[courier.Outcome]) error {
	var err error
	for outcome := range outcomes {
		err = outcome.Err
	}
	return err
}

// newHandler returns a fake with the state before.
func newHandler(t *testing.T) *couriertest.Handler {
	t.Helper()
	handler := couriertest.NewHandler()
	err := handler.SetProfile(userID, courier.Profile{Name: courier.Set("Ada")})
	if err != nil {
		t.Fatal(err)
	}
	// There is no other way to subscribe a user than to ask for it.
	body := strings.NewReader(`{"lists": [{"listId": "news"}]}`)
	request := httptest.NewRequest(http.MethodPost, "/profiles/"+userID+"/lists", body)
	request.Header.Set("Authorization", "Bearer "+handler.APIKey)
	response := httptest.NewRecorder()
	handler.ServeHTTP(response, request)
	if response.Code != http.StatusOK {
		t.Fatalf("subscribe: status %d", response.Code)
	}
	return handler
}

// state returns the user's profile and lists.
func state(handler *couriertest.Handler) string {
	text := "none"
	if profile, ok := handler.Profile(userID); ok {
		text = profile.String()
	}
	var lists []string
	for _, subscription := range handler.Subscriptions(userID) {
		lists = append(lists, subscription.ID)
	}
	return text + " lists: " + strings.Join(lists, ",")
}
