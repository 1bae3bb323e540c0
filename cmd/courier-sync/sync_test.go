package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	courier "github.com/courier-profiles/courier-go"
	"github.com/courier-profiles/courier-go/cmd/internal/job"
	"github.com/courier-profiles/courier-go/couriertest"
)

func TestReadsOnlyWhatChanged(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, db *testDatabase) {
		f := newFakeCourier(t)
		db.addMany(t, 25, past)
		s := mustSync(t, db, f, small)
		checkCount(t, "read", &s.read, 25)
		checkCount(t, "merged", &s.merged, 25)
		f.checkNames(t, 25)

		db.add(t, "u07", time.Now(), "Changed")
		s = mustSync(t, db, f, small)
		checkCount(t, "read", &s.read, 1)
		f.checkName(t, "u07", "Changed")
	})
}

func TestEmptyTable(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, db *testDatabase) {
		f := newFakeCourier(t)
		for range 2 {
			s := mustSync(t, db, f, small)
			checkCount(t, "read", &s.read, 0)
		}
		db.add(t, "ada", time.Now(), "Ada")
		mustSync(t, db, f, small)
		f.checkName(t, "ada", "Ada")
	})
}

// TestEqualTimes has many rows of one bulk update, with pages that end among them.
func TestEqualTimes(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, db *testDatabase) {
		f := newFakeCourier(t)
		for i := range 25 {
			id := fmt.Sprintf("u%02d", i)
			db.add(t, id, past, "Name of "+id)
		}
		mustSync(t, db, f, small)
		f.checkNames(t, 25)
		if n := f.count(); n != 25 {
			t.Errorf("%d requests for 25 rows", n)
		}
	})
}

// TestMicroseconds has rows a microsecond apart, written in other time zones and with
// nanoseconds, which no database keeps.
func TestMicroseconds(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, db *testDatabase) {
		f := newFakeCourier(t)
		for i := range 25 {
			id := fmt.Sprintf("u%02d", i)
			zone := time.FixedZone("", (i%24-12)*3600)
			at := past.Add(time.Duration(i)*time.Microsecond + 999).In(zone)
			db.add(t, id, at, "Name of "+id)
		}
		one := small
		one.page = 1
		f.respond("u13", fault{status: 503})
		mustStop(t, db, f, one)
		f.respondNormally()
		mustSync(t, db, f, one)
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
	eachDatabase(t, func(t *testing.T, db *testDatabase) {
		f := newFakeCourier(t)
		subscribers := []string{"deleted", "erased", "both"}
		for _, id := range append(subscribers, "revived") {
			db.add(t, id, past, id)
		}
		s := mustSync(t, db, f, small)
		news := []courier.ListSubscription{{ListID: "news"}}
		for _, id := range subscribers {
			if _, err := s.client.Profiles.Lists.Subscribe(t.Context(), id, news); err != nil {
				t.Fatal(err)
			}
		}
		now := time.Now()
		db.add(t, "never had a profile", now, "")
		f.respond("never had a profile", fault{status: 404})
		db.exec(t, "UPDATE users SET updated_at = $1, deleted_at = $1 WHERE id <> 'erased'", now)
		db.exec(t, `UPDATE users SET updated_at = $1, erased_at = $1
			WHERE id IN ('erased', 'both')`, now)
		s = mustSync(t, db, f, small)
		checkCount(t, "deleted", &s.deleted, 3)
		checkCount(t, "erased", &s.erased, 2)
		if diff := cmp.Diff(map[string]string{}, f.profiles(t)); diff != "" {
			t.Errorf("profiles: -want +got\n%s", diff)
		}
		for id, want := range map[string]int{"deleted": 1, "erased": 0, "both": 0} {
			if got := len(f.Subscriptions(id)); got != want {
				t.Errorf("%s has %d subscriptions, want %d", id, got, want)
			}
		}

		db.exec(t, `UPDATE users SET updated_at = $1, deleted_at = NULL, name = 'Back'
			WHERE id = 'revived'`, time.Now())
		mustSync(t, db, f, small)
		f.checkName(t, "revived", "Back")
	})
}

