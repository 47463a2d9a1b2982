package core_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tokenwell/tokenwell/core"
	"github.com/tokenwell/tokenwell/core/coretest"
)

// downDuringRefresh makes the operations named of the store fail, all if none is,
// between the provider's rotation and the write of what it answered, and returns
// the token that was obtained and the refresh token that nobody but the process
// has.
func (r *refreshRig) downDuringRefresh(u signedInUser, ops ...string) (tok *core.Token, refreshToken string) {
	r.t.Helper()
	r.p.Advance(untilExpiry)
	r.p.Fail(coretest.Fault{Grant: "refresh_token", After: func() { r.store.fail(errStoreDown, ops...) }})
	tok = r.get(u)
	if !tok.Expiry.Equal(r.p.Now().Add(time.Hour)) {
		r.t.Fatalf("not the new token: %v", tok)
	}
	return tok, r.liveRefreshToken("alice")
}

// A result that the Store does not take is served, and written as soon as the Store
// is back, by itself. Nothing is sent again meanwhile.
func TestUnsavedResultIsServedAndSaved(t *testing.T) {
	t.Parallel()
	inBubble(t, coretest.Options{}, func(t *testing.T, r *refreshRig) {
		u := r.signIn("alice")
		tok, refreshToken := r.downDuringRefresh(u)
		for range 10 {
			if r.get(u.as(r.m)).AccessToken != tok.AccessToken {
				t.Error("another token")
			}
			time.Sleep(200 * time.Millisecond)
		}
		// What would need the Store, or another refresh, has to wait.
		for name, opt := range map[string]core.TokenOption{
			"another resource": core.WithResource("urn:a"),
			"a token rejected": func(q *core.TokenRequest) { q.ForceRenewal, q.Rejected = true, tok },
		} {
			if _, err := r.m.GetUserAccessToken(u, opt); !asError(t, err).Temporary() || errors.Is(err, core.ErrLoginRequired) {
				t.Errorf("%s: %v", name, err)
			}
		}
		r.wantRefreshes(1)
		if r.record(u).RefreshToken == refreshToken {
			t.Fatal("the store was not down")
		}
		r.store.fail(nil)
		time.Sleep(4 * time.Second)
		if rec := r.record(u); rec.RefreshToken != refreshToken || rec.Claim != nil {
			t.Error("the new refresh token is not stored")
		}
		if r.get(u).AccessToken != tok.AccessToken {
			t.Error("another token")
		}
		r.wantRefreshes(1)
		r.get(u, core.WithForceRenewal()) // the newest refresh token serves
	})
}

// A caller does not have to wait for that: the next call that reaches the Store
// saves what is unsaved first.
func TestUnsavedResultIsSavedByTheNextCall(t *testing.T) {
	t.Parallel()
	inBubble(t, coretest.Options{}, func(t *testing.T, r *refreshRig) {
		u := r.signIn("alice")
		tok, refreshToken := r.downDuringRefresh(u)
		r.store.fail(nil)
		if r.get(u).AccessToken != tok.AccessToken || r.record(u).RefreshToken != refreshToken {
			t.Error("the result is not saved")
		}
		r.wantRefreshes(1)
	})
}

// Without a successful look whether the session still exists, an unsaved result is
// served for half a minute, and then no more.
func TestUnsavedResultIsServedForHalfAMinute(t *testing.T) {
	t.Parallel()
	inBubble(t, coretest.Options{}, func(t *testing.T, r *refreshRig) {
		u := r.signIn("alice")
		tok, refreshToken := r.downDuringRefresh(u)
		time.Sleep(29 * time.Second)
		if r.get(u).AccessToken != tok.AccessToken {
			t.Error("another token")
		}
		time.Sleep(2 * time.Second)
		_, err := r.m.GetUserAccessToken(u)
		if e := asError(t, err); e.Op != "store" || !e.Temporary() || errors.Is(err, core.ErrLoginRequired) {
			t.Errorf("got %v", err)
		}
		r.store.fail(nil)
		if r.get(u).AccessToken != tok.AccessToken || r.record(u).RefreshToken != refreshToken {
			t.Error("the result is not saved")
		}
		r.wantRefreshes(1)
	})
}

// With such looks it is served for as long as the Store only fails to write, though
// not beyond its expiry.
func TestUnsavedResultIsServedWhileTheSessionIsSeen(t *testing.T) {
	t.Parallel()
	inBubble(t, coretest.Options{}, func(t *testing.T, r *refreshRig) {
		u := r.signIn("alice")
		tok, refreshToken := r.downDuringRefresh(u, "Swap")
		time.Sleep(10 * time.Minute)
		if r.get(u).AccessToken != tok.AccessToken {
			t.Error("another token")
		}
		r.p.Advance(untilExpiry)
		if tok, err := r.m.GetUserAccessToken(u); err == nil || errors.Is(err, core.ErrLoginRequired) {
			t.Errorf("got %v, %v", tok, err)
		}
		r.wantRefreshes(1)
		r.store.fail(nil)
		r.get(u)
		if sent := r.refreshes(); len(sent) != 2 || sent[1] != refreshToken {
			t.Error("not the newest refresh token was sent")
		}
	})
}

