package core_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tokenwell/tokenwell/core"
	"github.com/tokenwell/tokenwell/core/coretest"
	"github.com/tokenwell/tokenwell/store"
)

// Two names that differ in any byte are two names: a tenant called Müller and one
// called Möller, in Latin-1, are not one.
func TestTokensAreKeptApartByEveryByte(t *testing.T) {
	t.Parallel()
	const one, two = "urn:tenant:m\xfcller", "urn:tenant:m\xf6ller"
	r := newRefreshRig(t, coretest.Options{})
	if machineToken(t, r.m, core.WithResource(one)).AccessToken == machineToken(t, r.m, core.WithResource(two)).AccessToken {
		t.Error("the application has one token for two resources")
	}
	cached := core.CacheBy(nil, &mint{})
	if byHand(t.Context(), t, r.m, cached, core.WithResource(one)) == byHand(t.Context(), t, r.m, cached, core.WithResource(two)) {
		t.Error("CacheBy has one token for two resources")
	}
	alice := r.signIn("alice")
	if r.get(alice, core.WithResource(one)).AccessToken == r.get(alice, core.WithResource(two)).AccessToken {
		t.Error("the user has one token for two resources")
	}
}

// A scope is one scope: what a caller puts together cannot ask for a second.
func TestScopeWithASpaceIsRefused(t *testing.T) {
	t.Parallel()
	r := newRefreshRig(t, coretest.Options{})
	alice := r.signIn("alice")
	sent := len(r.p.Requests(coretest.TokenEndpoint))
	two := core.WithScopes("orders:acme admin")
	for name, get := range map[string]func() error{
		"the application": func() error { _, err := r.m.GetClientAccessToken(t.Context(), two); return err },
		"a user":          func() error { _, err := r.m.GetUserAccessToken(alice, two); return err },
		"an exchange": func() error {
			_, err := r.m.Token(alice, core.Exchange(core.UserToken(), core.ExchangeOptions{}), two)
			return err
		},
		"another grant": func() error {
			_, err := r.m.RequestToken(alice, url.Values{"grant_type": {jwtBearer}}, two)
			return err
		},
	} {
		if e := asError(t, get()); e.Op != "configure" {
			t.Errorf("%s: %v", name, e)
		}
	}
	if got := len(r.p.Requests(coretest.TokenEndpoint)); got != sent {
		t.Errorf("%d requests", got-sent)
	}
}

// A retriever may ask another manager of the program for its user: what it answers is
// kept for that user alone (CVE-2024-51987).
func TestCacheByKnowsTheUsersOfAllManagers(t *testing.T) {
	t.Parallel()
	r := newRefreshRig(t, coretest.Options{}) // where users sign in
	gateway := newClientManager(t, nil)
	tokens := core.CacheBy(nil, core.RetrieverFunc(func(ctx context.Context, _ core.TokenRequest) (*core.Token, error) {
		return r.m.GetUserAccessToken(ctx)
	}))
	alice, bob := r.signIn("alice"), r.signIn("bob")
	for range 2 {
		a, b := byHand(alice, t, gateway, tokens), byHand(bob, t, gateway, tokens)
		if a.AccessToken != r.get(alice).AccessToken || b.AccessToken != r.get(bob).AccessToken {
			t.Error("somebody got somebody else's token")
		}
	}
}

