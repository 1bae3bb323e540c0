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

// kinds are the binary files that people have, and what to type to import one.
var kinds = []struct {
	mime, name string
	way        func(path string, cmd *command) string
}{
	{"application/x-xz", "an xz file", unpack("xz", ".xz")},
	{"application/x-bzip2", "a bzip2 file", unpack("bzip2", ".bz2")},
	{"application/x-tar", "a tar archive", extract("tar -xkf")},
	{"application/x-7z-compressed", "a 7-Zip archive", extract("7z x -aos")},
	{"application/x-rar-compressed", "a RAR archive", extract("unrar x -o-")},
	{"application/vnd.apache.parquet", "a Parquet file",
		query},
	{"application/vnd.sqlite3", "an SQLite database",
		pipe("sqlite3 -header -csv %s 'SELECT * FROM users'")},
	{"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "an Excel workbook",
		convert},
	{"application/vnd.ms-excel", "an Excel workbook", convert},
	{"application/x-ole-storage", "an Excel workbook", convert},
	{"application/vnd.oasis.opendocument.spreadsheet", "a workbook", convert},
	{"application/zip", "a zip archive", extract("unzip -n")},
}

// unpack imports what program makes of a compressed file. It overwrites no file, and
// needs the suffix to name a new one.
func unpack(program, suffix string) func(path string, cmd *command) string {
	return func(path string, cmd *command) string {
		text, hasSuffix := strings.CutSuffix(path, suffix)
		if !hasSuffix {
			return pipe(program+" -dc %s")(path, cmd)
		}
		return "import that:\n\t" + program + " -dk " + job.ShellPath(path) + " && " +
			cmd.without(text)
	}
}

// pipe imports what a command prints.
func pipe(format string) func(path string, cmd *command) string {
	return func(path string, cmd *command) string {
		return "import that:\n\t" + fmt.Sprintf(format, job.ShellPath(path)) + " | " +
			cmd.without("-")
	}
}

// query imports the table in a Parquet file.
func query(path string, cmd *command) string {
	sql := "FROM read_parquet('" + strings.ReplaceAll(job.PathInShell(path), "'", "''") + "')"
	escape := strings.NewReplacer(`\`, `\\`, `"`, `\"`, "$", `\$`, "`", "\\`")
	return "import that:\n\tduckdb -csv -c \"" + escape.Replace(sql) + `" | ` +
		cmd.without("-")
}

// extract writes the files of an archive, and overwrites none. Nobody knows their
// names.
func extract(program string) func(path string, cmd *command) string {
	return func(path string, _ *command) string {
		return "import the file in it:\n\t" + program + " " + job.ShellPath(path)
	}
}

// convert imports what an office program makes of a workbook, in a new folder
// because it would overwrite a file.
func convert(path string, cmd *command) string {
	stem := strings.TrimSuffix(path, filepath.Ext(path))
	folder := job.ShellPath(stem + "-csv")
	return "import that:\n\tmkdir " + folder + " && soffice --convert-to csv --outdir " +
		folder + " " + job.ShellPath(path) + " && " +
		cmd.without(filepath.Join(stem+"-csv", filepath.Base(stem)+".csv"))
}

// text returns what is in r once it is decompressed, with gzip or zstd if packed says
// so, and refuses what is not text.
// cmd is for the one that an error has.
func text(r io.Reader, cmd *command) (_ *bufio.Reader, packed string, _ error) {
	b := bufio.NewReaderSize(r, 64<<10)
	begin, _ := b.Peek(4)
	switch {
	case bytes.HasPrefix(begin, []byte{0x1f, 0x8b}):
		unzipped, err := gzip.NewReader(b)
		if err != nil {
			return nil, "", damaged("gzip", err)
		}
		packed = "gzip"
		b = bufio.NewReaderSize(&unpacked{unzipped, packed}, 64<<10)
	case bytes.Equal(begin, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		// One goroutine, and the memory that zstd's own program allows.
		unzipped, err := zstd.NewReader(b, zstd.WithDecoderConcurrency(1),
			zstd.WithDecoderMaxWindow(128<<20))
		if err != nil {
			return nil, "", damaged("zstd", err)
		}
		packed = "zstd"
		b = bufio.NewReaderSize(&unpacked{unzipped, packed}, 64<<10)
	}
	begin, err := b.Peek(4096)
	if err != nil && err != io.EOF && len(begin) == 0 {
		return nil, "", err
	}
	return b, packed, refuseBinary(begin, cmd, packed)
}

// refuseBinary refuses what is no text, by its real kind.
func refuseBinary(begin []byte, cmd *command, packed string) error {
	if isText(begin) {
		return nil
	}
	path := cmd.input()
	if path == "-" {
		path = "FILE"
	}
	mime := mimetype.Detect(begin)
	for _, kind := range kinds {
		if !mime.Is(kind.mime) {
			continue
		}
		if kind.mime == "application/x-tar" && packed != "" {
			return fmt.Errorf("this is a tar archive in a %s file: unpack it, and %s", packed,
				kind.way(path, cmd))
		}
		if packed != "" {
			return fmt.Errorf("this is %s in a %s file: unpack both, and import what is in it",
				kind.name, packed)
		}
		return fmt.Errorf("this is %s: convert it to text, and %s", kind.name,
			kind.way(path, cmd))
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
