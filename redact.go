package courier

import (
	"net/url"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

const redacted = "[redacted]"

// redact returns the text of an error, which can come from any source, without the URL, the
// user ID, and the API key.
func (client *Client) redact(text string, c *call, u *url.URL) string {
	// What net/http prints of a request, then its parts.
	for _, address := range []string{u.String(), u.RequestURI(), u.EscapedPath(), u.Path} {
		text = strings.ReplaceAll(text, address, redacted)
	}
	words := []string{client.apiKey()}
	if utf8.RuneCountInString(c.userID) >= 4 { // a shorter one is a word of any text
		quoted := strconv.Quote(c.userID)
		words = append(words, escapeSegment(c.userID), quoted[1:len(quoted)-1], c.userID)
	}
	for _, word := range words {
		text = redactWord(text, word)
	}
	return text
}

// redactWord redacts word where no letter or digit stands beside it.
func redactWord(text, word string) string {
	var b strings.Builder
	end := 0 // of what is written
	for {
		i := strings.Index(text[end:], word)
		if i < 0 {
			b.WriteString(text[end:])
			return b.String()
		}
		start := end + i
		b.WriteString(text[end:start])
		end = start + len(word)
		if isWord(text[:start], text[end:]) {
			b.WriteString(redacted)
			continue
		}
		_, size := utf8.DecodeRuneInString(word) // another one may begin inside this one
		end = start + size
		b.WriteString(text[start:end])
	}
}

// isWord reports whether no letter or digit stands beside what is between before and after.
// The end of an escape, such as %2F or \n, is neither.
func isWord(before, after string) bool {
	last, _ := utf8.DecodeLastRuneInString(before)
	next, _ := utf8.DecodeRuneInString(after)
	return (!isWordRune(last) || endsInEscape(before)) && !isWordRune(next)
}

func isWordRune(c rune) bool { return unicode.IsLetter(c) || unicode.IsDigit(c) }

// endsInEscape reports whether text ends in an escape of a URL or of a Go string.
func endsInEscape(text string) bool {
	n := len(text)
	if n >= 3 && text[n-3] == '%' {
		_, err := url.PathUnescape(text[n-3:])
		return err == nil
	}
	return n >= 2 && text[n-2] == '\\'
}

// describeFailure is redact for the error of an attempt. Where net/http could not parse a
// response, its text quotes what came, which can be what was sent.
func (client *Client) describeFailure(err error, c *call, u *url.URL) string {
	text := err.Error()
	for _, phrase := range []string{
		"malformed HTTP ", "malformed MIME ", "bad Content-Length",
		"Content-Length headers; got", "transfer encoding",
		"PROTOCOL_ERROR; invalid", // a header of HTTP/2
	} {
		if strings.Contains(text, phrase) {
			return "the response is malformed"
		}
	}
	// The end of an HTTP/2 connection, whose debug data is free text of the server.
	text, _, _ = strings.Cut(text, `, debug="`)
	return client.redact(text, c, u)
}
