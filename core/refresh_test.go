package core_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tokenwell/tokenwell/core"
	"github.com/tokenwell/tokenwell/core/coretest"
)

// An expired token is renewed with the newest refresh token, each time that a
// provider rotates it (RFC 6749 section 6).
func TestRefreshUsesTheNewestRefreshToken(t *testing.T) {
	t.Parallel()
	r := newRefreshRig(t, coretest.Options{})
	u := r.signIn("alice")
	last := r.get(u)
	for i := range 3 {
		newest := r.liveRefreshToken("alice")
		r.p.Advance(untilExpiry)
		tok := r.get(u)
		if tok.AccessToken == last.AccessToken || !tok.Expiry.Equal(r.p.Now().Add(time.Hour)) {
			t.Fatalf("refresh %d: not a new token", i)
		}
		if sent := r.refreshes(); len(sent) != i+1 || sent[i] != newest {
			t.Fatalf("refresh %d: not the newest refresh token was sent", i)
		}
		if r.record(u).RefreshToken != r.liveRefreshToken("alice") {
			t.Fatalf("refresh %d: the new refresh token is not stored", i)
		}
		last = tok
	}
	r.wantRefreshes(3)
}

// What an answer leaves out stays as it was: the refresh token (RFC 6749 section
// 6) and the ID token (OpenID Connect Core section 12.2).
func TestRefreshKeepsWhatTheAnswerLeavesOut(t *testing.T) {
	t.Parallel()
	r := newRefreshRig(t, coretest.Options{NoRotation: true, NoRefreshedIDToken: true})
	u := r.signIn("alice")
	before := r.record(u)
	for range 2 {
		r.p.Advance(untilExpiry)
		r.get(u)
	}
	after := r.record(u)
	if after.RefreshToken == "" || after.RefreshToken != before.RefreshToken {
		t.Error("the refresh token has changed")
	}
	if after.IDToken == "" || after.IDToken != before.IDToken {
		t.Error("the ID token has changed")
	}
	if user, err := r.m.User(u); err != nil || user.Subject != "alice" {
		t.Errorf("%v, %v", user, err)
	}
	r.wantRefreshes(2)
}

// The scopes of a token are those of the answer, or, where it names none, those
// that were asked for (RFC 6749 section 5.1).
func TestRefreshedTokenTellsItsScopes(t *testing.T) {
	t.Parallel()
	r := newRefreshRig(t, coretest.Options{Scopes: []string{"openid", "offline_access", "a", "b"}})
	u := r.signIn("alice")
	r.p.Fail(coretest.Fault{Grant: "refresh_token", Answer: func(a map[string]any) { a["scope"] = "b" }})
	if got := r.get(u, core.WithScopes("a", "b")).Scopes; !cmp.Equal(got, []string{"b"}) {
		t.Errorf("narrowed: %v", got)
	}
	r.p.Fail(coretest.Fault{Grant: "refresh_token", Answer: func(a map[string]any) { delete(a, "scope") }})
	if got := r.get(u, core.WithScopes("a")).Scopes; !cmp.Equal(got, []string{"a"}) {
		t.Errorf("not said: %v", got)
	}
}

// Any number of callers share one refresh of an expired token.
func TestOneRefreshForAThousandCallers(t *testing.T) {
	t.Parallel()
	r := newRefreshRig(t, coretest.Options{})
	u := r.signIn("alice")
	r.p.Advance(untilExpiry)
	tokens := make([]string, 1000)
	atOnce(len(tokens), func(i int) {
		tok, err := r.m.GetUserAccessToken(u.as(r.m))
		if err != nil {
			t.Error(err)
			return
		}
		tokens[i] = tok.AccessToken
	})
	for _, tok := range tokens {
		if tok != tokens[0] {
			t.Fatal("two tokens")
		}
	}
	r.wantRefreshes(1)
}

