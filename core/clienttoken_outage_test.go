package core_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/tokenwell/tokenwell/core"
	"github.com/tokenwell/tokenwell/core/coretest"
)

// What the provider, or a proxy before it, makes of one request holds back that request
// alone: a tenant that can choose a resource stops nobody else.
func TestOneRequestsFailureHoldsBackNobodyElse(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]coretest.Fault{
		"a proxy's 413":       {Status: 413, Body: "<html>too large"},
		"a firewall's 403":    {Status: 403, Body: "<html>blocked", Header: http.Header{"Retry-After": {"3600"}}},
		"a 500":               {Status: 500, Body: "oops"},
		"a refused scope":     {Status: 400, Body: `{"error":"invalid_scope"}`, Header: http.Header{"Retry-After": {"3600"}}},
		"an unusable success": {Body: `{}`},
	} {
		for _, first := range [][]core.TokenOption{nil, {core.WithResource("urn:tenant:acme")}} {
			p := newESProvider(t)
			m := startClientManager(t, p.Config())
			p.Fail(fault)
			if _, err := m.GetClientAccessToken(t.Context(), first...); err == nil {
				t.Fatalf("%s: no error", name)
			}
			if _, err := m.GetClientAccessToken(t.Context(), core.WithResource("urn:tenant:other")); err != nil {
				t.Errorf("%s, somebody else: %v", name, err)
			}
			sent := p.Grants(clientCredentials)
			if _, err := m.GetClientAccessToken(t.Context(), first...); err == nil || p.Grants(clientCredentials) != sent {
				t.Errorf("%s: the request was sent again at once", name)
			}
		}
	}
}

// A secret that the provider does not take is not tried with one scope after the other.
func TestRefusedClientIsNotTriedForEachScope(t *testing.T) {
	t.Parallel()
	p := newESProvider(t)
	cfg := p.Config()
	cfg.ClientSecret = "wrong"
	m := startClientManager(t, cfg)
	for i := range 20 {
		_, err := m.GetClientAccessToken(t.Context(), core.WithScopes(fmt.Sprint(i)))
		if e := asError(t, err); e.Code != "invalid_client" || e.Temporary() {
			t.Errorf("%v", err)
		}
	}
	wantMachineGrants(t, p, 1)
}

// A Retry-After holds though another request, sent before it came, fails without one
// or succeeds.
func TestRetryAfterIsNotForgotten(t *testing.T) {
	t.Parallel()
	for name, other := range map[string]coretest.Fault{"another failure": {Status: 503}, "a success": {}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newESProvider(t)
			m := startClientManager(t, p.Config())
			var arrived, proceed [2]chan struct{}
			for i, fault := range []coretest.Fault{{Status: 429, Header: http.Header{"Retry-After": {"600"}}}, other} {
				arrived[i], proceed[i] = make(chan struct{}), make(chan struct{})
				fault.Before = func() { close(arrived[i]); <-proceed[i] }
				p.Fail(fault)
			}
			var done [2]sync.WaitGroup
			for i, scope := range []string{"a", "b"} {
				done[i].Go(func() { _, _ = m.GetClientAccessToken(t.Context(), core.WithScopes(scope)) })
				waitFor(t, "the request", arrived[i])
			}
			for i := range done {
				close(proceed[i])
				done[i].Wait()
			}
			p.Advance(10 * time.Second)
			if _, err := m.GetClientAccessToken(t.Context(), core.WithScopes("c")); err == nil {
				t.Error("no error")
			}
			wantMachineGrants(t, p, 2)
		})
	}
}

