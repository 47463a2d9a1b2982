package core

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"sync/atomic"
	"time"
)

const (
	recordVersion = 1
	// maxTokens bounds the tokens of one login: the one of the login itself and
	// those for scopes, resources and parameters asked for by call.
	maxTokens = 32
)

// record is one login as it lies in the Store. Times are Unix milliseconds.
type record struct {
	Version      int                    `json:"v"`
	Issuer       string                 `json:"iss,omitempty"`
	Subject      string                 `json:"sub,omitempty"`
	SID          string                 `json:"sid,omitempty"`
	IDToken      string                 `json:"id_token,omitempty"`
	RefreshToken string                 `json:"refresh_token,omitempty"`
	Tokens       map[string]storedToken `json:"tokens,omitempty"` // by slot
	Created      int64                  `json:"created"`
	Used         int64                  `json:"used"`
	Expires      int64                  `json:"expires"`
	Claim        *claim                 `json:"claim,omitempty"`
	Unanswered   string                 `json:"unanswered,omitempty"` // digest of a refresh token that was sent and not answered
}

type storedToken struct {
	AccessToken    string   `json:"access_token"`
	Type           string   `json:"type"`
	Scopes         []string `json:"scopes,omitempty"`
	Expiry         int64    `json:"expiry,omitempty"` // 0: not known
	RenewAt        int64    `json:"renew_at,omitempty"`
	Obtained       int64    `json:"obtained"`
	AfterRejection bool     `json:"after_rejection,omitempty"` // it replaced one that an API had refused
}

// claim is the right to send a refresh token, held by whoever wrote it.
type claim struct {
	Attempt string `json:"attempt"`
	Beat    int    `json:"beat"`  // counts renewals, so that others see the owner live
	Token   string `json:"token"` // digest of the refresh token
}

// clone returns a copy whose tokens can be changed.
func (r *record) clone() *record {
	c := *r
	c.Tokens = maps.Clone(r.Tokens)
	if c.Tokens == nil {
		c.Tokens = make(map[string]storedToken)
	}
	return &c
}

// put stores t and drops what would let the record grow: expired tokens, then
// the one obtained first.
func (r *record) put(slot string, t storedToken, now int64) {
	for s, old := range r.Tokens {
		if s != "" && old.Expiry != 0 && old.Expiry <= now {
			delete(r.Tokens, s)
		}
	}
	r.Tokens[slot] = t
	for len(r.Tokens) > maxTokens {
		oldest, at := "", int64(math.MaxInt64)
		for s, old := range r.Tokens {
			if s != "" && s != slot && old.Obtained < at {
				oldest, at = s, old.Obtained
			}
		}
		delete(r.Tokens, oldest)
	}
}

// login is a decoded record in one state, made ready for use and never changed.
type login struct {
	rev        string
	quietUntil int64  // until then mainToken is the whole answer to whoever asks for it
	mainToken  *Token // of slot ""
	tokens     map[string]*heldToken
	*record

	looked atomic.Int64 // when the Store last had it, from sinceStart on; 0: not by a look
	alone  bool         // the Store is down
}

// heldToken is a stored token with its times in order.
type heldToken struct {
	*Token
	renewAt, expires int64 // math.MaxInt64: never
	stored           storedToken
	started          atomic.Int64 // when a renewal behind callers was last begun
}

// due reports whether a renewal behind the caller is to begin: at most one a second.
func (h *heldToken) due(now int64) bool {
	last := h.started.Load()
	return now >= h.renewAt && (now >= last+1000 || now < last) && h.started.CompareAndSwap(last, now)
}

func (m *Manager) newLogin(r *record, rev string) *login {
	l := &login{record: r, rev: rev, tokens: make(map[string]*heldToken, len(r.Tokens))}
	for slot, t := range r.Tokens {
		l.tokens[slot] = newHeldToken(t)
	}
	if h := l.tokens[""]; h != nil {
		l.mainToken = h.Token
		l.quietUntil = min(h.renewAt, h.expires, m.endsAt(r), m.touchAt(r))
	}
	return l
}

func newHeldToken(t storedToken) *heldToken {
	h := &heldToken{stored: t, renewAt: math.MaxInt64, expires: math.MaxInt64}
	var expiry time.Time
	if t.Expiry != 0 {
		h.expires, expiry = t.Expiry, time.UnixMilli(t.Expiry)
	}
	if t.RenewAt != 0 {
		h.renewAt = t.RenewAt
	}
	h.Token = newToken(t.AccessToken, t.Type, t.Scopes, expiry)
	return h
}

func (l *login) token(slot string) *heldToken { return l.tokens[slot] }

// alive reports whether h can still be used, which one that an API has rejected
// cannot.
func (h *heldToken) alive(now int64, rejected *Token) bool {
	return h != nil && now < h.expires && !h.is(rejected)
}

