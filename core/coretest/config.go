package coretest

import (
	"slices"

	"github.com/tokenwell/tokenwell/core"
)

// Config returns a configuration for the application as the provider's client:
// Issuer, ClientID, ClientSecret (empty for a public client), RedirectURL, Scopes,
// and the provider's clock as Now. What else an application needs is for the test to
// add.
func (p *Provider) Config() core.Config {
	return core.Config{
		Issuer:       p.Issuer(),
		ClientID:     p.options.ClientID,
		ClientSecret: p.options.ClientSecret,
		RedirectURL:  p.options.redirectURL(),
		Scopes:       slices.Clone(p.options.Scopes),
		Now:          p.Now,
	}
}
