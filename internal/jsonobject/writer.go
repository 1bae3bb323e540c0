package jsonobject

import (
	"bytes"
	"encoding"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"unicode/utf8"
)

// Writer appends JSON to a buffer. What cannot be written sets an Error, and
// from then on the buffer's content means nothing. The zero Writer is ready.
type Writer struct {
	buf   []byte
	depth int
	extra map[string]any // of the object at hand
	err   *Error
}

// Error says which member could not be written and why. It holds nothing that
// the caller's data holds: neither values nor keys.
type Error struct {
	Field  string // the path of known keys, such as "address.country"
	Reason string // what is wrong, and what to do
}

func (e *Error) Error() string { return e.Field + ": " + e.Reason }

// Reset empties the Writer for another document and keeps its memory.
func (w *Writer) Reset() { *w = Writer{buf: w.buf[:0]} }

// Bytes returns what was written, valid until the next Reset.
func (w *Writer) Bytes() []byte { return w.buf }

// Err returns the first error as an *Error, or nil.
func (w *Writer) Err() error {
	if w.err == nil {
		return nil
	}
	return w.err
}

// Fail records that the value at hand cannot be written. Only the first
// failure counts.
func (w *Writer) Fail(reason string) {
	if w.err == nil {
		w.err = &Error{Reason: reason}
	}
}

// In puts the name of the object or list that is being left in front of the
// path of an error inside it.
func (w *Writer) In(key string) {
	switch {
	case w.err == nil:
	case w.err.Field == "":
		w.err.Field = key
	default:
		w.err.Field = key + "." + w.err.Field
	}
}

// Raw appends text that is JSON, or a part of it, already.
func (w *Writer) Raw(text string) { w.buf = append(w.buf, text...) }

// Key appends a key and its colon, and a comma before it unless it is the
// first thing in its object.
func (w *Writer) Key(key string) {
	w.separate('{')
	w.String(key)
	w.buf = append(w.buf, ':')
}

func (w *Writer) separate(open byte) {
	if last := len(w.buf) - 1; last >= 0 && w.buf[last] != open {
		w.buf = append(w.buf, ',')
	}
}

// String appends a string. Only what JSON demands is escaped: '<', '>' and '&'
// are not.
func (w *Writer) String(text string) {
	const hex = "0123456789abcdef"
	w.buf = append(w.buf, '"')
	start, ascii := 0, true
	for i := 0; i < len(text); i++ {
		c := text[i]
		if c >= utf8.RuneSelf {
			ascii = false
		}
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		w.buf = append(w.buf, text[start:i]...)
		start = i + 1
		switch c {
		case '"', '\\':
			w.buf = append(w.buf, '\\', c)
		case '\n':
			w.buf = append(w.buf, `\n`...)
		case '\r':
			w.buf = append(w.buf, `\r`...)
		case '\t':
			w.buf = append(w.buf, `\t`...)
		default:
			w.buf = append(w.buf, `\u00`...)
			w.buf = append(w.buf, hex[c>>4], hex[c&0xF])
		}
	}
	w.buf = append(w.buf, text[start:]...)
	w.buf = append(w.buf, '"')
	if !ascii && !utf8.ValidString(text) {
		w.Fail("holds text that is not UTF-8: convert it before it is set")
	}
}

// Bool appends a boolean.
func (w *Writer) Bool(value bool) { w.buf = strconv.AppendBool(w.buf, value) }

// Any appends any value. The types that Reader.Any gives, and Go's common
// numbers, are written by this package: numbers to the last digit, keys sorted.
// Every other type is written as encoding/json writes it, but for a nil map or
// slice, which is {} or [], because in a merge null would remove what is there.
func (w *Writer) Any(value any) {
	switch v := value.(type) {
	case nil:
		w.Raw("null")
	case bool:
		w.Bool(v)
	case string:
		w.String(v)
	case int:
		w.buf = strconv.AppendInt(w.buf, int64(v), 10)
	case int64:
		w.buf = strconv.AppendInt(w.buf, v, 10)
	case float64:
		w.float(v)
	case json.Number:
		if v == "" || numberLen(string(v)) != len(v) {
			w.Fail("holds a json.Number that is no number in JSON")
		}
		w.Raw(string(v))
	case map[string]any:
		Map(w, v, w.Any)
	case []any:
		List(w, v, w.Any)
	case json.RawMessage:
		w.rawMessage(v)
	default:
		w.other(v)
	}
}

