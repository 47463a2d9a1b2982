package core

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/tokenwell/tokenwell/store"
)

// Config describes one OAuth client at one provider, and what is built on it.
// [New] checks it and names the field that is wrong. It does not print its
// secrets.
type Config struct {
	// Issuer identifies the provider. Unless Endpoints are given its metadata is
	// discovered: OpenID Connect Discovery first, then RFC 8414. It must be https,
	// loopback excepted, and exactly what the provider calls itself.
	Issuer string
	// Endpoints are the provider's, for servers without discovery; nil: discovered.
	Endpoints *Endpoints

	// ClientID is the application's name at the provider. Required.
	ClientID string
	// ClientSecret is short for ClientAuth: SecretBasic(secret).
	ClientSecret string
	// ClientAuth is how the application authenticates; nil: by ClientSecret, or as
	// a public client if there is none either.
	ClientAuth ClientAuth
	// RedirectURL is where the provider sends the browser back to; its path is where
	// the callback is mounted. Empty in a program without logins.
	RedirectURL string
	// PostLogoutRedirectURL is where the provider sends the browser after a logout;
	// empty: the root of RedirectURL's origin. Register it with the provider.
	PostLogoutRedirectURL string
	// Scopes are asked for at login; nil: openid, offline_access. Without "openid"
	// the login is plain OAuth 2.0: nobody's identity is known.
	Scopes []string
	// LoginParams are further parameters of every authorization request: prompt,
	// audience, access_type and the like.
	LoginParams url.Values

	// HTTPClients are the named clients. Their names are for the program alone.
	HTTPClients map[string]HTTPClient

	// Store keeps the logins; nil: [store.NewMemory].
	Store store.Store

	// RefreshEarly is how long before its expiry a token is renewed behind its
	// callers; 0: one minute. It is never more than a fifth of the token's life.
	RefreshEarly time.Duration
	// Lifetime is how long a login lasts, whatever happens; 0: eight hours.
	Lifetime time.Duration
	// IdleTimeout ends a login that no browser request has used for so long; 0: none.
	// A use is noted at most every tenth of it.
	IdleTimeout time.Duration

	// OnLogin is called when a login has been stored; an error refuses it. Its
	// context acts for the new user.
	OnLogin func(context.Context, *User) error
	// OnRefresh is called when a refresh has brought other claims; an error ends the
	// session. Its context is nobody's.
	OnRefresh func(context.Context, *User) error
	// OnSessionEnd is called when a session has been deleted for a reason other than
	// its age.
	OnSessionEnd func(context.Context, *User, EndReason)

	// Backchannel makes the requests to the provider; nil: one with a timeout of ten
	// seconds, which is also that of a client that has none. Its transport and
	// timeout are used. Redirects are never followed, answers never read beyond
	// one mebibyte.
	Backchannel *http.Client
	// Logger takes what an operator wants to know; nil: slog.Default(). No secret
	// reaches it.
	Logger *slog.Logger
	// Now is the clock; nil: time.Now.
	Now func() time.Time
}

// Endpoints are a provider's, for one without discovery. Token is required, the
// others are where they are used: Authorization and, unless "openid" is left out
// of the scopes, JWKS for logins.
type Endpoints struct {
	Authorization string
	Token         string
	Revocation    string
	EndSession    string
	UserInfo      string
	JWKS          string
}

const (
	defaultLifetime = 8 * time.Hour
	defaultTimeout  = 10 * time.Second
)

