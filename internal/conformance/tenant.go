package conformance

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/tokenwell/tokenwell/core"
	"github.com/tokenwell/tokenwell/core/coretest"
)

var tenantTests = []func(*testing.T, Framework){
	tenantsSignInAtTheirOwnProviders,
	answerOfAnotherProviderIsRefused,
	unknownTenantIsAnswered,
}

var errNoTenant = errors.New("no such tenant, says " + plainSecret)

// newTenants returns an application of two tenants, a and b, told apart by a
// parameter of every URL, and the provider of tenant b. The application's own
// provider and manager are those of tenant a.
func newTenants(t *testing.T, f Framework, metadata func(map[string]any)) (*app, *coretest.Provider) {
	t.Helper()
	a := newApp(t, f)
	provider := func(tenant string) *coretest.Provider {
		return coretest.NewProvider(t, coretest.Options{
			Algorithm: "ES256", ClientID: "client-" + tenant, Metadata: metadata,
			RedirectURLs: []string{coretest.AppURL + f.Prefix + "/callback?tenant=" + tenant},
		})
	}
	b := provider("b")
	a.p = provider("a")
	a.m = a.manager(a.p, func(*core.Config) {})
	other := a.manager(b, func(*core.Config) {})
	a.handler = a.mount(core.ManagerFunc(func(r *http.Request) (*core.Manager, error) {
		switch r.URL.Query().Get("tenant") {
		case "a":
			return a.m, nil
		case "b":
			return other, nil
		case "none":
			return nil, nil
		}
		return nil, errNoTenant
	}))
	a.b = a.browser()
	return a, b
}

func (a *app) tenantPath(path, tenant string) string { return a.path(path) + "?tenant=" + tenant }

// tenantLogin starts a login of a tenant.
func (a *app) tenantLogin(tenant string) *url.URL {
	a.Helper()
	page := a.b.Open(a.tenantPath("/login", tenant) + "&return_to=" + url.QueryEscape(a.tenantPath("/home", tenant)))
	if page.Location() == nil {
		a.Fatal(page)
	}
	return page.Location()
}

func (a *app) tenantUser(tenant string) string {
	a.Helper()
	return a.b.Get(a.tenantPath("/home", tenant)).Body
}

func tenantsSignInAtTheirOwnProviders(t *testing.T, f Framework) {
	a, b := newTenants(t, f, nil)
	for tenant, p := range map[string]*coretest.Provider{"a": a.p, "b": b} {
		user := "user-of-" + tenant
		at := a.tenantLogin(tenant)
		if got := at.Scheme + "://" + at.Host; got != p.Issuer() {
			t.Fatalf("tenant %s signs in at %s", tenant, got)
		}
		page := a.finish(a.b, a.sign(at, user))
		if page.Status != http.StatusSeeOther || page.Header.Get("Location") != a.tenantPath("/home", tenant) {
			t.Fatal(page)
		}
		if got := a.tenantUser(tenant); got != user {
			t.Errorf("tenant %s: %q", tenant, got)
		}
		other := map[string]string{"a": "b", "b": "a"}[tenant]
		if got := a.tenantUser(other); got == user {
			t.Errorf("tenant %s is shown the user of tenant %s", other, tenant)
		}
	}
}

func answerOfAnotherProviderIsRefused(t *testing.T, f Framework) {
	for what, metadata := range map[string]func(map[string]any){
		"issuers are named": nil,
		"issuers are not": func(md map[string]any) {
			delete(md, "authorization_response_iss_parameter_supported")
		},
	} {
		a, b := newTenants(t, f, metadata)
		refused := func(how string, answer url.Values) {
			a.Helper()
			page := a.finish(a.b, answer)
			if page.Status != http.StatusBadRequest || len(page.Cookies()) != 0 {
				t.Errorf("%s, %s: %s", what, how, page)
			}
			for _, tenant := range []string{"a", "b"} {
				if got := a.tenantUser(tenant); got != "nobody" {
					t.Errorf("%s, %s: signed in at %s as %s", what, how, tenant, got)
				}
			}
		}
		strip := func(answer url.Values) url.Values {
			if metadata != nil {
				answer.Del("iss")
			}
			return answer
		}
		// The code of b, brought as the end of a login at a.
		atA, fromB := a.tenantLogin("a"), strip(a.sign(a.tenantLogin("b"), "mallory"))
		mixed := clone(fromB)
		mixed.Set("state", atA.Query().Get("state"))
		mixed.Set("tenant", "a")
		if metadata == nil {
			refused("b's code at a", mixed)
			if got := a.p.Grants("authorization_code"); got != 0 {
				t.Errorf("%s: a was sent a code of b's", what)
			}
		}
		// An attacker's provider b, to which the answer of a is brought for its code.
		fromA := strip(a.sign(a.tenantLogin("a"), "alice"))
		mixed = clone(fromA)
		mixed.Set("tenant", "b")
		refused("a's answer at b", mixed)
		atB := a.tenantLogin("b")
		mixed.Set("state", atB.Query().Get("state"))
		mixed.Set("iss", a.p.Issuer())
		refused("a's code at b, named", mixed)
		if got := b.Grants("authorization_code"); got != 0 {
			t.Errorf("%s: b was sent a code of a's", what)
		}
		if page := a.finish(a.b, fromA); page.Status != http.StatusSeeOther {
			t.Errorf("%s: a's answer at a: %s", what, page)
		}
	}
}

func unknownTenantIsAnswered(t *testing.T, f Framework) {
	a, _ := newTenants(t, f, nil)
	for _, tenant := range []string{"unknown", "none"} {
		for _, path := range []string{"/home", "/login", "/callback"} {
			page := a.b.Open(a.tenantPath(path, tenant))
			if page.Status != http.StatusInternalServerError || len(page.Cookies()) != 0 {
				t.Errorf("tenant %s, %s: %s", tenant, path, page)
			}
			if strings.Contains(page.Body, plainSecret) {
				t.Errorf("tenant %s, %s says too much: %s", tenant, path, page)
			}
		}
	}
	if got := a.tenantUser("a"); got != "nobody" {
		t.Errorf("tenant a: %q", got)
	}
}
