package core_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tokenwell/tokenwell/core"
	"github.com/tokenwell/tokenwell/core/coretest"
)

// Each of these makes the ID token of a login one that must not be believed.
func badIDTokens(p *coretest.Provider) map[string]coretest.Fault {
	bad := map[string]coretest.Fault{
		"alg none":               {Signature: coretest.SignedNone},
		"HS256, the public key":  {Signature: coretest.SignedHS256},
		"key of somebody else":   {Signature: coretest.SignedOtherKey},
		"no ID token":            {Answer: func(a map[string]any) { delete(a, "id_token") }},
		"empty":                  {Answer: func(a map[string]any) { a["id_token"] = "" }},
		"garbage":                {Answer: func(a map[string]any) { a["id_token"] = "garbage" }},
		"dots":                   {Answer: func(a map[string]any) { a["id_token"] = ".." }},
		"no signature":           {Answer: func(a map[string]any) { a["id_token"] = cutSignature(a["id_token"]) }},
		"broken signature":       {Answer: func(a map[string]any) { a["id_token"] = breakSignature(a["id_token"]) }},
		"claims exchanged":       {Answer: func(a map[string]any) { a["id_token"] = exchangeClaims(a["id_token"]) }},
		"huge":                   {Answer: func(a map[string]any) { a["id_token"] = strings.Repeat("a", 1<<19) }},
		"at_hash of another one": {Answer: func(a map[string]any) { a["access_token"] = "at_of_somebody_else" }},
	}
	set := func(name string, value any) coretest.Fault {
		return coretest.Fault{Claims: func(c map[string]any) {
			if value == nil {
				delete(c, name)
				return
			}
			c[name] = value
		}}
	}
	at := func(d time.Duration) int64 { return p.Now().Add(d).Unix() }
	for what, fault := range map[string]coretest.Fault{
		"nonce wrong":                  set("nonce", "another"),
		"nonce absent":                 set("nonce", nil),
		"nonce empty":                  set("nonce", ""),
		"nonce no text":                set("nonce", 1),
		"iss wrong":                    set("iss", "https://other.test"),
		"iss with a slash":             set("iss", p.Issuer()+"/"),
		"iss absent":                   set("iss", nil),
		"aud wrong":                    set("aud", "another"),
		"aud absent":                   set("aud", nil),
		"aud empty":                    set("aud", []string{}),
		"aud in another case":          set("aud", "APP"),
		"aud of others":                set("aud", []string{"another", "third"}),
		"azp wrong":                    set("azp", "another"),
		"several aud, azp wrong":       {Claims: func(c map[string]any) { c["aud"], c["azp"] = []string{"app", "another"}, "another" }},
		"several aud, no azp":          set("aud", []string{"app", "another"}),
		"exp past":                     set("exp", at(-time.Second)),
		"exp absent":                   set("exp", nil),
		"exp no number":                set("exp", "soon"),
		"iat absent":                   set("iat", nil),
		"iat in the future":            set("iat", at(10*time.Minute)),
		"nbf in the future":            set("nbf", at(10*time.Minute)),
		"sub empty":                    set("sub", ""),
		"sub absent":                   set("sub", nil),
		"sub no text":                  set("sub", 7),
		"sub too long":                 set("sub", strings.Repeat("x", 256)),
		"at_hash wrong":                set("at_hash", "AAAAAAAAAAAAAAAAAAAAAA"),
		"at_hash of the longer digest": set("at_hash", strings.Repeat("A", 43)),
	} {
		bad[what] = fault
	}
	return bad
}

func cutSignature(token any) string {
	text := token.(string)
	return text[:strings.LastIndexByte(text, '.')+1]
}

func breakSignature(token any) string {
	text := token.(string)
	last := strings.LastIndexByte(text, '.') + 1
	flipped := byte('A')
	if text[last] == flipped {
		flipped = 'B'
	}
	return text[:last] + string(flipped) + text[last+1:]
}

// exchangeClaims keeps header and signature.
func exchangeClaims(token any) string {
	parts := strings.Split(token.(string), ".")
	return parts[0] + ".eyJzdWIiOiJhZG1pbiJ9." + parts[2]
}

