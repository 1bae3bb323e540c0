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
	"strings"
	"unicode/utf8"

	"github.com/gabriel-vasile/mimetype"
	"github.com/klauspost/compress/zstd"

	"github.com/courier-profiles/courier-go/cmd/internal/job"
)

// kinds are the binary files that people have, and the command that makes text of
// them. %[1]s is the file, %[2]s its name without the last extension.
var kinds = []struct{ mime, name, command string }{
	{"application/x-xz", "an xz file", "xz -dc %[1]s > %[2]s"},
	{"application/x-bzip2", "a bzip2 file", "bzip2 -dc %[1]s > %[2]s"},
	{"application/x-tar", "a tar archive", "tar -xf %[1]s"},
	{"application/x-7z-compressed", "a 7-Zip archive", "7z x %[1]s"},
	{"application/x-rar-compressed", "a RAR archive", "unrar x %[1]s"},
	{"application/vnd.apache.parquet", "a Parquet file",
		`duckdb -csv -c "FROM read_parquet('%[1]s')" > %[2]s.csv`},
	{"application/vnd.sqlite3", "an SQLite database",
		"sqlite3 -header -csv %[1]s 'SELECT * FROM users' > %[2]s.csv"},
	{"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "an Excel workbook",
		"soffice --convert-to csv %[1]s"},
	{"application/vnd.ms-excel", "an Excel workbook", "soffice --convert-to csv %[1]s"},
	{"application/x-ole-storage", "an Excel workbook", "soffice --convert-to csv %[1]s"},
	{"application/vnd.oasis.opendocument.spreadsheet", "a workbook",
		"soffice --convert-to csv %[1]s"},
	{"application/zip", "a zip archive", "unzip %[1]s"},
}

// text returns what is in r once it is decompressed, and refuses what is not text.
// path is the input's, for the command that an error has.
func text(r io.Reader, path string) (*bufio.Reader, error) {
	b := bufio.NewReaderSize(r, 64<<10)
	begin, _ := b.Peek(4)
	packed := ""
	switch {
	case bytes.HasPrefix(begin, []byte{0x1f, 0x8b}):
		unzipped, err := gzip.NewReader(b)
		if err != nil {
			return nil, damaged("gzip", err)
		}
		packed = "gzip"
		b = bufio.NewReaderSize(&unpacked{unzipped, packed}, 64<<10)
	case bytes.Equal(begin, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		// One goroutine, and the memory that zstd's own program allows.
		unzipped, err := zstd.NewReader(b, zstd.WithDecoderConcurrency(1),
			zstd.WithDecoderMaxWindow(128<<20))
		if err != nil {
			return nil, damaged("zstd", err)
		}
		packed = "zstd"
		b = bufio.NewReaderSize(&unpacked{unzipped, packed}, 64<<10)
	}
	begin, err := b.Peek(4096)
	if err != nil && err != io.EOF && len(begin) == 0 {
		return nil, err
	}
	return b, refuseBinary(begin, path, packed)
}

// refuseBinary refuses what is no text, by its real kind.
func refuseBinary(begin []byte, path, packed string) error {
	if isText(begin) {
		return nil
	}
	mime := mimetype.Detect(begin)
	for _, kind := range kinds {
		if !mime.Is(kind.mime) {
			continue
		}
		if kind.mime == "application/x-tar" && packed != "" {
			return fmt.Errorf("this is a tar archive in a %s file: unpack it, and import "+
				"the file in it:\n\ttar -xf %s", packed, job.ShellPath(path))
		}
		if packed != "" {
			return fmt.Errorf("this is %s in a %s file: unpack both, and import what is in it",
				kind.name, packed)
		}
		if path == "-" {
			path = "FILE"
		}
		stem := strings.TrimSuffix(path, filepath.Ext(path))
		command := fmt.Sprintf(kind.command, job.ShellPath(path), job.ShellPath(stem))
		return fmt.Errorf("this is %s: make text of it, and import that:\n\t%s",
			kind.name, command)
	}
	if bytes.IndexByte(begin, 0) >= 0 && guessUTF16(begin) == nil {
		return fmt.Errorf("this is not text (it looks like %s): import CSV or JSON", mime)
	}
	return nil
}

// isText reports whether the beginning of a file is UTF-8 or UTF-16 text. Magic
// numbers can be words: BM, the beginning of a bitmap, begins the column BMI too.
func isText(begin []byte) bool {
	for _, mark := range []string{byteOrderMark, "\xFF\xFE", "\xFE\xFF"} {
		if bytes.HasPrefix(begin, []byte(mark)) {
			return true
		}
	}
	for range utf8.UTFMax - 1 { // the last character may be cut off
		if last, size := utf8.DecodeLastRune(begin); last == utf8.RuneError && size == 1 {
			begin = begin[:len(begin)-1]
		}
	}
	return utf8.Valid(begin) && !bytes.ContainsFunc(begin, func(c rune) bool {
		return c < ' ' && !strings.ContainsRune("\t\r\n\f\v\x1a\x1b", c)
	})
}

// unpacked is the text of a compressed file, with errors that say what to do.
type unpacked struct {
	r    io.Reader
	kind string
}

func (u *unpacked) Read(p []byte) (int, error) {
	n, err := u.r.Read(p)
	if err != nil && err != io.EOF {
		err = damaged(u.kind, err)
	}
	return n, err
}

func damaged(kind string, err error) error {
	var corrupt flate.CorruptInputError
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("the %s file is cut off: get it again", kind)
	case errors.Is(err, gzip.ErrHeader), errors.Is(err, gzip.ErrChecksum),
		errors.As(err, &corrupt), errors.Is(err, zstd.ErrMagicMismatch),
		errors.Is(err, zstd.ErrCRCMismatch), errors.Is(err, zstd.ErrBlockTooSmall):
		return fmt.Errorf("the %s file is damaged: get it again", kind)
	}
	return err
}
