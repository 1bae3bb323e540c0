package courier

import "github.com/go-json-experiment/json/jsontext"

// Preferences is what a user chose to receive, by category and by notification
// (Profiles API reference). Extra, here and in the objects below, holds the members
// that have no field and those that do not fit theirs. A null is read as unset, except
// that Extra keeps it.
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
	Channel string         `json:"channel,omitzero"` // such as email, push, or sms
	Extra   map[string]any `json:",embed"`
}

// The same types without their methods.
type (
	preferencesObject       Preferences
	preferenceObject        Preference
	preferenceRuleObject    PreferenceRule
	channelPreferenceObject ChannelPreference
)

// MarshalJSON writes the preferences as Courier expects them.
func (p Preferences) MarshalJSON() ([]byte, error) { return encode((*preferencesObject)(&p)) }

// UnmarshalJSON reads a JSON object. What does not fit goes to Extra.
func (p *Preferences) UnmarshalJSON(text []byte) error { return decode(text, p) }

// MarshalJSONTo is [Preferences.MarshalJSON] for encoding/json/v2.
func (p Preferences) MarshalJSONTo(enc *jsontext.Encoder) error {
	return encodeTo(enc, (*preferencesObject)(&p))
}

// UnmarshalJSONFrom is [Preferences.UnmarshalJSON] for encoding/json/v2.
func (p *Preferences) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	*p = Preferences{}
	return readLenientObject(dec, (*preferencesObject)(p), &p.Extra)
}

// MarshalJSON writes the preference as Courier expects it.
func (p Preference) MarshalJSON() ([]byte, error) { return encode((*preferenceObject)(&p)) }

// UnmarshalJSON reads a JSON object. What does not fit goes to Extra.
func (p *Preference) UnmarshalJSON(text []byte) error { return decode(text, p) }

// MarshalJSONTo is [Preference.MarshalJSON] for encoding/json/v2.
func (p Preference) MarshalJSONTo(enc *jsontext.Encoder) error {
	return encodeTo(enc, (*preferenceObject)(&p))
}

// UnmarshalJSONFrom is [Preference.UnmarshalJSON] for encoding/json/v2.
func (p *Preference) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	*p = Preference{}
	return readLenientObject(dec, (*preferenceObject)(p), &p.Extra)
}

// MarshalJSON writes the rule as Courier expects it.
func (r PreferenceRule) MarshalJSON() ([]byte, error) { return encode((*preferenceRuleObject)(&r)) }

// UnmarshalJSON reads a JSON object. What does not fit goes to Extra.
func (r *PreferenceRule) UnmarshalJSON(text []byte) error { return decode(text, r) }

// MarshalJSONTo is [PreferenceRule.MarshalJSON] for encoding/json/v2.
func (r PreferenceRule) MarshalJSONTo(enc *jsontext.Encoder) error {
	return encodeTo(enc, (*preferenceRuleObject)(&r))
}

// UnmarshalJSONFrom is [PreferenceRule.UnmarshalJSON] for encoding/json/v2.
func (r *PreferenceRule) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	*r = PreferenceRule{}
	return readLenientObject(dec, (*preferenceRuleObject)(r), &r.Extra)
}

// MarshalJSON writes the channel as Courier expects it.
func (c ChannelPreference) MarshalJSON() ([]byte, error) {
	return encode((*channelPreferenceObject)(&c))
}

// UnmarshalJSON reads a JSON object. What does not fit goes to Extra.
func (c *ChannelPreference) UnmarshalJSON(text []byte) error { return decode(text, c) }

// MarshalJSONTo is [ChannelPreference.MarshalJSON] for encoding/json/v2.
func (c ChannelPreference) MarshalJSONTo(enc *jsontext.Encoder) error {
	return encodeTo(enc, (*channelPreferenceObject)(&c))
}

// UnmarshalJSONFrom is [ChannelPreference.UnmarshalJSON] for encoding/json/v2.
func (c *ChannelPreference) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	*c = ChannelPreference{}
	return readLenientObject(dec, (*channelPreferenceObject)(c), &c.Extra)
}
