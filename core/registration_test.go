package core_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tokenwell/tokenwell/core"
	"github.com/tokenwell/tokenwell/core/coretest"
)

// tenants is a registry of OAuth clients that changes at run time.
type tenants struct {
	known atomic.Pointer[map[string]core.Registration]
	fail  atomic.Pointer[error]
	looks atomic.Int32
}

func (s *tenants) set(known map[string]core.Registration) { s.known.Store(&known) }

func (s *tenants) find(_ context.Context, name string) (core.Registration, error) {
	s.looks.Add(1)
	if err := s.fail.Load(); err != nil {
		return core.Registration{}, *err
	}
	return (*s.known.Load())[name], nil
}

// newTenants starts a worker that has clients at p, found at run time, and nothing
// else.
func newTenants(t testing.TB, o coretest.Options, change ...func(*core.Config)) (*coretest.Provider, *core.Manager, *tenants) {
	t.Helper()
	o.Algorithm = "ES256"
	p := coretest.NewProvider(t, o)
	found := &tenants{}
	known := make(map[string]core.Registration)
	for name, secret := range o.Clients {
		known[name] = core.Registration{Issuer: p.Issuer(), ClientID: name, ClientSecret: secret}
	}
	found.set(known)
	cfg := core.Config{FindRegistration: found.find, Now: p.Now}
	for _, f := range change {
		f(&cfg)
	}
	return p, startClientManager(t, cfg), found
}

// A program that has only registrations needs no issuer, no client ID and no
// redirect URL of its own.
func TestRegistrationsAloneMakeAManager(t *testing.T) {
	t.Parallel()
	p := coretest.NewProvider(t, coretest.Options{Algorithm: "ES256", Clients: map[string]string{"one": "s1", "two": "s2"}})
	m := startClientManager(t, core.Config{Now: p.Now, Registrations: map[string]core.Registration{
		"discovered": {Issuer: p.Issuer(), ClientID: "one", ClientSecret: "s1"},
		"given":      {TokenURL: p.URL(coretest.TokenEndpoint), ClientID: "two", ClientAuth: core.SecretPost("s2")},
	}})
	for _, name := range []string{"discovered", "given"} {
		machineToken(t, m, core.WithRegistration(name))
	}
	if err := m.Ready(t.Context()); err != nil {
		t.Errorf("Ready: %v", err)
	}
	_, err := m.GetClientAccessToken(t.Context())
	if e := asError(t, err); e.Op != "configure" || !strings.Contains(err.Error(), "Config.ClientID") || !strings.Contains(err.Error(), "discovered, given") {
		t.Errorf("the application's own: %v", err)
	}
	if _, err := m.StartLogin(t.Context(), coretest.NewSession(), core.LoginOptions{}); err == nil {
		t.Error("a login without an application")
	}
}

func TestWrongRegistrationNamesField(t *testing.T) {
	t.Parallel()
	good := core.Registration{Issuer: "https://login.test", ClientID: "c", ClientSecret: "sentinel-secret"}
	for field, change := range map[string]func(*core.Registration){
		"ClientID":     func(r *core.Registration) { r.ClientID = "" },
		"Issuer":       func(r *core.Registration) { r.Issuer = "" },
		"https":        func(r *core.Registration) { r.Issuer = "http://login.test" },
		"TokenURL":     func(r *core.Registration) { r.TokenURL = "login.test/token" },
		"ClientSecret": func(r *core.Registration) { r.ClientAuth = core.SecretPost("sentinel-secret") },
		"Scopes":       func(r *core.Registration) { r.Scopes = []string{"a b"} },
		"Params":       func(r *core.Registration) { r.Params = url.Values{"client_secret": {"x"}} },
	} {
		wrong := good
		change(&wrong)
		_, err := core.New(t.Context(), core.Config{Registrations: map[string]core.Registration{"wrong one": wrong}})
		if e := asError(t, err); e.Op != "configure" || !strings.Contains(err.Error(), field) || !strings.Contains(err.Error(), "wrong one") || strings.Contains(err.Error(), "sentinel") {
			t.Errorf("configured: %v, want %s named", err, field)
		}
		m := startClientManager(t, core.Config{FindRegistration: func(context.Context, string) (core.Registration, error) { return wrong, nil }})
		_, err = m.GetClientAccessToken(t.Context(), core.WithRegistration("wrong one"))
		if e := asError(t, err); e.Op != "configure" || !strings.Contains(err.Error(), field) || !strings.Contains(err.Error(), "wrong one") || strings.Contains(err.Error(), "sentinel") {
			t.Errorf("found: %v, want %s named", err, field)
		}
	}
}

