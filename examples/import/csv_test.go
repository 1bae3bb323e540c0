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
	t.Parallel()
	const (
		tooMany = "the row has 4 cells, but there are 3 columns"
		tooFew  = "the row has 2 cells, but there are 3 columns"
		oneCell = "the row has 1 cells, but there are 3 columns"
		cutOff  = ", and no line end: the file may have been cut off here"
	)
	good := func(line int, id, name string) result {
		return result{Line: line, UserID: id, Profile: fmt.Sprintf(`{"name":%q}`, name)}
	}
	bad := func(line int, reason found) result { return result{Line: line, Reason: string(reason)} }
	for _, test := range []struct {
		name, rows string
		want       []result
	}{
		{"a quoted delimiter and quote", "u1,\"a, \"\"b\"\"\",\n", []result{good(2, "u1", `a, "b"`)}},
		{"quoted newlines count as lines", "u1,\"a\nb\r\n\nc\",\nu2,,x\nu3,d,\n", []result{
			{2, "u1", `{"name":"a\nb\r\n\nc"}`, ""},
			bad(6, `email_verified is "x": use true or false`),
			good(7, "u3", "d"),
		}},
		{"no id", ",Ada,\n  ,Bo,\nu1,Carl,\n", []result{bad(2, noID), bad(3, noID), good(4, "u1", "Carl")}},
		{"too many cells", "u1,Ada,,x\nu2,Bo,\n", []result{bad(2, tooMany), good(3, "u2", "Bo")}},
		{"blank lines in between", "u1,Ada,\n\n\nu2,Bo,\n", []result{good(2, "u1", "Ada"), good(5, "u2", "Bo")}},
		{"not UTF-8", "u1,\xff,\nu2,Bo,\n", []result{bad(2, notUTF8), good(3, "u2", "Bo")}},
		{"U+FFFD is text where nothing was decoded", "u1,\uFFFD,\n", []result{good(2, "u1", "\uFFFD")}},
		{"U+FFFD in an ID", "u\uFFFD,Ada,\n", []result{bad(2, found(checkID("\uFFFD")))}},
		{"blanks are kept", "u1, Ada ,\n", []result{good(2, "u1", " Ada ")}},
		{"a carriage return is text", "u1,a\rb,\n", []result{{2, "u1", `{"name":"a\rb"}`, ""}}},
		{"a quoted cell before CRLF", "u1,Ada,\"\"\r\nu2,Bo,\"\"\r", []result{good(2, "u1", "Ada"), good(3, "u2", "Bo")}},

		{"CR CR LF", "u1,,yes\r\r\nu2,Bo\r\r\n\r\r\nu3,\"c\"\r\r\r\nu4,Dora\r\r\n", []result{
			{2, "u1", `{"email_verified":true}`, ""}, good(3, "u2", "Bo"), good(5, "u3", "c"), good(6, "u4", "Dora"),
		}},
		{"CR CR LF in a quoted cell", "u1,\"a\r\r\nb\",\r\r\n", []result{{2, "u1", `{"name":"a\r\nb"}`, ""}}},
		{"CR CR at the end of the file", "u1,Ada,\"\"\r\r\nu2,Bo,\r\r", []result{good(2, "u1", "Ada"), good(3, "u2", "Bo")}},

		{"fewer cells", "u1,Ada\nu2\nu3,\"c\"\r\nu4,Dora,\n", []result{good(2, "u1", "Ada"), {3, "u2", `{}`, ""}, good(4, "u3", "c"), good(5, "u4", "Dora")}},
		{"fewer cells in the last line", "u1,Ada\nu2,Bo\n", []result{good(2, "u1", "Ada"), good(3, "u2", "Bo")}},
		{"fewer cells in the last line, which has no end", "u1,Ada\nu2,Bo", []result{good(2, "u1", "Ada"), bad(3, tooFew+cutOff)}},
		{"all cells in the last line, which has no end", "u1,Ada\nu2,Bo,", []result{good(2, "u1", "Ada"), good(3, "u2", "Bo")}},

		{"a quote inside a cell", "u1,6' 2\" tall,\nu2,12\",\nu3,a\"b\"c,yes\n", []result{
			good(2, "u1", `6' 2" tall`), good(3, "u2", `12"`), {4, "u3", `{"name":"a\"b\"c","email_verified":true}`, ""},
		}},
		{"a blank before a quote", "u1, \"Ada\",\n", []result{good(2, "u1", ` "Ada"`)}},
		{"blanks after a closing quote", "u1,\"Ada\"  ,\"yes\" \t\nu2,\"Bo\" \r\nu3,\"c\" ", []result{
			{2, "u1", `{"name":"Ada","email_verified":true}`, ""}, good(3, "u2", "Bo"), bad(4, tooFew+cutOff),
		}},

		{"a final Ctrl-Z", "u1,Ada,\nu2,Bo,\n\x1a", []result{good(2, "u1", "Ada"), good(3, "u2", "Bo")}},
		{"a final Ctrl-Z in the last row", "u1,Ada,\nu2,\"Bo\",\"\"\x1a", []result{good(2, "u1", "Ada"), good(3, "u2", "Bo")}},
		{"two of them", "u1,Ada,\n\x1a\x1a", []result{good(2, "u1", "Ada")}},

		{"the column names again", "u1,Ada,\nid,name,email_verified\nu2,Bo,\n \"id\"\nid, name ,email_verified\n", []result{
			good(2, "u1", "Ada"), bad(3, "the row repeats the column names"), good(4, "u2", "Bo"),
			bad(5, found(checkID(` "id"`))), bad(6, "the row repeats the column names"),
		}},

		{"a first line of another file", "sep=,\nu1,Ada,\n\"sep=;\"\n", []result{
			bad(2, "the row is the first line of another file"), good(3, "u1", "Ada"), bad(4, "the row is the first line of another file"),
		}},

		{"a stray quote", "u1,\"a\"b\",\nu2,Bo\n", []result{bad(2, strayQuote), good(3, "u2", "Bo")}},
		{"a quote that the next row closes", "u1,\"Ada,\nu2,\"Bo\",\nu3,Carl,\n", []result{bad(2, strayQuote), good(3, "u2", "Bo"), good(4, "u3", "Carl")}},
		{"a quote that is never closed", "u1,\"Ada,\nu2,Bo,\nu3,Carl\n", []result{bad(2, openQuote), good(3, "u2", "Bo"), good(4, "u3", "Carl")}},
		{"a quote that is never closed, in the last row", "u1,\"Ada,", []result{bad(2, openQuote)}},
		{"a broken row of several lines", "u1,\"a\nb\"c\nd\",\ne\nu2,Bo,\nu3\n", []result{
			bad(2, strayQuote), bad(3, bareQuote), bad(4, bareQuote), bad(5, oneCell), good(6, "u2", "Bo"), {7, "u3", `{}`, ""},
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			text := "id,name,email_verified\n" + test.rows
			for _, one := range []func(io.Reader) io.Reader{
				func(r io.Reader) io.Reader { return r },
				iotest.OneByteReader,
				iotest.DataErrReader,
			} {
				c, err := newCSVSource(newScanner(one(strings.NewReader(text)), maxRow), csvOptions{})
				if err != nil {
					t.Fatal(err)
				}
				got, err := readAll(c)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(test.want, got); diff != "" {
					t.Errorf("-want +got\n%s", diff)
				}
			}
		})
	}
}

