package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/unicode"
)

// input is an open file of users.
type input struct {
	source
	name   string // for people
	format string // csv or ndjson
	size   int64  // of the file in bytes; 0 if it is unknown
	read   atomic.Int64
	raw    io.ReadCloser
}

// inputOptions are the flags that say how an input is read.
type inputOptions struct {
	encoding  string
	emptyNull bool
	id        string
	columns   []mapping
	nulls     []string
}

// openInput opens the file at path, or standard input for "-", and reads the
// column names.
func openInput(ctx context.Context, path string, stdin *os.File, options inputOptions) (*input, error) {
	in := &input{name: "standard input"}
	file := stdin
	if path != "-" {
		in.name = filepath.Base(path)
		var err error
		if file, err = os.Open(path); err != nil {
			return nil, err
		}
	}
	in.raw = file
	info, err := file.Stat()
	switch {
	case err != nil:
	case info.IsDir():
		err = fmt.Errorf("%s is a folder: name a file in it", in.name)
	default:
		if info.Mode().IsRegular() {
			in.size = info.Size()
		} else {
			in.raw = interruptible(ctx, file)
		}
		err = in.detect(options)
	}
	if err != nil {
		in.close()
		return nil, fmt.Errorf("%s: %w", in.name, err)
	}
	return in, nil
}

// interruptible returns a reader of a pipe or terminal. Reading ends with ctx,
// even if nothing comes out of the pipe.
func interruptible(ctx context.Context, file *os.File) io.ReadCloser {
	r, w := io.Pipe()
	go func() {
		_, err := io.Copy(w, file)
		w.CloseWithError(err)
	}()
	context.AfterFunc(ctx, func() { _ = w.CloseWithError(errInterrupted) })
	return r
}

func (in *input) close() { _ = in.raw.Close() }

// Read reads the file as it is.
func (in *input) Read(p []byte) (int, error) {
	n, err := in.raw.Read(p)
	in.read.Add(int64(n))
	return n, err
}

// detect finds out what the file is from its first bytes.
func (in *input) detect(options inputOptions) error {
	r := bufio.NewReaderSize(in, 64<<10)
	if begin, _ := r.Peek(2); bytes.Equal(begin, []byte{0x1f, 0x8b}) {
		unzipped, err := gunzip(r)
		if err != nil {
			return err
		}
		r = bufio.NewReaderSize(unzipped, 64<<10)
	}
	if err := checkContainer(r, in.name); err != nil {
		return err
	}
	text, hasMark, decoded, err := decode(r, options.encoding)
	if err != nil {
		return err
	}
	s := newScanner(text, maxRow)
	ndjson, err := isNDJSON(s, in.name)
	if err != nil {
		return err
	}
	// Spreadsheets recognize UTF-8 by its mark only.
	bom := hasMark || decoded
	if !ndjson {
		in.format = "csv"
		in.source, err = newCSVSource(s, csvOptions{bom: bom, decoded: decoded,
			emptyNull: options.emptyNull, id: options.id, columns: options.columns, nulls: options.nulls})
		return err
	}
	in.format = "ndjson"
	if options.columns != nil || options.nulls != nil {
		return errors.New("-column and -null are for CSV, and this is NDJSON: leave them out")
	}
	lines := &ndjsonSource{scanner: s, bom: bom, decoded: decoded, id: options.id}
	in.source = lines
	return lines.checkForm()
}

// decode returns the text of r as UTF-8 without a byte order mark. It does not
// touch what is UTF-8 already: a decoder would hide what is broken in it.
func decode(r *bufio.Reader, name string) (text io.Reader, hasMark, decoded bool, err error) {
	// Only what is available after four bytes: a pipe may take long to deliver
	// more.
	if _, err := r.Peek(4); err != nil && err != io.EOF {
		return nil, false, false, err
	}
	begin, _ := r.Peek(min(r.Buffered(), 512))
	var enc encoding.Encoding
	mark := 0
	switch {
	case bytes.HasPrefix(begin, []byte(byteOrderMark)):
		mark = 3
	case bytes.HasPrefix(begin, []byte{0xFF, 0xFE}):
		enc, mark = unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM), 2
	case bytes.HasPrefix(begin, []byte{0xFE, 0xFF}):
		enc, mark = unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM), 2
	case name != "":
		if enc, err = htmlindex.Get(name); err != nil {
			return nil, false, false, fmt.Errorf("-encoding %q is unknown: use a name of the WHATWG encoding standard, such as windows-1252", name)
		}
		if canonical, _ := htmlindex.Name(enc); canonical == "utf-8" {
			enc = nil
		}
	default:
		enc = guessUTF16(begin)
	}
	_, _ = r.Discard(mark) // it was peeked at
	if enc == nil {
		return r, mark > 0, false, nil
	}
	return enc.NewDecoder().Reader(r), mark > 0, true, nil
}

// guessUTF16 recognizes UTF-16 without a mark: it is the one encoding in which a
// mostly ASCII text has a NUL in every other byte.
func guessUTF16(begin []byte) encoding.Encoding {
	var nuls [2]int
	for i, b := range begin {
		if b == 0 {
			nuls[i%2]++
		}
	}
	const few = 4 // of all bytes, one in so many
	switch {
	case nuls[1] > len(begin)/few && nuls[1] > nuls[0]:
		return unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM)
	case nuls[0] > len(begin)/few:
		return unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM)
	}
	return nil
}
