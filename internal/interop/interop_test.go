//go:build interop

// Package interop runs Courier's official Node client and this module's client on
// the same profiles, in examples/fakeserver: the fake has to work with other
// clients, and the two clients have to agree. See README.md.
package interop

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	courier "github.com/courier-profiles/courier-go"
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

// Both clients read what either has written, after each operation.
func TestBothReadWhatGoWrites(t *testing.T) {
	c, ctx := start(t), t.Context()
	profiles := c.client.Profiles
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
			c.wantProfile(t, id, `{"email": "ada@example.com", "custom": {"plan": "pro", "seats": 3}, "tags": ["<&>", "é"]}`)

			wrote(profiles.Patch(ctx, id, []courier.PatchOp{
				courier.PatchTest("/custom/plan", "pro"),
				courier.PatchAdd("/tags/-", nil),
				courier.PatchMove("/email", courier.JSONPointer("custom", "a/b")),
			}))
			c.wantProfile(t, id, `{"custom": {"plan": "pro", "seats": 3, "a/b": "ada@example.com"}, "tags": ["<&>", "é", null]}`)

			wrote(profiles.Replace(ctx, id, courier.Profile{Name: courier.Set("")}))
			c.wantProfile(t, id, `{"name": ""}`)

			var lists []courier.ListSubscription
			for _, list := range sevenLists() {
				lists = append(lists, courier.ListSubscription{ListID: list.ID, Preferences: list.Preferences})
			}
			wrote(profiles.Lists.Subscribe(ctx, id, lists))
			c.wantSubscriptions(t, id, sevenLists())

			wrote(profiles.Lists.UnsubscribeAll(ctx, id))
			c.wantSubscriptions(t, id, nil)

			wrote(profiles.Delete(ctx, id))
			c.wantNoProfile(t, id)
		})
	}
}

func TestBothReadWhatNodeWrites(t *testing.T) {
	c := start(t)
	for _, id := range userIDs {
		t.Run(id, func(t *testing.T) {
			write := func(want, operation string, args ...any) {
				t.Helper()
				outcome := c.node.call(t, operation, append([]any{id}, args...)...)
				if diff := cmp.Diff(decode(t, want), outcome.result(t)); diff != "" {
					t.Errorf("response to %s (-want +got):\n%s", operation, diff)
				}
			}
			write(success, "profiles.create",
				object(`{"profile": {"email": "ada@example.com", "phone_number": "555-555-5555", "custom": {"plan": "free", "seats": 3}}}`))
			write(success, "profiles.create",
				object(`{"profile": {"phone_number": null, "custom": {"plan": "pro"}, "tags": ["<&>", "é"]}}`))
			c.wantProfile(t, id, `{"email": "ada@example.com", "custom": {"plan": "pro", "seats": 3}, "tags": ["<&>", "é"]}`)

			// Its types allow only strings as values, and no "from"; it sends both.
			write("null", "profiles.update", object(`{"patch": [
				{"op": "test", "path": "/custom/plan", "value": "pro"},
				{"op": "add", "path": "/tags/-", "value": null},
				{"op": "move", "from": "/email", "path": "/custom/a~1b"}]}`))
			c.wantProfile(t, id, `{"custom": {"plan": "pro", "seats": 3, "a/b": "ada@example.com"}, "tags": ["<&>", "é", null]}`)

			write(success, "profiles.replace", object(`{"profile": {"name": ""}}`))
			c.wantProfile(t, id, `{"name": ""}`)

			write(success, "profiles.lists.subscribe", object(`{"lists": [
				{"listId": "list-0", "preferences": {"notifications": {"n": {"status": "OPTED_IN", "channel_preferences": [{"channel": "email"}]}}}},
				{"listId": "list-1"}, {"listId": "list-2"}, {"listId": "list-3"},
				{"listId": "list-4"}, {"listId": "list-5"}, {"listId": "list-6"}]}`))
			c.wantSubscriptions(t, id, sevenLists())

			write(success, "profiles.lists.delete")
			c.wantSubscriptions(t, id, nil)

			write("null", "profiles.delete")
			c.wantNoProfile(t, id)
		})
	}
}

