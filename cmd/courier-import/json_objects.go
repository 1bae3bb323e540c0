package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// findObjects finds out in which form an input has its objects: one a line, over
// several lines, with commas between them, in a list, or in a list in an object.
func findObjects(s *scanner, o *readOptions) (objects, error) {
	if err := s.fill(); err != nil {
		return nil, err
	}
	begin := bytes.TrimLeft(s.data(), " \t\r\n")
	if begin[0] == '[' {
		return newStream(s, ""), nil
	}
	if o.list != "" {
		return newStream(s, o.list), nil
	}
	decoder := jsontext.NewDecoder(bytes.NewReader(begin),
		jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	first, err := decoder.ReadValue()
	if err != nil {
		if s.eof {
			// The object is broken: if it ends in its line, only that line is.
			line, _, _ := bytes.Cut(begin, []byte{'\n'})
			if bytes.HasSuffix(bytes.TrimRight(line, ", \t\r"), []byte{'}'}) {
				return &lines{s}, nil
			}
			return nil, fmt.Errorf("this is not JSON: %w", syntaxError(err))
		}
		return newStream(s, anyList), nil // no record is that long
	}
	after := bytes.TrimLeft(begin[decoder.InputOffset():], " \t\r\n")
	isLine := !bytes.Contains(first, []byte{'\n'})
	switch {
	case len(after) == 0 && s.eof:
		return single(s, o, first)
	case isLine:
		return &lines{s}, nil
	case after[0] == ',':
		return newStream(s, commas), nil
	default:
		return newStream(s, ""), nil
	}
}

// single returns the objects of an input that is one object: itself, or those of
// the list in it.
func single(s *scanner, o *readOptions, object jsontext.Value) (objects, error) {
	pairs, err := readPairs(string(object))
	if err != nil {
		return nil, fmt.Errorf("this is not JSON: %w", err)
	}
	if len(withoutReason(pairs)) < len(pairs) {
		return newStream(s, ""), nil // a reject
	}
	for _, p := range pairs {
		_, isKnown := known().find(p.key)
		if p.key == o.id || isID(p.key) || isKnown {
			return newStream(s, ""), nil // a record
		}
	}
	switch found := listsIn(pairs, ""); len(found) {
	case 0:
		return newStream(s, ""), nil
	case 1:
		return newStream(s, found[0]), nil
	default:
		return nil, severalLists(found)
	}
}

func severalLists(paths []string) error {
	return fmt.Errorf("the file has several lists of objects: %s. Say which one has the "+
		"users, such as -list %s", quoted(paths), paths[0])
}

// listsIn returns the paths of lists of objects, and of empty lists if there are no
// others.
func listsIn(pairs []pair, above string) []string {
	var found []string
	for _, p := range pairs {
		inner := bytes.TrimLeft(p.value[1:], " \t\r\n")
		switch {
		case p.value[0] == '[' && inner[0] == '{':
			found = append(found, above+p.key)
		case p.value[0] == '{':
			members, err := readPairs(string(p.value))
			if err == nil {
				found = append(found, listsIn(members, above+p.key+".")...)
			}
		}
	}
	return found
}

// lines has an object on each line, perhaps with a comma after it. What is wrong
// with one costs only its line.
type lines struct{ s *scanner }

func (l *lines) next() (int, []byte, error) {
	for {
		number := l.s.line
		line, err := l.s.firstLine()
		switch {
		case err != nil:
			return 0, nil, err
		case line == nil:
			return number, nil, l.s.takeLine()
		case len(line) == 0:
			return 0, nil, io.EOF
		}
		text := slices.Clone(bytes.TrimSpace(line))
		l.s.take(len(line))
		if bytes.HasSuffix(text, []byte("},")) {
			text = text[:len(text)-1]
		}
		if len(text) > 0 {
			return number, text, nil
		}
	}
}

// What newStream looks for, in place of the path of a list.
const (
	anyList = "\x00any"    // the only list of objects
	commas  = "\x00commas" // objects with commas between them
)

// stream has objects in any form. A syntax error ends it: nobody knows where the
// next object would begin.
type stream struct {
	lineCounter
	decoder *jsontext.Decoder
	list    string   // as in newStream
	path    []string // of the member that the decoder is in
	inList  bool
	found   []string // lists that were read, or passed
}

func newStream(s *scanner, list string) *stream {
	st := &stream{list: list, lineCounter: lineCounter{line: s.line}}
	var text io.Reader = io.MultiReader(bytes.NewReader(s.data()), s.r)
	st.r = text
	text = &st.lineCounter
	if list == commas {
		text = io.MultiReader(strings.NewReader("["), text, strings.NewReader("]"))
		st.before = 1
	}
	st.decoder = jsontext.NewDecoder(text,
		jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	return st
}

func (s *stream) next() (int, []byte, error) {
	for {
		kind := s.decoder.PeekKind()
		if s.inList && kind == ']' {
			if _, err := s.decoder.ReadToken(); err != nil {
				return 0, nil, s.fail(err)
			}
			s.inList = false
			continue
		}
		isRecord := s.inList || s.decoder.StackDepth() == 0 && kind != '[' &&
			(s.list == "" || s.list == commas)
		if isRecord && kind != 0 {
			return s.read()
		}
		if err := s.walk(kind); err != nil {
			return 0, nil, err
		}
	}
}

// read returns the next object.
func (s *stream) read() (int, []byte, error) {
	value, err := s.decoder.ReadValue()
	if err != nil {
		return 0, nil, s.fail(err)
	}
	line := s.at(s.decoder.InputOffset() - int64(len(value)))
	if len(value) > maxRecord {
		return line, nil, nil
	}
	return line, slices.Clone(value), nil
}

// walk goes on to the list, or past it to the end.
func (s *stream) walk(kind jsontext.Kind) error {
	depth := s.decoder.StackDepth()
	switch {
	case kind == '[' && s.isList():
		if _, err := s.decoder.ReadToken(); err != nil {
			return s.fail(err)
		}
		if s.list == anyList && s.decoder.PeekKind() != '{' {
			return nil // a list of something else
		}
		s.inList = true
		s.found = append(s.found, strings.Join(s.path, "."))
		if len(s.found) > 1 && s.list == anyList {
			return severalLists(s.found)
		}
		return nil
	case kind == '"' && depth > 0 && s.isName():
		token, err := s.decoder.ReadToken()
		if err != nil {
			return s.fail(err)
		}
		s.path = append(s.path[:depth-1], token.String())
		return nil
	case kind == '{' && !s.inArray(), kind == '}', kind == ']':
		_, err := s.decoder.ReadToken()
		return s.fail(err)
	case kind == 0:
		_, err := s.decoder.ReadToken() // the error, or the end
		if err == io.EOF && len(s.found) == 0 && s.list != "" && s.list != commas {
			if s.list == anyList {
				return errors.New("there is no list of objects in this object")
			}
			return fmt.Errorf("-list %s: there is no such list of objects", s.list)
		}
		return s.fail(err)
	default:
		return s.fail(s.decoder.SkipValue())
	}
}

// isName reports whether a string is the name of a member.
func (s *stream) isName() bool {
	kind, n := s.decoder.StackIndex(s.decoder.StackDepth())
	return kind == '{' && n%2 == 0
}

// inArray reports whether the next value is an element.
func (s *stream) inArray() bool {
	kind, _ := s.decoder.StackIndex(s.decoder.StackDepth())
	return kind == '['
}

// isList reports whether the list that begins here has the records.
func (s *stream) isList() bool {
	depth := s.decoder.StackDepth()
	switch s.list {
	case "", commas:
		return depth == 0
	case anyList:
		return depth == 1
	}
	return strings.Join(s.path[:min(depth, len(s.path))], ".") == s.list
}

func (s *stream) fail(err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	var syntactic *jsontext.SyntacticError
	if !errors.As(err, &syntactic) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	if s.list == commas && len(bytes.Trim(s.decoder.UnreadBuffer(), ", \t\r\n]")) == 0 {
		return io.EOF // after a comma at the end
	}
	text, offset := syntaxError(err), s.decoder.InputOffset()
	if syntactic != nil && syntactic.Err != nil {
		text, offset = syntactic.Err, syntactic.ByteOffset
	}
	return fmt.Errorf("line %d: this is not JSON: %w", s.at(offset), text)
}

// lineCounter counts the lines of what is read through it.
type lineCounter struct {
	r      io.Reader
	read   int64
	before int64   // bytes that others have read before
	ends   []int64 // offsets of line ends that at has not passed
	line   int     // of the offset that at has passed
}

func (l *lineCounter) Read(p []byte) (int, error) {
	n, err := l.r.Read(p)
	for i, b := range p[:n] {
		if b == '\n' {
			l.ends = append(l.ends, l.before+l.read+int64(i))
		}
	}
	l.read += int64(n)
	return n, err
}

// at returns the line of an offset, which must not be before that of the last call.
func (l *lineCounter) at(offset int64) int {
	n := 0
	for n < len(l.ends) && l.ends[n] < offset {
		n++
	}
	l.ends = l.ends[n:]
	l.line += n
	return l.line
}
