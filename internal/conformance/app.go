package conformance

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/tokenwell/tokenwell/core"
	"github.com/tokenwell/tokenwell/core/coretest"
)

// app is an application under test, with its provider, its API and its first
// user's browser.
type app struct {
	*testing.T
	f       Framework
	p       *coretest.Provider
	m       *core.Manager
	store   *watchedStore
	api     *httptest.Server
	called  atomic.Int32 // how often the API has let somebody in
	handler http.Handler
	b       *coretest.Browser

	sessionFault atomic.Pointer[error]
}

// options change what newApp makes.
type options struct {
	provider coretest.Options
	config   func(*app, *core.Config)
	routes   []Route // further ones
}

func newApp(t *testing.T, f Framework, opts ...options) *app {
	t.Helper()
	var o options
	if len(opts) > 0 {
		o = opts[0]
	}
	if o.provider.Algorithm == "" {
		o.provider.Algorithm = "ES256" // its keys are made in no time
	}
	if f.Prefix != "" {
		o.provider.RedirectURLs = []string{coretest.AppURL + f.Prefix + "/callback"}
	}
	a := &app{T: t, f: f, store: newWatchedStore()}
	a.p = coretest.NewProvider(t, o.provider)
	a.api = a.p.Protect(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.called.Add(1)
		fmt.Fprintf(w, "%s of %s", r.URL.Path, coretest.TokenOf(r).Subject)
	}))
	a.m = a.manager(a.p, func(cfg *core.Config) {
		if o.config != nil {
			o.config(a, cfg)
		}
	})
	a.handler = a.mount(a.m, o.routes...)
	a.b = a.browser()
	return a
}

// manager makes a manager at a provider, with the application's store and API.
func (a *app) manager(p *coretest.Provider, change func(*core.Config)) *core.Manager {
	a.Helper()
	cfg := p.Config()
	cfg.Store = a.store
	cfg.Logger = slog.New(slog.DiscardHandler)
	cfg.HTTPClients = map[string]core.HTTPClient{
		"orders": {BaseURL: a.api.URL + "/orders", Token: core.UserToken()},
	}
	change(&cfg)
	m, err := core.New(a.Context(), cfg)
	if err != nil {
		a.Fatal(err)
	}
	a.Cleanup(func() { _ = m.Close(a.Context()) })
	return m
}

// mount builds the application around a source of managers, and watches what it
// sends to browsers.
func (a *app) mount(src core.ManagerSource, more ...Route) http.Handler {
	a.Helper()
	routes := append([]Route{
		{Path: "/home", Handle: home},
		{Path: "/public", Handle: func(_ Context, w http.ResponseWriter, _ *http.Request) error {
			_, err := io.WriteString(w, "public")
			return err
		}},
		{Path: "/account", RequireLogin: true, Handle: home},
		{Path: "/orders", Handle: orders},
		{Path: "/me", Handle: me},
		{Path: "/broken", Handle: func(Context, http.ResponseWriter, *http.Request) error {
			return errors.New("a plain error, with " + plainSecret)
		}},
		{Path: "/keep", Handle: func(c Context, w http.ResponseWriter, r *http.Request) error {
			return a.f.Keep(c, w, r, r.URL.Query().Get("value"))
		}},
		{Path: "/kept", Handle: func(c Context, w http.ResponseWriter, r *http.Request) error {
			_, err := io.WriteString(w, a.f.Kept(c, r))
			return err
		}},
	}, more...)
	return a.watch(a.f.Mount(a.T, Setup{Source: src, Routes: routes, SessionFault: func() error {
		if err := a.sessionFault.Load(); err != nil {
			return *err
		}
		return nil
	}}))
}

const plainSecret = "things that are not for browsers"

// home shows who is signed in, and is for everybody.
func home(c Context, w http.ResponseWriter, _ *http.Request) error {
	user, err := c.User()
	switch {
	case errors.Is(err, core.ErrLoginRequired):
		_, err = io.WriteString(w, "nobody")
	case err == nil:
		_, err = io.WriteString(w, user.Subject)
	}
	return err
}

// orders shows what the API has for the user.
func orders(c Context, w http.ResponseWriter, _ *http.Request) error {
	resp, err := c.HTTPClient("orders").Get("list")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	w.WriteHeader(resp.StatusCode)
	_, err = io.Copy(w, resp.Body)
	return err
}

// me is an endpoint for scripts.
func me(c Context, w http.ResponseWriter, _ *http.Request) error {
	user, err := c.User()
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(map[string]string{"sub": user.Subject})
}

func (a *app) browser() *coretest.Browser {
	a.Helper()
	return coretest.NewBrowser(a.T, a.handler)
}

func (a *app) path(p string) string { return a.f.Prefix + p }

