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

// csvSource reads rows of cells (RFC 4180), with a comma, semicolon, tab or bar
// between them.
//
// It does not use encoding/csv, which reads a quote that is never closed to the end
// of the file, into memory, as one cell. Here a malformed row costs its first line:
// that line is rejected, and reading resumes at the next line. Until a full row
// shows that reading is back in sync, rules are strict, so that no line of a broken
// quoted cell is taken for a row.
type csvSource struct {
	*scanner
	csvOptions
	comma   byte
	sep     bool // the input names its delimiter, and so does the file of rejects
	columns *columns
	spans   []span          // of the current row
	profile courier.Profile // as well
	strict  bool
}

// csvOptions say how cells are read.
type csvOptions struct {
	bom       bool // the file of rejects begins with a byte order mark
	decoded   bool // from an encoding in which broken text becomes U+FFFD
	emptyNull bool // an empty cell removes the member
	id        string
	columns   []mapping
	nulls     []string // cells that count as empty
}

// rejectColumns are at the end of a file of rejects. The text is that of a row
// that could not be split into the columns.
var rejectColumns = []string{"line", "text", "reason"}

const byteOrderMark = "\uFEFF"

func newCSVSource(s *scanner, options csvOptions) (*csvSource, error) {
	c := &csvSource{scanner: s, csvOptions: options}
	for {
		line, err := s.firstLine()
		switch {
		case err != nil:
			return nil, err
		case line == nil:
			return nil, errors.New("the first line is longer than 4 MiB: this is not a CSV file")
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
	isPunct := comma == '\t' || ' ' < comma && comma < utf8.RuneSelf && comma != '"' && !isAlphanumeric(comma)
	return comma, isPunct && len(bytes.Trim(text[5:], `" `+string(comma))) == 0
}

func isAlphanumeric(c byte) bool {
	return '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z'
}

// readHeader finds the delimiter: the one that yields an ID column, or of several
// the one that yields the most columns.
func (c *csvSource) readHeader() error {
	var (
		comma  byte
		header []string
		length int
		failed error
	)
	candidates := []byte{',', ';', '\t', '|'}
	if c.sep {
		candidates = []byte{c.comma}
	}
	// A quote inside a name is more likely one inside a quoted name with the wrong
	// delimiter.
	for _, strict := range []bool{true, false} {
		failed = nil
		for _, c.comma = range candidates {
			c.strict = strict
			n, problem, err := c.scan()
			if err != nil {
				return err
			}
			if problem != "" {
				if failed == nil { // of the most common delimiter
					failed = errors.New(problem)
				}
				continue
			}
			names := cutOut(string(c.data()[:n]), c.spans)
			better, worse := hasID(names, c.csvOptions), hasID(header, c.csvOptions)
			if better && !worse || better == worse && len(names) > len(header) {
				comma, header, length = c.comma, names, n
			}
		}
		if hasID(header, c.csvOptions) {
			failed = nil
			break
		}
	}
	line := c.line
	c.strict = false
	if failed == nil {
		c.comma = comma
		c.take(length)
		c.columns, failed = newColumns(header, c.csvOptions)
	}
	if failed != nil {
		return fmt.Errorf("line %d, the column names: %w", line, failed)
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
		if problem == "" && c.columns.allEmpty(cells) {
			continue
		}
		r.sum = c.sum()
		if problem == "" {
			r.reason = c.fit(&r.original, cells, text)
		}
		if r.cells == nil {
			r.text = oneCR(strings.TrimRight(strings.TrimSuffix(text, "\n"), "\r"))
		}
		if r.reason == "" {
			r.reason = c.update(&r)
		}
		return r, nil
	}
}

// fit gives the row its cells, or says why they do not fit the columns.
func (c *csvSource) fit(r *original, cells []string, text string) (problem string) {
	width := c.columns.width()
	isFull := len(cells) >= width
	switch {
	case isSeparator(text):
		return repeatsDelimiter
	case isFull:
	case c.emptyNull:
		return wrongWidth(cells, width) + ", and -empty=null would remove what is missing"
	case !strings.HasSuffix(text, "\n"):
		return wrongWidth(cells, width) + ", and no line end: the file may have been cut off here"
	case c.strict:
		return wrongWidth(cells, width)
	}
	if isFull && !c.columns.allEmpty(cells[width:]) {
		return wrongWidth(cells, width)
	}
	c.strict = c.strict && !isFull
	for len(cells) < width { // spreadsheets drop empty cells at the end
		cells = append(cells, "")
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
	if !c.columns.allEmpty(r.cells) {
		return "the row has both cells and a text: fill in the cells or fix the text, and empty the other"
	}
	return c.fitText(r)
}

const repeatsDelimiter = "the row is the first line of another file"

func isSeparator(text string) bool {
	_, ok := separator([]byte(text))
	return ok
}

func wrongWidth(cells []string, columns int) string {
	return fmt.Sprintf("the row has %d cells, but there are %d columns", len(cells), columns)
}

// fitText gives a row of a file of rejects the cells in its text. It is strict:
// what was rejected must not pass unless it was fixed.
func (c *csvSource) fitText(r *original) (problem string) {
	spans, n, found := split([]byte(r.text), c.comma, true, true, nil)
	cells := cutOut(r.text, spans)
	own := len(c.columns.header)
	switch {
	case isSeparator(r.text):
		return repeatsDelimiter
	case found != whole:
		return string(found)
	case n < len(r.text):
		return "the text holds more than one row"
	case len(cells) < own, !c.columns.allEmpty(cells[own:]):
		return wrongWidth(cells, own)
	}
	r.cells, r.text = cells[:own], ""
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
	r.userID, r.profile = r.cells[c.columns.id], &c.profile
	return c.columns.read(r.cells, r.profile)
}

func (c *csvSource) notes() []string { return c.columns.notes() }

func (c *csvSource) header() string {
	header := c.join(slices.Concat(c.columns.header, rejectColumns))
	if c.sep {
		header = "sep=" + string(c.comma) + "\n" + header
	}
	if c.bom {
		header = byteOrderMark + header
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
	_ = w.Write(cells) // a Builder takes everything
	w.Flush()
	return b.String()
}

// scan finds the end of the next row. If there is a problem, n is the end of its
// first line.
func (c *csvSource) scan() (n int, problem string, err error) {
	for {
		var found found
		c.spans, n, found = split(c.data(), c.comma, c.eof, c.strict, c.spans[:0])
		switch {
		case found == whole:
			return n, "", nil
		case found == unfinished && !c.full():
			if err := c.more(); err != nil {
				return 0, "", err
			}
			continue
		case found == unfinished:
			found, n = openQuote, len(c.data())
		}
		c.spans = c.spans[:0]
		line, err := c.firstLine()
		if line == nil {
			return 0, tooLong, err
		}
		// The next lines may be inside the quotes.
		c.strict = c.strict || n >= len(line)
		return len(line), string(found), nil
	}
}

// isBlank reports whether a cell has nothing but white space.
func isBlank(cell string) bool { return strings.TrimSpace(cell) == "" }
