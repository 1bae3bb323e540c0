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
)

// readOptions are the flags that say how records are read.
type readOptions struct {
	encoding  string
	skip      int
	list      string // of JSON: the path of the list with the records
	id        string
	columns   []mapping
	nulls     []string // values that count as empty
	emptyNull bool     // an empty value removes the member
	rest      string   // "", "own" or "custom"
}

// isEmpty reports whether a value counts as empty.
func (o *readOptions) isEmpty(text string) bool {
	text = strings.TrimSpace(text)
	return text == "" || slices.Contains(o.nulls, text)
}

func (o *readOptions) allEmpty(cells []string) bool {
	return !slices.ContainsFunc(cells, func(cell string) bool { return !o.isEmpty(cell) })
}

// csvReader reads rows of cells (RFC 4180), with a comma, semicolon, tab or bar
// between them.
//
// It does not use encoding/csv, which reads a quote that is never closed to the end
// of the file, into memory, as one cell. Here a malformed row costs its first line:
// that line is rejected, and reading resumes at the next line. Until a full row
// shows that reading is back in sync, rules are strict, so that no line of a broken
// quoted cell is taken for a row.
type csvReader struct {
	*scanner
	*readOptions
	text    decoded
	comma   byte
	sep     bool // the input names its delimiter, and so does the file of rejects
	columns []name
	line1   string // the line with the column names, as in the input
	at      int    // its number
	rejects bool   // the input is a file of rejects
	layout  *layout

	spans  []span // of the current row
	values []value
	strict bool
}

// layout is what is known of all rows of a CSV file. The check finds it out.
type layout struct {
	rows    int // that could be split into cells
	extra   int // empty cells that each row has beyond the columns
	assumed int // what extra was for the first row
	// wider counts rows with one cell more than there are columns.
	wider int
	known bool // a check has seen all rows
}

// rejectColumns are at the end of a file of rejects. The text is that of a row
// that could not be split into the columns.
var rejectColumns = []string{"line", "text", "reason"}

func newCSV(s *scanner, text decoded, o *readOptions) (*csvReader, error) {
	c := &csvReader{scanner: s, readOptions: o, text: text, layout: &layout{}}
	for {
		line, err := s.firstLine()
		switch {
		case err != nil:
			return nil, err
		case line == nil:
			return nil, errors.New("the first line is longer than 4 MiB: this is not a CSV file")
		case len(line) == 0 && o.skip > 0:
			return nil, fmt.Errorf("the file has no line after -skip %d", o.skip)
		case len(line) == 0:
			return nil, errors.New("the file is empty: it needs a line with the column names")
		}
		comma, isSep := separator(line)
		switch {
		case isSep && !c.sep:
			c.comma, c.sep = comma, true
		case len(bytes.TrimSpace(line)) > 0:
			return c, c.readHeader()
		}
		s.take(len(line))
	}
}

// separator returns the delimiter that a line names, as spreadsheets do: sep=;
func separator(line []byte) (comma byte, ok bool) {
	text := bytes.TrimLeft(bytes.TrimRight(line, "\r\n"), `"`)
	if len(text) < 5 || !bytes.EqualFold(text[:4], []byte("sep=")) {
		return 0, false
	}
	comma = text[4]
	isPunct := ' ' < comma && comma < utf8.RuneSelf && comma != '"' && !isAlphanumeric(comma)
	if comma != '\t' && !isPunct {
		return 0, false
	}
	return comma, len(bytes.Trim(text[5:], `" `+string(comma))) == 0
}

func isAlphanumeric(c byte) bool {
	return '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z'
}

// readHeader finds the delimiter: the one that yields an ID column, or of several
// the one that yields the most columns.
func (c *csvReader) readHeader() error {
	candidates := []byte{',', ';', '\t', '|'}
	if c.sep {
		candidates = []byte{c.comma}
	}
	var (
		comma  byte
		header []string
		length int
		first  string // problem, of the most common delimiter
	)
	// A quote inside a name is more likely one inside a quoted name with the wrong
	// delimiter, so strict rules come first.
	for _, c.strict = range []bool{true, false} {
		for _, c.comma = range candidates {
			n, found, err := c.scan()
			if err != nil {
				return err
			}
			if found != whole {
				if first == "" {
					first = string(found)
				}
				continue
			}
			names := cutOut(string(c.data()[:n]), c.spans)
			better, worse := hasID(names, c.id), hasID(header, c.id)
			if better && !worse || better == worse && len(names) > len(header) {
				comma, header, length = c.comma, names, n
			}
		}
		if header != nil {
			break
		}
	}
	c.strict = false
	if header == nil {
		return fmt.Errorf("line %d, the column names: %s", c.line, first)
	}
	c.comma, c.at, c.line1 = comma, c.line, strings.TrimRight(string(c.data()[:length]), "\r\n")
	c.take(length)
	return c.setColumns(header)
}

