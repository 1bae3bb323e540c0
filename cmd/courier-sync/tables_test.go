package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/courier-profiles/courier-go/cmd/internal/job"
)

// The tests of this file have tables and settings as people really have them.

// TestDeletedAtThatIsNoTime has rows that only look deleted.
func TestDeletedAtThatIsNoTime(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, kind, value string
		new               func(*testing.T) *testDatabase
	}{
		{"an empty text, from .import", "TEXT", "''", newTestSQLite},
		{"0", "INTEGER", "0", newTestSQLite},
		{"0 as a DATETIME", "DATETIME", "0", newTestSQLite},
		{"0000-00-00", "TEXT", "'0000-00-00 00:00:00'", newTestSQLite},
		{"false in SQLite", "BOOLEAN", "false", newTestSQLite},
		{"false", "boolean", "false", newTestPostgres},
		{"infinity", "timestamptz", "'infinity'", newTestPostgres},
		{"the zero time", "timestamp", "'0001-01-01'", newTestPostgres},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			db, f := test.new(t), newFakeCourier(t)
			db.create(t, "id text PRIMARY KEY, name text, updated_at "+db.timeType()+
				", deleted_at "+test.kind)
			db.add(t, "ada", past, "Ada")
			db.add(t, "bo", past, "Bo")
			mustSync(t, db, f, small)
			db.exec(t, "UPDATE users SET updated_at = $1, deleted_at = "+test.value+
				" WHERE id = 'ada'", time.Now())
			db.add(t, "bo", time.Now(), "Robert")
			s := mustSync(t, db, f, small)
			checkCount(t, "deleted", &s.deleted, 0)
			f.checkName(t, "ada", "Ada")
			f.checkName(t, "bo", "Robert")
			checkRejects(t, db, map[string]string{"ada": "deleted_at: "})
		})
	}
}

// TestMaxDeletes stops before the first deletion above the limit.
func TestMaxDeletes(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, db *testDatabase) {
		f := newFakeCourier(t)
		db.addMany(t, 40, past)
		mustSync(t, db, f, small)
		db.exec(t, "UPDATE users SET updated_at = $1 WHERE id <= 'u04'", past.Add(time.Hour))
		db.exec(t, "UPDATE users SET updated_at = $1, deleted_at = $1 WHERE id > 'u04'",
			past.Add(2*time.Hour))
		db.exec(t, "DELETE FROM courier_sync")
		few := small
		few.maxDeletes, few.args = 15, []string{"-table", "users"}
		s, text := mustStop(t, db, f, few)
		checkCount(t, "merged", &s.merged, 5)
		checkCount(t, "deleted", &s.deleted, 15)
		checkContains(t, text, "20 profiles are left to delete, and -max-deletes allows 15")
		if !strings.HasSuffix(text, " -table users -max-deletes 20") {
			t.Errorf("the text does not end with the command to continue: %s", text)
		}
		if got := db.watermark(t).ID.V; got != "u19" {
			t.Errorf("the watermark is after %s, want u19", got)
		}
		few.maxDeletes = 20 // as the error says
		s = mustSync(t, db, f, few)
		checkCount(t, "deleted", &s.deleted, 20)
	})
}

// TestMaxDeletesInTheOverlap erases users just before the run, and goes on as the run says.
// The next run reads these rows twice, and finishes.
func TestMaxDeletesInTheOverlap(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, db *testDatabase) {
		f := newFakeCourier(t)
		db.addMany(t, 40, past)
		mustSync(t, db, f, small)
		db.exec(t, "UPDATE users SET updated_at = $1, erased_at = $1 WHERE id > 'u04'", time.Now())
		few := small
		few.maxDeletes = 15
		_, text := mustStop(t, db, f, few)
		checkContains(t, text, "20 profiles are left to delete, and -max-deletes allows 15 in a "+
			"run (the next one repeats 15 in its overlap): check")
		if !strings.HasSuffix(text, " -max-deletes 35") {
			t.Errorf("the text does not end with the command to continue: %s", text)
		}
		few.maxDeletes = 35 // as the error says
		s := mustSync(t, db, f, few)
		checkCount(t, "erased", &s.erased, 55) // 20 of them twice
		if n := len(f.profiles(t)); n != 5 {
			t.Errorf("%d profiles, want 5", n)
		}
	})
}

