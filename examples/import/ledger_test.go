package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	courier "github.com/courier-profiles/courier-go"
)

var (
	errLost    = &courier.ConnectionError{Operation: "merge profile", Attempts: 4, Err: errors.New("lost")}
	errUnsent  = errors.Join(courier.ErrNotSent, errStopped)
	errAfter   = errors.Join(courier.ErrNotSent, errKey) // pulled, and not sent after the wrong key
	errRefused = &courier.InvalidRequestError{APIError: courier.APIError{Operation: "merge profile", StatusCode: 400, Message: "bad"}}
	errInvalid = &courier.ValidationError{Field: "userID", Reason: "bad"}
	errKey     = &courier.AuthenticationError{APIError: courier.APIError{Operation: "merge profile", StatusCode: 401}}
)

// testLedger is a ledger without files. It lists rejected rows; ctx ends with it.
type testLedger struct {
	*ledger
	ctx      context.Context
	rejected []string
}

func newTestLedger(t *testing.T) *testLedger {
	t.Helper()
	l := &testLedger{ledger: newLedger(checkpoint{}, [32]byte{})}
	ctx, stop := context.WithCancelCause(t.Context())
	t.Cleanup(func() { stop(nil) })
	l.ctx = ctx
	l.stop = stop
	l.reject = func(o original, reason string) error {
		l.rejected = append(l.rejected, fmt.Sprint(o.line, " ", reason))
		return nil
	}
	return l
}

// addRows adds rows to be sent, or rejected ones.
func (l *testLedger) addRows(t *testing.T, n int, reason string) {
	t.Helper()
	for range n {
		if !l.add(l.ctx, &entry{original: original{line: l.read + 1}, settled: reason != "", reason: reason}) {
			t.Fatal("there is no room")
		}
	}
}

func TestRejectsAreInTheOrderOfTheInput(t *testing.T) {
	t.Parallel()
	l := newTestLedger(t)
	l.addRows(t, 1, "")
	l.addRows(t, 1, "early")
	l.addRows(t, 2, "")
	l.outcome(2, errRefused)
	l.outcome(1, nil)
	if l.rejected != nil {
		t.Errorf("%q are written off before the first row is settled", l.rejected)
	}
	l.outcome(0, errRefused)
	want := []string{"1 400 Bad Request: bad", "2 early", "4 400 Bad Request: bad"}
	if diff := cmp.Diff(want, l.rejected); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if !l.close(l.ctx) || l.state.Merged != 1 || l.state.Rejected != 3 || l.state.Rows != 4 {
		t.Errorf("state %+v", l.state)
	}
}

func TestTroubles(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name     string
		outcomes []error
		rejected int
		stopped  bool
	}{
		{"a response follows", []error{errLost, errLost, nil}, 2, false},
		{"a response came before", []error{nil, errLost, errLost}, 2, false},
		{"a refusal is a response", []error{errRefused, errLost}, 2, false},
		{"no response at all", []error{errLost, errLost}, 0, true},
		{"what was not sent got no response", []error{errLost, errInvalid}, 0, true},
		{"an outage", append([]error{nil}, repeat(errLost, maxTroubles)...), 0, true},
		{"nearly an outage", append(repeat(errLost, maxTroubles-1), nil), maxTroubles - 1, false},
		{"the wrong key", []error{nil, errKey, errAfter}, 0, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := newTestLedger(t)
			l.addRows(t, len(test.outcomes), "")
			for i, err := range test.outcomes {
				l.outcome(i, err)
			}
			if finished := l.close(l.ctx); finished == test.stopped {
				t.Errorf("finished: %v", finished)
			}
			if len(l.rejected) != test.rejected || l.state.Rejected != test.rejected {
				t.Errorf("rejected %q", l.rejected)
			}
		})
	}
	l := newTestLedger(t)
	l.addRows(t, 2, "")
	l.outcome(0, errLost)
	l.outcome(1, nil)
	if diff := cmp.Diff([]string{"1 " + reasonOf(errLost)}, l.rejected); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func repeat(err error, n int) (all []error) {
	for range n {
		all = append(all, err)
	}
	return all
}

