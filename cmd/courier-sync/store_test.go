package main

import (
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// planOf returns the database's plan of the query of a page that begins at from.
func planOf(t *testing.T, db *testDatabase, o options, from position) string {
	t.Helper()
	s := &syncer{options: o}
	if err := s.open(t.Context(), db.url); err != nil {
		t.Fatal(err)
	}
	defer s.store.close()
	query, args := s.store.pageQuery(from, time.Now(), 500)
	var line string
	explain, columns := "EXPLAIN ", []any{&line}
	if db.isSQLite() {
		explain = "EXPLAIN QUERY PLAN "
		columns = []any{new(any), new(any), new(any), &line} // after id, parent, notused
	}
	rows, err := s.store.conn.QueryContext(t.Context(), explain+query, args...)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	plan := ""
	for rows.Next() {
		if err := rows.Scan(columns...); err != nil {
			t.Fatal(err)
		}
		plan += line + "\n"
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return plan
}

// checkPlans checks that the query of a page reads a range of an index, and does not sort. It
// does so for pages that begin at a time, and after a row with that time.
func checkPlans(t *testing.T, db *testDatabase, o options, index string) {
	t.Helper()
	for _, id := range []sql.Null[string]{{}, {V: "user-1", Valid: true}} {
		plan := planOf(t, db, o, position{past, id})
		if db.isSQLite() {
			checkContains(t, plan, "USING INDEX "+index+" (")
		} else {
			checkContains(t, plan, "Index Scan using "+index)
		}
		checkOmits(t, plan, "Sort", "TEMP B-TREE")
	}
}

func TestPageUsesTheIndex(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, db *testDatabase) {
		if !db.isSQLite() { // PostgreSQL uses no index for a small table
			db.exec(t, `INSERT INTO users (id, updated_at)
				SELECT 'user-' || n, '2026-01-01'::timestamptz + n * interval '1 second'
				FROM generate_series(1, 20000) AS n`)
			db.exec(t, "ANALYZE users")
		}
		checkPlans(t, db, small, "users_changed")
	})
}

// TestKindsOfID pages through ids that are not text. The first run stops at a row, and the
// second one resumes there.
func TestKindsOfID(t *testing.T) {
	t.Parallel()
	// Rows with a uuid are added from the highest to the lowest.
	uuid := func(i int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", 100-i) }
	number := func(i int) string { return fmt.Sprint(95 + i) } // the text "100" is before "99"
	for _, test := range []struct {
		name, kind string
		new        func(*testing.T) *testDatabase
		id         func(int) string
	}{
		{"PostgreSQL/bigint", "bigint", newTestPostgres, number},
		{"PostgreSQL/uuid", "uuid", newTestPostgres, uuid},
		{"SQLite/integer", "INTEGER", newTestSQLite, number},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			db, f := test.new(t), newFakeCourier(t)
			db.create(t, "id "+test.kind+" PRIMARY KEY, name text, updated_at "+db.timeType())
			var want []string
			for i := range 12 {
				want = append(want, test.id(i))
				db.add(t, test.id(i), past, "Ada")
			}
			toReject, toStop := test.id(7), test.id(8)
			f.respond(toReject, fault{status: 400})
			f.respond(toStop, fault{status: 503})
			pagesOf2 := small
			pagesOf2.page = 2
			mustStop(t, db, f, pagesOf2)
			f.respondNormally()
			// Only with a new time is a rejected row read again.
			db.exec(t, "UPDATE users SET updated_at = $1 WHERE id = $2", time.Now(), toReject)
			mustSync(t, db, f, pagesOf2)
			slices.Sort(want)
			got := slices.Sorted(maps.Keys(f.profiles(t)))
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("users with a profile (-want +got):\n%s", diff)
			}
			checkRejects(t, db, nil)
		})
	}
}

