package ginadapter

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/gin-contrib/sessions"
	"github.com/gin-gonic/gin"
	gorilla "github.com/gorilla/sessions"

	"github.com/tokenwell/tokenwell/core"
	"github.com/tokenwell/tokenwell/internal/gorillasession"
)

var errNoSession error = &core.Error{
	Op:  "configure",
	Err: errors.New("ginadapter: no session: use gin-contrib's sessions.Sessions before ginadapter.Mount"),
}

// openSession opens gin-contrib's session of c's browser: the one called name, or
// the only one. It is opened for every request, since the application may save it
// itself, and its cookie is to be as it must be then too.
func openSession(c *gin.Context, name string, cookie *http.Cookie) (core.Session, error) {
	found, ok := c.Get(sessions.DefaultKey)
	if !ok {
		return nil, errNoSession
	}
	if many, ok := found.(map[string]sessions.Session); ok {
		if found, ok = many[name]; !ok {
			return nil, fmt.Errorf("ginadapter: no session is called %q: set Options.SessionName", name)
		}
	}
	// gin-contrib logs a store's failure and hides it. What it wraps can be asked
	// again: gorilla remembers, for the request, what the store said.
	wrapped, ok := found.(interface{ Session() *gorilla.Session })
	if !ok {
		return nil, errNoSession
	}
	s := wrapped.Session()
	if s == nil {
		return nil, errors.New("ginadapter: the session store failed")
	}
	_, err := s.Store().Get(c.Request, s.Name())
	opened, err := gorillasession.Open(s, err, c.Writer, c.Request, cookie)
	if err != nil {
		return nil, fmt.Errorf("ginadapter: %w", err)
	}
	return opened, nil
}
