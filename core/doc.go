// Package core keeps OAuth 2.0 and OpenID Connect access tokens alive: a program
// asks for a token, or for an HTTP client by name, and gets one that works,
// acquired, refreshed, rotated, retried and revoked without a line of token code.
//
// # One call
//
// In a handler whose framework has an adapter (packages ginadapter and
// echoadapter), a token or a client is one call on the handler's context:
//
//	tok, err := c.GetUserAccessToken()
//	resp, err := c.HTTPClient("orders").Get("list")
//
// Elsewhere it is one on the [Manager], with the request's context, which is the
// only thing that says whose token is meant: [Manager.GetUserAccessToken],
// [Manager.HTTPClient]. An error for which errors.Is finds [ErrLoginRequired]
// asks for a sign-in, an *[Error] can be read, and [ServeError] answers both.
//
// # One configuration
//
// [New] makes a Manager of a [Config]: the provider, the client, the named clients
// ([HTTPClient]), and where logins are kept (package store). Over plain net/http
// [Middleware] and three handlers make the browser's side: [LoginHandler],
// [CallbackHandler], [LogoutHandler].
//
// # The parts
//
// [Manager.StartLogin], [Manager.FinishLogin] and [Manager.Logout] are the protocol
// without HTTP, over any [Session]. A [TokenRetriever] finds the token for a named
// client: [UserToken], [ClientToken] and [Exchange] are some, [FirstOf] and [CacheBy]
// combine them, and a [RetrieverFunc] wraps them. [Manager.Token] asks one by hand.
// A [Ticket] lets a job act for a user after the request has ended.
//
// # What is promised
//
// A refresh token is sent once, by one holder, and the refresh goes on when its
// caller hangs up. A token goes to the origin of its client and nowhere else.
// Managers and clients are shared by all users and hold nothing of any. A logout
// is final. Secrets are absent from logs, errors and printed values.
//
// Package coretest has a provider, a browser and a protected API for tests.
package core
