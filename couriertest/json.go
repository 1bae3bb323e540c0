package couriertest

import (
	"bytes"
	"encoding/json"
	"errors"
	"regexp"
	"sync"
	"unicode/utf8"
)

// JSON is kept as encoding/json decodes it, with numbers as json.Number. A Go string
// cannot hold half of a surrogate pair ("\ud800"), which JSON can. Such a half is kept as
// the mark and its four hexadecimal digits, and so is the mark itself.

// mark is a noncharacter of Unicode, which text is unlikely to contain.
const mark = "\ufffe"

var (
	escapes = sync.OnceValue(func() *regexp.Regexp {
		const hex = `[0-9a-f]{2}`
		return regexp.MustCompile(`(?i)\\ud[89ab]` + hex + `\\ud[c-f]` + hex + // a whole pair
			`|\\ud[89a-f]` + hex + `|\\ufffe|` + mark + `|\\.`)
	})
	marks = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(mark + `([0-9a-f]{4})`)
	})
)

// parse reads the JSON value in text. Of duplicate names the last one wins.
func parse(text []byte) (any, error) {
	if !utf8.Valid(text) {
		return nil, errors.New("text is not valid UTF-8")
	}
	if bytes.Contains(text, []byte(`\u`)) || bytes.Contains(text, []byte(mark)) {
		text = escapes().ReplaceAllFunc(text, markHalf)
	}
	return decode(text)
}

func markHalf(match []byte) []byte {
	switch {
	case string(match) == mark:
		return []byte(mark + "fffe")
	case len(match) == len(`\ud800`):
		return append([]byte(mark), bytes.ToLower(match[2:])...)
	default:
		return match
	}
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

// decode is parse without marks: half of a surrogate pair becomes U+FFFD.
func decode(text []byte) (value any, err error) {
	// A Decoder alone would accept more than one value.
	var whole json.RawMessage
	if err := json.Unmarshal(text, &whole); err != nil {
		return nil, err
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	err = decoder.Decode(&value)
	return value, err
}

// format writes a value that parse returned, with the members of objects in the order of
// their names. It returns nil for a value that is nested too deep.
func format(value any) json.RawMessage {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return nil
	}
	line := bytes.TrimSuffix(text.Bytes(), []byte("\n"))
	if bytes.Contains(line, []byte(mark)) {
		line = marks().ReplaceAll(line, []byte(`\u$1`))
	}
	return line
}
