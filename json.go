package courier

import (
	"bytes"
	stdjson "encoding/json"
	"errors"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	jsonv1 "github.com/go-json-experiment/json/v1"
)

// How this package writes and reads JSON. Each set of options is complete, because
// encoding/json of either version calls our methods with options of its own.
var (
	// The caller's own types are made for encoding/json.
	legacy = json.JoinOptions(
		json.DefaultOptionsV2(),
		jsonv1.CallMethodsWithLegacySemantics(true),
		jsonv1.FormatByteArrayAsArray(true),
		jsonv1.FormatBytesWithLegacySemantics(true),
		jsonv1.FormatDurationAsNano(true),
		jsonv1.OmitEmptyWithLegacySemantics(true),
		jsonv1.StringifyWithLegacySemantics(true),
	)
	marshalers = json.JoinMarshalers(
		json.MarshalToFunc(writeNumber),
		json.MarshalToFunc(func(enc *jsontext.Encoder, raw stdjson.RawMessage) error {
			return writeRaw(enc, jsontext.Value(raw))
		}),
	)
	// writing fails on a key twice (one in Extra that is also a field) and text that is not
	// UTF-8, and does not escape HTML: those are the defaults of v2.
	writing = json.JoinOptions(
		legacy,
		json.Deterministic(true),
		jsontext.CanonicalizeRawInts(false),
		jsontext.CanonicalizeRawFloats(false),
		json.OmitZeroStructFields(false),
		json.WithMarshalers(marshalers),
	)
	// writingRaw keeps text as it was read: it may hold an unpaired surrogate, or a
	// key twice.
	writingRaw = json.JoinOptions(
		jsontext.AllowDuplicateNames(true),
		jsontext.AllowInvalidUTF8(true),
		jsontext.PreserveRawStrings(true),
		// On Go 1.27 json.RawMessage is jsontext.Value, and writeRaw would call itself.
		json.WithMarshalers(nil),
	)
	// lenient accepts any JSON that a profile may hold; of duplicate names the last wins.
	lenient = json.JoinOptions(
		legacy,
		jsontext.AllowDuplicateNames(true),
		jsontext.AllowInvalidUTF8(true),
	)
	reading = json.JoinOptions(lenient, json.WithUnmarshalers(json.JoinUnmarshalers(
		json.UnmarshalFromFunc(readAny),
		json.UnmarshalFromFunc(readString),
		json.UnmarshalFromFunc(readNumber),
		json.UnmarshalFromFunc(emptyPreferences),
	)))
)

var (
	errNotUTF8   = errors.New("invalid UTF-8")
	errNotNumber = errors.New("not a JSON number")
	errType      = errors.New("JSON of another type, or text that Go cannot hold")
)

// encode returns v as JSON; the error is a [*ValidationError].
func encode(v any) ([]byte, error) {
	text, err := json.Marshal(v, writing)
	if err != nil {
		return nil, encodingError(v, err, 0)
	}
	return text, nil
}

// encodeTo is encode for the methods that encoding/json/v2 calls. Inside encode, it
// returns the error as is, because encode knows the whole path.
func encodeTo(enc *jsontext.Encoder, v any) error {
	depth := enc.StackDepth()
	err := json.MarshalEncode(enc, v, writing)
	outer, _ := json.GetOption(enc.Options(), json.WithMarshalers)
	if err != nil && outer != marshalers {
		return encodingError(v, err, depth)
	}
	return err
}

// decode reads text into v.
func decode(text []byte, v any) error {
	if !utf8.Valid(text) {
		return errNotUTF8
	}
	return json.Unmarshal(text, v, reading)
}

func trimBOM(text []byte) []byte { return bytes.TrimPrefix(text, []byte("\uFEFF")) }

func writeNumber(enc *jsontext.Encoder, n stdjson.Number) error {
	if kind, length := enc.StackIndex(enc.StackDepth()); kind == '{' && length%2 == 0 {
		return errors.ErrUnsupported // a key of a map, which can be any text
	}
	if n == "" {
		n = "0" // as encoding/json writes it
	}
	raw := jsontext.Value(n)
	if raw.Kind() != '0' || bytes.ContainsAny(raw, " \t\r\n") || !raw.IsValid() {
		return errNotNumber
	}
	if quoted, _ := json.GetOption(enc.Options(), json.StringifyNumbers); quoted {
		return enc.WriteToken(jsontext.String(string(n)))
	}
	return enc.WriteValue(raw)
}

func writeRaw(enc *jsontext.Encoder, raw jsontext.Value) error {
	if !utf8.Valid(raw) {
		return errNotUTF8
	}
	return json.MarshalEncode(enc, &raw, writingRaw)
}

// readRaw reads a value however the caller's decoder is configured: one that is strict
// about duplicate names and unpaired surrogates would lose a profile.
func readRaw(dec *jsontext.Decoder) (raw jsontext.Value, err error) {
	duplicates, _ := json.GetOption(dec.Options(), jsontext.AllowDuplicateNames)
	invalid, _ := json.GetOption(dec.Options(), jsontext.AllowInvalidUTF8)
	if duplicates && invalid {
		raw, err = dec.ReadValue()
	} else {
		raw, err = readLenient(dec)
	}
	if err == nil && !utf8.Valid(raw) {
		err = errNotUTF8
	}
	return raw, err
}

func readLenient(dec *jsontext.Decoder) (raw jsontext.Value, err error) {
	err = json.UnmarshalDecode(dec, &raw, lenient)
	return raw, err
}