// Refreshes of one login for different resources take their turn: each sends the
// refresh token that the one before it got.
func TestRefreshesOfOneLoginTakeTurns(t *testing.T) {
	t.Parallel()
	r := newRefreshRig(t, coretest.Options{})
	u := r.signIn("alice")
	r.p.Advance(untilExpiry)
	resources := []string{"", "urn:a", "urn:b", "urn:c"}
	tokens := make([]string, 4*len(resources))
	atOnce(len(tokens), func(i int) {
		tok, err := r.m.GetUserAccessToken(u.as(r.m), core.WithResource(resources[i%len(resources)]))
		if err != nil {
			t.Error(err)
			return
		}
		tokens[i] = tok.AccessToken
	})
	distinct := map[string]bool{}
	for i, tok := range tokens {
		distinct[tok] = true
		if tok != tokens[i%len(resources)] {
			t.Error("two tokens for one resource")
		}
	}
	if len(distinct) != len(resources) {
		t.Errorf("%d tokens for %d resources", len(distinct), len(resources))
	}
	sent := map[string]bool{}
	for _, refreshToken := range r.refreshes() {
		sent[refreshToken] = true
	}
	if len(sent) != len(resources) {
		t.Errorf("%d refresh tokens were sent for %d resources", len(sent), len(resources))
	}
	r.wantRefreshes(len(resources))
	if r.record(u).RefreshToken != r.liveRefreshToken("alice") {
		t.Error("not the newest refresh token is stored")
	}
}

// A caller who hangs up returns at once, and takes no rotated refresh token along:
// the refresh goes on, and the next caller finds what it got.
func TestRefreshOutlivesCaller(t *testing.T) {
	t.Parallel()
	r := newRefreshRig(t, coretest.Options{})
	u := r.signIn("alice")
	r.p.Advance(untilExpiry)
	rotated, answer := make(chan struct{}), make(chan struct{})
	r.p.Fail(coretest.Fault{Grant: "refresh_token", After: func() { close(rotated); <-answer }})

	hungUp := errors.New("hung up")
	ctx, hangUp := context.WithCancelCause(u)
	failed := make(chan error)
	go func() {
		_, err := r.m.GetUserAccessToken(ctx)
		failed <- err
	}()
	<-rotated
	hangUp(hungUp)
	err := <-failed // the answer is still held back
	if e := asError(t, err); !errors.Is(err, hungUp) || !e.Temporary() || errors.Is(err, core.ErrLoginRequired) {
		t.Errorf("the caller got %v", err)
	}
	close(answer)
	if tok := r.get(u.as(r.m)); !tok.Expiry.Equal(r.p.Now().Add(time.Hour)) {
		t.Errorf("not the new token: %v", tok)
	}
	r.wantRefreshes(1)
	if r.record(u).RefreshToken != r.liveRefreshToken("alice") {
		t.Error("the rotated refresh token is lost")
	}
}

// Each waiter leaves when its own context ends, and the others get the token.
func TestWaitersLeaveOneByOne(t *testing.T) {
	t.Parallel()
	r := newRefreshRig(t, coretest.Options{})
	u := r.signIn("alice")
	r.p.Advance(untilExpiry)
	arrived, answer := make(chan struct{}), make(chan struct{})
	r.p.Fail(coretest.Fault{Grant: "refresh_token", Before: func() { close(arrived); <-answer }})

	patient := make(chan error)
	go func() {
		_, err := r.m.GetUserAccessToken(u)
		patient <- err
	}()
	<-arrived
	for range 3 {
		ctx, cancel := context.WithTimeout(u, time.Millisecond)
		defer cancel()
		_, err := r.m.GetUserAccessToken(ctx)
		if !errors.Is(err, context.DeadlineExceeded) || core.StatusCode(err) != http.StatusGatewayTimeout {
			t.Errorf("the impatient one got %v", err)
		}
	}
	gone, cancel := context.WithCancel(u)
	cancel()
	if _, err := r.m.GetUserAccessToken(gone); !errors.Is(err, context.Canceled) {
		t.Errorf("who had gone before got %v", err)
	}
	close(answer)
	if err := <-patient; err != nil {
		t.Error(err)
	}
	r.wantRefreshes(1)
}

