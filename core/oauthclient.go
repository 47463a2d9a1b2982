package core

import (
	"context"
	"net/url"
	"slices"
	"sync/atomic"
)

// oauthClient is one OAuth client at one provider: the application itself, or a
// registration.
type oauthClient struct {
	name     string // of the registration; "" is the application
	id       string
	auth     ClientAuth
	issuer   string // discovered, unless tokenURL is given
	tokenURL string
	defaults TokenRequest // of its own tokens
	identity string       // digest of all of the above
	plainKey string       // names the token that defaults ask for

	plain atomic.Pointer[heldToken] // that token, for the fast path
}

func newOAuthClient(name string, r Registration) *oauthClient {
	c := &oauthClient{
		name: name, id: r.ClientID, auth: r.ClientAuth, issuer: r.Issuer, tokenURL: r.TokenURL,
		defaults: TokenRequest{Scopes: slices.Clone(r.Scopes), Resource: r.Resource, Params: cloneParams(r.Params)},
	}
	if c.auth == nil {
		c.auth = defaultAuth(r.ClientSecret)
	}
	c.identity = digest("client", c.issuer, c.tokenURL, c.id, c.auth.identity(), c.defaults.slot())
	c.plainKey = c.tokenKey(&c.defaults)
	return c
}

// application is the client that Config itself describes.
func (m *Manager) application() *oauthClient {
	r := Registration{Issuer: m.cfg.Issuer, ClientID: m.cfg.ClientID, ClientAuth: m.cfg.ClientAuth, Scopes: m.cfg.ClientScopes}
	if m.cfg.Endpoints != nil {
		r.TokenURL = m.cfg.Endpoints.Token
	}
	return newOAuthClient("", r)
}

func defaultAuth(secret string) ClientAuth {
	if secret == "" {
		return Public()
	}
	return SecretBasic(secret)
}

// tokenKey names the token of the client's own that req asks for: a digest of
// everything that shapes the request for it.
func (c *oauthClient) tokenKey(req *TokenRequest) string {
	return digest(c.issuer, c.tokenURL, c.id, c.auth.identity(), req.slot())
}

// named returns err as one of this registration: it may have been another's, who has the
// same client.
func (c *oauthClient) named(err error) error {
	e, ok := err.(*Error) //nolint:errorlint // what wraps one is the application's
	if !ok || e.Registration == c.name {
		return err
	}
	of := *e
	of.Registration = c.name
	return &of
}

// tokenEndpoint returns where the client asks for tokens.
func (m *Manager) tokenEndpoint(ctx context.Context, c *oauthClient) (string, error) {
	if c.tokenURL != "" {
		return c.tokenURL, nil
	}
	d := &m.discovery
	if c.name != "" && (c.issuer != d.issuer || d.endpoints != nil) {
		d, _ = m.discoveries.ComputeIfAbsent(c.issuer, func() (*discovery, bool) { return &discovery{issuer: c.issuer}, false })
	}
	p, err := m.discovered(ctx, d)
	if err != nil {
		return "", err
	}
	return p.Token, nil
}

// clientForm returns the form of a request of the client's for req.
func clientForm(grantType string, req *TokenRequest) (url.Values, error) {
	form := url.Values{"grant_type": {grantType}}
	return form, req.fill(form)
}
