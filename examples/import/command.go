package main

import (
	"os"
	"slices"
	"strings"
)

// command returns what to type to run the import on a file.
func (o *options) command(input string) string {
	words := []string{os.Args[0]}
	if strings.Contains(os.Args[0], "go-build") && !strings.HasSuffix(os.Args[0], ".test") { // of go run
		words = []string{"go", "run", "-C", "examples/import", "."}
	}
	for i := 0; i < len(o.args); i++ {
		arg := o.args[i]
		name, _, hasValue := strings.Cut(strings.TrimLeft(arg, "-"), "=")
		isFlag := strings.HasPrefix(arg, "-")
		switch {
		case i == o.inputAt:
			words = append(words, quoteShell(input))
		case isFlag && name == "fresh":
		case isFlag && name == "rejects" && input == o.rejects: // which then needs another one
			if !hasValue {
				i++
			}
		default:
			words = append(words, quoteShell(arg))
		}
	}
	return strings.Join(words, " ")
}

// quoteShell writes a word so that a shell reads it as one.
func quoteShell(word string) string {
	safe := func(c rune) bool {
		return c > '~' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.ContainsRune("-_=+.,:/@%", c)
	}
	if word != "" && !slices.ContainsFunc([]rune(word), func(c rune) bool { return !safe(c) }) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
