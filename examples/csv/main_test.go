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

// What failed is in the second file, in the order of the first. Merging that file completes
// the profile once the cause is gone.
func TestMergeFile(t *testing.T) {
	t.Parallel()
	server := couriertest.NewServer(t)
	client := server.Client(courier.WithMaxRetries(0))
	folder := t.TempDir()
	input := filepath.Join(folder, "users.csv")
	failed := filepath.Join(folder, "failed.csv")
	const users = "email,id,name\nada@example.com,user-1,Ada\n,user-1,Ada King\n,,Bo\n"
	if err := os.WriteFile(input, []byte(users), 0o600); err != nil {
		t.Fatal(err)
	}

	server.Fail(couriertest.Fault{Status: 503})
	err := mergeFile(t.Context(), client, input, failed)
	if err == nil || !strings.Contains(err.Error(), failed) {
		t.Errorf("the first run returned %v, want an error that names the file of failures", err)
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
		t.Error("the second run returned no error, but one row has no ID")
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

// readFailures returns a file of failures without the texts of the errors.
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
			t.Errorf("line %d has no error", i+1)
		}
		records[i] = record[:len(record)-1]
	}
	return records
}
