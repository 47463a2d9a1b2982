package core_test

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/tokenwell/tokenwell/core"
	"github.com/tokenwell/tokenwell/core/coretest"
)

// interruption is something that is done once in the middle of a refresh of u: in
// front of or behind each operation of the store, and each step of the provider.
type interruption struct {
	name string
	set  func(r *refreshRig, u signedInUser, interrupt func())
}

// interruptions returns every point at which a refresh can be interrupted, having
// watched one.
func interruptions(t *testing.T, o coretest.Options) []interruption {
	t.Helper()
	r := newRefreshRig(t, o)
	u := r.signIn("alice")
	r.p.Advance(untilExpiry)
	var ops []string
	r.store.watch(func(op, key string) error {
		if key == u.key {
			ops = append(ops, op)
		}
		return nil
	}, nil)
	r.get(u)
	r.store.watch(nil, nil)
	if len(ops) < 5 { // a look, a look that decides, the claim, another look, the result
		t.Fatalf("a refresh is no more than %v", ops)
	}
	points := []interruption{
		{"before the request", func(r *refreshRig, _ signedInUser, interrupt func()) {
			r.p.Fail(coretest.Fault{Grant: "refresh_token", Before: interrupt})
		}},
		{"before the answer", func(r *refreshRig, _ signedInUser, interrupt func()) {
			r.p.Fail(coretest.Fault{Grant: "refresh_token", After: interrupt})
		}},
	}
	for i, op := range ops {
		at := func(op, key string, n *atomic.Int32, u signedInUser, interrupt func()) error {
			if key == u.key && int(n.Add(1)) == i+1 {
				interrupt()
			}
			return nil
		}
		points = append(points,
			interruption{fmt.Sprintf("before %s %d", op, i), func(r *refreshRig, u signedInUser, interrupt func()) {
				var n atomic.Int32
				r.store.watch(func(op, key string) error { return at(op, key, &n, u, interrupt) }, nil)
			}},
			interruption{fmt.Sprintf("after %s %d", op, i), func(r *refreshRig, u signedInUser, interrupt func()) {
				var n atomic.Int32
				r.store.watch(nil, func(op, key string) error { return at(op, key, &n, u, interrupt) })
			}})
	}
	return points
}

// atEveryStep runs a test for each point at which a refresh can be interrupted, at a
// provider that rotates refresh tokens and at one that does not. The newest refresh
// token of the user is known afterwards.
func atEveryStep(t *testing.T, run func(t *testing.T, r *refreshRig, interruptAt func(u signedInUser, interrupt func()), newest func() string)) {
	t.Parallel()
	for _, o := range []coretest.Options{{}, {NoRotation: true}} {
		for _, point := range interruptions(t, o) {
			t.Run(fmt.Sprintf("%s, rotating %t", point.name, !o.NoRotation), func(t *testing.T) {
				t.Parallel()
				var issued atomic.Value
				o := o
				o.Answer = func(a map[string]any) {
					if refreshToken, ok := a["refresh_token"].(string); ok {
						issued.Store(refreshToken)
					}
				}
				r := newRefreshRig(t, o)
				interruptAt := func(u signedInUser, interrupt func()) {
					var once atomic.Bool
					point.set(r, u, func() {
						if once.CompareAndSwap(false, true) {
							interrupt()
						}
					})
					t.Cleanup(func() {
						if !once.Load() {
							t.Error("the refresh was not interrupted")
						}
					})
				}
				run(t, r, interruptAt, func() string { return issued.Load().(string) })
			})
		}
	}
}

// Wherever a logout falls in the middle of a refresh it is final: the session stays
// dead, and the newest refresh token is revoked, whoever holds it by then.
func TestLogoutWinsOverRefresh(t *testing.T) {
	atEveryStep(t, func(t *testing.T, r *refreshRig, interruptAt func(signedInUser, func()), newest func() string) {
		other := r.manager() // another process
		u := r.signIn("alice")
		r.p.Advance(untilExpiry)
		interruptAt(u, func() {
			if _, err := other.Logout(t.Context(), u.session); err != nil {
				t.Error(err)
			}
		})
		if tok, err := r.m.GetUserAccessToken(r.m.WithTicket(t.Context(), u.ticket)); err != nil && !errors.Is(err, core.ErrLoginRequired) {
			t.Errorf("got %v, %v", tok, err)
		}
		r.store.watch(nil, nil)
		r.wantDead(u)
		if !slices.Contains(r.revoked(), newest()) {
			t.Error("the newest refresh token is not revoked")
		}
		if len(r.p.RefreshTokens("alice")) != 0 {
			t.Error("a refresh token is in force")
		}
		if n := r.p.Grants("refresh_token"); n > 1 {
			t.Errorf("%d refreshes", n)
		}
	})
}

