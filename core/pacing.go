package core

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/maypok86/otter/v2"
)

// pacing keeps failed requests from being repeated at once: the next try waits
// for as long as the provider asked, or for a while that grows from failure to
// failure.
type pacing struct {
	failures *otter.Cache[string, *failure]
	events   *atomic.Int64 // numbers requests and failures in their order
}

type failure struct {
	mu    sync.Mutex
	pause *backoff.ExponentialBackOff
	until time.Time
	err   error
	event int64
}

func newPacing() pacing {
	return pacing{otter.Must(&otter.Options[string, *failure]{MaximumSize: 100_000}), new(atomic.Int64)}
}

// wait returns the failure after which key must not be tried again yet; nil when
// it may be.
func (p pacing) wait(key string, now time.Time) error {
	f, ok := p.failures.GetIfPresent(key)
	if !ok {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	left := f.until.Sub(now)
	if left <= 0 {
		return nil
	}
	var e *Error
	if !errors.As(f.err, &e) {
		return f.err
	}
	again := *e
	again.RetryAfter = left
	return &again
}

func (p pacing) failed(key string, now time.Time, err error) {
	f, ok := p.failures.GetIfPresent(key)
	if !ok {
		f = &failure{pause: backoff.NewExponentialBackOff()}
		f.pause.InitialInterval, f.pause.MaxInterval = time.Second, time.Minute
		p.failures.Set(key, f)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	pause := f.pause.NextBackOff()
	var e *Error
	if errors.As(err, &e) {
		pause = max(pause, e.RetryAfter)
	}
	if until := now.Add(pause); until.After(f.until) { // never sooner than was asked for before
		f.until, f.err = until, err
	}
	f.event = p.begin()
}

// begin names the moment at which a request is made.
func (p pacing) begin() int64 { return p.events.Add(1) }

// succeeded forgets the failures that came before the request that did: what failed
// meanwhile still holds.
func (p pacing) succeeded(key string, began int64) {
	f, ok := p.failures.GetIfPresent(key)
	if !ok {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.event < began {
		p.failures.Invalidate(key)
	}
}
