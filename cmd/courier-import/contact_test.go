package main

import (
	"strings"
	"testing"

	"github.com/courier-profiles/courier-go/cmd/internal/job"
)

// A contact is recognized by its values or by its name.
func TestLooks(t *testing.T) {
	t.Parallel()
	const ten = "a@example.com b@example.com c@example.com d@example.com e@example.com " +
		"f@example.com g@example.com h@example.com i@example.com "
	for _, test := range []struct {
		name, values string // separated by spaces, with _ for a space in a value
		want         string
	}{
		{"Your email?", "ann@example.com", "email"},
		{"Contact", ten + "unknown", "email"},
		{"Contact", ten + "unknown unknown", ""},
		{"Email Address", "ann@example.com unknown", "email"},
		{"Email Address", "ann@example.com unknown none", ""},
		{"Email opt-in", "yes no", ""},
		{"Blog", "https://blog.example.com/@ann.lee mailto:ann@example.com", ""},
		{"Repository", "git@git.example.com:ann/notes", ""},
		{"Package", "left@1.2.0 right@3.0", ""},
		{"Contact", "+49_30_1234567 +1_(555)_555-0101 +1.555.555.0102", "phone_number"},
		{"Contact", "030_1234567", ""},
		{"Telefonnummer", "030_1234567 030/1234567", "phone_number"},
		{"mobilePhone", "15555550101", "phone_number"},
		{"Tel.", "030_1234567 none_yet", "phone_number"},
		{"Hotel", "030_1234567", ""},
		{"Phone type", "home work", ""},
		{"Offset", "+1 +2", ""},
		{"Balance", "+12345.67 +20000.00", ""},
		{"Phone checked", "2026-10-01 01.10.2026", ""},
		{"phone_id", "12345678", ""},
		{"Automobile", "12345678", ""},
		{"displayName", "Ann", "name"},
		{"display_name", "Ann", "name"},
		{"Full Name", "Ann", "name"},
		{"fullname", "Ann", "name"},
		{"Person - Name", "Ann", "name"},
		{"properties.name", "Ann", "name"},
		{"User name", "ann", ""},
		{"Company name", "Acme", ""},
		{"displayName", "", ""},
	} {
		var l looks
		for _, value := range strings.Fields(test.values) {
			l.add(strings.ReplaceAll(value, "_", " "))
		}
		if got := l.member(test.name); got != test.want {
			t.Errorf("%s with %q looks like %q, want %q", test.name, test.values, got, test.want)
		}
	}
}

// The plan prints a command that sends the contacts too, and only those that no other
// column fills.
func TestContacts(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, text string
		flags      []string
		want       string // flags of the command; or none
	}{
		{
			name: "email and phone number",
			text: "id,Telefon,Your email?\nu1,+15555550101,ann@example.com\n",
			want: "-column 'Your email?=email' -column Telefon=phone_number",
		},
		{
			name:  "with what was typed",
			text:  "#,displayName,Your email?\nu1,Ann,ann@example.com\n",
			flags: []string{"-id", "#", "-column", "displayName=name"},
			want:  "-column 'Your email?=email' -id '#' -column displayName=name",
		},
		{
			name:  "the user ID",
			text:  "Email Address,first_name\nann@example.com,Ann\n",
			flags: []string{"-id=Email Address"},
			want:  "-column 'Email Address=email' '-id=Email Address'",
		},
		{
			name: "with values that mean nothing",
			text: "id,Telefon,plan\nu1,+15555550101,None\nu2,NULL,pro\n",
			want: "-column Telefon=phone_number -null NULL",
		},
		{
			name: "JSON without a value",
			text: `{"id":"u1","Telefon":"+15555550101"}` + "\n" + `{"id":"u2","Telefon":null}`,
			want: "-column Telefon=phone_number",
		},
		{
			name: "in another encoding",
			text: "id,Kontakt\nu1,J\xf6rg@example.com\nu2,ann@example.com\n",
			want: "-column Kontakt=email -encoding windows-1252",
		},
		{
			name: "one column for each",
			text: "id,Contact,Your email?,Other\n" +
				"u1,ann@example.com,ann@example.com,a@example.com\n",
			want: "-column 'Your email?=email'",
		},
		{
			name: "the column with the most values",
			text: "id,A,B\nu1,,ann@example.com\nu2,bo@example.com,bo@example.com\n",
			want: "-column B=email",
		},
		{
			name: "one that another column fills",
			text: "id,email,Your email?\nu1,,ann@example.com\nu2,bo@example.com,\n",
		},
		{
			name: "one that another column could fill",
			text: "id,email,Your email?\nu1,,ann@example.com\n",
			want: "-column 'Your email?=email'",
		},
		{
			name:  "one that is left out",
			text:  "id,Your email?\nu1,ann@example.com\n",
			flags: []string{"-column", "Your email?="},
		},
		{name: "a credential", text: "id,email_token\nu1,ann@example.com\n"},
		{name: "two columns of one name", text: "id,To,To\nu1,ann@example.com,bo@example.com\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if got := suggestion(t, test.text, test.flags...); got != test.want {
				t.Errorf("the command has %q, want %q", got, test.want)
			}
		})
	}
}

