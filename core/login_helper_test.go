package core_test

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tokenwell/tokenwell/core"
	"github.com/tokenwell/tokenwell/core/coretest"
	"github.com/tokenwell/tokenwell/store"
)

// loginRig is a provider and a manager whose logins are made by hand, step by step.
type loginRig struct {
	t     testing.TB
	p     *coretest.Provider
	m     *core.Manager
	store *loginStore
}

func newLoginRig(t testing.TB, o coretest.Options, change ...func(*core.Config)) *loginRig {
	t.Helper()
	if o.Algorithm == "" {
		o.Algorithm = "ES256" // its keys are made in no time
	}
	r := &loginRig{t: t, p: coretest.NewProvider(t, o), store: &loginStore{Memory: store.NewMemory(), live: map[string]bool{}}}
	r.m = r.manager(r.p, change...)
	return r
}

// manager makes a further manager, on the same store.
func (r *loginRig) manager(p *coretest.Provider, change ...func(*core.Config)) *core.Manager {
	r.t.Helper()
	cfg := p.Config()
	cfg.Store = r.store
	cfg.Logger = slog.New(slog.DiscardHandler)
	for _, f := range change {
		f(&cfg)
	}
	m, err := core.New(r.t.Context(), cfg)
	if err != nil {
		r.t.Fatal(err)
	}
	return m
}

// start begins a login and returns where at the provider it leads to.
func (r *loginRig) start(s core.Session, o ...core.LoginOptions) *url.URL {
	r.t.Helper()
	var opts core.LoginOptions
	if len(o) > 0 {
		opts = o[0]
	}
	address, err := r.m.StartLogin(r.t.Context(), s, opts)
	if err != nil {
		r.t.Fatal(err)
	}
	u, err := url.Parse(address)
	if err != nil {
		r.t.Fatal(err)
	}
	return u
}

// sign signs a user in at the provider and returns the authorization response.
func (r *loginRig) sign(at *url.URL, user string) url.Values {
	r.t.Helper()
	return r.submit(at, url.Values{"user": {user}})
}

func (r *loginRig) submit(at *url.URL, form url.Values) url.Values {
	r.t.Helper()
	browser := http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := browser.PostForm(at.String(), form)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	back, err := resp.Location()
	if err != nil {
		r.t.Fatalf("no authorization response, but %s", resp.Status)
	}
	return back.Query()
}

func (r *loginRig) finish(s core.Session, answer url.Values) (*core.LoginResult, error) {
	return r.m.FinishLogin(r.t.Context(), s, answer)
}

// login signs a user in.
func (r *loginRig) login(s core.Session, user string) *core.LoginResult {
	r.t.Helper()
	result, err := r.finish(s, r.sign(r.start(s), user))
	if err != nil {
		r.t.Fatal(err)
	}
	return result
}

// user returns who is signed in in a session, "" for nobody.
func (r *loginRig) user(s core.Session) string {
	r.t.Helper()
	user, err := r.m.User(r.m.NewContext(r.t.Context(), s))
	switch {
	case errors.Is(err, core.ErrLoginRequired):
		return ""
	case err != nil:
		r.t.Fatal(err)
	}
	return user.Subject
}

// wantRefused fails unless err says that an answer is not to be believed, and
// returns it.
func (r *loginRig) wantRefused(what string, result *core.LoginResult, err error) *core.Error {
	r.t.Helper()
	var e *core.Error
	if result != nil || !errors.As(err, &e) || core.StatusCode(err) != http.StatusBadRequest || e.Op != "login" || e.Temporary() {
		r.t.Fatalf("%s: got %v, %v (%d), want a refusal", what, result, err, core.StatusCode(err))
	}
	return e
}

// wantNothingKept fails if a login, or a refresh token of user, is left.
func (r *loginRig) wantNothingKept(what, user string) {
	r.t.Helper()
	if got := r.store.count(":s:"); got != 0 {
		r.t.Errorf("%s: %d logins are in the store", what, got)
	}
	if got := r.p.RefreshTokens(user); len(got) != 0 {
		r.t.Errorf("%s: %d refresh tokens are in force", what, len(got))
	}
}

func copyOf(values url.Values) url.Values {
	c := url.Values{}
	for name := range values {
		c[name] = append([]string(nil), values[name]...)
	}
	return c
}

// loginSession is a browser's session whose failures can be arranged. Copies of it
// are what several requests of one browser have.
type loginSession struct {
	values  map[string]string
	renewed int
	saved   int
	fail    map[string]error // by method
}

func newLoginSession() *loginSession {
	return &loginSession{values: map[string]string{}, fail: map[string]error{}}
}

func (s *loginSession) copy() *loginSession {
	return &loginSession{values: maps.Clone(s.values), fail: s.fail}
}

func (s *loginSession) Get(key string) (string, error) { return s.values[key], s.fail["Get"] }
func (s *loginSession) Set(key, value string)          { s.values[key] = value }
func (s *loginSession) Delete(key string)              { delete(s.values, key) }

func (s *loginSession) Renew() error {
	if err := s.fail["Renew"]; err != nil {
		return err
	}
	s.renewed++
	clear(s.values)
	return nil
}

func (s *loginSession) Save() error {
	if err := s.fail["Save"]; err != nil {
		return err
	}
	s.saved++
	return nil
}

func (s *loginSession) size() int {
	n := 0
	for key, value := range s.values {
		n += len(key) + len(value)
	}
	return n
}

// loginStore is a store in memory that knows its keys and fails when told to.
type loginStore struct {
	*store.Memory
	mu   sync.Mutex
	live map[string]bool
	fail func(op, key string) error
}

func (s *loginStore) failing(fail func(op, key string) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = fail
}

func (s *loginStore) fault(op, key string) error {
	s.mu.Lock()
	fail := s.fail
	s.mu.Unlock()
	if fail == nil {
		return nil
	}
	return fail(op, key)
}

// count returns how many keys of a kind there are.
func (s *loginStore) count(kind string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for key := range s.live {
		if strings.Contains(key, kind) {
			n++
		}
	}
	return n
}

func (s *loginStore) Load(ctx context.Context, key string) ([]byte, string, error) {
	if err := s.fault("Load", key); err != nil {
		return nil, "", err
	}
	return s.Memory.Load(ctx, key)
}

func (s *loginStore) Peek(ctx context.Context, key string) ([]byte, string, error) {
	if err := s.fault("Peek", key); err != nil {
		return nil, "", err
	}
	return s.Memory.Peek(ctx, key)
}

func (s *loginStore) Swap(ctx context.Context, key, rev string, value []byte, ttl time.Duration) (string, error) {
	if err := s.fault("Swap", key); err != nil {
		return "", err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	newRev, err := s.Memory.Swap(ctx, key, rev, value, ttl)
	if newRev != "" {
		s.live[key] = true
	}
	return newRev, err
}

func (s *loginStore) Delete(ctx context.Context, key, rev string) (bool, error) {
	if err := s.fault("Delete", key); err != nil {
		return false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	deleted, err := s.Memory.Delete(ctx, key, rev)
	if deleted {
		delete(s.live, key)
	}
	return deleted, err
}
