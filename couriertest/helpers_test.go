package couriertest

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"
)

// send passes a request with the right key to a handler. Headers are given as name,
// value, name, value; an empty value removes a header.
func send(h http.Handler, method, target, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+DefaultAPIKey)
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
		if headers[i+1] == "" {
			r.Header.Del(headers[i])
		}
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// wantResponse checks the status and the body, as JSON.
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

// wantError checks the status and type of an error, and that it has a message.
func wantError(t *testing.T, w *httptest.ResponseRecorder, status int, errorType string) {
	t.Helper()
	var body map[string]string
	if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
		t.Errorf("body %q: %v", w.Body, err)
	}
	if w.Code != status || body["type"] != errorType || body["message"] == "" || len(body) != 2 {
		t.Errorf("response %d %s, want %d with a message and type %s", w.Code, w.Body, status, errorType)
	}
}

// wantJSON compares JSON regardless of whitespace and the order of members, but with
// the spelling of every string and number.
func wantJSON(t *testing.T, got, want string) {
	t.Helper()
	if diff := cmp.Diff(reordered(t, want), reordered(t, got)); diff != "" {
		t.Errorf("JSON (-want +got):\n%s", diff)
	}
}

func reordered(t *testing.T, text string) string {
	t.Helper()
	if text == "" {
		return ""
	}
	value := jsontext.Value(text)
	err := value.Format(jsontext.ReorderRawObjects(true), jsontext.PreserveRawStrings(true),
		jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true))
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return string(value)
}

// setUp returns a handler whose user "u" has a profile, or none for "".
func setUp(t *testing.T, profile string) *Handler {
	t.Helper()
	h := NewHandler()
	if profile != "" {
		wantResponse(t, send(h, "PUT", "/profiles/u", `{"profile":`+profile+`}`), 200, success)
	}
	return h
}

const success = `{"status":"SUCCESS"}`

// stored returns the JSON of a profile, or "".
func stored(h *Handler, userID string) string {
	profile, _, _ := h.store.profile(userID)
	return string(profile)
}

func wantProfile(t *testing.T, h *Handler, userID, want string) {
	t.Helper()
	wantJSON(t, stored(h, userID), want)
}
