package main

import (
	"database/sql"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/courier-profiles/courier-go/cmd/internal/job"
)

var (
	killRounds = flag.Int("rounds", 12, "`number` of kills of TestKill, on each database")
	killSeed   = flag.Uint64("seed", 0, "`seed` of TestKill; 0 draws one")
)

const killUsers = 120

// TestKill kills the sync at random moments while rows change, some of them in
// transactions that commit late. In the end, the profiles are as the table says.
func TestKill(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, db *testDatabase) {
		seed := *killSeed
		if seed == 0 {
			seed = uint64(time.Now().UnixNano())
		}
		t.Logf("-rounds %d -seed %d", *killRounds, seed)
		random := rand.New(rand.NewPCG(seed, 0))
		f := newFakeCourier(t)
		for i := range killUsers {
			db.add(t, fmt.Sprint("user-", i), past, "Before")
		}
		f.onRequest(func(int, *http.Request) { time.Sleep(2 * time.Millisecond) })

		stop := make(chan struct{})
		var writers sync.WaitGroup
		for range 2 {
			changes := changer{db: db, random: rand.New(rand.NewPCG(seed, random.Uint64()))}
			writers.Go(func() { changes.run(t, stop) })
		}
		args := []string{"-page=10", "-concurrency=4", "-overlap=5s"}
		killed := 0
		for range *killRounds {
			p := newJob(db, f, args...)
			if p.killAtRandom(t, f, random) == -1 {
				killed++
			}
		}
		close(stop)
		writers.Wait()
		newJob(db, f, args...).mustExit(t, job.Done)
		t.Logf("killed %d times, and %d requests arrived", killed, f.count())
		if killed < *killRounds/3 {
			t.Errorf("killed %d times: too few to show anything", killed)
		}
		for i := range killUsers {
			id := fmt.Sprint("user-", i)
			f.checkName(t, id, db.wantName(t, id))
		}
	})
}

// killAtRandom kills the program some time after its first request, and returns the exit
// code, -1 if it did not end by itself before.
func (p *program) killAtRandom(t *testing.T, f *fakeCourier, random *rand.Rand) int {
	t.Helper()
	before := f.count()
	p.start(t)
	for f.count() == before && p.signal(syscall.Signal(0)) == nil {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(time.Duration(random.IntN(80)) * time.Millisecond)
	_ = p.signal(os.Kill)
	_ = p.Wait()
	code := p.ProcessState.ExitCode()
	if code != -1 && code != job.Done {
		t.Fatalf("exit code %d\n%s", code, &p.err)
	}
	return code
}

// wantName returns the name that a user must have at Courier.
func (db *testDatabase) wantName(t *testing.T, id string) string {
	t.Helper()
	var name sql.Null[string]
	var gone bool
	const query = `SELECT name, deleted_at IS NOT NULL OR erased_at IS NOT NULL
		FROM users WHERE id = $1`
	if err := db.QueryRow(query, id).Scan(&name, &gone); err != nil {
		t.Fatal(err)
	}
	switch {
	case gone:
		return "no profile"
	case !name.Valid:
		return "no name"
	}
	return name.V
}

// changer changes random users.
type changer struct {
	db     *testDatabase
	random *rand.Rand
}

func (c *changer) run(t *testing.T, stop chan struct{}) {
	for n := 0; ; n++ {
		select {
		case <-stop:
			return
		case <-time.After(time.Duration(c.random.IntN(5)) * time.Millisecond):
		}
		if err := c.change(n); err != nil {
			t.Error(err)
			return
		}
	}
}

// change commits up to 100 ms after the time that it writes.
func (c *changer) change(n int) error {
	at := c.db.timeValue(time.Now())
	tx, err := c.db.Begin()
	if err != nil {
		return err
	}
	defer tx.Rollback()
	id := fmt.Sprint("user-", c.random.IntN(killUsers))
	set := fmt.Sprintf("name = 'Name %d', deleted_at = NULL, erased_at = NULL", n)
	switch c.random.IntN(6) {
	case 0:
		set = "deleted_at = $1"
	case 1:
		set = "erased_at = $1"
	case 2:
		set = "name = NULL"
	}
	_, err = tx.Exec("UPDATE users SET updated_at = $1, "+set+" WHERE id = $2", at, id)
	if err != nil {
		return err
	}
	if c.random.IntN(10) == 0 {
		time.Sleep(time.Duration(c.random.IntN(100)) * time.Millisecond)
	}
	return tx.Commit()
}

// TestKillRepeatsAPage kills the sync at random requests for rows that do not change.
// Each kill costs no more than a page. Rows in the overlap come once more at the end.
func TestKillRepeatsAPage(t *testing.T) {
	t.Parallel()
	const rows, page, kills = 200, 10, 5
	for _, test := range []struct {
		name    string
		at      time.Time
		overlap int
	}{
		{"old rows", past, 0},
		{"rows in the overlap", time.Now(), rows},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			eachDatabase(t, func(t *testing.T, db *testDatabase) {
				f := newFakeCourier(t)
				for i := range rows {
					db.add(t, fmt.Sprint("user-", i), test.at, "Ada")
				}
				sent := 0
				for range kills {
					p := newJob(db, f, fmt.Sprint("-page=", page), "-concurrency=4")
					sent += f.killDuring(t, p, 20+rand.IntN(15))
				}
				f.onRequest(nil)
				newJob(db, f).mustExit(t, job.Done)
				sent += f.count()
				least, most := rows+test.overlap, rows+test.overlap+kills*page
				if sent < least || sent > most {
					t.Errorf("%d requests for %d rows, want %d to %d", sent, rows, least, most)
				}
				if n := len(f.profiles(t)); n != rows {
					t.Errorf("%d profiles, want %d", n, rows)
				}
			})
		})
	}
}

