package courier

import (
	"bytes"
	stdjson "encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	jsonv1 "github.com/go-json-experiment/json/v1"
)

// How this package writes and reads JSON. Each set of options is complete, because
// encoding/json of either version calls our methods with options of its own.
var (
	writing = json.JoinOptions(
		json.DefaultOptionsV2(),
		json.Deterministic(true),
		jsontext.AllowDuplicateNames(false), // a key in Extra that is also a field
		jsontext.AllowInvalidUTF8(false),
		jsontext.EscapeForHTML(false),
		jsontext.EscapeForJS(false),
		// The caller's own types are written for encoding/json.
		jsonv1.OmitEmptyWithLegacySemantics(true),
		jsonv1.StringifyWithLegacySemantics(true),
		jsonv1.FormatByteArrayAsArray(true),
		jsonv1.FormatDurationAsNano(true),
		json.WithMarshalers(json.JoinMarshalers(
			json.MarshalToFunc(writeNumber),
			json.MarshalToFunc(func(enc *jsontext.Encoder, raw stdjson.RawMessage) error { return writeRaw(enc, jsontext.Value(raw)) }),
		)),
	)
	// writingRaw keeps text as it was read: it may hold half of a surrogate pair,
	// or a key twice.
	writingRaw = json.JoinOptions(
		jsontext.AllowDuplicateNames(true),
		jsontext.AllowInvalidUTF8(true),
		jsontext.PreserveRawStrings(true),
		json.WithMarshalers(nil), // on Go 1.27 json.RawMessage is jsontext.Value, and would be written by writeRaw again
	)
	// lenient accepts any JSON that a profile may hold; of duplicate names the last wins.
	lenient = json.JoinOptions(
		json.DefaultOptionsV2(),
		jsontext.AllowDuplicateNames(true),
		jsontext.AllowInvalidUTF8(true),
	)
	reading = json.JoinOptions(lenient, json.WithUnmarshalers(json.JoinUnmarshalers(
		json.UnmarshalFromFunc(readAny),
		json.UnmarshalFromFunc(readString),
		json.UnmarshalFromFunc(readNumber),
		json.UnmarshalFromFunc(readTime),
	)))
)

var (
	errNotUTF8   = errors.New("invalid UTF-8")
	errNotNumber = errors.New("not a JSON number")
	errNotText   = errors.New("not a JSON string that Go can hold")
	errKey       = errors.New("a key is not valid Unicode")
)

// encode returns v as JSON; the error is a [*ValidationError].
func encode(v any) ([]byte, error) {
	text, err := json.Marshal(v, writing)
	if err != nil {
		return nil, refusal(v, err, 0)
	}
	return text, nil
}

// decode reads text, which may begin with a BOM, into v.
func decode(text []byte, v any) error {
	if !utf8.Valid(text) {
		return errNotUTF8
	}
	return json.Unmarshal(bytes.TrimPrefix(text, []byte("\uFEFF")), v, reading)
}

func writeNumber(enc *jsontext.Encoder, n stdjson.Number) error {
	if raw := jsontext.Value(n); raw.Kind() == '0' {
		return enc.WriteValue(raw)
	}
	return errNotNumber
}

func writeRaw(enc *jsontext.Encoder, raw jsontext.Value) error {
	if !utf8.Valid(raw) {
		return errNotUTF8
	}
	if raw == nil {
		return enc.WriteToken(jsontext.Null)
	}
	return json.MarshalEncode(enc, &raw, writingRaw)
}

// readRaw reads a value in whatever way the caller's decoder was configured: JSON that
// is strict about duplicate names and surrogate pairs would lose a profile.
func readRaw(dec *jsontext.Decoder) (jsontext.Value, error) {
	duplicates, _ := json.GetOption(dec.Options(), jsontext.AllowDuplicateNames)
	invalid, _ := json.GetOption(dec.Options(), jsontext.AllowInvalidUTF8)
	if !duplicates || !invalid {
		var raw jsontext.Value
		err := json.UnmarshalDecode(dec, &raw, lenient)
		return raw, err
	}
	raw, err := dec.ReadValue()
	if err == nil && !utf8.Valid(raw) {
		return nil, errNotUTF8
	}
	return raw, err
}

// unquote returns the text of a JSON string. ok is false if it has half of a surrogate
// pair, which Go cannot hold.
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

// readObject reads raw into v. The embedded map of a struct has no place for a key
// that is not valid Unicode, and json/v2 would change it silently.
func readObject(raw jsontext.Value, v any) error {
	if raw.Kind() == '{' && bytes.Contains(raw, []byte(`\u`)) {
		dec := jsontext.NewDecoder(bytes.NewBuffer(raw), lenient)
		for _, err := dec.ReadToken(); err == nil && dec.PeekKind() == '"'; err = dec.SkipValue() {
			key, _ := dec.ReadValue()
			if _, ok := unquote(key); !ok {
				return errKey
			}
		}
	}
	return json.Unmarshal(raw, v, reading)
}

// readAny reads what has no type: numbers as json.Number, and as json.RawMessage
// what Go has no text for.
func readAny(dec *jsontext.Decoder, v *any) error {
	raw, err := dec.ReadValue()
	if err == nil {
		*v = parse(raw)
	}
	return err
}

// parse is readAny for a value that is known to be valid JSON.
func parse(raw jsontext.Value) any {
	switch raw.Kind() {
	case '{', '[':
		p := parser{text: raw}
		_ = json.Unmarshal(raw, &p, lenient)
		return p.value
	case '"':
		if text, ok := unquote(raw); ok {
			return text
		}
		return stdjson.RawMessage(raw.Clone())
	case '0':
		return stdjson.Number(raw)
	case 't', 'f':
		return raw.Kind() == 't'
	}
	return nil
}

