package core

import "context"

// GetClientAccessToken is not available yet: it fails with an *[Error]. It will return
// an access token of the application itself, by the client credentials grant (RFC
// 6749 section 4.4).
func (m *Manager) GetClientAccessToken(_ context.Context, _ ...TokenOption) (*Token, error) {
	if m == nil {
		return nil, ErrNoManager
	}
	return nil, configError("client credentials are not configured: this version gets tokens for users only")
}
