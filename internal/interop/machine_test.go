package interop_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tokenwell/tokenwell/core"
	"github.com/tokenwell/tokenwell/internal/interop/provider"
)

// Tokens that belong to no user, at npm oidc-provider. How often one was asked for, and with what, is the provider's word.

const clientCredentials = "client_credentials"

// worker is a program without a web side: a manager, and an API that it calls as itself.
type worker struct {
	*core.Manager
	idp *relyingParty
	api *api
}

// newWorker starts a provider, and a worker whose named client "orders" acts as the application itself.
func newWorker(t *testing.T, o provider.OIDCProviderOptions) *worker {
	t.Helper()
	w := &worker{idp: newRelyingParty(t)}
	w.idp.server = provider.StartOIDCProvider(t, o)
	w.idp.discover(t)
	w.api = newAPI(t, w.idp.meta.Introspection, w.idp.server.API)
	w.Manager = newManager(t, core.Config{
		Issuer:       w.idp.server.Issuer,
		ClientID:     w.idp.server.Web.ID,
		ClientSecret: w.idp.server.Web.Secret,
		ClientScopes: []string{"catalog"},
		HTTPClients: map[string]core.HTTPClient{
			"orders": {BaseURL: w.api.url, Token: core.ClientToken()},
		},
		Registrations: map[string]core.Registration{"billing": {
			Issuer: w.idp.server.Issuer, ClientID: "web-post", ClientAuth: core.SecretPost("web-post-secret"),
			Scopes: []string{"orders"}, Resource: "urn:billing",
		}},
	})
	return w
}

func newManager(t *testing.T, cfg core.Config) *core.Manager {
	t.Helper()
	cfg.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	m, err := core.New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := m.Close(ctx); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return m
}

func TestOIDCProviderGivesOneTokenToThousandCallers(t *testing.T) {
	w := newWorker(t, provider.OIDCProviderOptions{TokenDelay: 200 * time.Millisecond})
	tokens := askAtOnce(t, 1000, func() (*core.Token, error) { return w.GetClientAccessToken(t.Context()) })
	if len(tokens) != 1 {
		t.Errorf("a thousand callers got %d different tokens", len(tokens))
	}
	asked := w.idp.server.Requests(t, clientCredentials)
	if len(asked) != 1 || asked[0].Client != "web" || asked[0].Scope != "catalog" || asked[0].Error != "" {
		t.Errorf("the provider saw %+v, want one request of web's for catalog", asked)
	}
	for token := range tokens {
		if said := w.introspect(t, token); !said.Active || said.ClientID != "web" || said.Scope != "catalog" {
			t.Errorf("the provider says of the token: %+v", said)
		}
	}
}

func TestOIDCProviderKeepsScopesApart(t *testing.T) {
	w := newWorker(t, provider.OIDCProviderOptions{})
	for range 2 {
		for scope, opts := range map[string][]core.TokenOption{
			"catalog":        nil,
			"orders":         {core.WithScopes("orders")},
			"orders catalog": {core.WithScopes("orders", "catalog")},
		} {
			tok, err := w.GetClientAccessToken(t.Context(), opts...)
			if err != nil {
				t.Fatal(err)
			}
			if said := w.introspect(t, tok.AccessToken); !sameScopes(said.Scope, scope) || !sameScopes(said.Scope, tok.Scopes...) {
				t.Errorf("asked for %q: the provider granted %q, the token says %q", scope, said.Scope, tok.Scopes)
			}
		}
	}
	if n := len(w.idp.server.Requests(t, clientCredentials)); n != 3 {
		t.Errorf("%d requests for three sets of scopes, want 3", n)
	}
}

