package idp_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/tokenwell/tokenwell/examples/internal/browser"
	"github.com/tokenwell/tokenwell/examples/internal/idp"
)

const (
	clientSecret = "the application's"
	apiSecret    = "the API's"
	verifier     = "a-verifier-of-at-least-forty-three-characters"
)

// world is a provider and an application that only writes down what it is sent.
type world struct {
	t        *testing.T
	idp      *idp.Provider
	provider string
	app      string
}

func newWorld(t *testing.T, others ...idp.Client) world {
	t.Helper()
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusOK)
	}))
	t.Cleanup(app.Close)
	provider := httptest.NewUnstartedServer(nil)
	t.Cleanup(provider.Close)
	issuer := "http://" + provider.Listener.Addr().String()
	handler, err := idp.New(idp.Config{
		Issuer: issuer,
		Clients: append([]idp.Client{
			{
				Credentials: idp.Credentials{ID: "web", Secret: clientSecret}, Name: "Shop",
				RedirectURL: app.URL + "/callback", LoggedOut: app.URL + "/", Scopes: []string{"orders"},
			},
			{Credentials: idp.Credentials{ID: "api", Secret: apiSecret}, Introspects: true},
		}, others...),
		TokenLife: 20 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	provider.Config.Handler = handler
	provider.Start()
	return world{t: t, idp: handler, provider: issuer, app: app.URL}
}

func (w world) authorizeURL(change func(url.Values)) string {
	challenge := sha256.Sum256([]byte(verifier))
	q := url.Values{
		"client_id": {"web"}, "response_type": {"code"}, "redirect_uri": {w.app + "/callback"},
		"scope": {"openid profile offline_access orders"}, "state": {"s"}, "nonce": {"n"},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(challenge[:])}, "code_challenge_method": {"S256"},
	}
	if change != nil {
		change(q)
	}
	return w.provider + "/authorize?" + q.Encode()
}

type tokens struct {
	AccessToken  string `json:"access_token"`
	RefreshToken string `json:"refresh_token"`
	IDToken      string `json:"id_token"`
	ExpiresIn    int    `json:"expires_in"`
	Error        string `json:"error"`
	Active       bool   `json:"active"`
	Username     string `json:"username"`
	ClientID     string `json:"client_id"`
	Scope        string `json:"scope"`
	Actor        struct {
		Subject string `json:"sub"`
	} `json:"act"`
}

func (w world) post(path, id, secret string, form url.Values) tokens {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, w.provider+path, strings.NewReader(form.Encode()))
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(url.QueryEscape(id), url.QueryEscape(secret))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var answer tokens
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil && !errors.Is(err, io.EOF) { // a revocation's answer is empty
		w.t.Fatalf("POST %s: %s: %v", path, resp.Status, err)
	}
	return answer
}

// signIn has alice fill in the form, and redeems the code.
func (w world) signIn() tokens {
	w.t.Helper()
	page := browser.New(w.t).Get(w.authorizeURL(nil)).
		Submit("/signin", map[string]string{"username": "alice", "password": "alice"})
	if page.URL.Path != "/callback" || page.URL.Query().Get("state") != "s" {
		w.t.Fatalf("signing in ended at %s: %d", page.URL.Path, page.Status)
	}
	return w.redeem(page.URL.Query().Get("code"))
}

func (w world) redeem(code string) tokens {
	w.t.Helper()
	return w.post("/oauth/token", "web", clientSecret, url.Values{
		"grant_type": {"authorization_code"}, "code": {code},
		"redirect_uri": {w.app + "/callback"}, "code_verifier": {verifier},
	})
}

func (w world) refresh(token string) tokens {
	w.t.Helper()
	return w.post("/oauth/token", "web", clientSecret, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}})
}

func (w world) introspect(token string) tokens {
	w.t.Helper()
	return w.post("/oauth/introspect", "api", apiSecret, url.Values{"token": {token}})
}

func TestSignInGivesTokensOfTheConfiguredLife(t *testing.T) {
	w := newWorld(t)
	got := w.signIn()
	if got.AccessToken == "" || got.RefreshToken == "" || got.IDToken == "" || got.ExpiresIn != 20 {
		t.Errorf("expires_in %d, error %q; want all three tokens and 20", got.ExpiresIn, got.Error)
	}
	if who := w.introspect(got.AccessToken); !who.Active || who.Username != "alice" {
		t.Errorf("the API is told active %t, username %q", who.Active, who.Username)
	}
}

