package chaos

import (
	"math/rand/v2"
	"testing"
	"time"
)

// TestFaultsBite makes sure that every fault in the table takes effect, with a
// server that does not fail and one call at a time.
func TestFaultsBite(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		for _, f := range faults(http2, 1) {
			if !f.breaks && f.slows == 0 {
				continue // Late ends and late packets show only when something else fails.
			}
			r := &row{fault: f, http2: http2}
			t.Run(f.name+"/"+r.protocol(), func(t *testing.T) {
				u := newUser(0)
				s := newServer(http2, true, []*user{u}, nil)
				defer s.Close()
				defer s.CloseClientConnections()
				n := newNetwork(t, f, s.Listener.Addr().String(), rand.New(rand.NewPCG(*seed, 0)), 2)
				defer n.stop()
				c := newClient(t, n, s, []*user{u}, false)
				defer c.CloseIdleConnections()
				for i := range 50 {
					start := time.Now()
					_, err := c.Profiles.Merge(t.Context(), u.id, update(i+1))
					if took := time.Since(start); err == nil && took < f.slows {
						t.Fatalf("a call took %v, want at least %v", took, f.slows)
					}
					if c.withoutResponse > 0 || !f.breaks && i == 4 {
						return
					}
				}
				t.Error("50 calls did not hit the fault")
			})
		}
	}
}