func TestShortRowsWithEmptyNull(t *testing.T) {
	t.Parallel()
	got, _, err := readText(t, "users.csv", "id,name,birthdate\nu1,Ada\nu2,Bo,\n", inputOptions{emptyNull: true})
	if err != nil {
		t.Fatal(err)
	}
	want := []result{
		{Line: 2, Reason: "the row has 2 cells, but there are 3 columns, and -empty=null would remove what is missing"},
		{Line: 3, UserID: "u2", Profile: `{"name":"Bo","birthdate":null}`},
	}
	if diff := cmp.Diff(sortedMembers(t, want), sortedMembers(t, got)); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestDelimiterLine(t *testing.T) {
	t.Parallel()
	const rows = "id;name;email_verified\nu1;Ángel;true\nsep=;\nu2;Bo;false\n"
	want := []result{
		{Line: 3, UserID: "u1", Profile: `{"email_verified":true,"name":"Ángel"}`},
		{Line: 4, Reason: "the row is the first line of another file"},
		{Line: 5, UserID: "u2", Profile: `{"email_verified":false,"name":"Bo"}`},
	}
	for _, test := range []struct{ name, line, delimiter string }{
		{"semicolon", "sep=;\n", ";"},
		{"with a mark", byteOrderMark + "sep=;\n", ";"},
		{"in quotes", "\"sep=;\"\r\n", ";"},
		{"in quotes, with a mark", byteOrderMark + "\"sep=;\"\n", ";"},
		{"in capitals", "SEP=,\n", ","},
		{"with empty cells", "sep=;;;\n", ";"},
		{"tab", "sep=\t\n", "\t"},
		{"CR CR LF", "sep=|\r\r\n", "|"},
		{"a delimiter that is not recognized otherwise", "sep=^\n", "^"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			text := test.line + strings.ReplaceAll(rows, ";", test.delimiter)
			got, in, err := readText(t, "users.csv", text, inputOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, sortedMembers(t, got)); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
			mark := ""
			if strings.HasPrefix(test.line, byteOrderMark) {
				mark = byteOrderMark
			}
			header := strings.ReplaceAll(mark+"sep=;\nid;name;email_verified;line;text;reason\n", ";", test.delimiter)
			if diff := cmp.Diff(header, in.header()); diff != "" {
				t.Errorf("the file of rejects: -want +got\n%s", diff)
			}
		})
	}
}

