package core

import (
	"context"
	"sync/atomic"
)

// GetClientAccessToken returns an access token of the application itself, by the
// client credentials grant (RFC 6749 section 4.4), or of the registration that
// [WithRegistration] names. It is returned at once while it is fresh; shortly before
// it expires it is still returned at once, and renewed behind the caller; once it
// has expired the caller waits for the renewal, which all callers share and none can
// interrupt by leaving. It is shared with other processes through the Store.
//
// A token is kept for each combination of registration, scopes, resource and
// parameters. A failure is not kept, but the next request to the provider waits for
// as long as it asked, or for a while that grows from failure to failure; meanwhile
// callers get that failure, or the token that is still alive. A Store that fails is
// done without.
//
// It fails with an *[Error], which wraps the context's error when ctx ends first. It
// is safe for concurrent use.
func (m *Manager) GetClientAccessToken(ctx context.Context, opts ...TokenOption) (*Token, error) {
	if m == nil {
		return nil, ErrNoManager
	}
	return m.clientToken(ctx, TokenRequest{}.with(opts))
}

// ClientToken retrieves the token of the application itself, as
// [Manager.GetClientAccessToken] does. opts are its defaults; [WithRegistration]
// among them makes it that of another client.
func ClientToken(opts ...TokenOption) TokenRetriever {
	return &clientToken{TokenRequest{}.with(opts)}
}

type clientToken struct{ defaults TokenRequest }

func (c *clientToken) RetrieveToken(ctx context.Context, req TokenRequest) (*Token, error) {
	m, err := req.asker(ctx)
	if err != nil {
		return nil, err
	}
	return m.clientToken(ctx, req.withDefaults(&c.defaults))
}

func (m *Manager) clientToken(ctx context.Context, req TokenRequest) (*Token, error) {
	return m.asClient(ctx, req.Registration, func(c actingClient) (*Token, error) {
		plain := req.Scopes == nil && req.Resource == "" && req.Params == nil
		if plain && !req.ForceRenewal {
			if held := c.plain.Load(); held != nil && m.now().UnixMilli() < min(held.renewAt, held.expires) {
				return held.Token, nil
			}
		}
		return c.ownToken(ctx, req)
	})
}

// ownToken returns the token of the client's own that req asks for, kept or new.
func (c actingClient) ownToken(ctx context.Context, req TokenRequest) (*Token, error) {
	m := c.m
	asked := TokenRequest{Scopes: req.Scopes, Resource: req.Resource, Params: req.Params}.withDefaults(&c.defaults).owned()
	if err := asked.check(); err != nil {
		return nil, err
	}
	key := c.tokenKey(&asked)
	var newest *atomic.Pointer[heldToken]
	if key == c.plainKey {
		newest = &c.plain
	}
	return m.cachedToken(ctx, wanted{
		op: opCredentials, client: c.name, key: key, newest: newest, outage: c.identity, force: req.ForceRenewal, rejected: req.Rejected,
		look: m.lookShared(),
		get: func(ctx context.Context, w wanted) (*heldToken, bool, error) {
			return m.sharedToken(ctx, w, func(ctx context.Context) (*answer, error) {
				form, err := clientForm(opCredentials, &asked)
				if err != nil {
					return nil, err
				}
				return c.requestToken(ctx, opCredentials, form)
			}, asked.Scopes)
		},
	})
}
