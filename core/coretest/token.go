package coretest

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"regexp"
	"slices"
	"strings"
)

// Grants returns how many token requests of a grant type have arrived, those that
// were refused or met a fault included.
func (p *Provider) Grants(grantType string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, r := range p.requests[TokenEndpoint] {
		if r.Form.Get("grant_type") == grantType {
			n++
		}
	}
	return n
}

// Granted returns how many token requests of a grant type have been granted, those
// included whose answer a fault has altered or lost.
func (p *Provider) Granted(grantType string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.granted[grantType]
}

// token is the token endpoint.
func (p *Provider) token(r *request) answer {
	client, refusal, ok := p.authenticate(r)
	if !ok {
		return refusal
	}
	grantType := r.PostForm.Get("grant_type")
	grant, known := map[string]func(*request, string) answer{
		"authorization_code": p.exchangeCode,
		"refresh_token":      p.exchangeRefresh,
		"client_credentials": p.exchangeClient,
		tokenExchange:        p.exchangeToken,
	}[grantType]
	if !known {
		return oauthError(http.StatusBadRequest, "unsupported_grant_type", "")
	}
	if !validResources(r.PostForm["resource"]) {
		return oauthError(http.StatusBadRequest, "invalid_target", "resource is not an absolute URI")
	}
	a := grant(r, client)
	if a.status == http.StatusOK {
		if p.options.Answer != nil {
			p.options.Answer(a.json)
		}
		p.mu.Lock()
		p.granted[grantType]++
		p.mu.Unlock()
	}
	return a
}

var verifierSyntax = regexp.MustCompile(`^[A-Za-z0-9._~-]{43,128}$`) // RFC 7636, section 4.1

func (p *Provider) exchangeCode(r *request, client string) answer {
	form := r.PostForm
	verifier := form.Get("code_verifier")
	challenge := sha256.Sum256([]byte(verifier))
	refuse := func(description string) answer {
		return oauthError(http.StatusBadRequest, "invalid_grant", description)
	}

	p.mu.Lock()
	c := p.codes[form.Get("code")]
	if c == nil || c.client != client {
		p.mu.Unlock()
		return refuse("unknown code")
	}
	var refusal string
	switch {
	case c.used:
		c.revoked = true // RFC 6749, section 4.1.2: somebody else may have its tokens
		refusal = "the code was used before"
	case c.revoked || !p.now.Before(c.expiry):
		refusal = "the code has expired"
	case c.redirectURL != form.Get("redirect_uri"):
		refusal = "redirect_uri is not that of the authorization request"
	case !verifierSyntax.MatchString(verifier),
		c.challenge != base64.RawURLEncoding.EncodeToString(challenge[:]):
		refusal = "code_verifier does not match"
	}
	c.used = true
	if refusal != "" {
		p.mu.Unlock()
		return refuse(refusal)
	}
	resources := c.resources
	if form.Has("resource") {
		resources = form["resource"]
	}
	fields := p.issueTokens(c.grant, c.scopes, resources)
	if slices.Contains(c.scopes, "offline_access") && !p.options.NoRefreshToken {
		fields["refresh_token"] = p.issueRefresh(c.grant)
	}
	p.mu.Unlock()
	return p.withIDToken(r, fields, c.grant, c.nonce)
}

func (p *Provider) exchangeRefresh(r *request, client string) answer {
	form := r.PostForm
	refuse := func(code, description string) answer {
		p.mu.Unlock()
		return oauthError(http.StatusBadRequest, code, description)
	}

	p.mu.Lock()
	t := p.refresh[form.Get("refresh_token")]
	switch {
	case t == nil || t.client != client:
		return refuse("invalid_grant", "unknown refresh token")
	case t.consumed:
		p.reused++
		t.revoked = true // RFC 9700, section 4.14.2: nobody knows which of the two is the thief
		return refuse("invalid_grant", "the refresh token was used before")
	case !t.live(p.now):
		return refuse("invalid_grant", "the refresh token is no longer in force")
	}
	scopes := t.scopes
	if form.Get("scope") != "" {
		scopes = strings.Fields(form.Get("scope"))
	}
	for _, scope := range scopes {
		if !slices.Contains(t.scopes, scope) {
			return refuse("invalid_scope", "scope was not granted: "+scope)
		}
	}
	resources := t.resources
	if form.Has("resource") {
		resources = form["resource"]
	}
	fields := p.issueTokens(t.grant, scopes, resources)
	if !p.options.NoRotation {
		t.consumed = true
		fields["refresh_token"] = p.issueRefresh(t.grant)
	}
	p.mu.Unlock()
	if p.options.NoRefreshedIDToken {
		return jsonAnswer(http.StatusOK, fields)
	}
	return p.withIDToken(r, fields, t.grant, "")
}

func (p *Provider) exchangeClient(r *request, client string) answer {
	if secret, _ := p.options.secret(client); secret == "" {
		return oauthError(http.StatusBadRequest, "unauthorized_client", "a public client has no tokens of its own")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	t := p.issueAccess(nil, AccessToken{
		Subject:  client,
		ClientID: client,
		Scopes:   strings.Fields(r.PostForm.Get("scope")),
		Audience: r.PostForm["resource"],
	})
	return jsonAnswer(http.StatusOK, p.fields(t))
}

// issueTokens must be called with p.mu held, like fields.
func (p *Provider) issueTokens(g *grant, scopes, resources []string) map[string]any {
	return p.fields(p.issueAccess(g, AccessToken{
		Subject:  g.user,
		ClientID: g.client,
		Scopes:   slices.Clone(scopes),
		Audience: slices.Clone(resources),
	}))
}

func (p *Provider) fields(t *accessToken) map[string]any {
	return map[string]any{
		"access_token": t.Value,
		"token_type":   "Bearer",
		"expires_in":   int(p.options.AccessTokenLife.Seconds()),
		"scope":        strings.Join(t.Scopes, " "),
	}
}

// withIDToken signs outside the lock: it takes a millisecond, and Claims functions
// may call the provider.
func (p *Provider) withIDToken(r *request, fields map[string]any, g *grant, nonce string) answer {
	if slices.Contains(g.scopes, "openid") {
		token, err := p.idToken(g, nonce, fields["access_token"].(string), r.fault)
		if err != nil {
			return oauthError(http.StatusInternalServerError, "server_error", err.Error())
		}
		fields["id_token"] = token
	}
	return jsonAnswer(http.StatusOK, fields)
}
