package courier

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/courier-profiles/courier-go/internal/jsonobject"
	"github.com/courier-profiles/courier-go/internal/retry"
)

// ListsService has the operations on the lists that a user is subscribed to. It
// is at [ProfilesService.Lists]. The errors of its methods are those of
// [ProfilesService.Merge].
type ListsService struct {
	core func() *core
}

var (
	listSubscriptions = operation{name: "list subscriptions", method: http.MethodGet, suffix: "/lists", retry: retry.Idempotent}
	subscribe         = operation{name: "subscribe", method: http.MethodPost, suffix: "/lists", retry: retry.Idempotent, takesKey: true}
	unsubscribeAll    = operation{name: "unsubscribe all", method: http.MethodDelete, suffix: "/lists", retry: retry.Idempotent}
)

// Subscription is a list that a user is subscribed to.
type Subscription struct {
	ID          string // of the list
	Name        string // of the list
	Created     time.Time
	Updated     time.Time
	Preferences *Preferences // nil if there are none
	Extra       map[string]any
}

func (s *Subscription) visit(v jsonobject.Visitor) {
	v.Extra(&s.Extra)
	v.Field("id", (*text)(&s.ID))
	v.Field("name", (*text)(&s.Name))
	v.Field("created", (*timestamp)(&s.Created))
	v.Field("updated", (*timestamp)(&s.Updated))
	v.Field("preferences", preferencesValue{&s.Preferences})
}

// preferencesValue is a pointer to preferences in the eyes of jsonobject.
type preferencesValue struct{ p **Preferences }

func (v preferencesValue) IsZero() bool                   { return *v.p == nil }
func (v preferencesValue) Clear()                         { *v.p = nil }
func (v preferencesValue) WriteJSON(w *jsonobject.Writer) { w.Object((*v.p).visit) }
func (v preferencesValue) ReadJSON(r *jsonobject.Reader) (ok bool) {
	*v.p, ok = readPreferences(r)
	return ok
}

// MarshalJSON writes the subscription as Courier does: times in UTC, to the
// millisecond.
func (s Subscription) MarshalJSON() ([]byte, error) { return marshal(&s) }

// UnmarshalJSON reads a JSON object.
func (s *Subscription) UnmarshalJSON(text []byte) error { return unmarshal(text, s) }

// String returns the subscription as JSON.
func (s Subscription) String() string { return jsonText(s) }

// SubscriptionPage is a page of a user's subscriptions.
type SubscriptionPage struct {
	Subscriptions []Subscription
	Cursor        string // of the next page, for [ListsService.Page]
	More          bool   // whether there is a next page
	Response
}

func (p *SubscriptionPage) readJSON(r *jsonobject.Reader) bool {
	if !r.BeginObject() {
		return false
	}
	found, fits := false, true
	for {
		key, _, more := r.NextMember()
		if !more {
			return found && fits && r.Err() == nil
		}
		switch key {
		case "results":
			found = r.Fits(func(r *jsonobject.Reader) (ok bool) {
				p.Subscriptions, ok = readList(r, func(r *jsonobject.Reader) (s Subscription, ok bool) {
					return s, r.Object(s.visit)
				})
				return ok
			})
		case "paging":
			fits = r.Fits(p.readPaging)
		default:
			r.Any()
		}
	}
}

func (p *SubscriptionPage) readPaging(r *jsonobject.Reader) bool {
	p.Cursor, p.More = "", false
	if r.Null() {
		return true
	}
	if !r.BeginObject() {
		return false
	}
	fits, hasMore := true, true
	for {
		key, _, more := r.NextMember()
		if !more {
			return fits && hasMore && r.Err() == nil
		}
		switch key {
		case "cursor":
			fits = r.Fits((*text)(&p.Cursor).ReadJSON)
		case "more":
			hasMore = r.Fits(func(r *jsonobject.Reader) (ok bool) {
				if p.More = false; r.Null() {
					return true
				}
				p.More, ok = r.Bool()
				return ok
			})
		default:
			r.Any()
		}
	}
}

