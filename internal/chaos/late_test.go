package chaos

import (
	"bytes"
	"io"
	"net/http"
	"sync/atomic"
	"testing"

	courier "github.com/courier-profiles/courier-go"
	"github.com/courier-profiles/courier-go/couriertest"
)

// What no client can prevent, and what helps: an attempt that timed out is carried out after
// the user's next update. Without an idempotency key it undoes that update.
func TestLateAttempt(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		keys bool
		want string
	}{
		{"without keys the old update wins", false, "old@example.com"},
		{"with keys the new update stays", true, "new@example.com"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			api := couriertest.NewHandler()
			var requests atomic.Int32
			release, carriedOut := make(chan struct{}), make(chan struct{})
			server := newServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				// What has been read is carried out although the client has gone away.
				body, _ := io.ReadAll(r.Body)
				r.Body = io.NopCloser(bytes.NewReader(body))
				if requests.Add(1) == 1 {
					<-release
					defer close(carriedOut)
				}
				api.ServeHTTP(w, r)
			}), false)
			client := newClient(t, server, server.Listener.Addr().String)

			for _, email := range []string{"old@example.com", "new@example.com"} {
				var opts []courier.RequestOption
				if test.keys {
					opts = append(opts, courier.WithIdempotencyKey(email))
				}
				profile := courier.Profile{Email: courier.Set(email)}
				if _, err := client.Profiles.Merge(t.Context(), userID, profile, opts...); err != nil {
					t.Fatal(err)
				}
			}
			close(release)
			<-carriedOut

			profile, _ := api.Profile(userID)
			if got := profile.Email.Or(""); got != test.want {
				t.Errorf("the profile has %q, want %q", got, test.want)
			}
		})
	}
}
