package ginadapter

import (
	"context"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/tokenwell/tokenwell/core"
)

// Context is a gin.Context with the user's tokens. As a context.Context it is the
// request's own, captured when the handler began: it stays the same user's when
// Gin has recycled what it embeds, and ends with the request.
type Context struct {
	*gin.Context
	request context.Context
}

// From returns c as a Context, for middleware and generated handlers. Call it
// while the request is being handled.
func From(c *gin.Context) *Context {
	return &Context{Context: c, request: c.Request.Context()}
}

// Handle makes a gin handler of one that returns an error. Errors of package core
// are answered by core.ServeError; any other is put into c.Errors, and answered
// with 500 if nothing has been written.
func Handle(fn func(*Context) error) gin.HandlerFunc {
	return func(c *gin.Context) {
		if err := fn(From(c)); err != nil {
			fail(c, err)
		}
	}
}

func fail(c *gin.Context, err error) {
	_ = c.Error(err)
	c.Abort()
	if c.Writer.Written() {
		return
	}
	if !core.ServeError(c.Writer, c.Request, err) {
		c.Status(http.StatusInternalServerError)
	}
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
