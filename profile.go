package courier

import (
	"bytes"
	stdjson "encoding/json"
	"errors"
	"fmt"
	"log/slog"

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
// exceptions. A nil map is {}, a nil slice is [], a nil []byte is "", a type with the method
// AppendText but not MarshalText is written as that text, and the tag option embed works as
// in encoding/json/v2. These are a [ValidationError]: text that is not UTF-8, a MarshalJSON
// method that writes a key twice, an unset [Field], a struct that encoding/json/v2 refuses,
// such as one with a malformed tag or without exported fields, and a key in Extra that is
// also a set field.
//
// The keys are those of the Profiles API reference and of OpenID Connect Core 1.0,
// section 5.1. For push tokens, Courier recommends its Device Tokens API, which is not
// part of this package.
type Profile struct {
	// The claims of OpenID Connect.

	Sub           Field[string] `json:"sub,omitzero"`  // the user's ID at the issuer
	Name          Field[string] `json:"name,omitzero"` // full name, for display
	GivenName     Field[string] `json:"given_name,omitzero"`
	FamilyName    Field[string] `json:"family_name,omitzero"`
	MiddleName    Field[string] `json:"middle_name,omitzero"`
	Nickname      Field[string] `json:"nickname,omitzero"`
	PreferredName Field[string] `json:"preferred_name,omitzero"` // as the API reference spells it
	// PreferredUsername is PreferredName as OpenID Connect spells it.
	PreferredUsername Field[string] `json:"preferred_username,omitzero"`
	ProfileURL        Field[string] `json:"profile,omitzero"` // of the user's profile page
	Picture           Field[string] `json:"picture,omitzero"` // URL
	Website           Field[string] `json:"website,omitzero"` // URL
	Email             Field[string] `json:"email,omitzero"`
	EmailVerified     Field[bool]   `json:"email_verified,omitzero"`
	Gender            Field[string] `json:"gender,omitzero"`
	Birthdate         Field[string] `json:"birthdate,omitzero"` // YYYY-MM-DD, or YYYY
	Zoneinfo          Field[string] `json:"zoneinfo,omitzero"`  // time zone, such as Europe/Paris
	Locale            Field[string] `json:"locale,omitzero"`    // language tag, such as en-US
	// PhoneNumber is best in E.164, such as +15555550100.
	PhoneNumber         Field[string]  `json:"phone_number,omitzero"`
	PhoneNumberVerified Field[bool]    `json:"phone_number_verified,omitzero"`
	UpdatedAt           Field[string]  `json:"updated_at,omitzero"`
	Address             Field[Address] `json:"address,omitzero"`

	// Custom is any JSON object; see SetCustom and DecodeCustom.
	Custom Field[map[string]any] `json:"custom,omitzero"`

	// The channel providers.

	Airship Field[Airship] `json:"airship,omitzero"`
	APN     Field[APN]     `json:"apn,omitzero"`
	// AWSSNS replaces the top-level target_arn of older profiles, which Courier ignores.
	AWSSNS                  Field[AWSSNS]         `json:"aws_sns,omitzero"`
	ChatAPI                 Field[ChatAPI]        `json:"chat_api,omitzero"`
	Courier                 Field[CourierChannel] `json:"courier,omitzero"`
	Discord                 Field[Discord]        `json:"discord,omitzero"`
	Expo                    Field[Expo]           `json:"expo,omitzero"`
	FacebookPSID            Field[string]         `json:"facebookPSID,omitzero"`  // page-scoped ID
	FirebaseToken           Field[Tokens]         `json:"firebaseToken,omitzero"` // device tokens
	Intercom                Field[Intercom]       `json:"intercom,omitzero"`
	MagicBell               Field[MagicBell]      `json:"magicbell,omitzero"`
	MSTeams                 Field[MSTeams]        `json:"ms_teams,omitzero"`
	OneSignalExternalUserID Field[string]         `json:"oneSignalExternalUserId,omitzero"`
	OneSignalPlayerID       Field[string]         `json:"oneSignalPlayerID,omitzero"`
	PagerDuty               Field[PagerDuty]      `json:"pagerduty,omitzero"`
	Pusher                  Field[Pusher]         `json:"pusher,omitzero"`
	PusherBeams             Field[PusherBeams]    `json:"pusherBeams,omitzero"`
	Slack                   Field[Slack]          `json:"slack,omitzero"`
	SplunkOnCall            Field[SplunkOnCall]   `json:"splunk_on_call,omitzero"`
	StreamChat              Field[StreamChat]     `json:"streamChat,omitzero"`
	Viber                   Field[Viber]          `json:"viber,omitzero"`
	Webhook                 Field[Webhook]        `json:"webhook,omitzero"`

	Extra map[string]any `json:",embed"` // the members that have no field
}

// Address is the OpenID Connect claim "address" (OpenID Connect Core 1.0, section
// 5.1.1).
//
// Inside a [Profile] or a [Field], encoding/json of either version writes and reads it
// like the client. By itself it is a plain struct: encoding/json/v2, and encoding/json
// from Go 1.27 on, read numbers in Extra as float64; encoding/json of Go 1.26 drops the
// members that have no field when it reads, and writes Extra as a member of that name. The
// same goes for the channel objects.
type Address struct {
	Formatted     Field[string]  `json:"formatted,omitzero"` // the full address, for display
	StreetAddress Field[string]  `json:"street_address,omitzero"`
	Locality      Field[string]  `json:"locality,omitzero"` // city
	Region        Field[string]  `json:"region,omitzero"`   // state or province
	PostalCode    Field[string]  `json:"postal_code,omitzero"`
	Country       Field[string]  `json:"country,omitzero"`
	Extra         map[string]any `json:",embed"` // the members that have no field
}

// profileObject is a Profile without its methods.
type profileObject Profile

// profileBody is the body of a request that carries a profile.
type profileBody struct {
	Profile *profileObject `json:"profile"`
}

// customBody makes an error of SetCustom name the path of the value.
type customBody struct {
	Custom any `json:"custom"`
}

// MarshalJSON writes the profile as Courier expects it: only the fields that are set,
// and null for a field that is null. The error wraps a [*ValidationError].
func (p Profile) MarshalJSON() ([]byte, error) { return encode((*profileObject)(&p)) }

// UnmarshalJSON reads a JSON object and keeps all of it. It replaces what p held; null
// makes it empty.
func (p *Profile) UnmarshalJSON(text []byte) error { return decode(text, p) }

// MarshalJSONTo is [Profile.MarshalJSON] for encoding/json/v2.
func (p Profile) MarshalJSONTo(enc *jsontext.Encoder) error {
	return encodeTo(enc, (*profileObject)(&p))
}

// UnmarshalJSONFrom is [Profile.UnmarshalJSON] for encoding/json/v2.
func (p *Profile) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	*p = Profile{}
	raw, err := readRaw(dec)
	if err != nil {
		return err
	}
	return readObject(raw, (*profileObject)(p))
}

