package couriertest

import (
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	courier "github.com/courier-profiles/courier-go"
)

func TestOperations(t *testing.T) {
	t.Parallel()
	const user = `{"email":"a@example.com","custom":{"plan":"free","seats":9007199254740993}}`
	tests := []struct {
		name, before, method, body string
		status                     int
		response, after            string
	}{
		{"merge", user, "POST", `{"profile":{"email":null,"custom":{"plan":"pro"}}}`,
			200, success, `{"custom":{"plan":"pro","seats":9007199254740993}}`},
		{"merge creates", "", "POST", `{"profile":{"email":"<a&b>","name":null}}`,
			200, success, `{"email":"<a&b>"}`},
		{"merge nothing", user, "POST", `{"profile":{}}`, 200, success, user},
		{"merge nothing creates", "", "POST", `{"profile":{}}`, 200, success, `{}`},
		{"merge with more members", "", "POST", `{"profile":{"a":1},"other":2}`,
			200, success, `{"a":1}`},

		{"get", user, "GET", "", 200, `{"profile":` + user + `,"preferences":null}`, user},
		{"get of an empty one", `{}`, "GET", "", 200, `{"profile":{},"preferences":null}`, `{}`},

		{"replace", user, "PUT", `{"profile":{"name":"A","x":null}}`,
			200, success, `{"name":"A","x":null}`},
		{"replace empties", user, "PUT", `{"profile":{}}`, 200, success, `{}`},
		{"replace creates", "", "PUT", `{"profile":{"a":[]}}`, 200, success, `{"a":[]}`},

		{"patch", user, "PATCH", `{"patch":[{"op":"remove","path":"/custom"}]}`,
			204, "", `{"email":"a@example.com"}`},
		{"patch nothing", user, "PATCH", `{"patch":[]}`, 204, "", user},
		{"patch nothing creates", "", "PATCH", `{"patch":[]}`, 204, "", `{}`},
		{"patch creates", "", "PATCH", `{"patch":[{"op":"add","path":"/a","value":null}]}`,
			204, "", `{"a":null}`},

		{"delete", user, "DELETE", "", 204, "", ""},
		{"delete of none", "", "DELETE", "", 204, "", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := setUp(t, test.before)
			w := send(h, test.method, "/profiles/u", test.body)
			wantResponse(t, w, test.status, test.response)
			wantProfile(t, h, "u", test.after)
		})
	}
}

func TestGetWithoutProfile(t *testing.T) {
	t.Parallel()
	wantError(t, send(NewHandler(), "GET", "/profiles/u", ""), 404)
}

func TestMalformedBodies(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat(`{"a":`, 20_000) + `1` + strings.Repeat(`}`, 20_001)
	profiles := []string{
		``, ` `, `nonsense`, `{`, `{"profile":{}} {}`, `{"profile":{}}x`, `null`, `1`,
		`"profile"`, `[]`, `[{"profile":{}}]`, `{}`, `{"profile":null}`, `{"profile":[]}`,
		`{"profile":"x"}`, `{"profile":1}`, `{"Profile":{}}`, `{"profile":{"a":01}}`,
		"{\"profile\":{\"a\":\"\xff\"}}", `{"profile":` + deep,
	}
	patches := []string{
		``, `nonsense`, `[]`, `{}`, `{"patch":null}`, `{"patch":"x"}`, `{"patch":[]} 1`,
		"{\"patch\":[{\"op\":\"add\",\"path\":\"/a\",\"value\":\"\xff\"}]}",
	}
	bodies := map[string][]string{"POST": profiles, "PUT": profiles, "PATCH": patches}
	for method, bodies := range bodies {
		for _, body := range bodies {
			t.Run(method+" "+body[:min(len(body), 80)], func(t *testing.T) {
				for _, before := range []string{"", `{"a":1}`} {
					h := setUp(t, before)
					wantError(t, send(h, method, "/profiles/u", body), 400)
					wantProfile(t, h, "u", before)
				}
			})
		}
	}
}

func TestSetProfile(t *testing.T) {
	t.Parallel()
	h := setUp(t, `{"a":1}`)
	want := courier.Profile{
		Email:  courier.Set("<a>@example.com"),
		Name:   courier.Null[string](),
		Custom: courier.Set(map[string]any{"plan": "pro"}),
		Extra:  map[string]any{"mine": []any{"x", nil}},
	}
	if err := h.SetProfile("u", want); err != nil {
		t.Fatal(err)
	}
	const wantJSON = `{"custom":{"plan":"pro"},"email":"<a>@example.com",` +
		`"mine":["x",null],"name":null}`
	if got, _ := h.ProfileJSON("u"); string(got) != wantJSON {
		t.Errorf("ProfileJSON is %s, want %s", got, wantJSON)
	}
	got, _ := h.Profile("u")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Profile (-want +got):\n%s", diff)
	}

	invalid := courier.Profile{Extra: map[string]any{"n": math.NaN()}}
	if err := h.SetProfile("u", invalid); err == nil {
		t.Error("SetProfile accepts NaN")
	}
	wantProfile(t, h, "u", wantJSON)
}

func TestNoProfile(t *testing.T) {
	t.Parallel()
	h := NewHandler()
	if profile, ok := h.Profile("u"); ok {
		t.Errorf("Profile returns %v, want none", profile)
	}
	if text, ok := h.ProfileJSON("u"); ok || text != nil {
		t.Errorf("ProfileJSON returns %s, want none", text)
	}
}

