package courier_test

import (
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	courier "github.com/courier-profiles/courier-go"
)

// The benchmarks run in memory, except for BenchmarkMergeAll, so that they measure this package
// and not the network. internal/bench compares it with net/http by hand.

// inMemory responds to every request with its text.
type inMemory string

func (text inMemory) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		io.Copy(io.Discard, req.Body)
	}
	return &http.Response{
		StatusCode: http.StatusOK,
		Header:     http.Header{"Content-Type": {"application/json"}},
		Body:       io.NopCloser(strings.NewReader(string(text))),
		Request:    req,
	}, nil
}

func inMemoryClient(tb testing.TB, response string) *courier.Client {
	tb.Helper()
	client, err := courier.NewClient(apiKey,
		courier.WithHTTPClient(&http.Client{Transport: inMemory(response)}))
	if err != nil {
		tb.Fatal(err)
	}
	return client
}

// profileOf20 has twenty fields, among them an address and custom.
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

func BenchmarkMerge(b *testing.B) {
	client := inMemoryClient(b, success)
	for _, test := range []struct {
		name    string
		profile func() courier.Profile
	}{
		{"2 fields", exampleProfile},
		{"20 fields", profileOf20},
	} {
		b.Run(test.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, err := client.Profiles.Merge(b.Context(), "user-1", test.profile())
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkGet(b *testing.B) {
	profile, err := json.Marshal(profileOf20())
	if err != nil {
		b.Fatal(err)
	}
	const preferences = `{"categories":{"billing":{"status":"OPTED_IN"}},` +
		`"notifications":{"weekly":{"status":"OPTED_OUT",` +
		`"rules":[{"until":"2026-01-01T00:00:00Z","start":null}],` +
		`"channel_preferences":[{"channel":"email"},{"channel":"push"}]}}}`
	var custom strings.Builder
	for i := 0; custom.Len() < 1<<20; i++ {
		fmt.Fprintf(&custom, `,"key-%d":{"plan":"pro","seats":%d,"ratio":0.25,"tags":["a",null]}`, i, i)
	}
	for _, test := range []struct{ name, response string }{
		{"20 fields", `{"profile":` + string(profile) + `,"preferences":null}`},
		{"20 fields and preferences",
			`{"profile":` + string(profile) + `,"preferences":` + preferences + `}`},
		{"1 MiB of custom", `{"profile":{"custom":{` + custom.String()[1:] + `}}}`},
	} {
		b.Run(test.name, func(b *testing.B) {
			client := inMemoryClient(b, test.response)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := client.Profiles.Get(b.Context(), "user-1"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkMergeAll measures 64 updates in flight over loopback, the server included.
func BenchmarkMergeAll(b *testing.B) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, success)
	}))
	b.Cleanup(server.Close)
	client, err := courier.NewClient(apiKey, courier.WithBaseURL(server.URL))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(client.CloseIdleConnections)
	b.ReportAllocs()
	updates, concurrency := benchUpdates(b.N), courier.WithConcurrency(64)
	for outcome := range client.Profiles.MergeAll(b.Context(), updates, concurrency) {
		if outcome.Err != nil {
			b.Error(outcome.Err)
		}
	}
}

// benchUpdates are n updates of 100,000 users.
func benchUpdates(n int) iter.Seq2[string, courier.Profile] {
	return func(yield func(string, courier.Profile) bool) {
		for i := range n {
			if !yield(fmt.Sprint("user-", i%100_000), exampleProfile()) {
				return
			}
		}
	}
}

// TestAllocations is a loose bound for a merge, about twice what it takes, so that a mistake such
// as a retry client per call is noticed. The benchmarks print the number.
func TestAllocations(t *testing.T) {
	client := inMemoryClient(t, success)
	allocations := testing.AllocsPerRun(100, func() {
		if _, err := merge(t.Context(), client); err != nil {
			t.Fatal(err)
		}
	})
	if allocations > 100 {
		t.Errorf("a merge of two fields makes %v allocations, want at most 100", allocations)
	}
}
