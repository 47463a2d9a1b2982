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

var callbackTests = []func(*testing.T, Framework){
	stateWorksInItsBrowserAlone,
	stateWorksOnce,
	callbackNeedsItsState,
	loginMustNotTakeTooLong,
	callbackTakesNoTokens,
	callbackTakesNothingTwice,
	issuerIsCompared,
	errorsAreNotReflected,
	declinedLoginIsRefused,
	codeOfAnotherLoginIsRefused,
	idTokenOfAnotherLoginIsRefused,
	tokenOfUnknownTypeIsRefused,
	oldCallbackLeadsBackToApplication,
	oldCallbackAfterLogoutOffersLogin,
	hookRefusesLogin,
}

// mustNotSignIn brings an answer that must be refused to the callback of a browser
// that is signed in as alice and of one that is not, and looks that no code was
// sent for it and nothing has changed.
func (a *app) mustNotSignIn(what string, answer url.Values) {
	a.Helper()
	exchanges, sessions := a.p.Grants("authorization_code"), a.store.sessions()
	page := a.finish(a.b, answer)
	a.wantRefused(page)
	a.wantUser(a.b, "alice")
	stranger := a.browser()
	a.wantRefused(a.finish(stranger, answer))
	a.wantUser(stranger, "")
	if got := a.p.Grants("authorization_code"); got != exchanges {
		a.Errorf("%s: a code was sent to the provider", what)
	}
	if got := a.store.sessions(); got != sessions {
		a.Errorf("%s: %d logins, there were %d", what, got, sessions)
	}
	if a.Failed() {
		a.Fatalf("%s: see above", what)
	}
}

func stateWorksInItsBrowserAlone(t *testing.T, f Framework) {
	a := newApp(t, f)
	a.login(a.b, "alice")
	mallory := a.browser()
	answer := a.sign(a.start(mallory), "mallory")
	// Somebody is made to open the end of mallory's login.
	a.mustNotSignIn("another browser", answer)
	if page := a.finish(mallory, answer); page.Status != http.StatusSeeOther {
		t.Errorf("in its own browser: %s", page)
	}
	a.wantUser(mallory, "mallory")
	a.wantUser(a.b, "alice")
}

func stateWorksOnce(t *testing.T, f Framework) {
	a := newApp(t, f)
	answer := a.sign(a.start(a.b), "alice")
	if page := a.finish(a.b, answer); page.Status != http.StatusSeeOther {
		t.Fatal(page)
	}
	exchanges := a.p.Grants("authorization_code")
	a.finish(a.b, answer)
	stranger := a.browser()
	a.wantRefused(a.finish(stranger, answer))
	if got := a.p.Grants("authorization_code"); got != exchanges {
		t.Errorf("the code was sent %d times more", got-exchanges)
	}
	a.wantUser(a.b, "alice")
	a.wantUser(stranger, "")
}

func callbackNeedsItsState(t *testing.T, f Framework) {
	a := newApp(t, f)
	a.login(a.b, "alice")
	answer := a.sign(a.start(a.b), "bob")
	state := answer.Get("state")
	for what, other := range map[string]string{
		"missing": "", "cut": state[:len(state)-1], "longer": state + "A", "another": strings.Repeat("A", len(state)),
		"upper case": strings.ToUpper(state), "spaced": " " + state, "odd": "../" + state, "with NUL": state + "\x00",
	} {
		altered := clone(answer)
		altered.Set("state", other)
		a.mustNotSignIn(what, altered)
	}
	without := clone(answer)
	without.Del("state")
	a.mustNotSignIn("absent", without)
	a.mustNotSignIn("nothing at all", url.Values{})
	if page := a.finish(a.b, answer); page.Status != http.StatusSeeOther {
		t.Errorf("the right one after all of these: %s", page)
	}
}

func clone(values url.Values) url.Values {
	c := url.Values{}
	for name := range values {
		c[name] = append([]string(nil), values[name]...)
	}
	return c
}

func loginMustNotTakeTooLong(t *testing.T, f Framework) {
	a := newApp(t, f)
	a.login(a.b, "alice")
	at := a.start(a.b)
	a.p.Advance(11 * time.Minute)
	a.mustNotSignIn("eleven minutes", a.sign(at, "bob"))
}

