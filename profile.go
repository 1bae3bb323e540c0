package courier

import (
	"bytes"
	stdjson "encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// Profile holds what Courier knows about a user, including how to reach them. The
// same type is used for reading and for writing.
//
// A profile is free-form. The members that have a meaning to Courier have fields:
// the OpenID Connect standard claims, Custom, and the channel providers. All others
// are in Extra, for reading and for writing.
//
// Reading a profile and writing it back loses nothing. JSON that does not fit its
// field, such as "email_verified": "true", stays in that field; see [Field.Mismatch].
// Numbers in Extra and Custom are [json.Number] and keep every digit. What a Go string
// cannot hold (an unpaired surrogate, "\ud800") is a [json.RawMessage] there. As a key
// of the profile itself it is an error.
//
// Values in Extra and Custom are written as encoding/json writes them, with these
// exceptions: a nil map is {}, a nil slice is [], and a struct that encoding/json/v2
// refuses, such as one with a malformed tag or without exported fields, is a
// [ValidationError]. A key in Extra that is also a set field is a [ValidationError].
//
// The keys are those of the Profiles API reference and of OpenID Connect Core 1.0,
// section 5.1. For push tokens, Courier recommends its Device Tokens API, which is not
// part of this package.
type Profile struct {
	Sub                 Field[string]  `json:"sub,omitzero"`  // the user's ID at the issuer
	Name                Field[string]  `json:"name,omitzero"` // full name, for display
	GivenName           Field[string]  `json:"given_name,omitzero"`
	FamilyName          Field[string]  `json:"family_name,omitzero"`
	MiddleName          Field[string]  `json:"middle_name,omitzero"`
	Nickname            Field[string]  `json:"nickname,omitzero"`
	PreferredName       Field[string]  `json:"preferred_name,omitzero"`     // as spelled in the API reference
	PreferredUsername   Field[string]  `json:"preferred_username,omitzero"` // as spelled in OpenID Connect
	ProfileURL          Field[string]  `json:"profile,omitzero"`            // URL of the user's profile page
	Picture             Field[string]  `json:"picture,omitzero"`            // URL
	Website             Field[string]  `json:"website,omitzero"`            // URL
	Email               Field[string]  `json:"email,omitzero"`
	EmailVerified       Field[bool]    `json:"email_verified,omitzero"`
	Gender              Field[string]  `json:"gender,omitzero"`
	Birthdate           Field[string]  `json:"birthdate,omitzero"`    // YYYY-MM-DD, with year 0000 to omit it, or YYYY
	Zoneinfo            Field[string]  `json:"zoneinfo,omitzero"`     // time zone, such as Europe/Paris
	Locale              Field[string]  `json:"locale,omitzero"`       // language tag, such as en-US
	PhoneNumber         Field[string]  `json:"phone_number,omitzero"` // E.164 is recommended, such as +15555550100
	PhoneNumberVerified Field[bool]    `json:"phone_number_verified,omitzero"`
	UpdatedAt           Field[string]  `json:"updated_at,omitzero"`
	Address             Field[Address] `json:"address,omitzero"`

	Custom Field[map[string]any] `json:"custom,omitzero"` // any JSON object; see SetCustom and DecodeCustom

	Airship                 Field[Airship]   `json:"airship,omitzero"`
	APN                     Field[APN]       `json:"apn,omitzero"`
	AWSSNS                  Field[AWSSNS]    `json:"aws_sns,omitzero"` // Courier ignores the top-level target_arn of older profiles
	Discord                 Field[Discord]   `json:"discord,omitzero"`
	Expo                    Field[Expo]      `json:"expo,omitzero"`
	FacebookPSID            Field[string]    `json:"facebookPSID,omitzero"`  // page-scoped ID of Facebook Messenger
	FirebaseToken           Field[Tokens]    `json:"firebaseToken,omitzero"` // device tokens of Firebase Cloud Messaging
	Intercom                Field[Intercom]  `json:"intercom,omitzero"`
	MagicBell               Field[MagicBell] `json:"magicbell,omitzero"`
	MSTeams                 Field[MSTeams]   `json:"ms_teams,omitzero"`
	OneSignalExternalUserID Field[string]    `json:"oneSignalExternalUserId,omitzero"`
	OneSignalPlayerID       Field[string]    `json:"oneSignalPlayerID,omitzero"`
	PagerDuty               Field[PagerDuty] `json:"pagerduty,omitzero"`
	Pusher                  Field[Pusher]    `json:"pusher,omitzero"`
	Slack                   Field[Slack]     `json:"slack,omitzero"`
	Viber                   Field[Viber]     `json:"viber,omitzero"`
	Webhook                 Field[Webhook]   `json:"webhook,omitzero"`

	Extra map[string]any `json:",embed"` // the members that have no field
}

// Address is the OpenID Connect claim "address" (OpenID Connect Core 1.0, section
// 5.1.1).
//
// Inside a [Profile] or a [Field], encoding/json of either version writes and reads it
// like the client. By itself it is a plain struct: encoding/json/v2, and encoding/json
// from Go 1.27 on, write and read it by their own rules, so numbers in Extra become
// float64. The same goes for the channel objects.
type Address struct {
	Formatted     Field[string]  `json:"formatted,omitzero"` // the full address, for display
	StreetAddress Field[string]  `json:"street_address,omitzero"`
	Locality      Field[string]  `json:"locality,omitzero"` // city
	Region        Field[string]  `json:"region,omitzero"`   // state or province
	PostalCode    Field[string]  `json:"postal_code,omitzero"`
	Country       Field[string]  `json:"country,omitzero"`
	Extra         map[string]any `json:",embed"` // the members that have no field
}

// plainProfile is a Profile without its methods.
type plainProfile Profile

// profileBody is the body of a request that carries a profile.
type profileBody struct {
	Profile *plainProfile `json:"profile"`
}

// customBody makes an error of SetCustom name the path of the value.
type customBody struct {
	Custom any `json:"custom"`
}

// MarshalJSON writes the profile as Courier expects it: only the fields that are set,
// and null for a field that is null. The error wraps a [*ValidationError].
func (p Profile) MarshalJSON() ([]byte, error) { return encode((*plainProfile)(&p)) }

// UnmarshalJSON reads a JSON object and keeps all of it. It replaces what p held; null
// makes it empty.
func (p *Profile) UnmarshalJSON(text []byte) error { return decode(text, p) }

// MarshalJSONTo is [Profile.MarshalJSON] for encoding/json/v2.
func (p *Profile) MarshalJSONTo(enc *jsontext.Encoder) error {
	return encodeTo(enc, (*plainProfile)(p))
}

// UnmarshalJSONFrom is [Profile.UnmarshalJSON] for encoding/json/v2.
func (p *Profile) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	*p = Profile{}
	raw, err := readRaw(dec)
	if err != nil {
		return err
	}
	if err := readObject(raw, (*plainProfile)(p)); err != nil {
		*p = Profile{}
		return err
	}
	return nil
}

