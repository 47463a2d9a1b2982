package idp

import (
	"crypto/rand"
	"net/url"
	"slices"
	"time"

	jose "github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

const idTokenLife = time.Hour

// Client is an application, or an API, that the provider knows. The zero values of what follows Scopes allow nothing.
type Client struct {
	Credentials
	Name        string   // shown on the sign-in form
	RedirectURL string   // of an application that signs people in
	LoggedOut   string   // where a sign-out ends
	Scopes      []string // allowed beside those of OpenID Connect

	OwnTokens   bool             // it gets tokens of its own, by client credentials
	Key         *jose.JSONWebKey // it gets tokens of its own for assertions that this public key checks (RFC 7523)
	Exchanges   string           // it may exchange tokens that have this scope: those that were meant for it (RFC 8693)
	Introspects bool             // it may ask whether a token is alive (RFC 7662)
}

// Credentials are an identifier and its secret. Nobody has an empty secret.
type Credentials struct{ ID, Secret string }

// NewCredentials makes up a secret.
func NewCredentials(id string) Credentials { return Credentials{ID: id, Secret: rand.Text()} }

// String keeps the secret out of logs.
func (c Credentials) String() string { return c.ID }

// GoString is String, for %#v.
func (c Credentials) GoString() string { return c.ID }

// client shows a Client to zitadel/oidc.
type client struct{ Client }

func (c client) GetID() string                       { return c.ID }
func (c client) RedirectURIs() []string              { return []string{c.RedirectURL} }
func (c client) PostLogoutRedirectURIs() []string    { return []string{c.LoggedOut} }
func (c client) ApplicationType() op.ApplicationType { return op.ApplicationTypeWeb }
func (c client) AuthMethod() oidc.AuthMethod         { return oidc.AuthMethodBasic }
func (c client) ResponseTypes() []oidc.ResponseType {
	return []oidc.ResponseType{oidc.ResponseTypeCode}
}
func (c client) AccessTokenType() op.AccessTokenType { return op.AccessTokenTypeBearer }
func (c client) IDTokenLifetime() time.Duration      { return idTokenLife }
func (c client) ClockSkew() time.Duration            { return 0 }
func (c client) DevMode() bool                       { return false }
func (c client) IsScopeAllowed(scope string) bool    { return slices.Contains(c.Scopes, scope) }

func (c client) GrantTypes() []oidc.GrantType {
	var grants []oidc.GrantType
	if c.RedirectURL != "" {
		grants = append(grants, oidc.GrantTypeCode, oidc.GrantTypeRefreshToken)
	}
	if c.OwnTokens {
		grants = append(grants, oidc.GrantTypeClientCredentials)
	}
	if c.Exchanges != "" {
		grants = append(grants, oidc.GrantTypeTokenExchange)
	}
	return grants
}

func (c client) LoginURL(request string) string {
	return signInPath + "?" + url.Values{"request": {request}}.Encode()
}

// origin is that of its redirect URL.
func (c client) origin() string {
	u, err := url.Parse(c.RedirectURL)
	if err != nil || u.Host == "" {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

// IDTokenUserinfoClaimsAssertion puts the name into the ID token: the application needs no second call to greet somebody.
func (c client) IDTokenUserinfoClaimsAssertion() bool { return true }

func (c client) RestrictAdditionalIdTokenScopes() func([]string) []string { return allScopes } //nolint:revive // the interface spells it so

func (c client) RestrictAdditionalAccessTokenScopes() func([]string) []string { return allScopes }

func allScopes(scopes []string) []string { return scopes }
