package main

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"os"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"
)

func zipped(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write([]byte(text))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func encoded(t *testing.T, enc encoding.Encoding, text string) string {
	t.Helper()
	text, err := enc.NewEncoder().String(text)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

const (
	plainCSV    = "id,name,email_verified\nu1,Ángel,true\nu2,Bo,false\n"
	plainNDJSON = `{"user_id":"u1","profile":{"name":"Ángel","email_verified":true}}` + "\n" +
		`{"user_id":"u2","profile":{"name":"Bo","email_verified":false}}` + "\n"
)

var plainRows = []result{
	{Line: 2, UserID: "u1", Profile: `{"name":"Ángel","email_verified":true}`},
	{Line: 3, UserID: "u2", Profile: `{"name":"Bo","email_verified":false}`},
}

func TestInputIsRecognized(t *testing.T) {
	t.Parallel()
	utf16 := func(order unicode.Endianness, mark unicode.BOMPolicy) encoding.Encoding {
		return unicode.UTF16(order, mark)
	}
	for _, test := range []struct {
		name, file, text string
		options          inputOptions
	}{
		{name: "UTF-8", text: plainCSV},
		{name: "UTF-8 with a mark", text: byteOrderMark + plainCSV},
		{name: "UTF-16LE with a mark", text: encoded(t, utf16(unicode.LittleEndian, unicode.UseBOM), plainCSV)},
		{name: "UTF-16BE with a mark", text: encoded(t, utf16(unicode.BigEndian, unicode.UseBOM), plainCSV)},
		{name: "UTF-16LE", text: encoded(t, utf16(unicode.LittleEndian, unicode.IgnoreBOM), plainCSV)},
		{name: "UTF-16BE", text: encoded(t, utf16(unicode.BigEndian, unicode.IgnoreBOM), plainCSV)},
		{name: "windows-1252", text: encoded(t, charmap.Windows1252, plainCSV), options: inputOptions{encoding: "windows-1252"}},
		{name: "a mark is stronger than the flag", text: byteOrderMark + plainCSV, options: inputOptions{encoding: "windows-1252"}},
		{name: "named UTF-8", text: plainCSV, options: inputOptions{encoding: "utf-8"}},
		{name: "gzip", file: "users.csv.gz", text: zipped(t, plainCSV)},
		{name: "gzip by another name", text: zipped(t, plainCSV)},
		{name: "gzip of UTF-16", text: zipped(t, encoded(t, utf16(unicode.LittleEndian, unicode.UseBOM), plainCSV))},
		{name: "semicolons", text: strings.ReplaceAll(plainCSV, ",", ";")},
		{name: "tabs", text: strings.ReplaceAll(plainCSV, ",", "\t")},
		{name: "bars", text: strings.ReplaceAll(plainCSV, ",", "|")},
		{name: "bars, with a comma in a name", text: "id|name|email_verified|a,b\nu1|Ángel|true\nu2|Bo|false\n"},
		{name: "tabs in a .tsv", file: "users.tsv", text: strings.ReplaceAll(plainCSV, ",", "\t")},
		{name: "CRLF", text: strings.ReplaceAll(plainCSV, "\n", "\r\n")},
		{name: "CR CR LF", text: strings.ReplaceAll(plainCSV, "\n", "\r\r\n")},
		{name: "a final Ctrl-Z", text: plainCSV + "\x1a"},
		{name: "a final Ctrl-Z in UTF-16", text: encoded(t, utf16(unicode.LittleEndian, unicode.UseBOM), plainCSV+"\x1a")},
		{name: "no end of the last line", text: strings.TrimSuffix(plainCSV, "\n")},
		{name: "CRLF, no end of the last line", text: strings.TrimSuffix(strings.ReplaceAll(plainCSV, "\n", "\r\n"), "\r\n")},
		{name: "blank last lines", text: plainCSV + "\n\n\r\n  \n"},
		{name: "rows of nothing but delimiters", text: plainCSV + ",,\n , ,\n"},
		{name: "quoted names and cells", text: "\"id\",\"name\",\"email_verified\"\n\"u1\",\"Ángel\",\"true\"\n\"u2\",\"Bo\",\"false\""},
		{name: "extra empty columns", text: "id,name,email_verified,,\nu1,Ángel,true,,\nu2,Bo,false,\n"},
		{name: "extra empty cells", text: "id,name,email_verified\nu1,Ángel,true,,,\nu2,Bo,false\n"},
		{name: "an empty column in the middle", text: "id,,name,email_verified\nu1,,Ángel,true\nu2,,Bo,false\n"},
		{name: "columns in another order", text: "email_verified,id,name\ntrue,u1,Ángel\nfalse,u2,Bo\n"},
		{name: "user_id", text: strings.Replace(plainCSV, "id", "user_id", 1)},
		{name: "spaces around names", text: strings.Replace(plainCSV, "id,name,email_verified", " id ,name , email_verified", 1)},
		{name: "names in capitals", text: strings.Replace(plainCSV, "id,name,email_verified", "ID,Name,Email_Verified", 1)},
		{name: "any name of the file", file: "users", text: plainCSV},
		{name: "the name of another format", file: "users.ndjson", text: plainCSV},

		{name: "empty columns of a spreadsheet that knows no end", text: strings.ReplaceAll(plainCSV, "\n", strings.Repeat(",", 300)+"\n")},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.file == "" {
				test.file = "users.csv"
			}
			got, _, err := readText(t, test.file, test.text, test.options)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(plainRows, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func TestNDJSONIsRecognized(t *testing.T) {
	t.Parallel()
	want := []result{
		{Line: 1, UserID: "u1", Profile: `{"name":"Ángel","email_verified":true}`},
		{Line: 2, UserID: "u2", Profile: `{"name":"Bo","email_verified":false}`},
	}
	for _, test := range []struct{ name, file, text string }{
		{"ndjson", "users.ndjson", plainNDJSON},
		{"jsonl", "users.jsonl", plainNDJSON},
		{"gzip", "users.jsonl.gz", zipped(t, plainNDJSON)},
		{"capitals", "USERS.NDJSON", plainNDJSON},
		{"by its text", "users.txt", plainNDJSON},
		{"by its text, as .csv", "users.csv", plainNDJSON},
		{"by its text, as .json", "users.json", plainNDJSON},
		{"by its text, as .csv.gz", "users.csv.gz", zipped(t, plainNDJSON)},
		{"a final Ctrl-Z", "users.ndjson", plainNDJSON + "\x1a"},
		{"CR CR LF", "users.ndjson", strings.ReplaceAll(plainNDJSON, "\n", "\r\r\n")},

		{"by its text, after a mark", "users", byteOrderMark + plainNDJSON},
		{"UTF-16", "users.ndjson", encoded(t, unicode.UTF16(unicode.LittleEndian, unicode.UseBOM), plainNDJSON)},
		{"UTF-16 without a mark", "users.ndjson", encoded(t, unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM), plainNDJSON)},
		{"blank last lines", "users.ndjson", plainNDJSON + "\r\n\n "},
		{"no end of the last line", "users.ndjson", strings.TrimSuffix(plainNDJSON, "\n")},
		{"CRLF", "users.ndjson", strings.ReplaceAll(plainNDJSON, "\n", "\r\n")},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, in, err := readText(t, test.file, test.text, inputOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" || in.format != "ndjson" {
				t.Errorf("format %s, -want +got\n%s", in.format, diff)
			}
		})
	}
}

func TestStandardInput(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{"csv": plainCSV, "ndjson": plainNDJSON} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			_, _ = w.WriteString(text)
			_ = w.Close()
		}()
		in, err := openInput(t.Context(), "-", r, inputOptions{})
		if err != nil {
			t.Fatal(err)
		}
		got, err := readAll(in)
		if err != nil || len(got) != 2 || in.format != name || in.size != 0 {
			t.Errorf("%s: %v, format %s, size %d, error %v", name, got, in.format, in.size, err)
		}
		in.close()
	}
}

