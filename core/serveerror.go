package core

import (
	"errors"
	"log/slog"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// loginLoop is how soon after a login another one is not started by a redirect.
const loginLoop = 10 * time.Second

// ServeError answers a request whose handler failed with err, and reports whether
// err was ours to answer. [ErrLoginRequired] on a navigation is a redirect to the
// login, and back to where a GET wanted to go, unless the login was made a moment
// ago; elsewhere it is a 401 with {"error":"login_required"}. Everything else is the status of [StatusCode],
// with Retry-After for a temporary failure. The answer holds nothing of err.
//
// It must be called before anything was written to w, and runs behind
// [Middleware], without which nothing redirects.
func ServeError(w http.ResponseWriter, r *http.Request, err error) bool {
	status := StatusCode(err)
	if status == 0 {
		return false
	}
	w.Header().Set("Cache-Control", "no-store")
	if status == http.StatusUnauthorized {
		if to := loginURL(r); to != "" {
			how := http.StatusFound
			if r.Method != http.MethodGet {
				how = http.StatusSeeOther
			}
			http.Redirect(w, r, to, how)
			return true
		}
		serveJSON(w, status, errorAnswer{"login_required"})
		return true
	}
	var e *Error
	code := "internal_error"
	switch {
	case status == http.StatusBadRequest:
		code = "login_refused"
	case status == http.StatusBadGateway:
		code = "provider_error"
	case errors.As(err, &e) && e.Temporary():
		code = "temporarily_unavailable"
		w.Header().Set("Retry-After", strconv.Itoa(int(max(1, math.Ceil(e.RetryAfter.Seconds())))))
	}
	log := slog.Default()
	if m := From(r.Context()); m != nil {
		log = m.log
	}
	log.ErrorContext(r.Context(), "tokenwell: request failed", "status", status, "error", err)
	serveJSON(w, status, errorAnswer{code})
	return true
}

type errorAnswer struct {
	Error string `json:"error"`
}

// loginURL returns where to send a browser that has to sign in; "" where a
// redirect would not help it.
func loginURL(r *http.Request) string {
	b := bindings(r.Context())
	get := r.Method == http.MethodGet
	if b == nil || b.m.cfg.RedirectURL == "" || !navigation(r) || !get && r.Header.Get("Sec-Fetch-Mode") == "" {
		return ""
	}
	_ = b.read() // for the login state
	if since := b.m.now().Sub(time.Unix(b.login.SignedIn, 0)); since >= 0 && since < loginLoop {
		return ""
	}
	to := pathsOf(r.Context(), b.m).Login
	if to == "-" {
		return ""
	}
	if returnTo := b.m.landing(r, r.URL.RequestURI()); get && returnTo != "/" {
		to += "?return_to=" + url.QueryEscape(returnTo)
	}
	return to
}

// navigation reports whether a browser is about to show the answer: it says so
// itself, or, if it is an older one, it takes HTML.
func navigation(r *http.Request) bool {
	if mode := r.Header.Get("Sec-Fetch-Mode"); mode != "" {
		return mode == "navigate"
	}
	return strings.Contains(r.Header.Get("Accept"), "text/html")
}
