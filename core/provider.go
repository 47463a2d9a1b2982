package core

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/coreos/go-oidc/v3/oidc"
)

// provider is what is known of the provider: its endpoints, and the keys of its
// ID tokens.
type provider struct {
	Endpoints
	issuer         string
	issInResponses bool // RFC 9207: every authorization response names the issuer
	verifier       *oidc.IDTokenVerifier
}

// metadata is what discovery tells (OpenID Connect Discovery 1.0 section 3, RFC
// 8414 section 2).
type metadata struct {
	Issuer         string   `json:"issuer"`
	Authorization  string   `json:"authorization_endpoint"`
	Token          string   `json:"token_endpoint"`
	Revocation     string   `json:"revocation_endpoint"`
	EndSession     string   `json:"end_session_endpoint"`
	UserInfo       string   `json:"userinfo_endpoint"`
	JWKS           string   `json:"jwks_uri"`
	Algorithms     []string `json:"id_token_signing_alg_values_supported"`
	IssInResponses bool     `json:"authorization_response_iss_parameter_supported"`
}

// discovery holds a provider once it is known, and paces the attempts until
// then.
type discovery struct {
	issuer    string
	endpoints *Endpoints // given; nil: to be discovered
	logins    bool       // whether users sign in there
	clientID  string     // the audience of ID tokens; "": there are none

	known  atomic.Pointer[provider]
	mu     sync.Mutex
	pause  *backoff.ExponentialBackOff
	until  time.Time
	failed error
}

// provider returns what is known of the application's provider.
func (m *Manager) provider(ctx context.Context) (*provider, error) {
	return m.discovered(ctx, &m.discovery)
}

// discovered returns the provider of d, discovering it on first use. A provider
// that is down is asked again, but not by every caller.
func (m *Manager) discovered(ctx context.Context, d *discovery) (*provider, error) {
	if p := d.known.Load(); p != nil {
		return p, nil
	}
	if d.issuer == "" && d.endpoints == nil {
		return nil, configError("Config.Issuer is empty: the application itself has no provider")
	}
	found := m.flights.DoChan(fmt.Sprintf("discovery %p", d), func() (any, error) {
		if !m.begin() {
			return nil, errClosed
		}
		defer m.end()
		return m.guard(m.life, opDiscovery, func() (any, error) { return m.discover(m.life, d) })
	})
	select {
	case <-ctx.Done():
		return nil, waitError(ctx, opDiscovery)
	case result := <-found:
		if result.Err != nil {
			return nil, result.Err
		}
		return result.Val.(*provider), nil
	}
}

func (m *Manager) discover(ctx context.Context, d *discovery) (*provider, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if p := d.known.Load(); p != nil {
		return p, nil
	}
	if m.now().Before(d.until) {
		return nil, d.failed
	}
	p, err := m.fetchProvider(ctx, d)
	if err != nil {
		if d.pause == nil {
			d.pause = backoff.NewExponentialBackOff()
			d.pause.MaxInterval = 30 * time.Second
		}
		d.until, d.failed = m.now().Add(d.pause.NextBackOff()), err
		return nil, err
	}
	d.known.Store(p)
	return p, nil
}

func (m *Manager) fetchProvider(ctx context.Context, d *discovery) (*provider, error) {
	if e := d.endpoints; e != nil {
		return m.newProvider(d.clientID, metadata{
			Issuer: d.issuer, Authorization: e.Authorization, Token: e.Token, Revocation: e.Revocation,
			EndSession: e.EndSession, UserInfo: e.UserInfo, JWKS: e.JWKS,
		}), nil
	}
	md, err := m.fetchMetadata(ctx, d.issuer)
	if err != nil {
		return nil, err
	}
	if err := m.checkMetadata(d, md); err != nil {
		return nil, err
	}
	if d.clientID == "" {
		md.JWKS = "" // no ID tokens come from there
	}
	return m.newProvider(d.clientID, *md), nil
}

// fetchMetadata asks where OpenID Connect says first, then where RFC 8414 says.
func (m *Manager) fetchMetadata(ctx context.Context, of string) (*metadata, error) {
	issuer, err := url.Parse(of)
	if err != nil {
		return nil, configError("the issuer %q is not a URL", of)
	}
	path := strings.TrimSuffix(issuer.EscapedPath(), "/")
	at := func(p string) string { return issuer.Scheme + "://" + issuer.Host + p }
	md, err := m.getMetadata(ctx, at(path+"/.well-known/openid-configuration"))
	var e *Error
	if errors.As(err, &e) && !e.Temporary() && e.Status >= 400 {
		md, other := m.getMetadata(ctx, at("/.well-known/oauth-authorization-server"+path))
		if other == nil || errors.As(other, &e) && e.Temporary() {
			return md, other
		}
	}
	return md, err
}