func TestInputIsRefused(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, text string
		options    inputOptions
		want       string
	}{
		{name: "an empty file", want: "the file is empty"},
		{name: "blank lines", text: "\n\r\n \n", want: "the file is empty"},
		{name: "no id", text: "name,email\nAda,a@example.com\n", want: `line 1, the column names: no column is named id or user_id: the columns are "name", "email". Say which one holds the user IDs, such as -id email`},
		{name: "no id, below blank lines", text: "\n\nname\nAda\n", want: "line 3"},
		{name: "names in another encoding", text: "id,pr\xe9nom\n", want: "windows-1252"},
		{name: "an unknown encoding", text: plainCSV, options: inputOptions{encoding: "klingon"}, want: `"klingon" is unknown`},
		{name: "gzip cut off in its header", text: "\x1f\x8b\x08", want: "the gzip file is cut off: get it again"},
		{name: "gzip damaged in its header", text: "\x1f\x8b\x07" + zipped(t, plainCSV)[3:], want: "the gzip file is damaged: get it again"},
		{name: "lines that end in CR alone", text: "id,name\ru1,Ada\r", want: "LF or CRLF"},
		{name: "an open quote", text: "id,\"name\nu1,Ada\n", want: "never closed"},
		{name: "a first line without end", text: strings.Repeat("x", maxRow+1), want: "longer than 4 MiB"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, _, err := readText(t, "users.csv", test.text, test.options)
			if err == nil || !strings.HasPrefix(err.Error(), "users.csv: ") || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one about %q", err, test.want)
			}
		})
	}
	if _, err := openInput(t.Context(), t.TempDir(), nil, inputOptions{}); err == nil || !strings.Contains(err.Error(), "is a folder") {
		t.Errorf("a folder: error %v", err)
	}
	if _, err := openInput(t.Context(), "there-is-none.csv", nil, inputOptions{}); err == nil {
		t.Error("a file that is not there: no error")
	}
}

