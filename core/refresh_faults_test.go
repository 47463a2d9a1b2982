package core_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tokenwell/tokenwell/core"
	"github.com/tokenwell/tokenwell/core/coretest"
)

// Whatever goes wrong at the token endpoint, short of invalid_grant, costs nobody
// the session: a live token is served, then a typed error, and once the provider is
// well again so is everything. Each try is bounded in time and bytes, and the next
// one waits a while.
func TestProviderFaultKeepsSession(t *testing.T) {
	t.Parallel()
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, q *http.Request) {
		t.Errorf("the redirect was followed: %s", q.Method)
	}))
	t.Cleanup(elsewhere.Close)
	const page = "<html><body>error=invalid_grant</body></html>"
	yes, no := true, false
	for name, test := range map[string]struct {
		fault     coretest.Fault
		status    int // Error.Status
		code      string
		temporary *bool
		answer    int // StatusCode
	}{
		"500 with HTML":           {coretest.Fault{Status: 500, Body: page}, 500, "", &yes, 503},
		"503":                     {coretest.Fault{Status: 503, Body: "busy"}, 503, "", &yes, 503},
		"504 of a proxy":          {coretest.Fault{Status: 504, Body: page}, 504, "", &yes, 503},
		"400 with HTML":           {coretest.Fault{Status: 400, Body: page}, 400, "", &yes, 503},
		"401 with HTML":           {coretest.Fault{Status: 401, Body: page}, 401, "", &yes, 503},
		"404 with HTML":           {coretest.Fault{Status: 404, Body: page}, 404, "", &yes, 503},
		"400 with other JSON":     {coretest.Fault{Status: 400, Body: `{"message":"invalid_grant"}`}, 400, "", &yes, 503},
		"400 with a JSON text":    {coretest.Fault{Status: 400, Body: `"invalid_grant"`}, 400, "", &yes, 503},
		"400 with an error array": {coretest.Fault{Status: 400, Body: `{"error":["invalid_grant"]}`}, 400, "", &yes, 503},
		"server_error":            {coretest.Fault{Status: 500, Body: `{"error":"server_error"}`}, 500, "server_error", &yes, 503},
		"temporarily_unavailable": {coretest.Fault{Status: 400, Body: `{"error":"temporarily_unavailable"}`}, 400, "temporarily_unavailable", &yes, 503},
		"invalid_client":          {coretest.Fault{Status: 401, Body: `{"error":"invalid_client"}`}, 401, "invalid_client", &no, 502},
		"unauthorized_client":     {coretest.Fault{Status: 400, Body: `{"error":"unauthorized_client"}`}, 400, "unauthorized_client", &no, 502},
		"an error in a 200":       {coretest.Fault{Body: `{"error":"invalid_client","access_token":"no"}`}, 200, "invalid_client", &no, 502},
		"200 with HTML":           {coretest.Fault{Body: page}, 200, "", nil, 0},
		"200 with nothing":        {coretest.Fault{Body: `{}`}, 200, "", nil, 0},
		"200 with null":           {coretest.Fault{Body: `null`}, 200, "", nil, 0},
		"200 of another type":     {coretest.Fault{Body: `{"access_token":"no","token_type":"mac"}`}, 200, "", nil, 0},
		"200 with a header in it": {coretest.Fault{Body: `{"access_token":"no\r\nX: y","token_type":"Bearer"}`}, 200, "", nil, 0},
		"307": {
			coretest.Fault{Status: 307, Body: "there", Header: http.Header{"Location": {elsewhere.URL}}}, 307, "", &no, 502,
		},
		"303": {
			coretest.Fault{Status: 303, Body: "there", Header: http.Header{"Location": {elsewhere.URL}}}, 303, "", &no, 502,
		},
		"broken connection":     {coretest.Fault{Drop: true}, 0, "", &yes, 503},
		"no answer":             {coretest.Fault{Hang: true}, 0, "", &yes, 504},
		"a byte at a time":      {coretest.Fault{Endless: true, Pause: 50 * time.Millisecond}, 200, "", &yes, 504},
		"an error without end":  {coretest.Fault{Status: 400, Body: `{"error":"invalid_grant"`, Endless: true}, 400, "", &yes, 503},
		"an answer without end": {coretest.Fault{Body: `{"access_token":"no"`, Endless: true}, 200, "", &yes, 503},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRefreshRig(t, coretest.Options{}, func(c *core.Config) {
				c.Backchannel = &http.Client{Timeout: 1500 * time.Millisecond}
				c.OnSessionEnd = func(context.Context, *core.User, core.EndReason) { t.Error("OnSessionEnd") }
			})
			u := r.signIn("alice")
			first := r.get(u)
			test.fault.Grant, test.fault.Times = "refresh_token", coretest.Always
			r.p.Fail(test.fault)

			r.p.Advance(untilEarly)
			if r.get(u).AccessToken != first.AccessToken {
				t.Error("not the live token")
			}
			eventually(t, "a refresh", func() bool { return r.p.Grants("refresh_token") > 0 })
			r.restart()
			r.wantRefreshes(1)

			r.p.Advance(untilExpiry - untilEarly)
			began := time.Now()
			_, err := r.m.GetUserAccessToken(u.as(r.m))
			if took := time.Since(began); took > 20*time.Second {
				t.Errorf("that took %v", took)
			}
			e := asError(t, err)
			if errors.Is(err, core.ErrLoginRequired) {
				t.Errorf("the session is over: %v", err)
			}
			if e.Op != "refresh_token" || e.Status != test.status || e.Code != test.code {
				t.Errorf("Op %q, Status %d, Code %q; want status %d and code %q", e.Op, e.Status, e.Code, test.status, test.code)
			}
			if test.temporary != nil && e.Temporary() != *test.temporary {
				t.Errorf("Temporary: %t", e.Temporary())
			}
			if got := core.StatusCode(err); test.answer != 0 && got != test.answer {
				t.Errorf("StatusCode: %d, want %d", got, test.answer)
			}
			if _, err := r.m.GetUserAccessToken(u.as(r.m)); err == nil {
				t.Error("a token out of nowhere")
			}
			r.wantRefreshes(2) // the last call was too soon for another try

			r.p.Heal()
			r.p.Advance(2 * time.Minute)
			if tok := r.get(u.as(r.m)); tok.AccessToken == first.AccessToken {
				t.Error("the dead token")
			}
			r.wantRefreshes(3)
		})
	}
}

