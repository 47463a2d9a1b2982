package core_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tokenwell/tokenwell/core"
	"github.com/tokenwell/tokenwell/core/coretest"
	"github.com/tokenwell/tokenwell/store"
)

// Two processes of one application share its token through the store, whether one
// comes after the other or all ask at once.
func TestClientTokenIsSharedBetweenProcesses(t *testing.T) {
	t.Parallel()
	r := newRefreshRig(t, coretest.Options{})
	one, two := r.m, r.manager()
	if machineToken(t, one).AccessToken != machineToken(t, two).AccessToken {
		t.Error("one after the other got two tokens")
	}
	wantMachineGrants(t, r.p, 1)

	r.p.Advance(untilExpiry)
	tokens := make([]string, 200)
	atOnce(len(tokens), func(i int) {
		tok, err := []*core.Manager{one, two}[i%2].GetClientAccessToken(t.Context())
		if err != nil {
			t.Error(err)
			return
		}
		tokens[i] = tok.AccessToken
	})
	for _, tok := range tokens {
		if tok != tokens[0] {
			t.Fatal("at once they got two tokens")
		}
	}
	wantMachineGrants(t, r.p, 2)
}

// A token that one process renewed because an API refused it replaces that of the
// other: it is not renewed twice.
func TestRejectedClientTokenIsRenewedOnceForAllProcesses(t *testing.T) {
	t.Parallel()
	r := newRefreshRig(t, coretest.Options{})
	api := r.p.Protect(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	var managers []*core.Manager
	for range 2 {
		m := r.manager(func(c *core.Config) {
			c.HTTPClients = map[string]core.HTTPClient{"api": {BaseURL: api.URL, Token: core.ClientToken()}}
		})
		machineToken(t, m)
		managers = append(managers, m)
	}
	r.p.RevokeAccessTokens(r.p.Config().ClientID)
	atOnce(40, func(i int) {
		if status, _ := get(t.Context(), t, managers[i%2].HTTPClient("api"), "list"); status != http.StatusOK {
			t.Errorf("status %d", status)
		}
	})
	wantMachineGrants(t, r.p, 2)
}

// Processes whose clients differ in anything never share a token.
func TestDifferentClientsShareNothing(t *testing.T) {
	t.Parallel()
	r := newRefreshRig(t, coretest.Options{})
	secret := r.p.Config().ClientSecret
	seen := make(map[string]bool)
	for _, change := range []func(*core.Config){
		func(*core.Config) {},
		func(c *core.Config) { c.ClientSecret, c.ClientAuth = "", core.SecretPost(secret) },
		func(c *core.Config) { c.ClientScopes = []string{"a"} },
		func(c *core.Config) {
			c.Issuer, c.Endpoints = "", &core.Endpoints{Token: r.p.URL(coretest.TokenEndpoint)}
			c.RedirectURL = ""
		},
	} {
		seen[machineToken(t, r.manager(change)).AccessToken] = true
	}
	if len(seen) != 4 {
		t.Errorf("%d tokens of 4 clients", len(seen))
	}
	// A wrong secret gets nothing of what a right one got.
	wrong := r.manager(func(c *core.Config) { c.ClientSecret = "wrong" })
	if tok, err := wrong.GetClientAccessToken(t.Context()); err == nil {
		t.Errorf("a wrong secret got %v", tok)
	}
}

// Whatever the store cannot do, the token comes from the provider, and that is logged.
func TestClientTokenDoesWithoutTheStore(t *testing.T) {
	t.Parallel()
	for _, ops := range [][]string{{"Load"}, {"Swap"}, {"Load", "Peek", "Swap", "Delete"}} {
		for _, hang := range []bool{false, true} {
			t.Run(fmt.Sprintf("%v, hanging %t", ops, hang), func(t *testing.T) {
				t.Parallel()
				remote := &remoteStore{}
				var log lockedBuffer
				inBubble(t, coretest.Options{}, func(t *testing.T, r *refreshRig) {
					if hang {
						remote.hang.Store(&ops)
					} else {
						r.store.fail(errStoreDown, ops...)
					}
					var tok *core.Token
					took := timed(func() { tok = machineToken(t, r.m) })
					wantTook(t, took, 0, 2*time.Second)
					if machineToken(t, r.m) != tok {
						t.Error("the token was not kept in the process")
					}
					wantMachineGrants(t, r.p, 1)
					if text := log.String(); !strings.Contains(text, "level=WARN") || !strings.Contains(text, "store") || strings.Contains(text, tok.AccessToken) {
						t.Errorf("log: %s", text)
					}
				}, func(c *core.Config) {
					remote.Store = c.Store
					c.Store = remote
					c.Logger = slog.New(slog.NewTextHandler(&log, nil))
				})
			})
		}
	}
}

// The answer is served though the store does not take it.
func TestClientTokenIsServedThoughItCannotBeShared(t *testing.T) {
	t.Parallel()
	r := newRefreshRig(t, coretest.Options{})
	r.p.Fail(coretest.Fault{Grant: clientCredentials, After: func() { r.store.fail(errStoreDown) }})
	tok := machineToken(t, r.m)
	r.store.fail(nil)
	if machineToken(t, r.m) != tok {
		t.Error("the token was not kept in the process")
	}
	wantMachineGrants(t, r.p, 1)
}

// What another writes in its place, or a record that cannot be read, does no harm.
func TestSpoiltClientTokenRecordIsDoneWithout(t *testing.T) {
	t.Parallel()
	for _, spoilt := range []string{"", "not JSON", `{"v":99,"token":{"access_token":"of-another-version"}}`, `{"v":1}`} {
		r := newRefreshRig(t, coretest.Options{})
		var key string
		r.store.watch(nil, func(op, k string) error {
			if op == "Swap" {
				key = k
			}
			return nil
		})
		first := machineToken(t, r.m)
		r.store.watch(nil, nil)
		if !strings.Contains(key, ":c:") {
			t.Fatalf("the token lies under %q", key)
		}
		_, rev, err := r.store.inner.Load(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		if rev, err = r.store.inner.Swap(t.Context(), key, rev, []byte(spoilt), time.Hour); err != nil || rev == "" {
			t.Fatalf("%q, %v", rev, err)
		}
		if tok := machineToken(t, r.manager()); tok.AccessToken == first.AccessToken || tok.AccessToken == "of-another-version" {
			t.Errorf("the spoilt record %q gave a token", spoilt)
		}
		wantMachineGrants(t, r.p, 2)
	}
}

// A process that died while it was asking keeps the others waiting for five seconds,
// once, and nobody whose token is alive.
func TestDeadProcessHoldsBackClientTokenForFiveSeconds(t *testing.T) {
	t.Parallel()
	inBubble(t, coretest.Options{}, func(t *testing.T, r *refreshRig) {
		machineToken(t, r.m)
		dead := r.process(func(p *process, q *http.Request, _ func() (*http.Response, error)) (*http.Response, error) {
			return p.die(q)
		})
		r.p.Advance(untilEarly)
		ctx, cancel := context.WithCancel(t.Context())
		go func() { _, _ = dead.m.GetClientAccessToken(ctx, core.WithForceRenewal()) }()
		synctest.Wait()
		cancel()

		live := r.manager(func(c *core.Config) { c.Backchannel = bubbleClient(nil) })
		wantTook(t, timed(func() { machineToken(t, live) }), 0, 0) // the old token lives
		r.p.Advance(time.Minute)
		wantTook(t, timed(func() { machineToken(t, live) }), 5*time.Second, 6*time.Second)
		wantTook(t, timed(func() { machineToken(t, r.m) }), 0, 0)
		wantMachineGrants(t, r.p, 2)
	})
}

// A refusal is given to whoever waits in the process; others ask for themselves, and
// find the store as it was.
func TestFailureIsNotShared(t *testing.T) {
	t.Parallel()
	r := newRefreshRig(t, coretest.Options{})
	other := r.manager()
	r.p.Fail(coretest.Fault{Grant: clientCredentials, Status: 500})
	if _, err := r.m.GetClientAccessToken(t.Context()); err == nil {
		t.Error("no error")
	}
	machineToken(t, other)
	wantMachineGrants(t, r.p, 2)
}

// The store holds the token under a digest: nothing in the key tells the client or its
// secret, and the value dies with the token.
func TestClientTokenRecord(t *testing.T) {
	t.Parallel()
	r := newRefreshRig(t, coretest.Options{ClientSecret: "sentinel-secret"})
	spy := &ttlStore{Store: r.store.inner}
	m := r.manager(func(c *core.Config) { c.Store = spy })
	tok := machineToken(t, m, core.WithScopes("sentinel-scope"))
	if !bytes.Contains(spy.value, []byte(tok.AccessToken)) || bytes.Contains(spy.value, []byte("sentinel-secret")) {
		t.Errorf("the record is %s", spy.value)
	}
	if strings.Contains(spy.key, "sentinel") || strings.Contains(spy.key, r.p.Config().ClientID) {
		t.Errorf("the key is %q", spy.key)
	}
	if spy.ttl > time.Hour || spy.ttl < time.Hour-time.Minute {
		t.Errorf("the record lives for %v, and its token for an hour", spy.ttl)
	}
}

// ttlStore remembers what was written last.
type ttlStore struct {
	store.Store
	key   string
	value []byte
	ttl   time.Duration
}

func (s *ttlStore) Swap(ctx context.Context, key, rev string, value []byte, ttl time.Duration) (string, error) {
	s.key, s.value, s.ttl = key, value, ttl
	return s.Store.Swap(ctx, key, rev, value, ttl)
}

// What whoever can write to the store puts there in place of a token is not sent.
func TestTokenInTheStoreIsChecked(t *testing.T) {
	t.Parallel()
	r := newRefreshRig(t, coretest.Options{})
	var key string
	r.store.watch(func(_, k string) error { key = k; return nil }, nil)
	machineToken(t, r.m)
	r.store.watch(nil, nil)
	for i, token := range []string{
		`{}`, `{"access_token":"a\r\nX-Admin: 1","type":"Bearer"}`, `{"access_token":"a","type":"mac"}`, `{"access_token":"a"}`,
	} {
		_, rev, err := r.store.inner.Load(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		if rev, err = r.store.inner.Swap(t.Context(), key, rev, []byte(`{"v":1,"token":`+token+`}`), time.Hour); err != nil || rev == "" {
			t.Fatalf("%q, %v", rev, err)
		}
		q := newRequest(t.Context(), t, "https://api.test/", nil)
		tok := machineToken(t, r.manager())
		if err := tok.Authorize(q); err != nil || q.Header.Get("Authorization") != "Bearer "+tok.AccessToken || tok.AccessToken == "a" {
			t.Errorf("%s: %q, %v", token, q.Header["Authorization"], err)
		}
		wantMachineGrants(t, r.p, i+2)
	}
}

// A claim that a dead process left on a live token is taken over in the early window,
// by one whose callers are served meanwhile.
func TestDeadClaimDoesNotStopEarlyRenewal(t *testing.T) {
	t.Parallel()
	inBubble(t, coretest.Options{}, func(t *testing.T, r *refreshRig) {
		first := machineToken(t, r.m)
		dead := r.process(func(p *process, q *http.Request, _ func() (*http.Response, error)) (*http.Response, error) {
			return p.die(q)
		})
		r.p.Advance(untilEarly)
		ctx, cancel := context.WithCancel(t.Context())
		go func() { _, _ = dead.m.GetClientAccessToken(ctx, core.WithForceRenewal()) }()
		synctest.Wait()
		cancel()
		wantTook(t, timed(func() {
			if machineToken(t, r.m) != first {
				t.Error("another token")
			}
		}), 0, 0)
		time.Sleep(6 * time.Second)
		synctest.Wait()
		if machineToken(t, r.m).AccessToken == first.AccessToken {
			t.Error("not renewed behind its callers")
		}
	})
}
