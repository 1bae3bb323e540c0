package main

import (
	"fmt"
	"net/http"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/courier-profiles/courier-go/cmd/internal/job"
)

// profiles are the profiles of users, as JSON.
type profiles = map[string]string

// importCase is a file as people have it, and what becomes of it.
type importCase struct {
	name  string
	file  string // its name; or else users.csv
	text  string
	flags []string

	exit     int
	says     []string
	profiles profiles

	// hint says that the command that the program prints last is typed next. The
	// profiles are those after it, and this is its exit code.
	hint     bool
	hintExit int
}

func (c importCase) run(t *testing.T) {
	t.Parallel()
	f := newFakeCourier(t)
	folder := t.TempDir()
	file := c.file
	if file == "" {
		file = "users.csv"
	}
	writeFile(t, folder, file, c.text)
	p := f.program(t, folder, append([]string{"-yes", file}, c.flags...)...)
	p.exits(t, c.exit)
	p.says(t, c.says...)
	if c.hint {
		shell := newProgram(t, folder)
		shell.Cmd = exec.Command("sh", "-c", p.hint(t))
		shell.Cmd.Dir, shell.Cmd.Env = folder, p.Cmd.Env
		shell.Cmd.Stdout, shell.Cmd.Stderr = &shell.out, &shell.err
		shell.exits(t, c.hintExit)
	}
	want := c.profiles
	if want == nil {
		want = profiles{}
	}
	if diff := cmp.Diff(want, f.profiles(t)); diff != "" {
		t.Errorf("profiles: -want +got\n%s\n%s", diff, p.output())
	}
}

