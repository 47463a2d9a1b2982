package core_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tokenwell/tokenwell/core"
	"github.com/tokenwell/tokenwell/core/coretest"
)

// mint makes a new token for every request, and remembers what it was asked for.
type mint struct {
	now  func() time.Time
	life time.Duration // 0: tokens that do not expire
	fail atomic.Pointer[error]

	mu    sync.Mutex
	asked []core.TokenRequest
}

func (s *mint) RetrieveToken(ctx context.Context, req core.TokenRequest) (*core.Token, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, req)
	if err := s.fail.Load(); err != nil {
		return nil, *err
	}
	tok := &core.Token{AccessToken: fmt.Sprintf("minted-%d", len(s.asked)), Type: "Bearer"}
	if s.life != 0 {
		tok.Expiry = s.now().Add(s.life)
	}
	return tok, ctx.Err()
}

func (s *mint) want(t testing.TB, n int) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.asked) != n {
		t.Errorf("the retriever was asked %d times, want %d", len(s.asked), n)
	}
}

// byHand gets a token by hand, which must be had.
func byHand(ctx context.Context, t testing.TB, m *core.Manager, r core.TokenRetriever, opts ...core.TokenOption) *core.Token {
	t.Helper()
	tok, err := m.Token(ctx, r, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// A token is kept for the user, for every field of the request and for what the key
// says; everybody else gets another one (CVE-2025-26620).
func TestCacheByKeepsApartWhateverDiffers(t *testing.T) {
	t.Parallel()
	r := newRefreshRig(t, coretest.Options{})
	tokens := &mint{}
	type tenant struct{}
	key := func(ctx context.Context, _ core.TokenRequest) (string, error) {
		name, _ := ctx.Value(tenant{}).(string)
		return name, nil
	}
	one, two := core.CacheBy(key, tokens), core.CacheBy(key, tokens)
	nobody := t.Context()
	alice, bob := r.signIn("alice"), r.signIn("bob")
	asks := []struct {
		ctx  context.Context
		r    core.TokenRetriever
		opts []core.TokenOption
	}{
		{nobody, one, nil},
		{nobody, two, nil},
		{alice, one, nil},
		{bob, one, nil},
		{context.WithValue(nobody, tenant{}, "blue"), one, nil},
		{context.WithValue(alice, tenant{}, "blue"), one, nil},
		{nobody, one, []core.TokenOption{core.WithScopes()}},
		{nobody, one, []core.TokenOption{core.WithScopes("a")}},
		{nobody, one, []core.TokenOption{core.WithScopes("a", "b")}},
		{nobody, one, []core.TokenOption{core.WithScopes("a b")}},
		{nobody, one, []core.TokenOption{core.WithResource("a")}},
		{nobody, one, []core.TokenOption{core.WithRegistration("a")}},
		{nobody, one, []core.TokenOption{core.WithParams(url.Values{})}},
		{nobody, one, []core.TokenOption{core.WithParams(url.Values{"a": {"b"}})}},
		{nobody, one, []core.TokenOption{core.WithParams(url.Values{"a": {"b", "c"}})}},
	}
	same := 1 // "a b" is how two scopes are sent
	var mu sync.Mutex
	whose := make(map[string]map[int]bool)
	atOnce(10*len(asks), func(i int) {
		ask := asks[i%len(asks)]
		tok, err := r.m.Token(ask.ctx, ask.r, ask.opts...)
		if err != nil {
			t.Error(err)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		if whose[tok.AccessToken] == nil {
			whose[tok.AccessToken] = make(map[int]bool)
		}
		whose[tok.AccessToken][i%len(asks)] = true
	})
	tokens.want(t, len(asks)-same)
	for _, of := range whose {
		if len(of) > 1 && (!of[8] || !of[9]) {
			t.Errorf("one token for the requests %v", of)
		}
	}
	byHand(nobody, t, r.m, one, core.WithScopes("b", "a"))
	tokens.want(t, len(asks)-same)
	// The same user in another browser request, or by a ticket, is the same user.
	byHand(alice.as(r.m), t, r.m, one)
	byHand(r.m.WithTicket(t.Context(), alice.ticket), t, r.m, one)
	tokens.want(t, len(asks)-same)
}

func TestCacheByRetrievesOnceForAThousandCallers(t *testing.T) {
	t.Parallel()
	m := newClientManager(t, nil)
	tokens := &mint{}
	cached := core.CacheBy(nil, tokens)
	atOnce(1000, func(int) {
		if tok, err := m.Token(t.Context(), cached); err != nil || tok.AccessToken != "minted-1" {
			t.Errorf("%v, %v", tok, err)
		}
	})
	tokens.want(t, 1)
}

// Shortly before a token expires it is still returned, and replaced behind the caller;
// once it has expired the caller waits.
func TestCacheByRenewsEarly(t *testing.T) {
	t.Parallel()
	p := newESProvider(t)
	synctest.Test(t, func(t *testing.T) {
		cfg := p.Config()
		cfg.Backchannel = bubbleClient(nil)
		m := startClientManager(t, cfg)
		tokens := &mint{now: p.Now, life: time.Hour}
		cached := core.CacheBy(nil, tokens)
		first := byHand(t.Context(), t, m, cached)
		p.Advance(untilEarly)
		if byHand(t.Context(), t, m, cached) != first {
			t.Error("a caller waited though the token lives")
		}
		synctest.Wait()
		tokens.want(t, 2)
		second := byHand(t.Context(), t, m, cached)
		if second == first {
			t.Error("not renewed behind the caller")
		}
		p.Advance(untilExpiry)
		if byHand(t.Context(), t, m, cached) == second {
			t.Error("an expired token was returned")
		}
		tokens.want(t, 3)
	})
}

// A forced renewal, and the token that an API refused, reach what is inside.
func TestCacheByPassesRefusalsOn(t *testing.T) {
	t.Parallel()
	tokens := &mint{}
	api := newClientAPI(t, accepting("minted-2"))
	m := newClientManager(t, map[string]core.HTTPClient{"api": {BaseURL: api.URL, Token: core.CacheBy(nil, tokens)}})
	for range 3 {
		if status, _ := get(t.Context(), t, m.HTTPClient("api"), "list"); status != http.StatusOK {
			t.Errorf("status %d", status)
		}
	}
	tokens.want(t, 2)
	if again := tokens.asked[1]; !again.ForceRenewal || again.Rejected == nil || again.Rejected.AccessToken != "minted-1" {
		t.Errorf("after the 401 the retriever was asked for %v, Rejected %v", again, again.Rejected)
	}
	if first := tokens.asked[0]; first.ForceRenewal || first.Rejected != nil {
		t.Errorf("at first the retriever was asked for %v", first)
	}
}

// What the retriever sees of an outgoing request is a copy that cannot consume its
// body and does not end with it.
func TestCacheByShowsACopyOfTheRequest(t *testing.T) {
	t.Parallel()
	var seen *http.Request
	r := core.RetrieverFunc(func(_ context.Context, req core.TokenRequest) (*core.Token, error) {
		seen = req.HTTP
		return &core.Token{AccessToken: "a"}, nil
	})
	var got []byte
	api := newClientAPI(t, func(_ http.ResponseWriter, r *http.Request) { got, _ = io.ReadAll(r.Body) })
	m := newClientManager(t, map[string]core.HTTPClient{"api": {BaseURL: api.URL, Token: core.CacheBy(nil, r)}})
	ctx, cancel := context.WithCancel(t.Context())
	q := newRequest(ctx, t, "POST list", strings.NewReader("the body"))
	q.Header.Set("X-Tenant", "blue")
	if _, _, err := do(t, m.HTTPClient("api"), q); err != nil {
		t.Fatal(err)
	}
	cancel()
	if seen.Header.Get("X-Tenant") != "blue" || seen.URL.Path != "/list" || seen.Method != http.MethodPost {
		t.Errorf("saw %s %s %v", seen.Method, seen.URL, seen.Header)
	}
	if seen.Body != nil || seen.GetBody != nil || seen.Context().Err() != nil || string(got) != "the body" {
		t.Errorf("body %v, to be had again: %t; context %v; the API got %q", seen.Body, seen.GetBody != nil, seen.Context().Err(), got)
	}
	byHand(t.Context(), t, m, core.CacheBy(nil, r))
	if seen == nil || seen.Header == nil || seen.URL == nil {
		t.Errorf("by hand it saw %v", seen)
	}
}

// Whoever came first may leave: the others get the token, which they share.
func TestCacheByGoesOnWithoutWhoeverCameFirst(t *testing.T) {
	t.Parallel()
	type key struct{}
	started, proceed := make(chan struct{}), make(chan struct{})
	var once sync.Once
	var value any
	r := core.RetrieverFunc(func(ctx context.Context, _ core.TokenRequest) (*core.Token, error) {
		once.Do(func() { close(started) })
		<-proceed
		value = ctx.Value(key{})
		return &core.Token{AccessToken: "a"}, ctx.Err()
	})
	cached := core.CacheBy(nil, r)
	m := newClientManager(t, nil)
	first, hangUp := context.WithCancel(context.WithValue(t.Context(), key{}, "value"))
	left, got := make(chan error, 1), make(chan error, 1)
	go func() { _, err := m.Token(first, cached); left <- err }()
	waitFor(t, "the retrieval", started)
	go func() { _, err := m.Token(t.Context(), cached); got <- err }()
	hangUp()
	if err := waitFor(t, "the caller who left", left); !errors.Is(err, context.Canceled) {
		t.Errorf("the caller who left got %v", err)
	}
	close(proceed)
	if err := waitFor(t, "the caller who stayed", got); err != nil {
		t.Errorf("the caller who stayed got %v", err)
	}
	if value != "value" {
		t.Errorf("the retriever saw the value %v", value)
	}
}

// After a failure the retriever is left alone for a while; a live token is served
// meanwhile.
func TestCacheByPausesAfterFailures(t *testing.T) {
	t.Parallel()
	r := newRefreshRig(t, coretest.Options{})
	tokens := &mint{now: r.p.Now, life: time.Hour}
	cached := core.CacheBy(nil, tokens)
	broken := errors.New("broken")
	tokens.fail.Store(&broken)
	for range 10 {
		if _, err := r.m.Token(t.Context(), cached); !errors.Is(err, broken) {
			t.Errorf("%v", err)
		}
	}
	tokens.want(t, 1)
	r.p.Advance(time.Minute)
	tokens.fail.Store(nil)
	tok := byHand(t.Context(), t, r.m, cached)
	tokens.fail.Store(&broken)
	if got, err := r.m.Token(t.Context(), cached, core.WithForceRenewal()); err == nil {
		t.Errorf("a forced renewal that failed gave %v", got)
	}
	if byHand(t.Context(), t, r.m, cached) != tok {
		t.Error("the live token is not served")
	}
}

// What is kept for a user ends with the session: by logout, by its lifetime, by its
// idle time; asking for it is use of the session, as every other request of the
// browser's is.
func TestCacheByEndsWithTheSession(t *testing.T) {
	t.Parallel()
	inside := func(tokens *mint) core.TokenRetriever {
		return core.RetrieverFunc(func(ctx context.Context, req core.TokenRequest) (*core.Token, error) {
			if _, err := core.UserToken().RetrieveToken(ctx, core.TokenRequest{}); err != nil {
				return nil, err
			}
			return tokens.RetrieveToken(ctx, req)
		})
	}
	for name, end := range map[string]func(r *refreshRig, u signedInUser){
		"logout": func(r *refreshRig, u signedInUser) {
			if _, err := r.m.Logout(u.as(r.m), u.session); err != nil {
				r.t.Fatal(err)
			}
		},
		"lifetime": func(r *refreshRig, _ signedInUser) { r.p.Advance(9 * time.Hour) },
		"idle":     func(r *refreshRig, _ signedInUser) { r.p.Advance(31 * time.Minute) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRefreshRig(t, coretest.Options{AccessTokenLife: 24 * time.Hour}, idleFor(30*time.Minute))
			tokens := &mint{}
			cached := core.CacheBy(nil, inside(tokens))
			u := r.signIn("alice")
			byJob := r.m.WithTicket(t.Context(), u.ticket)
			for range 3 {
				r.p.Advance(20 * time.Minute)
				byHand(u.as(r.m), t, r.m, cached)
			}
			byHand(byJob, t, r.m, cached)
			tokens.want(t, 1)
			end(r, u)
			for _, ctx := range []context.Context{u.as(r.m), byJob} {
				if name == "logout" && ctx != byJob {
					continue // the browser's session holds no ticket any more
				}
				tok, err := r.m.Token(ctx, cached)
				if !errors.Is(err, core.ErrLoginRequired) {
					t.Errorf("%v, %v, want ErrLoginRequired", tok, err)
				}
			}
			tokens.want(t, 1)
		})
	}
}

// Nothing that is kept is served for a session that cannot be read, and was not there a
// moment ago.
func TestCacheByServesNothingWhileTheSessionCannotBeRead(t *testing.T) {
	t.Parallel()
	r := newRefreshRig(t, coretest.Options{})
	tokens := &mint{}
	cached := core.CacheBy(nil, core.RetrieverFunc(func(ctx context.Context, req core.TokenRequest) (*core.Token, error) {
		if _, err := core.UserToken().RetrieveToken(ctx, core.TokenRequest{}); err != nil {
			return nil, err
		}
		return tokens.RetrieveToken(ctx, req)
	}))
	u := r.signIn("alice")
	byHand(u.as(r.m), t, r.m, cached)
	r.store.fail(errStoreDown)
	byHand(u.as(r.m), t, r.m, cached)
	other := r.manager()
	if tok, err := other.Token(u.as(other), cached); !errors.Is(err, errStoreDown) {
		t.Errorf("%v, %v", tok, err)
	}
	r.store.fail(nil)
	byHand(u.as(r.m), t, r.m, cached)
	tokens.want(t, 1)
}

// What is wrong with a retriever, or with the key, is an error and not a crash; it is
// not kept.
func TestCacheByRefusesWhatIsNoToken(t *testing.T) {
	t.Parallel()
	returning := func(tok *core.Token, err error) core.TokenRetriever {
		return core.RetrieverFunc(func(context.Context, core.TokenRequest) (*core.Token, error) { return tok, err })
	}
	broken := errors.New("no tenant")
	for name, test := range map[string]struct {
		r    core.TokenRetriever
		want string
	}{
		"no retriever":      {core.CacheBy(nil, nil), "the retriever is nil"},
		"nothing":           {core.CacheBy(nil, returning(nil, nil)), "neither a token nor an error"},
		"an empty token":    {core.CacheBy(nil, returning(&core.Token{}, nil)), "no access token"},
		"an unusable token": {core.CacheBy(nil, returning(&core.Token{AccessToken: "a", Type: "mac"}, nil)), "cannot use"},
		"a broken token":    {core.CacheBy(nil, returning(&core.Token{AccessToken: "sentinel\r\nX: y"}, nil)), "characters"},
		"an expired token":  {core.CacheBy(nil, returning(&core.Token{AccessToken: "a", Expiry: time.Unix(1, 0)}, nil)), ""},
		"a panic": {core.CacheBy(nil, core.RetrieverFunc(func(context.Context, core.TokenRequest) (*core.Token, error) {
			panic("sentinel")
		})), "panic of type string"},
		"a failing key": {core.CacheBy(func(context.Context, core.TokenRequest) (string, error) { return "", broken }, returning(nil, nil)), broken.Error()},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newClientManager(t, nil)
			tok, err := m.Token(t.Context(), test.r)
			if test.want == "" {
				if err != nil || tok == nil {
					t.Errorf("%v, %v", tok, err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "sentinel") {
				t.Errorf("%v, %v, want %q", tok, err, test.want)
			}
		})
	}
}
