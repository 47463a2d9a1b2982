package core_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tokenwell/tokenwell/core"
	"github.com/tokenwell/tokenwell/core/coretest"
)

func idleFor(d time.Duration) func(*core.Config) {
	return func(c *core.Config) { c.IdleTimeout = d }
}

// countWrites counts the store's writes to the record of u from now on.
func (r *refreshRig) countWrites(u signedInUser) *int {
	n := new(int)
	r.store.watch(func(op, key string) error {
		if op == "Swap" && key == u.key {
			*n++
		}
		return nil
	}, nil)
	return n
}

// A login that no browser request has used for IdleTimeout is over.
func TestIdleSessionEnds(t *testing.T) {
	t.Parallel()
	r := newRefreshRig(t, coretest.Options{}, idleFor(30*time.Minute))
	u := r.signIn("alice")
	for range 8 { // in use, far longer than that
		r.p.Advance(29 * time.Minute)
		r.get(u.as(r.m))
	}
	for range 4 { // for whatever the user is asked for
		r.p.Advance(29 * time.Minute)
		if _, err := r.m.User(u.as(r.m)); err != nil {
			t.Error(err)
		}
	}
	refreshes := r.p.Grants("refresh_token")
	r.p.Advance(30 * time.Minute)
	_, err := r.m.User(u.as(r.m))
	wantLoginRequired(t, err)
	r.wantDead(u)
	r.wantRefreshes(refreshes)
}

// However much it is used, a login ends with its lifetime, eight hours unless
// configured; refreshes do not prolong it.
func TestLifetimeEndsSession(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ configured, life time.Duration }{
		"by default": {0, 8 * time.Hour},
		"configured": {90 * time.Minute, 90 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRefreshRig(t, coretest.Options{AccessTokenLife: 10 * time.Minute}, func(c *core.Config) {
				c.Lifetime, c.IdleTimeout = test.configured, time.Hour
			})
			u := r.signIn("alice")
			ends := r.p.Now().Add(test.life)
			for r.p.Now().Before(ends) {
				r.get(u.as(r.m))
				if user, err := r.m.User(u.as(r.m)); err != nil || !user.ExpiresAt.Equal(ends) {
					t.Fatalf("%v, %v", user, err)
				}
				r.p.Advance(15 * time.Minute)
			}
			_, err := r.m.User(u.as(r.m))
			wantLoginRequired(t, err)
			r.wantDead(u)
		})
	}
}

// A session that has ended by its age is no news to the application.
func TestSessionThatEndsByAgeIsNotReported(t *testing.T) {
	t.Parallel()
	r := newRefreshRig(t, coretest.Options{}, idleFor(time.Hour), func(c *core.Config) {
		c.OnSessionEnd = func(context.Context, *core.User, core.EndReason) { t.Error("OnSessionEnd") }
	})
	u := r.signIn("alice")
	r.p.Advance(time.Hour)
	r.wantDead(u)
	r.wantRefreshes(0)
}

// The use of a session is written down at most every tenth of the idle time, and
// not at all where there is none.
func TestUseIsNotedRarely(t *testing.T) {
	t.Parallel()
	r := newRefreshRig(t, coretest.Options{}, idleFor(50*time.Minute))
	u := r.signIn("alice")
	writes := r.countWrites(u)
	use := func() {
		for range 100 {
			r.get(u.as(r.m))
			if _, err := r.m.User(u.as(r.m)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i := range 5 {
		use()
		r.p.Advance(5*time.Minute - time.Second)
		use()
		if *writes != i {
			t.Errorf("%d writes, want %d", *writes, i)
		}
		r.p.Advance(time.Second)
		use()
		if *writes != i+1 {
			t.Errorf("%d writes, want %d", *writes, i+1)
		}
	}

	without := newRefreshRig(t, coretest.Options{})
	u = without.signIn("alice")
	writes = without.countWrites(u)
	for range 50 {
		without.p.Advance(time.Minute)
		without.get(u.as(without.m))
	}
	if *writes != 0 {
		t.Errorf("%d writes without an idle time", *writes)
	}
}

// Jobs that act by a ticket, and refreshes, are no use of a browser: they do not keep
// an idle session alive.
func TestJobsAndRefreshesDoNotExtendIdleSession(t *testing.T) {
	t.Parallel()
	inBubble(t, coretest.Options{AccessTokenLife: 10 * time.Minute}, func(t *testing.T, r *refreshRig) {
		u := r.signIn("alice")
		used := r.record(u).Used
		job := r.m.WithTicket(t.Context(), u.ticket)
		for range 11 {
			r.p.Advance(5 * time.Minute)
			r.get(job) // in time, or in the early window, or too late
			synctest.Wait()
			r.get(job, core.WithResource("urn:a"))
			if _, err := r.m.User(job); err != nil {
				t.Error(err)
			}
			if r.record(u).Used != used {
				t.Fatal("a use was noted")
			}
		}
		if r.p.Granted("refresh_token") < 10 {
			t.Error("there were no refreshes")
		}
		r.p.Advance(5 * time.Minute)
		_, err := r.m.GetUserAccessToken(job)
		wantLoginRequired(t, err)
		r.wantDead(u)
	}, idleFor(time.Hour))
}

// The refresh that a browser's request has started behind it is none either, nor is
// what the request itself is answered before a tenth has passed.
func TestEarlyRefreshIsNoUse(t *testing.T) {
	t.Parallel()
	inBubble(t, coretest.Options{AccessTokenLife: 5 * time.Minute}, func(t *testing.T, r *refreshRig) {
		u := r.signIn("alice")
		used := r.record(u).Used
		r.p.Advance(4*time.Minute + 30*time.Second)
		r.get(u)
		synctest.Wait()
		r.wantRefreshes(1)
		if r.record(u).Used != used {
			t.Error("a use was noted")
		}
	}, idleFor(time.Hour))
}

// Failing to note a use, or losing the race for it, is nobody's failure.
func TestUseThatCannotBeNoted(t *testing.T) {
	t.Parallel()
	r := newRefreshRig(t, coretest.Options{}, idleFor(50*time.Minute))
	u := r.signIn("alice")
	tok := r.get(u)
	r.p.Advance(10 * time.Minute)
	r.store.fail(errStoreDown, "Swap")
	if r.get(u.as(r.m)).AccessToken != tok.AccessToken {
		t.Error("another token")
	}
	r.store.fail(nil)
	atOnce(20, func(int) {
		if _, err := r.m.GetUserAccessToken(u.as(r.m)); err != nil {
			t.Error(err)
		}
	})
	if r.record(u).Used != r.p.Now().UnixMilli() {
		t.Error("the use is not noted")
	}
}