func callbackTakesNoTokens(t *testing.T, f Framework) {
	a := newApp(t, f)
	a.login(a.b, "alice")
	answer := a.sign(a.start(a.b), "bob")
	for _, name := range []string{"access_token", "id_token"} {
		altered := clone(answer)
		altered.Set(name, "eyJhbGciOiJub25lIn0.e30.")
		a.mustNotSignIn(name, altered)
		altered.Del("code")
		a.mustNotSignIn(name+" alone", altered)
	}
}

func callbackTakesNothingTwice(t *testing.T, f Framework) {
	a := newApp(t, f)
	a.login(a.b, "alice")
	answer := a.sign(a.start(a.b), "bob")
	for _, name := range []string{"code", "state", "iss"} {
		altered := clone(answer)
		altered.Add(name, "another")
		a.mustNotSignIn(name+", another one behind it", altered)
		altered[name] = []string{"another", answer.Get(name)}
		a.mustNotSignIn(name+", another one before it", altered)
		altered[name] = []string{answer.Get(name), answer.Get(name)}
		a.mustNotSignIn(name+" twice", altered)
	}
}

func issuerIsCompared(t *testing.T, f Framework) {
	a := newApp(t, f)
	a.login(a.b, "alice")
	for what, change := range map[string]func(url.Values){
		"missing":        func(q url.Values) { q.Del("iss") },
		"empty":          func(q url.Values) { q.Set("iss", "") },
		"another":        func(q url.Values) { q.Set("iss", "https://other.test") },
		"trailing slash": func(q url.Values) { q.Set("iss", q.Get("iss")+"/") },
		"other case":     func(q url.Values) { q.Set("iss", strings.ToUpper(q.Get("iss"))) },
	} {
		answer := a.sign(a.start(a.b), "bob")
		change(answer)
		a.mustNotSignIn(what, answer)

		// Of an error, too: its code is not believed.
		answer = a.submit(a.start(a.b), url.Values{"cancel": {"yes"}})
		change(answer)
		page := a.finish(a.b, answer)
		a.wantRefused(page)
		if strings.Contains(page.Body, "declined") {
			t.Errorf("%s: an error of another issuer is believed: %s", what, page)
		}
	}
}

func errorsAreNotReflected(t *testing.T, f Framework) {
	a := newApp(t, f)
	a.login(a.b, "alice")
	const script = `<script>alert("evil")</script>`
	for _, code := range []string{"access_denied", "login_required", "server_error", script} {
		for what, state := range map[string]string{"with its state": a.start(a.b).Query().Get("state"), "without a state": "nonsense"} {
			page := a.finish(a.b, url.Values{
				"error": {code}, "error_description": {script}, "error_uri": {"https://evil.test/" + script},
				"state": {state}, "iss": {a.p.Issuer()},
			})
			a.wantRefused(page)
			if strings.Contains(page.Body, "evil") || strings.Contains(page.Body, "alert") || strings.Contains(page.Body, "<script") {
				t.Errorf("%s, %s: reflected: %s", code, what, page)
			}
			if got := page.Header.Get("Content-Security-Policy"); got != "default-src 'none'" {
				t.Errorf("Content-Security-Policy: %q", got)
			}
			if got := page.Header.Get("X-Content-Type-Options"); got != "nosniff" {
				t.Errorf("X-Content-Type-Options: %q", got)
			}
			if strings.Contains(page.Body, "declined") != (code == "access_denied" && state != "nonsense") {
				t.Errorf("%s, %s: %s", code, what, page)
			}
		}
	}
	a.wantUser(a.b, "alice")
}

func declinedLoginIsRefused(t *testing.T, f Framework) {
	a := newApp(t, f)
	form := a.b.Get(a.loginPath("/home"))
	page := form.Submit(url.Values{"cancel": {"yes"}})
	if page.URL.Path != a.path("/callback") {
		t.Fatal(page)
	}
	a.wantRefused(page)
	if !strings.Contains(page.Body, "declined") {
		t.Errorf("the page does not say so: %s", page)
	}
	a.wantUser(a.b, "")
	a.login(a.b, "alice")
}

