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

	courier "github.com/courier-profiles/courier-go"
)

// wantLists checks the only page of a user's subscriptions, with "TIME" for each time.
func wantLists(t *testing.T, h *Handler, userID string, results ...string) {
	t.Helper()
	w := send(h, "GET", "/profiles/"+userID+"/lists", "")
	got := timestamps.ReplaceAllString(w.Body.String(), `"TIME"`)
	want := `{"paging":{"cursor":null,"more":false},"results":[` + strings.Join(results, ",") + `]}`
	wantJSON(t, got, want)
}

var timestamps = regexp.MustCompile(`"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"`)

// resultJSON is one result of wantLists.
func resultJSON(id, preferences string) string {
	return fmt.Sprintf(
		`{"id":%[1]q,"name":%[1]q,"created":"TIME","updated":"TIME","preferences":%s}`,
		id, preferences)
}

func TestSubscribe(t *testing.T) {
	t.Parallel()
	h := NewHandler()
	wantLists(t, h, "u")

	const optIn = `{"categories":{"c":{"status":"OPTED_IN"}}}`
	body := `{"lists":[{"listId":"news","preferences":` + optIn + `},` +
		`{"listId":"\u0061","preferences":null}]}`
	wantResponse(t, send(h, "POST", "/profiles/u/lists", body), 200, success)
	wantLists(t, h, "u", resultJSON("news", optIn), resultJSON("a", "null"))

	// Each keeps its place, and its preferences unless there are new ones.
	const odd = `{"\ud800":1.10,"\ud801":2}`
	body = `{"lists":[{"listId":"a","preferences":` + odd + `},` +
		`{"listId":"news"},{"listId":"jobs"}]}`
	wantResponse(t, send(h, "POST", "/profiles/u/lists", body), 200, success)
	wantLists(t, h, "u",
		resultJSON("news", optIn), resultJSON("a", odd), resultJSON("jobs", "null"))

	body = `{"lists":[{"listId":"news","preferences":{}}]}`
	wantResponse(t, send(h, "POST", "/profiles/u/lists", body), 200, success)
	wantLists(t, h, "u",
		resultJSON("news", "{}"), resultJSON("a", odd), resultJSON("jobs", "null"))

	for range 2 {
		wantResponse(t, send(h, "DELETE", "/profiles/u/lists", ""), 200, success)
		wantLists(t, h, "u")
	}
}

func TestTimesAreThoseOfTheList(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := NewHandler()
		start := time.Now().UTC() // midnight, in synctest
		send(h, "POST", "/profiles/u/lists", listBody("news", "jobs"))
		time.Sleep(1_093_500 * time.Microsecond)
		send(h, "POST", "/profiles/v/lists", listBody("news"))

		updated := start.Add(1093 * time.Millisecond)
		news := courier.Subscription{ID: "news", Name: "news", Created: start, Updated: updated}
		jobs := courier.Subscription{ID: "jobs", Name: "jobs", Created: start, Updated: start}
		want := []courier.Subscription{news, jobs}
		if diff := cmp.Diff(want, h.Subscriptions("u")); diff != "" {
			t.Errorf("subscriptions (-want +got):\n%s", diff)
		}
		w := send(h, "GET", "/profiles/v/lists", "")
		wantTimes := `"created":"2000-01-01T00:00:00.000Z","updated":"2000-01-01T00:00:01.093Z"`
		if !strings.Contains(w.Body.String(), wantTimes) {
			t.Errorf("response %s, want %s in it", w.Body, wantTimes)
		}
	})
}

func TestListOutlivesItsSubscriptions(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := NewHandler()
		start := time.Now().UTC()
		send(h, "POST", "/profiles/u/lists", listBody("news"))
		send(h, "DELETE", "/profiles/u/lists", "")
		time.Sleep(time.Hour)
		send(h, "POST", "/profiles/v/lists", listBody("news"))

		want := []courier.Subscription{
			{ID: "news", Name: "news", Created: start, Updated: start.Add(time.Hour)},
		}
		if diff := cmp.Diff(want, h.Subscriptions("v")); diff != "" {
			t.Errorf("subscriptions (-want +got):\n%s", diff)
		}
	})
}

func TestSubscriptionsBelongToOneUser(t *testing.T) {
	t.Parallel()
	h := setUp(t, `{"a":1}`)
	send(h, "POST", "/profiles/u/lists", listBody("news"))
	send(h, "POST", "/profiles/v/lists", listBody("news"))
	send(h, "DELETE", "/profiles/u/lists", "")
	wantProfile(t, h, "u", `{"a":1}`)
	wantProfile(t, h, "v", "")
	if got := h.Subscriptions("v"); len(got) != 1 {
		t.Errorf("subscriptions of another user: %v, want one", got)
	}
}