// killDuring runs the program and kills it at a request. It returns how many requests
// arrived.
func (f *fakeCourier) killDuring(t *testing.T, p *program, kill int) int {
	t.Helper()
	var once sync.Once
	gone := make(chan struct{})
	f.onRequest(func(request int, _ *http.Request) {
		if request >= kill {
			once.Do(func() { _ = p.signal(os.Kill) })
			<-gone // no response to this one, and none to the others
		}
	})
	p.mustExit(t, -1)
	close(gone)
	return f.count()
}

// TestSignals has a request in flight. One signal waits for its response, two do not.
// Both lose nothing.
func TestSignals(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		signals []os.Signal
	}{
		{"SIGINT", []os.Signal{os.Interrupt}},
		{"SIGTERM", []os.Signal{syscall.SIGTERM}},
		{"SIGINT twice", []os.Signal{os.Interrupt, os.Interrupt}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			db, f := newTestSQLite(t), newFakeCourier(t)
			db.addMany(t, 3, past)
			waits := len(test.signals) == 1
			p, gone := newJob(db, f, "-concurrency=1", "-page=1"), make(chan struct{})
			f.onRequest(func(request int, r *http.Request) {
				if request > 1 {
					return
				}
				for _, signal := range test.signals {
					_ = p.signal(signal)
					time.Sleep(200 * time.Millisecond) // two at once would be one
				}
				if !waits {
					<-gone
				}
			})
			p.mustExit(t, job.Interrupted)
			close(gone)
			want := "no profile"
			if waits {
				want = "Name of u00"
			}
			f.checkName(t, "u00", want)
			f.checkName(t, "u01", "no profile")
			f.onRequest(nil)
			newJob(db, f).mustExit(t, job.Done)
			f.checkNames(t, 3)
		})
	}
}

// TestSignalWhileItWaits has another sync of the table run. A signal ends the wait for it.
func TestSignalWhileItWaits(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, db *testDatabase) {
		first := &syncer{options: small}
		if err := first.open(t.Context(), db.url); err != nil {
			t.Fatal(err)
		}
		defer first.store.close()
		p := newJob(db, newFakeCourier(t))
		time.AfterFunc(lockPatience/2, func() { _ = p.signal(syscall.SIGTERM) })
		p.mustExit(t, job.Interrupted)
		if got, want := p.err.String(), "interrupted\n"; got != want {
			t.Errorf("it says %q, want %q", got, want)
		}
	})
}
