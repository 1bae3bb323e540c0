package main

import (
	"fmt"
	"strings"
	"time"

	courier "github.com/courier-profiles/courier-go"
)

// suspects counts values that Courier accepts, but that are probably wrong.
type suspects struct{ phones, birthdates, emails suspect }

type suspect struct{ count, line int }

func (s *suspect) add(line int) {
	if s.count++; s.count == 1 {
		s.line = line
	}
}

func (s *suspects) look(line int, profile *courier.Profile) {
	if phone := written(profile.PhoneNumber); phone != "" && !isPhone(phone) {
		s.phones.add(line)
	}
	if birthdate := written(profile.Birthdate); birthdate != "" && !isDate(birthdate) {
		s.birthdates.add(line)
	}
	if email := written(profile.Email); email != "" && (strings.Count(email, "@") != 1 || strings.ContainsAny(email, "<>")) {
		s.emails.add(line)
	}
}

// written returns the text of a field, or the JSON in it that is not text.
func written(field courier.Field[string]) string {
	if text, ok := field.Get(); ok {
		return text
	}
	return string(field.Mismatch())
}

// isPhone reports whether a number begins with + and was not made a decimal by a
// spreadsheet.
func isPhone(number string) bool {
	return strings.HasPrefix(number, "+") && !strings.HasSuffix(number, ".0") && !shortened.MatchString(number)
}

// isDate accepts what OpenID Connect does: YYYY-MM-DD, with 0000 for no year, or YYYY.
func isDate(date string) bool {
	_, err := time.Parse(time.DateOnly, date)
	if err != nil {
		_, err = time.Parse("2006", date)
	}
	return err == nil
}

// lines describes the suspects.
func (s *suspects) lines() []string {
	var lines []string
	for _, each := range []struct {
		suspect
		what string
	}{
		{s.phones, "phone numbers without a +, or with .0 or an exponent"},
		{s.birthdates, "birthdates that are not YYYY-MM-DD"},
		{s.emails, "email addresses without exactly one @, or with < or >"},
	} {
		if each.count > 0 {
			lines = append(lines, fmt.Sprintf("%14s  %12s  %s, the first in line %s", "suspect", thousands(each.count), each.what, thousands(each.line)))
		}
	}
	return lines
}
