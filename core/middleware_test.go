package core_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/tokenwell/tokenwell/core"
	"github.com/tokenwell/tokenwell/core/coretest"
)

func TestMiddlewareCarriesManagerAndUser(t *testing.T) {
	t.Parallel()
	r := newLoginRig(t, coretest.Options{})
	s := newLoginSession()
	r.login(s, "alice")
	opened := 0
	open := func(http.ResponseWriter, *http.Request) (core.Session, error) {
		opened++
		return s, nil
	}
	var later context.Context
	h := core.Middleware(r.m, open)(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		later = q.Context()
		if core.From(q.Context()) != r.m {
			t.Error("another manager")
		}
		user, err := core.From(q.Context()).User(q.Context())
		if err != nil || user.Subject != "alice" {
			t.Errorf("%v, %v", user, err)
		}
		w.WriteHeader(http.StatusAccepted)
	}))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	if w.Code != http.StatusAccepted || opened != 1 {
		t.Errorf("%d, the session was opened %d times", w.Code, opened)
	}
	if later.Err() == nil {
		t.Error("the context outlives the request")
	}
	if _, err := r.m.HTTPClientFor(later, "none").Get("x"); err == nil {
		t.Error("a client of it works")
	}
}

// A session that cannot be opened is the answer to whoever asks for a token, and
// to nobody else.
func TestMiddlewareWithoutSession(t *testing.T) {
	t.Parallel()
	r := newLoginRig(t, coretest.Options{})
	down := errors.New("down")
	open := func(http.ResponseWriter, *http.Request) (core.Session, error) { return nil, down }
	mux := http.NewServeMux()
	mux.HandleFunc("/public", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/user", func(w http.ResponseWriter, q *http.Request) {
		_, err := r.m.User(q.Context())
		if !errors.Is(err, down) || errors.Is(err, core.ErrLoginRequired) {
			t.Errorf("User: %v", err)
		}
		if _, err := r.m.GetUserAccessToken(q.Context()); !errors.Is(err, down) {
			t.Errorf("GetUserAccessToken: %v", err)
		}
		if _, err := r.m.Ticket(q.Context()); !errors.Is(err, down) {
			t.Errorf("Ticket: %v", err)
		}
		core.ServeError(w, q, err)
	})
	mux.Handle("/login", core.LoginHandler(r.m))
	mux.Handle("/callback", core.CallbackHandler(r.m))
	mux.Handle("POST /logout", core.LogoutHandler(r.m))
	h := core.Middleware(r.m, open)(mux)
	for target, want := range map[string]int{"GET /public": 200, "GET /user": 503, "GET /login": 503, "GET /callback?state=x": 503, "POST /logout": 503} {
		method, path, _ := strings.Cut(target, " ")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, navigating(method, path))
		if w.Code != want {
			t.Errorf("%s: %d, want %d", target, w.Code, want)
		}
	}
}

func TestMiddlewareWithoutManager(t *testing.T) {
	t.Parallel()
	none := errors.New("words that are not for browsers")
	for what, src := range map[string]core.ManagerSource{
		"an error":       core.ManagerFunc(func(*http.Request) (*core.Manager, error) { return nil, none }),
		"nothing":        core.ManagerFunc(func(*http.Request) (*core.Manager, error) { return nil, nil }),
		"a nil *Manager": (*core.Manager)(nil),
	} {
		h := core.Middleware(src, func(http.ResponseWriter, *http.Request) (core.Session, error) {
			t.Errorf("%s: a session is opened for nobody", what)
			return nil, none
		})(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Errorf("%s: the handler runs", what) }))
		w := httptest.NewRecorder()
		h.ServeHTTP(w, navigating("GET", "/"))
		if w.Code != http.StatusInternalServerError || strings.Contains(w.Body.String(), none.Error()) {
			t.Errorf("%s: %d %s", what, w.Code, w.Body)
		}
	}
	// A tenant's manager that cannot be had now can perhaps be had later.
	src := core.ManagerFunc(func(*http.Request) (*core.Manager, error) { return nil, &core.Error{Op: "discovery", Status: 503} })
	w := httptest.NewRecorder()
	core.Middleware(src, coretest.Sessions())(nil).ServeHTTP(w, navigating("GET", "/"))
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("an outage: %d %v", w.Code, w.Header())
	}
}

func TestHandlersNeedMiddleware(t *testing.T) {
	t.Parallel()
	r := newLoginRig(t, coretest.Options{})
	for target, h := range map[string]http.Handler{
		"GET /login": core.LoginHandler(r.m), "GET /callback?state=x": core.CallbackHandler(r.m), "POST /logout": core.LogoutHandler(r.m),
	} {
		method, path, _ := strings.Cut(target, " ")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, navigating(method, path))
		if w.Code != http.StatusInternalServerError || !strings.Contains(w.Body.String(), "internal_error") {
			t.Errorf("%s: %d %s", target, w.Code, w.Body)
		}
	}
}

// Middlewares of two managers, one inside the other, keep their users apart.
func TestMiddlewareOfTwoManagers(t *testing.T) {
	t.Parallel()
	a, b := newLoginRig(t, coretest.Options{}), newLoginRig(t, coretest.Options{ClientID: "other"})
	sa, sb := newLoginSession(), newLoginSession()
	a.login(sa, "alice")
	b.login(sb, "bob")
	opening := func(s core.Session) core.SessionFunc {
		return func(http.ResponseWriter, *http.Request) (core.Session, error) { return s, nil }
	}
	asked := false
	h := core.Middleware(a.m, opening(sa))(core.Middleware(b.m, opening(sb))(http.HandlerFunc(func(_ http.ResponseWriter, q *http.Request) {
		asked = true
		if core.From(q.Context()) != b.m {
			t.Error("From finds the outer manager")
		}
		for m, want := range map[*core.Manager]string{a.m: "alice", b.m: "bob"} {
			if user, err := m.User(q.Context()); err != nil || user.Subject != want {
				t.Errorf("%v, %v, want %s", user, err, want)
			}
		}
	})))
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
	if !asked {
		t.Error("the handler did not run")
	}
}

func TestCallbackPath(t *testing.T) {
	t.Parallel()
	for redirectURL, want := range map[string]string{
		"": "/callback", "https://app.test/callback": "/callback", "https://app.test/a/b?tenant=x": "/a/b", "https://app.test": "/callback",
	} {
		r := newLoginRig(t, coretest.Options{}, func(cfg *core.Config) { cfg.RedirectURL = redirectURL })
		if got := r.m.CallbackPath(); got != want {
			t.Errorf("%q: %q, want %q", redirectURL, got, want)
		}
	}
	if got := (*core.Manager)(nil).CallbackPath(); got != "/callback" {
		t.Errorf("of nil: %q", got)
	}
}

func TestSessionCookieIsStrict(t *testing.T) {
	t.Parallel()
	for redirectURL, secure := range map[string]bool{"https://app.test/callback": true, "http://localhost:8080/callback": false} {
		r := newLoginRig(t, coretest.Options{}, func(cfg *core.Config) { cfg.RedirectURL = redirectURL })
		c := r.m.SessionCookie()
		if c.Secure != secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" || c.Name != "" || c.Value != "" {
			t.Errorf("%s: %+v", redirectURL, c)
		}
	}
}

func TestMiddlewareWithoutSessionsIsAFaultOfTheProgram(t *testing.T) {
	t.Parallel()
	defer func() {
		if recover() == nil {
			t.Error("a nil SessionFunc was taken")
		}
	}()
	core.Middleware(core.ManagerFunc(func(*http.Request) (*core.Manager, error) { return nil, core.ErrNoManager }), nil)
}
