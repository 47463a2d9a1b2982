package core_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tokenwell/tokenwell/core"
	"github.com/tokenwell/tokenwell/core/coretest"
)

// Without a user there is no token, and the provider is not asked for one.
func TestNobodySignedIn(t *testing.T) {
	t.Parallel()
	r := newRefreshRig(t, coretest.Options{})
	for name, ctx := range map[string]context.Context{
		"no session":       t.Context(),
		"an empty session": r.m.NewContext(t.Context(), coretest.NewSession()),
		"an empty ticket":  r.m.WithTicket(t.Context(), ""),
		"a made-up ticket": r.m.WithTicket(t.Context(), "made up"),
	} {
		for _, opts := range [][]core.TokenOption{nil, {core.WithForceRenewal()}, {core.WithResource("urn:a")}} {
			if tok, err := r.m.GetUserAccessToken(ctx, opts...); tok != nil || !errors.Is(err, core.ErrLoginRequired) {
				t.Errorf("%s: %v, %v", name, tok, err)
			}
		}
	}
	if got := len(r.p.Requests(coretest.TokenEndpoint)); got != 0 {
		t.Errorf("%d token requests", got)
	}
}

// A context that no manager was put into gives a nil manager, which answers.
func TestNoManager(t *testing.T) {
	t.Parallel()
	m := core.From(t.Context())
	if m != nil {
		t.Fatal("a manager out of nowhere")
	}
	_, tokenErr := m.GetUserAccessToken(t.Context())
	_, userErr := m.User(t.Context())
	_, ticketErr := m.Ticket(t.Context())
	for name, err := range map[string]error{
		"GetUserAccessToken": tokenErr,
		"User":               userErr,
		"Ticket":             ticketErr,
		"RevokeRefreshToken": m.RevokeRefreshToken(t.Context()),
	} {
		if !errors.Is(err, core.ErrNoManager) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := m.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// While the login's token is fresh it is the answer, whoever asks how often.
func TestTokenOfLoginIsServedFromStore(t *testing.T) {
	t.Parallel()
	r := newRefreshRig(t, coretest.Options{})
	u := r.signIn("alice")
	first := r.get(u)
	r.p.Advance(30 * time.Minute)
	for _, ctx := range []context.Context{u, u.as(r.m), r.m.WithTicket(t.Context(), u.ticket)} {
		if tok := r.get(ctx); tok.AccessToken != first.AccessToken {
			t.Error("another token")
		}
	}
	if live := r.p.AccessTokens("alice"); len(live) != 1 || live[0] != first.AccessToken {
		t.Error("not the token of the login")
	}
	if got := len(r.p.Requests(coretest.TokenEndpoint)); got != 1 {
		t.Errorf("%d token requests, want the login's alone", got)
	}
}

// The caller learns what the provider said of the token.
func TestTokenTellsTypeScopesAndExpiry(t *testing.T) {
	t.Parallel()
	r := newRefreshRig(t, coretest.Options{
		Scopes: []string{"openid", "offline_access", "orders"},
		Answer: func(a map[string]any) { a["token_type"] = "bEARER" },
	})
	tok := r.get(r.signIn("alice"))
	want := core.Token{
		AccessToken: tok.AccessToken,
		Type:        "Bearer",
		Scopes:      []string{"openid", "offline_access", "orders"},
		Expiry:      r.p.Now().Add(time.Hour),
	}
	got := core.Token{AccessToken: tok.AccessToken, Type: tok.Type, Scopes: tok.Scopes, Expiry: tok.Expiry.UTC()}
	if !cmp.Equal(want.Scopes, got.Scopes) || want.Type != got.Type || !want.Expiry.Equal(got.Expiry) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// An answer without expires_in says nothing of the token's life (RFC 6749 section
// 5.1): it is renewed when somebody wants that, not by time.
func TestTokenWithoutExpiryIsNotRenewedByTime(t *testing.T) {
	t.Parallel()
	r := newRefreshRig(t, coretest.Options{Answer: func(a map[string]any) { delete(a, "expires_in") }},
		func(c *core.Config) { c.Lifetime = 1000 * time.Hour })
	u := r.signIn("alice")
	first := r.get(u)
	if !first.Expiry.IsZero() {
		t.Errorf("expires at %v", first.Expiry)
	}
	r.p.Advance(999 * time.Hour)
	if r.get(u).AccessToken != first.AccessToken {
		t.Error("renewed")
	}
	r.wantRefreshes(0)
	if r.get(u, core.WithForceRenewal()).AccessToken == first.AccessToken {
		t.Error("not renewed though asked to")
	}
	r.wantRefreshes(1)
}

// A login without a refresh token lasts as long as its access token: a dead token
// is never the answer, and neither is the one that somebody wants renewed.
func TestWithoutRefreshTokenLoginEndsWithItsToken(t *testing.T) {
	t.Parallel()
	r := newRefreshRig(t, coretest.Options{NoRefreshToken: true})
	u := r.signIn("alice")
	first := r.get(u)
	r.p.Advance(untilEarly)
	if r.get(u).AccessToken != first.AccessToken {
		t.Error("not the live token")
	}
	_, err := r.m.GetUserAccessToken(u, core.WithForceRenewal())
	wantLoginRequired(t, err)
	if r.get(u).AccessToken != first.AccessToken {
		t.Error("the live token is gone after a renewal in vain")
	}
	r.p.Advance(untilExpiry - untilEarly)
	for range 2 {
		_, err = r.m.GetUserAccessToken(u)
		wantLoginRequired(t, err)
	}
	r.wantRefreshes(0)
}

// Scopes and resources asked for by call have tokens of their own, obtained with
// the one refresh token (RFC 6749 section 6, RFC 8707 section 2.2); the login's own
// token stays as it was.
func TestScopesAndResourcesHaveTheirOwnTokens(t *testing.T) {
	t.Parallel()
	r := newRefreshRig(t, coretest.Options{Scopes: []string{"openid", "offline_access", "orders", "mail"}})
	api := r.p.Protect(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		tok := coretest.TokenOf(q)
		_ = json.NewEncoder(w).Encode([][]string{tok.Scopes, tok.Audience})
	}))
	u := r.signIn("alice")
	main := r.get(u)
	granted := []string{"openid", "offline_access", "orders", "mail"}
	requests := []struct {
		opts []core.TokenOption
		want [][]string // scopes and audience, as the API sees them
	}{
		{nil, [][]string{granted, nil}},
		{[]core.TokenOption{core.WithResource("urn:a")}, [][]string{granted, {"urn:a"}}},
		{[]core.TokenOption{core.WithResource("urn:b")}, [][]string{granted, {"urn:b"}}},
		{[]core.TokenOption{core.WithScopes("orders")}, [][]string{{"orders"}, nil}},
		{[]core.TokenOption{core.WithScopes("orders"), core.WithResource("urn:a")}, [][]string{{"orders"}, {"urn:a"}}},
		{[]core.TokenOption{core.WithParams(url.Values{"tenant": {"1"}})}, [][]string{granted, nil}},
	}
	seen := map[string]bool{}
	for round := range 2 {
		for i, q := range requests {
			tok := r.get(u, q.opts...)
			if round == 0 && seen[tok.AccessToken] {
				t.Errorf("request %d got another's token", i)
			}
			seen[tok.AccessToken] = true
			var got [][]string
			callAPI(t, api.URL, tok, &got)
			if diff := cmp.Diff(q.want, got); diff != "" {
				t.Errorf("request %d:\n%s", i, diff)
			}
		}
	}
	if len(seen) != len(requests) {
		t.Errorf("%d tokens for %d requests made twice", len(seen), len(requests))
	}
	r.wantRefreshes(len(requests) - 1)
	if r.get(u).AccessToken != main.AccessToken {
		t.Error("the login's own token has changed")
	}
}

func callAPI(t testing.TB, address string, tok *core.Token, answer any) {
	t.Helper()
	q, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := tok.Authorize(q); err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("the API answers %s", resp.Status)
	}
	if err := json.NewDecoder(resp.Body).Decode(answer); err != nil {
		t.Fatal(err)
	}
}