// Shortly before a token expires it is still the answer, at once, while one refresh
// goes on behind the callers.
func TestEarlyRefreshKeepsNobodyWaiting(t *testing.T) {
	t.Parallel()
	r := newRefreshRig(t, coretest.Options{})
	u := r.signIn("alice")
	first := r.get(u)
	r.p.Advance(untilEarly)
	answer := make(chan struct{})
	r.p.Fail(coretest.Fault{Grant: "refresh_token", Before: func() { <-answer }})
	atOnce(100, func(int) {
		tok, err := r.m.GetUserAccessToken(u.as(r.m))
		if err != nil || tok.AccessToken != first.AccessToken {
			t.Errorf("not the live token: %v", err)
		}
	}) // all of them are back before the provider has answered
	close(answer)
	eventually(t, "the new token is there", func() bool { return r.get(u.as(r.m)).AccessToken != first.AccessToken })
	r.wantRefreshes(1)
}

// The early window is RefreshEarly long, a minute unless configured, and never more
// than a fifth of the token's life; it starts with up to a tenth of jitter.
func TestEarlyWindow(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		life, early, window time.Duration
	}{
		"by default":   {time.Hour, 0, time.Minute},
		"configured":   {time.Hour, 10 * time.Minute, 10 * time.Minute},
		"at most 1/5":  {time.Hour, time.Hour, 12 * time.Minute},
		"a short life": {50 * time.Second, 0, 10 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, coretest.Options{AccessTokenLife: test.life}, func(t *testing.T, r *refreshRig) {
				r.wantEarlyWindow(test.life, test.window)
			}, func(c *core.Config) { c.RefreshEarly = test.early })
		})
	}
}

// wantEarlyWindow fails unless a token is renewed behind its callers as soon as the
// window before its expiry has come, and not a second earlier. It runs in a bubble.
func (r *refreshRig) wantEarlyWindow(life, window time.Duration) {
	r.t.Helper()
	u := r.signIn("alice")
	first := r.get(u)
	r.p.Advance(life - window - time.Second)
	r.get(u)
	synctest.Wait()
	r.wantRefreshes(0)
	r.p.Advance(time.Second + window/10)
	if r.get(u).AccessToken != first.AccessToken {
		r.t.Error("somebody waited")
	}
	synctest.Wait()
	r.wantRefreshes(1)
	if r.get(u).AccessToken == first.AccessToken {
		r.t.Error("the new token is not served")
	}
}

// The early window does not start at the same moment for all tokens of a moment.
func TestEarlyWindowHasJitter(t *testing.T) {
	t.Parallel()
	inBubble(t, coretest.Options{}, func(t *testing.T, r *refreshRig) {
		const users = 40
		var ctxs []context.Context
		for i := range users {
			ctxs = append(ctxs, r.signIn(fmt.Sprint("user", i)))
		}
		r.p.Advance(untilExpiry - time.Minute + 3*time.Second) // half of the jitter
		for _, ctx := range ctxs {
			r.get(ctx)
		}
		synctest.Wait()
		if n := r.p.Grants("refresh_token"); n == 0 || n == users {
			t.Errorf("%d of %d tokens were renewed", n, users)
		}
	})
}

// A provider that hints when to refresh is heard, within the token's life.
func TestRefreshInHint(t *testing.T) {
	t.Parallel()
	for value, window := range map[string]time.Duration{
		`600`:   50 * time.Minute,
		`"600"`: 50 * time.Minute,
		`0`:     time.Minute,
		`7200`:  time.Minute, // after the expiry: nonsense
		`"x"`:   time.Minute,
	} {
		t.Run(value, func(t *testing.T) {
			t.Parallel()
			hint := coretest.Options{Answer: func(a map[string]any) { a["refresh_in"] = json.RawMessage(value) }}
			inBubble(t, hint, func(_ *testing.T, r *refreshRig) { r.wantEarlyWindow(time.Hour, window) })
		})
	}
}

// A token that lives for less than the early window is renewed by its share of
// life, not by every call.
func TestShortTokenIsNotRenewedByEveryCall(t *testing.T) {
	t.Parallel()
	inBubble(t, coretest.Options{AccessTokenLife: 20 * time.Second}, func(_ *testing.T, r *refreshRig) {
		u := r.signIn("alice")
		for range 50 {
			r.get(u)
			synctest.Wait()
		}
		r.wantRefreshes(0)
	})
}

