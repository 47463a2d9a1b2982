package conformance

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/tokenwell/tokenwell/core"
	"github.com/tokenwell/tokenwell/core/coretest"
)

var sessionTests = []func(*testing.T, Framework){
	cookieIsOutOfReach,
	applicationsOwnSaveLeavesCookieAsItMustBe,
	plantedSessionIsOfNoUse,
	nextUserFindsNothingOfTheOneBefore,
	sameUserAgainKeepsTheNewLogin,
	cookieThatCannotBeReadIsEmptySession,
	failingSessionStoreIsNotSignedOut,
	failingTicketStoreIsNotSignedOut,
	loginEndsWithItsLifetime,
	loginEndsWhenNobodyUsesIt,
}

func cookieIsOutOfReach(t *testing.T, f Framework) {
	a := newApp(t, f)
	// The attributes of every cookie in every test are looked at by app.watch.
	set := a.b.Open(a.path("/login")).Cookies()
	if len(set) != 1 || set[0].Name != f.Cookie {
		t.Fatalf("a login sets %v", set)
	}
	if !strings.HasPrefix(f.Cookie, "__Host-") {
		t.Errorf("the cookie's name is %s", f.Cookie)
	}
	page := a.login(a.b, "alice")
	callback := page.Via[len(page.Via)-1]
	if got := callback.Cookies(); len(got) != 1 || got[0].Name != f.Cookie {
		t.Errorf("the callback sets %v", got)
	}
	if got := a.logout(a.b).Via[0].Cookies(); len(got) != 1 || got[0].Name != f.Cookie {
		t.Errorf("a logout sets %v", got)
	}
}

func applicationsOwnSaveLeavesCookieAsItMustBe(t *testing.T, f Framework) {
	a := newApp(t, f)
	for _, user := range []string{"", "alice"} {
		if user != "" {
			a.login(a.b, user)
		}
		page := a.b.Get(a.path("/keep?value=three+apples"))
		if page.Status != http.StatusOK || len(page.Cookies()) == 0 && user == "" {
			t.Errorf("nothing was kept: %s", page)
		}
		if got := a.b.Get(a.path("/kept")).Body; got != "three apples" {
			t.Errorf("kept: %q", got)
		}
		a.wantUser(a.b, user)
	}
	a.b.Get(a.path("/keep?value="))
	a.wantUser(a.b, "") // its cookie is deleted
}

// plantedSessionIsOfNoUse is session fixation: somebody makes a victim's browser
// use a session that they know.
func plantedSessionIsOfNoUse(t *testing.T, f Framework) {
	a := newApp(t, f)
	mallory := a.browser()
	a.start(mallory)
	planted := mallory.Cookies()
	if len(planted) != 1 {
		t.Fatalf("%d cookies", len(planted))
	}
	a.b.SetCookies(planted...)
	a.login(a.b, "alice")
	if got := a.b.Cookies(); len(got) != 1 || got[0].Name != planted[0].Name || got[0].Value == planted[0].Value {
		t.Error("the session is still the planted one")
	}
	a.wantUser(mallory, "")
	if page := mallory.Fetch(http.MethodGet, a.path("/orders"), nil); page.Status != http.StatusUnauthorized {
		t.Errorf("the planted session opens %s", page)
	}
	// Nor is it by signing in to it: the victim has left it.
	a.login(mallory, "mallory")
	a.wantUser(a.b, "alice")
	again := a.browser()
	again.SetCookies(planted...)
	a.wantUser(again, "")
}

