package core_test

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tokenwell/tokenwell/core"
	"github.com/tokenwell/tokenwell/core/coretest"
)

// A failure is an error that says what failed and how, is shared by all who wait, and
// is never kept as a token.
func TestClientTokenFailures(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		fault  coretest.Fault
		status int
		code   string
		again  bool // the same call may succeed later
	}{
		{"a refused client", coretest.Fault{Status: 401, Body: `{"error":"invalid_client"}`}, 401, "invalid_client", false},
		{"a refused scope", coretest.Fault{Status: 400, Body: `{"error":"invalid_scope"}`}, 400, "invalid_scope", false},
		{"an error in a success", coretest.Fault{Body: `{"error":"unauthorized_client"}`}, 200, "unauthorized_client", false},
		{"a proxy's 404", coretest.Fault{Status: 404, Body: "<html>"}, 404, "", true},
		{"a failure", coretest.Fault{Status: 500, Body: "oops"}, 500, "", true},
		{"HTML", coretest.Fault{Body: "<html>welcome</html>"}, 200, "", false},
		{"no token", coretest.Fault{Body: `{"token_type":"Bearer"}`}, 200, "", false},
		{"another kind of token", coretest.Fault{Body: `{"access_token":"a","token_type":"mac"}`}, 200, "", false},
		{"a redirect", coretest.Fault{Status: 307, Header: http.Header{"Location": {"/elsewhere"}}}, 307, "", false},
		{"a body without end", coretest.Fault{Endless: true}, 200, "", true},
		{"a broken connection", coretest.Fault{Drop: true}, 0, "", true},
		{"silence", coretest.Fault{Hang: true}, 0, "", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p := coretest.NewProvider(t, coretest.Options{Algorithm: "ES256", Clients: map[string]string{"other": "s"}})
			cfg := p.Config()
			cfg.Registrations = map[string]core.Registration{"other": {Issuer: cfg.Issuer, ClientID: "other", ClientSecret: "s"}}
			cfg.Backchannel = &http.Client{Timeout: 500 * time.Millisecond}
			m := startClientManager(t, cfg)
			for _, name := range []string{"", "other"} {
				test.fault.Times = coretest.Always
				p.Fail(test.fault)
				before := p.Grants(clientCredentials)
				atOnce(20, func(int) {
					tok, err := m.GetClientAccessToken(t.Context(), core.WithRegistration(name))
					e := asError(t, err)
					if tok != nil || e.Op != clientCredentials || e.Registration != name || e.Status != test.status || e.Code != test.code || e.Temporary() != test.again {
						t.Errorf("%v, %#v", tok, e)
					}
				})
				if got := p.Grants(clientCredentials) - before; got != 1 {
					t.Errorf("%d requests for 20 callers", got)
				}
				p.Heal()
				if _, err := m.GetClientAccessToken(t.Context(), core.WithRegistration(name)); err == nil {
					t.Error("the next call asked the provider at once")
				}
				p.Advance(time.Minute)
				if _, err := m.GetClientAccessToken(t.Context(), core.WithRegistration(name)); err != nil {
					t.Errorf("after a minute: %v", err)
				}
				if got := p.Grants(clientCredentials) - before; got != 2 {
					t.Errorf("%d requests", got)
				}
			}
		})
	}
}

// RFC 9110 section 10.2.3: nothing is sent before Retry-After has passed, whoever asks
// and however urgently.
func TestClientTokenWaitsAsLongAsTheProviderAsked(t *testing.T) {
	t.Parallel()
	for _, status := range []int{429, 503} {
		for name, value := range map[string]func(p *coretest.Provider) string{
			"seconds": func(*coretest.Provider) string { return strconv.Itoa(90) },
			"a date":  func(p *coretest.Provider) string { return p.Now().Add(90 * time.Second).UTC().Format(http.TimeFormat) },
		} {
			t.Run(strconv.Itoa(status)+", "+name, func(t *testing.T) {
				t.Parallel()
				p := newESProvider(t)
				m := startClientManager(t, p.Config())
				p.Fail(coretest.Fault{Status: status, Header: http.Header{"Retry-After": {value(p)}}})
				fail := func(opts ...core.TokenOption) {
					t.Helper()
					_, err := m.GetClientAccessToken(t.Context(), opts...)
					e := asError(t, err)
					if !e.Temporary() || e.Status != status || e.RetryAfter <= 0 || e.RetryAfter > 90*time.Second || core.StatusCode(err) != http.StatusServiceUnavailable {
						t.Errorf("%#v", e)
					}
				}
				fail()
				p.Advance(80 * time.Second)
				for _, opts := range [][]core.TokenOption{nil, {core.WithForceRenewal()}, {core.WithScopes("other")}, {core.WithResource("urn:other")}} {
					fail(opts...)
				}
				if sent := len(p.Requests(coretest.TokenEndpoint)); sent != 1 {
					t.Errorf("%d requests, want the one that was answered with Retry-After", sent)
				}
				p.Advance(11 * time.Second)
				machineToken(t, m)
			})
		}
	}
}

