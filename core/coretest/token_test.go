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

func expectError(t *testing.T, status int, answer map[string]any, want string) {
	t.Helper()
	if status/100 != 4 || answer["error"] != want {
		t.Errorf("%d %v, want %s", status, answer, want)
	}
}

func TestCodeExchange(t *testing.T) {
	rp := newRelyingParty(t)
	answer := rp.login("alice")
	if answer["token_type"] != "Bearer" || answer["expires_in"] != 3600.0 || answer["scope"] != "openid offline_access orders" {
		t.Errorf("answer = %v", answer)
	}
	got := claims(t, answer["id_token"])
	if hash, _ := got["at_hash"].(string); len(hash) != 22 {
		t.Errorf("at_hash = %q", hash)
	}
	if sid, _ := got["sid"].(string); sid == "" {
		t.Error("no sid")
	}
	delete(got, "at_hash")
	delete(got, "sid")
	now := float64(rp.p.Now().Unix())
	want := map[string]any{
		"iss": rp.p.Issuer(), "aud": "app", "sub": "alice", "nonce": "the nonce",
		"iat": now, "exp": now + 3600, "auth_time": now,
		"name": "alice", "preferred_username": "alice", "email": "alice@example.com",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestCodesRefused(t *testing.T) {
	for name, change := range map[string]func(*coretest.Provider, url.Values){
		"no verifier":    func(_ *coretest.Provider, v url.Values) { v.Del("code_verifier") },
		"wrong verifier": func(_ *coretest.Provider, v url.Values) { v.Set("code_verifier", strings.Repeat("x", 43)) },
		"redirect_uri":   func(_ *coretest.Provider, v url.Values) { v.Set("redirect_uri", "https://b.test/callback") },
		"unknown":        func(_ *coretest.Provider, v url.Values) { v.Set("code", "code_unknown") },
		"expired":        func(p *coretest.Provider, _ url.Values) { p.Advance(time.Minute) },
		"grants revoked": func(p *coretest.Provider, _ url.Values) { p.RevokeGrants("alice") },
	} {
		t.Run(name, func(t *testing.T) {
			rp := newRelyingParty(t)
			form := codeForm(rp.authorize("alice").Get("code"))
			change(rp.p, form)
			status, answer := rp.post(coretest.TokenEndpoint, form)
			expectError(t, status, answer, "invalid_grant")
			if rp.p.Grants("authorization_code") != 1 || rp.p.Granted("authorization_code") != 0 {
				t.Error("counted wrongly")
			}
		})
	}
}

func TestCodeUsedTwiceEndsGrant(t *testing.T) {
	rp := newRelyingParty(t)
	form := codeForm(rp.authorize("alice").Get("code"))
	rp.post(coretest.TokenEndpoint, form)
	if len(rp.p.RefreshTokens("alice")) != 1 || len(rp.p.AccessTokens("alice")) != 1 {
		t.Fatal("no tokens after the first use")
	}
	status, answer := rp.post(coretest.TokenEndpoint, form)
	expectError(t, status, answer, "invalid_grant")
	if len(rp.p.RefreshTokens("")) != 0 || len(rp.p.AccessTokens("")) != 0 {
		t.Error("tokens outlived the second use")
	}
}

func TestRefreshRotates(t *testing.T) {
	rp := newRelyingParty(t)
	first := rp.login("alice")
	rp.p.Advance(time.Hour)
	status, second := rp.refresh(first)
	if status != http.StatusOK || second["refresh_token"] == first["refresh_token"] ||
		second["access_token"] == first["access_token"] {
		t.Fatalf("%d %v", status, second)
	}
	old, refreshed := claims(t, first["id_token"]), claims(t, second["id_token"])
	if refreshed["nonce"] != nil || refreshed["auth_time"] != old["auth_time"] || refreshed["sid"] != old["sid"] {
		t.Errorf("refreshed ID token: %v", refreshed)
	}
	if status, third := rp.refresh(second); status != http.StatusOK {
		t.Errorf("second refresh: %d %v", status, third)
	}
	if rp.p.Reused() != 0 || rp.p.Granted("refresh_token") != 2 {
		t.Errorf("reused %d, granted %d", rp.p.Reused(), rp.p.Granted("refresh_token"))
	}
}

func TestReuseEndsGrant(t *testing.T) {
	rp := newRelyingParty(t)
	api := rp.p.Protect(http.NotFoundHandler())
	first := rp.login("alice")
	_, second := rp.refresh(first)
	status, answer := rp.refresh(first)
	expectError(t, status, answer, "invalid_grant")
	if rp.p.Reused() != 1 {
		t.Errorf("reused = %d", rp.p.Reused())
	}
	status, answer = rp.refresh(second)
	expectError(t, status, answer, "invalid_grant")
	if rp.p.Reused() != 1 {
		t.Error("a token that was only revoked counts as reused")
	}
	if status, _ := call(t, api.URL, second["access_token"]); status != http.StatusUnauthorized {
		t.Errorf("API: %d", status)
	}
}

func TestReuseLeavesOtherGrantsAlone(t *testing.T) {
	rp := newRelyingParty(t)
	first, other := rp.login("alice"), rp.login("alice")
	rp.refresh(first)
	rp.refresh(first)
	if status, answer := rp.refresh(other); status != http.StatusOK {
		t.Errorf("%d %v", status, answer)
	}
}

func TestRefreshNarrowsScopesAndChoosesResource(t *testing.T) {
	rp := newRelyingParty(t)
	var seen coretest.AccessToken
	api := rp.p.Protect(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen = coretest.TokenOf(r) }))
	_, answer := rp.refresh(rp.login("alice"), "scope", "orders", "resource", "urn:a", "resource", "urn:b")
	if status, _ := call(t, api.URL, answer["access_token"]); status != http.StatusOK {
		t.Fatalf("API: %d", status)
	}
	want := coretest.AccessToken{
		Value: answer["access_token"].(string), Subject: "alice", ClientID: "app",
		Scopes: []string{"orders"}, Audience: []string{"urn:a", "urn:b"}, Expiry: rp.p.Now().Add(time.Hour),
	}
	if diff := cmp.Diff(want, seen); diff != "" {
		t.Error(diff)
	}
	status, wide := rp.refresh(answer) // narrowing was for one access token, not for the grant
	if status != http.StatusOK || wide["scope"] != "openid offline_access orders" {
		t.Errorf("%d %v", status, wide)
	}
	status, refusal := rp.refresh(wide, "scope", "orders admin")
	expectError(t, status, refusal, "invalid_scope")
	status, refusal = rp.refresh(wide, "resource", "relative")
	expectError(t, status, refusal, "invalid_target")
	if status, _ := rp.refresh(wide); status != http.StatusOK {
		t.Error("a refused request consumed the refresh token")
	}
}

