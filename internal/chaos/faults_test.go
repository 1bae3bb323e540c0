package chaos

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"

	courier "github.com/courier-profiles/courier-go"
)

// Each fault meets the first request of each operation once. The error of that attempt,
// Retryable, what the client does next, and the profile afterwards have to agree with the
// retry table.
func TestFaults(t *testing.T) {
	t.Parallel()
	for _, http2 := range []bool{false, true} {
		for _, f := range faults() {
			if f.handshake && !http2 {
				continue // there is no handshake
			}
			for _, op := range operations() {
				name := fmt.Sprintf("%s/%s/%s", protocol(http2), f.name, op.name)
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					testFault(t, f, op, http2)
				})
			}
		}
	}
}

func testFault(t *testing.T, f fault, op operation, http2 bool) {
	handler := newHandler(t)
	handler.Fail(f.server)
	var attempts []courier.Attempt
	client := newFaultyClient(t, f, handler, http2,
		courier.WithObserver(func(_ context.Context, a courier.Attempt) {
			attempts = append(attempts, a)
		}))
	attempts = nil // of the call that opened the connection

	err := op.call(t.Context(), client.Profiles)

	retry := f.retries(op)
	first := attempts[0].Err
	if got := typeName(first); got != f.err {
		t.Errorf("the first attempt ended with %s (%v), want %s", got, first, f.err)
	}
	if got := attempts[0].Duration; got < f.slows {
		t.Errorf("the first attempt took %v, want at least %v", got, f.slows)
	}
	if got := courier.Retryable(first); got != retry {
		t.Errorf("Retryable is %t for %v, want %t", got, first, retry)
	}
	if retry {
		if err != nil {
			t.Errorf("the call failed: %v, want a success after a retry", err)
		}
		// While the first request with a key is running, a second one gets a 409.
		if len(attempts) != 2 && !op.withKey {
			t.Errorf("%d attempts, want 2", len(attempts))
		}
	} else {
		if got := typeName(err); got != f.err {
			t.Errorf("the call returned %s (%v), want %s", got, err, f.err)
		}
		if len(attempts) != 1 {
			t.Errorf("%d attempts, want 1", len(attempts))
		}
	}
	got := state(handler)
	if err == nil && got != op.after {
		t.Errorf("after the success: %s, want %s", got, op.after)
	}
	if err != nil && got != op.after && got != before {
		t.Errorf("after the failure: %s, want %s or %s", got, before, op.after)
	}
}

// newFaultyClient returns a client whose first connection has the fault. Over HTTP/2 that
// connection is in use before the fault begins, unless the fault hits the handshake.
func newFaultyClient(
	t *testing.T, f fault, handler http.Handler, http2 bool, opts ...courier.Option,
) *courier.Client {
	t.Helper()
	server := newServer(t, handler, http2)
	warm := http2 && len(f.toxics) > 0 && !f.handshake
	proxy := newProxy(t, server, nil)
	if !warm {
		addToxics(t, proxy, f.toxics)
	}
	if f.refused {
		proxy.Stop()
	}
	var dials atomic.Int32
	client := newClient(t, server, func() string {
		if dials.Add(1) == 1 {
			return proxy.Listen
		}
		return server.Listener.Addr().String()
	}, opts...)
	if warm {
		// With the second response, all frames that begin a connection have arrived.
		for range 2 {
			if _, err := client.Profiles.Get(t.Context(), userID); err != nil {
				t.Fatal(err)
			}
		}
		addToxics(t, proxy, f.toxics)
	}
	return client
}

// retries reports whether the client retries op after the fault.
func (f fault) retries(op operation) bool {
	switch {
	case op.patch:
		return f.retried.patch
	case op.withKey:
		return f.retried.withKey
	}
	return f.retried.idempotent
}

func typeName(err error) string {
	if err == nil {
		return ""
	}
	return fmt.Sprintf("%T", err)
}

func protocol(http2 bool) string {
	if http2 {
		return "HTTP2"
	}
	return "HTTP1"
}
