package core_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tokenwell/tokenwell/core"
	"github.com/tokenwell/tokenwell/core/coretest"
)

const awkwardSecret = "a:b%+ü &=\"/ \U0001f511"

// authenticated signs a user in, refreshes and signs out, and returns the requests
// that have to be authenticated.
func authenticated(t *testing.T, p *coretest.Provider, change func(*core.Config)) []coretest.Request {
	t.Helper()
	cfg := p.Config()
	change(&cfg)
	m := startClientManager(t, cfg)
	alice := coretest.SignedIn(t, m, "alice")
	p.Advance(2 * time.Hour)
	if _, err := m.GetUserAccessToken(alice); err != nil {
		t.Fatal(err)
	}
	if err := m.RevokeRefreshToken(alice); err != nil {
		t.Fatal(err)
	}
	all := append(p.Requests(coretest.TokenEndpoint), p.Requests(coretest.RevocationEndpoint)...)
	if len(all) != 3 {
		t.Fatalf("%d requests, want three", len(all))
	}
	return all
}

// RFC 6749 section 2.3.1 has identifier and secret encoded before they are put into
// the Basic header.
func TestSecretBasicIsFormEncoded(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*core.Config){
		"ClientSecret": func(*core.Config) {},
		"ClientAuth":   func(c *core.Config) { c.ClientSecret, c.ClientAuth = "", core.SecretBasic(awkwardSecret) },
	} {
		p := coretest.NewProvider(t, coretest.Options{Algorithm: "ES256", ClientID: "app:1 %", ClientSecret: awkwardSecret})
		for _, r := range authenticated(t, p, change) {
			id, secret, ok := (&http.Request{Header: r.Header}).BasicAuth()
			got := []string{id, secret}
			want := []string{"app%3A1+%25", "a%3Ab%25%2B%C3%BC+%26%3D%22%2F+%F0%9F%94%91"}
			if diff := cmp.Diff(want, got); !ok || diff != "" {
				t.Errorf("%s: %s", name, diff)
			}
			if r.Form.Has("client_secret") || r.Form.Has("client_id") {
				t.Errorf("%s: authenticated twice: %v", name, r.Form)
			}
		}
	}
}

func TestSecretPost(t *testing.T) {
	t.Parallel()
	p := coretest.NewProvider(t, coretest.Options{Algorithm: "ES256", ClientSecret: awkwardSecret})
	for _, r := range authenticated(t, p, func(c *core.Config) {
		c.ClientSecret, c.ClientAuth = "", core.SecretPost(awkwardSecret)
	}) {
		if got := r.Header.Values("Authorization"); got != nil {
			t.Errorf("Authorization %q", got)
		}
		got := [][]string{r.Form["client_id"], r.Form["client_secret"]}
		if diff := cmp.Diff([][]string{{"app"}, {awkwardSecret}}, got); diff != "" {
			t.Error(diff)
		}
		if strings.Contains(r.URL, "?") {
			t.Errorf("in the URL: %s", r.URL)
		}
	}
}

func TestPublicClientSaysItsName(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*core.Config){
		"by default": func(*core.Config) {},
		"explicitly": func(c *core.Config) { c.ClientAuth = core.Public() },
	} {
		p := coretest.NewProvider(t, coretest.Options{Algorithm: "ES256", Public: true})
		for _, r := range authenticated(t, p, change) {
			if got := r.Header.Values("Authorization"); got != nil || r.Form.Has("client_secret") {
				t.Errorf("%s: Authorization %q, form %v", name, got, r.Form)
			}
			if diff := cmp.Diff([]string{"app"}, r.Form["client_id"]); diff != "" {
				t.Errorf("%s: %s", name, diff)
			}
		}
	}
}

// The style is not found out by trying: a provider would count the failures, and the
// secret would have travelled by a way that nobody chose.
func TestAuthenticationStyleIsNotProbed(t *testing.T) {
	t.Parallel()
	p := newESProvider(t)
	m := startClientManager(t, p.Config())
	alice := coretest.SignedIn(t, m, "alice")
	p.Advance(2 * time.Hour)
	before := len(p.Requests(coretest.TokenEndpoint))
	p.Fail(coretest.Fault{Status: http.StatusUnauthorized, Body: `{"error":"invalid_client"}`, Times: coretest.Always})
	if _, err := m.GetUserAccessToken(alice); err == nil {
		t.Error("no error")
	}
	sent := p.Requests(coretest.TokenEndpoint)[before:]
	if len(sent) != 1 || sent[0].Header.Get("Authorization") == "" || sent[0].Form.Has("client_secret") {
		t.Errorf("%d requests", len(sent))
	}
}

func TestClientAuthShowsNoSecret(t *testing.T) {
	t.Parallel()
	for _, auth := range []core.ClientAuth{core.SecretBasic("sentinel"), core.SecretPost("sentinel"), core.Public()} {
		for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
			if text := fmt.Sprintf(format, auth); strings.Contains(text, "sentinel") || strings.Contains(text, fmt.Sprintf("%x", "sentinel")) {
				t.Errorf("%s: %s", format, text)
			}
		}
		for name, text := range shown(t, auth) {
			if strings.Contains(text, "sentinel") {
				t.Errorf("%s: %s", name, text)
			}
		}
	}
}
