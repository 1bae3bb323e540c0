//go:build interop

// Package interop runs Courier's official Node client and this module's client on the same
// profiles in package couriertest: the fake has to work with other clients, and the two
// clients have to agree. See README.md.
package interop

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	courier "github.com/courier-profiles/courier-go"
	"github.com/courier-profiles/courier-go/couriertest"
)

// userIDs are IDs that a client or server with careless escaping misreads.
var userIDs = []string{
	"user-1",
	"a/b#c%d",
	"%2F",
	"/",
	"a/../b",
	"?cursor=1&x",
	"ada+test@example.com",
	"+1 (555) 010-0199",
	"Zoë/☃",
	`"\<>{}|^[]` + "`",
}

var lists = []string{"list-0", "list-1", "list-2", "list-3", "list-4", "list-5", "list-6"}

// Both clients read what Go writes, after each operation.
func TestGoWrites(t *testing.T) {
	p, ctx := newPair(t), t.Context()
	profiles := p.client.Profiles
	for _, id := range userIDs {
		t.Run(id, func(t *testing.T) {
			wrote := func(_ *courier.Result, err error) {
				t.Helper()
				if err != nil {
					t.Fatal(err)
				}
			}
			wrote(profiles.Merge(ctx, id, courier.Profile{
				Email:       courier.Set("ada@example.com"),
				PhoneNumber: courier.Set("555-555-5555"),
				Custom:      courier.Set(map[string]any{"plan": "free", "seats": 3}),
			}))
			wrote(profiles.Merge(ctx, id, courier.Profile{
				PhoneNumber: courier.Null[string](),
				Custom:      courier.Set(map[string]any{"plan": "pro"}),
				Extra:       map[string]any{"tags": []any{"<&>", "é"}},
			}))
			p.wantProfile(t, id, `{"email": "ada@example.com",
				"custom": {"plan": "pro", "seats": 3}, "tags": ["<&>", "é"]}`)

			wrote(profiles.Patch(ctx, id, []courier.PatchOp{
				courier.PatchTest("/custom/plan", "pro"),
				courier.PatchAdd("/tags/-", nil),
				courier.PatchMove("/email", courier.JSONPointer("custom", "a/b")),
			}))
			p.wantProfile(t, id, `{"custom": {"plan": "pro", "seats": 3, "a/b": "ada@example.com"},
				"tags": ["<&>", "é", null]}`)

			wrote(profiles.Replace(ctx, id, courier.Profile{Name: courier.Set("")}))
			p.wantProfile(t, id, `{"name": ""}`)

			var subscriptions []courier.ListSubscription
			for _, list := range lists {
				subscriptions = append(subscriptions, courier.ListSubscription{ListID: list})
			}
			wrote(profiles.Lists.Subscribe(ctx, id, subscriptions))
			p.wantLists(t, id, lists)
			wrote(profiles.Lists.UnsubscribeAll(ctx, id))
			p.wantLists(t, id, nil)

			wrote(profiles.Delete(ctx, id))
			wantSameError[*courier.NotFoundError](t, p, id, 404, "NotFoundError")
		})
	}
}

// Both clients read what Node writes, after each operation.
func TestNodeWrites(t *testing.T) {
	p := newPair(t)
	for _, id := range userIDs {
		t.Run(id, func(t *testing.T) {
			p.node.write(t, "profiles.create", id, `{"profile": {"email": "ada@example.com",
				"phone_number": "555-555-5555", "custom": {"plan": "free", "seats": 3}}}`)
			p.node.write(t, "profiles.create", id, `{"profile": {"phone_number": null,
				"custom": {"plan": "pro"}, "tags": ["<&>", "é"]}}`)
			p.wantProfile(t, id, `{"email": "ada@example.com",
				"custom": {"plan": "pro", "seats": 3}, "tags": ["<&>", "é"]}`)

			// Its types allow only strings as values, and no "from"; it sends both.
			p.node.write(t, "profiles.update", id, `{"patch": [
				{"op": "test", "path": "/custom/plan", "value": "pro"},
				{"op": "add", "path": "/tags/-", "value": null},
				{"op": "move", "from": "/email", "path": "/custom/a~1b"}]}`)
			p.wantProfile(t, id, `{"custom": {"plan": "pro", "seats": 3, "a/b": "ada@example.com"},
				"tags": ["<&>", "é", null]}`)

			p.node.write(t, "profiles.replace", id, `{"profile": {"name": ""}}`)
			p.wantProfile(t, id, `{"name": ""}`)

			p.node.write(t, "profiles.lists.subscribe", id, `{"lists": [
				{"listId": "list-0"}, {"listId": "list-1"}, {"listId": "list-2"},
				{"listId": "list-3"}, {"listId": "list-4"}, {"listId": "list-5"},
				{"listId": "list-6"}]}`)
			p.wantLists(t, id, lists)
			p.node.write(t, "profiles.lists.delete", id)
			p.wantLists(t, id, nil)

			p.node.write(t, "profiles.delete", id)
			wantSameError[*courier.NotFoundError](t, p, id, 404, "NotFoundError")
		})
	}
}

// Both clients see the same in an error of the fake.
func TestErrors(t *testing.T) {
	p := newPair(t)
	for _, status := range []int{400, 409, 413, 422, 429, 500, 503} {
		p.server.Fail(couriertest.Fault{Status: status}, couriertest.Fault{Status: status})
		wantSameError[*courier.APIError](t, p, "user-1", status, "")
	}
}

// wantSameError reads a profile with both clients: both must see the same error, which is
// an E and of that class.
func wantSameError[E error](t *testing.T, p *pair, userID string, status int, class string) {
	t.Helper()
	thrown := p.node.call(t, "profiles.retrieve", userID, `{"maxRetries": 0}`).Error
	if thrown == nil {
		t.Fatalf("the Node client threw no error, want one for %d", status)
	}
	if thrown.Message == "" || class != "" && thrown.Class != class {
		t.Errorf("the Node client threw %+v, want %s with a message", *thrown, class)
	}
	_, err := p.server.Client(courier.WithMaxRetries(0)).Profiles.Get(t.Context(), userID)
	if _, ok := errors.AsType[E](err); !ok {
		t.Errorf("Go's error is %T, want %T", err, *new(E))
	}
	got, ok := errors.AsType[*courier.APIError](err)
	if !ok {
		t.Fatalf("Go's error is %v, want an APIError", err)
	}
	diff := cmp.Diff(
		[]any{thrown.Status, thrown.Type, thrown.Message},
		[]any{got.StatusCode, got.Type, got.Message})
	if diff != "" || got.StatusCode != status {
		t.Errorf("error for %d (-Node +Go):\n%s", status, diff)
	}
}

// The Node client does not send its own option for an idempotency key, but it sends a
// header of that name. The second merge gets the first response and changes nothing.
func TestIdempotencyKey(t *testing.T) {
	p := newPair(t)
	const header = `{"headers": {"Idempotency-Key": "k"}}`
	p.node.write(t, "profiles.create", "user-1", `{"profile": {"name": "first"}}`, header)
	p.node.write(t, "profiles.create", "user-1", `{"profile": {"name": "second"}}`, header)
	p.wantProfile(t, "user-1", `{"name": "first"}`)
}