func (m *Manager) getMetadata(ctx context.Context, at string) (*metadata, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return nil, &Error{Op: opDiscovery, Err: err}
	}
	r.Header.Set("Accept", "application/json")
	resp, err := m.http.Do(r)
	if err != nil {
		return nil, &Error{Op: opDiscovery, transient: true, Err: transportError(err, false)}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	switch {
	case errors.Is(err, errTooLarge):
		return nil, &Error{Op: opDiscovery, Status: resp.StatusCode, Err: err}
	case err != nil:
		return nil, &Error{Op: opDiscovery, Status: resp.StatusCode, transient: true, Err: transportError(err, false)}
	case resp.StatusCode != http.StatusOK:
		return nil, &Error{Op: opDiscovery, Status: resp.StatusCode, Err: errors.New("no metadata at " + at)}
	}
	var md metadata
	if err := json.Unmarshal(body, &md); err != nil {
		return nil, &Error{Op: opDiscovery, Status: resp.StatusCode, Err: errors.New("no metadata at " + at + ": " + errNotJSON.Error())}
	}
	return &md, nil
}

// checkMetadata refuses metadata of another issuer (Discovery section 4.3, RFC 8414
// section 3.3) and metadata that cannot be worked with.
func (m *Manager) checkMetadata(d *discovery, md *metadata) error {
	bad := func(text string) error { return &Error{Op: opDiscovery, Err: errors.New(text)} }
	switch {
	case md.Issuer != d.issuer:
		return bad("the provider calls itself \"" + clean(md.Issuer, 200, nil) + "\", the configured issuer is \"" + d.issuer + "\": they must be identical")
	case md.Token == "":
		return bad("the metadata has no token_endpoint")
	case d.logins && md.Authorization == "":
		return bad("the metadata has no authorization_endpoint, which logins need")
	case d.logins && m.cfg.openID() && md.JWKS == "":
		return bad("the metadata has no jwks_uri, which ID tokens are checked with")
	}
	for name, value := range map[string]string{
		"authorization_endpoint": md.Authorization, "token_endpoint": md.Token, "revocation_endpoint": md.Revocation,
		"end_session_endpoint": md.EndSession, "userinfo_endpoint": md.UserInfo, "jwks_uri": md.JWKS,
	} {
		if value != "" && (checkURL(name, value) != nil || strings.HasPrefix(d.issuer, "https:") && !strings.HasPrefix(value, "https:")) {
			return bad("the metadata's " + name + " is not an https URL")
		}
	}
	return nil
}

func (m *Manager) newProvider(clientID string, md metadata) *provider {
	p := &provider{
		Endpoints: Endpoints{
			Authorization: md.Authorization, Token: md.Token, Revocation: md.Revocation,
			EndSession: md.EndSession, UserInfo: md.UserInfo, JWKS: md.JWKS,
		},
		issuer:         md.Issuer,
		issInResponses: md.IssInResponses,
	}
	if md.JWKS != "" {
		keys := oidc.NewRemoteKeySet(oidc.ClientContext(m.life, m.http.Client), md.JWKS)
		p.verifier = oidc.NewVerifier(md.Issuer, keySet{keys}, &oidc.Config{
			ClientID:             clientID,
			SupportedSigningAlgs: signingAlgorithms(md.Algorithms),
			Now:                  m.now,
		})
	}
	return p
}

// signingAlgorithms returns the asymmetric ones among those that the provider
// names; all of them when it names none. A shared secret signs nothing, and
// "none" is never among them.
func signingAlgorithms(named []string) []string {
	known := []string{
		oidc.RS256, oidc.RS384, oidc.RS512, oidc.ES256, oidc.ES384, oidc.ES512,
		oidc.PS256, oidc.PS384, oidc.PS512, oidc.EdDSA,
	}
	algs := slices.DeleteFunc(slices.Clone(named), func(a string) bool { return !slices.Contains(known, a) })
	if len(algs) == 0 {
		return known
	}
	return algs
}
