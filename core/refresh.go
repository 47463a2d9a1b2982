package core

import (
	"context"
	"errors"
	"net/url"
	"time"

	"golang.org/x/sync/singleflight"
)

const (
	// claimWait is how long a claim must stand unchanged before another process
	// takes it over: its owner has died, or has been cut off.
	claimWait = 5 * time.Second
	// claimBeat is how often its owner renews it.
	claimBeat = claimWait / 4
	// takeOverPause is how long one who has taken a claim over waits before the send:
	// longer than the former owner pauses between two tries to save an answer.
	takeOverPause = 600 * time.Millisecond
	// unsavedFor is how long what this process knows of a login is served while the
	// Store does not answer, without a look whether the session still exists.
	unsavedFor = 30 * time.Second
	// rejectedAgain is how long after a renewal forced by an API's refusal
	// another such refusal forces none.
	rejectedAgain = 30 * time.Second
	// refreshLimit bounds one renewal as a whole, the waiting for others included.
	refreshLimit = 2 * time.Minute
	storeTimeout = 5 * time.Second
	// knownTimeout is storeTimeout for a login that can be served without the Store.
	knownTimeout = time.Second
	maxRounds    = 16
)

// renewal is what one flight is asked for.
type renewal struct {
	key      string
	slot     string
	req      TokenRequest
	rejected *Token // never to be returned
	byHand   bool   // rejected by nobody: a new token was asked for
}

// askedScopes are those of an answer that names none (RFC 6749 section 6).
func (r *renewal) askedScopes(l *login) []string {
	if len(r.req.Scopes) == 0 {
		return l.Tokens[""].Scopes
	}
	return r.req.Scopes
}

// flight names the renewals that are one.
func (r *renewal) flight() string { return r.key + " " + r.slot }

// renew waits for the renewal of r, or for the end of the caller's own context.
// The renewal itself goes on without the caller.
func (m *Manager) renew(ctx context.Context, r renewal) (*Token, error) {
	// A flight that was under way may have been asked for less, and come back
	// with the very token that was rejected: then this caller's own flight starts.
	for range 2 {
		if ctx.Err() != nil {
			return nil, waitError(ctx, opRefresh)
		}
		select {
		case <-ctx.Done():
			return nil, waitError(ctx, opRefresh)
		case result := <-m.startRenewal(r):
			if result.Err != nil {
				return nil, result.Err
			}
			if tok := result.Val.(*Token); !tok.is(r.rejected) {
				return tok, nil
			}
		}
	}
	return nil, &Error{Op: opRefresh, Err: errNotRenewed}
}

// startRenewal joins or starts the flight for r, on the manager's own context: a
// browser that hangs up must not lose a rotated token.
func (m *Manager) startRenewal(r renewal) <-chan singleflight.Result {
	return m.flights.DoChan(r.flight(), func() (any, error) {
		if !m.begin() {
			return nil, errClosed
		}
		defer m.end()
		ctx, cancel := context.WithTimeout(m.life, refreshLimit)
		defer cancel()
		return m.guard(ctx, opRefresh, func() (any, error) { return m.refresh(ctx, r) })
	})
}

// refresh gets a new token for r. One runs at a time for each login in this
// process, and the claim in the Store makes it one at a time among all.
func (m *Manager) refresh(ctx context.Context, r renewal) (*Token, error) {
	unlock, err := m.locks.lock(ctx, r.key)
	if err != nil {
		return nil, waitError(ctx, opRefresh)
	}
	defer unlock()

	contended := storeError(errContended)
	tookOver := false // the claim was somebody else's: their answer may be on its way to the Store
	for range maxRounds {
		if tok, err := m.settle(ctx, r); tok != nil || err != nil {
			return tok, err
		}
		l, err := m.load(ctx, r.key)
		if err != nil {
			return nil, err
		}
		if l == nil {
			return nil, errSessionOver
		}
		tok, err := m.withoutSending(l, r)
		if tok != nil || err != nil {
			return tok, err
		}
		sent := digest(l.RefreshToken)
		if l.Claim != nil && l.Claim.Token == sent {
			if l, err = m.awaitClaim(ctx, r.key, l.Claim); err != nil {
				return nil, err
			}
			if l == nil {
				continue
			}
			if tok, err := m.insteadOfResending(l, r); tok != nil || err != nil {
				return tok, err
			}
			tookOver = true
		}
		if refusal, ok := m.refused.GetIfPresent(sent); ok {
			if err := m.refreshTokenDied(ctx, r.key, l, refusal); err != nil {
				return nil, err
			}
			continue
		}
		if _, err := m.provider(ctx); err != nil { // known before the claim, whose time runs
			return m.unrenewed(ctx, l, r, err)
		}
		hold, err := m.claim(ctx, r.key, l, sent)
		switch {
		case errors.Is(err, errNotWritten):
			contended = err
			// A store that hangs has been waited for long enough.
			if errors.Is(err, context.DeadlineExceeded) || sleep(ctx, 20*time.Millisecond) != nil {
				return nil, err
			}
			continue
		case err != nil:
			return nil, err
		case hold == nil:
			continue
		}
		if tok, err := m.useClaim(r, hold, tookOver); tok != nil || err != nil {
			return tok, err
		}
		tookOver = false
	}
	return nil, contended
}

