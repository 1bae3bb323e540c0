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
	const (
		user = `{"email":"a@example.com","custom":{"plan":"free","seats":9007199254740993}}`
		path = "/profiles/u"
	)
	tests := []struct {
		name, before, method, body string
		status                     int
		response, after            string
	}{
		{"merge", user, "POST", `{"profile":{"email":null,"custom":{"plan":"pro"}}}`, 200, success, `{"custom":{"plan":"pro","seats":9007199254740993}}`},
		{"merge creates", "", "POST", `{"profile":{"email":"<a&b>","name":null}}`, 200, success, `{"email":"<a&b>"}`},
		{"merge nothing", user, "POST", `{"profile":{}}`, 200, success, user},
		{"merge nothing creates", "", "POST", `{"profile":{}}`, 200, success, `{}`},
		{"merge with more members", "", "POST", `{"profile":{"a":1},"other":2}`, 200, success, `{"a":1}`},

		{"get", user, "GET", "", 200, `{"profile":` + user + `,"preferences":null}`, user},
		{"get keeps everything", `{"a":null,"A":1.10,"":{"n":[1E400,-0,{}]},"<&>":"\u2028"}`, "GET", "", 200, `{"profile":{"a":null,"A":1.10,"":{"n":[1E400,-0,{}]},"<&>":"\u2028"},"preferences":null}`, `{"a":null,"A":1.10,"":{"n":[1E400,-0,{}]},"<&>":"\u2028"}`},
		{"get of an empty one", `{}`, "GET", "", 200, `{"profile":{},"preferences":null}`, `{}`},

		{"replace", user, "PUT", `{"profile":{"name":"A","x":null}}`, 200, success, `{"name":"A","x":null}`},
		{"replace empties", user, "PUT", `{"profile":{}}`, 200, success, `{}`},
		{"replace creates", "", "PUT", `{"profile":{"a":[]}}`, 200, success, `{"a":[]}`},

		{"patch", user, "PATCH", `{"patch":[{"op":"replace","path":"/custom/plan","value":{"n":0.10}},{"op":"remove","path":"/email"}]}`, 204, "", `{"custom":{"plan":{"n":0.10},"seats":9007199254740993}}`},
		{"patch nothing", user, "PATCH", `{"patch":[]}`, 204, "", user},
		{"patch nothing creates", "", "PATCH", `{"patch":[]}`, 204, "", `{}`},
		{"patch creates", "", "PATCH", `{"patch":[{"op":"add","path":"/a","value":null}]}`, 204, "", `{"a":null}`},
		{"patch of the whole", user, "PATCH", `{"patch":[{"op":"replace","path":"","value":{"a":1}}]}`, 204, "", `{"a":1}`},

		{"delete", user, "DELETE", "", 204, "", ""},
		{"delete of none", "", "DELETE", "", 204, "", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := setUp(t, test.before)
			wantResponse(t, send(h, test.method, path, test.body), test.status, test.response)
			wantProfile(t, h, "u", test.after)
		})
	}
}

func TestGetWithoutProfile(t *testing.T) {
	t.Parallel()
	wantError(t, send(NewHandler(), "GET", "/profiles/u", ""), 404, "invalid_request_error")
}

func TestMalformedProfileRequests(t *testing.T) {
	t.Parallel()
	bodies := []string{
		``, ` `, `nonsense`, `{`, `{"profile":{}} {}`, `{"profile":{}}x`, `null`, `1`, `"profile"`, `[]`, `[{"profile":{}}]`,
		`{}`, `{"profile":null}`, `{"profile":[]}`, `{"profile":"x"}`, `{"profile":1}`, `{"Profile":{}}`, `{"profile":{"a":01}}`,
		"{\"profile\":{\"a\":\"\xff\"}}", `{"profile":` + strings.Repeat(`{"a":`, 20_000) + `1` + strings.Repeat(`}`, 20_001),
	}
	patches := []string{
		``, `nonsense`, `[]`, `{}`, `{"patch":null}`, `{"patch":{}}`, `{"patch":"x"}`, `{"patch":[1]}`, `{"patch":[]} 1`,
		`{"patch":[{"op":"add","path":"/a"}]}`,
		`{"patch":[{"op":"increment","path":"/a","value":1}]}`,
		`{"patch":[{"op":"add","path":"/a","value":2},{"op":"test","path":"/a","value":3}]}`,
		`{"patch":[{"op":"add","path":"/a","value":2},{"op":"remove","path":"/b"}]}`,
		`{"patch":[{"op":"replace","path":"","value":[]}]}`,
		`{"patch":[{"op":"replace","path":"","value":null}]}`,
		`{"patch":[{"op":"remove","path":""}]}`,
		"{\"patch\":[{\"op\":\"add\",\"path\":\"/a\",\"value\":\"\xff\"}]}",
	}
	for method, bodies := range map[string][]string{"POST": bodies, "PUT": bodies, "PATCH": patches} {
		for _, body := range bodies {
			t.Run(method+" "+body[:min(len(body), 80)], func(t *testing.T) {
				for _, before := range []string{"", `{"a":1}`} {
					h := setUp(t, before)
					wantError(t, send(h, method, "/profiles/u", body), 400, "invalid_request_error")
					wantProfile(t, h, "u", before)
				}
			})
		}
	}
}

