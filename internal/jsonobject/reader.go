package jsonobject

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// maxDepth bounds the nesting of arrays and objects, as encoding/json does, so
// that no document can exhaust the stack.
const maxDepth = 10_000

// Reader reads one JSON document (RFC 8259) in one pass, front to back. Strings
// that need no unescaping share the document's memory.
//
// A string can be valid JSON and still no Go text: "\ud800" is half of a
// surrogate pair. Such a string does not fit; Any keeps it as json.RawMessage.
type Reader struct {
	text string
	place
	member
	err error
}

// place is where in its text a Reader is.
type place struct {
	pos   int
	depth int
	// fresh is true between an opening bracket and the first thing behind it,
	// where no comma is due.
	fresh bool
}

// NewReader returns a Reader at the start of text.
func NewReader(text string) Reader { return Reader{text: text} }

// Err returns what is wrong with the document as far as it was read. The text
// of the error holds nothing of the document.
func (r *Reader) Err() error { return r.err }

// AtEnd reports whether only white space is left.
func (r *Reader) AtEnd() bool {
	r.space()
	return r.err == nil && r.pos == len(r.text)
}

// Null reads the literal null, if that is what comes next.
func (r *Reader) Null() bool { return r.literal("null") }

// Bool reads a boolean; ok is false if something else comes next.
func (r *Reader) Bool() (value, ok bool) {
	if r.literal("true") {
		return true, true
	}
	return false, r.literal("false")
}

