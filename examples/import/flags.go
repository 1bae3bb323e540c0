package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// options are the command line.
type options struct {
	input string
	inputOptions
	dryRun      bool
	fake        bool
	fresh       bool
	concurrency int
	rate        float64
	rejects     string
	checkpoint  string
	args        []string
	inputAt     int // index of the input in args
}

const usage = `Merges a file of users into Courier.

	import [flags] users.csv     (- for standard input)

CSV: the first line names the columns: id or user_id, and members of the profile,
such as email, address.country or custom.plan. Case, spaces, _ and - do not matter
in Courier's names. Empty cells change nothing.

NDJSON: {"user_id": "user-1", "profile": {"email": "user@example.com"}} on each
line.

COURIER_API_KEY holds the API key, COURIER_BASE_URL another URL than the default.
Rejected rows go to users.rejected.csv: fix and import them. After any stop, the
same command resumes from users.checkpoint.json.

Exit codes: 0 all merged, 1 some rejected, 2 could not start or continue,
130 interrupted. (go run turns all but 0 into 1.)

Flags:
`

func parseFlags(args []string, stdout io.Writer) (options, error) {
	o := options{args: args}
	empty := "ignore"
	flags := flag.NewFlagSet("import", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.BoolVar(&o.dryRun, "dry-run", false, "check all rows and send nothing")
	flags.BoolVar(&o.fake, "fake", false, "import into an in-memory fake of the API")
	flags.StringVar(&o.id, "id", "", "`name` of the column of user IDs")
	flags.Func("column", "map a column, such as 'E-mail 1=email' (`name=member`, repeatable)", func(text string) error {
		m, err := parseMapping(text)
		o.columns = append(o.columns, m)
		return err
	})
	flags.Func("null", "`text` of cells that count as empty, such as NULL (repeatable)", func(text string) error {
		o.nulls = append(o.nulls, strings.TrimSpace(text))
		return nil
	})
	flags.StringVar(&empty, "empty", empty, "null makes empty cells remove the member (`ignore|null`)")
	flags.IntVar(&o.concurrency, "concurrency", 16, "`number` of requests in flight")
	flags.Float64Var(&o.rate, "rate", 0, "`number` of requests per second, at most; 0 for no limit")
	flags.StringVar(&o.encoding, "encoding", "", "`name` of an encoding such as windows-1252, if not UTF-8 or UTF-16")
	flags.StringVar(&o.rejects, "rejects", "", "`file` for rejected rows")
	flags.StringVar(&o.checkpoint, "checkpoint", "", "`file` for the progress")
	flags.BoolVar(&o.fresh, "fresh", false, "start over and overwrite the file of rejects")

	var inputs []string
	for rest := args; ; rest = flags.Args()[1:] {
		if err := flags.Parse(rest); errors.Is(err, flag.ErrHelp) {
			fmt.Fprint(stdout, usage)
			flags.SetOutput(stdout)
			flags.PrintDefaults()
			return o, err
		} else if err != nil {
			return o, fmt.Errorf("%w (see -help)", err)
		}
		if flags.NArg() == 0 {
			break
		}
		inputs = append(inputs, flags.Arg(0)) // flags may follow it
		o.inputAt = len(args) - flags.NArg()
	}
	o.emptyNull = empty == "null"
	switch {
	case len(inputs) != 1:
		return o, errors.New("name one file of users, or - for standard input (see -help)")
	case empty != "ignore" && empty != "null":
		return o, fmt.Errorf("-empty is %q: use ignore or null", empty)
	case o.concurrency < 1 || o.concurrency > 65536:
		return o, fmt.Errorf("-concurrency is %d: use 1 to 65536", o.concurrency)
	case o.rate < 0 || math.IsNaN(o.rate):
		return o, fmt.Errorf("-rate is %v: use the requests per second, or 0 for no limit", o.rate)
	case o.dryRun && o.fake:
		return o, errors.New("-dry-run sends nothing, so -fake has no effect: leave one of them out")
	}
	o.input = inputs[0]
	o.id = strings.TrimSpace(o.id)
	return o, nil
}

// parseMapping reads the value of a -column flag. Names of columns may contain =,
// paths of members do not.
func parseMapping(text string) (mapping, error) {
	i := strings.LastIndexByte(text, '=')
	if i < 0 {
		return mapping{}, errors.New("use the name of a column, = and a member, such as 'E-mail 1=email'")
	}
	m := mapping{column: strings.TrimSpace(text[:i]), path: strings.TrimSpace(text[i+1:])}
	switch {
	case m.column == "", m.path == "":
		return m, errors.New("use the name of a column, = and a member, such as 'E-mail 1=email'")
	case isID(m.path):
		return m, fmt.Errorf("use -id %s for the column with the user IDs", quoteShell(m.column))
	case strings.Contains(m.path, ".") && len(splitPath(m.path)) == 1:
		return m, fmt.Errorf("%q is not a path such as custom.plan", m.path)
	}
	return m, nil
}

// reading returns the flags that change how rows are read, for the checkpoint.
func (o *inputOptions) reading() []string {
	var flags []string
	if o.id != "" {
		flags = append(flags, "-id="+o.id)
	}
	for _, m := range o.columns {
		flags = append(flags, "-column="+m.column+"="+m.path)
	}
	for _, null := range o.nulls {
		flags = append(flags, "-null="+null)
	}
	slices.Sort(flags) // their order has no meaning
	return slices.Compact(flags)
}

// setFiles names the files next to the input.
func (o *options) setFiles(format string) error {
	stem, ext := "stdin", ""
	if o.input != "-" {
		stem = strings.TrimSuffix(o.input, ".gz")
		ext = filepath.Ext(stem)
		stem = strings.TrimSuffix(stem, ext)
	}
	if ext == "" {
		ext = "." + format
	}
	if o.rejects == "" {
		o.rejects = stem + ".rejected" + ext
	}
	if o.checkpoint == "" {
		o.checkpoint = stem + ".checkpoint.json"
	}
	names := []string{o.input, o.rejects, o.checkpoint}
	for i, name := range names {
		for _, other := range names[:i] {
			if samePath(name, other) {
				return fmt.Errorf("%s cannot be two of input, file of rejects and checkpoint: name others with -rejects and -checkpoint", name)
			}
		}
	}
	return nil
}

func samePath(a, b string) bool {
	if filepath.Clean(a) == filepath.Clean(b) {
		return true
	}
	infoA, errA := os.Stat(a)
	infoB, errB := os.Stat(b)
	return errA == nil && errB == nil && os.SameFile(infoA, infoB)
}
