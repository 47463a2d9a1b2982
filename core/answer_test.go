package core_test

import (
	"encoding/base64"
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tokenwell/tokenwell/core"
	"github.com/tokenwell/tokenwell/core/coretest"
)

// A refresh whose answer names no scopes granted those that the login had (RFC 6749
// section 6).
func TestScopesOutliveAnAnswerWithoutThem(t *testing.T) {
	t.Parallel()
	granted := []string{"openid", "offline_access", "orders"}
	r := newRefreshRig(t, coretest.Options{
		Scopes: granted,
		Answer: func(a map[string]any) { delete(a, "scope") },
	})
	u := r.signIn("alice")
	for range 3 {
		for _, opts := range [][]core.TokenOption{nil, {core.WithResource("urn:a")}} {
			if diff := cmp.Diff(granted, r.get(u, opts...).Scopes); diff != "" {
				t.Error(diff)
			}
		}
		r.p.Advance(untilExpiry)
	}
	// One that named fewer is believed until another is named.
	r.p.Fail(coretest.Fault{Grant: "refresh_token", Answer: func(a map[string]any) { a["scope"] = "orders" }})
	for range 2 {
		if diff := cmp.Diff([]string{"orders"}, r.get(u).Scopes); diff != "" {
			t.Error(diff)
		}
		r.p.Advance(untilExpiry)
	}
}

// Scopes that come as a list, or as something that says nothing, cost nobody the
// rotated refresh token beside them.
func TestScopesOfAnyShapeKeepTheRefreshToken(t *testing.T) {
	t.Parallel()
	granted := []string{"openid", "offline_access", "orders"}
	for value, want := range map[string][]string{
		`"openid orders"`:      {"openid", "orders"},
		`["openid","orders"]`:  {"openid", "orders"},
		`null`:                 granted,
		`7`:                    granted,
		`{"openid":true}`:      granted,
		`true`:                 granted,
		`[{"scope":"openid"}]`: nil, // whatever
	} {
		t.Run(value, func(t *testing.T) {
			t.Parallel()
			r := newRefreshRig(t, coretest.Options{Scopes: granted})
			u := r.signIn("alice")
			r.p.Advance(untilExpiry)
			r.p.Fail(coretest.Fault{Grant: "refresh_token", Answer: func(a map[string]any) { a["scope"] = json.RawMessage(value) }})
			tok := r.get(u)
			if diff := cmp.Diff(want, tok.Scopes); want != nil && diff != "" {
				t.Error(diff)
			}
			if r.record(u).RefreshToken != r.liveRefreshToken("alice") {
				t.Error("the new refresh token is not stored")
			}
			r.p.Advance(untilExpiry)
			r.get(u.as(r.m))
			r.wantRefreshes(2)
		})
	}
}

// A client's secret is not repeated in any of the forms in which it was sent.
func TestErrorsRepeatNoSecretAsItWasSent(t *testing.T) {
	t.Parallel()
	const secret = `s3cr3t:%&=+"/ sentinel`
	encoded := url.QueryEscape(secret)
	for name, auth := range map[string]core.ClientAuth{"Basic": core.SecretBasic(secret), "Post": core.SecretPost(secret)} {
		for form, sent := range map[string]string{
			"as it is":      secret,
			"encoded":       encoded,
			"with its name": "app:" + encoded,
			"in the header": base64.StdEncoding.EncodeToString([]byte("app:" + encoded)),
		} {
			if name == "Post" && (form == "in the header" || form == "with its name") {
				continue
			}
			t.Run(name+", "+form, func(t *testing.T) {
				t.Parallel()
				r := newRefreshRig(t, coretest.Options{ClientSecret: secret}, func(c *core.Config) {
					c.ClientSecret, c.ClientAuth = "", auth
				})
				u := r.signIn("alice")
				r.p.Advance(untilExpiry)
				body, err := json.Marshal(map[string]string{"error": "invalid_client", "error_description": "who is " + sent + "?"})
				if err != nil {
					t.Fatal(err)
				}
				r.p.Fail(coretest.Fault{Grant: "refresh_token", Status: 401, Body: string(body)})
				_, err = r.m.GetUserAccessToken(u)
				e := asError(t, err)
				if e.Code != "invalid_client" || !strings.HasPrefix(e.Description, "who is ") {
					t.Errorf("what the provider says is lost: %v", e)
				}
				if strings.Contains(err.Error(), "sentinel") || strings.Contains(err.Error(), sent) {
					t.Errorf("the error holds the secret: %s", err)
				}
			})
		}
	}
}
