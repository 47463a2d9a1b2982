package interop_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/tokenwell/tokenwell/core"
	"github.com/tokenwell/tokenwell/internal/interop/browser"
	"github.com/tokenwell/tokenwell/internal/interop/provider"
)

// One scenario for each rule, the same for every provider. Tokens expire for real, after seconds; waiting means asking
// the provider until it says so.

func testRotatesEachRefreshTokenOnce(t *testing.T, start starter) {
	t.Helper()
	app := newApplication(t, start)
	b := app.signIn(t, "alice")
	app.fetchOrders(t, b, "alice")
	if n := app.idp.Count(t, provider.Refresh); n != 0 {
		t.Errorf("%d refreshes while the token lives", n)
	}

	const rounds = 3
	for range rounds {
		dead := app.api.lastToken()
		app.awaitExpiry(t)
		app.fetchOrders(t, b, "alice")
		if app.api.lastToken() == dead {
			t.Fatal("the dead token was served")
		}
	}

	sent := app.idp.Sent(t)
	if len(sent) != rounds {
		t.Errorf("%d refresh tokens were sent in %d rounds", len(sent), rounds)
	}
	for token, n := range sent {
		if n != 1 {
			t.Errorf("refresh token %s was sent %d times", token, n)
		}
	}
	if got := len(app.refreshTokens()); got != rounds+1 {
		t.Errorf("the provider gave %d refresh tokens, want one at login and one for each round", got)
	}
	for _, e := range app.idp.Events(t) {
		if e.Kind == provider.Refresh && e.Error != "" {
			t.Errorf("refresh refused: %+v", e)
		}
	}
	if _, refused := app.api.counts(); refused != 0 {
		t.Errorf("the API refused %d requests: the library offered dead tokens", refused)
	}
}

func testOneRefreshForHundredRequests(t *testing.T, start starter) {
	t.Helper()
	app := newApplication(t, start)
	b := app.signIn(t, "alice")
	app.awaitExpiry(t)

	var requests errgroup.Group
	for range 100 {
		requests.Go(func() error { return fetch(t, b, app, http.StatusOK, "orders of alice") })
	}
	if err := requests.Wait(); err != nil {
		t.Error(err)
	}
	if n := app.idp.Count(t, provider.Refresh); n != 1 {
		t.Errorf("%d refreshes for a hundred requests, want 1", n)
	}
	tokens, refused := app.api.counts()
	if tokens != 2 || refused != 0 {
		t.Errorf("the API saw %d tokens and refused %d requests, want the login's and the refreshed one, and none", tokens, refused)
	}
}

func testHundredRefusalsRenewOnce(t *testing.T, start starter) {
	t.Helper()
	app := newApplication(t, start)
	b := app.signIn(t, "alice")
	app.api.ban(app.api.lastToken()) // alive for the provider and for the library, but not for the API

	var requests errgroup.Group
	for range 100 {
		requests.Go(func() error { return fetch(t, b, app, http.StatusOK, "orders of alice") })
	}
	if err := requests.Wait(); err != nil {
		t.Error(err)
	}
	if n := app.idp.Count(t, provider.Refresh); n != 1 {
		t.Errorf("%d refreshes for a hundred refusals of one token, want 1", n)
	}
}

func testReuseEndsTheSession(t *testing.T, start starter) {
	t.Helper()
	app := newApplication(t, start)
	b := app.signIn(t, "alice")
	app.awaitExpiry(t)
	app.fetchOrders(t, b, "alice")

	old := app.refreshTokens()[0] // a thief has the first one, which the library has used
	if code := app.refreshByHand(t, old); code != "invalid_grant" {
		t.Fatalf("a used refresh token by hand: %q, want invalid_grant", code)
	}
	// The grant is gone, and with it the access token: the API says 401, and the library's own refresh token is dead.
	if err := fetch(t, b, app, http.StatusUnauthorized, "login_required"); err != nil {
		t.Error(err)
	}
	err := app.lastError()
	if !errors.Is(err, core.ErrLoginRequired) {
		t.Errorf("the error is %v, want ErrLoginRequired", err)
	}
	var oauthError *core.Error
	if !errors.As(err, &oauthError) || oauthError.Code != "invalid_grant" {
		t.Errorf("the error is %#v, want one that wraps *core.Error with code invalid_grant", err)
	}
	if ended := app.endReasons(); len(ended) != 1 {
		t.Errorf("OnSessionEnd was called for %v, want once", ended)
	}

	// It stays dead without asking the provider again.
	before := app.idp.Count(t, provider.Refresh)
	if err := fetch(t, b, app, http.StatusUnauthorized, "login_required"); err != nil {
		t.Error(err)
	}
	if after := app.idp.Count(t, provider.Refresh); after != before {
		t.Errorf("a dead session sent %d more refreshes", after-before)
	}
}

