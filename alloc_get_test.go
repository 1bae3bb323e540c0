//go:build !race

package courier_test

import (
	"net/http"
	"testing"

	courier "github.com/courier-profiles/courier-go"
)

// The count is exact, so that a test can hold it; the race detector adds some of
// its own.
func TestGetAllocations(t *testing.T) {
	const most = 48
	transport := memoryTransport{getAnswer(t, twentyFields())}
	client, err := courier.NewClient(apiKey, courier.WithHTTPClient(&http.Client{Transport: transport}))
	if err != nil {
		t.Fatal(err)
	}
	got := testing.AllocsPerRun(500, func() {
		if _, err := client.Profiles.Get(t.Context(), "user-1"); err != nil {
			t.Fatal(err)
		}
	})
	if got > most {
		t.Errorf("%v allocations, want at most %d", got, most)
	}
	t.Logf("%v allocations", got)
}
