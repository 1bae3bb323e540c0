package couriertest

import (
	"bytes"
	"encoding/json"
	"net/http"
	"time"
)

// Exchange is a request, its response, and what it changed. It is a copy: changing it
// changes nothing else.
type Exchange struct {
	// Request is the request. Its Status is that of the response, or 0 if the
	// connection is closed instead.
	Request Request

	// ResponseHeader and ResponseBody are the response, nil if the connection is
	// closed instead. With [Fault.CutOff] only half of the body is sent.
	ResponseHeader http.Header
	ResponseBody   []byte

	// Start is when the request arrived, and Duration the time from then until its
	// response was known. That includes the time to read the body and a
	// [Fault.Delay].
	Start    time.Time
	Duration time.Duration

	// Before and After are the user's profile before and after this request, without
	// what concurrent requests changed, as [Handler.ProfileJSON] returns it. They
	// are nil where the user has no profile, and equal if the request changed
	// nothing.
	Before, After json.RawMessage
}

// exchange returns what OnRequest is called with.
func (h *Handler) exchange(r Request, number int, resp response, start time.Time) Exchange {
	e := Exchange{Request: r.copy(), Start: start, Duration: time.Since(start)}
	if !resp.lost {
		e.ResponseHeader = resp.headers(number).Clone()
		e.ResponseBody = bytes.Clone(resp.body)
	}
	changed := resp.change
	if changed == nil {
		profile, _ := h.store.profile(r.UserID)
		changed = &change{profile, profile}
	}
	e.Before, e.After = profileText(changed.before), profileText(changed.after)
	return e
}