func TestUserIDs(t *testing.T) {
	t.Parallel()
	h := NewHandler()
	if got := h.UserIDs(); len(got) > 0 {
		t.Errorf("user IDs of a new handler: %q", got)
	}
	for _, path := range []string{"b", "a%2Fb", "10", "9", "deleted"} {
		send(h, "PUT", "/profiles/"+path, `{"profile":{}}`)
	}
	send(h, "DELETE", "/profiles/deleted", "")
	send(h, "POST", "/profiles/subscriber/lists", listBody("news"))
	if diff := cmp.Diff([]string{"10", "9", "a/b", "b"}, h.UserIDs()); diff != "" {
		t.Errorf("user IDs (-want +got):\n%s", diff)
	}
}

func TestSetProfileKeepsWhatProfileReturned(t *testing.T) {
	t.Parallel()
	const odd = `{"email":"\ud800","custom":{"\ud800":1,"\ud801":2},"own":["\udfff",1.10]}`
	h := setUp(t, odd)
	profile, ok := h.Profile("u")
	if !ok {
		t.Fatal("there is no profile")
	}
	if got := string(profile.Email.Mismatch()); got != `"\ud800"` {
		t.Errorf("email %s", got)
	}
	if err := h.SetProfile("v", profile); err != nil {
		t.Fatal(err)
	}
	wantProfile(t, h, "v", odd)
}

func TestProfileIsWhatTheClientReads(t *testing.T) {
	t.Parallel()
	server := NewServer(t)
	client := server.Client()
	profiles := []string{
		`{}`,
		`{"email":"a","Email":null,"own":[1.10]}`,
		`{"email":{"a":1},"custom":{"\ud800":1,"\ud801":2}}`,
		`{"\ud800":1}`,
	}
	for _, profile := range profiles {
		send(server, "PUT", "/profiles/u", `{"profile":`+profile+`}`)
		got, ok := server.Profile("u")
		result, err := client.Profiles.Get(t.Context(), "u")
		if ok != (err == nil) {
			t.Errorf("%s: Profile returns %t, the client's error is %v", profile, ok, err)
		}
		if err != nil {
			continue
		}
		if diff := cmp.Diff(result.Profile, got); diff != "" {
			t.Errorf("%s (-client +Profile):\n%s", profile, diff)
		}
	}
}

func TestPreferences(t *testing.T) {
	t.Parallel()
	h := NewHandler()
	wantPreferences := func(preferences string) {
		t.Helper()
		want := `{"profile":{"a":1},"preferences":` + preferences + `}`
		wantResponse(t, send(h, "GET", "/profiles/u", ""), 200, want)
	}
	if got := h.Preferences("u"); got != nil {
		t.Errorf("preferences of a new user: %v, want nil", got)
	}

	// They do not need a profile.
	want := &courier.Preferences{
		Categories: map[string]courier.Preference{"c": {Status: "OPTED_OUT"}},
	}
	if err := h.SetPreferences("u", want); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, h.Preferences("u")); diff != "" {
		t.Errorf("preferences (-want +got):\n%s", diff)
	}
	wantError(t, send(h, "GET", "/profiles/u", ""), 404)
	send(h, "PUT", "/profiles/u", `{"profile":{"a":1}}`)
	wantPreferences(`{"categories":{"c":{"status":"OPTED_OUT"}}}`)

	invalid := &courier.Preferences{Extra: map[string]any{"n": math.NaN()}}
	if err := h.SetPreferences("u", invalid); err == nil {
		t.Error("SetPreferences accepts NaN")
	}
	wantPreferences(`{"categories":{"c":{"status":"OPTED_OUT"}}}`)

	if err := h.SetPreferences("u", nil); err != nil {
		t.Fatal(err)
	}
	wantPreferences(`null`)
}

func TestPreferencesKeepTheirJSON(t *testing.T) {
	t.Parallel()
	h := setUp(t, `{}`)
	texts := []string{
		`{}`,
		`{"notifications":{"\ud800":{},"\ud801":{"rules":[{"until":"\udc00"}]}}}`,
	}
	for _, text := range texts {
		var preferences courier.Preferences
		if err := preferences.UnmarshalJSON([]byte(text)); err != nil {
			t.Fatal(err)
		}
		if err := h.SetPreferences("u", &preferences); err != nil {
			t.Fatal(err)
		}
		want := `{"profile":{},"preferences":` + text + `}`
		wantResponse(t, send(h, "GET", "/profiles/u", ""), 200, want)
	}
}

func TestDeletingAProfileLeavesTheRest(t *testing.T) {
	t.Parallel()
	h := setUp(t, `{"a":1}`)
	if err := h.SetPreferences("u", &courier.Preferences{}); err != nil {
		t.Fatal(err)
	}
	send(h, "POST", "/profiles/u/lists", listBody("news"))
	wantResponse(t, send(h, "DELETE", "/profiles/u", ""), 204, "")
	wantError(t, send(h, "GET", "/profiles/u", ""), 404)

	if got := h.Subscriptions("u"); len(got) != 1 {
		t.Errorf("subscriptions %v, want one", got)
	}
	if h.Preferences("u") == nil {
		t.Error("the preferences are gone")
	}
}
