package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/courier-profiles/courier-go/cmd/internal/job"
)

// Only what the plan names is sent.
func TestPlan(t *testing.T) {
	t.Parallel()
	for _, test := range []importCase{
		{
			name: "names in any spelling",
			text: "User ID,E-Mail,phoneNumber,Address.Country,Custom.Plan\n" +
				"u1,a@example.com,+15555550101,UK,pro\n",
			profiles: profiles{"u1": `{"email":"a@example.com","phone_number":"+15555550101",` +
				`"address":{"country":"UK"},"custom":{"Plan":"pro"}}`},
		},
		{
			name: "a leading underscore is another name", text: "id,_email\nu1,a@example.com\n",
			says: []string{"Will not be sent: _email"}, profiles: profiles{"u1": "{}"},
		},
		{
			name: "a name that looks like a known one", text: "id,emal\nu1,a@example.com\n",
			says: []string{"-column emal=email"}, profiles: profiles{"u1": "{}"},
		},
		{
			name:     "a list under a name that looks like a known one",
			text:     `{"id":"u1","emails":["a@example.com"]}`,
			says:     []string{"emails 1 […] To send one of them"},
			profiles: profiles{"u1": "{}"},
		},
		{
			name:     "a name that looks like a known one that is taken",
			text:     "id,phone_number,phone_id\nu1,+15555550101,12345678\n",
			says:     []string{"phone_id 1 12345678 To send one of them"},
			profiles: profiles{"u1": `{"phone_number":"+15555550101"}`},
		},
		{
			name: "names that a terminal would act on",
			text: "id,\x1b[31mTier,\"Two\nlines\"\nu1,pro,x\n",
			says: []string{"[31mTier 1 pro Two lines 1 x"}, profiles: profiles{"u1": "{}"},
		},
		{
			name: "the user ID is a credential", text: "api_key\nsk-1\nsk-1\n",
			flags: []string{"-id", "api_key"},
			says:  []string{"2 records share the ID (hidden)"}, profiles: profiles{"sk-1": "{}"},
		},
		{
			name: "-column maps", text: "id,E-mail 1,Tier\nu1,a@example.com,pro\n",
			flags:    []string{"-column", "E-mail 1=email", "-column=tier=custom.plan"},
			profiles: profiles{"u1": `{"email":"a@example.com","custom":{"plan":"pro"}}`},
		},
		{
			name:     "-column maps names of JSON objects",
			text:     `{"id":"u1","properties":{"email":"a@example.com","n":1}}`,
			flags:    []string{"-column", "properties.email=email"},
			says:     []string{"Will not be sent: properties.n"},
			profiles: profiles{"u1": `{"email":"a@example.com"}`},
		},
		{
			name: "-rest", text: "id,own,a.b,api_tokens\nu1,x,y,z\n", flags: []string{"-rest"},
			says:     []string{"api_tokens looks like a credential"},
			profiles: profiles{"u1": `{"a":{"b":"y"},"own":"x"}`},
		},
		{
			name: "-rest=custom", text: "id,own,a.b,salt\nu1,x,y,z\n",
			flags:    []string{"-rest=custom"},
			profiles: profiles{"u1": `{"custom":{"a":{"b":"y"},"own":"x"}}`},
		},
		{
			name:     "credentials that are asked for",
			text:     "id,apn.token,my_token\nu1,aaa,bbb\n",
			flags:    []string{"-column", "my_token=custom.token"},
			says:     []string{"apn.token apn.token 1 (hidden)"},
			profiles: profiles{"u1": `{"custom":{"token":"bbb"},"apn":{"token":"aaa"}}`},
		},
		{
			name:     "the exact name comes before another spelling",
			text:     "id,E-mail,email\nu1,b@example.com,a@example.com\n",
			says:     []string{"E-mail 1 b@example.com", `email is the column "email"`},
			profiles: profiles{"u1": `{"email":"a@example.com"}`},
		},
		{
			name: "and so it does where it appears later",
			text: `{"id":"u1","emailVerified":"no date"}` + "\n" +
				strings.Repeat(`{"id":"u2"}`+"\n", sampleSize) +
				`{"id":"u1","email_verified":true}`,
			says:     []string{"1,002 records of 2 different users"},
			profiles: profiles{"u1": verified(true), "u2": "{}"},
		},
		{
			name: "an object has no cell", text: "id,Address,pusherBeams.interests\nu1,x,y\n",
			says:     []string{"-column Address=address.", "a list, for which the file has to be JSON"},
			profiles: profiles{"u1": "{}"},
		},
		{
			name:     "an object that is asked for is read as JSON",
			text:     "id,Address\nu1,\"{\"\"country\"\":\"\"UK\"\"}\"\n",
			flags:    []string{"-column", "Address=address"},
			profiles: profiles{"u1": `{"address":{"country":"UK"}}`},
		},
		{
			name: "what is empty in JSON in a cell",
			text: "id,custom\n" +
				`u1,"{""plan"":""pro"",""size"":7,""a"":{""b"":1,""c"":1}}"` + "\n" +
				`u1,"{""plan"":null,""size"":"""",""a"":{""b"":null,""c"":2}}"` + "\n",
			profiles: profiles{"u1": `{"custom":{"a":{"b":1,"c":2},"plan":"pro","size":7}}`},
		},
		{
			name: "JSON in a cell that is wrong", exit: job.Rejected,
			text:  "id,custom,own\n" + `u1,"{""a"":{""b"":1,""b"":2}}",` + "\nu2,,null\n",
			flags: []string{"-column=own=pusherBeams.interests"},
			says: []string{"1 custom has a member twice: line 2",
				"1 own is not a JSON list: line 3"},
		},
		{
			name: "a member of what has a value", text: "id,profile.email,own,own.x\nu1,a,b,c\n",
			flags: []string{"-rest"}, exit: job.Rejected,
			says: []string{"own.x conflicts with another column", "line 2"},
		},
		{
			name:     "-empty=null removes",
			text:     "id,name,locale,own\nu1,Ann,en,x\nu1,,NULL,\n",
			flags:    []string{"-empty=null", "-null=NULL", "-rest"},
			says:     []string{"Empty values remove members of their profiles (-empty=null)."},
			profiles: profiles{"u1": "{}"},
		},
		{
			name: "-empty=null removes no object that has a member",
			text: "id,custom,custom.plan\nu1,,pro\n", flags: []string{"-empty=null"},
			exit: job.Rejected, says: []string{"custom.plan conflicts with another column"},
		},
		{
			name: "-empty=null removes an object together with its members",
			text: "id,custom,custom.plan\nu1,\"{\"\"a\"\":1}\",pro\nu1,,\n" +
				"u2,\"{\"\"a\"\":1}\",pro\n",
			flags:    []string{"-empty=null"},
			profiles: profiles{"u1": `{}`, "u2": `{"custom":{"a":1,"plan":"pro"}}`},
		},
		{
			name:     "-empty=null removes an object after its members",
			text:     "id,custom.plan,custom\nu1,pro,\"{\"\"a\"\":1}\"\nu1,,\n",
			flags:    []string{"-empty=null"},
			profiles: profiles{"u1": `{}`},
		},
		{
			name: "-empty=null lists what it does not remove",
			text: `{"id":"u1","name":"Ann","address":null}`, flags: []string{"-empty=null"},
			says:     []string{"Will not be sent: address 0 an object: -column address=address."},
			profiles: profiles{"u1": `{"name":"Ann"}`},
		},
		{
			name: "-null applies to JSON values of any type",
			text: `{"id":"u1","custom":{"age":-1,"vip":false}}`, flags: []string{"-null=-1"},
			says:     []string{"custom.vip custom.vip 1 false", "No values: custom.age."},
			profiles: profiles{"u1": `{"custom":{"vip":false}}`},
		},
		{
			name:     "a JSON name with a dot",
			text:     `{"id":"u1","custom.plan":"pro","address.country":"UK","a.b":1}`,
			flags:    []string{"-rest"},
			profiles: profiles{"u1": `{"address":{"country":"UK"},"custom":{"plan":"pro"},"a.b":1}`},
		},
		{
			name: "suspicious values",
			text: "id,phone_number,birthdate,email\n" +
				"u1,+15555550101,1815-12-10,ada@example.com\n" +
				"u2,15555550101,12/10/1815,Ada <ada@example.com>\n" +
				"u3,+15555550101.0,1815,ada@a@example.com\n" +
				"u4,1.55556E+10,0000-12-10,example.com\n",
			flags: []string{"-dry-run"},
			says: []string{
				"3 phone numbers without a +, or with .0 or an exponent, the first in line 3",
				"1 birthdate that is not YYYY-MM-DD, the first in line 3",
				"3 email addresses without exactly one @, with < or >, or in a list, the first in line 3"},
		},
		{
			name: "a list of addresses", text: `{"id":"u1","email":["a@example.com"]}`,
			says:     []string{"1 email address without exactly one @, with < or >, or in a list"},
			profiles: profiles{"u1": `{"email":["a@example.com"]}`},
		},
	} {
		t.Run(test.name, test.run)
	}
}

