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
	return middleware(src, store, "", func() core.Paths { return core.Paths{} })
}

func middleware(src core.ManagerSource, store sessions.Store, name string, paths func() core.Paths) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			open := func(_ http.ResponseWriter, r *http.Request) (core.Session, error) {
				m, err := src.Manager(r)
				if err != nil {
					return nil, err
				}
				return openSession(c, store, name, r, m.SessionCookie())
			}
			var err error
			handler := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				c.SetRequest(r)
				err = next(c)
				if err != nil {
					// Echo's error handler runs with the context of the request still alive.
					c.Error(err)
				}
			})
			core.Middleware(src, open, paths())(handler).ServeHTTP(c.Response(), c.Request())
			return err
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
