package idp

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

var errInactive = errors.New("the token is unknown, expired or revoked")

// alive is called with the ID of an access token.
func (s *storage) alive(id string) (accessToken, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, ok := s.living(id)
	if !ok {
		return accessToken{}, errInactive
	}
	return t, nil
}

// living is alive with the lock held.
func (s *storage) living(id string) (accessToken, bool) {
	t, ok := s.access[id]
	return t, ok && time.Now().Before(t.expires)
}

// SetIntrospectionFromToken tells APIs, and nobody else, whose token they were shown.
func (s *storage) SetIntrospectionFromToken(_ context.Context, answer *oidc.IntrospectionResponse, id, _, asker string) error {
	if c, err := s.lookUp(asker); err != nil || !c.Introspects {
		return errInactive
	}
	t, err := s.alive(id)
	if err != nil {
		return err
	}
	answer.Subject = t.clientID
	if t.user != nil {
		answer.Subject, answer.Username = t.user.subject, t.user.username
	}
	answer.ClientID = t.clientID
	answer.Actor = t.actor
	answer.Scope = t.scopes
	answer.TokenType = oidc.BearerToken
	answer.Expiration = oidc.FromTime(t.expires)
	return nil
}

// SetUserinfoFromToken answers at the userinfo endpoint.
func (s *storage) SetUserinfoFromToken(_ context.Context, info *oidc.UserInfo, id, _, _ string) error {
	t, err := s.alive(id)
	if err != nil {
		return err
	}
	if t.user == nil {
		return errors.New("the token is nobody's")
	}
	t.user.describe(info, t.scopes)
	return nil
}

// SetUserinfoFromRequest fills the ID token.
func (s *storage) SetUserinfoFromRequest(_ context.Context, info *oidc.UserInfo, req op.IDTokenRequest, scopes []string) error {
	u := findUser(req.GetSubject())
	if u == nil {
		return errors.New("no such user")
	}
	u.describe(info, scopes)
	return nil
}

// SetUserinfoFromScopes is the deprecated form of SetUserinfoFromRequest, which does its work.
func (s *storage) SetUserinfoFromScopes(context.Context, *oidc.UserInfo, string, string, []string) error {
	return nil
}

func (u *user) describe(info *oidc.UserInfo, scopes []string) {
	info.Subject = u.subject
	if slices.Contains(scopes, oidc.ScopeProfile) {
		info.Name = u.name
		info.PreferredUsername = u.username
	}
	if slices.Contains(scopes, oidc.ScopeEmail) {
		info.Email = u.email
		info.EmailVerified = true
	}
}
