package couriertest

import (
	"errors"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// idempotencyKeys holds, per Idempotency-Key, the first answer that was given
// under it. Its zero value is empty and ready.
type idempotencyKeys struct {
	mu   sync.Mutex
	keys map[string]keyState
}

type keyState struct {
	running bool // the first request is being answered right now
	saved   answer
	expires time.Time
}

// claim returns what answers a request in place of serve, and what is to be
// called with the answer that the request got. A request without a key is served
// as if there were no keys. One whose key has a saved answer gets that, whatever
// it asks for itself, and one whose key is in use at this moment a 409.
func (k *idempotencyKeys) claim(header http.Header, serve func() answer) (func() answer, func(answer)) {
	nothing := func(answer) {}
	key := header.Get("Idempotency-Key")
	if key == "" {
		return serve, nothing
	}
	expires, err := keyExpiration(header)
	if err != nil {
		return refusal(http.StatusBadRequest, err.Error()), nothing
	}

	k.mu.Lock()
	defer k.mu.Unlock()
	state := k.keys[key]
	switch {
	case state.running:
		return refusal(http.StatusConflict, "a request with this Idempotency-Key is in progress"), nothing
	case time.Now().Before(state.expires):
		return func() answer { return state.saved }, nothing
	}
	if k.keys == nil {
		k.keys = make(map[string]keyState)
	}
	k.keys[key] = keyState{running: true}
	return serve, func(a answer) { k.finish(key, a, expires) }
}

// finish saves an answer under its key, or frees the key when the answer is not
// one to be saved. Saved are a success and a 500, which are what an endpoint
// itself says; any other status stands for a refusal before it (4xx) or for a
// gateway in front of it (502, 503, 504).
func (k *idempotencyKeys) finish(key string, a answer, expires time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if a.status/100 != 2 && a.status != http.StatusInternalServerError {
		delete(k.keys, key)
		return
	}
	k.keys[key] = keyState{saved: answer{status: a.status, body: a.body}, expires: expires}
}

// expirationSlack is how far an x-idempotency-expiration may be out of its
// bounds: a caller who asks for the shortest, 24 hours, is late by as long as the
// request takes.
const expirationSlack = time.Minute

// keyExpiration reads an x-idempotency-expiration: epoch milliseconds or ISO
// 8601 (in the form of RFC 3339), 24 hours to 1 year ahead. Without one a key
// lives for 24 hours.
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
