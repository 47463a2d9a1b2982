package interop_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tokenwell/tokenwell/core"
	"github.com/tokenwell/tokenwell/internal/interop/browser"
	"github.com/tokenwell/tokenwell/internal/interop/provider"
)

// application is a web application on plain net/http, with an API behind it and a real provider before it.
type application struct {
	url     string
	idp     *provider.Server
	api     *api
	manager *core.Manager
	meta    struct {
		Token         string `json:"token_endpoint"`
		Introspection string `json:"introspection_endpoint"`
		EndSession    string `json:"end_session_endpoint"`
	}

	mu     sync.Mutex
	failed error            // of the last call that failed
	ended  []core.EndReason // sessions that ended
	issued []string         // refresh tokens, in the order in which the provider gave them

	answered time.Time // when the token endpoint last gave tokens
}

// starter starts a provider for an application at this address.
type starter func(t *testing.T, app string) *provider.Server

func newApplication(t *testing.T, start starter) *application {
	t.Helper()
	var handler http.Handler
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handler.ServeHTTP(w, r) }))
	t.Cleanup(srv.Close)

	a := &application{url: srv.URL}
	a.idp = start(t, a.url)
	a.discover(t)
	a.api = newAPI(t, a.meta.Introspection, a.idp.API)

	m, err := core.New(t.Context(), core.Config{
		Issuer:       a.idp.Issuer,
		ClientID:     a.idp.Web.ID,
		ClientSecret: a.idp.Web.Secret,
		RedirectURL:  a.url + "/callback",
		Scopes:       a.idp.Scopes,
		// OpenID Connect Core 11: offline access is for those who consent to it. oidc-provider means it.
		LoginParams: url.Values{"prompt": {"consent"}},
		HTTPClients: map[string]core.HTTPClient{
			"orders": {BaseURL: a.api.url, Token: core.UserToken()},
		},
		OnSessionEnd: func(_ context.Context, _ *core.User, why core.EndReason) {
			a.mu.Lock()
			defer a.mu.Unlock()
			a.ended = append(a.ended, why)
		},
		Backchannel: &http.Client{Timeout: 30 * time.Second, Transport: listening{a}},
		Logger:      slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := m.Close(ctx); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	a.manager = m
	handler = a.routes()
	return a
}

func (a *application) routes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /login", core.LoginHandler(a.manager))
	mux.Handle("GET /callback", core.CallbackHandler(a.manager))
	mux.Handle("POST /logout", core.LogoutHandler(a.manager))
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `<form method="post" action="/logout"><button name="leave">Sign out</button></form>`)
	})
	mux.HandleFunc("GET /orders", func(w http.ResponseWriter, r *http.Request) {
		if err := a.orders(w, r); err != nil {
			a.mu.Lock()
			a.failed = err
			a.mu.Unlock()
			if core.ServeError(w, r, err) {
				return
			}
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})
	return core.Middleware(a.manager, newSessions().open)(mux)
}

func (a *application) orders(w http.ResponseWriter, r *http.Request) error {
	req, err := http.NewRequestWithContext(r.Context(), http.MethodGet, "list", http.NoBody)
	if err != nil {
		return err
	}
	resp, err := a.manager.HTTPClient("orders").Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	w.WriteHeader(resp.StatusCode)
	_, err = io.Copy(w, resp.Body)
	return err
}

func (a *application) discover(t *testing.T) {
	t.Helper()
	resp, err := http.Get(a.idp.Issuer + "/.well-known/openid-configuration")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if err := json.NewDecoder(resp.Body).Decode(&a.meta); err != nil {
		t.Fatal(err)
	}
}

// signIn opens the orders in a new browser, as a user who is not signed in, and fills in the provider's form.
func (a *application) signIn(t *testing.T, user string) *browser.Browser {
	t.Helper()
	b := browser.New(t)
	page := b.Open(a.url + "/orders")
	page = page.Form("username", "password").Fill("username", user).Fill("password", a.idp.Users[user]).Submit()
	if page.URL.String() != a.url+"/orders" || page.Status != http.StatusOK || page.Body != "orders of "+user {
		t.Fatalf("after signing in: %s\n%s", page, a.idp.Output())
	}
	return b
}

// fetchOrders gets the orders as a script would, and fails unless they are this user's.
func (a *application) fetchOrders(t *testing.T, b *browser.Browser, user string) {
	t.Helper()
	status, body, err := b.Fetch(t.Context(), http.MethodGet, a.url+"/orders")
	if err != nil || status != http.StatusOK || body != "orders of "+user {
		t.Fatalf("orders: %d %q, %v\n%s", status, body, err, a.idp.Output())
	}
}

// awaitExpiry waits until the API's last token is dead for everybody: the provider says so, and its announced life is
// over. The two differ by up to a second, for exp is in whole seconds. It wakes nothing up in the library.
func (a *application) awaitExpiry(t *testing.T) {
	t.Helper()
	token := a.api.lastToken()
	a.mu.Lock()
	announced := a.answered.Add(a.idp.AccessTTL)
	a.mu.Unlock()
	a.api.awaitDead(t, token, announced)
}

// refreshByHand sends a refresh token past the library and returns the OAuth error code, "" for success.
func (a *application) refreshByHand(t *testing.T, token string) string {
	t.Helper()
	form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, a.meta.Token, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(a.idp.Web.ID, a.idp.Web.Secret)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var answer struct{ Error string }
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		t.Fatalf("%s: %v", resp.Status, err)
	}
	return answer.Error
}

// refreshTokens are those that the provider has given, the oldest first.
func (a *application) refreshTokens() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]string(nil), a.issued...)
}

func (a *application) lastError() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.failed
}

func (a *application) endReasons() []core.EndReason {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]core.EndReason(nil), a.ended...)
}

// listening is the way to the provider, overhearing the refresh tokens that come back: the library shows them to nobody.
type listening struct{ app *application }

func (l listening) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil || r.URL.String() != l.app.meta.Token {
		return resp, err
	}
	body, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil {
		return nil, fmt.Errorf("token answer: %w", err)
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	var answer struct {
		RefreshToken string `json:"refresh_token"`
	}
	if json.Unmarshal(body, &answer) == nil && answer.RefreshToken != "" {
		l.app.mu.Lock()
		l.app.answered = time.Now()
		l.app.issued = append(l.app.issued, answer.RefreshToken)
		l.app.mu.Unlock()
	}
	return resp, nil
}
