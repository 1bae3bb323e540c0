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
	keys map[keyID]*keyState
}

// keyID identifies a key: the same text at another endpoint is another key.
type keyID struct{ operation, userID, key string }

type keyState struct {
	running bool // the first request is in progress
	saved   response
	expires time.Time
}

// claim returns what to run in place of serve, and a function to call with the
// response that the request got. expiration is the header x-idempotency-expiration.
func (k *idempotencyKeys) claim(
	id keyID, expiration string, serve func() response,
) (func() response, func(response)) {
	nothing := func(response) {}
	if id.key == "" {
		return serve, nothing
	}
	reject := func(status int, message string) (func() response, func(response)) {
		return func() response { return errorResponse(status, message) }, nothing
	}
	expires, err := parseExpiration(expiration)
	if err != nil {
		return reject(http.StatusBadRequest, err.Error())
	}

	k.mu.Lock()
	defer k.mu.Unlock()
	state, ok := k.keys[id]
	if ok && state.running {
		return reject(http.StatusConflict, "a request with this Idempotency-Key is in progress")
	}
	if ok && time.Now().Before(state.expires) {
		saved := state.saved
		return func() response { return saved }, nothing
	}
	if k.keys == nil {
		k.keys = make(map[keyID]*keyState)
	}
	state = &keyState{running: true, expires: expires}
	k.keys[id] = state
	return serve, func(r response) { k.finish(state, r) }
}

// finish saves a success and a 500, which are what an endpoint itself returns. Other
// statuses come from before the endpoint (4xx) or from a gateway (502, 503, 504).
func (k *idempotencyKeys) finish(state *keyState, r response) {
	k.mu.Lock()
	defer k.mu.Unlock()
	state.running = false
	if r.status/100 == 2 || r.status == http.StatusInternalServerError {
		state.saved = response{status: r.status, body: r.body}
	} else {
		state.expires = time.Time{} // at once
	}
}

func (k *idempotencyKeys) clear() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.keys = nil
}

// defaultExpiration is how long a key lives without x-idempotency-expiration.
const defaultExpiration = 25 * time.Hour

// firstMilliseconds separates epoch seconds, which reach it in the year 5138, from epoch
// milliseconds, which reached it in 1973.
const firstMilliseconds = 100_000_000_000

// parseExpiration reads x-idempotency-expiration: epoch seconds, epoch milliseconds or
// an ISO 8601 time, as Courier's documentation has had each of them.
func parseExpiration(text string) (time.Time, error) {
	now := time.Now()
	if text == "" {
		return now.Add(defaultExpiration), nil
	}
	var expires time.Time
	number, err := strconv.ParseInt(text, 10, 64)
	switch {
	case err != nil:
		expires, err = time.Parse(time.RFC3339, text)
	case number < firstMilliseconds:
		expires = time.Unix(number, 0)
	default:
		expires = time.UnixMilli(number)
	}
	if err != nil {
		return time.Time{}, errors.New("x-idempotency-expiration must be " +
			"epoch seconds, epoch milliseconds or an ISO 8601 time")
	}
	if !expires.After(now) || expires.After(now.AddDate(1, 0, 0)) {
		return time.Time{}, errors.New("x-idempotency-expiration must be " +
			"in the future and at most 1 year ahead")
	}
	return expires, nil
}
