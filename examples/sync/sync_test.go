package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	courier "github.com/courier-profiles/courier-go"
	"github.com/google/go-cmp/cmp"
)

// checkNames checks the profiles of u00, u01, …
func (f *fakeCourier) checkNames(t *testing.T, n int) {
	t.Helper()
	for i := range n {
		id := fmt.Sprintf("u%02d", i)
		if got, want := f.name(id), "Name of "+id; got != want {
			t.Errorf("the profile of %s is named %q, want %q", id, got, want)
		}
	}
}

func TestReadsOnlyWhatChanged(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, db *database) {
		f := newFakeCourier(t)
		db.addMany(t, 25, past)
		s, err := syncOnce(t, db, f, small)
		if err != nil || s.counts.read.Load() != 25 || s.counts.merged.Load() != 25 || f.count() != 25 {
			t.Fatalf("%v, %d rows read, %d merged, %d requests", err, s.counts.read.Load(), s.counts.merged.Load(), f.count())
		}
		f.checkNames(t, 25)

		db.add(t, "u07", time.Now(), "Changed")
		if s, err = syncOnce(t, db, f, small); err != nil || s.counts.read.Load() != 1 {
			t.Fatalf("%v, %d rows read", err, s.counts.read.Load())
		}
		if got := f.name("u07"); got != "Changed" {
			t.Errorf("the name is %s", got)
		}
	})
}

func TestEmptyTable(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, db *database) {
		f := newFakeCourier(t)
		for range 2 {
			if s, err := syncOnce(t, db, f, small); err != nil || s.counts.read.Load() != 0 {
				t.Fatalf("%v, %d rows read", err, s.counts.read.Load())
			}
		}
		db.add(t, "ada", time.Now(), "Ada")
		if _, err := syncOnce(t, db, f, small); err != nil || f.name("ada") != "Ada" {
			t.Errorf("%v, the first row is not synced", err)
		}
	})
}

// TestEqualTimes has many rows of one bulk update, with pages that end among them.
func TestEqualTimes(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, db *database) {
		f := newFakeCourier(t)
		for i := range 25 {
			id := fmt.Sprintf("u%02d", i)
			db.add(t, id, past, "Name of "+id)
		}
		if _, err := syncOnce(t, db, f, small); err != nil || f.count() != 25 {
			t.Errorf("%v, %d requests", err, f.count())
		}
		f.checkNames(t, 25)
	})
}

// TestMicroseconds has rows a microsecond apart, written in other time zones and with
// nanoseconds, which no database keeps.
func TestMicroseconds(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, db *database) {
		f := newFakeCourier(t)
		for i := range 25 {
			id := fmt.Sprintf("u%02d", i)
			zone := time.FixedZone("", (i%24-12)*3600)
			db.add(t, id, past.Add(time.Duration(i)*time.Microsecond+999).In(zone), "Name of "+id)
		}
		one := small
		one.page = 1
		f.respond("u13", 503)
		if _, err := syncOnce(t, db, f, one); err == nil {
			t.Fatal("there is no error")
		}
		f.respondNormally()
		if _, err := syncOnce(t, db, f, one); err != nil {
			t.Fatal(err)
		}
		f.checkNames(t, 25)
		for id, n := range f.operations("merge profile") {
			if n != 1 {
				t.Errorf("%s was merged %d times", id, n)
			}
		}
	})
}

func TestDeletes(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, db *database) {
		f := newFakeCourier(t)
		for _, id := range []string{"deleted", "erased", "both", "revived"} {
			db.add(t, id, past, id)
		}
		s, err := syncOnce(t, db, f, small)
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range []string{"deleted", "erased", "both"} {
			if _, err := s.client.Profiles.Lists.Subscribe(t.Context(), id, []courier.ListSubscription{{ListID: "news"}}); err != nil {
				t.Fatal(err)
			}
		}
		now := time.Now()
		db.add(t, "never had a profile", now, "")
		db.exec(t, "UPDATE users SET updated_at = $1, deleted_at = $1 WHERE id <> 'erased'", now)
		db.exec(t, "UPDATE users SET updated_at = $1, erased_at = $1 WHERE id IN ('erased', 'both')", now)
		f.respond("never had a profile", 404)
		if s, err = syncOnce(t, db, f, small); err != nil {
			t.Fatal(err)
		}
		if deleted, erased := s.counts.deleted.Load(), s.counts.erased.Load(); deleted != 3 || erased != 2 {
			t.Errorf("%d deleted, %d erased", deleted, erased)
		}
		if diff := cmp.Diff(map[string]string{}, f.profiles(t)); diff != "" {
			t.Errorf("profiles: -want +got\n%s", diff)
		}
		for id, want := range map[string]int{"deleted": 1, "erased": 0, "both": 0} {
			if got := len(f.Subscriptions(id)); got != want {
				t.Errorf("%s has %d subscriptions, want %d", id, got, want)
			}
		}

		db.exec(t, "UPDATE users SET updated_at = $1, deleted_at = NULL, name = 'Back' WHERE id = 'revived'", time.Now())
		if _, err := syncOnce(t, db, f, small); err != nil || f.name("revived") != "Back" {
			t.Errorf("%v, the name is %s", err, f.name("revived"))
		}
	})
}