// String reads a string; ok is false if something else comes next, or if it is
// no Go text.
func (r *Reader) String() (text string, ok bool) {
	if r.peek() != '"' {
		return "", false
	}
	start := r.pos + 1
	ascii := true
	for i := start; i < len(r.text); i++ {
		switch c := r.text[i]; {
		case c == '"':
			text := r.text[start:i]
			r.pos = i + 1
			return text, ascii || r.checkUTF8(text)
		case c == '\\':
			r.pos = i
			return r.unescape(start)
		case c < ' ':
			r.pos = i
			r.fail("control character in a string")
			return "", false
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	r.pos = len(r.text)
	r.fail("unexpected end")
	return "", false
}

// BeginObject enters an object; it is false if something else comes next.
func (r *Reader) BeginObject() bool { return r.begin('{') }

// NextMember moves to the next member of the object and returns its key; more
// is false behind the last one. fits is false for a key that is no Go text.
func (r *Reader) NextMember() (key string, fits, more bool) {
	if !r.next('}') {
		return "", false, false
	}
	if r.peek() != '"' {
		r.fail("no string where a key should be")
		return "", false, false
	}
	key, fits = r.String()
	if r.peek() != ':' {
		r.fail("no colon behind a key")
		return "", false, false
	}
	r.pos++
	return key, fits, true
}

// Fits reports whether read takes the value that comes next. One that it does
// not take is skipped, so that a later duplicate of its key can count.
func (r *Reader) Fits(read func(*Reader) bool) bool {
	start := r.place
	if read(r) {
		return true
	}
	if r.err == nil {
		r.place = start
		r.Any()
	}
	return false
}

// BeginArray enters an array; it is false if something else comes next.
func (r *Reader) BeginArray() bool { return r.begin('[') }

// NextElement moves to the next element of the array; it is false behind the
// last one.
func (r *Reader) NextElement() bool { return r.next(']') }

// Any reads any value: nil, bool, string, json.Number with the digits as they
// were, []any, map[string]any, and json.RawMessage for a string that is no Go
// text. Of duplicate keys the last wins. It reads to the end of the value in
// any case; ok is false for invalid JSON and for a value that has a key that is
// no Go text.
func (r *Reader) Any() (value any, ok bool) {
	if r.err != nil {
		return nil, false
	}
	switch c := r.peek(); c {
	case '{':
		return r.object()
	case '[':
		return r.array()
	case '"':
		start := r.pos
		text, ok := r.String()
		if !ok && r.err == nil {
			return json.RawMessage(r.text[start:r.pos]), true
		}
		return text, ok
	case 't', 'f':
		if b, ok := r.Bool(); ok {
			return b, true
		}
	case 'n':
		if r.Null() {
			return nil, true
		}
	default:
		if n := numberLen(r.text[r.pos:]); n > 0 {
			number := json.Number(r.text[r.pos : r.pos+n])
			r.pos += n
			return number, true
		}
	}
	r.fail("no value where one should be")
	return nil, false
}

// Raw reads any value and returns its text; it is empty for invalid JSON.
func (r *Reader) Raw() string {
	r.space()
	start := r.pos
	if r.Any(); r.err != nil {
		return ""
	}
	return r.text[start:r.pos]
}

// Member reads any value, as Any does, but keeps one that has a key that is no
// Go text as json.RawMessage.
func (r *Reader) Member() any {
	r.space()
	start := r.pos
	value, ok := r.Any()
	if !ok && r.err == nil {
		return json.RawMessage(r.text[start:r.pos])
	}
	return value
}

func (r *Reader) object() (any, bool) {
	members := map[string]any{}
	ok := r.BeginObject()
	for {
		key, fits, more := r.NextMember()
		if !more {
			return members, ok && r.err == nil
		}
		value, valueOK := r.Any()
		ok = ok && fits && valueOK
		members[key] = value
	}
}

func (r *Reader) array() (any, bool) {
	elements := []any{}
	ok := r.BeginArray()
	for r.NextElement() {
		value, valueOK := r.Any()
		ok = ok && valueOK
		elements = append(elements, value)
	}
	return elements, ok && r.err == nil
}

func (r *Reader) begin(open byte) bool {
	if r.peek() != open {
		return false
	}
	if r.depth++; r.depth > maxDepth {
		r.fail(fmt.Sprintf("nested more than %d deep", maxDepth))
		return false
	}
	r.pos++
	r.fresh = true
	return true
}

func (r *Reader) next(end byte) bool {
	if r.err != nil {
		return false
	}
	c := r.peek()
	if c == end {
		r.pos++
		r.depth--
		r.fresh = false
		return false
	}
	if !r.fresh {
		if c != ',' {
			r.fail("no comma where one should be")
			return false
		}
		r.pos++
	}
	r.fresh = false
	return r.err == nil
}

// unescape reads the rest of a string that has an escape at the present place.
func (r *Reader) unescape(start int) (string, bool) {
	var b strings.Builder
	fits := true
	for {
		run := r.pos
		for run < len(r.text) && r.text[run] != '"' && r.text[run] != '\\' && r.text[run] >= ' ' {
			run++
		}
		b.WriteString(r.text[start:run])
		r.pos = run
		switch {
		case run == len(r.text):
			r.fail("unexpected end")
			return "", false
		case r.text[run] == '"':
			r.pos++
			text := b.String()
			if !r.checkUTF8(text) || !fits {
				return "", false
			}
			return text, true
		case r.text[run] < ' ':
			r.fail("control character in a string")
			return "", false
		}
		c, ok := r.escape()
		if r.err != nil {
			return "", false
		}
		fits = fits && ok
		b.WriteRune(c)
		start = r.pos
	}
}

// escape reads one escape sequence, two for a surrogate pair; ok is false for
// half of a pair.
func (r *Reader) escape() (c rune, ok bool) {
	if r.pos+1 >= len(r.text) {
		r.fail("unexpected end")
		return 0, false
	}
	const from, to = `"\/bfnrt`, "\"\\/\b\f\n\r\t"
	if i := strings.IndexByte(from, r.text[r.pos+1]); i >= 0 {
		r.pos += 2
		return rune(to[i]), true
	}
	c = hex4(r.text[r.pos:])
	if c < 0 {
		r.fail("unknown escape in a string")
		return 0, false
	}
	r.pos += len(`\u0000`)
	if !utf16.IsSurrogate(c) {
		return c, true
	}
	if pair := utf16.DecodeRune(c, hex4(r.text[r.pos:])); pair != utf8.RuneError {
		r.pos += len(`\u0000`)
		return pair, true
	}
	return utf8.RuneError, false
}

// hex4 returns the value of the \uXXXX that text starts with, or -1.
func hex4(text string) rune {
	if len(text) < len(`\u0000`) || text[0] != '\\' || text[1] != 'u' {
		return -1
	}
	var value rune
	for _, c := range []byte(text[2:6]) {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return -1
		}
		value = value<<4 | rune(c)
	}
	return value
}

// numberLen returns the length of the JSON number that text starts with, 0 if
// there is none (RFC 8259, section 6).
func numberLen(text string) int {
	n := 0
	digits := func() bool {
		start := n
		for n < len(text) && '0' <= text[n] && text[n] <= '9' {
			n++
		}
		return n > start
	}
	accept := func(chars string) bool {
		if n < len(text) && strings.IndexByte(chars, text[n]) >= 0 {
			n++
			return true
		}
		return false
	}
	accept("-")
	if !accept("0") && !digits() {
		return 0
	}
	if accept(".") && !digits() {
		return 0
	}
	if accept("eE") {
		accept("+-")
		if !digits() {
			return 0
		}
	}
	return n
}

func (r *Reader) checkUTF8(text string) bool {
	if !utf8.ValidString(text) {
		r.fail("not UTF-8")
		return false
	}
	return true
}

func (r *Reader) literal(word string) bool {
	r.space()
	if r.err != nil || !strings.HasPrefix(r.text[r.pos:], word) {
		return false
	}
	r.pos += len(word)
	return true
}

// peek returns the byte that comes next after white space, 0 at the end and
// after an error.
func (r *Reader) peek() byte {
	r.space()
	if r.err != nil || r.pos >= len(r.text) {
		return 0
	}
	return r.text[r.pos]
}

func (r *Reader) space() {
	for r.pos < len(r.text) {
		switch r.text[r.pos] {
		case ' ', '\t', '\n', '\r':
			r.pos++
		default:
			return
		}
	}
}

func (r *Reader) fail(reason string) {
	if r.err == nil {
		r.err = fmt.Errorf("invalid JSON at byte %d: %s", r.pos, reason)
	}
}