func TestOIDCProviderIsAskedAnewOnDemand(t *testing.T) {
	w := newWorker(t, provider.OIDCProviderOptions{})
	first, err := w.GetClientAccessToken(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	forced, err := w.GetClientAccessToken(t.Context(), core.WithForceRenewal())
	if err != nil {
		t.Fatal(err)
	}
	after, err := w.GetClientAccessToken(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if forced.AccessToken == first.AccessToken || after.AccessToken != forced.AccessToken {
		t.Error("a forced renewal gave the old token, or was not kept")
	}
	if n := len(w.idp.server.Requests(t, clientCredentials)); n != 2 {
		t.Errorf("%d requests, want the first and the forced one", n)
	}
}

func TestOIDCProviderSeesNoDeadTokenOfAWorker(t *testing.T) {
	w := newWorker(t, provider.OIDCProviderOptions{})
	var answered time.Time
	for life := range 2 {
		if life > 0 {
			w.api.awaitDead(t, w.api.lastToken(), answered.Add(w.idp.server.AccessTTL))
		}
		if err := w.fetchAtOnce(t, 50, "orders of web"); err != nil {
			t.Error(err)
		}
		answered = time.Now()
	}
	tokens, refused := w.api.counts()
	if asked := len(w.idp.server.Requests(t, clientCredentials)); asked != 2 || tokens != 2 || refused != 0 {
		t.Errorf("%d requests, %d tokens served, %d refused; want 2, 2 and none in two lives of a token", asked, tokens, refused)
	}
}

func TestOIDCProviderRevokedAccessTokenIsRenewedOnce(t *testing.T) {
	w := newWorker(t, provider.OIDCProviderOptions{AccessTTL: time.Hour})
	if err := w.fetchAtOnce(t, 1, "orders of web"); err != nil {
		t.Fatal(err)
	}
	// By hand: for the library it lives on for an hour.
	w.idp.post(t, w.idp.meta.Revocation, url.Values{"token": {w.api.lastToken()}}, nil)
	if n := w.idp.server.Count(t, provider.Revoked); n != 1 {
		t.Fatalf("%d revocations told, want 1", n)
	}
	if err := w.fetchAtOnce(t, 100, "orders of web"); err != nil {
		t.Error(err)
	}
	if n := len(w.idp.server.Requests(t, clientCredentials)); n != 2 {
		t.Errorf("%d requests, want the first and one after a hundred refusals", n)
	}
}

func TestOIDCProviderGivesOneTokenForEachResource(t *testing.T) {
	w := newWorker(t, provider.OIDCProviderOptions{TokenDelay: 100 * time.Millisecond})
	var resources errgroup.Group
	for resource, opts := range map[string][]core.TokenOption{
		"urn:orders":  {core.WithResource("urn:orders")},
		"urn:catalog": {core.WithResource("urn:catalog")},
		"urn:billing": {core.WithRegistration("billing")},
	} {
		resources.Go(func() error {
			tokens := askAtOnce(t, 100, func() (*core.Token, error) { return w.GetClientAccessToken(t.Context(), opts...) })
			for token := range tokens {
				if said := w.introspect(t, token); said.Aud != resource {
					t.Errorf("a token for %s is good at %s", resource, said.Aud)
				}
			}
			return nil
		})
	}
	_ = resources.Wait()
	if got := asked(w.idp.server.Requests(t, clientCredentials)); !slices.Equal(got, []string{"urn:billing", "urn:catalog", "urn:orders"}) {
		t.Errorf("the provider was asked for %q, want each resource once", got)
	}
}

// asked lists what tokens were asked for, sorted.
func asked(events []provider.Event) []string {
	var resources []string
	for _, e := range events {
		resources = append(resources, e.Resource...)
	}
	slices.Sort(resources)
	return resources
}

// askAtOnce asks n times at once and returns how often each token came.
func askAtOnce(t *testing.T, n int, ask func() (*core.Token, error)) map[string]int {
	t.Helper()
	var (
		callers sync.WaitGroup
		mu      sync.Mutex
		tokens  = map[string]int{}
	)
	for range n {
		callers.Go(func() {
			tok, err := ask()
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			tokens[tok.AccessToken]++
		})
	}
	callers.Wait()
	return tokens
}

func (w *worker) introspect(t *testing.T, token string) known {
	t.Helper()
	said, err := w.api.introspect(token)
	if err != nil {
		t.Error(err)
	}
	return said
}

// fetchAtOnce calls the API n times at once through the named client.
func (w *worker) fetchAtOnce(t *testing.T, n int, want string) error {
	t.Helper()
	var calls errgroup.Group
	for range n {
		calls.Go(func() error { return call(t.Context(), w.HTTPClient("orders"), want) })
	}
	return calls.Wait()
}

// call asks for the orders, and says what is not as wanted.
func call(ctx context.Context, client *http.Client, want string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "list", http.NoBody)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK || string(body) != want {
		return fmt.Errorf("orders: %s %q, %w; want %q", resp.Status, body, err, want)
	}
	return nil
}

// sameScopes compares scopes without regard to their order.
func sameScopes(granted string, scopes ...string) bool {
	got, want := strings.Fields(granted), strings.Fields(strings.Join(scopes, " "))
	slices.Sort(got)
	slices.Sort(want)
	return slices.Equal(got, want)
}