// loginPath is that of a login that ends at a page of the application.
func (a *app) loginPath(returnTo string) string {
	return a.path("/login?return_to=") + url.QueryEscape(a.path(returnTo))
}

// login signs a user in, and shows home.
func (a *app) login(b *coretest.Browser, user string) *coretest.Page {
	a.Helper()
	page := b.LoginAt(a.loginPath("/home"), user)
	if page.Body != user {
		a.Fatalf("signed in as %s, but home shows %s", user, page)
	}
	return page
}

func (a *app) logout(b *coretest.Browser) *coretest.Page {
	a.Helper()
	return b.Post(a.path("/logout"), url.Values{})
}

// start begins a login and returns where at the provider it leads to.
func (a *app) start(b *coretest.Browser) *url.URL {
	a.Helper()
	page := b.Open(a.loginPath("/home"))
	to := page.Location()
	if page.Status != http.StatusFound || to == nil || !strings.HasPrefix(to.String(), a.p.URL(coretest.AuthorizationEndpoint)) {
		a.Fatalf("no login was started: %s", page)
	}
	return to
}

// sign signs a user in at the provider, in a browser of no interest, and returns
// the authorization response.
func (a *app) sign(at *url.URL, user string) url.Values {
	a.Helper()
	return a.submit(at, url.Values{"user": {user}})
}

// submit sends the provider's form and returns the authorization response.
func (a *app) submit(at *url.URL, form url.Values) url.Values {
	a.Helper()
	client := http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := client.PostForm(at.String(), form)
	if err != nil {
		a.Fatal(err)
	}
	defer resp.Body.Close()
	back, err := resp.Location()
	if err != nil {
		a.Fatalf("no authorization response, but %s", resp.Status)
	}
	return back.Query()
}

// finish brings an authorization response to the callback and returns its answer.
func (a *app) finish(b *coretest.Browser, answer url.Values) *coretest.Page {
	a.Helper()
	return b.Open(a.path("/callback?") + answer.Encode())
}

// wantUser fails unless the browser is signed in as user, or as nobody if that is
// "".
func (a *app) wantUser(b *coretest.Browser, user string) {
	a.Helper()
	if user == "" {
		user = "nobody"
	}
	if page := b.Get(a.path("/home")); page.Body != user {
		a.Errorf("signed in: %s, want %s", page, user)
	}
}

// wantRefused fails unless page is a callback's refusal: 400, a page that offers a
// fresh login, of which nothing is kept anywhere.
func (a *app) wantRefused(page *coretest.Page) {
	a.Helper()
	if page.Status != http.StatusBadRequest {
		a.Errorf("status of a refusal: %s", page)
	}
	if login := `href="` + a.path("/login") + `"`; !strings.Contains(page.Body, login) {
		a.Errorf("the refusal offers no login: %s", page)
	}
	if cookies := page.Cookies(); len(cookies) != 0 {
		a.Errorf("the refusal touches the session: %v", cookies)
	}
	a.wantNotKept(page)
}

// wantNotKept fails unless no cache keeps page and no Referer repeats its URL.
func (a *app) wantNotKept(page *coretest.Page) {
	a.Helper()
	if got := page.Header.Get("Cache-Control"); got != "no-store" {
		a.Errorf("Cache-Control: %q in %s", got, page)
	}
	if got := page.Header.Get("Referrer-Policy"); got != "no-referrer" {
		a.Errorf("Referrer-Policy: %q in %s", got, page)
	}
}

// wantJSON fails unless page is this status with {"error": code}.
func (a *app) wantJSON(page *coretest.Page, status int, code string) {
	a.Helper()
	if page.Status != status || strings.TrimSpace(page.Body) != `{"error":"`+code+`"}` {
		a.Errorf("got %s, want %d and %s", page, status, code)
	}
	if got := page.Header.Get("Content-Type"); got != "application/json" {
		a.Errorf("Content-Type: %q in %s", got, page)
	}
	if got := page.Header.Get("Cache-Control"); got != "no-store" {
		a.Errorf("Cache-Control: %q in %s", got, page)
	}
}

// wantLoginRedirect fails unless page is a redirect to the login, and back to path.
func (a *app) wantLoginRedirect(page *coretest.Page, path string) {
	a.Helper()
	to := page.Location()
	if page.Status != http.StatusFound || to == nil || to.Path != a.path("/login") || to.Host != "app.test" ||
		to.Query().Get("return_to") != a.path(path) {
		a.Errorf("got %s, want a redirect to the login and back to %s", page, path)
	}
	if got := page.Header.Get("Cache-Control"); got != "no-store" {
		a.Errorf("Cache-Control: %q in %s", got, page)
	}
}

// failSessions makes the store of browser sessions fail; nil heals it.
func (a *app) failSessions(err error) {
	if err == nil {
		a.sessionFault.Store(nil)
		return
	}
	a.sessionFault.Store(&err)
}
