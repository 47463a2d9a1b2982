package core_test

import (
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tokenwell/tokenwell/core"
)

// A hundred parallel 401s for one token of the application's are one renewal, which
// serves every named client that asks for the same.
func TestRejectedClientTokenIsRenewedOnce(t *testing.T) {
	t.Parallel()
	p := newESProvider(t)
	api := p.Protect(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	cfg := p.Config()
	cfg.HTTPClients = map[string]core.HTTPClient{
		"one": {BaseURL: api.URL, Token: core.ClientToken()},
		"two": {BaseURL: api.URL, Token: core.ClientToken()},
	}
	m := startClientManager(t, cfg)
	first := machineToken(t, m)
	p.RevokeAccessTokens(cfg.ClientID)
	atOnce(100, func(i int) {
		if status, _ := get(t.Context(), t, m.HTTPClient([]string{"one", "two"}[i%2]), "list"); status != http.StatusOK {
			t.Errorf("status %d", status)
		}
	})
	wantMachineGrants(t, p, 2)
	if machineToken(t, m) == first {
		t.Error("the rejected token is still given out")
	}
}

// An API that refuses every token gets two requests for each call and not one token
// request for each: a token that was renewed less than half a minute ago is not renewed
// again.
func TestClientTokenRefusedAgainIsNotRenewedAgain(t *testing.T) {
	t.Parallel()
	p := newESProvider(t)
	var calls atomic.Int32
	api := newClientAPI(t, func(w http.ResponseWriter, _ *http.Request) {
		calls.Add(1)
		w.WriteHeader(http.StatusUnauthorized)
	})
	cfg := p.Config()
	cfg.HTTPClients = map[string]core.HTTPClient{"api": {BaseURL: api.URL, Token: core.ClientToken()}}
	m := startClientManager(t, cfg)
	call := func() {
		t.Helper()
		if status, _ := get(t.Context(), t, m.HTTPClient("api"), "list"); status != http.StatusUnauthorized {
			t.Errorf("status %d", status)
		}
	}
	call()
	wantMachineGrants(t, p, 2)
	if got := calls.Load(); got != 2 {
		t.Errorf("%d calls of the API, want 2", got)
	}
	for range 10 {
		call()
	}
	wantMachineGrants(t, p, 2)
	p.Advance(31 * time.Second)
	call()
	wantMachineGrants(t, p, 3)
	// Whoever asks by hand is not held back.
	machineToken(t, m, core.WithForceRenewal())
	wantMachineGrants(t, p, 4)
}

// Nor are exchanged tokens, nor those of a retriever in CacheBy.
func TestKeptTokenRefusedAgainIsNotRenewedAgain(t *testing.T) {
	t.Parallel()
	p := newESProvider(t)
	api := newClientAPI(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) })
	minted := &mint{}
	cfg := p.Config()
	cfg.HTTPClients = map[string]core.HTTPClient{
		"exchanged": {BaseURL: api.URL, Token: core.Exchange(core.ClientToken(), core.ExchangeOptions{})},
		"cached":    {BaseURL: api.URL, Token: core.CacheBy(nil, minted)},
	}
	m := startClientManager(t, cfg)
	call := func() {
		t.Helper()
		for name := range cfg.HTTPClients {
			if status, _ := get(t.Context(), t, m.HTTPClient(name), "list"); status != http.StatusUnauthorized {
				t.Errorf("%s: status %d", name, status)
			}
		}
	}
	for range 10 {
		call()
	}
	if got := len(exchanges(p)); got != 2 {
		t.Errorf("%d exchanges, want 2", got)
	}
	minted.want(t, 2)
	p.Advance(31 * time.Second)
	call()
	if got := len(exchanges(p)); got != 3 {
		t.Errorf("%d exchanges after half a minute, want 3", got)
	}
	minted.want(t, 3)
}

// An API that is down, or forbids, is no reason for another token.
func TestOnlyARejectionRenewsClientToken(t *testing.T) {
	t.Parallel()
	p := newESProvider(t)
	status := http.StatusForbidden
	api := newClientAPI(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
	cfg := p.Config()
	cfg.HTTPClients = map[string]core.HTTPClient{"api": {BaseURL: api.URL, Token: core.ClientToken()}}
	m := startClientManager(t, cfg)
	for _, status = range []int{403, 404, 500, 503} {
		if got, _ := get(t.Context(), t, m.HTTPClient("api"), "list"); got != status {
			t.Errorf("status %d, want %d", got, status)
		}
	}
	wantMachineGrants(t, p, 1)
	if got := len(api.requests()); got != 4 {
		t.Errorf("%d requests, want 4", got)
	}
}
