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

func (p *Preferences) visit(v jsonobject.Visitor) {
	v.Extra(&p.Extra)
	v.Field("categories", (*dict[Preference])(&p.Categories))
	v.Field("notifications", (*dict[Preference])(&p.Notifications))
}

func (p *Preference) visit(v jsonobject.Visitor) {
	v.Extra(&p.Extra)
	v.Field("status", (*text)(&p.Status))
	v.Field("rules", (*list[PreferenceRule])(&p.Rules))
	v.Field("channel_preferences", (*list[ChannelPreference])(&p.ChannelPreferences))
}

func (p *PreferenceRule) visit(v jsonobject.Visitor) {
	v.Extra(&p.Extra)
	v.Field("until", (*text)(&p.Until))
	v.Field("start", (*text)(&p.Start))
	v.Field("type", (*text)(&p.Type))
}

func (p *ChannelPreference) visit(v jsonobject.Visitor) {
	v.Extra(&p.Extra)
	v.Field("channel", (*text)(&p.Channel))
}

// MarshalJSON writes the preferences as Courier takes them.
func (p Preferences) MarshalJSON() ([]byte, error) { return marshal(&p) }

// UnmarshalJSON reads a JSON object.
func (p *Preferences) UnmarshalJSON(text []byte) error { return unmarshal(text, p) }

// MarshalJSON writes the preference as Courier takes it.
func (p Preference) MarshalJSON() ([]byte, error) { return marshal(&p) }

// UnmarshalJSON reads a JSON object.
func (p *Preference) UnmarshalJSON(text []byte) error { return unmarshal(text, p) }

// MarshalJSON writes the rule as Courier takes it.
func (p PreferenceRule) MarshalJSON() ([]byte, error) { return marshal(&p) }

// UnmarshalJSON reads a JSON object.
func (p *PreferenceRule) UnmarshalJSON(text []byte) error { return unmarshal(text, p) }

// MarshalJSON writes the channel preference as Courier takes it.
func (p ChannelPreference) MarshalJSON() ([]byte, error) { return marshal(&p) }

// UnmarshalJSON reads a JSON object.
func (p *ChannelPreference) UnmarshalJSON(text []byte) error { return unmarshal(text, p) }

// readPreferences reads an object, or null as nil.
func readPreferences(r *jsonobject.Reader) (*Preferences, bool) {
	if r.Null() {
		return nil, true
	}
	p := new(Preferences)
	return p, r.Object(p.visit)
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
	jsonobject.List(w, *l, func(element T) { writeJSON(w, &element) })
}
func (l *list[T]) ReadJSON(r *jsonobject.Reader) bool {
	if r.Null() {
		return true
	}
	elements, ok := readList(r, func(r *jsonobject.Reader) (element T, ok bool) {
		return element, readJSON(r, &element)
	})
	*l = elements
	return ok
}

// dict is an object whose members are objects, under keys of the caller's.
type dict[T any] map[string]T

func (d *dict[T]) IsZero() bool { return *d == nil }
func (d *dict[T]) Clear()       { *d = nil }
func (d *dict[T]) WriteJSON(w *jsonobject.Writer) {
	jsonobject.Map(w, *d, func(member T) { writeJSON(w, &member) })
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
		if !fits || !readJSON(r, &value) {
			return false
		}
		(*d)[key] = value
	}
}
