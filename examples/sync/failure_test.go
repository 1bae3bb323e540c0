package main

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	courier "github.com/courier-profiles/courier-go"
	"github.com/courier-profiles/courier-go/couriertest"
	"github.com/google/go-cmp/cmp"
)

var noFault couriertest.Fault

func status(code int) couriertest.Fault { return couriertest.Fault{Status: code} }

func TestRejects(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, db *database) {
		f := newFakeCourier(t)
		db.addMany(t, 25, past)
		f.respond("u03", 400)
		f.respond("u04", 413)
		f.respond("u24", 400)
		db.exec(t, `UPDATE users SET custom = '["plan"]' WHERE id = 'u05'`)
		db.add(t, "..", past, "Dots")
		db.add(t, "", past, "Empty")
		db.exec(t, `UPDATE users SET deleted_at = $1 WHERE id = 'u24'`, past)
		s, err := syncOnce(t, db, f, small)
		if err != nil || s.counts.rejected.Load() != 6 || s.counts.merged.Load() != 21 {
			t.Fatalf("%v, %d rejected, %d merged", err, s.counts.rejected.Load(), s.counts.merged.Load())
		}
		got := db.rejects(t)
		for id, want := range map[string]string{
			"u03": "400 test_error: scripted",
			"u04": "413 test_error: scripted",
			"u24": "400 test_error: scripted",
			"u05": "custom: the column must be a JSON object or NULL",
			"..":  "userID: ",
			"":    "userID: ",
		} {
			if !strings.HasPrefix(got[id], want) {
				t.Errorf("%q was rejected for %q, want %q", id, got[id], want)
			}
			delete(got, id)
		}
		if len(got) > 0 {
			t.Errorf("these were rejected: %v", got)
		}

		// A later run leaves them alone until they change, and then clears the entry.
		f.respondNormally()
		if s, err = syncOnce(t, db, f, small); err != nil || s.counts.read.Load() != 0 || len(db.rejects(t)) != 6 {
			t.Fatalf("%v, %d rows read, rejects %v", err, s.counts.read.Load(), db.rejects(t))
		}
		db.exec(t, "UPDATE users SET updated_at = $1, custom = NULL WHERE id IN ('u03', 'u04', 'u05', 'u24')", time.Now())
		db.exec(t, "UPDATE users SET updated_at = $1, deleted_at = $1 WHERE id = 'u04'", time.Now())
		if s, err = syncOnce(t, db, f, small); err != nil || s.counts.rejected.Load() != 0 {
			t.Fatalf("%v, %d rejected", err, s.counts.rejected.Load())
		}
		if got := db.rejects(t); len(got) != 2 {
			t.Errorf("%v are still rejected", got)
		}
	})
}

// TestRejectsTooLarge has a row that is too large for Courier, by its own response.
func TestRejectsTooLarge(t *testing.T) {
	t.Parallel()
	db, f := newSQLite(t), newFakeCourier(t)
	db.add(t, "large", past, strings.Repeat("x", 7<<20))
	db.add(t, "small", past, "Small")
	if s, err := syncOnce(t, db, f, small); err != nil || s.counts.rejected.Load() != 1 || f.name("small") != "Small" {
		t.Fatalf("%v, %d rejected", err, s.counts.rejected.Load())
	}
	if got := db.rejects(t)["large"]; !strings.HasPrefix(got, "413 ") {
		t.Errorf("the reason is %q", got)
	}
}

// TestRejectsBrokenText has text that is not UTF-8, which SQLite accepts.
func TestRejectsBrokenText(t *testing.T) {
	t.Parallel()
	db, f := newSQLite(t), newFakeCourier(t)
	db.exec(t, "INSERT INTO users (id, updated_at, name, custom) VALUES ('name', $1, CAST(x'ff' AS TEXT), NULL), ('custom', $1, 'C', '{')", past)
	if _, err := syncOnce(t, db, f, small); err != nil {
		t.Fatal(err)
	}
	got := db.rejects(t)
	if !strings.HasPrefix(got["name"], "profile.name: ") || got["custom"] != "custom: the column is not valid JSON" || len(got) != 2 {
		t.Errorf("the reasons are %q", got)
	}
}

