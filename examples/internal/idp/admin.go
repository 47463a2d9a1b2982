package idp

import (
	"maps"
	"net/http"
	"sync"
)

// tokenPath is where zitadel/oidc serves the token endpoint.
const tokenPath = "/oauth/token"

// TokenRequests says how many token requests of a grant type there have been.
func (p *Provider) TokenRequests(grantType string) int {
	p.asked.mu.Lock()
	defer p.asked.mu.Unlock()
	return p.asked.requests[grantType]
}

// EndAccessTokens ends the access tokens of a client, which is free to get others.
func (p *Provider) EndAccessTokens(client string) {
	p.storage.mu.Lock()
	defer p.storage.mu.Unlock()
	maps.DeleteFunc(p.storage.access, func(_ string, t accessToken) bool { return t.clientID == client })
}

// ChangeSecret gives a client another secret, and ends what it got with the old one.
func (p *Provider) ChangeSecret(to Credentials) {
	p.storage.mu.Lock()
	c := p.storage.clients[to.ID]
	c.Credentials = to
	p.storage.clients[to.ID] = c
	p.storage.mu.Unlock()
	p.EndAccessTokens(to.ID)
}

// counter counts token requests by their grant type.
type counter struct {
	mu       sync.Mutex
	requests map[string]int
}

func (c *counter) count(next http.Handler) http.Handler {
	c.requests = map[string]int{}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		grantType := r.PostFormValue("grant_type")
		c.mu.Lock()
		c.requests[grantType]++
		c.mu.Unlock()
		next.ServeHTTP(w, r)
	})
}
