package core_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/tokenwell/tokenwell/core"
	"github.com/tokenwell/tokenwell/core/coretest"
)

// Retrievers inside one another each do their part, and the renewal after a 401 passes
// through all of them: the kept token is given up, exchanged anew, and the subject's
// renewed because the provider takes the old one no more.
func TestRetrieversCompose(t *testing.T) {
	t.Parallel()
	p := newESProvider(t)
	api := p.Protect(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tok := coretest.TokenOf(r)
		if !slices.Equal(tok.Audience, []string{"urn:tenant:blue", "orders"}) {
			t.Errorf("a token for %q", tok.Audience)
		}
		_, _ = w.Write([]byte(tok.Subject))
	}))
	perTenant := func(next core.TokenRetriever) core.TokenRetriever {
		return core.RetrieverFunc(func(ctx context.Context, req core.TokenRequest) (*core.Token, error) {
			req.Resource = "urn:tenant:" + req.HTTP.Header.Get("X-Tenant")
			return next.RetrieveToken(ctx, req)
		})
	}
	tenantOf := func(_ context.Context, req core.TokenRequest) (string, error) {
		return req.HTTP.Header.Get("X-Tenant"), nil
	}
	m := newUserManager(t, p, api.URL, core.CacheBy(tenantOf, perTenant(
		core.Exchange(core.FirstOf(core.UserToken(), core.ClientToken()), core.ExchangeOptions{Audience: "orders"}),
	)))
	alice, bob := coretest.SignedIn(t, m, "alice"), coretest.SignedIn(t, m, "bob")
	call := func(ctx context.Context, want string) {
		t.Helper()
		r := newRequest(ctx, t, "list", nil)
		r.Header.Set("X-Tenant", "blue")
		status, body, err := do(t, m.HTTPClient("api"), r)
		if err != nil || status != http.StatusOK || body != want {
			t.Errorf("%d %q %v, want %q", status, body, err, want)
		}
	}
	nobody := m.NewContext(t.Context(), coretest.NewSession())
	for range 3 {
		call(alice, "alice")
		call(bob, "bob")
		call(nobody, p.Config().ClientID)
	}
	if got := len(exchanges(p)); got != 3 {
		t.Errorf("%d exchanges, want one for each", got)
	}
	p.RevokeAccessTokens("alice")
	call(alice, "alice")
	call(bob, "bob")
	if got := p.Grants("refresh_token"); got != 1 {
		t.Errorf("%d refreshes, want alice's", got)
	}
	if got := len(exchanges(p)); got != 5 {
		t.Errorf("%d exchanges, want one refused and one more for alice", got)
	}

	// A session that has died is an error all the way out, never the application's token.
	p.RevokeGrants("alice")
	p.RevokeAccessTokens("alice")
	p.Advance(31 * time.Second) // what was renewed a moment ago is not renewed again
	for range 2 {
		r := newRequest(alice, t, "list", nil)
		r.Header.Set("X-Tenant", "blue")
		if status, _, err := do(t, m.HTTPClient("api"), r); !errors.Is(err, core.ErrLoginRequired) {
			t.Errorf("%d, %v, want ErrLoginRequired", status, err)
		}
	}
}
