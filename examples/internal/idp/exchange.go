package idp

import (
	"context"
	"errors"
	"slices"

	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// ValidateTokenExchangeRequest serves RFC 8693: a client that was shown a person's access token gets one to act for them
// elsewhere. It must be a client that may, the token one that was meant for it, and the actor, if it names one, itself.
func (s *storage) ValidateTokenExchangeRequest(_ context.Context, req op.TokenExchangeRequest) error {
	c, err := s.lookUp(req.GetClientID())
	if err != nil {
		return oidc.ErrInvalidClient()
	}
	if c.Exchanges == "" {
		return oidc.ErrUnauthorizedClient()
	}
	if t := req.GetRequestedTokenType(); t != "" && t != oidc.AccessTokenType {
		return oidc.ErrInvalidRequest().WithDescription("only access tokens are to be had")
	}
	if len(req.GetAudience()) > 0 || len(req.GetResourses()) > 0 {
		return &oidc.Error{ErrorType: oidc.InvalidTarget, Description: "services are told apart by their scopes"}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.exchangeable(req, c); err != nil {
		return err
	}
	scopes, err := c.grantable(req.GetScopes())
	if err != nil {
		return err
	}
	req.SetRequestedTokenType(oidc.AccessTokenType)
	req.SetCurrentScopes(scopes)
	return nil
}

// exchangeable returns the access token that the client gets for those of the subject and the actor. It is called with
// the lock held.
func (s *storage) exchangeable(req op.TokenExchangeRequest, c client) (accessToken, error) {
	subject, ok := s.living(req.GetExchangeSubjectTokenIDOrToken())
	if !ok || req.GetExchangeSubjectTokenType() != oidc.AccessTokenType || subject.user == nil || !slices.Contains(subject.scopes, c.Exchanges) {
		return accessToken{}, oidc.ErrInvalidRequest().WithDescription("the subject token is not one of a person's, alive and meant for this client")
	}
	actor := subject.actor
	if id := req.GetExchangeActorTokenIDOrToken(); id != "" {
		t, ok := s.living(id)
		if !ok || req.GetExchangeActorTokenType() != oidc.AccessTokenType || t.user != nil || t.clientID != c.ID {
			return accessToken{}, oidc.ErrInvalidRequest().WithDescription("the actor token is not the client's own, and alive")
		}
		actor = &oidc.ActorClaims{Actor: actor, Subject: c.ID}
	}
	return accessToken{
		user: subject.user, actor: actor, grantID: subject.grantID, clientID: c.ID,
		scopes: req.GetScopes(), expires: subject.expires,
	}, nil
}

// CreateTokenExchangeRequest has nothing to note.
func (s *storage) CreateTokenExchangeRequest(context.Context, op.TokenExchangeRequest) error {
	return nil
}

// GetPrivateClaimsFromTokenExchangeRequest belongs to JWT access tokens, and SetUserinfoFromTokenExchangeRequest to ID
// tokens: neither is to be had for an exchange.
func (s *storage) GetPrivateClaimsFromTokenExchangeRequest(context.Context, op.TokenExchangeRequest) (map[string]any, error) {
	return nil, errOnlyOpaque
}

// SetUserinfoFromTokenExchangeRequest is never called.
func (s *storage) SetUserinfoFromTokenExchangeRequest(context.Context, *oidc.UserInfo, op.TokenExchangeRequest) error {
	return errOnlyOpaque
}

var errOnlyOpaque = errors.New("an exchange gives opaque access tokens")
