package core

import (
	"context"
	"errors"
	"sync/atomic"
)

// wanted names a token that belongs to no login, and how it is got.
type wanted struct {
	op       string
	client   string // the registration in whose name it is wanted
	key      string // a digest of everything that shapes the token
	outage   string // what a temporary failure holds back: all that asks in the same place
	force    bool
	rejected *Token
	newest   *atomic.Pointer[heldToken] // also keeps it; may be nil
	byHand   bool                       // rejected by nobody: a new token was asked for
	kept     bool                       // this process has one that is alive
	// look finds one that another process has got; nil: there are no others.
	look func(ctx context.Context, w wanted) *heldToken
	// get obtains a token that is not the rejected one. asked says that somebody was
	// asked for it. A token beside an error is one that is still alive.
	get func(ctx context.Context, w wanted) (tok *heldToken, asked bool, err error)
}

// flight names what is asked for at the same time by several as one: who asks for a
// new token by hand is not served by those who take any.
func (w *wanted) flight() string {
	if w.byHand {
		return "renewed token " + w.key + w.client
	}
	return "token " + w.key + w.client
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
		if held.due(now) {
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
	w.kept = held.alive(now, w.rejected)
	switch {
	case w.kept && now < held.renewAt && (!w.byHand || w.rejected != nil):
		return held, nil
	case held.renewedInVain(now, &w):
		return nil, &Error{Op: w.op, Err: errNotRenewed}
	}
	for _, paced := range []string{w.outage, w.key} {
		if err := m.pacing.wait(paced, m.now()); err != nil {
			return m.insteadOfAsking(ctx, w, held, err)
		}
	}
	began := m.pacing.begin()
	got, asked, err := m.guardedGet(ctx, w)
	if err == nil {
		if asked {
			m.pacing.succeeded(w.outage, began)
			m.pacing.succeeded(w.key, began)
		}
		m.keepToken(w, got)
		return got, nil
	}
	if errors.Is(err, errRegistrationChanged) || errors.Is(err, ErrLoginRequired) {
		return nil, err // nobody was asked
	}
	m.pace(w, err)
	now = m.now().UnixMilli()
	if !held.alive(now, w.rejected) && got.alive(now, w.rejected) {
		m.keepToken(w, got)
		held = got
	}
	if held.alive(now, w.rejected) {
		m.log.WarnContext(ctx, "tokenwell: no new token; the live one is used", "op", w.op, "error", err)
		return held, nil
	}
	m.log.ErrorContext(ctx, "tokenwell: no token", "op", w.op, "error", err)
	return nil, err
}

// insteadOfAsking answers while it is too early for another try: with what is alive
// here or, got by another process, in the Store, and else with the failure.
func (m *Manager) insteadOfAsking(ctx context.Context, w wanted, held *heldToken, failure error) (*heldToken, error) {
	if held.alive(m.now().UnixMilli(), w.rejected) {
		return held, nil
	}
	if w.look != nil && (!w.byHand || w.rejected != nil) {
		if got := w.look(ctx, w); got.alive(m.now().UnixMilli(), w.rejected) {
			m.keepToken(w, got)
			return got, nil
		}
	}
	return nil, failure
}

// guardedGet is w.get, of which a panic is a failure like any other.
func (m *Manager) guardedGet(ctx context.Context, w wanted) (tok *heldToken, asked bool, err error) {
	_, err = m.guard(ctx, w.op, func() (_ any, err error) {
		tok, asked, err = w.get(ctx, w)
		return nil, err
	})
	return tok, asked, err
}

// keepToken keeps tok unless a later one is there that will do.
func (m *Manager) keepToken(w wanted, tok *heldToken) {
	newest, ok := m.tokens.GetIfPresent(w.key)
	if ok && newest.stored.Obtained > tok.stored.Obtained && newest.alive(m.now().UnixMilli(), w.rejected) {
		return
	}
	m.tokens.Set(w.key, tok)
	if w.newest != nil {
		w.newest.Store(tok)
	}
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
