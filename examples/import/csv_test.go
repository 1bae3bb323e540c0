package main

import (
	"encoding/csv"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/text/encoding/unicode"
)

func TestCSVRows(t *testing.T) {
	const tooFew, tooMany = "the row has 2 cells, but there are 3 columns", "the row has 4 cells, but there are 3 columns"
	good := func(line int, id, name string) outcome {
		return outcome{Line: line, UserID: id, Profile: fmt.Sprintf(`{"name":%q}`, name)}
	}
	bad := func(line int, reason found) outcome { return outcome{Line: line, Reason: string(reason)} }
	for _, test := range []struct {
		name, rows string
		want       []outcome
	}{
		{"a quoted delimiter and quote", "u1,\"a, \"\"b\"\"\",\n", []outcome{good(2, "u1", `a, "b"`)}},
		{"quoted newlines count as lines", "u1,\"a\nb\r\n\nc\",\nu2,,x\nu3,d,\n", []outcome{
			{2, "u1", `{"name":"a\nb\r\n\nc"}`, ""},
			bad(6, `email_verified is "x": use true or false`),
			good(7, "u3", "d"),
		}},
		{"no id", ",Ada,\n  ,Bo,\nu1,Carl,\n", []outcome{bad(2, noID), bad(3, noID), good(4, "u1", "Carl")}},
		{"too few cells", "u1,Ada\nu2,Bo,\n", []outcome{bad(2, tooFew), good(3, "u2", "Bo")}},
		{"too many cells", "u1,Ada,,x\nu2,Bo,\n", []outcome{bad(2, tooMany), good(3, "u2", "Bo")}},
		{"blank lines in between", "u1,Ada,\n\n\nu2,Bo,\n", []outcome{good(2, "u1", "Ada"), good(5, "u2", "Bo")}},
		{"a bare quote", "u1,12\" disc,\nu2,Bo,\n", []outcome{bad(2, bareQuote), good(3, "u2", "Bo")}},
		{"a space before a quote", "u1, \"Ada\",\nu2,Bo,\n", []outcome{bad(2, bareQuote), good(3, "u2", "Bo")}},
		{"a stray quote", "u1,\"a\"b\",\nu2,Bo,\n", []outcome{bad(2, strayQuote), good(3, "u2", "Bo")}},
		{"a quote that the next row closes", "u1,\"Ada,\nu2,\"Bo\",\nu3,Carl,\n", []outcome{bad(2, strayQuote), good(3, "u2", "Bo"), good(4, "u3", "Carl")}},
		{"a quote that is never closed", "u1,\"Ada,\nu2,Bo,\nu3,Carl,\n", []outcome{bad(2, openQuote), good(3, "u2", "Bo"), good(4, "u3", "Carl")}},
		{"a quote that is never closed, in the last row", "u1,\"Ada,", []outcome{bad(2, openQuote)}},
		{"a broken row of several lines", "u1,\"a\nb\"c\nd\",\nu2,Bo,\n", []outcome{
			bad(2, strayQuote), bad(3, bareQuote), bad(4, bareQuote), good(5, "u2", "Bo"),
		}},
		{"not UTF-8", "u1,\xff,\nu2,Bo,\n", []outcome{bad(2, notUTF8), good(3, "u2", "Bo")}},
		{"U+FFFD is text where nothing was decoded", "u1,\uFFFD,\n", []outcome{good(2, "u1", "\uFFFD")}},
		{"U+FFFD in an id", "u\uFFFD,Ada,\n", []outcome{bad(2, found(checkID("\uFFFD")))}},
		{"spaces are kept", " u1 , Ada ,\n", []outcome{good(2, " u1 ", " Ada ")}},
		{"a carriage return is text", "u1,a\rb,\n", []outcome{{2, "u1", `{"name":"a\rb"}`, ""}}},
		{"a quoted cell before CRLF", "u1,Ada,\"\"\r\nu2,Bo,\"\"\r", []outcome{good(2, "u1", "Ada"), good(3, "u2", "Bo")}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, _, err := readText(t, "users.csv", "id,name,email_verified\n"+test.rows, inputOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func TestBooleans(t *testing.T) {
	for _, test := range []struct{ cell, want string }{
		{"true", "true"}, {"TRUE", "true"}, {"True", "true"}, {"yes", "true"}, {"Y", "true"}, {"1", "true"}, {" true ", "true"},
		{"false", "false"}, {"FALSE", "false"}, {"no", "false"}, {"n", "false"}, {"0", "false"},
		{"maybe", ""}, {"2", ""}, {"on", ""}, {"wahr", ""},
	} {
		got, _, err := readText(t, "users.csv", "id,phone_number_verified\nu,"+test.cell+"\n", inputOptions{})
		if err != nil || len(got) != 1 {
			t.Fatal(got, err)
		}
		want := outcome{Line: 2, UserID: "u", Profile: `{"phone_number_verified":` + test.want + `}`}
		if test.want == "" {
			want = outcome{Line: 2, Reason: fmt.Sprintf("phone_number_verified is %q: use true or false", test.cell)}
		}
		if diff := cmp.Diff(want, got[0]); diff != "" {
			t.Errorf("%q: -want +got\n%s", test.cell, diff)
		}
	}
}

func TestEmptyCells(t *testing.T) {
	const text = "id,name,email_verified,address.country,custom.a.b,custom.a.c\nu,, ,,,x\n"
	for _, test := range []struct {
		null bool
		want string
	}{
		{false, `{"custom":{"a":{"c":"x"}}}`},
		{true, `{"address":{"country":null},"custom":{"a":{"b":null,"c":"x"}},"email_verified":null,"name":null}`},
	} {
		got, _, err := readText(t, "users.csv", text, inputOptions{emptyNull: test.null})
		if err != nil || len(got) != 1 {
			t.Fatal(got, err)
		}
		if diff := cmp.Diff(test.want, got[0].Profile); diff != "" {
			t.Errorf("null %v: -want +got\n%s", test.null, diff)
		}
	}
}

func TestBrokenTextInAnEncoding(t *testing.T) {
	text := encoded(t, unicode.UTF16(unicode.LittleEndian, unicode.UseBOM), "id,name\nu1,A\nu2,B\n")
	text = strings.Replace(text, "A\x00", "\x00\xd8", 1) // half of a surrogate pair
	for _, test := range []struct {
		text string
		want []string
	}{
		{text, []string{brokenText, ""}},
		{strings.TrimSuffix(text, "\x00"), []string{brokenText, brokenText}}, // half of a character
	} {
		got, _, err := readText(t, "users.csv", test.text, inputOptions{})
		if err != nil {
			t.Fatal(err)
		}
		var reasons []string
		for _, r := range got {
			reasons = append(reasons, r.Reason)
		}
		if diff := cmp.Diff(test.want, reasons); diff != "" {
			t.Errorf("-want +got\n%s", diff)
		}
	}
}

// TestLongRows has a bound of 64 bytes, and what is longer in every place.
func TestLongRows(t *testing.T) {
	long := strings.Repeat("x", 100)
	for _, test := range []struct {
		name, rows string
		want       []string // reasons
	}{
		{"a line", "u1," + long + "\nu2,Bo\n", []string{tooLong, ""}},
		{"the last line", "u1,Ada\nu2," + long, []string{"", tooLong}},
		{"a quoted cell in one line", "u1,\"" + long + "\"\nu2,Bo\n", []string{tooLong, ""}},
		{"a quoted cell of short lines", "u1,\"" + strings.Repeat("y\n", 100) + "\"\nu2,Bo\n",
			slices.Concat([]string{string(openQuote)}, slices.Repeat([]string{"the row has 1 cells, but there are 2 columns"}, 99), []string{string(openQuote), ""})},
		{"exactly the bound", "u1," + strings.Repeat("x", 60) + "\nu2,Bo\n", []string{"", ""}},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, one := range []func(io.Reader) io.Reader{
				func(r io.Reader) io.Reader { return r },
				iotest.OneByteReader,
				iotest.DataErrReader,
			} {
				s := newScanner(one(strings.NewReader("id,name\n"+test.rows)), 64)
				c, err := newCSVSource(s, csvOptions{})
				if err != nil {
					t.Fatal(err)
				}
				got, err := readAll(c)
				if err != nil {
					t.Fatal(err)
				}
				var reasons []string
				for _, r := range got {
					reasons = append(reasons, r.Reason)
				}
				if diff := cmp.Diff(test.want, reasons); diff != "" {
					t.Errorf("-want +got\n%s", diff)
				}
			}
		})
	}
}

// TestSizeOfARow has cells that are empty, and yet take memory.
func TestSizeOfARow(t *testing.T) {
	text := "id\nu1" + strings.Repeat(",", 1000) + "\n"
	c, err := newCSVSource(newScanner(strings.NewReader(text), maxRow), csvOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if r, err := c.next(); err != nil || r.size < 16*1000 {
		t.Errorf("the size is %d, error %v", r.size, err)
	}
}

// FuzzCSV reads any text, whole and a byte at a time: nothing is lost, what is
// delivered is UTF-8, what is rejected is rejected again for the same reason when
// the file of rejects is imported, and where encoding/csv finds nothing wrong,
// the cells are the same.
func FuzzCSV(f *testing.F) {
	for _, seed := range []string{
		plainCSV,
		"id,name\nu1,\"a\nb\"\nu2,\"c\nu3,d\n",
		"id;name\r\nu1;\"a;\"\"b\"\r\n;;\r\nu2;c;;",
		"id,a,line,text,reason\nu,b,,,\n,,3,\"u,\"\"b\",never\n",
		"\n\nid\tn\nu\t\xff\n\"\r",
		"id,\"n\"\"\"\n\"\"\"\",\"\"\n",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := newCSVSource(newScanner(strings.NewReader(text), 256), csvOptions{})
		if err != nil {
			return
		}
		header := c.header()
		var (
			rows     []row
			rejects  strings.Builder
			rejected []row
		)
		rejects.WriteString(header)
		for {
			r, err := c.next()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			rows = append(rows, r)
			if r.reason == "" {
				if !utf8.ValidString(r.userID) || !utf8.ValidString(fmt.Sprint(r.profile.Extra)) || r.userID == "" {
					t.Errorf("row %q is delivered", r.cells)
				}
				continue
			}
			rejects.WriteString(c.reject(r.original, r.reason))
			rejected = append(rejected, r)
		}
		if want := 1 + strings.Count(text, "\n"); c.position() != want {
			t.Errorf("%d lines were read, of %d", c.position(), want)
		}

		slow, err := newCSVSource(newScanner(iotest.OneByteReader(strings.NewReader(text)), 256), csvOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range rows {
			got, err := slow.next()
			if err != nil || got.reason != want.reason || got.line != want.line || got.sum != want.sum || !slices.Equal(got.cells, want.cells) {
				t.Fatalf("a byte at a time: %+v, error %v, want %+v", got, err, want)
			}
		}
		if r, err := slow.next(); err != io.EOF {
			t.Errorf("a byte at a time, there is one row more: %+v", r)
		}

		again, err := newCSVSource(newScanner(strings.NewReader(rejects.String()), 1<<20), csvOptions{})
		if err != nil {
			t.Fatalf("the file of rejects cannot be read: %v\n%q", err, rejects.String())
		}
		if !c.columns.rejects {
			for _, want := range rejected {
				r, err := again.next()
				if err != nil || r.reason == "" {
					t.Fatalf("rejected as %q, and not when imported again: %+v, error %v\n%q", want.reason, r, err, rejects.String())
				}
				if r.text != want.text || want.text == "" && !slices.Equal(r.cells, want.cells) && want.cells != nil {
					t.Fatalf("rejected as %+v, and when imported again as %+v\n%q", want.original, r.original, rejects.String())
				}
			}
		}

		if strings.Contains(text, "\r") {
			return // encoding/csv drops those before a newline
		}
		theirs := csv.NewReader(strings.NewReader(text))
		theirs.Comma, theirs.FieldsPerRecord = rune(c.comma), -1
		records, err := theirs.ReadAll()
		if err != nil {
			return
		}
		records = slices.DeleteFunc(records, func(cells []string) bool { return allBlank(cells) })[1:]
		ours := func(r row) bool { return r.reason == tooLong || r.reason == string(openQuote) } // for their length
		if len(records) != len(rows) && !slices.ContainsFunc(rejected, ours) {
			t.Fatalf("%d rows, and %d records of encoding/csv", len(rows), len(records))
		}
		for i, r := range rows {
			if len(records) == len(rows) && r.cells != nil && !c.columns.rejects && !slices.Equal(records[i][:len(r.cells)], r.cells) {
				t.Errorf("row %d is %q, and %q of encoding/csv", i, r.cells, records[i])
			}
		}
	})
}
