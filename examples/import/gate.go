package main

import (
	"context"
	"errors"
	"sync"

	courier "github.com/courier-profiles/courier-go"
	"golang.org/x/time/rate"
)

var errStopped = errors.New("the import was stopped")

// gate lets requests pass, at the rate of its limiter, until it is closed. Those
// that have passed finish.
type gate struct {
	limiter *rate.Limiter
	cancel  func() // ends the waits between the requests of a row

	mu       sync.Mutex
	closed   bool
	inFlight int
	retries  int
}

// Wait is called before each request.
func (g *gate) Wait(ctx context.Context) error {
	if err := g.limiter.Wait(ctx); err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return errStopped
	}
	g.inFlight++
	return nil
}

// observe is called after each request.
func (g *gate) observe(_ context.Context, attempt courier.Attempt) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inFlight--
	if attempt.Number > 1 {
		g.retries++
	}
	if g.closed && g.inFlight == 0 {
		g.cancel()
	}
}

func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
	if g.inFlight == 0 {
		g.cancel()
	}
}

func (g *gate) retried() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.retries
}