// String returns the profile as JSON, with credentials and device tokens replaced by
// "[redacted]". The rest is personal data.
func (p Profile) String() string {
	text, err := p.redactedJSON()
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// LogValue returns the JSON of [Profile.String]. Package slog calls it for an attribute, not
// for a Profile inside another value.
func (p Profile) LogValue() slog.Value {
	text, err := p.redactedJSON()
	if err != nil {
		return slog.StringValue(err.Error())
	}
	return slog.AnyValue(stdjson.RawMessage(text))
}

// redactedJSON returns the JSON of p without secrets. It edits what is read from the JSON of p,
// where a key of Courier's that was in Extra is in its field.
func (p Profile) redactedJSON() ([]byte, error) {
	text, err := p.MarshalJSON()
	if err == nil {
		err = p.UnmarshalJSON(text)
	}
	if err != nil {
		return nil, err
	}
	hide(&p.FirebaseToken)
	hideIn(&p.APN, func(apn *APN) {
		hide(&apn.Token)
		hide(&apn.Tokens)
	})
	hideIn(&p.Expo, func(expo *Expo) {
		hide(&expo.Token)
		hide(&expo.Tokens)
	})
	hideIn(&p.PagerDuty, func(pagerDuty *PagerDuty) { hide(&pagerDuty.RoutingKey) })
	hideIn(&p.Slack, func(slack *Slack) {
		hide(&slack.AccessToken)
		hideIn(&slack.IncomingWebhook, func(w *SlackIncomingWebhook) { hide(&w.URL) })
	})
	hideIn(&p.Webhook, func(webhook *Webhook) {
		hide(&webhook.URL)
		hide(&webhook.Headers)
		hideIn(&webhook.Authentication, func(a *WebhookAuthentication) {
			hide(&a.Username)
			hide(&a.Password)
			hide(&a.Token)
		})
	})
	return p.MarshalJSON()
}

// hide replaces what a Field holds, unless that is null.
func hide[T any](f *Field[T]) {
	if !f.IsUnset() && !f.IsNull() {
		f.content = mismatch(`"` + redacted + `"`)
	}
}

// hideIn hides secrets in the value of a Field. JSON that is not such an object may be one.
func hideIn[T any](f *Field[T], secrets func(*T)) {
	if _, ok := f.Get(); ok {
		f.Update(secrets)
	} else {
		hide(f)
	}
}

// DecodeCustom reads Custom into v, a pointer, as encoding/json does: keys match
// without regard to case. Numbers decoded into an interface become [json.Number].
// If Custom is unset or null, v stays unchanged. The error says what does not fit, without
// keys and values.
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
	if _, ok := errors.AsType[*stdjson.InvalidUnmarshalError](err); ok {
		return fmt.Errorf("courier: DecodeCustom needs a pointer that is not nil, not %T", v)
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
	var body Profile
	text, err := encode(&customBody{v})
	if err == nil {
		err = decode(text, &body)
	}
	if err != nil {
		return err
	}
	mismatch := jsontext.Value(body.Custom.Mismatch())
	if body.Custom.IsNull() || mismatch != nil && mismatch.Kind() != '{' {
		reason := fmt.Sprintf("type %T is not an object in JSON: use a struct or a map", v)
		return invalid("custom", reason)
	}
	p.Custom = body.Custom
	return nil
}
