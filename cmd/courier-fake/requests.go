package main

import (
	"bytes"
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/courier-profiles/courier-go/cmd/internal/job"
)

// requestRow is a request in the list.
type requestRow struct {
	Number            int
	Time              time.Time
	Operation, UserID string
	Status            string
	Failed            bool
	Duration          string
	Attempt           int // from 1
	Selected          bool
}

// requestList is the content of the page of requests.
type requestList struct {
	Calls    [][]requestRow
	Count    string // how many there are, and how many of them are listed
	Selected *requestDetail
	Missing  string // the selected number, if that request is not kept
}

// requestDetail is the selected request.
type requestDetail struct {
	requestRow
	Method, Path   string
	Header         []string
	Body           string
	ResponseHeader []string
	ResponseBody   string
	Changed        bool
	HasBefore      bool
	HasAfter       bool
	Before, After  []line
}

func (p *page) requests(w http.ResponseWriter, r *http.Request) {
	calls, total, kept := p.journal.snapshot()
	list := requestList{Count: counts(kept, total, "latest"), Missing: r.FormValue("request")}
	selected, _ := strconv.Atoi(list.Missing)
	for _, call := range calls {
		var rows []requestRow
		for _, e := range slices.Backward(call) {
			row := newRequestRow(e)
			if row.Selected = e.Number == selected; row.Selected {
				list.Selected, list.Missing = newRequestDetail(row, e), ""
			}
			rows = append(rows, row)
		}
		list.Calls = append(list.Calls, rows)
	}
	p.show(w, r, http.StatusOK, view{Page: "requests", Title: "Requests", Content: list})
}

// counts says how many of something there are, and how many of them are shown.
func counts(shown, all int, which string) string {
	if shown == all {
		return job.Number(int64(all))
	}
	return fmt.Sprintf("the %s %s of %s", which, job.Number(int64(shown)),
		job.Number(int64(all)))
}

func newRequestRow(e *entry) requestRow {
	r := e.Request
	return requestRow{
		Number: e.Number, Time: e.Start, Attempt: e.Attempt,
		Operation: cmp.Or(r.Operation, r.Method+" "+r.Path), UserID: r.UserID,
		Status: statusText(r.Status), Failed: r.Status < 200 || r.Status > 299,
		Duration: e.Duration.Round(10 * time.Microsecond).String(),
	}
}

func newRequestDetail(row requestRow, e *entry) *requestDetail {
	path := e.Request.Path
	if query := e.Request.Query.Encode(); query != "" {
		path += "?" + query
	}
	return &requestDetail{
		requestRow: row, Method: e.Request.Method, Path: cut(path),
		Header: headerLines(e.Request.Header), Body: pretty(e.Request.Body),
		ResponseHeader: headerLines(e.ResponseHeader), ResponseBody: pretty(e.ResponseBody),
		Changed:   !bytes.Equal(e.Before, e.After),
		HasBefore: e.Before != nil, HasAfter: e.After != nil,
		Before: compare(e.Before, e.After), After: compare(e.After, e.Before),
	}
}

// headerLines returns a header without the API key.
func headerLines(header http.Header) []string {
	var lines []string
	for name, values := range header {
		for _, value := range values {
			if name == "Authorization" {
				value = "(hidden)"
			}
			lines = append(lines, name+": "+strings.ToValidUTF8(value, "\uFFFD"))
		}
	}
	slices.Sort(lines)
	return lines
}