// Somebody who is signed in is not served as the application because a retriever
// asked, somewhere on its way, another manager or as nobody.
func TestFirstOfAsksWhetherAnybodyIsSignedIn(t *testing.T) {
	t.Parallel()
	r := newRefreshRig(t, coretest.Options{})
	alice := r.signIn("alice")
	other := newUserManager(t, newESProvider(t), "https://api.test", core.UserToken())
	asNobody := core.RetrieverFunc(func(ctx context.Context, _ core.TokenRequest) (*core.Token, error) {
		return other.GetUserAccessToken(ctx)
	})
	for name, first := range map[string]core.TokenRetriever{
		"a function":         asNobody,
		"an actor":           core.Exchange(core.UserToken(), core.ExchangeOptions{Actor: asNobody}),
		"CacheBy":            core.CacheBy(nil, asNobody),
		"an exchange inside": core.CacheBy(nil, core.Exchange(core.UserToken(), core.ExchangeOptions{Actor: asNobody})),
	} {
		if tok, err := r.m.Token(alice, core.FirstOf(first, core.ClientToken())); !errors.Is(err, core.ErrLoginRequired) {
			t.Errorf("%s: %v, %v", name, tok, err)
		}
	}
	if tok, err := r.m.Token(r.m.WithTicket(alice, ""), core.FirstOf(core.UserToken(), core.ClientToken())); err != nil {
		t.Errorf("nobody, in a context made from hers: %v, %v", tok, err)
	}
	_, err := r.m.Token(t.Context(), core.FirstOf(core.UserToken(), nil))
	if e := asError(t, err); e.Op != "configure" {
		t.Errorf("a nil retriever: %v", err)
	}
}

// What a caller does to its slices and maps after the call, or to what it was handed,
// changes nobody's request.
func TestRequestsAreNobodyElses(t *testing.T) {
	t.Parallel()
	t.Run("scopes of a request that goes on without its caller", func(t *testing.T) {
		t.Parallel()
		p := newESProvider(t)
		watched := &spyStore{inner: store.NewMemory()}
		cfg := p.Config()
		cfg.Store = watched
		m := startClientManager(t, cfg)
		scopes := []string{"read"}
		ask := core.RetrieverFunc(func(ctx context.Context, req core.TokenRequest) (*core.Token, error) {
			req.Scopes = scopes
			return core.ClientToken().RetrieveToken(ctx, req)
		})
		begun, gone := make(chan struct{}), make(chan struct{})
		var once sync.Once
		watched.watch(func(string, string) error {
			once.Do(func() { close(begun); <-gone })
			return nil
		}, nil)
		ctx, leave := context.WithCancel(t.Context())
		left := make(chan error, 1)
		go func() { _, err := m.Token(ctx, ask); left <- err }()
		waitFor(t, "the request", begun)
		leave()
		waitFor(t, "the caller's leaving", left)
		scopes[0] = "admin"
		close(gone)
		eventually(t, "the request", func() bool { return len(machineForms(p)) == 1 })
		if got := machineForms(p)[0].Get("scope"); got != "read" {
			t.Errorf("asked for %q", got)
		}
	})
	t.Run("scopes of a token", func(t *testing.T) {
		t.Parallel()
		p := coretest.NewProvider(t, coretest.Options{Algorithm: "ES256", Answer: func(a map[string]any) { delete(a, "scope") }})
		cfg := p.Config()
		cfg.ClientScopes = []string{"read", "list"}
		m := startClientManager(t, cfg)
		tok := machineToken(t, m)
		slices.Sort(tok.Scopes)
		machineToken(t, m, core.WithForceRenewal())
		if got := machineForms(p)[1].Get("scope"); got != "read list" {
			t.Errorf("the next request asks for %q", got)
		}
	})
	t.Run("parameters of an option", func(t *testing.T) {
		t.Parallel()
		m := newClientManager(t, nil)
		opts := []core.TokenOption{core.WithParams(url.Values{"audience": {"orders"}}), core.WithScopes("read")}
		var leaked atomic.Bool
		changing := core.RetrieverFunc(func(_ context.Context, req core.TokenRequest) (*core.Token, error) {
			if req.Params.Has("tenant") || req.Scopes[0] != "read" {
				leaked.Store(true)
			}
			req.Params.Set("tenant", "acme")
			req.Scopes[0] = "admin"
			return &core.Token{AccessToken: "a"}, nil
		})
		atOnce(8, func(int) { byHand(t.Context(), t, m, changing, opts...) })
		if leaked.Load() {
			t.Error("one caller's change reached another")
		}
	})
	t.Run("the header of a token", func(t *testing.T) {
		t.Parallel()
		p := newESProvider(t)
		m := startClientManager(t, p.Config())
		q := newRequest(t.Context(), t, "https://api.test/", nil)
		if err := machineToken(t, m).Authorize(q); err != nil {
			t.Fatal(err)
		}
		q.Header["Authorization"][0] = "[hidden from the log]"
		other := newRequest(t.Context(), t, "https://api.test/", nil)
		if err := machineToken(t, m).Authorize(other); err != nil || other.Header.Get("Authorization") == "[hidden from the log]" {
			t.Errorf("everybody sends %q, %v", other.Header.Get("Authorization"), err)
		}
	})
	t.Run("a token that its maker changes", func(t *testing.T) {
		t.Parallel()
		m := newClientManager(t, nil)
		mine := &core.Token{AccessToken: "one"}
		cached := core.CacheBy(nil, core.RetrieverFunc(func(context.Context, core.TokenRequest) (*core.Token, error) { return mine, nil }))
		byHand(t.Context(), t, m, cached)
		mine.AccessToken = "two"
		if tok := byHand(t.Context(), t, m, cached); tok.AccessToken != "one" {
			t.Errorf("what is kept is now %q", tok.AccessToken)
		}
	})
	t.Run("options of one outgoing request", func(t *testing.T) {
		t.Parallel()
		p := newESProvider(t)
		api := newClientAPI(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "minted") })
		cfg := p.Config()
		cfg.HTTPClients = map[string]core.HTTPClient{"mint": {BaseURL: api.URL, Token: core.ClientToken()}}
		m := startClientManager(t, cfg)
		cached := core.CacheBy(nil, core.RetrieverFunc(func(ctx context.Context, _ core.TokenRequest) (*core.Token, error) {
			_, body := get(ctx, t, m.HTTPClient("mint"), "x")
			return &core.Token{AccessToken: body}, nil
		}))
		byHand(core.WithOptions(t.Context(), core.WithScopes("admin")), t, m, cached)
		if got := machineForms(p)[0].Get("scope"); got != "" {
			t.Errorf("what is kept for all was got with %q", got)
		}
	})
}

