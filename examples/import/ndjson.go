package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	courier "github.com/courier-profiles/courier-go"
	"github.com/go-json-experiment/json/jsontext"
)

// ndjsonSource reads a JSON object on each line:
//
//	{"user_id": "user-1", "profile": {"email": "user@example.com"}}
//
// A rejected object has its line number and the reason as further keys. A rejected
// line that is not such an object is in a key named text, or base64 if it is not
// UTF-8. Both can be imported again.
type ndjsonSource struct {
	*scanner
	bom, decoded bool   // as in csvOptions
	id           string // the key of the user ID, as the -id flag says
}

func (s *ndjsonSource) next() (row, error) {
	for {
		line, err := s.firstLine()
		if err != nil {
			return row{}, err
		}
		r := row{original: original{line: s.line, size: len(line)}}
		if line == nil {
			err := s.takeLine()
			r.reason, r.sum = tooLong, s.sum()
			return r, err
		}
		if len(line) == 0 {
			return row{}, io.EOF
		}
		r.text = string(trimLineEnd(line))
		s.take(len(line))
		if isBlank(r.text) {
			continue
		}
		r.sum = s.sum()
		s.parse(&r)
		return r, nil
	}
}

// parse reads the update in the row's text, or gives the row a reason.
func (s *ndjsonSource) parse(r *row) {
	var (
		pairs []pair
		err   error
	)
	for isWrapped := true; isWrapped; {
		if r.reason = s.checkText(r.text); r.reason != "" {
			return
		}
		if pairs, err = readPairs(r.text); err != nil {
			r.reason = "the line is not a JSON object: " + err.Error()
			return
		}
		var inner string
		if inner, isWrapped = unwrap(pairs); isWrapped {
			r.text = inner
		}
	}
	if r.userID, r.profile, r.reason = s.readUpdate(pairs); r.reason == "" {
		r.reason = checkID(r.userID)
	}
}

func (s *ndjsonSource) checkText(text string) (problem string) {
	switch {
	case !utf8.ValidString(text):
		return notUTF8
	case s.decoded && strings.ContainsRune(text, utf8.RuneError):
		return brokenText
	}
	return ""
}

func (s *ndjsonSource) readUpdate(pairs []pair) (userID string, profile *courier.Profile, problem string) {
	fail := func(problem string) (string, *courier.Profile, string) { return "", nil, problem }
	hasID := false
	for _, p := range pairs {
		switch {
		case s.isID(p.key):
			if hasID {
				return fail("the user ID appears twice")
			}
			if userID, hasID = readID(p.value); !hasID {
				return fail(p.key + " has to be a string or an integer")
			}
		case p.key == "profile":
			if profile != nil {
				return fail("profile appears twice")
			}
			if p.value[0] != '{' {
				return fail("profile has to be an object")
			}
			profile = new(courier.Profile)
			if err := json.Unmarshal(p.value, profile); err != nil {
				return fail("profile: " + strings.TrimPrefix(err.Error(), "courier: "))
			}
		case p.key == "line" || p.key == "reason":
		default:
			return fail(fmt.Sprintf("unknown member %.40q: only %s and profile are imported", p.key, s.idKey()))
		}
	}
	switch {
	case !hasID:
		return fail(noID)
	case profile == nil:
		return fail("there is no profile")
	}
	return userID, profile, ""
}

func (s *ndjsonSource) idKey() string {
	if s.id != "" {
		return s.id
	}
	return "user_id"
}

func (s *ndjsonSource) isID(key string) bool {
	if s.id != "" {
		return key == s.id
	}
	return isID(key)
}

// readID returns a string, or the digits of an integer.
func readID(value json.RawMessage) (id string, ok bool) {
	if value[0] == '"' {
		return id, json.Unmarshal(value, &id) == nil
	}
	isInteger := len(bytes.Trim(bytes.TrimPrefix(value, []byte{'-'}), "0123456789")) == 0
	return string(value), isInteger
}

// formLines is how many lines may have another form before the file is refused.
const formLines = 100

// checkForm refuses a file if none of its first lines has the form of an update. It
// takes nothing.
func (s *ndjsonSource) checkForm() error {
	var first error
	offset, number := 0, s.line
	for n := 0; n < formLines; number++ {
		line, err := s.lineAt(offset)
		if err != nil {
			return err
		}
		if line == nil { // too long, and not looked at
			return nil
		}
		if len(line) == 0 {
			break
		}
		offset += len(line)
		text := string(trimLineEnd(line))
		if isBlank(text) {
			continue
		}
		n++
		problem, flat := s.form(text)
		if problem == "" {
			return nil
		}
		if first == nil {
			first = fmt.Errorf("line %d: %s. Each line has to be {%q: \"…\", \"profile\": {…}}", number, problem, s.idKey())
			if flat != "" {
				first = fmt.Errorf("%w; to convert the file: jq -c '{%s: .%s, profile: del(.%[3]s)}'", first, s.idKey(), flat)
			}
		}
	}
	return first
}