// TestMaxDeletesOfBadRows has more rows that only look deleted than the run may delete. They
// are rejected, and the others are merged.
func TestMaxDeletesOfBadRows(t *testing.T) {
	t.Parallel()
	db, f := newTestSQLite(t), newFakeCourier(t)
	db.addMany(t, 25, past)
	db.exec(t, "UPDATE users SET deleted_at = '' WHERE id < 'u20'")
	few := small
	few.maxDeletes = 5
	s := mustSync(t, db, f, few)
	checkCount(t, "rejected", &s.rejected, 20)
	checkCount(t, "merged", &s.merged, 5)
}

// TestDeletionOfBadRow deletes the profile of a user whose other columns cannot be read.
func TestDeletionOfBadRow(t *testing.T) {
	t.Parallel()
	for _, column := range []string{"deleted_at", "erased_at"} {
		t.Run(column, func(t *testing.T) {
			t.Parallel()
			db, f := newTestSQLite(t), newFakeCourier(t)
			db.add(t, "ada", past, "Ada")
			mustSync(t, db, f, small)
			db.exec(t, "UPDATE users SET updated_at = $1, custom = '[]', "+column+" = $1", time.Now())
			mustSync(t, db, f, small)
			f.checkName(t, "ada", "no profile")
			checkRejects(t, db, nil)
		})
	}
}

// TestUnreadableValue has values that do not fit their field.
func TestUnreadableValue(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, kind, value string
		new               func(*testing.T) *testDatabase
	}{
		{"yes in SQLite", "BOOLEAN", "'yes'", newTestSQLite},
		{"maybe in a text column of PostgreSQL", "text", "'maybe'", newTestPostgres},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			db, f := test.new(t), newFakeCourier(t)
			db.create(t, "id text PRIMARY KEY, name text, updated_at "+db.timeType()+
				", email_verified "+test.kind)
			db.addMany(t, 3, past)
			db.exec(t, "UPDATE users SET email_verified = "+test.value+" WHERE id = 'u01'")
			db.exec(t, "UPDATE users SET email_verified = 'true' WHERE id = 'u00'")
			mustSync(t, db, f, small)
			checkRejects(t, db, map[string]string{
				"u01": "email_verified: the column must be true, false, or NULL",
			})
			f.checkName(t, "u00", "Name of u00")
			f.checkName(t, "u02", "Name of u02")
		})
	}
}

// TestOtherColumns has a table with other names in another schema, which is one struct,
// and without the columns that are not required.
func TestOtherColumns(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, db *testDatabase) {
		f := newFakeCourier(t)
		schema := ""
		if !db.isSQLite() {
			schema = "other_of_" + db.schemaName() + "."
			db.exec(t, "CREATE SCHEMA "+strings.TrimSuffix(schema, "."))
		}
		db.exec(t, "CREATE TABLE "+schema+`"Accounts" ("userId" text PRIMARY KEY,
			"updatedAt" `+db.timeType()+`, email text)`)
		insert := "INSERT INTO " + schema + `"Accounts" VALUES ('ada', $1, 'ada@example.com')`
		db.exec(t, insert, past)
		other := small
		other.table.name = schema + "Accounts"
		other.table.id, other.table.updatedAt = "userId", "updatedAt"
		mustSync(t, db, f, other)
		profile, _ := f.Profile("ada")
		if got, want := profile.String(), `{"email":"ada@example.com"}`; got != want {
			t.Errorf("the profile is %s, want %s", got, want)
		}
	})
}

// TestMissingColumns says what is switched off, and which column is required.
func TestMissingColumns(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, db *testDatabase) {
		f := newFakeCourier(t)
		db.create(t, "id text PRIMARY KEY, name text, updated_at "+db.timeType())
		db.add(t, "ada", past, "Ada")
		p := newJob(db, f)
		p.mustExit(t, job.Done)
		checkContains(t, p.err.String(), "users does not have deleted_at, erased_at, email, ")
		f.checkName(t, "ada", "Ada")

		db.exec(t, "ALTER TABLE users RENAME updated_at TO changed")
		p = newJob(db, f)
		p.mustExit(t, job.Failed)
		checkContains(t, p.err.String(), "users has no column updated_at, but id, name, changed")
	})
}

