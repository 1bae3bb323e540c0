package main

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/courier-profiles/courier-go/couriertest"
)

// maxDelay is the longest delay that the page sets.
const maxDelay = time.Minute

// faultForm is the form of the page, as it was filled in.
type faultForm struct {
	Count, UserID, Response, Status, RetryAfter, Delay string
}

// Values of faultForm.Response.
const (
	respondStatus = "status"
	respondNormal = "normal"
	respondCutOff = "cutoff"
	respondReset  = "reset"
)

// emptyFaultForm is the form with its defaults.
func emptyFaultForm() faultForm {
	return faultForm{Count: "1", Response: respondStatus, Status: "503"}
}

func readFaultForm(values url.Values) faultForm {
	return faultForm{
		Count: values.Get("count"), UserID: values.Get("user"),
		Response: values.Get("response"), Status: values.Get("status"),
		RetryAfter: strings.TrimSpace(values.Get("retry-after")),
		Delay:      values.Get("delay"),
	}
}

// faults returns the faults that the form describes.
func (f faultForm) faults() ([]couriertest.Fault, error) {
	count, err := number(f.Count, 1, 1000)
	if err != nil {
		return nil, fmt.Errorf("requests: %w", err)
	}
	fault := couriertest.Fault{RetryAfter: f.RetryAfter}
	switch f.Response {
	case respondStatus:
		if fault.Status, err = number(f.Status, 200, 599); err != nil {
			return nil, fmt.Errorf("status: %w", err)
		}
	case respondNormal:
	case respondCutOff:
		fault.CutOff = true
	case respondReset:
		fault.Reset = true
	default:
		return nil, errors.New("response: choose one")
	}
	if fault.Reset && f.RetryAfter != "" {
		return nil, errors.New("leave Retry-After empty, a reset sends no response")
	}
	delay, err := number(cmp.Or(f.Delay, "0"), 0, int(maxDelay.Milliseconds()))
	if err != nil {
		return nil, fmt.Errorf("delay: %w", err)
	}
	fault.Delay = time.Duration(delay) * time.Millisecond
	if reflect.DeepEqual(fault, couriertest.Fault{}) {
		return nil, errors.New("this changes nothing: choose another response or a delay")
	}
	return slices.Repeat([]couriertest.Fault{fault}, count), nil
}

func number(text string, least, most int) (int, error) {
	n, err := strconv.Atoi(strings.TrimSpace(text))
	if err != nil || n < least || n > most {
		return 0, fmt.Errorf("use a number from %d to %d", least, most)
	}
	return n, nil
}

// faultQueue is what the page shows of the faults of a user, or of all if UserID is "".
type faultQueue struct {
	UserID string
	Faults []string
}

// faultQueues returns the faults that are set, and their number.
func faultQueues(set map[string][]couriertest.Fault) (queues []faultQueue, count int) {
	for _, userID := range slices.Sorted(maps.Keys(set)) {
		queue := faultQueue{UserID: userID}
		faults := set[userID]
		count += len(faults)
		for len(faults) > 0 {
			same := 1
			for same < len(faults) && reflect.DeepEqual(faults[same], faults[0]) {
				same++
			}
			queue.Faults = append(queue.Faults, describe(faults[0], same))
			faults = faults[same:]
		}
		queues = append(queues, queue)
	}
	return queues, count
}

// describe says what the next n requests get.
func describe(f couriertest.Fault, n int) string {
	var what []string
	switch {
	case f.Reset:
		what = append(what, "connection reset")
	case f.Status != 0:
		what = append(what, statusText(f.Status))
	default:
		what = append(what, "the normal response")
	}
	if f.CutOff {
		what = append(what, "cut off halfway")
	}
	if f.RetryAfter != "" {
		what = append(what, "Retry-After: "+f.RetryAfter)
	}
	if f.Delay > 0 {
		what = append(what, "after "+f.Delay.String())
	}
	requests := "1 request"
	if n > 1 {
		requests = fmt.Sprintf("%d requests", n)
	}
	return requests + ": " + strings.Join(what, ", ")
}

// statusText returns a status for people. 0 is no response.
func statusText(status int) string {
	if status == 0 {
		return "no response"
	}
	return strings.TrimSpace(fmt.Sprint(status, " ", http.StatusText(status)))
}

// faultList is the content of the page of faults.
type faultList struct {
	Queues []faultQueue
	Form   faultForm
	Error  string
}

func (p *page) faults(w http.ResponseWriter, r *http.Request) {
	form := emptyFaultForm()
	form.UserID = r.FormValue("user")
	p.showFaults(w, r, http.StatusOK, faultList{Form: form})
}

func (p *page) showFaults(w http.ResponseWriter, r *http.Request, status int, list faultList) {
	list.Queues, _ = faultQueues(p.fake.Faults())
	p.show(w, r, status, view{Page: "faults", Title: "Faults", Content: list})
}

func (p *page) setFaults(w http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm() // what cannot be read is missing, and refused
	form := readFaultForm(r.PostForm)
	faults, err := form.faults()
	if err != nil {
		list := faultList{Form: form, Error: err.Error()}
		p.showFaults(w, r, http.StatusUnprocessableEntity, list)
		return
	}
	p.fake.FailUser(form.UserID, faults...)
	p.journal.notify()
	http.Redirect(w, r, "/ui/faults", http.StatusSeeOther)
}

func (p *page) removeFaults(w http.ResponseWriter, r *http.Request) {
	p.fake.ClearFaults(r.PostFormValue("user"))
	p.journal.notify()
	http.Redirect(w, r, "/ui/faults", http.StatusSeeOther)
}
