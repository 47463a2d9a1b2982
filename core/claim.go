package core

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// claimHold is a claim that this process has written.
type claimHold struct {
	m            *Manager
	key          string
	login        *login // in the state in which the claim was written
	refreshToken string
	c            claim
}

// claim writes the right to send l's refresh token into the record, and returns
// nil when the record has changed since l was read.
//
// The owner sends only when it knows that its claim was written less than half of
// claimWait ago: one that was stopped in between writes it anew, and sees whether
// it has been taken over.
func (m *Manager) claim(ctx context.Context, key string, l *login, sent string) (*claimHold, error) {
	c := claim{Attempt: newSecret(), Token: sent}
	for range maxRounds {
		written := startWatch()
		claimed := l.clone()
		claimed.Claim = &c
		rev, err := m.swap(ctx, key, l.rev, claimed)
		if err != nil {
			// The write may have happened: go on only if the claim there is ours.
			now, loadErr := m.load(ctx, key)
			if loadErr != nil {
				return nil, loadErr
			}
			if now == nil || now.Claim == nil || now.Claim.Attempt != c.Attempt {
				return nil, storeError(fmt.Errorf("%w: %w", errNotWritten, errors.Unwrap(err)))
			}
			if *now.Claim != c { // an earlier one of ours, which may be about to be taken over
				l = now
				continue
			}
			rev, claimed = now.rev, now.record
		}
		if rev == "" {
			return nil, nil
		}
		l = m.newLogin(claimed, rev)
		if written.elapsed() < claimWait/2 {
			return &claimHold{m: m, key: key, login: l, refreshToken: l.RefreshToken, c: c}, nil
		}
		c.Beat++
	}
	return nil, storeError(errContended)
}

// errNotWritten says that the Store did not take a claim.
var errNotWritten = errors.New("the claim was not written")

// renew shows the others that the owner lives. A claim that has gone, by a logout
// or a take-over, is left as it is.
func (h *claimHold) renew(ctx context.Context) {
	h.c.Beat++
	ctx, cancel := context.WithTimeout(ctx, claimBeat)
	defer cancel()
	_ = h.update(ctx, func(r *record) { c := h.c; r.Claim = &c })
}

// release clears the claim after a send that gave nothing, noting whether the
// refresh token may have been consumed all the same.
func (h *claimHold) release(ctx context.Context, unanswered bool) {
	err := h.update(ctx, func(r *record) {
		r.Claim = nil
		if unanswered {
			r.Unanswered = h.c.Token
		}
	})
	if err != nil {
		h.m.log.WarnContext(ctx, "tokenwell: a claim could not be cleared; others will wait for it", "error", err)
	}
}

// update changes the record for as long as the claim in it is ours.
func (h *claimHold) update(ctx context.Context, change func(*record)) error {
	for range maxRounds {
		l, err := h.m.load(ctx, h.key)
		if err != nil {
			return err
		}
		if l == nil || l.Claim == nil || l.Claim.Attempt != h.c.Attempt {
			return nil
		}
		r := l.clone()
		change(r)
		rev, err := h.m.swap(ctx, h.key, l.rev, r)
		if err != nil || rev != "" {
			return err
		}
	}
	return storeError(errContended)
}

// awaitClaim waits while others renew the claim c on a refresh token, and returns
// the login once that has stood as it is for claimWait on this machine's clock: then
// it is stale, and its owner's refresh token may or may not have been sent. It returns
// nil once the claim has gone.
//
// Only time in which the Store answers counts: while it does not, the owner can neither
// renew its claim nor save what it was answered. So it is asked itself once in each
// beat; Peek may go on answering from a cache.
func (m *Manager) awaitClaim(ctx context.Context, key string, c *claim) (*login, error) {
	standing, answering, loaded := startWatch(), startWatch(), startWatch()
	for pause := 20 * time.Millisecond; ; pause = min(2*pause, 250*time.Millisecond) {
		if err := sleep(ctx, pause/2+rand.N(pause)); err != nil {
			return nil, waitError(ctx, opRefresh)
		}
		waited := standing.elapsed() >= claimWait
		asked, current := startWatch(), waited || loaded.elapsed() >= claimBeat
		l, standsAsItIs, err := m.lookAtClaim(ctx, key, c, current)
		if !standsAsItIs {
			loaded = startWatch()
		}
		if err != nil || asked.elapsed() >= claimBeat {
			standing, waited = startWatch(), false
		}
		switch {
		case err != nil && answering.elapsed() >= storeTimeout:
			return nil, err
		case err != nil:
			continue
		}
		answering = startWatch()
		switch {
		case standsAsItIs:
			continue
		case l == nil || l.Claim == nil || l.Claim.Attempt != c.Attempt:
			return nil, nil
		case *l.Claim != *c: // its owner lives
			c, standing = l.Claim, startWatch()
		case waited:
			return l, nil
		}
	}
}

// lookAtClaim tells that the claim c stands as it is, as far as Peek knows, or else
// returns the login: Peek may be behind, and does not decide.
func (m *Manager) lookAtClaim(ctx context.Context, key string, c *claim, current bool) (l *login, standsAsItIs bool, err error) {
	if !current {
		value, rev, err := m.peek(ctx, key, nil)
		if err != nil {
			return nil, false, storeError(err)
		}
		if rev != "" {
			if l, err = m.decode(key, value, rev); err != nil || l.carries(c) {
				return nil, err == nil, err
			}
		}
	}
	l, err = m.load(ctx, key)
	return l, false, err
}

func (l *login) carries(c *claim) bool { return l != nil && l.Claim != nil && *l.Claim == *c }

// secondLook writes a claim that was taken over anew, a moment later. The Store may have
// taken no writes while the claim stood, its owner's answer among them: then that comes
// first now, and there is nothing to send. It returns nil where the record has changed.
func (h *claimHold) secondLook(ctx context.Context) (*claimHold, error) {
	if err := sleep(ctx, takeOverPause); err != nil {
		return nil, waitError(ctx, opRefresh)
	}
	l, err := h.m.load(ctx, h.key)
	if err != nil || l == nil || l.Claim == nil || l.Claim.Attempt != h.c.Attempt || digest(l.RefreshToken) != h.c.Token {
		return nil, err
	}
	return h.m.claim(ctx, h.key, l, h.c.Token)
}

// giveTime waits, after a refresh token that was taken over has been refused, for
// its former owner to save what it was answered.
func (h *claimHold) giveTime(ctx context.Context) error {
	for range claimWait / claimBeat {
		if err := sleep(ctx, claimBeat); err != nil {
			return waitError(ctx, opRefresh)
		}
		h.renew(ctx)
	}
	return nil
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
