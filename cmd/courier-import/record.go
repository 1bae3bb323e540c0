package main

import (
	"encoding/json"
	"fmt"
)

// maxRecord is the longest record that is read, in bytes. A longer one is rejected.
const maxRecord = 4 << 20

// record is a row of CSV or an object of JSON.
type record struct {
	line    int      // of the input, from 1
	values  []value  // in the order of the input
	cells   []string // of CSV, if the row has a cell for each column
	text    string   // if it does not, or if it is JSON
	size    int      // in bytes of memory, roughly
	problem *problem // why it cannot be used

	// wasBroken says that it was rejected because of U+FFFD, which had been broken in the
	// encoding of the input. Elsewhere U+FFFD is text of a UTF-8 input.
	wasBroken bool

	// lacks is the name of the user ID, if a JSON object has no such member.
	lacks string
}

// value is a value of a record, under a name.
type value struct {
	column int             // index in names()
	text   string          // of CSV, and of a JSON string
	json   json.RawMessage // of JSON only
}

// isText reports whether the value is that of a CSV cell or a JSON string.
func (v *value) isText() bool { return v.json == nil || v.json[0] == '"' }

// name is the name of a column, or of a member of JSON objects.
type name struct {
	text string   // as people write it: a column name, or the path with dots
	path []string // of JSON: the members that lead to it
	// update says that it is a member of profile in {"user_id": …, "profile": {…}}.
	update bool
}

// reader reads the records of an input.
type reader interface {
	// next returns the next record, and io.EOF after the last one. What it returns
	// is valid until the next call.
	next() (record, error)
	// names are those of all records that were read. The list only grows.
	names() []name
	// header is how a file of rejects begins.
	header() string
	// reject returns a record as a file of rejects holds it. Imported unchanged, it
	// is rejected again.
	reject(r record, reason string) string
}

// problem is why a record is rejected.
type problem struct {
	kind   string // for the plan, which counts problems by kind
	detail string // for the file of rejects; or else the kind
	advice string // for the plan, from the first record of that kind
}

func (p *problem) String() string {
	if p.detail != "" {
		return p.detail
	}
	return p.kind
}

// wrong returns a problem of that kind only.
func wrong(kind string) *problem { return &problem{kind: kind} }

// wrongly returns a problem whose detail has a value of the record.
func wrongly(kind, detail string, args ...any) *problem {
	return &problem{kind: kind, detail: fmt.Sprintf(detail, args...)}
}

// Problems of both formats.
var (
	tooLong = wrong("the record is longer than 4 MiB: it is in the input only")
	notUTF8 = wrong("the record is not UTF-8: save the file as UTF-8, or name its encoding, " +
		"such as -encoding windows-1252")
	brokenText = wrong("the record holds text that is broken in the input's encoding, " +
		"shown as \uFFFD")
	noID  = wrong("the record has no user ID")
	notID = wrong("the user ID is not a string or an integer")
)