func TestConfigNeedsAnApplicationOrRegistrations(t *testing.T) {
	t.Parallel()
	registration := core.Registration{TokenURL: "https://login.test/token", ClientID: "c", ClientSecret: "s"}
	find := func(context.Context, string) (core.Registration, error) { return registration, nil }
	for name, test := range map[string]struct {
		cfg  core.Config
		want string // "": it is right
	}{
		"nothing":               {core.Config{}, "ClientID"},
		"a client without more": {core.Config{ClientID: "c"}, "Issuer"},
		"an issuer alone":       {core.Config{Issuer: "https://login.test"}, "ClientID"},
		"registrations":         {core.Config{Registrations: map[string]core.Registration{"r": registration}}, ""},
		"a look-up":             {core.Config{FindRegistration: find}, ""},
		"logins of nobody": {
			core.Config{FindRegistration: find, RedirectURL: "https://app.test/callback"},
			"ClientID",
		},
	} {
		m, err := core.New(t.Context(), test.cfg)
		switch {
		case test.want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case test.want != "" && (err == nil || !strings.Contains(err.Error(), "Config."+test.want)):
			t.Errorf("%s: %v, want Config.%s named", name, err, test.want)
		}
		if m != nil {
			_ = m.Close(t.Context())
		}
	}
}

// A name that nobody knows is an error that names those that are known, before any
// request.
func TestUnknownRegistration(t *testing.T) {
	t.Parallel()
	p := newESProvider(t)
	cfg := p.Config()
	cfg.Registrations = map[string]core.Registration{
		"orders":  {Issuer: cfg.Issuer, ClientID: "o", ClientSecret: "s"},
		"billing": {Issuer: cfg.Issuer, ClientID: "b", ClientSecret: "s"},
	}
	for _, find := range []func(context.Context, string) (core.Registration, error){
		nil,
		func(context.Context, string) (core.Registration, error) { return core.Registration{}, nil },
	} {
		cfg.FindRegistration = find
		m := startClientManager(t, cfg)
		_, err := m.GetClientAccessToken(t.Context(), core.WithRegistration("oders"))
		e := asError(t, err)
		if e.Op != "configure" || e.Registration != "oders" || !strings.Contains(err.Error(), "billing, orders") || e.Temporary() {
			t.Errorf("%v", err)
		}
	}
	wantMachineGrants(t, p, 0)
}

// A registration is looked up once for all who need it, and not again for a minute.
func TestRegistrationIsLookedUpOnceForAThousandCallers(t *testing.T) {
	t.Parallel()
	p, m, found := newTenants(t, coretest.Options{Clients: map[string]string{"blue": "s"}})
	blue := core.WithRegistration("blue")
	atOnce(1000, func(int) {
		if _, err := m.GetClientAccessToken(t.Context(), blue); err != nil {
			t.Error(err)
		}
	})
	if got := found.looks.Load(); got != 1 {
		t.Errorf("%d looks, want 1", got)
	}
	p.Advance(59 * time.Second)
	machineToken(t, m, blue)
	if got := found.looks.Load(); got != 1 {
		t.Errorf("%d looks within a minute, want 1", got)
	}
	p.Advance(2 * time.Second)
	atOnce(100, func(int) {
		if _, err := m.GetClientAccessToken(t.Context(), blue); err != nil {
			t.Error(err)
		}
	})
	if got := found.looks.Load(); got != 2 {
		t.Errorf("%d looks after a minute, want 2", got)
	}
	wantMachineGrants(t, p, 1)
}

