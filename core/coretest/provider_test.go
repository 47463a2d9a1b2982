package coretest_test

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"github.com/tokenwell/tokenwell/core/coretest"
)

func getJSON(t *testing.T, address string) map[string]any {
	t.Helper()
	resp, err := http.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var object map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&object); err != nil {
		t.Fatalf("%s: %d %v", address, resp.StatusCode, err)
	}
	return object
}

func publishedKey(t *testing.T, p *coretest.Provider) jose.JSONWebKey {
	t.Helper()
	resp, err := http.Get(p.URL(coretest.KeysEndpoint))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var set jose.JSONWebKeySet
	if err := json.NewDecoder(resp.Body).Decode(&set); err != nil {
		t.Fatal(err)
	}
	if len(set.Keys) != 1 || !set.Keys[0].IsPublic() {
		t.Fatalf("keys = %v", set.Keys)
	}
	return set.Keys[0]
}

func TestDiscovery(t *testing.T) {
	p := coretest.NewProvider(t, coretest.Options{Metadata: func(m map[string]any) { delete(m, "userinfo_endpoint") }})
	if !strings.HasSuffix(p.URL(coretest.DiscoveryEndpoint), "/.well-known/openid-configuration") {
		t.Error(p.URL(coretest.DiscoveryEndpoint))
	}
	metadata := getJSON(t, p.URL(coretest.DiscoveryEndpoint))
	if metadata["issuer"] != p.Issuer() || metadata["token_endpoint"] != p.URL(coretest.TokenEndpoint) ||
		metadata["userinfo_endpoint"] != nil {
		t.Errorf("metadata = %v", metadata)
	}
}

func TestOAuthMetadataOnly(t *testing.T) {
	p := coretest.NewProvider(t, coretest.Options{OAuthMetadata: true})
	resp, err := http.Get(p.Issuer() + "/.well-known/openid-configuration")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusNotFound {
		t.Errorf("OpenID discovery: %d", resp.StatusCode)
	}
	if got := getJSON(t, p.Issuer()+"/.well-known/oauth-authorization-server")["issuer"]; got != p.Issuer() {
		t.Errorf("issuer = %v", got)
	}
}

func TestIDTokenSignatures(t *testing.T) {
	for _, algorithm := range []jose.SignatureAlgorithm{jose.RS256, jose.PS256, jose.ES256} {
		t.Run(string(algorithm), func(t *testing.T) {
			rp := newRelyingParty(t, coretest.Options{Algorithm: string(algorithm)})
			old := publishedKey(t, rp.p)
			for range 2 {
				text, _ := rp.login("alice")["id_token"].(string)
				signed, err := jose.ParseSignedCompact(text, []jose.SignatureAlgorithm{algorithm})
				if err != nil {
					t.Fatal(err)
				}
				key := publishedKey(t, rp.p)
				if _, err := signed.Verify(key); err != nil || signed.Signatures[0].Header.KeyID != key.KeyID {
					t.Errorf("kid %s: %v", signed.Signatures[0].Header.KeyID, err)
				}
				rp.p.RotateKeys()
			}
			if publishedKey(t, rp.p).KeyID == old.KeyID {
				t.Error("the old key is still published")
			}
		})
	}
}

func TestIDTokensSignedWrongly(t *testing.T) {
	rp := newRelyingParty(t)
	key := publishedKey(t, rp.p)
	sign := func(how string) string {
		rp.p.Fail(coretest.Fault{Signature: how, Claims: func(c map[string]any) { c["sub"] = "mallory" }})
		text, _ := rp.login("alice")["id_token"].(string)
		if got := claims(t, text)["sub"]; got != "mallory" {
			t.Errorf("%s: sub = %v", how, got)
		}
		return text
	}
	if text := sign(coretest.SignedNone); !strings.HasSuffix(text, ".") {
		t.Error("none: has a signature")
	}
	der, err := x509.MarshalPKIXPublicKey(key.Key)
	if err != nil {
		t.Fatal(err)
	}
	confused, err := jose.ParseSignedCompact(sign(coretest.SignedHS256), []jose.SignatureAlgorithm{jose.HS256})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := confused.Verify(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})); err != nil {
		t.Errorf("HS256: %v", err)
	}
	other, err := jose.ParseSignedCompact(sign(coretest.SignedOtherKey), []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Verify(key); err == nil || other.Signatures[0].Header.KeyID != key.KeyID {
		t.Errorf("other key: kid %s, %v", other.Signatures[0].Header.KeyID, err)
	}
}