// TestErasureThatFails cannot delete the profile, or deletes it but cannot end the
// subscriptions.
func TestErasureThatFails(t *testing.T) {
	t.Parallel()
	failure := couriertest.Fault{Status: 503}
	for name, faults := range map[string][]couriertest.Fault{
		"at once": {failure, failure}, "halfway": {{}, failure, failure},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db, f := newTestSQLite(t), newFakeCourier(t)
			db.exec(t, "INSERT INTO users (id, updated_at, erased_at) VALUES ('ada', $1, $1)", past)
			f.Fail(faults...)
			s, _ := mustStop(t, db, f, small)
			checkCount(t, "erased", &s.erased, 0)
			s = mustSync(t, db, f, small)
			checkCount(t, "erased", &s.erased, 1)
		})
	}
}

// TestErasureOfNobody has a user of whom Courier knows nothing.
func TestErasureOfNobody(t *testing.T) {
	t.Parallel()
	db, f := newTestSQLite(t), newFakeCourier(t)
	db.exec(t, "INSERT INTO users (id, updated_at, erased_at) VALUES ('ada', $1, $1)", past)
	f.respond("ada", fault{status: 404})
	s := mustSync(t, db, f, small)
	checkCount(t, "erased", &s.erased, 1)
}

func TestSendsNoIdempotencyKeys(t *testing.T) {
	t.Parallel()
	db, f := newTestSQLite(t), newFakeCourier(t)
	db.addMany(t, 3, past)
	mustSync(t, db, f, small)
	for _, request := range f.Requests() {
		if request.Header.Get("Idempotency-Key") != "" {
			t.Errorf("%s has an idempotency key", request.Operation)
		}
	}
}

// TestOverlap adds rows that commit late.
func TestOverlap(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, db *testDatabase) {
		f := newFakeCourier(t)
		db.addMany(t, 3, past)
		mustSync(t, db, f, small)
		mark := db.watermark(t).UpdatedAt
		edge := mark.Add(-small.overlap)
		db.add(t, "at the watermark", mark, "Late")
		db.add(t, "at the edge", edge, "Late")
		db.add(t, "too late", edge.Add(-time.Microsecond), "Late")
		mustSync(t, db, f, small)
		f.checkName(t, "at the watermark", "Late")
		f.checkName(t, "at the edge", "Late")
		f.checkName(t, "too late", "no profile")
	})
}

// TestEndsAtItsStart has rows change during a long run. They must not move the
// watermark away from a row that commits late.
func TestEndsAtItsStart(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, db *testDatabase) {
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
		s := mustSync(t, db, f, small)
		checkCount(t, "read", &s.read, 24)
		mark := db.watermark(t).UpdatedAt
		if mark.After(started) || mark.Before(before.Truncate(time.Microsecond)) {
			t.Errorf("the watermark is %v, and the run started between %v and %v",
				mark, before, started)
		}
		db.add(t, "late", started.Add(-30*time.Second), "Late") // committed only now
		s = mustSync(t, db, f, small)
		checkCount(t, "read", &s.read, 3)
		f.checkName(t, "u24", "Changed")
		f.checkName(t, "new", "New")
		f.checkName(t, "late", "Late")
	})
}

// TestFutureTimes has a row from a clock that is wrong. It must not hide the others.
func TestFutureTimes(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, db *testDatabase) {
		f := newFakeCourier(t)
		db.add(t, "future", time.Now().Add(time.Hour), "Future")
		for i := range 2 {
			name := fmt.Sprint("Name ", i)
			db.add(t, "ada", time.Now(), name)
			mustSync(t, db, f, small)
			f.checkName(t, "ada", name)
		}
		f.checkName(t, "future", "no profile")
	})
}

