package couriertest

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	courier "github.com/courier-profiles/courier-go"
)

// defaultPageSize is small, so that a test with a handful of subscriptions
// meets a second page.
const defaultPageSize = 3

// timestampLayout is how the API reference writes a time, as in
// 2020-06-10T18:41:29.093Z.
const timestampLayout = "2006-01-02T15:04:05.000Z"

// Subscriptions returns the lists that a user is subscribed to, oldest first.
func (h *Handler) Subscriptions(userID string) []courier.Subscription {
	stored := h.store.subscriptionsOf(userID)
	subscriptions := make([]courier.Subscription, len(stored))
	for i, s := range stored {
		subscriptions[i] = courier.Subscription{ID: s.listID, Name: s.listID, Created: s.created, Updated: s.updated}
		var preferences courier.Preferences
		if err := json.Unmarshal(s.preferences, &preferences); err == nil {
			subscriptions[i].Preferences = &preferences
		}
	}
	return subscriptions
}

func (h *Handler) listSubscriptions(c call) answer {
	subscriptions := h.store.subscriptionsOf(c.userID)
	if cursor := c.query.Get("cursor"); cursor != "" {
		i := slices.IndexFunc(subscriptions, func(s subscription) bool { return cursorAfter(s) == cursor })
		if i < 0 {
			return refuse(http.StatusBadRequest, "unknown cursor")
		}
		subscriptions = subscriptions[i+1:]
	}

	size := h.PageSize
	if size < 1 {
		size = defaultPageSize
	}
	paging := map[string]any{"cursor": nil, "more": false}
	if len(subscriptions) > size {
		subscriptions = subscriptions[:size]
		paging = map[string]any{"cursor": cursorAfter(subscriptions[size-1]), "more": true}
	}

	results := make([]map[string]any, len(subscriptions))
	for i, s := range subscriptions {
		results[i] = map[string]any{
			"id":          s.listID,
			"name":        s.listID,
			"created":     s.created.Format(timestampLayout),
			"updated":     s.updated.Format(timestampLayout),
			"preferences": s.preferences,
		}
	}
	return answerJSON(http.StatusOK, map[string]any{"paging": paging, "results": results})
}

// cursorAfter is the cursor of the page that starts after a subscription. It
// names the subscription and not its number, so that a list added between two
// pages moves nothing.
func cursorAfter(s subscription) string {
	return base64.RawURLEncoding.EncodeToString([]byte("after " + s.listID))
}

func (h *Handler) subscribe(c call) answer {
	added, err := c.subscriptions()
	if err != nil {
		return refuse(http.StatusBadRequest, err.Error())
	}
	h.store.subscribe(c.userID, added)
	return succeed(http.StatusOK)
}

func (h *Handler) unsubscribeAll(c call) answer {
	h.store.unsubscribeAll(c.userID)
	return succeed(http.StatusOK)
}

// subscriptions reads the lists that a request subscribes to.
func (c call) subscriptions() ([]subscription, error) {
	body, err := c.object()
	if err != nil {
		return nil, err
	}
	lists, ok := body["lists"].([]any)
	if !ok || len(lists) == 0 {
		return nil, errors.New("lists must be an array of at least one list")
	}
	now := time.Now().UTC().Truncate(time.Millisecond)
	subscriptions := make([]subscription, len(lists))
	for i, element := range lists {
		list, ok := element.(map[string]any)
		if !ok {
			return nil, fmt.Errorf("lists[%d] must be an object", i)
		}
		id, ok := list["listId"].(string)
		if !ok || id == "" {
			return nil, fmt.Errorf("lists[%d].listId must be a string that is not empty", i)
		}
		subscriptions[i] = subscription{listID: id, created: now, updated: now}
		switch preferences := list["preferences"].(type) {
		case nil:
		case map[string]any:
			if subscriptions[i].preferences, err = encode(preferences); err != nil {
				return nil, fmt.Errorf("lists[%d].preferences: %w", i, err)
			}
		default:
			return nil, fmt.Errorf("lists[%d].preferences must be an object", i)
		}
	}
	return subscriptions, nil
}
