package main

import (
	"bufio"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
)

// checkContainer refuses files that hold a table, or another file, in a form that
// is not text.
func checkContainer(r *bufio.Reader, name string) error {
	// Only what is available after four bytes: a pipe may take long to deliver
	// more.
	if _, err := r.Peek(4); err != nil {
		return nil
	}
	begin, _ := r.Peek(r.Buffered())
	switch {
	case bytes.HasPrefix(begin, []byte("\xD0\xCF\x11\xE0")):
		return errWorkbook
	case !bytes.HasPrefix(begin, []byte("PK\x03\x04")) && !bytes.HasPrefix(begin, []byte("PK\x05\x06")):
		return nil
	case isWorkbook(begin),
		slices.Contains([]string{".xlsx", ".xlsm", ".xlsb", ".ods", ".numbers"}, strings.ToLower(filepath.Ext(name))):
		return errWorkbook
	}
	return errors.New("this is a zip archive: unzip it and import the file in it")
}

// isWorkbook recognizes the zip archive of a workbook by the first file in it, or
// by its list of types.
func isWorkbook(zip []byte) bool {
	const header = 30 // bytes before the first name
	if len(zip) < header {
		return false
	}
	first := string(zip[header:min(len(zip), header+100)])
	return slices.ContainsFunc([]string{"xl/", "docProps/", "_rels/", "Index/"}, func(folder string) bool { return strings.HasPrefix(first, folder) }) ||
		bytes.Contains(zip, []byte("[Content_Types].xml")) || bytes.Contains(zip, []byte("opendocument.spreadsheet"))
}

var errWorkbook = errors.New("this is a workbook, not text: save it as CSV (UTF-8) and import that")

// isNDJSON decides between NDJSON and CSV by the content. It refuses a JSON array.
func isNDJSON(s *scanner, name string) (bool, error) {
	for !s.eof && !s.full() && len(firstBytes(s)) < 1 {
		if err := s.more(); err != nil {
			return false, err
		}
	}
	begin := firstBytes(s)
	if !bytes.HasPrefix(begin, []byte{'['}) {
		return bytes.HasPrefix(begin, []byte{'{'}), nil
	}
	// Names of columns may be in brackets: [id],[email].
	for !s.eof && !s.full() && len(bytes.TrimSpace(begin[1:])) == 0 {
		if err := s.more(); err != nil {
			return false, err
		}
		begin = firstBytes(s)
	}
	if inner := bytes.TrimSpace(begin[1:]); len(inner) > 0 && !bytes.ContainsRune([]byte(`{["]-0123456789`), rune(inner[0])) {
		return false, nil
	}
	return false, fmt.Errorf("this is a JSON array: convert it to NDJSON and import that: %s", arrayToLines(name))
}

// arrayToLines returns the command that writes a JSON array as NDJSON.
func arrayToLines(name string) string {
	file, isZipped := strings.CutSuffix(name, ".gz")
	out := quoteShell(strings.TrimSuffix(file, filepath.Ext(file)) + ".ndjson")
	if isZipped {
		return "gzip -dc " + quoteShell(name) + " | jq -c '.[]' > " + out
	}
	return "jq -c '.[]' " + quoteShell(name) + " > " + out
}

func firstBytes(s *scanner) []byte { return bytes.TrimLeft(s.data(), " \t\r\n") }

// gunzip returns the text of a gzip file, with errors that say what to do.
func gunzip(r io.Reader) (io.Reader, error) {
	unzipped, err := gzip.NewReader(r)
	return gzipReader{unzipped}, gzipError(err)
}

type gzipReader struct{ r *gzip.Reader }

func (g gzipReader) Read(p []byte) (int, error) {
	n, err := g.r.Read(p)
	if err != io.EOF {
		err = gzipError(err)
	}
	return n, err
}

// errBadFile is wrapped by the error for a damaged file.
var errBadFile = errors.New("get it again")

func gzipError(err error) error {
	var corrupt flate.CorruptInputError
	switch {
	case err == io.EOF, err == io.ErrUnexpectedEOF:
		return fmt.Errorf("the gzip file is cut off: %w", errBadFile)
	case err == gzip.ErrHeader, err == gzip.ErrChecksum, errors.As(err, &corrupt):
		return fmt.Errorf("the gzip file is damaged: %w", errBadFile)
	}
	return err
}
