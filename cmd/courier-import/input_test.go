package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/unicode"

	"github.com/courier-profiles/courier-go/cmd/internal/job"
)

const plainCSV = "id,name\nu1,Ann\n"

// packed returns text as a program that compresses writes it.
func packed(t *testing.T, text string, pack func(io.Writer) (io.WriteCloser, error)) string {
	t.Helper()
	var b bytes.Buffer
	w, err := pack(&b)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func gzipped(t *testing.T, text string) string {
	return packed(t, text, func(w io.Writer) (io.WriteCloser, error) {
		return gzip.NewWriter(w), nil
	})
}

func zipped(t *testing.T, names ...string) string {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, name := range names {
		if _, err := w.Create(name); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func tarred(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	header := tar.Header{Name: "users.csv", Size: int64(len(text)), Mode: 0o600}
	if err := w.WriteHeader(&header); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func encoded(t *testing.T, text string, enc encoding.Encoding) string {
	t.Helper()
	out, err := enc.NewEncoder().String(text)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestCompressedFiles(t *testing.T) {
	t.Parallel()
	zst := packed(t, plainCSV, func(w io.Writer) (io.WriteCloser, error) {
		return zstd.NewWriter(w)
	})
	for _, test := range []importCase{
		{name: "gzip", file: "users.csv.gz", text: gzipped(t, plainCSV),
			profiles: profiles{"u1": `{"name":"Ann"}`}},
		{name: "zstd", file: "users.csv.zst", text: zst,
			profiles: profiles{"u1": `{"name":"Ann"}`}},
		{name: "gzip under another name", text: gzipped(t, plainCSV),
			profiles: profiles{"u1": `{"name":"Ann"}`}},
		{name: "gzip without names", text: gzipped(t, "u1,a@example.com\nu2,b@example.com\n"),
			exit: job.Failed, hint: true, profiles: profiles{
				"u1": `{"email":"a@example.com"}`, "u2": `{"email":"b@example.com"}`}},
		{name: "gzip, cut off", text: gzipped(t, plainCSV)[:30],
			exit: job.Failed, says: []string{"the gzip file is cut off: get it again"}},
		{name: "zstd, cut off", text: zst[:len(zst)-5],
			exit: job.Failed, says: []string{"the zstd file is cut off: get it again"}},
	} {
		t.Run(test.name, test.run)
	}
}

// What is not text is refused by its real kind, whatever its name, with a command that
// overwrites nothing.
func TestBinaryFiles(t *testing.T) {
	t.Parallel()
	zeros := strings.Repeat("\x00", 600)
	for _, test := range []importCase{
		{name: "xz", file: "users.csv.xz", text: "\xFD7zXZ\x00" + zeros,
			says: []string{"this is an xz file", "xz -dk users.csv.xz && ", " -yes users.csv"}},
		{name: "xz under another name", file: "users.csv", text: "\xFD7zXZ\x00" + zeros,
			says: []string{"xz -dc users.csv | ", " -yes -"}},
		{name: "bzip2", file: "users.csv.bz2", text: "BZh91AY&SY\x80\x01" + zeros,
			says: []string{"this is a bzip2 file", "bzip2 -dk users.csv.bz2 && "}},
		{name: "tar", file: "users.tar", text: tarred(t, plainCSV),
			says: []string{"this is a tar archive", "import the file in it: tar -xkf users.tar"}},
		{name: "tar in gzip", file: "users.tgz", text: gzipped(t, tarred(t, plainCSV)),
			says: []string{"this is a tar archive in a gzip file", "tar -xkf users.tgz"}},
		{name: "zip", file: "users.csv", text: zipped(t, "users.csv"),
			says: []string{"this is a zip archive", "unzip -n users.csv"}},
		{name: "Excel", file: "users.csv",
			text: zipped(t, "[Content_Types].xml", "_rels/.rels", "xl/workbook.xml"),
			says: []string{"this is an Excel workbook", "mkdir users-csv && " +
				"soffice --convert-to csv --outdir users-csv users.csv && ",
				" -yes users-csv/users.csv"}},
		{name: "Parquet", file: "users.parquet", text: "PAR1" + zeros + "PAR1",
			says: []string{"this is a Parquet file", "read_parquet('users.parquet')\" | "}},
		{name: "Parquet under a name with quotes", file: "Ann's $1.parquet",
			text: "PAR1" + zeros + "PAR1",
			says: []string{`duckdb -csv -c "FROM read_parquet('Ann''s \$1.parquet')" | `}},
		{name: "SQLite", file: "users.db", text: "SQLite format 3\x00" + zeros,
			says: []string{"this is an SQLite database", "sqlite3 -header -csv users.db", " -yes -"}},
		{name: "anything else", text: "\x01\x02" + zeros,
			says: []string{"this is not text"}},
	} {
		test.exit = job.Failed
		t.Run(test.name, test.run)
	}
}

// A magic number can be a word: BM begins a bitmap, and also BMI.
func TestTextThatBeginsAsABinaryFile(t *testing.T) {
	importCase{
		text: "BMI,id,name\n20,u1,Ann\n", profiles: profiles{"u1": `{"name":"Ann"}`},
	}.run(t)
}

func TestEncodings(t *testing.T) {
	t.Parallel()
	const text, japan = "id,name\nu1,Ángel ñ\n", "id,name\nu1,日本\n"
	angel, nihon := profiles{"u1": `{"name":"Ángel ñ"}`}, profiles{"u1": `{"name":"日本"}`}
	utf16LE := unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM)
	for _, test := range []importCase{
		{name: "UTF-8 with a mark", text: byteOrderMark + text, profiles: angel},
		{name: "UTF-16 with a mark", text: "\xFF\xFE" + encoded(t, text, utf16LE),
			profiles: angel},
		{name: "UTF-16 without a mark", text: encoded(t, text, utf16LE), profiles: angel},
		{name: "windows-1252", text: encoded(t, text, charmap.Windows1252), profiles: angel,
			flags: []string{"-encoding", "windows-1252"}},
		{name: "1252", text: encoded(t, text, charmap.Windows1252), profiles: angel,
			flags: []string{"-encoding", "1252"}},
		{name: "ANSI", text: encoded(t, text, charmap.Windows1252), profiles: angel,
			flags: []string{"-encoding", "ANSI"}},
		{name: "cp850", text: encoded(t, text, charmap.CodePage850), profiles: angel,
			flags: []string{"-encoding", "cp850"}},
		{name: "cp932", text: encoded(t, japan, japanese.ShiftJIS), profiles: nihon,
			flags: []string{"-encoding", "cp932"}},
		{name: "shift_jis", text: encoded(t, japan, japanese.ShiftJIS), profiles: nihon,
			flags: []string{"-encoding", "shift_jis"}},
		{name: "an unknown one", text: text, flags: []string{"-encoding", "cp9999"},
			exit: job.Failed, says: []string{`-encoding "cp9999" is unknown`}},
		{name: "not UTF-8", text: encoded(t, text, charmap.Windows1252), exit: job.Rejected,
			says: []string{"the record is not UTF-8", "Import the whole file again"},
			hint: true, profiles: angel},
	} {
		t.Run(test.name, test.run)
	}
}

// Standard input is copied, because it is read twice, and nothing is left of it.
func TestStandardInput(t *testing.T) {
	t.Parallel()
	f := newFakeCourier(t)
	folder := t.TempDir()
	p := f.program(t, folder, "-yes", "-")
	temp := t.TempDir()
	p.Env = append(p.Env, "TMPDIR="+temp)
	p.Stdin = strings.NewReader("id,email_verified\nu1,yes\nu2,x\n")
	p.exits(t, job.Rejected)
	if diff := cmp.Diff(profiles{"u1": verified(true)}, f.profiles(t)); diff != "" {
		t.Errorf("profiles: -want +got\n%s", diff)
	}
	if diff := cmp.Diff([]string{"stdin.rejected.csv"}, files(t, folder)); diff != "" {
		t.Errorf("files: -want +got\n%s", diff)
	}
	if left := files(t, temp); len(left) > 0 {
		t.Errorf("%v are left", left)
	}
}

// A file that changes between the readings is refused before anything of the change
// is sent.
func TestChangedInput(t *testing.T) {
	t.Parallel()
	const size = 3*chunkSize + 100
	text := strings.Repeat("x", size)
	for _, test := range []struct {
		name   string
		change func(file *os.File) error
		want   int // bytes that are read
	}{
		{"not changed", func(*os.File) error { return nil }, size},
		{"in the second chunk", func(file *os.File) error {
			_, err := file.WriteAt([]byte("y"), chunkSize+1)
			return err
		}, chunkSize},
		{"shorter", func(file *os.File) error { return file.Truncate(2 * chunkSize) },
			2 * chunkSize},
		{"longer", func(file *os.File) error {
			_, err := file.WriteAt([]byte("y"), size)
			return err
		}, 3 * chunkSize},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			folder := t.TempDir()
			writeFile(t, folder, "users.csv", text)
			path := filepath.Join(folder, "users.csv")
			in, err := openInput(t.Context(), path, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer in.close()
			if _, err := io.Copy(io.Discard, in.open()); err != nil {
				t.Fatal(err)
			}
			file, err := os.OpenFile(path, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			if err := test.change(file); err != nil {
				t.Fatal(err)
			}
			n, err := io.Copy(io.Discard, in.open())
			isChanged := test.want < size
			if isChanged && err != errChanged || !isChanged && err != nil {
				t.Errorf("error %v", err)
			}
			if n != int64(test.want) {
				t.Errorf("%d bytes are read, want %d", n, test.want)
			}
		})
	}
}

func TestForms(t *testing.T) {
	t.Parallel()
	both := profiles{"u1": `{"name":"Ann"}`, "u2": `{"name":"Bo"}`}
	for _, test := range []importCase{
		{name: "semicolons", text: "id;name\nu1;Ann\nu2;Bo\n", profiles: both},
		{name: "tabs", text: "id\tname\nu1\tAnn\nu2\tBo\n", profiles: both},
		{name: "as the first line says", text: "sep=/\nid/name\nu1/Ann\nu2/Bo\n", profiles: both},
		{name: "lines that end in CR CR LF", text: "id,name\r\r\nu1,Ann\r\r\nu2,Bo\r\r\n",
			profiles: both},
		{name: "lines to skip", text: "Export of\n\nid,name\nu1,Ann\nu2,Bo\n",
			flags: []string{"-skip", "2"}, profiles: both},
		{name: "empty cells that a spreadsheet added", text: "id,name,,\nu1,Ann,,\nu2,Bo,,\n",
			profiles: both},
		{name: "empty cells beyond the names in every row", text: "id,name\nu1,Ann,\nu2,Bo,\n",
			profiles: both},
		{name: "empty cells beyond the names in some rows", text: "id,name\nu1,Ann,\nu2,Bo\n",
			exit: job.Rejected, profiles: profiles{"u2": `{"name":"Bo"}`},
			says: []string{"the row has 3 cells, but there are 2 columns: line 2"}},
		{name: "a name is missing", text: "id,name\n1,u1,Ann\n2,u2,Bo\n", exit: job.Failed,
			says: []string{"every row has 3 cells, but line 1 names 2 columns",
				"column_1,id,name"}},
		{name: "white space before quotes", text: "name, id\n\"Ann\", \"u1\"\n\"Bo\",\t\"u2\"\n",
			profiles: both},
		{name: "only an ID", text: "id,name,email\nu1,Ann,\nu2,Bo\nu3\n", profiles: both,
			exit: job.Rejected, says: []string{"the row has 1 cells, but there are 3 columns"}},
		{name: "a line of dashes", text: "id,name\n--,----\nu1,Ann\nu2,Bo\n", profiles: both,
			exit: job.Rejected, says: []string{"the row is a line of dashes: line 2"}},
		{name: "a quote that is not closed costs its line", profiles: both,
			text: "id,name\nu1,Ann\nu3,\"Cy\nu2,Bo\n", exit: job.Rejected,
			says: []string{"is opened and never closed: line 3"}},

		{name: "JSON objects in lines",
			text: `{"id":"u1","name":"Ann"}` + "\n" + `{"id":"u2","name":"Bo"}`, profiles: both},
		{name: "JSON objects over several lines",
			text:     "{\"id\":\"u1\",\n\"name\":\"Ann\"}\n{\"id\":\"u2\",\n\"name\":\"Bo\"}",
			profiles: both},
		{name: "JSON objects over several lines with commas",
			text:     "{\"id\":\"u1\",\n\"name\":\"Ann\"},\n{\"id\":\"u2\",\n\"name\":\"Bo\"},\n",
			profiles: both},
		{name: "a JSON list", text: `[{"id":"u1","name":"Ann"},{"id":"u2","name":"Bo"}]`,
			profiles: both},
		{name: "a list in a JSON object",
			text: `{"page":1,"tags":["x"],"data":{"users":[{"id":"u1","name":"Ann"},` +
				`{"id":"u2","name":"Bo"}]}}`, profiles: both},
		{name: "several lists in a JSON object", exit: job.Failed,
			text: `{"groups":[{"id":"g"}],"users":[{"id":"u1","name":"Ann"}]}`,
			says: []string{"several lists of objects", "-list groups"}},
		{name: "the list that -list names", flags: []string{"-list", "users"},
			text: `{"groups":[{"id":"g"}],"users":[{"id":"u1","name":"Ann"},` +
				`{"id":"u2","name":"Bo"}]}`, profiles: both},
		{name: "no list that -list names", flags: []string{"-list", "people"},
			text: `{"users":[{"id":"u1"}]}`, exit: job.Failed,
			says: []string{"-list people: there is no such list of objects"}},
		{name: "a single JSON object with a list",
			text:     `{"id":"u1","name":"Ann","orders":[{"n":1}]}`,
			profiles: profiles{"u1": `{"name":"Ann"}`}},
		{name: "made for Courier",
			text: `{"user_id":"u1","profile":{"name":"Ann","own":1.10,"locale":null}}` + "\n" +
				`{"user_id":2,"profile":{"name":"Bo"}}`,
			says:     []string{"profile.own own 1 1.10", "profile.locale locale 1 null"},
			profiles: profiles{"u1": `{"name":"Ann","own":1.10}`, "2": `{"name":"Bo"}`}},
		{name: "made for Courier, with empty values", flags: []string{"-null=NA", "-empty=null"},
			text:     `{"user_id":"u1","profile":{"name":"NA","nickname":""}}`,
			says:     []string{"profile.name name 1 NA", `profile.nickname nickname 1 ""`},
			profiles: profiles{"u1": `{"name":"NA","nickname":""}`}},
		{name: "made for Courier, with NULL as a text",
			text:     `{"user_id":"u1","profile":{"name":"NULL"}}`,
			says:     []string{"profile.name is NULL in 1 record: the profile is sent as it is"},
			profiles: profiles{"u1": `{"name":"NULL"}`}},
		{name: "made for Courier, with a user ID that is a member too",
			text: `{"email":"ann@example.com","profile":{"name":"Ann"}}` + "\n" +
				`{"profile":{"email":"bo@example.com"},"email":"bo@example.com"}` + "\n" +
				`{"email":"cy@example.com","profile":{"email":"Cy@example.com"}}`,
			flags: []string{"-id=email"}, exit: job.Rejected,
			says: []string{"the user ID and email", "1 email conflicts with another column, which " +
				"has another value or an object there: leave one out, such as -column email=: line 3"},
			profiles: profiles{
				"ann@example.com": `{"name":"Ann","email":"ann@example.com"}`,
				"bo@example.com":  `{"email":"bo@example.com"}`}},
		{name: "made for Courier, with another user ID", exit: job.Rejected,
			text: `{"id":"u1","name":"Ann"}` + "\n" + `{"userId":"u2","profile":{"name":"Bo"}}`,
			says: []string{"userId 1 u2", "1 the record has no user ID: line 2"},
			hint: true, hintExit: job.Rejected, profiles: profiles{"u1": `{"name":"Ann"}`}},
		{name: "made for Courier, without a user ID", exit: job.Rejected, flags: []string{"-null=NA"},
			text: `{"user_id":"u1","profile":{"name":"Ann"}}` + "\n" +
				`{"user_id":null,"profile":{"name":"Cy"}}` + "\n" +
				`{"user_id":"NA","profile":{"name":"Cy"}}` + "\n" +
				`{"user_id":true,"profile":{"name":"Cy"}}`,
			says: []string{"2 the record has no user ID: lines 2, 3",
				"1 the user ID is not a string or an integer: line 4"},
			profiles: profiles{"u1": `{"name":"Ann"}`}},
		{name: "made for Courier, with a name twice", exit: job.Rejected,
			text: `{"user_id":"u1","profile":{"name":"Ann"}}` + "\n" +
				`{"user_id":"u2","profile":{"custom":{"plan":"a","plan":"b"}}}`,
			says:     []string{"1 a name appears twice in the profile: line 2"},
			profiles: profiles{"u1": `{"name":"Ann"}`}},
		{name: "a broken JSON line costs that line", exit: job.Rejected,
			text: `{"id":"u1","name":"Ann"}` + "\n" + `{"id":"u3","name":` + "\n" +
				`{"id":"u2","name":"Bo"}`, profiles: both},
		{name: "a broken JSON list is refused", exit: job.Failed,
			text: "[{\"id\":\"u1\",\"name\":\"Ann\"},\n{\"id\":\"u2\",}]",
			says: []string{"line 2: this is not JSON"}},
		{name: "values of JSON keep their type",
			text: `{"id":7,"custom":{"n":9007199254740993,"list":[1,"a"],"no":null},` +
				`"email_verified":"yes","address":{"country":"UK"}}`,
			profiles: profiles{"7": `{"email_verified":true,"address":{"country":"UK"},` +
				`"custom":{"list":[1,"a"],"n":9007199254740993}}`}},
		{name: "half of a surrogate pair is kept", text: `{"id":"u1","name":"Ann \ud83d"}`,
			profiles: profiles{"u1": `{"name":"Ann \ud83d"}`}},
		{name: "an empty JSON object", text: `{"id":"u1","custom":{},"plan":"pro"}`,
			flags:    []string{"-column=plan=custom.plan"},
			profiles: profiles{"u1": `{"custom":{"plan":"pro"}}`}},
		{name: "all lines are skipped", text: "id,name\n", flags: []string{"-skip=1"},
			exit: job.Failed, says: []string{"the file has no line after -skip 1"}},
		{name: "an empty file", text: "", exit: job.Failed, says: []string{"the file is empty"}},
		{name: "no records", text: "id,name\n", exit: job.Failed,
			says: []string{"there are no records"}},
	} {
		t.Run(test.name, test.run)
	}
}

// A list that is longer than what is read ahead is found as well.
func TestLongJSONObject(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString(`{"kind":"users","tags":["x"],"users":[` + "\n")
	const users = 6000
	for i := range users {
		fmt.Fprintf(&b, `{"id":"u%d","name":%q},`+"\n", i, strings.Repeat("x", 800))
	}
	b.WriteString(`{"name":"no ID"}]}`)
	folder := t.TempDir()
	writeFile(t, folder, "users.json", b.String())
	p := newProgram(t, folder, "-dry-run", "users.json")
	p.exits(t, job.Rejected)
	p.says(t, "6,001 records", "the record has no user ID: line 6002")
}
