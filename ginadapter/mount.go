package ginadapter

import (
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/tokenwell/tokenwell/core"
	"github.com/tokenwell/tokenwell/internal/mountpath"
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
	at := mountpath.Paths{Login: o.Login, Callback: o.Callback, Logout: o.Logout}.Relative(prefix, callbackOf(src))

	r.Use(middleware(src, o.SessionName, core.Paths(at.Whole(prefix))))
	mount(r.GET, at.Login, core.LoginHandler(src))
	mount(r.GET, at.Callback, core.CallbackHandler(src))
	mount(r.POST, at.Logout, core.LogoutHandler(src))
}

// callbackOf returns where the one manager's callback is, "" if there are several.
func callbackOf(src core.ManagerSource) string {
	if m, ok := src.(*core.Manager); ok {
		return m.CallbackPath()
	}
	return ""
}

func mount(route func(string, ...gin.HandlerFunc) gin.IRoutes, path string, h http.Handler) {
	if path != "-" {
		route(path, gin.WrapH(h))
	}
}
