package core_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tokenwell/tokenwell/core"
	"github.com/tokenwell/tokenwell/core/coretest"
	"github.com/tokenwell/tokenwell/store"
)

type roundTrip = func(q *http.Request, send func() (*http.Response, error)) (*http.Response, error)

// processOf is process for all that goes to the provider.
func (r *refreshRig) processOf(around roundTrip) *process {
	r.t.Helper()
	p := &process{store: &spyStore{inner: r.store.inner}}
	p.m = r.manager(func(c *core.Config) { c.Store, c.Backchannel = p.store, bubbleClient(around) })
	return p
}

// slow answers for an endpoint after d, having carried out the request at once.
func slow(e coretest.Endpoint, d time.Duration) roundTrip {
	return func(q *http.Request, send func() (*http.Response, error)) (*http.Response, error) {
		resp, err := send()
		if q.URL.Path != "/"+string(e) {
			return resp, err
		}
		select {
		case <-time.After(d):
			return resp, err
		case <-q.Context().Done():
			return nil, q.Context().Err()
		}
	}
}

// The owner of a claim that has its answer and waits for the provider's keys lives.
func TestOwnerThatChecksTheIDTokenIsNotOvertaken(t *testing.T) {
	t.Parallel()
	inBubble(t, coretest.Options{}, func(t *testing.T, r *refreshRig) {
		u := r.signIn("alice")
		owner := r.processOf(slow(coretest.KeysEndpoint, 7*time.Second))
		r.p.Advance(untilExpiry)
		theirs := owner.refreshing(u)
		r.get(u)
		if _, err := theirs(); err != nil {
			t.Error(err)
		}
		r.wantRefreshes(1)
	})
}

// What has been sent is waited for, however long its flight has waited before.
func TestFlightsLimitDoesNotCutASend(t *testing.T) {
	t.Parallel()
	inBubble(t, coretest.Options{}, func(t *testing.T, r *refreshRig) {
		u := r.signIn("alice")
		p := r.processOf(slow(coretest.TokenEndpoint, 14*time.Second))
		r.p.Advance(untilExpiry)
		var wg sync.WaitGroup
		for i := range 10 {
			wg.Go(func() { _, _ = p.m.GetUserAccessToken(u.as(p.m), core.WithResource(fmt.Sprintf("urn:%d", i))) })
		}
		wg.Wait()
		r.p.Advance(untilExpiry)
		if _, err := p.m.GetUserAccessToken(u.as(p.m)); err != nil || r.p.Reused() != 0 {
			t.Errorf("%v; %d reused", err, r.p.Reused())
		}
	})
}

// hangingStore is a connection to a store that can hang for everybody. Its Peek is a client-side
// cache, which hears nothing meanwhile and answers all the same.
type hangingStore struct {
	store.Store
	way   time.Duration
	hangs *func() <-chan struct{}
}

