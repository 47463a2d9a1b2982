package coretest

import (
	"fmt"
	"net/url"
	"slices"
	"time"
)

// Options shape a [Provider]. The zero value is a strict, well-behaved one.
// Functions in it may be called from several goroutines at once.
type Options struct {
	// ClientID and ClientSecret are the application's; "" is "app", and a secret whose
	// characters have to be encoded in a Basic header.
	ClientID     string
	ClientSecret string

	// Public makes the application a public client: one without a secret, which cannot
	// use client credentials.
	Public bool

	// Clients are further clients, their secrets by their IDs; an empty secret makes a
	// public client.
	Clients map[string]string

	// RedirectURLs are the registered ones, compared exactly; the first is given to
	// the application by [Provider.Config]. nil: every URL with the path /callback is
	// registered, and the application is given https://app.test/callback, where a
	// [Browser] finds it.
	RedirectURLs []string

	// Scopes are what [Provider.Config] makes the application ask for at login. nil:
	// openid, profile, email, offline_access. The provider grants every scope that is
	// asked for, and issues a refresh token only where offline_access is among them.
	Scopes []string

	// Claims are a user's claims besides sub, in ID tokens and at the userinfo
	// endpoint, added to the standing ones (name, email, preferred_username) or
	// replacing them. It is asked anew for each answer. nil: none.
	Claims func(user string) map[string]any

	// Algorithm signs the ID tokens: RS256, PS256 or ES256. "": RS256.
	Algorithm string

	// AccessTokenLife is how long access tokens live; 0: one hour.
	AccessTokenLife time.Duration

	// AccessTokenSize is the length of access tokens in bytes; 0, or less than is safe
	// to guess: about thirty.
	AccessTokenSize int

	// RefreshTokenLife is how long a refresh token lives, counted anew for each; 0:
	// until it is used or revoked.
	RefreshTokenLife time.Duration

	// NoRefreshToken issues none, even for offline_access.
	NoRefreshToken bool

	// NoRotation leaves the refresh token in force when it is used: answers to
	// refreshes carry none.
	NoRotation bool

	// NoRefreshedIDToken leaves the ID token out of answers to refreshes.
	NoRefreshedIDToken bool

	// OAuthMetadata serves the metadata at /.well-known/oauth-authorization-server
	// only (RFC 8414), instead of /.well-known/openid-configuration.
	OAuthMetadata bool

	// Metadata changes the metadata document, each time that it is served. nil: as it
	// is.
	Metadata func(metadata map[string]any)

	// Answer changes every successful answer of the token endpoint: expires_in as
	// text, another token_type, further fields. What the provider itself knows of the
	// token does not change. nil: as it is.
	Answer func(answer map[string]any)
}

// The secret has a colon, a percent sign, a plus and a letter beyond ASCII: a
// client that does not encode its credentials (RFC 6749, section 2.3.1) is refused
// by the default provider.
const defaultSecret = "s3cret:%2B+ü"

func (o Options) withDefaults() (Options, error) {
	if o.ClientID == "" {
		o.ClientID = "app"
	}
	switch {
	case o.Public && o.ClientSecret != "":
		return o, fmt.Errorf("coretest: Options.Public excludes Options.ClientSecret")
	case !o.Public && o.ClientSecret == "":
		o.ClientSecret = defaultSecret
	}
	if o.Scopes == nil {
		o.Scopes = []string{"openid", "profile", "email", "offline_access"}
	}
	if o.Algorithm == "" {
		o.Algorithm = "RS256"
	}
	if !slices.Contains([]string{"RS256", "PS256", "ES256"}, o.Algorithm) {
		return o, fmt.Errorf("coretest: Options.Algorithm %q is not RS256, PS256 or ES256", o.Algorithm)
	}
	if o.AccessTokenLife == 0 {
		o.AccessTokenLife = time.Hour
	}
	return o, nil
}

// redirectURL is the application's own.
func (o Options) redirectURL() string {
	if len(o.RedirectURLs) > 0 {
		return o.RedirectURLs[0]
	}
	return AppURL + "/callback"
}

func (o Options) registered(redirectURL string) bool {
	if o.RedirectURLs != nil {
		return slices.Contains(o.RedirectURLs, redirectURL)
	}
	u, err := url.Parse(redirectURL)
	return err == nil && u.IsAbs() && u.Host != "" && u.Fragment == "" && u.Path == "/callback"
}

// secret returns a client's secret, "" for a public client, and whether there is
// such a client.
func (o Options) secret(clientID string) (string, bool) {
	if clientID == o.ClientID {
		return o.ClientSecret, true
	}
	secret, ok := o.Clients[clientID]
	return secret, ok
}
