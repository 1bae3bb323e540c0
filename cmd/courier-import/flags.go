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
	readOptions
	dryRun, yes, fake, fresh bool
	concurrency              int
	rate                     float64
	rejects                  string
	checkpoint               string
	command                  command
}

const usage = `Merges a file of users into Courier. It shows a plan, asks, and then sends.

	courier-import [flags] users.csv     (- for standard input)

The file is CSV, the first line of which names the columns, or JSON objects: one a
line, over several lines, in a list, or in a list in an object. It may be
compressed with gzip or zstd. Other compressed files can be piped in:
xz -dc users.csv.xz | courier-import -

The plan shows where the values of each column go. These are sent:
  - the user ID: the column id or user_id, or the one that -id names;
  - names that Courier knows, in any spelling, such as email, phone_number, name,
    given_name, family_name, nickname, birthdate, gender, locale, zoneinfo, picture,
    email_verified, address.country, expo.token, firebaseToken, slack.email, custom.*,
    and first_name, last_name and courier.channel of its import template;
  - what -column maps: -column 'E-mail 1=email'.
Nothing else is, unless -rest says so. If Courier does not know the name of the column
that -id names, it is only the ID. Empty values change nothing.

COURIER_API_KEY is the API key, and COURIER_BASE_URL the URL of the API if it is not the
default. Rejected records go to users.rejected.csv, next to the input: fix them and
import that file. If the import is stopped in any way, the same command resumes it. If
the flags were wrong, import the original file again with the right ones and -fresh, not
the file of rejects.

Exit codes: 0 all records were merged, 1 some were rejected, 2 could not start or
continue, 130 interrupted. (go run turns all but 0 into 1.) 0 does not say that all
columns were sent: read "Will not be sent" in the plan.

Flags:
`

func parseFlags(args []string, stdout io.Writer) (options, error) {
	o := options{command: command{args: args}}
	empty := "ignore"
	flags := flag.NewFlagSet("courier-import", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.BoolVar(&o.dryRun, "dry-run", false, "stop after the plan and send nothing")
	flags.BoolVar(&o.yes, "yes", false, "send without asking")
	flags.BoolVar(&o.fake, "fake", false, "send to an in-memory fake of Courier, without "+
		"asking; rejects and progress go to files with .fake in their names")
	flags.StringVar(&o.id, "id", "", "`name` of the column with the user IDs")
	flags.Func("column", "`name=member`: send a column as that member of the profile, "+
		"such as 'E-mail 1=email'; 'name=' leaves it out (repeatable)", func(text string) error {
		m, err := parseMapping(text)
		o.columns = append(o.columns, m)
		return err
	})
	flags.Var((*restFlag)(&o.rest), "rest", "send columns unknown to Courier too, under "+
		"their own names; -rest=custom sends them into custom")
	flags.IntVar(&o.skip, "skip", 0, "`number` of lines before the column names")
	flags.StringVar(&o.list, "list", "", "`name` of the list of users in a JSON object")
	flags.Func("null", "`text` that counts as empty in every column, such as NULL (repeatable)",
		func(text string) error {
			o.nulls = append(o.nulls, strings.TrimSpace(text))
			return nil
		})
	flags.StringVar(&empty, "empty", empty,
		"what empty values do: change nothing, or remove the member (`ignore|null`)")
	flags.StringVar(&o.encoding, "encoding", "",
		"`name` of an encoding such as windows-1252, if not UTF-8 or UTF-16")
	flags.IntVar(&o.concurrency, "concurrency", 16, "`number` of requests in flight")
	flags.Float64Var(&o.rate, "rate", 0, "`number` of requests per second, at most; 0 for no limit")
	flags.StringVar(&o.rejects, "rejects", "",
		"`file` for rejected records (default users.rejected.csv, next to users.csv)")
	flags.StringVar(&o.checkpoint, "checkpoint", "",
		"`file` for the progress (default users.checkpoint, next to users.csv)")
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
		o.command.inputAt = len(args) - flags.NArg()
	}
	o.emptyNull = empty == "null"
	o.id = strings.TrimSpace(o.id)
	if len(inputs) == 1 {
		o.input = inputs[0]
	}
	return o, o.check(len(inputs), empty)
}

