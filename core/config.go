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

	// ClientID is the application's name at the provider. Required, as Issuer or
	// Endpoints are, but for a program without logins that has Registrations or
	// FindRegistration.
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

	// ClientScopes are asked for when the application gets a token of its own
	// ([Manager.GetClientAccessToken]); nil: none are named.
	ClientScopes []string
	// Registrations are further OAuth clients, by name, for tokens of the
	// application's own; see [WithRegistration].
	Registrations map[string]Registration
	// FindRegistration finds those that are not known before, such as one for each
	// tenant; nil: there are only the ones in Registrations. A zero Registration
	// means that there is none of that name; an error, that it could not be found out.
	//
	// What it returns is used for a minute without asking again, and to request a
	// token for a second: a change takes effect at the next one. While it fails, what it
	// returned before serves for five minutes at most. It is called by one goroutine
	// at a time for each name, on a context that does not end with the caller's.
	FindRegistration func(ctx context.Context, name string) (Registration, error)

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

	// Backchannel makes the requests to the provider; nil: one of our own. Its
	// transport and timeout are used; without a timeout it is ten seconds, and a minute
	// for a refresh: whoever hangs up on that loses a rotated refresh token. Redirects are
	// never followed.
	Backchannel *http.Client
	// MaxAnswer is how many bytes of an answer of the provider are read; a larger one
	// is an error. It bounds the size of an access token. 0: one mebibyte.
	MaxAnswer int64
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
	c.ClientScopes = slices.Clone(c.ClientScopes)
	c.HTTPClients = maps.Clone(c.HTTPClients)
	c.Registrations = maps.Clone(c.Registrations)
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
	if c.MaxAnswer == 0 {
		c.MaxAnswer = defaultMaxAnswer
	}
	if c.ClientAuth == nil {
		c.ClientAuth = defaultAuth(c.ClientSecret)
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
	elsewhere := c.RedirectURL == "" && (len(c.Registrations) > 0 || c.FindRegistration != nil)
	switch {
	case c.ClientID == "" && !elsewhere:
		return configError("Config.ClientID is empty: it is the application's name at the provider")
	case c.Issuer == "" && c.Endpoints == nil && (!elsewhere || c.ClientID != ""):
		return configError("Config.Issuer is empty: give the provider's issuer URL, or Config.Endpoints")
	case c.ClientSecret != "" && c.ClientAuth != nil:
		return configError("Config.ClientSecret and Config.ClientAuth are both set: a client authenticates in one way")
	case c.RefreshEarly < 0:
		return configError("Config.RefreshEarly is negative: 0 is the default, one minute")
	case c.Lifetime < 0:
		return configError("Config.Lifetime is negative: 0 is the default, eight hours")
	case c.IdleTimeout < 0:
		return configError("Config.IdleTimeout is negative: 0 is none")
	case c.MaxAnswer < 0:
		return configError("Config.MaxAnswer is negative: 0 is the default, one mebibyte")
	}
	if c.Issuer != "" {
		if err := checkIssuer("Config.Issuer", c.Issuer); err != nil {
			return err
		}
	}
	if err := checkScopes("Config.Scopes", c.Scopes); err != nil {
		return err
	}
	if err := checkScopes("Config.ClientScopes", c.ClientScopes); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(c.Registrations)) {
		r := c.Registrations[name]
		if name == "" {
			return configError("Config.Registrations has one without a name: that is the application itself")
		}
		if err := r.check(fmt.Sprintf("Config.Registrations[%q]", name)); err != nil {
			return err
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
	if c.Issuer == "" && c.Endpoints != nil {
		return c.Endpoints.Token
	}
	return c.Issuer
}

// checkIssuer accepts what can identify a provider.
func checkIssuer(field, issuer string) error {
	if err := checkURL(field, issuer); err != nil {
		return err
	}
	if strings.Contains(issuer, "/.well-known/") {
		return configError("%s: %q is where metadata lies: leave off what begins with /.well-known/", field, issuer)
	}
	if strings.ContainsAny(issuer, "?#") {
		return configError("%s: %q has a query or a fragment, which an issuer cannot have", field, issuer)
	}
	return nil
}

func checkScopes(field string, scopes []string) error {
	for _, scope := range scopes {
		if scope == "" || !printable(scope) {
			return configError("%s: %q is not one scope: give each an entry of its own", field, scope)
		}
	}
	return nil
}

// checkURL accepts an absolute https URL, and http on loopback.
func checkURL(field, value string) error {
	u, err := url.Parse(value)
	switch {
	case err != nil && strings.Contains(value, "@"):
		return configError("%s is not an absolute https URL", field)
	case err == nil && u.User != nil:
		return configError("%s: the URL has user information, which belongs nowhere near it", field)
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return configError("%s: %q is not an absolute https URL", field, value)
	case u.Scheme == "http" && !loopback(u.Hostname()):
		return configError("%s: %q is not https; http is for loopback addresses only", field, value)
	}
	return nil
}

func loopback(host string) bool {
	return strings.EqualFold(host, "localhost") || net.ParseIP(host).IsLoopback()
}

func (c Config) redacted() string {
	return fmt.Sprintf("core.Config{Issuer:%q ClientID:%q RedirectURL:%q Scopes:%v ClientScopes:%v Registrations:%v HTTPClients:%v}",
		c.Issuer, c.ClientID, c.RedirectURL, c.Scopes, c.ClientScopes,
		slices.Sorted(maps.Keys(c.Registrations)), slices.Sorted(maps.Keys(c.HTTPClients)))
}

// Format implements fmt.Formatter without the secrets.
func (c Config) Format(f fmt.State, _ rune) { _, _ = fmt.Fprint(f, c.redacted()) }

// LogValue implements slog.LogValuer, as Format does.
func (c Config) LogValue() slog.Value { return slog.StringValue(c.redacted()) }

// MarshalJSON implements json.Marshaler, as Format does.
func (c Config) MarshalJSON() ([]byte, error) { return json.Marshal(c.redacted()) }
