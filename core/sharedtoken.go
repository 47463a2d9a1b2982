package core

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"time"
)

// sharedRecord is a token that belongs to no login as it lies in the Store. It is
// shared by all processes with the same client.
type sharedRecord struct {
	Version int          `json:"v"`
	Token   *storedToken `json:"token,omitempty"`
	// Claim names the process that is asking for a token. Unlike a refresh, two that
	// ask by mistake do no harm: a claim only saves the second request.
	Claim string `json:"claim,omitempty"`
}

const (
	// sharedTimeout bounds each look into the Store: unlike a login, the token can be
	// had without it.
	sharedTimeout = time.Second
	// sharedClaim is how long a claim lies in the Store.
	sharedClaim = 30 * time.Second
	// sharedFor is how long a token without an expiry lies there.
	sharedFor = 24 * time.Hour
	maxPolls  = 256
)

// sharedToken returns what another process has put into the Store, or asks for a
// token and puts it there. A Store that fails is done without.
func (m *Manager) sharedToken(ctx context.Context, w wanted, ask func(context.Context) (*answer, error), scopes []string) (_ *heldToken, asked bool, _ error) {
	hold, found, err := m.claimShared(ctx, w)
	if err != nil {
		m.log.WarnContext(ctx, "tokenwell: the store failed; the token is requested without it", "op", w.op, "error", err)
	}
	if found != nil {
		return found, false, nil
	}
	a, err := ask(ctx)
	if err != nil {
		hold.giveUp(ctx)
		return hold.instead(), true, err
	}
	t := m.stored(a, scopes)
	t.AfterRejection = w.rejected != nil && !w.byHand
	hold.release(ctx, &t)
	return newHeldToken(t), true, nil
}

// lookShared returns a look into a Store that others share.
func (m *Manager) lookShared() func(context.Context, wanted) *heldToken {
	if m.memory {
		return nil
	}
	return func(ctx context.Context, w wanted) *heldToken {
		r, _, err := m.loadShared(ctx, m.keys.client(w.key))
		if err != nil || r.Token == nil {
			return nil
		}
		return newHeldToken(*r.Token)
	}
}

// sharedHold is a claim that this process has written; nil where the Store failed.
type sharedHold struct {
	m      *Manager
	key    string
	rev    string
	before *storedToken
}

// claimShared returns the token in the Store if it will do, and otherwise writes
// the claim to ask for one, waiting for a process that is asking already.
func (m *Manager) claimShared(ctx context.Context, w wanted) (*sharedHold, *heldToken, error) {
	key := m.keys.client(w.key)
	var seen string
	var unchanged stopwatch
	for range maxPolls {
		r, rev, err := m.loadShared(ctx, key)
		if err != nil {
			return nil, nil, err
		}
		now := m.now().UnixMilli()
		var held *heldToken
		if r.Token != nil && (!w.byHand || w.rejected != nil) {
			held = newHeldToken(*r.Token)
		}
		alive := held.alive(now, w.rejected)
		if alive && now < held.renewAt {
			return nil, held, nil
		}
		if r.Claim != "" {
			if alive && !w.kept {
				return nil, held, nil // it is being renewed
			}
			if r.Claim != seen {
				seen, unchanged = r.Claim, startWatch()
			}
			if unchanged.elapsed() < claimWait {
				if err := sleep(ctx, 20*time.Millisecond+rand.N(100*time.Millisecond)); err != nil {
					return nil, nil, err
				}
				continue
			}
		}
		h := &sharedHold{m: m, key: key, before: r.Token}
		if h.rev, err = m.swapShared(ctx, key, rev, &sharedRecord{Token: r.Token, Claim: newSecret()}); err != nil {
			return nil, nil, err
		}
		if h.rev != "" {
			return h, nil, nil
		}
	}
	return nil, nil, errContended
}

// instead is what was in the Store before the claim.
func (h *sharedHold) instead() *heldToken {
	if h == nil || h.before == nil {
		return nil
	}
	return newHeldToken(*h.before)
}

// giveUp leaves the Store as it was before the claim.
func (h *sharedHold) giveUp(ctx context.Context) {
	if h != nil {
		h.release(ctx, h.before)
	}
}

// release puts t, if it is still of use, in place of the claim.
func (h *sharedHold) release(ctx context.Context, t *storedToken) {
	if h == nil {
		return
	}
	ctx = context.WithoutCancel(ctx) // others wait for it
	var err error
	if t != nil && (t.Expiry == 0 || t.Expiry > h.m.now().UnixMilli()) {
		_, err = h.m.swapShared(ctx, h.key, h.rev, &sharedRecord{Token: t})
	} else {
		ctx, cancel := context.WithTimeout(ctx, sharedTimeout)
		defer cancel()
		_, err = h.m.store.Delete(ctx, h.key, h.rev)
	}
	if err != nil {
		h.m.log.WarnContext(ctx, "tokenwell: the store did not take a token; other processes will request their own", "error", err)
	}
}

func (m *Manager) loadShared(ctx context.Context, key string) (*sharedRecord, string, error) {
	ctx, cancel := context.WithTimeout(ctx, sharedTimeout)
	defer cancel()
	value, rev, err := m.store.Load(ctx, key)
	var r sharedRecord
	switch {
	case err != nil:
		return nil, "", err
	case rev == "":
		return &r, "", nil
	case json.Unmarshal(value, &r) != nil || r.Version != recordVersion:
		return nil, "", errors.New("a token's record cannot be read")
	case r.Token != nil && !r.Token.usable():
		r.Token = nil
	}
	return &r, rev, nil
}

// usable reports whether an Authorization header can carry the token.
func (t *storedToken) usable() bool {
	_, err := tokenType(t.Type)
	return err == nil && t.Type != "" && t.AccessToken != "" && printable(t.AccessToken)
}

func (m *Manager) swapShared(ctx context.Context, key, rev string, r *sharedRecord) (string, error) {
	r.Version = recordVersion
	value, err := json.Marshal(r)
	if err != nil {
		return "", err
	}
	ttl := sharedFor
	if t := r.Token; t != nil && t.Expiry != 0 {
		ttl = time.UnixMilli(t.Expiry).Sub(m.now())
	}
	if r.Claim != "" {
		ttl = max(sharedClaim, min(ttl, sharedFor))
		if r.Token == nil {
			ttl = sharedClaim
		}
	}
	ctx, cancel := context.WithTimeout(ctx, sharedTimeout)
	defer cancel()
	return m.store.Swap(ctx, key, rev, value, ttl)
}