// invalid_grant ends a session (RFC 6749 section 5.2), in whatever status it comes:
// its record is deleted, the application is told once, and the error to act on
// carries the one to read.
func TestInvalidGrantEndsSession(t *testing.T) {
	t.Parallel()
	said := `{"error":"invalid_grant","error_description":"expired"}`
	for name, fault := range map[string]coretest.Fault{
		"400":      {Status: 400, Body: said},
		"401":      {Status: 401, Body: said},
		"in a 200": {Status: 200, Body: said},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var ended []string
			r := newRefreshRig(t, coretest.Options{}, func(c *core.Config) {
				c.OnSessionEnd = func(_ context.Context, u *core.User, why core.EndReason) {
					ended = append(ended, fmt.Sprintf("%s: %s", u.Subject, why))
				}
			})
			u := r.signIn("alice")
			r.p.Advance(untilExpiry)
			fault.Grant, fault.Times = "refresh_token", coretest.Always
			r.p.Fail(fault)
			_, err := r.m.GetUserAccessToken(u)
			wantLoginRequired(t, err)
			if e := asError(t, err); e.Code != "invalid_grant" || e.Description != "expired" || e.Temporary() || core.StatusCode(err) != 401 {
				t.Errorf("got %v", err)
			}
			r.wantDead(u)
			r.p.Heal() // it would be granted now, and is not asked for
			r.p.Advance(time.Hour)
			r.wantDead(u)
			r.wantRefreshes(1)
			if diff := cmp.Diff([]string{"alice: refresh token refused"}, ended); diff != "" {
				t.Errorf("OnSessionEnd:\n%s", diff)
			}
		})
	}
}