// TestRejectsRowsWithoutID has ids that are NULL, which no page can contain.
func TestRejectsRowsWithoutID(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, db *database) {
		db.exec(t, "DROP TABLE users")
		db.exec(t, strings.NewReplacer(" PRIMARY KEY", "", " NOT NULL", "").Replace(db.schema))
		f := newFakeCourier(t)
		db.exec(t, "INSERT INTO users (id, updated_at, name) VALUES ('ada', $1, 'Ada'), (NULL, $1, 'A'), (NULL, $1, 'B'), ('bo', $1, 'Bo')", past)
		one := small
		one.page = 1
		s, err := syncOnce(t, db, f, one)
		if err != nil || s.counts.rejected.Load() != 2 || f.name("ada") != "Ada" || f.name("bo") != "Bo" {
			t.Fatalf("%v, %d rejected, profiles %v", err, s.counts.rejected.Load(), f.profiles(t))
		}
		if diff := cmp.Diff(map[string]string{"": "a row has no id: give it one, or delete it"}, db.rejects(t)); diff != "" {
			t.Errorf("-want +got\n%s", diff)
		}
		db.exec(t, "UPDATE users SET id = name, updated_at = $1 WHERE name = 'A'", time.Now())
		db.exec(t, "UPDATE users SET deleted_at = $1 WHERE name = 'B'", past)
		if _, err = syncOnce(t, db, f, one); err != nil || f.name("A") != "A" || len(db.rejects(t)) != 0 {
			t.Errorf("%v, profiles %v, rejects %v", err, f.profiles(t), db.rejects(t))
		}
	})
}

// TestFailure has a row that gets no success, for a reason that is not its own.
func TestFailure(t *testing.T) {
	t.Parallel()
	const noResponse = 0
	for _, code := range []int{noResponse, 500, 503, 429, 409} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			t.Parallel()
			eachDatabase(t, func(t *testing.T, db *database) {
				f := newFakeCourier(t)
				db.addMany(t, 25, past)
				f.respond("u13", code)
				f.respond("u15", 400)
				s, err := syncOnce(t, db, f, small)
				if err == nil || !strings.Contains(err.Error(), past.Add(13*time.Second).Format(time.RFC3339Nano)) || strings.Contains(err.Error(), "u13") {
					t.Fatal(err)
				}
				if mark := db.watermark(t); mark.ID.V != "u12" || !mark.UpdatedAt.Equal(past.Add(12*time.Second)) {
					t.Errorf("the watermark is %v", mark)
				}
				if got := s.counts.merged.Load(); got != 18 || len(db.rejects(t)) != 1 {
					t.Errorf("%d rows of two pages were merged, and rejected %v", got, db.rejects(t))
				}
				f.respondNormally()
				if s, err = syncOnce(t, db, f, small); err != nil || s.counts.merged.Load() != 12 {
					t.Errorf("then %v, %d merged", err, s.counts.merged.Load())
				}
				f.checkNames(t, 25)
				if got := db.rejects(t); len(got) != 0 {
					t.Errorf("rejects %v", got)
				}
			})
		})
	}
}

// TestFirstRowFails leaves the watermark before all rows.
func TestFirstRowFails(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, db *database) {
		f := newFakeCourier(t)
		db.addMany(t, 3, past)
		for range 2 {
			f.respond("u00", 503)
			if _, err := syncOnce(t, db, f, small); err == nil {
				t.Fatal("there is no error")
			}
		}
		f.respondNormally()
		if _, err := syncOnce(t, db, f, small); err != nil {
			t.Fatal(err)
		}
		f.checkNames(t, 3)
	})
}

