package coretest

import (
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"
)

// Provider is an OpenID Provider at a loopback address. Its methods are safe for
// concurrent use.
type Provider struct {
	t       testing.TB
	options Options
	server  *httptest.Server
	closing chan struct{} // closed when the test ends: lets go of requests that hang

	mu       sync.Mutex // guards all that follows
	now      time.Time
	keys     keyring
	sessions map[string]*login // users signed in at the provider, by cookie
	codes    map[string]*code
	refresh  map[string]*refreshToken
	access   map[string]*accessToken
	reused   int
	faults   []*Fault
	requests map[Endpoint][]Request
	granted  map[string]int
}

// NewProvider starts a provider that runs until the test ends. At most one Options
// may be given.
func NewProvider(t testing.TB, opts ...Options) *Provider {
	t.Helper()
	var o Options
	switch len(opts) {
	case 0:
	case 1:
		o = opts[0]
	default:
		t.Fatal("coretest: NewProvider takes one Options")
	}
	o, err := o.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	p := &Provider{
		t:        t,
		options:  o,
		closing:  make(chan struct{}),
		now:      time.Now().UTC().Truncate(time.Second),
		sessions: map[string]*login{},
		codes:    map[string]*code{},
		refresh:  map[string]*refreshToken{},
		access:   map[string]*accessToken{},
		requests: map[Endpoint][]Request{},
		granted:  map[string]int{},
	}
	if err := p.keys.rotate(o.Algorithm); err != nil {
		t.Fatal(err)
	}
	p.server = httptest.NewServer(p.routes())
	t.Cleanup(func() {
		close(p.closing)
		p.server.Close()
	})
	return p
}

func (p *Provider) routes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/.well-known/openid-configuration", p.endpoint(DiscoveryEndpoint, p.discovery))
	mux.Handle("/.well-known/oauth-authorization-server", p.endpoint(DiscoveryEndpoint, p.discovery))
	for endpoint, serve := range map[Endpoint]func(*request) answer{
		KeysEndpoint:          p.publishKeys,
		AuthorizationEndpoint: p.authorize,
		TokenEndpoint:         p.token,
		RevocationEndpoint:    p.revoke,
		UserInfoEndpoint:      p.userInfo,
		EndSessionEndpoint:    p.endSession,
	} {
		mux.Handle("/"+string(endpoint), p.endpoint(endpoint, serve))
	}
	return mux
}

// Issuer returns the provider's issuer identifier, an http URL on loopback.
func (p *Provider) Issuer() string { return p.server.URL }

// URL returns where an endpoint is, for clients that do without discovery.
func (p *Provider) URL(e Endpoint) string {
	switch {
	case e != DiscoveryEndpoint:
		return p.Issuer() + "/" + string(e)
	case p.options.OAuthMetadata:
		return p.Issuer() + "/.well-known/oauth-authorization-server"
	default:
		return p.Issuer() + "/.well-known/openid-configuration"
	}
}

// Now returns the provider's time: that at which it was started, in whole seconds,
// and what Advance has added.
func (p *Provider) Now() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.now
}

// Advance moves the clock by d. Tokens age by it, and by nothing else.
func (p *Provider) Advance(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now = p.now.Add(d)
}