// A logout beats a result that is not saved yet: it is not served any more from the
// first look on, and its refresh token is revoked.
func TestLogoutWinsOverUnsavedResult(t *testing.T) {
	t.Parallel()
	for name, ops := range map[string][]string{"no writes": {"Swap"}, "no store at all": nil} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, coretest.Options{}, func(t *testing.T, r *refreshRig) {
				u := r.signIn("alice")
				other := r.process(nil)
				_, refreshToken := r.downDuringRefresh(u, ops...)
				if _, err := other.m.Logout(t.Context(), u.session); err != nil {
					t.Fatal(err)
				}
				if ops == nil {
					r.store.fail(nil)
				}
				_, err := r.m.GetUserAccessToken(r.m.WithTicket(t.Context(), u.ticket))
				wantLoginRequired(t, err)
				time.Sleep(5 * time.Second)
				r.store.fail(nil)
				r.wantDead(u)
				if revoked := r.revoked(); len(revoked) != 2 || revoked[1] != refreshToken {
					t.Errorf("the newest refresh token is not revoked, but %d others", len(revoked))
				}
				r.wantRefreshes(1)
			})
		})
	}
}

// So does RevokeRefreshToken.
func TestRevokeRefreshTokenWinsOverUnsavedResult(t *testing.T) {
	t.Parallel()
	inBubble(t, coretest.Options{}, func(t *testing.T, r *refreshRig) {
		u := r.signIn("alice")
		other := r.process(nil)
		_, refreshToken := r.downDuringRefresh(u)
		if err := other.m.RevokeRefreshToken(u.as(other.m)); err != nil {
			t.Fatal(err)
		}
		r.store.fail(nil)
		time.Sleep(5 * time.Second)
		if r.record(u).RefreshToken != "" {
			t.Error("a refresh token is back in the session")
		}
		if revoked := r.revoked(); len(revoked) != 2 || revoked[1] != refreshToken {
			t.Errorf("the newest refresh token is not revoked, but %d others", len(revoked))
		}
		_, err := r.m.GetUserAccessToken(u)
		wantLoginRequired(t, err)
	})
}

// Close writes what the Store has not taken yet, and waits for that.
func TestCloseWritesUnsavedResults(t *testing.T) {
	t.Parallel()
	inBubble(t, coretest.Options{}, func(t *testing.T, r *refreshRig) {
		u := r.signIn("alice")
		_, refreshToken := r.downDuringRefresh(u)
		closed := false
		go func() {
			if err := r.m.Close(context.Background()); err != nil {
				t.Error(err)
			}
			closed = true
		}()
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if closed {
			t.Error("Close did not wait")
		}
		r.store.fail(nil)
		time.Sleep(4 * time.Second)
		synctest.Wait()
		if !closed || r.record(u).RefreshToken != refreshToken {
			t.Errorf("closed: %t; the new refresh token is not stored", closed)
		}
	})
}

// Close gives up when its context ends, and says so.
func TestCloseGivesUpUnsavedResultsWithItsContext(t *testing.T) {
	t.Parallel()
	inBubble(t, coretest.Options{}, func(t *testing.T, r *refreshRig) {
		u := r.signIn("alice")
		_, refreshToken := r.downDuringRefresh(u)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		took := timed(func() {
			if err := r.m.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Close: %v", err)
			}
		})
		wantTook(t, took, time.Second, time.Second)
		r.store.fail(nil)
		time.Sleep(time.Minute)
		if r.record(u).RefreshToken == refreshToken {
			t.Error("something outlived Close")
		}
	})
}

// What one user's session waits for is no other's business.
func TestUnsavedResultHoldsUpNobodyElse(t *testing.T) {
	t.Parallel()
	inBubble(t, coretest.Options{}, func(t *testing.T, r *refreshRig) {
		alice, bob := r.signIn("alice"), r.signIn("bob")
		r.p.Advance(untilExpiry)
		r.p.Fail(coretest.Fault{Grant: "refresh_token", After: func() {
			r.store.watch(func(_, key string) error {
				if key == alice.key {
					return errStoreDown
				}
				return nil
			}, nil)
		}})
		tok := r.get(alice)
		if r.get(bob).AccessToken == tok.AccessToken {
			t.Error("one token for two users")
		}
		var got []string
		for _, u := range []signedInUser{alice, bob} {
			user, err := r.m.User(u.as(r.m))
			if err == nil {
				got = append(got, user.Subject)
			}
		}
		if diff := cmp.Diff([]string{"bob"}, got); diff != "" { // alice's store is down
			t.Error(diff)
		}
		r.store.fail(nil)
		r.get(alice)
		r.wantRefreshes(2)
	})
}