// Map appends an object of what write appends for each member, with sorted keys.
func Map[T any](w *Writer, members map[string]T, write func(T)) {
	if !w.enter('{') {
		return
	}
	writeMembers(w, members, write)
	w.leave('}')
}

func writeMembers[T any](w *Writer, members map[string]T, write func(T)) {
	// The array keeps the keys of an ordinary map off the heap.
	var few [16]string
	keys := few[:0]
	for key := range members {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for _, key := range keys {
		w.Key(key)
		if write(members[key]); w.err != nil {
			return
		}
	}
}

// List appends an array of what write appends for each element.
func List[T any](w *Writer, elements []T, write func(T)) {
	if !w.enter('[') {
		return
	}
	for _, element := range elements {
		w.separate('[')
		if write(element); w.err != nil {
			return
		}
	}
	w.leave(']')
}

func (w *Writer) enter(open byte) bool {
	w.buf = append(w.buf, open)
	if w.depth++; w.depth > maxDepth {
		w.Fail(fmt.Sprintf("is nested more than %d deep, or holds itself", maxDepth))
		return false
	}
	return true
}

func (w *Writer) leave(end byte) {
	w.buf = append(w.buf, end)
	w.depth--
}

func (w *Writer) float(value float64) {
	if math.IsNaN(value) || math.IsInf(value, 0) {
		w.Fail("holds NaN or an infinity, which JSON has no number for")
		return
	}
	// The layout of ECMAScript, which encoding/json has too.
	format := byte('f')
	if abs := math.Abs(value); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		format = 'e'
	}
	w.buf = strconv.AppendFloat(w.buf, value, format, -1, 64)
	if n := len(w.buf); format == 'e' && string(w.buf[n-3:n-1]) == "-0" {
		w.buf = append(w.buf[:n-2], w.buf[n-1]) // e-09 is e-9 there
	}
}

func (w *Writer) rawMessage(raw json.RawMessage) {
	if raw == nil {
		w.Raw("null")
		return
	}
	if !json.Valid(raw) || !utf8.Valid(raw) {
		w.Fail("holds a json.RawMessage that is no JSON in UTF-8")
	}
	w.buf = append(w.buf, raw...)
}

func (w *Writer) other(value any) {
	if empty := emptyOf(value); empty != "" {
		w.Raw(empty)
		return
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		// Not err's text: a MarshalJSON may have put data into it.
		w.Fail(fmt.Sprintf("holds a %T that encoding/json cannot write (%T)", value, err))
		return
	}
	text := bytes.TrimSuffix(out.Bytes(), []byte("\n"))
	if !utf8.Valid(text) || wasReplaced(text) {
		w.Fail(fmt.Sprintf("holds a %T with text that is not UTF-8, or with the escape \\ufffd: convert it before it is set", value))
		return
	}
	w.buf = append(w.buf, text...)
}

// emptyOf returns {} for a nil map and [] for a nil slice that encoding/json
// would write as null; and otherwise nothing.
func emptyOf(value any) string {
	switch value.(type) {
	case json.Marshaler, encoding.TextMarshaler, []byte:
		return ""
	}
	switch v := reflect.ValueOf(value); {
	case v.Kind() == reflect.Map && v.IsNil():
		return "{}"
	case v.Kind() == reflect.Slice && v.IsNil():
		return "[]"
	}
	return ""
}

// wasReplaced reports whether encoding/json has met a byte that is not UTF-8 and
// has written the escape \ufffd for it. A U+FFFD that was there it writes as the
// character itself.
func wasReplaced(text []byte) bool {
	for {
		before, after, found := bytes.Cut(text, []byte(`\ufffd`))
		if !found {
			return false
		}
		if backslashes := len(before) - len(bytes.TrimRight(before, `\`)); backslashes%2 == 0 {
			return true
		}
		text = after
	}
}
