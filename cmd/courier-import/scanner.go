package main

import (
	"bytes"
	"io"
)

// scanner is the text of an input, from which records are taken. It counts lines.
type scanner struct {
	r     io.Reader
	buf   []byte // buf[start:] was read and not taken
	start int
	eof   bool
	line  int // of the next byte to be taken, from 1
}

func newScanner(r io.Reader) *scanner { return &scanner{r: r, line: 1} }

// data returns what was read and not taken. It is valid until more is called.
func (s *scanner) data() []byte { return s.buf[s.start:] }

// full reports that there is no room for more.
func (s *scanner) full() bool { return len(s.data()) >= maxRecord }

// more reads more data, or sets eof. The scanner must not be full.
func (s *scanner) more() error {
	if s.start > 0 {
		s.buf = s.buf[:copy(s.buf, s.buf[s.start:])]
		s.start = 0
	}
	if len(s.buf) == cap(s.buf) {
		larger := make([]byte, len(s.buf), min(max(2*cap(s.buf), 64<<10), maxRecord))
		copy(larger, s.buf)
		s.buf = larger
	}
	n, err := io.ReadAtLeast(s.r, s.buf[len(s.buf):cap(s.buf)], 1)
	s.buf = s.buf[:len(s.buf)+n]
	if err == io.EOF {
		s.eof = true
		s.buf = bytes.TrimRight(s.buf, "\x1a") // Ctrl-Z, the end of a text file on DOS
		return nil
	}
	return err
}

// fill reads until the scanner is full or the input ends.
func (s *scanner) fill() error {
	for !s.eof && !s.full() {
		if err := s.more(); err != nil {
			return err
		}
	}
	return nil
}

// take takes n bytes of data.
func (s *scanner) take(n int) {
	s.line += bytes.Count(s.data()[:n], []byte{'\n'})
	s.start += n
}

// firstLine returns the first line of the data, with its end. It is nil if the
// line is longer than the limit, and empty after the last line.
func (s *scanner) firstLine() ([]byte, error) {
	for searched := 0; ; {
		if i := bytes.IndexByte(s.data()[searched:], '\n'); i >= 0 {
			return s.data()[:searched+i+1], nil
		}
		searched = len(s.data())
		switch {
		case s.eof:
			return s.data(), nil
		case s.full():
			return nil, nil
		}
		if err := s.more(); err != nil {
			return nil, err
		}
		searched = min(searched, len(s.data())) // without a final Ctrl-Z
	}
}

// takeLine takes the first line, however long it is.
func (s *scanner) takeLine() error {
	for {
		line, err := s.firstLine()
		if err != nil {
			return err
		}
		if line != nil {
			s.take(len(line))
			return nil
		}
		s.take(len(s.data()))
	}
}
