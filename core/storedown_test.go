package core_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/tokenwell/tokenwell/core"
	"github.com/tokenwell/tokenwell/core/coretest"
)

// While the store does not answer, a session that this process has just seen in it is
// served for as long as its token lives, for half a minute at most. Nothing is renewed
// or written meanwhile.
func TestLiveTokenIsServedWhileTheStoreIsDown(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		hang []string // nil: it fails at once
		wait time.Duration
	}{
		{"fails", nil, 0},
		{"hangs", []string{"Load", "Peek", "Swap", "Delete"}, time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			remote := &remoteStore{}
			var log lockedBuffer
			inBubble(t, coretest.Options{}, func(t *testing.T, r *refreshRig) {
				down := func() {
					if remote.hang.Store(&test.hang); test.hang == nil {
						r.store.fail(errStoreDown)
					}
				}
				up := func() {
					remote.hang.Store(nil)
					r.store.fail(nil)
				}
				u := r.signIn("alice")
				first := r.get(u.as(r.m))
				for _, clock := range []time.Duration{0, untilEarly} { // in the early window as well
					r.p.Advance(clock)
					down()
					began := time.Now()
					for range 5 {
						took := timed(func() {
							if r.get(u.as(r.m)) != first {
								t.Error("another token")
							}
						})
						wantTook(t, took, test.wait, test.wait)
						if user, err := r.m.User(u.as(r.m)); err != nil || user.Subject != "alice" {
							t.Errorf("User: %v, %v", user, err)
						}
						if tok := byHand(r.m.WithTicket(t.Context(), u.ticket), t, r.m, core.UserToken()); tok != first {
							t.Error("another token for a job")
						}
					}
					time.Sleep(30*time.Second - time.Since(began))
					_, err := r.m.GetUserAccessToken(u.as(r.m))
					if e := asError(t, err); e.Op != "store" || !e.Temporary() || errors.Is(err, core.ErrLoginRequired) {
						t.Errorf("after half a minute: %v", err)
					}
					r.wantRefreshes(0)
					up()
					if clock == 0 {
						r.get(u.as(r.m))
					}
				}
				if n := strings.Count(log.String(), "the store failed"); n == 0 || n > 40 {
					t.Errorf("said %d times in a minute", n)
				}
			}, func(c *core.Config) {
				remote.Store = c.Store
				c.Store = remote
				c.IdleTimeout = time.Hour
				c.Logger = slog.New(slog.NewTextHandler(&log, nil))
			})
		})
	}
}

// Nobody is served whom this process has not seen in the store, whose token has
// expired, or whose session has come to its end.
func TestStoreDownServesNothingElse(t *testing.T) {
	t.Parallel()
	inBubble(t, coretest.Options{}, func(t *testing.T, r *refreshRig) {
		u := r.signIn("alice")
		r.get(u)
		other := r.manager()
		refused := func(what string, m *core.Manager, ctx context.Context, opts ...core.TokenOption) {
			t.Helper()
			tok, err := m.GetUserAccessToken(ctx, opts...)
			if e := asError(t, err); tok != nil || e.Op != "store" || !e.Temporary() {
				t.Errorf("%s: %v, %v", what, tok, err)
			}
		}
		r.store.fail(errStoreDown)
		refused("a process that has not seen it", other, u.as(other))
		refused("another token", r.m, u, core.WithResource("urn:a"))
		refused("a forced renewal", r.m, u, core.WithForceRenewal())
		r.p.Advance(untilExpiry)
		refused("an expired token", r.m, u)
		r.wantRefreshes(0)
	})
	inBubble(t, coretest.Options{AccessTokenLife: 24 * time.Hour}, func(t *testing.T, r *refreshRig) {
		u := r.signIn("alice")
		r.get(u)
		r.store.fail(errStoreDown)
		r.p.Advance(9 * time.Hour)
		_, err := r.m.GetUserAccessToken(u)
		wantLoginRequired(t, err)
	})
}

