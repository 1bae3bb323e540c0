package couriertest

import (
	"errors"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// idempotencyKeys holds the first response to each Idempotency-Key. Its zero value is
// empty and ready to use.
type idempotencyKeys struct {
	mu   sync.Mutex
	keys map[string]keyState
}

type keyState struct {
	running bool // the first request is in progress
	saved   response
	expires time.Time
}

// claim returns what to run in place of serve, and a function to call with the
// response that the request got.
func (k *idempotencyKeys) claim(header http.Header, serve func() response) (func() response, func(response)) {
	nothing := func(response) {}
	key := header.Get("Idempotency-Key")
	if key == "" {
		return serve, nothing
	}
	expires, err := keyExpiration(header)
	if err != nil {
		return func() response { return errorResponse(http.StatusBadRequest, err.Error()) }, nothing
	}

	k.mu.Lock()
	defer k.mu.Unlock()
	state := k.keys[key]
	switch {
	case state.running:
		return func() response {
			return errorResponse(http.StatusConflict, "a request with this Idempotency-Key is in progress")
		}, nothing
	case time.Now().Before(state.expires):
		return func() response { return state.saved }, nothing
	}
	if k.keys == nil {
		k.keys = make(map[string]keyState)
	}
	k.keys[key] = keyState{running: true}
	return serve, func(r response) { k.finish(key, r, expires) }
}

// finish saves a success and a 500, which are what an endpoint itself returns. Other
// statuses come from before the endpoint (4xx) or from a gateway (502, 503, 504).
func (k *idempotencyKeys) finish(key string, r response, expires time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if r.status/100 != 2 && r.status != http.StatusInternalServerError {
		delete(k.keys, key)
		return
	}
	k.keys[key] = keyState{saved: response{status: r.status, body: r.body}, expires: expires}
}

// expirationSlack is how far an x-idempotency-expiration may be out of bounds:
// "24 hours from now" is less than that when the request arrives.
const expirationSlack = time.Minute

// keyExpiration reads x-idempotency-expiration: epoch milliseconds or ISO 8601 (as in
// RFC 3339), 24 hours to 1 year ahead. The default is 24 hours.
func keyExpiration(header http.Header) (time.Time, error) {
	now := time.Now()
	day, year := now.Add(24*time.Hour), now.AddDate(1, 0, 0)
	text := header.Get("x-idempotency-expiration")
	if text == "" {
		return day, nil
	}
	expires, err := time.Parse(time.RFC3339, text)
	if ms, msErr := strconv.ParseInt(text, 10, 64); msErr == nil {
		expires, err = time.UnixMilli(ms), nil
	}
	if err != nil {
		return time.Time{}, errors.New("x-idempotency-expiration must be epoch milliseconds or an ISO 8601 time")
	}
	if expires.Before(day.Add(-expirationSlack)) || expires.After(year.Add(expirationSlack)) {
		return time.Time{}, errors.New("x-idempotency-expiration must be 24 hours to 1 year ahead")
	}
	return expires, nil
}