// The command works, and without it the plan says what is missing.
func TestContactsAreSent(t *testing.T) {
	t.Parallel()
	for _, test := range []importCase{
		{
			name:  "Typeform",
			text:  "#,Your email?,First name\nabc,ann@example.com,Ann\ndef,bo@example.com,Bo\n",
			flags: []string{"-id", "#"},
			says: []string{"Your email? looks like email 2 ann@example.com",
				"sent all the same: - nobody will be reachable"},
			hint: true,
			profiles: profiles{
				"abc": `{"email":"ann@example.com","first_name":"Ann"}`,
				"def": `{"email":"bo@example.com","first_name":"Bo"}`,
			},
		},
		{
			name: "Firebase", file: "users.json",
			text:     `{"users":[{"localId":"fb1","email":"a@example.com","displayName":"Ann"}]}`,
			flags:    []string{"-id", "localId"},
			hint:     true,
			profiles: profiles{"fb1": `{"name":"Ann","email":"a@example.com"}`},
		},
		{
			name:     "the user ID (LinkedIn)",
			text:     "First Name,Email Address\nAnn,ann@example.com\n",
			flags:    []string{"-id", "email address"},
			says:     []string{"Email Address only as the user ID 1 ann@example.com"},
			hint:     true,
			profiles: profiles{"ann@example.com": `{"email":"ann@example.com","first_name":"Ann"}`},
		},
	} {
		t.Run(test.name, test.run)
	}
}

// Nobody is reachable if no record that is sent has a channel.
func TestReachesNobody(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"id,name\nu1,Ann\n":                                    true,
		"id,name,email\nu1,Ann,\n":                             true,
		"id,email_verified,email\nu1,yes,\nu2,x,x\n":           true,
		"id,address.country\nu1,UK\n":                          true,
		"id,name\n..,Ann\n":                                    false, // nothing is sent
		"id,email\nu1,ann@example.com\n":                       false,
		"id,phone_number\nu1,+15555550101\n":                   false,
		"id,expo.token\nu1,x\n":                                false,
		`{"user_id":"u1","profile":{"email":"a@example.com"}}`: false,
		`{"user_id":"u1","profile":{"own":"a@example.com"}}`:   true,
	} {
		folder := t.TempDir()
		writeFile(t, folder, "users.csv", text)
		p := newProgram(t, folder, "-dry-run", "users.csv")
		if code := p.exitCode(t); code == job.Failed {
			t.Fatal(p.output())
		}
		if got := strings.Contains(p.output(), "nobody will be reachable"); got != want {
			t.Errorf("%q: %t, want %t\n%s", text, got, want, p.output())
		}
	}
}
