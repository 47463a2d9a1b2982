package core

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"time"

	"github.com/tokenwell/tokenwell/store"
)

// GetUserAccessToken returns an access token of the user who is signed in in ctx,
// renewed if it has to be. The token of the login is returned at once while it is
// fresh; shortly before it expires it is still returned at once, and renewed
// behind the caller; once it has expired the caller waits for the renewal, which
// all callers share and none can interrupt by leaving.
//
// Options ask for another token of the same login, with its own scopes, resource
// or parameters, or for a renewal now.
//
// It fails with [ErrLoginRequired] when the user has to sign in, with an *[Error]
// when the provider or the store fails and no live token is left, and with an
// *Error that wraps the context's error when ctx ends first. It is safe for
// concurrent use.
func (m *Manager) GetUserAccessToken(ctx context.Context, opts ...TokenOption) (*Token, error) {
	if m == nil {
		return nil, ErrNoManager
	}
	return m.userToken(ctx, TokenRequest{}.with(opts))
}

// tokenOfLogin is userToken for the commonest request: the login's own token,
// found fresh without an allocation.
func (m *Manager) tokenOfLogin(ctx context.Context) (*Token, error) {
	b, ctx := m.binding(ctx)
	l, err := m.currentLogin(ctx, b)
	if err != nil {
		return nil, err
	}
	if l != nil && m.now().UnixMilli() < l.quietUntil {
		return l.mainToken, nil
	}
	return m.serve(ctx, b, l, TokenRequest{})
}

func (m *Manager) userToken(ctx context.Context, req TokenRequest) (*Token, error) {
	if req.plain() {
		return m.tokenOfLogin(ctx)
	}
	if req.Registration != "" {
		return nil, configError("TokenRequest.Registration: %q: a user's token is always the application's own", req.Registration)
	}
	if err := req.check(); err != nil {
		return nil, err
	}
	b, ctx := m.binding(ctx)
	l, err := m.currentLogin(ctx, b)
	if err != nil {
		return nil, err
	}
	return m.serve(ctx, b, l, req)
}

// currentLogin reads the login of b: nil, without an error, when the Store is
// down but this process holds a result for it that is not saved yet; as it was a moment
// ago when the Store is down and this process has seen it there.
func (m *Manager) currentLogin(ctx context.Context, b *binding) (*login, error) {
	if b == nil {
		return nil, errNoTicket
	}
	if err := b.read(); err != nil {
		return nil, err
	}
	l := b.seen.Load()
	if l == nil && !m.memory {
		l, _ = m.logins.GetIfPresent(b.key)
	}
	value, rev, err := m.peek(ctx, b.key, l)
	switch {
	case err != nil:
		return m.withoutStore(ctx, b, err)
	case rev == "":
		m.sawEnd(b.key)
		return nil, errSessionOver
	}
	if l == nil || l.rev != rev {
		if l, err = m.decode(b.key, value, rev); err != nil {
			return nil, err
		}
	} else if !m.memory {
		l.look()
	}
	if b.seen.Load() != l {
		b.seen.Store(l)
	}
	return l, nil
}

// withoutStore is currentLogin after a look into the Store has failed.
func (m *Manager) withoutStore(ctx context.Context, b *binding, failure error) (*login, error) {
	switch {
	case m.knownToHaveEnded(b.key):
		return nil, storeError(failure)
	case m.unsaved.has(b.key):
		return nil, nil
	}
	l, known := m.logins.GetIfPresent(b.key)
	if !known {
		l = b.seen.Load() // of a request that lasts
	}
	switch {
	case ctx.Err() != nil || l == nil || errors.Is(failure, store.ErrSealed):
		return nil, storeError(failure)
	case m.now().UnixMilli() >= m.endsAt(l.record) && m.now().UnixMilli() < l.Expires:
		return nil, storeError(failure) // idle, unless another process has noted its use
	case l.lookedAt():
		m.storeFailed(ctx, failure)
		return l.unconfirmed(), nil
	case errors.Is(failure, context.DeadlineExceeded): // it was not given long
		l, err := m.load(ctx, b.key)
		if err == nil && l == nil {
			err = errSessionOver
		}
		return l, err
	}
	return nil, storeError(failure)
}

