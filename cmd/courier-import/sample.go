package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/courier-profiles/courier-go/cmd/internal/job"
)

// sampleSize is how many records show what a file is like.
const sampleSize = 1000

// longestID bounds the values that a sample holds, in bytes.
const longestID = 512

// sample is what the first records of an input are like.
type sample struct {
	reader  reader
	records int64
	columns []sampleColumn
}

type sampleColumn struct {
	columnSurvey
	bad    bool  // there is a value that cannot be a user ID
	texts  int64 // values with a space in them, and dates
	values map[string]bool
}

// sample reads the first records.
func (s *source) sample() (*sample, error) {
	r, err := s.open()
	if err != nil {
		return nil, err
	}
	result := &sample{reader: r}
	for result.records < sampleSize {
		record, err := r.next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.in.name, err)
		}
		if record.problem == nil {
			result.add(&record, s.o)
		}
	}
	for len(result.columns) < len(r.names()) {
		result.columns = append(result.columns, sampleColumn{})
	}
	return result, nil
}

func (s *sample) add(r *record, o *readOptions) {
	s.records++
	for len(s.columns) < len(s.reader.names()) {
		s.columns = append(s.columns, sampleColumn{values: map[string]bool{}})
	}
	for _, v := range r.values {
		c := &s.columns[v.column]
		text := v.text
		if text == "" && v.json != nil && string(v.json) != "null" {
			var ok bool
			if text, ok = readID(v.json); !ok {
				c.bad = true
			}
		}
		if text == "" || o.isEmpty(text) {
			continue
		}
		c.filled++
		c.look(text)
		if isNull(text) {
			continue
		}
		if len(text) > longestID {
			c.bad = true
			continue
		}
		c.bad = c.bad || checkID(text) != nil
		c.values[strings.Clone(text)] = true // without the record that it is part of
		if strings.Contains(text, " ") || isDate(text[:min(len(text), len(time.DateOnly))]) {
			c.texts++
		}
	}
}

// candidates returns the names that can be the user ID because all values differ,
// the likeliest first. An email address may be missing in some records.
func (s *sample) candidates() []string {
	type candidate struct {
		name  string
		score int
	}
	var found []candidate
	for i, name := range s.reader.names() {
		c := &s.columns[i]
		score := idScore(name.text)
		isEmail := c.looks.member(name.text) == "email"
		if isEmail {
			score = max(score, 1)
		}
		isRowNumber := name.text == "#" && c.values["1"]
		switch {
		case name.text == "", name.update, isRowNumber:
		case isSensitive(name.text) && fold(name.text) != "key":
		case c.bad, len(c.values) == 0, int64(len(c.values)) < c.looks.values:
		case c.looks.values < s.records && !isEmail:
		case nearlyAll(c.texts, c.looks.values), score == 0 && describes(name.text):
		default:
			found = append(found, candidate{name.text, score})
		}
	}
	slices.SortStableFunc(found, func(a, b candidate) int { return b.score - a.score })
	var names []string
	for _, c := range found {
		names = append(names, c.name)
	}
	return names
}

// otherID returns the name of another column that is called like user IDs and can be
// them, or "".
func (s *sample) otherID(name string) string {
	for _, other := range s.candidates() {
		if other != name && idScore(other) > 0 {
			return other
		}
	}
	return ""
}

// findID returns the name of the user ID, or an error with the way out.
func (s *source) findID(sample *sample) (string, error) {
	names := sample.reader.names()
	if s.o.id != "" {
		return s.givenID(sample)
	}
	var exact, inexact []string
	for _, name := range names {
		switch {
		case name.update:
		case name.text == "id" || name.text == "user_id":
			exact = append(exact, name.text)
		case isID(name.text):
			inexact = append(inexact, name.text)
		}
	}
	found := exact
	if len(exact) == 0 {
		found = inexact
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return "", s.noID(sample)
	}
	if found[0] == found[1] {
		return "", fmt.Errorf("two columns are called %q: rename or remove one", found[0])
	}
	return "", fmt.Errorf("%q and %q are both the user ID: say which one is, such as\n\t%s",
		found[0], found[1], s.command.with("-id", found[1]))
}

// checkNulls refuses -null NAME=value, which no cell would be equal to.
func (o *readOptions) checkNulls(names []name) error {
	for _, null := range o.nulls {
		column, value, found := strings.Cut(null, "=")
		if !found || !slices.ContainsFunc(names, func(n name) bool {
			return n.text != "" && fold(n.text) == fold(column)
		}) {
			continue
		}
		value = job.Quote(value)
		return fmt.Errorf("-null %s names a column: write -null %s, which counts %s as empty "+
			"in every column", job.Quote(null), value, value)
	}
	return nil
}

// givenID returns the name that -id gives.
func (s *source) givenID(sample *sample) (string, error) {
	names := sample.reader.names()
	c, isCSV := sample.reader.(*csvReader)
	i := findName(names, s.o.id)
	switch {
	case i < 0 && isCSV:
		if err := s.notNames(c, sample); err != nil {
			return "", err
		}
	case i >= 0 && isCSV && sample.beginsWithData(c.cellsOfNames(), i):
		return "", s.noNames(c, sample)
	}
	if i < 0 {
		return "", noColumn(fmt.Sprintf("%.60q, as -id says", s.o.id), names)
	}
	return names[i].text, nil
}

// findName returns the index of a name, in another spelling if only one has that,
// or -1.
func findName(names []name, text string) int {
	similar, n := -1, 0
	for i, name := range names {
		if name.text == text {
			return i
		}
		if fold(name.text) == fold(text) {
			similar = i
			n++
		}
	}
	if n > 1 {
		return -1
	}
	return similar
}

// noID says why there is no user ID, and what to type.
func (s *source) noID(sample *sample) error {
	if c, isCSV := sample.reader.(*csvReader); isCSV {
		if err := s.notNames(c, sample); err != nil {
			return err
		}
	}
	err := noColumn("id or user_id", sample.reader.names())
	candidates := sample.candidates()
	if len(candidates) == 0 {
		return fmt.Errorf("%w. Say which one holds the user IDs, with -id NAME", err)
	}
	if len(candidates) > 1 {
		err = fmt.Errorf("%w.\nThe values are all different in %s", err, quoted(candidates))
	}
	return fmt.Errorf("%w.\nSay which one holds the user IDs, such as\n\t%s", err,
		s.command.with(s.idFlags(sample, candidates[0])...))
}

// idFlags are the flags that make a column the user ID, and that send the contacts.
func (s *source) idFlags(sample *sample, id string) []string {
	flags := []string{"-id", id}
	p := newPlan(sample.reader, id, s.o)
	if p.extend() != nil { // it is reported once the ID is known
		return flags
	}
	for i, c := range p.columns {
		c.survey = sample.columns[i].columnSurvey
	}
	return append(flags, contactFlags(p.contacts())...)
}
