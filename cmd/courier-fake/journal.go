package main

import (
	"bytes"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/courier-profiles/courier-go/couriertest"
)

// What a journal keeps. The page says so.
const (
	maxRequests = 500
	maxBytes    = 64 << 20 // of headers, bodies and profiles
)

// retryWindow is how long after a failure the same request counts as its retry.
const retryWindow = time.Minute

// journal keeps the latest requests, grouped by the call that they belong to.
type journal struct {
	mu       sync.Mutex
	calls    []call // in the order of their latest requests
	number   int    // of the latest request, kept or not
	total    int    // requests since the last clear, kept or not
	kept     int
	bytes    int
	watchers map[chan struct{}]bool
}

// call is a request and its retries, oldest first. Neither the slice nor its entries
// are changed later, so that a copy of the call stays as it is.
type call []*entry

// entry is a request with its number, from 1, and which attempt of its call it is, also
// from 1.
type entry struct {
	Number, Attempt int
	key             string // Idempotency-Key
	couriertest.Exchange
}

func (c call) latest() *entry { return c[len(c)-1] }

// add records a request.
func (j *journal) add(exchange couriertest.Exchange) {
	exchange.Request.JSON = nil // takes many times the memory of Body, which has it all
	j.mu.Lock()
	defer j.mu.Unlock()
	j.number++
	j.total++
	added := &entry{
		Number: j.number, Attempt: 1,
		key: exchange.Request.Header.Get("Idempotency-Key"), Exchange: exchange,
	}
	attempts := call{added}
	for i, earlier := range slices.Backward(j.calls) {
		if latest := earlier.latest(); belongs(added, latest) {
			added.Attempt = latest.Attempt + 1
			attempts = append(slices.Clone(earlier), added)
			j.calls = slices.Delete(j.calls, i, i+1)
			break
		}
	}
	j.calls = append(j.calls, attempts)
	j.kept++
	j.bytes += added.size()
	for j.kept > maxRequests || j.bytes > maxBytes && j.kept > 1 {
		j.removeOldest()
	}
	j.changed()
}

// removeOldest forgets the oldest request of the call that had none for longest.
func (j *journal) removeOldest() {
	oldest := j.calls[0]
	j.kept--
	j.bytes -= oldest[0].size()
	if len(oldest) > 1 {
		j.calls[0] = slices.Clone(oldest[1:]) // a slice of it would keep oldest[0] in memory
		return
	}
	j.calls[0] = nil // the array behind the slice still refers to it
	j.calls = j.calls[1:]
}

// size returns about how much memory a request takes.
func (e *entry) size() int {
	return len(e.Request.Path) + len(e.Request.UserID) + valuesSize(e.Request.Query) +
		valuesSize(e.Request.Header) + len(e.Request.Body) +
		valuesSize(e.ResponseHeader) + len(e.ResponseBody) + len(e.Before) + len(e.After)
}

// valuesSize returns about how much memory a header or query takes.
func valuesSize(values map[string][]string) int {
	const stringSize = 16
	size := 0
	for name, list := range values {
		size += stringSize + len(name)
		for _, value := range list {
			size += stringSize + len(value)
		}
	}
	return size
}

// belongs reports whether a request is part of the same call as an earlier one: it has
// the same idempotency key, or it repeats a request that a client would retry.
func belongs(e, earlier *entry) bool {
	now, then := &e.Request, &earlier.Request
	if now.Path != then.Path || now.Method != then.Method || e.key != earlier.key {
		return false
	}
	if e.key != "" {
		return true
	}
	pause := e.Start.Sub(earlier.Start.Add(earlier.Duration))
	return retried(then.Status) && pause >= 0 && pause < retryWindow &&
		now.Query.Encode() == then.Query.Encode() && bytes.Equal(now.Body, then.Body)
}

// retried reports whether clients retry after a status. 0 is no response.
func retried(status int) bool {
	switch status {
	case 0, http.StatusRequestTimeout, http.StatusConflict, http.StatusTooManyRequests:
		return true
	default:
		return status >= 500
	}
}

// snapshot returns the calls, latest first, and how many requests there have been since
// the last clear and how many of them are kept.
func (j *journal) snapshot() (calls []call, total, kept int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	calls = slices.Clone(j.calls)
	slices.Reverse(calls)
	return calls, j.total, j.kept
}

// clear forgets all requests. Numbers go on.
func (j *journal) clear() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.calls, j.total, j.kept, j.bytes = nil, 0, 0, 0
	j.changed()
}

// watch returns a channel that gets a value after changes: one value for all changes
// since the last one. stop ends that.
func (j *journal) watch() (changed <-chan struct{}, stop func()) {
	j.mu.Lock()
	defer j.mu.Unlock()
	watcher := make(chan struct{}, 1)
	if j.watchers == nil {
		j.watchers = make(map[chan struct{}]bool)
	}
	j.watchers[watcher] = true
	return watcher, func() {
		j.mu.Lock()
		defer j.mu.Unlock()
		delete(j.watchers, watcher)
	}
}

// notify tells the watchers that something else than the requests changed.
func (j *journal) notify() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.changed()
}

// changed tells the watchers. The caller holds the lock.
func (j *journal) changed() {
	for watcher := range j.watchers {
		select {
		case watcher <- struct{}{}:
		default: // it has not read the last one yet
		}
	}
}
