package core_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/oauth2"

	"github.com/tokenwell/tokenwell/core"
	"github.com/tokenwell/tokenwell/core/coretest"
)

func TestAuthorize(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		tok  *core.Token
		want string // "" for an error
	}{
		{&core.Token{AccessToken: "x"}, "Bearer x"},
		{&core.Token{AccessToken: "x", Type: "Bearer"}, "Bearer x"},
		{&core.Token{AccessToken: "x", Type: "beareR"}, "Bearer x"},
		{&core.Token{AccessToken: "x", Type: "dpop"}, "DPoP x"},
		{&core.Token{AccessToken: "x.y-z_~+/="}, "Bearer x.y-z_~+/="},
		{&core.Token{AccessToken: "x", Type: "mac"}, ""},
		{&core.Token{AccessToken: "x", Type: "N_A"}, ""},
		{&core.Token{AccessToken: "x", Type: "Bearer "}, ""},
		{&core.Token{AccessToken: "sentinel y"}, ""},
		{&core.Token{AccessToken: "sentinel\r\nX-Admin: 1"}, ""},
		{&core.Token{AccessToken: "sentinelü"}, ""},
		{&core.Token{}, ""},
		{nil, ""},
	} {
		r := &http.Request{}
		err := test.tok.Authorize(r)
		if got := r.Header.Get("Authorization"); got != test.want || (err != nil) != (test.want == "") {
			t.Errorf("%v: %q, %v; want %q", test.tok, got, err, test.want)
		}
		if err != nil && strings.Contains(err.Error(), "sentinel") {
			t.Errorf("the error repeats the token: %v", err)
		}

		r = &http.Request{Header: http.Header{"Authorization": {"Basic caller", "Basic another"}}}
		want := []string{test.want}
		if err := test.tok.Authorize(r); err != nil {
			want = []string{"Basic caller", "Basic another"}
		}
		if diff := cmp.Diff(want, r.Header["Authorization"]); diff != "" {
			t.Errorf("over another one: %s", diff)
		}
	}
}

func TestAuthorizeWithTokenOfLogin(t *testing.T) {
	t.Parallel()
	p := newESProvider(t)
	api := p.Protect(whoAmI)
	m := newUserManager(t, p, api.URL, core.UserToken())
	tok, err := m.GetUserAccessToken(coretest.SignedIn(t, m, "alice"))
	if err != nil {
		t.Fatal(err)
	}
	r := newRequest(t.Context(), t, api.URL, nil)
	if err := tok.Authorize(r); err != nil {
		t.Fatal(err)
	}
	if _, body, err := do(t, http.DefaultClient, r); body != "alice" {
		t.Errorf("%q, %v", body, err)
	}
	if tok.Type != "Bearer" || !tok.Expiry.Equal(p.Now().Add(time.Hour)) {
		t.Errorf("%v", tok)
	}
}

func TestTokenForOtherLibraries(t *testing.T) {
	t.Parallel()
	expiry := time.Now().Add(time.Hour)
	got := (&core.Token{AccessToken: "x", Type: "Bearer", Expiry: expiry}).OAuth2()
	want := &oauth2.Token{AccessToken: "x", TokenType: "Bearer", Expiry: expiry}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(oauth2.Token{})); diff != "" {
		t.Error(diff)
	}
	if got := (*core.Token)(nil).OAuth2(); got != nil {
		t.Errorf("no token is %v", got)
	}
}

func TestTokenShowsNoSecret(t *testing.T) {
	t.Parallel()
	p := newESProvider(t)
	m := newUserManager(t, p, "https://api.test", core.UserToken())
	ofLogin, err := m.GetUserAccessToken(coretest.SignedIn(t, m, "alice"))
	if err != nil {
		t.Fatal(err)
	}
	handmade := core.Token{AccessToken: "sentinel", Type: "Bearer", Scopes: []string{"orders"}}
	for secret, texts := range map[string]map[string]string{
		ofLogin.AccessToken: shown(t, *ofLogin, ofLogin),
		"sentinel":          shown(t, handmade, &handmade, struct{ T *core.Token }{&handmade}, map[string]core.Token{"a": handmade}),
	} {
		for name, text := range texts {
			if strings.Contains(text, secret) {
				t.Errorf("%s shows the token: %s", name, text)
			}
			if !strings.Contains(text, "Bearer") && !strings.Contains(name, "struct") {
				t.Errorf("%s shows nothing to go by: %s", name, text)
			}
		}
	}
}

func TestMissingTokenPrints(t *testing.T) {
	t.Parallel()
	for name, text := range shown(t, (*core.Token)(nil)) {
		if strings.Contains(text, "PANIC") {
			t.Errorf("%s: %s", name, text)
		}
	}
}