func TestSetProfileAndProfile(t *testing.T) {
	t.Parallel()
	h := NewHandler()
	if got, ok := h.Profile("u"); ok || !cmp.Equal(got, courier.Profile{}) {
		t.Errorf("a user without a profile has %v", got)
	}
	want := courier.Profile{
		Email:  courier.Set("<a>@example.com"),
		Name:   courier.Null[string](),
		Custom: courier.Set(map[string]any{"plan": "pro"}),
		Extra:  map[string]any{"mine": []any{"x", nil}},
	}
	if err := h.SetProfile("u", want); err != nil {
		t.Fatal(err)
	}
	wantProfile(t, h, "u", `{"email":"<a>@example.com","name":null,"custom":{"plan":"pro"},"mine":["x",null]}`)
	got, ok := h.Profile("u")
	if diff := cmp.Diff(want, got); !ok || diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}

	if err := h.SetProfile("u", courier.Profile{Extra: map[string]any{"n": math.NaN()}}); err == nil {
		t.Error("NaN was stored")
	}
	if after, _ := h.Profile("u"); !cmp.Equal(want, after) {
		t.Errorf("a rejected profile changed the stored one to %v", after)
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
	server := NewServer()
	defer server.Close()
	client, err := server.Client()
	if err != nil {
		t.Fatal(err)
	}
	for _, profile := range []string{
		`{}`, `{"email":"a","Email":null,"own":[1.10]}`, `{"email":{"a":1},"custom":{"\ud800":1,"\ud801":2}}`, `{"\ud800":1}`, `{"\ud800":1,"\ud801":2}`,
	} {
		wantResponse(t, send(server, "PUT", "/profiles/u", `{"profile":`+profile+`}`), 200, success)
		got, ok := server.Profile("u")
		result, err := client.Profiles.Get(t.Context(), "u")
		if ok != (err == nil) {
			t.Errorf("%s: Profile returns %t, the client's error is %v", profile, ok, err)
		}
		if err == nil {
			if diff := cmp.Diff(result.Profile, got); diff != "" {
				t.Errorf("%s (-client +Profile):\n%s", profile, diff)
			}
		}
	}
}

func TestSetPreferences(t *testing.T) {
	t.Parallel()
	h := NewHandler()
	want := func(preferences string) {
		t.Helper()
		wantResponse(t, send(h, "GET", "/profiles/u", ""), 200, `{"profile":{"a":1},"preferences":`+preferences+`}`)
	}
	set := func(preferences *courier.Preferences) {
		t.Helper()
		if err := h.SetPreferences("u", preferences); err != nil {
			t.Fatal(err)
		}
	}
	// Before there is a profile, and of another user.
	set(&courier.Preferences{Categories: map[string]courier.Preference{"c": {Status: "OPTED_OUT"}}})
	if err := h.SetPreferences("v", &courier.Preferences{}); err != nil {
		t.Fatal(err)
	}
	wantError(t, send(h, "GET", "/profiles/u", ""), 404, "invalid_request_error")
	send(h, "PUT", "/profiles/u", `{"profile":{"a":1}}`)
	want(`{"categories":{"c":{"status":"OPTED_OUT"}}}`)

	if err := h.SetPreferences("u", &courier.Preferences{Extra: map[string]any{"n": math.NaN()}}); err == nil {
		t.Error("NaN was stored")
	}
	want(`{"categories":{"c":{"status":"OPTED_OUT"}}}`)

	for _, text := range []string{`{}`, `{"notifications":{"\ud800":{},"\ud801":{"rules":[{"until":"\udc00"}]}}}`} {
		preferences := new(courier.Preferences)
		if err := preferences.UnmarshalJSON([]byte(text)); err != nil {
			t.Fatal(err)
		}
		set(preferences)
		want(text)
	}

	send(h, "DELETE", "/profiles/u", "")
	set(nil)
	wantError(t, send(h, "GET", "/profiles/u", ""), 404, "invalid_request_error")
	send(h, "PUT", "/profiles/u", `{"profile":{"a":1}}`)
	want(`null`)
}

func TestDeletingAProfileLeavesTheRest(t *testing.T) {
	t.Parallel()
	h := setUp(t, `{"a":1}`)
	if err := h.SetPreferences("u", &courier.Preferences{}); err != nil {
		t.Fatal(err)
	}
	send(h, "POST", "/profiles/u/lists", `{"lists":[{"listId":"l"}]}`)
	wantResponse(t, send(h, "DELETE", "/profiles/u", ""), 204, "")
	wantError(t, send(h, "GET", "/profiles/u", ""), 404, "invalid_request_error")

	if got := h.Subscriptions("u"); len(got) != 1 {
		t.Errorf("subscriptions are %v, want one", got)
	}
	send(h, "PUT", "/profiles/u", `{"profile":{}}`)
	wantResponse(t, send(h, "GET", "/profiles/u", ""), 200, `{"profile":{},"preferences":{}}`)
}
