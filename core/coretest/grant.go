package coretest

import (
	"crypto/rand"
	"slices"
	"strings"
	"time"
)

// grant is what a user has allowed a client at one login. All tokens of it end with
// it.
type grant struct {
	client    string
	user      string
	scopes    []string
	resources []string
	sid       string
	authTime  time.Time
	acr       string
	revoked   bool
}

type code struct {
	*grant
	redirectURL string
	challenge   string
	nonce       string
	expiry      time.Time
	used        bool
}

type refreshToken struct {
	*grant
	expiry   time.Time // zero: never
	consumed bool
}

type accessToken struct {
	AccessToken
	grant   *grant // nil: a client's own
	revoked bool
}

func (t *refreshToken) live(now time.Time) bool {
	return !t.consumed && !t.revoked && (t.expiry.IsZero() || now.Before(t.expiry))
}

func (t *accessToken) live(now time.Time) bool {
	return !t.revoked && (t.grant == nil || !t.grant.revoked) && now.Before(t.Expiry)
}

// issueAccess must be called with p.mu held, like the functions below it.
func (p *Provider) issueAccess(g *grant, t AccessToken) *accessToken {
	t.Value = padded("at_"+rand.Text(), p.options.AccessTokenSize)
	t.Expiry = p.now.Add(p.options.AccessTokenLife)
	issued := &accessToken{AccessToken: t, grant: g}
	p.access[t.Value] = issued
	return issued
}

func (p *Provider) issueRefresh(g *grant) string {
	t := &refreshToken{grant: g}
	if p.options.RefreshTokenLife != 0 {
		t.expiry = p.now.Add(p.options.RefreshTokenLife)
	}
	value := "rt_" + rand.Text()
	p.refresh[value] = t
	return value
}

func padded(s string, size int) string {
	return s + strings.Repeat("x", max(0, size-len(s)))
}

// Reused returns how many times a refresh token has been presented to the token
// endpoint after it was consumed: a client that keeps the rules never does that.
// The first time ends the grant.
func (p *Provider) Reused() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.reused
}

// RefreshTokens returns the user's refresh tokens that are in force; "" stands for
// all users.
func (p *Provider) RefreshTokens(user string) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var live []string
	for value, t := range p.refresh {
		if t.live(p.now) && (user == "" || t.user == user) {
			live = append(live, value)
		}
	}
	slices.Sort(live)
	return live
}

// AccessTokens returns the access tokens in force whose subject is the user, or the
// client that asked for its own; "" stands for all.
func (p *Provider) AccessTokens(subject string) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var live []string
	for value, t := range p.access {
		if t.live(p.now) && (subject == "" || t.Subject == subject) {
			live = append(live, value)
		}
	}
	slices.Sort(live)
	return live
}

// RevokeAccessTokens revokes what AccessTokens returns: APIs answer 401 to tokens
// whose expiry has not come, and refresh tokens stay in force.
func (p *Provider) RevokeAccessTokens(subject string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, t := range p.access {
		if subject == "" || t.Subject == subject {
			t.revoked = true
		}
	}
}

// RevokeGrants ends all grants of the user, access and refresh tokens included; ""
// stands for all users.
func (p *Provider) RevokeGrants(user string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, t := range p.refresh {
		if user == "" || t.user == user {
			t.revoked = true
		}
	}
	for _, t := range p.access {
		if t.grant != nil && (user == "" || t.grant.user == user) {
			t.grant.revoked = true
		}
	}
	for _, c := range p.codes {
		if user == "" || c.user == user {
			c.revoked = true
		}
	}
}
