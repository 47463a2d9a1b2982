package interop_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"github.com/zitadel/oidc/v3/pkg/oidc"
	"golang.org/x/sync/errgroup"

	"github.com/tokenwell/tokenwell/core"
)

// Grants beyond a user's login, at the provider of zitadel/oidc. What came to its token endpoint is its own account; what
// the tokens are good for is its introspection's.

// service is an application with users, programs and an API behind it.
type service struct {
	*core.Manager
	idp *zitadel
	api *api

	ahead atomic.Int64 // nanoseconds by which its clock, but not the provider's, is in the future
}

// newService starts the provider, and a manager with these retrievers as named clients of one API.
func newService(t *testing.T, retrievers func(*service) map[string]core.TokenRetriever) *service {
	t.Helper()
	callback := newRelyingParty(t).callback
	s := &service{idp: startZitadel(t, callback)}
	s.api = newAPI(t, s.idp.issuer+"/oauth/introspect", s.idp.api)
	clients := map[string]core.HTTPClient{}
	for name, r := range retrievers(s) {
		clients[name] = core.HTTPClient{BaseURL: s.api.url, Token: r}
	}
	s.Manager = newManager(t, core.Config{
		Issuer:       s.idp.issuer,
		ClientID:     s.idp.web.ID,
		ClientSecret: s.idp.web.Secret,
		RedirectURL:  callback,
		HTTPClients:  clients,
		Registrations: map[string]core.Registration{"worker": {
			Issuer: s.idp.issuer, ClientID: s.idp.worker.ID, ClientSecret: s.idp.worker.Secret, Scopes: []string{"openid", "catalog"},
		}},
		Now: func() time.Time { return time.Now().Add(time.Duration(s.ahead.Load())) },
	})
	return s
}

// expire lets every token die for the library, which is five minutes after it was made.
func (s *service) expire() { s.ahead.Add(int64(6 * time.Minute)) }

// callAtOnce calls the API n times at once.
func (s *service) callAtOnce(ctx context.Context, n int, name, want string) error {
	var calls errgroup.Group
	for range n {
		calls.Go(func() error { return call(ctx, s.HTTPClient(name), want) })
	}
	return calls.Wait()
}

func TestZitadelExchangesAUsersTokenOnce(t *testing.T) {
	s := newService(t, func(s *service) map[string]core.TokenRetriever {
		return map[string]core.TokenRetriever{"orders": core.Exchange(core.UserToken(), core.ExchangeOptions{Audience: s.idp.api.ID, Scopes: []string{"openid"}})}
	})
	user := signedIn(t, s.Manager, zitadelAdmin, zitadelPassword)
	own, err := s.GetUserAccessToken(user)
	if err != nil {
		t.Fatal(err)
	}
	if said, err := s.api.introspect(own.AccessToken); err != nil || said.Active {
		t.Fatalf("the user's own token is good at the API: %+v, %v: the test means nothing", said, err)
	}
	for range 2 {
		if err := s.callAtOnce(user, 50, "orders", "orders of id1"); err != nil {
			t.Error(err)
		}
	}
	exchanges := s.idp.requests(oidc.GrantTypeTokenExchange)
	if len(exchanges) != 1 {
		t.Fatalf("%d exchanges for a hundred calls, want 1", len(exchanges))
	}
	if form := exchanges[0]; form.Get("subject_token") != own.AccessToken || form.Get("subject_token_type") != string(oidc.AccessTokenType) ||
		form.Get("audience") != s.idp.api.ID || form.Get("scope") != "openid" || form.Has("actor_token") || form.Has("client_secret") {
		t.Errorf("the exchange's parameters: %q", redactedForm(form))
	}

	s.api.ban(s.api.lastToken())
	if err := s.callAtOnce(user, 50, "orders", "orders of id1"); err != nil {
		t.Error(err)
	}
	if n := len(s.idp.requests(oidc.GrantTypeTokenExchange)); n != 2 {
		t.Errorf("%d exchanges, want one more after fifty refusals of one token", n)
	}
	if n := len(s.idp.requests(oidc.GrantTypeRefreshToken)); n != 0 {
		t.Errorf("%d refreshes: the user's token was not the one that was refused", n)
	}
}

