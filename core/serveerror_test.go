package core_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/tokenwell/tokenwell/core"
	"github.com/tokenwell/tokenwell/core/coretest"
)

// serve has ServeError answer a request that carries m and s.
func (r *loginRig) serve(s core.Session, q *http.Request, err error, paths ...core.Paths) *httptest.ResponseRecorder {
	r.t.Helper()
	w := httptest.NewRecorder()
	open := func(http.ResponseWriter, *http.Request) (core.Session, error) { return s, nil }
	core.Middleware(r.m, open, paths...)(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if !core.ServeError(w, q, err) {
			w.WriteHeader(http.StatusTeapot)
		}
	})).ServeHTTP(w, q)
	return w
}

func navigating(method, target string) *http.Request {
	q := httptest.NewRequest(method, target, nil)
	q.Header.Set("Sec-Fetch-Mode", "navigate")
	q.Header.Set("Accept", "text/html")
	return q
}

func TestServeErrorSendsNavigationsToLogin(t *testing.T) {
	t.Parallel()
	r := newLoginRig(t, coretest.Options{})
	with := func(method string, header ...string) *http.Request {
		q := httptest.NewRequest(method, "/orders?a=b", nil)
		for i := 0; i+1 < len(header); i += 2 {
			q.Header.Set(header[i], header[i+1])
		}
		return q
	}
	for what, test := range map[string]struct {
		q    *http.Request
		want string // Location; "" for a 401
	}{
		"navigation":                    {with("GET", "Sec-Fetch-Mode", "navigate"), "/login?return_to=%2Forders%3Fa%3Db"},
		"older browser":                 {with("GET", "Accept", "text/html,*/*;q=0.8"), "/login?return_to=%2Forders%3Fa%3Db"},
		"fetch":                         {with("GET", "Sec-Fetch-Mode", "cors", "Accept", "*/*"), ""},
		"fetch of HTML":                 {with("GET", "Sec-Fetch-Mode", "same-origin", "Accept", "text/html"), ""},
		"image":                         {with("GET", "Sec-Fetch-Mode", "no-cors", "Accept", "image/*"), ""},
		"WebSocket":                     {with("GET", "Sec-Fetch-Mode", "websocket", "Upgrade", "websocket"), ""},
		"script without headers":        {with("GET"), ""},
		"client that takes JSON":        {with("GET", "Accept", "application/json"), ""},
		"form":                          {with("POST", "Sec-Fetch-Mode", "navigate"), "/login"},
		"form, older browser":           {with("POST", "Accept", "text/html"), ""},
		"fetch that posts":              {with("POST", "Sec-Fetch-Mode", "cors"), ""},
		"HEAD of whoever takes HTML":    {with("HEAD", "Accept", "text/html"), ""},
		"preflight":                     {with("OPTIONS", "Sec-Fetch-Mode", "cors"), ""},
		"navigation to login":           {navigating("GET", "/login?return_to=/x"), "/login"},
		"navigation to callback":        {navigating("GET", "/callback?code=x"), "/login"},
		"navigation to the root":        {navigating("GET", "/"), "/login"},
		"navigation to a double slash":  {navigating("GET", "//evil.test/"), "/login"},
		"navigation to an encoded path": {navigating("GET", "/a%20b?c=%2F"), "/login?return_to=%2Fa%2520b%3Fc%3D%252F"},
	} {
		w := r.serve(newLoginSession(), test.q, fmt.Errorf("wrapped: %w", core.ErrLoginRequired))
		if w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%s: Cache-Control %q", what, w.Header().Get("Cache-Control"))
		}
		if test.want == "" {
			if w.Code != http.StatusUnauthorized || strings.TrimSpace(w.Body.String()) != `{"error":"login_required"}` || w.Header().Get("Location") != "" {
				t.Errorf("%s: %d %s to %q", what, w.Code, w.Body, w.Header().Get("Location"))
			}
			continue
		}
		status := http.StatusFound
		if test.q.Method != http.MethodGet {
			status = http.StatusSeeOther // it must not be posted again
		}
		if w.Code != status || w.Header().Get("Location") != test.want {
			t.Errorf("%s: %d to %q, want %q", what, w.Code, w.Header().Get("Location"), test.want)
		}
	}
}

func TestServeErrorKnowsPaths(t *testing.T) {
	t.Parallel()
	r := newLoginRig(t, coretest.Options{})
	for _, test := range []struct {
		paths core.Paths
		at    string
		want  string
	}{
		{core.Paths{Login: "/in"}, "/x", "/in?return_to=%2Fx"},
		{core.Paths{Login: "/in"}, "/in", "/in"},
		{core.Paths{Login: "/in"}, "/login", "/in?return_to=%2Flogin"},
		{core.Paths{Logout: "/out"}, "/out", "/login"},
		{core.Paths{Callback: "/cb"}, "/cb?code=x", "/login"},
		{core.Paths{Login: "-"}, "/x", ""},
	} {
		w := r.serve(newLoginSession(), navigating("GET", test.at), core.ErrLoginRequired, test.paths)
		if got := w.Header().Get("Location"); got != test.want {
			t.Errorf("%+v, %s: %d to %q, want %q", test.paths, test.at, w.Code, got, test.want)
		}
	}
}