// A token that expires while its renewal fails is not handed to those who waited.
func TestExpiredTokenIsNotHandedToWaiters(t *testing.T) {
	t.Parallel()
	p := newESProvider(t)
	m := startClientManager(t, p.Config())
	machineToken(t, m)
	p.Advance(untilEarly)
	arrived, proceed := make(chan struct{}), make(chan struct{})
	p.Fail(coretest.Fault{Status: 503, Before: func() { close(arrived); <-proceed }})
	machineToken(t, m)
	waitFor(t, "the renewal", arrived)
	p.Advance(time.Minute)
	waiting := make(chan error, 1)
	go func() {
		tok, err := m.GetClientAccessToken(t.Context())
		if err == nil && !tok.Expiry.After(p.Now()) {
			t.Errorf("a token that expired %v ago", p.Now().Sub(tok.Expiry))
		}
		waiting <- err
	}()
	time.Sleep(20 * time.Millisecond) // it joins, or comes too late to see what this is about
	close(proceed)
	waitFor(t, "an answer", waiting)
}

// A token that was rejected is replaced though the clock says that it is the newer one:
// another process' clock was ahead, or this one's has been set back.
func TestRejectedTokenIsReplacedWhateverTheClock(t *testing.T) {
	t.Parallel()
	t.Run("another process ahead", func(t *testing.T) {
		t.Parallel()
		r := newRefreshRig(t, coretest.Options{})
		api := r.p.Protect(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		ahead := r.manager(func(c *core.Config) { c.Now = func() time.Time { return r.p.Now().Add(5 * time.Minute) } })
		m := r.manager(func(c *core.Config) {
			c.HTTPClients = map[string]core.HTTPClient{"api": {BaseURL: api.URL, Token: core.ClientToken()}}
		})
		machineToken(t, ahead)
		first := machineToken(t, m)
		r.p.RevokeAccessTokens(r.p.Config().ClientID)
		for range 10 {
			if status, _ := get(t.Context(), t, m.HTTPClient("api"), "list"); status != http.StatusOK {
				t.Errorf("status %d", status)
			}
		}
		if machineToken(t, m) == first {
			t.Error("the rejected token is still given out")
		}
		wantMachineGrants(t, r.p, 2)
	})
	t.Run("set back", func(t *testing.T) {
		t.Parallel()
		p := newESProvider(t)
		var back time.Duration
		cfg := p.Config()
		cfg.Now = func() time.Time { return p.Now().Add(-back) }
		m := startClientManager(t, cfg)
		machineToken(t, m)
		back = 10 * time.Minute
		forced := machineToken(t, m, core.WithForceRenewal())
		if machineToken(t, m) != forced {
			t.Error("the older token is given out")
		}
	})
}

// While the provider is down, or asks for patience, a token that another process has
// in the store is served.
func TestLiveTokenInTheStoreIsServedDuringAnOutage(t *testing.T) {
	t.Parallel()
	t.Run("by a process that has none", func(t *testing.T) {
		t.Parallel()
		r := newRefreshRig(t, coretest.Options{})
		tok := machineToken(t, r.m)
		r.p.Advance(untilEarly)
		r.p.Fail(coretest.Fault{Status: 503, Times: coretest.Always})
		for range 2 {
			if got := machineToken(t, r.manager()); got.AccessToken != tok.AccessToken {
				t.Error("another token")
			}
		}
	})
	t.Run("by a process that has to wait", func(t *testing.T) {
		t.Parallel()
		r := newRefreshRig(t, coretest.Options{})
		r.p.Fail(coretest.Fault{Status: 503, Header: http.Header{"Retry-After": {"3600"}}})
		if _, err := r.m.GetClientAccessToken(t.Context()); err == nil {
			t.Fatal("no error")
		}
		tok := machineToken(t, r.manager())
		if got := machineToken(t, r.m); got.AccessToken != tok.AccessToken {
			t.Error("another token")
		}
		wantMachineGrants(t, r.p, 2)
	})
}

// Callers in the early window cost nothing while the renewal behind them hangs.
func TestEarlyWindowCostsNoMemory(t *testing.T) {
	p := newESProvider(t)
	m := startClientManager(t, p.Config())
	machineToken(t, m)
	p.Advance(untilEarly)
	arrived := make(chan struct{})
	p.Fail(coretest.Fault{Hang: true, Before: func() { close(arrived) }})
	machineToken(t, m)
	waitFor(t, "the renewal", arrived)
	heap := func() int64 {
		var s runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&s)
		return int64(s.HeapAlloc)
	}
	before := heap()
	const calls = 100_000
	for range calls {
		_, _ = m.GetClientAccessToken(t.Context())
	}
	if grown := heap() - before; grown > 4<<20 {
		t.Errorf("%d bytes for each call", grown/calls)
	}
}

