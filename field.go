package courier

import (
	stdjson "encoding/json"
	"reflect"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// Field is one member of an object in a profile. It has three states, because
// a merge (JSON Merge Patch, RFC 7396) tells them apart:
//
//   - unset, the zero Field: Merge leaves the member as it is
//   - null, from [Null]: Merge removes the member
//   - a value, from [Set]: Merge writes it, even if it is "", false, or empty
//
// A Field that was read can also hold JSON that does not fit T; see
// [Field.Mismatch]. Two Fields can be compared with [Field.Equal].
type Field[T any] struct {
	value T
	state *fieldState // nil is unset
}

// fieldState is behind a pointer to keep a Field small: all null Fields share one,
// all with a value share another, and each mismatch has its own.
type fieldState struct {
	name     string // tells the states apart for reflect.DeepEqual
	mismatch jsontext.Value
}

var (
	stateNull  = &fieldState{name: "null"}
	stateValue = &fieldState{name: "value"}
)

// Set returns a Field that holds value. A nil map is written as {}, a nil slice as [].
func Set[T any](value T) Field[T] { return Field[T]{value: value, state: stateValue} }

// Null returns a Field that is null: Merge removes the member.
func Null[T any]() Field[T] { return Field[T]{state: stateNull} }

// SetOrNull returns Set(*value), or [Null] if value is nil: Merge then removes the member.
func SetOrNull[T any](value *T) Field[T] {
	if value == nil {
		return Null[T]()
	}
	return Set(*value)
}

// SetOrUnset returns Set(*value), or an unset Field if value is nil: Merge then leaves
// the member as it is.
func SetOrUnset[T any](value *T) Field[T] {
	if value == nil {
		return Field[T]{}
	}
	return Set(*value)
}

// Get returns the value. ok is false if the Field is unset, null, or a mismatch.
func (f Field[T]) Get() (value T, ok bool) { return f.value, f.state == stateValue }

// Or returns the value, or fallback if the Field has none.
func (f Field[T]) Or(fallback T) T {
	if f.state == stateValue {
		return f.value
	}
	return fallback
}

// IsNull reports whether the Field is null.
func (f Field[T]) IsNull() bool { return f.state == stateNull }

// IsUnset reports whether the Field is unset. A Field that holds the zero value of T
// is set.
func (f Field[T]) IsUnset() bool { return f.state == nil }

// Mismatch returns the JSON that was read and does not fit T, or nil if there is none.
// It is written back unchanged; [Set] replaces it.
func (f Field[T]) Mismatch() stdjson.RawMessage {
	if f.state == nil {
		return nil
	}
	return stdjson.RawMessage(f.state.mismatch.Clone())
}

// Equal reports whether both Fields are in the same state and hold deeply equal values
// (see [reflect.DeepEqual]). Package go-cmp uses it.
func (f Field[T]) Equal(other Field[T]) bool { return reflect.DeepEqual(f, other) }

func (Field[T]) valueType() reflect.Type { return reflect.TypeFor[T]() }

// MarshalJSON writes the value, or null if the Field is null or unset. To leave out
// an unset Field, give it the tag `json:",omitzero"`, as the structs of this package do.
func (f Field[T]) MarshalJSON() ([]byte, error) { return encode(&f) }

// UnmarshalJSON reads any JSON value. If it does not fit T, the Field keeps it as its
// [Field.Mismatch].
func (f *Field[T]) UnmarshalJSON(text []byte) error { return decode(text, f) }

// MarshalJSONTo is [Field.MarshalJSON] for encoding/json/v2.
func (f *Field[T]) MarshalJSONTo(enc *jsontext.Encoder) error {
	switch f.state {
	case nil, stateNull:
		return enc.WriteToken(jsontext.Null)
	case stateValue:
		// Most fields are text, which needs no reflection and no options.
		if text, ok := any(&f.value).(*string); ok && utf8.ValidString(*text) {
			return enc.WriteToken(jsontext.String(*text))
		}
		return encodeTo(enc, &f.value)
	}
	return encodeTo(enc, stdjson.RawMessage(f.state.mismatch))
}

// UnmarshalJSONFrom is [Field.UnmarshalJSON] for encoding/json/v2.
func (f *Field[T]) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	*f = Field[T]{}
	raw, err := readRaw(dec)
	switch {
	case err != nil:
		return err
	case raw.Kind() == 'n':
		f.state = stateNull
	case fits(raw, &f.value):
		f.state = stateValue
	default:
		*f = Field[T]{state: &fieldState{"mismatch", raw.Clone()}}
	}
	return nil
}
