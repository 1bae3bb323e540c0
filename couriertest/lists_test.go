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

// wantLists checks that one page has all subscriptions of a user. Each time in results is
// written "TIME", as by resultJSON.
func wantLists(t *testing.T, h *Handler, userID string, results ...string) {
	t.Helper()
	w := send(h, "GET", "/profiles/"+userID+"/lists", "")
	got := timestamps.ReplaceAllString(w.Body.String(), `"TIME"`)
	want := `{"paging":{"cursor":null,"more":false},` +
		`"results":[` + strings.Join(results, ",") + `]}`
	wantJSON(t, got, want)
}

var timestamps = regexp.MustCompile(`"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"`)

// resultJSON is a subscription in a response, for wantLists.
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
	const body = `{"lists":[{"listId":"news","preferences":` + optIn + `},` +
		`{"listId":"\u0061","preferences":null}]}` // \u0061 is a
	wantResponse(t, send(h, "POST", "/profiles/u/lists", body), 200, success)
	wantLists(t, h, "u", resultJSON("news", optIn), resultJSON("a", "null"))
}

// A list that is subscribed to again keeps its place. It keeps its preferences too, unless
// the request has others.
func TestSubscribeAgain(t *testing.T) {
	t.Parallel()
	h := NewHandler()
	const optIn = `{"categories":{"c":{"status":"OPTED_IN"}}}`
	const odd = `{"\ud800":1.10,"\ud801":2}` // stays as it is spelled
	for _, step := range []struct {
		lists string
		want  []string
	}{
		{
			`{"listId":"news","preferences":` + optIn + `},{"listId":"a"}`,
			[]string{resultJSON("news", optIn), resultJSON("a", "null")},
		},
		{
			`{"listId":"a","preferences":` + odd + `},{"listId":"news"},{"listId":"jobs"}`,
			[]string{resultJSON("news", optIn), resultJSON("a", odd), resultJSON("jobs", "null")},
		},
		{
			`{"listId":"news","preferences":{}}`,
			[]string{resultJSON("news", "{}"), resultJSON("a", odd), resultJSON("jobs", "null")},
		},
	} {
		body := `{"lists":[` + step.lists + `]}`
		wantResponse(t, send(h, "POST", "/profiles/u/lists", body), 200, success)
		wantLists(t, h, "u", step.want...)
	}
}

func TestUnsubscribeAll(t *testing.T) {
	t.Parallel()
	h := NewHandler()
	send(h, "POST", "/profiles/u/lists", listBody("news", "jobs"))
	wantLists(t, h, "u", resultJSON("news", "null"), resultJSON("jobs", "null"))
	for range 2 { // succeeds without subscriptions too
		wantResponse(t, send(h, "DELETE", "/profiles/u/lists", ""), 200, success)
		wantLists(t, h, "u")
	}
}

// A subscription has the times of its list: when any user first subscribed to it, and when
// any user last did. They are cut to milliseconds.
func TestTimesAreThoseOfTheList(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := NewHandler()
		start := time.Now().UTC() // in synctest 2000-01-01, midnight
		send(h, "POST", "/profiles/u/lists", listBody("news", "jobs"))
		time.Sleep(time.Second + 93*time.Millisecond + 500*time.Microsecond)
		send(h, "POST", "/profiles/v/lists", listBody("news"))

		updated := start.Add(time.Second + 93*time.Millisecond)
		want := []courier.Subscription{
			{ID: "news", Name: "news", Created: start, Updated: updated},
			{ID: "jobs", Name: "jobs", Created: start, Updated: start},
		}
		if diff := cmp.Diff(want, h.Subscriptions("u")); diff != "" {
			t.Errorf("subscriptions (-want +got):\n%s", diff)
		}
		body := send(h, "GET", "/profiles/v/lists", "").Body.String()
		const wantTimes = `"created":"2000-01-01T00:00:00.000Z",` +
			`"updated":"2000-01-01T00:00:01.093Z"`
		if !strings.Contains(body, wantTimes) {
			t.Errorf("response %s, want %s in it", body, wantTimes)
		}
	})
}

// A list exists from its first subscription on, even when nobody is subscribed to it anymore.
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
	h := NewHandler()
	send(h, "POST", "/profiles/u/lists", listBody("news"))
	send(h, "POST", "/profiles/v/lists", listBody("news"))
	send(h, "DELETE", "/profiles/u/lists", "")
	wantLists(t, h, "u")
	wantLists(t, h, "v", resultJSON("news", "null"))
}

func TestSubscriptionsDoNotChangeProfiles(t *testing.T) {
	t.Parallel()
	h := setUp(t, `{"a":1}`) // the profile of u; v has none
	send(h, "POST", "/profiles/u/lists", listBody("news"))
	send(h, "POST", "/profiles/v/lists", listBody("news"))
	wantProfile(t, h, "u", `{"a":1}`)
	wantProfile(t, h, "v", "")
	send(h, "DELETE", "/profiles/u/lists", "")
	wantProfile(t, h, "u", `{"a":1}`)
}

