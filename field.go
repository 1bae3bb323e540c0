package courier

import (
	stdjson "encoding/json"
	"fmt"
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
// [Field.Mismatch]. Compare two Fields with [Field.Equal]; == does not compile.
//
// An unset Field has no JSON, because null would delete the member. Give a Field in a
// struct of your own the tag `json:",omitzero"` (omitempty does not leave it out), and
// leave the key out of a map. Otherwise, writing an unset Field is an error.
type Field[T any] struct {
	_       [0]func() // not comparable with ==, which would compare addresses
	content any       // nil (unset), null{}, *T, or mismatch
}

// What a Field holds other than a value.
type (
	null     struct{}
	mismatch jsontext.Value
)

// Set returns a Field that holds value. A nil map is written as {}, a nil slice as [].
func Set[T any](value T) Field[T] { return Field[T]{content: &value} }

// Null returns a Field that is null: Merge removes the member.
func Null[T any]() Field[T] { return Field[T]{content: null{}} }

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
func (f Field[T]) Get() (value T, ok bool) {
	if p, ok := f.content.(*T); ok {
		return *p, true
	}
	return value, false
}

// Or returns the value, or fallback if the Field has none.
func (f Field[T]) Or(fallback T) T {
	if p, ok := f.content.(*T); ok {
		return *p
	}
	return fallback
}

// Update sets the Field to a copy of its value that edit has changed. An unset or null
// Field starts from the zero value of T. A mismatch stays as it is, and Update returns
// false.
//
// Copies of the Field, such as one in a copy of its [Profile], keep the old value. Maps
// and slices inside the value are shared with them.
func (f *Field[T]) Update(edit func(*T)) bool {
	if f.Mismatch() != nil {
		return false
	}
	value, _ := f.Get()
	edit(&value)
	*f = Set(value)
	return true
}

// IsNull reports whether the Field is null.
func (f Field[T]) IsNull() bool {
	_, ok := f.content.(null)
	return ok
}

// IsUnset reports whether the Field is unset. A Field that holds the zero value of T
// is set.
func (f Field[T]) IsUnset() bool { return f.content == nil }

// Mismatch returns the JSON that was read and does not fit T, or nil if there is none.
// It is written back unchanged; [Set] replaces it.
func (f Field[T]) Mismatch() stdjson.RawMessage {
	m, _ := f.content.(mismatch)
	return stdjson.RawMessage(jsontext.Value(m).Clone())
}

// Equal reports whether both Fields are in the same state and hold deeply equal values
// (see [reflect.DeepEqual]). Package go-cmp uses it.
func (f Field[T]) Equal(other Field[T]) bool { return reflect.DeepEqual(f.content, other.content) }

// String returns the value as package fmt prints it, "null", "unset", or the JSON of a
// mismatch. Device tokens and objects that hold credentials are "[redacted]".
func (f Field[T]) String() string {
	switch content := f.content.(type) {
	case nil:
		return "unset"
	case null:
		return "null"
	case mismatch:
		zero := any(*new(T))
		if _, isProfile := zero.(Profile); isProfile || fmt.Sprint(zero) == redacted {
			return redacted // it may be what T redacts
		}
		return string(content)
	}
	value, _ := f.Get()
	return fmt.Sprint(value)
}

// MarshalJSON writes the value, null, or a mismatch as it was read. The error wraps a
// [*ValidationError], also if the Field is unset: in a struct, give it the tag
// `json:",omitzero"`.
func (f Field[T]) MarshalJSON() ([]byte, error) { return encode(&f) }

// UnmarshalJSON reads any JSON value. If it does not fit T, the Field keeps it as its
// [Field.Mismatch].
func (f *Field[T]) UnmarshalJSON(text []byte) error { return decode(text, f) }

// MarshalJSONTo is [Field.MarshalJSON] for encoding/json/v2.
func (f Field[T]) MarshalJSONTo(enc *jsontext.Encoder) error {
	switch content := f.content.(type) {
	case *string: // most fields are text, which needs no reflection and no options
		if utf8.ValidString(*content) {
			return enc.WriteToken(jsontext.String(*content))
		}
		return encodeTo(enc, content)
	case null:
		return enc.WriteToken(jsontext.Null)
	case mismatch:
		return encodeTo(enc, stdjson.RawMessage(content))
	case nil:
		return invalid("", "an unset Field has no JSON: leave the key out, or use Null to remove it")
	}
	return encodeTo(enc, f.content)
}

// UnmarshalJSONFrom is [Field.UnmarshalJSON] for encoding/json/v2.
func (f *Field[T]) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	raw, err := readRaw(dec)
	if err != nil {
		return err
	}
	if raw.Kind() == 'n' {
		*f = Null[T]()
		return nil
	}
	value := new(T)
	if fits(raw, value) {
		f.content = value
	} else {
		f.content = mismatch(raw.Clone())
	}
	return nil
}