// TestContainersAreRefused has files that are not text, or not lines, under any
// name.
func TestContainersAreRefused(t *testing.T) {
	t.Parallel()
	const (
		workbook = "this is a workbook, not text: save it as CSV (UTF-8) and import that"
		archive  = "this is a zip archive: unzip it and import the file in it"
		array    = "this is a JSON array: convert it to NDJSON and import that: jq -c '.[]' "
	)
	for _, test := range []struct{ name, text, want string }{
		{"xlsx", zipOf(t, "[Content_Types].xml", "xl/workbook.xml"), workbook},
		{"xlsx, in another order", zipOf(t, "xl/worksheets/sheet1.xml", "[Content_Types].xml"), workbook},
		{"ods", zipOf(t, "mimetype=application/vnd.oasis.opendocument.spreadsheet", "content.xml"), workbook},
		{"xls", "\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1" + strings.Repeat("\x00", 512), workbook},
		{"xlsx in gzip", zipped(t, zipOf(t, "[Content_Types].xml")), workbook},
		{"a zip of a CSV file", zipOf(t, "users.csv="+plainCSV), archive},
		{"an empty zip", zipOf(t), archive},
		{"an array", `[{"user_id":"u1","profile":{}},{"user_id":"u2","profile":{}}]`, array},
		{"a pretty-printed array", "[\n  {\n    \"user_id\": \"u1\",\n    \"profile\": {}\n  }\n]\n", array},
		{"an array after blanks and a mark", byteOrderMark + " \n[\n\n{}]", array},
		{"an array in UTF-16", encoded(t, unicode.UTF16(unicode.LittleEndian, unicode.UseBOM), `[{"id":1}]`), array},
		{"an empty array", "[]", array},
		{"an array of texts", `["u1"]`, array},
		{"an array that is cut off", "[", array},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			for _, name := range []string{"users.csv", "users.ndjson", "users.json", "users", "users.xlsx"} {
				want := test.want
				if want == archive && name == "users.xlsx" {
					want = workbook
				}
				_, _, err := readText(t, name, test.text, inputOptions{})
				if err == nil || !strings.HasPrefix(err.Error(), name+": "+want) || strings.Contains(err.Error(), "\n") {
					t.Errorf("%s: error %v, want %q", name, err, want)
				}
			}
		})
	}
	_, _, err := readText(t, "my users.json.gz", zipped(t, "[{}]"), inputOptions{})
	if want := "gzip -dc 'my users.json.gz' | jq -c '.[]' > 'my users.ndjson'"; err == nil || !strings.HasSuffix(err.Error(), want) {
		t.Errorf("error %v, want %q", err, want)
	}
}

// zipOf returns an archive of files, which may have a text: name=text.
func zipOf(t *testing.T, files ...string) string {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, file := range files {
		name, text, _ := strings.Cut(file, "=")
		f, err := w.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Store})
		if err != nil {
			t.Fatal(err)
		}
		_, _ = f.Write([]byte(text))
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestColumnNamesInBrackets has a first character that an array has too.
func TestColumnNamesInBrackets(t *testing.T) {
	t.Parallel()
	got, _, err := readText(t, "users.csv", "[name],id\nAda,u\n", inputOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]result{{2, "u", `{"[name]":"Ada"}`, ""}}, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestFlagsForCSVAreRefusedForNDJSON(t *testing.T) {
	t.Parallel()
	for _, options := range []inputOptions{{columns: mappings(t, "a=email")}, {nulls: []string{"NULL"}}} {
		if _, _, err := readText(t, "users.ndjson", plainNDJSON, options); err == nil || !strings.Contains(err.Error(), "are for CSV") {
			t.Errorf("%+v: error %v", options, err)
		}
	}
}

// TestCutOffInputIsNoRow shows that a read error does not make a row of what came
// before it.
func TestCutOffInputIsNoRow(t *testing.T) {
	t.Parallel()
	text := zipped(t, plainCSV+strings.Repeat("u3,Carl,true\n", 1000))
	got, _, err := readText(t, "users.csv.gz", text[:len(text)-10], inputOptions{})
	if err == nil || err.Error() != "the gzip file is cut off: get it again" {
		t.Fatalf("error %v", err)
	}
	for _, r := range got {
		if r.Reason != "" || r.Profile == "" {
			t.Errorf("row %+v", r)
		}
	}

	s := newScanner(iotest.TimeoutReader(iotest.OneByteReader(strings.NewReader("id\nu"))), maxRow)
	if _, err := newCSVSource(s, csvOptions{}); err != iotest.ErrTimeout {
		t.Errorf("error %v, want the reader's", err)
	}
}