func (s hangingStore) wait(ctx context.Context) error {
	if over := (*s.hangs)(); over != nil {
		select {
		case <-over:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	time.Sleep(s.way)
	return nil
}

func (s hangingStore) Load(ctx context.Context, key string) ([]byte, string, error) {
	if err := s.wait(ctx); err != nil {
		return nil, "", err
	}
	return s.Store.Load(ctx, key)
}

func (s hangingStore) Swap(ctx context.Context, key, rev string, value []byte, ttl time.Duration) (string, error) {
	if err := s.wait(ctx); err != nil {
		return "", err
	}
	return s.Store.Swap(ctx, key, rev, value, ttl)
}

// A store that hangs for 4.9 s hands no claim over: its owner could not renew it.
func TestStoreThatHangsHandsNoClaimOver(t *testing.T) {
	t.Parallel()
	inBubble(t, coretest.Options{}, func(t *testing.T, r *refreshRig) {
		u := r.signIn("alice")
		var mu sync.Mutex
		var over chan struct{}
		hangs := func() <-chan struct{} { mu.Lock(); defer mu.Unlock(); return over }
		at := func(way time.Duration, around roundTrip) *core.Manager {
			return r.manager(func(c *core.Config) {
				c.Store, c.Backchannel = hangingStore{r.store.inner, way, &hangs}, bubbleClient(around)
			})
		}
		owner := at(3*time.Millisecond, slow(coretest.TokenEndpoint, 8*time.Second))
		other := at(time.Millisecond, slow(coretest.TokenEndpoint, 0)) // nearer to the store
		r.p.Advance(untilExpiry)
		var wg sync.WaitGroup
		for _, m := range []*core.Manager{owner, other} {
			wg.Go(func() { _, _ = m.GetUserAccessToken(u.as(m)) })
			time.Sleep(500 * time.Millisecond)
		}
		mu.Lock()
		over = make(chan struct{})
		mu.Unlock()
		time.Sleep(4900 * time.Millisecond)
		close(over)
		wg.Wait()
		r.wantRefreshes(1)
	})
}

// A store that takes no writes for 5 s after a rotation costs no session.
func TestStoreThatTakesNoWritesCostsNoSession(t *testing.T) {
	t.Parallel()
	inBubble(t, coretest.Options{}, func(t *testing.T, r *refreshRig) {
		u := r.signIn("alice")
		other := r.processOf(nil)
		r.p.Advance(untilExpiry)
		r.p.Fail(coretest.Fault{Grant: "refresh_token", After: func() {
			r.store.fail(errStoreDown, "Swap")
			other.store.fail(errStoreDown, "Swap")
		}})
		var wg sync.WaitGroup
		for _, m := range []*core.Manager{r.m, other.m} {
			wg.Go(func() { _, _ = m.GetUserAccessToken(u.as(m)) })
			time.Sleep(10 * time.Millisecond)
		}
		time.Sleep(5 * time.Second)
		r.store.fail(nil)
		other.store.fail(nil)
		wg.Wait()
		time.Sleep(20 * time.Second)
		r.wantRefreshes(1)
	})
}

// An owner that was stopped for 4 s before it sent, and whose second write of the claim fails, has not written it anew.
func TestEarlierBeatOfAClaimIsNoFreshClaim(t *testing.T) {
	t.Parallel()
	inBubble(t, coretest.Options{}, func(t *testing.T, r *refreshRig) {
		u := r.signIn("alice")
		owner := r.processOf(slow(coretest.TokenEndpoint, 3*time.Second))
		r.p.Advance(untilExpiry)
		swaps := 0
		owner.store.watch(func(op, key string) error {
			if op == "Swap" && key == u.key {
				if swaps++; swaps == 2 {
					return errStoreDown
				}
			}
			return nil
		}, func(op, key string) error {
			if op == "Swap" && key == u.key && swaps == 1 {
				time.Sleep(4 * time.Second)
			}
			return nil
		})
		theirs := owner.refreshing(u)
		r.get(u)
		_, _ = theirs()
		r.wantRefreshes(1)
	})
}

// A proxy's 502 may come after the provider has rotated: the refresh token is not sent again while an access token lives.
func TestBadGatewayIsNoAnswer(t *testing.T) {
	t.Parallel()
	inBubble(t, coretest.Options{}, func(t *testing.T, r *refreshRig) {
		u := r.signIn("alice")
		var once sync.Once
		p := r.processOf(func(q *http.Request, send func() (*http.Response, error)) (*http.Response, error) {
			resp, err := send()
			if q.URL.Path == "/token" && err == nil {
				once.Do(func() {
					resp.Body.Close()
					resp = &http.Response{StatusCode: http.StatusBadGateway, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("<html>")), Request: q}
				})
			}
			return resp, err
		})
		r.p.Advance(untilEarly)
		for range 3 {
			if _, err := p.m.GetUserAccessToken(u.as(p.m)); err != nil {
				t.Error(err)
			}
			synctest.Wait()
			r.p.Advance(5 * time.Second) // the old access token lives for 30
		}
		r.wantRefreshes(1)
	})
}

// Once a process has seen the end of a session, or has ended it, it serves nothing of it.
func TestEndedSessionIsNotServedWhenTheStoreGoesDown(t *testing.T) {
	t.Parallel()
	unsaved := func(r *refreshRig, u signedInUser) { _, _ = r.downDuringRefresh(u, "Swap"); r.store.fail(nil) }
	for name, end := range map[string]func(t *testing.T, r *refreshRig, u signedInUser){
		"unsaved result, own logout": func(t *testing.T, r *refreshRig, u signedInUser) {
			unsaved(r, u)
			if _, err := r.m.Logout(t.Context(), u.session); err != nil {
				t.Fatal(err)
			}
		},
		"unsaved result, another's logout seen": func(t *testing.T, r *refreshRig, u signedInUser) {
			unsaved(r, u)
			if _, err := r.manager().Logout(t.Context(), u.session); err != nil {
				t.Fatal(err)
			}
			_, err := r.m.GetUserAccessToken(r.m.WithTicket(t.Context(), u.ticket))
			wantLoginRequired(t, err)
		},
		"own logout whose Delete was reported as failed": func(t *testing.T, r *refreshRig, u signedInUser) {
			r.get(r.m.WithTicket(t.Context(), u.ticket))
			r.store.watch(nil, func(op, _ string) error {
				if op == "Delete" {
					return errStoreDown
				}
				return nil
			})
			if _, err := r.m.Logout(t.Context(), u.session); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, coretest.Options{}, func(t *testing.T, r *refreshRig) {
				u := r.signIn("alice")
				end(t, r, u)
				r.store.fail(errStoreDown)
				if _, err := r.m.GetUserAccessToken(r.m.WithTicket(t.Context(), u.ticket)); err == nil {
					t.Error("served")
				}
				r.store.fail(nil)
			})
		})
	}
}

