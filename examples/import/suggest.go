package main

import (
	"slices"
	"strings"
	"unicode"
)

// suggest returns the known member that the name of an unknown column is close
// to, or "". Members in taken have a column already.
func (c *catalog) suggest(name string, taken map[string]bool) string {
	const minLength = 4 // shorter names are close to anything
	letters := strings.ReplaceAll(fold(name), ".", "")
	best, bestScore := "", len(name)+100
	for _, m := range c.members {
		if m.kind == kindObject || m.kind == kindList || taken[m.path] {
			continue
		}
		full := strings.ReplaceAll(fold(m.path), ".", "")
		last := fold(m.path[strings.LastIndexByte(m.path, '.')+1:])
		shorter := min(len(letters), len(full))
		score := distance(letters, full)
		switch {
		case shorter < minLength && score > 0:
			continue
		case score <= len(full)/4:
		case commonPrefix(letters, full) >= max(minLength+1, shorter-2): // phone, phone_no, email_address
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

// distance returns how many letters must be inserted, deleted, replaced or swapped
// with the next one to turn a into b.
func distance(a, b string) int {
	from, to := []rune(a), []rune(b)
	before, last, row := []int(nil), []int(nil), make([]int, len(to)+1)
	for j := range row {
		row[j] = j
	}
	for i := range from {
		before, last, row = last, row, make([]int, len(to)+1)
		row[0] = i + 1
		for j := range to {
			cost := 1
			if from[i] == to[j] {
				cost = 0
			}
			row[j+1] = min(last[j]+cost, last[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && from[i] == to[j-1] && from[i-1] == to[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
	}
	return row[len(to)]
}

// likelyID returns the column that most likely holds the user IDs.
func likelyID(header []string) string {
	best, bestScore := "", -1
	for _, name := range header {
		if score := idScore(name); !isBlank(name) && score > bestScore {
			best, bestScore = strings.TrimSpace(name), score
		}
	}
	return best
}

func idScore(name string) int {
	words := splitWords(name)
	isID := func(word string) bool { return slices.Contains([]string{"id", "uid", "uuid", "guid"}, word) }
	isUser := func(word string) bool {
		return slices.Contains([]string{"user", "customer", "contact", "member", "person", "people", "client", "subscriber", "account", "recipient", "external"}, word)
	}
	folded := strings.Join(words, "")
	switch {
	case slices.ContainsFunc(words, isID) && slices.ContainsFunc(words, isUser), isUser(strings.TrimSuffix(folded, "id")):
		return 4
	case len(words) > 0 && isID(words[len(words)-1]):
		return 3
	case slices.ContainsFunc(words, isID):
		return 2
	case strings.Contains(folded, "username"), strings.Contains(folded, "login"), strings.Contains(folded, "email"):
		return 1
	}
	return 0
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