// What panics, or cannot be looked up, is left alone for a while like any failure.
func TestEveryFailureIsPaced(t *testing.T) {
	t.Parallel()
	m := newClientManager(t, nil)
	panics := 0
	panicking := core.CacheBy(nil, core.RetrieverFunc(func(context.Context, core.TokenRequest) (*core.Token, error) {
		panics++
		panic("x")
	}))
	for range 100 {
		_, _ = m.Token(t.Context(), panicking)
	}
	if panics != 1 {
		t.Errorf("%d panics", panics)
	}

	p, workers, found := newTenants(t, coretest.Options{})
	down := errors.New("down")
	found.fail.Store(&down)
	for range 100 {
		if _, err := workers.GetClientAccessToken(t.Context(), core.WithRegistration("acme")); !errors.Is(err, down) {
			t.Errorf("%v", err)
		}
	}
	if n := found.looks.Load(); n != 1 {
		t.Errorf("%d looks within the second", n)
	}
	p.Advance(time.Second)
	_, _ = workers.GetClientAccessToken(t.Context(), core.WithRegistration("acme"))
	if n := found.looks.Load(); n != 2 {
		t.Errorf("%d looks, want another", n)
	}
}

// A retriever that ends its goroutine, as a failing test does, leaves nobody waiting.
func TestGoexitInARetrieverIsAnError(t *testing.T) {
	t.Parallel()
	m := newClientManager(t, nil)
	ending := core.CacheBy(nil, core.RetrieverFunc(func(context.Context, core.TokenRequest) (*core.Token, error) {
		runtime.Goexit()
		return nil, nil
	}))
	got := make(chan error, 1)
	go func() { _, err := m.Token(t.Context(), ending); got <- err }()
	if e := asError(t, waitFor(t, "an answer", got)); e.Op != "retriever" {
		t.Errorf("%v", e)
	}
}

// A database of tenants that hangs holds up nobody whose token is at hand.
func TestHangingLookUpHoldsUpNobody(t *testing.T) {
	t.Parallel()
	hang, release := make(chan struct{}), make(chan struct{})
	p, m, _ := newTenants(t, coretest.Options{Clients: map[string]string{"acme": "s"}}, func(c *core.Config) {
		find := c.FindRegistration
		c.FindRegistration = func(ctx context.Context, name string) (core.Registration, error) {
			select {
			case <-hang:
				<-release
			default:
			}
			return find(ctx, name)
		}
	})
	acme := core.WithRegistration("acme")
	tok := machineToken(t, m, acme)
	close(hang)
	defer close(release)
	p.Advance(61 * time.Second)
	for range 5 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		if got, err := m.GetClientAccessToken(ctx, acme); got != tok {
			t.Errorf("%v, %v", got, err)
		}
		cancel()
	}
}

// A process that is closed in the middle of a request gives its claim back.
func TestClosedProcessHoldsUpNobody(t *testing.T) {
	t.Parallel()
	r := newRefreshRig(t, coretest.Options{})
	one, two := r.manager(), r.manager()
	arrived := make(chan struct{})
	r.p.Fail(coretest.Fault{Grant: clientCredentials, Hang: true, Before: func() { close(arrived) }})
	go func() { _, _ = one.GetClientAccessToken(context.Background()) }()
	waitFor(t, "the request", arrived)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_ = one.Close(ended)
	began := time.Now()
	machineToken(t, two)
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("the next process waited for %v", took)
	}
}