// sevenLists are what the tests subscribe to: three pages of the fake, which
// names a list by its id.
func sevenLists() []courier.Subscription {
	lists := make([]courier.Subscription, 7)
	for i := range lists {
		id := fmt.Sprint("list-", i)
		lists[i] = courier.Subscription{ID: id, Name: id}
	}
	lists[0].Preferences = &courier.Preferences{
		Notifications: map[string]courier.Preference{"n": {
			Status:             "OPTED_IN",
			ChannelPreferences: []courier.ChannelPreference{{Channel: "email"}},
		}},
	}
	return lists
}

// What the Node client sends, except for the headers that the runtime adds.
func TestRequests(t *testing.T) {
	c := start(t)
	const (
		id       = "a/b#c%d"
		path     = "/profiles/a%2Fb%23c%25d"
		asJSON   = "application/json"
		anything = "*/*"
	)
	for _, test := range []struct {
		operation string
		body      string
		want      request
	}{
		{"profiles.create", `{"profile": {"email": "ada@example.com"}}`,
			request{Method: "POST", Path: path, Headers: headers(asJSON, asJSON), Body: `{"profile":{"email":"ada@example.com"}}`}},
		{"profiles.retrieve", "",
			request{Method: "GET", Path: path, Headers: headers(asJSON, "")}},
		{"profiles.replace", `{"profile": {}}`,
			request{Method: "PUT", Path: path, Headers: headers(asJSON, asJSON), Body: `{"profile":{}}`}},
		{"profiles.update", `{"patch": [{"op": "remove", "path": "/email"}]}`,
			request{Method: "PATCH", Path: path, Headers: headers(anything, asJSON), Body: `{"patch":[{"op":"remove","path":"/email"}]}`}},
		{"profiles.delete", "",
			request{Method: "DELETE", Path: path, Headers: headers(anything, "")}},
		{"profiles.lists.subscribe", `{"lists": [{"listId": "l"}]}`,
			request{Method: "POST", Path: path + "/lists", Headers: headers(asJSON, asJSON), Body: `{"lists":[{"listId":"l"}]}`}},
		{"profiles.lists.retrieve", `{"cursor": "a&b"}`, // its second argument is the query
			request{Method: "GET", Path: path + "/lists?cursor=a%26b", Headers: headers(asJSON, "")}},
		{"profiles.lists.delete", "",
			request{Method: "DELETE", Path: path + "/lists", Headers: headers(asJSON, "")}},
	} {
		args := []any{id}
		if test.body != "" {
			args = append(args, object(test.body))
		}
		sent := c.node.call(t, test.operation, args...).Sent
		if diff := cmp.Diff([]request{test.want}, sent); diff != "" {
			t.Errorf("sent for %s (-want +got):\n%s", test.operation, diff)
		}
	}
}

// headers are those that the Node client sends, without the ones that name the
// machine.
func headers(accept, contentType string) map[string]string {
	h := map[string]string{
		"accept":                      accept,
		"authorization":               "Bearer " + key,
		"user-agent":                  "Courier/JS 7.10.2",
		"x-stainless-lang":            "js",
		"x-stainless-package-version": "7.10.2",
		"x-stainless-retry-count":     "0",
		"x-stainless-runtime":         "node",
	}
	if contentType != "" {
		h["content-type"] = contentType
	}
	return h
}

