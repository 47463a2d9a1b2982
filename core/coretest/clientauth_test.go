package coretest_test

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/tokenwell/tokenwell/core/coretest"
)

func TestClientAuthentication(t *testing.T) {
	noBasic := func(r *http.Request) { r.Header.Del("Authorization") }
	grant := func(more ...string) url.Values {
		form := url.Values{"grant_type": {"client_credentials"}}
		for i := 0; i < len(more); i += 2 {
			form.Add(more[i], more[i+1])
		}
		return form
	}
	for _, test := range []struct {
		name   string
		form   url.Values
		change func(*http.Request)
		want   string // "" for success
	}{
		{"basic", grant(), func(*http.Request) {}, ""},
		{"basic and its client_id", grant("client_id", "app"), func(*http.Request) {}, ""},
		{"post", grant("client_id", "app", "client_secret", secret), noBasic, ""},
		{"basic not encoded", grant(), func(r *http.Request) { r.SetBasicAuth("app", secret) }, "invalid_client"},
		{"basic for another client_id", grant("client_id", "b"), func(*http.Request) {}, "invalid_client"},
		{"both", grant("client_secret", secret), func(*http.Request) {}, "invalid_request"},
		{"none", grant("client_id", "app"), noBasic, "invalid_client"},
		{"wrong secret", grant("client_id", "app", "client_secret", "x"), noBasic, "invalid_client"},
		{"unknown client", grant("client_id", "x", "client_secret", ""), noBasic, "invalid_client"},
		{"another scheme", grant(), func(r *http.Request) { r.Header.Set("Authorization", "Bearer x") }, "invalid_client"},
		{"in the URL", grant(), func(r *http.Request) { r.URL.RawQuery = "client_id=app" }, "invalid_request"},
		{"parameter twice", grant("scope", "a", "scope", "b"), func(*http.Request) {}, "invalid_request"},
		{"JSON", grant(), func(r *http.Request) { r.Header.Set("Content-Type", "application/json") }, "invalid_request"},
		{"GET", grant(), func(r *http.Request) { r.Method = http.MethodGet }, "invalid_request"},
		{"unknown grant", url.Values{"grant_type": {"password"}}, func(*http.Request) {}, "unsupported_grant_type"},
	} {
		t.Run(test.name, func(t *testing.T) {
			rp := newRelyingParty(t)
			status, answer := rp.post(coretest.TokenEndpoint, test.form, test.change)
			if test.want != "" {
				expectError(t, status, answer, test.want)
			} else if status != http.StatusOK {
				t.Errorf("%d %v", status, answer)
			}
		})
	}
}

func TestPublicClient(t *testing.T) {
	rp := newRelyingParty(t, coretest.Options{Public: true})
	noBasic := func(r *http.Request) { r.Header.Del("Authorization") }
	form := codeForm(rp.authorize("alice").Get("code"))
	form.Set("client_id", "app")
	if status, answer := rp.post(coretest.TokenEndpoint, form, noBasic); status != http.StatusOK {
		t.Errorf("%d %v", status, answer)
	}
	form = url.Values{"grant_type": {"client_credentials"}, "client_id": {"app"}}
	status, answer := rp.post(coretest.TokenEndpoint, form, noBasic)
	expectError(t, status, answer, "unauthorized_client")
	form.Set("client_secret", "made up")
	status, answer = rp.post(coretest.TokenEndpoint, form, noBasic)
	expectError(t, status, answer, "invalid_client")
}