// TestUnusableIDs has ids that SQLite does not compare as their text, so that pages would
// skip rows or repeat them without end. The sync stops, and works as it advises.
func TestUnusableIDs(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, kind, id string }{
		{"a number in a column without a type", "", "n"},
		{"a number in a BLOB column", "BLOB", "n"},
		{"a BLOB in a text column", "TEXT", "CAST(n AS BLOB)"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			db, f := newTestSQLite(t), newFakeCourier(t)
			db.create(t, "id "+test.kind+" PRIMARY KEY, name TEXT, updated_at TEXT")
			db.exec(t, `WITH RECURSIVE numbers (n) AS
				(SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 5)
				INSERT INTO users SELECT `+test.id+`, 'Ada', $1 FROM numbers`, past)
			o := small
			o.page = 2
			_, text := mustStop(t, db, f, o)
			checkContains(t, text, "in 5 rows: sync a view that has CAST(\"id\" AS TEXT) AS id")
			db.exec(t, `CREATE VIEW fixed AS SELECT CAST("id" AS TEXT) AS id, name, updated_at
				FROM users`)
			o.table.name = "fixed"
			mustSync(t, db, f, o)
			if n := len(f.profiles(t)); n != 5 {
				t.Errorf("%d profiles, want 5", n)
			}
		})
	}
}

// TestUnusableTimes has an updated_at that pagination would skip. The sync stops, and says
// what to do.
func TestUnusableTimes(t *testing.T) {
	t.Parallel()
	const inUTC = "store it as UTC in the form 2006-01-02T15:04:05.000000Z"
	fromMilliseconds := `strftime('%Y-%m-%dT%H:%M:%f000Z', "updated_at" / 1000.0, 'unixepoch')`
	for _, test := range []struct {
		name  string
		new   func(*testing.T) *testDatabase
		kind  string // of the column
		value string
		want  string // advice
	}{
		{"PostgreSQL/NULL", newTestPostgres, "timestamptz", "NULL", "NULL or unusable in 1 row,"},
		{"PostgreSQL/infinity", newTestPostgres, "timestamptz", "'infinity'", "a finite time"},
		{"PostgreSQL/minus infinity", newTestPostgres, "timestamptz", "'-infinity'",
			"a finite time"},
		{"PostgreSQL/before the year 1", newTestPostgres, "timestamptz",
			"'0001-12-31 23:40:28+00 BC'", "a finite time from the year 1 on"},
		{"PostgreSQL/without time zone", newTestPostgres, "timestamp", "now()",
			`a view that has "updated_at" AT TIME ZONE 'UTC' AS updated_at`},
		{"PostgreSQL/epoch", newTestPostgres, "bigint", "1767323045000",
			`a view that has to_timestamp("updated_at" / 1000.0) AS updated_at`},
		{"SQLite/NULL", newTestSQLite, "TEXT", "NULL", "NULL or unusable in 1 row,"},
		{"SQLite/zero", newTestSQLite, "TEXT", "'0000-00-00T00:00:00.000000Z'", inUTC},
		{"SQLite/CURRENT_TIMESTAMP", newTestSQLite, "TEXT", "CURRENT_TIMESTAMP", inUTC},
		{"SQLite/milliseconds", newTestSQLite, "TEXT", "'2026-01-02T03:04:05.678Z'", inUTC},
		{"SQLite/nanoseconds", newTestSQLite, "TEXT", "'2026-01-02T03:04:05.678901234Z'", inUTC},
		{"SQLite/offset", newTestSQLite, "TEXT", "'2026-01-02T03:04:05.678901+01:00'", inUTC},
		{"SQLite/epoch milliseconds", newTestSQLite, "INTEGER", "1767323045678", fromMilliseconds},
		{"SQLite/epoch seconds", newTestSQLite, "INTEGER", "1767323045",
			`strftime('%Y-%m-%dT%H:%M:%f000Z', "updated_at", 'unixepoch')`},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			db := test.new(t)
			db.create(t, "id text PRIMARY KEY, updated_at "+test.kind)
			db.exec(t, "INSERT INTO users (id, updated_at) VALUES ('ada', "+test.value+")")
			_, text := mustStop(t, db, newFakeCourier(t), small)
			checkContains(t, text, test.want)
		})
	}
}