// unquote returns the text of a JSON string. ok is false if it has an unpaired
// surrogate, which Go cannot hold.
func unquote(raw jsontext.Value) (text string, ok bool) {
	if bytes.IndexByte(raw, '\\') < 0 {
		return string(raw[1 : len(raw)-1]), true
	}
	unquoted, err := jsontext.AppendUnquote(nil, raw)
	return string(unquoted), err == nil
}

// fits reads raw into value, a pointer to the value of a Field, and reports whether
// all of it could be read.
func fits(raw jsontext.Value, value any) (ok bool) {
	switch value := value.(type) {
	case *string:
		if raw.Kind() == '"' {
			*value, ok = unquote(raw)
		}
	case *map[string]any:
		*value, ok = parse(raw).(map[string]any)
	default:
		ok = readObject(raw, value) == nil
	}
	return ok
}

// readObject reads raw into v. A struct has no place for a key that is not valid Unicode,
// and json/v2 would change it silently; readString fails on it as the key of a map.
func readObject(raw jsontext.Value, v any) error {
	if raw.Kind() == '{' && bytes.Contains(raw, []byte(`\u`)) {
		var members map[string]jsontext.Value
		if err := json.Unmarshal(raw, &members, reading); err != nil {
			return err
		}
	}
	return json.Unmarshal(raw, v, reading)
}

// readAny reads untyped values: numbers as json.Number, and what a Go string cannot
// hold as json.RawMessage.
func readAny(dec *jsontext.Decoder, v *any) error {
	raw, err := dec.ReadValue()
	if err == nil {
		*v = parse(raw)
	}
	return err
}

// parse is readAny for a value that is known to be valid JSON.
func parse(raw jsontext.Value) any {
	var u untyped
	if json.Unmarshal(raw, &u, lenient) != nil {
		// As Go strings, two keys of an object could be the same: all of it is kept.
		return stdjson.RawMessage(raw.Clone())
	}
	return u.value
}

// untyped reads any value in one pass.
type untyped struct{ value any }

// UnmarshalJSONFrom implements [json.UnmarshalerFrom].
func (u *untyped) UnmarshalJSONFrom(dec *jsontext.Decoder) (err error) {
	u.value, err = readUntyped(dec)
	return err
}

func readUntyped(dec *jsontext.Decoder) (any, error) {
	switch dec.PeekKind() {
	case '{':
		return readMembers(dec)
	case '[':
		return readElements(dec)
	}
	raw, err := dec.ReadValue()
	if err != nil {
		return nil, err
	}
	switch raw.Kind() {
	case '"':
		if text, ok := unquote(raw); ok {
			return text, nil
		}
		return stdjson.RawMessage(raw.Clone()), nil
	case '0':
		return stdjson.Number(raw), nil
	case 't', 'f':
		return raw.Kind() == 't', nil
	}
	return nil, nil
}

func readMembers(dec *jsontext.Decoder) (any, error) {
	object := map[string]any{}
	_, err := dec.ReadToken()
	for err == nil && dec.PeekKind() != '}' {
		var raw jsontext.Value
		if raw, err = dec.ReadValue(); err != nil {
			break
		}
		key, ok := unquote(raw)
		if !ok {
			return nil, errType
		}
		object[key], err = readUntyped(dec)
	}
	if err == nil {
		_, err = dec.ReadToken()
	}
	return object, err
}

func readElements(dec *jsontext.Decoder) (any, error) {
	array := []any{}
	_, err := dec.ReadToken()
	for err == nil && dec.PeekKind() != ']' {
		var element any
		element, err = readUntyped(dec)
		array = append(array, element)
	}
	if err == nil {
		_, err = dec.ReadToken()
	}
	return array, err
}

// readString fails on null as well, or an array of strings would lose it.
func readString(dec *jsontext.Decoder, text *string) error {
	raw, err := dec.ReadValue()
	if err != nil {
		return err
	}
	if raw.Kind() == '"' {
		var ok bool
		if *text, ok = unquote(raw); ok {
			return nil
		}
	}
	return errType
}

func readNumber(dec *jsontext.Decoder, n *stdjson.Number) error {
	raw, err := dec.ReadValue()
	if err == nil && raw.Kind() != '0' {
		return errNotNumber
	}
	*n = stdjson.Number(raw)
	return err
}

// emptyPreferences makes the last of duplicate names win: without it, json/v2 merges their maps.
func emptyPreferences(_ *jsontext.Decoder, preferences *map[string]Preference) error {
	*preferences = nil
	return errors.ErrUnsupported // json/v2 reads the map
}

// readLenientObject reads an object whose fields are plain Go types. A member that does
// not fit goes to extra, and null counts as unset.
func readLenientObject[T any](dec *jsontext.Decoder, object *T, extra *map[string]any) error {
	raw, err := readRaw(dec)
	if err != nil {
		return err
	}
	if raw.Kind() == '{' && readObject(raw, object) == nil {
		return nil // all of it fits
	}
	*object = *new(T)
	var members map[string]any
	if err := json.Unmarshal(raw, &members, reading); err != nil {
		return err
	}
	if members == nil {
		return errType
	}
	for key, value := range members {
		next := *object
		member, err := encode(map[string]any{key: value})
		if err == nil && decode(member, &next) == nil {
			*object = next
			continue
		}
		if value == nil { // of a field
			continue
		}
		if *extra == nil {
			*extra = map[string]any{}
		}
		(*extra)[key] = value
	}
	return nil
}
