package idp

import (
	"context"
	"crypto/subtle"
	"errors"
	"sync"
	"time"

	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// storage is the provider's memory. Its other methods are in the files named after what they keep.
type storage struct {
	life time.Duration
	key  signingKey

	mu       sync.Mutex
	clients  map[string]client       // by their ID
	requests map[string]*authRequest // by request ID
	codes    map[string]string       // authorization code to request ID
	access   map[string]accessToken  // by token ID
	grants   map[string]*grant       // by grant ID
	refresh  map[string]string       // refresh token, spent ones included, to grant ID
}

var (
	_ op.Storage                   = (*storage)(nil)
	_ op.CanSetUserinfoFromRequest = (*storage)(nil)
	_ op.ClientCredentialsStorage  = (*storage)(nil)
	_ op.TokenExchangeStorage      = (*storage)(nil)
)

func newStorage(cfg Config) (*storage, error) {
	key, err := newSigningKey()
	if err != nil {
		return nil, err
	}
	s := &storage{
		life:     cfg.TokenLife,
		key:      key,
		clients:  map[string]client{},
		requests: map[string]*authRequest{},
		codes:    map[string]string{},
		access:   map[string]accessToken{},
		grants:   map[string]*grant{},
		refresh:  map[string]string{},
	}
	for _, c := range cfg.Clients {
		s.clients[c.ID] = client{c}
	}
	return s, nil
}

var errUnknownClient = errors.New("unknown client, or wrong secret")

func (s *storage) lookUp(id string) (client, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, ok := s.clients[id]
	if !ok {
		return client{}, errUnknownClient
	}
	return c, nil
}

// GetClientByClientID finds a client.
func (s *storage) GetClientByClientID(_ context.Context, id string) (op.Client, error) {
	c, err := s.lookUp(id)
	if err != nil {
		return nil, oidc.ErrInvalidClient().WithDescription("unknown client")
	}
	return c, nil
}

// AuthorizeClientIDSecret lets in the client whose secret it is.
func (s *storage) AuthorizeClientIDSecret(_ context.Context, id, secret string) error {
	c, err := s.lookUp(id)
	if err != nil || c.Secret == "" || subtle.ConstantTimeCompare([]byte(secret), []byte(c.Secret)) != 1 {
		return errUnknownClient
	}
	return nil
}

// Health has nothing to look at.
func (s *storage) Health(context.Context) error { return nil }

// GetPrivateClaimsFromScopes belongs to JWT access tokens, which this provider does not offer.
func (s *storage) GetPrivateClaimsFromScopes(context.Context, string, string, []string) (map[string]any, error) {
	return map[string]any{}, nil
}
