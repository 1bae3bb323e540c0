package main

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestRejects has rows that Courier or the client refuses. They are rejected, and the others
// are merged. A later run reads them only if they changed, and clears those that it can sync.
func TestRejects(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, db *testDatabase) {
		f := newFakeCourier(t)
		db.addMany(t, 25, past)
		f.respond("u03", fault{status: 400})
		f.respond("u04", fault{status: 413})
		f.respond("u24", fault{status: 400})
		db.exec(t, `UPDATE users SET custom = '["plan"]' WHERE id = 'u05'`)
		db.exec(t, `UPDATE users SET deleted_at = $1 WHERE id = 'u24'`, past)
		db.add(t, "..", past, "Dots")
		db.add(t, "", past, "Empty")
		s := mustSync(t, db, f, small)
		checkCount(t, "rejected", &s.rejected, 6)
		checkCount(t, "merged", &s.merged, 21)
		want := map[string]string{
			"u03": "400 test_error: scripted",
			"u04": "413 test_error: scripted",
			"u24": "400 test_error: scripted",
			"u05": "custom: the column must be a JSON object or NULL",
			"..":  "userID: ",
			"":    "userID: ",
		}
		checkRejects(t, db, want)

		f.respondNormally()
		s = mustSync(t, db, f, small)
		checkCount(t, "read by the second run", &s.read, 0)
		checkRejects(t, db, want)

		// All change but the two without a valid id.
		db.exec(t, `UPDATE users SET updated_at = $1, custom = NULL
			WHERE id IN ('u03', 'u05', 'u24')`, time.Now())
		db.exec(t, "UPDATE users SET updated_at = $1, deleted_at = $1 WHERE id = 'u04'", time.Now())
		s = mustSync(t, db, f, small)
		checkCount(t, "rejected by the third run", &s.rejected, 0)
		checkRejects(t, db, map[string]string{"..": "userID: ", "": "userID: "})
	})
}

// TestRejectsTooLarge has a row that is too large for Courier, which responds with a 413.
func TestRejectsTooLarge(t *testing.T) {
	t.Parallel()
	db, f := newTestSQLite(t), newFakeCourier(t)
	db.add(t, "large", past, strings.Repeat("x", 7<<20))
	db.add(t, "small", past, "Small")
	mustSync(t, db, f, small)
	f.checkName(t, "small", "Small")
	checkRejects(t, db, map[string]string{"large": "413 "})
}

// TestRejectsBrokenText has text that is not UTF-8, which SQLite accepts.
func TestRejectsBrokenText(t *testing.T) {
	t.Parallel()
	db, f := newTestSQLite(t), newFakeCourier(t)
	db.exec(t, `INSERT INTO users (id, updated_at, name) VALUES
		('ada', $1, CAST(x'ff' AS TEXT)), ('bo', $1, 'Bo')`, past)
	mustSync(t, db, f, small)
	f.checkName(t, "bo", "Bo")
	checkRejects(t, db, map[string]string{"ada": "profile.name: "})
}

// TestRejectsRowsWithoutID has ids that are NULL, which no page can contain. The rows are
// counted as rejected, until they have an id.
func TestRejectsRowsWithoutID(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, db *testDatabase) {
		db.create(t, "id text, name text, updated_at "+db.timeType())
		f := newFakeCourier(t)
		db.exec(t, `INSERT INTO users (id, updated_at, name) VALUES
			('ada', $1, 'Ada'), (NULL, $1, 'A'), (NULL, $1, 'B'), ('bo', $1, 'Bo')`, past)
		pagesOf1 := small
		pagesOf1.page = 1
		s := mustSync(t, db, f, pagesOf1)
		checkCount(t, "rejected", &s.rejected, 2)
		f.checkName(t, "ada", "Ada")
		f.checkName(t, "bo", "Bo")
		db.exec(t, "UPDATE users SET id = name, updated_at = $1 WHERE id IS NULL", time.Now())
		s = mustSync(t, db, f, pagesOf1)
		checkCount(t, "rejected later", &s.rejected, 0)
		f.checkName(t, "A", "A")
		f.checkName(t, "B", "B")
	})
}

// TestFailure has a row that fails for a reason that is not its own. The sync stops, the
// watermark stays before that row, and the next run resumes there.
func TestFailure(t *testing.T) {
	t.Parallel()
	const noResponse = 0
	for _, status := range []int{noResponse, 500, 501, 503, 429, 409} {
		name := fmt.Sprint(status)
		if status == noResponse {
			name = "no response"
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachDatabase(t, func(t *testing.T, db *testDatabase) {
				f := newFakeCourier(t)
				db.addMany(t, 25, past)
				db.exec(t, "UPDATE users SET deleted_at = $1 WHERE id = 'u19'", past)
				f.respond("u13", fault{status: status})
				f.respond("u11", fault{status: 400})
				_, text := mustStop(t, db, f, small)
				timeOfU13 := past.Add(13 * time.Second)
				checkContains(t, text, timeOfU13.Format(time.RFC3339Nano))
				checkOmits(t, text, "u13")
				checkRejects(t, db, map[string]string{"u11": "400 "})
				if got := db.watermark(t).ID.V; got != "u12" {
					t.Errorf("the watermark is after %s, want u12", got)
				}
				// u19 is on the same page, after the failure.
				if n := f.operations("delete profile")["u19"]; n != 0 {
					t.Errorf("%d deletions of u19, want none after a failure", n)
				}

				f.respondNormally()
				db.exec(t, "UPDATE users SET deleted_at = NULL WHERE id = 'u19'")
				db.exec(t, "UPDATE users SET updated_at = $1 WHERE id = 'u11'", time.Now())
				mustSync(t, db, f, small)
				f.checkNames(t, 25)
				checkRejects(t, db, nil)
			})
		})
	}
}