func testLogoutEndsEverything(t *testing.T, start starter) {
	t.Helper()
	app := newApplication(t, start)
	b := app.signIn(t, "alice")
	app.awaitExpiry(t)
	app.fetchOrders(t, b, "alice") // the newest refresh token is not the login's
	issued := app.refreshTokens()
	newest := issued[len(issued)-1]
	stolen := b.Cookies(app.url)

	page := b.Open(app.url + "/").Form("leave").Submit()
	asked := false
	for _, hop := range page.Hops {
		if strings.HasPrefix(hop.String(), app.meta.EndSession+"?") {
			asked = hop.Query().Get("id_token_hint") != "" &&
				hop.Query().Get("post_logout_redirect_uri") == app.url+"/"
		}
	}
	if !asked {
		t.Errorf("the browser did not come to the end session endpoint with its hint: %s", page.Hops)
	}
	if page.URL.String() != app.url+"/" { // a provider may ask the user first
		page = page.Form("logout").Fill("logout", "yes").Submit()
	}
	if page.URL.Host != strings.TrimPrefix(app.url, "http://") || page.Status != http.StatusOK {
		t.Errorf("logout ended at %s", page)
	}

	if n := app.idp.Count(t, provider.Revoked); n != 1 {
		t.Errorf("%d revocations, want 1", n)
	}
	if n := app.idp.Count(t, provider.LoggedOut); n != 1 {
		t.Errorf("%d logouts at the provider, want 1: %+v", n, app.idp.Events(t))
	}
	if code := app.refreshByHand(t, newest); code != "invalid_grant" {
		t.Errorf("the newest refresh token after logout: %q, want invalid_grant", code)
	}
	if err := fetch(t, b, app, http.StatusUnauthorized, "login_required"); err != nil {
		t.Error(err)
	}
	if status := withCookies(t, app.url+"/orders", stolen); status != http.StatusUnauthorized {
		t.Errorf("the cookie of before the logout: %d, want 401", status)
	}
	// The provider's own session is over as well: it asks for the password again.
	b.Open(app.url+"/orders").Form("username", "password")
}

func testKeepsUsersApart(t *testing.T, start starter) {
	t.Helper()
	app := newApplication(t, start)
	users := map[string]*browser.Browser{"alice": app.signIn(t, "alice"), "bob": app.signIn(t, "bob")}
	for range 2 {
		app.awaitExpiry(t)
		var requests errgroup.Group
		for user, b := range users {
			for range 20 {
				requests.Go(func() error { return fetch(t, b, app, http.StatusOK, "orders of "+user) })
			}
		}
		if err := requests.Wait(); err != nil {
			t.Error(err)
		}
	}
	for token, n := range app.idp.Sent(t) {
		if n != 1 {
			t.Errorf("refresh token %s was sent %d times", token, n)
		}
	}
}

// fetch asks for the orders as a script does, and says what is not as wanted.
func fetch(t *testing.T, b *browser.Browser, app *application, status int, body string) error {
	got, text, err := b.Fetch(t.Context(), http.MethodGet, app.url+"/orders")
	if err != nil {
		return err
	}
	if got != status || !strings.Contains(text, body) {
		return fmt.Errorf("orders: %d %q, want %d %q", got, text, status, body)
	}
	return nil
}

func withCookies(t *testing.T, address string, cookies []*http.Cookie) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range cookies {
		req.AddCookie(c)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}
