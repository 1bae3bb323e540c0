package main

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"

	courier "github.com/courier-profiles/courier-go"
)

// columns says what the cells of a row are.
type columns struct {
	header    []string // as in the input, without the columns of a file of rejects
	rejects   bool     // the input is a file of rejects
	id        int      // index of the user ID
	members   []column
	unnamed   []int
	nulls     []string
	emptyNull bool
}

// column is a member of the profile.
type column struct {
	index int
	member
	names []string // the path, split
	known bool
}

// newColumns reads the column names. It refuses what would make every row wrong.
func newColumns(header []string, options csvOptions) (*columns, error) {
	for len(header) > 0 && isBlank(header[len(header)-1]) {
		header = header[:len(header)-1]
	}
	c := &columns{header: header, nulls: options.nulls, emptyNull: options.emptyNull}
	if own := len(header) - len(rejectColumns); own > 0 && slices.Equal(header[own:], rejectColumns) {
		c.header, c.rejects = header[:own], true
	}
	for i, name := range c.header {
		switch {
		case !utf8.ValidString(name):
			return nil, errors.New(notUTF8)
		case strings.Contains(strings.ReplaceAll(name, "\r\n", ""), "\r"):
			return nil, errors.New("a carriage return (CR) is in one: save the file with lines that end in LF or CRLF")
		case isBlank(name):
			c.unnamed = append(c.unnamed, i)
		}
	}
	if len(c.unnamed) == len(c.header) {
		return nil, errors.New("there are none")
	}
	var err error
	if c.id, err = findID(c.header, options.id); err != nil {
		return nil, err
	}
	claims, err := c.claims(options.columns)
	if err != nil {
		return nil, err
	}
	if err := settle(claims); err != nil {
		return nil, err
	}
	for _, claim := range claims {
		column, err := newColumn(claim)
		if err != nil {
			return nil, err
		}
		c.members = append(c.members, column)
	}
	return c, checkNesting(claims)
}

// newColumn refuses members that no cell can hold.
func newColumn(claim claim) (column, error) {
	path := strings.Join(claim.path, ".")
	m, isKnown := known().byPath[path]
	if !isKnown {
		m = member{path: path, field: -1}
	}
	switch m.kind {
	case kindObject:
		inner := known().example(path)
		return column{}, fmt.Errorf("%q is an object: name the column after one of its members, such as %s, or use -column %s",
			claim.name, inner, quoteShell(claim.name+"="+inner))
	case kindList:
		return column{}, fmt.Errorf("%q is a list, which no cell can hold: import it from NDJSON", claim.name)
	}
	return column{index: claim.index, member: m, names: claim.path, known: isKnown}, nil
}

// width is the number of cells of a full row.
func (c *columns) width() int {
	if c.rejects {
		return len(c.header) + len(rejectColumns)
	}
	return len(c.header)
}

// isEmpty reports whether a cell counts as empty.
func (c *columns) isEmpty(cell string) bool {
	return isBlank(cell) || len(c.nulls) > 0 && slices.Contains(c.nulls, strings.TrimSpace(cell))
}

func (c *columns) allEmpty(cells []string) bool {
	return !slices.ContainsFunc(cells, func(cell string) bool { return !c.isEmpty(cell) })
}

// read fills in the profile of a row that has a cell for each column, or says why
// there is none.
func (c *columns) read(cells []string, profile *courier.Profile) (problem string) {
	if c.isEmpty(cells[c.id]) {
		return noID
	}
	if problem := checkID(cells[c.id]); problem != "" {
		return problem
	}
	if c.repeatsHeader(cells) {
		return "the row repeats the column names"
	}
	for _, i := range c.unnamed {
		if !c.isEmpty(cells[i]) {
			return fmt.Sprintf("cell %d is not empty, but its column has no name", i+1)
		}
	}
	*profile = courier.Profile{}
	fields := reflect.ValueOf(profile).Elem()
	for i := range c.members {
		column := &c.members[i]
		cell := cells[column.index]
		isEmpty, value := c.isEmpty(cell), any(nil)
		switch {
		case isEmpty && !c.emptyNull:
			continue
		case isEmpty:
		case column.kind == kindBool:
			b, ok := parseBool(cell)
			if !ok {
				return fmt.Sprintf("%s is %.40q: use true or false", c.header[column.index], cell)
			}
			if column.field >= 0 {
				*fields.Field(column.field).Addr().Interface().(*courier.Field[bool]) = courier.Set(b)
				continue
			}
			value = b
		case column.field >= 0:
			*fields.Field(column.field).Addr().Interface().(*courier.Field[string]) = courier.Set(cell)
			continue
		default:
			value = cell
		}
		if profile.Extra == nil {
			profile.Extra = map[string]any{}
		}
		put(profile.Extra, column.names, value)
	}
	return ""
}

func (c *columns) repeatsHeader(cells []string) bool {
	if cells[c.id] != c.header[c.id] && strings.TrimSpace(cells[c.id]) != strings.TrimSpace(c.header[c.id]) {
		return false
	}
	return slices.EqualFunc(cells, c.header, func(cell, name string) bool { return strings.TrimSpace(cell) == strings.TrimSpace(name) })
}

// put sets a member, inside objects if its path leads there.
func put(members map[string]any, path []string, value any) {
	for _, name := range path[:len(path)-1] {
		inner, ok := members[name].(map[string]any)
		if !ok {
			inner = map[string]any{}
			members[name] = inner
		}
		members = inner
	}
	members[path[len(path)-1]] = value
}

func parseBool(cell string) (value, ok bool) {
	switch strings.ToLower(strings.TrimSpace(cell)) {
	case "true", "yes", "y", "1":
		return true, true
	case "false", "no", "n", "0":
		return false, true
	}
	return false, false
}

// notes tells of columns that may have been meant as something else.
func (c *columns) notes() []string {
	var notes, others []string
	if c.rejects {
		notes = append(notes, "This is a file of rejects: its last columns, line, text and reason, are not imported.")
	}
	taken := map[string]bool{}
	for _, column := range c.members {
		taken[column.path] = true
	}
	for _, column := range c.members {
		if column.known || column.names[0] == "custom" {
			continue
		}
		name := strings.TrimSpace(c.header[column.index])
		other := fmt.Sprintf("%.60q", name)
		if column.path != name {
			other += " as " + column.path
		}
		if close := known().suggest(column.path, taken); close != "" {
			other += " (did you mean " + close + "?)"
		}
		others = append(others, other)
	}
	if len(others) > 0 {
		notes = append(notes, "Columns unknown to Courier, kept under their own names: "+strings.Join(others, ", ")+".")
	}
	return notes
}

// quoted lists names.
func quoted(names []string) string {
	var list []string
	for _, name := range names {
		list = append(list, fmt.Sprintf("%.60q", name))
	}
	return strings.Join(list, ", ")
}
