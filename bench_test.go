package courier_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"testing"

	courier "github.com/courier-profiles/courier-go"
)

// memoryTransport answers every request with success, after having read its
// body, without a network.
type memoryTransport struct{ body string }

func (m memoryTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		if _, err := io.Copy(io.Discard, req.Body); err != nil {
			return nil, err
		}
	}
	return &http.Response{
		StatusCode: http.StatusOK,
		Header:     http.Header{"Content-Type": {"application/json"}},
		Body:       io.NopCloser(strings.NewReader(m.body)),
		Request:    req,
	}, nil
}

const success = `{"status":"SUCCESS"}`

// twoFields is the profile of the API reference's example.
func twoFields() courier.Profile {
	return courier.Profile{
		Email:       courier.Set("user@example.com"),
		PhoneNumber: courier.Set("555-555-5555"),
	}
}

// twentyFields has an address object and three members in custom.
func twentyFields() courier.Profile {
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

// handProfile is what a careful programmer writes for the same two fields and
// the same twenty.
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

func handTwoFields() handProfile {
	return handProfile{Email: "user@example.com", PhoneNumber: "555-555-5555"}
}

func handTwentyFields() handProfile {
	yes, no := true, false
	return handProfile{
		Sub: "0460766e-8463-4905-ae98-b72c7aef41d6", Name: "Ada Lovelace", GivenName: "Ada", FamilyName: "Lovelace",
		Nickname: "ada", PreferredUsername: "ada", Profile: "https://example.com/ada", Picture: "https://example.com/ada.png",
		Website: "https://example.com", Email: "user@example.com", EmailVerified: &yes, Gender: "female",
		Birthdate: "1815-12-10", Zoneinfo: "Europe/London", Locale: "en-GB", PhoneNumber: "555-555-5555",
		PhoneNumberVerified: &no, UpdatedAt: "2026-01-01T00:00:00Z",
		Address: &handAddress{StreetAddress: "12 St James's Square", Locality: "London", Country: "GB"},
		Custom:  map[string]any{"plan": "pro", "seats": 12, "beta": true},
	}
}

// mergeByHand is a merge written on net/http, well but for what it leaves out:
// retries, typed errors, null, unknown members.
func mergeByHand(ctx context.Context, client *http.Client, base, key, userID string, profile handProfile) (string, error) {
	body, err := json.Marshal(struct {
		Profile handProfile `json:"profile"`
	}{profile})
	if err != nil {
		return "", err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/profiles/"+url.PathEscape(userID), bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+key)
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return "", err
	}
	if resp.StatusCode != http.StatusOK {
		return "", &url.Error{Op: "merge", Err: io.ErrUnexpectedEOF}
	}
	var result struct {
		Status string `json:"status"`
	}
	err = json.Unmarshal(text, &result)
	return result.Status, err
}

func benchmarkMerge(b *testing.B, profile func() courier.Profile) {
	client, err := courier.NewClient("key", courier.WithHTTPClient(&http.Client{Transport: memoryTransport{success}}))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := client.Profiles.Merge(b.Context(), "user-1", profile()); err != nil {
			b.Fatal(err)
		}
	}
}

func benchmarkNetHTTP(b *testing.B, profile func() handProfile) {
	// Without Timeout, which would be another 18 allocations.
	client := &http.Client{Transport: memoryTransport{success}}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := mergeByHand(b.Context(), client, courier.DefaultBaseURL, "key", "user-1", profile()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkMerge2(b *testing.B)    { benchmarkMerge(b, twoFields) }
func BenchmarkMerge20(b *testing.B)   { benchmarkMerge(b, twentyFields) }
func BenchmarkNetHTTP2(b *testing.B)  { benchmarkNetHTTP(b, handTwoFields) }
func BenchmarkNetHTTP20(b *testing.B) { benchmarkNetHTTP(b, handTwentyFields) }

// The two below are throughput over loopback HTTP/1.1 with 64 calls in flight.
// Compare medians of many short rounds, one after the other in turn.

func BenchmarkLoopbackMerge2(b *testing.B) {
	client, err := courier.NewClient("key", courier.WithBaseURL(benchServer(b)))
	if err != nil {
		b.Fatal(err)
	}
	benchmarkInFlight(b, func() error {
		_, err := client.Profiles.Merge(b.Context(), "user-1", twoFields())
		return err
	})
}

func BenchmarkLoopbackNetHTTP2(b *testing.B) {
	base := benchServer(b)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1024}}
	defer client.CloseIdleConnections()
	benchmarkInFlight(b, func() error {
		_, err := mergeByHand(b.Context(), client, base, "key", "user-1", handTwoFields())
		return err
	})
}

func benchServer(b *testing.B) string {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			b.Error(err)
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, success)
	}))
	b.Cleanup(server.Close)
	return server.URL
}

func benchmarkInFlight(b *testing.B, call func() error) {
	b.ReportAllocs()
	b.SetParallelism(64 / runtime.GOMAXPROCS(0))
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := call(); err != nil {
				b.Error(err)
				return
			}
		}
	})
}
