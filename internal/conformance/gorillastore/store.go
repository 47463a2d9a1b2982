// Package gorillastore has stores of gorilla/sessions for tests: one that keeps
// sessions on the server, as most do, and one that fails.
package gorillastore

import (
	"crypto/rand"
	"maps"
	"net/http"
	"sync"

	"github.com/gorilla/securecookie"
	"github.com/gorilla/sessions"
)

// Memory keeps sessions in memory, as the stores over Redis, Memcached or SQL keep
// theirs: the cookie holds a signed ID, which is given once and kept for as long as
// the session has one, and a session of MaxAge below 0 is deleted.
type Memory struct {
	codecs []securecookie.Codec

	mu       sync.Mutex
	sessions map[string]map[any]any
}

// NewMemory returns an empty store with a key of its own.
func NewMemory() *Memory {
	return &Memory{
		codecs:   securecookie.CodecsFromPairs(securecookie.GenerateRandomKey(32)),
		sessions: map[string]map[any]any{},
	}
}

// Get implements sessions.Store.
func (m *Memory) Get(r *http.Request, name string) (*sessions.Session, error) {
	return sessions.GetRegistry(r).Get(m, name)
}

// New implements sessions.Store.
func (m *Memory) New(r *http.Request, name string) (*sessions.Session, error) {
	s := sessions.NewSession(m, name)
	s.Options = &sessions.Options{Path: "/", MaxAge: 86400}
	s.IsNew = true
	c, err := r.Cookie(name)
	if err != nil {
		return s, nil
	}
	if err := securecookie.DecodeMulti(name, c.Value, &s.ID, m.codecs...); err != nil {
		return s, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if values, ok := m.sessions[s.ID]; ok {
		s.Values, s.IsNew = maps.Clone(values), false
	}
	return s, nil
}

// Save implements sessions.Store.
func (m *Memory) Save(_ *http.Request, w http.ResponseWriter, s *sessions.Session) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s.Options.MaxAge < 0 {
		delete(m.sessions, s.ID)
		http.SetCookie(w, sessions.NewCookie(s.Name(), "", s.Options))
		return nil
	}
	if s.ID == "" {
		s.ID = rand.Text()
	}
	m.sessions[s.ID] = maps.Clone(s.Values)
	value, err := securecookie.EncodeMulti(s.Name(), s.ID, m.codecs...)
	if err != nil {
		return err
	}
	http.SetCookie(w, sessions.NewCookie(s.Name(), value, s.Options))
	return nil
}

// Faulty is a store that fails to open sessions while Fault returns an error.
type Faulty struct {
	sessions.Store
	Fault func() error
}

// Get implements sessions.Store.
func (f Faulty) Get(r *http.Request, name string) (*sessions.Session, error) {
	return sessions.GetRegistry(r).Get(f, name)
}

// New implements sessions.Store.
func (f Faulty) New(r *http.Request, name string) (*sessions.Session, error) {
	if err := f.Fault(); err != nil {
		return sessions.NewSession(f, name), err
	}
	return f.Store.New(r, name)
}
