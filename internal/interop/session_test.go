package interop_test

import (
	"crypto/rand"
	"maps"
	"net/http"
	"sync"

	"github.com/tokenwell/tokenwell/core"
)

// sessions are browser sessions in memory, for an application on plain net/http: the cookie is a name, and all else
// stays here.
type sessions struct {
	mu   sync.Mutex
	kept map[string]map[string]string
}

const sessionCookie = "interop-app"

func newSessions() *sessions {
	return &sessions{kept: map[string]map[string]string{}}
}

// open is a core.SessionFunc.
func (s *sessions) open(w http.ResponseWriter, r *http.Request) (core.Session, error) {
	opened := &session{all: s, w: w, values: map[string]string{}}
	c, err := r.Cookie(sessionCookie)
	if err != nil {
		return opened, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if values, found := s.kept[c.Value]; found {
		opened.id, opened.values = c.Value, maps.Clone(values)
	}
	return opened, nil
}

type session struct {
	all    *sessions
	w      http.ResponseWriter
	id     string // "" until saved
	old    string // of the session that this one replaces
	values map[string]string
}

func (s *session) Get(key string) (string, error) { return s.values[key], nil }
func (s *session) Set(key, value string)          { s.values[key] = value }
func (s *session) Delete(key string)              { delete(s.values, key) }

func (s *session) Renew() error {
	if s.id != "" {
		s.old = s.id
	}
	s.id, s.values = "", map[string]string{}
	return nil
}

func (s *session) Save() error {
	if s.id == "" {
		s.id = rand.Text()
		http.SetCookie(s.w, &http.Cookie{
			Name: sessionCookie, Value: s.id, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode,
		})
	}
	s.all.mu.Lock()
	defer s.all.mu.Unlock()
	delete(s.all.kept, s.old)
	s.all.kept[s.id] = maps.Clone(s.values)
	return nil
}
