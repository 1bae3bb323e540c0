// Courier-import merges a file of users into Courier. It shows a plan of where each
// column goes, asks, and then sends:
//
//	go run -C cmd ./courier-import -fake courier-import/users.csv
//
// It reads CSV, such as Courier's own template, and JSON; see -help. Records that it
// cannot import go to users.rejected.csv, where they can be fixed. When it is
// stopped, by Ctrl-C or in any other way, the same command resumes.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"

	"github.com/courier-profiles/courier-go/cmd/internal/job"
)

func main() {
	ctx, drain, stop := job.Signals(context.Background())
	code := run(ctx, drain, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

func run(ctx, drain context.Context, args []string, stdin, stdout, stderr *os.File) int {
	o, err := parseFlags(args, stdout)
	if errors.Is(err, flag.ErrHelp) {
		return job.Done
	}
	if err != nil {
		return job.Fail(stderr, err)
	}
	rejected, err := importFile(ctx, drain, &o, stdin, stdout, stderr)
	switch {
	case err != nil:
		return job.Fail(stderr, err)
	case rejected:
		return job.Rejected
	}
	return job.Done
}

// importFile runs the import. It returns whether records were rejected.
func importFile(ctx, drain context.Context, o *options, stdin, stdout, stderr *os.File) (
	rejected bool, err error,
) {
	var client *job.Client
	if !o.dryRun {
		if client, err = job.NewClient(o.fake); errors.Is(err, job.ErrNoKey) {
			err = fmt.Errorf("%w.\nWithout one, -fake sends to an in-memory fake of Courier, "+
				"and -dry-run stops after the plan:\n\t%s", err, o.command.with("-dry-run"))
		}
		if err != nil {
			return false, err
		}
		defer client.Close()
	}
	in, err := openInput(drain, o.input, stdin)
	if err != nil {
		return false, err
	}
	defer in.close()
	s := &source{in: in, o: &o.readOptions, command: &o.command}
	sample, err := s.sample()
	if err != nil {
		return false, err
	}
	idName, err := s.findID(sample)
	if err != nil {
		return false, fmt.Errorf("%s: %w", in.name, err)
	}
	if err := o.checkNulls(sample.reader.names()); err != nil {
		return false, err
	}
	if err := o.setFiles(sample.reader); err != nil {
		return false, err
	}
	r := &importRun{options: o, source: s, client: client, stderr: stderr,
		rejects: &rejects{path: o.rejects}}
	if !o.dryRun && !o.fresh {
		if err := r.rejects.checkNew(); err != nil {
			return false, err
		}
	}
	pr := newPrinter(stdout, &o.command)
	if other := sample.otherID(idName); other != "" {
		pr.otherID = s.idFlags(sample, other)
	}
	p := newPlan(sample.reader, idName, &o.readOptions)
	found, err := check(drain, s, p, stderr)
	if err != nil {
		return false, err
	}
	if found.records == 0 {
		return false, fmt.Errorf("%s: %w", in.name, errNoRecords)
	}
	pr.plan(in, p, found)
	switch {
	case found.good == 0 && hasReasons(p.reader):
		fmt.Fprintf(stderr, "\nNothing of %s can be merged: fix the records in it first, for "+
			"the reason that each has, and import it again.\n", in.name)
		return true, nil
	case o.dryRun:
		return found.good < found.records, nil
	}
	r.plan = p
	return r.sendChecked(ctx, drain, found, stdin)
}

// sendChecked asks and sends.
func (r *importRun) sendChecked(ctx, drain context.Context, found *survey, stdin *os.File) (
	rejected bool, err error,
) {
	id := identity{Input: r.source.in.name, Sum: r.source.in.first.whole,
		Destination: r.client.Destination, Rejects: r.options.rejects, Flags: r.reading()}
	r.checkpoint, err = openCheckpoint(r.options.checkpoint, id, r.fresh)
	if err != nil {
		return false, err
	}
	left := found.good - r.checkpoint.resumed
	if r.checkpoint.resumed > 0 {
		fmt.Fprintf(r.stderr, "\nResuming: %s merged before. (-fresh starts over.)\n",
			job.Plural(r.checkpoint.resumed, "record was", "records were"))
	}
	if !r.yes && !r.fake && left > 0 {
		question := fmt.Sprintf("\nSend %s to %s?", job.Plural(left, "record", "records"),
			r.client.Destination)
		if err := confirm(drain, question, r.options, stdin, r.stderr); err != nil {
			return false, errors.Join(err, r.checkpoint.close())
		}
	}
	fmt.Fprintln(r.stderr)
	rejected, err = r.send(ctx, drain)
	switch {
	case err != nil:
		return false, r.advise(err)
	case rejected:
		r.adviseRejects(found)
	}
	return rejected, nil
}

// adviseRejects says what to do with the file of rejects.
func (r *importRun) adviseRejects(found *survey) {
	if found.byKind[notUTF8.kind] != nil {
		fmt.Fprintf(r.stderr, "Some records are not UTF-8. Import the whole file again with its "+
			"encoding, for instance:\n\t%s\n",
			r.command.with("-encoding", "windows-1252", "-fresh"))
		return
	}
	merged, _ := r.window.counts()
	if merged == 0 && hasReasons(r.plan.reader) {
		fmt.Fprintf(r.stderr, "Nothing of %s could be merged: before you import it again, fix "+
			"the reason that each record has.\n", r.source.in.name)
	}
	fmt.Fprintf(r.stderr, "The rejected records are in %s, with the reason for each.\n"+
		"Fix them there, and import that file:\n\t%s\n", r.options.rejects,
		r.command.without(r.options.rejects, "skip", "list", "encoding", "rejects", "fresh"))
}

// advise adds what to do to the reason for which a run has ended.
func (r *importRun) advise(err error) error {
	what := job.ErrorText(err)
	switch {
	case errors.Is(err, errChanged):
		return err
	case isDenied(err):
		err = fmt.Errorf("the API key is not accepted (%s): check COURIER_API_KEY", what)
	case errors.Is(err, job.ErrInterrupted):
	default:
		err = errors.New(strings.TrimPrefix(what, "nothing was sent: the run ended: "))
	}
	how := "resume"
	if r.fake {
		how = "start over"
	}
	how += ", run the same command again"
	if r.input == "-" {
		how += " with the same input"
	}
	return fmt.Errorf("%w.\nTo %s:\n\t%s", err, how,
		r.command.without(r.input, "fresh"))
}
