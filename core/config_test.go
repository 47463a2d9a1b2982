package core_test

import (
	"errors"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/tokenwell/tokenwell/core"
)

// A wrong configuration fails at start, naming the field and what is expected of it.
func TestWrongConfigNamesField(t *testing.T) {
	t.Parallel()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	good := func() core.Config {
		return core.Config{
			Issuer:      "https://login.test",
			ClientID:    "app",
			RedirectURL: "https://app.test/callback",
			Endpoints: &core.Endpoints{
				Authorization: "https://login.test/authorize",
				Token:         "https://login.test/token",
				JWKS:          "https://login.test/jwks",
			},
			HTTPClients: map[string]core.HTTPClient{
				"first": {BaseURL: "https://first.test", Token: core.UserToken()},
				"api":   {BaseURL: "https://api.test/v1", Token: core.UserToken()},
			},
		}
	}
	if _, err := core.New(t.Context(), good()); err != nil {
		t.Fatal(err)
	}
	client := func(change func(*core.HTTPClient)) func(*core.Config) {
		return func(c *core.Config) {
			h := c.HTTPClients["api"]
			change(&h)
			c.HTTPClients["api"] = h
		}
	}
	base := func(u string) func(*core.Config) {
		return client(func(h *core.HTTPClient) { h.BaseURL = u })
	}
	const ofClient = `Config.HTTPClients["api"].`
	for _, test := range []struct {
		name          string
		change        func(*core.Config)
		field, expect string
	}{
		{"no client ID", func(c *core.Config) { c.ClientID = "" }, "Config.ClientID", "name at the provider"},
		{"neither issuer nor endpoints", func(c *core.Config) { c.Issuer, c.Endpoints = "", nil }, "Config.Issuer", "or Config.Endpoints"},
		{"secret and authentication", func(c *core.Config) { c.ClientSecret, c.ClientAuth = "sentinel", core.SecretPost("sentinel") }, "Config.ClientSecret", "Config.ClientAuth"},
		{"early", func(c *core.Config) { c.RefreshEarly = -1 }, "Config.RefreshEarly", "negative"},
		{"lifetime", func(c *core.Config) { c.Lifetime = -time.Hour }, "Config.Lifetime", "negative"},
		{"idle", func(c *core.Config) { c.IdleTimeout = -1 }, "Config.IdleTimeout", "negative"},
		{"issuer on http", func(c *core.Config) { c.Issuer = "http://login.test" }, "Config.Issuer", "https"},
		{"issuer without scheme", func(c *core.Config) { c.Issuer = "login.test" }, "Config.Issuer", "https"},
		{"issuer of another scheme", func(c *core.Config) { c.Issuer = "ldap://login.test" }, "Config.Issuer", "https"},
		{"issuer with query", func(c *core.Config) { c.Issuer = "https://login.test?a=b" }, "Config.Issuer", "query"},
		{"issuer that is its metadata", func(c *core.Config) { c.Issuer = "https://login.test/.well-known/openid-configuration" }, "Config.Issuer", "leave off"},
		{"scopes in one text", func(c *core.Config) { c.Scopes = []string{"openid profile"} }, "Config.Scopes", "entry of its own"},
		{"issuer with fragment", func(c *core.Config) { c.Issuer = "https://login.test#a" }, "Config.Issuer", "fragment"},
		{"issuer with user information", func(c *core.Config) { c.Issuer = "https://u:sentinel@login.test" }, "Config.Issuer", "user information"},
		{"issuer garbled", func(c *core.Config) { c.Issuer = "https://login.test:port" }, "Config.Issuer", "https"},
		{"redirect without host", func(c *core.Config) { c.RedirectURL = "/callback" }, "Config.RedirectURL", "absolute"},
		{"redirect of another scheme", func(c *core.Config) { c.RedirectURL = "javascript://app.test/%0aalert(1)" }, "Config.RedirectURL", "absolute"},
		{"redirect with fragment", func(c *core.Config) { c.RedirectURL = "https://app.test/callback#x" }, "Config.RedirectURL", "absolute"},
		{"after logout", func(c *core.Config) { c.PostLogoutRedirectURL = "/bye" }, "Config.PostLogoutRedirectURL", "absolute"},
		{"login parameters", func(c *core.Config) { c.LoginParams = url.Values{"state": {"x"}} }, "Config.LoginParams", `"state"`},
		{"no token endpoint", func(c *core.Config) { c.Endpoints.Token = "" }, "Config.Endpoints.Token", "empty"},
		{"no authorization endpoint", func(c *core.Config) { c.Endpoints.Authorization = "" }, "Config.Endpoints.Authorization", "logins"},
		{"no keys", func(c *core.Config) { c.Endpoints.JWKS = "" }, "Config.Endpoints.JWKS", `"openid"`},
		{"endpoints without issuer", func(c *core.Config) { c.Issuer = "" }, "Config.Issuer", `"openid"`},
		{"endpoint on http", func(c *core.Config) { c.Endpoints.Revocation = "http://login.test/revoke" }, "Config.Endpoints.Revocation", "https"},
		{"endpoint without host", func(c *core.Config) { c.Endpoints.EndSession = "/end" }, "Config.Endpoints.EndSession", "https"},
		{"endpoint userinfo", func(c *core.Config) { c.Endpoints.UserInfo = "https://a:sentinel@login.test/me" }, "Config.Endpoints.UserInfo", "user information"},
		{"no base", base(""), ofClient + "BaseURL", "absolute"},
		{"relative base", base("/v1"), ofClient + "BaseURL", "absolute"},
		{"base without scheme", base("api.test/v1"), ofClient + "BaseURL", "absolute"},
		{"base of another scheme", base("ftp://api.test"), ofClient + "BaseURL", "absolute"},
		{"base garbled", base("https://api.test/%zz"), ofClient + "BaseURL", "absolute"},
		{"base with query", base("https://api.test/?key=1"), ofClient + "BaseURL", "query"},
		{"base with fragment", base("https://api.test/#a"), ofClient + "BaseURL", "fragment"},
		{"base with user information", base("https://u:sentinel@api.test/"), ofClient + "BaseURL", "user information"},
		{"base on http", base("http://api.test/"), ofClient + "BaseURL", "AllowHTTP"},
		{"base with dots", base("https://api.test/v1/../v2"), ofClient + "BaseURL", "dot segments"},
		{"base with encoded dots", base("https://api.test/%2e%2e/v2"), ofClient + "BaseURL", "dot segments"},
		{"base with an empty segment", base("https://api.test//v1"), ofClient + "BaseURL", "empty"},
		{"no token", client(func(h *core.HTTPClient) { h.Token = nil }), ofClient + "Token", "core.UserToken()"},
		{"a cookie jar", client(func(h *core.HTTPClient) { h.Base = &http.Client{Jar: jar} }), ofClient + "Base", "cookie jar"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			cfg := good()
			test.change(&cfg)
			m, err := core.New(t.Context(), cfg)
			var e *core.Error
			if m != nil || !errors.As(err, &e) {
				t.Fatalf("%v, want an *Error", err)
			}
			if e.Op != "configure" || e.Temporary() || core.StatusCode(err) != http.StatusInternalServerError {
				t.Errorf("Op %q, temporary %t, status %d", e.Op, e.Temporary(), core.StatusCode(err))
			}
			text := err.Error()
			if !strings.Contains(text, test.field) || !strings.Contains(text, test.expect) {
				t.Errorf("%q does not name %s and say %q", text, test.field, test.expect)
			}
			if strings.Contains(text, "sentinel") {
				t.Errorf("%q repeats a secret", text)
			}
		})
	}
}

