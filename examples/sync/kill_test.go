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

	"github.com/google/go-cmp/cmp"
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
	eachDatabase(t, func(t *testing.T, db *database) {
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
		killed, sent := 0, 0
		for range *killRounds {
			before := f.count()
			p := newJob(db, f, args...)
			p.start(t)
			for f.count() == before && p.alive() { // until it has begun
				time.Sleep(time.Millisecond)
			}
			time.Sleep(time.Duration(random.IntN(80)) * time.Millisecond)
			_ = p.signal(os.Kill)
			_ = p.Wait()
			switch code := p.ProcessState.ExitCode(); code {
			case -1:
				killed++
			case exitDone:
			default:
				t.Fatalf("exit code %d\n%s", code, &p.err)
			}
			sent += f.count() - before
		}
		close(stop)
		writers.Wait()
		if p := newJob(db, f, args...); p.exits(t) != exitDone {
			t.Fatalf("the last run failed:\n%s", &p.err)
		}
		t.Logf("killed %d times, after %d requests", killed, sent)
		if killed < *killRounds/3 {
			t.Errorf("killed %d times: too few to show anything", killed)
		}
		for i := range killUsers {
			id := fmt.Sprint("user-", i)
			if diff := cmp.Diff(db.want(t, id), f.name(id)); diff != "" {
				t.Errorf("the name of %s: -table +Courier\n%s", id, diff)
			}
		}
	})
}

// alive reports whether the program has not ended by itself.
func (p *program) alive() bool { return p.signal(syscall.Signal(0)) == nil }

// want returns the name that a user must have at Courier.
func (db *database) want(t *testing.T, id string) string {
	t.Helper()
	var (
		name sql.Null[string]
		gone bool
	)
	err := db.QueryRow("SELECT name, deleted_at IS NOT NULL OR erased_at IS NOT NULL FROM users WHERE id = $1", id).Scan(&name, &gone)
	switch {
	case err != nil:
		t.Fatal(err)
	case gone:
		return "no profile"
	case !name.Valid:
		return "no name"
	}
	return name.V
}

// changer changes random users.
type changer struct {
	db     *database
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
	switch c.random.IntN(6) {
	case 0:
		_, err = tx.Exec("UPDATE users SET updated_at = $1, deleted_at = $1 WHERE id = $2", at, id)
	case 1:
		_, err = tx.Exec("UPDATE users SET updated_at = $1, erased_at = $1 WHERE id = $2", at, id)
	case 2:
		_, err = tx.Exec("UPDATE users SET updated_at = $1, name = NULL WHERE id = $2", at, id)
	default:
		name := fmt.Sprintf("Name %d/%d", n, c.random.IntN(1_000_000))
		_, err = tx.Exec("UPDATE users SET updated_at = $1, name = $3, deleted_at = NULL, erased_at = NULL WHERE id = $2", at, id, name)
	}
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
			eachDatabase(t, func(t *testing.T, db *database) {
				f := newFakeCourier(t)
				for i := range rows {
					db.add(t, fmt.Sprint("user-", i), test.at, "Ada")
				}
				sent, killed := 0, 0
				for ; killed < kills; killed++ {
					sent += f.killDuring(t, newJob(db, f, fmt.Sprint("-page=", page), "-concurrency=4"), 20+rand.IntN(15))
				}
				f.onRequest(nil)
				if p := newJob(db, f); p.exits(t) != exitDone {
					t.Fatalf("the last run failed:\n%s", &p.err)
				}
				sent += f.count()
				t.Logf("%d requests for %d rows", sent, rows)
				if sent < rows+test.overlap || sent > rows+test.overlap+kills*page {
					t.Errorf("%d requests for %d rows", sent, rows)
				}
				if n := len(f.profiles(t)); n != rows {
					t.Errorf("there are %d profiles", n)
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
	if code := p.exits(t); code != -1 {
		t.Fatalf("exit code %d\n%s", code, &p.err)
	}
	close(gone)
	return f.count()
}

// TestInterrupt sends the two signals of an interrupt. What is in flight gets its
// response, and is not sent again.
func TestInterrupt(t *testing.T) {
	t.Parallel()
	for _, signal := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		t.Run(signal.String(), func(t *testing.T) {
			t.Parallel()
			db, f := newSQLite(t), newFakeCourier(t)
			db.addMany(t, 60, past)
			p := newJob(db, f, "-page=50", "-concurrency=4")
			f.onRequest(func(request int, _ *http.Request) {
				if request == 20 {
					_ = p.signal(signal)
				}
				if request >= 16 {
					time.Sleep(300 * time.Millisecond)
				}
			})
			if code := p.exits(t); code != exitInterrupted {
				t.Fatalf("exit code %d\n%s", code, &p.err)
			}
			for _, request := range f.Requests() {
				if request.Status != http.StatusOK {
					t.Errorf("a request ended with the status %d", request.Status)
				}
			}
			sent := len(f.Requests())
			if p := newJob(db, f); p.exits(t) != exitDone {
				t.Fatalf("then:\n%s", &p.err)
			}
			f.checkNames(t, 60)
			if repeated := len(f.Requests()) - 60; sent > 30 || repeated > 4 {
				t.Errorf("%d requests were sent before the interrupt, %d were repeated", sent, repeated)
			}
		})
	}
}

// TestGrace has a request in flight that gets no response. One signal waits for it for
// a while; more of them do not wait. Both lose nothing.
func TestGrace(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name     string
		again    bool
		exitCode int
	}{
		{"one signal", false, exitInterrupted},
		{"more signals", true, -1}, // ended by the signal
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			db, f := newSQLite(t), newFakeCourier(t)
			db.addMany(t, 3, past)
			p, gone, began := newJob(db, f), make(chan struct{}), time.Now()
			f.onRequest(func(request int, _ *http.Request) {
				if request == 1 {
					for p.signal(os.Interrupt) == nil && test.again {
						time.Sleep(time.Millisecond)
					}
				}
				<-gone
			})
			if code := p.exits(t); code != test.exitCode {
				t.Errorf("exit code %d\n%s", code, &p.err)
			}
			close(gone)
			if took := time.Since(began); (took < grace) != test.again {
				t.Errorf("it took %v", took)
			}
			f.onRequest(nil)
			if p := newJob(db, f); p.exits(t) != exitDone {
				t.Fatalf("then:\n%s", &p.err)
			}
			f.checkNames(t, 3)
		})
	}
}