// useClaim sends the refresh token under a claim and settles what comes of it. Its time
// is its own: that its flight has waited for others before must not cut a send. Neither
// token nor error means that all is to begin again.
func (m *Manager) useClaim(r renewal, hold *claimHold, tookOver bool) (*Token, error) {
	ctx, cancel := context.WithTimeout(m.life, refreshLimit)
	defer cancel()
	if tookOver {
		var err error
		if hold, err = hold.secondLook(ctx); hold == nil || err != nil {
			return nil, err
		}
	}
	s := m.send(ctx, hold, r)
	var refusal *Error
	switch {
	case s.err == nil:
		return m.accept(ctx, r, hold, s)
	case errors.As(s.err, &refusal) && refusal.Code == "invalid_grant":
		m.refused.Set(hold.c.Token, refusal)
		if tookOver {
			if err := hold.giveTime(ctx); err != nil {
				return nil, err
			}
		}
		hold.release(ctx, false)
		return nil, nil
	default:
		return m.sendFailed(ctx, r, hold, s.err)
	}
}

// withoutSending answers r from l where no request is called for, or possible.
func (m *Manager) withoutSending(l *login, r renewal) (*Token, error) {
	now := m.now().UnixMilli()
	held := l.token(r.slot)
	alive := held.alive(now, r.rejected)
	switch {
	case alive && now < held.renewAt:
		return held.Token, nil // somebody else has renewed it
	case !r.byHand && r.rejected != nil && held != nil && held.is(r.rejected) && now < held.expires &&
		held.stored.AfterRejection && now < held.stored.Obtained+rejectedAgain.Milliseconds():
		return nil, &Error{Op: opRefresh, Err: errNotRenewed}
	case l.RefreshToken == "" && alive:
		return held.Token, nil
	case l.RefreshToken == "":
		return nil, loginRequired(errors.New("the session has no refresh token"))
	}
	for _, paced := range []string{r.key, r.flight()} {
		if err := m.pacing.wait(paced, m.now()); err != nil {
			if alive {
				return held.Token, nil
			}
			return nil, err
		}
	}
	if l.Unanswered == digest(l.RefreshToken) {
		return m.insteadOfResending(l, r)
	}
	return nil, nil
}

// insteadOfResending keeps a refresh token that may have been consumed from being
// sent again while an access token lives: a provider that detects reuse would
// revoke that one too. It returns neither token nor error when nothing lives.
func (m *Manager) insteadOfResending(l *login, r renewal) (*Token, error) {
	now := m.now().UnixMilli()
	if held := l.token(r.slot); held.alive(now, r.rejected) {
		return held.Token, nil
	}
	rejected := r.rejected
	if r.byHand {
		rejected = nil // no API has refused it: it lives
	}
	if l.anyAlive(now, rejected) {
		return nil, &Error{Op: opRefresh, transient: true, Err: errors.New("an earlier refresh was sent and not answered; it is not repeated while an access token of this login lives")}
	}
	return nil, nil
}

// outcome is what came of a send: an answer, and what its ID token says.
type outcome struct {
	answer  *answer
	renewed bool  // it has another ID token, which says something else of the user
	refused error // its ID token is not to be believed, or could not be checked
	err     error
}

// send posts the refresh token and checks the ID token in the answer, for which the
// provider's keys may have to be fetched, while the claim is kept alive.
func (m *Manager) send(ctx context.Context, hold *claimHold, r renewal) outcome {
	form := url.Values{"grant_type": {opRefresh}, "refresh_token": {hold.refreshToken}}
	if err := r.req.fill(form); err != nil {
		return outcome{err: err}
	}
	done := make(chan outcome, 1)
	go func() {
		var s outcome
		_, s.err = m.guard(ctx, opRefresh, func() (_ any, err error) { // the application authenticates, and may bring the transport
			if s.answer, err = m.requestToken(ctx, m.app, opRefresh, form); err == nil && s.answer.idToken != "" {
				s.renewed, s.refused = m.checkRefreshedIDToken(ctx, hold.login, s.answer.idToken)
			}
			return nil, err
		})
		done <- s
	}()
	beat := time.NewTicker(claimBeat)
	defer beat.Stop()
	for {
		select {
		case s := <-done:
			return s
		case <-beat.C:
			hold.renew(ctx)
		}
	}
}

