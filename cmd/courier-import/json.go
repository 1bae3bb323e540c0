package main

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	courier "github.com/courier-profiles/courier-go"
)

// jsonReader reads objects. Their members, and those of objects in them, are values
// with dotted names.
//
// A rejected object has its line number and the reason as further members. If it is
// not an object, the text is in a member named text, or base64 if it is not UTF-8.
// Both can be imported again.
type jsonReader struct {
	*readOptions
	objects objects
	text    decoded
	list    []name
	byPath  map[string]int
	rejects bool // records are those of a file of rejects
}

// objects is the text of one object after the other.
type objects interface {
	// next returns the line of an object and its text, which need not be valid, and
	// io.EOF after the last one. The text is nil if it is too long.
	next() (line int, text []byte, err error)
}

func newJSON(s *scanner, text decoded, o *readOptions) (*jsonReader, error) {
	r := &jsonReader{readOptions: o, text: text, byPath: map[string]int{}}
	var err error
	r.objects, err = findObjects(s, o)
	return r, err
}

func (r *jsonReader) names() []name { return r.list }

func (r *jsonReader) next() (record, error) {
	line, text, err := r.objects.next()
	if err != nil {
		return record{}, err
	}
	rec := record{line: line, text: string(text), size: len(text)}
	if text == nil {
		rec.problem = tooLong
		return rec, nil
	}
	rec.problem = r.parse(&rec)
	return rec, nil
}

// parse reads the record in a text. It keeps the values even if they cannot be used,
// because one of them is the ID.
func (r *jsonReader) parse(rec *record) *problem {
	var pairs []pair
	isUTF8 := true
	for isWrapped := true; isWrapped; {
		isUTF8 = utf8.ValidString(rec.text)
		var err error
		if pairs, err = readPairs(rec.text); err != nil && isUTF8 {
			return wrongly("the text is not a JSON object", "the text is not a JSON object: %s",
				err)
		}
		if own := withoutReason(pairs); len(own) < len(pairs) {
			r.rejects = true
			var reason string
			_ = json.Unmarshal(pairs[len(pairs)-1].value, &reason) // if it is text
			rec.wasBroken = rec.wasBroken || reason == brokenText.String()
		}
		if !isUTF8 {
			break
		}
		var inner string
		if inner, isWrapped = unwrap(pairs); isWrapped {
			rec.text = inner
		}
	}
	pairs = withoutReason(pairs)
	var problem *problem
	if r.isUpdate(pairs) {
		problem = r.readUpdate(rec, pairs)
	} else {
		problem = r.flatten(rec, pairs, nil)
	}
	switch {
	case !isUTF8:
		return notUTF8
	case problem != nil:
		return problem
	case (r.text.converted || rec.wasBroken) && slices.ContainsFunc(pairs, hasBroken):
		return brokenText
	}
	return nil
}

// isUpdate reports whether an object is {"user_id": …, "profile": {…}}. A profile
// that is text is another one: OpenID Connect's URL of a page about the user.
func (r *jsonReader) isUpdate(pairs []pair) bool {
	if len(pairs) != 2 {
		return false
	}
	for i, p := range pairs {
		other := pairs[1-i]
		isID := p.key == r.id || r.id == "" && isID(p.key)
		if isID && other.key == "profile" && other.value[0] == '{' {
			return true
		}
	}
	return false
}

func (r *jsonReader) readUpdate(rec *record, pairs []pair) *problem {
	var problem *problem
	for _, p := range pairs {
		if p.key == "profile" {
			problem = cmp.Or(problem, r.readProfile(rec, p.value))
			continue
		}
		v := value{column: r.column([]string{p.key}, false)}
		id, ok := readID(p.value)
		if ok {
			v.text = id
		} else if string(p.value) != "null" {
			problem = notID
		}
		rec.values = append(rec.values, v)
	}
	return problem
}

