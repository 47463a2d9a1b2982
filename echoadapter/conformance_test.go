package echoadapter_test

import (
	"net/http"
	"testing"

	"github.com/gorilla/securecookie"
	"github.com/gorilla/sessions"
	"github.com/labstack/echo/v4"

	"github.com/tokenwell/tokenwell/echoadapter"
	"github.com/tokenwell/tokenwell/internal/conformance"
	"github.com/tokenwell/tokenwell/internal/conformance/gorillastore"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	for name, k := range map[string]kind{
		"cookie store":        {store: cookieStore},
		"cookie store, keys":  {store: rotatedKeys},
		"store on the server": {store: func(*testing.T) sessions.Store { return gorillastore.NewMemory() }},
		"files":               {store: fileStore},
		"store of middleware": {store: cookieStore, contrib: true},
		"named session":       {store: cookieStore, name: "__Host-mine"},
		"group":               {store: cookieStore, prefix: "/app/v1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conformance.Run(t, k.framework())
		})
	}
}

func cookieStore(*testing.T) sessions.Store {
	return sessions.NewCookieStore(securecookie.GenerateRandomKey(32), securecookie.GenerateRandomKey(32))
}

// rotatedKeys is a store with a new pair of keys and an old one.
func rotatedKeys(*testing.T) sessions.Store {
	return sessions.NewCookieStore(securecookie.GenerateRandomKey(32), securecookie.GenerateRandomKey(32),
		securecookie.GenerateRandomKey(32), securecookie.GenerateRandomKey(32))
}

func fileStore(t *testing.T) sessions.Store {
	return sessions.NewFilesystemStore(t.TempDir(), securecookie.GenerateRandomKey(32))
}

// kind is a way to use the adapter.
type kind struct {
	store   func(*testing.T) sessions.Store
	contrib bool   // the store is left by echo-contrib's middleware
	name    string // of the session; "": the default
	prefix  string // of a group; "": the whole
}

func (k kind) cookieName() string {
	if k.name == "" {
		return "__Host-tokenwell"
	}
	return k.name
}

func (k kind) framework() conformance.Framework {
	const (
		kept     = "the application's own"
		storeKey = "store of the test"
	)
	session := func(c conformance.Context, r *http.Request) (*sessions.Session, error) {
		return c.(*echoadapter.Context).Get(storeKey).(sessions.Store).Get(r, k.cookieName())
	}
	return conformance.Framework{
		Prefix: k.prefix,
		Cookie: k.cookieName(),
		Mount: func(t *testing.T, s conformance.Setup) http.Handler {
			store := gorillastore.Faulty{Store: k.store(t), Fault: s.SessionFault}
			e := echo.New()
			e.Use(func(next echo.HandlerFunc) echo.HandlerFunc {
				return func(c echo.Context) error {
					c.Set(storeKey, sessions.Store(store))
					if k.contrib {
						c.Set("_session_store", sessions.Store(store)) // as its session.Middleware does
					}
					return next(c)
				}
			})
			k.mount(e, s, store)
			return e
		},
		Keep: func(c conformance.Context, w http.ResponseWriter, r *http.Request, value string) error {
			s, err := session(c, r)
			if err != nil {
				return err
			}
			s.Values[kept] = value
			if value == "" {
				s.Options.MaxAge = -1
			}
			return s.Save(r, w)
		},
		Kept: func(c conformance.Context, r *http.Request) string {
			s, err := session(c, r)
			if err != nil {
				return err.Error()
			}
			value, _ := s.Values[kept].(string)
			return value
		},
	}
}

// router is what routes can be added to.
type router interface {
	echoadapter.EchoOrGroup
	Any(path string, handler echo.HandlerFunc, middleware ...echo.MiddlewareFunc) []*echo.Route
}

func (k kind) mount(e *echo.Echo, s conformance.Setup, store sessions.Store) {
	var r router = e
	if k.prefix != "" {
		r = e.Group(k.prefix)
	}
	if k.contrib {
		store = nil
	}
	if k.name != "" {
		echoadapter.Mount(r, s.Source, store, echoadapter.Options{SessionName: k.name})
	} else {
		echoadapter.Mount(r, s.Source, store)
	}
	for _, route := range s.Routes {
		var middleware []echo.MiddlewareFunc
		if route.RequireLogin {
			middleware = append(middleware, echoadapter.RequireLogin())
		}
		r.Any(route.Path, echoadapter.Handle(func(c *echoadapter.Context) error {
			return route.Handle(c, c.Response(), c.Request())
		}), middleware...)
	}
	e.GET("/", func(c echo.Context) error { return c.NoContent(http.StatusOK) })
}

// Its Context is what the suite's handlers are given, and a context.Context.
var _ conformance.Context = (*echoadapter.Context)(nil)
