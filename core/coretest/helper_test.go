package coretest_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/tokenwell/tokenwell/core/coretest"
)

// The default client's secret is known here by its bytes alone, as an application's
// own tests would know it.
const secret = "a b:%+ü"

const verifier = "verifier-of-forty-three-characters-or-more-0123"

// relyingParty speaks to a provider in plain HTTP, so that what the provider
// answers can be seen as it is.
type relyingParty struct {
	t *testing.T
	p *coretest.Provider
	b *coretest.Browser
}

func newRelyingParty(t *testing.T, opts ...coretest.Options) relyingParty {
	t.Helper()
	var o coretest.Options
	if len(opts) > 0 {
		o = opts[0]
	}
	if !o.Public {
		o.ClientSecret = secret
	}
	p := coretest.NewProvider(t, o)
	callback := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	return relyingParty{t, p, coretest.NewBrowser(t, callback)}
}

func (rp relyingParty) authorizeURL(change ...func(url.Values)) string {
	digest := sha256.Sum256([]byte(verifier))
	query := url.Values{
		"response_type":         {"code"},
		"client_id":             {"app"},
		"redirect_uri":          {coretest.AppURL + "/callback"},
		"scope":                 {"openid offline_access orders"},
		"state":                 {"the state"},
		"nonce":                 {"the nonce"},
		"code_challenge":        {base64.RawURLEncoding.EncodeToString(digest[:])},
		"code_challenge_method": {"S256"},
	}
	for _, f := range change {
		f(query)
	}
	return rp.p.URL(coretest.AuthorizationEndpoint) + "?" + query.Encode()
}

// authorize signs a user in and returns the authorization response.
func (rp relyingParty) authorize(user string, change ...func(url.Values)) url.Values {
	rp.t.Helper()
	page := rp.b.Get(rp.authorizeURL(change...))
	if !strings.HasPrefix(page.URL.String(), coretest.AppURL) {
		page = page.Submit(url.Values{"user": {user}})
	}
	if !strings.HasPrefix(page.URL.String(), coretest.AppURL) {
		rp.t.Fatalf("not back at the application: %s", page)
	}
	return page.URL.Query()
}

func (rp relyingParty) post(e coretest.Endpoint, form url.Values, change ...func(*http.Request)) (int, map[string]any) {
	rp.t.Helper()
	status, answer, err := rp.try(e, form, change...)
	if err != nil {
		rp.t.Fatal(err)
	}
	return status, answer
}

func (rp relyingParty) try(e coretest.Endpoint, form url.Values, change ...func(*http.Request)) (int, map[string]any, error) {
	r, err := http.NewRequestWithContext(rp.t.Context(), http.MethodPost, rp.p.URL(e), strings.NewReader(form.Encode()))
	if err != nil {
		return 0, nil, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth("app", url.QueryEscape(secret))
	for _, f := range change {
		f(r)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	var answer map[string]any
	_ = json.NewDecoder(resp.Body).Decode(&answer)
	return resp.StatusCode, answer, nil
}

func codeForm(code string) url.Values {
	return url.Values{
		"grant_type":    {"authorization_code"},
		"code":          {code},
		"redirect_uri":  {coretest.AppURL + "/callback"},
		"code_verifier": {verifier},
	}
}

// login goes all the way to the token answer.
func (rp relyingParty) login(user string, change ...func(url.Values)) map[string]any {
	rp.t.Helper()
	status, answer := rp.post(coretest.TokenEndpoint, codeForm(rp.authorize(user, change...).Get("code")))
	if status != http.StatusOK {
		rp.t.Fatalf("code exchange: %d %v", status, answer)
	}
	return answer
}

func (rp relyingParty) refresh(answer map[string]any, more ...string) (int, map[string]any) {
	rp.t.Helper()
	return rp.post(coretest.TokenEndpoint, refreshForm(answer, more...))
}

func refreshForm(answer map[string]any, more ...string) url.Values {
	token, _ := answer["refresh_token"].(string)
	form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}}
	for i := 0; i+1 < len(more); i += 2 {
		form.Add(more[i], more[i+1])
	}
	return form
}

// claims reads an ID token without checking it.
func claims(t *testing.T, idToken any) map[string]any {
	t.Helper()
	text, _ := idToken.(string)
	parts := strings.Split(text, ".")
	if len(parts) != 3 {
		t.Fatalf("no ID token: %v", idToken)
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	var c map[string]any
	if err := json.Unmarshal(payload, &c); err != nil {
		t.Fatal(err)
	}
	return c
}

// call calls an API and returns its status and its challenge.
func call(t *testing.T, api string, token any) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, api, nil)
	if err != nil {
		t.Fatal(err)
	}
	if text, _ := token.(string); text != "" {
		r.Header.Set("Authorization", "Bearer "+text)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.StatusCode, resp.Header.Get("WWW-Authenticate")
}
