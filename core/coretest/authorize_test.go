package coretest_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tokenwell/tokenwell/core/coretest"
)

func TestAuthorizationResponseNamesIssuerAndState(t *testing.T) {
	rp := newRelyingParty(t)
	response := rp.authorize("alice")
	if response.Get("code") == "" {
		t.Error("no code")
	}
	response.Del("code")
	want := url.Values{"state": {"the state"}, "iss": {rp.p.Issuer()}}
	if diff := cmp.Diff(want, response); diff != "" {
		t.Error(diff)
	}
}

func TestAuthorizationRequestsRefused(t *testing.T) {
	rp := newRelyingParty(t)
	for _, test := range []struct {
		name   string
		change func(url.Values)
		want   string
	}{
		{"no PKCE", func(v url.Values) { v.Del("code_challenge"); v.Del("code_challenge_method") }, "invalid_request"},
		{"plain PKCE", func(v url.Values) { v.Set("code_challenge_method", "plain") }, "invalid_request"},
		{"short challenge", func(v url.Values) { v.Set("code_challenge", "abc") }, "invalid_request"},
		{"implicit", func(v url.Values) { v.Set("response_type", "id_token") }, "unsupported_response_type"},
		{"twice", func(v url.Values) { v.Add("nonce", "again") }, "invalid_request"},
		{"relative resource", func(v url.Values) { v.Set("resource", "orders") }, "invalid_target"},
		{"resource with fragment", func(v url.Values) { v.Set("resource", "urn:a#b") }, "invalid_target"},
		{"max_age", func(v url.Values) { v.Set("max_age", "soon") }, "invalid_request"},
		{"prompt none", func(v url.Values) { v.Set("prompt", "none") }, "login_required"},
		{"prompt none login", func(v url.Values) { v.Set("prompt", "none login") }, "invalid_request"},
	} {
		t.Run(test.name, func(t *testing.T) {
			response := rp.b.Get(rp.authorizeURL(test.change)).URL.Query()
			if got := response.Get("error"); got != test.want {
				t.Errorf("error = %q, want %q", got, test.want)
			}
			if response.Get("state") != "the state" || response.Get("iss") != rp.p.Issuer() {
				t.Errorf("without state or iss: %v", response)
			}
		})
	}
}

func TestUnknownClientAndRedirectURLAreNotRedirected(t *testing.T) {
	rp := newRelyingParty(t)
	for _, change := range []func(url.Values){
		func(v url.Values) { v.Set("client_id", "nobody") },
		func(v url.Values) { v.Set("redirect_uri", "https://app.test/elsewhere") },
		func(v url.Values) { v.Del("redirect_uri") },
	} {
		page := rp.b.Open(rp.authorizeURL(change))
		if page.Status != http.StatusBadRequest || page.Location() != nil {
			t.Errorf("%s", page)
		}
	}
}

func TestRegisteredRedirectURLsAreExact(t *testing.T) {
	rp := newRelyingParty(t, coretest.Options{RedirectURLs: []string{"https://app.test/callback?tenant=1"}})
	if page := rp.b.Open(rp.authorizeURL()); page.Status != http.StatusBadRequest {
		t.Errorf("a URL without its query: %s", page)
	}
	response := rp.authorize("alice", func(v url.Values) { v.Set("redirect_uri", "https://app.test/callback?tenant=1") })
	if response.Get("tenant") != "1" || response.Get("code") == "" {
		t.Errorf("response = %v", response)
	}
}

func TestLoginFormTakesHintAndCancel(t *testing.T) {
	rp := newRelyingParty(t)
	form := rp.b.Get(rp.authorizeURL(func(v url.Values) { v.Set("login_hint", `bob"<b>`) }))
	if !strings.Contains(form.Body, `value="bob&#34;&lt;b&gt;"`) {
		t.Errorf("no hint in %s", form.Body)
	}
	back := form.Submit(url.Values{"user": {"bob"}, "cancel": {"yes"}})
	if got := back.URL.Query().Get("error"); got != "access_denied" {
		t.Errorf("error = %q", got)
	}
}

func TestProviderSessionSignsInWithoutForm(t *testing.T) {
	rp := newRelyingParty(t)
	first := claims(t, rp.login("alice")["id_token"])
	rp.p.Advance(time.Minute)

	silent := func(v url.Values) { v.Set("prompt", "none") }
	second := claims(t, rp.login("nobody asks", silent)["id_token"])
	for _, claim := range []string{"sub", "sid", "auth_time"} {
		if first[claim] != second[claim] {
			t.Errorf("%s: %v, then %v", claim, first[claim], second[claim])
		}
	}

	for name, change := range map[string]func(url.Values){
		"prompt":  func(v url.Values) { v.Set("prompt", "login") },
		"max_age": func(v url.Values) { v.Set("max_age", "59") },
		"acr":     func(v url.Values) { v.Set("acr_values", "mfa") },
	} {
		if page := rp.b.Open(rp.authorizeURL(change)); !strings.Contains(page.Body, "<form") {
			t.Errorf("%s: not asked again: %s", name, page)
		}
	}
	if got := rp.authorize("", func(v url.Values) { v.Set("max_age", "60") }).Get("code"); got == "" {
		t.Error("asked again within max_age")
	}
}

func TestStepUpReachesAcr(t *testing.T) {
	rp := newRelyingParty(t)
	rp.login("alice")
	stepUp := func(v url.Values) { v.Set("acr_values", "mfa pwd") }
	if got := claims(t, rp.login("alice", stepUp)["id_token"])["acr"]; got != "mfa" {
		t.Errorf("acr = %v", got)
	}
}

func TestTwoProvidersKeepTheirSessionsApart(t *testing.T) {
	rp := newRelyingParty(t)
	other := rp
	other.p = coretest.NewProvider(t, coretest.Options{ClientSecret: secret})
	rp.login("alice")
	other.login("bob")
	if got := claims(t, rp.login("nobody asks")["id_token"])["sub"]; got != "alice" {
		t.Errorf("sub = %v", got)
	}
}

func TestEndSession(t *testing.T) {
	rp := newRelyingParty(t)
	hint, _ := rp.login("alice")["id_token"].(string)
	rp.p.Advance(24 * time.Hour) // an expired ID token is still a hint
	rp.p.RotateKeys()

	end := rp.p.URL(coretest.EndSessionEndpoint) + "?"
	if page := rp.b.Open(end + url.Values{"id_token_hint": {hint[:len(hint)-8]}}.Encode()); page.Status != http.StatusBadRequest {
		t.Errorf("altered hint: %s", page)
	}
	page := rp.b.Open(end + url.Values{
		"id_token_hint":            {hint},
		"post_logout_redirect_uri": {"https://app.test/bye?a=b"},
		"state":                    {"s"},
	}.Encode())
	if got := page.Header.Get("Location"); got != "https://app.test/bye?a=b&state=s" {
		t.Errorf("Location = %q", got)
	}
	silent := rp.b.Get(rp.authorizeURL(func(v url.Values) { v.Set("prompt", "none") }))
	if got := silent.URL.Query().Get("error"); got != "login_required" {
		t.Errorf("error = %q, want login_required", got)
	}
}

func TestEndSessionWithoutHintGoesNowhere(t *testing.T) {
	rp := newRelyingParty(t)
	rp.login("alice")
	page := rp.b.Open(rp.p.URL(coretest.EndSessionEndpoint) + "?post_logout_redirect_uri=https://app.test/")
	if page.Status != http.StatusOK || page.Location() != nil {
		t.Errorf("%s", page)
	}
}
