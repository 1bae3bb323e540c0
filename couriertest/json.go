package couriertest

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"regexp"
	"slices"
	"sync"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// JSON is kept as it was written, because neither a string nor a number of Go can
// hold all of it: an unpaired surrogate ("\ud800"), or 1.10. An object is a
// map[string]any whose keys are canonical names, an array is a []any, and anything
// else is a jsontext.Value, the text itself.

// lenient makes the library accept unpaired surrogates. It reads them all as U+FFFD,
// so names that differ only in one would be duplicates.
var lenient = json.JoinOptions(jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true))

// parse reads the JSON value in text. Strings and numbers in the result share
// memory with text. Of duplicate names the last one wins.
func parse(text []byte) (any, error) {
	// lenient accepts this as well.
	if !utf8.Valid(text) {
		return nil, errors.New("text is not valid UTF-8")
	}
	p := parser{text, jsontext.NewDecoder(bytes.NewBuffer(text), lenient)}
	value, err := p.value()
	if err != nil {
		return nil, err
	}
	if _, err := p.dec.ReadToken(); err != io.EOF {
		return nil, errors.New("data after the JSON value")
	}
	return value, nil
}

type parser struct {
	text []byte
	dec  *jsontext.Decoder
}

func (p *parser) value() (any, error) {
	switch p.dec.PeekKind() {
	case '{':
		object := map[string]any{}
		_, err := p.dec.ReadToken()
		for err == nil && p.dec.PeekKind() != '}' {
			var name jsontext.Value
			if name, err = p.leaf(); err == nil {
				object[canonical(name)], err = p.value()
			}
		}
		if err == nil {
			_, err = p.dec.ReadToken()
		}
		return object, err
	case '[':
		array := []any{}
		_, err := p.dec.ReadToken()
		for err == nil && p.dec.PeekKind() != ']' {
			var element any
			element, err = p.value()
			array = append(array, element)
		}
		if err == nil {
			_, err = p.dec.ReadToken()
		}
		return array, err
	default:
		return p.leaf()
	}
}

// leaf reads a string, a number or a literal.
func (p *parser) leaf() (jsontext.Value, error) {
	value, err := p.dec.ReadValue()
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	// The decoder reuses the memory of value, so return the same bytes of text.
	end := int(p.dec.InputOffset())
	return jsontext.Value(p.text[end-len(value) : end]), err
}

// parseObject reads a JSON object.
func parseObject(text []byte) (map[string]any, error) {
	value, err := parse(text)
	if err != nil {
		return nil, err
	}
	object, ok := value.(map[string]any)
	if !ok {
		return nil, errors.New("not a JSON object")
	}
	return object, nil
}

// format writes a parsed value, with the members of objects in the order of their
// names.
func format(value any) jsontext.Value { return appendValue(nil, value) }

func appendValue(text jsontext.Value, value any) jsontext.Value {
	switch value := value.(type) {
	case map[string]any:
		text = append(text, '{')
		for i, name := range slices.Sorted(maps.Keys(value)) {
			if i > 0 {
				text = append(text, ',')
			}
			text = append(text, '"')
			text = append(text, name...)
			text = append(text, `":`...)
			text = appendValue(text, value[name])
		}
		return append(text, '}')
	case []any:
		text = append(text, '[')
		for i, element := range value {
			if i > 0 {
				text = append(text, ',')
			}
			text = appendValue(text, element)
		}
		return append(text, ']')
	default:
		return append(text, value.(jsontext.Value)...)
	}
}

// escapes matches a surrogate pair, or any other escape of a JSON string.
var escapes = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`\\u[dD][89abAB]..\\u[dD][c-fC-F]..|\\u....|\\.`)
})

// canonical returns a JSON string without its quotes, spelled so that equal strings
// are spelled alike: only what has to be escaped is. That includes unpaired
// surrogates, which UTF-8 cannot hold.
func canonical(quoted jsontext.Value) string {
	text := quoted[1 : len(quoted)-1]
	if bytes.IndexByte(text, '\\') < 0 {
		return string(text)
	}
	return string(escapes().ReplaceAllFunc(text, func(escape []byte) []byte {
		char, err := jsontext.AppendUnquote(nil, `"`+string(escape)+`"`)
		if err != nil {
			return bytes.ToLower(escape)
		}
		char, _ = jsontext.AppendQuote(nil, char)
		return char[1 : len(char)-1]
	}))
}

// stringOf returns a parsed value as a string. It returns false for anything else,
// and for a string with an unpaired surrogate.
func stringOf(value any) (string, bool) {
	text, ok := value.(jsontext.Value)
	if !ok || text.Kind() != '"' {
		return "", false
	}
	decoded, err := jsontext.AppendUnquote(nil, text)
	return string(decoded), err == nil
}

// isNull reports whether a parsed value is null.
func isNull(value any) bool {
	text, ok := value.(jsontext.Value)
	return ok && text.Kind() == 'n'
}
