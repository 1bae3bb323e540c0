package main

import (
	"bytes"
	"strings"
)

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
			cells[i] = oneCR(strings.ReplaceAll(cells[i], `""`, `"`))
		}
	}
	return cells
}

// oneCR undoes what a text-mode writer on Windows does to CRLF: CR CR LF.
func oneCR(cell string) string {
	for strings.Contains(cell, "\r\r\n") {
		cell = strings.ReplaceAll(cell, "\r\r\n", "\r\n")
	}
	return cell
}

// lineText returns a row, or its first line, without the line end.
func lineText(line string) string {
	return oneCR(strings.TrimRight(strings.TrimSuffix(line, "\n"), "\r"))
}

// found is what split found: a whole row, the beginning of one, or why there is none.
type found string

const (
	whole      found = ""
	unfinished found = "unfinished"
	bareQuote  found = `a cell contains a quote (") but does not begin with one: ` +
		`put the cell in quotes and double each quote in it`
	strayQuote found = `a quoted cell continues after its closing quote ("): double each quote in it`
	openQuote  found = `a quote (") is opened and never closed`
)

// split splits the row at the beginning of data and returns where it ends, or
// where its problem is. A quote in a cell that does not begin with one is text,
// as it is to spreadsheets, or a bareQuote if strict is set. White space around a
// quoted cell is no part of it: programs write it after the delimiter.
func split(data []byte, comma byte, eof, strict bool, spans []span) ([]span, int, found) {
	for i := 0; ; {
		start := i
		text := i + spaces(data[i:], comma)
		if text < len(data) && data[text] == '"' {
			start = text + 1
			end := closingQuote(data, start)
			if end < 0 || end+1 == len(data) && !eof {
				if eof {
					return spans, len(data), openQuote
				}
				return spans, 0, unfinished
			}
			spans = append(spans, span{start, end, true})
			i = end + 1
			i += spaces(data[i:], comma)
		} else {
			for i < len(data) && data[i] != comma && data[i] != '\n' {
				if data[i] == '"' && strict {
					return spans, i, bareQuote
				}
				i++
			}
			if i == len(data) && !eof {
				return spans, 0, unfinished
			}
			end := i
			if i == len(data) || data[i] == '\n' {
				for end > start && data[end-1] == '\r' {
					end--
				}
			}
			spans = append(spans, span{start, end, false})
		}
		// After a cell: a delimiter or a line end, which is LF after any number of CRs.
		next := i
		for next < len(data) && data[next] == '\r' && data[next] != comma {
			next++
		}
		switch {
		case next == len(data) && !eof:
			return spans, 0, unfinished
		case next == len(data):
			return spans, next, whole
		case data[next] == '\n':
			return spans, next + 1, whole
		case data[i] != comma && !eof && len(bytes.Trim(data[next:], "\x1a")) == 0:
			return spans, 0, unfinished // the end of the file, it may be
		case data[i] != comma:
			return spans, i, strayQuote
		}
		i++
	}
}

// spaces counts the spaces and tabs at the beginning of data.
func spaces(data []byte, comma byte) int {
	n := 0
	for n < len(data) && (data[n] == ' ' || data[n] == '\t') && data[n] != comma {
		n++
	}
	return n
}

// closingQuote returns the index of the quote that closes a cell whose text begins
// at i, or -1.
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
