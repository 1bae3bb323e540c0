package main

import (
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestPageUsesTheIndex checks the plans of the two queries of a page: a range of the
// index, in its order, without a sort.
func TestPageUsesTheIndex(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, db *database) {
		s, err := openStore(t.Context(), db.url)
		if err != nil {
			t.Fatal(err)
		}
		defer s.close()
		explain := "EXPLAIN QUERY PLAN "
		if s.driver == "pgx" {
			db.exec(t, `INSERT INTO users (id, updated_at) SELECT 'user-' || n, '2026-01-01'::timestamptz + n * interval '1 second' FROM generate_series(1, 20000) AS n`)
			db.exec(t, "ANALYZE users")
			explain = "EXPLAIN "
		}
		for name, from := range map[string]position{
			"first page": {UpdatedAt: past},
			"next page":  {past, sql.Null[string]{V: "user-1", Valid: true}},
		} {
			query, args := s.pageQuery(from, time.Now(), 500)
			if strings.Contains(query, "OFFSET") {
				t.Errorf("%s: %s", name, query)
			}
			rows, err := s.conn.QueryContext(t.Context(), explain+query, args...)
			if err != nil {
				t.Fatal(err)
			}
			plan := ""
			for columns := make([]any, 1); rows.Next(); {
				if s.driver == "sqlite" {
					columns = []any{new(any), new(any), new(any), nil}
				}
				var line string
				columns[len(columns)-1] = &line
				if err := rows.Scan(columns...); err != nil {
					t.Fatal(err)
				}
				plan += line + "\n"
			}
			rows.Close()
			usesIndex := strings.Contains(plan, "Index Scan using users_changed") || strings.Contains(plan, "SEARCH users USING INDEX users_changed (")
			if !usesIndex || strings.Contains(plan, "Sort") || strings.Contains(plan, "TEMP B-TREE") {
				t.Errorf("%s:\n%s", name, plan)
			}
		}
	})
}

// TestKindsOfID pages through ids that are not text.
func TestKindsOfID(t *testing.T) {
	t.Parallel()
	uuid := func(i int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", 100-i) }
	number := func(i int) string { return fmt.Sprint(95 + i) } // 99 and 100 differ in length
	for _, test := range []struct {
		name, kind string
		new        func(*testing.T) *database
		id         func(int) string
	}{
		{"PostgreSQL/bigint", "bigint", newPostgres, number},
		{"PostgreSQL/uuid", "uuid", newPostgres, uuid},
		{"SQLite/integer", "INTEGER", newSQLite, number},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			db, f := test.new(t), newFakeCourier(t)
			db.exec(t, "DROP TABLE users")
			db.exec(t, strings.NewReplacer("text PRIMARY", test.kind+" PRIMARY", "TEXT PRIMARY", test.kind+" PRIMARY").Replace(db.schema))
			var want []string
			for i := range 12 {
				want = append(want, test.id(i))
				db.exec(t, "INSERT INTO users (id, updated_at, name) VALUES ($1, $2, 'Ada')", test.id(i), past)
			}
			f.respond(test.id(7), 400)
			f.respond(test.id(8), 503)
			two := small
			two.page = 2
			if _, err := syncOnce(t, db, f, two); err == nil {
				t.Fatal("there is no error")
			}
			f.respondNormally()
			db.exec(t, "UPDATE users SET updated_at = $1 WHERE id = $2", time.Now(), test.id(7))
			if _, err := syncOnce(t, db, f, two); err != nil {
				t.Fatal(err)
			}
			got := []string{}
			for id := range f.profiles(t) {
				got = append(got, id)
			}
			slices.Sort(got)
			slices.Sort(want)
			if diff := cmp.Diff(want, got); diff != "" || len(db.rejects(t)) != 0 {
				t.Errorf("-want +got\n%s, rejects %v", diff, db.rejects(t))
			}
		})
	}
}

// TestChecksTimes has times that pagination would skip.
func TestChecksTimes(t *testing.T) {
	t.Parallel()
	alter := func(statement string) func(*testing.T, *database) {
		return func(t *testing.T, db *database) { db.exec(t, statement) }
	}
	insert := func(value string) func(*testing.T, *database) {
		return func(t *testing.T, db *database) {
			db.exec(t, "DROP TABLE users")
			db.exec(t, strings.Replace(db.schema, "NOT NULL,", ",", 1))
			if db.driver == "sqlite" {
				db.exec(t, "DROP TABLE users")
				db.exec(t, strings.Replace(db.schema, "updated_at     TEXT NOT NULL", "updated_at     TEXT", 1))
			}
			db.exec(t, "INSERT INTO users (id, updated_at) VALUES ('ada', "+value+")")
		}
	}
	for _, test := range []struct {
		name, want string
		new        func(*testing.T) *database
		prepare    func(*testing.T, *database)
	}{
		{"PostgreSQL/NULL", "users.updated_at is NULL or unusable in 1 row(s)", newPostgres, insert("NULL")},
		{"PostgreSQL/infinity", "give them a finite updated_at", newPostgres, insert("'infinity'")},
		{"PostgreSQL/minus infinity", "give them a finite updated_at", newPostgres, insert("'-infinity'")},
		{"PostgreSQL/without time zone", "change it to timestamptz", newPostgres, alter("ALTER TABLE users ALTER updated_at TYPE timestamp")},
		{"SQLite/NULL", "users.updated_at is NULL or unusable in 1 row(s)", newSQLite, insert("NULL")},
		{"SQLite/CURRENT_TIMESTAMP", "store it as UTC in the form 2006-01-02T15:04:05.000000Z", newSQLite, insert("CURRENT_TIMESTAMP")},
		{"SQLite/milliseconds", "store it as UTC", newSQLite, insert("'2026-01-02T03:04:05.678Z'")},
		{"SQLite/nanoseconds", "store it as UTC", newSQLite, insert("'2026-01-02T03:04:05.678901234Z'")},
		{"SQLite/offset", "store it as UTC", newSQLite, insert("'2026-01-02T03:04:05.678901+01:00'")},
		{"SQLite/Unix time", "store it as UTC", newSQLite, insert("1767323045")},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			db := test.new(t)
			test.prepare(t, db)
			if _, err := openStore(t.Context(), db.url); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, want %s", err, test.want)
			}
		})
	}
}

