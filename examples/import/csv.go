package main

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	courier "github.com/courier-profiles/courier-go"
)

// csvSource reads rows of cells, with commas, semicolons or tabs between them
// (RFC 4180).
//
// It is not encoding/csv because of what real files hold: a quote that is never
// closed would have that read all the rest of the file into memory, as one cell.
// Here a malformed row costs its first line: that line is rejected, and the next
// row begins at the line behind it. What was inside the quotes is then taken for
// rows only where it has just as many cells as the header and no stray quotes.
type csvSource struct {
	*scanner
	comma   byte
	bom     bool // the file of rejects begins with a byte order mark
	decoded bool // from an encoding in which broken text becomes U+FFFD
	columns *columns
	spans   []span // of the row at hand
}

// csvOptions say how cells are read.
type csvOptions struct {
	bom       bool
	decoded   bool
	emptyNull bool // an empty cell removes the member
}

// rejectColumns are at the end of a file of rejects, which is read without them.
// The text is that of a row that has not a cell for each column.
var rejectColumns = []string{"line", "text", "reason"}

const byteOrderMark = "\uFEFF"

func newCSVSource(s *scanner, options csvOptions) (*csvSource, error) {
	c := &csvSource{scanner: s, bom: options.bom, decoded: options.decoded}
	for {
		line, err := s.firstLine()
		switch {
		case err != nil:
			return nil, err
		case line == nil:
			return nil, errors.New("the first line is longer than 4 MiB: this is no CSV file")
		case len(line) == 0:
			return nil, errors.New("the file is empty: it needs a line with the names of the columns")
		case len(bytes.TrimSpace(line)) > 0:
			return c, c.readHeader(options)
		}
		s.take(len(line))
	}
}

// readHeader finds the delimiter: the one with which there is an id column, and
// of several the one with the most columns.
func (c *csvSource) readHeader(options csvOptions) error {
	var (
		comma  byte
		header []string
		length int
		failed error
	)
	for _, c.comma = range []byte{',', ';', '\t'} {
		n, problem, err := c.scan()
		if err != nil {
			return err
		}
		if problem != "" {
			if failed == nil { // that of the commonest delimiter
				failed = errors.New(problem)
			}
			continue
		}
		names := cutOut(string(c.data()[:n]), c.spans)
		if hasID(names) && !hasID(header) || hasID(names) == hasID(header) && len(names) > len(header) {
			comma, header, length = c.comma, names, n
		}
	}
	line := c.line
	if header != nil {
		c.comma = comma
		c.take(length)
		c.columns, failed = newColumns(header, options.emptyNull)
	}
	if failed != nil {
		return fmt.Errorf("line %d, the names of the columns: %w", line, failed)
	}
	return nil
}

// next skips rows in which all cells are empty, blank lines among them.
func (c *csvSource) next() (row, error) {
	for {
		n, problem, err := c.scan()
		if err != nil {
			return row{}, err
		}
		r := row{original: original{line: c.line, size: n}, reason: problem}
		if problem == tooLong {
			err := c.takeLine()
			r.sum = c.sum()
			return r, err
		}
		text := string(c.data()[:n])
		if text == "" {
			return row{}, io.EOF
		}
		cells := cutOut(text, c.spans)
		r.size += 16 * len(cells) // a string each, even if it is empty
		c.take(n)
		if problem == "" && allBlank(cells) {
			continue
		}
		r.sum = c.sum()
		if problem == "" {
			r.reason = c.fit(&r.original, cells)
		}
		if r.cells == nil {
			r.text = strings.TrimSuffix(strings.TrimSuffix(text, "\n"), "\r")
		}
		if r.reason == "" {
			r.reason = c.update(&r)
		}
		return r, nil
	}
}

// fit gives the row its cells, or says why they are not one for each column.
// Further cells may be there if they are empty, as spreadsheets leave them.
func (c *csvSource) fit(r *original, cells []string) (problem string) {
	width := c.columns.width()
	if problem := checkWidth(cells, width); problem != "" {
		return problem
	}
	r.cells = cells[:width]
	if !c.columns.rejects {
		return ""
	}
	own := len(c.columns.header)
	r.cells, r.text = cells[:own], cells[own+1]
	if r.text == "" {
		return ""
	}
	if !allBlank(r.cells) {
		return `the row has cells and a text: fill in the cells, or mend the text, and empty the other`
	}
	// The row that is in the text.
	line := r.text
	if strings.HasSuffix(line, "\r") {
		line += "\r\n" // for it was not the end of the line, and must not be one now
	}
	spans, n, found := split([]byte(line), c.comma, true, nil)
	cells = cutOut(line, spans)
	switch {
	case found != whole:
		return string(found)
	case n < len(line):
		return "the text holds more than one row"
	}
	if problem := checkWidth(cells, own); problem != "" {
		return problem
	}
	r.cells, r.text = cells[:own], ""
	return ""
}