// TestViews runs the SQL of the README, and checks that the view can use its index.
func TestViews(t *testing.T) {
	t.Parallel()
	view := small
	view.table.name = "users_for_courier"
	t.Run("PostgreSQL", func(t *testing.T) {
		t.Parallel()
		db, f := newTestPostgres(t), newFakeCourier(t)
		db.exec(t, `CREATE TABLE accounts (tenant_id text, id text, "updatedAt" timestamp,
			"displayName" text, email text, PRIMARY KEY (tenant_id, id))`)
		db.exec(t, `INSERT INTO accounts SELECT 'acme', 'user-' || n,
			'2026-01-01'::timestamp + n * interval '1 second', 'Ada', 'ada@example.com'
			FROM generate_series(1, 5000) AS n`)
		db.exec(t, readmeSQL(t, 1))
		db.exec(t, "ANALYZE accounts")
		checkPlans(t, db, view, "accounts_changed")
		db.exec(t, "DELETE FROM accounts WHERE id <> 'user-7'")
		mustSync(t, db, f, view)
		f.checkName(t, "acme/user-7", "Ada")
	})
	t.Run("SQLite", func(t *testing.T) {
		t.Parallel()
		db, f := newTestSQLite(t), newFakeCourier(t)
		db.exec(t, `CREATE TABLE accounts (id TEXT PRIMARY KEY, updated_at INTEGER,
			name TEXT, email TEXT)`)
		db.exec(t, readmeSQL(t, 2))
		checkPlans(t, db, view, "accounts_changed")
		db.exec(t, "INSERT INTO accounts VALUES ('ada', $1, 'Ada', NULL)", past.UnixMilli())
		mustSync(t, db, f, view)
		f.checkName(t, "ada", "Ada")
	})
}

// TestSchemaPerTenant has two schemas with a table of the same name, and the tables of
// the sync in a third one.
func TestSchemaPerTenant(t *testing.T) {
	t.Parallel()
	db, f := newTestPostgres(t), newFakeCourier(t)
	mustSync(t, db, f, small)
	common := db.schemaName()
	for _, tenant := range []string{"a", "b"} {
		schema := common + "_" + tenant
		db.exec(t, "CREATE SCHEMA "+schema)
		db.exec(t, "CREATE TABLE "+schema+".users (LIKE users)")
		db.exec(t, "INSERT INTO "+schema+".users (id, updated_at, name) VALUES ($1, $2, $1)",
			tenant, past)
		other := *db
		other.url = strings.Replace(db.url, "="+common, "="+schema+","+common, 1)
		s := mustSync(t, &other, f, small)
		checkCount(t, "read", &s.read, 1)
		f.checkName(t, tenant, tenant)
	}
}

// TestRowLevelSecurity refuses a table, or a view on it, of which rows can be hidden.
func TestRowLevelSecurity(t *testing.T) {
	t.Parallel()
	db, f := newTestPostgres(t), newFakeCourier(t)
	db.add(t, "ada", past, "Ada")
	db.exec(t, "CREATE VIEW invoking WITH (security_invoker) AS SELECT * FROM users")
	mustSync(t, db, f, small) // creates the tables
	db.grantTo(t, "tenant")
	db.exec(t, "ALTER TABLE users ENABLE ROW LEVEL SECURITY")
	view := small
	view.table.name = "invoking"

	_, text := mustStop(t, db.as("tenant"), f, small)
	checkContains(t, text, "row-level security can hide rows of users")
	_, text = mustStop(t, db.as("tenant"), f, view)
	checkContains(t, text, "row-level security")

	db.exec(t, "ALTER ROLE tenant BYPASSRLS") // as the error says
	mustSync(t, db.as("tenant"), f, small)
	mustSync(t, db.as("tenant"), f, view)
	f.checkName(t, "ada", "Ada")
}

// TestPasswordInURL has a password with characters that a URL gives another meaning.
func TestPasswordInURL(t *testing.T) {
	t.Parallel()
	for _, password := range []string{"Xq/zz-word", "98/zz-word", "Xq?zz-word", "Xq#zz-word",
		"Xq%zz-word", "Xq zz-word", "Xq[zz-word"} {
		database := "postgres://test:" + password + "@127.0.0.1:1/users"
		p := newProgram([]string{"COURIER_API_KEY=key", "DATABASE_URL=" + database})
		p.mustExit(t, job.Failed)
		checkContains(t, p.err.String(), "/ as %2F")
		checkOmits(t, p.err.String(), "Xq", "98", "zz")
	}
	// As the error says.
	db, f := newTestPostgres(t), newFakeCourier(t)
	db.add(t, "ada", past, "Ada")
	db.url = strings.Replace(db.url, "postgres://", "postgres://test:pa%2Fss%3Fw%23o%25r%40d@", 1)
	mustSync(t, db, f, small)
	f.checkName(t, "ada", "Ada")
}