// peek reads a login for the fast path, and makes sure of a miss. The value may be nil
// where the state is that of known. Memory answers at once; any other store is given as
// long as everywhere else, or less where known may do without it.
func (m *Manager) peek(ctx context.Context, key string, known *login) (value []byte, rev string, err error) {
	if !m.memory {
		patient := &patience{Context: ctx, limit: storeTimeout}
		if known != nil {
			patient.limit = knownTimeout
		}
		defer patient.end()
		ctx = patient
	}
	if known != nil && m.peeker != nil {
		value, rev, err = m.peeker.PeekUnless(ctx, key, known.rev)
	} else {
		value, rev, err = m.store.Peek(ctx, key)
	}
	if err == nil && rev == "" {
		value, rev, err = m.store.Load(ctx, key)
	}
	return value, rev, err
}

// storeFailed says that sessions are served without the Store, once a second at most.
func (m *Manager) storeFailed(ctx context.Context, err error) {
	now := int64(sinceStart.elapsed())
	if said := m.storeSaid.Load(); (said == 0 || now-said > int64(time.Second)) && m.storeSaid.CompareAndSwap(said, now) {
		m.log.WarnContext(ctx, "tokenwell: the store failed; sessions that were there a moment ago are served without it", "error", err)
	}
}

var sinceStart = startWatch()

// look notes that the Store has the login.
func (l *login) look() { l.looked.Store(int64(sinceStart.elapsed())) }

// lookedAt reports whether the Store had the login a moment ago: then it is served
// while the Store is down.
func (l *login) lookedAt() bool {
	looked := time.Duration(l.looked.Load())
	return looked != 0 && sinceStart.elapsed()-looked < unsavedFor
}

// unconfirmed returns l as it is served while the Store is down: nothing is written for
// it, and nothing renewed.
func (l *login) unconfirmed() *login {
	alone := &login{rev: l.rev, tokens: l.tokens, record: l.record, alone: true}
	alone.looked.Store(l.looked.Load())
	return alone
}

var errSessionOver = loginRequired(errors.New("the session has ended"))

// touchAt is the moment, in Unix milliseconds, from which on the next use of a
// login is noted.
func (m *Manager) touchAt(r *record) int64 {
	if m.cfg.IdleTimeout > 0 {
		return r.Used + m.cfg.IdleTimeout.Milliseconds()/10
	}
	return math.MaxInt64
}

// serve answers req from l, or by a renewal.
func (m *Manager) serve(ctx context.Context, b *binding, l *login, req TokenRequest) (*Token, error) {
	r := renewal{key: b.key, slot: req.slot(), req: req, rejected: req.Rejected}
	r.req.HTTP = nil // the renewal outlives the request
	if len(req.Params) > 0 || len(req.Scopes) > 0 {
		r.req = r.req.owned()
	}
	if l == nil {
		return m.renew(ctx, r)
	}
	now := m.now().UnixMilli()
	if m.over(ctx, b, l) {
		return nil, errSessionOver
	}
	held := l.token(r.slot)
	if req.ForceRenewal && r.rejected == nil && held != nil {
		r.rejected, r.byHand = held.Token, true
	}
	if held.alive(now, r.rejected) {
		if l.RefreshToken != "" && !l.alone && held.due(now) {
			m.startRenewal(r) // nobody waits for it
		}
		return held.Token, nil
	}
	return m.renew(ctx, r)
}

// over ends a login whose time has come, and otherwise notes that it is used.
func (m *Manager) over(ctx context.Context, b *binding, l *login) bool {
	now := m.now().UnixMilli()
	switch ended := now >= m.endsAt(l.record); {
	case l.alone:
		return ended
	case ended:
		_, _ = m.drop(ctx, b.key, l.rev)
		return true
	}
	if b.session != nil && now >= m.touchAt(l.record) {
		m.touch(ctx, b.key, l, now)
	}
	return false
}

// touch notes that a browser used the login. Losing the race to another write is
// fine: the next request notes it.
func (m *Manager) touch(ctx context.Context, key string, l *login, now int64) {
	ctx, cancel := context.WithTimeout(ctx, knownTimeout)
	defer cancel()
	used := l.clone()
	used.Used = now
	if _, err := m.swap(ctx, key, l.rev, used); err != nil {
		m.log.WarnContext(ctx, "tokenwell: the use of a session could not be noted", "error", err)
	}
}

// renewIn returns how long after it was obtained a token that lives for life is
// renewed. The window before its expiry is at most a fifth of its life, and
// starts with some jitter, so that tokens of one moment are not renewed in one.
func (m *Manager) renewIn(life time.Duration) time.Duration {
	early := m.cfg.RefreshEarly
	if early == 0 {
		early = time.Minute
	}
	early = min(early, life/5)
	return life - early + time.Duration(rand.Float64()*float64(early)/10)
}
