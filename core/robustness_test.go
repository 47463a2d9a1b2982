package core_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tokenwell/tokenwell/core"
	"github.com/tokenwell/tokenwell/core/coretest"
)

// A program may have put a transport of its own in the place of Go's default one. Not
// parallel: that one is everybody's.
func TestNewWithAnotherDefaultTransport(t *testing.T) {
	original := http.DefaultTransport
	t.Cleanup(func() { http.DefaultTransport = original })
	http.DefaultTransport = roundTripFunc(original.RoundTrip)
	p := newESProvider(t)
	m := newUserManager(t, p, p.Protect(whoAmI).URL, core.UserToken())
	alice := coretest.SignedIn(t, m, "alice")
	p.Advance(untilExpiry)
	if _, body := get(alice, t, m.HTTPClient("api"), "me"); body != "alice" {
		t.Errorf("%q", body)
	}
}

// A provider whose only metadata is that of RFC 8414, and which is down, is asked again
// like any other.
func TestOAuthMetadataThatIsDownIsNoFailure(t *testing.T) {
	t.Parallel()
	for _, status := range []int{429, 500, 503} {
		var down atomic.Bool
		down.Store(true)
		var issuer atomic.Value
		p := newClientAPI(t, func(w http.ResponseWriter, r *http.Request) {
			switch {
			case r.URL.Path != "/.well-known/oauth-authorization-server":
				http.NotFound(w, r)
			case down.Load():
				w.WriteHeader(status)
			default:
				fmt.Fprintf(w, `{"issuer":%q,"token_endpoint":%q}`, issuer.Load(), fmt.Sprint(issuer.Load(), "/token"))
			}
		})
		issuer.Store(p.URL)
		began := time.Now()
		var later atomic.Int64
		cfg := worker(p.URL)
		cfg.Now = func() time.Time { return began.Add(time.Duration(later.Load())) }
		m := startClientManager(t, cfg)
		if err := m.Ready(t.Context()); core.StatusCode(err) != http.StatusServiceUnavailable {
			t.Errorf("%d: Ready: %v", status, err)
		}
		down.Store(false)
		later.Store(int64(time.Minute))
		if err := m.Ready(t.Context()); err != nil {
			t.Errorf("%d: up again: %v", status, err)
		}
	}
}

// No method of a nil *Manager panics: those that can fail say ErrNoManager.
func TestNilManagerAnswers(t *testing.T) {
	t.Parallel()
	var m *core.Manager
	ctx := context.Background()
	if got := m.NewContext(ctx, coretest.NewSession()); got != ctx {
		t.Error("NewContext: another context")
	}
	if got := m.WithTicket(ctx, "x"); got != ctx {
		t.Error("WithTicket: another context")
	}
	if c := m.SessionCookie(); !c.Secure || !c.HttpOnly || c.Path != "/" {
		t.Errorf("SessionCookie: %s", c)
	}
	if text := fmt.Sprintf("%v %+v %#v %s", m, m, m, m); strings.Contains(text, "PANIC") {
		t.Error(text)
	}
	_, managerErr := m.Manager(httptest.NewRequest(http.MethodGet, "/", nil))
	_, clientTokenErr := m.GetClientAccessToken(ctx)
	_, _, forErr := do(t, m.HTTPClientFor(ctx, "api"), newRequest(ctx, t, "/", nil))
	_, _, sharedErr := do(t, m.HTTPClient("api"), newRequest(ctx, t, "/", nil))
	for name, err := range map[string]error{
		"Manager": managerErr, "GetClientAccessToken": clientTokenErr, "HTTPClientFor": forErr, "HTTPClient": sharedErr,
	} {
		if !errors.Is(err, core.ErrNoManager) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A copy of a Token that was changed sends what it holds, not what the original did.
func TestChangedCopyOfATokenSendsItsOwnSecret(t *testing.T) {
	t.Parallel()
	r := newRefreshRig(t, coretest.Options{})
	original := r.get(r.signIn("alice"))
	for want, change := range map[string]func(*core.Token){
		"Bearer mine":                    func(c *core.Token) { c.AccessToken = "mine" },
		"DPoP " + original.AccessToken:   func(c *core.Token) { c.Type = "DPoP" },
		"DPoP mine":                      func(c *core.Token) { c.AccessToken, c.Type = "mine", "DPoP" },
		"Bearer " + original.AccessToken: func(*core.Token) {},
		"":                               func(c *core.Token) { c.AccessToken = "" },
	} {
		changed := *original
		change(&changed)
		q := httptest.NewRequest(http.MethodGet, "/", nil)
		if err := changed.Authorize(q); (err != nil) != (want == "") {
			t.Error(err)
		}
		if got := q.Header.Get("Authorization"); got != want {
			t.Errorf("Authorization of another token: %d bytes, want %d", len(got), len(want))
		}
	}
}

// What a stranger can have kept for a login under way is bounded to the byte.
func TestLocalPathIsBounded(t *testing.T) {
	t.Parallel()
	const most = 2048
	for _, start := range []string{"/", "/a?b=", "/a?next=/"} {
		for size, kept := range map[int]bool{most: true, most + 1: false, 10 * most: false} {
			target := start + strings.Repeat("x", size-len(start))
			if got := core.LocalPath(target); (got == target) != kept || !kept && got != "/" {
				t.Errorf("%s and so on, %d bytes: %d bytes, want it kept: %t", start, size, len(got), kept)
			}
		}
	}
	r := newLoginRig(t, coretest.Options{})
	s := newLoginSession()
	result, err := r.finish(s, r.sign(r.start(s, core.LoginOptions{ReturnTo: "/" + strings.Repeat("a", 1<<20)}), "alice"))
	if err != nil || result.ReturnTo != "/" {
		t.Errorf("a login ends at %v, %v", result, err)
	}
}

// A panic, or the end of its goroutine, in what the application brings to a refresh is an
// error, and neither the end of the program nor a session that is locked for ever.
func TestPanicInMidRefreshIsAnError(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func(){"a panic": func() { panic("sentinel") }, "an end": runtime.Goexit} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRefreshRig(t, coretest.Options{})
			u := r.signIn("alice")
			r.p.Advance(untilExpiry)
			failing := true
			m := r.manager(func(c *core.Config) {
				c.Backchannel = &http.Client{Transport: roundTripper(func(q *http.Request) (*http.Response, error) {
					if q.Method == http.MethodPost && failing {
						failing = false
						fail()
					}
					return http.DefaultTransport.RoundTrip(q)
				})}
			})
			_, err := m.GetUserAccessToken(u.as(m))
			if e := asError(t, err); e.Op != "refresh_token" || strings.Contains(err.Error(), "sentinel") {
				t.Errorf("%v", err)
			}
			r.p.Advance(time.Minute)
			if _, err := m.GetUserAccessToken(u.as(m)); err != nil {
				t.Errorf("afterwards: %v", err)
			}
		})
	}
}
