package core_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tokenwell/tokenwell/core"
	"github.com/tokenwell/tokenwell/core/coretest"
)

const clientCredentials = "client_credentials"

// machineToken gets a token of the application's own, which must be had.
func machineToken(t testing.TB, m *core.Manager, opts ...core.TokenOption) *core.Token {
	t.Helper()
	tok, err := m.GetClientAccessToken(t.Context(), opts...)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// machineForms returns the forms of the requests for such tokens.
func machineForms(p *coretest.Provider) []url.Values {
	var forms []url.Values
	for _, r := range p.Requests(coretest.TokenEndpoint) {
		if r.Form.Get("grant_type") == clientCredentials {
			forms = append(forms, r.Form)
		}
	}
	return forms
}

func wantMachineGrants(t testing.TB, p *coretest.Provider, n int) {
	t.Helper()
	if got := p.Grants(clientCredentials); got != n {
		t.Errorf("%d requests for client credentials, want %d", got, n)
	}
}

func TestClientTokenIsRequestedOnceForAThousandCallers(t *testing.T) {
	t.Parallel()
	p := newESProvider(t)
	m := startClientManager(t, p.Config())
	tokens := make([]*core.Token, 1000)
	var wg sync.WaitGroup
	for i := range tokens {
		wg.Go(func() {
			tok, err := m.GetClientAccessToken(t.Context())
			if err != nil {
				t.Error(err)
			}
			tokens[i] = tok
		})
	}
	wg.Wait()
	for _, tok := range tokens {
		if tok != tokens[0] {
			t.Fatal("callers got different tokens")
		}
	}
	wantMachineGrants(t, p, 1)
	p.Advance(time.Hour)
	machineToken(t, m)
	wantMachineGrants(t, p, 2)
}

// RFC 6749 section 2.3.1: identifier and secret are form-urlencoded in a Basic header;
// in the form they are like any parameter.
func TestClientTokenAuthenticatesAsConfigured(t *testing.T) {
	t.Parallel()
	const id, secret = "id:ü/1", "a:b%+ü &="
	p := coretest.NewProvider(t, coretest.Options{Algorithm: "ES256", Clients: map[string]string{id: secret}})
	for name, auth := range map[string]core.ClientAuth{"default": nil, "basic": core.SecretBasic(secret), "post": core.SecretPost(secret)} {
		cfg := p.Config()
		cfg.ClientID, cfg.ClientAuth, cfg.ClientSecret = id, auth, ""
		if auth == nil {
			cfg.ClientSecret = secret
		}
		machineToken(t, startClientManager(t, cfg))
		requests := p.Requests(coretest.TokenEndpoint)
		last := requests[len(requests)-1]
		inForm := last.Form.Get("client_secret") == secret && last.Form.Get("client_id") == id && last.Header.Get("Authorization") == ""
		inHeader := !last.Form.Has("client_secret") && strings.HasPrefix(last.Header.Get("Authorization"), "Basic ")
		if post := name == "post"; inForm != post || inHeader == post {
			t.Errorf("%s: form %v, header %v", name, last.Form, last.Header)
		}
	}
}

// What is asked for per call replaces what is configured, field by field.
func TestClientTokenPrecedence(t *testing.T) {
	t.Parallel()
	p := coretest.NewProvider(t, coretest.Options{Algorithm: "ES256", Clients: map[string]string{"other": "s"}})
	api := p.Protect(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	cfg := p.Config()
	cfg.ClientScopes = []string{"configured"}
	cfg.Registrations = map[string]core.Registration{"other": {
		Issuer: cfg.Issuer, ClientID: "other", ClientSecret: "s", Scopes: []string{"registered"},
		Resource: "https://registered.test/", Params: url.Values{"tenant": {"registered"}, "more": {"1"}},
	}}
	wrapped := core.RetrieverFunc(func(ctx context.Context, req core.TokenRequest) (*core.Token, error) {
		req.Resource = "https://wrapper.test/"
		return core.ClientToken(core.WithScopes("client"), core.WithResource("https://client.test/")).RetrieveToken(ctx, req)
	})
	cfg.HTTPClients = map[string]core.HTTPClient{"wrapped": {BaseURL: api.URL, Token: wrapped}}
	m := startClientManager(t, cfg)
	grant := func(more url.Values) url.Values {
		form := url.Values{"grant_type": {clientCredentials}}
		for name, values := range more {
			form[name] = values
		}
		return form
	}
	for _, test := range []struct {
		name string
		get  func() error
		want url.Values
	}{
		{"configured", asking(m), url.Values{"scope": {"configured"}}},
		{"per call", asking(m, core.WithScopes("b", "a", "b")), url.Values{"scope": {"b a"}}},
		{"none", asking(m, core.WithScopes()), url.Values{}},
		{"resource and parameters", asking(m, core.WithResource("https://call.test/"), core.WithParams(url.Values{"tenant": {"call"}})), url.Values{
			"scope": {"configured"}, "resource": {"https://call.test/"}, "tenant": {"call"},
		}},
		{"registered", asking(m, core.WithRegistration("other")), url.Values{
			"scope": {"registered"}, "resource": {"https://registered.test/"}, "tenant": {"registered"}, "more": {"1"},
		}},
		{"registered, per call", asking(m, core.WithRegistration("other"), core.WithScopes("call"), core.WithParams(url.Values{"tenant": {"call"}})), url.Values{
			"scope": {"call"}, "resource": {"https://registered.test/"}, "tenant": {"call"},
		}},
		{"a named client's", func() error {
			ctx := core.WithOptions(t.Context(), core.WithScopes("options"), core.WithResource("https://options.test/"))
			get(ctx, t, m.HTTPClient("wrapped"), "list")
			return nil
		}, url.Values{"scope": {"options"}, "resource": {"https://wrapper.test/"}}},
		{"a named client's defaults", func() error {
			get(t.Context(), t, m.HTTPClient("wrapped"), "list")
			return nil
		}, url.Values{"scope": {"client"}, "resource": {"https://wrapper.test/"}}},
	} {
		if err := test.get(); err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		forms := machineForms(p)
		if diff := cmp.Diff(grant(test.want), forms[len(forms)-1]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
	}
	before := p.Grants(clientCredentials)
	for _, name := range []string{"grant_type", "client_id", "client_secret", "client_assertion", "scope"} {
		var e *core.Error
		if _, err := m.GetClientAccessToken(t.Context(), core.WithParams(url.Values{name: {"x"}})); !errors.As(err, &e) || e.Op != "configure" {
			t.Errorf("parameter %s: %v, want it refused", name, err)
		}
	}
	wantMachineGrants(t, p, before)
}

func asking(m *core.Manager, opts ...core.TokenOption) func() error {
	return func() error {
		_, err := m.GetClientAccessToken(context.Background(), opts...)
		return err
	}
}

func TestClientTokenExpiry(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name     string
		said     any // nil: nothing
		life     time.Duration
		requests int // for two calls in a row
	}{
		{"a number", 300, 300 * time.Second, 1},
		{"text", "300", 300 * time.Second, 1},
		{"nothing", nil, -1, 1},
		{"zero", 0, 0, 2},
		{"less than nothing", -5, 0, 2},
		{"garbage", "soon", 0, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p := coretest.NewProvider(t, coretest.Options{Algorithm: "ES256", Answer: func(a map[string]any) {
				delete(a, "expires_in")
				if test.said != nil {
					a["expires_in"] = test.said
				}
			}})
			m := startClientManager(t, p.Config())
			tok := machineToken(t, m)
			switch {
			case test.life < 0 && !tok.Expiry.IsZero():
				t.Errorf("expires at %v, want never", tok.Expiry)
			case test.life >= 0 && tok.Expiry.Sub(p.Now()).Round(time.Second) != test.life:
				t.Errorf("expires in %v, want %v", tok.Expiry.Sub(p.Now()), test.life)
			}
			machineToken(t, m)
			wantMachineGrants(t, p, test.requests)
		})
	}
}

// Everything that shapes a request shapes the key of its token (CVE-2025-26620).
func TestClientTokenIsKeptForEverythingThatShapesIt(t *testing.T) {
	t.Parallel()
	p := coretest.NewProvider(t, coretest.Options{Algorithm: "ES256", Clients: map[string]string{"other": "s", "third": "s"}})
	elsewhere := coretest.NewProvider(t, coretest.Options{Algorithm: "ES256", Clients: map[string]string{"other": "s"}})
	cfg := p.Config()
	cfg.Registrations = map[string]core.Registration{
		"other":      {Issuer: cfg.Issuer, ClientID: "other", ClientSecret: "s"},
		"other post": {Issuer: cfg.Issuer, ClientID: "other", ClientAuth: core.SecretPost("s")},
		"other url":  {TokenURL: p.URL(coretest.TokenEndpoint), ClientID: "other", ClientSecret: "s"},
		"third":      {Issuer: cfg.Issuer, ClientID: "third", ClientSecret: "s"},
		"elsewhere":  {Issuer: elsewhere.Issuer(), ClientID: "other", ClientSecret: "s"},
	}
	m := startClientManager(t, cfg)
	requests := [][]core.TokenOption{
		nil,
		{core.WithScopes("a")},
		{core.WithScopes("b")},
		{core.WithScopes("a", "b")},
		{core.WithResource("https://a.test/")},
		{core.WithResource("https://b.test/")},
		{core.WithParams(url.Values{"tenant": {"a"}})},
		{core.WithParams(url.Values{"tenant": {"b"}})},
		{core.WithParams(url.Values{"audience": {"a", "b"}})},
		{core.WithParams(url.Values{"audience": {"a"}})},
		{core.WithRegistration("other")},
		{core.WithRegistration("other post")},
		{core.WithRegistration("other url")},
		{core.WithRegistration("third")},
		{core.WithRegistration("elsewhere")},
		{core.WithRegistration("other"), core.WithScopes("a")},
	}
	var mu sync.Mutex
	whose := make(map[string]int)
	var wg sync.WaitGroup
	for i, opts := range requests {
		for range 10 {
			wg.Go(func() {
				tok, err := m.GetClientAccessToken(t.Context(), opts...)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				defer mu.Unlock()
				if of, ok := whose[tok.AccessToken]; ok && of != i {
					t.Errorf("request %d got the token of request %d", i, of)
				}
				whose[tok.AccessToken] = i
			})
		}
	}
	wg.Wait()
	wantMachineGrants(t, p, len(requests)-1)
	wantMachineGrants(t, elsewhere, 1)
	if machineToken(t, m, core.WithScopes("b", "a")) != machineToken(t, m, core.WithScopes("a", "b", "a")) {
		t.Error("the order of scopes made another token")
	}
	wantMachineGrants(t, p, len(requests)-1)
}

func TestClientTokenGoesOnWithoutWhoeverCameFirst(t *testing.T) {
	t.Parallel()
	p := newESProvider(t)
	m := startClientManager(t, p.Config())
	arrived, proceed := make(chan struct{}), make(chan struct{})
	p.Fail(coretest.Fault{Grant: clientCredentials, Before: func() { close(arrived); <-proceed }})
	first, hangUp := context.WithCancel(t.Context())
	left, got := make(chan error, 1), make(chan error, 1)
	go func() {
		_, err := m.GetClientAccessToken(first)
		left <- err
	}()
	waitFor(t, "the request", arrived)
	go func() {
		_, err := m.GetClientAccessToken(t.Context())
		got <- err
	}()
	hangUp()
	err := waitFor(t, "the caller who left", left)
	var e *core.Error
	if !errors.Is(err, context.Canceled) || !errors.As(err, &e) || e.Op != clientCredentials {
		t.Errorf("the caller who left got %v", err)
	}
	close(proceed)
	if err := waitFor(t, "the caller who stayed", got); err != nil {
		t.Errorf("the caller who stayed got %v", err)
	}
	wantMachineGrants(t, p, 1)
}

func TestForcedClientTokenIsTheOneFromThenOn(t *testing.T) {
	t.Parallel()
	p := newESProvider(t)
	m := startClientManager(t, p.Config())
	first := machineToken(t, m)
	forced := machineToken(t, m, core.WithForceRenewal())
	if after := machineToken(t, m); forced == first || after != forced {
		t.Error("a forced renewal did not replace the token")
	}
	wantMachineGrants(t, p, 2)
}

// Whoever asks for a new token is not served by a request that was under way already.
func TestForcedClientTokenIsAskedForAfterwards(t *testing.T) {
	t.Parallel()
	p := newESProvider(t)
	synctest.Test(t, func(t *testing.T) {
		proceed := make(chan struct{})
		cfg := p.Config()
		cfg.Backchannel = bubbleClient(func(q *http.Request, send func() (*http.Response, error)) (*http.Response, error) {
			if q.Method == http.MethodPost {
				<-proceed
			}
			return send()
		})
		m := startClientManager(t, cfg)
		var wg sync.WaitGroup
		for _, opts := range [][]core.TokenOption{nil, {core.WithForceRenewal()}} {
			wg.Go(func() { machineToken(t, m, opts...) })
			synctest.Wait()
		}
		close(proceed)
		wg.Wait()
		wantMachineGrants(t, p, 2)
	})
}

// In the early window nobody waits, and one request is made behind all callers; while
// the provider is down the live token is served, and that is logged.
func TestClientTokenIsServedWhileItLives(t *testing.T) {
	t.Parallel()
	for _, down := range []bool{false, true} {
		p := newESProvider(t)
		synctest.Test(t, func(t *testing.T) {
			cfg := p.Config()
			cfg.Backchannel = bubbleClient(nil)
			var log bytes.Buffer
			cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
			m := startClientManager(t, cfg)
			first := machineToken(t, m)
			p.Advance(59*time.Minute + 30*time.Second)
			if down {
				p.Fail(coretest.Fault{Status: 503, Times: coretest.Always})
			}
			for range 100 {
				if machineToken(t, m) != first {
					break // renewed behind the others
				}
			}
			synctest.Wait()
			wantMachineGrants(t, p, 2)
			after := machineToken(t, m)
			if (after == first) != down {
				t.Errorf("the provider being down is %t; the first token is still served: %t", down, after == first)
			}
			if logged := strings.Contains(log.String(), "the live one is used"); logged != down {
				t.Errorf("log: %s", log.String())
			}
			if strings.Contains(log.String(), first.AccessToken) {
				t.Error("the log has the token")
			}
		})
	}
}

// A token that lives for less than the early window is not asked for on every call.
func TestShortClientTokenIsKept(t *testing.T) {
	t.Parallel()
	p := coretest.NewProvider(t, coretest.Options{Algorithm: "ES256", AccessTokenLife: 10 * time.Second})
	m := startClientManager(t, p.Config())
	for range 100 {
		machineToken(t, m)
	}
	wantMachineGrants(t, p, 1)
}

func TestClientTokenSize(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		size int
		most int64
		ok   bool
	}{{200 << 10, 0, true}, {2 << 20, 0, false}, {2 << 20, 3 << 20, true}, {8 << 10, 4 << 10, false}} {
		p := coretest.NewProvider(t, coretest.Options{Algorithm: "ES256", AccessTokenSize: test.size})
		cfg := p.Config()
		cfg.MaxAnswer = test.most
		tok, err := startClientManager(t, cfg).GetClientAccessToken(t.Context())
		if test.ok != (err == nil) || err != nil && !strings.Contains(err.Error(), "Config.MaxAnswer") {
			t.Errorf("a token of %d bytes with MaxAnswer %d: %v, %v", test.size, test.most, tok, err)
		}
	}
}