// A renewal forced for a token that has been replaced meanwhile finds the newer
// one: a hundred refusals of one token are one refresh.
func TestRenewalsOfOneTokenAreOne(t *testing.T) {
	t.Parallel()
	r := newRefreshRig(t, coretest.Options{})
	u := r.signIn("alice")
	first := r.get(u)
	rejected := func(req *core.TokenRequest) { req.ForceRenewal, req.Rejected = true, first }
	tokens := make([]string, 100)
	atOnce(len(tokens), func(i int) {
		tok, err := r.m.GetUserAccessToken(u.as(r.m), rejected)
		if err != nil {
			t.Error(err)
			return
		}
		tokens[i] = tok.AccessToken
	})
	for _, tok := range tokens {
		if tok == first.AccessToken || tok != tokens[0] {
			t.Fatal("the rejected token, or two new ones")
		}
	}
	r.wantRefreshes(1)
}

// A token that was renewed because an API refused the one before it, and is refused
// again, is not renewed again for half a minute.
func TestTokenRefusedAgainIsNotRenewedAgain(t *testing.T) {
	t.Parallel()
	r := newRefreshRig(t, coretest.Options{})
	u := r.signIn("alice")
	reject := func(tok *core.Token) core.TokenOption {
		return func(req *core.TokenRequest) { req.ForceRenewal, req.Rejected = true, tok }
	}
	second := r.get(u, reject(r.get(u)))
	r.p.Advance(29 * time.Second)
	for range 3 {
		if tok, err := r.m.GetUserAccessToken(u, reject(second)); err == nil || errors.Is(err, core.ErrLoginRequired) {
			t.Errorf("got %v, %v", tok, err)
		}
	}
	r.wantRefreshes(1)
	if r.get(u).AccessToken != second.AccessToken {
		t.Error("the plain call gets another token")
	}
	r.p.Advance(2 * time.Second)
	if r.get(u, reject(second)).AccessToken == second.AccessToken {
		t.Error("the rejected token came back")
	}
	r.wantRefreshes(2)
}

// A provider may answer a refresh with the access token that is in force already,
// beside a new refresh token: which is then stored and used, by everybody.
func TestSameAccessTokenWithANewRefreshToken(t *testing.T) {
	t.Parallel()
	inBubble(t, coretest.Options{}, func(t *testing.T, r *refreshRig) {
		u := r.signIn("alice")
		first := r.get(u)
		r.p.Advance(untilEarly)
		r.p.Fail(coretest.Fault{Grant: "refresh_token", Answer: func(a map[string]any) {
			a["access_token"] = first.AccessToken
			a["expires_in"] = 30
		}})
		r.get(u)
		synctest.Wait()
		rec := r.record(u)
		if rec.RefreshToken != r.liveRefreshToken("alice") {
			t.Error("the new refresh token is not stored")
		}
		if rec.Claim != nil {
			t.Error("the claim of a refresh that is done is still there")
		}
		r.p.Advance(untilExpiry)
		r.get(u)
		r.wantRefreshes(2)
	})
}