// TestClockWasAhead has a last run by a clock that was wrong. A run from its end on would miss
// what changed since, so the sync stops, and works as it advises.
func TestClockWasAhead(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, db *testDatabase) {
		f := newFakeCourier(t)
		mustSync(t, db, f, small)
		db.exec(t, "UPDATE courier_sync SET updated_at = $1", time.Now().Add(time.Hour))
		db.add(t, "ada", time.Now().Add(-2*small.overlap), "Ada")
		for range 2 {
			_, text := mustStop(t, db, f, small)
			checkContains(t, text, "DELETE FROM courier_sync")
		}
		db.exec(t, "DELETE FROM courier_sync")
		mustSync(t, db, f, small)
		f.checkName(t, "ada", "Ada")
	})
}

// TestRowInTwoPages has a row change, behind the page that is being sent, to a time
// that the same run still reaches.
func TestRowInTwoPages(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, db *testDatabase) {
		f := newFakeCourier(t)
		db.addMany(t, 15, past)
		later := past.Add(time.Minute)
		var once sync.Once
		f.onRequest(func(int, *http.Request) {
			once.Do(func() {
				db.add(t, "u01", later, "Second")
				db.exec(t, `UPDATE users SET updated_at = $1, deleted_at = $1
					WHERE id = 'u02'`, later)
			})
		})
		s := mustSync(t, db, f, small)
		checkCount(t, "read", &s.read, 17)
		f.checkName(t, "u01", "Second")
		f.checkName(t, "u02", "no profile")
	})
}

// TestWritersCanCommit writes while a page is sent. In SQLite's default journal mode, a
// reader would keep a writer from its commit.
func TestWritersCanCommit(t *testing.T) {
	t.Parallel()
	db, f := newTestSQLite(t), newFakeCourier(t)
	db.addMany(t, 25, past)
	f.onRequest(func(int, *http.Request) {
		db.add(t, "other", time.Now(), "Other") // fails after 10 s if it has to wait
	})
	one := small
	one.concurrency = 1
	mustSync(t, db, f, one)
}

// TestNothingStaysOpen looks at the session of the sync while a page is sent.
func TestNothingStaysOpen(t *testing.T) {
	t.Parallel()
	db, f := newTestPostgres(t), newFakeCourier(t)
	db.addMany(t, 25, past)
	f.onRequest(func(int, *http.Request) {
		var sessions, busy int
		const query = `SELECT count(*), count(*) FILTER (WHERE state <> 'idle')
			FROM pg_stat_activity WHERE pid IN (SELECT pid FROM pg_locks
			WHERE locktype = 'advisory' AND objid = 'users'::regclass)`
		if err := db.QueryRow(query).Scan(&sessions, &busy); err != nil {
			t.Error(err)
		}
		if sessions != 1 {
			t.Errorf("%d sessions hold the lock of the sync, want 1", sessions)
		}
		if busy != 0 {
			t.Error("a statement or a transaction of the sync is open")
		}
	})
	mustSync(t, db, f, small)
}

// TestConcurrency counts the requests in flight, of merges and of deletions.
func TestConcurrency(t *testing.T) {
	t.Parallel()
	db, f := newTestSQLite(t), newFakeCourier(t)
	db.addMany(t, 60, past)
	db.exec(t, "UPDATE users SET deleted_at = $1 WHERE id >= 'u30'", past)
	large := small
	large.page = 60
	var inFlight atomic.Int64
	f.onRequest(func(int, *http.Request) {
		if n := inFlight.Add(1); n > int64(large.concurrency) {
			t.Errorf("%d requests in flight, want at most %d", n, large.concurrency)
		}
		time.Sleep(5 * time.Millisecond)
		inFlight.Add(-1)
	})
	mustSync(t, db, f, large)
}

