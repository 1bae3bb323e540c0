package courier_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	courier "github.com/courier-profiles/courier-go"
)

// getAnswer is what Courier answers to a Get of the profile.
func getAnswer(t testing.TB, profile courier.Profile) string {
	t.Helper()
	text, err := json.Marshal(profile)
	if err != nil {
		t.Fatal(err)
	}
	return `{"profile":` + string(text) + `,"preferences":null}`
}

func benchmarkGet(b *testing.B, answer string) {
	client, err := courier.NewClient(apiKey, courier.WithHTTPClient(&http.Client{Transport: memoryTransport{answer}}))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := client.Profiles.Get(b.Context(), "user-1"); err != nil {
			b.Fatal(err)
		}
	}
}

// getByHand is a get written on net/http: into a struct, which loses what it
// does not know, or into a map, which loses the digits of numbers.
func getByHand[T any](b *testing.B, answer string) {
	// Without Timeout, which would be another 18 allocations.
	client := &http.Client{Transport: memoryTransport{answer}}
	get := func() (profile T, err error) {
		req, err := http.NewRequestWithContext(b.Context(), http.MethodGet, courier.DefaultBaseURL+"/profiles/"+url.PathEscape("user-1"), nil)
		if err != nil {
			return profile, err
		}
		req.Header.Set("Accept", "application/json")
		req.Header.Set("Authorization", "Bearer "+apiKey)
		resp, err := client.Do(req)
		if err != nil {
			return profile, err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return profile, errors.New(resp.Status)
		}
		text, err := io.ReadAll(io.LimitReader(resp.Body, 4<<20))
		if err != nil {
			return profile, err
		}
		var result struct {
			Profile T `json:"profile"`
		}
		err = json.Unmarshal(text, &result)
		return result.Profile, err
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := get(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkGet20(b *testing.B)        { benchmarkGet(b, getAnswer(b, twentyFields())) }
func BenchmarkNetHTTPGet20(b *testing.B) { getByHand[handProfile](b, getAnswer(b, twentyFields())) }
func BenchmarkNetHTTPGet20Map(b *testing.B) {
	getByHand[map[string]any](b, getAnswer(b, twentyFields()))
}

// largeProfiles are ways to fill a profile with size bytes.
var largeProfiles = []struct {
	name string
	make func(size int) string
}{
	{"custom", func(size int) string {
		return `{"email":"user@example.com","custom":{` + filled(size, func(i int) string {
			return fmt.Sprintf(`"key-%d":{"plan":"pro","seats":%d,"ratio":0.25,"beta":true,"tags":["a","b",null]}`, i, i)
		}) + `}}`
	}},
	{"unknown", func(size int) string {
		return `{` + filled(size, func(i int) string { return fmt.Sprintf(`"key-%d":"value %d"`, i, i) }) + `}`
	}},
	{"misfit", func(size int) string {
		// Three readings until it is clear that it does not fit.
		return `{"expo":{"tokens":[` + filled(size, func(int) string { return `{"token":"ExponentPushToken[x]"}` }) + `,5]}}`
	}},
	{"duplicates", func(size int) string {
		return `{` + filled(size, func(i int) string { return `"slack":{"channel":5},"slack":"U1"` }) + `}`
	}},
	{"deep", func(size int) string {
		return `{"custom":{` + filled(size, func(i int) string {
			return fmt.Sprintf(`"k%d":`, i) + strings.Repeat(`{"a":[`, 2000) + strings.Repeat(`]}`, 2000)
		}) + `}}`
	}},
	{"escapes", func(size int) string {
		return `{"name":"` + strings.Repeat(`\u00e9\n`, size/8) + `"}`
	}},
	{"array", func(size int) string {
		return `{"x":[` + filled(size, func(i int) string { return "1" }) + `]}`
	}},
}

// filled joins what element returns, until it is size bytes.
func filled(size int, element func(i int) string) string {
	var b strings.Builder
	for i := 0; b.Len() < size; i++ {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(element(i))
	}
	return b.String()
}

// BenchmarkGetLarge shows that decoding is linear: the MB/s of one shape do not
// depend on the size.
func BenchmarkGetLarge(b *testing.B) {
	for _, shape := range largeProfiles {
		for _, kib := range []int{512, 1024, 2048} {
			b.Run(fmt.Sprintf("%s/%dKiB", shape.name, kib), func(b *testing.B) {
				answer := `{"profile":` + shape.make(kib<<10) + `}`
				b.SetBytes(int64(len(answer)))
				benchmarkGet(b, answer)
			})
		}
	}
}