// A session whose refresh token dies in the early window ends there: its access
// token died with it.
func TestInvalidGrantEndsSessionInEarlyWindow(t *testing.T) {
	t.Parallel()
	ended := 0
	inBubble(t, coretest.Options{}, func(t *testing.T, r *refreshRig) {
		u := r.signIn("alice")
		r.p.Advance(untilEarly)
		r.p.RevokeGrants("alice")
		atOnce(50, func(int) {
			if _, err := r.m.GetUserAccessToken(u.as(r.m)); err != nil && !errors.Is(err, core.ErrLoginRequired) {
				t.Error(err)
			}
		})
		synctest.Wait()
		r.wantDead(u)
		r.wantRefreshes(1)
		if ended != 1 {
			t.Errorf("OnSessionEnd was called %d times", ended)
		}
	}, func(c *core.Config) {
		c.OnSessionEnd = func(context.Context, *core.User, core.EndReason) { ended++ }
	})
}

// refuseBehind answers invalid_grant to one refresh, after another manager has taken
// over the claim and refreshed.
func (r *refreshRig) refuseBehind(u signedInUser, refresh func()) {
	r.p.Fail(coretest.Fault{
		Grant: "refresh_token", Status: 400, Body: `{"error":"invalid_grant"}`,
		Before: func() {
			r.edit(u, func(record map[string]any) { delete(record, "claim") })
			refresh()
		},
	})
}

// Who is answered invalid_grant looks again before it believes that: where another
// process has refreshed meanwhile, its token is the answer.
func TestInvalidGrantLooksAgain(t *testing.T) {
	t.Parallel()
	r := newRefreshRig(t, coretest.Options{}, func(c *core.Config) {
		c.OnSessionEnd = func(context.Context, *core.User, core.EndReason) { t.Error("OnSessionEnd") }
	})
	other := r.manager()
	u := r.signIn("alice")
	r.p.Advance(untilExpiry)
	var theirs *core.Token
	r.refuseBehind(u, func() {
		var err error
		if theirs, err = other.GetUserAccessToken(u.as(other)); err != nil {
			t.Error(err)
		}
	})
	if tok := r.get(u); theirs == nil || tok.AccessToken != theirs.AccessToken {
		t.Error("not the other one's token")
	}
	r.wantRefreshes(2)
}

// Where another process has refreshed something else meanwhile, its refresh token
// is used.
func TestInvalidGrantTriesTheNewerRefreshToken(t *testing.T) {
	t.Parallel()
	r := newRefreshRig(t, coretest.Options{}, func(c *core.Config) {
		c.OnSessionEnd = func(context.Context, *core.User, core.EndReason) { t.Error("OnSessionEnd") }
	})
	other := r.manager()
	u := r.signIn("alice")
	main := r.get(u)
	r.refuseBehind(u, func() {
		if _, err := other.GetUserAccessToken(u.as(other), core.WithResource("urn:b")); err != nil {
			t.Error(err)
		}
	})
	if r.get(u, core.WithResource("urn:a")).AccessToken == main.AccessToken {
		t.Error("not a token of its own")
	}
	r.wantRefreshes(3)
}

// A session is deleted in the state in which it was found dead. Where another
// process has refreshed at the last moment, its token is the answer.
func TestDeadSessionThatHasBeenRefreshedIsNotDeleted(t *testing.T) {
	t.Parallel()
	r := newRefreshRig(t, coretest.Options{}, func(c *core.Config) {
		c.OnSessionEnd = func(context.Context, *core.User, core.EndReason) { t.Error("OnSessionEnd") }
	})
	other := r.manager()
	u := r.signIn("alice")
	r.p.Advance(untilExpiry)
	r.p.Fail(coretest.Fault{Grant: "refresh_token", Status: 400, Body: `{"error":"invalid_grant"}`})
	var theirs *core.Token
	r.store.watch(func(op, key string) error {
		if op == "Delete" && key == u.key && theirs == nil {
			var err error
			if theirs, err = other.GetUserAccessToken(u.as(other)); err != nil {
				t.Error(err)
			}
		}
		return nil
	}, nil)
	tok, err := r.m.GetUserAccessToken(u)
	if err != nil || theirs == nil || tok.AccessToken != theirs.AccessToken {
		t.Errorf("not the other one's token: %v", err)
	}
	r.wantRefreshes(2)
}

