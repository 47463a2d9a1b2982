package main

import (
	"net/http"

	"github.com/gorilla/sessions"

	"github.com/tokenwell/tokenwell/core"
)

// openSession opens the session of a request's browser: what an adapter does where there is one for the framework.
func openSession(store *sessions.CookieStore) core.SessionFunc {
	return func(w http.ResponseWriter, r *http.Request) (core.Session, error) {
		// The only error is a cookie that cannot be read, of an earlier start say: it is an empty session.
		s, _ := store.Get(r, "typed-app") // over https: "__Host-app"
		cookie := core.From(r.Context()).SessionCookie()
		s.Options.Path, s.Options.HttpOnly = cookie.Path, cookie.HttpOnly
		s.Options.Secure, s.Options.SameSite = cookie.Secure, cookie.SameSite
		return &session{s, w, r}, nil
	}
}

// session is gorilla's as package core asks for one.
type session struct {
	gorilla *sessions.Session
	w       http.ResponseWriter
	r       *http.Request
}

func (s *session) Get(key string) (string, error) {
	value, _ := s.gorilla.Values[key].(string)
	return value, nil
}

func (s *session) Set(key, value string) { s.gorilla.Values[key] = value }
func (s *session) Delete(key string)     { delete(s.gorilla.Values, key) }
func (s *session) Save() error           { return s.gorilla.Save(s.r, s.w) }

// Renew also drops the name under which a store on the server would keep the session.
func (s *session) Renew() error {
	clear(s.gorilla.Values)
	s.gorilla.ID, s.gorilla.IsNew = "", true
	return nil
}