func nextUserFindsNothingOfTheOneBefore(t *testing.T, f Framework) {
	var ended []string
	a := newApp(t, f, options{config: func(_ *app, cfg *core.Config) {
		cfg.OnSessionEnd = func(_ context.Context, u *core.User, why core.EndReason) {
			ended = append(ended, u.Subject+" "+string(why))
		}
	}})
	a.login(a.b, "alice")
	a.b.Get(a.path("/keep?value=alices"))
	before := a.b.Cookies()
	a.login(a.b, "bob")

	if got := a.b.Get(a.path("/orders")).Body; got != "/orders/list of bob" {
		t.Errorf("bob's orders: %q", got)
	}
	if got := a.b.Get(a.path("/kept")).Body; got != "" {
		t.Errorf("bob finds %q", got)
	}
	thief := a.browser()
	thief.SetCookies(before...)
	a.wantUser(thief, "")
	if got := a.store.sessions(); got != 1 {
		t.Errorf("%d logins, want bob's", got)
	}
	if got := a.p.RefreshTokens("alice"); len(got) != 0 {
		t.Errorf("alice has %d refresh tokens in force", len(got))
	}
	if got := a.p.RefreshTokens("bob"); len(got) != 1 {
		t.Errorf("bob has %d refresh tokens in force", len(got))
	}
	if got := strings.Join(ended, ", "); got != "alice replaced" {
		t.Errorf("ended: %s", got)
	}
}

func sameUserAgainKeepsTheNewLogin(t *testing.T, f Framework) {
	a := newApp(t, f)
	a.login(a.b, "alice")
	before := a.b.Cookies()
	if page := a.b.Get(a.loginPath("/home")); page.Body != "alice" { // the provider knows her
		t.Fatal(page)
	}
	if got := a.store.sessions(); got != 1 {
		t.Errorf("%d logins of one browser", got)
	}
	thief := a.browser()
	thief.SetCookies(before...)
	a.wantUser(thief, "")
	a.p.Advance(2 * time.Hour)
	if page := a.b.Get(a.path("/orders")); page.Body != "/orders/list of alice" {
		t.Errorf("after the token's expiry: %s", page)
	}
}

func cookieThatCannotBeReadIsEmptySession(t *testing.T, f Framework) {
	a := newApp(t, f)
	other := newApp(t, f) // with keys of its own
	other.login(other.b, "alice")
	foreign := other.b.Cookies()[0].Value
	a.login(a.b, "alice")
	good := a.b.Cookies()[0].Value
	for what, value := range map[string]string{
		"of other keys": foreign, "garbage": "garbage", "cut": good[:len(good)/2], "altered": "A" + good[1:] + "A", "long": strings.Repeat("x", 3000),
	} {
		b := a.browser()
		b.SetCookies(&http.Cookie{Name: f.Cookie, Value: value})
		if page := b.Get(a.path("/public")); page.Body != "public" {
			t.Errorf("%s: %s", what, page)
		}
		a.wantUser(b, "")
		a.wantLoginRedirect(b.Open(a.path("/account")), "/account")
		a.login(b, "bob")
	}
}

func failingSessionStoreIsNotSignedOut(t *testing.T, f Framework) {
	a := newApp(t, f)
	a.login(a.b, "alice")
	answer := a.sign(a.start(a.b), "bob")
	a.failSessions(errors.New("the session store is down, says " + plainSecret))
	if page := a.b.Get(a.path("/public")); page.Body != "public" {
		t.Errorf("a page that asks for no token: %s", page)
	}
	a.wantUnavailable(a.b.Open(a.path("/home")))
	a.wantUnavailable(a.b.Open(a.path("/account")))
	a.wantUnavailable(a.b.Open(a.path("/orders")))
	a.wantUnavailable(a.b.Fetch(http.MethodGet, a.path("/me"), nil))
	a.wantUnavailable(a.b.Open(a.path("/login")))
	a.wantUnavailable(a.finish(a.b, answer))
	a.wantUnavailable(a.b.Post(a.path("/logout"), url.Values{}))
	a.failSessions(nil)
	a.wantUser(a.b, "alice")
	if page := a.finish(a.b, answer); page.Status != http.StatusSeeOther {
		t.Errorf("a login that was under way: %s", page)
	}
	a.wantUser(a.b, "bob")
}