// A dead session is deleted though somebody uses it at the same moment.
func TestDeadSessionIsDeletedThoughInUse(t *testing.T) {
	t.Parallel()
	ended := 0
	r := newRefreshRig(t, coretest.Options{}, func(c *core.Config) {
		c.IdleTimeout = 10 * time.Hour
		c.OnSessionEnd = func(context.Context, *core.User, core.EndReason) { ended++ }
	})
	u := r.signIn("alice")
	r.p.Advance(untilExpiry)
	r.p.Fail(coretest.Fault{Grant: "refresh_token", Times: coretest.Always, Status: 400, Body: `{"error":"invalid_grant"}`})
	used := false
	r.store.watch(func(op, key string) error {
		if op == "Delete" && key == u.key && !used {
			used = true
			r.p.Advance(2 * time.Hour)
			if _, err := r.m.User(u.as(r.m)); err != nil { // a browser's request, which is noted
				t.Error(err)
			}
		}
		return nil
	}, nil)
	_, err := r.m.GetUserAccessToken(u)
	wantLoginRequired(t, err)
	if !used || r.record(u) != nil || ended != 1 {
		t.Errorf("deleted: %t, OnSessionEnd called %d times", r.record(u) == nil, ended)
	}
}

// A dead session is an error for as long as the browser holds its ticket, never a
// silent change of identity: not even where there is a second choice.
func TestDeadSessionStaysDead(t *testing.T) {
	t.Parallel()
	p := coretest.NewProvider(t, coretest.Options{Algorithm: "ES256"})
	var calls atomic.Int32
	api := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { calls.Add(1) }))
	t.Cleanup(api.Close)
	own := core.RetrieverFunc(func(context.Context, core.TokenRequest) (*core.Token, error) {
		return &core.Token{AccessToken: "own"}, nil
	})
	r := refreshRigAt(t, p, func(c *core.Config) {
		c.HTTPClients = map[string]core.HTTPClient{"api": {BaseURL: api.URL, Token: core.FirstOf(core.UserToken(), own)}}
	})
	call := func(ctx context.Context) error {
		q, err := http.NewRequestWithContext(ctx, http.MethodGet, "/", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := r.m.HTTPClient("api").Do(q)
		if err == nil {
			resp.Body.Close()
		}
		return err
	}
	u := r.signIn("alice")
	p.RevokeGrants("alice")
	p.Advance(untilExpiry)
	for range 3 {
		wantLoginRequired(t, call(u))
		wantLoginRequired(t, call(u.as(r.m)))
	}
	if calls.Load() != 0 {
		t.Errorf("the API was called %d times", calls.Load())
	}
	if err := call(r.m.NewContext(t.Context(), coretest.NewSession())); err != nil || calls.Load() != 1 {
		t.Errorf("who never signed in: %v", err)
	}
}

// Retry-After is kept (RFC 9110 section 10.2.3), in seconds and as a date: until
// then the provider hears nothing, and callers are told how long.
func TestRetryAfterIsKept(t *testing.T) {
	t.Parallel()
	for name, value := range map[string]func(now time.Time) string{
		"seconds": func(time.Time) string { return "90" },
		"a date":  func(now time.Time) string { return now.Add(90 * time.Second).Format(http.TimeFormat) },
	} {
		for _, status := range []int{429, 503} {
			t.Run(fmt.Sprint(status, " ", name), func(t *testing.T) {
				t.Parallel()
				r := newRefreshRig(t, coretest.Options{})
				u := r.signIn("alice")
				r.p.Advance(untilExpiry)
				r.p.Fail(coretest.Fault{
					Grant: "refresh_token", Status: status, Body: "busy",
					Header: http.Header{"Retry-After": {value(r.p.Now())}},
				})
				wantWait := func(left time.Duration) {
					t.Helper()
					_, err := r.m.GetUserAccessToken(u)
					if e := asError(t, err); e.RetryAfter != left || !e.Temporary() || e.Status != status {
						t.Errorf("RetryAfter %v, want %v: %v", e.RetryAfter, left, err)
					}
					r.wantRefreshes(1)
				}
				wantWait(90 * time.Second)
				r.p.Advance(time.Second)
				wantWait(89 * time.Second)
				r.p.Advance(88 * time.Second)
				wantWait(time.Second)
				r.p.Advance(time.Second)
				r.get(u)
				r.wantRefreshes(2)
			})
		}
	}
}

