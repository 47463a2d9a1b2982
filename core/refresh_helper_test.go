package core_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tokenwell/tokenwell/core"
	"github.com/tokenwell/tokenwell/core/coretest"
	"github.com/tokenwell/tokenwell/store"
)

// The provider's access tokens live for an hour, of which the last minute is the
// early window.
const (
	untilEarly  = 59*time.Minute + 30*time.Second
	untilExpiry = time.Hour
)

// refreshRig is a provider, a store that can be watched, and a manager between
// them.
type refreshRig struct {
	t     testing.TB
	p     *coretest.Provider
	store *spyStore
	m     *core.Manager

	change []func(*core.Config)
}

func newRefreshRig(t testing.TB, o coretest.Options, change ...func(*core.Config)) *refreshRig {
	t.Helper()
	if o.Algorithm == "" {
		o.Algorithm = "ES256" // its keys are made in no time
	}
	return refreshRigAt(t, coretest.NewProvider(t, o), change...)
}

// inBubble runs a test with a rig in a synctest bubble. There synctest.Wait waits
// for everything that goes on behind the callers, the exchanges with the provider
// included, and real time passes only where somebody sleeps; the provider's clock
// is not part of it.
func inBubble(t *testing.T, o coretest.Options, run func(t *testing.T, r *refreshRig), change ...func(*core.Config)) {
	t.Helper()
	if o.Algorithm == "" {
		o.Algorithm = "ES256"
	}
	p := coretest.NewProvider(t, o) // outside: a server that listens would stop the bubble's time
	change = append([]func(*core.Config){func(c *core.Config) { c.Backchannel = bubbleClient(nil) }}, change...)
	synctest.Test(t, func(t *testing.T) { run(t, refreshRigAt(t, p, change...)) })
}

// bubbleClient is a back channel without connections that outlast an exchange.
// around, if there is one, stands between the manager and the provider.
func bubbleClient(around func(q *http.Request, send func() (*http.Response, error)) (*http.Response, error)) *http.Client {
	base := &http.Transport{DisableKeepAlives: true}
	if around == nil {
		return &http.Client{Transport: base}
	}
	return &http.Client{
		Timeout: time.Hour,
		Transport: roundTripper(func(q *http.Request) (*http.Response, error) {
			return around(q, func() (*http.Response, error) { return base.RoundTrip(q) })
		}),
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(q *http.Request) (*http.Response, error) { return f(q) }

// refreshRigAt is newRefreshRig at a provider that is there already.
func refreshRigAt(t testing.TB, p *coretest.Provider, change ...func(*core.Config)) *refreshRig {
	t.Helper()
	r := &refreshRig{t: t, p: p, store: &spyStore{inner: store.NewMemory()}, change: change}
	r.m = r.manager(change...)
	return r
}

// manager starts a further manager of the same application on the same store.
func (r *refreshRig) manager(change ...func(*core.Config)) *core.Manager {
	r.t.Helper()
	cfg := r.p.Config()
	cfg.Store = r.store
	cfg.Logger = slog.New(slog.DiscardHandler)
	for _, f := range change {
		f(&cfg)
	}
	m, err := core.New(r.t.Context(), cfg)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = m.Close(ctx)
	})
	return m
}

// restart closes the manager, which waits for whatever goes on behind its callers,
// and starts another one in its place.
func (r *refreshRig) restart() {
	r.t.Helper()
	if err := r.m.Close(context.Background()); err != nil {
		r.t.Fatal(err)
	}
	r.m = r.manager(r.change...)
}

// signedInUser is a user who has signed in.
type signedInUser struct {
	context.Context // in which they act by their browser
	session         core.Session
	ticket          core.Ticket
	key             string // of their record in the store
}

// signIn signs a user in, by a real login.
func (r *refreshRig) signIn(user string) signedInUser {
	r.t.Helper()
	s := coretest.NewSession()
	r.logIn(r.t.Context(), r.m, s, user)
	u := signedInUser{Context: r.m.NewContext(r.t.Context(), s), session: s}
	var err error
	if u.ticket, err = r.m.Ticket(u); err != nil {
		r.t.Fatal(err)
	}
	u.key = r.keyOf(r.m, u)
	return u
}

