package conformance

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/tokenwell/tokenwell/core"
	"github.com/tokenwell/tokenwell/core/coretest"
)

var logoutTests = []func(*testing.T, Framework){
	logoutEndsEverything,
	logoutTwiceIsFine,
	logoutOfAFetchTellsWhereToGo,
	logoutIsNotForOtherSites,
	logoutIsByPostAlone,
	logoutWithoutEndSessionStaysLocal,
	logoutOutlivesFailingRevocation,
	logoutEndsOneBrowserAlone,
}

func logoutEndsEverything(t *testing.T, f Framework) {
	a := newApp(t, f)
	a.login(a.b, "alice")
	a.b.Get(a.path("/keep?value=alices"))
	before := a.b.Cookies()
	token := a.p.RefreshTokens("alice")
	left := -1
	a.p.Fail(coretest.Fault{Endpoint: coretest.RevocationEndpoint, Before: func() { left = a.store.sessions() }})
	page := a.logout(a.b)
	if page.URL.String() != coretest.AppURL+"/" || len(page.Via) != 2 {
		t.Fatalf("ended at %s", page)
	}
	own := page.Via[0]
	if own.Status != http.StatusSeeOther {
		t.Errorf("answered by %s", own)
	}
	a.wantNotKept(own)
	to := own.Location()
	if got := to.Scheme + "://" + to.Host + to.Path; got != a.p.URL(coretest.EndSessionEndpoint) {
		t.Errorf("redirected to %s", got)
	}
	query := to.Query()
	if query.Get("id_token_hint") == "" || query.Get("client_id") != "app" || query.Get("post_logout_redirect_uri") != coretest.AppURL+"/" {
		t.Errorf("end_session with %v", query)
	}
	if left != 0 {
		t.Errorf("%d logins were left when the refresh token was revoked", left)
	}
	revoked := a.p.Requests(coretest.RevocationEndpoint)
	if len(revoked) != 1 || len(token) != 1 || revoked[0].Form.Get("token") != token[0] || revoked[0].Form.Get("token_type_hint") != "refresh_token" {
		t.Errorf("%d revocations", len(revoked))
	}
	if got := a.p.RefreshTokens("alice"); len(got) != 0 {
		t.Errorf("%d refresh tokens are in force", len(got))
	}
	a.wantUser(a.b, "")
	if got := a.b.Get(a.path("/kept")).Body; got != "" {
		t.Errorf("whoever comes next finds %q", got)
	}
	thief := a.browser()
	thief.SetCookies(before...)
	a.wantUser(thief, "")
	if page := a.b.Get(a.loginPath("/home")); !strings.Contains(page.Body, "<form") {
		t.Errorf("the provider was not signed out of: %s", page)
	}
}

func logoutTwiceIsFine(t *testing.T, f Framework) {
	a := newApp(t, f)
	a.login(a.b, "alice")
	for range 2 {
		a.logout(a.b)
		a.wantUser(a.b, "")
	}
	page := a.b.Fetch(http.MethodPost, a.path("/logout"), nil)
	if page.Status != http.StatusOK {
		t.Errorf("once more: %s", page)
	}
	if got := len(a.p.Requests(coretest.RevocationEndpoint)); got != 1 {
		t.Errorf("%d revocations", got)
	}
	stranger := a.browser()
	if page := stranger.Fetch(http.MethodPost, a.path("/logout"), nil); page.Status != http.StatusOK {
		t.Errorf("by a stranger: %s", page)
	}
	a.login(a.b, "alice")
}

func logoutOfAFetchTellsWhereToGo(t *testing.T, f Framework) {
	a := newApp(t, f)
	a.login(a.b, "alice")
	page := a.b.Fetch(http.MethodPost, a.path("/logout"), nil)
	var said map[string]string
	if err := json.Unmarshal([]byte(page.Body), &said); err != nil || page.Status != http.StatusOK {
		t.Fatalf("%s: %v", page, err)
	}
	if len(said) != 1 || !strings.HasPrefix(said["redirect"], a.p.URL(coretest.EndSessionEndpoint)+"?") {
		t.Errorf("answered %v", said)
	}
	a.wantNotKept(page)
	if page := a.b.Get(said["redirect"]); page.URL.String() != coretest.AppURL+"/" {
		t.Errorf("which leads to %s", page)
	}
	a.wantUser(a.b, "")
}

