package couriertest

import (
	"encoding/json"
	"fmt"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	courier "github.com/courier-profiles/courier-go"
)

func TestSubscribe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHandler()
		first := time.Now().UTC()
		body := `{"lists":[{"listId":"news","preferences":{"categories":{"c":{"status":"OPTED_IN"}}}},{"listId":"offers"}]}`
		wantAnswer(t, send(h, "POST", "/profiles/u/lists", body), 200, success)
		time.Sleep(1_093_500 * time.Microsecond)
		wantAnswer(t, send(h, "POST", "/profiles/u/lists", `{"lists":[{"listId":"news"},{"listId":"jobs","preferences":null}]}`), 200, success)
		second := first.Add(1093 * time.Millisecond)

		stamp1, stamp2 := "2000-01-01T00:00:00.000Z", "2000-01-01T00:00:01.093Z"
		wantAnswer(t, send(h, "GET", "/profiles/u/lists", ""), 200, fmt.Sprintf(`{"paging":{"cursor":null,"more":false},"results":[
			{"id":"news","name":"news","created":%q,"updated":%q,"preferences":{"categories":{"c":{"status":"OPTED_IN"}}}},
			{"id":"offers","name":"offers","created":%[1]q,"updated":%[1]q,"preferences":null},
			{"id":"jobs","name":"jobs","created":%[2]q,"updated":%[2]q,"preferences":null}]}`, stamp1, stamp2))

		want := []courier.Subscription{
			{ID: "news", Name: "news", Created: first, Updated: second, Preferences: &courier.Preferences{
				Categories: map[string]courier.Preference{"c": {Status: "OPTED_IN"}},
			}},
			{ID: "offers", Name: "offers", Created: first, Updated: first},
			{ID: "jobs", Name: "jobs", Created: second, Updated: second},
		}
		if diff := cmp.Diff(want, h.Subscriptions("u")); diff != "" {
			t.Errorf("-want +got\n%s", diff)
		}
		if got := h.Subscriptions("v"); len(got) != 0 {
			t.Errorf("another user has %v", got)
		}

		wantAnswer(t, send(h, "POST", "/profiles/u/lists", `{"lists":[{"listId":"news","preferences":{}}]}`), 200, success)
		if got := h.Subscriptions("u")[0].Preferences; got == nil || len(got.Categories) != 0 {
			t.Errorf("preferences %v, want empty ones", got)
		}
	})
}

func TestSubscriptionsAreApartFromTheProfile(t *testing.T) {
	h := setUp(t, `{"a":1}`)
	send(h, "POST", "/profiles/u/lists", `{"lists":[{"listId":"l"}]}`)
	send(h, "DELETE", "/profiles/u", "")
	if got := h.Subscriptions("u"); len(got) != 1 {
		t.Errorf("deleting the profile left %v", got)
	}
	send(h, "PUT", "/profiles/u", `{"profile":{"a":2}}`)
	for range 2 {
		wantAnswer(t, send(h, "DELETE", "/profiles/u/lists", ""), 200, success)
	}
	if got := h.Subscriptions("u"); len(got) != 0 {
		t.Errorf("unsubscribing left %v", got)
	}
	wantProfile(t, h, "u", `{"a":2}`)
	wantAnswer(t, send(h, "GET", "/profiles/u/lists", ""), 200, `{"paging":{"cursor":null,"more":false},"results":[]}`)
}

func TestMalformedSubscriptions(t *testing.T) {
	for _, body := range []string{
		``, `[]`, `{}`, `{"lists":null}`, `{"lists":{}}`, `{"lists":[]}`, `{"lists":["l"]}`, `{"lists":[null]}`,
		`{"lists":[{}]}`, `{"lists":[{"listId":""}]}`, `{"lists":[{"listId":1}]}`, `{"lists":[{"listid":"l"}]}`, `{"lists":[{"list_id":"l"}]}`,
		`{"lists":[{"listId":"l","preferences":[]}]}`, `{"lists":[{"listId":"l","preferences":"x"}]}`,
		`{"lists":[{"listId":"l"},{"listId":""}]}`, `{"lists":[{"listId":"l"}]}]`,
	} {
		t.Run(body, func(t *testing.T) {
			h := NewHandler()
			wantRefusal(t, send(h, "POST", "/profiles/u/lists", body), 400, "invalid_request_error")
			if got := h.Subscriptions("u"); len(got) != 0 {
				t.Errorf("subscribed to %v", got)
			}
		})
	}
}

// page is the answer of "list subscriptions".
type page struct {
	Paging struct {
		Cursor *string
		More   bool
	}
	Results []struct{ ID string }
}

func getPage(t *testing.T, h *Handler, cursor string) (ids []string, next string) {
	t.Helper()
	w := send(h, "GET", "/profiles/u/lists?cursor="+url.QueryEscape(cursor), "")
	var p page
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || w.Code != 200 {
		t.Fatalf("status %d, body %s", w.Code, w.Body)
	}
	for _, result := range p.Results {
		ids = append(ids, result.ID)
	}
	if p.Paging.More != (p.Paging.Cursor != nil) {
		t.Errorf("paging of %s", w.Body)
	}
	if p.Paging.Cursor != nil {
		next = *p.Paging.Cursor
	}
	return ids, next
}

func TestPages(t *testing.T) {
	tests := []struct {
		size, lists int
		want        []int // results per page
	}{
		{0, 3, []int{3}},
		{0, 7, []int{3, 3, 1}},
		{-1, 4, []int{3, 1}},
		{1, 2, []int{1, 1}},
		{2, 4, []int{2, 2}},
		{10, 3, []int{3}},
		{10, 0, []int{0}},
	}
	for _, test := range tests {
		t.Run(fmt.Sprintf("%d in pages of %d", test.lists, test.size), func(t *testing.T) {
			h := NewHandler()
			h.PageSize = test.size
			for i := range test.lists {
				send(h, "POST", "/profiles/u/lists", fmt.Sprintf(`{"lists":[{"listId":"list %d"}]}`, i))
			}
			var sizes []int
			seen := 0
			for cursor := ""; ; {
				ids, next := getPage(t, h, cursor)
				for _, id := range ids {
					if want := fmt.Sprintf("list %d", seen); id != want {
						t.Errorf("list %q, want %q", id, want)
					}
					seen++
				}
				sizes = append(sizes, len(ids))
				if cursor = next; cursor == "" {
					break
				}
			}
			if diff := cmp.Diff(test.want, sizes); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func TestCursor(t *testing.T) {
	h := NewHandler()
	h.PageSize = 1
	send(h, "POST", "/profiles/u/lists", `{"lists":[{"listId":"a"},{"listId":"b"}]}`)
	_, cursor := getPage(t, h, "")
	send(h, "POST", "/profiles/u/lists", `{"lists":[{"listId":"c"}]}`)
	for range 2 {
		if ids, _ := getPage(t, h, cursor); !cmp.Equal(ids, []string{"b"}) {
			t.Errorf("after a list was added the second page is %v", ids)
		}
	}
	for _, path := range []string{"/profiles/u/lists?cursor=nonsense", "/profiles/v/lists?cursor=" + cursor, "/profiles/u/lists?cursor=a"} {
		wantRefusal(t, send(h, "GET", path, ""), 400, "invalid_request_error")
	}
}