func TestIDs(t *testing.T) {
	t.Parallel()
	const (
		shortened = "a spreadsheet has shortened the user ID"
		space     = "the user ID has white space at an end"
		invisible = "the user ID has a control or zero-width character"
	)
	for _, test := range []struct{ id, want string }{
		{"1.23457E+12", shortened}, {"1,23457E+12", shortened}, {"1E+12", shortened}, {"-1.5e+09", shortened}, {"123.5E+9", shortened}, {"1.23457E12", shortened},
		{"5e12", ""}, {"5E12", ""}, {"12e4567", ""}, {"1.5", ""}, {"E+12", ""}, {"a1.2E+3", ""}, {"1234567890123", ""}, {"12E-05-A", ""},
		{" u", space}, {"u ", space}, {"u\t", space}, {"\u00A0u", space}, {"u\u3000", space}, {"u\u2009", space}, {"u\u0085", space},
		{"u\u200B", invisible}, {"\uFEFFu", invisible}, {"a\u200Db", invisible}, {"a\u00ADb", invisible}, {"a\u2060b", invisible}, {"a\u202Eb", invisible},
		{"a\u0000b", invisible}, {"a\tb", invisible}, {"a\nb", invisible}, {"a\u007Fb", invisible}, {"a\u0081b", invisible}, {"a\u2028b", invisible}, {"a\u3164b", invisible},
		{"Ángel Peña", ""}, {"a b", ""}, {"a\u00A0b", ""}, {"user@example.com", ""}, {"名前", ""}, {"..a", ""},
		{".", "another resource"}, {"..", "another resource"},
	} {
		if got := checkID(test.id); !strings.HasPrefix(got, test.want) && !strings.HasSuffix(got, test.want) || (test.want == "") != (got == "") {
			t.Errorf("%q: %q, want %q", test.id, got, test.want)
		}
	}

	for name, text := range map[string]string{
		"users.csv":    "id,name\n1.23457E+12,Ada\n\u00A0u,Bo\nu\u200B,Carl\nu4,Dora\n",
		"users.ndjson": `{"id":"1.23457E+12","profile":{}}` + "\n" + `{"id":"\u00a0u","profile":{}}` + "\n" + `{"id":"u\u200b","profile":{}}` + "\n" + `{"id":"u4","profile":{}}` + "\n",
	} {
		got, _, err := readText(t, name, text, inputOptions{})
		if err != nil || len(got) != 4 {
			t.Fatal(got, err)
		}
		for i, want := range []string{shortened, space, invisible, ""} {
			if !strings.HasPrefix(got[i].Reason, want) || want == "" && got[i].Reason != "" {
				t.Errorf("%s: row %d: %+v, want %q", name, i, got[i], want)
			}
		}
	}
}