func TestReadingWaitsForTheFirstRow(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		size int
		room int
	}{
		{"rows", 1, maxAhead},
		{"bytes", maxAheadBytes / 8, 8},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newTestLedger(t)
				done := make(chan bool)
				go func() {
					for {
						if !l.add(l.ctx, &entry{original: original{size: test.size}}) {
							close(done)
							return
						}
					}
				}()
				for i := 1; i < test.room; i++ {
					synctest.Wait()
					l.outcome(i, nil)
				}
				synctest.Wait()
				if l.read != test.room {
					t.Errorf("%d rows were read, want %d", l.read, test.room)
				}
				l.outcome(0, nil)
				synctest.Wait()
				if l.read != 2*test.room {
					t.Errorf("%d rows were read, want %d", l.read, 2*test.room)
				}
				l.stop(errInterrupted)
				l.wake()
				<-done
			})
		})
	}
}

// TestTroubleDoesNotBlock has a row in trouble, and after it more rejected rows
// than there is room for, so that no outcome will come.
func TestTroubleDoesNotBlock(t *testing.T) {
	t.Parallel()
	for _, reached := range []bool{true, false} {
		l := newTestLedger(t)
		l.addRows(t, 2, "")
		if reached {
			l.outcome(1, nil)
		} else {
			l.outcome(1, errLost)
		}
		l.outcome(0, errLost)
		all := true
		for range maxAhead + 1 {
			all = all && l.add(l.ctx, &entry{settled: true, reason: "bad"})
		}
		if all != reached || (context.Cause(l.ctx) == nil) != reached {
			t.Errorf("reached %v: added all: %v, ended by %v", reached, all, context.Cause(l.ctx))
		}
	}
}

func TestRejectsThatCannotBeWrittenEndTheRun(t *testing.T) {
	t.Parallel()
	l := newTestLedger(t)
	full := errors.New("the disk is full")
	l.reject = func(original, string) error { return full }
	l.addRows(t, 1, "")
	l.outcome(0, errRefused)
	if cause := context.Cause(l.ctx); !errors.Is(cause, full) {
		t.Errorf("the run was ended by %v", cause)
	}
	if l.close(l.ctx) || l.state.Rows != 0 || l.add(l.ctx, &entry{}) {
		t.Errorf("state %+v", l.state)
	}
}

// TestSettledRowsOfAUserAreItsFirst draws outcomes as MergeAll gives them, in order
// for each user, and stops at any time: in the checkpoint, no row of a user is
// settled after one that is not.
func TestSettledRowsOfAUserAreItsFirst(t *testing.T) {
	t.Parallel()
	for seed := range uint64(300) {
		random := rand.New(rand.NewPCG(seed, 0))
		l := newTestLedger(t)
		folder := t.TempDir()
		file, err := openCheckpoint(filepath.Join(folder, "c.json"))
		if err != nil {
			t.Fatal(err)
		}
		l.file = file
		if l.rejects, err = openRejects(filepath.Join(folder, "r.csv"), "", 0, ""); err != nil {
			t.Fatal(err)
		}
		const rows, users = 60, 5
		l.addRows(t, rows, "")
		next := [users]int{}
		stopped := false
		for range random.IntN(rows) {
			user := random.IntN(users)
			row := next[user]*users + user
			if row >= rows {
				continue
			}
			next[user]++
			var outcome error
			switch n := random.IntN(8); {
			case stopped, n == 0:
				outcome, stopped = errUnsent, true // from then on nothing is sent
			case n < 4:
				outcome = errLost
			case n == 4:
				outcome = errRefused
			}
			l.outcome(row, outcome)
		}
		l.mu.Lock()
		l.write(0)
		l.mu.Unlock()
		file.close()
		var c checkpoint
		if err := json.Unmarshal([]byte(readFile(t, folder, "c.json")), &c); err != nil {
			t.Fatal(err)
		}
		settled := map[int]bool{}
		for _, s := range c.Settled {
			settled[s.Row] = true
		}
		for row := range rows {
			if isSettled := row < c.Rows || settled[row]; isSettled && row >= users && row-users >= c.Rows && !settled[row-users] {
				t.Fatalf("seed %d: row %d is settled, and row %d of that user is not", seed, row, row-users)
			}
		}
	}
}