// A secret that was changed within the second is found out when the provider refuses the
// old one.
func TestRefusedRegistrationIsLookedUpAgain(t *testing.T) {
	t.Parallel()
	p, m, found := newTenants(t, coretest.Options{Clients: map[string]string{"blue": "old", "new": "new"}})
	blue := core.WithRegistration("blue")
	machineToken(t, m, blue)
	p.Fail(coretest.Fault{Status: 401, Body: `{"error":"invalid_client"}`})
	found.set(map[string]core.Registration{"blue": {Issuer: p.Issuer(), ClientID: "new", ClientSecret: "new"}})
	machineToken(t, m, blue, core.WithForceRenewal())
	wantMachineGrants(t, p, 3)

	// Where nothing has changed the refusal is the answer.
	p.Fail(coretest.Fault{Status: 401, Body: `{"error":"invalid_client"}`})
	_, err := m.GetClientAccessToken(t.Context(), blue, core.WithForceRenewal())
	if e := asError(t, err); e.Code != "invalid_client" || e.Registration != "blue" {
		t.Errorf("%v", err)
	}
	wantMachineGrants(t, p, 4)
}

// A secret that was changed is used for the next request, unless the registration had
// been looked up that very second.
func TestChangedRegistrationTakesEffect(t *testing.T) {
	t.Parallel()
	p, m, found := newTenants(t, coretest.Options{Clients: map[string]string{"blue": "old", "new": "new"}})
	blue := core.WithRegistration("blue")
	first := machineToken(t, m, blue)
	p.Advance(time.Second)
	found.set(map[string]core.Registration{"blue": {Issuer: p.Issuer(), ClientID: "new", ClientSecret: "new", Scopes: []string{"more"}}})
	if machineToken(t, m, blue) != first {
		t.Error("looked up again within the minute, for a token that is at hand")
	}
	forced := machineToken(t, m, blue, core.WithForceRenewal())
	requests := p.Requests(coretest.TokenEndpoint)
	last := requests[len(requests)-1]
	if id, _, _ := (&http.Request{Header: last.Header}).BasicAuth(); id != "new" || last.Form.Get("scope") != "more" {
		t.Errorf("asked as %q for %q", id, last.Form.Get("scope"))
	}
	if machineToken(t, m, blue) != forced {
		t.Error("the new token is not the one from then on")
	}
	wantMachineGrants(t, p, 2)
}

// What is at hand is used without a look for a minute, so a tenant that was removed is
// gone within it, its live token included.
func TestRemovedRegistrationIsGoneWithinAMinute(t *testing.T) {
	t.Parallel()
	p, m, found := newTenants(t, coretest.Options{Clients: map[string]string{"blue": "s"}})
	blue := core.WithRegistration("blue")
	machineToken(t, m, blue)
	found.set(nil)
	p.Advance(time.Second)
	if _, err := m.GetClientAccessToken(t.Context(), blue, core.WithForceRenewal()); err == nil {
		t.Error("a token was requested for what has been removed")
	}
	p.Advance(61 * time.Second)
	_, err := m.GetClientAccessToken(t.Context(), blue)
	if e := asError(t, err); e.Op != "configure" || e.Registration != "blue" {
		t.Errorf("%v", err)
	}
	wantMachineGrants(t, p, 1)
}