// logIn takes a user through a login at the provider.
func (r *refreshRig) logIn(ctx context.Context, m *core.Manager, s core.Session, user string) {
	r.t.Helper()
	address, err := m.StartLogin(ctx, s, core.LoginOptions{})
	if err != nil {
		r.t.Fatal(err)
	}
	browser := http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := browser.PostForm(address, url.Values{"user": {user}})
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	back, err := resp.Location()
	if err != nil {
		r.t.Fatalf("no authorization response, but %s", resp.Status)
	}
	if _, err := m.FinishLogin(ctx, s, back.Query()); err != nil {
		r.t.Fatal(err)
	}
}

// keyOf tells under which key of the store the user of ctx lies.
func (r *refreshRig) keyOf(m *core.Manager, ctx context.Context) (key string) {
	r.t.Helper()
	r.store.watch(func(op, k string) error { key = k; return nil }, nil)
	defer r.store.watch(nil, nil)
	_, _ = m.User(ctx)
	return key
}

// as returns a context in which the user acts by the browser session that they
// have, for a further request or another manager.
func (u signedInUser) as(m *core.Manager) context.Context {
	return m.NewContext(context.WithoutCancel(u.Context), u.session)
}

// get returns the user's token, which there must be.
func (r *refreshRig) get(ctx context.Context, opts ...core.TokenOption) *core.Token {
	r.t.Helper()
	tok, err := r.m.GetUserAccessToken(ctx, opts...)
	if err != nil {
		r.t.Fatal(err)
	}
	return tok
}

// refreshes returns the refresh tokens that have been sent, the oldest first.
func (r *refreshRig) refreshes() []string {
	var sent []string
	for _, q := range r.p.Requests(coretest.TokenEndpoint) {
		if q.Form.Get("grant_type") == "refresh_token" {
			sent = append(sent, q.Form.Get("refresh_token"))
		}
	}
	return sent
}

// revoked returns the tokens that the provider was asked to revoke.
func (r *refreshRig) revoked() []string {
	var tokens []string
	for _, q := range r.p.Requests(coretest.RevocationEndpoint) {
		tokens = append(tokens, q.Form.Get("token"))
	}
	return tokens
}

func (r *refreshRig) wantRefreshes(n int) {
	r.t.Helper()
	if got := r.p.Grants("refresh_token"); got != n {
		r.t.Errorf("%d refreshes, want %d", got, n)
	}
	if got := r.p.Reused(); got != 0 {
		r.t.Errorf("a refresh token was used again: %d times", got)
	}
}

// liveRefreshToken returns the one refresh token of the user that is in force.
func (r *refreshRig) liveRefreshToken(user string) string {
	r.t.Helper()
	live := r.p.RefreshTokens(user)
	if len(live) != 1 {
		r.t.Fatalf("%d refresh tokens of %s are in force, want one", len(live), user)
	}
	return live[0]
}

// storedRecord is what tests look at of a record; the golden file pins the rest.
type storedRecord struct {
	RefreshToken string                       `json:"refresh_token"`
	IDToken      string                       `json:"id_token"`
	Tokens       map[string]storedAccessToken `json:"tokens"`
	Used         int64                        `json:"used"`
	Claim        *struct {
		Attempt string `json:"attempt"`
	} `json:"claim"`
	Unanswered string `json:"unanswered"`
}

type storedAccessToken struct {
	AccessToken string `json:"access_token"`
}

// record returns the user's record; nil when there is none.
func (r *refreshRig) record(u signedInUser) *storedRecord {
	r.t.Helper()
	value, rev, err := r.store.inner.Load(context.Background(), u.key)
	if err != nil {
		r.t.Fatal(err)
	}
	if rev == "" {
		return nil
	}
	var rec storedRecord
	if err := json.Unmarshal(value, &rec); err != nil {
		r.t.Fatal(err)
	}
	return &rec
}

// edit changes the user's record behind the managers' backs.
func (r *refreshRig) edit(u signedInUser, change func(record map[string]any)) {
	r.t.Helper()
	ctx := context.Background()
	value, rev, err := r.store.inner.Load(ctx, u.key)
	if err != nil || rev == "" {
		r.t.Fatalf("no record to edit: %v", err)
	}
	var rec map[string]any
	if err := json.Unmarshal(value, &rec); err != nil {
		r.t.Fatal(err)
	}
	change(rec)
	if value, err = json.Marshal(rec); err != nil {
		r.t.Fatal(err)
	}
	if newRev, err := r.store.inner.Swap(ctx, u.key, rev, value, time.Hour); err != nil || newRev == "" {
		r.t.Fatalf("the record could not be edited: %v", err)
	}
}

