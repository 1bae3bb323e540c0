package couriertest

import (
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	courier "github.com/courier-profiles/courier-go"
)

func TestSubscribe(t *testing.T) {
	t.Parallel()
	h := NewHandler()
	want := func(results string) {
		t.Helper()
		w := send(h, "GET", "/profiles/u/lists", "")
		body := timestamps.ReplaceAllString(w.Body.String(), `"TIME"`)
		wantJSON(t, body, `{"paging":{"cursor":null,"more":false},"results":[`+results+`]}`)
	}
	want(``)
	wantResponse(t, send(h, "POST", "/profiles/u/lists", `{"lists":[{"listId":"news","preferences":{"categories":{"c":{"status":"OPTED_IN"}}}},{"listId":"\u0061","preferences":null}]}`), 200, success)
	want(`{"id":"news","name":"news","created":"TIME","updated":"TIME","preferences":{"categories":{"c":{"status":"OPTED_IN"}}}},
		{"id":"a","name":"a","created":"TIME","updated":"TIME","preferences":null}`)

	// Again: each keeps its place, and its preferences unless there are new ones.
	wantResponse(t, send(h, "POST", "/profiles/u/lists", `{"lists":[{"listId":"a","preferences":{"\ud800":1.10,"\ud801":2}},{"listId":"news"},{"listId":"jobs"}]}`), 200, success)
	want(`{"id":"news","name":"news","created":"TIME","updated":"TIME","preferences":{"categories":{"c":{"status":"OPTED_IN"}}}},
		{"id":"a","name":"a","created":"TIME","updated":"TIME","preferences":{"\ud800":1.10,"\ud801":2}},
		{"id":"jobs","name":"jobs","created":"TIME","updated":"TIME","preferences":null}`)
	wantResponse(t, send(h, "POST", "/profiles/u/lists", `{"lists":[{"listId":"news","preferences":{}}]}`), 200, success)
	if got := h.Subscriptions("u")[0].Preferences; got == nil || len(got.Categories) != 0 {
		t.Errorf("preferences are %v, want empty ones", got)
	}

	for range 2 {
		wantResponse(t, send(h, "DELETE", "/profiles/u/lists", ""), 200, success)
		want(``)
	}
}

var timestamps = regexp.MustCompile(`"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"`)

func TestTimesAreThoseOfTheList(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := NewHandler()
		start := time.Now().UTC() // midnight, in synctest
		send(h, "POST", "/profiles/u/lists", `{"lists":[{"listId":"news"},{"listId":"jobs"}]}`)
		time.Sleep(1_093_500 * time.Microsecond)
		send(h, "POST", "/profiles/v/lists", `{"lists":[{"listId":"news","preferences":{"categories":{"c":{"status":"REQUIRED"}}}}]}`)
		updated := start.Add(1093 * time.Millisecond)

		news := courier.Subscription{ID: "news", Name: "news", Created: start, Updated: updated}
		jobs := courier.Subscription{ID: "jobs", Name: "jobs", Created: start, Updated: start}
		if diff := cmp.Diff([]courier.Subscription{news, jobs}, h.Subscriptions("u")); diff != "" {
			t.Errorf("subscriptions of u (-want +got):\n%s", diff)
		}
		news.Preferences = &courier.Preferences{Categories: map[string]courier.Preference{"c": {Status: "REQUIRED"}}}
		if diff := cmp.Diff([]courier.Subscription{news}, h.Subscriptions("v")); diff != "" {
			t.Errorf("subscriptions of v (-want +got):\n%s", diff)
		}
		wantResponse(t, send(h, "GET", "/profiles/u/lists", ""), 200, `{"paging":{"cursor":null,"more":false},"results":[
			{"id":"news","name":"news","created":"2000-01-01T00:00:00.000Z","updated":"2000-01-01T00:00:01.093Z","preferences":null},
			{"id":"jobs","name":"jobs","created":"2000-01-01T00:00:00.000Z","updated":"2000-01-01T00:00:00.000Z","preferences":null}]}`)

		// A list outlives its subscriptions.
		send(h, "DELETE", "/profiles/u/lists", "")
		send(h, "DELETE", "/profiles/v/lists", "")
		time.Sleep(time.Hour)
		send(h, "POST", "/profiles/u/lists", `{"lists":[{"listId":"news"}]}`)
		want := courier.Subscription{ID: "news", Name: "news", Created: start, Updated: updated.Add(time.Hour)}
		if diff := cmp.Diff([]courier.Subscription{want}, h.Subscriptions("u"), cmpopts.EquateApproxTime(time.Millisecond)); diff != "" {
			t.Errorf("after everybody has unsubscribed (-want +got):\n%s", diff)
		}
	})
}

