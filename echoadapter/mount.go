package echoadapter

import (
	"net/http"
	"strings"

	"github.com/gorilla/sessions"
	"github.com/labstack/echo/v4"

	"github.com/tokenwell/tokenwell/core"
)

// Options change what Mount does by default. Paths are relative to what Mount is
// given; "" is the default and "-" mounts nothing.
type Options struct {
	Login       string // "/login"
	Callback    string // the path of Config.RedirectURL
	Logout      string // "/logout"
	SessionName string // of the cookie; "__Host-tokenwell", or "tokenwell" where the application is not reached by https
}

// EchoOrGroup is what Mount mounts on: an *echo.Echo or an *echo.Group.
type EchoOrGroup interface {
	Use(middleware ...echo.MiddlewareFunc)
	Add(method, path string, handler echo.HandlerFunc, middleware ...echo.MiddlewareFunc) *echo.Route
}

// Mount uses Middleware on e and mounts the login (GET), its callback (GET) and
// the logout (POST) there. A nil store is the one that echo-contrib's session
// middleware set before.
func Mount(e EchoOrGroup, src core.ManagerSource, store sessions.Store, opts ...Options) {
	var o Options
	if len(opts) > 0 {
		o = opts[0]
	}
	o.Login = orDefault(o.Login, "/login")
	o.Logout = orDefault(o.Logout, "/logout")
	prefix := prefixOf(e)
	if o.Callback == "" {
		o.Callback = callbackBelow(prefix, src)
	}

	e.Use(middleware(src, store, o.SessionName, core.Paths{
		Login: below(prefix, o.Login), Callback: below(prefix, o.Callback), Logout: below(prefix, o.Logout),
	}))
	mount(e, http.MethodGet, o.Login, core.LoginHandler(src))
	mount(e, http.MethodGet, o.Callback, core.CallbackHandler(src))
	mount(e, http.MethodPost, o.Logout, core.LogoutHandler(src))
}

// prefixOf returns the prefix of a group, which only its routes tell. This one
// changes nothing: Use adds the same to every group.
func prefixOf(e EchoOrGroup) string {
	if _, ok := e.(*echo.Echo); ok {
		return ""
	}
	return strings.TrimSuffix(e.Add(echo.RouteNotFound, "", echo.NotFoundHandler).Path, "/")
}

// callbackBelow returns the callback's path relative to a router at prefix. It
// panics, as a router does for a path it cannot take, when the redirect URL is not
// below that: nobody would ever arrive.
func callbackBelow(prefix string, src core.ManagerSource) string {
	m, ok := src.(*core.Manager)
	if !ok {
		return "/callback"
	}
	path, ok := strings.CutPrefix(m.CallbackPath(), prefix+"/")
	if !ok {
		panic("echoadapter: the callback " + m.CallbackPath() + " is not below the group " + prefix + ": mount there, or set Options.Callback")
	}
	return "/" + path
}

func below(prefix, path string) string {
	if path == "-" {
		return path
	}
	return prefix + path
}

func orDefault(path, otherwise string) string {
	if path == "" {
		return otherwise
	}
	return path
}

func mount(e EchoOrGroup, method, path string, h http.Handler) {
	if path != "-" {
		e.Add(method, path, echo.WrapHandler(h))
	}
}