// A provider that asks for a week is heard for an hour.
func TestRetryAfterIsBounded(t *testing.T) {
	t.Parallel()
	for _, value := range []string{"604800", "99999999999999999999", "Fri, 31 Dec 9999 23:59:59 GMT"} {
		r := newRefreshRig(t, coretest.Options{})
		u := r.signIn("alice")
		r.p.Advance(untilExpiry)
		r.p.Fail(coretest.Fault{Grant: "refresh_token", Status: 429, Header: http.Header{"Retry-After": {value}}})
		if _, err := r.m.GetUserAccessToken(u); err == nil {
			t.Error("a token out of nowhere")
		}
		r.p.Advance(time.Hour)
		if _, err := r.m.GetUserAccessToken(u); err != nil {
			t.Errorf("%s: %v", value, err)
		}
	}
}

// In the early window too a provider that asks for a pause gets one.
func TestRetryAfterIsKeptInEarlyWindow(t *testing.T) {
	t.Parallel()
	inBubble(t, coretest.Options{}, func(t *testing.T, r *refreshRig) {
		u := r.signIn("alice")
		first := r.get(u)
		r.p.Advance(untilEarly)
		r.p.Fail(coretest.Fault{
			Grant: "refresh_token", Times: coretest.Always, Status: 503, Body: "busy", Header: http.Header{"Retry-After": {"20"}},
		})
		for range 20 {
			for range 5 {
				if r.get(u).AccessToken != first.AccessToken {
					t.Error("not the live token")
				}
				synctest.Wait()
			}
			r.wantRefreshes(1)
			r.p.Advance(time.Second)
		}
		r.get(u)
		synctest.Wait()
		r.wantRefreshes(2)
	})
}

// The pauses between failures grow, and end with a success.
func TestFailedRefreshesBackOff(t *testing.T) {
	t.Parallel()
	r := newRefreshRig(t, coretest.Options{})
	u := r.signIn("alice")
	r.p.Advance(untilExpiry)
	r.p.Fail(coretest.Fault{Grant: "refresh_token", Times: coretest.Always, Status: 500})
	for range 240 {
		if _, err := r.m.GetUserAccessToken(u); !asError(t, err).Temporary() {
			t.Fatal(err)
		}
		r.p.Advance(time.Second)
	}
	// Without pauses 240; with pauses of the same length more than a hundred.
	if n := r.p.Grants("refresh_token"); n < 4 || n > 40 {
		t.Errorf("%d tries in four minutes", n)
	}
	r.p.Heal()
	r.p.Advance(2 * time.Minute)
	r.get(u)

	before := r.p.Grants("refresh_token")
	r.p.Fail(coretest.Fault{Grant: "refresh_token", Status: 500})
	if _, err := r.m.GetUserAccessToken(u, core.WithForceRenewal()); err == nil {
		t.Error("a token out of nowhere")
	}
	r.p.Advance(2 * time.Second) // the first pause is about a second
	r.get(u, core.WithForceRenewal())
	if n := r.p.Grants("refresh_token") - before; n != 2 {
		t.Errorf("%d requests, want 2", n)
	}
}

// A failure that is about what one call asks for does not hold up the others of its
// login.
func TestRefusedResourceDoesNotHoldUpTheLogin(t *testing.T) {
	t.Parallel()
	r := newRefreshRig(t, coretest.Options{})
	u := r.signIn("alice")
	r.p.Advance(untilExpiry)
	_, err := r.m.GetUserAccessToken(u, core.WithResource("no URI"))
	if e := asError(t, err); e.Code != "invalid_target" || errors.Is(err, core.ErrLoginRequired) {
		t.Errorf("got %v", err)
	}
	if tok, err := r.m.GetUserAccessToken(u); err != nil || !tok.Expiry.After(r.p.Now()) {
		t.Errorf("the login's own token: %v", err)
	}
}

