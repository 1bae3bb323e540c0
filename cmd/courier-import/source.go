package main

import (
	"bytes"
	"fmt"
)

// source is an input whose records can be read more than once.
type source struct {
	in      *input
	o       *readOptions
	command *command
	layout  layout // of CSV
}

// open begins a reading.
func (s *source) open() (reader, error) {
	r, err := s.read()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.in.name, err)
	}
	return r, nil
}

func (s *source) read() (reader, error) {
	scanner, text, err := s.scan()
	if err != nil {
		return nil, err
	}
	switch isJSON, err := beginsAsJSON(scanner); {
	case err != nil:
		return nil, err
	case isJSON:
		return newJSON(scanner, text, s.o)
	}
	c, err := newCSV(scanner, text, s.o)
	if err != nil {
		return nil, err
	}
	c.layout = &s.layout
	return c, nil
}

// scan returns the text, without the lines to skip.
func (s *source) scan() (*scanner, decoded, error) {
	unpacked, packed, err := text(s.in.open(), s.command)
	if err != nil {
		return nil, decoded{}, err
	}
	text, err := decode(unpacked, s.o.encoding)
	if err != nil {
		return nil, decoded{}, err
	}
	text.packed = packed
	scanner := newScanner(text)
	for range s.o.skip {
		if err := scanner.takeLine(); err != nil {
			return nil, decoded{}, err
		}
	}
	return scanner, text, nil
}

// beginsAsJSON decides between JSON and CSV by the content.
func beginsAsJSON(s *scanner) (bool, error) {
	begin := func() []byte { return bytes.TrimLeft(s.data(), " \t\r\n") }
	for !s.eof && !s.full() && len(begin()) < 512 {
		if err := s.more(); err != nil {
			return false, err
		}
	}
	switch first := begin(); {
	case bytes.HasPrefix(first, []byte{'{'}):
		return true, nil
	case bytes.HasPrefix(first, []byte{'['}):
		// Names of columns may be in brackets: [id],[email].
		inner := bytes.TrimLeft(first[1:], " \t\r\n")
		isValue := len(inner) > 0 && bytes.IndexByte([]byte(`{["]-0123456789`), inner[0]) >= 0
		return len(inner) == 0 || isValue, nil
	}
	return false, nil
}
