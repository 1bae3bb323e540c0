package courier_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"

	courier "github.com/courier-profiles/courier-go"
)

// The benchmarks compare calls with what a careful programmer writes on net/http, without
// retries, typed errors, null, and unknown keys. Except for BenchmarkMergeAll, they run in
// memory, so that they measure this package and not the network. Compare medians of many
// short runs.

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

// handProfile is a struct for the same fields, written by hand.
type handProfile struct {
	Sub                 string         `json:"sub,omitempty"`
	Name                string         `json:"name,omitempty"`
	GivenName           string         `json:"given_name,omitempty"`
	FamilyName          string         `json:"family_name,omitempty"`
	Nickname            string         `json:"nickname,omitempty"`
	PreferredUsername   string         `json:"preferred_username,omitempty"`
	Profile             string         `json:"profile,omitempty"`
	Picture             string         `json:"picture,omitempty"`
	Website             string         `json:"website,omitempty"`
	Email               string         `json:"email,omitempty"`
	EmailVerified       *bool          `json:"email_verified,omitempty"`
	Gender              string         `json:"gender,omitempty"`
	Birthdate           string         `json:"birthdate,omitempty"`
	Zoneinfo            string         `json:"zoneinfo,omitempty"`
	Locale              string         `json:"locale,omitempty"`
	PhoneNumber         string         `json:"phone_number,omitempty"`
	PhoneNumberVerified *bool          `json:"phone_number_verified,omitempty"`
	UpdatedAt           string         `json:"updated_at,omitempty"`
	Address             *handAddress   `json:"address,omitempty"`
	Custom              map[string]any `json:"custom,omitempty"`
}

type handAddress struct {
	StreetAddress string `json:"street_address,omitempty"`
	Locality      string `json:"locality,omitempty"`
	Country       string `json:"country,omitempty"`
}

// handProfileOf returns the same profile as a handProfile.
func handProfileOf(tb testing.TB, profile courier.Profile) (hand handProfile) {
	tb.Helper()
	text, err := json.Marshal(profile)
	if err == nil {
		err = json.Unmarshal(text, &hand)
	}
	if err != nil {
		tb.Fatal(err)
	}
	return hand
}

// byHand sends a request and reads the response into result. Its client has no Timeout,
// which would cost another 18 allocations.
func byHand(ctx context.Context, client *http.Client, method, base, userID string, body, result any) error {
	var reader io.Reader
	if text, err := json.Marshal(body); err != nil {
		return err
	} else if body != nil {
		reader = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, base+"/profiles/"+url.PathEscape(userID), reader)
	if err != nil {
		return err
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Authorization", "Bearer key")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("unexpected status %s", resp.Status)
	}
	decoder := json.NewDecoder(resp.Body)
	decoder.UseNumber()
	return decoder.Decode(result)
}

// handBody is the body of a merge, and of the response to a get.
type handBody[T any] struct {
	Profile T `json:"profile"`
}

func mergeByHand(ctx context.Context, client *http.Client, base, userID string, profile handProfile) error {
	var result struct{ Status string }
	return byHand(ctx, client, http.MethodPost, base, userID, handBody[handProfile]{profile}, &result)
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
	client, hand := inMemoryClient(b, mergeResponse), &http.Client{Transport: inMemory(mergeResponse)}
	for i, profile := range []func() courier.Profile{profileOf2, profileOf20} {
		name, other := []string{"2 fields", "20 fields"}[i], handProfileOf(b, profile())
		benchmark(b, name+"/courier", func() error {
			_, err := client.Profiles.Merge(b.Context(), "user-1", profile())
			return err
		})
		benchmark(b, name+"/by hand", func() error {
			return mergeByHand(b.Context(), hand, courier.DefaultBaseURL, "user-1", other)
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
	twenty := getResponse(b, profileOf20())
	benchmark(b, "20 fields/courier", get(twenty))
	benchmark(b, "20 fields/by hand", func() error {
		return byHand(b.Context(), &http.Client{Transport: inMemory(twenty)}, http.MethodGet, courier.DefaultBaseURL, "user-1", nil, new(handBody[handProfile]))
	})

	var custom strings.Builder
	for i := 0; custom.Len() < 1<<20; i++ {
		fmt.Fprintf(&custom, `,"key-%d":{"plan":"pro","seats":%d,"ratio":0.25,"beta":true,"tags":["a","b",null]}`, i, i)
	}
	large := `{"profile":{"custom":{` + custom.String()[1:] + `}}}`
	benchmark(b, "1 MiB of custom/courier", get(large))
	benchmark(b, "1 MiB of custom/by hand", func() error {
		return byHand(b.Context(), &http.Client{Transport: inMemory(large)}, http.MethodGet, courier.DefaultBaseURL, "user-1", nil, new(handBody[map[string]any]))
	})
}

// BenchmarkMergeAll measures 64 updates in flight over loopback, by this package and by a
// worker pool without order, retries, and backpressure. Both figures include the server.
func BenchmarkMergeAll(b *testing.B) {
	const inFlight = 64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, mergeResponse)
	}))
	b.Cleanup(server.Close)
	b.Run("courier", func(b *testing.B) {
		client, err := courier.NewClient("key", courier.WithBaseURL(server.URL))
		if err != nil {
			b.Fatal(err)
		}
		defer client.CloseIdleConnections()
		for outcome := range client.Profiles.MergeAll(b.Context(), benchUpdates(b.N), courier.WithConcurrency(inFlight)) {
			if outcome.Err != nil {
				b.Error(outcome.Err)
			}
		}
	})
	b.Run("by hand", func(b *testing.B) {
		client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: inFlight}}
		defer client.CloseIdleConnections()
		profile := handProfileOf(b, profileOf2())
		userIDs := make(chan string)
		var pool sync.WaitGroup
		for range inFlight {
			pool.Go(func() {
				for userID := range userIDs {
					if err := mergeByHand(b.Context(), client, server.URL, userID, profile); err != nil {
						b.Error(err)
					}
				}
			})
		}
		for userID := range benchUpdates(b.N) {
			userIDs <- userID
		}
		close(userIDs)
		pool.Wait()
	})
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