// A refresh token whose answer was lost may have been consumed: while an access
// token lives it is not sent again, since a provider that detects reuse would
// revoke that one too (RFC 9700 section 4.14.2).
func TestLostAnswerIsNotRepeatedWhileATokenLives(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]coretest.Fault{
		"broken connection":            {DropAfter: true},
		"an answer that says nothing":  {Answer: func(a map[string]any) { clear(a) }},
		"an answer of an unknown kind": {Answer: func(a map[string]any) { a["token_type"] = "mac" }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, coretest.Options{AccessTokenLife: 10 * time.Hour}, func(t *testing.T, r *refreshRig) {
				u := r.signIn("alice")
				first := r.get(u)
				r.p.Advance(8*time.Hour + 30*time.Minute)
				fault.Grant = "refresh_token"
				r.p.Fail(fault)
				for range 8 {
					if r.get(u).AccessToken != first.AccessToken {
						t.Fatal("not the live token")
					}
					synctest.Wait()
					r.p.Advance(10 * time.Minute)
				}
				// Other tokens of the login have to wait as well.
				_, err := r.m.GetUserAccessToken(u, core.WithResource("urn:a"))
				if e := asError(t, err); !e.Temporary() || errors.Is(err, core.ErrLoginRequired) {
					t.Errorf("got %v", err)
				}
				r.wantRefreshes(1)
			}, func(c *core.Config) { c.RefreshEarly, c.Lifetime = 2*time.Hour, 100*time.Hour })
		})
	}
}

// Somebody who wants another token by hand does not make the living one dead, and
// gets none while the answer to the last refresh is lost.
func TestLostAnswerIsNotRepeatedByHand(t *testing.T) {
	t.Parallel()
	r := newRefreshRig(t, coretest.Options{})
	u := r.signIn("alice")
	first := r.get(u)
	r.p.Fail(coretest.Fault{Grant: "refresh_token", DropAfter: true})
	for range 3 {
		_, err := r.m.GetUserAccessToken(u, core.WithForceRenewal())
		if e := asError(t, err); !e.Temporary() || errors.Is(err, core.ErrLoginRequired) {
			t.Errorf("got %v", err)
		}
		r.p.Advance(5 * time.Minute)
	}
	r.wantRefreshes(1)
	if r.get(u).AccessToken != first.AccessToken {
		t.Error("the living token is gone")
	}
}

// Once no access token lives there is nothing to lose: the refresh token is sent
// again. It may have been the request that was lost.
func TestLostAnswerIsRepeatedOnceNothingLives(t *testing.T) {
	t.Parallel()
	inBubble(t, coretest.Options{}, func(t *testing.T, r *refreshRig) {
		u := r.signIn("alice")
		r.p.Advance(untilEarly)
		r.p.Fail(coretest.Fault{Grant: "refresh_token", Drop: true})
		r.get(u)
		synctest.Wait()
		r.p.Advance(untilExpiry - untilEarly)
		if tok := r.get(u); !tok.Expiry.Equal(r.p.Now().Add(time.Hour)) {
			t.Errorf("not a new token: %v", tok)
		}
		r.wantRefreshes(2)
		// That is over and done with: the next refresh is in time again.
		r.p.Advance(untilEarly)
		r.get(u)
		synctest.Wait()
		r.wantRefreshes(3)
	})
}

// Where the answer was lost and the refresh token with it, the session ends in the
// end, and not before.
func TestLostRefreshTokenEndsSessionOnceNothingLives(t *testing.T) {
	t.Parallel()
	inBubble(t, coretest.Options{}, func(t *testing.T, r *refreshRig) {
		u := r.signIn("alice")
		first := r.get(u)
		r.p.Advance(untilEarly)
		r.p.Fail(coretest.Fault{Grant: "refresh_token", DropAfter: true})
		r.get(u)
		synctest.Wait()
		r.p.Advance(untilExpiry - untilEarly - time.Second)
		if r.get(u).AccessToken != first.AccessToken {
			t.Error("not the live token")
		}
		synctest.Wait()
		r.wantRefreshes(1)
		r.p.Advance(time.Second)
		_, err := r.m.GetUserAccessToken(u)
		wantLoginRequired(t, err)
		r.wantDead(u)
		if n := r.p.Grants("refresh_token"); n != 2 {
			t.Errorf("%d refreshes, want 2", n)
		}
	})
}

