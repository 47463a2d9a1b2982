package core_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tokenwell/tokenwell/core"
	"github.com/tokenwell/tokenwell/core/coretest"
)

const tokenExchange = "urn:ietf:params:oauth:grant-type:token-exchange"

// exchanges returns the forms of the exchanges that the provider was asked for.
func exchanges(p *coretest.Provider) []url.Values {
	var forms []url.Values
	for _, r := range p.Requests(coretest.TokenEndpoint) {
		if r.Form.Get("grant_type") == tokenExchange {
			forms = append(forms, r.Form)
		}
	}
	return forms
}

// RFC 8693 section 2.1: what is exchanged, for whom, and for what.
func TestExchangeSaysWhatItExchanges(t *testing.T) {
	t.Parallel()
	r := newRefreshRig(t, coretest.Options{Clients: map[string]string{"gateway": "gateway-secret"}}, func(c *core.Config) {
		c.Registrations = map[string]core.Registration{"gateway": {Issuer: c.Issuer, ClientID: "gateway", ClientAuth: core.SecretPost("gateway-secret")}}
	})
	alice := r.signIn("alice").as(r.m)
	subject := r.get(alice)
	tok, err := r.m.Token(alice, core.Exchange(core.UserToken(), core.ExchangeOptions{
		Registration:       "gateway",
		Audience:           "orders",
		Resource:           "https://api.test/configured",
		Scopes:             []string{"configured"},
		Params:             url.Values{"tenant": {"blue"}},
		RequestedTokenType: "urn:ietf:params:oauth:token-type:access_token",
		Actor:              core.ClientToken(),
	}), core.WithScopes("read", "write"), core.WithResource("https://api.test/orders"))
	if err != nil {
		t.Fatal(err)
	}
	actor, err := r.m.GetClientAccessToken(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const accessToken = "urn:ietf:params:oauth:token-type:access_token"
	want := []url.Values{{
		"grant_type":           {tokenExchange},
		"subject_token":        {subject.AccessToken},
		"subject_token_type":   {accessToken},
		"actor_token":          {actor.AccessToken},
		"actor_token_type":     {accessToken},
		"requested_token_type": {accessToken},
		"audience":             {"orders"},
		"resource":             {"https://api.test/orders"},
		"scope":                {"read write"},
		"tenant":               {"blue"},
		"client_id":            {"gateway"},
		"client_secret":        {"gateway-secret"},
	}}
	if diff := cmp.Diff(want, exchanges(r.p)); diff != "" {
		t.Errorf("what went over the wire (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"read", "write"}, tok.Scopes); diff != "" {
		t.Errorf("scopes (-want +got):\n%s", diff)
	}
}

// A token is kept for each subject's token, and for whatever else shapes the request.
func TestExchangedTokenIsKeptForItsSubjectAndRequest(t *testing.T) {
	t.Parallel()
	r := newRefreshRig(t, coretest.Options{})
	exchange := core.Exchange(core.UserToken(), core.ExchangeOptions{Audience: "orders"})
	other := core.Exchange(core.UserToken(), core.ExchangeOptions{Audience: "billing"})
	users := map[string]context.Context{"alice": r.signIn("alice").as(r.m), "bob": r.signIn("bob").as(r.m)}

	var mu sync.Mutex
	seen := make(map[string]string) // token: whose, and for what
	var wg sync.WaitGroup
	for user, ctx := range users {
		for what, ask := range map[string]func() (*core.Token, error){
			"orders":   func() (*core.Token, error) { return r.m.Token(ctx, exchange) },
			"billing":  func() (*core.Token, error) { return r.m.Token(ctx, other) },
			"scope":    func() (*core.Token, error) { return r.m.Token(ctx, exchange, core.WithScopes("a", "b")) },
			"resource": func() (*core.Token, error) { return r.m.Token(ctx, exchange, core.WithResource("https://api.test/")) },
			"params": func() (*core.Token, error) {
				return r.m.Token(ctx, exchange, core.WithParams(url.Values{"tenant": {"blue"}}))
			},
		} {
			for range 20 {
				wg.Go(func() {
					tok, err := ask()
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					defer mu.Unlock()
					if had, ok := seen[tok.AccessToken]; ok && had != user+" "+what {
						t.Errorf("%s got the token of %s", user+" "+what, had)
					}
					seen[tok.AccessToken] = user + " " + what
				})
			}
		}
	}
	wg.Wait()
	if n := len(exchanges(r.p)); n != 10 || len(seen) != 10 {
		t.Errorf("%d exchanges and %d tokens, want 10 of each", n, len(seen))
	}
}

func TestExchangedTokenNeverOutlivesSubjectOrActor(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]func(map[string]any){
		"an answer that says more":    func(a map[string]any) { a["expires_in"] = 7200 },
		"an answer that says nothing": func(a map[string]any) { delete(a, "expires_in") },
	} {
		for _, shorter := range []string{"subject", "actor"} {
			t.Run(name+", "+shorter, func(t *testing.T) {
				t.Parallel()
				p := newESProvider(t)
				m := startClientManager(t, p.Config())
				p.Fail(coretest.Fault{Grant: tokenExchange, Times: coretest.Always, Answer: answer})
				lives := map[string]time.Duration{"subject": 4 * time.Hour, "actor": 4 * time.Hour}
				lives[shorter] = 30 * time.Minute
				of := func(who string) core.TokenRetriever {
					return core.RetrieverFunc(func(ctx context.Context, req core.TokenRequest) (*core.Token, error) {
						tok, err := core.ClientToken(core.WithScopes(who)).RetrieveToken(ctx, req)
						if err != nil {
							return nil, err
						}
						return &core.Token{AccessToken: tok.AccessToken, Expiry: tok.Expiry.Add(lives[who] - time.Hour)}, nil
					})
				}
				tok, err := m.Token(t.Context(), core.Exchange(of("subject"), core.ExchangeOptions{Actor: of("actor")}))
				if err != nil {
					t.Fatal(err)
				}
				if life := tok.Expiry.Sub(p.Now()).Round(time.Second); life != 30*time.Minute {
					t.Errorf("lives for %v, want the half hour of the %s", life, shorter)
				}
			})
		}
	}
}

// The subject is asked on every call: what was exchanged ends with the session.
func TestLogoutEndsExchangedToken(t *testing.T) {
	t.Parallel()
	r := newLoginRig(t, coretest.Options{})
	s := newLoginSession()
	r.login(s, "alice")
	exchange := core.Exchange(core.UserToken(), core.ExchangeOptions{})
	if _, err := r.m.Token(r.m.NewContext(t.Context(), s), exchange); err != nil {
		t.Fatal(err)
	}
	ticket, err := r.m.Ticket(r.m.NewContext(t.Context(), s))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.m.Logout(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	if _, err := r.m.Token(r.m.WithTicket(t.Context(), ticket), exchange); !errors.Is(err, core.ErrLoginRequired) {
		t.Errorf("after the logout: %v, want ErrLoginRequired", err)
	}
}

// After a 401 the same subject's token is exchanged anew; only if the provider does
// not take that one is the subject renewed.
func TestRefusedExchangedTokenIsExchangedAnew(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name                 string
		revoke               func(p *coretest.Provider, exchanged *core.Token)
		exchanges, refreshes int
	}{
		{"the API alone refuses it", nil, 2, 0},
		{"the subject's token is dead as well", func(p *coretest.Provider, _ *core.Token) { p.RevokeAccessTokens("alice") }, 3, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p := newESProvider(t)
			var mu sync.Mutex
			refused := ""
			api := newClientAPI(t, func(w http.ResponseWriter, r *http.Request) {
				mu.Lock()
				defer mu.Unlock()
				if r.Header.Get("Authorization") == refused {
					w.WriteHeader(http.StatusUnauthorized)
				}
			})
			exchange := core.Exchange(core.UserToken(), core.ExchangeOptions{Audience: "orders"})
			m := newUserManager(t, p, api.URL, exchange)
			alice := coretest.SignedIn(t, m, "alice")
			first, err := m.Token(alice, exchange)
			if err != nil {
				t.Fatal(err)
			}
			refused = "Bearer " + first.AccessToken
			if test.revoke != nil {
				test.revoke(p, first)
			}
			var wg sync.WaitGroup
			for range 100 {
				wg.Go(func() {
					if status, _ := get(alice, t, m.HTTPClient("api"), "list"); status != http.StatusOK {
						t.Errorf("status %d", status)
					}
				})
			}
			wg.Wait()
			if got := len(exchanges(p)); got != test.exchanges {
				t.Errorf("%d exchanges, want %d", got, test.exchanges)
			}
			if got := p.Grants("refresh_token"); got != test.refreshes {
				t.Errorf("%d refreshes, want %d", got, test.refreshes)
			}
		})
	}
}