// wantUnavailable fails unless page is a 503 that says when to come back, and sets
// no cookie.
func (a *app) wantUnavailable(page *coretest.Page) {
	a.Helper()
	a.wantJSON(page, http.StatusServiceUnavailable, "temporarily_unavailable")
	if got := page.Header.Get("Retry-After"); got == "" || got == "0" {
		a.Errorf("Retry-After: %q in %s", got, page)
	}
	if got := page.Cookies(); len(got) != 0 {
		a.Errorf("an outage sets %d cookies", len(got))
	}
}

func failingTicketStoreIsNotSignedOut(t *testing.T, f Framework) {
	a := newApp(t, f)
	serving := a.m
	a.handler = a.mount(core.ManagerFunc(func(*http.Request) (*core.Manager, error) { return serving, nil }))
	a.b = a.browser()
	a.login(a.b, "alice")
	answer := a.sign(a.start(a.b), "bob")
	serving = a.manager(a.p, func(*core.Config) {}) // another replica, which has not seen her yet
	a.store.fail(errors.New("the store is down, says " + plainSecret))
	if page := a.b.Get(a.path("/public")); page.Body != "public" {
		t.Errorf("a page that asks for no token: %s", page)
	}
	a.wantUnavailable(a.b.Open(a.path("/home")))
	a.wantUnavailable(a.b.Open(a.path("/account")))
	a.wantUnavailable(a.b.Open(a.path("/orders")))
	a.wantUnavailable(a.b.Fetch(http.MethodGet, a.path("/me"), nil))
	a.wantUnavailable(a.b.Open(a.path("/login")))
	a.wantUnavailable(a.finish(a.b, answer))
	a.wantUnavailable(a.b.Post(a.path("/logout"), url.Values{}))
	a.store.fail(nil)
	a.wantUser(a.b, "alice")
	if page := a.finish(a.b, answer); page.Status != http.StatusSeeOther {
		t.Errorf("a login that was under way: %s", page)
	}
	a.wantUser(a.b, "bob")
}

func loginEndsWithItsLifetime(t *testing.T, f Framework) {
	a := newApp(t, f, options{config: func(_ *app, cfg *core.Config) { cfg.Lifetime = 2 * time.Hour }})
	a.login(a.b, "alice")
	for range 2 {
		a.p.Advance(59 * time.Minute)
		if page := a.b.Get(a.path("/orders")); page.Body != "/orders/list of alice" {
			t.Fatal(page)
		}
	}
	a.p.Advance(3 * time.Minute)
	a.wantUser(a.b, "")
	a.wantLoginRedirect(a.b.Open(a.path("/orders")), "/orders")
	a.login(a.b, "alice")
}

func loginEndsWhenNobodyUsesIt(t *testing.T, f Framework) {
	const pause = 11 * time.Minute
	var ticket core.Ticket
	a := newApp(t, f, options{
		provider: coretest.Options{AccessTokenLife: 10 * time.Minute},
		config:   func(_ *app, cfg *core.Config) { cfg.IdleTimeout = 30 * time.Minute },
		routes: []Route{{Path: "/job", Handle: func(c Context, _ http.ResponseWriter, _ *http.Request) (err error) {
			ticket, err = core.From(c).Ticket(c)
			return err
		}}},
	})
	a.login(a.b, "alice")
	for range 4 { // its use keeps it alive
		a.p.Advance(pause)
		if page := a.b.Get(a.path("/orders")); page.Body != "/orders/list of alice" {
			t.Fatal(page)
		}
	}
	// Renewals for a job do not.
	a.b.Get(a.path("/job"))
	job := a.m.WithTicket(t.Context(), ticket)
	refreshes := a.p.Granted("refresh_token")
	for range 2 {
		a.p.Advance(pause)
		if _, err := a.m.GetUserAccessToken(job); err != nil {
			t.Fatal(err)
		}
	}
	if got := a.p.Granted("refresh_token") - refreshes; got != 2 {
		t.Errorf("the job made %d renewals", got)
	}
	a.p.Advance(pause)
	a.wantUser(a.b, "")
	if _, err := a.m.GetUserAccessToken(job); !errors.Is(err, core.ErrLoginRequired) {
		t.Errorf("the job's token: %v", err)
	}
}