// TestForeignRefusal has something in front of Courier refuse a row, and let others
// through.
func TestForeignRefusal(t *testing.T) {
	t.Parallel()
	for _, status := range []int{403, 415, 422} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			eachDatabase(t, func(t *testing.T, db *testDatabase) {
				f := newFakeCourier(t)
				db.addMany(t, 25, past)
				f.respond("u13", fault{status: status, foreign: true})
				s := mustSync(t, db, f, small)
				checkCount(t, "merged", &s.merged, 24)
				checkRejects(t, db, map[string]string{"u13": fmt.Sprint(status, " ")})
			})
		})
	}
}

// TestForeignRefusalOfAll has no row come through. What the firewall refuses is rejected
// only if Courier responds to something else.
func TestForeignRefusalOfAll(t *testing.T) {
	t.Parallel()
	db, f := newTestSQLite(t), newFakeCourier(t)
	db.addMany(t, 3, past)
	refusal := fault{status: 403, foreign: true}
	for _, id := range []string{"u00", "u01", "u02", probeID} {
		f.respond(id, refusal)
	}
	mustStop(t, db, f, small)
	checkRejects(t, db, nil)

	f.respondNormally()
	f.respond("u00", refusal)
	f.respond("u01", refusal)
	mustSync(t, db, f, small)
	checkRejects(t, db, map[string]string{"u00": "403 ", "u01": "403 "})
	f.checkName(t, "u02", "Name of u02")
}

// TestForeignRefusalOfID has a firewall refuse each request with a user's ID, when no other
// row has changed. The row is rejected, and does not block later ones.
func TestForeignRefusalOfID(t *testing.T) {
	t.Parallel()
	db, f := newTestSQLite(t), newFakeCourier(t)
	db.add(t, "<script>", past, "Ada")
	f.respond("<script>", fault{status: 403, foreign: true})
	mustSync(t, db, f, small)
	checkRejects(t, db, map[string]string{"<script>": "403 "})
}

// TestForeignOutage has a captive portal, or the page of a firewall, respond from the middle
// of a page on. No row is rejected, whether it was sent or not.
func TestForeignOutage(t *testing.T) {
	t.Parallel()
	for _, status := range []int{200, 403} {
		for _, rows := range []int{50, 200} { // 100 failures in a row end the run of a page
			t.Run(fmt.Sprint(status, " ", rows), func(t *testing.T) {
				t.Parallel()
				db, f := newTestSQLite(t), newFakeCourier(t)
				for i := range rows {
					id := fmt.Sprintf("u%03d", i)
					db.add(t, id, past, id)
					if i >= 20 {
						f.respond(id, fault{status: status, foreign: true})
					}
				}
				f.respond(probeID, fault{status: status, foreign: true})
				large := small
				large.page, large.concurrency = 1000, 16
				mustStop(t, db, f, large)
				checkRejects(t, db, nil)
				if got := db.watermark(t).ID.V; got > "u019" {
					t.Errorf("the watermark is after %s, want none after u019", got)
				}
				f.respondNormally()
				mustSync(t, db, f, large)
				if got := len(f.profiles(t)); got != rows {
					t.Errorf("%d profiles in the end, want %d", got, rows)
				}
			})
		}
	}
}

// TestNotSentIsNotRefused has a gateway refuse so many rows that the client ends the run of
// the page, while Courier responds. The rows that were never sent are not rejected.
func TestNotSentIsNotRefused(t *testing.T) {
	t.Parallel()
	db, f := newTestSQLite(t), newFakeCourier(t)
	for i := range 150 {
		id := fmt.Sprintf("u%03d", i)
		db.add(t, id, past, id)
		f.respond(id, fault{status: 200, foreign: true})
	}
	large := small
	large.page, large.concurrency = 1000, 16
	mustStop(t, db, f, large)
	checkRejects(t, db, nil)
}

// TestFileOfTheShell names a file that is not in the working folder, where go run -C
// looks, but in the folder of the shell.
func TestFileOfTheShell(t *testing.T) {
	t.Parallel()
	shell := t.TempDir()
	if err := os.WriteFile(filepath.Join(shell, "mine.db"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	p := newProgram([]string{"COURIER_API_KEY=key", "DATABASE_URL=sqlite:mine.db",
		"OLDPWD=" + shell})
	p.mustExit(t, job.Failed)
	checkContains(t, p.err.String(), filepath.Join(shell, "mine.db"))
}
