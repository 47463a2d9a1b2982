package demo

import (
	"context"
	"crypto/sha256"
	"maps"
	"sync"
	"time"

	"github.com/tokenwell/tokenwell/core"
	"github.com/tokenwell/tokenwell/examples/internal/page"
)

// forgotten is how long after its last token expired a login is dropped from the count.
const forgotten = time.Hour

// Watch counts how often each login's access token was renewed, by looking at the tokens that the application gets. It
// misses none: a token is renewed only when somebody asks for it, and here everybody who asks also tells the Watch.
type Watch struct {
	Life time.Duration // of a new token

	mu     sync.Mutex
	logins map[[sha256.Size]byte]renewals // by the ticket's digest
}

type renewals struct {
	latest time.Time // the latest expiry seen
	count  int
}

// Describe is what the page may know about the token of ctx's user.
func (w *Watch) Describe(ctx context.Context, m *core.Manager, tok *core.Token) (page.Token, error) {
	ticket, err := m.Ticket(ctx)
	if err != nil {
		return page.Token{}, err
	}
	return page.Describe(tok.AccessToken, tok.Expiry, w.Life, w.count(string(ticket), tok.Expiry)), nil
}

// count goes by the expiry, which only grows: two requests that saw the old and the new token may arrive in any order.
func (w *Watch) count(ticket string, expiry time.Time) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	key := sha256.Sum256([]byte(ticket))
	r, known := w.logins[key]
	switch {
	case !known:
		w.forget()
		r.latest = expiry
	case expiry.After(r.latest):
		r.latest = expiry
		r.count++
	}
	w.logins[key] = r
	return r.count
}

func (w *Watch) forget() {
	if w.logins == nil {
		w.logins = map[[sha256.Size]byte]renewals{}
	}
	long := time.Now().Add(-forgotten)
	maps.DeleteFunc(w.logins, func(_ [sha256.Size]byte, r renewals) bool { return r.latest.Before(long) })
}
