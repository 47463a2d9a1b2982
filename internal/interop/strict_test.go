package interop_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/tokenwell/tokenwell/internal/interop/browser"
	"github.com/tokenwell/tokenwell/internal/interop/provider"
)

// The tests of the library mean something only if the providers are as strict as they are said to be.

func TestOIDCProviderIsStrict(t *testing.T) {
	app := newRelyingParty(t)
	app.server = provider.StartOIDCProvider(t, provider.OIDCProviderOptions{RedirectURLs: []string{app.callback}})
	testStrict(t, app)
}

func TestKeycloakIsStrict(t *testing.T) {
	app := newRelyingParty(t)
	app.server = provider.StartKeycloak(t)
	testStrict(t, app)
}

func testStrict(t *testing.T, app *relyingParty) {
	t.Helper()
	app.discover(t)
	first := app.signIn(t, "alice")
	if first.ExpiresIn != int(app.server.AccessTTL.Seconds()) {
		t.Errorf("access token lives %d s, want %v", first.ExpiresIn, app.server.AccessTTL)
	}
	if first.RefreshToken == "" || first.IDToken == "" {
		t.Fatalf("tokens missing: %+v", first)
	}
	if !app.active(t, first.AccessToken) {
		t.Error("a new access token is not active")
	}

	second, code := app.refresh(t, first.RefreshToken)
	if code != "" {
		t.Fatalf("first refresh: %s", code)
	}
	if second.RefreshToken == first.RefreshToken || second.RefreshToken == "" {
		t.Error("the refresh token did not rotate")
	}
	if _, code = app.refresh(t, first.RefreshToken); code != "invalid_grant" {
		t.Errorf("a used refresh token: %q, want invalid_grant", code)
	}
	if _, code = app.refresh(t, second.RefreshToken); code != "invalid_grant" {
		t.Errorf("the newest refresh token after reuse of an old one: %q, want invalid_grant", code)
	}
	if app.active(t, second.AccessToken) {
		t.Error("an access token outlived its grant")
	}

	// Three tokens were sent, one of them twice.
	sent := app.server.Sent(t)
	if len(sent) != 2 {
		t.Errorf("refresh tokens sent: %v, want two", sent)
	}
	if got := app.server.Count(t, provider.Refresh); got != 3 {
		t.Errorf("%d refreshes told, want 3", got)
	}
	for _, e := range app.server.Events(t) {
		t.Logf("%+v", e)
	}
}

func TestProvidersEndTheGrantOnRevocation(t *testing.T) {
	for name, start := range map[string]func(*relyingParty) *provider.Server{
		"OIDCProvider": func(app *relyingParty) *provider.Server {
			return provider.StartOIDCProvider(t, provider.OIDCProviderOptions{RedirectURLs: []string{app.callback}})
		},
		"Keycloak": func(*relyingParty) *provider.Server { return provider.StartKeycloak(t) },
	} {
		t.Run(name, func(t *testing.T) {
			app := newRelyingParty(t)
			app.server = start(app)
			app.discover(t)
			tokens := app.signIn(t, "bob")
			app.post(t, app.meta.Revocation, url.Values{"token": {tokens.RefreshToken}}, nil)
			if got := app.server.Count(t, provider.Revoked); got != 1 {
				t.Errorf("%d revocations told, want 1: %+v", got, app.server.Events(t))
			}
			if _, code := app.refresh(t, tokens.RefreshToken); code != "invalid_grant" {
				t.Errorf("a revoked refresh token: %q, want invalid_grant", code)
			}
		})
	}
}

// relyingParty speaks the protocol by hand: what it shows owes nothing to the library under test.
type relyingParty struct {
	server   *provider.Server
	callback string
	meta     struct {
		Authorization string `json:"authorization_endpoint"`
		Token         string `json:"token_endpoint"`
		Introspection string `json:"introspection_endpoint"`
		Revocation    string `json:"revocation_endpoint"`
	}
}

type tokens struct {
	AccessToken  string `json:"access_token"`
	RefreshToken string `json:"refresh_token"`
	IDToken      string `json:"id_token"`
	ExpiresIn    int    `json:"expires_in"`
	Error        string `json:"error"`
}

func newRelyingParty(t *testing.T) *relyingParty {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(srv.Close)
	return &relyingParty{callback: srv.URL + "/callback"}
}

func (app *relyingParty) discover(t *testing.T) {
	t.Helper()
	resp, err := http.Get(app.server.Issuer + "/.well-known/openid-configuration")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if err := json.NewDecoder(resp.Body).Decode(&app.meta); err != nil {
		t.Fatal(err)
	}
}

func (app *relyingParty) signIn(t *testing.T, user string) tokens {
	t.Helper()
	verifier := strings.Repeat("v", 64)
	challenge := sha256.Sum256([]byte(verifier))
	page := browser.New(t).Open(app.meta.Authorization + "?" + url.Values{
		"client_id": {app.server.Web.ID}, "response_type": {"code"}, "redirect_uri": {app.callback},
		"scope": {strings.Join(app.server.Scopes, " ")}, "state": {"s"}, "prompt": {"consent"},
		"code_challenge":        {base64.RawURLEncoding.EncodeToString(challenge[:])},
		"code_challenge_method": {"S256"},
	}.Encode())
	page = page.Form("username", "password").Fill("username", user).Fill("password", app.server.Users[user]).Submit()
	if page.Status != http.StatusOK || !strings.HasPrefix(page.URL.String(), app.callback) {
		t.Fatalf("sign-in ended elsewhere: %s\n%s", page, app.server.Output())
	}
	if iss := page.URL.Query().Get("iss"); iss != app.server.Issuer {
		t.Errorf("iss %q, want %q", iss, app.server.Issuer)
	}
	var got tokens
	app.post(t, app.meta.Token, url.Values{
		"grant_type": {"authorization_code"}, "code": {page.URL.Query().Get("code")},
		"redirect_uri": {app.callback}, "code_verifier": {verifier},
	}, &got)
	if got.Error != "" {
		t.Fatalf("code exchange: %s\n%s", got.Error, app.server.Output())
	}
	return got
}

func (app *relyingParty) refresh(t *testing.T, token string) (got tokens, code string) {
	t.Helper()
	app.post(t, app.meta.Token, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}}, &got)
	return got, got.Error
}

func (app *relyingParty) active(t *testing.T, token string) bool {
	t.Helper()
	var answer struct{ Active bool }
	app.postAs(t, app.server.API, app.meta.Introspection, url.Values{"token": {token}}, &answer)
	return answer.Active
}

func (app *relyingParty) post(t *testing.T, endpoint string, form url.Values, into any) {
	t.Helper()
	app.postAs(t, app.server.Web, endpoint, form, into)
}

func (app *relyingParty) postAs(t *testing.T, c provider.Client, endpoint string, form url.Values, into any) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth(c.ID, c.Secret)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if into == nil {
		return
	}
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
		t.Fatalf("%s: %s: %v", endpoint, resp.Status, err)
	}
}
