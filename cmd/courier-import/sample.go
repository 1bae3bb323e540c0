package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/courier-profiles/courier-go/cmd/internal/job"
)

// sampleSize is how many records show what a file is like.
const sampleSize = 1000

// sample is what the first records of an input are like.
type sample struct {
	reader  reader
	records int
	columns []sampleColumn
}

type sampleColumn struct {
	filled int
	bad    bool // there is a value that cannot be a user ID
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
			result.add(&record)
		}
	}
	for len(result.columns) < len(r.names()) {
		result.columns = append(result.columns, sampleColumn{})
	}
	return result, nil
}

func (s *sample) add(r *record) {
	s.records++
	for len(s.columns) < len(s.reader.names()) {
		s.columns = append(s.columns, sampleColumn{values: map[string]bool{}})
	}
	for _, v := range r.values {
		c := &s.columns[v.column]
		text := v.text
		if text == "" && v.json != nil {
			var ok bool
			if text, ok = readID(v.json); !ok {
				c.bad = true
			}
		}
		if text == "" {
			continue
		}
		c.filled++
		c.bad = c.bad || checkID(text) != nil
		c.values[text] = true
	}
}

// candidates returns the names that can be the user ID because each record has
// another value, the likeliest first.
func (s *sample) candidates() []string {
	var names []string
	for i, name := range s.reader.names() {
		c := s.columns[i]
		if name.text != "" && !c.bad && s.records > 0 && len(c.values) == s.records &&
			!isSecret(name.text) && !name.update {
			names = append(names, name.text)
		}
	}
	slices.SortStableFunc(names, func(a, b string) int { return idScore(b) - idScore(a) })
	return names
}

// findID returns the name of the user ID, or an error with the way out.
func (s *source) findID(sample *sample, cmd *command) (string, error) {
	names := sample.reader.names()
	if s.o.id != "" {
		return s.givenID(names)
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
		return "", s.noID(sample, cmd)
	}
	if found[0] == found[1] {
		return "", fmt.Errorf("two columns are called %q: rename or remove one", found[0])
	}
	return "", fmt.Errorf("%q and %q are both the user ID: say which one is, such as\n\t%s",
		found[0], found[1], cmd.with("-id", found[1]))
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

func (s *source) givenID(names []name) (string, error) {
	var same []string
	for _, name := range names {
		if name.text == s.o.id {
			return name.text, nil
		}
		if fold(name.text) == fold(s.o.id) {
			same = append(same, name.text)
		}
	}
	if len(same) == 1 {
		return same[0], nil
	}
	return "", noColumn(fmt.Sprintf("%.60q, as -id says", s.o.id), names)
}

// noID says why there is no user ID, and what to type.
func (s *source) noID(sample *sample, cmd *command) error {
	if c, isCSV := sample.reader.(*csvReader); isCSV {
		if err := s.notNames(c, sample, cmd); err != nil {
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
		cmd.with("-id", candidates[0]))
}