// TestAdviceOnTimes follows the advice of the check.
func TestAdviceOnTimes(t *testing.T) {
	t.Parallel()
	db, f := newSQLite(t), newFakeCourier(t)
	db.exec(t, "INSERT INTO users (id, updated_at) VALUES ('a', CURRENT_TIMESTAMP), ('b', '2026-01-02T03:04:05.678901234Z'), ('c', '2026-01-02 03:04:05+01:00')")
	db.exec(t, "UPDATE users SET updated_at = strftime('%Y-%m-%dT%H:%M:%f000Z', updated_at)")
	if _, err := syncOnce(t, db, f, small); err != nil || len(f.profiles(t)) != 3 {
		t.Errorf("%v, profiles %v", err, f.profiles(t))
	}
}

// TestSQLiteTimes checks that the text of times compares as the times do.
func TestSQLiteTimes(t *testing.T) {
	t.Parallel()
	d, err := sqlite("users.db")
	if err != nil {
		t.Fatal(err)
	}
	ascending := []time.Time{
		{},
		past.Add(-time.Second),
		past.Add(-time.Microsecond),
		past.In(time.FixedZone("", -5*3600)),
		past.Add(time.Microsecond).In(time.FixedZone("", 14*3600)),
		past.Add(2 * time.Microsecond),
		past.Add(100 * time.Microsecond),
		time.Date(2026, 12, 31, 23, 59, 59, 999_999_999, time.UTC),
		time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC),
		time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	previous := ""
	for _, at := range ascending {
		text := d.timeValue(at).(string)
		if text <= previous {
			t.Errorf("%s is not after %s", text, previous)
		}
		previous = text
		var back timestamp
		if err := back.Scan(text); err != nil || !time.Time(back).Equal(at.Truncate(time.Microsecond)) {
			t.Errorf("%v became %v: %v", at, time.Time(back), err)
		}
	}
}

// TestDateTimeColumn has a column that the SQLite driver reads as a time.
func TestDateTimeColumn(t *testing.T) {
	t.Parallel()
	db, f := newSQLite(t), newFakeCourier(t)
	db.exec(t, "DROP TABLE users")
	db.exec(t, strings.Replace(db.schema, "updated_at     TEXT", "updated_at DATETIME", 1))
	db.addMany(t, 25, past)
	if _, err := syncOnce(t, db, f, small); err != nil || f.count() != 25 {
		t.Errorf("%v, %d requests", err, f.count())
	}
	f.checkNames(t, 25)
}

// TestValueOfAnotherType has a value that does not fit. It must not get into the output.
func TestValueOfAnotherType(t *testing.T) {
	t.Parallel()
	db, f := newSQLite(t), newFakeCourier(t)
	db.exec(t, "INSERT INTO users (id, updated_at, email_verified) VALUES ('ada', $1, 'secret')", past)
	_, err := syncOnce(t, db, f, small)
	if err == nil || !strings.Contains(err.Error(), `"email_verified"`) || strings.Contains(err.Error(), "secret") {
		t.Error(err)
	}
}

// TestRoleWithoutCreate runs as a role that may not create tables.
func TestRoleWithoutCreate(t *testing.T) {
	t.Parallel()
	db, f := newPostgres(t), newFakeCourier(t)
	if _, err := syncOnce(t, db, f, small); err != nil { // creates the tables
		t.Fatal(err)
	}
	db.exec(t, "CREATE ROLE nightly LOGIN; GRANT USAGE ON SCHEMA "+db.url[strings.LastIndex(db.url, "=")+1:]+" TO nightly; GRANT SELECT ON users TO nightly; GRANT SELECT, INSERT, UPDATE, DELETE ON courier_sync, courier_sync_rejects TO nightly")
	db.add(t, "ada", time.Now(), "Ada")
	db.url = strings.Replace(db.url, "user=test", "user=nightly", 1)
	if _, err := syncOnce(t, db, f, small); err != nil || f.name("ada") != "Ada" {
		t.Error(err)
	}
}
