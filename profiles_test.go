package courier_test

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jarcoal/httpmock"

	courier "github.com/courier-profiles/courier-go"
	"github.com/courier-profiles/courier-go/couriertest"
)

// A 204 is a success without a status for a write, but no profile.
func TestNoContent(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	client := cannedClient(t, httpmock.NewStringResponder(204, "").HeaderSet(http.Header{"X-Request-Id": {"req-1"}}))
	want := courier.Result{Response: courier.Response{StatusCode: 204, Header: http.Header{"X-Request-Id": {"req-1"}}, RequestID: "req-1", Attempts: 1}}
	for name, call := range map[string]func() (*courier.Result, error){
		"Merge":   func() (*courier.Result, error) { return client.Profiles.Merge(ctx, "user-4711", courier.Profile{}) },
		"Replace": func() (*courier.Result, error) { return client.Profiles.Replace(ctx, "user-4711", courier.Profile{}) },
		"Patch":   func() (*courier.Result, error) { return client.Profiles.Patch(ctx, "user-4711", nil) },
		"Delete":  func() (*courier.Result, error) { return client.Profiles.Delete(ctx, "user-4711") },
	} {
		got, err := call()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(want, *got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	got, err := client.Profiles.Get(ctx, "user-4711")
	var unexpected *courier.UnexpectedResponseError
	if !errors.As(err, &unexpected) || unexpected.StatusCode != 204 || got != nil {
		t.Errorf("Get: %v, %v, want an *UnexpectedResponseError", got, err)
	}
}

// Every result has the response: its header, the request ID in either of two headers, and
// how often the call was sent. So has an error.
func TestResponse(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		header http.Header
		want   string
	}{
		{http.Header{}, ""},
		{http.Header{"X-Request-Id": {"courier"}}, "courier"},
		{http.Header{"X-Amzn-Requestid": {"amazon"}}, "amazon"},
		{http.Header{"X-Amzn-Requestid": {"amazon"}, "X-Request-Id": {"courier"}}, "courier"},
	} {
		test.header.Set("X-More", "more")
		sent, last := 0, 200
		client := cannedClient(t, func(*http.Request) (*http.Response, error) {
			response := httpmock.NewStringResponse(503, "")
			if sent++; sent%3 == 0 {
				response = httpmock.NewStringResponse(last, `{"profile":{}}`)
				response.Header = test.header
			}
			return response, nil
		})
		want := courier.Response{StatusCode: 200, Header: test.header, RequestID: test.want, Attempts: 3}
		merged, err := client.Profiles.Merge(t.Context(), "user-4711", courier.Profile{})
		if err != nil {
			t.Fatal(err)
		}
		got, err := client.Profiles.Get(t.Context(), "user-4711")
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]courier.Response{want, want}, []courier.Response{merged.Response, got.Response}); diff != "" {
			t.Errorf("responses (-want +got):\n%s", diff)
		}
		last = 404
		_, err = client.Profiles.Get(t.Context(), "user-4711")
		var missing *courier.NotFoundError
		if !errors.As(err, &missing) || missing.RequestID != test.want || missing.Attempts != 3 || missing.Header.Get("X-More") != "more" {
			t.Errorf("error is %#v, want the request ID %q and 3 attempts", err, test.want)
		}
	}
}

