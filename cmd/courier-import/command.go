package main

import (
	"slices"
	"strings"

	"github.com/courier-profiles/courier-go/cmd/internal/job"
)

// command is what was typed, for hints that are whole commands.
type command struct {
	args    []string
	inputAt int // index of the input
}

// input is what was typed as the input.
func (c *command) input() string { return c.args[c.inputAt] }

// with returns the command with more flags, which replace those of the same name
// if that cannot be repeated.
func (c *command) with(flags ...string) string {
	var names []string
	for _, flag := range flags {
		isRepeatable := flag == "-column" || flag == "-null"
		if strings.HasPrefix(flag, "-") && !isRepeatable {
			names = append(names, strings.TrimLeft(flag, "-"))
		}
	}
	return c.text(flags, names, "")
}

// without returns the command for another input, without the flags of those names.
func (c *command) without(input string, names ...string) string {
	return c.text(nil, names, input)
}

// below returns the command for the input with a line of names above it, or "" if a
// shell cannot put it there. Flags that use other names are left out.
func (c *command) below(line string, flags []string, input *csvReader) string {
	file := c.input()
	isPlain := input.text.encoding == "UTF-8" && !input.text.marked && !input.sep
	if !isPlain || input.skip > 0 || file == "-" {
		return ""
	}
	unpack := "cat "
	if input.text.packed != "" {
		unpack = input.text.packed + " -dc < " // of a file of any name
	}
	return "(echo " + job.Quote(line) + "; " + unpack + job.ShellPath(file) + ") | " +
		c.text(flags, []string{"id", "column"}, "-")
}

// bools are the flags that need no value.
var bools = []string{"dry-run", "yes", "fake", "fresh", "rest"}

func (c *command) text(add, drop []string, input string) string {
	words := slices.Clone(add)
	for i := 0; i < len(c.args); i++ {
		arg := c.args[i]
		if i == c.inputAt {
			if input != "" {
				arg = input
			}
			words = append(words, arg)
			continue
		}
		name, _, hasValue := strings.Cut(strings.TrimLeft(arg, "-"), "=")
		takesNext := !hasValue && !slices.Contains(bools, name) && arg != "--"
		if !slices.Contains(drop, name) {
			words = append(words, arg)
			if takesNext && i+1 < len(c.args) && i+1 != c.inputAt {
				words = append(words, c.args[i+1])
			}
		}
		if takesNext {
			i++
		}
	}
	return job.Command("courier-import", words...)
}