func TestConfigAccepts(t *testing.T) {
	t.Parallel()
	endpoints := core.Endpoints{Authorization: "https://login.test/authorize", Token: "https://login.test/token"}
	withKeys := endpoints
	withKeys.JWKS = "https://login.test/jwks"
	for name, cfg := range map[string]core.Config{
		"a worker":                {ClientID: "app", Endpoints: &core.Endpoints{Token: "https://login.test/token"}},
		"plain OAuth 2.0":         {ClientID: "app", RedirectURL: "https://app.test/callback", Endpoints: &endpoints, Scopes: []string{"repo"}},
		"no scopes":               {ClientID: "app", RedirectURL: "https://app.test/callback", Endpoints: &endpoints, Scopes: []string{}},
		"OpenID Connect":          {ClientID: "app", RedirectURL: "https://app.test/callback", Endpoints: &withKeys, Issuer: "https://login.test/"},
		"a redirect on plain":     {ClientID: "app", RedirectURL: "http://intranet/callback", Endpoints: &withKeys, Issuer: "https://login.test/a/b"},
		"a provider on localhost": {ClientID: "app", Endpoints: &core.Endpoints{Token: "http://localhost:8080/token"}},
		"a provider on ::1":       {ClientID: "app", Endpoints: &core.Endpoints{Token: "http://[::1]:8080/token"}, Issuer: "http://127.0.0.1"},
		"an API on loopback": {ClientID: "app", Endpoints: &endpoints, HTTPClients: map[string]core.HTTPClient{
			"": {BaseURL: "http://127.0.0.1:9000", Token: core.UserToken()},
		}},
		"an API on plain http, by wish": {ClientID: "app", Endpoints: &endpoints, HTTPClients: map[string]core.HTTPClient{
			"api": {BaseURL: "http://api.test", Token: core.UserToken(), AllowHTTP: true},
		}},
	} {
		if _, err := core.New(t.Context(), cfg); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestConfigShowsNoSecret(t *testing.T) {
	t.Parallel()
	cfg := core.Config{
		Issuer:       "https://login.test",
		ClientID:     "app",
		ClientSecret: "sentinel",
		LoginParams:  url.Values{"login_hint": {"sentinel"}},
	}
	auth := core.Config{Issuer: "https://login.test", ClientID: "app", ClientAuth: core.SecretBasic("sentinel")}
	for name, text := range shown(t, cfg, &cfg, auth, &auth) {
		if strings.Contains(text, "sentinel") {
			t.Errorf("%s shows a secret: %s", name, text)
		}
		if !strings.Contains(text, "https://login.test") {
			t.Errorf("%s shows nothing to go by: %s", name, text)
		}
	}
}
