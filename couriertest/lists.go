package couriertest

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	courier "github.com/courier-profiles/courier-go"
)

// defaultPageSize is small, so that a few subscriptions already take two pages.
const defaultPageSize = 3

// timestampLayout is how the API reference writes a time: 2020-06-10T18:41:29.093Z.
const timestampLayout = "2006-01-02T15:04:05.000Z"

// Subscriptions returns the lists that a user is subscribed to, oldest subscription
// first.
func (h *Handler) Subscriptions(userID string) []courier.Subscription {
	stored := h.store.subscriptionsOf(userID)
	subscriptions := make([]courier.Subscription, len(stored))
	for i, s := range stored {
		subscriptions[i] = courier.Subscription{
			ID:          s.listID,
			Name:        s.listID,
			Created:     s.list.created,
			Updated:     s.list.updated,
			Preferences: readPreferences(s.preferences),
		}
	}
	return subscriptions
}

// page is the response of "list subscriptions".
type page struct {
	Paging struct {
		Cursor *string `json:"cursor"`
		More   bool    `json:"more"`
	} `json:"paging"`
	Results []result `json:"results"`
}

type result struct {
	ID          string `json:"id"`
	Name        string `json:"name"`
	Created     string `json:"created"`
	Updated     string `json:"updated"`
	Preferences any    `json:"preferences"`
}

func (h *Handler) listSubscriptions(c call) response {
	subscriptions := h.store.subscriptionsOf(c.userID)
	if cursor := c.query.Get("cursor"); cursor != "" {
		i := slices.IndexFunc(subscriptions, func(s subscription) bool {
			return cursorAfter(s) == cursor
		})
		if i < 0 {
			return errorResponse(http.StatusBadRequest, "unknown cursor")
		}
		subscriptions = subscriptions[i+1:]
	}

	size := h.PageSize
	if size < 1 {
		size = defaultPageSize
	}
	p := page{Results: []result{}} // a nil slice would be null
	if len(subscriptions) > size {
		subscriptions = subscriptions[:size]
		cursor := cursorAfter(subscriptions[size-1])
		p.Paging.Cursor, p.Paging.More = &cursor, true
	}
	for _, s := range subscriptions {
		p.Results = append(p.Results, result{
			ID:          s.listID,
			Name:        s.listID,
			Created:     s.list.created.Format(timestampLayout),
			Updated:     s.list.updated.Format(timestampLayout),
			Preferences: s.preferences,
		})
	}
	return jsonResponse(http.StatusOK, p)
}

// cursorAfter returns the cursor of the page after a subscription. It names the
// subscription, not its position, so that a list added in between moves nothing.
func cursorAfter(s subscription) string {
	id := sha256.Sum256([]byte(s.listID))
	// These bytes make it begin with "++++" and end in "==": unescaped in a query,
	// no cursor would arrive unchanged.
	return base64.StdEncoding.EncodeToString(append([]byte{0xfb, 0xef, 0xbe}, id[:13]...))
}

func (h *Handler) subscribe(c call) response {
	added, err := c.subscriptions()
	if err != nil {
		return errorResponse(http.StatusBadRequest, err.Error())
	}
	h.store.subscribe(c.userID, added)
	return successResponse(http.StatusOK)
}

func (h *Handler) unsubscribeAll(c call) response {
	h.store.unsubscribeAll(c.userID)
	return successResponse(http.StatusOK)
}

// subscriptions reads the lists in a request.
func (c call) subscriptions() ([]subscription, error) {
	body, err := c.object()
	if err != nil {
		return nil, err
	}
	lists, ok := body["lists"].([]any)
	if !ok || len(lists) == 0 {
		return nil, errors.New("lists must be an array of at least one list")
	}
	subscriptions := make([]subscription, len(lists))
	for i, element := range lists {
		list, ok := element.(map[string]any)
		if !ok {
			return nil, fmt.Errorf("lists[%d] must be an object", i)
		}
		id, _ := list["listId"].(string)
		if id == "" {
			return nil, fmt.Errorf("lists[%d].listId must be a non-empty string", i)
		}
		if strings.Contains(id, mark) {
			return nil, fmt.Errorf("lists[%d].listId must be text", i)
		}
		preferences := list["preferences"]
		if _, ok := preferences.(map[string]any); !ok && preferences != nil {
			return nil, fmt.Errorf("lists[%d].preferences must be an object", i)
		}
		subscriptions[i] = subscription{listID: id, preferences: preferences}
	}
	return subscriptions, nil
}
