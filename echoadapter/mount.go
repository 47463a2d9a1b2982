package echoadapter

import (
	"net/http"
	"strings"

	"github.com/gorilla/sessions"
	"github.com/labstack/echo/v4"

	"github.com/tokenwell/tokenwell/core"
	"github.com/tokenwell/tokenwell/internal/mountpath"
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
	prefix := prefixOf(e)
	at := mountpath.Paths{Login: o.Login, Callback: o.Callback, Logout: o.Logout}.Relative(prefix, callbackOf(src))

	e.Use(middleware(src, store, o.SessionName, core.Paths(at.Whole(prefix))))
	mount(e, http.MethodGet, at.Login, core.LoginHandler(src))
	mount(e, http.MethodGet, at.Callback, core.CallbackHandler(src))
	mount(e, http.MethodPost, at.Logout, core.LogoutHandler(src))
}

// callbackOf returns where the one manager's callback is, "" if there are several.
func callbackOf(src core.ManagerSource) string {
	if m, ok := src.(*core.Manager); ok {
		return m.CallbackPath()
	}
	return ""
}

// prefixOf returns the prefix of a group, which only its routes tell. This one
// changes nothing: Use adds the same to every group.
func prefixOf(e EchoOrGroup) string {
	if _, ok := e.(*echo.Echo); ok {
		return ""
	}
	return strings.TrimSuffix(e.Add(echo.RouteNotFound, "", echo.NotFoundHandler).Path, "/")
}

func mount(e EchoOrGroup, method, path string, h http.Handler) {
	if path != "-" {
		e.Add(method, path, echo.WrapHandler(h))
	}
}
