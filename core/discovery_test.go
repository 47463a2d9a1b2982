package core_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tokenwell/tokenwell/core"
	"github.com/tokenwell/tokenwell/core/coretest"
	"github.com/tokenwell/tokenwell/store"
)

// newMetadata starts a provider that has nothing but metadata, at these paths.
func newMetadata(t testing.TB, paths ...string) (p *clientAPI, metadata map[string]any) {
	t.Helper()
	metadata = map[string]any{}
	p = newClientAPI(t, func(w http.ResponseWriter, r *http.Request) {
		for _, path := range paths {
			if r.URL.Path == path {
				_ = json.NewEncoder(w).Encode(metadata)
				return
			}
		}
		http.NotFound(w, r)
	})
	metadata["issuer"] = p.URL
	for _, name := range []string{"authorization_endpoint", "token_endpoint", "jwks_uri"} {
		metadata[name] = p.URL + "/" + name
	}
	return p, metadata
}

func worker(issuer string) core.Config {
	return core.Config{Issuer: issuer, ClientID: "app", ClientSecret: "secret"}
}

func TestMetadataIsFound(t *testing.T) {
	t.Parallel()
	const oidc, oauth = "/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"
	for _, test := range []struct {
		name, issuer, at string
		asked            []string
	}{
		{"OpenID Connect", "", oidc, []string{oidc}},
		{"RFC 8414", "", oauth, []string{oidc, oauth}},
		{"OpenID Connect below a path", "/realms/a", "/realms/a" + oidc, []string{"/realms/a" + oidc}},
		{"RFC 8414 below a path", "/realms/a", oauth + "/realms/a", []string{"/realms/a" + oidc, oauth + "/realms/a"}},
		{"OpenID Connect, trailing slash", "/", oidc, []string{oidc}},
		{"RFC 8414, trailing slash", "/realms/a/", oauth + "/realms/a", []string{"/realms/a" + oidc, oauth + "/realms/a"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p, metadata := newMetadata(t, test.at)
			metadata["issuer"] = p.URL + test.issuer
			m := startClientManager(t, worker(p.URL+test.issuer))
			if err := m.Ready(t.Context()); err != nil {
				t.Error(err)
			}
			p.wantURIs(t, test.asked...)
			for _, r := range p.requests() {
				if r.Method != http.MethodGet || r.Header.Get("Authorization") != "" || r.Header.Get("Accept") != "application/json" {
					t.Errorf("%s with %v", r.Method, r.Header)
				}
			}
		})
	}
}

func TestLoginByOAuthMetadata(t *testing.T) {
	t.Parallel()
	p := coretest.NewProvider(t, coretest.Options{Algorithm: "ES256", OAuthMetadata: true})
	m := startClientManager(t, p.Config())
	if user, err := m.User(coretest.SignedIn(t, m, "alice")); err != nil || user.Subject != "alice" {
		t.Errorf("%v, %v", user, err)
	}
}

// Metadata that cannot be believed, or worked with, fails at start.
func TestWrongMetadataFailsNew(t *testing.T) {
	t.Parallel()
	set := func(name string, value any) func(map[string]any) {
		return func(metadata map[string]any) { metadata[name] = value }
	}
	for _, test := range []struct {
		name   string
		change func(map[string]any)
		want   string
	}{
		{"another issuer", set("issuer", "https://evil.test"), `"https://evil.test"`},
		{"a trailing slash", func(m map[string]any) { m["issuer"] = m["issuer"].(string) + "/" }, "identical"},
		{"other case", func(m map[string]any) { m["issuer"] = strings.Replace(m["issuer"].(string), "http", "HTTP", 1) }, "identical"},
		{"no issuer", set("issuer", nil), "identical"},
		{"an issuer that would break lines", set("issuer", "a\r\nb"), `"ab"`},
		{"no token endpoint", set("token_endpoint", nil), "token_endpoint"},
		{"no authorization endpoint", set("authorization_endpoint", nil), "authorization_endpoint"},
		{"no keys", set("jwks_uri", nil), "jwks_uri"},
		{"token endpoint on http", set("token_endpoint", "http://login.test/token"), "token_endpoint"},
		{"authorization endpoint on http", set("authorization_endpoint", "http://login.test/a"), "authorization_endpoint"},
		{"authorization endpoint for scripts", set("authorization_endpoint", "javascript:alert(1)"), "authorization_endpoint"},
		{"keys on http", set("jwks_uri", "http://login.test/jwks"), "jwks_uri"},
		{"revocation on http", set("revocation_endpoint", "http://login.test/revoke"), "revocation_endpoint"},
		{"end of session on http", set("end_session_endpoint", "http://login.test/end"), "end_session_endpoint"},
		{"userinfo on http", set("userinfo_endpoint", "http://login.test/me"), "userinfo_endpoint"},
		{"a relative endpoint", set("token_endpoint", "/token"), "token_endpoint"},
		{"a number for an endpoint", set("token_endpoint", 7), "no metadata"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p := coretest.NewProvider(t, coretest.Options{Algorithm: "ES256", Metadata: test.change})
			m, err := core.New(t.Context(), p.Config())
			var e *core.Error
			if m != nil || !errors.As(err, &e) {
				t.Fatalf("%v, want an *Error", err)
			}
			if e.Op != "discovery" || e.Temporary() || !strings.Contains(err.Error(), test.want) || strings.ContainsAny(err.Error(), "\r\n") {
				t.Errorf("%q (%s, temporary %t), want it to say %q", err, e.Op, e.Temporary(), test.want)
			}
		})
	}
}

