// Package gorillasession is what the adapters have in common: a session of
// gorilla/sessions, which gin-contrib/sessions is built on as well, with the
// methods that package core asks of one.
package gorillasession

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"strings"

	"github.com/gorilla/securecookie"
	"github.com/gorilla/sessions"
)

// Session is the session of one request. It is used by one goroutine.
type Session struct {
	session *sessions.Session
	w       http.ResponseWriter
	r       *http.Request
}

// Open returns s as a Session, and sees to it that its cookie has the attributes
// of cookie, whoever saves it. err is what the store said when it opened s: a
// cookie that cannot be decoded, or whose file is gone, is an empty session, any
// other failure an error.
func Open(s *sessions.Session, err error, w http.ResponseWriter, r *http.Request, cookie *http.Cookie) (*Session, error) {
	var decoding securecookie.Error
	empty := errors.As(err, &decoding) && decoding.IsDecode() || errors.Is(err, fs.ErrNotExist)
	if err != nil && !empty {
		return nil, fmt.Errorf("the session store failed: %w", err)
	}
	if s == nil {
		return nil, errors.New("the session store returned no session")
	}
	options := sessions.Options{}
	if s.Options != nil {
		options = *s.Options
	}
	options.Path = cookie.Path
	options.HttpOnly = cookie.HttpOnly
	options.SameSite = cookie.SameSite
	options.Secure = cookie.Secure
	if strings.HasPrefix(s.Name(), "__Host-") {
		options.Secure, options.Domain = true, "" // a browser drops it otherwise
	}
	s.Options = &options
	return &Session{session: s, w: w, r: r}, nil
}

// Get returns the text under key, "" if there is none.
func (s *Session) Get(key string) (string, error) {
	text, _ := s.session.Values[key].(string)
	return text, nil
}

// Set puts a text under key.
func (s *Session) Set(key, value string) { s.session.Values[key] = value }

// Delete removes key.
func (s *Session) Delete(key string) { delete(s.session.Values, key) }

// Renew drops everything and gives the session a new identity: a store that keeps
// sessions on the server would use the old one again otherwise.
func (s *Session) Renew() error {
	clear(s.session.Values)
	s.session.ID = ""
	s.session.IsNew = true
	return nil
}

// Save writes the session, and its cookie into the response.
func (s *Session) Save() error { return s.session.Save(s.r, s.w) }