func TestCodeWorksOnce(t *testing.T) {
	w := newWorld(t)
	page := browser.New(t).Get(w.authorizeURL(nil)).
		Submit("/signin", map[string]string{"username": "bob", "password": "bob"})
	code := page.URL.Query().Get("code")
	if first := w.redeem(code); first.Error != "" {
		t.Fatalf("first use: %s", first.Error)
	}
	if second := w.redeem(code); second.Error != "invalid_grant" {
		t.Errorf("second use: error %q, want invalid_grant", second.Error)
	}
}

func TestRefreshTokenRotatesAndReuseEndsTheGrant(t *testing.T) {
	w := newWorld(t)
	first := w.signIn()
	second := w.refresh(first.RefreshToken)
	if second.Error != "" || second.RefreshToken == first.RefreshToken || second.AccessToken == first.AccessToken {
		t.Fatalf("a refresh must bring new tokens; error %q", second.Error)
	}
	if reused := w.refresh(first.RefreshToken); reused.Error != "invalid_grant" {
		t.Fatalf("reuse: error %q, want invalid_grant", reused.Error)
	}
	if after := w.refresh(second.RefreshToken); after.Error != "invalid_grant" {
		t.Errorf("after a reuse: error %q, want invalid_grant", after.Error)
	}
	if w.introspect(second.AccessToken).Active {
		t.Error("the grant's access token lives after a reuse")
	}
}

func TestRevocationEndsTheGrant(t *testing.T) {
	w := newWorld(t)
	got := w.signIn()
	w.post("/revoke", "web", clientSecret, url.Values{"token": {got.RefreshToken}, "token_type_hint": {"refresh_token"}})
	if w.introspect(got.AccessToken).Active {
		t.Error("the access token lives")
	}
	if after := w.refresh(got.RefreshToken); after.Error != "invalid_grant" {
		t.Errorf("refresh: error %q, want invalid_grant", after.Error)
	}
}

func TestOnlyTheAPIMayIntrospect(t *testing.T) {
	w := newWorld(t)
	got := w.signIn()
	if w.post("/oauth/introspect", "web", clientSecret, url.Values{"token": {got.AccessToken}}).Active {
		t.Error("another client learns that a token lives")
	}
}

func TestWrongPasswordShowsTheFormAgain(t *testing.T) {
	w := newWorld(t)
	page := browser.New(t).Get(w.authorizeURL(nil)).
		Submit("/signin", map[string]string{"username": "alice", "password": "bob"})
	if page.Status != http.StatusUnprocessableEntity || page.Text("wrong") == "" {
		t.Fatalf("status %d", page.Status)
	}
	page = page.Submit("/signin", map[string]string{"password": "alice"})
	if page.URL.Path != "/callback" {
		t.Errorf("the second try, with the username kept, ended at %s", page.URL.Path)
	}
}

func TestSignInWithoutS256IsRefused(t *testing.T) {
	w := newWorld(t)
	for name, change := range map[string]func(url.Values){
		"no challenge": func(q url.Values) { q.Del("code_challenge"); q.Del("code_challenge_method") },
		"plain":        func(q url.Values) { q.Set("code_challenge_method", "plain") },
	} {
		t.Run(name, func(t *testing.T) {
			page := browser.New(t).Get(w.authorizeURL(change))
			if got := page.URL.Query().Get("error"); got != "invalid_request" {
				t.Errorf("error %q at %s, want invalid_request", got, page.URL.Path)
			}
		})
	}
}

func TestLogoutReturnsToTheApplication(t *testing.T) {
	w := newWorld(t)
	got := w.signIn()
	page := browser.New(t).Get(w.provider + "/end_session?" + url.Values{
		"id_token_hint": {got.IDToken}, "post_logout_redirect_uri": {w.app + "/"},
	}.Encode())
	if !strings.HasPrefix(page.URL.String(), w.app) || page.Status != http.StatusOK {
		t.Errorf("logout ended at %s: %d %s", page.URL, page.Status, page.Body)
	}
}

func TestUnknownSignInIsExplained(t *testing.T) {
	w := newWorld(t)
	page := browser.New(t).Get(w.provider + "/signin?request=gone")
	if page.Status != http.StatusBadRequest || !strings.Contains(page.Body, "expired") {
		t.Errorf("status %d: %s", page.Status, page.Body)
	}
}
