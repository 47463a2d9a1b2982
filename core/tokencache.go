package core

import (
	"context"
	"errors"
	"sync/atomic"
)

// wanted names a token that belongs to no login, and how it is got.
type wanted struct {
	op       string
	key      string // a digest of everything that shapes the token
	outage   string // what a temporary failure holds back: all that asks in the same place
	force    bool
	rejected *Token
	newest   *atomic.Pointer[heldToken] // also keeps it; may be nil
	byHand   bool                       // rejected by nobody: a new token was asked for
	// get obtains a token that is not the rejected one.
	get func(ctx context.Context, w wanted) (*heldToken, error)
}

// flight names what is asked for at the same time by several as one: who wants a
// new token is not served by those who take any.
func (w *wanted) flight() string {
	if w.force {
		return "renewed token " + w.key
	}
	return "token " + w.key
}

// cachedToken returns the token that w names: from memory while it is fresh; shortly
// before it expires still from memory, renewed behind the caller; else from w.get,
// once for all who wait, each as long as its own context lasts.
func (m *Manager) cachedToken(ctx context.Context, w wanted) (*Token, error) {
	now := m.now().UnixMilli()
	held, _ := m.tokens.GetIfPresent(w.key)
	if w.force && w.rejected == nil {
		w.byHand = true
		if held != nil {
			w.rejected = held.Token
		}
	}
	if held.alive(now, w.rejected) && (!w.byHand || w.rejected != nil) {
		if now >= held.renewAt {
			m.startRetrieval(ctx, w)
		}
		return held.Token, nil
	}
	// A flight that was under way may come back with the very token that was rejected.
	for range 2 {
		got, err := m.share(ctx, w.op, w.flight(), func(ctx context.Context) (any, error) { return m.retrieve(ctx, w) })
		if err != nil {
			return nil, err
		}
		if tok := got.(*heldToken).Token; !tok.is(w.rejected) {
			return tok, nil
		}
	}
	return nil, &Error{Op: w.op, Err: errNotRenewed}
}

// freshToken returns the token under key if it is there and fresh.
func (m *Manager) freshToken(key string) *Token {
	if held, ok := m.tokens.GetIfPresent(key); ok && m.now().UnixMilli() < min(held.renewAt, held.expires) {
		return held.Token
	}
	return nil
}

func (m *Manager) startRetrieval(ctx context.Context, w wanted) {
	m.startShared(ctx, w.op, w.flight(), func(ctx context.Context) (any, error) { return m.retrieve(ctx, w) })
}

// retrieve gets the token, unless somebody else just did or it is too early after a
// failure. A failure is never kept as a token.
func (m *Manager) retrieve(ctx context.Context, w wanted) (*heldToken, error) {
	now := m.now().UnixMilli()
	held, _ := m.tokens.GetIfPresent(w.key)
	alive := held.alive(now, w.rejected)
	switch {
	case alive && now < held.renewAt && (!w.byHand || w.rejected != nil):
		return held, nil
	case held.renewedInVain(now, &w):
		return nil, &Error{Op: w.op, Err: errNotRenewed}
	}
	for _, paced := range []string{w.outage, w.key} {
		if err := m.pacing.wait(paced, m.now()); err != nil {
			if alive {
				return held, nil
			}
			return nil, err
		}
	}
	got, err := w.get(ctx, w)
	if err == nil {
		m.pacing.succeeded(w.outage)
		m.pacing.succeeded(w.key)
		if newest, ok := m.tokens.GetIfPresent(w.key); !ok || newest.stored.Obtained <= got.stored.Obtained {
			m.tokens.Set(w.key, got)
			if w.newest != nil {
				w.newest.Store(got)
			}
		}
		return got, nil
	}
	if errors.Is(err, errRegistrationChanged) || errors.Is(err, ErrLoginRequired) {
		return nil, err // nobody was asked
	}
	m.pace(w, err)
	if alive {
		m.log.WarnContext(ctx, "tokenwell: no new token; the live one is used", "op", w.op, "error", err)
		return held, nil
	}
	m.log.ErrorContext(ctx, "tokenwell: no token", "op", w.op, "error", err)
	return nil, err
}

// renewedInVain reports whether a renewal that an API's refusal asks for has just
// been made for such a refusal, without satisfying it.
func (h *heldToken) renewedInVain(now int64, w *wanted) bool {
	return !w.byHand && h != nil && h.is(w.rejected) && now < h.expires && h.stored.AfterRejection &&
		now < h.stored.Obtained+rejectedAgain.Milliseconds()
}

// pace holds back the next try after a failure of somebody else's.
func (m *Manager) pace(w wanted, err error) {
	var e *Error
	switch {
	case errors.Is(err, ErrNoManager):
	case !errors.As(err, &e):
		m.pacing.failed(w.key, m.now(), err)
	case e.Op == opConfigure, e.Op == opRegistration: // nobody was asked
	case e.outage() && e.Op == w.op:
		m.pacing.failed(w.outage, m.now(), e.ofNobody())
	default:
		m.pacing.failed(w.key, m.now(), err)
	}
}
