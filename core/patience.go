package core

import (
	"context"
	"sync"
	"time"
)

// patience is a context that ends with its parent, or limit after somebody began to
// wait. Unlike that of context.WithTimeout it costs next to nothing where nobody does:
// the fast path is answered from memory.
type patience struct {
	context.Context
	limit time.Duration

	mu     sync.Mutex
	timed  context.Context
	cancel context.CancelFunc
}

// Deadline implements context.Context.
func (p *patience) Deadline() (time.Time, bool) { return p.running().Deadline() }

// Done implements context.Context.
func (p *patience) Done() <-chan struct{} { return p.running().Done() }

// Err implements context.Context. To look is not to wait.
func (p *patience) Err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.timed == nil {
		return p.Context.Err()
	}
	return p.timed.Err()
}

func (p *patience) running() context.Context {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.timed == nil {
		p.timed, p.cancel = context.WithTimeout(p.Context, p.limit)
	}
	return p.timed
}

// end lets go of what waited.
func (p *patience) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cancel != nil {
		p.cancel()
	}
}