// Two tenants may have one OAuth client: what befalls one of them is not the other's,
// nor told under its name.
func TestTenantsWithOneClientAreTwo(t *testing.T) {
	t.Parallel()
	p := coretest.NewProvider(t, coretest.Options{Algorithm: "ES256", Clients: map[string]string{"shared": "s"}})
	shared := core.Registration{Issuer: p.Issuer(), ClientID: "shared", ClientSecret: "s"}
	var removing atomic.Bool
	looking, looked := make(chan struct{}), make(chan struct{})
	m := startClientManager(t, core.Config{Now: p.Now, FindRegistration: func(_ context.Context, name string) (core.Registration, error) {
		if name == "a" && removing.Load() {
			close(looking)
			<-looked
			return core.Registration{}, nil
		}
		return shared, nil
	}})
	a, b := core.WithRegistration("a"), core.WithRegistration("b")
	if machineToken(t, m, a) != machineToken(t, m, b) {
		t.Error("one client has two tokens for one request")
	}
	p.Advance(5 * time.Second)
	removing.Store(true)
	var wg sync.WaitGroup
	wg.Go(func() {
		_, err := m.GetClientAccessToken(t.Context(), a, core.WithScopes("x"))
		if e := asError(t, err); e.Registration != "a" {
			t.Errorf("a: %v", err)
		}
	})
	waitFor(t, "the look", looking)
	wg.Go(func() { machineToken(t, m, b, core.WithScopes("x")) })
	close(looked)
	wg.Wait()

	removing.Store(false)
	p.Fail(coretest.Fault{Status: 503})
	for i, name := range []string{"c", "b"} { // the second is told of the pause
		_, err := m.GetClientAccessToken(t.Context(), core.WithRegistration(name), core.WithScopes("y"))
		if e := asError(t, err); e.Registration != name || e.Status != 503 {
			t.Errorf("%d: %v", i, err)
		}
	}
}
