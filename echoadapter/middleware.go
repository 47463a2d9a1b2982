package echoadapter

import (
	"net/http"

	"github.com/gorilla/sessions"
	"github.com/labstack/echo/v4"

	"github.com/tokenwell/tokenwell/core"
)

// Middleware puts the manager and the browser's user into each request's context.
// [Mount] does so; by hand it is for programs that place the handlers of package
// core themselves. A nil store is the one that echo-contrib's session middleware
// set.
func Middleware(src core.ManagerSource, store sessions.Store) echo.MiddlewareFunc {
	return middleware(src, store, "", core.Paths{})
}

func middleware(src core.ManagerSource, store sessions.Store, name string, paths core.Paths) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			open := func(_ http.ResponseWriter, r *http.Request) (core.Session, error) {
				return openSession(c, store, name, r, core.From(r.Context()).SessionCookie())
			}
			handler := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				c.SetRequest(r)
				if err := next(c); err != nil {
					c.Error(err) // now, while the request is alive: its context ends with this handler
				}
			})
			core.Middleware(src, open, paths)(handler).ServeHTTP(c.Response(), c.Request())
			return nil
		}
	}
}

// RequireLogin lets nobody past who is not signed in: a navigation goes to the
// login and back, anything else gets a 401.
func RequireLogin() echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			if _, err := From(c).User(); err != nil {
				return answer(c, err)
			}
			return next(c)
		}
	}
}
