// Csv merges the rows of a CSV file into profiles, and writes the rows that were not
// merged to another file, which it can read as well.
//
//	go run ./examples/csv examples/csv/users.csv failed.csv
//
// With COURIER_API_KEY (or COURIER_AUTH_TOKEN) set, it merges into profiles at Courier.
// Otherwise it runs against the in-memory fake of the API.
package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http/httptest"
	"os"
	"os/signal"
	"slices"

	courier "github.com/courier-profiles/courier-go"
	"github.com/courier-profiles/courier-go/couriertest"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 2 {
		return errors.New("usage: csv INPUT FAILED")
	}
	// The first interrupt stops the run, and the rest of the file goes to FAILED. A second
	// one ends the program.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	context.AfterFunc(ctx, stop)

	if os.Getenv("COURIER_API_KEY") == "" && os.Getenv("COURIER_AUTH_TOKEN") == "" {
		fmt.Println("COURIER_API_KEY is not set: using the in-memory fake of the API.")
		fake := couriertest.NewHandler()
		server := httptest.NewServer(fake)
		defer server.Close()
		client, err := courier.NewClient(fake.APIKey, courier.WithBaseURL(server.URL))
		if err != nil {
			return err
		}
		return mergeFile(ctx, client, args[0], args[1])
	}
	client, err := courier.NewClientFromEnv()
	if err != nil {
		return err
	}
	return mergeFile(ctx, client, args[0], args[1])
}

func mergeFile(ctx context.Context, client *courier.Client, input, failed string) error {
	rows, err := readRows(input)
	if err != nil {
		return err
	}
	failures, err := mergeRows(ctx, client, rows)
	if err != nil {
		return err
	}
	fmt.Printf("%d of %d rows merged\n", len(rows)-len(failures), len(rows))
	if len(failures) == 0 {
		return nil
	}
	if err := writeFailures(failed, failures); err != nil {
		return err
	}
	return fmt.Errorf("the rows that were not merged are in %s", failed)
}

// failure is a row that was not merged.
type failure struct {
	row row
	err error
}

// errNotReached is for rows behind the one at which the run ended.
var errNotReached = errors.New("the run ended before this row")

// mergeRows merges the rows and returns those that were not merged, in the order of the
// file: merging them later in this order never restores old data.
func mergeRows(ctx context.Context, client *courier.Client, rows []row) ([]failure, error) {
	errs := slices.Repeat([]error{errNotReached}, len(rows))
	for outcome := range client.Profiles.MergeAll(ctx, updates(rows)) {
		if outcome.Index < 0 { // an option is invalid
			return nil, outcome.Err
		}
		errs[outcome.Index] = outcome.Err
	}
	var failures []failure
	for i, err := range errs {
		if err != nil {
			failures = append(failures, failure{rows[i], err})
		}
	}
	return failures, nil
}

// updates returns one update for each row.
func updates(rows []row) iter.Seq2[string, courier.Profile] {
	return func(yield func(string, courier.Profile) bool) {
		for _, row := range rows {
			if !yield(row.id, row.profile()) {
				return
			}
		}
	}
}
