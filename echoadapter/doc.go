// Package echoadapter puts Tokenwell into an Echo application: one call mounts the
// login, its callback and the logout, and handlers get tokens and token-aware
// clients from their context.
//
//	e := echo.New()
//	echoadapter.Mount(e, m, sessions.NewCookieStore(authKey, encryptionKey))
//
//	e.GET("/orders", echoadapter.Handle(func(c *echoadapter.Context) error {
//		resp, err := c.HTTPClient("orders").Get("list")
//		if err != nil {
//			return err // nobody signed in: off to the login and back, or a 401
//		}
//		...
//	}))
//
// [Mount] is the whole set-up. [Middleware] alone is for programs that place the
// handlers of package core themselves. [Handle] wraps a handler, [From] serves
// where the signature is Echo's. [RequireLogin] closes a group to whoever is not
// signed in.
//
// There is no protocol in here: what happens at a login, a refresh or a logout is
// package core's. The browser's session is gorilla's; its cookie gets the
// attributes that it must have, whatever the store's defaults are.
package echoadapter