// withDefaults returns c with its defaults applied, and not sharing its maps.
func (c Config) withDefaults() Config {
	if c.Scopes == nil {
		c.Scopes = []string{"openid", "offline_access"}
	}
	c.Scopes = slices.Clone(c.Scopes)
	c.HTTPClients = maps.Clone(c.HTTPClients)
	c.LoginParams = cloneParams(c.LoginParams)
	if c.Endpoints != nil {
		given := *c.Endpoints
		c.Endpoints = &given
	}
	if c.Store == nil {
		c.Store = store.NewMemory()
	}
	if c.Lifetime == 0 {
		c.Lifetime = defaultLifetime
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Now == nil {
		c.Now = time.Now //nolint:forbidigo // the default of the configured clock
	}
	if c.ClientAuth == nil {
		if c.ClientSecret != "" {
			c.ClientAuth = SecretBasic(c.ClientSecret)
		} else {
			c.ClientAuth = Public()
		}
	}
	if c.PostLogoutRedirectURL == "" && c.RedirectURL != "" {
		if u, err := url.Parse(c.RedirectURL); err == nil {
			c.PostLogoutRedirectURL = u.ResolveReference(&url.URL{Path: "/"}).String()
		}
	}
	return c
}

// check returns an error that names the field and what is expected of it.
func (c *Config) check() error {
	switch {
	case c.ClientID == "":
		return configError("Config.ClientID is empty: it is the application's name at the provider")
	case c.Issuer == "" && c.Endpoints == nil:
		return configError("Config.Issuer is empty: give the provider's issuer URL, or Config.Endpoints")
	case c.ClientSecret != "" && c.ClientAuth != nil:
		return configError("Config.ClientSecret and Config.ClientAuth are both set: a client authenticates in one way")
	case c.RefreshEarly < 0:
		return configError("Config.RefreshEarly is negative: 0 is the default, one minute")
	case c.Lifetime < 0:
		return configError("Config.Lifetime is negative: 0 is the default, eight hours")
	case c.IdleTimeout < 0:
		return configError("Config.IdleTimeout is negative: 0 is none")
	}
	if c.Issuer != "" {
		if err := checkURL("Config.Issuer", c.Issuer); err != nil {
			return err
		}
		if strings.Contains(c.Issuer, "/.well-known/") {
			return configError("Config.Issuer: %q is where metadata lies: leave off what begins with /.well-known/", c.Issuer)
		}
		if strings.ContainsAny(c.Issuer, "?#") {
			return configError("Config.Issuer: %q has a query or a fragment, which an issuer cannot have", c.Issuer)
		}
	}
	for _, scope := range c.Scopes {
		if scope == "" || !printable(scope) {
			return configError("Config.Scopes: %q is not one scope: give each an entry of its own", scope)
		}
	}
	if c.RedirectURL != "" {
		// A redirect URL may be http on any host: the provider decides what it registers.
		u, err := url.Parse(c.RedirectURL)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.Fragment != "" {
			return configError("Config.RedirectURL: %q is not an absolute URL such as https://app.example.com/callback", c.RedirectURL)
		}
	}
	if c.PostLogoutRedirectURL != "" {
		if u, err := url.Parse(c.PostLogoutRedirectURL); err != nil || !u.IsAbs() {
			return configError("Config.PostLogoutRedirectURL: %q is not an absolute URL", c.PostLogoutRedirectURL)
		}
	}
	if err := checkParams(c.LoginParams, "Config.LoginParams"); err != nil {
		return err
	}
	if c.Endpoints != nil {
		if err := c.checkEndpoints(); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.HTTPClients)) {
		if err := c.HTTPClients[name].check(name); err != nil {
			return err
		}
	}
	return nil
}

func (c *Config) checkEndpoints() error {
	e := c.Endpoints
	if e.Token == "" {
		return configError("Config.Endpoints.Token is empty: no token can be had without it")
	}
	if c.RedirectURL != "" {
		switch {
		case e.Authorization == "":
			return configError("Config.Endpoints.Authorization is empty: logins start there")
		case c.openID() && e.JWKS == "":
			return configError("Config.Endpoints.JWKS is empty: ID tokens are checked with its keys; without \"openid\" in Config.Scopes there are none")
		case c.openID() && c.Issuer == "":
			return configError("Config.Issuer is empty: ID tokens must name it; without \"openid\" in Config.Scopes there are none")
		}
	}
	for _, f := range []struct{ name, value string }{
		{"Authorization", e.Authorization},
		{"Token", e.Token},
		{"Revocation", e.Revocation},
		{"EndSession", e.EndSession},
		{"UserInfo", e.UserInfo},
		{"JWKS", e.JWKS},
	} {
		if f.value == "" {
			continue
		}
		if err := checkURL("Config.Endpoints."+f.name, f.value); err != nil {
			return err
		}
	}
	return nil
}

// openID reports whether logins ask for an ID token.
func (c *Config) openID() bool {
	return c.Scopes == nil || slices.Contains(c.Scopes, "openid")
}

// space is what the provider is called where keys are derived from its name.
func (c *Config) space() string {
	if c.Issuer == "" {
		return c.Endpoints.Token
	}
	return c.Issuer
}

// checkURL accepts an absolute https URL, and http on loopback.
func checkURL(field, value string) error {
	u, err := url.Parse(value)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return configError("%s: %q is not an absolute https URL", field, value)
	}
	if u.Scheme == "http" && !loopback(u.Hostname()) {
		return configError("%s: %q is not https; http is for loopback addresses only", field, value)
	}
	if u.User != nil {
		return configError("%s: the URL has user information, which belongs nowhere near it", field)
	}
	return nil
}

func loopback(host string) bool {
	return strings.EqualFold(host, "localhost") || net.ParseIP(host).IsLoopback()
}

func (c Config) redacted() string {
	return fmt.Sprintf("core.Config{Issuer:%q ClientID:%q RedirectURL:%q Scopes:%v HTTPClients:%v}",
		c.Issuer, c.ClientID, c.RedirectURL, c.Scopes, slices.Sorted(maps.Keys(c.HTTPClients)))
}

// Format implements fmt.Formatter without the secrets.
func (c Config) Format(f fmt.State, _ rune) { _, _ = fmt.Fprint(f, c.redacted()) }

// LogValue implements slog.LogValuer, as Format does.
func (c Config) LogValue() slog.Value { return slog.StringValue(c.redacted()) }

// MarshalJSON implements json.Marshaler, as Format does.
func (c Config) MarshalJSON() ([]byte, error) { return json.Marshal(c.redacted()) }
