package official

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/trycourier/courier-go/v4"
	"github.com/trycourier/courier-go/v4/option"

	profiles "github.com/courier-profiles/courier-go"
	"github.com/courier-profiles/courier-go/couriertest"
)

func TestWelcome(t *testing.T) {
	t.Parallel()
	var sent []string
	api := couriertest.NewHandler()
	mux := http.NewServeMux()
	mux.Handle("/base/profiles/", http.StripPrefix("/base", api))
	mux.HandleFunc("POST /base/send", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		sent = append(sent, r.Header.Get("Authorization"), string(body))
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusAccepted)
		_, _ = io.WriteString(w, `{"requestId": "1-5e2b"}`)
	})
	server := httptest.NewServer(mux)
	defer server.Close()

	store, err := profiles.NewClient(api.APIKey, profiles.WithBaseURL(server.URL+"/base"))
	if err != nil {
		t.Fatal(err)
	}
	sender := courier.NewClient(option.WithAPIKey(api.APIKey), option.WithBaseURL(server.URL+"/base/"))
	if err := Welcome(t.Context(), store, sender, "user-1", "user@example.com"); err != nil {
		t.Fatal(err)
	}
	profile, _ := api.Profile("user-1")
	if diff := cmp.Diff(profiles.Profile{Email: profiles.Set("user@example.com")}, profile); diff != "" {
		t.Errorf("profile (-want +got):\n%s", diff)
	}
	want := []string{
		"Bearer " + api.APIKey,
		`{"message":{"template":"welcome","to":{"user_id":"user-1"}}}`,
	}
	if diff := cmp.Diff(want, sent); diff != "" {
		t.Errorf("sent (-want +got):\n%s", diff)
	}
}
