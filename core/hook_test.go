package core_test

import (
	"context"
	"testing"

	"github.com/tokenwell/tokenwell/core"
	"github.com/tokenwell/tokenwell/core/coretest"
)

// OnSessionEnd is called once a session has been deleted, with who it was and why.
func TestOnSessionEndComesAfterTheWrite(t *testing.T) {
	t.Parallel()
	for want, end := range map[core.EndReason]func(r *refreshRig, u signedInUser) error{
		core.EndLogout: func(r *refreshRig, u signedInUser) error {
			_, err := r.m.Logout(u, u.session)
			return err
		},
		core.EndRefreshTokenRefused: func(r *refreshRig, u signedInUser) error {
			r.p.RevokeGrants("alice")
			r.p.Advance(untilExpiry)
			_, err := r.m.GetUserAccessToken(u)
			wantLoginRequired(r.t, err)
			return nil
		},
		core.EndRefused: func(r *refreshRig, u signedInUser) error {
			r.p.Fail(coretest.Fault{Grant: "refresh_token", Claims: func(c map[string]any) { c["sub"] = "mallory" }})
			r.p.Advance(untilExpiry)
			_, err := r.m.GetUserAccessToken(u)
			wantLoginRequired(r.t, err)
			return nil
		},
	} {
		t.Run(string(want), func(t *testing.T) {
			t.Parallel()
			var r *refreshRig
			var u signedInUser
			calls := 0
			r = newRefreshRig(t, coretest.Options{}, func(c *core.Config) {
				c.OnSessionEnd = func(_ context.Context, user *core.User, why core.EndReason) {
					calls++
					if user.Subject != "alice" || why != want {
						t.Errorf("%v, %q", user, why)
					}
					if r.record(u) != nil {
						t.Error("OnSessionEnd came before the write")
					}
				}
			})
			u = r.signIn("alice")
			if err := end(r, u); err != nil {
				t.Error(err)
			}
			if calls != 1 {
				t.Errorf("OnSessionEnd was called %d times", calls)
			}
			r.wantDead(u)
		})
	}
}

// A hook that panics takes neither the program nor the outcome with it: what it was
// told of has happened. A panic of OnRefresh counts as its error.
func TestPanicOfAHookIsContained(t *testing.T) {
	t.Parallel()
	role := "clerk"
	r := newRefreshRig(t, coretest.Options{
		Claims: func(string) map[string]any { return map[string]any{"role": role} },
	}, func(c *core.Config) {
		c.OnSessionEnd = func(context.Context, *core.User, core.EndReason) { panic("OnSessionEnd") }
		c.OnRefresh = func(context.Context, *core.User) error { panic("OnRefresh") }
	})
	alice, bob, carol := r.signIn("alice"), r.signIn("bob"), r.signIn("carol")
	if _, err := r.m.Logout(t.Context(), alice.session); err != nil {
		t.Error(err)
	}
	r.wantDead(alice)

	r.p.Advance(untilExpiry)
	r.p.Fail(coretest.Fault{Grant: "refresh_token", Status: 400, Body: `{"error":"invalid_grant"}`})
	_, err := r.m.GetUserAccessToken(bob)
	wantLoginRequired(t, err)
	r.wantDead(bob)

	r.get(carol)
	role = "manager"
	r.p.Advance(untilExpiry)
	_, err = r.m.GetUserAccessToken(carol)
	wantLoginRequired(t, err)
	r.wantDead(carol)
	r.get(r.signIn("dave")) // and all goes on
}