func TestZitadelExchangeFollowsTheUsersSession(t *testing.T) {
	s := newService(t, func(s *service) map[string]core.TokenRetriever {
		return map[string]core.TokenRetriever{"orders": core.Exchange(core.UserToken(), core.ExchangeOptions{Audience: s.idp.api.ID, Scopes: []string{"openid"}})}
	})
	user := signedIn(t, s.Manager, zitadelAdmin, zitadelPassword)
	if err := s.callAtOnce(user, 1, "orders", "orders of id1"); err != nil {
		t.Fatal(err)
	}
	s.expire()
	if err := s.callAtOnce(user, 50, "orders", "orders of id1"); err != nil {
		t.Error(err)
	}
	exchanges, refreshes := s.idp.requests(oidc.GrantTypeTokenExchange), s.idp.requests(oidc.GrantTypeRefreshToken)
	if len(exchanges) != 2 || len(refreshes) != 1 {
		t.Fatalf("%d exchanges and %d refreshes in two lives of a token, want 2 and 1", len(exchanges), len(refreshes))
	}
	if exchanges[0].Get("subject_token") == exchanges[1].Get("subject_token") {
		t.Error("a dead token of the user was exchanged")
	}
	if err := s.RevokeRefreshToken(user); err != nil {
		t.Fatal(err)
	}
	s.expire()
	if err := s.callAtOnce(user, 1, "orders", ""); !errors.Is(err, core.ErrLoginRequired) {
		t.Errorf("after the end of the user's session: %v, want ErrLoginRequired", err)
	}
	if n := len(s.idp.requests(oidc.GrantTypeTokenExchange)); n != 2 {
		t.Errorf("%d exchanges, want none after the end of the user's session", n)
	}
}

func TestZitadelExchangeKeepsSubjectsApart(t *testing.T) {
	s := newService(t, func(s *service) map[string]core.TokenRetriever {
		subject := core.FirstOf(core.UserToken(), core.ClientToken(core.WithRegistration("worker")))
		return map[string]core.TokenRetriever{"orders": core.Exchange(subject, core.ExchangeOptions{Audience: s.idp.api.ID, Scopes: []string{"openid"}})}
	})
	user := signedIn(t, s.Manager, zitadelAdmin, zitadelPassword)
	var subjects errgroup.Group
	subjects.Go(func() error { return s.callAtOnce(user, 50, "orders", "orders of id1") })
	subjects.Go(func() error { return s.callAtOnce(t.Context(), 50, "orders", "orders of sid1") })
	if err := subjects.Wait(); err != nil {
		t.Error(err)
	}
	if n := len(s.idp.requests(oidc.GrantTypeTokenExchange)); n != 2 {
		t.Errorf("%d exchanges for two subjects, want 2", n)
	}
}

func TestZitadelExchangesForAnActor(t *testing.T) {
	s := newService(t, func(s *service) map[string]core.TokenRetriever {
		return map[string]core.TokenRetriever{
			// The example lets an administrator act as another user, by a scope of its own.
			"impersonated": core.Exchange(core.UserToken(), core.ExchangeOptions{
				Audience: s.idp.api.ID, Scopes: []string{"openid", "custom_scope:impersonate:id2"},
			}),
			"delegated": core.Exchange(core.UserToken(), core.ExchangeOptions{
				Audience: s.idp.api.ID, Scopes: []string{"openid"}, Actor: core.ClientToken(core.WithRegistration("worker")),
			}),
		}
	})
	user := signedIn(t, s.Manager, zitadelAdmin, zitadelPassword)
	if err := s.callAtOnce(user, 10, "impersonated", "orders of id2"); err != nil {
		t.Error(err)
	}
	if err := s.callAtOnce(user, 10, "delegated", "orders of id1"); err != nil {
		t.Error(err)
	}
	actor, err := s.GetClientAccessToken(t.Context(), core.WithRegistration("worker"))
	if err != nil {
		t.Fatal(err)
	}
	exchanges := s.idp.requests(oidc.GrantTypeTokenExchange)
	if len(exchanges) != 2 || exchanges[1].Get("actor_token") != actor.AccessToken || exchanges[1].Get("actor_token_type") != string(oidc.AccessTokenType) {
		t.Errorf("%d exchanges, want 2, the second with the worker as the actor", len(exchanges))
	}
}

