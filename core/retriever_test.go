package core_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tokenwell/tokenwell/core"
	"github.com/tokenwell/tokenwell/core/coretest"
)

// A retriever that wraps another one changes what is asked for, in sight of the
// outgoing request.
func TestRetrieverWrapsAnother(t *testing.T) {
	t.Parallel()
	p := newESProvider(t)
	api := p.Protect(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if got := coretest.TokenOf(r).Audience; len(got) != 1 || got[0] != "urn:tenant:"+r.Header.Get("X-Tenant") {
			t.Errorf("a token for %q reached tenant %s", got, r.Header.Get("X-Tenant"))
		}
	}))
	perTenant := func(next core.TokenRetriever) core.TokenRetriever {
		return core.RetrieverFunc(func(ctx context.Context, req core.TokenRequest) (*core.Token, error) {
			if got := req.HTTP.URL.String(); got != api.URL+"/list" {
				t.Errorf("the outgoing request is for %s", got)
			}
			req.Resource = "urn:tenant:" + req.HTTP.Header.Get("X-Tenant")
			return next.RetrieveToken(ctx, req)
		})
	}
	m := newUserManager(t, p, api.URL, perTenant(core.UserToken()))
	alice := coretest.SignedIn(t, m, "alice")
	for _, tenant := range []string{"one", "two", "one"} {
		r := newRequest(alice, t, "list", nil)
		r.Header.Set("X-Tenant", tenant)
		if status, _, err := do(t, m.HTTPClient("api"), r); status != http.StatusOK {
			t.Errorf("%d, %v", status, err)
		}
	}
	if got := p.Grants("refresh_token"); got != 2 {
		t.Errorf("%d refreshes for two tenants", got)
	}
	// The renewal after a 401 passes through it as well.
	p.RevokeAccessTokens("alice")
	r := newRequest(alice, t, "list", nil)
	r.Header.Set("X-Tenant", "two")
	if status, _, err := do(t, m.HTTPClient("api"), r); status != http.StatusOK {
		t.Errorf("after a 401: %d, %v", status, err)
	}
	if got := p.Grants("refresh_token"); got != 3 {
		t.Errorf("%d refreshes, want 3", got)
	}
}

func TestFirstOf(t *testing.T) {
	t.Parallel()
	tok := func(value string) core.TokenRetriever {
		return core.RetrieverFunc(func(context.Context, core.TokenRequest) (*core.Token, error) {
			return &core.Token{AccessToken: value}, nil
		})
	}
	fail := func(err error) core.TokenRetriever {
		return core.RetrieverFunc(func(context.Context, core.TokenRequest) (*core.Token, error) { return nil, err })
	}
	broken := errors.New("broken")
	for _, test := range []struct {
		name string
		rs   []core.TokenRetriever
		want string
		err  error
	}{
		{"the first", []core.TokenRetriever{tok("one"), tok("two")}, "one", nil},
		{"nobody signed in", []core.TokenRetriever{core.UserToken(), tok("two")}, "two", nil},
		{"nobody signed in, twice", []core.TokenRetriever{core.FirstOf(core.UserToken(), core.UserToken()), tok("two")}, "two", nil},
		{"another error", []core.TokenRetriever{fail(broken), tok("two")}, "", broken},
		{"somebody's login required", []core.TokenRetriever{fail(core.ErrLoginRequired), tok("two")}, "", core.ErrLoginRequired},
		{"the last error", []core.TokenRetriever{core.UserToken(), fail(broken)}, "", broken},
		{"all of them nobody", []core.TokenRetriever{core.UserToken()}, "", core.ErrLoginRequired},
		{"none", nil, "", core.ErrLoginRequired},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			api := newClientAPI(t, nil)
			client := newNamedClient(t, api.URL, core.FirstOf(test.rs...))
			_, _, err := do(t, client, newRequest(t.Context(), t, "list", nil))
			if !errors.Is(err, test.err) {
				t.Errorf("%v, want %v", err, test.err)
			}
			if test.want != "" {
				api.wantTokens(t, test.want)
			} else {
				api.wantURIs(t)
			}
		})
	}
}

// A user whose session has died is not silently served as somebody else: not now, and
// not when the record has gone.
func TestFirstOfNeverChangesIdentity(t *testing.T) {
	t.Parallel()
	p := newESProvider(t)
	api := newClientAPI(t, nil)
	m := newUserManager(t, p, api.URL, core.FirstOf(core.UserToken(), tokensInTurn("of-the-application")))
	client := m.HTTPClient("api")
	alice := coretest.SignedIn(t, m, "alice")
	get(alice, t, client, "list")
	p.RevokeGrants("alice")
	p.Advance(2 * time.Hour)
	for range 3 {
		if _, _, err := do(t, client, newRequest(alice, t, "list", nil)); !errors.Is(err, core.ErrLoginRequired) {
			t.Errorf("%v, want ErrLoginRequired", err)
		}
	}
	ticket, err := m.Ticket(alice)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := do(t, client, newRequest(m.WithTicket(t.Context(), ticket), t, "list", nil)); !errors.Is(err, core.ErrLoginRequired) {
		t.Errorf("by ticket: %v, want ErrLoginRequired", err)
	}
	if got := len(api.requests()); got != 1 {
		t.Errorf("the API has got %d requests, want alice's first", got)
	}
	get(t.Context(), t, client, "list") // nobody at all: as the application
	if got := api.requests()[1].Header.Get("Authorization"); got != "Bearer of-the-application" {
		t.Errorf("nobody's Authorization is %q", got)
	}
}

