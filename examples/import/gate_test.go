package main

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"

	courier "github.com/courier-profiles/courier-go"
)

func TestGateLetsRequestsInFlightFinish(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	g := &gate{limiter: rate.NewLimiter(rate.Inf, 1), cancel: cancel}
	for range 2 {
		if err := g.Wait(ctx); err != nil {
			t.Fatal(err)
		}
	}
	g.close()
	if err := g.Wait(ctx); !errors.Is(err, errStopped) {
		t.Errorf("Wait of a closed gate: %v", err)
	}
	g.observe(ctx, courier.Attempt{Number: 1})
	if ctx.Err() != nil {
		t.Error("the waits have ended while a request is in flight")
	}
	g.observe(ctx, courier.Attempt{Number: 2})
	if ctx.Err() == nil {
		t.Error("the waits have not ended after the last request")
	}
	if g.retried() != 1 {
		t.Errorf("%d retries", g.retried())
	}
}

func TestIdleGateClosesAtOnce(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	g := &gate{limiter: rate.NewLimiter(rate.Inf, 1), cancel: cancel}
	g.close()
	if ctx.Err() == nil {
		t.Error("the waits have not ended")
	}
}

func TestGateKeepsTheRate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := &gate{limiter: rate.NewLimiter(2, 1), cancel: func() {}}
		started := time.Now()
		for range 5 {
			if err := g.Wait(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(started); took != 2*time.Second {
			t.Errorf("five requests at two a second took %v", took)
		}
	})
}