func TestExchangeFailures(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		subject core.TokenRetriever
		fault   coretest.Fault
		want    string
	}{
		{"no subject", nil, coretest.Fault{}, "subject's retriever is nil"},
		{
			"a subject that is nothing",
			core.RetrieverFunc(func(context.Context, core.TokenRequest) (*core.Token, error) { return nil, nil }),
			coretest.Fault{},
			"neither a token nor an error",
		},
		{
			"a token that no header can carry", core.ClientToken(),
			coretest.Fault{Grant: tokenExchange, Answer: func(a map[string]any) { a["token_type"] = "N_A" }},
			"cannot use",
		},
		{
			"a refusal", core.ClientToken(),
			coretest.Fault{Grant: tokenExchange, Status: 400, Body: `{"error":"invalid_target"}`},
			"invalid_target",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p := newESProvider(t)
			m := startClientManager(t, p.Config())
			if test.fault.Grant != "" {
				p.Fail(test.fault)
			}
			tok, err := m.Token(t.Context(), core.Exchange(test.subject, core.ExchangeOptions{}))
			var e *core.Error
			if tok != nil || !errors.As(err, &e) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, %v, want an *Error that says %q", tok, err, test.want)
			}
		})
	}
}

// A refusal may mean that a token that is exchanged has been revoked, or that the
// request is wrong: subject and actor are asked for other tokens, and if that does not
// help, not again for half a minute.
func TestRefusedExchangeRenewsItsPartiesOnce(t *testing.T) {
	t.Parallel()
	r := newRefreshRig(t, coretest.Options{})
	alice := r.signIn("alice")
	exchange := core.Exchange(core.UserToken(), core.ExchangeOptions{Actor: core.ClientToken()})
	get := func(want bool) {
		t.Helper()
		tok, err := r.m.Token(alice, exchange)
		var e *core.Error
		if want != (err == nil) || err != nil && (!errors.As(err, &e) || e.Code != "invalid_request") {
			t.Errorf("%v, %v", tok, err)
		}
	}
	get(true)
	for name, revoke := range map[string]func(){
		"actor":   func() { r.p.RevokeAccessTokens(r.p.Config().ClientID) },
		"subject": func() { r.p.RevokeAccessTokens("alice") },
	} {
		r.p.Advance(31 * time.Second)
		revoke()
		before := len(exchanges(r.p))
		if _, err := r.m.Token(alice, exchange, core.WithScopes(name)); err != nil {
			t.Errorf("with another %s: %v", name, err)
		}
		if got := len(exchanges(r.p)) - before; got != 2 {
			t.Errorf("%d exchanges, want one refused and one more", got)
		}
	}

	r.p.Advance(time.Minute)
	r.p.Fail(coretest.Fault{Grant: tokenExchange, Status: 400, Body: `{"error":"invalid_request"}`, Times: coretest.Always})
	refreshes, own := r.p.Grants("refresh_token"), r.p.Grants(clientCredentials)
	for range 10 {
		_, err := r.m.Token(alice, exchange, core.WithScopes("wrong"))
		if e := asError(t, err); e.Code != "invalid_request" {
			t.Errorf("%v", err)
		}
	}
	if got := r.p.Grants("refresh_token") - refreshes; got != 1 {
		t.Errorf("%d refreshes, want 1", got)
	}
	if got := r.p.Grants(clientCredentials) - own; got != 1 {
		t.Errorf("%d tokens of the application's own, want 1", got)
	}
}

