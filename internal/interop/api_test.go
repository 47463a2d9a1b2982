package interop_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/tokenwell/tokenwell/internal/interop/provider"
)

// api is a protected API that believes nobody but the provider: it introspects every token (RFC 7662).
type api struct {
	url           string
	introspection string
	client        provider.Client

	mu      sync.Mutex
	served  map[string]int // answers 200 by access token
	refused int
	banned  map[string]bool
	last    string // the token served last
}

func newAPI(t *testing.T, introspection string, client provider.Client) *api {
	t.Helper()
	a := &api{introspection: introspection, client: client, served: map[string]int{}, banned: map[string]bool{}}
	srv := httptest.NewServer(a)
	t.Cleanup(srv.Close)
	a.url = srv.URL + "/orders/"
	return a
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		http.Error(w, "no bearer token", http.StatusUnauthorized)
		return
	}
	sub, active, err := a.introspect(token)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if !active || a.banned[token] {
		a.refused++
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
		http.Error(w, "dead token", http.StatusUnauthorized)
		return
	}
	a.served[token]++
	a.last = token
	_, _ = fmt.Fprintf(w, "orders of %s", sub)
}

func (a *api) introspect(token string) (sub string, active bool, err error) {
	form := url.Values{"token": {token}, "token_type_hint": {"access_token"}}
	req, err := http.NewRequest(http.MethodPost, a.introspection, strings.NewReader(form.Encode()))
	if err != nil {
		return "", false, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(a.client.ID, a.client.Secret)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", false, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return "", false, fmt.Errorf("introspection: %s", resp.Status)
	}
	var answer struct {
		Active   bool
		Sub      string
		Username string
	}
	err = json.NewDecoder(resp.Body).Decode(&answer)
	if answer.Username != "" {
		answer.Sub = answer.Username // Keycloak's sub is a number of its own
	}
	return answer.Sub, answer.Active, err
}

// ban makes the API refuse a token that is alive.
func (a *api) ban(token string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.banned[token] = true
}

// lastToken is the access token that the API accepted last.
func (a *api) lastToken() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.last
}

// counts returns how many different tokens were accepted, and how many requests were refused.
func (a *api) counts() (tokens, refused int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.served), a.refused
}
