package core_test

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tokenwell/tokenwell/core"
	"github.com/tokenwell/tokenwell/core/coretest"
	"github.com/tokenwell/tokenwell/store"
)

// process is a manager in a bubble with a connection to the shared store of its own,
// which can be cut, as if it ran on another machine.
type process struct {
	m     *core.Manager
	store *spyStore
}

// process starts one whose refreshes pass through around.
func (r *refreshRig) process(around func(p *process, q *http.Request, send func() (*http.Response, error)) (*http.Response, error)) *process {
	r.t.Helper()
	p := &process{store: &spyStore{inner: r.store.inner}}
	p.m = r.manager(func(c *core.Config) {
		c.Store = p.store
		c.Backchannel = bubbleClient(func(q *http.Request, send func() (*http.Response, error)) (*http.Response, error) {
			if around == nil || q.URL.Path != "/token" {
				return send()
			}
			return around(p, q, send)
		})
	})
	return p
}

// die cuts the process off from the store and from everything else.
func (p *process) die(q *http.Request) (*http.Response, error) {
	p.store.fail(errStoreDown)
	<-q.Context().Done()
	return nil, q.Context().Err()
}

// refreshing has the process refresh the token of u, as far as it gets.
func (p *process) refreshing(u signedInUser) (result func() (*core.Token, error)) {
	var tok *core.Token
	err := errors.New("not finished")
	done := make(chan struct{})
	go func() {
		defer close(done)
		tok, err = p.m.GetUserAccessToken(u.as(p.m), core.WithForceRenewal())
	}()
	synctest.Wait()
	return func() (*core.Token, error) { <-done; return tok, err }
}

// timed returns how long f takes by the bubble's clock.
func timed(f func()) time.Duration {
	began := time.Now()
	f()
	return time.Since(began)
}

const claimWait = 5 * time.Second

func wantTook(t testing.TB, took, least, most time.Duration) {
	t.Helper()
	if took < least || took > most {
		t.Errorf("it took %v, want between %v and %v", took, least, most)
	}
}

// Any number of callers of any number of managers share one refresh of an expired
// token: the right to send a refresh token is a compare-and-swap in the Store.
func TestOneRefreshAmongManagers(t *testing.T) {
	t.Parallel()
	r := newRefreshRig(t, coretest.Options{})
	u := r.signIn("alice")
	managers := []*core.Manager{r.m, r.manager(), r.manager(), r.manager()}
	for round := 1; round <= 3; round++ {
		r.p.Advance(untilExpiry)
		tokens := make([]string, 100*len(managers))
		atOnce(len(tokens), func(i int) {
			m := managers[i%len(managers)]
			tok, err := m.GetUserAccessToken(u.as(m))
			if err != nil {
				t.Error(err)
				return
			}
			tokens[i] = tok.AccessToken
		})
		for _, tok := range tokens {
			if tok != tokens[0] {
				t.Fatal("two tokens")
			}
		}
		r.wantRefreshes(round)
	}
}

// The owner of a claim that has died is waited for, and its claim taken over once
// it has stood unchanged for ClaimWait on the waiting one's own clock.
func TestClaimOfADeadOwnerIsTakenOver(t *testing.T) {
	t.Parallel()
	inBubble(t, coretest.Options{}, func(t *testing.T, r *refreshRig) {
		u := r.signIn("alice")
		owner := r.process(func(p *process, q *http.Request, _ func() (*http.Response, error)) (*http.Response, error) {
			return p.die(q) // before it has sent anything
		})
		r.p.Advance(untilExpiry)
		owner.refreshing(u)
		r.wantRefreshes(0)
		took := timed(func() { r.get(u) })
		wantTook(t, took, claimWait, claimWait+time.Second)
		r.wantRefreshes(1)
		if rec := r.record(u); rec.Claim != nil || rec.RefreshToken != r.liveRefreshToken("alice") {
			t.Error("the record is not that of a refresh that is done")
		}
	})
}

// While the others wait for a dead owner they serve the live token; and where it may
// have sent the refresh token nobody sends it again as long as an access token
// lives.
func TestTakeOverDoesNotResendWhileATokenLives(t *testing.T) {
	t.Parallel()
	inBubble(t, coretest.Options{AccessTokenLife: 10 * time.Hour}, func(t *testing.T, r *refreshRig) {
		u := r.signIn("alice")
		first := r.get(u)
		owner := r.process(func(p *process, q *http.Request, send func() (*http.Response, error)) (*http.Response, error) {
			if resp, err := send(); err == nil {
				resp.Body.Close()
			}
			return p.die(q)
		})
		owner.refreshing(u)
		r.wantRefreshes(1)
		r.p.Advance(9*time.Hour + 30*time.Minute)
		for range 30 {
			took := timed(func() {
				if r.get(u).AccessToken != first.AccessToken {
					t.Error("not the live token")
				}
			})
			wantTook(t, took, 0, 0)
			time.Sleep(time.Second)
		}
		_, err := r.m.GetUserAccessToken(u, core.WithResource("urn:a"))
		if e := asError(t, err); !e.Temporary() || errors.Is(err, core.ErrLoginRequired) {
			t.Errorf("got %v", err)
		}
		r.wantRefreshes(1)
	}, func(c *core.Config) { c.RefreshEarly, c.Lifetime = 2*time.Hour, 100*time.Hour })
}

