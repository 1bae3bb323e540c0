package courier

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"time"

	"github.com/courier-profiles/courier-go/internal/transport"
	"github.com/go-json-experiment/json/jsontext"
)

// ListsService has the operations on a user's list subscriptions. It is at
// [ProfilesService.Lists]. The errors of its methods are those of [ProfilesService.Merge].
type ListsService struct {
	client *Client
}

var (
	listSubscriptions = operation{
		name:   "list subscriptions",
		method: http.MethodGet,
		suffix: "/lists",
		policy: transport.Idempotent,
	}
	subscribe = operation{
		name:     "subscribe",
		method:   http.MethodPost,
		suffix:   "/lists",
		policy:   transport.Idempotent,
		takesKey: true,
	}
	unsubscribeAll = operation{
		name:   "unsubscribe all",
		method: http.MethodDelete,
		suffix: "/lists",
		policy: transport.Idempotent,
	}
)

// Subscription is a list that a user is subscribed to. Extra also holds members that do
// not fit their field; a time that cannot be read is the zero time.
type Subscription struct {
	ID          string         `json:"id,omitzero"`          // of the list
	Name        string         `json:"name,omitzero"`        // of the list
	Created     time.Time      `json:"created,omitzero"`     // of the list, not of the subscription
	Updated     time.Time      `json:"updated,omitzero"`     // of the list, not of the subscription
	Preferences *Preferences   `json:"preferences,omitzero"` // nil for none
	Extra       map[string]any `json:",embed"`
}

// subscriptionObject is a Subscription without its methods.
type subscriptionObject Subscription

// MarshalJSON writes the subscription as Courier does.
func (s Subscription) MarshalJSON() ([]byte, error) { return encode((*subscriptionObject)(&s)) }

// UnmarshalJSON reads a JSON object. What does not fit goes to Extra.
func (s *Subscription) UnmarshalJSON(text []byte) error { return decode(text, s) }

// MarshalJSONTo is [Subscription.MarshalJSON] for encoding/json/v2.
func (s Subscription) MarshalJSONTo(enc *jsontext.Encoder) error {
	return encodeTo(enc, (*subscriptionObject)(&s))
}

// UnmarshalJSONFrom is [Subscription.UnmarshalJSON] for encoding/json/v2.
func (s *Subscription) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	*s = Subscription{}
	return readLenientObject(dec, (*subscriptionObject)(s), &s.Extra)
}

// SubscriptionPage is one page of a user's subscriptions.
type SubscriptionPage struct {
	Subscriptions []Subscription
	Cursor        string // of the next page, for [ListsService.Page]
	More          bool   // whether there is a next page
	Response
}

// pageResult is a page with the body that it was read from.
type pageResult struct {
	SubscriptionPage
	body []byte
}

func (p *pageResult) read(x *transport.Exchange, text []byte) error {
	p.body = x.Body
	type paging struct {
		Cursor Field[string] `json:"cursor"`
		More   Field[bool]   `json:"more"`
	}
	var body struct {
		Results Field[[]Subscription] `json:"results"`
		Paging  Field[paging]         `json:"paging"`
	}
	if err := decode(text, &body); err != nil {
		return err
	}
	next, _ := body.Paging.Get()
	return cmp.Or(
		required(&p.Subscriptions, body.Results, "results"),
		optional(&next, body.Paging, "paging"),
		optional(&p.Cursor, next.Cursor, "paging.cursor"),
		optional(&p.More, next.More, "paging.more"),
	)
}

// Page reads one page of the user's subscriptions (GET /profiles/{user_id}/lists): the
// first page if cursor is empty, otherwise the page after the one with that Cursor.
func (s *ListsService) Page(
	ctx context.Context, userID, cursor string, opts ...RequestOption,
) (*SubscriptionPage, error) {
	result, err := s.page(ctx, userID, cursor, opts)
	if err != nil {
		return nil, err
	}
	page := result.SubscriptionPage
	return &page, nil
}

func (s *ListsService) page(
	ctx context.Context, userID, cursor string, opts []RequestOption,
) (*pageResult, error) {
	query := ""
	if cursor != "" {
		query = url.Values{"cursor": {cursor}}.Encode()
	}
	page := new(pageResult)
	c := &call{op: &listSubscriptions, userID: userID, query: query}
	if err := s.client.do(ctx, c, page, opts); err != nil {
		return nil, err
	}
	return page, nil
}

// All iterates over all subscriptions of the user, and requests each page when the loop
// needs it. An error ends the iteration; a repeated cursor is an
// [*UnexpectedResponseError].
func (s *ListsService) All(
	ctx context.Context, userID string, opts ...RequestOption,
) iter.Seq2[Subscription, error] {
	return func(yield func(Subscription, error) bool) {
		cursor, seen := "", map[string]bool{"": true}
		for {
			page, err := s.page(ctx, userID, cursor, opts)
			if err != nil {
				yield(Subscription{}, err)
				return
			}
			for _, subscription := range page.Subscriptions {
				if !yield(subscription, nil) {
					return
				}
			}
			if !page.More {
				return
			}
			cursor = page.Cursor
			if seen[cursor] {
				yield(Subscription{}, &UnexpectedResponseError{
					Operation:  listSubscriptions.name,
					StatusCode: page.StatusCode,
					Header:     page.Header,
					Body:       page.body,
					Err:        errCursor,
				})
				return
			}
			seen[cursor] = true
		}
	}
}

// ListSubscription is a list to subscribe a user to.
type ListSubscription struct {
	ListID      string       `json:"listId"`
	Preferences *Preferences `json:"preferences,omitzero"` // nil for none
}

// listsBody is the body of a request that subscribes to lists.
type listsBody struct {
	Lists []ListSubscription `json:"lists"`
}

// Subscribe subscribes the user to lists, and creates those that do not exist (POST
// /profiles/{user_id}/lists). Other subscriptions stay. Courier may accept no more than
// 20 new subscriptions a minute; see [*RateLimitError].
//
// Subscribe is idempotent, and is retried.
func (s *ListsService) Subscribe(
	ctx context.Context, userID string, lists []ListSubscription, opts ...RequestOption,
) (*Result, error) {
	if len(lists) == 0 {
		return nil, invalid("lists", "there is no list to subscribe to")
	}
	for i, list := range lists {
		if list.ListID == "" {
			return nil, invalid(fmt.Sprintf("lists[%d].listId", i), "is empty")
		}
	}
	body, err := encode(&listsBody{lists})
	if err != nil {
		return nil, err
	}
	return s.client.write(ctx, &subscribe, userID, body, opts)
}

// UnsubscribeAll removes all subscriptions of the user (DELETE /profiles/{user_id}/lists).
// It is idempotent, and is retried.
func (s *ListsService) UnsubscribeAll(
	ctx context.Context, userID string, opts ...RequestOption,
) (*Result, error) {
	return s.client.write(ctx, &unsubscribeAll, userID, nil, opts)
}
