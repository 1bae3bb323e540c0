package main

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

func isID(name string) bool { return fold(name) == "id" || fold(name) == "userid" }

// hasID reports whether one of the names is that of the user ID. given is that of
// the -id flag.
func hasID(names []string, given string) bool {
	for _, name := range names {
		if given != "" && fold(name) == fold(given) || given == "" && isID(name) {
			return true
		}
	}
	return false
}

// shortened matches what a spreadsheet makes of a long number: 1.23457E+12.
var shortened = regexp.MustCompile(`^[+-]?[0-9]{1,3}([.,][0-9]+[Ee][+-]?|[Ee]\+)[0-9]+$`)

// decimal matches what programs make of a number that may be missing: 101.0.
var decimal = regexp.MustCompile(`^[0-9]+\.0$`)

// checkID returns why a user ID cannot be used, or nil.
func checkID(id string) *problem {
	plain := id != ""
	for i := 0; i < len(id) && plain; i++ {
		plain = ' ' < id[i] && id[i] <= '~'
	}
	switch {
	case id == ".", id == "..":
		return wrong("the user IDs . and .. cannot be sent: in a URL they mean another resource")
	case isFormula(id):
		return formula("the user ID", id)
	case plain && !strings.ContainsAny(id, "Ee"):
		return nil
	case shortened.MatchString(id):
		return wrong("a spreadsheet has shortened the user ID, so that several users may " +
			"have the same one: export it as text")
	case plain:
		return nil
	case strings.TrimSpace(id) == "":
		return noID
	case strings.ContainsRune(id, utf8.RuneError):
		return wrong("the user ID holds text that was broken in an earlier conversion, " +
			"shown as \uFFFD")
	case strings.TrimSpace(id) != id:
		return wrong("the user ID has white space at an end: remove it")
	case strings.ContainsFunc(id, isInvisible):
		return wrong("the user ID has a control or zero-width character: remove it")
	}
	return nil
}

func isInvisible(r rune) bool {
	return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp,
		unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}

// isFormula recognizes how spreadsheets are made to keep a text: ="007".
func isFormula(text string) bool {
	return len(text) > 3 && strings.HasPrefix(text, `="`) && strings.HasSuffix(text, `"`)
}

// formula returns the problem of a value that is one.
func formula(name, text string) *problem {
	inner := strings.TrimSuffix(text[2:], `"`)
	p := wrongly(name+" is a spreadsheet's text formula",
		"%s is %s, a spreadsheet's text formula: write %s", name, text, inner)
	p.advice = "write " + example(inner, nil) + " in place of " + example(text, nil)
	return p
}
