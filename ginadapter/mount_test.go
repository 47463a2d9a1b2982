package ginadapter_test

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gin-contrib/sessions"
	"github.com/gin-gonic/gin"

	"github.com/tokenwell/tokenwell/core"
	"github.com/tokenwell/tokenwell/core/coretest"
	"github.com/tokenwell/tokenwell/ginadapter"
)

func newProvider(t *testing.T, redirectURL string) *coretest.Provider {
	t.Helper()
	return coretest.NewProvider(t, coretest.Options{Algorithm: "ES256", RedirectURLs: []string{redirectURL}})
}

func newManager(t *testing.T, p *coretest.Provider, change ...func(*core.Config)) *core.Manager {
	t.Helper()
	cfg := p.Config()
	cfg.Logger = slog.New(slog.DiscardHandler)
	for _, f := range change {
		f(&cfg)
	}
	m, err := core.New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// engineWithSessions has sessions in a cookie of that name.
func engineWithSessions(t *testing.T, name string) *gin.Engine {
	t.Helper()
	engine := gin.New()
	engine.Use(sessions.Sessions(name, encryptedCookies(t)))
	return engine
}

// whoami is a handler that shows the user.
var whoami = ginadapter.Handle(func(c *ginadapter.Context) error {
	user, err := c.User()
	if err != nil {
		return err
	}
	c.String(http.StatusOK, user.Subject)
	return nil
})

func TestPlainGinContextServesAsContext(t *testing.T) {
	t.Parallel()
	p := newProvider(t, coretest.AppURL+"/callback")
	api := p.Protect(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, coretest.TokenOf(r).Subject)
	}))
	m := newManager(t, p, func(cfg *core.Config) {
		cfg.HTTPClients = map[string]core.HTTPClient{"api": {BaseURL: api.URL, Token: core.UserToken()}}
	})
	engine := engineWithSessions(t, cookieName)
	ginadapter.Mount(engine, m)
	outlived := make(chan error, 1)
	engine.GET("/", whoami)
	engine.GET("/plain", func(c *gin.Context) {
		if core.From(c) != m {
			t.Error("From finds no manager in a *gin.Context")
		}
		tok, err := m.GetUserAccessToken(c)
		if err != nil {
			core.ServeError(c.Writer, c.Request, err)
			return
		}
		if live := p.AccessTokens("alice"); len(live) != 1 || live[0] != tok.AccessToken {
			t.Error("not alice's token")
		}
		user, err := m.User(c)
		if err != nil || user.Subject != "alice" {
			t.Errorf("%v, %v", user, err)
		}
		for what, client := range map[string]*http.Client{"bound": m.HTTPClientFor(c, "api"), "shared": m.HTTPClient("api")} {
			r, err := http.NewRequestWithContext(c, http.MethodGet, "", nil)
			if err != nil {
				t.Error(err)
				continue
			}
			resp, err := client.Do(r)
			if err != nil {
				t.Errorf("%s: %v", what, err)
				continue
			}
			if body, _ := io.ReadAll(resp.Body); string(body) != "alice" {
				t.Errorf("%s: %q", what, body)
			}
			resp.Body.Close()
		}
		copied, done := c.Copy(), c.Request.Context().Done()
		go func() {
			<-done
			_, err := m.HTTPClientFor(copied, "api").Get("")
			outlived <- err
		}()
		c.String(http.StatusOK, "done")
	})
	b := coretest.NewBrowser(t, engine)
	if page := b.Fetch(http.MethodGet, "/plain", nil); page.Status != http.StatusUnauthorized {
		t.Errorf("nobody: %s", page)
	}
	b.Login("alice")
	if page := b.Get("/plain"); page.Body != "done" {
		t.Fatal(page)
	}
	if err := <-outlived; err == nil {
		t.Error("a client made of a copy still works when the request is over")
	}
}

func TestMountElsewhere(t *testing.T) {
	t.Parallel()
	p := newProvider(t, coretest.AppURL+"/oidc/back")
	m := newManager(t, p)
	engine := engineWithSessions(t, cookieName)
	ginadapter.Mount(engine, m, ginadapter.Options{Login: "/in", Callback: "/oidc/back", Logout: "/out"})
	engine.GET("/", whoami)
	b := coretest.NewBrowser(t, engine)
	page := b.Open("/")
	if to := page.Location(); to == nil || to.Path != "/in" {
		t.Fatalf("sent to %s", page)
	}
	if page := b.LoginAt("/in?return_to=/in", "alice"); page.Body != "alice" || page.URL.Path != "/" {
		t.Errorf("login: %s", page)
	}
	if page := b.Open("/callback?state=x"); page.Status != http.StatusNotFound {
		t.Errorf("the default callback: %s", page)
	}
	page = b.Post("/out", nil)
	if page.Status != http.StatusOK || b.Fetch(http.MethodGet, "/", nil).Status != http.StatusUnauthorized {
		t.Errorf("logout: %s", page)
	}
}