// A worker needs a token endpoint and nothing else.
func TestWorkerNeedsTokenEndpointOnly(t *testing.T) {
	t.Parallel()
	p, metadata := newMetadata(t, "/.well-known/openid-configuration")
	delete(metadata, "authorization_endpoint")
	delete(metadata, "jwks_uri")
	if err := startClientManager(t, worker(p.URL)).Ready(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestNoMetadataFailsNew(t *testing.T) {
	t.Parallel()
	evil := newClientAPI(t, nil)
	for _, test := range []struct {
		name  string
		fault coretest.Fault
		want  string
	}{
		{"not found", coretest.Fault{Status: 404, Body: "not found"}, "status 404"},
		{"forbidden", coretest.Fault{Status: 403, Body: "no"}, "status 403"},
		{"HTML", coretest.Fault{Status: 200, Body: "<html>welcome</html>"}, "not a JSON object"},
		{"a list", coretest.Fault{Body: "[1]"}, "not a JSON object"},
		{"nothing in it", coretest.Fault{Body: "{}"}, "identical"},
		{"no end", coretest.Fault{Body: "{", Endless: true}, "Config.MaxAnswer"},
		{"a redirect", coretest.Fault{Status: 302, Header: http.Header{"Location": {evil.URL}}}, "status 302"},
		{"a permanent redirect", coretest.Fault{Status: 308, Header: http.Header{"Location": {evil.URL}}}, "status 308"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p := newESProvider(t)
			test.fault.Endpoint, test.fault.Times = coretest.DiscoveryEndpoint, coretest.Always
			p.Fail(test.fault)
			m, err := core.New(t.Context(), p.Config())
			var e *core.Error
			if m != nil || !errors.As(err, &e) || e.Op != "discovery" || e.Temporary() {
				t.Fatalf("%v, want a lasting *Error of the discovery", err)
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("%q, want it to say %q", err, test.want)
			}
		})
	}
	evil.wantURIs(t)
}

// A provider that cannot be reached is no failure of New: it is asked again on first
// use, in bounded time.
func TestUnreachableProviderIsAskedAgain(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]coretest.Fault{
		"down":                 {Status: 503, Body: "later"},
		"busy":                 {Status: 429, Body: "later"},
		"breaking connections": {Drop: true},
		"silent":               {Hang: true},
		"slow":                 {Body: "{", Endless: true, Pause: 10 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newESProvider(t)
			fault.Endpoint, fault.Times = coretest.DiscoveryEndpoint, coretest.Always
			p.Fail(fault)
			cfg := p.Config()
			cfg.Backchannel = endpointClient
			start := time.Now()
			m := startClientManager(t, cfg)
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("New took %s", took)
			}
			err := m.Ready(t.Context())
			var e *core.Error
			if !errors.As(err, &e) || !e.Temporary() || e.Op != "discovery" {
				t.Fatalf("Ready: %v, want a temporary *Error of the discovery", err)
			}
			if _, err := m.StartLogin(t.Context(), coretest.NewSession(), core.LoginOptions{}); core.StatusCode(err) != http.StatusServiceUnavailable && core.StatusCode(err) != http.StatusGatewayTimeout {
				t.Errorf("StartLogin: %v", err)
			}
			p.Heal()
			p.Advance(time.Minute)
			if err := m.Ready(t.Context()); err != nil {
				t.Errorf("up again: %v", err)
			}
			coretest.SignedIn(t, m, "alice")
		})
	}
}

// Nobody is listening, as when both are started at the same time.
func TestProviderThatIsNotThereYet(t *testing.T) {
	t.Parallel()
	p, metadata := newMetadata(t, "/.well-known/openid-configuration")
	issuer := p.URL
	p.Close()
	var now atomic.Pointer[time.Time]
	begin := time.Now()
	now.Store(&begin)
	cfg := worker(issuer)
	cfg.Now = func() time.Time { return *now.Load() }
	var up atomic.Bool
	cfg.Backchannel = &http.Client{Transport: roundTripFunc(func(r *http.Request) (*http.Response, error) {
		if !up.Load() {
			return http.DefaultTransport.RoundTrip(r)
		}
		body, err := json.Marshal(metadata)
		return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(string(body))), Request: r}, err
	})}
	m := startClientManager(t, cfg)
	if err := m.Ready(t.Context()); core.StatusCode(err) != http.StatusServiceUnavailable {
		t.Errorf("%v", err)
	}
	up.Store(true)
	later := begin.Add(time.Minute)
	now.Store(&later)
	if err := m.Ready(t.Context()); err != nil {
		t.Error(err)
	}
}