// Who took over a claim and is answered invalid_grant gives the former owner as long
// again to save what it was answered.
func TestTakeOverLeavesTimeForTheLateAnswer(t *testing.T) {
	t.Parallel()
	inBubble(t, coretest.Options{}, func(t *testing.T, r *refreshRig) {
		u := r.signIn("alice")
		owner := r.process(func(p *process, _ *http.Request, send func() (*http.Response, error)) (*http.Response, error) {
			resp, err := send()
			p.store.fail(errStoreDown)
			time.Sleep(7 * time.Second) // cut off for longer than ClaimWait
			p.store.fail(nil)
			return resp, err
		})
		r.p.Advance(untilExpiry)
		theirs := owner.refreshing(u)
		// A provider that refuses a consumed refresh token, and leaves it at that.
		r.p.Fail(coretest.Fault{Grant: "refresh_token", Status: 400, Body: `{"error":"invalid_grant"}`})
		var ours *core.Token
		took := timed(func() { ours = r.get(u) })
		wantTook(t, took, 7*time.Second, 2*claimWait+time.Second)
		if tok, err := theirs(); err != nil || tok.AccessToken != ours.AccessToken {
			t.Errorf("two tokens: %v", err)
		}
		r.wantRefreshes(2)
		if rec := r.record(u); rec.Claim != nil || rec.RefreshToken != r.liveRefreshToken("alice") {
			t.Error("the record is not that of a refresh that is done")
		}
	}, func(c *core.Config) {
		c.OnSessionEnd = func(context.Context, *core.User, core.EndReason) { t.Error("OnSessionEnd") }
	})
}

// If nothing comes of that time either, the session is over.
func TestTakeOverEndsSessionOfALostAnswer(t *testing.T) {
	t.Parallel()
	ended := 0
	inBubble(t, coretest.Options{}, func(t *testing.T, r *refreshRig) {
		u := r.signIn("alice")
		owner := r.process(func(p *process, q *http.Request, send func() (*http.Response, error)) (*http.Response, error) {
			if resp, err := send(); err == nil {
				resp.Body.Close()
			}
			return p.die(q)
		})
		r.p.Advance(untilExpiry)
		owner.refreshing(u)
		took := timed(func() {
			_, err := r.m.GetUserAccessToken(u)
			wantLoginRequired(t, err)
		})
		wantTook(t, took, 2*claimWait, 2*claimWait+time.Second)
		r.wantDead(u)
		if n := r.p.Grants("refresh_token"); n != 2 || ended != 1 {
			t.Errorf("%d refreshes, want 2; OnSessionEnd called %d times", n, ended)
		}
	}, func(c *core.Config) {
		c.OnSessionEnd = func(context.Context, *core.User, core.EndReason) { ended++ }
	})
}

// An owner that lives renews its claim while it waits for the provider, and is not
// overtaken, however long that takes.
func TestLivingOwnerIsNotOvertaken(t *testing.T) {
	t.Parallel()
	inBubble(t, coretest.Options{}, func(t *testing.T, r *refreshRig) {
		u := r.signIn("alice")
		owner := r.process(func(_ *process, _ *http.Request, send func() (*http.Response, error)) (*http.Response, error) {
			time.Sleep(40 * time.Second)
			return send()
		})
		r.p.Advance(untilExpiry)
		theirs := owner.refreshing(u)
		var ours *core.Token
		took := timed(func() { ours = r.get(u) })
		wantTook(t, took, 40*time.Second, 41*time.Second)
		if tok, err := theirs(); err != nil || tok.AccessToken != ours.AccessToken {
			t.Errorf("two tokens: %v", err)
		}
		r.wantRefreshes(1)
	})
}

