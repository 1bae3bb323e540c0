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
)

// ndjsonSource reads a JSON object a line:
//
//	{"user_id": "user-1", "profile": {"email": "user@example.com"}}
//
// A rejected one has its line number and the reason as further members. A line
// that is no such object is in a member named text, or base64 if it is not
// UTF-8. Both are read again without them.
type ndjsonSource struct {
	*scanner
	bom, decoded bool // as of csvSource
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

// parse reads the update that is in the row's text, or gives it a reason.
func (s *ndjsonSource) parse(r *row) {
	var (
		members []member
		err     error
	)
	for isWrapped := true; isWrapped; {
		switch {
		case !utf8.ValidString(r.text):
			r.reason = notUTF8
			return
		case s.decoded && strings.ContainsRune(r.text, utf8.RuneError):
			r.reason = brokenText
			return
		}
		if members, err = readMembers(r.text); err != nil {
			r.reason = "the line is not a JSON object: " + err.Error()
			return
		}
		var inner string
		if inner, isWrapped = unwrap(members); isWrapped {
			r.text = inner
		}
	}
	r.userID, r.profile, r.reason = readUpdate(members)
}

func readUpdate(members []member) (userID string, profile courier.Profile, problem string) {
	fail := func(problem string) (string, courier.Profile, string) { return "", courier.Profile{}, problem }
	var hasID, hasProfile bool
	for _, m := range members {
		switch m.key {
		case "id", "user_id":
			if hasID {
				return fail("the user id is there twice")
			}
			if m.value[0] != '"' || json.Unmarshal(m.value, &userID) != nil {
				return fail(m.key + " has to be a string")
			}
			hasID = true
		case "profile":
			if hasProfile {
				return fail("profile is there twice")
			}
			if m.value[0] != '{' {
				return fail("profile has to be an object")
			}
			if err := json.Unmarshal(m.value, &profile); err != nil {
				return fail("profile: " + strings.TrimPrefix(err.Error(), "courier: "))
			}
			hasProfile = true
		case "line", "reason":
		default:
			return fail(fmt.Sprintf("there is a member %.40q: only user_id and profile are imported", m.key))
		}
	}
	if problem := checkID(userID); problem != "" {
		return fail(problem)
	}
	if !hasProfile {
		return fail("there is no profile")
	}
	return userID, profile, ""
}

func (s *ndjsonSource) notes() []string { return nil }

// header is a byte order mark where -encoding may be set, which is not that of a
// file of rejects.
func (s *ndjsonSource) header() string {
	if s.bom {
		return byteOrderMark
	}
	return ""
}

func (s *ndjsonSource) reject(o original, reason string) string {
	var members []member
	switch own, err := readMembers(o.text); {
	case o.text == "": // it was too long
	case !utf8.ValidString(o.text):
		members = []member{{"base64", quoteJSON(base64.StdEncoding.EncodeToString([]byte(o.text)))}}
	case err != nil, slices.ContainsFunc(own, isBroken):
		members = []member{{"text", quoteJSON(o.text)}}
	default:
		members = slices.DeleteFunc(own, func(m member) bool { return m.key == "line" || m.key == "reason" })
	}
	members = append(members, member{"line", fmt.Append(nil, o.line)}, member{"reason", quoteJSON(reason)})
	var b strings.Builder
	for i, m := range members {
		b.WriteByte("{,"[min(i, 1)])
		b.Write(quoteJSON(m.key))
		b.WriteByte(':')
		b.Write(m.value)
	}
	b.WriteString("}\n")
	return b.String()
}

// isBroken reports whether the key could not be written again as it was: half of
// a surrogate pair, "\ud800", is U+FFFD by now.
func isBroken(m member) bool { return strings.ContainsRune(m.key, utf8.RuneError) }

// unwrap returns the line that reject has put into an object's text or base64,
// if the object is one of those.
func unwrap(members []member) (line string, ok bool) {
	for _, m := range members {
		switch m.key {
		case "line", "reason":
			continue
		case "text", "base64":
		default:
			return "", false
		}
		if line != "" || json.Unmarshal(m.value, &line) != nil {
			return "", false
		}
		if m.key == "base64" {
			decoded, err := base64.StdEncoding.DecodeString(line)
			if err != nil {
				return "", false
			}
			line = string(decoded)
		}
	}
	return line, line != ""
}

// member is one of an object's, its value as it was written.
type member struct {
	key   string
	value json.RawMessage
}

// readMembers reads an object's members, in their order. It keeps those that are
// there twice, which encoding/json would not.
func readMembers(line string) ([]member, error) {
	decoder := json.NewDecoder(strings.NewReader(line))
	if token, err := decoder.Token(); err != nil {
		return nil, jsonProblem(err)
	} else if token != json.Delim('{') {
		return nil, errors.New("it does not begin with {")
	}
	var members []member
	for decoder.More() {
		key, err := decoder.Token()
		if err != nil {
			return nil, jsonProblem(err)
		}
		m := member{key: key.(string)} // or Token would have failed
		if err := decoder.Decode(&m.value); err != nil {
			return nil, jsonProblem(err)
		}
		members = append(members, m)
	}
	if _, err := decoder.Token(); err != nil {
		return nil, jsonProblem(err)
	}
	if _, err := decoder.Token(); err != io.EOF {
		return nil, errors.New("something comes behind its closing }")
	}
	return members, nil
}

func jsonProblem(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return errors.New("it ends too early")
	}
	return err
}

// quoteJSON writes a string that is UTF-8 as JSON, and escapes only what it must.
func quoteJSON(text string) []byte {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(text) // a string always can be
	return bytes.TrimSuffix(b.Bytes(), []byte{'\n'})
}