func TestIDTokenOfLoginIsChecked(t *testing.T) {
	t.Parallel()
	for what := range badIDTokens(coretest.NewProvider(t, coretest.Options{Algorithm: "ES256"})) {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			r := newLoginRig(t, coretest.Options{})
			fault := badIDTokens(r.p)[what]
			s := newLoginSession()
			answer := r.sign(r.start(s), "alice")
			held := s.copy()
			fault.Grant = "authorization_code"
			r.p.Fail(fault)
			result, err := r.finish(s, answer)
			r.wantRefused(what, result, err)
			r.wantNothingKept(what, "alice")
			if diff := cmp.Diff(held.values, s.values); diff != "" || s.renewed != 0 {
				t.Errorf("the session was touched: %s", diff)
			}
			for _, part := range strings.Split(err.Error(), ".") {
				if strings.HasPrefix(part, "eyJ") || strings.Contains(err.Error(), "at_") && !strings.Contains(err.Error(), "at_hash") {
					t.Errorf("the error repeats the token: %v", err)
				}
			}
		})
	}
}

// The token is not used for anything before its login has been checked.
func TestIDTokenIsCheckedBeforeTokensAreUsed(t *testing.T) {
	t.Parallel()
	r := newLoginRig(t, coretest.Options{})
	s := newLoginSession()
	answer := r.sign(r.start(s), "alice")
	r.p.Fail(coretest.Fault{Claims: func(c map[string]any) { delete(c, "nonce") }})
	token := ""
	r.p.Fail(coretest.Fault{Endpoint: coretest.RevocationEndpoint, Before: func() {
		if live := r.p.RefreshTokens("alice"); len(live) == 1 {
			token = live[0]
		}
	}})
	if _, err := r.finish(s, answer); err == nil {
		t.Fatal("believed")
	}
	if got := len(r.p.Requests(coretest.UserInfoEndpoint)); got != 0 {
		t.Errorf("%d requests with the access token", got)
	}
	revoked := r.p.Requests(coretest.RevocationEndpoint)
	if len(revoked) != 1 || token == "" || revoked[0].Form.Get("token") != token {
		t.Errorf("%d revocations", len(revoked))
	}
}

func TestIDTokensThatAreGood(t *testing.T) {
	t.Parallel()
	for what, claims := range map[string]func(p *coretest.Provider, c map[string]any){
		"aud a list of one":          func(_ *coretest.Provider, c map[string]any) { c["aud"] = []string{"app"} },
		"several aud, azp ours":      func(_ *coretest.Provider, c map[string]any) { c["aud"], c["azp"] = []string{"x", "app"}, "app" },
		"azp ours":                   func(_ *coretest.Provider, c map[string]any) { c["azp"] = "app" },
		"no at_hash":                 func(_ *coretest.Provider, c map[string]any) { delete(c, "at_hash") },
		"no sid":                     func(_ *coretest.Provider, c map[string]any) { delete(c, "sid") },
		"clock a minute ahead":       func(p *coretest.Provider, c map[string]any) { c["iat"] = p.Now().Add(time.Minute).Unix() },
		"nbf now":                    func(p *coretest.Provider, c map[string]any) { c["nbf"] = p.Now().Unix() },
		"iat with a fraction":        func(p *coretest.Provider, c map[string]any) { c["iat"] = float64(p.Now().Unix()) + 0.25 },
		"further claims of any type": func(_ *coretest.Provider, c map[string]any) { c["roles"], c["x"] = []any{1, nil}, map[string]any{} },
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			r := newLoginRig(t, coretest.Options{})
			r.p.Fail(coretest.Fault{Claims: func(c map[string]any) { claims(r.p, c) }})
			s := newLoginSession()
			if _, err := r.finish(s, r.sign(r.start(s), "alice")); err != nil || r.user(s) != "alice" {
				t.Error(err)
			}
		})
	}
}