// TestFilesOfPeople has the files that people really have. What a program cannot
// know, its plan shows; what it cannot trust, it rejects; and every hint works.
func TestFilesOfPeople(t *testing.T) {
	t.Parallel()
	for _, test := range []importCase{
		{
			name: "the ID is the email address", text: "email,active\nann@example.com,true\n",
			flags:    []string{"-id", "email"},
			says:     []string{"the user ID and email"},
			profiles: profiles{"ann@example.com": `{"email":"ann@example.com"}`},
		},
		{
			name: "second and third line of names (Qualtrics)",
			text: "StartDate,ResponseId,RecipientEmail\n" +
				"Start Date,Response ID,Recipient Email\n" +
				`"{""ImportId"":""startDate""}","{""ImportId"":""_recordId""}",` +
				`"{""ImportId"":""recipientEmail""}"` + "\n" +
				"2026-10-01,R_1,ann@example.com\n",
			flags:    []string{"-id", "ResponseId", "-column", "RecipientEmail=email"},
			exit:     job.Rejected,
			says:     []string{"2 the row is a second line of column names: lines 2, 3"},
			profiles: profiles{"R_1": `{"email":"ann@example.com"}`},
		},
		{
			name: "no line of names (Firebase)",
			text: "uid-1,ann@example.com,Ann\nuid-2,bo@example.com,Bo\n",
			exit: job.Failed,
			says: []string{"the first line is data, not column names",
				"replace column_3 by names that Courier knows",
				"Add this line above it: id,email,column_3"},
			hint: true,
			profiles: profiles{
				"uid-1": `{"email":"ann@example.com"}`, "uid-2": `{"email":"bo@example.com"}`,
			},
		},
		{
			name: "no line of names, and an ID of it", flags: []string{"-id", "uid-1"},
			text: "uid-1,ann@example.com\nuid-2,bo@example.com\n",
			exit: job.Failed, hint: true,
			says: []string{"the first line is data", "Add this line above it: id,email"},
			profiles: profiles{
				"uid-1": `{"email":"ann@example.com"}`, "uid-2": `{"email":"bo@example.com"}`,
			},
		},
		{
			name: "no line of names, and a name", flags: []string{"-id", "uid"},
			text: "uid-1,ann@example.com\nuid-2,bo@example.com\n",
			exit: job.Failed, hint: true,
			says: []string{"the first line is data", "Add this line above it: id,email"},
			profiles: profiles{
				"uid-1": `{"email":"ann@example.com"}`, "uid-2": `{"email":"bo@example.com"}`,
			},
		},
		{
			name: "no line of names, and no address", flags: []string{"-id", "u-17"},
			text: "u-17,Ann,+15555550101\nu-18,Bo,+15555550102\n",
			exit: job.Failed, hint: true,
			says: []string{"the first line is data", "Add this line above it: id,column_2,phone_number"},
			profiles: profiles{
				"u-17": `{"phone_number":"+15555550101"}`, "u-18": `{"phone_number":"+15555550102"}`,
			},
		},
		{
			name: "no line of names, below a byte order mark", exit: job.Failed,
			text: byteOrderMark + "uid-1,ann@example.com\nuid-2,bo@example.com\n",
			says: []string{"Add this line above it: id,email"},
		},
		{
			name: "no line of names, nor an ID", text: "Ann;ann@example.com\nBo;bo@example.com\n",
			exit: job.Failed, hint: true,
			says: []string{"Add this line above it: column_1;email with -id email"},
			profiles: profiles{
				"ann@example.com": `{"email":"ann@example.com"}`,
				"bo@example.com":  `{"email":"bo@example.com"}`,
			},
		},
		{
			name: "no line of names, and numbers", text: "17,Ann,5\n18,Bo,6\n",
			exit: job.Failed, hint: true,
			says: []string{"If it does name the columns, say which one holds the user IDs",
				"Add this line above it: id,column_2,column_3"},
			profiles: profiles{"17": "{}", "18": "{}"},
		},
		{
			name: "no line of names, and dates", exit: job.Failed,
			text: "2026-10-01,u-1,ann@example.com\n2026-10-02,u-2,bo@example.com\n",
			says: []string{"Add this line above it: column_1,id,email"},
		},
		{
			name: "lines before the names (LinkedIn)",
			text: "Notes:\n\"When exporting your data, you may notice this.\"\n\n" +
				"First Name,Last Name,Email Address,Company,Connected On\n" +
				"Ann,Lee,ann@example.com,Acme,01 Oct 2026\nBo,Ray,,Other,02 Oct 2026\n",
			exit: job.Failed,
			says: []string{"line 4 looks like the column names: -skip 3",
				"-skip 3 -id 'Email Address' -column 'Email Address=email'"},
			hint: true, hintExit: job.Rejected,
			profiles: profiles{"ann@example.com": `{"email":"ann@example.com",` +
				`"first_name":"Ann","last_name":"Lee"}`},
		},
		{
			name: "a comma that is not in quotes",
			text: "id,company,email,note\n1,Acme, Inc.,ann@example.com,\n",
			exit: job.Rejected,
			says: []string{"the row has 5 cells, but there are 4 columns: line 2"},
		},
		{
			name: "a column that many rows share looks like an ID (Typeform)",
			text: "#,Your email?,Network ID\n" +
				"abc,ann@example.com,net1\ndef,bo@example.com,net1\n",
			exit: job.Failed,
			says: []string{`The values are all different in "#", "Your email?".`},
			hint: true,
			profiles: profiles{
				"abc": `{"email":"ann@example.com"}`, "def": `{"email":"bo@example.com"}`,
			},
		},
		{
			name: "repeated IDs are counted",
			text: "#,Your email?,Network ID\n" +
				"abc,ann@example.com,net1\ndef,bo@example.com,net1\n",
			flags:    []string{"-id", "Network ID"},
			says:     []string{"2 records share the ID net1"},
			profiles: profiles{"net1": "{}"},
		},
		{
			name: "space around values",
			text: "id, email\n1, ann@example.com\n\u00a02 ,bo@example.com\u00a0\n",
			profiles: profiles{
				"1": `{"email":"ann@example.com"}`, "2": `{"email":"bo@example.com"}`,
			},
		},
		{
			name: "JSON in a cell", text: "id,custom\n1,\"{\"\"plan\"\": \"\"pro\"\"}\"\n2,pro\n",
			exit:     job.Rejected,
			says:     []string{"custom, as JSON", "custom is not a JSON object: line 3"},
			profiles: profiles{"1": `{"custom":{"plan":"pro"}}`},
		},
		{
			name: "a text formula", text: "id,email\n=\"007\",a@example.com\n8,=\"b@example.com\"\n",
			exit: job.Rejected,
			says: []string{
				`the user ID is a spreadsheet's text formula: line 2; write 007 in place of ="007"`,
				`email is a spreadsheet's text formula: line 3; write b@example.com in place of`},
		},
		{
			name: "a column is left out", text: "id,Notes,email\n1,x,ann@example.com\n",
			flags:    []string{"-rest", "-column", "Notes="},
			says:     []string{"Notes left out by -column"},
			profiles: profiles{"1": `{"email":"ann@example.com"}`},
		},
		{
			name: "a list in an object (Cognito)", file: "users.json",
			text: `{"Users":[{"Username":"u1","Attributes":[` +
				`{"Name":"email","Value":"ann@example.com"},{"Name":"custom:plan","Value":"pro"}]}]}`,
			exit: job.Failed, says: []string{"-column Attributes.email=email"}, hint: true,
			profiles: profiles{"u1": `{"email":"ann@example.com"}`},
		},
		{
			name: "other lists of objects", file: "users.json",
			text:  `{"id":"u1","name":"Ann","tags":[{"Name":"a"}],"more":[{"Name":"a","Value":1,"x":2}]}`,
			flags: []string{"-rest"},
			profiles: profiles{"u1": `{"name":"Ann","more":[{"Name":"a","Value":1,"x":2}],` +
				`"tags":[{"Name":"a"}]}`},
		},
		{
			name: "a list in which a name repeats", file: "users.json",
			text: `{"id":"u1","name":"Ann","phones":[{"name":"home","value":"1"},` +
				`{"name":"home","value":"2"}]}`,
			profiles: profiles{"u1": `{"name":"Ann"}`},
		},
		{
			name: "a list over many lines (Firebase, Keycloak)", file: "users.json",
			text: "{\"users\":[\n{\"localId\":\"fb1\",\n\"email\":\"ann@example.com\"},\n" +
				"{\"localId\":\"fb2\"}\n]}\n",
			exit: job.Failed, says: []string{"-id localId"}, hint: true,
			profiles: profiles{"fb1": `{"email":"ann@example.com"}`, "fb2": "{}"},
		},
		{
			name: "commas between objects", file: "users.json",
			text:     "{\"id\":\"u1\",\"name\":\"Ann\"},\n{\"id\":\"u2\",\"name\":\"Bo\"},\n",
			profiles: profiles{"u1": `{"name":"Ann"}`, "u2": `{"name":"Bo"}`},
		},
		{
			name: "an ID in an object (mongoexport)", file: "users.json",
			text: `{"_id":{"$oid":"507f"},"email":"ann@example.com"}` + "\n" +
				`{"_id":{"$oid":"508f"},"email":"bo@example.com"}` + "\n",
			exit: job.Failed, says: []string{"-id '_id.$oid'"}, hint: true,
			profiles: profiles{
				"507f": `{"email":"ann@example.com"}`, "508f": `{"email":"bo@example.com"}`,
			},
		},
		{
			name: "an ID in an object in a list (mongoexport --jsonArray)", file: "users.json",
			text: `[{"_id":{"$oid":"507f"},"email":"ann@example.com"},` + "\n" +
				`{"_id":{"$oid":"508f"},"email":"bo@example.com"}]` + "\n",
			exit: job.Failed, says: []string{"-id '_id.$oid'"}, hint: true,
			profiles: profiles{
				"507f": `{"email":"ann@example.com"}`, "508f": `{"email":"bo@example.com"}`,
			},
		},
		{
			name: "a column without a name (pandas, R)", text: ",id,email\n0,u1,ann@example.com\n",
			says:     []string{"(column 1) the column has no name"},
			profiles: profiles{"u1": `{"email":"ann@example.com"}`},
		},
		{
			name: "booleans (PostgreSQL, Airtable)",
			text: "id,email_verified\n1,t\n2,f\n3,on\n4,off\n5,checked\n6,unchecked\n" +
				"7,TRUE\n8,no\n9,0\n10,maybe\n",
			exit: job.Rejected, says: []string{"email_verified is not true or false: line 11"},
			profiles: profiles{
				"1": verified(true), "2": verified(false), "3": verified(true),
				"4": verified(false), "5": verified(true), "6": verified(false),
				"7": verified(true), "8": verified(false), "9": verified(false),
			},
		},
		{
			name: "quoted names without an ID (Pipedrive)",
			text: "\"Person - ID\",\"Person - Name\"\n\"1\",\"Ann\"\n",
			exit: job.Failed,
			says: []string{"no column is called id", "-id 'Person - ID'"}, hint: true,
			profiles: profiles{"1": `{"name":"Ann"}`},
		},
		{
			name:  "credentials (Clerk, Supabase)",
			text:  "id,email,password_digest,totp_secret,plan\n1,ann@example.com,abcd,efgh,pro\n",
			flags: []string{"-rest"},
			says: []string{"password_digest looks like a credential 1 (hidden)",
				"totp_secret looks like a credential 1 (hidden)"},
			profiles: profiles{"1": `{"email":"ann@example.com","plan":"pro"}`},
		},
		{
			name: "guests share an ID (WooCommerce)",
			text: "customer_id,user_id,email\n11,5,a@example.com\n12,0,b@example.com\n" +
				"13,0,c@example.com\n",
			says: []string{"2 records share the ID 0: if they are different people, use " +
				"another -id, such as"},
			hint: true,
			profiles: profiles{
				"5": `{"email":"a@example.com"}`, "0": `{"email":"c@example.com"}`,
				"11": `{"email":"a@example.com"}`, "12": `{"email":"b@example.com"}`,
				"13": `{"email":"c@example.com"}`,
			},
		},
		{
			name: "NULL as a text", text: "id,email\n1,NULL\n",
			says:     []string{"email is NULL in 1 record: use -null NULL"},
			profiles: profiles{"1": `{"email":"NULL"}`},
		},
		{
			name: "NULL with the flag", text: "id,email\n1,NULL\n", flags: []string{"-null=NULL"},
			profiles: profiles{"1": "{}"},
		},
		{
			name: "IDs that were numbers", text: "id,name\n101.0,Ann\n",
			says:     []string{"1 user ID ends in .0"},
			profiles: profiles{"101.0": `{"name":"Ann"}`},
		},
	} {
		t.Run(test.name, test.run)
	}
}

