package main

import (
	"bytes"
	"crypto/sha256"
	"hash"
	"io"
)

// maxRow is the longest row that is read, in bytes. A longer one is rejected.
const maxRow = 4 << 20

// scanner is the text of an input, from which rows are taken. It counts lines, and
// hashes what was taken so that a later run can tell whether the input is the same.
type scanner struct {
	r     io.Reader
	max   int    // as maxRow
	buf   []byte // buf[start:] was read and not taken
	start int
	eof   bool
	line  int // of the next byte to be taken, from 1
	hash  hash.Hash
}

func newScanner(r io.Reader, max int) *scanner {
	return &scanner{r: r, max: max, line: 1, hash: sha256.New()}
}

// data returns what was read and not taken. It is valid until more is called.
func (s *scanner) data() []byte { return s.buf[s.start:] }

// full reports that there is no room for more.
func (s *scanner) full() bool { return len(s.data()) >= s.max }

// more reads more data, or sets eof. The scanner must not be full.
func (s *scanner) more() error {
	if s.start > 0 {
		s.buf = s.buf[:copy(s.buf, s.buf[s.start:])]
		s.start = 0
	}
	if len(s.buf) == cap(s.buf) {
		larger := make([]byte, len(s.buf), min(max(2*cap(s.buf), 64<<10), s.max))
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

// take takes n bytes of data.
func (s *scanner) take(n int) {
	taken := s.data()[:n]
	s.hash.Write(taken)
	s.line += bytes.Count(taken, []byte{'\n'})
	s.start += n
}

// firstLine returns the first line of the data, with its end. It is nil if the
// line is longer than the limit, and empty after the last line.
func (s *scanner) firstLine() ([]byte, error) { return s.lineAt(0) }

// lineAt is firstLine of the data from offset on.
func (s *scanner) lineAt(offset int) ([]byte, error) {
	for searched := offset; ; {
		if i := bytes.IndexByte(s.data()[searched:], '\n'); i >= 0 {
			return s.data()[offset : searched+i+1], nil
		}
		searched = len(s.data())
		switch {
		case s.eof:
			return s.data()[offset:], nil
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

// position returns the number of the next line.
func (s *scanner) position() int { return s.line }

// sum returns the hash of everything that was taken.
func (s *scanner) sum() (sum [sha256.Size]byte) {
	s.hash.Sum(sum[:0])
	return sum
}

// trimLineEnd returns line without its end, LF after any number of CRs.
func trimLineEnd(line []byte) []byte {
	return bytes.TrimRight(bytes.TrimSuffix(line, []byte{'\n'}), "\r")
}