// While the look-up fails, what was found before serves for five minutes, looked for
// again every five seconds; who was never found is a failure that may pass.
func TestRegistrationOutlivesAnOutageOfItsLookUp(t *testing.T) {
	t.Parallel()
	var log lockedBuffer
	p, m, found := newTenants(t, coretest.Options{Clients: map[string]string{"blue": "s", "red": "s"}},
		func(c *core.Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	blue := core.WithRegistration("blue")
	machineToken(t, m, blue)
	down := errors.New("the database is down")
	found.fail.Store(&down)

	_, err := m.GetClientAccessToken(t.Context(), core.WithRegistration("red"))
	if e := asError(t, err); e.Op != "registration" || e.Registration != "red" || !e.Temporary() || !errors.Is(err, down) || core.StatusCode(err) != http.StatusServiceUnavailable {
		t.Errorf("never found: %v", err)
	}

	p.Advance(61 * time.Second)
	before := found.looks.Load()
	for range 10 {
		machineToken(t, m, blue)
	}
	if got := found.looks.Load() - before; got != 1 {
		t.Errorf("%d looks, want 1", got)
	}
	p.Advance(6 * time.Second)
	machineToken(t, m, blue, core.WithForceRenewal())
	if got := found.looks.Load() - before; got < 2 {
		t.Errorf("%d looks after six seconds, want another", got)
	}
	if !strings.Contains(log.String(), "blue") || !strings.Contains(log.String(), down.Error()) {
		t.Errorf("log: %s", log.String())
	}
	p.Advance(5 * time.Minute)
	if _, err := m.GetClientAccessToken(t.Context(), blue); !errors.Is(err, down) {
		t.Errorf("after the grace: %v", err)
	}
	found.fail.Store(nil)
	p.Advance(time.Second)
	machineToken(t, m, blue)
}

// A look-up of the application's that panics is an error for all who wait.
func TestPanicInRegistrationLookUpIsAnError(t *testing.T) {
	t.Parallel()
	m := startClientManager(t, core.Config{FindRegistration: func(context.Context, string) (core.Registration, error) {
		panic("sentinel-panic")
	}})
	_, err := m.GetClientAccessToken(t.Context(), core.WithRegistration("blue"))
	if e := asError(t, err); e.Op != "registration" || strings.Contains(err.Error(), "sentinel") {
		t.Errorf("%v", err)
	}
}

// An https issuer names https endpoints: it does not send a secret in the clear to
// something on this machine.
func TestHTTPSIssuerNamesNoPlainEndpoint(t *testing.T) {
	t.Parallel()
	plain := newClientAPI(t, nil)
	var issuer string
	secure := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"issuer":%q,"token_endpoint":%q}`, issuer, plain.URL+"/internal")
	}))
	t.Cleanup(secure.Close)
	issuer = secure.URL
	m := startClientManager(t, core.Config{
		Backchannel: secure.Client(),
		Registrations: map[string]core.Registration{
			"tenant": {Issuer: issuer, ClientID: "c", ClientAuth: core.SecretPost("s")},
		},
	})
	_, err := m.GetClientAccessToken(t.Context(), core.WithRegistration("tenant"))
	if e := asError(t, err); e.Op != "discovery" || e.Temporary() {
		t.Errorf("%v", err)
	}
	plain.wantURIs(t)
}

// What an error shows of a configuration is no password and no line of its own.
func TestRegistrationErrorsShowNoSecret(t *testing.T) {
	t.Parallel()
	for _, address := range []string{
		"http://user:sentinel@login.test/token", "ftp://user:sentinel@login.test/token", "https://user:sentinel@login.test/%zz",
	} {
		_, err := core.New(t.Context(), core.Config{Registrations: map[string]core.Registration{"x": {TokenURL: address, ClientID: "c"}}})
		if asError(t, err); strings.Contains(err.Error(), "sentinel") {
			t.Errorf("%v", err)
		}
	}
	_, m, _ := newTenants(t, coretest.Options{})
	_, err := m.GetClientAccessToken(t.Context(), core.WithRegistration("x\nERROR forged"))
	if asError(t, err); strings.Contains(err.Error(), "\n") {
		t.Errorf("%v", err)
	}
}

// What an attacker makes up for names fills no memory, and the look-up sees the
// caller's values but not its end.
func TestRegistrationLookUpSeesItsCallersValues(t *testing.T) {
	t.Parallel()
	type key struct{}
	started, proceed := make(chan struct{}), make(chan struct{})
	p := coretest.NewProvider(t, coretest.Options{Algorithm: "ES256", Clients: map[string]string{"blue": "s"}})
	var seen any
	var ended error
	m := startClientManager(t, core.Config{Now: p.Now, FindRegistration: func(ctx context.Context, _ string) (core.Registration, error) {
		close(started)
		<-proceed
		seen, ended = ctx.Value(key{}), ctx.Err()
		return core.Registration{Issuer: p.Issuer(), ClientID: "blue", ClientSecret: "s"}, nil
	}})
	first, hangUp := context.WithCancel(context.WithValue(t.Context(), key{}, "value"))
	left := make(chan error, 1)
	go func() {
		_, err := m.GetClientAccessToken(first, core.WithRegistration("blue"))
		left <- err
	}()
	waitFor(t, "the look-up", started)
	hangUp()
	if err := waitFor(t, "the caller who left", left); !errors.Is(err, context.Canceled) {
		t.Errorf("the caller who left got %v", err)
	}
	close(proceed)
	machineToken(t, m, core.WithRegistration("blue"))
	if seen != "value" || ended != nil {
		t.Errorf("the look-up saw %v, %v", seen, ended)
	}
}

// The provider of a registration is discovered on first use: one that is down or lies
// about itself harms nobody else.
func TestRegistrationsProviderIsDiscoveredOnItsOwn(t *testing.T) {
	t.Parallel()
	p := newESProvider(t)
	other := coretest.NewProvider(t, coretest.Options{Algorithm: "ES256", Clients: map[string]string{"o": "s"}})
	cfg := p.Config()
	cfg.Registrations = map[string]core.Registration{"other": {Issuer: other.Issuer(), ClientID: "o", ClientSecret: "s"}}
	for _, fault := range []coretest.Fault{
		{Endpoint: coretest.DiscoveryEndpoint, Status: 503, Times: coretest.Always},
		{Endpoint: coretest.DiscoveryEndpoint, Times: coretest.Always, Answer: func(a map[string]any) { a["issuer"] = "https://evil.test" }},
		{Endpoint: coretest.DiscoveryEndpoint, Times: coretest.Always, Answer: func(a map[string]any) { a["token_endpoint"] = "http://evil.test/token" }},
		{Endpoint: coretest.DiscoveryEndpoint, Times: coretest.Always, Answer: func(a map[string]any) { delete(a, "token_endpoint") }},
	} {
		other.Fail(fault)
		m := startClientManager(t, cfg)
		machineToken(t, m)
		_, err := m.GetClientAccessToken(t.Context(), core.WithRegistration("other"))
		if e := asError(t, err); e.Op != "discovery" || e.Registration != "other" || e.Temporary() != (fault.Status != 0) {
			t.Errorf("%v", err)
		}
		other.Heal()
		p.Advance(2 * time.Minute)
		if tok, err := m.GetClientAccessToken(t.Context(), core.WithRegistration("other")); err != nil {
			t.Errorf("healed: %v, %v", tok, err)
		}
	}
}

// A registration shows no secret, in whatever way it is printed.
func TestRegistrationShowsNoSecret(t *testing.T) {
	t.Parallel()
	const secret = "s3cr3t-of-a-tenant"
	r := core.Registration{Issuer: "https://login.test", ClientID: "blue", ClientSecret: secret, Scopes: []string{"orders"}, Params: url.Values{"key": {secret}}}
	withAuth := core.Registration{Issuer: "https://login.test", ClientID: "blue", ClientAuth: core.SecretPost(secret), Scopes: []string{"orders"}}
	config := core.Config{Registrations: map[string]core.Registration{"blue": r}, Scopes: []string{"orders"}}
	for _, v := range []any{r, &r, withAuth, &withAuth, config, &config, []core.Registration{r}, map[string]core.Registration{"blue": r}} {
		for way, text := range printings(t, v) {
			if holds(text, secret) {
				t.Errorf("%T, %s: %s", v, way, text)
			}
			if !strings.Contains(text, "orders") {
				t.Errorf("%T, %s: what is no secret is missing: %s", v, way, text)
			}
		}
	}
	if text := fmt.Sprint(r); !strings.Contains(text, "blue") || !strings.Contains(text, "https://login.test") {
		t.Errorf("%s", text)
	}
}
