package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// How much of a text the page shows, in bytes.
const (
	maxText = 100_000 // of a body or profile
	maxName = 200     // of a user ID or path in a list
)

// maxIndentation is how many bytes indentation may add to a body.
const maxIndentation = 10 << 20

// pretty returns a body for people: JSON is indented, and anything else stays as it is.
func pretty(body []byte) string {
	return cut(strings.ToValidUTF8(indented(body, ""), "\uFFFD"))
}

// indented returns JSON with each member on a line of its own. Anything else, and what
// indentation would make too large, stays as it is.
func indented(value []byte, prefix string) string {
	depth, deepest := 0, 0
	for _, b := range value {
		switch b {
		case '{', '[':
			depth++
			deepest = max(deepest, depth)
		case '}', ']':
			depth--
		}
	}
	var text bytes.Buffer
	if len(value)*deepest > maxIndentation || json.Indent(&text, value, prefix, "  ") != nil {
		return string(value)
	}
	return text.String()
}

// cut shortens a text that is too long for the page, and says so.
func cut(text string) string {
	if len(text) <= maxText {
		return text
	}
	shown := beginning(text, maxText)
	return fmt.Sprintf("%s\n… the first %d of %d bytes", shown, len(shown), len(text))
}

// short shortens a user ID or path that is too long for a list.
func short(name string) string {
	if len(name) <= maxName {
		return name
	}
	return beginning(name, maxName) + "…"
}

// beginning returns whole characters of a longer text, at most size bytes.
func beginning(text string, size int) string {
	for size > 0 && !utf8.RuneStart(text[size]) {
		size--
	}
	return text[:size]
}

// line is a line of a profile. A request changed the marked ones.
type line struct {
	Text   string
	Marked bool
}

// maxDepth is how deep profiles are compared. An object below it is marked as a whole.
const maxDepth = 20

// compare returns a profile line by line. The members that other does not have, or has
// with another value, are marked.
func compare(profile, other json.RawMessage) []line {
	w := &lineWriter{}
	w.add("{", false)
	w.members(1, members(profile), members(other))
	w.add("}", false)
	return w.lines
}

type lineWriter struct {
	lines []line
	size  int
}

func (w *lineWriter) members(depth int, object, other map[string]json.RawMessage) {
	indent := strings.Repeat("  ", depth)
	names := slices.Sorted(maps.Keys(object))
	for i, name := range names {
		if w.size > maxText {
			return
		}
		comma := ","
		if i == len(names)-1 {
			comma = ""
		}
		label := indent + quote(name) + ": "
		value, otherValue := object[name], other[name]
		same := bytes.Equal(value, otherValue) // couriertest writes equal values alike
		inner, otherInner := members(value), members(otherValue)
		if !same && inner != nil && otherInner != nil && depth < maxDepth {
			w.add(label+"{", false)
			w.members(depth+1, inner, otherInner)
			w.add(indent+"}"+comma, false)
			continue
		}
		w.add(label+indented(value, indent)+comma, !same)
	}
}

// add adds the lines of a text, up to maxText in all.
func (w *lineWriter) add(text string, marked bool) {
	switch {
	case w.size > maxText:
		return
	case w.size+len(text) > maxText:
		text, marked = "… the profile is longer than the page shows", false
		w.size = maxText
	}
	w.size += len(text)
	for part := range strings.SplitSeq(text, "\n") {
		w.lines = append(w.lines, line{part, marked})
	}
}

// members returns the members of a JSON object, or nil for anything else.
func members(value json.RawMessage) map[string]json.RawMessage {
	if len(value) == 0 || value[0] != '{' {
		return nil
	}
	var object map[string]json.RawMessage
	_ = json.Unmarshal(value, &object) // it is JSON
	return object
}

func quote(name string) string {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false) // html/template escapes
	_ = encoder.Encode(name)     // a string has no error
	return strings.TrimSuffix(text.String(), "\n")
}
