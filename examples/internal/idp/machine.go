package idp

import (
	"context"
	"slices"

	jose "github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// machineRequest asks for a token of a client's own.
type machineRequest struct {
	client client
	scopes []string
}

func (r machineRequest) GetSubject() string    { return r.client.ID }
func (r machineRequest) GetAudience() []string { return []string{r.client.ID} }
func (r machineRequest) GetScopes() []string   { return r.scopes }

// ClientCredentials lets in whoever knows the client's secret.
func (s *storage) ClientCredentials(ctx context.Context, id, secret string) (op.Client, error) {
	if err := s.AuthorizeClientIDSecret(ctx, id, secret); err != nil {
		return nil, err
	}
	return s.GetClientByClientID(ctx, id)
}

// ClientCredentialsTokenRequest serves RFC 6749, section 4.4.
func (s *storage) ClientCredentialsTokenRequest(_ context.Context, id string, asked []string) (op.TokenRequest, error) {
	c, err := s.lookUp(id)
	if err != nil {
		return nil, err
	}
	scopes, err := c.grantable(asked)
	return machineRequest{client: c, scopes: scopes}, err
}

// GetKeyByIDAndClientID finds the key that checks a client's assertion (RFC 7523).
func (s *storage) GetKeyByIDAndClientID(_ context.Context, keyID, id string) (*jose.JSONWebKey, error) {
	c, err := s.lookUp(id)
	if err != nil || c.Key == nil || c.Key.KeyID != keyID {
		return nil, oidc.ErrInvalidGrant().WithDescription("nobody's assertion")
	}
	return c.Key, nil
}

// ValidateJWTProfileScopes serves RFC 7523, section 2.1, once the assertion has been checked.
func (s *storage) ValidateJWTProfileScopes(_ context.Context, id string, asked []string) ([]string, error) {
	c, err := s.lookUp(id)
	if err != nil {
		return nil, err
	}
	return c.grantable(asked)
}

// grantable returns the scopes that were asked for, or, where none were, all that the client may have.
func (c client) grantable(asked []string) ([]string, error) {
	if len(asked) == 0 {
		return c.Scopes, nil
	}
	for _, scope := range asked {
		if !slices.Contains(c.Scopes, scope) {
			return nil, oidc.ErrInvalidScope()
		}
	}
	return asked, nil
}
