package main

import (
	"crypto/sha256"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	courier "github.com/courier-profiles/courier-go"
)

// row is one user of the input.
type row struct {
	original
	userID  string
	profile *courier.Profile  // valid until the next row is read
	reason  string            // why it is rejected before it is sent; or empty
	sum     [sha256.Size]byte // of the input up to the end of the row
}

// original is a row as it was read, for the file of rejects.
type original struct {
	line  int      // of the input, from 1
	cells []string // if the row has a cell for each column
	text  string   // if it does not, or if it is JSON
	size  int      // in bytes of memory
}

// source reads an input.
type source interface {
	// next returns the next row, with a reason if it is to be rejected, and
	// io.EOF after the last one.
	next() (row, error)
	// position is the number of the next line, and sum covers everything before it.
	position() int
	sum() [sha256.Size]byte
	// notes tells how the input is understood.
	notes() []string
	// header is how a file of rejects begins.
	header() string
	// reject returns a row as a file of rejects holds it. Imported unchanged, it
	// is rejected again.
	reject(o original, reason string) string
}

// Why a row is rejected, in both formats.
const (
	tooLong = "the row is longer than 4 MiB: it is in the input only"
	notUTF8 = "the row is not UTF-8: save the file as UTF-8, or name its encoding, such as -encoding windows-1252"
	noID    = "the row has no user ID"

	brokenText = "the row holds text that is broken in the input's encoding, shown as \uFFFD"
)

// shortened matches what a spreadsheet makes of a long number: 1.23457E+12.
var shortened = regexp.MustCompile(`^[+-]?[0-9]{1,3}([.,][0-9]+[Ee][+-]?|[Ee]\+)[0-9]+$`)

// checkID returns why a user ID cannot be used. That includes what the client
// refuses, because a dry run does without it.
func checkID(id string) (problem string) {
	plain := id != ""
	for i := 0; i < len(id) && plain; i++ {
		plain = ' ' < id[i] && id[i] <= '~'
	}
	switch {
	case id == ".", id == "..":
		return "the user IDs . and .. cannot be sent: in a URL they mean another resource"
	case plain && '9' < id[0], plain && !strings.ContainsAny(id, "Ee"):
		return ""
	case shortened.MatchString(id):
		return "a spreadsheet has shortened the user ID, so that several users may have the same one: export it as text"
	case plain:
		return ""
	case isBlank(id):
		return noID
	case strings.ContainsRune(id, utf8.RuneError):
		return "the user ID holds text that was broken in an earlier conversion, shown as \uFFFD"
	case strings.TrimSpace(id) != id:
		return "the user ID has white space at an end: remove it"
	case strings.ContainsFunc(id, isInvisible):
		return "the user ID has a control or zero-width character: remove it"
	}
	return ""
}

func isInvisible(r rune) bool {
	return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}
