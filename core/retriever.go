package core

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// TokenRetriever finds the token for a request. It is the one point at which
// Tokenwell is extended: wrap one to change what is asked for, or write one that
// gets its token elsewhere.
//
// RetrieveToken is called by many goroutines at once and takes the identity from
// ctx alone. With req.ForceRenewal it must not answer req.Rejected again. It
// returns a token or an error, never neither.
type TokenRetriever interface {
	RetrieveToken(ctx context.Context, req TokenRequest) (*Token, error)
}

// RetrieverFunc is a function as a TokenRetriever.
type RetrieverFunc func(ctx context.Context, req TokenRequest) (*Token, error)

// RetrieveToken calls f.
func (f RetrieverFunc) RetrieveToken(ctx context.Context, req TokenRequest) (*Token, error) {
	return f(ctx, req)
}

// UserToken retrieves the token of the user who is signed in in the request's
// context, as [Manager.GetUserAccessToken] does. opts are its defaults.
func UserToken(opts ...TokenOption) TokenRetriever {
	u := &userToken{}
	for _, opt := range opts {
		opt(&u.defaults)
	}
	return u
}

type userToken struct{ defaults TokenRequest }

func (u *userToken) RetrieveToken(ctx context.Context, req TokenRequest) (*Token, error) {
	m, err := req.asker(ctx)
	if err != nil {
		return nil, err
	}
	return m.userToken(ctx, req.withDefaults(&u.defaults))
}

// FirstOf asks one retriever after the other, going on only when the browser
// holds no ticket at all, of whatever manager. A session that has died is an error, not
// a reason to act as somebody else.
func FirstOf(rs ...TokenRetriever) TokenRetriever {
	return RetrieverFunc(func(ctx context.Context, req TokenRequest) (*Token, error) {
		for _, r := range rs {
			if r == nil {
				return nil, configError("core.FirstOf: a retriever is nil")
			}
			tok, err := r.RetrieveToken(ctx, req)
			if err == nil || !errors.Is(err, errNoTicket) || !nobody(ctx) {
				return tok, err
			}
		}
		return nil, errNoTicket
	})
}

// nobody reports whether no ticket is in ctx: a retriever may have asked for another
// context, or another manager, and say that nobody is signed in there.
func nobody(ctx context.Context) bool {
	for b := range users(ctx) {
		if !errors.Is(b.read(), errNoTicket) {
			return false
		}
	}
	return true
}

// Format implements fmt.Formatter without what is asked for, which may be secret.
func (*userToken) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "core.UserToken") }

func (*clientToken) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "core.ClientToken") }

func (*exchange) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "core.Exchange") }

func (*cacheBy) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "core.CacheBy") }