// fakeAPI returns the fake of the API below /base, and a client of it.
func fakeAPI(t testing.TB, opts ...courier.Option) (*couriertest.Handler, *courier.Client) {
	t.Helper()
	fake := couriertest.NewHandler()
	server := httptest.NewServer(http.StripPrefix("/base", fake))
	t.Cleanup(server.Close)
	client, err := courier.NewClient(couriertest.DefaultAPIKey, append([]courier.Option{
		courier.WithBaseURL(server.URL + "/base"),
		courier.WithRetryWait(0, 0),
	}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.CloseIdleConnections)
	return fake, client
}

// The life of a profile, by what the operations do to it.
func TestOperationsOnTheFake(t *testing.T) {
	t.Parallel()
	for _, userID := range []string{"user-4711", "../lists", "a/b#c%d?e", "ü ✓", "lists"} {
		t.Run(userID, func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			fake, client := fakeAPI(t)
			profiles := client.Profiles
			missing := func() {
				t.Helper()
				var notFound *courier.NotFoundError
				if got, err := profiles.Get(ctx, userID); !errors.As(err, &notFound) || got != nil {
					t.Errorf("got %v, %v, want a *NotFoundError", got, err)
				}
			}
			then := func(result *courier.Result, err error) func(status int, want string) {
				return func(status int, want string) {
					t.Helper()
					if err != nil || result.StatusCode != status {
						t.Fatalf("result %+v, %v, want status %d", result, err, status)
					}
					got, err := profiles.Get(ctx, userID)
					if err != nil || got.Profile.String() != want {
						t.Errorf("the profile is %v, %v, want %s", got, err, want)
					}
				}
			}
			missing()
			then(profiles.Merge(ctx, userID, courier.Profile{}))(200, `{}`)
			then(profiles.Merge(ctx, userID, courier.Profile{Email: courier.Set("a@example.com"), Custom: courier.Set(map[string]any{"a": 1, "b": map[string]any{"c": 2}})}))(200,
				`{"email":"a@example.com","custom":{"a":1,"b":{"c":2}}}`)
			then(profiles.Merge(ctx, userID, courier.Profile{Email: courier.Null[string](), Name: courier.Set(""), Custom: courier.Set(map[string]any{"b": map[string]any{"d": 3}})}))(200,
				`{"name":"","custom":{"a":1,"b":{"c":2,"d":3}}}`)
			then(profiles.Patch(ctx, userID, []courier.PatchOp{courier.PatchMove("/custom/b/c", "/custom/e"), courier.PatchRemove("/name")}))(204, `{"custom":{"a":1,"b":{"d":3},"e":2}}`)
			then(profiles.Patch(ctx, userID, nil))(204, `{"custom":{"a":1,"b":{"d":3},"e":2}}`)
			var refused *courier.InvalidRequestError
			if result, err := profiles.Patch(ctx, userID, []courier.PatchOp{courier.PatchRemove("/custom"), courier.PatchTest("/custom/a", 1)}); !errors.As(err, &refused) || result != nil {
				t.Errorf("a patch whose test fails: %v, %v, want an *InvalidRequestError", result, err)
			}
			then(profiles.Replace(ctx, userID, courier.Profile{Email: courier.Set("b@example.com")}))(200, `{"email":"b@example.com"}`)
			then(profiles.Replace(ctx, userID, courier.Profile{}))(200, `{}`)
			if result, err := profiles.Delete(ctx, userID); err != nil || result.StatusCode != 204 {
				t.Errorf("deleted: %v, %v", result, err)
			}
			missing()
			for _, request := range fake.Requests() {
				if request.UserID != userID {
					t.Errorf("a request was for the user %q", request.UserID)
				}
			}
		})
	}
}

func TestGetPreferences(t *testing.T) {
	t.Parallel()
	fake, client := fakeAPI(t)
	want := &courier.Preferences{
		Categories: map[string]courier.Preference{"c/1": {Status: "OPTED_IN", ChannelPreferences: []courier.ChannelPreference{{Channel: "email"}}}},
		Extra:      map[string]any{"my_own_key": true},
	}
	if err := errors.Join(fake.SetProfile("user-4711", courier.Profile{}), fake.SetPreferences("user-4711", want)); err != nil {
		t.Fatal(err)
	}
	got, err := client.Profiles.Get(t.Context(), "user-4711")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got.Preferences); diff != "" {
		t.Errorf("preferences (-want +got):\n%s", diff)
	}
}

// Get, change one field, Replace: nothing else of what another client wrote changes.
func TestGetChangeReplaceOnTheFake(t *testing.T) {
	t.Parallel()
	const before = `{"email":"old","email_verified":"true","Email":"E","address":{"country":"GB","x":[1.0]},"custom":{"n":9007199254740993,"nested":{"a":null}},` +
		`"slack":"U1","expo":{"tokens":[{"token":"t"}],"y":1e5},"unknown":{"k":["\ud800"]}}`
	fake := couriertest.NewHandler()
	fake.APIKey = "pk_test_errors"
	send := func(method, userID, body string) string {
		req := httptest.NewRequest(method, "/profiles/"+userID, strings.NewReader(body))
		req.Header.Set("Authorization", "Bearer "+fake.APIKey)
		w := httptest.NewRecorder()
		fake.ServeHTTP(w, req)
		if w.Code != http.StatusOK {
			t.Fatalf("%s %s: %d %s", method, body, w.Code, w.Body)
		}
		return w.Body.String()
	}
	client := clientOn(t, handlerTransport{http.StripPrefix("/base", fake)})
	for _, test := range []struct {
		change   func(*courier.Profile)
		old, new string
	}{
		{func(*courier.Profile) {}, "", ""},
		{func(p *courier.Profile) { p.Email = courier.Set("new") }, `"email":"old"`, `"email":"new"`},
		{func(p *courier.Profile) { p.Email = courier.Null[string]() }, `"email":"old"`, `"email":null`},
		{func(p *courier.Profile) { p.Email = courier.Field[string]{} }, `"email":"old",`, ``},
		{func(p *courier.Profile) { p.EmailVerified = courier.Set(true) }, `"email_verified":"true"`, `"email_verified":true`},
		{func(p *courier.Profile) {
			address, _ := p.Address.Get()
			address.Country = courier.Set("FR")
			p.Address = courier.Set(address)
		}, `"country":"GB"`, `"country":"FR"`},
		{func(p *courier.Profile) { p.Custom.Or(nil)["n"] = 1 }, `9007199254740993`, `1`},
		{func(p *courier.Profile) { p.Extra["unknown"] = nil }, `{"k":["\ud800"]}`, `null`},
	} {
		send(http.MethodPut, "user-4711", `{"profile":`+before+`}`)
		send(http.MethodPut, "wanted", `{"profile":`+strings.Replace(before, test.old, test.new, 1)+`}`)
		got, err := client.Profiles.Get(t.Context(), "user-4711")
		if err != nil {
			t.Fatal(err)
		}
		test.change(&got.Profile)
		if _, err := client.Profiles.Replace(t.Context(), "user-4711", got.Profile); err != nil {
			t.Fatal(err)
		}
		if got, want := send(http.MethodGet, "user-4711", ""), send(http.MethodGet, "wanted", ""); got != want {
			t.Errorf("after %s is %s:\n got %s\nwant %s", test.old, test.new, got, want)
		}
	}
}

