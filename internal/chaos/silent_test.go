package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	courier "github.com/courier-profiles/courier-go"
	"github.com/courier-profiles/courier-go/couriertest"
)

// TestSilentConnection makes an HTTP/2 connection go silent, without a FIN, while 64 calls
// share it. The pings, timeouts, and waits are those of a service: pings that are scaled
// down together with the timeouts would hide a ping that comes too late.
func TestSilentConnection(t *testing.T) {
	defer checkGoroutines(t, goleak.IgnoreCurrent())
	const inFlight = 64
	var users []*user
	for i := range inFlight {
		users = append(users, newUser(i))
	}
	s := newServer(true, true, users, nil)
	defer s.Close()
	defer s.CloseClientConnections()
	// The first connection takes the route that goes silent; later ones do not.
	n := newNetwork(t, fault{routes: []route{{share: 0}}}, s.Listener.Addr().String(), rand.New(rand.NewPCG(*seed, 0)), 0)
	defer n.stop()
	client, err := courier.NewClient(couriertest.DefaultAPIKey,
		courier.WithBaseURL(s.URL),
		courier.WithTimeout(5*time.Second),
		courier.WithHTTPClient(&http.Client{Transport: courier.NewTransport(&http.Transport{
			DialContext: n.dial, TLSClientConfig: s.tlsConfig(),
		})}))
	if err != nil {
		t.Fatal(err)
	}
	defer client.CloseIdleConnections()

	merge := func(ctx context.Context, u *user, update int) error {
		result, err := client.Profiles.Merge(ctx, u.id, courier.Profile{Extra: map[string]any{"update": update}})
		if err == nil && update == 2 && result.Attempts < 2 {
			return fmt.Errorf("1 attempt: the connection was not silent")
		}
		return err
	}
	if err := merge(t.Context(), users[0], 1); err != nil {
		t.Fatal(err)
	}
	for _, stream := range []string{"upstream", "downstream"} {
		if _, err := n.proxies[0].Toxics.AddToxicJson(strings.NewReader(toxic("timeout", stream, `"timeout":0`))); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var wg sync.WaitGroup
	for _, u := range users {
		wg.Go(func() {
			if err := merge(ctx, u, 2); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}
