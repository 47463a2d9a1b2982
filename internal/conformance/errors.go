package conformance

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/tokenwell/tokenwell/core"
	"github.com/tokenwell/tokenwell/core/coretest"
)

var errorTests = []func(*testing.T, Framework){
	navigationGoesToLoginAndBack,
	fetchGets401,
	postGoesToLoginAndNotBack,
	requireLoginClosesPages,
	loginThatDoesNotHelpIsNoLoop,
	deadSessionLeadsToLogin,
	plainErrorIs500AndSaysNothing,
	providerThatIsDownAtStartIs503,
	providerThatIsDownAtCallbackIs503,
	providerThatIsDownAtRefreshIs503,
	errorAfterAnswerHasBegunAddsNothing,
}

func navigationGoesToLoginAndBack(t *testing.T, f Framework) {
	a := newApp(t, f)
	page := a.b.Open(a.path("/orders?q=a%20b&x=%2F"))
	a.wantLoginRedirect(page, "/orders?q=a%20b&x=%2F")
	end := page.Follow().Submit(url.Values{"user": {"alice"}})
	if end.Body != "/orders/list of alice" || end.URL.RequestURI() != a.path("/orders?q=a%20b&x=%2F") {
		t.Errorf("ended at %s", end)
	}
	if got := a.called.Load(); got != 1 {
		t.Errorf("the API was called %d times", got)
	}
}

func fetchGets401(t *testing.T, f Framework) {
	a := newApp(t, f)
	for _, path := range []string{"/me", "/orders", "/account"} {
		page := a.b.Fetch(http.MethodGet, a.path(path), nil)
		a.wantJSON(page, http.StatusUnauthorized, "login_required")
		if got := page.Header.Get("Location"); got != "" {
			t.Errorf("%s: it goes to %s", path, got)
		}
	}
	a.login(a.b, "alice")
	if page := a.b.Fetch(http.MethodGet, a.path("/me"), nil); page.Status != http.StatusOK || strings.TrimSpace(page.Body) != `{"sub":"alice"}` {
		t.Errorf("signed in: %s", page)
	}
	if got := a.called.Load(); got != 0 {
		t.Errorf("the API was called %d times", got)
	}
}

// postGoesToLoginAndNotBack: what was posted cannot be posted again, and nobody
// means a page by a form's address.
func postGoesToLoginAndNotBack(t *testing.T, f Framework) {
	a := newApp(t, f)
	page := a.b.Post(a.path("/orders"), url.Values{"a": {"b"}})
	if len(page.Via) < 2 || page.Via[0].Status != http.StatusSeeOther || page.Via[0].Header.Get("Location") != a.path("/login") {
		t.Fatalf("got %s", page)
	}
	if end := page.Submit(url.Values{"user": {"alice"}}); end.URL.String() != coretest.AppURL+"/" {
		t.Errorf("ended at %s", end)
	}
	a.wantJSON(a.browser().Fetch(http.MethodPost, a.path("/orders"), url.Values{"a": {"b"}}), http.StatusUnauthorized, "login_required")
}

func requireLoginClosesPages(t *testing.T, f Framework) {
	entered := 0
	a := newApp(t, f, options{routes: []Route{{Path: "/closed", RequireLogin: true, Handle: func(_ Context, w http.ResponseWriter, _ *http.Request) error {
		entered++
		_, err := fmt.Fprint(w, "inside")
		return err
	}}}})
	page := a.b.Open(a.path("/closed?a=b"))
	a.wantLoginRedirect(page, "/closed?a=b")
	if entered != 0 || strings.Contains(page.Body, "inside") {
		t.Errorf("the handler ran for a stranger: %s", page)
	}
	end := page.Follow().Submit(url.Values{"user": {"alice"}})
	if end.Body != "inside" || entered != 1 {
		t.Errorf("ended at %s", end)
	}
	a.logout(a.b)
	a.wantJSON(a.b.Fetch(http.MethodPost, a.path("/closed"), nil), http.StatusUnauthorized, "login_required")
	if entered != 1 {
		t.Errorf("the handler ran %d times", entered)
	}
}

// loginThatDoesNotHelpIsNoLoop is a page that no login satisfies, for users whom
// the provider signs in without asking.
func loginThatDoesNotHelpIsNoLoop(t *testing.T, f Framework) {
	a := newApp(t, f, options{routes: []Route{{Path: "/never", Handle: func(Context, http.ResponseWriter, *http.Request) error {
		return fmt.Errorf("never enough: %w", core.ErrLoginRequired)
	}}}})
	a.login(a.b, "alice")
	a.p.Advance(time.Minute)
	page := a.b.Get(a.path("/never")) // would go in circles
	a.wantJSON(page, http.StatusUnauthorized, "login_required")
	if page.URL.Path != a.path("/never") || len(page.Via) != 4 { // itself, the login, the provider, the callback
		t.Errorf("ended at %s", page)
	}
	a.wantJSON(a.b.Open(a.path("/never")), http.StatusUnauthorized, "login_required")
	a.p.Advance(11 * time.Second)
	a.wantLoginRedirect(a.b.Open(a.path("/never")), "/never")
	// Somebody who signs out, and comes back, is asked at once.
	a.login(a.b, "alice")
	a.logout(a.b)
	a.wantLoginRedirect(a.b.Open(a.path("/orders")), "/orders")
}

