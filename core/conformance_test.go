package core_test

import (
	"context"
	"net/http"
	"testing"

	"github.com/tokenwell/tokenwell/core"
	"github.com/tokenwell/tokenwell/core/coretest"
	"github.com/tokenwell/tokenwell/internal/conformance"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	for name, prefix := range map[string]string{"root": "", "other paths": "/auth/v1"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conformance.Run(t, plainFramework(prefix))
		})
	}
}

// plainContext is what a handler of net/http has.
type plainContext struct {
	context.Context
	m *core.Manager
}

func (c plainContext) GetClientAccessToken(opts ...core.TokenOption) (*core.Token, error) {
	return c.m.GetClientAccessToken(c.Context, opts...)
}

func (c plainContext) GetUserAccessToken(opts ...core.TokenOption) (*core.Token, error) {
	return c.m.GetUserAccessToken(c.Context, opts...)
}

func (c plainContext) HTTPClient(name string) *http.Client {
	return c.m.HTTPClientFor(c.Context, name)
}

func (c plainContext) User() (*core.User, error) { return c.m.User(c.Context) }

type plainSessionKey struct{}

// plainFramework is net/http alone: core's middleware and handlers in a ServeMux.
func plainFramework(prefix string) conformance.Framework {
	const kept = "the application's own"
	openAgain := func(w http.ResponseWriter, r *http.Request) (core.Session, error) {
		return r.Context().Value(plainSessionKey{}).(core.SessionFunc)(w, r)
	}
	return conformance.Framework{
		Prefix: prefix,
		Cookie: "__Host-session",
		Mount: func(_ *testing.T, s conformance.Setup) http.Handler {
			mux := http.NewServeMux()
			mux.Handle(prefix+"/login", core.LoginHandler(s.Source))
			mux.Handle(prefix+"/callback", core.CallbackHandler(s.Source))
			mux.Handle(prefix+"/logout", core.LogoutHandler(s.Source))
			for _, route := range s.Routes {
				mux.HandleFunc(prefix+route.Path, func(w http.ResponseWriter, r *http.Request) {
					c := plainContext{r.Context(), core.From(r.Context())}
					var err error
					if route.RequireLogin {
						_, err = c.User()
					}
					if err == nil {
						began := &writeWatch{ResponseWriter: w}
						if err = route.Handle(c, began, r); began.began {
							return
						}
					}
					if err != nil && !core.ServeError(w, r, err) {
						http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
					}
				})
			}
			mux.HandleFunc("/{$}", func(http.ResponseWriter, *http.Request) {})

			sessions := coretest.Sessions()
			open := func(w http.ResponseWriter, r *http.Request) (core.Session, error) {
				if err := s.SessionFault(); err != nil {
					return nil, err
				}
				return sessions(w, r)
			}
			var paths []core.Paths
			if prefix != "" {
				paths = []core.Paths{{Login: prefix + "/login", Logout: prefix + "/logout"}}
			}
			app := core.Middleware(s.Source, open, paths...)(mux)
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				ctx := context.WithValue(r.Context(), plainSessionKey{}, sessions)
				app.ServeHTTP(w, r.WithContext(ctx))
			})
		},
		Keep: func(_ conformance.Context, w http.ResponseWriter, r *http.Request, value string) error {
			s, err := openAgain(w, r)
			if err != nil {
				return err
			}
			if value == "" {
				if err := s.Renew(); err != nil {
					return err
				}
			} else {
				s.Set(kept, value)
			}
			return s.Save()
		},
		Kept: func(_ conformance.Context, r *http.Request) string {
			s, err := openAgain(nil, r)
			if err != nil {
				return err.Error()
			}
			value, _ := s.Get(kept)
			return value
		},
	}
}

// writeWatch tells whether an answer has begun.
type writeWatch struct {
	http.ResponseWriter
	began bool
}

func (w *writeWatch) WriteHeader(status int) {
	w.began = true
	w.ResponseWriter.WriteHeader(status)
}

func (w *writeWatch) Write(p []byte) (int, error) {
	w.began = true
	return w.ResponseWriter.Write(p)
}