// is reports whether t is the same access token.
func (t *Token) is(other *Token) bool {
	return t != nil && other != nil && t.AccessToken == other.AccessToken
}

// anyAlive reports whether some access token of the login can still be used.
func (l *login) anyAlive(now int64, rejected *Token) bool {
	for _, h := range l.tokens {
		if h.alive(now, rejected) {
			return true
		}
	}
	return false
}

// endsAt is when the login ends by itself, in Unix milliseconds: its lifetime, or
// earlier when nobody uses it.
func (m *Manager) endsAt(r *record) int64 {
	if m.cfg.IdleTimeout > 0 {
		return min(r.Expires, r.Used+m.cfg.IdleTimeout.Milliseconds())
	}
	return r.Expires
}

func (m *Manager) decodeLogin(value []byte, rev string) (*login, error) {
	var r record
	var err error
	switch {
	case json.Unmarshal(value, &r) != nil:
		err = errors.New("a session's record cannot be read")
	case r.Version < 1 || r.Version > recordVersion:
		err = fmt.Errorf("a session's record is of version %d, this program reads up to %d", r.Version, recordVersion)
	default:
		return m.newLogin(&r, rev), nil
	}
	return nil, storeError(&unreadable{rev, err})
}

// unreadable is a record that is there, in the state rev, and says nothing.
type unreadable struct {
	rev string
	error
}

func (u *unreadable) Unwrap() error { return u.error }

// load reads the current state of a login; nil when there is none.
func (m *Manager) load(ctx context.Context, key string) (*login, error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	value, rev, err := m.store.Load(ctx, key)
	switch {
	case err != nil && rev != "":
		return nil, storeError(&unreadable{rev, err})
	case err != nil:
		return nil, storeError(err)
	case rev == "":
		m.sawEnd(key)
		return nil, nil
	}
	l, err := m.decode(key, value, rev)
	if err != nil {
		return nil, err
	}
	if m.now().UnixMilli() >= m.endsAt(l.record) {
		return nil, nil
	}
	return l, nil
}

// decode returns the login for a value of the Store, decoded once for each state.
func (m *Manager) decode(key string, value []byte, rev string) (*login, error) {
	l, ok := m.logins.GetIfPresent(key)
	if !ok || l.rev != rev {
		var err error
		if l, err = m.decodeLogin(value, rev); err != nil {
			return nil, err
		}
		m.logins.Set(key, l)
	}
	l.look()
	return l, nil
}

// swap replaces the state rev of a login ("" creates) and returns the new
// revision, "" when somebody else was first.
func (m *Manager) swap(ctx context.Context, key, rev string, r *record) (string, error) {
	r.Version = recordVersion
	value, err := json.Marshal(r)
	if err != nil {
		return "", storeError(err)
	}
	ttl := time.Duration(m.endsAt(r)-m.now().UnixMilli()) * time.Millisecond
	if ttl <= 0 {
		return "", loginRequired(errors.New("the session has come to its end"))
	}
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	newRev, err := m.store.Swap(ctx, key, rev, value, ttl)
	if err != nil {
		return "", storeError(err)
	}
	return newRev, nil
}

// remove deletes a login in whatever state it is, readable or not, and returns the one
// that the winning read held; nil when there was none, or none that could be read. With
// an error, it is one that may or may not have been deleted.
func (m *Manager) remove(ctx context.Context, key string) (*login, error) {
	for range maxRounds {
		var rev string
		var hidden *unreadable
		l, err := m.load(ctx, key)
		switch {
		case errors.As(err, &hidden):
			m.log.ErrorContext(ctx, "tokenwell: a session ends that cannot be read; its refresh token is not revoked", "error", err)
			rev = hidden.rev
		case err != nil || l == nil:
			return nil, err
		default:
			rev = l.rev
		}
		deleted, err := m.drop(ctx, key, rev)
		if err != nil {
			// It may have happened: then what was read last is what was deleted.
			if now, loadErr := m.load(ctx, key); loadErr != nil || now != nil {
				return l, err
			}
			return l, nil
		}
		if deleted {
			return l, nil
		}
	}
	return nil, storeError(errContended)
}

func (m *Manager) drop(ctx context.Context, key, rev string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	deleted, err := m.store.Delete(ctx, key, rev)
	switch {
	case err != nil:
		return false, storeError(err)
	case deleted:
		m.sawEnd(key)
	default:
		m.logins.Invalidate(key)
	}
	return deleted, nil
}

// sawEnd notes that a session has ended: nothing of it is served any more while the
// Store is down. Its key is never used again.
func (m *Manager) sawEnd(key string) {
	m.ended.Set(key, true)
	m.logins.Invalidate(key)
}

func (m *Manager) knownToHaveEnded(key string) bool {
	_, ended := m.ended.GetIfPresent(key)
	return ended
}

var errContended = errors.New("others kept changing the session")