// The provider being down is not "nobody signed in" either.
func TestFirstOfStopsAtOutage(t *testing.T) {
	t.Parallel()
	p := newESProvider(t)
	api := newClientAPI(t, nil)
	m := newUserManager(t, p, api.URL, core.FirstOf(core.UserToken(), tokensInTurn("of-the-application")))
	alice := coretest.SignedIn(t, m, "alice")
	p.Advance(2 * time.Hour)
	p.Fail(coretest.Fault{Status: http.StatusInternalServerError, Times: coretest.Always})
	_, _, err := do(t, m.HTTPClient("api"), newRequest(alice, t, "list", nil))
	var e *core.Error
	if !errors.As(err, &e) || !e.Temporary() {
		t.Errorf("%v, want a temporary *Error", err)
	}
	api.wantURIs(t)
}

func TestUserTokenAsksTheClientsManager(t *testing.T) {
	t.Parallel()
	one, two := newESProvider(t), newESProvider(t)
	ofOne := newUserManager(t, one, one.Protect(whoAmI).URL, core.UserToken())
	ofTwo := newUserManager(t, two, two.Protect(whoAmI).URL, core.UserToken())
	// Signed in at both, two's manager being the innermost.
	ctx := coretest.SignedIn(t, ofOne, "alice")
	ticket, err := ofTwo.Ticket(coretest.SignedIn(t, ofTwo, "bob"))
	if err != nil {
		t.Fatal(err)
	}
	ctx = ofTwo.WithTicket(ctx, ticket)
	for m, want := range map[*core.Manager]string{ofOne: "alice", ofTwo: "bob"} {
		if _, body := get(ctx, t, m.HTTPClient("api"), "me"); body != want {
			t.Errorf("%q, want %q", body, want)
		}
		client := m.HTTPClientFor(ctx, "api")
		resp, err := client.Get("me")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Errorf("HTTPClientFor: %s", resp.Status)
		}
	}
}

// A retriever can be asked by hand; the manager is then the context's.
func TestUserTokenByHand(t *testing.T) {
	t.Parallel()
	p := newESProvider(t)
	m := newUserManager(t, p, "https://api.test", core.UserToken())
	alice := coretest.SignedIn(t, m, "alice")
	tok, err := core.UserToken().RetrieveToken(alice, core.TokenRequest{})
	if err != nil || tok.AccessToken == "" {
		t.Errorf("%v, %v", tok, err)
	}
	if _, err := core.UserToken().RetrieveToken(t.Context(), core.TokenRequest{}); !errors.Is(err, core.ErrNoManager) {
		t.Errorf("%v, want ErrNoManager", err)
	}
}

// What is asked for is decided field by field: a wrapping retriever first, then the
// options of the call, then those of UserToken.
func TestOptionsPrecedence(t *testing.T) {
	t.Parallel()
	p := newESProvider(t)
	defaults := core.UserToken(
		core.WithScopes("default"), core.WithResource("urn:default"), core.WithParams(map[string][]string{"audience": {"default"}}))
	wrap := func(next core.TokenRetriever) core.TokenRetriever {
		return core.RetrieverFunc(func(ctx context.Context, req core.TokenRequest) (*core.Token, error) {
			req.Resource = "urn:wrapped"
			return next.RetrieveToken(ctx, req)
		})
	}
	cfg := p.Config()
	cfg.Scopes = []string{"openid", "offline_access", "default", "a", "b", "c"}
	api := p.Protect(whoAmI).URL
	cfg.HTTPClients = map[string]core.HTTPClient{
		"plain":    {BaseURL: api, Token: core.UserToken()},
		"defaults": {BaseURL: api, Token: defaults},
		"wrapped":  {BaseURL: api, Token: wrap(defaults)},
	}
	m := startClientManager(t, cfg)
	alice := coretest.SignedIn(t, m, "alice")
	for _, test := range []struct {
		name, client              string
		opts                      []core.TokenOption
		scope, resource, audience string
	}{
		{"UserToken's", "defaults", nil, "default", "urn:default", "default"},
		{"the call's over UserToken's", "defaults", []core.TokenOption{
			core.WithScopes("a", "b"), core.WithResource("urn:call"), core.WithParams(map[string][]string{"audience": {"call"}}),
		}, "a b", "urn:call", "call"},
		{"one field of the call's", "defaults", []core.TokenOption{core.WithScopes("a")}, "a", "urn:default", "default"},
		{"no scopes over some", "defaults", []core.TokenOption{core.WithScopes()}, "", "urn:default", "default"},
		{"no parameters over some", "defaults", []core.TokenOption{core.WithParams(map[string][]string{})}, "default", "urn:default", ""},
		{"the wrapper's over all", "wrapped", []core.TokenOption{core.WithResource("urn:call"), core.WithScopes("c")}, "c", "urn:wrapped", "default"},
		{"the last option", "plain", []core.TokenOption{core.WithResource("urn:first"), core.WithResource("urn:last")}, "", "urn:last", ""},
	} {
		before := len(p.Requests(coretest.TokenEndpoint))
		ctx := core.WithOptions(alice, test.opts...)
		if status, _ := get(ctx, t, m.HTTPClient(test.client), "me"); status != http.StatusOK {
			t.Errorf("%s: %d", test.name, status)
		}
		sent := p.Requests(coretest.TokenEndpoint)[before:]
		if len(sent) != 1 {
			t.Errorf("%s: %d token requests", test.name, len(sent))
			continue
		}
		form := sent[0].Form
		got := [][]string{form["scope"], form["resource"], form["audience"]}
		want := [][]string{wanted(test.scope), wanted(test.resource), wanted(test.audience)}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", test.name, diff)
		}
	}
}

// wanted is a parameter that is sent once, or not at all.
func wanted(value string) []string {
	if value == "" {
		return nil
	}
	return []string{value}
}