func (r *jsonReader) readProfile(rec *record, profile json.RawMessage) *problem {
	if err := json.Unmarshal(profile, new(courier.Profile)); err != nil {
		return wrongly("the profile cannot be read", "profile: %s",
			strings.TrimPrefix(err.Error(), "courier: "))
	}
	if repeatsName(profile) {
		return wrong("a name appears twice in the profile")
	}
	members, _ := readPairs(string(profile)) // it was read before
	for _, m := range members {
		v := value{column: r.column([]string{"profile", m.key}, true), json: m.value}
		_ = json.Unmarshal(m.value, &v.text) // if it is text
		rec.values = append(rec.values, v)
	}
	return nil
}

// flatten adds the members of an object, and those of objects in it, to the record.
func (r *jsonReader) flatten(rec *record, pairs []pair, above []string) *problem {
	var problem *problem
	for _, p := range pairs {
		path := append(slices.Clip(above), p.key)
		if p.value[0] == '{' {
			inner, err := readPairs(string(p.value))
			if err != nil {
				return wrongly("the text is not a JSON object", "%s: %s", p.key, err)
			}
			if len(inner) > 0 {
				problem = cmp.Or(problem, r.flatten(rec, inner, path))
				continue
			}
		}
		if named, ok := readAttributes(p.value); ok {
			problem = cmp.Or(problem, r.flatten(rec, named, path))
			continue
		}
		v := value{column: r.column(path, false), json: p.value}
		if slices.ContainsFunc(rec.values, func(other value) bool {
			return other.column == v.column
		}) {
			problem = cmp.Or(problem, wrongly("a name appears twice", "%s appears twice",
				strings.Join(path, ".")))
			continue
		}
		if p.value[0] == '"' {
			if err := json.Unmarshal(p.value, &v.text); err != nil {
				return wrongly("the text is not a JSON object", "%s: %s", p.key, err)
			}
			v.text = strings.TrimSpace(v.text)
		}
		rec.values = append(rec.values, v)
	}
	return problem
}

// column returns the index of the name with that path.
func (r *jsonReader) column(path []string, update bool) int {
	key := strings.Join(path, "\x00")
	if update {
		key = "\x00" + key
	}
	i, ok := r.byPath[key]
	if !ok {
		i = len(r.list)
		r.byPath[key] = i
		r.list = append(r.list, name{strings.Join(path, "."), path, update})
	}
	return i
}

// readID returns a string, or the digits of an integer.
func readID(value json.RawMessage) (id string, ok bool) {
	if len(value) > 0 && value[0] == '"' {
		return id, json.Unmarshal(value, &id) == nil
	}
	digits := bytes.TrimPrefix(value, []byte{'-'})
	isInteger := len(digits) > 0 && len(bytes.Trim(digits, "0123456789")) == 0
	return string(value), isInteger
}

// header is a byte order mark where -encoding may be set, because a file of
// rejects is always UTF-8.
func (r *jsonReader) header() string {
	if r.text.marked || r.text.converted {
		return byteOrderMark
	}
	return ""
}

func (r *jsonReader) reject(rec record, reason string) string {
	var pairs []pair
	switch own, err := readPairs(rec.text); {
	case rec.text == "": // it was too long
	case !utf8.ValidString(rec.text):
		encoded := base64.StdEncoding.EncodeToString([]byte(rec.text))
		pairs = []pair{{"base64", quoteJSON(encoded)}}
	case err != nil, slices.ContainsFunc(own, isBroken):
		pairs = []pair{{"text", quoteJSON(rec.text)}}
	default:
		pairs = withoutReason(own)
		if rec.lacks != "" {
			// Or else another member could be taken for the user ID the next time.
			pairs = append(slices.Clip(pairs), pair{rec.lacks, json.RawMessage("null")})
		}
	}
	pairs = append(slices.Clip(pairs), pair{"line", fmt.Append(nil, rec.line)},
		pair{"reason", quoteJSON(reason)})
	var b strings.Builder
	for i, p := range pairs {
		b.WriteByte("{,"[min(i, 1)])
		b.Write(quoteJSON(p.key))
		b.WriteByte(':')
		compact := jsontext.Value(p.value).Clone()
		_ = compact.Compact(jsontext.AllowDuplicateNames(true)) // it was read before
		b.Write(compact)
	}
	b.WriteString("}\n")
	return b.String()
}

