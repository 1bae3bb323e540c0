package chaos

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	courier "github.com/courier-profiles/courier-go"
	"github.com/courier-profiles/courier-go/couriertest"
)

// TestLateAttempt shows what no client can prevent, and what helps: an abandoned
// attempt is carried out after all, later than the user's next update. Without an
// idempotency key it undoes that update; with a key for each update it changes
// nothing.
func TestLateAttempt(t *testing.T) {
	tests := []struct {
		name string
		keys bool
		want string
	}{
		{"without keys the old one wins", false, "old@example.com"},
		{"with keys the new one stays", true, "new@example.com"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			leaks := goleak.IgnoreCurrent()
			defer checkGoroutines(t, leaks)
			api := couriertest.NewHandler()
			var (
				requests atomic.Int32
				release  = make(chan struct{})
				carried  = make(chan struct{})
			)
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				r.Body = io.NopCloser(bytes.NewReader(body))
				if requests.Add(1) == 1 {
					<-release
					defer close(carried)
				}
				api.ServeHTTP(w, r)
			}))
			defer server.Close()
			client, err := courier.NewClient(couriertest.DefaultAPIKey, courier.WithBaseURL(server.URL),
				courier.WithTimeout(100*time.Millisecond), courier.WithRetryWait(0, 0), courier.WithMaxRetries(20))
			if err != nil {
				t.Fatal(err)
			}
			defer client.CloseIdleConnections()

			for _, email := range []string{"old@example.com", "new@example.com"} {
				var opts []courier.RequestOption
				if tt.keys {
					opts = append(opts, courier.WithIdempotencyKey(email))
				}
				if _, err := client.Profiles.Merge(t.Context(), "user-1", courier.Profile{Email: courier.Set(email)}, opts...); err != nil {
					t.Fatal(err)
				}
			}
			close(release)
			<-carried
			profile, _ := api.Profile("user-1")
			if got := profile.Email.Or(""); got != tt.want {
				t.Errorf("the profile has %q, want %q", got, tt.want)
			}
		})
	}
}
