package core_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tokenwell/tokenwell/core"
	"github.com/tokenwell/tokenwell/core/coretest"
)

// clientAPI is an API that remembers what has reached it.
type clientAPI struct {
	*httptest.Server
	mu   sync.Mutex
	seen []clientRequest
}

type clientRequest struct {
	Method, URI, Body string
	Header            http.Header
}

// newClientAPI starts an API with this handler, which may read the body again; nil:
// one that says "ok".
func newClientAPI(t testing.TB, h http.HandlerFunc) *clientAPI {
	return startClientAPI(t, h, (*httptest.Server).Start)
}

func startClientAPI(t testing.TB, h http.HandlerFunc, start func(*httptest.Server)) *clientAPI {
	t.Helper()
	if h == nil {
		h = func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }
	}
	api := &clientAPI{}
	api.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		api.mu.Lock()
		api.seen = append(api.seen, clientRequest{r.Method, r.RequestURI, string(body), r.Header.Clone()})
		api.mu.Unlock()
		r.Body = io.NopCloser(strings.NewReader(string(body)))
		h(w, r)
	}))
	start(api.Server)
	t.Cleanup(func() {
		api.CloseClientConnections()
		api.Close()
	})
	return api
}

func (api *clientAPI) requests() []clientRequest {
	api.mu.Lock()
	defer api.mu.Unlock()
	return api.seen
}

// wantURIs fails unless these requests have reached the API, in this order.
func (api *clientAPI) wantURIs(t testing.TB, want ...string) {
	t.Helper()
	var got []string
	for _, r := range api.requests() {
		got = append(got, r.URI)
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("the API has got %q, want %q", got, want)
	}
}

// wantTokens fails unless the requests that have reached the API carried these
// tokens, in this order.
func (api *clientAPI) wantTokens(t testing.TB, want ...string) {
	t.Helper()
	var got []string
	for _, r := range api.requests() {
		got = append(got, strings.Join(r.Header.Values("Authorization"), ", "))
	}
	for i := range want {
		want[i] = "Bearer " + want[i]
	}
	if strings.Join(got, "; ") != strings.Join(want, "; ") {
		t.Errorf("Authorization was %q, want %q", got, want)
	}
}

// accepting is a handler that answers 401 unless the token is the one given.
func accepting(token string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+token {
			w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
			http.Error(w, "not this one", http.StatusUnauthorized)
			return
		}
		_, _ = io.WriteString(w, "welcome")
	}
}

// newClientManager starts a manager that has no need of a provider, with these named
// clients.
func newClientManager(t testing.TB, clients map[string]core.HTTPClient) *core.Manager {
	t.Helper()
	return startClientManager(t, core.Config{
		ClientID:    "app",
		Endpoints:   &core.Endpoints{Token: "https://login.test/token"},
		HTTPClients: clients,
	})
}

// newUserManager starts a manager of a provider's users, whose client "api" carries
// their tokens.
func newUserManager(t testing.TB, p *coretest.Provider, api string, tokens core.TokenRetriever) *core.Manager {
	t.Helper()
	cfg := p.Config()
	cfg.HTTPClients = map[string]core.HTTPClient{"api": {BaseURL: api, Token: tokens}}
	return startClientManager(t, cfg)
}

func startClientManager(t testing.TB, cfg core.Config) *core.Manager {
	t.Helper()
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	m, err := core.New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = m.Close(ctx)
	})
	return m
}

// newNamedClient returns a named client of an API with this base URL.
func newNamedClient(t testing.TB, base string, tokens core.TokenRetriever) *http.Client {
	t.Helper()
	return newClientManager(t, map[string]core.HTTPClient{"api": {BaseURL: base, Token: tokens}}).HTTPClient("api")
}

// tokensInTurn returns the first of these tokens until it is rejected, then the next,
// and so on; it fails when there are no more.
func tokensInTurn(values ...string) core.TokenRetriever {
	tokens := make([]*core.Token, len(values))
	for i, v := range values {
		tokens[i] = &core.Token{AccessToken: v}
	}
	var mu sync.Mutex
	current := 0
	return core.RetrieverFunc(func(_ context.Context, req core.TokenRequest) (*core.Token, error) {
		mu.Lock()
		defer mu.Unlock()
		if req.ForceRenewal && req.Rejected == tokens[current] {
			current++
		}
		if current == len(tokens) {
			current--
			return nil, errNoMoreTokens
		}
		return tokens[current], nil
	})
}

var errNoMoreTokens = &core.Error{Op: "test", Description: "no more tokens"}

func newESProvider(t testing.TB) *coretest.Provider {
	t.Helper()
	return coretest.NewProvider(t, coretest.Options{Algorithm: "ES256"}) // its keys are made in no time
}

// newRequest makes a request whose method, if it is to be another than GET, stands
// before its URL.
func newRequest(ctx context.Context, t testing.TB, target string, body io.Reader) *http.Request {
	t.Helper()
	method, url, ok := strings.Cut(target, " ")
	if !ok {
		method, url = http.MethodGet, target
	}
	r, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// do sends a request and returns the status and body of the answer.
func do(t testing.TB, c *http.Client, r *http.Request) (int, string, error) {
	t.Helper()
	resp, err := c.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body), err
}

// get is do for a plain request that must be answered.
func get(ctx context.Context, t testing.TB, c *http.Client, target string) (int, string) {
	t.Helper()
	status, body, err := do(t, c, newRequest(ctx, t, target, nil))
	if err != nil {
		t.Fatal(err)
	}
	return status, body
}

// waitFor gives up on what should have happened long ago.
func waitFor[T any](t testing.TB, what string, c <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(10 * time.Second):
		t.Fatalf("in vain: %s", what)
	}
	return v
}
