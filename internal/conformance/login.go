package conformance

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/tokenwell/tokenwell/core/coretest"
)

var loginTests = []func(*testing.T, Framework){
	loginComesBackToWhereItStarted,
	loginAsksForCodeWithPKCE,
	loginIsByGetAlone,
	redirectURLIsNotTheRequests,
	returnToStaysOnSite,
	returnToIsNoneOfOurEndpoints,
	manyLoginsLeaveCookieSmall,
	tenTabsAllArriveFirstOneLast,
	tabsThatFinishAtOnceAllGetAnAnswer,
}

func loginComesBackToWhereItStarted(t *testing.T, f Framework) {
	a := newApp(t, f)
	page := a.b.LoginAt(a.loginPath("/home?q=a%20b&x=1"), "alice")
	if page.Body != "alice" || page.URL.RequestURI() != a.path("/home?q=a%20b&x=1") {
		t.Errorf("ended at %s", page)
	}
	if len(page.Via) == 0 {
		t.Fatalf("not by way of the callback: %s", page)
	}
	callback := page.Via[len(page.Via)-1]
	if callback.Status != http.StatusSeeOther || callback.URL.Path != a.path("/callback") {
		t.Errorf("the callback answered %s", callback)
	}
	a.wantNotKept(callback)
	started := a.b.Open(a.path("/login"))
	if started.Status != http.StatusFound {
		t.Errorf("the login answered %s", started)
	}
	a.wantNotKept(started)
	if page := a.b.LoginAt(a.path("/login"), "alice"); page.URL.Path != "/" {
		t.Errorf("a login from nowhere ended at %s", page)
	}
}