func TestServeErrorEndsLoops(t *testing.T) {
	t.Parallel()
	r := newLoginRig(t, coretest.Options{})
	s := newLoginSession()
	redirects := func() bool {
		return r.serve(s, navigating("GET", "/x"), core.ErrLoginRequired).Code == http.StatusFound
	}
	if !redirects() {
		t.Error("nobody is sent to the login")
	}
	r.login(s, "alice")
	for _, d := range []time.Duration{0, time.Second, 8 * time.Second} {
		r.p.Advance(d)
		if redirects() {
			t.Errorf("another login is started %v later", d)
		}
	}
	r.p.Advance(2 * time.Second)
	if !redirects() {
		t.Error("none is started eleven seconds later")
	}
	r.login(s, "alice")
	r.p.Advance(-time.Hour) // a clock that was set back
	if !redirects() {
		t.Error("none is started on a clock that was set back")
	}
	r.p.Advance(time.Hour)
	r.logout(s)
	if !redirects() {
		t.Error("none is started after a logout")
	}
}

func TestServeErrorWithoutLogins(t *testing.T) {
	t.Parallel()
	r := newLoginRig(t, coretest.Options{}, func(cfg *core.Config) { cfg.RedirectURL = "" })
	if w := r.serve(newLoginSession(), navigating("GET", "/x"), core.ErrLoginRequired); w.Code != http.StatusUnauthorized {
		t.Errorf("a program without logins redirects to %q", w.Header().Get("Location"))
	}
	w := httptest.NewRecorder() // no middleware
	if !core.ServeError(w, navigating("GET", "/x"), core.ErrLoginRequired) || w.Code != http.StatusUnauthorized {
		t.Errorf("without Middleware: %d to %q", w.Code, w.Header().Get("Location"))
	}
}

func TestServeErrorStatuses(t *testing.T) {
	t.Parallel()
	const secret = "words that are not for browsers"
	var log bytes.Buffer
	r := newLoginRig(t, coretest.Options{}, func(cfg *core.Config) { cfg.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	refused, err := r.finish(newLoginSession(), nil)
	if refused != nil || err == nil {
		t.Fatal("an empty answer signs in")
	}
	for what, test := range map[string]struct {
		err        error
		status     int
		code       string
		retryAfter string
	}{
		"nil":              {nil, http.StatusTeapot, "", ""},
		"not ours":         {errors.New(secret), http.StatusTeapot, "", ""},
		"context":          {context.Canceled, http.StatusTeapot, "", ""},
		"refused callback": {err, 400, "login_refused", ""},
		"no manager":       {core.ErrNoManager, 500, "internal_error", ""},
		"configuration":    {&core.Error{Op: "configure", Err: errors.New(secret)}, 500, "internal_error", ""},
		"unknown client":   {&core.Error{Op: "client", Err: errors.New(secret)}, 500, "internal_error", ""},
		"provider":         {&core.Error{Op: "refresh_token", Status: 400, Code: "invalid_client", Description: secret}, 502, "provider_error", ""},
		"busy provider":    {&core.Error{Op: "refresh_token", Status: 429, RetryAfter: 90 * time.Second, Description: secret}, 503, "temporarily_unavailable", "90"},
		"a fraction":       {&core.Error{Op: "refresh_token", Status: 503, RetryAfter: 1500 * time.Millisecond}, 503, "temporarily_unavailable", "2"},
		"not said":         {&core.Error{Op: "refresh_token", Status: 500}, 503, "temporarily_unavailable", "1"},
		"wrapped":          {fmt.Errorf("%s: %w", secret, &core.Error{Op: "store", Status: 500}), 503, "temporarily_unavailable", "1"},
	} {
		log.Reset()
		w := r.serve(newLoginSession(), navigating("GET", "/x"), test.err)
		if w.Code != test.status || w.Header().Get("Retry-After") != test.retryAfter {
			t.Errorf("%s: %d, Retry-After %q", what, w.Code, w.Header().Get("Retry-After"))
		}
		if test.code == "" {
			if w.Body.Len() != 0 || w.Header().Get("Cache-Control") != "" || log.Len() != 0 {
				t.Errorf("%s: touched: %v %s", what, w.Header(), w.Body)
			}
			continue
		}
		if got := strings.TrimSpace(w.Body.String()); got != `{"error":"`+test.code+`"}` {
			t.Errorf("%s: %s", what, got)
		}
		if w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("X-Content-Type-Options") != "nosniff" || w.Header().Get("Content-Type") != "application/json" {
			t.Errorf("%s: %v", what, w.Header())
		}
		if !strings.Contains(log.String(), "level=ERROR") {
			t.Errorf("%s: an operator is not told: %s", what, &log)
		}
	}
}