func codeOfAnotherLoginIsRefused(t *testing.T, f Framework) {
	a := newApp(t, f)
	mallory := a.browser()
	stolen := a.sign(a.start(a.b), "alice")
	answer := a.sign(a.start(mallory), "mallory")
	answer.Set("code", stolen.Get("code"))
	page := a.finish(mallory, answer)
	if page.Status/100 == 2 || page.Status/100 == 3 {
		t.Errorf("the code of another login was taken: %s", page)
	}
	a.wantRefused(page)
	a.wantUser(mallory, "")
	if got := a.p.Granted("authorization_code"); got != 0 {
		t.Errorf("the provider granted it %d times", got)
	}
	if got := a.store.sessions(); got != 0 {
		t.Errorf("%d logins", got)
	}
}

func idTokenOfAnotherLoginIsRefused(t *testing.T, f Framework) {
	a := newApp(t, f)
	other := a.start(a.b).Query().Get("nonce")
	for what, change := range map[string]func(map[string]any){
		"nonce of another login": func(c map[string]any) { c["nonce"] = other },
		"no nonce":               func(c map[string]any) { delete(c, "nonce") },
		"another audience":       func(c map[string]any) { c["aud"] = "another" },
	} {
		a.p.Fail(coretest.Fault{Claims: change})
		page := a.finish(a.b, a.sign(a.start(a.b), "alice"))
		a.wantRefused(page)
		a.wantUser(a.b, "")
		if got := a.store.sessions(); got != 0 {
			t.Errorf("%s: %d logins", what, got)
		}
		if got := a.p.RefreshTokens("alice"); len(got) != 0 {
			t.Errorf("%s: %d refresh tokens are in force", what, len(got))
		}
	}
}

func tokenOfUnknownTypeIsRefused(t *testing.T, f Framework) {
	a := newApp(t, f)
	a.p.Fail(coretest.Fault{Answer: func(answer map[string]any) { answer["token_type"] = "mac" }})
	page := a.finish(a.b, a.sign(a.start(a.b), "alice"))
	a.wantJSON(page, http.StatusBadGateway, "provider_error")
	a.wantNotKept(page)
	a.wantUser(a.b, "")
	if got := a.store.sessions(); got != 0 {
		t.Errorf("%d logins", got)
	}
}

func oldCallbackLeadsBackToApplication(t *testing.T, f Framework) {
	a := newApp(t, f)
	answer := a.sign(a.start(a.b), "alice")
	a.finish(a.b, answer)
	for range 3 {
		page := a.b.Get(a.path("/callback?") + answer.Encode())
		if page.Status != http.StatusOK || page.URL.Path != "/" || len(page.Via) != 1 {
			t.Errorf("back on the old callback: %s", page)
		}
		a.wantNotKept(page.Via[0])
	}
	a.wantUser(a.b, "alice")
}

func oldCallbackAfterLogoutOffersLogin(t *testing.T, f Framework) {
	a := newApp(t, f)
	answer := a.sign(a.start(a.b), "alice")
	a.finish(a.b, answer)
	a.logout(a.b)
	page := a.b.Get(a.path("/callback?") + answer.Encode())
	a.wantRefused(page)
	if len(page.Via) != 0 {
		t.Errorf("redirected: %s", page)
	}
	a.wantUser(a.b, "")
	a.login(a.b, "alice")
}

func hookRefusesLogin(t *testing.T, f Framework) {
	a := newApp(t, f, options{config: func(_ *app, cfg *core.Config) {
		cfg.OnLogin = func(_ context.Context, u *core.User) error {
			if u.Subject == "bob" {
				return errors.New("bob is barred, says " + plainSecret)
			}
			return nil
		}
	}})
	a.login(a.b, "alice")
	page := a.finish(a.b, a.sign(a.start(a.b), "bob"))
	a.wantRefused(page)
	if strings.Contains(page.Body, plainSecret) {
		t.Errorf("the reason is shown: %s", page)
	}
	a.wantUser(a.b, "alice")
	if got := a.p.RefreshTokens("bob"); len(got) != 0 {
		t.Errorf("bob has %d refresh tokens", len(got))
	}
	if got := a.store.sessions(); got != 1 {
		t.Errorf("%d logins, want alice's", got)
	}
}
