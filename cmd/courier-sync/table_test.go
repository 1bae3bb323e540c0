package main

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	courier "github.com/courier-profiles/courier-go"
)

// readRow reads a row with the given columns, of which "" is NULL.
func readRow(columns map[string]string) row {
	var r row
	var names []string
	var values []*string
	for name, value := range columns {
		names, values = append(names, name), append(values, nil)
		if value != "" {
			values[len(values)-1] = &value
		}
	}
	users.read(&r, names, values)
	return r
}

func TestProfileOfRow(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		columns map[string]string
		want    string
	}{
		{
			"all columns",
			map[string]string{"name": "Ada", "email": "ada@example.com", "email_verified": "true",
				"phone_number": "+15555550101", "locale": "en-GB", "custom": `{"plan":"pro"}`},
			`{"name":"Ada","email":"ada@example.com","email_verified":true,"locale":"en-GB",` +
				`"phone_number":"+15555550101","custom":{"plan":"pro"}}`,
		},
		{
			"NULL removes a field, and what the table lacks is left alone",
			map[string]string{"name": "", "email_verified": "", "custom": ""},
			`{"name":null,"email_verified":null,"custom":null}`,
		},
		{
			"numbers keep every digit, and null stays",
			map[string]string{"custom": ` {"n": [9007199254740993, 1.10, 0.1e-7], "x": null} `},
			`{"custom":{"n":[9007199254740993,1.10,0.1e-7],"x":null}}`,
		},
		{"a JSON null is a NULL", map[string]string{"custom": "null"}, `{"custom":null}`},
		{"SQLite's booleans", map[string]string{"email_verified": "0"}, `{"email_verified":false}`},
	} {
		r := readRow(test.columns)
		if r.err != nil {
			t.Errorf("%s: %v", test.name, r.err)
			continue
		}
		got, err := json.Marshal(r.profile)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(test.want, string(got)); diff != "" {
			t.Errorf("%s: -want +got\n%s", test.name, diff)
		}
	}
}

// An empty text is a value, which is not the same as NULL.
func TestEmptyText(t *testing.T) {
	t.Parallel()
	var p courier.Profile
	empty := ""
	if err := into(&p.Name, text)(&empty); err != nil {
		t.Fatal(err)
	}
	if name, ok := p.Name.Get(); !ok || name != "" {
		t.Errorf("the name is %v, want an empty text", p.Name)
	}
}

func TestUnreadableColumns(t *testing.T) {
	t.Parallel()
	const (
		noTime    = "the column must be NULL or a time in the past, such as 2026-11-26 08:30:00"
		noBoolean = "the column must be true, false, or NULL"
		noJSON    = "the column is not valid JSON"
		noObject  = "the column must be a JSON object or NULL"
	)
	for _, test := range []struct{ column, value, want string }{
		{"custom", `{`, noJSON},
		{"custom", `{"a":1} x`, noJSON},
		{"custom", `secret`, noJSON},
		{"custom", `["plan"]`, noObject},
		{"custom", `"plan"`, noObject},
		{"custom", `9007199254741`, noObject},
		{"email_verified", "yes", noBoolean},
		{"email_verified", "maybe", noBoolean},
		{"email_verified", "2", noBoolean},
		{"deleted_at", " ", noTime},
		{"deleted_at", "0", noTime},
		{"deleted_at", "1", noTime},
		{"deleted_at", "false", noTime},
		{"deleted_at", "true", noTime},
		{"deleted_at", "never", noTime},
		{"deleted_at", "infinity", noTime},
		{"deleted_at", "0000-00-00 00:00:00", noTime},
		{"deleted_at", "0001-01-01 00:00:00", noTime},
		{"deleted_at", "1970-01-01 00:00:00", noTime},
		{"deleted_at", "9999-12-31 00:00:00", noTime},
		{"erased_at", "0", noTime},
	} {
		r := readRow(map[string]string{test.column: test.value})
		want := "courier: " + test.column + ": " + test.want
		if r.err == nil || r.err.Error() != want {
			t.Errorf("%s %q: error %v, want %s", test.column, test.value, r.err, want)
		}
	}
}

// A time of deletion may be up to a day ahead, because it may lack its zone.
func TestDeletedAhead(t *testing.T) {
	t.Parallel()
	for hours, want := range map[int]bool{-1: true, 22: true, 26: false} {
		at := time.Now().Add(time.Duration(hours) * time.Hour).UTC().Format(time.DateTime)
		r := readRow(map[string]string{"deleted_at": at})
		if got := r.isDeletion(); got != want {
			t.Errorf("%d hours ahead: is a deletion %t, want %t", hours, got, want)
		}
	}
}

func TestTimesOfDatabases(t *testing.T) {
	t.Parallel()
	second := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"2026-01-02":                    second.Truncate(24 * time.Hour),
		"2026-01-02 03:04:05":           second,
		"2026-01-02T03:04:05":           second,
		"2026-01-02 03:04:05+00":        second,
		"2026-01-02 04:04:05.25+01":     second.Add(250 * time.Millisecond),
		"2026-01-02 02:04:05-01:00":     second,
		"2026-01-02T03:04:05.678901Z":   second.Add(678901 * time.Microsecond),
		"2026-01-02T08:34:05.000+05:30": second,
	} {
		got, err := parseTime(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if !got.Equal(want) {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
}

// TestColumns reads a row with all columns set, and one with none, from both databases.
func TestColumns(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, db *testDatabase) {
		f := newFakeCourier(t)
		db.exec(t, `INSERT INTO users
			(id, updated_at, name, email, email_verified, phone_number, locale, custom) VALUES
			('ada', $1, 'Ada', 'ada@example.com', true, '+15555550101', 'en-GB',
				'{"big": 9007199254740993, "price": 1.10, "plan": "pro"}'),
			('bo', $1, NULL, NULL, NULL, NULL, NULL, NULL)`, past)
		change := func(set, ada string) {
			t.Helper()
			if set != "" {
				db.exec(t, "UPDATE users SET updated_at = $1, "+set+" WHERE id = 'ada'", time.Now())
			}
			mustSync(t, db, f, small)
			want := map[string]string{"ada": ada, "bo": `{}`}
			if diff := cmp.Diff(want, f.profiles(t)); diff != "" {
				t.Errorf("%s: -want +got\n%s", set, diff)
			}
		}
		change("", `{"name":"Ada","email":"ada@example.com","email_verified":true,`+
			`"locale":"en-GB","phone_number":"+15555550101",`+
			`"custom":{"big":9007199254740993,"plan":"pro","price":1.10}}`)
		change(`email = NULL, email_verified = NULL, custom = '{"plan": null, "price": 2}'`,
			`{"name":"Ada","locale":"en-GB","phone_number":"+15555550101",`+
				`"custom":{"big":9007199254740993,"price":2}}`)
		change("custom = NULL", `{"name":"Ada","locale":"en-GB","phone_number":"+15555550101"}`)
	})
}
