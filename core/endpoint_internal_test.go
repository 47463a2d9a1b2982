package core

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// Whatever a provider answers, either a token comes of it that a header can carry and
// whose times are in order, or an error that does not repeat the answer.
func FuzzTokenAnswer(f *testing.F) {
	for _, body := range []string{
		`{"access_token":"x","token_type":"Bearer","expires_in":300,"refresh_token":"r","id_token":"i","scope":"a b"}`,
		`{"access_token":"x","expires_in":"300"}`,
		`{"access_token":"x","expires_in":null,"refresh_in":150.5}`,
		`{"access_token":"x","expires_in":0}`,
		`{"access_token":"x","expires_in":-1}`,
		`{"access_token":"x","expires_in":1e400}`,
		`{"access_token":"x","expires_in":1e18}`,
		`{"access_token":"x","expires_in":"soon"}`,
		`{"access_token":"x","expires_in":"NaN","refresh_in":"Inf"}`,
		`{"access_token":"x","expires_in":[1]}`,
		`{"access_token":"x","expires_in":{"a":"b"}}`,
		`{"access_token":"x","expires_in":"\u0033"}`,
		`{"access_token":"x","token_type":"beareR"}`,
		`{"access_token":"x","token_type":"dPoP"}`,
		`{"access_token":"sentinel","token_type":"mac"}`,
		`{"access_token":"sentinel\r\nX: y"}`,
		`{"access_token":"x","scope":null}`,
		`{"access_token":"x","scope":"  "}`,
		`{"access_token":["sentinel"]}`,
		`{"ACCESS_TOKEN":"x"}`,
		`{"access_token":"x"} trailing`,
		`{"error":"invalid_grant"}`,
		`{}`, `null`, `[]`, `"x"`, ``, `{`, "\xff\xfe", "<html>sentinel</html>",
	} {
		f.Add([]byte(body))
	}
	obtained := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, body []byte) {
		a, err := parseAnswer(body, obtained)
		if err != nil {
			if a != nil || strings.Contains(err.Error(), "sentinel") {
				t.Fatalf("%v, %v", a, err)
			}
			return
		}
		if a.tokenType != "Bearer" && a.tokenType != "DPoP" {
			t.Errorf("token type %q", a.tokenType)
		}
		if !a.expiry.IsZero() && (a.expiry.Before(obtained) || a.expiry.Year() > 2200) || a.refreshIn < 0 {
			t.Errorf("expiry %s, refresh in %s", a.expiry, a.refreshIn)
		}
		r := &http.Request{Method: http.MethodGet, Header: http.Header{}}
		tok := newToken(a.accessToken, a.tokenType, a.scopes, a.expiry)
		if err := tok.Authorize(r); err != nil || strings.ContainsAny(r.Header.Get("Authorization"), "\r\n\x00") {
			t.Errorf("Authorization %q, %v", r.Header.Get("Authorization"), err)
		}
		for _, s := range a.scopes {
			if s == "" || strings.ContainsAny(s, " \t") {
				t.Errorf("scope %q", s)
			}
		}
		// What is stored must be served or renewed, but not both at the wrong time.
		m := &Manager{}
		stored := m.stored(a, nil)
		if stored.Expiry != 0 && (stored.RenewAt < stored.Obtained || stored.RenewAt > stored.Expiry) {
			t.Errorf("obtained %d, renewed at %d, expires %d", stored.Obtained, stored.RenewAt, stored.Expiry)
		}
	})
}