// TestDrainOfAFullCourier drains a run when Courier, which was full, has fewer requests in
// flight than the sync may send. What waits for its turn is not sent.
func TestDrainOfAFullCourier(t *testing.T) {
	t.Parallel()
	db, f := newTestSQLite(t), newFakeCourier(t)
	db.addMany(t, 60, past)
	large := small
	large.page, large.concurrency = 60, 16
	s := &syncer{options: large, client: f.client(t), out: t.Output()}
	if err := s.open(t.Context(), db.url); err != nil {
		t.Fatal(err)
	}
	defer s.store.close()
	for i := range 16 {
		f.FailUser(fmt.Sprintf("u%02d", i), couriertest.Fault{Status: 503})
	}
	drain, stop := context.WithCancel(t.Context())
	full, draining := make(chan struct{}), make(chan struct{})
	var later atomic.Int64
	f.onRequest(func(request int, r *http.Request) {
		switch {
		case request < 16:
			<-full
		case request == 16:
			close(full)
		case path.Base(r.URL.Path) >= "u16":
			// 503s halve the 16 in flight to 8, and the 16 retries add 1.
			if later.Add(1) == 9 {
				stop()
				close(draining)
			}
			<-draining
		}
	})
	if err := s.run(t.Context(), drain); !errors.Is(err, job.ErrInterrupted) {
		t.Errorf("error %v, want %v", err, job.ErrInterrupted)
	}
	if n := later.Load(); n != 9 {
		t.Errorf("%d rows were sent after the 16 retries, want the 9 in flight", n)
	}
}

// TestOneAtATime starts a sync during another.
func TestOneAtATime(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, db *testDatabase) {
		f := newFakeCourier(t)
		db.add(t, "ada", past, "Ada")
		f.onRequest(func(request int, _ *http.Request) {
			if request != 1 {
				return
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			second := &syncer{options: small}
			if err := second.open(ctx, db.url); !errors.Is(err, errLocked) {
				t.Errorf("the second sync: error %v, want %v", err, errLocked)
			}
		})
		mustSync(t, db, f, small)
		mustSync(t, db, f, small)
	})
}

// TestOneAtATimeByAnyName starts a sync with another name of a file during a sync of it.
func TestOneAtATimeByAnyName(t *testing.T) {
	t.Parallel()
	db := newTestSQLite(t)
	link := filepath.Join(t.TempDir(), "link.db")
	if err := os.Symlink(strings.TrimPrefix(db.url, "sqlite:"), link); err != nil {
		t.Fatal(err)
	}
	first := &syncer{options: small}
	if err := first.open(t.Context(), db.url); err != nil {
		t.Fatal(err)
	}
	defer first.store.close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	second := &syncer{options: small}
	if err := second.open(ctx, "sqlite:"+link); !errors.Is(err, errLocked) {
		t.Errorf("the second sync: error %v, want %v", err, errLocked)
	}
}

// TestDrain ends a run gracefully: every request that began is finished, and few rows are
// sent twice.
func TestDrain(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, db *testDatabase) {
		f := newFakeCourier(t)
		db.addMany(t, 60, past)
		o := small
		o.concurrency, o.page = 1, 20
		s := &syncer{options: o, client: f.client(t), out: t.Output()}
		if err := s.open(t.Context(), db.url); err != nil {
			t.Fatal(err)
		}
		drain := f.after(t, 25)
		if err := s.run(t.Context(), drain); !errors.Is(err, job.ErrInterrupted) {
			t.Errorf("error %v, want %v", err, job.ErrInterrupted)
		}
		s.store.close()
		for _, request := range f.Requests() {
			if request.Status != http.StatusOK {
				t.Errorf("a request ended with status %d", request.Status)
			}
		}
		sent := f.count()
		if sent > 26 {
			t.Errorf("%d requests, want no more than one after the 25th", sent)
		}
		mustSync(t, db, f, small)
		f.checkNames(t, 60)
		if repeated := len(f.Requests()) - 60; repeated > 0 {
			t.Errorf("%d rows were sent twice", repeated)
		}
	})
}
