package main

import (
	"net/http"

	courier "github.com/courier-profiles/courier-go"
)

// The profiles that are merged: one has two fields, the other has twenty. Package courier
// and hand-written code send the same bytes for them.
const (
	few  = 2
	many = 20
)

func courierProfile(fields int) courier.Profile {
	if fields == few {
		return courier.Profile{
			Email:       courier.Set("user@example.com"),
			PhoneNumber: courier.Set("555-555-5555"),
		}
	}
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

// handProfile is what a careful programmer writes for these fields.
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

func newHandProfile(fields int) handProfile {
	if fields == few {
		return handProfile{Email: "user@example.com", PhoneNumber: "555-555-5555"}
	}
	yes, no := true, false
	return handProfile{
		Sub:                 "0460766e-8463-4905-ae98-b72c7aef41d6",
		Name:                "Ada Lovelace",
		GivenName:           "Ada",
		FamilyName:          "Lovelace",
		Nickname:            "ada",
		PreferredUsername:   "ada",
		Profile:             "https://example.com/ada",
		Picture:             "https://example.com/ada.png",
		Website:             "https://example.com",
		Email:               "user@example.com",
		EmailVerified:       &yes,
		Gender:              "female",
		Birthdate:           "1815-12-10",
		Zoneinfo:            "Europe/London",
		Locale:              "en-GB",
		PhoneNumber:         "555-555-5555",
		PhoneNumberVerified: &no,
		UpdatedAt:           "2026-01-01T00:00:00Z",
		Address: &handAddress{
			StreetAddress: "12 St James's Square",
			Locality:      "London",
			Country:       "GB",
		},
		Custom: map[string]any{"plan": "pro", "seats": 12, "beta": true},
	}
}

// handRequest is the body of a merge.
type handRequest struct {
	Profile handProfile `json:"profile"`
}

// handResponse is the response to a get.
type handResponse struct {
	Profile     handProfile      `json:"profile"`
	Preferences *handPreferences `json:"preferences"`
}

type handPreferences struct {
	Categories    map[string]handPreference `json:"categories,omitempty"`
	Notifications map[string]handPreference `json:"notifications,omitempty"`
}

type handPreference struct {
	Status             string        `json:"status,omitempty"`
	Rules              []handRule    `json:"rules,omitempty"`
	ChannelPreferences []handChannel `json:"channel_preferences,omitempty"`
}

type handRule struct {
	Until string `json:"until,omitempty"`
	Start string `json:"start,omitempty"`
}

type handChannel struct {
	Channel string `json:"channel"`
}

// The same twenty fields as text.
const manyText = `{"sub":"0460766e-8463-4905-ae98-b72c7aef41d6","name":"Ada Lovelace",` +
	`"given_name":"Ada","family_name":"Lovelace","nickname":"ada",` +
	`"preferred_username":"ada","profile":"https://example.com/ada",` +
	`"picture":"https://example.com/ada.png","website":"https://example.com",` +
	`"email":"user@example.com","email_verified":true,"gender":"female",` +
	`"birthdate":"1815-12-10","zoneinfo":"Europe/London","locale":"en-GB",` +
	`"phone_number":"555-555-5555","phone_number_verified":false,` +
	`"updated_at":"2026-01-01T00:00:00Z",` +
	`"address":{"street_address":"12 St James's Square","locality":"London","country":"GB"},` +
	`"custom":{"beta":true,"plan":"pro","seats":12}}`

const preferencesText = `{"categories":{"3D4F8HQ0J5M2P6K7R9S1T0V2W4X6":{"status":"OPTED_IN",` +
	`"rules":[{"until":"2026-06-30T00:00:00.000Z","start":"2026-01-01T00:00:00.000Z"}],` +
	`"channel_preferences":[{"channel":"direct_message"},{"channel":"email"}]}},` +
	`"notifications":{"5A7B9C1D3E5F7G9H1J3K5L7M9N1P":{"status":"OPTED_OUT",` +
	`"rules":[{"until":"2026-12-31T00:00:00.000Z","start":null}],` +
	`"channel_preferences":[{"channel":"push"}]}}}`

// responseTo returns the body of the response to a method.
func responseTo(method string) string {
	if method == http.MethodGet {
		return `{"profile":` + manyText + `,"preferences":` + preferencesText + `}`
	}
	return `{"status":"SUCCESS"}`
}