// The pauses between attempts are the configured clock's; callers within one share
// its failure.
func TestUnreachableProviderIsNotAskedByEveryCaller(t *testing.T) {
	t.Parallel()
	p := newESProvider(t)
	p.Fail(coretest.Fault{Endpoint: coretest.DiscoveryEndpoint, Status: 500, Times: coretest.Always})
	m := startClientManager(t, p.Config())
	asked := func() int { return len(p.Requests(coretest.DiscoveryEndpoint)) }
	for round := range 6 {
		before := asked()
		if round > 0 {
			p.Advance(time.Minute) // longer than any pause
			before++
		}
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				for range 4 {
					if err := m.Ready(t.Context()); err == nil {
						t.Error("ready")
					}
				}
			})
		}
		wg.Wait()
		if got := asked(); got != before {
			t.Errorf("round %d: the provider was asked %d times, want %d", round, got, before)
		}
	}
	// The pauses grow, so a moment is not enough any more.
	before := asked()
	p.Advance(time.Second)
	if err := m.Ready(t.Context()); err == nil || asked() != before {
		t.Errorf("asked %d times more, %v", asked()-before, err)
	}
}

// New's context is for New: what it gives up waiting for goes on.
func TestNewsContextBoundsNewAlone(t *testing.T) {
	t.Parallel()
	p := newESProvider(t)
	goOn := make(chan struct{})
	p.Fail(coretest.Fault{Endpoint: coretest.DiscoveryEndpoint, Before: func() { <-goOn }})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	start := time.Now()
	cfg := p.Config()
	cfg.Logger = slog.New(slog.DiscardHandler)
	m, err := core.New(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("New took %s", took)
	}
	waiting, leave := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer leave()
	if err := m.Ready(waiting); !errors.Is(err, context.DeadlineExceeded) || core.StatusCode(err) != http.StatusGatewayTimeout {
		t.Errorf("Ready: %v", err)
	}
	close(goOn)
	if err := m.Ready(t.Context()); err != nil {
		t.Error(err)
	}
	if got := len(p.Requests(coretest.DiscoveryEndpoint)); got != 1 {
		t.Errorf("%d requests, want 1", got)
	}
	if err := m.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestGivenEndpointsNeedNoDiscovery(t *testing.T) {
	t.Parallel()
	p := newESProvider(t)
	cfg := p.Config()
	cfg.Endpoints = &core.Endpoints{
		Authorization: p.URL(coretest.AuthorizationEndpoint),
		Token:         p.URL(coretest.TokenEndpoint),
		Revocation:    p.URL(coretest.RevocationEndpoint),
		JWKS:          p.URL(coretest.KeysEndpoint),
	}
	m := startClientManager(t, cfg)
	if err := m.Ready(t.Context()); err != nil {
		t.Error(err)
	}
	alice := coretest.SignedIn(t, m, "alice")
	p.Advance(2 * time.Hour)
	if _, err := m.GetUserAccessToken(alice); err != nil {
		t.Error(err)
	}
	if user, err := m.User(alice); err != nil || user.Subject != "alice" || user.Issuer != p.Issuer() {
		t.Errorf("%v, %v", user, err)
	}
	if got := p.Requests(coretest.DiscoveryEndpoint); len(got) != 0 {
		t.Errorf("%d requests for metadata", len(got))
	}
}

func TestDiscoveryIsMadeOnce(t *testing.T) {
	t.Parallel()
	p := newESProvider(t)
	m := startClientManager(t, p.Config())
	for _, user := range []string{"alice", "bob"} {
		coretest.SignedIn(t, m, user)
	}
	p.Advance(24 * time.Hour)
	if err := m.Ready(t.Context()); err != nil {
		t.Error(err)
	}
	if got := len(p.Requests(coretest.DiscoveryEndpoint)); got != 1 {
		t.Errorf("%d requests, want 1", got)
	}
}

// brokenStore fails to be read.
type brokenStore struct{ store.Store }

func (brokenStore) Load(context.Context, string) ([]byte, string, error) {
	return nil, "", io.ErrUnexpectedEOF
}

func TestReadyLooksAtStore(t *testing.T) {
	t.Parallel()
	p := newESProvider(t)
	cfg := p.Config()
	cfg.Store = brokenStore{store.NewMemory()}
	err := startClientManager(t, cfg).Ready(t.Context())
	var e *core.Error
	if !errors.As(err, &e) || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatalf("%v", err)
	}
	if diff := cmp.Diff([]any{"store", true, 503}, []any{e.Op, e.Temporary(), core.StatusCode(err)}); diff != "" {
		t.Error(diff)
	}
	if err := (*core.Manager)(nil).Ready(t.Context()); !errors.Is(err, core.ErrNoManager) {
		t.Errorf("no manager: %v", err)
	}
}
