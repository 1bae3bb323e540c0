package keyed

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

const noMaxSize = 1 << 40

// source yields n tasks, or tasks without end if n is negative. Their values are
// their indexes.
type source struct {
	n      int
	key    func(i int) string // nil: each task has a key of its own
	size   int
	pulled atomic.Int64
}

func (s *source) tasks(yield func(*Task[int]) bool) {
	for i := 0; i != s.n; i++ {
		s.pulled.Add(1)
		key := strconv.Itoa(i)
		if s.key != nil {
			key = s.key(i)
		}
		if !yield(&Task[int]{Key: key, Size: s.size, Value: i}) {
			return
		}
	}
}

// log keeps events in order.
type log[T any] struct {
	mu     sync.Mutex
	events []T
}

func (l *log[T]) add(event T) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events = append(l.events, event)
}

func sorted(values []int) []int { return slices.Sorted(slices.Values(values)) }

func upTo(n int) []int {
	values := make([]int, n)
	for i := range values {
		values[i] = i
	}
	return values
}

var errTest = errors.New("test")

const goexit = "runtime.Goexit"

// endOf runs f on a goroutine and returns how that ended: the value of a panic,
// goexit, or nil.
func endOf(f func()) any {
	done := make(chan any, 1)
	go func() {
		var end any = goexit
		defer func() {
			if p := recover(); p != nil {
				end = p
			}
			done <- end
		}()
		f()
		end = nil
	}()
	return <-done
}

// checkOrder runs n tasks of random keys and checks that each is yielded once, and
// that those of one key were done in order and never overlapped. It returns the
// highest number in flight.
func checkOrder(t *testing.T, concurrency, n int, seed uint64, wait func(*rand.Rand)) int {
	t.Helper()
	keys, want := make([]string, n), map[string][]int{}
	random := rand.New(rand.NewPCG(seed, 0))
	for i := range keys {
		keys[i] = strconv.Itoa(random.IntN(100))
		want[keys[i]] = append(want[keys[i]], i)
	}
	var (
		mu             sync.Mutex
		began          = map[string][]int{}
		running        = map[string]bool{}
		ended          = map[int]time.Time{}
		inFlight, most int
		yielded        []int
	)
	r := New(t.Context(), concurrency, noMaxSize, func(i *int) {
		key := keys[*i]
		mu.Lock()
		if running[key] {
			t.Errorf("two tasks of key %s overlap", key)
		}
		running[key] = true
		began[key] = append(began[key], *i)
		inFlight++
		most = max(most, inFlight)
		mu.Unlock()
		wait(rand.New(rand.NewPCG(seed, uint64(*i))))
		mu.Lock()
		defer mu.Unlock()
		running[key] = false
		ended[*i] = time.Now()
		inFlight--
	})
	s := source{n: n, key: func(i int) string { return keys[i] }}
	r.Loop(s.tasks, func(i *int) bool {
		mu.Lock()
		defer mu.Unlock()
		if _, ok := ended[*i]; !ok {
			t.Errorf("task %d is yielded before it is done", *i)
		}
		yielded = append(yielded, *i)
		return true
	})
	if diff := cmp.Diff(upTo(n), sorted(yielded)); diff != "" {
		t.Errorf("yielded (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want, began); diff != "" {
		t.Errorf("tasks by key (-want +got):\n%s", diff)
	}
	return most
}

func TestOrderWithinAKey(t *testing.T) {
	t.Parallel()
	for _, concurrency := range []int{1, 2, 16, 64} {
		for seed := range uint64(3) {
			t.Run(fmt.Sprintf("concurrency %d, seed %d", concurrency, seed), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					most := checkOrder(t, concurrency, 1000, seed, func(random *rand.Rand) {
						time.Sleep(time.Duration(1+random.IntN(50)) * time.Millisecond)
					})
					if most != concurrency {
						t.Errorf("at most %d tasks were in flight, want %d", most, concurrency)
					}
				})
			})
		}
	}
}

// TestRealTime is for the race detector: there is no bubble, so goroutines really run
// in parallel.
func TestRealTime(t *testing.T) {
	t.Parallel()
	checkOrder(t, 8, 5000, 1, func(random *rand.Rand) {
		for range random.IntN(3) {
			runtime.Gosched()
		}
	})
}