func TestProtect(t *testing.T) {
	rp := newRelyingParty(t)
	api := rp.p.Protect(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	const invalid = `Bearer realm="coretest", error="invalid_token"`
	expect := func(when string, token any, wantStatus int, wantChallenge string) {
		t.Helper()
		if status, challenge := call(t, api.URL, token); status != wantStatus || challenge != wantChallenge {
			t.Errorf("%s: %d %s", when, status, challenge)
		}
	}
	first := rp.login("alice")
	expect("alive", first["access_token"], 200, "")
	expect("no token", nil, 401, `Bearer realm="coretest"`)
	expect("unknown", "at_unknown", 401, invalid)
	rp.p.RevokeAccessTokens("bob")
	expect("others revoked", first["access_token"], 200, "")
	rp.p.RevokeAccessTokens("alice")
	expect("revoked", first["access_token"], 401, invalid)

	_, second := rp.refresh(first)
	expect("refreshed", second["access_token"], 200, "")
	rp.p.Advance(time.Hour - time.Second)
	expect("about to expire", second["access_token"], 200, "")
	rp.p.Advance(time.Second)
	expect("expired", second["access_token"], 401, invalid)

	_, third := rp.refresh(second)
	rp.p.RevokeGrants("alice")
	expect("grant revoked", third["access_token"], 401, invalid)
	if got := rp.p.RefreshTokens("alice"); len(got) != 0 {
		t.Errorf("refresh tokens in force: %v", got)
	}
}

func TestRevocation(t *testing.T) {
	rp := newRelyingParty(t)
	revoke := func(token any) {
		t.Helper()
		if status, answer := rp.post(coretest.RevocationEndpoint, url.Values{"token": {token.(string)}}); status != http.StatusOK {
			t.Errorf("%d %v", status, answer)
		}
	}
	first := rp.login("alice")
	revoke(first["access_token"])
	if len(rp.p.AccessTokens("alice")) != 0 || len(rp.p.RefreshTokens("alice")) != 1 {
		t.Error("revoking an access token should end it alone")
	}
	_, second := rp.refresh(first)
	revoke(first["refresh_token"])
	if len(rp.p.AccessTokens("alice")) != 0 || len(rp.p.RefreshTokens("alice")) != 0 {
		t.Error("revoking a refresh token should end the grant")
	}
	revoke(second["refresh_token"])
	revoke("unknown")
	status, answer := rp.post(coretest.RevocationEndpoint, url.Values{"token": {"x"}}, func(r *http.Request) {
		r.SetBasicAuth("app", "wrong")
	})
	expectError(t, status, answer, "invalid_client")
	if rp.p.Reused() != 0 {
		t.Error("revoking a consumed token is no reuse")
	}
}

func TestUserInfo(t *testing.T) {
	name := "Alice"
	rp := newRelyingParty(t, coretest.Options{Claims: func(user string) map[string]any {
		return map[string]any{"name": name, "groups": []string{user + "s"}}
	}})
	answer := rp.login("alice")
	name = "Alice Liddell"
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, rp.p.URL(coretest.UserInfoEndpoint), nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+answer["access_token"].(string))
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var got map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"sub": "alice", "name": "Alice Liddell", "preferred_username": "alice", "email": "alice@example.com",
		"groups": []any{"alices"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if status, challenge := call(t, rp.p.URL(coretest.UserInfoEndpoint), "x"); status != 401 || challenge == "" {
		t.Errorf("%d %s", status, challenge)
	}
}