// sendFailed clears the claim and answers with what is still alive. The next try
// waits for as long as the provider asked, or for a growing while.
func (m *Manager) sendFailed(ctx context.Context, r renewal, hold *claimHold, err error) (*Token, error) {
	var e *Error
	unanswered := errors.As(err, &e) && errors.Is(e.Err, errUnanswered)
	hold.release(ctx, unanswered)
	paced := r.key
	if e != nil && !e.Temporary() {
		paced = r.flight() // it was refused what this request asks for; others may ask for something else
	}
	m.pacing.failed(paced, m.now(), err)
	return m.unrenewed(ctx, hold.login, r, err)
}

// unrenewed answers a renewal that failed with the token that is still alive.
func (m *Manager) unrenewed(ctx context.Context, l *login, r renewal, err error) (*Token, error) {
	if held := l.token(r.slot); held.alive(m.now().UnixMilli(), r.rejected) {
		m.log.WarnContext(ctx, "tokenwell: refresh failed; the live token is used", "error", err)
		return held.Token, nil
	}
	m.log.ErrorContext(ctx, "tokenwell: refresh failed", "error", err)
	return nil, err
}

// refreshTokenDied ends the session whose refresh token the provider refused, if
// it still is in the state l.
func (m *Manager) refreshTokenDied(ctx context.Context, key string, l *login, refusal *Error) error {
	deleted, err := m.drop(ctx, key, l.rev)
	if err != nil {
		m.log.ErrorContext(ctx, "tokenwell: a dead session could not be deleted", "error", err)
	}
	if !deleted && err == nil {
		return nil
	}
	if deleted {
		m.sessionEnded(ctx, l, EndRefreshTokenRefused)
	}
	return loginRequired(refusal)
}

// accept checks and saves what the provider granted.
func (m *Manager) accept(ctx context.Context, r renewal, hold *claimHold, s outcome) (*Token, error) {
	a := s.answer
	now := m.pacing.begin() // one at a time for each login: nothing failed meanwhile
	m.pacing.succeeded(r.key, now)
	m.pacing.succeeded(r.flight(), now)
	g := &grant{key: r.key, slot: r.slot, sent: hold.c.Token, attempt: hold.c.Attempt, answer: a, token: m.stored(a, r.askedScopes(hold.login))}
	g.token.AfterRejection = r.rejected != nil && !r.byHand
	switch {
	case errors.Is(s.refused, errKeysUnreachable):
		m.log.WarnContext(ctx, "tokenwell: a refreshed ID token could not be checked; the old one is kept", "error", s.refused)
	case s.refused != nil:
		return nil, m.refuseIdentity(ctx, r.key, hold.refreshToken, a, s.refused)
	default:
		g.idToken, g.changed = a.idToken, s.renewed
	}
	l, err := m.save(ctx, g)
	switch {
	case errors.Is(err, ErrLoginRequired):
		return nil, err
	case err != nil:
		m.keepUnsaved(g, hold.login.record)
		m.log.ErrorContext(ctx, "tokenwell: a refresh could not be saved yet", "error", err)
	case g.changed:
		if err := m.claimsChanged(ctx, r.key, l); err != nil {
			return nil, err
		}
	}
	return newToken(a.accessToken, a.tokenType, g.token.Scopes, a.expiry), nil
}

// refuseIdentity ends a session whose refresh came back with somebody else's ID
// token, or one that cannot be believed. What the answer held is never stored.
func (m *Manager) refuseIdentity(ctx context.Context, key, sent string, a *answer, cause error) error {
	l, err := m.remove(ctx, key)
	if err != nil {
		m.log.ErrorContext(ctx, "tokenwell: a refused session could not be deleted", "error", err)
	}
	m.revoke(ctx, a.refreshToken)
	if l != nil {
		if a.refreshToken == "" || l.RefreshToken != sent {
			m.revoke(ctx, l.RefreshToken)
		}
		m.sessionEnded(ctx, l, EndRefused)
	}
	return loginRequired(&Error{Op: opRefresh, Err: cause})
}
