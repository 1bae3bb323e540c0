package couriertest

import (
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	courier "github.com/courier-profiles/courier-go"
)

const success = `{"status":"SUCCESS"}`

// setUp returns a handler whose user "u" has a profile; "" is none.
func setUp(t *testing.T, profile string) *Handler {
	t.Helper()
	h := NewHandler()
	if profile != "" {
		wantAnswer(t, send(h, "PUT", "/profiles/u", `{"profile":`+profile+`}`), 200, success)
	}
	return h
}

func TestOperations(t *testing.T) {
	const (
		user = `{"email":"a@example.com","custom":{"plan":"free","seats":9007199254740993}}`
		path = "/profiles/u"
	)
	tests := []struct {
		name, before, method, body string
		status                     int
		answer, after              string
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
			wantAnswer(t, send(h, test.method, path, test.body), test.status, test.answer)
			wantProfile(t, h, "u", test.after)
		})
	}
}

func TestGetOfNone(t *testing.T) {
	wantRefusal(t, send(NewHandler(), "GET", "/profiles/u", ""), 404, "invalid_request_error")
}

func TestMalformedProfileRequests(t *testing.T) {
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
	}
	for method, bodies := range map[string][]string{"POST": bodies, "PUT": bodies, "PATCH": patches} {
		for _, body := range bodies {
			t.Run(method+" "+body[:min(len(body), 80)], func(t *testing.T) {
				for _, before := range []string{"", `{"a":1}`} {
					h := setUp(t, before)
					wantRefusal(t, send(h, method, "/profiles/u", body), 400, "invalid_request_error")
					wantProfile(t, h, "u", before)
				}
			})
		}
	}
}

func TestSetProfileAndProfile(t *testing.T) {
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
		t.Errorf("a refused profile changed the one there to %v", after)
	}
}