// handlerTransport sends requests to a handler, without a network.
type handlerTransport struct{ http.Handler }

func (h handlerTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, req)
	return w.Result(), nil
}

// A profile or a patch that cannot be written is refused before anything is sent.
func TestRefusedBeforeSending(t *testing.T) {
	t.Parallel()
	client := cannedClient(t, func(req *http.Request) (*http.Response, error) {
		t.Errorf("%s %s was sent", req.Method, req.URL)
		return httpmock.NewStringResponse(200, ""), nil
	})
	refused := func(field string) func(*courier.Result, error) {
		return func(result *courier.Result, err error) {
			t.Helper()
			var invalid *courier.ValidationError
			if !errors.As(err, &invalid) || invalid.Field != field || result != nil {
				t.Errorf("result %v, error %v, want a *ValidationError of %s", result, err, field)
			}
		}
	}
	for field, profile := range map[string]courier.Profile{
		"profile.email":  {Email: courier.Set("\xff")},
		"profile.name":   {Name: courier.Set("x"), Extra: map[string]any{"name": "y"}},
		"profile.custom": {Custom: courier.Set(map[string]any{"a": []any{func() {}}})},
	} {
		refused(field)(client.Profiles.Merge(t.Context(), "user-4711", profile))
		refused(field)(client.Profiles.Replace(t.Context(), "user-4711", profile))
	}
	for _, op := range []courier.PatchOp{{}, courier.PatchRemove("email"), courier.PatchTest("/a", "\xff")} {
		refused("patch[1]")(client.Profiles.Patch(t.Context(), "user-4711", []courier.PatchOp{courier.PatchRemove("/a"), op}))
	}
}

type anyError struct{}

func (*anyError) UnmarshalJSON(text []byte) error { return fmt.Errorf("cannot read %s", text) }

// An error of DecodeCustom says which member of the caller's type does not fit, and shows
// nothing of the profile.
func TestDecodeCustomErrorsShowNoData(t *testing.T) {
	t.Parallel()
	type custom struct {
		Seats  int            `json:"seats"`
		Ratio  float64        `json:"ratio"`
		Quoted int            `json:"quoted,string"`
		IP     net.IP         `json:"ip"`
		Bytes  []byte         `json:"bytes"`
		Own    *anyError      `json:"own"`
		Keys   map[int]string `json:"keys"`
		Nested *custom        `json:"nested"`
	}
	for _, test := range []struct{ custom, want string }{
		{`{"seats":"CANARY"}`, "type int"},
		{`{"seats":4711.5}`, "type int"},
		{`{"seats":47114711471147114711}`, "type int"},
		{`{"ratio":4711e400}`, "type float64"},
		{`{"quoted":"CANARY"}`, ""},
		{`{"quoted":"{\"CANARY\":1}"}`, ""},
		{`{"ip":"CANARY"}`, ""},
		{`{"bytes":"!CANARY"}`, ""},
		{`{"own":{"CANARY":4711}}`, ""},
		{`{"keys":{"CANARY":"a"}}`, ""},
		{`{"nested":{"seats":["CANARY"]}}`, "type int"},
		{`"CANARY"`, ""},
		{`["CANARY"]`, ""},
	} {
		client := cannedClient(t, httpmock.NewStringResponder(200, `{"profile":{"custom":`+test.custom+`}}`))
		got, err := client.Profiles.Get(t.Context(), "user-4711")
		if err != nil {
			t.Fatal(err)
		}
		err = got.Profile.DecodeCustom(new(custom))
		if err == nil {
			t.Errorf("%s: no error", test.custom)
			continue
		}
		if text := fmt.Sprintf("%v %+v", err, err); strings.Contains(text, "CANARY") || strings.Contains(text, "4711") || !strings.HasPrefix(text, "courier: custom") || !strings.Contains(text, test.want) {
			t.Errorf("%s: the error is %q, want %q in it", test.custom, text, test.want)
		}
	}
}