// The process that refreshes can be the one that signs out.
func TestLogoutWinsOverRefreshOfItsOwn(t *testing.T) {
	atEveryStep(t, func(t *testing.T, r *refreshRig, interruptAt func(signedInUser, func()), newest func() string) {
		u := r.signIn("alice")
		r.p.Advance(untilExpiry)
		interruptAt(u, func() {
			if _, err := r.m.Logout(t.Context(), u.session); err != nil {
				t.Error(err)
			}
		})
		if tok, err := r.m.GetUserAccessToken(r.m.WithTicket(t.Context(), u.ticket)); err != nil && !errors.Is(err, core.ErrLoginRequired) {
			t.Errorf("got %v, %v", tok, err)
		}
		r.store.watch(nil, nil)
		r.wantDead(u)
		if !slices.Contains(r.revoked(), newest()) || len(r.p.RefreshTokens("alice")) != 0 {
			t.Error("the newest refresh token is not revoked")
		}
	})
}

// Wherever RevokeRefreshToken falls in the middle of a refresh, no refresh token is
// left afterwards, in the session or at the provider (RFC 7009); the session goes
// on with the access token that it has.
func TestRevokeRefreshTokenWinsOverRefresh(t *testing.T) {
	atEveryStep(t, func(t *testing.T, r *refreshRig, interruptAt func(signedInUser, func()), newest func() string) {
		other := r.manager()
		u := r.signIn("alice")
		ctx := r.m.WithTicket(t.Context(), u.ticket)
		interruptAt(u, func() {
			if err := other.RevokeRefreshToken(other.WithTicket(t.Context(), u.ticket)); err != nil {
				t.Error(err)
			}
		})
		if tok, err := r.m.GetUserAccessToken(ctx, core.WithForceRenewal()); err != nil && !errors.Is(err, core.ErrLoginRequired) {
			t.Errorf("got %v, %v", tok, err)
		}
		r.store.watch(nil, nil)
		if rec := r.record(u); rec == nil || rec.RefreshToken != "" || rec.Claim != nil {
			t.Errorf("the session is not one without a refresh token: %+v", rec)
		}
		if !slices.Contains(r.revoked(), newest()) || len(r.p.RefreshTokens("alice")) != 0 {
			t.Error("the newest refresh token is not revoked")
		}
		if r.get(ctx).Expiry.Before(r.p.Now()) {
			t.Error("a dead token")
		}
		_, err := r.m.GetUserAccessToken(ctx, core.WithForceRenewal())
		wantLoginRequired(t, err)
		if n := r.p.Grants("refresh_token"); n > 1 {
			t.Errorf("%d refreshes", n)
		}
	})
}

// RevokeRefreshToken says when the provider could not be told; the refresh token is
// out of the session all the same. Twice is fine.
func TestRevokeRefreshToken(t *testing.T) {
	t.Parallel()
	r := newRefreshRig(t, coretest.Options{})
	u := r.signIn("alice")
	first := r.get(u)
	r.p.Fail(coretest.Fault{Endpoint: coretest.RevocationEndpoint, Status: 503, Body: "busy"})
	err := r.m.RevokeRefreshToken(u)
	if e := asError(t, err); e.Op != "revocation" || e.Status != 503 || !e.Temporary() {
		t.Errorf("got %v", err)
	}
	if r.record(u).RefreshToken != "" {
		t.Error("the refresh token is still in the session")
	}
	if err := r.m.RevokeRefreshToken(u); err != nil {
		t.Error(err)
	}
	if r.get(u).AccessToken != first.AccessToken {
		t.Error("another token")
	}
	r.p.Advance(untilExpiry)
	_, err = r.m.GetUserAccessToken(u)
	wantLoginRequired(t, err)
	wantLoginRequired(t, r.m.RevokeRefreshToken(r.m.NewContext(t.Context(), coretest.NewSession())))
}