// A max_age in the request can be stripped by whoever has the browser, so the
// answer is held against it.
func TestIDTokenOfAskedForMaxAge(t *testing.T) {
	t.Parallel()
	at := func(p *coretest.Provider, age time.Duration) func(map[string]any) {
		return func(c map[string]any) { c["auth_time"] = p.Now().Add(-age).Unix() }
	}
	for what, test := range map[string]struct {
		maxAge string
		claims func(p *coretest.Provider) func(map[string]any)
		good   bool
	}{
		"as it is":   {"600", func(*coretest.Provider) func(map[string]any) { return nil }, true},
		"younger":    {"600", func(p *coretest.Provider) func(map[string]any) { return at(p, 9*time.Minute) }, true},
		"older":      {"600", func(p *coretest.Provider) func(map[string]any) { return at(p, 12*time.Minute) }, false},
		"older, now": {"0", func(p *coretest.Provider) func(map[string]any) { return at(p, 2*time.Minute) }, false},
		"not said": {"600", func(*coretest.Provider) func(map[string]any) {
			return func(c map[string]any) { delete(c, "auth_time") }
		}, false},
		"not asked for": {"", func(p *coretest.Provider) func(map[string]any) { return at(p, 300*time.Hour) }, true},
	} {
		for _, configured := range []bool{false, true} {
			params := url.Values{}
			if test.maxAge != "" {
				params.Set("max_age", test.maxAge)
			}
			r := newLoginRig(t, coretest.Options{}, func(cfg *core.Config) {
				if configured {
					cfg.LoginParams = params
				}
			})
			var o core.LoginOptions
			if !configured {
				o.Params = params
			}
			s := newLoginSession()
			answer := r.sign(r.start(s, o), "alice")
			r.p.Fail(coretest.Fault{Claims: test.claims(r.p)})
			result, err := r.finish(s, answer)
			if test.good {
				if err != nil {
					t.Errorf("%s: %v", what, err)
				}
				continue
			}
			r.wantRefused(what, result, err)
			r.wantNothingKept(what, "alice")
		}
	}
}

func TestIDTokenAlgorithms(t *testing.T) {
	t.Parallel()
	for _, alg := range []string{"RS256", "PS256", "ES256"} {
		r := newLoginRig(t, coretest.Options{Algorithm: alg})
		r.login(newLoginSession(), "alice")
	}
	// One that the provider does not name is not taken from it, and neither is one
	// that is no signature, if it names that.
	for _, named := range [][]string{{"RS256"}, {"none", "HS256", "RS256"}} {
		r := newLoginRig(t, coretest.Options{Metadata: func(md map[string]any) { md["id_token_signing_alg_values_supported"] = named }})
		s := newLoginSession()
		result, err := r.finish(s, r.sign(r.start(s), "alice"))
		r.wantRefused("ES256", result, err)
	}
	for _, signature := range []string{coretest.SignedNone, coretest.SignedHS256} {
		for _, named := range [][]string{{"none"}, {"HS256"}, {"none", "HS256", "ES256"}, nil} {
			r := newLoginRig(t, coretest.Options{Metadata: func(md map[string]any) { md["id_token_signing_alg_values_supported"] = named }})
			r.p.Fail(coretest.Fault{Signature: signature})
			s := newLoginSession()
			result, err := r.finish(s, r.sign(r.start(s), "alice"))
			r.wantRefused(signature, result, err)
			r.wantNothingKept(signature, "alice")
		}
	}
}

func TestIDTokenUnderNewKey(t *testing.T) {
	t.Parallel()
	r := newLoginRig(t, coretest.Options{})
	r.login(newLoginSession(), "alice")
	r.p.RotateKeys()
	r.login(newLoginSession(), "alice")
	keys := len(r.p.Requests(coretest.KeysEndpoint))
	r.login(newLoginSession(), "alice")
	if got := len(r.p.Requests(coretest.KeysEndpoint)) - keys; got != 0 {
		t.Errorf("keys that are known were fetched %d times", got)
	}
}

// Keys that cannot be fetched say nothing about the token.
func TestIDTokenWhoseKeysAreUnreachable(t *testing.T) {
	t.Parallel()
	r := newLoginRig(t, coretest.Options{})
	r.p.Fail(coretest.Fault{Endpoint: coretest.KeysEndpoint, Status: http.StatusBadGateway, Times: coretest.Always})
	s := newLoginSession()
	_, err := r.finish(s, r.sign(r.start(s), "alice"))
	if core.StatusCode(err) != http.StatusServiceUnavailable {
		t.Errorf("got %v (%d)", err, core.StatusCode(err))
	}
	r.wantNothingKept("afterwards", "alice")
	r.p.Heal()
	r.login(s, "alice")
}
