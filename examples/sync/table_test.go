package main

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestProfile(t *testing.T) {
	t.Parallel()
	text, yes := func(s string) *string { return &s }, true
	for _, test := range []struct {
		name string
		user user
		want string
	}{
		{
			name: "all columns",
			user: user{ID: "ada", Name: text("Ada"), Email: text("ada@example.com"), EmailVerified: &yes, PhoneNumber: text("+15555550101"), Locale: text("en-GB"), Custom: []byte(`{"plan":"pro"}`)},
			want: `{"name":"Ada","email":"ada@example.com","email_verified":true,"locale":"en-GB","phone_number":"+15555550101","custom":{"plan":"pro"}}`,
		},
		{
			name: "NULL removes a field",
			want: `{"name":null,"email":null,"email_verified":null,"locale":null,"phone_number":null,"custom":null}`,
		},
		{
			name: "empty is a value",
			user: user{Name: text(""), Email: text(""), EmailVerified: new(bool), PhoneNumber: text(""), Locale: text(""), Custom: []byte("{}")},
			want: `{"name":"","email":"","email_verified":false,"locale":"","phone_number":"","custom":{}}`,
		},
		{
			name: "numbers keep every digit, and null stays",
			user: user{Custom: []byte(` {"big": 9007199254740993, "price": 1.10, "gone": null, "deep": {"n": [0.1e-7]}} `)},
			want: `{"name":null,"email":null,"email_verified":null,"locale":null,"phone_number":null,"custom":{"big":9007199254740993,"deep":{"n":[0.1e-7]},"gone":null,"price":1.10}}`,
		},
		{
			name: "a JSON null is a NULL",
			user: user{Custom: []byte("null")},
			want: `{"name":null,"email":null,"email_verified":null,"locale":null,"phone_number":null,"custom":null}`,
		},
	} {
		profile, err := test.user.profile()
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		got, err := json.Marshal(profile)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(test.want, string(got)); diff != "" {
			t.Errorf("%s: -want +got\n%s", test.name, diff)
		}
	}
}

func TestProfileRefusesCustom(t *testing.T) {
	t.Parallel()
	const (
		invalid  = "custom: the column is not valid JSON"
		noObject = "custom: the column must be a JSON object or NULL"
	)
	for custom, want := range map[string]string{
		``:              invalid,
		`{`:             invalid,
		`{"a":1} x`:     invalid,
		`secret`:        invalid,
		`["plan"]`:      noObject,
		`"plan"`:        noObject,
		`9007199254741`: noObject,
		`false`:         noObject,
	} {
		row := user{Custom: []byte(custom)}
		if _, err := row.profile(); err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %s", custom, err, want)
		}
	}
}

// TestColumns reads a row with all columns set, and one with none, from both databases.
func TestColumns(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, db *database) {
		f := newFakeCourier(t)
		db.exec(t, `INSERT INTO users (id, updated_at, name, email, email_verified, phone_number, locale, custom)
			VALUES ('ada', $1, 'Ada', 'ada@example.com', true, '+15555550101', 'en-GB', '{"big": 9007199254740993, "price": 1.10, "plan": "pro"}'), ('bo', $1, NULL, NULL, NULL, NULL, NULL, NULL)`, past)
		if _, err := syncOnce(t, db, f, small); err != nil {
			t.Fatal(err)
		}
		want := map[string]string{
			"ada": `{"name":"Ada","email":"ada@example.com","email_verified":true,"locale":"en-GB","phone_number":"+15555550101","custom":{"big":9007199254740993,"plan":"pro","price":1.10}}`,
			"bo":  `{}`,
		}
		if diff := cmp.Diff(want, f.profiles(t)); diff != "" {
			t.Fatalf("-want +got\n%s", diff)
		}

		db.exec(t, `UPDATE users SET updated_at = $1, email = NULL, email_verified = NULL, custom = '{"plan": null, "price": 2}' WHERE id = 'ada'`, time.Now())
		if _, err := syncOnce(t, db, f, small); err != nil {
			t.Fatal(err)
		}
		want["ada"] = `{"name":"Ada","locale":"en-GB","phone_number":"+15555550101","custom":{"big":9007199254740993,"price":2}}`
		if diff := cmp.Diff(want, f.profiles(t)); diff != "" {
			t.Errorf("after NULLs: -want +got\n%s", diff)
		}

		db.exec(t, `UPDATE users SET updated_at = $1, custom = NULL WHERE id = 'ada'`, time.Now())
		if _, err := syncOnce(t, db, f, small); err != nil {
			t.Fatal(err)
		}
		want["ada"] = `{"name":"Ada","locale":"en-GB","phone_number":"+15555550101"}`
		if diff := cmp.Diff(want, f.profiles(t)); diff != "" {
			t.Errorf("after a NULL in custom: -want +got\n%s", diff)
		}
	})
}