// Requests for the same thing in other words share one token.
func TestOrderOfScopesDoesNotMatter(t *testing.T) {
	t.Parallel()
	r := newRefreshRig(t, coretest.Options{Scopes: []string{"openid", "offline_access", "a", "b"}})
	u := r.signIn("alice")
	first := r.get(u, core.WithScopes("a", "b"))
	for _, scopes := range [][]string{{"b", "a"}, {"a", "b", "a"}} {
		if r.get(u, core.WithScopes(scopes...)).AccessToken != first.AccessToken {
			t.Errorf("%v: a token of its own", scopes)
		}
	}
	if r.get(u, core.WithScopes()).AccessToken != r.get(u).AccessToken {
		t.Error("no scopes: not the login's own token")
	}
	r.wantRefreshes(1)
}

// What a call asks for reaches the token endpoint, once each.
func TestCallsOwnParametersAreSent(t *testing.T) {
	t.Parallel()
	r := newRefreshRig(t, coretest.Options{Scopes: []string{"openid", "offline_access", "a"}})
	u := r.signIn("alice")
	r.get(u, core.WithScopes("a"), core.WithResource("urn:a"), core.WithParams(url.Values{"tenant": {"1"}}))
	sent := r.p.Requests(coretest.TokenEndpoint)
	form := sent[len(sent)-1].Form
	want := url.Values{
		"grant_type": {"refresh_token"}, "refresh_token": form["refresh_token"],
		"scope": {"a"}, "resource": {"urn:a"}, "tenant": {"1"},
	}
	if diff := cmp.Diff(want, form); diff != "" {
		t.Error(diff)
	}
}