// A logout in this very process is final, store or no store, for requests under way too.
func TestLogoutHoldsWhileTheStoreIsDown(t *testing.T) {
	t.Parallel()
	remote := &remoteStore{}
	r := newRefreshRig(t, coretest.Options{}, func(c *core.Config) {
		remote.Store = c.Store
		c.Store = remote
	})
	u := r.signIn("alice")
	stream := u.as(r.m)
	r.get(stream)
	if _, err := r.m.Logout(u.as(r.m), u.session); err != nil {
		t.Fatal(err)
	}
	r.store.fail(errStoreDown)
	for _, ctx := range []context.Context{stream, r.m.WithTicket(t.Context(), u.ticket)} {
		if tok, err := r.m.GetUserAccessToken(ctx); err == nil {
			t.Errorf("%v", tok)
		}
	}
}

// A logout that another process made while this one was cut off is seen at the first
// look that succeeds.
func TestLogoutIsSeenWhenTheStoreIsBack(t *testing.T) {
	t.Parallel()
	inBubble(t, coretest.Options{}, func(t *testing.T, r *refreshRig) {
		u := r.signIn("alice")
		cut := r.process(nil)
		if _, err := cut.m.GetUserAccessToken(u.as(cut.m)); err != nil {
			t.Fatal(err)
		}
		ticket := cut.m.WithTicket(t.Context(), u.ticket)
		cut.store.fail(errStoreDown)
		if _, err := r.m.Logout(t.Context(), u.session); err != nil {
			t.Fatal(err)
		}
		if _, err := cut.m.GetUserAccessToken(ticket); err != nil {
			t.Errorf("cut off, a moment after: %v", err)
		}
		cut.store.fail(nil)
		_, err := cut.m.GetUserAccessToken(ticket)
		wantLoginRequired(t, err)
		cut.store.fail(errStoreDown)
		if tok, err := cut.m.GetUserAccessToken(ticket); err == nil {
			t.Errorf("a session that is known to have ended is served: %v", tok)
		}
	})
}

// What a renewal has read and written counts as a look: who asks while the store goes
// down in the middle of it is served as well.
func TestStoreDownInMidRefreshIsNotNoticed(t *testing.T) {
	t.Parallel()
	inBubble(t, coretest.Options{}, func(t *testing.T, r *refreshRig) {
		u := r.signIn("alice")
		first := r.get(u.as(r.m))
		r.p.Advance(untilEarly)
		r.p.Fail(coretest.Fault{Grant: "refresh_token", Before: func() { r.store.fail(errStoreDown) }, Drop: true})
		for range 20 {
			if r.get(u.as(r.m)) != first {
				t.Error("another token")
			}
			time.Sleep(100 * time.Millisecond)
		}
		r.store.fail(nil)
	}, func(c *core.Config) { c.Store = &remoteStore{Store: c.Store} })
}

// So does what it has saved.
func TestStoreDownAfterRefreshIsNotNoticed(t *testing.T) {
	t.Parallel()
	inBubble(t, coretest.Options{}, func(t *testing.T, r *refreshRig) {
		u := r.signIn("alice")
		r.p.Advance(untilExpiry)
		tok := r.get(u.as(r.m))
		r.store.fail(errStoreDown)
		if r.get(u.as(r.m)).AccessToken != tok.AccessToken {
			t.Error("another token")
		}
		r.store.fail(nil)
	}, func(c *core.Config) { c.Store = &remoteStore{Store: c.Store} })
}

// A request that lasts longer than a decoded record is kept in memory is served as well;
// one whose session may have come to its idle end, or whose record cannot be opened, is
// told that the store failed.
func TestStoreDownTellsNobodyToSignIn(t *testing.T) {
	t.Parallel()
	inBubble(t, coretest.Options{}, func(t *testing.T, r *refreshRig) {
		u := r.signIn("alice")
		stream := u.as(r.m)
		for range 5 {
			time.Sleep(5 * time.Minute)
			r.get(stream)
		}
		r.store.fail(errStoreDown)
		r.get(stream)
		r.p.Advance(31 * time.Minute)
		_, err := r.m.GetUserAccessToken(stream)
		if e := asError(t, err); e.Op != "store" || errors.Is(err, core.ErrLoginRequired) {
			t.Errorf("idle, perhaps: %v", err)
		}
		r.store.fail(nil)
	}, idleFor(30*time.Minute), func(c *core.Config) { c.Store = &remoteStore{Store: c.Store} })
}
