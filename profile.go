package courier

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"

	"github.com/courier-profiles/courier-go/internal/jsonobject"
)

// Field is one member of an object in a profile. It has three states, because
// a merge (RFC 7396, JSON Merge Patch) tells them apart:
//
//   - not there, the zero Field: Merge leaves the member as it is
//   - null, from [Null]: Merge removes the member
//   - a value, from [Set]: Merge writes it, also when it is "", false or empty
type Field[T any] struct {
	value T
	state fieldState
}

type fieldState uint8

const (
	stateNotThere fieldState = iota
	stateNull
	stateValue
)

// Set returns a Field that holds value. A nil map is written as {}, a nil
// slice as [].
func Set[T any](value T) Field[T] { return Field[T]{value: value, state: stateValue} }

// Null returns a Field that is null: Merge removes the member (RFC 7396).
func Null[T any]() Field[T] { return Field[T]{state: stateNull} }

// Get returns the value; ok is false if the Field is null or not there.
func (f Field[T]) Get() (value T, ok bool) { return f.value, f.state == stateValue }

// Or returns the value, or fallback if the Field is null or not there.
func (f Field[T]) Or(fallback T) T {
	if f.state == stateValue {
		return f.value
	}
	return fallback
}

// IsNull reports whether the Field is null.
func (f Field[T]) IsNull() bool { return f.state == stateNull }

// IsZero reports whether the Field is not there. A Field that holds the zero
// value of T is there.
func (f Field[T]) IsZero() bool { return f.state == stateNotThere }

// Equal reports whether both Fields are in the same state and hold deeply
// equal values (see [reflect.DeepEqual]). go-cmp uses it.
func (f Field[T]) Equal(other Field[T]) bool { return reflect.DeepEqual(f, other) }

// MarshalJSON writes the value, or null if the Field is null or not there. The
// structs of this package leave out a Field that is not there; in a struct of
// your own the tag `json:",omitzero"` does.
func (f Field[T]) MarshalJSON() ([]byte, error) { return marshalField(f.state, f.value) }

// UnmarshalJSON reads a value or null.
func (f *Field[T]) UnmarshalJSON(text []byte) error { return unmarshal(text, value(f)) }

// Profile is what Courier knows of a user and how to reach them. One type
// serves for reading and for writing.
//
// A profile is free form. The members that Courier gives meaning to have
// fields (the OpenID Connect standard claims, Custom, and the channel
// providers); all others are in Extra, which may also be written.
//
// A profile that was read and is written back loses nothing. A member whose
// JSON does not fit its field, such as "email_verified": "true", is in Extra
// under its key as well, and the field is not there. Extra and Custom hold what
// encoding/json would put there, but for numbers, which are [json.Number] and
// so keep every digit, and for what Go cannot hold as text (half of a surrogate
// pair, "\ud800"), which is [json.RawMessage]; as a key of the profile itself
// such text is an error. To change such a member, delete it from Extra and set
// its field: a key in both is a [ValidationError].
//
// Writing, Extra and Custom take any value that encoding/json can write. A nil
// map or slice in them is {} or [], and only nil itself is null; inside a struct
// of yours encoding/json decides.
//
// The facts are from the API reference of Courier's Profiles API and from
// OpenID Connect Core 1.0, section 5.1.
type Profile struct {
	Sub                 Field[string] // the user's id at the issuer
	Name                Field[string] // full name, for display
	GivenName           Field[string]
	FamilyName          Field[string]
	MiddleName          Field[string]
	Nickname            Field[string]
	PreferredName       Field[string] // preferred_name, the spelling of Courier's API reference
	PreferredUsername   Field[string] // preferred_username, the spelling of OpenID Connect
	ProfileURL          Field[string] // the claim "profile": the URL of the user's profile page
	Picture             Field[string] // URL
	Website             Field[string] // URL
	Email               Field[string]
	EmailVerified       Field[bool]
	Gender              Field[string]
	Birthdate           Field[string] // YYYY-MM-DD; 0000 hides the year; or YYYY
	Zoneinfo            Field[string] // time zone, such as Europe/Paris
	Locale              Field[string] // language tag, such as en-US
	PhoneNumber         Field[string] // E.164, such as +15555550100, is recommended
	PhoneNumberVerified Field[bool]
	UpdatedAt           Field[string]
	Address             Field[Address]

	Custom Field[map[string]any] // any JSON object of yours

	Airship           Field[Airship]
	APN               Field[string] // device token of Apple Push Notification service
	Discord           Field[Discord]
	Expo              Field[Expo]
	FacebookPSID      Field[string] // page-scoped id of Facebook Messenger
	FirebaseToken     Field[Tokens] // one or several tokens of Firebase Cloud Messaging
	Intercom          Field[Intercom]
	MSTeams           Field[MSTeams]
	OneSignalPlayerID Field[string]
	Slack             Field[Slack]
	TargetARN         Field[string] // target of Amazon SNS
	Webhook           Field[Webhook]

	// Extra holds the members without a field, and those that do not fit theirs.
	Extra map[string]any
}