// A refreshed ID token must be the same user's, from the same issuer to the same
// client, of the same authentication (OpenID Connect Core section 12.2), and pass
// every check of a first one: otherwise nothing of the answer is kept, its refresh
// token is revoked, and the session is over.
func TestRefreshedIDTokenMustBeTheSameUsers(t *testing.T) {
	t.Parallel()
	set := func(name string, value any) coretest.Fault {
		return coretest.Fault{Claims: func(c map[string]any) { c[name] = value }}
	}
	for name, fault := range map[string]coretest.Fault{
		"other sub":         set("sub", "mallory"),
		"no sub":            set("sub", ""),
		"other iss":         set("iss", "https://evil.example"),
		"other aud":         set("aud", "another"),
		"more aud":          set("aud", []string{"app", "another"}),
		"more aud with azp": {Claims: func(c map[string]any) { c["aud"], c["azp"] = []string{"app", "another"}, "app" }},
		"other azp":         set("azp", "another"),
		"other auth_time":   set("auth_time", 12345),
		"other nonce":       set("nonce", "another"),
		"expired":           set("exp", 12345),
		"of the future":     set("iat", 99999999999),
		"unsigned":          {Signature: coretest.SignedNone},
		"public key as MAC": {Signature: coretest.SignedHS256},
		"another key":       {Signature: coretest.SignedOtherKey},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var ended []core.EndReason
			r := newRefreshRig(t, coretest.Options{}, func(c *core.Config) {
				c.OnSessionEnd = func(_ context.Context, _ *core.User, why core.EndReason) { ended = append(ended, why) }
			})
			u := r.signIn("alice")
			r.p.Advance(untilExpiry)
			fault.Grant = "refresh_token"
			var granted string
			fault.Answer = func(a map[string]any) { granted, _ = a["refresh_token"].(string) }
			r.p.Fail(fault)
			tok, err := r.m.GetUserAccessToken(u)
			wantLoginRequired(t, err)
			if tok != nil {
				t.Error("a token")
			}
			if e := asError(t, err); e.Op != "refresh_token" || e.Temporary() {
				t.Errorf("%v", e)
			}
			r.wantDead(u)
			r.wantRefreshes(1)
			if diff := cmp.Diff([]string{granted}, r.revoked()); diff != "" {
				t.Errorf("revoked:\n%s", diff)
			}
			if diff := cmp.Diff([]core.EndReason{core.EndRefused}, ended); diff != "" {
				t.Errorf("OnSessionEnd:\n%s", diff)
			}
		})
	}
}

// A session that ends for a wrong ID token leaves no refresh token in force, of a
// provider that does not rotate them either.
func TestRefusedSessionLeavesNoRefreshToken(t *testing.T) {
	t.Parallel()
	r := newRefreshRig(t, coretest.Options{NoRotation: true})
	u := r.signIn("alice")
	r.p.Advance(untilExpiry)
	r.p.Fail(coretest.Fault{Grant: "refresh_token", Claims: func(c map[string]any) { c["sub"] = "mallory" }})
	_, err := r.m.GetUserAccessToken(u)
	wantLoginRequired(t, err)
	r.wantDead(u)
	if live := r.p.RefreshTokens("alice"); len(live) != 0 {
		t.Error("the session is over, its refresh token is in force")
	}
}

// A refreshed ID token may leave out what a first one must have.
func TestRefreshedIDTokenMayBeShorter(t *testing.T) {
	t.Parallel()
	r := newRefreshRig(t, coretest.Options{})
	u := r.signIn("alice")
	before := r.record(u)
	r.p.Advance(untilExpiry)
	r.p.Fail(coretest.Fault{Grant: "refresh_token", Claims: func(c map[string]any) {
		delete(c, "auth_time")
		delete(c, "nonce")
		delete(c, "at_hash")
		c["aud"] = []string{"app"} // the same audience in other words
	}})
	r.get(u)
	if after := r.record(u); after.IDToken == before.IDToken {
		t.Error("the new ID token is not stored")
	}
}

// When the provider's keys cannot be fetched the tokens are kept all the same, and
// the old ID token stays until a new one can be checked.
func TestUncheckableIDTokenLeavesTheOldOne(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]coretest.Fault{
		"status 500": {Status: http.StatusInternalServerError},
		"no answer":  {Drop: true},
		"no JSON":    {Body: "<html>"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRefreshRig(t, coretest.Options{})
			u := r.signIn("alice")
			before := r.record(u)
			r.p.RotateKeys()
			fault.Endpoint, fault.Times = coretest.KeysEndpoint, coretest.Always
			r.p.Fail(fault)
			r.p.Advance(untilExpiry)
			tok := r.get(u)
			if !tok.Expiry.Equal(r.p.Now().Add(time.Hour)) {
				t.Errorf("not the new token: %v", tok)
			}
			rec := r.record(u)
			if rec.RefreshToken != r.liveRefreshToken("alice") {
				t.Error("the new refresh token is not stored")
			}
			if rec.IDToken != before.IDToken {
				t.Error("an unchecked ID token is stored")
			}
			r.p.Heal()
			eventually(t, "an ID token that can be checked is stored", func() bool {
				r.p.Advance(untilExpiry)
				r.get(u)
				return r.record(u).IDToken != before.IDToken
			})
		})
	}
}