func TestZitadelRefusedExchangeReachesNoAPI(t *testing.T) {
	for _, c := range []struct {
		name, user string
		o          core.ExchangeOptions
		status     int
	}{
		{"a user who may not", zitadelUser, core.ExchangeOptions{Scopes: []string{"openid"}}, http.StatusInternalServerError},
		// It comes with the token type N_A: it is for nobody's Authorization header.
		{"an ID token", zitadelAdmin, core.ExchangeOptions{RequestedTokenType: string(oidc.IDTokenType)}, http.StatusOK},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newService(t, func(*service) map[string]core.TokenRetriever {
				return map[string]core.TokenRetriever{"orders": core.Exchange(core.UserToken(), c.o)}
			})
			user := signedIn(t, s.Manager, c.user, zitadelPassword)
			for range 2 {
				err := s.callAtOnce(user, 50, "orders", "")
				var refused *core.Error
				if !errors.As(err, &refused) || refused.Status != c.status || errors.Is(err, core.ErrLoginRequired) {
					t.Errorf("the exchange: %v, want an *Error of a %d", err, c.status)
				}
			}
			if n := len(s.idp.requests(oidc.GrantTypeTokenExchange)); n != 1 {
				t.Errorf("%d exchanges, want 1: a refusal is not asked for again at once", n)
			}
			if served, rejected := s.api.counts(); served != 0 || rejected != 0 {
				t.Errorf("the API was called: %d served, %d rejected", served, rejected)
			}
		})
	}
}

func TestZitadelGivesOneTokenToThousandCallers(t *testing.T) {
	s := newService(t, func(*service) map[string]core.TokenRetriever {
		return map[string]core.TokenRetriever{"catalog": core.ClientToken(core.WithRegistration("worker"))}
	})
	tokens := askAtOnce(t, 1000, func() (*core.Token, error) {
		return s.GetClientAccessToken(t.Context(), core.WithRegistration("worker"))
	})
	if len(tokens) != 1 {
		t.Errorf("a thousand callers got %d different tokens", len(tokens))
	}
	requests := s.idp.requests(oidc.GrantTypeClientCredentials)
	if len(requests) != 1 || requests[0].Get("scope") != "openid catalog" || requests[0].Has("client_secret") {
		t.Fatalf("%d requests, want one for both scopes", len(requests))
	}

	if err := s.callAtOnce(t.Context(), 50, "catalog", "orders of sid1"); err != nil {
		t.Error(err)
	}
	s.api.ban(s.api.lastToken())
	if err := s.callAtOnce(t.Context(), 50, "catalog", "orders of sid1"); err != nil {
		t.Error(err)
	}
	s.expire()
	if err := s.callAtOnce(t.Context(), 50, "catalog", "orders of sid1"); err != nil {
		t.Error(err)
	}
	if n := len(s.idp.requests(oidc.GrantTypeClientCredentials)); n != 3 {
		t.Errorf("%d requests, want one more after a refusal, and one more after the token's life", n)
	}
}

func TestZitadelTakesAssertions(t *testing.T) {
	s := newService(t, func(s *service) map[string]core.TokenRetriever {
		return map[string]core.TokenRetriever{"orders": core.CacheBy(nil, core.RetrieverFunc(
			func(ctx context.Context, _ core.TokenRequest) (*core.Token, error) {
				assertion, err := s.idp.robot.assertion()
				if err != nil {
					return nil, err
				}
				form := url.Values{"grant_type": {string(oidc.GrantTypeBearer)}, "assertion": {assertion}, "scope": {"openid"}}
				return s.RequestToken(ctx, form)
			}))}
	})
	for _, change := range []func(){func() {}, func() { s.api.ban(s.api.lastToken()) }, s.expire} {
		change()
		for range 2 {
			if err := s.callAtOnce(t.Context(), 50, "orders", "orders of robot"); err != nil {
				t.Error(err)
			}
		}
	}
	assertions := map[string]bool{}
	for _, form := range s.idp.requests(oidc.GrantTypeBearer) {
		assertions[form.Get("assertion")] = true
	}
	if n := len(s.idp.requests(oidc.GrantTypeBearer)); n != 3 || len(assertions) != 3 {
		t.Errorf("%d requests with %d assertions, want one at first, one after a refusal, one after the token's life", n, len(assertions))
	}
}

func TestZitadelRefusesAnAssertionOfAnotherKey(t *testing.T) {
	s := newService(t, func(*service) map[string]core.TokenRetriever { return nil })
	stranger := newRobot(t, s.idp)
	assertion, err := stranger.assertion()
	if err != nil {
		t.Fatal(err)
	}
	var refused *core.Error
	_, err = s.RequestToken(t.Context(), url.Values{"grant_type": {string(oidc.GrantTypeBearer)}, "assertion": {assertion}})
	if !errors.As(err, &refused) || refused.Op != string(oidc.GrantTypeBearer) || refused.Status/100 == 2 {
		t.Errorf("an assertion of another key: %v, want the provider's refusal", err)
	}
}

// redactedForm shows a form in a test's failure without the tokens in it.
func redactedForm(form url.Values) url.Values {
	shown := url.Values{}
	for name, values := range form {
		shown[name] = values
		if name == "subject_token" || name == "actor_token" {
			shown[name] = []string{"…"}
		}
	}
	return shown
}
