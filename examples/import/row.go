package main

import (
	"crypto/sha256"
	"strings"
	"unicode/utf8"

	courier "github.com/courier-profiles/courier-go"
)

// row is one user of the input.
type row struct {
	original
	userID  string
	profile courier.Profile
	reason  string            // why it is rejected before it is sent; or empty
	sum     [sha256.Size]byte // of the input up to its end
}

// original is a row as it was read, for the file of rejects.
type original struct {
	line  int      // of the input, from 1
	cells []string // if the row has a cell for each column
	text  string   // if it has not, or if it is JSON
	size  int      // in bytes, of memory
}

// source reads an input.
type source interface {
	// next returns the next row, with a reason if it is to be rejected, and
	// io.EOF behind the last one.
	next() (row, error)
	// position is the line that comes next, and sum is over all before it.
	position() int
	sum() [sha256.Size]byte
	// notes tells how the input is understood.
	notes() []string
	// header is what a file of rejects begins with.
	header() string
	// reject returns what such a file holds for a row. This program reads it
	// again: unchanged it is rejected again, mended it is imported.
	reject(o original, reason string) string
}

// Why a row is rejected, in both formats.
const (
	tooLong = "the row is longer than 4 MiB: it is in the input only"
	notUTF8 = "the row is not UTF-8: save the file as UTF-8, or name its encoding, such as -encoding windows-1252"
	noID    = "the row has no user id"

	brokenText = "the row holds text that is broken in the input's encoding, shown as \uFFFD"
)

// checkID returns why a user id cannot be used. The client refuses others.
func checkID(id string) (problem string) {
	switch {
	case isBlank(id):
		return noID
	case strings.ContainsRune(id, utf8.RuneError):
		return "the user id holds text that was broken in an earlier conversion, shown as \uFFFD"
	}
	return ""
}