// A callback that is not named is where Config.RedirectURL says, in a group too.
func TestMountOnGroupWithoutLogin(t *testing.T) {
	t.Parallel()
	p := newProvider(t, coretest.AppURL+"/app/callback")
	m := newManager(t, p)
	engine := engineWithSessions(t, cookieName)
	ginadapter.Mount(engine.Group("/app"), m, ginadapter.Options{Login: "-", Logout: "-"})
	b := coretest.NewBrowser(t, engine)
	if page := b.Open("/app/callback?state=x"); page.Status != http.StatusBadRequest {
		t.Errorf("the callback: %s", page)
	}
	for _, path := range []string{"/app/login", "/app/-", "/app-"} {
		if page := b.Open(path); page.Status != http.StatusNotFound {
			t.Errorf("%s: %s", path, page)
		}
	}
}

// Where no login is mounted nobody can be sent to it.
func TestNoLoginMountedIsNoRedirect(t *testing.T) {
	t.Parallel()
	m := newManager(t, newProvider(t, coretest.AppURL+"/callback"))
	engine := engineWithSessions(t, cookieName)
	ginadapter.Mount(engine, m, ginadapter.Options{Login: "-"})
	engine.GET("/", whoami)
	if page := coretest.NewBrowser(t, engine).Open("/"); page.Status != http.StatusUnauthorized {
		t.Errorf("got %s, which leads to %q", page, page.Header.Get("Location"))
	}
}

func TestCookieOverPlainHTTP(t *testing.T) {
	t.Parallel()
	m := newManager(t, newProvider(t, "http://app.internal/callback"))
	for name, secure := range map[string]bool{"app": false, "__Host-app": true} {
		engine := engineWithSessions(t, name)
		ginadapter.Mount(engine, m)
		w := httptest.NewRecorder()
		engine.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/login", nil))
		set := w.Result().Cookies()
		if len(set) != 1 {
			t.Fatalf("%d cookies", len(set))
		}
		if c := set[0]; c.Secure != secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" {
			t.Errorf("%s: %s", name, c)
		}
	}
}

func TestCookieStoresOwnOptionsDoNotWin(t *testing.T) {
	t.Parallel()
	m := newManager(t, newProvider(t, coretest.AppURL+"/callback"))
	for _, name := range []string{cookieName, "app"} {
		store := encryptedCookies(t)
		store.Options(sessions.Options{Path: "/app", Domain: "app.test", SameSite: http.SameSiteNoneMode, MaxAge: 77})
		engine := gin.New()
		engine.Use(sessions.Sessions(name, store))
		ginadapter.Mount(engine, m)
		w := httptest.NewRecorder()
		engine.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/login", nil))
		c := w.Result().Cookies()[0]
		if !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" {
			t.Errorf("the cookie is %s", c)
		}
		if c.MaxAge != 77 {
			t.Errorf("MaxAge = %d: that is the store's to say", c.MaxAge)
		}
		if want := map[string]string{"app": "app.test"}[name]; c.Domain != want {
			t.Errorf("%s: Domain = %q, want %q", name, c.Domain, want)
		}
	}
}

func TestWithoutSessionsIsSaid(t *testing.T) {
	t.Parallel()
	p := newProvider(t, coretest.AppURL+"/callback")
	for what, test := range map[string]struct {
		use  func(*gin.Engine)
		opts ginadapter.Options
		want string
	}{
		"no sessions":        {func(*gin.Engine) {}, ginadapter.Options{}, "sessions.Sessions"},
		"none of that name":  {several(t), ginadapter.Options{SessionName: "third"}, "third"},
		"none named of many": {several(t), ginadapter.Options{}, "SessionName"},
	} {
		var log bytes.Buffer
		m := newManager(t, p, func(cfg *core.Config) { cfg.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
		engine := gin.New()
		test.use(engine)
		ginadapter.Mount(engine, m, test.opts)
		engine.GET("/", whoami)
		w := httptest.NewRecorder()
		engine.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
		if w.Code < 500 {
			t.Errorf("%s: answered %d %s", what, w.Code, w.Body)
		}
		if !strings.Contains(log.String(), test.want) {
			t.Errorf("%s: the log does not say what to do: %s", what, &log)
		}
	}
}

func several(t *testing.T) func(*gin.Engine) {
	return func(engine *gin.Engine) {
		engine.Use(sessions.SessionsMany([]string{"first", "second"}, encryptedCookies(t)))
	}
}

func TestErrorsReachGin(t *testing.T) {
	t.Parallel()
	m := newManager(t, newProvider(t, coretest.AppURL+"/callback"))
	plain := errors.New("plain")
	engine := engineWithSessions(t, cookieName)
	var seen []error
	engine.Use(func(c *gin.Context) {
		c.Next()
		for _, e := range c.Errors {
			seen = append(seen, e.Err)
		}
	})
	ginadapter.Mount(engine, m)
	next := func(c *gin.Context) { t.Error("a handler ran behind one that failed") }
	engine.GET("/plain", ginadapter.Handle(func(*ginadapter.Context) error { return plain }), next)
	engine.GET("/user", whoami, next)
	engine.GET("/closed", ginadapter.RequireLogin(), next)
	for path, status := range map[string]int{"/plain": 500, "/user": 401, "/closed": 401} {
		seen = nil
		w := httptest.NewRecorder()
		engine.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		if w.Code != status || len(seen) != 1 {
			t.Errorf("%s: %d, errors %v", path, w.Code, seen)
			continue
		}
		if want := map[int]error{500: plain, 401: core.ErrLoginRequired}[status]; !errors.Is(seen[0], want) {
			t.Errorf("%s: error %v", path, seen[0])
		}
	}
}
