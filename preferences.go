package courier

import (
	"time"

	"github.com/courier-profiles/courier-go/internal/jsonobject"
)

// Preferences is what a user wants to be sent, by category and by notification
// (Courier's API reference, Profiles). As in a [Profile], Extra here and in the
// objects inside holds what has no field and what does not fit its field. A
// null is like a member that is not there.
type Preferences struct {
	Categories    map[string]Preference // by the id of the category
	Notifications map[string]Preference // by the id of the notification
	Extra         map[string]any
}

// Preference is what a user wants of one category or notification.
type Preference struct {
	Status             string // OPTED_IN, OPTED_OUT or REQUIRED
	Rules              []PreferenceRule
	ChannelPreferences []ChannelPreference
	Extra              map[string]any
}

// PreferenceRule bounds a preference in time.
type PreferenceRule struct {
	Until string // ISO 8601
	Start string // ISO 8601; or empty
	Type  string // "snooze" in older documents
	Extra map[string]any
}

// ChannelPreference names a channel that a user wants.
type ChannelPreference struct {
	Channel string // direct_message, email, push, sms, webhook or inbox
	Extra   map[string]any
}

var preferencesObject = jsonobject.Object[Preferences]{
	Extra: func(p *Preferences) *map[string]any { return &p.Extra },
	Members: []jsonobject.Member[Preferences]{
		{Key: "categories", Of: func(p *Preferences) jsonobject.Value { return (*dict[Preference])(&p.Categories) }},
		{Key: "notifications", Of: func(p *Preferences) jsonobject.Value { return (*dict[Preference])(&p.Notifications) }},
	},
}

var preferenceObject = jsonobject.Object[Preference]{
	Extra: func(p *Preference) *map[string]any { return &p.Extra },
	Members: []jsonobject.Member[Preference]{
		{Key: "status", Of: func(p *Preference) jsonobject.Value { return (*text)(&p.Status) }},
		{Key: "rules", Of: func(p *Preference) jsonobject.Value { return (*list[PreferenceRule])(&p.Rules) }},
		{Key: "channel_preferences", Of: func(p *Preference) jsonobject.Value {
			return (*list[ChannelPreference])(&p.ChannelPreferences)
		}},
	},
}

var preferenceRuleObject = jsonobject.Object[PreferenceRule]{
	Extra: func(p *PreferenceRule) *map[string]any { return &p.Extra },
	Members: []jsonobject.Member[PreferenceRule]{
		{Key: "until", Of: func(p *PreferenceRule) jsonobject.Value { return (*text)(&p.Until) }},
		{Key: "start", Of: func(p *PreferenceRule) jsonobject.Value { return (*text)(&p.Start) }},
		{Key: "type", Of: func(p *PreferenceRule) jsonobject.Value { return (*text)(&p.Type) }},
	},
}

var channelPreferenceObject = jsonobject.Object[ChannelPreference]{
	Extra: func(p *ChannelPreference) *map[string]any { return &p.Extra },
	Members: []jsonobject.Member[ChannelPreference]{
		{Key: "channel", Of: func(p *ChannelPreference) jsonobject.Value { return (*text)(&p.Channel) }},
	},
}

func (p *Preferences) writeJSON(w *jsonobject.Writer)     { preferencesObject.Write(w, p) }
func (p *Preferences) readJSON(r *jsonobject.Reader) bool { return preferencesObject.Read(r, p) }

// MarshalJSON writes the preferences as Courier takes them.
func (p Preferences) MarshalJSON() ([]byte, error) { return marshal(p.writeJSON) }

// UnmarshalJSON reads a JSON object.
func (p *Preferences) UnmarshalJSON(text []byte) error {
	return unmarshal(text, p, (*Preferences).readJSON)
}

func (p *Preference) writeJSON(w *jsonobject.Writer)     { preferenceObject.Write(w, p) }
func (p *Preference) readJSON(r *jsonobject.Reader) bool { return preferenceObject.Read(r, p) }

// MarshalJSON writes the preference as Courier takes it.
func (p Preference) MarshalJSON() ([]byte, error) { return marshal(p.writeJSON) }

// UnmarshalJSON reads a JSON object.
func (p *Preference) UnmarshalJSON(text []byte) error {
	return unmarshal(text, p, (*Preference).readJSON)
}

