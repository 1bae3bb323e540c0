//go:build !race

package courier_test

import (
	"net/http"
	"testing"

	courier "github.com/courier-profiles/courier-go"
)

// The counts are exact, so that a test can hold them; the race detector adds
// some of its own.
func TestMergeAllocations(t *testing.T) {
	client, err := courier.NewClient(coreKey, courier.WithHTTPClient(&http.Client{Transport: memoryTransport{success}}))
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name    string
		profile func() courier.Profile
		most    float64
	}{
		{"2 fields", twoFields, 28},
		{"20 fields", twentyFields, 38},
	} {
		got := testing.AllocsPerRun(500, func() {
			if _, err := client.Profiles.Merge(t.Context(), "user-1", test.profile()); err != nil {
				t.Fatal(err)
			}
		})
		if got > test.most {
			t.Errorf("%s: %v allocations, want at most %v", test.name, got, test.most)
		}
		t.Logf("%s: %v allocations", test.name, got)
	}
}
