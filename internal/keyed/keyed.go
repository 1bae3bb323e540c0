// Package keyed runs tasks concurrently. Tasks with the same key run in order and one
// at a time, tasks with different keys overlap. The input is pulled only while there
// is room for it, and the number of tasks in flight adapts to congestion.
package keyed

import (
	"context"
	"errors"
	"iter"
	"runtime"
	"sync"
	"time"
)

// bufferFactor is how many tasks are buffered for each one in flight, so that a slow
// key does not soon block the others.
const bufferFactor = 16

// Task is one piece of work.
type Task[T any] struct {
	Key   string
	Size  int  // in bytes
	Done  bool // there is nothing to do: it is yielded as it is
	Value T

	next *Task[T] // with the same key; it becomes ready when this one is done
}

// Run is one loop over tasks. Three kinds of goroutines share it: one pulls the
// input, workers do the tasks, and the caller's own yields the tasks that are done.
type Run[T any] struct {
	concurrency int
	maxSize     int
	do          func(*T)
	ctx         context.Context
	cancel      context.CancelCauseFunc

	mu   sync.Mutex
	room sync.Cond // the pulling goroutine waits for room
	news sync.Cond // the caller's goroutine waits for a task or the end of a goroutine

	pulling  bool
	inFlight int // tasks, and so workers
	limit    limit
	closed   bool // no task is started anymore

	ready []*Task[T]          // may be started
	done  []*Task[T]          // are to be yielded
	last  map[string]*Task[T] // the last task of each key, unless that is done
	held  int                 // tasks that were pulled and that the caller is not done with
	size  int                 // of those

	failed func() // repeats how the caller's code ended a goroutine of the run
}

// New returns a run that has at most concurrency tasks in flight. It holds at most 16
// times as many, and stops pulling while their sizes add up to maxSize or more.
func New[T any](ctx context.Context, concurrency, maxSize int, do func(*T)) *Run[T] {
	r := &Run[T]{
		concurrency: concurrency,
		maxSize:     maxSize,
		do:          do,
		limit:       newLimit(concurrency),
		last:        make(map[string]*Task[T]),
	}
	r.ctx, r.cancel = context.WithCancelCause(ctx)
	r.room.L, r.news.L = &r.mu, &r.mu
	return r
}

// Context returns the context of the run. It ends with the one given to New, with
// Stop, when the loop is left and when a task panics.
func (r *Run[T]) Context() context.Context { return r.ctx }

// Stop ends the run early: nothing more is pulled. Tasks that were pulled still go
// through do, which finds that the context has ended. The first cause counts.
func (r *Run[T]) Stop(cause error) { r.cancel(cause) }

// Congested says that something a task began at that time met congestion.
func (r *Run[T]) Congested(began time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.limit.congested(began, time.Now(), r.inFlight)
}

// Succeeded says that something a task did met no congestion.
func (r *Run[T]) Succeeded() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.limit.succeeded()
}

// Loop does the tasks and yields each as soon as it is done. It returns when all of
// its goroutines have ended. When tasks or do panic, or end their goroutine, Loop
// does the same. Loop may be called once.
func (r *Run[T]) Loop(tasks iter.Seq[*Task[T]], yield func(*T) bool) {
	r.pulling = true
	go r.pull(tasks)
	defer r.rethrow()
	defer r.leave()
	for t := r.next(); t != nil && yield(&t.Value); t = r.next() {
		r.release(t)
	}
}

func (r *Run[T]) pull(tasks iter.Seq[*Task[T]]) {
	returned := false
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if !returned {
			r.fail(recover())
		}
		r.pulling = false
		r.news.Signal()
	}()
	for t := range tasks {
		if !r.take(t) {
			break
		}
	}
	returned = true
}

// take adds a task and waits until there is room for another. It reports whether
// another one is wanted.
func (r *Run[T]) take(t *Task[T]) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.held++
	r.size += t.Size
	if t.Done {
		r.done = append(r.done, t)
		r.news.Signal()
	} else {
		if last := r.last[t.Key]; last != nil {
			last.next = t
		} else {
			r.ready = append(r.ready, t)
		}
		r.last[t.Key] = t
		r.start()
	}
	for !r.closed && (r.held >= bufferFactor*r.concurrency || r.size >= r.maxSize) {
		r.room.Wait()
	}
	return r.ctx.Err() == nil
}

// start starts workers for all tasks that may be in flight.
func (r *Run[T]) start() {
	for t := r.pick(); t != nil; t = r.pick() {
		go r.work(t)
	}
}

// pick returns a task that is in flight from then on, or nil.
func (r *Run[T]) pick() *Task[T] {
	most := r.limit.now
	if r.ctx.Err() != nil {
		most = r.concurrency // congestion no longer matters
	}
	if r.closed || len(r.ready) == 0 || r.inFlight >= most {
		return nil
	}
	r.inFlight++
	return pop(&r.ready)
}

// work does a task, and then others as long as there are any: a worker that
// continues keeps its grown stack.
func (r *Run[T]) work(t *Task[T]) {
	defer func() {
		if t != nil { // do has not returned
			r.abort(recover())
		}
	}()
	for t != nil {
		r.do(&t.Value)
		t = r.settle(t)
	}
}

// settle hands a task that is done to the loop. It returns the worker's next task, or
// nil if there is none.
func (r *Run[T]) settle(t *Task[T]) *Task[T] {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.inFlight--
	if t.next != nil {
		r.ready = append(r.ready, t.next)
	} else {
		delete(r.last, t.Key)
	}
	r.done = append(r.done, t)
	r.news.Signal()
	next := r.pick()
	r.start()
	return next
}

// abort ends the run because do panicked with p or called runtime.Goexit.
func (r *Run[T]) abort(p any) {
	r.cancel(errPanic)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fail(p)
	r.inFlight--
	r.closed = true
	r.room.Signal()
	r.news.Signal()
}

// next returns the next task that is done, or nil after the last one.
func (r *Run[T]) next() *Task[T] {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.done) == 0 {
		if !r.pulling && r.inFlight == 0 {
			return nil
		}
		r.news.Wait()
	}
	return pop(&r.done)
}

// release makes room for another task when the caller is done with one.
func (r *Run[T]) release(t *Task[T]) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.held--
	r.size -= t.Size
	r.room.Signal()
}

// leave waits for all goroutines of the run to end.
func (r *Run[T]) leave() {
	r.cancel(errLeft)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	r.room.Signal()
	for r.pulling || r.inFlight > 0 {
		r.news.Wait()
	}
}

// fail keeps how the caller's code ended a goroutine, for rethrow: by a panic with p,
// or by runtime.Goexit if p is nil. The first one counts.
func (r *Run[T]) fail(p any) {
	switch {
	case r.failed != nil:
	case p != nil:
		r.failed = func() { panic(p) }
	default:
		r.failed = runtime.Goexit
	}
}

// rethrow ends the caller's goroutine in the way its code ended one of the run.
func (r *Run[T]) rethrow() {
	if r.failed != nil {
		r.failed()
	}
}

// pop removes and returns the first task of a queue that is not empty.
func pop[T any](queue *[]*Task[T]) *Task[T] {
	t := (*queue)[0]
	(*queue)[0] = nil // so that it can be collected
	*queue = (*queue)[1:]
	return t
}

var (
	errLeft  = errors.New("the loop was left")
	errPanic = errors.New("another task panicked")
)
