package main

import (
	"context"
	"sync"
	"time"

	"github.com/tokenwell/tokenwell/examples/internal/orders"
)

// batch is a number of calls, several at a time, and some work after each of them.
type batch struct {
	calls, atOnce int
	work          time.Duration
}

// report says how a batch went.
type report struct{ took, slowest time.Duration }

// run stops at the first call that fails, and when ctx ends.
func (b batch) run(ctx context.Context, api *orders.Client) (report, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	todo := make(chan struct{}, b.calls)
	for range b.calls {
		todo <- struct{}{}
	}
	close(todo)

	begin := time.Now()
	slowest := make(chan time.Duration, b.atOnce)
	var workers sync.WaitGroup
	for range b.atOnce {
		workers.Go(func() {
			var longest time.Duration
			for range todo {
				called := time.Now()
				if _, err := api.List(ctx); err != nil {
					cancel(err)
					break
				}
				longest = max(longest, time.Since(called))
				time.Sleep(b.work)
			}
			slowest <- longest
		})
	}
	workers.Wait()
	r := report{took: time.Since(begin).Round(time.Millisecond)}
	for range b.atOnce {
		r.slowest = max(r.slowest, (<-slowest).Round(time.Millisecond))
	}
	return r, context.Cause(ctx)
}