// wantDead fails unless the session of u is over, for its browser and for jobs,
// and nothing of it is left in the store.
func (r *refreshRig) wantDead(u signedInUser) {
	r.t.Helper()
	for name, ctx := range map[string]context.Context{
		"the browser": u.as(r.m),
		"a job":       r.m.WithTicket(context.Background(), u.ticket),
	} {
		if _, err := r.m.GetUserAccessToken(ctx); !errors.Is(err, core.ErrLoginRequired) {
			r.t.Errorf("the session lives for %s: %v", name, err)
		}
	}
	if r.record(u) != nil {
		r.t.Error("the record is still in the store")
	}
}

// wantLoginRequired fails unless err is ErrLoginRequired.
func wantLoginRequired(t testing.TB, err error) {
	t.Helper()
	if !errors.Is(err, core.ErrLoginRequired) {
		t.Errorf("got %v, want ErrLoginRequired", err)
	}
}

// asError returns the *core.Error in err, which there must be.
func asError(t testing.TB, err error) *core.Error {
	t.Helper()
	var e *core.Error
	if !errors.As(err, &e) {
		t.Fatalf("got %v, want an *Error", err)
	}
	return e
}

// eventually waits for something that happens behind the test's back.
func eventually(t testing.TB, what string, happened func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !happened(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("in vain: %s", what)
		}
	}
}

// atOnce runs n functions at the same time and waits for them.
func atOnce(n int, run func(i int)) {
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		wg.Go(func() {
			<-start
			run(i)
		})
	}
	close(start)
	wg.Wait()
}

// spyStore is a store whose operations can be watched and made to fail.
type spyStore struct {
	inner store.Store

	mu            sync.Mutex
	before, after func(op, key string) error
}

// watch has before called in front of each operation, whose error stands in its
// place, and after behind it, whose error stands in place of its answer. They are
// called without a lock. nil calls nothing.
func (s *spyStore) watch(before, after func(op, key string) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.before, s.after = before, after
}

// fail makes the operations named fail, all of them if none is, until it is called
// again with a nil error.
func (s *spyStore) fail(err error, ops ...string) {
	if err == nil {
		s.watch(nil, nil)
		return
	}
	s.watch(func(op, _ string) error {
		for _, o := range ops {
			if o == op {
				return err
			}
		}
		if len(ops) == 0 {
			return err
		}
		return nil
	}, nil)
}

func (s *spyStore) around(op, key string, do func() error) error {
	s.mu.Lock()
	before, after := s.before, s.after
	s.mu.Unlock()
	if before != nil {
		if err := before(op, key); err != nil {
			return err
		}
	}
	if err := do(); err != nil || after == nil {
		return err
	}
	return after(op, key)
}

func (s *spyStore) Load(ctx context.Context, key string) (value []byte, rev string, err error) {
	err = s.around("Load", key, func() (err error) {
		value, rev, err = s.inner.Load(ctx, key)
		return err
	})
	return value, rev, err
}

func (s *spyStore) Peek(ctx context.Context, key string) (value []byte, rev string, err error) {
	err = s.around("Peek", key, func() (err error) {
		value, rev, err = s.inner.Peek(ctx, key)
		return err
	})
	return value, rev, err
}

func (s *spyStore) Swap(ctx context.Context, key, rev string, value []byte, ttl time.Duration) (newRev string, err error) {
	err = s.around("Swap", key, func() (err error) {
		newRev, err = s.inner.Swap(ctx, key, rev, value, ttl)
		return err
	})
	if err != nil {
		return "", err
	}
	return newRev, nil
}

func (s *spyStore) Delete(ctx context.Context, key, rev string) (deleted bool, err error) {
	err = s.around("Delete", key, func() (err error) {
		deleted, err = s.inner.Delete(ctx, key, rev)
		return err
	})
	return deleted && err == nil, err
}

var errStoreDown = errors.New("the store is down")