// isBroken reports whether the key could not be written as it was read: half of a
// surrogate pair, "\ud800", became U+FFFD.
func isBroken(p pair) bool { return strings.ContainsRune(p.key, utf8.RuneError) }

// hasBroken reports whether a member has U+FFFD in its key or value.
func hasBroken(p pair) bool {
	return isBroken(p) || bytes.ContainsRune(p.value, utf8.RuneError)
}

// withoutReason returns the members without those that reject added at the end.
func withoutReason(pairs []pair) []pair {
	n := len(pairs) - 2
	if n < 0 || pairs[n].key != "line" || pairs[n+1].key != "reason" {
		return pairs
	}
	return pairs[:n]
}

// unwrap returns what reject put into an object's text or base64, if the object is
// one of those.
func unwrap(pairs []pair) (text string, ok bool) {
	own := withoutReason(pairs)
	isReject := len(own) < len(pairs)
	pairs = own
	if len(pairs) != 1 || pairs[0].key != "text" && pairs[0].key != "base64" {
		return "", false
	}
	if json.Unmarshal(pairs[0].value, &text) != nil {
		return "", false
	}
	if pairs[0].key == "base64" {
		raw, err := base64.StdEncoding.DecodeString(text)
		return string(raw), err == nil
	}
	return text, isReject || strings.HasPrefix(strings.TrimSpace(text), "{")
}

// pair is a key of an object, and its value as it was written.
type pair struct {
	key   string
	value json.RawMessage
}

// readPairs reads an object in its own order. Unlike Unmarshal, it keeps duplicate
// keys.
func readPairs(text string) ([]pair, error) {
	decoder := jsontext.NewDecoder(strings.NewReader(text),
		jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	if decoder.PeekKind() != '{' {
		return nil, errors.New("it does not begin with {")
	}
	_, err := decoder.ReadToken()
	var pairs []pair
	for err == nil && decoder.PeekKind() == '"' {
		var key jsontext.Token
		if key, err = decoder.ReadToken(); err != nil {
			break
		}
		p := pair{key: key.String()}
		var value jsontext.Value
		value, err = decoder.ReadValue()
		p.value = json.RawMessage(value.Clone())
		pairs = append(pairs, p)
	}
	if err == nil {
		_, err = decoder.ReadToken() // the closing }
	}
	if err != nil {
		return nil, syntaxError(err)
	}
	if _, err := decoder.ReadToken(); err != io.EOF {
		return nil, errors.New("there is more after its closing }")
	}
	return pairs, nil
}

// repeatsName reports whether an object in valid JSON has a name twice, at any depth.
func repeatsName(valid []byte) bool {
	return !jsontext.Value(valid).IsValid(jsontext.AllowInvalidUTF8(true))
}

// readAttributes reads a list such as [{"Name": "email", "Value": "ann@example.com"}],
// which is how Cognito writes the attributes of a user.
func readAttributes(list json.RawMessage) (pairs []pair, ok bool) {
	if list[0] != '[' {
		return nil, false
	}
	var attributes []struct {
		Name  *string
		Value json.RawMessage
	}
	decoder := json.NewDecoder(bytes.NewReader(list))
	decoder.DisallowUnknownFields()
	if decoder.Decode(&attributes) != nil {
		return nil, false
	}
	seen := map[string]bool{}
	for _, a := range attributes {
		if a.Name == nil || a.Value == nil || seen[*a.Name] {
			return nil, false
		}
		seen[*a.Name] = true
		pairs = append(pairs, pair{*a.Name, a.Value})
	}
	return pairs, len(pairs) > 0
}

func syntaxError(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("it ends too early")
	}
	var syntactic *jsontext.SyntacticError
	if errors.As(err, &syntactic) {
		return errors.New(strings.TrimPrefix(err.Error(), "jsontext: "))
	}
	return err
}

// quoteJSON writes valid UTF-8 as JSON, and escapes only what it must.
func quoteJSON(text string) []byte {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(text) // a string always can be
	return bytes.TrimSuffix(b.Bytes(), []byte{'\n'})
}