// TestErasureThatFailsHalfway deletes the profile, but cannot end the subscriptions.
func TestErasureThatFailsHalfway(t *testing.T) {
	t.Parallel()
	db, f := newSQLite(t), newFakeCourier(t)
	db.exec(t, "INSERT INTO users (id, updated_at, erased_at) VALUES ('ada', $1, $1)", past)
	f.Fail(noFault, status(503), status(503))
	s, err := syncOnce(t, db, f, small)
	if err == nil || s.counts.erased.Load() != 0 {
		t.Fatalf("%v, %d erased", err, s.counts.erased.Load())
	}
	if s, err = syncOnce(t, db, f, small); err != nil || s.counts.erased.Load() != 1 {
		t.Errorf("%v, %d erased", err, s.counts.erased.Load())
	}
}

func TestSendsNoIdempotencyKeys(t *testing.T) {
	t.Parallel()
	db, f := newSQLite(t), newFakeCourier(t)
	db.addMany(t, 3, past)
	if _, err := syncOnce(t, db, f, small); err != nil {
		t.Fatal(err)
	}
	for _, request := range f.Requests() {
		if request.Header.Get("Idempotency-Key") != "" {
			t.Errorf("%s has an idempotency key", request.Operation)
		}
	}
}

// TestOverlap adds rows that commit late.
func TestOverlap(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, db *database) {
		f := newFakeCourier(t)
		db.addMany(t, 3, past)
		if _, err := syncOnce(t, db, f, small); err != nil {
			t.Fatal(err)
		}
		mark := db.watermark(t)
		db.add(t, "at the watermark", mark.UpdatedAt, "Late")
		db.add(t, "at the edge", mark.UpdatedAt.Add(-small.overlap), "Late")
		db.add(t, "too late", mark.UpdatedAt.Add(-small.overlap-time.Microsecond), "Late")
		s, err := syncOnce(t, db, f, small)
		if err != nil || s.counts.read.Load() != 2 {
			t.Fatalf("%v, %d rows read", err, s.counts.read.Load())
		}
		if f.name("at the watermark") != "Late" || f.name("at the edge") != "Late" || f.name("too late") != "no profile" {
			t.Errorf("the profiles are %v", f.profiles(t))
		}
	})
}

// TestEndsAtItsStart has rows change during a long run. They must not move the
// watermark away from a row that commits late.
func TestEndsAtItsStart(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, db *database) {
		f := newFakeCourier(t)
		db.addMany(t, 25, past)
		before, started := time.Now(), time.Time{}
		f.onRequest(func(request int, _ *http.Request) {
			if request == 1 {
				started = time.Now()
				db.add(t, "u24", started.Add(time.Millisecond), "Changed")
				db.add(t, "new", started.Add(time.Millisecond), "New")
			}
		})
		s, err := syncOnce(t, db, f, small)
		if err != nil || s.counts.read.Load() != 24 {
			t.Fatalf("%v, %d rows read", err, s.counts.read.Load())
		}
		if mark := db.watermark(t); mark.UpdatedAt.After(started) || mark.UpdatedAt.Before(before.Truncate(time.Microsecond)) {
			t.Errorf("the watermark is %v, but the run started between %v and %v", mark.UpdatedAt, before, started)
		}
		db.add(t, "late", started.Add(-30*time.Second), "Late") // committed only now
		if s, err = syncOnce(t, db, f, small); err != nil || s.counts.read.Load() != 3 {
			t.Fatalf("%v, %d rows read", err, s.counts.read.Load())
		}
		if f.name("u24") != "Changed" || f.name("new") != "New" || f.name("late") != "Late" {
			t.Errorf("the profiles are %v", f.profiles(t))
		}
	})
}

