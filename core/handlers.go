package core

import (
	"encoding/json"
	"errors"
	"html/template"
	"net/http"
	"net/url"
	"strings"
)

// CallbackPath returns the path of Config.RedirectURL, where [CallbackHandler] is
// to be mounted; "/callback" where there is none.
func (m *Manager) CallbackPath() string {
	if m != nil && m.cfg.RedirectURL != "" {
		if u, err := url.Parse(m.cfg.RedirectURL); err == nil && u.Path != "" {
			return u.Path
		}
	}
	return "/callback"
}

// SessionCookie returns the attributes that the cookie of the browser's session
// must have: Path=/, HttpOnly, SameSite=Lax, Secure where the application is
// reached by https. Its name and value are empty.
func (m *Manager) SessionCookie() *http.Cookie {
	return &http.Cookie{
		Path:     "/",
		Secure:   m == nil || strings.HasPrefix(m.cfg.RedirectURL, "https://"),
		HttpOnly: true,
		SameSite: http.SameSiteLaxMode,
	}
}

// LoginHandler starts a login on GET and redirects to the provider. return_to, a
// local path, says where the browser ends up. It runs behind [Middleware], as the
// other handlers do.
func LoginHandler(src ManagerSource) http.Handler {
	return browserHandler(src, http.MethodGet, func(m *Manager, s Session, w http.ResponseWriter, r *http.Request) error {
		returnTo := m.landing(r, r.URL.Query().Get("return_to"))
		to, err := m.StartLogin(r.Context(), s, LoginOptions{ReturnTo: returnTo})
		if err != nil {
			return err
		}
		http.Redirect(w, r, to, http.StatusFound)
		return nil
	})
}

// CallbackHandler finishes a login and redirects to where it was started from. An
// answer that must not be believed is refused with 400, and a page that offers a
// fresh login. Somebody who came back to an old callback, signed in, is sent to
// the application.
func CallbackHandler(src ManagerSource) http.Handler {
	return browserHandler(src, http.MethodGet, func(m *Manager, s Session, w http.ResponseWriter, r *http.Request) error {
		result, err := m.FinishLogin(r.Context(), s, r.URL.Query())
		var e *Error
		switch {
		case err == nil:
			http.Redirect(w, r, result.ReturnTo, http.StatusSeeOther)
			return nil
		case !errors.As(err, &e) || !e.refused:
			return err
		case m.finishedHere(r, s):
			http.Redirect(w, r, "/", http.StatusSeeOther)
			return nil
		}
		m.log.WarnContext(r.Context(), "tokenwell: login refused", "error", err)
		serveRefusal(w, pathsOf(r.Context(), m).Login, e.Code)
		return nil
	})
}

// finishedHere reports whether the state of this callback is the one that this
// browser finished last, and whether that login still lives.
func (m *Manager) finishedHere(r *http.Request, s Session) bool {
	_, browser, err := m.readSession(s)
	if err != nil || browser.Done == "" || browser.Done != digest(r.URL.Query().Get("state")) {
		return false
	}
	_, err = m.User(r.Context())
	return err == nil
}

// LogoutHandler signs out on POST and redirects to the provider's own logout, or,
// where it has none, to return_to. A fetch gets {"redirect": url} instead. A
// request from another site is refused.
func LogoutHandler(src ManagerSource) http.Handler {
	protection := http.NewCrossOriginProtection()
	return browserHandler(src, http.MethodPost, func(m *Manager, s Session, w http.ResponseWriter, r *http.Request) error {
		if protection.Check(r) != nil {
			http.Error(w, "cross-origin request refused", http.StatusForbidden)
			return nil //nolint:nilerr // it has been answered
		}
		r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
		to, err := m.Logout(r.Context(), s)
		if err != nil {
			return err
		}
		if to == "" {
			to = m.landing(r, r.FormValue("return_to"))
		}
		if navigation(r) {
			http.Redirect(w, r, to, http.StatusSeeOther)
			return nil
		}
		serveJSON(w, http.StatusOK, map[string]string{"redirect": to})
		return nil
	})
}

// browserHandler is what the handlers have in common: the method, the manager, the
// session, and answers that no cache keeps and no Referer repeats.
func browserHandler(src ManagerSource, method string, serve func(*Manager, Session, http.ResponseWriter, *http.Request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Referrer-Policy", "no-referrer")
		if r.Method != method {
			w.Header().Set("Allow", method)
			http.Error(w, http.StatusText(http.StatusMethodNotAllowed), http.StatusMethodNotAllowed)
			return
		}
		m, err := managerOf(src, r)
		var s Session
		if err == nil {
			s, err = m.browserSession(r.Context())
		}
		if err == nil {
			err = serve(m, s, w, r)
		}
		if err != nil {
			serveAnyError(w, r, err)
		}
	})
}

// landing is a local path to end up at, and none of the handlers' own, which would
// lead in a circle.
func (m *Manager) landing(r *http.Request, target string) string {
	local := LocalPath(target)
	p, _, _ := strings.Cut(local, "?")
	if decoded, err := url.PathUnescape(p); err == nil {
		p = strings.TrimRight(decoded, "/")
	}
	paths := pathsOf(r.Context(), m)
	if p == paths.Login || p == paths.Callback || p == paths.Logout {
		return "/"
	}
	return local
}

var refusalPage = template.Must(template.New("refusal").Parse(`<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>Sign-in did not work</title></head>
<body>
<h1>Sign-in did not work</h1>
<p>{{if eq .Code "access_denied"}}It was declined.{{else}}The answer could not be used: it may be an old page, or the sign-in took too long.{{end}}</p>
<p><a href="{{.Login}}">Sign in again</a></p>
</body>
</html>
`))

// serveRefusal shows nothing of what the answer said.
func serveRefusal(w http.ResponseWriter, login, code string) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(http.StatusBadRequest)
	_ = refusalPage.Execute(w, struct{ Code, Login string }{code, login})
}

func serveJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}