func TestSubscriptionsAreSeparateFromTheProfile(t *testing.T) {
	t.Parallel()
	h := setUp(t, `{"a":1}`)
	send(h, "POST", "/profiles/u/lists", `{"lists":[{"listId":"l"}]}`)
	send(h, "POST", "/profiles/v/lists", `{"lists":[{"listId":"l"}]}`)
	send(h, "DELETE", "/profiles/u/lists", "")
	wantProfile(t, h, "u", `{"a":1}`)
	wantProfile(t, h, "v", "")
	if got := h.Subscriptions("v"); len(got) != 1 {
		t.Errorf("another user's subscriptions are %v, want one", got)
	}
}

func TestMalformedSubscriptions(t *testing.T) {
	t.Parallel()
	for _, body := range []string{
		``, `[]`, `{}`, `{"lists":null}`, `{"lists":{}}`, `{"lists":[]}`, `{"lists":["l"]}`, `{"lists":[null]}`,
		`{"lists":[{}]}`, `{"lists":[{"listId":""}]}`, `{"lists":[{"listId":1}]}`, `{"lists":[{"listid":"l"}]}`, `{"lists":[{"list_id":"l"}]}`,
		`{"lists":[{"listId":"l","preferences":[]}]}`, `{"lists":[{"listId":"l","preferences":"x"}]}`,
		`{"lists":[{"listId":"l"},{"listId":""}]}`, `{"lists":[{"listId":"\ud800"}]}`, "{\"lists\":[{\"listId\":\"\xff\"}]}", `{"lists":[{"listId":"l"}]}]`,
	} {
		t.Run(body, func(t *testing.T) {
			h := NewHandler()
			wantError(t, send(h, "POST", "/profiles/u/lists", body), 400, "invalid_request_error")
			if got := h.Subscriptions("u"); len(got) != 0 {
				t.Errorf("subscribed to %v", got)
			}
		})
	}
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
	t.Parallel()
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

// A cursor is the place behind a subscription, whatever else is added.
func TestCursorStaysValid(t *testing.T) {
	t.Parallel()
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
}

// Every cursor breaks when a client forgets to escape it.
func TestCursorsNeedEscaping(t *testing.T) {
	t.Parallel()
	h := NewHandler()
	h.PageSize = 1
	for i := range 20 {
		send(h, "POST", "/profiles/u/lists", fmt.Sprintf(`{"lists":[{"listId":"%*d"}]}`, i+1, i))
	}
	_, cursor := getPage(t, h, "")
	for ; cursor != ""; _, cursor = getPage(t, h, cursor) {
		if !strings.HasSuffix(cursor, "==") {
			t.Errorf("cursor %q does not end as Courier's example", cursor)
		}
		wantError(t, send(h, "GET", "/profiles/u/lists?cursor="+cursor, ""), 400, "invalid_request_error")
	}
}

func TestUnknownCursors(t *testing.T) {
	t.Parallel()
	h := NewHandler()
	h.PageSize = 1
	send(h, "POST", "/profiles/u/lists", `{"lists":[{"listId":"a"},{"listId":"b"}]}`)
	_, cursor := getPage(t, h, "")
	for _, path := range []string{"/profiles/u/lists?cursor=nonsense", "/profiles/u/lists?cursor=a", "/profiles/v/lists?cursor=" + url.QueryEscape(cursor)} {
		wantError(t, send(h, "GET", path, ""), 400, "invalid_request_error")
	}
}
