package idp

import (
	"context"
	"crypto/subtle"
	"errors"
	"sync"
	"time"

	jose "github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// storage is the provider's memory. Its other methods are in the files named after what they keep.
type storage struct {
	client client
	api    Credentials
	life   time.Duration
	key    signingKey

	mu       sync.Mutex
	requests map[string]*authRequest // by request ID
	codes    map[string]string       // authorization code to request ID
	access   map[string]accessToken  // by token ID
	grants   map[string]*grant       // by grant ID
	refresh  map[string]string       // refresh token, spent ones included, to grant ID
}

var (
	_ op.Storage                   = (*storage)(nil)
	_ op.CanSetUserinfoFromRequest = (*storage)(nil)
)

func newStorage(cfg Config) (*storage, error) {
	key, err := newSigningKey()
	if err != nil {
		return nil, err
	}
	return &storage{
		client:   client{cfg.Client},
		api:      cfg.API,
		life:     cfg.TokenLife,
		key:      key,
		requests: map[string]*authRequest{},
		codes:    map[string]string{},
		access:   map[string]accessToken{},
		grants:   map[string]*grant{},
		refresh:  map[string]string{},
	}, nil
}

// GetClientByClientID knows one application.
func (s *storage) GetClientByClientID(_ context.Context, id string) (op.Client, error) {
	if id != s.client.ID {
		return nil, oidc.ErrInvalidClient().WithDescription("unknown client")
	}
	return s.client, nil
}

// AuthorizeClientIDSecret lets in the application, and the API for introspection.
func (s *storage) AuthorizeClientIDSecret(_ context.Context, id, secret string) error {
	for _, known := range []Credentials{s.client.Credentials, s.api} {
		if id == known.ID && subtle.ConstantTimeCompare([]byte(secret), []byte(known.Secret)) == 1 {
			return nil
		}
	}
	return errors.New("unknown client, or wrong secret")
}

// Health has nothing to look at.
func (s *storage) Health(context.Context) error { return nil }

// What follows belongs to JWT grants and JWT access tokens, which this provider does not offer.

func (s *storage) GetPrivateClaimsFromScopes(context.Context, string, string, []string) (map[string]any, error) {
	return map[string]any{}, nil
}

func (s *storage) GetKeyByIDAndClientID(context.Context, string, string) (*jose.JSONWebKey, error) {
	return nil, errors.New("no client has a key")
}

func (s *storage) ValidateJWTProfileScopes(context.Context, string, []string) ([]string, error) {
	return nil, errors.New("no client may use a JWT grant")
}
