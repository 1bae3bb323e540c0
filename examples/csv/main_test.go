package main

import (
	"encoding/csv"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	courier "github.com/courier-profiles/courier-go"
	"github.com/courier-profiles/courier-go/couriertest"
)

// Rows that were not merged are written to the file of failures, in the order of the input.
// Once the cause is gone, merging that file completes the profile. It then has only the rows
// that failed again.
func TestMergeFile(t *testing.T) {
	t.Parallel()
	server := couriertest.NewServer(t)
	client := server.Client(courier.WithMaxRetries(0))
	folder := t.TempDir()
	input := filepath.Join(folder, "users.csv")
	failed := filepath.Join(folder, "failed.csv")
	const users = `email,id,name
ada@example.com,user-1,Ada
,user-1,Ada King
,,Bo
`
	if err := os.WriteFile(input, []byte(users), 0o600); err != nil {
		t.Fatal(err)
	}

	server.Fail(couriertest.Fault{Status: 503})
	err := mergeFile(t.Context(), client, input, failed)
	if err == nil {
		t.Fatal("the first run returned no error, want one that names the file of failures")
	}
	if !strings.Contains(err.Error(), failed) {
		t.Errorf("the first run returned the error %v, want one that names %s", err, failed)
	}
	want := [][]string{
		{"id", "name", "email", "phone_number", "plan", "retryable"},
		{"user-1", "Ada", "ada@example.com", "", "", "true"},
		{"user-1", "Ada King", "", "", "", "true"},
		{"", "Bo", "", "", "", "false"},
	}
	if diff := cmp.Diff(want, readFailures(t, failed)); diff != "" {
		t.Errorf("failures of the first run (-want +got):\n%s", diff)
	}

	err = mergeFile(t.Context(), client, failed, failed)
	if err == nil {
		t.Error("the second run returned no error, want one, as a row has no ID")
	}
	want = [][]string{want[0], want[3]}
	if diff := cmp.Diff(want, readFailures(t, failed)); diff != "" {
		t.Errorf("failures of the second run (-want +got):\n%s", diff)
	}
	profile, _ := server.Profile("user-1")
	if got, want := profile.String(), `{"name":"Ada King","email":"ada@example.com"}`; got != want {
		t.Errorf("the profile is %s, want %s", got, want)
	}
}

// readFailures returns a file of failures without its last column, the text of the error. It
// fails if a row has none.
func readFailures(t *testing.T, name string) [][]string {
	t.Helper()
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	records, err := csv.NewReader(file).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for i, record := range records {
		if record[len(record)-1] == "" {
			t.Errorf("the last column of line %d is empty, want an error", i+1)
		}
		records[i] = record[:len(record)-1]
	}
	return records
}
