// Package coretest tests applications that use Tokenwell, without a network and
// without an identity provider.
//
// A [Provider] is an OpenID Provider on loopback: it signs users in, rotates
// refresh tokens and detects their reuse, keeps its own clock and fails on demand.
// Whatever name is typed into its login form is a user.
//
//	p := coretest.NewProvider(t)
//	m, err := core.New(t.Context(), p.Config())
//
// A [Browser] drives the application through real logins and logouts, cookies and
// redirects included:
//
//	b := coretest.NewBrowser(t, app)
//	b.Login("alice")
//	page := b.Get("/orders")
//
// [Provider.Protect] starts an API that accepts the provider's access tokens and
// nothing else, and [SignedIn] gives code below the handlers a context in which a
// user has signed in.
//
// The provider is strict where clients are often careless: it wants PKCE with S256,
// form-urlencoded client credentials, exact redirect URLs and codes used once, and
// it ends a whole grant when a refresh token comes back. [Provider.Fail] makes it
// misbehave, one request at a time:
//
//	p.Fail(coretest.Fault{Grant: "refresh_token", DropAfter: true}) // its answer is lost
//	p.Advance(time.Hour)                                            // its time has come
//
// All times come from the provider's clock, which stands still until
// [Provider.Advance]: no test has to sleep.
package coretest
