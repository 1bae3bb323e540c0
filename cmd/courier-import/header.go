package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// notNames recognizes a first line that does not name the columns.
func (s *source) notNames(c *csvReader, sample *sample) error {
	cells := c.cellsOfNames()
	isData := sample.isData(cells)
	if !isData && haveName(cells) {
		return nil
	}
	if n := s.findNames(c.at); n > 0 {
		add := []string{"-skip", fmt.Sprint(n - 1)}
		skipped := *s.o
		skipped.skip = n - 1
		below := &source{in: s.in, o: &skipped, command: s.command}
		if next, err := below.sample(); err == nil {
			var names []string
			for _, name := range next.reader.names() {
				names = append(names, name.text)
			}
			if found := next.candidates(); !hasID(names, s.o.id) && len(found) > 0 {
				add = append(add, below.idFlags(next, found[0])...)
			}
		}
		return fmt.Errorf("line %d looks like the column names: -skip %d\n\t%s", n, n-1,
			s.command.with(add...))
	}
	if !isData {
		return nil
	}
	return s.noNames(c, sample)
}

// isData reports whether the cells of the first line are data.
func (s *sample) isData(cells []string) bool {
	if s.hasAddress(cells) {
		return true
	}
	cells = slices.Clone(cells)
	for i, cell := range cells {
		c := &s.columns[i]
		switch {
		case cell != "" && nearlyAll(c.looks.emails, c.looks.values):
			return false // it is the name of addresses
		case isEmail(cell), isNumber(cell) && !c.hasLike(cell):
			cells[i] = "name"
		}
	}
	return areData(cells) && !haveName(cells)
}

// hasAddress reports whether a cell of the first line is an email address, and no
// name of a column: there are addresses below it.
func (s *sample) hasAddress(cells []string) bool {
	for i, cell := range cells {
		c := &s.columns[i]
		if isEmail(cell) && (c.looks.emails > 0 || c.filled == 0) {
			return true
		}
	}
	return false
}

// hasLike reports whether a value below a number is a number too, and a date or year
// if that is one, because names can be those.
func (c *sampleColumn) hasLike(number string) bool {
	for value := range c.values {
		if isNumber(value) && isYear(value) == isYear(number) &&
			(isDate(value) || !isDate(number)) {
			return true
		}
	}
	return c.filled == 0
}

func isNumber(text string) bool {
	return text != "" && strings.Trim(text, "0123456789+-./: ") == ""
}

func isYear(text string) bool {
	return isDate(text) && len(text) == 4 && (text[:2] == "19" || text[:2] == "20")
}

func (c *csvReader) cellsOfNames() []string {
	var cells []string
	for _, name := range c.columns {
		cells = append(cells, name.text)
	}
	return cells
}

// beginsWithData reports whether the line in which -id has found a name is data:
// it has an email address, or the name is like the values but for its digits.
func (s *sample) beginsWithData(cells []string, id int) bool {
	if s.hasAddress(cells) {
		return true
	}
	form := withoutDigits(cells[id])
	if form == cells[id] {
		return false
	}
	for value := range s.columns[id].values {
		if withoutDigits(value) == form {
			return true
		}
	}
	return false
}

func withoutDigits(text string) string {
	return strings.Map(func(r rune) rune {
		if '0' <= r && r <= '9' {
			return -1
		}
		return r
	}, text)
}

// noNames is the error for a file that begins with data.
func (s *source) noNames(c *csvReader, sample *sample) error {
	cells := c.cellsOfNames()
	names, unknown := guessNames(cells, sample)
	line := strings.Join(names, string(c.comma))
	way := "the first line is data, not column names"
	if len(unknown) > 0 {
		way += ".\nBelow, replace " + strings.Join(unknown, ", ") + " by names that Courier " +
			"knows, such as name or phone_number:\nunder any other name, a column is not sent"
	}
	way += ".\nAdd this line above it:\n\t" + line
	var flags []string
	if !slices.Contains(names, "id") && slices.Contains(names, "email") {
		flags = []string{"-id", "email"}
		way += "\nwith -id email"
	}
	if hint := s.command.below(line, flags, c); hint != "" {
		way += "\nor type\n\t" + hint
	}
	if s.o.id == "" && !sample.hasAddress(cells) { // but only numbers
		way += "\nIf it does name the columns, say which one holds the user IDs, with -id NAME"
	}
	return errors.New(way)
}

// haveName reports whether one of the cells is a name that is known.
func haveName(cells []string) bool {
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
		if isNumber(cell) {
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
			if number > after && found == whole && len(cells) > 1 &&
				!areData(cells) && haveName(cells) {
				return number
			}
		}
		scanner.take(len(line))
	}
	return 0
}

// guessNames makes names for the columns of a file without names. unknown are those
// that stand for another one. A user ID has digits, so that it is no name of people,
// and is no date.
func guessNames(cells []string, sample *sample) (names, unknown []string) {
	const most = 5
	for i, cell := range cells {
		c := &sample.columns[i]
		differ := !c.bad && int64(len(c.values)) == sample.records && !c.values[cell]
		name := fmt.Sprintf("column_%d", i+1)
		switch {
		case isEmail(cell) && !slices.Contains(names, "email"):
			name = "email"
		case strings.HasPrefix(cell, "+") && !slices.Contains(names, "phone_number"):
			name = "phone_number"
		case differ && withoutDigits(cell) != cell && !isDate(cell) && !slices.Contains(names, "id"):
			name = "id"
		case (cell != "" || c.filled > 0) && len(unknown) < most:
			unknown = append(unknown, name)
		}
		names = append(names, name)
	}
	return names, unknown
}