// TestFailureInTheOverlap has a failure among rows that an earlier run read already.
func TestFailureInTheOverlap(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, db *database) {
		f := newFakeCourier(t)
		if _, err := syncOnce(t, db, f, small); err != nil {
			t.Fatal(err)
		}
		end := db.watermark(t).UpdatedAt
		db.addMany(t, 5, end.Add(-10*time.Second))
		for range 20 { // each of which would creep back by the overlap
			f.respond("u02", 503)
			if _, err := syncOnce(t, db, f, small); err == nil {
				t.Fatal("there is no error")
			}
			if mark := db.watermark(t); mark.ID.V != "u01" || mark.UpdatedAt.Before(end.Add(-small.overlap)) {
				t.Fatalf("the watermark is %v", mark)
			}
		}
		f.respondNormally()
		if _, err := syncOnce(t, db, f, small); err != nil {
			t.Fatal(err)
		}
		f.checkNames(t, 5)
	})
}

// TestOutage has nothing work. The run must not try every row of a large page.
func TestOutage(t *testing.T) {
	t.Parallel()
	db, f := newSQLite(t), newFakeCourier(t)
	for i := range 300 {
		id := fmt.Sprint("user-", i)
		db.add(t, id, past, id)
		f.respond(id, 500)
	}
	large := small
	large.page = 1000
	if _, err := syncOnce(t, db, f, large); err == nil {
		t.Fatal("there is no error")
	}
	// MergeAll buffers up to 16 times the concurrency, and each row is tried twice.
	if got := f.count(); got > 2*(maxFailures+16*large.concurrency) {
		t.Errorf("%d requests were sent", got)
	}
}

func TestWrongKey(t *testing.T) {
	t.Parallel()
	for _, code := range []int{401, 403} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			t.Parallel()
			eachDatabase(t, func(t *testing.T, db *database) {
				f := newFakeCourier(t)
				db.addMany(t, 25, past)
				db.exec(t, "UPDATE users SET erased_at = $1 WHERE id IN ('u19', 'u20')", past)
				f.respond("u13", code)
				if _, err := syncOnce(t, db, f, small); !isDenied(err) {
					t.Fatal(err)
				}
				if mark := db.watermark(t); mark.UpdatedAt.After(past.Add(12*time.Second)) || len(db.rejects(t)) != 0 {
					t.Errorf("the watermark is %v, rejects %v", mark, db.rejects(t))
				}
				if deletes := f.operations("delete profile"); len(deletes) != 0 {
					t.Errorf("these were deleted after that: %v", deletes)
				}
				f.respondNormally()
				if _, err := syncOnce(t, db, f, small); err != nil {
					t.Fatal(err)
				}
				db.exec(t, "DELETE FROM users WHERE erased_at IS NOT NULL")
				if got := len(f.profiles(t)); got != 23 {
					t.Errorf("there are %d profiles", got)
				}
			})
		})
	}
}

// TestErrorOrder has the error that explains a stop win over those it caused.
func TestErrorOrder(t *testing.T) {
	t.Parallel()
	denied := &courier.AuthenticationError{}
	failed := &courier.ServerError{}
	notSent := fmt.Errorf("merge profile: %w", errNotSent)
	order := []error{notSent, failed, fmt.Errorf("then: %w", denied)}
	for i := range order[1:] {
		if severity(order[i]) >= severity(order[i+1]) {
			t.Errorf("%v is as severe as %v", order[i], order[i+1])
		}
	}
}

// TestDatabaseIsLost loses the connection while a page is sent.
func TestDatabaseIsLost(t *testing.T) {
	t.Parallel()
	db, f := newPostgres(t), newFakeCourier(t)
	db.addMany(t, 25, past)
	f.onRequest(func(request int, _ *http.Request) {
		if request == 13 {
			db.exec(t, "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND objid = 'users'::regclass")
		}
	})
	if _, err := syncOnce(t, db, f, small); !errors.Is(err, errSave) {
		t.Fatal(err)
	}
	if _, err := syncOnce(t, db, f, small); err != nil {
		t.Fatal(err)
	}
	f.checkNames(t, 25)
	if f.count() > 35 {
		t.Errorf("%d requests for 25 rows and pages of 10", f.count())
	}
}
