package couriertest

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// send hands a request with the right key to a handler. Headers are given as
// name, value, name, value; an empty value removes a header.
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

// wantAnswer checks status and body, the body as JSON.
func wantAnswer(t *testing.T, w *httptest.ResponseRecorder, status int, body string) {
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

// wantRefusal checks the status and type of an error, and that it has a message.
func wantRefusal(t *testing.T, w *httptest.ResponseRecorder, status int, errorType string) {
	t.Helper()
	var body map[string]string
	if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
		t.Errorf("body %q: %v", w.Body, err)
	}
	if w.Code != status || body["type"] != errorType || body["message"] == "" || len(body) != 2 {
		t.Errorf("answer %d %s, want %d with a message and type %s", w.Code, w.Body, status, errorType)
	}
}

func wantJSON(t *testing.T, got, want string) {
	t.Helper()
	if want == "" || got == "" {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		return
	}
	if diff := cmp.Diff(mustDecode(t, want), mustDecode(t, got)); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func mustDecode(t *testing.T, text string) any {
	t.Helper()
	value, err := decode([]byte(text))
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return value
}

func mustEncode(t *testing.T, value any) string {
	t.Helper()
	text, err := encode(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// wantProfile checks what is stored, to the digit; "" is no profile.
func wantProfile(t *testing.T, h *Handler, userID, want string) {
	t.Helper()
	got, _ := h.store.profile(userID)
	wantJSON(t, string(got), want)
}
