package conformance

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/tokenwell/tokenwell/core"
	"github.com/tokenwell/tokenwell/core/coretest"
)

var clientTests = []func(*testing.T, Framework){
	applicationGetsItsOwnToken,
	clientTokenThatIsRefusedIsTheProvidersFault,
	injectedClientServesEachRequestsUser,
	nobodyIsTheApplicationButADeadSessionIsNot,
}

// applicationGetsItsOwnToken asks for it in a page that is for everybody.
func applicationGetsItsOwnToken(t *testing.T, f Framework) {
	a := newApp(t, f, options{
		config: func(a *app, cfg *core.Config) {
			cfg.HTTPClients["catalog"] = core.HTTPClient{BaseURL: a.api.URL + "/catalog", Token: core.ClientToken()}
		},
		routes: []Route{{Path: "/catalog", Handle: func(c Context, w http.ResponseWriter, _ *http.Request) error {
			if _, err := c.GetClientAccessToken(core.WithScopes("narrow")); err != nil {
				return err
			}
			return get(c, c.HTTPClient("catalog"), "list", w)
		}}},
	})
	want := "/catalog/list of " + a.p.Config().ClientID
	for range 2 {
		if page := a.b.Get(a.path("/catalog")); page.Body != want {
			t.Errorf("nobody signed in: %d %q, want %q", page.Status, page.Body, want)
		}
	}
	a.login(a.b, "alice")
	if page := a.b.Get(a.path("/catalog")); page.Body != want {
		t.Errorf("alice signed in: %d %q, want %q", page.Status, page.Body, want)
	}
	if n := a.p.Grants("client_credentials"); n != 2 {
		t.Errorf("%d token requests, want one for each of two scopes", n)
	}
}

func clientTokenThatIsRefusedIsTheProvidersFault(t *testing.T, f Framework) {
	a := newApp(t, f, options{routes: []Route{{Path: "/machine", Handle: func(c Context, _ http.ResponseWriter, _ *http.Request) error {
		_, err := c.GetClientAccessToken()
		return err
	}}}})
	a.p.Fail(coretest.Fault{Grant: "client_credentials", Status: http.StatusBadRequest, Body: `{"error":"unauthorized_client","error_description":"not you"}`})
	a.wantJSON(a.b.Get(a.path("/machine")), http.StatusBadGateway, "provider_error")
}

// ordersAPI is a typed client as programs write them: it is made once, of a named
// client, and knows nobody.
type ordersAPI struct{ client *http.Client }

func (o ordersAPI) list(ctx context.Context, w io.Writer) error { return get(ctx, o.client, "list", w) }

func get(ctx context.Context, client *http.Client, path string, w io.Writer) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, path, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(w, resp.Body)
	return err
}

func injectedClientServesEachRequestsUser(t *testing.T, f Framework) {
	var service ordersAPI
	a := newApp(t, f, options{routes: []Route{{Path: "/service", Handle: func(c Context, w http.ResponseWriter, _ *http.Request) error {
		return service.list(c, w)
	}}}})
	service = ordersAPI{a.m.HTTPClient("orders")}
	other := a.browser()
	a.login(a.b, "alice")
	a.login(other, "bob")
	for user, b := range map[string]*coretest.Browser{"alice": a.b, "bob": other} {
		if page := b.Get(a.path("/service")); page.Body != fmt.Sprintf("/orders/list of %s", user) {
			t.Errorf("%s gets %d %q", user, page.Status, page.Body)
		}
	}
}

// nobodyIsTheApplicationButADeadSessionIsNot is FirstOf with the application's token
// behind the user's.
func nobodyIsTheApplicationButADeadSessionIsNot(t *testing.T, f Framework) {
	a := newApp(t, f, options{
		config: func(a *app, cfg *core.Config) {
			cfg.HTTPClients["orders"] = core.HTTPClient{BaseURL: a.api.URL + "/orders", Token: core.FirstOf(core.UserToken(), core.ClientToken())}
		},
	})
	if page, want := a.b.Get(a.path("/orders")), "/orders/list of "+a.p.Config().ClientID; page.Body != want {
		t.Errorf("nobody: %d %q, want %q", page.Status, page.Body, want)
	}
	a.login(a.b, "alice")
	if page := a.b.Get(a.path("/orders")); page.Body != "/orders/list of alice" {
		t.Errorf("alice: %d %q", page.Status, page.Body)
	}
	a.p.RevokeGrants("alice")
	called := a.called.Load()
	for range 2 {
		a.wantJSON(a.b.Fetch(http.MethodGet, a.path("/orders"), nil), http.StatusUnauthorized, "login_required")
	}
	if a.called.Load() != called {
		t.Error("the API let somebody in for a session that is dead")
	}
}
