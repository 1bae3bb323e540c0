package main

import (
	"fmt"
	"slices"
	"strings"
)

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
