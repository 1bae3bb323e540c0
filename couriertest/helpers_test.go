package couriertest

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"
)

const success = `{"status":"SUCCESS"}`

// setUp returns a handler whose user "u" has a profile, or none for "".
func setUp(t *testing.T, profile string) *Handler {
	t.Helper()
	h := NewHandler()
	if profile != "" {
		w := send(h, "PUT", "/profiles/u", `{"profile":`+profile+`}`)
		wantResponse(t, w, 200, success)
	}
	return h
}

// send passes a request with the right key to a handler. Headers are given as name,
// value, name, value; an empty value removes a header.
func send(
	h http.Handler, method, target, body string, headers ...string,
) *httptest.ResponseRecorder {
	w, _ := sendMayAbort(h, method, target, body, headers...)
	return w
}

// sendMayAbort is send for a request whose handler may panic with http.ErrAbortHandler,
// and reports whether it did.
func sendMayAbort(
	h http.Handler, method, target, body string, headers ...string,
) (w *httptest.ResponseRecorder, aborted bool) {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+DefaultAPIKey)
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
		if headers[i+1] == "" {
			r.Header.Del(headers[i])
		}
	}
	w = httptest.NewRecorder()
	defer func() {
		if p := recover(); p != nil {
			err, _ := p.(error)
			aborted = errors.Is(err, http.ErrAbortHandler)
			if !aborted {
				panic(p)
			}
		}
	}()
	h.ServeHTTP(w, r)
	return w, false
}

// request returns a request with the right key to a server.
func request(t *testing.T, server *httptest.Server, method, path, body string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(
		t.Context(), method, server.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+DefaultAPIKey)
	return r
}

// wantStatus sends a request to a server and checks the status of the response.
func wantStatus(t *testing.T, server *httptest.Server, r *http.Request, status int) {
	t.Helper()
	response, err := server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != status {
		t.Errorf("%s %s: status %d, want %d", r.Method, r.URL, response.StatusCode, status)
	}
}

// wantResponse checks the status, the media type and the body, as JSON.
func wantResponse(t *testing.T, w *httptest.ResponseRecorder, status int, body string) {
	t.Helper()
	if w.Code != status {
		t.Errorf("status %d, want %d; body %s", w.Code, status, w.Body)
	}
	wantJSON(t, w.Body.String(), body)
	wantType := "application/json"
	if body == "" {
		wantType = ""
	}
	if got := w.Header().Get("Content-Type"); got != wantType {
		t.Errorf("Content-Type %q, want %q", got, wantType)
	}
}

// wantError checks the status of an error, and that its body has a message and the type
// that Courier documents for that status.
func wantError(t *testing.T, w *httptest.ResponseRecorder, status int) {
	t.Helper()
	types := map[int]string{401: "authentication_error", 429: "rate_limit_error"}
	wantType, ok := types[status]
	if !ok {
		wantType = "invalid_request_error"
	}
	var body struct{ Message, Type string }
	if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
		t.Errorf("body %q: %v", w.Body, err)
	}
	if w.Code != status {
		t.Errorf("status %d, want %d; body %s", w.Code, status, w.Body)
	}
	if body.Type != wantType {
		t.Errorf("type %q, want %q", body.Type, wantType)
	}
	if body.Message == "" {
		t.Error("the error has no message")
	}
}

// wantProfile checks a user's profile as JSON; "" is no profile.
func wantProfile(t *testing.T, h *Handler, userID, want string) {
	t.Helper()
	got, _ := h.ProfileJSON(userID)
	wantJSON(t, string(got), want)
}

// wantJSON compares JSON regardless of white space and the order of members, but with
// the spelling of every string and number.
func wantJSON(t *testing.T, got, want string) {
	t.Helper()
	if diff := cmp.Diff(sorted(t, want), sorted(t, got)); diff != "" {
		t.Errorf("JSON (-want +got):\n%s", diff)
	}
}

// sorted returns JSON with the members of objects in order, and without white space.
func sorted(t *testing.T, text string) string {
	t.Helper()
	if text == "" {
		return ""
	}
	value := jsontext.Value(text)
	err := value.Format(
		jsontext.ReorderRawObjects(true),
		jsontext.PreserveRawStrings(true),
		jsontext.AllowInvalidUTF8(true),
		jsontext.AllowDuplicateNames(true),
	)
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return string(value)
}

// listBody is the body of a request that subscribes a user to lists.
func listBody(ids ...string) string {
	elements := make([]string, len(ids))
	for i, id := range ids {
		elements[i] = fmt.Sprintf(`{"listId":%q}`, id)
	}
	return `{"lists":[` + strings.Join(elements, ",") + `]}`
}
