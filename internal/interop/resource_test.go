package interop_test

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/tokenwell/tokenwell/core"
	"github.com/tokenwell/tokenwell/core/coretest"
	"github.com/tokenwell/tokenwell/internal/interop/browser"
	"github.com/tokenwell/tokenwell/internal/interop/provider"
)

// A user's tokens for several APIs, and the end of the refresh token that they all come from, at npm oidc-provider.

const refreshToken = "refresh_token"

// newUser starts a provider and signs alice in for two resources (RFC 8707). The context is hers.
func newUser(t *testing.T, o provider.OIDCProviderOptions) (*worker, context.Context) {
	t.Helper()
	rp := newRelyingParty(t)
	o.RedirectURLs = []string{rp.callback}
	rp.server = provider.StartOIDCProvider(t, o)
	rp.discover(t)
	w := &worker{idp: rp, api: newAPI(t, rp.meta.Introspection, rp.server.API)}
	w.Manager = newManager(t, core.Config{
		Issuer:       rp.server.Issuer,
		ClientID:     rp.server.Web.ID,
		ClientSecret: rp.server.Web.Secret,
		RedirectURL:  rp.callback,
		Scopes:       []string{"openid", "offline_access", "orders", "catalog"},
		LoginParams:  url.Values{"prompt": {"consent"}, "resource": {"urn:orders", "urn:catalog"}},
		HTTPClients: map[string]core.HTTPClient{
			"orders": {BaseURL: w.api.url, Token: core.UserToken()},
		},
	})
	return w, signedIn(t, w.Manager, "alice", rp.server.Users["alice"])
}

// signedIn signs a user in at the provider's own form, and returns their context. What is at the callback does not matter:
// the answer is taken from the address at which the browser ends.
func signedIn(t *testing.T, m *core.Manager, user, password string) context.Context {
	t.Helper()
	s := coretest.NewSession()
	address, err := m.StartLogin(t.Context(), s, core.LoginOptions{})
	if err != nil {
		t.Fatal(err)
	}
	page := browser.New(t).Open(address).Form("username", "password").Fill("username", user).Fill("password", password).Submit()
	if _, err := m.FinishLogin(t.Context(), s, page.URL.Query()); err != nil {
		t.Fatalf("%v\n%s", err, page)
	}
	return m.NewContext(t.Context(), s)
}

func TestOIDCProviderGivesAUserOneTokenForEachResource(t *testing.T) {
	w, alice := newUser(t, provider.OIDCProviderOptions{AccessTTL: time.Hour, TokenDelay: 100 * time.Millisecond})
	login, err := w.GetUserAccessToken(alice)
	if err != nil {
		t.Fatal(err)
	}
	var resources sync.WaitGroup
	for _, resource := range []string{"urn:orders", "urn:catalog"} {
		resources.Go(func() {
			tokens := askAtOnce(t, 50, func() (*core.Token, error) { return w.GetUserAccessToken(alice, core.WithResource(resource)) })
			for token := range tokens {
				if said := w.introspect(t, token); said.Aud != resource || said.Sub != "alice" || token == login.AccessToken {
					t.Errorf("a token for %s is %s's, good at %s", resource, said.Sub, said.Aud)
				}
			}
		})
	}
	resources.Wait()

	// One after the other: both come from the login's one refresh token, which rotates.
	if got := asked(w.idp.server.Requests(t, refreshToken)); !slices.Equal(got, []string{"urn:catalog", "urn:orders"}) {
		t.Errorf("the provider was asked for %q, want each resource once", got)
	}
	if sent := w.idp.server.Sent(t); len(sent) != 2 {
		t.Errorf("refresh tokens sent: %v, want two, each once", sent)
	}
	if after, err := w.GetUserAccessToken(alice); err != nil || after.AccessToken != login.AccessToken {
		t.Errorf("the login's own token is another one now, %v", err)
	}
}

func TestOIDCProviderForgetsARevokedRefreshToken(t *testing.T) {
	w, alice := newUser(t, provider.OIDCProviderOptions{AccessTTL: time.Hour})
	if err := call(alice, w.HTTPClient("orders"), "orders of alice"); err != nil {
		t.Fatal(err)
	}
	if _, err := w.GetUserAccessToken(alice, core.WithForceRenewal()); err != nil { // the newest is not the login's
		t.Fatal(err)
	}
	for range 2 { // there is nothing left to revoke the second time
		if err := w.RevokeRefreshToken(alice); err != nil {
			t.Fatal(err)
		}
	}
	var newest string
	var revoked []string
	for _, e := range w.idp.server.Events(t) {
		if e.Issued != "" {
			newest = e.Issued
		}
		if e.Kind == provider.Revoked {
			revoked = append(revoked, e.RefreshToken)
		}
	}
	if !slices.Equal(revoked, []string{newest}) {
		t.Errorf("revoked: %q, want the newest refresh token %q", revoked, newest)
	}

	// This provider ends the whole grant: the API refuses the access token, which is alive for the library, and nothing is
	// left to renew it with.
	if err := call(alice, w.HTTPClient("orders"), ""); !errors.Is(err, core.ErrLoginRequired) {
		t.Errorf("the API after the revocation: %v, want ErrLoginRequired", err)
	}
	if _, err := w.GetUserAccessToken(alice, core.WithResource("urn:catalog")); !errors.Is(err, core.ErrLoginRequired) {
		t.Errorf("another resource after the revocation: %v, want ErrLoginRequired", err)
	}
	if n := w.idp.server.Count(t, provider.Refresh); n != 1 {
		t.Errorf("%d refreshes, want none after the one before the revocation", n)
	}
}
