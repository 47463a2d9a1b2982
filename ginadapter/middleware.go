package ginadapter

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/tokenwell/tokenwell/core"
)

// Middleware puts the manager and the browser's user into each request's context.
// [Mount] does so; by hand it is for programs that place the handlers of package
// core themselves. It runs after gin-contrib's sessions.Sessions.
func Middleware(src core.ManagerSource) gin.HandlerFunc {
	return middleware(src, "", core.Paths{})
}

func middleware(src core.ManagerSource, sessionName string, paths core.Paths) gin.HandlerFunc {
	return func(c *gin.Context) {
		open := func(_ http.ResponseWriter, r *http.Request) (core.Session, error) {
			return openSession(c, sessionName, core.From(r.Context()).SessionCookie())
		}
		served := false
		next := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			served = true
			c.Request = r
			// A *gin.Context answers to string keys only.
			c.Set(core.ContextKey, r.Context())
			c.Next()
		})
		core.Middleware(src, open, paths)(next).ServeHTTP(c.Writer, c.Request)
		if !served {
			c.Abort()
		}
	}
}

// RequireLogin lets nobody past who is not signed in: a navigation goes to the
// login and back, anything else gets a 401.
func RequireLogin() gin.HandlerFunc {
	return func(c *gin.Context) {
		if _, err := From(c).User(); err != nil {
			fail(c, err)
		}
	}
}