// The protocol's own parameters are not the caller's to set.
func TestProtocolParametersAreRefused(t *testing.T) {
	t.Parallel()
	r := newRefreshRig(t, coretest.Options{})
	u := r.signIn("alice")
	for _, name := range []string{"grant_type", "refresh_token", "client_id", "client_secret", "client_assertion"} {
		_, err := r.m.GetUserAccessToken(u, core.WithParams(url.Values{name: {"mine"}}))
		if e := asError(t, err); e.Temporary() || errors.Is(err, core.ErrLoginRequired) {
			t.Errorf("%s: %v", name, err)
		}
	}
	r.wantRefreshes(0)
}

// A forced renewal asks anew each time, always with the newest refresh token; the
// plain call behind it gets the newer token.
func TestForcedRenewalsUseTheNewestRefreshToken(t *testing.T) {
	t.Parallel()
	r := newRefreshRig(t, coretest.Options{})
	u := r.signIn("alice")
	last := r.get(u)
	for i := range 5 {
		newest := r.liveRefreshToken("alice")
		tok := r.get(u, core.WithForceRenewal())
		if tok.AccessToken == last.AccessToken {
			t.Fatal("the token that was to be renewed came back")
		}
		if sent := r.refreshes(); len(sent) != i+1 || sent[i] != newest {
			t.Fatal("not the newest refresh token was sent")
		}
		if r.get(u).AccessToken != tok.AccessToken {
			t.Fatal("the plain call got an older token")
		}
		last = tok
	}
	r.wantRefreshes(5)
}

// The tokens that calls ask for cannot let a record grow without end, nor push
// out the login's own.
func TestTokensOfOneLoginAreBounded(t *testing.T) {
	t.Parallel()
	r := newRefreshRig(t, coretest.Options{})
	u := r.signIn("alice")
	main := r.get(u)
	for i := range 40 {
		r.p.Advance(time.Second)
		r.get(u, core.WithResource(fmt.Sprintf("urn:%d", i)))
	}
	if got := len(r.record(u).Tokens); got != 32 {
		t.Errorf("%d tokens are stored, want 32", got)
	}
	if r.get(u).AccessToken != main.AccessToken {
		t.Error("the login's own token has changed")
	}
	r.get(u, core.WithResource("urn:39"))
	r.wantRefreshes(40)
	r.get(u, core.WithResource("urn:0")) // long gone
	r.wantRefreshes(41)
}

// expires_in is a number of seconds (RFC 6749 section 5.1), which some providers
// send as text. What cannot be read counts as used up: such a token is renewed by
// the next call, and never kept for ever.
func TestExpiresIn(t *testing.T) {
	t.Parallel()
	const never, usedUp = -1, 0
	for value, life := range map[string]time.Duration{
		`300`:              300 * time.Second,
		`"300"`:            300 * time.Second,
		`" 300 "`:          300 * time.Second,
		`300.9`:            300 * time.Second,
		`3e2`:              300 * time.Second,
		`null`:             never,
		``:                 never,
		`0`:                usedUp,
		`-300`:             usedUp,
		`"soon"`:           usedUp,
		`""`:               usedUp,
		`"NaN"`:            usedUp,
		`true`:             usedUp,
		`[300]`:            usedUp,
		`{"seconds": 300}`: usedUp,
	} {
		t.Run(value, func(t *testing.T) {
			t.Parallel()
			r := newRefreshRig(t, coretest.Options{Answer: func(a map[string]any) {
				a["expires_in"] = json.RawMessage(value)
				if value == "" {
					delete(a, "expires_in")
				}
			}})
			u := r.signIn("alice")
			calls := 3
			for range calls {
				tok := r.get(u)
				want := r.p.Now().Add(life)
				if life == never {
					want = time.Time{}
				}
				if !tok.Expiry.Equal(want) {
					t.Errorf("expires at %v, want %v", tok.Expiry, want)
				}
			}
			if life != usedUp {
				calls = 0
			}
			r.wantRefreshes(calls)
		})
	}
}