// What the provider repeats of the form is taken out of its words.
func TestExchangeErrorRepeatsNoToken(t *testing.T) {
	t.Parallel()
	p := newESProvider(t)
	m := startClientManager(t, p.Config())
	subject := core.RetrieverFunc(func(context.Context, core.TokenRequest) (*core.Token, error) {
		return &core.Token{AccessToken: "sentinel-subject"}, nil
	})
	actor := core.RetrieverFunc(func(context.Context, core.TokenRequest) (*core.Token, error) {
		return &core.Token{AccessToken: "sentinel-actor"}, nil
	})
	p.Fail(coretest.Fault{Grant: tokenExchange, Status: 400, Body: `{"error":"invalid_request","error_description":"no: sentinel-subject, sentinel-actor"}`})
	_, err := m.Token(t.Context(), core.Exchange(subject, core.ExchangeOptions{Actor: actor}))
	if err == nil || !strings.Contains(err.Error(), "no: [redacted], [redacted]") {
		t.Errorf("%v, want the provider's words without the tokens", err)
	}
}

// The subject is not asked for the scopes, the resource or the parameters of the
// exchanged token.
func TestExchangeShowsItsSubjectTheOutgoingRequestAlone(t *testing.T) {
	t.Parallel()
	p := newESProvider(t)
	m := startClientManager(t, p.Config())
	var asked core.TokenRequest
	subject := core.RetrieverFunc(func(ctx context.Context, req core.TokenRequest) (*core.Token, error) {
		asked = req
		return core.ClientToken().RetrieveToken(ctx, req)
	})
	_, err := m.Token(t.Context(), core.Exchange(subject, core.ExchangeOptions{Resource: "https://api.test/"}),
		core.WithScopes("a"), core.WithResource("https://other.test/"), core.WithParams(url.Values{"x": {"y"}}), core.WithForceRenewal())
	if err != nil {
		t.Fatal(err)
	}
	if asked.HTTP == nil || asked.Scopes != nil || asked.Resource != "" || asked.Params != nil || asked.ForceRenewal || asked.Rejected != nil {
		t.Errorf("the subject was asked for %v", asked)
	}
}