func TestProvidersThatDoLess(t *testing.T) {
	t.Run("no refresh token", func(t *testing.T) {
		rp := newRelyingParty(t, coretest.Options{NoRefreshToken: true})
		if answer := rp.login("alice"); answer["refresh_token"] != nil {
			t.Errorf("%v", answer)
		}
	})
	t.Run("offline_access not asked for", func(t *testing.T) {
		rp := newRelyingParty(t)
		answer := rp.login("alice", func(v url.Values) { v.Set("scope", "orders") })
		if answer["refresh_token"] != nil || answer["id_token"] != nil {
			t.Errorf("%v", answer)
		}
	})
	t.Run("no rotation", func(t *testing.T) {
		rp := newRelyingParty(t, coretest.Options{NoRotation: true, NoRefreshedIDToken: true})
		first := rp.login("alice")
		for range 2 {
			status, answer := rp.refresh(first)
			if status != http.StatusOK || answer["refresh_token"] != nil || answer["id_token"] != nil {
				t.Errorf("%d %v", status, answer)
			}
		}
	})
	t.Run("refresh token expires", func(t *testing.T) {
		rp := newRelyingParty(t, coretest.Options{RefreshTokenLife: time.Minute})
		first := rp.login("alice")
		rp.p.Advance(time.Minute)
		status, answer := rp.refresh(first)
		expectError(t, status, answer, "invalid_grant")
	})
	t.Run("odd answers", func(t *testing.T) {
		rp := newRelyingParty(t, coretest.Options{
			AccessTokenSize: 200_000,
			AccessTokenLife: time.Minute,
			Answer:          func(a map[string]any) { a["expires_in"] = "60"; a["refresh_in"] = 30 },
		})
		answer := rp.login("alice")
		if answer["expires_in"] != "60" || answer["refresh_in"] != 30.0 || len(answer["access_token"].(string)) != 200_000 {
			t.Errorf("expires_in %v, refresh_in %v", answer["expires_in"], answer["refresh_in"])
		}
	})
}

func TestClientCredentials(t *testing.T) {
	rp := newRelyingParty(t)
	form := url.Values{"grant_type": {"client_credentials"}, "scope": {"a b"}, "resource": {"urn:x"}}
	status, answer := rp.post(coretest.TokenEndpoint, form)
	if status != http.StatusOK || answer["refresh_token"] != nil || answer["scope"] != "a b" {
		t.Fatalf("%d %v", status, answer)
	}
	if got := rp.p.AccessTokens("app"); len(got) != 1 || got[0] != answer["access_token"] {
		t.Errorf("tokens of the client: %v", got)
	}
}

func TestTokenOfAnotherClientIsUnknown(t *testing.T) {
	rp := newRelyingParty(t, coretest.Options{Clients: map[string]string{"other": "secret"}})
	first := rp.login("alice")
	asOther := func(r *http.Request) { r.SetBasicAuth("other", "secret") }
	status, answer := rp.post(coretest.TokenEndpoint, refreshForm(first), asOther)
	expectError(t, status, answer, "invalid_grant")
	status, answer = rp.post(coretest.RevocationEndpoint, url.Values{"token": {first["refresh_token"].(string)}}, asOther)
	expectError(t, status, answer, "invalid_grant")
	if status, _ := rp.refresh(first); status != http.StatusOK {
		t.Error("another client's attempt ended the grant")
	}
}