// parser reads an object or array in one pass. It has all of its text, to keep a part
// of it as it is.
type parser struct {
	text  []byte
	value any
}

// UnmarshalJSONFrom implements [json.UnmarshalerFrom].
func (p *parser) UnmarshalJSONFrom(dec *jsontext.Decoder) (err error) {
	p.value, err = p.read(dec)
	return err
}

func (p *parser) read(dec *jsontext.Decoder) (any, error) {
	switch dec.PeekKind() {
	case '[':
		return p.readArray(dec)
	case '{':
		return p.readObject(dec)
	}
	raw, err := dec.ReadValue()
	return parse(raw), err
}

func (p *parser) readArray(dec *jsontext.Decoder) (any, error) {
	array := []any{}
	_, err := dec.ReadToken()
	for err == nil && dec.PeekKind() != ']' {
		var element any
		element, err = p.read(dec)
		array = append(array, element)
	}
	if err == nil {
		_, err = dec.ReadToken()
	}
	return array, err
}

func (p *parser) readObject(dec *jsontext.Decoder) (any, error) {
	object, keysAreText := map[string]any{}, true
	_, err := dec.ReadToken()
	start := dec.InputOffset() - 1
	for err == nil && dec.PeekKind() != '}' {
		var raw jsontext.Value
		if raw, err = dec.ReadValue(); err == nil {
			key, ok := unquote(raw)
			keysAreText = keysAreText && ok
			object[key], err = p.read(dec)
		}
	}
	if err == nil {
		_, err = dec.ReadToken()
	}
	if err == nil && !keysAreText { // as Go strings, two keys could be the same
		return stdjson.RawMessage(bytes.Clone(p.text[start:dec.InputOffset()])), nil
	}
	return object, err
}

// readString refuses null as well, or an array of strings would lose it.
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
	return errNotText
}

func readNumber(dec *jsontext.Decoder, n *stdjson.Number) error {
	raw, err := dec.ReadValue()
	if err == nil && raw.Kind() != '0' {
		return errNotNumber
	}
	*n = stdjson.Number(raw)
	return err
}

// readTime reads a time; what cannot be read is the zero time.
func readTime(dec *jsontext.Decoder, t *time.Time) error {
	raw, err := dec.ReadValue()
	if err == nil && raw.Kind() == '"' {
		text, _ := unquote(raw)
		*t, _ = time.Parse(time.RFC3339, text)
	}
	return err
}

// readPlain reads an object whose fields are plain Go types. A member that does not
// fit goes to extra, and null is as unset.
func readPlain[T any](dec *jsontext.Decoder, object *T, extra *map[string]any) error {
	text, err := readRaw(dec)
	if err != nil {
		return err
	}
	var members map[string]jsontext.Value
	if err := json.Unmarshal(text, &members, lenient); err != nil {
		return err
	}
	for key, raw := range members {
		if raw.Kind() == 'n' {
			continue
		}
		member, err := json.Marshal(map[string]jsontext.Value{key: raw}, writingRaw)
		if err != nil {
			return err
		}
		next := *object
		if json.Unmarshal(member, &next, reading) == nil {
			*object = next
			continue
		}
		if *extra == nil {
			*extra = map[string]any{}
		}
		(*extra)[key] = parse(raw)
	}
	return nil
}

// refusal says why body cannot be sent. The first depth tokens of the JSON Pointer in
// err lead to body.
func refusal(body any, err error, depth int) *ValidationError {
	var (
		refused   *ValidationError
		semantic  *json.SemanticError
		syntactic *jsontext.SyntacticError
		pointer   jsontext.Pointer
		reason    = "cannot be written as JSON"
	)
	if errors.As(err, &semantic) {
		pointer = semantic.JSONPointer
		if semantic.GoType != nil {
			reason += ": a value of type " + semantic.GoType.String()
		}
	}
	if errors.As(err, &syntactic) && len(syntactic.JSONPointer) > len(pointer) {
		pointer = syntactic.JSONPointer
	}
	switch {
	case errors.As(err, &refused):
		reason = refused.Reason
	case errors.Is(err, jsontext.ErrDuplicateName):
		reason = "appears twice: a key that is set as a field must not be in Extra"
	case strings.Contains(err.Error(), errNotUTF8.Error()):
		reason = "contains text that is not valid UTF-8"
	}
	path := slices.Collect(pointer.Tokens())
	return invalid(knownPath(reflect.TypeOf(body), path[min(depth, len(path)):]), reason)
}

// knownPath returns the part of a JSON Pointer that consists of Courier's own keys.
// What follows is the caller's, and may be a secret.
func knownPath(t reflect.Type, pointer []string) string {
	path := ""
	for _, token := range pointer {
		for t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		if field, ok := reflect.Zero(t).Interface().(interface{ valueType() reflect.Type }); ok {
			t = field.valueType()
		}
		if t.Kind() == reflect.Slice {
			path, t = path+"["+token+"]", t.Elem()
			continue
		}
		field, ok := fieldOf(t, token)
		if !ok {
			break
		}
		path, t = path+"."+token, field.Type
	}
	return strings.TrimPrefix(path, ".")
}

// fieldOf finds the field of a struct of this package by its key.
func fieldOf(t reflect.Type, key string) (reflect.StructField, bool) {
	if t.Kind() != reflect.Struct || t.PkgPath() != reflect.TypeFor[Profile]().PkgPath() {
		return reflect.StructField{}, false
	}
	for i := range t.NumField() {
		if name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ","); name == key {
			return t.Field(i), true
		}
	}
	return reflect.StructField{}, false
}
