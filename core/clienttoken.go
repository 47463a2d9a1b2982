package core

import "context"

// GetClientAccessToken will return an access token of the application itself, by
// the client credentials grant (RFC 6749 section 4.4). Nothing can be configured for it
// yet: it fails with an *[Error].
func (m *Manager) GetClientAccessToken(_ context.Context, _ ...TokenOption) (*Token, error) {
	if m == nil {
		return nil, ErrNoManager
	}
	return nil, configError("client credentials are not configured: this version gets tokens for users only")
}
