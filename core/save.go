package core

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// grant is what a refresh obtained, on its way into the Store.
type grant struct {
	key     string
	slot    string
	sent    string // digest of the refresh token that was sent for it
	attempt string // of the claim under which it was sent
	changed bool   // its ID token says something else of the user
	answer  *answer
	token   storedToken
	idToken string // checked; "" keeps the old one

	lastLook stopwatch // since the Store last said that the session exists; set once unsaved
	expires  int64     // of the session; set once unsaved
}

// save merges g into the login as the Store has it now, and returns the result.
// It fails with ErrLoginRequired when a logout won, and with a store error when
// the Store cannot say; then it has to be tried again.
func (m *Manager) save(ctx context.Context, g *grant) (*login, error) {
	for range maxRounds {
		l, err := m.load(ctx, g.key)
		if err != nil {
			return nil, err
		}
		g.lastLook = startWatch()
		if l == nil {
			m.revoke(ctx, g.answer.refreshToken)
			return nil, errSessionOver
		}
		if g.isIn(l) {
			return l, nil // a write that looked lost was not
		}
		r := l.clone()
		switch {
		case l.RefreshToken == "": // it was revoked while ours was under way
			m.revoke(ctx, g.answer.refreshToken)
			return nil, loginRequired(errors.New("the refresh token has been revoked"))
		case digest(l.RefreshToken) == g.sent:
			m.merge(r, g)
		default:
			// Another refresh came between. Ours is not revoked: many providers
			// would end theirs with it.
			if held := l.token(g.slot); held != nil && held.stored.Obtained >= g.token.Obtained {
				return l, nil
			}
			r.put(g.slot, g.token, m.now().UnixMilli())
		}
		rev, err := m.swap(ctx, g.key, l.rev, r)
		switch {
		case err != nil && errors.Is(err, ErrLoginRequired):
			return nil, err
		case err == nil && rev != "":
			saved := m.newLogin(r, rev)
			saved.look()
			m.logins.Set(g.key, saved)
			return saved, nil
		case err != nil:
			// Perhaps written, perhaps not: the next look tells.
			if err := sleep(ctx, 20*time.Millisecond); err != nil {
				return nil, storeError(err)
			}
		}
	}
	return nil, storeError(errContended)
}

// isIn reports whether l holds what g obtained. A provider may answer with the same
// access token and another refresh token: the access token alone tells nothing.
func (g *grant) isIn(l *login) bool {
	if l.Claim != nil && l.Claim.Attempt == g.attempt {
		return false // the write of g takes the claim away
	}
	held := l.token(g.slot)
	return held != nil && held.AccessToken == g.token.AccessToken &&
		(g.answer.refreshToken == "" || g.answer.refreshToken == l.RefreshToken || digest(l.RefreshToken) != g.sent)
}

// merge puts what g obtained into r: the old refresh token and ID token stay
// where no new ones came.
func (m *Manager) merge(r *record, g *grant) {
	if g.answer.refreshToken != "" {
		r.RefreshToken = g.answer.refreshToken
	}
	if g.idToken != "" {
		r.IDToken = g.idToken
	}
	if held, ok := r.Tokens[g.slot]; !ok || held.Obtained <= g.token.Obtained {
		r.put(g.slot, g.token, m.now().UnixMilli())
	}
	// Where the refresh token stays another may have claimed it since.
	if digest(r.RefreshToken) != g.sent || r.Claim != nil && r.Claim.Attempt == g.attempt {
		r.Claim, r.Unanswered = nil, ""
	}
}

// unsavedGrants are the results that the Store has not taken yet, by the key of
// their login: at most one each, since a refresh settles the one before it.
type unsavedGrants struct {
	mu     sync.Mutex
	grants map[string]*grant
}

func (u *unsavedGrants) has(key string) bool { return u.get(key) != nil }

func (u *unsavedGrants) get(key string) *grant {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.grants[key]
}

func (u *unsavedGrants) add(g *grant) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.grants == nil {
		u.grants = make(map[string]*grant)
	}
	u.grants[g.key] = g
}

func (u *unsavedGrants) drop(g *grant) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.grants[g.key] == g {
		delete(u.grants, g.key)
	}
}

// settle deals with an earlier result of r's login that is not saved yet: it is
// saved first, or served while the Store is down. Neither token nor error means
// that there is none left.
func (m *Manager) settle(ctx context.Context, r renewal) (*Token, error) {
	g := m.unsaved.get(r.key)
	if g == nil {
		return nil, nil
	}
	err := m.trySaving(ctx, g)
	if err == nil || errors.Is(err, ErrLoginRequired) {
		return nil, nil // the login itself says the rest
	}
	tok := newToken(g.token.AccessToken, g.token.Type, g.token.Scopes, g.answer.expiry)
	expired := g.token.Expiry != 0 && m.now().UnixMilli() >= g.token.Expiry
	if g.slot != r.slot || expired || tok.is(r.rejected) || g.lastLook.elapsed() >= unsavedFor || m.knownToHaveEnded(r.key) {
		return nil, err
	}
	return tok, nil
}

// trySaving saves an unsaved result and forgets it once the Store has decided.
func (m *Manager) trySaving(ctx context.Context, g *grant) error {
	l, err := m.save(ctx, g)
	if err == nil || errors.Is(err, ErrLoginRequired) {
		m.unsaved.drop(g)
	}
	if err == nil && g.changed {
		return m.claimsChanged(ctx, g.key, l)
	}
	return err
}

// keepUnsaved holds g in memory and saves it as soon as the Store takes it, while
// the login lasts and the manager lives.
func (m *Manager) keepUnsaved(g *grant, r *record) {
	g.lastLook, g.expires = startWatch(), r.Expires
	m.unsaved.add(g)
	m.work.Add(1) // within a flight, which is counted itself: Close cannot have passed
	go func() {
		defer m.work.Done()
		m.saveLater(g)
	}()
}

func (m *Manager) saveLater(g *grant) {
	defer m.unsaved.drop(g)
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval = 50*time.Millisecond, 250*time.Millisecond // with jitter, shorter than takeOverPause
	for m.now().UnixMilli() < g.expires {
		if sleep(m.life, pause.NextBackOff()) != nil {
			m.log.Error("tokenwell: closed before a refresh could be saved; its user will have to sign in again")
			return
		}
		unlock, err := m.locks.lock(m.life, g.key)
		if err != nil {
			continue
		}
		if m.unsaved.get(g.key) == g {
			_ = m.trySaving(m.life, g)
		}
		gone := m.unsaved.get(g.key) != g
		unlock()
		if gone {
			return
		}
	}
}