// Who cannot tell whether it took the refresh token out revokes it: the next try finds nothing any more.
func TestUnsureEndRevokes(t *testing.T) {
	t.Parallel()
	for op, end := range map[string]func(r *refreshRig, u signedInUser) error{
		"Delete": func(r *refreshRig, u signedInUser) error {
			_, err := r.m.Logout(context.Background(), u.session)
			return err
		},
		"Swap": func(r *refreshRig, u signedInUser) error { return r.m.RevokeRefreshToken(u) },
	} {
		t.Run(op, func(t *testing.T) {
			t.Parallel()
			r := newRefreshRig(t, coretest.Options{})
			u := r.signIn("alice")
			r.store.watch(nil, func(done, key string) error {
				if done == op && key == u.key {
					r.store.fail(errStoreDown)
					return errStoreDown
				}
				return nil
			})
			if err := end(r, u); err == nil {
				t.Fatal("no error")
			}
			r.store.fail(nil)
			if err := end(r, u); err != nil && !errors.Is(err, core.ErrLoginRequired) {
				t.Fatal(err)
			}
			if live := r.p.RefreshTokens("alice"); len(live) != 0 {
				t.Errorf("%d refresh tokens are in force", len(live))
			}
		})
	}
}

// A result that was saved late takes no newer access token's place, at a provider that does not rotate.
func TestLateResultReplacesNoNewerToken(t *testing.T) {
	t.Parallel()
	inBubble(t, coretest.Options{NoRotation: true}, func(t *testing.T, r *refreshRig) {
		u := r.signIn("alice")
		owner := r.processOf(nil)
		r.p.Advance(untilExpiry)
		r.p.Fail(coretest.Fault{Grant: "refresh_token", After: func() { owner.store.fail(errStoreDown) }})
		if _, err := owner.m.GetUserAccessToken(u.as(owner.m)); err != nil {
			t.Fatal(err)
		}
		r.p.Advance(30 * time.Minute)
		newer := r.get(u) // takes over
		owner.store.fail(nil)
		time.Sleep(5 * time.Second)
		if r.record(u).Tokens[""].AccessToken != newer.AccessToken {
			t.Error("an older access token is in the place of a newer one")
		}
	})
}
