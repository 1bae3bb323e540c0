package chaos

import (
	"errors"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"

	"go.uber.org/goleak"

	courier "github.com/courier-profiles/courier-go"
	"github.com/courier-profiles/courier-go/couriertest"
)

// TestOutage takes the network down until the whole retry budget is used, to the
// last retry, and checks that nothing more is sent. When the network is back, the
// client recovers.
func TestOutage(t *testing.T) {
	const inFlight, each = 16, 60
	for _, http2 := range []bool{false, true} {
		for _, by := range []string{byMerge, byMergeAll} {
			r := &row{http2: http2, by: by}
			t.Run(r.protocol()+"/"+by, func(t *testing.T) {
				leaks := goleak.IgnoreCurrent()
				defer checkGoroutines(t, leaks)
				for n := range inFlight {
					r.users = append(r.users, newUser(n))
				}
				s := newServer(http2, true, r.users, nil)
				defer s.Close()
				defer s.CloseClientConnections()
				n := newNetwork(t, fault{}, s.Listener.Addr().String(), rand.New(rand.NewPCG(*seed, 0)), 0)
				defer n.stop()
				c := newClient(t, n, s, r.users, false)
				defer c.CloseIdleConnections()

				n.stop()
				if by == byMergeAll {
					for outcome := range c.Profiles.MergeAll(t.Context(), inTurn(r.users, each), courier.WithConcurrency(inFlight)) {
						checkLost(t, outcome.Err)
					}
				} else {
					var wg sync.WaitGroup
					for _, u := range r.users {
						wg.Go(func() {
							for i := range each {
								_, err := c.Profiles.Merge(t.Context(), u.id, update(i+1))
								checkLost(t, err)
							}
						})
					}
					wg.Wait()
				}
				if want := inFlight*each + reserve; c.attempts != want {
					t.Errorf("%d calls without a response took %d attempts, want %d", inFlight*each, c.attempts, want)
				}

				if err := n.start(); err != nil {
					t.Fatal(err)
				}
				s.api.Fail(couriertest.Fault{}, couriertest.Fault{Status: http.StatusServiceUnavailable})
				for i, want := range []int{1, 2} {
					result, err := c.Profiles.Merge(t.Context(), r.users[0].id, update(i))
					if err != nil || result.Attempts != want {
						t.Errorf("merge %d after the outage: %v, %v, want %d attempts", i+1, result, err, want)
					}
				}
			})
		}
	}
}

func checkLost(t *testing.T, err error) {
	t.Helper()
	var lost *courier.ConnectionError
	if !errors.As(err, &lost) {
		t.Errorf("a call without a response failed with %v", err)
	}
}