func (p *PreferenceRule) writeJSON(w *jsonobject.Writer)     { preferenceRuleObject.Write(w, p) }
func (p *PreferenceRule) readJSON(r *jsonobject.Reader) bool { return preferenceRuleObject.Read(r, p) }

// MarshalJSON writes the rule as Courier takes it.
func (p PreferenceRule) MarshalJSON() ([]byte, error) { return marshal(p.writeJSON) }

// UnmarshalJSON reads a JSON object.
func (p *PreferenceRule) UnmarshalJSON(text []byte) error {
	return unmarshal(text, p, (*PreferenceRule).readJSON)
}

func (p *ChannelPreference) writeJSON(w *jsonobject.Writer) { channelPreferenceObject.Write(w, p) }
func (p *ChannelPreference) readJSON(r *jsonobject.Reader) bool {
	return channelPreferenceObject.Read(r, p)
}

// MarshalJSON writes the channel preference as Courier takes it.
func (p ChannelPreference) MarshalJSON() ([]byte, error) { return marshal(p.writeJSON) }

// UnmarshalJSON reads a JSON object.
func (p *ChannelPreference) UnmarshalJSON(text []byte) error {
	return unmarshal(text, p, (*ChannelPreference).readJSON)
}

// readPreferences reads an object, or null as nil.
func readPreferences(r *jsonobject.Reader) (*Preferences, bool) {
	if r.Null() {
		return nil, true
	}
	p := new(Preferences)
	return p, p.readJSON(r)
}

// The types below are plain Go values in the eyes of jsonobject: zero is not
// there, and null is read as zero.

type text string

func (t *text) IsZero() bool                   { return *t == "" }
func (t *text) Clear()                         { *t = "" }
func (t *text) WriteJSON(w *jsonobject.Writer) { w.String(string(*t)) }
func (t *text) ReadJSON(r *jsonobject.Reader) bool {
	if *t = ""; r.Null() {
		return true
	}
	value, ok := r.String()
	*t = text(value)
	return ok
}

// timestamp is written as Courier writes it, in UTC to the millisecond.
type timestamp time.Time

func (t *timestamp) IsZero() bool { return time.Time(*t).IsZero() }
func (t *timestamp) Clear()       { *t = timestamp{} }
func (t *timestamp) WriteJSON(w *jsonobject.Writer) {
	w.String(time.Time(*t).UTC().Format("2006-01-02T15:04:05.000Z"))
}
func (t *timestamp) ReadJSON(r *jsonobject.Reader) bool {
	if r.Null() {
		return true
	}
	value, _ := r.String()
	parsed, err := time.Parse(time.RFC3339, value)
	*t = timestamp(parsed)
	return err == nil
}

// list is a list of objects.
type list[T any] []T

func (l *list[T]) IsZero() bool { return *l == nil }
func (l *list[T]) Clear()       { *l = nil }
func (l *list[T]) WriteJSON(w *jsonobject.Writer) {
	jsonobject.List(w, *l, func(element T) { any(&element).(object).writeJSON(w) })
}
func (l *list[T]) ReadJSON(r *jsonobject.Reader) bool {
	if r.Null() {
		return true
	}
	elements, ok := readList(r, func(r *jsonobject.Reader) (element T, ok bool) {
		return element, any(&element).(object).readJSON(r)
	})
	*l = elements
	return ok
}

// dict is an object whose members are objects, under keys of the caller's.
type dict[T any] map[string]T

func (d *dict[T]) IsZero() bool { return *d == nil }
func (d *dict[T]) Clear()       { *d = nil }
func (d *dict[T]) WriteJSON(w *jsonobject.Writer) {
	jsonobject.Map(w, *d, func(member T) { any(&member).(object).writeJSON(w) })
}
func (d *dict[T]) ReadJSON(r *jsonobject.Reader) bool {
	if r.Null() {
		return true
	}
	if !r.BeginObject() {
		return false
	}
	*d = dict[T]{}
	for {
		key, fits, more := r.NextMember()
		if !more {
			return r.Err() == nil
		}
		var value T
		if !fits || !any(&value).(object).readJSON(r) {
			return false
		}
		(*d)[key] = value
	}
}