func (c *csvReader) setColumns(header []string) error {
	for len(header) > 0 && strings.TrimSpace(header[len(header)-1]) == "" {
		header = header[:len(header)-1]
	}
	if own := len(header) - len(rejectColumns); own > 0 {
		if slices.Equal(header[own:], rejectColumns) {
			header, c.rejects = header[:own], true
		}
	}
	named := 0
	for _, text := range header {
		text = strings.TrimSpace(text)
		switch {
		case !utf8.ValidString(text):
			return fmt.Errorf("line %d, the column names: %s", c.at, notUTF8)
		case strings.Contains(strings.ReplaceAll(text, "\r\n", ""), "\r"):
			return fmt.Errorf("line %d, the column names: a carriage return (CR) is in one: "+
				"save the file with lines that end in LF or CRLF", c.at)
		case text != "":
			named++
		}
		c.columns = append(c.columns, name{text: text})
	}
	if named == 0 {
		return fmt.Errorf("line %d, the column names: there are none", c.at)
	}
	return nil
}

func (c *csvReader) names() []name { return c.columns }

// next skips rows in which all cells are empty, blank lines among them.
func (c *csvReader) next() (record, error) {
	for {
		n, found, err := c.scan()
		if err != nil {
			return record{}, err
		}
		r := record{line: c.line, size: n}
		if found == longRow {
			r.problem = tooLong
			return r, c.takeLine()
		}
		text := string(c.data()[:n])
		if text == "" {
			return record{}, io.EOF
		}
		if found != whole { // cells of its first line, because one of them may be the ID
			c.spans = slices.DeleteFunc(c.spans, func(s span) bool { return s.end > n })
		}
		cells := cutOut(text, c.spans)
		r.size += 16 * len(cells) // a string each, even if it is empty
		c.take(n)
		if found != whole {
			c.setValues(&r, cells)
			r.problem = wrong(string(found))
		} else if c.allEmpty(cells) {
			continue
		} else {
			r.problem = c.fit(&r, cells, text)
		}
		if r.cells == nil {
			r.text = lineText(text)
		}
		if r.problem == nil {
			r.problem = checkText(r.cells, c.text.converted || r.wasBroken)
		}
		return r, nil
	}
}

// fit gives the row its cells and values, or says why they do not fit the columns.
// Even then it keeps the values that are there, because one of them is the ID.
func (c *csvReader) fit(r *record, cells []string, text string) *problem {
	width := len(c.columns)
	if c.rejects {
		width += len(rejectColumns)
	}
	c.setValues(r, cells)
	if _, isSep := separator([]byte(text)); isSep {
		return wrong("the row is the first line of another file")
	}
	c.count(cells, width)
	own := len(c.columns)
	if p := c.checkWidth(cells, width, text); p != nil {
		if c.rejects && len(cells) == own { // its text alone would fit the next time
			r.cells, r.text = cells, lineText(text)
		}
		return p
	}
	c.strict = c.strict && len(cells) < width
	for len(cells) < width { // spreadsheets drop empty cells at the end
		cells = append(cells, "")
	}
	r.cells = cells[:width]
	if !c.rejects {
		return nil
	}
	r.cells, r.text = cells[:own], cells[own+1]
	r.wasBroken = cells[own+2] == brokenText.String()
	if r.text == "" {
		return nil
	}
	if !c.allEmpty(r.cells) {
		return wrong("the row has both cells and a text: fill in the cells or fix the text, " +
			"and empty the other")
	}
	return c.fitText(r)
}