func TestBooleans(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ cell, want string }{
		{"true", "true"}, {"TRUE", "true"}, {"True", "true"}, {"yes", "true"}, {"Y", "true"}, {"1", "true"}, {" true ", "true"},
		{"false", "false"}, {"FALSE", "false"}, {"no", "false"}, {"n", "false"}, {"0", "false"},
		{"maybe", ""}, {"2", ""}, {"on", ""}, {"wahr", ""},
	} {
		got, _, err := readText(t, "users.csv", "id,phone_number_verified\nu,"+test.cell+"\n", inputOptions{})
		if err != nil || len(got) != 1 {
			t.Fatal(got, err)
		}
		want := result{Line: 2, UserID: "u", Profile: `{"phone_number_verified":` + test.want + `}`}
		if test.want == "" {
			want = result{Line: 2, Reason: fmt.Sprintf("phone_number_verified is %q: use true or false", test.cell)}
		}
		if diff := cmp.Diff(want, got[0]); diff != "" {
			t.Errorf("%q: -want +got\n%s", test.cell, diff)
		}
	}
}

func TestBrokenTextInAnEncoding(t *testing.T) {
	t.Parallel()
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

// TestLongRows has a limit of 64 bytes, and something longer in every place.
func TestLongRows(t *testing.T) {
	t.Parallel()
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
		{"exactly the limit", "u1," + strings.Repeat("x", 60) + "\nu2,Bo\n", []string{"", ""}},
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

// TestSizeOfARow has empty cells, which take memory too.
func TestSizeOfARow(t *testing.T) {
	t.Parallel()
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
// delivered is UTF-8, what is rejected is rejected again when the file of rejects
// is imported, and where encoding/csv finds nothing wrong, the cells are the same.
func FuzzCSV(f *testing.F) {
	for _, seed := range []string{
		plainCSV,
		"id,name\nu1,\"a\nb\"\nu2,\"c\nu3,d\n",
		"id;name\r\nu1;\"a;\"\"b\"\r\n;;\r\nu2;c;;",
		"id,a,line,text,reason\nu,b,,,\n,,3,\"u,\"\"b\",never\n",
		"\n\nid\tn\nu\t\xff\n\"\r",
		"id,\"n\"\"\"\n\"\"\"\",\"\"\n",
		"sep=|\nUser ID|Phone No. 2\r\r\nu|6' 2\"\r\r\nu2\nsep=|\nu3|\"x\" \n\x1a",
		"id,name\nid,name\nu\u200b,x\n1.2E+12,y\nu4",
		"id,name\nNULL,x\nu,NULL\nu2\nNULL,NULL\n",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		options := csvOptions{}
		if strings.Contains(text, "NULL") {
			options = csvOptions{nulls: []string{"NULL"}, emptyNull: true}
		}
		c, err := newCSVSource(newScanner(strings.NewReader(text), 256), options)
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
		text = strings.TrimRight(text, "\x1a")
		if want := 1 + strings.Count(text, "\n"); c.position() != want {
			t.Errorf("%d lines were read, of %d", c.position(), want)
		}

		slow, err := newCSVSource(newScanner(iotest.OneByteReader(strings.NewReader(text)), 256), options)
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

		again, err := newCSVSource(newScanner(strings.NewReader(rejects.String()), 1<<20), options)
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

		if strings.Contains(text, "\r") || c.sep {
			return // encoding/csv drops CR before a newline, and does not know sep=
		}
		theirs := csv.NewReader(strings.NewReader(text))
		theirs.Comma, theirs.FieldsPerRecord = rune(c.comma), -1
		records, err := theirs.ReadAll()
		if err != nil {
			return
		}
		records = slices.DeleteFunc(records, c.columns.allEmpty)[1:]
		ours := func(r row) bool { return r.reason == tooLong || r.reason == string(openQuote) } // for their length
		if len(records) != len(rows) && !slices.ContainsFunc(rejected, ours) {
			t.Fatalf("%d rows, and %d records of encoding/csv", len(rows), len(records))
		}
		for i, r := range rows {
			if len(records) != len(rows) || r.cells == nil || c.columns.rejects {
				continue
			}
			record := slices.Concat(records[i], make([]string, len(r.cells)))[:len(r.cells)]
			if !slices.Equal(record, r.cells) {
				t.Errorf("row %d is %q, and %q of encoding/csv", i, r.cells, records[i])
			}
		}
	})
}