// Format prints the page's subscriptions, cursor and what LogValue of Response
// returns, whatever the verb.
func (p SubscriptionPage) Format(f fmt.State, verb rune) { formatJSON(f, verb, p) }

// LogValue returns what is printed.
func (p SubscriptionPage) LogValue() slog.Value { return logValue(p.details()) }

// MarshalJSON writes what is printed.
func (p SubscriptionPage) MarshalJSON() ([]byte, error) { return marshalDetails(p.details()) }

func (p *SubscriptionPage) details() []detail {
	return append(p.Response.details(),
		detail{"subscriptions", p.Subscriptions}, detail{"cursor", p.Cursor}, detail{"more", p.More})
}

// Page reads one page of the user's subscriptions: the first for an empty
// cursor, or the one that the Cursor of another page names (GET
// /profiles/{user_id}/lists).
func (s *ListsService) Page(ctx context.Context, userID, cursor string, opts ...RequestOption) (*SubscriptionPage, error) {
	query := ""
	if cursor != "" {
		query = url.Values{"cursor": {cursor}}.Encode()
	}
	page := new(SubscriptionPage)
	if err := s.core().do(ctx, &call{op: &listSubscriptions, userID: userID, query: query, result: page}, opts); err != nil {
		return nil, err
	}
	return page, nil
}

var errCursor = errors.New("there is more, but the cursor leads nowhere new")

// All reads all subscriptions of the user, a page at a time as the loop gets to
// it. An error is the last thing that it yields; a server that names the same
// page twice is an [*UnexpectedResponseError].
func (s *ListsService) All(ctx context.Context, userID string, opts ...RequestOption) iter.Seq2[Subscription, error] {
	return func(yield func(Subscription, error) bool) {
		cursor, seen := "", map[string]bool{"": true}
		for {
			page, err := s.Page(ctx, userID, cursor, opts...)
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
	ListID      string
	Preferences *Preferences // nil for none
}

// MarshalJSON writes the subscription as Courier takes it.
func (l ListSubscription) MarshalJSON() ([]byte, error) { return marshal(&l) }

// String returns the subscription as JSON.
func (l ListSubscription) String() string { return jsonText(l) }

// Subscribe subscribes the user to lists, and creates those that do not exist
// (POST /profiles/{user_id}/lists). Other subscriptions stay. Courier may take
// no more than 20 a minute, see [*RateLimitError].
//
// Subscribe is safe to retry, and is retried.
func (s *ListsService) Subscribe(ctx context.Context, userID string, lists []ListSubscription, opts ...RequestOption) (*Result, error) {
	if len(lists) == 0 {
		return nil, invalid("lists", "there is no list to subscribe to")
	}
	body, err := s.core().encode(func(w *jsonobject.Writer) {
		w.Raw(`{"lists":`)
		jsonobject.List(w, lists, func(l ListSubscription) { l.writeJSON(w) })
		w.Raw(`}`)
	})
	if err != nil {
		return nil, err
	}
	return s.core().write(ctx, &subscribe, userID, body, opts)
}

func (l *ListSubscription) writeJSON(w *jsonobject.Writer) {
	w.Raw(`{"listId":`)
	if w.String(l.ListID); l.ListID == "" {
		w.Fail("is empty")
	}
	if w.Err() != nil {
		w.In("lists.ListID")
		return
	}
	if l.Preferences != nil {
		w.Key("preferences")
		w.Object(l.Preferences.visit)
		w.In("lists.Preferences")
	}
	w.Raw("}")
}

// UnsubscribeAll ends all subscriptions of the user (DELETE
// /profiles/{user_id}/lists). It is safe to retry, and is retried.
func (s *ListsService) UnsubscribeAll(ctx context.Context, userID string, opts ...RequestOption) (*Result, error) {
	return s.core().write(ctx, &unsubscribeAll, userID, nil, opts)
}
