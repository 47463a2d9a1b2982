package idp_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"net/url"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/tokenwell/tokenwell/examples/internal/idp"
)

const machineSecret = "the machine's"

func machine(id string, change func(*idp.Client)) idp.Client {
	c := idp.Client{Credentials: idp.Credentials{ID: id, Secret: machineSecret}, Scopes: []string{"stock"}, OwnTokens: true}
	if change != nil {
		change(&c)
	}
	return c
}

func (w world) ownToken(id, scope string) tokens {
	w.t.Helper()
	return w.post("/oauth/token", id, machineSecret, url.Values{"grant_type": {"client_credentials"}, "scope": {scope}})
}

func TestClientGetsATokenOfItsOwn(t *testing.T) {
	w := newWorld(t, machine("worker", nil))
	got := w.ownToken("worker", "stock")
	if who := w.introspect(got.AccessToken); !who.Active || who.Username != "" || who.ClientID != "worker" || who.Scope != "stock" {
		t.Errorf("%q: the API is told %+v", got.Error, who)
	}
	if got.RefreshToken != "" {
		t.Error("a refresh token came with it")
	}
}

func TestOwnTokenNeedsSecretScopeAndRight(t *testing.T) {
	w := newWorld(
		t, machine("worker", nil),
		machine("bare", func(c *idp.Client) { c.Secret = "" }),
		machine("other", func(c *idp.Client) { c.OwnTokens = false }),
	)
	for name, try := range map[string]struct{ id, secret, scope, want string }{
		"the right secret":   {"worker", "wrong", "stock", "invalid_client"},
		"any secret":         {"bare", "", "stock", "invalid_client"},
		"the scope":          {"worker", machineSecret, "orders", "invalid_scope"},
		"the right to one":   {"other", machineSecret, "stock", "unauthorized_client"},
		"being known at all": {"nobody", machineSecret, "stock", "invalid_client"},
	} {
		got := w.post("/oauth/token", try.id, try.secret, url.Values{"grant_type": {"client_credentials"}, "scope": {try.scope}})
		if got.Error != try.want || got.AccessToken != "" {
			t.Errorf("without %s: error %q, want %q", name, got.Error, try.want)
		}
	}
}

func TestAssertionMustBeTheClientsOwnAndForThisProvider(t *testing.T) {
	key, other := signingKey(t), signingKey(t)
	public := key.Public()
	w := newWorld(t, machine("account", func(c *idp.Client) { c.Key = &public }), machine("worker", nil))
	now := time.Now()
	good := jwt.Claims{
		Issuer: "account", Subject: "account", Audience: jwt.Audience{w.provider},
		IssuedAt: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(time.Minute)),
	}
	other.KeyID = key.KeyID
	for name, try := range map[string]struct {
		key    jose.JSONWebKey
		change func(*jwt.Claims)
		want   bool
	}{
		"as it should be":          {key, func(*jwt.Claims) {}, true},
		"signed by another key":    {other, func(*jwt.Claims) {}, false},
		"signed by an unknown key": {jose.JSONWebKey{Key: key.Key, KeyID: "unknown"}, func(*jwt.Claims) {}, false},
		"for another provider":     {key, func(c *jwt.Claims) { c.Audience = jwt.Audience{"https://other.example.com"} }, false},
		"expired":                  {key, func(c *jwt.Claims) { c.Expiry = jwt.NewNumericDate(now.Add(-time.Second)) }, false},
		"of another client's":      {key, func(c *jwt.Claims) { c.Issuer, c.Subject = "worker", "worker" }, false},
		"for somebody else":        {key, func(c *jwt.Claims) { c.Subject = "u-1001" }, false},
		"of nobody that is known":  {key, func(c *jwt.Claims) { c.Issuer, c.Subject = "nobody", "nobody" }, false},
	} {
		claims := good
		try.change(&claims)
		signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: try.key}, nil)
		if err != nil {
			t.Fatal(err)
		}
		assertion, err := jwt.Signed(signer).Claims(claims).Serialize()
		if err != nil {
			t.Fatal(err)
		}
		got := w.post("/oauth/token", "worker", machineSecret, url.Values{
			"grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"}, "assertion": {assertion},
		})
		if who := w.introspect(got.AccessToken); who.Active != try.want || try.want && (who.ClientID != "account" || who.Scope != "stock") {
			t.Errorf("%s: error %q, and the API is told %+v", name, got.Error, who)
		}
	}
}

func signingKey(t *testing.T) jose.JSONWebKey {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return jose.JSONWebKey{Key: private, KeyID: rand.Text()}
}

func TestChangedSecretEndsWhatTheOldOneGot(t *testing.T) {
	w := newWorld(t, machine("worker", nil), machine("other", nil))
	got, others := w.ownToken("worker", "stock"), w.ownToken("other", "stock")
	w.idp.ChangeSecret(idp.Credentials{ID: "worker", Secret: "another"})
	if w.introspect(got.AccessToken).Active || !w.introspect(others.AccessToken).Active {
		t.Error("the token lives, or another client's does not")
	}
	if again := w.ownToken("worker", "stock"); again.Error != "invalid_client" {
		t.Errorf("the old secret: error %q, want invalid_client", again.Error)
	}
	if n := w.idp.TokenRequests("client_credentials"); n != 3 {
		t.Errorf("%d token requests are counted, want 3", n)
	}
}