// IDs that would write to the wrong user, or to a user that nobody meant.
func TestCheckID(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		id   string
		good bool
	}{
		{"user-1", true}, {"a/b#c?d%", true}, {"ann@example.com", true}, {"007", true},
		{"1e5", true}, {"Ángel", true}, {"2E7", true},
		{"", false}, {".", false}, {"..", false}, {" u", false}, {"u\u00a0", false},
		{"1.23457E+12", false}, {"1,23457E+12", false}, {"1E+12", false},
		{`="007"`, false}, {"u\u200b1", false}, {"u\ufffd", false}, {"u\t1", false},
	} {
		if problem := checkID(test.id); (problem == nil) != test.good {
			t.Errorf("%q: problem %v, want one: %t", test.id, problem, !test.good)
		}
	}
}

// The catalog is made from the fields of Profile, so a field of another make would
// be missing.
func TestKnownNames(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]kind{
		"email": kindText, "email_verified": kindBool, "custom": kindObject,
		"address": kindObject, "address.country": kindText, "apn.token": kindText,
		"slack.incoming_webhook.url": kindText, "first_name": kindText,
		"courier.channel": kindText, "pusherBeams.interests": kindList,
	} {
		m, ok := known().byPath[path]
		if !ok {
			t.Errorf("%s is unknown", path)
		}
		if m.kind != want {
			t.Errorf("%s is of kind %d, want %d", path, m.kind, want)
		}
	}
}

