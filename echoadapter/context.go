package echoadapter

import (
	"context"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/tokenwell/tokenwell/core"
)

// Context is an echo.Context with the user's tokens. As a context.Context it is
// the request's own, captured when the handler began: it stays the same user's
// when Echo has recycled what it embeds, and ends with the request.
type Context struct {
	echo.Context
	request context.Context
}

// From returns c as a Context, for middleware and generated handlers. Call it
// while the request is being handled.
func From(c echo.Context) *Context {
	return &Context{Context: c, request: c.Request().Context()}
}

// Handle makes an echo handler of one that takes a Context. Errors of package core
// are answered by core.ServeError; any other is Echo's to handle.
func Handle(fn func(*Context) error) echo.HandlerFunc {
	return func(c echo.Context) error {
		return answer(c, fn(From(c)))
	}
}

// answer returns what is left for Echo to handle of err.
func answer(c echo.Context, err error) error {
	if err == nil || c.Response().Committed || !core.ServeError(c.Response(), c.Request(), err) {
		return err
	}
	return nil
}

// GetUserAccessToken returns an access token of the user who is signed in; see
// [core.Manager.GetUserAccessToken].
func (c *Context) GetUserAccessToken(opts ...core.TokenOption) (*core.Token, error) {
	return core.From(c.request).GetUserAccessToken(c.request, opts...)
}

// GetClientAccessToken returns an access token of the application itself; see
// [core.Manager.GetClientAccessToken].
func (c *Context) GetClientAccessToken(opts ...core.TokenOption) (*core.Token, error) {
	return core.From(c.request).GetClientAccessToken(c.request, opts...)
}

// HTTPClient returns the named client for this request's user; see
// [core.Manager.HTTPClientFor].
func (c *Context) HTTPClient(name string) *http.Client {
	return core.From(c.request).HTTPClientFor(c.request, name)
}

// User returns who is signed in; see [core.Manager.User].
func (c *Context) User() (*core.User, error) {
	return core.From(c.request).User(c.request)
}

// Deadline implements context.Context by the request's.
func (c *Context) Deadline() (time.Time, bool) { return c.request.Deadline() }

// Done implements context.Context by the request's.
func (c *Context) Done() <-chan struct{} { return c.request.Done() }

// Err implements context.Context by the request's.
func (c *Context) Err() error { return c.request.Err() }

// Value implements context.Context by the request's.
func (c *Context) Value(key any) any { return c.request.Value(key) }
