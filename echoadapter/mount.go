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
	callback := "/callback"
	if m, ok := src.(*core.Manager); ok {
		callback = m.CallbackPath()
	}
	o.Login = orDefault(o.Login, "/login")
	o.Logout = orDefault(o.Logout, "/logout")

	// The paths are known once the routes are, which a group's prefix is before.
	var paths core.Paths
	e.Use(middleware(src, store, o.SessionName, func() core.Paths { return paths }))
	paths.Login = mount(e, http.MethodGet, o.Login, core.LoginHandler(src))
	prefix := strings.TrimSuffix(paths.Login, o.Login)
	paths.Callback = mount(e, http.MethodGet, orDefault(o.Callback, strings.TrimPrefix(callback, prefix)), core.CallbackHandler(src))
	paths.Logout = mount(e, http.MethodPost, o.Logout, core.LogoutHandler(src))
}

func orDefault(path, otherwise string) string {
	if path == "" {
		return otherwise
	}
	return path
}

// mount returns the whole path under which h can be reached.
func mount(e EchoOrGroup, method, path string, h http.Handler) string {
	if path == "-" {
		return path
	}
	return e.Add(method, path, echo.WrapHandler(h)).Path
}
