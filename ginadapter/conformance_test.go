package ginadapter_test

import (
	"log/slog"
	"net/http"
	"testing"

	"github.com/gin-contrib/sessions"
	"github.com/gin-contrib/sessions/cookie"
	"github.com/gin-gonic/gin"
	"github.com/gorilla/securecookie"
	gorilla "github.com/gorilla/sessions"

	"github.com/tokenwell/tokenwell/ginadapter"
	"github.com/tokenwell/tokenwell/internal/conformance"
	"github.com/tokenwell/tokenwell/internal/conformance/gorillastore"
)

func TestMain(m *testing.M) {
	gin.SetMode(gin.ReleaseMode)
	slog.SetDefault(slog.New(slog.DiscardHandler)) // gin-contrib reports every cookie that it cannot read
	m.Run()
}

func TestConformance(t *testing.T) {
	t.Parallel()
	for name, k := range map[string]kind{
		"cookie store":           {store: encryptedCookies},
		"cookie store, signed":   {store: signedCookies},
		"store on the server":    {store: serverStore},
		"one session of several": {store: encryptedCookies, several: true},
		"group":                  {store: encryptedCookies, prefix: "/app/v1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conformance.Run(t, k.framework())
		})
	}
}

func encryptedCookies(*testing.T) sessions.Store {
	return cookie.NewStore(securecookie.GenerateRandomKey(32), securecookie.GenerateRandomKey(32))
}

func signedCookies(*testing.T) sessions.Store {
	return cookie.NewStore(securecookie.GenerateRandomKey(32))
}

func serverStore(*testing.T) sessions.Store { return ginStore{gorillastore.NewMemory()} }

// ginStore is a gorilla store as gin-contrib wraps them.
type ginStore struct{ gorilla.Store }

func (ginStore) Options(sessions.Options) {}

const cookieName = "__Host-app"

// kind is a way to use the adapter.
type kind struct {
	store   func(*testing.T) sessions.Store
	several bool   // sessions, of which Tokenwell uses one
	prefix  string // of a group; "": the engine
}

func (k kind) framework() conformance.Framework {
	const kept = "the application's own"
	session := func(c conformance.Context) sessions.Session {
		gc := c.(*ginadapter.Context).Context
		if k.several {
			return sessions.DefaultMany(gc, cookieName)
		}
		return sessions.Default(gc)
	}
	return conformance.Framework{
		Prefix: k.prefix,
		Cookie: cookieName,
		Mount:  k.mount,
		Keep: func(c conformance.Context, _ http.ResponseWriter, _ *http.Request, value string) error {
			s := session(c)
			s.Set(kept, value)
			if value == "" {
				s.Clear()
			}
			return s.Save()
		},
		Kept: func(c conformance.Context, _ *http.Request) string {
			value, _ := session(c).Get(kept).(string)
			return value
		},
	}
}

func (k kind) mount(t *testing.T, s conformance.Setup) http.Handler {
	engine := gin.New()
	store := ginStore{gorillastore.Faulty{Store: k.store(t), Fault: s.SessionFault}}
	opts := ginadapter.Options{}
	if k.several {
		engine.Use(sessions.SessionsMany([]string{"other", cookieName}, store))
		opts.SessionName = cookieName
	} else {
		engine.Use(sessions.Sessions(cookieName, store))
	}
	var r gin.IRouter = engine
	if k.prefix != "" {
		r = engine.Group(k.prefix)
	}
	ginadapter.Mount(r, s.Source, opts)
	for _, route := range s.Routes {
		handlers := []gin.HandlerFunc{ginadapter.Handle(func(c *ginadapter.Context) error {
			return route.Handle(c, c.Writer, c.Request)
		})}
		if route.RequireLogin {
			handlers = append([]gin.HandlerFunc{ginadapter.RequireLogin()}, handlers...)
		}
		r.Any(route.Path, handlers...)
	}
	engine.GET("/", func(c *gin.Context) { c.Status(http.StatusOK) })
	return engine
}

// Its Context is what the suite's handlers are given, and a context.Context.
var _ conformance.Context = (*ginadapter.Context)(nil)
