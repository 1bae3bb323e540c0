package courier_test

import (
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/http/httptest"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	courier "github.com/courier-profiles/courier-go"
)

// The benchmarks run in memory, except for BenchmarkMergeAll, so that they measure this
// package and not the network. internal/bench compares it with others.

// inMemory responds with its text.
type inMemory string

func (text inMemory) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		_, _ = io.Copy(io.Discard, req.Body)
	}
	return &http.Response{
		StatusCode: http.StatusOK,
		Header:     http.Header{"Content-Type": {"application/json"}},
		Body:       io.NopCloser(strings.NewReader(string(text))),
		Request:    req,
	}, nil
}

const mergeResponse = `{"status":"SUCCESS"}`

func inMemoryClient(tb testing.TB, response string) *courier.Client {
	tb.Helper()
	client, err := courier.NewClient("key", courier.WithHTTPClient(&http.Client{Transport: inMemory(response)}))
	if err != nil {
		tb.Fatal(err)
	}
	return client
}

// profileOf2 is the profile in the example of the API reference.
func profileOf2() courier.Profile {
	return courier.Profile{Email: courier.Set("user@example.com"), PhoneNumber: courier.Set("555-555-5555")}
}

// profileOf20 has an address and three keys in custom.
func profileOf20() courier.Profile {
	return courier.Profile{
		Sub:                 courier.Set("0460766e-8463-4905-ae98-b72c7aef41d6"),
		Name:                courier.Set("Ada Lovelace"),
		GivenName:           courier.Set("Ada"),
		FamilyName:          courier.Set("Lovelace"),
		Nickname:            courier.Set("ada"),
		PreferredUsername:   courier.Set("ada"),
		ProfileURL:          courier.Set("https://example.com/ada"),
		Picture:             courier.Set("https://example.com/ada.png"),
		Website:             courier.Set("https://example.com"),
		Email:               courier.Set("user@example.com"),
		EmailVerified:       courier.Set(true),
		Gender:              courier.Set("female"),
		Birthdate:           courier.Set("1815-12-10"),
		Zoneinfo:            courier.Set("Europe/London"),
		Locale:              courier.Set("en-GB"),
		PhoneNumber:         courier.Set("555-555-5555"),
		PhoneNumberVerified: courier.Set(false),
		UpdatedAt:           courier.Set("2026-01-01T00:00:00Z"),
		Address: courier.Set(courier.Address{
			StreetAddress: courier.Set("12 St James's Square"),
			Locality:      courier.Set("London"),
			Country:       courier.Set("GB"),
		}),
		Custom: courier.Set(map[string]any{"plan": "pro", "seats": 12, "beta": true}),
	}
}

// benchmark measures call.
func benchmark(b *testing.B, name string, call func() error) {
	b.Run(name, func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := call(); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkMerge(b *testing.B) {
	client := inMemoryClient(b, mergeResponse)
	for name, profile := range map[string]func() courier.Profile{"2 fields": profileOf2, "20 fields": profileOf20} {
		benchmark(b, name, func() error {
			_, err := client.Profiles.Merge(b.Context(), "user-1", profile())
			return err
		})
	}
}

// getResponse is the response to a Get of profile.
func getResponse(tb testing.TB, profile courier.Profile) string {
	tb.Helper()
	text, err := json.Marshal(profile)
	if err != nil {
		tb.Fatal(err)
	}
	return `{"profile":` + string(text) + `,"preferences":null}`
}

func BenchmarkGet(b *testing.B) {
	get := func(response string) func() error {
		client := inMemoryClient(b, response)
		return func() error {
			_, err := client.Profiles.Get(b.Context(), "user-1")
			return err
		}
	}
	benchmark(b, "20 fields", get(getResponse(b, profileOf20())))
	var custom strings.Builder
	for i := 0; custom.Len() < 1<<20; i++ {
		fmt.Fprintf(&custom, `,"key-%d":{"plan":"pro","seats":%d,"ratio":0.25,"beta":true,"tags":["a","b",null]}`, i, i)
	}
	benchmark(b, "1 MiB of custom", get(`{"profile":{"custom":{`+custom.String()[1:]+`}}}`))
}

// BenchmarkMergeAll measures 64 updates in flight over loopback, the server included.
func BenchmarkMergeAll(b *testing.B) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, mergeResponse)
	}))
	b.Cleanup(server.Close)
	client, err := courier.NewClient("key", courier.WithBaseURL(server.URL))
	if err != nil {
		b.Fatal(err)
	}
	defer client.CloseIdleConnections()
	for outcome := range client.Profiles.MergeAll(b.Context(), benchUpdates(b.N), courier.WithConcurrency(64)) {
		if outcome.Err != nil {
			b.Error(outcome.Err)
		}
	}
}

// benchUpdates are n updates of 100,000 users.
func benchUpdates(n int) iter.Seq2[string, courier.Profile] {
	return func(yield func(string, courier.Profile) bool) {
		for i := range n {
			if !yield(fmt.Sprint("user-", i%100_000), profileOf2()) {
				return
			}
		}
	}
}

// TestAllocations does not check the counts under the race detector, which adds its own.
func TestAllocations(t *testing.T) {
	writer, reader := inMemoryClient(t, mergeResponse), inMemoryClient(t, getResponse(t, profileOf20()))
	merge := func(profile func() courier.Profile) func() error {
		return func() error {
			_, err := writer.Profiles.Merge(t.Context(), "user-1", profile())
			return err
		}
	}
	get := func() error {
		_, err := reader.Profiles.Get(t.Context(), "user-1")
		return err
	}
	for _, test := range []struct {
		name string
		most float64
		call func() error
	}{
		{"merge of 2 fields", 42, merge(profileOf2)},
		{"merge of 20 fields", 54, merge(profileOf20)},
		{"get of 20 fields", 66, get},
	} {
		allocations := testing.AllocsPerRun(200, func() {
			if err := test.call(); err != nil {
				t.Fatal(err)
			}
		})
		wantAtMost(t, test.name, allocations, test.most)
	}
	n := 5000
	if raceDetector() {
		n = 100
	}
	mergeAll := func() {
		for outcome := range writer.Profiles.MergeAll(t.Context(), benchUpdates(n)) {
			if outcome.Err != nil {
				t.Fatal(outcome.Err)
			}
		}
	}
	mergeAll()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	mergeAll()
	runtime.ReadMemStats(&after)
	wantAtMost(t, "update of MergeAll", float64(after.Mallocs-before.Mallocs)/float64(n), 46)
}

func wantAtMost(t *testing.T, name string, allocations, most float64) {
	t.Helper()
	t.Logf("%s: %.2f allocations", name, allocations)
	if allocations > most && !raceDetector() {
		t.Errorf("%s: %.2f allocations, want at most %v", name, allocations, most)
	}
}

func raceDetector() bool {
	info, _ := debug.ReadBuildInfo()
	return slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}
