package job

import (
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/dustin/go-humanize"
)

// Count is a line of the counts at the end of a run.
type Count struct {
	Name string // such as "rejected"
	N    int64
	Note string // shown if N is not 0
}

// WriteCounts writes a line per count.
func WriteCounts(w io.Writer, counts ...Count) {
	for _, c := range counts {
		line := fmt.Sprintf("%14s  %12s", c.Name, Number(c.N))
		if c.N != 0 && c.Note != "" {
			line += "  " + c.Note
		}
		fmt.Fprintln(w, line)
	}
}

// WriteTime writes how long a run took, below its counts, and how many of unit it
// did per second, if it did any.
func WriteTime(w io.Writer, took time.Duration, n int64, unit string) {
	line := fmt.Sprintf("%14s  %12s", "time", took.Round(time.Millisecond))
	if n > 0 && took > 0 {
		line += fmt.Sprintf("  %s %s/s", Number(int64(float64(n)/took.Seconds())), unit)
	}
	fmt.Fprintln(w, line)
}

// Number writes n as people read it: 1,234,567.
func Number(n int64) string { return humanize.Comma(n) }

// Plural writes a number of things, such as "1 row" or "1,234 rows".
func Plural(n int64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return Number(n) + " " + many
}

// Command returns what to type to run this program, name, with args: the words of
// go run if it was started that way.
func Command(name string, args ...string) string {
	words := []string{Quote(os.Args[0])}
	if isGoRun(os.Args[0]) {
		words = []string{"go", "run", "-C", "cmd", "./" + name}
	}
	for _, arg := range args {
		words = append(words, Quote(arg))
	}
	return strings.Join(words, " ")
}

// ShellPath returns path, quoted, for a command other than the program's own.
func ShellPath(path string) string { return Quote(PathInShell(path)) }

// PathInShell returns path for a command other than the program's own, for which it
// is no flag. With go run -C, the shell is in another folder, and so the path is
// absolute.
func PathInShell(path string) string {
	if isGoRun(os.Args[0]) {
		if absolute, err := filepath.Abs(path); err == nil {
			path = absolute
		}
	}
	if strings.HasPrefix(path, "-") {
		path = "./" + path
	}
	return path
}

// isGoRun reports whether go run has built the program at path, in a temporary
// folder or, as it does when it built it before, in its cache.
func isGoRun(path string) bool {
	folder := filepath.Base(filepath.Dir(path))
	isCached := len(folder) == 2*sha256.Size+len("-d") && strings.HasSuffix(folder, "-d")
	return isCached || folder == "exe" && strings.Contains(path, "go-build")
}

// Quote writes a word so that a shell reads it as one.
func Quote(word string) string {
	unsafe := func(c rune) bool {
		isLetter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c >= utf8.RuneSelf
		return !isLetter && !('0' <= c && c <= '9') && !strings.ContainsRune("-_=+.,:/@%", c)
	}
	if word != "" && !strings.ContainsFunc(word, unsafe) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