func (o *options) check(inputs int, empty string) error {
	switch {
	case inputs != 1:
		return errors.New("name one file of users, or - for standard input (see -help)")
	case empty != "ignore" && empty != "null":
		return fmt.Errorf("-empty is %q: use ignore or null", empty)
	case o.skip < 0:
		return fmt.Errorf("-skip is %d: use the number of lines before the column names", o.skip)
	case o.concurrency < 1 || o.concurrency > 65536:
		return fmt.Errorf("-concurrency is %d: use 1 to 65536", o.concurrency)
	case o.rate < 0 || math.IsNaN(o.rate):
		return fmt.Errorf("-rate is %v: use the requests per second, or 0 for no limit", o.rate)
	}
	return nil
}

// restFlag is set by -rest and by -rest=custom.
type restFlag string

func (r *restFlag) IsBoolFlag() bool { return true }
func (r *restFlag) String() string   { return string(*r) }
func (r *restFlag) Set(text string) error {
	switch text {
	case "true":
		*r = "own"
	case "false":
		*r = ""
	case "custom":
		*r = "custom"
	default:
		return errors.New("use -rest or -rest=custom")
	}
	return nil
}

// parseMapping reads the value of a -column flag. Names of columns may contain =,
// paths of members do not.
func parseMapping(text string) (mapping, error) {
	i := strings.LastIndexByte(text, '=')
	if i < 1 {
		return mapping{}, errors.New("use the name of a column, = and a member, such as " +
			"'E-mail 1=email'; without a member, the column is not sent")
	}
	m := mapping{column: strings.TrimSpace(text[:i]), path: strings.TrimSpace(text[i+1:])}
	switch {
	case m.column == "":
		return m, errors.New("there is no name of a column before the =")
	case isID(m.path):
		return m, fmt.Errorf("use -id %q for the column with the user IDs", m.column)
	case strings.Contains(m.path, ".") && len(splitPath(m.path)) == 1:
		return m, fmt.Errorf("%q is not a path such as custom.plan", m.path)
	}
	return m, nil
}

// reading returns the flags that change what is sent of an input.
func (o *readOptions) reading() []string {
	var flags []string
	add := func(name, value string) {
		if value != "" {
			flags = append(flags, "-"+name+"="+value)
		}
	}
	add("id", o.id)
	add("rest", strings.Replace(o.rest, "own", "true", 1))
	add("list", o.list)
	add("encoding", o.encoding)
	if o.skip > 0 {
		add("skip", fmt.Sprint(o.skip))
	}
	if o.emptyNull {
		add("empty", "null")
	}
	for _, m := range o.columns {
		add("column", m.column+"="+m.path)
	}
	for _, null := range o.nulls {
		add("null", null)
	}
	slices.Sort(flags) // their order has no meaning
	return slices.Compact(flags)
}

// setFiles names the files next to the input. A run with -fake has its own, which
// the next one overwrites.
func (o *options) setFiles(r reader) error {
	if o.fake && o.rejects == "" && o.checkpoint == "" {
		o.fresh = true
	}
	stem, ext := "stdin", ""
	if o.input != "-" {
		stem = strings.TrimSuffix(strings.TrimSuffix(o.input, ".gz"), ".zst")
		ext = filepath.Ext(stem)
		stem = strings.TrimSuffix(stem, ext)
	}
	_, isJSON := r.(*jsonReader)
	switch {
	case isJSON:
		ext = ".ndjson"
	case ext == "":
		ext = ".csv"
	}
	if o.fake {
		stem += ".fake"
	}
	if o.rejects == "" {
		o.rejects = stem + ".rejected" + ext
	}
	if o.checkpoint == "" {
		o.checkpoint = stem + ".checkpoint"
	}
	names := []string{o.input, o.rejects, o.checkpoint}
	for i, name := range names {
		for _, other := range names[:i] {
			if samePath(name, other) {
				return fmt.Errorf("input, file of rejects and checkpoint must be three files, and "+
					"%s is two of them: name others with -rejects and -checkpoint", name)
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
