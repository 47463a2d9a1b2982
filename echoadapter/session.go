package echoadapter

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/gorilla/sessions"
	"github.com/labstack/echo/v4"

	"github.com/tokenwell/tokenwell/core"
	"github.com/tokenwell/tokenwell/internal/gorillasession"
)

// contribKey is where echo-contrib's session middleware leaves its store.
const contribKey = "_session_store"

var errNoStore error = &core.Error{
	Op:  "configure",
	Err: errors.New("echoadapter: no session store: give Mount one, or use echo-contrib's session middleware before it"),
}

// openSession opens gorilla's session of c's browser, in the given store or, if
// that is nil, in the one that echo-contrib's middleware set. It is opened for
// every request, since the application may save it itself, and its cookie is to
// be as it must be then too.
func openSession(c echo.Context, store sessions.Store, name string, r *http.Request, cookie *http.Cookie) (core.Session, error) {
	if store == nil {
		found, ok := c.Get(contribKey).(sessions.Store)
		if !ok {
			return nil, errNoStore
		}
		store = found
	}
	if name == "" {
		name = "tokenwell"
		if cookie.Secure {
			name = "__Host-tokenwell"
		}
	}
	s, err := store.Get(r, name)
	opened, err := gorillasession.Open(s, err, c.Response(), r, cookie)
	if err != nil {
		return nil, fmt.Errorf("echoadapter: %w", err)
	}
	return opened, nil
}