// TestYieldsAtOnce has an input that blocks until the caller has seen the task before.
func TestYieldsAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		seen := make(chan int)
		tasks := func(yield func(*Task[int]) bool) {
			for i := range 10 {
				if !yield(&Task[int]{Value: i}) {
					return
				}
				if got := <-seen; got != i {
					t.Errorf("task %d is yielded, want %d", got, i)
				}
			}
		}
		r := New(t.Context(), 4, noMaxSize, func(*int) { time.Sleep(time.Second) })
		r.Loop(tasks, func(i *int) bool { seen <- *i; return true })
	})
}

// TestDoneTask: a task without work waits neither for its key nor for a worker.
func TestDoneTask(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tasks := func(yield func(*Task[string]) bool) {
			_ = yield(&Task[string]{Key: "a", Value: "first"}) &&
				yield(&Task[string]{Key: "a", Value: "second"}) &&
				yield(&Task[string]{Key: "a", Value: "invalid", Done: true}) &&
				yield(&Task[string]{Key: "a", Value: "third"})
			time.Sleep(time.Hour) // the end of the input would wake the caller as well
		}
		start := time.Now()
		r := New(t.Context(), 1, noMaxSize, func(*string) { time.Sleep(time.Second) })
		got := map[string]time.Duration{}
		r.Loop(tasks, func(name *string) bool { got[*name] = time.Since(start); return true })
		want := map[string]time.Duration{"invalid": 0, "first": time.Second, "second": 2 * time.Second, "third": 3 * time.Second}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("yielded (-want +got):\n%s", diff)
		}
	})
}

func TestPullsOnlyWithRoom(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name              string
		concurrency, size int
		held              int
	}{
		{"concurrency 1", 1, 0, 16},
		{"concurrency 3", 3, 0, 3 * 16},
		{"concurrency 64", 64, 0, 64 * 16},
		{"exactly the maximum size", 64, 100, 10},
		{"just below the maximum size", 64, 99, 11},
		{"just above the maximum size", 64, 101, 10},
		{"each one too large", 64, 5000, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := source{n: -1, size: test.size}
				r := New(t.Context(), test.concurrency, 1000, func(*int) { time.Sleep(time.Second) })
				yielded := 0
				r.Loop(s.tasks, func(*int) bool {
					time.Sleep(time.Hour)
					if got, want := int(s.pulled.Load()), yielded+test.held; got != want {
						t.Errorf("%d tasks were pulled while the caller was at number %d, want %d", got, yielded, want)
					}
					yielded++
					return yielded < 5
				})
			})
		})
	}
}

// TestSlowKey: a slow key blocks the others only when its tasks fill the buffer.
func TestSlowKey(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		slow int           // tasks of the slow key, before all others
		want time.Duration // when the last of the others is done
	}{
		{"with room", 2*16 - 1, 100 * time.Second},
		{"without room", 2 * 16, time.Hour + 100*time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				start, last := time.Now(), time.Duration(0)
				s := source{n: test.slow + 100, key: func(i int) string {
					if i < test.slow {
						return "slow"
					}
					return strconv.Itoa(i)
				}}
				r := New(t.Context(), 2, noMaxSize, func(i *int) {
					if *i < test.slow {
						time.Sleep(time.Hour)
					} else {
						time.Sleep(time.Second)
					}
				})
				r.Loop(s.tasks, func(i *int) bool {
					if *i >= test.slow {
						last = time.Since(start)
					}
					return true
				})
				if last != test.want {
					t.Errorf("the last task of another key was done after %v, want %v", last, test.want)
				}
			})
		})
	}
}