// claimsRig is a rig whose users' role can be changed, and which counts OnRefresh.
type claimsRig struct {
	*refreshRig
	role atomic.Value
	told chan string // the roles that OnRefresh has seen
}

func newClaimsRig(t *testing.T, onRefresh func(*core.User) error) *claimsRig {
	t.Helper()
	c := &claimsRig{told: make(chan string, 100)}
	c.role.Store("clerk")
	c.refreshRig = newRefreshRig(t,
		coretest.Options{Claims: func(string) map[string]any { return map[string]any{"role": c.role.Load()} }},
		func(cfg *core.Config) {
			cfg.OnRefresh = func(_ context.Context, u *core.User) error {
				c.told <- roleOf(t, u)
				return onRefresh(u)
			}
		})
	return c
}

func roleOf(t testing.TB, u *core.User) string {
	var claims struct{ Role string }
	if err := u.Claims(&claims); err != nil {
		t.Error(err)
	}
	return claims.Role
}

func (c *claimsRig) wantTold(want ...string) {
	c.t.Helper()
	var got []string
	for len(c.told) > 0 {
		got = append(got, <-c.told)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		c.t.Errorf("OnRefresh:\n%s", diff)
	}
}

// OnRefresh is called when a refresh has brought other claims, once for each
// change, after they are stored; User then shows them.
func TestOnRefreshTellsOfOtherClaims(t *testing.T) {
	t.Parallel()
	var r *claimsRig
	var u signedInUser
	r = newClaimsRig(t, func(*core.User) error {
		if user, err := r.m.User(u.as(r.m)); err != nil || roleOf(t, user) != "manager" {
			t.Errorf("OnRefresh came before the write: %v, %v", user, err)
		}
		return nil
	})
	u = r.signIn("alice")
	refresh := func() {
		r.p.Advance(untilExpiry)
		r.get(u)
	}
	refresh()
	r.wantTold()
	r.role.Store("manager")
	refresh()
	r.wantTold("manager")
	refresh()
	r.wantTold()
	if user, err := r.m.User(u.as(r.m)); err != nil || roleOf(t, user) != "manager" {
		t.Errorf("%v, %v", user, err)
	}
}

// An error of OnRefresh ends the session; the refresh token is revoked.
func TestOnRefreshEndsSession(t *testing.T) {
	t.Parallel()
	fired := errors.New("fired")
	r := newClaimsRig(t, func(*core.User) error { return fired })
	u := r.signIn("alice")
	r.role.Store("nobody")
	r.p.Advance(untilExpiry)
	_, err := r.m.GetUserAccessToken(u)
	wantLoginRequired(t, err)
	if !errors.Is(err, fired) {
		t.Errorf("the hook's own error is lost: %v", err)
	}
	r.wantTold("nobody")
	r.wantDead(u)
	if live := r.p.RefreshTokens("alice"); len(live) != 0 {
		t.Error("the refresh token is in force")
	}
}

// OnRefresh is not passed over when the Store takes the claims late.
func TestOnRefreshIsToldOfClaimsThatWereStoredLate(t *testing.T) {
	t.Parallel()
	r := newClaimsRig(t, func(*core.User) error { return nil })
	u := r.signIn("alice")
	r.role.Store("manager")
	r.p.Advance(untilExpiry)
	r.p.Fail(coretest.Fault{Grant: "refresh_token", After: func() { r.store.fail(errStoreDown) }})
	r.get(u)
	r.store.fail(nil)
	eventually(t, "the claims are stored", func() bool {
		user, err := r.m.User(u.as(r.m))
		return err == nil && roleOf(t, user) == "manager"
	})
	r.restart()
	r.wantTold("manager")
}
