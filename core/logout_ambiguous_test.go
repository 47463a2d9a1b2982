package core_test

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/tokenwell/tokenwell/core"
	"github.com/tokenwell/tokenwell/core/coretest"
)

// loseAnswer loses the store's answer to the next operation of that name on the record
// of u: it happens, and an error is reported.
func (r *refreshRig) loseAnswer(u signedInUser, op string) {
	var lost atomic.Bool
	r.store.watch(nil, func(done, key string) error {
		if done == op && key == u.key && lost.CompareAndSwap(false, true) {
			return errStoreDown
		}
		return nil
	})
}

// A Delete that happened though the store reported an error is a logout: the refresh
// token, which nobody else knows any more, is revoked.
func TestLogoutRevokesWhenDeleteIsUncertain(t *testing.T) {
	t.Parallel()
	ended := 0
	r := newRefreshRig(t, coretest.Options{}, func(c *core.Config) {
		c.OnSessionEnd = func(context.Context, *core.User, core.EndReason) { ended++ }
	})
	u := r.signIn("alice")
	r.loseAnswer(u, "Delete")
	if _, err := r.m.Logout(t.Context(), u.session); err != nil {
		t.Error(err)
	}
	r.wantDead(u)
	if live := r.p.RefreshTokens("alice"); len(live) != 0 || ended != 1 {
		t.Errorf("%d refresh tokens are in force, OnSessionEnd called %d times", len(live), ended)
	}
}

// A Swap that happened though the store reported an error has taken the refresh token
// out of the session: it is revoked.
func TestRevokeRefreshTokenRevokesWhenSwapIsUncertain(t *testing.T) {
	t.Parallel()
	r := newRefreshRig(t, coretest.Options{})
	u := r.signIn("alice")
	first := r.get(u)
	r.loseAnswer(u, "Swap")
	if err := r.m.RevokeRefreshToken(u); err != nil {
		t.Error(err)
	}
	if live := r.p.RefreshTokens("alice"); len(live) != 0 || r.record(u).RefreshToken != "" {
		t.Errorf("%d refresh tokens are in force", len(live))
	}
	if r.get(u.as(r.m)).AccessToken != first.AccessToken {
		t.Error("the session has not gone on")
	}
}

// One that did not happen is an error, and nothing is revoked: the session goes on.
func TestRevokeRefreshTokenThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	r := newRefreshRig(t, coretest.Options{})
	u := r.signIn("alice")
	r.store.fail(errStoreDown, "Swap")
	if e := asError(t, r.m.RevokeRefreshToken(u)); e.Op != "store" || !e.Temporary() {
		t.Errorf("got %v", e)
	}
	r.store.fail(nil)
	if r.record(u).RefreshToken != r.liveRefreshToken("alice") || len(r.revoked()) != 0 {
		t.Error("the refresh token of a session that goes on is revoked")
	}
}

// What ends a session whose identity is refused comes in this order: a process that
// dies in between leaves nobody signed in.
func TestRefusedSessionIsDeletedBeforeItsRefreshTokenIsRevoked(t *testing.T) {
	t.Parallel()
	r := newRefreshRig(t, coretest.Options{NoRotation: true})
	u := r.signIn("alice")
	refreshToken := r.liveRefreshToken("alice")
	r.p.Advance(untilExpiry)
	r.p.Fail(coretest.Fault{Grant: "refresh_token", Claims: func(c map[string]any) { c["sub"] = "mallory" }})
	var there atomic.Bool
	r.p.Fail(coretest.Fault{Endpoint: coretest.RevocationEndpoint, Before: func() { there.Store(r.record(u) != nil) }})
	_, err := r.m.GetUserAccessToken(u)
	wantLoginRequired(t, err)
	if there.Load() {
		t.Error("the refresh token was revoked before the session was deleted")
	}
	if got := r.revoked(); len(got) != 1 || got[0] != refreshToken {
		t.Errorf("%d tokens revoked, not the one of the session", len(got))
	}
}
