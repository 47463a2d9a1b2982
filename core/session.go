package core

import (
	"context"
	"encoding/json"
	"iter"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// Session is the browser's half of a login: the framework's session, in which
// Tokenwell keeps a ticket and one secret for logins under way. Never a token.
//
// The adapters implement it over gin-contrib/sessions and gorilla/sessions.
// A session that cannot be read is an error; one that holds no such key is "".
// Renew drops everything in it and gives it a new identity, against session
// fixation; nothing reaches the browser before Save. A Session is used by one
// goroutine.
type Session interface {
	Get(key string) (string, error)
	Set(key, value string)
	Delete(key string)
	Renew() error
	Save() error
}

// SessionFunc opens the session of a request's browser. It is called once for
// each request, whose context carries the manager already ([From]), and should do
// no work before the session is used.
type SessionFunc func(http.ResponseWriter, *http.Request) (Session, error)

// ContextKey is a key under which a context that answers to string keys only,
// such as a *gin.Context, gives the request's own context. The adapters set it.
const ContextKey = "github.com/tokenwell/tokenwell"

type bindingKey struct{}

// binding ties a context to a user of one manager. Bindings of several managers
// form a chain.
type binding struct {
	// What every call for a token looks at comes first, and close together.
	m    *Manager
	once sync.Once
	key  string                // under which the record lies
	seen atomic.Pointer[login] // the newest decoded record this request has met
	err  error

	outer   *binding
	session Session // nil for a ticket handed to a job
	ticket  Ticket
	login   loginState
}

// read takes the ticket from the session, once: frameworks' sessions are lazy and
// not safe for concurrent use.
func (b *binding) read() error {
	b.once.Do(func() {
		if b.session == nil { // it could not even be opened
			if b.err == nil {
				b.err = errNoTicket
			}
			return
		}
		b.ticket, b.login, b.err = b.m.readSession(b.session)
		if b.err == nil && b.ticket == "" {
			b.err = errNoTicket
		}
		if b.ticket != "" {
			b.key = b.m.keys.session(b.ticket)
		}
	})
	return b.err
}

// NewContext returns a context that carries m and the user of this browser
// session, if one is signed in. s is read when a token is first asked for.
func (m *Manager) NewContext(ctx context.Context, s Session) context.Context {
	if m == nil {
		return ctx
	}
	return context.WithValue(ctx, bindingKey{}, &binding{m: m, outer: bindings(ctx), session: s})
}

// From returns the manager that was put into ctx last, or nil. The methods of a
// nil *Manager answer with [ErrNoManager].
func From(ctx context.Context) *Manager {
	if b := bindings(ctx); b != nil {
		return b.m
	}
	return nil
}

func bindings(ctx context.Context) *binding {
	if b, ok := ctx.Value(bindingKey{}).(*binding); ok {
		return b
	}
	if inner, ok := ctx.Value(ContextKey).(context.Context); ok {
		b, _ := inner.Value(bindingKey{}).(*binding)
		return b
	}
	return nil
}

// users yields the innermost binding of each manager in ctx.
func users(ctx context.Context) iter.Seq[*binding] {
	return func(yield func(*binding) bool) {
		var inner []*Manager
		for b := bindings(ctx); b != nil; b = b.outer {
			if slices.Contains(inner, b.m) {
				continue
			}
			if !yield(b) {
				return
			}
			inner = append(inner, b.m)
		}
	}
}

// binding returns the innermost binding of ctx that is m's, or nil, and the
// context to wait with: ctx itself, or the request's where ctx only leads there.
func (m *Manager) binding(ctx context.Context) (*binding, context.Context) {
	b, ok := ctx.Value(bindingKey{}).(*binding)
	if !ok {
		if inner, found := ctx.Value(ContextKey).(context.Context); found {
			b, _ = inner.Value(bindingKey{}).(*binding)
			if ctx.Done() == nil {
				ctx = inner
			}
		}
	}
	for b != nil && b.m != m {
		b = b.outer
	}
	return b, ctx
}

// loginState is what a browser session holds beside the ticket: the secret that
// binds logins under way to this browser. A login changes the secret, and the
// previous one still serves the logins that other tabs had started by then.
type loginState struct {
	Secret   string `json:"s,omitempty"`
	Previous string `json:"p,omitempty"`
	Changed  int64  `json:"c,omitempty"` // Unix seconds: when Previous was replaced
	SignedIn int64  `json:"t,omitempty"` // Unix seconds of the last login
	Done     string `json:"d,omitempty"` // digest of the state that was used last
}

// started reports whether the login was started in this browser.
func (s *loginState) started(p *pendingLogin) bool {
	return sameSecret(s.Secret, p.Browser) || s.startedBefore(p)
}

// startedBefore reports whether it was started before the secret changed.
func (s *loginState) startedBefore(p *pendingLogin) bool {
	return sameSecret(s.Previous, p.Browser) && p.Started <= s.Changed
}

// finished is the state after a login: one that was started before the secret
// changed leaves it, for the tabs that are still under way.
func (s *loginState) finished(p *pendingLogin, state string, now int64) loginState {
	next := loginState{Secret: s.Secret, Previous: s.Previous, Changed: s.Changed, SignedIn: now, Done: digest(state)}
	if !s.startedBefore(p) {
		next.Secret, next.Previous, next.Changed = newSecret(), s.Secret, now
	}
	return next
}

// readSession returns what the browser's session holds of m's.
func (m *Manager) readSession(s Session) (Ticket, loginState, error) {
	var state loginState
	ticket, err := s.Get(m.keys.ticket)
	if err != nil {
		return "", state, sessionError(err)
	}
	text, err := s.Get(m.keys.login)
	if err != nil {
		return "", state, sessionError(err)
	}
	if text != "" && json.Unmarshal([]byte(text), &state) != nil {
		state = loginState{} // not ours: as if no login were under way
	}
	return Ticket(ticket), state, nil
}

func (m *Manager) writeLoginState(s Session, state loginState) {
	text, _ := json.Marshal(state)
	s.Set(m.keys.login, string(text))
}

// renewSession gives the browser a new session that holds a ticket of m's. What other
// managers keep in it moves along if the user is the same as before.
func (m *Manager) renewSession(s Session, ticket Ticket, state loginState, sameUser bool) error {
	spaces, kept, err := m.neighbours(s)
	if err != nil {
		return err
	}
	if err := s.Renew(); err != nil {
		return err
	}
	if !sameUser {
		spaces, kept = nil, nil
	}
	for key, value := range kept {
		s.Set(key, value)
	}
	s.Set(spacesKey, strings.Join(append(spaces, m.keys.space), " "))
	s.Set(m.keys.ticket, string(ticket))
	m.writeLoginState(s, state)
	return s.Save()
}

// neighbours returns the other managers that have a ticket in the session, and
// what they keep there.
func (m *Manager) neighbours(s Session) (spaces []string, kept map[string]string, err error) {
	index, err := s.Get(spacesKey)
	if err != nil {
		return nil, nil, err
	}
	kept = make(map[string]string)
	for _, space := range strings.Fields(index) {
		if space == m.keys.space {
			continue
		}
		spaces = append(spaces, space)
		for _, key := range []string{ticketKey(space), loginKey(space)} {
			if kept[key], err = s.Get(key); err != nil {
				return nil, nil, err
			}
		}
	}
	return spaces, kept, nil
}