// A refused scope or resource holds back that request alone.
func TestRefusedScopeHoldsBackNobodyElse(t *testing.T) {
	t.Parallel()
	p := newESProvider(t)
	m := startClientManager(t, p.Config())
	p.Fail(coretest.Fault{Status: 400, Body: `{"error":"invalid_scope"}`})
	if _, err := m.GetClientAccessToken(t.Context(), core.WithScopes("refused")); err == nil {
		t.Error("no error")
	}
	machineToken(t, m)
	if _, err := m.GetClientAccessToken(t.Context(), core.WithScopes("refused")); err == nil {
		t.Error("the refused scope was asked for again at once")
	}
	wantMachineGrants(t, p, 2)
}

// During an outage one request goes out for each pause, however many ask.
func TestOutageSendsOneRequestForEachPause(t *testing.T) {
	t.Parallel()
	p := newESProvider(t)
	m := startClientManager(t, p.Config())
	p.Fail(coretest.Fault{Status: 503, Times: coretest.Always})
	sent := 0
	for range 5 {
		atOnce(100, func(int) {
			if _, err := m.GetClientAccessToken(t.Context()); err == nil {
				t.Error("no error")
			}
		})
		sent++
		if got := len(p.Requests(coretest.TokenEndpoint)); got != sent {
			t.Fatalf("%d requests in %d pauses", got, sent)
		}
		p.Advance(2 * time.Minute) // longer than any pause
	}
}

// A caller waits for as long as its own context lasts, not for the provider.
func TestClientTokenWaitEndsWithItsCaller(t *testing.T) {
	t.Parallel()
	p := newESProvider(t)
	synctest.Test(t, func(t *testing.T) {
		cfg := p.Config()
		arrived := make(chan struct{})
		cfg.Backchannel = &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			if r.Method == http.MethodPost {
				close(arrived)
				<-r.Context().Done()
				return nil, r.Context().Err()
			}
			return (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
		})}
		m := startClientManager(t, cfg)
		began := time.Now()
		go func() { _, _ = m.GetClientAccessToken(t.Context()) }()
		<-arrived
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		_, err := m.GetClientAccessToken(ctx)
		if took := time.Since(began); took != 10*time.Millisecond {
			t.Errorf("left after %v", took)
		}
		if !errors.Is(err, context.DeadlineExceeded) || core.StatusCode(err) != http.StatusGatewayTimeout {
			t.Errorf("%v", err)
		}
		if _, err := m.GetClientAccessToken(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("with a context that has ended: %v", err)
		}
	})
}

// RFC 9700 section 4.12: what a redirect leads to sees nothing.
func TestClientTokenFollowsNoRedirect(t *testing.T) {
	t.Parallel()
	elsewhere := newClientAPI(t, nil)
	p := newESProvider(t)
	m := startClientManager(t, p.Config())
	for _, status := range []int{301, 302, 303, 307, 308} {
		p.Fail(coretest.Fault{Status: status, Header: http.Header{"Location": {elsewhere.URL + "/token"}}})
		_, err := m.GetClientAccessToken(t.Context())
		if e := asError(t, err); e.Status != status {
			t.Errorf("%d: %v", status, err)
		}
		p.Advance(time.Minute)
	}
	elsewhere.wantURIs(t)
}

// A closed manager asks for nothing more, and nothing of it goes on.
func TestClosedManagerRequestsNoClientToken(t *testing.T) {
	t.Parallel()
	p := newESProvider(t)
	m := startClientManager(t, p.Config())
	machineToken(t, m)
	arrived := make(chan struct{})
	p.Fail(coretest.Fault{Grant: clientCredentials, Hang: true, Before: func() { close(arrived) }})
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := m.GetClientAccessToken(t.Context(), core.WithScopes("other")); err == nil {
			t.Error("no error from a request that Close interrupted")
		}
	})
	waitFor(t, "the request", arrived)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_ = m.Close(ctx)
	wg.Wait()
	machineToken(t, m) // it lives, and is served
	sent := len(p.Requests(coretest.TokenEndpoint))
	if _, err := m.GetClientAccessToken(t.Context(), core.WithScopes("third")); err == nil {
		t.Error("a closed manager got a new token")
	}
	if got := len(p.Requests(coretest.TokenEndpoint)); got != sent {
		t.Errorf("%d requests after Close", got-sent)
	}
}
