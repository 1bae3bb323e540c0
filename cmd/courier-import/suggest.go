package main

import (
	"slices"
	"strings"
	"unicode"

	"github.com/agnivade/levenshtein"
)

// suggest returns the known member that an unknown name is close to, or "". Members
// in taken have a column already, and the next best is another thing: after
// phone_number, that is phone_number_verified.
func (c *catalog) suggest(name string, taken map[string]bool) string {
	const minLength = 4 // shorter names are close to anything
	letters := strings.ReplaceAll(fold(name), ".", "")
	best, bestScore := "", len(name)+100
	for _, m := range c.members {
		if m.kind == kindObject || m.kind == kindList {
			continue
		}
		full := strings.ReplaceAll(fold(m.path), ".", "")
		last := fold(m.path[strings.LastIndexByte(m.path, '.')+1:])
		shorter := min(len(letters), len(full))
		score := levenshtein.ComputeDistance(letters, full)
		switch {
		case shorter < minLength && score > 0:
			continue
		case score <= len(full)/4:
		// phone, phone_no, email_address
		case commonPrefix(letters, full) >= max(minLength+1, shorter-2):
			score = 50 + max(len(letters), len(full)) - shorter
		case letters == last && len(last) > minLength && c.isOnly(last): // country
			score = 1
		default:
			continue
		}
		if score < bestScore {
			best, bestScore = m.path, score
		}
	}
	if taken[best] {
		return ""
	}
	return best
}

func commonPrefix(a, b string) int {
	n := 0
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return n
}

// isOnly reports whether just one member has that name, folded, inside its object.
func (c *catalog) isOnly(name string) bool {
	n := 0
	for _, m := range c.members {
		if fold(m.path[strings.LastIndexByte(m.path, '.')+1:]) == name {
			n++
		}
	}
	return n == 1
}

// idScore says how much a name looks like that of user IDs.
func idScore(name string) int {
	words := splitWords(name)
	isID := func(word string) bool {
		return slices.Contains([]string{"id", "uid", "uuid", "guid", "oid"}, word)
	}
	isUser := func(word string) bool {
		return slices.Contains([]string{"user", "customer", "contact", "member", "person",
			"people", "client", "subscriber", "account", "recipient", "external"}, word)
	}
	folded := strings.Join(words, "")
	hasID := slices.ContainsFunc(words, isID)
	switch {
	case name == "#": // of Typeform, a response
		return 2
	case hasID && slices.ContainsFunc(words, isUser), isUser(strings.TrimSuffix(folded, "id")):
		return 4
	case len(words) > 0 && isID(words[len(words)-1]):
		return 3
	case hasID:
		return 2
	case strings.Contains(folded, "username"), strings.Contains(folded, "login"),
		strings.Contains(folded, "email"):
		return 1
	}
	return 0
}

// describes reports whether a name is one of names of people or things, or of what
// else others may share.
func describes(name string) bool {
	path, _, isKnown := known().resolve(splitPath(name))
	if isKnown && !slices.Contains([]string{"sub", "phone_number"}, strings.Join(path, ".")) {
		return true
	}
	return slices.ContainsFunc(splitWords(name), func(word string) bool {
		return strings.HasSuffix(word, "name") || slices.Contains([]string{"company",
			"organization", "organisation", "employer", "title", "position", "city", "country",
			"street", "date", "created", "updated"}, word)
	})
}

// isSecret reports whether a name has a word for a credential in it.
func isSecret(name string) bool {
	secrets := []string{"password", "passwd", "hash", "secret", "token", "salt", "otp"}
	return slices.ContainsFunc(splitWords(name), func(word string) bool {
		return slices.Contains(secrets, word) ||
			slices.Contains(secrets, strings.TrimSuffix(strings.TrimSuffix(word, "s"), "e"))
	})
}

// splitWords returns the words of names such as Customer ID, customer_id and
// customerId, in lower case.
func splitWords(name string) []string {
	var b strings.Builder
	lower := false
	for _, r := range name {
		switch {
		case !unicode.IsLetter(r) && !unicode.IsDigit(r):
			r = ' '
		case lower && unicode.IsUpper(r):
			b.WriteByte(' ')
		}
		lower = unicode.IsLower(r)
		b.WriteRune(unicode.ToLower(r))
	}
	return strings.Fields(b.String())
}