// value is a Field as jsonobject wants it.
func value[T any](f *Field[T]) jsonobject.Value { return (*codec[T])(f) }

func (p *Profile) visit(v jsonobject.Visitor) {
	v.Extra(&p.Extra)
	v.Field("sub", value(&p.Sub))
	v.Field("name", value(&p.Name))
	v.Field("given_name", value(&p.GivenName))
	v.Field("family_name", value(&p.FamilyName))
	v.Field("middle_name", value(&p.MiddleName))
	v.Field("nickname", value(&p.Nickname))
	v.Field("preferred_name", value(&p.PreferredName))
	v.Field("preferred_username", value(&p.PreferredUsername))
	v.Field("profile", value(&p.ProfileURL))
	v.Field("picture", value(&p.Picture))
	v.Field("website", value(&p.Website))
	v.Field("email", value(&p.Email))
	v.Field("email_verified", value(&p.EmailVerified))
	v.Field("gender", value(&p.Gender))
	v.Field("birthdate", value(&p.Birthdate))
	v.Field("zoneinfo", value(&p.Zoneinfo))
	v.Field("locale", value(&p.Locale))
	v.Field("phone_number", value(&p.PhoneNumber))
	v.Field("phone_number_verified", value(&p.PhoneNumberVerified))
	v.Field("updated_at", value(&p.UpdatedAt))
	v.Field("address", value(&p.Address))
	v.Field("custom", value(&p.Custom))
	v.Field("airship", value(&p.Airship))
	v.Field("apn", value(&p.APN))
	v.Field("discord", value(&p.Discord))
	v.Field("expo", value(&p.Expo))
	v.Field("facebookPSID", value(&p.FacebookPSID))
	v.Field("firebaseToken", value(&p.FirebaseToken))
	v.Field("intercom", value(&p.Intercom))
	v.Field("ms_teams", value(&p.MSTeams))
	v.Field("oneSignalPlayerID", value(&p.OneSignalPlayerID))
	v.Field("slack", value(&p.Slack))
	v.Field("target_arn", value(&p.TargetARN))
	v.Field("webhook", value(&p.Webhook))
}

// MarshalJSON writes the profile as Courier takes it: only the members that
// are there, null where a field is null. The error wraps a [*ValidationError].
func (p Profile) MarshalJSON() ([]byte, error) { return marshal(&p) }

// UnmarshalJSON reads a JSON object and loses nothing of it. What p held
// before is gone.
func (p *Profile) UnmarshalJSON(text []byte) error { return unmarshal(text, p) }

// String returns the profile as JSON. It holds personal data.
func (p Profile) String() string { return jsonText(p) }

// DecodeCustom reads Custom into v, a pointer, as [json.Unmarshal] does. Where
// Custom is null or not there, v stays as it is.
func (p Profile) DecodeCustom(v any) error {
	custom, ok := p.Extra["custom"] // if it is no object
	if !ok && p.Custom.state == stateValue {
		custom, ok = p.Custom.value, true
	}
	if !ok {
		return nil
	}
	text, err := marshal(&custom)
	if err != nil {
		return err
	}
	err = json.Unmarshal(text, v)
	var (
		mismatch *json.UnmarshalTypeError
		misuse   *json.InvalidUnmarshalError
	)
	switch {
	case err == nil, errors.As(err, &misuse):
		return err
	case errors.As(err, &mismatch):
		return fmt.Errorf("courier: custom: member %q does not fit a %s", mismatch.Field, mismatch.Type)
	}
	// Not err's text, here and above: it may hold the value that does not fit.
	return fmt.Errorf("courier: custom: does not fit a %T (%T)", v, err)
}

// Address is the OpenID Connect claim "address" (OpenID Connect Core 1.0,
// section 5.1.1).
type Address struct {
	Formatted     Field[string] // the whole address, for display
	StreetAddress Field[string]
	Locality      Field[string] // city
	Region        Field[string] // state, province
	PostalCode    Field[string]
	Country       Field[string]
	Extra         map[string]any // the other members
}

func (a *Address) visit(v jsonobject.Visitor) {
	v.Extra(&a.Extra)
	v.Field("formatted", value(&a.Formatted))
	v.Field("street_address", value(&a.StreetAddress))
	v.Field("locality", value(&a.Locality))
	v.Field("region", value(&a.Region))
	v.Field("postal_code", value(&a.PostalCode))
	v.Field("country", value(&a.Country))
}

// MarshalJSON writes the members that are there.
func (a Address) MarshalJSON() ([]byte, error) { return marshal(&a) }

// UnmarshalJSON reads a JSON object and loses nothing of it.
func (a *Address) UnmarshalJSON(text []byte) error { return unmarshal(text, a) }