func logoutIsNotForOtherSites(t *testing.T, f Framework) {
	a := newApp(t, f)
	a.login(a.b, "alice")
	for what, header := range map[string]map[string]string{
		"cross-site form":         {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Origin": "https://evil.test"},
		"form of a sibling":       {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "navigate", "Origin": "https://evil.app.test"},
		"cross-site fetch":        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
		"older browser's form":    {"Origin": "https://evil.test", "Accept": "text/html"},
		"form of no origin":       {"Origin": "null", "Accept": "text/html"},
		"form of plain http":      {"Sec-Fetch-Site": "cross-site", "Origin": "http://evil.test"},
		"form of a name alike":    {"Origin": "https://app.test.evil.test"},
		"form in text/plain":      {"Sec-Fetch-Site": "same-site", "Content-Type": "text/plain", "Origin": "https://evil.app.test"},
		"method override, header": {"Sec-Fetch-Site": "cross-site", "X-HTTP-Method-Override": "POST"},
	} {
		r := httptest.NewRequest(http.MethodPost, a.path("/logout"), strings.NewReader("a=b"))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		for name, value := range header {
			r.Header.Set(name, value)
		}
		status, resp, err := a.try(a.b, r)
		if err != nil {
			t.Fatal(err)
		}
		if status != http.StatusForbidden || len(resp.header["Set-Cookie"]) != 0 {
			t.Errorf("%s: %d, %d cookies", what, status, len(resp.header["Set-Cookie"]))
		}
		a.wantUser(a.b, "alice")
	}
	if got := len(a.p.Requests(coretest.RevocationEndpoint)); got != 0 {
		t.Errorf("%d revocations", got)
	}
}

func logoutIsByPostAlone(t *testing.T, f Framework) {
	a := newApp(t, f)
	a.login(a.b, "alice")
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPut, http.MethodDelete} {
		r := httptest.NewRequest(method, a.path("/logout"), nil)
		r.Header.Set("Sec-Fetch-Mode", "no-cors")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
		r.Header.Set("Sec-Fetch-Dest", "image")
		status, _, err := a.try(a.b, r)
		if err != nil {
			t.Fatal(err)
		}
		if status != http.StatusMethodNotAllowed && status != http.StatusNotFound { // Gin says so by default
			t.Errorf("%s: %d", method, status)
		}
	}
	a.wantUser(a.b, "alice")
}

func logoutWithoutEndSessionStaysLocal(t *testing.T, f Framework) {
	a := newApp(t, f, options{provider: coretest.Options{Metadata: func(md map[string]any) { delete(md, "end_session_endpoint") }}})
	leave := func(form url.Values) string {
		a.Helper()
		a.login(a.b, "alice")
		page := a.b.Post(a.path("/logout"), form)
		if len(page.Via) == 0 || page.Via[0].Status != http.StatusSeeOther {
			t.Fatal(page)
		}
		a.wantUser(a.b, "")
		return page.Via[0].Header.Get("Location")
	}
	if got := leave(url.Values{}); got != "/" {
		t.Errorf("leads to %q", got)
	}
	if got, want := leave(url.Values{"return_to": {a.path("/home?bye=1")}}), a.path("/home?bye=1"); got != want {
		t.Errorf("leads to %q, want %q", got, want)
	}
	// Where it leads does not depend on who signs out.
	for _, target := range append([]string{a.path("/logout"), a.path("/login"), a.path("/callback")}, offSite...) {
		page := a.b.Fetch(http.MethodPost, a.path("/logout"), url.Values{"return_to": {target}})
		if strings.TrimSpace(page.Body) != `{"redirect":"/"}` {
			t.Errorf("return_to=%q: %s", target, page)
		}
	}
}

func logoutOutlivesFailingRevocation(t *testing.T, f Framework) {
	a := newApp(t, f)
	for what, fault := range map[string]coretest.Fault{
		"500":          {Status: http.StatusInternalServerError},
		"refusal":      {Status: http.StatusBadRequest, Body: `{"error":"unsupported_token_type"}`},
		"redirect":     {Status: http.StatusTemporaryRedirect, Header: http.Header{"Location": {"https://evil.test/"}}},
		"broken":       {Drop: true},
		"not answered": {DropAfter: true},
	} {
		a.login(a.b, "alice")
		fault.Endpoint = coretest.RevocationEndpoint
		a.p.Fail(fault)
		if page := a.logout(a.b); page.URL.String() != coretest.AppURL+"/" {
			t.Errorf("%s: ended at %s", what, page)
		}
		a.wantUser(a.b, "")
		if got := a.store.sessions(); got != 0 {
			t.Errorf("%s: %d logins are left", what, got)
		}
		a.p.Heal()
	}
}

func logoutEndsOneBrowserAlone(t *testing.T, f Framework) {
	var ticket core.Ticket
	a := newApp(t, f, options{routes: []Route{{Path: "/job", Handle: func(c Context, _ http.ResponseWriter, _ *http.Request) (err error) {
		ticket, err = core.From(c).Ticket(c)
		return err
	}}}})
	other := a.browser()
	a.login(other, "alice")
	a.login(a.b, "alice")
	a.b.Get(a.path("/job"))
	a.logout(a.b)
	if _, err := a.m.GetUserAccessToken(a.m.WithTicket(t.Context(), ticket)); !errors.Is(err, core.ErrLoginRequired) {
		t.Errorf("a job of the session that ended: %v", err)
	}
	if page := other.Get(a.path("/orders")); page.Body != "/orders/list of alice" {
		t.Errorf("her other browser: %s", page)
	}
}