// An owner that was stopped between its claim and the sending looks again whether
// the claim is still its own.
func TestStoppedOwnerLooksAgain(t *testing.T) {
	t.Parallel()
	for name, stopped := range map[string]time.Duration{
		"taken over meanwhile": 7 * time.Second,
		"not yet taken over":   4 * time.Second,
		"for a moment":         time.Second,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, coretest.Options{}, func(t *testing.T, r *refreshRig) {
				u := r.signIn("alice")
				owner := r.process(nil)
				r.p.Advance(untilExpiry)
				var once sync.Once
				owner.store.watch(nil, func(op, key string) error {
					if op == "Swap" && key == u.key {
						once.Do(func() { time.Sleep(stopped) })
					}
					return nil
				})
				theirs := owner.refreshing(u)
				ours := r.get(u)
				if tok, err := theirs(); err != nil || tok.AccessToken != ours.AccessToken {
					t.Errorf("two tokens: %v", err)
				}
				r.wantRefreshes(1)
			})
		})
	}
}

// A write of which the Store cannot say whether it happened is looked up, not
// repeated blindly: the refresh token is sent once, and what came of it is stored.
func TestAmbiguousWritesAreLookedUp(t *testing.T) {
	t.Parallel()
	for name, nth := range map[string]int{"the claim": 1, "the result": 2} {
		for _, happened := range []bool{true, false} {
			what := name + " was not written"
			if happened {
				what = name + " was written"
			}
			t.Run(what, func(t *testing.T) {
				t.Parallel()
				inBubble(t, coretest.Options{}, func(t *testing.T, r *refreshRig) {
					u := r.signIn("alice")
					r.p.Advance(untilExpiry)
					swaps := 0
					fails := func(op, key string) error {
						if op == "Swap" && key == u.key {
							if swaps++; swaps == nth {
								return errStoreDown
							}
						}
						return nil
					}
					if happened {
						r.store.watch(nil, fails)
					} else {
						r.store.watch(fails, nil)
					}
					tok := r.get(u)
					if again := r.get(u); again.AccessToken != tok.AccessToken {
						t.Error("two tokens")
					}
					r.wantRefreshes(1)
					if rec := r.record(u); rec.Claim != nil || rec.RefreshToken != r.liveRefreshToken("alice") {
						t.Error("the record is not that of a refresh that is done")
					}
				})
			})
		}
	}
}

// A claim that was written though the Store failed to say so, and could not be
// looked up, belongs to nobody: nothing is sent, and it is waited out.
func TestForgottenClaimIsWaitedOut(t *testing.T) {
	t.Parallel()
	inBubble(t, coretest.Options{}, func(t *testing.T, r *refreshRig) {
		u := r.signIn("alice")
		r.p.Advance(untilExpiry)
		r.store.watch(nil, func(op, key string) error {
			if op == "Swap" && key == u.key {
				r.store.fail(errStoreDown)
				return errStoreDown
			}
			return nil
		})
		_, err := r.m.GetUserAccessToken(u)
		if e := asError(t, err); e.Op != "store" || !e.Temporary() || !errors.Is(err, errStoreDown) {
			t.Errorf("got %v", err)
		}
		r.wantRefreshes(0)
		r.store.fail(nil)
		took := timed(func() { r.get(u) })
		wantTook(t, took, claimWait, claimWait+time.Second)
		r.wantRefreshes(1)
	})
}

// stalePeek is a store whose Peek can be stopped in time, as that of a cache which
// has not heard of the last writes.
type stalePeek struct {
	store.Store
	mu    sync.Mutex
	stale map[string]func() ([]byte, string)
}

func (s *stalePeek) freeze(ctx context.Context, key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	value, rev, _ := s.Load(ctx, key)
	s.stale = map[string]func() ([]byte, string){key: func() ([]byte, string) { return value, rev }}
}

func (s *stalePeek) Peek(ctx context.Context, key string) ([]byte, string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if old, ok := s.stale[key]; ok {
		value, rev := old()
		return value, rev, nil
	}
	return s.Store.Peek(ctx, key)
}

// What decides is read with Load: a Peek that is behind costs neither a refresh of
// what has been refreshed nor a session.
func TestStalePeekDecidesNothing(t *testing.T) {
	t.Parallel()
	inBubble(t, coretest.Options{}, func(t *testing.T, r *refreshRig) {
		u := r.signIn("alice")
		behind := &stalePeek{Store: r.store.inner}
		other := r.manager(func(c *core.Config) { c.Store = behind })
		behind.freeze(u, u.key)
		r.p.Advance(untilExpiry)
		tok := r.get(u)
		for range 3 {
			if theirs, err := other.GetUserAccessToken(u.as(other)); err != nil || theirs.AccessToken != tok.AccessToken {
				t.Errorf("two tokens: %v", err)
			}
		}
		r.wantRefreshes(1)
		if _, err := r.m.Logout(t.Context(), u.session); err != nil {
			t.Fatal(err)
		}
		_, err := other.GetUserAccessToken(other.WithTicket(t.Context(), u.ticket))
		wantLoginRequired(t, err)
	})
}

