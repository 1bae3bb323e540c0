//go:build !race

package courier_test

import (
	"net/http"
	"runtime"
	"testing"

	courier "github.com/courier-profiles/courier-go"
)

// An update of MergeAll costs what a Merge does, and little more; the race
// detector adds some of its own.
func TestMergeAllAllocations(t *testing.T) {
	const updates, most = 20_000, 31
	client, err := courier.NewClient(coreKey, courier.WithHTTPClient(&http.Client{Transport: memoryTransport{success}}))
	if err != nil {
		t.Fatal(err)
	}
	input := func(yield func(string, courier.Profile) bool) {
		for range updates {
			if !yield("user-1", twoFields()) {
				return
			}
		}
	}
	run := func() {
		for outcome := range client.Profiles.MergeAll(t.Context(), input) {
			if outcome.Err != nil {
				t.Fatal(outcome.Err)
			}
		}
	}
	run()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	run()
	runtime.ReadMemStats(&after)
	got := float64(after.Mallocs-before.Mallocs) / updates
	if got > most {
		t.Errorf("%.2f allocations for each update, want at most %d", got, most)
	}
	t.Logf("%.2f allocations and %d bytes for each update", got, (after.TotalAlloc-before.TotalAlloc)/updates)
}
