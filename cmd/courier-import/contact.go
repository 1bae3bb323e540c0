package main

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// looks counts what the values of a column look like, by which a contact is
// recognized under a name that Courier does not know.
type looks struct {
	values  int64 // without those such as NULL
	emails  int64
	numbers int64 // that can be phone numbers
	phones  int64 // numbers with a +
}

func (l *looks) add(text string) {
	l.values++
	switch {
	case isEmail(text):
		l.emails++
	case canBePhone(text):
		l.numbers++
		if text[0] == '+' {
			l.phones++
		}
	}
}

// member returns the member that the values of a column look like, or "".
func (l *looks) member(name string) string {
	switch {
	case nearlyAll(l.emails, l.values):
		return "email"
	case l.emails > 0 && 2*l.emails >= l.values && strings.Contains(fold(name), "mail"):
		return "email"
	case nearlyAll(l.phones, l.values):
		return "phone_number"
	case l.numbers > 0 && 2*l.numbers >= l.values && isPhoneName(name):
		return "phone_number"
	case l.values > 0 && isFullName(name):
		return "name"
	}
	return ""
}

func nearlyAll(n, of int64) bool { return n > 0 && 10*n >= 9*of }

// isEmail recognizes an email address, and none of what else has an @: URLs, Git
// remotes such as git@example.com:a/b, and versions such as react@18.2.0.
func isEmail(text string) bool {
	user, host, _ := strings.Cut(text, "@")
	if user == "" || strings.ContainsAny(text, " ,;:/<>\"?") || strings.Contains(host, "@") {
		return false
	}
	dot := strings.LastIndexByte(host, '.')
	return dot > 0 && strings.ContainsFunc(host[dot:], unicode.IsLetter)
}

// notPhone matches dates and amounts of money, which may have enough digits.
var notPhone = regexp.MustCompile(`^([0-9]{4}[-./][0-9]{2}[-./][0-9]{2}` +
	`|[0-9]{2}[-./][0-9]{2}[-./][0-9]{4}|[+]?[0-9]+[.][0-9]{2})$`)

// canBePhone reports whether a text has as many digits as a phone number, and
// nothing else but what people write between them.
func canBePhone(text string) bool {
	digits := 0
	for i, c := range text {
		switch {
		case '0' <= c && c <= '9':
			digits++
		case c == '+' && i == 0, strings.ContainsRune("()-./", c), unicode.IsSpace(c):
		default:
			return false
		}
	}
	return 7 <= digits && digits <= 15 && !notPhone.MatchString(text)
}

func isPhoneName(name string) bool {
	words := splitWords(name)
	if slices.Contains(words, "id") {
		return false
	}
	return slices.Contains(words, "tel") || slices.ContainsFunc(words, func(word string) bool {
		return strings.Contains(word, "phone") || strings.Contains(word, "telefon") ||
			strings.HasPrefix(word, "mobil")
	})
}

// isFullName reports whether a name such as displayName or "Your name" is that of
// people's names.
func isFullName(name string) bool {
	words := splitWords(name)
	if len(words) == 0 {
		return false
	}
	last, before := words[len(words)-1], words[:len(words)-1]
	isWhose := func(word string) bool {
		return slices.Contains([]string{"display", "full", "complete", "real", "your", "customer",
			"contact", "member", "person", "client", "subscriber", "recipient", "properties",
			"attributes", "traits", "fields"}, word)
	}
	if slices.ContainsFunc(before, func(word string) bool { return !isWhose(word) }) {
		return false
	}
	return last == "displayname" || last == "fullname" || last == "name" && len(before) > 0
}

// contact is a column that is not sent, although it looks like a member that no
// other column fills.
type contact struct {
	*column
	member string
}

// contacts returns one column for each member that is missing.
func (p *plan) contacts() []contact {
	var found []contact
	for _, member := range []string{"email", "phone_number", "name"} {
		if other := p.targets[member]; other != nil && other.survey.filled > 0 {
			continue
		}
		var best *column
		for _, c := range p.columns {
			isOpen := c.target == nil && c.why == ""
			if isOpen && c.survey.looks.member(c.text) == member && c.isBetter(best) &&
				p.count(c.text) == 1 { // the last, because it looks at all columns
				best = c
			}
		}
		if best != nil {
			found = append(found, contact{best, member})
		}
	}
	return found
}

func (c *column) isBetter(than *column) bool {
	if than == nil {
		return true
	}
	is, was := strings.Contains(fold(c.text), "mail"), strings.Contains(fold(than.text), "mail")
	return is && !was || is == was && c.survey.looks.values > than.survey.looks.values
}

// count returns how many columns have that name, which none has if it is empty.
func (p *plan) count(text string) int {
	n := 0
	for _, c := range p.columns {
		if text != "" && c.text == text {
			n++
		}
	}
	return n
}

// contactFlags are the flags that send the contacts too, and count values such as
// NULL in them as empty.
func contactFlags(found []contact) []string {
	var flags []string
	nulls := map[string]int64{}
	for _, c := range found {
		flags = append(flags, "-column", c.text+"="+c.member)
		maps.Copy(nulls, c.survey.nulls)
	}
	for _, null := range slices.Sorted(maps.Keys(nulls)) {
		flags = append(flags, "-null", null)
	}
	return flags
}

// reachesNobody reports whether no record that is sent has a channel.
func (p *plan) reachesNobody() bool {
	return !slices.ContainsFunc(p.columns, func(c *column) bool {
		return len(c.target) > 0 && c.survey.isSent && isChannel(c.target[0])
	})
}

// isChannel reports whether a member says how to reach a user. All members that
// Courier knows do, apart from those that say who the user is.
func isChannel(member string) bool {
	_, isKnown := known().byPath[member]
	return isKnown && !slices.Contains([]string{"sub", "name", "given_name", "family_name",
		"middle_name", "nickname", "preferred_name", "preferred_username", "first_name",
		"last_name", "profile", "picture", "website", "email_verified", "gender", "birthdate",
		"zoneinfo", "locale", "phone_number_verified", "updated_at", "address", "custom"}, member)
}