func TestMalformedSubscriptions(t *testing.T) {
	t.Parallel()
	bodies := []string{
		``, `[]`, `{}`, `{"lists":null}`, `{"lists":{}}`, `{"lists":[]}`, `{"lists":["l"]}`,
		`{"lists":[null]}`, `{"lists":[{}]}`, `{"lists":[{"listId":""}]}`,
		`{"lists":[{"listId":1}]}`, `{"lists":[{"listid":"l"}]}`, `{"lists":[{"list_id":"l"}]}`,
		`{"lists":[{"listId":"l","preferences":[]}]}`,
		`{"lists":[{"listId":"l","preferences":"x"}]}`,
		`{"lists":[{"listId":"l"},{"listId":""}]}`, `{"lists":[{"listId":"\ud800"}]}`,
		"{\"lists\":[{\"listId\":\"\xff\"}]}", `{"lists":[{"listId":"l"}]}]`,
	}
	for _, body := range bodies {
		t.Run(body, func(t *testing.T) {
			h := NewHandler()
			wantError(t, send(h, "POST", "/profiles/u/lists", body), 400)
			if got := h.Subscriptions("u"); len(got) > 0 {
				t.Errorf("subscriptions %v, want none", got)
			}
		})
	}
}

// getPage returns the list IDs on the page of user "u" at a cursor, and the cursor of
// the next page, or "".
func getPage(t *testing.T, h *Handler, cursor string) (ids []string, next string) {
	t.Helper()
	w := send(h, "GET", "/profiles/u/lists?cursor="+url.QueryEscape(cursor), "")
	if w.Code != 200 {
		t.Fatalf("cursor %q: status %d, body %s", cursor, w.Code, w.Body)
	}
	var p page
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
		t.Fatal(err)
	}
	for _, result := range p.Results {
		ids = append(ids, result.ID)
	}
	if p.Paging.More != (p.Paging.Cursor != nil) {
		t.Errorf("cursor %q: more and cursor of %s disagree", cursor, w.Body)
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
		want        []int // results of each page
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
			var want, got []string
			for i := range test.lists {
				id := fmt.Sprintf("list %d", i)
				send(h, "POST", "/profiles/u/lists", listBody(id))
				want = append(want, id)
			}
			ids, cursor := getPage(t, h, "")
			got, sizes := ids, []int{len(ids)}
			for cursor != "" {
				ids, cursor = getPage(t, h, cursor)
				got, sizes = append(got, ids...), append(sizes, len(ids))
			}
			if diff := cmp.Diff(test.want, sizes); diff != "" {
				t.Errorf("results of each page (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("lists (-want +got):\n%s", diff)
			}
		})
	}
}

// A cursor is the place behind a subscription, whatever else is added.
func TestCursorStaysValid(t *testing.T) {
	t.Parallel()
	h := NewHandler()
	h.PageSize = 1
	send(h, "POST", "/profiles/u/lists", listBody("a", "b"))
	_, cursor := getPage(t, h, "")
	send(h, "POST", "/profiles/u/lists", listBody("c"))
	for range 2 {
		ids, _ := getPage(t, h, cursor)
		if diff := cmp.Diff([]string{"b"}, ids); diff != "" {
			t.Errorf("second page after a list was added (-want +got):\n%s", diff)
		}
	}
}

// Every cursor breaks when a client forgets to escape it.
func TestCursorsNeedEscaping(t *testing.T) {
	t.Parallel()
	h := NewHandler()
	h.PageSize = 1
	for i := range 20 {
		send(h, "POST", "/profiles/u/lists", listBody(fmt.Sprintf("%*d", i+1, i)))
	}
	_, cursor := getPage(t, h, "")
	for ; cursor != ""; _, cursor = getPage(t, h, cursor) {
		if !strings.HasSuffix(cursor, "==") {
			t.Errorf("cursor %q does not end as Courier's example", cursor)
		}
		wantError(t, send(h, "GET", "/profiles/u/lists?cursor="+cursor, ""), 400)
	}
}

func TestUnknownCursors(t *testing.T) {
	t.Parallel()
	h := NewHandler()
	h.PageSize = 1
	send(h, "POST", "/profiles/u/lists", listBody("a", "b"))
	_, cursor := getPage(t, h, "")
	paths := []string{
		"/profiles/u/lists?cursor=nonsense",
		"/profiles/u/lists?cursor=a",
		"/profiles/v/lists?cursor=" + url.QueryEscape(cursor), // another user's
	}
	for _, path := range paths {
		wantError(t, send(h, "GET", path, ""), 400)
	}
}