// A request that is malformed anywhere is refused as a whole.
func TestMalformedSubscriptions(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, body string }{
		{"no body", ``},
		{"an array as body", `[]`},
		{"more after the body", `{"lists":[{"listId":"l"}]}]`},
		{"no lists", `{}`},
		{"null as lists", `{"lists":null}`},
		{"an object as lists", `{"lists":{}}`},
		{"empty lists", `{"lists":[]}`},
		{"a string as list", `{"lists":["l"]}`},
		{"null as list", `{"lists":[null]}`},
		{"no listId", `{"lists":[{}]}`},
		{"listId in lower case", `{"lists":[{"listid":"l"}]}`},
		{"listId in snake case", `{"lists":[{"list_id":"l"}]}`},
		{"an empty listId", `{"lists":[{"listId":""}]}`},
		{"a number as listId", `{"lists":[{"listId":1}]}`},
		{"an unpaired surrogate in listId", `{"lists":[{"listId":"\ud800"}]}`},
		{"not UTF-8", "{\"lists\":[{\"listId\":\"\xff\"}]}"},
		{"an array as preferences", `{"lists":[{"listId":"l","preferences":[]}]}`},
		{"a string as preferences", `{"lists":[{"listId":"l","preferences":"x"}]}`},
		{"a bad list after a good one", `{"lists":[{"listId":"l"},{"listId":""}]}`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			h := NewHandler()
			wantError(t, send(h, "POST", "/profiles/u/lists", test.body), 400)
			if got := h.Subscriptions("u"); len(got) > 0 {
				t.Errorf("subscriptions %v, want none", got)
			}
		})
	}
}

// getPage returns the list IDs on the page of user "u" that a cursor leads to, "" being the
// first one, and the cursor of the next page, or "" if there is none.
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
	hasNext := p.Paging.Cursor != nil
	if p.Paging.More != hasNext {
		t.Errorf("cursor %q: more is %t, want %t, as the body is %s",
			cursor, p.Paging.More, hasNext, w.Body)
	}
	if hasNext {
		next = *p.Paging.Cursor
	}
	return ids, next
}

func TestPages(t *testing.T) {
	t.Parallel()
	tests := []struct {
		lists, pageSize int
		want            []int // lists on each page
	}{
		{lists: 0, pageSize: 10, want: []int{0}},
		{lists: 3, pageSize: 10, want: []int{3}},
		{lists: 2, pageSize: 1, want: []int{1, 1}},
		{lists: 4, pageSize: 2, want: []int{2, 2}},
		// Below 1 it is 3, the default.
		{lists: 3, pageSize: 0, want: []int{3}},
		{lists: 7, pageSize: 0, want: []int{3, 3, 1}},
		{lists: 4, pageSize: -1, want: []int{3, 1}},
	}
	for _, test := range tests {
		t.Run(fmt.Sprintf("%d in pages of %d", test.lists, test.pageSize), func(t *testing.T) {
			t.Parallel()
			h := NewHandler()
			h.PageSize = test.pageSize
			var wantIDs []string
			for i := range test.lists {
				id := fmt.Sprintf("list %d", i)
				send(h, "POST", "/profiles/u/lists", listBody(id))
				wantIDs = append(wantIDs, id)
			}
			var gotIDs []string
			var sizes []int
			cursor := ""
			for {
				ids, next := getPage(t, h, cursor)
				gotIDs = append(gotIDs, ids...)
				sizes = append(sizes, len(ids))
				if next == "" {
					break
				}
				cursor = next
			}
			if diff := cmp.Diff(test.want, sizes); diff != "" {
				t.Errorf("lists on each page (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(wantIDs, gotIDs); diff != "" {
				t.Errorf("lists on all pages (-want +got):\n%s", diff)
			}
		})
	}
}

// A cursor can be used again, and leads to the same lists after another one was added.
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

// Every cursor breaks when a client forgets to escape it. Like that of Courier's example, it
// ends with "==".
func TestCursorsNeedEscaping(t *testing.T) {
	t.Parallel()
	const lists = 20
	h := NewHandler()
	h.PageSize = 1
	for i := range lists {
		id := strings.Repeat("x", i+1) // of any length
		send(h, "POST", "/profiles/u/lists", listBody(id))
	}
	cursor := ""
	for page := range lists - 1 { // the last page has no cursor
		_, cursor = getPage(t, h, cursor)
		if !strings.HasSuffix(cursor, "==") {
			t.Fatalf("page %d: cursor %q, want one that ends with ==", page, cursor)
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
	tests := []struct{ name, path string }{
		{"nonsense", "/profiles/u/lists?cursor=nonsense"},
		{"the ID of a list", "/profiles/u/lists?cursor=a"},
		{"another user's", "/profiles/v/lists?cursor=" + url.QueryEscape(cursor)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			wantError(t, send(h, "GET", test.path, ""), 400)
		})
	}
}
