package idp_test

import (
	"net/url"
	"testing"

	"github.com/tokenwell/tokenwell/examples/internal/idp"
)

const (
	exchangeGrant = "urn:ietf:params:oauth:grant-type:token-exchange"
	accessTokens  = "urn:ietf:params:oauth:token-type:access_token"
)

func (w world) exchange(id, subject string, change func(url.Values)) tokens {
	w.t.Helper()
	form := url.Values{
		"grant_type": {exchangeGrant}, "subject_token": {subject}, "subject_token_type": {accessTokens}, "scope": {"stock"},
	}
	if change != nil {
		change(form)
	}
	return w.post("/oauth/token", id, machineSecret, form)
}

// middle is an API that may exchange the tokens that have the scope with which people are signed in here.
func middle(id string) idp.Client { return machine(id, func(c *idp.Client) { c.Exchanges = "orders" }) }

func TestExchangedTokenIsTheUsersAndSaysWhoActs(t *testing.T) {
	w := newWorld(t, middle("middle"))
	subject, actor := w.signIn(), w.ownToken("middle", "stock")
	got := w.exchange("middle", subject.AccessToken, func(form url.Values) {
		form.Set("actor_token", actor.AccessToken)
		form.Set("actor_token_type", accessTokens)
	})
	who := w.introspect(got.AccessToken)
	if !who.Active || who.Username != "alice" || who.ClientID != "middle" || who.Scope != "stock" || who.Actor.Subject != "middle" {
		t.Errorf("%q: the API is told %+v", got.Error, who)
	}
	w.post("/revoke", "web", clientSecret, url.Values{"token": {subject.RefreshToken}})
	if w.introspect(got.AccessToken).Active {
		t.Error("it outlives the sign-in")
	}
}

func TestExchangeIsRefused(t *testing.T) {
	w := newWorld(
		t, middle("middle"), middle("rival"),
		machine("worker", func(c *idp.Client) { c.Scopes = []string{"orders"} }),
	)
	subject := w.signIn().AccessToken
	ended := w.signIn()
	w.post("/revoke", "web", clientSecret, url.Values{"token": {ended.RefreshToken}})
	narrow := w.exchange("middle", subject, nil).AccessToken // it has no scope of middle's any more
	workers := w.ownToken("worker", "orders").AccessToken
	rivals := w.ownToken("rival", "stock").AccessToken
	actor := func(token string) func(url.Values) {
		return func(form url.Values) {
			form.Set("actor_token", token)
			form.Set("actor_token_type", accessTokens)
		}
	}
	for name, try := range map[string]struct {
		client, subject string
		change          func(url.Values)
		want            string
	}{
		"by a client that may not":   {"worker", subject, nil, "unauthorized_client"},
		"of an ended token":          {"middle", ended.AccessToken, nil, "invalid_request"},
		"of a made-up token":         {"middle", "made up", nil, "invalid_request"},
		"of a token for another API": {"middle", narrow, nil, "invalid_request"},
		"of a client's own token":    {"middle", workers, nil, "invalid_request"},
		"for another client's name":  {"middle", subject, actor(rivals), "invalid_request"},
		"for a user's name":          {"middle", subject, actor(narrow), "invalid_request"},
		"for a scope not its own":    {"middle", subject, func(f url.Values) { f.Set("scope", "orders") }, "invalid_scope"},
		"for an audience":            {"middle", subject, func(f url.Values) { f.Set("audience", "stock") }, "invalid_target"},
		"for a refresh token": {"middle", subject, func(f url.Values) {
			f.Set("requested_token_type", "urn:ietf:params:oauth:token-type:refresh_token")
		}, "invalid_request"},
	} {
		if got := w.exchange(try.client, try.subject, try.change); got.Error != try.want || got.AccessToken != "" {
			t.Errorf("%s: error %q, want %q", name, got.Error, try.want)
		}
	}
}