// What the provider makes of one user's exchange, though it calls it its own failure, is
// nobody else's: neither the failure, nor the pause, nor what it says.
func TestOneUsersFailedExchangeIsNobodyElses(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		fault  coretest.Fault
		shared bool // it is an outage
	}{
		{coretest.Fault{Grant: tokenExchange, Status: 500, Body: `{"error":"server_error","error_description":"alice may not"}`}, false},
		{coretest.Fault{Grant: tokenExchange, Status: 400, Body: `{"error":"invalid_target","error_description":"alice may not"}`}, false},
		{coretest.Fault{Grant: tokenExchange, Status: 503, Body: `{"error":"temporarily_unavailable","error_description":"alice may not"}`}, true},
		{coretest.Fault{Grant: tokenExchange, Status: 500, Body: "oops"}, false},
	} {
		r := newRefreshRig(t, coretest.Options{})
		exchange := core.Exchange(core.UserToken(), core.ExchangeOptions{})
		alice, bob := r.signIn("alice"), r.signIn("bob")
		r.p.Fail(test.fault)
		if tok, err := r.m.Token(alice, exchange); err == nil {
			t.Errorf("%v", tok)
		}
		for name, get := range map[string]func() error{
			"bob's exchange":          func() error { _, err := r.m.Token(bob, exchange); return err },
			"the application's token": func() error { _, err := r.m.GetClientAccessToken(t.Context()); return err },
		} {
			err := get()
			if test.shared != (err != nil) || err != nil && strings.Contains(err.Error(), "alice") {
				t.Errorf("%s after %d %s: %v", name, test.fault.Status, test.fault.Body, err)
			}
		}
	}
}
