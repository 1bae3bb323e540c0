package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"strings"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/ianaindex"
	"golang.org/x/text/encoding/unicode"
)

const byteOrderMark = "\uFEFF"

// decoded is the text of a file as UTF-8, without a byte order mark.
type decoded struct {
	io.Reader
	encoding string // for people
	marked   bool   // it had a mark; spreadsheets recognize UTF-8 by its mark only
	packed   string // gzip or zstd, if it was compressed
	// converted says that broken text has become U+FFFD.
	converted bool
}

// decode returns the text of r. It does not touch what is UTF-8 already: a decoder
// would hide what is broken in it.
func decode(r *bufio.Reader, name string) (decoded, error) {
	begin, _ := r.Peek(512)
	d := decoded{Reader: r, encoding: "UTF-8"}
	var enc encoding.Encoding
	mark := 0
	switch {
	case bytes.HasPrefix(begin, []byte(byteOrderMark)):
		mark = 3
	case bytes.HasPrefix(begin, []byte{0xFF, 0xFE}):
		enc, mark = utf16(unicode.LittleEndian), 2
	case bytes.HasPrefix(begin, []byte{0xFE, 0xFF}):
		enc, mark = utf16(unicode.BigEndian), 2
	case name != "":
		var err error
		if enc, err = findEncoding(name); err != nil {
			return d, err
		}
		d.encoding = name
	default:
		enc = guessUTF16(begin)
	}
	_, _ = r.Discard(mark) // it was peeked at
	d.marked = mark > 0
	if enc == nil {
		return d, nil
	}
	if mark > 0 || name == "" {
		d.encoding = "UTF-16"
	}
	d.Reader, d.converted = enc.NewDecoder().Reader(r), true
	return d, nil
}

func utf16(order unicode.Endianness) encoding.Encoding {
	return unicode.UTF16(order, unicode.IgnoreBOM)
}

// windowsNames are names that Windows and its programs use, and that neither the
// WHATWG nor the IANA index has.
var windowsNames = map[string]string{
	"ansi": "windows-1252", "cp932": "shift_jis", "cp936": "gbk", "cp949": "euc-kr",
	"cp950": "big5", "cp1200": "utf-16le", "cp1201": "utf-16be", "cp65001": "utf-8",
	"cp20127": "us-ascii", "cp28591": "iso-8859-1", "cp28605": "iso-8859-15",
	"cp54936": "gb18030", "cp51932": "euc-jp", "cp10000": "macintosh",
}

// findEncoding returns the encoding of that name, or nil for UTF-8.
func findEncoding(name string) (encoding.Encoding, error) {
	label := strings.ToLower(strings.TrimSpace(name))
	if digits := strings.TrimLeft(label, "0123456789"); digits == "" {
		label = "cp" + label // Windows numbers its code pages
	}
	if other, ok := windowsNames[label]; ok {
		label = other
	}
	if enc, err := htmlindex.Get(label); err == nil {
		if canonical, _ := htmlindex.Name(enc); canonical == "utf-8" {
			return nil, nil
		}
		return enc, nil
	}
	if enc, err := ianaindex.IANA.Encoding(label); err == nil && enc != nil {
		return enc, nil
	}
	return nil, fmt.Errorf("-encoding %q is unknown: use a name such as windows-1252, "+
		"cp850 or shift_jis", name)
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
	few := len(begin) / 4
	switch {
	case nuls[1] > few && nuls[1] > 4*nuls[0]:
		return utf16(unicode.LittleEndian)
	case nuls[0] > few && nuls[0] > 4*nuls[1]:
		return utf16(unicode.BigEndian)
	}
	return nil
}
