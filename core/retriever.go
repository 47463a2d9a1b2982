package core

import (
	"context"
	"errors"
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
// holds no ticket at all. A session that has died is an error, not a reason to
// act as somebody else.
func FirstOf(rs ...TokenRetriever) TokenRetriever {
	return RetrieverFunc(func(ctx context.Context, req TokenRequest) (*Token, error) {
		for _, r := range rs {
			tok, err := r.RetrieveToken(ctx, req)
			if err == nil || !errors.Is(err, errNoTicket) {
				return tok, err
			}
		}
		return nil, errNoTicket
	})
}
