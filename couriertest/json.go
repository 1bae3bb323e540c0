package couriertest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"unicode/utf8"
)

// decode reads the one JSON value that data is. Numbers stay json.Number, so
// that none of their digits is lost.
func decode(data []byte) (any, error) {
	if !utf8.Valid(data) {
		// encoding/json would put U+FFFD in the place of such bytes, and the
		// caller would never learn of it.
		return nil, errors.New("text is not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var value any
	if err := d.Decode(&value); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("data after the JSON value")
	}
	return value, nil
}

// decodeObject reads a JSON object.
func decodeObject(data []byte) (map[string]any, error) {
	value, err := decode(data)
	if err != nil {
		return nil, err
	}
	object, ok := value.(map[string]any)
	if !ok {
		return nil, errors.New("not a JSON object")
	}
	return object, nil
}

// encode writes a value as JSON, with <, > and & as they are.
func encode(value any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(value); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
