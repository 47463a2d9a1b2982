package core

import (
	"errors"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/maypok86/otter/v2"
)

// pacing keeps failed requests from being repeated at once: the next try waits
// for as long as the provider asked, or for a while that grows from failure to
// failure.
type pacing struct {
	failures *otter.Cache[string, *failure]
}

type failure struct {
	mu    sync.Mutex
	pause *backoff.ExponentialBackOff
	until time.Time
	err   error
}

func newPacing() pacing {
	return pacing{otter.Must(&otter.Options[string, *failure]{MaximumSize: 100_000})}
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
	f.until, f.err = now.Add(pause), err
}

func (p pacing) succeeded(key string) { p.failures.Invalidate(key) }
