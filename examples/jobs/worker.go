package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/tokenwell/tokenwell/core"
	"github.com/tokenwell/tokenwell/examples/internal/orders"
	"github.com/tokenwell/tokenwell/examples/internal/page"
)

// job is what waits in the queue. In one that leaves the process string(ticket) is a secret like any other.
type job struct {
	ticket core.Ticket
	user   *core.User // who is told of it
}

type worker struct {
	m      *core.Manager
	orders *orders.Client
	queue  chan job
	told   *told
	steps  int
	pause  time.Duration
}

func (w *worker) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case j := <-w.queue:
			w.do(w.m.WithTicket(ctx, j.ticket), j.user) // from here on it is the user who acts
		}
	}
}

// do asks for the user's orders now and then.
func (w *worker) do(ctx context.Context, user *core.User) {
	for step := range w.steps {
		list, err := w.orders.List(ctx)
		switch {
		case ctx.Err() != nil:
			return // Ctrl-C
		case errors.Is(err, core.ErrLoginRequired):
			w.told.tell(user, "the job is given up: "+err.Error())
			return
		case err != nil:
			w.told.tell(user, "the job has failed: "+err.Error())
			return
		}
		tok, err := w.m.GetUserAccessToken(ctx)
		if err != nil {
			continue // signed out a moment ago, as the next step will find
		}
		w.told.tell(user, fmt.Sprintf("step %d of %d: %d orders, by a token that lives until %s",
			step+1, w.steps, len(list), tok.Expiry.Format(time.TimeOnly)))
		select {
		case <-ctx.Done():
			return
		case <-time.After(w.pause):
		}
	}
	w.told.tell(user, "the job is done")
}

// told is what each user's jobs have come to, on their page and on the terminal.
type told struct {
	mu     sync.Mutex
	stdout io.Writer
	lines  map[string][]string // by the user's subject
}

// shown is how many lines a page holds.
const shown = 12

func (t *told) tell(user *core.User, line string) {
	var who page.Person
	_ = user.Claims(&who) // or nameless
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lines[user.Subject] = append(t.lines[user.Subject], line)
	fmt.Fprintf(t.stdout, "%s: %s\n", who.Name, line)
}

// about returns the latest line first.
func (t *told) about(user *core.User) []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	lines := t.lines[user.Subject]
	lines = slices.Clone(lines[max(0, len(lines)-shown):])
	slices.Reverse(lines)
	return lines
}
