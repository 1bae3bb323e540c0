package main

import (
	"fmt"
	"slices"
	"strings"
)

// mapping is a -column flag: the column with that name holds the member at path.
type mapping struct{ column, path string }

func isID(name string) bool { return fold(name) == "id" || fold(name) == "userid" }

func isExactID(name string) bool { return name == "id" || name == "user_id" }

// find returns the index of the column that the user calls name, or -1. The
// spelling may differ if no column has that exact name and only one column fits.
func find(header []string, name string) int {
	found := -1
	for i, column := range header {
		switch {
		case strings.TrimSpace(column) == name:
			return i
		case fold(column) != fold(name):
		case found >= 0:
			found = -2
		case found == -1:
			found = i
		}
	}
	return max(found, -1)
}

// hasID reports whether a column holds the user IDs.
func hasID(header []string, options csvOptions) bool {
	if options.id != "" {
		return find(header, options.id) >= 0
	}
	return slices.ContainsFunc(header, isID)
}

// findID returns the index of the column with the user IDs. name is that of the -id flag.
func findID(header []string, name string) (int, error) {
	if name != "" {
		i := find(header, name)
		if i < 0 {
			return 0, fmt.Errorf("no column is named %q, as -id says: the columns are %s", name, quoted(header))
		}
		return i, nil
	}
	var exact, inexact []int
	for i, column := range header {
		switch column = strings.TrimSpace(column); {
		case isExactID(column):
			exact = append(exact, i)
		case isID(column):
			inexact = append(inexact, i)
		}
	}
	candidates := exact
	if len(exact) == 0 {
		candidates = inexact
	}
	switch len(candidates) {
	case 0:
		return 0, fmt.Errorf("no column is named id or user_id: the columns are %s. Say which one holds the user IDs, such as -id %s",
			quoted(header), quoteShell(likelyID(header)))
	case 1:
		return candidates[0], nil
	}
	first, second := strings.TrimSpace(header[candidates[0]]), strings.TrimSpace(header[candidates[1]])
	return 0, fmt.Errorf("%q and %q are both the user ID: say which one is, such as -id %s", first, second, quoteShell(second))
}

// claim is a column that wants to be the member at path.
type claim struct {
	index int
	name  string
	path  []string
	rank  int
}

// Ranks of claims to the same member.
const (
	asNamed  = iota // in another spelling
	isExact         // the column has the member's name
	isMapped        // by a -column flag
)

// claims returns what each column wants to be, the user ID excepted.
func (c *columns) claims(mappings []mapping) ([]claim, error) {
	mapped := map[int]bool{}
	var claims []claim
	for _, m := range mappings {
		i := find(c.header, m.column)
		if i < 0 {
			return nil, fmt.Errorf("no column is named %q, as -column says: the columns are %s", m.column, quoted(c.header))
		}
		if mapped[i] {
			return nil, fmt.Errorf("-column names %q twice", strings.TrimSpace(c.header[i]))
		}
		mapped[i] = true
		path, _ := known().resolve(m.path)
		claims = append(claims, claim{i, strings.TrimSpace(c.header[i]), path, isMapped})
	}
	for i, name := range c.header {
		if name = strings.TrimSpace(name); i == c.id || mapped[i] || name == "" {
			continue
		}
		path, exact := known().resolve(name)
		rank := asNamed
		if exact {
			rank = isExact
		}
		claims = append(claims, claim{i, name, path, rank})
	}
	slices.SortFunc(claims, func(a, b claim) int { return a.index - b.index })
	return claims, nil
}

// settle decides between columns that claim the same member: the others keep their
// own names.
func settle(claims []claim) error {
	best := map[string]int{}
	for _, claim := range claims {
		key := strings.Join(claim.path, ".")
		best[key] = max(best[key], claim.rank)
	}
	taken := map[string]claim{}
	for i := range claims {
		claim := &claims[i]
		if claim.rank < best[strings.Join(claim.path, ".")] && claim.rank == asNamed {
			claim.path = splitPath(claim.name)
		}
		key := strings.Join(claim.path, ".")
		first, twice := taken[key]
		if !twice {
			taken[key] = *claim
			continue
		}
		choose := ""
		switch {
		case first.name == claim.name:
		case first.rank == isExact:
			choose = ", or use -column " + quoteShell(first.name+"=custom."+first.name)
		case claim.rank == isExact:
			choose = ", or use -column " + quoteShell(claim.name+"=custom."+claim.name)
		case first.rank == asNamed:
			choose = ", or choose one, such as -column " + quoteShell(claim.name+"="+key)
		}
		return fmt.Errorf("%q and %q are both the member %s: rename or remove one%s", first.name, claim.name, key, choose)
	}
	return nil
}

// checkNesting refuses members that would be both a value and an object.
func checkNesting(claims []claim) error {
	names := map[string]string{}
	for _, claim := range claims {
		names[strings.Join(claim.path, ".")] = claim.name
	}
	for _, claim := range claims {
		for i := 1; i < len(claim.path); i++ {
			outer := strings.Join(claim.path[:i], ".")
			if m, isKnown := known().byPath[outer]; isKnown && m.kind != kindObject {
				target := "custom." + strings.Join(claim.path, "_")
				if last, ok := known().byFold[fold(claim.path[len(claim.path)-1])]; ok && last.kind != kindObject { // profile.email
					target = last.path
				}
				return fmt.Errorf("%q: %s has no members: rename the column, or use -column %s", claim.name, outer, quoteShell(claim.name+"="+target))
			}
			if name, ok := names[outer]; ok {
				return fmt.Errorf("%q cannot have a value and also a member, %q: rename or remove one", name, claim.name)
			}
		}
	}
	return nil
}