// A browser's use of the session that is noted in the middle of a refresh is kept,
// and so is what the refresh got.
func TestUseNotedDuringRefreshIsKept(t *testing.T) {
	t.Parallel()
	r := newRefreshRig(t, coretest.Options{}, func(c *core.Config) { c.IdleTimeout = 5 * time.Hour })
	u := r.signIn("alice")
	r.p.Fail(coretest.Fault{Grant: "refresh_token", After: func() {
		r.p.Advance(31 * time.Minute) // more than a tenth of the idle time
		if _, err := r.m.User(u.as(r.m)); err != nil {
			t.Error(err)
		}
		if r.record(u).Claim == nil {
			t.Error("the claim is lost: another process could send the same refresh token")
		}
	}})
	tok := r.get(u, core.WithForceRenewal())
	rec := r.record(u)
	if rec.Used != r.p.Now().UnixMilli() {
		t.Error("the use is lost")
	}
	if rec.RefreshToken != r.liveRefreshToken("alice") || r.get(u).AccessToken != tok.AccessToken {
		t.Error("the refresh is lost")
	}
	r.wantRefreshes(1)
}

// A Store that only fails to write costs the callers nothing while a token lives,
// and sends nothing that could not be stored.
func TestNothingIsSentWithoutAClaim(t *testing.T) {
	t.Parallel()
	inBubble(t, coretest.Options{}, func(t *testing.T, r *refreshRig) {
		u := r.signIn("alice")
		first := r.get(u)
		r.store.fail(errStoreDown, "Swap")
		r.p.Advance(untilEarly)
		if r.get(u).AccessToken != first.AccessToken {
			t.Error("not the live token")
		}
		synctest.Wait()
		r.p.Advance(untilExpiry - untilEarly)
		_, err := r.m.GetUserAccessToken(u)
		if e := asError(t, err); e.Op != "store" || !e.Temporary() || errors.Is(err, core.ErrLoginRequired) {
			t.Errorf("got %v", err)
		}
		r.wantRefreshes(0)
		r.store.fail(nil)
		r.get(u)
		r.wantRefreshes(1)
	})
}

// A Store that cannot be read is a temporary failure, never a signed-out user.
func TestStoreDownIsNotSignedOut(t *testing.T) {
	t.Parallel()
	r := newRefreshRig(t, coretest.Options{})
	u := r.signIn("alice")
	m := r.manager() // another process, which has not seen her yet
	r.store.fail(errStoreDown)
	_, tokenErr := m.GetUserAccessToken(u.as(m))
	_, userErr := m.User(u.as(m))
	for _, err := range []error{tokenErr, userErr, m.RevokeRefreshToken(u.as(m)), r.m.RevokeRefreshToken(u)} {
		e := asError(t, err)
		if e.Op != "store" || !e.Temporary() || core.StatusCode(err) != 503 || !errors.Is(err, errStoreDown) || errors.Is(err, core.ErrLoginRequired) {
			t.Errorf("got %v", err)
		}
	}
	r.store.fail(nil)
	r.get(u)
}

// A claim is watched only while the store answers: its owner can neither renew it nor
// save what the provider answered while the store does not, and must not lose it to
// the first who is answered again.
func TestClaimIsNotTakenOverForAStoreThatWasSilent(t *testing.T) {
	t.Parallel()
	for name, fails := range map[string]bool{"it hangs": false, "it fails": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, coretest.Options{}, func(t *testing.T, r *refreshRig) {
				u := r.signIn("alice")
				r.p.Advance(untilExpiry)
				var silent, speaks time.Time // when the store is silent
				around := func(delay time.Duration) func(op, key string) error {
					return func(string, string) error {
						if now := time.Now(); now.Before(silent) || !now.Before(speaks) {
							return nil
						}
						if fails {
							return errStoreDown
						}
						time.Sleep(time.Until(speaks) + delay)
						return nil
					}
				}
				owner := r.process(func(_ *process, _ *http.Request, send func() (*http.Response, error)) (*http.Response, error) {
					resp, err := send()
					time.Sleep(2 * time.Second) // the answer arrives while the store is silent
					return resp, err
				})
				waiter := r.process(nil)
				silent, speaks = time.Now().Add(300*time.Millisecond), time.Now().Add(5100*time.Millisecond)
				owner.store.watch(around(600*time.Millisecond), nil) // it is answered last
				waiter.store.watch(around(0), nil)
				first := owner.refreshing(u)
				second := waiter.refreshing(u)
				if _, err := first(); err != nil {
					t.Errorf("the owner: %v", err)
				}
				if _, err := second(); err != nil {
					t.Errorf("the waiter: %v", err)
				}
				r.wantRefreshes(1)
				time.Sleep(10 * time.Second)
				if r.record(u).RefreshToken != r.liveRefreshToken("alice") {
					t.Error("the newest refresh token is not stored")
				}
			})
		})
	}
}