// Both clients see the same in an error of the fake.
func TestErrors(t *testing.T) {
	c := start(t, "-fail", "429,429,429")
	const id = "a/b#c%d"
	once := object(`{"maxRetries": 0}`)
	patch := object(`{"patch": [{"op": "remove", "path": "/email"}]}`)
	ctx := t.Context()

	limited := c.node.call(t, "profiles.create", id, object(`{"profile": {}}`), once).Error
	wantError(t, limited, "RateLimitError", 429, "rate_limit_error")
	client, err := courier.NewClientFromEnv(courier.WithMaxRetries(0))
	if err != nil {
		t.Fatal(err)
	}
	_, err = client.Profiles.Merge(ctx, id, courier.Profile{})
	wantSameError[*courier.RateLimitError](t, limited, err)

	// The Node client's first attempt gets the third 429, and its second succeeds.
	retried := c.node.call(t, "profiles.create", id, object(`{"profile": {}}`))
	if diff := cmp.Diff(decode(t, success), retried.result(t)); diff != "" {
		t.Errorf("response after a 429 (-want +got):\n%s", diff)
	}
	var counts []string
	for _, attempt := range retried.Sent {
		counts = append(counts, attempt.Headers["x-stainless-retry-count"])
	}
	if diff := cmp.Diff([]string{"0", "1"}, counts); diff != "" {
		t.Errorf("retry counts of the attempts (-want +got):\n%s", diff)
	}

	wantError(t, c.node.call(t, "profiles.create", id, object(`{"profile": "a string"}`)).Error,
		"BadRequestError", 400, "invalid_request_error")

	refused := c.node.call(t, "profiles.update", id, patch).Error
	wantError(t, refused, "BadRequestError", 400, "invalid_request_error")
	_, err = c.client.Profiles.Patch(ctx, id, []courier.PatchOp{courier.PatchRemove("/email")})
	wantSameError[*courier.InvalidRequestError](t, refused, err)

	wantError(t, c.node.call(t, "profiles.retrieve", id, object(`{"headers": {"Authorization": "Bearer other"}}`)).Error,
		"AuthenticationError", 401, "authentication_error")
}

// The Node client does not send its option idempotencyKey. It does send a header of
// that name, and accepts the replayed response.
func TestIdempotencyKey(t *testing.T) {
	c := start(t)
	option := c.node.call(t, "profiles.create", "option", object(`{"profile": {}}`), object(`{"idempotencyKey": "k"}`))
	option.result(t)
	for _, attempt := range option.Sent {
		if diff := cmp.Diff(headers("application/json", "application/json"), attempt.Headers); diff != "" {
			t.Errorf("headers (-want +got):\n%s", diff)
		}
	}

	header := object(`{"headers": {"Idempotency-Key": "k"}}`)
	for _, name := range []string{"first", "second"} {
		outcome := c.node.call(t, "profiles.create", "header",
			map[string]any{"profile": map[string]string{"name": name}}, header)
		if diff := cmp.Diff(decode(t, success), outcome.result(t)); diff != "" {
			t.Errorf("response to the %s merge (-want +got):\n%s", name, diff)
		}
	}
	c.wantProfile(t, "header", `{"name": "first"}`)
}

// A number that JavaScript cannot hold loses digits in a client that uses its JSON
// parser, and in the profile if that client writes it back.
func TestNumbers(t *testing.T) {
	c := start(t)
	const id, number = "user-1", "12345678901234567890"
	_, err := c.client.Profiles.Merge(t.Context(), id, courier.Profile{
		Custom: courier.Set(map[string]any{"n": json.Number(number)}),
	})
	if err != nil {
		t.Fatal(err)
	}

	got, err := c.client.Profiles.Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(decode(t, `{"custom": {"n": `+number+`}}`), document(t, got.Profile)); diff != "" {
		t.Errorf("profile read by Go (-want +got):\n%s", diff)
	}
	want := decode(t, `{"profile": {"custom": {"n": 12345678901234567000}}, "preferences": null}`)
	if diff := cmp.Diff(want, c.node.call(t, "profiles.retrieve", id).result(t)); diff != "" {
		t.Errorf("response read by Node (-want +got):\n%s", diff)
	}
}

// The Node client refuses the same dot segments as this module's client, and
// accepts the empty ID.
func TestUnusableUserIDs(t *testing.T) {
	c := start(t)
	for id, sent := range map[string]int{".": 0, "..": 0, "": 1} {
		outcome := c.node.call(t, "profiles.retrieve", id)
		if outcome.Error == nil || len(outcome.Sent) != sent {
			t.Errorf("user id %q: Node's error is %v after %d requests, want one after %d", id, outcome.Error, len(outcome.Sent), sent)
		}
		var refused *courier.ValidationError
		if _, err := c.client.Profiles.Get(t.Context(), id); !errors.As(err, &refused) {
			t.Errorf("user id %q: Go's error is %v, want a %T", id, err, refused)
		}
	}
}
