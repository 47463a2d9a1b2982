package coretest

import (
	"crypto/rand"
	"maps"
	"net/http"
	"sync"

	"github.com/tokenwell/tokenwell/core"
)

// NewSession returns an empty session that lives in memory, of a browser that there
// need not be. It belongs to one goroutine at a time.
func NewSession() core.Session {
	return (&sessionStore{sessions: map[string]map[string]string{}}).open("", func(string) {})
}

// Sessions keeps browser sessions in memory under a cookie, for applications that
// have no framework to do it. The function that it returns is safe for concurrent
// use; what it returns belongs to one request.
//
// Requests of one browser that run at the same time each work on a copy, of which
// the one saved last stays.
func Sessions() core.SessionFunc {
	store := &sessionStore{sessions: map[string]map[string]string{}}
	return func(w http.ResponseWriter, r *http.Request) (core.Session, error) {
		cookie := http.Cookie{Name: "session", Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode}
		if r.TLS != nil {
			cookie.Name, cookie.Secure = "__Host-session", true
		}
		id := ""
		if sent, err := r.Cookie(cookie.Name); err == nil {
			id = sent.Value
		}
		return store.open(id, func(id string) {
			cookie.Value = id
			http.SetCookie(w, &cookie)
		}), nil
	}
}

type sessionStore struct {
	mu       sync.Mutex
	sessions map[string]map[string]string
}

// open returns a copy of a session, an empty one if there is none. send takes a new
// ID to the browser.
func (st *sessionStore) open(id string, send func(id string)) *session {
	st.mu.Lock()
	defer st.mu.Unlock()
	values, ok := st.sessions[id]
	if !ok {
		id = "" // an ID is ours to give: a planted one is not taken up
	}
	s := &session{store: st, send: send, id: id, saved: id, values: maps.Clone(values)}
	if s.values == nil {
		s.values = map[string]string{}
	}
	return s
}

// session is a [core.Session].
type session struct {
	store  *sessionStore
	send   func(id string)
	id     string // "" until one is needed
	saved  string // the ID that the store and the browser know
	values map[string]string
}

func (s *session) Get(key string) (string, error) { return s.values[key], nil }
func (s *session) Set(key, value string)          { s.values[key] = value }
func (s *session) Delete(key string)              { delete(s.values, key) }

// Renew leaves the old session in the store until Save, which removes it.
func (s *session) Renew() error {
	s.id = ""
	s.values = map[string]string{}
	return nil
}

func (s *session) Save() error {
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	switch _, there := s.store.sessions[s.id]; {
	case s.id == "":
		s.id = rand.Text()
		delete(s.store.sessions, s.saved)
		s.send(s.id)
		s.saved = s.id
	case !there:
		return nil // renewed by another request: what this one read is no longer a session
	}
	s.store.sessions[s.id] = maps.Clone(s.values)
	return nil
}
