package idp

import (
	"context"
	"crypto/rand"
	"maps"
	"time"

	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// grace is how much longer an access token works than its expires_in says. That number is cut to whole seconds, and
// without it would always be one less than the configured life.
const grace = time.Second / 2

// grant is one person's consent to one application: all refresh tokens that came of it, of which one works.
type grant struct {
	id       string
	user     *user
	clientID string
	scopes   []string
	authTime time.Time
	current  string
}

// accessToken is what the provider remembers of a token. The token itself is its ID, encrypted.
type accessToken struct {
	user     *user             // nil: a client's own
	actor    *oidc.ActorClaims // who acts for the user; nil: nobody says so
	grantID  string            // "" without a refresh token
	clientID string
	scopes   []string
	expires  time.Time // before it is issued: the latest
}

// refreshRequest asks for the next tokens of a grant.
type refreshRequest struct {
	grant
	asked []string
}

func (r *refreshRequest) GetAMR() []string            { return []string{"pwd"} }
func (r *refreshRequest) GetAudience() []string       { return []string{r.clientID} }
func (r *refreshRequest) GetAuthTime() time.Time      { return r.authTime }
func (r *refreshRequest) GetClientID() string         { return r.clientID }
func (r *refreshRequest) GetScopes() []string         { return r.asked }
func (r *refreshRequest) GetSubject() string          { return r.user.subject }
func (r *refreshRequest) SetCurrentScopes(s []string) { r.asked = s }

// CreateAccessToken serves whoever asks for no refresh token.
func (s *storage) CreateAccessToken(_ context.Context, req op.TokenRequest) (string, time.Time, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var t accessToken
	switch req := req.(type) {
	case *authRequest:
		t = accessToken{user: req.user, clientID: req.asked.ClientID, scopes: req.asked.Scopes}
	case machineRequest:
		t = accessToken{clientID: req.client.ID, scopes: req.scopes}
	case *oidc.JWTTokenRequest:
		t = accessToken{clientID: req.Issuer, scopes: req.Scopes}
	case op.TokenExchangeRequest:
		var err error // the tokens may have ended since they were looked at
		if t, err = s.exchangeable(req, s.clients[req.GetClientID()]); err != nil {
			return "", time.Time{}, err
		}
	default:
		return "", time.Time{}, oidc.ErrUnsupportedGrantType()
	}
	id, expires := s.issue(t)
	return id, expires, nil
}

// CreateAccessAndRefreshTokens begins a grant, or rotates its refresh token: the one that was sent does not work again.
func (s *storage) CreateAccessAndRefreshTokens(_ context.Context, req op.TokenRequest, sent string) (string, string, time.Time, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var g *grant
	switch req := req.(type) {
	case *authRequest:
		g = &grant{
			id: rand.Text(), user: req.user, clientID: req.asked.ClientID,
			scopes: req.asked.Scopes, authTime: req.authTime,
		}
		s.grants[g.id] = g
	case *refreshRequest:
		// Another request may have spent the token since it was looked up.
		if g = s.grants[req.id]; g == nil || g.current != sent {
			return "", "", time.Time{}, oidc.ErrInvalidGrant()
		}
	default:
		return "", "", time.Time{}, oidc.ErrUnsupportedGrantType()
	}
	g.current = rand.Text()
	s.refresh[g.current] = g.id
	id, expires := s.issue(accessToken{user: g.user, grantID: g.id, clientID: g.clientID, scopes: req.GetScopes()})
	return id, g.current, expires, nil
}

// issue is called with the lock held.
func (s *storage) issue(t accessToken) (id string, expires time.Time) {
	now := time.Now()
	maps.DeleteFunc(s.access, func(_ string, t accessToken) bool { return !now.Before(t.expires) })
	if end := now.Add(s.life + grace); t.expires.IsZero() || end.Before(t.expires) {
		t.expires = end
	}
	id = rand.Text()
	s.access[id] = t
	return id, t.expires
}

// TokenRequestByRefreshToken ends the whole grant when a spent token comes back: one of its two senders is a thief
// (RFC 9700, section 4.14.2).
func (s *storage) TokenRequestByRefreshToken(_ context.Context, token string) (op.RefreshTokenRequest, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.grants[s.refresh[token]]
	if g == nil {
		return nil, op.ErrInvalidRefreshToken
	}
	if g.current != token {
		s.end(g)
		return nil, op.ErrInvalidRefreshToken
	}
	return &refreshRequest{grant: *g, asked: g.scopes}, nil
}

// end forgets a grant and every token of it. It is called with the lock held.
func (s *storage) end(g *grant) {
	delete(s.grants, g.id)
	maps.DeleteFunc(s.refresh, func(_, id string) bool { return id == g.id })
	maps.DeleteFunc(s.access, func(_ string, t accessToken) bool { return t.grantID == g.id })
}

// GetRefreshTokenInfo names the grant as the token's ID, so that revoking any refresh token ends the grant.
func (s *storage) GetRefreshTokenInfo(_ context.Context, _, token string) (subject, id string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.grants[s.refresh[token]]
	if g == nil {
		return "", "", op.ErrInvalidRefreshToken
	}
	return g.user.subject, g.id, nil
}

// RevokeToken takes the ID of a grant or of an access token. What it does not know is revoked already (RFC 7009, section 2.2).
func (s *storage) RevokeToken(_ context.Context, id, _, clientID string) *oidc.Error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if g := s.grants[id]; g != nil {
		if g.clientID != clientID {
			return oidc.ErrInvalidClient().WithDescription("the token is another client's")
		}
		s.end(g)
	}
	if t, ok := s.access[id]; ok {
		if t.clientID != clientID {
			return oidc.ErrInvalidClient().WithDescription("the token is another client's")
		}
		delete(s.access, id)
	}
	return nil
}

// TerminateSession has nothing to end: nobody stays signed in at this provider, and an application's tokens end when it
// revokes them.
func (s *storage) TerminateSession(context.Context, string, string) error { return nil }
