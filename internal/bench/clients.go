package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"

	courier "github.com/courier-profiles/courier-go"
)

const (
	apiKey = "key"
	userID = "0460766e-8463-4905-ae98-b72c7aef41d6"
)

// The profiles that are merged, as indexes. The one of twenty fields is that of get.json.
const (
	twoFields = iota
	twentyFields
)

const twoFieldsJSON = `{"email": "user@example.com", "phone_number": "555-555-5555"}`

// client is one of the two that are compared.
type client interface {
	merge(userID string, fields int) error
	get(userID string) error
	// mergeAll merges two fields of different users while more returns true.
	mergeAll(inFlight int, more func() bool)
}

// The two clients, as indexes.
const (
	byHand = iota
	thisPackage
)

var names = [2]string{byHand: "net/http by hand", thisPackage: "courier-go"}

func newClient(which int, url string, transport http.RoundTripper) client {
	httpClient := &http.Client{Transport: transport}
	if which == byHand {
		return handClient{httpClient, url, profiles[handProfile]()}
	}
	c, err := courier.NewClient(apiKey,
		courier.WithBaseURL(url), courier.WithHTTPClient(httpClient))
	check(names[which], err)
	return courierClient{c.Profiles, profiles[courier.Profile]()}
}

// profiles returns the profiles that are merged.
func profiles[T any]() (all [2]T) {
	var response struct{ Profile T }
	check("get.json", json.Unmarshal([]byte(getJSON), &response))
	check("two fields", json.Unmarshal([]byte(twoFieldsJSON), &all[twoFields]))
	all[twentyFields] = response.Profile
	return all
}

// courierClient uses this package.
type courierClient struct {
	service  *courier.ProfilesService
	profiles [2]courier.Profile
}

func (c courierClient) merge(userID string, fields int) error {
	_, err := c.service.Merge(context.Background(), userID, c.profiles[fields])
	return err
}

func (c courierClient) get(userID string) error {
	_, err := c.service.Get(context.Background(), userID)
	return err
}

func (c courierClient) mergeAll(inFlight int, more func() bool) {
	updates := func(yield func(string, courier.Profile) bool) {
		for i := 0; more() && yield(userOf(i), c.profiles[twoFields]); i++ {
		}
	}
	outcomes := c.service.MergeAll(context.Background(), updates,
		courier.WithConcurrency(inFlight))
	for outcome := range outcomes {
		check(names[thisPackage], outcome.Err)
	}
}

// handClient is what a careful programmer writes: a shared pool, a struct, a deadline, the
// status checked, the body read to its end and closed. It makes one attempt.
type handClient struct {
	http     *http.Client
	url      string
	profiles [2]handProfile
}

type handRequest struct {
	Profile handProfile `json:"profile"`
}

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

type handResponse struct {
	Profile     handProfile `json:"profile"`
	Preferences struct {
		Categories    map[string]handPreference `json:"categories"`
		Notifications map[string]handPreference `json:"notifications"`
	} `json:"preferences"`
}

type handPreference struct {
	Status string `json:"status"`
	Rules  []struct {
		Until string `json:"until"`
		Start string `json:"start"`
	} `json:"rules"`
	ChannelPreferences []struct {
		Channel string `json:"channel"`
	} `json:"channel_preferences"`
}

func (c handClient) merge(userID string, fields int) error {
	body, err := json.Marshal(handRequest{c.profiles[fields]})
	if err != nil {
		return err
	}
	var response struct {
		Status string `json:"status"`
	}
	if err := c.send(http.MethodPost, userID, body, &response); err != nil {
		return err
	}
	if response.Status != "SUCCESS" {
		return fmt.Errorf("status %q", response.Status)
	}
	return nil
}

func (c handClient) get(userID string) error {
	var response handResponse
	return c.send(http.MethodGet, userID, nil, &response)
}

func (c handClient) send(method, userID string, body []byte, response any) error {
	// Client.Timeout would start goroutines for each call on the transport in memory.
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method,
		c.url+"/profiles/"+url.PathEscape(userID), bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Authorization", "Bearer "+apiKey)
	req.Header.Set("User-Agent", "courier-profiles-go/"+courier.Version)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d", resp.StatusCode)
	}
	return json.Unmarshal(text, response)
}

// mergeAll is a pool of goroutines, which neither keeps order nor retries.
func (c handClient) mergeAll(inFlight int, more func() bool) {
	users := make(chan string)
	var pool sync.WaitGroup
	for range inFlight {
		pool.Go(func() {
			for user := range users {
				check(names[byHand], c.merge(user, twoFields))
			}
		})
	}
	for i := 0; more(); i++ {
		users <- userOf(i)
	}
	close(users)
	pool.Wait()
}