// TestRefusedKey has Courier refuse the API key in the middle of a run. The sync stops there,
// and rejects no row.
func TestRefusedKey(t *testing.T) {
	t.Parallel()
	for _, status := range []int{401, 403} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			db, f := newTestSQLite(t), newFakeCourier(t)
			db.addMany(t, 25, past)
			f.respond("u13", fault{status: status})
			_, text := mustStop(t, db, f, small)
			checkContains(t, text, fmt.Sprint(status, " test_error"))
			checkRejects(t, db, nil)
			// The page of u00 to u09 was synced, and u13 was not.
			if got := db.watermark(t).ID.V; got < "u09" || got > "u12" {
				t.Errorf("the watermark is after %s, want u09 to u12", got)
			}
			f.respondNormally()
			mustSync(t, db, f, small)
			f.checkNames(t, 25)
		})
	}
}

// TestFailureStopsThePage has many rows of a page after one that fails. Of those, only as many
// are sent as may be in flight with it: here none.
func TestFailureStopsThePage(t *testing.T) {
	t.Parallel()
	db, f := newTestSQLite(t), newFakeCourier(t)
	db.addMany(t, 60, past)
	f.respond("u13", fault{status: 503})
	one := small
	one.page, one.concurrency = 60, 1
	mustStop(t, db, f, one)
	f.checkName(t, "u14", "no profile")
}

// TestFirstRowFails stops twice at the first row of all. A run after that skips no row.
func TestFirstRowFails(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, db *testDatabase) {
		f := newFakeCourier(t)
		db.addMany(t, 3, past)
		f.respond("u00", fault{status: 503})
		mustStop(t, db, f, small)
		mustStop(t, db, f, small)
		f.respondNormally()
		mustSync(t, db, f, small)
		f.checkNames(t, 3)
	})
}

// TestFailureInTheOverlap has a failure among rows that are older than the last run, but
// within its overlap. Each run resumes at that row: none goes back by another overlap.
func TestFailureInTheOverlap(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, db *testDatabase) {
		f := newFakeCourier(t)
		mustSync(t, db, f, small)
		end := db.watermark(t).UpdatedAt
		db.addMany(t, 5, end.Add(-10*time.Second))
		f.respond("u02", fault{status: 503})
		for range 20 {
			mustStop(t, db, f, small)
			if got := db.watermark(t).ID.V; got != "u01" {
				t.Fatalf("the watermark is after %s, want u01", got)
			}
		}
		f.respondNormally()
		mustSync(t, db, f, small)
		f.checkNames(t, 5)
	})
}

// TestOutage has every request fail. The run must not try every row of a large page.
func TestOutage(t *testing.T) {
	t.Parallel()
	for name, outage := range map[string]fault{
		"Courier":          {status: 500},
		"a captive portal": {status: 200, foreign: true},
		"a wrong base URL": {status: 404, foreign: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db, f := newTestSQLite(t), newFakeCourier(t)
			const rows = 300
			for i := range rows {
				id := fmt.Sprint("user-", i)
				db.add(t, id, past, id)
				f.respond(id, outage)
			}
			large := small
			large.page = 1000
			mustStop(t, db, f, large)
			if n := f.count(); n >= rows {
				t.Errorf("%d requests were sent, want fewer than %d", n, rows)
			}
			checkRejects(t, db, nil)
			f.respondNormally()
			s := mustSync(t, db, f, large)
			checkCount(t, "merged in the end", &s.merged, rows)
		})
	}
}

// TestDatabaseIsLost ends the connection to the database while the second page is sent. The
// next run repeats at most that page.
func TestDatabaseIsLost(t *testing.T) {
	t.Parallel()
	db, f := newTestPostgres(t), newFakeCourier(t)
	db.addMany(t, 25, past)
	f.onRequest(func(request int, _ *http.Request) {
		if request == 13 {
			db.exec(t, `SELECT pg_terminate_backend(pid) FROM pg_locks
				WHERE locktype = 'advisory' AND objid = 'users'::regclass`)
		}
	})
	_, err := syncOnce(t, db, f, small)
	if !errors.Is(err, errSave) {
		t.Fatalf("got the error %v, want %v", err, errSave)
	}
	mustSync(t, db, f, small)
	f.checkNames(t, 25)
	if n := f.count(); n > 25+10 {
		t.Errorf("%d requests for 25 rows and pages of 10, want at most 35", n)
	}
}
