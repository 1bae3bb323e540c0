package courier

import "github.com/go-json-experiment/json/jsontext"

// Preferences is what a user chose to receive, by category and by notification
// (Profiles API reference). Extra, here and in the objects below, holds the members
// that have no field and those that do not fit theirs. A null member is read as unset.
type Preferences struct {
	Categories    map[string]Preference `json:"categories,omitzero"`    // by category ID
	Notifications map[string]Preference `json:"notifications,omitzero"` // by notification ID
	Extra         map[string]any        `json:",embed"`
}

// Preference is what a user chose for one category or notification.
type Preference struct {
	Status             string              `json:"status,omitzero"` // OPTED_IN, OPTED_OUT, or REQUIRED
	Rules              []PreferenceRule    `json:"rules,omitzero"`
	ChannelPreferences []ChannelPreference `json:"channel_preferences,omitzero"`
	Extra              map[string]any      `json:",embed"`
}

// PreferenceRule limits a preference to a period of time.
type PreferenceRule struct {
	Until string         `json:"until,omitzero"` // ISO 8601
	Start string         `json:"start,omitzero"` // ISO 8601; empty for none
	Type  string         `json:"type,omitzero"`  // "snooze" in older profiles
	Extra map[string]any `json:",embed"`
}

// ChannelPreference is a channel that a user wants.
type ChannelPreference struct {
	Channel string         `json:"channel,omitzero"` // direct_message, email, push, sms, webhook, or inbox
	Extra   map[string]any `json:",embed"`
}

// The same types without methods.
type (
	plainPreferences       Preferences
	plainPreference        Preference
	plainPreferenceRule    PreferenceRule
	plainChannelPreference ChannelPreference
)

// MarshalJSON writes the preferences as Courier expects them.
func (p Preferences) MarshalJSON() ([]byte, error) { return encode((*plainPreferences)(&p)) }

// UnmarshalJSON reads a JSON object. What does not fit goes to Extra.
func (p *Preferences) UnmarshalJSON(text []byte) error { return decode(text, p) }

// MarshalJSONTo is [Preferences.MarshalJSON] for encoding/json/v2.
func (p *Preferences) MarshalJSONTo(enc *jsontext.Encoder) error {
	return encodeTo(enc, (*plainPreferences)(p))
}

// UnmarshalJSONFrom is [Preferences.UnmarshalJSON] for encoding/json/v2.
func (p *Preferences) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	*p = Preferences{}
	return readPlain(dec, (*plainPreferences)(p), &p.Extra)
}

// UnmarshalJSONFrom reads a JSON object. What does not fit goes to Extra.
func (p *Preference) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	*p = Preference{}
	return readPlain(dec, (*plainPreference)(p), &p.Extra)
}

// UnmarshalJSONFrom reads a JSON object. What does not fit goes to Extra.
func (r *PreferenceRule) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	*r = PreferenceRule{}
	return readPlain(dec, (*plainPreferenceRule)(r), &r.Extra)
}

// UnmarshalJSONFrom reads a JSON object. What does not fit goes to Extra.
func (c *ChannelPreference) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	*c = ChannelPreference{}
	return readPlain(dec, (*plainChannelPreference)(c), &c.Extra)
}