func checkWidth(cells []string, columns int) (problem string) {
	if len(cells) < columns || !allBlank(cells[columns:]) {
		return fmt.Sprintf("the row has %d cells, but there are %d columns", len(cells), columns)
	}
	return ""
}

// update makes the row's update, or says why there is none.
func (c *csvSource) update(r *row) (problem string) {
	for _, cell := range r.cells {
		switch {
		case !utf8.ValidString(cell):
			return notUTF8
		case c.decoded && strings.ContainsRune(cell, utf8.RuneError):
			return brokenText
		}
	}
	var members map[string]any
	r.userID, members, problem = c.columns.read(r.cells)
	r.profile = courier.Profile{Extra: members}
	return problem
}

func (c *csvSource) notes() []string { return c.columns.notes() }

func (c *csvSource) header() string {
	header := c.join(slices.Concat(c.columns.header, rejectColumns))
	if c.bom {
		return byteOrderMark + header
	}
	return header
}

func (c *csvSource) reject(o original, reason string) string {
	cells := make([]string, len(c.columns.header), len(c.columns.header)+len(rejectColumns))
	copy(cells, o.cells)
	return c.join(append(cells, strconv.Itoa(o.line), o.text, reason))
}

func (c *csvSource) join(cells []string) string {
	var b strings.Builder
	w := csv.NewWriter(&b)
	w.Comma = rune(c.comma)
	_ = w.Write(cells) // a Builder takes all
	w.Flush()
	return b.String()
}

// span is where a cell is in a row.
type span struct {
	start, end int
	quoted     bool
}

// cutOut returns the cells of the row that text begins with.
func cutOut(text string, spans []span) []string {
	cells := make([]string, len(spans))
	for i, s := range spans {
		cells[i] = text[s.start:s.end]
		if s.quoted {
			cells[i] = strings.ReplaceAll(cells[i], `""`, `"`)
		}
	}
	return cells
}

// scan finds the end of the next row. If there is a problem, n is the end of its
// first line.
func (c *csvSource) scan() (n int, problem string, err error) {
	for {
		var found found
		c.spans, n, found = split(c.data(), c.comma, c.eof, c.spans[:0])
		switch {
		case found == whole:
			return n, "", nil
		case found == unfinished && !c.full():
			if err := c.more(); err != nil {
				return 0, "", err
			}
			continue
		case found == unfinished:
			found = openQuote
		}
		c.spans = c.spans[:0]
		line, err := c.firstLine()
		if line == nil {
			return 0, tooLong, err
		}
		return len(line), string(found), nil
	}
}

// found is what split has found: a whole row, the beginning of one, or why there
// is none.
type found string

const (
	whole      found = ""
	unfinished found = "unfinished"
	bareQuote  found = `a cell holds a quote (") but does not begin with one: put the cell into quotes, and double each quote in it`
	strayQuote found = `a quoted cell goes on behind its closing quote ("): double each quote in it`
	openQuote  found = `a quote (") is opened and never closed`
)

// split splits the row at the beginning of data, and returns where it ends.
func split(data []byte, comma byte, eof bool, spans []span) ([]span, int, found) {
	for i := 0; ; {
		start := i
		if i < len(data) && data[i] == '"' {
			start++
			end := closingQuote(data, start)
			if end < 0 || end+1 == len(data) && !eof {
				if eof {
					return spans, 0, openQuote
				}
				return spans, 0, unfinished
			}
			spans = append(spans, span{start, end, true})
			i = end + 1
		} else {
			for i < len(data) && data[i] != comma && data[i] != '\n' {
				if data[i] == '"' {
					return spans, 0, bareQuote
				}
				i++
			}
			if i == len(data) && !eof {
				return spans, 0, unfinished
			}
			end := i
			if end > start && data[end-1] == '\r' && (i == len(data) || data[i] == '\n') {
				end--
			}
			spans = append(spans, span{start, end, false})
		}
		// Behind a cell.
		if i < len(data) && data[i] == '\r' {
			switch {
			case i+1 < len(data) && data[i+1] == '\n', i+1 == len(data) && eof:
				i++
			case i+1 == len(data):
				return spans, 0, unfinished
			}
		}
		switch {
		case i == len(data):
			return spans, i, whole
		case data[i] == '\n':
			return spans, i + 1, whole
		case data[i] != comma:
			return spans, 0, strayQuote
		}
		i++
	}
}

// closingQuote returns where the quote is that closes a cell which begins at i,
// or -1.
func closingQuote(data []byte, i int) int {
	for {
		next := bytes.IndexByte(data[i:], '"')
		if next < 0 {
			return -1
		}
		i += next
		if i+1 == len(data) || data[i+1] != '"' {
			return i
		}
		i += 2
	}
}

func allBlank(cells []string) bool {
	return !slices.ContainsFunc(cells, func(cell string) bool { return !isBlank(cell) })
}

// isBlank reports whether a cell counts as empty.
func isBlank(cell string) bool { return strings.TrimSpace(cell) == "" }