func verified(is bool) string { return fmt.Sprintf(`{"email_verified":%t}`, is) }

// The importer's own sample is Courier's template, whose names are known.
func TestSample(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	writeFile(t, folder, "users.csv", readFile(t, "users.csv"))
	p := newProgram(t, folder, "-fake", "users.csv")
	p.exits(t, job.Done)
	p.says(t, "first_name first_name 5 Ada", "last_name last_name 5 Lovelace",
		"courier.channel courier.channel 3 email", "merged 6")
	if text := p.output(); strings.Contains(text, "not be sent") {
		t.Errorf("there are columns that are not sent:\n%s", text)
	}
}

// One user's record that something refuses for ever is rejected, and the others are
// merged.
func TestForeignResponses(t *testing.T) {
	t.Parallel()
	for name, response := range map[string]func(http.ResponseWriter){
		"403 HTML": foreign(403), "422": foreign(422), "415": foreign(415),
		"400 of Courier": refusal(400), "413 of Courier": refusal(413),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFakeCourier(t)
			f.respond("u2", response)
			folder := t.TempDir()
			writeFile(t, folder, "users.csv", "id,name\nu1,Ann\nu2,Bo\nu3,Cy\n")
			f.program(t, folder, "-yes", "users.csv").exits(t, job.Rejected)
			want := profiles{"u1": `{"name":"Ann"}`, "u3": `{"name":"Cy"}`}
			if diff := cmp.Diff(want, f.profiles(t)); diff != "" {
				t.Errorf("profiles: -want +got\n%s", diff)
			}
			rejected := readFile(t, folder, "users.rejected.csv")
			if !strings.Contains(rejected, "\nu2,Bo,3,,") {
				t.Errorf("the file of rejects has no record of u2:\n%s", rejected)
			}
		})
	}
}

