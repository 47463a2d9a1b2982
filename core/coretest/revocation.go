package coretest

import (
	"net/http"
)

// revoke is the revocation endpoint (RFC 7009). A refresh token takes its whole
// grant with it, consumed or not; an access token only itself.
func (p *Provider) revoke(r *request) answer {
	client, refusal, ok := p.authenticate(r)
	if !ok {
		return refusal
	}
	value := r.PostForm.Get("token")
	if value == "" {
		return oauthError(http.StatusBadRequest, "invalid_request", "no token")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if t := p.refresh[value]; t != nil {
		if t.client != client {
			return oauthError(http.StatusBadRequest, "invalid_grant", "another client's token")
		}
		t.revoked = true
	}
	if t := p.access[value]; t != nil {
		if t.ClientID != client {
			return oauthError(http.StatusBadRequest, "invalid_grant", "another client's token")
		}
		t.revoked = true
	}
	return answer{status: http.StatusOK} // for unknown tokens too: section 2.2
}