func loginAsksForCodeWithPKCE(t *testing.T, f Framework) {
	a := newApp(t, f)
	first, second := a.start(a.b).Query(), a.start(a.b)
	for _, name := range []string{"state", "nonce", "code_challenge"} {
		if got := first.Get(name); len(got) < 43 || got == second.Query().Get(name) {
			t.Errorf("%s: %q, and then %q", name, got, second.Query().Get(name))
		}
	}
	for name, want := range map[string]string{
		"response_type": "code", "client_id": "app", "code_challenge_method": "S256",
		"redirect_uri": coretest.AppURL + a.path("/callback"), "scope": "openid profile email offline_access",
	} {
		if got := second.Query()[name]; len(got) != 1 || got[0] != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
	a.finish(a.b, a.sign(second, "alice"))
	exchange := a.p.Requests(coretest.TokenEndpoint)[0].Form
	verifier := exchange.Get("code_verifier")
	digest := sha256.Sum256([]byte(verifier))
	if base64.RawURLEncoding.EncodeToString(digest[:]) != second.Query().Get("code_challenge") {
		t.Error("the verifier is not that of the challenge")
	}
	if verifier == "" || strings.Contains(second.String(), verifier) {
		t.Error("the verifier can be read in the URL")
	}
}

func loginIsByGetAlone(t *testing.T, f Framework) {
	a := newApp(t, f)
	for _, path := range []string{"/login", "/callback"} {
		if page := a.b.Post(a.path(path), url.Values{"state": {"x"}}); page.Status/100 != 4 || len(page.Cookies()) != 0 {
			t.Errorf("POST %s: %s", path, page)
		}
	}
	if got := a.store.pending(); got != 0 {
		t.Errorf("%d logins are under way", got)
	}
}

func redirectURLIsNotTheRequests(t *testing.T, f Framework) {
	a := newApp(t, f)
	r := httptest.NewRequest(http.MethodGet, a.path("/login"), nil)
	r.Host = "evil.test"
	for _, name := range []string{"X-Forwarded-Host", "X-Forwarded-Server", "X-Host", "X-Original-Host"} {
		r.Header.Set(name, "evil.test")
	}
	r.Header.Set("Forwarded", "host=evil.test;proto=https")
	r.Header.Set("X-Forwarded-Proto", "http")
	resp, err := a.b.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	to, err := resp.Location()
	if err != nil {
		t.Fatal(err)
	}
	if got, want := to.Query().Get("redirect_uri"), coretest.AppURL+a.path("/callback"); got != want {
		t.Errorf("redirect_uri = %q, want %q", got, want)
	}
	if strings.Contains(to.String(), "evil") {
		t.Errorf("the URL names what the request named: %s", to)
	}
}

// offSite are ways off the site that open redirectors have been made of.
// core.LocalPath has a longer list.
var offSite = []string{
	"https://evil.test", "//evil.test", "///evil.test", `/\evil.test`, `\/evil.test`, "/%5cevil.test", "/%252fevil.test",
	"/%09/evil.test", "/\t/evil.test", "/x\r\nSet-Cookie: a=b", "/%0d%0aSet-Cookie:%20a=b", "/x/..//evil.test", "/%2e%2e//evil.test",
	"@evil.test", "javascript:alert(1)", "",
}

func returnToStaysOnSite(t *testing.T, f Framework) {
	a := newApp(t, f)
	for _, target := range offSite {
		page := a.b.Open(a.path("/login?return_to=") + url.QueryEscape(target))
		to := page.Location()
		if page.Status != http.StatusFound || to == nil {
			t.Errorf("return_to=%q: %s", target, page)
			continue
		}
		page = a.finish(a.b, a.sign(to, "alice"))
		location := page.Header.Values("Location")
		if page.Status != http.StatusSeeOther || len(location) != 1 || location[0] != "/" {
			t.Errorf("return_to=%q leads to %q (%d)", target, location, page.Status)
		}
	}
}

func returnToIsNoneOfOurEndpoints(t *testing.T, f Framework) {
	a := newApp(t, f)
	for _, target := range []string{"/login", "/login?return_to=%2Flogin", "/callback?code=x", "/logout"} {
		page := a.b.LoginAt(a.loginPath(target), "alice")
		if page.URL.RequestURI() != "/" {
			t.Errorf("return_to=%s leads to %s", target, page)
		}
	}
}

func manyLoginsLeaveCookieSmall(t *testing.T, f Framework) {
	a := newApp(t, f)
	a.start(a.b)
	size := cookieSize(a.b)
	if size == 0 {
		t.Fatal("no cookie binds a login to its browser")
	}
	var last *url.URL
	for range 100 {
		page := a.b.Open(a.loginPath("/home"))
		if last = page.Location(); last == nil {
			t.Fatal(page)
		}
		if cookies := page.Cookies(); len(cookies) != 0 {
			t.Fatalf("another login sets %v", cookies)
		}
	}
	if got := cookieSize(a.b); got != size {
		t.Errorf("the cookie has grown from %d to %d bytes", size, got)
	}
	if page := a.finish(a.b, a.sign(last, "alice")); page.Status != http.StatusSeeOther {
		t.Errorf("the last one of them: %s", page)
	}
	a.wantUser(a.b, "alice")
}

func cookieSize(b *coretest.Browser) int {
	n := 0
	for _, c := range b.Cookies() {
		n += len(c.Name) + len(c.Value)
	}
	return n
}

func tenTabsAllArriveFirstOneLast(t *testing.T, f Framework) {
	a := newApp(t, f)
	const tabs = 10
	answers := make([]url.Values, tabs)
	for i := range answers {
		page := a.b.Open(a.loginPath("/home?tab=" + strconv.Itoa(i)))
		answers[i] = a.sign(page.Location(), "alice")
	}
	size := 0
	for n := range tabs {
		tab := (n + 1) % tabs // the first one comes last
		page := a.finish(a.b, answers[tab])
		if page.Status != http.StatusSeeOther || page.Header.Get("Location") != a.path("/home?tab="+strconv.Itoa(tab)) {
			t.Errorf("tab %d, number %d to finish: %s", tab, n+1, page)
		}
		a.wantUser(a.b, "alice")
		if n == 1 {
			size = cookieSize(a.b)
		}
	}
	if got := cookieSize(a.b); got > size+8 { // encodings of a time differ by a few bytes
		t.Errorf("the cookie has grown from %d to %d bytes", size, got)
	}
	if got := a.store.sessions(); got != 1 {
		t.Errorf("%d logins are kept of one browser", got)
	}
	if got := a.store.pending(); got != 0 {
		t.Errorf("%d logins are still under way", got)
	}
	for tab, answer := range answers {
		page := a.finish(a.b, answer)
		if page.Status != http.StatusBadRequest && page.Header.Get("Location") != "/" {
			t.Errorf("tab %d, once more: %s", tab, page)
		}
	}
	a.wantUser(a.b, "alice")
}

func tabsThatFinishAtOnceAllGetAnAnswer(t *testing.T, f Framework) {
	a := newApp(t, f)
	answers := make([]url.Values, 6)
	for i := range answers {
		answers[i] = a.sign(a.start(a.b), "alice")
	}
	statuses := make([]int, len(answers))
	var wg sync.WaitGroup
	for i, answer := range answers {
		wg.Go(func() {
			status, _, err := a.try(a.b, httptest.NewRequest(http.MethodGet, a.path("/callback?")+answer.Encode(), nil))
			if err != nil {
				t.Error(err)
			}
			statuses[i] = status
		})
	}
	wg.Wait()
	arrived := 0
	for _, status := range statuses {
		switch status {
		case http.StatusSeeOther:
			arrived++
		case http.StatusBadRequest:
		default:
			t.Errorf("a tab got %d", status)
		}
	}
	if arrived == 0 {
		t.Error("none has arrived")
	}
	a.wantUser(a.b, "alice")
}