// checkWidth says why a row with more or fewer cells than there are columns is refused.
func (c *csvReader) checkWidth(cells []string, width int, text string) *problem {
	if len(cells) == width {
		return nil
	}
	p := wrongWidth(cells, width)
	switch {
	case len(cells) > width:
		// Only where every row has the same empty cells they mean nothing.
		beyond := len(cells) - width
		if beyond != c.layout.extra || !c.allEmpty(cells[width:]) {
			return p
		}
	case c.emptyNull:
		return wrong(p.kind + ", and -empty=null would remove what is missing")
	case !strings.HasSuffix(text, "\n"):
		return wrong(p.kind + ", and no line end: the file may have been cut off here")
	case c.strict, len(cells) == 1:
		return p
	}
	return nil
}

// count updates the layout, which the check completes.
func (c *csvReader) count(cells []string, width int) {
	l := c.layout
	if l.known {
		return
	}
	beyond := len(cells) - width
	if l.rows == 0 && beyond > 0 && c.allEmpty(cells[width:]) {
		l.extra, l.assumed = beyond, beyond
	}
	if beyond != l.extra {
		l.extra = 0
	}
	if beyond == 1 && !c.allEmpty(cells[width:]) {
		l.wider++
	}
	l.rows++
}

func wrongWidth(cells []string, columns int) *problem {
	return wrong(fmt.Sprintf("the row has %d cells, but there are %d columns", len(cells),
		columns))
}

// fitText gives a row of a file of rejects the cells in its text. It is strict:
// what was rejected must not pass unless it was fixed.
func (c *csvReader) fitText(r *record) *problem {
	text := []byte(r.text)
	spans, n, found := split(text, c.comma, true, true, nil)
	cells := cutOut(r.text, spans)
	// The ID is the one that the row had when it was rejected, by rules that are not strict.
	spans, _, _ = split(text, c.comma, true, false, nil)
	c.setValues(r, cutOut(r.text, spans))
	_, isSep := separator([]byte(r.text))
	switch {
	case isSep:
		return wrong("the row is the first line of another file")
	case found != whole:
		return wrong(string(found))
	case n < len(r.text):
		return wrong("the text holds more than one row")
	case len(cells) != len(c.columns):
		return wrongWidth(cells, len(c.columns))
	}
	r.cells, r.text = cells, ""
	return nil
}

func (c *csvReader) setValues(r *record, cells []string) {
	c.values = c.values[:0]
	for i, cell := range cells[:min(len(cells), len(c.columns))] {
		c.values = append(c.values, value{column: i, text: strings.TrimSpace(cell)})
	}
	r.values = c.values
}

func checkText(cells []string, converted bool) *problem {
	for _, cell := range cells {
		switch {
		case !utf8.ValidString(cell):
			return notUTF8
		case converted && strings.ContainsRune(cell, utf8.RuneError):
			return brokenText
		}
	}
	return nil
}

func (c *csvReader) header() string {
	var names []string
	for _, name := range c.columns {
		names = append(names, name.text)
	}
	header := c.join(slices.Concat(names, rejectColumns))
	if c.sep {
		header = "sep=" + string(c.comma) + "\n" + header
	}
	if c.text.marked || c.text.converted {
		header = byteOrderMark + header
	}
	return header
}

func (c *csvReader) reject(r record, reason string) string {
	cells := make([]string, len(c.columns), len(c.columns)+len(rejectColumns))
	copy(cells, r.cells)
	return c.join(append(cells, strconv.Itoa(r.line), r.text, reason))
}

func (c *csvReader) join(cells []string) string {
	var b strings.Builder
	w := csv.NewWriter(&b)
	w.Comma = rune(c.comma)
	_ = w.Write(cells) // a Builder takes everything
	w.Flush()
	return b.String()
}

// scan finds the end of the next row. If it is malformed, n is the end of its first
// line.
func (c *csvReader) scan() (n int, _ found, err error) {
	for {
		var found found
		c.spans, n, found = split(c.data(), c.comma, c.eof, c.strict, c.spans[:0])
		switch {
		case found == whole:
			return n, whole, nil
		case found == unfinished && !c.full():
			if err := c.more(); err != nil {
				return 0, "", err
			}
			continue
		case found == unfinished:
			found, n = openQuote, len(c.data())
		}
		line, err := c.firstLine()
		if line == nil {
			return 0, longRow, err
		}
		// The next lines may be inside the quotes.
		c.strict = c.strict || n >= len(line)
		return len(line), found, nil
	}
}

const longRow found = "a row that is too long"
