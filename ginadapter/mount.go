package ginadapter

import (
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/tokenwell/tokenwell/core"
)

// Options change what Mount does by default. Paths are relative to the router that
// Mount is given; "" is the default and "-" mounts nothing.
type Options struct {
	Login       string // "/login"
	Callback    string // the path of Config.RedirectURL
	Logout      string // "/logout"
	SessionName string // of the session to use, where sessions.SessionsMany made several
}

// Mount uses Middleware on r and mounts the login (GET), its callback (GET) and
// the logout (POST) there. Routes that are added to r afterwards have the user's
// tokens. gin-contrib's sessions.Sessions must have been used before.
func Mount(r gin.IRouter, src core.ManagerSource, opts ...Options) {
	var o Options
	if len(opts) > 0 {
		o = opts[0]
	}
	prefix := ""
	if g, ok := r.(interface{ BasePath() string }); ok {
		prefix = strings.TrimSuffix(g.BasePath(), "/")
	}
	o.Login = orDefault(o.Login, "/login")
	o.Logout = orDefault(o.Logout, "/logout")
	if o.Callback == "" {
		o.Callback = callbackBelow(prefix, src)
	}

	r.Use(middleware(src, o.SessionName, core.Paths{
		Login: below(prefix, o.Login), Callback: below(prefix, o.Callback), Logout: below(prefix, o.Logout),
	}))
	mount(r.GET, o.Login, core.LoginHandler(src))
	mount(r.GET, o.Callback, core.CallbackHandler(src))
	mount(r.POST, o.Logout, core.LogoutHandler(src))
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
		panic("ginadapter: the callback " + m.CallbackPath() + " is not below the group " + prefix + ": mount there, or set Options.Callback")
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

func mount(route func(string, ...gin.HandlerFunc) gin.IRoutes, path string, h http.Handler) {
	if path != "-" {
		route(path, gin.WrapH(h))
	}
}