// secrets are the paths of credentials and device tokens.
var secrets = []string{
	"apn.token", "apn.tokens", "expo.token", "expo.tokens", "firebaseToken", "pagerduty.routing_key",
	"slack.access_token", "slack.incoming_webhook.url", "webhook.url", "webhook.headers",
	"webhook.authentication.username", "webhook.authentication.password", "webhook.authentication.token",
}

// String returns the profile as JSON, with credentials and device tokens replaced by
// "[redacted]". The rest is personal data.
func (p Profile) String() string {
	text, err := p.MarshalJSON()
	if err != nil {
		return err.Error()
	}
	profile := parse(text)
	for _, path := range secrets {
		profile = redactMember(profile, strings.Split(path, "."))
	}
	text, _ = encode(profile)
	_ = p.UnmarshalJSON(text) // restores the order of the fields
	text, _ = p.MarshalJSON()
	return string(text)
}

const redacted = "[redacted]"

// redactMember redacts the member at path, or the value that is there instead of an object.
func redactMember(value any, path []string) any {
	object, ok := value.(map[string]any)
	if len(path) > 0 && ok {
		if member, ok := object[path[0]]; ok && member != nil {
			object[path[0]] = redactMember(member, path[1:])
		}
		return object
	}
	return redacted
}

// DecodeCustom reads Custom into v, a pointer, as encoding/json does: keys match
// without regard to case. Numbers decoded into an interface become [json.Number].
// If Custom is unset or null, v stays unchanged.
func (p Profile) DecodeCustom(v any) error {
	if p.Custom.IsUnset() || p.Custom.IsNull() {
		return nil
	}
	text, err := encode(&p.Custom)
	if err != nil {
		return err
	}
	dec := stdjson.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	if err = dec.Decode(v); err == nil {
		return nil
	}
	// Without err's text, which can contain keys and values.
	if mismatch, ok := errors.AsType[*stdjson.UnmarshalTypeError](err); ok {
		return fmt.Errorf("courier: custom: a value does not fit type %s", mismatch.Type)
	}
	return fmt.Errorf("courier: custom does not fit type %T", v)
}

// SetCustom sets Custom to v, which must be an object in JSON: a struct or a map.
// Read it back with [Profile.DecodeCustom]. The error is a [*ValidationError].
func (p *Profile) SetCustom(v any) error {
	text, err := encode(&customBody{v})
	if err != nil {
		return err
	}
	body, _ := parse(text).(map[string]any)
	custom, ok := body["custom"].(map[string]any)
	if !ok {
		return invalid("custom", fmt.Sprintf("type %T is not an object in JSON: use a struct or a map", v))
	}
	p.Custom = Set(custom)
	return nil
}
