package interop_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

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
	known, err := a.introspect(token)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if !known.Active || a.banned[token] {
		a.refused++
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
		http.Error(w, "dead token", http.StatusUnauthorized)
		return
	}
	a.served[token]++
	a.last = token
	_, _ = fmt.Fprintf(w, "orders of %s", known.holder())
}

// known is what the provider says about a token.
type known struct {
	Active   bool
	Sub      string
	Username string // Keycloak's, whose sub is a number of its own
	ClientID string `json:"client_id"`
	Scope    string
	Aud      string
}

// holder is the user whose token it is, or the client whose own it is.
func (k known) holder() string { return cmp.Or(k.Username, k.Sub, k.ClientID) }

func (a *api) introspect(token string) (answer known, err error) {
	form := url.Values{"token": {token}, "token_type_hint": {"access_token"}}
	req, err := http.NewRequest(http.MethodPost, a.introspection, strings.NewReader(form.Encode()))
	if err != nil {
		return known{}, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(a.client.ID, a.client.Secret)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return known{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return known{}, fmt.Errorf("introspection: %s", resp.Status)
	}
	err = json.NewDecoder(resp.Body).Decode(&answer)
	return answer, err
}

// awaitDead waits until a token is dead for the provider, and the announced end of its life is past.
func (a *api) awaitDead(t *testing.T, token string, announced time.Time) {
	t.Helper()
	deadline := announced.Add(10 * time.Second)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		said, err := a.introspect(token)
		if err != nil {
			t.Fatal(err)
		}
		if !said.Active && time.Now().After(announced) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("a token is alive ten seconds after its announced end at %v", announced)
		}
		<-tick.C
	}
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