// form returns what is wrong with the form of a line. flat is the key of the user
// ID in an object whose other members seem to be those of the profile.
func (s *ndjsonSource) form(text string) (problem, flat string) {
	if s.checkText(text) != "" {
		return "", "" // the text may be broken in this line only
	}
	pairs, err := readPairs(text)
	if err != nil {
		return "it is not a JSON object: " + err.Error(), ""
	}
	has := func(key string) bool {
		return slices.ContainsFunc(pairs, func(p pair) bool { return p.key == key })
	}
	if has("line") && has("reason") {
		return "", "" // of a file of rejects
	}
	if _, isWrapped := unwrap(pairs); isWrapped {
		return "", ""
	}
	_, _, problem = s.readUpdate(pairs)
	if i := slices.IndexFunc(pairs, func(p pair) bool { return s.isID(p.key) && isPlainKey(p.key) }); i >= 0 && !has("profile") {
		flat = pairs[i].key
	}
	return problem, flat
}

// isPlainKey reports whether jq takes .key without quotes.
func isPlainKey(key string) bool {
	return !strings.ContainsFunc(key, func(r rune) bool { return r >= utf8.RuneSelf || r != '_' && !isAlphanumeric(byte(r)) })
}

func (s *ndjsonSource) notes() []string { return nil }

// header is a byte order mark where -encoding may be set, because a file of
// rejects is always UTF-8.
func (s *ndjsonSource) header() string {
	if s.bom {
		return byteOrderMark
	}
	return ""
}

func (s *ndjsonSource) reject(o original, reason string) string {
	var pairs []pair
	switch own, err := readPairs(o.text); {
	case o.text == "": // it was too long
	case !utf8.ValidString(o.text):
		pairs = []pair{{"base64", quoteJSON(base64.StdEncoding.EncodeToString([]byte(o.text)))}}
	case err != nil, slices.ContainsFunc(own, isBroken):
		pairs = []pair{{"text", quoteJSON(o.text)}}
	default:
		pairs = slices.DeleteFunc(own, func(p pair) bool { return p.key == "line" || p.key == "reason" })
	}
	pairs = append(pairs, pair{"line", fmt.Append(nil, o.line)}, pair{"reason", quoteJSON(reason)})
	var b strings.Builder
	for i, p := range pairs {
		b.WriteByte("{,"[min(i, 1)])
		b.Write(quoteJSON(p.key))
		b.WriteByte(':')
		b.Write(p.value)
	}
	b.WriteString("}\n")
	return b.String()
}

// isBroken reports whether the key could not be written as it was read: half of a
// surrogate pair, "\ud800", became U+FFFD.
func isBroken(p pair) bool { return strings.ContainsRune(p.key, utf8.RuneError) }

// unwrap returns the line that reject put into an object's text or base64, if the
// object is one of those.
func unwrap(pairs []pair) (line string, ok bool) {
	for _, p := range pairs {
		switch p.key {
		case "line", "reason":
			continue
		case "text", "base64":
		default:
			return "", false
		}
		if line != "" || json.Unmarshal(p.value, &line) != nil {
			return "", false
		}
		if p.key == "base64" {
			decoded, err := base64.StdEncoding.DecodeString(line)
			if err != nil {
				return "", false
			}
			line = string(decoded)
		}
	}
	return line, line != ""
}

// pair is a key of an object, and its value as it was written.
type pair struct {
	key   string
	value json.RawMessage
}

// readPairs reads an object in its own order. Unlike Unmarshal, it keeps duplicate
// keys.
func readPairs(line string) ([]pair, error) {
	decoder := jsontext.NewDecoder(strings.NewReader(line), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
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
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return nil, errors.New("it ends too early")
	case err != nil:
		return nil, errors.New(strings.TrimPrefix(err.Error(), "jsontext: "))
	}
	if _, err := decoder.ReadToken(); err != io.EOF {
		return nil, errors.New("there is more after its closing }")
	}
	return pairs, nil
}

// quoteJSON writes valid UTF-8 as JSON, and escapes only what it must.
func quoteJSON(text string) []byte {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(text) // a string always can be
	return bytes.TrimSuffix(b.Bytes(), []byte{'\n'})
}