func deadSessionLeadsToLogin(t *testing.T, f Framework) {
	a := newApp(t, f)
	a.login(a.b, "alice")
	a.p.RevokeGrants("alice")
	a.p.Advance(time.Hour)
	a.wantJSON(a.b.Fetch(http.MethodGet, a.path("/orders"), nil), http.StatusUnauthorized, "login_required")
	a.wantLoginRedirect(a.b.Open(a.path("/orders")), "/orders")
	if got := a.store.sessions(); got != 0 {
		t.Errorf("%d logins are left", got)
	}
	if got := a.called.Load(); got != 0 {
		t.Errorf("the API was called %d times", got)
	}
	a.login(a.b, "alice")
}

func plainErrorIs500AndSaysNothing(t *testing.T, f Framework) {
	a := newApp(t, f)
	for _, page := range []*coretest.Page{a.b.Open(a.path("/broken")), a.b.Fetch(http.MethodPost, a.path("/broken"), nil)} {
		if page.Status != http.StatusInternalServerError || strings.Contains(page.Body, plainSecret) {
			t.Errorf("a plain error: %s", page)
		}
	}
}

func errorAfterAnswerHasBegunAddsNothing(t *testing.T, f Framework) {
	a := newApp(t, f, options{routes: []Route{{Path: "/late", Handle: func(_ Context, w http.ResponseWriter, _ *http.Request) error {
		w.WriteHeader(http.StatusAccepted)
		fmt.Fprint(w, "begun")
		return fmt.Errorf("late: %w", core.ErrLoginRequired)
	}}}})
	if page := a.b.Open(a.path("/late")); page.Status != http.StatusAccepted || page.Body != "begun" {
		t.Errorf("got %s", page)
	}
}

func providerThatIsDownAtStartIs503(t *testing.T, f Framework) {
	a := newApp(t, f, options{config: func(a *app, _ *core.Config) {
		a.p.Fail(coretest.Fault{Endpoint: coretest.DiscoveryEndpoint, Status: http.StatusServiceUnavailable, Times: coretest.Always})
	}})
	if page := a.b.Get(a.path("/public")); page.Body != "public" {
		t.Errorf("a page that needs no provider: %s", page)
	}
	a.wantUser(a.b, "")
	a.wantUnavailable(a.b.Open(a.path("/login")))
	a.wantLoginRedirect(a.b.Open(a.path("/orders")), "/orders")
	a.p.Heal()
	a.p.Advance(time.Minute)
	a.login(a.b, "alice")
}

func providerThatIsDownAtCallbackIs503(t *testing.T, f Framework) {
	a := newApp(t, f)
	a.login(a.b, "alice")
	for what, fault := range map[string]coretest.Fault{
		"500":           {Status: http.StatusInternalServerError, Body: "<html>a proxy's page, with " + plainSecret},
		"503":           {Status: http.StatusServiceUnavailable, Header: http.Header{"Retry-After": {"120"}}},
		"broken":        {Drop: true},
		"keys are gone": {Endpoint: coretest.KeysEndpoint, Status: http.StatusBadGateway, Times: 3},
	} {
		answer := a.sign(a.start(a.b), "bob")
		if fault.Endpoint == coretest.KeysEndpoint {
			a.p.RotateKeys() // else they are known
		}
		a.p.Fail(fault)
		page := a.finish(a.b, answer)
		a.p.Heal()
		a.wantUnavailable(page)
		a.wantNotKept(page)
		if got := page.Header.Get("Retry-After"); what == "503" && got != "120" {
			t.Errorf("Retry-After: %s", got)
		}
		a.wantUser(a.b, "alice")
		if got := a.p.RefreshTokens("bob"); len(got) != 0 {
			t.Errorf("%s: bob has %d refresh tokens", what, len(got))
		}
	}
	a.login(a.b, "bob")
}

func providerThatIsDownAtRefreshIs503(t *testing.T, f Framework) {
	a := newApp(t, f)
	a.login(a.b, "alice")
	a.p.Advance(time.Hour)
	a.p.Fail(coretest.Fault{Status: http.StatusServiceUnavailable, Header: http.Header{"Retry-After": {"7"}}, Times: coretest.Always})
	for _, page := range []*coretest.Page{a.b.Open(a.path("/orders")), a.b.Fetch(http.MethodGet, a.path("/orders"), nil)} {
		a.wantUnavailable(page)
		if got := page.Header.Get("Retry-After"); got != "7" {
			t.Errorf("Retry-After: %s", got)
		}
	}
	a.wantUser(a.b, "alice")
	if got := a.called.Load(); got != 0 {
		t.Errorf("the API was called %d times", got)
	}
	a.p.Heal()
	a.p.Advance(8 * time.Second)
	if page := a.b.Get(a.path("/orders")); page.Body != "/orders/list of alice" {
		t.Errorf("afterwards: %s", page)
	}
}