// resumedLedger is a ledger that resumes from a checkpoint in folder.
func resumedLedger(t *testing.T, folder string) *testLedger {
	t.Helper()
	file, err := openCheckpoint(filepath.Join(folder, "c.json"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(file.close)
	state, _, err := file.load()
	if err != nil {
		t.Fatal(err)
	}
	state.Version = checkpointVersion
	l := newTestLedger(t)
	l.ledger = newLedger(state, [32]byte{})
	l.file = file
	if l.rejects, err = openRejects(filepath.Join(folder, "r.csv"), "", 0, ""); err != nil {
		t.Fatal(err)
	}
	return l
}

// TestCheckpointKeepsWhatWasSettledBefore ends a resumed run before it has added
// all rows that the checkpoint knows.
func TestCheckpointKeepsWhatWasSettledBefore(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	want := checkpoint{Version: checkpointVersion, Through: 5, Sum: "sum", Settled: []settledRow{{Row: 2, Merged: true}, {Row: 4, Reason: "bad"}}}
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, folder, "c.json", string(text))
	ended, end := context.WithCancel(t.Context())
	end()
	for added := range 4 {
		l := resumedLedger(t, folder)
		for number := range added {
			known := number == 2
			if !l.add(l.ctx, &entry{settled: known, known: known, merged: known}) {
				t.Fatal("there is no room")
			}
		}
		l.close(ended)
		got, found, err := l.file.load()
		l.file.close()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(checkpoint{}, "RejectsSum")); diff != "" || !found {
			t.Errorf("%d rows added: found %v, -want +got\n%s", added, found, diff)
		}
	}
}

// TestResent sends rows in runs that are killed, and in one that is not: the
// number of resent rows is not too low.
func TestResent(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	const rows, some = 3000, 10
	for range 2 { // killed: only what is saved by then is left
		l := resumedLedger(t, folder)
		l.addRows(t, rows, "")
		l.file.close()
	}
	l := resumedLedger(t, folder)
	l.addRows(t, some, "")
	ended, end := context.WithCancel(t.Context())
	end()
	l.close(ended)
	l.file.close()
	l = resumedLedger(t, folder)
	l.addRows(t, rows, "")
	if want := rows + some + rows; l.state.Resent < want {
		t.Errorf("%d rows were resent, at most, want %d", l.state.Resent, want)
	}
}

// TestCheckpointComesBeforeRejects has rejected rows only: a file of rejects that
// no checkpoint mentions would be taken for that of another import.
func TestCheckpointComesBeforeRejects(t *testing.T) {
	t.Parallel()
	l := newTestLedger(t)
	folder := t.TempDir()
	file, err := openCheckpoint(filepath.Join(folder, "c.json"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.close()
	l.file = file
	if l.rejects, err = openRejects(filepath.Join(folder, "r.csv"), "", 0, ""); err != nil {
		t.Fatal(err)
	}
	l.reject = func(original, string) error {
		if text := readFile(t, folder, "c.json"); !strings.Contains(text, `"rejects_begun":true`) {
			t.Errorf("the checkpoint is %s", text)
		}
		return l.rejects.add("x\n")
	}
	l.addRows(t, 1, "bad")
	if l.state.Rejected != 1 {
		t.Errorf("state %+v", l.state)
	}
}