// TestFutureTimes has a row from a clock that is wrong. It must not hide the others.
func TestFutureTimes(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, db *database) {
		f := newFakeCourier(t)
		db.add(t, "future", time.Now().Add(time.Hour), "Future")
		db.add(t, "ada", past, "Ada")
		for range 2 {
			if _, err := syncOnce(t, db, f, small); err != nil || f.name("ada") != "Ada" || f.name("future") != "no profile" {
				t.Fatalf("%v, profiles %v", err, f.profiles(t))
			}
			db.add(t, "ada", time.Now(), "Ada")
		}
	})
}

// TestRowInTwoPages has a row change, behind the page that is being sent, to a time
// that the same run still reaches.
func TestRowInTwoPages(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, db *database) {
		f := newFakeCourier(t)
		db.addMany(t, 15, past)
		var once sync.Once
		f.onRequest(func(int, *http.Request) {
			once.Do(func() {
				db.exec(t, "UPDATE users SET updated_at = $1, name = 'Second' WHERE id = 'u01'", past.Add(time.Minute))
				db.exec(t, "UPDATE users SET updated_at = $1, deleted_at = $1 WHERE id = 'u02'", past.Add(time.Minute))
			})
		})
		if s, err := syncOnce(t, db, f, small); err != nil || s.counts.read.Load() != 17 {
			t.Fatalf("%v, %d rows read", err, s.counts.read.Load())
		}
		if f.name("u01") != "Second" || f.name("u02") != "no profile" {
			t.Errorf("the names are %s and %s", f.name("u01"), f.name("u02"))
		}
	})
}

// TestNothingStaysOpen looks at the database while a page is sent: another
// transaction can write, and no cursor and no transaction of the sync is open.
func TestNothingStaysOpen(t *testing.T) {
	t.Parallel()
	t.Run("SQLite", func(t *testing.T) { // in whose default journal mode a reader keeps a writer from its commit
		t.Parallel()
		db, f := newSQLite(t), newFakeCourier(t)
		db.addMany(t, 25, past)
		f.onRequest(func(request int, _ *http.Request) {
			began := time.Now()
			db.add(t, "other", time.Now(), "Other")
			if took := time.Since(began); took > 8*time.Second {
				t.Errorf("a write took %v", took)
			}
		})
		one := small
		one.concurrency = 1
		if _, err := syncOnce(t, db, f, one); err != nil {
			t.Error(err)
		}
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		t.Parallel()
		db, f := newPostgres(t), newFakeCourier(t)
		db.addMany(t, 25, past)
		f.onRequest(func(int, *http.Request) {
			var sessions, busy int
			err := db.QueryRow(`SELECT count(*), count(*) FILTER (WHERE state <> 'idle') FROM pg_stat_activity
				WHERE pid IN (SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objid = 'users'::regclass)`).Scan(&sessions, &busy)
			if err != nil || sessions != 1 || busy != 0 {
				t.Errorf("%v, %d sessions hold the lock of the sync, %d of them are busy", err, sessions, busy)
			}
		})
		if _, err := syncOnce(t, db, f, small); err != nil {
			t.Error(err)
		}
	})
}

// TestOneAtATime starts a sync during another.
func TestOneAtATime(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, db *database) {
		f := newFakeCourier(t)
		db.add(t, "ada", past, "Ada")
		f.onRequest(func(request int, _ *http.Request) {
			if request == 1 {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				if _, err := openStore(ctx, db.url); !errors.Is(err, errLocked) {
					t.Errorf("the second sync: %v", err)
				}
			}
		})
		if _, err := syncOnce(t, db, f, small); err != nil {
			t.Fatal(err)
		}
		if _, err := syncOnce(t, db, f, small); err != nil {
			t.Errorf("after both: %v", err)
		}
	})
}

// TestContextEnds has the context end before and during a run.
func TestContextEnds(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, db *database) {
		f := newFakeCourier(t)
		db.addMany(t, 25, past)
		ctx, cancel := context.WithCancel(t.Context())
		f.onRequest(func(request int, _ *http.Request) {
			if request == 13 {
				cancel()
			}
		})
		if _, err := syncContext(ctx, t, db, f, small); !errors.Is(err, errInterrupted) {
			t.Fatal(err)
		}
		sent := f.count()
		if sent < 13 || sent > 13+small.concurrency {
			t.Errorf("%d requests were sent", sent)
		}
		if _, err := syncOnce(t, db, f, small); err != nil {
			t.Fatal(err)
		}
		f.checkNames(t, 25)
		if repeated := f.count() - 25; repeated > small.concurrency {
			t.Errorf("%d requests were repeated", repeated)
		}
	})
}