// A connection that could not be made has carried nothing: the refresh token is
// sent once there is one, though an access token lives.
func TestUnsentRefreshIsSentAgain(t *testing.T) {
	t.Parallel()
	var down atomic.Bool
	dialer := net.Dialer{}
	r := newRefreshRig(t, coretest.Options{}, func(c *core.Config) {
		c.Backchannel = &http.Client{Transport: &http.Transport{
			DisableKeepAlives: true,
			DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				if down.Load() {
					return nil, &net.OpError{Op: "dial", Net: network, Err: errors.New("connection refused")}
				}
				return dialer.DialContext(ctx, network, address)
			},
		}}
	})
	u := r.signIn("alice")
	first := r.get(u)
	down.Store(true)
	_, err := r.m.GetUserAccessToken(u, core.WithForceRenewal())
	if e := asError(t, err); !e.Temporary() || core.StatusCode(err) != 503 {
		t.Errorf("got %v", err)
	}
	r.wantRefreshes(0)
	if r.get(u).AccessToken != first.AccessToken {
		t.Error("not the live token")
	}
	down.Store(false)
	r.p.Advance(5 * time.Second)
	if r.get(u, core.WithForceRenewal()).AccessToken == first.AccessToken {
		t.Error("not a new token")
	}
	r.wantRefreshes(1)
}

// An error shows what the provider says of a failure, but not the secrets that it
// repeats, nor more than a line.
func TestErrorsRepeatNoSecret(t *testing.T) {
	t.Parallel()
	const clientSecret = "the_clients_own_secret"
	secrets := map[string]func(*refreshRig) string{
		"refresh token": func(r *refreshRig) string { return r.liveRefreshToken("alice") },
		"client secret": func(*refreshRig) string { return clientSecret },
	}
	answers := map[string]func(secret string) [2]string{
		"description": func(s string) [2]string { return [2]string{"invalid_request", "who is '" + s + "'?"} },
		"code":        func(s string) [2]string { return [2]string{s, "no"} },
		"cut off":     func(s string) [2]string { return [2]string{"invalid_request", strings.Repeat("x", 185) + s} },
	}
	for what, secretOf := range secrets {
		for where, answer := range answers {
			t.Run(what+" in "+where, func(t *testing.T) {
				t.Parallel()
				r := newRefreshRig(t, coretest.Options{ClientSecret: clientSecret})
				u := r.signIn("alice")
				secret := secretOf(r)
				said := answer(secret)
				body, err := json.Marshal(map[string]string{"error": said[0], "error_description": said[1]})
				if err != nil {
					t.Fatal(err)
				}
				r.p.Fail(coretest.Fault{Grant: "refresh_token", Status: 400, Body: string(body)})
				r.p.Advance(untilExpiry)
				_, err = r.m.GetUserAccessToken(u)
				e := asError(t, err)
				for _, text := range []string{err.Error(), fmt.Sprintf("%+v", err), fmt.Sprintf("%#v", e), e.Code, e.Description} {
					if strings.Contains(text, secret[:10]) {
						t.Errorf("the error holds the secret: %s", text)
					}
				}
				if len(e.Description) > 200 || len(e.Code) > 64 {
					t.Errorf("a description of %d bytes", len(e.Description))
				}
			})
		}
	}
}

// What the provider says is shown without what could forge a line of a log.
func TestErrorsAreOneLine(t *testing.T) {
	t.Parallel()
	r := newRefreshRig(t, coretest.Options{})
	u := r.signIn("alice")
	r.p.Advance(untilExpiry)
	r.p.Fail(coretest.Fault{
		Grant: "refresh_token", Status: 400,
		Body: `{"error":"inv\nalid","error_description":"a\r\nlevel=INFO msg=\u001b[31mforged\u202e"}`,
	})
	_, err := r.m.GetUserAccessToken(u)
	if e := asError(t, err); e.Code != "invalid" || e.Description != "alevel=INFO msg=[31mforged" {
		t.Errorf("%q, %q", e.Code, e.Description)
	}
}
