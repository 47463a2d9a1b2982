package echoadapter_test

import (
	"bytes"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gorilla/securecookie"
	"github.com/gorilla/sessions"
	"github.com/labstack/echo/v4"

	"github.com/tokenwell/tokenwell/core"
	"github.com/tokenwell/tokenwell/core/coretest"
	"github.com/tokenwell/tokenwell/echoadapter"
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

// whoami is a handler that shows the user.
var whoami = echoadapter.Handle(func(c *echoadapter.Context) error {
	user, err := c.User()
	if err != nil {
		return err
	}
	return c.String(http.StatusOK, user.Subject)
})

func TestMountElsewhere(t *testing.T) {
	t.Parallel()
	p := newProvider(t, coretest.AppURL+"/oidc/back")
	m := newManager(t, p)
	e := echo.New()
	echoadapter.Mount(e, m, cookieStore(t), echoadapter.Options{Login: "/in", Callback: "/oidc/back", Logout: "/out"})
	e.GET("/", whoami)
	b := coretest.NewBrowser(t, e)
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
	e := echo.New()
	echoadapter.Mount(e.Group("/app"), m, cookieStore(t), echoadapter.Options{Login: "-", Logout: "-"})
	b := coretest.NewBrowser(t, e)
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
	e := echo.New()
	echoadapter.Mount(e, m, cookieStore(t), echoadapter.Options{Login: "-"})
	e.GET("/", whoami)
	if page := coretest.NewBrowser(t, e).Open("/"); page.Status != http.StatusUnauthorized {
		t.Errorf("got %s, which leads to %q", page, page.Header.Get("Location"))
	}
}

func TestCookieOverPlainHTTP(t *testing.T) {
	t.Parallel()
	m := newManager(t, newProvider(t, "http://app.internal/callback"))
	for name, secure := range map[string]bool{"": false, "__Host-app": true} {
		e := echo.New()
		echoadapter.Mount(e, m, cookieStore(t), echoadapter.Options{SessionName: name})
		w := httptest.NewRecorder()
		e.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/login", nil))
		set := w.Result().Cookies()
		if len(set) != 1 {
			t.Fatalf("%d cookies", len(set))
		}
		c := set[0]
		if c.Secure != secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" {
			t.Errorf("%s: %s", name, c)
		}
		if name == "" && c.Name != "tokenwell" {
			t.Errorf("a browser drops %s over http", c.Name)
		}
	}
}

func TestCookieStoresOwnOptionsDoNotWin(t *testing.T) {
	t.Parallel()
	m := newManager(t, newProvider(t, coretest.AppURL+"/callback"))
	for _, name := range []string{"__Host-app", "app"} {
		store := sessions.NewCookieStore(securecookie.GenerateRandomKey(32))
		store.Options = &sessions.Options{Path: "/app", Domain: "app.test", SameSite: http.SameSiteNoneMode, MaxAge: 77}
		e := echo.New()
		echoadapter.Mount(e, m, store, echoadapter.Options{SessionName: name})
		w := httptest.NewRecorder()
		e.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/login", nil))
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

// A session that the server no longer has, by its age or a clean-up, is an empty
// one: its browser can sign in.
func TestSessionWhoseFileIsGoneIsEmpty(t *testing.T) {
	t.Parallel()
	m := newManager(t, newProvider(t, coretest.AppURL+"/callback"))
	dir := t.TempDir()
	e := echo.New()
	echoadapter.Mount(e, m, sessions.NewFilesystemStore(dir, securecookie.GenerateRandomKey(32)))
	e.GET("/", whoami)
	b := coretest.NewBrowser(t, e)
	b.Login("alice")
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(files) == 0 {
		t.Fatal("no session was kept", err)
	}
	for _, file := range files {
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
	if page := b.Fetch(http.MethodGet, "/", nil); page.Status != http.StatusUnauthorized {
		t.Fatalf("got %s", page)
	}
	b.Login("alice")
}

func TestWithoutStoreIsSaid(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	m := newManager(t, newProvider(t, coretest.AppURL+"/callback"), func(cfg *core.Config) {
		cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
	})
	e := echo.New()
	echoadapter.Mount(e, m, nil)
	e.GET("/", whoami)
	w := httptest.NewRecorder()
	e.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	if w.Code < 500 {
		t.Errorf("answered %d %s", w.Code, w.Body)
	}
	if !strings.Contains(log.String(), "no session store: give Mount one") {
		t.Errorf("the log does not say what to do: %s", &log)
	}
}

func TestErrorsReachEcho(t *testing.T) {
	t.Parallel()
	m := newManager(t, newProvider(t, coretest.AppURL+"/callback"))
	plain := errors.New("plain")
	e := echo.New()
	var handled []error
	alive := false
	e.HTTPErrorHandler = func(err error, c echo.Context) {
		if c.Response().Committed { // as Echo's own does
			return
		}
		handled = append(handled, err)
		alive = c.Request().Context().Err() == nil
		_ = c.NoContent(http.StatusTeapot)
	}
	echoadapter.Mount(e, m, cookieStore(t))
	e.GET("/plain", echoadapter.Handle(func(*echoadapter.Context) error { return plain }))
	e.GET("/user", whoami)
	e.GET("/closed", func(echo.Context) error {
		t.Error("a handler ran behind one that failed")
		return nil
	}, echoadapter.RequireLogin())
	for path, status := range map[string]int{"/plain": http.StatusTeapot, "/user": 401, "/closed": 401} {
		handled = nil
		w := httptest.NewRecorder()
		e.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		if w.Code != status {
			t.Errorf("%s: %d", path, w.Code)
		}
		if want := status == http.StatusTeapot; want && (len(handled) != 1 || !errors.Is(handled[0], plain) || !alive) || !want && len(handled) != 0 {
			t.Errorf("%s: Echo was left to handle %v, its request alive: %t", path, handled, alive)
		}
	}
}
