package main

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/courier-profiles/courier-go/cmd/internal/job"
)

// source is an input whose records can be read more than once.
type source struct {
	in     *input
	o      *readOptions
	layout layout // of CSV
}

// open begins a reading.
func (s *source) open() (reader, error) {
	r, err := s.read()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.in.name, err)
	}
	return r, nil
}

func (s *source) read() (reader, error) {
	scanner, text, err := s.scan()
	if err != nil {
		return nil, err
	}
	switch isJSON, err := beginsAsJSON(scanner); {
	case err != nil:
		return nil, err
	case isJSON:
		return newJSON(scanner, text, s.o)
	}
	c, err := newCSV(scanner, text, s.o)
	if err != nil {
		return nil, err
	}
	c.layout = &s.layout
	return c, nil
}

// scan returns the text, without the lines to skip.
func (s *source) scan() (*scanner, decoded, error) {
	unpacked, err := text(s.in.open(), s.in.path)
	if err != nil {
		return nil, decoded{}, err
	}
	text, err := decode(unpacked, s.o.encoding)
	if err != nil {
		return nil, decoded{}, err
	}
	scanner := newScanner(text)
	for range s.o.skip {
		if err := scanner.takeLine(); err != nil {
			return nil, decoded{}, err
		}
	}
	return scanner, text, nil
}

// beginsAsJSON decides between JSON and CSV by the content.
func beginsAsJSON(s *scanner) (bool, error) {
	begin := func() []byte { return bytes.TrimLeft(s.data(), " \t\r\n") }
	for !s.eof && !s.full() && len(begin()) < 512 {
		if err := s.more(); err != nil {
			return false, err
		}
	}
	switch first := begin(); {
	case bytes.HasPrefix(first, []byte{'{'}):
		return true, nil
	case bytes.HasPrefix(first, []byte{'['}):
		// Names of columns may be in brackets: [id],[email].
		inner := bytes.TrimLeft(first[1:], " \t\r\n")
		isValue := len(inner) > 0 && bytes.IndexByte([]byte(`{["]-0123456789`), inner[0]) >= 0
		return len(inner) == 0 || isValue, nil
	}
	return false, nil
}

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

// notNames recognizes a first line that does not name the columns.
func (s *source) notNames(c *csvReader, sample *sample, cmd *command) error {
	var cells []string
	for _, name := range c.columns {
		cells = append(cells, name.text)
	}
	if areNames(cells) {
		return nil
	}
	if n := s.findNames(c.at); n > 0 {
		add := []string{"-skip", fmt.Sprint(n - 1)}
		skipped := *s.o
		skipped.skip = n - 1
		below := &source{in: s.in, o: &skipped}
		if next, err := below.sample(); err == nil {
			var names []string
			for _, name := range next.reader.names() {
				names = append(names, name.text)
			}
			if found := next.candidates(); !hasID(names, s.o.id) && len(found) > 0 {
				add = append(add, "-id", found[0])
			}
		}
		return fmt.Errorf("line %d looks like the column names: -skip %d\n\t%s", n, n-1,
			cmd.with(add...))
	}
	if !areData(cells) {
		return nil
	}
	line := strings.Join(guessNames(cells, sample), string(c.comma))
	way := "add this line above it:\n\t" + line
	if hint := cmd.below(line, c.text); hint != "" {
		way += "\nor type\n\t" + hint
	}
	return fmt.Errorf("the first line is data, not column names: %s", way)
}

// areNames reports whether one of the cells is a name that is known.
func areNames(cells []string) bool {
	if areData(cells) {
		return false
	}
	return slices.ContainsFunc(cells, func(cell string) bool {
		_, _, isKnown := known().resolve(splitPath(cell))
		return isKnown || isID(cell) || idScore(cell) > 1
	})
}

// areData reports whether the cells have what no names have.
func areData(cells []string) bool {
	numbers, filled := 0, 0
	for _, cell := range cells {
		if isEmail(cell) {
			return true
		}
		if cell != "" {
			filled++
		}
		if cell != "" && strings.Trim(cell, "0123456789+-./: ") == "" {
			numbers++
		}
	}
	return numbers > 0 && 2*numbers >= filled
}

// findNames returns the number of the first line below that looks like the column
// names, or 0.
func (s *source) findNames(after int) int {
	const most = 50
	scanner, _, err := s.scan()
	if err != nil {
		return 0
	}
	for range most {
		line, err := scanner.firstLine()
		if err != nil || len(line) == 0 {
			return 0
		}
		number := scanner.line
		for _, comma := range []byte{',', ';', '\t', '|'} {
			spans, _, found := split(line, comma, true, false, nil)
			cells := cutOut(string(line), spans)
			if number > after && found == whole && len(cells) > 1 && areNames(cells) {
				return number
			}
		}
		scanner.take(len(line))
	}
	return 0
}

// guessNames makes names for the columns of a file without names.
func guessNames(cells []string, sample *sample) []string {
	names := make([]string, len(cells))
	hasID := false
	for i, cell := range cells {
		differ := i < len(sample.columns) && !sample.columns[i].bad &&
			len(sample.columns[i].values) == sample.records && !sample.columns[i].values[cell]
		switch {
		case isEmail(cell) && !slices.Contains(names, "email"):
			names[i] = "email"
		case strings.HasPrefix(cell, "+") && !slices.Contains(names, "phone_number"):
			names[i] = "phone_number"
		case !hasID && differ && cell != "":
			names[i], hasID = "id", true
		default:
			names[i] = fmt.Sprintf("column_%d", i+1)
		}
	}
	return names
}