// TestAdaptsToCongestion: each task takes a second, so the tasks that begin in a
// second are those in flight.
func TestAdaptsToCongestion(t *testing.T) {
	t.Parallel()
	for _, want := range [][]int{ // in flight by second; all of the first ones meet congestion
		{16, 8, 9, 10, 11, 12, 13, 14, 15, 16, 16},
		{6, 3, 4, 5, 6, 7},
	} {
		t.Run(fmt.Sprint(want[0], " in flight"), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				n := 0
				for _, inFlight := range want {
					n += inFlight
				}
				tasks := func(yield func(*Task[int]) bool) {
					for task := range (&source{n: n}).tasks {
						if task.Value == want[0] {
							time.Sleep(1500 * time.Millisecond)
						}
						if !yield(task) {
							return
						}
					}
				}
				start, began := time.Now(), new(log[int])
				var r *Run[int]
				r = New(t.Context(), 16, noMaxSize, func(i *int) {
					now := time.Now()
					began.add(int(now.Sub(start) / time.Second))
					time.Sleep(time.Second)
					if *i < want[0] {
						r.Congested(now)
					} else {
						r.Succeeded()
					}
				})
				r.Loop(tasks, func(*int) bool { return true })
				var got []int
				for _, second := range began.events {
					got = append(got, make([]int, max(0, second+1-len(got)))...)
					got[second]++
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("in flight by second (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// TestEndsEarly: nothing more is pulled, and what was pulled goes through do at once,
// even if congestion had cut the number in flight.
func TestEndsEarly(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		end  func(r *Run[int], cancel context.CancelCauseFunc)
	}{
		{"stop", func(r *Run[int], _ context.CancelCauseFunc) { r.Stop(errTest); r.Stop(errors.New("second")) }},
		{"context", func(_ *Run[int], cancel context.CancelCauseFunc) { cancel(errTest) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				start, s, began := time.Now(), source{n: -1}, new(log[int])
				var r *Run[int]
				r = New(ctx, 2, noMaxSize, func(i *int) {
					began.add(*i)
					switch *i {
					case 0:
						time.Sleep(time.Second)
						r.Congested(start.Add(time.Millisecond))
						test.end(r, cancel)
					case 1:
						time.Sleep(20 * time.Second) // whatever the context
					default:
						<-r.Context().Done()
						if cause := context.Cause(r.Context()); cause != errTest {
							t.Errorf("the cause is %v", cause)
						}
					}
				})
				var yielded []int
				r.Loop(s.tasks, func(i *int) bool {
					if late := time.Since(start) > time.Second; late != (*i == 1) {
						t.Errorf("task %d is yielded after %v", *i, time.Since(start))
					}
					yielded = append(yielded, *i)
					return true
				})
				if n := s.pulled.Load(); n != 2*16 {
					t.Errorf("%d tasks were pulled, want %d", n, 2*16)
				}
				if diff := cmp.Diff(upTo(2*16), sorted(yielded)); diff != "" {
					t.Errorf("yielded (-want +got):\n%s", diff)
				}
				if diff := cmp.Diff(upTo(2*16), sorted(began.events)); diff != "" {
					t.Errorf("given to do (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestContextEndedBefore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		s, yielded := source{n: -1}, 0
		r := New(ctx, 2, noMaxSize, func(*int) {})
		r.Loop(s.tasks, func(*int) bool { yielded++; return true })
		if n := s.pulled.Load(); n != 1 || yielded != 1 {
			t.Errorf("%d tasks were pulled and %d yielded, want one, which tells the caller", n, yielded)
		}
	})
}

// TestLeave: what is in flight finishes before Loop returns, and nothing else begins.
func TestLeave(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		leave func() bool
		want  any
	}{
		{"break", func() bool { return false }, nil},
		{"panic", func() bool { panic(errTest) }, errTest},
		{"Goexit", func() bool { runtime.Goexit(); return true }, goexit},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				start, s := time.Now(), source{n: -1}
				began, ended := new(log[int]), new(log[int])
				var r *Run[int]
				r = New(t.Context(), 3, noMaxSize, func(i *int) {
					began.add(*i)
					time.Sleep([]time.Duration{1, 10, 5, 2}[*i] * time.Second)
					if cause := context.Cause(r.Context()); *i > 0 && cause != errLeft {
						t.Errorf("task %d sees the cause %v", *i, cause)
					}
					ended.add(*i)
				})
				end := endOf(func() {
					r.Loop(s.tasks, func(*int) bool {
						synctest.Wait() // a worker has begun the next task
						return test.leave()
					})
				})
				if end != test.want {
					t.Errorf("Loop ended with %v, want %v", end, test.want)
				}
				if elapsed := time.Since(start); elapsed != 10*time.Second {
					t.Errorf("Loop took %v, want 10s", elapsed)
				}
				if diff := cmp.Diff([]int{0, 3, 2, 1}, ended.events); diff != "" {
					t.Errorf("tasks that ended (-want +got):\n%s", diff)
				}
				if n := s.pulled.Load(); n != 3*16 {
					t.Errorf("%d tasks were pulled, want %d", n, 3*16)
				}
				time.Sleep(24 * time.Hour)
				if diff := cmp.Diff([]int{0, 1, 2, 3}, sorted(began.events)); diff != "" {
					t.Errorf("tasks that began (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// TestWaitsForTheInput: when Loop returns, the input has returned, so that the caller
// can close what it reads from.
func TestWaitsForTheInput(t *testing.T) {
	t.Parallel()
	for _, more := range []bool{true, false} {
		t.Run(fmt.Sprintf("loop goes on: %t", more), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				returned, tasks := false, 0
				input := func(yield func(*Task[int]) bool) {
					defer func() { returned = true }()
					if yield(new(Task[int])) {
						time.Sleep(time.Hour)
						yield(new(Task[int]))
						time.Sleep(time.Hour)
					}
				}
				r := New(t.Context(), 1, noMaxSize, func(*int) { tasks++ })
				r.Loop(input, func(*int) bool { return more })
				if !returned {
					t.Error("Loop returned before the input")
				}
				if want := map[bool]int{true: 2, false: 1}[more]; tasks != want {
					t.Errorf("%d tasks were done, want %d", tasks, want)
				}
			})
		})
	}
}

// TestCallerCodeFails: Loop ends as the caller's code did, after what can still be
// yielded. The first failure counts.
func TestCallerCodeFails(t *testing.T) {
	t.Parallel()
	nothing, later := func() {}, func() { panic("later") }
	oneKey := func(int) string { return "key" }
	for how, fail := range map[any]func(){errTest: func() { panic(errTest) }, goexit: runtime.Goexit} {
		for _, test := range []struct {
			name          string
			n             int
			key           func(int) string
			input         func() // is called at the end of the input
			first, second func() // are called by tasks 0 and 1
			cause         error  // of the end of the context
			want          []int  // yielded
		}{
			{"input at once", 0, nil, fail, nothing, nothing, nil, nil},
			{"input later", 6, nil, fail, nothing, nothing, nil, []int{0, 1, 2, 3, 4, 5}},
			{"only task", 1, nil, nothing, fail, nothing, errPanic, nil},
			{"task of an endless input", -1, nil, nothing, fail, nothing, errPanic, []int{1, 2}},
			{"task, then the input", -1, nil, later, fail, nothing, errPanic, []int{1, 2}},
			{"task of a key that fills the buffer", -1, oneKey, nothing, fail, nothing, errPanic, nil},
			{"two tasks", -1, nil, nothing, fail, later, errPanic, []int{2}},
		} {
			t.Run(fmt.Sprint(test.name, ", ", how), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					input := func(yield func(*Task[int]) bool) {
						(&source{n: test.n, key: test.key}).tasks(yield)
						test.input()
					}
					var r *Run[int]
					r = New(t.Context(), 3, noMaxSize, func(i *int) {
						time.Sleep(time.Duration(*i+1) * time.Second)
						if *i < 2 {
							[]func(){test.first, test.second}[*i]()
						}
						if cause := context.Cause(r.Context()); cause != test.cause {
							t.Errorf("task %d sees the cause %v, want %v", *i, cause, test.cause)
						}
					})
					var yielded []int
					end := endOf(func() {
						r.Loop(input, func(i *int) bool { yielded = append(yielded, *i); return true })
					})
					if end != how {
						t.Errorf("Loop ended with %v, want %v", end, how)
					}
					if diff := cmp.Diff(test.want, yielded); diff != "" {
						t.Errorf("yielded (-want +got):\n%s", diff)
					}
				})
			})
		}
	}
}
