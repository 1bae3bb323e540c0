// Import merges a file of users into Courier.
//
//	go run -C examples/import . -fake users.csv
//
// It reads CSV, Courier's own template among them, and a JSON object a line; see
// -help. What it cannot import it writes to users.rejected.csv, to be mended and
// imported. When it is stopped, by Ctrl-C or in any other way, the same command
// goes on where it was.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// Exit codes.
const (
	exitDone        = 0   // all rows were merged
	exitRejected    = 1   // all rows were merged or rejected
	exitFailed      = 2   // the import could not begin, or not go on
	exitInterrupted = 130 // by a signal
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// From the first signal on, another one ends the program at once.
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

func run(ctx context.Context, args []string, stdin *os.File, stdout io.Writer, stderr *os.File) int {
	o, err := parseFlags(args, stdout)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitDone
	case err == nil:
		var code int
		if code, err = importFile(ctx, o, stdin, stdout, stderr); err == nil {
			return code
		}
	}
	fmt.Fprintln(stderr, err)
	if errors.Is(err, errInterrupted) {
		return exitInterrupted
	}
	return exitFailed
}

// options are what the flags say.
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
}

const usage = `Merges a file of users into Courier, one row after the other for each user, and
many users at a time.

	import [flags] users.csv      also .tsv, .ndjson, .jsonl, each also with .gz
	import [flags] -              standard input

The API key is taken from COURIER_API_KEY, or else COURIER_AUTH_TOKEN, and the
URL from COURIER_BASE_URL if that is set. Without a key, -dry-run and -fake work.

CSV: the first line names the columns. One of them is id or user_id, in any
place. The others are members of the profile: Courier's own, such as email (case
does not matter), or yours, such as custom.plan. A dot leads into an object:
address.country. Commas, semicolons or tabs, UTF-8 or UTF-16, with or without a
byte order mark, are recognised. Columns of booleans (email_verified,
phone_number_verified) take true, yes, y, 1, false, no, n and 0; all others are
text. A cell of nothing but spaces is empty. An empty cell is not given: that
member stays as it is. Rows and further columns that are empty are skipped.

NDJSON: {"user_id": "user-1", "profile": {"email": "user@example.com"}} on each
line. It can hold what a cell cannot, such as numbers, lists and null.

Rows that are wrong, or that Courier refuses, go to users.rejected.csv, with the
line and the reason in further columns. A row that cannot be split into the
columns is in the column text as it was. Mend either, and import that file; the
further columns are not imported. Where a user has several rows, mind that a
mended one comes after the others then.

Progress is kept in users.checkpoint.json until all is done. After Ctrl-C, an
error or a crash, the same command goes on there. Rows that had no answer are
sent again then, and after a crash also those of its last moments: in the same
order, which leaves each profile as if they had been sent once.

The exit code is 0 if all rows were merged, 1 if some were rejected, 2 if the
import could not begin or go on, and 130 if it was interrupted. (go run itself
exits with 1 for all of these but 0: use go build to see them.)

Flags:
`

func parseFlags(args []string, stdout io.Writer) (options, error) {
	o := options{args: args}
	empty := "ignore"
	flags := flag.NewFlagSet("import", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.BoolVar(&o.dryRun, "dry-run", false, "check all rows, print what is wrong, and send nothing")
	flags.BoolVar(&o.fake, "fake", false, "import into the Profiles API in memory, which is gone at the end, to see how it works")
	flags.StringVar(&empty, "empty", empty, "what an empty cell does: ignore leaves the member as it is, null removes it (`ignore|null`)")
	flags.IntVar(&o.concurrency, "concurrency", 16, "`number` of requests at a time")
	flags.Float64Var(&o.rate, "rate", 0, "`number` of requests a second at the most; 0 for no limit")
	flags.StringVar(&o.encoding, "encoding", "", "`name` of the input's encoding if it is neither UTF-8 nor UTF-16, such as windows-1252")
	flags.StringVar(&o.rejects, "rejects", "", "`file` for rejected rows (default beside the input: users.rejected.csv)")
	flags.StringVar(&o.checkpoint, "checkpoint", "", "`file` that keeps the progress (default beside the input: users.checkpoint.json)")
	flags.BoolVar(&o.fresh, "fresh", false, "begin at the first row: forget the checkpoint, and overwrite the file of rejects")

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
		inputs = append(inputs, flags.Arg(0)) // flags may come behind it
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
		return o, fmt.Errorf("-rate is %v: use the requests a second, or 0 for no limit", o.rate)
	case o.dryRun && o.fake:
		return o, errors.New("-dry-run sends nothing, so -fake has no effect: leave one of them out")
	}
	o.input = inputs[0]
	return o, nil
}

// setFiles gives the files their names beside the input.
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
		case arg == o.input:
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