// The plan in the README is the one that the program prints.
func TestReadme(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	const users = "Customer ID,Full Name,Email,Phone Number,Newsletter,password_hash\n" +
		"101,Ada Lovelace,ada@example.com,+15555550101,yes,x\n" +
		"102,Charles Babbage,charles@example.com,15555550102,no,x\n" +
		"101,Ada King,ada.king@example.com,,yes,x\n" +
		"103,Mary Somerville,NULL,+15555550103,yes,x\n" +
		"104,\"William\",william@example.com,,no,x,x\n"
	writeFile(t, folder, "contacts.csv", users)
	p := newProgram(t, folder, "-fake", "contacts.csv", "-id", "Customer ID")
	p.Args[0] = "courier-import" // as the commands in the plan call it
	p.exits(t, job.Rejected)
	readme := readFile(t, "README.md")
	_, after, _ := strings.Cut(readme, "```text\n")
	block, _, _ := strings.Cut(after, "```")
	if diff := cmp.Diff(block, p.out.String()); diff != "" {
		t.Errorf("README.md: -README +program\n%s", diff)
	}
	for line := range strings.Lines(p.out.String()) {
		if n := len([]rune(line)) - 1; n > 80 {
			t.Errorf("a line has %d columns: %s", n, line)
		}
	}
}