// Later records of a user are held back with a rejected one, so that importing the
// rejects does not restore old data.
func TestRejectsHoldBackLaterRecords(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, text, fixed string }{
		{
			name: "rejected by the check", text: "id,name,email_verified\nu1,OLD,x\nu1,NEW,yes\n",
			fixed: "id,name,email_verified,line,text,reason\n" +
				"u1,OLD,x,2,,\"email_verified is \"\"x\"\": use true or false\"\n" +
				"u1,NEW,yes,3,,\"held back, because line 2 of the same user was rejected\"\n",
		},
		{
			name: "refused by Courier", text: "id,name,email_verified\nu1,OLD,no\nu1,NEW,yes\n",
			fixed: "id,name,email_verified,line,text,reason\n" +
				"u1,OLD,no,2,,400 invalid_request_error: no\n" +
				"u1,NEW,yes,3,,\"held back, because line 2 of the same user was rejected\"\n",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := newFakeCourier(t)
			f.respond("u1", refusal(400))
			folder := t.TempDir()
			writeFile(t, folder, "users.csv", test.text)
			p := f.program(t, folder, "-yes", "users.csv")
			p.exits(t, job.Rejected)
			if diff := cmp.Diff(test.fixed, readFile(t, folder, "users.rejected.csv")); diff != "" {
				t.Errorf("rejects: -want +got\n%s", diff)
			}
			f.respond("u1", nil)
			fixed := strings.Replace(test.fixed, "OLD,x", "OLD,no", 1)
			writeFile(t, folder, "users.rejected.csv", fixed)
			f.program(t, folder, "-yes", "users.rejected.csv").exits(t, job.Done)
			want := profiles{"u1": `{"name":"NEW","email_verified":true}`}
			if diff := cmp.Diff(want, f.profiles(t)); diff != "" {
				t.Errorf("profiles: -want +got\n%s", diff)
			}
		})
	}
}

// The user ID of a JSON object is known, whatever is wrong with the object.
func TestJSONRejectsHoldBackLaterRecords(t *testing.T) {
	importCase{
		file: "users.ndjson",
		text: `{"user_id":"u1","name":"Ann"}` + "\n" +
			"{\"name\":\"OLD\xff\",\"user_id\":\"u2\"}\n" +
			`{"name":"OLD","name":"x","user_id":"u3"}` + "\n" +
			`{"profile":{"name":"OLD","name":"x"},"user_id":"u4"}` + "\n" +
			`{"user_id":"u2","name":"NEW"}` + "\n" +
			`{"user_id":"u3","name":"NEW"}` + "\n" +
			`{"user_id":"u4","name":"NEW"}`,
		exit:     job.Rejected,
		says:     []string{"3 held back, because an earlier record of the user was rejected"},
		profiles: profiles{"u1": `{"name":"Ann"}`},
	}.run(t)
}