// TestAdviceOnTimes follows the advice for each kind of time in SQLite, and the sync works.
func TestAdviceOnTimes(t *testing.T) {
	t.Parallel()
	for name, value := range map[string]string{
		"CURRENT_TIMESTAMP":  "CURRENT_TIMESTAMP",
		"offset":             "'2026-01-02T03:04:05.678901+01:00'",
		"epoch milliseconds": "1767323045678",
		"epoch seconds":      "1767323045",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db, f := newTestSQLite(t), newFakeCourier(t)
			db.create(t, "id TEXT PRIMARY KEY, updated_at, name TEXT")
			db.exec(t, "INSERT INTO users VALUES ('ada', "+value+", 'Ada')")
			_, text := mustStop(t, db, f, small)
			_, advice, found := strings.Cut(text, "sync a view that has ")
			if !found {
				t.Fatalf("no advice in %q", text)
			}
			db.exec(t, "CREATE VIEW fixed AS SELECT id, "+advice+", name FROM users")
			view := small
			view.table.name = "fixed"
			mustSync(t, db, f, view)
			f.checkName(t, "ada", "Ada")
		})
	}
}

// TestSQLiteTimes checks that texts of times compare as the times do, and are read back.
func TestSQLiteTimes(t *testing.T) {
	t.Parallel()
	ascending := []time.Time{
		{},
		past.Add(-time.Second),
		past.Add(-time.Microsecond),
		past.In(time.FixedZone("", -5*3600)),
		past.Add(time.Microsecond).In(time.FixedZone("", 14*3600)),
		past.Add(100 * time.Microsecond),
		time.Date(2026, 12, 31, 23, 59, 59, 999_999_999, time.UTC),
		time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	previous := ""
	for _, at := range ascending {
		text := new(sqlite).timeValue(at).(string)
		if text <= previous {
			t.Errorf("got the text %s, want one after %s", text, previous)
		}
		previous = text
		back, err := parseTime(text)
		if err != nil {
			t.Error(err)
		}
		if want := at.Truncate(time.Microsecond); !back.Equal(want) {
			t.Errorf("%s was read as %v, want %v", text, back, want)
		}
	}
}

// TestRoleWithoutCreate syncs as a role that may not create tables, once they exist.
func TestRoleWithoutCreate(t *testing.T) {
	t.Parallel()
	db, f := newTestPostgres(t), newFakeCourier(t)
	mustSync(t, db, f, small) // creates the tables
	db.grantTo(t, "nightly")
	db.add(t, "ada", time.Now(), "Ada")
	mustSync(t, db.as("nightly"), f, small)
	f.checkName(t, "ada", "Ada")
}

// grantTo creates a role that may read and write all tables of the test's schema, but may
// not create one.
func (db *testDatabase) grantTo(t *testing.T, role string) {
	t.Helper()
	schema := db.schemaName()
	db.exec(t, "CREATE ROLE "+role+" LOGIN")
	db.exec(t, "GRANT USAGE ON SCHEMA "+schema+" TO "+role)
	db.exec(t, "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA "+schema+" TO "+role)
}

// as returns the database as another role sees it.
func (db *testDatabase) as(role string) *testDatabase {
	other := *db
	other.url = strings.Replace(db.url, "user=test", "user="+role, 1)
	return &other
}

// TestTablesOfEarlierVersion has the tables of version 0.2. The sync says to drop them.
func TestTablesOfEarlierVersion(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, db *testDatabase) {
		f := newFakeCourier(t)
		db.add(t, "ada", past, "Ada")
		db.exec(t, "CREATE TABLE courier_sync (name TEXT PRIMARY KEY)")
		db.exec(t, "CREATE TABLE courier_sync_rejects (user_id TEXT PRIMARY KEY)")
		_, text := mustStop(t, db, f, small)
		checkContains(t, text, "drop the tables courier_sync and courier_sync_rejects")
		db.exec(t, "DROP TABLE courier_sync")
		db.exec(t, "DROP TABLE courier_sync_rejects")
		mustSync(t, db, f, small)
		f.checkName(t, "ada", "Ada")
	})
}
