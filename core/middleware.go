package core

import (
	"context"
	"errors"
	"net/http"
)

// ManagerSource finds the manager for a request: a [*Manager] is one for all
// requests, a [ManagerFunc] picks one, per tenant for instance.
type ManagerSource interface {
	Manager(r *http.Request) (*Manager, error)
}

// ManagerFunc is a function as a ManagerSource.
type ManagerFunc func(r *http.Request) (*Manager, error)

// Manager calls f.
func (f ManagerFunc) Manager(r *http.Request) (*Manager, error) { return f(r) }

// Paths say where the handlers for browsers are mounted; "" is the default, and a
// Login of "-" is nowhere: no answer redirects there.
type Paths struct {
	Login    string // "/login"
	Callback string // the path of Config.RedirectURL
	Logout   string // "/logout"
}

type pathsKey struct{}

func pathsOf(ctx context.Context, m *Manager) Paths {
	p, _ := ctx.Value(pathsKey{}).(Paths)
	if p.Login == "" {
		p.Login = "/login"
	}
	if p.Callback == "" {
		p.Callback = m.CallbackPath()
	}
	if p.Logout == "" {
		p.Logout = "/logout"
	}
	return p
}

// Middleware puts the manager and the user of each request into its context, for
// [From], [Manager.GetUserAccessToken] and the named clients. open gives the
// browser's session; its failure is the answer to whoever asks for a token, not
// to requests that ask for none. The context ends when the handler returns.
//
// paths need be given only where the handlers are not at the default ones.
func Middleware(src ManagerSource, open SessionFunc, paths ...Paths) func(http.Handler) http.Handler {
	if open == nil {
		panic("tokenwell: core.Middleware: the SessionFunc is nil")
	}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			m, err := managerOf(src, r)
			if err != nil {
				serveAnyError(w, r, err)
				return
			}
			ctx, cancel := context.WithCancel(r.Context())
			defer cancel()
			if len(paths) > 0 {
				ctx = context.WithValue(ctx, pathsKey{}, paths[0])
			}
			b := &binding{m: m, outer: bindings(ctx)}
			r = r.WithContext(context.WithValue(ctx, bindingKey{}, b))
			if b.session, err = open(w, r); err != nil {
				b.session, b.err = nil, sessionError(err)
			}
			next.ServeHTTP(w, r)
		})
	}
}

// managerOf returns the manager for a request, never nil without an error.
func managerOf(src ManagerSource, r *http.Request) (*Manager, error) {
	m, err := src.Manager(r)
	if err == nil && m == nil {
		err = ErrNoManager
	}
	return m, err
}

// serveAnyError answers with err, ours or not.
func serveAnyError(w http.ResponseWriter, r *http.Request, err error) {
	if !ServeError(w, r, err) {
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
	}
}

// sessionError is the failure of a session store, temporary unless it says itself
// what it is.
func sessionError(err error) error {
	var e *Error
	if errors.As(err, &e) {
		return err
	}
	return &Error{Op: opSession, transient: true, Err: err}
}

// browserSession returns the session that Middleware opened for the request.
func (m *Manager) browserSession(ctx context.Context) (Session, error) {
	b, _ := m.binding(ctx)
	switch {
	case b == nil:
		return nil, ErrNoManager
	case b.session == nil && b.err != nil:
		return nil, b.err
	case b.session == nil:
		return nil, ErrNoManager
	}
	return b.session, nil
}
