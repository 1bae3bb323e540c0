package main

import (
	"strings"
	"testing"
)

// What is suggested as the user ID differs in all records, and is no name.
func TestSuggestedID(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, text, want string }{
		{"an ID before an address", "email,Person ID\na@example.com,7\nb@example.com,8\n",
			"-id 'Person ID'"},
		{"Typeform's #", "Your email?,#\na@example.com,x7\nb@example.com,x8\n",
			"-id '#' -column 'Your email?=email'"},
		{"# that counts rows", "#,Your email?\n1,a@example.com\n2,b@example.com\n",
			"-id 'Your email?' -column 'Your email?=email'"},
		{"an address that is missing", "Key,E-mail 1\nx,a@example.com\ny,\n",
			"-id 'E-mail 1' -column 'E-mail 1=email'"},
		{"NULL is missing", "E-mail 1\na@example.com\nNULL\nNULL\n",
			"-id 'E-mail 1' -column 'E-mail 1=email' -null NULL"},
		{"null is missing", `{"Mail":"a@example.com","n":1}` + "\n" + `{"Mail":null,"n":1}`,
			"-id Mail -column Mail=email"},
		{"an address that two share", "Key,Mail\nx,a@example.com\ny,a@example.com\n",
			"-id Key -column Mail=email"},
		{"an ID that is missing", "Person ID,email\n7,a@example.com\n,b@example.com\n",
			"-id email"},
		{"names of people", "First name,Last name,name,Full name\nAnn,Lee,A,Ann Lee\n", ""},
		{"names of things", "Company,City\nAcme,Bonn\n", ""},
		{"texts", "Comment\nsee below\nfrom Bonn\n", ""},
		{"in place of a repeated ID", "user_id,Person ID\nu1,7\nu1,8\n", "-id 'Person ID'"},
		{"nothing in place of one", "user_id,attribute\nu1,email\nu1,name\n", ""},
		{"a credential", "token,first_name\nx7,Ann\n", ""},
		{"a key of an API", "api_key,first_name\nx7,Ann\n", ""},
		{"times", "Timestamp\n2026-10-01T10:00:00Z\n2026-10-02T10:00:00Z\n", ""},
		{"long texts", "Text\n" + strings.Repeat("x", 600) + "\n", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if got := suggestion(t, test.text); got != test.want {
				t.Errorf("it suggests %q, want %q", got, test.want)
			}
		})
	}
}

// A first line that looks like data has names if the values below are different, and
// the ID can be given or found.
func TestNamesUnlikeTheirValues(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, text, want string }{
		{"years", "Key,2025,2026\nu1,7,8\nu2,7,8\n", "-id Key"},
		{"dates", "Key,2026-10-01,2026-10-02\nu1,7,8\nu2,7,8\n", "-id Key"},
		{"numbers beside a name of addresses", "Mail,1,2\na@example.com,7,8\nb@example.com,7,8\n",
			"-id Mail -column Mail=email"},
		{"numbers beside a known name", "uid,1,2\nu1,7,8\nu2,7,8\n", "-id uid"},
		{"numbers above texts", "Key,1,2\nu1,x,y\nu2,x,y\n", "-id Key"},
		{"the address of a list", "Key,news@example.com\nu1,yes\nu2,yes\n", "-id Key"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if got := suggestion(t, test.text); got != test.want {
				t.Errorf("it suggests %q, want %q", got, test.want)
			}
		})
	}
}

// Names of columns that look like data are names if -id gives one of them.
func TestNamesThatLookLikeData(t *testing.T) {
	t.Parallel()
	for _, test := range []importCase{
		{name: "years", text: "Key,2025,2026\nu1,7,8\n", flags: []string{"-id", "Key"},
			profiles: profiles{"u1": "{}"}},
		{name: "the address of a list", text: "id,news@example.com\nu1,yes\n",
			flags: []string{"-id", "id"}, profiles: profiles{"u1": "{}"}},
		{name: "a digit", text: "Key 1,2025,2026\nu1,7,8\n", flags: []string{"-id", "Key 1"},
			profiles: profiles{"u1": "{}"}},
	} {
		t.Run(test.name, test.run)
	}
}