// A life beyond all measure is a long one, not one that overflows.
func TestExpiresInBeyondMeasure(t *testing.T) {
	t.Parallel()
	for _, value := range []string{"1e30", "9223372036854775807", `"99999999999999999999"`} {
		r := newRefreshRig(t, coretest.Options{Answer: func(a map[string]any) { a["expires_in"] = json.RawMessage(value) }})
		u := r.signIn("alice")
		if tok := r.get(u); tok.Expiry.Before(r.p.Now().AddDate(50, 0, 0)) {
			t.Errorf("%s: expires at %v", value, tok.Expiry)
		}
		r.wantRefreshes(0)
	}
}

// A life counts from before the request: the time that the answer took is part of
// it.
func TestExpiryCountsFromBeforeTheRequest(t *testing.T) {
	t.Parallel()
	r := newRefreshRig(t, coretest.Options{})
	u := r.signIn("alice")
	r.p.Advance(untilExpiry)
	asked := r.p.Now()
	r.p.Fail(coretest.Fault{Grant: "refresh_token", After: func() { r.p.Advance(20 * time.Second) }})
	for _, tok := range []*core.Token{r.get(u), r.get(u)} {
		if want := asked.Add(time.Hour); !tok.Expiry.Equal(want) {
			t.Errorf("expires at %v, want %v", tok.Expiry, want)
		}
	}
}

// One manager serves all users, and no two of them ever get each other's token.
func TestUsersAreKeptApart(t *testing.T) {
	t.Parallel()
	r := newRefreshRig(t, coretest.Options{})
	api := r.p.Protect(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		_, _ = fmt.Fprintf(w, "%q", coretest.TokenOf(q).Subject)
	}))
	names := []string{"alice", "bob", "carol"}
	var users []signedInUser
	for _, name := range names {
		users = append(users, r.signIn(name))
	}
	for range 3 {
		r.p.Advance(untilExpiry)
		atOnce(30, func(i int) {
			name, ctx := names[i%3], users[i%3].Context
			var opts []core.TokenOption
			if i%2 == 1 {
				opts = append(opts, core.WithResource("urn:a"))
			}
			tok, err := r.m.GetUserAccessToken(ctx, opts...)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				return
			}
			var subject string
			callAPI(t, api.URL, tok, &subject)
			if subject != name {
				t.Errorf("%s got the token of %s", name, subject)
			}
		})
	}
	r.wantRefreshes(3 * 3 * 2)
}

// Two managers can share a store and a browser session: each knows its own user, and
// a login at one leaves that at the other alone.
func TestTwoManagersShareAStoreAndABrowserSession(t *testing.T) {
	t.Parallel()
	r := newRefreshRig(t, coretest.Options{Clients: map[string]string{"other": "secret"}})
	other := r.manager(func(c *core.Config) { c.ClientID, c.ClientSecret = "other", "secret" })
	s := coretest.NewSession()
	request := func() context.Context { return other.NewContext(r.m.NewContext(t.Context(), s), s) }
	r.logIn(request(), r.m, s, "alice")
	r.logIn(request(), other, s, "bob")
	if core.From(request()) != other {
		t.Error("From: not the innermost manager")
	}
	for range 2 {
		for m, name := range map[*core.Manager]string{r.m: "alice", other: "bob"} {
			user, err := m.User(request())
			if err != nil || user.Subject != name {
				t.Errorf("%v, %v: want %s", user, err, name)
			}
			if _, err := m.GetUserAccessToken(request()); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		r.p.Advance(untilExpiry)
	}
}

// Managers of two clients that share a store hold nothing of each other's users,
// whatever ticket they are shown.
func TestTicketsAreOneManagersOwn(t *testing.T) {
	t.Parallel()
	r := newRefreshRig(t, coretest.Options{Clients: map[string]string{"other": "secret"}})
	other := r.manager(func(c *core.Config) { c.ClientID, c.ClientSecret = "other", "secret" })
	u := r.signIn("alice")
	_, err := other.GetUserAccessToken(u)
	wantLoginRequired(t, err)
	_, err = other.GetUserAccessToken(other.WithTicket(t.Context(), u.ticket))
	wantLoginRequired(t, err)
}
